// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bus between the LAPICs and what a PC had before them: the PIC pair through LINT0 and through
 * the IOAPIC, the PIT behind GSI 0, ports, and the save images of the chips.
 */
#include "harness.h"

/* --- PIC --- */

static void extint_through_lint0(void **state)
{
	struct machine *m = pc(2);

	(void)state;
	init_pic(m);
	wr(m, 0, LAPIC_LVT_LINT0, 0x10700);
	assert_int_equal(line(m, 1, true), 1);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1); /* masked at LINT0 */
	m->notified[0] = 0;
	wr(m, 0, LAPIC_LVT_LINT0, 0x00700); /* the PIC was waiting */
	assert_int_equal(m->notified[0], 1);
	assert_int_equal(irqchip_peek(&m->chip, 1), -1);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x21);
	assert_int_equal(irqchip_ack(&m->chip, 0), -1);
	assert_int_equal(env_counter_get(&m->apic[0].delivered[IRQ_PATH_PIC]), 1);
	outb(m, 0x20, 0x20);
	assert_int_equal(m->acks[KVM_IRQCHIP_PIC_MASTER][1], 1);

	/* The slave's, and ahead of any vector in IRR whatever TPR says. */
	line(m, 12, true);
	irqchip_set_cr8(&m->chip, 0, 15);
	irqchip_msi(&m->chip, 0xfee00000, 0x40f0);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x2c);
	assert_int_equal(irqchip_ack(&m->chip, 0), -1);
	outb(m, 0xa0, 0x20);
	assert_int_equal(m->acks[KVM_IRQCHIP_PIC_SLAVE][4], 1);
	machine_free(m);
}

static void lint0_in_other_delivery_modes(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	init_pic(m);
	wr(m, 0, LAPIC_LVT_LINT0, 0x00055); /* fixed: "virtual wire" with a vector of its own */
	line(m, 1, true);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x55);
	wr_eoi(m, 0);
	machine_free(m);

	m = pc(1);
	init_pic(m);
	wr(m, 0, LAPIC_LVT_LINT0, 0x00400);
	line(m, 1, true);
	assert_int_equal(m->nmis[0], 1);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	machine_free(m);
}

static void extint_through_the_ioapic(void **state)
{
	struct machine *m = pc(2);

	(void)state;
	init_pic(m);
	wr(m, 0, LAPIC_LVT_LINT0, 0x10700);
	set_rte(m, 7, 1, IRQ_DM_EXTINT << 8); /* to CPU 1 */
	line(m, 7, true);                     /* PIC input 7 and IOAPIC pin 7 */
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_int_equal(irqchip_peek(&m->chip, 1), IRQCHIP_EXTINT);
	assert_int_equal(irqchip_ack(&m->chip, 1), 0x27);
	/* One message, one INTA cycle: the PIC's next interrupt is not CPU 1's. */
	outb(m, 0x20, 0x20);
	line(m, 3, true);
	assert_int_equal(irqchip_peek(&m->chip, 1), -1);
	machine_free(m);
}

/* Virtual wire by the IOAPIC: INTR on its pin 0, while the entry is in ExtINT mode. */
static void intr_on_the_ioapic_pin(void **state)
{
	struct machine *m = pc(2);

	(void)state;
	init_pic(m);
	wr(m, 0, LAPIC_LVT_LINT0, 0x10700);
	set_rte(m, 0, 1, IRQ_DM_EXTINT << 8);
	line(m, 1, true);
	assert_int_equal(m->notified[1], 1);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_int_equal(irqchip_peek(&m->chip, 1), IRQCHIP_EXTINT);
	line(m, 12, true); /* INTR stays up over the first INTA cycle */
	assert_int_equal(irqchip_ack(&m->chip, 1), 0x21);
	outb(m, 0x20, 0x20);
	assert_int_equal(irqchip_ack(&m->chip, 1), 0x2c);
	outb(m, 0xa0, 0x20);
	outb(m, 0x20, 0x20);
	assert_int_equal(irqchip_peek(&m->chip, 1), -1);

	/* Masked, it waits; moved and unmasked, it is offered to the new CPU. */
	set_rte(m, 0, 1, RTE_MASK | IRQ_DM_EXTINT << 8);
	line(m, 3, true);
	assert_int_equal(irqchip_peek(&m->chip, 1), -1);
	m->notified[0] = 0;
	set_rte(m, 0, 0, IRQ_DM_EXTINT << 8);
	assert_int_equal(m->notified[0], 1);
	assert_int_equal(irqchip_peek(&m->chip, 1), -1);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x23);
	machine_free(m);
}

/* GSI 0 has the same pin: in ExtINT mode its own edges don't ask for INTA cycles. */
static void gsi_0_is_no_intr(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	wr(m, 0, LAPIC_LVT_LINT0, 0x10700);
	set_rte(m, 0, 0, IRQ_DM_EXTINT << 8);
	line(m, 0, true); /* masked at the PIC */
	assert_false(vlapic_extint_requested(&m->apic[0]));
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	/* A software-disabled LAPIC passes nothing on. */
	init_pic(m);
	line(m, 1, true);
	assert_int_equal(irqchip_peek(&m->chip, 0), IRQCHIP_EXTINT);
	wr(m, 0, LAPIC_SVR, 0xff);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	machine_free(m);
}

static void wide_port_accesses_go_byte_by_byte(void **state)
{
	struct machine *m = pc(1);
	u32 data = 0;

	(void)state;
	init_pic(m);
	data = 0x5aa5;
	assert_true(irqchip_pio_write(&m->chip, 0x20, 2, &(u16){ 0xa50b })); /* OCW3, then IMR */
	assert_true(irqchip_pio_read(&m->chip, 0x21, 4, &data));
	assert_int_equal(data, 0xffffffa5); /* 0x22 .. 0x24 belong to nobody */
	assert_false(irqchip_pio_read(&m->chip, 0x22, 1, &data));
	assert_true(irqchip_pio_write(&m->chip, 0x21, 4, &data));
	machine_free(m);
}

/* --- PIT --- */

/* Channel 0, mode 2, every 1193 clocks: about 1 ms. */
static void start_pit(struct machine *m)
{
	outb(m, 0x43, 0x34);
	outb(m, 0x40, 1193 & 0xff);
	outb(m, 0x40, 1193 >> 8);
}

static void pit_ticks_through_the_pic(void **state)
{
	struct machine *m = pc(1);
	u32 ticks = 0, i;

	(void)state;
	init_pic(m);
	start_pit(m);
	for (i = 0; i < 1000; i++) {
		advance(m, 100000);
		while (irqchip_peek(&m->chip, 0) == IRQCHIP_EXTINT) {
			assert_int_equal(irqchip_ack(&m->chip, 0), 0x20);
			outb(m, 0x20, 0x20);
			ticks++;
		}
	}
	assert_in_range(ticks, 99, 101);
	machine_free(m);
}

/* Ticks that the guest slept through are delivered one by one, each after the EOI of the last. */
static void pit_ticks_are_reinjected(void **state)
{
	struct machine *m = pc(1);
	u32 ticks = 0;

	(void)state;
	set_rte(m, 0, 0, 0x30); /* through the IOAPIC's edge pin: its EOI is watched */
	start_pit(m);
	advance(m, 20500000);
	while (irqchip_peek(&m->chip, 0) == 0x30) {
		expect_irq(m, 0, 0x30);
		ticks++;
		assert_true(ticks < 100);
	}
	assert_in_range(ticks, 19, 21);
	machine_free(m);
}

/* --- save and restore --- */

static void chip_images_round_trip(void **state)
{
	struct kvm_irqchip before[3] = { 0 }, after[3] = { 0 };
	struct machine *m = pc(1), *n = pc(1);
	u32 id;

	(void)state;
	init_pic(m);
	start_pit(m);
	set_rte(m, 9, 0, RTE_LEVEL | 0x49);
	line(m, 9, true);
	line(m, 1, true);
	for (id = 0; id < 3; id++) {
		before[id].chip_id = after[id].chip_id = id;
		assert_int_equal(irqchip_get_state(&m->chip, &before[id]), 0);
		assert_int_equal(irqchip_set_state(&n->chip, &before[id]), 0);
	}
	for (id = 0; id < 3; id++)
		assert_int_equal(irqchip_get_state(&n->chip, &after[id]), 0);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(irqchip_peek(&n->chip, 0), IRQCHIP_EXTINT);
	machine_free(m);
	machine_free(n);
}

static void pit_image_rearms_the_timer(void **state)
{
	struct machine *m = pc(1), *n = pc(1);
	struct kvm_pit_state2 image;

	(void)state;
	start_pit(m);
	assert_int_equal(irqchip_get_pit(&m->chip, &image), 0);
	n->pit_deadline = 0;
	assert_int_equal(irqchip_set_pit(&n->chip, &image), 0);
	assert_int_not_equal(n->pit_deadline, 0);
	machine_free(m);
	machine_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extint_through_lint0),
		cmocka_unit_test(lint0_in_other_delivery_modes),
		cmocka_unit_test(extint_through_the_ioapic),
		cmocka_unit_test(intr_on_the_ioapic_pin),
		cmocka_unit_test(gsi_0_is_no_intr),
		cmocka_unit_test(wide_port_accesses_go_byte_by_byte),
		cmocka_unit_test(pit_ticks_through_the_pic),
		cmocka_unit_test(pit_ticks_are_reinjected),
		cmocka_unit_test(chip_images_round_trip),
		cmocka_unit_test(pit_image_rearms_the_timer),
	};

	return cmocka_run_group_tests_name("legacy", tests, NULL, NULL);
}
