// SPDX-License-Identifier: GPL-2.0-only
/*
 * A posted-interrupt descriptor that is aligned to 64 bytes, not to a page, is good for VM entry.
 * SDM, "VM-Execution Control Fields".
 */
#include "vmx.h"

static struct {
	uint8_t other[64];
	uint8_t descriptor[64];
} __page memory;

static void guest(void)
{
	__asm__ volatile("cpuid" ::: "eax", "ebx", "ecx", "edx");
}

int main(void)
{
	uint32_t reason;

	vmx_prepare(PIN_POSTED_INTERRUPTS, EXIT_ACK_INTERRUPT, guest);
	vmwrite(VMCS_NOTIFICATION_VECTOR, 0xf2);
	vmwrite(VMCS_PI_DESCRIPTOR, (uint64_t)memory.descriptor);
	reason = vmx_enter();
	if (reason != REASON_CPUID)
		fail("exit reason", reason);
	pass();
}
