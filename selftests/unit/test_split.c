// SPDX-License-Identifier: GPL-2.0-only
/*
 * The split irqchip: LAPICs alone, and an IOAPIC and a PIC that are behind host operations. Which
 * ends of interrupt the userspace IOAPIC hears of, and how the userspace PIC's vector is taken.
 */
#include "harness.h"

#define PINS      24
#define MSI_EDGE  0x4000u
#define MSI_LEVEL 0x8000u /* as QEMU sends it: not asserted */

static struct machine *split_machine(u32 nr_cpus)
{
	struct machine *m = machine_new(nr_cpus);
	u32 i;

	m->chip.split = true;
	m->chip.reserved_pins = PINS;
	for (i = 0; i < nr_cpus; i++)
		sw_enable(m, i);
	return m;
}

static struct kvm_irq_routing_entry msi_row(u32 gsi, u32 data)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = data },
	};
}

static void route_one(struct machine *m, u32 gsi, u32 data)
{
	struct kvm_irq_routing_entry row = msi_row(gsi, data);

	machine_route(m, &row, 1);
}

/* --- ends of interrupt --- */

static void a_level_pin_reports_its_eoi(void **state)
{
	struct machine *m = split_machine(1);

	(void)state;
	route_one(m, PINS - 1, MSI_LEVEL | 0x41);
	assert_int_equal(line(m, PINS - 1, true), 1);
	assert_int_equal(line(m, PINS - 1, false), -1); /* a message has no end */
	expect_irq(m, 0, 0x41);
	assert_int_equal(m->eoi_exits, 1);
	assert_int_equal(m->eoi_exit_vector, 0x41);
	expect_irq(m, 0, -1);
	assert_int_equal(m->eoi_exits, 1);
	machine_free(m);
}

static void an_edge_pin_does_not(void **state)
{
	struct machine *m = split_machine(1);

	(void)state;
	route_one(m, 4, MSI_EDGE | 0x41);
	assert_int_equal(irqchip_pulse_gsi(&m->chip, 4), 1);
	expect_irq(m, 0, 0x41);
	assert_int_equal(m->eoi_exits, 0);
	machine_free(m);
}

/* The first GSI that is no pin's, and a message that no route has. */
static void other_level_messages_do_not(void **state)
{
	struct machine *m = split_machine(1);

	(void)state;
	route_one(m, PINS, MSI_LEVEL | 0x41);
	line(m, PINS, true);
	expect_irq(m, 0, 0x41);
	irqchip_msi(&m->chip, 0xfee00000, MSI_LEVEL | 0x51);
	expect_irq(m, 0, 0x51);
	assert_int_equal(m->eoi_exits, 0);
	m->chip.reserved_pins = 0;
	route_one(m, 0, MSI_LEVEL | 0x41);
	line(m, 0, true);
	expect_irq(m, 0, 0x41);
	assert_int_equal(m->eoi_exits, 0);
	machine_free(m);
}

/* A userspace IOAPIC may also send its messages itself: the pin's route tells that it has one. */
static void a_pins_message_by_another_way_does(void **state)
{
	struct machine *m = split_machine(1);
	struct kvm_irq_routing_entry rows[] = { msi_row(3, MSI_EDGE | 0x51),
						msi_row(5, MSI_LEVEL | 0x41) };

	(void)state;
	machine_route(m, rows, ARRAY_SIZE(rows));
	irqchip_msi(&m->chip, 0xfee00000, MSI_LEVEL | 0x41);
	expect_irq(m, 0, 0x41);
	assert_int_equal(m->eoi_exits, 1);
	irqchip_msi(&m->chip, 0xfee00000, MSI_LEVEL | 0x51); /* that pin is an edge's */
	expect_irq(m, 0, 0x51);
	assert_int_equal(m->eoi_exits, 1);
	machine_free(m);
}

/* Invariant I4: what is in service is reported although its route has moved meanwhile. */
static void I4_the_route_moves_before_the_eoi(void **state)
{
	struct machine *m = split_machine(1);

	(void)state;
	route_one(m, 5, MSI_LEVEL | 0x41);
	line(m, 5, true);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x41);
	route_one(m, 5, MSI_LEVEL | 0x51);
	irqchip_msi(&m->chip, 0xfee00000, MSI_LEVEL | 0x41); /* nobody's by now */
	wr_eoi(m, 0);
	assert_int_equal(m->eoi_exits, 1);
	assert_int_equal(m->eoi_exit_vector, 0x41);
	machine_free(m);
}

static void a_restored_interrupt_reports_its_eoi(void **state)
{
	struct machine *m = split_machine(1), *n = split_machine(1);
	struct kvm_lapic_state image;

	(void)state;
	route_one(m, 5, MSI_LEVEL | 0x41);
	line(m, 5, true);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x41);
	irqchip_msi(&m->chip, 0xfee00000, MSI_EDGE | 0x31);
	assert_int_equal(irqchip_get_lapic(&m->chip, 0, &image), 0);
	assert_int_equal(irqchip_set_lapic(&n->chip, 0, &image), 0);
	wr_eoi(n, 0);
	assert_int_equal(n->eoi_exits, 1);
	assert_int_equal(n->eoi_exit_vector, 0x41);
	expect_irq(n, 0, 0x31); /* an edge */
	assert_int_equal(n->eoi_exits, 1);
	machine_free(m);
	machine_free(n);
}

/* With virtual-interrupt delivery: the processor is asked to report these vectors, and no others. */
static void the_processor_reports_pins_only(void **state)
{
	struct machine *m = split_machine(1);
	u32 map[8];

	(void)state;
	route_one(m, 5, MSI_LEVEL | 0x41);
	line(m, 5, true);
	irqchip_msi(&m->chip, 0xfee00000, MSI_LEVEL | 0x42);
	irqchip_msi(&m->chip, 0xfee00000, MSI_EDGE | 0x43);
	vlapic_fold(&m->apic[0]);
	vlapic_eoi_exits(&m->apic[0], map);
	assert_int_equal(map[2], 1u << 1);
	irqchip_hw_eoi(&m->chip, 0, 0x41);
	assert_int_equal(m->eoi_exits, 1);
	machine_free(m);
}

/* --- the PIC in userspace --- */

static void extint_waits_for_lint0(void **state)
{
	struct machine *m = split_machine(2);

	(void)state;
	wr(m, 0, LAPIC_LVT_LINT0, 0x10700);
	m->user_intr[0] = USER_INTR | 0x08;
	assert_false(irqchip_passes_extint(&m->chip, 0));
	assert_false(irqchip_extint_waits(&m->chip, 0));
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	m->notified[0] = 0;
	wr(m, 0, LAPIC_LVT_LINT0, 0x00700);
	assert_int_equal(m->notified[0], 1);
	assert_true(irqchip_passes_extint(&m->chip, 0));
	assert_true(irqchip_extint_waits(&m->chip, 0));
	assert_int_equal(irqchip_peek(&m->chip, 0), IRQCHIP_EXTINT);
	assert_int_equal(irqchip_peek(&m->chip, 1), -1);

	/* Before what waits in IRR, whatever TPR says. */
	irqchip_set_cr8(&m->chip, 0, 15);
	irqchip_msi(&m->chip, 0xfee00000, MSI_EDGE | 0xf0);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x08);
	assert_int_equal(m->user_intr[0], 0);
	assert_int_equal(env_counter_get(&m->apic[0].delivered[IRQ_PATH_PIC]), 1);
	assert_int_equal(irqchip_ack(&m->chip, 0), -1);
	assert_false(irqchip_extint_waits(&m->chip, 0));
	machine_free(m);
}

/* A LAPIC that is off is a wire; LINT0 in another mode is none. */
static void who_passes_extint(void **state)
{
	struct machine *m = split_machine(1);

	(void)state;
	wr(m, 0, LAPIC_LVT_LINT0, 0x00041);
	assert_false(irqchip_passes_extint(&m->chip, 0));
	wrmsr(m, 0, MSR_LAPIC_BASE, LAPIC_DEFAULT_BASE);
	assert_true(irqchip_passes_extint(&m->chip, 0));
	assert_false(irqchip_passes_extint(&m->chip, 1)); /* an empty socket */
	machine_free(m);
}

/* A redirection entry or MSI in ExtINT mode lets one through a masked LINT0. */
static void extint_message_lets_one_through(void **state)
{
	struct machine *m = split_machine(1);

	(void)state;
	wr(m, 0, LAPIC_LVT_LINT0, 0x10700);
	irqchip_msi(&m->chip, 0xfee00000, MSI_EDGE | 0x700);
	assert_true(irqchip_passes_extint(&m->chip, 0));
	assert_int_equal(irqchip_peek(&m->chip, 0), -1); /* the PIC has nothing */
	m->user_intr[0] = USER_INTR | 0x21;
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x21);
	assert_false(irqchip_passes_extint(&m->chip, 0));
	m->user_intr[0] = USER_INTR | 0x22;
	assert_int_equal(irqchip_ack(&m->chip, 0), -1);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_level_pin_reports_its_eoi),
		cmocka_unit_test(an_edge_pin_does_not),
		cmocka_unit_test(other_level_messages_do_not),
		cmocka_unit_test(a_pins_message_by_another_way_does),
		cmocka_unit_test(I4_the_route_moves_before_the_eoi),
		cmocka_unit_test(a_restored_interrupt_reports_its_eoi),
		cmocka_unit_test(the_processor_reports_pins_only),
		cmocka_unit_test(extint_waits_for_lint0),
		cmocka_unit_test(who_passes_extint),
		cmocka_unit_test(extint_message_lets_one_through),
	};

	return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
