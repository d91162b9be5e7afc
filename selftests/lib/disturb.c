// SPDX-License-Identifier: GPL-2.0-only
/*
 * The threads of disturb.h. They touch the VM's threads, the host's CPUs and debugfs, and never the
 * guest or its state. The pauses between two disturbances only say how often there are some.
 */
#include <time.h>
#include "disturb.h"
#include "lib.h"
#include "stats.h"

unsigned int nr_cpus(void)
{
	return (unsigned int)sysconf(_SC_NPROCESSORS_CONF);
}

void nap(uint64_t us)
{
	struct timespec t = { .tv_nsec = (long)us * 1000 };

	nanosleep(&t, NULL);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int vcpu_pin(struct vcpu *vcpu, uint64_t cpus)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (unsigned int cpu = 0; cpu < nr_cpus(); cpu++)
		if (cpus >> cpu & 1)
			CPU_SET(cpu, &set);
	return pthread_setaffinity_np(vcpu->thread, sizeof(set), &set);
}

static struct vcpu *any_vcpu(struct disturbances *all, uint64_t random)
{
	return all->vm->vcpu[random % all->vm->nr_vcpus];
}

/* A thread that has ended can't be moved. If the CPUs are offline, all of them, it stays. */
static int move_a_vcpu(struct disturbances *all, uint64_t random)
{
	struct vcpu *v = any_vcpu(all, random);
	int e = vcpu_pin(v, random / 16 % ((1u << nr_cpus()) - 1) + 1);

	if ((e == ESRCH && v->finished) || (e == EINVAL && (all->what & DISTURB_HOTPLUG)))
		return 0;
	return e;
}

static int take_a_cpu(struct disturbances *all, uint64_t random)
{
	(void)all;
	for (uint64_t end = now_ns() + random % 1000000; now_ns() < end;)
		cpu_relax();
	return 0;
}

static int signal_a_vcpu(struct disturbances *all, uint64_t random)
{
	struct vcpu *v = any_vcpu(all, random);
	int e = pthread_kill(v->thread, SIGUSR1);

	return e == ESRCH && v->finished ? 0 : e;
}

static int switch_apicv(struct disturbances *all, uint64_t random)
{
	(void)all;
	return -write_vm_debugfs("apicv", random & 1 ? "1\n" : "0\n");
}

static int switch_cpu(unsigned int cpu, bool on)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online", cpu);
	return -write_file(path, on ? "1" : "0");
}

static int unplug_a_cpu(struct disturbances *all, uint64_t random)
{
	unsigned int cpu = 1 + (unsigned int)(random % (nr_cpus() - 1));
	int e = switch_cpu(cpu, false);

	(void)all;
	if (e)
		return e;
	nap(random / 16 % 2000);
	return switch_cpu(cpu, true);
}

static void *repeat(void *arg)
{
	struct disturbance *d = arg;

	while (!d->all->stop && !d->error) {
		uint64_t random = next_random(&d->seed);

		d->error = d->once(d->all, random);
		d->done++;
		nap(random / 64 % 4000);
	}
	return NULL;
}

static void add(struct disturbances *all, const char *name,
		int (*once)(struct disturbances *, uint64_t), uint64_t seed)
{
	struct disturbance *d = &all->each[all->n++];

	d->all = all;
	d->name = name;
	d->once = once;
	d->seed = (seed * ARRAY_SIZE(all->each) + all->n) * 0x94d049bb133111ebUL;
	assert_int_equal(pthread_create(&d->thread, NULL, repeat, d), 0);
}

void disturb_start(struct disturbances *d, struct vm *vm, unsigned int what, uint64_t seed)
{
	d->vm = vm;
	d->what = what;
	if (what & DISTURB_MOVE)
		add(d, "a vCPU moved", move_a_vcpu, seed);
	if (what & DISTURB_SIGNAL)
		add(d, "a signal sent", signal_a_vcpu, seed);
	if (what & DISTURB_APICV)
		add(d, "APICv switched", switch_apicv, seed);
	if (what & DISTURB_HOTPLUG)
		add(d, "a CPU off and on", unplug_a_cpu, seed);
	for (unsigned int i = 0; (what & DISTURB_LOAD) && i < nr_cpus() && i < MAX_VCPUS; i++)
		add(d, "a CPU taken", take_a_cpu, seed);
}

int disturb_stop(struct disturbances *d)
{
	int e = 0;

	d->stop = true;
	for (unsigned int i = 0; i < d->n; i++) {
		pthread_join(d->each[i].thread, NULL);
		e = e ? e : d->each[i].error;
	}
	return e;
}
