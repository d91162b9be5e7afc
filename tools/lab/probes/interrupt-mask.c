// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pending virtual interrupt stays pending while the guest has RFLAGS.IF = 0, also when a physical
 * interrupt arrives at that moment: that one causes a VM exit. SDM, "Virtual-Interrupt Delivery".
 */
#include "vmx.h"

#define VIRTUAL_VECTOR  0x60
#define VIRTUAL_TPR     0x70
#define PHYSICAL_VECTOR 0x50

static volatile bool delivered;

/* With no EPT and no APIC-access page, the guest's local APIC is the real one. */
static void guest(void)
{
	__asm__ volatile("cli");
	write_cr(8, 0); /* the TPR no longer holds the interrupt back */
	lapic_self_ipi(PHYSICAL_VECTOR);
	for (;;)
		__asm__ volatile("pause");
}

static void handler(void)
{
	delivered = true;
	__asm__ volatile("vmcall");
}

int main(void)
{
	uint32_t reason;

	set_handler(VIRTUAL_VECTOR, handler);
	lapic_enable();
	vmx_prepare(0, EXIT_ACK_INTERRUPT, guest);
	vmx_virtual_apic[VAPIC_TPR] = VIRTUAL_TPR;
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, VIRTUAL_VECTOR);
	reason = vmx_enter();
	if (delivered || vmread(VMCS_GUEST_INTERRUPT_STATUS) != VIRTUAL_VECTOR)
		fail("a virtual interrupt was delivered with IF = 0; interrupt status",
		     vmread(VMCS_GUEST_INTERRUPT_STATUS));
	if (reason != REASON_EXTERNAL_INTERRUPT)
		fail("exit reason", reason);
	if ((vmread(VMCS_EXIT_INTERRUPT) & 0xff) != PHYSICAL_VECTOR)
		fail("interruption information", vmread(VMCS_EXIT_INTERRUPT));
	pass();
}
