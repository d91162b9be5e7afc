// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMX-preemption timer counts the TSC at the rate of IA32_VMX_MISC, also in HLT, and the guest
 * exits when it is due, neither before nor much later. No patch was needed for that: the probe is
 * for the module, which uses the timer by default. SDM, "VMX-Preemption Timer".
 */
#include "vmx.h"

#define MSR_VMX_MISC 0x485
#define RATE         0x1f
#define LATE         1000 /* ticks for an entry, an exit and the instructions around them */

static void guest(void)
{
	for (;;)
		__asm__ volatile("pause");
}

static void expect_exit_after(uint64_t count, uint64_t activity)
{
	unsigned int rate = rdmsr(MSR_VMX_MISC) & RATE;
	uint64_t begin, took;
	uint32_t reason;

	vmwrite(VMCS_PREEMPTION_TIMER, count);
	vmwrite(VMCS_GUEST_ACTIVITY, activity);
	begin = rdtsc();
	reason = vmx_enter();
	took = rdtsc() - begin;
	if (reason != REASON_PREEMPTION_TIMER)
		fail("another exit reason", reason);
	if (vmread(VMCS_GUEST_ACTIVITY) != activity)
		fail("the exit has changed the activity state", vmread(VMCS_GUEST_ACTIVITY));
	if (count && took < (count - 1) << rate)
		fail("too early, ticks", took);
	if (took > (count << rate) + LATE)
		fail("too late, ticks", took);
}

int main(void)
{
	static const uint32_t counts[] = { 0, 1, 2, 99, 100000, 0, 12345678 };

	vmx_prepare(PIN_PREEMPTION_TIMER, EXIT_ACK_INTERRUPT, guest);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	for (unsigned int i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		expect_exit_after(counts[i], 0);
		expect_exit_after(counts[i], ACTIVITY_HLT);
	}
	pass();
}
