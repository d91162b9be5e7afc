// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every interrupt ioctl in every state of the irqchip's creation: none, none with a vCPU, split,
 * kernel, kernel with PIT, and while another thread is creating it (invariant L5: nothing is used
 * before it exists). test_irq.c has the arguments; here a plausible argument meets a missing device.
 */
#include <sys/eventfd.h>
#include "kvmtest.h"

enum mode { NONE, SPLIT, KERNEL, KERNEL_PIT, NR_MODES };

static const char *const mode_names[NR_MODES] = { "none", "split", "kernel", "kernel and PIT" };

/* Argument memory, with something plausible in it. */
union argument {
	struct kvm_irqchip chip;
	struct kvm_irq_level line;
	struct kvm_msi msi;
	struct kvm_pit_config pit_config;
	struct kvm_pit_state pit;
	struct kvm_pit_state2 pit2;
	struct kvm_reinject_control reinject;
	struct kvm_irqfd irqfd;
	struct kvm_lapic_state lapic;
	struct kvm_vapic_addr vapic;
	struct kvm_interrupt interrupt;
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routing;
};

static void fill_chip(union argument *a)
{
	a->chip.chip_id = KVM_IRQCHIP_IOAPIC;
}

static void fill_line(union argument *a)
{
	a->line = (struct kvm_irq_level){ .irq = 4, .level = 1 };
}

static void fill_msi(union argument *a)
{
	a->msi = (struct kvm_msi){ .address_lo = 0xfee00000, .data = 0x51 };
}

static void fill_routing(union argument *a)
{
	a->routing.head.nr = 1;
	a->routing.entry = (struct kvm_irq_routing_entry){
		.gsi = 7,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = 0x51 },
	};
}

static void fill_interrupt(union argument *a)
{
	a->interrupt.irq = 0x51;
}

static void fill_irqfd(union argument *a)
{
	a->irqfd = (struct kvm_irqfd){ .fd = (uint32_t)eventfd(0, EFD_CLOEXEC), .gsi = 4 };
}

static void fill_resample(union argument *a)
{
	fill_irqfd(a);
	a->irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
	a->irqfd.resamplefd = (uint32_t)eventfd(0, EFD_CLOEXEC);
}

#define OK  0
#define ANY (-1) /* not this test's business */

struct call {
	const char *name;
	unsigned long cmd;
	bool vcpu;
	void (*fill)(union argument *a);
	int wanted[NR_MODES]; /* errno, OK or ANY */
};

/* Columns: none, split, kernel, kernel and PIT. */
static const struct call calls[] = {
	{ "GET_IRQCHIP", KVM_GET_IRQCHIP, false, fill_chip, { ENXIO, ENXIO, OK, OK } },
	{ "SET_IRQCHIP", KVM_SET_IRQCHIP, false, fill_chip, { ENXIO, ENXIO, OK, OK } },
	{ "IRQ_LINE", KVM_IRQ_LINE, false, fill_line, { ENXIO, ANY, OK, OK } },
	{ "IRQ_LINE_STATUS", KVM_IRQ_LINE_STATUS, false, fill_line, { ENXIO, ANY, OK, OK } },
	{ "SIGNAL_MSI", KVM_SIGNAL_MSI, false, fill_msi, { EINVAL, OK, OK, OK } },
	{ "GET_PIT", KVM_GET_PIT, false, NULL, { ENXIO, ENXIO, ENXIO, OK } },
	{ "SET_PIT", KVM_SET_PIT, false, NULL, { ENXIO, ENXIO, ENXIO, OK } },
	{ "GET_PIT2", KVM_GET_PIT2, false, NULL, { ENXIO, ENXIO, ENXIO, OK } },
	{ "SET_PIT2", KVM_SET_PIT2, false, NULL, { ENXIO, ENXIO, ENXIO, OK } },
	{ "REINJECT_CONTROL", KVM_REINJECT_CONTROL, false, NULL, { ENXIO, ENXIO, ENXIO, OK } },
	{ "SET_GSI_ROUTING", KVM_SET_GSI_ROUTING, false, fill_routing, { EINVAL, OK, OK, OK } },
	{ "IRQFD", KVM_IRQFD, false, fill_irqfd, { EINVAL, OK, OK, OK } },
	{ "IRQFD resample", KVM_IRQFD, false, fill_resample, { EINVAL, EINVAL, OK, OK } },
	{ "GET_LAPIC", KVM_GET_LAPIC, true, NULL, { EINVAL, OK, OK, OK } },
	{ "SET_LAPIC", KVM_SET_LAPIC, true, NULL, { EINVAL, OK, OK, OK } },
	{ "SET_VAPIC_ADDR", KVM_SET_VAPIC_ADDR, true, NULL, { EINVAL, OK, OK, OK } },
	{ "INTERRUPT", KVM_INTERRUPT, true, fill_interrupt, { OK, OK, ENXIO, ENXIO } },
	{ "NMI", KVM_NMI, true, NULL, { OK, OK, OK, OK } },
};

static int make_call(const struct call *c, struct vm *vm, int vcpu_fd)
{
	union argument a;
	int r;

	memset(&a, 0, sizeof(a));
	if (c->fill)
		c->fill(&a);
	errno = 0;
	r = ioctl(c->vcpu ? vcpu_fd : vm->fd, c->cmd, &a) < 0 ? errno : OK;
	if (c->cmd == KVM_IRQFD) {
		close((int)a.irqfd.fd);
		if (a.irqfd.flags & KVM_IRQFD_FLAG_RESAMPLE)
			close((int)a.irqfd.resamplefd);
	}
	return r;
}

static bool vm_set_mode(struct vm *vm, enum mode mode)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct kvm_pit_config config = { 0 };

	switch (mode) {
	case SPLIT:
		if (!dev_capability(KVM_CAP_SPLIT_IRQCHIP))
			return false;
		must(ioctl(vm->fd, KVM_ENABLE_CAP, &split));
		break;
	case KERNEL_PIT:
	case KERNEL:
		must(ioctl(vm->fd, KVM_CREATE_IRQCHIP));
		if (mode == KERNEL_PIT)
			must(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
		break;
	default:
		break;
	}
	return true;
}

static void L5_every_ioctl_in_every_mode(void **state)
{
	(void)state;
	for (enum mode mode = NONE; mode < NR_MODES; mode++) {
		struct vm *vm = vm_create_bare();
		int vcpu_fd;

		if (!vm_set_mode(vm, mode)) {
			vm_free(vm);
			continue;
		}
		for (int pass = 0; pass < 2; pass++) { /* without a vCPU, and with one */
			vcpu_fd = pass ? must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)) : -1;
			for (uint32_t i = 0; i < ARRAY_SIZE(calls); i++) {
				const struct call *c = &calls[i];
				int wanted = c->wanted[mode], r;

				if (c->vcpu && !pass)
					continue;
				r = make_call(c, vm, vcpu_fd);
				if (wanted != ANY && r != wanted && on_apicvisor())
					fail_msg("mode %s: KVM_%s: %s, wanted %s", mode_names[mode],
						 c->name, strerror(r), strerror(wanted));
			}
		}
		close(vcpu_fd);
		vm_free(vm);
	}
}

/* --- while it is being created --- */

struct caller {
	struct vm *vm;
	volatile bool stop;
};

static void *call_everything(void *arg)
{
	struct caller *c = arg;

	for (uint32_t i = 0; !c->stop; i++)
		if (!calls[i % ARRAY_SIZE(calls)].vcpu)
			make_call(&calls[i % ARRAY_SIZE(calls)], c->vm, -1);
	return NULL;
}

/* Afterwards the VM is whole: each call does what it does in this mode. */
static void L5_calls_race_with_creation(void **state)
{
	unsigned long vms = env_number("APV_LONG", 0) ? 200 : 15;

	(void)state;
	for (unsigned long n = 0; n < vms; n++) {
		struct vm *vm = vm_create_bare();
		struct caller c = { .vm = vm };
		struct kvm_pit_config config = { 0 };
		pthread_t thread[2];
		int vcpu_fd;

		for (int i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, call_everything, &c), 0);
		must(ioctl(vm->fd, KVM_CREATE_IRQCHIP));
		vcpu_fd = must(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
		must(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
		c.stop = true;
		for (int i = 0; i < 2; i++)
			pthread_join(thread[i], NULL);
		for (uint32_t i = 0; i < ARRAY_SIZE(calls); i++)
			if (calls[i].cmd != KVM_NMI)
				assert_int_equal(make_call(&calls[i], vm, vcpu_fd),
						 calls[i].wanted[KERNEL_PIT]);
		close(vcpu_fd);
		vm_free(vm);
	}
}

static const struct CMUnitTest tests[] = {
	TEST(L5_every_ioctl_in_every_mode),
	TEST(L5_calls_race_with_creation),
};

TEST_MAIN("abi_irqmodes", tests)
