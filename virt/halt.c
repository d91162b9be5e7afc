// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU with nothing to do: in HLT, or an application processor that waits for SIPI. Before it
 * sleeps in HLT it may look out for an interrupt for a while ("halt polling"), which saves the
 * scheduler's and the wake-up's time where interrupts come soon.
 *
 * How long is learnt for each vCPU: longer when an interrupt came a bit later than it looked, less
 * when it came much later. Parameters are those of KVM, by name and meaning.
 */
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <arch.h>
#include <backend.h>

static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "look out for interrupts at most so long before sleeping; 0: never");

static unsigned int halt_poll_ns_grow = 2;
module_param(halt_poll_ns_grow, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_grow, "factor by which a vCPU's time grows; 0: it doesn't");

static unsigned int halt_poll_ns_grow_start = 10000;
module_param(halt_poll_ns_grow_start, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_grow_start, "the shortest time, where growing begins");

static unsigned int halt_poll_ns_shrink = 2;
module_param(halt_poll_ns_shrink, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_shrink, "divisor by which a vCPU's time shrinks; 0: to nothing");

static u32 longest_poll(const struct vm *vm)
{
	u64 ns = READ_ONCE(vm->halt_poll_ns);

	return ns == HALT_POLL_DEFAULT ? READ_ONCE(halt_poll_ns) : ns;
}

static u32 longer(u64 ns, u32 limit)
{
	u32 grow = READ_ONCE(halt_poll_ns_grow);

	if (!grow)
		return ns;
	return min_t(u64, max_t(u64, ns * grow, READ_ONCE(halt_poll_ns_grow_start)), limit);
}

static u32 shorter(u32 ns)
{
	u32 shrink = READ_ONCE(halt_poll_ns_shrink);

	ns = shrink ? ns / shrink : 0;
	return ns < READ_ONCE(halt_poll_ns_grow_start) ? 0 : ns;
}

/* The interrupt came after @waited ns. */
static void learn(struct vcpu *vcpu, u64 waited, u32 limit)
{
	u32 ns = min(vcpu->halt_poll_ns, limit);

	if (waited > limit)
		ns = shorter(ns);
	else if (waited > ns)
		ns = longer(ns, limit);
	vcpu->halt_poll_ns = ns;
}

/* Nobody else wants this CPU, and nothing wants this thread elsewhere. */
static bool may_poll(struct vcpu *vcpu)
{
	return single_task_running() && !vcpu_work_pending(vcpu);
}

/* True: something has come. */
static bool poll(struct vcpu *vcpu, u64 start, u32 limit)
{
	u64 now = start, end = start + min(vcpu->halt_poll_ns, limit);
	bool found = false;

	if (start == end)
		return false;
	vcpu->stats.halt_attempted_poll++;
	while (!found && now < end && may_poll(vcpu)) {
		cpu_relax();
		found = arch_vcpu_runnable(vcpu);
		now = ktime_get_ns();
	}
	if (found) {
		vcpu->stats.halt_successful_poll++;
		vcpu->stats.halt_poll_success_ns += now - start;
	} else {
		vcpu->stats.halt_poll_fail_ns += now - start;
	}
	return found;
}

/* True: something has come. False: a signal, or to sleep again: see backend_block_again(). */
static bool sleep(struct vcpu *vcpu)
{
	bool found = false;

	backend_pre_block(vcpu);
	/* In this order: a device may come, post and go again between the two looks. */
	rcuwait_wait_event(&vcpu->wait,
			   backend_block_again(vcpu) || (found = arch_vcpu_runnable(vcpu)),
			   TASK_INTERRUPTIBLE);
	backend_post_block(vcpu);
	return found;
}

static bool poll_and_sleep(struct vcpu *vcpu)
{
	u32 limit = longest_poll(vcpu->vm);
	bool found;
	u64 start;

	if (!limit) {
		vcpu->halt_poll_ns = 0;
		return sleep(vcpu);
	}
	start = ktime_get_ns();
	found = poll(vcpu, start, limit) || sleep(vcpu);
	if (found)
		learn(vcpu, ktime_get_ns() - start, limit);
	return found;
}

bool vcpu_block(struct vcpu *vcpu)
{
	bool found;

	vcpu->stats.halts++;
	vcpu_srcu_unlock(vcpu);
	arch_vcpu_block_begin(vcpu);
	/* For SIPI there is no time to be won. */
	found = arch_vcpu_halted(vcpu) ? poll_and_sleep(vcpu) : sleep(vcpu);
	arch_vcpu_block_end(vcpu);
	vcpu_srcu_lock(vcpu);
	if (found)
		vcpu->stats.wakeups++;
	return found;
}
