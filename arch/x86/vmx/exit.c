// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why the guest came out: one function per basic exit reason, and the table that finds it.
 * Handlers return 1 to enter again, 0 when userspace has to act (run->exit_reason is set), or an
 * errno. Interrupts are on; the VMCS is current.
 *
 * What a guest does all the time has a shorter way: handlers that also serve with interrupts off,
 * between two entries of run_guest() in arch/x86/enter.c. They neither sleep nor touch kvm_run, and
 * return 1 or, if they have done nothing yet, 0. Guest memory they look at only where a fault may
 * fail; slots and buses under vm->srcu, which they let go of again: writers must not wait for a
 * guest that does nothing else.
 */
#include <linux/kvm_para.h>
#include <linux/nospec.h>
#include <asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <arch.h>
#include <cpuid.h>
#include <fetch.h>
#include "vmx.h"

static u64 gpr(struct vcpu *vcpu, unsigned int n)
{
	return n == REG_RSP ? vcpu_reg(vcpu, REG_RSP) : vcpu->arch.regs[n];
}

static void set_gpr(struct vcpu *vcpu, unsigned int n, u64 value)
{
	if (n == REG_RSP)
		vcpu_set_reg(vcpu, REG_RSP, value);
	else
		vcpu->arch.regs[n] = value;
}

static bool in_64bit_mode(struct vcpu *vcpu)
{
	return (vcpu->arch.efer & EFER_LMA) && (vmcs_read32(VMCS_GUEST_CS_AR) & SEGAR_L);
}

static int skip(struct vcpu *vcpu)
{
	backend_skip_insn(vcpu);
	return 1;
}

/* The outcome of a checked write: done, or #GP(0). */
static int skip_or_gp(struct vcpu *vcpu, int failed)
{
	if (!failed)
		return skip(vcpu);
	event_queue_exception_error(vcpu, X86_TRAP_GP, 0);
	return 1;
}

/* --- interrupts and exceptions --- */

static int handle_ext_intr(struct vcpu *vcpu)
{
	return 1; /* run.c has called the host's handler */
}

/* Interception leaves DR6, DR7 and DEBUGCTL alone; delivery has to change them. */
static int handle_db(struct vcpu *vcpu, u32 info)
{
	struct x86_event int1 = {
		.vector = X86_TRAP_DB,
		.type = EVENT_PRIV_SOFT_EXC,
	};

	if (FIELD_GET(INTR_INFO_TYPE, info) == EVENT_PRIV_SOFT_EXC) {
		/* INT1 has no reason in DR6, and returns behind itself: delivery needs its length. */
		int1.insn_len = vmcs_read32(VMCS_EXIT_INSN_LEN);
		event_enter_debug_handler(vcpu);
		event_requeue(vcpu, &int1);
	} else {
		debug_trap(vcpu, vmcs_read_nat(VMCS_EXIT_QUALIFICATION));
	}
	/* Unlike other exits, a #DB in a shadow does not leave a step trap pending. */
	backend_settle_shadow(vcpu);
	return 1;
}

/*
 * An IRET that faulted had unblocked NMIs already: SDM "Information About NMI Unblocking Due to
 * IRET".
 */
static void block_nmis_again(struct vcpu *vcpu, bool unblocked)
{
	if (unblocked && !(to_vmx(vcpu)->idt_info & INTR_INFO_VALID))
		backend_set_blocking(vcpu, BLOCK_NMI, BLOCK_NMI);
}

static int handle_exception(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 info = vmx->exit_intr_info;

	if (FIELD_GET(INTR_INFO_TYPE, info) == EVENT_NMI)
		return 1; /* the host's */
	block_nmis_again(vcpu, info & INTR_INFO_NMI_UNBLOCK);
	switch (info & INTR_INFO_VECTOR) {
	case X86_TRAP_MC:
		return 1; /* the host's */
	case X86_TRAP_DB:
		return handle_db(vcpu, info);
	case X86_TRAP_BP: /* only if the debugger asked for it */
		return debug_breakpoint_insn(vcpu);
	case X86_TRAP_AC:
		event_queue_exception_error(vcpu, X86_TRAP_AC, vmcs_read32(VMCS_EXIT_INTR_ERROR));
		return 1;
	default:
		return io_emulation_failed(vcpu, NULL, 0); /* not in the exception bitmap */
	}
}

/*
 * One instruction, one iteration of a repeated one, or the delivery of an event, and no more. It
 * comes before the traps of that instruction, which are kept pending in the VMCS: they become a
 * queued #DB, which KVM_GET_VCPU_EVENTS knows to save. In a shadow they have to wait.
 */
static int handle_monitor_trap(struct vcpu *vcpu)
{
	u64 pending = vmcs_read_nat(VMCS_GUEST_PENDING_DB);

	debug_insn_done(vcpu);
	if (!(pending & (PENDING_DB_ENABLED | PENDING_DB_BS)) ||
	    (backend_blocking(vcpu) & (BLOCK_STI | BLOCK_MOVSS)))
		return 1;
	vmcs_write_nat(VMCS_GUEST_PENDING_DB, 0);
	debug_trap(vcpu, pending & (DR_TRAP_BITS | DR_STEP));
	return 1;
}

static int handle_triple_fault(struct vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return 0;
}

static int handle_window(struct vcpu *vcpu)
{
	vcpu->stats.irq_windows++;
	vcpu_set_request(vcpu, REQ_EVENT);
	return 1;
}

static int handle_ud(struct vcpu *vcpu)
{
	event_queue_exception(vcpu, X86_TRAP_UD);
	return 1;
}

static int handle_gp(struct vcpu *vcpu)
{
	return skip_or_gp(vcpu, 1);
}

/* --- instructions --- */

static int handle_cpuid(struct vcpu *vcpu)
{
	vcpu_cpuid(vcpu);
	return skip(vcpu);
}

static int handle_hlt(struct vcpu *vcpu)
{
	backend_skip_insn(vcpu);
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE) {
		vcpu->run->exit_reason = KVM_EXIT_HLT;
		return 0;
	}
	vcpu->arch.mp_state = KVM_MP_STATE_HALTED;
	return 1;
}

/* The guest goes on if an interrupt waits already, as behind CLI; enter.c stays out of it else. */
static int handle_hlt_at_once(struct vcpu *vcpu)
{
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return 0;
	(void)handle_hlt(vcpu);
	(void)arch_vcpu_runnable(vcpu);
	return 1;
}

/* No cache has anything that memory lacks: guest memory is always write-back. */
static int handle_cache(struct vcpu *vcpu)
{
	return skip(vcpu);
}

/* No paravirtual call exists; the answer is the one KVM documents for unknown numbers. */
static int handle_vmcall(struct vcpu *vcpu)
{
	u64 r = backend_cpl(vcpu) ? -KVM_EPERM : -KVM_ENOSYS;

	vcpu->arch.regs[REG_RAX] = in_64bit_mode(vcpu) ? r : (u32)r;
	return skip(vcpu);
}

/*
 * Quirk MWAIT_NEVER_UD_FAULTS: to a guest whose CPUID has no MONITOR, both are NOPs. Where
 * it has them they may be NOPs as well: a store to the line, or an interrupt, could have come.
 */
static int handle_mwait(struct vcpu *vcpu)
{
	if (!vcpu_has_quirk(vcpu, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS) &&
	    !vcpu_has_cpuid(vcpu, 1, 0, CPUID_REG_ECX, 3))
		return handle_ud(vcpu);
	return skip(vcpu);
}

static int handle_xsetbv(struct vcpu *vcpu)
{
	u32 index = vcpu->arch.regs[REG_RCX];

	/* The processor has checked CR4.OSXSAVE; CPL is ours. */
	return skip_or_gp(vcpu, backend_cpl(vcpu) || regs_set_xcr(vcpu, index, vcpu_edx_eax(vcpu)));
}

/* A switch through a task gate or TSS: no 64-bit guest and no current 32-bit one does it. */
static int handle_task_switch(struct vcpu *vcpu)
{
	return io_emulation_failed(vcpu, NULL, 0);
}

/* --- the virtualized LAPIC: SDM "APIC Virtualization and Virtual Interrupts" --- */

/* The guest's TPR has come below what waits in IRR. */
static int handle_tpr_below(struct vcpu *vcpu)
{
	vcpu_set_request(vcpu, REQ_EVENT);
	return 1;
}

/* Fault-like: nothing has been read or written yet. */
static int handle_apic_access(struct vcpu *vcpu)
{
	u64 qual = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
	u32 type = FIELD_GET(QUAL_APIC_TYPE, qual), zero = 0;

	if (type != QUAL_APIC_READ && type != QUAL_APIC_WRITE)
		return vmx_mmio(vcpu, NULL); /* a fetch, or a delivery: let it be reported */
	/* What is written there does not matter, and so neither does the instruction. */
	if (type == QUAL_APIC_WRITE && FIELD_GET(QUAL_APIC_OFFSET, qual) == LAPIC_EOI) {
		irqchip_lapic_write(&vcpu->vm->chip, vcpu->index, LAPIC_EOI, sizeof(zero), &zero);
		return skip(vcpu);
	}
	return vmx_mmio(vcpu, NULL);
}

/* Trap-like: the processor has stored the value and finished the instruction. */
static int handle_apic_write(struct vcpu *vcpu)
{
	irqchip_hw_wrote(&vcpu->vm->chip, vcpu->index,
			 FIELD_GET(QUAL_APIC_OFFSET, vmcs_read_nat(VMCS_EXIT_QUALIFICATION)) &
				 ~0xful);
	return 1;
}

/* Trap-like, too: the vector has left ISR. */
static int handle_virt_eoi(struct vcpu *vcpu)
{
	irqchip_hw_eoi(&vcpu->vm->chip, vcpu->index, vmcs_read_nat(VMCS_EXIT_QUALIFICATION) & 0xff);
	return 1;
}

/* --- control and debug registers --- */

static int write_cr8(struct vcpu *vcpu, u64 value)
{
	if (value & ~0xfull)
		return handle_gp(vcpu);
	if (vcpu->vm->irqchip_mode != IRQCHIP_NONE) {
		irqchip_set_cr8(&vcpu->vm->chip, vcpu->index, value);
		vcpu_set_request(vcpu, REQ_EVENT);
		return skip(vcpu);
	}
	/* The APIC is userspace's: it must learn of a lower priority, which may free an interrupt. */
	backend_skip_insn(vcpu);
	if (value >= vcpu->arch.cr8) {
		vcpu->arch.cr8 = value;
		return 1;
	}
	vcpu->arch.cr8 = value;
	vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
	return 0;
}

static u64 read_cr8(struct vcpu *vcpu)
{
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return vcpu->arch.cr8;
	return irqchip_get_cr8(&vcpu->vm->chip, vcpu->index);
}

static int mov_to_cr(struct vcpu *vcpu, unsigned int cr, u64 value)
{
	if (!in_64bit_mode(vcpu))
		value = (u32)value;
	switch (cr) {
	case 0:
		return skip_or_gp(vcpu, regs_set_cr0(vcpu, value));
	case 3:
		return skip_or_gp(vcpu, regs_set_cr3(vcpu, value));
	case 4:
		return skip_or_gp(vcpu, regs_set_cr4(vcpu, value));
	case 8:
		return write_cr8(vcpu, value);
	default:
		return handle_ud(vcpu);
	}
}

static int mov_from_cr(struct vcpu *vcpu, unsigned int cr, unsigned int n)
{
	switch (cr) {
	case 3:
		set_gpr(vcpu, n, vcpu_reg(vcpu, REG_CR3));
		return skip(vcpu);
	case 8:
		set_gpr(vcpu, n, read_cr8(vcpu));
		return skip(vcpu);
	default:
		return handle_ud(vcpu);
	}
}

static int handle_cr(struct vcpu *vcpu)
{
	u64 qual = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
	unsigned int cr = FIELD_GET(QUAL_CR_NUMBER, qual), n = FIELD_GET(QUAL_CR_GPR, qual);
	u64 cr0;

	switch (FIELD_GET(QUAL_CR_TYPE, qual)) {
	case QUAL_CR_TYPE_MOV_TO:
		return mov_to_cr(vcpu, cr, gpr(vcpu, n));
	case QUAL_CR_TYPE_MOV_FROM:
		return mov_from_cr(vcpu, cr, n);
	case QUAL_CR_TYPE_CLTS:
		return skip_or_gp(vcpu, regs_set_cr0(vcpu, vcpu_reg(vcpu, REG_CR0) & ~X86_CR0_TS));
	default: /* LMSW: PE, MP, EM, TS; it can set PE but not clear it */
		cr0 = vcpu_reg(vcpu, REG_CR0);
		cr0 = (cr0 & ~0xeull) | (cr0 & X86_CR0_PE) |
		      (FIELD_GET(QUAL_CR_LMSW_SOURCE, qual) & 0xf);
		return skip_or_gp(vcpu, regs_set_cr0(vcpu, cr0));
	}
}

static int write_dr(struct vcpu *vcpu, unsigned int dr, u64 value)
{
	if (!in_64bit_mode(vcpu))
		value = (u32)value;
	if (dr >= 6 && value >> 32)
		return handle_gp(vcpu);
	if (dr < 4) {
		vcpu->arch.dr[array_index_nospec(dr, 4)] = value;
	} else if (dr == 6) {
		vcpu->arch.dr6 = DR6_ONES | (value & DR6_WRITABLE);
	} else {
		debug_set_guest_dr7(vcpu, DR7_ONES | (value & DR7_WRITABLE));
	}
	return skip(vcpu);
}

static int handle_dr(struct vcpu *vcpu)
{
	u64 qual = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
	unsigned int dr = FIELD_GET(QUAL_DR_NUMBER, qual), n = FIELD_GET(QUAL_DR_GPR, qual);

	/* The exit comes before the checks of CPL and DR7.GD. */
	if (backend_cpl(vcpu))
		return handle_gp(vcpu);
	if (debug_dr_access(vcpu))
		return 1;
	if (vcpu->arch.dr7 & DR7_GD) {
		event_queue_debug(vcpu, DR6_BD);
		return 1;
	}
	if (dr == 4 || dr == 5) {
		if (vcpu_reg(vcpu, REG_CR4) & X86_CR4_DE)
			return handle_ud(vcpu);
		dr += 2; /* the old aliases */
	}
	if (!(qual & QUAL_DR_FROM))
		return write_dr(vcpu, dr, gpr(vcpu, n));
	set_gpr(vcpu, n,
		dr < 4 ? vcpu->arch.dr[array_index_nospec(dr, 4)]
		       : (dr == 6 ? vcpu->arch.dr6 : vcpu->arch.dr7));
	return skip(vcpu);
}

/* --- I/O and memory --- */

static int handle_io(struct vcpu *vcpu)
{
	u64 qual = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
	u16 port = FIELD_GET(QUAL_IO_PORT, qual);
	u8 size = FIELD_GET(QUAL_IO_SIZE, qual) + 1;
	bool in = qual & QUAL_IO_IN;

	if (qual & QUAL_IO_STRING)
		return io_port_string(vcpu, port, size, in);
	backend_skip_insn(vcpu);
	return io_port(vcpu, port, size, in);
}

/* Ports of the interrupt controllers, and those on the bus. */
static int handle_io_at_once(struct vcpu *vcpu)
{
	u64 qual = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
	u16 port = FIELD_GET(QUAL_IO_PORT, qual);
	u8 size = FIELD_GET(QUAL_IO_SIZE, qual) + 1;
	bool done;

	if (qual & QUAL_IO_STRING)
		return 0;
	done = qual & QUAL_IO_IN ? io_in_at_once(vcpu, port, size)
				 : io_out_at_once(vcpu, port, size);
	return done ? skip(vcpu) : 0;
}

/* The IDT, a stack or a TSS lies where no memory is: what was to be delivered can't be emulated. */
static int delivery_failed(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
	run->internal.ndata = 4;
	run->internal.data[0] = vmx->idt_info;
	run->internal.data[1] = vmx->exit_reason;
	run->internal.data[2] = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
	run->internal.data[3] = vmcs_read64(VMCS_EXIT_GUEST_PHYS);
	return 0;
}

int vmx_mmio(struct vcpu *vcpu, const struct data_access *a)
{
	/* Not the instruction at RIP has touched the address then. */
	if (to_vmx(vcpu)->idt_info & INTR_INFO_VALID)
		return delivery_failed(vcpu);
	return io_mmio(vcpu, a);
}

bool vmx_data_access(u64 qualification, struct data_access *a)
{
	const u64 wanted = QUAL_EPT_LINEAR | QUAL_EPT_TRANSLATED;

	if ((qualification & (wanted | QUAL_EPT_FETCH)) != wanted)
		return false;
	*a = (struct data_access){
		.gpa = vmcs_read64(VMCS_EXIT_GUEST_PHYS),
		.la = vmcs_read_nat(VMCS_EXIT_GUEST_LINEAR),
		.write = qualification & QUAL_EPT_WRITE,
	};
	return true;
}

static int handle_ept_violation(struct vcpu *vcpu)
{
	u64 qual = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);

	block_nmis_again(vcpu, qual & QUAL_EPT_NMI_UNBLOCK);
	return ept_violation(vcpu, vmcs_read64(VMCS_EXIT_GUEST_PHYS), qual);
}

/* Most violations are by memory that is not mapped yet: they must not lose much time here. */
static int handle_ept_violation_at_once(struct vcpu *vcpu)
{
	struct data_access a;
	u64 qual;

	if (!fetch_may_know(vcpu))
		return 0;
	qual = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
	return !(qual & QUAL_EPT_NMI_UNBLOCK) && vmx_data_access(qual, &a) &&
	       io_mmio_at_once(vcpu, &a);
}

static int handle_ept_misconfig(struct vcpu *vcpu)
{
	pr_err_ratelimited("EPT misconfiguration at guest-physical %#llx: a bug in ept.c\n",
			   vmcs_read64(VMCS_EXIT_GUEST_PHYS));
	vcpu->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	vcpu->run->internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
	vcpu->run->internal.ndata = 1;
	vcpu->run->internal.data[0] = EXIT_EPT_MISCONFIG;
	return 0;
}

/* --- the table --- */

struct exit_reason {
	const char *name;
	int (*handle)(struct vcpu *vcpu);  /* NULL: we never ask for it */
	int (*at_once)(struct vcpu *vcpu); /* with interrupts off; may be NULL */
};

static const struct exit_reason exit_reasons[] = {
	[EXIT_EXCEPTION_NMI] = { "exception_nmi", handle_exception },
	[EXIT_EXT_INTR] = { "external_interrupt", handle_ext_intr },
	[EXIT_TRIPLE_FAULT] = { "triple_fault", handle_triple_fault },
	[EXIT_INIT] = { "init", NULL },
	[EXIT_SIPI] = { "sipi", NULL },
	[EXIT_IRQ_WINDOW] = { "irq_window", handle_window },
	[EXIT_NMI_WINDOW] = { "nmi_window", handle_window },
	[EXIT_TASK_SWITCH] = { "task_switch", handle_task_switch },
	[EXIT_CPUID] = { "cpuid", handle_cpuid, handle_cpuid },
	[EXIT_GETSEC] = { "getsec", handle_ud },
	[EXIT_HLT] = { "hlt", handle_hlt, handle_hlt_at_once },
	[EXIT_INVD] = { "invd", handle_cache },
	[EXIT_INVLPG] = { "invlpg", NULL },
	[EXIT_RDPMC] = { "rdpmc", handle_gp },
	[EXIT_RDTSC] = { "rdtsc", NULL },
	[EXIT_RSM] = { "rsm", handle_ud },
	[EXIT_VMCALL] = { "vmcall", handle_vmcall, handle_vmcall },
	[EXIT_VMCLEAR] = { "vmclear", handle_ud },
	[EXIT_VMLAUNCH] = { "vmlaunch", handle_ud },
	[EXIT_VMPTRLD] = { "vmptrld", handle_ud },
	[EXIT_VMPTRST] = { "vmptrst", handle_ud },
	[EXIT_VMREAD] = { "vmread", handle_ud },
	[EXIT_VMRESUME] = { "vmresume", handle_ud },
	[EXIT_VMWRITE] = { "vmwrite", handle_ud },
	[EXIT_VMXOFF] = { "vmxoff", handle_ud },
	[EXIT_VMXON] = { "vmxon", handle_ud },
	[EXIT_CR_ACCESS] = { "cr_access", handle_cr },
	[EXIT_DR_ACCESS] = { "dr_access", handle_dr },
	[EXIT_IO] = { "io", handle_io, handle_io_at_once },
	[EXIT_RDMSR] = { "rdmsr", msr_insn_read, msr_insn_read_at_once },
	[EXIT_WRMSR] = { "wrmsr", msr_insn_write, msr_insn_write_at_once },
	[EXIT_BAD_GUEST_STATE] = { "bad_guest_state", NULL },
	[EXIT_BAD_MSR_LOAD] = { "bad_msr_load", NULL },
	[EXIT_MWAIT] = { "mwait", handle_mwait },
	[EXIT_MONITOR_TRAP] = { "monitor_trap", handle_monitor_trap },
	[EXIT_MONITOR] = { "monitor", handle_mwait },
	[EXIT_PAUSE] = { "pause", vmx_pause },
	[EXIT_BAD_MCE] = { "machine_check_at_entry", NULL },
	[EXIT_TPR_BELOW] = { "tpr_below_threshold", handle_tpr_below },
	[EXIT_APIC_ACCESS] = { "apic_access", handle_apic_access },
	[EXIT_VIRT_EOI] = { "virtualized_eoi", handle_virt_eoi, handle_virt_eoi },
	[EXIT_GDTR_IDTR] = { "gdtr_idtr", NULL },
	[EXIT_LDTR_TR] = { "ldtr_tr", NULL },
	[EXIT_EPT_VIOLATION] = { "ept_violation", handle_ept_violation,
				 handle_ept_violation_at_once },
	[EXIT_EPT_MISCONFIG] = { "ept_misconfig", handle_ept_misconfig },
	[EXIT_INVEPT] = { "invept", handle_ud },
	[EXIT_RDTSCP] = { "rdtscp", NULL },
	[EXIT_PREEMPT_TIMER] = { "preemption_timer", preempt_timer_exit, preempt_timer_exit },
	[EXIT_INVVPID] = { "invvpid", handle_ud },
	[EXIT_WBINVD] = { "wbinvd", handle_cache },
	[EXIT_XSETBV] = { "xsetbv", handle_xsetbv },
	[EXIT_APIC_WRITE] = { "apic_write", handle_apic_write, handle_apic_write },
	[EXIT_INVPCID] = { "invpcid", NULL },
};
static_assert(ARRAY_SIZE(exit_reasons) <= ARCH_EXIT_REASONS);

const char *arch_exit_reason_name(unsigned int reason)
{
	return reason < ARRAY_SIZE(exit_reasons) ? exit_reasons[reason].name : NULL;
}

/* --- before the table: what every exit has in common --- */

/*
 * The entry did not happen. Either the instruction failed (hardware_entry_failure_reason is the
 * VM-instruction error) or the guest state did not pass (the exit reason with bit 31 set).
 */
static int report_entry_failure(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 reason = vmx->entry_failed ? vmx->entry_error : vmx->exit_reason;

	pr_warn_ratelimited("vCPU %u: VM entry failed: %s %#x, qualification %#lx\n", vcpu->id,
			    vmx->entry_failed ? "VM-instruction error" : "exit reason", reason,
			    vmcs_read_nat(VMCS_EXIT_QUALIFICATION));
	vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = reason;
	vcpu->run->fail_entry.cpu = raw_smp_processor_id();
	return 0;
}

/* The exit came in the middle of delivering an event: it has to be delivered again, first. */
static void requeue_interrupted_event(struct vcpu *vcpu)
{
	u32 info = to_vmx(vcpu)->idt_info;
	struct x86_event ev = {
		.vector = info & INTR_INFO_VECTOR,
		.type = FIELD_GET(INTR_INFO_TYPE, info),
		.has_error = !!(info & INTR_INFO_ERROR),
	};

	if (!(info & INTR_INFO_VALID))
		return;
	if (ev.has_error)
		ev.error = vmcs_read32(VMCS_EXIT_IDT_ERROR);
	if (ev.type >= EVENT_SOFT_INTR)
		ev.insn_len = vmcs_read32(VMCS_EXIT_INSN_LEN);
	/*
	 * The NMI whose delivery failed has blocked NMIs already; its second attempt needs them
	 * open.
	 */
	if (ev.type == EVENT_NMI)
		backend_set_blocking(vcpu, BLOCK_NMI, 0);
	event_requeue(vcpu, &ev);
}

static int unexpected_exit(struct vcpu *vcpu, u32 basic)
{
	struct kvm_run *run = vcpu->run;

	pr_warn_ratelimited("vCPU %u: unexpected exit reason %u\n", vcpu->id, basic);
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
	run->internal.ndata = 2;
	run->internal.data[0] = basic;
	run->internal.data[1] = raw_smp_processor_id();
	return 0;
}

bool backend_handle_at_once(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 reason = vmx->exit_reason; /* of a failed entry: none of the table's, by bit 31 */

	if (unlikely(vmx->entry_failed || (vmx->idt_info & INTR_INFO_VALID)) ||
	    reason >= ARRAY_SIZE(exit_reasons))
		return false;
	reason = array_index_nospec(reason, ARRAY_SIZE(exit_reasons));
	if (!exit_reasons[reason].at_once)
		return false;
	event_clear_injected(vcpu);
	if (!exit_reasons[reason].at_once(vcpu))
		return false;
	vcpu->stats.by_reason[reason]++;
	return true;
}

int backend_handle_exit(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 basic = vmx->exit_reason & EXIT_REASON_BASIC;

	if (unlikely(vmx->entry_failed || (vmx->exit_reason & EXIT_REASON_ENTRY_FAIL)))
		return report_entry_failure(vcpu);
	event_clear_injected(vcpu);
	if (unlikely(vmx->idt_info & INTR_INFO_VALID))
		requeue_interrupted_event(vcpu);
	if (basic < ARCH_EXIT_REASONS)
		vcpu->stats.by_reason[array_index_nospec(basic, ARCH_EXIT_REASONS)]++;
	if (basic >= ARRAY_SIZE(exit_reasons))
		return unexpected_exit(vcpu, basic);
	basic = array_index_nospec(basic, ARRAY_SIZE(exit_reasons));
	if (!exit_reasons[basic].handle)
		return unexpected_exit(vcpu, basic);
	return exit_reasons[basic].handle(vcpu);
}
