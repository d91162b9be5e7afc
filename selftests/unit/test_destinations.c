// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many LAPICs a message meets, and what the sender is told (invariant I2): none, all of many,
 * IDs with gaps between them and indices that are not IDs. Leaves out the matching rules themselves
 * (test_msg.c). The LAPICs of one test stand in one array, so a wrong index is a wrong LAPIC.
 */
#include "harness.h"

#define VECTOR  0x51
#define PIN     5
#define NR_MANY 1024

struct crowd {
	struct irqchip chip;
	u32 notified[NR_MANY];
	struct vlapic apic[NR_MANY];
	u32 nr;
};

static void crowd_notify(void *ctx, u32 vcpu, enum irq_notify how)
{
	(void)how;
	((struct crowd *)ctx)->notified[vcpu]++;
}

static void crowd_timer(void *ctx, u32 vcpu, u64 deadline_ns)
{
	(void)ctx, (void)vcpu;
	assert_int_equal(deadline_ns, 0); /* no test here starts one */
}

static u64 crowd_now(void *ctx)
{
	(void)ctx;
	return MACHINE_START_NS;
}

static const struct irqchip_host crowd_host = {
	.notify = crowd_notify,
	.lapic_timer = crowd_timer,
	.now_ns = crowd_now,
};

/* @nr software-enabled LAPICs in x2APIC mode; the ID of index i is @id(i). */
static struct crowd *crowd_new(u32 nr, u32 (*id)(u32 index))
{
	struct crowd *c = calloc(1, sizeof(*c));
	u32 i;

	assert_non_null(c);
	c->nr = nr;
	irqchip_init(&c->chip, &crowd_host, c);
	for (i = 0; i < nr; i++) {
		vlapic_init(&c->apic[i], calloc(1, LAPIC_PAGE_SIZE), id(i), i == 0);
		assert_int_equal(irqchip_attach(&c->chip, i, &c->apic[i]), 0);
		assert_int_equal(irqchip_msr_write(&c->chip, i, MSR_LAPIC_BASE,
						   c->apic[i].base_msr | LAPIC_BASE_X2APIC, false),
				 0);
		assert_int_equal(irqchip_msr_write(&c->chip, i, x2(LAPIC_SVR),
						   LAPIC_SVR_ENABLE | 0xff, false),
				 0);
	}
	return c;
}

static void crowd_free(struct crowd *c)
{
	u32 i;

	for (i = 0; i < c->nr; i++)
		free(c->apic[i].regs);
	free(c);
}

static int send(struct crowd *c, u32 dest, bool logical, u8 vector)
{
	struct irq_msg msg = { .dest = dest,
			       .logical = logical,
			       .vector = vector,
			       .assert = true,
			       .x2apic_dest = true,
			       .path = IRQ_PATH_MSI };

	return irqchip_deliver(&c->chip, &msg, -1);
}

static u32 received(struct crowd *c, u8 vector)
{
	u32 i, n = 0;

	for (i = 0; i < c->nr; i++) {
		vlapic_fold(&c->apic[i]);
		n += !!(vlapic_reg(&c->apic[i], LAPIC_IRR + vector / 32 * 0x10) &
			1u << vector % 32);
	}
	return n;
}

static u32 own_index(u32 index)
{
	return index;
}

/* Falling IDs with gaps; the last index has the lowest one. */
static u32 sparse(u32 index)
{
	return IRQCHIP_MAX_ID - 1 - 37 * index;
}

static void I2_sparse_ids(void **state)
{
	struct crowd *c = crowd_new(100, sparse);
	u32 i;

	(void)state;
	for (i = 0; i < c->nr; i++) {
		u8 vector = (u8)(0x20 + i);

		assert_int_equal(send(c, sparse(i) - 1, false, vector), -1); /* a gap */
		assert_int_equal(send(c, sparse(i), false, vector), 1);
		assert_int_equal(received(c, vector), 1);
		assert_int_equal(vlapic_highest_irr(&c->apic[i]), vector);
		assert_int_equal(c->notified[i], 1);
	}
	/* IDs that no table holds. */
	assert_int_equal(send(c, IRQCHIP_MAX_ID, false, 0xf0), -1);
	assert_int_equal(send(c, 0xfffffffe, false, 0xf0), -1);
	assert_int_equal(send(c, 0xfffeffff, true, 0xf0), -1);
	assert_int_equal(received(c, 0xf0), 0);
	crowd_free(c);
}

/* Every cluster of the 65536 there can be, and IDs around each power of two (invariant L3). */
static void L3_clusters_beyond_the_map(void **state)
{
	struct crowd *c = crowd_new(100, sparse);
	u32 cluster, bit, members, i;

	(void)state;
	for (cluster = 0; cluster <= 0xffff; cluster++) {
		for (members = i = 0; i < c->nr; i++)
			members += sparse(i) / 16 == cluster;
		if (cluster == 0xffff) /* all ones is the broadcast */
			assert_int_equal(send(c, cluster << 16 | 0x7fff, true, 0x31), -1);
		else
			assert_int_equal(send(c, cluster << 16 | 0xffff, true,
					      (u8)(0x40 + cluster % 0x80)) > 0,
					 members > 0);
	}
	for (bit = 12; bit < 32; bit++)
		assert_int_equal(send(c, 1u << bit, false, 0x32), -1);
	crowd_free(c);
}

static void I2_results_of_many_destinations(void **state)
{
	struct crowd *c = crowd_new(NR_MANY, own_index);

	(void)state;
	assert_int_equal(send(c, MSG_BROADCAST_32, false, 0x40), NR_MANY);
	assert_int_equal(received(c, 0x40), NR_MANY);
	assert_int_equal(send(c, MSG_BROADCAST_32, false, 0x40), 0); /* coalesced by all */
	/* One of them takes no interrupts: it neither counts nor hides the others. */
	assert_int_equal(irqchip_msr_write(&c->chip, 7, x2(LAPIC_SVR), 0xff, false), 0);
	assert_int_equal(send(c, MSG_BROADCAST_32, false, 0x41), NR_MANY - 1);
	assert_int_equal(send(c, 7, false, 0x42), -1);
	/* A whole cluster, and one of its members who is not there. */
	assert_int_equal(send(c, 3u << 16 | 0xffff, true, 0x43), 16);
	assert_int_equal(received(c, 0x43), 16);
	assert_int_equal(send(c, (NR_MANY / 16) << 16 | 0xffff, true, 0x44), -1);
	crowd_free(c);
}

/* A level interrupt that nobody takes is not in flight: no EOI will ever come for it. */
static void I2_no_destination_leaves_nothing_in_flight(void **state)
{
	struct machine *m = pc(2);

	(void)state;
	set_rte(m, PIN, 0x55, RTE_LEVEL | VECTOR); /* nobody has this ID */
	assert_int_equal(line(m, PIN, true), -1);
	assert_false(remote_irr(m, PIN));
	assert_int_equal(line(m, PIN, true), -1); /* and not "coalesced" by itself */
	set_rte(m, PIN, 1, RTE_LEVEL | VECTOR);   /* now somebody: the line is still up */
	assert_true(remote_irr(m, PIN));
	line(m, PIN, false);
	expect_irq(m, 1, VECTOR);
	assert_false(remote_irr(m, PIN));
	machine_free(m);
}

/* Edge, MSI and lowest priority: the sender learns that there is no destination. */
static void I2_no_destination_is_reported(void **state)
{
	struct machine *m = pc(2);

	(void)state;
	set_rte(m, PIN, 0x55, VECTOR);
	assert_int_equal(line(m, PIN, true), -1);
	assert_int_equal(line(m, PIN, false), 0);
	assert_int_equal(irqchip_msi(&m->chip, 0xfee55000, VECTOR), 0);
	assert_int_equal(irqchip_msi(&m->chip, 0xfee55008, VECTOR | IRQ_DM_LOWEST << 8), 0);
	m->chip.vector_hashing = true;
	assert_int_equal(irqchip_msi(&m->chip, 0xfee55008, VECTOR | IRQ_DM_LOWEST << 8), 0);
	assert_int_equal(m->notified[0] + m->notified[1], 0);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(L3_clusters_beyond_the_map),
		cmocka_unit_test(I2_sparse_ids),
		cmocka_unit_test(I2_results_of_many_destinations),
		cmocka_unit_test(I2_no_destination_leaves_nothing_in_flight),
		cmocka_unit_test(I2_no_destination_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
