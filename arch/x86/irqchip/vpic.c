// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8259A pair: requests, priorities, initialization and operation command words, and the INTA
 * cycle. Leaves out buffered, MCS-80 and single mode. Called by irqchip.c only.
 *
 * The slave's INT output sets the request of the master's input 2 (settle_locked()). Like any edge
 * here, that request stays when its cause is withdrawn; INTA then finds an idle slave: spurious 15.
 */
#include <irqchip/vpic.h>

#define MASTER             0
#define SLAVE              1

/* Inputs whose ELCR bit can be set: not the timer, the keyboard, the cascade, the RTC and the FPU. */
#define ELCR_MASK_MASTER   0xf8
#define ELCR_MASK_SLAVE    0xde

#define ICW1               BIT(4) /* on the command port: initialize */
#define ICW1_ICW4          BIT(0)
#define ICW4_AUTO_EOI      BIT(1)
#define ICW4_SFNM          BIT(4)

#define OCW3               BIT(3) /* on the command port, without ICW1 */
#define OCW3_READ_ISR      BIT(0)
#define OCW3_READ          BIT(1)
#define OCW3_POLL          BIT(2)
#define OCW3_SPECIAL_MASK  BIT(5)
#define OCW3_SPECIAL_WRITE BIT(6)

#define OCW2_LEVEL         GENMASK(2, 0)
#define OCW2_COMMAND       GENMASK(7, 5)

enum ocw2_command {
	OCW2_ROTATE_AEOI_CLEAR = 0,
	OCW2_EOI = 1,
	OCW2_NOP = 2,
	OCW2_SPECIFIC_EOI = 3,
	OCW2_ROTATE_AEOI_SET = 4,
	OCW2_ROTATE_EOI = 5,
	OCW2_SET_PRIORITY = 6,
	OCW2_ROTATE_SPECIFIC_EOI = 7,
};

#define POLL_PENDING  BIT(7)
#define SPURIOUS_PIN  7
#define PRIORITY_NONE 8

/* --- one chip --- */

/* Distance of the first of @pins from the top priority; PRIORITY_NONE if there are none. */
static u32 priority(const struct vpic_chip *chip, u8 pins)
{
	/* Twice, so that what is shifted out below comes in from above. */
	u32 rotated = ((u32)pins << 8 | pins) >> chip->top & 0xff;

	return rotated ? (u32)__ffs(rotated) : PRIORITY_NONE;
}

static u8 pin_at(const struct vpic_chip *chip, u32 prio)
{
	return (chip->top + prio) & 7;
}

/* The input that INTA would serve now, or -1. */
static int pending(const struct vpic *pic, u32 which)
{
	const struct vpic_chip *chip = &pic->chip[which];
	u8 blocking = chip->isr;
	u32 prio;

	/* Masking an input in special mask mode also takes away its power to block others. */
	if (chip->special_mask)
		blocking &= ~chip->imr;
	/* In the fully nested cascade the slave sorts out its own inputs. */
	if (which == MASTER && chip->sfnm)
		blocking &= ~(u8)BIT(VPIC_CASCADE_PIN);

	prio = priority(chip, chip->irr & ~chip->imr);
	if (prio == PRIORITY_NONE || prio >= priority(chip, blocking))
		return -1;
	return pin_at(chip, prio);
}

/* Report ends of interrupts; the cascade is no device's input. */
static void ended(u32 which, u8 pins, struct vpic_effect *fx)
{
	if (which == MASTER)
		pins &= ~(u8)BIT(VPIC_CASCADE_PIN);
	fx->acked_mask |= (u32)pins << (which == SLAVE ? 8 : 0);
}

static void end_isr(struct vpic *pic, u32 which, u8 pin, struct vpic_effect *fx)
{
	struct vpic_chip *chip = &pic->chip[which];

	if (!(chip->isr & BIT(pin)))
		return;
	chip->isr &= ~(u8)BIT(pin);
	ended(which, (u8)BIT(pin), fx);
}

/* INTA for @pin of one chip: from request to service. */
static void take(struct vpic *pic, u32 which, u8 pin, struct vpic_effect *fx)
{
	struct vpic_chip *chip = &pic->chip[which];

	chip->isr |= BIT(pin);
	if (!(chip->elcr & BIT(pin)))
		chip->irr &= ~(u8)BIT(pin);
	if (chip->auto_eoi) {
		if (chip->rotate_aeoi)
			chip->top = (pin + 1) & 7;
		end_isr(pic, which, pin, fx);
	}
}

/* An input's level; returns 0 if the request was there already. */
static int drive(struct vpic_chip *chip, u8 pin, bool level)
{
	u8 mask = (u8)BIT(pin);
	bool new = false;

	if (level) {
		if ((chip->elcr & mask) || !(chip->last & mask)) {
			new = !(chip->irr & mask);
			chip->irr |= mask;
		}
		chip->last |= mask;
		return new;
	}
	/*
	 * QUIRK(pic_edge_latched): an 8259A wants the input high until INTA, and else makes it a
	 * spurious 7. VMMs send pulses: they must not be lost. test_vpic:
	 * test_edge_latches_and_coalesces
	 */
	if (chip->elcr & mask)
		chip->irr &= ~mask;
	chip->last &= ~mask;
	return 1;
}

/* --- the pair --- */

/* Let the slave's output reach the master's input, and the master's output INTR. */
static void settle_locked(struct vpic *pic, struct vpic_effect *fx)
{
	struct vpic_chip *master = &pic->chip[MASTER];
	u8 cascade = (u8)BIT(VPIC_CASCADE_PIN);
	bool output;

	irq_lock_assert_held(&pic->lock);
	if (pending(pic, SLAVE) >= 0)
		master->irr |= cascade;

	output = pending(pic, MASTER) >= 0;
	fx->output_changed = output != pic->output;
	fx->output = output;
	WRITE_ONCE(pic->output, output);
}

void vpic_init(struct vpic *pic)
{
	memset(pic, 0, sizeof(*pic));
	irq_lock_init(&pic->lock);
	pic->chip[MASTER].elcr_mask = ELCR_MASK_MASTER;
	pic->chip[SLAVE].elcr_mask = ELCR_MASK_SLAVE;
}

int vpic_set_irq(struct vpic *pic, u32 pin, u32 source, bool level, struct vpic_effect *fx)
{
	struct vpic_chip *chip;
	unsigned long flags;
	int ret;

	*fx = (struct vpic_effect){ 0 };
	if (pin >= VPIC_NR_PINS || pin == VPIC_CASCADE_PIN || source >= 32)
		return -1;

	irq_lock(&pic->lock, flags);
	if (level)
		pic->lines[pin] |= BIT(source);
	else
		pic->lines[pin] &= ~(u32)BIT(source);

	chip = &pic->chip[pin / 8];
	ret = drive(chip, pin % 8, pic->lines[pin]);
	if (chip->imr & BIT(pin % 8))
		ret = -1;
	settle_locked(pic, fx);
	irq_unlock(&pic->lock, flags);
	return ret;
}

u32 vpic_lines(struct vpic *pic, u32 pin)
{
	unsigned long flags;
	u32 lines;

	irq_lock(&pic->lock, flags);
	lines = pic->lines[pin];
	irq_unlock(&pic->lock, flags);
	return lines;
}

bool vpic_output(const struct vpic *pic)
{
	return READ_ONCE(pic->output);
}

u8 vpic_ack(struct vpic *pic, struct vpic_effect *fx)
{
	unsigned long flags;
	u32 which = MASTER;
	int pin;
	u8 vector;

	*fx = (struct vpic_effect){ 0 };
	irq_lock(&pic->lock, flags);
	pin = pending(pic, MASTER);
	if (pin >= 0)
		take(pic, MASTER, (u8)pin, fx);
	if (pin == VPIC_CASCADE_PIN) {
		which = SLAVE;
		pin = pending(pic, SLAVE);
		if (pin >= 0)
			take(pic, SLAVE, (u8)pin, fx);
	}
	if (pin < 0) /* the master's, or the slave's: then the master's input 2 is in service */
		pin = SPURIOUS_PIN;
	vector = pic->chip[which].base + (u8)pin;
	settle_locked(pic, fx);
	irq_unlock(&pic->lock, flags);
	return vector;
}

/* --- registers --- */

static void write_icw1(struct vpic *pic, u32 which, u8 value, struct vpic_effect *fx)
{
	struct vpic_chip *chip = &pic->chip[which];
	u8 level = chip->irr & chip->elcr;

	/* What was pending or in service is forgotten: nobody will end it. */
	ended(which, chip->isr | (chip->irr & ~chip->elcr), fx);
	chip->irr = level;
	chip->imr = 0;
	chip->isr = 0;
	chip->top = 0;
	chip->icw = 2;
	chip->icw4 = value & ICW1_ICW4;
	chip->read_isr = false;
	chip->poll = false;
	chip->special_mask = false;
	if (!chip->icw4) {
		chip->auto_eoi = false;
		chip->sfnm = false;
	}
	chip->rotate_aeoi = false;
}

static void write_ocw2(struct vpic *pic, u32 which, u8 value, struct vpic_effect *fx)
{
	struct vpic_chip *chip = &pic->chip[which];
	u8 level = FIELD_GET(OCW2_LEVEL, value);
	u8 in_service = chip->isr;
	u32 prio;

	switch ((enum ocw2_command)FIELD_GET(OCW2_COMMAND, value)) {
	case OCW2_ROTATE_AEOI_CLEAR:
		chip->rotate_aeoi = false;
		break;
	case OCW2_ROTATE_AEOI_SET:
		chip->rotate_aeoi = true;
		break;
	case OCW2_EOI:
	case OCW2_ROTATE_EOI:
		/* In special mask mode, masked inputs are skipped: they need a specific EOI. */
		if (chip->special_mask)
			in_service &= ~chip->imr;
		prio = priority(chip, in_service);
		if (prio == PRIORITY_NONE)
			break;
		level = pin_at(chip, prio);
		end_isr(pic, which, level, fx);
		if (FIELD_GET(OCW2_COMMAND, value) == OCW2_ROTATE_EOI)
			chip->top = (level + 1) & 7;
		break;
	case OCW2_SPECIFIC_EOI:
		end_isr(pic, which, level, fx);
		break;
	case OCW2_ROTATE_SPECIFIC_EOI:
		end_isr(pic, which, level, fx);
		chip->top = (level + 1) & 7;
		break;
	case OCW2_SET_PRIORITY: /* @level becomes the lowest */
		chip->top = (level + 1) & 7;
		break;
	case OCW2_NOP:
		break;
	}
}

static void write_ocw3(struct vpic_chip *chip, u8 value)
{
	chip->poll = value & OCW3_POLL;
	if (value & OCW3_READ)
		chip->read_isr = value & OCW3_READ_ISR;
	if (value & OCW3_SPECIAL_WRITE)
		chip->special_mask = value & OCW3_SPECIAL_MASK;
}

/* The data port: the initialization word that is due, or else the mask (OCW1). */
static void write_data(struct vpic_chip *chip, u8 value)
{
	switch (chip->icw) {
	case 2:
		chip->base = value & 0xf8;
		chip->icw = 3;
		break;
	case 3: /* the wiring is fixed */
		chip->icw = chip->icw4 ? 4 : 0;
		break;
	case 4:
		chip->sfnm = value & ICW4_SFNM;
		chip->auto_eoi = value & ICW4_AUTO_EOI;
		chip->icw = 0;
		break;
	default:
		chip->imr = value;
		break;
	}
}

/* The ELCR changed: inputs that are level-triggered now follow their lines. */
static void write_elcr(struct vpic *pic, u32 which, u8 value)
{
	struct vpic_chip *chip = &pic->chip[which];

	chip->elcr = value & chip->elcr_mask;
	chip->irr = (chip->irr & ~chip->elcr) | (chip->last & chip->elcr);
}

void vpic_pio_write(struct vpic *pic, u16 port, u8 value, struct vpic_effect *fx)
{
	u32 which = port == VPIC_SLAVE_CMD || port == VPIC_SLAVE_DATA || port == VPIC_ELCR_SLAVE;
	unsigned long flags;

	*fx = (struct vpic_effect){ 0 };
	irq_lock(&pic->lock, flags);
	switch (port) {
	case VPIC_MASTER_CMD:
	case VPIC_SLAVE_CMD:
		if (value & ICW1)
			write_icw1(pic, which, value, fx);
		else if (value & OCW3)
			write_ocw3(&pic->chip[which], value);
		else
			write_ocw2(pic, which, value, fx);
		break;
	case VPIC_MASTER_DATA:
	case VPIC_SLAVE_DATA:
		write_data(&pic->chip[which], value);
		break;
	case VPIC_ELCR_MASTER:
	case VPIC_ELCR_SLAVE:
		write_elcr(pic, which, value);
		break;
	default:
		break;
	}
	settle_locked(pic, fx);
	irq_unlock(&pic->lock, flags);
}

/* A poll is an INTA cycle of this one chip, by a read. */
static u8 poll_locked(struct vpic *pic, u32 which, struct vpic_effect *fx)
{
	int pin = pending(pic, which);

	pic->chip[which].poll = false;
	if (pin < 0)
		return 0;
	take(pic, which, (u8)pin, fx);
	if (which == SLAVE) /* answered here, so the master need not (settle_locked() sees more) */
		pic->chip[MASTER].irr &= ~(u8)BIT(VPIC_CASCADE_PIN);
	return POLL_PENDING | (u8)pin;
}

u8 vpic_pio_read(struct vpic *pic, u16 port, struct vpic_effect *fx)
{
	u32 which = port == VPIC_SLAVE_CMD || port == VPIC_SLAVE_DATA || port == VPIC_ELCR_SLAVE;
	struct vpic_chip *chip = &pic->chip[which];
	unsigned long flags;
	u8 value = 0xff;

	*fx = (struct vpic_effect){ 0 };
	irq_lock(&pic->lock, flags);
	switch (port) {
	case VPIC_MASTER_CMD:
	case VPIC_SLAVE_CMD:
		if (chip->poll)
			value = poll_locked(pic, which, fx);
		else
			value = chip->read_isr ? chip->isr : chip->irr;
		break;
	case VPIC_MASTER_DATA:
	case VPIC_SLAVE_DATA:
		value = chip->poll ? poll_locked(pic, which, fx) : chip->imr;
		break;
	case VPIC_ELCR_MASTER:
	case VPIC_ELCR_SLAVE:
		value = chip->elcr;
		break;
	default:
		break;
	}
	settle_locked(pic, fx);
	irq_unlock(&pic->lock, flags);
	return value;
}

/* --- save and restore --- */

/*
 * In the image the initialization word that is due counts from 1 (ICW2), and 'priority_add' is
 * the input of highest priority.
 */
void vpic_get_state(struct vpic *pic, u32 which, struct kvm_pic_state *image)
{
	const struct vpic_chip *chip = &pic->chip[which == KVM_IRQCHIP_PIC_SLAVE];
	unsigned long flags;

	irq_lock(&pic->lock, flags);
	*image = (struct kvm_pic_state){
		.last_irr = chip->last,
		.irr = chip->irr,
		.imr = chip->imr,
		.isr = chip->isr,
		.priority_add = chip->top,
		.irq_base = chip->base,
		.read_reg_select = chip->read_isr,
		.poll = chip->poll,
		.special_mask = chip->special_mask,
		.init_state = chip->icw ? chip->icw - 1 : 0,
		.auto_eoi = chip->auto_eoi,
		.rotate_on_auto_eoi = chip->rotate_aeoi,
		.special_fully_nested_mode = chip->sfnm,
		.init4 = chip->icw4,
		.elcr = chip->elcr,
		.elcr_mask = chip->elcr_mask,
	};
	irq_unlock(&pic->lock, flags);
}

int vpic_set_state(struct vpic *pic, u32 which, const struct kvm_pic_state *image,
		   struct vpic_effect *fx)
{
	struct vpic_chip *chip = &pic->chip[which == KVM_IRQCHIP_PIC_SLAVE];
	unsigned long flags;
	u8 elcr_mask;

	*fx = (struct vpic_effect){ 0 };
	if (image->priority_add > 7 || image->init_state > 3)
		return -EINVAL;

	irq_lock(&pic->lock, flags);
	elcr_mask = chip->elcr_mask;
	*chip = (struct vpic_chip){
		.last = image->last_irr,
		.irr = image->irr,
		.imr = image->imr,
		.isr = image->isr,
		.elcr = image->elcr & elcr_mask,
		.elcr_mask = elcr_mask,
		.base = image->irq_base & 0xf8,
		.top = image->priority_add,
		.icw = image->init_state ? image->init_state + 1 : 0,
		.icw4 = image->init4,
		.read_isr = image->read_reg_select,
		.poll = image->poll,
		.special_mask = image->special_mask,
		.auto_eoi = image->auto_eoi,
		.rotate_aeoi = image->rotate_on_auto_eoi,
		.sfnm = image->special_fully_nested_mode,
	};
	settle_locked(pic, fx);
	irq_unlock(&pic->lock, flags);
	return 0;
}
