/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host side of the in-lab tests: a VM, its memory and vCPUs, and running them until the guest
 * reports something. One test process may hold several VMs; whatever a test leaves behind is
 * freed after it. The same binary is VMM and guest: see guest.h. The device is $APV_DEV, so that
 * every suite runs on in-tree /dev/kvm too. It leaves out devices: a test that needs one says so.
 */
#ifndef SELFTESTS_KVMTEST_H
#define SELFTESTS_KVMTEST_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>
#include <cmocka.h>
#include "guest.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE_SIZE     4096UL
#define MiB           (1024UL * 1024)

#define TEST_SECONDS  20         /* a test that runs longer has failed; emulated time */
#define VM_MEM        (16 * MiB) /* guest RAM at guest-physical 0; holds the test's own image */
#define MAX_VCPUS     8
#define MAX_VMS       16
#define SPLIT_PINS    24

struct vm;

struct vcpu {
	struct vm *vm;
	int fd;
	unsigned int id;
	struct kvm_run *run;
	size_t run_size;
	struct guest_report *report; /* where the guest's last report lies, host address */

	/* a vCPU with a thread of its own: vcpu_start() */
	pthread_t thread;
	bool threaded;
	volatile bool stop;
	volatile uint64_t synced; /* argument of the last guest_sync() seen by the thread */
	volatile bool finished;
	char error[256]; /* why the thread gave up; empty: guest_done() */
};

struct vm {
	int fd;
	uint8_t *mem;
	size_t mem_size;
	struct vcpu *vcpu[MAX_VCPUS];
	int nr_vcpus;
	bool irqchip;
};

/* --- main --- */

void test_setup_alarm(void);
int test_setup(void **state);
int test_teardown(void **state);
int test_main(const char *name, const struct CMUnitTest *tests, size_t n, int argc, char **argv);

#define TEST(f) cmocka_unit_test_setup_teardown(f, test_setup, test_teardown)
#define TEST_MAIN(name, tests)                                                \
	int main(int argc, char **argv)                                       \
	{                                                                     \
		return test_main(name, tests, ARRAY_SIZE(tests), argc, argv); \
	}

/* Skip the running test; the reason goes to the TAP stream. */
#define skip_because(...)                              \
	do {                                           \
		print_message("# skip: " __VA_ARGS__); \
		print_message("\n");                   \
		skip();                                \
	} while (0)

/* An environment variable as a number: the knobs for longer runs. */
unsigned long env_number(const char *name, unsigned long otherwise);
/* True on apicvisor, false on the peer. For differences that are meant, each with its reason. */
bool on_apicvisor(void);

/* --- system and VM --- */

const char *dev_path(void);
int dev_open(void);
/* KVM_CHECK_EXTENSION on the system fd. */
int dev_capability(int capability);

/* A VM without memory and interrupt controller. */
struct vm *vm_create_bare(void);
/* VM_MEM bytes of RAM at 0, this program's image in it; no interrupt controller. */
struct vm *vm_create(void);
/* The same with the in-kernel LAPIC, IOAPIC and PIC. */
struct vm *vm_create_irqchip(void);
/* The same with in-kernel LAPICs alone; GSIs below SPLIT_PINS are the test's IOAPIC's. */
struct vm *vm_create_split(void);
void vm_free(struct vm *vm);

/* KVM_SET_USER_MEMORY_REGION; returns 0 or -errno. */
int vm_try_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		void *host);
void vm_set_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		 void *host);
/* Copy this program's image into guest RAM at its own addresses. */
void vm_load_image(struct vm *vm);
void vm_irq_line(struct vm *vm, uint32_t gsi, int level);

/* The guest's copy of a global variable of this program. */
#define in_guest(vm, var) (*(typeof(var) *)((vm)->mem + (uintptr_t) & (var)))

/* ioctl that must succeed; returns its value. */
#define must(call)                                                  \
	({                                                          \
		int must_ret_ = (call);                             \
		if (must_ret_ < 0)                                  \
			fail_msg("%s: %s", #call, strerror(errno)); \
		must_ret_;                                          \
	})

/* A call that must fail with exactly this errno. */
#define must_fail(err, call)                                                              \
	do {                                                                              \
		errno = 0;                                                                \
		long mf_ret_ = (long)(call);                                              \
		int mf_errno_ = errno;                                                    \
		if (mf_ret_ != -1 || mf_errno_ != (err))                                  \
			fail_msg("%s: returned %ld (%s), wanted %s", #call, mf_ret_,      \
				 mf_ret_ == -1 ? strerror(mf_errno_) : "no error", #err); \
	} while (0)

/* --- vCPU --- */

/* With the CPUID that the device supports. */
struct vcpu *vcpu_create(struct vm *vm, unsigned int id);
/* Without any set-up. */
struct vcpu *vcpu_create_bare(struct vm *vm, unsigned int id);
void vcpu_set_supported_cpuid(struct vcpu *vcpu);

/* 64-bit mode, CPL 0, identity-mapped 4 GiB, IDT with handlers, calling fn(arg). */
void vcpu_long_mode(struct vcpu *vcpu, void (*fn)(uint64_t), uint64_t arg);
/* Flat 32-bit protected mode without paging, at code copied to @gpa. */
void vcpu_protected_mode(struct vcpu *vcpu, uint64_t gpa, const void *code, size_t size);
/* Real mode at 0:@gpa, code copied there; stack below it. */
void vcpu_real_mode(struct vcpu *vcpu, uint16_t gpa, const void *code, size_t size);

/* vCPU with the mode above in a fresh VM: what most tests start with. */
struct vcpu *guest_new(void (*fn)(uint64_t), uint64_t arg);
struct vcpu *guest_new_irqchip(void (*fn)(uint64_t), uint64_t arg);

uint64_t vcpu_get_msr(struct vcpu *vcpu, uint32_t msr);
/* Returns what KVM_SET_MSRS returned: 1 = set. */
int vcpu_set_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value);
struct kvm_regs vcpu_regs(struct vcpu *vcpu);

/* KVM_RUN once; returns the exit reason. EINTR by the test's alarm or any other error fails. */
uint32_t vcpu_run(struct vcpu *vcpu);
/* KVM_RUN once, raw: 0 or -errno. */
int vcpu_run_raw(struct vcpu *vcpu);
/* What the guest has reported by the last exit; fails if that is a failure or another exit. */
struct guest_report *vcpu_last_report(struct vcpu *vcpu);
/* Run until the guest reports; fails if it reports a failure or exits otherwise. */
struct guest_report *vcpu_run_to_report(struct vcpu *vcpu);
/* Run until guest_sync(@n) / the guest function returns. */
struct guest_report *expect_sync(struct vcpu *vcpu, uint64_t n);
void expect_done(struct vcpu *vcpu);
/* Run; the exit must be @reason. */
void expect_exit(struct vcpu *vcpu, uint32_t reason);
/* Run; the exit must be a PIO access. Returns its data. */
void *expect_pio(struct vcpu *vcpu, int direction, uint16_t port, uint8_t size, uint32_t count);
/* Run; the exit must be an MMIO access. Returns its data. */
void *expect_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, uint32_t len);
const char *exit_name(uint32_t reason);

/* Run the vCPU in a thread of its own until guest_done(), a failure, or vcpu_stop(). */
void vcpu_start(struct vcpu *vcpu);
/* Wait for the thread; the guest must have finished well. */
void vcpu_join(struct vcpu *vcpu);
/* Make the thread leave KVM_RUN, and wait for it. Fails if the guest reported a failure. */
void vcpu_stop(struct vcpu *vcpu);
/* Wait until the threaded guest has called guest_sync(@n). */
void vcpu_wait_sync(struct vcpu *vcpu, uint64_t n);

/* Where selftests/kmodules has put modules: the kernel's own, and ours. */
#define KMODULES "/modules/"

/* --- host --- */

/* Run @fn in a child process; returns its pid. The child exits with fn's value. */
pid_t spawn(int (*fn)(void *arg), void *arg);
/* Wait for it: exit status, or -signal. */
int reap(pid_t pid);
/* A line "name: N kB" of /proc/meminfo, in kB; -1 if there is none. */
long meminfo_kb(const char *name);
/* Write @text to @path; 0 or -errno. */
int write_file(const char *path, const char *text);
/* Let a thread run on this CPU alone. */
void pin_thread(pthread_t thread, int cpu);
/* Skip the test on a machine with one CPU. */
void need_two_cpus(void);
/* Switches CPU 1, with write_file(); not there where CPUs can't be. */
#define CPU1_ONLINE "/sys/devices/system/cpu/cpu1/online"
/* Load a kernel module file; 0 or -errno. */
int load_module(const char *path, const char *parameters);
/* Remove a module without waiting; 0 or -errno (-EWOULDBLOCK: in use). */
int unload_module(const char *name);
/* Swap space on a RAM disk, if there is none yet: false if this machine has no way to get it. */
bool swap_ready(void);
/* Reserve @n pages of which the last @unmapped are inaccessible. */
uint8_t *map_with_hole(size_t n, size_t unmapped);
void *map_anon(size_t size);

#endif
