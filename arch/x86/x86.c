// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arch glue for virt/: module life, capabilities, the life of a VM and of a vCPU. The ioctls
 * themselves stand in ioctl.c and behind it; entering the guest stands in enter.c.
 */
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/tsc.h>
#include <arch.h>
#include <backend.h>
#include <fetch.h>

/* --- module --- */

int __init arch_init(void)
{
	int r = backend_setup();

	if (r)
		return r;
	r = cpuid_host_init();
	if (r)
		backend_teardown();
	return r;
}

void arch_exit(void)
{
	cpuid_host_exit();
	backend_teardown();
}

/* --- capabilities --- */

/* What x86 adds to the table in virt/dev.c. Advertising is a promise. */
static const struct {
	u32 cap;
	u32 value;
} capabilities[] = {
	/* clang-format off */
	/* interrupt controllers */
	{ KVM_CAP_IRQCHIP, 1 },			/* KVM_CREATE_IRQCHIP: LAPICs, IOAPIC, PIC pair */
	{ KVM_CAP_SPLIT_IRQCHIP, 1 },		/* LAPICs alone */
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },	/* KVM_IRQ_LINE_STATUS */
	{ KVM_CAP_IRQ_ROUTING, IRQCHIP_MAX_GSI },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },	/* levels mean "asserted" */
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },	/* CPUID leaves it clear; userspace may set it */
	{ KVM_CAP_X2APIC_API,
	  KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK },
#ifdef KVM_CAP_X86_APIC_BUS_CYCLES_NS
	{ KVM_CAP_X86_APIC_BUS_CYCLES_NS, 1 },	/* the default, in ns */
#endif
	/* vCPUs */
	{ KVM_CAP_NOP_IO_DELAY, 1 }, /* ports answer at once: guests need no pauses */
	{ KVM_CAP_HLT, 1 },			/* HLT sleeps in the kernel */
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },	/* EFLAGS.TF is the guest's alone */
	{ KVM_CAP_XSAVE, 1 },			/* 4 KiB image; also without XSAVE in the CPU */
	{ KVM_CAP_EXT_CPUID, 1 },		/* KVM_SET_CPUID2 */
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_X86_USER_SPACE_MSR, 1 },	/* exits instead of #GP */
	{ KVM_CAP_X86_MSR_FILTER, 1 },
	{ KVM_CAP_MCE, X86_MCE_BANKS },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1 },	/* can be kept from the guest */
	{ KVM_CAP_DISABLE_QUIRKS2, X86_QUIRKS },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1 }, /* always, whether asked to or not */
	{ KVM_CAP_EXCEPTION_PAYLOAD, 1 },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1 },
	{ KVM_CAP_SYS_ATTRIBUTES, 1 },		/* KVM_GET_DEVICE_ATTR on the node */
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },		/* the same on a vCPU */
	{ KVM_CAP_XSAVE2, 4096 },		/* no component needs more */
	/* time */
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_ADJUST_CLOCK, KVMCLOCK_FLAGS },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	/* what guests know of KVM */
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 }, /* always, whether asked to or not */
	/* history: accepted, and of no consequence with an unrestricted guest */
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },	/* KVM_SET_NR_MMU_PAGES */
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
	{ KVM_CAP_ENABLE_CAP, 1 },		/* on a vCPU */
	/* clang-format on */
};

long arch_check_extension(struct vm *vm, u32 cap)
{
	unsigned int i;

	if (cap == KVM_CAP_XCRS)
		return x86_host.xcr0 != 0;
	if (cap == KVM_CAP_TSC_CONTROL || cap == KVM_CAP_VM_TSC_CONTROL)
		return backend_scales_tsc();
	if (cap == KVM_CAP_X86_DISABLE_EXITS)
		return backend_disable_exits();
	if (cap == KVM_CAP_VAPIC)
		return !backend_virtualizes_tpr();
	if (cap == KVM_CAP_SET_GUEST_DEBUG2)
		return debug_control_bits();
	for (i = 0; i < ARRAY_SIZE(capabilities); i++)
		if (capabilities[i].cap == cap)
			return capabilities[i].value;
	return 0;
}

/* --- VM --- */

int arch_vm_init(struct vm *vm)
{
	irqchip_init(&vm->chip, &irqchip_host_ops, vm);
	irqchip_host_vm_init(vm);
	clock_vm_init(vm);
	return backend_vm_init(vm);
}

void arch_vm_pre_destroy(struct vm *vm)
{
	irqchip_host_vm_stop(vm);
}

void arch_vm_destroy(struct vm *vm)
{
	irqchip_vm_destroy(vm);
	msr_filter_destroy(vm);
	backend_vm_destroy(vm);
}

/* --- vCPU --- */

static bool is_boot_cpu(const struct vcpu *vcpu)
{
	return vcpu->id == vcpu->vm->arch.boot_cpu_id;
}

/* SDM "Processor States Following Power-up, Reset, or INIT". The vCPU is loaded. */
void vcpu_reset(struct vcpu *vcpu, bool init_event)
{
	struct x86_events *ev = &vcpu->arch.ev;

	memset(&ev->exception, 0, sizeof(ev->exception));
	memset(&ev->interrupt, 0, sizeof(ev->interrupt));
	ev->nmi_injected = false;
	atomic_set(&ev->nmi_pending, 0);

	backend_vcpu_reset(vcpu);
	regs_reset(vcpu, init_event);
	msr_reset(vcpu, init_event);
	if (init_event && vcpu->vm->irqchip_mode != IRQCHIP_NONE) {
		vlapic_reset(&vcpu->arch.apic, true);
		vapic_reset(vcpu);
	}
	pv_reset(vcpu);
	vcpu_update_cpuid(vcpu);
	vcpu_set_request(vcpu, REQ_EVENT);
}

/* Where the LAPIC is in userspace, so are INIT and SIPI: each vCPU runs when it is told to. */
static void init_without_lapic(struct vcpu *vcpu)
{
	vcpu->arch.apic_base = LAPIC_DEFAULT_BASE | MSR_IA32_APICBASE_ENABLE;
	if (is_boot_cpu(vcpu))
		vcpu->arch.apic_base |= MSR_IA32_APICBASE_BSP;
	vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
}

static int init_lapic(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;

	arch->apic_page = (u32 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!arch->apic_page)
		return -ENOMEM;
	vlapic_init(&arch->apic, arch->apic_page, vcpu->id, is_boot_cpu(vcpu));
	irqchip_host_vcpu_init(vcpu);
	arch->mp_state = is_boot_cpu(vcpu) ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
	return 0;
}

static void power_on(struct vcpu *vcpu)
{
	mutex_lock(&vcpu->lock);
	vcpu_load(vcpu);
	vcpu_reset(vcpu, false);
	clock_vcpu_init(vcpu);
	vcpu_put(vcpu);
	mutex_unlock(&vcpu->lock);
}

int arch_vcpu_init(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	int r;

	if (vm->arch.max_vcpu_ids && vcpu->id >= vm->arch.max_vcpu_ids)
		return -EINVAL;
	vcpu->arch.maxphyaddr = 36; /* the SDM's default where CPUID does not say */
	r = fpu_vcpu_init(vcpu);
	if (r)
		return r;
	if (vm->irqchip_mode == IRQCHIP_NONE)
		init_without_lapic(vcpu);
	else
		r = init_lapic(vcpu);
	if (r)
		goto fail_lapic;
	r = backend_vcpu_init(vcpu);
	if (r)
		goto fail_backend;
	/* Last: there is no detaching, and interrupts can come from here on. */
	if (vm->irqchip_mode != IRQCHIP_NONE) {
		r = irqchip_attach(&vm->chip, vcpu->index, &vcpu->arch.apic);
		if (r)
			goto fail_attach;
	}
	power_on(vcpu);
	return 0;

fail_attach:
	backend_vcpu_destroy(vcpu);
fail_backend:
	free_page((unsigned long)vcpu->arch.apic_page);
fail_lapic:
	fpu_vcpu_destroy(vcpu);
	return r;
}

void arch_vcpu_destroy(struct vcpu *vcpu)
{
	backend_vcpu_destroy(vcpu);
	io_vcpu_destroy(vcpu);
	fetch_vcpu_destroy(vcpu);
	free_page((unsigned long)vcpu->arch.apic_page);
	fpu_vcpu_destroy(vcpu);
	kvfree(vcpu->arch.cpuid);
}

void arch_vcpu_load(struct vcpu *vcpu, int cpu)
{
	backend_load(vcpu, cpu);
	pv_load(vcpu);
}

void arch_vcpu_put(struct vcpu *vcpu)
{
	if (READ_ONCE(vcpu->preempted))
		pv_preempted(vcpu);
	backend_put(vcpu);
}

/* --- statistics --- */

u64 arch_count_interrupts(struct vcpu *vcpu, u64 *counts)
{
	unsigned int path;

	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return 0;
	for (path = 0; path < IRQ_PATH_NR; path++)
		counts[path] += env_counter_get(&vcpu->arch.apic.delivered[path]);
	return env_counter_get(&vcpu->arch.apic.coalesced);
}
