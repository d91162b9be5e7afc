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

/* Interrupts off, no RCU reader: the CPU is about to run a guest, in one or more entries. */
static inline void guest_context_begin(void)
{
	vtime_account_guest_enter();
	/* If RCU goes on watching: it need not wait for this CPU. A tick ends what begins here. */
	if (!context_tracking_enabled_this_cpu())
		rcu_note_context_switch(false);
}

/* Interrupts off. The time since guest_context_begin() was the guest's. */
static inline void guest_context_end(void)
{
	vtime_account_guest_exit();
}

/* Interrupts off, around one entry: in between only noinstr code may run. */
static __always_inline void guest_context_enter(void)
{
	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();

	context_tracking_guest_enter();
	lockdep_hardirqs_on(CALLER_ADDR0);
}

static __always_inline void guest_context_exit(void)
{
	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();

	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();
}

#endif
