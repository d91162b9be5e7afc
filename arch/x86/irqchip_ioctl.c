// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of the interrupt controllers: copy the argument, check what the ABI checks, call the
 * core. Creation, routing and save/restore; what the devices do with it is the core's business.
 *
 * Errors are those of the KVM API document: without an in-kernel
 * irqchip -ENXIO, where it documents no other.
 */
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <irqchip/route.h>
#include <arch.h>

#define DEFAULT_ROUTES (IOAPIC_NR_PINS + VPIC_NR_PINS)

/* --- routing --- */

/* Build a table, put it in the old one's place, and free that once nobody reads it. */
static int set_routes(struct vm *vm, const struct kvm_irq_routing_entry *entries, u32 n)
{
	const struct irq_routing *old;
	struct irq_routing *new;
	size_t size = route_size(n);
	u32 flags = vm->chip.x2apic_format ? ROUTE_X2APIC_FORMAT : 0;
	int r;

	new = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	if (vm->irqchip_mode == IRQCHIP_SPLIT)
		flags |= ROUTE_NO_PINS;
	r = route_build(new, size, entries, n, flags);
	if (r) {
		kvfree(new);
		return r;
	}
	mutex_lock(&vm->irq_lock);
	old = irqchip_set_routing(&vm->chip, new);
	irqfd_routing_changed_locked(vm);
	mutex_unlock(&vm->irq_lock);
	if (old)
		synchronize_rcu_expedited(); /* pairs with env_read_lock() in the core */
	irqchip_routing_moved(&vm->chip);
	kvfree(old);
	return 0;
}

static int set_default_routes(struct vm *vm)
{
	struct kvm_irq_routing_entry *entries;
	u32 n;
	int r;

	entries = kcalloc(DEFAULT_ROUTES, sizeof(*entries), GFP_KERNEL);
	if (!entries)
		return -ENOMEM;
	n = route_default(entries, DEFAULT_ROUTES);
	r = WARN_ON_ONCE(n > DEFAULT_ROUTES) ? -EINVAL : set_routes(vm, entries, n);
	kfree(entries);
	return r;
}

static long set_gsi_routing(struct vm *vm, void __user *arg)
{
	struct kvm_irq_routing __user *user = arg;
	struct kvm_irq_routing_entry *entries = NULL;
	struct kvm_irq_routing head;
	int r;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.flags || head.nr > ROUTE_MAX_ROWS)
		return -EINVAL;
	/* Pairs with the release in create_irqchip(): the default routes are there already. */
	if (smp_load_acquire(&vm->irqchip_mode) == IRQCHIP_NONE)
		return -EINVAL;
	if (head.nr) {
		entries = vmemdup_user(user->entries, head.nr * sizeof(*entries));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	r = set_routes(vm, entries, head.nr);
	kvfree(entries);
	return r;
}

/* --- creation --- */

static long create_irqchip(struct vm *vm)
{
	long r = -EEXIST;

	mutex_lock(&vm->lock);
	if (vm->irqchip_mode != IRQCHIP_NONE)
		goto out;
	r = -EINVAL;
	if (vm->nr_vcpus)
		goto out;
	vioapic_init(&vm->arch.ioapic);
	vpic_init(&vm->arch.pic);
	vm->chip.ioapic = &vm->arch.ioapic;
	vm->chip.pic = &vm->arch.pic;
	r = set_default_routes(vm);
	if (r) {
		vm->chip.ioapic = NULL;
		vm->chip.pic = NULL;
		goto out;
	}
	smp_store_release(&vm->irqchip_mode, IRQCHIP_KERNEL); /* all of the above is in place */
out:
	mutex_unlock(&vm->lock);
	return r;
}

/*
 * KVM_CAP_SPLIT_IRQCHIP: LAPICs here; IOAPIC, PIC and PIT in userspace. GSIs are MSIs, and those
 * below @pins are the userspace IOAPIC's.
 */
long irqchip_enable_split(struct vm *vm, u64 pins)
{
	int r;

	lockdep_assert_held(&vm->lock);
	if (pins > IRQCHIP_MAX_GSI)
		return -EINVAL;
	if (vm->irqchip_mode != IRQCHIP_NONE || vm->nr_vcpus)
		return -EEXIST;
	r = set_routes(vm, NULL, 0);
	if (r)
		return r;
	vm->chip.split = true;
	vm->chip.reserved_pins = pins;
	smp_store_release(&vm->irqchip_mode, IRQCHIP_SPLIT); /* all of the above is in place */
	return 0;
}

static long create_pit(struct vm *vm, u32 flags)
{
	long r = 0;

	if (flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (vm->chip.pit) {
		r = -EEXIST;
	} else if (vm->irqchip_mode != IRQCHIP_KERNEL) {
		r = -ENXIO;
	} else {
		vpit_init(&vm->arch.pit, irqchip_host_ops.now_ns(vm),
			  flags & KVM_PIT_SPEAKER_DUMMY);
		/* vCPUs may be running: they find the whole PIT or none. */
		smp_store_release(&vm->chip.pit, &vm->arch.pit);
		/* Its GSI counts from now on: irqchip_set_routing() recomputes what that means. */
		mutex_lock(&vm->irq_lock);
		irqchip_set_routing(&vm->chip, vm->chip.routing);
		mutex_unlock(&vm->irq_lock);
	}
	mutex_unlock(&vm->lock);
	return r;
}

static long create_pit2(struct vm *vm, void __user *arg)
{
	struct kvm_pit_config config;

	if (copy_from_user(&config, arg, sizeof(config)))
		return -EFAULT;
	return create_pit(vm, config.flags);
}

void irqchip_vm_destroy(struct vm *vm)
{
	kvfree(irqchip_set_routing(&vm->chip, NULL));
}

/* --- interrupts in --- */

int arch_set_gsi(struct vm *vm, u32 gsi, u32 source, bool level)
{
	return irqchip_set_gsi(&vm->chip, gsi, source, level);
}

int arch_pulse_gsi(struct vm *vm, u32 gsi)
{
	return irqchip_pulse_gsi(&vm->chip, gsi);
}

void arch_watch_gsi(struct vm *vm, u32 gsi)
{
	lockdep_assert_held(&vm->irq_lock);
	irqchip_watch_gsi(&vm->chip, gsi, true);
}

static bool has_irqchip(struct vm *vm)
{
	return smp_load_acquire(&vm->irqchip_mode) != IRQCHIP_NONE;
}

/*
 * copy_from_user() for structures of a few words: these are loaded here, which takes less than the
 * calls of the routine for any size. 0 or -EFAULT.
 */
static __always_inline int copy_words_from_user(void *to, const void __user *from, size_t size)
{
	const u64 __user *word = from;
	u64 *end = to + size, *p;

	BUILD_BUG_ON(size % sizeof(*p));
	might_fault();
	if (!user_read_access_begin(word, size))
		return -EFAULT;
#pragma GCC unroll 4
	for (p = to; p < end; p++, word++)
		unsafe_get_user(*p, word, fault);
	user_read_access_end();
	return 0;

fault:
	user_read_access_end();
	return -EFAULT;
}

/* A GSI without a route is no error: its status is -1. */
long arch_irq_line(struct vm *vm, void __user *arg, bool status)
{
	struct kvm_irq_level line;

	if (copy_words_from_user(&line, arg, sizeof(line)))
		return -EFAULT;
	if (!has_irqchip(vm))
		return -ENXIO;
	if (!status) {
		irqchip_set_gsi(&vm->chip, line.irq, IRQ_SOURCE_USER, line.level);
		return 0;
	}
	line.status = irqchip_line_status(&vm->chip, line.irq, line.level);
	return copy_to_user(arg, &line, sizeof(line)) ? -EFAULT : 0;
}

long arch_signal_msi(struct vm *vm, void __user *arg)
{
	struct kvm_msi msi;

	if (copy_words_from_user(&msi, arg, sizeof(msi)))
		return -EFAULT;
	if (!has_irqchip(vm) || msi.flags)
		return -EINVAL;
	return irqchip_msi(&vm->chip, (u64)msi.address_hi << 32 | msi.address_lo, msi.data);
}

/* --- save and restore --- */

static long get_irqchip(struct vm *vm, void __user *arg)
{
	struct kvm_irqchip *image = memdup_user(arg, sizeof(*image));
	long r = -ENXIO;

	if (IS_ERR(image))
		return PTR_ERR(image);
	if (has_irqchip(vm))
		r = irqchip_get_state(&vm->chip, image);
	if (!r && copy_to_user(arg, image, sizeof(*image)))
		r = -EFAULT;
	kfree(image);
	return r;
}

static long set_irqchip(struct vm *vm, void __user *arg)
{
	struct kvm_irqchip *image = memdup_user(arg, sizeof(*image));
	long r = -ENXIO;

	if (IS_ERR(image))
		return PTR_ERR(image);
	if (has_irqchip(vm))
		r = irqchip_set_state(&vm->chip, image);
	kfree(image);
	return r;
}

/* KVM_GET_PIT is KVM_GET_PIT2 without the flags behind the channels. */
static long get_pit(struct vm *vm, void __user *arg, bool with_flags)
{
	size_t size = with_flags ? sizeof(struct kvm_pit_state2) : sizeof(struct kvm_pit_state);
	struct kvm_pit_state2 image;
	long r;

	r = irqchip_get_pit(&vm->chip, &image);
	if (!r && copy_to_user(arg, &image, size))
		r = -EFAULT;
	return r;
}

static long set_pit(struct vm *vm, void __user *arg, bool with_flags)
{
	size_t size = with_flags ? sizeof(struct kvm_pit_state2) : sizeof(struct kvm_pit_state);
	struct kvm_pit_state2 image = {};

	if (copy_from_user(&image, arg, size))
		return -EFAULT;
	return irqchip_set_pit(&vm->chip, &image);
}

static long reinject_control(struct vm *vm, void __user *arg)
{
	struct kvm_reinject_control control;
	struct vpit *pit = smp_load_acquire(&vm->chip.pit);

	if (copy_from_user(&control, arg, sizeof(control)))
		return -EFAULT;
	if (!pit)
		return -ENXIO;
	vpit_set_reinject(pit, control.pit_reinject);
	return 0;
}

long irqchip_vm_ioctl(struct vm *vm, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case KVM_CREATE_IRQCHIP:
		return create_irqchip(vm);
	case KVM_CREATE_PIT:
		return create_pit(vm, KVM_PIT_SPEAKER_DUMMY);
	case KVM_CREATE_PIT2:
		return create_pit2(vm, arg);
	case KVM_SET_GSI_ROUTING:
		return set_gsi_routing(vm, arg);
	case KVM_GET_IRQCHIP:
		return get_irqchip(vm, arg);
	case KVM_SET_IRQCHIP:
		return set_irqchip(vm, arg);
	case KVM_GET_PIT:
		return get_pit(vm, arg, false);
	case KVM_SET_PIT:
		return set_pit(vm, arg, false);
	case KVM_GET_PIT2:
		return get_pit(vm, arg, true);
	case KVM_SET_PIT2:
		return set_pit(vm, arg, true);
	case KVM_REINJECT_CONTROL:
		return reinject_control(vm, arg);
	default:
		return -ENOTTY;
	}
}

/* --- one LAPIC: the vCPU's lock is held --- */

static long get_lapic(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_lapic_state *image = kzalloc(sizeof(*image), GFP_KERNEL_ACCOUNT);
	long r;

	if (!image)
		return -ENOMEM;
	r = irqchip_get_lapic(&vcpu->vm->chip, vcpu->index, image);
	if (!r && copy_to_user(arg, image, sizeof(*image)))
		r = -EFAULT;
	kfree(image);
	return r;
}

static long set_lapic(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_lapic_state *image = memdup_user(arg, sizeof(*image));
	long r;

	if (IS_ERR(image))
		return PTR_ERR(image);
	r = irqchip_set_lapic(&vcpu->vm->chip, vcpu->index, image);
	kfree(image);
	return r;
}

long irqchip_vcpu_ioctl(struct vcpu *vcpu, unsigned int cmd, void __user *arg)
{
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE) {
		switch (cmd) {
		case KVM_GET_LAPIC:
		case KVM_SET_LAPIC:
		case KVM_SET_VAPIC_ADDR:
			return -EINVAL;
		default:
			return -ENOTTY;
		}
	}
	switch (cmd) {
	case KVM_GET_LAPIC:
		return get_lapic(vcpu, arg);
	case KVM_SET_LAPIC:
		return set_lapic(vcpu, arg);
	case KVM_SET_VAPIC_ADDR:
		return vapic_ioctl_addr(vcpu, arg);
	default:
		return -ENOTTY;
	}
}
