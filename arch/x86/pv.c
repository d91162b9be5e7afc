// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guests that know KVM are offered beside the clock. Steal time: how long a vCPU could have
 * run but had no CPU, and whether that is so now, in a structure of the guest's memory; there
 * others may ask a vCPU that has no CPU to drop its translations when it gets one. A guest is held
 * to its CPUID: what leaf 0x40000001 does not say does not work, whether userspace asks for that
 * (KVM_CAP_ENFORCE_PV_FEATURE_CPUID) or not.
 *
 * What is left out, and why: Documentation/paravirt.rst. Sources: the kernel's documents "KVM CPUID
 * bits" and "KVM-specific MSRs". All of it runs in the vCPU's own thread.
 */
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <asm/kvm_para.h>
#include <arch.h>
#include <cpuid.h>

/* --- what there is --- */

bool pv_has_steal_time(void)
{
	return sched_info_on();
}

u32 pv_features(void)
{
	u32 features = 0;

	if (kvmclock_usable())
		features |= BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_CLOCKSOURCE2) |
			    BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);
	if (pv_has_steal_time())
		features |= BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_TLB_FLUSH);
	return features;
}

bool vcpu_has_pv(struct vcpu *vcpu, u32 feature)
{
	return vcpu_has_cpuid(vcpu, KVM_CPUID_FEATURES, 0, CPUID_REG_EAX, feature);
}

/* --- steal time --- */

/* How long this thread has waited for a CPU while it could run, since it began. */
static u64 waited_ns(void)
{
#ifdef CONFIG_SCHED_INFO
	return current->sched_info.run_delay;
#else
	return 0;
#endif
}

/* How much longer than at the last look; nothing if that was another thread's. */
static u64 newly_waited_ns(struct x86_steal *steal)
{
	u64 now = waited_ns(), delta = now - steal->waited_ns;

	if (steal->thread != current->pid)
		delta = 0;
	steal->thread = current->pid;
	steal->waited_ns = now;
	return delta;
}

static bool steal_time_wanted(const struct vcpu *vcpu)
{
	return vcpu->arch.msr.kvm_steal_time & KVM_MSR_ENABLED;
}

/* Of a field of the guest's structure, which is aligned to its size, so it lies in one page. */
#define steal_gpa(vcpu, field)                                      \
	(((vcpu)->arch.msr.kvm_steal_time & KVM_STEAL_VALID_BITS) + \
	 offsetof(struct kvm_steal_time, field))

int pv_set_steal_time(struct vcpu *vcpu, u64 value)
{
	vcpu->arch.msr.kvm_steal_time = value;
	newly_waited_ns(&vcpu->arch.steal); /* counts from here on */
	vcpu_set_request(vcpu, REQ_STEAL);
	return 0;
}

/* The sum is kept in the guest's memory, and so moves with it to another host. */
static void add_steal_time(struct vcpu *vcpu, u64 ns)
{
	struct vm *vm = vcpu->vm;
	struct kvm_steal_time st;

	if (vm_read_guest(vm, steal_gpa(vcpu, steal), &st, sizeof(st)))
		return;
	st.steal += ns;
	st.version |= 1; /* as it is while the rest changes */
	if (vm_write_guest(vm, steal_gpa(vcpu, version), &st.version, sizeof(st.version)))
		return;
	smp_wmb(); /* in this order, to readers on other vCPUs */
	vm_write_guest(vm, steal_gpa(vcpu, steal), &st.steal, sizeof(st.steal));
	smp_wmb();
	st.version++;
	vm_write_guest(vm, steal_gpa(vcpu, version), &st.version, sizeof(st.version));
}

/*
 * Not preempted any more. Instead of interrupting a vCPU that was, others may have asked for its
 * translations to be dropped. If the page has gone, so has their answer.
 */
static void end_preempted(struct vcpu *vcpu)
{
	u32 word = 0; /* the flags and what fills them up */

	static_assert(offsetof(struct kvm_steal_time, preempted) % sizeof(word) == 0);
	if (vm_xchg_guest(vcpu->vm, steal_gpa(vcpu, preempted), &word) ||
	    (word & KVM_VCPU_FLUSH_TLB))
		vcpu_set_request(vcpu, REQ_GUEST_TLB);
	vcpu->arch.steal.told_preempted = false;
}

void pv_update_steal_time(struct vcpu *vcpu)
{
	if (!steal_time_wanted(vcpu))
		return;
	end_preempted(vcpu); /* also as it was saved with the memory of a guest */
	add_steal_time(vcpu, newly_waited_ns(&vcpu->arch.steal));
}

void pv_load(struct vcpu *vcpu)
{
	if (steal_time_wanted(vcpu) && waited_ns() != vcpu->arch.steal.waited_ns)
		vcpu_set_request(vcpu, REQ_STEAL);
}

/* In the middle of an instruction the vCPU may still use what it has read of the guest's tables. */
void pv_preempted(struct vcpu *vcpu)
{
	const u8 preempted = KVM_VCPU_PREEMPTED;
	struct x86_steal *steal = &vcpu->arch.steal;
	int idx;

	if (!steal_time_wanted(vcpu) || !vcpu->at_boundary || steal->told_preempted)
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	steal->told_preempted =
		!vm_write_guest_nofault(vcpu->vm, steal_gpa(vcpu, preempted), &preempted, 1);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	vcpu_set_request(vcpu, REQ_STEAL);
}

void pv_reset(struct vcpu *vcpu)
{
	vcpu->arch.msr.kvm_steal_time = 0;
	WRITE_ONCE(vcpu->arch.msr.kvm_system_time, 0); /* others look: kvmclock_changed() */
}
