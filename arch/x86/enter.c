// SPDX-License-Identifier: GPL-2.0-only
/*
 * From "this vCPU should run" to "it came out": pending work, the last checks with interrupts off,
 * the entry, the exit. Also which states of a vCPU may run at all (HLT, INIT and SIPI).
 *
 * The order of the last steps is the protocol of vcpu.h: ->mode first, then ->requests.
 */
#include <linux/sched/signal.h>
#include <linux/srcu.h>
#include <linux/vtime.h>
#include <arch.h>
#include <backend.h>
#include <guest_context.h>

/* --- INIT, SIPI, HLT --- */

/* SDM "MP Initialization Protocol": execution starts at 000VV000H in real mode. */
static void start_by_sipi(struct vcpu *vcpu, u8 vector)
{
	struct kvm_segment cs;

	backend_get_segment(vcpu, &cs, SEG_CS);
	cs.selector = vector << 8;
	cs.base = (u64)vector << 12;
	backend_set_segment(vcpu, &cs, SEG_CS);
	vcpu_set_reg(vcpu, REG_RIP, 0);
	vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
}

/* INIT comes before SIPI however they were latched (invariant L9). */
static void handle_init_sipi(struct vcpu *vcpu)
{
	struct vlapic *apic = &vcpu->arch.apic;
	u8 vector;

	if (vlapic_take_init(apic)) {
		vcpu_reset(vcpu, true);
		/* The boot CPU starts over at the reset vector; the others wait for a SIPI. */
		vcpu->arch.mp_state = apic->base_msr & MSR_IA32_APICBASE_BSP
					      ? KVM_MP_STATE_RUNNABLE
					      : KVM_MP_STATE_INIT_RECEIVED;
	}
	/* In any other state a SIPI is lost: Linux, for one, always sends a second one. */
	if (vlapic_take_sipi(apic, &vector) && vcpu->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED)
		start_by_sipi(vcpu, vector);
}

static bool has_lapic(const struct vcpu *vcpu)
{
	return vcpu->vm->irqchip_mode != IRQCHIP_NONE;
}

static bool has_init_or_sipi(struct vcpu *vcpu)
{
	return has_lapic(vcpu) && vlapic_has_events(&vcpu->arch.apic);
}

/* In HLT, too: it stays there while userspace sees to its PIC. */
static bool window_to_report(struct vcpu *vcpu)
{
	u32 mp_state = READ_ONCE(vcpu->arch.mp_state);

	return READ_ONCE(vcpu->run->request_interrupt_window) &&
	       (mp_state == KVM_MP_STATE_RUNNABLE || mp_state == KVM_MP_STATE_HALTED) &&
	       event_user_window(vcpu);
}

/*
 * A halted vCPU: does it go on? Then HLT is over. What the processor delivers comes by itself; what
 * is to be injected would come by its window, or its request, too, but a look now saves that exit.
 */
static bool end_halt(struct vcpu *vcpu)
{
	bool requested = has_lapic(vcpu) && vlapic_wake_requested(&vcpu->arch.apic);

	if (!requested && !event_wakes(vcpu))
		return false;
	vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
	if (requested)
		vlapic_take_wake(&vcpu->arch.apic);
	if (requested || !backend_delivers_interrupts(vcpu))
		vcpu_set_request(vcpu, REQ_EVENT);
	return true;
}

bool arch_vcpu_runnable(struct vcpu *vcpu)
{
	/* These have their effect in arch_vcpu_enter(), which must be reached. */
	if ((READ_ONCE(vcpu->requests) & (BIT(REQ_VM_DEAD) | BIT(REQ_TRIPLE_FAULT))) ||
	    debug_due(vcpu))
		return true;
	switch (READ_ONCE(vcpu->arch.mp_state)) {
	case KVM_MP_STATE_RUNNABLE:
		return true;
	case KVM_MP_STATE_HALTED:
		return has_init_or_sipi(vcpu) || end_halt(vcpu) || window_to_report(vcpu);
	default: /* UNINITIALIZED, INIT_RECEIVED */
		return has_init_or_sipi(vcpu);
	}
}

bool arch_vcpu_halted(struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->arch.mp_state) == KVM_MP_STATE_HALTED;
}

/* Whatever has come in meanwhile: may the guest run now? An interrupt is only taken after that. */
static bool becomes_runnable(struct vcpu *vcpu)
{
	if (unlikely(has_init_or_sipi(vcpu)))
		handle_init_sipi(vcpu);
	if (vcpu->arch.mp_state == KVM_MP_STATE_HALTED)
		return end_halt(vcpu);
	return vcpu->arch.mp_state == KVM_MP_STATE_RUNNABLE;
}

void vcpu_settle_mp_state(struct vcpu *vcpu)
{
	(void)becomes_runnable(vcpu);
}

/* --- one entry --- */

/* Interrupts that the LAPIC was sent, and that nobody has looked at yet. */
static bool has_posted(struct vcpu *vcpu)
{
	return has_lapic(vcpu) && vlapic_has_requests(&vcpu->arch.apic);
}

static bool take_posted(struct vcpu *vcpu)
{
	/* What the processor delivers needs no injection: backend_sync_apic(). */
	if (!has_posted(vcpu) || backend_delivers_interrupts(vcpu))
		return false;
	vlapic_fold(&vcpu->arch.apic); /* here: what follows need not come to ask the LAPIC */
	return true;
}

/* A remote read ends a HLT that did not exit; or the next one, which has to be seen then. */
static void look_at_wake(struct vcpu *vcpu)
{
	bool requested = has_lapic(vcpu) && vlapic_wake_requested(&vcpu->arch.apic);

	if (requested && backend_take_halt(vcpu)) {
		vlapic_take_wake(&vcpu->arch.apic);
		requested = false;
	}
	backend_see_halt(vcpu, requested);
}

/* Requests that end KVM_RUN. 1 = go on, 0 = to userspace, errno. */
static int handle_final_requests(struct vcpu *vcpu)
{
	if (likely(!READ_ONCE(vcpu->requests)))
		return 1;
	if (vcpu_take_request(vcpu, REQ_VM_DEAD))
		return -EIO;
	if (vcpu_take_request(vcpu, REQ_TRIPLE_FAULT)) {
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 0;
	}
	return 1;
}

/* What may sleep. */
static void handle_requests(struct vcpu *vcpu)
{
	if (likely(!READ_ONCE(vcpu->requests)))
		return;
	if (vcpu_take_request(vcpu, REQ_APICV))
		backend_update_apicv(vcpu);
	if (vcpu_take_request(vcpu, REQ_CLOCK))
		kvmclock_update(vcpu);
	if (vcpu_take_request(vcpu, REQ_STEAL))
		pv_update_steal_time(vcpu);
	if (vcpu_take_request(vcpu, REQ_MSR_FILTER))
		backend_open_msrs(vcpu);
}

/* Preemption off: what concerns the CPU that enters. */
static void handle_cpu_requests(struct vcpu *vcpu)
{
	if (likely(!READ_ONCE(vcpu->requests)))
		return;
	if (vcpu_take_request(vcpu, REQ_TLB_FLUSH)) {
		vcpu->stats.tlb_flushes++;
		backend_flush_ept(vcpu);
	}
	if (vcpu_take_request(vcpu, REQ_GUEST_TLB)) {
		vcpu->stats.tlb_flushes++;
		backend_flush_guest(vcpu);
	}
	if (vcpu_take_request(vcpu, REQ_POSTING))
		backend_posting_begins(vcpu);
}

/* Interrupts off, ->mode IN_GUEST. Anything that must not wait for the next exit? */
static bool must_not_enter(struct vcpu *vcpu)
{
	/* First: what is due by now is an interrupt. */
	if (vcpu->arch.timer_by_entry)
		backend_set_timer(vcpu);
	return READ_ONCE(vcpu->requests) || vcpu->arch.mp_state != KVM_MP_STATE_RUNNABLE ||
	       debug_due(vcpu) || vcpu_work_pending(vcpu) ||
	       (has_lapic(vcpu) && !backend_sync_apic(vcpu));
}

/* Interrupts off: one entry, one exit. */
static void enter_once(struct vcpu *vcpu)
{
	backend_enter(vcpu);
	vcpu->stats.entries++;
	vcpu->stats.exits++;
	if (has_lapic(vcpu) && unlikely(vlapic_has_timer_to_look_at(&vcpu->arch.apic)))
		irqchip_look_at_timer(&vcpu->vm->chip, vcpu->index);
}

/*
 * Interrupts off: the guest runs until an exit needs more than this CPU and this vCPU. Most don't:
 * then the way back is short, and neither ->mode nor what an entry does not switch has to change.
 * Whoever wants to be heard meanwhile finds ->mode IN_GUEST, so its IPI waits for the next entry.
 * With a window wanted by userspace each exit may have opened it. Returns false if the last exit
 * has been handled, or there was none: an entry was called off.
 */
static bool run_guest(struct vcpu *vcpu)
{
	bool to_handle = false;

	WRITE_ONCE(vcpu->mode, VCPU_IN_GUEST);
	smp_mb(); /* (B) of vcpu.h: ->mode before ->requests and what is posted */
	if (must_not_enter(vcpu)) {
		WRITE_ONCE(vcpu->mode, VCPU_OUTSIDE);
		return false;
	}
	fpu_before_entry(vcpu);
	guest_context_begin();
	backend_load_guest(vcpu);
	do {
		enter_once(vcpu);
		to_handle = vapic_in_memory(vcpu) || !backend_handle_at_once(vcpu);
	} while (!to_handle && !READ_ONCE(vcpu->run->request_interrupt_window) &&
		 !must_not_enter(vcpu));
	backend_load_host(vcpu);
	/* ->mode last: whoever sees OUTSIDE knows that no translation is in use any more. */
	smp_store_release(&vcpu->mode, VCPU_OUTSIDE);
	if (to_handle)
		backend_host_event(vcpu);
	guest_context_end(); /* after the handler: a tick inside it is the guest's */
	return to_handle;
}

/*
 * Split irqchip: the userspace IOAPIC hears of an EOI as soon as possible. While it waits here, no
 * ioctl could tell a VMM that saves its VM. 1 = go on, 0 = to userspace.
 */
static int report_eoi(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	unsigned int vector;

	if (vcpu->vm->irqchip_mode != IRQCHIP_SPLIT)
		return 1;
	vector = find_first_bit(vcpu->arch.eoi_exits, 256);
	if (likely(vector == 256))
		return 1;
	__clear_bit(vector, vcpu->arch.eoi_exits);
	run->exit_reason = KVM_EXIT_IOAPIC_EOI;
	run->eoi.vector = vector;
	return 0;
}

/* What the guest's accesses to its LAPIC have left to report. 1 = nothing, 0 = to userspace. */
static int report_access(struct vcpu *vcpu)
{
	return report_eoi(vcpu) ? vapic_report(vcpu) : 0;
}

int arch_vcpu_enter(struct vcpu *vcpu)
{
	bool runnable, to_handle;
	int r;

	r = handle_final_requests(vcpu);
	if (r <= 0)
		return r;
	if (unlikely(debug_due(vcpu)))
		return debug_report(vcpu);
	if (!report_access(vcpu))
		return 0; /* one that userspace had to finish */
	runnable = becomes_runnable(vcpu);
	if (unlikely(window_to_report(vcpu))) {
		vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
		return 0;
	}
	if (!runnable)
		return 1; /* the run loop blocks */
	handle_requests(vcpu);
	/* Both are to be taken. */
	if (take_posted(vcpu) | vcpu_take_request(vcpu, REQ_EVENT)) {
		look_at_wake(vcpu);
		r = event_inject(vcpu);
		if (r <= 0)
			return r;
	}
	if (unlikely(vapic_in_memory(vcpu)))
		vapic_before_entry(vcpu);
	/* Writers of slots and buses must not wait for the guest to come out. */
	vcpu_srcu_unlock(vcpu);
	preempt_disable();
	handle_cpu_requests(vcpu);
	local_irq_disable();
	to_handle = run_guest(vcpu);
	local_irq_enable();
	vcpu->at_boundary = to_handle && backend_exit_was_interrupt(vcpu);
	preempt_enable();
	vcpu->at_boundary = false;
	vcpu_srcu_lock(vcpu);
	if (!to_handle)
		return report_access(vcpu);
	if (unlikely(vapic_in_memory(vcpu)))
		vapic_after_exit(vcpu);
	r = backend_handle_exit(vcpu);
	return r > 0 ? report_access(vcpu) : r;
}

/* --- one KVM_RUN --- */

int arch_vcpu_run_begin(struct vcpu *vcpu)
{
	int (*complete)(struct vcpu * vcpu) = vcpu->arch.complete;

	fpu_load_guest(vcpu);
	if (sync_take(vcpu))
		return -EINVAL;
	backend_settle_shadow(vcpu); /* userspace may have set RFLAGS and the shadow */
	if (vcpu->arch.mp_state == KVM_MP_STATE_HALTED && !arch_vcpu_runnable(vcpu) &&
	    backend_give_halt(vcpu))
		vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE) {
		vcpu->arch.cr8 = vcpu->run->cr8 & 0xf;
		vcpu_set_request(vcpu, REQ_EVENT);
	}
	if (READ_ONCE(vcpu->run->request_interrupt_window))
		vcpu_set_request(vcpu, REQ_EVENT);
	if (!complete)
		return 1;
	vcpu->arch.complete = NULL;
	return complete(vcpu);
}

void arch_vcpu_run_end(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	fpu_put_guest(vcpu);
	/* HLT without an exit: outside KVM_RUN mp_state alone says so. */
	if (backend_take_halt(vcpu) && vcpu->arch.mp_state == KVM_MP_STATE_RUNNABLE)
		vcpu->arch.mp_state = KVM_MP_STATE_HALTED;
	run->if_flag = !!(vcpu_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_IF);
	run->flags = 0;
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE) {
		run->cr8 = vcpu->arch.cr8;
		run->apic_base = vcpu->arch.apic_base;
	} else {
		run->cr8 = irqchip_get_cr8(&vcpu->vm->chip, vcpu->index);
		run->apic_base = vcpu->arch.apic.base_msr;
	}
	run->ready_for_interrupt_injection =
		vcpu->vm->irqchip_mode == IRQCHIP_KERNEL || event_ready_for_user_irq(vcpu);
	sync_give(vcpu);
}
