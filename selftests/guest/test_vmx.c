// SPDX-License-Identifier: GPL-2.0-only
/*
 * Corners of VM entry and exit: debug traps over instructions that exit, shadows of STI and MOV SS,
 * events whose delivery fails, I/O that userspace answers with other registers, host registers that
 * a guest must not reach. Sources: SDM "Event Injection", "Checks on Guest Non-Register State",
 * "Information for VM Exits That Occur During Event Delivery", "Debug Exceptions".
 */
#include "kvmtest.h"

#define PORT     0x4321
#define TF       (1UL << 8)
#define DR6_BS   (1UL << 14)
#define DR6_B0   (1UL << 0)
#define DEBUGCTL 0x1d9
#define BTF      (1UL << 1)

static volatile uint64_t traps, trap_rip[8], trap_dr6, trap_debugctl;

/* Notes the trap and ends single-stepping. */
static void on_trap(struct guest_frame *f)
{
	if (traps < ARRAY_SIZE(trap_rip))
		trap_rip[traps] = f->rip;
	traps++;
	trap_dr6 = read_dr(6);
	f->rflags &= ~TF;
}

/* The same, but goes on stepping. */
static void on_step(struct guest_frame *f)
{
	on_trap(f);
	f->rflags |= TF;
}

#define SET_TF   "pushfq; orq $0x100, (%%rsp); popfq; "
#define CLEAR_TF "pushfq; andq $~0x100, (%%rsp); popfq; "

/* KVM_RUN that finishes what the last exit left open, without entering the guest. */
static void complete_exit(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	assert_int_equal(vcpu_run_raw(v), -EINTR);
	v->run->immediate_exit = 0;
}

/* --- debug traps --- */

extern const char after_int1[], after_shadow_int1[], after_step[], after_deferred[];

static void int1_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[1] = on_trap;
	write_dr(6, 0xffff0ff0);
	asm volatile(".byte 0xf1; after_int1:" : : : "memory");
	guest_sync_values(1, traps, trap_rip[0], trap_dr6, 0);
}

/* INT1 is a trap: the handler returns behind it, and DR6 is nobody's business. */
static void int1_comes_back_behind_itself(void **state)
{
	struct vcpu *v = guest_new(int1_payload, 0);
	struct guest_report *r;

	(void)state;
	r = expect_sync(v, 1);
	assert_int_equal(r->value[1], 1);
	assert_int_equal(r->value[2], (uintptr_t)after_int1);
	assert_int_equal(r->value[3], 0xffff0ff0);
}

static void shadow_int1_payload(uint64_t arg)
{
	uint64_t ss;

	(void)arg;
	guest_handler[1] = on_trap;
	asm volatile("mov %%ss, %0" : "=r"(ss));
	asm volatile(SET_TF "mov %0, %%ss; .byte 0xf1; after_shadow_int1: nop; nop; " CLEAR_TF
		     :
		     : "r"(ss)
		     : "memory");
	guest_sync_values(1, traps, trap_rip[0], trap_dr6, 0);
}

/* The #DB exit lies in the shadow, with TF set: the entry must still be a legal one. */
static void int1_in_a_shadow_while_stepping(void **state)
{
	struct vcpu *v = guest_new(shadow_int1_payload, 0);
	struct guest_report *r;

	(void)state;
	r = expect_sync(v, 1);
	assert_int_equal(r->value[1], 1);
	assert_int_equal(r->value[2], (uintptr_t)after_shadow_int1);
}

static void shadow_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[1] = on_trap;
	guest_sync(1);
	asm volatile("nop; nop; nop" : : : "memory");
	guest_sync_values(2, traps, trap_dr6, 0, 0);
}

/* Userspace restores a vCPU that stands behind MOV SS and steps. */
static void stepping_in_a_restored_shadow(void **state)
{
	struct vcpu *v = guest_new(shadow_payload, 0);
	struct kvm_vcpu_events e;
	struct kvm_regs regs;
	struct guest_report *r;

	(void)state;
	expect_sync(v, 1);
	complete_exit(v);
	regs = vcpu_regs(v);
	regs.rflags |= TF;
	must(ioctl(v->fd, KVM_SET_REGS, &regs));
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS;
	e.flags |= KVM_VCPUEVENT_VALID_SHADOW;
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	r = expect_sync(v, 2);
	assert_int_equal(r->value[1], 1);
	assert_true(r->value[2] & DR6_BS);
}

static void sticky_payload(uint64_t arg)
{
	static volatile uint32_t watched;

	(void)arg;
	guest_handler[1] = on_trap;
	write_dr(6, 0xffff0ff0 | DR6_BS | 2);
	write_dr(0, &watched);
	write_dr(7, 0x400 | 1 | 0xdUL << 16); /* DR0: writes of four bytes */
	watched = 1;
	write_dr(7, 0x400);
	guest_sync_values(1, traps, trap_dr6, 0, 0);
}

/* The processor never clears BS; B0..B3 say what this trap was. */
static void dr6_step_bit_is_sticky(void **state)
{
	struct vcpu *v = guest_new(sticky_payload, 0);
	struct guest_report *r;

	(void)state;
	r = expect_sync(v, 1);
	assert_int_equal(r->value[1], 1);
	assert_true(r->value[2] & DR6_BS);
	assert_int_equal(r->value[2] & 0xf, DR6_B0);
}

static void step_cpuid_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[1] = on_trap;
	asm volatile("xor %%eax, %%eax; " SET_TF "cpuid; after_step: nop; nop"
		     :
		     :
		     : "eax", "ebx", "ecx", "edx", "memory");
	guest_sync_values(1, traps, trap_rip[0], trap_dr6, 0);
}

static void stepping_over_an_exit(void **state)
{
	struct vcpu *v = guest_new(step_cpuid_payload, 0);
	struct guest_report *r;

	(void)state;
	r = expect_sync(v, 1);
	assert_int_equal(r->value[1], 1);
	assert_int_equal(r->value[2], (uintptr_t)after_step);
	assert_true(r->value[3] & DR6_BS);
}

static void deferred_payload(uint64_t arg)
{
	static volatile uint16_t selector;

	(void)arg;
	guest_handler[1] = on_trap;
	asm volatile("mov %%ss, %0" : "=m"(selector));
	write_dr(6, 0xffff0ff0);
	write_dr(0, &selector);
	write_dr(7, 0x400 | 1 | 0x7UL << 16); /* DR0: reads and writes of two bytes */
	asm volatile("mov %0, %%ss; cpuid; after_deferred: nop"
		     :
		     : "m"(selector), "a"(0)
		     : "ebx", "ecx", "edx", "memory");
	write_dr(7, 0x400);
	guest_sync_values(1, traps, trap_rip[0], trap_dr6, 0);
}

/* MOV SS defers its own data breakpoint behind the next instruction, here one that exits. */
static void breakpoint_deferred_over_an_exit(void **state)
{
	struct vcpu *v = guest_new(deferred_payload, 0);
	struct guest_report *r;

	(void)state;
	r = expect_sync(v, 1);
	assert_int_equal(r->value[1], 1);
	assert_int_equal(r->value[2], (uintptr_t)after_deferred);
	assert_int_equal(r->value[3] & 0xf, DR6_B0);
}

static void on_branch_trap(struct guest_frame *f)
{
	on_trap(f);
	trap_debugctl = rdmsr(DEBUGCTL);
}

static void branch_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[1] = on_branch_trap;
	wrmsr(DEBUGCTL, BTF);
	guest_assert_eq(rdmsr(DEBUGCTL), BTF);
	asm volatile("xor %%eax, %%eax; " SET_TF "cpuid; not_a_branch: nop; jmp 1f; nop; 1: nop"
		     :
		     :
		     : "eax", "ebx", "ecx", "edx", "memory");
	guest_sync_values(1, traps, trap_rip[0], trap_debugctl, 0);
}

extern const char not_a_branch[];

/*
 * With DEBUGCTL.BTF only branches trap, and the trap clears the bit. The lab's emulator traps
 * behind any instruction, BTF or not, so what is looked for is only the one that exits.
 */
static void branch_stepping_over_an_exit(void **state)
{
	struct vcpu *v = guest_new(branch_payload, 0);
	struct guest_report *r;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer ignores DEBUGCTL.BTF");
	r = expect_sync(v, 1);
	assert_int_equal(r->value[1], 1);
	assert_true(r->value[2] > (uintptr_t)not_a_branch);
	assert_int_equal(r->value[3], 0);
}

static void step_hlt_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[1] = on_trap;
	asm volatile(SET_TF "hlt; nop" : : : "memory");
	guest_sync_values(1, traps, trap_dr6, 0, 0);
}

static void stepping_over_hlt(void **state)
{
	struct vcpu *v = guest_new_irqchip(step_hlt_payload, 0);

	(void)state;
	assert_int_equal(expect_sync(v, 1)->value[1], 1);
}

static void step_outs_payload(uint64_t arg)
{
	uint64_t rsi = arg, rcx = 3;

	guest_handler[1] = on_step;
	asm volatile(SET_TF "rep outsb; " CLEAR_TF : "+S"(rsi), "+c"(rcx) : "d"(PORT) : "memory");
	guest_sync_values(1, traps, 0, 0, 0);
}

/* Each iteration traps: three, and one more for each of the three instructions behind them. */
static void stepping_through_rep_outs(void **state)
{
	struct vcpu *v = guest_new(step_outs_payload, GUEST_FREE);
	unsigned int bytes = 0;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer steps over all iterations at once");
	while (vcpu_run(v) == KVM_EXIT_IO && v->run->io.port == PORT)
		bytes += v->run->io.count;
	assert_int_equal(bytes, 3);
	assert_int_equal(v->report->kind, REPORT_SYNC);
	assert_int_equal(v->report->value[1], 6);
}

/* --- events that userspace sets --- */

static volatile uint64_t injected_error = ~0UL;

static void on_gp(struct guest_frame *f)
{
	injected_error = f->error;
}

static void error_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[13] = on_gp;
	guest_sync(1);
	guest_sync_values(2, injected_error, 0, 0, 0);
}

static void set_exception(struct vcpu *v, uint8_t nr, uint32_t error)
{
	struct kvm_vcpu_events e;

	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.exception.injected = 1;
	e.exception.nr = nr;
	e.exception.has_error_code = 1;
	e.exception.error_code = error;
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
}

/* The processor takes 16 bits. */
static void wide_error_code(void **state)
{
	struct vcpu *v = guest_new(error_payload, 0);

	(void)state;
	if (!on_apicvisor())
		skip_because("kvm-intel 6.1 does not cut it");
	expect_sync(v, 1);
	complete_exit(v);
	set_exception(v, 13, 0xabcd1230);
	assert_int_equal(expect_sync(v, 2)->value[1], 0x1230);
}

/* 1000: nop; hlt    1010 (#GP): out %al, $0x55 */
static void error_code_in_real_mode(void **state)
{
	static const uint8_t code[] = { 0x90, 0xf4 };
	static const uint8_t handler[] = { 0xe6, 0x55 };
	struct vcpu *v = vcpu_create(vm_create(), 0);

	(void)state;
	vcpu_real_mode(v, 0x1000, code, sizeof(code));
	memcpy(v->vm->mem + 0x1010, handler, sizeof(handler));
	memcpy(v->vm->mem + 13 * 4, (uint16_t[]){ 0x1010, 0 }, 4);
	set_exception(v, 13, 0);
	expect_pio(v, KVM_EXIT_IO_OUT, 0x55, 1, 1);
	assert_int_equal(vcpu_regs(v).rsp, 0x1000 - 6); /* no error code */
}

static volatile uint64_t nmis;

static void on_nmi(struct guest_frame *f)
{
	(void)f;
	nmis++;
}

static void nmi_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[2] = on_nmi;
	guest_sync(1);
	asm volatile("nop; nop; nop" : : : "memory");
	guest_sync_values(2, nmis, 0, 0, 0);
}

static void nmi_behind_an_sti_shadow(void **state)
{
	struct vcpu *v = guest_new(nmi_payload, 0);
	struct kvm_vcpu_events e;
	struct kvm_regs regs;

	(void)state;
	expect_sync(v, 1);
	complete_exit(v);
	regs = vcpu_regs(v);
	regs.rflags |= 1 << 9;
	must(ioctl(v->fd, KVM_SET_REGS, &regs));
	must(ioctl(v->fd, KVM_NMI));
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	e.flags |= KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING;
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
}

static void mmio_idt_payload(uint64_t arg)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = { 0xfff, arg };

	asm volatile("lidt %0" : : "m"(idtr));
	asm volatile("movq $0, %0; int $0x40"
		     : "=m"(*(volatile uint64_t *)GUEST_FREE)
		     :
		     : "memory");
	guest_sync(1);
}

/* The IDT is in no memory: an error that names the event, not the instruction emulated. */
static void idt_outside_memory(void **state)
{
	struct vcpu *v = guest_new(mmio_idt_payload, GUEST_MMIO);

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer reports a failed emulation");
	expect_exit(v, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(v->run->internal.suberror, KVM_INTERNAL_ERROR_DELIVERY_EV);
	assert_true(v->run->internal.ndata >= 3);
	assert_int_equal(v->run->internal.data[0] & 0x800000ff, 0x80000040);
}

/* --- I/O that userspace answers with other registers --- */

static void mmio_payload(uint64_t arg)
{
	uint64_t rax = 1, rbx = 2;

	asm volatile("mov (%2), %0" : "+a"(rax), "+b"(rbx) : "r"(arg) : "memory");
	guest_sync_values(1, rax, rbx, 0, 0);
}

static void other_payload(uint64_t arg)
{
	guest_sync(arg);
}

/* A reset by userspace, in the middle of an MMIO read: the old instruction is history. */
static void reset_during_mmio(void **state)
{
	struct vcpu *v = guest_new(mmio_payload, GUEST_MMIO);

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer wants the exit completed first");
	expect_mmio(v, false, GUEST_MMIO, 8);
	vcpu_long_mode(v, other_payload, 77);
	expect_sync(v, 77);
	expect_done(v);
}

static void registers_set_during_mmio(void **state)
{
	struct vcpu *v = guest_new(mmio_payload, GUEST_MMIO);
	struct guest_report *r;
	struct kvm_regs regs;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer wants the exit completed first");
	memset(expect_mmio(v, false, GUEST_MMIO, 8), 0x5a, 8);
	regs = vcpu_regs(v);
	regs.rbx = 0x1234;
	must(ioctl(v->fd, KVM_SET_REGS, &regs));
	r = expect_sync(v, 1);
	assert_int_equal(r->value[1], 0x5a5a5a5a5a5a5a5aUL);
	assert_int_equal(r->value[2], 0x1234);
}

static void in_payload(uint64_t arg)
{
	(void)arg;
	guest_sync_values(1, inb(PORT), 0, 0, 0);
}

static void reset_during_in(void **state)
{
	struct vcpu *v = guest_new(in_payload, 0);

	(void)state;
	*(uint8_t *)expect_pio(v, KVM_EXIT_IO_IN, PORT, 1, 1) = 0x99;
	vcpu_long_mode(v, other_payload, 78);
	complete_exit(v);
	assert_int_equal(vcpu_regs(v).rax, 0);
	expect_sync(v, 78);
}

static void ins_payload(uint64_t arg)
{
	uint64_t rdi = arg, rcx = 4;

	asm volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(PORT) : "memory");
	guest_sync(1);
}

static void reset_during_ins(void **state)
{
	struct vcpu *v = guest_new(ins_payload, GUEST_FREE);

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer wants the exit completed first");
	memset(expect_pio(v, KVM_EXIT_IO_IN, PORT, 1, 4), 0x99, 4);
	vcpu_long_mode(v, other_payload, 79);
	expect_sync(v, 79);
	expect_done(v);
}

/* --- strings between ports and MMIO --- */

static void outs_mmio_payload(uint64_t arg)
{
	uint64_t rsi = arg, rcx = 2;

	asm volatile("rep outsw" : "+S"(rsi), "+c"(rcx) : "d"(PORT) : "memory");
	guest_assert_eq(rsi, arg + 4);
	guest_assert_eq(rcx, 0);
	guest_sync(1);
}

static void outs_from_mmio(void **state)
{
	struct vcpu *v = guest_new(outs_mmio_payload, GUEST_MMIO);

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		memset(expect_mmio(v, false, GUEST_MMIO + 2 * i, 2), 0x70 + i, 2);
		assert_memory_equal(expect_pio(v, KVM_EXIT_IO_OUT, PORT, 2, 1),
				    &(uint16_t){ 0x7070 + 0x101 * i }, 2);
	}
	expect_sync(v, 1);
}

static void ins_mmio_payload(uint64_t arg)
{
	uint64_t rdi = arg, rcx = 2;

	asm volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(PORT) : "memory");
	guest_assert_eq(rdi, arg + 2);
	guest_sync(1);
}

static void ins_to_mmio(void **state)
{
	struct vcpu *v = guest_new(ins_mmio_payload, GUEST_MMIO);

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer reads ports ahead");
	for (unsigned int i = 0; i < 2; i++) {
		*(uint8_t *)expect_pio(v, KVM_EXIT_IO_IN, PORT, 1, 1) = 0x30 + i;
		assert_int_equal(*(uint8_t *)expect_mmio(v, true, GUEST_MMIO + i, 1), 0x30 + i);
	}
	expect_sync(v, 1);
}

/* --- the task register --- */

/*
 * mov $0x20,%eax; mov %eax,%cr4; mov $0x1000,%eax; mov %eax,%cr3; mov $0xc0000080,%ecx; rdmsr;
 * or $0x100,%eax; wrmsr; mov %cr0,%eax; or $0x80000000,%eax; mov %eax,%cr0; out %al,$0x55
 */
static const uint8_t to_long_mode[] = {
	0xb8, 0x20, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22,
	0xd8, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30,
	0x0f, 0x20, 0xc0, 0x0d, 0x00, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, 0xe6, 0x55,
};

/* A 16-bit TSS stays in TR until LTR; the processor's checks know no such long mode. */
static void long_mode_with_a_16_bit_tss(void **state)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct kvm_sregs s;

	(void)state;
	vcpu_long_mode(v, other_payload, 0); /* for its page tables */
	must(ioctl(v->fd, KVM_GET_SREGS, &s));
	s.cr0 &= ~(1UL << 31);
	s.cr4 = 0;
	s.efer = 0;
	s.cs.l = 0;
	s.cs.db = 1;
	must(ioctl(v->fd, KVM_SET_SREGS, &s));
	vcpu_protected_mode(v, GUEST_BLOB, to_long_mode, sizeof(to_long_mode));
	must(ioctl(v->fd, KVM_GET_SREGS, &s));
	s.tr.type = 3;
	must(ioctl(v->fd, KVM_SET_SREGS, &s));
	expect_pio(v, KVM_EXIT_IO_OUT, 0x55, 1, 1);
}

/* --- the host's protection keys --- */

static uint32_t rdpkru(void)
{
	uint32_t eax, edx;

	asm volatile(".byte 0x0f, 0x01, 0xee" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax;
}

static void wrpkru(uint32_t pkru)
{
	asm volatile(".byte 0x0f, 0x01, 0xef" : : "a"(pkru), "c"(0), "d"(0) : "memory");
}

/*
 * XSAVE reaches PKRU by XCR0 alone, whatever CR4.PKE says. The component's offset comes from CPUID.
 */
static void pkru_payload(uint64_t arg)
{
	uint8_t *area = (uint8_t *)GUEST_FREE;
	volatile uint32_t *pkru;
	uint32_t r[4];

	(void)arg;
	asm volatile("xsetbv" : : "c"(0), "a"(0x203), "d"(0));
	guest_cpuid(0xd, 9, r);
	pkru = (volatile uint32_t *)(area + r[1]);
	asm volatile("xsave (%0)" : : "r"(area), "a"(0x200), "d"(0) : "memory");
	/* the initial value, unless the header says that it is in the area */
	guest_assert_eq(*(uint64_t *)(area + 512) & 0x200 ? *pkru : 0, 0);
	*(uint64_t *)(area + 512) = 0x200;
	*pkru = 0x50;
	asm volatile("xrstor (%0)" : : "r"(area), "a"(0x200), "d"(0) : "memory");
	guest_sync(1);
	*pkru = 0;
	asm volatile("xsave (%0)" : : "r"(area), "a"(0x200), "d"(0) : "memory");
	guest_assert_eq(*pkru, 0x50);
	guest_sync(2);
}

static bool have_pkru(void)
{
	uint32_t a, b, c, d;

	asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
	return c & 1 << 4; /* OSPKE */
}

static void pkru_is_not_shared_through_xsave(void **state)
{
	struct vcpu *v;
	uint32_t host;

	(void)state;
	if (!have_pkru())
		skip_because("no protection keys here");
	v = guest_new(pkru_payload, 0);
	host = rdpkru() | 0xc;
	wrpkru(host);
	expect_sync(v, 1);
	assert_int_equal(rdpkru(), host);
	expect_sync(v, 2);
	assert_int_equal(rdpkru(), host);
}

static const struct CMUnitTest tests[] = {
	TEST(int1_comes_back_behind_itself),
	TEST(int1_in_a_shadow_while_stepping),
	TEST(stepping_in_a_restored_shadow),
	TEST(dr6_step_bit_is_sticky),
	TEST(stepping_over_an_exit),
	TEST(breakpoint_deferred_over_an_exit),
	TEST(branch_stepping_over_an_exit),
	TEST(stepping_over_hlt),
	TEST(stepping_through_rep_outs),
	TEST(wide_error_code),
	TEST(error_code_in_real_mode),
	TEST(nmi_behind_an_sti_shadow),
	TEST(idt_outside_memory),
	TEST(reset_during_mmio),
	TEST(registers_set_during_mmio),
	TEST(reset_during_in),
	TEST(reset_during_ins),
	TEST(outs_from_mmio),
	TEST(ins_to_mmio),
	TEST(long_mode_with_a_16_bit_tss),
	TEST(pkru_is_not_shared_through_xsave),
};

TEST_MAIN("guest_vmx", tests)
