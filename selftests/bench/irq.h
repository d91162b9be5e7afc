/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the cases about interrupts share: handlers that note the moment (stubs.S), receivers, and
 * one clock for all. irq.c has the guest's side of it.
 */
#ifndef SELFTESTS_BENCH_IRQ_H
#define SELFTESTS_BENCH_IRQ_H

#include "bench.h"

#define SETTLE_TICKS 300000 /* longer than a halted vCPU is polled for before its thread sleeps */

/* Written by the handlers: of the last interrupt, and how many there were. */
extern volatile uint64_t bench_first, bench_done, bench_count;
extern const char bench_irq_xapic[], bench_irq_x2apic[], bench_irq_pic[], bench_irq_nmi[];

/* Set by the host: receivers beside the vCPU that sends; they halt between interrupts. */
extern volatile uint64_t receivers, halting;
/* How often a receiver was about to halt; one more than interrupts when all of them sleep. */
extern volatile uint64_t halts;

/* A host or guest asks a receiver for its TSC: see agree_on_clock(). */
struct clock {
	volatile uint64_t ping, pong, tsc, agreed, ready;
};
extern struct clock common_clock;

/* --- guest --- */

void set_gate(unsigned int vector, const char *handler);
/* The handler of VECTOR and the LAPIC, by the mode; RFLAGS.IF stays. */
void enable_interrupts(void);
/* A vCPU that is interrupted: running in a loop or halted. */
void receiver(uint64_t unused);
/* A vCPU that is there, halted, and takes no part. */
void bystander(uint64_t unused);

/* --- host --- */

/* Let the vCPU run fn(arg) on a thread of its own, on CPU 1. */
void start_on_cpu1(struct vcpu *v, void (*fn)(uint64_t), uint64_t arg);

/* --- either side --- */

/*
 * How far the receiver's TSC is ahead of this side's, to half of the quickest of some round trips.
 * Then receivers go on. @c is the guest's copy.
 */
int64_t agree_on_clock(struct clock *c);

/*
 * A batch whose operations cause @n interrupts each: what sending takes, and how long after its
 * beginning the handler begins and ends. Each is between two marks.
 */
#define TIMED_SENDS(name, n, wait, send)                   \
	static void name(uint64_t *ticks)                  \
	{                                                  \
		ticks[0] = ticks[1] = ticks[2] = 0;        \
		for (uint64_t i = ops; i; i--) {           \
			uint64_t want = bench_count + (n); \
			uint64_t start, sent;              \
                                                           \
			wait;                              \
			start = batch_begin();             \
			send;                              \
			sent = rdtsc();                    \
			while (bench_count != want)        \
				;                          \
			batch_end();                       \
			ticks[0] += sent - start;          \
			ticks[1] += bench_first - start;   \
			ticks[2] += bench_done - start;    \
		}                                          \
	}
#define SEND_METRICS                     \
	{                                \
		"send", "handler", "eoi" \
	}

#endif
