// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests whose TSC has another frequency than the host's: RDTSC against the host's TSC, what the
 * guest and userspace write to it, TSC deadlines (never early, and not late), vCPUs that must
 * agree, and a guest that is saved and goes on elsewhere. The clock page at such frequencies is in
 * test_clock.c. Skipped where the processor lacks TSC scaling.
 * Source: SDM "Time-Stamp Counter Offset and Multiplier".
 */
#include "apicmode.h"
#include "snapshot.h"
#include "stats.h"

#define VECTOR         0x61
#define MSR_TSC_ADJUST 0x3b
#define STEP           (1UL << 50)
#define ROUNDS         3

static volatile uint64_t count, fired, wait_ticks;

/* --- the guest's part --- */

static void reader(uint64_t unused)
{
	(void)unused;
	for (;;)
		guest_sync_values(1, rdtsc(), 0, 0, 0);
}

/* @slack: ticks of a time that no instruction takes. */
static void writer(uint64_t slack)
{
	uint64_t t, adjust;

	wrmsr(MSR_TSC, STEP);
	t = rdtsc();
	guest_assert(t - STEP < slack);
	adjust = rdmsr(MSR_TSC_ADJUST);
	guest_assert(STEP - adjust < slack * 100); /* the TSC without it, which began at 0 */
	wrmsr(MSR_TSC_ADJUST, adjust + STEP);
	guest_assert_eq(rdmsr(MSR_TSC_ADJUST), adjust + STEP);
	guest_assert(rdtsc() - t - STEP < slack);
	wrmsr(MSR_TSC_ADJUST, 0);
	t = rdtsc();
	guest_assert(t <= rdmsr(MSR_TSC) && t < slack * 100);
	guest_sync_values(1, t, 0, 0, 0);
	guest_assert(rdtsc() - 3 * STEP < slack * 100); /* userspace has set it */
	guest_assert_eq(rdmsr(MSR_TSC_ADJUST), 0);
}

static void on_deadline(struct guest_frame *f)
{
	(void)f;
	fired = rdtsc();
	count++;
	apic_write(APIC_EOI, 0);
}

static uint64_t arm(void)
{
	uint64_t until = rdtsc() + wait_ticks;

	wrmsr(MSR_TSC_DEADLINE, until);
	return until;
}

/* Returns how many ticks late it is. */
static uint64_t await(uint64_t until, uint64_t n, bool halt)
{
	while (count < n) {
		if (halt)
			sti_hlt();
		else
			sti();
		cli();
	}
	guest_assert(fired >= until);
	return fired - until;
}

static void timer_on(void)
{
	cli();
	guest_handler[VECTOR] = on_deadline;
	guest_pic_init(0xffff);
	apic_enable();
	apic_write(APIC_LVT_TIMER, APIC_TIMER_DEADLINE | VECTOR);
}

static void deadlines(uint64_t halt)
{
	timer_on();
	for (uint64_t n = 1; n <= ROUNDS; n++)
		guest_sync_values(1, await(arm(), n, halt), 0, 0, 0);
}

static void pending_deadline(uint64_t halt)
{
	uint64_t until;

	timer_on();
	until = arm();
	guest_sync(1);
	guest_sync_values(2, await(until, 1, halt), 0, 0, 0);
}

/* --- the host's part --- */

static unsigned long host_khz;

static struct vm *new_vm(void)
{
	struct vm *vm;

	if (!dev_capability(KVM_CAP_TSC_CONTROL) || !dev_capability(KVM_CAP_VM_TSC_CONTROL))
		skip_because("no TSC scaling");
	vm = vm_create_irqchip();
	host_khz = must(ioctl(vm->fd, KVM_GET_TSC_KHZ, 0));
	return vm;
}

static void set_khz(int fd, unsigned long khz)
{
	must(ioctl(fd, KVM_SET_TSC_KHZ, khz));
	assert_int_equal(must(ioctl(fd, KVM_GET_TSC_KHZ, 0)), khz);
}

static struct vcpu *vcpu_at(unsigned long khz, void (*fn)(uint64_t), uint64_t arg)
{
	struct vcpu *v = vcpu_create(new_vm(), 0);

	set_khz(v->fd, khz);
	vcpu_long_mode(v, fn, arg);
	return v;
}

/* The guest's TSC, and the host's at some moment before and after it was read. */
struct look {
	uint64_t before, guest, after;
};

static struct look look(struct vcpu *v)
{
	struct look l = { .before = rdtsc() };

	l.guest = expect_sync(v, 1)->value[1];
	l.after = rdtsc();
	return l;
}

/* As many ticks from @a to @b as the host's TSC allows; a multiplier may be off by 2^-32 or so. */
static void expect_rate(const struct look *a, const struct look *b, unsigned long khz)
{
	unsigned __int128 least = (unsigned __int128)(b->before - a->after) * khz / host_khz;
	unsigned __int128 most = (unsigned __int128)(b->after - a->before) * khz / host_khz;
	uint64_t ticks = b->guest - a->guest;

	if (ticks + (ticks >> 32) + 1 < least || ticks > most + (most >> 32) + 1)
		fail_msg("%lu kHz: %lu ticks, not between %lu and %lu", khz, (unsigned long)ticks,
			 (unsigned long)least, (unsigned long)most);
}

static void expect_frequency(struct vcpu *v, unsigned long khz)
{
	struct look a = look(v), b;
	uint64_t msr;

	usleep(20000);
	msr = vcpu_get_msr(v, MSR_TSC);
	b = look(v);
	expect_rate(&a, &b, khz);
	assert_in_range(msr, a.guest, b.guest);
}

static void the_tsc_runs_at_the_frequency_that_was_set(void **state)
{
	struct vm *vm = new_vm();
	const unsigned long khz[] = {
		host_khz / 2, 2 * host_khz, host_khz * 7 / 3 + 1, host_khz / 1000, 1,
		0x7ffffffe,   host_khz
	};
	struct vcpu *v;

	(void)state;
	vm_free(vm);
	for (size_t i = 0; i < ARRAY_SIZE(khz); i++) {
		v = vcpu_at(khz[i], reader, 0);
		expect_frequency(v, khz[i]);
		vm_free(v->vm);

		vm = new_vm();
		set_khz(vm->fd, khz[i]);
		v = vcpu_create(vm, 0);
		assert_int_equal(must(ioctl(v->fd, KVM_GET_TSC_KHZ, 0)), khz[i]);
		vcpu_long_mode(v, reader, 0);
		expect_frequency(v, khz[i]);
		vm_free(vm);
	}
}

static void a_running_guest_gets_another_frequency(void **state)
{
	struct vcpu *v = vcpu_at(host_khz, reader, 0);
	struct look before, after;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's TSC jumps when its frequency is set");
	for (int i = 0; i < 4; i++) {
		before = look(v);
		set_khz(v->fd, i % 2 ? host_khz * 3 : host_khz / 3);
		after = look(v);
		assert_in_range(after.guest, before.guest,
				before.guest + 3 * (after.after - before.before));
		expect_frequency(v, i % 2 ? host_khz * 3 : host_khz / 3);
	}
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_TSC_KHZ, 0x7fffffffUL)); /* and nothing changes */
	expect_frequency(v, host_khz * 3);
}

static void what_is_written_is_read(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct vcpu *v = vcpu_create(new_vm(), 0);
		unsigned long khz = i ? host_khz * 2 : host_khz / 2;

		set_khz(v->fd, khz);
		assert_int_equal(vcpu_set_msr(v, MSR_TSC, 1), 1);
		vcpu_long_mode(v, writer, khz * 20); /* 20 ms */
		expect_sync(v, 1);
		assert_int_equal(vcpu_set_msr(v, MSR_TSC, 3 * STEP), 1);
		assert_in_range(vcpu_get_msr(v, MSR_TSC), 3 * STEP, 3 * STEP + khz * 1000);
		expect_done(v);
		vm_free(v->vm);
	}
}

static int64_t offset_attribute(struct vcpu *v, const int64_t *set)
{
	int64_t value = set ? *set : 0;
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL,
					.attr = KVM_VCPU_TSC_OFFSET,
					.addr = (uintptr_t)&value };

	must(ioctl(v->fd, set ? KVM_SET_DEVICE_ATTR : KVM_GET_DEVICE_ATTR, &attr));
	return value;
}

static void the_offset_is_added_to_what_is_scaled(void **state)
{
	static const int64_t offsets[] = { 0, 1L << 50, -(1L << 50), 12345 };
	struct vcpu *v = vcpu_create(new_vm(), 0);
	uint64_t before, tsc;

	(void)state;
	set_khz(v->fd, host_khz * 2);
	vcpu_long_mode(v, reader, 0);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		before = rdtsc();
		offset_attribute(v, &offsets[i]);
		assert_int_equal(offset_attribute(v, NULL), offsets[i]);
		tsc = expect_sync(v, 1)->value[1] - offsets[i];
		assert_in_range(tsc, 2 * before, 2 * rdtsc());
	}
	must(ioctl(v->vm->fd, KVM_SET_TSC_KHZ, 2 * host_khz));
	assert_int_equal(offset_attribute(vcpu_create(v->vm, 1), NULL), 12345);
}

/* --- deadlines --- */

/* 20 ms in ticks of the guest: a deadline by the host's ticks would be far off. */
static void new_deadline(struct vcpu *v, unsigned long khz, enum apic_mode m)
{
	in_guest(v->vm, mode) = m;
	in_guest(v->vm, wait_ticks) = 20 * khz;
}

static void deadlines_are_in_the_guests_ticks(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct vcpu *v = vcpu_create(new_vm(), 0);
		unsigned long khz = i & 1 ? host_khz * 2 : host_khz / 2;
		uint64_t late = 0;

		set_khz(v->fd, khz);
		vcpu_long_mode(v, deadlines, i & 2);
		new_deadline(v, khz, i & 4 ? X2APIC : XAPIC);
		for (int n = 0; n < ROUNDS; n++) {
			uint64_t l = expect_sync(v, 1)->value[1];

			late = l > late ? l : late;
		}
		expect_done(v);
		print_message("# %lu kHz, %s: at most %lu us late\n", khz,
			      i & 2 ? "halted" : "running", (unsigned long)(late * 1000 / khz));
		assert_true(late < 10 * khz);
		vm_free(v->vm);
	}
}

static void a_deadline_follows_the_frequency(void **state)
{
	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's TSC jumps when its frequency is set");
	for (int i = 0; i < 4; i++) {
		struct vcpu *v = vcpu_create(new_vm(), 0);
		unsigned long slow = host_khz / 2, fast = host_khz * 2;
		uint64_t late;

		set_khz(v->fd, i & 1 ? fast : slow);
		vcpu_long_mode(v, pending_deadline, i & 2);
		new_deadline(v, slow, X2APIC);
		expect_sync(v, 1);
		set_khz(v->fd, i & 1 ? slow : fast);
		late = expect_sync(v, 2)->value[1];
		assert_true(late < 10 * slow);
		expect_done(v);
		vm_free(v->vm);
	}
}

/* --- several vCPUs --- */

enum { TWO_THEN_SET, SET_EACH, FOR_THE_VM, FOR_THE_VM_WRITE_ONE, WRITE_ZERO, WRITE_BOTH, ORDERS };

static void make_pair(int order, struct vm *vm, unsigned long khz, struct vcpu *v[2])
{
	if (order == FOR_THE_VM || order == FOR_THE_VM_WRITE_ONE)
		set_khz(vm->fd, khz);
	if (order == TWO_THEN_SET || order == WRITE_BOTH)
		for (unsigned int i = 0; i < 2; i++)
			v[i] = vcpu_create(vm, i);
	for (unsigned int i = 0; i < 2; i++) {
		usleep(3000);
		if (order != TWO_THEN_SET && order != WRITE_BOTH)
			v[i] = vcpu_create(vm, i);
		usleep(3000);
		if (order != FOR_THE_VM && order != FOR_THE_VM_WRITE_ONE)
			set_khz(v[i]->fd, khz);
		if (order == FOR_THE_VM_WRITE_ONE && i == 0)
			assert_int_equal(vcpu_set_msr(v[0], MSR_TSC, 200000000), 1);
	}
	for (unsigned int i = 0; i < 2; i++) {
		usleep(3000);
		if (order == WRITE_ZERO || order == WRITE_BOTH)
			assert_int_equal(
				vcpu_set_msr(v[i], MSR_TSC, order == WRITE_BOTH ? STEP : 0), 1);
	}
}

static void tscs_of_vcpus_run_together(void **state)
{
	(void)state;
	for (int order = on_apicvisor() ? 0 : FOR_THE_VM; order < ORDERS; order++) {
		struct vm *vm = new_vm();
		struct vcpu *v[2];
		uint64_t a, b, c;

		make_pair(order, vm, host_khz * 7 / 3, v);
		a = vcpu_get_msr(v[0], MSR_TSC);
		b = vcpu_get_msr(v[1], MSR_TSC);
		c = vcpu_get_msr(v[0], MSR_TSC);
		if (a > b || b > c)
			fail_msg("order %d: TSCs %lu, %lu, %lu", order, (unsigned long)a,
				 (unsigned long)b, (unsigned long)c);
		if (offset_attribute(v[0], NULL) != offset_attribute(v[1], NULL))
			fail_msg("order %d: offsets differ", order);
		for (unsigned int i = 0; i < 2; i++)
			vcpu_long_mode(v[i], reader, 0);
		for (int n = 0; n < 20; n++, a = c) {
			b = look(v[0]).guest;
			c = look(v[1]).guest;
			assert_true(a <= b && b <= c);
		}
		vm_free(vm);
	}
}

/* --- saved and restored --- */

static struct saved_vm saved;

static void a_restored_guest_goes_on_at_its_frequency(void **state)
{
	static const enum call calls[] = {
		SET_SREGS, SET_XCRS,  SET_XSAVE, SET_MSRS, SET_CHIP,     SET_CHIP + 1, SET_CHIP + 2,
		SET_REGS,  SET_LAPIC, SET_TSC,   SET_MP,   SET_DEADLINE, SET_EVENTS,
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		unsigned long khz = (vm_free(new_vm()), i ? host_khz * 2 : host_khz / 2);
		struct vm *from = empty_machine(1), *to = empty_machine(1);
		uint64_t late;

		set_khz(from->vcpu[0]->fd, khz);
		vcpu_long_mode(from->vcpu[0], pending_deadline, 1);
		new_deadline(from->vcpu[0], khz, X2APIC);
		expect_sync(from->vcpu[0], 1);
		from->vcpu[0]->run->immediate_exit = 1; /* the report is an OUT to be completed */
		assert_int_equal(vcpu_run_raw(from->vcpu[0]), -EINTR);
		save_vm(from, &saved);
		usleep(50000); /* more than the deadline: the guest does not see it pass */
		set_khz(to->vcpu[0]->fd, khz);
		copy_memory(to, from);
		for (size_t n = 0; n < ARRAY_SIZE(calls); n++)
			restore_call(to, &saved, calls[n]);
		late = expect_sync(to->vcpu[0], 2)->value[1];
		assert_true(late < 10 * khz);
		expect_done(to->vcpu[0]);
		vm_free(from);
		vm_free(to);
	}
}

/* --- without --- */

static void it_can_be_switched_off(void **state)
{
	char was[16], now[16], parameter[32];
	struct vcpu *v;

	(void)state;
	need_apicvisor();
	vm_free(new_vm());
	module_parameter("tsc_scaling", was, sizeof(was));
	assert_string_equal(was, "Y");
	reload_module("tsc_scaling=0");
	assert_int_equal(dev_capability(KVM_CAP_TSC_CONTROL), 0);
	assert_int_equal(dev_capability(KVM_CAP_VM_TSC_CONTROL), 0);
	v = vcpu_create(vm_create_irqchip(), 0);
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_TSC_KHZ, host_khz * 2));
	must_fail(EINVAL, ioctl(v->vm->fd, KVM_SET_TSC_KHZ, host_khz / 2));
	set_khz(v->fd, host_khz);
	vcpu_long_mode(v, reader, 0);
	expect_frequency(v, host_khz);
	vm_free(v->vm);
	snprintf(parameter, sizeof(parameter), "tsc_scaling=%s", was);
	reload_module(parameter);
	module_parameter("tsc_scaling", now, sizeof(now));
	assert_string_equal(now, was);
}

static const struct CMUnitTest tests[] = {
	TEST(the_tsc_runs_at_the_frequency_that_was_set),
	TEST(a_running_guest_gets_another_frequency),
	TEST(what_is_written_is_read),
	TEST(the_offset_is_added_to_what_is_scaled),
	TEST(deadlines_are_in_the_guests_ticks),
	TEST(a_deadline_follows_the_frequency),
	TEST(tscs_of_vcpus_run_together),
	TEST(a_restored_guest_goes_on_at_its_frequency),
	STATS_TEST(it_can_be_switched_off),
};

TEST_MAIN("guest_tsc", tests)
