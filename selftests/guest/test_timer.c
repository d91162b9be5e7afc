// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who keeps the LAPIC timer, and what its expiry costs: an hrtimer of the host, which posts from
 * its interrupt, or the VMX-preemption timer while the guest runs. Told by the module's counters
 * and by the vCPU's page in debugfs, in VMs of both kinds: one that has MWAIT without exits must do
 * with the hrtimer. What the timer does is in test_apic.c. Source: SDM "VMX-Preemption Timer".
 */
#include <sched.h>
#include "stats.h"

#define VECTOR 0x61
#define ROUNDS 100
#define PERIOD 300000 /* bus cycles, of 1 ns; the host would ration shorter ones */
#define LONG   (1UL << 40)

static volatile uint64_t count, keep_spinning;

static void on_tick(struct guest_frame *f)
{
	(void)f;
	count++;
	apic_write(APIC_EOI, 0);
}

static void timer_on(uint32_t lvt)
{
	guest_handler[VECTOR] = on_tick;
	guest_pic_init(0xffff);
	apic_enable();
	apic_write(APIC_TDCR, 0xb); /* divide by 1 */
	apic_write(APIC_LVT_TIMER, lvt | VECTOR);
	sti();
}

static void spin(uint64_t ticks)
{
	for (uint64_t end = rdtsc() + ticks; rdtsc() < end;)
		cpu_relax();
}

/* --- the host's part --- */

enum keeper { HRTIMER, ENTRIES };

static bool there_is(enum keeper k)
{
	int works = dev_capability(KVM_CAP_X86_DISABLE_EXITS);

	return k == ENTRIES ? have_preemption_timer
			    : !have_preemption_timer || (works & KVM_X86_DISABLE_EXITS_MWAIT);
}

static struct vcpu *new_vcpu(enum keeper k, enum apic_mode m, void (*fn)(uint64_t))
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_DISABLE_EXITS,
		.args = { KVM_X86_DISABLE_EXITS_MWAIT },
	};
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v;

	if (k == HRTIMER && have_preemption_timer)
		must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	v = vcpu_create(vm, 0);
	vcpu_long_mode(v, fn, 0);
	in_guest(vm, mode) = m;
	return v;
}

static void for_each_keeper(void (*test)(enum keeper))
{
	need_apicvisor();
	for (enum keeper k = HRTIMER; k <= ENTRIES; k++)
		if (there_is(k))
			test(k);
}

/* --- what an expiry costs --- */

/* Armed before the first report; after the second one, the same time without expiries. */
static void take_ticks(uint64_t arg)
{
	uint64_t begin, first;

	(void)arg;
	timer_on(APIC_TIMER_PERIODIC);
	apic_write(APIC_TMICT, PERIOD);
	guest_sync(1);
	while (!count)
		cpu_relax();
	guest_sync(2);
	begin = rdtsc();
	first = count;
	while (count < first + ROUNDS)
		cpu_relax();
	begin = rdtsc() - begin;
	guest_sync(3);
	apic_write(APIC_TMICT, 0);
	guest_sync(4);
	spin(begin);
	guest_sync(5);
}

/* exits by the host's interrupts and by the preemption timer, for ROUNDS expiries */
struct expiry_cost {
	uint64_t interrupts, timer;
};

/* The timer is armed on CPU 0; @cpu: where the guest runs after that. */
static struct expiry_cost cost_of_expiries(enum keeper k, enum apic_mode m, int cpu)
{
	struct vcpu *v = new_vcpu(k, m, take_ticks);
	struct sample s[5];
	struct expiry_cost cost;
	uint64_t idle;

	pin_thread(pthread_self(), 0);
	expect_sync(v, 1);
	pin_thread(pthread_self(), cpu);
	for (uint64_t i = 2; i <= 5; i++) {
		expect_sync(v, i);
		s[i - 1] = take_sample(v);
	}
	expect_done(v);
	vm_free(v->vm);
	cost.interrupts = grown(&s[1], &s[2], "exit.external_interrupt");
	cost.timer = grown(&s[1], &s[2], "exit.preemption_timer");
	idle = grown(&s[3], &s[4], "exit.external_interrupt");
	print_message("# %s, %s, CPU %d: %lu interrupt exits, %lu timer exits; idle %lu\n",
		      k == HRTIMER ? "hrtimer" : "preemption timer", m ? "x2APIC" : "xAPIC", cpu,
		      (unsigned long)cost.interrupts, (unsigned long)cost.timer,
		      (unsigned long)idle);
	expect_exits(&s[3], &s[4], COST({ "exit.io", 1 }), 1);
	if (have.virtual_interrupts && eoi_is_free(m))
		expect_exits(&s[1], &s[2],
			     COST({ "exit.io", 1 }, { "exit.preemption_timer", cost.timer }), 2);
	cost.interrupts -= cost.interrupts < idle ? cost.interrupts : idle;
	return cost;
}

/* Ticks of the host, which are not quite regular. */
#define NOISE (ROUNDS / 4)

static void expiries(enum keeper k)
{
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		struct expiry_cost here = cost_of_expiries(k, m, 0);
		struct expiry_cost there = cost_of_expiries(k, m, 1);

		if (k == ENTRIES) {
			/* one that another exit has let through needs none of its own */
			assert_in_range(here.timer, ROUNDS - NOISE, ROUNDS);
			assert_in_range(there.timer, ROUNDS - NOISE, ROUNDS);
			assert_in_range(here.interrupts + there.interrupts, 0, 2 * NOISE);
			continue;
		}
		assert_int_equal(here.timer + there.timer, 0);
		assert_in_range(here.interrupts, ROUNDS - NOISE, ROUNDS + NOISE);
		if (have.posted_interrupts) /* posted by the CPU where the hrtimer is */
			assert_in_range(there.interrupts, 0, NOISE);
		else
			assert_in_range(there.interrupts, ROUNDS - NOISE, ROUNDS + NOISE);
	}
}

static void expiry_costs_one_exit_or_none(void **state)
{
	(void)state;
	need_two_cpus();
	for_each_keeper(expiries);
}

/* --- what arming costs --- */

static void arm_and_disarm(uint64_t arg)
{
	uint64_t begin;

	(void)arg;
	timer_on(APIC_TIMER_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + LONG);
	guest_sync(1);
	begin = rdtsc();
	for (uint64_t i = 0; i < ROUNDS; i++)
		wrmsr(MSR_TSC_DEADLINE, begin + LONG + i);
	begin = rdtsc() - begin;
	wrmsr(MSR_TSC_DEADLINE, 0);
	guest_sync_values(2, begin / ROUNDS, 0, 0, 0);
	guest_assert_eq(count, 0);
}

static uint64_t cost_of_arming(enum keeper k)
{
	struct vcpu *v = new_vcpu(k, X2APIC, arm_and_disarm);
	struct sample before, after;
	uint64_t ticks;

	expect_sync(v, 1);
	before = take_sample(v);
	ticks = expect_sync(v, 2)->value[1];
	after = take_sample(v);
	expect_exits(&before, &after, COST({ "exit.wrmsr", ROUNDS + 1 }, { "exit.io", 1 }), 2);
	expect_done(v);
	vm_free(v->vm);
	return ticks;
}

/* And no other; the ticks are a figure to read, not to pass by. */
static void arming_costs_one_exit(enum keeper k)
{
	print_message("# a WRMSR to IA32_TSC_DEADLINE, %s: %lu ticks\n",
		      k == HRTIMER ? "hrtimer" : "preemption timer",
		      (unsigned long)cost_of_arming(k));
}

static void arming_costs_its_own_exit(void **state)
{
	(void)state;
	for_each_keeper(arming_costs_one_exit);
}

/* --- who keeps it --- */

static void wait_running_then_halted(uint64_t arg)
{
	(void)arg;
	keep_spinning = 1;
	timer_on(0);
	apic_write(APIC_TMICT, ~0u);
	while (keep_spinning)
		cpu_relax();
	sti_hlt();
}

/* Until the vCPU's page shows @text; the test's alarm ends a wait in vain. */
static void wait_for_state(struct vcpu *v, const char *text)
{
	char page[8192];

	do
		read_debugfs(v, "state", page, sizeof(page));
	while (!strstr(page, text));
}

static void keepers(enum keeper k)
{
	struct vcpu *v = new_vcpu(k, XAPIC, wait_running_then_halted);

	vcpu_start(v);
	wait_for_state(v, k == ENTRIES ? "kept by VM entries" : "host timer armed");
	in_guest(v->vm, keep_spinning) = 0;
	wait_for_state(v, "halted");
	wait_for_state(v, "host timer armed");
	vcpu_stop(v);
	vm_free(v->vm);
}

/* While the vCPU sleeps nobody enters the guest: there must be an hrtimer. */
static void a_sleeper_has_an_hrtimer(void **state)
{
	(void)state;
	for_each_keeper(keepers);
}

/* --- nobody keeps it: the vCPU is with userspace --- */

static void be_late(uint64_t arg)
{
	(void)arg;
	timer_on(0);
	cli();
	apic_write(APIC_TMICT, 5000000);
	guest_sync(1);
	guest_assert_eq(apic_read(APIC_TMCCT), 0);
	guest_assert_eq(apic_read(APIC_IRR + (VECTOR / 32) * 0x10) >> (VECTOR % 32) & 1, 1);
	sti();
	cpu_relax();
	guest_assert_eq(count, 1);
}

static uint32_t lapic_word(struct vcpu *v, uint32_t reg)
{
	struct kvm_lapic_state s;
	uint32_t value;

	must(ioctl(v->fd, KVM_GET_LAPIC, &s));
	memcpy(&value, s.regs + reg, sizeof(value));
	return value;
}

/* The count goes on, the image has the expiry, and so does the guest. */
static void with_userspace(enum keeper k)
{
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		struct vcpu *v = new_vcpu(k, m, be_late);
		uint32_t before, after;

		expect_sync(v, 1);
		before = lapic_word(v, APIC_TMCCT);
		after = lapic_word(v, APIC_TMCCT);
		assert_true(before > after && before < 5000000);
		while (lapic_word(v, APIC_TMCCT))
			;
		assert_true(lapic_word(v, APIC_IRR + (VECTOR / 32) * 0x10) & 1u << VECTOR % 32);
		expect_done(v);
		vm_free(v->vm);
	}
}

static void expiry_outside_the_run_loop(void **state)
{
	(void)state;
	for_each_keeper(with_userspace);
}

/* --- it comes in time, and never before --- */

static volatile uint64_t came_at, late_sum, late_max, finished, may_end;

static void note_time(struct guest_frame *f)
{
	(void)f;
	came_at = rdtsc();
	apic_write(APIC_EOI, 0);
}

/* What the guest does meanwhile: nothing, exits, sleep. */
static void wait_for_interrupt(uint64_t how)
{
	uint32_t r[4];

	while (!came_at) {
		if (how == 0) {
			cpu_relax();
		} else if (how == 1) {
			guest_cpuid(0, 0, r);
		} else {
			cli();
			if (!came_at)
				sti_hlt();
			sti();
		}
	}
}

/* Deadlines of every length, from "now" on. */
static void meet_deadlines(uint64_t arg)
{
	uint64_t deadline, late;

	(void)arg;
	timer_on(APIC_TIMER_DEADLINE);
	guest_handler[VECTOR] = note_time;
	for (uint64_t i = 0; i < 6 * ROUNDS; i++) {
		came_at = 0;
		deadline = rdtsc() + 1 + 599 * i;
		wrmsr(MSR_TSC_DEADLINE, deadline);
		wait_for_interrupt(i % 3);
		guest_assert(came_at >= deadline);
		late = came_at - deadline;
		late_sum += late;
		if (late > late_max)
			late_max = late;
	}
	finished = 1;
	while (!may_end) /* its thread must be there to be moved */
		cpu_relax();
}

static void deadlines(enum keeper k, enum apic_mode m, bool moving)
{
	struct vcpu *v = new_vcpu(k, m, meet_deadlines);

	vcpu_start(v);
	for (int cpu = 0; !in_guest(v->vm, finished); cpu ^= moving) {
		pin_thread(v->thread, cpu);
		sched_yield();
	}
	in_guest(v->vm, may_end) = 1;
	vcpu_join(v);
	print_message("# %s, %s%s: %lu ticks late, at most %lu\n",
		      k == HRTIMER ? "hrtimer" : "preemption timer", m ? "x2APIC" : "xAPIC",
		      moving ? ", moving" : "",
		      (unsigned long)in_guest(v->vm, late_sum) / (6 * ROUNDS),
		      (unsigned long)in_guest(v->vm, late_max));
	vm_free(v->vm);
}

static void all_deadlines(enum keeper k)
{
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		deadlines(k, m, false);
		if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
			deadlines(k, m, true);
	}
}

static void no_deadline_is_missed(void **state)
{
	(void)state;
	for_each_keeper(all_deadlines);
}

static const struct CMUnitTest tests[] = {
	STATS_TEST(expiry_costs_one_exit_or_none), STATS_TEST(arming_costs_its_own_exit),
	STATS_TEST(a_sleeper_has_an_hrtimer),      STATS_TEST(expiry_outside_the_run_loop),
	STATS_TEST(no_deadline_is_missed),
};

TEST_MAIN("guest_timer", tests)
