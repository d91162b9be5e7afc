// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU that spins waits for another one of its VM, which can't go on while its thread has no CPU:
 * "directed yield" gives the spinner's time to such a thread. Which one it waits for is unknown;
 * those that were preempted are asked in turn, so that none is forgotten.
 *
 * Left out: to prefer vCPUs that were preempted in the guest's kernel, where locks are held.
 */
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <arch.h>

/* Who is in KVM_RUN: a task is freed a grace period after it has left. */
static struct task_struct *get_thread(struct vcpu *vcpu)
{
	struct task_struct *thread;

	rcu_read_lock();
	thread = rcu_dereference(vcpu->thread);
	if (thread)
		get_task_struct(thread);
	rcu_read_unlock();
	return thread;
}

/* Did its thread, preempted, get the rest of our time? -ESRCH: nobody else wants this CPU or its. */
static int yield_to_vcpu(struct vcpu *target)
{
	struct task_struct *thread;
	int r;

	if (!READ_ONCE(target->preempted))
		return 0;
	thread = get_thread(target);
	if (!thread)
		return 0;
	r = yield_to(thread, true);
	put_task_struct(thread);
	return r;
}

bool vcpu_spins(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	u32 n = smp_load_acquire(&vm->nr_vcpus);
	u32 last =
		READ_ONCE(vm->last_yielded_to); /* a hint: no harm if another spinner changes it */
	u32 i, k;
	int r = 0;

	vcpu->stats.directed_yield_attempted++;
	for (i = 1; i <= n && !r; i++) {
		k = (last + i) % n;
		if (vm->vcpu[k] != vcpu)
			r = yield_to_vcpu(vm->vcpu[k]);
		if (r > 0)
			WRITE_ONCE(vm->last_yielded_to, k);
	}
	if (r <= 0)
		return false;
	vcpu->stats.directed_yield_successful++;
	return true;
}
