/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arithmetic of the VMX-preemption timer: from a deadline to the count that an entry loads, and
 * whether the processor counts as it says. Pure functions without kernel types, so that the unit
 * tests can ask them about every case. Who uses the timer, and when, stands in preempt_timer.c.
 *
 * Source: SDM "VMX-Preemption Timer": the count drops by one whenever bit @rate of the TSC changes,
 * and at zero the guest exits.
 */
#ifndef VMX_PREEMPT_TIMER_H
#define VMX_PREEMPT_TIMER_H

#include <irqchip/env.h>

#define PREEMPT_TIMER_MAX_RATE 31

/* Deadlines further away than this, in ns (73 minutes), are looked at again when it has passed. */
#define PREEMPT_TIMER_FAR_NS   (1ULL << 42)

/* @ns in ticks of a TSC of @tsc_khz, rounded up; of at most PREEMPT_TIMER_FAR_NS. */
static inline u64 preempt_timer_ticks(u64 ns, u32 tsc_khz)
{
	u32 rest;
	u64 ms;

	ns = min_t(u64, ns, PREEMPT_TIMER_FAR_NS);
	ms = ns / 1000000;
	rest = ns % 1000000;
	return ms * tsc_khz + ((u64)rest * tsc_khz + 999999) / 1000000;
}

/*
 * What to load at TSC @now for an exit at TSC @deadline: never earlier, except that the count has
 * 32 bits. 0, an exit before the first instruction, if @deadline has come.
 */
static inline u32 preempt_timer_count(u64 deadline, u64 now, unsigned int rate)
{
	if (deadline <= now)
		return 0;
	return (u32)min_t(u64, ((deadline - 1) >> rate) + 1 - (now >> rate), ~0u);
}

/*
 * How much earlier than at the deadline the guest exits, in ticks: what the way from that exit to
 * the next entry has taken lately. After an exit with @lead the entry was @late ticks behind the
 * deadline (negative: it had to wait). What is far too late was held up by something else.
 */
#define PREEMPT_TIMER_MAX_LEAD 4096
static inline u32 preempt_timer_lead(u32 lead, s64 late)
{
	if (late > PREEMPT_TIMER_MAX_LEAD || late < -PREEMPT_TIMER_MAX_LEAD)
		return lead;
	return (u32)max_t(s64, 0, min_t(s64, lead + late / 4, PREEMPT_TIMER_MAX_LEAD));
}

/*
 * Some processors count at another rate than IA32_VMX_MISC gives (several specification updates
 * list it as an erratum). Is an exit after @took ticks, where @wanted were asked for, suspicious?
 * The slack is for what comes between: the entry, the exit, interrupts of the host.
 */
#define PREEMPT_TIMER_SLACK (1u << 17)
static inline bool preempt_timer_off(u64 wanted, u64 took, unsigned int rate)
{
	u64 slack = wanted / 8 + (1ULL << rate) + PREEMPT_TIMER_SLACK;

	return took + slack < wanted || took > wanted + slack;
}

#endif
