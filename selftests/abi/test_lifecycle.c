// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is created is destroyed: after hundreds of VMs with everything a VM can have, the kernel's
 * memory is where it was. How that is measured: lib/leak.h; the first test shows that it can fail.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "kvmtest.h"
#include "leak.h"

static unsigned int cycles(void)
{
	return (unsigned int)env_number("APV_CYCLES", 40);
}

/* --- the measure itself --- */

static void leak_a_page(unsigned int i)
{
	*(volatile uint8_t *)map_anon(PAGE_SIZE) = (uint8_t)i;
}

static void leak_a_pipe(unsigned int i)
{
	int fd[2];

	(void)i;
	if (pipe(fd))
		fail_msg("pipe: %s", strerror(errno));
}

static int leak_pages(void *arg)
{
	(void)arg;
	return leak_of_pages(leak_growth(leak_a_page, cycles()), cycles()) ? 0 : 1;
}

static int leak_pipes(void *arg)
{
	(void)arg;
	return leak_of_objects(leak_growth(leak_a_pipe, cycles()), cycles()) ? 0 : 1;
}

/* One page, or one pipe, per cycle that is not given back must be seen. */
static void the_measure_sees_a_leak(void **state)
{
	(void)state;
	alarm(60);
	assert_int_equal(reap(spawn(leak_pages, NULL)), 0);
	assert_int_equal(reap(spawn(leak_pipes, NULL)), 0);
}

/* --- VMs --- */

static void payload(uint64_t arg)
{
	guest_sync(arg);
	guest_xapic_enable();
	*(volatile uint64_t *)GUEST_FREE = arg;
}

/* A VM with everything: irqchip, PIT, vCPUs that ran, slots with log, irqfds, ioeventfds, zones. */
static void full_vm(unsigned int i)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_pit_config pit = { 0 };
	struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd(0, 0), .gsi = 5 };
	struct kvm_irqfd resample = {
		.fd = (uint32_t)eventfd(0, 0),
		.resamplefd = (uint32_t)eventfd(0, 0),
		.gsi = 6,
		.flags = KVM_IRQFD_FLAG_RESAMPLE,
	};
	struct kvm_ioeventfd io = { .fd = eventfd(0, 0), .addr = 0xd0000000, .len = 4 };
	struct kvm_coalesced_mmio_zone zone = { .addr = 0xd1000000, .size = PAGE_SIZE };
	struct vcpu *v;

	must(ioctl(vm->fd, KVM_CREATE_PIT2, &pit));
	v = vcpu_create(vm, 0);
	vcpu_create(vm, 1);
	must(ioctl(vm->fd, KVM_IRQFD, &irqfd));
	must(ioctl(vm->fd, KVM_IRQFD, &resample));
	must(ioctl(vm->fd, KVM_IOEVENTFD, &io));
	must(ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone));
	vm_set_slot(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, vm->mem_size, vm->mem);
	vcpu_long_mode(v, payload, i + 1);
	expect_sync(v, i + 1);
	expect_done(v);
	/* each way to let go comes up: eventfds first or last, deassigned or not */
	if (i & 1)
		close((int)irqfd.fd);
	vm_free(vm);
	if (!(i & 1))
		close((int)irqfd.fd);
	close((int)resample.fd);
	close((int)resample.resamplefd);
	close(io.fd);
}

static void two_hundred_vms(void **state)
{
	(void)state;
	alarm(120);
	leak_must_not_show(full_vm, cycles()); /* five batches of forty */
}

/* Creations that fail half-way. */
static void refused(unsigned int i)
{
	struct vm *vm = vm_create_bare();
	struct kvm_irqfd irqfd = { .fd = 9999, .gsi = 5 };
	struct kvm_ioeventfd io = { .fd = 9999, .addr = 0xd0000000, .len = 4 };
	struct kvm_userspace_memory_region bad = { .memory_size = PAGE_SIZE + 1 };
	int vcpu;

	must(ioctl(vm->fd, KVM_CREATE_IRQCHIP));
	must_fail(EBADF, ioctl(vm->fd, KVM_IRQFD, &irqfd));
	must_fail(EBADF, ioctl(vm->fd, KVM_IOEVENTFD, &io));
	must_fail(EINVAL, ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &bad));
	must_fail(EINVAL, ioctl(vm->fd, KVM_CREATE_VCPU, -1));
	vcpu = must(ioctl(vm->fd, KVM_CREATE_VCPU, i % 4));
	must_fail(EEXIST, ioctl(vm->fd, KVM_CREATE_VCPU, i % 4));
	close(vcpu);
	vm_free(vm);
}

static void two_hundred_refusals(void **state)
{
	(void)state;
	alarm(60);
	leak_must_not_show(refused, cycles());
}

/* Slots that come and go in one VM, with pages mapped and logs kept. */
static struct vcpu *slot_vcpu;
static uint8_t *slot_memory;

static void slot_payload(uint64_t arg)
{
	for (;;) {
		for (uint64_t i = 0; i < 64; i++)
			*(volatile uint64_t *)(arg + i * PAGE_SIZE) = i;
		guest_sync(1);
	}
}

static void slot_cycle(unsigned int i)
{
	uint64_t gpa = 0x10000000;

	vm_set_slot(slot_vcpu->vm, 1, i & 1 ? KVM_MEM_LOG_DIRTY_PAGES : 0, gpa, MiB, slot_memory);
	expect_sync(slot_vcpu, 1);
	if (i & 2)
		vm_set_slot(slot_vcpu->vm, 1, i & 1 ? KVM_MEM_LOG_DIRTY_PAGES : 0, gpa + 16 * MiB,
			    MiB, slot_memory);
	vm_set_slot(slot_vcpu->vm, 1, 0, 0, 0, NULL);
}

static void slots_come_and_go(void **state)
{
	(void)state;
	alarm(60);
	slot_vcpu = guest_new(slot_payload, 0x10000000);
	slot_memory = map_anon(MiB);
	leak_must_not_show(slot_cycle, cycles());
	munmap(slot_memory, MiB);
}

static const struct CMUnitTest tests[] = {
	TEST(the_measure_sees_a_leak),
	TEST(two_hundred_vms),
	TEST(two_hundred_refusals),
	TEST(slots_come_and_go),
};

TEST_MAIN("abi_lifecycle", tests)
