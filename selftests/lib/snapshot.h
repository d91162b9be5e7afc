/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All the state of a VM that userspace can save, into another VM or beside it for comparison: every
 * get and set call of vCPUs and interrupt controllers. Guest memory is copied as far as tests use
 * it. The set calls can be made one by one, for tests of their order.
 */
#ifndef SELFTESTS_SNAPSHOT_H
#define SELFTESTS_SNAPSHOT_H

#include "kvmtest.h"

#define MAX_MSRS 200

struct msr_list {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[MAX_MSRS];
};

struct saved_vcpu {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;
	struct msr_list msrs, tsc, deadline;
};

struct saved_vm {
	struct saved_vcpu vcpu[MAX_VCPUS];
	int nr_vcpus;
	struct kvm_irqchip chip[3];
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
};

/* The set calls; those of a vCPU are made for each. */
enum call {
	SET_SREGS,
	SET_REGS,
	SET_XSAVE,
	SET_XCRS,
	SET_DEBUGREGS,
	SET_LAPIC,
	SET_EVENTS,
	SET_MP,
	SET_MSRS,
	SET_TSC,
	SET_DEADLINE,
	NR_VCPU_CALLS,
	SET_CHIP = NR_VCPU_CALLS, /* three of them */
	SET_PIT = SET_CHIP + 3,
	SET_CLOCK,
	NR_CALLS,
};

extern const char *const call_name[NR_CALLS];

/* Get it all. The vCPUs must not run. */
void save_vm(struct vm *vm, struct saved_vm *s);
/* One set call; the test fails if it does. */
void restore_call(struct vm *vm, struct saved_vm *s, enum call call);
/* A VM with all interrupt controllers, and vCPUs 0 to @nr_vcpus - 1 as they are after creation. */
struct vm *empty_machine(int nr_vcpus);
/* The guest's tables, real-mode code, stacks and variables; its code is there already. */
void copy_memory(struct vm *to, const struct vm *from);

/* Compare, and print the first byte that differs. What only time changes is cleared first. */
bool same_vm(struct saved_vm *a, struct saved_vm *b);
/* Only what changes by the guest's instructions alone, not by interrupts and timers. */
bool same_registers(const struct saved_vcpu *a, const struct saved_vcpu *b);

#endif
