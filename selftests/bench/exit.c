// SPDX-License-Identifier: GPL-2.0-only
/*
 * Round trips: one instruction of the guest that exits, and back to the next instruction.
 */
#include "bench.h"

#define PIC_MASK_PORT 0x21
#define ELCR_PORT     0x4d0
#define NO_HYPERCALL  0x7fff

BATCH(batch_nothing, asm volatile(""));

BATCH(batch_cpuid, {
	uint32_t r[4];

	guest_cpuid(0, 0, r);
});

BATCH(batch_vmcall, {
	uint64_t nr = NO_HYPERCALL;

	asm volatile("vmcall" : "+a"(nr) : : "memory");
});

BATCH(batch_pio_kernel_in, inb(PIC_MASK_PORT));
BATCH(batch_pio_kernel_out, outb(ELCR_PORT, 0));
BATCH(batch_pio_user_in, inb(BENCH_PORT));
BATCH(batch_pio_user_out, outb(BENCH_PORT, 0));

#define ROUND_TRIP(NAME, OPS)                                                             \
	{                                                                                 \
		.name = "exit." #NAME, .run = run_loop, .batch = batch_##NAME, .ops = OPS \
	}

const struct bench_case exit_cases[] = {
	ROUND_TRIP(nothing, 32),        ROUND_TRIP(cpuid, 32),
	ROUND_TRIP(vmcall, 32),         ROUND_TRIP(pio_kernel_in, 32),
	ROUND_TRIP(pio_kernel_out, 32), ROUND_TRIP(pio_user_in, 16),
	ROUND_TRIP(pio_user_out, 16),   {},
};
