// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pending virtual interrupt stays pending while the guest has RFLAGS.IF = 0, also when a physical
 * interrupt arrives at that moment: that one causes a VM exit. SDM, "Virtual-Interrupt Delivery".
 */
#include "vmx.h"

#define VIRTUAL_VECTOR	0x60
#define PHYSICAL_VECTOR	0x50

static volatile bool delivered;

static void guest(void)
{
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
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, VIRTUAL_VECTOR);
	lapic_self_ipi(PHYSICAL_VECTOR);
	reason = vmx_enter();
	if (delivered)
		fail("a virtual interrupt was delivered with IF = 0, exit reason", reason);
	if (reason != REASON_EXTERNAL_INTERRUPT)
		fail("exit reason", reason);
	if ((vmread(VMCS_EXIT_INTERRUPT) & 0xff) != PHYSICAL_VECTOR)
		fail("interruption information", vmread(VMCS_EXIT_INTERRUPT));
	if (vmread(VMCS_GUEST_INTERRUPT_STATUS) != VIRTUAL_VECTOR)
		fail("guest interrupt status", vmread(VMCS_GUEST_INTERRUPT_STATUS));
	pass();
}
