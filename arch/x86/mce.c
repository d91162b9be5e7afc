// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine checks as a guest sees them: the banks' registers, KVM_X86_SETUP_MCE and KVM_X86_SET_MCE.
 *
 * Errors come from userspace only. Left out: corrected-error interrupts (CMCI), local machine
 * checks, error recovery beyond what the status bits say. Source: SDM "Machine-Check Architecture".
 * Everything runs in the vCPU's own thread with its state loaded.
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

/* KVM_X86_SETUP_MCE: the value IA32_MCG_CAP shall have. */
int vmce_setup(struct vcpu *vcpu, u64 cap)
{
	unsigned int bank, n = cap & MCG_BANKCNT_MASK;

	if (!n || n > X86_MCE_BANKS || (cap & ~(X86_MCG_CAP | MCG_BANKCNT_MASK)))
		return -EINVAL;
	vcpu->arch.msr.mcg_cap = cap;
	if (cap & MCG_CTL_P)
		vcpu->arch.msr.mcg_ctl = ~0ULL;
	for (bank = 0; bank < n; bank++)
		vcpu->arch.msr.mce_bank[bank][BANK_CTL] = ~0ULL;
	return 0;
}

static void fill_bank(u64 *bank, const struct kvm_x86_mce *mce, u64 extra)
{
	bank[BANK_STATUS] = mce->status | extra;
	bank[BANK_ADDR] = mce->addr;
	bank[BANK_MISC] = mce->misc;
}

/*
 * KVM_X86_SET_MCE. An uncorrected error is #MC, or shutdown where the guest cannot take one; a
 * corrected one only fills its bank. Reports that the guest has turned off are dropped.
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

	if (!(mce->status & MCI_STATUS_UC)) {
		/* A corrected error never overwrites an uncorrected one. */
		if (overflow && (bank[BANK_STATUS] & MCI_STATUS_UC))
			bank[BANK_STATUS] |= overflow;
		else
			fill_bank(bank, mce, overflow);
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
