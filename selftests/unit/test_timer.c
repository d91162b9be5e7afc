// SPDX-License-Identifier: GPL-2.0-only
/*
 * The LAPIC timer against a fake clock: its three modes, what happens when software changes its
 * mind, and the invariants L1 (no arithmetic fault), T1 (bounded work) and T2 (no order of
 * restoring calls loses a timer).
 */
#include "harness.h"

#define VECTOR   0x50
#define MASK     LAPIC_LVT_MASKED
#define ONESHOT  FIELD_PREP(LAPIC_LVT_MODE, LAPIC_TIMER_ONESHOT)
#define PERIODIC FIELD_PREP(LAPIC_LVT_MODE, LAPIC_TIMER_PERIODIC)
#define DEADLINE FIELD_PREP(LAPIC_LVT_MODE, LAPIC_TIMER_TSC_DEADLINE)
#define DIV_1    0xb

static struct machine *timer_machine(u32 lvt)
{
	struct machine *m = machine_new(1);

	sw_enable(m, 0);
	wr(m, 0, LAPIC_TDCR, DIV_1);
	wr(m, 0, LAPIC_LVT_TIMER, lvt);
	return m;
}

/* Take and end the timer's interrupt if it is there. */
static bool took_tick(struct machine *m)
{
	if (irqchip_ack(&m->chip, 0) != VECTOR)
		return false;
	wr_eoi(m, 0);
	return true;
}

static u64 guest_tsc(struct machine *m)
{
	u64 now;

	return fake_tsc(m, 0, &now);
}

static void divide_configuration(void **state)
{
	static const u32 code[] = { 0xb, 0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa };
	struct machine *m = timer_machine(ONESHOT | VECTOR);
	u32 i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(code); i++) {
		wr(m, 0, LAPIC_TDCR, code[i]);
		assert_int_equal(vlapic_timer_tick_ns(&m->apic[0]), 1u << i);
		wr(m, 0, LAPIC_TMICT, 1000);
		assert_int_equal(rd(m, 0, LAPIC_TMCCT), 1000);
		advance(m, 10u << i);
		assert_int_equal(rd(m, 0, LAPIC_TMCCT), 990);
		advance(m, (990u << i) - 1);
		assert_int_equal(rd(m, 0, LAPIC_TMCCT), 1);
		assert_false(took_tick(m));
		advance(m, 1);
		assert_int_equal(rd(m, 0, LAPIC_TMCCT), 0);
		assert_true(took_tick(m));
	}
	machine_free(m);
}

static void bus_cycle_scales_the_count(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	(void)state;
	m->now = MACHINE_START_NS;
	m->nr_cpus = 1;
	irqchip_init(&m->chip, &fake_host, m);
	m->chip.bus_cycle_ns = 40; /* 25 MHz */
	vlapic_init(&m->apic[0], calloc(1, LAPIC_PAGE_SIZE), 0, true);
	assert_int_equal(irqchip_attach(&m->chip, 0, &m->apic[0]), 0);
	sw_enable(m, 0);
	wr(m, 0, LAPIC_TDCR, DIV_1);
	wr(m, 0, LAPIC_TMICT, 1000);
	advance(m, 4000);
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 900);
	machine_free(m);
}

static void oneshot_fires_once(void **state)
{
	struct machine *m = timer_machine(ONESHOT | VECTOR);

	(void)state;
	wr(m, 0, LAPIC_TMICT, 5000);
	advance(m, 4999);
	assert_false(took_tick(m));
	advance(m, 1);
	assert_true(took_tick(m));
	advance(m, 1000000);
	assert_false(took_tick(m));
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 0);
	assert_int_equal(rd(m, 0, LAPIC_TMICT), 5000);
	assert_int_equal(env_counter_get(&m->apic[0].delivered[IRQ_PATH_TIMER]), 1);
	machine_free(m);
}

static void periodic_fires_each_period(void **state)
{
	struct machine *m = timer_machine(PERIODIC | VECTOR);
	u32 i;

	(void)state;
	wr(m, 0, LAPIC_TMICT, 1000000);
	for (i = 0; i < 20; i++) {
		advance(m, 999999);
		assert_int_equal(rd(m, 0, LAPIC_TMCCT), 1);
		assert_false(took_tick(m));
		advance(m, 1);
		assert_int_equal(rd(m, 0, LAPIC_TMCCT), 1000000);
		assert_true(took_tick(m));
	}
	wr(m, 0, LAPIC_TMICT, 0);
	advance(m, 10000000);
	assert_false(took_tick(m));
	assert_int_equal(m->lapic_deadline[0], 0);
	machine_free(m);
}

static void tsc_deadline_mode(void **state)
{
	struct machine *m = timer_machine(DEADLINE | VECTOR);
	u64 deadline = guest_tsc(m) + 20000;

	(void)state;
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, deadline);
	assert_int_equal(rdmsr(m, 0, MSR_LAPIC_TSC_DEADLINE), deadline);
	wr(m, 0, LAPIC_TMICT, 77); /* ignored */
	assert_int_equal(rd(m, 0, LAPIC_TMICT), 0);
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 0);
	advance(m, 9999);
	assert_false(took_tick(m));
	advance(m, 1);
	assert_true(guest_tsc(m) >= deadline);
	assert_true(took_tick(m));
	assert_int_equal(rdmsr(m, 0, MSR_LAPIC_TSC_DEADLINE), 0);

	/* In the past: at once. Zero: disarmed. */
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, 1);
	assert_true(took_tick(m));
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, guest_tsc(m) + 20000);
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, 0);
	advance(m, 1000000);
	assert_false(took_tick(m));

	/* The other modes: reads 0, ignores writes. */
	wr(m, 0, LAPIC_LVT_TIMER, ONESHOT | VECTOR);
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, guest_tsc(m) + 1000);
	assert_int_equal(rdmsr(m, 0, MSR_LAPIC_TSC_DEADLINE), 0);
	advance(m, 1000000);
	assert_false(took_tick(m));
	machine_free(m);
}

static void tsc_deadline_never_fires_early(void **state)
{
	struct machine *m = timer_machine(DEADLINE | VECTOR);
	u32 i;

	(void)state;
	m->apic[0].tsc_khz = 2999999; /* does not divide */
	for (i = 1; i < 3000; i += 7) {
		u64 now = m->now, tsc = 1000000, ticks = i * 1001ULL;

		vlapic_timer_write_tsc(&m->apic[0], tsc + ticks, now, tsc);
		/*
		 * The TSC at the expiry, rounded down, is at or past the deadline; 1 ns before,
		 * not.
		 */
		assert_true((m->apic[0].timer.deadline_ns - now) * 2999999 / 1000000 >= ticks);
		assert_true((m->apic[0].timer.deadline_ns - 1 - now) * 2999999 / 1000000 < ticks);
	}
	machine_free(m);
}

static void mode_changes(void **state)
{
	struct machine *m = timer_machine(PERIODIC | VECTOR);

	(void)state;
	/* Periodic to one-shot: the count goes on, and stops at its end. */
	wr(m, 0, LAPIC_TMICT, 1000000);
	advance(m, 1400000);
	assert_true(took_tick(m));
	wr(m, 0, LAPIC_LVT_TIMER, ONESHOT | VECTOR);
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 600000);
	advance(m, 600000);
	assert_true(took_tick(m));
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 0);
	/* Back to periodic while stopped: stays stopped until TMICT is written. */
	wr(m, 0, LAPIC_LVT_TIMER, PERIODIC | VECTOR);
	advance(m, 5000000);
	assert_false(took_tick(m));
	/* One-shot to periodic while running: reloads at the end. */
	wr(m, 0, LAPIC_LVT_TIMER, ONESHOT | VECTOR);
	wr(m, 0, LAPIC_TMICT, 1000000);
	wr(m, 0, LAPIC_LVT_TIMER, PERIODIC | VECTOR);
	advance(m, 1000000);
	assert_true(took_tick(m));
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 1000000);
	/* To TSC-deadline mode and back: disarmed. */
	wr(m, 0, LAPIC_LVT_TIMER, DEADLINE | VECTOR);
	advance(m, 5000000);
	assert_false(took_tick(m));
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, guest_tsc(m) + 2000);
	wr(m, 0, LAPIC_LVT_TIMER, PERIODIC | VECTOR);
	assert_int_equal(rdmsr(m, 0, MSR_LAPIC_TSC_DEADLINE), 0);
	advance(m, 5000000);
	assert_false(took_tick(m));
	/* The reserved mode never runs. */
	wr(m, 0, LAPIC_LVT_TIMER, LAPIC_LVT_MODE | VECTOR);
	wr(m, 0, LAPIC_TMICT, 1000);
	advance(m, 5000000);
	assert_false(took_tick(m));
	machine_free(m);
}

static void divide_change_keeps_the_count(void **state)
{
	struct machine *m = timer_machine(ONESHOT | VECTOR);

	(void)state;
	wr(m, 0, LAPIC_TMICT, 1000);
	advance(m, 400);
	wr(m, 0, LAPIC_TDCR, 0x0); /* by 2 */
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 600);
	advance(m, 1199);
	assert_false(took_tick(m));
	advance(m, 1);
	assert_true(took_tick(m));
	machine_free(m);
}

static void masked_expiry_is_lost_and_costs_no_host_timer(void **state)
{
	struct machine *m = timer_machine(ONESHOT | MASK | VECTOR);

	(void)state;
	wr(m, 0, LAPIC_TMICT, 1000);
	assert_int_equal(m->lapic_deadline[0], 0);
	advance(m, 500);
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 500); /* it counts all the same */
	advance(m, 1000);
	wr(m, 0, LAPIC_LVT_TIMER, ONESHOT | VECTOR);
	assert_false(took_tick(m));
	assert_int_equal(m->lapic_fires, 0);

	wr(m, 0, LAPIC_LVT_TIMER, PERIODIC | MASK | VECTOR);
	wr(m, 0, LAPIC_TMICT, 1000000);
	advance(m, 10500000);
	assert_int_equal(m->lapic_fires, 0);
	wr(m, 0, LAPIC_LVT_TIMER, PERIODIC | VECTOR);
	assert_false(took_tick(m));
	advance(m, 500000);
	assert_true(took_tick(m));
	machine_free(m);
}

/* The expiry came before the write that masks it, even if the host's timer is late. */
static void expiry_before_a_write_counts(void **state)
{
	struct machine *m = timer_machine(ONESHOT | VECTOR);

	(void)state;
	wr(m, 0, LAPIC_TMICT, 1000);
	m->now += 2000; /* no host timer fires */
	wr(m, 0, LAPIC_LVT_TIMER, ONESHOT | MASK | VECTOR);
	assert_true(took_tick(m));

	wr(m, 0, LAPIC_LVT_TIMER, ONESHOT | VECTOR);
	wr(m, 0, LAPIC_TMICT, 1000);
	m->now += 2000;
	wr(m, 0, LAPIC_TMICT, 50000);
	assert_true(took_tick(m));
	/* The host's timer of the old deadline: nothing, and it is armed for the new one. */
	irqchip_lapic_timer_fired(&m->chip, 0);
	assert_false(took_tick(m));
	assert_int_equal(m->lapic_deadline[0], m->now + 50000);
	/* A count of 0 is seen no earlier than the interrupt. */
	m->now += 50000;
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 0);
	assert_true(has(m, 0, LAPIC_IRR, VECTOR));
	machine_free(m);
}

static void stale_host_timers_are_harmless(void **state)
{
	struct machine *m = timer_machine(ONESHOT | VECTOR);
	u32 i;

	(void)state;
	wr(m, 0, LAPIC_TMICT, 1000);
	for (i = 0; i < 10; i++)
		irqchip_lapic_timer_fired(&m->chip, 0);
	assert_false(took_tick(m));
	wr(m, 0, LAPIC_TMICT, 0);
	m->now += 100000;
	irqchip_lapic_timer_fired(&m->chip, 0);
	assert_false(took_tick(m));
	assert_int_equal(m->lapic_deadline[0], 0);
	vlapic_reset(&m->apic[0], true);
	irqchip_lapic_timer_fired(&m->chip, 0);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	machine_free(m);
}

static bool intruded;

/* While one context arms the host's timer, another moves the deadline and arms it first. */
static void intruding_lapic_timer(void *ctx, u32 vcpu, u64 deadline_ns)
{
	struct machine *m = ctx;

	if (!intruded) {
		intruded = true;
		vlapic_timer_write_initial(&m->apic[vcpu], 1000, m->now);
		fake_lapic_timer(ctx, vcpu, vlapic_timer_host_deadline(&m->apic[vcpu]));
	}
	fake_lapic_timer(ctx, vcpu, deadline_ns);
}

static void arming_in_the_wrong_order_converges(void **state)
{
	struct machine *m = timer_machine(ONESHOT | VECTOR);
	struct irqchip_host host = fake_host;

	(void)state;
	host.lapic_timer = intruding_lapic_timer;
	m->chip.host = &host;
	intruded = false;
	wr(m, 0, LAPIC_TMICT, 5000000);
	assert_true(intruded);
	assert_int_equal(m->lapic_deadline[0], m->now + 1000);
	advance(m, 1000);
	assert_true(took_tick(m));
	machine_free(m);
}

/* Any order of register writes, zero and tiny periods and odd clocks included: nothing faults. */
static void L1_tmcct_never_divides_by_zero(void **state)
{
	static const u32 counts[] = { 0, 1, 2, 3, 1000, 0x7fffffff, 0xffffffff };
	static const u32 modes[] = { ONESHOT, PERIODIC, DEADLINE, LAPIC_LVT_MODE };
	struct machine *m = timer_machine(PERIODIC | VECTOR);
	u32 seed = 1, i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		seed = seed * 1103515245 + 12345;
		switch (seed >> 16 & 7) {
		case 0:
		case 1:
			wr(m, 0, LAPIC_TMICT, counts[(seed >> 20) % ARRAY_SIZE(counts)]);
			break;
		case 2:
			wr(m, 0, LAPIC_TDCR, seed >> 20);
			break;
		case 3:
			wr(m, 0, LAPIC_LVT_TIMER, modes[seed >> 20 & 3] | VECTOR);
			break;
		case 4:
			wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, seed & 1 ? ~0ULL : seed);
			break;
		case 5:
			m->apic[0].tsc_khz = seed & 0x100 ? 0 : seed & 0x200 ? 1 : MACHINE_TSC_KHZ;
			break;
		case 6:
			advance(m, seed >> 20);
			break;
		case 7:
			m->now += (u64)(seed >> 20) << (seed & 0x1f);
			break;
		}
		rd(m, 0, LAPIC_TMCCT);
		took_tick(m);
	}
	machine_free(m);
}

static void T1_fast_periodic_timers_are_rationed(void **state)
{
	struct machine *m = timer_machine(PERIODIC | VECTOR);

	(void)state;
	wr(m, 0, LAPIC_TMICT, 1); /* 1 GHz */
	advance(m, 100 * VLAPIC_MIN_PERIOD_NS);
	assert_true(m->lapic_fires <= 102);
	assert_true(m->lapic_fires >= 99);
	assert_true(took_tick(m));
	/* The count still runs at the guest's rate. */
	wr(m, 0, LAPIC_TMICT, 1000);
	advance(m, 300);
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 700);
	machine_free(m);
}

static void T1_long_pause_gives_one_catch_up(void **state)
{
	struct machine *m = timer_machine(PERIODIC | VECTOR);
	u64 due;

	(void)state;
	wr(m, 0, LAPIC_TMICT, 1000000);
	due = m->now + 1000000;
	m->now += 3600ULL * 1000000000 + 300000; /* the host slept */
	irqchip_lapic_timer_fired(&m->chip, 0);
	assert_true(took_tick(m));
	assert_false(took_tick(m));
	assert_int_equal(m->lapic_fires, 0);
	/* Back on the old grid. */
	assert_true(m->lapic_deadline[0] > m->now);
	assert_int_equal((m->lapic_deadline[0] - due) % 1000000, 0);
	assert_int_equal(env_counter_get(&m->apic[0].delivered[IRQ_PATH_TIMER]), 1);
	machine_free(m);
}

static void far_deadlines_do_not_overflow(void **state)
{
	struct machine *m = timer_machine(DEADLINE | VECTOR);

	(void)state;
	m->apic[0].tsc_khz = 1;
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, ~0ULL);
	assert_true(m->lapic_deadline[0] > m->now + (1ULL << 60));
	advance(m, 1ULL << 50);
	assert_false(took_tick(m));
	/* As many milliseconds as make just over 2^64 ns. */
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, guest_tsc(m) + 18446744073710);
	assert_true(m->lapic_deadline[0] > m->now + (1ULL << 60));
	m->apic[0].timer.bus_cycle_ns = IRQCHIP_MAX_BUS_CYCLE_NS;
	wr(m, 0, LAPIC_LVT_TIMER, ONESHOT | VECTOR);
	wr(m, 0, LAPIC_TDCR, 0xa); /* by 128 */
	wr(m, 0, LAPIC_TMICT, 0xffffffff);
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 0xffffffff);
	assert_true(m->lapic_deadline[0] > m->now);
	machine_free(m);
}

static void tsc_moved_recomputes_the_deadline(void **state)
{
	struct machine *m = timer_machine(DEADLINE | VECTOR);

	(void)state;
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, guest_tsc(m) + 2000000);
	m->tsc_offset[0] += 1000000; /* half the way, by a write to IA32_TSC */
	irqchip_tsc_moved(&m->chip, 0);
	assert_int_not_equal(m->notified[0], 0);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	advance(m, 499999);
	assert_false(took_tick(m));
	advance(m, 1);
	assert_true(took_tick(m));
	/* Nothing armed: nothing to do. */
	m->notified[0] = 0;
	irqchip_tsc_moved(&m->chip, 0);
	assert_int_equal(m->notified[0], 0);
	machine_free(m);
}

/* --- T2: saving and restoring --- */

enum step { SET_BASE, SET_LAPIC, SET_TSC, SET_DEADLINE, NR_STEPS };

struct saved {
	u64 base, tsc, deadline;
	struct kvm_lapic_state lapic;
};

static void save(struct machine *m, struct saved *s, bool lapic_first)
{
	if (lapic_first)
		assert_int_equal(irqchip_get_lapic(&m->chip, 0, &s->lapic), 0);
	s->base = rdmsr(m, 0, MSR_LAPIC_BASE);
	s->tsc = guest_tsc(m);
	s->deadline = rdmsr(m, 0, MSR_LAPIC_TSC_DEADLINE);
	if (!lapic_first)
		assert_int_equal(irqchip_get_lapic(&m->chip, 0, &s->lapic), 0);
}

static void restore_step(struct machine *m, const struct saved *s, enum step step)
{
	switch (step) {
	case SET_BASE:
		assert_int_equal(irqchip_msr_write(&m->chip, 0, MSR_LAPIC_BASE, s->base, true), 0);
		break;
	case SET_LAPIC:
		assert_int_equal(irqchip_set_lapic(&m->chip, 0, &s->lapic), 0);
		break;
	case SET_TSC:
		m->tsc_offset[0] += (s64)(s->tsc - guest_tsc(m));
		irqchip_tsc_moved(&m->chip, 0);
		break;
	case SET_DEADLINE:
		assert_int_equal(irqchip_msr_write(&m->chip, 0, MSR_LAPIC_TSC_DEADLINE, s->deadline,
						   true),
				 0);
		break;
	default:
		fail();
	}
}

/* A new machine, some time later, with a TSC of its own. */
static struct machine *restored(const struct saved *s, const enum step *order, bool x2apic_format)
{
	struct machine *m = machine_new(1);
	u32 i;

	m->now += 987654321;
	m->tsc_offset[0] = 1LL << 40; /* far beyond every deadline, until SET_TSC */
	m->chip.x2apic_format = x2apic_format;
	for (i = 0; i < NR_STEPS; i++)
		restore_step(m, s, order[i]);
	return m;
}

static bool next_permutation(enum step *order)
{
	int i = NR_STEPS - 2, j = NR_STEPS - 1, k;
	enum step t;

	while (i >= 0 && order[i] > order[i + 1])
		i--;
	if (i < 0)
		return false;
	while (order[j] < order[i])
		j--;
	t = order[i], order[i] = order[j], order[j] = t;
	for (i++, k = NR_STEPS - 1; i < k; i++, k--)
		t = order[i], order[i] = order[k], order[k] = t;
	return true;
}

/*
 * For each mode, x2APIC or not, and each order: the timer has 3 ms to go when it is saved, and
 * fires exactly then in the restored machine: not before, not later, not never.
 */
static void T2_every_order_of_restoring_fires_in_time(void **state)
{
	static const u32 modes[] = { ONESHOT, PERIODIC, DEADLINE };
	u32 variant;

	(void)state;
	for (variant = 0; variant < 3 * 2 * 2; variant++) {
		enum step order[NR_STEPS] = { SET_BASE, SET_LAPIC, SET_TSC, SET_DEADLINE };
		bool x2apic = variant / 3 & 1, format = variant / 6 & 1;
		struct machine *m = timer_machine(modes[variant % 3] | VECTOR);
		struct saved s;

		m->chip.x2apic_format = format;
		if (variant % 3 == 2)
			wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, guest_tsc(m) + 10000000);
		else
			wr(m, 0, LAPIC_TMICT, 5000000);
		advance(m, 2000000);
		if (x2apic)
			go_x2apic(m, 0);
		save(m, &s, false);
		machine_free(m);

		do {
			m = restored(&s, order, format);
			assert_int_equal(vlapic_x2apic(&m->apic[0]), x2apic);
			assert_int_equal(irqchip_peek(&m->chip, 0), -1); /* KVM_RUN */
			advance(m, 2999999);
			assert_false(took_tick(m));
			advance(m, 1);
			assert_true(took_tick(m));
			machine_free(m);
		} while (next_permutation(order));
	}
}

/* The deadline passes between saving one half of the state and the other. */
static void T2_expiry_between_two_saving_calls(void **state)
{
	enum step order[NR_STEPS] = { SET_BASE, SET_LAPIC, SET_TSC, SET_DEADLINE };

	(void)state;
	do {
		int lapic_first;

		for (lapic_first = 0; lapic_first < 2; lapic_first++) {
			struct machine *m = timer_machine(DEADLINE | VECTOR);
			struct saved s;

			wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, guest_tsc(m) + 2000);
			if (lapic_first) {
				irqchip_get_lapic(&m->chip, 0, &s.lapic);
				advance(m, 1000000);
				s.deadline = rdmsr(m, 0, MSR_LAPIC_TSC_DEADLINE);
			} else {
				s.deadline = rdmsr(m, 0, MSR_LAPIC_TSC_DEADLINE);
				advance(m, 1000000);
				irqchip_get_lapic(&m->chip, 0, &s.lapic);
			}
			s.base = rdmsr(m, 0, MSR_LAPIC_BASE);
			s.tsc = guest_tsc(m);
			machine_free(m);

			m = restored(&s, order, false);
			assert_true(took_tick(m)); /* one tick, not two */
			advance(m, 10000000);
			assert_false(took_tick(m));
			machine_free(m);
		}
	} while (next_permutation(order));
}

/* A restored deadline is not fired by the TSC of before SET_TSC, however long that takes. */
static void T2_deadline_waits_for_the_owner(void **state)
{
	struct machine *m = timer_machine(DEADLINE | VECTOR);
	struct saved s;

	(void)state;
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, guest_tsc(m) + 2000000);
	save(m, &s, true);
	machine_free(m);

	m = machine_new(1);
	m->tsc_offset[0] = 1LL << 40;
	restore_step(m, &s, SET_DEADLINE);
	restore_step(m, &s, SET_LAPIC);
	advance(m, 1ULL << 40);
	assert_false(has(m, 0, LAPIC_IRR, VECTOR));
	restore_step(m, &s, SET_TSC);
	advance(m, 1); /* the owner is told to look */
	assert_int_not_equal(m->notified[0], 0);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	advance(m, 1000000);
	assert_true(took_tick(m));
	machine_free(m);
}

/* KVM_SET_MSRS over a deadline that is running: the old one is gone. */
static void T2_host_write_replaces_a_running_deadline(void **state)
{
	struct machine *m = timer_machine(DEADLINE | VECTOR);

	(void)state;
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, guest_tsc(m) + 2000);
	assert_int_equal(irqchip_msr_write(&m->chip, 0, MSR_LAPIC_TSC_DEADLINE,
					   guest_tsc(m) + 2000000, true),
			 0);
	advance(m, 500000);
	assert_false(has(m, 0, LAPIC_IRR, VECTOR));
	assert_false(took_tick(m)); /* the look */
	advance(m, 500000);
	assert_true(took_tick(m));
	machine_free(m);
}

/* An expired deadline that the vCPU has not seen is in IRR: moving the TSC does not repeat it. */
static void T2_tsc_moved_after_expiry_fires_no_second_time(void **state)
{
	struct machine *m = timer_machine(DEADLINE | VECTOR);

	(void)state;
	wrmsr(m, 0, MSR_LAPIC_TSC_DEADLINE, guest_tsc(m) + 2000);
	advance(m, 2000);
	m->tsc_offset[0] -= 1000000;
	irqchip_tsc_moved(&m->chip, 0);
	assert_true(took_tick(m));
	advance(m, 10000000);
	assert_false(took_tick(m));
	machine_free(m);
}

/* Saved after the deadline, before the host's timer came: the interrupt is in the image. */
static void T2_saving_settles_the_timer(void **state)
{
	enum step order[NR_STEPS] = { SET_BASE, SET_LAPIC, SET_TSC, SET_DEADLINE };
	struct machine *m = timer_machine(ONESHOT | VECTOR);
	struct saved s;

	(void)state;
	wr(m, 0, LAPIC_TMICT, 1000);
	m->now += 5000;
	save(m, &s, true);
	machine_free(m);
	assert_int_equal(s.lapic.regs[LAPIC_IRR + VECTOR / 32 * 0x10 + VECTOR % 32 / 8],
			 1 << VECTOR % 8);
	m = restored(&s, order, false);
	assert_true(took_tick(m));
	machine_free(m);
}

static void T2_stopped_timers_stay_stopped(void **state)
{
	enum step order[NR_STEPS] = { SET_BASE, SET_LAPIC, SET_TSC, SET_DEADLINE };
	struct machine *m = timer_machine(ONESHOT | VECTOR);
	struct saved s;

	(void)state;
	wr(m, 0, LAPIC_TMICT, 1000);
	advance(m, 5000);
	assert_true(took_tick(m));
	save(m, &s, true);
	machine_free(m);
	m = restored(&s, order, false);
	advance(m, 100000);
	assert_false(took_tick(m));
	machine_free(m);
}

/* QEMU writes TMCCT as 0 whatever it was: the timer must not be dead. */
static void T2_images_without_a_count_keep_ticking(void **state)
{
	enum step order[NR_STEPS] = { SET_BASE, SET_LAPIC, SET_TSC, SET_DEADLINE };
	static const u32 zero;
	u32 mode;

	(void)state;
	for (mode = 0; mode < 2; mode++) {
		struct machine *m = timer_machine((mode ? PERIODIC : ONESHOT) | VECTOR);
		struct saved s;

		wr(m, 0, LAPIC_TMICT, 1000000);
		advance(m, 5000);
		save(m, &s, true);
		machine_free(m);
		memcpy(s.lapic.regs + LAPIC_TMCCT, &zero, sizeof(zero));
		memcpy(s.lapic.regs + LAPIC_TIMER_STOPPED, &zero, sizeof(zero));
		m = restored(&s, order, false);
		assert_int_equal(took_tick(m), !mode);
		advance(m, 1000000);
		assert_int_equal(took_tick(m), mode);
		machine_free(m);
	}
}

/* A hostile image: any counts, any modes, then time. Bounded, and no fault. */
static void T1_restored_counts_are_bounded(void **state)
{
	struct machine *m = timer_machine(PERIODIC | VECTOR);
	struct kvm_lapic_state image;
	u32 tmict = 1, tmcct = 0xffffffff;

	(void)state;
	irqchip_get_lapic(&m->chip, 0, &image);
	memcpy(image.regs + LAPIC_TMICT, &tmict, sizeof(tmict));
	memcpy(image.regs + LAPIC_TMCCT, &tmcct, sizeof(tmcct));
	memset(image.regs + LAPIC_TIMER_STOPPED, 0, 4);
	assert_int_equal(irqchip_set_lapic(&m->chip, 0, &image), 0);
	assert_int_equal(rd(m, 0, LAPIC_TMCCT), 1);
	m->lapic_fires = 0;
	advance(m, 10 * VLAPIC_MIN_PERIOD_NS);
	assert_true(m->lapic_fires <= 12);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(divide_configuration),
		cmocka_unit_test(bus_cycle_scales_the_count),
		cmocka_unit_test(oneshot_fires_once),
		cmocka_unit_test(periodic_fires_each_period),
		cmocka_unit_test(tsc_deadline_mode),
		cmocka_unit_test(tsc_deadline_never_fires_early),
		cmocka_unit_test(mode_changes),
		cmocka_unit_test(divide_change_keeps_the_count),
		cmocka_unit_test(masked_expiry_is_lost_and_costs_no_host_timer),
		cmocka_unit_test(expiry_before_a_write_counts),
		cmocka_unit_test(stale_host_timers_are_harmless),
		cmocka_unit_test(arming_in_the_wrong_order_converges),
		cmocka_unit_test(L1_tmcct_never_divides_by_zero),
		cmocka_unit_test(T1_fast_periodic_timers_are_rationed),
		cmocka_unit_test(T1_long_pause_gives_one_catch_up),
		cmocka_unit_test(T1_restored_counts_are_bounded),
		cmocka_unit_test(far_deadlines_do_not_overflow),
		cmocka_unit_test(tsc_moved_recomputes_the_deadline),
		cmocka_unit_test(T2_every_order_of_restoring_fires_in_time),
		cmocka_unit_test(T2_expiry_between_two_saving_calls),
		cmocka_unit_test(T2_deadline_waits_for_the_owner),
		cmocka_unit_test(T2_host_write_replaces_a_running_deadline),
		cmocka_unit_test(T2_tsc_moved_after_expiry_fires_no_second_time),
		cmocka_unit_test(T2_saving_settles_the_timer),
		cmocka_unit_test(T2_stopped_timers_stay_stopped),
		cmocka_unit_test(T2_images_without_a_count_keep_ticking),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
