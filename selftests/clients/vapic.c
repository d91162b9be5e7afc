// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit guest for QEMU's kvmvapic, which speeds up kernels that use the TPR of the xAPIC page:
 * an access that exits is reported to QEMU, which replaces the instruction by a call into its
 * option ROM, where the TPR is a byte in memory. This guest is laid out as QEMU wants it to be,
 * which is as Windows does it; it uses each of the six instructions that QEMU knows, looks whether
 * it is a call then, and that the TPR holds interrupts back and lets them pass as before. Leaves
 * out: more than one vCPU. A multiboot image, started by tools/check/clients; its words go to the
 * serial port.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL    0x80000000u /* QEMU patches from here on; what lies at 0 is here, too */
#define LAPIC     0xfee00000u
#define TPR       0x80
#define EOI       0xb0
#define SVR       0xf0
#define ICR       0x300
#define SELF_IPI  0x44000 /* ICR: to itself, asserted, fixed */
#define LOW       0x41
#define HIGH      0x61
#define LARGE     (1u << 22)
#define PDE_LARGE 0x83 /* present, writable, 4 MiB */
#define PDE_PCD   0x10

/* Multiboot's header, with the addresses of a flat image in it; then: a stack, main(). */
asm(".section .head, \"ax\"\n"
    "header: .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)\n"
    ".long header, header, image_end, bss_end, _start\n"
    "_start: movl $stack_top, %esp\n"
    "	call main\n"
    ".bss\n"
    ".balign 16\n"
    "stack: .skip 16384\n"
    "stack_top:\n"
    ".text\n");

/* The instructions by which the TPR is used: value in EAX, or in ECX where the name says so. */
asm("write_eax:	movl %eax, 0xfee00080\n ret\n"
    "write_ecx: movl %ecx, 0xfee00080\n ret\n"
    "write_imm:	movl $0x50, 0xfee00080\n ret\n"
    "read_eax:	movl 0xfee00080, %eax\n ret\n"
    "read_ecx:	movl 0xfee00080, %ecx\n movl %ecx, %eax\n ret\n"
    "read_push:	pushl 0xfee00080\n popl %eax\n ret\n");
extern uint8_t write_eax[], write_ecx[], write_imm[], read_eax[], read_ecx[], read_push[];

static const struct {
	const char *name;
	volatile uint8_t *insn;
	int call; /* where in it QEMU puts the call */
} insn[] = {
	{ "mov eax to memory", write_eax, 0 },  { "mov ecx to memory", write_ecx, 1 },
	{ "mov 0x50 to memory", write_imm, 5 }, { "mov memory to eax", read_eax, 0 },
	{ "mov memory to ecx", read_ecx, 1 },   { "push memory", read_push, 1 },
};

static uint32_t page_directory[1024] __attribute__((aligned(4096)));
static struct {
	uint16_t low, selector, kind, high;
} idt[256];
/* Where Windows keeps its processor's number: the block knows its own address. */
static uint8_t processor[0x100];
static volatile int low, high;

/* --- the machine --- */

static void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void say(const char *text)
{
	for (; *text; text++) {
		while (!(inb(0x3f8 + 5) & 0x20))
			;
		outb(0x3f8, (uint8_t)*text);
	}
}

/* The keyboard controller resets the machine, by which QEMU ends. */
static void __attribute__((noreturn)) end(const char *text)
{
	say(text);
	for (;;)
		outb(0x64, 0xfe);
}

/* Not by an instruction that QEMU replaces: the address is in a register. */
static volatile uint32_t *lapic(uint32_t offset)
{
	uint32_t address = LAPIC + offset;

	asm volatile("" : "+r"(address));
	return (volatile uint32_t *)address;
}

/* An exit that QEMU does not see. */
static void leave_and_return(void)
{
	uint32_t a = 0, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

struct frame;

static void __attribute__((interrupt)) on_low(struct frame *f)
{
	(void)f;
	low++;
	*lapic(EOI) = 0;
}

static void __attribute__((interrupt)) on_high(struct frame *f)
{
	(void)f;
	high++;
	*lapic(EOI) = 0;
}

static void __attribute__((interrupt)) on_exception(struct frame *f)
{
	(void)f;
	end("vapic: failed: an exception\r\n");
}

static void set_gate(int vector, void (*handler)(struct frame *f))
{
	uint32_t address = (uint32_t)handler;

	idt[vector].low = (uint16_t)address;
	idt[vector].high = (uint16_t)(address >> 16);
	idt[vector].selector = 0x08;
	idt[vector].kind = 0x8e00;
}

/* Flat segments, but FS begins at the block of the processor. */
static void load_descriptors(void)
{
	static uint64_t gdt[4] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };
	uint32_t base = (uint32_t)processor;
	struct __attribute__((packed)) {
		uint16_t limit;
		uint32_t base;
	} gdtr = { sizeof(gdt) - 1, (uint32_t)gdt }, idtr = { sizeof(idt) - 1, (uint32_t)idt };

	*(uint32_t *)(processor + 0x1c) = base;
	gdt[3] = 0x00cf93000000ffff | (uint64_t)(base & 0xffffff) << 16 |
		 (uint64_t)(base >> 24) << 56;
	for (int vector = 0; vector < 32; vector++)
		set_gate(vector, on_exception);
	set_gate(LOW, on_low);
	set_gate(HIGH, on_high);
	asm volatile("lgdt %0\n"
		     "lidt %1\n"
		     "ljmp $0x08, $1f\n"
		     "1: movw %w2, %%ds; movw %w2, %%es; movw %w2, %%ss; movw %w3, %%fs"
		     :
		     : "m"(gdtr), "m"(idtr), "r"(0x10), "r"(0x18)
		     : "memory");
}

/* The first 16 MiB twice, and the LAPIC. */
static void enable_paging(void)
{
	uint32_t control;

	for (uint32_t i = 0; i < 4; i++) {
		page_directory[i] = i * LARGE | PDE_LARGE;
		page_directory[KERNEL / LARGE + i] = i * LARGE | PDE_LARGE;
	}
	page_directory[LAPIC / LARGE] = (LAPIC & -LARGE) | PDE_LARGE | PDE_PCD;
	asm volatile("movl %%cr4, %0; orl $0x10, %0; movl %0, %%cr4\n" /* PSE */
		     "movl %1, %%cr3\n"
		     "movl %%cr0, %0; orl $0x80000000, %0; movl %0, %%cr0"
		     : "=&r"(control)
		     : "r"(page_directory)
		     : "memory");
}

/* --- the test --- */

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	say("vapic: failed: ");
	end(what);
}

static uint32_t use(volatile uint8_t *instruction, uint32_t value)
{
	uint32_t ecx = value;

	asm volatile("call *%2"
		     : "+a"(value), "+c"(ecx)
		     : "r"((uint32_t)instruction + KERNEL)
		     : "memory", "cc");
	return value;
}

static void replaced(void)
{
	for (size_t i = 0; i < sizeof(insn) / sizeof(insn[0]); i++) {
		volatile uint8_t *call = &insn[i].insn[insn[i].call];
		uint8_t before = *call;

		use(insn[i].insn, 0x50);
		say("vapic: ");
		say(insn[i].name);
		say(before != 0xe8 && *call == 0xe8 ? " is a call now\r\n" : " is as it was\r\n");
	}
}

static void works(void)
{
	use(write_eax, 0x50);
	check(use(read_eax, 0) == 0x50, "a read after a write\r\n");
	check(use(read_ecx, 0) == 0x50 && use(read_push, 0) == 0x50, "the other reads\r\n");
	*lapic(ICR) = SELF_IPI | LOW;
	for (int i = 0; i < 100; i++)
		leave_and_return();
	check(!low, "the TPR does not hold back what is below it\r\n");
	*lapic(ICR) = SELF_IPI | HIGH;
	leave_and_return();
	check(high == 1, "the TPR holds back what is above it\r\n");
	use(write_imm, 0);
	leave_and_return();
	check(!low, "the TPR has changed without a write\r\n");
	use(write_ecx, 0x20);
	leave_and_return();
	check(low == 1 && high == 1, "what was held back has not come\r\n");
	check(*lapic(TPR) == 0x20, "the LAPIC has another TPR than memory\r\n");
}

void __attribute__((noreturn)) main(void);

void main(void)
{
	outb(0x21, 0xff); /* nothing from the legacy controllers */
	outb(0xa1, 0xff);
	load_descriptors();
	enable_paging();
	*lapic(SVR) = 0x1ff;
	asm volatile("sti");
	replaced();
	works();
	say("vapic: passed\r\n");
	end("demo: done\r\n");
}
