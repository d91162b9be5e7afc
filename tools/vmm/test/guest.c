/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest of a few lines for the VMM's own test (in-guest): an ELF "kernel" that does what the
 * command line says and then powers off. It runs in 64-bit mode on the boot page tables, with
 * interrupts off and no IDT, and talks through COM1.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <asm/bootparam.h>

#define COM1        0x3f8
#define COM1_FCR    (COM1 + 2)
#define COM1_MCR    (COM1 + 4)
#define COM1_LSR    (COM1 + 5)
#define PM1_CONTROL 0x604
#define POWER_OFF   (5 << 10 | 1 << 13)

#define TRAMPOLINE  0x60000UL /* where the second processor starts: SIPI vector 0x60 */
#define AP_FLAG     ((volatile uint32_t *)0x60800UL)
#define APIC_ICR_LO ((volatile uint32_t *)0xfee00300UL)
#define APIC_ICR_HI ((volatile uint32_t *)0xfee00310UL)
#define ICR_INIT    0x4500
#define ICR_STARTUP 0x4600

#define NOWHERE     ((volatile uint32_t *)0xd0000000UL) /* in the PCI window, no BAR there */

asm(".globl _start\n"
    "_start: lea stack_end(%rip), %rsp\n"
    "	mov %rsi, %rdi\n"
    "	call guest\n"
    "1:	hlt\n"
    "	jmp 1b\n"
    ".bss\n"
    ".align 16\n"
    ".skip 4096\n"
    "stack_end:\n"
    ".text\n"
    ".code16\n"
    "ap_start: mov $0x6000, %ax\n"
    "	mov %ax, %ds\n"
    "	movl $0x600d, 0x800\n"
    "1:	hlt\n"
    "	jmp 1b\n"
    "ap_end:\n"
    ".code64\n");

extern const uint8_t ap_start[], ap_end[];

static void outb(uint16_t port, uint8_t val)
{
	asm volatile("outb %0, %1" : : "a"(val), "Nd"(port));
}

static uint8_t inb(uint16_t port)
{
	uint8_t val;

	asm volatile("inb %1, %0" : "=a"(val) : "Nd"(port));
	return val;
}

/* One string instruction: the VMM sees several elements in one exit. */
static void print(const char *s)
{
	size_t len = 0;

	while (s[len])
		len++;
	asm volatile("rep outsb" : "+S"(s), "+c"(len) : "d"(COM1) : "memory");
}

static bool word_is(const char *word, const char *expected)
{
	while (*expected && *word == *expected)
		word++, expected++;
	return !*word && !*expected;
}

static void echo(void)
{
	uint8_t c;

	outb(COM1_MCR, 2); /* RTS: ready for input */
	do {
		while (!(inb(COM1_LSR) & 1))
			;
		c = inb(COM1);
		outb(COM1, c >= 'a' && c <= 'z' ? c - 32 : c);
	} while (c != '\n');
}

/* Throws away what has come so far, all of it: the rest must still come. */
static void flush_and_echo(void)
{
	outb(COM1_MCR, 2);
	while (!(inb(COM1_LSR) & 1))
		;
	outb(COM1_FCR, 1 | 2); /* FIFO on, receiver cleared */
	echo();
}

static void start_ap(void)
{
	for (size_t i = 0; ap_start + i < ap_end; i++)
		((volatile uint8_t *)TRAMPOLINE)[i] = ap_start[i];
	*AP_FLAG = 0;
	*APIC_ICR_HI = 1U << 24;
	*APIC_ICR_LO = ICR_INIT;
	*APIC_ICR_HI = 1U << 24;
	*APIC_ICR_LO = ICR_STARTUP | TRAMPOLINE >> 12;
	while (*AP_FLAG != 0x600d)
		asm volatile("pause");
	print("the second processor is up\n");
}

static void mmio(void)
{
	*NOWHERE = 0;
	print(*NOWHERE == 0xffffffff ? "all ones\n" : "something else\n");
}

void guest(const struct boot_params *bp)
{
	const char *word = (const char *)(uintptr_t)bp->hdr.cmd_line_ptr;

	if (word_is(word, "hello"))
		print("hello from the guest\n");
	else if (word_is(word, "echo"))
		echo();
	else if (word_is(word, "flush"))
		flush_and_echo();
	else if (word_is(word, "ap"))
		start_ap();
	else if (word_is(word, "mmio"))
		mmio();
	else if (word_is(word, "cf9"))
		outb(0xcf9, 6);
	else if (word_is(word, "i8042"))
		outb(0x64, 0xfe);
	else if (word_is(word, "triple"))
		asm volatile("ud2");
	else if (word_is(word, "spin"))
		for (;;)
			asm volatile("pause");
	else if (word_is(word, "halt"))
		asm volatile("cli; hlt");
	else
		print("unknown word\n");
	asm volatile("outw %0, %1" : : "a"((uint16_t)POWER_OFF), "Nd"((uint16_t)PM1_CONTROL));
}
