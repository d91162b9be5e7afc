// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each vCPU's TSC and its frequency, which need not be the host's where the processor scales. The
 * arithmetic is in tsc_scale.h; the VM's clock, which is made of the TSC, in kvmclock.c.
 *
 * The VM remembers the TSC that it was last told, as the host's with a ratio and an offset:
 * vm->arch.tsc. vCPUs that are set to about the same, in frequency and value, get exactly that one:
 * TSCs that differ by one tick are worse for an SMP guest than none.
 */
#include <linux/uaccess.h>
#include <asm/msr.h>
#include <asm/tsc.h>
#include <arch.h>
#include <backend.h>

/* A frequency this close to the host's needs no scaling: the guest's own clock drifts more. */
#define TSC_TOLERANCE_PPM 250

/* --- frequencies --- */

struct tsc_rate {
	u64 ratio;     /* to the host's */
	u32 said, khz; /* as userspace gave it; as it is: the host's, if that is near enough */
};

/* 0 asks for the host's frequency. -EINVAL: none, or not without scaling. */
static int rate_for(struct tsc_rate *rate, unsigned long khz)
{
	unsigned long tolerance = (u64)tsc_khz * TSC_TOLERANCE_PPM / 1000000;

	if (!khz)
		khz = tsc_khz;
	*rate = (struct tsc_rate){ .ratio = TSC_RATIO_ONE, .said = khz, .khz = tsc_khz };
	if (khz >= tsc_khz - tolerance && khz <= tsc_khz + tolerance)
		return 0;
	if (!backend_scales_tsc() || khz >= TSC_MAX_KHZ)
		return -EINVAL;
	rate->khz = khz;
	rate->ratio = tsc_ratio(khz, tsc_khz);
	return rate->ratio ? 0 : -EINVAL;
}

/* --- the TSC --- */

u64 vcpu_guest_tsc(struct vcpu *vcpu)
{
	return tsc_at(&vcpu->arch.tsc, rdtsc());
}

static void set_tsc_map(struct vcpu *vcpu, const struct tsc_map *map)
{
	WRITE_ONCE(vcpu->arch.tsc.ratio, map->ratio);
	WRITE_ONCE(vcpu->arch.tsc.offset, map->offset);
	backend_set_tsc(vcpu, map);
	/* A TSC deadline is at another moment now. */
	irqchip_tsc_moved(&vcpu->vm->chip, vcpu->index);
	kvmclock_changed(vcpu->vm);
}

/* Within a second of what the VM was last told, and as fast? */
static bool joins(const struct vm_arch *vm, const struct tsc_map *map, u32 khz, u64 host_tsc)
{
	u64 apart = tsc_at(map, host_tsc) - tsc_at(&vm->tsc, host_tsc);
	u64 second = (u64)khz * 1000;

	return map->ratio == vm->tsc.ratio && apart + second < 2 * second;
}

/* The VM is told a TSC. */
static void lead(struct vm *vm, const struct tsc_map *map, u32 khz)
{
	lockdep_assert_held(&vm->arch.tsc_lock);
	vm->arch.tsc = *map;
	if (map->ratio != vm->arch.clock.ratio)
		kvmclock_set_rate_locked(vm, map->ratio, khz);
}

/* What the VM was last told; at another frequency it can only be so at this moment. */
static void follow(const struct vm_arch *vm, struct tsc_map *map, u64 host_tsc)
{
	lockdep_assert_held(&vm->tsc_lock);
	if (map->ratio == vm->tsc.ratio)
		*map = vm->tsc;
	else
		tsc_set_at(map, host_tsc, tsc_at(&vm->tsc, host_tsc));
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
	struct tsc_map map = vcpu->arch.tsc;
	u32 khz = vcpu->arch.apic.tsc_khz;
	u64 now = rdtsc();

	tsc_set_at(&map, now, value);
	spin_lock(&vm->tsc_lock);
	if (value == 0 || (vm->tsc_was_set && joins(vm, &map, khz, now)))
		follow(vm, &map, now);
	else
		lead(vcpu->vm, &map, khz);
	vm->tsc_was_set |= value != 0;
	spin_unlock(&vm->tsc_lock);
	set_tsc_map(vcpu, &map);
}

void vcpu_adjust_tsc_offset(struct vcpu *vcpu, u64 delta)
{
	struct tsc_map map = vcpu->arch.tsc;

	map.offset += delta;
	set_tsc_map(vcpu, &map);
}

/*
 * Its TSC goes on from where it is. That too is a value which userspace means to be equal on all
 * vCPUs, whether it is going to set them or not: the second vCPU joins the first.
 */
static void set_rate(struct vcpu *vcpu, const struct tsc_rate *rate)
{
	struct vm_arch *vm = &vcpu->vm->arch;
	struct tsc_map map = { .ratio = rate->ratio };
	u64 now = rdtsc();

	vcpu->arch.tsc_khz = rate->said;
	vcpu->arch.apic.tsc_khz = rate->khz;
	if (map.ratio == vcpu->arch.tsc.ratio)
		return;
	tsc_set_at(&map, now, tsc_at(&vcpu->arch.tsc, now));
	spin_lock(&vm->tsc_lock);
	if (joins(vm, &map, rate->khz, now))
		follow(vm, &map, now);
	else
		lead(vcpu->vm, &map, rate->khz);
	spin_unlock(&vm->tsc_lock);
	set_tsc_map(vcpu, &map);
}

/* What vCPUs that are created from now on begin with: the VM's TSC, from where it is. */
static void set_default_rate(struct vm *vm, const struct tsc_rate *rate)
{
	struct tsc_map map = { .ratio = rate->ratio };
	u64 now = rdtsc();

	WRITE_ONCE(vm->arch.default_tsc_khz, rate->said);
	spin_lock(&vm->arch.tsc_lock);
	follow(&vm->arch, &map, now);
	lead(vm, &map, rate->khz);
	spin_unlock(&vm->arch.tsc_lock);
	kvmclock_changed(vm);
}

/* --- life --- */

void clock_vm_init(struct vm *vm)
{
	spin_lock_init(&vm->arch.tsc_lock);
	vm->arch.tsc.ratio = TSC_RATIO_ONE;
	tsc_set_at(&vm->arch.tsc, rdtsc(), 0);
	vm->arch.default_tsc_khz = tsc_khz;
	kvmclock_vm_init(vm);
}

/* The vCPU is loaded. */
void clock_vcpu_init(struct vcpu *vcpu)
{
	struct tsc_rate rate;

	rate_for(&rate, READ_ONCE(vcpu->vm->arch.default_tsc_khz)); /* was accepted before */
	vcpu->arch.tsc_khz = rate.said;
	vcpu->arch.apic.tsc_khz = rate.khz;
	vcpu->arch.tsc.ratio = rate.ratio;
	vcpu_set_guest_tsc(vcpu, 0);
}

/* --- ioctls --- */

static long vm_set_tsc_khz(struct vm *vm, unsigned long khz)
{
	struct tsc_rate rate;
	int r = rate_for(&rate, khz);

	if (r)
		return r;
	mutex_lock(&vm->lock); /* no vCPU is being created */
	set_default_rate(vm, &rate);
	mutex_unlock(&vm->lock);
	return 0;
}

static long vcpu_set_tsc_khz(struct vcpu *vcpu, unsigned long khz)
{
	struct tsc_rate rate;
	int r = rate_for(&rate, khz);

	if (!r)
		set_rate(vcpu, &rate);
	return r;
}

long clock_vm_ioctl(struct vm *vm, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case KVM_GET_CLOCK:
	case KVM_SET_CLOCK:
		return kvmclock_vm_ioctl(vm, cmd, arg);
	case KVM_GET_TSC_KHZ:
		return READ_ONCE(vm->arch.default_tsc_khz);
	case KVM_SET_TSC_KHZ:
		return vm_set_tsc_khz(vm, (unsigned long)arg);
	default:
		return -ENOTTY;
	}
}

/* Userspace knows what the TSC is to be, wherever the host's stands: it joins no other vCPU's. */
static void restore_tsc_offset(struct vcpu *vcpu, u64 offset)
{
	struct tsc_map map = { .ratio = vcpu->arch.tsc.ratio, .offset = offset };
	struct vm_arch *vm = &vcpu->vm->arch;

	spin_lock(&vm->tsc_lock);
	lead(vcpu->vm, &map, vcpu->arch.apic.tsc_khz);
	vm->tsc_was_set = true;
	spin_unlock(&vm->tsc_lock);
	set_tsc_map(vcpu, &map);
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
		return put_user(vcpu->arch.tsc.offset, value);
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
		return vcpu_set_tsc_khz(vcpu, (unsigned long)arg);
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		return clock_attribute(vcpu, cmd, arg);
	default:
		return -ENOTTY;
	}
}
