/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fake KVM of fake_kvm.h. It refuses what it doesn't know, so that a new ioctl in the VMM
 * shows up in the tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_kvm.h"

struct fake_kvm kvm;

int __wrap_ioctl(int fd, unsigned long cmd, ...);

static int set_routing(const struct kvm_irq_routing *table)
{
	for (unsigned int i = 0; i < table->nr; i++)
		if (kvm.refuse_msi && table->entries[i].type == KVM_IRQ_ROUTING_MSI) {
			errno = EINVAL;
			return -1;
		}
	assert_true(table->nr <= MAX_GSI_ROUTES);
	memcpy(kvm.routes, table->entries, table->nr * sizeof(*kvm.routes));
	kvm.n_routes = table->nr;
	return 0;
}

static int ioeventfd(const struct kvm_ioeventfd *io)
{
	if (!(io->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)) {
		assert_true(kvm.n_ioeventfds < ARRAY_SIZE(kvm.ioeventfd));
		kvm.ioeventfd[kvm.n_ioeventfds++] = *io;
		return 0;
	}
	for (unsigned int i = 0; i < kvm.n_ioeventfds; i++)
		if (kvm.ioeventfd[i].addr == io->addr && kvm.ioeventfd[i].fd == io->fd) {
			kvm.ioeventfd[i] = kvm.ioeventfd[--kvm.n_ioeventfds];
			return 0;
		}
	errno = ENOENT;
	return -1;
}

static int supported_cpuid(struct kvm_cpuid2 *list)
{
	static const struct kvm_cpuid_entry2 host[] = {
		{ .function = 0, .eax = 0xd },
		{ .function = 1, .ebx = 0x05100800, .edx = 1 << 28 },
		{ .function = 4, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 0x7c004121 },
		{ .function = 4, .index = 3, .flags = 1, .eax = 0x7c0fc163 },
		{ .function = 0xa, .eax = 0x07300404 },
		{ .function = 0xb, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX },
	};

	assert_true(list->nent >= ARRAY_SIZE(host));
	memcpy(list->entries, host, sizeof(host));
	list->nent = ARRAY_SIZE(host);
	return 0;
}

static int set_cpuid(const struct kvm_cpuid2 *list)
{
	assert_true(list->nent <= ARRAY_SIZE(kvm.cpuid));
	memcpy(kvm.cpuid, list->entries, list->nent * sizeof(*kvm.cpuid));
	kvm.n_cpuid = list->nent;
	return 0;
}

static int irq_line(const struct kvm_irq_level *line)
{
	assert_true(line->irq < ARRAY_SIZE(kvm.line));
	kvm.line[line->irq] = line->level;
	kvm.line_changes++;
	return 0;
}

int __wrap_ioctl(int fd, unsigned long cmd, ...)
{
	va_list ap;
	void *arg;

	(void)fd;
	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	switch (cmd) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_CREATE_VM:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case KVM_CHECK_EXTENSION:
		return (uintptr_t)arg == KVM_CAP_MAX_VCPUS ? 254 : 1;
	case KVM_SET_TSS_ADDR:
	case KVM_SET_IDENTITY_MAP_ADDR:
	case KVM_CREATE_IRQCHIP:
	case KVM_CREATE_PIT2:
		return 0;
	case KVM_SET_USER_MEMORY_REGION:
		assert_true(kvm.n_slots < ARRAY_SIZE(kvm.slot));
		kvm.slot[kvm.n_slots++] = *(struct kvm_userspace_memory_region *)arg;
		return 0;
	case KVM_SET_GSI_ROUTING:
		return set_routing(arg);
	case KVM_IRQ_LINE:
		return irq_line(arg);
	case KVM_IRQFD:
		kvm.irqfd[kvm.n_irqfds++] = *(struct kvm_irqfd *)arg;
		return 0;
	case KVM_IOEVENTFD:
		return ioeventfd(arg);
	case KVM_GET_SUPPORTED_CPUID:
		return supported_cpuid(arg);
	case KVM_SET_CPUID2:
		return set_cpuid(arg);
	case KVM_GET_TSC_KHZ:
		return kvm.tsc_khz;
	default:
		fail_msg("the fake KVM has no ioctl %#lx", cmd);
		return -1;
	}
}

void fake_vm(struct vm *vm, struct options *opt, unsigned int cpus, uint64_t mem)
{
	memset(&kvm, 0, sizeof(kvm));
	opt->dev = "/dev/null";
	opt->cpus = cpus;
	opt->mem = mem;
	if (!opt->cmdline)
		opt->cmdline = "";
	vm_create(vm, opt);
}

int status_of(void (*fn)(void *), void *arg)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

bool signalled(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

const struct kvm_irq_routing_entry *route_of(unsigned int gsi)
{
	for (unsigned int i = 0; i < kvm.n_routes; i++)
		if (kvm.routes[i].gsi == gsi)
			return &kvm.routes[i];
	return NULL;
}

void out(struct vm *vm, uint16_t port, uint32_t val, unsigned int len)
{
	bus_access(&vm->pio, port, &val, len, true);
}

uint32_t in(struct vm *vm, uint16_t port, unsigned int len)
{
	uint32_t val = 0;

	bus_access(&vm->pio, port, &val, len, false);
	return val;
}

void mmio_write(struct vm *vm, uint64_t addr, uint64_t val, unsigned int len)
{
	bus_access(&vm->mmio, addr, &val, len, true);
}

uint64_t mmio_read(struct vm *vm, uint64_t addr, unsigned int len)
{
	uint64_t val = 0;

	bus_access(&vm->mmio, addr, &val, len, false);
	return val;
}

static void select_config(struct vm *vm, unsigned int slot, uint8_t reg)
{
	out(vm, 0xcf8, 1U << 31 | slot << 11 | (reg & 0xfc), 4);
}

void config_write(struct vm *vm, unsigned int slot, uint8_t reg, uint32_t val, unsigned int len)
{
	select_config(vm, slot, reg);
	out(vm, 0xcfc + reg % 4, val, len);
}

uint32_t config_read(struct vm *vm, unsigned int slot, uint8_t reg, unsigned int len)
{
	select_config(vm, slot, reg);
	return in(vm, 0xcfc + reg % 4, len);
}
