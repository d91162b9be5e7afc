/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The counters of a vCPU or of a VM at one moment, for the two ways to read them: debugfs (stats.c)
 * and the binary descriptors (stats_fd.c). Private to these two files.
 */
#ifndef VIRT_STATS_H
#define VIRT_STATS_H

#include <vcpu.h>

/* A sum over vCPUs. struct vcpu_stats is summed as the array of u64 that it is. Zero before use. */
struct counters {
	struct vcpu_stats vcpu;
	u64 irq[IRQ_PATH_NR];
	u64 irq_coalesced;
	u64 vms, vcpus;
};

extern const char *const stats_path_names[IRQ_PATH_NR];

/* Any context; the vCPU is not stopped for it. */
void stats_sum_vcpu(struct counters *c, struct vcpu *vcpu);
void stats_sum_vm(struct counters *c, struct vm *vm);

#endif
