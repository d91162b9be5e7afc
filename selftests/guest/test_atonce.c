// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that does nothing but exit, by something that is handled at once, with interrupts off and
 * straight back into the guest. Whatever wants it must get through all the same, each time: an
 * interrupt, an NMI, its own timer, a signal, a slot that goes, a filter that comes.
 */
#include <sys/eventfd.h>
#include "apicmode.h"
#include "lib.h"

#define VECTOR       0x41
#define TIMER_VECTOR 0x52
#define SELF_VECTOR  0x63
#define MSI_ADDRESS  0xfee00000u
#define MSI_NMI      (4u << 8)
#define TSC_ADJUST   0x3bu
#define PIC_MASK     0x21
#define NOTIFY_PORT  0x520
#define NOBODY       77 /* an APIC ID */
#define TIMER_COUNT  20000
#define SPARE_SLOT   7
#define SPARE_GPA    (64 * MiB)

enum kind {
	DO_CPUID,
	DO_RDMSR,
	DO_WRMSR,
	DO_DEADLINE,
	DO_IPI,
	DO_PORT_IN,
	DO_PORT_OUT,
	DO_VMCALL,
	DO_MMIO,
	DO_NOTIFY,
	DO_NOTIFY_MMIO,
	DO_HLT, /* with an interrupt that waits */
	KINDS
};

/* --- the guest --- */

static volatile uint64_t irqs, nmis, ticks, rounds, refused;
static volatile uint64_t first_tick, last_tick; /* by the TSC */

static void on_irq(struct guest_frame *f)
{
	(void)f;
	irqs++;
	apic_write(APIC_EOI, 0);
}

static void on_nmi(struct guest_frame *f)
{
	(void)f;
	nmis++;
}

static void on_tick(struct guest_frame *f)
{
	(void)f;
	last_tick = rdtsc();
	if (!ticks++)
		first_tick = last_tick;
	apic_write(APIC_EOI, 0);
	apic_write(APIC_TMICT, TIMER_COUNT);
}

static void on_self(struct guest_frame *f)
{
	(void)f;
	apic_write(APIC_EOI, 0);
}

static void send_to_nobody(void)
{
	if (mode == X2APIC) {
		wrmsr(0x830, (uint64_t)NOBODY << 32 | VECTOR);
	} else {
		xapic_write(APIC_ICR_HI, NOBODY << 24);
		xapic_write(APIC_ICR_LO, VECTOR);
	}
}

static void exit_by(enum kind kind)
{
	uint64_t nr = 0x7fff;
	uint32_t r[4];

	switch (kind) {
	case DO_CPUID:
		guest_cpuid(0, 0, r);
		break;
	case DO_RDMSR:
		rdmsr(TSC_ADJUST);
		break;
	case DO_WRMSR:
		wrmsr(TSC_ADJUST, 0);
		break;
	case DO_DEADLINE:
		wrmsr(MSR_TSC_DEADLINE, 0); /* ignored: the timer is in another mode */
		break;
	case DO_IPI:
		send_to_nobody();
		break;
	case DO_PORT_IN:
		inb(PIC_MASK);
		break;
	case DO_PORT_OUT:
		outb(PIC_MASK, 0xff);
		break;
	case DO_MMIO:
		mmio_read32(IOAPIC_BASE);
		break;
	case DO_NOTIFY:
		outb(NOTIFY_PORT, 0);
		break;
	case DO_NOTIFY_MMIO:
		mmio_write32(GUEST_MMIO, 0);
		break;
	case DO_HLT:
		cli();
		apic_send_self(SELF_VECTOR);
		sti_hlt();
		break;
	default:
		asm volatile("vmcall" : "+a"(nr) : : "memory");
	}
}

static void payload(uint64_t kind)
{
	guest_handler[VECTOR] = on_irq;
	guest_handler[TIMER_VECTOR] = on_tick;
	guest_handler[SELF_VECTOR] = on_self;
	guest_handler[2] = on_nmi;
	guest_pic_init(0xffff);
	apic_enable();
	apic_write(APIC_TDCR, 0xb); /* by 1 */
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR);
	apic_write(APIC_TMICT, TIMER_COUNT);
	sti();
	for (;;) {
		exit_by((enum kind)kind);
		rounds++;
	}
}

/* --- the host --- */

static void wait_for(struct vcpu *v, volatile uint64_t *what, uint64_t n)
{
	while (*what < n) {
		if (v->error[0] || test_timed_out)
			fail_msg("the guest is at rip %#llx: %s", vcpu_regs(v).rip, v->error);
		sched_yield();
	}
}

static void send_msi(struct vm *vm, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = MSI_ADDRESS, .data = data };

	must(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi));
}

static int notify(struct vm *vm, uint64_t addr, uint32_t len, uint32_t flags)
{
	struct kvm_ioeventfd io = { .addr = addr, .len = len, .flags = flags };

	io.fd = must(eventfd(0, EFD_CLOEXEC));
	must(ioctl(vm->fd, KVM_IOEVENTFD, &io));
	return io.fd;
}

/* The host's own ticks end such a loop, too, every few milliseconds: nobody may wait for those. */
static void check_pace(struct vcpu *v)
{
	uint64_t took = in_guest(v->vm, last_tick) - in_guest(v->vm, first_tick);
	uint64_t us = took / in_guest(v->vm, ticks) * 1000 /
		      (uint64_t)must(ioctl(v->fd, KVM_GET_TSC_KHZ));

	if (us > 1000)
		fail_msg("its timer, of %u cycles, came every %lu us", TIMER_COUNT,
			 (unsigned long)us);
}

static void check(enum kind kind, enum apic_mode m)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_create(vm, 0);
	void *spare = map_anon(PAGE_SIZE);
	int port = notify(vm, NOTIFY_PORT, 1, KVM_IOEVENTFD_FLAG_PIO);
	int mmio = notify(vm, GUEST_MMIO, 4, 0);

	in_guest(vm, mode) = m;
	vcpu_long_mode(v, payload, kind);
	vcpu_start(v);
	for (uint64_t i = 1; i <= 20; i++) {
		uint64_t before = in_guest(vm, rounds);

		wait_for(v, &in_guest(vm, rounds), before + 1);
		send_msi(vm, VECTOR);
		wait_for(v, &in_guest(vm, irqs), i);
		send_msi(vm, MSI_NMI);
		wait_for(v, &in_guest(vm, nmis), i);
		wait_for(v, &in_guest(vm, ticks), i);
		vm_set_slot(vm, SPARE_SLOT, 0, SPARE_GPA, PAGE_SIZE, spare);
		vm_set_slot(vm, SPARE_SLOT, 0, SPARE_GPA, 0, spare);
		if (i % 5 == 0) {
			vcpu_stop(v);
			vcpu_start(v);
		}
	}
	vcpu_stop(v);
	assert_int_equal(in_guest(vm, irqs), 20);
	check_pace(v);
	vm_free(vm);
	munmap(spare, PAGE_SIZE);
	close(port);
	close(mmio);
}

static void nobody_waits_for_it(void **state)
{
	(void)state;
	for (enum kind kind = DO_CPUID; kind < KINDS; kind++)
		for (enum apic_mode m = XAPIC; m <= X2APIC; m++)
			check(kind, m);
}

/* --- a filter --- */

static void read_it(void)
{
	rdmsr(TSC_ADJUST);
}

static void reader(uint64_t arg)
{
	uint32_t error;

	(void)arg;
	for (;;) {
		if (guest_catch(read_it, &error) < 0)
			rounds++;
		else
			refused++;
	}
}

/* Once the ioctl has returned no access is begun that the filter forbids. */
static void a_filter_holds_at_once(void **state)
{
	uint8_t none = 0;
	struct kvm_msr_filter deny = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[0] = { KVM_MSR_FILTER_READ, 1, TSC_ADJUST, &none },
	};
	struct kvm_msr_filter allow = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_create(vm, 0);
	uint64_t reads, before;

	(void)state;
	vcpu_long_mode(v, reader, 0);
	vcpu_start(v);
	for (int i = 0; i < 50; i++) {
		before = in_guest(vm, rounds);
		wait_for(v, &in_guest(vm, rounds), before + 2);
		must(ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &deny));
		reads = in_guest(vm, rounds);
		before = in_guest(vm, refused);
		wait_for(v, &in_guest(vm, refused), before + 2);
		assert_true(in_guest(vm, rounds) <= reads + 1); /* one had been made, not counted */
		must(ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &allow));
	}
	vcpu_stop(v);
}

static const struct CMUnitTest tests[] = {
	TEST(nobody_waits_for_it),
	TEST(a_filter_holds_at_once),
};

TEST_MAIN("guest_atonce", tests)
