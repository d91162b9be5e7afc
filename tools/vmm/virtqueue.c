/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Split virtqueues, from the device's side. Everything in them is the guest's to choose and to
 * change at any time: each field is read once and checked before use.
 *
 * Source: Virtual I/O Device specification 1.1, "Split Virtqueues". The guest is x86, so
 * little-endian fields are read as they are.
 */
#include <string.h>
#include <linux/virtio_config.h>

#include "virtio.h"

bool virtq_enable(struct vm *vm, struct virtq *q)
{
	if (q->desc_gpa % 16 || q->avail_gpa % 2 || q->used_gpa % 4)
		return false;
	q->desc = vm_ram(vm, q->desc_gpa, sizeof(*q->desc) * q->size);
	q->avail = vm_ram(vm, q->avail_gpa, sizeof(*q->avail) + sizeof(__virtio16) * q->size);
	q->used = vm_ram(vm, q->used_gpa, sizeof(*q->used) + sizeof(*q->used->ring) * q->size);
	q->enabled = q->desc && q->avail && q->used;
	return q->enabled;
}

static bool add_buffer(struct vm *vm, struct virtq_chain *chain, const struct vring_desc *desc)
{
	struct iovec iov = { vm_ram(vm, desc->addr, desc->len), desc->len };

	if (!iov.iov_base || !iov.iov_len)
		return false;
	if (desc->flags & VRING_DESC_F_WRITE)
		chain->in[chain->n_in++] = iov;
	else if (chain->n_in)
		return false; /* what we read must come before what we write */
	else
		chain->out[chain->n_out++] = iov;
	return true;
}

bool virtq_pop_locked(struct virtio_dev *dev, struct virtq *q, struct virtq_chain *chain)
{
	uint16_t avail, i;

	if (!q->enabled || (dev->status & VIRTIO_CONFIG_S_NEEDS_RESET))
		return false;
	avail = __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE);
	if (avail == q->last_avail)
		return false;
	if ((uint16_t)(avail - q->last_avail) > q->size) {
		virtio_fail_locked(dev, "more buffers than the queue holds");
		return false;
	}
	i = *(volatile uint16_t *)&q->avail->ring[q->last_avail % q->size];
	chain->head = i;
	chain->n_out = chain->n_in = 0;
	/* A chain can't be longer than the queue: this also ends those that go in circles. */
	for (unsigned int n = 0; n < q->size; n++) {
		struct vring_desc desc;

		if (i >= q->size)
			break;
		memcpy(&desc, &q->desc[i], sizeof(desc));
		__atomic_signal_fence(__ATOMIC_SEQ_CST); /* no second look at guest memory */
		if ((desc.flags & VRING_DESC_F_INDIRECT) || !add_buffer(dev->vm, chain, &desc))
			break;
		if (!(desc.flags & VRING_DESC_F_NEXT)) {
			q->last_avail++;
			return true;
		}
		i = desc.next;
	}
	virtio_fail_locked(dev, "bad descriptor chain");
	return false;
}

void virtq_push_locked(struct virtio_dev *dev, struct virtq *q, uint16_t head, uint32_t len)
{
	uint16_t idx = q->used->idx;

	q->used->ring[idx % q->size] = (struct vring_used_elem){ .id = head, .len = len };
	/* The element before the index; the index before the look at the driver's wish. */
	__atomic_store_n(&q->used->idx, idx + 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(&q->avail->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT))
		msix_fire(&dev->pci.msix, q->vector);
}

bool iov_take(struct iovec *iov, unsigned int n, void *buf, size_t len)
{
	if (iov_size(iov, n) < len)
		return false;
	for (; len; iov++) {
		size_t part = iov->iov_len < len ? iov->iov_len : len;

		memcpy(buf, iov->iov_base, part);
		buf = (uint8_t *)buf + part;
		len -= part;
		iov->iov_base = (uint8_t *)iov->iov_base + part;
		iov->iov_len -= part;
	}
	return true;
}

size_t iov_size(const struct iovec *iov, unsigned int n)
{
	size_t size = 0;

	while (n--)
		size += iov++->iov_len;
	return size;
}
