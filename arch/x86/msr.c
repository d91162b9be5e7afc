// SPDX-License-Identifier: GPL-2.0-only
/*
 * Model-specific registers: one table says which exist, who may read and write them, which bits are
 * reserved and where the value lives. RDMSR, WRMSR and KVM_GET/SET_MSRS all go through it.
 *
 * An MSR that is not in the table is #GP for the guest and ends KVM_GET/SET_MSRS. Left out, and
 * not advertised by CPUID either: performance monitoring, speculation control, VMX, SMM,
 * paravirtual MSRs but the clock's and steal time. MTRRs are kept but steer nothing: the
 * second-level tables say write-back. Everything runs in the vCPU's own thread, loaded.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <backend.h>
#include <cpuid.h>
#include <vcpu.h>

#define MSR_LIST      BIT(0) /* in KVM_GET_MSR_INDEX_LIST: userspace will save and restore it */
#define MSR_R         BIT(1) /* the guest may read it; userspace always may */
#define MSR_W         BIT(2) /* the guest may write it */
#define MSR_HW        BIT(3) /* userspace may write it */
#define MSR_CANON     BIT(4) /* holds a linear address */
#define MSR_RDTSCP    BIT(5) /* only on a host with RDTSCP */
#define MSR_STEAL     BIT(6) /* only on a host that knows steal time */
#define MSR_QUICK     BIT(7) /* ->set serves with interrupts off: msr_set_at_once() */
#define MSR_RW        (MSR_R | MSR_W | MSR_HW)
#define MSR_SAVED     (MSR_LIST | MSR_RW)

#define HOT_ROWS      2 /* at the head of the table */

#define MSR_IOCTL_MAX 255 /* entries in one KVM_GET/SET_MSRS */

#define MISC_ENABLE_DEFAULT                                                    \
	(MSR_IA32_MISC_ENABLE_FAST_STRING | MSR_IA32_MISC_ENABLE_BTS_UNAVAIL | \
	 MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL)
#define MISC_ENABLE_RO                                                  \
	(MSR_IA32_MISC_ENABLE_EMON | MSR_IA32_MISC_ENABLE_BTS_UNAVAIL | \
	 MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL)
#define MISC_ENABLE_DEFINED                                                     \
	(MSR_IA32_MISC_ENABLE_FAST_STRING | MSR_IA32_MISC_ENABLE_TM1 |          \
	 MSR_IA32_MISC_ENABLE_ENHANCED_SPEEDSTEP | MSR_IA32_MISC_ENABLE_MWAIT | \
	 MSR_IA32_MISC_ENABLE_LIMIT_CPUID | MSR_IA32_MISC_ENABLE_XTPR_DISABLE | \
	 MSR_IA32_MISC_ENABLE_XD_DISABLE | MISC_ENABLE_RO)

#define MTRR_CAP             (BIT_ULL(10) | BIT_ULL(8) | X86_MTRR_VAR) /* WC, fixed ranges, count */
#define MTRR_FIXED_1ST       0x250
#define MTRR_VAR_1ST         0x200
#define MTRR_DEF_DEFINED     (BIT_ULL(11) | BIT_ULL(10) | 0xffULL) /* E, FE, type */
#define MTRR_BASE_RES        GENMASK_ULL(11, 8)
#define MTRR_MASK_RES        GENMASK_ULL(10, 0)

#define PLATFORM_INFO_ABSENT BIT_ULL(31) /* CPUID faulting */

#define HWCR_KEPT            (BIT_ULL(18) | BIT_ULL(24))            /* McStatusWrEn, TscFreqSel */
#define HWCR_IGNORED         (BIT_ULL(3) | BIT_ULL(6) | BIT_ULL(8)) /* TlbCacheDis, FFDIS, IgnneEm */

/* Not zero: guests divide by the bus ratio in bits 44:40. */
#define PERF_STATUS_VALUE    (4ULL << 40)

struct msr_row {
	u32 first;
	u16 count;
	u8 access;
	u8 word;      /* index of the first u64 in struct x86_msrs, without handlers */
	u64 reserved; /* must be zero in a write */
	bool (*guest)(struct vcpu *vcpu); /* does the guest's CPUID have it? NULL: always */
	/* ->guest and ->get serve with interrupts off: they don't sleep, and touch only the vCPU. */
	int (*get)(struct vcpu *vcpu, u32 msr, u64 *value, bool host);
	int (*set)(struct vcpu *vcpu, u32 msr, u64 value, bool host);
};

/* --- constants --- */

static int get_zero(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	*value = 0;
	return 0;
}

static int set_nothing(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	return 0;
}

/* Locked by the firmware, with everything it could enable off. */
static int get_feature_control(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	*value = FEAT_CTL_LOCKED;
	return 0;
}

static int get_mtrr_cap(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	*value = MTRR_CAP;
	return 0;
}

static int get_perf_status(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	*value = PERF_STATUS_VALUE;
	return 0;
}

/* --- MSRs that the processor holds --- */

static int get_backend(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	return backend_get_msr(vcpu, msr, value);
}

static int set_backend(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	return backend_set_msr(vcpu, msr, value);
}

static bool guest_has_tsc_aux(struct vcpu *vcpu)
{
	return vcpu_has_cpuid(vcpu, 0x80000001, 0, CPUID_REG_EDX, 27) || /* RDTSCP */
	       vcpu_has_cpuid(vcpu, 7, 0, CPUID_REG_ECX, 22);            /* RDPID */
}

static int get_efer(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	*value = vcpu->arch.efer;
	return 0;
}

static int set_efer(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	return regs_set_efer(vcpu, value, host);
}

/* SDM "IA32_PAT MSR": UC, WC, WT, WP, WB and UC- in each of the eight bytes. */
static bool pat_valid(u64 value)
{
	unsigned int i;

	for (i = 0; i < 64; i += 8) {
		u8 type = value >> i;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static int set_pat(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	if (!pat_valid(value))
		return 1;
	return backend_set_msr(vcpu, msr, value);
}

/* --- time --- */

static int get_tsc(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	*value = vcpu_guest_tsc(vcpu);
	return 0;
}

/* SDM "IA32_TSC_ADJUST Register and TSC": a guest's write moves both by the same amount. */
static int set_tsc(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	u64 before = vcpu_guest_tsc(vcpu);

	if (host) {
		vcpu_set_guest_tsc(vcpu, value);
		return 0;
	}
	vcpu->arch.msr.tsc_adjust += value - before;
	vcpu_adjust_tsc_offset(vcpu, value - before);
	return 0;
}

static bool guest_has_xsaves(struct vcpu *vcpu)
{
	return vcpu_has_cpuid(vcpu, 0xd, 1, CPUID_REG_EAX, 3);
}

static bool guest_has_tsc_adjust(struct vcpu *vcpu)
{
	return vcpu_has_cpuid(vcpu, 7, 0, CPUID_REG_EBX, 1);
}

static int get_tsc_adjust(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	*value = vcpu->arch.msr.tsc_adjust;
	return 0;
}

/* Userspace restores TSC and TSC_ADJUST one after the other: only the first may move the clock. */
static int set_tsc_adjust(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	if (!host && value != vcpu->arch.msr.tsc_adjust)
		vcpu_adjust_tsc_offset(vcpu, value - vcpu->arch.msr.tsc_adjust);
	vcpu->arch.msr.tsc_adjust = value;
	return 0;
}

/* --- the VM's clock, under two numbers each --- */

static bool guest_has_old_kvmclock(struct vcpu *vcpu)
{
	return vcpu_has_pv(vcpu, KVM_FEATURE_CLOCKSOURCE);
}

static bool guest_has_kvmclock(struct vcpu *vcpu)
{
	return vcpu_has_pv(vcpu, KVM_FEATURE_CLOCKSOURCE2);
}

static int set_system_time(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	return kvmclock_set_system_time(vcpu, value);
}

/* Restoring the address must not write there: the guest has read what it wanted long ago. */
static int set_wall_clock(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	if (!host)
		return kvmclock_set_wall_clock(vcpu, value);
	vcpu->arch.msr.kvm_wall_clock = value;
	return 0;
}

/* --- what guests know of KVM beside the clock --- */

static bool guest_has_steal_time(struct vcpu *vcpu)
{
	return vcpu_has_pv(vcpu, KVM_FEATURE_STEAL_TIME);
}

static int set_steal_time(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	return pv_set_steal_time(vcpu, value);
}

/* --- the LAPIC's --- */

u64 vcpu_apic_base(struct vcpu *vcpu)
{
	u64 value = 0;

	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return vcpu->arch.apic_base;
	/* Reading IA32_APIC_BASE cannot fail. */
	irqchip_msr_read(&vcpu->vm->chip, vcpu->index, MSR_IA32_APICBASE, &value);
	return value;
}

/* What the core checks of a LAPIC of its own. */
static bool apic_base_valid(struct vcpu *vcpu, u64 value)
{
	const u64 defined = MSR_IA32_APICBASE_BSP | X2APIC_ENABLE | MSR_IA32_APICBASE_ENABLE |
			    GENMASK_ULL(63, 12);

	if ((value & ~defined) || (value & vcpu_reserved_gpa_bits(vcpu)))
		return false;
	if (!(value & X2APIC_ENABLE))
		return true;
	return (value & MSR_IA32_APICBASE_ENABLE) && vcpu_has_cpuid(vcpu, 1, 0, CPUID_REG_ECX, 21);
}

int vcpu_set_apic_base(struct vcpu *vcpu, u64 value, bool host)
{
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE) {
		if (!apic_base_valid(vcpu, value))
			return 1;
		vcpu->arch.apic_base = value;
	} else if (irqchip_msr_write(&vcpu->vm->chip, vcpu->index, MSR_IA32_APICBASE, value,
				     host)) {
		return 1;
	} else {
		vcpu_set_request(vcpu, REQ_APICV);
	}
	vcpu_update_cpuid(vcpu);
	return 0;
}

static int get_apic_base(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	*value = vcpu_apic_base(vcpu);
	return 0;
}

static int set_apic_base(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	return vcpu_set_apic_base(vcpu, value, host);
}

static int get_lapic(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	if (vcpu->vm->irqchip_mode != IRQCHIP_NONE)
		return irqchip_msr_read(&vcpu->vm->chip, vcpu->index, msr, value);
	/* The index list promises IA32_TSC_DEADLINE to userspace in every mode. */
	*value = 0;
	return !(host && msr == MSR_IA32_TSC_DEADLINE);
}

static int set_lapic(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	if (vcpu->vm->irqchip_mode != IRQCHIP_NONE)
		return irqchip_msr_write(&vcpu->vm->chip, vcpu->index, msr, value, host);
	return !(host && msr == MSR_IA32_TSC_DEADLINE && value == 0);
}

/* --- memory types --- */

/* SDM "Memory Type Range Registers (MTRRs)": UC, WC, WT, WP, WB. */
static bool mtrr_type_valid(u8 type)
{
	return type < 7 && type != 2 && type != 3;
}

static int set_mtrr_var(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	unsigned int pair = (msr - MTRR_VAR_1ST) / 2;
	u64 reserved = vcpu_reserved_gpa_bits(vcpu);

	if (msr & 1) {
		if (value & (reserved | MTRR_MASK_RES))
			return 1;
		vcpu->arch.msr.mtrr_mask[pair] = value;
		return 0;
	}
	if ((value & (reserved | MTRR_BASE_RES)) || !mtrr_type_valid(value))
		return 1;
	vcpu->arch.msr.mtrr_base[pair] = value;
	return 0;
}

static int get_mtrr_var(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	unsigned int pair = (msr - MTRR_VAR_1ST) / 2;

	*value = msr & 1 ? vcpu->arch.msr.mtrr_mask[pair] : vcpu->arch.msr.mtrr_base[pair];
	return 0;
}

/* 0x250, 0x258, 0x259, 0x268 .. 0x26f: eleven registers. */
static u64 *mtrr_fixed(struct vcpu *vcpu, u32 msr)
{
	switch (msr) {
	case MTRR_FIXED_1ST:
		return &vcpu->arch.msr.mtrr_fixed[0];
	case 0x258 ... 0x259:
		return &vcpu->arch.msr.mtrr_fixed[1 + msr - 0x258];
	default:
		return &vcpu->arch.msr.mtrr_fixed[3 + msr - 0x268];
	}
}

static int get_mtrr_fixed(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	*value = *mtrr_fixed(vcpu, msr);
	return 0;
}

static int set_mtrr_fixed(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	unsigned int i;

	for (i = 0; i < 64; i += 8)
		if (!mtrr_type_valid(value >> i))
			return 1;
	*mtrr_fixed(vcpu, msr) = value;
	return 0;
}

static int set_mtrr_def(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	if (!mtrr_type_valid(value))
		return 1;
	vcpu->arch.msr.mtrr_def_type = value;
	return 0;
}

/* --- the rest --- */

bool vcpu_has_quirk(const struct vcpu *vcpu, u64 quirk)
{
	return !(READ_ONCE(vcpu->vm->arch.disabled_quirks) & quirk);
}

/*
 * SDM "IA32_MISC_ENABLE": "Enable MONITOR FSM" is what CPUID says of MONITOR; without SSE3 it can't
 * be written. With the quirk MISC_ENABLE_NO_MWAIT CPUID stays as userspace has set it.
 */
static int set_misc_enable(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	u64 *stored = &vcpu->arch.msr.misc_enable;
	bool follow = !vcpu_has_quirk(vcpu, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT);

	if (!host)
		value = (value & ~MISC_ENABLE_RO) | (*stored & MISC_ENABLE_RO);
	if (follow && ((*stored ^ value) & MSR_IA32_MISC_ENABLE_MWAIT) &&
	    !vcpu_has_cpuid(vcpu, 1, 0, CPUID_REG_ECX, 0))
		return 1;
	*stored = value;
	if (follow)
		vcpu_update_cpuid(vcpu);
	return 0;
}

static bool guest_has_platform_info(struct vcpu *vcpu)
{
	return !READ_ONCE(vcpu->vm->arch.no_platform_info);
}

/* The guest's microcode loader writes 0 before it reads the revision. */
static int set_microcode(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	if (host)
		vcpu->arch.msr.microcode = value;
	return 0;
}

/*
 * AMD's hardware configuration, of which userspace may keep two bits in any vCPU and write three
 * more that are forgotten. Guests are Intel's and have no such register.
 */
static int set_hwcr(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	vcpu->arch.msr.hwcr = value & HWCR_KEPT;
	return 0;
}

/* --- the table --- */

#define KEPT(field) .word = offsetof(struct x86_msrs, field) / sizeof(u64)
#define ZERO        .get = get_zero, .set = set_nothing
#define BACKEND     .get = get_backend, .set = set_backend
#define LAPIC       .get = get_lapic, .set = set_lapic
#define FIXED       .get = get_mtrr_fixed, .set = set_mtrr_fixed

/* clang-format off */
static const struct msr_row msr_table[] = {
	/* what a guest uses all the time, and all that is to be checked the handlers do: HOT_ROWS */
	{ 0x800, 256, MSR_RW | MSR_QUICK, LAPIC }, /* x2APIC */
	{ MSR_IA32_TSC_DEADLINE, 1, MSR_SAVED | MSR_QUICK, LAPIC },
	/* the rest by number, in ascending order: cold_row() */
	/* Pentium machine-check address and type: no such event ever */
	{ 0x000, 2, MSR_R, ZERO },
	{ MSR_IA32_TSC, 1, MSR_SAVED | MSR_QUICK, .get = get_tsc, .set = set_tsc },
	{ MSR_KVM_WALL_CLOCK, 1, MSR_SAVED, .guest = guest_has_old_kvmclock,
	  KEPT(kvm_wall_clock), .set = set_wall_clock },
	{ MSR_KVM_SYSTEM_TIME, 1, MSR_SAVED, .guest = guest_has_old_kvmclock,
	  KEPT(kvm_system_time), .set = set_system_time },
	{ MSR_IA32_PLATFORM_ID, 1, MSR_R, ZERO },
	{ MSR_IA32_APICBASE, 1, MSR_RW, .get = get_apic_base, .set = set_apic_base },
	{ MSR_IA32_EBL_CR_POWERON, 1, MSR_RW, .reserved = ~0ULL, ZERO },
	{ MSR_SMI_COUNT, 1, MSR_LIST | MSR_R | MSR_HW, KEPT(smi_count) },
	{ MSR_IA32_FEAT_CTL, 1, MSR_R, .get = get_feature_control },
	{ MSR_IA32_TSC_ADJUST, 1, MSR_SAVED | MSR_QUICK, .guest = guest_has_tsc_adjust,
	  .get = get_tsc_adjust, .set = set_tsc_adjust },
	{ MSR_IA32_UCODE_WRITE, 1, MSR_W, ZERO },
	{ MSR_IA32_UCODE_REV, 1, MSR_SAVED, KEPT(microcode), .set = set_microcode },
	{ MSR_FSB_FREQ, 1, MSR_R, ZERO },
	{ MSR_PLATFORM_INFO, 1, MSR_LIST | MSR_R | MSR_HW, .reserved = PLATFORM_INFO_ABSENT,
	  .guest = guest_has_platform_info, KEPT(platform_info) },
	{ MSR_MTRRcap, 1, MSR_R, .get = get_mtrr_cap },
	{ MSR_IA32_SYSENTER_CS, 1, MSR_SAVED, .reserved = ~0xffffffffULL, BACKEND },
	{ MSR_IA32_SYSENTER_ESP, 2, MSR_SAVED | MSR_CANON, BACKEND }, /* and EIP */
	{ MSR_IA32_MCG_CAP, 1, MSR_R, KEPT(mcg_cap) },
	{ MSR_IA32_MCG_STATUS, 1, MSR_SAVED, .reserved = ~0xfULL, KEPT(mcg_status) },
	{ MSR_IA32_MCG_CTL, 1, MSR_SAVED, KEPT(mcg_ctl), .set = vmce_set_ctl },
	{ MSR_IA32_PERF_STATUS, 1, MSR_R, .get = get_perf_status },
	{ MSR_IA32_PERF_CTL, 1, MSR_R, ZERO },
	{ MSR_IA32_MISC_ENABLE, 1, MSR_SAVED, .reserved = ~MISC_ENABLE_DEFINED,
	  KEPT(misc_enable), .set = set_misc_enable },
	{ MSR_IA32_DEBUGCTLMSR, 1, MSR_RW, .reserved = ~(u64)DEBUGCTLMSR_BTF, BACKEND },
	{ MSR_IA32_LASTBRANCHFROMIP, 4, MSR_R, ZERO }, /* last branch and last interrupt */
	{ MSR_IA32_POWER_CTL, 1, MSR_SAVED, KEPT(power_ctl) }, /* C1E and the like: no effect */
	{ MTRR_VAR_1ST, 2 * X86_MTRR_VAR, MSR_SAVED, .get = get_mtrr_var, .set = set_mtrr_var },
	{ MTRR_FIXED_1ST, 1, MSR_SAVED, FIXED },
	{ 0x258, 2, MSR_SAVED, FIXED },
	{ 0x268, 8, MSR_SAVED, FIXED },
	{ MSR_IA32_CR_PAT, 1, MSR_SAVED, .get = get_backend, .set = set_pat },
	{ MSR_IA32_MC0_CTL2, X86_MCE_BANKS, MSR_RW, .get = vmce_get_ctl2, .set = vmce_set_ctl2 },
	{ MSR_MTRRdefType, 1, MSR_SAVED, .reserved = ~MTRR_DEF_DEFINED,
	  KEPT(mtrr_def_type), .set = set_mtrr_def },
	{ MSR_IA32_MC0_CTL, 4 * X86_MCE_BANKS, MSR_RW, .get = vmce_get_bank, .set = vmce_set_bank },
	/* energy counters that Linux probes: unit, package, DRAM, core, graphics */
	{ MSR_RAPL_POWER_UNIT, 1, MSR_R, ZERO },
	{ MSR_PKG_ENERGY_STATUS, 1, MSR_R, ZERO },
	{ MSR_DRAM_ENERGY_STATUS, 1, MSR_R, ZERO },
	{ MSR_PP0_ENERGY_STATUS, 1, MSR_R, ZERO },
	{ MSR_PP1_ENERGY_STATUS, 1, MSR_R, ZERO },
	/* supervisor state: none */
	{ MSR_IA32_XSS, 1, MSR_RW, .reserved = ~0ULL, .guest = guest_has_xsaves, ZERO },
	{ MSR_KVM_WALL_CLOCK_NEW, 1, MSR_SAVED, .guest = guest_has_kvmclock,
	  KEPT(kvm_wall_clock), .set = set_wall_clock },
	{ MSR_KVM_SYSTEM_TIME_NEW, 1, MSR_SAVED, .guest = guest_has_kvmclock,
	  KEPT(kvm_system_time), .set = set_system_time },
	{ MSR_KVM_STEAL_TIME, 1, MSR_SAVED | MSR_STEAL, .reserved = KVM_STEAL_RESERVED_MASK,
	  .guest = guest_has_steal_time, KEPT(kvm_steal_time), .set = set_steal_time },
	{ MSR_EFER, 1, MSR_RW, .get = get_efer, .set = set_efer },
	{ MSR_STAR, 1, MSR_SAVED, BACKEND },
	{ MSR_LSTAR, 2, MSR_SAVED | MSR_CANON, BACKEND }, /* and CSTAR */
	{ MSR_SYSCALL_MASK, 1, MSR_SAVED, .reserved = ~0xffffffffULL, BACKEND },
	{ MSR_FS_BASE, 2, MSR_RW | MSR_CANON, BACKEND }, /* and GS_BASE: saved with SREGS */
	{ MSR_KERNEL_GS_BASE, 1, MSR_SAVED | MSR_CANON, BACKEND },
	{ MSR_TSC_AUX, 1, MSR_SAVED | MSR_RDTSCP, .reserved = ~0xffffffffULL,
	  .guest = guest_has_tsc_aux, BACKEND },
	{ MSR_K7_HWCR, 1, MSR_HW, .reserved = ~(HWCR_KEPT | HWCR_IGNORED), KEPT(hwcr),
	  .set = set_hwcr },
};
/* clang-format on */

/* KVM_GET_MSR_FEATURE_INDEX_LIST: values of the host that a VMM may want to pass on. */
static const u32 feature_msrs[] = { MSR_IA32_UCODE_REV };

static bool row_present(const struct msr_row *row)
{
	if ((row->access & MSR_RDTSCP) && !boot_cpu_has(X86_FEATURE_RDTSCP))
		return false;
	return !(row->access & MSR_STEAL) || pv_has_steal_time();
}

static bool row_has(const struct msr_row *row, u32 msr)
{
	return msr - row->first < row->count;
}

/* NULL: not one of the HOT_ROWS, which every host has and which have ->get and ->set. */
static const struct msr_row *hot_row(u32 msr)
{
	const struct msr_row *row;

	for (row = msr_table; row < msr_table + HOT_ROWS; row++)
		if (row_has(row, msr))
			return row;
	return NULL;
}

/* NULL: no such MSR on this host, or a hot one. */
static const struct msr_row *cold_row(u32 msr)
{
	const struct msr_row *row = msr_table + HOT_ROWS;
	unsigned int n = ARRAY_SIZE(msr_table) - HOT_ROWS;

	/* The last of the @n rows from @row on that does not begin behind @msr, or the first. */
	while (n > 1) {
		if (row[n / 2].first <= msr)
			row += n / 2;
		n -= n / 2;
	}
	return row_has(row, msr) && row_present(row) ? row : NULL;
}

/* NULL: no such MSR on this host. */
static const struct msr_row *find_row(u32 msr)
{
	const struct msr_row *row = hot_row(msr);

	return row ? row : cold_row(msr);
}

/* May this access be made at all? */
static bool row_allows(struct vcpu *vcpu, const struct msr_row *row, u8 guest_right, bool host)
{
	if (host)
		return guest_right == MSR_R || (row->access & MSR_HW);
	return (row->access & guest_right) && (!row->guest || row->guest(vcpu));
}

static u64 *stored(struct vcpu *vcpu, const struct msr_row *row, u32 msr)
{
	return (u64 *)&vcpu->arch.msr + row->word + (msr - row->first);
}

int msr_get(struct vcpu *vcpu, u32 msr, u64 *value, bool host_initiated)
{
	const struct msr_row *row = find_row(msr);

	*value = 0;
	if (!row)
		return MSR_UNKNOWN;
	if (!row_allows(vcpu, row, MSR_R, host_initiated))
		return 1;
	if (row->get)
		return row->get(vcpu, msr, value, host_initiated);
	*value = *stored(vcpu, row, msr);
	return 0;
}

static int set_row(struct vcpu *vcpu, const struct msr_row *row, u32 msr, u64 value,
		   bool host_initiated)
{
	if (!row)
		return MSR_UNKNOWN;
	if (!row_allows(vcpu, row, MSR_W, host_initiated) || (value & row->reserved))
		return 1;
	if ((row->access & MSR_CANON) && !vcpu_la_canonical(vcpu, value))
		return 1;
	if (row->set)
		return row->set(vcpu, msr, value, host_initiated);
	*stored(vcpu, row, msr) = value;
	return 0;
}

int msr_set(struct vcpu *vcpu, u32 msr, u64 value, bool host_initiated)
{
	return set_row(vcpu, find_row(msr), msr, value, host_initiated);
}

int msr_set_at_once(struct vcpu *vcpu, u32 msr, u64 value)
{
	const struct msr_row *row = hot_row(msr);

	if (row)
		return row->set(vcpu, msr, value, false);
	row = cold_row(msr);
	/* Without ->set it is nothing but memory. */
	if (row && row->set && !(row->access & MSR_QUICK))
		return MSR_LATER;
	return set_row(vcpu, row, msr, value, false);
}

/* SDM: an INIT leaves all MSRs as they are, except those that regs_reset() sets. */
void msr_reset(struct vcpu *vcpu, bool init_event)
{
	static const u32 cleared[] = {
		MSR_IA32_SYSENTER_CS,
		MSR_IA32_SYSENTER_ESP,
		MSR_IA32_SYSENTER_EIP,
		MSR_STAR,
		MSR_LSTAR,
		MSR_CSTAR,
		MSR_SYSCALL_MASK,
		MSR_KERNEL_GS_BASE,
		MSR_TSC_AUX,
		MSR_IA32_DEBUGCTLMSR,
	};
	struct x86_msrs *m = &vcpu->arch.msr;
	unsigned int i;

	if (init_event)
		return;
	memset(m, 0, sizeof(*m));
	m->mcg_cap = X86_MCE_BANKS;
	m->misc_enable = MISC_ENABLE_DEFAULT;
	m->microcode = 1ULL << 32; /* the revision is in the high half; 0 would mean "none" */
	for (i = 0; i < ARRAY_SIZE(cleared); i++)
		backend_set_msr(vcpu, cleared[i], 0); /* 1 where the host lacks TSC_AUX */
	backend_set_msr(vcpu, MSR_IA32_CR_PAT, 0x0007040600070406ULL);
}

/* --- ioctls --- */

static u32 count_listed(void)
{
	u32 n = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(msr_table); i++)
		if ((msr_table[i].access & MSR_LIST) && row_present(&msr_table[i]))
			n += msr_table[i].count;
	return n;
}

static int copy_listed(u32 __user *to)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(msr_table); i++) {
		const struct msr_row *row = &msr_table[i];

		if (!(row->access & MSR_LIST) || !row_present(row))
			continue;
		for (j = 0; j < row->count; j++)
			if (put_user(row->first + j, to++))
				return -EFAULT;
	}
	return 0;
}

/* KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST: -E2BIG with the number needed. */
long msr_ioctl_index_list(void __user *arg, bool features)
{
	struct kvm_msr_list __user *list = arg;
	u32 room, n = features ? ARRAY_SIZE(feature_msrs) : count_listed();

	if (get_user(room, &list->nmsrs) || put_user(n, &list->nmsrs))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	if (!features)
		return copy_listed(list->indices);
	return copy_to_user(list->indices, feature_msrs, sizeof(feature_msrs)) ? -EFAULT : 0;
}

static int get_feature(struct vcpu *vcpu, struct kvm_msr_entry *e)
{
	if (e->index != MSR_IA32_UCODE_REV)
		return 1;
	e->data = (u64)boot_cpu_data.microcode << 32;
	return 0;
}

static int get_entry(struct vcpu *vcpu, struct kvm_msr_entry *e)
{
	return msr_get(vcpu, e->index, &e->data, true);
}

static int set_entry(struct vcpu *vcpu, struct kvm_msr_entry *e)
{
	return msr_set(vcpu, e->index, e->data, true);
}

/* Do @one to each entry up to the first that fails; returns how many were done. */
static long for_each_entry(struct vcpu *vcpu, void __user *arg, bool write_back,
			   int (*one)(struct vcpu *vcpu, struct kvm_msr_entry *e))
{
	struct kvm_msrs __user *user = arg;
	struct kvm_msr_entry *entries;
	struct kvm_msrs head;
	size_t size;
	u32 i;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs > MSR_IOCTL_MAX)
		return -E2BIG;
	size = head.nmsrs * sizeof(*entries);
	entries = memdup_user(user->entries, size);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (i = 0; i < head.nmsrs; i++)
		if (one(vcpu, &entries[i]))
			break;
	if (write_back && copy_to_user(user->entries, entries, size)) {
		kfree(entries);
		return -EFAULT;
	}
	kfree(entries);
	return i;
}

long msr_ioctl_system_get(void __user *arg)
{
	return for_each_entry(NULL, arg, true, get_feature);
}

long msr_ioctl_get(struct vcpu *vcpu, void __user *arg)
{
	return for_each_entry(vcpu, arg, true, get_entry);
}

long msr_ioctl_set(struct vcpu *vcpu, void __user *arg)
{
	return for_each_entry(vcpu, arg, false, set_entry);
}
