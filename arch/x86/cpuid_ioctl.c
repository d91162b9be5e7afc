// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID between userspace, the vCPU and the policy in cpuid.c: KVM_GET_SUPPORTED_CPUID,
 * KVM_GET/SET_CPUID2, and what the rest of the module asks about a guest's features.
 *
 * The vCPU's list belongs to its own thread (vcpu->lock). Left out: KVM_SET_CPUID (the form without
 * subleaves) and KVM_GET_EMULATED_CPUID (nothing is emulated that the host lacks).
 */
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/processor.h>
#include <backend.h>
#include <cpuid.h>
#include <vcpu.h>

#define LEAF1_ECX_MONITOR BIT(3)

/* What this host offers; constant while the module is loaded. */
static struct kvm_cpuid_entry2 *supported;
static u32 nr_supported;

/* --- module --- */

static void host_cpuid(u32 leaf, u32 sub, u32 regs[CPUID_REGS])
{
	cpuid_count(leaf, sub, &regs[CPUID_REG_EAX], &regs[CPUID_REG_EBX], &regs[CPUID_REG_ECX],
		    &regs[CPUID_REG_EDX]);
}

int __init cpuid_host_init(void)
{
	struct cpuid_limits limits = { .gpa_bits = VM_GPA_BITS, .tsc_khz = tsc_khz };
	int r;

	supported = kcalloc(CPUID_MAX_SUPPORTED, sizeof(*supported), GFP_KERNEL);
	if (!supported)
		return -ENOMEM;
	fpu_host_init();
	limits.pv = pv_features();
	limits.xcr0 = x86_host.xcr0;
	limits.pku = x86_host.xcr0 & XFEATURE_MASK_PKRU;
	/* CPUID has them also where firmware has turned them off: the kernel has looked. */
	limits.strings = boot_cpu_has(X86_FEATURE_ERMS);
	backend_cpuid_limits(&limits);
	r = cpuid_supported(&limits, host_cpuid, supported, CPUID_MAX_SUPPORTED, &nr_supported);
	if (r) {
		cpuid_host_exit();
		return r;
	}
	regs_host_init(supported, nr_supported);
	return 0;
}

void cpuid_host_exit(void)
{
	kfree(supported);
	supported = NULL;
	nr_supported = 0;
}

/* --- questions about one vCPU --- */

bool vcpu_has_cpuid(struct vcpu *vcpu, u32 leaf, u32 sub, unsigned int reg, u32 bit)
{
	return cpuid_has(vcpu->arch.cpuid, vcpu->arch.nr_cpuid, leaf, sub, reg, bit);
}

void vcpu_cpuid(struct vcpu *vcpu)
{
	u64 *regs = vcpu->arch.regs;
	struct cpuid_result r = cpuid_query(vcpu->arch.cpuid, vcpu->arch.nr_cpuid,
					    (u32)regs[REG_RAX], (u32)regs[REG_RCX]);

	regs[REG_RAX] = r.eax;
	regs[REG_RBX] = r.ebx;
	regs[REG_RCX] = r.ecx;
	regs[REG_RDX] = r.edx;
}

/* See set_misc_enable(). */
static void follow_misc_enable(struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 n)
{
	u32 i;

	if (vcpu_has_quirk(vcpu, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
		return;
	for (i = 0; i < n; i++) {
		if (entries[i].function != 1)
			continue;
		entries[i].ecx &= ~LEAF1_ECX_MONITOR;
		if (vcpu->arch.msr.misc_enable & MSR_IA32_MISC_ENABLE_MWAIT)
			entries[i].ecx |= LEAF1_ECX_MONITOR;
	}
}

/* Who has its CPU for itself, and halts there without exits, had better spin than halt for a lock. */
static void follow_hlt(struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 n)
{
	u32 i;

	if (!(READ_ONCE(vcpu->vm->arch.disabled_exits) & KVM_X86_DISABLE_EXITS_HLT))
		return;
	for (i = 0; i < n; i++)
		if (entries[i].function == KVM_CPUID_FEATURES)
			entries[i].eax &= ~BIT(KVM_FEATURE_PV_UNHALT);
}

static void update_runtime(struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 n)
{
	cpuid_update_runtime(entries, n, vcpu_reg(vcpu, REG_CR4), vcpu->arch.xcr0,
			     vcpu_apic_base(vcpu) & MSR_IA32_APICBASE_ENABLE);
	follow_misc_enable(vcpu, entries, n);
	follow_hlt(vcpu, entries, n);
}

void vcpu_update_cpuid(struct vcpu *vcpu)
{
	if (vcpu->arch.nr_cpuid)
		update_runtime(vcpu, vcpu->arch.cpuid, vcpu->arch.nr_cpuid);
}

/* --- ioctls --- */

/* Hand out @n entries and their number; -E2BIG, and nent as it was, if there is less room. */
static long copy_list(void __user *arg, const struct kvm_cpuid_entry2 *entries, u32 n)
{
	struct kvm_cpuid2 __user *user = arg;
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nent < n)
		return -E2BIG;
	if (copy_to_user(user->entries, entries, n * sizeof(*entries)) || put_user(n, &user->nent))
		return -EFAULT;
	return 0;
}

long cpuid_ioctl_supported(void __user *arg)
{
	return copy_list(arg, supported, nr_supported);
}

long cpuid_ioctl_get(struct vcpu *vcpu, void __user *arg)
{
	return copy_list(arg, vcpu->arch.cpuid, vcpu->arch.nr_cpuid);
}

/* A guest that has run must not find another processor; setting the same again is harmless. */
static bool same_list(struct vcpu *vcpu, const struct kvm_cpuid_entry2 *entries, u32 n)
{
	const struct kvm_cpuid_entry2 *old = vcpu->arch.cpuid;
	u32 i;

	if (n != vcpu->arch.nr_cpuid)
		return false;
	for (i = 0; i < n; i++)
		if (old[i].function != entries[i].function || old[i].index != entries[i].index ||
		    old[i].flags != entries[i].flags || old[i].eax != entries[i].eax ||
		    old[i].ebx != entries[i].ebx || old[i].ecx != entries[i].ecx ||
		    old[i].edx != entries[i].edx)
			return false;
	return true;
}

/* The list is in place: derive what others read all the time. */
static void list_changed(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;

	arch->maxphyaddr = cpuid_maxphyaddr(arch->cpuid, arch->nr_cpuid);
	arch->gbpages = vcpu_has_cpuid(vcpu, 0x80000001, 0, CPUID_REG_EDX, 26);
	arch->guest_supported_xcr0 = cpuid_xcr0(arch->cpuid, arch->nr_cpuid, x86_host.xcr0);
	if (vcpu->vm->irqchip_mode != IRQCHIP_NONE) {
		arch->apic.maxphyaddr = arch->maxphyaddr;
		arch->apic.has_x2apic = vcpu_has_cpuid(vcpu, 1, 0, CPUID_REG_ECX, 21);
	}
	backend_cpuid_changed(vcpu);
}

static long set_list(struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 n)
{
	int r = cpuid_validate(entries, n);

	if (r)
		return r;
	update_runtime(vcpu, entries, n);
	if (vcpu->stats.entries && !same_list(vcpu, entries, n))
		return -EINVAL;
	swap(entries, vcpu->arch.cpuid);
	vcpu->arch.nr_cpuid = n;
	kvfree(entries);
	list_changed(vcpu);
	return 0;
}

long cpuid_ioctl_set(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_cpuid2 __user *user = arg;
	struct kvm_cpuid_entry2 *entries = NULL;
	struct kvm_cpuid2 head;
	long r;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nent > X86_MAX_CPUID)
		return -E2BIG;
	if (head.nent) {
		entries = vmemdup_user(user->entries, head.nent * sizeof(*entries));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	r = set_list(vcpu, entries, head.nent);
	if (r)
		kvfree(entries);
	return r;
}
