/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arithmetic of a guest's TSC that runs at another rate than the host's, and of the clock that
 * is made of a TSC. Pure functions without kernel types: test_tsc_scale asks them about the edges.
 * Who has which rate, and when it changes, stands in arch/x86/clock.c.
 *
 * Rounding. A multiplier is rounded up, so that a guest's TSC is never slower than its frequency
 * says: what waits for a TSC by the clock (the TSC deadline) is not early. The product is rounded
 * down, as the processor does it. Nothing overflows for frequencies below TSC_MAX_KHZ.
 */
#ifndef TSC_SCALE_H
#define TSC_SCALE_H

#include <irqchip/env.h>

/* A multiplier has 48 fractional bits: SDM "Time-Stamp Counter Offset and Multiplier". */
#define TSC_RATIO_BITS 48
#define TSC_RATIO_ONE  BIT_ULL(TSC_RATIO_BITS)

/* KVM_GET_TSC_KHZ returns an int. */
#define TSC_MAX_KHZ    0x7fffffffu

/* How a guest's TSC follows from the host's. */
struct tsc_map {
	u64 ratio;  /* multiplier, not 0 */
	u64 offset; /* added to the product, modulo 2^64 */
};

/* How ns follow from the ticks of a TSC: (ticks << shift, or >> -shift) * mul / 2^32. */
struct tsc_clock {
	u32 mul;
	s8 shift;
};

/*
 * The multiplier for a guest of @khz on a host of @host_khz, both not 0; rounded up. 0: 2^16 times
 * the host's frequency or more, for which there is none.
 */
static inline u64 tsc_ratio(u32 khz, u32 host_khz)
{
	u64 whole = khz / host_khz;
	u64 high = (u64)(khz % host_khz) << 32; /* the first 32 of the fractional bits ... */
	u64 low = high % host_khz << 16;        /* ... and the other 16 */

	if (whole >> (64 - TSC_RATIO_BITS))
		return 0;
	return (whole << TSC_RATIO_BITS) + (high / host_khz << 16) +
	       (low + host_khz - 1) / host_khz;
}

/* What RDTSC adds the offset to. Source: SDM "RDTSC" in non-root operation. */
static inline u64 tsc_scale(u64 host_tsc, u64 ratio)
{
	return (u64)((unsigned __int128)host_tsc * ratio >> TSC_RATIO_BITS);
}

/*
 * The fewest ticks of the host in which the guest's TSC gains @ticks for certain; the other way
 * than tsc_scale(), so rounded up. ~0: more than there are.
 */
static inline u64 tsc_host_ticks(u64 ticks, u64 ratio)
{
	u64 host;

	if (ratio == TSC_RATIO_ONE)
		return ticks;
	if (ticks >> (64 - TSC_RATIO_BITS) >= ratio)
		return ~0ULL;
	host = mul_u64_u64_div_u64(ticks, TSC_RATIO_ONE, ratio);
	return tsc_scale(host, ratio) < ticks ? host + 1 : host;
}

/* The guest's TSC when the host's is @host_tsc. */
static inline u64 tsc_at(const struct tsc_map *map, u64 host_tsc)
{
	return tsc_scale(host_tsc, map->ratio) + map->offset;
}

/* Let the guest's TSC be @value when the host's is @host_tsc. */
static inline void tsc_set_at(struct tsc_map *map, u64 host_tsc, u64 value)
{
	map->offset = value - tsc_scale(host_tsc, map->ratio);
}

static inline u64 tsc_clock_mul(u32 khz, int shift)
{
	const u64 ns_per_ms = 1000000;

	return (shift < 0 ? ns_per_ms << (32 - shift) : ns_per_ms << 32 >> shift) / khz;
}

/* For a TSC of @khz, not 0: as precise as 32 bits of ->mul allow, and never fast. */
static inline struct tsc_clock tsc_clock_for(u32 khz)
{
	int shift = 0;

	while (tsc_clock_mul(khz, shift) >> 32)
		shift++;
	while (!(tsc_clock_mul(khz, shift) >> 31))
		shift--;
	return (struct tsc_clock){ .mul = (u32)tsc_clock_mul(khz, shift), .shift = (s8)shift };
}

/* @ticks in ns, exactly as a guest computes it from its clock page: modulo 2^64 after the shift. */
static inline u64 tsc_clock_ns(const struct tsc_clock *c, u64 ticks)
{
	ticks = c->shift < 0 ? ticks >> -c->shift : ticks << c->shift;
	return (u64)((unsigned __int128)ticks * c->mul >> 32);
}

#endif
