// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of a VM that concern neither memory nor interrupts: vCPU creation, addresses, the
 * clock, capabilities. One behaviour per test; no guest runs. Source: the KVM API document.
 */
#include <sys/wait.h>
#include "kvmtest.h"

static void vcpu_ids(void **state)
{
	struct vm *vm = vm_create_bare();
	int max_id = dev_capability(KVM_CAP_MAX_VCPU_ID);
	int fd;

	(void)state;
	fd = must(ioctl(vm->fd, KVM_CREATE_VCPU, 3)); /* any order */
	must_fail(EEXIST, ioctl(vm->fd, KVM_CREATE_VCPU, 3));
	must_fail(EINVAL, ioctl(vm->fd, KVM_CREATE_VCPU, max_id));
	must_fail(EINVAL, ioctl(vm->fd, KVM_CREATE_VCPU, 0x7fffffff));
	must_fail(EINVAL, ioctl(vm->fd, KVM_CREATE_VCPU, -1));
	must_fail(EINVAL, ioctl(vm->fd, KVM_CREATE_VCPU, 0x100000000UL + max_id));
	close(fd);
	/* the fd is gone, the vCPU lives as long as the VM */
	must_fail(EEXIST, ioctl(vm->fd, KVM_CREATE_VCPU, 3));
}

static void highest_vcpu_id(void **state)
{
	struct vm *vm = vm_create_bare();

	(void)state;
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, dev_capability(KVM_CAP_MAX_VCPU_ID) - 1)));
}

static void many_vcpus(void **state)
{
	struct vm *vm = vm_create_bare();
	int max = dev_capability(KVM_CAP_MAX_VCPUS);
	int n = max < 16 ? max : 16;

	(void)state;
	for (int i = 0; i < n; i++)
		close(must(ioctl(vm->fd, KVM_CREATE_VCPU, i)));
}

static void more_vcpus_than_there_may_be(void **state)
{
	struct vm *vm = vm_create_bare();
	int max = dev_capability(KVM_CAP_MAX_VCPUS);

	(void)state;
	if (max >= dev_capability(KVM_CAP_MAX_VCPU_ID))
		skip_because("every vCPU id can exist at once");
	if (max > 64)
		skip_because("%d vCPUs are too many to create here", max);
	for (int i = 0; i < max; i++)
		close(must(ioctl(vm->fd, KVM_CREATE_VCPU, i)));
	must_fail(EINVAL, ioctl(vm->fd, KVM_CREATE_VCPU, max));
}

static void tss_addr(void **state)
{
	struct vm *vm = vm_create_bare();

	(void)state;
	must(ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000));
	/* three pages must fit below 4 GiB */
	must_fail(EINVAL, ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffff000));
}

static void identity_map_addr(void **state)
{
	struct vm *vm = vm_create_bare();
	uint64_t addr = 0xfffbc000;

	(void)state;
	must(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &addr));
	must_fail(EFAULT, ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, NULL));
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	must_fail(EINVAL, ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &addr)); /* too late */
}

static void clock_goes_on_from_what_was_set(void **state)
{
	struct vm *vm = vm_create_bare();
	struct kvm_clock_data a = { .clock = 5000000000UL }, b = { 0 }, c = { 0 };

	(void)state;
	must(ioctl(vm->fd, KVM_SET_CLOCK, &a));
	must(ioctl(vm->fd, KVM_GET_CLOCK, &b));
	must(ioctl(vm->fd, KVM_GET_CLOCK, &c));
	assert_true(b.clock >= a.clock);
	assert_true(b.clock - a.clock < 1000000000UL);
	assert_true(c.clock >= b.clock);
	must_fail(EFAULT, ioctl(vm->fd, KVM_SET_CLOCK, NULL));
	must_fail(EFAULT, ioctl(vm->fd, KVM_GET_CLOCK, NULL));
	a.flags = 0x80000000;
	must_fail(EINVAL, ioctl(vm->fd, KVM_SET_CLOCK, &a));
}

static void boot_cpu_id(void **state)
{
	struct vm *vm = vm_create_bare();

	(void)state;
	if (!dev_capability(KVM_CAP_SET_BOOT_CPU_ID))
		skip_because("KVM_CAP_SET_BOOT_CPU_ID is not offered");
	must(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 1));
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	must_fail(EBUSY, ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 0));
}

static void highest_vcpu_id_is_set_once(void **state)
{
	struct vm *vm = vm_create_bare();
	int max = dev_capability(KVM_CAP_MAX_VCPU_ID);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MAX_VCPU_ID, .args = { max + 1 } };

	(void)state;
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	must(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 4));
	cap.args[0] = 3; /* below the boot CPU's ID */
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = 4;
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap)); /* the same again */
	cap.args[0] = 5;
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	must_fail(EINVAL, ioctl(vm->fd, KVM_CREATE_VCPU, 4));
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 3)));
}

static void enable_cap_unknown(void **state)
{
	struct vm *vm = vm_create_bare();
	struct kvm_enable_cap cap = { .cap = 0x7fffffff };

	(void)state;
	if (!dev_capability(KVM_CAP_ENABLE_CAP_VM))
		skip_because("KVM_CAP_ENABLE_CAP_VM is not offered");
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	must_fail(EFAULT, ioctl(vm->fd, KVM_ENABLE_CAP, NULL));
	cap.cap = KVM_CAP_SPLIT_IRQCHIP;
	cap.flags = 1;
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
}

static void disable_exits(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS };
	int works = dev_capability(KVM_CAP_X86_DISABLE_EXITS);
	struct vm *vm = vm_create_bare();

	(void)state;
	if (!works)
		skip_because("KVM_CAP_X86_DISABLE_EXITS is not offered");
	assert_int_equal(works & ~0xf, 0);
	assert_int_equal(ioctl(vm->fd, KVM_CHECK_EXTENSION, cap.cap), works);
	cap.args[0] = 1 << 4;
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = 1ull << 32 | works;
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	for (unsigned int bit = 0; bit < 4; bit++) {
		cap.args[0] = 1 << bit;
		if (works & cap.args[0])
			must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
		else if (on_apicvisor()) /* the peer accepts what it does not offer */
			must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	}
	cap.flags = 1;
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.flags = 0;
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	cap.args[0] = works & -works;
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap)); /* of vCPUs to come */
}

static void halt_poll(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HALT_POLL, .args = { 1ull << 32 } };
	struct vm *vm = vm_create_bare();

	(void)state;
	if (!dev_capability(KVM_CAP_HALT_POLL))
		skip_because("KVM_CAP_HALT_POLL is not offered");
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = UINT32_MAX;
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	cap.args[0] = 0;
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap)); /* at any time */
	cap.flags = 1;
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
}

static void split_irqchip(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct vm *vm;

	(void)state;
	if (!dev_capability(KVM_CAP_SPLIT_IRQCHIP))
		skip_because("KVM_CAP_SPLIT_IRQCHIP is not offered");
	vm = vm_create_bare();
	cap.args[0] = 100000; /* absurd pin count */
	must_fail(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = 24;
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	must_fail(EEXIST, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	must_fail(EEXIST, ioctl(vm->fd, KVM_CREATE_IRQCHIP));
	vm_free(vm);

	vm = vm_create_bare();
	close(must(ioctl(vm->fd, KVM_CREATE_VCPU, 0)));
	must_fail(EEXIST, ioctl(vm->fd, KVM_ENABLE_CAP, &cap)); /* after a vCPU */
}

static void other_floors_ioctls_are_unknown(void **state)
{
	struct vm *vm = vm_create_bare();

	(void)state;
	must_fail(ENOTTY, ioctl(vm->fd, KVM_CREATE_VM, 0));
	must_fail(ENOTTY, ioctl(vm->fd, KVM_GET_API_VERSION, 0));
	must_fail(ENOTTY, ioctl(vm->fd, KVM_RUN, 0));
	must_fail(ENOTTY, ioctl(vm->fd, KVM_GET_VCPU_MMAP_SIZE, 0));
}

static void wrong_sizes_are_unknown(void **state)
{
	static const unsigned long commands[] = {
		_IOW(KVMIO, 0x46, char[31]), /* SET_USER_MEMORY_REGION is 32 bytes */
		_IOW(KVMIO, 0x46, char[33]),
		_IO(KVMIO, 0x46),
		_IOW(KVMIO, 0x42, char[8]),
		_IOW(KVMIO, 0x61, char[4]), /* IRQ_LINE is 8 */
		_IOW(KVMIO, 0x76, char[8]), /* IRQFD is 32 */
		_IOW(KVMIO, 0x79, char[63]),
		_IOW(KVMIO, 0xa5, char[1]),
		_IOR(KVMIO, 0x6a, struct kvm_irq_routing), /* wrong direction */
	};
	struct vm *vm = vm_create_bare();
	char buf[4096] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		errno = 0;
		if (ioctl(vm->fd, commands[i], buf) != -1 || errno != ENOTTY)
			fail_msg("command %#lx: %s", commands[i], strerror(errno));
	}
}

static void vm_fd_is_not_a_file(void **state)
{
	struct vm *vm = vm_create_bare();
	char c = 0;

	(void)state;
	assert_int_equal(read(vm->fd, &c, 1), -1);
	assert_int_equal(write(vm->fd, &c, 1), -1);
	assert_ptr_equal(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, vm->fd, 0), MAP_FAILED);
}

/* --- another process has no business with the VM --- */

static int use_vm(void *arg)
{
	struct vm *vm = arg;
	struct kvm_clock_data clock;

	return ioctl(vm->fd, KVM_GET_CLOCK, &clock) ? errno : 0;
}

static void vm_ioctl_from_another_process(void **state)
{
	struct vm *vm = vm_create_bare();

	(void)state;
	assert_int_equal(reap(spawn(use_vm, vm)), EIO);
	assert_int_equal(use_vm(vm), 0);
}

static int use_vcpu(void *arg)
{
	struct vcpu *vcpu = arg;
	struct kvm_regs regs;

	return ioctl(vcpu->fd, KVM_GET_REGS, &regs) ? errno : 0;
}

static void vcpu_ioctl_from_another_process(void **state)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);

	(void)state;
	assert_int_equal(reap(spawn(use_vcpu, vcpu)), EIO);
	assert_int_equal(use_vcpu(vcpu), 0);
}

static int hold_fd(void *arg)
{
	int *pipe_fd = arg;
	char c;

	close(pipe_fd[1]);
	return read(pipe_fd[0], &c, 1) == 0 ? 0 : 1; /* until the parent is done */
}

/* A child that inherited the descriptors keeps the VM alive beyond its creator's use. */
static void inherited_descriptors_keep_the_vm(void **state)
{
	struct vm *vm = vm_create();
	int fd[2];
	pid_t pid;

	(void)state;
	vcpu_create(vm, 0);
	assert_return_code(pipe(fd), errno);
	pid = spawn(hold_fd, fd);
	vm_free(vm);
	close(fd[1]);
	close(fd[0]);
	assert_int_equal(reap(pid), 0);
}

static void many_vms(void **state)
{
	struct vm *vm[MAX_VMS];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vm); i++)
		vm[i] = vm_create_bare();
	for (size_t i = 0; i < ARRAY_SIZE(vm); i++)
		close(must(ioctl(vm[i]->fd, KVM_CREATE_VCPU, 0)));
}

/* There are no shadow pages to limit, but clients may set the limit. */
static void nr_mmu_pages(void **state)
{
	struct vm *vm = vm_create_bare();

	(void)state;
	if (on_apicvisor()) { /* the peer computes a number, and takes any */
		assert_int_equal(ioctl(vm->fd, KVM_GET_NR_MMU_PAGES, 0), 0);
		must_fail(EINVAL, ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, 1ul << 40));
	}
	must_fail(EINVAL, ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, 63));
	must(ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, 64));
	assert_int_equal(ioctl(vm->fd, KVM_GET_NR_MMU_PAGES, 0), 64);
}

static const struct CMUnitTest tests[] = {
	TEST(vcpu_ids),
	TEST(highest_vcpu_id),
	TEST(many_vcpus),
	TEST(more_vcpus_than_there_may_be),
	TEST(tss_addr),
	TEST(identity_map_addr),
	TEST(clock_goes_on_from_what_was_set),
	TEST(boot_cpu_id),
	TEST(highest_vcpu_id_is_set_once),
	TEST(enable_cap_unknown),
	TEST(disable_exits),
	TEST(halt_poll),
	TEST(split_irqchip),
	TEST(other_floors_ioctls_are_unknown),
	TEST(wrong_sizes_are_unknown),
	TEST(vm_fd_is_not_a_file),
	TEST(vm_ioctl_from_another_process),
	TEST(vcpu_ioctl_from_another_process),
	TEST(inherited_descriptors_keep_the_vm),
	TEST(many_vms),
	TEST(nr_mmu_pages),
};

TEST_MAIN("abi_vm", tests)
