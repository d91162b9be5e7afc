// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtual IOAPIC: pin levels in, interrupt messages out; EOIs in, pins to look at again out.
 * Models the 82093AA, and its successor's EOI register as an option. Leaves out polarity and
 * delivery status. Called by irqchip.c only; see vioapic.h for the order of effects.
 *
 * Three bitmaps carry the pins' state beyond their entries:
 *   irr   a level pin is high, or an edge pin has risen and is still high
 *   sent  the edge has had its turn (sent, or lost to the mask): it must not go out again, not
 *         even when the pin is saved and restored
 *   held  the pin storms and waits for vioapic_resume()
 * An edge that arrives while its pin is masked is lost, as in hardware: unmasking looks at level
 * pins only (invariant I7: nothing stale is sent).
 */
#include <irqchip/vioapic.h>

/* Only fixed and lowest-priority interrupts have an EOI; the others are edges by nature. */
static bool is_level(const union ioapic_rte *rte)
{
	return rte->level &&
	       (rte->delivery_mode == IRQ_DM_FIXED || rte->delivery_mode == IRQ_DM_LOWEST);
}

/* A level interrupt whose EOI has not come. */
static bool is_in_flight(const struct vioapic *v, u32 pin)
{
	return v->rte[pin].remote_irr;
}

static bool pin_ends_with(const struct vioapic *v, u32 pin, u8 vector)
{
	return v->rte[pin].vector == vector || v->in_flight[pin] == vector;
}

static void add_vector(u32 map[8], u8 vector)
{
	map[vector / 32] |= BIT(vector % 32);
}

/* Recompute the lock-free filter. Bits appear before the message that needs them is sent. */
static void update_eoi_vectors_locked(struct vioapic *v)
{
	u32 map[8] = { 0 };
	u32 pin, i;

	irq_lock_assert_held(&v->lock);
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		const union ioapic_rte *rte = &v->rte[pin];

		if (is_level(rte) || (v->ack_pins & BIT(pin)))
			add_vector(map, rte->vector);
		if (is_in_flight(v, pin))
			add_vector(map, v->in_flight[pin]);
	}
	for (i = 0; i < ARRAY_SIZE(map); i++)
		WRITE_ONCE(v->eoi_vectors[i], map[i]);
}

void vioapic_init(struct vioapic *v)
{
	u32 pin;

	memset(v, 0, sizeof(*v));
	irq_lock_init(&v->lock);
	v->base = IOAPIC_DEFAULT_BASE;
	v->version = IOAPIC_VER_82093AA;
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++)
		v->rte[pin].mask = 1;
}

void vioapic_enable_eoir(struct vioapic *v)
{
	v->version = IOAPIC_VER_EOIR;
}

/* --- sending --- */

static void fill_msg(const struct vioapic *v, u32 pin, struct irq_msg *out)
{
	const union ioapic_rte *rte = &v->rte[pin];

	*out = (struct irq_msg){
		.dest = rte->dest,
		.vector = rte->vector,
		.delivery = rte->delivery_mode,
		.shorthand = IRQ_SH_NONE,
		.logical = rte->logical,
		.level = is_level(rte),
		.report_eoi = v->ack_pins & BIT(pin),
		.assert = true,
		.path = IRQ_PATH_IOAPIC,
	};
}

/*
 * Send what is pending in irr. The pin is known to be high. Remote IRR is set here, under the
 * lock, so that an EOI that overtakes the delivery finds it.
 */
static int send_locked(struct vioapic *v, u32 pin, struct irq_msg *out)
{
	union ioapic_rte *rte = &v->rte[pin];

	irq_lock_assert_held(&v->lock);
	if (!is_level(rte)) {
		v->sent |= BIT(pin);
		if (rte->mask)
			return -1;
	} else {
		if (rte->mask)
			return -1;
		if (rte->remote_irr || (v->held & BIT(pin)))
			return 0;
		rte->remote_irr = 1;
		v->in_flight[pin] = rte->vector;
	}
	fill_msg(v, pin, out);
	return 1;
}

int vioapic_set_pin(struct vioapic *v, u32 pin, u32 source, bool level, struct irq_msg *out)
{
	unsigned long flags;
	int ret = 0;

	if (pin >= IOAPIC_NR_PINS || source >= 32)
		return -1;

	irq_lock(&v->lock, flags);
	if (level)
		v->lines[pin] |= BIT(source);
	else
		v->lines[pin] &= ~(u32)BIT(source);

	if (!v->lines[pin]) {
		v->irr &= ~(u32)BIT(pin);
	} else if (level) {
		bool rose = !(v->irr & BIT(pin));

		v->irr |= BIT(pin);
		/* A second source, or the same one again, is no new edge. */
		if (rose || is_level(&v->rte[pin]))
			ret = send_locked(v, pin, out);
		else if (v->rte[pin].mask)
			ret = -1;
	}
	irq_unlock(&v->lock, flags);
	return ret;
}

u32 vioapic_lines(struct vioapic *v, u32 pin)
{
	unsigned long flags;
	u32 lines;

	irq_lock(&v->lock, flags);
	lines = v->lines[pin];
	irq_unlock(&v->lock, flags);
	return lines;
}

bool vioapic_extint(struct vioapic *v, u32 pin, struct irq_msg *out)
{
	const union ioapic_rte *rte = &v->rte[pin];
	unsigned long flags;
	bool passes;

	irq_lock(&v->lock, flags);
	passes = !rte->mask && rte->delivery_mode == IRQ_DM_EXTINT;
	if (passes)
		fill_msg(v, pin, out);
	irq_unlock(&v->lock, flags);
	return passes;
}

void vioapic_refused(struct vioapic *v, u32 pin)
{
	unsigned long flags;

	if (pin >= IOAPIC_NR_PINS)
		return;
	irq_lock(&v->lock, flags);
	v->rte[pin].remote_irr = 0;
	update_eoi_vectors_locked(v);
	irq_unlock(&v->lock, flags);
}

/* --- end of interrupt --- */

static u32 eoi_locked(struct vioapic *v, u8 vector)
{
	u32 pin, acked = 0;

	irq_lock_assert_held(&v->lock);
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		union ioapic_rte *rte = &v->rte[pin];

		if (!rte->remote_irr || !pin_ends_with(v, pin, vector))
			continue;
		rte->remote_irr = 0;
		acked |= BIT(pin);
	}
	if (acked)
		update_eoi_vectors_locked(v);
	return acked;
}

void vioapic_eoi(struct vioapic *v, u8 vector, u32 *acked)
{
	unsigned long flags;

	irq_lock(&v->lock, flags);
	*acked = eoi_locked(v, vector);
	irq_unlock(&v->lock, flags);
}

u32 vioapic_eoi_edge(struct vioapic *v, u8 vector)
{
	unsigned long flags;
	u32 pin, acked = 0;

	if (!READ_ONCE(v->ack_pins))
		return 0;
	irq_lock(&v->lock, flags);
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++)
		if ((v->ack_pins & BIT(pin)) && !is_level(&v->rte[pin]) &&
		    v->rte[pin].vector == vector)
			acked |= BIT(pin);
	irq_unlock(&v->lock, flags);
	return acked;
}

void vioapic_set_ack_pins(struct vioapic *v, u32 pins)
{
	unsigned long flags;

	irq_lock(&v->lock, flags);
	WRITE_ONCE(v->ack_pins, pins & (u32)GENMASK(IOAPIC_NR_PINS - 1, 0));
	update_eoi_vectors_locked(v);
	irq_unlock(&v->lock, flags);
}

bool vioapic_handles_vector(const struct vioapic *v, u8 vector)
{
	return READ_ONCE(v->eoi_vectors[vector / 32]) & BIT(vector % 32);
}

/*
 * The line is high behind an EOI: one more round of a storm, be it that it never fell or that a
 * resampler has raised it, and thereby sent the next interrupt, while it was acknowledged.
 */
static int rescan_level_locked(struct vioapic *v, u32 pin, struct irq_msg *out)
{
	bool sent_already = is_in_flight(v, pin);
	int ret = send_locked(v, pin, out);

	if ((ret <= 0 && !sent_already) || ++v->storm[pin] < VIOAPIC_STORM_LIMIT)
		return ret;
	/* Take the message back, or keep the next one: it goes out after vioapic_resume(). */
	if (ret > 0)
		v->rte[pin].remote_irr = 0;
	v->held |= BIT(pin);
	v->storm[pin] = 0;
	return -EAGAIN;
}

int vioapic_rescan_pin(struct vioapic *v, u32 pin, struct irq_msg *out)
{
	unsigned long flags;
	int ret;

	if (pin >= IOAPIC_NR_PINS)
		return 0;

	irq_lock(&v->lock, flags);
	if (!(v->irr & BIT(pin))) {
		v->storm[pin] = 0;
		ret = 0;
	} else if (is_level(&v->rte[pin])) {
		ret = rescan_level_locked(v, pin, out);
	} else if (!(v->sent & BIT(pin))) {
		/* Only a state image leaves an edge unsent, and perhaps without a line to end it. */
		ret = send_locked(v, pin, out);
		if (!v->lines[pin])
			v->irr &= ~(u32)BIT(pin);
	} else {
		ret = 0;
	}
	irq_unlock(&v->lock, flags);
	/* A masked pin has nothing to send. */
	return ret == -1 ? 0 : ret;
}

u32 vioapic_resume(struct vioapic *v)
{
	unsigned long flags;
	u32 pins;

	irq_lock(&v->lock, flags);
	pins = v->held;
	v->held = 0;
	irq_unlock(&v->lock, flags);
	return pins;
}

/* --- registers --- */

static u32 read_indirect_locked(const struct vioapic *v)
{
	u32 half;

	switch (v->selector) {
	case IOAPIC_ID:
	case IOAPIC_ARB:
		return v->id;
	case IOAPIC_VER:
		return v->version | (u32)FIELD_PREP(IOAPIC_VER_MAX_RTE, IOAPIC_NR_PINS - 1);
	case IOAPIC_REDIR_LO ... IOAPIC_REDIR_END - 1:
		half = v->selector - IOAPIC_REDIR_LO;
		return (u32)(v->rte[half / 2].bits >> (half % 2 * 32));
	default:
		return 0;
	}
}

/* An entry has a new half. What it means for an interrupt that is pending or in flight. */
static void write_rte_locked(struct vioapic *v, u32 pin, u64 bits, struct vioapic_effect *fx)
{
	union ioapic_rte *rte = &v->rte[pin];
	union ioapic_rte old = *rte;

	rte->bits = (bits & IOAPIC_RTE_DEFINED & ~IOAPIC_RTE_READ_ONLY) |
		    (old.bits & IOAPIC_RTE_READ_ONLY);
	if (!is_level(rte)) {
		/* Linux and others switch a pin to edge and back to clear a stuck remote IRR. */
		rte->remote_irr = 0;
		/* A line that is high already does not rise. */
		v->sent |= v->irr & BIT(pin);
	}
	if (rte->bits != old.bits) {
		fx->routes_changed = true;
		update_eoi_vectors_locked(v);
	}
	if (!is_level(rte) || rte->mask) {
		v->held &= ~(u32)BIT(pin);
		return;
	}
	if (!(v->irr & BIT(pin)) || rte->remote_irr)
		return;
	/*
	 * The line may have been high only because nobody could acknowledge a masked interrupt:
	 * let resamplers look before it is sent (invariant I7).
	 */
	if (old.mask)
		fx->acked |= BIT(pin);
	fx->rescan |= BIT(pin);
}

static void write_indirect_locked(struct vioapic *v, u32 value, struct vioapic_effect *fx)
{
	u32 half, shift, pin;
	u64 bits;

	switch (v->selector) {
	case IOAPIC_ID:
		v->id = value & (u32)IOAPIC_ID_MASK;
		break;
	case IOAPIC_REDIR_LO ... IOAPIC_REDIR_END - 1:
		half = v->selector - IOAPIC_REDIR_LO;
		pin = half / 2;
		shift = half % 2 * 32;
		bits = v->rte[pin].bits & ~(GENMASK_ULL(31, 0) << shift);
		write_rte_locked(v, pin, bits | (u64)value << shift, fx);
		break;
	default: /* read-only or no register */
		break;
	}
}

void vioapic_mmio_read(struct vioapic *v, u32 offset, u32 len, void *data)
{
	unsigned long flags;
	u64 value = 0;

	irq_lock(&v->lock, flags);
	if (offset == IOAPIC_IOREGSEL)
		value = v->selector;
	else if (offset == IOAPIC_IOWIN)
		value = read_indirect_locked(v);
	irq_unlock(&v->lock, flags);
	memcpy(data, &value, min_t(u32, len, sizeof(value)));
}

void vioapic_mmio_write(struct vioapic *v, u32 offset, u32 len, const void *data,
			struct vioapic_effect *fx)
{
	unsigned long flags;
	u32 value = 0;

	*fx = (struct vioapic_effect){ 0 };
	memcpy(&value, data, min_t(u32, len, sizeof(value)));

	irq_lock(&v->lock, flags);
	switch (offset) {
	case IOAPIC_IOREGSEL:
		v->selector = value & 0xff;
		break;
	case IOAPIC_IOWIN:
		write_indirect_locked(v, value, fx);
		break;
	case IOAPIC_EOIR:
		if (v->version == IOAPIC_VER_EOIR) {
			fx->acked = eoi_locked(v, value & 0xff);
			fx->rescan = fx->acked;
		}
		break;
	default:
		break;
	}
	irq_unlock(&v->lock, flags);
}

/* --- save and restore --- */

void vioapic_get_state(struct vioapic *v, struct kvm_ioapic_state *image)
{
	unsigned long flags;
	u32 pin, level = 0;

	memset(image, 0, sizeof(*image));
	irq_lock(&v->lock, flags);
	image->base_address = v->base;
	image->ioregsel = v->selector;
	image->id = FIELD_GET((u32)IOAPIC_ID_MASK, v->id);
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		image->redirtbl[pin].bits = v->rte[pin].bits;
		if (is_level(&v->rte[pin]))
			level |= BIT(pin);
	}
	image->irr = v->irr & (level | ~v->sent);
	irq_unlock(&v->lock, flags);
}

void vioapic_set_state(struct vioapic *v, const struct kvm_ioapic_state *image,
		       struct vioapic_effect *fx)
{
	unsigned long flags;
	u32 pin;

	*fx = (struct vioapic_effect){ .routes_changed = true };
	irq_lock(&v->lock, flags);
	v->base = image->base_address;
	v->selector = image->ioregsel & 0xff;
	v->id = (u32)FIELD_PREP((u32)IOAPIC_ID_MASK, image->id);
	v->irr = image->irr & (u32)GENMASK(IOAPIC_NR_PINS - 1, 0);
	v->sent = 0;
	v->held = 0;
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		union ioapic_rte *rte = &v->rte[pin];

		rte->bits = image->redirtbl[pin].bits & IOAPIC_RTE_DEFINED;
		rte->delivery_status = 0;
		if (!is_level(rte))
			rte->remote_irr = 0;
		v->in_flight[pin] = rte->vector;
		/* The lines are the machine's, not the image's: a high one whose edge is over. */
		if (v->lines[pin] && !(v->irr & BIT(pin))) {
			v->irr |= BIT(pin);
			if (!is_level(rte))
				v->sent |= BIT(pin);
		}
	}
	update_eoi_vectors_locked(v);
	fx->rescan = v->irr & ~v->sent;
	irq_unlock(&v->lock, flags);
}
