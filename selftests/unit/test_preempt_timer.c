// SPDX-License-Identifier: GPL-2.0-only
/*
 * arch/x86/vmx/preempt_timer.h: the exit comes at the deadline or in the same unit of the count
 * after it, for every rate, judged by a timer that is played tick by tick; ns and ticks without
 * overflow; and which processors are taken for wrong.
 */
#include "harness.h"
#include "../../arch/x86/vmx/preempt_timer.h"

/* The TSC at which a processor exits that was entered at @now. */
static u64 exit_tsc(u64 now, u32 count, unsigned int rate)
{
	while (count) {
		now++;
		if (!(now & (BIT_ULL(rate) - 1))) /* bit @rate has changed */
			count--;
	}
	return now;
}

static void exits_at_the_deadline_and_not_before(void **state)
{
	unsigned int rate, now, ahead;

	(void)state;
	for (rate = 0; rate <= 7; rate++) {
		for (now = 0; now < 300; now++) {
			for (ahead = 1; ahead < 300; ahead += 1 + ahead / 16) {
				u64 deadline = now + ahead, at;

				at = exit_tsc(now, preempt_timer_count(deadline, now, rate), rate);
				assert_true(at >= deadline);
				assert_true(at - deadline < BIT_ULL(rate));
			}
		}
	}
}

static void a_deadline_that_has_come_exits_at_once(void **state)
{
	unsigned int rate;

	(void)state;
	for (rate = 0; rate <= PREEMPT_TIMER_MAX_RATE; rate++) {
		assert_int_equal(preempt_timer_count(1000, 1000, rate), 0);
		assert_int_equal(preempt_timer_count(1000, 1001, rate), 0);
		assert_int_equal(preempt_timer_count(0, ~0ull, rate), 0);
		assert_true(preempt_timer_count(1001, 1000, rate) > 0);
	}
}

static void a_far_deadline_fills_the_count(void **state)
{
	unsigned int rate;

	(void)state;
	for (rate = 0; rate <= PREEMPT_TIMER_MAX_RATE; rate++) {
		assert_int_equal(preempt_timer_count(~0ull, 0, rate), ~0u);
		assert_int_equal(preempt_timer_count(~0ull >> (31 - rate), 0, rate), ~0u);
	}
	assert_int_equal(preempt_timer_count(0xffffffff, 0, 0), 0xffffffff);
	assert_int_equal(preempt_timer_count(0xfffffffe, 0, 0), 0xfffffffe);
	assert_int_equal(preempt_timer_count(0x100000000, 0, 0), 0xffffffff);
}

static void ns_become_ticks_rounded_up(void **state)
{
	static const u32 khz[] = { 1, 999, 100000, 2893456, 5000000, ~0u };
	unsigned int i;
	u64 ns;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(khz); i++) {
		assert_int_equal(preempt_timer_ticks(0, khz[i]), 0);
		for (ns = 1; ns <= PREEMPT_TIMER_FAR_NS; ns = ns * 5 / 2 + 1) {
			unsigned __int128 exact = (unsigned __int128)ns * khz[i];
			u64 ticks = preempt_timer_ticks(ns, khz[i]);

			assert_true((unsigned __int128)ticks * 1000000 >= exact);
			assert_true((unsigned __int128)(ticks - 1) * 1000000 < exact);
		}
		assert_int_equal(preempt_timer_ticks(~0ull, khz[i]),
				 preempt_timer_ticks(PREEMPT_TIMER_FAR_NS, khz[i]));
	}
}

static void only_a_wrong_rate_is_suspicious(void **state)
{
	unsigned int rate;
	u64 wanted;

	(void)state;
	for (rate = 0; rate <= 10; rate++) {
		for (wanted = 0; wanted < 1ull << 40; wanted = wanted * 3 + 1) {
			assert_false(preempt_timer_off(wanted, wanted, rate));
			assert_false(preempt_timer_off(wanted, wanted + PREEMPT_TIMER_SLACK, rate));
			assert_false(preempt_timer_off(wanted, wanted - wanted / 10, rate));
			if (wanted < 8 * PREEMPT_TIMER_SLACK)
				continue;
			assert_true(preempt_timer_off(wanted, wanted / 2, rate));
			assert_true(preempt_timer_off(wanted, wanted * 2, rate));
		}
	}
}

/* A way that takes @ticks each time: from no lead at all to that one. */
static u32 settled_lead(s64 ticks)
{
	u32 lead = 0;
	int i;

	for (i = 0; i < 50; i++)
		lead = preempt_timer_lead(lead, ticks - lead);
	return lead;
}

static void the_lead_follows_and_is_bounded(void **state)
{
	s64 late;
	u32 lead;

	(void)state;
	for (late = 0; late <= PREEMPT_TIMER_MAX_LEAD; late += 13) {
		assert_in_range(settled_lead(late), late > 3 ? late - 3 : 0, late);
		assert_int_equal(preempt_timer_lead(settled_lead(late), -late),
				 settled_lead(late) - late / 4);
	}
	for (lead = 0; lead <= PREEMPT_TIMER_MAX_LEAD; lead += 13)
		for (late = -3 * PREEMPT_TIMER_MAX_LEAD; late < 3 * PREEMPT_TIMER_MAX_LEAD;
		     late += 7)
			assert_in_range(preempt_timer_lead(lead, late), 0, PREEMPT_TIMER_MAX_LEAD);
	/* What was held up says nothing of the way. */
	assert_int_equal(preempt_timer_lead(500, 1000000), 500);
	assert_int_equal(preempt_timer_lead(500, -1000000), 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exits_at_the_deadline_and_not_before),
		cmocka_unit_test(a_deadline_that_has_come_exits_at_once),
		cmocka_unit_test(a_far_deadline_fills_the_count),
		cmocka_unit_test(ns_become_ticks_rounded_up),
		cmocka_unit_test(only_a_wrong_rate_is_suspicious),
		cmocka_unit_test(the_lead_follows_and_is_bounded),
	};

	return cmocka_run_group_tests_name("preempt_timer", tests, NULL, NULL);
}
