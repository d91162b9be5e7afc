// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtual IOAPIC under load: storms, several sources per line, threads, random operations
 * against a model, and moving its state to another machine.
 * Tests named I*_* exclude the invariant of that name.
 *
 * Links with: arch/x86/irqchip/vioapic.c -lcmocka -lpthread
 */
#include "vioapic_test.h"

/* --- I6: storms --- */

static void I6_stuck_line_lets_the_guest_progress(void **state)
{
	u32 sent = 0, rounds;
	int ret = 1;

	(void)state;
	rte_write(11, LEVEL | 0x51);
	assert_int_equal(line(11, true), 1);
	for (rounds = 0; rounds < 2 * VIOAPIC_STORM_LIMIT && ret > 0; rounds++) {
		assert_int_equal(eoi(0x51), BIT(11));
		ret = rescan(11);
		sent += ret > 0;
	}
	assert_int_equal(ret, -EAGAIN);
	assert_int_equal(sent, VIOAPIC_STORM_LIMIT - 1);

	/* Held back: nothing gets through, and nothing waits for an EOI. */
	assert_int_equal(rescan(11), 0);
	assert_int_equal(line(11, true), 0);
	assert_int_equal(rte_read(11) & RIRR, 0);

	assert_int_equal(vioapic_resume(&io), BIT(11));
	assert_int_equal(vioapic_resume(&io), 0);
	assert_int_equal(rescan(11), 1);
	assert_int_equal(eoi(0x51), BIT(11));
	assert_int_equal(rescan(11), 1); /* the count starts again */
}

static void I6_falling_line_ends_the_storm(void **state)
{
	u32 i;

	(void)state;
	rte_write(11, LEVEL | 0x51);
	line(11, true);
	for (i = 0; i < 2 * VIOAPIC_STORM_LIMIT; i++) {
		eoi(0x51);
		assert_int_equal(rescan(11), 1);
		if (i % 7000 == 0) { /* a device that works: it falls now and then */
			line(11, false);
			eoi(0x51);
			assert_int_equal(rescan(11), 0);
			assert_int_equal(line(11, true), 1);
		}
	}
}

/* A resampler lets the line fall at each EOI, and its device raises it before the EOI is over. */
static void I6_resampled_lines_storm_as_well(void **state)
{
	int ret = 0;
	u32 i;

	(void)state;
	rte_write(11, LEVEL | 0x51);
	assert_int_equal(line(11, true), 1);
	for (i = 0; i < 2 * VIOAPIC_STORM_LIMIT && ret == 0; i++) {
		assert_int_equal(eoi(0x51), BIT(11));
		line(11, false);
		assert_int_equal(line(11, true), 1);
		ret = rescan(11);
	}
	assert_int_equal(i, VIOAPIC_STORM_LIMIT);
	assert_int_equal(ret, -EAGAIN);

	/* The last one is on its way; its EOI brings none. */
	assert_int_equal(eoi(0x51), BIT(11));
	line(11, false);
	assert_int_equal(line(11, true), 0);
	assert_int_equal(rescan(11), 0);
	assert_int_equal(vioapic_resume(&io), BIT(11));
	assert_int_equal(rescan(11), 1);
}

static void I6_masking_ends_the_hold(void **state)
{
	(void)state;
	rte_write(11, LEVEL | 0x51);
	line(11, true);
	do
		eoi(0x51);
	while (rescan(11) > 0);
	rte_write(11, MASKED | LEVEL | 0x51);
	rte_write(11, LEVEL | 0x51);
	assert_int_equal(rescan(11), 1);
	assert_int_equal(vioapic_resume(&io), 0);
}

/* --- I8: several sources --- */

static void I8_line_is_the_or_of_sources(void **state)
{
	(void)state;
	rte_write(9, LEVEL | 0x51);
	assert_int_equal(vioapic_set_pin(&io, 9, 0, true, &msg), 1);
	assert_int_equal(vioapic_set_pin(&io, 9, 31, true, &msg), 0);
	vioapic_set_pin(&io, 9, 0, false, &msg);
	eoi(0x51);
	assert_int_equal(rescan(9), 1);
	vioapic_set_pin(&io, 9, 31, false, &msg);
	eoi(0x51);
	assert_int_equal(rescan(9), 0);

	/* An edge pin rises once for all its sources. */
	rte_write(8, 0x48);
	assert_int_equal(vioapic_set_pin(&io, 8, 1, true, &msg), 1);
	assert_int_equal(vioapic_set_pin(&io, 8, 2, true, &msg), 0);
	vioapic_set_pin(&io, 8, 1, false, &msg);
	assert_int_equal(vioapic_set_pin(&io, 8, 1, true, &msg), 0);
}

#define TOGGLES 20000

static void *toggle(void *arg)
{
	u32 source = (u32)(uintptr_t)arg;
	struct irq_msg out;
	u32 i;

	for (i = 0; i < TOGGLES; i++) {
		vioapic_set_pin(&io, 9, source, true, &out);
		vioapic_set_pin(&io, 9, source, i == TOGGLES - 1 && source % 2, &out);
	}
	return NULL;
}

static void *end_and_rescan(void *arg)
{
	struct irq_msg out;
	u32 i, acked;

	for (i = 0; i < TOGGLES; i++) {
		vioapic_eoi(&io, 0x51, &acked);
		vioapic_rescan_pin(&io, 9, &out);
	}
	return arg;
}

static void I8_concurrent_sources(void **state)
{
	pthread_t thread[5];
	u32 i;

	(void)state;
	rte_write(9, LEVEL | 0x51);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, toggle, (void *)(uintptr_t)i), 0);
	assert_int_equal(pthread_create(&thread[4], NULL, end_and_rescan, NULL), 0);
	for (i = 0; i < 5; i++)
		pthread_join(thread[i], NULL);

	assert_int_equal(io.lines[9], BIT(1) | BIT(3));
	assert_int_equal(io.irr, BIT(9));
	/* Nothing was lost: the line is high, so its message is out or goes out now. */
	vioapic_resume(&io);
	if (!(rte_read(9) & RIRR))
		assert_int_equal(rescan(9), 1);
	vioapic_set_pin(&io, 9, 1, false, &msg);
	vioapic_set_pin(&io, 9, 3, false, &msg);
	eoi(0x51);
	assert_int_equal(rescan(9), 0);
}

/* --- random operations --- */

/* A model of what is true outside: who drives which pin, and which EOIs are to come. */
static struct {
	u32 lines[IOAPIC_NR_PINS];
	u8 out[IOAPIC_NR_PINS]; /* vector of the pin's level message, 0 = none */
} model;

static u64 rng_state;

static u32 rng(u32 below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (u32)(rng_state >> 32) % below;
}

static bool fixed_level(u32 pin)
{
	return io.rte[pin].level && io.rte[pin].delivery_mode == IRQ_DM_FIXED;
}

static void sent(u32 pin)
{
	assert_int_equal(msg.vector, io.rte[pin].vector);
	assert_int_equal(io.rte[pin].mask, 0);
	assert_int_not_equal(model.lines[pin], 0);
	if (msg.level) {
		assert_int_equal(model.out[pin], 0);
		model.out[pin] = msg.vector;
	}
}

static void carry_out(void)
{
	u32 pins;

	for (pins = fx.rescan; pins; pins &= pins - 1)
		if (rescan(__ffs(pins)) > 0)
			sent(__ffs(pins));
}

static void random_set_pin(void)
{
	u32 pin = rng(IOAPIC_NR_PINS), source = rng(3);
	bool level = rng(2), rises = level && !model.lines[pin];
	const union ioapic_rte before = io.rte[pin];
	int ret;

	if (level)
		model.lines[pin] |= BIT(source);
	else
		model.lines[pin] &= ~(u32)BIT(source);
	ret = vioapic_set_pin(&io, pin, source, level, &msg);
	if (ret > 0)
		sent(pin);
	/* an unmasked edge pin sends once per rise, a masked one never */
	if (!before.level)
		assert_int_equal(ret, !level ? 0 : before.mask ? -1 : rises);
}

static void random_write(void)
{
	u32 pin = rng(IOAPIC_NR_PINS), kind = rng(8);
	u64 rte = 0x50 + rng(4); /* few vectors, so that pins share them */

	rte |= kind & 1 ? LEVEL : 0;
	rte |= kind & 6 ? 0 : MASKED;
	rte |= rng(8) ? 0 : DM(IRQ_DM_NMI);
	reg_write(0x10 + 2 * pin, (u32)rte);
	if (!fixed_level(pin))
		model.out[pin] = 0; /* Linux relies on it */
	carry_out();
}

static void random_eoi(void)
{
	u8 vector = (u8)(0x50 + rng(4));
	u32 pin, expected = 0;

	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		if (model.out[pin] && (model.out[pin] == vector || io.rte[pin].vector == vector)) {
			expected |= BIT(pin);
			model.out[pin] = 0;
		}
	}
	fx.rescan = eoi(vector);
	assert_int_equal(fx.rescan, expected);
	carry_out();
}

static void check_invariants(void)
{
	u32 pin;

	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		assert_int_equal(io.lines[pin], model.lines[pin]);
		assert_int_equal(!!(io.irr & BIT(pin)), !!model.lines[pin]);
		assert_int_equal(io.rte[pin].remote_irr, model.out[pin] != 0);
		if (model.out[pin])
			assert_true(vioapic_handles_vector(&io, model.out[pin]));
		/* no level is ever left behind: it is out, masked, or low */
		else if (fixed_level(pin) && !io.rte[pin].mask)
			assert_int_equal(model.lines[pin], 0);
	}
}

static void test_random_operations(void **state)
{
	u32 i;

	(void)state;
	memset(&model, 0, sizeof(model));
	rng_state = 0x9e3779b97f4a7c15;
	for (i = 0; i < 400000; i++) {
		switch (rng(4)) {
		case 0:
			random_write();
			break;
		case 1:
			random_eoi();
			break;
		default:
			random_set_pin();
			break;
		}
		check_invariants();
	}
}

/* --- save and restore --- */

/* Load the image into a fresh IOAPIC, as the target of a migration would. */
static void move_to_new_machine(struct kvm_ioapic_state *image)
{
	vioapic_get_state(&io, image);
	vioapic_init(&io);
	vioapic_set_state(&io, image, &fx);
}

static void test_state_round_trip(void **state)
{
	struct kvm_ioapic_state image, again;

	(void)state;
	reg_write(IOAPIC_ID, 0x05000000);
	rte_write(3, DEST(3) | LEVEL | LOGICAL | DM(IRQ_DM_LOWEST) | 0x51);
	rte_write(4, DEST(4) | 0x52);
	line(3, true);
	line(4, true);
	mmio_write(IOAPIC_IOREGSEL, 0x2a);

	move_to_new_machine(&image);
	assert_int_equal(image.base_address, 0xfec00000);
	assert_int_equal(image.ioregsel, 0x2a);
	assert_int_equal(image.id, 5);
	assert_int_equal(image.irr, BIT(3)); /* the edge has gone out */
	assert_int_equal(image.redirtbl[3].fields.remote_irr, 1);
	assert_int_equal(image.redirtbl[3].fields.vector, 0x51);
	assert_int_equal(image.redirtbl[4].fields.dest_id, 4);

	vioapic_get_state(&io, &again);
	assert_memory_equal(&image, &again, sizeof(image));
	assert_true(fx.routes_changed);
	assert_true(vioapic_handles_vector(&io, 0x51));
	/* in flight on the old machine: its EOI comes on this one, even after a rewrite */
	assert_int_equal(fx.rescan, BIT(3));
	assert_int_equal(rescan(3), 0);
	rte_write(3, DEST(3) | LEVEL | 0x53);
	assert_int_equal(eoi(0x51), BIT(3));
	assert_int_equal(rescan(3), 1);
}

/* An interrupt that was pending goes out after the load, exactly once. */
static void test_state_pending_interrupts(void **state)
{
	struct kvm_ioapic_state image;

	(void)state;
	vioapic_get_state(&io, &image);
	image.redirtbl[1].bits = 0x41;
	image.redirtbl[2].bits = LEVEL | 0x42;
	image.redirtbl[3].bits = MASKED | LEVEL | 0x43;
	image.irr = 0xff00000e;
	vioapic_set_state(&io, &image, &fx);
	assert_int_equal(fx.rescan, 0xe);
	assert_int_equal(rescan(1), 1);
	assert_int_equal(rescan(1), 0);
	assert_int_equal(rescan(2), 1);
	assert_int_equal(rescan(3), 0);
	/* The restored edge had no source here, so the next rise is one; and so on an idle pin. */
	assert_int_equal(line(1, true), 1);
	rte_write(7, 0x47);
	assert_int_equal(line(7, true), 1);
	/* The restored level ends when its source says low. */
	line(2, false);
	eoi(0x42);
	assert_int_equal(rescan(2), 0);
}

/* The image does not hold lines: what drives a pin on this machine goes on driving it. */
static void test_state_load_keeps_lines(void **state)
{
	struct kvm_ioapic_state image;

	(void)state;
	vioapic_get_state(&io, &image);
	image.redirtbl[1].bits = 0x41;
	image.redirtbl[2].bits = LEVEL | 0x42;
	line(1, true);
	line(2, true);
	vioapic_set_state(&io, &image, &fx);
	assert_int_equal(fx.rescan, BIT(2));
	assert_int_equal(rescan(1), 0);
	assert_int_equal(rescan(2), 1);
	assert_int_equal(line(1, true), 0);

	/* an edge that the image calls pending goes out once, though the line is high */
	image.irr = BIT(1);
	image.base_address = 0xfec01000;
	vioapic_set_state(&io, &image, &fx);
	assert_int_equal(rescan(1), 1);
	assert_int_equal(rescan(1), 0);
	vioapic_get_state(&io, &image);
	assert_int_equal(image.base_address, 0xfec01000);
}

/* A load ends a storm's hold. */
static void test_state_load_ends_the_hold(void **state)
{
	struct kvm_ioapic_state image;

	(void)state;
	rte_write(11, LEVEL | 0x51);
	line(11, true);
	do
		eoi(0x51);
	while (rescan(11) > 0);
	vioapic_get_state(&io, &image);
	assert_int_equal(image.irr, BIT(11));
	vioapic_set_state(&io, &image, &fx);
	assert_int_equal(rescan(11), 1);
	assert_int_equal(vioapic_resume(&io), 0);
}

static void test_state_hostile_image(void **state)
{
	struct kvm_ioapic_state image;

	(void)state;
	memset(&image, 0xff, sizeof(image));
	vioapic_set_state(&io, &image, &fx);
	assert_int_equal(fx.rescan & ~0xffffffU, 0);
	assert_int_equal(mmio_read(IOAPIC_IOREGSEL), 0xff);
	assert_int_equal(mmio_read(IOAPIC_IOWIN), 0);
	assert_int_equal(reg_read(IOAPIC_ID), 0x0f000000);
	/* ExtINT has no remote IRR, delivery is never pending */
	assert_int_equal(rte_read(0), IOAPIC_RTE_DEFINED & ~IOAPIC_RTE_READ_ONLY);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(I6_stuck_line_lets_the_guest_progress),
		TEST(I6_falling_line_ends_the_storm),
		TEST(I6_resampled_lines_storm_as_well),
		TEST(I6_masking_ends_the_hold),
		TEST(I8_line_is_the_or_of_sources),
		TEST(I8_concurrent_sources),
		TEST(test_random_operations),
		TEST(test_state_round_trip),
		TEST(test_state_pending_interrupts),
		TEST(test_state_load_keeps_lines),
		TEST(test_state_load_ends_the_hold),
		TEST(test_state_hostile_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
