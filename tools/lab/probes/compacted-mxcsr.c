// SPDX-License-Identifier: GPL-2.0-only
/*
 * XRSTOR of a compacted image whose SSE component is in its initial state resets MXCSR, too.
 * SDM, "Compacted Form of XRSTOR".
 */
#include "probe.h"

#define CR4_OSXSAVE   (1u << 18)
#define X87_AND_SSE   3u
#define COMPACTED     (1ul << 63)
#define MXCSR_INITIAL 0x1f80u
#define MXCSR_INEXACT 0x1fa0u /* the same with PE, as after any inexact result */

static struct {
	uint8_t legacy[512];
	uint64_t xstate_bv, xcomp_bv, reserved[6];
} image __attribute__((aligned(64)));

int main(void)
{
	uint32_t mxcsr = MXCSR_INEXACT;

	write_cr(4, read_cr(4) | CR4_OSXSAVE);
	__asm__ volatile("xsetbv" ::"c"(0), "a"(X87_AND_SSE), "d"(0));
	image.xcomp_bv = COMPACTED | X87_AND_SSE;
	__asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
	__asm__ volatile("xrstor %0" ::"m"(image), "a"(X87_AND_SSE), "d"(0) : "memory");
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	if (mxcsr != MXCSR_INITIAL)
		fail("MXCSR", mxcsr);
	pass();
}
