/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the rest of the kernel must know about a CPU that runs a guest. To RCU, lockdep and CPU-time
 * accounting the guest is like userspace: a quiescent state with interrupts on, whose time is the
 * guest's. For a backend's innermost function, around the entry itself.
 */
#ifndef APICVISOR_GUEST_CONTEXT_H
#define APICVISOR_GUEST_CONTEXT_H

#include <linux/context_tracking.h>
#include <linux/ftrace.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/rcupdate.h>
#include <linux/vtime.h>

/* Interrupts off. Between this and guest_context_exit() only noinstr code may run. */
static __always_inline void guest_context_enter(void)
{
	bool tracked;

	instrumentation_begin();
	vtime_account_guest_enter();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();

	tracked = context_tracking_guest_enter();
	if (!tracked) { /* RCU still watches: a note that it need not wait for this CPU has to do */
		instrumentation_begin();
		rcu_note_context_switch(false);
		instrumentation_end();
	}
	lockdep_hardirqs_on(CALLER_ADDR0);
}

/* Interrupts off. The time is the guest's until vtime_account_guest_exit(). */
static __always_inline void guest_context_exit(void)
{
	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();

	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();
}

#endif
