// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices of a guest: the payload that takes their interrupts, and the host's side of apv_iommu.ko.
 * See device.h.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include "device.h"

#define NODE "/dev/" APV_IOMMU_NODE

/* --- the guest --- */

volatile uint64_t device_irqs[8][256], device_seen[MAX_DEVICES];
volatile uint64_t wants_ldr, apic_off, apic_is_off;
static volatile uint64_t ready, stop_guest, device_ring[MAX_DEVICES];

/* By the vector; @f lies on the vCPU's own stack. */
static int device_of(const struct guest_frame *f)
{
	return f->vector < DEVICE_SECOND ? 0 : f->vector < DEVICE_THIRD ? 1 : 2;
}

static int vcpu_of(const struct guest_frame *f)
{
	return (int)(((uintptr_t)f - GUEST_STACKS) / GUEST_STACK_SIZE);
}

/* vCPUs may take interrupts of one device in turn: what one has seen stays seen. */
static void note(int device)
{
	uint64_t now = device_ring[device], old = device_seen[device];

	while (old < now && !__atomic_compare_exchange_n(&device_seen[device], &old, now, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static void on_irq(struct guest_frame *f)
{
	note(device_of(f));
	device_irqs[vcpu_of(f)][f->vector]++;
	apic_write(APIC_EOI, 0);
}

static void wait_a_bit(enum life life)
{
	if (life != HALTS)
		for (int i = 0; i < 100; i++)
			asm volatile("nop"); /* loops of PAUSE exit */
	cli();
	if (life != RUNS && !stop_guest && !apic_off)
		sti_hlt();
	sti();
}

static void payload(uint64_t life)
{
	static const uint8_t vectors[] = { DEVICE_VECTOR, DEVICE_OTHER, DEVICE_SECOND,
					   DEVICE_THIRD };

	for (unsigned int i = 0; i < ARRAY_SIZE(vectors); i++)
		guest_handler[vectors[i]] = on_irq;
	guest_pic_init(0xffff);
	apic_enable();
	if (wants_ldr) /* a bit for each vCPU */
		xapic_write(APIC_LDR, 1u << 24 << (xapic_read(APIC_ID) >> 24));
	sti();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (!stop_guest) {
		if (apic_off) {
			apic_write(APIC_SVR, 0xff);
			apic_is_off = 1;
			while (apic_off)
				cpu_relax();
			apic_write(APIC_SVR, 0x1ff);
			apic_is_off = 0;
		}
		wait_a_bit((enum life)life);
	}
}

/* --- the host --- */

static struct device devices[MAX_DEVICES];
static int nr_devices;
bool devices_post;
static bool reloaded; /* the module, by devices_can_post_no_more() */

struct iommu_counters device_counters(const struct device *d)
{
	struct iommu_counters c;

	must(ioctl(d->fd, IOMMU_COUNTERS, &c));
	return c;
}

int device_irqfd(const struct device *d, uint32_t flags)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)d->eventfd,
		.gsi = (uint32_t)(DEVICE_GSI + d->nr),
		.flags = flags,
	};

	return ioctl(d->vm->fd, KVM_IRQFD, &irqfd);
}

void device_routes(struct vm *vm, int n, const struct msi msi[])
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[MAX_DEVICES];
	} r = { .head.nr = (uint32_t)n };

	for (int i = 0; i < n; i++) {
		r.entry[i].gsi = (uint32_t)(DEVICE_GSI + i);
		r.entry[i].type = KVM_IRQ_ROUTING_MSI;
		r.entry[i].u.msi.address_lo = msi[i].address;
		r.entry[i].u.msi.data = msi[i].data;
	}
	must(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r));
}

struct device *device_new(struct vm *vm)
{
	struct device *d = &devices[nr_devices];

	assert_true(nr_devices < MAX_DEVICES);
	d->nr = nr_devices;
	d->vm = vm;
	d->fd = must(open(NODE, O_RDWR | O_CLOEXEC));
	d->eventfd = must(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	nr_devices++;
	must(ioctl(d->fd, IOMMU_RING, &in_guest(vm, device_ring[d->nr])));
	must(device_irqfd(d, 0));
	must(ioctl(d->fd, IOMMU_ATTACH, d->eventfd));
	return d;
}

int device_setup(void **state)
{
	int r;

	nr_devices = 0;
	if (access(NODE, F_OK) && !access(KMODULES "apv_iommu.ko", R_OK)) {
		r = load_module(KMODULES "irqbypass.ko", "");
		if (r && r != -EEXIST)
			fail_msg("irqbypass: %s", strerror(-r));
		r = load_module(KMODULES "apv_iommu.ko", "");
		if (r)
			fail_msg("apv_iommu: %s", strerror(-r));
	}
	r = stats_setup(state);
	devices_post = on_apicvisor() && have.posted_interrupts;
	return r;
}

void release_devices(void)
{
	for (int i = 0; i < nr_devices; i++) {
		if (devices[i].eventfd >= 0)
			close(devices[i].eventfd);
		if (devices[i].fd >= 0)
			close(devices[i].fd);
	}
	nr_devices = 0;
}

int device_teardown(void **state)
{
	int r;

	release_devices();
	r = test_teardown(state);
	if (reloaded)
		reload_module("posted_interrupts=1");
	reloaded = false;
	return r;
}

void devices_can_post_no_more(void)
{
	reload_module("posted_interrupts=0");
	reloaded = true;
	devices_post = false;
}

void need_iommu(void)
{
	if (access(NODE, F_OK))
		skip_because("apv_iommu.ko is not here");
}

int device_raise(const struct device *d, uint32_t n, uint32_t interval_ns,
		 enum iommu_context context)
{
	struct iommu_raise args = { .count = n, .interval_ns = interval_ns, .context = context };

	return ioctl(d->fd, IOMMU_RAISE, &args);
}

void device_raise_one(const struct device *d)
{
	must(device_raise(d, 1, 0, IOMMU_THREAD));
}

bool device_vm_ended(const struct vm *vm)
{
	for (int i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpu[i]->error[0] || vm->vcpu[i]->finished)
			return true;
	return test_timed_out;
}

void fail_with_counters(const struct device *d, const char *what)
{
	struct iommu_counters c = device_counters(d);

	fail_msg("%s: raised %llu, seen %llu; remapped %llu, posted %llu: merged %llu, suppressed "
		 "%llu, outstanding %llu, notified %llu, woke %llu, nobody %llu; posting %u",
		 what, c.raised, (unsigned long long)in_guest(d->vm, device_seen[d->nr]),
		 c.remapped, c.posted, c.merged, c.suppressed, c.outstanding, c.notified, c.woke,
		 c.nobody, c.posting);
}

void wait_all_seen(const struct device *d)
{
	uint64_t raised = device_counters(d).raised;

	wait_until(d, in_guest(d->vm, device_seen[d->nr]) >= raised);
}

void wait_for_posting(const struct device *d)
{
	wait_until(d, device_counters(d).posting == devices_post);
}

void raise_and_see(const struct device *d)
{
	device_raise_one(d);
	wait_all_seen(d);
}

void assert_adds_up(const struct device *d)
{
	struct iommu_counters c = device_counters(d);

	assert_int_equal(c.raised, c.remapped + c.posted);
	assert_int_equal(c.posted, c.merged + c.suppressed + c.outstanding + c.notified + c.woke);
	assert_int_equal(c.nobody, 0);
	if (!devices_post)
		assert_int_equal(c.posted, 0);
}

void assert_posts(const struct device *d, bool yes)
{
	assert_int_equal(device_counters(d).posting, yes && devices_post);
}

struct vm *device_vm(enum apic_mode m)
{
	struct vm *vm = vm_create_irqchip();

	in_guest(vm, mode) = m;
	return vm;
}

struct vcpu *device_vcpu(struct vm *vm, enum life life)
{
	struct vcpu *v = vcpu_create(vm, (unsigned int)vm->nr_vcpus);

	vcpu_long_mode(v, payload, life);
	return v;
}

void device_vm_start(struct vm *vm)
{
	for (int i = 0; i < vm->nr_vcpus; i++)
		vcpu_start(vm->vcpu[i]);
	while (in_guest(vm, ready) < (uint64_t)vm->nr_vcpus && !device_vm_ended(vm))
		sched_yield();
}

void device_vm_stop(struct vm *vm)
{
	in_guest(vm, stop_guest) = 1;
	for (int i = 0; i < vm->nr_vcpus; i++) {
		struct kvm_msi msi = { .address_lo = MSI_ADDRESS | vm->vcpu[i]->id << 12,
				       .data = DEVICE_OTHER };

		must(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi)); /* out of HLT */
		vcpu_join(vm->vcpu[i]);
	}
}

struct device *device_that_posts(enum life life)
{
	struct vm *vm = device_vm(XAPIC);
	struct device *d;

	device_vcpu(vm, life);
	d = device_new(vm);
	ROUTES(vm, TO(0, DEVICE_VECTOR));
	device_vm_start(vm);
	wait_for_posting(d);
	return d;
}
