/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VM file descriptor: node, capabilities, memory slots, in-kernel interrupt controllers,
 * GSI routing, irqfd and ioeventfd. Everything here is a direct use of the KVM ABI; the order
 * of the ioctls in vm_create() is the one to copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm.h"

#define FIRST_MSI_GSI 24 /* after the IOAPIC's pins */

static void open_node(struct vm *vm)
{
	const char *dev = vm->opt->dev;
	int version;

	vm->kvm_fd = open(dev, O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0)
		die("cannot open %s: %s (load the module, or name another node with --dev)", dev,
		    strerror(errno));
	version = ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0);
	if (version < 0)
		die("%s does not speak the KVM ABI: %s", dev, strerror(errno));
	if (version != KVM_API_VERSION)
		die("%s speaks version %d of the KVM ABI, not %d", dev, version, KVM_API_VERSION);
}

int vm_cap(struct vm *vm, unsigned int cap)
{
	int ret = ioctl(vm->fd, KVM_CHECK_EXTENSION, cap);

	return ret < 0 ? 0 : ret;
}

static void check_caps(struct vm *vm)
{
	static const struct {
		unsigned int cap;
		const char *name;
	} needed[] = {
		{ KVM_CAP_USER_MEMORY, "USER_MEMORY" },
		{ KVM_CAP_EXT_CPUID, "EXT_CPUID" },
		{ KVM_CAP_IRQCHIP, "IRQCHIP" },
		{ KVM_CAP_PIT2, "PIT2" },
		{ KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
		{ KVM_CAP_IRQFD, "IRQFD" },
		{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
	};
	int max = vm_cap(vm, KVM_CAP_MAX_VCPUS);

	for (unsigned int i = 0; i < ARRAY_SIZE(needed); i++)
		if (!vm_cap(vm, needed[i].cap))
			die("%s lacks KVM_CAP_%s", vm->opt->dev, needed[i].name);
	if (max && vm->opt->cpus > (unsigned int)max)
		die("%s allows %d vCPUs, not %u", vm->opt->dev, max, vm->opt->cpus);
}

static void add_slot(struct vm *vm, unsigned int slot, uint64_t gpa, uint64_t size, void *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		die("KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
}

static void create_memory(struct vm *vm)
{
	uint64_t size = vm->opt->mem;

	vm->low_size = size < RAM_HOLE ? size : RAM_HOLE;
	vm->high_size = size - vm->low_size;
	vm->mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (vm->mem == MAP_FAILED)
		die("cannot map %llu MiB of guest memory: %s", size / MiB, strerror(errno));
	/* Large pages make both levels of translation cheaper; a kernel without them is fine. */
	(void)madvise(vm->mem, size, MADV_HUGEPAGE);
	add_slot(vm, 0, 0, vm->low_size, vm->mem);
	if (vm->high_size)
		add_slot(vm, 1, ABOVE_4G, vm->high_size, vm->mem + vm->low_size);
}

/*
 * GSI 0-15 go to a PIC pin and to the IOAPIC pin of that number, but the timer's (0) to IOAPIC
 * pin 2, as on a PC; acpi.c tells the guest so. GSI 16-23 go to the IOAPIC alone.
 */
static void init_routes(struct vm *vm)
{
	struct kvm_irq_routing_entry *e;

	pthread_mutex_init(&vm->route_lock, NULL);
	vm->routes = xcalloc(1, sizeof(*vm->routes) + MAX_GSI_ROUTES * sizeof(*e));
	vm->next_gsi = FIRST_MSI_GSI;
	for (unsigned int gsi = 0; gsi < FIRST_MSI_GSI; gsi++) {
		if (gsi < 16 && gsi != 2) {
			e = &vm->routes->entries[vm->routes->nr++];
			e->gsi = gsi;
			e->type = KVM_IRQ_ROUTING_IRQCHIP;
			e->u.irqchip.irqchip =
				gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
			e->u.irqchip.pin = gsi % 8;
		}
		if (gsi != 2) {
			e = &vm->routes->entries[vm->routes->nr++];
			e->gsi = gsi;
			e->type = KVM_IRQ_ROUTING_IRQCHIP;
			e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
			e->u.irqchip.pin = gsi ? gsi : 2;
		}
	}
	if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, vm->routes) < 0)
		die("KVM_SET_GSI_ROUTING: %s", strerror(errno));
}

static void create_irqchip(struct vm *vm)
{
	/* SPEAKER_DUMMY: port 0x61, with which kernels time the PIT, is served there too. */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
		die("KVM_CREATE_IRQCHIP: %s", strerror(errno));
	init_routes(vm);
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit) < 0)
		die("KVM_CREATE_PIT2: %s", strerror(errno));
}

void vm_create(struct vm *vm, const struct options *opt)
{
	uint64_t identity = KVM_PRIVATE;

	*vm = (struct vm){ .opt = opt, .ncpus = opt->cpus, .status = -1 };
	pthread_mutex_init(&vm->end_lock, NULL);
	vm->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->end_fd < 0)
		die("eventfd: %s", strerror(errno));
	open_node(vm);
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		die("KVM_CREATE_VM: %s", strerror(errno));
	check_caps(vm);
	/* Four pages that the guest must not use: KVM runs real mode there on old hosts. */
	if (vm_cap(vm, KVM_CAP_SET_IDENTITY_MAP_ADDR) &&
	    ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		die("KVM_SET_IDENTITY_MAP_ADDR: %s", strerror(errno));
	if (vm_cap(vm, KVM_CAP_SET_TSS_ADDR) &&
	    ioctl(vm->fd, KVM_SET_TSS_ADDR, KVM_PRIVATE + 0x1000) < 0)
		die("KVM_SET_TSS_ADDR: %s", strerror(errno));
	create_memory(vm);
	create_irqchip(vm);
}

void *vm_ram(struct vm *vm, uint64_t gpa, uint64_t len)
{
	if (gpa < vm->low_size)
		return len <= vm->low_size - gpa ? vm->mem + gpa : NULL;
	if (gpa < ABOVE_4G || gpa - ABOVE_4G >= vm->high_size)
		return NULL;
	gpa -= ABOVE_4G;
	return len <= vm->high_size - gpa ? vm->mem + vm->low_size + gpa : NULL;
}

void vm_irq_line(struct vm *vm, unsigned int gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	if (ioctl(vm->fd, KVM_IRQ_LINE, &line) < 0) {
		msg("KVM_IRQ_LINE(%u, %d): %s", gsi, level, strerror(errno));
		vm_end(vm, STATUS_ERROR);
	}
}

int vm_msi_alloc(struct vm *vm, unsigned int *gsi)
{
	struct kvm_irqfd irqfd = { .gsi = vm->next_gsi };

	irqfd.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if ((int)irqfd.fd < 0)
		die("eventfd: %s", strerror(errno));
	/* The GSI has no route yet: a signal before the guest sets one up goes nowhere. */
	if (ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0)
		die("KVM_IRQFD: %s", strerror(errno));
	*gsi = vm->next_gsi++;
	return irqfd.fd;
}

static struct kvm_irq_routing_entry *find_msi_route(struct vm *vm, unsigned int gsi)
{
	for (unsigned int i = 0; i < vm->routes->nr; i++)
		if (vm->routes->entries[i].gsi == gsi)
			return &vm->routes->entries[i];
	return NULL;
}

void vm_msi_route(struct vm *vm, unsigned int gsi, uint64_t addr, uint32_t data)
{
	struct kvm_irq_routing_entry *e;

	pthread_mutex_lock(&vm->route_lock);
	e = find_msi_route(vm, gsi);
	if (!e && addr && vm->routes->nr < MAX_GSI_ROUTES)
		e = &vm->routes->entries[vm->routes->nr++];
	if (e && !addr) {
		*e = vm->routes->entries[--vm->routes->nr];
	} else if (e) {
		*e = (struct kvm_irq_routing_entry){ .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI };
		e->u.msi.address_lo = addr;
		e->u.msi.address_hi = addr >> 32;
		e->u.msi.data = data;
	}
	/* The table is always replaced as a whole. The guest chose addr and data: drop bad ones. */
	if (e && ioctl(vm->fd, KVM_SET_GSI_ROUTING, vm->routes) < 0) {
		*e = vm->routes->entries[--vm->routes->nr];
		if (vm->opt->verbose)
			msg("MSI %#lx, %#x refused: %s", (unsigned long)addr, data,
			    strerror(errno));
	}
	pthread_mutex_unlock(&vm->route_lock);
}

bool vm_ioeventfd(struct vm *vm, uint64_t addr, int fd, bool assign)
{
	struct kvm_ioeventfd io = {
		.addr = addr,
		.len = 2,
		.fd = fd,
		.flags = assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN,
	};

	return vm_cap(vm, KVM_CAP_IOEVENTFD) && ioctl(vm->fd, KVM_IOEVENTFD, &io) == 0;
}

void vm_end(struct vm *vm, int status)
{
	uint64_t one = 1;

	pthread_mutex_lock(&vm->end_lock);
	if (vm->status < 0) {
		vm->status = status;
		if (write(vm->end_fd, &one, sizeof(one)) < 0)
			die("eventfd: %s", strerror(errno));
	}
	pthread_mutex_unlock(&vm->end_lock);
}
