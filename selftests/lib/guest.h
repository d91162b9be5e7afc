/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest side of the in-lab tests. A test program is its own guest: its image is copied into
 * guest RAM at the addresses it is linked to, and the guest maps memory one to one, so a C
 * function of the test can be the guest's code, and globals have a copy on each side.
 * Guest code must not call libc and must not use the FPU unless it means to.
 */
#ifndef SELFTESTS_GUEST_H
#define SELFTESTS_GUEST_H

#include <stdbool.h>
#include <stdint.h>

/* Guest-physical layout below the image (which is linked at 4 MiB). */
#define GUEST_PML4       0x1000
#define GUEST_PDPT       0x2000
#define GUEST_PD         0x3000 /* four pages: 0..4 GiB */
#define GUEST_PD_ALIAS   0x7000 /* the window at GUEST_VA_ALIAS */
#define GUEST_GDT        0x8000
#define GUEST_IDT        0x9000
#define GUEST_TSS        0xa000
#define GUEST_BLOB       0x10000 /* free for real-mode code; up to 0x80000 */
#define GUEST_STACKS     0x200000
#define GUEST_STACK_SIZE 0x10000      /* per vCPU; its bottom holds the report */
#define GUEST_FREE       0x800000     /* free for tests, to the end of RAM */
#define GUEST_MMIO       0xd0000000UL /* backed by nothing */

/* Linear addresses above 4 GiB: not mapped, except these two aliases of GUEST_FREE (2 MiB). */
#define GUEST_VA_RO      0x100000000UL
#define GUEST_VA_NX      0x100200000UL
#define GUEST_VA_NONE    0x140000000UL /* never mapped */

#define GUEST_CS         0x08
#define GUEST_DS         0x10
#define GUEST_TR         0x28

enum guest_report_kind {
	REPORT_DONE = 1,
	REPORT_SYNC,      /* value[0] = n, the rest free */
	REPORT_FAIL,      /* an assertion: file, line, expression, two values */
	REPORT_EXCEPTION, /* nobody handles it: vector, error, rip, cr2 */
};

/* At the bottom of the vCPU's stack. */
struct guest_report {
	uint64_t kind;
	uint64_t value[6];
};

#define REPORT_PORT 0x500 /* a doubleword OUT here is a report */

/* Pushed by the entry stubs; what the processor pushed comes last. */
struct guest_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

typedef void (*guest_handler_fn)(struct guest_frame *frame);

/* Handlers by vector; without one an event ends the test. Set them in the guest. */
extern guest_handler_fn guest_handler[256];
extern const char guest_stubs[]; /* 16 bytes per vector */

void guest_report(uint64_t kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);
void guest_exit(void);

static inline void guest_sync(uint64_t n)
{
	guest_report(REPORT_SYNC, n, 0, 0, 0, 0);
}

static inline void guest_sync_values(uint64_t n, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	guest_report(REPORT_SYNC, n, a, b, c, d);
}

#define guest_assert_eq(x, y)                                                    \
	do {                                                                     \
		uint64_t x_ = (uint64_t)(x), y_ = (uint64_t)(y);                 \
		if (x_ != y_)                                                    \
			guest_report(REPORT_FAIL, (uintptr_t)__FILE__, __LINE__, \
				     (uintptr_t)(#x " == " #y), x_, y_);         \
	} while (0)

#define guest_assert(x)                                                                          \
	do {                                                                                     \
		if (!(x))                                                                        \
			guest_report(REPORT_FAIL, (uintptr_t)__FILE__, __LINE__, (uintptr_t) #x, \
				     0, 1);                                                      \
	} while (0)

/* --- instructions --- */

static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t v)
{
	asm volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static inline void guest_cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	asm volatile("cpuid"
		     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
		     : "a"(leaf), "c"(sub));
}

#define read_cr(n)                                                           \
	({                                                                   \
		uint64_t cr_;                                                \
		asm volatile("mov %%cr" #n ", %0" : "=r"(cr_) : : "memory"); \
		cr_;                                                         \
	})
#define write_cr(n, v) asm volatile("mov %0, %%cr" #n : : "r"((uint64_t)(v)) : "memory")
#define read_dr(n)                                                           \
	({                                                                   \
		uint64_t dr_;                                                \
		asm volatile("mov %%dr" #n ", %0" : "=r"(dr_) : : "memory"); \
		dr_;                                                         \
	})
#define write_dr(n, v) asm volatile("mov %0, %%dr" #n : : "r"((uint64_t)(v)) : "memory")

#define sti()          asm volatile("sti" : : : "memory")
#define cli()          asm volatile("cli" : : : "memory")
#define hlt()          asm volatile("hlt" : : : "memory")
#define sti_hlt()      asm volatile("sti; hlt" : : : "memory")
#define cpu_relax()    asm volatile("pause" : : : "memory")

static inline void mmio_write32(uint64_t addr, uint32_t v)
{
	asm volatile("movl %1, %0" : "=m"(*(volatile uint32_t *)addr) : "r"(v) : "memory");
}

static inline uint32_t mmio_read32(uint64_t addr)
{
	uint32_t v;

	asm volatile("movl %1, %0" : "=r"(v) : "m"(*(volatile uint32_t *)addr) : "memory");
	return v;
}

/* --- local APIC, IOAPIC --- */

#define XAPIC_BASE          0xfee00000UL
#define IOAPIC_BASE         0xfec00000UL
#define APIC_ID             0x20
#define APIC_VERSION        0x30
#define APIC_TPR            0x80
#define APIC_PPR            0xa0
#define APIC_EOI            0xb0
#define APIC_LDR            0xd0
#define APIC_DFR            0xe0
#define APIC_SVR            0xf0
#define APIC_ISR            0x100
#define APIC_IRR            0x200
#define APIC_ESR            0x280
#define APIC_ICR_LO         0x300
#define APIC_ICR_HI         0x310
#define APIC_LVT_TIMER      0x320
#define APIC_LVT_LINT0      0x350
#define APIC_LVT_LINT1      0x360
#define APIC_LVT_ERROR      0x370
#define APIC_TMICT          0x380
#define APIC_TMCCT          0x390
#define APIC_TDCR           0x3e0
#define APIC_SELF_IPI       0x3f0 /* x2APIC */

#define APIC_LVT_MASKED     (1u << 16)
#define APIC_TIMER_PERIODIC (1u << 17)
#define APIC_TIMER_DEADLINE (2u << 17)
#define APIC_MODE_EXTINT    (7u << 8)

#define MSR_TSC             0x10
#define MSR_APIC_BASE       0x1b
#define MSR_TSC_DEADLINE    0x6e0
#define MSR_X2APIC          0x800
#define APIC_BASE_ENABLE    (1u << 11)
#define APIC_BASE_X2APIC    (1u << 10)

static inline uint32_t xapic_read(uint32_t reg)
{
	return mmio_read32(XAPIC_BASE + reg);
}

static inline void xapic_write(uint32_t reg, uint32_t v)
{
	mmio_write32(XAPIC_BASE + reg, v);
}

static inline uint64_t x2apic_read(uint32_t reg)
{
	return rdmsr(MSR_X2APIC + (reg >> 4));
}

static inline void x2apic_write(uint32_t reg, uint64_t v)
{
	wrmsr(MSR_X2APIC + (reg >> 4), v);
}

static inline void ioapic_write(uint32_t index, uint32_t v)
{
	mmio_write32(IOAPIC_BASE, index);
	mmio_write32(IOAPIC_BASE + 0x10, v);
}

static inline uint32_t ioapic_read(uint32_t index)
{
	mmio_write32(IOAPIC_BASE, index);
	return mmio_read32(IOAPIC_BASE + 0x10);
}

/* Enable the APIC by the spurious-vector register, in xAPIC or x2APIC mode. */
void guest_xapic_enable(void);
void guest_x2apic_enable(void);
/* Initialise the PIC pair: vectors 0x20 and 0x28, nothing masked but what @mask says. */
void guest_pic_init(uint16_t mask);
/* Program redirection entry @pin. */
void guest_ioapic_pin(uint32_t pin, uint32_t low, uint32_t high);
/* Run @insn and return the exception vector it raised, or -1; error code in *error. */
int guest_catch(void (*insn)(void), uint32_t *error);

#endif
