/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The benchmark in the lab: one program that is VMM and guest (lib/guest.h) and runs the same on
 * apicvisor and on in-tree KVM. A case repeats one operation; its guest times whole batches of it
 * by the TSC, and the host says how many exits a batch took. What comes out are lines "@bench
 * {JSON}" of raw figures: medians and ratios are tools/bench's.
 */
#ifndef SELFTESTS_BENCH_H
#define SELFTESTS_BENCH_H

#include "apicmode.h"
#include "kvmtest.h"

#define REPEATS     15 /* timed batches, at most */
#define MAX_METRICS 4
#define BENCH_PORT  0x510 /* a port that userspace serves */
#define VECTOR      0x41

struct bench_case {
	const char *name; /* group.operation[.mode] */
	void (*run)(const struct bench_case *c);
	void (*batch)(uint64_t *ticks); /* guest: @ops operations; their ticks, by metric */
	void (*prepare)(void);          /* guest, once; may be NULL */
	unsigned int ops;               /* operations of a batch */
	unsigned int marked;            /* operations between two marks, if not @ops */
	unsigned int arg;               /* the case's own */
	enum apic_mode mode;
	const char *unit;                /* if not ticks */
	const char *metric[MAX_METRICS]; /* names of what a batch reports; the first may be NULL */
};

/* Each ends with a case without a name. */
extern const struct bench_case exit_cases[], ipi_cases[], irq_cases[], timer_cases[], life_cases[],
	guest_cases[];

/* --- the frame: frame.c --- */

/* Timed batches of each case: 1 to REPEATS. BENCH_REPEATS. */
unsigned int repeats(void);

/* Ticks of the batches, by metric. */
struct samples {
	uint64_t ticks[MAX_METRICS][REPEATS];
	unsigned int n;
};

struct exit_counts;
/* One line for each metric. @exits: NULL if they were not counted. */
void emit(const struct bench_case *c, const struct samples *s, const struct exit_counts *exits);

/*
 * Batches of @v, whose guest calls guest_sync_values(1, ticks..) after each: one to warm up, one in
 * which exits are counted, and the timed ones. Then emit().
 */
void measure(const struct bench_case *c, struct vcpu *v);
/* A VM with one vCPU that runs the case's batches. */
void run_loop(const struct bench_case *c);

/* --- exits by reason: count.c --- */

#define MAX_COUNTS 64

struct exit_counts {
	unsigned int n;
	struct {
		unsigned int vcpu;
		const char *reason; /* apicvisor's names */
		uint64_t count;
	} of[MAX_COUNTS];
};

/* Exits of all vCPUs of @vm between the two calls; on the peer, tracing slows them down meanwhile. */
void count_begin(struct vm *vm);
void count_end(struct vm *vm, struct exit_counts *counts);

/* --- the guest --- */

/* frame.c: operations of a batch. Set by the host before the start. */
extern volatile uint64_t ops;

/* What a vCPU that runs batches starts with. Guest code. */
void loop(uint64_t unused);
/* Let @v run them: in_guest() of all that loop() needs. */
void set_loop(const struct bench_case *c, struct vcpu *v);

/*
 * What a batch is between, on either side: the moment, and a mark for `lab run --profile`, whose
 * emulator counts instructions from one to the other. Elsewhere the mark is an instruction that
 * does nothing.
 */
static inline uint64_t batch_begin(void)
{
	asm volatile("xchg %%bx, %%bx" : : : "memory");
	return rdtsc();
}

static inline uint64_t batch_end(void)
{
	uint64_t now = rdtsc();

	asm volatile("xchg %%cx, %%cx" : : : "memory");
	return now;
}

/* A guest function that times one batch of @body. */
#define BATCH(name, ...)                                   \
	static void name(uint64_t *ticks)                  \
	{                                                  \
		uint64_t n_ = ops, start_ = batch_begin(); \
                                                           \
		do {                                       \
			__VA_ARGS__;                       \
		} while (--n_);                            \
		ticks[0] = batch_end() - start_;           \
	}

#endif
