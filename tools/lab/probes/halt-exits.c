// SPDX-License-Identifier: GPL-2.0-only
/*
 * A physical interrupt makes a guest exit that waits in HLT, with RFLAGS.IF = 0 as well, and the
 * exit saves the HLT state. SDM, "Other Causes of VM Exits" (external interrupts; the activity
 * states) and "Saving Non-Register State".
 */
#include "vmx.h"

#define PHYSICAL_VECTOR 0x50
#define PATIENCE        1000000

static void guest(void)
{
	for (;;)
		__asm__ volatile("hlt");
}

int main(void)
{
	uint64_t flags[] = { RFLAGS_FIXED, RFLAGS_FIXED | RFLAGS_IF };
	uint32_t reason;

	lapic_enable();
	vmx_prepare(PIN_PREEMPTION_TIMER, EXIT_ACK_INTERRUPT, guest);
	for (unsigned int i = 0; i < 2; i++) {
		vmwrite(VMCS_GUEST_ACTIVITY, 0);
		vmwrite(VMCS_GUEST_RIP, (uint64_t)guest);
		vmwrite(VMCS_GUEST_RFLAGS, flags[i]);
		vmwrite(VMCS_PREEMPTION_TIMER, PATIENCE);
		lapic_timer(PHYSICAL_VECTOR, 1000, 1);
		reason = vmx_enter();
		if (reason != REASON_EXTERNAL_INTERRUPT)
			fail("a halted guest did not exit by the interrupt; exit reason", reason);
		if (vmread(VMCS_GUEST_ACTIVITY) != ACTIVITY_HLT)
			fail("HLT was not saved; IF", i);
		*(volatile uint32_t *)0xfee000b0 = 0; /* EOI */
	}
	pass();
}
