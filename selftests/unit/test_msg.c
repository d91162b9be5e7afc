// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupt messages: decoding of MSI and ICR, and whom a message reaches.
 * The destination match is checked against a model that is written the slow way.
 */
#include "harness.h"

#define MSI_ADDR(dest, bits) (0xfee00000ULL | (u64)(dest) << 12 | (bits))
#define MSI_LOGICAL          0x4
#define MSI_REDIR            0x8

static void msi_decode(void **state)
{
	struct irq_msg msg;

	(void)state;
	assert_int_equal(msg_from_msi(MSI_ADDR(0x12, MSI_REDIR | MSI_LOGICAL), 0xc141, false, &msg),
			 0);
	assert_int_equal(msg.dest, 0x12);
	assert_int_equal(msg.vector, 0x41);
	assert_int_equal(msg.delivery, IRQ_DM_LOWEST);
	assert_true(msg.logical && msg.redir_hint && msg.level && msg.assert);
	assert_false(msg.x2apic_dest);

	assert_int_equal(msg_from_msi(MSI_ADDR(0xff, 0), 0x0030, false, &msg), 0);
	assert_true(!msg.logical && !msg.redir_hint && !msg.level && msg.assert);
	/* Level-triggered, without the bit that asserts: what QEMU's IOAPIC sends. */
	assert_int_equal(msg_from_msi(MSI_ADDR(0, 0), 0x8030, false, &msg), 0);
	assert_true(msg.level && msg.assert);
}

static void msi_high_half_needs_the_x2apic_format(void **state)
{
	struct irq_msg msg;

	(void)state;
	/* Without it: ignored, as if there were no such half. */
	assert_int_equal(msg_from_msi(0xabcdef99ULL << 32 | MSI_ADDR(0x21, 0), 0x30, false, &msg),
			 0);
	assert_int_equal(msg.dest, 0x21);
	assert_false(msg.x2apic_dest);
	assert_int_equal(msg_from_msi(1ULL << 32 | MSI_ADDR(0x21, 0), 0x30, true, &msg), -EINVAL);

	assert_int_equal(msg_from_msi(0xabcdef00ULL << 32 | MSI_ADDR(0x21, 0), 0x30, true, &msg),
			 0);
	assert_int_equal(msg.dest, 0xabcdef21);
	assert_true(msg.x2apic_dest);
	assert_int_equal(msg_from_msi(MSI_ADDR(0xff, 0), 0x30, true, &msg), 0);
	assert_int_equal(msg.dest, 0xff);
	assert_false(msg.x2apic_dest);
}

static void icr_decode(void **state)
{
	struct irq_msg msg;

	(void)state;
	msg_from_icr(0x000c4830, 0x5a123456, false, &msg);
	assert_int_equal(msg.dest, 0x5a);
	assert_int_equal(msg.shorthand, IRQ_SH_OTHERS);
	assert_true(msg.logical && msg.assert);
	assert_int_equal(msg.path, IRQ_PATH_IPI);
	msg_from_icr(0x00000030, 0x5a123456, true, &msg);
	assert_int_equal(msg.dest, 0x5a123456);
	assert_true(msg.x2apic_dest);
}

static void icr_level_and_trigger_mean_init_deassert_only(void **state)
{
	struct irq_msg msg;
	u32 dm;

	(void)state;
	for (dm = 0; dm < 8; dm++) {
		msg_from_icr(dm << 8 | LAPIC_ICR_LEVEL | 0x30, 0, false, &msg);
		assert_false(msg.level);
		assert_int_equal(msg.assert, dm != IRQ_DM_INIT);
		msg_from_icr(dm << 8 | LAPIC_ICR_LEVEL | LAPIC_ICR_ASSERT | 0x30, 0, false, &msg);
		assert_true(msg.assert);
	}
}

static struct irq_msg fixed(u32 dest, bool logical)
{
	return (struct irq_msg){ .dest = dest,
				 .vector = 0x40,
				 .logical = logical,
				 .assert = true,
				 .path = IRQ_PATH_MSI };
}

static bool matches(struct machine *m, u32 cpu, struct irq_msg msg)
{
	return msg_matches(&msg, &m->apic[cpu], !m->chip.no_x2apic_bcast);
}

static void physical_match(void **state)
{
	struct machine *m = machine_new(2);
	u32 dest;

	(void)state;
	for (dest = 0; dest < 0x300; dest++) {
		assert_int_equal(matches(m, 0, fixed(dest, false)), dest == 0 || dest == 0xff);
		assert_int_equal(matches(m, 1, fixed(dest, false)), dest == 1 || dest == 0xff);
	}
	assert_true(matches(m, 1, fixed(0xffffffff, false)));
	machine_free(m);
}

static void flat_match(void **state)
{
	struct machine *m = machine_new(1);
	u32 ldr, dest;

	(void)state;
	for (ldr = 0; ldr < 0x100; ldr++) {
		wr(m, 0, LAPIC_LDR, ldr << 24);
		for (dest = 0; dest < 0x200; dest++)
			assert_int_equal(matches(m, 0, fixed(dest, true)),
					 dest == 0xff || (dest < 0x100 && (dest & ldr)));
	}
	machine_free(m);
}

static void cluster_match(void **state)
{
	struct machine *m = machine_new(1);
	u32 ldr, dest;

	(void)state;
	wr(m, 0, LAPIC_DFR, 0x0fffffff);
	for (ldr = 0; ldr < 0x100; ldr++) {
		wr(m, 0, LAPIC_LDR, ldr << 24);
		for (dest = 0; dest < 0x200; dest++)
			assert_int_equal(matches(m, 0, fixed(dest, true)),
					 dest == 0xff || (dest < 0x100 && dest >> 4 == ldr >> 4 &&
							  (dest & ldr & 0xf)));
	}
	/* A model that does not exist hears broadcasts only. */
	wr(m, 0, LAPIC_DFR, 0x70000000);
	assert_false(matches(m, 0, fixed(0x0f, true)));
	assert_true(matches(m, 0, fixed(0xff, true)));
	machine_free(m);
}

/* Invariant L3: any 32-bit ID and destination; nothing is indexed by them. */
static void L3_x2apic_cluster_is_bounded(void **state)
{
	static const u32 ids[] = { 0, 1, 15, 16, 17, 255, 256, 4095, 0xffff, 0x10000, 0xfffffffe };
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		struct machine *m = machine_new_ids(1, ids[i]);
		u32 ldr = (ids[i] / 16) << 16 | 1u << ids[i] % 16;

		go_x2apic(m, 0);
		assert_int_equal(rdmsr(m, 0, x2(LAPIC_ID)), ids[i]);
		assert_int_equal(rdmsr(m, 0, x2(LAPIC_LDR)), ldr);
		m->chip.no_x2apic_bcast = true;
		for (j = 0; j < ARRAY_SIZE(ids); j++) {
			u32 other = (ids[j] / 16) << 16 | 1u << ids[j] % 16;

			assert_int_equal(matches(m, 0, fixed(ids[j], false)), i == j);
			assert_int_equal(matches(m, 0, fixed(other, true)), other == ldr);
		}
		assert_true(matches(m, 0, fixed(ldr | 0xffff, true)));
		assert_true(matches(m, 0, fixed(0xffffffff, true)));
		assert_true(matches(m, 0, fixed(0xffffffff, false)));
		machine_free(m);
	}
}

static void x2apic_broadcast_quirk(void **state)
{
	struct machine *m = machine_new(1);
	struct irq_msg msg = fixed(0xff, false);

	(void)state;
	assert_true(matches(m, 0, msg)); /* xAPIC mode: 0xff is everyone */
	go_x2apic(m, 0);
	assert_true(matches(m, 0, msg));
	m->chip.no_x2apic_bcast = true;
	assert_false(matches(m, 0, msg));
	m->chip.no_x2apic_bcast = false;
	msg.path = IRQ_PATH_IPI; /* the quirk is for devices */
	assert_false(matches(m, 0, msg));
	msg.x2apic_dest = true;
	assert_false(matches(m, 0, msg));
	machine_free(m);
}

static void high_ids_can_be_started_in_xapic_mode(void **state)
{
	struct machine *m = machine_new_ids(2, 299); /* 299, 300 */
	struct irq_msg msg = fixed(300, false);

	(void)state;
	msg.x2apic_dest = true;
	assert_true(matches(m, 1, msg));
	assert_false(matches(m, 0, msg));
	/* No alias at the low byte. */
	assert_false(matches(m, 1, fixed(300 & 0xff, false)));
	assert_int_equal(rd(m, 1, LAPIC_ID), (300u & 0xff) << 24);
	machine_free(m);
}

static void disabled_lapic_hears_nothing(void **state)
{
	struct machine *m = machine_new(1);

	(void)state;
	wrmsr(m, 0, MSR_LAPIC_BASE, LAPIC_DEFAULT_BASE);
	assert_false(matches(m, 0, fixed(0, false)));
	assert_false(matches(m, 0, fixed(0xff, false)));
	assert_false(matches(m, 0, fixed(0xffffffff, true)));
	machine_free(m);
}

static struct machine *four_cpus_flat(void)
{
	struct machine *m = machine_new(4);
	u32 i;

	for (i = 0; i < 4; i++) {
		sw_enable(m, i);
		wr(m, i, LAPIC_LDR, 1u << (24 + i));
	}
	return m;
}

static struct irq_msg lowest(u32 dest, u8 vector)
{
	struct irq_msg msg = fixed(dest, true);

	msg.delivery = IRQ_DM_LOWEST;
	msg.vector = vector;
	return msg;
}

static void lowest_priority_is_shared_out(void **state)
{
	struct machine *m = four_cpus_flat();
	struct irq_msg msg;
	u32 i;

	(void)state;
	for (i = 0; i < 40; i++) {
		msg = lowest(0x0f, (u8)(0x40 + i));
		assert_int_equal(irqchip_deliver(&m->chip, &msg, -1), 1);
	}
	for (i = 0; i < 4; i++)
		assert_int_equal(env_counter_get(&m->apic[i].delivered[IRQ_PATH_MSI]), 10);

	/* Only those named, and only those software-enabled. */
	wr(m, 1, LAPIC_SVR, 0xff);
	for (i = 0; i < 10; i++) {
		msg = lowest(0x06, (u8)(0x80 + i));
		assert_int_equal(irqchip_deliver(&m->chip, &msg, -1), 1);
	}
	assert_int_equal(env_counter_get(&m->apic[2].delivered[IRQ_PATH_MSI]), 20);
	msg = lowest(0x02, 0x90);
	assert_int_equal(irqchip_deliver(&m->chip, &msg, -1), -1);
	machine_free(m);
}

static void lowest_priority_survives_counter_wrap(void **state)
{
	struct machine *m = four_cpus_flat();
	struct irq_msg msg = lowest(0x03, 0x40);

	(void)state;
	m->apic[0].arb_prio = 0xffffffff;
	m->apic[1].arb_prio = 1; /* took two more */
	assert_ptr_equal(msg_arbitrate(&m->chip, &msg), &m->apic[0]);
	machine_free(m);
}

/* A restored LAPIC is found by the logical ID of the image. */
static void restored_logical_ids_are_found(void **state)
{
	struct machine *m = four_cpus_flat();
	struct kvm_lapic_state image;

	(void)state;
	assert_int_equal(irqchip_get_lapic(&m->chip, 2, &image), 0);
	image.regs[LAPIC_LDR + 3] = 0x80;
	assert_int_equal(irqchip_set_lapic(&m->chip, 2, &image), 0);
	assert_int_equal(irqchip_msi(&m->chip, MSI_ADDR(0x80, MSI_LOGICAL), 0x51), 1);
	assert_true(has(m, 2, LAPIC_IRR, 0x51));
	assert_int_equal(irqchip_msi(&m->chip, MSI_ADDR(0x04, MSI_LOGICAL), 0x52), 0);
	machine_free(m);
}

static void redirection_hint_picks_one(void **state)
{
	struct machine *m = four_cpus_flat();
	u32 i, total = 0;

	(void)state;
	assert_int_equal(irqchip_msi(&m->chip, MSI_ADDR(0x0f, MSI_LOGICAL | MSI_REDIR), 0x51), 1);
	assert_int_equal(irqchip_msi(&m->chip, MSI_ADDR(0x0f, MSI_LOGICAL), 0x52), 4);
	for (i = 0; i < 4; i++)
		total += has(m, i, LAPIC_IRR, 0x51);
	assert_int_equal(total, 1);
	machine_free(m);
}

static void vector_hashing_picks_by_vector(void **state)
{
	struct machine *m = four_cpus_flat();
	u32 v;

	(void)state;
	m->chip.vector_hashing = true;
	for (v = 0x20; v < 0x100; v++) {
		struct irq_msg msg = lowest(0x0d, (u8)v); /* CPUs 0, 2, 3 */
		static const u32 nth[] = { 0, 2, 3 };

		assert_ptr_equal(msg_arbitrate(&m->chip, &msg), &m->apic[nth[v % 3]]);
	}
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(msi_decode),
		cmocka_unit_test(msi_high_half_needs_the_x2apic_format),
		cmocka_unit_test(icr_decode),
		cmocka_unit_test(icr_level_and_trigger_mean_init_deassert_only),
		cmocka_unit_test(physical_match),
		cmocka_unit_test(flat_match),
		cmocka_unit_test(cluster_match),
		cmocka_unit_test(L3_x2apic_cluster_is_bounded),
		cmocka_unit_test(x2apic_broadcast_quirk),
		cmocka_unit_test(high_ids_can_be_started_in_xapic_mode),
		cmocka_unit_test(disabled_lapic_hears_nothing),
		cmocka_unit_test(lowest_priority_is_shared_out),
		cmocka_unit_test(lowest_priority_survives_counter_wrap),
		cmocka_unit_test(restored_logical_ids_are_found),
		cmocka_unit_test(redirection_hint_picks_one),
		cmocka_unit_test(vector_hashing_picks_by_vector),
	};

	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
