// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual interrupt that can be delivered wakes the guest from the HLT state, without a VM exit.
 * SDM, "Virtual-Interrupt Delivery" and "Other Causes of VM Exits" (the activity states).
 */
#include "vmx.h"

#define VIRTUAL_VECTOR 0x60
#define PATIENCE       100000

static void guest(void)
{
	for (;;)
		__asm__ volatile("hlt");
}

static void handler(void)
{
	__asm__ volatile("vmcall");
}

int main(void)
{
	uint32_t reason;

	set_handler(VIRTUAL_VECTOR, handler);
	lapic_enable();
	vmx_prepare(PIN_PREEMPTION_TIMER, EXIT_ACK_INTERRUPT, guest);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, VIRTUAL_VECTOR);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	vmwrite(VMCS_PREEMPTION_TIMER, PATIENCE);
	reason = vmx_enter();
	if (reason != REASON_VMCALL)
		fail("the guest was not woken, exit reason", reason);
	pass();
}
