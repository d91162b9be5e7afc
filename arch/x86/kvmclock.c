// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VM's clock, in ns: what KVM_GET_CLOCK and KVM_SET_CLOCK mean, and what a guest that knows KVM
 * reads without an exit. It is made of the TSC, in the same steps on both sides, so that they
 * always agree; and a guest needs neither to calibrate its TSC nor to ask a device for the time. A
 * VM whose vCPUs' TSCs differ in frequency goes by the one that was set last: to the others the
 * clock is told with an error of 2^-31 at most.
 *
 * A vCPU's page says how to get from its TSC to the clock. It is written when the guest asks for it
 * and when one of the numbers has changed, by the vCPU's own thread before it enters (REQ_CLOCK).
 * Layout and protocol: the kernel's documents "Timekeeping Virtualization for X86-Based
 * Architectures" and "KVM-specific MSRs". Left out: hosts whose TSC is not stable, where there is
 * no such clock for guests and KVM_GET_CLOCK tells the host's uptime; the host's suspend, in which
 * the clock stands still.
 */
#include <linux/ktime.h>
#include <linux/uaccess.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>
#include <arch.h>

bool kvmclock_usable(void)
{
	return boot_cpu_has(X86_FEATURE_CONSTANT_TSC) && !check_tsc_unstable();
}

/* tsc_lock held. */
static u64 clock_at(const struct vm_arch *vm, u64 host_tsc)
{
	const struct vm_clock *c = &vm->clock;

	lockdep_assert_held(&vm->tsc_lock);
	if (!kvmclock_usable())
		return ktime_get_boottime_ns() + c->ns;
	if (host_tsc < c->tsc) /* read before the clock was set */
		return c->ns;
	return c->ns +
	       tsc_clock_ns(&c->rate, tsc_scale(host_tsc, c->ratio) - tsc_scale(c->tsc, c->ratio));
}

static void set_clock_at(struct vm_arch *vm, u64 host_tsc, u64 ns)
{
	lockdep_assert_held(&vm->tsc_lock);
	vm->clock.tsc = host_tsc;
	vm->clock.ns = kvmclock_usable() ? ns : ns - ktime_get_boottime_ns();
}

/* Without a jump: what has passed is counted at the old rate. */
void kvmclock_set_rate_locked(struct vm *vm, u64 ratio, u32 khz)
{
	struct vm_arch *arch = &vm->arch;
	u64 now = rdtsc();

	set_clock_at(arch, now, clock_at(arch, now));
	arch->clock.ratio = ratio;
	arch->clock.rate = tsc_clock_for(khz);
}

/* Both clocks of the host at one moment. */
static u64 host_tsc_and_realtime(u64 *realtime_ns)
{
	unsigned long flags;
	u64 tsc;

	local_irq_save(flags);
	*realtime_ns = ktime_get_real_ns();
	tsc = rdtsc();
	local_irq_restore(flags);
	return tsc;
}

/* A guest may read one vCPU's page on behalf of all, if their TSCs are equal. */
static bool tscs_are_equal(struct vm *vm)
{
	struct vcpu *vcpu;
	u32 i;

	vm_for_each_vcpu (vm, i, vcpu) {
		const struct tsc_map *mine = &vcpu->arch.tsc, *first = &vm->vcpu[0]->arch.tsc;

		if (READ_ONCE(mine->ratio) != READ_ONCE(first->ratio) ||
		    READ_ONCE(mine->offset) != READ_ONCE(first->offset))
			return false;
	}
	return true;
}

void kvmclock_changed(struct vm *vm)
{
	struct vcpu *vcpu;
	u32 i;

	/* What has changed before the look at who wants to know; kvmclock_set_system_time() */
	smp_mb();
	vm_for_each_vcpu (vm, i, vcpu) {
		if (!(READ_ONCE(vcpu->arch.msr.kvm_system_time) & 1))
			continue;
		vcpu_set_request(vcpu, REQ_CLOCK);
		vcpu_kick(vcpu);
	}
}

/* --- what the guest reads --- */

/*
 * An odd version tells a reader on another vCPU that the rest is being written. A page that can't
 * be written is the guest's own fault and has no consequence.
 */
static void write_versioned(struct vcpu *vcpu, gpa_t gpa, u32 version, void *data, size_t size)
{
	u32 *first = data;

	*first = version | 1;
	if (vm_write_guest(vcpu->vm, gpa, first, sizeof(*first)))
		return;
	smp_wmb(); /* the odd version, then the data, then the even one: pvclock_read_begin() */
	vm_write_guest(vcpu->vm, gpa + sizeof(*first), first + 1, size - sizeof(*first));
	smp_wmb();
	*first = (version | 1) + 1;
	vm_write_guest(vcpu->vm, gpa, first, sizeof(*first));
}

void kvmclock_update(struct vcpu *vcpu)
{
	struct vm_arch *vm = &vcpu->vm->arch;
	gpa_t gpa = vcpu->arch.msr.kvm_system_time & ~1ULL;
	struct tsc_clock rate = tsc_clock_for(vcpu->arch.apic.tsc_khz);
	struct pvclock_vcpu_time_info old, now = {
		.tsc_to_system_mul = rate.mul,
		.tsc_shift = rate.shift,
	};

	if (!(vcpu->arch.msr.kvm_system_time & 1) || !kvmclock_usable() ||
	    vm_read_guest(vcpu->vm, gpa, &old, sizeof(old)))
		return;
	spin_lock(&vm->tsc_lock);
	now.tsc_timestamp = tsc_at(&vcpu->arch.tsc, vm->clock.tsc);
	now.system_time = vm->clock.ns;
	spin_unlock(&vm->tsc_lock);
	if (tscs_are_equal(vcpu->vm))
		now.flags |= PVCLOCK_TSC_STABLE_BIT;
	/* The guest takes this one back when it has seen it. */
	if (vcpu->arch.was_stopped)
		now.flags |= PVCLOCK_GUEST_STOPPED;
	else
		now.flags |= old.flags & PVCLOCK_GUEST_STOPPED;
	vcpu->arch.was_stopped = false;
	write_versioned(vcpu, gpa, old.version, &now, sizeof(now));
}

int kvmclock_set_system_time(struct vcpu *vcpu, u64 value)
{
	WRITE_ONCE(vcpu->arch.msr.kvm_system_time, value);
	vcpu->arch.was_stopped = false;
	/* All: a vCPU that comes late may have another TSC. In there is the barrier's partner. */
	kvmclock_changed(vcpu->vm);
	return 0;
}

/* When the VM's clock was 0, by the wall's clock. */
int kvmclock_set_wall_clock(struct vcpu *vcpu, u64 value)
{
	struct vm_arch *vm = &vcpu->vm->arch;
	struct pvclock_wall_clock wall = {};
	u64 realtime, tsc;
	u32 version;

	vcpu->arch.msr.kvm_wall_clock = value;
	if (vm_read_guest(vcpu->vm, value, &version, sizeof(version)))
		return 0;
	tsc = host_tsc_and_realtime(&realtime);
	spin_lock(&vm->tsc_lock);
	realtime -= clock_at(vm, tsc);
	spin_unlock(&vm->tsc_lock);
	wall.sec = div_u64_rem(realtime, NSEC_PER_SEC, &wall.nsec);
	write_versioned(vcpu, value, version, &wall, sizeof(wall));
	return 0;
}

/* --- ioctls --- */

static long get_clock(struct vm *vm, void __user *arg)
{
	struct kvm_clock_data data = {};

	data.host_tsc = host_tsc_and_realtime(&data.realtime);
	spin_lock(&vm->arch.tsc_lock);
	data.clock = clock_at(&vm->arch, data.host_tsc);
	spin_unlock(&vm->arch.tsc_lock);
	data.flags = KVM_CLOCK_REALTIME;
	if (kvmclock_usable())
		data.flags |= KVM_CLOCK_HOST_TSC | (tscs_are_equal(vm) ? KVM_CLOCK_TSC_STABLE : 0);
	return copy_to_user(arg, &data, sizeof(data)) ? -EFAULT : 0;
}

/* With KVM_CLOCK_REALTIME the clock goes on as if it had run since then, never back. */
static long set_clock(struct vm *vm, void __user *arg)
{
	struct kvm_clock_data data;
	u64 realtime, tsc;

	if (copy_from_user(&data, arg, sizeof(data)))
		return -EFAULT;
	if (data.flags & ~KVMCLOCK_FLAGS)
		return -EINVAL;
	tsc = host_tsc_and_realtime(&realtime);
	if ((data.flags & KVM_CLOCK_REALTIME) && realtime > data.realtime)
		data.clock += realtime - data.realtime;
	spin_lock(&vm->arch.tsc_lock);
	set_clock_at(&vm->arch, tsc, data.clock);
	spin_unlock(&vm->arch.tsc_lock);
	kvmclock_changed(vm);
	return 0;
}

long kvmclock_vm_ioctl(struct vm *vm, unsigned int cmd, void __user *arg)
{
	return cmd == KVM_GET_CLOCK ? get_clock(vm, arg) : set_clock(vm, arg);
}

/* KVM_KVMCLOCK_CTRL: the guest was stopped by its host, which its watchdogs should forgive. */
long kvmclock_tell_stopped(struct vcpu *vcpu)
{
	if (!(vcpu->arch.msr.kvm_system_time & 1))
		return -EINVAL;
	vcpu->arch.was_stopped = true;
	vcpu_set_request(vcpu, REQ_CLOCK);
	return 0;
}

void kvmclock_vm_init(struct vm *vm)
{
	spin_lock(&vm->arch.tsc_lock);
	vm->arch.clock.ratio = TSC_RATIO_ONE;
	vm->arch.clock.rate = tsc_clock_for(tsc_khz);
	set_clock_at(&vm->arch, rdtsc(), 0);
	spin_unlock(&vm->arch.tsc_lock);
}
