// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254 and port 0x61, computed from the time of each access: a channel's counter and output
 * are functions of (mode, count, clocks since it was loaded). Leaves out loading delays, see
 * vpit.h. Called by irqchip.c only, which owns the one timer that channel 0 needs.
 */
#include <irqchip/vpit.h>

#define NSEC_PER_SEC_ULL    1000000000ULL

#define CONTROL_CHANNEL     GENMASK(7, 6)
#define CONTROL_RW          GENMASK(5, 4)
#define CONTROL_MODE        GENMASK(3, 1)
#define CONTROL_BCD         BIT(0)

#define READ_BACK           3 /* in CONTROL_CHANNEL */
#define READ_BACK_NO_COUNT  BIT(5)
#define READ_BACK_NO_STATUS BIT(4)
#define READ_BACK_CHANNEL   BIT(1) /* channel 0; the others follow */

#define STATUS_OUT          BIT(7)
#define STATUS_NULL         BIT(6)
#define STATUS_RW           GENMASK(5, 4)
#define STATUS_MODE         GENMASK(3, 1)

#define MAX_COUNT           0x10000
#define MAX_COUNT_BCD       10000

/* DRAM refresh toggles port 0x61 bit 4 at this many clocks, as channel 1 of a PC would. */
#define REFRESH_CLOCKS      18

/* --- time --- */

static u64 ns_to_clocks(u64 ns)
{
	return mul_u64_u64_div_u64(ns, VPIT_HZ, NSEC_PER_SEC_ULL);
}

/* Rounded up, so that ns_to_clocks() of the result is at least @clocks. */
static u64 clocks_to_ns(u64 clocks)
{
	return mul_u64_u64_div_u64(clocks, NSEC_PER_SEC_ULL, VPIT_HZ) + 1;
}

/* A low gate stops the counter in these modes; in the others its rising edge is the trigger. */
static bool gate_stops(const struct vpit_channel *ch)
{
	return ch->mode == 0 || ch->mode == 2 || ch->mode == 3 || ch->mode == 4;
}

static bool is_periodic(const struct vpit_channel *ch)
{
	return ch->mode == 2 || ch->mode == 3;
}

/* Clocks counted since the load. */
static u64 elapsed(const struct vpit_channel *ch, u64 now_ns)
{
	if (!ch->counting)
		return 0;
	if (gate_stops(ch) && !ch->gate)
		return ch->frozen;
	if ((s64)now_ns < (s64)ch->load_ns) /* a load time before boot is negative */
		return 0;
	return ns_to_clocks(now_ns - ch->load_ns);
}

/* --- one channel --- */

static u16 to_bcd(u32 n)
{
	return (u16)(n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12);
}

static u32 from_bcd(u16 n)
{
	return (n & 0xf) + (n >> 4 & 0xf) * 10 + (n >> 8 & 0xf) * 100 + (n >> 12) * 1000;
}

/* Mode 3 counts each half of the square wave down by two; an odd count has a longer high half. */
static u32 square_wave_count(u32 count, u64 phase)
{
	u64 high = (count + 1) / 2;

	if (phase >= high)
		phase -= high;
	return (count & ~1U) - 2 * (u32)phase;
}

/* The counting element as a read would find it. */
static u16 current_count(const struct vpit_channel *ch, u64 now_ns)
{
	u32 modulus = ch->bcd ? MAX_COUNT_BCD : MAX_COUNT;
	u64 clocks = elapsed(ch, now_ns);
	u32 value;

	switch (ch->mode) {
	case 2:
		value = ch->count - (u32)(clocks % ch->count);
		break;
	case 3:
		value = square_wave_count(ch->count, clocks % ch->count);
		break;
	default: /* runs through zero and on */
		value = ch->count + modulus - (u32)(clocks % modulus);
		break;
	}
	/* Both cut off what is beyond the modulus. */
	return ch->bcd ? to_bcd(value) : (u16)value;
}

static bool output(const struct vpit_channel *ch, u64 now_ns)
{
	u64 clocks = elapsed(ch, now_ns);

	if (!ch->counting)
		return ch->mode != 0;
	switch (ch->mode) {
	case 0:
	case 1:
		return clocks >= ch->count;
	case 2:
		return !ch->gate || clocks % ch->count != ch->count - 1;
	case 3:
		return !ch->gate || clocks % ch->count < (ch->count + 1) / 2;
	default: /* 4, 5: a strobe of one clock */
		return clocks != ch->count;
	}
}

static void latch_count(struct vpit_channel *ch, u64 now_ns)
{
	if (ch->latched) /* the first latch holds until it is read */
		return;
	ch->latched_count = current_count(ch, now_ns);
	ch->latched = ch->rw_mode;
}

static void latch_status(struct vpit_channel *ch, u64 now_ns)
{
	if (ch->status_latched)
		return;
	ch->status_latched = true;
	ch->status = (u8)((output(ch, now_ns) ? STATUS_OUT : 0) | (ch->counting ? 0 : STATUS_NULL) |
			  FIELD_PREP(STATUS_RW, ch->rw_mode) | FIELD_PREP(STATUS_MODE, ch->mode) |
			  ch->bcd);
}

static u8 read_channel(struct vpit_channel *ch, u64 now_ns)
{
	u16 count;
	u8 which;

	if (ch->status_latched) {
		ch->status_latched = false;
		return ch->status;
	}
	if (ch->latched) {
		which = ch->latched;
		count = ch->latched_count;
		ch->latched = which == VPIT_WORD_LSB ? VPIT_MSB : 0;
	} else {
		which = ch->read_state;
		count = current_count(ch, now_ns);
		if (which == VPIT_WORD_LSB)
			ch->read_state = VPIT_WORD_MSB;
		else if (which == VPIT_WORD_MSB)
			ch->read_state = VPIT_WORD_LSB;
	}
	return (u8)(which == VPIT_MSB || which == VPIT_WORD_MSB ? count >> 8 : count);
}

static void load(struct vpit_channel *ch, u16 raw, u64 now_ns)
{
	u32 count = ch->bcd ? from_bcd(raw) : raw;

	if (!count)
		count = ch->bcd ? MAX_COUNT_BCD : MAX_COUNT;
	ch->count = count;
	ch->load_ns = now_ns;
	ch->frozen = 0;
	ch->counting = gate_stops(ch); /* the others wait for the gate */
}

/* Returns whether the channel was loaded or stopped. */
static bool write_channel(struct vpit_channel *ch, u8 value, u64 now_ns)
{
	switch (ch->write_state) {
	case VPIT_LSB:
		load(ch, value, now_ns);
		return true;
	case VPIT_MSB:
		load(ch, (u16)(value << 8), now_ns);
		return true;
	case VPIT_WORD_LSB:
		ch->write_latch = value;
		ch->write_state = VPIT_WORD_MSB;
		if (ch->mode != 0)
			return false;
		ch->counting = false; /* half a count stops mode 0 */
		return true;
	case VPIT_WORD_MSB:
		ch->write_state = VPIT_WORD_LSB;
		load(ch, (u16)(value << 8 | ch->write_latch), now_ns);
		return true;
	default: /* no control word yet */
		return false;
	}
}

static void set_gate(struct vpit_channel *ch, bool gate, u64 now_ns)
{
	if (gate == ch->gate)
		return;
	if (!gate) {
		ch->frozen = elapsed(ch, now_ns);
	} else if (!gate_stops(ch)) {
		ch->counting = ch->mode != VPIT_MODE_NONE;
		ch->load_ns = now_ns;
	} else if (is_periodic(ch)) {
		ch->load_ns = now_ns;
	} else {
		ch->load_ns = now_ns - clocks_to_ns(ch->frozen);
	}
	ch->gate = gate;
}

/* --- channel 0's interrupt --- */

/* When the output rises next after @now_ns; for a one-shot, when it rises at all. */
static u64 next_edge(const struct vpit_channel *ch, u64 now_ns)
{
	u64 clocks, min_clocks = ns_to_clocks(VPIT_MIN_PERIOD_NS) + 1;

	if (!ch->counting || (gate_stops(ch) && !ch->gate))
		return 0;
	switch (ch->mode) {
	case 0:
	case 1:
		return ch->load_ns + clocks_to_ns(ch->count);
	case 4:
	case 5:
		return ch->load_ns + clocks_to_ns(ch->count + 1);
	case 2:
	case 3:
		/*
		 * The next end of a period, or of several, if they are shorter than the host likes.
		 */
		clocks = elapsed(ch, now_ns);
		if (ch->count < min_clocks)
			clocks += min_clocks - 1;
		clocks += ch->count - clocks % ch->count;
		return ch->load_ns + clocks_to_ns(clocks);
	default:
		return 0;
	}
}

static void rearm_locked(struct vpit *pit, u64 now_ns)
{
	u64 deadline = pit->hpet_legacy ? 0 : next_edge(&pit->channel[0], now_ns);

	irq_lock_assert_held(&pit->lock);
	/* A one-shot of a state image may be over: it fires now. (0 would mean never.) */
	if (deadline && (s64)deadline < (s64)now_ns)
		deadline = max_t(u64, now_ns, 1);
	pit->deadline_ns = deadline;
}

u64 vpit_deadline(struct vpit *pit)
{
	unsigned long flags;
	u64 deadline;

	irq_lock(&pit->lock, flags);
	deadline = pit->deadline_ns;
	irq_unlock(&pit->lock, flags);
	return deadline;
}

bool vpit_fired(struct vpit *pit, u64 now_ns)
{
	struct vpit_channel *ch = &pit->channel[0];
	unsigned long flags;
	bool tick = false;
	u64 ticks = 1;

	irq_lock(&pit->lock, flags);
	if (pit->deadline_ns && now_ns >= pit->deadline_ns) {
		tick = true;
		if (is_periodic(ch)) {
			ticks += ns_to_clocks(now_ns - pit->deadline_ns) /
				 max_t(u64, ch->count, ns_to_clocks(VPIT_MIN_PERIOD_NS));
			rearm_locked(pit, now_ns);
		} else {
			pit->deadline_ns = 0;
		}
		if (pit->reinject)
			pit->backlog = (u32)min_t(u64, pit->backlog + ticks, VPIT_MAX_BACKLOG);
	}
	irq_unlock(&pit->lock, flags);
	return tick;
}

void vpit_pulsed(struct vpit *pit, int result)
{
	unsigned long flags;

	irq_lock(&pit->lock, flags);
	if (result < 0)
		pit->backlog = 0;
	else if (result > 0 && pit->backlog)
		pit->backlog--;
	irq_unlock(&pit->lock, flags);
}

bool vpit_irq_acked(struct vpit *pit)
{
	unsigned long flags;
	bool again;

	irq_lock(&pit->lock, flags);
	again = pit->backlog;
	irq_unlock(&pit->lock, flags);
	return again;
}

void vpit_set_reinject(struct vpit *pit, bool on)
{
	unsigned long flags;

	irq_lock(&pit->lock, flags);
	pit->reinject = on;
	pit->backlog = 0;
	irq_unlock(&pit->lock, flags);
}

/* --- ports --- */

void vpit_init(struct vpit *pit, u64 now_ns, bool speaker_dummy)
{
	u32 i;

	memset(pit, 0, sizeof(*pit));
	irq_lock_init(&pit->lock);
	pit->reinject = true;
	pit->speaker_dummy = speaker_dummy;
	for (i = 0; i < VPIT_CHANNELS; i++) {
		pit->channel[i].mode = VPIT_MODE_NONE;
		pit->channel[i].count = MAX_COUNT;
		pit->channel[i].load_ns = now_ns;
		pit->channel[i].gate = i != 2;
	}
}

bool vpit_owns_port(const struct vpit *pit, u16 port)
{
	return (port >= VPIT_PORT_CHANNEL0 && port <= VPIT_PORT_CONTROL) ||
	       (port == VPIT_PORT_SPEAKER && pit->speaker_dummy);
}

static u8 read_speaker(const struct vpit *pit, u64 now_ns)
{
	const struct vpit_channel *ch = &pit->channel[2];

	return (u8)((ch->gate ? SPEAKER_GATE2 : 0) | (pit->speaker_data ? SPEAKER_DATA : 0) |
		    (ns_to_clocks(now_ns) / REFRESH_CLOCKS % 2 ? SPEAKER_REFRESH : 0) |
		    (output(ch, now_ns) ? SPEAKER_OUT2 : 0));
}

u8 vpit_pio_read(struct vpit *pit, u16 port, u64 now_ns)
{
	unsigned long flags;
	u8 value = 0;

	irq_lock(&pit->lock, flags);
	if (port == VPIT_PORT_SPEAKER)
		value = read_speaker(pit, now_ns);
	else if (port >= VPIT_PORT_CHANNEL0 && port < VPIT_PORT_CONTROL)
		value = read_channel(&pit->channel[port - VPIT_PORT_CHANNEL0], now_ns);
	irq_unlock(&pit->lock, flags);
	return value;
}

static void read_back(struct vpit *pit, u8 value, u64 now_ns)
{
	u32 i;

	for (i = 0; i < VPIT_CHANNELS; i++) {
		if (!(value & READ_BACK_CHANNEL << i))
			continue;
		if (!(value & READ_BACK_NO_COUNT))
			latch_count(&pit->channel[i], now_ns);
		if (!(value & READ_BACK_NO_STATUS))
			latch_status(&pit->channel[i], now_ns);
	}
}

/* Returns whether channel 0 stopped. */
static bool write_control(struct vpit *pit, u8 value, u64 now_ns)
{
	u32 index = FIELD_GET(CONTROL_CHANNEL, value);
	u8 rw_mode = FIELD_GET(CONTROL_RW, value);
	u8 mode = FIELD_GET(CONTROL_MODE, value);
	struct vpit_channel *ch;

	if (index == READ_BACK) {
		read_back(pit, value, now_ns);
		return false;
	}
	ch = &pit->channel[index];
	if (!rw_mode) {
		latch_count(ch, now_ns);
		return false;
	}
	ch->rw_mode = rw_mode;
	ch->read_state = rw_mode;
	ch->write_state = rw_mode;
	ch->mode = mode > 5 ? mode - 4 : mode; /* 6 and 7 are 2 and 3 */
	ch->bcd = value & CONTROL_BCD;
	ch->counting = false;
	ch->latched = 0;
	ch->status_latched = false;
	return index == 0;
}

bool vpit_pio_write(struct vpit *pit, u16 port, u8 value, u64 now_ns)
{
	unsigned long flags;
	bool rearm = false;
	u32 index;

	irq_lock(&pit->lock, flags);
	switch (port) {
	case VPIT_PORT_CONTROL:
		rearm = write_control(pit, value, now_ns);
		break;
	case VPIT_PORT_SPEAKER:
		pit->speaker_data = value & SPEAKER_DATA;
		set_gate(&pit->channel[2], value & SPEAKER_GATE2, now_ns);
		break;
	case VPIT_PORT_CHANNEL0 ... VPIT_PORT_CHANNEL0 + 2:
		index = port - VPIT_PORT_CHANNEL0;
		rearm = write_channel(&pit->channel[index], value, now_ns) && index == 0;
		break;
	default:
		break;
	}
	if (rearm)
		rearm_locked(pit, now_ns);
	irq_unlock(&pit->lock, flags);
	return rearm;
}

/* --- save and restore --- */

static s64 image_time(const struct vpit_channel *ch, bool done)
{
	if (!ch->counting)
		return VPIT_TIME_UNLOADED;
	if (done)
		return VPIT_TIME_DONE;
	if (gate_stops(ch) && !ch->gate)
		return VPIT_TIME_PAUSED + (s64)min_t(u64, ch->frozen, VPIT_PAUSED_MAX);
	return (s64)ch->load_ns;
}

void vpit_get_state(struct vpit *pit, struct kvm_pit_state2 *image)
{
	unsigned long flags;
	u32 i;

	memset(image, 0, sizeof(*image));
	irq_lock(&pit->lock, flags);
	for (i = 0; i < VPIT_CHANNELS; i++) {
		const struct vpit_channel *ch = &pit->channel[i];
		bool done = i == 0 && !is_periodic(ch) && !pit->hpet_legacy && !pit->deadline_ns;

		image->channels[i] = (struct kvm_pit_channel_state){
			.count = ch->count,
			.latched_count = ch->latched_count,
			.count_latched = ch->latched,
			.status_latched = ch->status_latched,
			.status = ch->status,
			.read_state = ch->read_state,
			.write_state = ch->write_state,
			.write_latch = ch->write_latch,
			.rw_mode = ch->rw_mode,
			.mode = ch->mode,
			.bcd = ch->bcd,
			.gate = ch->gate,
			.count_load_time = image_time(ch, done),
		};
	}
	image->flags = (pit->hpet_legacy ? KVM_PIT_FLAGS_HPET_LEGACY : 0) |
		       (pit->speaker_data ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0);
	irq_unlock(&pit->lock, flags);
}

static bool image_is_valid(const struct kvm_pit_state2 *image)
{
	u32 i;

	if (image->flags & ~(u32)(KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON))
		return false;
	for (i = 0; i < VPIT_CHANNELS; i++) {
		const struct kvm_pit_channel_state *ch = &image->channels[i];

		if (ch->count > MAX_COUNT || (ch->mode > 7 && ch->mode != VPIT_MODE_NONE) ||
		    ch->rw_mode > 3 || ch->read_state > VPIT_WORD_MSB ||
		    ch->write_state > VPIT_WORD_MSB || ch->count_latched > VPIT_WORD_LSB)
			return false;
	}
	return true;
}

/* Take over the image's time. Returns whether it says that the one-shot is done. */
static bool set_time(struct vpit_channel *ch, s64 time, u64 now_ns)
{
	ch->counting = ch->mode != VPIT_MODE_NONE && time != VPIT_TIME_UNLOADED;
	ch->load_ns = now_ns;
	if (time == VPIT_TIME_UNLOADED)
		return false;
	if (time == VPIT_TIME_DONE) {
		ch->load_ns = now_ns - clocks_to_ns(ch->count + 1);
		return true;
	}
	if (time >= VPIT_TIME_PAUSED && time <= VPIT_TIME_PAUSED + VPIT_PAUSED_MAX) {
		ch->frozen = (u64)(time - VPIT_TIME_PAUSED);
		ch->load_ns = now_ns - clocks_to_ns(ch->frozen);
	} else if (time && time < (s64)now_ns) {
		ch->load_ns = (u64)time;
		if (!ch->gate && gate_stops(ch))
			ch->frozen = ns_to_clocks(now_ns - ch->load_ns);
	}
	return false;
}

int vpit_set_state(struct vpit *pit, const struct kvm_pit_state2 *image, u64 now_ns)
{
	unsigned long flags;
	bool done = false;
	u32 i;

	if (!image_is_valid(image))
		return -EINVAL;

	irq_lock(&pit->lock, flags);
	for (i = 0; i < VPIT_CHANNELS; i++) {
		const struct kvm_pit_channel_state *from = &image->channels[i];
		struct vpit_channel *ch = &pit->channel[i];

		*ch = (struct vpit_channel){
			.count = from->count ? from->count : MAX_COUNT,
			.gate = i != 2 || from->gate,
			.bcd = from->bcd,
			.mode = from->mode == 6 || from->mode == 7 ? from->mode - 4 : from->mode,
			.rw_mode = from->rw_mode,
			.read_state = from->read_state,
			.write_state = from->write_state,
			.write_latch = from->write_latch,
			.latched = from->count_latched,
			.latched_count = from->latched_count,
			.status_latched = from->status_latched,
			.status = from->status,
		};
		if (set_time(ch, from->count_load_time, now_ns) && i == 0)
			done = !is_periodic(ch);
	}
	pit->hpet_legacy = image->flags & KVM_PIT_FLAGS_HPET_LEGACY;
	pit->speaker_data = image->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	pit->backlog = 0;
	if (done)
		pit->deadline_ns = 0;
	else
		rearm_locked(pit, now_ns);
	irq_unlock(&pit->lock, flags);
	return 0;
}
