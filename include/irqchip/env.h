/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The environment of the portable code: the one place where kernel and userspace differ.
 *
 * arch/x86/irqchip/, insn.c, gwalk.c and cpuid.c see the world only through this header, so the
 * same files run in apicvisor.ko, in the unit tests (tools/shim/env_user.h) and in userspace VMMs.
 * <linux/kvm.h> is UAPI on both sides; it supplies the save/restore images of the KVM ABI.
 */
#ifndef IRQCHIP_ENV_H
#define IRQCHIP_ENV_H

#ifdef __KERNEL__

#include <linux/atomic.h>
#include <linux/bitfield.h>
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/kvm.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/types.h>

/* A device lock of the core: taken from process, softirq and hardirq context alike. */
typedef spinlock_t irq_lock_t;

#define irq_lock_init(l)        spin_lock_init(l)
#define irq_lock(l, flags)      spin_lock_irqsave(l, flags)
#define irq_unlock(l, flags)    spin_unlock_irqrestore(l, flags)
#define irq_lock_assert_held(l) lockdep_assert_held(l)

/* The readers' side of tables that the host replaces as a whole (routing, APIC map). */
#define env_read_lock()         rcu_read_lock()
#define env_read_unlock()       rcu_read_unlock()

/*
 * Atomic bit operations on one 32-bit word of a register page. Fully ordered, any context;
 * each returns the word's value from before.
 */
static inline u32 env_or_u32(u32 *word, u32 mask)
{
	return (u32)atomic_fetch_or((int)mask, (atomic_t *)word);
}

static inline u32 env_and_u32(u32 *word, u32 mask)
{
	return (u32)atomic_fetch_and((int)mask, (atomic_t *)word);
}

static inline u32 env_xchg_u32(u32 *word, u32 value)
{
	return (u32)atomic_xchg((atomic_t *)word, (int)value);
}

/* The same without the value, which takes the processor one instruction. */
static inline void env_set_u32(u32 *word, u32 mask)
{
	smp_mb__before_atomic();
	atomic_or((int)mask, (atomic_t *)word);
	smp_mb__after_atomic();
}

static inline void env_clear_u32(u32 *word, u32 mask)
{
	smp_mb__before_atomic();
	atomic_and((int)~mask, (atomic_t *)word);
	smp_mb__after_atomic();
}

/* Set bit @nr of the array @words, 64-bit aligned. Returns whether it was set. Fully ordered. */
static inline bool env_test_and_set(u32 *words, u32 nr)
{
	return test_and_set_bit(nr, (unsigned long *)words);
}

/* Statistics: never lost, never ordered. */
typedef atomic64_t env_counter_t;

#define env_count(c)       atomic64_inc(c)
#define env_counter_get(c) ((u64)atomic64_read(c))

#else /* userspace */

#include "env_user.h"

#endif
#endif
