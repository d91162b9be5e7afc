/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What CPUID tells a guest.
 *
 * arch/x86/cpuid.c holds the policy (KVM_GET_SUPPORTED_CPUID), checks what userspace sets
 * (KVM_SET_CPUID2), answers the instruction and keeps the bits that follow control registers. Only
 * features whose state and controls the module virtualizes are offered. Portable C on arrays of
 * struct kvm_cpuid_entry2; the caller owns and locks them. Nothing here sleeps.
 */
#ifndef CPUID_H
#define CPUID_H

#include <irqchip/env.h>

/* KVM_GET_SUPPORTED_CPUID never has more entries: clients bring room for 100. */
#define CPUID_MAX_SUPPORTED 80

/* The order in which the kernel's own CPUID_EAX and so on count. */
enum cpuid_reg { CPUID_REG_EAX, CPUID_REG_EBX, CPUID_REG_ECX, CPUID_REG_EDX, CPUID_REGS };

/* The processor's own CPUID instruction, or a recording of one. */
typedef void (*cpuid_host_fn)(u32 leaf, u32 sub, u32 regs[CPUID_REGS]);

/* What the VMX controls and the host's FPU code permit, beside what the host's CPUID has. */
struct cpuid_limits {
	u64 xcr0;    /* components that can be saved and switched; 0: no XSAVE */
	bool rdtscp; /* "enable RDTSCP", TSC_AUX is switched: RDTSCP and RDPID */
	bool invpcid;
	bool xsaves;  /* "enable XSAVES/XRSTORS" */
	bool umip;    /* CR4.UMIP is the guest's, or emulated */
	bool pku;     /* PKRU is switched */
	bool la57;    /* CR4.LA57 is the guest's */
	bool strings; /* REP MOVS and STOS are fast: "Fast-Strings Enable" of IA32_MISC_ENABLE */
	u32 pv;       /* BIT(KVM_FEATURE_*): leaf 0x40000001 */
	u32 tsc_khz;  /* rate of the guest's TSC, for leaf 0x15; 0: leave the leaf out */
	u8 gpa_bits;  /* width that second-level paging can map; 0: as wide as MAXPHYADDR */
};

/**
 * cpuid_supported() - the list for KVM_GET_SUPPORTED_CPUID
 * @max: room in @out
 * @n: entries written; after -E2BIG how many there are
 *
 * Return: 0 or -E2BIG.
 */
int __must_check cpuid_supported(const struct cpuid_limits *limits, cpuid_host_fn host,
				 struct kvm_cpuid_entry2 *out, u32 max, u32 *n);

/**
 * cpuid_validate() - check the input of KVM_SET_CPUID2
 *
 * Userspace may offer the guest features the module doesn't; control registers and MSRs refuse
 * them. Only what other code relies on is checked.
 * Return: 0, or -EINVAL when the linear-address width of leaf 0x80000008 is none of 0, 48, 57.
 */
int __must_check cpuid_validate(const struct kvm_cpuid_entry2 *entries, u32 n);

/**
 * cpuid_find() - the entry of a leaf
 *
 * @sub counts only for entries with KVM_CPUID_FLAG_SIGNIFCANT_INDEX. The first match wins.
 * Return: the entry or NULL; out-of-range leaves have none.
 */
const struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid_entry2 *entries, u32 n, u32 leaf,
					  u32 sub);

struct cpuid_result {
	u32 eax, ebx, ecx, edx;
};

/**
 * cpuid_query() - execute CPUID on @entries
 *
 * An absent leaf reads as zeros. Above the largest basic, hypervisor or extended leaf, AMD and
 * Hygon guests get zeros and others the largest basic leaf, as the processors do. Undefined
 * subleaves of the topology leaves 0xB and 0x1F echo ECX[7:0] and keep the x2APIC ID in EDX.
 */
struct cpuid_result cpuid_query(const struct kvm_cpuid_entry2 *entries, u32 n, u32 leaf, u32 sub);

/* Whether a feature bit is set; @reg is an enum cpuid_reg. False when the leaf is absent. */
bool cpuid_has(const struct kvm_cpuid_entry2 *entries, u32 n, u32 leaf, u32 sub, unsigned int reg,
	       u32 bit);

/* MAXPHYADDR: leaf 0x80000008 within 32..52, 36 without it. */
u8 cpuid_maxphyaddr(const struct kvm_cpuid_entry2 *entries, u32 n);

/* XCR0 bits that the guest may set: leaf 0xD within @host_xcr0. */
u64 cpuid_xcr0(const struct kvm_cpuid_entry2 *entries, u32 n, u64 host_xcr0);

/**
 * cpuid_update_runtime() - let the bits that mirror registers follow them
 * @apic_enabled: IA32_APIC_BASE.EN
 *
 * OSXSAVE, OSPKE, APIC, and the XSAVE area sizes of leaf 0xD. To be called when CPUID is set and
 * when CR4, XCR0 or IA32_APIC_BASE changes.
 */
void cpuid_update_runtime(struct kvm_cpuid_entry2 *entries, u32 n, u64 cr4, u64 xcr0,
			  bool apic_enabled);

#endif
