// SPDX-License-Identifier: GPL-2.0-only
/*
 * State that must survive: FPU and vector registers over exits and between vCPUs on one CPU, debug
 * registers and what they do, the registers as userspace reads them in mid-run, and CPUID as it was
 * set. (Which writes are #GP: test_regs.c; the calls alone: abi/test_vcpu.c.)
 */
#include <sched.h>
#include "kvmtest.h"

/* --- FPU --- */

static void load_xmm(uint64_t seed)
{
	asm volatile("movq %0, %%xmm0; movq %1, %%xmm7; movq %2, %%xmm15; movq %3, %%mm3"
		     :
		     : "r"(seed), "r"(seed + 1), "r"(seed + 2), "r"(seed + 3));
}

static void check_xmm(uint64_t seed)
{
	uint64_t a, b, c, d;

	asm volatile("movq %%xmm0, %0; movq %%xmm7, %1; movq %%xmm15, %2; movq %%mm3, %3"
		     : "=r"(a), "=r"(b), "=r"(c), "=r"(d));
	guest_assert_eq(a, seed);
	guest_assert_eq(b, seed + 1);
	guest_assert_eq(c, seed + 2);
	guest_assert_eq(d, seed + 3);
}

static void fpu_payload(uint64_t seed)
{
	for (uint64_t i = 0; i < 50; i++) {
		load_xmm(seed + 16 * i);
		guest_sync(i + 1);
		check_xmm(seed + 16 * i);
	}
}

/* The host uses its own registers between the exits; two guests share one CPU. */
static void fpu_survives_exits(void **state)
{
	struct vcpu *a = guest_new(fpu_payload, 0x1111000), *b = guest_new(fpu_payload, 0x2222000);

	(void)state;
	for (uint64_t i = 1; i <= 50; i++) {
		expect_sync(a, i);
		asm volatile("pcmpeqb %xmm0, %xmm0; pcmpeqb %xmm7, %xmm7; pcmpeqb %xmm15, %xmm15");
		expect_sync(b, i);
	}
	expect_done(a);
	expect_done(b);
}

static void fpu_spin_payload(uint64_t seed)
{
	load_xmm(seed);
	for (uint64_t end = rdtsc() + 20000000; rdtsc() < end;)
		check_xmm(seed);
}

/* Four vCPUs preempt each other on one CPU. */
static void fpu_survives_preemption(void **state)
{
	struct vm *vm = vm_create();
	cpu_set_t one, before;

	(void)state;
	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one); /* threads inherit it */
	for (unsigned int i = 0; i < 4; i++)
		vcpu_long_mode(vcpu_create(vm, i), fpu_spin_payload, 0x5550000UL * (i + 1));
	for (int i = 0; i < 4; i++)
		vcpu_start(vm->vcpu[i]);
	for (int i = 0; i < 4; i++)
		vcpu_join(vm->vcpu[i]);
	sched_setaffinity(0, sizeof(before), &before);
}

/* What userspace sets the guest finds, and what the guest leaves userspace reads. */
static void xsave_payload(uint64_t arg)
{
	uint64_t xmm1;

	(void)arg;
	asm volatile("movq %%xmm1, %0" : "=r"(xmm1));
	guest_assert_eq(xmm1, 0xfeedface12345678UL);
	asm volatile("movq %0, %%xmm1" : : "r"(0x123456789abcdef0UL));
	guest_sync(1);
}

static void xsave_reaches_the_guest(void **state)
{
	struct vcpu *v = guest_new(xsave_payload, 0);
	struct kvm_xsave x;
	uint64_t *xmm1 = (uint64_t *)((uint8_t *)&x + 160 + 16);

	(void)state;
	must(ioctl(v->fd, KVM_GET_XSAVE, &x));
	x.region[512 / 4] |= 3;
	*xmm1 = 0xfeedface12345678UL;
	must(ioctl(v->fd, KVM_SET_XSAVE, &x));
	expect_sync(v, 1);
	must(ioctl(v->fd, KVM_GET_XSAVE, &x));
	assert_int_equal(*xmm1, 0x123456789abcdef0UL);
}

/* A guest that has not used SSE yet has its own MXCSR all the same, not its VMM's. */
#define MXCSR_INITIAL 0x1f80u
#define MXCSR_INEXACT 0x1fa0u

static void mxcsr_payload(uint64_t arg)
{
	uint32_t mxcsr;

	(void)arg;
	asm volatile("stmxcsr %0" : "=m"(mxcsr));
	guest_assert_eq(mxcsr, MXCSR_INITIAL);
}

static void mxcsr_is_the_guests(void **state)
{
	struct vcpu *v = guest_new(mxcsr_payload, 0);
	uint32_t mxcsr = MXCSR_INEXACT;

	(void)state;
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
	expect_done(v);
	asm volatile("stmxcsr %0" : "=m"(mxcsr));
	assert_int_equal(mxcsr, MXCSR_INEXACT);
}

/* AVX: the upper halves are a component of their own. */
static void avx_payload(uint64_t arg)
{
	uint32_t r[4];
	uint64_t high;

	guest_cpuid(1, 0, r);
	guest_assert(r[2] & 1u << 27); /* OSXSAVE follows CR4 */
	asm volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
	asm volatile("vmovq %0, %%xmm2; vinsertf128 $1, %%xmm2, %%ymm2, %%ymm2" : : "r"(arg));
	guest_sync(1);
	asm volatile("vextractf128 $1, %%ymm2, %%xmm3; vmovq %%xmm3, %0" : "=r"(high));
	guest_assert_eq(high, arg);
	guest_cpuid(0xd, 0, r);
	guest_sync_values(2, r[1], 0, 0, 0); /* EBX: size for what XCR0 enables */
}

static void avx_state(void **state)
{
	struct vcpu *v;
	struct kvm_xcrs xcrs;
	int fd = dev_open();
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 100 * sizeof(c->entries[0]));
	bool avx = false;

	(void)state;
	c->nent = 100;
	must(ioctl(fd, KVM_GET_SUPPORTED_CPUID, c));
	close(fd);
	for (uint32_t i = 0; i < c->nent; i++)
		avx |= c->entries[i].function == 1 && c->entries[i].ecx & 1u << 28;
	free(c);
	if (!avx)
		skip_because("no AVX here");
	v = guest_new(avx_payload, 0x7777000011112222UL);
	expect_sync(v, 1);
	asm volatile("pcmpeqb %xmm2, %xmm2");
	assert_int_equal(expect_sync(v, 2)->value[1], 576 + 256);
	must(ioctl(v->fd, KVM_GET_XCRS, &xcrs));
	assert_int_equal(xcrs.xcrs[0].value, 7);
}

/* --- debug registers --- */

static volatile uint64_t db_rip, db_dr6, db_count;
static volatile uint64_t watched;

static void on_db(struct guest_frame *f)
{
	db_count++;
	db_rip = f->rip;
	db_dr6 = read_dr(6);
	write_dr(6, 0xffff0ff0);
	f->rflags |= 1u << 16; /* RF: past an instruction breakpoint */
	f->rflags &= ~(1UL << 8);
}

extern const char breakpoint_here[];

static void debug_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[1] = on_db;
	guest_assert_eq(read_dr(7), 0x400);
	write_dr(0, (uint64_t)&watched);
	write_dr(1, (uint64_t)breakpoint_here);
	write_dr(7, 0x400 | 0xd0002 | 0x8); /* DR0: write, 4 bytes; DR1: execute */
	guest_sync(1);                      /* they survive an exit */
	guest_assert_eq(read_dr(0), (uint64_t)&watched);
	guest_assert_eq(read_dr(7) & 0xd000a, 0xd000a);
	*(volatile uint32_t *)&watched = 1;
	guest_assert_eq(db_count, 1);
	guest_assert_eq(db_dr6 & 0xf, 1);
	asm volatile("breakpoint_here: nop");
	guest_assert_eq(db_count, 2);
	guest_assert_eq(db_dr6 & 0xf, 2);
	guest_assert_eq(db_rip, (uint64_t)breakpoint_here);
	write_dr(7, 0x400);
	asm volatile("pushf; orq $0x100, (%%rsp); popf; nop" : : : "memory", "cc"); /* TF */
	guest_assert_eq(db_count, 3);
	guest_assert_eq(db_dr6 & 0x4000, 0x4000);
}

static void guest_breakpoints(void **state)
{
	struct vcpu *v = guest_new(debug_payload, 0);
	struct kvm_debugregs d;

	(void)state;
	expect_sync(v, 1);
	must(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	assert_int_equal(d.db[0], (uintptr_t)&watched);
	assert_int_equal(d.db[1], (uintptr_t)breakpoint_here);
	assert_int_equal(d.dr7 & 0xd000a, 0xd000a);
	expect_done(v);
}

/* --- registers in mid-run --- */

static void registers_payload(uint64_t arg)
{
	(void)arg;
	asm volatile("mov $0x1111, %%rbx; mov $0x2222, %%rsi; mov $0x3333, %%r8;"
		     "mov $0x4444, %%r15; mov $0x5555, %%rax; out %%al, $0x80;"
		     "mov %%rbx, %%rdi"
		     :
		     :
		     : "rax", "rbx", "rsi", "rdi", "r8", "r15");
	write_cr(2, 0x123000);
	guest_sync(1);
	wrmsr(0xc0000100, 0x7f0000001000UL); /* FS base */
	wrmsr(0xc0000102, 0x7f0000002000UL); /* KERNEL_GS_BASE */
	asm volatile("swapgs");
	guest_sync(2);
}

static void userspace_sees_the_guests_registers(void **state)
{
	struct vcpu *v = guest_new(registers_payload, 0);
	struct kvm_sregs s;
	struct kvm_regs r;

	(void)state;
	expect_pio(v, KVM_EXIT_IO_OUT, 0x80, 1, 1);
	r = vcpu_regs(v);
	assert_int_equal(r.rbx, 0x1111);
	assert_int_equal(r.rsi, 0x2222);
	assert_int_equal(r.r8, 0x3333);
	assert_int_equal(r.r15, 0x4444);
	assert_int_equal(r.rax, 0x5555);
	expect_sync(v, 1);
	must(ioctl(v->fd, KVM_GET_SREGS, &s));
	assert_int_equal(s.cr2, 0x123000);
	assert_int_equal(s.efer, 0xd01);
	assert_int_equal(s.cs.l, 1);
	assert_int_equal(s.idt.base, GUEST_IDT);
	expect_sync(v, 2);
	must(ioctl(v->fd, KVM_GET_SREGS, &s));
	assert_int_equal(s.fs.base, 0x7f0000001000UL);
	assert_int_equal(s.gs.base, 0x7f0000002000UL); /* swapped in */
	assert_int_equal(vcpu_get_msr(v, 0xc0000102), 0);
}

/* A vCPU's whole state in another VM: what a snapshot does. */
static void migrate_payload(uint64_t arg)
{
	uint64_t local = arg * 3;

	load_xmm(arg);
	guest_sync(1);
	check_xmm(arg);
	guest_assert_eq(local, arg * 3);
	guest_sync(2);
}

static void state_moves_to_another_vm(void **state)
{
	struct vcpu *a = guest_new(migrate_payload, 0x77), *b = guest_new(migrate_payload, 0);
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;

	(void)state;
	expect_sync(a, 1);
	a->run->immediate_exit = 1; /* completes the OUT */
	assert_int_equal(vcpu_run_raw(a), -EINTR);
	must(ioctl(a->fd, KVM_GET_REGS, &regs));
	must(ioctl(a->fd, KVM_GET_SREGS, &sregs));
	must(ioctl(a->fd, KVM_GET_XSAVE, &xsave));
	must(ioctl(a->fd, KVM_GET_VCPU_EVENTS, &events));
	must(ioctl(a->fd, KVM_GET_DEBUGREGS, &debug));
	memcpy(b->vm->mem, a->vm->mem, a->vm->mem_size);
	must(ioctl(b->fd, KVM_SET_SREGS, &sregs));
	must(ioctl(b->fd, KVM_SET_REGS, &regs));
	must(ioctl(b->fd, KVM_SET_XSAVE, &xsave));
	must(ioctl(b->fd, KVM_SET_VCPU_EVENTS, &events));
	must(ioctl(b->fd, KVM_SET_DEBUGREGS, &debug));
	vm_free(a->vm);
	expect_sync(b, 2);
	expect_done(b);
}

/* --- CPUID --- */

static void cpuid_payload(uint64_t arg)
{
	uint32_t r[4];

	(void)arg;
	guest_cpuid(0x40000000, 0, r);
	guest_assert_eq(r[1], 0x73747361);
	guest_cpuid(0x40000001, 0, r);
	guest_assert_eq(r[0], 0x11);
	guest_cpuid(4, 1, r);
	guest_assert_eq(r[0], 0x22);
	guest_cpuid(4, 2, r);
	guest_assert_eq(r[0], 0x33);
	guest_cpuid(4, 3, r); /* a subleaf nobody set */
	guest_assert_eq(r[0], 0);
	guest_cpuid(0x40000001, 77, r); /* the index does not matter here */
	guest_assert_eq(r[0], 0x11);
}

static void cpuid_is_what_was_set(void **state)
{
	struct vcpu *v = vcpu_create_bare(vm_create(), 0);
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 110 * sizeof(c->entries[0]));
	int fd = dev_open();
	uint32_t n = 0;

	(void)state;
	c->nent = 100;
	must(ioctl(fd, KVM_GET_SUPPORTED_CPUID, c));
	close(fd);
	for (uint32_t i = 0; i < c->nent; i++) {
		uint32_t leaf = c->entries[i].function;

		if (leaf != 4 && (leaf & 0xf0000000) != 0x40000000)
			c->entries[n++] = c->entries[i];
	}
	c->entries[n++] = (struct kvm_cpuid_entry2){ .function = 0x40000000,
						     .eax = 0x40000001,
						     .ebx = 0x73747361 };
	c->entries[n++] = (struct kvm_cpuid_entry2){ .function = 0x40000001, .eax = 0x11 };
	c->entries[n++] =
		(struct kvm_cpuid_entry2){ .function = 4, .index = 1, .flags = 1, .eax = 0x22 };
	c->entries[n++] =
		(struct kvm_cpuid_entry2){ .function = 4, .index = 2, .flags = 1, .eax = 0x33 };
	c->nent = n;
	must(ioctl(v->fd, KVM_SET_CPUID2, c));
	free(c);
	vcpu_long_mode(v, cpuid_payload, 0);
	expect_done(v);
}

static const struct CMUnitTest tests[] = {
	TEST(mxcsr_is_the_guests),
	TEST(fpu_survives_exits),
	TEST(fpu_survives_preemption),
	TEST(xsave_reaches_the_guest),
	TEST(avx_state),
	TEST(guest_breakpoints),
	TEST(userspace_sees_the_guests_registers),
	TEST(state_moves_to_another_vm),
	TEST(cpuid_is_what_was_set),
};

TEST_MAIN("guest_state", tests)
