// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM exit during the delivery of a virtual interrupt reports that interrupt as the event that was
 * being delivered. Here the guest's IDT is not mapped, and its page fault makes it exit.
 * SDM, "Information for VM Exits That Occur During Event Delivery".
 */
#include "vmx.h"

#define VIRTUAL_VECTOR 0x60
#define VECTOR_PF      14
#define EVENT_VALID    (1u << 31)

static void guest(void)
{
	__asm__ volatile("vmcall");
}

int main(void)
{
	uint32_t reason, info;

	unmap_large(UNUSED_MEMORY);
	vmx_prepare(0, EXIT_ACK_INTERRUPT, guest);
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VECTOR_PF);
	vmwrite(VMCS_GUEST_IDTR_BASE, UNUSED_MEMORY);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, VIRTUAL_VECTOR);
	reason = vmx_enter();
	if (reason != REASON_EXCEPTION)
		fail("exit reason", reason);
	info = vmread(VMCS_IDT_VECTORING);
	if (info != (EVENT_VALID | VIRTUAL_VECTOR))
		fail("IDT-vectoring information", info);
	pass();
}
