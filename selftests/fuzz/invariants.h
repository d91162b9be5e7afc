/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What must hold of the interrupt-controller core after each operation, whatever it was: a model of
 * the lines, a host that counts the work, and the invariants against the core's raw state. A broken
 * one traps. Included by fuzz_irqchip.c alone.
 */
#ifndef FUZZ_INVARIANTS_H
#define FUZZ_INVARIANTS_H

#include "../unit/harness.h"

#define NR_CPUS  4
#define NR_GSIS  IOAPIC_NR_PINS
/* Host calls that one operation may cause: a broadcast to all, plus every pin acknowledged. */
#define MAX_WORK 2000

#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); \
			__builtin_trap();                                          \
		}                                                                  \
	} while (0)

/* What an operation is allowed to do besides adding interrupts. */
#define MAY_ACK   1 /* IRR of the acting vCPU may lose the acknowledged vector */
#define MAY_RESET 2 /* IRR and ISR of the acting vCPU may change in any way */

struct snapshot {
	u32 irr[NR_CPUS][8];
	u32 unsent;  /* IOAPIC pins that have a level interrupt to send */
	bool silent; /* some LAPIC suppresses EOI broadcasts */
};

struct world {
	struct machine *m;
	u32 first_id;                                  /* APIC ID of vCPU 0 */
	u32 gsi_lines[NR_GSIS];                        /* the model: sources that hold GSI n up */
	u32 leads_to[KVM_NR_IRQCHIPS][IOAPIC_NR_PINS]; /* and the GSIs that lead to each pin */
	u32 from_image;       /* IOAPIC pins that an image says are high, until driven */
	u32 low_irr[NR_CPUS]; /* vectors 0 to 15 that an image put into IRR */
	u32 unowned;          /* IOAPIC pins whose remote IRR may outlive the interrupt */
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

/* Who holds a pin up, by the model. */
static u32 model_lines(const struct world *w, u32 chip, u32 pin)
{
	u32 gsi, sources = 0;

	for (gsi = 0; gsi < NR_GSIS; gsi++) {
		if (w->leads_to[chip][pin] & 1u << gsi)
			sources |= w->gsi_lines[gsi];
	}
	return sources;
}

/* IOAPIC pins that could send a level interrupt at once, and have not. */
static u32 unsent_pins(const struct world *w)
{
	const struct vioapic *ioapic = &w->m->ioapic;
	u32 pin, pins = 0;

	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		const union ioapic_rte *rte = &ioapic->rte[pin];

		if (model_lines(w, KVM_IRQCHIP_IOAPIC, pin) && rte->level && !rte->mask &&
		    rte->delivery_mode <= IRQ_DM_LOWEST && !rte->remote_irr &&
		    !(ioapic->held & 1u << pin))
			pins |= 1u << pin;
	}
	return pins;
}

static void take_snapshot(struct world *w)
{
	u32 cpu, i;

	w->before.unsent = unsent_pins(w);
	w->before.silent = false;
	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		for (i = 0; i < 8; i++)
			w->before.irr[cpu][i] = pending(&w->m->apic[cpu], i);
		w->before.silent |= !!(w->m->apic[cpu].svr & LAPIC_SVR_NO_BROADCAST);
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
	/* No vector below 16 is accepted; what an image brings stays where it is (invariant L7). */
	CHECK(!(bank(apic, LAPIC_ISR, 0) & 0xffff));
	CHECK(!(pending(apic, 0) & 0xffff & ~w->low_irr[cpu]));
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

/* Each line is the OR of its sources, through whatever routes (invariant I8). */
static void check_lines(struct world *w)
{
	u32 pin;

	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		u32 lines = model_lines(w, KVM_IRQCHIP_IOAPIC, pin);

		CHECK(w->m->ioapic.lines[pin] == lines);
		CHECK(!lines || w->m->ioapic.irr & 1u << pin);
		CHECK(lines || w->from_image & 1u << pin || !(w->m->ioapic.irr & 1u << pin));
	}
	for (pin = 0; pin < 16; pin++) {
		u32 chip = pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;

		if (pin != VPIC_CASCADE_PIN)
			CHECK(w->m->pic.lines[pin] == model_lines(w, chip, pin & 7));
	}
}

static bool somebody_takes(struct world *w, const union ioapic_rte *rte)
{
	struct irq_msg msg = { .dest = rte->dest,
			       .logical = rte->logical,
			       .path = IRQ_PATH_IOAPIC };
	u32 cpu;

	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		if (rte->vector >= 16 && vlapic_sw_enabled(&w->m->apic[cpu]) &&
		    msg_matches(&msg, &w->m->apic[cpu], !w->m->chip.no_x2apic_bcast))
			return true;
	}
	return false;
}

/* A level interrupt that can be sent is sent, unless nobody takes it (invariants I6, I7). */
static void check_level_is_sent(struct world *w)
{
	u32 pin, fresh = unsent_pins(w) & ~w->before.unsent;

	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		if (fresh & 1u << pin)
			CHECK(!somebody_takes(w, &w->m->ioapic.rte[pin]));
	}
}

/* Is @vector of any LAPIC requested or in service; as a level interrupt? */
static bool is_held(struct world *w, u8 vector, bool level)
{
	u32 cpu, word = vector / 32, bit = 1u << vector % 32;

	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		const struct vlapic *apic = &w->m->apic[cpu];

		if (((pending(apic, word) | bank(apic, LAPIC_ISR, word)) & bit) &&
		    (!level || (bank(apic, LAPIC_TMR, word) & bit)))
			return true;
	}
	return false;
}

/*
 * Remote IRR stands for an interrupt that some LAPIC has yet to end (invariant I4). A guest or an
 * image can part the two: by reset, by suppressed broadcasts, by an edge of the same vector.
 */
static void check_remote_irr(struct world *w, u32 may)
{
	u32 pin;

	if ((may & MAY_RESET) || w->before.silent)
		w->unowned = ~0u;
	for (pin = 0; pin < IOAPIC_NR_PINS; pin++) {
		u8 vector = w->m->ioapic.in_flight[pin];

		if (!w->m->ioapic.rte[pin].remote_irr) {
			w->unowned &= ~(1u << pin);
			continue;
		}
		CHECK(w->m->ioapic.rte[pin].level);
		if (is_held(w, vector, true))
			continue;
		CHECK(is_held(w, vector, false) || w->unowned & 1u << pin);
		w->unowned |= 1u << pin;
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

#endif
