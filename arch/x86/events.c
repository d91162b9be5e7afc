// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions, NMIs and interrupts on their way into the guest: what is pending, what comes first,
 * what has to wait for which window.
 *
 * An event is first *pending*. At an entry at most one becomes *injected*: its side effects (CR2,
 * DR6, the acknowledge at the LAPIC or PIC) have happened and it must arrive, so when an exit
 * interrupts its delivery, it is requeued and goes first next time. Order: SDM "Priority Among
 * Concurrent Events" and "Event Injection".
 */
#include <uapi/asm/debugreg.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <arch.h>
#include <backend.h>

/* --- exceptions --- */

enum exception_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

/* SDM "Interrupt 8—Double Fault Exception (#DF)", the classes of its tables. */
static enum exception_class exception_class(u8 vector)
{
	switch (vector) {
	case X86_TRAP_DE:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return CONTRIBUTORY;
	case X86_TRAP_PF:
		return PAGE_FAULT;
	case X86_TRAP_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

static void queue_exception(struct vcpu *vcpu, u8 vector, bool has_error, u32 error)
{
	struct x86_events *ev = &vcpu->arch.ev;
	enum exception_class first = BENIGN, second = exception_class(vector);

	if (ev->exception.pending || ev->exception.injected)
		first = exception_class(ev->exception.vector);
	if (first == DOUBLE_FAULT && second != BENIGN) {
		vcpu_set_request(vcpu, REQ_TRIPLE_FAULT);
		return;
	}
	if ((first == CONTRIBUTORY && second == CONTRIBUTORY) ||
	    (first == PAGE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT))) {
		vector = X86_TRAP_DF;
		has_error = true;
		error = 0;
	}
	/* A benign pair: the second is taken now, the first comes again with its instruction. */
	ev->exception.pending = true;
	ev->exception.injected = false;
	ev->exception.vector = vector;
	ev->exception.type = vector == X86_TRAP_BP || vector == X86_TRAP_OF ? EVENT_SOFT_EXC
									    : EVENT_HW_EXCEPTION;
	ev->exception.has_error = has_error;
	ev->exception.error = error;
	ev->exception.insn_len = ev->exception.type == EVENT_SOFT_EXC; /* INT3, INTO */
	vcpu_set_request(vcpu, REQ_EVENT);
}

void event_queue_exception(struct vcpu *vcpu, u8 vector)
{
	queue_exception(vcpu, vector, false, 0);
}

void event_queue_exception_error(struct vcpu *vcpu, u8 vector, u32 error)
{
	queue_exception(vcpu, vector, true, error);
}

void event_queue_page_fault(struct vcpu *vcpu, u64 address, u32 error)
{
	/* At once: whoever saves a pending #PF, saves CR2 without knowing of the connection. */
	vcpu->arch.cr2 = address;
	queue_exception(vcpu, X86_TRAP_PF, true, error);
}

/* The processor never clears a bit of DR6 but the first four. */
static void set_debug_reasons(struct vcpu *vcpu, u64 bits)
{
	vcpu->arch.dr6 &= ~DR_TRAP_BITS;
	vcpu->arch.dr6 |= bits & (DR_TRAP_BITS | DR_STEP | DR6_BD);
}

void event_queue_debug(struct vcpu *vcpu, u64 bits)
{
	set_debug_reasons(vcpu, bits);
	queue_exception(vcpu, X86_TRAP_DB, false, 0);
}

/* --- around an exit --- */

void event_clear_injected(struct vcpu *vcpu)
{
	struct x86_events *ev = &vcpu->arch.ev;

	ev->exception.injected = false;
	ev->interrupt.injected = false;
	ev->nmi_injected = false;
}

void event_requeue(struct vcpu *vcpu, const struct x86_event *e)
{
	struct x86_events *ev = &vcpu->arch.ev;

	switch (e->type) {
	case EVENT_NMI:
		ev->nmi_injected = true;
		break;
	case EVENT_EXT_INTR:
	case EVENT_SOFT_INTR:
		ev->interrupt.injected = true;
		ev->interrupt.soft = e->type == EVENT_SOFT_INTR;
		ev->interrupt.vector = e->vector;
		ev->interrupt.insn_len = e->insn_len;
		break;
	default:
		ev->exception.injected = true;
		ev->exception.pending = false;
		ev->exception.vector = e->vector;
		ev->exception.type = e->type;
		ev->exception.has_error = e->has_error;
		ev->exception.error = e->error;
		ev->exception.insn_len = e->insn_len;
		break;
	}
	vcpu_set_request(vcpu, REQ_EVENT);
}

/* --- at an entry --- */

static void inject_exception(struct vcpu *vcpu)
{
	const struct x86_events *ev = &vcpu->arch.ev;
	struct x86_event e = {
		.vector = ev->exception.vector,
		.type = ev->exception.type,
		/* Real mode pushes no error codes. */
		.has_error = ev->exception.has_error && (vcpu_reg(vcpu, REG_CR0) & X86_CR0_PE),
		.error = ev->exception.error,
		.insn_len = ev->exception.insn_len,
	};

	backend_inject(vcpu, &e);
	vcpu->stats.exceptions_injected++;
}

/*
 * The handler of #DB shall not trap itself: SDM "Debug Control Register (DR7)", "IA32_DEBUGCTL
 * MSR".
 */
void event_enter_debug_handler(struct vcpu *vcpu)
{
	u64 debugctl = 0;

	if (vcpu->arch.dr7 & DR7_GD)
		debug_set_guest_dr7(vcpu, vcpu->arch.dr7 & ~DR7_GD);
	backend_get_msr(vcpu, MSR_IA32_DEBUGCTLMSR, &debugctl);
	if (debugctl & DEBUGCTLMSR_BTF)
		backend_set_msr(vcpu, MSR_IA32_DEBUGCTLMSR, debugctl & ~DEBUGCTLMSR_BTF);
}

/* Side effects that come with the delivery, once. */
static void start_exception(struct vcpu *vcpu)
{
	struct x86_events *ev = &vcpu->arch.ev;

	if (ev->exception.vector == X86_TRAP_DB) {
		event_enter_debug_handler(vcpu);
	} else if (ev->exception.type == EVENT_HW_EXCEPTION) {
		/* Faults push RF = 1, so that an instruction breakpoint does not hit twice. */
		vcpu_set_reg(vcpu, REG_RFLAGS, vcpu_reg(vcpu, REG_RFLAGS) | X86_EFLAGS_RF);
	}
	ev->exception.pending = false;
	ev->exception.injected = true;
}

static void inject_nmi(struct vcpu *vcpu)
{
	struct x86_event e = { .vector = X86_TRAP_NMI, .type = EVENT_NMI };

	backend_inject(vcpu, &e);
	vcpu->stats.nmi_injected++;
}

static void inject_interrupt(struct vcpu *vcpu)
{
	const struct x86_events *ev = &vcpu->arch.ev;
	struct x86_event e = {
		.vector = ev->interrupt.vector,
		.type = ev->interrupt.soft ? EVENT_SOFT_INTR : EVENT_EXT_INTR,
		.insn_len = ev->interrupt.insn_len,
	};

	backend_inject(vcpu, &e);
	vcpu->stats.irq_injected++;
}

static bool interrupts_open(struct vcpu *vcpu)
{
	return (vcpu_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_IF) &&
	       !(backend_blocking(vcpu) & (BLOCK_STI | BLOCK_MOVSS));
}

static bool nmi_open(struct vcpu *vcpu)
{
	return !(backend_blocking(vcpu) & (BLOCK_NMI | BLOCK_MOVSS | BLOCK_STI));
}

/* While an NMI is being handled, one more is latched: SDM "Handling Multiple NMIs". */
static void drop_surplus_nmi(struct vcpu *vcpu)
{
	struct x86_events *ev = &vcpu->arch.ev;

	if (atomic_read(&ev->nmi_pending) > 1 &&
	    (ev->nmi_injected || (backend_blocking(vcpu) & BLOCK_NMI)))
		atomic_cmpxchg(&ev->nmi_pending, 2, 1);
}

int event_user_irq(struct vcpu *vcpu, bool take)
{
	struct x86_events *ev = &vcpu->arch.ev;
	u8 vector;

	/* Pairs with the release in KVM_INTERRUPT: the vector is there if the flag is. */
	if (!smp_load_acquire(&ev->user_irq_pending))
		return -1;
	vector = ev->user_irq_vector;
	if (take)
		WRITE_ONCE(ev->user_irq_pending, false);
	return vector;
}

/* In a split irqchip the core asks for what userspace has injected: host_user_intr(). */
static bool interrupt_waits(struct vcpu *vcpu)
{
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return event_user_irq(vcpu, false) >= 0;
	return irqchip_peek(&vcpu->vm->chip, vcpu->index) >= 0;
}

/* One that software has to inject. */
static bool interrupt_to_inject(struct vcpu *vcpu)
{
	if (vcpu->vm->irqchip_mode != IRQCHIP_NONE && backend_delivers_interrupts(vcpu))
		return irqchip_extint_waits(&vcpu->vm->chip, vcpu->index);
	return interrupt_waits(vcpu);
}

/* Acknowledge: from here on the interrupt is in service, and must arrive. */
static int take_interrupt(struct vcpu *vcpu)
{
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return event_user_irq(vcpu, true);
	return irqchip_ack(&vcpu->vm->chip, vcpu->index);
}

/* Something injected goes again, before anything new. Returns whether there was. */
static bool reinject(struct vcpu *vcpu)
{
	struct x86_events *ev = &vcpu->arch.ev;

	if (ev->exception.injected)
		inject_exception(vcpu);
	else if (ev->nmi_injected)
		inject_nmi(vcpu);
	else if (ev->interrupt.injected)
		inject_interrupt(vcpu);
	else
		return false;
	return true;
}

static bool inject_new(struct vcpu *vcpu)
{
	struct x86_events *ev = &vcpu->arch.ev;
	int vector;

	if (ev->exception.pending) {
		start_exception(vcpu);
		inject_exception(vcpu);
		return true;
	}
	if (debug_blocks_interrupts(vcpu))
		return false;
	if (atomic_read(&ev->nmi_pending) && nmi_open(vcpu)) {
		atomic_dec(&ev->nmi_pending);
		ev->nmi_injected = true;
		inject_nmi(vcpu);
		return true;
	}
	if (!interrupts_open(vcpu) || !interrupt_to_inject(vcpu))
		return false;
	vector = take_interrupt(vcpu);
	if (vector < 0)
		return false;
	ev->interrupt.injected = true;
	ev->interrupt.soft = false;
	ev->interrupt.vector = vector;
	inject_interrupt(vcpu);
	return true;
}

/* May userspace inject interrupts at all? In a split irqchip they come as the LAPIC's ExtINT. */
static bool takes_user_irq(struct vcpu *vcpu)
{
	switch (vcpu->vm->irqchip_mode) {
	case IRQCHIP_NONE:
		return true;
	case IRQCHIP_SPLIT:
		return irqchip_passes_extint(&vcpu->vm->chip, vcpu->index);
	default:
		return false;
	}
}

static u32 windows_wanted(struct vcpu *vcpu)
{
	u32 windows = 0;

	if (debug_blocks_interrupts(vcpu))
		return 0;
	/*
	 * The NMI window may open in the shadow of STI, where nmi_open() says no; with it IF is
	 * set.
	 */
	if (atomic_read(&vcpu->arch.ev.nmi_pending))
		windows |= backend_blocking(vcpu) & BLOCK_STI ? WINDOW_IRQ : WINDOW_NMI;
	if (interrupt_to_inject(vcpu))
		windows |= WINDOW_IRQ;
	if (READ_ONCE(vcpu->run->request_interrupt_window) && takes_user_irq(vcpu))
		windows |= WINDOW_IRQ;
	return windows;
}

int event_inject(struct vcpu *vcpu)
{
	drop_surplus_nmi(vcpu);
	if (!reinject(vcpu) && !inject_new(vcpu))
		backend_cancel_injection(vcpu);
	backend_set_windows(vcpu, windows_wanted(vcpu));
	if (vcpu->vm->irqchip_mode != IRQCHIP_NONE)
		backend_update_tpr_threshold(vcpu);
	return 1;
}

/* --- from outside --- */

void event_nmi(struct vcpu *vcpu)
{
	/* One to be handled at once and one latched behind it; event_inject() knows if it may. */
	atomic_add_unless(&vcpu->arch.ev.nmi_pending, 1, 2);
	vcpu_set_request(vcpu, REQ_EVENT);
	vcpu_kick(vcpu);
}

bool event_wakes(struct vcpu *vcpu)
{
	const struct x86_events *ev = &vcpu->arch.ev;

	if (ev->exception.pending || ev->exception.injected || ev->nmi_injected ||
	    ev->interrupt.injected)
		return true;
	if (atomic_read(&ev->nmi_pending) && nmi_open(vcpu))
		return true;
	return interrupts_open(vcpu) && interrupt_waits(vcpu);
}

bool event_ready_for_user_irq(struct vcpu *vcpu)
{
	const struct x86_events *ev = &vcpu->arch.ev;

	return takes_user_irq(vcpu) && !ev->user_irq_pending && !ev->exception.pending &&
	       !ev->exception.injected && !ev->nmi_injected && !ev->interrupt.injected &&
	       interrupts_open(vcpu);
}

bool event_user_window(struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->run->request_interrupt_window) && event_ready_for_user_irq(vcpu);
}

/* --- KVM_GET/SET_VCPU_EVENTS, and the interrupt bitmap of KVM_GET/SET_SREGS --- */

/*
 * Without an in-kernel LAPIC an interrupt that waits for its window is no different from one whose
 * delivery was cut short: userspace has taken it from its APIC for good.
 */
int event_interrupt(struct vcpu *vcpu)
{
	const struct x86_events *ev = &vcpu->arch.ev;

	if (ev->interrupt.injected && !ev->interrupt.soft)
		return ev->interrupt.vector;
	return vcpu->vm->irqchip_mode == IRQCHIP_NONE ? event_user_irq(vcpu, false) : -1;
}

/* There it waits for the window once more: IF may be clear by what else userspace has set. */
void event_set_interrupt(struct vcpu *vcpu, int vector, bool soft)
{
	struct x86_events *ev = &vcpu->arch.ev;
	bool waits = vcpu->vm->irqchip_mode == IRQCHIP_NONE && !soft;

	ev->interrupt.injected = vector >= 0 && !waits;
	ev->interrupt.soft = soft;
	ev->interrupt.vector = max(vector, 0);
	ev->interrupt.insn_len = 2; /* INT n */
	if (!waits)
		return;
	ev->user_irq_vector = max(vector, 0);
	smp_store_release(&ev->user_irq_pending, vector >= 0); /* pairs with event_user_irq() */
}

void event_get(struct vcpu *vcpu, struct kvm_vcpu_events *e)
{
	const struct x86_events *ev = &vcpu->arch.ev;
	const struct vm_arch *vm = &vcpu->vm->arch;
	u32 blocking = backend_blocking(vcpu);
	int vector;

	memset(e, 0, sizeof(*e));
	/* Without KVM_CAP_EXCEPTION_PAYLOAD a pending exception is shown as injected. */
	if (ev->exception.injected || ev->exception.pending) {
		e->exception.pending = ev->exception.pending && vm->exception_payload;
		e->exception.injected = !e->exception.pending;
		e->exception.nr = ev->exception.vector;
		e->exception.has_error_code = ev->exception.has_error;
		e->exception.error_code = ev->exception.error;
	}
	vector = event_interrupt(vcpu);
	if (vector >= 0) {
		e->interrupt.injected = true;
		e->interrupt.nr = vector;
	}
	if (blocking & BLOCK_STI)
		e->interrupt.shadow |= KVM_X86_SHADOW_INT_STI;
	if (blocking & BLOCK_MOVSS)
		e->interrupt.shadow |= KVM_X86_SHADOW_INT_MOV_SS;
	e->nmi.injected = ev->nmi_injected;
	e->nmi.pending = atomic_read(&ev->nmi_pending); /* with the one latched behind it */
	e->nmi.masked = !!(blocking & BLOCK_NMI);
	e->sipi_vector = vcpu->arch.apic.sipi_vector;
	e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (vcpu->vm->irqchip_mode != IRQCHIP_NONE)
		e->flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	/* CR2 and DR6 have been set when it became pending: there is no payload to carry. */
	if (vm->exception_payload)
		e->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vm->triple_fault_event) {
		e->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
		e->triple_fault.pending = test_bit(REQ_TRIPLE_FAULT, &vcpu->requests);
	}
}

static u32 valid_flags(const struct vm_arch *vm)
{
	return KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
	       KVM_VCPUEVENT_VALID_SHADOW |
	       (vm->exception_payload ? KVM_VCPUEVENT_VALID_PAYLOAD : 0) |
	       (vm->triple_fault_event ? KVM_VCPUEVENT_VALID_TRIPLE_FAULT : 0);
}

/* The state that an exception comes with, as the processor would have left it. */
static void take_payload(struct vcpu *vcpu, u8 vector, u64 payload)
{
	if (vector == X86_TRAP_PF)
		vcpu->arch.cr2 = payload;
	if (vector == X86_TRAP_DB)
		set_debug_reasons(vcpu, payload);
}

static void set_exception(struct vcpu *vcpu, const struct kvm_vcpu_events *e)
{
	struct x86_events *ev = &vcpu->arch.ev;
	bool soft = e->exception.nr == X86_TRAP_BP || e->exception.nr == X86_TRAP_OF;
	bool payload = e->flags & KVM_VCPUEVENT_VALID_PAYLOAD;

	ev->exception.pending = payload && e->exception.pending;
	ev->exception.injected = e->exception.injected && !ev->exception.pending;
	ev->exception.vector = e->exception.nr;
	ev->exception.type = soft ? EVENT_SOFT_EXC : EVENT_HW_EXCEPTION;
	ev->exception.has_error = e->exception.has_error_code;
	ev->exception.error = e->exception.error_code;
	ev->exception.insn_len = soft; /* INT3, INTO */
	if (ev->exception.pending && e->exception_has_payload)
		take_payload(vcpu, e->exception.nr, e->exception_payload);
}

int event_set(struct vcpu *vcpu, const struct kvm_vcpu_events *e)
{
	struct x86_events *ev = &vcpu->arch.ev;
	u32 shadow = 0;

	if (e->flags & ~valid_flags(&vcpu->vm->arch))
		return -EINVAL;
	if ((e->exception.injected || e->exception.pending) &&
	    (e->exception.nr > 31 || e->exception.nr == X86_TRAP_NMI))
		return -EINVAL;
	set_exception(vcpu, e);
	event_set_interrupt(vcpu, e->interrupt.injected ? e->interrupt.nr : -1, e->interrupt.soft);
	if (e->flags & KVM_VCPUEVENT_VALID_SHADOW) {
		if (e->interrupt.shadow & KVM_X86_SHADOW_INT_STI)
			shadow |= BLOCK_STI;
		if (e->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS)
			shadow |= BLOCK_MOVSS;
		backend_set_blocking(vcpu, BLOCK_STI | BLOCK_MOVSS, shadow);
	}
	ev->nmi_injected = e->nmi.injected;
	if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		atomic_set(&ev->nmi_pending, min_t(u8, e->nmi.pending, 2));
	backend_set_blocking(vcpu, BLOCK_NMI, e->nmi.masked ? BLOCK_NMI : 0);
	if ((e->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && vcpu->vm->irqchip_mode != IRQCHIP_NONE)
		vcpu->arch.apic.sipi_vector = e->sipi_vector;
	if (e->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
		assign_bit(REQ_TRIPLE_FAULT, &vcpu->requests, e->triple_fault.pending);
	vcpu_set_request(vcpu, REQ_EVENT);
	return 0;
}
