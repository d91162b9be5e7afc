/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which parts of APIC virtualization are in force, as pure functions of what there is and what the
 * LAPIC does at the moment. No kernel type, so that the unit tests can ask them about every case.
 *
 * Source: SDM "APIC Virtualization and Virtual Interrupts"; the dependencies are those of
 * "Checks on VM-Execution Control Fields".
 */
#ifndef VMX_APICV_H
#define VMX_APICV_H

#include <irqchip/apic_regs.h>

/* The features: one VM-execution control each. */
#define APICV_TPR_SHADOW   BIT(0) /* CR8 and the TPR without exits */
#define APICV_ACCESS       BIT(1) /* the xAPIC page: exits that say where, and the TPR without any */
#define APICV_X2APIC       BIT(2) /* the same for the MSRs of x2APIC mode */
#define APICV_REGISTER     BIT(3) /* most reads without exits, most writes with trap-like ones */
#define APICV_DELIVERY     BIT(4) /* virtual interrupts: delivered and completed without exits */
#define APICV_POSTED       BIT(5) /* requests get from PIR to IRR without an exit */
#define APICV_FEATURES     6

/* Why virtual-interrupt delivery is not in force. Several reasons may hold at once. */
#define APICV_OFF_HARDWARE BIT(0) /* this processor has none */
#define APICV_OFF_PARAM    BIT(1) /* a module parameter says so */
#define APICV_OFF_NO_LAPIC BIT(2) /* the LAPIC is in userspace */
#define APICV_OFF_DISABLED BIT(3) /* the guest has disabled its LAPIC in IA32_APIC_BASE */
#define APICV_OFF_BLOCKED  BIT(4) /* KVM_GUESTDBG_BLOCKIRQ: interrupts have to wait */
#define APICV_OFF_USER     BIT(5) /* switched off in debugfs */
#define APICV_OFF_VAPIC    BIT(6) /* the guest's TPR is in its memory: KVM_SET_VAPIC_ADDR */
#define APICV_REASONS      7

/* These go without saying: what is available has no delivery then. */
#define APICV_OFF_ALWAYS   (APICV_OFF_HARDWARE | APICV_OFF_PARAM)

enum apicv_mode {
	APICV_MODE_DISABLED,
	APICV_MODE_XAPIC,     /* at its default address */
	APICV_MODE_RELOCATED, /* in xAPIC mode, elsewhere */
	APICV_MODE_X2APIC,
};

/* @features without those that need one which is not there. */
static inline u32 apicv_consistent(u32 features)
{
	if (!(features & APICV_TPR_SHADOW))
		features &= ~(u32)(APICV_X2APIC | APICV_REGISTER | APICV_DELIVERY);
	if (!(features & APICV_DELIVERY))
		features &= ~(u32)APICV_POSTED;
	return features;
}

/*
 * May the VM's APIC-access page be mapped while a LAPIC is in this mode? One map serves all vCPUs;
 * a vCPU that does not virtualize its accesses would read and write the page itself.
 */
static inline bool apicv_tolerates_page(enum apicv_mode mode)
{
	return mode == APICV_MODE_XAPIC;
}

/*
 * What of the @available features serves a LAPIC in @mode; @off: the reasons against delivery.
 * Register virtualization does without delivery, but they are switched together at run time.
 */
static inline u32 apicv_select(u32 available, enum apicv_mode mode, u32 off)
{
	u32 features = available;

	if (off & ~(u32)APICV_OFF_ALWAYS)
		features &= ~(u32)(APICV_REGISTER | APICV_DELIVERY | APICV_POSTED);
	if (mode != APICV_MODE_X2APIC)
		features &= ~(u32)APICV_X2APIC;
	if (!apicv_tolerates_page(mode))
		features &= ~(u32)APICV_ACCESS;
	return apicv_consistent(features);
}

/*
 * Must RDMSR (WRMSR if @write) of @msr, 0x800 .. 0x8ff, exit? SDM "Virtualizing MSR-Based APIC
 * Accesses": the processor takes reads from the virtual-APIC page without asking whether there is
 * such a register, so everything that would be #GP or is not in the page exits.
 */
static inline bool apicv_intercepts(u32 features, u32 msr, bool write)
{
	u32 offset = x2apic_offset(msr);
	u8 access = offset >> 4 < LAPIC_NR_REGS ? lapic_reg_table[offset >> 4].access : 0;

	if (!(features & APICV_X2APIC))
		return true;
	if (offset == LAPIC_TPR)
		return false;
	if (write)
		return !(features & APICV_DELIVERY) ||
		       (offset != LAPIC_EOI && offset != LAPIC_SELF_IPI);
	if (!(features & APICV_REGISTER) || !(access & LAPIC_2R))
		return true;
	switch (offset) {
	case LAPIC_ICR_LO:   /* its upper half is elsewhere in the page */
	case LAPIC_LVT_CMCI: /* not every LAPIC has it */
	case LAPIC_TMCCT:    /* never in the page */
		return true;
	case LAPIC_PPR:                 /* up to date with virtual-interrupt delivery only */
	case LAPIC_IRR0 ... LAPIC_IRR7: /* so are requests */
		return !(features & APICV_DELIVERY);
	default:
		return false;
	}
}

#endif
