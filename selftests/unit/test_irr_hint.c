// SPDX-License-Identifier: GPL-2.0-only
/*
 * The race on the "IRR may be non-empty" hint, at each of its steps: vlapic.c is compiled into this
 * file with its atomic operations hooked; an interrupt arrives before or after the n-th of them.
 */
#include "harness.h"

static struct vlapic *target; /* NULL: no interrupt is on its way */
static int steps_left;        /* it arrives when this many atomic operations have been seen */

static void arrive(void);

static u32 hooked_and(u32 *word, u32 mask)
{
	u32 old;

	if (target && steps_left-- == 0)
		arrive();
	old = env_and_u32(word, mask);
	if (target && steps_left-- == 0)
		arrive();
	return old;
}

static u32 hooked_or(u32 *word, u32 mask)
{
	u32 old;

	if (target && steps_left-- == 0)
		arrive();
	old = env_or_u32(word, mask);
	if (target && steps_left-- == 0)
		arrive();
	return old;
}

#define env_and_u32 hooked_and
#define env_or_u32  hooked_or
#include "../../arch/x86/irqchip/vlapic.c"
#undef env_and_u32
#undef env_or_u32

static void arrive(void)
{
	struct irq_msg msg = { .vector = 0x41, .assert = true, .path = IRQ_PATH_MSI };
	struct vlapic *apic = target;
	enum irq_notify how;

	target = NULL; /* the sender's own operations run through */
	assert_int_equal(vlapic_accept(apic, &msg, &how), 1);
	assert_int_equal(how, NOTIFY_KICK);
}

/* Invariant L12: wherever it arrives while the owner finds IRR empty, the next look finds it. */
static void L12_hint_at_every_step(void **state)
{
	int when, arrivals = 0;

	(void)state;
	for (when = 0; when < 8; when++) {
		struct machine *m = machine_new(1);

		sw_enable(m, 0);
		m->apic[0].look |= VLAPIC_LOOK_IRR; /* set, and IRR is empty: it will be cleared */
		steps_left = when;
		target = &m->apic[0];
		vlapic_peek(&m->apic[0]);
		if (!target) {
			assert_int_equal(vlapic_peek(&m->apic[0]), 0x41);
			assert_int_equal(vlapic_ack(&m->apic[0]), 0x41);
			arrivals++;
		}
		target = NULL;
		machine_free(m);
	}
	assert_int_equal(arrivals, 2); /* before and after the clearing */
}

/* The same while the owner acknowledges another vector. */
static void L12_arrival_during_the_acknowledge(void **state)
{
	struct irq_msg msg = { .vector = 0x30, .assert = true, .path = IRQ_PATH_MSI };
	enum irq_notify how;
	int when;

	(void)state;
	for (when = 0; when < 2; when++) {
		struct machine *m = machine_new(1);

		sw_enable(m, 0);
		assert_int_equal(vlapic_accept(&m->apic[0], &msg, &how), 1);
		steps_left = when;
		target = &m->apic[0];
		assert_int_equal(vlapic_ack(&m->apic[0]), 0x30);
		assert_null(target);
		assert_int_equal(vlapic_ack(&m->apic[0]), 0x41); /* of a higher class: it nests */
		machine_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(L12_hint_at_every_step),
		cmocka_unit_test(L12_arrival_during_the_acknowledge),
	};

	return cmocka_run_group_tests_name("irr_hint", tests, NULL, NULL);
}
