// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests against their owner, at each step: vlapic.c and posted.h are compiled into this file
 * with their atomic operations hooked; an interrupt arrives before or after the n-th of them. Also
 * the hand-over of the EOI-exit bitmap to a processor, which the tests play.
 */
#include <irqchip/env.h>

static void step(void);

#define HOOKED(op)                                     \
	static u32 hooked_##op(u32 *word, u32 operand) \
	{                                              \
		u32 old;                               \
                                                       \
		step();                                \
		old = env_##op##_u32(word, operand);   \
		step();                                \
		return old;                            \
	}
HOOKED(and)
HOOKED(or)
HOOKED(xchg)

static void hooked_set(u32 *word, u32 mask)
{
	(void)hooked_or(word, mask);
}

static void hooked_clear(u32 *word, u32 mask)
{
	(void)hooked_and(word, ~mask);
}

static bool hooked_test_and_set(u32 *words, u32 nr)
{
	bool old;

	step();
	old = env_test_and_set(words, nr);
	step();
	return old;
}

#define env_and_u32      hooked_and
#define env_or_u32       hooked_or
#define env_xchg_u32     hooked_xchg
#define env_set_u32      hooked_set
#define env_clear_u32    hooked_clear
#define env_test_and_set hooked_test_and_set
#undef smp_mb
#define smp_mb() step()
#include "../../arch/x86/irqchip/vlapic.c"
#include "../../arch/x86/irqchip/vlapic_hw.c"
#undef env_and_u32
#undef env_or_u32
#undef env_xchg_u32
#undef env_set_u32
#undef env_clear_u32
#undef env_test_and_set

#include "harness.h"

static struct vlapic *target;   /* NULL: nothing is on its way */
static int steps_left;          /* it arrives when this many steps have been seen */
static enum irq_notify told;    /* what its sender was asked to do */
static struct irq_msg arriving; /* what it is */

static void step(void)
{
	struct vlapic *apic = target;

	if (!apic || steps_left-- > 0)
		return;
	target = NULL; /* the sender's own operations run through */
	assert_int_equal(vlapic_accept(apic, &arriving, &told), 1);
}

static void send_at(struct vlapic *apic, int when, u8 vector, bool level)
{
	arriving = (struct irq_msg){ .vector = vector, .level = level, .assert = true };
	told = NOTIFY_NONE;
	steps_left = when;
	target = apic;
}

static int accept_now(struct vlapic *apic, u8 vector, bool level, enum irq_notify *how)
{
	struct irq_msg msg = { .vector = vector, .level = level, .assert = true };

	return vlapic_accept(apic, &msg, how);
}

/* --- the owner in software --- */

/* The fold of one request, with another one arriving at step @when. False: it has fewer steps. */
static bool fold_with_arrival(int when, u8 vector, int *folded, int *notified)
{
	struct machine *m = machine_new(1);
	struct vlapic *apic = &m->apic[0];
	enum irq_notify how;
	bool arrived;

	sw_enable(m, 0);
	assert_int_equal(accept_now(apic, 0x50, false, &how), 1);
	assert_int_equal(how, NOTIFY_POST);
	send_at(apic, when, vector, false);
	vlapic_fold(apic);
	arrived = !target;
	target = NULL;
	if (arrived) {
		*folded += bank_test(apic, LAPIC_IRR, vector);
		*notified += told == NOTIFY_POST;
		assert_true(bank_test(apic, LAPIC_IRR, vector) ||
			    (told == NOTIFY_POST && vlapic_has_requests(apic)));
		assert_int_equal(vlapic_ack(apic), max((u8)0x50, vector));
		wr_eoi(m, 0);
		assert_int_equal(vlapic_ack(apic), min((u8)0x50, vector));
	}
	machine_free(m);
	return arrived;
}

/*
 * Invariant L12: wherever a request arrives while the owner folds another one, either this look
 * finds it, or its sender was asked to notify, and the next look finds it.
 */
static void L12_arrival_at_every_step_of_a_fold(void **state)
{
	static const u8 vectors[] = { 0x18, 0x5f,
				      0xf1 }; /* of an earlier, the same, a later word */
	int when, folded = 0, notified = 0, n = 0;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(vectors); i++)
		for (when = 0; fold_with_arrival(when, vectors[i], &folded, &notified); when++)
			n++;
	assert_int_equal(n, 12);       /* before and after the two operations of each fold */
	assert_int_equal(notified, 9); /* those after ON was cleared */
	assert_int_equal(folded, 9);   /* those before their word was taken */
}

/* A second request before the owner has looked needs no second notification. */
static void one_notification_until_the_owner_looks(void **state)
{
	struct machine *m = machine_new(1);
	enum irq_notify how;

	(void)state;
	sw_enable(m, 0);
	assert_int_equal(accept_now(&m->apic[0], 0x30, false, &how), 1);
	assert_int_equal(how, NOTIFY_POST);
	assert_int_equal(accept_now(&m->apic[0], 0x31, false, &how), 1);
	assert_int_equal(how, NOTIFY_NONE);
	assert_int_equal(accept_now(&m->apic[0], 0x31, false, &how), 0);
	assert_int_equal(how, NOTIFY_NONE);

	assert_int_equal(vlapic_ack(&m->apic[0]), 0x31);
	assert_int_equal(accept_now(&m->apic[0], 0x30, false, &how), 0); /* in IRR by now */
	assert_int_equal(how, NOTIFY_POST);
	machine_free(m);
}

/* A device posts by itself: PIR, and ON if SN lets it. The host's duty after SN (P2) is to set ON. */
static void a_device_posts(void **state)
{
	struct machine *m = machine_new(1);
	struct posted_desc *d = m->apic[0].posted;

	(void)state;
	sw_enable(m, 0);
	d->pir[2] |= 1u << 5;
	assert_int_equal(vlapic_peek(&m->apic[0]), -1);
	d->control |= POSTED_ON;
	assert_int_equal(vlapic_peek(&m->apic[0]), 0x45);
	machine_free(m);
}

static void INIT_drops_requests(void **state)
{
	struct machine *m = machine_new(1);
	enum irq_notify how;

	(void)state;
	sw_enable(m, 0);
	assert_int_equal(accept_now(&m->apic[0], 0x30, false, &how), 1);
	vlapic_reset(&m->apic[0], true);
	sw_enable(m, 0);
	assert_int_equal(vlapic_peek(&m->apic[0]), -1);
	assert_int_equal(accept_now(&m->apic[0], 0x30, false, &how), 1);
	assert_int_equal(how, NOTIFY_POST);
	machine_free(m);
}

/* --- the processor as the owner --- */

/* What virtual-interrupt delivery does with @vector at the page, without any exit. */
static void processor_delivers(struct vlapic *apic, u8 vector)
{
	vlapic_fold(apic); /* posted-interrupt processing */
	assert_true(bank_test(apic, LAPIC_IRR, vector));
	*bank_word(apic, LAPIC_IRR, vector) &= ~vector_bit(vector);
	*bank_word(apic, LAPIC_ISR, vector) |= vector_bit(vector);
	vlapic_hw_ran(apic);
}

static void processor_completes(struct vlapic *apic, u8 vector)
{
	*bank_word(apic, LAPIC_ISR, vector) &= ~vector_bit(vector);
	vlapic_hw_ran(apic);
}

/* Invariant L8: caches follow what the processor did to ISR and IRR. */
static void L8_software_goes_on_where_the_processor_stopped(void **state)
{
	struct machine *m = machine_new(1);
	struct vlapic *apic = &m->apic[0];
	enum irq_notify how;
	u32 map[8];

	(void)state;
	sw_enable(m, 0);
	vlapic_eoi_exits(apic, map);
	assert_int_equal(accept_now(apic, 0x41, false, &how), 1);
	processor_delivers(apic, 0x41);
	assert_int_equal(accept_now(apic, 0x83, false, &how), 1);
	processor_delivers(apic, 0x83);
	assert_int_equal(accept_now(apic, 0x60, false, &how), 1);

	vlapic_see_all_eois(apic);
	assert_int_equal(vlapic_highest_isr(apic), 0x83);
	assert_int_equal(vlapic_peek(apic), -1); /* 0x60 is below what is in service */
	wr_eoi(m, 0);
	assert_int_equal(vlapic_highest_isr(apic), 0x41);
	assert_int_equal(vlapic_ack(apic), 0x60);
	wr_eoi(m, 0);
	wr_eoi(m, 0);
	assert_int_equal(vlapic_highest_isr(apic), -1);
	machine_free(m);
}

/* A level-triggered request never gets to a processor that would keep its EOI for itself. */
static void I4_unseen_eoi_stages_the_request(void **state)
{
	struct machine *m = machine_new(1);
	struct vlapic *apic = &m->apic[0];
	enum irq_notify how;
	u32 map[8];

	(void)state;
	sw_enable(m, 0);
	vlapic_eoi_exits(apic, map);
	assert_int_equal(map[1], 0);
	assert_int_equal(accept_now(apic, 0x31, true, &how), 1);
	assert_int_equal(how, NOTIFY_KICK);
	assert_false(posted_pending(apic->posted));
	assert_int_equal(apic->posted->pir[1], 0);
	assert_true(vlapic_has_requests(apic));

	vlapic_fold(apic);
	assert_true(apic->stale & VLAPIC_STALE_EOIS);
	vlapic_eoi_exits(apic, map);
	assert_int_equal(map[1], 1u << 0x11);
	assert_false(apic->stale & VLAPIC_STALE_EOIS);
	processor_delivers(apic, 0x31);

	/* In the map now: it may be posted. */
	assert_int_equal(accept_now(apic, 0x31, true, &how), 1);
	assert_int_equal(how, NOTIFY_POST);
	machine_free(m);
}

/* The vector stays in the map while it is level; as an edge it leaves with its next EOI exit. */
static void map_forgets_edges(void **state)
{
	struct machine *m = machine_new(1);
	struct vlapic *apic = &m->apic[0];
	struct vlapic_effect fx = { 0 };
	enum irq_notify how;
	u32 map[8];

	(void)state;
	sw_enable(m, 0);
	assert_int_equal(accept_now(apic, 0x31, true, &how), 1);
	vlapic_fold(apic);
	vlapic_eoi_exits(apic, map);
	processor_delivers(apic, 0x31);
	processor_completes(apic, 0x31);
	vlapic_hw_eoi(apic, 0x31, &fx);
	assert_true((fx.what & VLAPIC_FX_EOI) && fx.eoi_vector == 0x31 && fx.eoi_level);
	assert_false(apic->stale & VLAPIC_STALE_EOIS);

	assert_int_equal(accept_now(apic, 0x31, false, &how), 1);
	processor_delivers(apic, 0x31);
	processor_completes(apic, 0x31);
	fx = (struct vlapic_effect){ 0 };
	vlapic_hw_eoi(apic, 0x31, &fx);
	assert_true((fx.what & VLAPIC_FX_EOI) && !fx.eoi_level);
	assert_true(apic->stale & VLAPIC_STALE_EOIS);
	vlapic_eoi_exits(apic, map);
	assert_int_equal(map[1], 0);
	machine_free(m);
}

/* An edge whose EOI somebody waits for (the PIT, a resampler) is in the map like a level. */
static void edges_with_a_listener_are_in_the_map(void **state)
{
	struct irq_msg msg = { .vector = 0x30, .report_eoi = true, .assert = true };
	struct machine *m = machine_new(1);
	enum irq_notify how;
	u32 map[8];

	(void)state;
	sw_enable(m, 0);
	vlapic_eoi_exits(&m->apic[0], map);
	assert_int_equal(vlapic_accept(&m->apic[0], &msg, &how), 1);
	assert_int_equal(how, NOTIFY_KICK);
	vlapic_eoi_exits(&m->apic[0], map);
	assert_int_equal(map[1], 1u << 0x10);
	machine_free(m);
}

/*
 * Invariant I4, the race: a level request arrives at each step of making the map, with the vector
 * in the old map (it was level) or not. Either the new map has it, or the request is staged.
 */
static void I4_arrival_at_every_step_of_the_map(void **state)
{
	int when, was_level, arrivals = 0, staged = 0;
	bool over = false;

	(void)state;
	for (when = 0; !over; when++) {
		for (was_level = 0; was_level < 2; was_level++) {
			struct machine *m = machine_new(1);
			struct vlapic *apic = &m->apic[0];
			enum irq_notify how;
			u32 map[8];

			sw_enable(m, 0);
			if (was_level) {
				assert_int_equal(accept_now(apic, 0x31, true, &how), 1);
				vlapic_fold(apic);
				vlapic_eoi_exits(apic, map);
				assert_int_equal(accept_now(apic, 0x31, false, &how), 0);
				vlapic_fold(apic);
				processor_delivers(apic, 0x31);
			}
			send_at(apic, when, 0x31, true);
			vlapic_eoi_exits(apic, map);
			over = target;
			if (!over) {
				arrivals++;
				if (apic->posted->pir[1])
					assert_true(map[1] & 1u << 0x11);
				else
					staged++;
				assert_true(apic->posted->pir[1] || apic->staged[1]);
			}
			target = NULL;
			machine_free(m);
		}
	}
	assert_true(arrivals >= 2);
	assert_true(staged < arrivals || when > 1);
}

/* Trap-like writes: the page has the raw value already, and must end as by an ordinary write. */
static void raw_writes_end_as_ordinary_ones(void **state)
{
	static const struct {
		u32 offset, raw;
	} writes[] = {
		{ LAPIC_ID, 0x77000000 },     { LAPIC_TPR, 0xfffffff3 },
		{ LAPIC_LDR, 0xffffffff },    { LAPIC_DFR, 0x0 },
		{ LAPIC_SVR, 0xffffe1ff },    { LAPIC_SVR, 0xff },
		{ LAPIC_ESR, 0xffffffff },    { LAPIC_ICR_HI, 0x01ffffff },
		{ LAPIC_ICR_LO, 0xfff05040 }, { LAPIC_LVT_TIMER, 0xfffffffe },
		{ LAPIC_LVT_LINT0, ~0u },     { LAPIC_LVT_ERROR, ~0u },
		{ LAPIC_TMICT, 0xffffffff },  { LAPIC_TDCR, 0xffffffff },
		{ LAPIC_LVT_TIMER, 0x400ee }, { LAPIC_TMICT, 77 },
		{ LAPIC_LVT_TIMER, 0x200ee },
	};
	struct machine *soft = machine_new(2), *hard = machine_new(2);
	u32 offset;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		struct vlapic_effect fx = { 0 };

		wr(soft, 0, writes[i].offset, writes[i].raw);
		vlapic_set_reg(&hard->apic[0], writes[i].offset, writes[i].raw);
		vlapic_hw_wrote(&hard->apic[0], writes[i].offset, hard->now, &fx);
		for (offset = 0; offset < LAPIC_NR_REGS * 16; offset += 0x10)
			assert_int_equal(vlapic_reg(&soft->apic[0], offset),
					 vlapic_reg(&hard->apic[0], offset));
		assert_int_equal(vlapic_timer_running(&soft->apic[0]),
				 vlapic_timer_running(&hard->apic[0]));
	}
	machine_free(soft);
	machine_free(hard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(L12_arrival_at_every_step_of_a_fold),
		cmocka_unit_test(one_notification_until_the_owner_looks),
		cmocka_unit_test(a_device_posts),
		cmocka_unit_test(INIT_drops_requests),
		cmocka_unit_test(L8_software_goes_on_where_the_processor_stopped),
		cmocka_unit_test(I4_unseen_eoi_stages_the_request),
		cmocka_unit_test(map_forgets_edges),
		cmocka_unit_test(edges_with_a_listener_are_in_the_map),
		cmocka_unit_test(I4_arrival_at_every_step_of_the_map),
		cmocka_unit_test(raw_writes_end_as_ordinary_ones),
	};

	return cmocka_run_group_tests_name("posted", tests, NULL, NULL);
}
