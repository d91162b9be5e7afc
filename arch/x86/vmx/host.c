// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMX on the physical CPUs: VMXON everywhere at module load, following CPU hotplug, suspend,
 * reboot and crash; VMXOFF at unload. Also what every entry needs of its CPU: the host's
 * descriptor tables and MSRs.
 *
 * VMX belongs to one hypervisor at a time. CR4.VMXE tells whether another one has it; besides, the
 * CPU-hotplug state that in-tree KVM would take is taken by us, so that it can't start beside us.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/mm.h>
#include <linux/syscore_ops.h>
#include <asm/cpufeature.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/reboot.h>
#include <asm/tlbflush.h>
#include <compat_x86.h>
#include "vmx.h"

DEFINE_PER_CPU(struct vmx_cpu, vmx_cpu);

/* Base of the TSS descriptor that TR selects: four pieces, SDM "TSS Descriptor in 64-bit Mode". */
static unsigned long current_tss_base(unsigned long gdt_base)
{
	const struct ldttss_desc *d;
	u16 tr;

	store_tr(tr);
	d = (const struct ldttss_desc *)(gdt_base + (tr & ~7));
	return d->base0 | ((unsigned long)d->base1 << 16) | ((unsigned long)d->base2 << 24) |
	       ((unsigned long)d->base3 << 32);
}

static void note_host_state(struct vmx_cpu *c)
{
	struct desc_ptr table;

	native_store_gdt(&table);
	c->gdt_base = table.address;
	c->tr_base = current_tss_base(table.address);
	store_idt(&table);
	c->idt_base = table.address;
	rdmsrl(MSR_GS_BASE, c->gs_base);
	rdmsrl(MSR_IA32_SYSENTER_ESP, c->sysenter_esp);
	rdmsrl(MSR_STAR, c->host.syscall.star);
	rdmsrl(MSR_LSTAR, c->host.syscall.lstar);
	rdmsrl(MSR_CSTAR, c->host.syscall.cstar);
	rdmsrl(MSR_SYSCALL_MASK, c->host.syscall.fmask);
	if (boot_cpu_has(X86_FEATURE_RDTSCP))
		rdmsrl(MSR_TSC_AUX, c->host.tsc_aux);
}

/* Interrupts off, or in the CPU's own hotplug thread. -EBUSY: CR4.VMXE is another's. */
static int enable_this_cpu(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	int r;

	if (c->on)
		return 0;
	if (__read_cr4() & X86_CR4_VMXE)
		return -EBUSY;
	*(u32 *)page_address(c->vmxon) = vmx_caps.revision;
	cr4_set_bits(X86_CR4_VMXE);
	r = vmx_vmxon(__pa(page_address(c->vmxon)));
	if (r) {
		cr4_clear_bits(X86_CR4_VMXE);
		return r;
	}
	note_host_state(c);
	c->on = true;
	return 0;
}

/* Interrupts off. */
static void disable_this_cpu(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

	if (!c->on)
		return;
	vmcs_clear_loaded_here();
	vmx_vmxoff();
	cr4_clear_bits(X86_CR4_VMXE);
	c->on = false;
	c->last = NULL;
}

static void disable_by_ipi(void *unused)
{
	disable_this_cpu();
}

static int vmx_cpu_online(unsigned int cpu)
{
	unsigned long flags;
	int r;

	local_irq_save(flags);
	r = enable_this_cpu();
	local_irq_restore(flags);
	if (r == -EBUSY)
		pr_err("CPU %u: VMX is in use by another hypervisor; unload it (rmmod kvm_intel) "
		       "and retry\n",
		       cpu);
	else if (r)
		pr_err("CPU %u: VMXON failed\n", cpu);
	return r;
}

static int vmx_cpu_offline(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	disable_this_cpu();
	local_irq_restore(flags);
	pi_cpu_offline();
	return 0;
}

/* syscore: one CPU is left, interrupts are off. */
static int suspend(COMPAT_SYSCORE_DATA)
{
	disable_this_cpu();
	return 0;
}

static void resume(COMPAT_SYSCORE_DATA)
{
	if (enable_this_cpu())
		pr_err("VMX did not come back after suspend; running VMs will fail\n");
}

/* Reboot and kexec: a CPU in VMX operation would ignore INIT. */
static void shutdown(COMPAT_SYSCORE_DATA)
{
	on_each_cpu(disable_by_ipi, NULL, 1);
}

static COMPAT_SYSCORE_CONST struct syscore_ops syscore_ops = {
	.suspend = suspend,
	.resume = resume,
	.shutdown = shutdown,
};
COMPAT_SYSCORE(syscore, syscore_ops);

#ifdef HAVE_EMERGENCY_VIRT_CALLBACK
/* A crash: interrupts off, any state; only what a kexec'd kernel can't do without. */
static void emergency_disable(void)
{
	if (__read_cr4() & X86_CR4_VMXE) {
		vmx_vmxoff();
		cr4_clear_bits(X86_CR4_VMXE);
	}
}
#else /* these kernels look at CR4.VMXE themselves */
static void emergency_disable(void)
{
}
#define cpu_emergency_register_virt_callback(f)   ((void)(f))
#define cpu_emergency_unregister_virt_callback(f) ((void)(f))
#endif

/* Raw CPUID: the kernel hides the feature bit when firmware has locked VMX off. */
static int __init check_cpu(void)
{
	u64 control = 0;

	if (!(cpuid_ecx(1) & BIT(5))) {
		pr_err("this CPU has no VMX; use the lab (tools/lab/lab) or a machine with VT-x\n");
		return -ENODEV;
	}
	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &control) ||
	    !(control & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)) {
		pr_err("VMX is %s by the firmware; enable it in the BIOS set-up (Intel VT-x)\n",
		       control & FEAT_CTL_LOCKED ? "locked off" : "not enabled");
		return -EPERM;
	}
#ifdef X86_CR4_FRED
	if (__read_cr4() & X86_CR4_FRED) {
		pr_err("hosts that run with FRED are not supported; boot with fred=off\n");
		return -ENODEV;
	}
#endif
	return 0;
}

static void free_vmxon_regions(void)
{
	int cpu;

	for_each_possible_cpu (cpu) {
		if (per_cpu(vmx_cpu, cpu).vmxon)
			__free_page(per_cpu(vmx_cpu, cpu).vmxon);
		per_cpu(vmx_cpu, cpu).vmxon = NULL;
	}
}

static int __init alloc_vmxon_regions(void)
{
	int cpu;

	for_each_possible_cpu (cpu) {
		struct vmx_cpu *c = &per_cpu(vmx_cpu, cpu);

		INIT_LIST_HEAD(&c->loaded);
		c->vmxon = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		if (!c->vmxon) {
			free_vmxon_regions();
			return -ENOMEM;
		}
	}
	return 0;
}

int __init backend_setup(void)
{
	int r;

	r = check_cpu();
	if (r)
		return r;
	r = vmx_caps_init();
	if (r)
		return r;
	r = alloc_vmxon_regions();
	if (r)
		return r;
	r = cpuhp_setup_state(COMPAT_CPUHP_VMX, "apicvisor:online", vmx_cpu_online,
			      vmx_cpu_offline);
	if (r < 0) {
		if (r == -EBUSY)
			pr_err("another hypervisor (kvm_intel?) has VMX; unload it and retry\n");
		free_vmxon_regions();
		return r;
	}
	pi_module_init();
	compat_register_syscore(&syscore);
	cpu_emergency_register_virt_callback(emergency_disable);
	return 0;
}

void backend_teardown(void)
{
	cpu_emergency_unregister_virt_callback(emergency_disable);
	compat_unregister_syscore(&syscore);
	pi_module_exit();
	cpuhp_remove_state(COMPAT_CPUHP_VMX);
	free_vmxon_regions();
}
