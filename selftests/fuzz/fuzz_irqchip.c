// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole interrupt-controller core under a stream of operations: register writes of several
 * vCPUs, lines, MSIs, EOIs, time, state images, mode switches. After each operation the invariants
 * are checked against the raw state: the input is only a way to get there. A broken invariant
 * traps.
 *
 * Built as a libFuzzer target; see selftests/fuzz/Makefile.
 */
#include "../unit/harness.h"

#define NR_CPUS  4
#define MAX_OPS  400
/* Host calls that one operation may cause: a broadcast to all, plus every pin acknowledged. */
#define MAX_WORK 2000

#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); \
			__builtin_trap();                                          \
		}                                                                  \
	} while (0)

static const u8 *input, *input_end;

static u32 take(u32 bytes)
{
	u32 value = 0;

	while (bytes--)
		value = value << 8 | (input < input_end ? *input++ : 0);
	return value;
}

/* What an operation is allowed to do besides adding interrupts. */
#define MAY_ACK   1 /* IRR of the acting vCPU may lose the acknowledged vector */
#define MAY_RESET 2 /* IRR and ISR of the acting vCPU may change in any way */

struct snapshot {
	u32 irr[NR_CPUS][8];
};

struct world {
	struct machine *m;
	u32 lines[IOAPIC_NR_PINS]; /* the model: sources that hold GSI n up */
	u32 from_image;            /* IOAPIC pins that an image says are high, until driven */
	struct snapshot before;
	u32 work;
};

static struct world *world;

/* --- a host that counts --- */

static void spend(void)
{
	world->work++;
	CHECK(world->work < MAX_WORK);
}

static void counting_notify(void *ctx, u32 vcpu, enum irq_notify how)
{
	spend();
	CHECK(how != NOTIFY_NONE && vcpu < NR_CPUS);
	fake_notify(ctx, vcpu, how);
}

static void counting_ack(void *ctx, u32 chip, u32 pin)
{
	spend();
	CHECK(chip < KVM_NR_IRQCHIPS && pin < IOAPIC_NR_PINS);
	fake_ack(ctx, chip, pin);
}

static void counting_lapic_timer(void *ctx, u32 vcpu, u64 deadline_ns)
{
	spend();
	fake_lapic_timer(ctx, vcpu, deadline_ns);
}

static void counting_pit_timer(void *ctx, u64 deadline_ns)
{
	spend();
	fake_pit_timer(ctx, deadline_ns);
}

static const struct irqchip_host counting_host = {
	.notify = counting_notify,
	.nmi = fake_nmi,
	.lapic_timer = counting_lapic_timer,
	.pit_timer = counting_pit_timer,
	.ioapic_timer = fake_ioapic_timer,
	.ack = counting_ack,
	.now_ns = fake_now,
	.guest_tsc = fake_tsc,
};

/* --- invariants --- */

static u32 bank(const struct vlapic *apic, u32 first, u32 i)
{
	return apic->regs[(first + i * 0x10) / 4];
}

/* What is pending, folded into IRR or not. */
static u32 pending(const struct vlapic *apic, u32 i)
{
	return bank(apic, LAPIC_IRR, i) | apic->posted->pir[i] | apic->staged[i];
}

static int highest(const struct vlapic *apic, u32 first)
{
	int i;

	for (i = 255; i >= 0; i--) {
		if (bank(apic, first, (u32)i / 32) >> i % 32 & 1)
			return i;
	}
	return -1;
}

static void take_snapshot(struct world *w)
{
	u32 cpu, i;

	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		for (i = 0; i < 8; i++)
			w->before.irr[cpu][i] = pending(&w->m->apic[cpu], i);
	}
}

static void check_lapic(struct world *w, u32 cpu)
{
	struct vlapic *apic = &w->m->apic[cpu];
	int isr = highest(apic, LAPIC_ISR);
	u32 tpr = apic->regs[LAPIC_TPR / 4], isr_class = isr < 0 ? 0 : (u32)isr & 0xf0;
	u32 i;

	CHECK(vlapic_highest_isr(apic) == isr);
	CHECK(vlapic_update_ppr(apic) == ((tpr & 0xf0) >= isr_class ? tpr : isr_class));
	CHECK(!(bank(apic, LAPIC_IRR, 0) & 0xffff) && !(bank(apic, LAPIC_ISR, 0) & 0xffff));
	/* What is requested or in IRR is not forgotten. */
	for (i = 0; i < 8; i++)
		CHECK(!(apic->posted->pir[i] | apic->staged[i]) || vlapic_has_requests(apic));
	CHECK(highest(apic, LAPIC_IRR) < 0 || apic->irr_hint || vlapic_has_requests(apic));
	/* The mode's view of ID and LDR. */
	CHECK(apic->regs[LAPIC_ID / 4] ==
	      (vlapic_x2apic(apic) ? apic->id : (apic->id & 0xff) << 24));
	if (vlapic_x2apic(apic))
		CHECK(apic->regs[LAPIC_LDR / 4] == ((apic->id / 16) << 16 | 1u << apic->id % 16));
	/* The host's timer is the one that the core wants: none is lost. */
	if (vlapic_timer_host_deadline(apic))
		CHECK(w->m->lapic_deadline[cpu] == vlapic_timer_host_deadline(apic));
}

static void check_lines(struct world *w)
{
	u32 gsi;

	for (gsi = 0; gsi < IOAPIC_NR_PINS; gsi++) {
		const union ioapic_rte *rte = &w->m->ioapic.rte[gsi];

		CHECK(w->m->ioapic.lines[gsi] == w->lines[gsi]);
		if (gsi < 16 && gsi != VPIC_CASCADE_PIN)
			CHECK(w->m->pic.lines[gsi] == w->lines[gsi]);
		/* A level interrupt that could be sent has been sent (invariants I6, I7). */
		if (w->lines[gsi] && rte->level && !rte->mask && rte->delivery_mode < 2 &&
		    !rte->remote_irr && !(w->m->ioapic.held & 1u << gsi))
			CHECK(w->m->ioapic.irr & 1u << gsi);
		if (!w->lines[gsi] && !(w->from_image & 1u << gsi))
			CHECK(!(w->m->ioapic.irr & 1u << gsi));
	}
}

static void check_no_interrupt_was_lost(struct world *w, u32 cpu, u32 may, int acked)
{
	u32 other, i;

	for (other = 0; other < NR_CPUS; other++) {
		for (i = 0; i < 8; i++) {
			u32 gone = w->before.irr[other][i] & ~pending(&w->m->apic[other], i);

			if (other == cpu && (may & MAY_RESET))
				continue;
			if (other == cpu && (may & MAY_ACK) && acked >= 0 && (u32)acked / 32 == i)
				gone &= ~(1u << acked % 32);
			CHECK(!gone);
		}
	}
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
	u64 delta = take(3);

	if (how & 1) {
		w->m->tsc_offset[cpu] += how & 2 ? (s64)delta : -(s64)delta;
		irqchip_tsc_moved(&w->m->chip, cpu);
		return;
	}
	irqchip_msr_write(&w->m->chip, cpu, MSR_LAPIC_TSC_DEADLINE,
			  how & 4 ? 0 : fake_tsc(w->m, cpu) + delta - 1000, how & 2);
}

static void op_line(struct world *w)
{
	u32 gsi = take(1) % IOAPIC_NR_PINS, how = take(1), source = how >> 1 & 31;

	/* Sources of the core itself are pulses: the model has nothing to remember of them. */
	if (source == IRQ_SOURCE_PULSE || source == IRQ_SOURCE_PIT)
		source = IRQ_SOURCE_USER;
	w->from_image &= ~(1u << gsi);
	if (how & 0x40) {
		irqchip_pulse_gsi(&w->m->chip, gsi);
		return;
	}
	irqchip_set_gsi(&w->m->chip, gsi, source, how & 1);
	w->lines[gsi] = how & 1 ? w->lines[gsi] | 1u << source : w->lines[gsi] & ~(1u << source);
}

static void op_msi(struct world *w)
{
	u32 dest = take(1), bits = take(1), data = take(2), cpu;
	int r;

	if (dest & 0x40)
		dest = dest & 1 ? 0xff : dest % (NR_CPUS + 1);
	r = irqchip_msi(&w->m->chip, 0xfee00000ULL | dest << 12 | (bits & 0xc), data);
	/* One fixed vector to one LAPIC that can take it is in its IRR now, new or coalesced. */
	cpu = dest;
	if ((bits & 0xc) || cpu >= NR_CPUS || (data & 0x700) || (data & 0xff) < 16 ||
	    (data & 0xc000) == 0x8000 || !vlapic_sw_enabled(&w->m->apic[cpu]))
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
		for (cpu = 0; cpu < NR_CPUS; cpu++)
			irqchip_lapic_timer_fired(&w->m->chip, cpu);
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
	irqchip_set_lapic(&w->m->chip, cpu, &image);
	return MAY_RESET;
}

static void op_reload_chip(struct world *w)
{
	struct kvm_irqchip image = { .chip_id = take(1) % 4 };
	u32 i, n = take(1) % 8;

	if (irqchip_get_state(&w->m->chip, &image))
		return;
	for (i = 0; i < n; i++) {
		u32 at = take(1) % sizeof(struct kvm_ioapic_state);

		/* The window's place stays, or nothing would be found there any more. */
		if (image.chip_id != KVM_IRQCHIP_IOAPIC || at >= 8)
			image.chip.dummy[at] = (char)take(1);
	}
	irqchip_set_state(&w->m->chip, &image);
	if (image.chip_id == KVM_IRQCHIP_IOAPIC)
		w->from_image = w->m->ioapic.irr;
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
			op_reload_chip(w);
			return 0;
		}
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct world w = { 0 };
	u32 cpu, ops, flags;

	input = data;
	input_end = data + size;
	world = &w;
	w.m = machine_new(NR_CPUS);
	w.m->chip.host = &counting_host;
	machine_add_devices(w.m);
	flags = take(1);
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
		may = one_op(&w, head & 15, cpu);
		for (u32 i = 0; i < NR_CPUS; i++)
			check_lapic(&w, i);
		check_lines(&w);
		check_no_interrupt_was_lost(&w, cpu, may, acked_vector);
	}
	machine_free(w.m);
	return 0;
}
