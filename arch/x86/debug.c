// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_SET_GUEST_DEBUG: a debugger outside of the guest steps it and sets breakpoints in it.
 *
 * The guest must not notice. Steps are made by the monitor trap flag, not by RFLAGS.TF, which would
 * show in what the guest pushes; the debugger's breakpoints take the place of the guest's DR0..DR3
 * and DR7 in the processor while the guest reads and writes its own. A reason to stop is collected
 * in ->due, where an instruction ends, and reported before the next one is begun, so an instruction
 * that userspace has to finish is finished first. Left out: breakpoints on what we emulate (MMIO).
 */
#include <uapi/asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <arch.h>
#include <backend.h>

#define CONTROL_BITS                                                             \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP | \
	 KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_BLOCKIRQ)
#define DR7_BREAKPOINT_ON(n) (3ull << (2 * (n))) /* Ln, Gn */

u32 debug_control_bits(void)
{
	return CONTROL_BITS | (backend_can_step() ? KVM_GUESTDBG_SINGLESTEP : 0);
}

bool debug_stepping(const struct vcpu *vcpu)
{
	return vcpu->arch.debug.control & KVM_GUESTDBG_SINGLESTEP;
}

bool debug_blocks_interrupts(const struct vcpu *vcpu)
{
	return vcpu->arch.debug.control & KVM_GUESTDBG_BLOCKIRQ;
}

bool debug_owns_breakpoints(const struct vcpu *vcpu)
{
	return vcpu->arch.debug.control & KVM_GUESTDBG_USE_HW_BP;
}

u64 debug_active_dr7(const struct vcpu *vcpu)
{
	return debug_owns_breakpoints(vcpu) ? vcpu->arch.debug.dr7 : vcpu->arch.dr7;
}

const u64 *debug_active_dr(const struct vcpu *vcpu)
{
	return debug_owns_breakpoints(vcpu) ? vcpu->arch.debug.dr : vcpu->arch.dr;
}

void debug_set_guest_dr7(struct vcpu *vcpu, u64 value)
{
	vcpu->arch.dr7 = value;
	backend_set_dr7(vcpu, debug_active_dr7(vcpu));
}

/* --- reasons to stop --- */

/* Those of @bits that are breakpoints of the debugger. */
static u64 debuggers_breakpoints(const struct vcpu *vcpu, u64 bits)
{
	u64 hit = 0;
	int i;

	if (!debug_owns_breakpoints(vcpu))
		return 0;
	for (i = 0; i < 4; i++)
		if ((bits & BIT_ULL(i)) && (vcpu->arch.debug.dr7 & DR7_BREAKPOINT_ON(i)))
			hit |= BIT_ULL(i);
	return hit;
}

void debug_trap(struct vcpu *vcpu, u64 bits)
{
	u64 ours = debuggers_breakpoints(vcpu, bits);

	if (ours) {
		vcpu->arch.debug.due |= ours;
		/*
		 * An instruction breakpoint comes with RF set, so that it is passed next time; the
		 * guest had it clear, or there had been none. Who goes on without taking the
		 * breakpoint away gets it again.
		 */
		vcpu_set_reg(vcpu, REG_RFLAGS, vcpu_reg(vcpu, REG_RFLAGS) & ~X86_EFLAGS_RF);
	}
	/* While the guest's DR7 is not the processor's, no match can be the guest's. */
	if (debug_owns_breakpoints(vcpu))
		bits &= ~DR_TRAP_BITS;
	if (bits)
		event_queue_debug(vcpu, bits);
}

void debug_insn_done(struct vcpu *vcpu)
{
	if (debug_stepping(vcpu))
		vcpu->arch.debug.due |= DR_STEP;
}

bool debug_dr_access(struct vcpu *vcpu)
{
	if (!debug_owns_breakpoints(vcpu) || !(vcpu->arch.debug.dr7 & DR7_GD))
		return false;
	vcpu->arch.debug.due |= DR6_BD;
	return true;
}

/* --- exits to userspace --- */

static int debug_exit(struct vcpu *vcpu, u32 exception, u64 dr6)
{
	struct kvm_run *run = vcpu->run;

	memset(&run->debug, 0, sizeof(run->debug));
	run->exit_reason = KVM_EXIT_DEBUG;
	run->debug.arch.exception = exception;
	run->debug.arch.pc = backend_linear_rip(vcpu);
	run->debug.arch.dr6 = dr6;
	run->debug.arch.dr7 = debug_active_dr7(vcpu);
	return 0;
}

int debug_report(struct vcpu *vcpu)
{
	u64 dr6 = DR6_ONES | vcpu->arch.debug.due;

	vcpu->arch.debug.due = 0;
	return debug_exit(vcpu, X86_TRAP_DB, dr6);
}

int debug_breakpoint_insn(struct vcpu *vcpu)
{
	return debug_exit(vcpu, X86_TRAP_BP, DR6_ONES);
}

/* --- KVM_SET_GUEST_DEBUG --- */

/* The exception that the debugger took from the guest, back to it. -EBUSY: another one waits. */
static int inject(struct vcpu *vcpu, u32 control)
{
	if (!(control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)))
		return 0;
	if (vcpu->arch.ev.exception.pending || vcpu->arch.ev.exception.injected)
		return -EBUSY;
	event_queue_exception(vcpu, control & KVM_GUESTDBG_INJECT_DB ? X86_TRAP_DB : X86_TRAP_BP);
	return 0;
}

int debug_set(struct vcpu *vcpu, const struct kvm_guest_debug *dbg)
{
	struct x86_debug *d = &vcpu->arch.debug;
	u64 step_due = d->due & DR_STEP;
	int r;

	if (dbg->control & ~debug_control_bits())
		return -EINVAL;
	r = inject(vcpu, dbg->control);
	if (r)
		return r;
	*d = (struct x86_debug){};
	if (dbg->control & KVM_GUESTDBG_ENABLE) {
		d->control = dbg->control & ~(KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP);
		memcpy(d->dr, dbg->arch.debugreg, sizeof(d->dr));
		d->dr7 = DR7_ONES | (dbg->arch.debugreg[7] & DR7_WRITABLE);
	}
	/* The instruction that userspace is finishing (I/O) is the next step still. */
	if (debug_stepping(vcpu))
		d->due = step_due;
	backend_set_dr7(vcpu, debug_active_dr7(vcpu));
	backend_set_debug(vcpu, debug_stepping(vcpu), d->control & KVM_GUESTDBG_USE_SW_BP);
	vcpu_set_request(vcpu, REQ_EVENT); /* interrupts may be open again */
	vcpu_set_request(vcpu, REQ_APICV); /* the processor must not deliver blocked ones */
	return 0;
}
