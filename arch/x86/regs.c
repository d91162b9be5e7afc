// SPDX-License-Identifier: GPL-2.0-only
/*
 * Register state: KVM_GET/SET_REGS, SREGS, DEBUGREGS, the checks that the architecture makes when a
 * guest writes CR0, CR3, CR4, CR8, EFER or XCR0, and the state after power-on and INIT.
 *
 * Here stands what is legal; arch/x86/vmx/ puts it where the processor wants it. Left out: CET,
 * protection keys for supervisor pages, linear-address masking, system-management mode.
 * Everything runs in the vCPU's own thread with its state loaded and vm->srcu read-locked.
 */
#include <linux/cache.h>
#include <linux/init.h>
#include <asm/cpufeature.h>
#include <asm/processor.h>
#include <backend.h>
#include <cpuid.h>
#include <gwalk.h>
#include <vcpu.h>

#define CR0_DEFINED                                                                    \
	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | \
	 X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
/* MOV to CR0 that changes one of these reloads the PDPTEs: SDM "PDPTE Registers". */
#define CR0_PDPTR (X86_CR0_CD | X86_CR0_NW | X86_CR0_PG)

/* Bits of processors that every guest has: no CPUID bit of a later generation guards them. */
#define CR4_ALWAYS                                                                          \
	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | \
	 X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT)
#define CR4_PDPTR      (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)

#define CR3_PCID       GENMASK_ULL(11, 0)
#define CR3_NOFLUSH    BIT_ULL(63)
#define CR3_PAE_BASE   GENMASK_ULL(31, 5)

/* Of a PDPTE, besides the address bits above MAXPHYADDR: SDM "PDPTE Registers". */
#define PDPTE_PRESENT  BIT_ULL(0)
#define PDPTE_RESERVED (GENMASK_ULL(2, 1) | GENMASK_ULL(8, 5))

#define DR6_POWER_ON   0xffff0ff0ULL
#define DR7_POWER_ON   0x00000400ULL
#define CR0_POWER_ON   (X86_CR0_CD | X86_CR0_NW | X86_CR0_ET)

#define XSTATE_X87     BIT_ULL(0)
#define XSTATE_SSE     BIT_ULL(1)
#define XSTATE_YMM     BIT_ULL(2)
#define XSTATE_BND     GENMASK_ULL(4, 3)
#define XSTATE_AVX512  GENMASK_ULL(7, 5)

struct x86_host x86_host __ro_after_init;

/* --- what this guest may set --- */

/* CR4 bits that come with a CPUID feature. */
static const struct {
	u64 cr4;
	u32 leaf;
	u8 reg, bit;
} cr4_features[] = {
	{ X86_CR4_PCIDE, 1, CPUID_REG_ECX, 17 },   { X86_CR4_OSXSAVE, 1, CPUID_REG_ECX, 26 },
	{ X86_CR4_FSGSBASE, 7, CPUID_REG_EBX, 0 }, { X86_CR4_SMEP, 7, CPUID_REG_EBX, 7 },
	{ X86_CR4_SMAP, 7, CPUID_REG_EBX, 20 },    { X86_CR4_UMIP, 7, CPUID_REG_ECX, 2 },
	{ X86_CR4_PKE, 7, CPUID_REG_ECX, 3 },      { X86_CR4_LA57, 7, CPUID_REG_ECX, 16 },
};

void __init regs_host_init(const struct kvm_cpuid_entry2 *supported, u32 n)
{
	unsigned int i;

	x86_host.cr4 = CR4_ALWAYS;
	for (i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (cpuid_has(supported, n, cr4_features[i].leaf, 0, cr4_features[i].reg,
			      cr4_features[i].bit))
			x86_host.cr4 |= cr4_features[i].cr4;
	x86_host.efer = EFER_SCE | EFER_LME | EFER_LMA;
	if (boot_cpu_has(X86_FEATURE_NX))
		x86_host.efer |= EFER_NX;
}

/* Before KVM_SET_CPUID2 a VMM may set whatever the host can do (6.1 set_sregs_test). */
static u64 cr4_allowed(struct vcpu *vcpu)
{
	u64 allowed = CR4_ALWAYS;
	unsigned int i;

	if (!vcpu->arch.nr_cpuid)
		return x86_host.cr4;
	for (i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (vcpu_has_cpuid(vcpu, cr4_features[i].leaf, 0, cr4_features[i].reg,
				   cr4_features[i].bit))
			allowed |= cr4_features[i].cr4;
	return allowed & x86_host.cr4;
}

static u64 efer_allowed(struct vcpu *vcpu)
{
	u64 allowed = 0;

	if (vcpu_has_cpuid(vcpu, 0x80000001, 0, CPUID_REG_EDX, 11))
		allowed |= EFER_SCE;
	if (vcpu_has_cpuid(vcpu, 0x80000001, 0, CPUID_REG_EDX, 20))
		allowed |= EFER_NX;
	if (vcpu_has_cpuid(vcpu, 0x80000001, 0, CPUID_REG_EDX, 29))
		allowed |= EFER_LME | EFER_LMA;
	return allowed & x86_host.efer;
}

u64 vcpu_reserved_gpa_bits(const struct vcpu *vcpu)
{
	return ~0ULL << vcpu->arch.maxphyaddr;
}

bool vcpu_la_canonical(struct vcpu *vcpu, u64 la)
{
	return la_is_canonical(la, vcpu_reg(vcpu, REG_CR4) & X86_CR4_LA57 ? 57 : 48);
}

static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & EFER_LMA);
}

/* 0 with the four PDPTEs loaded; 1 if memory or a reserved bit forbids it. */
static int load_pdptrs(struct vcpu *vcpu, u64 cr3)
{
	u64 pdptr[4];
	unsigned int i;

	if (vm_read_guest(vcpu->vm, cr3 & CR3_PAE_BASE, pdptr, sizeof(pdptr)))
		return 1;
	for (i = 0; i < ARRAY_SIZE(pdptr); i++)
		if ((pdptr[i] & PDPTE_PRESENT) &&
		    (pdptr[i] & (PDPTE_RESERVED | vcpu_reserved_gpa_bits(vcpu))))
			return 1;
	backend_set_pdptrs(vcpu, pdptr);
	return 0;
}

/* --- guest writes: SDM "Control Registers", "MOV-Move to/from Control Registers" --- */

static bool cr0_valid(u64 value)
{
	if (upper_32_bits(value))
		return false;
	if ((value & X86_CR0_PG) && !(value & X86_CR0_PE))
		return false;
	return !(value & X86_CR0_NW) || (value & X86_CR0_CD);
}

static bool in_64bit_mode(struct vcpu *vcpu)
{
	struct kvm_segment cs;

	if (!(vcpu->arch.efer & EFER_LMA))
		return false;
	backend_get_segment(vcpu, &cs, SEG_CS);
	return cs.l;
}

/* Paging is being turned on: may it be, and into which mode? */
static int enable_paging(struct vcpu *vcpu, u64 cr4)
{
	struct kvm_segment cs;

	if (!(vcpu->arch.efer & EFER_LME))
		return 0;
	backend_get_segment(vcpu, &cs, SEG_CS);
	if (!(cr4 & X86_CR4_PAE) || cs.l)
		return 1;
	backend_set_efer(vcpu, vcpu->arch.efer | EFER_LMA);
	return 0;
}

static int disable_paging(struct vcpu *vcpu, u64 cr4)
{
	if ((cr4 & X86_CR4_PCIDE) || in_64bit_mode(vcpu))
		return 1;
	if (vcpu->arch.efer & EFER_LMA)
		backend_set_efer(vcpu, vcpu->arch.efer & ~EFER_LMA);
	return 0;
}

int regs_set_cr0(struct vcpu *vcpu, u64 value)
{
	u64 old = vcpu_reg(vcpu, REG_CR0), cr4 = vcpu_reg(vcpu, REG_CR4);
	u64 lme = vcpu->arch.efer & EFER_LME;

	if (!cr0_valid(value))
		return 1;
	value = (value & CR0_DEFINED) | X86_CR0_ET;
	/* Without LME the mode after this write is known, so the PDPTEs can be checked first. */
	if (((old ^ value) & CR0_PDPTR) && !lme && pae_paging(value, cr4, 0) &&
	    load_pdptrs(vcpu, vcpu_reg(vcpu, REG_CR3)))
		return 1;
	if (!(old & X86_CR0_PG) && (value & X86_CR0_PG) && enable_paging(vcpu, cr4))
		return 1;
	if ((old & X86_CR0_PG) && !(value & X86_CR0_PG) && disable_paging(vcpu, cr4))
		return 1;
	backend_set_cr0(vcpu, value);
	return 0;
}

int regs_set_cr3(struct vcpu *vcpu, u64 value)
{
	u64 cr4 = vcpu_reg(vcpu, REG_CR4);

	if (cr4 & X86_CR4_PCIDE)
		value &= ~CR3_NOFLUSH; /* flushing more than asked is always allowed */
	if (value & vcpu_reserved_gpa_bits(vcpu))
		return 1;
	if (pae_paging(vcpu_reg(vcpu, REG_CR0), cr4, vcpu->arch.efer) && load_pdptrs(vcpu, value))
		return 1;
	backend_set_cr3(vcpu, value);
	return 0;
}

int regs_set_cr4(struct vcpu *vcpu, u64 value)
{
	u64 old = vcpu_reg(vcpu, REG_CR4), cr3 = vcpu_reg(vcpu, REG_CR3);
	u64 changed = old ^ value;
	bool lma = vcpu->arch.efer & EFER_LMA;

	if (value & ~cr4_allowed(vcpu))
		return 1;
	if (lma && (!(value & X86_CR4_PAE) || (changed & X86_CR4_LA57)))
		return 1;
	if ((changed & value & X86_CR4_PCIDE) && (!lma || (cr3 & CR3_PCID)))
		return 1;
	if ((changed & CR4_PDPTR) && pae_paging(vcpu_reg(vcpu, REG_CR0), value, vcpu->arch.efer) &&
	    load_pdptrs(vcpu, cr3))
		return 1;
	backend_set_cr4(vcpu, value);
	if (changed & (X86_CR4_OSXSAVE | X86_CR4_PKE))
		vcpu_update_cpuid(vcpu);
	return 0;
}

u64 regs_get_cr8(struct vcpu *vcpu)
{
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return vcpu->arch.cr8;
	return irqchip_get_cr8(&vcpu->vm->chip, vcpu->index);
}

int regs_set_cr8(struct vcpu *vcpu, u64 value)
{
	if (value > 15)
		return 1;
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		vcpu->arch.cr8 = value;
	else
		irqchip_set_cr8(&vcpu->vm->chip, vcpu->index, value);
	return 0;
}

int regs_set_efer(struct vcpu *vcpu, u64 value, bool host_initiated)
{
	u64 old = vcpu->arch.efer;

	if (value & ~x86_host.efer)
		return 1;
	if (!host_initiated) {
		if (value & ~efer_allowed(vcpu) & ~EFER_LMA)
			return 1;
		if ((vcpu_reg(vcpu, REG_CR0) & X86_CR0_PG) && ((old ^ value) & EFER_LME))
			return 1;
	}
	/* LMA is the processor's: it follows LME and CR0.PG, never a write. */
	backend_set_efer(vcpu, (value & ~EFER_LMA) | (old & EFER_LMA));
	return 0;
}

/* SDM "Extended Control Registers (Including XCR0)". */
static bool xcr0_valid(struct vcpu *vcpu, u64 value)
{
	u64 avx512 = value & XSTATE_AVX512, bnd = value & XSTATE_BND;

	if (!(value & XSTATE_X87))
		return false;
	if ((value & XSTATE_YMM) && !(value & XSTATE_SSE))
		return false;
	if (avx512 && (avx512 != XSTATE_AVX512 || !(value & XSTATE_YMM)))
		return false;
	if (bnd && bnd != XSTATE_BND)
		return false;
	return !(value & ~(vcpu->arch.guest_supported_xcr0 | XSTATE_X87));
}

int regs_set_xcr(struct vcpu *vcpu, u32 index, u64 value)
{
	if (index != 0 || !xcr0_valid(vcpu, value))
		return 1;
	vcpu->arch.xcr0 = value;
	vcpu_update_cpuid(vcpu);
	return 0;
}

/* --- KVM_GET/SET_REGS --- */

void regs_get(struct vcpu *vcpu, struct kvm_regs *r)
{
	const u64 *gpr = vcpu->arch.regs;

	*r = (struct kvm_regs){
		.rax = gpr[REG_RAX],
		.rbx = gpr[REG_RBX],
		.rcx = gpr[REG_RCX],
		.rdx = gpr[REG_RDX],
		.rsi = gpr[REG_RSI],
		.rdi = gpr[REG_RDI],
		.rsp = vcpu_reg(vcpu, REG_RSP),
		.rbp = gpr[REG_RBP],
		.r8 = gpr[REG_R8],
		.r9 = gpr[REG_R9],
		.r10 = gpr[REG_R10],
		.r11 = gpr[REG_R11],
		.r12 = gpr[REG_R12],
		.r13 = gpr[REG_R13],
		.r14 = gpr[REG_R14],
		.r15 = gpr[REG_R15],
		.rip = vcpu_reg(vcpu, REG_RIP),
		.rflags = vcpu_reg(vcpu, REG_RFLAGS),
	};
}

void regs_set(struct vcpu *vcpu, const struct kvm_regs *r)
{
	vcpu_set_reg(vcpu, REG_RAX, r->rax);
	vcpu_set_reg(vcpu, REG_RBX, r->rbx);
	vcpu_set_reg(vcpu, REG_RCX, r->rcx);
	vcpu_set_reg(vcpu, REG_RDX, r->rdx);
	vcpu_set_reg(vcpu, REG_RSI, r->rsi);
	vcpu_set_reg(vcpu, REG_RDI, r->rdi);
	vcpu_set_reg(vcpu, REG_RSP, r->rsp);
	vcpu_set_reg(vcpu, REG_RBP, r->rbp);
	vcpu_set_reg(vcpu, REG_R8, r->r8);
	vcpu_set_reg(vcpu, REG_R9, r->r9);
	vcpu_set_reg(vcpu, REG_R10, r->r10);
	vcpu_set_reg(vcpu, REG_R11, r->r11);
	vcpu_set_reg(vcpu, REG_R12, r->r12);
	vcpu_set_reg(vcpu, REG_R13, r->r13);
	vcpu_set_reg(vcpu, REG_R14, r->r14);
	vcpu_set_reg(vcpu, REG_R15, r->r15);
	vcpu_set_reg(vcpu, REG_RIP, r->rip);
	vcpu_set_reg(vcpu, REG_RFLAGS, r->rflags | X86_EFLAGS_FIXED);
	/* An exception that belongs to the old RIP makes no sense at the new one. */
	vcpu->arch.ev.exception.pending = false;
	vcpu_set_request(vcpu, REQ_EVENT);
}

/* --- KVM_GET/SET_SREGS --- */

static void get_interrupt_bitmap(struct vcpu *vcpu, struct kvm_sregs *s)
{
	int vector = event_interrupt(vcpu);

	if (vector >= 0)
		s->interrupt_bitmap[vector / 64] |= BIT_ULL(vector % 64);
}

void sregs_get(struct vcpu *vcpu, struct kvm_sregs *s)
{
	memset(s, 0, sizeof(*s));
	backend_get_segment(vcpu, &s->cs, SEG_CS);
	backend_get_segment(vcpu, &s->ds, SEG_DS);
	backend_get_segment(vcpu, &s->es, SEG_ES);
	backend_get_segment(vcpu, &s->fs, SEG_FS);
	backend_get_segment(vcpu, &s->gs, SEG_GS);
	backend_get_segment(vcpu, &s->ss, SEG_SS);
	backend_get_segment(vcpu, &s->tr, SEG_TR);
	backend_get_segment(vcpu, &s->ldt, SEG_LDTR);
	backend_get_gdt(vcpu, &s->gdt);
	backend_get_idt(vcpu, &s->idt);
	s->cr0 = vcpu_reg(vcpu, REG_CR0);
	s->cr2 = vcpu->arch.cr2;
	s->cr3 = vcpu_reg(vcpu, REG_CR3);
	s->cr4 = vcpu_reg(vcpu, REG_CR4);
	s->cr8 = regs_get_cr8(vcpu);
	s->efer = vcpu->arch.efer;
	s->apic_base = vcpu_apic_base(vcpu);
	get_interrupt_bitmap(vcpu, s);
}

static bool sregs_valid(struct vcpu *vcpu, const struct kvm_sregs *s)
{
	bool long_mode = (s->efer & EFER_LME) && (s->cr0 & X86_CR0_PG);

	if (!cr0_valid(s->cr0) || (s->cr4 & ~cr4_allowed(vcpu)) || (s->efer & ~x86_host.efer))
		return false;
	if ((s->cr3 & vcpu_reserved_gpa_bits(vcpu)) || s->cr8 > 15)
		return false;
	if (long_mode)
		return (s->cr4 & X86_CR4_PAE) && (s->efer & EFER_LMA);
	/*
	 * CR4.PCIDE is taken here as well, though it belongs to long mode: the VM entry refuses it.
	 */
	return !(s->efer & EFER_LMA) && !s->cs.l;
}

int sregs_set(struct vcpu *vcpu, const struct kvm_sregs *s)
{
	unsigned int vector;

	if (!sregs_valid(vcpu, s))
		return -EINVAL;
	if (pae_paging(s->cr0, s->cr4, s->efer) && load_pdptrs(vcpu, s->cr3))
		return -EINVAL;
	if (vcpu_set_apic_base(vcpu, s->apic_base, true))
		return -EINVAL;

	backend_set_idt(vcpu, &s->idt);
	backend_set_gdt(vcpu, &s->gdt);
	vcpu->arch.cr2 = s->cr2;
	backend_set_cr3(vcpu, s->cr3);
	regs_set_cr8(vcpu, s->cr8);
	backend_set_efer(vcpu, s->efer);
	backend_set_cr0(vcpu, (s->cr0 & CR0_DEFINED) | X86_CR0_ET);
	backend_set_cr4(vcpu, s->cr4);
	backend_set_segment(vcpu, &s->cs, SEG_CS);
	backend_set_segment(vcpu, &s->ds, SEG_DS);
	backend_set_segment(vcpu, &s->es, SEG_ES);
	backend_set_segment(vcpu, &s->fs, SEG_FS);
	backend_set_segment(vcpu, &s->gs, SEG_GS);
	backend_set_segment(vcpu, &s->ss, SEG_SS);
	backend_set_segment(vcpu, &s->tr, SEG_TR);
	backend_set_segment(vcpu, &s->ldt, SEG_LDTR);

	/* At most one interrupt can be under way; the lowest bit set is taken for it. */
	for (vector = 0; vector < 256; vector++)
		if (s->interrupt_bitmap[vector / 64] & BIT_ULL(vector % 64))
			break;
	if (vector < 256)
		event_set_interrupt(vcpu, (int)vector, false);
	vcpu_update_cpuid(vcpu);
	vcpu_set_request(vcpu, REQ_EVENT);
	return 0;
}

/* --- KVM_GET/SET_DEBUGREGS --- */

void debugregs_get(struct vcpu *vcpu, struct kvm_debugregs *d)
{
	memset(d, 0, sizeof(*d));
	memcpy(d->db, vcpu->arch.dr, sizeof(d->db));
	d->dr6 = vcpu->arch.dr6;
	d->dr7 = vcpu->arch.dr7;
}

int debugregs_set(struct vcpu *vcpu, const struct kvm_debugregs *d)
{
	if (d->flags || upper_32_bits(d->dr6) || upper_32_bits(d->dr7))
		return -EINVAL;
	memcpy(vcpu->arch.dr, d->db, sizeof(vcpu->arch.dr));
	vcpu->arch.dr6 = d->dr6;
	debug_set_guest_dr7(vcpu, d->dr7);
	return 0;
}

/* --- power-on and INIT --- */

static void reset_segments(struct vcpu *vcpu)
{
	/* Real mode: 64 KiB, readable and writable (code: readable), accessed. */
	struct kvm_segment data = { .limit = 0xffff, .type = 3, .present = 1, .s = 1 };
	struct kvm_segment code = data;
	struct kvm_segment ldt = { .limit = 0xffff, .type = 2, .present = 1 };
	struct kvm_segment tr = { .limit = 0xffff, .type = 11, .present = 1 };
	struct kvm_dtable table = { .limit = 0xffff };
	enum vcpu_seg seg;

	code.selector = 0xf000;
	code.base = 0xffff0000;
	code.type = 11;
	for (seg = SEG_ES; seg <= SEG_GS; seg++)
		backend_set_segment(vcpu, seg == SEG_CS ? &code : &data, seg);
	backend_set_segment(vcpu, &tr, SEG_TR);
	backend_set_segment(vcpu, &ldt, SEG_LDTR);
	backend_set_idt(vcpu, &table);
	backend_set_gdt(vcpu, &table);
}

void regs_reset(struct vcpu *vcpu, bool init_event)
{
	const struct kvm_cpuid_entry2 *leaf =
		cpuid_find(vcpu->arch.cpuid, vcpu->arch.nr_cpuid, 1, 0);
	u64 cr0 = CR0_POWER_ON;
	enum vcpu_reg reg;

	/* SDM: an INIT leaves CR0.CD and CR0.NW as they are. */
	if (init_event)
		cr0 = (vcpu_reg(vcpu, REG_CR0) & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;

	for (reg = REG_RAX; reg <= REG_R15; reg++)
		vcpu_set_reg(vcpu, reg, 0);
	vcpu_set_reg(vcpu, REG_RDX, leaf ? leaf->eax : 0x600); /* family, model, stepping */
	vcpu_set_reg(vcpu, REG_RIP, 0xfff0);
	vcpu_set_reg(vcpu, REG_RFLAGS, X86_EFLAGS_FIXED);

	backend_set_efer(vcpu, 0);
	backend_set_cr0(vcpu, cr0);
	backend_set_cr4(vcpu, 0);
	backend_set_cr3(vcpu, 0);
	vcpu->arch.cr2 = 0;
	reset_segments(vcpu);

	memset(vcpu->arch.dr, 0, sizeof(vcpu->arch.dr));
	vcpu->arch.dr6 = DR6_POWER_ON;
	debug_set_guest_dr7(vcpu, DR7_POWER_ON);
	if (!init_event) {
		vcpu->arch.xcr0 = XSTATE_X87;
		vcpu->arch.cr8 = 0;
	}
}
