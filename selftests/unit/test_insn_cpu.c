// SPDX-License-Identifier: GPL-2.0-only
/*
 * The executor of guest instructions against the CPU that runs this test.
 *
 * Random instructions run natively, with random registers and flags, on a buffer at a low address;
 * the executor runs them on a copy. Registers, defined flags, RIP and memory must come out the
 * same. 64-bit mode runs as it is; 16-bit and 32-bit protected modes run in segments of an LDT
 * whose bases are not zero. Without modify_ldt(2) those two are skipped.
 *
 * Links with: arch/x86/insn.c arch/x86/insn_exec.c -lcmocka
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <insn.h>

#define ARENA_BASE 0x20000000UL /* below 2 GiB: every addressing form can reach it */
#define ARENA_SIZE 0x2000UL
#define CODE_BASE  (ARENA_BASE + ARENA_SIZE + 0x1000)
#define GS_BASE    0x12340UL

#define CF         0x001
#define PF         0x004
#define AF         0x010
#define ZF         0x040
#define SF         0x080
#define DF         0x400
#define OF         0x800
#define ARITH      (CF | PF | AF | ZF | SF | OF)

/* Selectors: Linux's own, and three of the LDT. */
#define SEL_CODE64 0x33
#define SEL_DATA   0x2b
#define SEL_LDT(n) ((n) << 3 | 7)
enum { LDT_CODE16, LDT_CODE32, LDT_DATA };

static u8 *arena = (u8 *)ARENA_BASE; /* the CPU's */
static u8 shadow[ARENA_SIZE];        /* the executor's */
static u8 *code = (u8 *)CODE_BASE;
static u64 rng_state = 0x123456789abcdef1;
static bool have_movbe;

/* What run_on_cpu() loads and stores. */
u64 cpu_gpr[16], cpu_rflags, cpu_saved_rsp;
u16 cpu_ds, cpu_ss;
struct {
	u32 offset;
	u16 selector;
} __attribute__((packed)) cpu_entry;

void run_on_cpu(void);
extern char run_on_cpu_return[];

/*
 * All 16 registers belong to the instruction under test, RSP too. Entry is a far jump, into any
 * mode; it ends by jumping to the label in 64-bit mode.
 */
asm("	.text\n"
    "run_on_cpu:\n"
    "	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
    "	mov %rsp, cpu_saved_rsp(%rip)\n"
    "	mov cpu_ds(%rip), %ds\n	mov cpu_ds(%rip), %es\n"
    "	push cpu_rflags(%rip)\n	popf\n"
    "	mov cpu_gpr(%rip), %rax\n	mov cpu_gpr+8(%rip), %rcx\n"
    "	mov cpu_gpr+16(%rip), %rdx\n	mov cpu_gpr+24(%rip), %rbx\n"
    "	mov cpu_ss(%rip), %ss\n"
    "	mov cpu_gpr+32(%rip), %rsp\n	mov cpu_gpr+40(%rip), %rbp\n"
    "	mov cpu_gpr+48(%rip), %rsi\n	mov cpu_gpr+56(%rip), %rdi\n"
    "	mov cpu_gpr+64(%rip), %r8\n	mov cpu_gpr+72(%rip), %r9\n"
    "	mov cpu_gpr+80(%rip), %r10\n	mov cpu_gpr+88(%rip), %r11\n"
    "	mov cpu_gpr+96(%rip), %r12\n	mov cpu_gpr+104(%rip), %r13\n"
    "	mov cpu_gpr+112(%rip), %r14\n	mov cpu_gpr+120(%rip), %r15\n"
    "	ljmp *cpu_entry(%rip)\n"
    "run_on_cpu_return:\n"
    "	mov %rax, cpu_gpr(%rip)\n	mov %rcx, cpu_gpr+8(%rip)\n"
    "	mov %rdx, cpu_gpr+16(%rip)\n	mov %rbx, cpu_gpr+24(%rip)\n"
    "	mov %rsp, cpu_gpr+32(%rip)\n	mov %rbp, cpu_gpr+40(%rip)\n"
    "	mov %rsi, cpu_gpr+48(%rip)\n	mov %rdi, cpu_gpr+56(%rip)\n"
    "	mov %r8, cpu_gpr+64(%rip)\n	mov %r9, cpu_gpr+72(%rip)\n"
    "	mov %r10, cpu_gpr+80(%rip)\n	mov %r11, cpu_gpr+88(%rip)\n"
    "	mov %r12, cpu_gpr+96(%rip)\n	mov %r13, cpu_gpr+104(%rip)\n"
    "	mov %r14, cpu_gpr+112(%rip)\n	mov %r15, cpu_gpr+120(%rip)\n"
    "	mov $0x2b, %eax\n	mov %eax, %ss\n"
    "	mov cpu_saved_rsp(%rip), %rsp\n"
    "	pushf\n	pop cpu_rflags(%rip)\n	cld\n"
    "	xor %eax, %eax\n	mov %eax, %ds\n	mov %eax, %es\n"
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
	static const u8 plain[] = { 0x63, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88,
				    0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3, 0xc6, 0xc7,
				    0xf6, 0xf6, 0xf7, 0xf7, 0xfe, 0xff, 0xff };
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

static bool random_insn(struct ginsn *insn, enum ginsn_mode mode)
{
	/* FS is the thread's own: only 64-bit addresses can make up for its base */
	static const u8 prefixes[] = { 0x26, 0x3e, 0x66, 0x66, 0x67, 0x67,
				       0xf0, 0xf2, 0xf3, 0x36, 0x64, 0x65 };
	bool is64 = mode == GINSN_MODE_64;
	u8 bytes[GINSN_MAX_LEN];
	int n = 0, n_opcode;

	while (n < 3 && rng() % 3 == 0)
		bytes[n++] = prefixes[rng() % (sizeof(prefixes) - (is64 ? 0 : 2))];
	if (is64 && (rng() & 1))
		bytes[n++] = 0x40 | (rng() & 0xf);
	n_opcode = random_opcode(bytes + n);
	n += n_opcode;
	while (n < GINSN_MAX_LEN)
		bytes[n++] = rng() >> 24;
	return n_opcode && ginsn_decode(insn, bytes, GINSN_MAX_LEN, mode) == 0;
}

static void random_registers(const struct ginsn *insn, struct ginsn_state *st)
{
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
	st->rflags = 0x202 | (rng() & (ARITH | DF));
}

static void drop_upper_halves(const struct ginsn *insn, struct ginsn_state *st)
{
	if (insn->mode != GINSN_MODE_64)
		for (int i = 0; i < GINSN_NR_GPR; i++)
			st->gpr[i] = (u32)st->gpr[i];
}

/* RIP and segments as run_native() sets them up. */
static void random_state(const struct ginsn *insn, struct ginsn_state *st)
{
	memset(st, 0, sizeof(*st));
	random_registers(insn, st);
	drop_upper_halves(insn, st);
	st->la_bits = 57;
	if (insn->mode == GINSN_MODE_64) {
		st->rip = CODE_BASE;
		st->seg[GINSN_GS].base = GS_BASE;
		syscall(SYS_arch_prctl, ARCH_GET_FS, &st->seg[GINSN_FS].base);
		return;
	}
	for (int i = GINSN_ES; i <= GINSN_DS; i++)
		st->seg[i] = (struct ginsn_segment){ ARENA_BASE, 0xffffffff, 0xc0f3 };
	st->seg[GINSN_CS].base = CODE_BASE;
	st->seg[GINSN_CS].ar = insn->mode == GINSN_MODE_32 ? 0xc0fb : 0x80fb;
}

static u64 random_target(void)
{
	return ARENA_BASE + ARENA_SIZE / 4 + rng() % (ARENA_SIZE / 2);
}

static bool in_arena(u64 la, unsigned int size)
{
	return la >= ARENA_BASE && la + size <= ARENA_BASE + ARENA_SIZE;
}

static u64 segment_base(const struct ginsn *insn, const struct ginsn_state *st, u8 seg)
{
	return insn->mode == GINSN_MODE_64 && seg < GINSN_FS ? 0 : st->seg[seg].base;
}

/* The registers of string instructions, with something above the address size. */
static void aim_string(const struct ginsn *insn, struct ginsn_state *st)
{
	u64 lower = insn->addr_size == 8 ? ~0ULL : BIT_ULL(8 * insn->addr_size) - 1;
	u64 upper = rng() & ~lower;
	u64 rsi = random_target() - segment_base(insn, st, insn->seg);
	u64 rdi = random_target() - segment_base(insn, st, GINSN_ES);

	st->gpr[GINSN_RSI] = (rsi & lower) | upper;
	st->gpr[GINSN_RDI] = (rdi & lower) | upper;
	st->gpr[GINSN_RCX] = (rng() % 20 + 1) | upper;
	if (rng() % 16 == 0)
		st->gpr[GINSN_RCX] = 0; /* vendors differ in what becomes of an upper half */
}

/* An absolute or RIP-relative address: the displacement stands somewhere before the immediate. */
static bool move_displacement(struct ginsn *insn, u64 delta)
{
	bool moffs = insn->op == GINSN_MOV && insn->addr_size == 8 && insn->len > 8 &&
		     (insn->bytes[insn->len - 9] & 0xfc) == 0xa0;
	int size = moffs ? 8 : insn->addr_size == 2 ? 2 : 4;
	u64 mask = size == 8 ? ~0ULL : BIT_ULL(8 * size) - 1;
	u64 disp = insn->disp + delta;
	u8 bytes[GINSN_MAX_LEN];
	struct ginsn moved;

	for (int at = insn->len - size; at > 0; at--) {
		memcpy(bytes, insn->bytes, insn->len);
		memcpy(bytes + at, &disp, size);
		if (ginsn_decode(&moved, bytes, insn->len, insn->mode) == 0 &&
		    ((moved.disp ^ disp) & mask) == 0 && moved.op == insn->op &&
		    moved.imm == insn->imm) {
			*insn = moved;
			return true;
		}
	}
	return false;
}

/* Move the memory operand to @target by changing a register or the displacement. */
static bool aim_operand(struct ginsn *insn, struct ginsn_state *st, u64 target)
{
	struct ginsn_exec x;
	u64 delta;

	if (ginsn_plan(&x, insn, st)) /* a bit offset in a register will be missing */
		x.acc[0].addr = ginsn_effective_address(insn, st->gpr, st->rip) +
				segment_base(insn, st, insn->seg);
	delta = target - x.acc[0].addr;
	if (insn->base < GINSN_NR_GPR)
		st->gpr[insn->base] += delta;
	else if (insn->index != GINSN_NO_REG)
		st->gpr[insn->index] += delta / insn->scale;
	else
		return move_displacement(insn, delta);
	return true;
}

/* Make all accesses lie in the arena, if that can be. */
static bool aim(struct ginsn *insn, struct ginsn_state *st)
{
	u64 target = random_target() & ~7ULL; /* aligned: a locked access must not split a line */
	struct ginsn_exec x;

	if (!insn->lock && insn->op != GINSN_XCHG)
		target += rng() % 8;
	if (insn->op == GINSN_PUSH)
		st->gpr[GINSN_RSP] = random_target() - segment_base(insn, st, GINSN_SS);
	if (insn->form == GINSN_STRING)
		aim_string(insn, st);
	else if (!aim_operand(insn, st, target))
		return false;
	drop_upper_halves(insn, st);
	if (ginsn_plan(&x, insn, st))
		return false;
	for (int i = 0; i < x.nr_acc; i++)
		if (!in_arena(x.acc[i].addr, x.acc[i].size))
			return false;
	return true;
}

/* Both sides */

static bool run_executor(const struct ginsn *insn, struct ginsn_state *st)
{
	u64 start = st->rip;
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
	} while (st->rip == start);
	return true;
}

/* The instruction, then a jump back: in 64-bit mode by pointer, else far to such a jump. */
static void run_native(const struct ginsn *insn, const struct ginsn_state *st)
{
	static const u8 jump[] = { 0xff, 0x25, 0, 0, 0, 0 }; /* jmp *0(%rip) */
	bool is64 = insn->mode == GINSN_MODE_64;
	u32 trampoline = is64 ? CODE_BASE + insn->len : CODE_BASE + 0x800;
	u8 *end = code + insn->len, *back = (u8 *)(uintptr_t)trampoline;
	void *label = run_on_cpu_return;
	u16 selector = SEL_CODE64;

	memcpy(code, insn->bytes, insn->len);
	cpu_entry.offset = is64 ? CODE_BASE : 0;
	cpu_entry.selector = SEL_CODE64;
	if (!is64) {
		if (insn->mode == GINSN_MODE_16)
			*end++ = 0x66;
		*end++ = 0xea; /* jmp far */
		memcpy(end, &trampoline, 4);
		memcpy(end + 4, &selector, 2);
		cpu_entry.selector = SEL_LDT(insn->mode == GINSN_MODE_16 ? LDT_CODE16 : LDT_CODE32);
	}
	memcpy(back, jump, sizeof(jump));
	memcpy(back + sizeof(jump), &label, sizeof(label));
	cpu_ds = is64 ? 0 : SEL_LDT(LDT_DATA);
	cpu_ss = is64 ? SEL_DATA : SEL_LDT(LDT_DATA);
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
	/* outside 64-bit mode there are eight registers of 32 bits */
	bool is64 = insn->mode == GINSN_MODE_64;
	u64 mask = is64 ? ~0ULL : 0xffffffff;

	for (int i = 0; i < (is64 ? 16 : 8); i++)
		if ((ours->gpr[i] ^ cpu_gpr[i]) & mask)
			fail_msg("%s: register %d was %llx, is %llx, CPU %llx", hex(insn), i,
				 (unsigned long long)before->gpr[i],
				 (unsigned long long)ours->gpr[i], (unsigned long long)cpu_gpr[i]);
	if (flags)
		fail_msg("%s: flags were %llx, are %llx, CPU %llx", hex(insn),
			 (unsigned long long)before->rflags, (unsigned long long)ours->rflags,
			 (unsigned long long)cpu_rflags);
	if (ours->rip != before->rip + insn->len)
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

static void fill_arena(void)
{
	u64 pattern = rng();

	for (size_t i = 0; i < ARENA_SIZE; i += 8)
		memcpy(shadow + i, &pattern, 8);
	memcpy(arena, shadow, ARENA_SIZE);
}

static void compare_mode(enum ginsn_mode mode)
{
	unsigned int ran[GINSN_OUTS + 1] = { 0 }, total = 0, off_target = 0;
	struct ginsn_state before, ours;
	struct ginsn insn;

	for (int round = 0; round < 200000; round++) {
		if (round % 1000 == 0)
			fill_arena();
		if (!random_insn(&insn, mode))
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
	print_message("# mode %d: %u instructions ran, %u were out of reach\n", mode, total,
		      off_target);
	for (int op = GINSN_ADD; op < GINSN_INS; op++)
		if (ran[op] < 100 && (op != GINSN_MOVBE || have_movbe))
			fail_msg("operation %d ran only %u times", op, ran[op]);
}

static bool set_ldt(unsigned int entry, u32 base, unsigned int contents, bool is32)
{
	struct user_desc desc = {
		.entry_number = entry,
		.base_addr = base,
		.limit = 0xfffff,
		.limit_in_pages = 1,
		.seg_32bit = is32,
		.contents = contents, /* 0 data, 2 code */
		.useable = 1,
	};

	return syscall(SYS_modify_ldt, 1, &desc, sizeof(desc)) == 0;
}

static void compare_legacy_mode(enum ginsn_mode mode)
{
	if (!set_ldt(LDT_CODE16, CODE_BASE, 2, false) || !set_ldt(LDT_CODE32, CODE_BASE, 2, true) ||
	    !set_ldt(LDT_DATA, ARENA_BASE, 0, true))
		skip();
	compare_mode(mode);
}

static void test_16bit(void **state)
{
	(void)state;
	compare_legacy_mode(GINSN_MODE_16);
}

static void test_32bit(void **state)
{
	(void)state;
	compare_legacy_mode(GINSN_MODE_32);
}

static void test_64bit(void **state)
{
	(void)state;
	compare_mode(GINSN_MODE_64);
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
		cmocka_unit_test(test_16bit),
		cmocka_unit_test(test_32bit),
		cmocka_unit_test(test_64bit),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
