// SPDX-License-Identifier: GPL-2.0-only
/*
 * The decoder of guest instructions against an independent disassembler.
 *
 * Every instruction that arch/x86/insn.c accepts must have the length, operation and operands that
 * capstone sees, and what it refuses must be outside the list it promises. The corpus: every ModRM
 * of every opcode under each prefix in all modes, and random bytes. Where capstone 4 itself departs
 * from the SDM, oracle_is_wrong() says how. Hand-made cases cover errors and what capstone lacks.
 *
 * Links with: arch/x86/insn.c arch/x86/insn_exec.c -lcapstone -lcmocka
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <capstone/capstone.h>

#include <insn.h>

static csh oracle[GINSN_MODE_64 + 1];
static cs_insn *shown;
static u64 rng_state = 0x9e3779b97f4a7c15;

static u64 rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* What this decoder promises, by capstone's mnemonic without prefix and string size. */
static const struct {
	u8 op;
	const char *name;
} promised[] = {
	{ GINSN_ADD, "add" },     { GINSN_OR, "or" },        { GINSN_ADC, "adc" },
	{ GINSN_SBB, "sbb" },     { GINSN_AND, "and" },      { GINSN_SUB, "sub" },
	{ GINSN_XOR, "xor" },     { GINSN_CMP, "cmp" },      { GINSN_TEST, "test" },
	{ GINSN_NOT, "not" },     { GINSN_NEG, "neg" },      { GINSN_INC, "inc" },
	{ GINSN_DEC, "dec" },     { GINSN_XCHG, "xchg" },    { GINSN_CMPXCHG, "cmpxchg" },
	{ GINSN_XADD, "xadd" },   { GINSN_BT, "bt" },        { GINSN_BTS, "bts" },
	{ GINSN_BTR, "btr" },     { GINSN_BTC, "btc" },      { GINSN_MOV, "mov" },
	{ GINSN_MOV, "movabs" },  { GINSN_MOV, "movnti" },   { GINSN_MOVZX, "movzx" },
	{ GINSN_MOVSX, "movsx" }, { GINSN_MOVSX, "movsxd" }, { GINSN_MOVBE, "movbe" },
	{ GINSN_PUSH, "push" },
};

static const struct {
	u8 op;
	const char *name;
} strings[] = {
	{ GINSN_MOVS, "movs" }, { GINSN_CMPS, "cmps" }, { GINSN_STOS, "stos" },
	{ GINSN_LODS, "lods" }, { GINSN_SCAS, "scas" }, { GINSN_INS, "ins" },
	{ GINSN_OUTS, "outs" },
};

static const char *const conditions[16] = { "o", "no", "b", "ae", "e", "ne", "be", "a",
					    "s", "ns", "p", "np", "l", "ge", "le", "g" };

static const char *mnemonic(const cs_insn *cs)
{
	const char *space = strrchr(cs->mnemonic, ' ');

	return space ? space + 1 : cs->mnemonic;
}

static bool has_memory(const cs_insn *cs)
{
	const cs_x86 *x = &cs->detail->x86;

	for (int i = 0; i < x->op_count; i++)
		if (x->operands[i].type == X86_OP_MEM)
			return true;
	return false;
}

/* The operation that a capstone mnemonic names, or GINSN_NONE when it isn't promised. */
static u8 op_of(const cs_insn *cs, u8 *cc)
{
	const char *name = mnemonic(cs);
	size_t i, n;

	if ((cs->detail->x86.opcode[0] & 0xfd) == 0x8c) /* segment registers */
		return GINSN_NONE;
	for (i = 0; i < ARRAY_SIZE(promised); i++)
		if (!strcmp(name, promised[i].name))
			return promised[i].op;
	for (i = 0; i < ARRAY_SIZE(strings); i++) {
		n = strlen(strings[i].name);
		/* MOVSD and CMPSD are SSE instructions too: those have a map byte. */
		if (!strncmp(name, strings[i].name, n) && strlen(name) == n + 1 &&
		    strchr("bwdq", name[n]) && cs->detail->x86.opcode[0] != 0x0f)
			return strings[i].op;
	}
	for (i = 0; i < 16; i++) {
		*cc = i;
		if (!strncmp(name, "cmov", 4) && !strcmp(name + 4, conditions[i]))
			return GINSN_CMOV;
		if (!strncmp(name, "set", 3) && !strcmp(name + 3, conditions[i]))
			return GINSN_SETCC;
	}
	return GINSN_NONE;
}

static const char *reg_name(u8 reg, u8 size, bool rex)
{
	static const char *const low[4][8] = {
		{ "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil" },
		{ "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" },
		{ "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" },
		{ "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi" },
	};
	static const char *const high[4] = { "ah", "ch", "dh", "bh" };
	static const char *const suffix[4] = { "b", "w", "d", "" };
	static char name[8];
	int row = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;

	if (reg == GINSN_NO_REG)
		return "-";
	if (reg == GINSN_RIP)
		return size == 4 ? "eip" : "rip";
	if (size == 1 && !rex && reg >= 4)
		return high[reg - 4];
	if (reg < 8)
		return low[row][reg];
	snprintf(name, sizeof(name), "r%d%s", reg, suffix[row]);
	return name;
}

static const char *oracle_reg(csh h, unsigned int reg)
{
	/* capstone names an absent index of a SIB byte after the zero register */
	if (reg == X86_REG_INVALID || reg == X86_REG_EIZ || reg == X86_REG_RIZ)
		return "-";
	return cs_reg_name(h, reg);
}

static void print_bytes(const u8 *bytes, enum ginsn_mode mode, const struct ginsn *insn, int ret)
{
	print_error("mode %d, bytes:", mode);
	for (int i = 0; i < GINSN_MAX_LEN; i++)
		print_error(" %02x", bytes[i]);
	print_error("\n  ours: %d len %d op %d base %s index %s*%d disp %llx seg %d size %d/%d\n",
		    ret, insn->len, insn->op, reg_name(insn->base, insn->addr_size, true),
		    reg_name(insn->index, insn->addr_size, true), insn->scale,
		    (unsigned long long)insn->disp, insn->seg, insn->op_size, insn->mem_size);
}

/* Each check returns what differs, or NULL. */
static const char *check_memory(csh h, const struct ginsn *insn, const cs_x86_op *op)
{
	static const unsigned int segs[] = { X86_REG_ES, X86_REG_CS, X86_REG_SS,
					     X86_REG_DS, X86_REG_FS, X86_REG_GS };
	u64 mask = insn->addr_size == 8 ? ~0ULL : BIT_ULL(8 * insn->addr_size) - 1;
	bool fs_gs = insn->seg >= GINSN_FS;

	if (strcmp(oracle_reg(h, op->mem.base), reg_name(insn->base, insn->addr_size, true)))
		return "base";
	if (strcmp(oracle_reg(h, op->mem.index), reg_name(insn->index, insn->addr_size, true)))
		return "index";
	if (insn->index != GINSN_NO_REG && op->mem.scale != insn->scale)
		return "scale";
	if ((op->mem.disp & mask) != (insn->disp & mask))
		return "displacement";
	if (op->mem.segment == X86_REG_INVALID) {
		if (fs_gs)
			return "segment override";
	} else if (insn->mode != GINSN_MODE_64 || fs_gs) {
		/* in 64-bit mode capstone shows overrides that have no effect */
		if (op->mem.segment != segs[insn->seg])
			return "segment";
	}
	/* capstone gives MOVNTI the size of a vector */
	if (op->size != insn->mem_size && !(insn->op == GINSN_MOV && op->size == 16))
		return "memory size";
	return NULL;
}

static const char *check_operands(csh h, const struct ginsn *insn, const cs_insn *cs)
{
	const cs_x86 *x = &cs->detail->x86;
	u64 mask = insn->op_size == 8 ? ~0ULL : BIT_ULL(8 * insn->op_size) - 1;
	const char *wrong = NULL;
	bool imm_seen = false;

	for (int i = 0; i < x->op_count && !wrong; i++) {
		const cs_x86_op *op = &x->operands[i];

		if (op->type == X86_OP_MEM) {
			wrong = check_memory(h, insn, op);
		} else if (op->type == X86_OP_REG) {
			if (strcmp(oracle_reg(h, op->reg),
				   reg_name(insn->reg, insn->op_size, insn->rex)))
				wrong = "register";
		} else {
			imm_seen = true;
			/* capstone does not sign-extend where only the low bits count */
			if (insn->op >= GINSN_BT && insn->op <= GINSN_BTC)
				mask = 0xff;
			if ((op->imm & mask) != (insn->imm & mask))
				wrong = "immediate";
		}
	}
	if (!wrong && imm_seen != (insn->form == GINSN_MEM_IMM))
		wrong = "form";
	return wrong;
}

/* The element's size is the last letter of a string instruction. */
static const char *check_string(const struct ginsn *insn, const cs_insn *cs)
{
	static const char letters[] = { [1] = 'b', [2] = 'w', [4] = 'd', [8] = 'q' };
	const char *name = mnemonic(cs);

	if (name[strlen(name) - 1] != letters[insn->op_size])
		return "element size";
	return cs->detail->x86.addr_size == insn->addr_size ? NULL : "address size";
}

/* Whether any of the prefixes in @set stands before the opcode. */
static bool has_prefix(const struct ginsn *insn, const char *set)
{
	static const char all[] = "\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3";

	for (int i = 0; i < insn->len; i++) {
		u8 byte = insn->bytes[i];
		bool rex = insn->mode == GINSN_MODE_64 && (byte & 0xf0) == 0x40;

		if (byte && strchr(set, byte))
			return true;
		if (!rex && (!byte || !strchr(all, byte)))
			return false;
	}
	return false;
}

/* Forms of promised instructions that the SDM reserves or gives to another instruction. */
static bool not_promised(const struct ginsn *insn, const cs_insn *cs)
{
	if (!strcmp(mnemonic(cs), "movnti"))
		return has_prefix(insn, "\x66\xf2\xf3");
	if (!strcmp(mnemonic(cs), "movbe"))
		return has_prefix(insn, "\xf2\xf3");
	return false;
}

/* Faults of capstone 4.0.2. test_insn_exec.c shows on a CPU which side is right. */
static bool oracle_is_wrong(const struct ginsn *insn, const cs_insn *cs)
{
	bool is64 = insn->mode == GINSN_MODE_64;

	/* loses the operand size, or the whole instruction, when 66 meets F2 or F3 */
	if (has_prefix(insn, "\x66") && has_prefix(insn, "\xf2\xf3"))
		return true;
	/* lets an override without effect cancel one that has */
	if (is64 && insn->seg >= GINSN_FS && has_prefix(insn, "\x26\x2e\x36\x3e"))
		return true;
	/* MOVSXD always has a 64-bit destination */
	if (cs && !strcmp(mnemonic(cs), "movsxd") && insn->op_size != 8)
		return true;
	/* PUSH with REX.W: 66 or 67 makes a word of the quadword */
	if (insn->op == GINSN_PUSH && is64 && insn->op_size == 8 && has_prefix(insn, "\x66\x67"))
		return true;
	/* INS and OUTS with REX.W: 66 or 67 makes words of the doublewords */
	return (insn->op == GINSN_INS || insn->op == GINSN_OUTS) && is64 && insn->rex &&
	       has_prefix(insn, "\x66\x67");
}

/* Compare one byte string. Return: the decoder's result. */
static int compare(const u8 *bytes, enum ginsn_mode mode)
{
	csh h = oracle[mode];
	const u8 *code = bytes;
	size_t left = GINSN_MAX_LEN;
	uint64_t address = 0;
	struct ginsn insn;
	u8 cc = 0, op = GINSN_NONE;
	const char *wrong;
	int ret = ginsn_decode(&insn, bytes, GINSN_MAX_LEN, mode);
	bool known = cs_disasm_iter(h, &code, &left, &address, shown);

	if (known)
		op = op_of(shown, &cc);
	if (ret == 0 && oracle_is_wrong(&insn, known ? shown : NULL))
		return ret;
	if (ret == 0 && (!known || op != insn.op || shown->size != insn.len)) {
		print_bytes(bytes, mode, &insn, ret);
		fail_msg("capstone: %s %s, length %d", known ? shown->mnemonic : "-",
			 known ? shown->op_str : "", known ? shown->size : 0);
	}
	if (ret == -EOPNOTSUPP && known && op != GINSN_NONE && has_memory(shown) &&
	    !not_promised(&insn, shown)) {
		print_bytes(bytes, mode, &insn, ret);
		fail_msg("refused, but promised: %s %s", shown->mnemonic, shown->op_str);
	}
	if (ret == -EINVAL)
		assert_true(insn.lock);
	if (ret)
		return ret;

	wrong = insn.form == GINSN_STRING ? check_string(&insn, shown)
					  : check_operands(h, &insn, shown);
	if ((op == GINSN_CMOV || op == GINSN_SETCC) && cc != insn.cc)
		wrong = "condition";
	if (wrong) {
		print_bytes(bytes, mode, &insn, ret);
		fail_msg("capstone sees another %s: %s %s", wrong, shown->mnemonic, shown->op_str);
	}
	return 0;
}

static void random_tail(u8 *bytes, int from)
{
	for (int i = from; i < GINSN_MAX_LEN; i++)
		bytes[i] = rng() >> 24;
}

/* Every ModRM of @opcode behind @prefix; SIB, displacement and immediate are random. */
static int sweep_opcode(const u8 *prefix, int n_prefix, const u8 *opcode, int n_opcode,
			enum ginsn_mode mode)
{
	u8 bytes[GINSN_MAX_LEN];
	int accepted = 0;

	memcpy(bytes, prefix, n_prefix);
	memcpy(bytes + n_prefix, opcode, n_opcode);
	for (int modrm = 0; modrm < 256; modrm++) {
		bytes[n_prefix + n_opcode] = modrm;
		random_tail(bytes, n_prefix + n_opcode + 1);
		accepted += compare(bytes, mode) == 0;
	}
	return accepted;
}

static int sweep_map(enum ginsn_mode mode, const u8 *prefix, int n_prefix)
{
	int accepted = 0;
	u8 opcode[3];

	for (int byte = 0; byte < 256; byte++) {
		opcode[0] = byte;
		if (byte != 0x0f)
			accepted += sweep_opcode(prefix, n_prefix, opcode, 1, mode);
		opcode[0] = 0x0f;
		opcode[1] = byte;
		accepted += sweep_opcode(prefix, n_prefix, opcode, 2, mode);
	}
	for (int byte = 0xf0; byte < 0xf2; byte++) {
		opcode[1] = 0x38;
		opcode[2] = byte;
		accepted += sweep_opcode(prefix, n_prefix, opcode, 3, mode);
	}
	return accepted;
}

static void sweep_mode(enum ginsn_mode mode)
{
	static const u8 single[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
				     0x66, 0x67, 0xf0, 0xf2, 0xf3 };
	u8 prefix[2] = { 0 };
	int accepted = sweep_map(mode, prefix, 0);

	for (size_t i = 0; i < sizeof(single); i++)
		accepted += sweep_map(mode, &single[i], 1);
	prefix[0] = 0x66;
	prefix[1] = 0x67;
	accepted += sweep_map(mode, prefix, 2);
	if (mode == GINSN_MODE_64) {
		for (prefix[0] = 0x40; prefix[0] < 0x50; prefix[0]++)
			accepted += sweep_map(mode, prefix, 1);
		prefix[0] = 0x66;
		prefix[1] = 0x4c;
		accepted += sweep_map(mode, prefix, 2);
	}
	print_message("# mode %d: %d instructions accepted\n", mode, accepted);
	assert_true(accepted > 200000);
}

static void test_every_modrm_16(void **state)
{
	(void)state;
	sweep_mode(GINSN_MODE_16);
}

static void test_every_modrm_32(void **state)
{
	(void)state;
	sweep_mode(GINSN_MODE_32);
}

static void test_every_modrm_64(void **state)
{
	(void)state;
	sweep_mode(GINSN_MODE_64);
}

static void test_random_bytes(void **state)
{
	static const u8 prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66,
				       0x67, 0xf0, 0xf2, 0xf3, 0x40, 0x48, 0x4f };
	u8 bytes[GINSN_MAX_LEN];
	int accepted = 0;

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		random_tail(bytes, 0);
		for (int n = 0; n < i % 5; n++)
			bytes[n] = prefixes[rng() % sizeof(prefixes)];
		accepted += compare(bytes, GINSN_MODE_16 + i % 3) == 0;
	}
	print_message("# random: %d instructions accepted\n", accepted);
	assert_true(accepted > 50000);
}

/*
 * However an instruction is cut, the decoder asks for more; with all of it, the result is the same.
 */
static void test_truncation(void **state)
{
	u8 bytes[GINSN_MAX_LEN];
	struct ginsn whole, part;
	int cut = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		enum ginsn_mode mode = GINSN_MODE_16 + i % 3;

		random_tail(bytes, 0);
		if (ginsn_decode(&whole, bytes, GINSN_MAX_LEN, mode))
			continue;
		assert_int_equal(ginsn_decode(&part, bytes, whole.len, mode), 0);
		assert_memory_equal(&part, &whole, sizeof(whole));
		for (unsigned int len = 0; len < whole.len; len++, cut++)
			assert_int_equal(ginsn_decode(&part, bytes, len, mode), -ENODATA);
	}
	assert_true(cut > 50000);
}

static int decode(const char *bytes, unsigned int len, enum ginsn_mode mode, struct ginsn *insn)
{
	return ginsn_decode(insn, (const u8 *)bytes, len, mode);
}

static void test_length_limit(void **state)
{
	struct ginsn insn;
	char bytes[32];

	(void)state;
	memset(bytes, 0x66, sizeof(bytes));
	/* 13 prefixes, opcode, ModRM: 15 bytes are the longest instruction there is */
	memcpy(bytes + 13, "\x8b\x00", 2);
	assert_int_equal(decode(bytes, 32, GINSN_MODE_64, &insn), 0);
	assert_int_equal(insn.len, 15);
	/* one more byte, however many are there to read */
	memcpy(bytes + 13, "\x8b\x40\x01", 3);
	assert_int_equal(decode(bytes, 32, GINSN_MODE_64, &insn), -E2BIG);
	memset(bytes, 0x66, sizeof(bytes));
	assert_int_equal(decode(bytes, 32, GINSN_MODE_64, &insn), -E2BIG);
	assert_int_equal(decode(bytes, 14, GINSN_MODE_64, &insn), -ENODATA);
}

/* SDM: "LOCK—Assert LOCK# Signal Prefix": anything else raises #UD. */
static void test_lock_misuse(void **state)
{
	static const struct {
		const char *bytes;
		int len, result;
	} cases[] = {
		{ "\xf0\x8b\x00", 3, -EINVAL },         /* mov eax, [rax] */
		{ "\xf0\x89\x00", 3, -EINVAL },         /* mov [rax], eax */
		{ "\xf0\x39\x00", 3, -EINVAL },         /* cmp [rax], eax */
		{ "\xf0\x83\x38\x01", 4, -EINVAL },     /* cmp dword [rax], 1 */
		{ "\xf0\x03\x00", 3, -EINVAL },         /* add eax, [rax] */
		{ "\xf0\x0f\xa3\x00", 4, -EINVAL },     /* bt [rax], eax */
		{ "\xf0\x0f\xba\x20\x01", 5, -EINVAL }, /* bt dword [rax], 1 */
		{ "\xf0\xf7\x00\1\0\0\0", 7, -EINVAL }, /* test dword [rax], 1 */
		{ "\xf0\xa4", 2, -EINVAL },             /* movsb */
		{ "\xf0\x01\x00", 3, 0 },               /* add [rax], eax */
		{ "\xf0\x83\x00\x01", 4, 0 },           /* add dword [rax], 1 */
		{ "\xf0\x0f\xba\x28\x01", 5, 0 },       /* bts dword [rax], 1 */
		{ "\xf0\x0f\xb1\x08", 4, 0 },           /* cmpxchg [rax], ecx */
		{ "\xf0\x87\x00", 3, 0 },               /* xchg [rax], eax */
		{ "\xf0\xff\x00", 3, 0 },               /* inc dword [rax] */
		{ "\xf0\xf7\x18", 3, 0 },               /* neg dword [rax] */
	};
	struct ginsn insn;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int ret = decode(cases[i].bytes, cases[i].len, GINSN_MODE_64, &insn);

		if (ret != cases[i].result)
			fail_msg("case %zu: %d instead of %d", i, ret, cases[i].result);
	}
}

/*
 * An FS or GS prefix stays in force behind one that 64-bit mode ignores; REX counts only when last.
 */
static void test_prefix_rules_64(void **state)
{
	struct ginsn insn;

	(void)state;
	assert_int_equal(decode("\x64\x3e\x8b\x00", 4, GINSN_MODE_64, &insn), 0);
	assert_int_equal(insn.seg, GINSN_FS);
	assert_int_equal(decode("\x64\x65\x8b\x00", 4, GINSN_MODE_64, &insn), 0);
	assert_int_equal(insn.seg, GINSN_GS);
	assert_int_equal(decode("\x3e\x8b\x45\x00", 4, GINSN_MODE_64, &insn), 0);
	assert_int_equal(insn.seg, GINSN_SS);
	assert_int_equal(decode("\x48\x66\x8b\x00", 4, GINSN_MODE_64, &insn), 0);
	assert_int_equal(insn.op_size, 2);
	assert_int_equal(decode("\x66\x48\x8b\x00", 4, GINSN_MODE_64, &insn), 0);
	assert_int_equal(insn.op_size, 8);
}

static void test_default_segment(void **state)
{
	static const struct {
		const char *bytes;
		int len;
		enum ginsn_mode mode;
		u8 seg;
	} cases[] = {
		{ "\x8b\x46\x00", 3, GINSN_MODE_16, GINSN_SS },         /* [bp] */
		{ "\x8b\x02", 2, GINSN_MODE_16, GINSN_SS },             /* [bp+si] */
		{ "\x8b\x06\x00\x10", 4, GINSN_MODE_16, GINSN_DS },     /* [1000h] */
		{ "\x8b\x07", 2, GINSN_MODE_16, GINSN_DS },             /* [bx] */
		{ "\x26\x8b\x46\x00", 4, GINSN_MODE_16, GINSN_ES },     /* es:[bp] */
		{ "\x8b\x45\x00", 3, GINSN_MODE_32, GINSN_SS },         /* [ebp] */
		{ "\x8b\x05\0\0\0\0", 6, GINSN_MODE_32, GINSN_DS },     /* [0] */
		{ "\x8b\x04\x24", 3, GINSN_MODE_32, GINSN_SS },         /* [esp] */
		{ "\x8b\x04\x28", 3, GINSN_MODE_32, GINSN_DS },         /* [eax+ebp] */
		{ "\x8b\x04\x2d\0\0\0\0", 7, GINSN_MODE_32, GINSN_DS }, /* [ebp*1+0] */
		{ "\x3e\x8b\x04\x24", 4, GINSN_MODE_32, GINSN_DS },     /* ds:[esp] */
		{ "\x2e\xa4", 2, GINSN_MODE_32, GINSN_CS },             /* movsb from cs:[esi] */
	};
	struct ginsn insn;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(decode(cases[i].bytes, cases[i].len, cases[i].mode, &insn), 0);
		if (insn.seg != cases[i].seg)
			fail_msg("case %zu: segment %d instead of %d", i, insn.seg, cases[i].seg);
	}
}

static void test_mode_selection(void **state)
{
	(void)state;
	assert_int_equal(ginsn_mode(false, false, false, 0x93), GINSN_MODE_REAL);
	assert_int_equal(ginsn_mode(true, true, false, 0xf3), GINSN_MODE_VM86);
	assert_int_equal(ginsn_mode(true, false, false, 0x009b), GINSN_MODE_16);
	assert_int_equal(ginsn_mode(true, false, false, 0xc09b), GINSN_MODE_32);
	assert_int_equal(ginsn_mode(true, false, true, 0xc09b), GINSN_MODE_32);
	assert_int_equal(ginsn_mode(true, false, true, 0xa09b), GINSN_MODE_64);
	/* CS.L has no meaning outside IA-32e mode */
	assert_int_equal(ginsn_mode(true, false, false, 0xa09b), GINSN_MODE_16);
}

static int open_oracle(void **state)
{
	static const cs_mode modes[] = { CS_MODE_16, CS_MODE_16, CS_MODE_16, CS_MODE_32,
					 CS_MODE_64 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (cs_open(CS_ARCH_X86, modes[i], &oracle[i]) != CS_ERR_OK)
			return -1;
		cs_option(oracle[i], CS_OPT_DETAIL, CS_OPT_ON);
	}
	shown = cs_malloc(oracle[0]);
	return shown ? 0 : -1;
}

static int close_oracle(void **state)
{
	(void)state;
	cs_free(shown, 1);
	for (size_t i = 0; i < ARRAY_SIZE(oracle); i++)
		cs_close(&oracle[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_modrm_16),  cmocka_unit_test(test_every_modrm_32),
		cmocka_unit_test(test_every_modrm_64),  cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_truncation),      cmocka_unit_test(test_length_limit),
		cmocka_unit_test(test_lock_misuse),     cmocka_unit_test(test_prefix_rules_64),
		cmocka_unit_test(test_default_segment), cmocka_unit_test(test_mode_selection),
	};

	return cmocka_run_group_tests(tests, open_oracle, close_oracle);
}
