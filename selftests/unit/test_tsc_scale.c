// SPDX-License-Identifier: GPL-2.0-only
/*
 * include/tsc_scale.h: multipliers, products and clocks against what 128 bits say, at the edges of
 * what userspace may ask for and at random; and the promise that a guest's TSC is never behind its
 * frequency, on which the deadlines rest.
 */
#include <tsc_scale.h>
#include "harness.h"

typedef unsigned __int128 u128;

static const u32 khz_edges[] = {
	1,
	2,
	3,
	999,
	1000,
	32767,
	32768,
	65535,
	65536,
	65537,
	99999,
	100000,
	100001,
	2345678,
	2893456,
	3500000,
	0x7fffffe,
	0x7ffffffd,
	TSC_MAX_KHZ - 1,
};

#define for_each_edge(k) for (const u32 *k = khz_edges; k < khz_edges + ARRAY_SIZE(khz_edges); k++)

static u64 state = 88172645463325252;

static u64 any(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static u32 any_khz(void)
{
	u32 khz = (u32)(any() >> (33 + any() % 31));

	return khz && khz < TSC_MAX_KHZ ? khz : 1;
}

/* --- multipliers --- */

static void check_ratio(u32 khz, u32 host_khz)
{
	u128 exact = ((u128)khz << TSC_RATIO_BITS) + host_khz - 1;

	exact /= host_khz;
	if (exact >> 64)
		exact = 0;
	assert_true(tsc_ratio(khz, host_khz) == exact);
}

static void a_ratio_is_the_quotient_rounded_up(void **unused)
{
	(void)unused;
	for_each_edge(guest) for_each_edge(host) check_ratio(*guest, *host);
	for (int i = 0; i < 100000; i++)
		check_ratio(any_khz(), any_khz());
	check_ratio(~0u, ~0u);
	check_ratio(~0u - 1, ~0u);
	check_ratio(1, ~0u);
}

static void the_hosts_own_frequency_is_one(void **unused)
{
	(void)unused;
	for_each_edge(k)
	{
		assert_int_equal(tsc_ratio(*k, *k), TSC_RATIO_ONE);
		assert_int_equal(tsc_scale(~0ULL, tsc_ratio(*k, *k)), ~0ULL);
	}
}

static void a_ratio_that_does_not_fit_is_none(void **unused)
{
	(void)unused;
	assert_int_equal(tsc_ratio(65536, 1), 0);
	assert_int_equal(tsc_ratio(65535, 1), 65535ULL << 48);
	assert_int_equal(tsc_ratio(TSC_MAX_KHZ - 1, 32767), 0);
	assert_true(tsc_ratio(TSC_MAX_KHZ - 1, 32768) > 65535ULL << 48);
}

/* Different frequencies have different ratios: who compares ratios compares frequencies. */
static void neighbours_differ(void **unused)
{
	(void)unused;
	for_each_edge(k) if (*k > 1)
		assert_true(tsc_ratio(*k - 1, TSC_MAX_KHZ - 1) != tsc_ratio(*k, TSC_MAX_KHZ - 1));
}

/* --- products --- */

static void check_scale(u64 tsc, u64 ratio)
{
	/* four partial products of 32 bits: no 128-bit arithmetic of the compiler's */
	u64 al = (u32)tsc, ah = tsc >> 32, bl = (u32)ratio, bh = ratio >> 32;
	u64 mid = ah * bl + (al * bl >> 32), high, low;

	high = ah * bh + (mid >> 32);
	mid = (u32)mid + al * bh;
	high += mid >> 32;
	low = mid << 32 | (u32)(al * bl);
	assert_int_equal(tsc_scale(tsc, ratio), high << 16 | low >> 48);
}

static void a_product_is_rounded_down(void **unused)
{
	static const u64 edges[] = { 0,          1,
				     2,          0xffffffff,
				     1ULL << 32, (1ULL << 48) - 1,
				     1ULL << 48, (1ULL << 48) + 1,
				     1ULL << 63, ~0ULL };

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		for (size_t j = 0; j < ARRAY_SIZE(edges); j++)
			check_scale(edges[i], edges[j]);
	for (int i = 0; i < 100000; i++)
		check_scale(any() >> any() % 64, any() >> any() % 64);
	assert_int_equal(tsc_scale(3, TSC_RATIO_ONE / 2), 1);
	assert_int_equal(tsc_scale(3, TSC_RATIO_ONE * 3 / 2), 4);
}

static void check_host_ticks(u64 ticks, u64 ratio)
{
	u128 exact = (((u128)ticks << TSC_RATIO_BITS) + ratio - 1) / ratio;

	assert_int_equal(tsc_host_ticks(ticks, ratio), exact >> 64 ? ~0ULL : (u64)exact);
}

static void host_ticks_are_enough_and_no_more(void **unused)
{
	static const u64 edges[] = { 0,
				     1,
				     2,
				     0xffff,
				     1ULL << 16,
				     1ULL << 32,
				     TSC_RATIO_ONE - 1,
				     TSC_RATIO_ONE,
				     TSC_RATIO_ONE + 1,
				     1ULL << 63,
				     ~0ULL };

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		for (size_t j = 1; j < ARRAY_SIZE(edges); j++)
			check_host_ticks(edges[i], edges[j]);
	for (int i = 0; i < 100000; i++) {
		u64 ratio = tsc_ratio(any_khz(), any_khz()), now = any() >> any() % 64;
		u64 ticks = any() >> any() % 64, host;

		if (!ratio)
			continue;
		check_host_ticks(ticks, ratio);
		host = tsc_host_ticks(ticks, ratio);
		if (host != ~0ULL) /* whatever the fraction is that @now hides */
			assert_true(tsc_scale(now + host, ratio) - tsc_scale(now, ratio) >= ticks ||
				    now + host < now);
	}
}

static void a_tsc_shows_what_it_is_set_to(void **unused)
{
	(void)unused;
	for (int i = 0; i < 100000; i++) {
		struct tsc_map map = { .ratio = any() >> any() % 64 | 1 };
		u64 now = any() >> any() % 64, value = any() >> any() % 64;

		tsc_set_at(&map, now, value);
		assert_int_equal(tsc_at(&map, now), value);
	}
}

/* A deadline is put at @wait = guest ticks / kHz, rounded up, which is host ticks of the host's. */
static void a_guest_is_never_behind_its_frequency(void **unused)
{
	(void)unused;
	for (int i = 0; i < 100000; i++) {
		u32 khz = any_khz(), host_khz = any_khz();
		struct tsc_map map = { .ratio = tsc_ratio(khz, host_khz), .offset = any() };
		u64 now = any() >> (8 + any() % 40), ahead = any() >> (20 + any() % 40), wait;

		if (!map.ratio || (u128)ahead * host_khz / khz >> 60)
			continue;
		wait = (u64)(((u128)ahead * host_khz + khz - 1) / khz);
		assert_true(tsc_at(&map, now + wait) - tsc_at(&map, now) >= ahead);
	}
}

/* --- the clock --- */

static void check_clock(u32 khz)
{
	struct tsc_clock c = tsc_clock_for(khz);
	u64 second = (u64)khz * 1000, ns;

	assert_true(c.mul >> 31); /* all 32 bits in use */
	for (u64 ticks = 1; ticks <= 3600 * second; ticks = ticks * 3 + any() % 3) {
		u128 exact = (u128)ticks * 1000000 / khz;

		ns = tsc_clock_ns(&c, ticks);
		assert_true(ns <= exact);
		/* what the shift drops is up to 2^11 ticks of a fast TSC: one ns or so */
		assert_true(exact - ns <= (exact >> 31) + 2);
	}
}

static void a_clock_is_as_precise_as_it_says(void **unused)
{
	(void)unused;
	for_each_edge(k) check_clock(*k);
	for (int i = 0; i < 10000; i++)
		check_clock(any_khz());
}

static void a_clock_reads_as_the_guest_reads_it(void **unused)
{
	struct tsc_clock down = { .mul = 0x80000001, .shift = -3 },
			 up = { .mul = 1u << 31, .shift = 4 };

	(void)unused;
	assert_int_equal(tsc_clock_ns(&down, 15), 0); /* (15 >> 3) * mul >> 32 */
	assert_int_equal(tsc_clock_ns(&down, 16), 1);
	assert_int_equal(tsc_clock_ns(&up, 1), 8);
	assert_int_equal(tsc_clock_ns(&up, 1ULL << 60 | 1),
			 8); /* the shift drops the highest bits */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ratio_is_the_quotient_rounded_up),
		cmocka_unit_test(the_hosts_own_frequency_is_one),
		cmocka_unit_test(a_ratio_that_does_not_fit_is_none),
		cmocka_unit_test(neighbours_differ),
		cmocka_unit_test(a_product_is_rounded_down),
		cmocka_unit_test(host_ticks_are_enough_and_no_more),
		cmocka_unit_test(a_tsc_shows_what_it_is_set_to),
		cmocka_unit_test(a_guest_is_never_behind_its_frequency),
		cmocka_unit_test(a_clock_is_as_precise_as_it_says),
		cmocka_unit_test(a_clock_reads_as_the_guest_reads_it),
	};

	return cmocka_run_group_tests_name("tsc_scale", tests, NULL, NULL);
}
