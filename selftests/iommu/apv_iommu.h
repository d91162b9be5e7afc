/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a test says to apv_iommu.ko: each open of its node is a device with one interrupt, behind an
 * IOMMU that can post. Shared by the module and the tests. Nothing here is meant to last.
 */
#ifndef APV_IOMMU_H
#define APV_IOMMU_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define APV_IOMMU_NODE "apv-iommu" /* in /dev */

/* From where the device sends: by hand in the caller's thread, or in hard interrupts on its CPU. */
enum iommu_context { IOMMU_THREAD, IOMMU_HARDIRQ };

#define IOMMU_MAX_COUNT    (1u << 24)
#define IOMMU_MAX_INTERVAL 1000000000u

struct iommu_raise {
	__u32 count;       /* 1 .. IOMMU_MAX_COUNT */
	__u32 interval_ns; /* from one to the next; up to IOMMU_MAX_INTERVAL, threads: 1 ms */
	__u32 context;     /* enum iommu_context */
	__u32 reserved;    /* 0 */
};

/* Since the device was opened. */
struct iommu_counters {
	__u64 raised;      /* = remapped + posted */
	__u64 remapped;    /* by the handler in the host, which signals the eventfd */
	__u64 posted;      /* = merged + suppressed + outstanding + notified + woke */
	__u64 merged;      /* ... PIR had the bit already, and needed no notification */
	__u64 suppressed;  /* ... SN was set */
	__u64 outstanding; /* ... ON was set */
	__u64 notified;    /* ... the notification vector was sent */
	__u64 woke;        /* ... the wakeup vector was sent */
	__u64 nobody;      /* of these two: to an APIC ID that no CPU has now */
	__u64 retargeted;  /* calls of irq_set_vcpu_affinity() */
	__u32 posting;     /* does it post at the moment? */
	__u32 vector;      /* then: this one */
};

#define IOMMU_IOC      0xb7
/* Become the producer for an eventfd (its descriptor); -EBUSY. No longer be it. */
#define IOMMU_ATTACH   _IO(IOMMU_IOC, 0)
#define IOMMU_DETACH   _IO(IOMMU_IOC, 1)
/* Count each interrupt in the __u64 at this address before it is raised, by DMA so to speak. */
#define IOMMU_RING     _IO(IOMMU_IOC, 2)
#define IOMMU_RAISE    _IOW(IOMMU_IOC, 3, struct iommu_raise)
#define IOMMU_COUNTERS _IOR(IOMMU_IOC, 4, struct iommu_counters)

#endif
