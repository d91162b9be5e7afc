/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * virtio-blk: a disk in a file. Requests are served one after the other by the device's thread
 * with preadv and pwritev straight from and to guest memory.
 *
 * Source: Virtual I/O Device specification 1.1, "Block Device".
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "virtio.h"

#define CLASS_STORAGE 0x01800000
#define SECTOR        512ULL

static struct disk {
	struct virtio_dev dev; /* first */
	struct virtio_blk_config config;
	int fd;
} disk;

/* Takes the last byte of what we write: it is the request's status. */
static uint8_t *take_status(struct virtq_chain *chain)
{
	struct iovec *last;

	if (!chain->n_in)
		return NULL;
	last = &chain->in[chain->n_in - 1];
	if (!--last->iov_len)
		chain->n_in--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

static uint8_t transfer(struct disk *d, uint64_t sector, const struct iovec *iov, unsigned int n,
			bool write, uint32_t *done)
{
	size_t size = iov_size(iov, n);
	ssize_t ret = 0;

	if (size % SECTOR || sector > d->config.capacity ||
	    size / SECTOR > d->config.capacity - sector)
		return VIRTIO_BLK_S_IOERR;
	if (n && write)
		ret = pwritev(d->fd, iov, n, sector * SECTOR);
	else if (n)
		ret = preadv(d->fd, iov, n, sector * SECTOR);
	if (ret != (ssize_t)size)
		return VIRTIO_BLK_S_IOERR;
	*done = write ? 0 : size;
	return VIRTIO_BLK_S_OK;
}

static uint8_t identify(struct virtq_chain *chain, uint32_t *done)
{
	static const char id[VIRTIO_BLK_ID_BYTES] = "apicvisor-disk";

	if (!chain->n_in || chain->in[0].iov_len < sizeof(id))
		return VIRTIO_BLK_S_IOERR;
	memcpy(chain->in[0].iov_base, id, sizeof(id));
	*done = sizeof(id);
	return VIRTIO_BLK_S_OK;
}

/* Returns false if the chain isn't a request at all. */
static bool serve_request(struct disk *d, struct virtq_chain *chain, uint32_t *done)
{
	struct virtio_blk_outhdr hdr;
	uint8_t *status = take_status(chain);

	*done = 0;
	if (!status || !iov_take(chain->out, chain->n_out, &hdr, sizeof(hdr)))
		return false;
	switch (hdr.type) {
	case VIRTIO_BLK_T_IN:
		*status = transfer(d, hdr.sector, chain->in, chain->n_in, false, done);
		break;
	case VIRTIO_BLK_T_OUT:
		*status = transfer(d, hdr.sector, chain->out, chain->n_out, true, done);
		break;
	case VIRTIO_BLK_T_FLUSH:
		*status = fdatasync(d->fd) ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_GET_ID:
		*status = identify(chain, done);
		break;
	default:
		*status = VIRTIO_BLK_S_UNSUPP;
	}
	*done += 1; /* the status */
	return true;
}

static void serve_locked(struct virtio_dev *dev, unsigned int queue)
{
	struct virtq *q = &dev->queue[queue];
	struct virtq_chain chain;
	uint32_t done;

	while (virtq_pop_locked(dev, q, &chain)) {
		if (!serve_request((struct disk *)dev, &chain, &done)) {
			virtio_fail_locked(dev, "bad block request");
			return;
		}
		virtq_push_locked(dev, q, chain.head, done);
	}
}

void virtio_blk_create(struct vm *vm, const char *path)
{
	struct stat st;

	disk.fd = open(path, O_RDWR | O_CLOEXEC);
	if (disk.fd < 0 || fstat(disk.fd, &st) < 0)
		die("cannot open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)SECTOR)
		die("%s is not a disk image: it must be a regular file of 512 bytes or more", path);
	if (flock(disk.fd, LOCK_EX | LOCK_NB) < 0)
		die("%s is in use: %s", path, strerror(errno));
	disk.config.capacity = st.st_size / SECTOR;
	disk.config.seg_max = VIRTQ_MAX_SIZE - 2; /* header and status take one each */
	disk.dev.features = 1ULL << VIRTIO_BLK_F_FLUSH | 1ULL << VIRTIO_BLK_F_SEG_MAX;
	disk.dev.config = &disk.config;
	disk.dev.config_size = sizeof(disk.config);
	disk.dev.serve_locked = serve_locked;
	virtio_add(vm, &disk.dev, VIRTIO_ID_BLOCK, CLASS_STORAGE, 1);
}
