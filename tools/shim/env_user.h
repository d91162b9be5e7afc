/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The userspace half of include/irqchip/env.h: the few kernel names that the portable core uses,
 * on top of C11 and POSIX threads. Only what the core needs stands here; an addition belongs in
 * env.h first. Tests and userspace VMMs compile the core with -Itools/shim.
 */
#ifndef ENV_USER_H
#define ENV_USER_H

#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define BIT(n)                          (1UL << (n))
#define BIT_ULL(n)                      (1ULL << (n))
#define GENMASK(h, l)                   (((~0UL) << (l)) & (~0UL >> (63 - (h))))
#define GENMASK_ULL(h, l)               (((~0ULL) << (l)) & (~0ULL >> (63 - (h))))

#define FIELD_SHIFT(mask)               ((unsigned int)__builtin_ctzll(mask))
#define FIELD_GET(mask, reg)            ((__typeof__(mask))(((reg) & (mask)) >> FIELD_SHIFT(mask)))
#define FIELD_PREP(mask, val)           (((__typeof__(mask))(val) << FIELD_SHIFT(mask)) & (mask))

#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define BUILD_BUG_ON(cond)              _Static_assert(!(cond), #cond)
#define static_assert_size(t, n)        _Static_assert(sizeof(t) == (n), #t)
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define fallthrough                     __attribute__((__fallthrough__))
#define noinline                        __attribute__((__noinline__))
#define __maybe_unused                  __attribute__((__unused__))
#define __must_check                    __attribute__((__warn_unused_result__))
#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The thread sanitizer takes volatile accesses for races; relaxed atomics are what they stand for. */
#ifdef __SANITIZE_THREAD__
#define READ_ONCE(x)     __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#else
#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#endif
#define smp_mb()                __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb()               __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb()               __atomic_thread_fence(__ATOMIC_RELEASE)
#define smp_load_acquire(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

#define min(a, b)                     \
	({                            \
		__auto_type _a = (a); \
		__auto_type _b = (b); \
		_a < _b ? _a : _b;    \
	})
#define max(a, b)                     \
	({                            \
		__auto_type _a = (a); \
		__auto_type _b = (b); \
		_a > _b ? _a : _b;    \
	})
#define min_t(t, a, b) min((t)(a), (t)(b))
#define max_t(t, a, b) max((t)(a), (t)(b))

/* Bit numbers count from 0; the value must not be zero. */
#define __fls(x)       (63UL - (unsigned long)__builtin_clzl(x))
#define __ffs(x)       ((unsigned long)__builtin_ctzl(x))
#define hweight32(x)   ((unsigned int)__builtin_popcount(x))

static inline u64 div64_u64(u64 a, u64 b)
{
	return a / b;
}

static inline u64 div64_u64_rem(u64 a, u64 b, u64 *rem)
{
	*rem = a % b;
	return a / b;
}

/* a * b / c without overflow of the product; the quotient must fit. */
static inline u64 mul_u64_u64_div_u64(u64 a, u64 b, u64 c)
{
	return (u64)((unsigned __int128)a * b / c);
}

typedef pthread_mutex_t irq_lock_t;

#define irq_lock_init(l) pthread_mutex_init(l, NULL)
#define irq_lock(l, flags)             \
	do {                           \
		(flags) = 0;           \
		pthread_mutex_lock(l); \
	} while (0)
#define irq_unlock(l, flags)             \
	do {                             \
		(void)(flags);           \
		pthread_mutex_unlock(l); \
	} while (0)
#define irq_lock_assert_held(l) assert(pthread_mutex_trylock(l) != 0)

/* Tests replace tables only while no reader runs. */
#define env_read_lock() \
	do {            \
	} while (0)
#define env_read_unlock() \
	do {              \
	} while (0)

static inline u32 env_or_u32(u32 *word, u32 mask)
{
	return __atomic_fetch_or(word, mask, __ATOMIC_SEQ_CST);
}

static inline u32 env_and_u32(u32 *word, u32 mask)
{
	return __atomic_fetch_and(word, mask, __ATOMIC_SEQ_CST);
}

static inline u32 env_xchg_u32(u32 *word, u32 value)
{
	return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}

static inline void env_set_u32(u32 *word, u32 mask)
{
	(void)env_or_u32(word, mask);
}

static inline void env_clear_u32(u32 *word, u32 mask)
{
	(void)env_and_u32(word, ~mask);
}

static inline bool env_test_and_set(u32 *words, u32 nr)
{
	u32 bit = 1u << nr % 32;

	return env_or_u32(&words[nr / 32], bit) & bit;
}

typedef u64 env_counter_t;

#define env_count(c)       ((void)__atomic_fetch_add(c, 1, __ATOMIC_RELAXED))
#define env_counter_get(c) __atomic_load_n(c, __ATOMIC_RELAXED)

#endif
