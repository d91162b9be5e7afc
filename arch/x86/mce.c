// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine checks as a guest sees them: the banks' registers, KVM_X86_SETUP_MCE and KVM_X86_SET_MCE.
 *
 * Errors come from userspace only. Left out: local machine checks, counting of corrected errors
 * (each is reported by CMCI where the guest wants it). Source: SDM "Machine-Check Architecture",
 * "Corrected Machine Check Error Interrupt". Everything runs in the vCPU's own thread with its
 * state loaded.
 */
#include <asm/mce.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <vcpu.h>

enum { BANK_CTL, BANK_STATUS, BANK_ADDR, BANK_MISC };

static unsigned int nr_banks(const struct vcpu *vcpu)
{
	return vcpu->arch.msr.mcg_cap & MCG_BANKCNT_MASK;
}

static bool has_cmci(const struct vcpu *vcpu)
{
	return vcpu->arch.msr.mcg_cap & MCG_CMCI_P;
}

/* IA32_MCG_CTL, and each bank's: all reports off or all on. */
static bool ctl_valid(u64 value)
{
	return value == 0 || value == ~0ULL;
}

int vmce_set_ctl(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	if (!(vcpu->arch.msr.mcg_cap & MCG_CTL_P) && (value || !host))
		return 1;
	if (!ctl_valid(value))
		return 1;
	vcpu->arch.msr.mcg_ctl = value;
	return 0;
}

int vmce_get_bank(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	unsigned int bank = (msr - MSR_IA32_MC0_CTL) / 4;

	if (bank >= nr_banks(vcpu))
		return 1;
	*value = vcpu->arch.msr.mce_bank[bank][msr % 4];
	return 0;
}

int vmce_set_bank(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	unsigned int bank = (msr - MSR_IA32_MC0_CTL) / 4;

	if (bank >= nr_banks(vcpu))
		return 1;
	if (msr % 4 == BANK_CTL && !ctl_valid(value))
		return 1;
	/* Software can only clear a report. */
	if (msr % 4 == BANK_STATUS && !host && value)
		return 1;
	vcpu->arch.msr.mce_bank[bank][msr % 4] = value;
	return 0;
}

/* IA32_MCi_CTL2: CMCI enable and threshold. */
int vmce_get_ctl2(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	unsigned int bank = msr - MSR_IA32_MC0_CTL2;

	if (bank >= nr_banks(vcpu) || (!has_cmci(vcpu) && !host))
		return 1;
	*value = vcpu->arch.msr.mci_ctl2[bank];
	return 0;
}

int vmce_set_ctl2(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	unsigned int bank = msr - MSR_IA32_MC0_CTL2;

	if (bank >= nr_banks(vcpu) || (!has_cmci(vcpu) && (value || !host)))
		return 1;
	if (value & ~(u64)(MCI_CTL2_CMCI_EN | MCI_CTL2_CMCI_THRESHOLD_MASK))
		return 1;
	vcpu->arch.msr.mci_ctl2[bank] = value;
	return 0;
}

/* KVM_X86_SETUP_MCE: the value IA32_MCG_CAP shall have. */
int vmce_setup(struct vcpu *vcpu, u64 cap)
{
	unsigned int bank, n = cap & MCG_BANKCNT_MASK;

	if (!n || n > X86_MCE_BANKS || (cap & ~(X86_MCG_CAP | MCG_BANKCNT_MASK)))
		return -EINVAL;
	vcpu->arch.msr.mcg_cap = cap;
	if (cap & MCG_CTL_P)
		vcpu->arch.msr.mcg_ctl = ~0ULL;
	for (bank = 0; bank < n; bank++) {
		vcpu->arch.msr.mce_bank[bank][BANK_CTL] = ~0ULL;
		vcpu->arch.msr.mci_ctl2[bank] = 0;
	}
	if (vcpu->vm->irqchip_mode != IRQCHIP_NONE)
		vlapic_set_features(&vcpu->arch.apic, vcpu->arch.apic.has_directed_eoi,
				    has_cmci(vcpu));
	return 0;
}

static void fill_bank(u64 *bank, const struct kvm_x86_mce *mce, u64 extra)
{
	bank[BANK_STATUS] = mce->status | extra;
	bank[BANK_ADDR] = mce->addr;
	bank[BANK_MISC] = mce->misc;
}

/*
 * Errors that need no machine check: corrected ones, and uncorrected ones of which no processor
 * has consumed anything ("UCNA": no action required). They fill their bank, and CMCI tells the
 * guest.
 */
static bool needs_machine_check(const struct kvm_x86_mce *mce)
{
	return (mce->status & MCI_STATUS_UC) &&
	       (mce->mcg_status || (mce->status & (MCI_STATUS_PCC | MCI_STATUS_S | MCI_STATUS_AR)));
}

static void report_quietly(struct vcpu *vcpu, const struct kvm_x86_mce *mce, u64 overflow)
{
	u64 *bank = vcpu->arch.msr.mce_bank[mce->bank];

	/* A corrected error never overwrites an uncorrected one. */
	if (overflow && (bank[BANK_STATUS] & MCI_STATUS_UC) && !(mce->status & MCI_STATUS_UC))
		bank[BANK_STATUS] |= overflow;
	else
		fill_bank(bank, mce, overflow);
	if (has_cmci(vcpu) && (vcpu->arch.msr.mci_ctl2[mce->bank] & MCI_CTL2_CMCI_EN))
		irqchip_raise_lvt(&vcpu->vm->chip, vcpu->index, LAPIC_LVT_CMCI);
}

/*
 * KVM_X86_SET_MCE. What needs a machine check is #MC, or shutdown where the guest cannot take one.
 * Reports that the guest has turned off are dropped.
 */
int vmce_inject(struct vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	struct x86_msrs *m = &vcpu->arch.msr;
	u64 *bank, overflow = 0;

	if (mce->bank >= nr_banks(vcpu) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = m->mce_bank[mce->bank];
	if (bank[BANK_STATUS] & MCI_STATUS_VAL)
		overflow = MCI_STATUS_OVER;
	if (!needs_machine_check(mce)) {
		report_quietly(vcpu, mce, overflow);
		return 0;
	}
	if (((m->mcg_cap & MCG_CTL_P) && m->mcg_ctl != ~0ULL) || bank[BANK_CTL] != ~0ULL)
		return 0;
	if ((m->mcg_status & MCG_STATUS_MCIP) || !(vcpu_reg(vcpu, REG_CR4) & X86_CR4_MCE)) {
		vcpu_set_request(vcpu, REQ_TRIPLE_FAULT);
		return 0;
	}
	fill_bank(bank, mce, overflow);
	m->mcg_status = mce->mcg_status;
	event_queue_exception(vcpu, X86_TRAP_MC);
	return 0;
}
