// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts that the host sends to a vCPU: MSI by ioctl and by irqfd, lines of the IOAPIC and the
 * PIC. The sender is the VMM's thread on CPU 0, the vCPU has CPU 1; the VMM adds to its own TSC how
 * far the guest's is ahead. The other vCPUs of a VM are halted throughout.
 */
#include <sys/eventfd.h>
#include "irq.h"

#define MSI_ADDRESS 0xfee00000u
#define LINE_GSI    5
#define MSI_GSI     30
#define PIC_VECTOR  0x25 /* of IRQ 5, as guest_pic_init() has it */
#define LEVEL       (1u << 15)

enum way { BY_IOCTL, BY_IRQFD, EDGE, RESAMPLE, PIC };

/* The case's arg: a way, whether the vCPU is halted, and how many vCPUs there are. */
#define ARG(way, halted, vcpus) ((way) | (halted) << 4 | (vcpus) << 8)

struct sender {
	struct vm *vm;
	enum way way;
	bool halted;
	int64_t ahead; /* the guest's TSC, of ours */
	int fd, resample_fd;
};

/* --- guest --- */

static void line_receiver(uint64_t redirection)
{
	guest_pic_init(0xffff);
	enable_interrupts();
	guest_ioapic_pin(LINE_GSI, (uint32_t)redirection, 0);
	receiver(0);
}

/* Through the PIC and LINT0; the IOAPIC's pin is masked as after reset. */
static void pic_receiver(uint64_t unused)
{
	(void)unused;
	guest_pic_init((uint16_t) ~(1u << LINE_GSI));
	enable_interrupts();
	set_gate(PIC_VECTOR, bench_irq_pic);
	apic_write(APIC_LVT_LINT0, APIC_MODE_EXTINT);
	receiver(0);
}

/* --- host --- */

static void raise_interrupt(const struct sender *s)
{
	struct kvm_msi msi = { .address_lo = MSI_ADDRESS, .data = VECTOR };
	uint64_t one = 1;

	switch (s->way) {
	case BY_IOCTL:
		must(ioctl(s->vm->fd, KVM_SIGNAL_MSI, &msi));
		break;
	case BY_IRQFD:
	case RESAMPLE:
		must((int)write(s->fd, &one, sizeof(one)));
		break;
	case EDGE:
	case PIC:
		vm_irq_line(s->vm, LINE_GSI, 1);
		break;
	}
}

/* Make ready for the next one. */
static void settle(const struct sender *s)
{
	uint64_t n;

	if (s->way == RESAMPLE)
		must((int)read(s->resample_fd, &n, sizeof(n)));
	if (s->way == EDGE || s->way == PIC)
		vm_irq_line(s->vm, LINE_GSI, 0);
}

static void wait_until_halted(const struct sender *s)
{
	uint64_t start;

	while (in_guest(s->vm, halts) != in_guest(s->vm, bench_count) + 1)
		;
	for (start = rdtsc(); rdtsc() - start < SETTLE_TICKS;)
		;
}

/* One batch, into ticks[]. */
static void send_batch(const struct sender *s, unsigned int n, uint64_t *ticks)
{
	ticks[0] = ticks[1] = ticks[2] = 0;
	while (n--) {
		uint64_t want = in_guest(s->vm, bench_count) + 1, start, sent;

		if (s->halted)
			wait_until_halted(s);
		start = batch_begin();
		raise_interrupt(s);
		sent = rdtsc();
		while (in_guest(s->vm, bench_count) != want)
			;
		batch_end();
		ticks[0] += sent - start;
		ticks[1] += in_guest(s->vm, bench_first) - s->ahead - start;
		ticks[2] += in_guest(s->vm, bench_done) - s->ahead - start;
		settle(s);
	}
}

/* An irqfd of the route that the way needs. */
static void attach(struct sender *s)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[2];
	} table = { .head.nr = 2 };
	struct kvm_irqfd irqfd = { .gsi = s->way == RESAMPLE ? LINE_GSI : MSI_GSI };

	table.entry[0] =
		(struct kvm_irq_routing_entry){ .gsi = MSI_GSI, .type = KVM_IRQ_ROUTING_MSI };
	table.entry[0].u.msi.address_lo = MSI_ADDRESS;
	table.entry[0].u.msi.data = VECTOR;
	table.entry[1] =
		(struct kvm_irq_routing_entry){ .gsi = LINE_GSI, .type = KVM_IRQ_ROUTING_IRQCHIP };
	table.entry[1].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	table.entry[1].u.irqchip.pin = LINE_GSI;
	must(ioctl(s->vm->fd, KVM_SET_GSI_ROUTING, &table));
	s->fd = irqfd.fd = must(eventfd(0, EFD_CLOEXEC));
	if (s->way == RESAMPLE) {
		s->resample_fd = irqfd.resamplefd = must(eventfd(0, EFD_CLOEXEC));
		irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
	}
	must(ioctl(s->vm->fd, KVM_IRQFD, &irqfd));
}

static struct sender new_machine(const struct bench_case *c)
{
	struct sender s = {
		.vm = vm_create_irqchip(),
		.way = c->arg & 15,
		.halted = c->arg >> 4 & 1,
		.fd = -1,
		.resample_fd = -1,
	};
	struct vcpu *v = vcpu_create(s.vm, 0);

	in_guest(s.vm, mode) = c->mode;
	in_guest(s.vm, halting) = s.halted;
	if (s.way == BY_IRQFD || s.way == RESAMPLE)
		attach(&s);
	for (unsigned int i = 1; i < c->arg >> 8; i++)
		start_on_cpu1(vcpu_create(s.vm, i), bystander, 0);
	if (s.way == PIC)
		start_on_cpu1(v, pic_receiver, 0);
	else
		start_on_cpu1(v, line_receiver, VECTOR | (s.way == RESAMPLE ? LEVEL : 0));
	while (!in_guest(s.vm, common_clock).ready) {
		if (v->error[0])
			vcpu_stop(v);
		sched_yield();
	}
	s.ahead = agree_on_clock(&in_guest(s.vm, common_clock));
	return s;
}

static void run_host(const struct bench_case *c)
{
	struct sender s = new_machine(c);
	struct samples samples = { .n = repeats() };
	struct exit_counts exits;
	uint64_t ticks[MAX_METRICS];

	send_batch(&s, c->ops, ticks);
	count_begin(s.vm);
	send_batch(&s, c->ops, ticks);
	count_end(s.vm, &exits);
	for (unsigned int i = 0; i < samples.n; i++) {
		send_batch(&s, c->ops, ticks);
		for (unsigned int m = 0; m < 3; m++)
			samples.ticks[m][i] = ticks[m];
	}
	emit(c, &samples, &exits);
	vm_free(s.vm);
	close(s.fd);
	close(s.resample_fd);
}

#define HOST(NAME, MODE, OPS, WAY, HALTED, VCPUS)                                            \
	{                                                                                    \
		.name = "irq." NAME, .run = run_host, .mode = MODE, .ops = OPS, .marked = 1, \
		.arg = ARG(WAY, HALTED, VCPUS), .metric = SEND_METRICS                       \
	}

const struct bench_case irq_cases[] = {
	HOST("msi_ioctl.xapic", XAPIC, 32, BY_IOCTL, 0, 1),
	HOST("msi_ioctl.x2apic", X2APIC, 32, BY_IOCTL, 0, 1),
	HOST("msi_ioctl.of2", X2APIC, 32, BY_IOCTL, 0, 2),
	HOST("msi_ioctl.of4", X2APIC, 32, BY_IOCTL, 0, 4),
	HOST("msi_ioctl.of8", X2APIC, 32, BY_IOCTL, 0, 8),
	HOST("msi_ioctl.halted", X2APIC, 8, BY_IOCTL, 1, 1),
	HOST("msi_irqfd.xapic", XAPIC, 32, BY_IRQFD, 0, 1),
	HOST("msi_irqfd.x2apic", X2APIC, 32, BY_IRQFD, 0, 1),
	HOST("msi_irqfd.of2", X2APIC, 32, BY_IRQFD, 0, 2),
	HOST("msi_irqfd.of4", X2APIC, 32, BY_IRQFD, 0, 4),
	HOST("msi_irqfd.of8", X2APIC, 32, BY_IRQFD, 0, 8),
	HOST("msi_irqfd.halted", X2APIC, 8, BY_IRQFD, 1, 1),
	HOST("ioapic_edge.xapic", XAPIC, 32, EDGE, 0, 1),
	HOST("ioapic_edge.x2apic", X2APIC, 32, EDGE, 0, 1),
	HOST("ioapic_resample.xapic", XAPIC, 16, RESAMPLE, 0, 1),
	HOST("ioapic_resample.x2apic", X2APIC, 16, RESAMPLE, 0, 1),
	HOST("pic.xapic", XAPIC, 16, PIC, 0, 1),
	{},
};
