/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the VMM's unit tests run on: ioctl() is replaced (by the linker's --wrap) with one that
 * takes the KVM ABI's calls, answers them and writes down what was asked. No guest runs; tests
 * play the guest by calling the buses.
 */
#ifndef FAKE_KVM_H
#define FAKE_KVM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../vmm.h"

struct fake_kvm {
	bool line[24]; /* what KVM_IRQ_LINE last said */
	unsigned int line_changes;
	struct kvm_irq_routing_entry routes[MAX_GSI_ROUTES];
	unsigned int n_routes;
	bool refuse_msi; /* KVM_SET_GSI_ROUTING with an MSI fails */
	struct kvm_irqfd irqfd[MAX_GSI_ROUTES];
	unsigned int n_irqfds;
	struct kvm_ioeventfd ioeventfd[8];
	unsigned int n_ioeventfds;
	struct kvm_userspace_memory_region slot[4];
	unsigned int n_slots;
	int tsc_khz;
	struct kvm_cpuid_entry2 cpuid[64]; /* what KVM_SET_CPUID2 said */
	unsigned int n_cpuid;
};

extern struct fake_kvm kvm;

/* A VM on the fake, as main() would make it. */
void fake_vm(struct vm *vm, struct options *opt, unsigned int cpus, uint64_t mem);
/* Runs fn in a child and returns its exit status. */
int status_of(void (*fn)(void *), void *arg);
/* Whether an eventfd has been signalled; clears it. */
bool signalled(int fd);
/* The route of a GSI, or NULL. */
const struct kvm_irq_routing_entry *route_of(unsigned int gsi);

/* The guest's port and memory accesses. */
void out(struct vm *vm, uint16_t port, uint32_t val, unsigned int len);
uint32_t in(struct vm *vm, uint16_t port, unsigned int len);
void mmio_write(struct vm *vm, uint64_t addr, uint64_t val, unsigned int len);
uint64_t mmio_read(struct vm *vm, uint64_t addr, unsigned int len);
/* Configuration space of device 0:slot.0 */
void config_write(struct vm *vm, unsigned int slot, uint8_t reg, uint32_t val, unsigned int len);
uint32_t config_read(struct vm *vm, unsigned int slot, uint8_t reg, unsigned int len);

#endif
