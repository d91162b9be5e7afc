// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs of a test: creation, guest RAM with the test's own image, and disposal. A table holds all
 * that are alive, so that the time limit can stop them and the teardown frees what a failed test
 * left. Only the test's main thread creates and frees.
 */
#include <fcntl.h>
#include <link.h>
#include "lib.h"

static struct vm *live[MAX_VMS];

const char *dev_path(void)
{
	const char *path = getenv("APV_DEV");

	return path && *path ? path : "/dev/apicvisor";
}

int dev_open(void)
{
	int fd = open(dev_path(), O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail_msg("%s: %s", dev_path(), strerror(errno));
	return fd;
}

int dev_capability(int capability)
{
	int fd = dev_open();
	int value = ioctl(fd, KVM_CHECK_EXTENSION, capability);

	close(fd);
	return value;
}

struct vm *vm_create_bare(void)
{
	int dev = dev_open();
	int fd = must(ioctl(dev, KVM_CREATE_VM, 0));
	struct vm *vm = calloc(1, sizeof(*vm));

	close(dev);
	assert_non_null(vm);
	vm->fd = fd;
	for (int i = 0; i < MAX_VMS; i++) {
		if (!live[i]) {
			live[i] = vm;
			return vm;
		}
	}
	fail_msg("more than %d VMs alive", MAX_VMS);
	return NULL;
}

static int copy_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct vm *vm = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD)
			continue;
		if (start < GUEST_STACKS + MAX_VCPUS * GUEST_STACK_SIZE ||
		    start + p->p_memsz > GUEST_FREE)
			return -1;
		memcpy(vm->mem + start, (void *)start, p->p_memsz);
	}
	return 1; /* the first object is the program; libraries stay on the host */
}

void vm_load_image(struct vm *vm)
{
	if (dl_iterate_phdr(copy_segments, vm) != 1)
		fail_msg("the test's image does not fit below %#x: link it with -no-pie",
			 GUEST_FREE);
}

enum irqchip { NO_IRQCHIP, KERNEL_IRQCHIP, SPLIT_IRQCHIP };

static struct vm *vm_new(enum irqchip irqchip)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { SPLIT_PINS } };
	struct vm *vm = vm_create_bare();

	/* What real-mode guests need on CPUs without unrestricted guest; harmless elsewhere. */
	must(ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000));
	if (irqchip == KERNEL_IRQCHIP)
		must(ioctl(vm->fd, KVM_CREATE_IRQCHIP));
	if (irqchip == SPLIT_IRQCHIP)
		must(ioctl(vm->fd, KVM_ENABLE_CAP, &split));
	vm->irqchip = irqchip != NO_IRQCHIP;
	vm->mem_size = VM_MEM;
	vm->mem = map_anon(vm->mem_size);
	vm_load_image(vm);
	vm_set_slot(vm, 0, 0, 0, vm->mem_size, vm->mem);
	return vm;
}

struct vm *vm_create(void)
{
	return vm_new(NO_IRQCHIP);
}

struct vm *vm_create_irqchip(void)
{
	return vm_new(KERNEL_IRQCHIP);
}

struct vm *vm_create_split(void)
{
	return vm_new(SPLIT_IRQCHIP);
}

int vm_try_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		void *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

void vm_set_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		 void *host)
{
	int ret = vm_try_slot(vm, slot, flags, gpa, size, host);

	if (ret)
		fail_msg("slot %u at %#lx, %#lx bytes: %s", slot, (unsigned long)gpa,
			 (unsigned long)size, strerror(-ret));
}

void vm_irq_line(struct vm *vm, uint32_t gsi, int level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = (uint32_t)level };

	must(ioctl(vm->fd, KVM_IRQ_LINE, &line));
}

void vm_kick_all(void)
{
	for (int i = 0; i < MAX_VMS; i++) {
		struct vm *vm = live[i];

		for (int j = 0; vm && j < vm->nr_vcpus; j++) {
			struct vcpu *v = vm->vcpu[j];

			v->stop = true;
			if (v->run)
				v->run->immediate_exit = 1;
			if (v->threaded)
				pthread_kill(v->thread, SIGUSR1);
		}
	}
}

static void vcpu_free(struct vcpu *v)
{
	if (v->threaded) {
		v->stop = true;
		v->run->immediate_exit = 1;
		pthread_kill(v->thread, SIGUSR1);
		pthread_join(v->thread, NULL);
	}
	if (v->run)
		munmap(v->run, v->run_size);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}

void vm_free(struct vm *vm)
{
	int nr = vm->nr_vcpus;

	for (int i = 0; i < MAX_VMS; i++) {
		if (live[i] == vm)
			live[i] = NULL;
	}
	vm->nr_vcpus = 0;
	for (int i = 0; i < nr; i++)
		vcpu_free(vm->vcpu[i]);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->mem)
		munmap(vm->mem, vm->mem_size);
	free(vm);
}

void vm_free_all(void)
{
	for (int i = 0; i < MAX_VMS; i++) {
		if (live[i])
			vm_free(live[i]);
	}
}
