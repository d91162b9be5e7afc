// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this processor's VMX offers, as control words that are ready to write.
 *
 * Each control word has bits that must be 1, bits that must be 0 and bits that are free (SDM
 * appendix "VMX Capability Reporting Facility"). A row of the table below says what we need (fail
 * without it), what we take if we can get it, and what must be absent; one function resolves all.
 */
#include <linux/cpu.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include "vmx.h"

#define EPT_CAP_WALK_4     BIT_ULL(6)
#define EPT_CAP_WB         BIT_ULL(14)
#define EPT_CAP_2M         BIT_ULL(16)
#define EPT_CAP_1G         BIT_ULL(17)
#define EPT_CAP_INVEPT     BIT_ULL(20)
#define EPT_CAP_AD         BIT_ULL(21)
#define EPT_CAP_INVEPT_ONE BIT_ULL(25)
#define VPID_CAP_INVVPID   BIT_ULL(32)
#define VPID_CAP_ONE       BIT_ULL(41)

#define BASIC_TRUE_CTLS    BIT_ULL(55)
#define BASIC_MEMTYPE      GENMASK_ULL(53, 50)

struct vmx_caps vmx_caps __ro_after_init;

struct control {
	const char *name;
	u32 msr, true_msr; /* true_msr supersedes where IA32_VMX_BASIC says so; 0: there is none */
	u32 required, wanted, absent;
	u32 *result;
	u32 *allowed; /* what else may be set later; NULL: nobody asks */
	u32 *fixed;   /* what may not be cleared later; NULL: nobody does */
};

static const struct control controls[] __initconst = {
	{
		.name = "pin-based",
		.msr = MSR_IA32_VMX_PINBASED_CTLS,
		.true_msr = MSR_IA32_VMX_TRUE_PINBASED_CTLS,
		.required = PIN_EXT_INTR_EXIT | PIN_NMI_EXIT | PIN_VIRTUAL_NMIS,
		.wanted = PIN_POSTED_INTR | PIN_PREEMPT_TIMER,
		.result = &vmx_caps.pin,
	},
	{
		.name = "primary processor-based",
		.msr = MSR_IA32_VMX_PROCBASED_CTLS,
		.true_msr = MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
		.required = PROC_TSC_OFFSET | PROC_HLT_EXIT | PROC_MWAIT_EXIT | PROC_MONITOR_EXIT |
			    PROC_RDPMC_EXIT | PROC_CR8_LOAD_EXIT | PROC_CR8_STORE_EXIT |
			    PROC_MOV_DR_EXIT | PROC_UNCOND_IO_EXIT | PROC_MSR_BITMAPS |
			    PROC_SECONDARY,
		.wanted = PROC_TPR_SHADOW,
		.absent = PROC_CR3_LOAD_EXIT | PROC_CR3_STORE_EXIT | PROC_INVLPG_EXIT,
		.result = &vmx_caps.proc,
		.allowed = &vmx_caps.proc_allowed,
		.fixed = &vmx_caps.proc_fixed,
	},
	{
		.name = "secondary processor-based",
		.msr = MSR_IA32_VMX_PROCBASED_CTLS2,
		.required = PROC2_EPT | PROC2_UNRESTRICTED,
		.wanted = PROC2_VPID | PROC2_RDTSCP | PROC2_INVPCID | PROC2_WBINVD_EXIT |
			  PROC2_APIC_ACCESS | PROC2_X2APIC | PROC2_APIC_REGISTER | PROC2_VIRT_INTR |
			  PROC2_PAUSE_LOOP | PROC2_XSAVES | PROC2_TSC_SCALING,
		.result = &vmx_caps.proc2,
	},
	{
		.name = "VM-exit",
		.msr = MSR_IA32_VMX_EXIT_CTLS,
		.true_msr = MSR_IA32_VMX_TRUE_EXIT_CTLS,
		.required = EXIT_SAVE_DEBUG | EXIT_HOST_64BIT | EXIT_ACK_INTR | EXIT_SAVE_PAT |
			    EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER,
		.result = &vmx_caps.exit,
	},
	{
		.name = "VM-entry",
		.msr = MSR_IA32_VMX_ENTRY_CTLS,
		.true_msr = MSR_IA32_VMX_TRUE_ENTRY_CTLS,
		.required = ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER,
		.result = &vmx_caps.entry,
	},
};

/* The one place that turns a capability MSR and our wishes into a control word. */
static int __init resolve(const struct control *c, bool have_true)
{
	u64 allowed = 0;
	u32 must_be_1, may_be_1, value;

	if (rdmsrl_safe(have_true && c->true_msr ? c->true_msr : c->msr, &allowed)) {
		pr_err("this CPU does not report its %s VMX controls\n", c->name);
		return -ENODEV;
	}
	must_be_1 = (u32)allowed;
	may_be_1 = (u32)(allowed >> 32);
	if (c->required & ~may_be_1) {
		pr_err("this CPU lacks %s VMX controls that are needed: bits %#x\n", c->name,
		       c->required & ~may_be_1);
		return -ENODEV;
	}
	if (c->absent & must_be_1) {
		pr_err("this CPU can't turn off %s VMX controls %#x\n", c->name,
		       c->absent & must_be_1);
		return -ENODEV;
	}
	value = c->required | (c->wanted & may_be_1) | must_be_1;
	*c->result = value;
	if (c->allowed)
		*c->allowed = may_be_1;
	if (c->fixed)
		*c->fixed = must_be_1;
	return 0;
}

static int __init resolve_ept(void)
{
	u64 cap = 0;

	if (rdmsrl_safe(MSR_IA32_VMX_EPT_VPID_CAP, &cap) || !(cap & EPT_CAP_WALK_4) ||
	    !(cap & EPT_CAP_WB) || !(cap & EPT_CAP_INVEPT) || !(cap & EPT_CAP_INVEPT_ONE)) {
		pr_err("this CPU's EPT lacks 4-level walks, write-back or INVEPT: %#llx\n", cap);
		return -ENODEV;
	}
	vmx_caps.ept_ad = cap & EPT_CAP_AD;
	vmx_caps.ept_2m = cap & EPT_CAP_2M;
	vmx_caps.ept_1g = cap & EPT_CAP_1G;
	if (!(cap & VPID_CAP_INVVPID) || !(cap & VPID_CAP_ONE))
		vmx_caps.proc2 &= ~PROC2_VPID;
	return 0;
}

/* The host's own choice of mitigations decides, as /proc/cmdline and the CPU's bugs give it. */
static void __init resolve_mitigations(void)
{
	u64 arch_cap = 0;

	if (cpu_mitigations_off())
		return;
	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl_safe(MSR_IA32_ARCH_CAPABILITIES, &arch_cap);
	if (boot_cpu_has_bug(X86_BUG_L1TF) && !(arch_cap & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH)) {
		vmx_caps.flush_l1d = boot_cpu_has(X86_FEATURE_FLUSH_L1D);
		if (!vmx_caps.flush_l1d)
			pr_warn("L1TF: no L1D flush without a microcode update; guests may read "
				"the L1 cache\n");
	}
	if (boot_cpu_has(X86_FEATURE_MD_CLEAR))
		vmx_caps.verw = boot_cpu_has_bug(X86_BUG_MDS) || boot_cpu_has_bug(X86_BUG_TAA) ||
				boot_cpu_has_bug(X86_BUG_MMIO_STALE_DATA);
}

int __init vmx_caps_init(void)
{
	u64 basic = 0;
	unsigned int i;
	int r;

	if (rdmsrl_safe(MSR_IA32_VMX_BASIC, &basic)) {
		pr_err("IA32_VMX_BASIC can't be read: VMX is not usable on this machine\n");
		return -ENODEV;
	}
	if (FIELD_GET(BASIC_MEMTYPE, basic) != 6) {
		pr_err("this CPU wants VMCS regions in memory that is not write-back\n");
		return -ENODEV;
	}
	vmx_caps.revision = basic & GENMASK(30, 0);
	for (i = 0; i < ARRAY_SIZE(controls); i++) {
		r = resolve(&controls[i], basic & BASIC_TRUE_CTLS);
		if (r)
			return r;
	}
	r = resolve_ept();
	if (r)
		return r;
	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, vmx_caps.cr0_fixed0);
	rdmsrl(MSR_IA32_VMX_CR0_FIXED1, vmx_caps.cr0_fixed1);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, vmx_caps.cr4_fixed0);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED1, vmx_caps.cr4_fixed1);
	resolve_mitigations();
	apicv_caps_init();
	idle_caps_init();
	preempt_timer_caps_init();
	tsc_caps_init();
	return 0;
}
