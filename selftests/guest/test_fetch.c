// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMIO by an instruction that has been there before. The module may know it then; but whatever has
 * changed between two accesses from the same RIP must count: page tables, at any level, code, in
 * any byte, the root, the mode, memory slots. Nothing that changes them here exits. Once userspace
 * has the device, once the kernel does (an ioeventfd), which is handled at once.
 */
#include <sys/eventfd.h>
#include "kvmtest.h"

/* In pages of GUEST_FREE. */
#define CODE_A     (GUEST_FREE + 0x0000)
#define CODE_B     (GUEST_FREE + 0x1000)
#define PT_A       (GUEST_FREE + 0x2000)
#define PT_B       (GUEST_FREE + 0x3000)
#define PD_A       (GUEST_FREE + 0x4000)
#define PD_B       (GUEST_FREE + 0x5000)
#define PDPT_A     (GUEST_FREE + 0x6000)
#define PDPT_B     (GUEST_FREE + 0x7000)
#define OTHER_ROOT (GUEST_FREE + 0x8000)

/* A window of its own, index 1, 2, 3, 4 in the four levels; its next page leads to the device. */
#define WINDOW     (1UL << 39 | 2UL << 30 | 3UL << 21 | 4UL << 12)
#define DEVICE_VA  (WINDOW + PAGE_SIZE)
#define IN_PAGE    0x5fd /* the instruction lies across two aligned words */
#define RIGHTS     7     /* present, writable, user */

#define VALUE      0x11223344u /* RSI */
#define VALUE_RDX  0x55667788u

/* mov %esi,0(%rdi); ret */
static const uint8_t code_a[] = { 0x89, 0xb7, 0, 0, 0, 0, 0xc3 };
/* mov %esi,0x40(%rdi); ret */
static const uint8_t code_b[] = { 0x89, 0xb7, 0x40, 0, 0, 0, 0xc3 };

static void put(struct vm *vm, uint64_t gpa, uint64_t value)
{
	*(uint64_t *)(vm->mem + gpa) = value;
}

static void build_window(struct vm *vm)
{
	put(vm, GUEST_PML4 + 8, PDPT_A | RIGHTS);
	put(vm, PDPT_A + 8 * 2, PD_A | RIGHTS);
	put(vm, PDPT_B + 8 * 2, PD_B | RIGHTS);
	put(vm, PD_A + 8 * 3, PT_A | RIGHTS);
	put(vm, PD_B + 8 * 3, PT_B | RIGHTS);
	put(vm, PT_A + 8 * 4, CODE_A | RIGHTS);
	put(vm, PT_B + 8 * 4, CODE_B | RIGHTS);
	put(vm, PT_A + 8 * 5, GUEST_MMIO | RIGHTS);
	put(vm, PT_B + 8 * 5, GUEST_MMIO | RIGHTS);
	memcpy(vm->mem + CODE_A + IN_PAGE, code_a, sizeof(code_a));
	memcpy(vm->mem + CODE_B + IN_PAGE, code_b, sizeof(code_b));
	memcpy(vm->mem + OTHER_ROOT, vm->mem + GUEST_PML4, PAGE_SIZE);
}

/* --- the guest --- */

static void access_at(uint64_t code, uint64_t device)
{
	uint64_t rdi = device, rsi = VALUE, rdx = VALUE_RDX;

	asm volatile("call *%[code]"
		     : "+D"(rdi), "+S"(rsi), "+d"(rdx)
		     : [code] "r"(code)
		     : "memory", "cc");
}

static void go(void)
{
	access_at(WINDOW + IN_PAGE, DEVICE_VA);
}

static void set_entry(uint64_t at, uint64_t value)
{
	*(volatile uint64_t *)at = value | RIGHTS;
	asm volatile("invlpg (%0)" : : "r"(WINDOW) : "memory");
	asm volatile("invlpg (%0)" : : "r"(DEVICE_VA) : "memory");
}

/* What is changed, and what the instruction does then. */
enum what {
	CHANGE_PTE,
	CHANGE_PDE,
	CHANGE_PDPTE,
	CHANGE_PML4E,
	CHANGE_CR3,
	CHANGE_DATA,
	CHANGE_CODE, /* and which byte of it */
	CHANGES = CHANGE_CODE + 6,
};

static const struct change {
	uint64_t at; /* an entry, or a byte of code */
	uint64_t from, to;
	uint64_t offset; /* in the device, afterwards */
	bool read;
	uint32_t data;
} changes[CHANGES] = {
	[CHANGE_PTE] = { PT_A + 8 * 4, CODE_A, CODE_B, 0x40, false, VALUE },
	[CHANGE_PDE] = { PD_A + 8 * 3, PT_A, PT_B, 0x40, false, VALUE },
	[CHANGE_PDPTE] = { PDPT_A + 8 * 2, PD_A, PD_B, 0x40, false, VALUE },
	[CHANGE_PML4E] = { GUEST_PML4 + 8, PDPT_A, PDPT_B, 0x40, false, VALUE },
	[CHANGE_CR3] = { 0, GUEST_PML4, OTHER_ROOT, 0x40, false, VALUE },
	[CHANGE_DATA] = { PT_A + 8 * 5, GUEST_MMIO, GUEST_MMIO + PAGE_SIZE, PAGE_SIZE, false,
			  VALUE },
	[CHANGE_CODE] = { CODE_A + IN_PAGE, 0x89, 0x8b, 0, true, 0 },
	[CHANGE_CODE + 1] = { CODE_A + IN_PAGE + 1, 0xb7, 0x97, 0, false, VALUE_RDX },
	[CHANGE_CODE + 2] = { CODE_A + IN_PAGE + 2, 0, 0x40, 0x40, false, VALUE },
	[CHANGE_CODE + 3] = { CODE_A + IN_PAGE + 3, 0, 1, 0x100, false, VALUE },
	[CHANGE_CODE + 4] = { CODE_A + IN_PAGE + 4, 0, 1, 0x10000, false, VALUE },
	[CHANGE_CODE + 5] = { CODE_A + IN_PAGE + 5, 0, 1, 0x1000000, false, VALUE },
};

static void make_change(enum what what, uint64_t value)
{
	if (what == CHANGE_CR3)
		write_cr(3, value);
	else if (what < CHANGE_CODE)
		set_entry(changes[what].at, value);
	else
		*(volatile uint8_t *)changes[what].at = (uint8_t)value;
}

static void change_payload(uint64_t what)
{
	/* a large displacement leads out of the window: use the identity mapping then */
	uint64_t device = what < CHANGE_CODE ? DEVICE_VA : GUEST_MMIO;
	uint64_t code = WINDOW + IN_PAGE;

	access_at(code, device);
	access_at(code, device);
	make_change((enum what)what, changes[what].to);
	access_at(code, device);
	access_at(code, device);
	make_change((enum what)what, changes[what].from);
	access_at(code, device);
	access_at(code, device);
}

/* --- the host --- */

/* The kernel takes writes of VALUE to the device's beginning. */
static int set_notifier(struct vm *vm)
{
	struct kvm_ioeventfd io = {
		.fd = must(eventfd(0, EFD_NONBLOCK)),
		.addr = GUEST_MMIO,
		.len = 4,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
		.datamatch = VALUE,
	};

	must(ioctl(vm->fd, KVM_IOEVENTFD, &io));
	return io.fd;
}

static uint64_t signalled(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void expect_store(struct vcpu *v, uint64_t offset, uint32_t value)
{
	assert_int_equal(*(uint32_t *)expect_mmio(v, true, GUEST_MMIO + offset, 4), value);
}

static void expect_changed(struct vcpu *v, const struct change *c)
{
	if (c->read)
		expect_mmio(v, false, GUEST_MMIO + c->offset, 4);
	else
		expect_store(v, c->offset, c->data);
}

static void change_and_look(enum what what, bool notify)
{
	struct vcpu *v = guest_new(change_payload, what);
	int fd = notify ? set_notifier(v->vm) : -1;

	build_window(v->vm);
	if (what == CHANGE_CR3) /* the same tables but for this */
		put(v->vm, OTHER_ROOT + 8, PDPT_B | RIGHTS);
	for (int i = 0; i < 2 && !notify; i++)
		expect_store(v, 0, VALUE);
	expect_changed(v, &changes[what]);
	if (notify)
		assert_int_equal(signalled(fd), 2);
	expect_changed(v, &changes[what]);
	for (int i = 0; i < 2 && !notify; i++)
		expect_store(v, 0, VALUE);
	expect_done(v);
	if (notify) {
		assert_int_equal(signalled(fd), 2);
		close(fd);
	}
	vm_free(v->vm);
}

static void look_at(enum what first, enum what end)
{
	for (enum what what = first; what < end; what++) {
		change_and_look(what, false);
		change_and_look(what, true);
	}
}

static void page_tables_change(void **state)
{
	(void)state;
	look_at(CHANGE_PTE, CHANGE_CR3);
}

static void another_root(void **state)
{
	(void)state;
	look_at(CHANGE_CR3, CHANGE_DATA);
}

static void the_operand_moves(void **state)
{
	(void)state;
	look_at(CHANGE_DATA, CHANGE_CODE);
}

static void code_changes(void **state)
{
	(void)state;
	look_at(CHANGE_CODE, CHANGES);
}

/* The same code under two roots; then only the second one's entry changes, or the first one's. */
static void two_roots_payload(uint64_t arg)
{
	(void)arg;
	go();
	go();
	write_cr(3, OTHER_ROOT);
	go();
	go();
	set_entry(OTHER_ROOT + 8, PDPT_B);
	go(); /* B */
	write_cr(3, GUEST_PML4);
	go();
	set_entry(GUEST_PML4 + 8, PDPT_B);
	go(); /* B */
	set_entry(OTHER_ROOT + 8, PDPT_A);
	go(); /* B */
	write_cr(3, OTHER_ROOT);
	go();
	guest_sync(1);
}

static void code_of_two_processes(void **state)
{
	static const uint64_t offsets[] = { 0, 0, 0, 0, 0x40, 0, 0x40, 0x40, 0 };
	struct vcpu *v = guest_new(two_roots_payload, 0);

	(void)state;
	build_window(v->vm);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++)
		expect_store(v, offsets[i], VALUE);
	expect_sync(v, 1);
}

/* --- another mode --- */

#define LOW_WINDOW 0xe0000000UL
#define COMPAT_CS  0x18

/* mov %esi,disp32; lret. With RIP as base in 64-bit mode, absolute in compatibility mode. */
static const uint8_t code_by_mode[] = { 0x89, 0x35, 0xfa, 0xff, 0xff, 0xef, 0xcb };

static void far_call(uint16_t cs)
{
	uint64_t rsi = VALUE;

	/* LRET pops two doublewords in either mode; the stack is below 4 GiB. */
	asm volatile("sub $8, %%rsp\n"
		     "movl $1f, (%%rsp)\n"
		     "movl %[back], 4(%%rsp)\n"
		     "push %[cs]\n"
		     "push %[to]\n"
		     "lretq\n"
		     "1:"
		     : "+S"(rsi)
		     : [back] "i"(GUEST_CS), [cs] "r"((uint64_t)cs), [to] "r"(LOW_WINDOW)
		     : "memory");
}

static void mode_payload(uint64_t arg)
{
	(void)arg;
	far_call(GUEST_CS);
	far_call(GUEST_CS);
	far_call(COMPAT_CS);
	far_call(COMPAT_CS);
	far_call(GUEST_CS);
}

static void mode_changes(void **state)
{
	struct vcpu *v = guest_new(mode_payload, 0);

	(void)state;
	put(v->vm, GUEST_GDT + COMPAT_CS, 0x00cf9b000000ffffUL);
	put(v->vm, GUEST_PD + 8 * (LOW_WINDOW >> 21), PT_A | RIGHTS);
	put(v->vm, PT_A, CODE_A | RIGHTS);
	memcpy(v->vm->mem + CODE_A, code_by_mode, sizeof(code_by_mode));
	expect_store(v, 0, VALUE); /* LOW_WINDOW + 6 + 0xeffffffa - 2^32 */
	expect_store(v, 0, VALUE);
	expect_store(v, 0xeffffffa - GUEST_MMIO, VALUE);
	expect_store(v, 0xeffffffa - GUEST_MMIO, VALUE);
	expect_store(v, 0, VALUE);
	expect_done(v);
}

/* --- slots --- */

#define SLOT_GPA (64 * MiB)

static void slot_payload(uint64_t arg)
{
	for (int i = 1;; i++) {
		access_at(SLOT_GPA, arg);
		access_at(SLOT_GPA, arg);
		guest_sync(i);
	}
}

static void code_is_in_another_slot(void **state)
{
	struct vcpu *v = guest_new(slot_payload, GUEST_MMIO);
	uint8_t *a = map_anon(PAGE_SIZE), *b = map_anon(PAGE_SIZE);

	(void)state;
	memcpy(a, code_a, sizeof(code_a));
	memcpy(b, code_b, sizeof(code_b));
	for (int i = 1; i <= 4; i++) {
		vm_set_slot(v->vm, 1, 0, SLOT_GPA, PAGE_SIZE, i % 2 ? a : b);
		for (int k = 0; k < 2; k++)
			expect_store(v, i % 2 ? 0 : 0x40, VALUE);
		expect_sync(v, i);
		vm_set_slot(v->vm, 1, 0, SLOT_GPA, 0, a);
	}
	vm_free(v->vm);
	munmap(a, PAGE_SIZE);
	munmap(b, PAGE_SIZE);
}

/* The instruction is known by its access to another page when it comes to the covered one. */
static void covered_payload(uint64_t arg)
{
	for (int i = 1;; i++) {
		access_at(SLOT_GPA, arg + PAGE_SIZE);
		access_at(SLOT_GPA, arg);
		access_at(SLOT_GPA, arg);
		guest_sync(i);
	}
}

/* Memory where the device is: it goes before. */
static void memory_covers_the_device(void **state)
{
	struct vcpu *v = guest_new(covered_payload, GUEST_MMIO);
	uint8_t *code = map_anon(PAGE_SIZE);
	uint32_t *over = map_anon(PAGE_SIZE);
	int fd = set_notifier(v->vm);

	(void)state;
	memcpy(code, code_a, sizeof(code_a));
	vm_set_slot(v->vm, 1, 0, SLOT_GPA, PAGE_SIZE, code);
	expect_store(v, PAGE_SIZE, VALUE);
	expect_sync(v, 1);
	assert_int_equal(signalled(fd), 2);
	vm_set_slot(v->vm, 2, 0, GUEST_MMIO, PAGE_SIZE, over);
	expect_store(v, PAGE_SIZE, VALUE);
	expect_sync(v, 2);
	assert_int_equal(signalled(fd), 0);
	assert_int_equal(*over, VALUE);
	vm_set_slot(v->vm, 2, 0, GUEST_MMIO, 0, over);
	expect_store(v, PAGE_SIZE, VALUE);
	expect_sync(v, 3);
	assert_int_equal(signalled(fd), 2);
	vm_free(v->vm);
	munmap(code, PAGE_SIZE);
	munmap(over, PAGE_SIZE);
	close(fd);
}

/* --- what a move does --- */

#define OLD 0x8877665544332211UL

#define LOAD(name, insn)                                                           \
	static __attribute__((noinline)) uint64_t load_##name(uint64_t at)         \
	{                                                                          \
		uint64_t rax = OLD;                                                \
		asm volatile(insn : "+a"(rax) : "D"(at), "c"(0) : "r8", "memory"); \
		return rax;                                                        \
	}

LOAD(byte, "mov (%%rdi), %%al")
LOAD(high, "mov (%%rdi), %%ah")
LOAD(word, "mov (%%rdi,%%rcx,4), %%ax")
LOAD(long, "mov -8(%%rdi,%%rcx), %%eax")
LOAD(zero, "movzbl (%%rdi), %%eax")
LOAD(sign, "movsbq (%%rdi), %%rax")
LOAD(far, "mov %%fs:(%%rcx), %%eax")
LOAD(extended, "mov %%rdi, %%r8; mov (%%r8), %%r8d; mov %%r8, %%rax")
LOAD(by_rsp, "mov %%rsp, %%r8; mov %%rdi, %%rsp; mov (%%rsp), %%eax; mov %%r8, %%rsp")
LOAD(to_rsp, "mov %%rsp, %%r8; mov (%%rdi), %%esp; mov %%rsp, %%rax; mov %%r8, %%rsp")

/* The first time the instruction is new, the others it may be known. */
static void check_load(uint64_t (*load)(uint64_t), uint64_t at, uint64_t wanted)
{
	for (int i = 0; i < 3; i++)
		guest_assert_eq(load(at), wanted);
}

static volatile uint64_t steps, stepped_to;
extern const char step_end[];

static void on_step(struct guest_frame *f)
{
	steps++;
	stepped_to = f->rip;
	f->rflags &= ~(1UL << 8);
}

/* TF is set for one instruction, the access: the trap comes right behind it, each time. */
static void step_over(uint64_t at)
{
	asm volatile("pushfq\n"
		     "orl $0x100, (%%rsp)\n"
		     "popfq\n"
		     "mov (%0), %%eax\n"
		     ".global step_end\n"
		     "step_end: nop"
		     :
		     : "r"(at)
		     : "rax", "memory", "cc");
}

static void check_flags(uint64_t at)
{
	uint64_t before = 0x8d5, after;

	asm volatile("push %[before]\n"
		     "popfq\n"
		     "mov (%[at]), %%eax\n"
		     "pushfq\n"
		     "pop %[after]"
		     : [after] "=&r"(after)
		     : [before] "r"(before), [at] "r"(at)
		     : "rax", "memory", "cc");
	guest_assert_eq(after & 0x8d5, before);
}

static void moves_payload(uint64_t at)
{
	uint32_t v;

	mmio_write32(IOAPIC_BASE, 0x10); /* a redirection entry, whose vector can be any */
	mmio_write32(at, 0x100c2);       /* masked */
	v = mmio_read32(at);
	guest_assert_eq(v, 0x100c2);
	wrmsr(0xc0000100, at);
	check_load(load_byte, at, (OLD & ~0xffUL) | 0xc2);
	check_load(load_high, at, (OLD & ~0xff00UL) | 0xc200);
	check_load(load_word, at, (OLD & ~0xffffUL) | 0x00c2);
	check_load(load_long, at + 8, v);
	check_load(load_zero, at, 0xc2);
	check_load(load_sign, at, 0xffffffffffffffc2UL);
	check_load(load_far, at, v);
	check_load(load_extended, at, v);
	check_load(load_by_rsp, at, v);
	check_load(load_to_rsp, at, v);
	guest_handler[1] = on_step;
	for (uint64_t i = 1; i <= 3; i++) {
		step_over(at);
		guest_assert_eq(steps, i);
		guest_assert_eq(stepped_to, (uint64_t)step_end);
		check_flags(at);
	}
	for (uint32_t i = 0; i < 3; i++) {
		asm volatile("movl $0x10055, (%0)" : : "r"(at) : "memory");
		guest_assert_eq(mmio_read32(at), 0x10055);
		mmio_write32(at, 0x10030 + i);
		guest_assert_eq(mmio_read32(at), 0x10030 + i);
		asm volatile("addl $3, (%0)" : : "r"(at) : "memory", "cc");
		guest_assert_eq(mmio_read32(at), 0x10033 + i);
	}
}

static void moves(void **state)
{
	struct vcpu *v = guest_new_irqchip(moves_payload, IOAPIC_BASE + 0x10);

	(void)state;
	expect_done(v);
}

/* --- userspace has the last word --- */

static void waiting_payload(uint64_t at)
{
	for (int i = 0; i < 3; i++)
		guest_assert_eq(load_long(at + 8), 0x1000 + i);
	guest_sync(1);
	guest_assert_eq(load_long(at + 8), 0); /* never comes back from here */
}

static void other_place(uint64_t rdi)
{
	uint64_t rax;

	asm volatile("" : "=a"(rax));
	guest_assert_eq(rax, rdi);
	guest_sync(2);
}

/* Moved elsewhere while a known load waits for userspace: its value is lost, nothing else. */
static void userspace_may_move_the_vcpu(void **state)
{
	struct vcpu *v = guest_new(waiting_payload, GUEST_MMIO);
	struct kvm_regs regs;

	(void)state;
	for (int i = 0; i < 3; i++)
		*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 4) = 0xffff00001000 + i;
	expect_sync(v, 1);
	*(uint64_t *)expect_mmio(v, false, GUEST_MMIO, 4) = 5;
	regs = vcpu_regs(v);
	regs.rip = (uintptr_t)other_place;
	regs.rdi = 77;
	regs.rax = 77;
	must(ioctl(v->fd, KVM_SET_REGS, &regs));
	expect_sync(v, 2);
}

static const struct CMUnitTest tests[] = {
	TEST(page_tables_change),
	TEST(another_root),
	TEST(the_operand_moves),
	TEST(code_changes),
	TEST(code_of_two_processes),
	TEST(mode_changes),
	TEST(code_is_in_another_slot),
	TEST(memory_covers_the_device),
	TEST(moves),
	TEST(userspace_may_move_the_vcpu),
};

TEST_MAIN("guest_fetch", tests)
