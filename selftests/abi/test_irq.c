// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interrupt ioctls of a VM as calls: irqchip, PIT, routing, lines, MSI, irqfd, ioeventfd,
 * coalesced zones. Most bugs of this field were here: a call before its device exists, an index
 * or a count believed. That the interrupts arrive is tested in guest/test_irqchip.c.
 */
#include <sys/eventfd.h>
#include "kvmtest.h"
#include "stats.h"

static int event_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* --- irqchip and PIT --- */

static void irqchip_once_and_before_vcpus(void **state)
{
	struct vm *vm = vm_create_bare();

	(void)state;
	must(ioctl(vm->fd, KVM_CREATE_IRQCHIP));
	must_fail(EEXIST, ioctl(vm->fd, KVM_CREATE_IRQCHIP));
	vm_free(vm);
	vm = vm_create_bare();
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	must_fail(EINVAL, ioctl(vm->fd, KVM_CREATE_IRQCHIP));
}

static void every_irq_ioctl_without_irqchip(void **state)
{
	struct vm *vm = vm_create_bare();
	struct kvm_irqchip chip = { 0 };
	struct kvm_irq_level line = { .irq = 4, .level = 1 };
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x30 };
	struct kvm_pit_config pit = { 0 };
	struct kvm_pit_state2 pit_state = { 0 };
	struct kvm_irq_routing routing = { 0 };
	struct kvm_reinject_control reinject = { 0 };
	struct kvm_irqfd irqfd = { .fd = (uint32_t)event_fd(), .gsi = 4 };

	(void)state;
	must_fail(ENXIO, ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
	must_fail(ENXIO, ioctl(vm->fd, KVM_SET_IRQCHIP, &chip));
	must_fail(ENXIO, ioctl(vm->fd, KVM_IRQ_LINE, &line));
	must_fail(ENXIO, ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line));
	must_fail(EINVAL, ioctl(vm->fd, KVM_SIGNAL_MSI, &msi));
	must_fail(ENXIO, ioctl(vm->fd, KVM_GET_PIT2, &pit_state));
	must_fail(ENXIO, ioctl(vm->fd, KVM_SET_PIT2, &pit_state));
	must_fail(ENXIO, ioctl(vm->fd, KVM_REINJECT_CONTROL, &reinject));
	must_fail(EINVAL, ioctl(vm->fd, KVM_SET_GSI_ROUTING, &routing));
	must_fail(EINVAL, ioctl(vm->fd, KVM_IRQFD, &irqfd));
	close((int)irqfd.fd);
	if (on_apicvisor()) /* the peer creates a PIT that interrupts nobody */
		must_fail(ENXIO, ioctl(vm->fd, KVM_CREATE_PIT2, &pit));
}

static void irqchip_state_round_trip(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_irqchip chip, back;

	(void)state;
	for (uint32_t id = 0; id < 3; id++) {
		memset(&chip, 0, sizeof(chip));
		chip.chip_id = id;
		must(ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
		if (id == KVM_IRQCHIP_IOAPIC) {
			chip.chip.ioapic.redirtbl[5].bits = 0x10000 | 0x55;
		} else {
			chip.chip.pic.imr = 0xa5;
			chip.chip.pic.irq_base = id ? 0x28 : 0x20;
		}
		must(ioctl(vm->fd, KVM_SET_IRQCHIP, &chip));
		memset(&back, 0, sizeof(back));
		back.chip_id = id;
		must(ioctl(vm->fd, KVM_GET_IRQCHIP, &back));
		assert_memory_equal(&chip, &back, sizeof(chip));
	}
	chip.chip_id = 3;
	must_fail(EINVAL, ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
	must_fail(EINVAL, ioctl(vm->fd, KVM_SET_IRQCHIP, &chip));
	chip.chip_id = 0xffffffff;
	must_fail(EINVAL, ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
	must_fail(EFAULT, ioctl(vm->fd, KVM_GET_IRQCHIP, NULL));
	must_fail(EFAULT, ioctl(vm->fd, KVM_SET_IRQCHIP, NULL));
}

/* Every field of the images full of ones: cut or refused, never believed (L5, I1). */
static void irqchip_state_hostile(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_irqchip chip;

	(void)state;
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	for (uint32_t id = 0; id < 3; id++) {
		memset(&chip, 0xff, sizeof(chip));
		chip.chip_id = id;
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &chip))
			assert_int_equal(errno, EINVAL);
		must(ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
		for (uint32_t gsi = 0; gsi < 24; gsi++) {
			vm_irq_line(vm, gsi, 1);
			vm_irq_line(vm, gsi, 0);
		}
	}
}

static void pit_calls(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_pit_config config = { 0 };
	struct kvm_pit_state2 s = { 0 };

	(void)state;
	must_fail(ENXIO, ioctl(vm->fd, KVM_GET_PIT2, &s));
	must_fail(EFAULT, ioctl(vm->fd, KVM_CREATE_PIT2, NULL));
	must(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
	must_fail(EEXIST, ioctl(vm->fd, KVM_CREATE_PIT2, &config));
	must(ioctl(vm->fd, KVM_GET_PIT2, &s));
	s.channels[2].count = 0x1234;
	must(ioctl(vm->fd, KVM_SET_PIT2, &s));
	memset(&s, 0, sizeof(s));
	must(ioctl(vm->fd, KVM_GET_PIT2, &s));
	assert_int_equal(s.channels[2].count, 0x1234);
	must_fail(EFAULT, ioctl(vm->fd, KVM_GET_PIT2, NULL));
	must_fail(EFAULT, ioctl(vm->fd, KVM_SET_PIT2, NULL));
}

/* A restored count of zero means 65536; an absurd one must not become a timer storm (T3). */
static void pit_state_hostile(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_pit_config config = { 0 };
	struct kvm_pit_state2 s;

	(void)state;
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	must(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
	for (int mode = 0; mode < 8; mode++) {
		memset(&s, 0, sizeof(s));
		for (int i = 0; i < 3; i++) {
			s.channels[i].mode = (uint8_t)mode;
			s.channels[i].gate = 1;
		}
		must(ioctl(vm->fd, KVM_SET_PIT2, &s));
		must(ioctl(vm->fd, KVM_GET_PIT2, &s));
		s.channels[0].count = 1;
		must(ioctl(vm->fd, KVM_SET_PIT2, &s));
	}
	memset(&s, 0xff, sizeof(s));
	if (ioctl(vm->fd, KVM_SET_PIT2, &s))
		assert_int_equal(errno, EINVAL);
	must(ioctl(vm->fd, KVM_GET_PIT2, &s));
}

/* --- lines and MSI --- */

static void irq_line_arguments(void **state)
{
	static const uint32_t gsi[] = { 24, 255, 4095, 4096, 0x7fffffff, 0x80000000, 0xffffffff };
	struct vm *vm = vm_create_irqchip();
	struct kvm_irq_level line;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(gsi); i++) {
		line = (struct kvm_irq_level){ .irq = gsi[i], .level = 1 };
		/* a GSI without a route goes nowhere: no error, or EINVAL, but no crash (I9) */
		if (ioctl(vm->fd, KVM_IRQ_LINE, &line))
			assert_int_equal(errno, EINVAL);
	}
	must_fail(EFAULT, ioctl(vm->fd, KVM_IRQ_LINE, NULL));
	must_fail(EFAULT, ioctl(vm->fd, KVM_IRQ_LINE_STATUS, NULL));
}

static void msi_arguments(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x30 };

	(void)state;
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	msi.flags = 0x80000000;
	must_fail(EINVAL, ioctl(vm->fd, KVM_SIGNAL_MSI, &msi));
	must_fail(EFAULT, ioctl(vm->fd, KVM_SIGNAL_MSI, NULL));
	msi.flags = 0;
	/* every destination, mode and vector: delivered or not, the value is a count or an errno */
	for (uint32_t i = 0; i < 4096; i += 7) {
		msi.address_lo = 0xfee00000 | (i & 0xff) << 12 | (i & 3) << 2;
		msi.data = i * 0x9e3779b1u;
		if (((msi.data >> 8) & 7) == 2 || ((msi.data >> 8) & 7) == 5)
			continue; /* SMI; INIT is tested with a guest */
		if (ioctl(vm->fd, KVM_SIGNAL_MSI, &msi) < 0)
			assert_true(errno == EINVAL || errno == EPERM);
	}
}

/* Arguments that end where memory does, and by each of their bytes behind that. */
static void arguments_at_the_edge(void **state)
{
	struct vm *vm = vm_create_irqchip();
	uint8_t *edge = map_with_hole(2, 1) + PAGE_SIZE;
	const struct kvm_irq_level line = { .irq = 5 };
	const struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x30 };

	(void)state;
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	memcpy(edge - sizeof(msi), &msi, sizeof(msi));
	must(ioctl(vm->fd, KVM_SIGNAL_MSI, edge - sizeof(msi)));
	for (size_t inside = 0; inside < sizeof(msi); inside++)
		must_fail(EFAULT, ioctl(vm->fd, KVM_SIGNAL_MSI, edge - inside));
	memcpy(edge - sizeof(line), &line, sizeof(line));
	must(ioctl(vm->fd, KVM_IRQ_LINE, edge - sizeof(line)));
	for (size_t inside = 0; inside < sizeof(line); inside++)
		must_fail(EFAULT, ioctl(vm->fd, KVM_IRQ_LINE, edge - inside));
	/* the kernel's half */
	must_fail(EFAULT, ioctl(vm->fd, KVM_SIGNAL_MSI, (void *)~0xfffUL));
	must_fail(EFAULT, ioctl(vm->fd, KVM_IRQ_LINE, (void *)~0xfffUL));
}

/* --- routing --- */

struct routing {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry entry[8];
};

static int set_routing(struct vm *vm, uint32_t nr, const struct kvm_irq_routing_entry *entry)
{
	struct routing r = { .head.nr = nr };

	if (nr && nr <= 8)
		memcpy(r.entry, entry, nr * sizeof(*entry));
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r) ? -errno : 0;
}

static void routing_arguments(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_irq_routing_entry good = {
		.gsi = 5,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = 0x31 },
	};
	struct kvm_irq_routing_entry e[2];
	struct routing r = { .head.nr = 1 };

	(void)state;
	assert_int_equal(set_routing(vm, 1, &good), 0);
	e[0] = good;
	e[0].type = 99;
	assert_int_equal(set_routing(vm, 1, e), -EINVAL);
	e[0] = good;
	e[0].gsi = 0xffffffff;
	assert_int_equal(set_routing(vm, 1, e), -EINVAL);
	e[0].gsi = 4096;
	assert_int_equal(set_routing(vm, 1, e), -EINVAL);
	e[0] = (struct kvm_irq_routing_entry){ .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP };
	e[0].u.irqchip.irqchip = 3;
	assert_int_equal(set_routing(vm, 1, e), -EINVAL);
	e[0].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	e[0].u.irqchip.pin = 24;
	assert_int_equal(set_routing(vm, 1, e), -EINVAL);
	e[0].u.irqchip.irqchip = KVM_IRQCHIP_PIC_MASTER;
	e[0].u.irqchip.pin = 8;
	assert_int_equal(set_routing(vm, 1, e), -EINVAL);
	e[0] = good;
	e[0].flags = 0x80;
	assert_int_equal(set_routing(vm, 1, e), -EINVAL);
	e[0] = good; /* one GSI to an MSI twice */
	e[1] = good;
	assert_int_equal(set_routing(vm, 2, e), -EINVAL);
	assert_int_equal(set_routing(vm, 0xffffffff, NULL), -EINVAL);
	assert_int_equal(set_routing(vm, 4097, NULL), -EINVAL);
	r.head.flags = 1;
	r.entry[0] = good;
	must_fail(EINVAL, ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r));
	must_fail(EFAULT, ioctl(vm->fd, KVM_SET_GSI_ROUTING, NULL));
	assert_int_equal(set_routing(vm, 0, NULL), 0); /* none at all is fine */
	vm_irq_line(vm, 5, 1);
}

static void routing_half_mapped(void **state)
{
	struct vm *vm = vm_create_irqchip();
	uint8_t *p = map_with_hole(2, 1);
	struct kvm_irq_routing *edge = (void *)(p + PAGE_SIZE - sizeof(*edge) - 48);

	(void)state;
	edge->nr = 4;
	must_fail(EFAULT, ioctl(vm->fd, KVM_SET_GSI_ROUTING, edge));
	edge->nr = 4096;
	must_fail(EFAULT, ioctl(vm->fd, KVM_SET_GSI_ROUTING, edge));
	munmap(p, PAGE_SIZE);
}

static void routing_of_4096_entries(void **state)
{
	uint32_t n = (uint32_t)dev_capability(KVM_CAP_IRQ_ROUTING);
	struct vm *vm = vm_create_irqchip();
	struct kvm_irq_routing *r = calloc(1, sizeof(*r) + 4096 * sizeof(r->entries[0]));

	(void)state;
	if (n > 4096)
		n = 4096;
	r->nr = n;
	for (uint32_t i = 0; i < n; i++) {
		r->entries[i].gsi = i;
		r->entries[i].type = KVM_IRQ_ROUTING_MSI;
		r->entries[i].u.msi.address_lo = 0xfee00000;
		r->entries[i].u.msi.data = 0x20 + i % 200;
	}
	must(ioctl(vm->fd, KVM_SET_GSI_ROUTING, r));
	vm_irq_line(vm, n - 1, 1);
	free(r);
}

/* --- irqfd --- */

static void irqfd_arguments(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_irqfd irqfd = { .fd = (uint32_t)event_fd(), .gsi = 5 };
	struct kvm_irqfd bad;
	int pipes[2];

	(void)state;
	assert_return_code(pipe(pipes), errno);
	must(ioctl(vm->fd, KVM_IRQFD, &irqfd));
	must_fail(EBUSY, ioctl(vm->fd, KVM_IRQFD, &irqfd)); /* one eventfd, one GSI */
	bad = irqfd;
	bad.flags = 0x100;
	must_fail(EINVAL, ioctl(vm->fd, KVM_IRQFD, &bad));
	bad = irqfd;
	bad.fd = 9999;
	must_fail(EBADF, ioctl(vm->fd, KVM_IRQFD, &bad));
	bad.fd = (uint32_t)pipes[0]; /* a descriptor, but no eventfd */
	must_fail(EINVAL, ioctl(vm->fd, KVM_IRQFD, &bad));
	bad.fd = (uint32_t)vm->fd;
	must_fail(EINVAL, ioctl(vm->fd, KVM_IRQFD, &bad));
	bad = irqfd;
	bad.flags = KVM_IRQFD_FLAG_RESAMPLE;
	bad.resamplefd = 9999;
	bad.fd = (uint32_t)event_fd();
	must_fail(EBADF, ioctl(vm->fd, KVM_IRQFD, &bad));
	must_fail(EFAULT, ioctl(vm->fd, KVM_IRQFD, NULL));
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	must(ioctl(vm->fd, KVM_IRQFD, &irqfd));
	must(ioctl(vm->fd, KVM_IRQFD, &irqfd)); /* what is gone can be removed again */
	irqfd.flags = 0;
	must(ioctl(vm->fd, KVM_IRQFD, &irqfd));
	close(pipes[0]);
	close(pipes[1]);
	close((int)bad.fd);
	close((int)irqfd.fd);
}

static void irqfd_absurd_gsi(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_irqfd irqfd = { .fd = (uint32_t)event_fd(), .gsi = 0xffffffff };
	uint64_t one = 1;

	(void)state;
	if (ioctl(vm->fd, KVM_IRQFD, &irqfd))
		assert_int_equal(errno, EINVAL);
	assert_int_equal(write((int)irqfd.fd, &one, 8), 8); /* goes nowhere, quietly */
	close((int)irqfd.fd);
}

/* What debugfs says of them: GSI, kind, and each signal, also that of before it was an irqfd. */
static void irqfds_are_listed(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_irqfd edge = { .fd = (uint32_t)event_fd(), .gsi = 5 };
	struct kvm_irqfd level = {
		.fd = (uint32_t)event_fd(),
		.gsi = 6,
		.flags = KVM_IRQFD_FLAG_RESAMPLE,
		.resamplefd = (uint32_t)event_fd(),
	};
	uint64_t one = 1;
	char text[256];

	(void)state;
	need_apicvisor();
	assert_int_equal(read_vm_debugfs("irqfds", text, sizeof(text)), 0);
	assert_int_equal(write((int)edge.fd, &one, 8), 8);
	must(ioctl(vm->fd, KVM_IRQFD, &edge));
	must(ioctl(vm->fd, KVM_IRQFD, &level));
	for (int i = 0; i < 2; i++)
		assert_int_equal(write((int)edge.fd, &one, 8), 8);
	read_vm_debugfs("irqfds", text, sizeof(text));
	assert_string_equal(text, "gsi 5 edge signals 3\ngsi 6 level signals 0\n");
	close((int)edge.fd); /* the last close ends it */
	read_vm_debugfs("irqfds", text, sizeof(text));
	assert_string_equal(text, "gsi 6 level signals 0\n");
	close((int)level.fd);
	close((int)level.resamplefd);
}

/* The eventfd closed under its irqfd, the routing replaced, the VM gone first: any order (I10). */
static void irqfd_orders_of_disposal(void **state)
{
	uint64_t one = 1;

	(void)state;
	for (int order = 0; order < 4; order++) {
		struct vm *vm = vm_create_irqchip();
		struct kvm_irqfd irqfd = { .fd = (uint32_t)event_fd(), .gsi = 5 };

		close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
		must(ioctl(vm->fd, KVM_IRQFD, &irqfd));
		assert_int_equal(write((int)irqfd.fd, &one, 8), 8);
		if (order & 1)
			assert_int_equal(set_routing(vm, 0, NULL), 0);
		if (order & 2) {
			close((int)irqfd.fd);
			vm_free(vm);
		} else {
			vm_free(vm);
			assert_int_equal(write((int)irqfd.fd, &one, 8), 8);
			close((int)irqfd.fd);
		}
	}
}

/* --- ioeventfd --- */

static void ioeventfd_arguments(void **state)
{
	struct vm *vm = vm_create_bare();
	struct kvm_ioeventfd io = { .fd = event_fd(), .addr = 0xd0000000, .len = 4 }, bad;

	(void)state;
	must(ioctl(vm->fd, KVM_IOEVENTFD, &io));
	must_fail(EEXIST, ioctl(vm->fd, KVM_IOEVENTFD, &io));
	bad = io;
	bad.len = 3;
	must_fail(EINVAL, ioctl(vm->fd, KVM_IOEVENTFD, &bad));
	bad.len = 16;
	must_fail(EINVAL, ioctl(vm->fd, KVM_IOEVENTFD, &bad));
	bad = io;
	bad.flags = 1u << 31;
	must_fail(EINVAL, ioctl(vm->fd, KVM_IOEVENTFD, &bad));
	bad = io;
	bad.addr = 0xfffffffffffffffeUL; /* wraps */
	must_fail(EINVAL, ioctl(vm->fd, KVM_IOEVENTFD, &bad));
	bad = io;
	bad.len = 0; /* the wildcard has no data to match */
	bad.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
	must_fail(EINVAL, ioctl(vm->fd, KVM_IOEVENTFD, &bad));
	bad = io;
	bad.fd = 9999;
	must_fail(EBADF, ioctl(vm->fd, KVM_IOEVENTFD, &bad));
	bad.fd = vm->fd;
	must_fail(EINVAL, ioctl(vm->fd, KVM_IOEVENTFD, &bad));
	must_fail(EFAULT, ioctl(vm->fd, KVM_IOEVENTFD, NULL));
	bad = io;
	bad.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	bad.addr += 4;
	must_fail(ENOENT, ioctl(vm->fd, KVM_IOEVENTFD, &bad));
	io.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	must(ioctl(vm->fd, KVM_IOEVENTFD, &io));
	must_fail(ENOENT, ioctl(vm->fd, KVM_IOEVENTFD, &io));
	close(io.fd);
}

static void ioeventfds_are_many_but_bounded(void **state)
{
	struct vm *vm = vm_create_bare();
	struct kvm_ioeventfd io = { .fd = event_fd(), .len = 4 };
	unsigned int n;

	(void)state;
	for (n = 0; n < 2000; n++) {
		io.addr = 0xd0000000 + 8 * n;
		if (ioctl(vm->fd, KVM_IOEVENTFD, &io))
			break;
	}
	assert_true(n >= 900); /* QEMU registers one per virtqueue */
	if (n < 2000)
		assert_int_equal(errno, ENOSPC);
	for (unsigned int i = 0; i < n; i += 2) {
		io.addr = 0xd0000000 + 8 * i;
		io.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
		must(ioctl(vm->fd, KVM_IOEVENTFD, &io));
	}
	close(io.fd);
}

static void coalesced_zone_arguments(void **state)
{
	struct vm *vm = vm_create_bare();
	struct kvm_coalesced_mmio_zone zone = { .addr = 0xd0000000, .size = 0x1000 };

	(void)state;
	must(ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone));
	must(ioctl(vm->fd, KVM_UNREGISTER_COALESCED_MMIO, &zone));
	zone.pio = 2;
	must_fail(EINVAL, ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone));
	must_fail(EINVAL, ioctl(vm->fd, KVM_UNREGISTER_COALESCED_MMIO, &zone));
	must_fail(EFAULT, ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, NULL));
	must_fail(EFAULT, ioctl(vm->fd, KVM_UNREGISTER_COALESCED_MMIO, NULL));
}

static const struct CMUnitTest tests[] = {
	TEST(irqchip_once_and_before_vcpus),
	TEST(every_irq_ioctl_without_irqchip),
	TEST(irqchip_state_round_trip),
	TEST(irqchip_state_hostile),
	TEST(pit_calls),
	TEST(pit_state_hostile),
	TEST(irq_line_arguments),
	TEST(msi_arguments),
	TEST(arguments_at_the_edge),
	TEST(routing_arguments),
	TEST(routing_half_mapped),
	TEST(routing_of_4096_entries),
	TEST(irqfd_arguments),
	TEST(irqfd_absurd_gsi),
	STATS_TEST(irqfds_are_listed),
	TEST(irqfd_orders_of_disposal),
	TEST(ioeventfd_arguments),
	TEST(ioeventfds_are_many_but_bounded),
	TEST(coalesced_zone_arguments),
};

TEST_MAIN("abi_irq", tests)
