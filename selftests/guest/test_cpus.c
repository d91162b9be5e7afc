// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs and physical CPUs: a vCPU that moves, two that share a CPU, a CPU that goes offline under a
 * vCPU. MSRs that the host and each guest have values of their own for must stay apart. Sources:
 * SDM "Software Use of Virtual-Machine Control Structures and Related Structures", "MSRs".
 */
#include <sys/syscall.h>
#include "lib.h"

#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_CSTAR          0xc0000083
#define MSR_FMASK          0xc0000084
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX        0xc0000103

static volatile uint64_t stop_guest, beats[2];

static uint32_t rdtscp_aux(void)
{
	uint32_t aux;

	asm volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
	return aux;
}

/* Writes what is its own, then looks at it again and again. Nothing in the loop exits but RDMSR. */
static void own_msrs_payload(uint64_t id)
{
	uint64_t tag = 0x1000 * (id + 1);

	wrmsr(MSR_STAR, tag << 32);
	wrmsr(MSR_LSTAR, tag + 1);
	wrmsr(MSR_CSTAR, tag + 2);
	wrmsr(MSR_FMASK, tag + 3);
	wrmsr(MSR_KERNEL_GS_BASE, tag + 4);
	wrmsr(MSR_TSC_AUX, tag + 5);
	write_dr(0, tag + 6);
	write_cr(2, tag + 7);
	while (!stop_guest) {
		guest_assert_eq(rdmsr(MSR_STAR), tag << 32);
		guest_assert_eq(rdmsr(MSR_LSTAR), tag + 1);
		guest_assert_eq(rdmsr(MSR_CSTAR), tag + 2);
		guest_assert_eq(rdmsr(MSR_FMASK), tag + 3);
		for (int i = 0; i < 200; i++) {
			guest_assert_eq(rdtscp_aux(), tag + 5);
			/* the value behind KERNEL_GS_BASE, and back */
			asm volatile("swapgs; swapgs" : : : "memory");
			guest_assert_eq(rdmsr(MSR_KERNEL_GS_BASE), tag + 4);
		}
		guest_assert_eq(read_dr(0), tag + 6);
		guest_assert_eq(read_cr(2), tag + 7);
		beats[id]++;
	}
}

static void wait_beat(struct vcpu *v)
{
	uint64_t before = in_guest(v->vm, beats)[v->id];

	while (in_guest(v->vm, beats)[v->id] == before) {
		if (v->error[0] || test_timed_out)
			vcpu_stop(v); /* says why */
		sched_yield();
	}
}

/* Two vCPUs change places, meet on one CPU, part again. */
static void vcpus_that_move(void **state)
{
	struct vm *vm = vm_create();
	struct vcpu *v[2];
	int cpu[2];

	(void)state;
	need_two_cpus();
	for (int i = 0; i < 2; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_long_mode(v[i], own_msrs_payload, i);
		vcpu_start(v[i]);
	}
	for (unsigned int round = 0; round < 24; round++) {
		for (int i = 0; i < 2; i++) {
			cpu[i] = (round >> i) & 1;
			pin_thread(v[i]->thread, cpu[i]);
		}
		wait_beat(v[0]);
		wait_beat(v[1]);
	}
	in_guest(vm, stop_guest) = 1;
	vcpu_join(v[0]);
	vcpu_join(v[1]);
}

static void aux_payload(uint64_t id)
{
	wrmsr(MSR_TSC_AUX, 0x7777);
	wrmsr(MSR_KERNEL_GS_BASE, 0x123000);
	guest_sync(id);
	guest_sync(id + 1);
}

/* After KVM_RUN the thread finds its own TSC_AUX (the kernel keeps the CPU's number there). */
static void host_keeps_its_tsc_aux(void **state)
{
	struct vcpu *v = guest_new(aux_payload, 1);
	uint64_t fs, gs, fs_after, gs_after;

	(void)state;
	pin_thread(pthread_self(), 0);
	syscall(158 /* arch_prctl */, 0x1001 /* ARCH_SET_GS */, 0x5000UL);
	syscall(158, 0x1003 /* ARCH_GET_FS */, &fs);
	syscall(158, 0x1004 /* ARCH_GET_GS */, &gs);
	expect_sync(v, 1);
	assert_int_equal(rdtscp_aux() & 0xfff, 0);
	expect_sync(v, 2);
	syscall(158, 0x1003, &fs_after);
	syscall(158, 0x1004, &gs_after);
	syscall(158, 0x1001, 0UL);
	assert_int_equal(fs, fs_after);
	assert_int_equal(gs, 0x5000);
	assert_int_equal(gs_after, 0x5000);
}

/* A CPU goes while a VMCS is active on it, and comes back: the vCPU runs on, here and there. */
static void cpu_goes_offline(void **state)
{
	struct vcpu *v = guest_new(own_msrs_payload, 0), *other;
	cpu_set_t all;

	(void)state;
	need_two_cpus();
	if (access(CPU1_ONLINE, W_OK))
		skip_because("this machine's CPUs can't be switched off");
	CPU_ZERO(&all);
	CPU_SET(0, &all);
	CPU_SET(1, &all);
	vcpu_start(v);
	for (int i = 0; i < 3; i++) {
		pin_thread(v->thread, 1);
		wait_beat(v);
		assert_int_equal(write_file(CPU1_ONLINE, "0"), 0);
		wait_beat(v);
		/* one that has never run there, and goes away while the CPU is gone */
		other = guest_new(aux_payload, 1);
		expect_sync(other, 1);
		vm_free(other->vm);
		assert_int_equal(write_file(CPU1_ONLINE, "1"), 0);
		assert_int_equal(pthread_setaffinity_np(v->thread, sizeof(all), &all), 0);
	}
	pin_thread(v->thread, 1);
	wait_beat(v);
	in_guest(v->vm, stop_guest) = 1;
	vcpu_join(v);
}

/* The last VM to run on a CPU is destroyed while that CPU is off. */
static void vm_destroyed_after_its_cpu(void **state)
{
	struct vcpu *v = guest_new(own_msrs_payload, 0);

	(void)state;
	need_two_cpus();
	if (access(CPU1_ONLINE, W_OK))
		skip_because("this machine's CPUs can't be switched off");
	vcpu_start(v);
	pin_thread(v->thread, 1);
	wait_beat(v);
	in_guest(v->vm, stop_guest) = 1;
	vcpu_join(v);
	assert_int_equal(write_file(CPU1_ONLINE, "0"), 0);
	vm_free(v->vm);
	assert_int_equal(write_file(CPU1_ONLINE, "1"), 0);
	v = guest_new(aux_payload, 1);
	pin_thread(pthread_self(), 1);
	expect_sync(v, 1);
	pin_thread(pthread_self(), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(vcpus_that_move),
	TEST(host_keeps_its_tsc_aux),
	TEST(cpu_goes_offline),
	TEST(vm_destroyed_after_its_cpu),
};

TEST_MAIN("guest_cpus", tests)
