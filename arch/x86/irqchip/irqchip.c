// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bus between the interrupt controllers of one VM: carries each device's effects to the others.
 *
 * The devices know only themselves. All knowledge of who is wired to whom stands here: GSI to pins,
 * pin to message, message to LAPICs, EOI back to pins, PIC output to LINT0, PIT to GSI 0. No device
 * lock is held here, ever; each device call takes and drops its own. So nothing recurses into
 * a device that is being changed, and host operations run lock-free. Accesses by address, port or
 * ioctl are in irqchip_access.c.
 */
#include <irqchip/msg.h>
#include <irqchip/route.h>

#include "bus.h"

#define PIT_GSI  0
#define RTC_PIN  8 /* of the IOAPIC */
#define INTR_PIN 0 /* of the IOAPIC: also wired to the PIC's output, for entries in ExtINT mode */

/* --- messages to LAPICs --- */

/* 1 accepted, 0 coalesced, -1 not taken. */
static int deliver_to(struct irqchip *chip, struct vlapic *apic, const struct irq_msg *msg)
{
	enum irq_notify how;
	int taken;

	switch (msg->delivery) {
	case IRQ_DM_NMI:
		chip->host->nmi(chip->ctx, apic->index);
		return 1;
	case IRQ_DM_EXTINT:
		vlapic_accept_extint(apic);
		bus_notify(chip, apic, NOTIFY_KICK);
		return 1;
	default:
		taken = vlapic_accept(apic, msg, &how);
		bus_notify(chip, apic, how);
		return taken;
	}
}

/* -1 and -1 make -1; otherwise what was not taken by one does not count. */
static int add_results(int a, int b)
{
	if (a < 0)
		return b;
	return b < 0 ? a : a + b;
}

static int deliver_shorthand(struct irqchip *chip, const struct irq_msg *msg, int from)
{
	struct vlapic *apic;
	int taken = -1;
	u32 i;

	if (msg->shorthand == IRQ_SH_SELF) {
		apic = from < 0 ? NULL : bus_lapic(chip, (u32)from);
		return apic ? deliver_to(chip, apic, msg) : -1;
	}
	irqchip_for_each_lapic (chip, i, apic) {
		if (!vlapic_hw_enabled(apic) || (msg->shorthand == IRQ_SH_OTHERS && (int)i == from))
			continue;
		taken = add_results(taken, deliver_to(chip, apic, msg));
	}
	return taken;
}

int irqchip_deliver(struct irqchip *chip, const struct irq_msg *msg, int from)
{
	struct msg_targets it;
	struct vlapic *apic;
	int taken = -1;

	if (msg->shorthand != IRQ_SH_NONE)
		return deliver_shorthand(chip, msg, from);
	if (msg_is_lowest(msg)) {
		apic = msg_arbitrate(chip, msg);
		return apic ? deliver_to(chip, apic, msg) : -1;
	}
	if (likely(msg_names_id(msg))) {
		apic = msg_lapic_by_id(chip, msg->dest);
		return apic && vlapic_hw_enabled(apic) ? deliver_to(chip, apic, msg) : -1;
	}
	msg_targets_begin(&it, chip, msg);
	while ((apic = msg_targets_next(&it)))
		taken = add_results(taken, deliver_to(chip, apic, msg));
	return taken;
}

/*
 * In a split irqchip a level-triggered MSI may be a pin of the userspace IOAPIC, however userspace
 * sends it: if one of the routes that are reserved for the pins has its vector.
 */
static bool comes_from_user_pin(struct irqchip *chip, const struct irq_msg *msg)
{
	const struct irq_routing *table;
	const struct irq_route *row, *end;
	bool found = false;

	env_read_lock();
	table = smp_load_acquire(&chip->routing);
	row = table ? table->rows : NULL;
	end = table ? row + table->first[chip->reserved_pins] : NULL;
	for (; row < end && !found; row++)
		found = row->type == IRQ_ROUTE_MSI && row->msi.level &&
			row->msi.vector == msg->vector;
	env_read_unlock();
	return found;
}

int bus_deliver_msi(struct irqchip *chip, const struct irq_msg *msg, bool from_pin)
{
	struct irq_msg in_split = *msg;

	if (!chip->split || !msg->level)
		return irqchip_deliver(chip, msg, -1);
	in_split.quiet_eoi = !from_pin && !comes_from_user_pin(chip, msg);
	return irqchip_deliver(chip, &in_split, -1);
}

/* --- the PIC's output --- */

static void pin_acked(struct irqchip *chip, u32 which, u32 pin);

/*
 * INTR is wired to LINT0 of every LAPIC and to an input of the IOAPIC (virtual wire mode, SDM
 * "Local Vector Table"; MultiProcessor Specification, "Virtual Wire Mode"). May the processor of
 * @apic run the INTA cycle? INTR is a level: nothing is latched here that an acknowledgement, a
 * mask or a state image would have to undo. QUIRK(intr_pin): in-tree KVM leaves the IOAPIC's wire
 * out. test_legacy: intr_on_the_ioapic_pin
 */
static bool passes_intr(struct irqchip *chip, const struct vlapic *apic)
{
	struct irq_msg msg;

	if (vlapic_accepts_extint(apic) || vlapic_extint_requested(apic))
		return true;
	return chip->ioapic && vlapic_sw_enabled(apic) &&
	       vioapic_extint(chip->ioapic, INTR_PIN, &msg) &&
	       msg_matches(&msg, apic, !chip->no_x2apic_bcast);
}

/* The first that may run the INTA cycle (normally the BSP) is told to. */
static void offer_intr(struct irqchip *chip)
{
	struct vlapic *apic;
	u32 i;

	irqchip_for_each_lapic (chip, i, apic) {
		if (passes_intr(chip, apic)) {
			bus_notify(chip, apic, NOTIFY_KICK);
			return;
		}
	}
}

/* LINT0s of another delivery mode than ExtINT send their own message. */
static void raise_lint0(struct irqchip *chip)
{
	struct vlapic *apic;
	u32 i;

	irqchip_for_each_lapic (chip, i, apic) {
		if (!vlapic_accepts_extint(apic))
			irqchip_raise_lvt(chip, i, LAPIC_LVT_LINT0);
	}
}

void bus_pic_effect(struct irqchip *chip, const struct vpic_effect *fx)
{
	u32 acked;

	if (fx->output_changed && fx->output) {
		raise_lint0(chip);
		offer_intr(chip);
	}
	for (acked = fx->acked_mask; acked; acked &= acked - 1) {
		u32 pin = __ffs(acked);

		pin_acked(chip, pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin & 7);
	}
}

static bool pic_output(struct irqchip *chip, const struct vlapic *apic)
{
	if (chip->split)
		return chip->host->user_intr(chip->ctx, apic->index, false) >= 0;
	return chip->pic && vpic_output(chip->pic);
}

static bool extint_pending(struct irqchip *chip, const struct vlapic *apic)
{
	return pic_output(chip, apic) && passes_intr(chip, apic);
}

/* The INTA cycle; in a split irqchip the PIC in userspace has run it beforehand. */
static int acknowledge_pic(struct irqchip *chip, const struct vlapic *apic)
{
	struct vpic_effect fx = { 0 };
	int vector;

	if (chip->split)
		return chip->host->user_intr(chip->ctx, apic->index, true);
	vector = vpic_ack(chip->pic, &fx);
	bus_pic_effect(chip, &fx);
	return vector;
}

/* Without the look at the timer, which must wait while the host is still restoring (T2). */
static int takeable(struct irqchip *chip, struct vlapic *apic)
{
	return extint_pending(chip, apic) ? IRQCHIP_EXTINT : vlapic_peek(apic);
}

/* --- pins and GSIs --- */

static int deliver_from_pin(struct irqchip *chip, u32 pin, const struct irq_msg *msg)
{
	int taken;

	/* There the pin passes the PIC's output on, and not its line: passes_intr(). */
	if (pin == INTR_PIN && msg->delivery == IRQ_DM_EXTINT)
		return -1;
	taken = irqchip_deliver(chip, msg, -1);
	if (taken < 0 && msg->level)
		vioapic_refused(chip->ioapic, pin);
	return taken;
}

/* Does any LAPIC that @msg names have its vector pending or in service? */
static bool is_unfinished(struct irqchip *chip, const struct irq_msg *msg)
{
	struct msg_targets it;
	struct vlapic *apic;

	msg_targets_begin(&it, chip, msg);
	while ((apic = msg_targets_next(&it))) {
		if (vlapic_holds(apic, msg->vector))
			return true;
	}
	return false;
}

/*
 * @report: the caller acts on "coalesced". QUIRK(rtc_coalescing): for the RTC that means that an
 * earlier tick has not been completed by all that it went to, and that this one is not sent, though
 * a real pin would: VMMs inject it again later. test_lines: rtc_ticks_coalesce_until_eoi. It is
 * seen from the LAPICs' own state, so there is no count of pending EOIs to get out of step, and no
 * table of vCPUs to overrun (invariant I2).
 */
static int set_pin(struct irqchip *chip, u32 which, u32 pin, u32 source, bool level, bool report)
{
	struct vpic_effect fx = { 0 };
	struct irq_msg msg;
	int r;

	if (which == KVM_IRQCHIP_IOAPIC) {
		if (!chip->ioapic)
			return -1;
		r = vioapic_set_pin(chip->ioapic, pin, source, level, &msg);
		if (r <= 0)
			return r;
		if (report && pin == RTC_PIN && !msg.level && is_unfinished(chip, &msg))
			return 0;
		return deliver_from_pin(chip, pin, &msg);
	}
	if (!chip->pic)
		return -1;
	r = vpic_set_irq(chip->pic, which == KVM_IRQCHIP_PIC_SLAVE ? pin + 8 : pin, source, level,
			 &fx);
	bus_pic_effect(chip, &fx);
	return r;
}

/* The @n rows of one GSI. An MSI has it to itself; what rises is a message, and nothing falls. */
static int drive_rows(struct irqchip *chip, const struct irq_route *row, u32 n, u32 source,
		      bool level, bool report)
{
	int result = -1;

	if (n && row->type == IRQ_ROUTE_MSI)
		return level ? bus_deliver_msi(chip, &row->msi, row->gsi < chip->reserved_pins)
			     : -1;
	for (; n; n--, row++)
		result = add_results(result,
				     set_pin(chip, row->chip, row->pin, source, level, report));
	return result;
}

static int drive_gsi(struct irqchip *chip, u32 gsi, u32 source, bool level, bool report)
{
	const struct irq_route *row;
	int result;
	u32 n;

	env_read_lock();
	row = route_lookup(smp_load_acquire(&chip->routing), gsi, &n);
	result = drive_rows(chip, row, n, source, level, report);
	env_read_unlock();
	return result;
}

/* Remember who holds a GSI up: before the pins are driven, see irqchip_routing_moved(). */
static void note_level(struct irqchip *chip, u32 gsi, u32 source, bool level)
{
	u32 *word, bit;

	if (gsi >= IRQCHIP_MAX_GSI || source > IRQ_SOURCE_MAX)
		return;
	word = &chip->gsi_lines[gsi];
	bit = 1u << source;
	if (level == !!(READ_ONCE(*word) & bit))
		return;
	if (level)
		env_or_u32(word, bit);
	else
		env_and_u32(word, ~bit);
}

int irqchip_set_gsi(struct irqchip *chip, u32 gsi, u32 source, bool level)
{
	note_level(chip, gsi, source, level);
	return drive_gsi(chip, gsi, source, level, false);
}

int irqchip_line_status(struct irqchip *chip, u32 gsi, bool level)
{
	note_level(chip, gsi, IRQ_SOURCE_USER, level);
	return drive_gsi(chip, gsi, IRQ_SOURCE_USER, level, true);
}

static noinline int pulse(struct irqchip *chip, u32 gsi, u32 source)
{
	const struct irq_route *row;
	int result;
	u32 n;

	env_read_lock();
	row = route_lookup(smp_load_acquire(&chip->routing), gsi, &n);
	result = drive_rows(chip, row, n, source, true, false);
	(void)drive_rows(chip, row, n, source, false, false);
	env_read_unlock();
	return result;
}

int irqchip_pulse_gsi(struct irqchip *chip, u32 gsi)
{
	const struct irq_route *row;
	int r = -1;
	u32 n;

	env_read_lock();
	row = route_lookup(smp_load_acquire(&chip->routing), gsi, &n);
	if (n && row->type == IRQ_ROUTE_MSI && row->msi.plain)
		r = bus_send_edge(chip, row->msi.dest, row->msi.vector, IRQ_PATH_MSI);
	env_read_unlock();
	return likely(r >= 0) ? r : pulse(chip, gsi, IRQ_SOURCE_PULSE);
}

/* --- senders that post by themselves --- */

/* Lowest priority has nothing to choose among one. */
static int sole_target(struct irqchip *chip, const struct irq_msg *msg)
{
	struct msg_targets it;
	struct vlapic *apic;
	int target = -1;

	if (msg->delivery != IRQ_DM_FIXED && msg->delivery != IRQ_DM_LOWEST)
		return -1;
	if (msg->level || msg->vector < LAPIC_FIRST_VECTOR)
		return -1;
	msg_targets_begin(&it, chip, msg);
	while ((apic = msg_targets_next(&it))) {
		if (!vlapic_sw_enabled(apic))
			continue;
		if (target >= 0)
			return -1;
		target = (int)apic->index;
	}
	return target;
}

int irqchip_post_target(struct irqchip *chip, u32 gsi, u8 *vector)
{
	const struct irq_route *row;
	int target = -1;
	u32 n;

	env_read_lock();
	row = route_lookup(smp_load_acquire(&chip->routing), gsi, &n);
	if (n && row->type == IRQ_ROUTE_MSI) {
		target = sole_target(chip, &row->msi);
		*vector = row->msi.vector;
	}
	env_read_unlock();
	return target;
}

/* --- lines whose GSI has moved --- */

/* Sources of pulses hold no line. */
#define HOLDING_SOURCES (~(1u << IRQ_SOURCE_PULSE | 1u << IRQ_SOURCE_PIT))

struct pin_lines {
	u32 pin[KVM_NR_IRQCHIPS][IOAPIC_NR_PINS]; /* bit s: source s holds the pin up */
};

/* What the GSIs that lead to each pin hold up. */
static void wanted_lines(struct irqchip *chip, struct pin_lines *want)
{
	const struct irq_routing *table = smp_load_acquire(&chip->routing);
	u32 i, n = table ? table->first[IRQCHIP_MAX_GSI] : 0;

	memset(want, 0, sizeof(*want));
	for (i = 0; i < n; i++) {
		const struct irq_route *row = &table->rows[i];

		if (row->type == IRQ_ROUTE_PIN)
			want->pin[row->chip][row->pin] |= READ_ONCE(chip->gsi_lines[row->gsi]);
	}
}

static u32 present_lines(struct irqchip *chip, u32 which, u32 pin)
{
	if (which == KVM_IRQCHIP_IOAPIC)
		return chip->ioapic ? vioapic_lines(chip->ioapic, pin) : 0;
	if (which == KVM_IRQCHIP_PIC_SLAVE)
		pin += 8;
	return chip->pic ? vpic_lines(chip->pic, pin) : 0;
}

static void settle_lines(struct irqchip *chip, u32 which, const u32 *want)
{
	u32 pins = which == KVM_IRQCHIP_IOAPIC ? IOAPIC_NR_PINS : VPIC_NR_PINS / 2;
	u32 pin, wrong;

	for (pin = 0; pin < pins; pin++) {
		wrong = (present_lines(chip, which, pin) ^ want[pin]) & HOLDING_SOURCES;
		for (; wrong; wrong &= wrong - 1)
			(void)set_pin(chip, which, pin, __ffs(wrong), want[pin] >> __ffs(wrong) & 1,
				      false);
	}
}

void irqchip_routing_moved(struct irqchip *chip)
{
	struct pin_lines want, again;
	u32 which;

	env_read_lock();
	wanted_lines(chip, &again);
	do {
		want = again;
		for (which = 0; which < KVM_NR_IRQCHIPS; which++)
			settle_lines(chip, which, want.pin[which]);
		/*
		 * Others drive lines meanwhile. They note the level first, so whoever's pin we
		 * have set to what is stale by now has noted it by now.
		 */
		smp_mb();
		wanted_lines(chip, &again);
	} while (memcmp(&want, &again, sizeof(want)));
	env_read_unlock();
}

/* --- acknowledgements --- */

static bool gsi_leads_to(struct irqchip *chip, u32 gsi, u32 which, u32 pin)
{
	const struct irq_route *row;
	bool found = false;
	u32 n;

	env_read_lock();
	row = route_lookup(smp_load_acquire(&chip->routing), gsi, &n);
	for (; n && !found; n--, row++)
		found = row->type == IRQ_ROUTE_PIN && row->chip == which && row->pin == pin;
	env_read_unlock();
	return found;
}

/*
 * An interrupt of @pin has ended. Depth is bounded (invariant I3): raising a line from here
 * delivers a message at most, and a delivered message acknowledges nothing. The exception, an
 * auto-EOI, needs the vCPU's own INTA cycle.
 */
static void pin_acked(struct irqchip *chip, u32 which, u32 pin)
{
	chip->host->ack(chip->ctx, which, pin);
	if (chip->pit && gsi_leads_to(chip, PIT_GSI, which, pin) && vpit_irq_acked(chip->pit))
		vpit_pulsed(chip->pit, pulse(chip, PIT_GSI, IRQ_SOURCE_PIT));
}

static void rescan_pin(struct irqchip *chip, u32 pin)
{
	struct irq_msg msg;
	int r = vioapic_rescan_pin(chip->ioapic, pin, &msg);

	if (r > 0)
		deliver_from_pin(chip, pin, &msg);
	else if (r == -EAGAIN && chip->host->ioapic_timer)
		chip->host->ioapic_timer(chip->ctx, bus_now(chip) + VIOAPIC_STORM_DELAY_NS);
	else if (r == -EAGAIN)
		irqchip_ioapic_timer_fired(chip);
}

void bus_ioapic_effect(struct irqchip *chip, const struct vioapic_effect *fx)
{
	u32 pins;

	/* Acknowledge first: what a resampler lets fall must not be sent again. */
	for (pins = fx->acked; pins; pins &= pins - 1)
		pin_acked(chip, KVM_IRQCHIP_IOAPIC, __ffs(pins));
	for (pins = fx->rescan; pins; pins &= pins - 1)
		rescan_pin(chip, __ffs(pins));
	if (fx->routes_changed && chip->pic && vpic_output(chip->pic))
		offer_intr(chip);
}

void irqchip_ioapic_timer_fired(struct irqchip *chip)
{
	u32 pins;

	if (!chip->ioapic)
		return;
	for (pins = vioapic_resume(chip->ioapic); pins; pins &= pins - 1)
		rescan_pin(chip, __ffs(pins));
}

static void carry_out_eoi(struct irqchip *chip, u32 vcpu, const struct vlapic_effect *lapic_fx)
{
	struct vioapic_effect fx = { 0 };
	u8 vector = lapic_fx->eoi_vector;

	if (chip->split) {
		if (lapic_fx->eoi_level && lapic_fx->eoi_wanted && !lapic_fx->eoi_silent)
			chip->host->eoi_exit(chip->ctx, vcpu, vector);
		return;
	}
	if (!lapic_fx->eoi_level) {
		/* No broadcast on the bus, but the PIT and resamplers want to know. */
		if (chip->ioapic)
			fx.acked = vioapic_eoi_edge(chip->ioapic, vector);
	} else if (!lapic_fx->eoi_silent) {
		if (chip->ioapic)
			vioapic_eoi(chip->ioapic, vector, &fx.acked);
		fx.rescan = fx.acked;
	}
	bus_ioapic_effect(chip, &fx);
}

/* --- LAPIC effects and timers --- */

/*
 * Two contexts (the vCPU and its timer's callback) may arm the host's timer in the opposite order
 * of their changes to the deadline. Whoever arms last reads the deadline again afterwards, and so
 * finds the other's change. The host's operation orders its own calls.
 */
void bus_arm_lapic_timer(struct irqchip *chip, struct vlapic *apic)
{
	u64 deadline;

	if (chip->host->timer_moved && chip->host->timer_moved(chip->ctx, apic->index))
		return;
	do {
		deadline = vlapic_timer_host_deadline(apic);
		chip->host->lapic_timer(chip->ctx, apic->index, deadline);
		smp_mb(); /* the arming before the re-reading: pairs with itself on the other side */
	} while (vlapic_timer_host_deadline(apic) != deadline);
}

void irqchip_lapic_timer_fired(struct irqchip *chip, u32 vcpu)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);

	if (!apic)
		return;
	bus_notify(chip, apic, vlapic_timer_poll(apic, bus_now(chip)));
	if (vlapic_timer_host_deadline(apic))
		bus_arm_lapic_timer(chip, apic);
}

void irqchip_lapic_timer_comes(struct irqchip *chip, u32 vcpu, u64 at_ns)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);

	if (!apic)
		return;
	if (vlapic_timer_settle(apic, max(bus_now(chip), at_ns), true))
		bus_notify(chip, apic, vlapic_timer_interrupt(apic));
	if (vlapic_timer_host_deadline(apic))
		bus_arm_lapic_timer(chip, apic);
}

void bus_arm_pit_timer(struct irqchip *chip)
{
	u64 deadline;

	do {
		deadline = vpit_deadline(chip->pit);
		chip->host->pit_timer(chip->ctx, deadline);
		smp_mb(); /* as in bus_arm_lapic_timer() */
	} while (vpit_deadline(chip->pit) != deadline);
}

void irqchip_pit_timer_fired(struct irqchip *chip)
{
	if (!chip->pit)
		return;
	if (vpit_fired(chip->pit, bus_now(chip)))
		vpit_pulsed(chip->pit, pulse(chip, PIT_GSI, IRQ_SOURCE_PIT));
	bus_arm_pit_timer(chip);
}

void irqchip_raise_lvt(struct irqchip *chip, u32 vcpu, u32 lvt)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);
	struct irq_msg msg;

	if (!apic || !vlapic_raise_lvt(apic, lvt, &msg))
		return;
	(void)deliver_to(chip, apic, &msg);
}

void bus_update_map(struct irqchip *chip, const struct vlapic *apic)
{
	msg_update_map(chip, apic);
	if (chip->host->targets_moved)
		chip->host->targets_moved(chip->ctx);
}

void bus_lapic_effect(struct irqchip *chip, struct vlapic *apic, const struct vlapic_effect *fx)
{
	if (fx->what & VLAPIC_FX_MAP)
		bus_update_map(chip, apic);
	if (fx->what & VLAPIC_FX_TIMER)
		bus_arm_lapic_timer(chip, apic);
	if (fx->what & VLAPIC_FX_EOI)
		carry_out_eoi(chip, apic->index, fx);
	if (fx->what & VLAPIC_FX_IPI)
		(void)irqchip_deliver(chip, &fx->ipi, (int)apic->index);
	if ((fx->what & VLAPIC_FX_SELF) && takeable(chip, apic) >= 0)
		bus_notify(chip, apic, NOTIFY_KICK);
}

/* --- life --- */

void irqchip_init(struct irqchip *chip, const struct irqchip_host *host, void *ctx)
{
	memset(chip, 0, sizeof(*chip));
	chip->host = host;
	chip->ctx = ctx;
	chip->bus_cycle_ns = 1;
	irq_lock_init(&chip->map_lock);
}

int irqchip_attach(struct irqchip *chip, u32 index, struct vlapic *apic)
{
	if (index >= IRQCHIP_MAX_VCPUS)
		return -EINVAL;
	if (chip->lapic[index] || (apic->id < IRQCHIP_MAX_ID && chip->index_of_id[apic->id]))
		return -EEXIST;
	apic->index = index;
	apic->timer.bus_cycle_ns = max(1u, min(chip->bus_cycle_ns, IRQCHIP_MAX_BUS_CYCLE_NS));
	smp_store_release(&chip->lapic[index], apic);
	if (apic->id < IRQCHIP_MAX_ID)
		smp_store_release(&chip->index_of_id[apic->id], index + 1);
	if (index >= chip->nr_lapics)
		smp_store_release(&chip->nr_lapics, index + 1);
	bus_update_map(chip, apic);
	return 0;
}

/* IOAPIC pins whose EOI must be reported though they are edge-triggered. */
static void update_ack_pins(struct irqchip *chip)
{
	const struct irq_route *row;
	u32 pins = 0, gsi, n;

	if (!chip->ioapic)
		return;
	for (gsi = 0; gsi < IRQCHIP_MAX_GSI; gsi++) {
		bool pit = chip->pit && gsi == PIT_GSI;

		if (!pit && !(chip->watched[gsi / 32] & 1u << gsi % 32))
			continue;
		row = route_lookup(chip->routing, gsi, &n);
		for (; n; n--, row++) {
			if (row->type == IRQ_ROUTE_PIN && row->chip == KVM_IRQCHIP_IOAPIC)
				pins |= 1u << row->pin;
		}
	}
	vioapic_set_ack_pins(chip->ioapic, pins);
}

const struct irq_routing *irqchip_set_routing(struct irqchip *chip, const struct irq_routing *new)
{
	const struct irq_routing *old = chip->routing;

	smp_store_release(&chip->routing, new);
	update_ack_pins(chip);
	return old;
}

void irqchip_watch_gsi(struct irqchip *chip, u32 gsi, bool on)
{
	if (gsi >= IRQCHIP_MAX_GSI)
		return;
	if (on)
		chip->watched[gsi / 32] |= 1u << gsi % 32;
	else
		chip->watched[gsi / 32] &= ~(1u << gsi % 32);
	update_ack_pins(chip);
}

/* --- the vCPU's side --- */

static void look_at_timer(struct irqchip *chip, struct vlapic *apic)
{
	u64 now = 0, tsc = 0;

	if (likely(!vlapic_has_timer_to_look_at(apic)))
		return;
	if (vlapic_timer_is_stale(apic) || vlapic_timer_is_set(apic))
		tsc = chip->host->guest_tsc(chip->ctx, apic->index, &now);
	vlapic_timer_look(apic, now, tsc);
	bus_notify(chip, apic, vlapic_timer_poll(apic, now));
	bus_arm_lapic_timer(chip, apic);
}

void irqchip_look_at_timer(struct irqchip *chip, u32 vcpu)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);

	if (apic)
		look_at_timer(chip, apic);
}

int irqchip_peek(struct irqchip *chip, u32 vcpu)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);

	if (!apic)
		return -1;
	look_at_timer(chip, apic);
	return takeable(chip, apic);
}

bool irqchip_extint_waits(struct irqchip *chip, u32 vcpu)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);

	if (!apic)
		return false;
	look_at_timer(chip, apic);
	return extint_pending(chip, apic);
}

bool irqchip_passes_extint(struct irqchip *chip, u32 vcpu)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);

	return apic && passes_intr(chip, apic);
}

int irqchip_ack(struct irqchip *chip, u32 vcpu)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);

	if (!apic)
		return -1;
	look_at_timer(chip, apic);
	if (!extint_pending(chip, apic))
		return vlapic_ack(apic);
	vlapic_take_extint(apic);
	env_count(&apic->delivered[IRQ_PATH_PIC]);
	return acknowledge_pic(chip, apic);
}
