// SPDX-License-Identifier: GPL-2.0-only
/*
 * What every probe shares: its verdict, interrupt vectors and the local APIC.
 * The verdict is one line on port 0xe9, "PROBE: pass" or "PROBE: fail: ...", for probes.py.
 */
#include "probe.h"

#define PORT_OUT           0xe9
#define PM1_CONTROL        0xb004 /* the firmware's choice for the PIIX4 */
#define PM1_SOFT_OFF       0x2000

#define MSR_APIC_BASE      0x1b
#define APIC_BASE_ENABLE   (1u << 11)
#define LAPIC              0xfee00000ul
#define LAPIC_SPIV         0x0f0
#define SPIV_ENABLE        0x100
#define LAPIC_ICR_LO       0x300
#define ICR_SELF           (1u << 18)
#define LAPIC_LVT_TIMER    0x320
#define LAPIC_TIMER_COUNT  0x380
#define LAPIC_TIMER_DIVIDE 0x3e0

#define LARGE_PAGE         (2ul << 20)
#define PTE_PRESENT        1ul
#define PTE_ADDRESS        (~0xffful)

static void say(const char *text)
{
	while (*text)
		outb(PORT_OUT, *text++);
}

static void __attribute__((noreturn)) power_off(void)
{
	say("\n");
	outw(PM1_CONTROL, PM1_SOFT_OFF);
	for (;;)
		__asm__ volatile("hlt");
}

/* Never returns: the property holds. */
void pass(void)
{
	say("PROBE: pass");
	power_off();
}

/* Never returns: it does not; value is whatever helps to see why. */
void fail(const char *why, uint64_t value)
{
	say("PROBE: fail: ");
	say(why);
	say(" (0x");
	for (int shift = 60; shift >= 0; shift -= 4)
		outb(PORT_OUT, "0123456789abcdef"[value >> shift & 15]);
	say(")");
	power_off();
}

void set_handler(unsigned int vector, void (*handler)(void))
{
	uint64_t offset = (uint64_t)handler;

	idt[vector] = (struct idt_entry){
		.offset_lo = offset,
		.selector = SEL_CODE,
		.type = 0x8e, /* 64-bit interrupt gate */
		.offset_mid = offset >> 16,
		.offset_hi = offset >> 32,
	};
}

/* Take one 2 MiB page out of the identity map. */
void unmap_large(uint64_t address)
{
	uint64_t *pml4 = (uint64_t *)(read_cr(3) & PTE_ADDRESS);
	uint64_t *pdpt = (uint64_t *)(pml4[0] & PTE_ADDRESS);
	uint64_t *directory = (uint64_t *)(pdpt[address >> 30] & PTE_ADDRESS);

	directory[address / LARGE_PAGE % 512] &= ~PTE_PRESENT;
	write_cr(3, read_cr(3));
}

static void lapic_write(unsigned int reg, uint32_t value)
{
	*(volatile uint32_t *)(LAPIC + reg) = value;
}

void lapic_enable(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE);
	lapic_write(LAPIC_SPIV, SPIV_ENABLE | 0xff);
}

void lapic_self_ipi(uint8_t vector)
{
	lapic_write(LAPIC_ICR_LO, ICR_SELF | vector);
}

/* One-shot. divide: the register's encoding (0xb is 1, 0xa is 128). */
void lapic_timer(uint8_t vector, uint32_t count, uint32_t divide)
{
	lapic_write(LAPIC_TIMER_DIVIDE, divide);
	lapic_write(LAPIC_LVT_TIMER, vector);
	lapic_write(LAPIC_TIMER_COUNT, count);
}
