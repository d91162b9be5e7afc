/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a probe has to work with. A probe is a bare 64-bit program that the boot ROM enters instead
 * of a kernel, to show one property of the emulator that the project depends on. It runs in ring 0
 * on an identity map of the first 4 GiB, with interrupts off and both PICs masked.
 * Each probe is one file with a main(); it ends in pass() or fail(), which power the machine off.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE     4096
#define __page        __attribute__((aligned(PAGE_SIZE)))
#define UNUSED_MEMORY (64ul << 20) /* a large page in which nothing lies */

/* Selectors of start.S */
#define SEL_CODE      0x10
#define SEL_DATA      0x18
#define SEL_TSS       0x20

struct idt_entry {
	uint16_t offset_lo, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_hi, zero;
};

struct __attribute__((packed)) table_pointer {
	uint16_t limit;
	uint64_t base;
};

/* What the CPU pushes for an exception or an interrupt in 64-bit mode, without error code. */
struct frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

extern struct idt_entry idt[256];
extern uint8_t tss[104];

/* start.c */
void __attribute__((noreturn)) pass(void);
void __attribute__((noreturn)) fail(const char *why, uint64_t value);
void set_handler(unsigned int vector, void (*handler)(void));
void unmap_large(uint64_t address);
void lapic_enable(void);
void lapic_self_ipi(uint8_t vector);
void lapic_timer(uint8_t vector, uint32_t count, uint32_t divide);
int main(void);

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t rdmsr(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index));
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t index, uint64_t value)
{
	__asm__ volatile("wrmsr" ::"c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

#define read_cr(n)                                                  \
	({                                                          \
		uint64_t cr_;                                       \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(cr_)); \
		cr_;                                                \
	})

#define write_cr(n, value) __asm__ volatile("mov %0, %%cr" #n ::"r"((uint64_t)(value)) : "memory")

#endif /* PROBE_H */
