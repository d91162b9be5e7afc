/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One PIT, a clock that the test moves, and the port accesses that its tests share.
 */
#ifndef VPIT_TEST_H
#define VPIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <irqchip/vpit.h>

#define START 1000000000ULL

static struct vpit pit;
static u64 now;

/* The first nanosecond at which @clocks clocks have passed since START. */
static inline u64 at_clock(u64 clocks)
{
	return START + (clocks * 1000000000ULL + VPIT_HZ - 1) / VPIT_HZ;
}

static inline bool out(u16 port, u8 value)
{
	return vpit_pio_write(&pit, port, value, now);
}

static inline u8 in(u16 port)
{
	return vpit_pio_read(&pit, port, now);
}

/* Program @channel: both bytes, @mode, binary. */
static inline void program(u32 channel, u32 mode, u16 count)
{
	out(0x43, (u8)(channel << 6 | 0x30 | mode << 1));
	out((u16)(0x40 + channel), (u8)count);
	out((u16)(0x40 + channel), (u8)(count >> 8));
}

static inline u16 read_word(u32 channel)
{
	u16 lo = in((u16)(0x40 + channel));

	return (u16)(in((u16)(0x40 + channel)) << 8 | lo);
}

static inline u16 latched_count(u32 channel)
{
	out(0x43, (u8)(channel << 6));
	return read_word(channel);
}

static inline u8 status(u32 channel)
{
	out(0x43, (u8)(0xe0 | 2 << channel));
	return in((u16)(0x40 + channel));
}

static inline bool out2(void)
{
	return in(0x61) & SPEAKER_OUT2;
}

static inline bool fire(void)
{
	now = vpit_deadline(&pit);
	return vpit_fired(&pit, now);
}

/* Fire at the deadline, and tell that the guest got it. */
static inline void tick(void)
{
	assert_true(fire());
	vpit_pulsed(&pit, 1);
	assert_false(vpit_irq_acked(&pit));
}

static inline int setup(void **state)
{
	(void)state;
	now = START;
	vpit_init(&pit, now, true);
	return 0;
}

#endif
