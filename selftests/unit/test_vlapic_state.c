// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_LAPIC and KVM_SET_LAPIC: what is saved comes back, in any order with the mode; what no
 * guest could have set does not come in. The timer's part is in test_timer.c.
 */
#include "harness.h"

static u32 word(const struct kvm_lapic_state *image, u32 offset)
{
	u32 value;

	memcpy(&value, image->regs + offset, sizeof(value));
	return value;
}

static void set_word(struct kvm_lapic_state *image, u32 offset, u32 value)
{
	memcpy(image->regs + offset, &value, sizeof(value));
}

/* A LAPIC with something in every register. */
static struct machine *busy_machine(bool x2apic)
{
	struct machine *m = machine_new_ids(1, 0x21);

	sw_enable(m, 0);
	wr(m, 0, LAPIC_LDR, 0x84000000);
	wr(m, 0, LAPIC_DFR, 0x0fffffff);
	wr(m, 0, LAPIC_LVT_TIMER, 0x20050);
	wr(m, 0, LAPIC_LVT_LINT0, 0x10700);
	wr(m, 0, LAPIC_LVT_LINT1, 0x0a400);
	wr(m, 0, LAPIC_LVT_ERROR, 0x100fe);
	wr(m, 0, LAPIC_LVT_PERF, 0x400);
	wr(m, 0, LAPIC_TDCR, 0x3);
	wr(m, 0, LAPIC_TMICT, 100000);
	ipi(m, 0, 0x55, 0x000040e1);
	rd(m, 0, 0x000);
	wr(m, 0, LAPIC_ESR, 0);
	accept(m, 0, 2, false); /* in the latch */
	if (x2apic)
		go_x2apic(m, 0);
	accept(m, 0, 0x40, true);
	irqchip_ack(&m->chip, 0);
	accept(m, 0, 0x71, false);
	irqchip_ack(&m->chip, 0);
	accept(m, 0, 0x61, true);
	accept(m, 0, 0x91, false);
	irqchip_set_cr8(&m->chip, 0, 4);
	advance(m, 12345);
	return m;
}

static void image_round_trip(void **state)
{
	u32 variant;

	(void)state;
	for (variant = 0; variant < 4; variant++) {
		struct machine *m = busy_machine(variant & 1);
		struct machine *n = machine_new_ids(1, 0x21);
		struct kvm_lapic_state before, after;

		m->chip.x2apic_format = n->chip.x2apic_format = variant & 2;
		assert_int_equal(irqchip_get_lapic(&m->chip, 0, &before), 0);
		irqchip_msr_write(&n->chip, 0, MSR_LAPIC_BASE, m->apic[0].base_msr, true);
		assert_int_equal(irqchip_set_lapic(&n->chip, 0, &before), 0);
		assert_int_equal(irqchip_get_lapic(&n->chip, 0, &after), 0);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_int_equal(word(&before, LAPIC_ID),
				 (variant & 1) && (variant & 2) ? 0x21 : 0x21000000);
		assert_int_equal(irqchip_peek(&n->chip, 0), irqchip_peek(&m->chip, 0));
		machine_free(m);
		machine_free(n);
	}
}

/* Invariant L8: with k vectors in service in the image, each of the k EOIs lands. */
static void L8_every_eoi_lands_after_a_load(void **state)
{
	struct machine *m = enabled_machine();
	struct kvm_lapic_state image;
	u32 v;

	(void)state;
	for (v = 0x20; v < 0x100; v += 0x10) {
		accept(m, 0, (u8)v, false);
		assert_int_equal(irqchip_ack(&m->chip, 0), v);
	}
	irqchip_get_lapic(&m->chip, 0, &image);
	machine_free(m);

	m = machine_new(1);
	assert_int_equal(irqchip_set_lapic(&m->chip, 0, &image), 0);
	for (v = 0xf0; v >= 0x20; v -= 0x10) {
		assert_int_equal(rd(m, 0, LAPIC_PPR), v);
		wr_eoi(m, 0);
		assert_false(has(m, 0, LAPIC_ISR, (u8)v));
	}
	assert_int_equal(rd(m, 0, LAPIC_PPR), 0);
	machine_free(m);
}

static void image_id_rules(void **state)
{
	struct machine *m = machine_new_ids(1, 0x21);
	struct kvm_lapic_state image;

	(void)state;
	irqchip_get_lapic(&m->chip, 0, &image);
	set_word(&image, LAPIC_ID, 0x77000000);
	/* xAPIC mode: the ID is read-only, the image's is ignored. */
	assert_int_equal(irqchip_set_lapic(&m->chip, 0, &image), 0);
	assert_int_equal(rd(m, 0, LAPIC_ID), 0x21000000);

	go_x2apic(m, 0);
	irqchip_get_lapic(&m->chip, 0, &image);
	set_word(&image, LAPIC_ID, 0x77000000);
	assert_int_equal(irqchip_set_lapic(&m->chip, 0, &image), 0);
	assert_int_equal(rdmsr(m, 0, x2(LAPIC_ID)), 0x21);

	m->chip.x2apic_format = true;
	assert_int_equal(irqchip_set_lapic(&m->chip, 0, &image), -EINVAL);
	set_word(&image, LAPIC_ID, 0x21);
	assert_int_equal(irqchip_set_lapic(&m->chip, 0, &image), 0);
	machine_free(m);
}

/* All ones, in both modes: nothing that a guest could not have set comes out. */
static void hostile_image(void **state)
{
	u32 x2apic;

	(void)state;
	for (x2apic = 0; x2apic < 2; x2apic++) {
		struct machine *m = machine_new_ids(1, 3);
		struct kvm_lapic_state image;
		u32 i;

		if (x2apic)
			go_x2apic(m, 0);
		memset(&image, 0xff, sizeof(image));
		assert_int_equal(irqchip_set_lapic(&m->chip, 0, &image), 0);
		irqchip_get_lapic(&m->chip, 0, &image);
		assert_int_equal(word(&image, LAPIC_ID), 0x03000000);
		assert_int_equal(word(&image, LAPIC_VERSION), 0x00050014);
		assert_int_equal(word(&image, LAPIC_SVR), 0x3ff);
		assert_int_equal(word(&image, LAPIC_TPR), 0xff);
		assert_int_equal(word(&image, LAPIC_PPR), 0xff);
		assert_int_equal(word(&image, LAPIC_ISR0), 0xffff0000);
		assert_int_equal(word(&image, LAPIC_IRR0), 0xffffffff);
		assert_int_equal(word(&image, LAPIC_LVT_TIMER), 0x700ff);
		assert_int_equal(word(&image, LAPIC_LVT_LINT0), 0x1a7ff);
		assert_int_equal(word(&image, LAPIC_LVT_CMCI), 0x10000);
		assert_int_equal(word(&image, LAPIC_TDCR), 0xb);
		assert_int_equal(word(&image, LAPIC_ESR_LATCH), 0xff);
		assert_int_equal(word(&image, LAPIC_LDR), x2apic ? 0x8 : 0xff000000);
		/* 240 interrupts in service can all be ended. */
		for (i = 0; i < 240; i++) {
			assert_int_equal(vlapic_highest_isr(&m->apic[0]), 255 - i);
			wr_eoi(m, 0);
		}
		assert_int_equal(vlapic_highest_isr(&m->apic[0]), -1);
		irqchip_set_cr8(&m->chip, 0, 0);
		for (i = 0; i < 240; i++) {
			assert_int_equal(irqchip_ack(&m->chip, 0), 255 - i);
			wr_eoi(m, 0);
		}
		/* Vectors 0 .. 15 stay in IRR: never delivered, but what was set reads back. */
		assert_int_equal(vlapic_highest_irr(&m->apic[0]), 15);
		assert_int_equal(irqchip_ack(&m->chip, 0), -1);
		machine_free(m);
	}
}

/* The image may come before the mode it belongs to. */
static void image_before_base(void **state)
{
	struct machine *m = busy_machine(true), *n;
	struct kvm_lapic_state image;

	(void)state;
	m->chip.x2apic_format = true;
	irqchip_get_lapic(&m->chip, 0, &image);
	n = machine_new_ids(1, 0x21);
	n->chip.x2apic_format = true;
	assert_int_equal(irqchip_set_lapic(&n->chip, 0, &image), 0);
	irqchip_msr_write(&n->chip, 0, MSR_LAPIC_BASE, m->apic[0].base_msr, true);
	assert_int_equal(rdmsr(n, 0, x2(LAPIC_ID)), 0x21);
	assert_int_equal(rdmsr(n, 0, x2(LAPIC_LDR)), 0x20002);
	assert_int_equal(rdmsr(n, 0, x2(LAPIC_ICR_LO)), rdmsr(m, 0, x2(LAPIC_ICR_LO)));
	machine_free(m);
	machine_free(n);

	/* And the other way: an xAPIC image into a LAPIC that is still in x2APIC mode. */
	m = busy_machine(false);
	irqchip_get_lapic(&m->chip, 0, &image);
	n = machine_new_ids(1, 0x21);
	go_x2apic(n, 0);
	assert_int_equal(irqchip_set_lapic(&n->chip, 0, &image), 0);
	irqchip_msr_write(&n->chip, 0, MSR_LAPIC_BASE, m->apic[0].base_msr, true);
	assert_int_equal(rd(n, 0, LAPIC_LDR), 0x84000000);
	assert_int_equal(rd(n, 0, LAPIC_ID), 0x21000000);
	machine_free(m);
	machine_free(n);
}

/* Whoever folds a request into IRR takes the hint from the vCPU, and owes it another one. */
static void folding_tells_the_vcpu(void **state)
{
	struct machine *m = enabled_machine();
	struct kvm_lapic_state image;

	(void)state;
	accept(m, 0, 0x50, false);
	m->notified[0] = 0;
	irqchip_get_lapic(&m->chip, 0, &image);
	assert_false(vlapic_has_requests(&m->apic[0]));
	assert_int_equal(m->notified[0], 1);

	accept(m, 0, 0x60, false);
	assert_int_equal(rd(m, 0, LAPIC_IRR + 0x30), 1);
	assert_false(vlapic_has_requests(&m->apic[0]));
	assert_int_equal(m->notified[0], 2);
	machine_free(m);
}

/* What the processor leaves in the page of write-only registers is not in the image. */
static void write_only_registers_are_zero(void **state)
{
	struct machine *m = enabled_machine();
	struct kvm_lapic_state image;
	u32 word;

	(void)state;
	vlapic_set_reg(&m->apic[0], LAPIC_SELF_IPI, 0xf);
	vlapic_set_reg(&m->apic[0], LAPIC_EOI, 0x72);
	irqchip_get_lapic(&m->chip, 0, &image);
	memcpy(&word, image.regs + LAPIC_SELF_IPI, sizeof(word));
	assert_int_equal(word, 0);
	memcpy(&word, image.regs + LAPIC_EOI, sizeof(word));
	assert_int_equal(word, 0);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_round_trip),
		cmocka_unit_test(L8_every_eoi_lands_after_a_load),
		cmocka_unit_test(image_id_rules),
		cmocka_unit_test(hostile_image),
		cmocka_unit_test(image_before_base),
		cmocka_unit_test(folding_tells_the_vcpu),
		cmocka_unit_test(write_only_registers_are_zero),
	};

	return cmocka_run_group_tests_name("vlapic_state", tests, NULL, NULL);
}
