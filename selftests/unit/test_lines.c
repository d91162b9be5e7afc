// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lines between GSIs and pins: what KVM_IRQ_LINE_STATUS reports of the RTC, and where a level goes
 * when its GSI is routed elsewhere while it is up.
 */
#include "harness.h"

#include <pthread.h>

#define RTC_GSI 8

static struct kvm_irq_routing_entry to_pin(u32 gsi, u32 chip, u32 pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/* Replace the table as the ioctl does. */
static void reroute(struct machine *m, const struct kvm_irq_routing_entry *rows, u32 n)
{
	machine_route(m, rows, n);
	irqchip_routing_moved(&m->chip);
}

/* --- the RTC's coalescing report --- */

static int tick(struct machine *m)
{
	int result = irqchip_line_status(&m->chip, RTC_GSI, true);

	assert_in_range(irqchip_line_status(&m->chip, RTC_GSI, false) + 1, 0, 2);
	return result;
}

static void rtc_ticks_coalesce_until_eoi(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	set_rte(m, RTC_GSI, 0, 0x48);
	assert_int_equal(tick(m), 1);
	assert_int_equal(tick(m), 0); /* still requested */
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x48);
	assert_int_equal(tick(m), 0); /* in service */
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_false(has(m, 0, LAPIC_IRR, 0x48)); /* and nothing was sent */
	wr_eoi(m, 0);
	assert_int_equal(tick(m), 1);
	machine_free(m);
}

/* Who does not ask gets every edge delivered; and so does every other pin. */
static void only_the_reporting_call_holds_ticks_back(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	set_rte(m, RTC_GSI, 0, 0x48);
	set_rte(m, 9, 0, 0x59);
	assert_int_equal(tick(m), 1);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x48);
	assert_int_equal(line(m, RTC_GSI, true), 1);
	line(m, RTC_GSI, false);
	assert_int_equal(irqchip_line_status(&m->chip, 9, true), 1);
	irqchip_line_status(&m->chip, 9, false);
	expect_irq(m, 0, 0x59);
	assert_int_equal(irqchip_line_status(&m->chip, 9, true), 1);
	machine_free(m);
}

/* Zero and many destinations, IDs of all sizes: no count and no table that they could upset (I2). */
static void I2_rtc_destinations(void **state)
{
	struct machine *m = machine_new_ids(8, 250);
	u32 i;

	(void)state;
	machine_add_devices(m);
	outb(m, 0xa1, 0xff);
	set_rte(m, RTC_GSI, 0xff, 0x48);
	assert_int_equal(tick(m), -1); /* nobody is enabled */
	for (i = 0; i < 8; i++)
		sw_enable(m, i);
	assert_int_equal(tick(m), 8);
	for (i = 0; i < 8; i++) {
		assert_int_equal(tick(m), 0);
		assert_int_equal(irqchip_ack(&m->chip, i), 0x48);
		assert_int_equal(tick(m), 0);
		wr_eoi(m, i);
	}
	assert_int_equal(tick(m), 8);
	/* Those who have not finished do not count any more once the entry names others. */
	set_rte(m, RTC_GSI, 3, 0x48);
	assert_int_equal(tick(m), -1);
	vlapic_reset(&m->apic[2], true);
	sw_enable(m, 2);
	set_rte(m, RTC_GSI, 252, 0x48);
	assert_int_equal(tick(m), 1);
	machine_free(m);
}

/* --- GSIs that move --- */

static void moved_level_leaves_no_pin_up(void **state)
{
	const struct kvm_irq_routing_entry old[] = { to_pin(20, KVM_IRQCHIP_IOAPIC, 10),
						     to_pin(20, KVM_IRQCHIP_PIC_SLAVE, 3) };
	const struct kvm_irq_routing_entry new[] = { to_pin(20, KVM_IRQCHIP_IOAPIC, 12) };
	struct machine *m = pc(1);

	(void)state;
	set_rte(m, 10, 0, RTE_LEVEL | 0x50);
	set_rte(m, 12, 0, RTE_LEVEL | 0x60);
	reroute(m, old, 2);
	irqchip_set_gsi(&m->chip, 20, IRQ_SOURCE_RESAMPLE, true);
	assert_int_equal(vpic_lines(&m->pic, 11), BIT(IRQ_SOURCE_RESAMPLE));
	reroute(m, new, 1);
	assert_int_equal(vioapic_lines(&m->ioapic, 10), 0);
	assert_int_equal(vpic_lines(&m->pic, 11), 0);
	assert_int_equal(vioapic_lines(&m->ioapic, 12), BIT(IRQ_SOURCE_RESAMPLE));
	expect_irq(m, 0, 0x60); /* the device still wants service, by the new pin */
	assert_true(remote_irr(m, 12));
	irqchip_set_gsi(&m->chip, 20, IRQ_SOURCE_RESAMPLE, false);
	expect_irq(m, 0, 0x60); /* sent again before the line fell */
	expect_irq(m, 0, 0x50); /* what the old pin had sent stays sent, once */
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_false(remote_irr(m, 10) || remote_irr(m, 12));
	machine_free(m);
}

static void swapped_pins_follow_their_gsis(void **state)
{
	const struct kvm_irq_routing_entry a[] = { to_pin(20, KVM_IRQCHIP_IOAPIC, 10),
						   to_pin(21, KVM_IRQCHIP_IOAPIC, 11) };
	const struct kvm_irq_routing_entry b[] = { to_pin(20, KVM_IRQCHIP_IOAPIC, 11),
						   to_pin(21, KVM_IRQCHIP_IOAPIC, 10) };
	struct machine *m = pc(1);

	(void)state;
	reroute(m, a, 2);
	line(m, 20, true);
	irqchip_set_gsi(&m->chip, 21, 5, true);
	reroute(m, b, 2);
	assert_int_equal(vioapic_lines(&m->ioapic, 11), BIT(IRQ_SOURCE_USER));
	assert_int_equal(vioapic_lines(&m->ioapic, 10), BIT(5));
	/* Without any route the level waits. */
	reroute(m, NULL, 0);
	assert_int_equal(vioapic_lines(&m->ioapic, 10) | vioapic_lines(&m->ioapic, 11), 0);
	line(m, 20, false);
	reroute(m, a, 2);
	assert_int_equal(vioapic_lines(&m->ioapic, 10), 0);
	assert_int_equal(vioapic_lines(&m->ioapic, 11), BIT(5));
	machine_free(m);
}

/* Same rows: nothing happens, above all no second edge. */
static void unmoved_lines_stay(void **state)
{
	struct kvm_irq_routing_entry rows[64];
	u32 n = route_default(rows, ARRAY_SIZE(rows));
	struct machine *m = pc(1);

	(void)state;
	set_rte(m, 5, 0, 0x45);
	set_rte(m, 6, 0, RTE_LEVEL | 0x46);
	line(m, 2, true); /* the PIC's cascade input: never anybody's line */
	line(m, 5, true);
	line(m, 6, true);
	irqchip_pulse_gsi(&m->chip, 7);
	expect_irq(m, 0, 0x46);
	expect_irq(m, 0, 0x46);
	m->notified[0] = 0;
	reroute(m, rows, n);
	assert_int_equal(m->notified[0], 0);
	assert_int_equal(vioapic_lines(&m->ioapic, 5), BIT(IRQ_SOURCE_USER));
	assert_int_equal(vioapic_lines(&m->ioapic, 7), 0);
	assert_int_equal(m->chip.gsi_lines[7], 0);
	machine_free(m);
}

/* A line that changes while its GSI moves ends on the right level, whoever was first. */
static void *toggle(void *arg)
{
	struct machine *m = arg;
	u32 i;

	for (i = 0; i < 20001; i++)
		irqchip_set_gsi(&m->chip, 20, 5, i % 2 == 0);
	return NULL;
}

static void moving_while_the_line_changes(void **state)
{
	const struct kvm_irq_routing_entry row = to_pin(20, KVM_IRQCHIP_IOAPIC, 10);
	struct machine *m = pc(1);
	pthread_t thread;
	u32 i;

	(void)state;
	reroute(m, &row, 1);
	assert_int_equal(pthread_create(&thread, NULL, toggle, m), 0);
	for (i = 0; i < 5000; i++)
		irqchip_routing_moved(&m->chip); /* the table stays: no grace period needed */
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(m->chip.gsi_lines[20], BIT(5));
	assert_int_equal(vioapic_lines(&m->ioapic, 10), BIT(5));
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rtc_ticks_coalesce_until_eoi),
		cmocka_unit_test(only_the_reporting_call_holds_ticks_back),
		cmocka_unit_test(I2_rtc_destinations),
		cmocka_unit_test(moved_level_leaves_no_pin_up),
		cmocka_unit_test(swapped_pins_follow_their_gsis),
		cmocka_unit_test(unmoved_lines_stay),
		cmocka_unit_test(moving_while_the_line_changes),
	};

	return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
