// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMX-preemption timer keeps the LAPIC timer's deadline while the guest runs: arming it costs a
 * VMWRITE at the next entry, instead of programming an hrtimer and the host's clock event device.
 *
 * Who looks at the deadline, and that always somebody does, stands in irqchip_host.c. Here: what an
 * entry loads, and what the exit does. Left out: saving the count at exits, since each entry
 * computes it anew from the clock. Source: SDM "VMX-Preemption Timer".
 */
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <asm/msr.h>
#include <asm/tsc.h>
#include "vmx.h"

/* KVM's name; shows what is in use. */
static bool preemption_timer = true;
module_param(preemption_timer, bool, 0444);
MODULE_PARM_DESC(
	preemption_timer,
	"keep a running guest's LAPIC timer in the VMX-preemption timer (default: if usable)");

/* So many exits in a row at the wrong moment, and the timer is used no longer. */
#define MAX_MISSES 16

/* No deadline: nothing to load. */
#define TSC_NEVER  (~0ULL)

#define MISC_RATE  GENMASK_ULL(4, 0)

void __init preempt_timer_caps_init(void)
{
	u64 misc = 0;

	if (!(vmx_caps.pin & PIN_PREEMPT_TIMER) || rdmsrl_safe(MSR_IA32_VMX_MISC, &misc) ||
	    check_tsc_unstable())
		preemption_timer = false;
	vmx_caps.preempt_timer_rate = FIELD_GET(MISC_RATE, misc);
	vmx_caps.pin &= ~PIN_PREEMPT_TIMER; /* set while there is something to load */
}

/* SDM: it does not count in C-states deeper than C2, which MWAIT without exits can enter. */
void preempt_timer_vcpu_init(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->timer_usable = READ_ONCE(preemption_timer) && vcpu->vm->irqchip_mode != IRQCHIP_NONE &&
			    !(vmx->no_exits & KVM_X86_DISABLE_EXITS_MWAIT);
	vmx->timer_tsc = TSC_NEVER;
	vcpu->arch.timer_by_entry = vmx->timer_usable;
}

bool backend_has_timer(struct vcpu *vcpu)
{
	return to_vmx(vcpu)->timer_usable;
}

/* The two clocks drift apart; and the TSC may have started anew in a suspend. */
void preempt_timer_load(struct vcpu *vcpu)
{
	WRITE_ONCE(vcpu->arch.timer_moved, true);
}

/* In this order: time in between makes it late, not early. */
static void translate_ns(struct vmx_vcpu *vmx, u64 deadline)
{
	u64 now = ktime_get_ns(), left = deadline > now ? deadline - now : 0;

	left = min_t(u64, left, PREEMPT_TIMER_FAR_NS);
	vmx->timer_ns = now + left;
	vmx->timer_tsc = rdtsc() + preempt_timer_ticks(left, tsc_khz);
}

static void translate_tsc(struct vmx_vcpu *vmx, u64 deadline, u64 guest_tsc,
			  const struct tsc_map *map)
{
	u64 now = rdtsc(), guest_now = tsc_at(map, now);
	u64 left = guest_tsc > guest_now ? tsc_host_ticks(guest_tsc - guest_now, map->ratio) : 0;

	vmx->timer_ns = deadline;
	vmx->timer_tsc = left < TSC_NEVER - now ? now + left : TSC_NEVER;
}

/* From the LAPIC's terms to the host's TSC. ->timer_ns and ->timer_tsc are the same moment then. */
static void translate(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 deadline, guest_tsc;

	WRITE_ONCE(vcpu->arch.timer_moved, false);
	smp_mb(); /* before the look: host_timer_moved() comes after the change */
	deadline = vlapic_timer_moment(&vcpu->arch.apic, &guest_tsc);
	vmx->timer_tsc = TSC_NEVER;
	if (deadline && guest_tsc)
		translate_tsc(vmx, deadline, guest_tsc, &vcpu->arch.tsc);
	else if (deadline)
		translate_ns(vmx, deadline);
}

static bool is_due(const struct vmx_vcpu *vmx, u64 now)
{
	return vmx->timer_tsc <= now + vmx->timer_lead;
}

/*
 * The core takes it for expired, though the TSC may be ->timer_lead short of it: from there on all
 * that is to be done before the next entry is done, and then the entry waits.
 */
static void deadline_comes(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->timer_hold = vmx->timer_tsc;
	WRITE_ONCE(vcpu->arch.timer_moved, true);
	irqchip_lapic_timer_comes(&vcpu->vm->chip, vcpu->index, vmx->timer_ns);
}

void preempt_timer_wait(struct vmx_vcpu *vmx)
{
	u64 until = vmx->timer_hold;
	s64 late = rdtsc() - until;

	if (vmx->timer_led)
		vmx->timer_lead = preempt_timer_lead(vmx->timer_lead, late);
	vmx->timer_led = false;
	vmx->timer_hold = 0;
	/* The TSC can't be further off, unless it has started anew. */
	if (late < -PREEMPT_TIMER_MAX_LEAD)
		return;
	while (rdtsc() < until)
		cpu_relax();
}

/* There is a deadline, or there was one. */
static noinline void arm_for_entry(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 now;

	if (READ_ONCE(vcpu->arch.timer_moved))
		translate(vcpu);
	if (vmx->timer_tsc == TSC_NEVER) {
		vmx_set_pin(vmx, PIN_PREEMPT_TIMER, false);
		return;
	}
	now = rdtsc();
	if (is_due(vmx, now)) { /* instead of an exit before the first instruction */
		deadline_comes(vcpu);
		translate(vcpu);
		now = rdtsc();
	}
	vmx_set_pin(vmx, PIN_PREEMPT_TIMER, vmx->timer_tsc != TSC_NEVER);
	if (vmx->timer_tsc == TSC_NEVER)
		return;
	vmx->timer_entered = now;
	vmx->timer_count = preempt_timer_count(vmx->timer_tsc - vmx->timer_lead, now,
					       vmx_caps.preempt_timer_rate);
	vmcs_write32(VMCS_GUEST_PREEMPT_TIMER, vmx->timer_count);
}

void backend_set_timer(struct vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (READ_ONCE(vcpu->arch.timer_moved) || vmx->timer_tsc != TSC_NEVER ||
	    (vmx->pin & PIN_PREEMPT_TIMER))
		arm_for_entry(vcpu);
}

/* A timer that misses again and again is not what IA32_VMX_MISC promises. */
static void judge(struct vcpu *vcpu, u64 took)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	unsigned int rate = vmx_caps.preempt_timer_rate;

	if (!preempt_timer_off((u64)vmx->timer_count << rate, took, rate)) {
		vmx->timer_misses = 0;
		return;
	}
	if (++vmx->timer_misses < MAX_MISSES || !vmx->timer_usable)
		return;
	pr_warn_once("the VMX-preemption timer does not count at its rate: not used any more\n");
	WRITE_ONCE(preemption_timer, false);
	vmx->timer_usable = false;
	vmx_set_pin(vmx, PIN_PREEMPT_TIMER, false);
	irqchip_host_keep_timer(vcpu);
}

int preempt_timer_exit(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 now = rdtsc();

	judge(vcpu, now - vmx->timer_entered);
	if (is_due(vmx, now)) { /* or the count had run out */
		vmx->timer_led = true;
		deadline_comes(vcpu);
	}
	return 1;
}
