/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC's registers: offsets, fields, and one table that says who may read and write what.
 *
 * Offsets are those of the xAPIC page; the x2APIC MSR of offset o is 0x800 + (o >> 4). Source: SDM
 * "Local APIC Register Address Map" and "x2APIC Register Availability". What a register *does*
 * stands in vlapic.c; what an access to it is *allowed* to do stands here and nowhere else.
 */
#ifndef IRQCHIP_APIC_REGS_H
#define IRQCHIP_APIC_REGS_H

#include <irqchip/env.h>

#define LAPIC_PAGE_SIZE            4096
#define LAPIC_DEFAULT_BASE         0xfee00000ULL
#define LAPIC_FIRST_VECTOR         16 /* that it may deliver: SDM "Valid Interrupt Vectors" */

/* --- fields --- */

#define LAPIC_ID_XAPIC             0xff000000u /* the ID register holds 8 bits here in xAPIC mode */
#define LAPIC_LDR_XAPIC            0xff000000u
#define LAPIC_DFR_MODEL            0xf0000000u
#define LAPIC_DFR_FLAT             0xffffffffu
#define LAPIC_DFR_CLUSTER          0x0fffffffu
#define LAPIC_PRIO_CLASS           0xf0u /* of a vector, TPR or PPR */

#define LAPIC_VERSION_NR           0x14u
#define LAPIC_VERSION_MAX_LVT      0x00ff0000u
#define LAPIC_VERSION_DIRECTED_EOI 0x01000000u

#define LAPIC_SVR_VECTOR           0x000000ffu
#define LAPIC_SVR_ENABLE           0x00000100u
#define LAPIC_SVR_FOCUS            0x00000200u
#define LAPIC_SVR_NO_BROADCAST     0x00001000u /* suppress EOI broadcasts */

/* ESR: SDM "Error Handling". */
#define LAPIC_ESR_SEND_ILLEGAL     0x20u
#define LAPIC_ESR_RECEIVE_ILLEGAL  0x40u
#define LAPIC_ESR_ILLEGAL_REG      0x80u
#define LAPIC_ESR_ALL              0xffu

#define LAPIC_ICR_VECTOR           0x000000ffu
#define LAPIC_ICR_DELIVERY         0x00000700u
#define LAPIC_ICR_LOGICAL          0x00000800u
#define LAPIC_ICR_BUSY             0x00001000u
#define LAPIC_ICR_ASSERT           0x00004000u
#define LAPIC_ICR_LEVEL            0x00008000u
#define LAPIC_ICR_SHORTHAND        0x000c0000u
#define LAPIC_ICR_DEST             0xff000000u /* of the high half, xAPIC mode */

#define LAPIC_LVT_VECTOR           0x000000ffu
#define LAPIC_LVT_DELIVERY         0x00000700u
#define LAPIC_LVT_STATUS           0x00001000u
#define LAPIC_LVT_POLARITY         0x00002000u
#define LAPIC_LVT_REMOTE           0x00004000u
#define LAPIC_LVT_TRIGGER          0x00008000u
#define LAPIC_LVT_MASKED           0x00010000u
#define LAPIC_LVT_MODE             0x00060000u /* timer only: enum lapic_timer_mode */

enum lapic_timer_mode {
	LAPIC_TIMER_ONESHOT = 0,
	LAPIC_TIMER_PERIODIC = 1,
	LAPIC_TIMER_TSC_DEADLINE = 2,
	LAPIC_TIMER_RESERVED = 3, /* never runs */
};

/* IA32_APIC_BASE: SDM "Local APIC Status and Location", "Detecting and Enabling x2APIC Mode". */
#define MSR_LAPIC_BASE         0x1bu
#define MSR_LAPIC_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_FIRST       0x800u
#define MSR_X2APIC_LAST        0x8ffu
#define MSR_X2APIC_ICR         0x830u
#define LAPIC_BASE_BSP         0x100ULL
#define LAPIC_BASE_X2APIC      0x400ULL
#define LAPIC_BASE_ENABLE      0x800ULL
#define LAPIC_BASE_MODE        (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)
#define LAPIC_BASE_ADDR        0x000ffffffffff000ULL /* as far as MAXPHYADDR reaches */

/* --- the attribute table --- */

/* Access rights, one bit for each of read and write in each mode. */
#define LAPIC_XR               0x1 /* xAPIC page, read; without it: 0, and an ESR error */
#define LAPIC_XW               0x2 /* xAPIC page, write; without it but with XR: ignored */
#define LAPIC_2R               0x4 /* x2APIC MSR, read; without it: #GP */
#define LAPIC_2W               0x8 /* x2APIC MSR, write; without it: #GP */

/* The access depends on the clock, or settles the timer. Others need not read the time. */
#define LAPIC_CLOCK            0x10

#define LAPIC_RO               (LAPIC_XR | LAPIC_2R)
#define LAPIC_RW               (LAPIC_XR | LAPIC_XW | LAPIC_2R | LAPIC_2W)
#define LAPIC_WO               (LAPIC_XR | LAPIC_XW | LAPIC_2W) /* reads of the page give 0 */
#define LAPIC_XRO              LAPIC_XR                         /* no such MSR */
#define LAPIC_XRW              (LAPIC_XR | LAPIC_XW)            /* no such MSR */
#define LAPIC_LRW              (LAPIC_XR | LAPIC_XW | LAPIC_2R) /* x2APIC: derived from the ID */
#define LAPIC_2WO              LAPIC_2W                         /* no such word in the page */

#define LAPIC_W_LVT            (LAPIC_LVT_VECTOR | LAPIC_LVT_MASKED)
#define LAPIC_W_TIMER          (LAPIC_W_LVT | LAPIC_LVT_MODE)
#define LAPIC_W_LVTDM          (LAPIC_W_LVT | LAPIC_LVT_DELIVERY)
#define LAPIC_W_LINT           (LAPIC_W_LVTDM | LAPIC_LVT_POLARITY | LAPIC_LVT_TRIGGER)
#define LAPIC_I_LINT           (LAPIC_LVT_STATUS | LAPIC_LVT_REMOTE)
#define LAPIC_W_SVR            (0x3ffu | LAPIC_SVR_NO_BROADCAST) /* vector, enable, focus */
#define LAPIC_W_ICR                                                                     \
	(LAPIC_ICR_VECTOR | LAPIC_ICR_DELIVERY | LAPIC_ICR_LOGICAL | LAPIC_ICR_ASSERT | \
	 LAPIC_ICR_LEVEL | LAPIC_ICR_SHORTHAND)

#define LAPIC_BANK(R, NAME, first)                 \
	R(NAME##0, (first) + 0x00, LAPIC_RO, 0, 0) \
	R(NAME##1, (first) + 0x10, LAPIC_RO, 0, 0) \
	R(NAME##2, (first) + 0x20, LAPIC_RO, 0, 0) \
	R(NAME##3, (first) + 0x30, LAPIC_RO, 0, 0) \
	R(NAME##4, (first) + 0x40, LAPIC_RO, 0, 0) \
	R(NAME##5, (first) + 0x50, LAPIC_RO, 0, 0) \
	R(NAME##6, (first) + 0x60, LAPIC_RO, 0, 0) \
	R(NAME##7, (first) + 0x70, LAPIC_RO, 0, 0)

/*
 * R(name, offset, access, writable, ignored): bits that are neither writable nor ignored are
 * reserved: setting one is #GP in x2APIC mode and has no effect in xAPIC mode. EOI and ESR have no
 * writable bits, since x2APIC mode takes only 0 there; in xAPIC mode the value does not matter.
 */
/* clang-format off */
#define LAPIC_REGISTERS(R)                                                                         \
	R(ID,	    0x020, LAPIC_RO,  0, 0)                                                        \
	R(VERSION,  0x030, LAPIC_RO,  0, 0)                                                        \
	R(TPR,	    0x080, LAPIC_RW,  0xff, 0)                                                     \
	R(APR,	    0x090, LAPIC_XRO, 0, 0)                                                        \
	R(PPR,	    0x0a0, LAPIC_RO,  0, 0)                                                        \
	R(EOI,	    0x0b0, LAPIC_WO,  0, 0)                                                        \
	R(RRD,	    0x0c0, LAPIC_XRO, 0, 0)                                                        \
	R(LDR,	    0x0d0, LAPIC_LRW, LAPIC_LDR_XAPIC, 0)                                          \
	R(DFR,	    0x0e0, LAPIC_XRW, LAPIC_DFR_MODEL, 0)                                          \
	R(SVR,	    0x0f0, LAPIC_RW | LAPIC_CLOCK, LAPIC_W_SVR, 0)                                 \
	LAPIC_BANK(R, ISR, 0x100)                                                                  \
	LAPIC_BANK(R, TMR, 0x180)                                                                  \
	LAPIC_BANK(R, IRR, 0x200)                                                                  \
	R(ESR,	    0x280, LAPIC_RW,  0, 0)                                                        \
	R(LVT_CMCI, 0x2f0, LAPIC_RW,  LAPIC_W_LVTDM, LAPIC_LVT_STATUS)                             \
	R(ICR_LO,   0x300, LAPIC_RW,  LAPIC_W_ICR, LAPIC_ICR_BUSY)                                 \
	R(ICR_HI,   0x310, LAPIC_XRW, LAPIC_ICR_DEST, 0)                                           \
	R(LVT_TIMER, 0x320, LAPIC_RW | LAPIC_CLOCK, LAPIC_W_TIMER, LAPIC_LVT_STATUS)               \
	R(LVT_THERMAL, 0x330, LAPIC_RW, LAPIC_W_LVTDM, LAPIC_LVT_STATUS)                           \
	R(LVT_PERF, 0x340, LAPIC_RW,  LAPIC_W_LVTDM, LAPIC_LVT_STATUS)                             \
	R(LVT_LINT0, 0x350, LAPIC_RW, LAPIC_W_LINT, LAPIC_I_LINT)                                  \
	R(LVT_LINT1, 0x360, LAPIC_RW, LAPIC_W_LINT, LAPIC_I_LINT)                                  \
	R(LVT_ERROR, 0x370, LAPIC_RW, LAPIC_W_LVT, LAPIC_LVT_STATUS)                               \
	R(TMICT,    0x380, LAPIC_RW | LAPIC_CLOCK, 0xffffffffu, 0)                                 \
	R(TMCCT,    0x390, LAPIC_RO | LAPIC_CLOCK, 0, 0)                                           \
	R(TDCR,	    0x3e0, LAPIC_RW | LAPIC_CLOCK, 0xb, 0)                                         \
	R(SELF_IPI, 0x3f0, LAPIC_2WO, LAPIC_ICR_VECTOR, 0)
/* clang-format on */

#define LAPIC_OFFSET(name, offset, access, writable, ignored) LAPIC_##name = (offset),
enum lapic_offset { LAPIC_REGISTERS(LAPIC_OFFSET) };
#undef LAPIC_OFFSET

/* Offset of the register behind an MSR of MSR_X2APIC_FIRST .. MSR_X2APIC_LAST. */
static inline u32 x2apic_offset(u32 msr)
{
	return (msr - MSR_X2APIC_FIRST) << 4;
}

#define LAPIC_ISR           LAPIC_ISR0
#define LAPIC_TMR           LAPIC_TMR0
#define LAPIC_IRR           LAPIC_IRR0

/*
 * In a save image only, in the padding of registers. Behind ESR: errors gathered since the last
 * write to it, which no register shows. Behind TMCCT: the count is 0 because the timer is stopped;
 * images of other origin have 0 there, and a TMCCT of 0 in them can also mean "unknown".
 */
#define LAPIC_ESR_LATCH     (LAPIC_ESR + 4)
#define LAPIC_TIMER_STOPPED (LAPIC_TMCCT + 4)

/*
 * The upper three quarters of the page hold no registers, and no access gets there: the posted-
 * interrupt descriptor (posted.h) has its place in it, 64-byte aligned as the hardware wants it.
 */
#define LAPIC_POSTED        0xf00

struct lapic_reg {
	u32 writable;
	u32 ignored;
	u8 access; /* LAPIC_XR ... ; 0: no such register */
};

#define LAPIC_NR_REGS 64 /* offsets 0 .. 0x3f0 */

/* Indexed by offset >> 4. */
extern const struct lapic_reg lapic_reg_table[LAPIC_NR_REGS];

#endif
