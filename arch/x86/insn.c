// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decoder of guest instructions with a memory operand: prefixes, opcodes, ModRM, SIB, immediate.
 *
 * Models the instruction format of all modes for the opcodes in the tables below; every other
 * opcode is refused, so the tables are the list of what can be emulated. Portable C without state;
 * called by the MMIO and string I/O exits, and by the tests in userspace. See include/insn.h.
 */
#include <insn.h>

/* Attributes of an opcode. */
#define OP_BYTE   BIT(0) /* byte operands */
#define OP_LOCK   BIT(1) /* LOCK is allowed */
#define OP_IMM8   BIT(2) /* one byte of immediate, sign-extended */
#define OP_IMMZ   BIT(3) /* immediate of operand size, at most 4 bytes */
#define OP_MOFFS  BIT(4) /* address in the instruction, no ModRM */
#define OP_MEM8   BIT(5) /* memory operand of its own size */
#define OP_MEM16  BIT(6)
#define OP_MEM32  BIT(7)
#define OP_MIN32  BIT(8)  /* 4 bytes even in 16-bit modes */
#define OP_MAX32  BIT(9)  /* 4 bytes even with REX.W */
#define OP_NP     BIT(10) /* neither 66, F2 nor F3 */
#define OP_NOREP  BIT(11) /* neither F2 nor F3: they select another instruction */
#define OP_ONLY64 BIT(12)
#define OP_NO64   BIT(13)
#define OP_STACK  BIT(14) /* 8 bytes in 64-bit mode unless 66 makes it 2 */

struct opcode {
	u8 op;
	u8 form;
	u16 attr;
};

/* Opcodes whose ModRM.reg selects the operation; they stand where an opcode's op would. */
enum group { GROUP_1 = 0x80, GROUP_3, GROUP_4, GROUP_5, GROUP_8, GROUP_11 };

#define ALU_ROWS(base, alu)                                                          \
	[base] = { alu, GINSN_MEM_REG, OP_BYTE | (alu == GINSN_CMP ? 0 : OP_LOCK) }, \
	[base + 1] = { alu, GINSN_MEM_REG, alu == GINSN_CMP ? 0 : OP_LOCK },         \
	[base + 2] = { alu, GINSN_REG_MEM, OP_BYTE }, [base + 3] = { alu, GINSN_REG_MEM, 0 }

#define STRING_ROWS(base, op) \
	[base] = { op, GINSN_STRING, OP_BYTE }, [base + 1] = { op, GINSN_STRING, 0 }

static const struct opcode one_byte_map[256] = {
	ALU_ROWS(0x00, GINSN_ADD),
	ALU_ROWS(0x08, GINSN_OR),
	ALU_ROWS(0x10, GINSN_ADC),
	ALU_ROWS(0x18, GINSN_SBB),
	ALU_ROWS(0x20, GINSN_AND),
	ALU_ROWS(0x28, GINSN_SUB),
	ALU_ROWS(0x30, GINSN_XOR),
	ALU_ROWS(0x38, GINSN_CMP),
	[0x63] = { GINSN_MOVSX, GINSN_REG_MEM, OP_MEM32 | OP_ONLY64 },
	[0x6c] = { GINSN_INS, GINSN_STRING, OP_BYTE },
	[0x6d] = { GINSN_INS, GINSN_STRING, OP_MAX32 },
	[0x6e] = { GINSN_OUTS, GINSN_STRING, OP_BYTE },
	[0x6f] = { GINSN_OUTS, GINSN_STRING, OP_MAX32 },
	[0x80] = { GROUP_1, GINSN_MEM_IMM, OP_BYTE | OP_IMM8 },
	[0x81] = { GROUP_1, GINSN_MEM_IMM, OP_IMMZ },
	[0x82] = { GROUP_1, GINSN_MEM_IMM, OP_BYTE | OP_IMM8 | OP_NO64 },
	[0x83] = { GROUP_1, GINSN_MEM_IMM, OP_IMM8 },
	[0x84] = { GINSN_TEST, GINSN_MEM_REG, OP_BYTE },
	[0x85] = { GINSN_TEST, GINSN_MEM_REG, 0 },
	[0x86] = { GINSN_XCHG, GINSN_MEM_REG, OP_BYTE | OP_LOCK },
	[0x87] = { GINSN_XCHG, GINSN_MEM_REG, OP_LOCK },
	[0x88] = { GINSN_MOV, GINSN_MEM_REG, OP_BYTE },
	[0x89] = { GINSN_MOV, GINSN_MEM_REG, 0 },
	[0x8a] = { GINSN_MOV, GINSN_REG_MEM, OP_BYTE },
	[0x8b] = { GINSN_MOV, GINSN_REG_MEM, 0 },
	[0xa0] = { GINSN_MOV, GINSN_REG_MEM, OP_BYTE | OP_MOFFS },
	[0xa1] = { GINSN_MOV, GINSN_REG_MEM, OP_MOFFS },
	[0xa2] = { GINSN_MOV, GINSN_MEM_REG, OP_BYTE | OP_MOFFS },
	[0xa3] = { GINSN_MOV, GINSN_MEM_REG, OP_MOFFS },
	STRING_ROWS(0xa4, GINSN_MOVS),
	STRING_ROWS(0xa6, GINSN_CMPS),
	STRING_ROWS(0xaa, GINSN_STOS),
	STRING_ROWS(0xac, GINSN_LODS),
	STRING_ROWS(0xae, GINSN_SCAS),
	[0xc6] = { GROUP_11, GINSN_MEM_IMM, OP_BYTE | OP_IMM8 },
	[0xc7] = { GROUP_11, GINSN_MEM_IMM, OP_IMMZ },
	[0xf6] = { GROUP_3, GINSN_MEM, OP_BYTE },
	[0xf7] = { GROUP_3, GINSN_MEM, 0 },
	[0xfe] = { GROUP_4, GINSN_MEM, OP_BYTE },
	[0xff] = { GROUP_5, GINSN_MEM, 0 },
};

static const struct opcode two_byte_map[256] = {
	[0x40 ... 0x4f] = { GINSN_CMOV, GINSN_REG_MEM, 0 },
	[0x90 ... 0x9f] = { GINSN_SETCC, GINSN_MEM, OP_BYTE },
	[0xa3] = { GINSN_BT, GINSN_MEM_REG, 0 },
	[0xab] = { GINSN_BTS, GINSN_MEM_REG, OP_LOCK },
	[0xb0] = { GINSN_CMPXCHG, GINSN_MEM_REG, OP_BYTE | OP_LOCK },
	[0xb1] = { GINSN_CMPXCHG, GINSN_MEM_REG, OP_LOCK },
	[0xb3] = { GINSN_BTR, GINSN_MEM_REG, OP_LOCK },
	[0xb6] = { GINSN_MOVZX, GINSN_REG_MEM, OP_MEM8 },
	[0xb7] = { GINSN_MOVZX, GINSN_REG_MEM, OP_MEM16 },
	[0xba] = { GROUP_8, GINSN_MEM_IMM, OP_IMM8 },
	[0xbb] = { GINSN_BTC, GINSN_MEM_REG, OP_LOCK },
	[0xbe] = { GINSN_MOVSX, GINSN_REG_MEM, OP_MEM8 },
	[0xbf] = { GINSN_MOVSX, GINSN_REG_MEM, OP_MEM16 },
	[0xc0] = { GINSN_XADD, GINSN_MEM_REG, OP_BYTE | OP_LOCK },
	[0xc1] = { GINSN_XADD, GINSN_MEM_REG, OP_LOCK },
	[0xc3] = { GINSN_MOV, GINSN_MEM_REG, OP_NP | OP_MIN32 }, /* MOVNTI */
};

static const struct opcode movbe_load = { GINSN_MOVBE, GINSN_REG_MEM, OP_NOREP };
static const struct opcode movbe_store = { GINSN_MOVBE, GINSN_MEM_REG, OP_NOREP };

/* The instruction's bytes while they are consumed; its length so far is insn->len. */
struct cursor {
	struct ginsn *insn;
	const u8 *bytes;
	unsigned int avail;
	bool opsize_prefix;
	bool addrsize_prefix;
	int seg_prefix; /* enum ginsn_seg or -1 */
	u8 rex;
};

#define REX_B 1
#define REX_X 2
#define REX_R 4
#define REX_W 8

enum ginsn_mode ginsn_mode(bool cr0_pe, bool rflags_vm, bool lma, u32 cs_ar)
{
	if (!cr0_pe)
		return GINSN_MODE_REAL;
	if (rflags_vm)
		return GINSN_MODE_VM86;
	if (lma && (cs_ar & BIT(13)))
		return GINSN_MODE_64;
	return cs_ar & GINSN_AR_DB ? GINSN_MODE_32 : GINSN_MODE_16;
}

static int fetch_byte(struct cursor *c, u8 *byte)
{
	struct ginsn *insn = c->insn;

	if (insn->len == GINSN_MAX_LEN)
		return -E2BIG;
	if (insn->len == c->avail)
		return -ENODATA;
	*byte = c->bytes[insn->len];
	insn->bytes[insn->len++] = *byte;
	return 0;
}

/* A little-endian number of 0, 1, 2, 4 or 8 bytes, sign-extended. */
static int fetch_signed(struct cursor *c, unsigned int size, u64 *value)
{
	u64 v = 0;
	u8 byte = 0;
	unsigned int i;
	int err;

	for (i = 0; i < size; i++) {
		err = fetch_byte(c, &byte);
		if (err)
			return err;
		v |= (u64)byte << (8 * i);
	}
	if (size < 8 && (byte & 0x80))
		v |= ~0ULL << (8 * size);
	*value = v;
	return 0;
}

/* Take one prefix into account. Return: whether @byte was one. */
static bool take_prefix(struct cursor *c, u8 byte)
{
	struct ginsn *insn = c->insn;
	bool is64 = insn->mode == GINSN_MODE_64;

	if (is64 && (byte & 0xf0) == 0x40) {
		c->rex = byte;
		return true;
	}

	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		/* ES, CS, SS, DS: in 64-bit mode they neither act nor cancel an FS or GS prefix. */
		if (!is64)
			c->seg_prefix = (byte >> 3) & 3;
		break;
	case 0x64:
	case 0x65:
		c->seg_prefix = byte == 0x64 ? GINSN_FS : GINSN_GS;
		break;
	case 0x66:
		c->opsize_prefix = true;
		break;
	case 0x67:
		c->addrsize_prefix = true;
		break;
	case 0xf0:
		insn->lock = true;
		break;
	case 0xf2:
		insn->rep = GINSN_REPNE;
		break;
	case 0xf3:
		insn->rep = GINSN_REP;
		break;
	default:
		return false;
	}
	c->rex = 0; /* REX counts only right before the opcode */
	return true;
}

/* Prefixes and the opcode bytes. Leaves the row of the opcode map in @op. */
static int decode_opcode(struct cursor *c, const struct opcode **op)
{
	u8 byte;
	int err;

	do {
		err = fetch_byte(c, &byte);
		if (err)
			return err;
	} while (take_prefix(c, byte));

	*op = &one_byte_map[byte];
	if (byte == 0x0f) {
		err = fetch_byte(c, &byte);
		if (err)
			return err;
		*op = &two_byte_map[byte];
		c->insn->cc = byte & 0xf;
		if (byte == 0x38) {
			err = fetch_byte(c, &byte);
			if (err)
				return err;
			if (byte == 0xf0)
				*op = &movbe_load;
			else if (byte == 0xf1)
				*op = &movbe_store;
		}
	}
	return (*op)->op == GINSN_NONE ? -EOPNOTSUPP : 0;
}

static void decode_sizes(struct cursor *c, u16 attr)
{
	struct ginsn *insn = c->insn;

	switch (insn->mode) {
	case GINSN_MODE_64:
		insn->op_size = c->rex & REX_W ? 8 : c->opsize_prefix ? 2 : 4;
		insn->addr_size = c->addrsize_prefix ? 4 : 8;
		break;
	case GINSN_MODE_32:
		insn->op_size = c->opsize_prefix ? 2 : 4;
		insn->addr_size = c->addrsize_prefix ? 2 : 4;
		break;
	default:
		insn->op_size = c->opsize_prefix ? 4 : 2;
		insn->addr_size = c->addrsize_prefix ? 4 : 2;
		break;
	}
	if (attr & OP_BYTE)
		insn->op_size = 1;
	if ((attr & OP_MAX32) && insn->op_size == 8)
		insn->op_size = 4;
	if ((attr & OP_MIN32) && insn->op_size == 2)
		insn->op_size = 4;

	insn->mem_size = insn->op_size;
	if (attr & OP_MEM8)
		insn->mem_size = 1;
	else if (attr & OP_MEM16)
		insn->mem_size = 2;
	else if (attr & OP_MEM32)
		insn->mem_size = min_t(u8, 4, insn->op_size);
}

/* SDM: "16-Bit Addressing Forms with the ModR/M Byte". */
static int decode_mem16(struct cursor *c, u8 mod, u8 rm)
{
	static const u8 bases[8] = { GINSN_RBX, GINSN_RBX, GINSN_RBP, GINSN_RBP,
				     GINSN_RSI, GINSN_RDI, GINSN_RBP, GINSN_RBX };
	static const u8 indices[8] = { GINSN_RSI,    GINSN_RDI,    GINSN_RSI,    GINSN_RDI,
				       GINSN_NO_REG, GINSN_NO_REG, GINSN_NO_REG, GINSN_NO_REG };
	struct ginsn *insn = c->insn;

	insn->base = bases[rm];
	insn->index = indices[rm];
	if (mod == 0 && rm == 6) {
		insn->base = GINSN_NO_REG;
		mod = 2;
	}
	return fetch_signed(c, mod, &insn->disp);
}

/* SDM: "32-Bit Addressing Forms with the ModR/M Byte" and "... with the SIB Byte". */
static int decode_mem32(struct cursor *c, u8 mod, u8 rm)
{
	struct ginsn *insn = c->insn;
	u8 base = rm, sib;
	int err;

	if (rm == 4) {
		err = fetch_byte(c, &sib);
		if (err)
			return err;
		base = sib & 7;
		insn->scale = 1 << (sib >> 6);
		insn->index = ((sib >> 3) & 7) | (c->rex & REX_X ? 8 : 0);
		if (insn->index == GINSN_RSP)
			insn->index = GINSN_NO_REG;
	}
	insn->base = base | (c->rex & REX_B ? 8 : 0);
	if (mod == 0 && base == 5) {
		insn->base = insn->mode == GINSN_MODE_64 && rm == 5 ? GINSN_RIP : GINSN_NO_REG;
		mod = 2;
	}
	return fetch_signed(c, mod == 2 ? 4 : mod, &insn->disp);
}

static int decode_modrm(struct cursor *c)
{
	struct ginsn *insn = c->insn;
	u8 modrm, mod, rm;
	int err;

	err = fetch_byte(c, &modrm);
	if (err)
		return err;
	mod = modrm >> 6;
	rm = modrm & 7;
	insn->reg = (modrm >> 3) & 7;
	if (mod == 3)
		return -EOPNOTSUPP;

	err = insn->addr_size == 2 ? decode_mem16(c, mod, rm) : decode_mem32(c, mod, rm);
	if (err)
		return err;
	if (insn->base == GINSN_RSP || insn->base == GINSN_RBP)
		insn->seg = GINSN_SS;
	return 0;
}

/* Replace a group by the operation that ModRM.reg selects, or GINSN_NONE. Returns attributes. */
static u16 resolve_group(struct ginsn *insn, u16 attr)
{
	u8 ext = insn->reg;
	u8 group = insn->op;

	insn->op = GINSN_NONE;
	switch (group) {
	case GROUP_1:
		insn->op = GINSN_ADD + ext;
		return insn->op == GINSN_CMP ? attr : attr | OP_LOCK;
	case GROUP_3:
		if (ext < 2) { /* /1 is an alias of /0 */
			insn->op = GINSN_TEST;
			insn->form = GINSN_MEM_IMM;
			return attr | (attr & OP_BYTE ? OP_IMM8 : OP_IMMZ);
		}
		if (ext == 2 || ext == 3)
			insn->op = ext == 2 ? GINSN_NOT : GINSN_NEG;
		return attr | OP_LOCK;
	case GROUP_5:
		if (ext == 6) {
			insn->op = GINSN_PUSH;
			return attr | OP_STACK;
		}
		fallthrough;
	case GROUP_4:
		if (ext < 2)
			insn->op = ext == 0 ? GINSN_INC : GINSN_DEC;
		return attr | OP_LOCK;
	case GROUP_8:
		if (ext >= 4)
			insn->op = GINSN_BT + (ext - 4);
		return ext == 4 ? attr : attr | OP_LOCK;
	case GROUP_11:
		if (ext == 0)
			insn->op = GINSN_MOV;
		return attr;
	}
	return attr;
}

/* Operands after the opcode: ModRM and what follows it, or an absolute address; then the group. */
static int decode_operands(struct cursor *c, u16 *attr)
{
	struct ginsn *insn = c->insn;
	int err;

	if (insn->form == GINSN_STRING)
		return 0;
	if (*attr & OP_MOFFS) {
		insn->reg = GINSN_RAX;
		return fetch_signed(c, insn->addr_size, &insn->disp);
	}

	err = decode_modrm(c);
	if (err)
		return err;
	if (insn->op >= GROUP_1) {
		*attr = resolve_group(insn, *attr);
		if (insn->op == GINSN_NONE)
			return -EOPNOTSUPP;
		if ((*attr & OP_STACK) && insn->mode == GINSN_MODE_64 && insn->op_size == 4)
			insn->op_size = insn->mem_size = 8;
	}
	if (c->rex & REX_R)
		insn->reg |= 8;
	return 0;
}

int ginsn_decode(struct ginsn *insn, const u8 *bytes, unsigned int len, enum ginsn_mode mode)
{
	struct cursor c = { .insn = insn, .bytes = bytes, .avail = len, .seg_prefix = -1 };
	const struct opcode *op;
	u16 attr;
	int err;

	memset(insn, 0, sizeof(*insn));
	insn->mode = mode;
	insn->seg = GINSN_DS;
	insn->base = GINSN_NO_REG;
	insn->index = GINSN_NO_REG;
	insn->scale = 1;

	err = decode_opcode(&c, &op);
	if (err)
		return err;
	attr = op->attr;
	if (((attr & OP_NP) && (c.opsize_prefix || insn->rep)) ||
	    ((attr & OP_NOREP) && insn->rep) ||
	    (attr & (mode == GINSN_MODE_64 ? OP_NO64 : OP_ONLY64)))
		return -EOPNOTSUPP;
	insn->op = op->op;
	insn->form = op->form;
	insn->rex = c.rex;
	decode_sizes(&c, attr);

	err = decode_operands(&c, &attr);
	if (err)
		return err;
	if (c.seg_prefix >= 0)
		insn->seg = c.seg_prefix;
	if (attr & OP_IMM8)
		err = fetch_signed(&c, 1, &insn->imm);
	else if (attr & OP_IMMZ)
		err = fetch_signed(&c, min_t(u8, 4, insn->op_size), &insn->imm);
	if (err)
		return err;
	return insn->lock && !(attr & OP_LOCK) ? -EINVAL : 0;
}
