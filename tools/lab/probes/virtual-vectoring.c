// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM exit while a virtual interrupt is delivered names that interrupt in the IDT-vectoring
 * information: here by #GP, since the guest's IDT ends before the vector's gate. SDM, "Information
 * for VM Exits That Occur During Event Delivery".
 */
#include "vmx.h"

#define VECTOR		0x60
#define EXCEPTION_GP	13
#define REASON_EXCEPTION 0
#define VECTORING_VALID	0x80000000	/* and type 0: external interrupt */

static const enum vmcs_field exception_bitmap = 0x4004, idt_vectoring = 0x4408,
			     guest_idtr_limit = 0x4812;

static void guest(void)
{
	__asm__ volatile("vmcall");
}

int main(void)
{
	uint32_t reason;

	lapic_enable();
	vmx_prepare(0, 0, guest);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, VECTOR);
	vmwrite(exception_bitmap, 1 << EXCEPTION_GP);
	vmwrite(guest_idtr_limit, 16 * 32 - 1);
	reason = vmx_enter();
	if (reason != REASON_EXCEPTION)
		fail("exit reason", reason);
	if (vmread(idt_vectoring) != (VECTORING_VALID | VECTOR))
		fail("IDT-vectoring information", vmread(idt_vectoring));
	pass();
}
