// SPDX-License-Identifier: GPL-2.0-only
/*
 * A physical interrupt makes a guest exit that was entered with RFLAGS.IF = 0 and never changes it.
 * SDM, "Changes to Instruction Behavior in VMX Non-Root Operation": with external-interrupt exiting
 * the value of IF does not affect interrupt blocking.
 */
#include "vmx.h"

#define VECTOR	0x50

static void guest(void)
{
	for (unsigned int i = 0; i < 100000; i++)
		__asm__ volatile("pause");
	__asm__ volatile("vmcall");
}

int main(void)
{
	uint32_t reason;

	lapic_enable();
	vmx_prepare(0, EXIT_ACK_INTERRUPT, guest);
	lapic_self_ipi(VECTOR);
	reason = vmx_enter();
	if (reason != REASON_EXTERNAL_INTERRUPT)
		fail("exit reason", reason);
	if ((vmread(VMCS_EXIT_INTERRUPT) & 0xff) != VECTOR)
		fail("interruption information", vmread(VMCS_EXIT_INTERRUPT));
	pass();
}
