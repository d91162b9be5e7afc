// SPDX-License-Identifier: GPL-2.0-only
/*
 * When a vCPU is told to look: whatever makes a waiting interrupt deliverable must notify, for a
 * vCPU that runs or sleeps looks at its LAPIC only then (invariants L11, L12). Leaves out how the
 * notification travels (virt/vcpu.c) and who receives a message (test_destinations.c).
 */
#include "harness.h"

#define LOW  0x41
#define HIGH 0x82

/* Notifications of CPU 0 that @change() causes. */
static u32 notices(struct machine *m, void (*change)(struct machine *m))
{
	u32 before = m->notified[0];

	change(m);
	return m->notified[0] - before;
}

static void tpr_falls(struct machine *m)
{
	wr(m, 0, LAPIC_TPR, 0x30);
}

static void cr8_falls(struct machine *m)
{
	irqchip_set_cr8(&m->chip, 0, 3);
}

static void tpr_falls_a_little(struct machine *m)
{
	wr(m, 0, LAPIC_TPR, 0x40);
}

static void ends(struct machine *m)
{
	wr_eoi(m, 0);
}

static void L11_a_falling_priority_is_noticed(void **state)
{
	struct machine *m = enabled_machine();

	(void)state;
	wr(m, 0, LAPIC_TPR, 0x90);
	accept(m, 0, LOW, false);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_int_equal(notices(m, tpr_falls_a_little), 0); /* nothing to gain by a look */
	assert_int_equal(notices(m, tpr_falls), 1);
	assert_int_equal(irqchip_peek(&m->chip, 0), LOW);

	irqchip_set_cr8(&m->chip, 0, 9);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_int_equal(notices(m, cr8_falls), 1);
	assert_int_equal(irqchip_peek(&m->chip, 0), LOW);

	accept(m, 0, HIGH, false);
	assert_int_equal(irqchip_ack(&m->chip, 0), HIGH);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_int_equal(notices(m, ends), 1); /* the EOI of HIGH lets LOW through */
	assert_int_equal(irqchip_ack(&m->chip, 0), LOW);
	assert_int_equal(notices(m, ends), 0); /* nothing else waits */
	machine_free(m);
}

static void lint0_opens(struct machine *m)
{
	wr(m, 0, LAPIC_LVT_LINT0, IRQ_DM_EXTINT << 8);
}

static void pic_raises(struct machine *m)
{
	line(m, 4, true);
}

/* The PIC's request may come before or after LINT0 lets it through. */
static void L12_extint_is_noticed_in_either_order(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	init_pic(m);
	wr(m, 0, LAPIC_LVT_LINT0, LAPIC_LVT_MASKED | IRQ_DM_EXTINT << 8);
	assert_int_equal(notices(m, pic_raises), 0);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_int_equal(notices(m, lint0_opens), 1);
	assert_int_equal(irqchip_peek(&m->chip, 0), IRQCHIP_EXTINT);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x24);

	outb(m, 0x20, 0x20);
	line(m, 4, false);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_int_equal(notices(m, pic_raises), 1);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x24);
	machine_free(m);
}

/* Software-disabled meanwhile: IRR is kept, and delivered without a new message. */
static void enables(struct machine *m)
{
	sw_enable(m, 0);
}

static void L12_enabling_looks_at_irr(void **state)
{
	struct machine *m = enabled_machine();

	(void)state;
	wr(m, 0, LAPIC_TPR, 0xf0);
	accept(m, 0, LOW, false);
	wr(m, 0, LAPIC_SVR, 0xff);
	wr(m, 0, LAPIC_TPR, 0);
	assert_true(has(m, 0, LAPIC_IRR, LOW));
	assert_int_equal(notices(m, enables), 1);
	assert_int_equal(irqchip_ack(&m->chip, 0), LOW);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(L11_a_falling_priority_is_noticed),
		cmocka_unit_test(L12_extint_is_noticed_in_either_order),
		cmocka_unit_test(L12_enabling_looks_at_irr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
