// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bus: what happens between devices. One machine with LAPICs, IOAPIC, PIC pair and PIT; lines
 * and messages go in on one side, interrupts come out at the vCPUs, and EOIs find their way back.
 */
#include <pthread.h>
#include <time.h>

#include "harness.h"

/* --- life --- */

static void attach_rules(void **state)
{
	struct machine *m = machine_new(1);
	struct vlapic other;
	u32 regs[LAPIC_PAGE_SIZE / 4] = { 0 };

	(void)state;
	vlapic_init(&other, regs, 0, false);
	assert_int_equal(irqchip_attach(&m->chip, 1, &other), -EEXIST); /* the ID */
	vlapic_init(&other, regs, 9, false);
	assert_int_equal(irqchip_attach(&m->chip, IRQCHIP_MAX_VCPUS, &other), -EINVAL);
	assert_int_equal(irqchip_attach(&m->chip, 0, &other), -EEXIST);
	assert_int_equal(irqchip_attach(&m->chip, IRQCHIP_MAX_VCPUS - 1, &other), 0);
	assert_int_equal(m->chip.nr_lapics, IRQCHIP_MAX_VCPUS);
	assert_int_equal(irqchip_msi(&m->chip, 0xfee09000, 0x4041), 0); /* software-disabled */
	m->nr_cpus = 1;
	machine_free(m);
}

/* Invariant L5: no LAPIC, no devices, no routes: every entry point answers. */
static void L5_nothing_is_dereferenced_before_it_exists(void **state)
{
	struct machine *m = machine_new(0);
	struct kvm_lapic_state lapic = { 0 };
	struct kvm_pit_state2 pit = { 0 };
	struct kvm_irqchip image = { 0 };
	struct irq_msg nmi = { .dest = 0xff, .delivery = IRQ_DM_NMI, .assert = true };
	u32 vcpus[] = { 0, 1, IRQCHIP_MAX_VCPUS - 1, IRQCHIP_MAX_VCPUS, ~0u };
	u32 i, data = 0;
	u64 value;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(vcpus); i++) {
		assert_int_equal(irqchip_peek(&m->chip, vcpus[i]), -1);
		assert_int_equal(irqchip_ack(&m->chip, vcpus[i]), -1);
		irqchip_lapic_read(&m->chip, vcpus[i], 0x20, 4, &data);
		irqchip_lapic_write(&m->chip, vcpus[i], 0x80, 4, &data);
		assert_int_equal(irqchip_msr_read(&m->chip, vcpus[i], MSR_LAPIC_BASE, &value), 1);
		assert_int_equal(irqchip_msr_write(&m->chip, vcpus[i], MSR_LAPIC_BASE, 0, true), 1);
		irqchip_set_cr8(&m->chip, vcpus[i], 3);
		assert_int_equal(irqchip_get_cr8(&m->chip, vcpus[i]), 0);
		irqchip_lapic_timer_fired(&m->chip, vcpus[i]);
		irqchip_raise_lvt(&m->chip, vcpus[i], LAPIC_LVT_PERF);
		irqchip_tsc_moved(&m->chip, vcpus[i]);
		assert_int_equal(irqchip_get_lapic(&m->chip, vcpus[i], &lapic), -ENXIO);
		assert_int_equal(irqchip_set_lapic(&m->chip, vcpus[i], &lapic), -ENXIO);
	}
	assert_int_equal(line(m, 0, true), -1);
	assert_int_equal(line(m, ~0u, true), -1);
	assert_int_equal(irqchip_pulse_gsi(&m->chip, 5), -1);
	assert_int_equal(irqchip_msi(&m->chip, 0xfee00000, 0x40), 0);
	assert_int_equal(irqchip_deliver(&m->chip, &nmi, -1), -1);
	assert_int_equal(irqchip_deliver(&m->chip, &nmi, 77), -1);
	assert_false(irqchip_pio_read(&m->chip, 0x20, 1, &data));
	assert_false(irqchip_pio_write(&m->chip, 0x40, 1, &data));
	assert_false(irqchip_mmio_read(&m->chip, 0xfec00000, 4, &data));
	assert_false(irqchip_mmio_write(&m->chip, 0xfec00000, 4, &data));
	for (i = 0; i < 5; i++) {
		image.chip_id = i;
		assert_int_equal(irqchip_get_state(&m->chip, &image), i < 3 ? -ENXIO : -EINVAL);
		assert_int_equal(irqchip_set_state(&m->chip, &image), i < 3 ? -ENXIO : -EINVAL);
	}
	assert_int_equal(irqchip_get_pit(&m->chip, &pit), -ENXIO);
	assert_int_equal(irqchip_set_pit(&m->chip, &pit), -ENXIO);
	irqchip_pit_timer_fired(&m->chip);
	irqchip_ioapic_timer_fired(&m->chip);
	irqchip_watch_gsi(&m->chip, 3, true);
	irqchip_watch_gsi(&m->chip, IRQCHIP_MAX_GSI, true);
	assert_null(irqchip_set_routing(&m->chip, NULL));
	machine_free(m);
}

static void unknown_msrs_fault(void **state)
{
	struct machine *m = pc(1);
	u64 value;

	(void)state;
	assert_int_equal(irqchip_msr_read(&m->chip, 0, 0x10, &value), 1);
	assert_int_equal(irqchip_msr_write(&m->chip, 0, 0x900, 0, true), 1);
	machine_free(m);
}

/* --- IOAPIC to LAPIC and back --- */

static void edge_pin(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	assert_int_equal(line(m, 5, true), -1); /* masked */
	line(m, 5, false);
	set_rte(m, 5, 0, 0x45);
	assert_int_equal(line(m, 5, true), 1);
	assert_int_equal(line(m, 5, true), 0); /* no new edge */
	line(m, 5, false);
	assert_int_equal(line(m, 5, true), 0); /* an edge, but the vector is still pending */
	line(m, 5, false);
	expect_irq(m, 0, 0x45);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_int_equal(env_counter_get(&m->apic[0].delivered[IRQ_PATH_IOAPIC]), 1);
	assert_int_equal(m->acks[KVM_IRQCHIP_IOAPIC][5], 0);
	machine_free(m);
}

static void level_pin_and_eoi(void **state)
{
	struct machine *m = pc(2);
	u32 i;

	(void)state;
	set_rte(m, 9, 1, RTE_LEVEL | 0x49);
	assert_int_equal(line(m, 9, true), 1);
	assert_true(remote_irr(m, 9));
	assert_true(has(m, 1, LAPIC_TMR, 0x49));
	for (i = 0; i < 3; i++) {
		expect_irq(m, 1, 0x49); /* still high: it comes again */
		assert_int_equal(m->acks[KVM_IRQCHIP_IOAPIC][9], i + 1);
		assert_true(remote_irr(m, 9));
	}
	line(m, 9, false);
	expect_irq(m, 1, 0x49);
	assert_false(remote_irr(m, 9));
	assert_int_equal(irqchip_peek(&m->chip, 1), -1);
	machine_free(m);
}

static void drop_line(struct machine *m, u32 chip, u32 pin)
{
	if (chip == KVM_IRQCHIP_IOAPIC)
		irqchip_set_gsi(&m->chip, pin, IRQ_SOURCE_RESAMPLE, false);
}

static void resampled_line_falls_before_it_is_sent_again(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	m->on_ack = drop_line;
	set_rte(m, 10, 0, RTE_LEVEL | 0x4a);
	assert_int_equal(irqchip_set_gsi(&m->chip, 10, IRQ_SOURCE_RESAMPLE, true), 1);
	expect_irq(m, 0, 0x4a);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_false(remote_irr(m, 10));
	assert_int_equal(m->acks[KVM_IRQCHIP_IOAPIC][10], 1);
	machine_free(m);
}

static void pulse_line(struct machine *m, u32 chip, u32 pin)
{
	if (chip == KVM_IRQCHIP_IOAPIC) {
		irqchip_set_gsi(&m->chip, pin, IRQ_SOURCE_RESAMPLE, false);
		irqchip_set_gsi(&m->chip, pin, IRQ_SOURCE_RESAMPLE, true);
	}
}

/* Invariant I3: an ack that raises the line at once delivers again, and does not recurse. */
static void I3_reasserting_resampler_is_bounded(void **state)
{
	struct machine *m = pc(1);
	u32 i;

	(void)state;
	m->on_ack = pulse_line;
	set_rte(m, 11, 0, RTE_LEVEL | 0x4b);
	irqchip_set_gsi(&m->chip, 11, IRQ_SOURCE_RESAMPLE, true);
	for (i = 1; i <= 1000; i++) {
		expect_irq(m, 0, 0x4b);
		assert_int_equal(m->acks[KVM_IRQCHIP_IOAPIC][11], i);
	}
	machine_free(m);
}

/* Invariant I5: the EOI of a shared vector reaches all its pins. */
static void I5_eoi_reaches_every_pin_of_the_vector(void **state)
{
	struct machine *m = pc(1);
	u32 pin;

	(void)state;
	for (pin = 16; pin < 24; pin++) {
		set_rte(m, pin, 0, RTE_LEVEL | 0x60);
		line(m, pin, true);
		assert_true(remote_irr(m, pin));
	}
	for (pin = 16; pin < 24; pin++)
		line(m, pin, false);
	expect_irq(m, 0, 0x60);
	for (pin = 16; pin < 24; pin++) {
		assert_false(remote_irr(m, pin));
		assert_int_equal(m->acks[KVM_IRQCHIP_IOAPIC][pin], 1);
	}
	machine_free(m);
}

/*
 * Invariant I6: after thousands of EOIs with the line high, the guest gets a rest; then it goes on.
 */
static void I6_storm_is_held_and_resumed(void **state)
{
	struct machine *m = pc(1);
	u32 i;

	(void)state;
	set_rte(m, 9, 0, RTE_LEVEL | 0x49);
	line(m, 9, true);
	for (i = 0; i < 2 * VIOAPIC_STORM_LIMIT && !m->ioapic_deadline; i++)
		expect_irq(m, 0, 0x49);
	assert_in_range(i, VIOAPIC_STORM_LIMIT - 1, VIOAPIC_STORM_LIMIT + 1);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	advance(m, VIOAPIC_STORM_DELAY_NS);
	expect_irq(m, 0, 0x49);
	machine_free(m);
}

static void I6_without_a_timer_nothing_is_held(void **state)
{
	struct irqchip_host host = fake_host;
	struct machine *m = pc(1);
	u32 i;

	(void)state;
	host.ioapic_timer = NULL;
	m->chip.host = &host;
	set_rte(m, 9, 0, RTE_LEVEL | 0x49);
	line(m, 9, true);
	for (i = 0; i < VIOAPIC_STORM_LIMIT + 10; i++)
		expect_irq(m, 0, 0x49);
	machine_free(m);
}

/* A level interrupt that nobody could take must not leave remote IRR behind. */
static void refused_level_interrupt_is_tried_again(void **state)
{
	struct machine *m = pc(2);

	(void)state;
	wr(m, 1, LAPIC_SVR, 0xff);
	set_rte(m, 9, 1, RTE_LEVEL | 0x49);
	assert_int_equal(line(m, 9, true), -1);
	assert_false(remote_irr(m, 9));
	sw_enable(m, 1);
	assert_int_equal(line(m, 9, true), 1);
	machine_free(m);
}

static void suppressed_broadcast_and_directed_eoi(void **state)
{
	struct machine *m = pc(1);
	u32 vector = 0x49;

	(void)state;
	vioapic_enable_eoir(&m->ioapic);
	vlapic_set_features(&m->apic[0], true, false);
	wr(m, 0, LAPIC_SVR, 0x11ff);
	set_rte(m, 9, 0, RTE_LEVEL | vector);
	line(m, 9, true);
	assert_int_equal(irqchip_ack(&m->chip, 0), vector);
	wr_eoi(m, 0);
	assert_true(remote_irr(m, 9));
	assert_int_equal(m->acks[KVM_IRQCHIP_IOAPIC][9], 0);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	irqchip_mmio_write(&m->chip, 0xfec00040, 4, &vector);
	assert_int_equal(m->acks[KVM_IRQCHIP_IOAPIC][9], 1);
	assert_int_equal(irqchip_peek(&m->chip, 0), vector); /* still high */
	machine_free(m);
}

static void watched_edge_pins_report_their_eoi(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	set_rte(m, 12, 0, 0x4c);
	irqchip_watch_gsi(&m->chip, 12, true);
	irqchip_pulse_gsi(&m->chip, 12);
	expect_irq(m, 0, 0x4c);
	assert_int_equal(m->acks[KVM_IRQCHIP_IOAPIC][12], 1);
	irqchip_watch_gsi(&m->chip, 12, false);
	irqchip_pulse_gsi(&m->chip, 12);
	expect_irq(m, 0, 0x4c);
	assert_int_equal(m->acks[KVM_IRQCHIP_IOAPIC][12], 1);
	machine_free(m);
}

/* --- GSIs --- */

static void gsi_with_several_routes(void **state)
{
	struct kvm_irq_routing_entry rows[] = {
		{ .gsi = 4,
		  .type = KVM_IRQ_ROUTING_IRQCHIP,
		  .u.irqchip = { KVM_IRQCHIP_PIC_MASTER, 4 } },
		{ .gsi = 4,
		  .type = KVM_IRQ_ROUTING_IRQCHIP,
		  .u.irqchip = { KVM_IRQCHIP_IOAPIC, 4 } },
		{ .gsi = 40,
		  .type = KVM_IRQ_ROUTING_MSI,
		  .u.msi = { .address_lo = 0xfee00000, .data = 0x4061 } },
	};
	struct machine *m = pc(1);

	(void)state;
	init_pic(m);
	machine_route(m, rows, ARRAY_SIZE(rows));
	set_rte(m, 4, 0, 0x44);
	assert_int_equal(line(m, 4, true), 2); /* PIC and IOAPIC */
	line(m, 4, false);
	assert_int_equal(irqchip_peek(&m->chip, 0), IRQCHIP_EXTINT);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x24);
	outb(m, 0x20, 0x20);
	expect_irq(m, 0, 0x44);

	assert_int_equal(line(m, 40, true), 1);
	assert_int_equal(line(m, 40, false), -1); /* an MSI has no level to fall */
	assert_int_equal(irqchip_pulse_gsi(&m->chip, 40), 0);
	expect_irq(m, 0, 0x61);
	assert_int_equal(line(m, 5, true), -1);
	machine_free(m);
}

/* Invariant I8: the line is the OR of its sources. */
static u32 targets_moves;

static void count_targets_move(void *ctx)
{
	(void)ctx;
	targets_moves++;
}

static int target_of_msi(struct machine *m, u32 address, u32 data)
{
	struct kvm_irq_routing_entry row = {
		.gsi = 40,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000 | address, .data = data },
	};
	u8 vector = 0;
	int target;

	machine_route(m, &row, 1);
	target = irqchip_post_target(&m->chip, 40, &vector);
	if (target >= 0)
		assert_int_equal(vector, (u8)data);
	return target;
}

/* A sender without software can do one thing: request a vector of one LAPIC. */
static void what_a_device_can_post(void **state)
{
	struct irqchip_host host = fake_host;
	struct machine *m = pc(3); /* software-enabled, LDR 0 */
	u8 vector;
	u32 moves;

	(void)state;
	host.targets_moved = count_targets_move;
	m->chip.host = &host;
	assert_int_equal(target_of_msi(m, 1 << 12, 0x51), 1);
	assert_int_equal(target_of_msi(m, 1 << 12 | 8, 0x51), 1);      /* redirection hint */
	assert_int_equal(target_of_msi(m, 2 << 12, 1 << 8 | 0x51), 2); /* lowest priority */
	assert_int_equal(target_of_msi(m, 3 << 12, 0x51), -1);         /* nobody */
	assert_int_equal(target_of_msi(m, 0xff << 12, 0x51), -1);      /* everybody */
	assert_int_equal(target_of_msi(m, 1 << 12, 15), -1);           /* illegal vector */
	assert_int_equal(target_of_msi(m, 1 << 12, 16), 1);
	for (u32 delivery = 2; delivery < 8; delivery++)
		assert_int_equal(target_of_msi(m, 1 << 12, delivery << 8 | 0x51), -1);
	assert_int_equal(target_of_msi(m, 1 << 12, 1 << 15 | 1 << 14 | 0x51), -1); /* level */
	assert_int_equal(irqchip_post_target(&m->chip, 41, &vector), -1);
	assert_int_equal(irqchip_post_target(&m->chip, IRQCHIP_MAX_GSI, &vector), -1);

	/* Logical IDs, and LAPICs that come and go: each change is told of. */
	moves = targets_moves;
	wr(m, 0, LAPIC_LDR, 1 << 24);
	wr(m, 1, LAPIC_LDR, 1 << 24);
	assert_int_equal(targets_moves, moves + 2);
	assert_int_equal(target_of_msi(m, 1 << 12 | 4, 0x51), -1);
	assert_int_equal(target_of_msi(m, 1 << 12 | 4, 1 << 8 | 0x51), -1);
	wr(m, 0, LAPIC_SVR, 0xff);
	assert_int_equal(targets_moves, moves + 3);
	assert_int_equal(target_of_msi(m, 1 << 12 | 4, 0x51), 1);
	wrmsr(m, 1, MSR_LAPIC_BASE, 0);
	assert_int_equal(targets_moves, moves + 4);
	assert_int_equal(target_of_msi(m, 1 << 12 | 4, 0x51), -1);
	machine_free(m);
}

static void post_target_is_no_pin(void **state)
{
	struct kvm_irq_routing_entry row = {
		.gsi = 40,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { KVM_IRQCHIP_IOAPIC, 4 },
	};
	struct machine *m = pc(1);
	u8 vector;

	(void)state;
	machine_route(m, &row, 1);
	set_rte(m, 4, 0, 0x44);
	assert_int_equal(irqchip_post_target(&m->chip, 40, &vector), -1);
	machine_free(m);
}

static void I8_line_is_the_or_of_its_sources(void **state)
{
	struct machine *m = pc(1);
	u32 sources = 0, seed = 3, i;

	(void)state;
	set_rte(m, 9, 0, RTE_LEVEL | 0x49);
	for (i = 0; i < 20000; i++) {
		u32 source;

		seed = seed * 1103515245 + 12345;
		source = seed >> 16 & 31;
		sources = seed >> 24 & 1 ? sources | 1u << source : sources & ~(1u << source);
		irqchip_set_gsi(&m->chip, 9, source, seed >> 24 & 1);
		while (irqchip_peek(&m->chip, 0) == 0x49 && !sources)
			expect_irq(m, 0, 0x49);
		if (sources)
			assert_int_equal(irqchip_peek(&m->chip, 0), 0x49);
		else
			assert_false(remote_irr(m, 9));
	}
	machine_free(m);
}

/* --- local sources --- */

static void local_vectors(void **state)
{
	struct machine *m = pc(1);

	(void)state;
	irqchip_raise_lvt(&m->chip, 0, LAPIC_LVT_PERF); /* masked */
	assert_int_equal(m->nmis[0], 0);
	wr(m, 0, LAPIC_LVT_PERF, IRQ_DM_NMI << 8);
	irqchip_raise_lvt(&m->chip, 0, LAPIC_LVT_PERF);
	assert_int_equal(m->nmis[0], 1);
	assert_int_equal(rd(m, 0, LAPIC_LVT_PERF), 0x10400); /* masked itself */
	irqchip_raise_lvt(&m->chip, 0, LAPIC_LVT_PERF);
	assert_int_equal(m->nmis[0], 1);
	wr(m, 0, LAPIC_LVT_THERMAL, 0x5c);
	irqchip_raise_lvt(&m->chip, 0, LAPIC_LVT_THERMAL);
	expect_irq(m, 0, 0x5c);
	machine_free(m);
}

/* --- several threads --- */

#define ROUNDS 20000

struct race {
	struct machine *m;
	bool stop;
	u32 taken;
};

static void *send_msis(void *arg)
{
	struct race *r = arg;
	u32 i;

	for (i = 0; i < ROUNDS; i++) {
		/*
		 * The next only after the last was taken: each must be taken, or the edge was lost.
		 */
		while (__atomic_load_n(&r->taken, __ATOMIC_ACQUIRE) < i) {
			if (__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
				return NULL;
			sched_yield();
		}
		if (irqchip_msi(&r->m->chip, 0xfee00000, 0x4000 | (0x20 + i % 0xd0)) != 1)
			break;
	}
	return NULL;
}

/* Invariant L12: the IRR hint loses no interrupt against the vCPU that clears it. */
static void L12_irr_hint_loses_no_edge(void **state)
{
	struct machine *m = pc(1);
	struct race r = { .m = m };
	time_t deadline = time(NULL) + 10; /* for the next one; far more than any load makes it */
	pthread_t sender;

	(void)state;
	assert_int_equal(pthread_create(&sender, NULL, send_msis, &r), 0);
	while (r.taken < ROUNDS && time(NULL) < deadline) {
		if (irqchip_ack(&m->chip, 0) < 0) {
			sched_yield();
			continue;
		}
		wr_eoi(m, 0);
		__atomic_store_n(&r.taken, r.taken + 1, __ATOMIC_RELEASE);
		deadline = time(NULL) + 10;
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	pthread_join(sender, NULL);
	assert_int_equal(r.taken, ROUNDS);
	assert_int_equal(env_counter_get(&m->apic[0].delivered[IRQ_PATH_MSI]), ROUNDS);
	machine_free(m);
}

static void *send_everywhere(void *arg)
{
	struct race *r = arg;
	u32 i = 0;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		struct irq_msg msg = { .dest = i & 1 ? 0xffffffff : i % 5,
				       .vector = 0x40,
				       .logical = i & 2,
				       .assert = true,
				       .delivery = i & 4 ? IRQ_DM_LOWEST : IRQ_DM_FIXED };

		r->m->chip.vector_hashing = i & 8;
		irqchip_deliver(&r->m->chip, &msg, -1);
		i++;
	}
	return NULL;
}

/* Invariant L4: modes toggle and LAPICs appear while messages are matched against them. */
static void L4_modes_toggle_under_delivery(void **state)
{
	struct machine *m = machine_new(2);
	struct race r = { .m = m };
	pthread_t sender;
	u32 i;

	(void)state;
	assert_int_equal(pthread_create(&sender, NULL, send_everywhere, &r), 0);
	for (i = 0; i < ROUNDS; i++) {
		u32 cpu = i & 1;

		if (i == ROUNDS / 2) {
			vlapic_init(&m->apic[2], calloc(1, LAPIC_PAGE_SIZE), 4095, false);
			assert_int_equal(irqchip_attach(&m->chip, 2, &m->apic[2]), 0);
			m->nr_cpus = 3;
		}
		wrmsr(m, cpu, MSR_LAPIC_BASE, LAPIC_DEFAULT_BASE);
		wrmsr(m, cpu, MSR_LAPIC_BASE, LAPIC_DEFAULT_BASE | LAPIC_BASE_ENABLE);
		go_x2apic(m, cpu);
		sw_enable(m, cpu);
		if (irqchip_ack(&m->chip, cpu) >= 0)
			wr_eoi(m, cpu);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	pthread_join(sender, NULL);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attach_rules),
		cmocka_unit_test(L5_nothing_is_dereferenced_before_it_exists),
		cmocka_unit_test(unknown_msrs_fault),
		cmocka_unit_test(edge_pin),
		cmocka_unit_test(level_pin_and_eoi),
		cmocka_unit_test(resampled_line_falls_before_it_is_sent_again),
		cmocka_unit_test(I3_reasserting_resampler_is_bounded),
		cmocka_unit_test(I5_eoi_reaches_every_pin_of_the_vector),
		cmocka_unit_test(I6_storm_is_held_and_resumed),
		cmocka_unit_test(I6_without_a_timer_nothing_is_held),
		cmocka_unit_test(refused_level_interrupt_is_tried_again),
		cmocka_unit_test(suppressed_broadcast_and_directed_eoi),
		cmocka_unit_test(watched_edge_pins_report_their_eoi),
		cmocka_unit_test(gsi_with_several_routes),
		cmocka_unit_test(what_a_device_can_post),
		cmocka_unit_test(post_target_is_no_pin),
		cmocka_unit_test(I8_line_is_the_or_of_its_sources),
		cmocka_unit_test(local_vectors),
		cmocka_unit_test(L12_irr_hint_loses_no_edge),
		cmocka_unit_test(L4_modes_toggle_under_delivery),
	};

	return cmocka_run_group_tests_name("irqchip", tests, NULL, NULL);
}
