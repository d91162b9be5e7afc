/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel interfaces that differ between the kernels we build on. Each difference is found by
 * tools/kbuild/probe.sh in the kernel's own headers, is named HAVE_..., and is hidden here behind
 * one compat_ name, so that no other file needs to know. Where an interface that is the same
 * everywhere does the job (fget() instead of fdget(), noop_llseek), that one is used instead.
 */
#ifndef APICVISOR_COMPAT_H
#define APICVISOR_COMPAT_H

#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/sched.h>

#ifdef PROBE_FAILED
#error "tools/kbuild/probe.sh could not read the kernel's headers; see its message above"
#endif

/* Add one to an eventfd. The count argument, always 1, went away in time. */
static inline void compat_eventfd_signal(struct eventfd_ctx *ctx)
{
#ifdef HAVE_EVENTFD_SIGNAL_COUNT
	eventfd_signal(ctx, 1);
#else
	eventfd_signal(ctx);
#endif
}

/* Initialize a timer with its callback; formerly two steps. */
static inline void compat_hrtimer_setup(struct hrtimer *timer,
					enum hrtimer_restart (*fn)(struct hrtimer *),
					clockid_t clock, enum hrtimer_mode mode)
{
#ifdef HAVE_HRTIMER_SETUP
	hrtimer_setup(timer, fn, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = fn;
#endif
}

/*
 * In a sched_out notifier: does current leave the CPU although it could run on? A scheduler with
 * delayed dequeue keeps sleeping tasks on the queue, so there ->on_rq alone no longer tells.
 */
static inline bool compat_current_preempted(void)
{
#ifdef HAVE_TASK_IS_RUNNABLE
	return task_is_runnable(current);
#else
	return current->on_rq;
#endif
}

/*
 * kvm_run.immediate_exit. Userspace may change it any time; newer headers spell that out in the
 * kernel's name of the field.
 */
static inline bool compat_immediate_exit(const struct kvm_run *run)
{
#ifdef HAVE_IMMEDIATE_EXIT_UNSAFE
	return READ_ONCE(run->immediate_exit__unsafe);
#else
	return READ_ONCE(run->immediate_exit);
#endif
}

/* What the MMU notifier's clear_flush_young, clear_young and test_young return. */
#ifdef HAVE_MMU_NOTIFIER_YOUNG_BOOL
typedef bool compat_young_t;
#else
typedef int compat_young_t;
#endif

#endif
