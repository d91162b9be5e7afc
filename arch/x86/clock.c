// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each vCPU's TSC and its frequency. The VM's clock, which is made of it, is in kvmclock.c.
 *
 * Left out: TSC scaling (KVM_CAP_TSC_CONTROL), so the guest's frequency is the host's.
 */
#include <linux/uaccess.h>
#include <asm/msr.h>
#include <asm/tsc.h>
#include <arch.h>
#include <backend.h>

/* A frequency this close to the host's needs no scaling: the guest's own clock drifts more. */
#define TSC_TOLERANCE_PPM 250

/* --- the TSC --- */

u64 vcpu_guest_tsc(struct vcpu *vcpu)
{
	return rdtsc() + READ_ONCE(vcpu->arch.tsc_offset);
}

static void set_tsc_offset(struct vcpu *vcpu, s64 offset)
{
	WRITE_ONCE(vcpu->arch.tsc_offset, offset);
	backend_set_tsc_offset(vcpu, offset);
	/* A TSC deadline is at another moment now. */
	irqchip_tsc_moved(&vcpu->vm->chip, vcpu->index);
	kvmclock_changed(vcpu->vm);
}

/*
 * QUIRK(tsc-sync): userspace sets the TSCs of all vCPUs one by one and means "equal", though time
 * passes in between. So a value within a second of one set before joins that, and 0, which VMMs
 * write at reset, joins whatever the VM's vCPUs show. Linux KVM does the same; SMP guests depend on
 * it. What a new VM shows by itself is nothing to join: a young guest that is restored would see
 * its TSC go back.
 */
void vcpu_set_guest_tsc(struct vcpu *vcpu, u64 value)
{
	struct vm_arch *vm = &vcpu->vm->arch;
	s64 offset = value - rdtsc();

	spin_lock(&vm->tsc_lock);
	if (value == 0 || (vm->tsc_was_set && abs(offset - vm->tsc_offset) < (s64)tsc_khz * 1000))
		offset = vm->tsc_offset;
	else
		vm->tsc_offset = offset;
	vm->tsc_was_set |= value != 0;
	spin_unlock(&vm->tsc_lock);
	set_tsc_offset(vcpu, offset);
}

void vcpu_adjust_tsc_offset(struct vcpu *vcpu, u64 delta)
{
	set_tsc_offset(vcpu, vcpu->arch.tsc_offset + delta);
}

/* --- life --- */

void clock_vm_init(struct vm *vm)
{
	spin_lock_init(&vm->arch.tsc_lock);
	vm->arch.tsc_offset = -rdtsc();
	vm->arch.default_tsc_khz = tsc_khz;
	kvmclock_vm_init(vm);
}

/* The vCPU is loaded. */
void clock_vcpu_init(struct vcpu *vcpu)
{
	vcpu->arch.tsc_khz = vcpu->vm->arch.default_tsc_khz;
	vcpu->arch.apic.tsc_khz = tsc_khz;
	vcpu_set_guest_tsc(vcpu, 0);
}

/* --- ioctls --- */

/* 0 asks for the host's frequency. -EINVAL: would need scaling. */
static long set_tsc_khz(u32 *khz, void __user *arg)
{
	unsigned long wanted = (unsigned long)arg;
	unsigned long tolerance = (u64)tsc_khz * TSC_TOLERANCE_PPM / 1000000;

	if (!wanted)
		wanted = tsc_khz;
	if (wanted < tsc_khz - tolerance || wanted > tsc_khz + tolerance)
		return -EINVAL;
	*khz = wanted;
	return 0;
}

long clock_vm_ioctl(struct vm *vm, unsigned int cmd, void __user *arg)
{
	long r;

	switch (cmd) {
	case KVM_GET_CLOCK:
	case KVM_SET_CLOCK:
		return kvmclock_vm_ioctl(vm, cmd, arg);
	case KVM_GET_TSC_KHZ:
		return READ_ONCE(vm->arch.default_tsc_khz);
	case KVM_SET_TSC_KHZ:
		mutex_lock(&vm->lock);
		r = set_tsc_khz(&vm->arch.default_tsc_khz, arg);
		mutex_unlock(&vm->lock);
		return r;
	default:
		return -ENOTTY;
	}
}

/* Userspace knows what the TSC is to be, wherever the host's stands: it joins no other vCPU's. */
static void restore_tsc_offset(struct vcpu *vcpu, s64 offset)
{
	struct vm_arch *vm = &vcpu->vm->arch;

	spin_lock(&vm->tsc_lock);
	vm->tsc_offset = offset;
	vm->tsc_was_set = true;
	spin_unlock(&vm->tsc_lock);
	set_tsc_offset(vcpu, offset);
}

/* KVM_VCPU_TSC_OFFSET, the one attribute of a vCPU. -ENXIO: another. */
static long clock_attribute(struct vcpu *vcpu, unsigned int cmd, void __user *arg)
{
	struct kvm_device_attr attr;
	u64 __user *value;
	u64 offset;

	if (copy_from_user(&attr, arg, sizeof(attr)))
		return -EFAULT;
	if (attr.group != KVM_VCPU_TSC_CTRL || attr.attr != KVM_VCPU_TSC_OFFSET)
		return -ENXIO;
	value = (u64 __user *)(unsigned long)attr.addr;
	switch (cmd) {
	case KVM_GET_DEVICE_ATTR:
		return put_user(vcpu->arch.tsc_offset, value);
	case KVM_SET_DEVICE_ATTR:
		if (get_user(offset, value))
			return -EFAULT;
		restore_tsc_offset(vcpu, offset);
		return 0;
	default: /* KVM_HAS_DEVICE_ATTR */
		return 0;
	}
}

long clock_vcpu_ioctl(struct vcpu *vcpu, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case KVM_GET_TSC_KHZ:
		return vcpu->arch.tsc_khz;
	case KVM_SET_TSC_KHZ:
		return set_tsc_khz(&vcpu->arch.tsc_khz, arg);
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		return clock_attribute(vcpu, cmd, arg);
	default:
		return -ENOTTY;
	}
}
