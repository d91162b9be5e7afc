/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The CPU that the guest sees: what the node supports, with each vCPU's own APIC ID and a
 * topology of one package with N single-threaded cores. Leaves out what the host's values
 * would make wrong: TSC and bus frequencies, the PMU.
 *
 * Source: SDM, CPUID instruction reference.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm.h"

#define MAX_LEAVES             256

#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_HYPERVISOR   BIT(31)
#define LEAF1_EDX_HTT          BIT(28)

#define LEVEL_SMT              1
#define LEVEL_CORE             2

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entry[MAX_LEAVES];
};

/* Width of the part of an APIC ID that tells the cores of the package apart. */
static unsigned int core_bits(unsigned int ncpus)
{
	unsigned int bits = 0;

	while ((1U << bits) < ncpus)
		bits++;
	return bits;
}

static void patch_topology(struct kvm_cpuid_entry2 *e, unsigned int id, unsigned int ncpus)
{
	e->eax = e->ebx = 0;
	e->ecx = e->index;
	e->edx = id; /* the x2APIC ID, on every level */
	if (e->index == 0) {
		e->ebx = 1;
		e->ecx |= LEVEL_SMT << 8;
	} else if (e->index == 1) {
		e->eax = core_bits(ncpus);
		e->ebx = ncpus;
		e->ecx |= LEVEL_CORE << 8;
	}
}

static void patch_leaf(struct vm *vm, struct kvm_cpuid_entry2 *e, unsigned int id)
{
	unsigned int ncpus = vm->ncpus;

	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | (1U << core_bits(ncpus)) << 16 | id << 24;
		e->ecx |= LEAF1_ECX_HYPERVISOR;
		if (vm_cap(vm, KVM_CAP_TSC_DEADLINE_TIMER))
			e->ecx |= LEAF1_ECX_TSC_DEADLINE;
		e->edx = ncpus > 1 ? e->edx | LEAF1_EDX_HTT : e->edx & ~LEAF1_EDX_HTT;
		break;
	case 4:
		/* Bits 31:26: cores; 25:14: threads that share the cache, all for level 3. */
		e->eax &= 0x3fff;
		if (e->eax & 0x1f) {
			e->eax |= ((1U << core_bits(ncpus)) - 1) << 26;
			if ((e->eax >> 5 & 7) >= 3)
				e->eax |= ((1U << core_bits(ncpus)) - 1) << 14;
		}
		break;
	case 0xb:
		patch_topology(e, id, ncpus);
		break;
	case 0xa:  /* no PMU */
	case 0x15: /* TSC and crystal: the host's ratio isn't the guest's */
	case 0x16: /* frequencies: likewise */
	case 0x1f: /* leaf 0xb says it all */
		e->eax = e->ebx = e->ecx = e->edx = 0;
		break;
	}
}

/* The list may lack subleaf 1 of leaf 0xb, without which the cores would be one. */
static void add_core_level(struct cpuid *cpuid)
{
	bool leaf_b = false;

	for (uint32_t i = 0; i < cpuid->head.nent; i++) {
		if (cpuid->entry[i].function != 0xb)
			continue;
		if (cpuid->entry[i].index == 1)
			return;
		leaf_b = true;
	}
	if (leaf_b && cpuid->head.nent < MAX_LEAVES)
		cpuid->entry[cpuid->head.nent++] = (struct kvm_cpuid_entry2){
			.function = 0xb, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX
		};
}

void cpuid_set(struct vcpu *vcpu)
{
	struct cpuid *cpuid = xcalloc(1, sizeof(*cpuid));
	struct vm *vm = vcpu->vm;

	cpuid->head.nent = MAX_LEAVES;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		die("KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	add_core_level(cpuid);
	for (uint32_t i = 0; i < cpuid->head.nent; i++)
		patch_leaf(vm, &cpuid->entry[i], vcpu->id);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		die("vCPU %u: KVM_SET_CPUID2: %s", vcpu->id, strerror(errno));
	free(cpuid);
}
