// SPDX-License-Identifier: GPL-2.0-only
/*
 * The executor of guest instructions against the CPU that runs this test.
 *
 * Random instructions run natively, with random registers and flags, on a buffer at a low address;
 * the executor runs them on a copy. Registers, defined flags, RIP and memory must come out the
 * same. Only 64-bit mode can be run here; segmentation and the other modes have hand-made cases.
 *
 * Links with: arch/x86/insn.c arch/x86/insn_exec.c -lcmocka
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <asm/prctl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <insn.h>

#define ARENA_BASE   0x20000000UL /* below 2 GiB: every addressing form can reach it */
#define ARENA_SIZE   0x2000UL
#define CODE_BASE    (ARENA_BASE + ARENA_SIZE + 0x1000)
#define GS_BASE      0x12340UL

#define CF           0x001
#define PF           0x004
#define AF           0x010
#define ZF           0x040
#define SF           0x080
#define DF           0x400
#define OF           0x800
#define ARITH        (CF | PF | AF | ZF | SF | OF)

#define AR_DATA      0xc093
#define AR_DATA_RO   0xc091
#define AR_CODE      0xc09b
#define AR_CODE_ONLY 0xc099
#define AR_DOWN      0xc097
#define AR_DOWN16    0x0097

static u8 *arena = (u8 *)ARENA_BASE; /* the CPU's */
static u8 shadow[ARENA_SIZE];        /* the executor's */
static u8 *code = (u8 *)CODE_BASE;
static u64 rng_state = 0x123456789abcdef1;
static bool have_movbe;

/* What run_on_cpu() loads and stores. */
u64 cpu_gpr[16], cpu_rflags, cpu_saved_rsp;
void *cpu_entry = (void *)CODE_BASE;

void run_on_cpu(void);
extern char run_on_cpu_return[];

/* All 16 registers belong to the instruction under test, RSP too; it ends by jumping to the label. */
asm("	.text\n"
    "run_on_cpu:\n"
    "	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
    "	mov %rsp, cpu_saved_rsp(%rip)\n"
    "	push cpu_rflags(%rip)\n	popf\n"
    "	mov cpu_gpr(%rip), %rax\n	mov cpu_gpr+8(%rip), %rcx\n"
    "	mov cpu_gpr+16(%rip), %rdx\n	mov cpu_gpr+24(%rip), %rbx\n"
    "	mov cpu_gpr+32(%rip), %rsp\n	mov cpu_gpr+40(%rip), %rbp\n"
    "	mov cpu_gpr+48(%rip), %rsi\n	mov cpu_gpr+56(%rip), %rdi\n"
    "	mov cpu_gpr+64(%rip), %r8\n	mov cpu_gpr+72(%rip), %r9\n"
    "	mov cpu_gpr+80(%rip), %r10\n	mov cpu_gpr+88(%rip), %r11\n"
    "	mov cpu_gpr+96(%rip), %r12\n	mov cpu_gpr+104(%rip), %r13\n"
    "	mov cpu_gpr+112(%rip), %r14\n	mov cpu_gpr+120(%rip), %r15\n"
    "	jmp *cpu_entry(%rip)\n"
    "run_on_cpu_return:\n"
    "	mov %rax, cpu_gpr(%rip)\n	mov %rcx, cpu_gpr+8(%rip)\n"
    "	mov %rdx, cpu_gpr+16(%rip)\n	mov %rbx, cpu_gpr+24(%rip)\n"
    "	mov %rsp, cpu_gpr+32(%rip)\n	mov %rbp, cpu_gpr+40(%rip)\n"
    "	mov %rsi, cpu_gpr+48(%rip)\n	mov %rdi, cpu_gpr+56(%rip)\n"
    "	mov %r8, cpu_gpr+64(%rip)\n	mov %r9, cpu_gpr+72(%rip)\n"
    "	mov %r10, cpu_gpr+80(%rip)\n	mov %r11, cpu_gpr+88(%rip)\n"
    "	mov %r12, cpu_gpr+96(%rip)\n	mov %r13, cpu_gpr+104(%rip)\n"
    "	mov %r14, cpu_gpr+112(%rip)\n	mov %r15, cpu_gpr+120(%rip)\n"
    "	mov cpu_saved_rsp(%rip), %rsp\n"
    "	pushf\n	pop cpu_rflags(%rip)\n	cld\n"
    "	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
    "	ret\n");

static u64 rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

static const char *hex(const struct ginsn *insn)
{
	static char text[3 * GINSN_MAX_LEN + 1];

	for (int i = 0; i < insn->len; i++)
		sprintf(text + 3 * i, "%02x ", insn->bytes[i]);
	return text;
}

/* Random instructions */

/* Opcode bytes that reach every row of the decoder's tables; strings are 1/8 of what is drawn. */
static int random_opcode(u8 *out)
{
	static const u8 plain[] = { 0x63, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87,
				    0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3,
				    0xc6, 0xc7, 0xf6, 0xf6, 0xf7, 0xf7, 0xfe, 0xff };
	static const u8 string[] = { 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf };
	static const u8 two[] = { 0xa3, 0xab, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7,
				  0xba, 0xbb, 0xbe, 0xbf, 0xc0, 0xc1, 0xc3 };

	out[0] = 0x0f;
	switch (rng() % 8) {
	case 0:
	case 1:
		out[0] = (rng() % 8) * 8 + rng() % 4; /* ADD to CMP */
		return 1;
	case 2:
	case 3:
		out[0] = plain[rng() % sizeof(plain)];
		return 1;
	case 4:
		out[0] = string[rng() % sizeof(string)];
		return 1;
	case 5:
		out[1] = (rng() & 1 ? 0x40 : 0x90) + rng() % 16;
		return 2;
	case 6:
		out[1] = 0x38;
		out[2] = 0xf0 + (rng() & 1);
		return have_movbe ? 3 : 0;
	default:
		out[1] = two[rng() % sizeof(two)];
		return 2;
	}
}

static bool random_insn(struct ginsn *insn)
{
	static const u8 prefixes[] = { 0x26, 0x3e, 0x64, 0x65, 0x66, 0x66, 0x67, 0xf0, 0xf2, 0xf3 };
	u8 bytes[GINSN_MAX_LEN];
	int n = 0, n_opcode;

	while (n < 3 && rng() % 3 == 0)
		bytes[n++] = prefixes[rng() % sizeof(prefixes)];
	if (rng() & 1)
		bytes[n++] = 0x40 | (rng() & 0xf);
	n_opcode = random_opcode(bytes + n);
	n += n_opcode;
	while (n < GINSN_MAX_LEN)
		bytes[n++] = rng() >> 24;
	return n_opcode && ginsn_decode(insn, bytes, GINSN_MAX_LEN, GINSN_MODE_64) == 0;
}

static void random_state(const struct ginsn *insn, struct ginsn_state *st)
{
	memset(st, 0, sizeof(*st));
	for (int i = 0; i < GINSN_NR_GPR; i++) {
		st->gpr[i] = rng();
		if (rng() % 4 == 0) /* corner values: sign and carry boundaries of every size */
			st->gpr[i] = (BIT_ULL(8 << (rng() % 3)) >> (rng() & 1)) - (rng() & 1);
	}
	/* often the comparison of CMPXCHG and SCAS is to succeed: the arena repeats 8 bytes */
	if (rng() & 1)
		memcpy(&st->gpr[GINSN_RAX], shadow, 8);
	/* keep the reach of a bit offset inside the arena */
	if (insn->op >= GINSN_BT && insn->op <= GINSN_BTC && insn->form == GINSN_MEM_REG)
		st->gpr[insn->reg] = (u64)((s64)rng() >> 50);
	st->rip = CODE_BASE;
	st->rflags = 0x202 | (rng() & (ARITH | DF));
	st->seg[GINSN_GS].base = GS_BASE;
	syscall(SYS_arch_prctl, ARCH_GET_FS, &st->seg[GINSN_FS].base);
	st->la_bits = 57;
}

static u64 random_target(void)
{
	return ARENA_BASE + ARENA_SIZE / 4 + rng() % (ARENA_SIZE / 2);
}

static bool in_arena(u64 la, unsigned int size)
{
	return la >= ARENA_BASE && la + size <= ARENA_BASE + ARENA_SIZE;
}

static void aim_string(const struct ginsn *insn, struct ginsn_state *st)
{
	u64 base = insn->seg >= GINSN_FS ? st->seg[insn->seg].base : 0;
	u64 upper = insn->addr_size == 4 ? rng() << 32 : 0;

	st->gpr[GINSN_RSI] = (random_target() - base) | upper;
	st->gpr[GINSN_RDI] = random_target() | upper;
	st->gpr[GINSN_RCX] = (rng() % 20 + 1) | upper;
	if (rng() % 16 == 0)
		st->gpr[GINSN_RCX] = 0; /* vendors differ in what becomes of an upper half */
}

/* An absolute or RIP-relative address: the displacement stands somewhere before the immediate. */
static bool move_displacement(struct ginsn *insn, u64 delta)
{
	bool moffs = insn->op == GINSN_MOV && insn->addr_size == 8 && insn->len > 8 &&
		     (insn->bytes[insn->len - 9] & 0xfc) == 0xa0;
	int size = moffs ? 8 : 4;
	u64 disp = insn->disp + delta;
	struct ginsn moved;
	u8 bytes[GINSN_MAX_LEN];

	for (int at = insn->len - size; at > 0; at--) {
		memcpy(bytes, insn->bytes, insn->len);
		memcpy(bytes + at, &disp, size);
		if (ginsn_decode(&moved, bytes, insn->len, GINSN_MODE_64) == 0 &&
		    moved.disp == disp && moved.op == insn->op) {
			*insn = moved;
			return true;
		}
	}
	return false;
}

/* Make the memory operand lie in the arena by changing a register or the displacement. */
static bool aim(struct ginsn *insn, struct ginsn_state *st)
{
	u64 target = random_target() & ~7ULL; /* aligned: a locked access must not split a line */
	struct ginsn_exec x;
	u64 delta;

	if (insn->form == GINSN_STRING) {
		aim_string(insn, st);
		/* 32-bit addresses can't make up for a high FS base */
		return insn->addr_size == 8 || insn->seg != GINSN_FS;
	}
	if (!insn->lock && insn->op != GINSN_XCHG)
		target += rng() % 8;
	if (ginsn_plan(&x, insn, st)) /* not canonical; the base register has the last word */
		x.acc[0].addr = ginsn_effective_address(insn, st);
	delta = target - x.acc[0].addr;
	if (insn->base < GINSN_NR_GPR) {
		st->gpr[insn->base] += delta;
	} else if (insn->index != GINSN_NO_REG) {
		st->gpr[insn->index] += delta / insn->scale;
	} else if (!move_displacement(insn, delta)) {
		return false;
	}
	return ginsn_plan(&x, insn, st) == 0 && in_arena(x.acc[0].addr, x.acc[0].size);
}

/* Both sides */

static bool run_executor(const struct ginsn *insn, struct ginsn_state *st)
{
	struct ginsn_exec x;

	do {
		if (ginsn_plan(&x, insn, st))
			return false;
		for (int i = 0; i < x.nr_acc; i++)
			if (!in_arena(x.acc[i].addr, x.acc[i].size))
				return false;
		for (int i = 0; i < x.nr_acc; i++) {
			/* what lies above the operand's size must not matter */
			x.acc[i].value = rng();
			if (x.acc[i].flags & GINSN_ACC_READ)
				memcpy(&x.acc[i].value, shadow + x.acc[i].addr - ARENA_BASE,
				       x.acc[i].size);
		}
		ginsn_execute(&x);
		for (int i = 0; i < x.nr_acc; i++)
			if (x.acc[i].flags & GINSN_ACC_WRITE)
				memcpy(shadow + x.acc[i].addr - ARENA_BASE, &x.acc[i].value,
				       x.acc[i].size);
		*st = x.st;
	} while (st->rip == CODE_BASE);
	return true;
}

static void run_native(const struct ginsn *insn, const struct ginsn_state *st)
{
	static const u8 jump[] = { 0xff, 0x25, 0, 0, 0, 0 }; /* jmp *0(%rip) */
	void *back = run_on_cpu_return;

	memcpy(code, insn->bytes, insn->len);
	memcpy(code + insn->len, jump, sizeof(jump));
	memcpy(code + insn->len + sizeof(jump), &back, sizeof(back));
	memcpy(cpu_gpr, st->gpr, sizeof(cpu_gpr));
	cpu_rflags = st->rflags;
	run_on_cpu();
}

static u64 undefined_flags(u8 op)
{
	switch (op) {
	case GINSN_AND:
	case GINSN_OR:
	case GINSN_XOR:
	case GINSN_TEST:
		return AF;
	case GINSN_BT:
	case GINSN_BTS:
	case GINSN_BTR:
	case GINSN_BTC:
		return OF | SF | AF | PF;
	default:
		return 0;
	}
}

static void compare_states(const struct ginsn *insn, const struct ginsn_state *before,
			   const struct ginsn_state *ours)
{
	u64 flags = (ours->rflags ^ cpu_rflags) & (ARITH | DF) & ~undefined_flags(insn->op);

	for (int i = 0; i < GINSN_NR_GPR; i++)
		if (ours->gpr[i] != cpu_gpr[i])
			fail_msg("%s: register %d was %llx, is %llx, CPU %llx", hex(insn), i,
				 (unsigned long long)before->gpr[i],
				 (unsigned long long)ours->gpr[i], (unsigned long long)cpu_gpr[i]);
	if (flags)
		fail_msg("%s: flags were %llx, are %llx, CPU %llx", hex(insn),
			 (unsigned long long)before->rflags, (unsigned long long)ours->rflags,
			 (unsigned long long)cpu_rflags);
	if (ours->rip != CODE_BASE + insn->len)
		fail_msg("%s: RIP %llx", hex(insn), (unsigned long long)ours->rip);
	if (memcmp(arena, shadow, ARENA_SIZE))
		fail_msg("%s: memory differs", hex(insn));
}

static const struct ginsn *running;

/* The CPU faulted where the executor saw nothing wrong. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "not ok - signal %d at %p in %s\n", sig, info->si_addr,
			 running ? hex(running) : "the test");

	(void)context;
	if (write(STDOUT_FILENO, text, n) != n)
		_exit(2);
	_exit(1);
}

static void test_against_cpu(void **state)
{
	unsigned int ran[GINSN_OUTS + 1] = { 0 }, total = 0, off_target = 0;
	struct ginsn_state before, ours;
	struct ginsn insn;

	(void)state;
	for (int round = 0; round < 300000; round++) {
		if (round % 1000 == 0) {
			u64 pattern = rng();

			for (size_t i = 0; i < ARENA_SIZE; i += 8)
				memcpy(shadow + i, &pattern, 8);
			memcpy(arena, shadow, ARENA_SIZE);
		}
		if (!random_insn(&insn))
			continue;
		random_state(&insn, &before);
		if (!aim(&insn, &before)) {
			off_target++;
			continue;
		}
		ours = before;
		running = &insn;
		if (!run_executor(&insn, &ours))
			fail_msg("%s: executor refuses", hex(&insn));
		run_native(&insn, &before);
		running = NULL;
		compare_states(&insn, &before, &ours);
		ran[insn.op]++;
		total++;
	}
	print_message("# %u instructions ran, %u were out of reach\n", total, off_target);
	for (int op = GINSN_ADD; op < GINSN_INS; op++)
		if (ran[op] < 100 && (op != GINSN_MOVBE || have_movbe))
			fail_msg("operation %d ran only %u times", op, ran[op]);
}

/* Hand-made cases: what 64-bit mode on a CPU can't show */

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

/* CPUID leaf 1, ECX bit 22. (The compiler's <cpuid.h> hides behind the project's.) */
static bool cpu_has_movbe(void)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return ecx & BIT(22);
}

static int set_up(void **state)
{
	static u8 alternate[1 << 16];
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };

	(void)state;
	if (mmap(arena, ARENA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != arena ||
	    mmap(code, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != code)
		return -1;
	if (sigaltstack(&stack, NULL) || sigaction(SIGSEGV, &sa, NULL) ||
	    sigaction(SIGBUS, &sa, NULL) || sigaction(SIGILL, &sa, NULL))
		return -1;
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE))
		return -1;
	have_movbe = cpu_has_movbe();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_cpu),
		cmocka_unit_test(test_segment_checks),
		cmocka_unit_test(test_canonical_addresses),
		cmocka_unit_test(test_real_mode_addressing),
		cmocka_unit_test(test_movs_in_two_steps),
		cmocka_unit_test(test_port_strings),
		cmocka_unit_test(test_string_batches),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
