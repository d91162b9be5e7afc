// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walker of guest page tables on tables built by hand.
 *
 * A few pages of guest memory hold one translation per mode; each case changes one bit of a table
 * or a control register and names the outcome the SDM gives it.
 *
 * Links with: arch/x86/gwalk.c -lcmocka
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <gwalk.h>

#define MEM_SIZE 0x10000

#define P        1ULL
#define W        2ULL
#define U        4ULL
#define A        0x20ULL
#define D        0x40ULL
#define PS       0x80ULL
#define NX       (1ULL << 63)
#define RWU      (P | W | U)
#define PF_P     GWALK_PF_PRESENT

#define CR0_WP   (1ULL << 16)
#define CR0_PG   (1ULL << 31)
#define CR4_PSE  (1ULL << 4)
#define CR4_PAE  (1ULL << 5)
#define CR4_LA57 (1ULL << 12)
#define CR4_SMEP (1ULL << 20)
#define CR4_SMAP (1ULL << 21)
#define CR4_PKE  (1ULL << 22)
#define EFER_LMA (1ULL << 10)
#define EFER_NXE (1ULL << 11)
#define RFL_AC   (1ULL << 18)

static u8 memory[MEM_SIZE];
static unsigned int reads, updates, races;

static int read_memory(void *ctx, u64 gpa, void *buf, size_t n)
{
	assert_ptr_equal(ctx, memory);
	reads++;
	if (gpa > MEM_SIZE - n)
		return -ENXIO;
	memcpy(buf, memory + gpa, n);
	return 0;
}

/* While @races lasts, another CPU changes the entry first: it sets the accessed flag itself. */
static int update_memory(void *ctx, u64 gpa, u64 old, u64 new, size_t n)
{
	u64 now = 0;

	assert_ptr_equal(ctx, memory);
	assert_true(n == 4 || n == 8);
	memcpy(&now, memory + gpa, n);
	if (races) {
		races--;
		now ^= 0x200; /* an ignored bit */
		memcpy(memory + gpa, &now, n);
	}
	if (now != old)
		return -EAGAIN;
	updates++;
	memcpy(memory + gpa, &new, n);
	return 0;
}

static const struct gwalk_ops read_only = { .read = read_memory };
static const struct gwalk_ops read_write = { .read = read_memory, .update = update_memory };

static u64 get64(u64 gpa)
{
	u64 value;

	memcpy(&value, memory + gpa, 8);
	return value;
}

static void put64(u64 gpa, u64 value)
{
	memcpy(memory + gpa, &value, 8);
}

static void put32(u64 gpa, u32 value)
{
	memcpy(memory + gpa, &value, 4);
}

static int clear_memory(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	reads = updates = races = 0;
	return 0;
}

static int walk(const struct gwalk *w, u64 la, u32 access, struct gwalk_result *r)
{
	return gwalk_translate(w, &read_only, memory, la, access, r);
}

static void expect_gpa(const struct gwalk *w, u64 la, u32 access, u64 gpa)
{
	struct gwalk_result r;
	int ret = walk(w, la, access, &r);

	if (ret || r.gpa != gpa)
		fail_msg("la %llx: %d, error code %x, gpa %llx instead of %llx",
			 (unsigned long long)la, ret, r.error_code, (unsigned long long)r.gpa,
			 (unsigned long long)gpa);
}

static void expect_fault(const struct gwalk *w, u64 la, u32 access, u32 code)
{
	struct gwalk_result r;
	int ret = walk(w, la, access, &r);

	if (ret != -EFAULT || r.error_code != code)
		fail_msg("la %llx: %d, error code %x instead of %x", (unsigned long long)la, ret,
			 r.error_code, code);
}

/* The modes */

static void test_no_paging(void **state)
{
	struct gwalk w = { .cr3 = 0x1000, .maxphyaddr = 40, .cpl = 3 };

	(void)state;
	expect_gpa(&w, 0x10ffef, GWALK_WRITE, 0x10ffef);
	expect_gpa(&w, 0xfffffffffee00020, 0, 0xfee00020);
	w.efer = EFER_LMA; /* no processor gets there, a userspace may */
	expect_gpa(&w, 0xfffffffffee00020, 0, 0xfee00020);
	assert_int_equal(reads, 0);
}

static struct gwalk setup_32bit(void)
{
	clear_memory(NULL);
	put32(0x1000 + 0x300 * 4, 0x2000 | RWU);
	put32(0x2000 + 0x123 * 4, 0xfee00000 | RWU);
	return (struct gwalk){ .cr0 = CR0_PG, .cr3 = 0x1000 | 0x18, .maxphyaddr = 36 };
}

static void test_32bit(void **state)
{
	struct gwalk w = setup_32bit();
	struct gwalk_result r;

	(void)state;
	assert_int_equal(walk(&w, 0xc0123456, 0, &r), 0);
	assert_int_equal(r.gpa, 0xfee00456);
	assert_int_equal(r.page_size, 4096);
	assert_true(r.writable && r.user);
	expect_gpa(&w, 0xabcdef00c0123456, GWALK_WRITE, 0xfee00456);
	expect_fault(&w, 0xc0124000, 0, 0);
	expect_fault(&w, 0xc0523456, GWALK_WRITE, GWALK_PF_WRITE);
	/* no NX, no SMEP: the error code does not tell a fetch */
	expect_fault(&w, 0xc0124000, GWALK_FETCH, 0);
	w.cr4 = CR4_SMEP;
	expect_fault(&w, 0xc0124000, GWALK_FETCH, GWALK_PF_FETCH);
	/* EFER.NXE means nothing without PAE */
	w.cr4 = 0;
	w.efer = EFER_NXE;
	expect_fault(&w, 0xc0124000, GWALK_FETCH, 0);
	w.cpl = 3;
	expect_fault(&w, 0xc0124000, 0, GWALK_PF_USER);
}

static void test_32bit_large_pages(void **state)
{
	struct gwalk w = setup_32bit();
	struct gwalk_result r;

	(void)state;
	/* 4-MByte page at 0xf_0040_0000: address bits 32 to 35 stand in bits 13 to 16 */
	put32(0x1000 + 4, 0x00400000 | 0xf << 13 | PS | RWU);
	w.cr4 = CR4_PSE;
	assert_int_equal(walk(&w, 0x00712345, 0, &r), 0);
	assert_int_equal(r.gpa, 0xf00712345);
	assert_int_equal(r.page_size, 0x400000);
	/* without CR4.PSE, bit 7 is ignored and the entry points to a table */
	w.cr4 = 0;
	assert_int_equal(walk(&w, 0x00712345, 0, &r), -ENXIO);
	w.cr4 = CR4_PSE;
	/* beyond MAXPHYADDR = 36, and bit 21 */
	put32(0x1000 + 4, 0x00400000 | 0x10 << 13 | PS | RWU);
	expect_fault(&w, 0x00712345, 0, PF_P | GWALK_PF_RSVD);
	w.maxphyaddr = 52;
	expect_gpa(&w, 0x00712345, 0, 0x1000712345);
	put32(0x1000 + 4, 0x00400000 | 0x200000 | PS | RWU);
	expect_fault(&w, 0x00712345, GWALK_WRITE, PF_P | GWALK_PF_RSVD | GWALK_PF_WRITE);
	put32(0x1000 + 4, 0x00400000 | 0xff << 13 | PS | RWU);
	expect_gpa(&w, 0x00712345, 0, 0xff00712345);
	w.maxphyaddr = 32;
	put32(0x1000 + 4, 0x00400000 | 1 << 13 | PS | RWU);
	expect_fault(&w, 0x00712345, 0, PF_P | GWALK_PF_RSVD);
}

static struct gwalk setup_pae(void)
{
	clear_memory(NULL);
	put64(0x1020 + 3 * 8, 0x2000 | P);
	put64(0x2000 + 8, 0x3000 | RWU);
	put64(0x3000 + 0x34 * 8, 0x7fee00000 | RWU);
	put64(0x2000 + 2 * 8, 0x7a0000000 | PS | RWU);
	return (struct gwalk){
		.cr0 = CR0_PG, .cr3 = 0x1020, .cr4 = CR4_PAE, .efer = EFER_NXE, .maxphyaddr = 40
	};
}

static void test_pae(void **state)
{
	struct gwalk w = setup_pae();
	struct gwalk_result r;

	(void)state;
	expect_gpa(&w, 0xc0234567, GWALK_WRITE, 0x7fee00567);
	assert_int_equal(walk(&w, 0xc0434567, 0, &r), 0);
	assert_int_equal(r.gpa, 0x7a0034567);
	assert_int_equal(r.page_size, 0x200000);
	/* a PDPTE gives and takes no rights */
	w.cpl = 3;
	expect_gpa(&w, 0xc0234567, GWALK_WRITE, 0x7fee00567);
	w.cpl = 0;
	/* reserved: rights in a PDPTE, address bits, bits 52 to 62, 2-MByte alignment */
	put64(0x1020 + 3 * 8, 0x2000 | P | W);
	expect_fault(&w, 0xc0234567, 0, PF_P | GWALK_PF_RSVD);
	put64(0x1020 + 3 * 8, 0x2000 | P | NX);
	expect_fault(&w, 0xc0234567, 0, PF_P | GWALK_PF_RSVD);
	put64(0x1020 + 3 * 8, 0x2000 | P | 0x18);
	expect_gpa(&w, 0xc0234567, 0, 0x7fee00567);
	put64(0x2000 + 8, 0x3000 | RWU | 1ULL << 40);
	expect_fault(&w, 0xc0234567, 0, PF_P | GWALK_PF_RSVD);
	put64(0x2000 + 8, 0x3000 | RWU | 1ULL << 52);
	expect_fault(&w, 0xc0234567, 0, PF_P | GWALK_PF_RSVD);
	put64(0x2000 + 2 * 8, 0x7a0002000 | PS | RWU);
	expect_fault(&w, 0xc0434567, 0, PF_P | GWALK_PF_RSVD);
	put64(0x2000 + 2 * 8, 0x7a0001000 | PS | RWU); /* bit 12 is PAT */
	expect_gpa(&w, 0xc0434567, 0, 0x7a0034567);
}

static void test_pae_loaded_pdptes(void **state)
{
	struct gwalk w = setup_pae();

	(void)state;
	w.have_pdpte = true;
	w.pdpte[3] = 0x2000 | P;
	put64(0x1020 + 3 * 8, 0);
	expect_gpa(&w, 0xc0234567, 0, 0x7fee00567);
	w.pdpte[3] = 0;
	expect_fault(&w, 0xc0234567, 0, 0);
}

#define LA4 0xffff888012345678ULL

/* LA4 -> 0x9_8765_4678 by four levels; the same tables below one PML5E at 0x5000. */
static struct gwalk setup_4level(void)
{
	clear_memory(NULL);
	put64(0x1000 + ((LA4 >> 39) & 511) * 8, 0x2000 | RWU);
	put64(0x2000 + ((LA4 >> 30) & 511) * 8, 0x3000 | RWU);
	put64(0x3000 + ((LA4 >> 21) & 511) * 8, 0x4000 | RWU);
	put64(0x4000 + ((LA4 >> 12) & 511) * 8, 0x987654000 | RWU);
	put64(0x5000 + ((LA4 >> 48) & 511) * 8, 0x1000 | RWU);
	return (struct gwalk){ .cr0 = CR0_PG | CR0_WP,
			       .cr3 = 0x1000,
			       .cr4 = CR4_PAE,
			       .efer = EFER_LMA | EFER_NXE,
			       .maxphyaddr = 40,
			       .gbpages = true };
}

static u64 entry_gpa(unsigned int level)
{
	static const u64 tables[] = { 0, 0x4000, 0x3000, 0x2000, 0x1000, 0x5000 };

	return tables[level] + ((LA4 >> (3 + 9 * level)) & 511) * 8;
}

static void test_4level(void **state)
{
	struct gwalk w = setup_4level();

	(void)state;
	expect_gpa(&w, LA4, GWALK_WRITE, 0x987654678);
	for (unsigned int level = 1; level <= 4; level++) {
		u64 pte = get64(entry_gpa(level));

		put64(entry_gpa(level), pte & ~P);
		expect_fault(&w, LA4, GWALK_FETCH, GWALK_PF_FETCH);
		put64(entry_gpa(level), pte | 1ULL << 40);
		expect_fault(&w, LA4, 0, PF_P | GWALK_PF_RSVD);
		put64(entry_gpa(level), pte | 1ULL << 52 | 1ULL << 9); /* ignored */
		expect_gpa(&w, LA4, 0, 0x987654678);
		put64(entry_gpa(level), pte | NX);
		expect_gpa(&w, LA4, GWALK_WRITE, 0x987654678);
		expect_fault(&w, LA4, GWALK_FETCH, PF_P | GWALK_PF_FETCH);
		w.efer &= ~EFER_NXE;
		expect_fault(&w, LA4, 0, PF_P | GWALK_PF_RSVD);
		w.efer |= EFER_NXE;
		put64(entry_gpa(level), pte);
	}
	/* PS in a PML4E is reserved */
	put64(entry_gpa(4), 0x2000 | RWU | PS);
	expect_fault(&w, LA4, 0, PF_P | GWALK_PF_RSVD);
}

static void test_4level_large_pages(void **state)
{
	struct gwalk w = setup_4level();
	struct gwalk_result r;

	(void)state;
	put64(entry_gpa(2), 0x987600000 | PS | RWU);
	assert_int_equal(walk(&w, LA4, 0, &r), 0);
	assert_int_equal(r.gpa, 0x987600000 | (LA4 & 0x1fffff));
	assert_int_equal(r.page_size, 0x200000);
	put64(entry_gpa(2), 0x987700000 | PS | RWU);
	expect_fault(&w, LA4, 0, PF_P | GWALK_PF_RSVD);

	put64(entry_gpa(3), 0x980000000 | PS | RWU);
	assert_int_equal(walk(&w, LA4, 0, &r), 0);
	assert_int_equal(r.gpa, 0x980000000 | (LA4 & 0x3fffffff));
	assert_int_equal(r.page_size, 0x40000000);
	put64(entry_gpa(3), 0x980200000 | PS | RWU);
	expect_fault(&w, LA4, 0, PF_P | GWALK_PF_RSVD);
	put64(entry_gpa(3), 0x980000000 | PS | RWU);
	w.gbpages = false;
	expect_fault(&w, LA4, 0, PF_P | GWALK_PF_RSVD);
}

static void test_5level(void **state)
{
	struct gwalk w = setup_4level();

	(void)state;
	w.cr4 |= CR4_LA57;
	w.cr3 = 0x5000;
	expect_gpa(&w, LA4, GWALK_WRITE, 0x987654678);
	assert_int_equal(reads, 5);
	put64(entry_gpa(5), 0x1000 | RWU | PS);
	expect_fault(&w, LA4, 0, PF_P | GWALK_PF_RSVD);
	put64(entry_gpa(5), 0);
	expect_fault(&w, LA4, 0, 0);
}

/* Rights: SDM "Determination of Access Rights", one row each */

static void test_access_rights(void **state)
{
	enum { OK = 0xffff };
	const u32 r = 0, wr = GWALK_WRITE, x = GWALK_FETCH, imp = GWALK_IMPLICIT;
	const struct {
		u64 leaf;
		u8 cpl;
		u64 cr0, cr4, rflags;
		u32 access, code;
	} cases[] = {
		/* supervisor page */
		{ P | W, 0, CR0_WP, 0, 0, wr, OK },
		{ P, 0, CR0_WP, 0, 0, wr, PF_P | GWALK_PF_WRITE },
		{ P, 0, 0, 0, 0, wr, OK },
		{ P, 0, CR0_WP, CR4_SMEP | CR4_SMAP, 0, x, OK },
		{ P | W, 3, CR0_WP, 0, 0, r, PF_P | GWALK_PF_USER },
		{ P | W, 3, 0, 0, 0, wr, PF_P | GWALK_PF_USER | GWALK_PF_WRITE },
		{ P | W, 3, CR0_WP, 0, 0, r | imp, OK },
		{ P | W, 3, CR0_WP, 0, 0, x, PF_P | GWALK_PF_USER | GWALK_PF_FETCH },
		/* user page, user access: CR0.WP, SMEP and SMAP have no say */
		{ P | U, 3, 0, CR4_SMAP | CR4_SMEP, 0, r, OK },
		{ P | U, 3, 0, CR4_SMAP | CR4_SMEP, 0, x, OK },
		{ P | U, 3, 0, 0, 0, wr, PF_P | GWALK_PF_USER | GWALK_PF_WRITE },
		{ RWU, 3, 0, CR4_SMAP, 0, wr, OK },
		/* user page, supervisor access */
		{ P | U, 0, 0, 0, 0, wr, OK },
		{ P | U, 0, CR0_WP, 0, 0, wr, PF_P | GWALK_PF_WRITE },
		{ RWU, 0, CR0_WP, CR4_SMAP, 0, r, PF_P },
		{ RWU, 0, CR0_WP, CR4_SMAP, 0, wr, PF_P | GWALK_PF_WRITE },
		{ RWU, 0, CR0_WP, CR4_SMAP, RFL_AC, wr, OK },
		{ P | U, 0, CR0_WP, CR4_SMAP, RFL_AC, wr, PF_P | GWALK_PF_WRITE },
		{ RWU, 3, CR0_WP, CR4_SMAP, RFL_AC, r | imp, PF_P },
		{ RWU, 0, CR0_WP, CR4_SMAP, 0, x, OK },
		{ RWU, 0, CR0_WP, CR4_SMEP, 0, x, PF_P | GWALK_PF_FETCH },
		{ RWU, 1, CR0_WP, CR4_SMEP, 0, x, PF_P | GWALK_PF_FETCH },
		{ RWU | NX, 3, 0, 0, 0, x, PF_P | GWALK_PF_USER | GWALK_PF_FETCH },
		{ RWU | NX, 0, 0, 0, 0, x, PF_P | GWALK_PF_FETCH },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* the rights that the leaf lacks may as well lack at any other level */
		for (unsigned int level = 1; level <= 4; level++) {
			struct gwalk w = setup_4level();
			u64 pte = get64(entry_gpa(level)) & ~RWU;
			struct gwalk_result res;
			u32 code;
			int ret;

			put64(entry_gpa(level), pte | cases[i].leaf);
			w.cpl = cases[i].cpl;
			w.cr0 = CR0_PG | cases[i].cr0;
			w.cr4 |= cases[i].cr4;
			w.rflags = cases[i].rflags;
			ret = walk(&w, LA4, cases[i].access, &res);
			code = ret == -EFAULT ? res.error_code : ret == 0 ? OK : 0xdead;
			if (code != cases[i].code)
				fail_msg("case %zu, level %u: %x instead of %x", i, level, code,
					 cases[i].code);
			assert_int_equal(walk(&w, LA4, GWALK_NO_CHECK, &res), 0);
			assert_int_equal(res.writable, !!(cases[i].leaf & W));
			assert_int_equal(res.user, !!(cases[i].leaf & U));
		}
	}
}

static void test_protection_keys(void **state)
{
	struct gwalk w = setup_4level();

	(void)state;
	put64(entry_gpa(1), 0x987654000 | RWU | 9ULL << 59);
	w.cr4 |= CR4_PKE;
	w.pkru = ~(3u << 18); /* all keys but 9 are denied */
	w.cpl = 3;
	expect_gpa(&w, LA4, GWALK_WRITE, 0x987654678);
	w.pkru = 1u << 18; /* access disable */
	expect_fault(&w, LA4, 0, PF_P | GWALK_PF_USER | GWALK_PF_PK);
	expect_gpa(&w, LA4, GWALK_FETCH, 0x987654678);
	w.pkru = 2u << 18; /* write disable */
	expect_gpa(&w, LA4, 0, 0x987654678);
	expect_fault(&w, LA4, GWALK_WRITE, PF_P | GWALK_PF_USER | GWALK_PF_WRITE | GWALK_PF_PK);
	w.cpl = 0;
	expect_fault(&w, LA4, GWALK_WRITE, PF_P | GWALK_PF_WRITE | GWALK_PF_PK);
	w.cr0 &= ~CR0_WP;
	expect_gpa(&w, LA4, GWALK_WRITE, 0x987654678);
	/* a supervisor page has no key; without CR4.PKE neither has a user page */
	w.pkru = ~0u;
	put64(entry_gpa(1), 0x987654000 | P | W | 9ULL << 59);
	expect_gpa(&w, LA4, GWALK_WRITE, 0x987654678);
	put64(entry_gpa(1), 0x987654000 | RWU | 9ULL << 59);
	w.cr4 &= ~CR4_PKE;
	expect_gpa(&w, LA4, GWALK_WRITE, 0x987654678);
	/* nor does any page under PAE paging */
	w = setup_pae();
	w.cr4 |= CR4_PKE;
	w.pkru = ~0u;
	expect_gpa(&w, 0xc0234567, GWALK_WRITE, 0x7fee00567);
}

/* Accessed and dirty flags */

static void test_accessed_and_dirty(void **state)
{
	struct gwalk w = setup_4level();
	struct gwalk_result r;

	(void)state;
	assert_int_equal(gwalk_translate(&w, &read_write, memory, LA4, 0, &r), 0);
	for (unsigned int level = 1; level <= 4; level++)
		assert_int_equal(get64(entry_gpa(level)) & (A | D), A);
	assert_int_equal(updates, 4);
	assert_int_equal(gwalk_translate(&w, &read_write, memory, LA4, GWALK_WRITE, &r), 0);
	assert_int_equal(updates, 5); /* D of the leaf alone */
	assert_int_equal(get64(entry_gpa(1)) & (A | D), A | D);
	assert_int_equal(get64(entry_gpa(2)) & (A | D), A);
	assert_int_equal(gwalk_translate(&w, &read_write, memory, LA4, GWALK_WRITE, &r), 0);
	assert_int_equal(updates, 5);

	/* a denied access and a look without access leave no trace */
	w = setup_4level();
	w.cpl = 3;
	put64(entry_gpa(1), 0x987654000 | P | U);
	assert_int_equal(gwalk_translate(&w, &read_write, memory, LA4, GWALK_WRITE, &r), -EFAULT);
	assert_int_equal(gwalk_translate(&w, &read_write, memory, LA4, GWALK_NO_CHECK, &r), 0);
	assert_int_equal(updates, 0);
}

static void test_accessed_in_short_entries(void **state)
{
	struct gwalk w = setup_32bit();
	struct gwalk_result r;
	u64 before;

	(void)state;
	put32(0x2000 + 0x124 * 4, 0xdead0000);
	assert_int_equal(gwalk_translate(&w, &read_write, memory, 0xc0123456, GWALK_WRITE, &r), 0);
	before = get64(0x2000 + 0x122 * 4);
	assert_int_equal(before >> 32, 0xfee00000 | RWU | A | D);
	assert_int_equal(get64(0x2000 + 0x124 * 4), 0xdead0000);

	w = setup_pae();
	assert_int_equal(gwalk_translate(&w, &read_write, memory, 0xc0234567, 0, &r), 0);
	assert_int_equal(get64(0x1020 + 3 * 8), 0x2000 | P); /* a PDPTE has no accessed flag */
	assert_int_equal(updates, 2);
}

static void test_racing_updates(void **state)
{
	struct gwalk w = setup_4level();
	struct gwalk_result r;

	(void)state;
	races = 3;
	assert_int_equal(gwalk_translate(&w, &read_write, memory, LA4, GWALK_WRITE, &r), 0);
	assert_int_equal(r.gpa, 0x987654678);
	assert_int_equal(get64(entry_gpa(1)) & (A | D), A | D);
	w = setup_4level();
	races = 1000000;
	assert_int_equal(gwalk_translate(&w, &read_write, memory, LA4, GWALK_WRITE, &r), -EAGAIN);
}

/* Bad input */

static void test_tables_out_of_memory(void **state)
{
	struct gwalk w = setup_4level();
	struct gwalk_result r;

	(void)state;
	put64(entry_gpa(3), 0xfee000000 | RWU);
	assert_int_equal(walk(&w, LA4, 0, &r), -ENXIO);
	w.cr3 = ~0ULL;
	assert_int_equal(walk(&w, LA4, 0, &r), -ENXIO);
}

static void test_absurd_maxphyaddr(void **state)
{
	struct gwalk w = setup_4level();

	(void)state;
	for (unsigned int bits = 0; bits < 256; bits++) {
		w.maxphyaddr = bits;
		if (bits < 36)
			expect_fault(&w, LA4, 0, PF_P | GWALK_PF_RSVD);
		else
			expect_gpa(&w, LA4, 0, 0x987654678);
	}
}

static void test_canonical(void **state)
{
	(void)state;
	assert_int_equal(gwalk_la_bits(CR4_PAE), 48);
	assert_int_equal(gwalk_la_bits(CR4_PAE | CR4_LA57), 57);
	assert_true(la_is_canonical(0, 48));
	assert_true(la_is_canonical(0x00007fffffffffff, 48));
	assert_false(la_is_canonical(0x0000800000000000, 48));
	assert_false(la_is_canonical(0xffff7fffffffffff, 48));
	assert_true(la_is_canonical(0xffff800000000000, 48));
	assert_true(la_is_canonical(0x0000800000000000, 57));
	assert_false(la_is_canonical(0x0100000000000000, 57));
	assert_true(la_is_canonical(0xff00000000000000, 57));
	assert_false(la_is_canonical(0xfe00000000000000, 57));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, clear_memory)
	const struct CMUnitTest tests[] = {
		TEST(test_no_paging),          TEST(test_32bit),
		TEST(test_32bit_large_pages),  TEST(test_pae),
		TEST(test_pae_loaded_pdptes),  TEST(test_4level),
		TEST(test_4level_large_pages), TEST(test_5level),
		TEST(test_access_rights),      TEST(test_protection_keys),
		TEST(test_accessed_and_dirty), TEST(test_accessed_in_short_entries),
		TEST(test_racing_updates),     TEST(test_tables_out_of_memory),
		TEST(test_absurd_maxphyaddr),  TEST(test_canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
