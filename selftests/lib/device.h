/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device whose interrupts bypass the host: apv_iommu.ko plays its IOMMU, and an eventfd joins it
 * to an irqfd of a VM. A device counts in guest memory what it raises, before it raises it, and the
 * guest's handler notes what it finds there: when the last one is seen every one is accounted for,
 * and one that is lost is waited for in vain.
 */
#ifndef SELFTESTS_DEVICE_H
#define SELFTESTS_DEVICE_H

#include "../iommu/apv_iommu.h"
#include "lib.h"
#include "stats.h"

#define DEVICE_GSI    40   /* of the first device; the next has the next */
#define DEVICE_VECTOR 0x51 /* of the first device */
#define DEVICE_OTHER  0x62 /* as well */
#define DEVICE_SECOND 0x73 /* of the others */
#define DEVICE_THIRD  0x84
#define MAX_DEVICES   3

/* --- the guest --- */

/* What a vCPU does between interrupts: it spins, it sleeps, or it does one after the other. */
enum life { RUNS, HALTS, BOTH };

/* Interrupts by vCPU and vector; the last one of each device that a handler has seen. */
extern volatile uint64_t device_irqs[8][256], device_seen[MAX_DEVICES];
/* Wishes of the host: a logical ID for each vCPU, LAPICs disabled; and whether that is done. */
extern volatile uint64_t wants_ldr, apic_off, apic_is_off;

/* --- the host --- */

struct device {
	int fd, eventfd;
	int nr; /* it raises GSI DEVICE_GSI + nr */
	struct vm *vm;
};

/* Can devices post, by this module on this processor? */
extern bool devices_post;

int device_setup(void **state);
int device_teardown(void **state);
#define DEVICE_TEST(f) cmocka_unit_test_setup_teardown(f, device_setup, device_teardown)
/* Skips the test if the kernel has no apv_iommu.ko. */
void need_iommu(void);
/* Reloads the module for the rest of this test. */
void devices_can_post_no_more(void);

/* A VM with LAPICs in mode @m; a vCPU of it; all of them run; they end. */
struct vm *device_vm(enum apic_mode m);
struct vcpu *device_vcpu(struct vm *vm, enum life life);
void device_vm_start(struct vm *vm);
void device_vm_stop(struct vm *vm);
bool device_vm_ended(const struct vm *vm); /* by an error, or the time is over */

/* A device with an irqfd, joined to its IOMMU. Routes are still to come. */
struct device *device_new(struct vm *vm);
void release_devices(void); /* all */
/* One vCPU that lives like this, and a device that posts to it by now. */
struct device *device_that_posts(enum life life);
int device_irqfd(const struct device *d, uint32_t flags);

/* The routes of the first @n devices are the VM's whole table. */
struct msi {
	uint32_t address, data;
};
void device_routes(struct vm *vm, int n, const struct msi msi[]);
#define ROUTES(vm, ...)                                           \
	do {                                                      \
		const struct msi list_[] = { __VA_ARGS__ };       \
		device_routes(vm, (int)ARRAY_SIZE(list_), list_); \
	} while (0)
#define MSI_ADDRESS 0xfee00000u
#define MSI_LOGICAL 4u
#define TO(id, vector)                           \
	{                                        \
		MSI_ADDRESS | (id) << 12, vector \
	}

/* @n interrupts, @interval_ns apart: 0, or -1 and errno. */
int device_raise(const struct device *d, uint32_t n, uint32_t interval_ns,
		 enum iommu_context context);
void device_raise_one(const struct device *d);
struct iommu_counters device_counters(const struct device *d);

/* A wait that does not end fails with the device's counters. */
void fail_with_counters(const struct device *d, const char *what);
#define wait_until(d, condition)                                   \
	do {                                                       \
		while (!(condition)) {                             \
			if (device_vm_ended((d)->vm))              \
				fail_with_counters(d, #condition); \
			sched_yield();                             \
		}                                                  \
	} while (0)
/* Every interrupt that the device has raised is accounted for. */
void wait_all_seen(const struct device *d);
void raise_and_see(const struct device *d);
/* If devices can: a route that was set before the vCPU had a LAPIC to speak of is looked at again. */
void wait_for_posting(const struct device *d);
void assert_posts(const struct device *d, bool yes);
void assert_adds_up(const struct device *d);

#endif
