// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest does when it has nothing to do: HLT, MONITOR and MWAIT, PAUSE, and which of them
 * exit. KVM_CAP_X86_DISABLE_EXITS gives them to the guest, for CPUs that nobody else needs: the
 * processor itself sleeps then, until a virtual interrupt or any VM exit.
 *
 * A guest that spins in PAUSE exits by the "PAUSE-loop exiting" control, if there is one, and gives
 * its time to a vCPU that needs it (virt/spin.c). As long as there is none, an exit is time lost:
 * each doubles the window until the next.
 */
#include <linux/moduleparam.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <backend.h>
#include "vmx.h"

/* KVM's names and values, in ticks of the TSC. */
static unsigned int ple_gap = 128;
module_param(ple_gap, uint, 0444);
MODULE_PARM_DESC(ple_gap, "PAUSEs at most this far apart are one loop; 0: no exits");

static unsigned int ple_window = 4096;
module_param(ple_window, uint, 0444);
MODULE_PARM_DESC(ple_window, "a PAUSE loop that lasts longer exits, at first");

/* Time that the core has spent in C-states; the guest may read what this processor has. */
static const u32 cstate_msrs[] = {
	MSR_CORE_C1_RES,
	MSR_CORE_C3_RESIDENCY,
	MSR_CORE_C6_RESIDENCY,
	MSR_CORE_C7_RESIDENCY,
};
static u32 cstate_present __ro_after_init; /* BIT(index above) */

#define MWAIT_EXITS (PROC_MWAIT_EXIT | PROC_MONITOR_EXIT)

/* Deep C-states, which MWAIT can enter, must not stop the host's timer. */
static bool __init mwait_usable(void)
{
	return boot_cpu_has(X86_FEATURE_MWAIT) && boot_cpu_has(X86_FEATURE_ARAT) &&
	       !boot_cpu_has_bug(X86_BUG_MONITOR);
}

void __init idle_caps_init(void)
{
	unsigned int i;
	u64 value;

	if (!ple_gap)
		vmx_caps.proc2 &= ~PROC2_PAUSE_LOOP;
	if (!(vmx_caps.proc2 & PROC2_PAUSE_LOOP))
		ple_gap = ple_window = 0;
	for (i = 0; i < ARRAY_SIZE(cstate_msrs); i++)
		if (!rdmsrl_safe(cstate_msrs[i], &value))
			cstate_present |= BIT(i);

	if (!(vmx_caps.proc_fixed & PROC_PAUSE_EXIT))
		vmx_caps.disable_exits |= KVM_X86_DISABLE_EXITS_PAUSE;
	if (!(vmx_caps.proc_fixed & PROC_HLT_EXIT))
		vmx_caps.disable_exits |= KVM_X86_DISABLE_EXITS_HLT;
	if (!(vmx_caps.proc_fixed & MWAIT_EXITS) && mwait_usable())
		vmx_caps.disable_exits |= KVM_X86_DISABLE_EXITS_MWAIT;
	if (cstate_present)
		vmx_caps.disable_exits |= KVM_X86_DISABLE_EXITS_CSTATE;
}

u32 backend_disable_exits(void)
{
	return vmx_caps.disable_exits;
}

/* Without a LAPIC here, HLT is userspace's business whatever it has asked for. */
static bool halts_in_guest(struct vcpu *vcpu)
{
	return (to_vmx(vcpu)->no_exits & KVM_X86_DISABLE_EXITS_HLT) &&
	       vcpu->vm->irqchip_mode != IRQCHIP_NONE;
}

static void set_ple_window(struct vmx_vcpu *vmx, u32 window)
{
	if (vmx->ple_window != window)
		vmcs_write32(VMCS_CTRL_PLE_WINDOW, window);
	vmx->ple_window = window;
}

/* On another CPU, or after others have run: what was learnt of the neighbours is history. */
void idle_load(struct vmx_vcpu *vmx)
{
	if (vmx->proc2 & PROC2_PAUSE_LOOP)
		set_ple_window(vmx, ple_window);
}

void idle_vcpu_init(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx_set_proc(vmx, PROC_HLT_EXIT, !halts_in_guest(vcpu));
	vmx_set_proc(vmx, MWAIT_EXITS, !(vmx->no_exits & KVM_X86_DISABLE_EXITS_MWAIT));
	if (vmx->no_exits & KVM_X86_DISABLE_EXITS_PAUSE) {
		vmx->proc2 &= ~PROC2_PAUSE_LOOP;
		vmcs_write32(VMCS_CTRL_PROC2, vmx->proc2);
	}
	if (vmx->proc2 & PROC2_PAUSE_LOOP) {
		vmcs_write32(VMCS_CTRL_PLE_GAP, ple_gap);
		set_ple_window(vmx, ple_window);
	}
}

void idle_open_msrs(struct vm *vm, unsigned long *bitmap)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cstate_msrs); i++)
		if (cstate_present & BIT(i))
			msr_bitmap_open(vm, bitmap, cstate_msrs[i], false);
}

bool backend_take_halt(struct vcpu *vcpu)
{
	if (!halts_in_guest(vcpu) || vmcs_read32(VMCS_GUEST_ACTIVITY) != ACTIVITY_HLT)
		return false;
	vmcs_write32(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	return true;
}

void backend_see_halt(struct vcpu *vcpu, bool wanted)
{
	if (halts_in_guest(vcpu))
		vmx_set_proc(to_vmx(vcpu), PROC_HLT_EXIT, wanted);
}

/* SDM "Checks on Guest Non-Register State": HLT at privilege level 0, and in no shadow. */
bool backend_give_halt(struct vcpu *vcpu)
{
	if (!halts_in_guest(vcpu) || backend_cpl(vcpu) ||
	    (backend_blocking(vcpu) & (BLOCK_STI | BLOCK_MOVSS)))
		return false;
	vmcs_write32(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	return true;
}

int vmx_pause(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	backend_skip_insn(vcpu);
	if (vcpu_spins(vcpu))
		set_ple_window(vmx, ple_window);
	else
		set_ple_window(vmx, vmx->ple_window > U32_MAX / 2 ? U32_MAX : 2 * vmx->ple_window);
	return 1;
}
