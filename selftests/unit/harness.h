/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine for tests of the core: its devices, a fake clock, and a fake host that writes down what
 * the core asked of it. One thread; time moves only when a test says so.
 */
#ifndef UNIT_HARNESS_H
#define UNIT_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <irqchip/irqchip.h>
#include <irqchip/msg.h>
#include <irqchip/route.h>
#include <irqchip/vioapic.h>
#include <irqchip/vlapic.h>
#include <irqchip/vpic.h>
#include <irqchip/vpit.h>

#define RTE_LEVEL        (1u << 15)
#define RTE_MASK         (1u << 16)

#define MACHINE_MAX_CPUS 8
#define MACHINE_TSC_KHZ  2000000u /* 2 GHz: two TSC ticks per nanosecond */
#define MACHINE_START_NS 1000000ULL

#define USER_INTR        0x100u

struct machine {
	struct irqchip chip;
	struct vioapic ioapic;
	struct vpic pic;
	struct vpit pit;
	struct irq_routing *routing;
	u32 nr_cpus;
	struct vlapic apic[MACHINE_MAX_CPUS];

	/* the fake host */
	u64 now;
	s64 tsc_offset[MACHINE_MAX_CPUS];
	u64 lapic_deadline[MACHINE_MAX_CPUS], pit_deadline, ioapic_deadline;
	u32 lapic_fires, pit_fires; /* host timer interrupts so far */
	u32 notified[IRQCHIP_MAX_VCPUS], nmis[IRQCHIP_MAX_VCPUS];
	u32 acks[KVM_NR_IRQCHIPS][IOAPIC_NR_PINS];
	u32 eoi_exits;
	u8 eoi_exit_vector;
	u32 user_intr[MACHINE_MAX_CPUS]; /* split: USER_INTR | vector, 0: none */
	/* Called by the host's ack operation, if set: a resampler. */
	void (*on_ack)(struct machine *m, u32 chip, u32 pin);
};

static inline void fake_notify(void *ctx, u32 vcpu, enum irq_notify how)
{
	struct machine *m = ctx;

	assert_int_not_equal(how, NOTIFY_NONE);
	__atomic_fetch_add(&m->notified[vcpu], 1, __ATOMIC_RELAXED); /* from any thread */
}

static inline void fake_nmi(void *ctx, u32 vcpu)
{
	((struct machine *)ctx)->nmis[vcpu]++;
}

static inline void fake_lapic_timer(void *ctx, u32 vcpu, u64 deadline_ns)
{
	((struct machine *)ctx)->lapic_deadline[vcpu] = deadline_ns;
}

static inline void fake_pit_timer(void *ctx, u64 deadline_ns)
{
	((struct machine *)ctx)->pit_deadline = deadline_ns;
}

static inline void fake_ioapic_timer(void *ctx, u64 deadline_ns)
{
	((struct machine *)ctx)->ioapic_deadline = deadline_ns;
}

static inline void fake_ack(void *ctx, u32 chip, u32 pin)
{
	struct machine *m = ctx;

	m->acks[chip][pin]++;
	if (m->on_ack)
		m->on_ack(m, chip, pin);
}

static inline void fake_eoi_exit(void *ctx, u32 vcpu, u8 vector)
{
	struct machine *m = ctx;

	(void)vcpu;
	m->eoi_exits++;
	m->eoi_exit_vector = vector;
}

static inline int fake_user_intr(void *ctx, u32 vcpu, bool take)
{
	struct machine *m = ctx;
	u32 intr = m->user_intr[vcpu];

	if (take)
		m->user_intr[vcpu] = 0;
	return intr ? (int)(intr & 0xff) : -1;
}

static inline u64 fake_now(void *ctx)
{
	return ((struct machine *)ctx)->now;
}

static inline u64 fake_tsc(void *ctx, u32 vcpu, u64 *now_ns)
{
	struct machine *m = ctx;

	*now_ns = m->now;
	return m->now * (MACHINE_TSC_KHZ / 1000000) + (u64)m->tsc_offset[vcpu];
}

static const struct irqchip_host fake_host = {
	.notify = fake_notify,
	.nmi = fake_nmi,
	.lapic_timer = fake_lapic_timer,
	.pit_timer = fake_pit_timer,
	.ioapic_timer = fake_ioapic_timer,
	.ack = fake_ack,
	.eoi_exit = fake_eoi_exit,
	.user_intr = fake_user_intr,
	.now_ns = fake_now,
	.guest_tsc = fake_tsc,
};

/* --- life --- */

/* Replace the routing table by @n rows. */
static inline void machine_route(struct machine *m, const struct kvm_irq_routing_entry *rows, u32 n)
{
	size_t size = route_size(n);
	struct irq_routing *new = calloc(1, size);

	assert_non_null(new);
	assert_int_equal(route_build(new, size, rows, n, 0), 0);
	assert_ptr_equal(irqchip_set_routing(&m->chip, new), m->routing);
	free(m->routing);
	m->routing = new;
}

/* @nr_cpus LAPICs with IDs @first_id + index, fresh from power-on; CPU 0 is the BSP. */
static inline struct machine *machine_new_ids(u32 nr_cpus, u32 first_id)
{
	struct machine *m = calloc(1, sizeof(*m));
	u32 i;

	assert_non_null(m);
	m->now = MACHINE_START_NS;
	m->nr_cpus = nr_cpus;
	irqchip_init(&m->chip, &fake_host, m);
	for (i = 0; i < nr_cpus; i++) {
		vlapic_init(&m->apic[i], calloc(1, LAPIC_PAGE_SIZE), first_id + i, i == 0);
		m->apic[i].tsc_khz = MACHINE_TSC_KHZ;
		assert_int_equal(irqchip_attach(&m->chip, i, &m->apic[i]), 0);
	}
	return m;
}

static inline struct machine *machine_new(u32 nr_cpus)
{
	return machine_new_ids(nr_cpus, 0);
}

/* Add IOAPIC, PIC pair and PIT, with KVM's default routing. */
static inline void machine_add_devices(struct machine *m)
{
	struct kvm_irq_routing_entry rows[64];
	u32 n = route_default(rows, ARRAY_SIZE(rows));

	vioapic_init(&m->ioapic);
	vpic_init(&m->pic);
	vpit_init(&m->pit, m->now, true);
	m->chip.ioapic = &m->ioapic;
	m->chip.pic = &m->pic;
	m->chip.pit = &m->pit;
	machine_route(m, rows, n);
}

static inline void machine_free(struct machine *m)
{
	u32 i;

	for (i = 0; i < m->nr_cpus; i++)
		free(m->apic[i].regs);
	free(m->routing);
	free(m);
}

/* --- guest accesses --- */

static inline u32 rd(struct machine *m, u32 cpu, u32 offset)
{
	u32 value;

	irqchip_lapic_read(&m->chip, cpu, offset, sizeof(value), &value);
	return value;
}

static inline void wr(struct machine *m, u32 cpu, u32 offset, u32 value)
{
	irqchip_lapic_write(&m->chip, cpu, offset, sizeof(value), &value);
}

/* The x2APIC MSR of the register at @offset. */
static inline u32 x2(u32 offset)
{
	return MSR_X2APIC_FIRST + (offset >> 4);
}

static inline u64 rdmsr(struct machine *m, u32 cpu, u32 msr)
{
	u64 value;

	assert_int_equal(irqchip_msr_read(&m->chip, cpu, msr, &value), 0);
	return value;
}

static inline void wrmsr(struct machine *m, u32 cpu, u32 msr, u64 value)
{
	assert_int_equal(irqchip_msr_write(&m->chip, cpu, msr, value, false), 0);
}

static inline int wrmsr_faults(struct machine *m, u32 cpu, u32 msr, u64 value)
{
	return irqchip_msr_write(&m->chip, cpu, msr, value, false);
}

static inline int rdmsr_faults(struct machine *m, u32 cpu, u32 msr)
{
	u64 value;

	return irqchip_msr_read(&m->chip, cpu, msr, &value);
}

static inline void go_x2apic(struct machine *m, u32 cpu)
{
	wrmsr(m, cpu, MSR_LAPIC_BASE, m->apic[cpu].base_msr | LAPIC_BASE_X2APIC);
}

/* Software-enable with spurious vector 0xff, in whichever mode the LAPIC is. */
static inline void sw_enable(struct machine *m, u32 cpu)
{
	u32 svr = LAPIC_SVR_ENABLE | 0xff;

	if (vlapic_x2apic(&m->apic[cpu]))
		wrmsr(m, cpu, x2(LAPIC_SVR), svr);
	else
		wr(m, cpu, LAPIC_SVR, svr);
}

static inline void wr_eoi(struct machine *m, u32 cpu)
{
	if (vlapic_x2apic(&m->apic[cpu]))
		wrmsr(m, cpu, x2(LAPIC_EOI), 0);
	else
		wr(m, cpu, LAPIC_EOI, 0);
}

/* An xAPIC-mode IPI. */
static inline void ipi(struct machine *m, u32 cpu, u32 dest, u32 icr_lo)
{
	wr(m, cpu, LAPIC_ICR_HI, FIELD_PREP(LAPIC_ICR_DEST, dest));
	wr(m, cpu, LAPIC_ICR_LO, icr_lo);
}

/* Is the vector's bit set in the bank (LAPIC_IRR, requests folded; LAPIC_ISR, LAPIC_TMR)? */
static inline bool has(struct machine *m, u32 cpu, u32 bank, u8 vector)
{
	if (bank == LAPIC_IRR)
		vlapic_fold(&m->apic[cpu]);
	return vlapic_reg(&m->apic[cpu], bank + vector / 32 * 0x10) & 1u << vector % 32;
}

static inline struct machine *enabled_machine(void)
{
	struct machine *m = machine_new(1);

	sw_enable(m, 0);
	return m;
}

/* What a bus message of that vector does: 1 accepted, 0 coalesced, -1 refused. */
static inline int accept(struct machine *m, u32 cpu, u8 vector, bool level)
{
	struct irq_msg msg = {
		.vector = vector, .level = level, .assert = true, .path = IRQ_PATH_MSI
	};
	enum irq_notify how;

	return vlapic_accept(&m->apic[cpu], &msg, &how);
}

/* --- a whole PC --- */

static inline void outb(struct machine *m, u16 port, u8 value)
{
	assert_true(irqchip_pio_write(&m->chip, port, 1, &value));
}

/* A PC: all LAPICs enabled, the IOAPIC masked, the PIC pair masked. */
static inline struct machine *pc(u32 nr_cpus)
{
	struct machine *m = machine_new(nr_cpus);
	u32 i;

	machine_add_devices(m);
	outb(m, 0x21, 0xff); /* as firmware leaves the PICs when there is an IOAPIC */
	outb(m, 0xa1, 0xff);
	for (i = 0; i < nr_cpus; i++)
		sw_enable(m, i);
	return m;
}

static inline void ioapic_write(struct machine *m, u32 selector, u32 value)
{
	assert_true(irqchip_mmio_write(&m->chip, 0xfec00000, 4, &selector));
	assert_true(irqchip_mmio_write(&m->chip, 0xfec00010, 4, &value));
}

static inline u32 ioapic_read(struct machine *m, u32 selector)
{
	u32 value;

	assert_true(irqchip_mmio_write(&m->chip, 0xfec00000, 4, &selector));
	assert_true(irqchip_mmio_read(&m->chip, 0xfec00010, 4, &value));
	return value;
}

static inline void set_rte(struct machine *m, u32 pin, u32 dest, u32 low)
{
	ioapic_write(m, 0x11 + 2 * pin, dest << 24);
	ioapic_write(m, 0x10 + 2 * pin, low);
}

static inline bool remote_irr(struct machine *m, u32 pin)
{
	return ioapic_read(m, 0x10 + 2 * pin) & 1u << 14;
}

/* PIC pair at vectors 0x20 and 0x28, all inputs unmasked. */
static inline void init_pic(struct machine *m)
{
	outb(m, 0x20, 0x11), outb(m, 0x21, 0x20), outb(m, 0x21, 0x04), outb(m, 0x21, 0x01);
	outb(m, 0xa0, 0x11), outb(m, 0xa1, 0x28), outb(m, 0xa1, 0x02), outb(m, 0xa1, 0x01);
	outb(m, 0x21, 0x00), outb(m, 0xa1, 0x00);
}

/* Take the next interrupt of @cpu, check that it is @vector, and end it at the LAPIC. */
static inline void expect_irq(struct machine *m, u32 cpu, int vector)
{
	assert_int_equal(irqchip_peek(&m->chip, cpu), vector);
	assert_int_equal(irqchip_ack(&m->chip, cpu), vector);
	wr_eoi(m, cpu);
}

static inline int line(struct machine *m, u32 gsi, bool level)
{
	return irqchip_set_gsi(&m->chip, gsi, IRQ_SOURCE_USER, level);
}

/* --- time --- */

static inline u64 earliest(u64 a, u64 b)
{
	if (!a || !b)
		return a ? a : b;
	return min(a, b);
}

/* Move the clock @ns on, firing the host's timers at their moments, as a real host would. */
static inline void advance(struct machine *m, u64 ns)
{
	u64 end = m->now + ns;

	for (;;) {
		u64 next = earliest(m->pit_deadline, m->ioapic_deadline);
		u32 i;

		for (i = 0; i < m->nr_cpus; i++)
			next = earliest(next, m->lapic_deadline[i]);
		if (!next || next > end)
			break;
		m->now = max(m->now, next);
		for (i = 0; i < m->nr_cpus; i++) {
			if (!m->lapic_deadline[i] || m->lapic_deadline[i] > m->now)
				continue;
			m->lapic_deadline[i] = 0;
			m->lapic_fires++;
			irqchip_lapic_timer_fired(&m->chip, i);
		}
		if (m->pit_deadline && m->pit_deadline <= m->now) {
			m->pit_deadline = 0;
			m->pit_fires++;
			irqchip_pit_timer_fired(&m->chip);
		}
		if (m->ioapic_deadline && m->ioapic_deadline <= m->now) {
			m->ioapic_deadline = 0;
			irqchip_ioapic_timer_fired(&m->chip);
		}
	}
	m->now = end;
}

#endif
