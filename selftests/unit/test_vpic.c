// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8259A pair, driven through its ports as SeaBIOS and Linux drive it: initialization, nesting,
 * cascade, EOI and rotation, masks, ELCR, poll, spurious vectors, and the state image.
 *
 * Links with: arch/x86/irqchip/vpic.c -lcmocka -lpthread
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <irqchip/vpic.h>

#define BASE0            0x30
#define BASE1            0x38

#define EOI              0x20
#define SPECIFIC_EOI(i)  (0x60 | (i))
#define READ_IRR         0x0a
#define READ_ISR         0x0b
#define POLL             0x0c
#define SPECIAL_MASK_ON  0x68
#define SPECIAL_MASK_OFF 0x48

static struct vpic pic;
static struct vpic_effect fx;

static void out(u16 port, u8 value)
{
	vpic_pio_write(&pic, port, value, &fx);
	assert_int_equal(fx.output, vpic_output(&pic));
}

static u8 in(u16 port)
{
	u8 value = vpic_pio_read(&pic, port, &fx);

	assert_int_equal(fx.output, vpic_output(&pic));
	return value;
}

static int line(u32 pin, bool level)
{
	return vpic_set_irq(&pic, pin, 0, level, &fx);
}

static int pulse(u32 pin)
{
	int ret = line(pin, true);

	line(pin, false);
	return ret;
}

static int ack(void)
{
	return vpic_ack(&pic, &fx);
}

static u8 isr(u16 command)
{
	out(command, READ_ISR);
	return in(command);
}

static u8 irr(u16 command)
{
	out(command, READ_IRR);
	return in(command);
}

static void initialize(u8 icw4)
{
	out(0x20, 0x11);
	out(0x21, BASE0);
	out(0x21, 0x04);
	out(0x21, icw4);
	out(0xa0, 0x11);
	out(0xa1, BASE1);
	out(0xa1, 0x02);
	out(0xa1, icw4);
}

static int setup(void **state)
{
	(void)state;
	vpic_init(&pic);
	initialize(0x01);
	out(0x21, 0);
	out(0xa1, 0);
	return 0;
}

/* --- initialization --- */

static void test_seabios_then_linux(void **state)
{
	(void)state;
	vpic_init(&pic);
	/* SeaBIOS: vectors 8 and 0x70, everything masked but the cascade */
	out(0x20, 0x11);
	out(0xa0, 0x11);
	out(0x21, 0x08);
	out(0xa1, 0x70);
	out(0x21, 0x04);
	out(0xa1, 0x02);
	out(0x21, 0x01);
	out(0xa1, 0x01);
	out(0x21, 0xfb);
	out(0xa1, 0xff);
	assert_int_equal(in(0x21), 0xfb);
	assert_int_equal(in(0xa1), 0xff);
	assert_int_equal(line(0, true), -1);
	assert_false(vpic_output(&pic));
	out(0x21, 0xfa);
	assert_true(fx.output_changed);
	assert_int_equal(ack(), 0x08);
	line(0, false);

	/* Linux: probes the mask register, masks all, initializes anew, restores its masks */
	out(0xa1, 0xff);
	out(0x21, 0xfe);
	assert_int_equal(in(0x21), 0xfe);
	out(0x21, 0xff);
	initialize(0x01);
	assert_int_equal(fx.acked_mask, 0); /* of the slave's ICW4 */
	out(0x21, 0xfa);
	out(0xa1, 0xfe);
	assert_int_equal(isr(0x20), 0);
	assert_int_equal(pulse(0), 1);
	assert_int_equal(ack(), BASE0);
	out(0x20, SPECIFIC_EOI(0));
	assert_int_equal(pulse(8), 1);
	assert_int_equal(ack(), BASE1);
}

/* Nothing moves the mask register while initialization words are due. */
static void test_icw_sequence(void **state)
{
	(void)state;
	out(0x20, 0x11);
	out(0x21, 0x57); /* ICW2: the low three bits are the input */
	out(0x21, 0xff); /* ICW3 */
	out(0x21, 0x01); /* ICW4 */
	assert_int_equal(in(0x21), 0);
	out(0x21, 0x80); /* OCW1 */
	assert_int_equal(in(0x21), 0x80);
	pulse(3);
	assert_int_equal(ack(), 0x53);

	/* without ICW4 the sequence is shorter, and its modes are off */
	out(0x20, 0x10);
	out(0x21, 0x60);
	out(0x21, 0xff);
	out(0x21, 0x40);
	assert_int_equal(in(0x21), 0x40);
}

/* ICW1 forgets pending edges and what is in service, and reports them as over. */
static void test_icw1(void **state)
{
	const struct kvm_pic_state reset = { .irq_base = BASE0,
					     .init_state = 1,
					     .elcr_mask = 0xf8 };
	struct kvm_pic_state image;

	(void)state;
	pulse(0);
	assert_int_equal(ack(), BASE0);
	pulse(0);
	pulse(4);
	out(0x20, 0x11);
	assert_int_equal(fx.acked_mask, BIT(0) | BIT(4));
	assert_false(vpic_output(&pic));
	assert_int_equal(irr(0x20), 0);
	assert_int_equal(isr(0x20), 0);

	/* and it puts every mode back */
	initialize(0x13);
	out(0x20, 0x80);
	out(0x20, 0xc0 | 3);
	out(0x20, SPECIAL_MASK_ON);
	out(0x20, READ_ISR);
	out(0x21, 0x55);
	out(0x20, POLL);
	out(0x20, 0x10);
	vpic_get_state(&pic, 0, &image);
	assert_memory_equal(&image, &reset, sizeof(image));

	initialize(0x01);
	pulse(9);
	pulse(12);
	out(0xa0, 0x11);
	assert_int_equal(fx.acked_mask, BIT(9) | BIT(12));
}

/* --- requests and priorities --- */

static void test_edge_cycle(void **state)
{
	(void)state;
	assert_int_equal(line(1, true), 1);
	assert_true(fx.output_changed);
	assert_true(fx.output);
	assert_int_equal(line(1, true), 0);
	assert_false(fx.output_changed);
	assert_int_equal(irr(0x20), 0x02);
	assert_int_equal(ack(), BASE0 + 1);
	assert_true(fx.output_changed);
	assert_false(fx.output);
	assert_int_equal(fx.acked_mask, 0);
	assert_int_equal(irr(0x20), 0);
	assert_int_equal(isr(0x20), 0x02);
	line(1, false);
	/* a new edge while in service waits for the EOI */
	assert_int_equal(line(1, true), 1);
	assert_false(vpic_output(&pic));
	out(0x20, EOI);
	assert_int_equal(fx.acked_mask, BIT(1));
	assert_true(fx.output_changed);
	assert_true(vpic_output(&pic));
}

static void test_edge_latches_and_coalesces(void **state)
{
	(void)state;
	assert_int_equal(pulse(6), 1);
	assert_int_equal(pulse(6), 0);
	assert_int_equal(ack(), BASE0 + 6);
	out(0x20, EOI);
	assert_false(vpic_output(&pic));
}

static void test_masked(void **state)
{
	(void)state;
	out(0x21, 0x10);
	assert_int_equal(line(4, true), -1);
	assert_int_equal(line(4, true), -1);
	assert_false(vpic_output(&pic));
	assert_int_equal(irr(0x20), 0x10); /* requests are latched in front of the mask */
	out(0x21, 0x00);
	assert_true(vpic_output(&pic));
	assert_int_equal(ack(), BASE0 + 4);
}

static void test_fully_nested(void **state)
{
	u32 pin;

	(void)state;
	pulse(5);
	assert_int_equal(ack(), BASE0 + 5);
	pulse(6);
	assert_false(vpic_output(&pic));
	pulse(3);
	assert_true(vpic_output(&pic));
	assert_int_equal(ack(), BASE0 + 3);
	pulse(4);
	assert_false(vpic_output(&pic));
	out(0x20, EOI); /* ends 3, the highest */
	assert_int_equal(fx.acked_mask, BIT(3));
	assert_int_equal(isr(0x20), BIT(5));
	assert_int_equal(ack(), BASE0 + 4);
	out(0x20, EOI);
	out(0x20, EOI);
	assert_int_equal(fx.acked_mask, BIT(5));
	assert_int_equal(ack(), BASE0 + 6);
	out(0x20, EOI);
	out(0x20, EOI); /* nothing in service: no effect */
	assert_int_equal(fx.acked_mask, 0);

	for (pin = 8; pin-- > 0;)
		if (pin != 2)
			pulse(pin);
	for (pin = 0; pin < 8; pin++)
		if (pin != 2) {
			assert_int_equal(ack(), BASE0 + pin);
			out(0x20, SPECIFIC_EOI(pin));
		}
}

static void test_cascade(void **state)
{
	(void)state;
	assert_int_equal(line(12, true), 1);
	assert_true(vpic_output(&pic));
	assert_int_equal(irr(0x20), 0x04);
	assert_int_equal(ack(), BASE1 + 4);
	assert_int_equal(isr(0x20), 0x04);
	assert_int_equal(isr(0xa0), 0x10);
	/* input 8 outranks 12 on the slave, but the master is busy with its input 2 */
	pulse(8);
	assert_false(vpic_output(&pic));
	pulse(1); /* higher than the cascade */
	assert_int_equal(ack(), BASE0 + 1);
	out(0x20, EOI);

	/* Linux: slave first, specific, then the master's input 2 */
	out(0xa0, SPECIFIC_EOI(4));
	assert_int_equal(fx.acked_mask, BIT(12));
	assert_false(vpic_output(&pic));
	out(0x20, SPECIFIC_EOI(2));
	assert_int_equal(fx.acked_mask, 0);
	assert_true(vpic_output(&pic));
	assert_int_equal(ack(), BASE1 + 0);
}

static void test_cascade_masks(void **state)
{
	(void)state;
	out(0x21, 0x04);
	assert_int_equal(line(12, true), 1);
	assert_false(vpic_output(&pic));
	out(0x21, 0x00);
	assert_true(vpic_output(&pic));
	out(0xa1, 0x10); /* the slave withdraws its request: too late */
	assert_int_equal(ack(), BASE1 + 7);
	out(0x20, EOI);
	assert_false(vpic_output(&pic));
	assert_int_equal(irr(0x20), 0);
	/* pin 2 is wired to the slave: nobody else drives it */
	assert_int_equal(line(2, true), -1);
	assert_int_equal(irr(0x20), 0);
}

static void test_special_fully_nested(void **state)
{
	(void)state;
	initialize(0x11);
	pulse(12);
	assert_int_equal(ack(), BASE1 + 4);
	pulse(14);
	assert_false(vpic_output(&pic));
	pulse(8);
	assert_true(vpic_output(&pic));
	assert_int_equal(ack(), BASE1 + 0);
	assert_int_equal(isr(0xa0), 0x11);
	assert_int_equal(isr(0x20), 0x04);
}

/* --- end of interrupt --- */

static void test_auto_eoi(void **state)
{
	(void)state;
	initialize(0x03);
	pulse(3);
	assert_int_equal(ack(), BASE0 + 3);
	assert_int_equal(fx.acked_mask, BIT(3));
	assert_int_equal(isr(0x20), 0);
	pulse(10);
	assert_int_equal(ack(), BASE1 + 2);
	assert_int_equal(fx.acked_mask, BIT(10));
	assert_int_equal(isr(0x20) | isr(0xa0), 0);
	assert_false(vpic_output(&pic));
}

static void test_rotation(void **state)
{
	(void)state;
	pulse(3);
	ack();
	out(0x20, 0xa0); /* rotate on non-specific EOI: 3 is the lowest now */
	assert_int_equal(fx.acked_mask, BIT(3));
	pulse(3);
	pulse(4);
	assert_int_equal(ack(), BASE0 + 4);
	out(0x20, EOI);
	assert_int_equal(ack(), BASE0 + 3);
	out(0x20, 0xe0 | 3); /* rotate on specific EOI */
	assert_int_equal(fx.acked_mask, BIT(3));
	out(0x20, 0xe0 | 5); /* 5 was not in service, but becomes the lowest */
	assert_int_equal(fx.acked_mask, 0);
	pulse(5);
	pulse(6);
	assert_int_equal(ack(), BASE0 + 6);
	out(0x20, SPECIFIC_EOI(6)); /* this one does not rotate */
	pulse(6);
	assert_int_equal(ack(), BASE0 + 6);
	out(0x20, EOI);
	assert_int_equal(ack(), BASE0 + 5);
	out(0x20, EOI);
	out(0x20, 0xc0 | 6); /* set priority: 7 is the highest */
	pulse(0);
	pulse(6);
	pulse(7);
	assert_int_equal(ack(), BASE0 + 7);
	out(0x20, 0x40); /* no operation */
	assert_int_equal(fx.acked_mask, 0);
	out(0x20, EOI);
	assert_int_equal(ack(), BASE0 + 0);
	out(0x20, EOI);
	assert_int_equal(ack(), BASE0 + 6);
	/* rotating with nothing in service changes nothing */
	out(0x20, EOI);
	out(0x20, 0xa0);
	pulse(0);
	pulse(7);
	assert_int_equal(ack(), BASE0 + 7);
}

static void test_rotation_with_auto_eoi(void **state)
{
	(void)state;
	initialize(0x03);
	out(0x20, 0x80);
	pulse(3);
	pulse(4);
	assert_int_equal(ack(), BASE0 + 3);
	pulse(3);
	assert_int_equal(ack(), BASE0 + 4);
	assert_int_equal(ack(), BASE0 + 3);
	out(0x20, 0x00);
	pulse(5);
	assert_int_equal(ack(), BASE0 + 5);
	pulse(3); /* 4 is the highest since 3 was served; 5 did not rotate it */
	pulse(5);
	assert_int_equal(ack(), BASE0 + 5);
}

static void test_special_mask(void **state)
{
	(void)state;
	pulse(3);
	ack();
	pulse(6);
	assert_false(vpic_output(&pic));
	out(0x21, 0x08);
	assert_false(vpic_output(&pic));
	out(0x20, SPECIAL_MASK_ON); /* masked, 3 no longer blocks 6 */
	assert_true(vpic_output(&pic));
	assert_int_equal(ack(), BASE0 + 6);
	/* a non-specific EOI does not see the masked input */
	out(0x20, EOI);
	assert_int_equal(fx.acked_mask, BIT(6));
	out(0x20, EOI);
	assert_int_equal(fx.acked_mask, 0);
	out(0x20, SPECIFIC_EOI(3));
	assert_int_equal(fx.acked_mask, BIT(3));
	out(0x20, READ_ISR); /* OCW3 without the enable bit leaves the mode alone */
	assert_true(pic.chip[0].special_mask);
	out(0x20, SPECIAL_MASK_OFF);
	assert_false(pic.chip[0].special_mask);
}

/* --- ELCR --- */

static void test_elcr(void **state)
{
	(void)state;
	out(0x4d0, 0xff);
	out(0x4d1, 0xff);
	assert_int_equal(in(0x4d0), 0xf8);
	assert_int_equal(in(0x4d1), 0xde);

	assert_int_equal(line(5, true), 1);
	assert_int_equal(line(5, true), 0);
	assert_int_equal(ack(), BASE0 + 5);
	assert_int_equal(irr(0x20), BIT(5)); /* follows the line */
	out(0x20, EOI);
	assert_int_equal(fx.acked_mask, BIT(5));
	assert_true(vpic_output(&pic)); /* still high */
	line(5, false);
	assert_true(fx.output_changed);
	assert_false(vpic_output(&pic));

	/* a line that is high when it becomes level-triggered requests; a spent edge does not */
	out(0x4d1, 0);
	line(11, true);
	ack();
	out(0xa0, EOI);
	out(0x20, EOI);
	assert_false(vpic_output(&pic));
	out(0x4d1, 0x08);
	assert_true(vpic_output(&pic));
	/* ICW1 does not silence a level */
	out(0xa0, 0x11);
	assert_int_equal(fx.acked_mask, 0);
	assert_int_equal(irr(0xa0), 0x08);
}

/* --- spurious and poll --- */

static void test_spurious_7(void **state)
{
	(void)state;
	out(0x4d0, 0x20);
	line(5, true);
	line(5, false);
	assert_int_equal(ack(), BASE0 + 7);
	assert_int_equal(fx.acked_mask, 0);
	assert_int_equal(isr(0x20), 0); /* that is how Linux tells it from a real one */
	line(7, true);
	assert_int_equal(ack(), BASE0 + 7);
	assert_int_equal(isr(0x20), BIT(7));
}

/* The slave has no request any more, but the master has taken it: spurious 15. */
static void test_spurious_15(void **state)
{
	(void)state;
	out(0x4d1, 0x02);
	line(9, true);
	assert_true(vpic_output(&pic));
	line(9, false);
	assert_true(vpic_output(&pic));
	assert_int_equal(ack(), BASE1 + 7);
	assert_int_equal(fx.acked_mask, 0);
	assert_int_equal(isr(0xa0), 0); /* so Linux ends it on the master only */
	assert_int_equal(isr(0x20), BIT(2));
	out(0x20, SPECIFIC_EOI(2));
	assert_false(vpic_output(&pic));
	line(15, true);
	assert_int_equal(ack(), BASE1 + 7);
	assert_int_equal(isr(0xa0), BIT(7));
}

static void test_poll(void **state)
{
	(void)state;
	out(0x20, POLL);
	assert_int_equal(in(0x20), 0);
	pulse(6);
	out(0x20, POLL);
	assert_int_equal(in(0x20), 0x86);
	assert_true(fx.output_changed);
	assert_int_equal(isr(0x20), BIT(6));
	out(0x20, EOI);
	assert_int_equal(fx.acked_mask, BIT(6));

	/* polled through the data port; the slave's request leaves the master */
	out(0xa1, 0x40);
	pulse(10);
	out(0xa0, POLL);
	assert_int_equal(in(0xa1), 0x82);
	assert_false(vpic_output(&pic));
	assert_int_equal(in(0xa1), 0x40); /* one poll, one answer: the mask again */
}

/* --- sources and ports --- */

static void I8_line_is_the_or_of_sources(void **state)
{
	(void)state;
	out(0x4d1, 0x02);
	vpic_set_irq(&pic, 9, 0, true, &fx);
	assert_int_equal(vpic_set_irq(&pic, 9, 31, true, &fx), 0);
	vpic_set_irq(&pic, 9, 0, false, &fx);
	assert_int_equal(irr(0xa0), BIT(1));
	vpic_set_irq(&pic, 9, 31, false, &fx);
	assert_int_equal(irr(0xa0), 0);

	assert_int_equal(vpic_set_irq(&pic, 16, 0, true, &fx), -1);
	assert_int_equal(vpic_set_irq(&pic, 0xffffffff, 0, true, &fx), -1);
	assert_int_equal(vpic_set_irq(&pic, 1, 32, true, &fx), -1);
	assert_int_equal(irr(0x20) & ~BIT(2), 0);
}

#define TOGGLES 20000

static void *toggle(void *arg)
{
	u32 source = (u32)(uintptr_t)arg;
	struct vpic_effect effect;
	u32 i;

	for (i = 0; i < TOGGLES; i++) {
		vpic_set_irq(&pic, 11, source, true, &effect);
		vpic_set_irq(&pic, 11, source, i == TOGGLES - 1 && source == 3, &effect);
	}
	return NULL;
}

static void I8_concurrent_sources(void **state)
{
	pthread_t thread[4];
	u32 i;

	(void)state;
	out(0x4d1, 0x08);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, toggle, (void *)(uintptr_t)i), 0);
	for (i = 0; i < TOGGLES; i++) {
		vpic_ack(&pic, &fx);
		vpic_pio_write(&pic, 0xa0, EOI, &fx);
		vpic_pio_write(&pic, 0x20, EOI, &fx);
	}
	for (i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(irr(0xa0), 0x08);
	assert_int_equal(vpic_set_irq(&pic, 11, 3, false, &fx), 1);
	assert_int_equal(irr(0xa0), 0);
}

static void test_ports(void **state)
{
	const u16 ours[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
	u32 port, i, n = 0;

	(void)state;
	for (port = 0; port < 0x10000; port++)
		n += vpic_owns_port((u16)port);
	assert_int_equal(n, ARRAY_SIZE(ours));
	for (i = 0; i < ARRAY_SIZE(ours); i++)
		assert_true(vpic_owns_port(ours[i]));
	/* a port that is not ours does nothing */
	out(0x22, 0x11);
	assert_int_equal(in(0x22), 0xff);
	assert_int_equal(in(0x21), 0);
}

/* Any sequence of accesses keeps the output equal to what an INTA cycle would find. */
static void test_random_accesses(void **state)
{
	const u16 ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
	u64 rng = 0x9e3779b97f4a7c15;
	u32 i;

	(void)state;
	for (i = 0; i < 300000; i++) {
		bool expected;
		u8 vector;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		switch (rng % 4) {
		case 0:
			out(ports[(rng >> 8) % ARRAY_SIZE(ports)], (u8)(rng >> 16));
			break;
		case 1:
			in(ports[(rng >> 8) % ARRAY_SIZE(ports)]);
			break;
		case 2:
			vpic_set_irq(&pic, (rng >> 8) % 16, (rng >> 16) % 32, rng >> 63, &fx);
			break;
		default:
			expected = vpic_output(&pic);
			vector = (u8)ack();
			if (!expected) /* spurious, and without a trace */
				assert_int_equal(vector, pic.chip[0].base + 7);
			break;
		}
		assert_int_equal(pic.chip[0].elcr & ~0xf8, 0);
		assert_int_equal(pic.chip[1].elcr & ~0xde, 0);
	}
}

/* --- save and restore --- */

static void test_state_round_trip(void **state)
{
	struct kvm_pic_state image[2], again[2];
	u32 i;

	(void)state;
	initialize(0x13);
	out(0x21, 0x81);
	out(0x20, 0xc0 | 2);
	out(0x4d1, 0x0c);
	line(10, true);
	line(4, true);
	ack();
	out(0xa0, 0x11); /* leave the slave in the middle of its initialization */
	out(0xa1, 0x48);

	for (i = 0; i < 2; i++)
		vpic_get_state(&pic, i, &image[i]);
	assert_int_equal(image[0].imr, 0x81);
	assert_int_equal(image[0].priority_add, 3);
	assert_int_equal(image[0].irq_base, BASE0);
	assert_int_equal(image[0].auto_eoi, 1);
	assert_int_equal(image[0].special_fully_nested_mode, 1);
	assert_int_equal(image[0].elcr_mask, 0xf8);
	assert_int_equal(image[1].init_state, 2);
	assert_int_equal(image[1].elcr, 0x0c);
	assert_int_equal(image[1].elcr_mask, 0xde);

	vpic_init(&pic);
	for (i = 0; i < 2; i++)
		assert_int_equal(vpic_set_state(&pic, i, &image[i], &fx), 0);
	for (i = 0; i < 2; i++) {
		vpic_get_state(&pic, i, &again[i]);
		assert_memory_equal(&image[i], &again[i], sizeof(image[i]));
	}
	/* the slave goes on with ICW3 */
	out(0xa1, 0x02);
	out(0xa1, 0x01);
	out(0xa1, 0x00);
	assert_int_equal(in(0xa1), 0);
	assert_int_equal(ack(), 0x48 + 2);
}

/* A pending request is delivered after the load. */
static void test_state_pending(void **state)
{
	struct kvm_pic_state image[2];
	u32 i;

	(void)state;
	pulse(12);
	for (i = 0; i < 2; i++)
		vpic_get_state(&pic, i, &image[i]);
	vpic_init(&pic);
	assert_int_equal(vpic_set_state(&pic, KVM_IRQCHIP_PIC_MASTER, &image[0], &fx), 0);
	assert_true(fx.output); /* the master's input 2 had been requested */
	assert_int_equal(vpic_set_state(&pic, KVM_IRQCHIP_PIC_SLAVE, &image[1], &fx), 0);
	assert_true(fx.output);
	assert_int_equal(ack(), BASE1 + 4);
}

static void test_state_hostile_image(void **state)
{
	struct kvm_pic_state image;

	(void)state;
	memset(&image, 0xff, sizeof(image));
	assert_int_equal(vpic_set_state(&pic, 0, &image, &fx), -EINVAL);
	image.priority_add = 7;
	assert_int_equal(vpic_set_state(&pic, 0, &image, &fx), -EINVAL);
	image.init_state = 3;
	image.priority_add = 8;
	assert_int_equal(vpic_set_state(&pic, 1, &image, &fx), -EINVAL);
	/* refused images change nothing */
	pulse(3);
	assert_int_equal(ack(), BASE0 + 3);

	image.priority_add = 7;
	assert_int_equal(vpic_set_state(&pic, 0, &image, &fx), 0);
	vpic_get_state(&pic, 0, &image);
	assert_int_equal(image.elcr, 0xf8);
	assert_int_equal(image.elcr_mask, 0xf8);
	assert_int_equal(image.irq_base, 0xf8);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_seabios_then_linux),
		TEST(test_icw_sequence),
		TEST(test_icw1),
		TEST(test_edge_cycle),
		TEST(test_edge_latches_and_coalesces),
		TEST(test_masked),
		TEST(test_fully_nested),
		TEST(test_cascade),
		TEST(test_cascade_masks),
		TEST(test_special_fully_nested),
		TEST(test_auto_eoi),
		TEST(test_rotation),
		TEST(test_rotation_with_auto_eoi),
		TEST(test_special_mask),
		TEST(test_elcr),
		TEST(test_spurious_7),
		TEST(test_spurious_15),
		TEST(test_poll),
		TEST(I8_line_is_the_or_of_sources),
		TEST(I8_concurrent_sources),
		TEST(test_ports),
		TEST(test_random_accesses),
		TEST(test_state_round_trip),
		TEST(test_state_pending),
		TEST(test_state_hostile_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
