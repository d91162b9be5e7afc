// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions, NMIs, and interrupts that userspace injects (KVM_INTERRUPT, no in-kernel irqchip):
 * delivery, error codes, priorities, blocking, the interrupt window and HLT. Sources: SDM
 * "Exception and Interrupt Reference", "Handling Multiple NMIs", "Masking Exceptions and
 * Interrupts When Switching Stacks".
 */
#include "kvmtest.h"

#define VECTOR 0x40

/* --- exceptions the guest raises --- */

static void raise_ud(void)
{
	asm volatile("ud2");
}

static void raise_de(void)
{
	asm volatile("xor %%eax, %%eax; xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx"
		     :
		     :
		     : "eax", "ecx", "edx");
}

static void raise_bp(void)
{
	asm volatile("int3");
}

static void raise_gp_selector(void)
{
	asm volatile("mov %0, %%ds" : : "r"(0x1238));
}

static void raise_gp_canonical(void)
{
	asm volatile("mov (%0), %%eax" : : "r"(0x8000000000000000UL) : "eax");
}

static void raise_pf_absent(void)
{
	(void)*(volatile uint8_t *)(GUEST_VA_NONE + 0x123);
}

static void raise_pf_write(void)
{
	*(volatile uint8_t *)(GUEST_VA_RO + 0x10) = 1;
}

static void raise_pf_execute(void)
{
	((void (*)(void))GUEST_VA_NX)();
}

static void raise_gp_msr(void)
{
	rdmsr(0xdeadbeef);
}

static void raise_gp_write_msr(void)
{
	wrmsr(0xc0000082, 0x0008000000000000UL); /* LSTAR, not canonical */
}

static void raise_gp_cr0(void)
{
	write_cr(0, 0x80000000); /* paging without protection */
}

static void raise_gp_cr4(void)
{
	write_cr(4, read_cr(4) | 1UL << 31);
}

static void raise_gp_cr4_pae(void)
{
	write_cr(4, read_cr(4) & ~(1UL << 5)); /* PAE can't go in long mode */
}

static void raise_gp_xsetbv(void)
{
	asm volatile("xsetbv" : : "c"(0), "a"(2), "d"(0));
}

static void raise_ud_vmx(void)
{
	asm volatile("vmcall; vmxoff"); /* VMX is not offered */
}

static void raise_ud_lock(void)
{
	asm volatile(".byte 0xf0, 0x90"); /* lock nop */
}

static void exceptions_payload(uint64_t arg)
{
	uint32_t error = 0;

	(void)arg;
	guest_assert_eq(guest_catch(raise_ud, NULL), 6);
	guest_assert_eq(guest_catch(raise_de, NULL), 0);
	guest_assert_eq(guest_catch(raise_bp, NULL), 3);
	guest_assert_eq(guest_catch(raise_gp_selector, &error), 13);
	guest_assert_eq(error, 0x1238);
	guest_assert_eq(guest_catch(raise_gp_canonical, &error), 13);
	guest_assert_eq(error, 0);
	guest_assert_eq(guest_catch(raise_pf_absent, &error), 14);
	guest_assert_eq(error, 0);
	guest_assert_eq(read_cr(2), GUEST_VA_NONE + 0x123);
	guest_assert_eq(guest_catch(raise_pf_write, &error), 14);
	guest_assert_eq(error, 3);
	guest_assert_eq(read_cr(2), GUEST_VA_RO + 0x10);
	guest_assert_eq(guest_catch(raise_pf_execute, &error), 14);
	guest_assert_eq(error, 0x11);
	guest_assert_eq(guest_catch(raise_ud_lock, NULL), 6);
}

static void exceptions_and_their_error_codes(void **state)
{
	(void)state;
	expect_done(guest_new(exceptions_payload, 0));
}

/* These exit to the hypervisor, which must raise what the processor would. */
static void emulated_faults_payload(uint64_t arg)
{
	uint32_t error = 99;

	(void)arg;
	guest_assert_eq(guest_catch(raise_gp_msr, &error), 13);
	guest_assert_eq(error, 0);
	guest_assert_eq(guest_catch(raise_gp_write_msr, NULL), 13);
	guest_assert_eq(guest_catch(raise_gp_cr0, NULL), 13);
	guest_assert_eq(guest_catch(raise_gp_cr4, NULL), 13);
	guest_assert_eq(guest_catch(raise_gp_cr4_pae, NULL), 13);
	guest_assert_eq(guest_catch(raise_gp_xsetbv, NULL), 13);
}

static void faults_of_emulated_instructions(void **state)
{
	(void)state;
	expect_done(guest_new(emulated_faults_payload, 0));
}

static void vmx_payload(uint64_t arg)
{
	(void)arg;
	guest_assert_eq(guest_catch(raise_ud_vmx, NULL), 6);
}

static void vmx_instructions_are_undefined(void **state)
{
	if (!on_apicvisor())
		skip_because("the peer offers nested VMX and hypercalls");
	(void)state;
	expect_done(guest_new(vmx_payload, 0));
}

/* A fault while a fault is delivered: #DF, with error code 0 (its gate is all that's left). */
static void on_double_fault(struct guest_frame *f)
{
	guest_assert_eq(f->vector, 8);
	guest_sync_values(8, f->error, 0, 0, 0);
}

static void double_fault_payload(uint64_t arg)
{
	uint64_t *idt = (uint64_t *)GUEST_IDT;

	(void)arg;
	guest_handler[8] = on_double_fault;
	idt[2 * 13] &= ~(1UL << 47); /* #GP: gate not present -> #NP while delivering #GP */
	idt[2 * 11] &= ~(1UL << 47);
	raise_gp_canonical();
}

static void double_fault(void **state)
{
	struct vcpu *v = guest_new(double_fault_payload, 0);

	(void)state;
	assert_int_equal(expect_sync(v, 8)->value[1], 0);
}

/* --- exceptions that userspace injects: KVM_SET_VCPU_EVENTS --- */

static void on_injected(struct guest_frame *f)
{
	guest_sync_values(f->vector, f->error, read_cr(2), f->rip, 0);
}

static void injected_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[13] = on_injected;
	guest_handler[6] = on_injected;
	guest_sync(1);
	guest_sync(2);
}

static void injected_exception(void **state)
{
	struct vcpu *v = guest_new(injected_payload, 0);
	struct kvm_vcpu_events e;

	(void)state;
	expect_sync(v, 1);
	/* the report's OUT is completed first: an exception injected now comes behind it */
	v->run->immediate_exit = 1;
	assert_int_equal(vcpu_run_raw(v), -EINTR);
	v->run->immediate_exit = 0;
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	assert_int_equal(e.exception.injected, 0);
	e.exception.injected = 1;
	e.exception.nr = 13;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x1230;
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	assert_int_equal(expect_sync(v, 13)->value[1], 0x1230);
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	assert_int_equal(e.exception.injected, 0); /* once */
	expect_sync(v, 2);
}

/* --- NMI --- */

static volatile uint64_t nmis, nmi_depth, nmi_max_depth, nmi_stay;

static void on_nmi(struct guest_frame *f)
{
	(void)f;
	nmis++;
	nmi_depth++;
	if (nmi_depth > nmi_max_depth)
		nmi_max_depth = nmi_depth;
	if (nmi_stay)
		guest_sync(100 + nmis); /* inside the handler: NMIs are blocked until IRET */
	nmi_depth--;
}

static void nmi_payload(uint64_t arg)
{
	guest_handler[2] = on_nmi;
	nmi_stay = arg;
	guest_sync(1);
	while (!nmis)
		cpu_relax();
	guest_sync_values(2, nmis, nmi_max_depth, 0, 0);
	guest_sync_values(3, nmis, nmi_max_depth, 0, 0);
}

static void nmi_is_delivered_with_interrupts_off(void **state)
{
	struct vcpu *v = guest_new(nmi_payload, 0);

	(void)state;
	expect_sync(v, 1);
	must(ioctl(v->fd, KVM_NMI));
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
}

static void nmi_is_blocked_until_iret(void **state)
{
	struct vcpu *v = guest_new(nmi_payload, 1);
	struct kvm_vcpu_events e;
	struct guest_report *r;

	(void)state;
	expect_sync(v, 1);
	must(ioctl(v->fd, KVM_NMI));
	expect_sync(v, 101);
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	assert_int_equal(e.nmi.masked, 1);
	must(ioctl(v->fd, KVM_NMI)); /* one is latched, ... */
	must(ioctl(v->fd, KVM_NMI)); /* ... further ones are lost */
	must(ioctl(v->fd, KVM_NMI));
	expect_sync(v, 102); /* right after the first handler's IRET */
	r = expect_sync(v, 2);
	assert_int_equal(r->value[1], 2);
	assert_int_equal(r->value[2], 1); /* never nested */
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	assert_int_equal(e.nmi.masked, 0);
	assert_int_equal(e.nmi.pending, 0);
	assert_int_equal(expect_sync(v, 3)->value[1], 2);
}

static void nmi_halt_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[2] = on_nmi;
	guest_xapic_enable();
	guest_sync(1);
	hlt();
	guest_sync_values(2, nmis, 0, 0, 0);
}

/* By MSI, since KVM_NMI waits for the vCPU to leave KVM_RUN. */
static void nmi_ends_hlt_in_the_kernel(void **state)
{
	struct vcpu *v = guest_new_irqchip(nmi_halt_payload, 0);
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 4 << 8 };

	(void)state;
	vcpu_start(v);
	vcpu_wait_sync(v, 1);
	usleep(20000); /* most likely halted by now; either way the NMI ends it */
	assert_int_equal(must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi)), 1);
	vcpu_wait_sync(v, 2);
	vcpu_join(v);
	assert_int_equal(in_guest(v->vm, nmis), 1);
}

/* --- interrupts from userspace --- */

static volatile uint64_t irqs, irq_rip;

static void on_irq(struct guest_frame *f)
{
	irqs++;
	irq_rip = f->rip;
}

static void user_irq_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_irq;
	guest_sync_values(1, irqs, 0, 0, 0);
	sti();
	cpu_relax(); /* in the shadow */
	guest_sync_values(2, irqs, 0, 0, 0);
	cli();
	guest_sync_values(3, irqs, 0, 0, 0);
	sti_hlt();
	guest_sync_values(4, irqs, 0, 0, 0);
}

static int inject(struct vcpu *v, uint32_t vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	return ioctl(v->fd, KVM_INTERRUPT, &irq) ? -errno : 0;
}

static void interrupt_window(void **state)
{
	struct vcpu *v = guest_new(user_irq_payload, 0);
	struct kvm_run *run = v->run;

	(void)state;
	run->request_interrupt_window = 1;
	assert_int_equal(expect_sync(v, 1)->value[1], 0);
	assert_int_equal(run->if_flag, 0);
	assert_int_equal(run->ready_for_interrupt_injection, 0);
	expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN); /* behind the STI's shadow */
	assert_int_equal(run->if_flag, 1);
	assert_int_equal(run->ready_for_interrupt_injection, 1);
	run->request_interrupt_window = 0;
	assert_int_equal(inject(v, VECTOR), 0);
	if (on_apicvisor()) /* one at a time; the peer says so in split mode only */
		assert_int_equal(inject(v, VECTOR), -EEXIST);
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
	assert_int_equal(expect_sync(v, 3)->value[1], 1);
	expect_exit(v, KVM_EXIT_HLT);
	assert_int_equal(run->if_flag, 1);
	assert_int_equal(inject(v, VECTOR), 0);
	assert_int_equal(expect_sync(v, 4)->value[1], 2);
}

/* STI keeps interrupts off for one more instruction; so does MOV SS. */
static void shadow_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_irq;
	guest_sync(1);
	asm volatile("sti\n"
		     "shadow_sti_1: nop\n"
		     "shadow_sti_2: nop; nop; nop; cli"
		     :
		     :
		     : "memory");
	guest_sync_values(2, irq_rip, irqs, 0, 0);
}

extern const char shadow_sti_1[], shadow_sti_2[];

static void sti_shadow(void **state)
{
	struct vcpu *v = guest_new(shadow_payload, 0);
	struct guest_report *r;

	(void)state;
	expect_sync(v, 1);
	v->run->request_interrupt_window = 1;
	expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_true(vcpu_regs(v).rip >= (uintptr_t)shadow_sti_2);
	assert_int_equal(inject(v, VECTOR), 0);
	v->run->request_interrupt_window = 0;
	r = expect_sync(v, 2);
	assert_int_equal(r->value[2], 1);
	assert_true(r->value[1] >= (uintptr_t)shadow_sti_2);
}

/* An interrupt that waits for its window is in the saved state, and can be taken back there. */
static void saved_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_irq;
	for (uint64_t i = 1; i <= 4; i++) {
		guest_sync_values(i, irqs, 0, 0, 0);
		sti();
		cpu_relax();
		cpu_relax();
		cli();
	}
}

static void set_saved_interrupt(struct vcpu *v, int vector)
{
	struct kvm_vcpu_events e;

	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.interrupt.injected = vector >= 0;
	e.interrupt.nr = (uint8_t)vector;
	e.interrupt.soft = 0;
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
}

static void waiting_interrupt_is_saved(void **state)
{
	struct vcpu *v = guest_new(saved_payload, 0);
	struct kvm_vcpu_events e;
	struct kvm_sregs sregs;

	(void)state;
	expect_sync(v, 1);
	assert_int_equal(inject(v, VECTOR), 0);
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	assert_int_equal(e.interrupt.injected, 1);
	assert_int_equal(e.interrupt.nr, VECTOR);
	must(ioctl(v->fd, KVM_GET_SREGS, &sregs));
	assert_int_equal(sregs.interrupt_bitmap[VECTOR / 64], 1ull << VECTOR % 64);
	set_saved_interrupt(v, -1);
	must(ioctl(v->fd, KVM_GET_SREGS, &sregs));
	assert_int_equal(sregs.interrupt_bitmap[VECTOR / 64], 0);
	assert_int_equal(expect_sync(v, 2)->value[1], 0);
	if (!on_apicvisor())
		return; /* the peer's processor would refuse to inject it now: IF is 0 */
	set_saved_interrupt(v, VECTOR);
	assert_int_equal(expect_sync(v, 3)->value[1], 1);
	sregs.interrupt_bitmap[VECTOR / 64] = 1ull << VECTOR % 64;
	must(ioctl(v->fd, KVM_SET_SREGS, &sregs));
	assert_int_equal(expect_sync(v, 4)->value[1], 2);
}

/* --- CR8 without an APIC in the kernel --- */

static void cr8_payload(uint64_t arg)
{
	(void)arg;
	write_cr(8, 5);
	guest_sync_values(1, read_cr(8), 0, 0, 0);
	guest_sync_values(2, read_cr(8), 0, 0, 0);
}

static void cr8_is_shown_in_run(void **state)
{
	struct vcpu *v = guest_new(cr8_payload, 0);
	struct guest_report *r;

	(void)state;
	while (vcpu_run(v) == KVM_EXIT_SET_TPR)
		assert_int_equal(v->run->cr8, 5);
	r = v->report;
	assert_int_equal(r->value[0], 1);
	assert_int_equal(r->value[1], 5);
	assert_int_equal(v->run->cr8, 5);
	v->run->cr8 = 9; /* userspace's APIC changes it */
	assert_int_equal(expect_sync(v, 2)->value[1], 9);
}

/* Userspace's APIC has to know when the TPR falls: something may wait behind it. */
static void set_tpr_payload(uint64_t arg)
{
	(void)arg;
	write_cr(8, 5);
	write_cr(8, 5);
	write_cr(8, 9);
	guest_sync(1);
	write_cr(8, 3);
	guest_assert_eq(read_cr(8), 3);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(uint64_t)APIC_BASE_ENABLE);
	guest_sync(2);
}

static void exit_when_the_tpr_falls(void **state)
{
	struct vcpu *v = guest_new(set_tpr_payload, 0);
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_HALTED };

	(void)state;
	expect_sync(v, 1);
	assert_int_equal(v->run->cr8, 9);
	assert_int_equal(v->run->apic_base, XAPIC_BASE | APIC_BASE_ENABLE | 1u << 8);
	expect_exit(v, KVM_EXIT_SET_TPR);
	assert_int_equal(v->run->cr8, 3);
	expect_sync(v, 2);
	assert_int_equal(v->run->apic_base, XAPIC_BASE | 1u << 8);
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_MP_STATE, &mp));
	expect_done(v);
}

static const struct CMUnitTest tests[] = {
	TEST(exceptions_and_their_error_codes),
	TEST(faults_of_emulated_instructions),
	TEST(vmx_instructions_are_undefined),
	TEST(double_fault),
	TEST(injected_exception),
	TEST(nmi_is_delivered_with_interrupts_off),
	TEST(nmi_is_blocked_until_iret),
	TEST(nmi_ends_hlt_in_the_kernel),
	TEST(interrupt_window),
	TEST(sti_shadow),
	TEST(waiting_interrupt_is_saved),
	TEST(cr8_is_shown_in_run),
	TEST(exit_when_the_tpr_falls),
};

TEST_MAIN("guest_events", tests)
