/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One local APIC: SDM "Advanced Programmable Interrupt Controller (APIC)".
 *
 * The register file is a 4 KiB page in the layout of the xAPIC page (and so of the virtual-APIC
 * page): the host allocates it, and may hand the same page to the processor. Who may touch what:
 *   PIR, TMR, ->eoi_wanted, ->staged, ->esr_latch, ->pending, ->look
 *                                     any context, by atomic bit operations
 *   ->timer                           under ->timer.lock, any context
 *   ID, LDR, DFR, SVR, ->base_msr     written by the owner, read by any context (one word each)
 *   everything else                   the owner
 * The owner is the vCPU's own thread, or whoever keeps that thread from running (vcpu->lock). While
 * the guest runs with virtual-interrupt delivery, the processor owns IRR, ISR and PPR.
 *
 * An interrupt is first requested in PIR (posted.h). The owner folds requests into IRR when it
 * looks for something to take; so may the processor.
 *
 * A LAPIC changes only itself. What must happen beyond it is returned as a struct vlapic_effect or
 * an enum irq_notify, and irqchip.c carries it out.
 */
#ifndef IRQCHIP_VLAPIC_H
#define IRQCHIP_VLAPIC_H

#include <irqchip/apic_regs.h>
#include <irqchip/irqchip.h>
#include <irqchip/posted.h>

/* Events latched for the target's own context (invariant L9): bits of vlapic->pending. */
#define VLAPIC_PENDING_INIT  BIT(0)
#define VLAPIC_PENDING_SIPI  BIT(1) /* page number in ->sipi_vector */

/* Why the owner should look before the next entry: bits of vlapic->look. */
#define VLAPIC_LOOK_STAGED   BIT(0) /* ->staged may be non-empty: set after the bit */
#define VLAPIC_LOOK_TIMER    BIT(1) /* the TSC deadline was restored, or has expired */
#define VLAPIC_LOOK_EXTINT   BIT(2) /* an ExtINT message came: ask the PIC for the vector */
#define VLAPIC_LOOK_WAKE     BIT(3) /* a remote read came: the vCPU shall leave HLT */

/* What software has changed since the processor last had it: bits of vlapic->stale. */
#define VLAPIC_STALE_IRR     BIT(0)
#define VLAPIC_STALE_ISR     BIT(1)
#define VLAPIC_STALE_EOIS    BIT(2) /* vlapic_eoi_exits() would give another map */

#define VLAPIC_ISR_UNKNOWN   (-2) /* ->isr_top: the processor has run the LAPIC meanwhile */

/*
 * QUIRK(timer_min_period): a periodic timer faster than this gets its interrupts merged; its count
 * runs true (invariant T1). test_timer: T1_fast_periodic_timers_are_rationed
 */
#define VLAPIC_MIN_PERIOD_NS 200000ULL

struct vlapic_timer {
	irq_lock_t lock;          /* leaf; protects the other fields */
	u32 lvt, initial, divide; /* in force; the page may be a write ahead of them */
	u64 deadline_ns;          /* next expiry, 0 = not running */
	u64 not_before_ns;        /* periodic: earliest moment for the host's next interrupt */
	u64 tsc_deadline;         /* IA32_TSC_DEADLINE, 0 = disarmed */
	bool tsc_stale;           /* deadline_ns does not follow from tsc_deadline yet */
	bool tsc_expired;         /* tsc_deadline has fired, and the owner has not looked since */
	u32 bus_cycle_ns;         /* >= 1; constant after irqchip_attach() */
};

struct vlapic {
	u32 *regs;             /* the register page: 1024 words */
	u64 base_msr;          /* IA32_APIC_BASE */
	u32 id;                /* x2APIC ID (KVM: the vCPU ID); constant */
	u32 index;             /* in irqchip->lapic[]; constant after irqchip_attach() */
	u32 pending;           /* VLAPIC_PENDING_*; atomic */
	u32 look;              /* VLAPIC_LOOK_*; atomic */
	int isr_top;           /* cached vlapic_highest_isr(), or VLAPIC_ISR_UNKNOWN */
	bool irr_hint;         /* IRR may be non-empty; false only if it is empty */
	u32 stale;             /* VLAPIC_STALE_* */
	u32 svr;               /* in force; the page may be a write ahead of it */
	u32 esr_latch;         /* errors since the last write to ESR; atomic */
	u32 arb_prio;          /* lowest-priority messages taken so far; racy by intent */
	u32 xapic_ldr;         /* LDR as xAPIC mode would show it */
	u8 sipi_vector;        /* written before PENDING_SIPI is set, read after it is taken */
	u8 maxphyaddr;         /* guest's CPUID; limits IA32_APIC_BASE. 52 until the host knows */
	bool has_x2apic;       /* guest's CPUID; true until the host knows */
	bool has_cmci;         /* LVT CMCI register present: vlapic_set_features() */
	bool has_directed_eoi; /* SVR can suppress EOI broadcasts: vlapic_set_features() */
	u32 tsc_khz;           /* the guest's TSC frequency, set by the host */
	struct posted_desc *posted; /* in the page, at LAPIC_POSTED */
	/*
	 * Ends of interrupt that the bus must hear of: level-triggered vectors, and edges that
	 * somebody waits to see completed. ->eoi_seen are those that software does see: all, unless
	 * the processor completes interrupts by itself. A request for a wanted but unseen vector
	 * goes to ->staged instead of PIR, where the processor can't find it.
	 */
	u32 eoi_wanted[8]; /* set before the request */
	u32 eoi_seen[8];   /* written by the owner, read by any context */
	u32 staged[8];
	struct vlapic_timer timer;
	env_counter_t delivered[IRQ_PATH_NR]; /* interrupts accepted, by path */
	env_counter_t coalesced;              /* vector was already in IRR */
};

/* What a register access asks of the bus; carried out by irqchip.c. */
#define VLAPIC_FX_EOI   BIT(0) /* interrupt ->eoi_vector ended */
#define VLAPIC_FX_IPI   BIT(1) /* send ->ipi */
#define VLAPIC_FX_TIMER BIT(2) /* timer changed: re-arm for vlapic_timer_host_deadline() */
#define VLAPIC_FX_SELF  BIT(3) /* this vCPU may have something new to take: it must look again */
#define VLAPIC_FX_MAP   BIT(4) /* LDR, DFR, enable or mode changed: destinations moved */

struct vlapic_effect {
	u32 what; /* VLAPIC_FX_* */
	u8 eoi_vector;
	bool eoi_level;  /* TMR had it: a level-triggered interrupt */
	bool eoi_wanted; /* a message of this vector said that somebody waits for its end */
	bool eoi_silent; /* SVR suppresses the broadcast */
	struct irq_msg ipi;
};

static inline u32 vlapic_reg(const struct vlapic *apic, u32 offset)
{
	return READ_ONCE(apic->regs[offset / 4]);
}

static inline void vlapic_set_reg(struct vlapic *apic, u32 offset, u32 value)
{
	WRITE_ONCE(apic->regs[offset / 4], value);
}

/* --- life --- */

/*
 * Power-on state of LAPIC @id (SDM "Local APIC State After Power-Up or Reset") over the zeroed page
 * @regs. @bsp sets the BSP bit of IA32_APIC_BASE; LINT0 of the BSP starts as unmasked ExtINT.
 */
void vlapic_init(struct vlapic *apic, u32 *regs, u32 id, bool bsp);

/*
 * INIT (@init_event): as power-on, but IA32_APIC_BASE stays (SDM "Local APIC State After an INIT
 * Reset"). Stops the timer; a host timer that still fires for it is ignored. Owner only.
 */
void vlapic_reset(struct vlapic *apic, bool init_event);

/* Optional parts; shows in the version register. Owner only. */
void vlapic_set_features(struct vlapic *apic, bool directed_eoi, bool cmci);

/* --- modes: any context --- */

static inline bool vlapic_hw_enabled(const struct vlapic *apic)
{
	return READ_ONCE(apic->base_msr) & LAPIC_BASE_ENABLE;
}

static inline bool vlapic_x2apic(const struct vlapic *apic)
{
	return (READ_ONCE(apic->base_msr) & LAPIC_BASE_MODE) == LAPIC_BASE_MODE;
}

static inline bool vlapic_sw_enabled(const struct vlapic *apic)
{
	return vlapic_hw_enabled(apic) && (vlapic_reg(apic, LAPIC_SVR) & LAPIC_SVR_ENABLE);
}

/* Guest-physical base of the xAPIC page. */
static inline u64 vlapic_base_gpa(const struct vlapic *apic)
{
	return READ_ONCE(apic->base_msr) & LAPIC_BASE_ADDR;
}

/*
 * Write IA32_APIC_BASE. Returns 0, or 1 for #GP: reserved bits, x2APIC without enable, and for the
 * guest the transitions that SDM "x2APIC State Transitions" forbids. A guest that disables its
 * LAPIC finds it reset; @host_initiated writes only switch the mode. Owner only.
 */
int vlapic_set_base(struct vlapic *apic, u64 value, bool host_initiated, struct vlapic_effect *fx);

/* --- interrupts and events in: any context --- */

/*
 * Accept @msg from the bus. FIXED and LOWEST go to IRR (after TMR); INIT and STARTUP are latched.
 * Returns 1 accepted, 0 coalesced with one that was pending already, -1 not taken: the LAPIC is
 * software-disabled, the vector is 0 .. 15 (which sets ESR), an INIT de-assertion, or a delivery
 * mode that does not end in a LAPIC. *@how is what the host must do, in each case.
 */
int __must_check vlapic_accept(struct vlapic *apic, const struct irq_msg *msg,
			       enum irq_notify *how);

/*
 * The same for what most messages are: fixed, an edge, @vector 16 .. 255, to a LAPIC that is
 * enabled (vlapic_sw_enabled()), and nobody waits for the end of the interrupt.
 */
struct vlapic_accepted {
	int fresh; /* 1 accepted, 0 coalesced */
	enum irq_notify how;
};
struct vlapic_accepted vlapic_accept_edge(struct vlapic *apic, u8 vector, enum irq_path path);

/* The message that a local source with LVT register @lvt sends. False: masked. */
bool vlapic_lvt_message(const struct vlapic *apic, u32 lvt, struct irq_msg *msg);

/*
 * The same, when the source has fired: the performance counter's entry then masks itself. True:
 * @msg is to be delivered to this very LAPIC.
 */
bool vlapic_raise_lvt(struct vlapic *apic, u32 lvt, struct irq_msg *msg);

/* An ExtINT message came over the bus; is one waiting; the owner takes it. */
void vlapic_accept_extint(struct vlapic *apic);
static inline bool vlapic_extint_requested(const struct vlapic *apic)
{
	return READ_ONCE(apic->look) & VLAPIC_LOOK_EXTINT;
}
void vlapic_take_extint(struct vlapic *apic);

/* Latch errors for ESR, and raise the error interrupt. @bits: LAPIC_ESR_*. */
enum irq_notify vlapic_error(struct vlapic *apic, u32 bits);

/* The timer has expired: accept its interrupt, if it is not masked. */
enum irq_notify vlapic_timer_interrupt(struct vlapic *apic);

/* --- the owner's side --- */

/* Take (test and clear) a latched event. *@vector gets the SIPI page. */
bool vlapic_take_init(struct vlapic *apic);
bool vlapic_take_sipi(struct vlapic *apic, u8 *vector);
/* Any context. */
static inline bool vlapic_has_events(const struct vlapic *apic)
{
	return READ_ONCE(apic->pending);
}

/*
 * Has a remote read asked the vCPU to leave HLT (any context)? Forget it: the owner, when the vCPU
 * has left HLT.
 */
static inline bool vlapic_wake_requested(const struct vlapic *apic)
{
	return READ_ONCE(apic->look) & VLAPIC_LOOK_WAKE;
}
void vlapic_take_wake(struct vlapic *apic);

/*
 * Would this LAPIC pass the PIC's INTR on (APIC disabled, or LINT0 unmasked with ExtINT)? Any
 * context.
 */
bool vlapic_accepts_extint(const struct vlapic *apic);

/* Is there a request that is not in IRR yet? Any context. */
static inline bool vlapic_has_requests(const struct vlapic *apic)
{
	return posted_pending(apic->posted) || (READ_ONCE(apic->look) & VLAPIC_LOOK_STAGED);
}

/* Must irqchip_look_at_timer() be called? Any context. */
static inline bool vlapic_has_timer_to_look_at(const struct vlapic *apic)
{
	return READ_ONCE(apic->look) & VLAPIC_LOOK_TIMER;
}

/*
 * Is @vector requested or in service? Any context. A request that is being folded at this moment
 * may be missed.
 */
bool vlapic_holds(const struct vlapic *apic, u8 vector);

/*
 * Fold all requests into IRR. ON no longer tells of them then: whoever decides when the guest is to
 * be interrupted must look again before it enters (VLAPIC_STALE_IRR).
 */
void vlapic_fold(struct vlapic *apic);

/* Highest vector in IRR (after folding; as it is), in ISR; -1: none. */
int vlapic_highest_irr(struct vlapic *apic);
int vlapic_highest_folded(struct vlapic *apic);
int vlapic_highest_isr(struct vlapic *apic);

/* Compute PPR from TPR and ISR: SDM "Task and Processor Priorities". Stores and returns it. */
u8 vlapic_update_ppr(struct vlapic *apic);

/* The vector that would be taken now (IRR above PPR), -1: none. Cheap when nothing is pending. */
int vlapic_peek(struct vlapic *apic);
/* Take it: from IRR to ISR. -1: none any more. */
int vlapic_ack(struct vlapic *apic);

/* @vector is complete: what the bus has to know. For vlapic*.c. */
void vlapic_report_eoi(struct vlapic *apic, u8 vector, struct vlapic_effect *fx);

/* The register page was replaced (restored, reset): forget what was derived from it. */
void vlapic_resync(struct vlapic *apic);

/* --- the owner, where the processor runs the LAPIC (vlapic_hw.c): SDM "APIC Virtualization" --- */

/*
 * The host hands over with vlapic_eoi_exits() and what ->stale says, and calls vlapic_hw_ran()
 * after each exit; in between the functions above work as ever. To take over again it calls
 * vlapic_see_all_eois(). Nothing else changes hands: both work on the same page.
 *
 * QUIRK(self_ipi_while_disabled): a processor that virtualizes self-IPIs takes one although the
 * LAPIC is software-disabled; vlapic_write() does not. Documentation/quirks.rst.
 */

/* The guest has run with virtual-interrupt delivery. */
static inline void vlapic_hw_ran(struct vlapic *apic)
{
	apic->isr_top = VLAPIC_ISR_UNKNOWN;
	apic->irr_hint = true;
}

/* The EOI-exit bitmap: from here on software sees the EOIs in @map, and no others. */
void vlapic_eoi_exits(struct vlapic *apic, u32 map[8]);
void vlapic_see_all_eois(struct vlapic *apic);

/* An EOI-induced exit: the processor has completed @vector. */
void vlapic_hw_eoi(struct vlapic *apic, u8 vector, struct vlapic_effect *fx);

/* An APIC-write exit: the guest's value is in the page already, raw. @offset 0 .. 0xff0. */
void vlapic_hw_wrote(struct vlapic *apic, u32 offset, u64 now_ns, struct vlapic_effect *fx);

/* --- registers: the owner --- */

/* @now_ns matters for registers that the table marks LAPIC_CLOCK. */

/*
 * The xAPIC page. @offset 0 .. 0xfff. Only 32-bit writes to the start of a 16-byte slot count;
 * reads of part of that word also work. A slot without register sets ESR.
 */
void vlapic_mmio_read(struct vlapic *apic, u32 offset, u32 len, void *data, u64 now_ns,
		      struct vlapic_effect *fx);
void vlapic_mmio_write(struct vlapic *apic, u32 offset, u32 len, const void *data, u64 now_ns,
		       struct vlapic_effect *fx);

/* MSRs 0x800 .. 0x8ff. 1: #GP (not in x2APIC mode, no such register or access, reserved bits). */
int vlapic_msr_read(struct vlapic *apic, u32 msr, u64 *value, u64 now_ns, struct vlapic_effect *fx);
int vlapic_msr_write(struct vlapic *apic, u32 msr, u64 value, u64 now_ns, struct vlapic_effect *fx);

/*
 * The one dispatcher behind all writes: MMIO, x2APIC MSRs, APIC-write VM exits. Never fails, since
 * for the last of these the instruction is already over (invariant L10). @offset is a register's.
 */
void vlapic_write(struct vlapic *apic, u32 offset, u32 value, u64 now_ns, struct vlapic_effect *fx);

/* --- timer: vlapic_timer.c --- */

enum lapic_timer_mode vlapic_timer_mode(const struct vlapic *apic);

/* One tick of the count-down clock, in ns; never 0. */
u64 vlapic_timer_tick_ns(const struct vlapic *apic);

/*
 * Bring the timer up to @now_ns: true if it expired since the last call, once for however many
 * periods went by; the caller then owes the LVT timer interrupt. Any context. @running: the owner
 * asks, and nobody saves the registers before the guest runs on, so IA32_TSC_DEADLINE tells of the
 * expiry at once.
 */
bool vlapic_timer_settle(struct vlapic *apic, u64 now_ns, bool running);
/* The same for anyone, and the interrupt is accepted if it is not masked. */
enum irq_notify vlapic_timer_poll(struct vlapic *apic, u64 now_ns);

/* When the host must call irqchip_lapic_timer_fired(); 0: no need. Any context. */
u64 vlapic_timer_host_deadline(struct vlapic *apic);
/* The same; *@guest_tsc: what the guest's TSC reads at that moment, if that is what counts, or 0. */
u64 vlapic_timer_moment(struct vlapic *apic, u64 *guest_tsc);

/* Is there an expiry to come, heard or not? Any context. */
static inline bool vlapic_timer_is_set(const struct vlapic *apic)
{
	return READ_ONCE(apic->timer.deadline_ns);
}

/* Current count (TMCCT). Settle first. */
u32 vlapic_timer_count(struct vlapic *apic, u64 now_ns);

/* IA32_TSC_DEADLINE; counting down or waiting for the deadline. Any context. */
u64 vlapic_timer_tsc_deadline(struct vlapic *apic);
bool vlapic_timer_running(struct vlapic *apic);

/* Register writes. Settle first, then let the host re-arm. */
void vlapic_timer_write_initial(struct vlapic *apic, u32 count, u64 now_ns);
void vlapic_timer_write_divide(struct vlapic *apic, u32 tdcr, u64 now_ns);
void vlapic_timer_write_lvt(struct vlapic *apic, u32 lvt);
/* This one is the guest's, and settles by itself: true if the timer interrupt is due. */
bool vlapic_timer_write_tsc(struct vlapic *apic, u64 deadline, u64 now_ns, u64 guest_tsc);
/* LVT timer, TMICT and TDCR were written to the page directly (reset): they are in force now. */
void vlapic_timer_adopt(struct vlapic *apic);
/* Forget deadline and IA32_TSC_DEADLINE; or only stop, to be restored below. */
void vlapic_timer_stop(struct vlapic *apic);
void vlapic_timer_pause(struct vlapic *apic);

/*
 * Restoring. The counting modes resume from @count of TMCCT, unless @stopped.
 * QUIRK(count_unknown): 0 from an image that doesn't say so (QEMU's) means a full period, or a
 * one-shot that expires at once: a tick too many does no harm, a tick too few stops the guest's
 * clock. test_timer: T2_images_without_a_count_keep_ticking. A TSC deadline is only remembered
 * here: it takes effect at the owner's next look, when all of TSC, LVT and deadline are in place,
 * in whatever order they came (invariant T2). The same holds after the guest's TSC has moved.
 */
void vlapic_timer_restore(struct vlapic *apic, u32 count, bool stopped, u64 now_ns);
void vlapic_timer_restore_tsc(struct vlapic *apic, u64 deadline);
void vlapic_timer_tsc_moved(struct vlapic *apic);
/* The look itself: the owner, about to run the guest. If nothing is stale any time will do. */
static inline bool vlapic_timer_is_stale(const struct vlapic *apic)
{
	return apic->timer.tsc_stale;
}
void vlapic_timer_look(struct vlapic *apic, u64 now_ns, u64 guest_tsc);

/* --- save and restore: vlapic_state.c --- */

/* The owner; the timer is settled. See irqchip_get_lapic() and irqchip_set_lapic(). */
void vlapic_get_state(struct vlapic *apic, bool x2apic_format, u64 now_ns,
		      struct kvm_lapic_state *image);
int vlapic_set_state(struct vlapic *apic, bool x2apic_format, u64 now_ns,
		     const struct kvm_lapic_state *image);
/* ID and LDR as the current mode shows them. */
void vlapic_update_id(struct vlapic *apic);

#endif
