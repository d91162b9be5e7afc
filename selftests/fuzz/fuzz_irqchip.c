// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole interrupt-controller core under a stream of operations: register writes of several
 * vCPUs, lines, MSIs, EOIs, time, state images, mode switches, routing changes. After each
 * operation the invariants are checked against the raw state: the input is only a way to get there.
 * A broken invariant traps. Which of them can fail is shown by selftests/seeds.
 *
 * Built as a libFuzzer target; see selftests/fuzz/Makefile.
 */
#include "invariants.h"

#define MAX_OPS 400

static const u8 *input, *input_end;

static u32 take(u32 bytes)
{
	u32 value = 0;

	while (bytes--)
		value = value << 8 | (input < input_end ? *input++ : 0);
	return value;
}

/* --- operations: each returns what it was allowed to do --- */

static int acked_vector;

static void op_ack(struct world *w, u32 cpu)
{
	struct vlapic *apic = &w->m->apic[cpu];
	int expected = irqchip_peek(&w->m->chip, cpu);
	u32 ppr = vlapic_update_ppr(apic);
	int vector = irqchip_ack(&w->m->chip, cpu);

	acked_vector = vector;
	if (expected == IRQCHIP_EXTINT) {
		acked_vector = -1;
		CHECK(vector >= 0 && vector < 256);
		return;
	}
	CHECK(vector == expected);
	if (vector < 0)
		return;
	CHECK(((u32)vector & 0xf0) > (ppr & 0xf0));
	CHECK(vlapic_highest_isr(apic) == vector);
	CHECK(!has(w->m, cpu, LAPIC_IRR, (u8)vector) && has(w->m, cpu, LAPIC_ISR, (u8)vector));
}

/* The EOI of a level interrupt reaches every pin that waits for it (invariant I5). */
static void op_eoi(struct world *w, u32 cpu)
{
	struct machine *m = w->m;
	struct vlapic *apic = &m->apic[cpu];
	int vector = vlapic_highest_isr(apic);
	u32 pin, waiting = 0, acks[IOAPIC_NR_PINS];

	memcpy(acks, m->acks[KVM_IRQCHIP_IOAPIC], sizeof(acks));
	if (vector >= 0 && has(m, cpu, LAPIC_TMR, (u8)vector) &&
	    !(apic->regs[LAPIC_SVR / 4] & LAPIC_SVR_NO_BROADCAST)) {
		for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
			if (m->ioapic.rte[pin].remote_irr && m->ioapic.in_flight[pin] == vector)
				waiting |= 1u << pin;
		}
	}
	if (vlapic_x2apic(apic))
		CHECK(irqchip_msr_write(&m->chip, cpu, x2(LAPIC_EOI), 0, false) == 0);
	else
		wr(m, cpu, LAPIC_EOI, 0);
	if (vector >= 0 && vlapic_hw_enabled(apic))
		CHECK(!has(m, cpu, LAPIC_ISR, (u8)vector));
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		if (waiting & 1u << pin)
			CHECK(m->acks[KVM_IRQCHIP_IOAPIC][pin] == acks[pin] + 1);
	}
}

static void op_lapic_write(struct world *w, u32 cpu)
{
	u32 offset = take(1) << 4, value = take(4);

	irqchip_lapic_write(&w->m->chip, cpu, offset, 4, &value);
}

static void op_lapic_read(struct world *w, u32 cpu)
{
	u32 offset = take(2) & 0xfff, len = 1 + take(1) % 8;
	u8 data[8];

	irqchip_lapic_read(&w->m->chip, cpu, offset, len, data);
}

static void op_x2apic_write(struct world *w, u32 cpu)
{
	u32 msr = MSR_X2APIC_FIRST + take(1), high = take(1) % 3 ? 0 : take(4);
	u64 value = (u64)high << 32 | take(4), back;

	irqchip_msr_write(&w->m->chip, cpu, msr, value, false);
	irqchip_msr_read(&w->m->chip, cpu, msr, &back);
}

static u32 op_base(struct world *w, u32 cpu)
{
	static const u64 modes[] = { 0, LAPIC_BASE_ENABLE, LAPIC_BASE_MODE, LAPIC_BASE_X2APIC };
	u32 how = take(1);
	u64 old = w->m->apic[cpu].base_msr, value = LAPIC_DEFAULT_BASE | modes[how & 3];
	int r = irqchip_msr_write(&w->m->chip, cpu, MSR_LAPIC_BASE, value, how & 4);

	CHECK(w->m->apic[cpu].base_msr == (r ? old : value));
	return MAY_RESET;
}

static void op_tsc(struct world *w, u32 cpu)
{
	u32 how = take(1);
	u64 delta = take(3), now;

	if (how & 1) {
		w->m->tsc_offset[cpu] += how & 2 ? (s64)delta : -(s64)delta;
		irqchip_tsc_moved(&w->m->chip, cpu);
		return;
	}
	irqchip_msr_write(&w->m->chip, cpu, MSR_LAPIC_TSC_DEADLINE,
			  how & 4 ? 0 : fake_tsc(w->m, cpu, &now) + delta - 1000, how & 2);
}

static void op_line(struct world *w)
{
	u32 gsi = take(1) % NR_GSIS, how = take(1), source = how >> 1 & 31, pin;

	/* Sources of the core itself are pulses: the model has nothing to remember of them. */
	if (source == IRQ_SOURCE_PULSE || source == IRQ_SOURCE_PIT)
		source = IRQ_SOURCE_USER;
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		if (w->leads_to[KVM_IRQCHIP_IOAPIC][pin] & 1u << gsi)
			w->from_image &= ~(1u << pin);
	}
	if (how & 0x40) {
		irqchip_pulse_gsi(&w->m->chip, gsi);
		return;
	}
	irqchip_set_gsi(&w->m->chip, gsi, source, how & 1);
	if (how & 1)
		w->gsi_lines[gsi] |= 1u << source;
	else
		w->gsi_lines[gsi] &= ~(1u << source);
}

static void op_msi(struct world *w)
{
	u32 dest = take(1), bits = take(1), data = take(2), cpu;
	int r;

	if (dest & 0x40)
		dest = dest & 1 ? 0xff : w->first_id + dest % (NR_CPUS + 1);
	r = irqchip_msi(&w->m->chip,
			(u64)(dest >> 8) << 40 | 0xfee00000ULL | (dest & 0xff) << 12 | (bits & 0xc),
			data);
	/* One fixed vector to one LAPIC that can take it is in its IRR now, new or coalesced. */
	cpu = dest - w->first_id;
	if ((bits & 0xc) || cpu >= NR_CPUS || (dest > 0xff && !w->m->chip.x2apic_format) ||
	    (data & 0x700) || (data & 0xff) < 16 || (data & 0xc000) == 0x8000 ||
	    !vlapic_sw_enabled(&w->m->apic[cpu]))
		return;
	CHECK(r >= 0);
	CHECK(has(w->m, cpu, LAPIC_IRR, (u8)data));
	CHECK(has(w->m, cpu, LAPIC_TMR, (u8)data) == !!(data & 0x8000));
}

static void op_ioapic(struct world *w)
{
	u32 selector = take(1), value = take(4);
	u32 offset = selector & 0x80 ? 0x40 : 0x10;

	if (selector & 0x40) /* most should hit a redirection entry */
		selector = 0x10 + (selector & 0x3f) % 48;
	irqchip_mmio_write(&w->m->chip, 0xfec00000, 4, &selector);
	irqchip_mmio_write(&w->m->chip, 0xfec00000 + offset, 4, &value);
	irqchip_mmio_read(&w->m->chip, 0xfec00010, 4, &value);
}

static void op_port(struct world *w)
{
	static const u16 ports[] = { 0x20, 0x21, 0xa0, 0xa1,  0x40, 0x41,
				     0x42, 0x43, 0x61, 0x4d0, 0x4d1 };
	u16 port = ports[take(1) % ARRAY_SIZE(ports)];
	u8 value = (u8)take(1);

	if (take(1) & 1)
		irqchip_pio_read(&w->m->chip, port, 1, &value);
	else
		irqchip_pio_write(&w->m->chip, port, 1, &value);
}

static void op_time(struct world *w)
{
	u32 how = take(1);
	u64 ns = (u64)take(2) << (how & 15);

	if (how & 0x80) { /* the host slept: one late interrupt for each timer */
		u32 cpu;

		w->m->now += ns;
		for (cpu = 0; cpu < NR_CPUS; cpu++) {
			irqchip_lapic_timer_fired(&w->m->chip, cpu);
			/* However late: all periods at once (invariant T1). */
			CHECK(!w->m->apic[cpu].timer.deadline_ns ||
			      w->m->apic[cpu].timer.deadline_ns > w->m->now);
		}
		irqchip_pit_timer_fired(&w->m->chip);
		return;
	}
	/* At most one period of rationed timers per 100 us: keep the sum of the work in bounds. */
	advance(w->m, min_t(u64, ns, 10000000));
}

/* Saving and loading again changes nothing that a guest could see. */
static u32 op_reload_lapic(struct world *w, u32 cpu)
{
	struct kvm_lapic_state one, two;
	struct vlapic *apic = &w->m->apic[cpu];
	int peek;

	CHECK(irqchip_get_lapic(&w->m->chip, cpu, &one) == 0);
	peek = vlapic_peek(apic);
	CHECK(irqchip_set_lapic(&w->m->chip, cpu, &one) == 0);
	CHECK(vlapic_peek(apic) == peek);
	CHECK(irqchip_get_lapic(&w->m->chip, cpu, &two) == 0);
	/* A TSC deadline only runs again when the vCPU has looked. */
	memset(one.regs + LAPIC_TIMER_STOPPED, 0, 4);
	memset(two.regs + LAPIC_TIMER_STOPPED, 0, 4);
	CHECK(!memcmp(&one, &two, sizeof(one)));
	return 0;
}

static u32 op_hostile_lapic(struct world *w, u32 cpu)
{
	struct kvm_lapic_state image;
	u32 i, n = take(1) % 16;

	CHECK(irqchip_get_lapic(&w->m->chip, cpu, &image) == 0);
	for (i = 0; i < n; i++) {
		u32 offset = (take(1) & 0x3f) << 4 | (take(1) & 4), word = take(4);

		memcpy(image.regs + offset, &word, sizeof(word));
	}
	if (!irqchip_set_lapic(&w->m->chip, cpu, &image))
		memcpy(&w->low_irr[cpu], image.regs + LAPIC_IRR, sizeof(u32));
	return MAY_RESET;
}

static u32 op_reload_chip(struct world *w)
{
	struct kvm_irqchip image = { .chip_id = take(1) % 4 };
	u32 i, n = take(1) % 8;

	if (irqchip_get_state(&w->m->chip, &image))
		return 0;
	for (i = 0; i < n; i++) {
		u32 at = take(1) % sizeof(struct kvm_ioapic_state);

		/* The window's place stays, or nothing would be found there any more. */
		if (image.chip_id != KVM_IRQCHIP_IOAPIC || at >= 8)
			image.chip.dummy[at] = (char)take(1);
	}
	irqchip_set_state(&w->m->chip, &image);
	if (image.chip_id == KVM_IRQCHIP_IOAPIC) {
		w->from_image = w->m->ioapic.irr;
		w->unowned = ~0u;
	}
	return 0;
}

/* --- operations that arrive where random register values seldom do --- */

/* Few vectors and near destinations, so that pins share them. */
static void op_rte(struct world *w)
{
	u32 pin = take(1) % IOAPIC_NR_PINS, how = take(1), low = 0x31 + (how & 3) * 0x10;

	low |= how & 4 ? RTE_LEVEL : 0;
	low |= how & 8 ? RTE_MASK : 0;
	low |= how & 16 ? IRQ_DM_LOWEST << 8 : 0;
	if (how & 32) /* the low half alone: a rewrite while pending */
		ioapic_write(w->m, 0x10 + 2 * pin, low);
	else
		set_rte(w->m, pin, how & 64 ? 0xff : (w->first_id + (how >> 7)) & 0xff, low);
}

/* @value to the register at @offset, in whichever mode the LAPIC is. */
static void write_reg(struct world *w, u32 cpu, u32 offset, u32 value)
{
	if (vlapic_x2apic(&w->m->apic[cpu]))
		irqchip_msr_write(&w->m->chip, cpu, x2(offset), value, false);
	else
		wr(w->m, cpu, offset, value);
}

/* Short periods in any mode, soon over. */
static void op_timer(struct world *w, u32 cpu)
{
	u32 how = take(1);

	write_reg(w, cpu, LAPIC_TDCR, how & 8 ? 0xb : 0);
	write_reg(w, cpu, LAPIC_LVT_TIMER,
		  FIELD_PREP(LAPIC_LVT_MODE, how & 3) | (how & 4 ? LAPIC_LVT_MASKED : 0) | 0x45);
	write_reg(w, cpu, LAPIC_TMICT, take(2));
}

/* Priorities near each other, where the comparisons are decided. */
static void op_priority(struct world *w, u32 cpu)
{
	u32 how = take(1);
	struct irq_msg msg = { .vector = (u8)(0x30 + (how & 3) * 0x10 + (how >> 2 & 3)),
			       .assert = true,
			       .path = IRQ_PATH_MSI };
	enum irq_notify unused;

	if (how & 0x80)
		write_reg(w, cpu, LAPIC_TPR, 0x30 + (how & 3) * 0x10 + (how >> 2 & 3));
	else
		(void)!vlapic_accept(&w->m->apic[cpu], &msg, &unused);
}

/* The fast way to the destinations finds what asking everyone finds. */
static void op_targets(struct world *w)
{
	u32 how = take(1), dest = take(how & 16 ? 4 : 1);
	struct irq_msg msg = { .dest = how & 32 ? w->first_id + dest % NR_CPUS : dest,
			       .logical = how & 1,
			       .x2apic_dest = how & 2,
			       .path = how & 4 ? IRQ_PATH_IPI : IRQ_PATH_MSI };
	struct msg_targets it;
	struct vlapic *apic;
	u32 cpu, fast = 0, slow = 0;

	if (msg.logical && (how & 32))
		msg.dest = msg_x2apic_ldr(msg.dest) | (how & 8 ? 0xffff : 0);
	msg_targets_begin(&it, &w->m->chip, &msg);
	while ((apic = msg_targets_next(&it))) {
		CHECK(!(fast & 1u << apic->index));
		fast |= 1u << apic->index;
	}
	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		if (msg_matches(&msg, &w->m->apic[cpu], !w->m->chip.no_x2apic_bcast))
			slow |= 1u << cpu;
	}
	CHECK(fast == slow);
}

static void install_routes(struct world *w, const struct kvm_irq_routing_entry *rows, u32 n)
{
	size_t size = route_size(n);
	struct irq_routing *table = calloc(1, size);
	u32 i;

	if (route_build(table, size, rows, n, 0)) {
		free(table);
		return;
	}
	CHECK(irqchip_set_routing(&w->m->chip, table) == w->m->routing);
	free(w->m->routing);
	w->m->routing = table;
	memset(w->leads_to, 0, sizeof(w->leads_to));
	for (i = 0; i < n; i++) {
		if (rows[i].type == KVM_IRQ_ROUTING_IRQCHIP)
			w->leads_to[rows[i].u.irqchip.irqchip][rows[i].u.irqchip.pin] |=
				1u << rows[i].gsi;
	}
	irqchip_routing_moved(&w->m->chip);
}

static void default_routes(struct world *w)
{
	struct kvm_irq_routing_entry rows[64];

	install_routes(w, rows, route_default(rows, ARRAY_SIZE(rows)));
}

/* A table of a few rows, or the default one: while lines are up and interrupts in flight. */
static void op_routes(struct world *w)
{
	struct kvm_irq_routing_entry rows[16] = { 0 };
	u32 i, n = take(1) % (ARRAY_SIZE(rows) + 1);

	if (!n) {
		default_routes(w);
		return;
	}
	for (i = 0; i < n; i++) {
		u32 gsi = take(1) % NR_GSIS, how = take(1), chip = how % KVM_NR_IRQCHIPS;

		rows[i].gsi = gsi;
		rows[i].type = how & 0x40 ? KVM_IRQ_ROUTING_MSI : KVM_IRQ_ROUTING_IRQCHIP;
		if (how & 0x40) {
			rows[i].u.msi.address_lo = 0xfee00000;
			rows[i].u.msi.data = 0x4041;
			continue;
		}
		rows[i].u.irqchip.irqchip = chip;
		rows[i].u.irqchip.pin = take(1) % (chip == KVM_IRQCHIP_IOAPIC ? IOAPIC_NR_PINS : 8);
	}
	install_routes(w, rows, n);
}

static u32 op_init(struct world *w, u32 cpu)
{
	u8 page;

	if (vlapic_take_init(&w->m->apic[cpu]) || take(1) == 0xff) {
		vlapic_reset(&w->m->apic[cpu], true);
		return MAY_RESET;
	}
	vlapic_take_sipi(&w->m->apic[cpu], &page);
	return 0;
}

static u32 one_op(struct world *w, u32 op, u32 cpu)
{
	switch (op) {
	case 0:
	case 1:
		op_ack(w, cpu);
		return MAY_ACK;
	case 2:
		op_eoi(w, cpu);
		return 0;
	case 3:
	case 4:
		op_lapic_write(w, cpu);
		return 0;
	case 5:
		op_lapic_read(w, cpu);
		return 0;
	case 6:
		op_x2apic_write(w, cpu);
		return 0;
	case 7:
		return op_base(w, cpu);
	case 8:
		op_tsc(w, cpu);
		return 0;
	case 9:
		op_line(w);
		return 0;
	case 10:
		op_msi(w);
		return 0;
	case 11:
		op_ioapic(w);
		return 0;
	case 12:
		op_port(w);
		return 0;
	case 13:
		op_time(w);
		return 0;
	case 14:
		return op_reload_lapic(w, cpu);
	default:
		switch (take(1) % 4) {
		case 0:
			return op_hostile_lapic(w, cpu);
		case 1:
			return op_init(w, cpu);
		case 2:
			irqchip_set_cr8(&w->m->chip, cpu, take(1) & 15);
			return 0;
		default:
			return op_reload_chip(w);
		}
	}
}

static u32 one_special_op(struct world *w, u32 op, u32 cpu)
{
	switch (op % 8) {
	case 0:
	case 1:
		op_rte(w);
		return 0;
	case 2:
		op_timer(w, cpu);
		return 0;
	case 3:
		op_priority(w, cpu);
		return 0;
	case 4:
		op_targets(w);
		return 0;
	case 5:
		op_routes(w);
		return 0;
	case 6:
		op_ack(w, cpu);
		return MAY_ACK;
	default:
		op_eoi(w, cpu);
		return 0;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	/* At the edges of the ID's widths and of the table: a cluster's, 8 bits, IRQCHIP_MAX_ID. */
	static const u32 first_ids[] = { 0, 14, 253, IRQCHIP_MAX_ID - 2 };
	struct world w = { 0 };
	u32 cpu, ops, flags;

	input = data;
	input_end = data + size;
	world = &w;
	flags = take(1);
	w.first_id = first_ids[flags >> 6];
	w.m = machine_new_ids(NR_CPUS, w.first_id);
	w.m->chip.host = &counting_host;
	machine_add_devices(w.m);
	default_routes(&w);
	w.m->chip.vector_hashing = flags & 1;
	w.m->chip.no_x2apic_bcast = flags & 2;
	w.m->chip.x2apic_format = flags & 4;
	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		vlapic_set_features(&w.m->apic[cpu], flags & 8, flags & 16);
		if (flags & 32)
			sw_enable(w.m, cpu);
	}
	if (flags & 8)
		vioapic_enable_eoir(&w.m->ioapic);

	for (ops = 0; ops < MAX_OPS && input < input_end; ops++) {
		u32 head = take(1), may;

		cpu = head >> 4 & (NR_CPUS - 1);
		take_snapshot(&w);
		w.work = 0;
		acked_vector = -1;
		may = head & 0x40 ? one_special_op(&w, head & 15, cpu) : one_op(&w, head & 15, cpu);
		for (u32 i = 0; i < NR_CPUS; i++)
			check_lapic(&w, i);
		check_lines(&w);
		check_level_is_sent(&w);
		check_remote_irr(&w, may);
		check_no_interrupt_was_lost(&w, cpu, may, acked_vector);
	}
	machine_free(w.m);
	return 0;
}
