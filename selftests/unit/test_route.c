// SPDX-License-Identifier: GPL-2.0-only
/*
 * The GSI routing table: what the ABI's rows mean, which rows are refused, and the default table.
 * Rows named I9_* exclude invariant I9 (unchecked GSI, pin or count).
 *
 * Links with: arch/x86/irqchip/route.c -lcmocka
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <irqchip/route.h>

static struct irq_routing *table;

static int setup(void **state)
{
	(void)state;
	table = malloc(route_size(ROUTE_MAX_ROWS));
	return table ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(table);
	return 0;
}

static int build(const struct kvm_irq_routing_entry *rows, u32 n, u32 flags)
{
	return route_build(table, route_size(n), rows, n, flags);
}

static struct kvm_irq_routing_entry pin_row(u32 gsi, u32 chip, u32 pin)
{
	struct kvm_irq_routing_entry row = { .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP };

	row.u.irqchip.irqchip = chip;
	row.u.irqchip.pin = pin;
	return row;
}

static struct kvm_irq_routing_entry msi_row(u32 gsi, u32 lo, u32 hi, u32 data)
{
	struct kvm_irq_routing_entry row = { .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI };

	row.u.msi.address_lo = lo;
	row.u.msi.address_hi = hi;
	row.u.msi.data = data;
	return row;
}

static void test_no_table_no_rows(void **state)
{
	u32 n = 1;

	(void)state;
	assert_null(route_lookup(NULL, 0, &n));
	assert_int_equal(n, 0);
	assert_int_equal(route_pin_gsi(NULL, KVM_IRQCHIP_IOAPIC, 0), -1);

	assert_int_equal(build(NULL, 0, 0), 0);
	assert_null(route_lookup(table, 0, &n));
	assert_null(route_lookup(table, IRQCHIP_MAX_GSI - 1, &n));
	assert_int_equal(route_pin_gsi(table, KVM_IRQCHIP_IOAPIC, 0), -1);
}

/* Rows come in any order; a GSI keeps its rows together. */
static void test_lookup(void **state)
{
	const struct kvm_irq_routing_entry rows[] = {
		msi_row(4095, 0xfee01000, 0, 0x41),    pin_row(4, KVM_IRQCHIP_IOAPIC, 4),
		msi_row(24, 0xfee00000, 0, 0x4030),    pin_row(0, KVM_IRQCHIP_PIC_MASTER, 0),
		pin_row(4, KVM_IRQCHIP_PIC_MASTER, 4), pin_row(0, KVM_IRQCHIP_IOAPIC, 2),
	};
	const struct irq_route *r;
	u32 n;

	(void)state;
	assert_int_equal(build(rows, ARRAY_SIZE(rows), 0), 0);

	r = route_lookup(table, 0, &n);
	assert_int_equal(n, 2);
	assert_int_equal(r[0].type, IRQ_ROUTE_PIN);
	assert_int_equal(r[0].chip, KVM_IRQCHIP_PIC_MASTER);
	assert_int_equal(r[1].chip, KVM_IRQCHIP_IOAPIC);
	assert_int_equal(r[1].pin, 2);

	r = route_lookup(table, 4, &n);
	assert_int_equal(n, 2);
	assert_int_equal(r[0].gsi, 4);
	assert_int_equal(r[1].gsi, 4);

	r = route_lookup(table, 24, &n);
	assert_int_equal(n, 1);
	assert_int_equal(r->type, IRQ_ROUTE_MSI);
	assert_int_equal(r->msi.dest, 0);
	assert_int_equal(r->msi.vector, 0x30);

	r = route_lookup(table, 4095, &n);
	assert_int_equal(n, 1);
	assert_int_equal(r->msi.vector, 0x41);

	assert_null(route_lookup(table, 1, &n));
	assert_int_equal(n, 0);
	assert_int_equal(route_pin_gsi(table, KVM_IRQCHIP_IOAPIC, 2), 0);
	assert_int_equal(route_pin_gsi(table, KVM_IRQCHIP_PIC_MASTER, 4), 4);
	assert_int_equal(route_pin_gsi(table, KVM_IRQCHIP_IOAPIC, 0), -1);
}

static void test_shared_pin_reports_lowest_gsi(void **state)
{
	const struct kvm_irq_routing_entry rows[] = {
		pin_row(30, KVM_IRQCHIP_IOAPIC, 9),
		pin_row(9, KVM_IRQCHIP_IOAPIC, 9),
		pin_row(31, KVM_IRQCHIP_IOAPIC, 9),
	};

	(void)state;
	assert_int_equal(build(rows, ARRAY_SIZE(rows), 0), 0);
	assert_int_equal(route_pin_gsi(table, KVM_IRQCHIP_IOAPIC, 9), 9);
}

/* GSI i is IOAPIC pin i, also for i = 0; the first 16 are PIC pins too. */
static void test_default_table(void **state)
{
	struct kvm_irq_routing_entry rows[64];
	const struct irq_route *r;
	u32 gsi, n, i, total;

	(void)state;
	total = route_default(rows, ARRAY_SIZE(rows));
	assert_int_equal(total, 40);
	assert_int_equal(build(rows, total, 0), 0);
	for (gsi = 0; gsi < IRQCHIP_MAX_GSI; gsi++) {
		r = route_lookup(table, gsi, &n);
		assert_int_equal(n, gsi < 16 ? 2 : gsi < 24 ? 1 : 0);
		for (i = 0; i < n; i++) {
			assert_int_equal(r[i].type, IRQ_ROUTE_PIN);
			if (r[i].chip == KVM_IRQCHIP_IOAPIC) {
				assert_int_equal(r[i].pin, gsi);
			} else {
				assert_int_equal(r[i].chip, gsi / 8);
				assert_int_equal(r[i].pin, gsi % 8);
			}
		}
	}
}

static void test_default_table_is_bounded(void **state)
{
	struct kvm_irq_routing_entry rows[4];

	(void)state;
	memset(rows, 0x5a, sizeof(rows));
	assert_int_equal(route_default(rows, 3), 40);
	assert_int_equal(rows[2].gsi, 2);
	assert_int_equal(rows[3].gsi, 0x5a5a5a5a);
}

static void I9_gsi_and_pin_range(void **state)
{
	const struct {
		struct kvm_irq_routing_entry row;
		int want;
	} cases[] = {
		{ pin_row(IRQCHIP_MAX_GSI - 1, KVM_IRQCHIP_IOAPIC, 23), 0 },
		{ pin_row(IRQCHIP_MAX_GSI, KVM_IRQCHIP_IOAPIC, 0), -EINVAL },
		{ pin_row(0xffffffff, KVM_IRQCHIP_IOAPIC, 0), -EINVAL },
		{ pin_row(0, KVM_IRQCHIP_IOAPIC, 24), -EINVAL },
		{ pin_row(0, KVM_IRQCHIP_IOAPIC, 0xffffffff), -EINVAL },
		{ pin_row(0, KVM_IRQCHIP_PIC_MASTER, 7), 0 },
		{ pin_row(0, KVM_IRQCHIP_PIC_MASTER, 8), -EINVAL },
		{ pin_row(0, KVM_IRQCHIP_PIC_SLAVE, 7), 0 },
		{ pin_row(0, KVM_IRQCHIP_PIC_SLAVE, 8), -EINVAL },
		{ pin_row(0, 3, 0), -EINVAL },
		{ pin_row(0, 0xffffffff, 0), -EINVAL },
		{ { .type = 0 }, -EINVAL },
		{ { .type = KVM_IRQ_ROUTING_S390_ADAPTER }, -EINVAL },
		{ { .type = KVM_IRQ_ROUTING_HV_SINT }, -EINVAL },
		/* 256 + 1: a type that a byte would cut down to a valid one */
		{ { .type = 0x100 + KVM_IRQ_ROUTING_IRQCHIP }, -EINVAL },
		{ { .type = KVM_IRQ_ROUTING_IRQCHIP, .flags = 1 }, -EINVAL },
		{ { .type = KVM_IRQ_ROUTING_MSI, .flags = KVM_MSI_VALID_DEVID }, -EINVAL },
	};
	u32 i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		if (build(&cases[i].row, 1, 0) != cases[i].want)
			fail_msg("case %u: not %d", i, cases[i].want);
}

static void I9_count_and_size(void **state)
{
	struct kvm_irq_routing_entry *rows = calloc(ROUTE_MAX_ROWS + 1, sizeof(*rows));
	u32 i, n;

	(void)state;
	assert_non_null(rows);
	for (i = 0; i <= ROUTE_MAX_ROWS; i++)
		rows[i] = msi_row(i % IRQCHIP_MAX_GSI, 0xfee00000 | (i & 0xff) << 12, 0, i >> 8);

	assert_int_equal(build(rows, ROUTE_MAX_ROWS, 0), 0);
	for (i = 0; i < ROUTE_MAX_ROWS; i++) {
		assert_int_equal(route_lookup(table, i, &n)->msi.dest, i & 0xff);
		assert_int_equal(route_lookup(table, i, &n)->msi.vector, i >> 8);
		assert_int_equal(n, 1);
	}
	assert_int_equal(build(rows, ROUTE_MAX_ROWS + 1, 0), -EINVAL);
	assert_int_equal(route_build(table, SIZE_MAX, rows, 0xffffffff, 0), -EINVAL);
	assert_int_equal(route_build(table, route_size(5) - 1, rows, 5, 0), -EINVAL);
	free(rows);
}

static void I9_lookup_range(void **state)
{
	struct kvm_irq_routing_entry rows[64];
	u32 n = route_default(rows, ARRAY_SIZE(rows));

	(void)state;
	assert_int_equal(build(rows, n, 0), 0);
	assert_null(route_lookup(table, IRQCHIP_MAX_GSI, &n));
	assert_null(route_lookup(table, 0xffffffff, &n));
	assert_int_equal(route_pin_gsi(table, KVM_NR_IRQCHIPS, 0), -1);
	assert_int_equal(route_pin_gsi(table, KVM_IRQCHIP_IOAPIC, 24), -1);
	assert_int_equal(route_pin_gsi(table, 0xffffffff, 0xffffffff), -1);
}

/* A GSI is one pin per chip, or one MSI. */
static void test_conflicting_rows(void **state)
{
	struct kvm_irq_routing_entry rows[4] = {
		pin_row(5, KVM_IRQCHIP_IOAPIC, 5),
		pin_row(5, KVM_IRQCHIP_IOAPIC, 6),
	};

	(void)state;
	assert_int_equal(build(rows, 2, 0), -EINVAL);
	rows[1] = msi_row(5, 0xfee00000, 0, 0);
	assert_int_equal(build(rows, 2, 0), -EINVAL);
	rows[0] = msi_row(5, 0xfee00000, 0, 0);
	assert_int_equal(build(rows, 2, 0), -EINVAL);
	rows[1] = pin_row(5, KVM_IRQCHIP_IOAPIC, 5);
	assert_int_equal(build(rows, 2, 0), -EINVAL);

	rows[0] = pin_row(5, KVM_IRQCHIP_PIC_MASTER, 5);
	rows[2] = pin_row(5, KVM_IRQCHIP_PIC_SLAVE, 5);
	assert_int_equal(build(rows, 3, 0), 0);
	rows[3] = pin_row(5, KVM_IRQCHIP_PIC_SLAVE, 6);
	assert_int_equal(build(rows, 4, 0), -EINVAL);
}

static void test_msi_address_formats(void **state)
{
	struct kvm_irq_routing_entry row = msi_row(30, 0xfeeff00c, 0x12345600, 0x31);
	u32 n;

	(void)state;
	assert_int_equal(build(&row, 1, ROUTE_X2APIC_FORMAT), 0);
	assert_int_equal(route_lookup(table, 30, &n)->msi.dest, 0x123456ff);
	/* Without the format the ABI ignores address_hi. */
	assert_int_equal(build(&row, 1, 0), 0);
	assert_int_equal(route_lookup(table, 30, &n)->msi.dest, 0xff);

	row.u.msi.address_hi = 0x12345601;
	assert_int_equal(build(&row, 1, ROUTE_X2APIC_FORMAT), -EINVAL);
	assert_int_equal(build(&row, 1, 0), 0);
}

static void test_split_chip_takes_only_msis(void **state)
{
	struct kvm_irq_routing_entry row = pin_row(3, KVM_IRQCHIP_IOAPIC, 3);

	(void)state;
	assert_int_equal(build(&row, 1, ROUTE_NO_PINS), -EINVAL);
	row = msi_row(3, 0xfee00000, 0, 0x33);
	assert_int_equal(build(&row, 1, ROUTE_NO_PINS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_table_no_rows),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_shared_pin_reports_lowest_gsi),
		cmocka_unit_test(test_default_table),
		cmocka_unit_test(test_default_table_is_bounded),
		cmocka_unit_test(I9_gsi_and_pin_range),
		cmocka_unit_test(I9_count_and_size),
		cmocka_unit_test(I9_lookup_range),
		cmocka_unit_test(test_conflicting_rows),
		cmocka_unit_test(test_msi_address_formats),
		cmocka_unit_test(test_split_chip_takes_only_msis),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
