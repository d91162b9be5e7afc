// SPDX-License-Identifier: GPL-2.0-only
/*
 * One VMCS and one guest: see vmx.h. Everything fails the probe that does not work as expected.
 */
#include "vmx.h"

#define MSR_FEATURE_CONTROL   0x3a
#define FEATURE_LOCKED        1
#define FEATURE_VMX           4
#define MSR_VMX_BASIC         0x480
#define MSR_VMX_CR0_FIXED0    0x486
#define MSR_VMX_CR4_FIXED0    0x488
#define MSR_VMX_CPU_CONTROLS2 0x48b
#define MSR_VMX_TRUE_PIN      0x48d
#define MSR_VMX_TRUE_CPU      0x48e
#define MSR_VMX_TRUE_EXIT     0x48f
#define MSR_VMX_TRUE_ENTRY    0x490

#define CPU_TPR_SHADOW        (1u << 21)
#define CPU_SECONDARY         (1u << 31)
#define CPU2_REGISTERS        (1u << 8)
#define CPU2_DELIVERY         (1u << 9)
#define EXIT_HOST_64          (1u << 9)
#define ENTRY_GUEST_64        (1u << 9)

uint8_t vmx_virtual_apic[PAGE_SIZE] __page;
static uint8_t vmxon_region[PAGE_SIZE] __page;
static uint8_t vmcs[PAGE_SIZE] __page;
static uint8_t guest_stack[8192] __attribute__((aligned(16)));
static bool launched;

void vmwrite(enum vmcs_field field, uint64_t value)
{
	bool failed;

	__asm__ volatile("vmwrite %2, %1" : "=@ccbe"(failed) : "r"((uint64_t)field), "r"(value));
	if (failed)
		fail("VMWRITE fails on field", field);
}

uint64_t vmread(enum vmcs_field field)
{
	uint64_t value;
	bool failed;

	__asm__ volatile("vmread %2, %1" : "=@ccbe"(failed), "=r"(value) : "r"((uint64_t)field));
	if (failed)
		fail("VMREAD fails on field", field);
	return value;
}

static void field(unsigned int encoding, uint64_t value)
{
	vmwrite((enum vmcs_field)encoding, value);
}

/* The control with what must be 1 added; fails the probe if something wanted can't be. */
static uint32_t control(uint32_t msr, uint32_t wanted)
{
	uint64_t allowed = rdmsr(msr);

	wanted |= (uint32_t)allowed;
	if (wanted & ~(uint32_t)(allowed >> 32))
		fail("the CPU lacks a control", wanted & ~(uint32_t)(allowed >> 32));
	return wanted;
}

static void vmx_on(void)
{
	uint64_t region = (uint64_t)vmxon_region, current = (uint64_t)vmcs;
	bool failed;

	if (!(rdmsr(MSR_FEATURE_CONTROL) & FEATURE_LOCKED))
		wrmsr(MSR_FEATURE_CONTROL, FEATURE_LOCKED | FEATURE_VMX);
	*(uint32_t *)vmxon_region = rdmsr(MSR_VMX_BASIC);
	*(uint32_t *)vmcs = rdmsr(MSR_VMX_BASIC);
	write_cr(0, read_cr(0) | rdmsr(MSR_VMX_CR0_FIXED0));
	write_cr(4, read_cr(4) | rdmsr(MSR_VMX_CR4_FIXED0));
	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region));
	if (failed)
		fail("VMXON fails", 0);
	__asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(current));
	if (failed)
		fail("VMCLEAR fails", 0);
	__asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(current));
	if (failed)
		fail("VMPTRLD fails", 0);
}

/* Host and guest are one system: the same selectors, tables and control registers. */
static void write_state(void)
{
	static const uint16_t guest_limits = 0x4800, guest_rights = 0x4814;
	struct table_pointer gdtr, idtr;

	__asm__ volatile("sgdt %0" : "=m"(gdtr));
	__asm__ volatile("sidt %0" : "=m"(idtr));
	for (unsigned int i = 0; i < 8; i++) { /* ES CS SS DS FS GS LDTR TR */
		bool code = i == 1, ldt = i == 6, tr = i == 7;
		uint64_t selector = code ? SEL_CODE : ldt ? 0 : tr ? SEL_TSS : SEL_DATA;

		field(0x800 + 2 * i, selector);
		field(guest_limits + 2 * i, tr ? 0x67 : 0xffffffff);
		field(guest_rights + 2 * i, code ? 0xa09b : ldt ? 0x10000 : tr ? 0x8b : 0xc093);
		field(0x6806 + 2 * i, tr ? (uint64_t)tss : 0);
		if (!ldt)
			field(0xc00 + 2 * (i < 6 ? i : 6), selector);
	}
	field(0x6816, gdtr.base);
	field(0x6818, idtr.base);
	field(0x4810, gdtr.limit);
	field(0x4812, idtr.limit);
	field(0x6800, read_cr(0));
	field(0x6802, read_cr(3));
	field(0x6804, read_cr(4));
	field(0x681a, 0x400); /* DR7 */
	field(0x2802, 0);     /* IA32_DEBUGCTL */
	field(VMCS_LINK, ~0ull);

	field(0x6c00, read_cr(0)); /* the host's, in the same order */
	field(0x6c02, read_cr(3));
	field(0x6c04, read_cr(4));
	field(0x6c0a, (uint64_t)tss);
	field(0x6c0c, gdtr.base);
	field(0x6c0e, idtr.base);
}

void vmx_prepare(uint32_t pin, uint32_t exit, void (*guest)(void))
{
	vmx_on();
	write_state();
	vmwrite(VMCS_PIN_CONTROLS, control(MSR_VMX_TRUE_PIN, PIN_EXTERNAL_INTERRUPT | pin));
	vmwrite(VMCS_CPU_CONTROLS, control(MSR_VMX_TRUE_CPU, CPU_TPR_SHADOW | CPU_SECONDARY));
	vmwrite(VMCS_CPU_CONTROLS2, control(MSR_VMX_CPU_CONTROLS2, CPU2_REGISTERS | CPU2_DELIVERY));
	vmwrite(VMCS_EXIT_CONTROLS, control(MSR_VMX_TRUE_EXIT, EXIT_HOST_64 | exit));
	vmwrite(VMCS_ENTRY_CONTROLS, control(MSR_VMX_TRUE_ENTRY, ENTRY_GUEST_64));
	vmwrite(VMCS_VIRTUAL_APIC, (uint64_t)vmx_virtual_apic);
	vmwrite(VMCS_GUEST_RSP, (uint64_t)guest_stack + sizeof(guest_stack) - 8);
	vmwrite(VMCS_GUEST_RIP, (uint64_t)guest);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
}

uint32_t vmx_enter(void)
{
	uint64_t failed = 1;

	/* The exit comes back to label 1, with the host's RSP as it was here. */
	__asm__ volatile("push %%rbp\n\t"
			 "mov $0x6c14, %%eax\n\t" /* host RSP */
			 "vmwrite %%rsp, %%rax\n\t"
			 "lea 1f(%%rip), %%rcx\n\t"
			 "mov $0x6c16, %%eax\n\t" /* host RIP */
			 "vmwrite %%rcx, %%rax\n\t"
			 "cmpb $0, %1\n\t"
			 "jne 2f\n\t"
			 "vmlaunch\n\t"
			 "jmp 3f\n"
			 "2: vmresume\n\t"
			 "jmp 3f\n"
			 "1: xor %0, %0\n"
			 "3: pop %%rbp"
			 : "+b"(failed)
			 : "m"(launched)
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
			   "r13", "r14", "r15", "memory", "cc");
	if (failed)
		fail("VM entry fails, VM-instruction error", vmread(VMCS_INSTRUCTION_ERROR));
	launched = true;
	return vmread(VMCS_EXIT_REASON) & 0xffff;
}
