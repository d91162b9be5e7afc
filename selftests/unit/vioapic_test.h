/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One IOAPIC and what its tests say to it. The test is the bus: it carries messages and effects.
 */
#ifndef VIOAPIC_TEST_H
#define VIOAPIC_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <irqchip/vioapic.h>

#define LEVEL      BIT_ULL(15)
#define ACTIVE_LOW BIT_ULL(13)
#define LOGICAL    BIT_ULL(11)
#define MASKED     IOAPIC_RTE_MASK
#define RIRR       IOAPIC_RTE_REMOTE_IRR
#define DEST(id)   ((u64)(id) << 56)
#define DM(mode)   ((u64)(mode) << 8)

static struct vioapic io;
static struct vioapic_effect fx;
static struct irq_msg msg;

static inline int setup(void **state)
{
	(void)state;
	vioapic_init(&io);
	memset(&fx, 0, sizeof(fx));
	memset(&msg, 0x5a, sizeof(msg));
	return 0;
}

static inline void mmio_write(u32 offset, u32 value)
{
	vioapic_mmio_write(&io, offset, 4, &value, &fx);
}

static inline u32 mmio_read(u32 offset)
{
	u32 value = 0x5a5a5a5a;

	vioapic_mmio_read(&io, offset, 4, &value);
	return value;
}

static inline u32 reg_read(u32 selector)
{
	mmio_write(IOAPIC_IOREGSEL, selector);
	return mmio_read(IOAPIC_IOWIN);
}

/* fx is that of the write to the window */
static inline void reg_write(u32 selector, u32 value)
{
	mmio_write(IOAPIC_IOREGSEL, selector);
	mmio_write(IOAPIC_IOWIN, value);
}

static inline u64 rte_read(u32 pin)
{
	return (u64)reg_read(0x11 + 2 * pin) << 32 | reg_read(0x10 + 2 * pin);
}

/* As guests do it: the high half first, so that the low half's mask bit decides. */
static inline void rte_write(u32 pin, u64 rte)
{
	reg_write(0x11 + 2 * pin, (u32)(rte >> 32));
	reg_write(0x10 + 2 * pin, (u32)rte);
}

static inline int line(u32 pin, bool level)
{
	return vioapic_set_pin(&io, pin, 0, level, &msg);
}

static inline u32 eoi(u8 vector)
{
	u32 acked;

	vioapic_eoi(&io, vector, &acked);
	return acked;
}

static inline int rescan(u32 pin)
{
	return vioapic_rescan_pin(&io, pin, &msg);
}

#endif
