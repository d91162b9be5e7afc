// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guest and VMM see of lines and messages that KVM's ABI gives a meaning of its own: the RTC's
 * coalescing report, a resampled GSI that is routed elsewhere while it is up, INTR by the IOAPIC,
 * and the remote read that ends a HLT.
 */
#include <sys/eventfd.h>
#include "kvmtest.h"

#define VECTOR      0x51
#define LEVEL       (1u << 15)
#define MASKED      (1u << 16)
#define EXTINT      (7u << 8)
#define REMOTE_READ (3u << 8)

static volatile uint64_t count[256];

static void setup(void)
{
	guest_pic_init(0xffff);
	guest_xapic_enable();
	xapic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
}

/* --- the RTC --- */

static void on_rtc(struct guest_frame *f)
{
	count[f->vector]++;
	guest_sync(2); /* in service */
	xapic_write(APIC_EOI, 0);
}

static void rtc_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_rtc;
	setup();
	guest_ioapic_pin(8, VECTOR, 0);
	guest_sync(1);
	sti();
	while (!count[VECTOR])
		cpu_relax();
	guest_sync_values(3, count[VECTOR], 0, 0, 0);
}

static int tick(struct vm *vm)
{
	struct kvm_irq_level line = { .irq = 8, .level = 1 };
	int status;

	must(ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line));
	status = (int)line.status;
	line = (struct kvm_irq_level){ .irq = 8 }; /* 'status' has taken its place */
	must(ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line));
	return status;
}

static void rtc_reports_coalesced_ticks(void **state)
{
	struct vcpu *v = guest_new_irqchip(rtc_payload, 0);
	struct guest_report *r;

	(void)state;
	expect_sync(v, 1);
	assert_int_equal(tick(v->vm), 1);
	assert_int_equal(tick(v->vm), 0); /* requested */
	expect_sync(v, 2);
	assert_int_equal(tick(v->vm), 0); /* in service */
	r = expect_sync(v, 3);
	assert_int_equal(r->value[1], 1);
	assert_int_equal(tick(v->vm), 1); /* complete */
}

/* --- a GSI that moves --- */

static void moved_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = guest_handler[VECTOR + 0x10] = on_rtc;
	setup();
	guest_ioapic_pin(5, MASKED | LEVEL | VECTOR, 0);
	guest_ioapic_pin(6, MASKED | LEVEL | (VECTOR + 0x10), 0);
	guest_sync(1);
	sti();
	guest_ioapic_pin(5, LEVEL | VECTOR, 0);
	for (int i = 0; i < 1000; i++)
		cpu_relax();
	guest_sync_values(3, count[VECTOR], 0, 0, 0);
}

static void route(struct vm *vm, uint32_t gsi, uint32_t pin)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} table = {
		.head.nr = 1,
		.entry = { .gsi = gsi,
			   .type = KVM_IRQ_ROUTING_IRQCHIP,
			   .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = pin } },
	};

	must(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &table));
}

static void moved_resampled_gsi_leaves_its_pin(void **state)
{
	struct vcpu *v = guest_new_irqchip(moved_payload, 0);
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd(0, 0),
		.resamplefd = (uint32_t)eventfd(0, EFD_NONBLOCK),
		.gsi = 40,
		.flags = KVM_IRQFD_FLAG_RESAMPLE,
	};
	uint64_t one = 1;
	struct guest_report *r;

	(void)state;
	route(v->vm, 40, 5);
	must(ioctl(v->vm->fd, KVM_IRQFD, &irqfd));
	expect_sync(v, 1);
	assert_int_equal(write((int)irqfd.fd, &one, sizeof(one)), sizeof(one)); /* pin 5 is up */
	route(v->vm, 40, 6);
	r = expect_sync(v, 3);
	assert_int_equal(r->value[1], 0); /* nobody holds pin 5 */
	/* The device was asked whether it still wants service. */
	assert_int_equal(read((int)irqfd.resamplefd, &one, sizeof(one)), sizeof(one));
	close((int)irqfd.fd);
	close((int)irqfd.resamplefd);
}

/* --- INTR by the IOAPIC --- */

static void on_pic_irq(struct guest_frame *f)
{
	count[f->vector]++;
	outb(0x20, 0x20);
}

static void intr_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[0x24] = on_pic_irq;
	setup();
	guest_pic_init(0);
	sti();
	guest_sync(1);
	guest_sync_values(2, count[0x24], 0, 0, 0);
	guest_ioapic_pin(0, EXTINT, 0); /* INTR is up: it comes now */
	while (!count[0x24])
		cpu_relax();
	guest_sync_values(3, count[0x24], 0, 0, 0);
}

static void pic_by_the_ioapic(void **state)
{
	struct vcpu *v = guest_new_irqchip(intr_payload, 0);
	struct guest_report *r;

	(void)state;
	expect_sync(v, 1);
	vm_irq_line(v->vm, 4, 1);
	r = expect_sync(v, 2);
	assert_int_equal(r->value[1], 0); /* LINT0 is masked */
	r = expect_sync(v, 3);
	assert_int_equal(r->value[1], 1);
}

/* --- remote read --- */

static void remote_read_payload(uint64_t arg)
{
	(void)arg;
	setup();
	xapic_write(APIC_ICR_HI, 0);
	xapic_write(APIC_ICR_LO, REMOTE_READ);
	asm volatile("cli; hlt"); /* QUIRK(remote_read_wakes): the read came first, and was kept */
	guest_sync_values(1, xapic_read(APIC_ICR_LO), xapic_read(0xc0), 0, 0);
	asm volatile("cli; hlt");
	guest_sync(2);
}

static void remote_read_ends_hlt(void **state)
{
	struct vcpu *v = guest_new_irqchip(remote_read_payload, 0);
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = REMOTE_READ };
	struct guest_report *r;

	(void)state;
	r = expect_sync(v, 1);
	assert_int_equal(r->value[1], REMOTE_READ);
	assert_int_equal(r->value[2], 0);
	assert_int_equal(must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi)), 1);
	expect_sync(v, 2);
}

/* QUIRK(smi_dropped): no SMM, no KVM_SMI; and the message goes nowhere. */
static void smi_is_nothing(void **state)
{
	struct vcpu *v = guest_new_irqchip(remote_read_payload, 0);
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 2u << 8 };

	(void)state;
	must_fail(ENOTTY, ioctl(v->fd, KVM_SMI));
	assert_int_equal(must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi)), 0);
	expect_sync(v, 1);
}

static const struct CMUnitTest tests[] = {
	TEST(rtc_reports_coalesced_ticks),
	TEST(moved_resampled_gsi_leaves_its_pin),
	TEST(pic_by_the_ioapic),
	TEST(remote_read_ends_hlt),
	TEST(smi_is_nothing),
};

TEST_MAIN("guest_lines", tests)
