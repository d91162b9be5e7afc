// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port and memory-mapped I/O: every size, string instructions with REP and DF, the instructions
 * by which a guest may touch MMIO, and the ways to handle an access without a slow exit: ioeventfd
 * and the coalesced ring.
 */
#include <sys/eventfd.h>
#include "kvmtest.h"

#define PORT 0x5f0

/* --- single port accesses --- */

static void pio_sizes_payload(uint64_t arg)
{
	uint64_t rax;

	(void)arg;
	outb(PORT, 0x11);
	outw(PORT + 1, 0x2222);
	outl(PORT + 2, 0x44444444);
	asm volatile("outb %%al, $0x42" : : "a"(0x55)); /* immediate port */
	asm volatile("inb %%dx, %%al" : "=a"(rax) : "0"(0x1122334455667788UL), "d"(PORT));
	guest_assert_eq(rax, 0x11223344556677a1UL); /* the rest of RAX stays */
	asm volatile("inw %%dx, %%ax" : "=a"(rax) : "0"(0x1122334455667788UL), "d"(PORT));
	guest_assert_eq(rax, 0x112233445566b1b2UL);
	asm volatile("inl %%dx, %%eax" : "=a"(rax) : "0"(0x1122334455667788UL), "d"(PORT));
	guest_assert_eq(rax, 0x00000000c1c2c3c4UL); /* 32-bit results clear the upper half */
	asm volatile("inl $0x43, %%eax" : "=a"(rax));
	guest_assert_eq(rax, 0xd1d2d3d4UL);
}

static void pio_sizes(void **state)
{
	struct vcpu *v = guest_new(pio_sizes_payload, 0);

	(void)state;
	assert_int_equal(*(uint8_t *)expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1), 0x11);
	assert_int_equal(*(uint16_t *)expect_pio(v, KVM_EXIT_IO_OUT, PORT + 1, 2, 1), 0x2222);
	assert_int_equal(*(uint32_t *)expect_pio(v, KVM_EXIT_IO_OUT, PORT + 2, 4, 1), 0x44444444);
	assert_int_equal(*(uint8_t *)expect_pio(v, KVM_EXIT_IO_OUT, 0x42, 1, 1), 0x55);
	*(uint32_t *)expect_pio(v, KVM_EXIT_IO_IN, PORT, 1, 1) = 0xffffffa1;
	*(uint32_t *)expect_pio(v, KVM_EXIT_IO_IN, PORT, 2, 1) = 0xffffb1b2;
	*(uint32_t *)expect_pio(v, KVM_EXIT_IO_IN, PORT, 4, 1) = 0xc1c2c3c4;
	*(uint32_t *)expect_pio(v, KVM_EXIT_IO_IN, 0x43, 4, 1) = 0xd1d2d3d4;
	expect_done(v);
}

/* Registers changed by userspace during the exit are the guest's afterwards. */
static void pio_registers_change_payload(uint64_t arg)
{
	uint64_t rbx = arg;

	asm volatile("out %%al, $0x44" : "+b"(rbx) : "a"(0));
	guest_assert_eq(rbx, 0x7777);
}

static void registers_may_change_during_an_out(void **state)
{
	struct vcpu *v = guest_new(pio_registers_change_payload, 1);
	struct kvm_regs regs;

	(void)state;
	expect_pio(v, KVM_EXIT_IO_OUT, 0x44, 1, 1);
	regs = vcpu_regs(v);
	regs.rbx = 0x7777;
	must(ioctl(v->fd, KVM_SET_REGS, &regs));
	expect_done(v);
}

/* --- string I/O --- */

struct string_io {
	uint64_t address, count, size;
	bool down, in;
};

static void string_payload(uint64_t arg)
{
	const struct string_io *s = (const struct string_io *)arg;
	uint64_t rcx = s->count, rdi = s->address, rsi = s->address;
	uint64_t step = s->down ? -s->size : s->size;

	guest_sync(1);
	if (s->down)
		asm volatile("std");
	if (s->in && s->size == 1)
		asm volatile("rep insb" : "+c"(rcx), "+D"(rdi) : "d"(PORT) : "memory");
	else if (s->in && s->size == 2)
		asm volatile("rep insw" : "+c"(rcx), "+D"(rdi) : "d"(PORT) : "memory");
	else if (s->in)
		asm volatile("rep insl" : "+c"(rcx), "+D"(rdi) : "d"(PORT) : "memory");
	else if (s->size == 1)
		asm volatile("rep outsb" : "+c"(rcx), "+S"(rsi) : "d"(PORT) : "memory");
	else if (s->size == 2)
		asm volatile("rep outsw" : "+c"(rcx), "+S"(rsi) : "d"(PORT) : "memory");
	else
		asm volatile("rep outsl" : "+c"(rcx), "+S"(rsi) : "d"(PORT) : "memory");
	asm volatile("cld");
	guest_sync_values(2, rcx, rdi - s->address, rsi - s->address, s->count * step);
}

/* The element that the instruction's i-th step touches. */
static uint8_t *string_element(struct vcpu *v, const struct string_io *s, uint64_t i)
{
	return v->vm->mem + s->address + (s->down ? -i : i) * s->size;
}

static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 7 + i / 256 + 3);
}

/* However the device splits it into exits: all elements, in order, and RCX, RSI, RDI at the end. */
static void do_string_io(struct string_io s)
{
	struct vcpu *v = guest_new(string_payload, GUEST_FREE);
	uint64_t done = 0;
	struct guest_report *r;

	*(struct string_io *)(v->vm->mem + GUEST_FREE) = s;
	for (uint64_t i = 0; i < s.count && !s.in; i++)
		memset(string_element(v, &s, i), pattern(i), s.size);
	expect_sync(v, 1);
	while (done < s.count) {
		struct kvm_run *run = v->run;
		uint8_t *data = (uint8_t *)run + PAGE_SIZE;

		expect_exit(v, KVM_EXIT_IO);
		assert_int_equal(run->io.port, PORT);
		assert_int_equal(run->io.direction, s.in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT);
		assert_int_equal(run->io.size, s.size);
		assert_in_range(run->io.count, 1, s.count - done);
		data = (uint8_t *)run + run->io.data_offset;
		/* A page for the data alone: VMMs fill it without a look at the count. */
		assert_true(run->io.data_offset >= sizeof(*run));
		assert_true(run->io.data_offset + PAGE_SIZE <= v->run_size);
		memset(data + run->io.count * s.size, 0xaa, PAGE_SIZE - run->io.count * s.size);
		assert_int_equal(run->exit_reason, KVM_EXIT_IO);
		for (uint32_t i = 0; i < run->io.count; i++, done++) {
			for (uint64_t b = 0; b < s.size; b++, data++) {
				if (s.in)
					*data = pattern(done);
				else if (*data != pattern(done))
					fail_msg("element %lu: %#x", (unsigned long)done, *data);
			}
		}
	}
	r = expect_sync(v, 2);
	assert_int_equal(r->value[1], 0); /* RCX */
	assert_int_equal(s.in ? r->value[2] : r->value[3], r->value[4]);
	for (uint64_t i = 0; i < s.count && s.in; i++) {
		if (string_element(v, &s, i)[s.size - 1] != pattern(i))
			fail_msg("element %lu in memory: %#x", (unsigned long)i,
				 *string_element(v, &s, i));
	}
	vm_free(v->vm);
}

static void rep_outs_sizes(void **state)
{
	(void)state;
	for (uint64_t size = 1; size <= 4; size *= 2)
		do_string_io((struct string_io){ GUEST_FREE + 0x1000, 10, size, false, false });
}

static void rep_ins_sizes(void **state)
{
	(void)state;
	for (uint64_t size = 1; size <= 4; size *= 2)
		do_string_io((struct string_io){ GUEST_FREE + 0x1000, 10, size, false, true });
}

static void recounted_ins_payload(uint64_t count)
{
	uint64_t rcx = count, rdi = GUEST_FREE + 0x1000;

	asm volatile("rep insb" : "+c"(rcx), "+D"(rdi) : "d"(PORT) : "memory");
	guest_assert_eq(rcx, 0);
	guest_sync(rdi - (GUEST_FREE + 0x1000));
}

static struct vcpu *ins_with_another_count(uint64_t count)
{
	struct vcpu *v = guest_new(recounted_ins_payload, 3);
	struct kvm_regs regs;

	memset(expect_pio(v, KVM_EXIT_IO_IN, PORT, 1, 3), 0xaa, 3);
	regs = vcpu_regs(v);
	regs.rcx = count;
	must(ioctl(v->fd, KVM_SET_REGS, &regs));
	return v;
}

/* The count may be changed while userspace fetches the elements: down, to zero and up. */
static void ins_goes_on_with_the_new_count(void **state)
{
	struct vcpu *v = ins_with_another_count(1);

	(void)state;
	expect_sync(v, 1);
	expect_done(v);
	v = ins_with_another_count(0);
	expect_sync(v, 0);
	expect_done(v);
	v = ins_with_another_count(5);
	memset(expect_pio(v, KVM_EXIT_IO_IN, PORT, 1, 2), 0xaa, 2);
	expect_sync(v, 5);
	expect_done(v);
}

static void rep_downwards(void **state)
{
	(void)state;
	for (uint64_t size = 1; size <= 4; size *= 2) {
		do_string_io((struct string_io){ GUEST_FREE + 0x2000, 10, size, true, false });
		do_string_io((struct string_io){ GUEST_FREE + 0x2000, 10, size, true, true });
	}
}

static void rep_more_than_a_page(void **state)
{
	(void)state;
	do_string_io((struct string_io){ GUEST_FREE + 0x1003, 5000, 1, false, false });
	do_string_io((struct string_io){ GUEST_FREE + 0x1003, 5000, 1, false, true });
	do_string_io((struct string_io){ GUEST_FREE + 0x1ffe, 2049, 4, false, false });
	do_string_io((struct string_io){ GUEST_FREE + 0x1ffe, 2049, 4, false, true });
}

static void rep_zero_times(void **state)
{
	(void)state;
	do_string_io((struct string_io){ GUEST_FREE + 0x1000, 0, 4, false, false });
	do_string_io((struct string_io){ GUEST_FREE + 0x1000, 0, 4, false, true });
}

/* The source runs into a page that is not mapped: the rest faults, the part before was done. */
static void faulting_outs_payload(uint64_t arg)
{
	uint64_t rcx = 8, rsi = arg;

	guest_sync(1);
	asm volatile("rep outsb" : "+c"(rcx), "+S"(rsi) : "d"(PORT) : "memory");
	guest_sync(2);
}

static void rep_outs_into_a_fault(void **state)
{
	/* the no-execute alias is the last mapped page: 4 bytes below its end */
	uint64_t start = GUEST_VA_NX + 2 * MiB - 4;
	struct vcpu *v = guest_new(faulting_outs_payload, start);
	unsigned int bytes = 0;

	(void)state;
	memcpy(v->vm->mem + GUEST_FREE + 2 * MiB - 4, "abcd", 4);
	expect_sync(v, 1);
	while (vcpu_run(v) == KVM_EXIT_IO && v->run->io.port == PORT) {
		assert_memory_equal((uint8_t *)v->run + v->run->io.data_offset, "abcd" + bytes,
				    v->run->io.count);
		bytes += v->run->io.count;
	}
	assert_int_equal(bytes, 4);
	assert_int_equal(v->report->kind, REPORT_EXCEPTION);
	assert_int_equal(v->report->value[0], 14);
	assert_int_equal(v->report->value[3], start + 4); /* CR2 */
}

static void faulting_ins_payload(uint64_t arg)
{
	uint64_t rcx = 1, rdi = arg;

	asm volatile("rep insb" : "+c"(rcx), "+D"(rdi) : "d"(PORT) : "memory");
	guest_sync(2);
}

/* Whether the port is read first or the fault comes first, memory stays as it was. */
static void ins_to_read_only_memory(void **state)
{
	struct vcpu *v = guest_new(faulting_ins_payload, GUEST_VA_RO + 16);

	(void)state;
	while (vcpu_run(v) == KVM_EXIT_IO && v->run->io.port == PORT)
		*((uint8_t *)v->run + v->run->io.data_offset) = 0x99;
	assert_int_equal(v->report->kind, REPORT_EXCEPTION);
	assert_int_equal(v->report->value[0], 14);
	assert_int_equal(v->report->value[1] & 3, 3); /* present, write */
	assert_int_equal(v->report->value[3], GUEST_VA_RO + 16);
	assert_int_equal(v->vm->mem[GUEST_FREE + 16], 0);
}

/* --- MMIO --- */

#define MM(type) (*(volatile type *)arg)

static void mmio_mov_payload(uint64_t arg)
{
	uint64_t rax;

	asm volatile("movb $0x11, (%0)" : : "r"(arg) : "memory");
	asm volatile("movw $0x2222, (%0)" : : "r"(arg) : "memory");
	asm volatile("movl $0x44444444, (%0)" : : "r"(arg) : "memory");
	asm volatile("movq %1, (%0)" : : "r"(arg), "r"(0x8877665544332211UL) : "memory");
	asm volatile("movq $-2, 8(%0)" : : "r"(arg) : "memory"); /* sign-extended immediate */
	asm volatile("movb %%r9b, 3(%0,%1,4)" : : "r"(arg), "r"(4UL) : "memory");
	asm volatile("movb (%1), %%al" : "=a"(rax) : "r"(arg), "0"(-1UL));
	guest_assert_eq(rax, 0xffffffffffffffa1UL);
	asm volatile("movw (%1), %%ax" : "=a"(rax) : "r"(arg), "0"(-1UL));
	guest_assert_eq(rax, 0xffffffffffffa2a3UL);
	asm volatile("movl (%1), %%eax" : "=a"(rax) : "r"(arg), "0"(-1UL));
	guest_assert_eq(rax, 0xb1b2b3b4UL);
	asm volatile("movq (%1), %%rax" : "=a"(rax) : "r"(arg));
	guest_assert_eq(rax, 0xc1c2c3c4c5c6c7c8UL);
	asm volatile("movb (%1), %%ah" : "=a"(rax) : "r"(arg), "0"(0UL));
	guest_assert_eq(rax, 0x5500);
}

static void mmio_mov(void **state)
{
	struct vcpu *v = guest_new(mmio_mov_payload, GUEST_MMIO);

	(void)state;
	assert_int_equal(*(uint8_t *)expect_mmio(v, true, GUEST_MMIO, 1), 0x11);
	assert_int_equal(*(uint16_t *)expect_mmio(v, true, GUEST_MMIO, 2), 0x2222);
	assert_int_equal(*(uint32_t *)expect_mmio(v, true, GUEST_MMIO, 4), 0x44444444);
	assert_int_equal(*(uint64_t *)expect_mmio(v, true, GUEST_MMIO, 8), 0x8877665544332211UL);
	assert_int_equal(*(uint64_t *)expect_mmio(v, true, GUEST_MMIO + 8, 8), -2UL);
	expect_mmio(v, true, GUEST_MMIO + 19, 1);
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 1) = 0xa1;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 2) = 0xa2a3;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 4) = 0xb1b2b3b4;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 8) = 0xc1c2c3c4c5c6c7c8UL;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 1) = 0x55;
	expect_done(v);
}

/* The only one here with two operands in memory that are not a string's. */
static void mmio_push_payload(uint64_t arg)
{
	uint64_t before, after, value;
	uint16_t word;

	asm volatile("mov %%rsp, %0\n"
		     "pushq (%3)\n"
		     "mov %%rsp, %1\n"
		     "pop %2"
		     : "=&r"(before), "=&r"(after), "=r"(value)
		     : "r"(arg)
		     : "memory");
	guest_assert_eq(before - after, 8);
	guest_assert_eq(value, 0xc1c2c3c4c5c6c7c8UL);
	asm volatile("mov %%rsp, %0\n"
		     "pushw 2(%3)\n"
		     "mov %%rsp, %1\n"
		     "popw %2"
		     : "=&r"(before), "=&r"(after), "=r"(word)
		     : "r"(arg)
		     : "memory");
	guest_assert_eq(before - after, 2);
	guest_assert_eq(word, 0xd1d2);
}

static void mmio_push(void **state)
{
	struct vcpu *v = guest_new(mmio_push_payload, GUEST_MMIO);

	(void)state;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 8) = 0xc1c2c3c4c5c6c7c8UL;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO + 2, 2) = 0xd1d2;
	expect_done(v);
}

static uint8_t two_pages[8192] __attribute__((aligned(4096)));

static void crossing_payload(uint64_t arg)
{
	/* mov %esi,-0x10(%rdi); ret */
	static const uint8_t code[] = { 0x89, 0x77, 0xf0, 0xc3 };

	for (uint32_t before = 0; before < sizeof(code); before++) {
		uint8_t *at = two_pages + 4096 - before;

		for (size_t i = 0; i < sizeof(code); i++)
			((volatile uint8_t *)at)[i] = code[i];
		((void (*)(uint64_t, uint32_t))(uintptr_t)at)(arg + 16, 0x11 * before);
	}
}

/* 0 to 3 bytes of it lie before the boundary. */
static void mmio_instruction_crosses_pages(void **state)
{
	struct vcpu *v = guest_new(crossing_payload, GUEST_MMIO);

	(void)state;
	for (uint32_t before = 0; before < 4; before++)
		assert_int_equal(*(uint32_t *)expect_mmio(v, true, GUEST_MMIO, 4), 0x11 * before);
	expect_done(v);
}

static void mmio_extend_payload(uint64_t arg)
{
	uint64_t rax;

	asm volatile("movzbl (%1), %%eax" : "=a"(rax) : "r"(arg), "0"(-1UL));
	guest_assert_eq(rax, 0x80);
	asm volatile("movzwl (%1), %%eax" : "=a"(rax) : "r"(arg), "0"(-1UL));
	guest_assert_eq(rax, 0x8001);
	asm volatile("movsbl (%1), %%eax" : "=a"(rax) : "r"(arg));
	guest_assert_eq(rax, 0xffffff80UL);
	asm volatile("movsbq (%1), %%rax" : "=a"(rax) : "r"(arg));
	guest_assert_eq(rax, 0xffffffffffffff80UL);
	asm volatile("movswq (%1), %%rax" : "=a"(rax) : "r"(arg));
	guest_assert_eq(rax, 0xffffffffffff8001UL);
	asm volatile("movslq (%1), %%rax" : "=a"(rax) : "r"(arg));
	guest_assert_eq(rax, 0xffffffff80000001UL);
}

static void mmio_zero_and_sign_extension(void **state)
{
	struct vcpu *v = guest_new(mmio_extend_payload, GUEST_MMIO);

	(void)state;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 1) = 0x80;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 2) = 0x8001;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 1) = 0x80;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 1) = 0x80;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 2) = 0x8001;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 4) = 0x80000001;
	expect_done(v);
}

/* Read, modify, write: two exits, and the flags are the result's. */
static void mmio_rmw_payload(uint64_t arg)
{
	uint64_t rax = 5;
	uint8_t carry, zero;

	asm volatile("orl $0xf0, (%0)" : : "r"(arg) : "memory", "cc");
	asm volatile("andl %1, (%0)" : : "r"(arg), "r"(0xff) : "memory", "cc");
	asm volatile("xorb $0xff, (%0)" : : "r"(arg) : "memory", "cc");
	asm volatile("addl $1, (%1); setc %0" : "=r"(carry) : "r"(arg) : "memory", "cc");
	guest_assert_eq(carry, 1);
	asm volatile("subl $7, (%1); setz %0" : "=r"(zero) : "r"(arg) : "memory", "cc");
	guest_assert_eq(zero, 1);
	asm volatile("xchgl %%eax, (%1)" : "+a"(rax) : "r"(arg) : "memory");
	guest_assert_eq(rax, 0x1234);
	asm volatile("incl (%0)" : : "r"(arg) : "memory", "cc");
	asm volatile("notl (%0)" : : "r"(arg) : "memory");
	asm volatile("lock btsl $4, (%1); setc %0" : "=r"(carry) : "r"(arg) : "memory", "cc");
	guest_assert_eq(carry, 0);
}

static void expect_rmw(struct vcpu *v, uint32_t len, uint32_t read, uint32_t written)
{
	uint32_t value = 0;

	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, len) = read;
	memcpy(&value, expect_mmio(v, true, GUEST_MMIO, len), len);
	assert_int_equal(value, written);
}

static void mmio_read_modify_write(void **state)
{
	struct vcpu *v = guest_new(mmio_rmw_payload, GUEST_MMIO);

	(void)state;
	expect_rmw(v, 4, 0x1, 0xf1);
	expect_rmw(v, 4, 0x12345678, 0x78);
	expect_rmw(v, 1, 0x0f, 0xf0);
	expect_rmw(v, 4, 0xffffffff, 0);
	expect_rmw(v, 4, 7, 0);
	expect_rmw(v, 4, 0x1234, 5);
	expect_rmw(v, 4, 41, 42);
	expect_rmw(v, 4, 0x0f0f0f0f, 0xf0f0f0f0);
	expect_rmw(v, 4, 0x1, 0x11);
	expect_done(v);
}

/* Reads whose result is only flags, or goes to the stack. */
static void mmio_test_payload(uint64_t arg)
{
	uint64_t rax = 0;
	uint8_t flag;

	asm volatile("testl $0x80, (%1); setnz %0" : "=r"(flag) : "r"(arg) : "cc");
	guest_assert_eq(flag, 1);
	asm volatile("cmpl %2, (%1); sete %0" : "=r"(flag) : "r"(arg), "r"(0x55) : "cc");
	guest_assert_eq(flag, 1);
	asm volatile("cmpb $3, (%1); setb %0" : "=r"(flag) : "r"(arg) : "cc");
	guest_assert_eq(flag, 1);
	asm volatile("addl (%1), %%eax" : "+a"(rax) : "r"(arg) : "cc");
	guest_assert_eq(rax, 0x1000);
	asm volatile("orq (%1), %%rax" : "+a"(rax) : "r"(arg) : "cc");
	guest_assert_eq(rax, 0x8000000000001000UL);
}

static void mmio_reads_for_flags(void **state)
{
	struct vcpu *v = guest_new(mmio_test_payload, GUEST_MMIO);

	(void)state;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 4) = 0xff;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 4) = 0x55;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 1) = 2;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 4) = 0x1000;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 8) = 0x8000000000000000UL;
	expect_done(v);
}

static void mmio_string_payload(uint64_t arg)
{
	uint64_t rcx = 3, rdi = arg, rsi = GUEST_FREE;

	asm volatile("rep movsl" : "+c"(rcx), "+D"(rdi), "+S"(rsi) : : "memory");
	guest_assert_eq(rcx, 0);
	guest_assert_eq(rdi, arg + 12);
	rcx = 2, rdi = arg;
	asm volatile("rep stosb" : "+c"(rcx), "+D"(rdi) : "a"(0x5a) : "memory");
	guest_assert_eq(rdi, arg + 2);
	rcx = 2, rdi = GUEST_FREE + 64, rsi = arg;
	asm volatile("rep movsw" : "+c"(rcx), "+D"(rdi), "+S"(rsi) : : "memory");
	guest_assert_eq(*(volatile uint32_t *)(GUEST_FREE + 64), 0xbbbbaaaa);
}

static void mmio_string_instructions(void **state)
{
	struct vcpu *v = guest_new(mmio_string_payload, GUEST_MMIO);
	uint32_t words[3] = { 0x11111111, 0x22222222, 0x33333333 };

	(void)state;
	memcpy(v->vm->mem + GUEST_FREE, words, sizeof(words));
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(*(uint32_t *)expect_mmio(v, true, GUEST_MMIO + 4 * i, 4),
				 words[i]);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(*(uint8_t *)expect_mmio(v, true, GUEST_MMIO + i, 1), 0x5a);
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 2) = 0xaaaa;
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO + 2, 2) = 0xbbbb;
	expect_done(v);
}

/* Half in RAM, half not; and across two pages that are both not there. */
static void mmio_crossing_payload(uint64_t arg)
{
	mmio_write32(arg + PAGE_SIZE - 2, 0xddccbbaa);
	guest_assert_eq(mmio_read32(arg + PAGE_SIZE - 1), 0x44332211);
}

static void mmio_across_pages(void **state)
{
	struct vcpu *v = guest_new(mmio_crossing_payload, GUEST_MMIO);
	uint64_t end = GUEST_MMIO + PAGE_SIZE;

	(void)state;
	assert_int_equal(*(uint16_t *)expect_mmio(v, true, end - 2, 2), 0xbbaa);
	assert_int_equal(*(uint16_t *)expect_mmio(v, true, end, 2), 0xddcc);
	*(uint8_t *)expect_mmio(v, false, end - 1, 1) = 0x11;
	memcpy(expect_mmio(v, false, end, 3), "\x22\x33\x44", 3);
	expect_done(v);
}

/* --- ioeventfd --- */

static void set_ioeventfd(struct vm *vm, int fd, uint64_t addr, uint32_t len, uint32_t flags,
			  uint64_t match)
{
	struct kvm_ioeventfd io = {
		.fd = fd,
		.addr = addr,
		.len = len,
		.flags = flags,
		.datamatch = match,
	};

	must(ioctl(vm->fd, KVM_IOEVENTFD, &io));
}

static uint64_t signalled(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void ioeventfd_payload(uint64_t arg)
{
	outw(PORT, 7);             /* matches */
	outw(PORT, 8);             /* other data: exits */
	outb(PORT, 7);             /* other size: exits */
	mmio_write32(arg, 0x1234); /* any data */
	mmio_write32(arg, 0x5678);
	*(volatile uint8_t *)(arg + 0x100) = 1; /* length 0: any size */
	*(volatile uint16_t *)(arg + 0x100) = 2;
	mmio_write32(arg + 0x104, 3); /* beside it: exits */
	inw(PORT);                    /* a read never matches */
}

static void ioeventfd_matches(void **state)
{
	struct vcpu *v = guest_new(ioeventfd_payload, GUEST_MMIO);
	int fd[3];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		fd[i] = eventfd(0, EFD_NONBLOCK);
	set_ioeventfd(v->vm, fd[0], PORT, 2, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH,
		      7);
	set_ioeventfd(v->vm, fd[1], GUEST_MMIO, 4, 0, 0);
	set_ioeventfd(v->vm, fd[2], GUEST_MMIO + 0x100, 0, 0, 0);
	assert_int_equal(*(uint16_t *)expect_pio(v, KVM_EXIT_IO_OUT, PORT, 2, 1), 8);
	assert_int_equal(signalled(fd[0]), 1);
	assert_int_equal(*(uint8_t *)expect_pio(v, KVM_EXIT_IO_OUT, PORT, 1, 1), 7);
	expect_mmio(v, true, GUEST_MMIO + 0x104, 4);
	assert_int_equal(signalled(fd[0]), 0);
	assert_int_equal(signalled(fd[1]), 2);
	assert_int_equal(signalled(fd[2]), 2);
	expect_pio(v, KVM_EXIT_IO_IN, PORT, 2, 1);
	expect_done(v);
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

static void removed_ioeventfd_exits_again(void **state)
{
	struct vcpu *v = guest_new(ioeventfd_payload, GUEST_MMIO);
	uint32_t flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH;
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	set_ioeventfd(v->vm, fd, PORT, 2, flags, 7);
	set_ioeventfd(v->vm, fd, PORT, 2, flags | KVM_IOEVENTFD_FLAG_DEASSIGN, 7);
	assert_int_equal(*(uint16_t *)expect_pio(v, KVM_EXIT_IO_OUT, PORT, 2, 1), 7);
	assert_int_equal(signalled(fd), 0);
	close(fd);
}

/* --- the coalesced ring --- */

static void coalesced_payload(uint64_t arg)
{
	mmio_write32(arg, 0x11);
	*(volatile uint8_t *)(arg + 4) = 0x22;
	mmio_write32(arg + 0x1000, 0x33);        /* outside the zone: exits */
	guest_assert_eq(mmio_read32(arg), 0x77); /* reads exit */
	for (uint32_t i = 0;; i++)
		mmio_write32(arg + 8, i);
}

static void coalesced_mmio(void **state)
{
	struct vcpu *v = guest_new(coalesced_payload, GUEST_MMIO);
	struct kvm_coalesced_mmio_zone zone = { .addr = GUEST_MMIO, .size = 0x1000 };
	struct kvm_coalesced_mmio_ring *ring = (void *)((uint8_t *)v->run + 2 * PAGE_SIZE);
	uint32_t max = KVM_COALESCED_MMIO_MAX, n;

	(void)state;
	must(ioctl(v->vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone));
	assert_int_equal(*(uint32_t *)expect_mmio(v, true, GUEST_MMIO + 0x1000, 4), 0x33);
	assert_int_equal(ring->first, 0);
	assert_int_equal(ring->last, 2);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, GUEST_MMIO);
	assert_int_equal(ring->coalesced_mmio[0].len, 4);
	assert_int_equal(ring->coalesced_mmio[0].data[0], 0x11);
	assert_int_equal(ring->coalesced_mmio[1].phys_addr, GUEST_MMIO + 4);
	assert_int_equal(ring->coalesced_mmio[1].len, 1);
	assert_int_equal(ring->coalesced_mmio[1].data[0], 0x22);
	ring->first = ring->last;
	*(uint32_t *)expect_mmio(v, false, GUEST_MMIO, 4) = 0x77;
	/* when the ring is full the write exits as any other, and none before it is lost */
	n = *(uint32_t *)expect_mmio(v, true, GUEST_MMIO + 8, 4);
	assert_int_equal((ring->last + max - ring->first) % max, n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(*(uint32_t *)ring->coalesced_mmio[(ring->first + i) % max].data,
				 i);
	if (on_apicvisor()) /* the peer takes the difference modulo 2^32 and stops early */
		assert_int_equal(n, max - 1);
	/* hostile: userspace scribbles over the indices */
	ring->first = 0xffffffff;
	ring->last = 0xfffffff0;
	expect_exit(v, KVM_EXIT_MMIO);
	must(ioctl(v->vm->fd, KVM_UNREGISTER_COALESCED_MMIO, &zone));
	ring->first = ring->last = 0;
	expect_mmio(v, true, GUEST_MMIO + 8, 4);
}

static void coalesced_pio_payload(uint64_t arg)
{
	(void)arg;
	outb(PORT, 0x31);
	outl(PORT, 0x32);
	guest_sync(1);
}

static void coalesced_pio(void **state)
{
	struct vcpu *v = guest_new(coalesced_pio_payload, 0);
	struct kvm_coalesced_mmio_zone zone = { .addr = PORT, .size = 4, .pio = 1 };
	struct kvm_coalesced_mmio_ring *ring = (void *)((uint8_t *)v->run + 2 * PAGE_SIZE);

	(void)state;
	if (!dev_capability(KVM_CAP_COALESCED_PIO))
		skip_because("KVM_CAP_COALESCED_PIO is not offered");
	must(ioctl(v->vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone));
	expect_sync(v, 1);
	assert_int_equal(ring->last, 2);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, PORT);
	assert_int_equal(ring->coalesced_mmio[0].pio, 1);
	assert_int_equal(ring->coalesced_mmio[0].data[0], 0x31);
	assert_int_equal(ring->coalesced_mmio[1].len, 4);
}

static void input_payload(uint64_t arg)
{
	guest_assert_eq(inb(PORT), arg);
	guest_sync(1);
}

/* Clients have an input completed this way before they save the registers. */
static void immediate_exit_completes_and_keeps_the_reason(void **state)
{
	struct vcpu *v = guest_new(input_payload, 0x42);

	(void)state;
	*(uint8_t *)expect_pio(v, KVM_EXIT_IO_IN, PORT, 1, 1) = 0x42;
	v->run->immediate_exit = 1;
	assert_int_equal(vcpu_run_raw(v), -EINTR);
	v->run->immediate_exit = 0;
	assert_int_equal(v->run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(v->run->io.port, PORT);
	assert_int_equal(vcpu_regs(v).rax & 0xff, 0x42);
	expect_sync(v, 1);
	expect_done(v);
}

static const struct CMUnitTest tests[] = {
	TEST(pio_sizes),
	TEST(immediate_exit_completes_and_keeps_the_reason),
	TEST(registers_may_change_during_an_out),
	TEST(rep_outs_sizes),
	TEST(rep_ins_sizes),
	TEST(ins_goes_on_with_the_new_count),
	TEST(rep_downwards),
	TEST(rep_more_than_a_page),
	TEST(rep_zero_times),
	TEST(rep_outs_into_a_fault),
	TEST(ins_to_read_only_memory),
	TEST(mmio_mov),
	TEST(mmio_push),
	TEST(mmio_instruction_crosses_pages),
	TEST(mmio_zero_and_sign_extension),
	TEST(mmio_read_modify_write),
	TEST(mmio_reads_for_flags),
	TEST(mmio_string_instructions),
	TEST(mmio_across_pages),
	TEST(ioeventfd_matches),
	TEST(removed_ioeventfd_exits_again),
	TEST(coalesced_mmio),
	TEST(coalesced_pio),
};

TEST_MAIN("guest_io", tests)
