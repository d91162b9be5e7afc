// SPDX-License-Identifier: GPL-2.0-only
/*
 * The LAPIC timer: one-shot, periodic and TSC-deadline, as arithmetic on a clock that is given.
 *
 * The state is one absolute deadline; nothing ticks. The host's timer only says "look at it now":
 * it may fire early, late, twice or for a deadline that is gone, since vlapic_timer_settle()
 * decides by the clock whether there was an expiry, and counts each exactly once, whoever calls it
 * first: the host's timer in hardirq context or the vCPU that touches a timer register. So LVT
 * timer, TMICT and TDCR have a copy under the timer's lock, which counts; the page is for reading
 * them. Source: SDM "APIC Timer", "TSC-Deadline Mode".
 */
#include <irqchip/vlapic.h>

#define NS_PER_MS    1000000ULL

/* Deadlines further away than this (about 70 years) count as this far away. */
#define TIMER_FAR_MS (1ULL << 41)

#define TDCR_LOW     0x3u
#define TDCR_HIGH    0x8u

static enum lapic_timer_mode lvt_mode(u32 lvt)
{
	return (enum lapic_timer_mode)FIELD_GET(LAPIC_LVT_MODE, lvt);
}

enum lapic_timer_mode vlapic_timer_mode(const struct vlapic *apic)
{
	return lvt_mode(READ_ONCE(apic->timer.lvt));
}

static bool is_counting(enum lapic_timer_mode mode)
{
	return mode == LAPIC_TIMER_ONESHOT || mode == LAPIC_TIMER_PERIODIC;
}

u64 vlapic_timer_tick_ns(const struct vlapic *apic)
{
	u32 tdcr = apic->timer.divide;
	u32 code = FIELD_PREP(0x4u, FIELD_GET(TDCR_HIGH, tdcr)) | FIELD_GET(TDCR_LOW, tdcr);

	/* 0 .. 6 divide by 2 .. 128, and 7 by 1. */
	return (u64)apic->timer.bus_cycle_ns << ((code + 1) & 7);
}

/* 0 means "never", so the first nanosecond of the clock is rounded up. */
static u64 deadline_at(u64 ns)
{
	return ns ? ns : 1;
}

static u64 period_ns(const struct vlapic *apic)
{
	return apic->timer.initial * vlapic_timer_tick_ns(apic);
}

static void next_period_locked(struct vlapic *apic, u64 now_ns)
{
	struct vlapic_timer *t = &apic->timer;
	u64 period = period_ns(apic);

	if (!period) {
		t->deadline_ns = 0;
		return;
	}
	/* However many periods went by: one interrupt, one division. */
	t->deadline_ns += (div64_u64(now_ns - t->deadline_ns, period) + 1) * period;
	t->not_before_ns = now_ns + VLAPIC_MIN_PERIOD_NS;
}

static bool settle_locked(struct vlapic *apic, u64 now_ns, bool running)
{
	struct vlapic_timer *t = &apic->timer;

	if (!t->deadline_ns || now_ns < t->deadline_ns)
		return false;
	if (vlapic_timer_mode(apic) == LAPIC_TIMER_PERIODIC) {
		next_period_locked(apic, now_ns);
		return true;
	}
	t->deadline_ns = 0;
	if (vlapic_timer_mode(apic) != LAPIC_TIMER_TSC_DEADLINE)
		return true;
	if (running) {
		t->tsc_deadline = 0;
		return true;
	}
	/*
	 * The guest sees the MSR cleared, but not before the owner has looked: a host that saved
	 * the registers first and the MSR later must not find neither the interrupt nor the
	 * deadline.
	 */
	t->tsc_expired = true;
	env_set_u32(&apic->look, VLAPIC_LOOK_TIMER);
	return true;
}

bool vlapic_timer_settle(struct vlapic *apic, u64 now_ns, bool running)
{
	unsigned long flags;
	bool expired;

	if (!vlapic_timer_is_set(apic))
		return false;
	irq_lock(&apic->timer.lock, flags);
	expired = settle_locked(apic, now_ns, running);
	irq_unlock(&apic->timer.lock, flags);
	return expired;
}

enum irq_notify vlapic_timer_interrupt(struct vlapic *apic)
{
	u32 lvt = READ_ONCE(apic->timer.lvt);
	u8 vector = FIELD_GET(LAPIC_LVT_VECTOR, lvt);

	if ((lvt & LAPIC_LVT_MASKED) || !vlapic_sw_enabled(apic))
		return NOTIFY_NONE;
	if (vector < LAPIC_FIRST_VECTOR)
		return vlapic_error(apic, LAPIC_ESR_RECEIVE_ILLEGAL);
	return vlapic_accept_edge(apic, vector, IRQ_PATH_TIMER).how;
}

enum irq_notify vlapic_timer_poll(struct vlapic *apic, u64 now_ns)
{
	if (!vlapic_timer_settle(apic, now_ns, false))
		return NOTIFY_NONE;
	return vlapic_timer_interrupt(apic);
}

u64 vlapic_timer_moment(struct vlapic *apic, u64 *guest_tsc)
{
	struct vlapic_timer *t = &apic->timer;
	enum lapic_timer_mode mode;
	unsigned long flags;
	u64 deadline;

	/* As if we had come just before whoever sets it, and who looks after that. */
	if (!vlapic_timer_is_set(apic)) {
		*guest_tsc = 0;
		return 0;
	}
	irq_lock(&t->lock, flags);
	mode = vlapic_timer_mode(apic);
	deadline = t->deadline_ns;
	/* Nobody hears a masked expiry, and settling can be done when someone asks. */
	if (t->lvt & LAPIC_LVT_MASKED)
		deadline = 0;
	/* The count runs at the guest's rate; only the host's interrupts are rationed. */
	if (deadline && mode == LAPIC_TIMER_PERIODIC)
		deadline = max(deadline, t->not_before_ns);
	*guest_tsc = mode == LAPIC_TIMER_TSC_DEADLINE ? t->tsc_deadline : 0;
	irq_unlock(&t->lock, flags);
	return deadline;
}

u64 vlapic_timer_host_deadline(struct vlapic *apic)
{
	u64 guest_tsc;

	return vlapic_timer_moment(apic, &guest_tsc);
}

static u32 count_locked(const struct vlapic *apic, u64 now_ns)
{
	u64 deadline = apic->timer.deadline_ns;
	u64 tick = vlapic_timer_tick_ns(apic);

	if (deadline <= now_ns || !is_counting(vlapic_timer_mode(apic)))
		return 0;
	/* The count drops at the end of each tick: a part of one still shows. */
	return (u32)min_t(u64, div64_u64(deadline - now_ns + tick - 1, tick), ~0u);
}

u32 vlapic_timer_count(struct vlapic *apic, u64 now_ns)
{
	unsigned long flags;
	u32 count;

	irq_lock(&apic->timer.lock, flags);
	count = count_locked(apic, now_ns);
	irq_unlock(&apic->timer.lock, flags);
	return count;
}

void vlapic_timer_write_initial(struct vlapic *apic, u32 count, u64 now_ns)
{
	struct vlapic_timer *t = &apic->timer;
	unsigned long flags;

	irq_lock(&t->lock, flags);
	/* SDM "TSC-Deadline Mode": writes to the initial-count register are ignored. */
	if (vlapic_timer_mode(apic) != LAPIC_TIMER_TSC_DEADLINE) {
		t->initial = count;
		t->deadline_ns = 0;
		t->not_before_ns = 0;
		if (count && is_counting(vlapic_timer_mode(apic)))
			t->deadline_ns = deadline_at(now_ns + period_ns(apic));
	}
	vlapic_set_reg(apic, LAPIC_TMICT, t->initial);
	irq_unlock(&t->lock, flags);
}

void vlapic_timer_write_divide(struct vlapic *apic, u32 tdcr, u64 now_ns)
{
	struct vlapic_timer *t = &apic->timer;
	unsigned long flags;
	u32 count;

	irq_lock(&t->lock, flags);
	count = count_locked(apic, now_ns);
	t->divide = tdcr;
	vlapic_set_reg(apic, LAPIC_TDCR, tdcr);
	if (count) /* what is left to count goes on at the new rate */
		t->deadline_ns = deadline_at(now_ns + count * vlapic_timer_tick_ns(apic));
	irq_unlock(&t->lock, flags);
}

static void stop_locked(struct vlapic_timer *t)
{
	t->deadline_ns = 0;
	t->not_before_ns = 0;
	t->tsc_deadline = 0;
	t->tsc_stale = false;
	t->tsc_expired = false;
}

void vlapic_timer_write_lvt(struct vlapic *apic, u32 lvt)
{
	struct vlapic_timer *t = &apic->timer;
	unsigned long flags;
	enum lapic_timer_mode old;

	irq_lock(&t->lock, flags);
	old = vlapic_timer_mode(apic);
	/*
	 * To and from TSC-deadline mode, the timer is disarmed. Between one-shot and periodic the
	 * count goes on: only what happens at its end has changed.
	 */
	if (lvt_mode(lvt) != old && !(is_counting(old) && is_counting(lvt_mode(lvt))))
		stop_locked(t);
	WRITE_ONCE(t->lvt, lvt);
	vlapic_set_reg(apic, LAPIC_LVT_TIMER, lvt);
	irq_unlock(&t->lock, flags);
}

static void adopt_locked(struct vlapic *apic)
{
	WRITE_ONCE(apic->timer.lvt, vlapic_reg(apic, LAPIC_LVT_TIMER));
	apic->timer.initial = vlapic_reg(apic, LAPIC_TMICT);
	apic->timer.divide = vlapic_reg(apic, LAPIC_TDCR);
}

void vlapic_timer_adopt(struct vlapic *apic)
{
	unsigned long flags;

	irq_lock(&apic->timer.lock, flags);
	adopt_locked(apic);
	irq_unlock(&apic->timer.lock, flags);
}

/* When the guest's TSC, which reads @guest_tsc at @now_ns, reaches @deadline. */
static u64 tsc_to_ns(const struct vlapic *apic, u64 deadline, u64 now_ns, u64 guest_tsc)
{
	u64 khz = apic->tsc_khz;
	u64 ms, rest;

	if (deadline <= guest_tsc || !khz) /* without a frequency: too early rather than never */
		return deadline_at(now_ns);
	ms = div64_u64_rem(deadline - guest_tsc, khz, &rest);
	if (ms >= TIMER_FAR_MS)
		return now_ns + TIMER_FAR_MS * NS_PER_MS;
	/* Rounded up: the guest must find its TSC at or past the deadline. */
	return now_ns + ms * NS_PER_MS + div64_u64(rest * NS_PER_MS + khz - 1, khz);
}

bool vlapic_timer_write_tsc(struct vlapic *apic, u64 deadline, u64 now_ns, u64 guest_tsc)
{
	struct vlapic_timer *t = &apic->timer;
	unsigned long flags;
	bool expired;

	irq_lock(&t->lock, flags);
	expired = settle_locked(apic, now_ns, true); /* what came before this write */
	/* In the other modes the MSR reads 0 and ignores writes. */
	if (vlapic_timer_mode(apic) == LAPIC_TIMER_TSC_DEADLINE) {
		stop_locked(t);
		t->tsc_deadline = deadline;
		if (deadline)
			t->deadline_ns = tsc_to_ns(apic, deadline, now_ns, guest_tsc);
		expired |= settle_locked(apic, now_ns, true); /* perhaps it lies in the past */
	}
	irq_unlock(&t->lock, flags);
	return expired;
}

void vlapic_timer_stop(struct vlapic *apic)
{
	unsigned long flags;

	irq_lock(&apic->timer.lock, flags);
	stop_locked(&apic->timer);
	irq_unlock(&apic->timer.lock, flags);
}

void vlapic_timer_pause(struct vlapic *apic)
{
	unsigned long flags;

	irq_lock(&apic->timer.lock, flags);
	apic->timer.deadline_ns = 0;
	irq_unlock(&apic->timer.lock, flags);
}

void vlapic_timer_restore(struct vlapic *apic, u32 count, bool stopped, u64 now_ns)
{
	struct vlapic_timer *t = &apic->timer;
	unsigned long flags;
	u32 initial;

	irq_lock(&t->lock, flags);
	adopt_locked(apic);
	initial = t->initial;
	t->deadline_ns = 0;
	t->not_before_ns = 0;
	switch (vlapic_timer_mode(apic)) {
	case LAPIC_TIMER_PERIODIC:
		if (initial && !stopped) {
			count = count ? min(count, initial) : initial;
			t->deadline_ns = deadline_at(now_ns + count * vlapic_timer_tick_ns(apic));
		}
		break;
	case LAPIC_TIMER_ONESHOT:
		if (initial && !stopped) {
			count = min(count, initial);
			t->deadline_ns = deadline_at(now_ns + count * vlapic_timer_tick_ns(apic));
		}
		break;
	case LAPIC_TIMER_TSC_DEADLINE:
		t->tsc_stale = t->tsc_deadline != 0;
		t->tsc_expired = false;
		break;
	default:
		break;
	}
	irq_unlock(&t->lock, flags);
	env_or_u32(&apic->look, VLAPIC_LOOK_TIMER);
}

void vlapic_timer_restore_tsc(struct vlapic *apic, u64 deadline)
{
	struct vlapic_timer *t = &apic->timer;
	unsigned long flags;

	irq_lock(&t->lock, flags);
	t->tsc_deadline = deadline;
	t->tsc_stale = deadline != 0;
	t->tsc_expired = false;
	if (vlapic_timer_mode(apic) == LAPIC_TIMER_TSC_DEADLINE)
		t->deadline_ns = 0;
	irq_unlock(&t->lock, flags);
	env_or_u32(&apic->look, VLAPIC_LOOK_TIMER);
}

void vlapic_timer_tsc_moved(struct vlapic *apic)
{
	struct vlapic_timer *t = &apic->timer;
	unsigned long flags;

	irq_lock(&t->lock, flags);
	if (t->tsc_deadline) {
		t->tsc_stale = true;
		if (vlapic_timer_mode(apic) == LAPIC_TIMER_TSC_DEADLINE)
			t->deadline_ns = 0;
		env_or_u32(&apic->look, VLAPIC_LOOK_TIMER);
	}
	irq_unlock(&t->lock, flags);
}

u64 vlapic_timer_tsc_deadline(struct vlapic *apic)
{
	unsigned long flags;
	u64 deadline;

	irq_lock(&apic->timer.lock, flags);
	deadline = apic->timer.tsc_deadline;
	irq_unlock(&apic->timer.lock, flags);
	return deadline;
}

bool vlapic_timer_running(struct vlapic *apic)
{
	unsigned long flags;
	bool running;

	irq_lock(&apic->timer.lock, flags);
	running = apic->timer.deadline_ns != 0;
	irq_unlock(&apic->timer.lock, flags);
	return running;
}

void vlapic_timer_look(struct vlapic *apic, u64 now_ns, u64 guest_tsc)
{
	struct vlapic_timer *t = &apic->timer;
	unsigned long flags;

	irq_lock(&t->lock, flags);
	env_and_u32(&apic->look, ~(u32)VLAPIC_LOOK_TIMER);
	/* An expired deadline is in IRR already, and moving the TSC back does not undo that. */
	if (vlapic_timer_mode(apic) != LAPIC_TIMER_TSC_DEADLINE || t->tsc_expired)
		t->tsc_deadline = 0;
	else if (t->tsc_stale)
		t->deadline_ns = tsc_to_ns(apic, t->tsc_deadline, now_ns, guest_tsc);
	t->tsc_stale = false;
	t->tsc_expired = false;
	irq_unlock(&t->lock, flags);
}
