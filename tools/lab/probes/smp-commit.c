// SPDX-License-Identifier: GPL-2.0-only
/*
 * An exception handler whose first instruction can't be fetched: the page fault's saved RIP is that
 * of the handler, not of the instruction that raised the first exception. Needs two processors.
 * SDM, "Return from Fault": the saved state is that of the instruction that faulted.
 */
#include "probe.h"

#define LARGE_PAGE	(2ul << 20)
#define HANDLER		(64ul << 20)	/* a large page of which nothing is used */
#define PRESENT		1ul
#define VECTOR_UD	6
#define VECTOR_PF	14

static uint64_t *directory_entry(uint64_t address)
{
	uint64_t *pml4 = (uint64_t *)(read_cr(3) & ~0xffful);
	uint64_t *pdpt = (uint64_t *)(pml4[0] & ~0xffful);
	uint64_t *directory = (uint64_t *)(pdpt[address >> 30] & ~0xffful);

	return &directory[address / LARGE_PAGE % 512];
}

static void __attribute__((used)) judge(uint64_t *stack)
{
	struct frame *fault = (struct frame *)(stack + 1);	/* after the error code */

	if (read_cr(2) != HANDLER)
		fail("page fault at", read_cr(2));
	if (fault->rip != HANDLER)
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
	*directory_entry(HANDLER) &= ~PRESENT;
	write_cr(3, read_cr(3));
	set_handler(VECTOR_UD, (void (*)(void))HANDLER);
	set_handler(VECTOR_PF, page_fault);
	__asm__ volatile("ud2");
	fail("no exception", 0);
}
