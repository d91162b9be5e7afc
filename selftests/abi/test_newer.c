// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the KVM ABI got after Linux 6.1: each test skips where the host's kernel, and so the module,
 * doesn't know it.
 */
#include "kvmtest.h"
#include "newer.h"

#define SLOT 100
#define GPA  0x400000000ULL
#define SIZE 0x10000UL

static void memory_region2(void **state)
{
	struct vm *vm = vm_create();
	struct kvm_userspace_memory_region2 r = { .slot = SLOT,
						  .guest_phys_addr = GPA,
						  .memory_size = SIZE };
	struct kvm_userspace_memory_region other = { .slot = SLOT + 1,
						     .guest_phys_addr = GPA + 0x1000,
						     .memory_size = 0x1000 };
	void *mem;

	(void)state;
	if (!ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY2))
		skip_because("this kernel's ABI has no KVM_SET_USER_MEMORY_REGION2");
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	r.userspace_addr = other.userspace_addr = (uintptr_t)mem;
	must_fail(EFAULT, ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, NULL));
	r.flags = KVM_MEM_GUEST_MEMFD; /* not offered */
	must_fail(EINVAL, ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &r));
	r.flags = 0;
	must(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &r));
	/* The slot is there: another one collides with it, until it is deleted. */
	must_fail(EEXIST, ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &other));
	r.memory_size = 0;
	must(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &r));
	must(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &other));
}

static void apic_bus_clock(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_APIC_BUS_CYCLES_NS, .args = { 25 } };
	struct vm *bare = vm_create(), *vm = vm_create_irqchip();

	(void)state;
	if (!ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_APIC_BUS_CYCLES_NS))
		skip_because("this kernel's ABI has no KVM_CAP_X86_APIC_BUS_CYCLES_NS");
	must_fail(ENXIO, ioctl(bare->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = 0;
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = ~0ULL;
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = 25;
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
}

static const struct CMUnitTest tests[] = {
	TEST(memory_region2),
	TEST(apic_bus_clock),
};

TEST_MAIN("abi_newer", tests)
