// SPDX-License-Identifier: GPL-2.0-only
/*
 * A loop of a known number of instructions between the two marks of `lab run --profile`, several
 * times, since one of them will be undisturbed. Prints how many instructions that is and the ticks
 * of the quickest: in that emulator both are the same, whatever the other CPUs do.
 */
#include <stdint.h>
#include <stdio.h>

#define ROUNDS 5000 /* of two instructions */
#define TIMES  20

static uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

int main(void)
{
	uint64_t best = ~0UL;

	for (int i = 0; i < TIMES; i++) {
		uint64_t n = ROUNDS, start = rdtsc(), ticks;

		asm volatile("xchg %%bx, %%bx\n"
			     "1: dec %0\n"
			     "jnz 1b\n"
			     "xchg %%cx, %%cx"
			     : "+r"(n)
			     :
			     : "memory");
		ticks = rdtsc() - start;
		if (ticks < best)
			best = ticks;
	}
	printf("%d %lu\n", 2 * ROUNDS, (unsigned long)best);
	return 0;
}
