// SPDX-License-Identifier: GPL-2.0-only
/*
 * One VM entry and exit: what must be in the processor before, what must be saved after, and the
 * host's own interrupts, NMIs and machine checks, which an exit only announces.
 *
 * Everything here runs with interrupts off. Between "mode = IN_GUEST" and "mode = OUTSIDE" of
 * arch/x86/enter.c are one or more entries, between which the processor keeps what an entry does
 * not switch: backend_load_guest(). Only fields that changed are written.
 */
#include <linux/hw_breakpoint.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/pkru.h>
#include <asm/special_insns.h>
#include <asm/trapnr.h>
#include <guest_context.h>
#include "vmx.h"

/* Registers that live in the VMCS while the guest runs; known again only when asked for. */
#define LAZY_REGS \
	(BIT(REG_RSP) | BIT(REG_RIP) | BIT(REG_RFLAGS) | BIT(REG_CR0) | BIT(REG_CR3) | BIT(REG_CR4))

static void write_dirty_regs(struct vcpu *vcpu)
{
	u32 dirty = vcpu->arch.regs_dirty;

	if (dirty & BIT(REG_RSP))
		vmcs_write_nat(VMCS_GUEST_RSP, vcpu->arch.regs[REG_RSP]);
	if (dirty & BIT(REG_RIP))
		vmcs_write_nat(VMCS_GUEST_RIP, vcpu->arch.regs[REG_RIP]);
	if (dirty & BIT(REG_RFLAGS))
		vmcs_write_nat(VMCS_GUEST_RFLAGS, vcpu->arch.regs[REG_RFLAGS]);
	vcpu->arch.regs_dirty = 0;
}

/* CR3 carries the thread's PCID and CR4 per-task bits: both may differ from entry to entry. */
static void write_host_crs(struct vmx_vcpu *vmx)
{
	unsigned long cr3 = __read_cr3(), cr4 = __read_cr4();

	if (cr3 != vmx->host_cr3) {
		vmcs_write_nat(VMCS_HOST_CR3, cr3);
		vmx->host_cr3 = cr3;
	}
	if (cr4 != vmx->host_cr4) {
		vmcs_write_nat(VMCS_HOST_CR4, cr4);
		vmx->host_cr4 = cr4;
	}
}

/* --- registers that the VMCS does not switch --- */

static bool guest_uses_xcr0(struct vcpu *vcpu)
{
	return (vcpu->arch.regs[REG_CR4] & X86_CR4_OSXSAVE) && vcpu->arch.xcr0 != x86_host.own_xcr0;
}

/* By RDPKRU and WRPKRU, or by XSAVE and XRSTOR, which ask XCR0 alone. */
static bool guest_uses_pkru(struct vcpu *vcpu)
{
	return cpu_feature_enabled(X86_FEATURE_OSPKE) &&
	       ((vcpu->arch.regs[REG_CR4] & X86_CR4_PKE) || (vcpu->arch.xcr0 & XFEATURE_MASK_PKRU));
}

/* By XSAVES and XRSTORS. The guest's is 0: it has no supervisor state. */
static bool guest_uses_xss(struct vcpu *vcpu)
{
	return (to_vmx(vcpu)->proc2 & PROC2_XSAVES) && x86_host.own_xss;
}

static bool guest_uses_breakpoints(struct vcpu *vcpu)
{
	return debug_active_dr7(vcpu) & 0xff; /* L0-3, G0-3 */
}

void backend_load_guest(struct vcpu *vcpu)
{
	const u64 *dr = debug_active_dr(vcpu);
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	write_host_crs(vmx);
	/*
	 * An exit clears it. perf changes it by IPIs, so only what is read with interrupts off
	 * counts.
	 */
	vmx->host_debugctl = get_debugctlmsr();
	if (guest_uses_xcr0(vcpu))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->arch.xcr0);
	if (guest_uses_xss(vcpu))
		wrmsrl(MSR_IA32_XSS, 0);
	if (guest_uses_pkru(vcpu)) {
		vmx->host_pkru = rdpkru();
		if (vmx->host_pkru != vcpu->arch.pkru)
			wrpkru(vcpu->arch.pkru);
	}
	if (guest_uses_breakpoints(vcpu)) {
		set_debugreg(0, 7);
		set_debugreg(dr[0], 0);
		set_debugreg(dr[1], 1);
		set_debugreg(dr[2], 2);
		set_debugreg(dr[3], 3);
	}
}

void backend_load_host(struct vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (guest_uses_xcr0(vcpu))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, x86_host.own_xcr0);
	if (guest_uses_xss(vcpu))
		wrmsrl(MSR_IA32_XSS, x86_host.own_xss);
	if (guest_uses_pkru(vcpu)) {
		vcpu->arch.pkru = rdpkru();
		if (vmx->host_pkru != vcpu->arch.pkru)
			wrpkru(vmx->host_pkru);
	}
	/* An exit leaves DR7 = 0x400; the host's own breakpoints come back here. */
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
	if (vmx->host_debugctl)
		update_debugctlmsr(vmx->host_debugctl);
}

/* What this host wants wiped before untrusted code runs: see caps.c, resolve_mitigations(). */
static __always_inline void flush_buffers(void)
{
	static const u16 selector = __KERNEL_DS;

	if (vmx_caps.flush_l1d)
		wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	else if (vmx_caps.verw)
		asm volatile("verw %[sel]" : : [sel] "m"(selector) : "cc");
}

/* --- after the exit --- */

bool backend_exit_was_interrupt(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	return !vmx->entry_failed && vmx->exit_reason == EXIT_EXT_INTR;
}

/*
 * The exit acknowledged the host's interrupt: run its handler, through the gate it would have used.
 */
static void call_host_handler(u32 vector)
{
	const gate_desc *idt = (const gate_desc *)this_cpu_read(vmx_cpu.idt_base);

	vmx_call_handler(gate_offset(&idt[vector]));
}

static void host_machine_check(void)
{
	asm volatile("int $18");
}

void backend_host_event(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 vector = vmx->exit_intr_info & INTR_INFO_VECTOR;

	if (vmx->entry_failed)
		return;
	switch (vmx->exit_reason) {
	case EXIT_EXT_INTR:
		call_host_handler(vector);
		break;
	case EXIT_EXCEPTION_NMI:
		/* NMIs are blocked until the handler's IRET, as they should be. */
		if (FIELD_GET(INTR_INFO_TYPE, vmx->exit_intr_info) == EVENT_NMI)
			asm volatile("int $2");
		else if (vector == X86_TRAP_MC)
			host_machine_check();
		break;
	case EXIT_BAD_MCE | EXIT_REASON_ENTRY_FAIL:
		host_machine_check();
		break;
	}
}

static void note_exit(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 basic;

	vmx->exit_reason = vmcs_read32(VMCS_EXIT_REASON);
	basic = vmx->exit_reason & EXIT_REASON_BASIC;
	vmx->exit_intr_info = 0;
	if (unlikely(vmx->exit_reason & EXIT_REASON_ENTRY_FAIL))
		return;
	vmx->idt_info = vmcs_read32(VMCS_EXIT_IDT_INFO);
	if (basic == EXIT_EXT_INTR || basic == EXIT_EXCEPTION_NMI)
		vmx->exit_intr_info = vmcs_read32(VMCS_EXIT_INTR_INFO);
}

/*
 * In guest context RCU does not watch this CPU, and lockdep takes interrupts for enabled: no
 * tracer, probe or sanitizer may run here, nor anything else that could come to use RCU or a lock.
 * CR2 is switched here because a debugger's or a tracer's fault outside would change it.
 */
static noinstr bool enter_guest(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	bool entered;

	guest_context_enter();
	if (native_read_cr2() != vcpu->arch.cr2)
		native_write_cr2(vcpu->arch.cr2);
	entered = vmx_enter_guest(vcpu->arch.regs, vmx->launched, &vmx->host_rsp);
	vcpu->arch.cr2 = native_read_cr2();
	guest_context_exit();
	return entered;
}

void backend_enter(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vcpu->arch.regs_dirty)
		write_dirty_regs(vcpu);
	if (unlikely(vmx->timer_hold))
		preempt_timer_wait(vmx);
	flush_buffers();

	vmx->entry_failed = !enter_guest(vcpu, vmx);

	vcpu->arch.regs_avail &= ~LAZY_REGS;
	vmx->idt_info = 0;
	if (unlikely(vmx->entry_failed)) {
		vmx->entry_error = vmcs_read32(VMCS_EXIT_INSN_ERROR);
		return;
	}
	note_exit(vcpu);
	if (vmx->apicv & APICV_DELIVERY)
		vlapic_hw_ran(&vcpu->arch.apic);
	/* A launch that failed on the guest's state has not launched: SDM "VM-Entry Failures ...". */
	if (!(vmx->exit_reason & EXIT_REASON_ENTRY_FAIL))
		vmx->launched = true;
}

void backend_flush_ept(struct vcpu *vcpu)
{
	vmx_invept(ept_pointer(vcpu->vm->arch.ept));
}

void backend_flush_guest(struct vcpu *vcpu)
{
	/* Without a VPID each entry and exit drops the guest's translations anyhow. */
	if (to_vmx(vcpu)->vpid)
		vmx_invvpid(to_vmx(vcpu)->vpid);
}
