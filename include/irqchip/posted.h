/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The posted-interrupt descriptor: SDM "Posted-Interrupt Processing". Anybody may request a vector
 * of a LAPIC here, without a lock and from any context; the LAPIC's owner, or the processor while
 * the guest runs, moves the requests to IRR.
 *
 * Every interrupt takes this way, with and without hardware behind it, so a sender never asks what
 * the receiver's processor can do. The layout is the hardware's. The host manages NV, NDST and SN
 * (arch/x86/vmx/posted_intr.c); the core only uses PIR and ON:
 *
 *   sender                             owner (or processor)
 *   ------                             --------------------
 *   PIR[vector] = 1                    ON = 0
 *   was ON 0? ON = 1, notify           take and clear PIR
 *
 * All four are full barriers. So a request that the owner's look at PIR misses finds ON clear and
 * notifies again: a set PIR bit implies ON, or somebody on the way to set it or to take the bit.
 */
#ifndef IRQCHIP_POSTED_H
#define IRQCHIP_POSTED_H

#include <irqchip/env.h>

#define POSTED_ON_BIT 0
#define POSTED_ON     (1u << POSTED_ON_BIT) /* outstanding notification */
#define POSTED_SN     0x2u                  /* suppress notifications: read by devices only */
#define POSTED_NV     0x00ff0000u           /* notification vector */

struct posted_desc {
	union {
		u32 pir[8]; /* posted-interrupt requests, one bit for each vector */
		u64 pir_pairs[4];
	};
	union {
		struct {
			u32 control; /* POSTED_* */
			u32 ndst;    /* APIC ID of the CPU to notify, as posted_intr.c writes it */
		};
		u64 control_ndst; /* both, for the host's compare-and-exchange */
	};
	u32 reserved[6];
};
static_assert(sizeof(struct posted_desc) == 64, "as the SDM's");

/* Is there something to take? Any context. */
static inline bool posted_pending(const struct posted_desc *d)
{
	return READ_ONCE(d->control) & POSTED_ON;
}

/*
 * Request @vector. Returns whether it was not requested yet; *@notify: the owner has not been
 * told of anything yet, so the caller must do it.
 */
static inline bool posted_request(struct posted_desc *d, u8 vector, bool *notify)
{
	*notify = false;
	/* Whoever set the bit before us has set ON, or is about to. */
	if (env_test_and_set(d->pir, vector))
		return false;
	*notify = !env_test_and_set(&d->control, POSTED_ON_BIT);
	return true;
}

/* Is there anything in words 2 * @i and 2 * @i + 1 of PIR? */
static inline bool posted_in_pair(const struct posted_desc *d, u32 i)
{
	return READ_ONCE(d->pir_pairs[i]);
}

/* Take what word @i (0 .. 7) of PIR holds. The owner, after posted_acknowledge(). */
static inline u32 posted_take(struct posted_desc *d, u32 i)
{
	return READ_ONCE(d->pir[i]) ? env_xchg_u32(&d->pir[i], 0) : 0;
}

/* Clear ON, before PIR is looked at. The owner. */
static inline void posted_acknowledge(struct posted_desc *d)
{
	env_clear_u32(&d->control, POSTED_ON);
}

#endif
