// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254 and port 0x61 with a clock that the test moves: counting and outputs of all modes,
 * latches, gates, channel 0's deadlines and reinjection. The image: test_vpit_state.c.
 * Tests named T*_* exclude the invariant of that name.
 *
 * Links with: arch/x86/irqchip/vpit.c -lcmocka -lpthread
 */
#include "vpit_test.h"

/* --- ports and control words --- */

static void test_ports(void **state)
{
	u32 port, n = 0;

	(void)state;
	for (port = 0; port < 0x10000; port++)
		n += vpit_owns_port(&pit, (u16)port);
	assert_int_equal(n, 5);
	assert_true(vpit_owns_port(&pit, 0x40));
	assert_true(vpit_owns_port(&pit, 0x43));
	assert_true(vpit_owns_port(&pit, 0x61));
	vpit_init(&pit, now, false);
	assert_false(vpit_owns_port(&pit, 0x61));
	assert_int_equal(in(0x43), 0);
	assert_false(out(0x44, 0xff));
	assert_int_equal(in(0x44), 0);
}

/* Without a control word nothing runs, whatever is written to the counters. */
static void test_power_on(void **state)
{
	u32 i;

	(void)state;
	assert_int_equal(vpit_deadline(&pit), 0);
	for (i = 0; i < 3; i++) {
		assert_false(out((u16)(0x40 + i), 0x12));
		assert_int_equal(pit.channel[i].counting, 0);
	}
	out(0x61, 0);
	out(0x61, 1);
	assert_false(pit.channel[2].counting);
	assert_int_equal(vpit_deadline(&pit), 0);
	now = at_clock(100000);
	assert_false(vpit_fired(&pit, now));
}

static void test_byte_modes(void **state)
{
	(void)state;
	out(0x43, 0x90); /* channel 2, LSB only, mode 0 */
	out(0x42, 0x20);
	assert_int_equal(pit.channel[2].count, 0x20);
	assert_int_equal(in(0x42), 0x20);
	assert_int_equal(in(0x42), 0x20);

	out(0x43, 0xa0); /* MSB only */
	out(0x42, 0x20);
	assert_int_equal(pit.channel[2].count, 0x2000);
	assert_int_equal(in(0x42), 0x20);

	program(2, 2, 0x1234);
	assert_int_equal(pit.channel[2].count, 0x1234);
	assert_int_equal(read_word(2), 0x1234);
	assert_int_equal(read_word(2), 0x1234);
}

/* Modes 6 and 7 are 2 and 3. */
static void test_mode_aliases(void **state)
{
	(void)state;
	program(0, 6, 100);
	assert_int_equal(status(0) & 0x3f, 0x34);
	program(0, 7, 100);
	assert_int_equal(status(0) & 0x3f, 0x36);
}

static void test_latch_holds(void **state)
{
	(void)state;
	program(0, 2, 10000);
	now = at_clock(100);
	out(0x43, 0x00);
	now = at_clock(200);
	out(0x43, 0x00); /* the first latch holds */
	assert_int_equal(in(0x40), 9900 & 0xff);
	now = at_clock(300);
	assert_int_equal(in(0x40), 9900 >> 8);
	/* then the counter itself again, byte by byte */
	assert_int_equal(in(0x40), 9700 & 0xff);
	assert_int_equal(in(0x40), 9700 >> 8);
	/* a new control word drops latches, and has nothing to do with the speaker */
	out(0x61, 1);
	out(0x43, 0x00);
	out(0x43, 0xc2);
	program(0, 2, 500);
	assert_int_equal(read_word(0), 500);
	assert_int_equal(in(0x61) & 0x03, 0x01);
}

static void test_latch_in_byte_mode(void **state)
{
	(void)state;
	out(0x43, 0xa4); /* channel 2, MSB only, mode 2 */
	out(0x42, 0x10);
	out(0x61, 1);
	out(0x43, 0x80);
	now = at_clock(0x800);
	assert_int_equal(in(0x42), 0x10);
	assert_int_equal(in(0x42), 0x08);
}

static void test_read_back(void **state)
{
	(void)state;
	program(0, 2, 1000);
	program(2, 3, 2000);
	out(0x61, 1);
	now = at_clock(10);
	out(0x43, 0xca); /* count and status of channels 0 and 2 */
	now = at_clock(50);
	out(0x43, 0xca);                  /* held */
	assert_int_equal(in(0x40), 0xb4); /* out, both bytes, mode 2 */
	assert_int_equal(read_word(0), 990);
	assert_int_equal(in(0x42), 0xb6);
	assert_int_equal(read_word(2), 1980);

	out(0x43, 0xd2); /* count of channel 0 only */
	assert_int_equal(read_word(0), 950);
	out(0x43, 0x34);
	assert_int_equal(status(0), 0xf4); /* null count: mode written, count not */
	out(0x43, 0xc0);                   /* of no channel */
	assert_int_equal(pit.channel[0].latched, 0);
}

/* --- counting --- */

static void test_mode_0_counts_through_zero(void **state)
{
	(void)state;
	program(0, 0, 100);
	assert_int_equal(status(0), 0x30);
	assert_int_equal(latched_count(0), 100);
	now = at_clock(99);
	assert_int_equal(latched_count(0), 1);
	assert_int_equal(status(0) & 0x80, 0);
	now = at_clock(100);
	assert_int_equal(latched_count(0), 0);
	assert_int_equal(status(0) & 0x80, 0x80);
	now = at_clock(101);
	assert_int_equal(latched_count(0), 0xffff);
	now = at_clock(101 + 65536);
	assert_int_equal(latched_count(0), 0xffff);
	assert_int_equal(status(0) & 0x80, 0x80);
}

/* The first byte of a new count stops mode 0, the second starts it. */
static void test_mode_0_half_a_count(void **state)
{
	(void)state;
	program(0, 0, 100);
	assert_int_not_equal(vpit_deadline(&pit), 0);
	assert_true(out(0x40, 0x10));
	assert_int_equal(vpit_deadline(&pit), 0);
	assert_int_equal(status(0), 0x70);
	now = at_clock(1000);
	assert_true(out(0x40, 0x00));
	assert_int_equal(latched_count(0), 0x10);

	/* in the other modes it changes nothing yet */
	program(0, 2, 100);
	assert_false(out(0x40, 0x10));
	assert_int_not_equal(vpit_deadline(&pit), 0);
}

static void test_mode_2(void **state)
{
	(void)state;
	program(0, 2, 5);
	assert_int_equal(latched_count(0), 5);
	now = at_clock(3);
	assert_int_equal(latched_count(0), 2);
	assert_int_equal(status(0) & 0x80, 0x80);
	now = at_clock(4); /* low for the last clock */
	assert_int_equal(latched_count(0), 1);
	assert_int_equal(status(0) & 0x80, 0);
	now = at_clock(5);
	assert_int_equal(latched_count(0), 5);
	assert_int_equal(status(0) & 0x80, 0x80);
}

static void test_mode_3(void **state)
{
	const u16 even[] = { 6, 4, 2, 6, 4, 2, 6 };
	const u16 odd[] = { 6, 4, 2, 0, 6, 4, 2, 6 };
	u32 i;

	(void)state;
	program(0, 3, 6);
	for (i = 0; i < ARRAY_SIZE(even); i++) {
		now = at_clock(i);
		assert_int_equal(latched_count(0), even[i]);
		assert_int_equal(!!(status(0) & 0x80), i % 6 < 3);
	}
	now = START;
	program(0, 3, 7); /* high for four, low for three clocks */
	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		now = at_clock(i);
		assert_int_equal(latched_count(0), odd[i]);
		assert_int_equal(!!(status(0) & 0x80), i % 7 < 4);
	}
}

static void test_mode_4_strobe(void **state)
{
	(void)state;
	program(0, 4, 10);
	now = at_clock(9);
	assert_int_equal(status(0) & 0x80, 0x80);
	now = at_clock(10);
	assert_int_equal(status(0) & 0x80, 0);
	now = at_clock(11);
	assert_int_equal(status(0) & 0x80, 0x80);
	assert_int_equal(latched_count(0), 0xffff);
}

static void test_zero_is_the_longest_count(void **state)
{
	(void)state;
	program(0, 2, 0);
	assert_int_equal(latched_count(0), 0);
	now = at_clock(1);
	assert_int_equal(latched_count(0), 0xffff);
	assert_int_equal(vpit_deadline(&pit), START + 65536 * 1000000000ULL / VPIT_HZ + 1);
}

static void test_bcd(void **state)
{
	(void)state;
	out(0x43, 0x31); /* channel 0, both bytes, mode 0, BCD */
	out(0x40, 0x00);
	out(0x40, 0x10);
	assert_int_equal(pit.channel[0].count, 1000);
	now = at_clock(1);
	assert_int_equal(latched_count(0), 0x0999);
	assert_int_equal(status(0), 0x31);
	now = at_clock(1001);
	assert_int_equal(latched_count(0), 0x9999);
	out(0x40, 0x00);
	out(0x40, 0x00);
	assert_int_equal(pit.channel[0].count, 10000);
	assert_int_equal(latched_count(0), 0x0000);
}

/* Two vCPUs: one read the clock before the other loaded the counter, and came second to the lock. */
static void test_access_from_before_the_load(void **state)
{
	(void)state;
	program(0, 2, 1000);
	now = START - 5000;
	assert_int_equal(latched_count(0), 1000);
	assert_int_equal(status(0), 0xb4);
	assert_false(vpit_fired(&pit, now));
}

/* QUIRK(pit_loads_at_once): not at the end of the period, or with the next trigger. */
static void test_a_new_count_counts_at_once(void **state)
{
	(void)state;
	program(0, 2, 1000);
	now = at_clock(300);
	assert_int_equal(latched_count(0), 700);
	out(0x40, 500 & 0xff); /* half a count changes nothing yet */
	assert_int_equal(latched_count(0), 700);
	out(0x40, 500 >> 8);
	assert_int_equal(latched_count(0), 500);
	assert_in_range(vpit_deadline(&pit), at_clock(800) - 1000, at_clock(800) + 1000);

	out(0x61, 0);
	program(2, 1, 1000);
	out(0x61, SPEAKER_GATE2);
	assert_false(out2()); /* in the pulse */
	out(0x42, 500 & 0xff);
	out(0x42, 500 >> 8);
	assert_true(out2()); /* which is over: the new count waits for its trigger */
}

/* --- port 0x61 and channel 2's gate --- */

/* Linux measures the TSC against this: gate on, speaker off, mode 0, wait for OUT2. */
static void test_linux_calibration(void **state)
{
	u16 latch = (u16)(VPIT_HZ / 100); /* 10 ms */

	(void)state;
	out(0x61, (in(0x61) & ~0x02) | 0x01);
	program(2, 0, latch);
	assert_false(out2());
	now = at_clock(latch - 1);
	assert_false(out2());
	now = at_clock(latch);
	assert_true(out2());

	/* the quick variant watches the high byte of a full count go down */
	now = START;
	program(2, 0, 0xffff);
	in(0x42);
	assert_int_equal(in(0x42), 0xff);
	now = at_clock(0xffff - 0xfe80);
	in(0x42);
	assert_int_equal(in(0x42), 0xfe);
}

static void test_speaker_port(void **state)
{
	u32 i, toggles = 0;
	u8 last, value;

	(void)state;
	assert_int_equal(in(0x61) & 0x03, 0);
	out(0x61, 0xff);
	assert_int_equal(in(0x61) & 0xc3, 0x03);
	out(0x61, 0x02);
	assert_int_equal(in(0x61) & 0x03, 0x02);

	/* bit 4 toggles with every refresh, about 15 us apart */
	last = in(0x61) & SPEAKER_REFRESH;
	for (i = 0; i < 18 * 100; i++) {
		now = at_clock(i + 1);
		value = in(0x61) & SPEAKER_REFRESH;
		toggles += value != last;
		last = value;
	}
	assert_in_range(toggles, 99, 101);
}

/* Modes 0 and 4 stand still while the gate is low. */
static void test_gate_pauses(void **state)
{
	(void)state;
	program(2, 0, 1000); /* the gate is low from power-on */
	now = at_clock(5000);
	assert_int_equal(latched_count(2), 1000);
	assert_false(out2());
	out(0x61, 1);
	now = at_clock(5300);
	assert_in_range(latched_count(2), 699, 700);
	out(0x61, 0);
	now = at_clock(90000);
	assert_in_range(latched_count(2), 699, 700);
	out(0x61, 1);
	now = at_clock(90690);
	assert_false(out2());
	now = at_clock(90702);
	assert_true(out2());
	/* a count that is loaded while the gate is low starts from its beginning */
	out(0x61, 0);
	program(2, 0, 1000);
	assert_int_equal(latched_count(2), 1000);
}

/* Modes 2 and 3: a low gate holds OUT high, its rise starts a new period. */
static void test_gate_restarts(void **state)
{
	(void)state;
	program(2, 3, 1000);
	out(0x61, 1);
	now = at_clock(600);
	assert_false(out2());
	out(0x61, 0);
	assert_true(out2());
	now = at_clock(1300);
	out(0x61, 1);
	assert_int_equal(latched_count(2), 1000);
	now = at_clock(1799);
	assert_true(out2());
	now = at_clock(1801);
	assert_false(out2());

	/* a gate that was high all along is no trigger */
	out(0x61, 1);
	assert_false(out2());

	now = at_clock(3000);
	program(2, 2, 10);
	now = at_clock(3009);
	out(0x61, 0);
	assert_true(out2());
}

/* Modes 1 and 5 wait for the gate to rise. */
static void test_gate_triggers(void **state)
{
	(void)state;
	program(2, 1, 100);
	now = at_clock(500);
	assert_true(out2());
	assert_int_equal(status(2), 0xf2); /* null count until the trigger loads it */
	out(0x61, 1);
	assert_false(out2());
	now = at_clock(550);
	out(0x61, 0); /* falling: nothing */
	now = at_clock(560);
	assert_false(out2());
	out(0x61, 1); /* again, from the start */
	now = at_clock(559 + 100);
	assert_false(out2());
	now = at_clock(561 + 100);
	assert_true(out2());

	out(0x61, 0);
	program(2, 5, 100);
	now = at_clock(10000);
	out(0x61, 1);
	now = at_clock(10050);
	assert_true(out2());
	now = at_clock(10000) + 100 * 1000000000ULL / VPIT_HZ + 1;
	assert_false(out2());
	now += 2000;
	assert_true(out2());
}

/* Channel 0's gate is tied high: its triggered modes never start. */
static void test_channel_0_has_no_trigger(void **state)
{
	(void)state;
	program(0, 1, 100);
	assert_int_equal(vpit_deadline(&pit), 0);
	program(0, 5, 100);
	assert_int_equal(vpit_deadline(&pit), 0);
}

/* --- channel 0's interrupt --- */

static void test_periodic_without_drift(void **state)
{
	u32 mode, i;

	(void)state;
	for (mode = 2; mode <= 3; mode++) {
		now = START;
		program(0, mode, 1193);
		for (i = 1; i <= 10000; i++) {
			assert_in_range(vpit_deadline(&pit), at_clock(1193 * i),
					at_clock(1193 * i) + 1);
			tick();
		}
	}
}

static void test_one_shots(void **state)
{
	(void)state;
	program(0, 0, 1000);
	assert_in_range(vpit_deadline(&pit), at_clock(1000), at_clock(1000) + 1);
	tick();
	assert_int_equal(vpit_deadline(&pit), 0);
	now += 1000000000;
	assert_false(vpit_fired(&pit, now));

	/* Linux: mode 4 for clock events */
	now = START;
	program(0, 4, 1000);
	assert_in_range(vpit_deadline(&pit), at_clock(1001), at_clock(1001) + 1);
	tick();
	assert_int_equal(vpit_deadline(&pit), 0);
	/* the next event: a count alone, no control word */
	assert_false(out(0x40, 0x10));
	assert_true(out(0x40, 0x00));
	assert_int_not_equal(vpit_deadline(&pit), 0);
}

static void test_writes_say_when_to_rearm(void **state)
{
	(void)state;
	assert_true(out(0x43, 0x34)); /* channel 0 stops */
	assert_false(out(0x40, 0x00));
	assert_true(out(0x40, 0x10));
	assert_int_not_equal(vpit_deadline(&pit), 0);
	assert_false(out(0x43, 0xb6)); /* channel 2: no business of the timer */
	assert_false(out(0x42, 0x00));
	assert_false(out(0x42, 0x10));
	assert_false(out(0x43, 0x00)); /* latches */
	assert_false(out(0x43, 0xc2));
	assert_true(out(0x43, 0x30));
	assert_int_equal(vpit_deadline(&pit), 0);
}

/* The host's timer was moved after it fired: no tick. */
static void test_stale_timer(void **state)
{
	u64 first;

	(void)state;
	program(0, 2, 1000);
	first = vpit_deadline(&pit);
	program(0, 2, 5000);
	assert_false(vpit_fired(&pit, first));
	assert_in_range(vpit_deadline(&pit), at_clock(5000), at_clock(5000) + 1);
}

/* The period that the guest asked for shows in the counter, but the host's timer stays bounded. */
static void T1_tiny_periods_are_clamped(void **state)
{
	u64 last;
	u32 count, i;

	(void)state;
	for (count = 1; count < 200; count++) {
		program(0, 2, (u16)count);
		for (i = 0; i < 20; i++) {
			last = now;
			now = vpit_deadline(&pit);
			assert_true(vpit_fired(&pit, now));
			vpit_pulsed(&pit, 1);
			if (count * 1000000000ULL / VPIT_HZ >= VPIT_MIN_PERIOD_NS)
				assert_in_range(now - last, VPIT_MIN_PERIOD_NS, 200000);
			else
				assert_in_range(now - last, VPIT_MIN_PERIOD_NS,
						VPIT_MIN_PERIOD_NS + (count + 1) * 839);
		}
	}
}

/* After a pause of an hour: one tick now, a bounded backlog, and the next deadline ahead. */
static void T1_long_pause(void **state)
{
	u32 again = 0;

	(void)state;
	program(0, 2, 1193);
	now += 3600ULL * 1000000000;
	assert_true(vpit_fired(&pit, now));
	assert_in_range(vpit_deadline(&pit), now + 1, now + 1001000);
	vpit_pulsed(&pit, 1);
	while (vpit_irq_acked(&pit)) {
		vpit_pulsed(&pit, 1);
		again++;
	}
	assert_int_equal(again, VPIT_MAX_BACKLOG - 1);

	/* with the shortest period, too */
	program(0, 2, 1);
	now += 3600ULL * 1000000000;
	assert_true(vpit_fired(&pit, now));
	assert_in_range(vpit_deadline(&pit), now + 1, now + 2 * VPIT_MIN_PERIOD_NS);

	vpit_set_reinject(&pit, false);
	program(0, 2, 1193);
	now += 3600ULL * 1000000000;
	assert_true(vpit_fired(&pit, now));
	assert_false(vpit_irq_acked(&pit));
}

/* --- reinjection --- */

static void test_reinjection(void **state)
{
	(void)state;
	program(0, 2, 1193);
	assert_true(fire());
	vpit_pulsed(&pit, 1);
	assert_true(fire());
	vpit_pulsed(&pit, 0); /* the first is still pending */
	assert_true(fire());
	vpit_pulsed(&pit, 0);
	/* the guest ends the first: two are owed */
	assert_true(vpit_irq_acked(&pit));
	vpit_pulsed(&pit, 1);
	assert_true(vpit_irq_acked(&pit));
	vpit_pulsed(&pit, 1);
	assert_false(vpit_irq_acked(&pit));
}

static void test_no_reinjection(void **state)
{
	(void)state;
	vpit_set_reinject(&pit, false);
	program(0, 2, 1193);
	assert_true(fire());
	vpit_pulsed(&pit, 1);
	assert_true(fire());
	vpit_pulsed(&pit, 0);
	assert_false(vpit_irq_acked(&pit));
}

/* A guest that masks the line misses nothing: what is owed is forgotten. */
static void test_masked_ticks_are_not_owed(void **state)
{
	(void)state;
	program(0, 2, 1193);
	assert_true(fire());
	vpit_pulsed(&pit, 1);
	assert_true(fire());
	vpit_pulsed(&pit, 0);
	assert_true(fire());
	vpit_pulsed(&pit, -1);
	assert_false(vpit_irq_acked(&pit));
}

/* An acknowledgement that never comes (LAPIC reset) does not stop the clock. */
static void test_lost_acknowledgement(void **state)
{
	u32 i;

	(void)state;
	program(0, 2, 1193);
	assert_true(fire());
	vpit_pulsed(&pit, 1);
	for (i = 0; i < 10; i++) {
		assert_true(fire());
		vpit_pulsed(&pit, 1);
	}
	assert_false(vpit_irq_acked(&pit));
}

static void test_changing_the_policy_drops_the_backlog(void **state)
{
	(void)state;
	program(0, 2, 1193);
	assert_true(fire());
	vpit_pulsed(&pit, 0);
	vpit_set_reinject(&pit, true);
	assert_false(vpit_irq_acked(&pit));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_ports),
		TEST(test_power_on),
		TEST(test_byte_modes),
		TEST(test_mode_aliases),
		TEST(test_latch_holds),
		TEST(test_latch_in_byte_mode),
		TEST(test_read_back),
		TEST(test_mode_0_counts_through_zero),
		TEST(test_mode_0_half_a_count),
		TEST(test_mode_2),
		TEST(test_mode_3),
		TEST(test_mode_4_strobe),
		TEST(test_zero_is_the_longest_count),
		TEST(test_bcd),
		TEST(test_access_from_before_the_load),
		TEST(test_a_new_count_counts_at_once),
		TEST(test_linux_calibration),
		TEST(test_speaker_port),
		TEST(test_gate_pauses),
		TEST(test_gate_restarts),
		TEST(test_gate_triggers),
		TEST(test_channel_0_has_no_trigger),
		TEST(test_periodic_without_drift),
		TEST(test_one_shots),
		TEST(test_writes_say_when_to_rearm),
		TEST(test_stale_timer),
		TEST(T1_tiny_periods_are_clamped),
		TEST(T1_long_pause),
		TEST(test_reinjection),
		TEST(test_no_reinjection),
		TEST(test_masked_ticks_are_not_owed),
		TEST(test_lost_acknowledgement),
		TEST(test_changing_the_policy_drops_the_backlog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
