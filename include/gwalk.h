/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest page tables: translation of a guest linear address as the guest's own MMU does it.
 *
 * arch/x86/gwalk.c models all paging modes, their permissions (WP, SMEP, SMAP, NX, protection
 * keys), reserved bits, and accessed and dirty flags. It leaves out PKS, shadow stacks and the TLB:
 * each walk reads the tables anew. For fetching and emulating instructions, and for KVM_TRANSLATE;
 * guest memory comes by callbacks, so a walk sleeps only if they do.
 */
#ifndef GWALK_H
#define GWALK_H

#include <irqchip/env.h>

/* Page-fault error code. SDM: "Page-Fault Exceptions". */
#define GWALK_PF_PRESENT BIT(0)
#define GWALK_PF_WRITE   BIT(1)
#define GWALK_PF_USER    BIT(2)
#define GWALK_PF_RSVD    BIT(3)
#define GWALK_PF_FETCH   BIT(4)
#define GWALK_PF_PK      BIT(5)

/* What is to be done at the address; none of them is a read. */
#define GWALK_WRITE      BIT(0)
#define GWALK_FETCH      BIT(1)
#define GWALK_IMPLICIT   BIT(2) /* supervisor access whatever the CPL: descriptor tables, TSS */
#define GWALK_NO_CHECK   BIT(3) /* present and reserved bits only: KVM_TRANSLATE */

/* The registers that govern paging. */
struct gwalk {
	u64 cr0;
	u64 cr3;
	u64 cr4;
	u64 efer;
	u64 rflags;   /* AC, for SMAP */
	u64 pdpte[4]; /* PAE paging: the CPU's copy, when have_pdpte */
	u32 pkru;
	u8 cpl;
	u8 maxphyaddr; /* guest CPUID leaf 0x80000008, 32..52 */
	bool gbpages;  /* guest CPUID: 1-GByte pages */
	bool have_pdpte;
};

/*
 * Access to guest-physical memory; @ctx is the caller's. Return 0 or a negative errno, which ends
 * the walk.
 */
struct gwalk_ops {
	int (*read)(void *ctx, u64 gpa, void *buf, size_t n);
	/*
	 * Set accessed or dirty flags: replace the n-byte entry (4 or 8) if it still equals @old.
	 * -EAGAIN when it doesn't; the walk starts over. NULL: the flags are left alone.
	 */
	int (*update)(void *ctx, u64 gpa, u64 old, u64 new, size_t n);
};

struct gwalk_result {
	u64 gpa;
	u64 page_size;  /* bytes; what lies in the same page is mapped by the same entry */
	u32 error_code; /* after -EFAULT */
	bool writable;  /* by page tables alone: every level has R/W */
	bool user;      /* every level has U/S */
};

/**
 * gwalk_translate() - translate one linear address
 * @access: GWALK_* flags
 *
 * The address must be canonical already (segmentation's business); outside 64-bit paging its upper
 * half is ignored. Accesses that cross a page are two walks. Flags in the tables change only when
 * the access is allowed. SDM: "Paging".
 * Return: 0; -EFAULT when the guest gets #PF with @out->error_code and CR2 = @la; -EAGAIN when the
 * tables kept changing; else the callback's error (the tables are not in memory).
 */
int __must_check gwalk_translate(const struct gwalk *w, const struct gwalk_ops *ops, void *ctx,
				 u64 la, u32 access, struct gwalk_result *out);

/* MAXPHYADDR within what the formats of entries allow: userspace chooses the guest's CPUID. */
static inline u8 gwalk_phys_bits(u8 maxphyaddr)
{
	return max_t(u8, 32, min_t(u8, 52, maxphyaddr));
}

/* Where 4-level and 5-level paging begin under @cr3. */
static inline u64 gwalk_root(u64 cr3, u8 maxphyaddr)
{
	return cr3 & GENMASK_ULL(51, 12) & (BIT_ULL(gwalk_phys_bits(maxphyaddr)) - 1);
}

/* The width of canonical addresses under @cr4: 57 with LA57, else 48. */
static inline unsigned int gwalk_la_bits(u64 cr4)
{
	return cr4 & BIT(12) ? 57 : 48;
}

/* Whether @la is the sign extension of its low @bits. */
static inline bool la_is_canonical(u64 la, unsigned int bits)
{
	s64 high = (s64)la >> (bits - 1);

	return high == 0 || high == -1;
}

#endif
