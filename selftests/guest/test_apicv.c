// SPDX-License-Identifier: GPL-2.0-only
/*
 * What APIC virtualization is for: which exits a guest's interrupts cost, counted by the module's
 * own statistics, with whatever features are in force here; tools/check/matrix runs this with each
 * set of them. What must stay true across modes stands in test_apicmode.c. Source: SDM "APIC
 * Virtualization and Virtual Interrupts".
 */
#include <sched.h>
#include "stats.h"

#define VECTOR 0x41
#define PIN    5
#define LEVEL  (1u << 15)
#define ROUNDS 50
#define POSTS  1000

static volatile uint64_t count[256];

/* --- what an access costs --- */

/* --- the guest --- */

static void on_irq(struct guest_frame *f)
{
	count[f->vector]++;
	apic_write(APIC_EOI, 0);
}

static void (*volatile operation)(void);

/* The operation once to warm up (memory, EOI map), then ROUNDS times between two reports. */
static void measured(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_irq;
	guest_pic_init(0xffff);
	apic_enable();
	sti();
	operation();
	guest_sync(1);
	for (int i = 0; i < ROUNDS; i++)
		operation();
	guest_sync(2);
}

/* @want: exits of one operation. */
static void expect_cost(enum apic_mode m, void (*op)(void), const struct exits want[3])
{
	struct exits all[4] = { { "exit.io", 1 } }; /* the second report */
	struct vcpu *v = guest_new_irqchip(measured, 0);
	struct sample before, after;

	for (int i = 0; i < 3; i++)
		all[i + 1] = (struct exits){ want[i].name, want[i].n * ROUNDS };
	in_guest(v->vm, mode) = m;
	in_guest(v->vm, operation) = op;
	expect_sync(v, 1);
	before = take_sample(v);
	expect_sync(v, 2);
	after = take_sample(v);
	expect_exits(&before, &after, all, ARRAY_SIZE(all));
	expect_done(v);
	vm_free(v->vm);
}

/* --- registers --- */

static void use_cr8(void)
{
	write_cr(8, 7);
	guest_assert_eq(read_cr(8), 7);
	write_cr(8, 0);
}

static void use_tpr(void)
{
	apic_write(APIC_TPR, 0x75);
	guest_assert_eq(apic_read(APIC_TPR), 0x75);
	apic_write(APIC_TPR, 0);
}

static void task_priority(void **state)
{
	(void)state;
	need_apicvisor();
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		expect_cost(m, use_cr8, COST({ "exit.cr_access", have.tpr_shadow ? 0 : 3 }));
		/* Writes to the TPR's place are never trap-like. */
		expect_cost(m, use_tpr,
			    COST({ m == X2APIC ? "exit.wrmsr" : exit_of(m, false),
				   tpr_is_free(m) ? 0 : 2 },
				 { exit_of(m, false), tpr_is_free(m) ? 0 : 1 }));
	}
}

static void read_registers(void)
{
	guest_assert_eq(apic_read(APIC_ID), 0);
	guest_assert_eq(apic_read(APIC_VERSION) & 0xff, 0x14);
	guest_assert_eq(apic_read(APIC_SVR), 0x1ff);
	guest_assert_eq(apic_read(APIC_ISR) | apic_read(APIC_IRR), 0);
}

static void register_reads(void **state)
{
	(void)state;
	need_apicvisor();
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		/* IRR is in the page, but up to date there with delivery only. */
		bool irr_exits = m == X2APIC && !have.virtual_interrupts;

		expect_cost(m, read_registers,
			    COST({ exit_of(m, false), reads_are_free(m) ? irr_exits : 5 }));
	}
}

/* What the processor has stored is checked afterwards: reserved bits, read-only registers. */
static void write_registers(void)
{
	apic_write(APIC_LVT_ERROR, APIC_LVT_MASKED | 0x52);
	if (mode == XAPIC) {
		xapic_write(APIC_LVT_ERROR, ~0xfefffu | APIC_LVT_MASKED | 0x53);
		xapic_write(APIC_ID, 0x5000000);
	}
}

static void check_written(void)
{
	write_registers();
	guest_assert_eq(apic_read(APIC_ID), 0);
	guest_assert_eq(apic_read(APIC_LVT_ERROR), APIC_LVT_MASKED | (mode == XAPIC ? 0x53 : 0x52));
}

static void register_writes_are_trap_like(void **state)
{
	(void)state;
	need_apicvisor();
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		struct exits writes = { exit_of(m, true), m == XAPIC ? 3 : 1 };

		expect_cost(m, write_registers, COST(writes));
		expect_cost(m, check_written,
			    COST(writes, { exit_of(m, false), reads_are_free(m) ? 0 : 2 }));
	}
}

/* --- interrupts --- */

static void ipi_to_self(void)
{
	uint64_t before = count[VECTOR];

	apic_send_self(VECTOR);
	guest_assert_eq(count[VECTOR], before + 1);
}

static void self_ipi_and_eoi(void **state)
{
	(void)state;
	need_apicvisor();
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++)
		expect_cost(m, ipi_to_self, COST({ exit_of(m, true), eoi_is_free(m) ? 0 : 2 }));
}

/* Invariant L11: it comes with the instruction that lowers the priority, and not before. */
static void wait_for_priority(void)
{
	uint64_t before = count[VECTOR];

	write_cr(8, VECTOR >> 4);
	apic_send_self(VECTOR);
	guest_assert_eq(count[VECTOR], before);
	write_cr(8, (VECTOR >> 4) - 1);
	guest_assert_eq(count[VECTOR], before + 1);
}

static void L11_priority_falls_below_a_request(void **state)
{
	bool threshold = have.tpr_shadow && !have.virtual_interrupts;

	(void)state;
	need_apicvisor();
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++)
		expect_cost(m, wait_for_priority,
			    COST({ exit_of(m, true), eoi_is_free(m) ? 0 : 2 },
				 { "exit.cr_access", have.tpr_shadow ? 0 : 2 },
				 { "exit.tpr_below_threshold", threshold }));
}

/* The host raises the line at report 3, and lowers it at report 4, from the handler. */
static void on_level(struct guest_frame *f)
{
	count[f->vector]++;
	guest_sync(4);
	apic_write(APIC_EOI, 0);
}

static void take_level(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_level;
	guest_pic_init(0xffff);
	apic_enable();
	guest_ioapic_pin(PIN, LEVEL | VECTOR, 0);
	sti();
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		guest_sync(3);
		while (count[VECTOR] != i)
			cpu_relax();
	}
	guest_sync(5);
	guest_assert_eq(count[VECTOR], ROUNDS);
}

static void level_eoi(void **state)
{
	(void)state;
	need_apicvisor();
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		struct vcpu *v = guest_new_irqchip(take_level, 0);
		struct sample before, after;

		in_guest(v->vm, mode) = m;
		for (int i = 0; i < ROUNDS; i++) {
			expect_sync(v, 3);
			if (i == 1)
				before = take_sample(v); /* after a first one */
			vm_irq_line(v->vm, PIN, 1);
			expect_sync(v, 4);
			vm_irq_line(v->vm, PIN, 0);
		}
		expect_sync(v, 5);
		after = take_sample(v);
		expect_exits(&before, &after,
			     COST({ eoi_is_free(m) ? "exit.virtualized_eoi" : exit_of(m, true),
				    ROUNDS - 1 },
				  { "exit.io", 2 * (ROUNDS - 1) }),
			     2);
		expect_done(v);
		vm_free(v->vm);
	}
}

/* --- posted interrupts --- */

static volatile uint64_t receiver_ready, stop_receiver;

static void receiver(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_irq;
	apic_enable();
	sti();
	receiver_ready = 1;
	while (!stop_receiver)
		cpu_relax();
}

static void send_and_wait(uint64_t aim)
{
	if (mode == X2APIC) {
		x2apic_write(APIC_ICR_LO, 1UL << 32 | VECTOR);
	} else {
		xapic_write(APIC_ICR_HI, 1 << 24);
		xapic_write(APIC_ICR_LO, VECTOR);
	}
	while (count[VECTOR] != aim)
		cpu_relax();
}

/* POSTS interrupts, then the same time without any. */
static void sender(uint64_t arg)
{
	uint64_t begin, took;

	(void)arg;
	guest_pic_init(0xffff);
	apic_enable();
	while (!receiver_ready)
		cpu_relax();
	send_and_wait(1);
	guest_sync(1);
	begin = rdtsc();
	for (uint64_t i = 2; i <= POSTS + 1; i++)
		send_and_wait(i);
	took = rdtsc() - begin;
	guest_sync(2);
	begin = rdtsc();
	while (rdtsc() - begin < took)
		cpu_relax();
	guest_sync(3);
	stop_receiver = 1;
}

static void check_receiver(enum apic_mode m, const struct sample s[3])
{
	uint64_t loaded = grown(&s[0], &s[1], "exit.external_interrupt");
	uint64_t idle = grown(&s[1], &s[2], "exit.external_interrupt");
	/* A request that software finds while the handler of the last one is still at work. */
	uint64_t windows = have.virtual_interrupts ? 0 : grown(&s[0], &s[1], "exit.irq_window");

	print_message("# %s: %lu external-interrupt exits with %d interrupts, %lu without\n",
		      m == X2APIC ? "x2APIC" : "xAPIC", (unsigned long)loaded, POSTS,
		      (unsigned long)idle);
	expect_exits(&s[0], &s[1],
		     COST({ exit_of(m, true), eoi_is_free(m) ? 0 : POSTS },
			  { "exit.irq_window", windows }),
		     2);
	expect_exits(&s[1], &s[2], NULL, 0);
	if (have.posted_interrupts) /* the host's ticks and no more */
		assert_true(loaded <= 2 * idle + POSTS / 20);
	else if (eoi_is_free(m)) /* no request gets in without an exit, and there is no other */
		assert_true(loaded >= POSTS / 2);
}

static void posting_to_a_running_vcpu(void **state)
{
	(void)state;
	need_apicvisor();
	need_two_cpus();
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		struct vm *vm = vm_create_irqchip();
		struct vcpu *s = vcpu_create(vm, 0), *r = vcpu_create(vm, 1);
		struct sample sample[3];

		vcpu_long_mode(s, sender, 0);
		vcpu_long_mode(r, receiver, 0);
		in_guest(vm, mode) = m;
		pin_thread(pthread_self(), 1);
		vcpu_start(r); /* stays where it was started */
		pin_thread(pthread_self(), 0);
		for (uint64_t i = 0; i < 3; i++) {
			expect_sync(s, i + 1);
			sample[i] = take_sample(r);
		}
		expect_done(s);
		vcpu_join(r);
		check_receiver(m, sample);
		vm_free(vm);
	}
}

static const struct CMUnitTest tests[] = {
	STATS_TEST(task_priority),
	STATS_TEST(register_reads),
	STATS_TEST(register_writes_are_trap_like),
	STATS_TEST(self_ipi_and_eoi),
	STATS_TEST(L11_priority_falls_below_a_request),
	STATS_TEST(level_eoi),
	STATS_TEST(posting_to_a_running_vcpu),
};

TEST_MAIN("guest_apicv", tests)
