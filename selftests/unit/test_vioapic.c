// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtual IOAPIC: registers, edge and level pins, masks, remote IRR, EOIs, rewrites of busy
 * entries. Storms, threads and the state image: test_vioapic_load.c.
 * Tests named I*_* exclude the invariant of that name.
 *
 * Links with: arch/x86/irqchip/vioapic.c -lcmocka -lpthread
 */
#include "vioapic_test.h"

/* --- registers --- */

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

/* --- edge --- */

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

/* --- level --- */

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

/* --- mask and unmask --- */

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

/* --- I4: entries rewritten while busy --- */

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

static void I4_eoi_vectors(void **state)
{
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

	assert_false(vioapic_handles_vector(&io, 0x31));
	assert_true(vioapic_handles_vector(&io, 0x33));
	assert_true(vioapic_handles_vector(&io, 0x35));
	assert_true(vioapic_handles_vector(&io, 0x36));
	assert_true(vioapic_handles_vector(&io, 0x46));
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

/* --- directed EOI --- */

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
