/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest instructions that touch emulated memory (MMIO) or move strings to and from ports.
 *
 * arch/x86/insn.c decodes, arch/x86/insn_exec.c executes. Neither reads guest memory, knows a vCPU
 * or sleeps: the caller brings bytes and register state and carries the accesses out. Only forms
 * with a memory operand exist here; registers-only instructions never reach an emulator.
 * Left out: FPU, SSE and AVX operands, stack (but PUSH) and control transfer, segment loads, shifts.
 *
 * The order of use, for one instruction or one iteration of a repeated one:
 *
 *	ginsn_decode()	bytes -> struct ginsn
 *	ginsn_plan()	struct ginsn + state -> up to two accesses, with linear addresses and sizes
 *	(caller)	translates all of them and raises #PF before anything has a side effect,
 *			then performs the reads in order; each may leave to userspace and come back
 *	ginsn_execute()	values read -> next register state, values to write
 *	(caller)	performs the writes, then loads exec.st into the vCPU
 *
 * The names start with ginsn because the kernel's own <asm/insn.h> owns insn_*.
 */
#ifndef GINSN_H
#define GINSN_H

#include <irqchip/env.h>

#define GINSN_MAX_LEN 15

/* Register numbers are those of ModRM and REX: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
enum ginsn_gpr {
	GINSN_RAX,
	GINSN_RCX,
	GINSN_RDX,
	GINSN_RBX,
	GINSN_RSP,
	GINSN_RBP,
	GINSN_RSI,
	GINSN_RDI,
	GINSN_R15 = 15,
	GINSN_NR_GPR,
	GINSN_RIP = 0x40,    /* only as the base of an effective address */
	GINSN_NO_REG = 0x80, /* no base, or no index */
};

/* Segment numbers are those of the MOV Sreg encoding, and of the VMCS field order. */
enum ginsn_seg { GINSN_ES, GINSN_CS, GINSN_SS, GINSN_DS, GINSN_FS, GINSN_GS, GINSN_NR_SEG };

/* CR0.PE, RFLAGS.VM, EFER.LMA with CS.L, and CS.D select the mode: see ginsn_mode(). */
enum ginsn_mode {
	GINSN_MODE_REAL,
	GINSN_MODE_VM86,
	GINSN_MODE_16, /* protected or compatibility mode, CS.D = 0 */
	GINSN_MODE_32, /* protected or compatibility mode, CS.D = 1 */
	GINSN_MODE_64,
};

enum ginsn_op {
	GINSN_NONE,
	/* the eight of opcodes 00-3F and 80-83, in encoding order */
	GINSN_ADD,
	GINSN_OR,
	GINSN_ADC,
	GINSN_SBB,
	GINSN_AND,
	GINSN_SUB,
	GINSN_XOR,
	GINSN_CMP,
	GINSN_TEST,
	GINSN_NOT,
	GINSN_NEG,
	GINSN_INC,
	GINSN_DEC,
	GINSN_XCHG,
	GINSN_CMPXCHG,
	GINSN_XADD,
	/* in the order of group 8 (0F BA /4../7) */
	GINSN_BT,
	GINSN_BTS,
	GINSN_BTR,
	GINSN_BTC,
	GINSN_MOV, /* with MOVNTI */
	GINSN_MOVZX,
	GINSN_MOVSX, /* with MOVSXD */
	GINSN_MOVBE,
	GINSN_CMOV,
	GINSN_SETCC,
	GINSN_PUSH, /* of memory */
	/* strings */
	GINSN_MOVS,
	GINSN_CMPS,
	GINSN_STOS,
	GINSN_LODS,
	GINSN_SCAS,
	GINSN_INS,
	GINSN_OUTS,
};

/* Where the operands are. The memory operand is the one described by base, index and disp. */
enum ginsn_form {
	GINSN_MEM_REG, /* memory op= register */
	GINSN_REG_MEM, /* register op= memory */
	GINSN_MEM_IMM, /* memory op= immediate */
	GINSN_MEM,     /* memory alone */
	GINSN_STRING,  /* implied by the opcode */
};

enum ginsn_rep { GINSN_REP_NONE, GINSN_REPNE, GINSN_REP };

struct ginsn {
	u8 bytes[GINSN_MAX_LEN];
	u8 len;
	u8 mode;      /* enum ginsn_mode */
	u8 op;        /* enum ginsn_op */
	u8 form;      /* enum ginsn_form */
	u8 op_size;   /* register operand, bytes: 1, 2, 4, 8 */
	u8 mem_size;  /* memory operand, bytes: 1, 2, 4, 8 */
	u8 addr_size; /* bytes: 2, 4, 8 */
	u8 rep;       /* enum ginsn_rep; meaningful for strings */
	bool lock;
	bool rex; /* any REX: byte registers 4..7 are SPL..DIL instead of AH..BH */
	u8 cc;    /* condition code of CMOVcc and SETcc */
	u8 reg;   /* register operand */
	u8 seg;   /* segment of the memory operand, overrides applied */
	u8 base;  /* register, GINSN_RIP or GINSN_NO_REG */
	u8 index; /* register or GINSN_NO_REG */
	u8 scale; /* 1, 2, 4, 8 */
	u64 disp; /* sign-extended */
	u64 imm;  /* sign-extended */
};

/* One segment register as the VMCS holds it: limit in bytes (expanded), VMX access rights. */
struct ginsn_segment {
	u64 base;
	u32 limit;
	u32 ar;
};

#define GINSN_AR_WRITABLE  0x0002 /* data: writable; code: readable */
#define GINSN_AR_EXPAND_DN 0x0004 /* data only */
#define GINSN_AR_CODE      0x0008
#define GINSN_AR_DB        0x4000
#define GINSN_AR_UNUSABLE  0x10000

/* Registers that the instructions of this file read or write. */
struct ginsn_state {
	u64 gpr[GINSN_NR_GPR];
	u64 rip;
	u64 rflags;
	struct ginsn_segment seg[GINSN_NR_SEG];
	u8 la_bits; /* width of a canonical linear address: 48, or 57 with CR4.LA57 */
};

#define GINSN_ACC_READ  BIT(0)
#define GINSN_ACC_WRITE BIT(1)
#define GINSN_ACC_PORT  BIT(2) /* addr is a port, not a linear address */

struct ginsn_access {
	u64 addr;
	u64 value; /* from the caller after a read, from ginsn_execute() for a write */
	u8 size;
	u8 flags;
};

/* An instruction under way. Plain data: it may wait in the vCPU for an exit to userspace. */
struct ginsn_exec {
	struct ginsn insn;
	struct ginsn_state st;
	struct ginsn_access acc[2];
	u8 nr_acc;
	u8 vector; /* after -EFAULT: 12 (#SS) or 13 (#GP), error code 0 */
};

/**
 * ginsn_mode() - the decoding mode of a vCPU
 * @cr0_pe: CR0.PE
 * @rflags_vm: RFLAGS.VM
 * @lma: EFER.LMA
 * @cs_ar: CS access rights in VMCS format (L is bit 13, D is bit 14)
 */
enum ginsn_mode ginsn_mode(bool cr0_pe, bool rflags_vm, bool lma, u32 cs_ar);

/**
 * ginsn_decode() - decode one instruction
 * @insn: result; undefined after an error, except that bytes and len hold what was looked at
 * @bytes: instruction bytes from CS:RIP on
 * @len: how many are there; more than GINSN_MAX_LEN are ignored
 * @mode: see ginsn_mode()
 *
 * Any context. SDM: "Instruction Format", "Opcode Map".
 * Return: 0; -ENODATA when the instruction goes on after @len bytes (fetch the next page and call
 * again); -E2BIG when it is longer than 15 bytes (the guest gets #GP(0)); -EINVAL when it is
 * undefined (#UD); -EOPNOTSUPP when it is none of those this file knows.
 */
int __must_check ginsn_decode(struct ginsn *insn, const u8 *bytes, unsigned int len,
			      enum ginsn_mode mode);

/**
 * ginsn_effective_address() - offset of the memory operand in its segment
 *
 * Truncated to the address size; not for strings. Bit instructions with a register operand reach
 * beyond it: ginsn_plan() knows. SDM: "Specifying an Offset".
 */
u64 ginsn_effective_address(const struct ginsn *insn, const u64 *gpr, u64 rip);

/* RIP behind the instruction at @rip; outside 64-bit mode EIP wraps. */
u64 ginsn_next_rip(const struct ginsn *insn, u64 rip);

/**
 * ginsn_linear_address() - segmentation of one access
 * @seg: enum ginsn_seg
 * @offset: effective address
 * @size: bytes, at least 1
 * @write: check for writing
 * @la: result
 *
 * SDM: "Limit Checking", "Type Checking", "Canonical Addressing".
 * Return: 0 or -EFAULT (#SS(0) when @seg is SS, else #GP(0)).
 */
int __must_check ginsn_linear_address(const struct ginsn_state *st, enum ginsn_mode mode, u8 seg,
				      u64 offset, unsigned int size, bool write, u64 *la);

/**
 * ginsn_plan() - work out the accesses of one instruction or one iteration
 * @x: result; acc[0..nr_acc-1] in the order the CPU makes them. One access with both
 *     GINSN_ACC_READ and GINSN_ACC_WRITE is a read-modify-write.
 * @st: registers before the instruction
 *
 * A repeated string instruction with a count of zero has no access. Alignment (#AC) and the I/O
 * permission of INS and OUTS are not checked: the CPU does both before it exits.
 * Return: 0 or -EFAULT with @x->vector; no state has changed then.
 */
int __must_check ginsn_plan(struct ginsn_exec *x, const struct ginsn *insn,
			    const struct ginsn_state *st);

/**
 * ginsn_execute() - compute the outcome once every read value is in @x->acc[].value
 *
 * Leaves the next registers in @x->st and the values to write in @x->acc[]. When a repeated string
 * instruction has iterations left RIP stays, else it moves on and RFLAGS.RF is cleared. The caller
 * still owes what the CPU does between instructions: end STI / MOV SS blocking, #DB for RFLAGS.TF.
 * A CMPXCHG that fails writes back what it read, as the CPU's locked cycle does.
 */
void ginsn_execute(struct ginsn_exec *x);

/**
 * ginsn_is_move() - does the instruction do nothing but copy, to memory or from there?
 *
 * MOV with its relatives that extend: one access, no flags. A caller that has the operand's address
 * from elsewhere needs no plan for these: a load (GINSN_REG_MEM) is done by ginsn_load(), any other
 * writes ginsn_stored(), and RIP moves on to ginsn_next_rip(). The outcome is ginsn_execute()'s.
 */
bool ginsn_is_move(const struct ginsn *insn);

/* What a move to memory writes, mem_size bytes of it; and what any other takes as its source. */
u64 ginsn_stored(const struct ginsn *insn, const u64 *gpr);

/* A move from memory has read @value; what is above its mem_size bytes does not count. */
void ginsn_load(const struct ginsn *insn, u64 *gpr, u64 value);

/**
 * ginsn_string_count() - iterations that can be done in one go
 * @st: registers before the first iteration
 * @addr: linear address of the memory operand of the first iteration
 *
 * Return: 1 without REP, 0 when the count register is zero, else how many iterations are left,
 * bounded so that the elements lie within the page of @addr (at least 1) and rSI / rDI don't wrap.
 */
u64 ginsn_string_count(const struct ginsn *insn, const struct ginsn_state *st, u64 addr);

/**
 * ginsn_string_advance() - retire @n iterations of MOVS, STOS, LODS, INS or OUTS
 *
 * Moves rSI, rDI and, with REP, rCX; moves RIP on when nothing is left to do.
 */
void ginsn_string_advance(const struct ginsn *insn, struct ginsn_state *st, u64 n);

#endif
