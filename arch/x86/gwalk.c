// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walker of guest page tables.
 *
 * A paging mode is a row of a table: how many levels, how wide an entry and an index. One loop
 * walks them all; permissions are gathered on the way down and checked once at the leaf. Portable C
 * without state; see include/gwalk.h.
 */
#include <gwalk.h>

#define GW_CR0_WP     BIT_ULL(16)
#define GW_CR0_PG     BIT_ULL(31)
#define GW_CR4_PSE    BIT_ULL(4)
#define GW_CR4_PAE    BIT_ULL(5)
#define GW_CR4_LA57   BIT_ULL(12)
#define GW_CR4_SMEP   BIT_ULL(20)
#define GW_CR4_SMAP   BIT_ULL(21)
#define GW_CR4_PKE    BIT_ULL(22)
#define GW_EFER_LMA   BIT_ULL(10)
#define GW_EFER_NXE   BIT_ULL(11)
#define GW_FLAGS_AC   BIT_ULL(18)

#define GW_PTE_P      BIT_ULL(0)
#define GW_PTE_W      BIT_ULL(1)
#define GW_PTE_U      BIT_ULL(2)
#define GW_PTE_A      BIT_ULL(5)
#define GW_PTE_D      BIT_ULL(6)
#define GW_PTE_PS     BIT_ULL(7)
#define GW_PTE_NX     BIT_ULL(63)
#define GW_PTE_PK     GENMASK_ULL(62, 59)

/* A PAE PDPTE has no rights and no accessed flag: those bits are reserved. */
#define GW_PDPTE_RSVD (GENMASK_ULL(2, 1) | GENMASK_ULL(8, 5))

#define GW_PKRU_AD    1
#define GW_PKRU_WD    2

/* An entry that keeps changing under us is retried this often. */
#define MAX_RESTARTS  16

struct paging_mode {
	u8 levels;
	u8 entry_size; /* bytes */
	u8 index_bits;
};

static const struct paging_mode paging_32bit = { 2, 4, 10 };
static const struct paging_mode paging_pae = { 3, 8, 9 };
static const struct paging_mode paging_4level = { 4, 8, 9 };
static const struct paging_mode paging_5level = { 5, 8, 9 };

/* The walk at one entry. Level 1 is the page table; the top level is the mode's count. */
struct walk {
	const struct gwalk *w;
	const struct paging_mode *mode;
	u64 la;
	u32 access;
	u8 phys_bits; /* MAXPHYADDR, within what the formats allow */
	u8 level;
	u64 entry_gpa;
	u64 pte;
	u64 rights; /* R/W and U/S of all levels anded, NX ored */
};

static const struct paging_mode *paging_mode(const struct gwalk *w)
{
	if (w->efer & GW_EFER_LMA)
		return w->cr4 & GW_CR4_LA57 ? &paging_5level : &paging_4level;
	return w->cr4 & GW_CR4_PAE ? &paging_pae : &paging_32bit;
}

static bool nx_is_on(const struct gwalk *w)
{
	return (w->cr4 & GW_CR4_PAE) && (w->efer & GW_EFER_NXE);
}

static bool is_user(const struct gwalk *w, u32 access)
{
	return w->cpl == 3 && !(access & GWALK_IMPLICIT);
}

static int page_fault(const struct walk *k, struct gwalk_result *out, u32 why)
{
	u32 code = why;

	if (k->access & GWALK_WRITE)
		code |= GWALK_PF_WRITE;
	if (is_user(k->w, k->access))
		code |= GWALK_PF_USER;
	if ((k->access & GWALK_FETCH) && (nx_is_on(k->w) || (k->w->cr4 & GW_CR4_SMEP)))
		code |= GWALK_PF_FETCH;
	out->error_code = code;
	return -EFAULT;
}

/* Where the linear address's index for @level begins. */
static unsigned int level_shift(const struct paging_mode *mode, unsigned int level)
{
	return 12 + (level - 1) * mode->index_bits;
}

/* Physical-address bits of an entry, those below @low excluded. */
static u64 address_mask(const struct walk *k, unsigned int low)
{
	if (k->mode == &paging_32bit)
		return GENMASK_ULL(31, low);
	return GENMASK_ULL(51, low) & (BIT_ULL(k->phys_bits) - 1);
}

static bool is_pdpte(const struct walk *k)
{
	return k->mode == &paging_pae && k->level == 3;
}

static bool is_leaf(const struct walk *k)
{
	if (k->level == 1)
		return true;
	if (!(k->pte & GW_PTE_PS) || is_pdpte(k))
		return false;
	if (k->mode == &paging_32bit)
		return k->w->cr4 & GW_CR4_PSE;
	/* elsewhere PS is a reserved bit, which rsvd_bits() reports */
	return k->level == 2 || (k->level == 3 && k->w->gbpages);
}

/* SDM: "Page-Directory Entry ..." formats; PSE-36 puts address bits 32 to 39 into bits 13 to 20. */
static u64 rsvd_bits_32(const struct walk *k)
{
	unsigned int width = min_t(unsigned int, k->phys_bits, 40);

	if (k->level == 1 || !is_leaf(k))
		return 0;
	/* Bits 13.. hold address bits 32..width-1; what is above them, and bit 21, must be zero. */
	return GENMASK_ULL(21, 13 + width - 32);
}

static u64 rsvd_bits(const struct walk *k)
{
	u64 rsvd;

	if (k->mode == &paging_32bit)
		return rsvd_bits_32(k);

	rsvd = GENMASK_ULL(51, 12) & ~address_mask(k, 12);
	if (k->mode == &paging_pae)
		rsvd |= GENMASK_ULL(62, 52);
	if (is_pdpte(k))
		return rsvd | GW_PDPTE_RSVD | GW_PTE_NX;
	if (!nx_is_on(k->w))
		rsvd |= GW_PTE_NX;
	if (k->level > 1) {
		if (is_leaf(k))
			rsvd |= GENMASK_ULL(level_shift(k->mode, k->level) - 1, 13);
		else
			rsvd |= k->level == 2 ? 0 : GW_PTE_PS;
	}
	return rsvd;
}

static u64 page_address(const struct walk *k)
{
	unsigned int shift = level_shift(k->mode, k->level);
	u64 base = k->pte & address_mask(k, shift);

	if (k->mode == &paging_32bit && k->level == 2)
		base |= ((k->pte >> 13) & 0xff) << 32;
	return base | (k->la & (BIT_ULL(shift) - 1));
}

/* SDM: "Protection Keys": for user-mode addresses in 4-level and 5-level paging. */
static bool pkey_denies(const struct walk *k)
{
	const struct gwalk *w = k->w;
	u32 rights;

	if (!(w->cr4 & GW_CR4_PKE) || !(w->efer & GW_EFER_LMA) || !(k->rights & GW_PTE_U) ||
	    (k->access & GWALK_FETCH))
		return false;
	rights = w->pkru >> (2 * FIELD_GET(GW_PTE_PK, k->pte));
	if (rights & GW_PKRU_AD)
		return true;
	return (rights & GW_PKRU_WD) && (k->access & GWALK_WRITE) &&
	       (is_user(w, k->access) || (w->cr0 & GW_CR0_WP));
}

/* SDM: "Determination of Access Rights". */
static bool access_allowed(const struct walk *k)
{
	const struct gwalk *w = k->w;
	bool user_page = k->rights & GW_PTE_U;
	bool writable = k->rights & GW_PTE_W;

	if ((k->access & GWALK_FETCH) && (k->rights & GW_PTE_NX))
		return false;
	if (is_user(w, k->access))
		return user_page && (writable || !(k->access & GWALK_WRITE));

	if (user_page) {
		bool ac = (w->rflags & GW_FLAGS_AC) && !(k->access & GWALK_IMPLICIT);

		if (k->access & GWALK_FETCH)
			return !(w->cr4 & GW_CR4_SMEP);
		if ((w->cr4 & GW_CR4_SMAP) && !ac)
			return false;
	}
	return writable || !(k->access & GWALK_WRITE) || !(w->cr0 & GW_CR0_WP);
}

static int read_entry(struct walk *k, const struct gwalk_ops *ops, void *ctx, u64 table)
{
	unsigned int shift = level_shift(k->mode, k->level);
	u64 index = (k->la >> shift) & (BIT_ULL(k->mode->index_bits) - 1);

	k->pte = 0;
	if (is_pdpte(k)) {
		index &= 3;
		table &= ~0x1fULL;
		if (k->w->have_pdpte) {
			k->pte = k->w->pdpte[index];
			return 0;
		}
	} else {
		table &= ~0xfffULL;
	}
	k->entry_gpa = table + index * k->mode->entry_size;
	/* little-endian: a 4-byte entry fills the low half */
	return ops->read(ctx, k->entry_gpa, &k->pte, k->mode->entry_size);
}

/* Gather the rights of an entry. A PDPTE of PAE paging has none of its own. */
static void take_rights(struct walk *k)
{
	if (is_pdpte(k))
		return;
	k->rights &= k->pte | ~(GW_PTE_W | GW_PTE_U);
	if (nx_is_on(k->w))
		k->rights |= k->pte & GW_PTE_NX;
}

static int set_flags(const struct walk *k, const struct gwalk_ops *ops, void *ctx, u64 flags)
{
	if (!ops->update || is_pdpte(k) || (k->pte & flags) == flags)
		return 0;
	return ops->update(ctx, k->entry_gpa, k->pte, k->pte | flags, k->mode->entry_size);
}

/* One walk from CR3 down. -EAGAIN when an entry changed while its flags were to be set. */
static int walk_once(struct walk *k, const struct gwalk_ops *ops, void *ctx,
		     struct gwalk_result *out)
{
	struct walk upper[5];
	u64 table =
		k->w->efer & GW_EFER_LMA ? gwalk_root(k->w->cr3, k->w->maxphyaddr) : (u32)k->w->cr3;
	unsigned int depth = 0;
	int err;

	k->rights = GW_PTE_W | GW_PTE_U;
	for (k->level = k->mode->levels;; k->level--) {
		err = read_entry(k, ops, ctx, table);
		if (err)
			return err;
		if (!(k->pte & GW_PTE_P))
			return page_fault(k, out, 0);
		if (k->pte & rsvd_bits(k))
			return page_fault(k, out, GWALK_PF_PRESENT | GWALK_PF_RSVD);
		take_rights(k);
		if (is_leaf(k))
			break;
		upper[depth++] = *k;
		table = k->pte & address_mask(k, 12);
	}

	if (!(k->access & GWALK_NO_CHECK)) {
		if (pkey_denies(k))
			return page_fault(k, out, GWALK_PF_PRESENT | GWALK_PF_PK);
		if (!access_allowed(k))
			return page_fault(k, out, GWALK_PF_PRESENT);
		for (unsigned int i = 0; i < depth; i++) {
			err = set_flags(&upper[i], ops, ctx, GW_PTE_A);
			if (err)
				return err;
		}
		err = set_flags(k, ops, ctx, GW_PTE_A | (k->access & GWALK_WRITE ? GW_PTE_D : 0));
		if (err)
			return err;
	}

	out->gpa = page_address(k);
	out->page_size = BIT_ULL(level_shift(k->mode, k->level));
	out->writable = k->rights & GW_PTE_W;
	out->user = k->rights & GW_PTE_U;
	return 0;
}

int gwalk_translate(const struct gwalk *w, const struct gwalk_ops *ops, void *ctx, u64 la,
		    u32 access, struct gwalk_result *out)
{
	struct walk k = { .w = w, .la = la, .access = access };
	int err = -EAGAIN;

	k.phys_bits = gwalk_phys_bits(w->maxphyaddr);
	if (!(w->efer & GW_EFER_LMA))
		k.la = (u32)la;
	memset(out, 0, sizeof(*out));
	if (!(w->cr0 & GW_CR0_PG)) {
		/* 32 bits, even if a hostile userspace combined this with EFER.LMA */
		*out = (struct gwalk_result){ (u32)la, 4096, 0, true, true };
		return 0;
	}
	k.mode = paging_mode(w);
	for (int i = 0; i < MAX_RESTARTS && err == -EAGAIN; i++)
		err = walk_once(&k, ops, ctx, out);
	return err;
}
