// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254's state image: what it carries to another machine, what it refuses, and ports and images
 * used by several threads at once.
 * Tests named T*_* exclude the invariant of that name.
 *
 * Links with: arch/x86/irqchip/vpit.c -lcmocka -lpthread
 */
#include "vpit_test.h"

/* --- save and restore --- */

static struct kvm_pit_state2 image;

static void move_to_new_machine(void)
{
	vpit_get_state(&pit, &image);
	vpit_init(&pit, now, true);
	assert_int_equal(vpit_set_state(&pit, &image, now), 0);
}

static void assert_round_trip(void)
{
	struct kvm_pit_state2 again;
	u64 deadline = vpit_deadline(&pit);

	move_to_new_machine();
	vpit_get_state(&pit, &again);
	assert_memory_equal(&image, &again, sizeof(image));
	assert_int_equal(vpit_deadline(&pit), deadline);
}

static void test_state_round_trip(void **state)
{
	u32 mode;

	(void)state;
	assert_round_trip();
	assert_int_equal(image.channels[0].mode, 0xff);
	assert_int_equal(image.channels[0].gate, 1);
	assert_int_equal(image.channels[2].gate, 0);

	for (mode = 0; mode <= 5; mode++) {
		now = START + 77;
		program(0, mode, 20000);
		out(0x43, (u8)(0xb0 | mode << 1)); /* channel 2: half a count */
		out(0x42, 0x34);
		assert_round_trip();
		now += 5000000;
		assert_round_trip();
		out(0x42, 0x12);
		assert_int_equal(pit.channel[2].count, 0x1234);
		out(0x61, 3);
		out(0x43, 0xce); /* everything latched, channel 2 half read */
		in(0x42);
		in(0x42);
		assert_round_trip();
		assert_int_equal(image.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
		assert_int_equal(in(0x42), 0x12);
		out(0x61, 0);
	}
}

/* A control word without a count: the counter waits on the new machine, too. */
static void test_state_not_loaded(void **state)
{
	(void)state;
	out(0x43, 0x34);
	assert_round_trip();
	assert_int_equal(image.channels[0].count_load_time, VPIT_TIME_UNLOADED);
	assert_int_equal(vpit_deadline(&pit), 0);
	assert_int_equal(status(0), 0xf4);
}

/* A paused counter neither loses clocks nor gains those of the move. */
static void test_state_paused(void **state)
{
	(void)state;
	program(2, 0, 1000);
	out(0x61, 1);
	now = at_clock(400);
	out(0x61, 0);
	vpit_get_state(&pit, &image);
	now = at_clock(1000000);
	vpit_init(&pit, now, true);
	assert_int_equal(vpit_set_state(&pit, &image, now), 0);
	assert_in_range(latched_count(2), 600, 601);
	out(0x61, 1);
	now = at_clock(1000000 + 598);
	assert_false(out2());
	now = at_clock(1000000 + 602);
	assert_true(out2());

	/* QEMU may raise the gate in the image itself */
	program(2, 0, 1000);
	now += 300 * 1000000000ULL / VPIT_HZ;
	out(0x61, 0);
	vpit_get_state(&pit, &image);
	image.channels[2].gate = 1;
	assert_int_equal(vpit_set_state(&pit, &image, now), 0);
	now += 500 * 1000000000ULL / VPIT_HZ;
	assert_in_range(latched_count(2), 199, 203);

	/* in-tree KVM has no paused counters: a time, and a low gate */
	image.channels[2].gate = 0;
	image.channels[2].count_load_time = (s64)(now - 600 * 1000000000ULL / VPIT_HZ);
	assert_int_equal(vpit_set_state(&pit, &image, now), 0);
	now += 1000000000;
	assert_in_range(latched_count(2), 400, 401);
	image.channels[2].mode = 1; /* where the gate is the trigger, counting goes on */
	image.channels[2].count_load_time = (s64)now;
	assert_int_equal(vpit_set_state(&pit, &image, now), 0);
	now += 600 * 1000000000ULL / VPIT_HZ;
	assert_in_range(latched_count(2), 400, 401);
}

/* A one-shot that is over does not fire again; one that ended on the way fires at once. */
static void test_state_one_shots(void **state)
{
	(void)state;
	program(0, 0, 1000);
	vpit_get_state(&pit, &image);
	tick();
	assert_round_trip();
	assert_int_equal(image.channels[0].count_load_time, VPIT_TIME_DONE);
	assert_int_equal(vpit_deadline(&pit), 0);
	assert_int_equal(status(0), 0xb0);
	/* nor where the target has a timer running */
	vpit_get_state(&pit, &image);
	program(0, 2, 1000);
	assert_int_equal(vpit_set_state(&pit, &image, now), 0);
	assert_int_equal(vpit_deadline(&pit), 0);

	vpit_get_state(&pit, &image);
	program(0, 0, 1000);
	vpit_get_state(&pit, &image);
	now += 10000000000;
	vpit_init(&pit, now, true);
	assert_int_equal(vpit_set_state(&pit, &image, now), 0);
	assert_int_equal(vpit_deadline(&pit), now);
	assert_true(vpit_fired(&pit, now));
	assert_int_equal(vpit_deadline(&pit), 0);
}

/* An image of another host: its clock says nothing here, but the timer must run. */
static void test_state_foreign_times(void **state)
{
	const s64 times[] = { 0,
			      1,
			      -1,
			      -3600000000000,
			      0x7fffffffffffffff,
			      VPIT_TIME_PAUSED + VPIT_PAUSED_MAX + 1,
			      START + 1000000000000 };
	u32 i, mode;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(times); i++) {
		for (mode = 0; mode <= 5; mode++) {
			memset(&image, 0, sizeof(image));
			image.channels[0].count = 11930;
			image.channels[0].mode = (u8)mode;
			image.channels[0].rw_mode = 3;
			image.channels[0].count_load_time = times[i];
			assert_int_equal(vpit_set_state(&pit, &image, now), 0);
			assert_in_range(vpit_deadline(&pit), now, now + 10000000);
			assert_true(fire());
		}
	}
}

static void T3_zero_counts(void **state)
{
	u32 mode;

	(void)state;
	for (mode = 0; mode <= 7; mode++) {
		memset(&image, 0, sizeof(image));
		image.channels[0].mode = (u8)mode;
		image.channels[1].mode = (u8)mode;
		image.channels[2].mode = (u8)mode;
		assert_int_equal(vpit_set_state(&pit, &image, now), 0);
		assert_int_equal(pit.channel[0].count, 65536);
		assert_in_range(vpit_deadline(&pit), now + 54000000, now + 55000000);
		now += 123456;
		in(0x61);
		status(2);
		latched_count(0);
	}
}

static void T3_hostile_images(void **state)
{
	struct kvm_pit_state2 good;

	(void)state;
	program(0, 2, 1193);
	vpit_get_state(&pit, &good);
#define REFUSED(field, value)                                                 \
	do {                                                                  \
		image = good;                                                 \
		image.field = (value);                                        \
		assert_int_equal(vpit_set_state(&pit, &image, now), -EINVAL); \
	} while (0)
	REFUSED(channels[0].count, 0x10001);
	REFUSED(channels[2].count, 0xffffffff);
	REFUSED(channels[1].mode, 8);
	REFUSED(channels[0].mode, 0xfe);
	REFUSED(channels[0].rw_mode, 4);
	REFUSED(channels[0].read_state, 5);
	REFUSED(channels[0].write_state, 5);
	REFUSED(channels[0].count_latched, 4);
	REFUSED(flags, 4);
	/* refused images change nothing */
	vpit_get_state(&pit, &image);
	assert_memory_equal(&image, &good, sizeof(image));
}

/* Whatever passes the check can be run. */
static void T3_random_images(void **state)
{
	u64 rng = 0x9e3779b97f4a7c15;
	u32 i, j, accepted = 0;

	(void)state;
	for (i = 0; i < 20000; i++) {
		u8 *bytes = (u8 *)&image;

		for (j = 0; j < sizeof(image); j++) {
			rng ^= rng << 13;
			rng ^= rng >> 7;
			rng ^= rng << 17;
			bytes[j] = (u8)(rng >> 20);
		}
		image.flags &= 3;
		for (j = 0; j < 3; j++) {
			image.channels[j].count &= 0x1ffff >> (rng >> j & 1);
			image.channels[j].mode &= 7;
			image.channels[j].rw_mode &= 3;
			image.channels[j].read_state &= 3;
			image.channels[j].write_state &= 3;
			image.channels[j].count_latched &= 3;
			if (rng >> (8 + j) & 1)
				image.channels[j].count_load_time >>= 30;
		}
		if (vpit_set_state(&pit, &image, now))
			continue;
		accepted++;
		for (j = 0; j < 8; j++) {
			now += rng >> (24 + 4 * j);
			in((u16)(0x40 + j % 3));
			in(0x61);
			if (vpit_deadline(&pit) && now >= vpit_deadline(&pit)) {
				assert_true(vpit_fired(&pit, now));
				assert_true(!vpit_deadline(&pit) || vpit_deadline(&pit) > now);
			}
			out((u16)(0x40 + (rng >> j) % 4), (u8)(rng >> (8 + j)));
			out(0x61, (u8)(rng >> j));
		}
	}
	assert_in_range(accepted, 1000, 19999);
}

static void test_hpet_legacy_silences_channel_0(void **state)
{
	(void)state;
	program(0, 2, 1193);
	vpit_get_state(&pit, &image);
	image.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	assert_int_equal(vpit_set_state(&pit, &image, now), 0);
	assert_int_equal(vpit_deadline(&pit), 0);
	out(0x40, 0x10);
	out(0x40, 0x10);
	assert_int_equal(vpit_deadline(&pit), 0);
	vpit_get_state(&pit, &image);
	assert_int_equal(image.flags, KVM_PIT_FLAGS_HPET_LEGACY);
	image.flags = 0;
	assert_int_equal(vpit_set_state(&pit, &image, now), 0);
	assert_int_not_equal(vpit_deadline(&pit), 0);
}

/* --- T3: concurrent port access --- */

static void *hammer(void *arg)
{
	u64 rng = (u64)(uintptr_t)arg;
	struct kvm_pit_state2 mine;
	u32 i;

	for (i = 0; i < 50000; i++) {
		u64 when;

		rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
		when = START + (u64)i * 1000;
		switch (rng >> 60) {
		case 0:
			vpit_get_state(&pit, &mine);
			if (vpit_set_state(&pit, &mine, when))
				return "the own state was refused";
			break;
		case 1 ... 3:
			if (vpit_fired(&pit, when))
				vpit_pulsed(&pit, (int)(rng >> 58 & 1));
			break;
		case 4 ... 8:
			vpit_pio_read(&pit, (u16)(0x40 + (rng >> 40) % 4), when);
			break;
		default:
			vpit_pio_write(&pit, (u16)(0x40 + (rng >> 40) % 4), (u8)(rng >> 32), when);
			break;
		}
	}
	return NULL;
}

static void T3_concurrent_access(void **state)
{
	pthread_t thread[4];
	void *complaint;
	u32 i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, hammer, (void *)(uintptr_t)(i + 1)), 0);
	for (i = 0; i < 4; i++) {
		pthread_join(thread[i], &complaint);
		if (complaint)
			fail_msg("%s", (char *)complaint);
	}
	/* and it works as ever */
	now = START + 1000000000;
	program(0, 2, 1193);
	tick();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_state_round_trip),
		TEST(test_state_not_loaded),
		TEST(test_state_paused),
		TEST(test_state_one_shots),
		TEST(test_state_foreign_times),
		TEST(T3_zero_counts),
		TEST(T3_hostile_images),
		TEST(T3_random_images),
		TEST(test_hpet_legacy_silences_channel_0),
		TEST(T3_concurrent_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
