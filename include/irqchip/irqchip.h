/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interrupt-controller core: one VM's LAPICs, IOAPIC, PIC pair and PIT, and the bus between
 * them.
 *
 * Portable C. The core never names a vCPU, a VMCS, a kernel timer or a thread. Devices (vlapic.c,
 * vioapic.c, vpic.c, vpit.c) change only their own state and return *effects*; irqchip.c carries
 * the effects from device to device, and calls struct irqchip_host for what only the host can do.
 * No host operation is called with a device lock held.
 *
 * Time is given in nanoseconds of a monotonic clock of the host's choice (u64, 0 = "never" in
 * deadlines). vCPUs are named by their index: 0 .. IRQCHIP_MAX_VCPUS - 1, in order of creation.
 */
#ifndef IRQCHIP_IRQCHIP_H
#define IRQCHIP_IRQCHIP_H

#include <irqchip/env.h>

struct vlapic;
struct vioapic;
struct vpic;
struct vpit;
struct irq_routing;

#define IRQCHIP_MAX_VCPUS        1024
#define IRQCHIP_MAX_GSI          4096 /* GSIs 0 .. 4095, as KVM_CAP_IRQ_ROUTING reports */

/* APIC IDs below this are looked up in a table, others by asking every LAPIC. */
#define IRQCHIP_MAX_ID           4096

/* Keeps the longest period (a 32-bit count of 128 cycles each) far from overflow. */
#define IRQCHIP_MAX_BUS_CYCLE_NS (1u << 20)

/* irqchip_peek() for an interrupt whose vector only its acknowledgement will tell. */
#define IRQCHIP_EXTINT           256

/* Who drives a line: bits of the OR. The host may use the rest (resampling irqfds). */
enum irq_source {
	IRQ_SOURCE_USER = 0,     /* KVM_IRQ_LINE */
	IRQ_SOURCE_RESAMPLE = 1, /* irqfds with resample */
	IRQ_SOURCE_PULSE = 2,    /* irqchip_pulse_gsi() */
	IRQ_SOURCE_PIT = 3,      /* PIT channel 0 */
	IRQ_SOURCE_MAX = 31,
};

/* What the host must do about a vCPU whose LAPIC has changed. Ordered by strength. */
enum irq_notify {
	NOTIFY_NONE = 0, /* nothing to see: masked, already pending, or below the priority */
	NOTIFY_POST = 1, /* an interrupt was posted: wake if blocked, notify if running */
	NOTIFY_KICK = 2, /* software must look: wake if blocked, leave guest mode if running */
};

/* By which way an interrupt came; the index of the statistics. */
enum irq_path {
	IRQ_PATH_PIC,    /* ExtINT acknowledged from the 8259 pair */
	IRQ_PATH_IOAPIC, /* redirection entry */
	IRQ_PATH_MSI,    /* KVM_SIGNAL_MSI, MSI route, irqfd on an MSI route */
	IRQ_PATH_IPI,    /* ICR write */
	IRQ_PATH_TIMER,  /* LAPIC timer */
	IRQ_PATH_LVT,    /* the other local vectors: LINT0/1, PMI, thermal, CMCI, error */
	IRQ_PATH_NR,
};

/* SDM "Interrupt Command Register (ICR)", delivery mode: also the code in MSI data and RTEs. */
enum irq_delivery {
	IRQ_DM_FIXED = 0,
	IRQ_DM_LOWEST = 1,
	IRQ_DM_SMI = 2,
	IRQ_DM_REMOTE_READ = 3,
	IRQ_DM_NMI = 4,
	IRQ_DM_INIT = 5,
	IRQ_DM_STARTUP = 6,
	IRQ_DM_EXTINT = 7,
};

/* ICR destination shorthand codes; MSIs and redirection entries have IRQ_SH_NONE. */
enum irq_shorthand { IRQ_SH_NONE = 0, IRQ_SH_SELF = 1, IRQ_SH_ALL = 2, IRQ_SH_OTHERS = 3 };

/* One interrupt message on its way to the LAPICs, whatever it came from. */
struct irq_msg {
	u32 dest;         /* APIC ID, or logical destination if ->logical */
	u8 vector;        /* 0 .. 255; the STARTUP page number for IRQ_DM_STARTUP */
	u8 delivery;      /* enum irq_delivery */
	u8 shorthand;     /* enum irq_shorthand */
	bool logical;     /* destination mode */
	bool level;       /* trigger mode: sets TMR, so that the EOI is broadcast to the IOAPIC */
	bool report_eoi;  /* somebody waits for the EOI although it is an edge */
	bool quiet_eoi;   /* level, but it comes from no pin: no reason to report the EOI */
	bool assert;      /* false only for INIT level de-assert */
	bool redir_hint;  /* MSI redirection hint: deliver to one of the destinations */
	bool x2apic_dest; /* dest was written in 32-bit format (x2APIC ICR, extended MSI address) */
	bool plain;       /* nothing but ->dest, an ID, and ->vector has to be looked at */
	u8 path;          /* enum irq_path */
};

/*
 * What the core needs of its host. Every operation may be called from any context (hardirq with
 * interrupts off included), with no core lock held; none may sleep. @ctx is irqchip->ctx.
 */
struct irqchip_host {
	/* LAPIC state of vCPU @vcpu changed so that it has to look; never called with NOTIFY_NONE. */
	void (*notify)(void *ctx, u32 vcpu, enum irq_notify how);
	/* An NMI for vCPU @vcpu. The host latches it (at most two) and kicks. */
	void (*nmi)(void *ctx, u32 vcpu);
	/*
	 * The deadline of @vcpu's LAPIC timer has changed. True: the host will look at it before
	 * that matters (vlapic_timer_moment()), and needs no call of the next operation. NULL:
	 * never true.
	 */
	bool (*timer_moved)(void *ctx, u32 vcpu);
	/* (Re-)arm the one LAPIC timer of @vcpu for @deadline_ns; 0 cancels. */
	void (*lapic_timer)(void *ctx, u32 vcpu, u64 deadline_ns);
	/* (Re-)arm PIT channel 0's timer; 0 cancels. */
	void (*pit_timer)(void *ctx, u64 deadline_ns);
	/* Pin @pin of chip @chip (KVM_IRQCHIP_*) was acknowledged (EOI): resample level sources. */
	void (*ack)(void *ctx, u32 chip, u32 pin);
	/* Split irqchip: EOI of @vector must reach the userspace IOAPIC. The vCPU's own thread. */
	void (*eoi_exit)(void *ctx, u32 vcpu, u8 vector);
	/*
	 * Split irqchip: the vector that the userspace PIC has given to @vcpu, -1: none waits.
	 * @take: the vCPU takes it. The vCPU's own thread.
	 */
	int (*user_intr)(void *ctx, u32 vcpu, bool take);
	/* Arm the timer for irqchip_ioapic_timer_fired(); NULL: storming lines are not held. */
	void (*ioapic_timer)(void *ctx, u64 deadline_ns);
	/* What irqchip_post_target() depends on has changed, its table apart (NULL: none). */
	void (*targets_moved)(void *ctx);
	/* The monotonic clock, in ns. */
	u64 (*now_ns)(void *ctx);
	/*
	 * The guest's TSC on @vcpu at this moment (offset and scale applied), and with nothing in
	 * between the clock of now_ns. In this order: a deadline by the TSC must not come early.
	 */
	u64 (*guest_tsc)(void *ctx, u32 vcpu, u64 *now_ns);
};

/*
 * Logical IDs of LAPICs in xAPIC mode, which software chooses: for each bit of a flat ID, and of
 * each cluster, the index of the LAPIC that has it, plus one. 0: nobody; IRQCHIP_MAP_ASK: several,
 * or one that has several bits, so everyone in xAPIC mode is to be asked.
 */
#define IRQCHIP_MAP_ASK 0xffff

struct irq_xapic_map {
	u16 flat[8];
	u16 cluster[16][4];
};

/* The in-kernel devices of one VM. Devices are NULL where the irqchip mode leaves them out. */
struct irqchip {
	const struct irqchip_host *host;
	void *ctx;

	/*
	 * Published with smp_store_release() by irqchip_attach() and read with smp_load_acquire();
	 * entries are only ever added, and live as long as the VM.
	 */
	struct vlapic *lapic[IRQCHIP_MAX_VCPUS];
	u32 nr_lapics; /* one more than the highest index attached */

	/*
	 * Who is meant by a message, without asking everyone (msg.c). A LAPIC's ID never changes,
	 * nor does the logical ID that x2APIC mode derives from it, so this table is only added
	 * to, like ->lapic[]: the index of each ID, plus one.
	 */
	u16 index_of_id[IRQCHIP_MAX_ID];
	/* Bit i: LAPIC i is in xAPIC mode, where software chooses the logical ID. Atomic. */
	u32 in_xapic_mode[IRQCHIP_MAX_VCPUS / 32];
	/* Rebuilt under ->map_lock by msg_update_map(), read without it, slot by slot. */
	struct irq_xapic_map xapic_map;
	irq_lock_t map_lock; /* leaf */

	struct vioapic *ioapic;
	struct vpic *pic;
	struct vpit *pit;

	/* Replaced as a whole by irqchip_set_routing(); read under env_read_lock(). */
	const struct irq_routing *routing;

	/* Bit s: source s holds GSI g up. Atomic. Outlives the routes: irqchip_routing_moved(). */
	u32 gsi_lines[IRQCHIP_MAX_GSI];

	/* GSIs whose EOI matters even on an edge pin: irqchip_watch_gsi(). */
	u32 watched[IRQCHIP_MAX_GSI / 32];

	/*
	 * Split irqchip: IOAPIC and PIC are in userspace, behind host->eoi_exit and ->user_intr.
	 * The userspace IOAPIC's pins are the GSIs below ->reserved_pins. Set before vCPUs.
	 */
	bool split;
	u32 reserved_pins; /* 0 .. IRQCHIP_MAX_GSI */

	u32 bus_cycle_ns; /* APIC timer clock, 1 .. IRQCHIP_MAX_BUS_CYCLE_NS; set before vCPUs; 1 */
	bool x2apic_format;   /* KVM_X2APIC_API_USE_32BIT_IDS */
	bool no_x2apic_bcast; /* KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK */
	bool vector_hashing;  /* lowest-priority arbitration by hash instead of by load */
};

#define irqchip_for_each_lapic(chip, i, apic)                                 \
	for ((i) = 0; (i) < smp_load_acquire(&(chip)->nr_lapics); (i)++)      \
		if (((apic) = smp_load_acquire(&(chip)->lapic[i])) == NULL) { \
		} else

/* --- life (process context, serialized by the caller's VM lock) --- */

/* Prepare an empty chip. No device is present until the caller sets ->ioapic, ->pic, ->pit. */
void irqchip_init(struct irqchip *chip, const struct irqchip_host *host, void *ctx);

/*
 * Make @apic reachable as vCPU @index. Errors: -EINVAL (index out of range), -EEXIST (index or APIC
 * ID taken).
 * There is no detach: vCPUs live as long as their VM.
 */
int irqchip_attach(struct irqchip *chip, u32 index, struct vlapic *apic);

/*
 * Replace the routing table (NULL: no routes) and return the old one, which the caller frees
 * after a grace period of env_read_lock() readers.
 */
const struct irq_routing *irqchip_set_routing(struct irqchip *chip, const struct irq_routing *new);

/*
 * After irqchip_set_routing() and that grace period: make each pin's level what the GSIs that lead
 * to it now hold up, so that no pin stays up for a GSI that has moved away from it. A pin that
 * rises by this sends its interrupt. Does not sleep; callers need not serialize.
 */
void irqchip_routing_moved(struct irqchip *chip);

/*
 * From now on (@on) or no longer, the host wants ->ack for GSI @gsi even when the guest has made
 * its IOAPIC pin edge-triggered. The PIT's GSI is watched as soon as there is a PIT. Callers
 * serialize with irqchip_set_routing().
 */
void irqchip_watch_gsi(struct irqchip *chip, u32 gsi, bool on);

/* --- interrupts in: any context --- */

/*
 * Drive GSI @gsi to @level on behalf of @source (0 .. 31: each line is the OR of its sources;
 * source 0 is KVM_IRQ_LINE). Returns, as KVM_IRQ_LINE_STATUS: > 0 delivered to so many targets,
 * 0 coalesced with an earlier one, -1 masked or no route. @gsi beyond the table: -1.
 */
int irqchip_set_gsi(struct irqchip *chip, u32 gsi, u32 source, bool level);

/*
 * KVM_IRQ_LINE_STATUS: as irqchip_set_gsi() of source 0, for a caller that will try again what was
 * coalesced. The RTC's pin (IOAPIC pin 8, edge-triggered) is coalesced also while a LAPIC has the
 * vector in service.
 */
int irqchip_line_status(struct irqchip *chip, u32 gsi, bool level);

/* Route @gsi once as an edge (irqfd without resample): up, then down for chip pins; MSI once. */
int irqchip_pulse_gsi(struct irqchip *chip, u32 gsi);

/*
 * KVM_SIGNAL_MSI: @address is the full 64-bit MSI address (see msg_from_msi() for its high half).
 * Returns > 0 delivered, 0 blocked by the guest, -EINVAL for reserved bits that ->x2apic_format
 * checks.
 */
int irqchip_msi(struct irqchip *chip, u64 address, u32 data);

/*
 * The index of the one LAPIC that GSI @gsi leads to, and the vector that it requests there: for a
 * sender that knows no more than these two, and may use them for as long as neither the routing
 * table nor, as ->targets_moved says, a LAPIC changes. -1: no or several LAPICs, or something else
 * than to post the vector is to be done: a pin, a level, an NMI, an illegal vector.
 */
int irqchip_post_target(struct irqchip *chip, u32 gsi, u8 *vector);

/*
 * Deliver @msg to every LAPIC it names. @from is the sending vCPU's index for shorthands, or
 * -1. Returns the number of LAPICs that accepted it, 0 if all coalesced, -1 if there was none to
 * take it (none named, or software-disabled, or an illegal vector).
 */
int irqchip_deliver(struct irqchip *chip, const struct irq_msg *msg, int from);

/* The LAPIC timer of @vcpu has fired (hrtimer context): accept its vector, re-arm if periodic. */
void irqchip_lapic_timer_fired(struct irqchip *chip, u32 vcpu);

/*
 * The same in the vCPU's own thread, which runs the guest, where the host knows that it will be
 * @at_ns at the earliest when the guest runs on.
 */
void irqchip_lapic_timer_comes(struct irqchip *chip, u32 vcpu, u64 at_ns);

/* PIT channel 0's timer has fired. */
void irqchip_pit_timer_fired(struct irqchip *chip);

/* The timer of host->ioapic_timer has fired. */
void irqchip_ioapic_timer_fired(struct irqchip *chip);

/*
 * A local source of vCPU @vcpu has fired: LVT register @lvt (LAPIC_LVT_PERF, _THERMAL, _CMCI,
 * _LINT1) says what becomes of it. The performance counter's entry masks itself. Any context.
 */
void irqchip_raise_lvt(struct irqchip *chip, u32 vcpu, u32 lvt);

/* --- the vCPU's side: the vCPU's own thread --- */

/*
 * The vector that vCPU @vcpu would take now: ExtINT first (IRQCHIP_EXTINT), then the highest IRR
 * above PPR. -1: none. Changes nothing except the cached PPR, and lets a restored or moved TSC
 * deadline take effect: to be called on the way into KVM_RUN's loop, and after each request.
 */
int irqchip_peek(struct irqchip *chip, u32 vcpu);

/*
 * The guest has run, and may have been given the timer's interrupt by the processor: from now on
 * IA32_TSC_DEADLINE says that it has expired. After each exit; irqchip_peek() does the same.
 */
void irqchip_look_at_timer(struct irqchip *chip, u32 vcpu);

/*
 * As irqchip_peek(), where the LAPIC's own interrupts are the processor's business: an ExtINT only.
 */
bool irqchip_extint_waits(struct irqchip *chip, u32 vcpu);

/*
 * Would vCPU @vcpu take an ExtINT from the PIC, wherever that is: LINT0 is unmasked in ExtINT mode,
 * or the LAPIC is disabled, or such a message has come over the bus.
 */
bool irqchip_passes_extint(struct irqchip *chip, u32 vcpu);

/*
 * What the processor has done to the LAPIC of @vcpu: it completed @vector, whose EOI the bus must
 * hear of; it stored a register at @offset (0 .. 0xff0), as the guest wrote it.
 */
void irqchip_hw_eoi(struct irqchip *chip, u32 vcpu, u8 vector);
void irqchip_hw_wrote(struct irqchip *chip, u32 vcpu, u32 offset);

/*
 * Acknowledge: like peek, but the interrupt moves from IRR to ISR (or the PIC runs its INTA
 * cycle). -1 if there is none any more.
 */
int irqchip_ack(struct irqchip *chip, u32 vcpu);

/*
 * A register access through the xAPIC page at the LAPIC's base. @offset 0 .. 0xfff, @len
 * 1 .. 8. Reads of reserved places give 0; writes there are ignored or set ESR (SDM "Local APIC
 * Registers": accesses must be 16-byte aligned 32-bit words; others are undefined, here ignored).
 */
void irqchip_lapic_read(struct irqchip *chip, u32 vcpu, u32 offset, u32 len, void *data);
void irqchip_lapic_write(struct irqchip *chip, u32 vcpu, u32 offset, u32 len, const void *data);

/*
 * x2APIC MSRs 0x800 .. 0x8ff, IA32_TSC_DEADLINE and IA32_APIC_BASE. Returns 0, or 1 for #GP.
 * @host_initiated (KVM_SET_MSRS) skips the checks that only bind the guest (state transitions).
 */
int irqchip_msr_read(struct irqchip *chip, u32 vcpu, u32 msr, u64 *value);
int irqchip_msr_write(struct irqchip *chip, u32 vcpu, u32 msr, u64 value, bool host_initiated);

/* The guest's TSC or its frequency was set: a pending TSC deadline is converted anew. */
void irqchip_tsc_moved(struct irqchip *chip, u32 vcpu);

/* CR8 = TPR bits 7:4. @cr8 0 .. 15 (the caller has checked). */
u64 irqchip_get_cr8(struct irqchip *chip, u32 vcpu);
void irqchip_set_cr8(struct irqchip *chip, u32 vcpu, u64 cr8);

/* --- devices behind ports and addresses: process context, the vCPU's own thread --- */

/*
 * PIC (0x20-21, 0xa0-a1, 0x4d0-4d1), PIT (0x40-43) and speaker gate (0x61, when the PIT was made
 * with KVM_PIT_SPEAKER_DUMMY). @len 1, 2 or 4; wider accesses run byte by byte.
 * Returns false if the port belongs to no device of this chip.
 */
bool irqchip_pio_read(struct irqchip *chip, u16 port, u32 len, void *data);
bool irqchip_pio_write(struct irqchip *chip, u16 port, u32 len, const void *data);

/* The IOAPIC's page (0xfec00000 .. +0xfff). Returns false if @gpa is not there. */
bool irqchip_owns_address(struct irqchip *chip, u64 gpa);
bool irqchip_mmio_read(struct irqchip *chip, u64 gpa, u32 len, void *data);
bool irqchip_mmio_write(struct irqchip *chip, u64 gpa, u32 len, const void *data);

/* --- save and restore: KVM_GET/SET_IRQCHIP, PIT2, LAPIC --- */

/* @image->chip_id selects the device. -EINVAL: unknown chip; -ENXIO: not present. */
int irqchip_get_state(struct irqchip *chip, struct kvm_irqchip *image);
int irqchip_set_state(struct irqchip *chip, const struct kvm_irqchip *image);

/* -ENXIO without a PIT; -EINVAL for a state no machine can be in. */
int irqchip_get_pit(struct irqchip *chip, struct kvm_pit_state2 *image);
int irqchip_set_pit(struct irqchip *chip, const struct kvm_pit_state2 *image);

/* -EINVAL: the ID in the image contradicts the vCPU's x2APIC ID; -ENXIO. Re-arms the timer. */
int irqchip_get_lapic(struct irqchip *chip, u32 vcpu, struct kvm_lapic_state *image);
int irqchip_set_lapic(struct irqchip *chip, u32 vcpu, const struct kvm_lapic_state *image);

#endif
