/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The 8254 programmable interval timer and the PC's port 0x61 in front of its channel 2.
 *
 * Nothing counts here: a channel remembers when it was loaded, and its count and output are
 * computed from the time of the access. Only channel 0's output needs a host timer, for GSI 0.
 * Every function takes vpit->lock itself and may be called from any context; times are ns of the
 * bus's clock. Reinjection: see vpit_fired().
 *
 * Left out: the one clock that loading a count takes. QUIRK(pit_loads_at_once): a count written to
 * a running counter waits for the end of the period in modes 2 and 3, and for the next trigger in 1
 * and 5; here it takes effect at once. test_vpit: test_a_new_count_counts_at_once
 * Channels 0 and 1 have their gates tied high.
 * Source: 82C54 data sheet, "Mode Definitions"; Intel chip set data sheets, "NMI Status and
 * Control" (port 0x61).
 */
#ifndef IRQCHIP_VPIT_H
#define IRQCHIP_VPIT_H

#include <irqchip/irqchip.h>

#define VPIT_HZ            1193182ULL
#define VPIT_CHANNELS      3

#define VPIT_PORT_CHANNEL0 0x40 /* 0x40 .. 0x42 */
#define VPIT_PORT_CONTROL  0x43
#define VPIT_PORT_SPEAKER  0x61

/* Port 0x61 bits. */
#define SPEAKER_GATE2      BIT(0)
#define SPEAKER_DATA       BIT(1)
#define SPEAKER_REFRESH    BIT(4)
#define SPEAKER_OUT2       BIT(5)

/*
 * QUIRK(pit_min_period): the host timer never runs faster than this, whatever period the guest asks
 * for (T1). test_vpit: T1_tiny_periods_are_clamped
 */
#define VPIT_MIN_PERIOD_NS 100000ULL
/* Ticks that may wait for reinjection; what a longer pause loses stays lost (T1). */
#define VPIT_MAX_BACKLOG   1000

/* Which byte of a two-byte access comes next; the numbers are those of the KVM image. */
enum vpit_byte { VPIT_LSB = 1, VPIT_MSB = 2, VPIT_WORD_LSB = 3, VPIT_WORD_MSB = 4 };

/* A channel's mode before the first control word; the number is that of the KVM image. */
#define VPIT_MODE_NONE 0xff

struct vpit_channel {
	u32 count;     /* clocks per period or until the end: 1 .. 65536 */
	u64 load_ns;   /* when counting began; moved on by the time a low gate took */
	u64 frozen;    /* clocks counted when the gate went low */
	bool counting; /* loaded, and triggered where the mode wants a trigger; else "null count" */
	bool gate;
	bool bcd;
	u8 mode;        /* 0 .. 5, or VPIT_MODE_NONE */
	u8 rw_mode;     /* 1 LSB, 2 MSB, 3 both; 0 before the first control word */
	u8 read_state;  /* enum vpit_byte, or 0 */
	u8 write_state; /* enum vpit_byte, or 0 */
	u8 write_latch; /* LSB waiting for its MSB */
	u8 latched;     /* bytes of latched_count still to be read: enum vpit_byte, 0 = none */
	u16 latched_count;
	bool status_latched;
	u8 status;
};

struct vpit {
	irq_lock_t lock; /* protects everything below */
	struct vpit_channel channel[VPIT_CHANNELS];
	u64 deadline_ns;    /* channel 0's next rising output; 0 = none */
	u32 backlog;        /* ticks that found the previous one still pending */
	bool reinject;      /* KVM_REINJECT_CONTROL */
	bool speaker_data;  /* port 0x61 bit 1 */
	bool hpet_legacy;   /* KVM_PIT_FLAGS_HPET_LEGACY: channel 0 does not interrupt */
	bool speaker_dummy; /* port 0x61 is ours; fixed at construction */
};

/* Power-on. @speaker_dummy: KVM_PIT_SPEAKER_DUMMY. Reinjection starts enabled. */
void vpit_init(struct vpit *pit, u64 now_ns, bool speaker_dummy);

/* Is @port ours (0x61 only with speaker_dummy)? */
bool vpit_owns_port(const struct vpit *pit, u16 port);

/* One byte. Reads of the control port give 0. */
u8 vpit_pio_read(struct vpit *pit, u16 port, u64 now_ns);
/* Returns whether the timer must be armed anew. */
bool vpit_pio_write(struct vpit *pit, u16 port, u8 value, u64 now_ns);

/*
 * When the host timer is to fire; 0 = cancel it. Two threads may arm in the wrong order, so the
 * bus asks again after arming until the answer is what it armed.
 */
u64 vpit_deadline(struct vpit *pit);

/*
 * The host timer fired: is it a tick? If so the bus pulses GSI 0 and hands the result to
 * vpit_pulsed(); in any case it arms the timer for vpit_deadline(). A call before the deadline
 * (a timer that was moved meanwhile) is no tick. Ticks that were slept through count as backlog.
 */
bool vpit_fired(struct vpit *pit, u64 now_ns);

/*
 * The pulse's result, as of irqchip_pulse_gsi(): > 0 delivered, 0 coalesced (it joins the backlog
 * if reinjection is on), < 0 masked (nobody misses it: the backlog is dropped).
 */
void vpit_pulsed(struct vpit *pit, int result);

/*
 * The guest ended the interrupt of GSI 0: true if the bus must pulse again for the backlog, and
 * report to vpit_pulsed().
 */
bool vpit_irq_acked(struct vpit *pit);

/* KVM_REINJECT_CONTROL. Either way the backlog is dropped. */
void vpit_set_reinject(struct vpit *pit, bool on);

/*
 * Values of 'count_load_time' in the image that are no times: the counter does not run. In-tree
 * KVM ignores the field, QEMU carries it through.
 */
#define VPIT_TIME_UNLOADED (-0x7fffffffffffffffLL - 1) /* control word written, count not */
#define VPIT_TIME_DONE     (VPIT_TIME_UNLOADED + 1)    /* one-shot whose interrupt is out */
#define VPIT_TIME_PAUSED   (VPIT_TIME_UNLOADED + 2)    /* gate low; plus the clocks counted */
#define VPIT_PAUSED_MAX    (1LL << 40)

/*
 * KVM_GET/SET_PIT2. 'count_load_time' is the bus's time. Set takes it where it lies in the past
 * (0 or the future: counting starts now), takes counts of 0 as 65536 (invariant T3), and refuses
 * with -EINVAL what no machine can hold: counts beyond 65536, unknown modes, byte states and
 * flags. A one-shot that ended meanwhile fires at once. Arm the timer anew afterwards.
 */
void vpit_get_state(struct vpit *pit, struct kvm_pit_state2 *image);
int vpit_set_state(struct vpit *pit, const struct kvm_pit_state2 *image, u64 now_ns);

#endif
