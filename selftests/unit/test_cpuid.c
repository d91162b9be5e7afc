// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's CPUID: policy against recorded and extreme hosts, look-up, run-time bits.
 *
 * Three hosts: the leaves of a Skylake server, one that claims every bit of every leaf (nothing
 * that is not virtualized may get through), and an old one that stops at leaf 7.
 *
 * Links with: arch/x86/cpuid.c -lcmocka
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <cpuid.h>

#define ROOM 100

struct leaf {
	u32 leaf, sub, regs[CPUID_REGS];
};

/* CPUID of a Skylake server processor (family 6, model 85), XCR0 = 0x2ff. */
static const struct leaf skylake[] = {
	{ 0, 0, { 0x16, 0x756e6547, 0x6c65746e, 0x49656e69 } },
	{ 1, 0, { 0x00050654, 0x23400800, 0x7ffefbff, 0xbfebfbff } },
	{ 2, 0, { 0x76036301, 0x00f0b5ff, 0x00000000, 0x00c30000 } },
	{ 4, 0, { 0x7c004121, 0x01c0003f, 0x0000003f, 0 } },
	{ 4, 1, { 0x7c004122, 0x01c0003f, 0x0000003f, 0 } },
	{ 4, 2, { 0x7c004143, 0x03c0003f, 0x000003ff, 0 } },
	{ 4, 3, { 0x7c0fc163, 0x0280003f, 0x00009fff, 4 } },
	{ 5, 0, { 0x40, 0x40, 3, 0x2020 } },
	{ 6, 0, { 0x77, 2, 9, 0 } },
	{ 7, 0, { 0, 0xd39ffffb, 0x00000018, 0xbc000400 } },
	{ 0xa, 0, { 0x07300404, 0, 0, 0x603 } },
	{ 0xb, 0, { 1, 2, 0x100, 0x23 } },
	{ 0xb, 1, { 6, 0x28, 0x201, 0x23 } },
	{ 0xd, 0, { 0x2ff, 0xa88, 0xa88, 0 } },
	{ 0xd, 1, { 0xf, 0xa48, 0x100, 0 } },
	{ 0xd, 2, { 0x100, 0x240, 0, 0 } },
	{ 0xd, 3, { 0x40, 0x3c0, 0, 0 } },
	{ 0xd, 4, { 0x40, 0x400, 0, 0 } },
	{ 0xd, 5, { 0x40, 0x440, 0, 0 } },
	{ 0xd, 6, { 0x200, 0x480, 0, 0 } },
	{ 0xd, 7, { 0x400, 0x680, 0, 0 } },
	{ 0xd, 8, { 0x80, 0, 1, 0 } },
	{ 0xd, 9, { 8, 0xa80, 0, 0 } },
	{ 0x15, 0, { 2, 0xa8, 25000000, 0 } },
	{ 0x16, 0, { 2100, 3700, 100, 0 } },
	{ 0x80000000, 0, { 0x80000008, 0, 0, 0 } },
	{ 0x80000001, 0, { 0, 0, 0x121, 0x2c100800 } },
	{ 0x80000002, 0, { 0x65746e49, 0x2952286c, 0x6f655820, 0x2952286e } },
	{ 0x80000003, 0, { 0x6c6f4720, 0x31362064, 0x43203833, 0x40205550 } },
	{ 0x80000004, 0, { 0x302e3220, 0x7a484730, 0, 0 } },
	{ 0x80000006, 0, { 0, 0, 0x01006040, 0 } },
	{ 0x80000007, 0, { 0, 0, 0, 0x100 } },
	{ 0x80000008, 0, { 0x302e, 0, 0, 0 } },
};

static void skylake_host(u32 leaf, u32 sub, u32 regs[CPUID_REGS])
{
	/* out of range, an Intel processor would repeat leaf 0x16: nobody may rely on it */
	if (leaf > 0x16 && (leaf < 0x80000000 || leaf > 0x80000008))
		fail_msg("host leaf %x is out of range", leaf);
	memset(regs, 0, CPUID_REGS * sizeof(regs[0]));
	for (size_t i = 0; i < ARRAY_SIZE(skylake); i++)
		if (skylake[i].leaf == leaf && skylake[i].sub == sub)
			memcpy(regs, skylake[i].regs, sizeof(skylake[i].regs));
}

static void everything_host(u32 leaf, u32 sub, u32 regs[CPUID_REGS])
{
	(void)sub;
	memset(regs, 0xff, CPUID_REGS * sizeof(regs[0]));
	if (leaf == 0)
		regs[CPUID_REG_EAX] = 0x24;
	if (leaf == 0x80000000)
		regs[CPUID_REG_EAX] = 0x80000021;
}

static void old_host(u32 leaf, u32 sub, u32 regs[CPUID_REGS])
{
	if (leaf > 7 && leaf != 0x80000000)
		fail_msg("host leaf %x is out of range", leaf);
	memset(regs, 0, CPUID_REGS * sizeof(regs[0]));
	if (leaf == 0)
		regs[CPUID_REG_EAX] = 7;
	if (leaf == 7 && sub != 0)
		fail_msg("host leaf 7 has no subleaf %u", sub);
	if (leaf == 0x80000000)
		regs[CPUID_REG_EAX] = 0x1234; /* no extended leaves: whatever leaf 7 holds */
}

static const struct cpuid_limits all_limits = {
	.xcr0 = 0x2ff,
	.rdtscp = true,
	.invpcid = true,
	.xsaves = true,
	.umip = true,
	.pku = true,
	.la57 = true,
	.strings = true,
	.pv = 0x1000029,
};

static struct kvm_cpuid_entry2 list[ROOM];
static u32 listed;

static void build(const struct cpuid_limits *limits, cpuid_host_fn host)
{
	memset(list, 0xaa, sizeof(list));
	assert_int_equal(cpuid_supported(limits, host, list, ROOM, &listed), 0);
}

static const struct kvm_cpuid_entry2 *entry(u32 leaf, u32 sub)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(list, listed, leaf, sub);

	if (!e)
		fail_msg("leaf %x.%x is missing", leaf, sub);
	return e;
}

static void expect_leaf(u32 leaf, u32 sub, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	const struct kvm_cpuid_entry2 *e = entry(leaf, sub);

	if (e->eax != eax || e->ebx != ebx || e->ecx != ecx || e->edx != edx)
		fail_msg("leaf %x.%x: %08x %08x %08x %08x, expected %08x %08x %08x %08x", leaf, sub,
			 e->eax, e->ebx, e->ecx, e->edx, eax, ebx, ecx, edx);
}

static bool has(u32 leaf, u32 sub, unsigned int reg, u32 bit)
{
	return cpuid_has(list, listed, leaf, sub, reg, bit);
}

/* Policy */

/*
 * A guest that believes leaf 0x15 must get its own TSC's rate, whatever the host's leaf says; and
 * Linux multiplies the crystal's kHz by EBX in 32 bits.
 */
static void test_tsc_rate(void **state)
{
	static const u32 rates[] = { 1000,    100000,  999999,  1000000, 2099998,
				     2394374, 2994373, 3499999, 4000000 };
	struct cpuid_limits limits = all_limits;
	const struct kvm_cpuid_entry2 *e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		limits.tsc_khz = rates[i];
		build(&limits, skylake_host);
		expect_leaf(0, 0, 0x15, 0x756e6547, 0x6c65746e, 0x49656e69);
		e = entry(0x15, 0);
		assert_int_equal(e->ecx, 1000000000);
		assert_true((u64)e->ecx / 1000 * e->ebx <= UINT32_MAX);
		assert_in_range(e->ecx / 1000 * e->ebx / e->eax, rates[i] - rates[i] / 20000,
				rates[i] + rates[i] / 20000);
	}
	limits.tsc_khz = 100000;
	build(&limits, skylake_host);
	expect_leaf(0x15, 0, 10, 1, 1000000000, 0);
	limits.tsc_khz = 0;
	build(&limits, skylake_host);
	assert_null(cpuid_find(list, listed, 0x15, 0));
}

static void test_skylake(void **state)
{
	(void)state;
	build(&all_limits, skylake_host);
	assert_in_range(listed, 25, CPUID_MAX_SUPPORTED);
	expect_leaf(0, 0, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69);
	expect_leaf(1, 0, 0x00050654, 0x0800, 0xf6fa3203, 0x0f8bfbff);
	expect_leaf(2, 0, 0x76036301, 0x00f0b5ff, 0, 0x00c30000);
	expect_leaf(4, 0, 0x7c004121, 0x01c0003f, 0x3f, 0);
	expect_leaf(4, 3, 0x7c0fc163, 0x0280003f, 0x9fff, 4);
	expect_leaf(4, 4, 0, 0, 0, 0);
	assert_null(cpuid_find(list, listed, 4, 5));
	expect_leaf(6, 0, 4, 0, 0, 0);
	expect_leaf(7, 0, 0, 0xd19f27eb, 0x8, 0x400);
	expect_leaf(0xa, 0, 0, 0, 0, 0);
	expect_leaf(0xb, 0, 0, 0, 0, 0);
	expect_leaf(0xd, 0, 0x2e7, 0x240, 0xa88, 0);
	expect_leaf(0xd, 1, 0xf, 0x240, 0, 0);
	expect_leaf(0xd, 2, 0x100, 0x240, 0, 0);
	expect_leaf(0xd, 9, 8, 0xa80, 0, 0);
	assert_null(cpuid_find(list, listed, 0xd, 3)); /* MPX is not in the limits */
	assert_null(cpuid_find(list, listed, 0xd, 8)); /* PT is a supervisor component */
	assert_null(cpuid_find(list, listed, 0x15, 0));
	expect_leaf(0x80000000, 0, 0x80000008, 0, 0, 0);
	expect_leaf(0x80000001, 0, 0, 0, 0x121, 0x2c100800);
	expect_leaf(0x80000003, 0, 0x6c6f4720, 0x31362064, 0x43203833, 0x40205550);
	expect_leaf(0x80000005, 0, 0, 0, 0, 0);
	expect_leaf(0x80000006, 0, 0, 0, 0x01006040, 0);
	expect_leaf(0x80000007, 0, 0, 0, 0, 0x100);
	expect_leaf(0x80000008, 0, 0x302e, 0, 0, 0);
	assert_int_equal(cpuid_validate(list, listed), 0);
}

static void test_hypervisor_leaves(void **state)
{
	struct cpuid_limits limits = all_limits;
	const struct kvm_cpuid_entry2 *e;

	(void)state;
	build(&all_limits, skylake_host);
	e = entry(0x40000000, 0);
	assert_int_equal(e->eax, 0x40000001);
	assert_memory_equal(&e->ebx, "KVMKVMKVM\0\0\0", 12);
	expect_leaf(0x40000001, 0, 0x1000029, 0, 0, 0);
	limits.pv = 0;
	build(&limits, skylake_host);
	expect_leaf(0x40000001, 0, 0, 0, 0, 0);
}

/* Each entry stands once, its unused fields are zero, indexed leaves and no others are marked. */
static void test_list_is_well_formed(void **state)
{
	(void)state;
	build(&all_limits, everything_host);
	assert_true(listed <= CPUID_MAX_SUPPORTED);
	for (u32 i = 0; i < listed; i++) {
		const struct kvm_cpuid_entry2 *e = &list[i];
		bool indexed = e->function == 4 || e->function == 7 || e->function == 0xb ||
			       e->function == 0xd;

		assert_ptr_equal(cpuid_find(list, listed, e->function, e->index), e);
		assert_int_equal(e->flags, indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0);
		for (size_t p = 0; p < ARRAY_SIZE(e->padding); p++)
			assert_int_equal(e->padding[p], 0);
		if (i && e->function == list[i - 1].function)
			assert_true(e->index > list[i - 1].index);
		else if (i)
			assert_true(e->function > list[i - 1].function);
	}
}

static const struct {
	u32 leaf, sub;
	u8 reg, bit;
	const char *name;
} forbidden[] = {
	{ 1, 0, CPUID_REG_ECX, 2, "DTES64" },
	{ 1, 0, CPUID_REG_ECX, 3, "MONITOR" },
	{ 1, 0, CPUID_REG_ECX, 4, "DS-CPL" },
	{ 1, 0, CPUID_REG_ECX, 5, "VMX" },
	{ 1, 0, CPUID_REG_ECX, 6, "SMX" },
	{ 1, 0, CPUID_REG_ECX, 7, "EIST" },
	{ 1, 0, CPUID_REG_ECX, 8, "TM2" },
	{ 1, 0, CPUID_REG_ECX, 11, "SDBG" },
	{ 1, 0, CPUID_REG_ECX, 14, "xTPR" },
	{ 1, 0, CPUID_REG_ECX, 15, "PDCM" },
	{ 1, 0, CPUID_REG_ECX, 18, "DCA" },
	{ 1, 0, CPUID_REG_ECX, 24, "TSC deadline" },
	{ 1, 0, CPUID_REG_ECX, 27, "OSXSAVE" },
	{ 1, 0, CPUID_REG_EDX, 18, "PSN" },
	{ 1, 0, CPUID_REG_EDX, 21, "DS" },
	{ 1, 0, CPUID_REG_EDX, 22, "ACPI" },
	{ 1, 0, CPUID_REG_EDX, 28, "HTT" },
	{ 1, 0, CPUID_REG_EDX, 29, "TM" },
	{ 1, 0, CPUID_REG_EDX, 31, "PBE" },
	{ 7, 0, CPUID_REG_EBX, 2, "SGX" },
	{ 7, 0, CPUID_REG_EBX, 4, "HLE" },
	{ 7, 0, CPUID_REG_EBX, 11, "RTM" },
	{ 7, 0, CPUID_REG_EBX, 12, "RDT-M" },
	{ 7, 0, CPUID_REG_EBX, 14, "MPX" },
	{ 7, 0, CPUID_REG_EBX, 15, "RDT-A" },
	{ 7, 0, CPUID_REG_EBX, 25, "PT" },
	{ 7, 0, CPUID_REG_ECX, 4, "OSPKE" },
	{ 7, 0, CPUID_REG_ECX, 5, "WAITPKG" },
	{ 7, 0, CPUID_REG_ECX, 7, "CET_SS" },
	{ 7, 0, CPUID_REG_ECX, 13, "TME" },
	{ 7, 0, CPUID_REG_ECX, 23, "KL" },
	{ 7, 0, CPUID_REG_ECX, 24, "bus-lock detect" },
	{ 7, 0, CPUID_REG_ECX, 29, "ENQCMD" },
	{ 7, 0, CPUID_REG_ECX, 30, "SGX_LC" },
	{ 7, 0, CPUID_REG_ECX, 31, "PKS" },
	{ 7, 0, CPUID_REG_EDX, 5, "UINTR" },
	{ 7, 0, CPUID_REG_EDX, 11, "RTM_ALWAYS_ABORT" },
	{ 7, 0, CPUID_REG_EDX, 13, "TSX_FORCE_ABORT" },
	{ 7, 0, CPUID_REG_EDX, 15, "hybrid" },
	{ 7, 0, CPUID_REG_EDX, 18, "PCONFIG" },
	{ 7, 0, CPUID_REG_EDX, 19, "LBR" },
	{ 7, 0, CPUID_REG_EDX, 20, "CET_IBT" },
	{ 7, 0, CPUID_REG_EDX, 22, "AMX-BF16" },
	{ 7, 0, CPUID_REG_EDX, 24, "AMX-TILE" },
	{ 7, 0, CPUID_REG_EDX, 25, "AMX-INT8" },
	{ 7, 0, CPUID_REG_EDX, 26, "IBRS" },
	{ 7, 0, CPUID_REG_EDX, 27, "STIBP" },
	{ 7, 0, CPUID_REG_EDX, 28, "L1D_FLUSH" },
	{ 7, 0, CPUID_REG_EDX, 29, "ARCH_CAPABILITIES" },
	{ 7, 0, CPUID_REG_EDX, 30, "CORE_CAPABILITIES" },
	{ 7, 0, CPUID_REG_EDX, 31, "SSBD" },
	{ 7, 1, CPUID_REG_EAX, 17, "FRED" },
	{ 7, 1, CPUID_REG_EAX, 19, "WRMSRNS" },
	{ 7, 1, CPUID_REG_EAX, 22, "HRESET" },
	{ 7, 1, CPUID_REG_EAX, 26, "LAM" },
	{ 0xd, 1, CPUID_REG_EAX, 4, "XFD" },
	{ 0x80000001, 0, CPUID_REG_ECX, 2, "SVM" },
	{ 0x80000008, 0, CPUID_REG_EBX, 12, "AMD IBPB" },
	{ 0x80000008, 0, CPUID_REG_EBX, 24, "AMD SSBD" },
};

static void test_what_no_guest_gets(void **state)
{
	static const u32 zero_leaves[] = { 0xa, 0xb, 0x80000005 };

	(void)state;
	build(&all_limits, everything_host);
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
		if (has(forbidden[i].leaf, forbidden[i].sub, forbidden[i].reg, forbidden[i].bit))
			fail_msg("%s gets through", forbidden[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(zero_leaves); i++)
		expect_leaf(zero_leaves[i], 0, 0, 0, 0, 0);
	expect_leaf(6, 0, 4, 0, 0, 0);
	assert_int_equal(entry(0, 0)->eax, 0xd);
	assert_int_equal(entry(7, 0)->eax, 1);
	assert_int_equal(entry(1, 0)->ebx, 0xff00);
	for (u32 i = 0; i < listed; i++)
		if (list[i].function > 0xd && list[i].function < 0x40000000)
			fail_msg("leaf %x is beyond the limit in leaf 0", list[i].function);
}

/* x2APIC, APIC, TSC_ADJUST and the hypervisor bit are ours, whatever the host has. */
static void test_old_host(void **state)
{
	struct cpuid_limits none = { 0 };

	(void)state;
	build(&none, old_host);
	assert_int_equal(entry(0, 0)->eax, 7);
	expect_leaf(1, 0, 0, 0, BIT(21) | BIT(31), BIT(9));
	expect_leaf(7, 0, 0, BIT(1), 0, 0);
	expect_leaf(0x80000000, 0, 0x80000000, 0, 0, 0);
	assert_null(cpuid_find(list, listed, 0xa, 0));
	assert_null(cpuid_find(list, listed, 0xd, 0));
	assert_null(cpuid_find(list, listed, 7, 1));
	assert_null(cpuid_find(list, listed, 0x80000001, 0));
}

static void test_limits(void **state)
{
	static const struct {
		size_t limit; /* the bool that is switched off */
		u32 leaf, sub;
		u8 reg, bit;
	} rows[] = {
		{ offsetof(struct cpuid_limits, rdtscp), 0x80000001, 0, CPUID_REG_EDX, 27 },
		{ offsetof(struct cpuid_limits, rdtscp), 7, 0, CPUID_REG_ECX, 22 },
		{ offsetof(struct cpuid_limits, invpcid), 7, 0, CPUID_REG_EBX, 10 },
		{ offsetof(struct cpuid_limits, xsaves), 0xd, 1, CPUID_REG_EAX, 3 },
		{ offsetof(struct cpuid_limits, umip), 7, 0, CPUID_REG_ECX, 2 },
		{ offsetof(struct cpuid_limits, pku), 7, 0, CPUID_REG_ECX, 3 },
		{ offsetof(struct cpuid_limits, la57), 7, 0, CPUID_REG_ECX, 16 },
		{ offsetof(struct cpuid_limits, strings), 7, 0, CPUID_REG_EBX, 9 },
		{ offsetof(struct cpuid_limits, strings), 7, 0, CPUID_REG_EDX, 4 },
		{ offsetof(struct cpuid_limits, strings), 7, 1, CPUID_REG_EAX, 10 },
		{ offsetof(struct cpuid_limits, strings), 7, 1, CPUID_REG_EAX, 11 },
		{ offsetof(struct cpuid_limits, strings), 7, 1, CPUID_REG_EAX, 12 },
	};
	struct cpuid_limits limits;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		limits = all_limits;
		build(&limits, everything_host);
		assert_true(has(rows[i].leaf, rows[i].sub, rows[i].reg, rows[i].bit));
		*(bool *)((char *)&limits + rows[i].limit) = false;
		build(&limits, everything_host);
		if (has(rows[i].leaf, rows[i].sub, rows[i].reg, rows[i].bit))
			fail_msg("row %zu is offered against the limit", i);
	}
	limits = all_limits;
	limits.la57 = false;
	limits.gpa_bits = 40;
	build(&limits, skylake_host);
	assert_int_equal(entry(0x80000008, 0)->eax, 48 << 8 | 40);
}

/* An instruction set is offered only with the state it needs. */
static void test_state_components(void **state)
{
	struct cpuid_limits limits = all_limits;

	(void)state;
	limits.xcr0 = 0x7;
	build(&limits, skylake_host);
	assert_true(has(1, 0, CPUID_REG_ECX, 28));  /* AVX */
	assert_false(has(7, 0, CPUID_REG_EBX, 16)); /* AVX512F */
	assert_false(has(7, 0, CPUID_REG_ECX, 3));  /* PKU */
	expect_leaf(0xd, 0, 7, 0x240, 0x340, 0);

	limits.xcr0 = 0x3;
	build(&limits, skylake_host);
	assert_true(has(1, 0, CPUID_REG_ECX, 26)); /* XSAVE */
	assert_false(has(1, 0, CPUID_REG_ECX, 28));
	assert_false(has(1, 0, CPUID_REG_ECX, 12)); /* FMA */
	assert_false(has(7, 0, CPUID_REG_EBX, 5));  /* AVX2 */
	expect_leaf(0xd, 0, 3, 0x240, 0x240, 0);

	limits.xcr0 = 0x67; /* not all of AVX-512's components */
	build(&limits, skylake_host);
	assert_false(has(7, 0, CPUID_REG_EBX, 16));
	expect_leaf(0xd, 0, 7, 0x240, 0x340, 0);

	limits.xcr0 = 0xe3; /* AVX-512 without AVX */
	build(&limits, skylake_host);
	assert_false(has(7, 0, CPUID_REG_EBX, 16));
	expect_leaf(0xd, 0, 3, 0x240, 0x240, 0);

	limits.xcr0 = ~0ULL; /* MPX, AMX and what is to come */
	build(&limits, skylake_host);
	expect_leaf(0xd, 0, 0x2e7, 0x240, 0xa88, 0);
	assert_null(cpuid_find(list, listed, 0xd, 3));
	assert_null(cpuid_find(list, listed, 0xd, 18));

	/* none, or not even SSE: no XSAVE */
	for (limits.xcr0 = 0; limits.xcr0 < 3; limits.xcr0++) {
		build(&limits, skylake_host);
		assert_false(has(1, 0, CPUID_REG_ECX, 26));
		assert_null(cpuid_find(list, listed, 0xd, 0));
	}
}

/* KVM_GET_SUPPORTED_CPUID with too little room: the count is told, nothing is written beyond. */
static void test_too_little_room(void **state)
{
	static struct kvm_cpuid_entry2 small[ROOM];
	u32 needed, n;

	(void)state;
	build(&all_limits, skylake_host);
	needed = listed;
	for (u32 room = 0; room < needed; room++) {
		memset(small, 0x55, sizeof(small));
		n = 0;
		assert_int_equal(cpuid_supported(&all_limits, skylake_host, small, room, &n),
				 -E2BIG);
		assert_int_equal(n, needed);
		assert_int_equal(small[room].function, 0x55555555);
	}
	assert_int_equal(cpuid_supported(&all_limits, skylake_host, small, needed, &n), 0);
	assert_memory_equal(small, list, needed * sizeof(list[0]));
}

/* Look-up */

static void test_find(void **state)
{
	static const struct kvm_cpuid_entry2 e[] = {
		{ .function = 1, .index = 7, .eax = 10 },
		{ .function = 4, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 41 },
		{ .function = 4, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 40 },
		{ .function = 1, .eax = 11 },
	};

	(void)state;
	assert_int_equal(cpuid_find(e, 4, 1, 99)->eax,
			 10); /* the index counts only with the flag */
	assert_int_equal(cpuid_find(e, 4, 4, 0)->eax, 40);
	assert_int_equal(cpuid_find(e, 4, 4, 1)->eax, 41);
	assert_null(cpuid_find(e, 4, 4, 2));
	assert_null(cpuid_find(e, 4, 2, 0));
	assert_null(cpuid_find(e, 0, 1, 0));
	assert_null(cpuid_find(NULL, 0, 1, 0));
	assert_false(cpuid_has(NULL, 0, 1, 0, CPUID_REG_EAX, 0));
	assert_true(cpuid_has(e, 4, 1, 0, CPUID_REG_EAX, 1));
	assert_false(cpuid_has(e, 4, 1, 0, CPUID_REG_EBX, 1));
}

static void expect_query(u32 leaf, u32 sub, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	struct cpuid_result r = cpuid_query(list, listed, leaf, sub);

	if (r.eax != eax || r.ebx != ebx || r.ecx != ecx || r.edx != edx)
		fail_msg("%x.%x: %x %x %x %x", leaf, sub, r.eax, r.ebx, r.ecx, r.edx);
}

static struct kvm_cpuid_entry2 *mutable_entry(u32 leaf, u32 sub)
{
	return (struct kvm_cpuid_entry2 *)entry(leaf, sub);
}

static void test_query_ranges(void **state)
{
	struct kvm_cpuid_entry2 *leaf0;

	(void)state;
	build(&all_limits, skylake_host);
	expect_query(6, 0, 4, 0, 0, 0);
	expect_query(3, 0, 0, 0, 0, 0); /* in range, absent */
	expect_query(7, 9, 0, 0, 0, 0); /* subleaf that isn't there */
	expect_query(0x40000001, 0, 0x1000029, 0, 0, 0);
	/* out of every range: an Intel guest sees the largest basic leaf, at the same subleaf */
	expect_query(0x15, 2, 0x100, 0x240, 0, 0);
	expect_query(0x40000002, 0, 0x2e7, 0x240, 0xa88, 0);
	expect_query(0x40000100, 0, 0x2e7, 0x240, 0xa88, 0); /* no second interface */
	expect_query(0x80000009, 0, 0x2e7, 0x240, 0xa88, 0);
	expect_query(0xc0000000, 0, 0x2e7, 0x240, 0xa88, 0);
	expect_query(0x15, 33, 0, 0, 0, 0);

	leaf0 = mutable_entry(0, 0);
	memcpy(&leaf0->ebx, "Auth", 4);
	memcpy(&leaf0->edx, "enti", 4);
	memcpy(&leaf0->ecx, "cAMD", 4);
	expect_query(0x15, 2, 0, 0, 0, 0);
	memcpy(&leaf0->ebx, "Hygo", 4);
	memcpy(&leaf0->edx, "nGen", 4);
	memcpy(&leaf0->ecx, "uine", 4);
	expect_query(0x80000009, 0, 0, 0, 0, 0);

	/* userspace may leave out leaf 0, or set nothing at all */
	leaf0->function = 0x3fffffff;
	expect_query(0x15, 0, 0, 0, 0, 0);
	expect_query(1, 0, entry(1, 0)->eax, 0x0800, entry(1, 0)->ecx, entry(1, 0)->edx);
	listed = 0;
	expect_query(1, 0, 0, 0, 0, 0);
}

static void test_query_topology(void **state)
{
	(void)state;
	build(&all_limits, skylake_host);
	mutable_entry(0xb, 0)->edx = 0x12345;
	expect_query(0xb, 0, 0, 0, 0, 0x12345);
	expect_query(0xb, 1, 0, 0, 1, 0x12345);
	expect_query(0xb, 0x102, 0, 0, 2, 0x12345);
}

static void test_validate(void **state)
{
	struct kvm_cpuid_entry2 e = { .function = 0x80000008 };

	(void)state;
	assert_int_equal(cpuid_validate(NULL, 0), 0);
	for (u32 width = 0; width < 256; width++) {
		e.eax = width << 8 | 46;
		assert_int_equal(cpuid_validate(&e, 1),
				 width == 0 || width == 48 || width == 57 ? 0 : -EINVAL);
	}
}

static void test_maxphyaddr(void **state)
{
	struct kvm_cpuid_entry2 e = { .function = 0x80000008, .eax = 0x302e };

	(void)state;
	assert_int_equal(cpuid_maxphyaddr(NULL, 0), 36);
	assert_int_equal(cpuid_maxphyaddr(&e, 1), 46);
	e.eax = 0xff;
	assert_int_equal(cpuid_maxphyaddr(&e, 1), 52);
	e.eax = 1;
	assert_int_equal(cpuid_maxphyaddr(&e, 1), 32);
	e.eax = 0x3000;
	assert_int_equal(cpuid_maxphyaddr(&e, 1), 36);
}

static void test_guest_xcr0(void **state)
{
	(void)state;
	assert_int_equal(cpuid_xcr0(NULL, 0, 0x2ff), 0);
	build(&all_limits, skylake_host);
	assert_int_equal(cpuid_xcr0(list, listed, 0x2ff), 0x2e7);
	mutable_entry(0xd, 0)->edx = 0x40000000;
	assert_int_equal(cpuid_xcr0(list, listed, ~0ULL), 0x40000000000002e7);
	assert_int_equal(cpuid_xcr0(list, listed, 0x7), 0x7);
}

/* Run time */

static void test_runtime_bits(void **state)
{
	(void)state;
	build(&all_limits, skylake_host);
	assert_false(has(1, 0, CPUID_REG_ECX, 27));
	assert_true(has(1, 0, CPUID_REG_EDX, 9));
	assert_false(has(7, 0, CPUID_REG_ECX, 4));
	cpuid_update_runtime(list, listed, BIT(18) | BIT(22), 1, false);
	assert_true(has(1, 0, CPUID_REG_ECX, 27));
	assert_false(has(1, 0, CPUID_REG_EDX, 9));
	assert_true(has(7, 0, CPUID_REG_ECX, 4));
	cpuid_update_runtime(list, listed, 0, 1, true);
	assert_false(has(1, 0, CPUID_REG_ECX, 27));
	assert_true(has(1, 0, CPUID_REG_EDX, 9));
	assert_false(has(7, 0, CPUID_REG_ECX, 4));
	cpuid_update_runtime(NULL, 0, ~0ULL, ~0ULL, true);
}

static void test_xsave_sizes(void **state)
{
	static const struct {
		u64 xcr0;
		u32 standard, compacted;
	} cases[] = {
		{ 0x001, 0x240, 0x240 }, { 0x003, 0x240, 0x240 }, { 0x007, 0x340, 0x340 },
		{ 0x0e7, 0xa80, 0x980 }, { 0x2e7, 0xa88, 0x988 }, { 0x203, 0xa88, 0x248 },
	};
	struct kvm_cpuid_entry2 *zmm;

	(void)state;
	build(&all_limits, skylake_host);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cpuid_update_runtime(list, listed, BIT(18), cases[i].xcr0, true);
		assert_int_equal(entry(0xd, 0)->ebx, cases[i].standard);
		assert_int_equal(entry(0xd, 0)->ecx, 0xa88);
		assert_int_equal(entry(0xd, 1)->ebx, cases[i].compacted);
	}
	/* an aligned component: PKRU's 8 bytes, then a boundary of 64 */
	mutable_entry(0xd, 9)->ecx = 2;
	cpuid_update_runtime(list, listed, BIT(18), 0x207, true);
	assert_int_equal(entry(0xd, 1)->ebx, 0x348);
	mutable_entry(0xd, 2)->eax = 0x101;
	cpuid_update_runtime(list, listed, BIT(18), 0x207, true);
	assert_int_equal(entry(0xd, 1)->ebx, 0x388);

	/* sizes come from userspace: absurd ones saturate */
	zmm = mutable_entry(0xd, 6);
	zmm->eax = zmm->ebx = 0xffffffff;
	mutable_entry(0xd, 7)->eax = 0xffffffff;
	cpuid_update_runtime(list, listed, BIT(18), 0xe7, true);
	assert_int_equal(entry(0xd, 0)->ebx, 0xffffffff);
	assert_int_equal(entry(0xd, 1)->ebx, 0xffffffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_skylake),
		cmocka_unit_test(test_tsc_rate),
		cmocka_unit_test(test_hypervisor_leaves),
		cmocka_unit_test(test_list_is_well_formed),
		cmocka_unit_test(test_what_no_guest_gets),
		cmocka_unit_test(test_old_host),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_state_components),
		cmocka_unit_test(test_too_little_room),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_query_ranges),
		cmocka_unit_test(test_query_topology),
		cmocka_unit_test(test_validate),
		cmocka_unit_test(test_maxphyaddr),
		cmocka_unit_test(test_guest_xcr0),
		cmocka_unit_test(test_runtime_bits),
		cmocka_unit_test(test_xsave_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
