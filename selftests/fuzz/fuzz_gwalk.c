// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz target: arbitrary page tables and control registers through the page-table walker.
 *
 * Guest memory is a few pages of the input, so that entries often point at one another. Whatever
 * the guest builds, a walk ends, stays within the physical width, reports one consistent outcome,
 * and changes nothing but accessed and dirty flags.
 *
 * Input: struct input, cut short or zero-filled. Links with: arch/x86/gwalk.c
 */
#include <stdio.h>
#include <stdlib.h>

#include <gwalk.h>

#define MEM_PAGES 4
#define MEM_SIZE  (MEM_PAGES * 4096)

#define PTE_A     0x20ULL
#define PTE_D     0x40ULL

struct input {
	struct gwalk w;
	u64 la;
	u32 access;
	u32 entries; /* how many of ->entry are used */
	struct {
		u16 where; /* 8-byte slot in guest memory */
		u64 value;
	} entry[16];
};

#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

static u8 memory[MEM_SIZE], before[MEM_SIZE];
static unsigned int reads;

/* Every physical address names one of the few pages. */
static int read_memory(void *ctx, u64 gpa, void *buf, size_t n)
{
	(void)ctx;
	CHECK(n == 4 || n == 8);
	CHECK(gpa % n == 0 && gpa < BIT_ULL(52));
	reads++;
	memcpy(buf, memory + gpa % MEM_SIZE, n);
	return 0;
}

static int update_memory(void *ctx, u64 gpa, u64 old, u64 new, size_t n)
{
	u64 now = 0;

	(void)ctx;
	CHECK(gpa % n == 0 && gpa < BIT_ULL(52));
	memcpy(&now, memory + gpa % MEM_SIZE, n);
	if (now != old)
		return -EAGAIN; /* one entry serves two levels */
	CHECK((old ^ new) && !((old ^ new) & ~(PTE_A | PTE_D)) && (new &old) == old);
	memcpy(memory + gpa % MEM_SIZE, &new, n);
	return 0;
}

static void check_unchanged_but_flags(void)
{
	for (size_t i = 0; i < MEM_SIZE; i += 8) {
		u64 a, b, flags = PTE_A | PTE_D;

		memcpy(&a, before + i, 8);
		memcpy(&b, memory + i, 8);
		flags |= flags << 32; /* two short entries */
		CHECK(!((a ^ b) & ~flags) && (a & b) == a);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const struct gwalk_ops look = { .read = read_memory };
	static const struct gwalk_ops touch = { .read = read_memory, .update = update_memory };
	struct gwalk_result r, r2;
	struct input in = { 0 };
	u64 offset;
	int ret;

	memcpy(&in, data, min(size, sizeof(in)));
	in.w.gbpages = in.la & 1;
	in.w.have_pdpte = in.la & 2;
	memset(memory, 0, sizeof(memory));
	for (u32 i = 0; i < in.entries % 17; i++)
		memcpy(memory + in.entry[i].where % (MEM_SIZE / 8) * 8, &in.entry[i].value, 8);
	memcpy(before, memory, sizeof(memory));

	reads = 0;
	ret = gwalk_translate(&in.w, &look, NULL, in.la, in.access, &r);
	CHECK(ret == 0 || ret == -EFAULT);
	CHECK(reads <= 5);
	CHECK(!memcmp(before, memory, sizeof(memory)));
	if (ret == 0) {
		offset = r.page_size - 1;
		CHECK(r.page_size >= 4096 && !(r.page_size & offset));
		CHECK((r.gpa & offset) == (in.la & offset) && r.gpa < BIT_ULL(52));
		CHECK(r.error_code == 0);
	} else {
		CHECK(!(r.error_code & ~0x3f));
		CHECK(!(r.error_code & GWALK_PF_WRITE) == !(in.access & GWALK_WRITE));
	}

	ret = gwalk_translate(&in.w, &touch, NULL, in.la, in.access, &r2);
	CHECK(ret == 0 || ret == -EFAULT || ret == -EAGAIN);
	check_unchanged_but_flags();
	if (ret == -EFAULT)
		CHECK(!memcmp(before, memory, sizeof(memory)) && r2.error_code == r.error_code);
	return 0;
}
