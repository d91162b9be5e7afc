// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_SET_GUEST_DEBUG: steps of one instruction each, whoever carries it out; software and hardware
 * breakpoints; and that the guest notices nothing: its own TF, DR0-3 and DR7 go on working.
 * (Saving a VM at each step: test_save.c. How QEMU's gdbstub uses it: tools/check/clients.)
 */
#include "kvmtest.h"

#define DR6_FIXED  0xffff0ff0u
#define DR6_STEP   0x4000u
#define DR6_ACCESS 0x2000u
#define DR7_FIXED  0x400u
#define VECTOR_DB  1
#define VECTOR_BP  3
#define RFLAGS_TF  0x100u

static void set_debug(struct vcpu *v, uint32_t control)
{
	struct kvm_guest_debug d = { .control = control ? control | KVM_GUESTDBG_ENABLE : 0 };

	must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
}

static void set_breakpoint(struct vcpu *v, int n, uint64_t address, uint64_t type)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP };

	d.arch.debugreg[n] = address;
	d.arch.debugreg[7] = DR7_FIXED | 2ull << (2 * n) | type << (16 + 4 * n);
	must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
}

static void expect_debug(struct vcpu *v, uint32_t exception, const void *pc)
{
	expect_exit(v, KVM_EXIT_DEBUG);
	assert_int_equal(v->run->debug.arch.exception, exception);
	assert_int_equal(v->run->debug.arch.pc, (uintptr_t)pc);
}

static void expect_step(struct vcpu *v, const void *pc)
{
	expect_debug(v, VECTOR_DB, pc);
	assert_int_equal(v->run->debug.arch.dr6, DR6_FIXED | DR6_STEP);
	assert_int_equal(vcpu_regs(v).rip, (uintptr_t)pc);
	assert_false(vcpu_regs(v).rflags & RFLAGS_TF);
}

/* Run to @pc and take the breakpoint away. */
static void run_to(struct vcpu *v, const void *pc)
{
	set_breakpoint(v, 0, (uintptr_t)pc, 0);
	expect_debug(v, VECTOR_DB, pc);
	set_debug(v, 0);
}

/* --- steps --- */

/* Each instruction's address goes to a table: S("insn") is one step. */
#define S(insn)                              \
	"77: " insn "\n"                     \
	".pushsection .data.steps, \"aw\"\n" \
	".quad 77b\n"                        \
	".popsection\n"
/* The same, but a repeated instruction that makes @n steps. */
#define REPEATED(insn, n)                    \
	"77: " insn "\n"                     \
	".pushsection .data.steps, \"aw\"\n" \
	".rept " #n "\n.quad 77b\n.endr\n"   \
	".popsection\n"

asm(".pushsection .data.steps, \"aw\"\n"
    "step_table:\n"
    ".popsection\n");
extern const uint64_t step_table[];
extern const char first_step[], last_step[];

static uint8_t buffer[16];

static void many_kinds_payload(uint64_t arg)
{
	(void)arg;
	asm volatile(
		"first_step:\n" S("nop") S("xor %%eax, %%eax") S("push %%rax") S("pop %%rax") S(
			"cpuid") S("mov $0x1b, %%ecx") S("rdmsr") S("wrmsr") S("mov %%cr4, %%rax")
			S("mov %%rax, %%cr4") S("mov %%dr7, %%rax") S("mov %%rax, %%dr7") S(
				"mov $0x80, %%edx") S("out %%al, %%dx") S("in %%dx, %%al")
				S("mov $0xd0000000, %%ebx") S("mov (%%rbx), %%eax") S(
					"mov %%eax, 8(%%rbx)") S("addl $1, (%%rbx)")
					S("lea %[buffer], %%rdi") S("mov %%rdi, %%rsi") S(
						"mov $3, %%ecx") REPEATED("rep stosb", 3)
						S("mov $3, %%ecx") REPEATED("rep outsb", 3) S(
							"mov $2, %%ecx") REPEATED("rep insb", 2)
							S("mov %%ss, %%eax") S("mov %%eax, %%ss") S(
								"nop") S("sti") S("nop") S("cli")
								S("jmp 78f") "ud2\n78:" S("nop")
									S("nop") "last_step:\n" S(
										"nop")
		:
		: [buffer] "m"(buffer)
		: "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "memory");
	guest_sync(1);
}

/* I/O exits come in the middle of steps; what they ask for must be done before the report. */
static void finish_step(struct vcpu *v, unsigned int *io)
{
	while (vcpu_run_raw(v) == 0) {
		struct kvm_run *run = v->run;

		if (run->exit_reason == KVM_EXIT_DEBUG)
			return;
		(*io)++;
		if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write)
			memset(run->mmio.data, 0x5a, sizeof(run->mmio.data));
		else if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN)
			*((uint8_t *)run + run->io.data_offset) = 0x77;
		else if (run->exit_reason != KVM_EXIT_MMIO && run->exit_reason != KVM_EXIT_IO)
			break;
	}
	fail_msg("exit %s", exit_name(v->run->exit_reason));
}

static void one_step_per_instruction(void **state)
{
	struct vcpu *v = guest_new(many_kinds_payload, 0);
	const uint64_t *step = step_table;
	unsigned int io = 0;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer loses steps at port I/O, and the shadow of MOV SS");
	run_to(v, first_step);
	set_debug(v, KVM_GUESTDBG_SINGLESTEP);
	assert_int_equal(*step, (uintptr_t)first_step);
	while (*++step != (uintptr_t)last_step) {
		finish_step(v, &io);
		assert_int_equal(v->run->debug.arch.pc, *step);
		assert_int_equal(v->run->debug.arch.dr6, DR6_FIXED | DR6_STEP);
		assert_int_equal(vcpu_regs(v).rip, *step);
	}
	/* out; in; mov; mov; add: 2; outsb: 3; insb: 2 */
	assert_int_equal(io, 1 + 1 + 1 + 1 + 2 + 3 + 2);
	set_debug(v, 0);
	expect_sync(v, 1);
	expect_done(v);
}

/* With immediate_exit userspace gets its I/O finished and nothing else; the step is not lost. */
static void step_survives_immediate_exit(void **state)
{
	struct vcpu *v = guest_new(many_kinds_payload, 0);
	uint64_t in_rip = 0;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer loses steps at port I/O");
	run_to(v, first_step);
	set_debug(v, KVM_GUESTDBG_SINGLESTEP);
	do {
		assert_int_equal(vcpu_run_raw(v), 0);
	} while (v->run->exit_reason == KVM_EXIT_DEBUG || v->run->io.direction != KVM_EXIT_IO_IN);
	*((uint8_t *)v->run + v->run->io.data_offset) = 0x66;
	v->run->immediate_exit = 1;
	assert_int_equal(vcpu_run_raw(v), -EINTR);
	v->run->immediate_exit = 0;
	in_rip = vcpu_regs(v).rip;
	assert_int_equal(vcpu_regs(v).rax & 0xff, 0x66);
	set_debug(v, KVM_GUESTDBG_SINGLESTEP);
	expect_step(v, (void *)in_rip);
}

/* --- events while stepping --- */

static volatile uint64_t events, pushed_rflags;
extern const char ipi_here[], before_ud2[], after_sti[], before_hlt[], after_hlt[], tf_here[];

static void on_event(struct guest_frame *f)
{
	events++;
	pushed_rflags = f->rflags;
	if (f->vector == 6)
		f->rip += 2;
	if (f->vector >= 32)
		x2apic_write(APIC_EOI, 0);
}

static const void *stub(unsigned int vector)
{
	return guest_stubs + 16 * vector;
}

static void ud_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[6] = on_event;
	asm volatile("before_ud2: ud2");
	guest_assert_eq(events, 1);
	guest_assert_eq(pushed_rflags & RFLAGS_TF, 0);
}

/* The step ends at the handler's first instruction, and the handler sees no TF. */
static void step_into_an_exception(void **state)
{
	struct vcpu *v = guest_new(ud_payload, 0);

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer steps by TF: it does not stop in the handler");
	run_to(v, before_ud2);
	set_debug(v, KVM_GUESTDBG_SINGLESTEP);
	expect_step(v, stub(6));
	expect_step(v, stub(6) + 2); /* push $0 */
	set_debug(v, 0);
	expect_done(v);
}

static void irq_payload(uint64_t arg)
{
	(void)arg;
	guest_x2apic_enable();
	guest_handler[0x41] = on_event;
	x2apic_write(APIC_SELF_IPI, 0x41);
	asm volatile("ipi_here: sti; after_sti: nop; nop; nop");
	guest_assert_eq(events, 1);
	guest_assert_eq(pushed_rflags & RFLAGS_TF, 0);
	cli();
	guest_sync(1);
}

/* STI, its shadow of one instruction, the interrupt. */
static void step_into_an_interrupt(void **state)
{
	struct vcpu *v = guest_new_irqchip(irq_payload, 0);

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer ends STI's shadow to step by TF");
	run_to(v, ipi_here);
	set_debug(v, KVM_GUESTDBG_SINGLESTEP);
	expect_step(v, after_sti);
	expect_step(v, after_sti + 1);
	expect_step(v, stub(0x41));
	set_debug(v, 0);
	expect_sync(v, 1);
}

static void blocked_interrupts(void **state)
{
	struct vcpu *v = guest_new_irqchip(irq_payload, 0);

	(void)state;
	run_to(v, ipi_here);
	must(ioctl(v->fd, KVM_NMI)); /* nobody in the guest handles it */
	set_debug(v, KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ);
	expect_step(v, after_sti);
	expect_step(v, after_sti + 1);
	expect_step(v, after_sti + 2);
	assert_int_equal(in_guest(v->vm, events), 0);
	set_debug(v, 0);
	vcpu_run(v);
	assert_int_equal(v->report->kind, REPORT_EXCEPTION); /* the NMI, once it is let in */
	assert_int_equal(v->report->value[0], 2);
}

static void hlt_payload(uint64_t arg)
{
	(void)arg;
	guest_x2apic_enable();
	guest_handler[0x41] = on_event;
	asm volatile("sti; before_hlt: hlt; after_hlt: nop");
	guest_assert_eq(events, 1);
}

static void step_over_hlt(void **state)
{
	struct vcpu *v = guest_new_irqchip(hlt_payload, 0);
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x41 };
	struct kvm_mp_state mp;

	(void)state;
	run_to(v, before_hlt);
	set_debug(v, KVM_GUESTDBG_SINGLESTEP);
	expect_step(v, after_hlt);
	must(ioctl(v->fd, KVM_GET_MP_STATE, &mp));
	assert_int_equal(mp.mp_state, KVM_MP_STATE_HALTED);
	must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi));
	if (on_apicvisor())
		expect_step(v, stub(0x41));
	set_debug(v, 0);
	expect_done(v);
}

static void tf_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[1] = on_event;
	asm volatile("pushf; orl $0x100, (%%rsp); popf; tf_here: nop; nop; cpuid; nop\n"
		     "pushf; andl $~0x100, (%%rsp); popf; nop"
		     :
		     :
		     : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	guest_assert_eq(events, 7); /* nop nop cpuid nop pushf andl popf */
	guest_assert(pushed_rflags & 2);
	guest_assert_eq(read_dr(6) & DR6_STEP, DR6_STEP);
}

/* The guest steps itself while it is stepped. */
static void guests_own_steps(void **state)
{
	struct vcpu *v = guest_new(tf_payload, 0);
	unsigned int steps = 0;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer gives the guest's own steps to the debugger");
	run_to(v, tf_here);
	set_debug(v, KVM_GUESTDBG_SINGLESTEP);
	for (;;) {
		if (vcpu_run(v) != KVM_EXIT_DEBUG)
			break;
		steps++;
		assert_true(steps < 5000);
	}
	assert_int_equal(v->report->kind, REPORT_DONE);
	assert_true(steps > 7 * 40);
}

/* --- breakpoints --- */

extern const char sw_bp[], hw_bp[], hw_bp_next[], after_write[], dr_access[];
static volatile uint32_t watched;

static void on_breakpoint(struct guest_frame *f)
{
	events++;
	guest_assert_eq(f->rip, (uintptr_t)sw_bp + 1);
}

static void breakpoint_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[3] = on_breakpoint;
	write_dr(0, 0x1234);
	write_dr(7, DR7_FIXED | 3);
	asm volatile("sw_bp: int3");
	/* Bochs looks at instruction breakpoints one instruction late after a far jump or IRET. */
	asm volatile("nop; hw_bp: nop; hw_bp_next: nop");
	asm volatile("movl $1, %0; after_write: nop" : "=m"(watched));
	asm volatile("dr_access: mov %%dr0, %%rax" : : : "rax");
	guest_assert_eq(read_dr(0), 0x1234);
	guest_assert_eq(read_dr(7), DR7_FIXED | 3);
	guest_sync(events);
}

static void breakpoint_instruction(void **state)
{
	struct vcpu *v = guest_new(breakpoint_payload, 0);

	(void)state;
	set_debug(v, KVM_GUESTDBG_USE_SW_BP);
	expect_debug(v, VECTOR_BP, sw_bp);
	assert_int_equal(vcpu_regs(v).rip, (uintptr_t)sw_bp);
	expect_debug(v, VECTOR_BP, sw_bp); /* again, as nothing was done about it */
	set_debug(v, KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_INJECT_BP);
	expect_sync(v, 1);
}

/* Without the debugger's interest INT3 is the guest's. */
static void guests_own_breakpoint_instruction(void **state)
{
	struct vcpu *v = guest_new(breakpoint_payload, 0);

	(void)state;
	set_debug(v, KVM_GUESTDBG_USE_HW_BP);
	expect_sync(v, 1);
}

static void execution_breakpoints(void **state)
{
	struct vcpu *v = guest_new(breakpoint_payload, 0);

	(void)state;
	for (int n = 0; n < 4; n++) {
		set_breakpoint(v, n, (uintptr_t)hw_bp, 0);
		expect_debug(v, VECTOR_DB, hw_bp);
		assert_int_equal(v->run->debug.arch.dr6, DR6_FIXED | 1u << n);
		assert_int_equal(v->run->debug.arch.dr7, DR7_FIXED | 2u << (2 * n));
	}
	set_debug(v, KVM_GUESTDBG_SINGLESTEP);
	expect_step(v, hw_bp_next);
	set_debug(v, 0);
	expect_sync(v, 1);
}

static void write_breakpoints(void **state)
{
	(void)state;
	for (int n = 0; n < 4; n++) {
		struct vcpu *v = guest_new(breakpoint_payload, 0);

		set_breakpoint(v, n, (uintptr_t)&watched, 0xd); /* 4 bytes, writes */
		expect_debug(v, VECTOR_DB, after_write);
		assert_int_equal(v->run->debug.arch.dr6, DR6_FIXED | 1u << n);
		assert_int_equal(v->run->debug.arch.dr7,
				 DR7_FIXED | 2u << (2 * n) | 0xdu << (16 + 4 * n));
		expect_sync(v, 1);
		vm_free(v->vm);
	}
}

static void debug_register_access(void **state)
{
	struct vcpu *v = guest_new(breakpoint_payload, 0);
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP };

	(void)state;
	run_to(v, hw_bp);
	d.arch.debugreg[7] = DR7_FIXED | 0x2000; /* GD */
	must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
	expect_debug(v, VECTOR_DB, dr_access);
	assert_int_equal(v->run->debug.arch.dr6, DR6_FIXED | DR6_ACCESS);
	set_debug(v, 0);
	expect_sync(v, 1);
}

/* What KVM_GET_DEBUGREGS says is the guest's, whatever the debugger has in the processor. */
static void guests_registers_stay_its_own(void **state)
{
	struct vcpu *v = guest_new(breakpoint_payload, 0);
	struct kvm_debugregs d;

	(void)state;
	set_breakpoint(v, 1, (uintptr_t)hw_bp, 0);
	expect_debug(v, VECTOR_DB, hw_bp);
	must(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	assert_int_equal(d.db[0], 0x1234);
	assert_int_equal(d.db[1], 0);
	assert_int_equal(d.dr7, DR7_FIXED | 3);
	assert_int_equal(d.dr6, DR6_FIXED);
	d.db[0] = 0x5678;
	must(ioctl(v->fd, KVM_SET_DEBUGREGS, &d));
	set_breakpoint(v, 1, (uintptr_t)after_write, 0);
	expect_debug(v, VECTOR_DB, after_write); /* still the debugger's */
	must(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	assert_int_equal(d.db[0], 0x5678);
	d.db[0] = 0x1234;
	must(ioctl(v->fd, KVM_SET_DEBUGREGS, &d));
	set_debug(v, 0);
	expect_sync(v, 1);
}

static void db_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[1] = on_event;
	guest_sync(1);
	guest_sync(events);
}

/* --- the call --- */

static void injection(void **state)
{
	struct vcpu *v = guest_new(db_payload, 0);
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_INJECT_DB };

	(void)state;
	expect_sync(v, 1);
	must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d)); /* also without ENABLE */
	must_fail(EBUSY, ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
	expect_sync(v, 1);
	assert_int_equal(in_guest(v->vm, events), 1);
}

static void arguments(void **state)
{
	struct vcpu *v = guest_new(db_payload, 0);
	struct kvm_guest_debug d;
	int known = dev_capability(KVM_CAP_SET_GUEST_DEBUG2);

	(void)state;
	assert_int_equal(dev_capability(KVM_CAP_SET_GUEST_DEBUG), 1);
	assert_int_equal(known, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
					KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP |
					KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |
					KVM_GUESTDBG_BLOCKIRQ);
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_GUEST_DEBUG, NULL));
	if (on_apicvisor()) { /* the peer ignores bits it does not know */
		for (unsigned int bit = 0; bit < 32; bit++) {
			d = (struct kvm_guest_debug){ .control = 1u << bit };
			if (!(known & 1 << bit))
				must_fail(EINVAL, ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
		}
	}
	/* Hostile breakpoints: any address, any DR7. */
	memset(&d, 0xff, sizeof(d));
	d.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
	if (!on_apicvisor())
		d.arch.debugreg[7] = 0xffffd7ff;
	must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
	expect_sync(v, 1);
}

static const struct CMUnitTest tests[] = {
	TEST(one_step_per_instruction),
	TEST(step_survives_immediate_exit),
	TEST(step_into_an_exception),
	TEST(step_into_an_interrupt),
	TEST(blocked_interrupts),
	TEST(step_over_hlt),
	TEST(guests_own_steps),
	TEST(breakpoint_instruction),
	TEST(guests_own_breakpoint_instruction),
	TEST(execution_breakpoints),
	TEST(write_breakpoints),
	TEST(debug_register_access),
	TEST(guests_registers_stay_its_own),
	TEST(injection),
	TEST(arguments),
};

TEST_MAIN("guest_debug", tests)
