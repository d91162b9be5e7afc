// SPDX-License-Identifier: GPL-2.0-only
/*
 * The LAPIC's timer in its three modes: what setting it takes, and how late its interrupt comes to
 * a vCPU that runs or is halted.
 */
#include "irq.h"

#define DELAY_TICKS 30000UL
#define FAR_AWAY    100000000000UL
#define DIVIDE_BY_1 0xb

static volatile uint64_t delay_count; /* the same in the timer's units, set by the host */

static void prepare_timer(void)
{
	guest_pic_init(0xffff);
	enable_interrupts();
	apic_write(APIC_TDCR, DIVIDE_BY_1);
	sti();
}

static void prepare_deadline(void)
{
	prepare_timer();
	apic_write(APIC_LVT_TIMER, APIC_TIMER_DEADLINE | VECTOR);
}

static void prepare_oneshot(void)
{
	prepare_timer();
	apic_write(APIC_LVT_TIMER, VECTOR);
}

/* --- setting it --- */

BATCH(batch_set_deadline, wrmsr(MSR_TSC_DEADLINE, rdtsc() + FAR_AWAY));
BATCH(batch_set_oneshot, apic_write(APIC_TMICT, 0x7fffffff));

/* A deadline that is over: the interrupt comes with the next entry. */
TIMED_SENDS(batch_past, 1, , wrmsr(MSR_TSC_DEADLINE, 1))

/* --- how late it is --- */

/* From the moment that was asked for to the handler, and to the end of EOI. */
#define TIMED_EXPIRY(name, set, wait)                         \
	static void name(uint64_t *ticks)                     \
	{                                                     \
		ticks[0] = ticks[1] = 0;                      \
		for (uint64_t i = ops; i; i--) {              \
			uint64_t want = bench_count + 1, due; \
                                                              \
			batch_begin();                        \
			set;                                  \
			while (bench_count != want)           \
				wait;                         \
			batch_end();                          \
			ticks[0] += bench_first - due;        \
			ticks[1] += bench_done - due;         \
		}                                             \
	}

#define SET_DEADLINE                          \
	do {                                  \
		due = rdtsc() + DELAY_TICKS;  \
		wrmsr(MSR_TSC_DEADLINE, due); \
	} while (0)
/* The count begins when the register is written, somewhere in the exit: its end is late, then. */
#define SET_ONESHOT                                            \
	do {                                                   \
		due = rdtsc() + DELAY_TICKS;                   \
		apic_write(APIC_TMICT, (uint32_t)delay_count); \
	} while (0)

/* No interrupt between the look and HLT: both are done with interrupts off. */
static void sleep_until(uint64_t want)
{
	cli();
	if (bench_count != want)
		sti_hlt();
	else
		sti();
}

TIMED_EXPIRY(batch_deadline, SET_DEADLINE, )
TIMED_EXPIRY(batch_deadline_halted, SET_DEADLINE, sleep_until(want))
TIMED_EXPIRY(batch_oneshot, SET_ONESHOT, )

/* Against the grid that begins when the timer is set. */
static void batch_periodic(uint64_t *ticks)
{
	uint64_t want = bench_count + 1, due;

	ticks[0] = ticks[1] = 0;
	apic_write(APIC_LVT_TIMER, APIC_TIMER_PERIODIC | VECTOR);
	batch_begin();
	due = rdtsc();
	apic_write(APIC_TMICT, (uint32_t)delay_count);
	for (uint64_t i = ops; i; i--, want++) {
		due += DELAY_TICKS;
		while (bench_count != want)
			;
		ticks[0] += bench_first - due;
		ticks[1] += bench_done - due;
	}
	batch_end();
	apic_write(APIC_TMICT, 0);
}

/* --- host --- */

static void run_timer(const struct bench_case *c)
{
	struct vcpu *v = guest_new_irqchip(loop, 0);

	set_loop(c, v);
	/* The timer's clock has a period of 1 ns. */
	in_guest(v->vm, delay_count) = DELAY_TICKS * 1000000 / must(ioctl(v->fd, KVM_GET_TSC_KHZ));
	measure(c, v);
}

#define EXPIRY_METRICS           \
	{                        \
		"handler", "eoi" \
	}
#define TIMER(NAME, MODE, PREPARE, BATCH, OPS, ...)                                        \
	{                                                                                  \
		.name = "timer." NAME, .run = run_timer, .mode = MODE, .prepare = PREPARE, \
		.batch = BATCH, .ops = OPS, __VA_ARGS__                                    \
	}

const struct bench_case timer_cases[] = {
	TIMER("set_deadline", X2APIC, prepare_deadline, batch_set_deadline, 32),
	TIMER("set_oneshot.xapic", XAPIC, prepare_oneshot, batch_set_oneshot, 32),
	TIMER("set_oneshot.x2apic", X2APIC, prepare_oneshot, batch_set_oneshot, 32),
	TIMER("deadline_past", X2APIC, prepare_deadline, batch_past, 16, .marked = 1,
	      .metric = SEND_METRICS),
	TIMER("deadline", X2APIC, prepare_deadline, batch_deadline, 8, .marked = 1,
	      .metric = EXPIRY_METRICS),
	TIMER("deadline_halted", X2APIC, prepare_deadline, batch_deadline_halted, 8, .marked = 1,
	      .metric = EXPIRY_METRICS),
	TIMER("oneshot.xapic", XAPIC, prepare_oneshot, batch_oneshot, 8, .marked = 1,
	      .metric = EXPIRY_METRICS),
	TIMER("oneshot.x2apic", X2APIC, prepare_oneshot, batch_oneshot, 8, .marked = 1,
	      .metric = EXPIRY_METRICS),
	TIMER("periodic.xapic", XAPIC, prepare_timer, batch_periodic, 8, .metric = EXPIRY_METRICS),
	TIMER("periodic.x2apic", X2APIC, prepare_timer, batch_periodic, 8,
	      .metric = EXPIRY_METRICS),
	{},
};
