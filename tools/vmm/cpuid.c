/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The CPU that the guest sees: what the node supports, with each vCPU's own APIC ID and a
 * topology of one package with N single-threaded cores. Leaves out the PMU, and frequencies that
 * aren't exact.
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

#define MIN_MAX_LEAF           0x15 /* leaves that the list lacks up to there read as zero */

#define CRYSTAL_HZ             1000000000U
#define MAX_TSC_ERROR_PPM      20 /* about what a kernel reaches by calibration */

#define LEVEL_SMT              1
#define LEVEL_CORE             2

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

/*
 * TSC and crystal clock. A kernel that finds them here needs no calibration against the PIT,
 * which is slow and, in an emulated machine, fails. It takes the crystal for the APIC timer's
 * input, which the KVM ABI fixes at 1 GHz, and multiplies the crystal's kHz by the ratio's
 * numerator in 32 bits. So: the last convergent of the ratio's continued fraction whose numerator
 * is small enough for that; zero, which means "not told", if it isn't near.
 */
static void patch_tsc(struct kvm_cpuid_entry2 *e, uint64_t tsc_khz)
{
	const uint64_t crystal_khz = CRYSTAL_HZ / 1000;
	uint64_t n = 1, n_prev = 0, d = 0, d_prev = 1, error;

	e->eax = e->ebx = e->ecx = e->edx = 0;
	for (uint64_t a = tsc_khz, b = crystal_khz; b;) {
		uint64_t digit = a / b, rest = a % b;
		uint64_t n_next = digit * n + n_prev, d_next = digit * d + d_prev;

		if (n_next > UINT32_MAX / crystal_khz)
			break;
		n_prev = n;
		d_prev = d;
		n = n_next;
		d = d_next;
		a = b;
		b = rest;
	}
	if (!n || !d)
		return;
	error = llabs((long long)(crystal_khz * n / d) - (long long)tsc_khz);
	if (error * 1000000 > tsc_khz * MAX_TSC_ERROR_PPM)
		return;
	e->eax = d;
	e->ebx = n;
	e->ecx = CRYSTAL_HZ;
}

static void patch_leaf(struct vm *vm, struct kvm_cpuid_entry2 *e, unsigned int id, uint32_t tsc_khz)
{
	unsigned int ncpus = vm->ncpus;

	switch (e->function) {
	case 0:
		if (e->eax < MIN_MAX_LEAF)
			e->eax = MIN_MAX_LEAF;
		break;
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
	case 0x15:
		patch_tsc(e, tsc_khz);
		break;
	case 0xa:  /* no PMU */
	case 0x16: /* the host's nominal frequencies */
	case 0x1f: /* leaf 0xb says it all */
		e->eax = e->ebx = e->ecx = e->edx = 0;
		break;
	}
}

/* Adds a leaf that the list lacks and patch_leaf() fills in. */
static void add_leaf(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index, uint32_t flags)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return;
	}
	if (cpuid->nent < MAX_LEAVES)
		cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){ .function = function,
									   .index = index,
									   .flags = flags };
}

void cpuid_set(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid =
		xcalloc(1, sizeof(*cpuid) + MAX_LEAVES * sizeof(cpuid->entries[0]));
	struct vm *vm = vcpu->vm;
	int tsc_khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0); /* where it can't tell, neither do we */

	if (vm->opt->verbose && vcpu->id == 0)
		msg("TSC: %d kHz", tsc_khz);
	cpuid->nent = MAX_LEAVES;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		die("KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	/* Without subleaf 1 of leaf 0xb the cores would be one. */
	add_leaf(cpuid, 0xb, 1, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	add_leaf(cpuid, 0x15, 0, 0);
	for (uint32_t i = 0; i < cpuid->nent; i++)
		patch_leaf(vm, &cpuid->entries[i], vcpu->id, tsc_khz < 0 ? 0 : tsc_khz);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		die("vCPU %u: KVM_SET_CPUID2: %s", vcpu->id, strerror(errno));
	free(cpuid);
}
