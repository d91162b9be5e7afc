/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest page tables: translation of a guest linear address as the guest's own MMU does it.
 *
 * arch/x86/gwalk.c models all paging modes, their permissions (WP, SMEP, SMAP, NX, protection keys)
 * and reserved bits. It leaves out PKS, shadow stacks and the TLB: each walk reads the tables anew.
 * For decoding instructions, string operands and KVM_TRANSLATE; guest memory comes by a callback.
 */
#ifndef GWALK_H
#define GWALK_H

#include <irqchip/env.h>

/* Whether @la is the sign extension of its low @bits (48, or 57 with CR4.LA57). */
static inline bool la_is_canonical(u64 la, unsigned int bits)
{
	s64 high = (s64)la >> (bits - 1);

	return high == 0 || high == -1;
}

#endif
