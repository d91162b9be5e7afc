// SPDX-License-Identifier: GPL-2.0-only
/*
 * An exception handler whose first instruction can't be fetched: the page fault's saved RIP is that
 * of the handler, not of the instruction that raised the first exception. Needs two processors.
 * SDM, "Return from Fault": the saved state is that of the instruction that faulted.
 */
#include "probe.h"

#define VECTOR_UD 6
#define VECTOR_PF 14

static void __attribute__((used)) judge(uint64_t *stack)
{
	struct frame *fault = (struct frame *)(stack + 1); /* after the error code */

	if (read_cr(2) != UNUSED_MEMORY)
		fail("page fault at", read_cr(2));
	if (fault->rip != UNUSED_MEMORY)
		fail("the page fault's saved RIP is", fault->rip);
	pass();
}

static void __attribute__((naked)) page_fault(void)
{
	__asm__ volatile("mov %rsp, %rdi\n\t"
			 "and $-16, %rsp\n\t"
			 "call judge");
}

int main(void)
{
	unmap_large(UNUSED_MEMORY);
	set_handler(VECTOR_UD, (void (*)(void))UNUSED_MEMORY);
	set_handler(VECTOR_PF, page_fault);
	__asm__ volatile("ud2");
	fail("no exception", 0);
}
