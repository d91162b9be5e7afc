// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls for what is not there (invariant L5): vCPUs that were never attached, devices that the
 * irqchip mode leaves out; and what the host tells the core of a processor that ran the LAPIC.
 */
#include "harness.h"

/* Each entry of the bus takes any vCPU number and does nothing for one that does not exist. */
static void L5_no_such_vcpu(void **state)
{
	static const u32 absent[] = { 1, IRQCHIP_MAX_VCPUS - 1, IRQCHIP_MAX_VCPUS, ~0u };
	struct machine *m = pc(1);
	struct kvm_lapic_state image = { 0 };
	u32 value = 0x1ff, i;
	u64 wide;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(absent); i++) {
		u32 cpu = absent[i];

		assert_int_equal(irqchip_peek(&m->chip, cpu), -1);
		assert_int_equal(irqchip_ack(&m->chip, cpu), -1);
		assert_false(irqchip_extint_waits(&m->chip, cpu));
		irqchip_hw_eoi(&m->chip, cpu, 0x40);
		irqchip_hw_wrote(&m->chip, cpu, LAPIC_SVR);
		irqchip_lapic_write(&m->chip, cpu, LAPIC_SVR, sizeof(value), &value);
		irqchip_lapic_timer_fired(&m->chip, cpu);
		irqchip_raise_lvt(&m->chip, cpu, LAPIC_LVT_PERF);
		assert_int_equal(irqchip_msr_read(&m->chip, cpu, MSR_LAPIC_BASE, &wide), 1);
		assert_int_equal(irqchip_msr_write(&m->chip, cpu, MSR_LAPIC_BASE, 0, true), 1);
		assert_true(irqchip_get_lapic(&m->chip, cpu, &image) < 0);
		assert_true(irqchip_set_lapic(&m->chip, cpu, &image) < 0);
	}
	assert_int_equal(m->notified[1], 0);
	machine_free(m);
}

/* A table with pins, and no chip behind them. */
static void L5_no_devices(void **state)
{
	struct machine *m = enabled_machine();
	struct kvm_irq_routing_entry rows[64];
	u8 byte = 0;
	u32 gsi;

	(void)state;
	machine_route(m, rows, route_default(rows, ARRAY_SIZE(rows)));
	for (gsi = 0; gsi < IOAPIC_NR_PINS; gsi++) {
		assert_int_equal(line(m, gsi, true), -1);
		assert_int_equal(irqchip_pulse_gsi(&m->chip, gsi), -1);
		irqchip_watch_gsi(&m->chip, gsi, true);
	}
	irqchip_routing_moved(&m->chip);
	irqchip_pit_timer_fired(&m->chip);
	irqchip_ioapic_timer_fired(&m->chip);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_false(irqchip_extint_waits(&m->chip, 0));
	assert_false(irqchip_pio_read(&m->chip, 0x20, 1, &byte));
	assert_false(irqchip_pio_read(&m->chip, 0x40, 1, &byte));
	assert_false(irqchip_mmio_read(&m->chip, 0xfec00000, 1, &byte));
	machine_free(m);
}

/* The PIT's ports are read on the bus as on the device. */
static void the_pit_is_read_through_the_bus(void **state)
{
	struct machine *m = pc(1);
	u8 status;

	(void)state;
	outb(m, 0x43, 0x34); /* channel 0, low then high byte, mode 2 */
	outb(m, 0x43, 0xe2); /* read back: the status of channel 0 */
	assert_true(irqchip_pio_read(&m->chip, 0x40, 1, &status));
	assert_int_equal(status & 0x3f, 0x34);
	machine_free(m);
}

/* An EOI-induced exit is broadcast as any other EOI. */
static void hw_eoi_reaches_the_pin(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	set_rte(m, 20, 0, 0x51 | RTE_LEVEL);
	assert_int_equal(line(m, 20, true), 1);
	assert_true(remote_irr(m, 20));
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x51);
	line(m, 20, false);
	irqchip_hw_eoi(&m->chip, 0, 0x51);
	assert_false(remote_irr(m, 20));
	assert_int_equal(m->acks[KVM_IRQCHIP_IOAPIC][20], 1);
	machine_free(m);
}

/* An APIC-write exit has the effects of the write: here the timer's start. */
static void hw_wrote_has_effects(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	wr(m, 0, LAPIC_LVT_TIMER, 0x45);
	m->apic[0].regs[LAPIC_TMICT / 4] = 1000; /* as the processor has stored it */
	irqchip_hw_wrote(&m->chip, 0, LAPIC_TMICT);
	assert_int_not_equal(m->lapic_deadline[0], 0);
	advance(m, 1000000);
	assert_int_equal(irqchip_peek(&m->chip, 0), 0x45);
	machine_free(m);
}

/* The PIC's output waits for the LAPIC that passes it on. */
static void extint_waits_for_lint0(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	init_pic(m);
	wr(m, 0, LAPIC_LVT_LINT0, FIELD_PREP(LAPIC_LVT_DELIVERY, IRQ_DM_EXTINT));
	assert_false(irqchip_extint_waits(&m->chip, 0));
	line(m, 3, true);
	assert_true(irqchip_extint_waits(&m->chip, 0));
	wr(m, 0, LAPIC_LVT_LINT0, LAPIC_LVT_MASKED);
	assert_false(irqchip_extint_waits(&m->chip, 0));
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(L5_no_such_vcpu),
		cmocka_unit_test(L5_no_devices),
		cmocka_unit_test(the_pit_is_read_through_the_bus),
		cmocka_unit_test(hw_eoi_reaches_the_pin),
		cmocka_unit_test(hw_wrote_has_effects),
		cmocka_unit_test(extint_waits_for_lint0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
