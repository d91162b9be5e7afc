// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VM's clock as a guest that knows KVM reads it: a page for each vCPU that says how to get from
 * its TSC to the clock. Whatever userspace or a guest does to clock and TSCs, both sides agree.
 * Source: the kernel's document "KVM-specific MSRs".
 */
#include <time.h>
#include "lib.h"

#define WALL_CLOCK      0x4b564d00
#define SYSTEM_TIME     0x4b564d01
#define OLD_SYSTEM_TIME 0x12
#define TSC             0x10
#define SECOND          1000000000UL

#define TSC_STABLE      0x01
#define GUEST_STOPPED   0x02

/* The layout is the ABI's. */
struct time_page {
	uint32_t version, unused;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, unused2[2];
};

struct wall_page {
	uint32_t version, sec, nsec;
};

static volatile struct time_page page[2] __attribute__((aligned(64)));
static volatile struct wall_page wall;

/* --- the guest's part --- */

static uint64_t read_clock(unsigned int cpu)
{
	volatile struct time_page *p = &page[cpu];
	unsigned __int128 ticks;
	uint32_t version;
	uint64_t ns;

	do {
		version = p->version;
		__sync_synchronize();
		ticks = rdtsc() - p->tsc;
		ticks = p->shift < 0 ? ticks >> -p->shift : ticks << p->shift;
		ns = p->ns + (uint64_t)((ticks * p->mul) >> 32);
		__sync_synchronize();
	} while ((version & 1) || version != p->version);
	return ns;
}

static void clock_on(unsigned int cpu, uint32_t msr)
{
	wrmsr(msr, (uint64_t)(uintptr_t)&page[cpu] | 1);
}

static void clock_reader(uint64_t msr)
{
	clock_on(0, msr);
	for (;;)
		guest_sync_values(1, read_clock(0), page[0].flags, page[0].version, 0);
}

static void clock_mover(uint64_t cpu)
{
	clock_on(cpu, SYSTEM_TIME);
	guest_sync_values(1, read_clock(cpu), page[cpu].flags, 0, 0);
	if (cpu)
		wrmsr(TSC, rdtsc() + (1UL << 40));
	for (;;)
		guest_sync_values(1, read_clock(cpu), page[cpu].flags, 0, 0);
}

static void wall_reader(uint64_t unused)
{
	(void)unused;
	wrmsr(WALL_CLOCK, (uintptr_t)&wall);
	guest_sync_values(1, wall.sec, wall.nsec, wall.version, 0);
}

static void hostile(uint64_t end)
{
	static const uint64_t odd[] = { -1UL, 1UL << 46 | 1, 1UL << 63 | 1, 3 };

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		wrmsr(SYSTEM_TIME, odd[i]);
		wrmsr(WALL_CLOCK, odd[i]);
		guest_assert_eq(rdmsr(SYSTEM_TIME), odd[i]);
	}
	wrmsr(SYSTEM_TIME, (end - 8) | 1); /* the memory ends within the page */
	wrmsr(WALL_CLOCK, end - 4);
}

/* --- the host's part --- */

static struct kvm_clock_data get_clock(struct vm *vm)
{
	struct kvm_clock_data data = { 0 };

	must(ioctl(vm->fd, KVM_GET_CLOCK, &data));
	return data;
}

/* Run to the guest's next report, whose clock must be between two looks at ours. */
static struct guest_report *expect_same_clock(struct vcpu *v)
{
	uint64_t before = get_clock(v->vm).clock;
	struct guest_report *r = expect_sync(v, 1);
	uint64_t after = get_clock(v->vm).clock;

	if (r->value[1] < before || r->value[1] > after)
		fail_msg("the guest's clock is %lu, not between %lu and %lu",
			 (unsigned long)r->value[1], (unsigned long)before, (unsigned long)after);
	assert_int_equal(r->value[3] & 1, 0);
	return r;
}

static struct vcpu *reader(uint32_t msr)
{
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);

	vcpu_long_mode(v, clock_reader, msr);
	return v;
}

static void the_guest_reads_what_userspace_gets(void **state)
{
	(void)state;
	for (int old = 0; old < 2; old++) {
		struct vcpu *v = reader(old ? OLD_SYSTEM_TIME : SYSTEM_TIME);

		for (int i = 0; i < 50; i++)
			assert_true(expect_same_clock(v)->value[2] & TSC_STABLE);
		vm_free(v->vm);
	}
}

static void set_clock_reaches_the_guest(void **state)
{
	struct vcpu *v = reader(SYSTEM_TIME);
	struct kvm_clock_data data = { .clock = 1000 * SECOND };
	uint64_t first = expect_same_clock(v)->value[1];

	(void)state;
	must(ioctl(v->vm->fd, KVM_SET_CLOCK, &data));
	assert_in_range(expect_same_clock(v)->value[1], 1000 * SECOND, 1100 * SECOND);
	data.clock = first; /* and back */
	must(ioctl(v->vm->fd, KVM_SET_CLOCK, &data));
	assert_true(expect_same_clock(v)->value[1] < 1000 * SECOND);
	/* 500 s ago it was that time: a restored guest's clock has gone on meanwhile */
	data = get_clock(v->vm);
	assert_true(data.flags & KVM_CLOCK_REALTIME);
	data.flags = KVM_CLOCK_REALTIME;
	data.realtime -= 500 * SECOND;
	must(ioctl(v->vm->fd, KVM_SET_CLOCK, &data));
	assert_in_range(expect_same_clock(v)->value[1], data.clock + 500 * SECOND,
			data.clock + 600 * SECOND);
	/* never back */
	data = get_clock(v->vm);
	data.flags = KVM_CLOCK_REALTIME;
	data.realtime += 500 * SECOND;
	must(ioctl(v->vm->fd, KVM_SET_CLOCK, &data));
	assert_in_range(expect_same_clock(v)->value[1], data.clock, data.clock + 100 * SECOND);
}

static void tscs_that_differ_do_not_matter(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v[2];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_long_mode(v[i], clock_mover, i);
		assert_true(expect_same_clock(v[i])->value[2] & TSC_STABLE);
	}
	assert_true(get_clock(vm).flags & KVM_CLOCK_TSC_STABLE);
	expect_same_clock(v[1]); /* has moved its TSC: one page no longer serves all */
	for (unsigned int i = 0; i < 2; i++)
		assert_false(expect_same_clock(v[i])->value[2] & TSC_STABLE);
	assert_false(get_clock(vm).flags & KVM_CLOCK_TSC_STABLE);
}

/* Userspace's and the guest's clock at any frequency of the TSC; and it does not jump with it. */
static void the_tscs_frequency_does_not_matter(void **state)
{
	struct vcpu *v = reader(SYSTEM_TIME);
	unsigned long host = must(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	const unsigned long khz[] = { host / 2, 2 * host, host * 7 / 3, 0x7ffffffe, 1000, host };
	uint64_t last = 0, now;

	(void)state;
	if (!dev_capability(KVM_CAP_TSC_CONTROL))
		skip_because("no TSC scaling");
	if (!on_apicvisor())
		skip_because("the peer's clocks differ by some ns");
	for (size_t i = 0; i < ARRAY_SIZE(khz); i++) {
		must(ioctl(v->fd, KVM_SET_TSC_KHZ, khz[i]));
		for (int n = 0; n < 20; n++, last = now) {
			struct guest_report *r = expect_same_clock(v);

			now = r->value[1];
			assert_true(now >= last && now < last + 10 * SECOND);
			assert_true(r->value[2] & TSC_STABLE);
		}
	}
}

/* The VM's clock goes by one of them; the other's page is as precise as its 32 bits of factor. */
static void two_frequencies_are_not_one_clock(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v[2];
	uint64_t before, now;

	(void)state;
	if (!dev_capability(KVM_CAP_TSC_CONTROL))
		skip_because("no TSC scaling");
	if (!on_apicvisor())
		skip_because("the peer says that one page serves all");
	for (unsigned int i = 0; i < 2; i++) {
		v[i] = vcpu_create(vm, i);
		must(ioctl(v[i]->fd, KVM_SET_TSC_KHZ,
			   (i + 2UL) * must(ioctl(v[i]->fd, KVM_GET_TSC_KHZ, 0))));
		vcpu_long_mode(v[i], clock_mover, i);
	}
	for (int n = 0; n < 10; n++) {
		struct guest_report *r;

		before = get_clock(vm).clock;
		r = expect_sync(v[n & 1], 1);
		now = r->value[1];
		assert_in_range(now, before - 1000, get_clock(vm).clock + 1000);
		assert_false(r->value[2] & TSC_STABLE);
	}
	assert_false(get_clock(vm).flags & KVM_CLOCK_TSC_STABLE);
}

static void the_guest_learns_that_it_was_stopped(void **state)
{
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);
	volatile struct time_page *p = (void *)in_guest(v->vm, page);
	struct kvm_clock_data data = { .clock = SECOND };

	(void)state;
	vcpu_long_mode(v, clock_reader, SYSTEM_TIME);
	must_fail(EINVAL, ioctl(v->fd, KVM_KVMCLOCK_CTRL)); /* it has no clock yet */
	assert_false(expect_same_clock(v)->value[2] & GUEST_STOPPED);
	must(ioctl(v->fd, KVM_KVMCLOCK_CTRL));
	assert_true(expect_same_clock(v)->value[2] & GUEST_STOPPED);
	must(ioctl(v->vm->fd, KVM_SET_CLOCK, &data)); /* written anew, and not lost */
	assert_true(expect_same_clock(v)->value[2] & GUEST_STOPPED);
	p->flags &= ~GUEST_STOPPED; /* as the guest does when it has seen it */
	must(ioctl(v->vm->fd, KVM_SET_CLOCK, &data));
	assert_false(expect_same_clock(v)->value[2] & GUEST_STOPPED);
}

static void the_wall_clock_is_that_of_the_start(void **state)
{
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);
	struct guest_report *r;
	uint64_t started;

	(void)state;
	vcpu_long_mode(v, wall_reader, 0);
	r = expect_sync(v, 1);
	started = time(NULL) - get_clock(v->vm).clock / SECOND;
	assert_in_range(r->value[1], started - 2, started + 2);
	assert_true(r->value[2] < SECOND);
	assert_true(r->value[3] && !(r->value[3] & 1));
}

static void addresses_outside_memory_are_harmless(void **state)
{
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);

	(void)state;
	vcpu_long_mode(v, hostile, v->vm->mem_size);
	expect_done(v);
}

static void the_clock_is_saved_with_the_msrs(void **state)
{
	struct vcpu *v = reader(SYSTEM_TIME);
	uint64_t value;

	(void)state;
	expect_same_clock(v);
	value = vcpu_get_msr(v, SYSTEM_TIME);
	assert_int_equal(value & 1, 1);
	assert_int_equal(vcpu_set_msr(v, SYSTEM_TIME, 0), 1);
	assert_int_equal(vcpu_set_msr(v, SYSTEM_TIME, value), 1);
	((struct time_page *)in_guest(v->vm, page))->mul = 0; /* written anew after a restore */
	expect_same_clock(v);
}

static void tsc_reader(uint64_t unused)
{
	(void)unused;
	for (;;)
		guest_sync_values(1, rdtsc(), 0, 0, 0);
}

static struct kvm_device_attr tsc_offset(int64_t *value)
{
	return (struct kvm_device_attr){ .group = KVM_VCPU_TSC_CTRL,
					 .attr = KVM_VCPU_TSC_OFFSET,
					 .addr = (uintptr_t)value };
}

static int64_t get_tsc_offset(struct vcpu *v)
{
	int64_t value = 0;
	struct kvm_device_attr attr = tsc_offset(&value);

	must(ioctl(v->fd, KVM_GET_DEVICE_ATTR, &attr));
	return value;
}

static void the_tsc_offset_is_an_attribute(void **state)
{
	static const int64_t offsets[] = { 0, 1L << 50, -(1L << 50), 12345 };
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);
	int64_t value;
	struct kvm_device_attr attr = tsc_offset(&value);

	(void)state;
	vcpu_long_mode(v, tsc_reader, 0);
	must(ioctl(v->fd, KVM_HAS_DEVICE_ATTR, &attr));
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		uint64_t before = rdtsc(), there;

		value = offsets[i];
		must(ioctl(v->fd, KVM_SET_DEVICE_ATTR, &attr));
		assert_int_equal(get_tsc_offset(v), offsets[i]);
		there = expect_sync(v, 1)->value[1] - offsets[i]; /* the host's at that moment */
		assert_in_range(there, before, rdtsc());
	}
	/* what comes later runs with it, and a TSC that the guest moves has another offset */
	assert_int_equal(get_tsc_offset(vcpu_create(v->vm, 1)), 12345);
	vcpu_long_mode(v, clock_mover, 1);
	expect_sync(v, 1);
	expect_sync(v, 1);
	assert_in_range(get_tsc_offset(v), (1L << 40) - (1L << 30), (1L << 40) + 12345);
}

static void other_attributes_of_a_vcpu_do_not_exist(void **state)
{
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);
	struct kvm_device_attr attr = tsc_offset((int64_t *)8);

	(void)state;
	must(ioctl(v->fd, KVM_HAS_DEVICE_ATTR, &attr)); /* nothing is read or written */
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_DEVICE_ATTR, &attr));
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_DEVICE_ATTR, &attr));
	must_fail(EFAULT, ioctl(v->fd, KVM_HAS_DEVICE_ATTR, NULL));
	attr.attr++;
	must_fail(ENXIO, ioctl(v->fd, KVM_HAS_DEVICE_ATTR, &attr));
	must_fail(ENXIO, ioctl(v->fd, KVM_GET_DEVICE_ATTR, &attr));
	attr.attr--;
	attr.group++;
	must_fail(ENXIO, ioctl(v->fd, KVM_SET_DEVICE_ATTR, &attr));
}

static const struct CMUnitTest tests[] = {
	TEST(the_guest_reads_what_userspace_gets),     TEST(set_clock_reaches_the_guest),
	TEST(tscs_that_differ_do_not_matter),          TEST(the_guest_learns_that_it_was_stopped),
	TEST(the_wall_clock_is_that_of_the_start),     TEST(addresses_outside_memory_are_harmless),
	TEST(the_clock_is_saved_with_the_msrs),        TEST(the_tsc_offset_is_an_attribute),
	TEST(other_attributes_of_a_vcpu_do_not_exist), TEST(the_tscs_frequency_does_not_matter),
	TEST(two_frequencies_are_not_one_clock),
};

TEST_MAIN("guest_clock", tests)
