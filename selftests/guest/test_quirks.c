// SPDX-License-Identifier: GPL-2.0-only
/*
 * Capabilities that userspace switches on or off, one by one, and what the guest sees of it: quirks,
 * MSR_PLATFORM_INFO, failed emulation, pending exceptions with payload, saved triple faults.
 */
#include "kvmtest.h"

#define MISC_ENABLE   0x1a0u
#define MISC_MWAIT    (1ull << 18)
#define PLATFORM_INFO 0xceu
#define NO_MWAIT      KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT
#ifndef KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS
#define KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS (1 << 6)
#endif
#define NEVER_UD KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS

static int try_cap(struct vm *vm, uint32_t number, uint64_t value)
{
	struct kvm_enable_cap cap = { .cap = number, .args[0] = value };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static void set_cap(struct vm *vm, uint32_t number, uint64_t value)
{
	must(try_cap(vm, number, value));
}

/* --- quirks --- */

static uint64_t monitored; /* in the guest */

static void monitor(void)
{
	asm volatile("monitor" : : "a"(&monitored), "c"(0), "d"(0));
}

static void mwait(void)
{
	asm volatile("mwait" : : "a"(0), "c"(0));
}

static bool cpuid_has_monitor(void)
{
	uint32_t r[4];

	guest_cpuid(1, 0, r);
	return r[2] & 8;
}

/* In each round the host says what MONITOR does (6: #UD, -1: nothing) and what CPUID says. */
static volatile int wanted_vector;
static volatile bool wanted_cpuid;

static void mwait_rounds(uint64_t rounds)
{
	uint32_t error;

	for (uint64_t i = 0; i < rounds; i++) {
		guest_assert_eq(guest_catch(monitor, &error), wanted_vector);
		guest_assert_eq(guest_catch(mwait, &error), wanted_vector);
		guest_assert_eq(cpuid_has_monitor(), wanted_cpuid);
		guest_sync(i);
	}
}

static void clear_monitor_bit(struct vcpu *v)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[80];
	} list = { .head.nent = 80 };

	must(ioctl(v->fd, KVM_GET_CPUID2, &list));
	for (uint32_t i = 0; i < list.head.nent; i++)
		if (list.entry[i].function == 1)
			list.entry[i].ecx &= ~8u;
	must(ioctl(v->fd, KVM_SET_CPUID2, &list));
}

static void monitor_and_mwait(void **state)
{
	static const struct {
		uint64_t disabled, misc_enable;
		int vector;
		bool cpuid;
	} round[] = {
		{ 0, 0, -1, false },
		{ 0, MISC_MWAIT, -1, false },
		{ NEVER_UD, MISC_MWAIT, 6, false },
		{ NO_MWAIT, 0, -1, false },
		{ NO_MWAIT, MISC_MWAIT, -1, true },
		{ NO_MWAIT | NEVER_UD, 0, 6, false },
		{ NO_MWAIT | NEVER_UD, MISC_MWAIT, -1, true },
	};
	int offered = dev_capability(KVM_CAP_DISABLE_QUIRKS2);
	struct vcpu *v = guest_new(mwait_rounds, ARRAY_SIZE(round));

	(void)state;
	assert_int_equal(offered & (NO_MWAIT | NEVER_UD), NO_MWAIT | NEVER_UD);
	must_fail(EINVAL, try_cap(v->vm, KVM_CAP_DISABLE_QUIRKS2, 1u << 30));
	must_fail(EINVAL, try_cap(v->vm, KVM_CAP_DISABLE_QUIRKS2, 1ull << 40));
	if (on_apicvisor())
		assert_int_equal(offered, NO_MWAIT | NEVER_UD);
	clear_monitor_bit(v);
	for (size_t i = 0; i < ARRAY_SIZE(round); i++) {
		set_cap(v->vm, KVM_CAP_DISABLE_QUIRKS2, round[i].disabled);
		assert_int_equal(vcpu_set_msr(v, MISC_ENABLE, 1 | round[i].misc_enable), 1);
		in_guest(v->vm, wanted_vector) = round[i].vector;
		in_guest(v->vm, wanted_cpuid) = round[i].cpuid;
		expect_sync(v, i);
	}
	expect_done(v);
}

/* --- MSR_PLATFORM_INFO --- */

static uint64_t platform_info; /* in the guest */

static void read_platform_info(void)
{
	platform_info = rdmsr(PLATFORM_INFO);
}

static void write_platform_info(void)
{
	wrmsr(PLATFORM_INFO, 0xff00);
}

static void platform_info_payload(uint64_t arg)
{
	uint32_t error;

	(void)arg;
	guest_assert_eq(guest_catch(read_platform_info, &error), -1);
	guest_assert_eq(platform_info, 0xff00);
	guest_assert_eq(guest_catch(write_platform_info, &error), 13);
	guest_sync(1);
	guest_assert_eq(guest_catch(read_platform_info, &error), 13);
	guest_sync(2);
	guest_assert_eq(guest_catch(read_platform_info, &error), -1);
}

static void platform_info_can_be_kept_away(void **state)
{
	struct vcpu *v = guest_new(platform_info_payload, 0);

	(void)state;
	assert_int_equal(vcpu_set_msr(v, PLATFORM_INFO, 0xff00), 1);
	expect_sync(v, 1);
	set_cap(v->vm, KVM_CAP_MSR_PLATFORM_INFO, 0);
	assert_int_equal(vcpu_get_msr(v, PLATFORM_INFO), 0xff00); /* the guest's right alone */
	expect_sync(v, 2);
	set_cap(v->vm, KVM_CAP_MSR_PLATFORM_INFO, 1);
	expect_done(v);
	if (on_apicvisor()) /* no CPUID faulting; the peer has it */
		assert_int_equal(vcpu_set_msr(v, PLATFORM_INFO, 1u << 31), 0);
}

/* --- emulation that fails --- */

static void float_from_mmio(uint64_t arg)
{
	(void)arg;
	asm volatile("flds (%0)" : : "r"(GUEST_MMIO));
	guest_sync(1);
}

static void failed_emulation_exits_with_the_bytes(void **state)
{
	static const uint8_t flds[] = { 0xd9 }; /* and a ModR/M byte */
	struct vcpu *v = guest_new(float_from_mmio, 0);
	struct kvm_regs r;

	(void)state;
	must_fail(EINVAL, try_cap(v->vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 2));
	set_cap(v->vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
	expect_exit(v, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(v->run->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
	assert_true(v->run->emulation_failure.ndata >= 3);
	assert_true(v->run->emulation_failure.flags &
		    KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	assert_in_range(v->run->emulation_failure.insn_size, 2, 15);
	assert_memory_equal(v->run->emulation_failure.insn_bytes, flds, sizeof(flds));
	/* Userspace takes the instruction over. */
	r = vcpu_regs(v);
	r.rip += 2;
	must(ioctl(v->fd, KVM_SET_REGS, &r));
	expect_sync(v, 1);
}

/* --- KVM_GET/SET_VCPU_EVENTS in more detail --- */

static uint64_t seen_cr2, seen_dr6, seen_error; /* in the guest */

static void note_page_fault(struct guest_frame *f)
{
	seen_cr2 = read_cr(2);
	seen_error = f->error;
}

static void note_debug(struct guest_frame *f)
{
	(void)f;
	seen_dr6 = read_dr(6);
}

static void two_exceptions(uint64_t arg)
{
	(void)arg;
	guest_handler[14] = note_page_fault;
	guest_handler[1] = note_debug;
	guest_sync(1);
	guest_assert_eq(seen_cr2, 0x123456789000);
	guest_assert_eq(seen_error, 2);
	guest_sync(2);
	guest_assert_eq(seen_dr6 & 0xe00f, 0x4002);
}

static struct kvm_vcpu_events events_of(struct vcpu *v)
{
	struct kvm_vcpu_events e;

	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	return e;
}

static void pending_exceptions_carry_a_payload(void **state)
{
	struct vcpu *v = guest_new(two_exceptions, 0);
	struct kvm_vcpu_events e;
	struct kvm_debugregs d;
	struct kvm_sregs s;

	(void)state;
	expect_sync(v, 1);
	e = events_of(v);
	assert_int_equal(e.flags & KVM_VCPUEVENT_VALID_PAYLOAD, 0);
	e.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e)); /* not enabled */
	if (on_apicvisor()) /* the peer takes anything for "on" */
		must_fail(EINVAL, try_cap(v->vm, KVM_CAP_EXCEPTION_PAYLOAD, 2));
	set_cap(v->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1);
	e = events_of(v);
	assert_true(e.flags & KVM_VCPUEVENT_VALID_PAYLOAD);
	e.exception.pending = 1;
	e.exception.nr = 14;
	e.exception.has_error_code = 1;
	e.exception.error_code = 2;
	e.exception_has_payload = 1;
	e.exception_payload = 0x123456789000;
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	e = events_of(v);
	assert_int_equal(e.exception.pending, 1);
	assert_int_equal(e.exception.injected, 0);
	assert_int_equal(e.exception.nr, 14);
	must(ioctl(v->fd, KVM_GET_SREGS, &s));
	if (!e.exception_has_payload)
		assert_int_equal(s.cr2, 0x123456789000);
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e)); /* a round trip changes nothing */
	expect_sync(v, 2);

	e = events_of(v);
	e.exception.pending = 1;
	e.exception.nr = 1;
	e.exception.has_error_code = 0;
	e.exception_has_payload = 1;
	e.exception_payload = 0x4002; /* BS, B1 */
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	e = events_of(v);
	must(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	if (!e.exception_has_payload)
		assert_int_equal(d.dr6 & 0xe00f, 0x4002);
	expect_done(v);
}

static void sync_twice(uint64_t arg)
{
	(void)arg;
	guest_sync(1);
	guest_sync(2);
	guest_sync(3);
}

static void a_triple_fault_can_be_saved(void **state)
{
	struct vcpu *v = guest_new(sync_twice, 0);
	struct kvm_vcpu_events e;

	(void)state;
	expect_sync(v, 1);
	e = events_of(v);
	e.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	e.triple_fault.pending = 1;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e)); /* not enabled */
	set_cap(v->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	e = events_of(v);
	assert_true(e.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	assert_int_equal(e.triple_fault.pending, 1);
	e.triple_fault.pending = 0; /* taken back */
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	expect_sync(v, 2);
	e = events_of(v);
	assert_int_equal(e.triple_fault.pending, 0);
	e.triple_fault.pending = 1;
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	expect_exit(v, KVM_EXIT_SHUTDOWN);
}

/* --- the node's attributes, the larger XSAVE image --- */

static void guest_xcr0_is_an_attribute(void **state)
{
	uint64_t xcr0 = 0;
	struct kvm_device_attr attr = { .attr = KVM_X86_XCOMP_GUEST_SUPP,
					.addr = (uintptr_t)&xcr0 };
	int fd = dev_open();

	(void)state;
	assert_int_equal(dev_capability(KVM_CAP_SYS_ATTRIBUTES), 1);
	must(ioctl(fd, KVM_HAS_DEVICE_ATTR, &attr));
	must(ioctl(fd, KVM_GET_DEVICE_ATTR, &attr));
	assert_int_equal(xcr0 & 3, 3);
	attr.addr = 8;
	must_fail(EFAULT, ioctl(fd, KVM_GET_DEVICE_ATTR, &attr));
	attr.group = 1;
	must_fail(ENXIO, ioctl(fd, KVM_GET_DEVICE_ATTR, &attr));
	attr.group = 0;
	attr.attr = 1234;
	must_fail(ENXIO, ioctl(fd, KVM_HAS_DEVICE_ATTR, &attr));
	must_fail(EFAULT, ioctl(fd, KVM_GET_DEVICE_ATTR, NULL));
	close(fd);
}

static void xsave2_is_xsave(void **state)
{
	int size = dev_capability(KVM_CAP_XSAVE2);
	struct vcpu *v = guest_new(sync_twice, 0);
	struct kvm_xsave *one = map_anon(PAGE_SIZE), *two = map_anon(PAGE_SIZE);

	(void)state;
	assert_int_equal(size, PAGE_SIZE); /* this machine has no component beyond */
	must(ioctl(v->fd, KVM_GET_XSAVE, one));
	must(ioctl(v->fd, KVM_GET_XSAVE2, two));
	assert_memory_equal(one, two, size);
	must(ioctl(v->fd, KVM_SET_XSAVE, two));
}

static const struct CMUnitTest tests[] = {
	TEST(monitor_and_mwait),
	TEST(platform_info_can_be_kept_away),
	TEST(failed_emulation_exits_with_the_bytes),
	TEST(pending_exceptions_carry_a_payload),
	TEST(a_triple_fault_can_be_saved),
	TEST(guest_xcr0_is_an_attribute),
	TEST(xsave2_is_xsave),
};

TEST_MAIN("guest_quirks", tests)
