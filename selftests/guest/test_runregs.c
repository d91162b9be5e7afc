// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_CAP_SYNC_REGS: registers, system registers and events travel with KVM_RUN in the shared page,
 * which other threads may scribble on. Whatever it holds, the outcome is one that KVM_SET_* has.
 */
#include "kvmtest.h"

#define ALL     (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)
#define UNKNOWN (1u << 31)
#define PORT    0x510

/* Counts in RBX between the exits. */
static void count_exits(uint64_t arg)
{
	asm volatile("1: out %%al, %%dx; inc %%rbx; jmp 1b" : : "d"(PORT), "b"(arg) : "memory");
}

static struct vcpu *new_counter(void)
{
	int cap = dev_capability(KVM_CAP_SYNC_REGS);

	assert_int_equal(cap & ALL, ALL);
	assert_int_equal(cap & UNKNOWN, 0);
	return guest_new(count_exits, 0x1000);
}

static void unknown_sets_are_refused(void **state)
{
	static const uint32_t bad[] = { UNKNOWN, UNKNOWN | ALL, ALL + 1 };
	struct vcpu *v = new_counter();
	struct kvm_regs before = vcpu_regs(v), after;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		v->run->kvm_valid_regs = bad[i];
		assert_int_equal(vcpu_run_raw(v), -EINVAL);
		v->run->kvm_valid_regs = 0;
		v->run->kvm_dirty_regs = bad[i];
		assert_int_equal(vcpu_run_raw(v), -EINVAL);
		v->run->kvm_dirty_regs = 0;
	}
	v->run->kvm_valid_regs = 1ull << 40;
	assert_int_equal(vcpu_run_raw(v), -EINVAL);
	v->run->kvm_valid_regs = 0;
	after = vcpu_regs(v);
	assert_memory_equal(&before, &after, sizeof(after));
	expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1);
}

static void page_agrees_with_the_calls(void **state)
{
	struct vcpu *v = new_counter();
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	struct kvm_regs regs;

	(void)state;
	v->run->kvm_valid_regs = ALL;
	for (int i = 0; i < 3; i++) {
		expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1);
		regs = vcpu_regs(v);
		must(ioctl(v->fd, KVM_GET_SREGS, &sregs));
		must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events));
		assert_memory_equal(&v->run->s.regs.regs, &regs, sizeof(regs));
		assert_memory_equal(&v->run->s.regs.sregs, &sregs, sizeof(sregs));
		assert_memory_equal(&v->run->s.regs.events, &events, sizeof(events));
		assert_int_equal(regs.rbx, 0x1000 + i);
	}
	/* Not asked for: not touched. */
	v->run->kvm_valid_regs = 0;
	v->run->s.regs.regs.rbx = 0xaaaa;
	expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1);
	assert_int_equal(v->run->s.regs.regs.rbx, 0xaaaa);
	assert_int_equal(vcpu_regs(v).rbx, 0x1003);
}

static void dirty_sets_are_taken_once(void **state)
{
	struct vcpu *v = new_counter();

	(void)state;
	v->run->kvm_valid_regs = ALL;
	expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1);
	v->run->s.regs.regs.rbx = 0xbad1dea;
	v->run->s.regs.sregs.cr2 = 0x123000;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1);
	assert_int_equal(v->run->s.regs.regs.rbx, 0xbad1dea + 1);
	assert_int_equal(v->run->s.regs.sregs.cr2, 0x123000);
	assert_int_equal(v->run->kvm_dirty_regs, 0);
	v->run->s.regs.regs.rbx = 0xdead; /* not declared dirty */
	expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1);
	assert_int_equal(v->run->s.regs.regs.rbx, 0xbad1dea + 2);
}

/* Also where the run is asked to end at once. */
static void dirty_sets_are_taken_with_immediate_exit(void **state)
{
	struct vcpu *v = new_counter();

	(void)state;
	v->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1);
	v->run->s.regs.regs.rbx = 0x77;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	v->run->immediate_exit = 1;
	assert_int_equal(vcpu_run_raw(v), -EINTR);
	v->run->immediate_exit = 0;
	assert_int_equal(vcpu_regs(v).rbx, 0x77);
}

static void refused_values_change_nothing(void **state)
{
	struct vcpu *v = new_counter();
	struct kvm_sregs before, after;

	(void)state;
	v->run->kvm_valid_regs = ALL;
	expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1);
	must(ioctl(v->fd, KVM_GET_SREGS, &before));
	v->run->s.regs.sregs.cr4 = 1ull << 31;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	v->run->kvm_valid_regs = 0;
	assert_int_equal(vcpu_run_raw(v), -EINVAL);
	v->run->kvm_dirty_regs = 0;
	must(ioctl(v->fd, KVM_GET_SREGS, &after));
	assert_memory_equal(&before, &after, sizeof(after));
	v->run->s.regs.events.flags = ~0u;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_EVENTS;
	assert_int_equal(vcpu_run_raw(v), -EINVAL);
	v->run->kvm_dirty_regs = 0;
	expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1);
}

static uint64_t seen_vector; /* in the guest */

static void note_vector(struct guest_frame *f)
{
	seen_vector = f->vector;
}

static void wait_for_exception(uint64_t arg)
{
	(void)arg;
	guest_handler[5] = note_vector; /* #BR: nothing else raises it here */
	guest_sync(1);
	guest_assert_eq(seen_vector, 5);
}

static void events_reach_the_guest(void **state)
{
	struct vcpu *v = guest_new(wait_for_exception, 0);

	(void)state;
	v->run->kvm_valid_regs = ALL;
	expect_sync(v, 1);
	v->run->s.regs.events.exception.injected = 1;
	v->run->s.regs.events.exception.nr = 5;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_EVENTS;
	expect_done(v);
}

static volatile bool scribbling;

static void *scribble(void *arg)
{
	struct kvm_run *run = ((struct vcpu *)arg)->run;
	uint32_t n = 0x12345;

	while (scribbling) {
		n = n * 1664525 + 1013904223;
		run->s.regs.sregs.cr4 ^= 1ull << (n >> 26);
		run->s.regs.sregs.efer ^= 1ull << (n >> 20 & 15);
		run->s.regs.events.flags ^= 1u << (n >> 15 & 31);
		run->s.regs.events.exception.nr = n >> 8;
		run->s.regs.events.exception.injected ^= 1;
		run->kvm_dirty_regs = n >> 4 & 7;
		run->kvm_valid_regs = n >> 7 & 7;
	}
	return NULL;
}

/* What the page holds is looked at once: the host survives, and each run ends in a known way. */
static void a_page_that_changes_all_the_time(void **state)
{
	struct vcpu *v = new_counter();
	struct kvm_sregs sregs;
	pthread_t thread;

	(void)state;
	must(ioctl(v->fd, KVM_GET_SREGS, &sregs));
	scribbling = true;
	assert_int_equal(pthread_create(&thread, NULL, scribble, v), 0);
	for (unsigned long i = 0; i < env_number("APV_LONG", 0) * 10000 + 300; i++) {
		int r = vcpu_run_raw(v);

		if (r && r != -EINVAL)
			fail_msg("KVM_RUN: %d", r);
		must(ioctl(v->fd, KVM_SET_SREGS, &sregs));
	}
	scribbling = false;
	pthread_join(thread, NULL);
}

static const struct CMUnitTest tests[] = {
	TEST(unknown_sets_are_refused),         TEST(page_agrees_with_the_calls),
	TEST(dirty_sets_are_taken_once),        TEST(dirty_sets_are_taken_with_immediate_exit),
	TEST(refused_values_change_nothing),    TEST(events_reach_the_guest),
	TEST(a_page_that_changes_all_the_time),
};

TEST_MAIN("guest_runregs", tests)
