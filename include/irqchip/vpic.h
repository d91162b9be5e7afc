/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pair of 8259A interrupt controllers of a PC, the slave's output on the master's input 2,
 * and the two edge/level control registers (ELCR).
 *
 * Every function takes vpic->lock itself and may be called from any context; nothing is called
 * while it is held. Changes of the INTR output and acknowledged pins are returned in an effect.
 *
 * Left out: buffered and MCS-80 modes, single mode, ICW1's level bit (as in the chip sets that
 * have the ELCR), and any other wiring than master input 2.
 * Source: 8259A data sheet; Intel chip set data sheets, "ELCR1", "ELCR2".
 */
#ifndef IRQCHIP_VPIC_H
#define IRQCHIP_VPIC_H

#include <irqchip/irqchip.h>

#define VPIC_NR_PINS     16
#define VPIC_CASCADE_PIN 2

/* Ports; the slave's are 0x80 above the master's, its ELCR is one above. */
#define VPIC_MASTER_CMD  0x20
#define VPIC_MASTER_DATA 0x21
#define VPIC_SLAVE_CMD   0xa0
#define VPIC_SLAVE_DATA  0xa1
#define VPIC_ELCR_MASTER 0x4d0
#define VPIC_ELCR_SLAVE  0x4d1

/* One 8259A. Bit i of a mask is input i. */
struct vpic_chip {
	u8 last; /* input levels at the last change: edge detection */
	u8 irr;  /* interrupt request register */
	u8 imr;  /* interrupt mask register */
	u8 isr;  /* in-service register */
	u8 elcr; /* level-triggered inputs */
	u8 elcr_mask;
	u8 base;   /* vector of input 0 */
	u8 top;    /* the input that has the highest priority (0 .. 7) */
	u8 icw;    /* next initialization word expected: 2, 3, 4; 0 = none */
	bool icw4; /* ICW1 announced an ICW4 */
	bool read_isr;
	bool poll;
	bool special_mask;
	bool auto_eoi;
	bool rotate_aeoi;
	bool sfnm; /* special fully nested mode */
};

struct vpic {
	irq_lock_t lock;          /* protects everything below */
	struct vpic_chip chip[2]; /* master, slave */
	u32 lines[VPIC_NR_PINS];  /* bit s: source s asserts the pin */
	bool output;              /* INTR; also read without the lock by vpic_output() */
};

struct vpic_effect {
	bool output_changed;
	bool output;    /* INTR now */
	u32 acked_mask; /* pins 0 .. 15 whose interrupt ended (EOI, auto-EOI, initialization) */
};

/* Power-on: nothing initialized, nothing masked, all inputs edge-triggered. */
void vpic_init(struct vpic *pic);

/*
 * Source @source (0 .. 31) drives @pin (0 .. 15; pin 2 is the cascade and ignores it) to @level.
 * Returns 1 delivered (or the line fell), 0 coalesced, -1 masked or no such pin or source.
 */
int vpic_set_irq(struct vpic *pic, u32 pin, u32 source, bool level, struct vpic_effect *fx);

/* Who holds @pin (0 .. 15) up: bit s is source s. */
u32 vpic_lines(struct vpic *pic, u32 pin);

/* The INTR output. Any context, no lock. */
bool vpic_output(const struct vpic *pic);

/*
 * One INTA cycle: returns the vector and puts its interrupt in service (or ends it: auto-EOI).
 * Without a request it gives the spurious vector of the master's input 7, and of the slave's if the
 * slave's request is gone that the master had taken; then only the master has something to end.
 */
u8 vpic_ack(struct vpic *pic, struct vpic_effect *fx);

/* Is @port one of the six? */
static inline bool vpic_owns_port(u16 port)
{
	switch (port) {
	case VPIC_MASTER_CMD:
	case VPIC_MASTER_DATA:
	case VPIC_SLAVE_CMD:
	case VPIC_SLAVE_DATA:
	case VPIC_ELCR_MASTER:
	case VPIC_ELCR_SLAVE:
		return true;
	default:
		return false;
	}
}

/* Guest access of one byte to a port of this device; a read can acknowledge (poll mode). */
u8 vpic_pio_read(struct vpic *pic, u16 port, struct vpic_effect *fx);
void vpic_pio_write(struct vpic *pic, u16 port, u8 value, struct vpic_effect *fx);

/*
 * KVM_GET/SET_IRQCHIP of chip @which: KVM_IRQCHIP_PIC_MASTER or _SLAVE. Input lines are not part of
 * the image. QUIRK(impossible_images): Set says -EINVAL if a field has a value that no sequence of
 * accesses can produce, where in-tree KVM takes over anything: no VMM has such an image to send,
 * and what it should mean could only be guessed. test_vpic: test_state_hostile_image
 */
void vpic_get_state(struct vpic *pic, u32 which, struct kvm_pic_state *image);
int vpic_set_state(struct vpic *pic, u32 which, const struct kvm_pic_state *image,
		   struct vpic_effect *fx);

#endif
