/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The least of VMX that a probe needs: one VMCS, one guest that shares the probe's address space
 * and descriptor tables, APIC virtualization on. No EPT: every CPU model of the lab will do.
 * Source: SDM, "Field Encoding in VMCS" and "VM-Execution Control Fields".
 */
#ifndef PROBE_VMX_H
#define PROBE_VMX_H

#include "probe.h"

enum vmcs_field {
	VMCS_NOTIFICATION_VECTOR = 0x0002,
	VMCS_GUEST_INTERRUPT_STATUS = 0x0810,
	VMCS_VIRTUAL_APIC = 0x2012,
	VMCS_PI_DESCRIPTOR = 0x2016,
	VMCS_LINK = 0x2800,
	VMCS_PIN_CONTROLS = 0x4000,
	VMCS_CPU_CONTROLS = 0x4002,
	VMCS_EXCEPTION_BITMAP = 0x4004,
	VMCS_EXIT_CONTROLS = 0x400c,
	VMCS_ENTRY_CONTROLS = 0x4012,
	VMCS_CPU_CONTROLS2 = 0x401e,
	VMCS_INSTRUCTION_ERROR = 0x4400,
	VMCS_EXIT_REASON = 0x4402,
	VMCS_EXIT_INTERRUPT = 0x4404,
	VMCS_IDT_VECTORING = 0x4408,
	VMCS_GUEST_ACTIVITY = 0x4826,
	VMCS_PREEMPTION_TIMER = 0x482e,
	VMCS_GUEST_IDTR_BASE = 0x6818,
	VMCS_GUEST_RSP = 0x681c,
	VMCS_GUEST_RIP = 0x681e,
	VMCS_GUEST_RFLAGS = 0x6820,
};

#define PIN_EXTERNAL_INTERRUPT    (1u << 0)
#define PIN_PREEMPTION_TIMER      (1u << 6)
#define PIN_POSTED_INTERRUPTS     (1u << 7)
#define EXIT_ACK_INTERRUPT        (1u << 15)

#define REASON_EXCEPTION          0
#define REASON_EXTERNAL_INTERRUPT 1
#define REASON_CPUID              10
#define REASON_VMCALL             18
#define REASON_PREEMPTION_TIMER   52

#define ACTIVITY_HLT              1
#define VAPIC_TPR                 0x80 /* offset in the virtual-APIC page */
#define RFLAGS_FIXED              0x2
#define RFLAGS_IF                 0x200

extern uint8_t vmx_virtual_apic[PAGE_SIZE];

/* Enter VMX operation and make the VMCS ready; pin and exit are added to what is always set. */
void vmx_prepare(uint32_t pin, uint32_t exit, void (*guest)(void));
/* Enter the guest; returns the basic exit reason, fails the probe if the entry fails. */
uint32_t vmx_enter(void);
void vmwrite(enum vmcs_field field, uint64_t value);
uint64_t vmread(enum vmcs_field field);

#endif /* PROBE_VMX_H */
