// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the interrupt-controller core asks of its host: struct irqchip_host on top of hrtimers,
 * vCPU requests and irqfds. Every operation may come from any context, interrupts off included.
 *
 * Timers. The core owns the deadlines and decides what an expiry means; an hrtimer only brings it
 * the news. So a timer that fires late, or though it was being cancelled, does no harm: the core
 * compares its own deadline with the clock. That allows hrtimer_try_to_cancel() here, which never
 * waits for a running callback and can be called from that callback itself. A callback may start
 * its own timer anew, and then returns HRTIMER_NORESTART: the timer stays queued.
 *
 * The LAPIC timer of a vCPU that is entered needs no hrtimer where the processor has a timer of its
 * own (backend_has_timer()): ->timer_by_entry. Who finds an expiry then?
 *   in the guest            the processor exits at the deadline that the entry has loaded
 *   in KVM_RUN, outside     the next entry, by the clock: backend_set_timer(). That includes a
 *                           preempted vCPU, which runs again in any case
 *   blocked (HLT, SIPI)     an hrtimer: from arch_vcpu_block_begin() to arch_vcpu_block_end()
 *   with userspace          nobody has to before the next KVM_RUN, which comes to one of the above.
 *                           Whoever saves the LAPIC settles the timer first
 * The deadline changes in the vCPU's thread, which then passes through one of these; or in the
 * callback of an hrtimer that was armed during a block and is late. That one and the vCPU's thread
 * change, full barrier, and look: the callback at ->timer_by_entry, the thread at the deadline. So
 * one of them arms whatever must be armed; an hrtimer too many does no harm.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <arch.h>
#include <backend.h>
#include <bypass.h>
#include <compat.h>
#include <vcpu.h>

static bool vector_hashing = true;
module_param(vector_hashing, bool, 0444);
MODULE_PARM_DESC(vector_hashing,
		 "Lowest-priority interrupts go to one vCPU per vector (default), or in turn");

/* hrtimers expire where they were armed; the CPU that last ran the vCPU is the one to kick. */
#define TIMER_MODE HRTIMER_MODE_ABS_PINNED_HARD

/* An index that the core names has a LAPIC, and a LAPIC is part of its vCPU. */
static struct vcpu *vcpu_at(struct vm *vm, u32 index)
{
	return container_of(vm->chip.lapic[index], struct vcpu, arch.apic);
}

static void set_timer(struct hrtimer *timer, u64 deadline_ns)
{
	if (deadline_ns)
		hrtimer_start(timer, min_t(u64, deadline_ns, KTIME_MAX), TIMER_MODE);
	else if (hrtimer_is_queued(timer))
		hrtimer_try_to_cancel(timer);
}

/* --- operations --- */

/* What is posted is a request by itself; anything else needs one. */
static void host_notify(void *ctx, u32 index, enum irq_notify how)
{
	struct vcpu *vcpu = vcpu_at(ctx, index);

	if (how == NOTIFY_POST) {
		backend_notify(vcpu);
		return;
	}
	vcpu_set_request(vcpu, REQ_EVENT);
	vcpu_kick(vcpu);
}

static void host_nmi(void *ctx, u32 index)
{
	event_nmi(vcpu_at(ctx, index));
}

static bool host_timer_moved(void *ctx, u32 index)
{
	struct vcpu *vcpu = vcpu_at(ctx, index);

	WRITE_ONCE(vcpu->arch.timer_moved, true);
	smp_mb(); /* what the core has changed before ->timer_by_entry; irqchip_host_keep_timer() */
	return READ_ONCE(vcpu->arch.timer_by_entry);
}

static void host_lapic_timer(void *ctx, u32 index, u64 deadline_ns)
{
	set_timer(&vcpu_at(ctx, index)->arch.apic_timer, deadline_ns);
}

static void host_pit_timer(void *ctx, u64 deadline_ns)
{
	struct vm *vm = ctx;

	set_timer(&vm->arch.pit_timer, deadline_ns);
}

static void host_ioapic_timer(void *ctx, u64 deadline_ns)
{
	struct vm *vm = ctx;

	set_timer(&vm->arch.ioapic_timer, deadline_ns);
}

static void host_ack(void *ctx, u32 chip, u32 pin)
{
	irqfd_acked(ctx, chip, pin);
}

static void host_targets_moved(void *ctx)
{
	bypass_targets_moved(ctx);
}

/* The guest has come out for this EOI, or for the access that was one: enter.c reports it. */
static void host_eoi_exit(void *ctx, u32 index, u8 vector)
{
	struct vcpu *vcpu = vcpu_at(ctx, index);

	__set_bit(vector, vcpu->arch.eoi_exits);
	vcpu_set_request(vcpu, REQ_EVENT); /* no entry before that */
}

static int host_user_intr(void *ctx, u32 index, bool take)
{
	return event_user_irq(vcpu_at(ctx, index), take);
}

/* The clock of the hrtimers. */
static u64 host_now_ns(void *ctx)
{
	return ktime_get_ns();
}

static u64 host_guest_tsc(void *ctx, u32 index, u64 *now_ns)
{
	unsigned long flags;
	u64 tsc;

	local_irq_save(flags);
	tsc = vcpu_guest_tsc(vcpu_at(ctx, index));
	*now_ns = ktime_get_ns();
	local_irq_restore(flags);
	return tsc;
}

const struct irqchip_host irqchip_host_ops = {
	.notify = host_notify,
	.nmi = host_nmi,
	.timer_moved = host_timer_moved,
	.lapic_timer = host_lapic_timer,
	.pit_timer = host_pit_timer,
	.ioapic_timer = host_ioapic_timer,
	.ack = host_ack,
	.targets_moved = host_targets_moved,
	.eoi_exit = host_eoi_exit,
	.user_intr = host_user_intr,
	.now_ns = host_now_ns,
	.guest_tsc = host_guest_tsc,
};

/* --- devices that post by themselves --- */

bool arch_can_post(void)
{
	return backend_can_post();
}

int arch_post_target(struct vm *vm, u32 gsi)
{
	u8 vector;
	int index = irqchip_post_target(&vm->chip, gsi, &vector);

	return index < 0 ? -1 : index << 8 | vector;
}

int arch_post_irq(struct vm *vm, int irq, int target)
{
	return target < 0 ? backend_post_irq(NULL, irq, 0)
			  : backend_post_irq(vcpu_at(vm, target >> 8), irq, target & 0xff);
}

void arch_posting_begins(struct vm *vm)
{
	backend_device_added(vm);
}

void arch_posting_ended(struct vm *vm)
{
	backend_device_removed(vm);
}

/* --- callbacks: hard interrupt context --- */

static enum hrtimer_restart lapic_timer_fired(struct hrtimer *timer)
{
	struct vcpu *vcpu = container_of(timer, struct vcpu, arch.apic_timer);

	irqchip_lapic_timer_fired(&vcpu->vm->chip, vcpu->index);
	return HRTIMER_NORESTART;
}

static enum hrtimer_restart pit_timer_fired(struct hrtimer *timer)
{
	struct vm *vm = container_of(timer, struct vm, arch.pit_timer);

	irqchip_pit_timer_fired(&vm->chip);
	return HRTIMER_NORESTART;
}

static enum hrtimer_restart ioapic_timer_fired(struct hrtimer *timer)
{
	struct vm *vm = container_of(timer, struct vm, arch.ioapic_timer);

	irqchip_ioapic_timer_fired(&vm->chip);
	return HRTIMER_NORESTART;
}

/* --- who looks at the LAPIC timer's deadline --- */

/* What is due by now is taken up at once. */
void irqchip_host_keep_timer(struct vcpu *vcpu)
{
	if (!vcpu->arch.timer_by_entry)
		return;
	WRITE_ONCE(vcpu->arch.timer_by_entry, false);
	smp_mb(); /* ... before the core's deadline: pairs with host_timer_moved() */
	if (vlapic_timer_is_set(&vcpu->arch.apic))
		irqchip_lapic_timer_fired(&vcpu->vm->chip, vcpu->index);
}

void arch_vcpu_block_begin(struct vcpu *vcpu)
{
	irqchip_host_keep_timer(vcpu);
}

/* An hrtimer that is still under way does no harm. */
void arch_vcpu_block_end(struct vcpu *vcpu)
{
	if (!backend_has_timer(vcpu))
		return;
	WRITE_ONCE(vcpu->arch.timer_by_entry, true);
	if (vlapic_timer_is_set(&vcpu->arch.apic))
		hrtimer_try_to_cancel(&vcpu->arch.apic_timer);
}

/* --- life --- */

void irqchip_host_vcpu_init(struct vcpu *vcpu)
{
	compat_hrtimer_setup(&vcpu->arch.apic_timer, lapic_timer_fired, CLOCK_MONOTONIC,
			     TIMER_MODE);
}

/* The thread is gone, so only the callback could start the timer again; this waits for it. */
void irqchip_host_vcpu_stop(struct vcpu *vcpu)
{
	hrtimer_cancel(&vcpu->arch.apic_timer);
}

void irqchip_host_vm_init(struct vm *vm)
{
	vm->chip.vector_hashing = vector_hashing;
	compat_hrtimer_setup(&vm->arch.pit_timer, pit_timer_fired, CLOCK_MONOTONIC, TIMER_MODE);
	compat_hrtimer_setup(&vm->arch.ioapic_timer, ioapic_timer_fired, CLOCK_MONOTONIC,
			     TIMER_MODE);
}

/*
 * No ioctl, vCPU or irqfd is left. Each callback can still reach the other timers by an interrupt
 * that it raises: a LAPIC's by none, the IOAPIC's by a level line that storms, the PIT's by an
 * acknowledgement, which takes a vCPU. So this order leaves none behind.
 */
void irqchip_host_vm_stop(struct vm *vm)
{
	struct vcpu *vcpu;
	u32 i;

	hrtimer_cancel(&vm->arch.pit_timer);
	hrtimer_cancel(&vm->arch.ioapic_timer);
	if (vm->irqchip_mode == IRQCHIP_NONE)
		return;
	vm_for_each_vcpu (vm, i, vcpu)
		irqchip_host_vcpu_stop(vcpu);
}
