// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an interrupt for one vCPU costs in the core, in userspace, by the number of vCPUs: finding
 * its LAPIC (msg.c) against asking every LAPIC, and the whole way from message to EOI. The first
 * must not depend on that number. Times are of this machine and say nothing absolute; the rows of
 * one column are to be compared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <irqchip/irqchip.h>
#include <irqchip/msg.h>
#include <irqchip/vlapic.h>

#define MAX_CPUS IRQCHIP_MAX_VCPUS
#define ROUNDS   20000u
#define BATCHES  9
#define VECTOR   0x41

static struct irqchip chip;
static struct vlapic lapics[MAX_CPUS];

/* How software numbers and addresses the LAPICs. */
enum scheme {
	PHYSICAL,       /* xAPIC mode, APIC ID */
	FLAT,           /* xAPIC mode, logical, flat model */
	CLUSTER,        /* xAPIC mode, logical, cluster model */
	X2APIC,         /* x2APIC mode, APIC ID */
	X2APIC_LOGICAL, /* x2APIC mode, logical cluster */
	NR_SCHEMES,
};

static const struct {
	const char *name;
	u32 max_cpus; /* of which each can be addressed alone */
} schemes[NR_SCHEMES] = {
	[PHYSICAL] = { "physical", 127 },
	[FLAT] = { "flat", 8 },
	[CLUSTER] = { "cluster", 60 },
	[X2APIC] = { "x2APIC", MAX_CPUS },
	[X2APIC_LOGICAL] = { "x2APIC logical", MAX_CPUS },
};

static u64 real_now(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

static void no_notify(void *ctx, u32 vcpu, enum irq_notify how)
{
	(void)ctx, (void)vcpu, (void)how;
}

static void no_timer(void *ctx, u32 vcpu, u64 deadline_ns)
{
	(void)ctx, (void)vcpu, (void)deadline_ns;
}

static u64 no_tsc(void *ctx, u32 vcpu, u64 *now_ns)
{
	(void)vcpu;
	*now_ns = real_now(ctx);
	return 0;
}

static const struct irqchip_host host = {
	.notify = no_notify,
	.lapic_timer = no_timer,
	.now_ns = real_now,
	.guest_tsc = no_tsc,
};

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "bench: %s\n", what);
		exit(1);
	}
}

static bool is_x2apic(enum scheme scheme)
{
	return scheme == X2APIC || scheme == X2APIC_LOGICAL;
}

/* IDs are 2 * index, as with an unused SMT sibling. */
static u32 id_of(u32 cpu)
{
	return 2 * cpu;
}

/* The logical ID that software gives to @cpu in xAPIC mode. */
static u32 xapic_ldr(enum scheme scheme, u32 cpu)
{
	return scheme == FLAT ? 1u << cpu % 8 : (cpu / 4 % 15) << 4 | 1u << cpu % 4;
}

static void write_reg(u32 cpu, enum scheme scheme, u32 offset, u32 value)
{
	if (is_x2apic(scheme))
		must(!irqchip_msr_write(&chip, cpu, MSR_X2APIC_FIRST + (offset >> 4), value, false),
		     "a register write faults");
	else
		irqchip_lapic_write(&chip, cpu, offset, sizeof(value), &value);
}

static void build(u32 nr_cpus, enum scheme scheme)
{
	u32 i;

	irqchip_init(&chip, &host, NULL);
	for (i = 0; i < nr_cpus; i++) {
		u32 *regs = lapics[i].regs ? lapics[i].regs : calloc(1, LAPIC_PAGE_SIZE);

		must(regs, "out of memory");
		vlapic_init(&lapics[i], regs, id_of(i), i == 0);
		must(!irqchip_attach(&chip, i, &lapics[i]), "a LAPIC is refused");
		if (is_x2apic(scheme)) {
			must(!irqchip_msr_write(&chip, i, MSR_LAPIC_BASE,
						lapics[i].base_msr | LAPIC_BASE_X2APIC, false),
			     "x2APIC mode is refused");
		} else {
			write_reg(i, scheme, LAPIC_DFR,
				  scheme == CLUSTER ? LAPIC_DFR_CLUSTER : LAPIC_DFR_FLAT);
			write_reg(i, scheme, LAPIC_LDR,
				  FIELD_PREP(LAPIC_LDR_XAPIC, xapic_ldr(scheme, i)));
		}
		write_reg(i, scheme, LAPIC_SVR, LAPIC_SVR_ENABLE | 0xff);
	}
}

static struct irq_msg message_to(enum scheme scheme, u32 cpu)
{
	struct irq_msg msg = {
		.vector = VECTOR,
		.assert = true,
		.x2apic_dest = is_x2apic(scheme),
		.logical = scheme == FLAT || scheme == CLUSTER || scheme == X2APIC_LOGICAL,
		.path = IRQ_PATH_IPI,
	};

	if (scheme == X2APIC_LOGICAL)
		msg.dest = msg_x2apic_ldr(id_of(cpu));
	else
		msg.dest = msg.logical ? xapic_ldr(scheme, cpu) : id_of(cpu);
	return msg;
}

/* --- what is measured --- */

static void fast_match(const struct irq_msg *msg, u32 cpu)
{
	struct msg_targets it;
	struct vlapic *apic;
	u32 found = 0;

	msg_targets_begin(&it, &chip, msg);
	while ((apic = msg_targets_next(&it)))
		found += apic == &lapics[cpu] ? 1 : 2;
	must(found == 1, "the fast way found another set");
}

static void slow_match(const struct irq_msg *msg, u32 cpu)
{
	struct vlapic *apic;
	u32 i, found = 0;

	irqchip_for_each_lapic (&chip, i, apic) {
		if (msg_matches(msg, apic, true))
			found += i == cpu ? 1 : 2;
	}
	must(found == 1, "the slow way found another set");
}

/* Delivered, taken, ended. */
static void whole_interrupt(const struct irq_msg *msg, u32 cpu)
{
	must(irqchip_deliver(&chip, msg, -1) == 1, "not delivered");
	must(irqchip_ack(&chip, cpu) == VECTOR, "not taken");
	write_reg(cpu, msg->x2apic_dest ? X2APIC : PHYSICAL, LAPIC_EOI, 0);
}

/* The best of some batches, in ns. */
static double measure(void (*op)(const struct irq_msg *, u32), const struct irq_msg *msg, u32 cpu)
{
	double best = 1e9;
	u32 batch, i;

	for (batch = 0; batch < BATCHES; batch++) {
		u64 start = real_now(NULL);
		double ns;

		for (i = 0; i < ROUNDS; i++)
			op(msg, cpu);
		ns = (double)(real_now(NULL) - start) / ROUNDS;
		best = ns < best ? ns : best;
	}
	return best;
}

int main(void)
{
	static const u32 sizes[] = { 1, 8, 64, 512, 1024 };
	enum scheme scheme;
	size_t i;

	printf("%-15s %6s %14s %14s %16s\n", "destination", "vCPUs", "match, ns", "ask all, ns",
	       "irq to EOI, ns");
	for (scheme = 0; scheme < NR_SCHEMES; scheme++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			u32 nr = min(sizes[i], schemes[scheme].max_cpus), last = nr - 1;
			struct irq_msg msg = message_to(scheme, last);

			if (i && nr <= sizes[i - 1])
				break;
			build(nr, scheme);
			printf("%-15s %6u %14.1f %14.1f %16.1f\n", schemes[scheme].name, nr,
			       measure(fast_match, &msg, last), measure(slow_match, &msg, last),
			       measure(whole_interrupt, &msg, last));
		}
	}
	return 0;
}
