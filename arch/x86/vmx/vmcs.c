// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a VMCS: initial contents, and on which CPU it is active.
 *
 * A VMCS may be active on one CPU at a time, which caches it; before another CPU may load it, the
 * first one must VMCLEAR it (SDM "Software Use of Virtual-Machine Control Structures"). Each CPU
 * therefore lists what is active on it; the list is only touched by that CPU with interrupts off.
 * vmx->cpu is written by the vCPU's own thread (on load) or by the CPU that clears.
 */
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fsgsbase.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/trapnr.h>
#include <asm/tlbflush.h>
#include "vmx.h"

static DEFINE_IDA(vpids);

void vmcs_report_error(unsigned long field, bool write)
{
	pr_err_once("VM%s of field %#lx failed: error %lu\n", write ? "WRITE" : "READ", field,
		    field == VMCS_EXIT_INSN_ERROR
			    ? 0
			    : (unsigned long)vmcs_read32(VMCS_EXIT_INSN_ERROR));
}

/* --- active or clear --- */

static void clear_here(struct vmx_vcpu *vmx)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

	if (!vmx_vmclear(vmx->vmcs_pa))
		pr_err_once("VMCLEAR failed\n");
	list_del_init(&vmx->node);
	if (c->last == vmx)
		c->last = NULL;
	vmx->launched = false;
	/*
	 * The region's cached data is in memory before another CPU may see it clear; pairs with the
	 * acquire in backend_load().
	 */
	smp_store_release(&vmx->cpu, -1);
}

void vmcs_clear_loaded_here(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

	while (!list_empty(&c->loaded))
		clear_here(list_first_entry(&c->loaded, struct vmx_vcpu, node));
}

static void clear_by_ipi(void *data)
{
	struct vmx_vcpu *vmx = data;

	/* Its CPU may have gone offline, and cleared it, before the IPI came. */
	if (vmx->cpu == smp_processor_id())
		clear_here(vmx);
}

void vmcs_clear(struct vmx_vcpu *vmx)
{
	int cpu = smp_load_acquire(&vmx->cpu);

	/* An error means that the CPU is offline: it has cleared everything on its way out. */
	if (cpu >= 0)
		smp_call_function_single(cpu, clear_by_ipi, vmx, 1);
}

/* --- host state --- */

/* Fields that differ from CPU to CPU. */
static void write_host_cpu_state(void)
{
	const struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

	vmcs_write_nat(VMCS_HOST_TR_BASE, c->tr_base);
	vmcs_write_nat(VMCS_HOST_GDTR_BASE, c->gdt_base);
	vmcs_write_nat(VMCS_HOST_IDTR_BASE, c->idt_base);
	vmcs_write_nat(VMCS_HOST_GS_BASE, c->gs_base);
	vmcs_write_nat(VMCS_HOST_SYSENTER_ESP, c->sysenter_esp);
}

/* Fields that never change while the host runs. */
static void write_host_constants(void)
{
	unsigned long eip;
	u32 cs;
	u64 value;

	vmcs_write_nat(VMCS_HOST_CR0, read_cr0() & ~X86_CR0_TS);
	vmcs_write16(VMCS_HOST_CS_SEL, __KERNEL_CS);
	vmcs_write16(VMCS_HOST_SS_SEL, __KERNEL_DS);
	/* Null: a user's selectors could not be loaded here; backend_put() restores them. */
	vmcs_write16(VMCS_HOST_DS_SEL, 0);
	vmcs_write16(VMCS_HOST_ES_SEL, 0);
	vmcs_write16(VMCS_HOST_FS_SEL, 0);
	vmcs_write16(VMCS_HOST_GS_SEL, 0);
	vmcs_write16(VMCS_HOST_TR_SEL, GDT_ENTRY_TSS * 8);
	rdmsrl(MSR_IA32_SYSENTER_CS, cs);
	vmcs_write32(VMCS_HOST_SYSENTER_CS, cs);
	rdmsrl(MSR_IA32_SYSENTER_EIP, eip);
	vmcs_write_nat(VMCS_HOST_SYSENTER_EIP, eip);
	rdmsrl(MSR_IA32_CR_PAT, value);
	vmcs_write64(VMCS_HOST_PAT, value);
	rdmsrl(MSR_EFER, value);
	vmcs_write64(VMCS_HOST_EFER, value);
	vmcs_write_nat(VMCS_HOST_RIP, (unsigned long)vmx_exit_point);
}

/* --- load and put --- */

static void save_host_thread(struct vmx_vcpu *vmx)
{
	unsigned long fs_base = x86_fsbase_read_cpu();

	savesegment(ds, vmx->host_ds);
	savesegment(es, vmx->host_es);
	savesegment(fs, vmx->host_fs);
	savesegment(gs, vmx->host_gs);
	if (fs_base != vmx->host_fs_base)
		vmcs_write_nat(VMCS_HOST_FS_BASE, fs_base);
	vmx->host_fs_base = fs_base;
	vmx->host_kernel_gs = vmx_read_msr(MSR_KERNEL_GS_BASE);
	native_store_gdt(&vmx->host_gdt);
	vmx->host_saved = true;
}

/* A guest's value replaces the host's in an MSR that no host kernel code depends on. */
static __always_inline void swap_msr(u32 msr, u64 from, u64 to)
{
	if (from != to)
		vmx_write_msr(msr, to);
}

static void swap_syscall_msrs(const struct x86_syscall_msrs *from,
			      const struct x86_syscall_msrs *to)
{
	swap_msr(MSR_STAR, from->star, to->star);
	swap_msr(MSR_LSTAR, from->lstar, to->lstar);
	swap_msr(MSR_CSTAR, from->cstar, to->cstar);
	swap_msr(MSR_SYSCALL_MASK, from->fmask, to->fmask);
}

/* They stay the host's as long as EFER.SCE keeps the guest from SYSCALL and SYSRET. */
void vmx_load_syscall_msrs(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->syscall_loaded || !(vcpu->arch.efer & EFER_SCE))
		return;
	vmx->syscall_loaded = true;
	swap_syscall_msrs(&this_cpu_ptr(&vmx_cpu)->host.syscall, &vcpu->arch.msr.syscall);
}

void vmx_put_syscall_msrs(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (!vmx->syscall_loaded)
		return;
	vmx->syscall_loaded = false;
	swap_syscall_msrs(&vcpu->arch.msr.syscall, &this_cpu_ptr(&vmx_cpu)->host.syscall);
}

static void load_guest_msrs(struct vcpu *vcpu, const struct vmx_host_msrs *host)
{
	const struct x86_msrs *m = &vcpu->arch.msr;

	vmx_load_syscall_msrs(vcpu);
	if (boot_cpu_has(X86_FEATURE_RDTSCP))
		swap_msr(MSR_TSC_AUX, host->tsc_aux, m->tsc_aux);
	vmx_write_msr(MSR_KERNEL_GS_BASE, m->kernel_gs_base);
}

static void load_host_msrs(struct vcpu *vcpu, const struct vmx_host_msrs *host)
{
	struct x86_msrs *m = &vcpu->arch.msr;

	/* SWAPGS changes it without an exit. */
	m->kernel_gs_base = vmx_read_msr(MSR_KERNEL_GS_BASE);
	vmx_put_syscall_msrs(vcpu);
	if (boot_cpu_has(X86_FEATURE_RDTSCP))
		swap_msr(MSR_TSC_AUX, m->tsc_aux, host->tsc_aux);
}

/* On the CPU of @c; @moved: the VMCS is clear, and was active elsewhere if anywhere. */
static void make_current(struct vcpu *vcpu, struct vmx_cpu *c, bool moved)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	unsigned long flags;

	local_irq_save(flags);
	if (moved) {
		list_add(&vmx->node, &c->loaded);
		vmx->cpu = smp_processor_id();
	}
	if (!vmx_vmptrld(vmx->vmcs_pa))
		pr_err_once("VMPTRLD failed\n");
	if (moved) {
		write_host_cpu_state();
		/* Translations this CPU still has from an earlier stay may be stale. */
		vcpu_set_request(vcpu, REQ_TLB_FLUSH);
		vcpu_set_request(vcpu, REQ_GUEST_TLB);
	}
	indirect_branch_prediction_barrier();
	c->last = vmx;
	local_irq_restore(flags);
}

void backend_load(struct vcpu *vcpu, int cpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_cpu *c = per_cpu_ptr(&vmx_cpu, cpu);
	bool moved;

	moved = smp_load_acquire(&vmx->cpu) != cpu; /* pairs with clear_here() */
	if (moved)
		vmcs_clear(vmx);
	/*
	 * ->last ran here last, and its VMCS is still the current one. If moved it may be a vCPU
	 * that is gone, at whose address this one was made.
	 */
	if (moved || c->last != vmx)
		make_current(vcpu, c, moved);
	save_host_thread(vmx);
	load_guest_msrs(vcpu, &c->host);
	idle_load(vmx);
	pi_load(vcpu, cpu);
	preempt_timer_load(vcpu);
}

void backend_put(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	const struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

	if (!vmx->host_saved)
		return;
	vmx->host_saved = false;
	pi_put(vcpu);
	load_host_msrs(vcpu, &c->host);
	/*
	 * An exit leaves null selectors, and limits of 64 KiB and 0x67 in GDTR and TR. A selector
	 * brings its descriptor's base along, which need not be the one the thread has set since.
	 */
	if (vmx->host_fs & ~3) {
		loadsegment(fs, vmx->host_fs);
		wrmsrl(MSR_FS_BASE, vmx->host_fs_base);
	}
	if (vmx->host_gs & ~3)
		load_gs_index(vmx->host_gs);
	vmx_write_msr(MSR_KERNEL_GS_BASE, vmx->host_kernel_gs);
	if ((vmx->host_ds | vmx->host_es) & ~3) {
		loadsegment(ds, vmx->host_ds);
		loadsegment(es, vmx->host_es);
	}
	invalidate_tss_limit();
	native_load_gdt(&vmx->host_gdt);
}

/* --- create and destroy --- */

static void write_initial_controls(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 eptp = ept_pointer(vcpu->vm->arch.ept);

	vmcs_write32(VMCS_CTRL_PIN, vmx->pin);
	vmcs_write32(VMCS_CTRL_PROC, vmx->proc);
	vmcs_write32(VMCS_CTRL_PROC2, vmx->proc2);
	vmcs_write32(VMCS_CTRL_EXIT, vmx_caps.exit);
	vmcs_write32(VMCS_CTRL_ENTRY, vmx->entry);
	vmcs_write32(VMCS_CTRL_EXCEPTIONS, VMX_EXCEPTIONS);
	vmcs_write32(VMCS_CTRL_PF_MASK, 0);
	vmcs_write32(VMCS_CTRL_PF_MATCH, 0);
	vmcs_write32(VMCS_CTRL_CR3_TARGETS, 0);
	vmcs_write32(VMCS_CTRL_EXIT_STORE_N, 0);
	vmcs_write32(VMCS_CTRL_EXIT_LOAD_N, 0);
	vmcs_write32(VMCS_CTRL_ENTRY_LOAD_N, 0);
	vmcs_write32(VMCS_CTRL_ENTRY_INTR, 0);
	vmcs_write64(VMCS_CTRL_EPTP, eptp);
	if (vmx->vpid)
		vmcs_write16(VMCS_CTRL_VPID, vmx->vpid);
	if (vmx->proc2 & PROC2_XSAVES)
		vmcs_write64(VMCS_CTRL_XSS_BITMAP, 0); /* IA32_XSS is 0: nothing to intercept */
	vmcs_write64(VMCS_GUEST_LINK_POINTER, ~0ull);
	vmcs_write64(VMCS_GUEST_DEBUGCTL, 0);
}

static int alloc_parts(struct vmx_vcpu *vmx)
{
	int vpid;

	vmx->vmcs = (struct vmcs *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->vmcs)
		return -ENOMEM;
	if (!(vmx_caps.proc2 & PROC2_VPID))
		return 0;
	vpid = ida_alloc_range(&vpids, 1, U16_MAX, GFP_KERNEL);
	if (vpid == -ENOMEM)
		return vpid;
	/* All in use: VPID 0 is the host's and can't be given; this vCPU runs without. */
	vmx->vpid = vpid > 0 ? vpid : 0;
	return 0;
}

static void free_parts(struct vmx_vcpu *vmx)
{
	if (vmx->vpid)
		ida_free(&vpids, vmx->vpid);
	free_page((unsigned long)vmx->vmcs);
	kfree(vmx);
}

int backend_vcpu_init(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = kzalloc(sizeof(*vmx), GFP_KERNEL_ACCOUNT);
	int r;

	if (!vmx)
		return -ENOMEM;
	vmx->vcpu = vcpu;
	vmx->cpu = -1;
	INIT_LIST_HEAD(&vmx->node);
	r = alloc_parts(vmx);
	if (r) {
		free_parts(vmx);
		return r;
	}
	vcpu->arch.vmx = vmx;
	vmx->vmcs_pa = __pa(vmx->vmcs);
	vmx->vmcs->revision = vmx_caps.revision;
	vmx->pin = vmx_caps.pin;
	vmx->proc = vmx_caps.proc;
	vmx->proc2 = vmx->vpid ? vmx_caps.proc2 : vmx_caps.proc2 & ~PROC2_VPID;
	vmx->entry = vmx_caps.entry;
	vmx->no_exits = vcpu->vm->arch.disabled_exits;
	vmx->host_fs_base = ~0ull; /* not in the VMCS yet */
	pi_vcpu_init(vcpu);
	preempt_timer_vcpu_init(vcpu);

	/* A region is clear only after VMCLEAR has initialized it. */
	preempt_disable();
	vmx_vmclear(vmx->vmcs_pa);
	preempt_enable();

	vcpu_load(vcpu);
	write_initial_controls(vcpu);
	write_host_constants();
	backend_open_msrs(vcpu);
	apicv_vcpu_init(vcpu);
	idle_vcpu_init(vcpu);
	vcpu_put(vcpu);
	return 0;
}

void backend_vcpu_destroy(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (!vmx)
		return;
	vmcs_clear(vmx);
	ept_free_spares(vmx);
	msr_bitmap_drop(vcpu);
	free_parts(vmx);
	vcpu->arch.vmx = NULL;
}

int backend_vm_init(struct vm *vm)
{
	int r;

	msr_bitmap_vm_init(vm);
	r = apicv_vm_init(vm);

	if (r)
		return r;
	vm->arch.ept = ept_create();
	if (vm->arch.ept)
		return 0;
	apicv_vm_destroy(vm);
	return -ENOMEM;
}

void backend_vm_destroy(struct vm *vm)
{
	if (vm->arch.ept)
		ept_destroy(vm->arch.ept);
	vm->arch.ept = NULL;
	apicv_vm_destroy(vm);
}
