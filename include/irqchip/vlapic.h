/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One local APIC: SDM "Advanced Programmable Interrupt Controller (APIC)".
 *
 * The register file is a 4 KiB page in the layout of the xAPIC page (and so of the virtual-APIC
 * page): the host allocates it, and may hand the same page to the processor. Who may touch what:
 *   IRR, TMR, ->pending            any context, by atomic bit operations
 *   everything else                the vCPU's own thread (or the VM lock's holder while it is not
 *                                  running); the timer's fields are also read by the timer's callback
 *                                  through ->timer's own rules, see vlapic_timer.c
 */
#ifndef IRQCHIP_VLAPIC_H
#define IRQCHIP_VLAPIC_H

#include <irqchip/apic_regs.h>
#include <irqchip/irqchip.h>

/* Events latched for the target's own context (invariant L9): bits of vlapic->pending. */
#define VLAPIC_PENDING_INIT BIT(0)
#define VLAPIC_PENDING_SIPI BIT(1) /* page number in ->sipi_vector */

struct vlapic_timer {
	u64 deadline_ns;     /* next expiry, 0 = not running */
	u64 period_ns;	     /* 0 unless periodic */
	u64 tsc_deadline;    /* IA32_TSC_DEADLINE, 0 = disarmed */
	u32 pending;	     /* expiries not yet accepted into IRR (0 or 1) */
};

struct vlapic {
	u32 *regs;	     /* the register page: 1024 words */
	u64 base_msr;	     /* IA32_APIC_BASE */
	u32 id;		     /* x2APIC ID (KVM: the vCPU ID) */
	u32 index;	     /* in irqchip->lapic[] */
	u32 pending;	     /* VLAPIC_PENDING_*; atomic */
	u8 sipi_vector;	     /* written before PENDING_SIPI is set, read after it is taken */
	u32 esr_latch;	     /* errors since the last write to ESR; atomic */
	u32 arb_prio;	     /* lowest-priority arbitration: interrupts taken so far */
	struct vlapic_timer timer;
	env_counter_t delivered[IRQ_PATH_NR]; /* interrupts accepted, by path */
	env_counter_t coalesced; /* vector was already in IRR */
};

/* What a register write asks of the bus; carried out by irqchip.c. */
#define VLAPIC_FX_EOI	BIT(0) /* level interrupt ->eoi_vector ended: broadcast to IOAPICs */
#define VLAPIC_FX_IPI	BIT(1) /* send ->ipi */
#define VLAPIC_FX_TIMER BIT(2) /* timer changed: re-arm for timer.deadline_ns */
#define VLAPIC_FX_SELF	BIT(3) /* TPR, SVR or the mode changed: the vCPU must look again */
#define VLAPIC_FX_MAP	BIT(4) /* ID, LDR, DFR, enable or mode changed: destinations moved */

struct vlapic_effect {
	u32 what; /* VLAPIC_FX_* */
	u8 eoi_vector;
	struct irq_msg ipi;
};

/*
 * Power-on state of LAPIC @id (SDM "Local APIC State After Power-Up or Reset") over the zeroed page
 * @regs. @bsp sets the BSP bit of IA32_APIC_BASE; LINT0 of the BSP starts as unmasked ExtINT, which
 * is what firmware leaves behind and what KVM does.
 */
void vlapic_init(struct vlapic *apic, u32 *regs, u32 id, bool bsp);

/* INIT: as power-on, but APIC_BASE and ID stay (SDM "Local APIC State After It Has Been INITed"). */
void vlapic_reset(struct vlapic *apic, bool init_event);

/* Enabled in IA32_APIC_BASE; in x2APIC mode; software-enabled in SVR. */
bool vlapic_hw_enabled(const struct vlapic *apic);
bool vlapic_x2apic(const struct vlapic *apic);
bool vlapic_sw_enabled(const struct vlapic *apic);

/* Guest-physical base of the xAPIC page. */
u64 vlapic_base_gpa(const struct vlapic *apic);

/* Take (test and clear) a latched event. *@vector gets the SIPI page. The vCPU's own thread. */
bool vlapic_take_init(struct vlapic *apic);
bool vlapic_take_sipi(struct vlapic *apic, u8 *vector);
bool vlapic_has_events(const struct vlapic *apic);

/* Would this LAPIC pass the PIC's INTR on (APIC disabled, or LINT0 unmasked with ExtINT)? */
bool vlapic_accepts_extint(const struct vlapic *apic);

/* Highest vector in IRR, in ISR; -1: none. Processor priority (SDM "Task and Processor Priorities"). */
int vlapic_highest_irr(const struct vlapic *apic);
int vlapic_highest_isr(const struct vlapic *apic);
u8 vlapic_update_ppr(struct vlapic *apic);

/*
 * Accept @vector from the bus (any context): the interrupt is in IRR, TMR says level or edge.
 * NOTIFY_NONE: it was already pending, or the LAPIC is software-disabled. Vectors 0 .. 15 set ESR.
 */
enum irq_notify vlapic_accept(struct vlapic *apic, const struct irq_msg *msg);

#endif
