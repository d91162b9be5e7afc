/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The I/O APIC as software sees it: two memory-mapped words (a selector and a window) in front of
 * indirect registers, and one redirection entry per pin. Layout only, no behaviour.
 * Source: 82093AA IOAPIC data sheet, "Internal Registers"; the EOI register and version 0x20 from
 * the I/O controller hubs that integrate it ("EOIR").
 */
#ifndef IRQCHIP_IOAPIC_REGS_H
#define IRQCHIP_IOAPIC_REGS_H

#include <irqchip/env.h>

#define IOAPIC_DEFAULT_BASE 0xfec00000ULL
#define IOAPIC_WINDOW_SIZE  0x100 /* decoded bytes from the base */
#define IOAPIC_NR_PINS      KVM_IOAPIC_NUM_PINS

/* Offsets of the directly addressed registers. */
#define IOAPIC_IOREGSEL     0x00
#define IOAPIC_IOWIN        0x10
#define IOAPIC_EOIR         0x40 /* version 0x20 only: write a vector to end its interrupts */

/* Selectors of the indirect registers. */
#define IOAPIC_ID           0x00
#define IOAPIC_VER          0x01
#define IOAPIC_ARB          0x02
#define IOAPIC_REDIR_LO     0x10 /* 0x10 + 2 * pin; the next selector is the high half */
#define IOAPIC_REDIR_END    (IOAPIC_REDIR_LO + 2 * IOAPIC_NR_PINS)

#define IOAPIC_ID_MASK      GENMASK(27, 24)
#define IOAPIC_VER_MAX_RTE  GENMASK(23, 16)
#define IOAPIC_VER_82093AA  0x11 /* what KVM reports: EOI only by the LAPIC's broadcast */
#define IOAPIC_VER_EOIR     0x20 /* has the EOI register (directed EOI) */

/* A redirection entry; 'remote_irr' and 'delivery_status' are read-only to software. */
union ioapic_rte {
	u64 bits;
	struct {
		u64 vector : 8;
		u64 delivery_mode : 3; /* enum irq_delivery */
		u64 logical : 1;       /* destination mode */
		u64 delivery_status : 1;
		u64 active_low : 1; /* polarity */
		u64 remote_irr : 1; /* a level message is out, its EOI has not come back */
		u64 level : 1;      /* trigger mode */
		u64 mask : 1;
		u64 reserved : 39;
		u64 dest : 8;
	};
};
static_assert(sizeof(union ioapic_rte) == sizeof(u64), "the layout is the hardware's");

#define IOAPIC_RTE_DELIVERY_STATUS BIT_ULL(12)
#define IOAPIC_RTE_REMOTE_IRR      BIT_ULL(14)
#define IOAPIC_RTE_MASK            BIT_ULL(16)
#define IOAPIC_RTE_READ_ONLY       (IOAPIC_RTE_DELIVERY_STATUS | IOAPIC_RTE_REMOTE_IRR)
#define IOAPIC_RTE_DEFINED         (GENMASK_ULL(16, 0) | GENMASK_ULL(63, 56))

#endif
