// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an interrupt costs in the core, in userspace, by the number of vCPUs: from a message to the
 * acknowledged vector and its EOI. The cost of a single destination must not depend on that number.
 * Times are of this machine and say nothing absolute; columns are to be compared with one another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <irqchip/irqchip.h>
#include <irqchip/vlapic.h>

#define MAX_CPUS IRQCHIP_MAX_VCPUS
#define ROUNDS   400000u
#define BATCHES  7

static struct irqchip chip;
static struct vlapic lapics[MAX_CPUS];

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

static u64 no_tsc(void *ctx, u32 vcpu)
{
	(void)ctx, (void)vcpu;
	return 0;
}

static const struct irqchip_host host = {
	.notify = no_notify,
	.lapic_timer = no_timer,
	.now_ns = real_now,
	.guest_tsc = no_tsc,
};

static void must(int r)
{
	if (r) {
		fprintf(stderr, "bench: the core refused a step (%d)\n", r);
		exit(1);
	}
}

/* All LAPICs in x2APIC mode and enabled. IDs are 2 * index, as with an unused SMT sibling. */
static void build(u32 nr_cpus)
{
	u32 i;

	irqchip_init(&chip, &host, NULL);
	for (i = 0; i < nr_cpus; i++) {
		u32 *regs = lapics[i].regs ? lapics[i].regs : calloc(1, LAPIC_PAGE_SIZE);

		vlapic_init(&lapics[i], regs, 2 * i, i == 0);
		must(irqchip_attach(&chip, i, &lapics[i]));
		must(irqchip_msr_write(&chip, i, MSR_LAPIC_BASE,
				       lapics[i].base_msr | LAPIC_BASE_X2APIC, false));
		must(irqchip_msr_write(&chip, i, MSR_X2APIC_FIRST + (LAPIC_SVR >> 4), 0x1ff,
				       false));
	}
}

/* One interrupt to the last vCPU: delivered, taken, ended. */
static void one_interrupt(u32 cpu, bool logical)
{
	u32 id = 2 * cpu;
	struct irq_msg msg = {
		.dest = logical ? id / 16 << 16 | 1u << id % 16 : id,
		.logical = logical,
		.vector = 0x41,
		.assert = true,
		.x2apic_dest = true,
		.path = IRQ_PATH_IPI,
	};

	must(irqchip_deliver(&chip, &msg, -1) != 1);
	must(irqchip_ack(&chip, cpu) != 0x41);
	must(irqchip_msr_write(&chip, cpu, MSR_X2APIC_FIRST + (LAPIC_EOI >> 4), 0, false));
}

static void idle_look(u32 cpu, bool unused)
{
	(void)unused;
	must(irqchip_peek(&chip, cpu) != -1);
}

/* The best of some batches, in ns per operation. */
static double measure(void (*op)(u32, bool), u32 cpu, bool logical)
{
	double best = 1e9;
	u32 batch, i;

	for (batch = 0; batch < BATCHES; batch++) {
		u64 start = real_now(NULL);
		double ns;

		for (i = 0; i < ROUNDS; i++)
			op(cpu, logical);
		ns = (double)(real_now(NULL) - start) / ROUNDS;
		best = ns < best ? ns : best;
	}
	return best;
}

int main(void)
{
	static const u32 sizes[] = { 1, 8, 64, 512, 1024 };
	size_t i;

	printf("%8s %22s %22s %14s\n", "vCPUs", "physical: irq, ns", "x2APIC logical: irq, ns",
	       "idle look, ns");
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u32 last = sizes[i] - 1;

		build(sizes[i]);
		printf("%8u %22.1f %22.1f %14.1f\n", sizes[i], measure(one_interrupt, last, false),
		       measure(one_interrupt, last, true), measure(idle_look, last, false));
	}
	return 0;
}
