// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages to LAPICs: whom shorthands, modes and destinations reach, however many there are and
 * whatever modes they are in; and that the short ways there come to what the long one comes to.
 */
#include "harness.h"

static void shorthands(void **state)
{
	static const bool got[4][3] = {
		/* cpu 0, 1 (the sender), 2 */
		{ false, false, true }, /* none: destination 2 */
		{ false, true, false }, /* self */
		{ true, true, true },   /* all */
		{ true, false, true },  /* others */
	};
	u32 sh, cpu;

	(void)state;
	for (sh = 0; sh < 4; sh++) {
		struct machine *m = pc(3);

		ipi(m, 1, 2, sh << 18 | 0x40);
		for (cpu = 0; cpu < 3; cpu++) {
			assert_int_equal(has(m, cpu, LAPIC_IRR, 0x40), got[sh][cpu]);
			assert_int_equal(m->notified[cpu], got[sh][cpu]);
		}
		machine_free(m);
	}
}

static void delivery_modes(void **state)
{
	struct machine *m = pc(2);
	u8 page;
	u32 dm;

	(void)state;
	for (dm = 0; dm < 8; dm++)
		ipi(m, 0, 1, dm << 8 | LAPIC_ICR_ASSERT | (0x40 + dm));
	assert_true(has(m, 1, LAPIC_IRR, 0x40)); /* fixed */
	assert_true(has(m, 1, LAPIC_IRR, 0x41)); /* lowest priority */
	for (dm = 2; dm < 8; dm++)
		assert_false(has(m, 1, LAPIC_IRR, (u8)(0x40 + dm)));
	assert_int_equal(m->nmis[1], 1);
	assert_true(vlapic_take_init(&m->apic[1]));
	assert_true(vlapic_take_sipi(&m->apic[1], &page));
	assert_int_equal(page, 0x46);
	assert_true(vlapic_extint_requested(&m->apic[1]));
	assert_true(vlapic_wake_requested(&m->apic[1]));
	assert_int_equal(m->nmis[0], 0);
	/* QUIRK(smi_dropped): nobody takes it, and the sender is told so. */
	m->notified[1] = 0;
	assert_int_equal(irqchip_msi(&m->chip, 0xfee01000, IRQ_DM_SMI << 8), 0);
	assert_int_equal(m->notified[1], 0);
	machine_free(m);
}

static void msi_results(void **state)
{
	struct machine *m = pc(2);

	(void)state;
	assert_int_equal(irqchip_msi(&m->chip, 0xfee01000, 0x4041), 1);
	assert_int_equal(irqchip_msi(&m->chip, 0xfee01000, 0x4041), 0); /* coalesced */
	assert_int_equal(irqchip_msi(&m->chip, 0xfee07000, 0x4041), 0); /* nobody */
	assert_int_equal(irqchip_msi(&m->chip, 0xfeeff000, 0x4042), 2);
	/* The high half counts with the 32-bit format only. */
	assert_int_equal(irqchip_msi(&m->chip, 0x1ff00fee01000, 0x4043), 1);
	m->chip.x2apic_format = true;
	assert_int_equal(irqchip_msi(&m->chip, 0x1fee01000, 0x4044), -EINVAL);
	assert_int_equal(irqchip_msi(&m->chip, 0x10000fee01000, 0x4044), 0); /* ID 0x10001 */
	assert_int_equal(irqchip_msi(&m->chip, 0xfee01000, 0x4044), 1);
	machine_free(m);
}

/* Mostly an ID of its own; else any, shared with others or of several bits, and any model. */
static void choose_logical_id(struct machine *m, u32 index, u32 nth, u32 seed)
{
	static const u32 models[] = { LAPIC_DFR_FLAT, LAPIC_DFR_FLAT, LAPIC_DFR_CLUSTER,
				      0x7fffffff };

	wr(m, index, LAPIC_LDR, seed >> 21 & 3 ? 1u << (24 + nth) : seed << 3);
	wr(m, index, LAPIC_DFR, models[seed >> 9 & 3]);
}

static u32 next_random(u32 *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed;
}

static const u32 dests[] = { 0,          1,       7,       15,   33,       0xff,       4095, 70000,
			     0xffffffff, 0x10001, 0x2ffff, 0x81, 0xff8000, 0x11170001, 0x0f };

static u32 some_dest(u32 seed)
{
	return seed >> 28 & 1 ? (seed >> 16 & 0xfff) : dests[(seed >> 16) % ARRAY_SIZE(dests)];
}

/* LAPICs in mixed modes and states, with sparse IDs on both sides of the table's end. */
static struct machine *mixed_machine(u32 round, u32 *seed)
{
	static const u32 ids[2][MACHINE_MAX_CPUS] = {
		{ 0, 1, 2, 3, 4, 5, 6, 7 },
		{ 0, 7, 15, 16, 33, 255, 4095, 70000 },
	};
	struct machine *m = machine_new(0);
	u32 cpu, i, r;

	m->nr_cpus = MACHINE_MAX_CPUS;
	for (cpu = 0; cpu < MACHINE_MAX_CPUS; cpu++) {
		r = next_random(seed);
		i = cpu * 5 % MACHINE_MAX_CPUS; /* index is not ID order */
		vlapic_init(&m->apic[i], calloc(1, LAPIC_PAGE_SIZE), ids[round & 1][cpu], false);
		assert_int_equal(irqchip_attach(&m->chip, i, &m->apic[i]), 0);
		if (r >> 16 & 1)
			go_x2apic(m, i);
		if (r >> 17 & 7)
			sw_enable(m, i);
		if (!(r >> 20 & 7))
			wrmsr(m, i, MSR_LAPIC_BASE, LAPIC_DEFAULT_BASE);
		if (!vlapic_x2apic(&m->apic[i]))
			choose_logical_id(m, i, cpu, r);
	}
	return m;
}

/*
 * The enumeration of targets against asking every LAPIC, for all kinds of destinations; each LAPIC
 * gets the message or does not.
 */
static void enumeration_equals_the_scan(void **state)
{
	u32 round, seed = 7;

	(void)state;
	for (round = 0; round < 20000; round++) {
		struct machine *m = mixed_machine(round, &seed);
		struct irq_msg msg = { .vector = 0x40, .assert = true };
		u32 cpu, expected = 0;
		bool named[MACHINE_MAX_CPUS];

		m->chip.no_x2apic_bcast = seed >> 24 & 1;
		msg.logical = seed >> 25 & 1;
		msg.path = seed >> 26 & 1 ? IRQ_PATH_IPI : IRQ_PATH_MSI;
		msg.x2apic_dest = seed >> 27 & 1;
		msg.dest = some_dest(seed);
		for (cpu = 0; cpu < MACHINE_MAX_CPUS; cpu++) {
			named[cpu] = vlapic_sw_enabled(&m->apic[cpu]) &&
				     msg_matches(&msg, &m->apic[cpu], !m->chip.no_x2apic_bcast);
			expected += named[cpu];
		}
		assert_int_equal(irqchip_deliver(&m->chip, &msg, -1),
				 expected ? (int)expected : -1);
		for (cpu = 0; cpu < MACHINE_MAX_CPUS; cpu++)
			assert_int_equal(has(m, cpu, LAPIC_IRR, 0x40), named[cpu]);
		machine_free(m);
	}
}

static void same_lapic(const struct machine *a, const struct machine *b, u32 i)
{
	assert_memory_equal(a->apic[i].regs, b->apic[i].regs, LAPIC_PAGE_SIZE);
	assert_int_equal(a->notified[i], b->notified[i]);
	assert_int_equal(a->nmis[i], b->nmis[i]);
	assert_int_equal(a->apic[i].pending, b->apic[i].pending);
	assert_int_equal(a->apic[i].look, b->apic[i].look);
	assert_int_equal(a->apic[i].esr_latch, b->apic[i].esr_latch);
	assert_memory_equal(a->apic[i].eoi_wanted, b->apic[i].eoi_wanted,
			    sizeof(a->apic[i].eoi_wanted));
	assert_memory_equal(a->apic[i].staged, b->apic[i].staged, sizeof(a->apic[i].staged));
	assert_memory_equal(a->apic[i].delivered, b->apic[i].delivered,
			    sizeof(a->apic[i].delivered));
	assert_int_equal(a->apic[i].coalesced, b->apic[i].coalesced);
}

/*
 * Many a write to ICR goes to its target directly: an APIC-write exit, an MSR. A write to the page
 * always takes the way that all messages take, and must come to the same, in all that it changes.
 */
static void direct_ipis(void **state)
{
	u32 round, seed = 3, seed_too, i, direct = 0;

	(void)state;
	for (round = 0; round < 20000; round++) {
		struct machine *m, *too;
		u32 from, lo, hi, r;

		seed_too = seed;
		m = mixed_machine(round, &seed);
		too = mixed_machine(round, &seed_too);
		r = next_random(&seed);
		from = r >> 8 & 7;
		hi = some_dest(next_random(&seed));
		if (!vlapic_x2apic(&m->apic[from]))
			hi <<= 24;
		lo = next_random(&seed) >> 8 & (LAPIC_ICR_ASSERT | LAPIC_ICR_LEVEL | 0x7f);
		lo |= r & 0x800 ? r >> 4 & 0xfffff : r >> 13 & LAPIC_ICR_BUSY;
		for (i = 0; i < 2; i++) { /* the second time it is pending */
			vlapic_set_reg(&too->apic[from], LAPIC_ICR_HI, hi);
			if (vlapic_x2apic(&m->apic[from])) {
				if (wrmsr_faults(m, from, x2(LAPIC_ICR_LO), (u64)hi << 32 | lo))
					break;
			} else {
				vlapic_set_reg(&m->apic[from], LAPIC_ICR_HI, hi);
				vlapic_set_reg(&m->apic[from], LAPIC_ICR_LO, lo);
				irqchip_hw_wrote(&m->chip, from, LAPIC_ICR_LO);
			}
			wr(too, from, LAPIC_ICR_LO, lo);
			for (u32 cpu = 0; cpu < MACHINE_MAX_CPUS; cpu++) {
				same_lapic(m, too, cpu);
				direct += m->notified[cpu];
			}
		}
		machine_free(m);
		machine_free(too);
	}
	assert_in_range(direct, 1000, ~0u);
}

/* The way that all messages take. */
static int send_indirectly(struct machine *m, u64 address, u32 data)
{
	struct irq_msg msg;

	if (msg_from_msi(address, data, m->chip.x2apic_format, &msg))
		return -EINVAL;
	return irqchip_deliver(&m->chip, &msg, -1);
}

/* By ioctl, or by a route as an irqfd has it. */
static int send_msi(struct machine *m, bool routed, u64 address, u32 data)
{
	struct kvm_irq_routing_entry row = {
		.gsi = 40,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = (u32)address,
			   .address_hi = (u32)(address >> 32),
			   .data = data },
	};

	if (!routed)
		return irqchip_msi(&m->chip, address, data);
	machine_route(m, &row, 1);
	return irqchip_pulse_gsi(&m->chip, 40);
}

/* Most MSIs, too, go to their target directly: with the same result in all that they change. */
static void direct_msis(void **state)
{
	u32 round, seed = 11, seed_too, i, cpu, direct = 0;

	(void)state;
	for (round = 0; round < 20000; round++) {
		struct machine *m, *too;
		bool routed = round & 2;
		u32 r, dest, data;
		u64 address;
		int expected;

		seed_too = seed;
		m = mixed_machine(round, &seed);
		too = mixed_machine(round, &seed_too);
		r = next_random(&seed);
		m->chip.x2apic_format = too->chip.x2apic_format = !routed && r >> 20 & 1;
		dest = some_dest(next_random(&seed));
		address = 0xfee00000 | (dest & 0xff) << 12 | (r >> 21 & 7 ? 0 : r & 0xc);
		if (m->chip.x2apic_format)
			address |= (u64)(dest & ~0xffu) << 32;
		data = (next_random(&seed) >> 8 & 0x7f) | (r >> 24 & 3 ? 0 : r >> 4 & 0xc7ff);
		/* The second time it is pending, perhaps as the other kind. */
		for (i = 0; i < 2; i++) {
			data ^= i ? r >> 12 & 0x8000 : 0;
			expected = send_indirectly(too, address, data);
			if (!routed && expected == -1)
				expected = 0; /* the ioctl's "not delivered" */
			assert_int_equal(send_msi(m, routed, address, data), expected);
			for (cpu = 0; cpu < MACHINE_MAX_CPUS; cpu++) {
				same_lapic(m, too, cpu);
				direct += m->notified[cpu];
			}
		}
		machine_free(m);
		machine_free(too);
	}
	assert_in_range(direct, 1000, ~0u);
}

/* An ID of 0xff does not take the broadcasts for itself. */
static void id_255_is_not_the_broadcast(void **state)
{
	struct machine *m = machine_new(2);
	u32 regs[LAPIC_PAGE_SIZE / 4] = { 0 };
	struct vlapic last;

	(void)state;
	vlapic_init(&last, regs, 255, false);
	assert_int_equal(irqchip_attach(&m->chip, 255, &last), 0);
	vlapic_set_reg(&last, LAPIC_SVR, LAPIC_SVR_ENABLE | 0xff);
	sw_enable(m, 0);
	sw_enable(m, 1);
	assert_int_equal(irqchip_msi(&m->chip, 0xfeeff000, 0x4041), 3);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shorthands),
		cmocka_unit_test(delivery_modes),
		cmocka_unit_test(msi_results),
		cmocka_unit_test(enumeration_equals_the_scan),
		cmocka_unit_test(direct_ipis),
		cmocka_unit_test(direct_msis),
		cmocka_unit_test(id_255_is_not_the_broadcast),
	};

	return cmocka_run_group_tests_name("messages", tests, NULL, NULL);
}
