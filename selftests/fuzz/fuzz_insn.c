// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz target: arbitrary bytes and registers through the decoder and the executor of guest
 * instructions. Beyond what the sanitizers see, it holds them to the promises of include/insn.h:
 * which registers and flags may change, which accesses may be asked for, when RIP moves.
 *
 * Input: struct input, cut short or zero-filled. Links with: arch/x86/insn.c arch/x86/insn_exec.c
 */
#include <stdio.h>
#include <stdlib.h>

#include <gwalk.h>
#include <insn.h>

#define RFLAGS_ARITH 0x8d5ULL
#define RFLAGS_DF    0x400ULL
#define RFLAGS_RF    0x10000ULL

struct input {
	u8 mode;
	u8 len; /* how many instruction bytes there are */
	u8 bytes[20];
	u8 la57;
	struct ginsn_state st;
	u64 values[2][4]; /* what reads return: per access, for the first iterations */
};

#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

static bool is_power_of_two_size(u8 size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

static void check_decoded(const struct ginsn *insn, const u8 *bytes, unsigned int len)
{
	struct ginsn again;

	CHECK(insn->len >= 1 && insn->len <= GINSN_MAX_LEN && insn->len <= len);
	CHECK(!memcmp(insn->bytes, bytes, insn->len));
	CHECK(is_power_of_two_size(insn->op_size) && is_power_of_two_size(insn->mem_size));
	CHECK(insn->addr_size == 2 || insn->addr_size == 4 || insn->addr_size == 8);
	CHECK(insn->mode == GINSN_MODE_64 || (insn->addr_size != 8 && insn->op_size != 8));
	CHECK(insn->reg < GINSN_NR_GPR && insn->seg < GINSN_NR_SEG);
	CHECK(insn->op > GINSN_NONE && insn->op <= GINSN_OUTS && insn->form <= GINSN_STRING);
	/* no more and no fewer bytes than its length decide it */
	CHECK(ginsn_decode(&again, bytes, insn->len, insn->mode) == 0);
	CHECK(!memcmp(&again, insn, sizeof(again)));
	for (unsigned int cut = 0; cut < insn->len; cut++)
		CHECK(ginsn_decode(&again, bytes, cut, insn->mode) == -ENODATA);
}

static void check_plan(const struct ginsn_exec *x)
{
	CHECK(x->nr_acc <= 2);
	CHECK(x->nr_acc || (x->insn.form == GINSN_STRING && x->insn.rep));
	for (unsigned int i = 0; i < x->nr_acc; i++) {
		const struct ginsn_access *acc = &x->acc[i];

		CHECK(is_power_of_two_size(acc->size));
		CHECK(acc->flags & (GINSN_ACC_READ | GINSN_ACC_WRITE));
		if (acc->flags & GINSN_ACC_PORT)
			CHECK(acc->addr <= 0xffff && acc->size <= 4);
		else if (x->insn.mode == GINSN_MODE_64)
			CHECK(la_is_canonical(acc->addr, x->st.la_bits));
		else
			CHECK(acc->addr <= 0xffffffff);
	}
}

static bool may_change(const struct ginsn *insn, unsigned int gpr)
{
	bool high = insn->op_size == 1 && !insn->rex && insn->reg >= 4;

	if (insn->form == GINSN_STRING)
		return gpr == GINSN_RSI || gpr == GINSN_RDI || (gpr == GINSN_RCX && insn->rep) ||
		       (gpr == GINSN_RAX && insn->op == GINSN_LODS);
	if (insn->op == GINSN_PUSH)
		return gpr == GINSN_RSP;
	if (insn->op == GINSN_CMPXCHG)
		return gpr == GINSN_RAX;
	if (insn->form == GINSN_REG_MEM || insn->op == GINSN_XCHG || insn->op == GINSN_XADD)
		return gpr == (high ? insn->reg - 4u : insn->reg);
	return false;
}

static void check_executed(const struct ginsn_exec *x, const struct ginsn_state *old)
{
	const struct ginsn *insn = &x->insn;
	u64 rip_mask = insn->mode == GINSN_MODE_64 ? ~0ULL : 0xffffffff;
	u64 flags = old->rflags ^ x->st.rflags;
	bool moved = x->st.rip != old->rip;

	for (unsigned int i = 0; i < GINSN_NR_GPR; i++)
		CHECK(x->st.gpr[i] == old->gpr[i] || may_change(insn, i));
	CHECK(!(flags & ~(RFLAGS_ARITH | RFLAGS_RF)));
	CHECK(!memcmp(x->st.seg, old->seg, sizeof(old->seg)));
	if (moved) {
		CHECK(x->st.rip == ((old->rip + insn->len) & rip_mask));
		CHECK(!(x->st.rflags & RFLAGS_RF));
	} else {
		CHECK(insn->form == GINSN_STRING && insn->rep);
		CHECK(!(flags & RFLAGS_RF));
	}
	for (unsigned int i = 0; i < x->nr_acc; i++)
		if (x->acc[i].flags & GINSN_ACC_WRITE && x->acc[i].size < 8)
			CHECK(!(x->acc[i].value >> (8 * x->acc[i].size)));
}

/* The short way of a move ends where the long one does. */
static void check_move(const struct ginsn_exec *x, const struct ginsn_state *old, u64 read)
{
	u64 gpr[GINSN_NR_GPR];

	memcpy(gpr, old->gpr, sizeof(gpr));
	CHECK(x->nr_acc == 1 && x->acc[0].size == x->insn.mem_size);
	CHECK(x->acc[0].flags ==
	      (x->insn.form == GINSN_REG_MEM ? GINSN_ACC_READ : GINSN_ACC_WRITE));
	if (x->insn.form == GINSN_REG_MEM)
		ginsn_load(&x->insn, gpr, read);
	else
		CHECK(x->acc[0].value == ginsn_stored(&x->insn, gpr));
	CHECK(!memcmp(gpr, x->st.gpr, sizeof(gpr)));
	CHECK(x->st.rip == ginsn_next_rip(&x->insn, old->rip));
	CHECK(!((x->st.rflags ^ old->rflags) & ~RFLAGS_RF));
}

/* A batch of iterations must end where the same number of single ones does. */
static void check_batch(const struct ginsn *insn, const struct ginsn_state *st, u64 addr)
{
	struct ginsn_state batch = *st, single = *st;
	u64 count = ginsn_string_count(insn, st, addr);

	CHECK(count <= 4096 || !insn->rep);
	if (count == 0)
		return;
	ginsn_string_advance(insn, &batch, count);
	for (u64 i = 0; i < count; i++)
		ginsn_string_advance(insn, &single, 1);
	CHECK(!memcmp(&batch, &single, sizeof(batch)));
}

static void run(const struct ginsn *insn, const struct input *in)
{
	struct ginsn_state st = in->st;
	struct ginsn_exec x;

	st.la_bits = in->la57 & 1 ? 57 : 48;
	for (unsigned int step = 0; step < 4; step++) {
		struct ginsn_state old = st;

		if (ginsn_plan(&x, insn, &st)) {
			CHECK(x.vector == 12 || x.vector == 13);
			CHECK(!memcmp(&x.st, &st, sizeof(st)));
			return;
		}
		check_plan(&x);
		if (insn->form == GINSN_STRING && x.nr_acc)
			check_batch(insn, &st, x.acc[0].addr);
		for (unsigned int i = 0; i < x.nr_acc; i++)
			x.acc[i].value = in->values[i][step];
		ginsn_execute(&x);
		check_executed(&x, &old);
		if (ginsn_is_move(insn))
			check_move(&x, &old, in->values[0][step]);
		st = x.st;
		if (st.rip != old.rip)
			return;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { 0 };
	struct ginsn insn;
	enum ginsn_mode mode;
	int ret;

	memcpy(&in, data, min(size, sizeof(in)));
	mode = in.mode % (GINSN_MODE_64 + 1);
	if (in.len > sizeof(in.bytes))
		in.len = sizeof(in.bytes);
	ret = ginsn_decode(&insn, in.bytes, in.len, mode);
	CHECK(ret == 0 || ret == -ENODATA || ret == -E2BIG || ret == -EINVAL || ret == -EOPNOTSUPP);
	CHECK(ret != -ENODATA || in.len < GINSN_MAX_LEN);
	CHECK(ret != -E2BIG || in.len >= GINSN_MAX_LEN);
	CHECK(ret != -EINVAL || insn.lock);
	if (ret)
		return 0;
	check_decoded(&insn, in.bytes, in.len);
	run(&insn, &in);
	return 0;
}
