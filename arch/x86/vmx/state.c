// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest state that the VMCS or the processor holds: control registers, segments, descriptor tables,
 * MSRs, interruptibility, and the event to be injected. Checks of guest values are made in
 * arch/x86/regs.c and events.c; here they are only put where the processor wants them.
 */
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <cpuid.h>
#include "vmx.h"

/* Bits a guest may change without an exit; everything else is shadowed and intercepted. */
#define CR0_GUEST_OWNED X86_CR0_TS
#define CR4_GUEST_OWNED                                                                        \
	(X86_CR4_PVI | X86_CR4_DE | X86_CR4_TSD | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | \
	 X86_CR4_OSXMMEXCPT)
/* A change of these leaves stale guest translations behind. */
#define CR0_PAGING (X86_CR0_PG | X86_CR0_WP)
#define CR4_PAGING                                                                               \
	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP | \
	 X86_CR4_LA57)

/* --- lazily read registers --- */

static __always_inline void cache_reg(struct vcpu *vcpu, enum vcpu_reg reg)
{
	u64 *regs = vcpu->arch.regs;

	switch (reg) {
	case REG_RSP:
		regs[REG_RSP] = vmcs_read_nat(VMCS_GUEST_RSP);
		break;
	case REG_RIP:
		regs[REG_RIP] = vmcs_read_nat(VMCS_GUEST_RIP);
		break;
	case REG_RFLAGS:
		regs[REG_RFLAGS] = vmcs_read_nat(VMCS_GUEST_RFLAGS);
		break;
	case REG_CR0:
		regs[REG_CR0] &= ~CR0_GUEST_OWNED;
		regs[REG_CR0] |= vmcs_read_nat(VMCS_GUEST_CR0) & CR0_GUEST_OWNED;
		break;
	case REG_CR3:
		regs[REG_CR3] = vmcs_read_nat(VMCS_GUEST_CR3);
		break;
	case REG_CR4:
		regs[REG_CR4] &= ~CR4_GUEST_OWNED;
		regs[REG_CR4] |= vmcs_read_nat(VMCS_GUEST_CR4) & CR4_GUEST_OWNED;
		break;
	default: /* general-purpose registers are always at hand */
		break;
	}
	vcpu->arch.regs_avail |= BIT(reg);
}

void backend_cache_reg(struct vcpu *vcpu, enum vcpu_reg reg)
{
	cache_reg(vcpu, reg);
}

/* vcpu_reg() of one that is known at compile time, for what every exit needs. */
static __always_inline u64 quick_reg(struct vcpu *vcpu, enum vcpu_reg reg)
{
	if (!(vcpu->arch.regs_avail & BIT(reg)))
		cache_reg(vcpu, reg);
	return vcpu->arch.regs[reg];
}

void backend_cache_mode(struct vcpu *vcpu)
{
	quick_reg(vcpu, REG_RIP);
	quick_reg(vcpu, REG_RFLAGS);
	quick_reg(vcpu, REG_CR0);
	quick_reg(vcpu, REG_CR3);
	quick_reg(vcpu, REG_CR4);
}

static void set_shadow(struct vcpu *vcpu, enum vcpu_reg reg, u64 value)
{
	vcpu->arch.regs[reg] = value;
	vcpu->arch.regs_avail |= BIT(reg);
}

void backend_set_cr0(struct vcpu *vcpu, u64 value)
{
	u64 hw = value & ~(X86_CR0_CD | X86_CR0_NW);

	/* NE is fixed in VMX operation; PE and PG are free for an unrestricted guest. */
	hw |= vmx_caps.cr0_fixed0 & ~(X86_CR0_PE | X86_CR0_PG);
	if ((vcpu->arch.regs[REG_CR0] ^ value) & CR0_PAGING)
		vcpu_set_request(vcpu, REQ_GUEST_TLB);
	vmcs_write_nat(VMCS_CTRL_CR0_MASK, ~CR0_GUEST_OWNED);
	vmcs_write_nat(VMCS_CTRL_CR0_SHADOW, value);
	vmcs_write_nat(VMCS_GUEST_CR0, hw);
	set_shadow(vcpu, REG_CR0, value);
}

void backend_set_cr3(struct vcpu *vcpu, u64 value)
{
	vmcs_write_nat(VMCS_GUEST_CR3, value);
	set_shadow(vcpu, REG_CR3, value);
	vcpu_set_request(vcpu, REQ_GUEST_TLB);
}

void backend_set_cr4(struct vcpu *vcpu, u64 value)
{
	if ((vcpu->arch.regs[REG_CR4] ^ value) & CR4_PAGING)
		vcpu_set_request(vcpu, REQ_GUEST_TLB);
	vmcs_write_nat(VMCS_CTRL_CR4_MASK, ~CR4_GUEST_OWNED);
	vmcs_write_nat(VMCS_CTRL_CR4_SHADOW, value);
	vmcs_write_nat(VMCS_GUEST_CR4, value | vmx_caps.cr4_fixed0);
	set_shadow(vcpu, REG_CR4, value);
}

/*
 * A 16-bit or idle TSS may stay in TR when a guest goes to long mode, where LTR takes neither; the
 * checks at entry insist on a busy one that LTR could have loaded.
 */
static void make_tss_busy(void)
{
	u32 ar = vmcs_read32(VMCS_GUEST_TR_AR);

	vmcs_write32(VMCS_GUEST_TR_AR, (ar & ~SEGAR_TYPE) | SEGAR_TYPE_TSS_BUSY);
}

void backend_set_efer(struct vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 entry = vmx->entry & ~ENTRY_IA32E_GUEST;

	if (value & EFER_LMA)
		entry |= ENTRY_IA32E_GUEST;
	if (entry != vmx->entry) {
		if (value & EFER_LMA)
			make_tss_busy();
		vmx->entry = entry;
		vmcs_write32(VMCS_CTRL_ENTRY, entry);
	}
	vmcs_write64(VMCS_GUEST_EFER, value);
	preempt_disable();
	vmx_put_syscall_msrs(vcpu);
	vcpu->arch.efer = value;
	vmx_load_syscall_msrs(vcpu);
	preempt_enable();
	vcpu_set_request(vcpu, REQ_GUEST_TLB); /* NX */
}

void backend_set_pdptrs(struct vcpu *vcpu, const u64 pdptr[4])
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		vmcs_write64(VMCS_GUEST_PDPTE0 + 2 * i, pdptr[i]);
}

void backend_set_dr7(struct vcpu *vcpu, u64 value)
{
	vmcs_write_nat(VMCS_GUEST_DR7, value);
}

/* --- segments --- */

/* The VMCS orders ES, CS, SS, DS, FS, GS, LDTR, TR; struct kvm_sregs puts TR before LDTR. */
static unsigned int seg_step(enum vcpu_seg seg)
{
	static const u8 order[NR_VCPU_SEGS] = {
		[SEG_ES] = 0, [SEG_CS] = 2,  [SEG_SS] = 4,    [SEG_DS] = 6,
		[SEG_FS] = 8, [SEG_GS] = 10, [SEG_LDTR] = 12, [SEG_TR] = 14,
	};

	return order[seg];
}

void backend_get_segment(struct vcpu *vcpu, struct kvm_segment *s, enum vcpu_seg seg)
{
	unsigned int step = seg_step(seg);
	u32 ar = vmcs_read32(VMCS_GUEST_ES_AR + step);

	*s = (struct kvm_segment){
		.base = vmcs_read_nat(VMCS_GUEST_ES_BASE + step),
		.limit = vmcs_read32(VMCS_GUEST_ES_LIMIT + step),
		.selector = vmcs_read16(VMCS_GUEST_ES_SEL + step),
		.type = FIELD_GET(SEGAR_TYPE, ar),
		.s = !!(ar & SEGAR_S),
		.dpl = FIELD_GET(SEGAR_DPL, ar),
		.present = (ar & SEGAR_P) && !(ar & SEGAR_UNUSABLE),
		.avl = !!(ar & SEGAR_AVL),
		.l = !!(ar & SEGAR_L),
		.db = !!(ar & SEGAR_DB),
		.g = !!(ar & SEGAR_G),
		.unusable = !!(ar & SEGAR_UNUSABLE),
	};
}

void backend_set_segment(struct vcpu *vcpu, const struct kvm_segment *s, enum vcpu_seg seg)
{
	unsigned int step = seg_step(seg);
	u32 ar;

	if (s->unusable || !s->present)
		ar = SEGAR_UNUSABLE;
	else
		ar = 0;
	ar |= FIELD_PREP(SEGAR_TYPE, s->type) | (s->s ? SEGAR_S : 0) |
	      FIELD_PREP(SEGAR_DPL, s->dpl) | (s->present ? SEGAR_P : 0) |
	      (s->avl ? SEGAR_AVL : 0) | (s->l ? SEGAR_L : 0) | (s->db ? SEGAR_DB : 0) |
	      (s->g ? SEGAR_G : 0);
	/* Entry wants "accessed" in each usable code or data segment; emulators often leave it. */
	if (seg < SEG_TR && !(ar & SEGAR_UNUSABLE))
		ar |= 1;
	vmcs_write_nat(VMCS_GUEST_ES_BASE + step, s->base);
	vmcs_write32(VMCS_GUEST_ES_LIMIT + step, s->limit);
	vmcs_write16(VMCS_GUEST_ES_SEL + step, s->selector);
	vmcs_write32(VMCS_GUEST_ES_AR + step, ar);
}

u64 backend_segment_base(struct vcpu *vcpu, enum vcpu_seg seg)
{
	return vmcs_read_nat(VMCS_GUEST_ES_BASE + seg_step(seg));
}

u32 backend_segment_limit(struct vcpu *vcpu, enum vcpu_seg seg)
{
	return vmcs_read32(VMCS_GUEST_ES_LIMIT + seg_step(seg));
}

u32 backend_segment_rights(struct vcpu *vcpu, enum vcpu_seg seg)
{
	return vmcs_read32(VMCS_GUEST_ES_AR + seg_step(seg));
}

/* SDM: SS.DPL is the CPL, in every mode but virtual-8086 where it holds 3 as well. */
int backend_cpl(struct vcpu *vcpu)
{
	return FIELD_GET(SEGAR_DPL, vmcs_read32(VMCS_GUEST_SS_AR));
}

void backend_get_idt(struct vcpu *vcpu, struct kvm_dtable *t)
{
	t->base = vmcs_read_nat(VMCS_GUEST_IDTR_BASE);
	t->limit = vmcs_read32(VMCS_GUEST_IDTR_LIMIT);
}

void backend_set_idt(struct vcpu *vcpu, const struct kvm_dtable *t)
{
	vmcs_write_nat(VMCS_GUEST_IDTR_BASE, t->base);
	vmcs_write32(VMCS_GUEST_IDTR_LIMIT, t->limit);
}

void backend_get_gdt(struct vcpu *vcpu, struct kvm_dtable *t)
{
	t->base = vmcs_read_nat(VMCS_GUEST_GDTR_BASE);
	t->limit = vmcs_read32(VMCS_GUEST_GDTR_LIMIT);
}

void backend_set_gdt(struct vcpu *vcpu, const struct kvm_dtable *t)
{
	vmcs_write_nat(VMCS_GUEST_GDTR_BASE, t->base);
	vmcs_write32(VMCS_GUEST_GDTR_LIMIT, t->limit);
}

/* --- MSRs --- */

/* Where an MSR's guest value is kept while it is loaded into the processor by backend_load(). */
static u64 *loaded_msr(struct vcpu *vcpu, u32 msr)
{
	struct x86_msrs *m = &vcpu->arch.msr;

	switch (msr) {
	case MSR_STAR:
		return &m->syscall.star;
	case MSR_LSTAR:
		return &m->syscall.lstar;
	case MSR_CSTAR:
		return &m->syscall.cstar;
	case MSR_SYSCALL_MASK:
		return &m->syscall.fmask;
	case MSR_TSC_AUX:
		return boot_cpu_has(X86_FEATURE_RDTSCP) ? &m->tsc_aux : NULL;
	case MSR_KERNEL_GS_BASE:
		return &m->kernel_gs_base;
	default:
		return NULL;
	}
}

static bool is_syscall_msr(u32 msr)
{
	return msr == MSR_STAR || msr == MSR_LSTAR || msr == MSR_CSTAR || msr == MSR_SYSCALL_MASK;
}

int backend_get_msr(struct vcpu *vcpu, u32 msr, u64 *value)
{
	const u64 *loaded = loaded_msr(vcpu, msr);

	if (msr == MSR_KERNEL_GS_BASE) {
		rdmsrl(MSR_KERNEL_GS_BASE, *value);
		return 0;
	}
	if (loaded) {
		*value = *loaded;
		return 0;
	}
	switch (msr) {
	case MSR_FS_BASE:
		*value = vmcs_read_nat(VMCS_GUEST_FS_BASE);
		return 0;
	case MSR_GS_BASE:
		*value = vmcs_read_nat(VMCS_GUEST_GS_BASE);
		return 0;
	case MSR_IA32_SYSENTER_CS:
		*value = vmcs_read32(VMCS_GUEST_SYSENTER_CS);
		return 0;
	case MSR_IA32_SYSENTER_ESP:
		*value = vmcs_read_nat(VMCS_GUEST_SYSENTER_ESP);
		return 0;
	case MSR_IA32_SYSENTER_EIP:
		*value = vmcs_read_nat(VMCS_GUEST_SYSENTER_EIP);
		return 0;
	case MSR_IA32_CR_PAT:
		*value = vmcs_read64(VMCS_GUEST_PAT);
		return 0;
	case MSR_IA32_DEBUGCTLMSR:
		*value = vmcs_read64(VMCS_GUEST_DEBUGCTL);
		return 0;
	default:
		return 1;
	}
}

int backend_set_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	u64 *loaded = loaded_msr(vcpu, msr);

	if (loaded) {
		/* Value and register change together as seen by backend_put(). */
		preempt_disable();
		vmx_put_syscall_msrs(vcpu);
		*loaded = value;
		vmx_load_syscall_msrs(vcpu);
		if (!is_syscall_msr(msr))
			wrmsrl(msr, value);
		preempt_enable();
		return 0;
	}
	switch (msr) {
	case MSR_FS_BASE:
		vmcs_write_nat(VMCS_GUEST_FS_BASE, value);
		return 0;
	case MSR_GS_BASE:
		vmcs_write_nat(VMCS_GUEST_GS_BASE, value);
		return 0;
	case MSR_IA32_SYSENTER_CS:
		vmcs_write32(VMCS_GUEST_SYSENTER_CS, value);
		return 0;
	case MSR_IA32_SYSENTER_ESP:
		vmcs_write_nat(VMCS_GUEST_SYSENTER_ESP, value);
		return 0;
	case MSR_IA32_SYSENTER_EIP:
		vmcs_write_nat(VMCS_GUEST_SYSENTER_EIP, value);
		return 0;
	case MSR_IA32_CR_PAT:
		vmcs_write64(VMCS_GUEST_PAT, value);
		return 0;
	case MSR_IA32_DEBUGCTLMSR:
		vmcs_write64(VMCS_GUEST_DEBUGCTL, value);
		return 0;
	default:
		return 1;
	}
}

/* --- controls and CPUID --- */

void backend_cpuid_limits(struct cpuid_limits *limits)
{
	limits->rdtscp = vmx_caps.proc2 & PROC2_RDTSCP;
	limits->invpcid = vmx_caps.proc2 & PROC2_INVPCID;
	limits->xsaves = vmx_caps.proc2 & PROC2_XSAVES;
	limits->umip = false; /* needs descriptor-table exits where the CPU lacks it */
	limits->la57 = false;
}

/* Without the control the instruction is #UD, as CPUID promises. */
void backend_cpuid_changed(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 proc2 = vmx->proc2 & ~(PROC2_RDTSCP | PROC2_INVPCID | PROC2_XSAVES);

	if (vcpu_has_cpuid(vcpu, 0x80000001, 0, 3, 27))
		proc2 |= vmx_caps.proc2 & PROC2_RDTSCP;
	if (vcpu_has_cpuid(vcpu, 7, 0, 1, 10))
		proc2 |= vmx_caps.proc2 & PROC2_INVPCID;
	if (vcpu_has_cpuid(vcpu, 0xd, 1, 0, 3))
		proc2 |= vmx_caps.proc2 & PROC2_XSAVES;
	if (proc2 != vmx->proc2) {
		vmx->proc2 = proc2;
		vmcs_write32(VMCS_CTRL_PROC2, proc2);
	}
}

/* --- reset --- */

void backend_vcpu_reset(struct vcpu *vcpu)
{
	vmcs_write32(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmcs_write32(VMCS_GUEST_BLOCKING, 0);
	vmcs_write_nat(VMCS_GUEST_PENDING_DB, 0);
	vmcs_write32(VMCS_CTRL_ENTRY_INTR, 0);
	vmcs_write64(VMCS_GUEST_DEBUGCTL, 0);
	vcpu_set_request(vcpu, REQ_GUEST_TLB);
}

/* --- events --- */

u32 backend_blocking(struct vcpu *vcpu)
{
	u32 state = vmcs_read32(VMCS_GUEST_BLOCKING);
	u32 mask = 0;

	if (state & GUEST_BLOCK_STI)
		mask |= BLOCK_STI;
	if (state & GUEST_BLOCK_MOVSS)
		mask |= BLOCK_MOVSS;
	if (state & GUEST_BLOCK_NMI)
		mask |= BLOCK_NMI;
	return mask;
}

void backend_set_blocking(struct vcpu *vcpu, u32 mask, u32 bits)
{
	u32 state = vmcs_read32(VMCS_GUEST_BLOCKING);
	u32 old = state;

	if (mask & BLOCK_STI)
		state = bits & BLOCK_STI ? state | GUEST_BLOCK_STI : state & ~GUEST_BLOCK_STI;
	if (mask & BLOCK_MOVSS)
		state = bits & BLOCK_MOVSS ? state | GUEST_BLOCK_MOVSS : state & ~GUEST_BLOCK_MOVSS;
	if (mask & BLOCK_NMI)
		state = bits & BLOCK_NMI ? state | GUEST_BLOCK_NMI : state & ~GUEST_BLOCK_NMI;
	if (state != old)
		vmcs_write32(VMCS_GUEST_BLOCKING, state);
}

void backend_inject(struct vcpu *vcpu, const struct x86_event *ev)
{
	u32 info = ev->vector | FIELD_PREP(INTR_INFO_TYPE, ev->type) | INTR_INFO_VALID;

	if (ev->has_error) {
		info |= INTR_INFO_ERROR;
		vmcs_write32(VMCS_CTRL_ENTRY_ERROR, ev->error & 0xffff); /* no more is accepted */
	}
	if (ev->type >= EVENT_SOFT_INTR)
		vmcs_write32(VMCS_CTRL_ENTRY_INSN_LEN, ev->insn_len);
	vmcs_write32(VMCS_CTRL_ENTRY_INTR, info);
	/* Delivery ends HLT; most events are not even accepted in that state. */
	(void)backend_take_halt(vcpu);
}

void backend_cancel_injection(struct vcpu *vcpu)
{
	vmcs_write32(VMCS_CTRL_ENTRY_INTR, 0);
}

void backend_set_windows(struct vcpu *vcpu, u32 windows)
{
	vmx_set_proc(to_vmx(vcpu), PROC_IRQ_WINDOW, windows & WINDOW_IRQ);
	vmx_set_proc(to_vmx(vcpu), PROC_NMI_WINDOW, windows & WINDOW_NMI);
}

static __always_inline bool single_stepping(struct vcpu *vcpu)
{
	return unlikely(quick_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_TF) &&
	       !(vmcs_read64(VMCS_GUEST_DEBUGCTL) & DEBUGCTLMSR_BTF);
}

/* The instruction was in a shadow, which ends. Returns data breakpoints that MOV SS has put off. */
static noinline u64 end_shadow(u32 state)
{
	u64 pending = vmcs_read_nat(VMCS_GUEST_PENDING_DB);

	vmcs_write32(VMCS_GUEST_BLOCKING, state & ~(GUEST_BLOCK_STI | GUEST_BLOCK_MOVSS));
	if (pending)
		vmcs_write_nat(VMCS_GUEST_PENDING_DB, 0);
	return pending & PENDING_DB_ENABLED ? pending & DR_TRAP_BITS : 0;
}

static __always_inline void end_insn(struct vcpu *vcpu)
{
	u32 state = vmcs_read32(VMCS_GUEST_BLOCKING);
	u64 traps = 0;

	debug_insn_done(vcpu);
	if (unlikely(state & (GUEST_BLOCK_STI | GUEST_BLOCK_MOVSS)))
		traps = end_shadow(state);
	/* None of the instructions that exit is a branch. */
	if (single_stepping(vcpu))
		traps |= DR_STEP;
	if (unlikely(traps))
		debug_trap(vcpu, traps);
}

void backend_end_insn(struct vcpu *vcpu)
{
	end_insn(vcpu);
}

/* SDM "Checks on Guest Non-Register State": BS is to be set in a shadow iff a step trap is due. */
void backend_settle_shadow(struct vcpu *vcpu)
{
	u64 old, pending;

	if (!(vmcs_read32(VMCS_GUEST_BLOCKING) & (GUEST_BLOCK_STI | GUEST_BLOCK_MOVSS)))
		return;
	old = vmcs_read_nat(VMCS_GUEST_PENDING_DB);
	pending = single_stepping(vcpu) ? old | PENDING_DB_BS : old & ~PENDING_DB_BS;
	if (pending != old)
		vmcs_write_nat(VMCS_GUEST_PENDING_DB, pending);
}

/* --- a debugger --- */

bool backend_can_step(void)
{
	return vmx_caps.proc_allowed & PROC_MONITOR_TRAP;
}

void backend_set_debug(struct vcpu *vcpu, bool step, bool breakpoint_insns)
{
	vmx_set_proc(to_vmx(vcpu), PROC_MONITOR_TRAP, step);
	vmcs_write32(VMCS_CTRL_EXCEPTIONS,
		     VMX_EXCEPTIONS | (breakpoint_insns ? BIT(X86_TRAP_BP) : 0));
}

u64 backend_linear_rip(struct vcpu *vcpu)
{
	u64 rip = vcpu_reg(vcpu, REG_RIP);

	if (vmcs_read32(VMCS_GUEST_CS_AR) & SEGAR_L)
		return rip;
	return (u32)(vmcs_read_nat(VMCS_GUEST_CS_BASE) + rip);
}

void backend_skip_insn(struct vcpu *vcpu)
{
	u64 old = quick_reg(vcpu, REG_RIP), rip = old + vmcs_read32(VMCS_EXIT_INSN_LEN);

	/* Outside 64-bit mode EIP wraps; CS.L tells (compatibility mode has it clear). */
	if (unlikely((old ^ rip) >> 32) && !(vmcs_read32(VMCS_GUEST_CS_AR) & SEGAR_L))
		rip = (u32)rip;
	vcpu_set_reg(vcpu, REG_RIP, rip);
	end_insn(vcpu);
}
