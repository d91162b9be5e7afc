// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a VM and a vCPU take: ticks to create and destroy them, and the kernel's memory while they
 * are there. The vCPUs have not run; guest memory and its page tables are not counted.
 */
#include "bench.h"
#include "leak.h"

#define VMS          8
#define MEMORY_TIMES 5

/* --- time --- */

static int create_vm(int dev, bool irqchip)
{
	int vm = must(ioctl(dev, KVM_CREATE_VM, 0));

	if (irqchip)
		must(ioctl(vm, KVM_CREATE_IRQCHIP));
	return vm;
}

/* Metrics "create" and "destroy", of a VM with c->arg vCPUs, or alone. */
static void run_create(const struct bench_case *c)
{
	int dev = dev_open(), vm, vcpu[MAX_VCPUS];
	struct samples s = { .n = repeats() };

	for (unsigned int i = 0; i < s.n + 1; i++) { /* the first is to warm up */
		unsigned int slot = i ? i - 1 : 0;
		uint64_t start = batch_begin();

		vm = create_vm(dev, c->arg);
		if (c->arg)
			start = batch_begin();
		for (unsigned int j = 0; j < c->arg; j++)
			vcpu[j] = must(ioctl(vm, KVM_CREATE_VCPU, j));
		s.ticks[0][slot] = batch_end() - start;
		start = rdtsc();
		for (unsigned int j = 0; j < c->arg; j++)
			close(vcpu[j]);
		close(vm);
		s.ticks[1][slot] = rdtsc() - start;
	}
	close(dev);
	emit(c, &s, NULL);
}

/* --- memory --- */

/* VMS machines with @vcpus each: bytes that are not free because of them. */
static long memory_of(unsigned int vcpus)
{
	int dev = dev_open(), vm[VMS], vcpu[VMS][MAX_VCPUS];
	long before = leak_memory_now().pages, bytes;

	for (unsigned int i = 0; i < VMS; i++) {
		vm[i] = create_vm(dev, true);
		for (unsigned int j = 0; j < vcpus; j++)
			vcpu[i][j] = must(ioctl(vm[i], KVM_CREATE_VCPU, j));
	}
	bytes = leak_memory_now().pages - before;
	for (unsigned int i = 0; i < VMS; i++) {
		for (unsigned int j = 0; j < vcpus; j++)
			close(vcpu[i][j]);
		close(vm[i]);
	}
	close(dev);
	return bytes > 0 ? bytes : 0;
}

/* Each vCPU above none: c->arg of them in a VM, or a VM without. */
static void run_memory(const struct bench_case *c)
{
	struct samples s = { .n = MEMORY_TIMES };

	memory_of(c->arg); /* to warm up */
	for (unsigned int i = 0; i < s.n; i++) {
		long bare = memory_of(0), bytes = memory_of(c->arg);

		s.ticks[0][i] = (uint64_t)(c->arg ? bytes > bare ? bytes - bare : 0 : bytes);
	}
	emit(c, &s, NULL);
}

#define TIMES                       \
	{                           \
		"create", "destroy" \
	}

const struct bench_case life_cases[] = {
	{ .name = "life.vm", .run = run_create, .ops = 1, .metric = TIMES },
	{ .name = "life.vcpu", .run = run_create, .ops = 8, .arg = 8, .metric = TIMES },
	{ .name = "memory.vm", .run = run_memory, .ops = VMS, .unit = "bytes" },
	{ .name = "memory.vcpu", .run = run_memory, .ops = VMS * 8, .arg = 8, .unit = "bytes" },
	{},
};
