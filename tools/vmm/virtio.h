/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Virtio 1.x devices on PCI with split queues: the transport (virtio_pci.c), the queues
 * (virtqueue.c) and the devices (virtio_blk.c, virtio_console.c). Leaves out legacy devices,
 * packed queues, event indexes, INTx and the configuration-space window to the BAR.
 *
 * Each device has one thread, which serves its queues, and one lock, which that thread holds
 * while it does; configuration from vCPU threads waits for it.
 */
#ifndef VIRTIO_H
#define VIRTIO_H

#include <sys/uio.h>
#include <linux/virtio_ring.h>

#include "pci.h"

#define VIRTIO_MAX_QUEUES 2
#define VIRTQ_MAX_SIZE    128

struct virtq {
	uint16_t size, vector, last_avail;
	bool enabled;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	struct vring_desc *desc; /* the three areas in host memory, valid while enabled */
	struct vring_avail *avail;
	struct vring_used *used;
	int kick_fd; /* eventfd: the driver made buffers available */
};

/* One request: a descriptor chain as host memory. out[] is read, in[] is written by us. */
struct virtq_chain {
	uint16_t head;
	unsigned int n_out, n_in;
	struct iovec out[VIRTQ_MAX_SIZE], in[VIRTQ_MAX_SIZE];
};

struct virtio_dev {
	struct pci_dev pci; /* first */
	struct vm *vm;
	pthread_mutex_t lock;
	unsigned int n_queues;
	struct virtq queue[VIRTIO_MAX_QUEUES];
	uint64_t features, driver_features;
	uint32_t feature_select, driver_feature_select;
	uint16_t queue_select, config_vector;
	uint8_t status;
	uint32_t notify_base; /* where ioeventfds are registered; 0: nowhere */

	const void *config; /* the device-specific configuration, which never changes */
	size_t config_size;
	/* Serves what is available in a queue. The device's thread only, lock held. */
	void (*serve_locked)(struct virtio_dev *dev, unsigned int queue);
};

/* Set-up: adds the device, whose fields from features on are set, and starts its thread. */
void virtio_add(struct vm *vm, struct virtio_dev *dev, uint16_t type, uint32_t class_rev,
		unsigned int n_queues);
/* Makes the device's thread look at a queue. */
void virtio_kick(struct virtio_dev *dev, unsigned int queue);
/* The driver broke the rules: nothing is served until it resets the device. */
void virtio_fail_locked(struct virtio_dev *dev, const char *why);

/* virtqueue.c */
/* Maps the queue's three areas. False if one isn't in RAM or is misaligned. */
bool virtq_enable(struct vm *vm, struct virtq *q);
/* Takes the next chain. False if there is none, or the device has failed. */
bool virtq_pop_locked(struct virtio_dev *dev, struct virtq *q, struct virtq_chain *chain);
/* Returns a chain, of which the first len bytes of in[] were written, and interrupts. */
void virtq_push_locked(struct virtio_dev *dev, struct virtq *q, uint16_t head, uint32_t len);
/* Moves len bytes from the front of a vector to buf. False if it is shorter. */
bool iov_take(struct iovec *iov, unsigned int n, void *buf, size_t len);
size_t iov_size(const struct iovec *iov, unsigned int n);

void virtio_blk_create(struct vm *vm, const char *path); /* set-up */
void virtio_console_create(struct vm *vm);               /* set-up */

#endif
