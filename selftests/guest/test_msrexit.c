// SPDX-License-Identifier: GPL-2.0-only
/*
 * RDMSR and WRMSR that userspace takes part in: exits instead of #GP for each reason, and the
 * filter (KVM_X86_SET_MSR_FILTER), which also covers MSRs that the guest has without exits.
 */
#include "kvmtest.h"

#define INVAL    KVM_MSR_EXIT_REASON_INVAL
#define UNKNOWN  KVM_MSR_EXIT_REASON_UNKNOWN
#define FILTER   KVM_MSR_EXIT_REASON_FILTER
#define EITHER   (KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)

#define NO_MSR   0x474f4f00u /* nobody has it */
#define FS_BASE  0xc0000100u
#define GS_BASE  0xc0000101u
#define KGS_BASE 0xc0000102u
#define STAR     0xc0000081u
#define MCG_CAP  0x179u /* read-only */
#define MTRR_CAP 0xfeu

static uint8_t nothing[KVM_MSR_FILTER_MAX_BITMAP_SIZE];

static void enable(struct vm *vm, uint64_t reasons)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args[0] = reasons };

	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
}

/* One range of @n MSRs from @base, of which none is allowed. */
static struct kvm_msr_filter one_range(uint32_t base, uint32_t n, uint32_t accesses)
{
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };

	f.ranges[0].base = base;
	f.ranges[0].nmsrs = n;
	f.ranges[0].flags = accesses;
	f.ranges[0].bitmap = nothing;
	return f;
}

static void set_filter(struct vm *vm, struct kvm_msr_filter f)
{
	must(ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
}

static void expect_rdmsr(struct vcpu *v, uint32_t msr, uint32_t reason)
{
	expect_exit(v, KVM_EXIT_X86_RDMSR);
	assert_int_equal(v->run->msr.index, msr);
	assert_int_equal(v->run->msr.reason, reason);
	assert_int_equal(v->run->msr.error, 0);
}

static void expect_wrmsr(struct vcpu *v, uint32_t msr, uint32_t reason, uint64_t value)
{
	expect_exit(v, KVM_EXIT_X86_WRMSR);
	assert_int_equal(v->run->msr.index, msr);
	assert_int_equal(v->run->msr.reason, reason);
	assert_int_equal(v->run->msr.error, 0);
	assert_int_equal(v->run->msr.data, value);
}

/* --- reasons --- */

static uint32_t the_msr; /* in the guest */
static uint64_t the_value;

static void read_it(void)
{
	the_value = rdmsr(the_msr);
}

static void write_it(void)
{
	wrmsr(the_msr, 0x123456789abcdef0);
}

static int catch_read(uint32_t msr)
{
	uint32_t error;

	the_msr = msr;
	return guest_catch(read_it, &error);
}

static int catch_write(uint32_t msr)
{
	uint32_t error;

	the_msr = msr;
	return guest_catch(write_it, &error);
}

static void unknown_msr(uint64_t arg)
{
	(void)arg;
	guest_assert_eq(catch_read(NO_MSR), 13); /* nobody asked for exits yet */
	guest_sync(1);
	guest_assert_eq(catch_read(NO_MSR), -1);
	guest_assert_eq(the_value, 0xfedcba9876543210);
	guest_assert_eq(catch_write(NO_MSR), -1);
	guest_assert_eq(catch_read(NO_MSR), 13); /* userspace says so */
	guest_assert_eq(catch_write(NO_MSR), 13);
	guest_assert_eq(catch_write(MCG_CAP), 13); /* known: another reason */
	guest_sync(2);
	guest_assert_eq(catch_write(MCG_CAP), -1);
	guest_assert_eq(catch_read(NO_MSR), 13);
}

static void reasons_decide_what_exits(void **state)
{
	struct vcpu *v = guest_new(unknown_msr, 0);
	struct kvm_enable_cap bad = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args[0] = 1 << 5 };

	(void)state;
	must_fail(EINVAL, ioctl(v->vm->fd, KVM_ENABLE_CAP, &bad));
	expect_sync(v, 1);
	enable(v->vm, UNKNOWN);
	expect_rdmsr(v, NO_MSR, UNKNOWN);
	v->run->msr.data = 0xfedcba9876543210;
	expect_wrmsr(v, NO_MSR, UNKNOWN, 0x123456789abcdef0);
	expect_rdmsr(v, NO_MSR, UNKNOWN);
	v->run->msr.error = 1;
	expect_wrmsr(v, NO_MSR, UNKNOWN, 0x123456789abcdef0);
	v->run->msr.error = 0xff;
	expect_sync(v, 2);
	enable(v->vm, INVAL);
	expect_wrmsr(v, MCG_CAP, INVAL, 0x123456789abcdef0);
	expect_done(v);
}

static void read_unknown(uint64_t arg)
{
	the_value = arg;
	read_it();
	guest_sync(1);
}

static void elsewhere(uint64_t arg)
{
	(void)arg;
	guest_sync(7);
}

/* Userspace may give up the instruction and send the vCPU somewhere else. */
static void a_moved_vcpu_forgets_the_access(void **state)
{
	struct vcpu *v = guest_new(read_unknown, 0);
	struct kvm_regs r;

	(void)state;
	in_guest(v->vm, the_msr) = NO_MSR;
	enable(v->vm, UNKNOWN);
	expect_rdmsr(v, NO_MSR, UNKNOWN);
	v->run->msr.error = 1; /* would be #GP, which nobody handles */
	r = vcpu_regs(v);
	r.rip = (uintptr_t)elsewhere;
	r.rsp -= 256;
	must(ioctl(v->fd, KVM_SET_REGS, &r));
	expect_sync(v, 7);
}

/* --- the filter --- */

static void filtered_msrs(uint64_t arg)
{
	(void)arg;
	wrmsr(KGS_BASE, 0x1000);
	guest_assert_eq(catch_read(STAR), 13); /* without exits a filtered MSR is no MSR */
	guest_assert_eq(catch_read(STAR - 1), -1);
	guest_sync(1);
	guest_assert_eq(catch_read(STAR), -1);
	guest_assert_eq(the_value, 0x55);
	wrmsr(STAR, 0x66); /* reads alone are filtered */
	guest_sync(2);
	guest_assert_eq(rdmsr(STAR), 0x66);
}

static void filter_refuses_reads(void **state)
{
	struct vcpu *v = guest_new(filtered_msrs, 0);

	(void)state;
	set_filter(v->vm, one_range(STAR, 1, KVM_MSR_FILTER_READ));
	expect_sync(v, 1);
	enable(v->vm, FILTER);
	expect_rdmsr(v, STAR, FILTER);
	v->run->msr.data = 0x55;
	expect_sync(v, 2);
	set_filter(v->vm, (struct kvm_msr_filter){}); /* no ranges: no filter */
	expect_done(v);
	assert_int_equal(vcpu_get_msr(v, STAR), 0x66);
}

static void untrapped_msrs(uint64_t arg)
{
	static const uint32_t msr[] = { FS_BASE, GS_BASE, KGS_BASE };

	(void)arg;
	for (int i = 0; i < 3; i++) {
		wrmsr(msr[i], 0x1000);
		guest_assert_eq(rdmsr(msr[i]), 0x1000);
	}
	guest_sync(1);
	for (int i = 0; i < 3; i++) {
		guest_assert_eq(rdmsr(msr[i]), 0x2000 + i);
		wrmsr(msr[i], 0x3000);
	}
	guest_sync(2);
	for (int i = 0; i < 3; i++)
		guest_assert_eq(rdmsr(msr[i]), 0x1000);
}

/* MSRs that have no exits get some, and lose them again. */
static void filter_covers_what_does_not_exit(void **state)
{
	static const uint32_t msr[] = { FS_BASE, GS_BASE, KGS_BASE };
	struct vcpu *v = guest_new(untrapped_msrs, 0);

	(void)state;
	enable(v->vm, FILTER);
	expect_sync(v, 1);
	set_filter(v->vm, one_range(FS_BASE, 3, EITHER));
	for (int i = 0; i < 3; i++) {
		expect_rdmsr(v, msr[i], FILTER);
		v->run->msr.data = 0x2000 + i;
		expect_wrmsr(v, msr[i], FILTER, 0x3000);
	}
	expect_sync(v, 2);
	set_filter(v->vm, (struct kvm_msr_filter){});
	expect_done(v);
}

/* A vCPU that is made under a filter has it from the start. */
static void filter_comes_before_the_vcpu(void **state)
{
	struct vm *vm = vm_create();
	struct vcpu *v;

	(void)state;
	enable(vm, FILTER);
	set_filter(vm, one_range(FS_BASE, 1, EITHER));
	v = vcpu_create(vm, 0);
	vcpu_long_mode(v, untrapped_msrs, 0);
	expect_wrmsr(v, FS_BASE, FILTER, 0x1000);
	/* userspace's own accesses are not filtered */
	assert_int_equal(vcpu_set_msr(v, FS_BASE, 0x1000), 1);
	expect_rdmsr(v, FS_BASE, FILTER);
	v->run->msr.data = 0x1000;
	expect_sync(v, 1);
}

static void default_deny(uint64_t arg)
{
	(void)arg;
	guest_assert_eq(catch_read(MTRR_CAP), 13);
	guest_assert_eq(catch_read(STAR), -1);
	guest_x2apic_enable();
	guest_assert_eq(x2apic_read(APIC_TPR), 0); /* x2APIC is never filtered */
}

static void filter_denies_by_default(void **state)
{
	uint8_t bits = 0x3; /* IA32_APIC_BASE; STAR */
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_DENY };
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_create(vm, 0);

	(void)state;
	must_fail(EINVAL, ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f)); /* would deny all */
	f.ranges[3] = (struct kvm_msr_filter_range){ EITHER, 1, MSR_APIC_BASE, &bits };
	f.ranges[9] = (struct kvm_msr_filter_range){ EITHER, 1, STAR, &bits };
	set_filter(vm, f);
	vcpu_long_mode(v, default_deny, 0);
	expect_done(v);
}

static void nonsense_is_refused(void **state)
{
	struct vm *vm = vm_create();
	struct kvm_msr_filter f;

	(void)state;
	must_fail(EFAULT, ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, NULL));
	f = one_range(0, 1, EITHER);
	f.flags = 2;
	must_fail(EINVAL, ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	f = one_range(0, 1, 4 | EITHER);
	must_fail(EINVAL, ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	f = one_range(0, 1, 0);
	must_fail(EINVAL, ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	f = one_range(0, sizeof(nothing) * 8 + 1, EITHER);
	must_fail(EINVAL, ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	f = one_range(0, UINT32_MAX, EITHER);
	must_fail(EINVAL, ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	f = one_range(0, 64, EITHER);
	f.ranges[0].bitmap = NULL;
	must_fail(EFAULT, ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	/* the largest there is, in every range, again and again */
	for (int i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
		f.ranges[i] = (struct kvm_msr_filter_range){ EITHER, sizeof(nothing) * 8,
							     i * 0x10000000u, nothing };
	for (int i = 0; i < 5; i++)
		set_filter(vm, f);
}

enum { OPEN, DENIED, CHANGING, STOP };

static volatile uint32_t phase; /* in the guest; the host writes it */
static volatile uint64_t seen[4];

static void read_on(uint64_t arg)
{
	uint32_t before;
	int vector;

	(void)arg;
	while ((before = phase) != STOP) {
		vector = catch_read(FS_BASE);
		if (phase == before && before != CHANGING)
			guest_assert_eq(vector, before == OPEN ? -1 : 13);
		seen[before]++;
	}
}

static void enter_phase(struct vm *vm, uint32_t next, struct kvm_msr_filter filter)
{
	uint64_t before;

	in_guest(vm, phase) = CHANGING;
	set_filter(vm, filter);
	before = in_guest(vm, seen)[next];
	in_guest(vm, phase) = next;
	while (in_guest(vm, seen)[next] < before + 2 && !vm->vcpu[0]->finished &&
	       !vm->vcpu[0]->error[0])
		sched_yield();
}

/* Once the call has returned, the running guest has the new rights and no others. */
static void filter_changes_under_a_running_guest(void **state)
{
	struct vcpu *v = guest_new(read_on, 0);

	(void)state;
	vcpu_start(v);
	for (int i = 0; i < 10; i++) {
		enter_phase(v->vm, DENIED, one_range(FS_BASE, 1, EITHER));
		enter_phase(v->vm, OPEN, (struct kvm_msr_filter){});
	}
	in_guest(v->vm, phase) = STOP;
	vcpu_join(v);
}

static const struct CMUnitTest tests[] = {
	TEST(reasons_decide_what_exits),    TEST(a_moved_vcpu_forgets_the_access),
	TEST(filter_refuses_reads),         TEST(filter_covers_what_does_not_exit),
	TEST(filter_comes_before_the_vcpu), TEST(filter_denies_by_default),
	TEST(nonsense_is_refused),          TEST(filter_changes_under_a_running_guest),
};

TEST_MAIN("guest_msrexit", tests)
