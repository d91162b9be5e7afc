// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters in debugfs, "name value" per line:
 *   apicvisor/totals           all VMs since the module was loaded, dead ones included
 *   apicvisor/PID-N/stats      the N-th VM, created by process PID
 *   apicvisor/PID-N/vcpuI/stats
 *   apicvisor/PID-N/vcpuI/state  what the vCPU waits for, see arch/x86/show.c
 * exit.* counts exits by reason, irq.* interrupts by the path they came,
 * irq_coalesced those that found their vector requested already. Counters are written by
 * the vCPU's thread alone and read without stopping it. Without debugfs all else works.
 */
#include <linux/debugfs.h>
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <arch.h>
#include "stats.h"

#define NR_VCPU_COUNTERS (sizeof(struct vcpu_stats) / sizeof(u64))
static_assert(sizeof(struct vcpu_stats) % sizeof(u64) == 0);

const char *const stats_path_names[IRQ_PATH_NR] = {
	[IRQ_PATH_PIC] = "pic", [IRQ_PATH_IOAPIC] = "ioapic", [IRQ_PATH_MSI] = "msi",
	[IRQ_PATH_IPI] = "ipi", [IRQ_PATH_TIMER] = "timer",   [IRQ_PATH_LVT] = "lvt",
};

static const struct {
	const char *name;
	size_t offset;
} fields[] = {
#define FIELD(f)                                   \
	{                                          \
#f, offsetof(struct vcpu_stats, f) \
	}
	FIELD(entries),
	FIELD(exits),
	FIELD(io_exits),
	FIELD(mmio_exits),
	FIELD(signal_exits),
	FIELD(halts),
	FIELD(wakeups),
	FIELD(irq_injected),
	FIELD(nmi_injected),
	FIELD(exceptions_injected),
	FIELD(irq_windows),
	FIELD(directed_yield_attempted),
	FIELD(directed_yield_successful),
	FIELD(ept_faults),
	FIELD(tlb_flushes),
	FIELD(halt_attempted_poll),
	FIELD(halt_successful_poll),
	FIELD(halt_poll_success_ns),
	FIELD(halt_poll_fail_ns),
#undef FIELD
};

static struct dentry *root;
static DEFINE_MUTEX(vms_lock); /* the next three */
static LIST_HEAD(vms);
static u64 vms_created;
static struct counters dead; /* of VMs that are gone */

/* --- summing --- */

void stats_sum_vcpu(struct counters *c, struct vcpu *vcpu)
{
	const u64 *from = (const u64 *)&vcpu->stats;
	u64 *to = (u64 *)&c->vcpu;
	size_t i;

	for (i = 0; i < NR_VCPU_COUNTERS; i++)
		to[i] += READ_ONCE(from[i]);
	c->irq_coalesced += arch_count_interrupts(vcpu, c->irq);
	c->vcpus++;
}

void stats_sum_vm(struct counters *c, struct vm *vm)
{
	struct vcpu *vcpu;
	u32 i;

	vm_for_each_vcpu (vm, i, vcpu)
		stats_sum_vcpu(c, vcpu);
	c->vms++;
}

static void show_counters(struct seq_file *m, const struct counters *c)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fields); i++)
		seq_printf(m, "%s %llu\n", fields[i].name,
			   *(const u64 *)((const char *)&c->vcpu + fields[i].offset));
	for (i = 0; i < ARCH_EXIT_REASONS; i++)
		if (arch_exit_reason_name(i))
			seq_printf(m, "exit.%s %llu\n", arch_exit_reason_name(i),
				   c->vcpu.by_reason[i]);
	for (i = 0; i < IRQ_PATH_NR; i++)
		seq_printf(m, "irq.%s %llu\n", stats_path_names[i], c->irq[i]);
	seq_printf(m, "irq_coalesced %llu\n", c->irq_coalesced);
}

/* --- files --- */

/* struct counters is large for a stack. */
static int show_sum(struct seq_file *m, void (*sum)(struct counters *c, void *arg), void *arg)
{
	struct counters *c = kzalloc(sizeof(*c), GFP_KERNEL);

	if (!c)
		return -ENOMEM;
	sum(c, arg);
	seq_printf(m, "vms %llu\nvcpus %llu\n", c->vms, c->vcpus);
	show_counters(m, c);
	kfree(c);
	return 0;
}

static void sum_totals(struct counters *c, void *unused)
{
	struct vm *vm;

	mutex_lock(&vms_lock);
	*c = dead;
	list_for_each_entry (vm, &vms, node)
		stats_sum_vm(c, vm);
	mutex_unlock(&vms_lock);
}

static void sum_vm(struct counters *c, void *vm)
{
	stats_sum_vm(c, vm);
}

static void sum_vcpu(struct counters *c, void *vcpu)
{
	stats_sum_vcpu(c, vcpu);
}

static int totals_show(struct seq_file *m, void *v)
{
	return show_sum(m, sum_totals, NULL);
}
DEFINE_SHOW_ATTRIBUTE(totals);

static int vm_stats_show(struct seq_file *m, void *v)
{
	return show_sum(m, sum_vm, m->private);
}
DEFINE_SHOW_ATTRIBUTE(vm_stats);

static int vm_irqfds_show(struct seq_file *m, void *v)
{
	irqfd_show(m, m->private);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vm_irqfds);

static int vcpu_stats_show(struct seq_file *m, void *v)
{
	return show_sum(m, sum_vcpu, m->private);
}
DEFINE_SHOW_ATTRIBUTE(vcpu_stats);

static int vcpu_state_show(struct seq_file *m, void *v)
{
	arch_show_vcpu(m, m->private);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vcpu_state);

/* --- VMs come and go --- */

void stats_add_vm(struct vm *vm)
{
	char name[32];
	u64 number;

	mutex_lock(&vms_lock);
	number = ++vms_created;
	list_add_tail(&vm->node, &vms);
	mutex_unlock(&vms_lock);

	snprintf(name, sizeof(name), "%d-%llu", task_pid_nr(current), number);
	vm->debugfs = debugfs_create_dir(name, root);
	debugfs_create_file("stats", 0444, vm->debugfs, vm, &vm_stats_fops);
	debugfs_create_file("irqfds", 0444, vm->debugfs, vm, &vm_irqfds_fops);
	arch_add_vm_debugfs(vm);
}

void stats_add_vcpu(struct vcpu *vcpu)
{
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", vcpu->index);
	vcpu->debugfs = debugfs_create_dir(name, vcpu->vm->debugfs);
	debugfs_create_file("stats", 0444, vcpu->debugfs, vcpu, &vcpu_stats_fops);
	debugfs_create_file("state", 0444, vcpu->debugfs, vcpu, &vcpu_state_fops);
}

void stats_remove_vm(struct vm *vm)
{
	debugfs_remove_recursive(vm->debugfs); /* waits for readers */
	mutex_lock(&vms_lock);
	list_del(&vm->node);
	stats_sum_vm(&dead, vm);
	mutex_unlock(&vms_lock);
}

int stats_module_init(void)
{
	root = debugfs_create_dir("apicvisor", NULL);
	debugfs_create_file("totals", 0444, root, NULL, &totals_fops);
	return 0;
}

void stats_module_exit(void)
{
	debugfs_remove_recursive(root);
}
