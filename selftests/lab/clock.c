// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints how many ticks of the TSC a second of sleep takes, a second of computing, and what
 * frequency the system's clock assumes: the three are one in a machine whose time is consistent.
 */
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(void)
{
	const struct timespec second = { .tv_sec = 1 };
	unsigned long long begin = __rdtsc(), slept;
	double start;

	nanosleep(&second, NULL);
	slept = __rdtsc() - begin;
	start = now();
	begin = __rdtsc();
	while (now() - start < 1)
		;
	printf("%.2f %.2f\n", slept / 1e6, (__rdtsc() - begin) / 1e6);
	return 0;
}
