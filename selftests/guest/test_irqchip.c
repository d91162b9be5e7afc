// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts from outside into a guest: PIC by ExtINT, IOAPIC edge and level, MSI, irqfd with and
 * without resample, and the PIT. Each test starts at the ioctl and ends in the guest's handler.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include "kvmtest.h"

#define VECTOR     0x51
#define PIN        5
#define LEVEL      (1u << 15)
#define MASKED     (1u << 16)
#define REMOTE_IRR (1u << 14)

static volatile uint64_t count[256];
static volatile uint64_t want;

static void on_lapic_irq(struct guest_frame *f)
{
	count[f->vector]++;
	xapic_write(APIC_EOI, 0);
}

/* --- PIC --- */

static void on_pic_irq(struct guest_frame *f)
{
	count[f->vector]++;
	if (f->vector >= 0x28)
		outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

/* LINT0 of the boot CPU is ExtINT after reset: nothing to set up in the APIC, not even its SVR. */
static void pic_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[0x24] = on_pic_irq;
	guest_handler[0x2b] = on_pic_irq;
	guest_pic_init(0);
	guest_sync(1);
	sti();
	cpu_relax();
	guest_sync_values(2, count[0x24], count[0x2b], 0, 0);
	while (!count[0x2b])
		cpu_relax();
	guest_sync_values(3, count[0x24], count[0x2b], 0, 0);
}

static void pic_by_extint(void **state)
{
	struct vcpu *v = guest_new_irqchip(pic_payload, 0);
	struct guest_report *r;

	(void)state;
	expect_sync(v, 1);
	vm_irq_line(v->vm, 4, 1); /* master */
	r = expect_sync(v, 2);
	assert_int_equal(r->value[1], 1);
	vm_irq_line(v->vm, 4, 0);
	vm_irq_line(v->vm, 11, 1); /* slave */
	r = expect_sync(v, 3);
	assert_int_equal(r->value[1], 1);
	assert_int_equal(r->value[2], 1);
	vm_irq_line(v->vm, 11, 0);
}

static void pic_mask_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[0x24] = on_pic_irq;
	guest_pic_init(0xffff);
	sti();
	guest_sync(1);
	guest_assert_eq(count[0x24], 0);
	outb(0x20, 0x0a); /* read the IRR */
	guest_assert_eq(inb(0x20), 0x10);
	outb(0x21, 0xef); /* unmask */
	cpu_relax();
	guest_assert_eq(count[0x24], 1);
	guest_assert_eq(inb(0x21), 0xef);
}

static void pic_mask(void **state)
{
	struct vcpu *v = guest_new_irqchip(pic_mask_payload, 0);

	(void)state;
	expect_sync(v, 1);
	vm_irq_line(v->vm, 4, 1);
	expect_done(v);
}

/* With LINT0 masked the PIC is not heard. */
static void pic_lint0_payload(uint64_t nudge)
{
	guest_handler[0x24] = on_pic_irq;
	guest_pic_init(0);
	guest_xapic_enable();
	xapic_write(APIC_LVT_LINT0, APIC_LVT_MASKED | APIC_MODE_EXTINT);
	sti();
	guest_sync(1);
	cpu_relax();
	guest_assert_eq(count[0x24], 0);
	xapic_write(APIC_LVT_LINT0, APIC_MODE_EXTINT);
	if (nudge) { /* the peer looks at LINT0 only when the PIC has news */
		outb(0x21, 0xff);
		outb(0x21, 0);
	}
	cpu_relax();
	guest_assert_eq(count[0x24], 1);
}

static void pic_behind_lint0(void **state)
{
	struct vcpu *v = guest_new_irqchip(pic_lint0_payload, !on_apicvisor());

	(void)state;
	expect_sync(v, 1);
	vm_irq_line(v->vm, 4, 1);
	expect_done(v);
}

/* --- IOAPIC --- */

static void ioapic_setup(uint32_t flags)
{
	guest_pic_init(0xffff);
	guest_xapic_enable();
	xapic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
	guest_ioapic_pin(PIN, flags | VECTOR, 0);
}

static void edge_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_lapic_irq;
	guest_assert_eq(ioapic_read(1) >> 16 & 0xff, 23); /* 24 entries */
	ioapic_setup(0);
	guest_assert_eq(ioapic_read(0x10 + 2 * PIN), VECTOR);
	sti();
	for (uint64_t i = 1; i <= 4; i++) {
		guest_sync_values(i, count[VECTOR], 0, 0, 0);
		cpu_relax();
	}
}

static void ioapic_edge(void **state)
{
	struct vcpu *v = guest_new_irqchip(edge_payload, 0);

	(void)state;
	expect_sync(v, 1);
	vm_irq_line(v->vm, PIN, 1);
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
	vm_irq_line(v->vm, PIN, 1); /* no edge */
	assert_int_equal(expect_sync(v, 3)->value[1], 1);
	vm_irq_line(v->vm, PIN, 0);
	vm_irq_line(v->vm, PIN, 1);
	assert_int_equal(expect_sync(v, 4)->value[1], 2);
}

/* KVM_CAP_IOAPIC_POLARITY_IGNORED: "active low" or not, level 1 means asserted. */
static void polarity_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_lapic_irq;
	ioapic_setup(1u << 13);
	sti();
	guest_sync(1);
	cpu_relax();
	guest_sync_values(2, count[VECTOR], 0, 0, 0);
}

static void ioapic_polarity_is_ignored(void **state)
{
	struct vcpu *v = guest_new_irqchip(polarity_payload, 0);

	(void)state;
	expect_sync(v, 1);
	vm_irq_line(v->vm, PIN, 1);
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
}

/* Level: comes again after each EOI while the line is up; Remote IRR holds it back in between. */
static void on_level_irq(struct guest_frame *f)
{
	count[f->vector]++;
	guest_assert(ioapic_read(0x10 + 2 * PIN) & REMOTE_IRR);
	guest_sync(100 + count[f->vector]);
	xapic_write(APIC_EOI, 0);
}

static void level_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_level_irq;
	ioapic_setup(LEVEL);
	sti();
	guest_sync(1);
	while (count[VECTOR] < 3)
		cpu_relax();
	guest_assert(!(ioapic_read(0x10 + 2 * PIN) & REMOTE_IRR));
	guest_sync(2);
	guest_assert_eq(count[VECTOR], 3);
}

static void ioapic_level(void **state)
{
	struct vcpu *v = guest_new_irqchip(level_payload, 0);

	(void)state;
	expect_sync(v, 1);
	vm_irq_line(v->vm, PIN, 1);
	expect_sync(v, 101);
	expect_sync(v, 102); /* still up at the EOI */
	expect_sync(v, 103);
	vm_irq_line(v->vm, PIN, 0); /* down before the EOI */
	expect_sync(v, 2);
	expect_done(v);
}

static void masked_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_lapic_irq;
	ioapic_setup(MASKED | LEVEL);
	sti();
	guest_sync(1);
	guest_assert_eq(count[VECTOR], 0);
	guest_handler[VECTOR] = on_level_irq;
	guest_ioapic_pin(PIN, LEVEL | VECTOR, 0); /* the line is up: it comes now (I7) */
	while (count[VECTOR] < 1)
		cpu_relax();
	guest_sync(2);
	guest_assert_eq(count[VECTOR], 1);
}

static void ioapic_mask_and_unmask(void **state)
{
	struct vcpu *v = guest_new_irqchip(masked_payload, 0);

	(void)state;
	expect_sync(v, 1);
	vm_irq_line(v->vm, PIN, 1);
	expect_sync(v, 101);
	vm_irq_line(v->vm, PIN, 0);
	expect_sync(v, 2);
	expect_done(v);
}

/* All selectors, all bits: an index is never believed (I1). */
static void ioapic_selectors_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = ioapic_read(i);

		mmio_write32(IOAPIC_BASE + 0x10, v | 0x10000);
		mmio_write32(IOAPIC_BASE + 0x10, 0xffffffff);
		ioapic_read(i);
	}
	for (uint32_t i = 0; i < 0x100; i += 4) { /* other offsets of the page */
		if (i != 0x10)
			mmio_write32(IOAPIC_BASE + i, i);
		mmio_read32(IOAPIC_BASE + i);
	}
	guest_ioapic_pin(PIN, MASKED | VECTOR, 0);
	guest_assert_eq(ioapic_read(0x10 + 2 * PIN) & 0x100ff, MASKED | VECTOR);
}

static void ioapic_all_selectors(void **state)
{
	(void)state;
	expect_done(guest_new_irqchip(ioapic_selectors_payload, 0));
}

/* To each of two CPUs by its ID. */
static void second_cpu_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	sti();
	want = 1;
	while (!count[VECTOR])
		cpu_relax();
	guest_assert_eq(xapic_read(APIC_ID) >> 24, 1);
}

static void to_second_cpu_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_lapic_irq;
	ioapic_setup(MASKED);
	guest_ioapic_pin(PIN, VECTOR, 1u << 24);
	while (!want)
		cpu_relax();
	guest_sync(1);
	while (!count[VECTOR])
		cpu_relax();
}

static void ioapic_to_the_other_cpu(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *bsp = vcpu_create(vm, 0), *ap = vcpu_create(vm, 1);

	(void)state;
	vcpu_long_mode(bsp, to_second_cpu_payload, 0);
	vcpu_long_mode(ap, second_cpu_payload, 0);
	vcpu_start(ap);
	expect_sync(bsp, 1);
	vm_irq_line(vm, PIN, 1);
	expect_done(bsp);
	vcpu_join(ap);
	assert_int_equal(in_guest(vm, count[VECTOR]), 1);
}

/* --- MSI --- */

static void msi_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_lapic_irq;
	guest_xapic_enable();
	sti();
	for (uint64_t i = 1; i <= 4; i++) {
		guest_sync_values(i, count[VECTOR], 0, 0, 0);
		cpu_relax();
	}
}

static void signal_msi(void **state)
{
	struct vcpu *v = guest_new_irqchip(msi_payload, 0);
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VECTOR };

	(void)state;
	expect_sync(v, 1);
	assert_int_equal(must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi)), 1);
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
	msi.address_lo |= 7 << 12; /* nobody has this ID */
	assert_int_equal(must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi)), 0);
	assert_int_equal(expect_sync(v, 3)->value[1], 1);
	msi.address_lo |= 0xff << 12; /* everybody */
	assert_int_equal(must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi)), 1);
	assert_int_equal(expect_sync(v, 4)->value[1], 2);
}

static void route_msi(struct vm *vm, uint32_t gsi, uint32_t vector)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} r = {
		.head.nr = 1,
		.entry = {
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = 0xfee00000, .data = vector },
		},
	};

	must(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r));
}

static void msi_by_routing(void **state)
{
	struct vcpu *v = guest_new_irqchip(msi_payload, 0);

	(void)state;
	expect_sync(v, 1);
	route_msi(v->vm, 30, VECTOR);
	vm_irq_line(v->vm, 30, 1);
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
	vm_irq_line(v->vm, 30, 0); /* the falling edge of an MSI is nothing */
	assert_int_equal(expect_sync(v, 3)->value[1], 1);
}

/* --- irqfd --- */

static void signal_eventfd(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static bool wait_eventfd(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;

	if (poll(&p, 1, ms) != 1)
		return false;
	return read(fd, &n, sizeof(n)) == sizeof(n);
}

static void irqfd_payload(uint64_t arg)
{
	guest_handler[VECTOR] = on_lapic_irq;
	if (arg)
		ioapic_setup(0);
	else
		guest_xapic_enable();
	cli(); /* an interrupt between the look and HLT would end no HLT */
	for (uint64_t i = 1;; i++) {
		guest_sync(i);
		while (count[VECTOR] < i) {
			sti_hlt();
			cli();
		}
	}
}

/* From a thread that is not the vCPU's, into HLT. */
static void irqfd_wakes(uint32_t gsi, bool by_ioapic)
{
	struct vcpu *v = guest_new_irqchip(irqfd_payload, by_ioapic);
	struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd(0, 0), .gsi = gsi };

	if (!by_ioapic)
		route_msi(v->vm, gsi, VECTOR);
	must(ioctl(v->vm->fd, KVM_IRQFD, &irqfd));
	vcpu_start(v);
	for (uint64_t i = 1; i <= 20; i++) {
		vcpu_wait_sync(v, i);
		signal_eventfd((int)irqfd.fd);
	}
	vcpu_wait_sync(v, 21);
	vcpu_stop(v);
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	must(ioctl(v->vm->fd, KVM_IRQFD, &irqfd));
	signal_eventfd((int)irqfd.fd);
	assert_int_equal(in_guest(v->vm, count[VECTOR]), 20);
	close((int)irqfd.fd);
	vm_free(v->vm);
}

static void irqfd_msi(void **state)
{
	(void)state;
	irqfd_wakes(40, false);
}

static void irqfd_ioapic(void **state)
{
	(void)state;
	irqfd_wakes(PIN, true);
}

/* Level by eventfd: the EOI lowers the line and signals the resample eventfd. */
static void resample_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_lapic_irq;
	ioapic_setup(LEVEL);
	sti();
	guest_sync(1);
	while (count[VECTOR] < 1)
		cpu_relax();
	guest_sync(2);
	while (count[VECTOR] < 2)
		cpu_relax();
	guest_sync(3);
	guest_assert_eq(count[VECTOR], 2);
}

static void irqfd_resample(void **state)
{
	struct vcpu *v = guest_new_irqchip(resample_payload, 0);
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd(0, 0),
		.resamplefd = (uint32_t)eventfd(0, EFD_NONBLOCK),
		.gsi = PIN,
		.flags = KVM_IRQFD_FLAG_RESAMPLE,
	};

	(void)state;
	must(ioctl(v->vm->fd, KVM_IRQFD, &irqfd));
	expect_sync(v, 1);
	assert_false(wait_eventfd((int)irqfd.resamplefd, 0));
	for (uint64_t i = 2; i <= 3; i++) {
		signal_eventfd((int)irqfd.fd);
		expect_sync(v, i);
		assert_true(wait_eventfd((int)irqfd.resamplefd, 1000));
	}
	expect_done(v);
	assert_false(wait_eventfd((int)irqfd.resamplefd, 0));
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	must(ioctl(v->vm->fd, KVM_IRQFD, &irqfd));
	close((int)irqfd.fd);
	close((int)irqfd.resamplefd);
}

/* --- PIT --- */

static void pit_payload(uint64_t arg)
{
	guest_handler[0x20] = on_pic_irq;
	guest_handler[VECTOR] = on_lapic_irq;
	if (arg) {
		ioapic_setup(MASKED);
		guest_ioapic_pin(2, VECTOR, 0); /* GSI 0 is pin 2 */
	} else {
		guest_pic_init(0xfffe);
	}
	outb(0x43, 0x34);         /* channel 0, both bytes, rate generator */
	outb(0x40, 11932 & 0xff); /* 100 Hz */
	outb(0x40, 11932 >> 8);
	while (count[0x20] + count[VECTOR] < 5) {
		sti_hlt();
		cli();
	}
	outb(0x43, 0x30); /* mode 0 without a count: no more ticks */
}

static void pit_ticks(uint64_t by_ioapic)
{
	struct kvm_pit_config config = { 0 };
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v;

	must(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
	v = vcpu_create(vm, 0);
	if (by_ioapic) {
		struct {
			struct kvm_irq_routing head;
			struct kvm_irq_routing_entry entry;
		} r = {
			.head.nr = 1,
			.entry = { .gsi = 0,
				   .type = KVM_IRQ_ROUTING_IRQCHIP,
				   .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 2 } },
		};

		must(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r));
	}
	vcpu_long_mode(v, pit_payload, by_ioapic);
	expect_done(v);
	vm_free(vm);
}

static void pit_by_pic(void **state)
{
	(void)state;
	pit_ticks(0);
}

static void pit_by_ioapic(void **state)
{
	(void)state;
	pit_ticks(1);
}

/* Channel 2 without an interrupt: what a guest calibrates its TSC with. */
static void pit_channel_2_payload(uint64_t arg)
{
	(void)arg;
	outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1)); /* gate on, speaker off */
	outb(0x43, 0xb0);                             /* channel 2, both bytes, mode 0 */
	outb(0x42, 5966 & 0xff);                      /* 5 ms */
	outb(0x42, 5966 >> 8);
	guest_assert_eq(inb(0x61) & 0x20, 0);
	while (!(inb(0x61) & 0x20))
		cpu_relax();
}

static void pit_channel_2(void **state)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v;

	(void)state;
	must(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
	v = vcpu_create(vm, 0);
	vcpu_long_mode(v, pit_channel_2_payload, 0);
	expect_done(v);
}

static const struct CMUnitTest tests[] = {
	TEST(pic_by_extint),
	TEST(pic_mask),
	TEST(pic_behind_lint0),
	TEST(ioapic_edge),
	TEST(ioapic_polarity_is_ignored),
	TEST(ioapic_level),
	TEST(ioapic_mask_and_unmask),
	TEST(ioapic_all_selectors),
	TEST(ioapic_to_the_other_cpu),
	TEST(signal_msi),
	TEST(msi_by_routing),
	TEST(irqfd_msi),
	TEST(irqfd_ioapic),
	TEST(irqfd_resample),
	TEST(pit_by_pic),
	TEST(pit_by_ioapic),
	TEST(pit_channel_2),
};

TEST_MAIN("guest_irqchip", tests)
