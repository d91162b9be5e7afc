// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests in each processor mode, and the ways out of KVM_RUN that are not I/O: HLT, a signal,
 * immediate_exit, SHUTDOWN, INTERNAL_ERROR. (A failed VM entry has its own suite: test_entry.c.)
 */
#include <signal.h>
#include <time.h>
#include "kvmtest.h"

#define BLOB(name) extern const char name[], name##_end[]

BLOB(real_hello);
asm(".pushsection .rodata\n"
    ".code16\n"
    "real_hello:\n"
    "	mov $'H', %al\n"
    "	out %al, $0xea\n"
    "	mov $'i', %al\n"
    "	mov $0x3f8, %dx\n"
    "	out %al, %dx\n"
    "	mov $0x1234, %ax\n"
    "	mov %ax, %ds\n"
    "	movb $0x5a, 7\n" /* to 0x12347 */
    "	hlt\n"
    "	jmp real_hello\n"
    "real_hello_end:\n"
    ".code64\n"
    ".popsection");

static void real_mode(void **state)
{
	struct vm *vm = vm_create();
	struct vcpu *v = vcpu_create(vm, 0);

	(void)state;
	vcpu_real_mode(v, 0x1000, real_hello, (size_t)(real_hello_end - real_hello));
	assert_int_equal(*(char *)expect_pio(v, KVM_EXIT_IO_OUT, 0xea, 1, 1), 'H');
	assert_int_equal(*(char *)expect_pio(v, KVM_EXIT_IO_OUT, 0x3f8, 1, 1), 'i');
	expect_exit(v, KVM_EXIT_HLT);
	assert_int_equal(vm->mem[0x12347], 0x5a);
	/* after HLT the guest goes on behind it */
	assert_int_equal(*(char *)expect_pio(v, KVM_EXIT_IO_OUT, 0xea, 1, 1), 'H');
}

/* From the reset vector itself: the last 16 bytes below 4 GiB. */
static void reset_vector(void **state)
{
	static const uint8_t code[16] = { 0xb0, 0x42, 0xe6, 0x80,
					  0xf4 }; /* mov al; out 0x80; hlt */
	struct vm *vm = vm_create();
	struct vcpu *v = vcpu_create(vm, 0);
	uint8_t *rom = map_anon(0x10000);

	(void)state;
	memcpy(rom + 0xfff0, code, sizeof(code));
	vm_set_slot(vm, 1, 0, 0xffff0000, 0x10000, rom);
	assert_int_equal(*(uint8_t *)expect_pio(v, KVM_EXIT_IO_OUT, 0x80, 1, 1), 0x42);
	expect_exit(v, KVM_EXIT_HLT);
	munmap(rom, 0x10000);
}

BLOB(protected_hello);
asm(".pushsection .rodata\n"
    ".code32\n"
    "protected_hello:\n"
    "	mov $0x12345678, %eax\n"
    "	out %eax, $0x80\n"
    "	mov $0x900000, %ebx\n"
    "	mov %eax, (%ebx)\n"
    "	addl $1, (%ebx)\n"
    "	push %ebx\n"
    "	pop %ecx\n"
    "	hlt\n"
    "protected_hello_end:\n"
    ".code64\n"
    ".popsection");

static void protected_mode(void **state)
{
	struct vm *vm = vm_create();
	struct vcpu *v = vcpu_create(vm, 0);

	(void)state;
	vcpu_protected_mode(v, 0x10000, protected_hello,
			    (size_t)(protected_hello_end - protected_hello));
	assert_int_equal(*(uint32_t *)expect_pio(v, KVM_EXIT_IO_OUT, 0x80, 4, 1), 0x12345678);
	expect_exit(v, KVM_EXIT_HLT);
	assert_int_equal(*(uint32_t *)(vm->mem + 0x900000), 0x12345679);
	assert_int_equal(vcpu_regs(v).rcx, 0x900000);
}

static void long_mode_payload(uint64_t arg)
{
	uint64_t high;

	guest_assert_eq(arg, 0xabcdef0123456789UL);
	asm volatile("mov %1, %%r15; shl $4, %%r15; mov %%r15, %0" : "=r"(high) : "r"(arg) : "r15");
	guest_sync_values(1, high, 2, 3, 4);
	guest_sync(2);
}

static void long_mode(void **state)
{
	struct vcpu *v = guest_new(long_mode_payload, 0xabcdef0123456789UL);
	struct guest_report *r = expect_sync(v, 1);

	(void)state;
	assert_int_equal(r->value[1], 0xbcdef01234567890UL);
	assert_int_equal(r->value[4], 4);
	expect_sync(v, 2);
	expect_done(v);
}

/* The guest itself goes from real mode to 64-bit mode, reporting on the way. */
BLOB(climb);
asm(".pushsection .rodata\n"
    ".code16\n"
    "climb:\n"
    "	cli\n"
    "	mov $16, %al\n"
    "	out %al, $0x80\n"
    "	lgdtl climb_gdtr - climb + 0x1000\n"
    "	mov %cr0, %eax\n"
    "	or $1, %eax\n"
    "	mov %eax, %cr0\n"
    "	ljmpl $0x18, $(climb32 - climb + 0x1000)\n"
    ".code32\n"
    "climb32:\n"
    "	mov $0x10, %ax\n"
    "	mov %ax, %ds\n"
    "	mov %ax, %ss\n"
    "	mov $32, %al\n"
    "	out %al, $0x80\n"
    "	mov %cr4, %eax\n"
    "	or $0x20, %eax\n" /* PAE */
    "	mov %eax, %cr4\n"
    "	mov $0x5000, %eax\n"
    "	mov %eax, %cr3\n"
    "	mov $0xc0000080, %ecx\n"
    "	rdmsr\n"
    "	or $0x100, %eax\n" /* LME */
    "	wrmsr\n"
    "	mov %cr0, %eax\n"
    "	or $0x80000000, %eax\n"
    "	mov %eax, %cr0\n"
    "	rdmsr\n"
    "	out %eax, $0x80\n" /* LMA is on now */
    "	ljmpl $0x08, $(climb64 - climb + 0x1000)\n"
    ".code64\n"
    "climb64:\n"
    "	mov $0x123456789abcdef0, %rax\n"
    "	shr $32, %rax\n"
    "	out %eax, $0x80\n"
    "	hlt\n"
    "	.balign 8\n"
    "climb_gdtr:\n"
    "	.word 0x1f\n"
    "	.long climb_gdt - climb + 0x1000\n"
    "	.balign 8\n"
    "climb_gdt:\n"
    "	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff\n"
    "climb_end:\n"
    ".popsection");

static void from_real_to_long_mode(void **state)
{
	struct vm *vm = vm_create();
	struct vcpu *v = vcpu_create(vm, 0);
	uint64_t *table = (uint64_t *)(vm->mem + 0x5000);

	(void)state;
	table[0] = 0x6003; /* PML4 -> PDPT -> PD -> the first 2 MiB */
	table[512] = 0x7003;
	table[1024] = 0x83;
	vcpu_real_mode(v, 0x1000, climb, (size_t)(climb_end - climb));
	assert_int_equal(*(uint8_t *)expect_pio(v, KVM_EXIT_IO_OUT, 0x80, 1, 1), 16);
	assert_int_equal(*(uint8_t *)expect_pio(v, KVM_EXIT_IO_OUT, 0x80, 1, 1), 32);
	assert_int_equal(*(uint32_t *)expect_pio(v, KVM_EXIT_IO_OUT, 0x80, 4, 1), 0x500);
	assert_int_equal(*(uint32_t *)expect_pio(v, KVM_EXIT_IO_OUT, 0x80, 4, 1), 0x12345678);
	expect_exit(v, KVM_EXIT_HLT);
}

/* PAE paging: the four page-directory pointers are processor state (SDM "PAE Paging"). */
static void pae_paging(void **state)
{
	static const uint8_t code[] = {
		0xa1, 0x00, 0x00, 0x00, 0x40, /* mov 0x40000000, %eax */
		0xe7, 0x80,                   /* out %eax, $0x80 */
		0xf4,
	};
	struct vm *vm = vm_create();
	struct vcpu *v = vcpu_create(vm, 0);
	uint64_t *pdpt = (uint64_t *)(vm->mem + 0x5000), *pd = (uint64_t *)(vm->mem + 0x6000);
	struct kvm_sregs s;

	(void)state;
	vcpu_protected_mode(v, 0x10000, code, sizeof(code));
	pdpt[0] = 0x6001;
	pdpt[1] = 0x7001;
	pd[0] = 0x83;       /* 0 -> 0 */
	pd[512] = 0x800083; /* 1 GiB -> 8 MiB */
	*(uint32_t *)(vm->mem + 0x800000) = 0xcafe1234;
	must(ioctl(v->fd, KVM_GET_SREGS, &s));
	s.cr0 |= 0x80000000;
	s.cr3 = 0x5000;
	s.cr4 |= 0x20;
	must(ioctl(v->fd, KVM_SET_SREGS, &s));
	assert_int_equal(*(uint32_t *)expect_pio(v, KVM_EXIT_IO_OUT, 0x80, 4, 1), 0xcafe1234);
	expect_exit(v, KVM_EXIT_HLT);
}

/* --- ends --- */

static void triple_fault_payload(uint64_t arg)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) empty = { 0, 0 };

	(void)arg;
	guest_sync(1);
	asm volatile("lidt %0; ud2" : : "m"(empty));
}

static void triple_fault_is_shutdown(void **state)
{
	struct vcpu *v = guest_new(triple_fault_payload, 0);

	(void)state;
	expect_sync(v, 1);
	expect_exit(v, KVM_EXIT_SHUTDOWN);
}

static void halt_payload(uint64_t arg)
{
	(void)arg;
	hlt();
	guest_sync(1);
}

static void hlt_exits_without_irqchip(void **state)
{
	struct vcpu *v = guest_new(halt_payload, 0);

	(void)state;
	expect_exit(v, KVM_EXIT_HLT);
	expect_sync(v, 1);
}

static void spin_payload(uint64_t arg)
{
	volatile uint64_t *counter = (uint64_t *)arg;

	for (;;)
		++*counter;
}

static void arm_signal(int signal_number, long ns)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal_number };
	struct itimerspec when = { .it_value.tv_nsec = ns };
	static timer_t timer;
	static bool created;

	if (!created)
		assert_return_code(timer_create(CLOCK_MONOTONIC, &event, &timer), errno);
	created = true;
	assert_return_code(timer_settime(timer, 0, &when, NULL), errno);
}

static void signal_ends_run(void **state)
{
	struct vcpu *v = guest_new(spin_payload, GUEST_FREE);
	uint64_t before;

	(void)state;
	for (int i = 0; i < 3; i++) {
		before = *(uint64_t *)(v->vm->mem + GUEST_FREE);
		arm_signal(SIGUSR1, 10 * 1000 * 1000);
		assert_int_equal(vcpu_run_raw(v), -EINTR);
		assert_int_equal(v->run->exit_reason, KVM_EXIT_INTR);
		assert_true(*(uint64_t *)(v->vm->mem + GUEST_FREE) > before);
	}
}

/* A signal that is blocked outside is let in during KVM_RUN alone. */
static void signal_mask_holds_during_run(void **state)
{
	struct vcpu *v = guest_new(spin_payload, GUEST_FREE);
	struct {
		struct kvm_signal_mask head;
		uint8_t set[8];
	} mask = { .head.len = 8 };
	sigset_t block, pending;

	(void)state;
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, NULL);
	must(ioctl(v->fd, KVM_SET_SIGNAL_MASK, &mask)); /* empty: everything may interrupt */
	raise(SIGUSR1);
	assert_int_equal(vcpu_run_raw(v), -EINTR);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGUSR1)); /* not consumed: its handler is the caller's */
	must(ioctl(v->fd, KVM_SET_SIGNAL_MASK, NULL));
	sigprocmask(SIG_UNBLOCK, &block, NULL);
}

static void immediate_exit_payload(uint64_t arg)
{
	(void)arg;
	guest_assert_eq(inb(0x77), 0x99);
	guest_sync(1);
}

/* It returns at once, but not before the last exit is completed: needed for consistent state. */
static void immediate_exit(void **state)
{
	struct vcpu *v = guest_new(immediate_exit_payload, 0);
	uint64_t rip;

	(void)state;
	v->run->immediate_exit = 1;
	rip = vcpu_regs(v).rip;
	assert_int_equal(vcpu_run_raw(v), -EINTR);
	assert_int_equal(vcpu_regs(v).rip, rip);
	v->run->immediate_exit = 0;
	*(uint8_t *)expect_pio(v, KVM_EXIT_IO_IN, 0x77, 1, 1) = 0x99;
	rip = vcpu_regs(v).rip;
	v->run->immediate_exit = 1;
	assert_int_equal(vcpu_run_raw(v), -EINTR);
	assert_int_equal(vcpu_regs(v).rax & 0xff, 0x99);
	v->run->immediate_exit = 0;
	expect_sync(v, 1);
}

/* --- what no decoder knows --- */

static const uint8_t aesenc[] = { 0x66, 0x0f, 0x38, 0xdc, 0x00 }; /* aesenc (%rax), %xmm0 */

static void undecodable_payload(uint64_t arg)
{
	guest_sync(1);
	asm volatile(".byte 0x66, 0x0f, 0x38, 0xdc, 0x00" : : "a"(arg) : "memory");
	guest_sync(2);
}

static void undecodable_mmio_is_internal_error(void **state)
{
	struct vcpu *v = guest_new(undecodable_payload, GUEST_MMIO);
	struct kvm_run *run = v->run;
	uint64_t rip;

	(void)state;
	expect_sync(v, 1);
	expect_exit(v, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	assert_true(run->emulation_failure.ndata >= 3); /* flags, and 16 bytes of instruction */
	assert_true(run->emulation_failure.flags &
		    KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	assert_in_range(run->emulation_failure.insn_size, sizeof(aesenc), 15);
	assert_memory_equal(run->emulation_failure.insn_bytes, aesenc, sizeof(aesenc));
	rip = vcpu_regs(v).rip;
	assert_memory_equal(v->vm->mem + rip, aesenc, sizeof(aesenc)); /* at it, not behind */
}

/* Jumping to where nothing is: the instruction can't even be fetched. */
static void jump_payload(uint64_t arg)
{
	((void (*)(void))arg)();
}

static void fetch_from_mmio_is_internal_error(void **state)
{
	struct vcpu *v = guest_new(jump_payload, GUEST_MMIO);

	(void)state;
	expect_exit(v, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(v->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	assert_int_equal(vcpu_regs(v).rip, GUEST_MMIO);
}

static void smp_payload(uint64_t arg)
{
	volatile uint64_t *word = (uint64_t *)(GUEST_FREE + arg * 64);

	for (uint64_t i = 0; i < 200; i++) {
		*word = i;
		guest_sync(i + 1);
	}
}

static void four_vcpus_in_parallel(void **state)
{
	struct vm *vm = vm_create();

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		vcpu_long_mode(vcpu_create(vm, i), smp_payload, i);
	for (int i = 0; i < 4; i++)
		vcpu_start(vm->vcpu[i]);
	for (int i = 0; i < 4; i++)
		vcpu_join(vm->vcpu[i]);
	for (int i = 0; i < 4; i++)
		assert_int_equal(*(uint64_t *)(vm->mem + GUEST_FREE + i * 64), 199);
}

static const struct CMUnitTest tests[] = {
	TEST(real_mode),
	TEST(reset_vector),
	TEST(protected_mode),
	TEST(long_mode),
	TEST(from_real_to_long_mode),
	TEST(pae_paging),
	TEST(triple_fault_is_shutdown),
	TEST(hlt_exits_without_irqchip),
	TEST(signal_ends_run),
	TEST(signal_mask_holds_during_run),
	TEST(immediate_exit),
	TEST(undecodable_mmio_is_internal_error),
	TEST(fetch_from_mmio_is_internal_error),
	TEST(four_vcpus_in_parallel),
};

TEST_MAIN("guest_modes", tests)
