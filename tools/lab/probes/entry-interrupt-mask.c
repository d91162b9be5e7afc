// SPDX-License-Identifier: GPL-2.0-only
/*
 * A physical interrupt makes a guest exit that was entered with RFLAGS.IF = 0 and never changes it.
 * SDM, "Changes to Instruction Behavior in VMX Non-Root Operation".
 */
#include "vmx.h"

#define PHYSICAL_VECTOR 0x50

static void guest(void)
{
	for (unsigned int i = 0; i < 1000; i++)
		__asm__ volatile("pause");
	__asm__ volatile("vmcall");
}

int main(void)
{
	uint32_t reason;

	lapic_enable();
	vmx_prepare(0, EXIT_ACK_INTERRUPT, guest);
	lapic_self_ipi(PHYSICAL_VECTOR);
	reason = vmx_enter();
	if (reason != REASON_EXTERNAL_INTERRUPT)
		fail("exit reason", reason);
	pass();
}
