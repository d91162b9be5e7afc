/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One virtual IOAPIC of 24 pins. It turns pin levels into interrupt messages and ends of
 * interrupts into new messages; it does not know LAPICs, routes or who drives a pin.
 *
 * Every function takes vioapic->lock itself, may be called from any context, and calls nothing
 * outside this file while holding it. What must happen next is returned: messages one by one,
 * and sets of pins in struct vioapic_effect, which the bus carries out in this order:
 *   1. tell the host about each pin in ->acked (a resampled line may fall now)
 *   2. vioapic_rescan_pin() for each pin in ->rescan, and deliver the message it gives
 *
 * QUIRK(polarity_ignored): a line's level means "asserted", whatever the entry's polarity says
 * (KVM_CAP_X86_IOAPIC_POLARITY_IGNORED). test_vioapic: test_polarity_is_ignored
 * Delivery is instant: delivery status reads 0.
 * Source: 82093AA data sheet; SDM "Advanced Programmable Interrupt Controller", "Signaling
 * Interrupt Servicing Completion" for the EOI broadcast.
 */
#ifndef IRQCHIP_VIOAPIC_H
#define IRQCHIP_VIOAPIC_H

#include <irqchip/ioapic_regs.h>
#include <irqchip/irqchip.h>

/*
 * QUIRK(storm_hold): a line that is still high after each of so many EOIs in a row is held back for
 * a while, so that a guest which cannot silence its device gets to run something else (invariant
 * I6). test_irqchip: I6_storm_is_held_and_resumed
 */
#define VIOAPIC_STORM_LIMIT    10000
#define VIOAPIC_STORM_DELAY_NS 10000000ULL

struct vioapic {
	irq_lock_t lock; /* protects everything below, except where noted */

	union ioapic_rte rte[IOAPIC_NR_PINS];
	u32 lines[IOAPIC_NR_PINS];    /* bit s: source s asserts the pin */
	u8 in_flight[IOAPIC_NR_PINS]; /* vector of the level message that set remote IRR */
	u32 storm[IOAPIC_NR_PINS];    /* EOIs in a row that left the line high */
	u32 irr;                      /* pins seen high (level) or risen and still high (edge) */
	u32 sent;                     /* edge pins whose present edge has been sent */
	u32 held;                     /* pins held back by the storm limit */
	u32 ack_pins;                 /* edge pins whose EOI somebody waits for */
	u32 eoi_vectors[8];           /* vectors whose EOI matters here; read without the lock */

	u32 selector; /* 0 .. 255 */
	u32 id;       /* IOAPIC_ID_MASK bits, in place */
	u64 base;     /* guest-physical address; only ever from a state image */
	u8 version;   /* IOAPIC_VER_*, fixed at construction */
};

struct vioapic_effect {
	u32 acked;           /* pins whose interrupt ended, or whose line must be resampled */
	u32 rescan;          /* pins that may have something to send */
	bool routes_changed; /* an entry is another: the PIC's INTR may have got a way in */
};

/* Power-on: all pins masked. Version 0x11, which has no EOI register, unless set below. */
void vioapic_init(struct vioapic *v);

/* Construction option: version 0x20 with the EOI register. Before the first guest access. */
void vioapic_enable_eoir(struct vioapic *v);

/*
 * Source @source (0 .. 31) drives @pin (0 .. 23) to @level. > 0: deliver *@out (for a level pin,
 * remote IRR is set already); 0: coalesced with an earlier one, or the line fell; -1: masked, or
 * no such pin or source. *@out is written only with > 0.
 */
int vioapic_set_pin(struct vioapic *v, u32 pin, u32 source, bool level, struct irq_msg *out);

/* Who holds @pin (0 .. 23) up: bit s is source s. */
u32 vioapic_lines(struct vioapic *v, u32 pin);

/* Is @pin's entry unmasked and in ExtINT mode? *@out, written only then, says for whom. */
bool vioapic_extint(struct vioapic *v, u32 pin, struct irq_msg *out);

/*
 * No LAPIC matched the message that @pin sent: remote IRR must not wait for an EOI that nobody
 * will give. A later line change, unmask or rewrite tries again.
 */
void vioapic_refused(struct vioapic *v, u32 pin);

/*
 * The LAPIC broadcast the EOI of level-triggered @vector. All pins that share it lose remote IRR
 * and are reported in *@acked (invariant I5), to be acknowledged and then rescanned.
 */
void vioapic_eoi(struct vioapic *v, u8 vector, u32 *acked);

/*
 * EOI of edge-triggered @vector, which hardware does not broadcast: the pins of ->ack_pins that
 * use it, for the PIT's reinjection and resamplers. Changes nothing. Lock-free when there are none.
 */
u32 vioapic_eoi_edge(struct vioapic *v, u8 vector);

/* Edge pins (bitmap) whose EOI the caller wants reported by vioapic_eoi_edge(). */
void vioapic_set_ack_pins(struct vioapic *v, u32 pins);

/*
 * Does an EOI of @vector matter to this IOAPIC? Any context, no lock: a filter for the EOI path.
 * May err on the side of "yes". True for vectors still in flight whose entry was rewritten (I4).
 */
bool vioapic_handles_vector(const struct vioapic *v, u8 vector);

/*
 * After an EOI, an unmask or a state load: send what @pin has to send. > 0: deliver *@out;
 * 0: nothing; -EAGAIN: the line storms (see VIOAPIC_STORM_LIMIT). The pin is then held until
 * vioapic_resume(), which the host should arrange VIOAPIC_STORM_DELAY_NS later.
 */
int vioapic_rescan_pin(struct vioapic *v, u32 pin, struct irq_msg *out);

/* End the hold of all pins: returns those to rescan. */
u32 vioapic_resume(struct vioapic *v);

/*
 * Guest access at @offset (0 .. 0xfff) from the base; @len 1, 2, 4 or 8. Places without a register
 * read as 0 and ignore writes. @fx is filled by a write.
 */
void vioapic_mmio_read(struct vioapic *v, u32 offset, u32 len, void *data);
void vioapic_mmio_write(struct vioapic *v, u32 offset, u32 len, const void *data,
			struct vioapic_effect *fx);

/*
 * KVM_GET/SET_IRQCHIP. The image's 'irr' holds the pins with an interrupt to send; who drives a
 * line is not part of it. Set: reserved bits are dropped; @fx->rescan is all pins to be looked at.
 */
void vioapic_get_state(struct vioapic *v, struct kvm_ioapic_state *image);
void vioapic_set_state(struct vioapic *v, const struct kvm_ioapic_state *image,
		       struct vioapic_effect *fx);

#endif
