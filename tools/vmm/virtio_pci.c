/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtio transport over PCI: capabilities that point into BAR 0, the common configuration,
 * feature negotiation, and one ioeventfd per queue so that a notification needs no exit to
 * userspace. Without ioeventfd the same write arrives as an MMIO exit and does the same.
 *
 * Source: Virtual I/O Device specification 1.1, "Virtio Over PCI Bus".
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "virtio.h"

#define VIRTIO_VENDOR      0x1af4
#define VIRTIO_DEVICE_BASE 0x1040 /* plus the device type */
#define REVISION_1         1

/* The regions of BAR 0. */
#define BAR_COMMON         0x0000U
#define BAR_ISR            0x1000U
#define BAR_DEVICE         0x1800U
#define BAR_NOTIFY         0x2000U
#define NOTIFY_STRIDE      4U

void virtio_fail_locked(struct virtio_dev *dev, const char *why)
{
	if (dev->vm->opt->verbose)
		msg("virtio device %#x stopped: %s", dev->pci.config[PCI_DEVICE_ID], why);
	dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	msix_fire(&dev->pci.msix, dev->config_vector);
}

static void reset_queue(struct virtq *q)
{
	*q = (struct virtq){
		.size = VIRTQ_MAX_SIZE,
		.vector = VIRTIO_MSI_NO_VECTOR,
		.kick_fd = q->kick_fd,
	};
}

static void reset_locked(struct virtio_dev *dev)
{
	for (unsigned int i = 0; i < dev->n_queues; i++)
		reset_queue(&dev->queue[i]);
	dev->driver_features = 0;
	dev->feature_select = dev->driver_feature_select = 0;
	dev->queue_select = 0;
	dev->config_vector = VIRTIO_MSI_NO_VECTOR;
	dev->status = 0;
}

static void set_status_locked(struct virtio_dev *dev, uint8_t status)
{
	uint64_t have = dev->features, want = dev->driver_features;

	if (!status) {
		reset_locked(dev);
		return;
	}
	/* Refusing FEATURES_OK is how a device declines the driver's choice. */
	if ((want & ~have) || !(want & 1ULL << VIRTIO_F_VERSION_1))
		status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	dev->status = status | (dev->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static uint16_t valid_vector(struct virtio_dev *dev, uint16_t vector)
{
	return vector < dev->pci.msix.n ? vector : VIRTIO_MSI_NO_VECTOR;
}

static struct virtq *selected_queue(struct virtio_dev *dev)
{
	return dev->queue_select < dev->n_queues ? &dev->queue[dev->queue_select] : NULL;
}

static void set_half(uint64_t *reg, uint32_t val, bool high)
{
	*reg = high ? (*reg & 0xffffffff) | (uint64_t)val << 32 : (*reg & ~0xffffffffULL) | val;
}

static void write_queue_locked(struct virtio_dev *dev, uint32_t offset, uint32_t val)
{
	struct virtq *q = selected_queue(dev);

	if (!q)
		return;
	if (offset == VIRTIO_PCI_COMMON_Q_MSIX)
		q->vector = valid_vector(dev, val);
	if (q->enabled)
		return; /* the rest is fixed by now */
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		/* A power of two, so that the 16-bit indexes wrap at a multiple of it. */
		if (val && val <= VIRTQ_MAX_SIZE && !(val & (val - 1)))
			q->size = val;
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (val == 1 && !virtq_enable(dev->vm, q))
			virtio_fail_locked(dev, "queue outside of memory");
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		set_half(&q->desc_gpa, val, offset == VIRTIO_PCI_COMMON_Q_DESCHI);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		set_half(&q->avail_gpa, val, offset == VIRTIO_PCI_COMMON_Q_AVAILHI);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		set_half(&q->used_gpa, val, offset == VIRTIO_PCI_COMMON_Q_USEDHI);
		break;
	}
}

static void write_common_locked(struct virtio_dev *dev, uint32_t offset, uint32_t val)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		dev->feature_select = val;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		dev->driver_feature_select = val;
		break;
	case VIRTIO_PCI_COMMON_GF:
		if (dev->driver_feature_select < 2 && !(dev->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&dev->driver_features, val, dev->driver_feature_select);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		dev->config_vector = valid_vector(dev, val);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		set_status_locked(dev, val);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		dev->queue_select = val;
		break;
	default:
		write_queue_locked(dev, offset, val);
	}
}

static uint32_t read_queue_locked(struct virtio_dev *dev, uint32_t offset)
{
	struct virtq *q = selected_queue(dev);

	if (!q)
		return 0; /* size 0: there is no such queue */
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return q->size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return q->vector;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return q->enabled;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return dev->queue_select;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		return q->desc_gpa;
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		return q->desc_gpa >> 32;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		return q->avail_gpa;
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		return q->avail_gpa >> 32;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		return q->used_gpa;
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return q->used_gpa >> 32;
	default:
		return 0;
	}
}

static uint32_t read_common_locked(struct virtio_dev *dev, uint32_t offset)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return dev->feature_select;
	case VIRTIO_PCI_COMMON_DF:
		return dev->feature_select < 2 ? dev->features >> 32 * dev->feature_select : 0;
	case VIRTIO_PCI_COMMON_GFSELECT:
		return dev->driver_feature_select;
	case VIRTIO_PCI_COMMON_GF:
		return dev->driver_feature_select < 2
			       ? dev->driver_features >> 32 * dev->driver_feature_select
			       : 0;
	case VIRTIO_PCI_COMMON_MSIX:
		return dev->config_vector;
	case VIRTIO_PCI_COMMON_NUMQ:
		return dev->n_queues;
	case VIRTIO_PCI_COMMON_STATUS:
		return dev->status;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return dev->queue_select;
	default:
		return read_queue_locked(dev, offset);
	}
}

void virtio_kick(struct virtio_dev *dev, unsigned int queue)
{
	uint64_t one = 1;

	if (queue < dev->n_queues && write(dev->queue[queue].kick_fd, &one, sizeof(one)) < 0)
		die("eventfd: %s", strerror(errno));
}

static void bar_access(struct pci_dev *pci, uint32_t offset, void *data, unsigned int len,
		       bool write)
{
	struct virtio_dev *dev = (struct virtio_dev *)pci;
	uint32_t val = 0;

	if (write)
		memcpy(&val, data, len < 4 ? len : 4);
	else
		memset(data, 0, len);
	if (write && offset >= BAR_NOTIFY) {
		virtio_kick(dev, (offset - BAR_NOTIFY) / NOTIFY_STRIDE);
		return;
	}
	pthread_mutex_lock(&dev->lock);
	if (offset < BAR_ISR) {
		if (write)
			write_common_locked(dev, offset, val);
		else
			val = read_common_locked(dev, offset);
		if (!write)
			memcpy(data, &val, len < 4 ? len : 4);
	} else if (!write && offset >= BAR_DEVICE) {
		offset -= BAR_DEVICE;
		if (offset < dev->config_size && len <= dev->config_size - offset)
			memcpy(data, (const uint8_t *)dev->config + offset, len);
	}
	pthread_mutex_unlock(&dev->lock);
}

static void set_ioeventfds(struct virtio_dev *dev, bool assign)
{
	for (unsigned int i = 0; i < dev->n_queues; i++)
		if (!vm_ioeventfd(dev->vm, dev->notify_base + i * NOTIFY_STRIDE,
				  dev->queue[i].kick_fd, assign) &&
		    dev->vm->opt->verbose)
			msg("no ioeventfd: notifications will exit to userspace");
}

static void bar_moved(struct pci_dev *pci)
{
	struct virtio_dev *dev = (struct virtio_dev *)pci;

	if (dev->notify_base)
		set_ioeventfds(dev, false);
	dev->notify_base = pci->bar ? pci->bar + BAR_NOTIFY : 0;
	if (dev->notify_base)
		set_ioeventfds(dev, true);
}

static void *device_thread(void *arg)
{
	struct virtio_dev *dev = arg;
	struct pollfd fds[VIRTIO_MAX_QUEUES];
	uint64_t count;

	for (unsigned int i = 0; i < dev->n_queues; i++)
		fds[i] = (struct pollfd){ .fd = dev->queue[i].kick_fd, .events = POLLIN };
	for (;;) {
		if (poll(fds, dev->n_queues, -1) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		for (unsigned int i = 0; i < dev->n_queues; i++) {
			if (!(fds[i].revents & POLLIN) ||
			    read(fds[i].fd, &count, sizeof(count)) < 0)
				continue;
			pthread_mutex_lock(&dev->lock);
			if ((dev->status & VIRTIO_CONFIG_S_DRIVER_OK) && dev->queue[i].enabled)
				dev->serve_locked(dev, i);
			pthread_mutex_unlock(&dev->lock);
		}
	}
	return NULL;
}

static void add_cap(struct pci_dev *pci, uint8_t type, uint32_t offset, uint32_t length)
{
	struct virtio_pci_notify_cap cap = {
		.cap = {
			.cap_vndr = PCI_CAP_ID_VNDR,
			.cap_len = sizeof(cap.cap),
			.cfg_type = type,
			.offset = offset,
			.length = length,
		},
		.notify_off_multiplier = NOTIFY_STRIDE,
	};

	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		cap.cap.cap_len = sizeof(cap);
	pci_add_cap(pci, &cap, cap.cap.cap_len);
}

void virtio_add(struct vm *vm, struct virtio_dev *dev, uint16_t type, uint32_t class_rev,
		unsigned int n_queues)
{
	pthread_t thread;
	int err;

	dev->vm = vm;
	dev->n_queues = n_queues;
	dev->features |= 1ULL << VIRTIO_F_VERSION_1;
	dev->pci.bar_access = bar_access;
	dev->pci.bar_moved = bar_moved;
	pthread_mutex_init(&dev->lock, NULL);
	for (unsigned int i = 0; i < n_queues; i++) {
		dev->queue[i].kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (dev->queue[i].kick_fd < 0)
			die("eventfd: %s", strerror(errno));
	}
	reset_locked(dev);
	/* A vector for each queue and one for changes of configuration. */
	pci_add(vm, &dev->pci, VIRTIO_VENDOR, VIRTIO_DEVICE_BASE + type, class_rev | REVISION_1,
		n_queues + 1);
	add_cap(&dev->pci, VIRTIO_PCI_CAP_COMMON_CFG, BAR_COMMON, 0x100);
	add_cap(&dev->pci, VIRTIO_PCI_CAP_ISR_CFG, BAR_ISR, 4);
	add_cap(&dev->pci, VIRTIO_PCI_CAP_DEVICE_CFG, BAR_DEVICE, dev->config_size);
	add_cap(&dev->pci, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_NOTIFY, n_queues * NOTIFY_STRIDE);
	err = pthread_create(&thread, NULL, device_thread, dev);
	if (err)
		die("cannot start a device thread: %s", strerror(err));
	pthread_detach(thread);
}
