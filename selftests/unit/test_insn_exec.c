// SPDX-License-Identifier: GPL-2.0-only
/*
 * The executor of guest instructions on hand-made cases: segmentation, faults, the order of
 * accesses, repetition in steps and in batches. test_insn_cpu.c compares results with a CPU.
 *
 * Links with: arch/x86/insn.c arch/x86/insn_exec.c -lcmocka
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <insn.h>

#define DF           0x400

#define AR_DATA      0xc093
#define AR_DATA_RO   0xc091
#define AR_CODE      0xc09b
#define AR_CODE_ONLY 0xc099
#define AR_DOWN      0xc097
#define AR_DOWN16    0x0097

static struct ginsn_state flat_state(void)
{
	struct ginsn_state st = { .rflags = 0x10002, .la_bits = 48 };

	for (int i = 0; i < GINSN_NR_SEG; i++)
		st.seg[i] = (struct ginsn_segment){ .limit = 0xffffffff, .ar = AR_DATA };
	st.seg[GINSN_CS].ar = AR_CODE;
	return st;
}

static void decode_or_fail(struct ginsn *insn, const char *bytes, int len, enum ginsn_mode mode)
{
	assert_int_equal(ginsn_decode(insn, (const u8 *)bytes, len, mode), 0);
}

static void test_segment_checks(void **state)
{
	static const struct {
		u32 limit, ar;
		enum ginsn_mode mode;
		u32 offset;
		bool write;
		int result;
	} cases[] = {
		{ 0x0fff, AR_DATA, GINSN_MODE_32, 0x0ffc, true, 0 },
		{ 0x0fff, AR_DATA, GINSN_MODE_32, 0x0ffd, true, -EFAULT },
		{ 0xffffffff, AR_DATA, GINSN_MODE_32, 0xfffffffc, false, 0 },
		{ 0xffffffff, AR_DATA, GINSN_MODE_32, 0xfffffffd, false, -EFAULT },
		{ 0xffff, 0x0093, GINSN_MODE_REAL, 0xfffc, false, 0 },
		{ 0xffff, 0x0093, GINSN_MODE_REAL, 0xffff, false, -EFAULT },
		{ 0xffff, 0x00f3, GINSN_MODE_VM86, 0xfffd, true, -EFAULT },
		/* types */
		{ 0xffff, AR_DATA_RO, GINSN_MODE_32, 0, false, 0 },
		{ 0xffff, AR_DATA_RO, GINSN_MODE_32, 0, true, -EFAULT },
		{ 0xffff, AR_CODE, GINSN_MODE_32, 0, false, 0 },
		{ 0xffff, AR_CODE, GINSN_MODE_32, 0, true, -EFAULT },
		{ 0xffff, AR_CODE, GINSN_MODE_REAL, 0, true, 0 },
		{ 0xffff, AR_CODE_ONLY, GINSN_MODE_32, 0, false, -EFAULT },
		{ 0xffff, AR_DATA | GINSN_AR_UNUSABLE, GINSN_MODE_32, 0, false, -EFAULT },
		/* expand-down: above the limit, up to 64 KiB or 4 GiB */
		{ 0x0fff, AR_DOWN, GINSN_MODE_32, 0x0fff, true, -EFAULT },
		{ 0x0fff, AR_DOWN, GINSN_MODE_32, 0x1000, true, 0 },
		{ 0x0fff, AR_DOWN, GINSN_MODE_32, 0xfffffffc, true, 0 },
		{ 0x0fff, AR_DOWN16, GINSN_MODE_16, 0xfffc, true, 0 },
		{ 0x0fff, AR_DOWN16, GINSN_MODE_16, 0xfffd, true, -EFAULT },
	};
	struct ginsn_state st = flat_state();
	u64 la;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int ret;

		st.seg[GINSN_DS] =
			(struct ginsn_segment){ 0xfffff000, cases[i].limit, cases[i].ar };
		ret = ginsn_linear_address(&st, cases[i].mode, GINSN_DS, cases[i].offset, 4,
					   cases[i].write, &la);
		if (ret != cases[i].result)
			fail_msg("case %zu: %d", i, ret);
		assert_int_equal(la, (u32)(0xfffff000 + cases[i].offset));
	}
}

static void test_canonical_addresses(void **state)
{
	struct ginsn_state st = flat_state();
	struct ginsn_exec x;
	struct ginsn insn;

	(void)state;
	decode_or_fail(&insn, "\x48\x8b\x00", 3, GINSN_MODE_64); /* mov rax, [rax] */
	st.gpr[GINSN_RAX] = 0x00007ffffffffff8;
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	st.gpr[GINSN_RAX] = 0x00007ffffffffff9;
	assert_int_equal(ginsn_plan(&x, &insn, &st), -EFAULT);
	assert_int_equal(x.vector, 13);
	st.la_bits = 57;
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	st.gpr[GINSN_RAX] = 0xfeff000000000000;
	assert_int_equal(ginsn_plan(&x, &insn, &st), -EFAULT);

	/* the stack segment raises #SS; DS and its base have no say in 64-bit mode */
	decode_or_fail(&insn, "\x8b\x45\x00", 3, GINSN_MODE_64); /* mov eax, [rbp] */
	st.gpr[GINSN_RBP] = 0x8000000000000000;
	assert_int_equal(ginsn_plan(&x, &insn, &st), -EFAULT);
	assert_int_equal(x.vector, 12);
	st.seg[GINSN_SS] = (struct ginsn_segment){ 0x1000, 0, GINSN_AR_UNUSABLE };
	st.gpr[GINSN_RBP] = 0x5000;
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	assert_int_equal(x.acc[0].addr, 0x5000);
}

static void test_real_mode_addressing(void **state)
{
	struct ginsn_state st = flat_state();
	struct ginsn_exec x;
	struct ginsn insn;

	(void)state;
	st.seg[GINSN_SS] = (struct ginsn_segment){ 0x12340, 0xffff, 0x93 };
	st.seg[GINSN_DS] = (struct ginsn_segment){ 0xffff0, 0xffff, 0x93 };
	st.gpr[GINSN_RBP] = 0xabcdf000; /* the upper half does not count */
	st.gpr[GINSN_RSI] = 0x1ff0;
	decode_or_fail(&insn, "\x8a\x42\x20", 3, GINSN_MODE_REAL); /* mov al, [bp+si+20h] */
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	assert_int_equal(x.acc[0].addr, 0x12340 + 0x1010);
	decode_or_fail(&insn, "\xa0\x40\x00", 3, GINSN_MODE_REAL); /* mov al, [40h] */
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	assert_int_equal(x.acc[0].addr, 0x100030); /* beyond 1 MiB: A20 is not our business */
	st.rip = 0xfffe;
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	ginsn_execute(&x);
	assert_int_equal(x.st.rip, 0x10001); /* past the limit: the fetch will fault */
	assert_int_equal(x.st.rflags, 0x2);  /* RF is gone */
}

static void test_movs_in_two_steps(void **state)
{
	struct ginsn_state st = flat_state();
	struct ginsn_exec x;
	struct ginsn insn;

	(void)state;
	decode_or_fail(&insn, "\xf3\xa5", 2, GINSN_MODE_32); /* rep movsd */
	st.gpr[GINSN_RCX] = 2;
	st.gpr[GINSN_RSI] = 0x1000;
	st.gpr[GINSN_RDI] = 0xfffffffc;
	st.seg[GINSN_ES].base = 0x100;
	st.rip = 0x500;
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	assert_int_equal(x.nr_acc, 2);
	assert_int_equal(x.acc[0].addr, 0x1000);
	assert_int_equal(x.acc[0].flags, GINSN_ACC_READ);
	assert_int_equal(x.acc[1].addr, 0xfc);
	assert_int_equal(x.acc[1].flags, GINSN_ACC_WRITE);
	x.acc[0].value = 0xffffffff11223344;
	ginsn_execute(&x);
	assert_int_equal(x.acc[1].value, 0x11223344);
	assert_int_equal(x.st.rip, 0x500);
	assert_int_equal(x.st.rflags, 0x10002); /* an interrupted repetition keeps RF */
	assert_int_equal(x.st.gpr[GINSN_RCX], 1);
	assert_int_equal(x.st.gpr[GINSN_RDI], 0);

	st = x.st;
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	ginsn_execute(&x);
	assert_int_equal(x.st.rip, 0x502);
	assert_int_equal(x.st.rflags, 0x2);
	st = x.st;
	st.rip = 0x500;
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	assert_int_equal(x.nr_acc, 0);
	ginsn_execute(&x);
	assert_int_equal(x.st.rip, 0x502);
	assert_int_equal(x.st.gpr[GINSN_RDI], 4);

	/* the destination's fault is known before the source has been read */
	st.gpr[GINSN_RCX] = 1;
	st.seg[GINSN_ES].limit = 0xff;
	st.gpr[GINSN_RDI] = 0xfe;
	assert_int_equal(ginsn_plan(&x, &insn, &st), -EFAULT);
	assert_int_equal(x.vector, 13);
}

static void test_port_strings(void **state)
{
	struct ginsn_state st = flat_state();
	struct ginsn_exec x;
	struct ginsn insn;

	(void)state;
	st.gpr[GINSN_RDX] = 0xabcd01f0;
	st.gpr[GINSN_RDI] = 0x2000;
	st.gpr[GINSN_RSI] = 0x3000;
	decode_or_fail(&insn, "\x66\x6d", 2, GINSN_MODE_32); /* insw */
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	assert_int_equal(x.nr_acc, 2);
	assert_int_equal(x.acc[0].addr, 0x1f0);
	assert_int_equal(x.acc[0].flags, GINSN_ACC_READ | GINSN_ACC_PORT);
	assert_int_equal(x.acc[1].addr, 0x2000);
	assert_int_equal(x.acc[1].flags, GINSN_ACC_WRITE);
	x.acc[0].value = 0x5aa5;
	ginsn_execute(&x);
	assert_int_equal(x.acc[1].value, 0x5aa5);
	assert_int_equal(x.st.gpr[GINSN_RDI], 0x2002);
	assert_int_equal(x.st.rip, 2);

	decode_or_fail(&insn, "\x64\x6e", 2, GINSN_MODE_32); /* outsb fs:[esi] */
	st.seg[GINSN_FS].base = 0x70000;
	assert_int_equal(ginsn_plan(&x, &insn, &st), 0);
	assert_int_equal(x.acc[0].addr, 0x73000);
	assert_int_equal(x.acc[1].addr, 0x1f0);
	assert_int_equal(x.acc[1].flags, GINSN_ACC_WRITE | GINSN_ACC_PORT);
	x.acc[0].value = 0x1ff;
	ginsn_execute(&x);
	assert_int_equal(x.acc[1].value, 0xff);
	assert_int_equal(x.st.gpr[GINSN_RSI], 0x3001);
}

static void test_string_batches(void **state)
{
	struct ginsn_state st = flat_state();
	struct ginsn insn;

	(void)state;
	decode_or_fail(&insn, "\x6f", 1, GINSN_MODE_32); /* outsd */
	assert_int_equal(ginsn_string_count(&insn, &st, 0x1000), 1);
	decode_or_fail(&insn, "\xf3\x6f", 2, GINSN_MODE_32); /* rep outsd */
	st.gpr[GINSN_RSI] = 0x1ff4;
	assert_int_equal(ginsn_string_count(&insn, &st, 0x1ff4), 0);
	st.gpr[GINSN_RCX] = 100;
	assert_int_equal(ginsn_string_count(&insn, &st, 0x1ff4), 3);
	assert_int_equal(ginsn_string_count(&insn, &st, 0x1ffe), 1); /* crosses the page */
	st.gpr[GINSN_RCX] = 2;
	assert_int_equal(ginsn_string_count(&insn, &st, 0x1ff4), 2);

	st.gpr[GINSN_RCX] = 100;
	ginsn_string_advance(&insn, &st, 3);
	assert_int_equal(st.gpr[GINSN_RSI], 0x2000);
	assert_int_equal(st.gpr[GINSN_RCX], 97);
	assert_int_equal(st.rip, 0);
	st.rflags |= DF;
	assert_int_equal(ginsn_string_count(&insn, &st, 0x2008), 3); /* 8, 4, 0 */
	ginsn_string_advance(&insn, &st, 97);
	assert_int_equal(st.gpr[GINSN_RSI], 0x2000 - 97 * 4);
	assert_int_equal(st.rip, 2);

	/* a 16-bit index wraps where the linear address would not */
	decode_or_fail(&insn, "\xf3\x6c", 2, GINSN_MODE_16); /* rep insb */
	st.rflags &= ~DF;
	st.gpr[GINSN_RCX] = 0x100;
	st.gpr[GINSN_RDI] = 0x1234fff0;
	assert_int_equal(ginsn_string_count(&insn, &st, 0x5000), 15);
	ginsn_string_advance(&insn, &st, 15);
	assert_int_equal(ginsn_string_count(&insn, &st, 0x500f), 1);
	ginsn_string_advance(&insn, &st, 1);
	assert_int_equal(st.gpr[GINSN_RDI], 0x12340000);
	assert_int_equal(st.gpr[GINSN_RCX], 0xf0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segment_checks),
		cmocka_unit_test(test_canonical_addresses),
		cmocka_unit_test(test_real_mode_addressing),
		cmocka_unit_test(test_movs_in_two_steps),
		cmocka_unit_test(test_port_strings),
		cmocka_unit_test(test_string_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
