// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_CAP_SPLIT_IRQCHIP: LAPICs in the kernel; this test is the IOAPIC and the PIC in userspace. It
 * sends messages, hears of ends of interrupt (KVM_EXIT_IOAPIC_EOI) and injects ExtINT by
 * KVM_INTERRUPT when the interrupt window is open. Source: KVM API document, "KVM_INTERRUPT",
 * "KVM_CAP_SPLIT_IRQCHIP" and the fields of struct kvm_run.
 */
#include "stats.h"

#define VECTOR     0x51
#define EXTINT     0x28
#define PIN        5
#define OTHER      SPLIT_PINS /* the first GSI that is no pin's */
#define MSI_LEVEL  0x8000     /* as QEMU sends it: not asserted */
#define MSI_EDGE   0x4000
#define RESET_BASE (XAPIC_BASE | APIC_BASE_ENABLE | 1u << 8)

static volatile uint64_t count[256];

static void on_lapic_irq(struct guest_frame *f)
{
	count[f->vector]++;
	apic_write(APIC_EOI, 0);
}

/* Its end is a write to the PIC's port, which is of no interest here. */
static void on_extint(struct guest_frame *f)
{
	count[f->vector]++;
}

static void set_handlers(void)
{
	guest_handler[VECTOR] = on_lapic_irq;
	guest_handler[EXTINT] = on_extint;
}

/* --- host --- */

static struct vcpu *split_guest(void (*fn)(uint64_t), uint64_t arg)
{
	struct vcpu *v;

	if (!dev_capability(KVM_CAP_SPLIT_IRQCHIP))
		skip_because("KVM_CAP_SPLIT_IRQCHIP is not offered");
	v = vcpu_create(vm_create_split(), 0);
	vcpu_long_mode(v, fn, arg);
	return v;
}

static void route_msi(struct vm *vm, uint32_t gsi, uint32_t data)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routing = {
		.head.nr = 1,
		.entry = { .gsi = gsi,
			   .type = KVM_IRQ_ROUTING_MSI,
			   .u.msi = { .address_lo = 0xfee00000, .data = data } },
	};

	must(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &routing));
}

static int inject(struct vcpu *v, uint32_t vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	return ioctl(v->fd, KVM_INTERRUPT, &irq) ? -errno : 0;
}

static void expect_eoi(struct vcpu *v, uint8_t vector)
{
	expect_exit(v, KVM_EXIT_IOAPIC_EOI);
	assert_int_equal(v->run->eoi.vector, vector);
}

/* --- ends of interrupt --- */

static void level_payload(uint64_t arg)
{
	(void)arg;
	set_handlers();
	apic_enable();
	sti();
	for (uint64_t i = 1; i <= 4; i++) {
		guest_sync_values(i, count[VECTOR], 0, 0, 0);
		cpu_relax();
	}
}

static void eoi_of_a_pin(void **state)
{
	(void)state;
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		struct vcpu *v = split_guest(level_payload, 0);

		in_guest(v->vm, mode) = m;
		route_msi(v->vm, PIN, MSI_LEVEL | VECTOR);
		expect_sync(v, 1);
		vm_irq_line(v->vm, PIN, 1);
		expect_eoi(v, VECTOR); /* the handler's, before anything else */
		assert_int_equal(expect_sync(v, 2)->value[1], 1);
		vm_irq_line(v->vm, PIN, 0); /* a message has no end */
		assert_int_equal(expect_sync(v, 3)->value[1], 1);
		vm_irq_line(v->vm, PIN, 1);
		expect_eoi(v, VECTOR);
		assert_int_equal(expect_sync(v, 4)->value[1], 2);
		expect_done(v);
		vm_free(v->vm);
	}
}

/* The same level-triggered message from a GSI that is no pin's; a pin's edge. */
static void eoi_of_others_is_silent(void **state)
{
	static const struct {
		uint32_t gsi, data;
	} others[] = { { OTHER, MSI_LEVEL | VECTOR }, { PIN, MSI_EDGE | VECTOR } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct vcpu *v = split_guest(level_payload, 0);

		route_msi(v->vm, others[i].gsi, others[i].data);
		expect_sync(v, 1);
		vm_irq_line(v->vm, others[i].gsi, 1);
		assert_int_equal(expect_sync(v, 2)->value[1], 1);
		vm_free(v->vm);
	}
}

/* The EOI must reach userspace even if it has moved the route meanwhile (invariant I4). */
static void moved_payload(uint64_t arg)
{
	(void)arg;
	apic_enable();
	guest_sync(1);
	/* Not handled: taken and ended by hand. */
	guest_handler[VECTOR] = on_extint;
	sti();
	cpu_relax();
	guest_sync_values(2, count[VECTOR], 0, 0, 0);
	apic_write(APIC_EOI, 0);
	guest_sync(3);
}

static void I4_eoi_after_the_route_has_moved(void **state)
{
	struct vcpu *v = split_guest(moved_payload, 0);

	(void)state;
	route_msi(v->vm, PIN, MSI_LEVEL | VECTOR);
	expect_sync(v, 1);
	vm_irq_line(v->vm, PIN, 1);
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
	if (on_apicvisor()) /* the peer only knows the routes there are */
		route_msi(v->vm, PIN, MSI_LEVEL | (VECTOR + 1));
	expect_eoi(v, VECTOR);
	expect_sync(v, 3);
}

static volatile uint64_t armed, fire, ended;

static void on_level_irq(struct guest_frame *f)
{
	(void)f;
	armed = 1;
	while (!fire)
		cpu_relax();
	fire = 0;
	apic_write(APIC_EOI, 0);
	ended++;
}

static void level_by_level_payload(uint64_t rounds)
{
	guest_handler[VECTOR] = on_level_irq;
	apic_enable();
	guest_sync(0);
	sti();
	while (ended < rounds)
		cpu_relax();
}

/* Between the guest's arming and its EOI: let KVM_RUN end at the next exit, without causing one. */
static void *ask_for_exits(void *arg)
{
	struct vcpu *v = arg;
	volatile uint64_t *asked = &in_guest(v->vm, armed);

	while (!v->stop) {
		if (!*asked) {
			sched_yield();
			continue;
		}
		*asked = 0;
		v->run->immediate_exit = 1;
		in_guest(v->vm, fire) = 1;
	}
	return NULL;
}

/*
 * When KVM_RUN ends with EINTR, no EOI is on its way any more: a VMM that saves its VM then could
 * not learn of it by any ioctl.
 */
static void no_eoi_is_held_back(void **state)
{
	const uint64_t rounds = 50, limit = 5000;
	struct vcpu *v = split_guest(level_by_level_payload, limit);
	uint64_t seen = 0, before_the_signal = 0;
	pthread_t thread;
	int ret = 0;

	(void)state;
	need_apicvisor(); /* the peer reports it with the next entry */
	route_msi(v->vm, PIN, MSI_LEVEL | VECTOR);
	expect_sync(v, 0); /* until then its LAPIC refuses messages */
	assert_int_equal(pthread_create(&thread, NULL, ask_for_exits, v), 0);
	/* Until the one has met the other; if it never does, nothing was tested. */
	while ((seen < rounds || !before_the_signal) && seen < limit && !ret && !v->stop) {
		vm_irq_line(v->vm, PIN, 1);
		while ((ret = vcpu_run_raw(v)) == -EINTR && !v->stop) {
			v->run->immediate_exit = 0;
			if (in_guest(v->vm, ended) > seen)
				break;
		}
		if (ret || v->run->exit_reason != KVM_EXIT_IOAPIC_EOI)
			break;
		seen++;
		before_the_signal += v->run->immediate_exit;
		v->run->immediate_exit = 0;
	}
	v->stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(ret, 0);
	assert_true(seen >= rounds);
	assert_true(before_the_signal > 0);
}

/* --- ExtINT --- */

static void window_payload(uint64_t arg)
{
	(void)arg;
	set_handlers();
	guest_sync_values(1, count[EXTINT], 0, 0, 0);
	sti();
	cpu_relax();
	guest_sync_values(2, count[EXTINT], 0, 0, 0);
	cpu_relax();
	guest_sync_values(3, count[EXTINT], 0, 0, 0);
}

static void interrupt_window(void **state)
{
	struct vcpu *v = split_guest(window_payload, 0);
	struct kvm_run *run = v->run;

	(void)state;
	run->request_interrupt_window = 1;
	assert_int_equal(expect_sync(v, 1)->value[1], 0);
	assert_int_equal(run->if_flag, 0);
	assert_int_equal(run->ready_for_interrupt_injection, 0);
	expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_int_equal(run->if_flag, 1);
	assert_int_equal(run->ready_for_interrupt_injection, 1);
	assert_int_equal(run->cr8, 0);
	assert_int_equal(run->apic_base, RESET_BASE);
	assert_int_equal(run->flags, 0);
	run->request_interrupt_window = 0;
	assert_int_equal(inject(v, EXTINT), 0);
	assert_int_equal(inject(v, EXTINT), -EEXIST);
	assert_int_equal(inject(v, 256), -EINVAL);
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
	assert_int_equal(expect_sync(v, 3)->value[1], 1);
	expect_done(v);
}

/* A LAPIC that doesn't pass the PIC's interrupts on is not ready for them, whatever IF says. */
static void lint0_payload(uint64_t arg)
{
	(void)arg;
	set_handlers();
	apic_enable();
	apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED | APIC_MODE_EXTINT);
	sti();
	guest_sync_values(1, count[EXTINT], 0, 0, 0);
	cpu_relax();
	guest_sync_values(2, count[EXTINT], 0, 0, 0);
	apic_write(APIC_LVT_LINT0, APIC_MODE_EXTINT);
	cpu_relax();
	guest_sync_values(3, count[EXTINT], 0, 0, 0);
}

static void extint_waits_for_lint0(void **state)
{
	(void)state;
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		struct vcpu *v = split_guest(lint0_payload, 0);

		in_guest(v->vm, mode) = m;
		expect_sync(v, 1);
		assert_int_equal(v->run->if_flag, 1);
		assert_int_equal(v->run->ready_for_interrupt_injection, 0);
		assert_int_equal(inject(v, EXTINT), 0);
		assert_int_equal(expect_sync(v, 2)->value[1], 0);
		assert_int_equal(inject(v, EXTINT), -EEXIST);
		if (on_apicvisor()) { /* the peer looks at LINT0 only when userspace comes again */
			assert_int_equal(expect_sync(v, 3)->value[1], 1);
			assert_int_equal(v->run->ready_for_interrupt_injection, 1);
		}
		vm_free(v->vm);
	}
}

/* The guest gets on although the window that userspace waits for stays shut. */
static void window_waits_for_lint0(void **state)
{
	struct vcpu *v = split_guest(lint0_payload, 0);

	(void)state;
	expect_sync(v, 1); /* LINT0 is masked by now */
	v->run->request_interrupt_window = 1;
	expect_sync(v, 2);
	expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_int_equal(v->run->ready_for_interrupt_injection, 1);
	v->run->request_interrupt_window = 0;
	expect_sync(v, 3);
}

/* ExtINT goes first, and both arrive. */
static void extint_beside_the_lapics(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VECTOR };
	struct vcpu *v = split_guest(window_payload, 0);

	(void)state;
	expect_sync(v, 1);
	assert_int_equal(inject(v, EXTINT), 0);
	must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi)); /* the LAPIC is software-disabled: dropped */
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
	assert_int_equal(in_guest(v->vm, count[VECTOR]), 0);
}

static void both_payload(uint64_t rounds)
{
	set_handlers();
	apic_enable();
	apic_write(APIC_LVT_LINT0, APIC_MODE_EXTINT);
	guest_sync(1);
	for (uint64_t i = 1; i <= rounds; i++) {
		while (count[EXTINT] < i || count[VECTOR] < i) {
			sti_hlt();
			cli(); /* the other one must not come between the look and HLT */
		}
		guest_sync(i + 1);
	}
}

/*
 * From another thread, as a VMM's PIC does it: KVM_INTERRUPT and an MSI to a vCPU that sleeps, is
 * about to, or is just waking up. Each ends its HLT, and none is lost.
 */
static void extint_and_msi_end_hlt(void **state)
{
	uint64_t rounds = env_number("APV_LONG", 0) ? 20000 : 400;

	(void)state;
	if (!on_apicvisor())
		skip_because("there KVM_INTERRUPT waits until the vCPU has left KVM_RUN");
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VECTOR };
		struct vcpu *v = split_guest(both_payload, rounds);

		in_guest(v->vm, mode) = m;
		vcpu_start(v);
		vcpu_wait_sync(v, 1);
		for (uint64_t i = 1; i <= rounds; i++) {
			int first = i & 1;

			if (first)
				assert_int_equal(inject(v, EXTINT), 0);
			must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi));
			if (!first)
				assert_int_equal(inject(v, EXTINT), 0);
			if (i < rounds)
				vcpu_wait_sync(v, i + 1);
		}
		vcpu_join(v);
		assert_int_equal(in_guest(v->vm, count[EXTINT]), rounds);
		assert_int_equal(in_guest(v->vm, count[VECTOR]), rounds);
		vm_free(v->vm);
	}
}

static void halt_payload(uint64_t arg)
{
	(void)arg;
	set_handlers();
	guest_sync(1);
	sti_hlt();
	guest_sync_values(2, count[EXTINT], 0, 0, 0);
}

/* A request for the window while the guest sleeps in the kernel: it is open, and stays asleep. */
static void window_in_hlt(void **state)
{
	struct vcpu *v = split_guest(halt_payload, 0);
	struct kvm_mp_state mp;

	(void)state;
	if (!on_apicvisor()) /* there userspace has to come with the interrupt itself */
		skip_because("the peer sleeps on");
	expect_sync(v, 1);
	v->run->request_interrupt_window = 1;
	expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	if (vcpu_regs(v).rip == 0)
		fail();
	expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN); /* still */
	must(ioctl(v->fd, KVM_GET_MP_STATE, &mp));
	assert_int_equal(mp.mp_state, KVM_MP_STATE_HALTED);
	v->run->request_interrupt_window = 0;
	assert_int_equal(inject(v, EXTINT), 0);
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
}

/* --- what is left to userspace, and what is not --- */

static void devices_payload(uint64_t arg)
{
	(void)arg;
	outb(0x20, 0x11);
	guest_assert_eq(inb(0x40), 0x42);
	guest_assert_eq(mmio_read32(IOAPIC_BASE + 0x10), 0x170020);
	write_cr(8, 6);
	guest_assert_eq(xapic_read(APIC_TPR), 0x60);
	guest_assert_eq(xapic_read(APIC_VERSION) >> 24 & 1, 0); /* EOIs are always broadcast */
}

static void devices_are_userspaces(void **state)
{
	struct vcpu *v = split_guest(devices_payload, 0);
	uint32_t version = 0x170020;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer offers directed EOI, and broadcasts nevertheless");
	assert_int_equal(*(uint8_t *)expect_pio(v, KVM_EXIT_IO_OUT, 0x20, 1, 1), 0x11);
	*(uint8_t *)expect_pio(v, KVM_EXIT_IO_IN, 0x40, 1, 1) = 0x42;
	memcpy(expect_mmio(v, false, IOAPIC_BASE + 0x10, 4), &version, 4);
	expect_done(v);
	assert_int_equal(v->run->cr8, 6);
}

/* What userspace might inject costs the LAPIC's own interrupts nothing. */
static void self_payload(uint64_t rounds)
{
	set_handlers();
	apic_enable();
	sti();
	apic_send_self(VECTOR);
	guest_sync(1);
	for (uint64_t i = 0; i < rounds; i++)
		apic_send_self(VECTOR);
	guest_sync_values(2, count[VECTOR], 0, 0, 0);
}

static void virtual_interrupts_stay_free(void **state)
{
	static const struct exits report = { "exit.io", 1 };
	struct sample before, after;
	struct vcpu *v;

	(void)state;
	need_apicvisor();
	if (!have.virtual_interrupts || !have.x2apic_mode)
		skip_because("no virtual-interrupt delivery in x2APIC mode");
	v = split_guest(self_payload, 50);
	in_guest(v->vm, mode) = X2APIC;
	expect_sync(v, 1);
	before = take_sample(v);
	assert_int_equal(expect_sync(v, 2)->value[1], 51);
	after = take_sample(v);
	expect_exits(&before, &after, &report, 1);
}

static const struct CMUnitTest tests[] = {
	STATS_TEST(eoi_of_a_pin),
	STATS_TEST(eoi_of_others_is_silent),
	STATS_TEST(I4_eoi_after_the_route_has_moved),
	STATS_TEST(no_eoi_is_held_back),
	STATS_TEST(interrupt_window),
	STATS_TEST(extint_waits_for_lint0),
	STATS_TEST(window_waits_for_lint0),
	STATS_TEST(extint_beside_the_lapics),
	STATS_TEST(extint_and_msi_end_hlt),
	STATS_TEST(window_in_hlt),
	STATS_TEST(devices_are_userspaces),
	STATS_TEST(virtual_interrupts_stay_free),
};

TEST_MAIN("guest_split", tests)
