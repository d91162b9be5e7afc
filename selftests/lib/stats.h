/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What apicvisor says of itself: the features of APIC virtualization in force (sysfs), and a vCPU's
 * counters and state (debugfs), with exits compared by reason. For tests that were started with
 * stats_setup(); on the peer they skip themselves with need_apicvisor().
 */
#ifndef SELFTESTS_STATS_H
#define SELFTESTS_STATS_H

#include "apicmode.h"
#include "kvmtest.h"

/* As the module's parameters of these names show them. */
struct apicv_features {
	bool tpr_shadow, apic_access, x2apic_mode, apic_register, virtual_interrupts,
		posted_interrupts;
};
extern struct apicv_features have;
/* So does this one: the VMX-preemption timer serves LAPIC timers. */
extern bool have_preemption_timer;

#define PARAMETERS "/sys/module/apicvisor/parameters/"
void module_parameter(const char *name, char *value, size_t size);
/* Load the module anew: @more, "NAME=VALUE ..", and every other parameter as it is. */
void reload_module(const char *more);

/* test_setup(), the features, and debugfs mounted. */
int stats_setup(void **state);
#define STATS_TEST(f) cmocka_unit_test_setup_teardown(f, stats_setup, test_teardown)
void need_apicvisor(void);

/* A file of the VM's in debugfs, as a string; its length. The process has one VM at that time. */
size_t read_vm_debugfs(const char *name, char *text, size_t size);
/* The same of a vCPU's, which has something to say. */
void read_debugfs(struct vcpu *v, const char *name, char *text, size_t size);
/* Write a file of the VM's in debugfs; 0 or -errno. The process has one VM. Any thread. */
int write_vm_debugfs(const char *name, const char *text);

/* All counters of a vCPU at one moment; the vCPU is not stopped for it. */
struct sample {
	char text[8192];
};
struct sample take_sample(struct vcpu *v);
uint64_t counter(const struct sample *s, const char *name);
/* How much it has grown from @a to @b. */
uint64_t grown(const struct sample *a, const struct sample *b, const char *name);

/* Exits by reason. A NULL name or a count of 0 asks for nothing. */
struct exits {
	const char *name;
	uint64_t n;
};
#define COST(...) ((const struct exits[3]){ __VA_ARGS__ })
/*
 * Between the samples there were these exits and no others. The host's own interrupts don't count,
 * and neither do the exits of a loop of PAUSE, which are an offer to the other vCPUs.
 */
void expect_exits(const struct sample *a, const struct sample *b, const struct exits *want,
		  size_t n);

/*
 * The exit of an access to the LAPIC that the processor does not complete by itself, in that mode
 * and with the features there are; and which accesses it does complete: the TPR, reads of plain
 * registers, EOI of an edge and the IPI to itself.
 */
const char *exit_of(enum apic_mode m, bool write);
bool tpr_is_free(enum apic_mode m);
bool reads_are_free(enum apic_mode m);
bool eoi_is_free(enum apic_mode m);

#endif
