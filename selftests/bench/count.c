// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exits by reason and vCPU over an interval: apicvisor's own statistics (debugfs), or a histogram
 * that the kernel keeps at in-tree KVM's tracepoint kvm_exit. The latter costs time, so nobody
 * counts and times at once. The host's own interrupts are among them.
 */
#include <asm/vmx.h>
#include "bench.h"
#include "stats.h"

#define TRACEPOINT "/sys/kernel/debug/tracing/events/kvm/kvm_exit/"
#define HISTOGRAM  "hist:keys=vcpu_id,exit_reason:size=1024"

static struct sample before[MAX_VCPUS];

static const char *reason_name(unsigned int reason)
{
	static const char *const names[] = {
		[EXIT_REASON_EXCEPTION_NMI] = "exception_nmi",
		[EXIT_REASON_EXTERNAL_INTERRUPT] = "external_interrupt",
		[EXIT_REASON_INTERRUPT_WINDOW] = "irq_window",
		[EXIT_REASON_NMI_WINDOW] = "nmi_window",
		[EXIT_REASON_CPUID] = "cpuid",
		[EXIT_REASON_HLT] = "hlt",
		[EXIT_REASON_VMCALL] = "vmcall",
		[EXIT_REASON_CR_ACCESS] = "cr_access",
		[EXIT_REASON_DR_ACCESS] = "dr_access",
		[EXIT_REASON_IO_INSTRUCTION] = "io",
		[EXIT_REASON_MSR_READ] = "rdmsr",
		[EXIT_REASON_MSR_WRITE] = "wrmsr",
		[EXIT_REASON_PAUSE_INSTRUCTION] = "pause",
		[EXIT_REASON_TPR_BELOW_THRESHOLD] = "tpr_below_threshold",
		[EXIT_REASON_APIC_ACCESS] = "apic_access",
		[EXIT_REASON_EOI_INDUCED] = "virtualized_eoi",
		[EXIT_REASON_EPT_VIOLATION] = "ept_violation",
		[EXIT_REASON_EPT_MISCONFIG] = "ept_misconfig",
		[EXIT_REASON_PREEMPTION_TIMER] = "preemption_timer",
		[EXIT_REASON_WBINVD] = "wbinvd",
		[EXIT_REASON_XSETBV] = "xsetbv",
		[EXIT_REASON_APIC_WRITE] = "apic_write",
		[EXIT_REASON_PML_FULL] = "pml_full",
	};

	return reason < ARRAY_SIZE(names) && names[reason] ? names[reason] : "other";
}

static void add(struct exit_counts *c, unsigned int vcpu, const char *reason, uint64_t count)
{
	if (!count)
		return;
	assert_true(c->n < MAX_COUNTS);
	c->of[c->n].vcpu = vcpu;
	c->of[c->n].reason = reason;
	c->of[c->n++].count = count;
}

/* --- in-tree KVM --- */

static void trigger(const char *what)
{
	int r = write_file(TRACEPOINT "trigger", what);

	if (r)
		fail_msg("kvm_exit, %s: %s", what, strerror(-r));
}

static void read_histogram(struct exit_counts *counts)
{
	FILE *f = fopen(TRACEPOINT "hist", "re");
	char line[256];

	if (!f)
		fail_msg("the histogram of kvm_exit: %s", strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		unsigned int vcpu, reason;
		unsigned long count;

		if (sscanf(line, " { vcpu_id: %u, exit_reason: %u } hitcount: %lu", &vcpu, &reason,
			   &count) == 3)
			add(counts, vcpu, reason_name(reason), count);
	}
	fclose(f);
}

/* --- apicvisor --- */

static void compare_samples(struct exit_counts *counts, unsigned int vcpu, const struct sample *a,
			    const struct sample *b)
{
	for (unsigned int i = 0; i <= EXIT_REASON_PML_FULL; i++) {
		char name[64];

		snprintf(name, sizeof(name), "exit.%s", reason_name(i));
		if (strcmp(reason_name(i), "other") && strstr(b->text, name))
			add(counts, vcpu, reason_name(i), grown(a, b, name));
	}
}

void count_begin(struct vm *vm)
{
	if (!on_apicvisor())
		return trigger(HISTOGRAM);
	for (int i = 0; i < vm->nr_vcpus; i++)
		before[i] = take_sample(vm->vcpu[i]);
}

void count_end(struct vm *vm, struct exit_counts *counts)
{
	static struct sample after;

	counts->n = 0;
	if (!on_apicvisor()) {
		read_histogram(counts);
		return trigger("!" HISTOGRAM);
	}
	for (int i = 0; i < vm->nr_vcpus; i++) {
		after = take_sample(vm->vcpu[i]);
		compare_samples(counts, vm->vcpu[i]->id, &before[i], &after);
	}
}
