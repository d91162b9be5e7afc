/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads of the host that disturb a VM whose vCPUs run on threads of their own (vcpu_start()): each
 * repeats one kind of thing at random moments. What they do must make no difference to the guest.
 */
#ifndef SELFTESTS_DISTURB_H
#define SELFTESTS_DISTURB_H

#include "kvmtest.h"

enum {
	DISTURB_MOVE = 1 << 0,    /* a vCPU's thread may run on other CPUs than before */
	DISTURB_LOAD = 1 << 1,    /* somebody else takes a CPU for up to a millisecond */
	DISTURB_SIGNAL = 1 << 2,  /* a vCPU leaves KVM_RUN by a signal */
	DISTURB_HOTPLUG = 1 << 3, /* a CPU, not the first, goes offline and comes back */
	DISTURB_APICV = 1 << 4,   /* the VM's APIC virtualization is switched by debugfs */
};

struct disturbances {
	struct vm *vm;
	unsigned int what;
	volatile bool stop;
	struct disturbance {
		struct disturbances *all;
		const char *name;
		int (*once)(struct disturbances *all, uint64_t random); /* 0 or errno */
		uint64_t seed;
		unsigned long done;
		volatile int error; /* of the last one; then the thread has ended */
		pthread_t thread;
	} each[16];
	unsigned int n;
};

/* Starts a thread for each bit of @what; one for each CPU to load it. @d was zeroed. */
void disturb_start(struct disturbances *d, struct vm *vm, unsigned int what, uint64_t seed);
/* Stops them. All CPUs are online. Returns 0 or the first errno. */
int disturb_stop(struct disturbances *d);

/* CPUs of the machine, online or not. */
unsigned int nr_cpus(void);
/* Let the thread of the vCPU run on these CPUs, one bit for each: 0 or errno. */
int vcpu_pin(struct vcpu *vcpu, uint64_t cpus);
/* CLOCK_MONOTONIC. */
uint64_t now_ns(void);
/* Less than a second. */
void nap(uint64_t us);

/* A generator of pseudo-random numbers ("xorshift") for either side; @seed is never 0. */
static inline uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed >> 11;
}

#endif
