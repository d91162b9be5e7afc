// SPDX-License-Identifier: GPL-2.0-only
/*
 * A posted-interrupt notification that finds no request posted interrupts nobody: RVI stays as it
 * was. SDM, "Posted-Interrupt Processing".
 */
#include "vmx.h"

#define NOTIFICATION 0xf2

static uint8_t descriptor[64] __page;

static void guest(void)
{
	for (unsigned int i = 0; i < 1000; i++)
		__asm__ volatile("pause");
	__asm__ volatile("vmcall");
}

static void spurious(void)
{
	__asm__ volatile("cpuid" ::: "eax", "ebx", "ecx", "edx");
}

int main(void)
{
	uint32_t reason;

	set_handler(255, spurious);
	lapic_enable();
	vmx_prepare(PIN_POSTED_INTERRUPTS, EXIT_ACK_INTERRUPT, guest);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	vmwrite(VMCS_NOTIFICATION_VECTOR, NOTIFICATION);
	vmwrite(VMCS_PI_DESCRIPTOR, (uint64_t)descriptor);
	lapic_self_ipi(NOTIFICATION);
	reason = vmx_enter();
	if (reason != REASON_VMCALL)
		fail("an interrupt that nobody sent, exit reason", reason);
	if (vmread(VMCS_GUEST_INTERRUPT_STATUS))
		fail("guest interrupt status", vmread(VMCS_GUEST_INTERRUPT_STATUS));
	pass();
}
