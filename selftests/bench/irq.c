// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts, from the moment before the sending instruction to the first instruction of the handler
 * and to the end of its EOI, and what the sender spends. The guest's vCPU 0 sends; receivers have
 * threads of their own on CPU 1. All of them read one clock: vCPUs' TSCs are checked to agree.
 */
#include "bench.h"

#define ICR_ASSERT   (1u << 14)
#define SETTLE_TICKS 300000 /* longer than a halted vCPU is polled for before its thread sleeps */
#define MAX_SKEW     100    /* of two TSCs, ticks */

extern volatile uint64_t bench_first, bench_done, bench_count;
extern const char bench_irq_xapic[], bench_irq_x2apic[];

static volatile uint64_t receivers, halting;
static volatile uint64_t ready, halts;
static volatile uint64_t ping, pong, pong_tsc, clock_agreed;

/* --- guest: what both sides need --- */

static void set_gate(unsigned int vector, const char *handler)
{
	uint64_t *gate = (uint64_t *)GUEST_IDT + 2 * vector, to = (uintptr_t)handler;

	gate[0] = (to & 0xffff) | GUEST_CS << 16 | 0x8eUL << 40 | (to >> 16 & 0xffff) << 48;
	gate[1] = to >> 32;
}

static void enable_interrupts(void)
{
	set_gate(VECTOR, mode == X2APIC ? bench_irq_x2apic : bench_irq_xapic);
	apic_enable();
}

/* --- guest: receiver --- */

static void receiver(uint64_t unused)
{
	(void)unused;
	enable_interrupts();
	asm volatile("lock incq %0" : "+m"(ready));
	while (!clock_agreed) {
		if (pong != ping) {
			pong_tsc = rdtsc();
			pong = ping;
		}
	}
	sti();
	while (!halting)
		;
	for (;;) {
		cli();
		asm volatile("lock incq %0" : "+m"(halts));
		sti_hlt();
	}
}

/* --- guest: sender --- */

/* The difference of the two clocks is known to half of the quickest round trip. */
static void agree_on_clock(void)
{
	uint64_t best = ~0UL;
	int64_t skew = 0;

	for (int i = 0; i < 16; i++) {
		uint64_t start = rdtsc(), trip;

		ping++;
		while (pong != ping)
			;
		trip = rdtsc() - start;
		if (trip < best) {
			best = trip;
			skew = (int64_t)(pong_tsc - start - trip / 2);
		}
	}
	guest_assert(skew < MAX_SKEW && skew > -MAX_SKEW);
	clock_agreed = 1;
}

static void prepare_sender(void)
{
	guest_pic_init(0xffff);
	enable_interrupts();
	while (ready != receivers)
		;
	if (receivers)
		agree_on_clock();
	sti();
}

static void send_ipi(uint32_t apic_id)
{
	if (mode == X2APIC) {
		x2apic_write(APIC_ICR_LO, (uint64_t)apic_id << 32 | ICR_ASSERT | VECTOR);
	} else {
		xapic_write(APIC_ICR_HI, apic_id << 24);
		xapic_write(APIC_ICR_LO, ICR_ASSERT | VECTOR);
	}
}

/* Every receiver sleeps: each has said so once more than it was interrupted. */
static void wait_until_halted(void)
{
	uint64_t start;

	while (halts != bench_count + receivers)
		;
	for (start = rdtsc(); rdtsc() - start < SETTLE_TICKS;)
		;
}

#define HANDLER_METRICS                  \
	{                                \
		"send", "handler", "eoi" \
	}

/* @send causes @n interrupts. What is profiled is each from its sending to the last EOI. */
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

TIMED_SENDS(batch_self, 1, , apic_send_self(VECTOR))
TIMED_SENDS(batch_one, 1, if (halting) wait_until_halted(), send_ipi(1))

/* --- host --- */

/* @n receivers beside vCPU 0, halted or not. */
static struct vcpu *new_sender(const struct bench_case *c, unsigned int n, bool halted)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *sender = vcpu_create(vm, 0);

	vcpu_long_mode(sender, loop, 0);
	set_loop(c, sender);
	in_guest(vm, receivers) = n;
	in_guest(vm, halting) = halted;
	for (unsigned int i = 1; i <= n; i++) {
		struct vcpu *v = vcpu_create(vm, i);

		vcpu_long_mode(v, receiver, 0);
		vcpu_start(v);
		pin_thread(v->thread, 1);
	}
	return sender;
}

static void run_self(const struct bench_case *c)
{
	measure(c, new_sender(c, 0, false));
}

static void run_running(const struct bench_case *c)
{
	measure(c, new_sender(c, 1, false));
}

static void run_halted(const struct bench_case *c)
{
	measure(c, new_sender(c, 1, true));
}

#define IPI(NAME, MODE, RUN, BATCH, OPS)                                                      \
	{                                                                                     \
		.name = "ipi." NAME, .run = RUN, .batch = BATCH, .mode = MODE,                \
		.prepare = prepare_sender, .ops = OPS, .marked = 1, .metric = HANDLER_METRICS \
	}

const struct bench_case irq_cases[] = {
	IPI("self.xapic", XAPIC, run_self, batch_self, 32),
	IPI("self.x2apic", X2APIC, run_self, batch_self, 32),
	IPI("running.xapic", XAPIC, run_running, batch_one, 32),
	IPI("running.x2apic", X2APIC, run_running, batch_one, 32),
	IPI("halted.xapic", XAPIC, run_halted, batch_one, 8),
	IPI("halted.x2apic", X2APIC, run_halted, batch_one, 8),
	{},
};
