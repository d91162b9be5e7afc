// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtual IOAPIC: registers, edge and level pins, masks, remote IRR, EOIs, rewrites of busy
 * entries, storms, and its state image. The test is the bus: it carries messages and effects.
 * Tests named I*_* exclude the invariant of that name.
 *
 * Links with: arch/x86/irqchip/vioapic.c -lcmocka -lpthread
 */
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

static int setup(void **state)
{
	(void)state;
	vioapic_init(&io);
	memset(&fx, 0, sizeof(fx));
	memset(&msg, 0x5a, sizeof(msg));
	return 0;
}

static void mmio_write(u32 offset, u32 value)
{
	vioapic_mmio_write(&io, offset, 4, &value, &fx);
}

static u32 mmio_read(u32 offset)
{
	u32 value = 0x5a5a5a5a;

	vioapic_mmio_read(&io, offset, 4, &value);
	return value;
}

static u32 reg_read(u32 selector)
{
	mmio_write(IOAPIC_IOREGSEL, selector);
	return mmio_read(IOAPIC_IOWIN);
}

/* fx is that of the write to the window */
static void reg_write(u32 selector, u32 value)
{
	mmio_write(IOAPIC_IOREGSEL, selector);
	mmio_write(IOAPIC_IOWIN, value);
}

static u64 rte_read(u32 pin)
{
	return (u64)reg_read(0x11 + 2 * pin) << 32 | reg_read(0x10 + 2 * pin);
}

/* As guests do it: the high half first, so that the low half's mask bit decides. */
static void rte_write(u32 pin, u64 rte)
{
	reg_write(0x11 + 2 * pin, (u32)(rte >> 32));
	reg_write(0x10 + 2 * pin, (u32)rte);
}

static int line(u32 pin, bool level)
{
	return vioapic_set_pin(&io, pin, 0, level, &msg);
}

static u32 eoi(u8 vector)
{
	u32 acked;

	vioapic_eoi(&io, vector, &acked);
	return acked;
}

static int rescan(u32 pin)
{
	return vioapic_rescan_pin(&io, pin, &msg);
}

/* --- registers --------------------------------------------------------------------------------- */

static void test_reset_state(void **state)
{
	u32 pin;

	(void)state;
	assert_int_equal(mmio_read(IOAPIC_IOREGSEL), 0);
	assert_int_equal(reg_read(IOAPIC_ID), 0);
	assert_int_equal(reg_read(IOAPIC_VER), 0x00170011);
	assert_int_equal(reg_read(IOAPIC_ARB), 0);
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		assert_int_equal(rte_read(pin), MASKED);
		assert_int_equal(line(pin, true), -1);
	}
}

static void test_id_and_arbitration_id(void **state)
{
	(void)state;
	reg_write(IOAPIC_ID, 0xffffffff);
	assert_int_equal(reg_read(IOAPIC_ID), 0x0f000000);
	assert_int_equal(reg_read(IOAPIC_ARB), 0x0f000000);
	reg_write(IOAPIC_ARB, 0);
	reg_write(IOAPIC_VER, 0);
	assert_int_equal(reg_read(IOAPIC_ID), 0x0f000000);
	assert_int_equal(reg_read(IOAPIC_VER), 0x00170011);
}

static void test_rte_reserved_and_read_only_bits(void **state)
{
	(void)state;
	rte_write(7, ~0ULL);
	assert_int_equal(rte_read(7), IOAPIC_RTE_DEFINED & ~IOAPIC_RTE_READ_ONLY);
	rte_write(7, 0);
	assert_int_equal(rte_read(7), 0);
}

/* Every selector is harmless, and only the defined ones answer. */
static void I1_all_selectors(void **state)
{
	u32 selector;

	(void)state;
	for (selector = 0; selector < 0x10000; selector += 0xff) {
		mmio_write(IOAPIC_IOREGSEL, selector);
		assert_int_equal(mmio_read(IOAPIC_IOREGSEL), selector & 0xff);
	}
	for (selector = 0; selector < 256; selector++) {
		bool rte = selector >= 0x10 && selector < 0x40;

		reg_write(selector, 0xffffffff);
		if (selector > IOAPIC_ARB && !rte)
			assert_int_equal(reg_read(selector), 0);
		else
			assert_int_not_equal(reg_read(selector), 0);
	}
	/* Pin 23's high half is the last register. */
	assert_int_equal(reg_read(0x3f), 0xff000000);
	assert_int_equal(reg_read(0x40), 0);
}

static void test_access_widths_and_offsets(void **state)
{
	u64 wide = 0xaaaaaaaa00000001;
	u32 offset;
	u8 byte;
	u16 word;

	(void)state;
	vioapic_mmio_write(&io, IOAPIC_IOREGSEL, 8, &wide, &fx);
	assert_int_equal(mmio_read(IOAPIC_IOREGSEL), 1);
	vioapic_mmio_read(&io, IOAPIC_IOWIN, 8, &wide);
	assert_int_equal(wide, 0x00170011);
	vioapic_mmio_read(&io, IOAPIC_IOWIN, 1, &byte);
	assert_int_equal(byte, 0x11);
	vioapic_mmio_read(&io, IOAPIC_IOWIN, 2, &word);
	assert_int_equal(word, 0x0011);
	byte = 0x10;
	vioapic_mmio_write(&io, IOAPIC_IOREGSEL, 1, &byte, &fx);
	assert_int_equal(mmio_read(IOAPIC_IOREGSEL), 0x10);

	for (offset = 1; offset < 0x1000; offset++) {
		if (offset == IOAPIC_IOWIN)
			continue;
		mmio_write(offset, 0xffffffff);
		assert_int_equal(mmio_read(offset), 0);
	}
	assert_int_equal(mmio_read(IOAPIC_IOREGSEL), 0x10);
	assert_int_equal(rte_read(0), MASKED);
}

static void test_bad_pins_and_sources(void **state)
{
	(void)state;
	assert_int_equal(vioapic_set_pin(&io, IOAPIC_NR_PINS, 0, true, &msg), -1);
	assert_int_equal(vioapic_set_pin(&io, 0xffffffff, 0, true, &msg), -1);
	assert_int_equal(vioapic_set_pin(&io, 0, 32, true, &msg), -1);
	assert_int_equal(vioapic_rescan_pin(&io, IOAPIC_NR_PINS, &msg), 0);
	vioapic_refused(&io, IOAPIC_NR_PINS);
}

/* --- edge -------------------------------------------------------------------------------------- */

static void test_edge_message(void **state)
{
	(void)state;
	rte_write(4, DEST(0xa5) | LOGICAL | DM(IRQ_DM_LOWEST) | 0x31);
	assert_int_equal(line(4, true), 1);
	assert_int_equal(msg.dest, 0xa5);
	assert_int_equal(msg.vector, 0x31);
	assert_int_equal(msg.delivery, IRQ_DM_LOWEST);
	assert_int_equal(msg.shorthand, IRQ_SH_NONE);
	assert_true(msg.logical);
	assert_false(msg.level);
	assert_true(msg.assert);
	assert_false(msg.redir_hint);
	assert_false(msg.x2apic_dest);
	assert_int_equal(msg.path, IRQ_PATH_IOAPIC);
	assert_int_equal(rte_read(4) & RIRR, 0);
}

static void test_edge_needs_a_rise(void **state)
{
	(void)state;
	rte_write(4, 0x31);
	assert_int_equal(line(4, true), 1);
	assert_int_equal(line(4, true), 0);
	assert_int_equal(rescan(4), 0);
	assert_int_equal(line(4, false), 0);
	assert_int_equal(rescan(4), 0);
	assert_int_equal(line(4, true), 1);
	assert_int_equal(eoi(0x31), 0);
}

/* 82093AA: an edge on a masked pin is not remembered. */
static void I7_masked_edge_is_lost(void **state)
{
	(void)state;
	rte_write(4, MASKED | 0x31);
	assert_int_equal(line(4, true), -1);
	assert_int_equal(line(4, true), -1);
	rte_write(4, 0x31);
	assert_int_equal(fx.rescan, 0);
	assert_int_equal(rescan(4), 0);
	line(4, false);
	assert_int_equal(line(4, true), 1);
}

/* Polarity is ignored: the level of a line means "asserted". */
static void test_polarity_is_ignored(void **state)
{
	(void)state;
	rte_write(4, ACTIVE_LOW | 0x31);
	assert_int_equal(line(4, false), 0);
	assert_int_equal(line(4, true), 1);
	assert_int_equal(rte_read(4), ACTIVE_LOW | 0x31);

	rte_write(5, ACTIVE_LOW | LEVEL | 0x32);
	assert_int_equal(fx.rescan, 0);
	assert_int_equal(line(5, true), 1);
	line(5, false);
	assert_int_equal(eoi(0x32), BIT(5));
	assert_int_equal(rescan(5), 0);
}

/* NMI, SMI, INIT and ExtINT have no EOI, so they are edges even if programmed as level. */
static void test_delivery_modes_without_eoi(void **state)
{
	const u8 modes[] = { IRQ_DM_SMI, IRQ_DM_NMI, IRQ_DM_INIT, IRQ_DM_EXTINT };
	u32 i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		rte_write(i, LEVEL | DM(modes[i]) | 0x40);
		assert_int_equal(line(i, true), 1);
		assert_int_equal(msg.delivery, modes[i]);
		assert_false(msg.level);
		assert_int_equal(rte_read(i), LEVEL | DM(modes[i]) | 0x40);
		line(i, false);
		assert_int_equal(line(i, true), 1);
	}
	assert_int_equal(eoi(0x40), 0);
}

/* --- level ------------------------------------------------------------------------------------- */

static void test_level_cycle(void **state)
{
	(void)state;
	rte_write(10, DEST(1) | LEVEL | 0x51);
	assert_int_equal(line(10, true), 1);
	assert_true(msg.level);
	assert_int_equal(rte_read(10), DEST(1) | LEVEL | RIRR | 0x51);
	/* in flight: nothing more to say */
	assert_int_equal(line(10, true), 0);
	assert_int_equal(rescan(10), 0);
	/* still high at EOI: again */
	assert_int_equal(eoi(0x51), BIT(10));
	assert_int_equal(rte_read(10) & RIRR, 0);
	assert_int_equal(rescan(10), 1);
	assert_int_equal(rte_read(10) & RIRR, RIRR);
	/* low at EOI: done */
	line(10, false);
	assert_int_equal(rte_read(10) & RIRR, RIRR);
	assert_int_equal(eoi(0x51), BIT(10));
	assert_int_equal(rescan(10), 0);
	assert_int_equal(eoi(0x51), 0);
}

static void test_eoi_of_another_vector(void **state)
{
	(void)state;
	rte_write(10, LEVEL | 0x51);
	line(10, true);
	assert_int_equal(eoi(0x50), 0);
	assert_int_equal(eoi(0x52), 0);
	assert_int_equal(rte_read(10) & RIRR, RIRR);
}

static void I5_eoi_reaches_all_pins(void **state)
{
	u32 pin, acked;

	(void)state;
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		rte_write(pin, LEVEL | (pin % 2 ? 0x61 : 0x62));
		assert_int_equal(line(pin, true), 1);
	}
	acked = eoi(0x61);
	assert_int_equal(acked, 0xaaaaaa);
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		assert_int_equal(!(rte_read(pin) & RIRR), pin % 2);
		assert_int_equal(rescan(pin), pin % 2);
	}
	assert_int_equal(eoi(0x62), 0x555555);
}

/* An edge pin that shares the vector is not touched by a level EOI. */
static void test_level_eoi_skips_edge_pins(void **state)
{
	(void)state;
	rte_write(1, 0x61);
	rte_write(2, LEVEL | 0x61);
	line(1, true);
	line(2, true);
	assert_int_equal(eoi(0x61), BIT(2));
}

/* The bus found nobody to take the message: the pin must not wait for an EOI. */
static void test_refused_message_can_be_retried(void **state)
{
	(void)state;
	rte_write(10, DEST(9) | LEVEL | 0x51);
	assert_int_equal(line(10, true), 1);
	rte_write(10, DEST(9) | LEVEL | 0x61);
	vioapic_refused(&io, 10);
	assert_int_equal(rte_read(10) & RIRR, 0);
	assert_false(vioapic_handles_vector(&io, 0x51));
	/* the guest corrects the destination */
	rte_write(10, DEST(0) | LEVEL | 0x51);
	assert_int_equal(fx.rescan, BIT(10));
	assert_int_equal(rescan(10), 1);
	assert_int_equal(msg.dest, 0);
}

/* --- mask and unmask --------------------------------------------------------------------------- */

static void test_unmask_sends_high_level_line(void **state)
{
	(void)state;
	rte_write(10, MASKED | LEVEL | 0x51);
	assert_int_equal(line(10, true), -1);
	rte_write(10, LEVEL | 0x51);
	assert_int_equal(fx.rescan, BIT(10));
	assert_int_equal(fx.acked, BIT(10));
	assert_true(fx.routes_changed);
	assert_int_equal(rescan(10), 1);
}

/*
 * A resampled source lowers its line when it hears of the unmask: then nothing stale may go out.
 */
static void I7_unmask_resamples(void **state)
{
	(void)state;
	rte_write(10, LEVEL | 0x51);
	assert_int_equal(vioapic_set_pin(&io, 10, 3, true, &msg), 1);
	rte_write(10, MASKED | LEVEL | 0x51);
	assert_int_equal(eoi(0x51), BIT(10));
	assert_int_equal(rescan(10), 0);
	rte_write(10, LEVEL | 0x51);
	assert_int_equal(fx.acked, BIT(10));
	vioapic_set_pin(&io, 10, 3, false, &msg); /* the resampler's answer */
	assert_int_equal(rescan(10), 0);
}

static void I7_line_fell_while_masked(void **state)
{
	(void)state;
	rte_write(10, MASKED | LEVEL | 0x51);
	line(10, true);
	line(10, false);
	rte_write(10, LEVEL | 0x51);
	assert_int_equal(fx.rescan, 0);
	assert_int_equal(rescan(10), 0);
}

/* Masking while in flight: remote IRR stays, the EOI arrives, unmasking sends again. */
static void test_mask_while_in_flight(void **state)
{
	(void)state;
	rte_write(10, LEVEL | 0x51);
	line(10, true);
	rte_write(10, MASKED | LEVEL | 0x51);
	assert_int_equal(rte_read(10) & RIRR, RIRR);
	rte_write(10, LEVEL | 0x51);
	assert_int_equal(fx.rescan, 0); /* still in flight */
	assert_int_equal(rescan(10), 0);
	assert_int_equal(eoi(0x51), BIT(10));
	assert_int_equal(rescan(10), 1);
}

static void test_edge_to_level_with_line_high(void **state)
{
	struct kvm_ioapic_state image;

	(void)state;
	rte_write(10, 0x51);
	assert_int_equal(line(10, true), 1);
	rte_write(10, LEVEL | 0x51);
	assert_int_equal(fx.rescan, BIT(10));
	assert_int_equal(rescan(10), 1);
	assert_int_equal(rte_read(10) & RIRR, RIRR);
	/* and back: no edge, so nothing to send, here or where it is restored */
	rte_write(10, 0x51);
	assert_int_equal(fx.rescan, 0);
	assert_int_equal(rescan(10), 0);
	vioapic_get_state(&io, &image);
	assert_int_equal(image.irr, 0);
	/* the same of a line that rose as a level */
	rte_write(11, LEVEL | 0x52);
	line(11, true);
	rte_write(11, 0x52);
	assert_int_equal(rescan(11), 0);
	vioapic_get_state(&io, &image);
	assert_int_equal(image.irr, 0);
	/* but a level is pending, whatever it was before */
	rte_write(10, LEVEL | 0x51);
	vioapic_get_state(&io, &image);
	assert_int_equal(image.irr, BIT(10));
}

/* --- I4: entries rewritten while busy ---------------------------------------------------------- */

static void I4_new_vector_while_in_flight(void **state)
{
	(void)state;
	rte_write(10, LEVEL | 0x51);
	assert_int_equal(line(10, true), 1);
	rte_write(10, LEVEL | 0x71);
	assert_true(fx.routes_changed);
	assert_true(vioapic_handles_vector(&io, 0x51));
	assert_true(vioapic_handles_vector(&io, 0x71));
	/* the old vector's EOI ends it, and the line speaks through the new one */
	assert_int_equal(eoi(0x51), BIT(10));
	assert_false(vioapic_handles_vector(&io, 0x51));
	assert_int_equal(rescan(10), 1);
	assert_int_equal(msg.vector, 0x71);
	assert_int_equal(eoi(0x71), BIT(10));
}

/* A rewrite of the low half must not lose remote IRR, whatever the guest writes there. */
static void I4_remote_irr_survives_rewrites(void **state)
{
	(void)state;
	rte_write(10, LEVEL | 0x51);
	line(10, true);
	rte_write(10, DEST(2) | LEVEL | 0x51);
	assert_int_equal(rte_read(10), DEST(2) | LEVEL | RIRR | 0x51);
	line(10, false);
	eoi(0x51);
	rte_write(10, LEVEL | RIRR | 0x51);
	assert_int_equal(rte_read(10) & RIRR, 0);
}

/* Linux clears a stuck remote IRR by way of edge mode. */
static void I4_edge_mode_clears_remote_irr(void **state)
{
	(void)state;
	rte_write(10, LEVEL | 0x51);
	line(10, true);
	rte_write(10, MASKED | 0x51);
	rte_write(10, MASKED | LEVEL | 0x51);
	assert_int_equal(rte_read(10) & RIRR, 0);
	rte_write(10, LEVEL | 0x51);
	assert_int_equal(rescan(10), 1);
}

struct vectors {
	u32 calls, map[8];
	u32 anywhere; /* calls for physical broadcast */
};

static void note_vector(void *ctx, u8 vector, u32 dest, bool logical)
{
	struct vectors *v = ctx;

	/* no lock is held: this would deadlock otherwise */
	(void)vioapic_eoi_edge(&io, vector);
	vioapic_set_ack_pins(&io, io.ack_pins);
	v->calls++;
	v->map[vector / 32] |= BIT(vector % 32);
	v->anywhere += dest == 0xff && !logical;
}

static bool noted(const struct vectors *v, u8 vector)
{
	return v->map[vector / 32] & BIT(vector % 32);
}

static void I4_eoi_vectors(void **state)
{
	struct vectors v = { 0 };
	u32 vector;

	(void)state;
	rte_write(1, 0x31);                   /* edge: nobody waits */
	rte_write(2, DEST(1) | 0x32);         /* edge with an observer */
	rte_write(3, DEST(1) | LEVEL | 0x33); /* level */
	rte_write(4, LEVEL | MASKED | 0x34);  /* level, masked and idle */
	rte_write(5, LEVEL | 0x35);           /* level, in flight, then masked */
	rte_write(6, DEST(1) | LEVEL | 0x36); /* level, in flight, then rewritten */
	vioapic_set_ack_pins(&io, BIT(2) | BIT(24) | BIT(31));
	assert_int_equal(io.ack_pins, BIT(2));
	assert_true(vioapic_handles_vector(&io, 0x32));
	line(5, true);
	rte_write(5, LEVEL | MASKED | 0x35);
	line(6, true);
	rte_write(6, DEST(2) | LEVEL | 0x46);

	vioapic_for_each_eoi_vector(&io, note_vector, &v);
	assert_int_equal(v.calls, 5);
	assert_int_equal(v.anywhere, 1);
	assert_false(noted(&v, 0x31));
	assert_true(noted(&v, 0x32));
	assert_true(noted(&v, 0x33));
	assert_false(noted(&v, 0x34));
	assert_true(noted(&v, 0x35));
	assert_true(noted(&v, 0x36));
	assert_true(noted(&v, 0x46));

	/* The lock-free filter never says no where the enumeration says yes. */
	for (vector = 0; vector < 256; vector++)
		if (noted(&v, (u8)vector))
			assert_true(vioapic_handles_vector(&io, (u8)vector));
	assert_false(vioapic_handles_vector(&io, 0x31));
	assert_false(vioapic_handles_vector(&io, 0x00));
}

static void test_edge_eoi_for_observers(void **state)
{
	(void)state;
	rte_write(2, 0x30);
	rte_write(8, 0x38);
	line(2, true);
	assert_int_equal(vioapic_eoi_edge(&io, 0x30), 0);
	vioapic_set_ack_pins(&io, BIT(2) | BIT(8));
	assert_int_equal(vioapic_eoi_edge(&io, 0x30), BIT(2));
	assert_int_equal(vioapic_eoi_edge(&io, 0x38), BIT(8));
	assert_int_equal(vioapic_eoi_edge(&io, 0x39), 0);
	/* a level pin reports by vioapic_eoi() */
	rte_write(2, LEVEL | 0x30);
	assert_int_equal(vioapic_eoi_edge(&io, 0x30), 0);
}

/* --- directed EOI ------------------------------------------------------------------------------ */

static void test_directed_eoi(void **state)
{
	(void)state;
	vioapic_enable_eoir(&io);
	assert_int_equal(reg_read(IOAPIC_VER), 0x00170020);
	rte_write(3, LEVEL | 0x51);
	rte_write(4, LEVEL | 0x51);
	rte_write(5, LEVEL | 0x52);
	line(3, true);
	line(4, true);
	line(5, true);
	mmio_write(IOAPIC_EOIR, 0xabcdef51); /* bits 31:8 are reserved */
	assert_int_equal(fx.acked, BIT(3) | BIT(4));
	assert_int_equal(fx.rescan, BIT(3) | BIT(4));
	assert_int_equal(rte_read(5) & RIRR, RIRR);
	assert_int_equal(rescan(3), 1);
	assert_int_equal(mmio_read(IOAPIC_EOIR), 0);
	/* the window is no EOI register */
	mmio_write(IOAPIC_IOREGSEL, 0x10);
	mmio_write(IOAPIC_IOWIN, 0x52);
	assert_int_equal(rte_read(5) & RIRR, RIRR);
}

static void test_no_directed_eoi_in_version_11(void **state)
{
	(void)state;
	rte_write(3, LEVEL | 0x51);
	line(3, true);
	mmio_write(IOAPIC_EOIR, 0x51);
	assert_int_equal(fx.acked, 0);
	assert_int_equal(rte_read(3) & RIRR, RIRR);
}

/* --- I6: storms -------------------------------------------------------------------------------- */

static void I6_stuck_line_lets_the_guest_progress(void **state)
{
	u32 sent = 0, rounds;
	int ret = 1;

	(void)state;
	rte_write(11, LEVEL | 0x51);
	assert_int_equal(line(11, true), 1);
	for (rounds = 0; rounds < 2 * VIOAPIC_STORM_LIMIT && ret > 0; rounds++) {
		assert_int_equal(eoi(0x51), BIT(11));
		ret = rescan(11);
		sent += ret > 0;
	}
	assert_int_equal(ret, -EAGAIN);
	assert_int_equal(sent, VIOAPIC_STORM_LIMIT - 1);

	/* Held back: nothing gets through, and nothing waits for an EOI. */
	assert_int_equal(rescan(11), 0);
	assert_int_equal(line(11, true), 0);
	assert_int_equal(rte_read(11) & RIRR, 0);

	assert_int_equal(vioapic_resume(&io), BIT(11));
	assert_int_equal(vioapic_resume(&io), 0);
	assert_int_equal(rescan(11), 1);
	assert_int_equal(eoi(0x51), BIT(11));
	assert_int_equal(rescan(11), 1); /* the count starts again */
}

static void I6_falling_line_ends_the_storm(void **state)
{
	u32 i;

	(void)state;
	rte_write(11, LEVEL | 0x51);
	line(11, true);
	for (i = 0; i < 2 * VIOAPIC_STORM_LIMIT; i++) {
		eoi(0x51);
		assert_int_equal(rescan(11), 1);
		assert_int_equal(rescan(11), 0); /* in flight: that is no round of the storm */
		if (i % 7000 == 0) {             /* a device that works: it falls now and then */
			line(11, false);
			eoi(0x51);
			assert_int_equal(line(11, true), 1);
		}
	}
}

static void I6_masking_ends_the_hold(void **state)
{
	(void)state;
	rte_write(11, LEVEL | 0x51);
	line(11, true);
	do
		eoi(0x51);
	while (rescan(11) > 0);
	rte_write(11, MASKED | LEVEL | 0x51);
	rte_write(11, LEVEL | 0x51);
	assert_int_equal(rescan(11), 1);
	assert_int_equal(vioapic_resume(&io), 0);
}

/* --- I8: several sources ----------------------------------------------------------------------- */

static void I8_line_is_the_or_of_sources(void **state)
{
	(void)state;
	rte_write(9, LEVEL | 0x51);
	assert_int_equal(vioapic_set_pin(&io, 9, 0, true, &msg), 1);
	assert_int_equal(vioapic_set_pin(&io, 9, 31, true, &msg), 0);
	vioapic_set_pin(&io, 9, 0, false, &msg);
	eoi(0x51);
	assert_int_equal(rescan(9), 1);
	vioapic_set_pin(&io, 9, 31, false, &msg);
	eoi(0x51);
	assert_int_equal(rescan(9), 0);

	/* An edge pin rises once for all its sources. */
	rte_write(8, 0x48);
	assert_int_equal(vioapic_set_pin(&io, 8, 1, true, &msg), 1);
	assert_int_equal(vioapic_set_pin(&io, 8, 2, true, &msg), 0);
	vioapic_set_pin(&io, 8, 1, false, &msg);
	assert_int_equal(vioapic_set_pin(&io, 8, 1, true, &msg), 0);
}

#define TOGGLES 20000

static void *toggle(void *arg)
{
	u32 source = (u32)(uintptr_t)arg;
	struct irq_msg out;
	u32 i;

	for (i = 0; i < TOGGLES; i++) {
		vioapic_set_pin(&io, 9, source, true, &out);
		vioapic_set_pin(&io, 9, source, i == TOGGLES - 1 && source % 2, &out);
	}
	return NULL;
}

static void *end_and_rescan(void *arg)
{
	struct irq_msg out;
	u32 i, acked;

	for (i = 0; i < TOGGLES; i++) {
		vioapic_eoi(&io, 0x51, &acked);
		vioapic_rescan_pin(&io, 9, &out);
	}
	return arg;
}

static void I8_concurrent_sources(void **state)
{
	pthread_t thread[5];
	u32 i;

	(void)state;
	rte_write(9, LEVEL | 0x51);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, toggle, (void *)(uintptr_t)i), 0);
	assert_int_equal(pthread_create(&thread[4], NULL, end_and_rescan, NULL), 0);
	for (i = 0; i < 5; i++)
		pthread_join(thread[i], NULL);

	assert_int_equal(io.lines[9], BIT(1) | BIT(3));
	assert_int_equal(io.irr, BIT(9));
	/* Nothing was lost: the line is high, so its message is out or goes out now. */
	vioapic_resume(&io);
	if (!(rte_read(9) & RIRR))
		assert_int_equal(rescan(9), 1);
	vioapic_set_pin(&io, 9, 1, false, &msg);
	vioapic_set_pin(&io, 9, 3, false, &msg);
	eoi(0x51);
	assert_int_equal(rescan(9), 0);
}

/* --- random operations ------------------------------------------------------------------------- */

/* A model of what is true outside: who drives which pin, and which EOIs are to come. */
static struct {
	u32 lines[IOAPIC_NR_PINS];
	u8 out[IOAPIC_NR_PINS]; /* vector of the pin's level message, 0 = none */
} model;

static u64 rng_state;

static u32 rng(u32 below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (u32)(rng_state >> 32) % below;
}

static bool fixed_level(u32 pin)
{
	return io.rte[pin].level && io.rte[pin].delivery_mode == IRQ_DM_FIXED;
}

static void sent(u32 pin)
{
	assert_int_equal(msg.vector, io.rte[pin].vector);
	assert_int_equal(io.rte[pin].mask, 0);
	assert_int_not_equal(model.lines[pin], 0);
	if (msg.level) {
		assert_int_equal(model.out[pin], 0);
		model.out[pin] = msg.vector;
	}
}

static void carry_out(void)
{
	u32 pins;

	for (pins = fx.rescan; pins; pins &= pins - 1)
		if (rescan(__ffs(pins)) > 0)
			sent(__ffs(pins));
}

static void random_set_pin(void)
{
	u32 pin = rng(IOAPIC_NR_PINS), source = rng(3);
	bool level = rng(2), rises = level && !model.lines[pin];
	const union ioapic_rte before = io.rte[pin];
	int ret;

	if (level)
		model.lines[pin] |= BIT(source);
	else
		model.lines[pin] &= ~(u32)BIT(source);
	ret = vioapic_set_pin(&io, pin, source, level, &msg);
	if (ret > 0)
		sent(pin);
	/* an unmasked edge pin sends once per rise, a masked one never */
	if (!before.level)
		assert_int_equal(ret, !level ? 0 : before.mask ? -1 : rises);
}

static void random_write(void)
{
	u32 pin = rng(IOAPIC_NR_PINS), kind = rng(8);
	u64 rte = 0x50 + rng(4); /* few vectors, so that pins share them */

	rte |= kind & 1 ? LEVEL : 0;
	rte |= kind & 6 ? 0 : MASKED;
	rte |= rng(8) ? 0 : DM(IRQ_DM_NMI);
	reg_write(0x10 + 2 * pin, (u32)rte);
	if (!fixed_level(pin))
		model.out[pin] = 0; /* Linux relies on it */
	carry_out();
}

static void random_eoi(void)
{
	u8 vector = (u8)(0x50 + rng(4));
	u32 pin, expected = 0;

	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		if (model.out[pin] && (model.out[pin] == vector || io.rte[pin].vector == vector)) {
			expected |= BIT(pin);
			model.out[pin] = 0;
		}
	}
	fx.rescan = eoi(vector);
	assert_int_equal(fx.rescan, expected);
	carry_out();
}

static void check_invariants(void)
{
	u32 pin;

	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		assert_int_equal(io.lines[pin], model.lines[pin]);
		assert_int_equal(!!(io.irr & BIT(pin)), !!model.lines[pin]);
		assert_int_equal(io.rte[pin].remote_irr, model.out[pin] != 0);
		if (model.out[pin])
			assert_true(vioapic_handles_vector(&io, model.out[pin]));
		/* no level is ever left behind: it is out, masked, or low */
		else if (fixed_level(pin) && !io.rte[pin].mask)
			assert_int_equal(model.lines[pin], 0);
	}
}

static void test_random_operations(void **state)
{
	u32 i;

	(void)state;
	memset(&model, 0, sizeof(model));
	rng_state = 0x9e3779b97f4a7c15;
	for (i = 0; i < 400000; i++) {
		switch (rng(4)) {
		case 0:
			random_write();
			break;
		case 1:
			random_eoi();
			break;
		default:
			random_set_pin();
			break;
		}
		check_invariants();
	}
}

/* --- save and restore -------------------------------------------------------------------------- */

/* Load the image into a fresh IOAPIC, as the target of a migration would. */
static void move_to_new_machine(struct kvm_ioapic_state *image)
{
	vioapic_get_state(&io, image);
	vioapic_init(&io);
	vioapic_set_state(&io, image, &fx);
}

static void test_state_round_trip(void **state)
{
	struct kvm_ioapic_state image, again;

	(void)state;
	reg_write(IOAPIC_ID, 0x05000000);
	rte_write(3, DEST(3) | LEVEL | LOGICAL | DM(IRQ_DM_LOWEST) | 0x51);
	rte_write(4, DEST(4) | 0x52);
	line(3, true);
	line(4, true);
	mmio_write(IOAPIC_IOREGSEL, 0x2a);

	move_to_new_machine(&image);
	assert_int_equal(image.base_address, 0xfec00000);
	assert_int_equal(image.ioregsel, 0x2a);
	assert_int_equal(image.id, 5);
	assert_int_equal(image.irr, BIT(3)); /* the edge has gone out */
	assert_int_equal(image.redirtbl[3].fields.remote_irr, 1);
	assert_int_equal(image.redirtbl[3].fields.vector, 0x51);
	assert_int_equal(image.redirtbl[4].fields.dest_id, 4);

	vioapic_get_state(&io, &again);
	assert_memory_equal(&image, &again, sizeof(image));
	assert_true(fx.routes_changed);
	assert_true(vioapic_handles_vector(&io, 0x51));
	/* in flight on the old machine: its EOI comes on this one, even after a rewrite */
	assert_int_equal(fx.rescan, BIT(3));
	assert_int_equal(rescan(3), 0);
	rte_write(3, DEST(3) | LEVEL | 0x53);
	assert_int_equal(eoi(0x51), BIT(3));
	assert_int_equal(rescan(3), 1);
}

/* An interrupt that was pending goes out after the load, exactly once. */
static void test_state_pending_interrupts(void **state)
{
	struct kvm_ioapic_state image;

	(void)state;
	vioapic_get_state(&io, &image);
	image.redirtbl[1].bits = 0x41;
	image.redirtbl[2].bits = LEVEL | 0x42;
	image.redirtbl[3].bits = MASKED | LEVEL | 0x43;
	image.irr = 0xff00000e;
	vioapic_set_state(&io, &image, &fx);
	assert_int_equal(fx.rescan, 0xe);
	assert_int_equal(rescan(1), 1);
	assert_int_equal(rescan(1), 0);
	assert_int_equal(rescan(2), 1);
	assert_int_equal(rescan(3), 0);
	/* The restored edge had no source here, so the next rise is one; and so on an idle pin. */
	assert_int_equal(line(1, true), 1);
	rte_write(7, 0x47);
	assert_int_equal(line(7, true), 1);
	/* The restored level ends when its source says low. */
	line(2, false);
	eoi(0x42);
	assert_int_equal(rescan(2), 0);
}

/* The image does not hold lines: what drives a pin on this machine goes on driving it. */
static void test_state_load_keeps_lines(void **state)
{
	struct kvm_ioapic_state image;

	(void)state;
	vioapic_get_state(&io, &image);
	image.redirtbl[1].bits = 0x41;
	image.redirtbl[2].bits = LEVEL | 0x42;
	line(1, true);
	line(2, true);
	vioapic_set_state(&io, &image, &fx);
	assert_int_equal(fx.rescan, BIT(2));
	assert_int_equal(rescan(1), 0);
	assert_int_equal(rescan(2), 1);
	assert_int_equal(line(1, true), 0);

	/* an edge that the image calls pending goes out once, though the line is high */
	image.irr = BIT(1);
	image.base_address = 0xfec01000;
	vioapic_set_state(&io, &image, &fx);
	assert_int_equal(rescan(1), 1);
	assert_int_equal(rescan(1), 0);
	vioapic_get_state(&io, &image);
	assert_int_equal(image.base_address, 0xfec01000);
}

/* A load ends a storm's hold. */
static void test_state_load_ends_the_hold(void **state)
{
	struct kvm_ioapic_state image;

	(void)state;
	rte_write(11, LEVEL | 0x51);
	line(11, true);
	do
		eoi(0x51);
	while (rescan(11) > 0);
	vioapic_get_state(&io, &image);
	assert_int_equal(image.irr, BIT(11));
	vioapic_set_state(&io, &image, &fx);
	assert_int_equal(rescan(11), 1);
	assert_int_equal(vioapic_resume(&io), 0);
}

static void test_state_hostile_image(void **state)
{
	struct kvm_ioapic_state image;

	(void)state;
	memset(&image, 0xff, sizeof(image));
	vioapic_set_state(&io, &image, &fx);
	assert_int_equal(fx.rescan & ~0xffffffU, 0);
	assert_int_equal(mmio_read(IOAPIC_IOREGSEL), 0xff);
	assert_int_equal(mmio_read(IOAPIC_IOWIN), 0);
	assert_int_equal(reg_read(IOAPIC_ID), 0x0f000000);
	/* ExtINT has no remote IRR, delivery is never pending */
	assert_int_equal(rte_read(0), IOAPIC_RTE_DEFINED & ~IOAPIC_RTE_READ_ONLY);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_reset_state),
		TEST(test_id_and_arbitration_id),
		TEST(test_rte_reserved_and_read_only_bits),
		TEST(I1_all_selectors),
		TEST(test_access_widths_and_offsets),
		TEST(test_bad_pins_and_sources),
		TEST(test_edge_message),
		TEST(test_edge_needs_a_rise),
		TEST(I7_masked_edge_is_lost),
		TEST(test_polarity_is_ignored),
		TEST(test_delivery_modes_without_eoi),
		TEST(test_level_cycle),
		TEST(test_eoi_of_another_vector),
		TEST(I5_eoi_reaches_all_pins),
		TEST(test_level_eoi_skips_edge_pins),
		TEST(test_refused_message_can_be_retried),
		TEST(test_unmask_sends_high_level_line),
		TEST(I7_unmask_resamples),
		TEST(I7_line_fell_while_masked),
		TEST(test_mask_while_in_flight),
		TEST(test_edge_to_level_with_line_high),
		TEST(I4_new_vector_while_in_flight),
		TEST(I4_remote_irr_survives_rewrites),
		TEST(I4_edge_mode_clears_remote_irr),
		TEST(I4_eoi_vectors),
		TEST(test_edge_eoi_for_observers),
		TEST(test_directed_eoi),
		TEST(test_no_directed_eoi_in_version_11),
		TEST(I6_stuck_line_lets_the_guest_progress),
		TEST(I6_falling_line_ends_the_storm),
		TEST(I6_masking_ends_the_hold),
		TEST(I8_line_is_the_or_of_sources),
		TEST(I8_concurrent_sources),
		TEST(test_random_operations),
		TEST(test_state_round_trip),
		TEST(test_state_pending_interrupts),
		TEST(test_state_load_keeps_lines),
		TEST(test_state_load_ends_the_hold),
		TEST(test_state_hostile_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
