// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executor of decoded guest instructions: addresses, arithmetic, flags, register updates.
 *
 * Models one instruction, or one iteration of a repeated one, as plan -> reads -> execute ->
 * writes, so that any access may be served by userspace in between. It leaves out alignment checks,
 * and flags that the SDM calls undefined keep a fixed value. Portable C without state or side
 * effects. See include/insn.h.
 */
#include <insn.h>
#include <gwalk.h>

#define VECTOR_SS   12
#define VECTOR_GP   13

#define FLAG_CF     BIT(0)
#define FLAG_PF     BIT(2)
#define FLAG_AF     BIT(4)
#define FLAG_ZF     BIT(6)
#define FLAG_SF     BIT(7)
#define FLAG_DF     BIT(10)
#define FLAG_OF     BIT(11)
#define FLAG_RF     BIT(16)
#define FLAGS_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static u64 size_mask(unsigned int size)
{
	return size >= 8 ? ~0ULL : BIT_ULL(8 * size) - 1;
}

static u64 sign_bit(unsigned int size)
{
	return BIT_ULL(8 * size - 1);
}

static u64 sign_extend(u64 value, unsigned int size)
{
	u64 sign = sign_bit(size);

	return ((value & size_mask(size)) ^ sign) - sign;
}

/* A register after a write of @size bytes: 32-bit results zero-extend, smaller ones are merged. */
static u64 merge(u64 old, u64 value, unsigned int size)
{
	if (size >= 4)
		return value & size_mask(size);
	return (old & ~size_mask(size)) | (value & size_mask(size));
}

/* AH, CH, DH, BH: byte registers 4 to 7 without REX. */
static bool is_high_byte(const struct ginsn *insn, u8 reg)
{
	return insn->op_size == 1 && !insn->rex && reg >= 4;
}

static u64 get_reg(const struct ginsn *insn, const u64 *gpr, u8 reg)
{
	if (is_high_byte(insn, reg))
		return (gpr[reg - 4] >> 8) & 0xff;
	return gpr[reg] & size_mask(insn->op_size);
}

static void set_reg(const struct ginsn *insn, u64 *gpr, u8 reg, u64 value)
{
	if (is_high_byte(insn, reg))
		gpr[reg - 4] = (gpr[reg - 4] & ~0xff00ULL) | (value & 0xff) << 8;
	else
		gpr[reg] = merge(gpr[reg], value, insn->op_size);
}

static u64 read_reg(const struct ginsn_exec *x, u8 reg)
{
	return get_reg(&x->insn, x->st.gpr, reg);
}

static void write_reg(struct ginsn_exec *x, u8 reg, u64 value)
{
	set_reg(&x->insn, x->st.gpr, reg, value);
}

/* Addresses */

u64 ginsn_next_rip(const struct ginsn *insn, u64 rip)
{
	return (rip + insn->len) & size_mask(insn->mode == GINSN_MODE_64 ? 8 : 4);
}

u64 ginsn_effective_address(const struct ginsn *insn, const u64 *gpr, u64 rip)
{
	u64 ea = insn->disp;

	if (insn->base == GINSN_RIP)
		ea += ginsn_next_rip(insn, rip);
	else if (insn->base != GINSN_NO_REG)
		ea += gpr[insn->base];
	if (insn->index != GINSN_NO_REG)
		ea += gpr[insn->index] * insn->scale;
	return ea & size_mask(insn->addr_size);
}

/* SDM: "Limit Checking" and "Type Checking". */
static bool segment_allows(const struct ginsn_segment *s, enum ginsn_mode mode, u64 offset,
			   unsigned int size, bool write)
{
	bool code = s->ar & GINSN_AR_CODE;
	u64 last = offset + size - 1;

	if (s->ar & GINSN_AR_UNUSABLE)
		return false;
	/* Real mode does not look at the type; vm86 segments are always writable data. */
	if (mode != GINSN_MODE_REAL) {
		if (write && (code || !(s->ar & GINSN_AR_WRITABLE)))
			return false;
		if (!write && code && !(s->ar & GINSN_AR_WRITABLE))
			return false;
	}
	if (!code && (s->ar & GINSN_AR_EXPAND_DN))
		return offset > s->limit && last <= (s->ar & GINSN_AR_DB ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

int ginsn_linear_address(const struct ginsn_state *st, enum ginsn_mode mode, u8 seg, u64 offset,
			 unsigned int size, bool write, u64 *la)
{
	const struct ginsn_segment *s = &st->seg[seg];

	if (mode == GINSN_MODE_64) {
		*la = offset + (seg >= GINSN_FS ? s->base : 0);
		if (!la_is_canonical(*la, st->la_bits) ||
		    !la_is_canonical(*la + size - 1, st->la_bits))
			return -EFAULT;
		return 0;
	}
	*la = (s->base + offset) & 0xffffffff;
	return segment_allows(s, mode, offset, size, write) ? 0 : -EFAULT;
}

/* Strings */

static u64 string_reg(const struct ginsn *insn, const struct ginsn_state *st, u8 reg)
{
	return st->gpr[reg] & size_mask(insn->addr_size);
}

static bool uses_rsi(u8 op)
{
	return op == GINSN_MOVS || op == GINSN_CMPS || op == GINSN_LODS || op == GINSN_OUTS;
}

static bool uses_rdi(u8 op)
{
	return op == GINSN_MOVS || op == GINSN_CMPS || op == GINSN_STOS || op == GINSN_SCAS ||
	       op == GINSN_INS;
}

u64 ginsn_string_count(const struct ginsn *insn, const struct ginsn_state *st, u64 addr)
{
	bool down = st->rflags & FLAG_DF;
	u64 mask = size_mask(insn->addr_size);
	unsigned int size = insn->op_size;
	u64 count, room;

	if (!insn->rep)
		return 1;
	count = string_reg(insn, st, GINSN_RCX);
	room = down ? (addr & 0xfff) / size + 1 : (0x1000 - (addr & 0xfff)) / size;
	if (uses_rsi(insn->op)) {
		u64 rsi = string_reg(insn, st, GINSN_RSI);

		room = min_t(u64, room, (down ? rsi : mask - rsi) / size);
	}
	if (uses_rdi(insn->op)) {
		u64 rdi = string_reg(insn, st, GINSN_RDI);

		room = min_t(u64, room, (down ? rdi : mask - rdi) / size);
	}
	/* An element across the page's end, or the one before a wrap, goes alone. */
	return min_t(u64, count, max_t(u64, room, 1));
}

static void advance_reg(const struct ginsn *insn, struct ginsn_state *st, u8 reg, u64 delta)
{
	st->gpr[reg] = merge(st->gpr[reg], st->gpr[reg] + delta, insn->addr_size);
}

static void retire(const struct ginsn *insn, struct ginsn_state *st)
{
	st->rip = ginsn_next_rip(insn, st->rip);
	st->rflags &= ~FLAG_RF;
}

void ginsn_string_advance(const struct ginsn *insn, struct ginsn_state *st, u64 n)
{
	u64 delta = n * insn->op_size;

	if (st->rflags & FLAG_DF)
		delta = -delta;
	if (uses_rsi(insn->op))
		advance_reg(insn, st, GINSN_RSI, delta);
	if (uses_rdi(insn->op))
		advance_reg(insn, st, GINSN_RDI, delta);
	if (insn->rep)
		advance_reg(insn, st, GINSN_RCX, -n);
	if (!insn->rep || string_reg(insn, st, GINSN_RCX) == 0)
		retire(insn, st);
}

/* Planning */

static int plan_memory(struct ginsn_exec *x, u8 seg, u64 offset, u8 size, u8 flags)
{
	struct ginsn_access *acc = &x->acc[x->nr_acc];
	int err;

	acc->size = size;
	acc->flags = flags;
	err = ginsn_linear_address(&x->st, x->insn.mode, seg, offset, size, flags & GINSN_ACC_WRITE,
				   &acc->addr);
	if (err) {
		x->vector = seg == GINSN_SS ? VECTOR_SS : VECTOR_GP;
		return err;
	}
	x->nr_acc++;
	return 0;
}

static void plan_port(struct ginsn_exec *x, u8 flags)
{
	struct ginsn_access *acc = &x->acc[x->nr_acc++];

	acc->addr = x->st.gpr[GINSN_RDX] & 0xffff;
	acc->size = x->insn.op_size;
	acc->flags = flags | GINSN_ACC_PORT;
}

static int plan_string(struct ginsn_exec *x)
{
	const struct ginsn *insn = &x->insn;
	u64 rsi = string_reg(insn, &x->st, GINSN_RSI);
	u64 rdi = string_reg(insn, &x->st, GINSN_RDI);
	u8 size = insn->op_size;
	int err = 0;

	if (insn->rep && string_reg(insn, &x->st, GINSN_RCX) == 0)
		return 0;
	if (insn->op == GINSN_INS)
		plan_port(x, GINSN_ACC_READ);
	if (uses_rsi(insn->op))
		err = plan_memory(x, insn->seg, rsi, size, GINSN_ACC_READ);
	if (!err && uses_rdi(insn->op)) {
		bool reads = insn->op == GINSN_CMPS || insn->op == GINSN_SCAS;

		err = plan_memory(x, GINSN_ES, rdi, size, reads ? GINSN_ACC_READ : GINSN_ACC_WRITE);
	}
	if (!err && insn->op == GINSN_OUTS)
		plan_port(x, GINSN_ACC_WRITE);
	return err;
}

/* SDM: "PUSH": how much of RSP is in use. */
static unsigned int stack_size(const struct ginsn_exec *x)
{
	if (x->insn.mode == GINSN_MODE_64)
		return 8;
	return x->st.seg[GINSN_SS].ar & GINSN_AR_DB ? 4 : 2;
}

static u64 pushed_rsp(const struct ginsn_exec *x)
{
	return merge(x->st.gpr[GINSN_RSP], x->st.gpr[GINSN_RSP] - x->insn.op_size, stack_size(x));
}

static u8 memory_direction(const struct ginsn *insn)
{
	if (insn->form == GINSN_REG_MEM)
		return GINSN_ACC_READ;
	switch (insn->op) {
	case GINSN_CMP:
	case GINSN_TEST:
	case GINSN_BT:
	case GINSN_PUSH:
		return GINSN_ACC_READ;
	case GINSN_MOV:
	case GINSN_MOVBE:
	case GINSN_SETCC:
		return GINSN_ACC_WRITE;
	default:
		return GINSN_ACC_READ | GINSN_ACC_WRITE;
	}
}

static bool is_bit_op(u8 op)
{
	return op >= GINSN_BT && op <= GINSN_BTC;
}

/* SDM: "BT—Bit Test": a bit offset in a register is signed and reaches beyond the operand. */
static u64 bit_displacement(const struct ginsn_exec *x)
{
	s64 bit = (s64)sign_extend(read_reg(x, x->insn.reg), x->insn.op_size);
	unsigned int width = 8 * x->insn.op_size;

	return (u64)((bit - (bit & (width - 1))) / 8);
}

int ginsn_plan(struct ginsn_exec *x, const struct ginsn *insn, const struct ginsn_state *st)
{
	u64 ea;
	int err;

	memset(x, 0, sizeof(*x));
	x->insn = *insn;
	x->st = *st;
	if (insn->form == GINSN_STRING)
		return plan_string(x);

	ea = ginsn_effective_address(insn, st->gpr, st->rip);
	if (is_bit_op(insn->op) && insn->form == GINSN_MEM_REG)
		ea = (ea + bit_displacement(x)) & size_mask(insn->addr_size);
	err = plan_memory(x, insn->seg, ea, insn->mem_size, memory_direction(insn));
	if (!err && insn->op == GINSN_PUSH)
		err = plan_memory(x, GINSN_SS, pushed_rsp(x) & size_mask(stack_size(x)),
				  insn->op_size, GINSN_ACC_WRITE);
	return err;
}

/* Arithmetic: operands and results are @size bytes wide, higher bits are zero */

static void set_flags(struct ginsn_exec *x, u64 mask, u64 flags)
{
	x->st.rflags = (x->st.rflags & ~mask) | (flags & mask);
}

/* PF, ZF and SF of a result. */
static u64 result_flags(u64 r, unsigned int size)
{
	u64 flags = 0;
	u8 parity = (u8)r;

	parity ^= parity >> 4;
	parity ^= parity >> 2;
	parity ^= parity >> 1;
	if (!(parity & 1))
		flags |= FLAG_PF;
	if (r == 0)
		flags |= FLAG_ZF;
	if (r & sign_bit(size))
		flags |= FLAG_SF;
	return flags;
}

static u64 alu_add(u64 a, u64 b, bool carry, unsigned int size, u64 *flags)
{
	u64 r = (a + b + carry) & size_mask(size);

	*flags = result_flags(r, size) | ((a ^ b ^ r) & FLAG_AF);
	if (r < a || (carry && r == a))
		*flags |= FLAG_CF;
	if ((a ^ r) & (b ^ r) & sign_bit(size))
		*flags |= FLAG_OF;
	return r;
}

static u64 alu_sub(u64 a, u64 b, bool borrow, unsigned int size, u64 *flags)
{
	u64 r = (a - b - borrow) & size_mask(size);

	*flags = result_flags(r, size) | ((a ^ b ^ r) & FLAG_AF);
	if (a < b || (borrow && a == b))
		*flags |= FLAG_CF;
	if ((a ^ b) & (a ^ r) & sign_bit(size))
		*flags |= FLAG_OF;
	return r;
}

/* The eight operations of opcodes 00-3F, and TEST: dst op src, with flags. */
static u64 alu(struct ginsn_exec *x, u8 op, u64 dst, u64 src)
{
	bool carry = x->st.rflags & FLAG_CF;
	unsigned int size = x->insn.op_size;
	u64 r, flags;

	switch (op) {
	case GINSN_ADD:
	case GINSN_ADC:
		r = alu_add(dst, src, op == GINSN_ADC && carry, size, &flags);
		break;
	case GINSN_SUB:
	case GINSN_CMP:
	case GINSN_SBB:
		r = alu_sub(dst, src, op == GINSN_SBB && carry, size, &flags);
		break;
	default:
		r = op == GINSN_OR ? dst | src : op == GINSN_XOR ? dst ^ src : dst & src;
		flags = result_flags(r, size);
		break;
	}
	set_flags(x, FLAGS_ARITH, flags);
	return r;
}

/* SDM: "EFLAGS Condition Codes". */
static bool condition(u64 rflags, u8 cc)
{
	bool sf_ne_of = !!(rflags & FLAG_SF) != !!(rflags & FLAG_OF);
	bool met;

	switch (cc >> 1) {
	case 0:
		met = rflags & FLAG_OF;
		break;
	case 1:
		met = rflags & FLAG_CF;
		break;
	case 2:
		met = rflags & FLAG_ZF;
		break;
	case 3:
		met = rflags & (FLAG_CF | FLAG_ZF);
		break;
	case 4:
		met = rflags & FLAG_SF;
		break;
	case 5:
		met = rflags & FLAG_PF;
		break;
	case 6:
		met = sf_ne_of;
		break;
	default:
		met = sf_ne_of || (rflags & FLAG_ZF);
		break;
	}
	return met != (cc & 1);
}

static u64 byte_swap(u64 value, unsigned int size)
{
	u64 r = 0;

	while (size--) {
		r = r << 8 | (value & 0xff);
		value >>= 8;
	}
	return r;
}

/* One memory operand to be changed in place: NOT, NEG, INC, DEC. */
static u64 unary(struct ginsn_exec *x, u64 value)
{
	unsigned int size = x->insn.op_size;
	u64 r, flags;

	switch (x->insn.op) {
	case GINSN_NOT:
		return ~value & size_mask(size);
	case GINSN_NEG:
		r = alu_sub(0, value, false, size, &flags);
		set_flags(x, FLAGS_ARITH, flags);
		return r;
	case GINSN_INC:
		r = alu_add(value, 1, false, size, &flags);
		break;
	default:
		r = alu_sub(value, 1, false, size, &flags);
		break;
	}
	set_flags(x, FLAGS_ARITH & ~FLAG_CF, flags);
	return r;
}

static u64 bit_op(struct ginsn_exec *x, u64 value, u64 src)
{
	u64 bit = BIT_ULL(src & (8 * x->insn.op_size - 1));

	set_flags(x, FLAG_CF, value & bit ? FLAG_CF : 0);
	switch (x->insn.op) {
	case GINSN_BTS:
		return value | bit;
	case GINSN_BTR:
		return value & ~bit;
	case GINSN_BTC:
		return value ^ bit;
	default:
		return value;
	}
}

static u64 compare_exchange(struct ginsn_exec *x, u64 value, u64 src)
{
	alu(x, GINSN_CMP, read_reg(x, GINSN_RAX), value);
	if (x->st.rflags & FLAG_ZF)
		return src;
	write_reg(x, GINSN_RAX, value);
	return value;
}

/* Memory is the destination (or the only operand): @src is the register or immediate. */
static void execute_to_memory(struct ginsn_exec *x, u64 src)
{
	struct ginsn_access *acc = &x->acc[0];
	u64 value = acc->value & size_mask(acc->size);

	switch (x->insn.op) {
	case GINSN_MOV:
		value = src;
		break;
	case GINSN_MOVBE:
		value = byte_swap(src, x->insn.op_size);
		break;
	case GINSN_SETCC:
		value = condition(x->st.rflags, x->insn.cc);
		break;
	case GINSN_PUSH:
		x->acc[1].value = value;
		x->st.gpr[GINSN_RSP] = pushed_rsp(x);
		break;
	case GINSN_XCHG:
		write_reg(x, x->insn.reg, value);
		value = src;
		break;
	case GINSN_XADD:
		write_reg(x, x->insn.reg, value);
		value = alu(x, GINSN_ADD, value, src);
		break;
	case GINSN_CMPXCHG:
		value = compare_exchange(x, value, src);
		break;
	case GINSN_NOT:
	case GINSN_NEG:
	case GINSN_INC:
	case GINSN_DEC:
		value = unary(x, value);
		break;
	case GINSN_BT:
	case GINSN_BTS:
	case GINSN_BTR:
	case GINSN_BTC:
		value = bit_op(x, value, src);
		break;
	default:
		value = alu(x, x->insn.op, value, src);
		break;
	}
	if (acc->flags & GINSN_ACC_WRITE)
		acc->value = value;
}

/* Moves */

bool ginsn_is_move(const struct ginsn *insn)
{
	return insn->op == GINSN_MOV || insn->op == GINSN_MOVZX || insn->op == GINSN_MOVSX;
}

u64 ginsn_stored(const struct ginsn *insn, const u64 *gpr)
{
	if (insn->form == GINSN_MEM_REG)
		return get_reg(insn, gpr, insn->reg);
	return insn->imm & size_mask(insn->op_size);
}

void ginsn_load(const struct ginsn *insn, u64 *gpr, u64 value)
{
	value &= size_mask(insn->mem_size);
	if (insn->op == GINSN_MOVSX)
		value = sign_extend(value, insn->mem_size);
	set_reg(insn, gpr, insn->reg, value);
}

/* The rest */

static void execute_to_register(struct ginsn_exec *x)
{
	u64 src = x->acc[0].value & size_mask(x->insn.mem_size);
	u64 dst = read_reg(x, x->insn.reg);

	if (ginsn_is_move(&x->insn)) {
		ginsn_load(&x->insn, x->st.gpr, src);
		return;
	}
	switch (x->insn.op) {
	case GINSN_MOVBE:
		dst = byte_swap(src, x->insn.op_size);
		break;
	case GINSN_CMOV:
		if (condition(x->st.rflags, x->insn.cc))
			dst = src;
		break;
	case GINSN_CMP:
		alu(x, GINSN_CMP, dst, src);
		return;
	default:
		dst = alu(x, x->insn.op, dst, src);
		break;
	}
	/* A condition that is not met still zero-extends: CMOV writes its register in any case. */
	write_reg(x, x->insn.reg, dst);
}

static void execute_string(struct ginsn_exec *x)
{
	const struct ginsn *insn = &x->insn;
	u64 value = x->acc[0].value & size_mask(insn->op_size);

	if (x->nr_acc == 0) { /* REP with a count of zero */
		retire(insn, &x->st);
		return;
	}
	switch (insn->op) {
	case GINSN_MOVS:
	case GINSN_INS:
	case GINSN_OUTS:
		x->acc[1].value = value;
		break;
	case GINSN_STOS:
		x->acc[0].value = read_reg(x, GINSN_RAX);
		break;
	case GINSN_LODS:
		write_reg(x, GINSN_RAX, value);
		break;
	case GINSN_CMPS:
		alu(x, GINSN_CMP, value, x->acc[1].value & size_mask(insn->op_size));
		break;
	case GINSN_SCAS:
		alu(x, GINSN_CMP, read_reg(x, GINSN_RAX), value);
		break;
	}

	ginsn_string_advance(insn, &x->st, 1);
	if (insn->rep && (insn->op == GINSN_CMPS || insn->op == GINSN_SCAS)) {
		bool left = string_reg(insn, &x->st, GINSN_RCX) != 0;
		bool go_on = !!(x->st.rflags & FLAG_ZF) == (insn->rep == GINSN_REP);

		if (left && !go_on)
			retire(insn, &x->st);
	}
}

void ginsn_execute(struct ginsn_exec *x)
{
	const struct ginsn *insn = &x->insn;

	if (insn->form == GINSN_STRING) {
		execute_string(x);
		return;
	}
	if (insn->form == GINSN_REG_MEM)
		execute_to_register(x);
	else
		execute_to_memory(x, ginsn_stored(insn, x->st.gpr));
	retire(insn, &x->st);
}
