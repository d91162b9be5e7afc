/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a vCPU's CPUID says about itself: APIC ID, topology, frequencies.
 */
#include "fake_kvm.h"

static struct options opt;
static struct vm vm;

static const struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	for (unsigned int i = 0; i < kvm.n_cpuid; i++)
		if (kvm.cpuid[i].function == function && kvm.cpuid[i].index == index)
			return &kvm.cpuid[i];
	fail_msg("no leaf %#x.%u", function, index);
	return NULL;
}

static void set(unsigned int id, unsigned int cpus, int tsc_khz)
{
	struct vcpu vcpu = { .vm = &vm, .id = id };

	fake_vm(&vm, &opt, cpus, 32 * MiB);
	kvm.tsc_khz = tsc_khz;
	cpuid_set(&vcpu);
}

static void topology(void **state)
{
	(void)state;
	set(5, 6, 0);
	assert_int_equal(leaf(1, 0)->ebx >> 24, 5);         /* APIC ID, not the host's */
	assert_int_equal(leaf(1, 0)->ebx >> 16 & 0xff, 8);  /* 6 needs 8 IDs */
	assert_int_equal(leaf(1, 0)->ebx & 0xffff, 0x0800); /* brand and CLFLUSH stay */
	assert_true(leaf(1, 0)->ecx >> 31);                 /* a hypervisor is there */
	assert_true(leaf(1, 0)->ecx & 1 << 24);             /* TSC-deadline timer */
	assert_int_equal(leaf(4, 0)->eax >> 26, 7);         /* cores in the package */
	assert_int_equal(leaf(4, 0)->eax >> 14 & 0xfff, 0); /* L1 is a core's own */
	assert_int_equal(leaf(4, 3)->eax >> 14 & 0xfff, 7); /* L3 is shared by all */
	assert_int_equal(leaf(0xb, 0)->edx, 5);
	assert_int_equal(leaf(0xb, 0)->eax, 0); /* no SMT bits */
	assert_int_equal(leaf(0xb, 0)->ebx, 1);
	assert_int_equal(leaf(0xb, 1)->eax, 3); /* 3 bits of core ID */
	assert_int_equal(leaf(0xb, 1)->ebx, 6);
	assert_int_equal(leaf(0xb, 1)->ecx, 2 << 8 | 1);
	assert_int_equal(leaf(0xb, 1)->edx, 5);
	assert_int_equal(leaf(0xa, 0)->eax, 0); /* no PMU */
}

static void one_cpu(void **state)
{
	(void)state;
	set(0, 1, 0);
	assert_int_equal(leaf(1, 0)->ebx >> 16 & 0xff, 1);
	assert_false(leaf(1, 0)->edx & 1 << 28); /* HTT */
	assert_int_equal(leaf(4, 0)->eax >> 26, 0);
	assert_int_equal(leaf(0xb, 1)->eax, 0);
}

/* What Linux makes of leaf 0x15: 32-bit arithmetic, and the crystal as the APIC timer's input. */
static uint32_t linux_tsc_khz(void)
{
	const struct kvm_cpuid_entry2 *e = leaf(0x15, 0);

	if (!e->eax || !e->ebx)
		return 0;
	assert_int_equal(e->ecx, 1000000000);
	return (uint32_t)(e->ecx / 1000 * e->ebx) / e->eax;
}

static void tsc(void **state)
{
	static const int khz[] = { 100000,  99999,   100001,  800000,  1000000, 2000000,
				   2893202, 2899999, 3500000, 3691573, 4200001 };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(khz); i++) {
		uint32_t got;

		set(0, 1, khz[i]);
		got = linux_tsc_khz();
		if (abs((int)got - khz[i]) > khz[i] / 50000 + 1)
			fail_msg("TSC of %d kHz is told as %u kHz", khz[i], got);
	}
	assert_true(leaf(0, 0)->eax >= 0x15);
}

static void unknown_tsc(void **state)
{
	static const int khz[] = { 0, -1 };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(khz); i++) {
		set(0, 1, khz[i]);
		assert_int_equal(linux_tsc_khz(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topology),
		cmocka_unit_test(one_cpu),
		cmocka_unit_test(tsc),
		cmocka_unit_test(unknown_tsc),
	};

	return cmocka_run_group_tests_name("vmm_cpuid", tests, NULL, NULL);
}
