/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * virtio-blk from the driver's side: negotiation, requests, and drivers that break the rules. The
 * device's own thread serves the queue, so a test waits for the used index to move, or for the
 * device to say that it needs a reset.
 */
#define _GNU_SOURCE /* memfd_create */
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>

#include "../virtio.h"
#include "fake_kvm.h"

#define SLOT     1
#define SECTORS  64
#define Q_SIZE   8
#define DESC     0x10000ULL /* guest addresses of the queue's areas, of requests and data */
#define AVAIL    0x11000ULL
#define USED     0x12000ULL
#define HEADER   0x13000ULL
#define STATUS   0x13100ULL
#define DATA     0x20000ULL
#define MEM      (32 * MiB)
#define DEADLINE 10000 /* ms; a test that waits so long fails */

static struct options opt = { .verbose = true };
static struct vm vm;
static int disk_fd;
static uint64_t bar;
static uint16_t avail_idx;

static int setup(void **state)
{
	char path[64];

	(void)state;
	disk_fd = memfd_create("disk", 0);
	assert_int_equal(ftruncate(disk_fd, SECTORS * 512), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", disk_fd);
	fake_vm(&vm, &opt, 1, MEM);
	pci_create(&vm);
	virtio_blk_create(&vm, path);
	bar = config_read(&vm, SLOT, PCI_BASE_ADDRESS_0, 4);
	config_write(&vm, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	return 0;
}

static void *ram(uint64_t gpa)
{
	return vm_ram(&vm, gpa, 1);
}

static uint8_t status(void)
{
	return mmio_read(&vm, bar + VIRTIO_PCI_COMMON_STATUS, 1);
}

static void set_status(uint8_t val)
{
	mmio_write(&vm, bar + VIRTIO_PCI_COMMON_STATUS, val, 1);
}

static void common(unsigned int reg, uint32_t val, unsigned int len)
{
	mmio_write(&vm, bar + reg, val, len);
}

static void negotiate(uint32_t low, uint32_t high)
{
	set_status(0);
	set_status(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	common(VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	common(VIRTIO_PCI_COMMON_GF, low, 4);
	common(VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	common(VIRTIO_PCI_COMMON_GF, high, 4);
	set_status(status() | VIRTIO_CONFIG_S_FEATURES_OK);
}

static void set_queue(uint64_t desc, uint64_t avail, uint64_t used)
{
	common(VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	common(VIRTIO_PCI_COMMON_Q_SIZE, Q_SIZE, 2);
	common(VIRTIO_PCI_COMMON_Q_MSIX, 0, 2);
	common(VIRTIO_PCI_COMMON_Q_DESCLO, desc, 4);
	common(VIRTIO_PCI_COMMON_Q_DESCHI, desc >> 32, 4);
	common(VIRTIO_PCI_COMMON_Q_AVAILLO, avail, 4);
	common(VIRTIO_PCI_COMMON_Q_AVAILHI, avail >> 32, 4);
	common(VIRTIO_PCI_COMMON_Q_USEDLO, used, 4);
	common(VIRTIO_PCI_COMMON_Q_USEDHI, used >> 32, 4);
	common(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

/* A working device, whatever the test before left. */
static int start(void **state)
{
	(void)state;
	memset(ram(DESC), 0, 0x4000);
	avail_idx = 0;
	negotiate(0, 1);
	set_queue(DESC, AVAIL, USED);
	set_status(status() | VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(status() & ~7, VIRTIO_CONFIG_S_FEATURES_OK);
	return 0;
}

static void describe(unsigned int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	((struct vring_desc *)ram(DESC))[i] = (struct vring_desc){ addr, len, flags, next };
}

static void kick(void)
{
	mmio_write(&vm, bar + 0x2000, 0, 2);
}

static void offer(uint16_t head)
{
	struct vring_avail *avail = ram(AVAIL);

	avail->ring[avail_idx % Q_SIZE] = head;
	__atomic_store_n(&avail->idx, ++avail_idx, __ATOMIC_RELEASE);
	kick();
}

static uint16_t used_idx(void)
{
	return __atomic_load_n(&((struct vring_used *)ram(USED))->idx, __ATOMIC_ACQUIRE);
}

/* Until the device has answered all or given up. Returns whether it answered. */
static bool answered(void)
{
	for (unsigned int ms = 0, tries = 0; ms < DEADLINE; tries++) {
		if (used_idx() == avail_idx)
			return true;
		if (status() & VIRTIO_CONFIG_S_NEEDS_RESET)
			return false;
		/* It mostly answers at once. */
		if (tries < 100)
			sched_yield();
		else
			ms += 1 + poll(NULL, 0, 1);
	}
	fail_msg("the device does not react");
	return false;
}

/* One request of a header, len bytes at DATA and a status; returns the status. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t len)
{
	struct virtio_blk_outhdr hdr = { .type = type, .sector = sector };
	uint16_t write = type == VIRTIO_BLK_T_OUT ? 0 : VRING_DESC_F_WRITE;

	memcpy(ram(HEADER), &hdr, sizeof(hdr));
	*(uint8_t *)ram(STATUS) = 0xee;
	describe(0, HEADER, sizeof(hdr), VRING_DESC_F_NEXT, len ? 1 : 2);
	describe(1, DATA, len, VRING_DESC_F_NEXT | write, 2);
	describe(2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	offer(0);
	assert_true(answered());
	return *(uint8_t *)ram(STATUS);
}

/* --- what works --- */

static void features(void **state)
{
	(void)state;
	assert_int_equal(config_read(&vm, SLOT, PCI_DEVICE_ID, 2), 0x1040 + VIRTIO_ID_BLOCK);
	common(VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	assert_int_equal(mmio_read(&vm, bar + VIRTIO_PCI_COMMON_DF, 4), 1); /* version 1 */
	common(VIRTIO_PCI_COMMON_DFSELECT, 2, 4);
	assert_int_equal(mmio_read(&vm, bar + VIRTIO_PCI_COMMON_DF, 4), 0);
	assert_int_equal(mmio_read(&vm, bar + VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	assert_int_equal(mmio_read(&vm, bar + 0x1800, 8), SECTORS);
	/* FEATURES_OK is refused without version 1, and with what wasn't offered. */
	negotiate(0, 0);
	assert_false(status() & VIRTIO_CONFIG_S_FEATURES_OK);
	negotiate(1 << VIRTIO_BLK_F_SIZE_MAX, 1);
	assert_false(status() & VIRTIO_CONFIG_S_FEATURES_OK);
	negotiate(1 << VIRTIO_BLK_F_FLUSH, 1);
	assert_true(status() & VIRTIO_CONFIG_S_FEATURES_OK);
}

static void read_and_write(void **state)
{
	char back[1024];

	(void)state;
	memset(ram(DATA), 'w', 1024);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 3, 1024), VIRTIO_BLK_S_OK);
	assert_int_equal(pread(disk_fd, back, sizeof(back), 3 * 512), sizeof(back));
	assert_memory_equal(back, ram(DATA), sizeof(back));
	memset(ram(DATA), 0, 1024);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 3, 1024), VIRTIO_BLK_S_OK);
	assert_memory_equal(back, ram(DATA), sizeof(back));
	assert_int_equal(((struct vring_used *)ram(USED))->ring[1].len, 1025);
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(request(VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
	assert_string_equal(ram(DATA), "apicvisor-disk");
}

static void limits(void **state)
{
	(void)state;
	assert_int_equal(request(VIRTIO_BLK_T_IN, SECTORS - 1, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(request(VIRTIO_BLK_T_IN, SECTORS - 1, 1024), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, SECTORS, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_IN, ~0ULL, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 1ULL << 55, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 0, 100), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_GET_ID, 0, 19), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(99, 0, 512), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(lseek(disk_fd, 0, SEEK_END), SECTORS * 512); /* nothing grew */
}

/* More requests than the 16-bit index can count: it wraps. */
static void wrap_around(void **state)
{
	(void)state;
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	for (unsigned int i = 0; i < 70000; i += Q_SIZE) {
		*(uint8_t *)ram(STATUS) = 0xee;
		for (unsigned int n = 0; n < Q_SIZE; n++)
			offer(0);
		assert_true(answered());
		assert_int_equal(*(uint8_t *)ram(STATUS), VIRTIO_BLK_S_OK);
	}
}

static void ioeventfd_follows_bar(void **state)
{
	(void)state;
	assert_int_equal(kvm.n_ioeventfds, 1);
	assert_int_equal(kvm.ioeventfd[0].addr, bar + 0x2000);
	assert_int_equal(kvm.ioeventfd[0].len, 2);
	config_write(&vm, SLOT, PCI_BASE_ADDRESS_0, bar + 0x100000, 4);
	assert_int_equal(kvm.n_ioeventfds, 1);
	assert_int_equal(kvm.ioeventfd[0].addr, bar + 0x100000 + 0x2000);
	config_write(&vm, SLOT, PCI_COMMAND, 0, 2);
	assert_int_equal(kvm.n_ioeventfds, 0);
	config_write(&vm, SLOT, PCI_BASE_ADDRESS_0, bar, 4);
	config_write(&vm, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(kvm.ioeventfd[0].addr, bar + 0x2000);
}

/* --- drivers that break the rules --- */

static void must_fail(const char *what)
{
	offer(0);
	if (answered())
		fail_msg("served: %s", what);
	start(NULL);
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK); /* a reset cures it */
	start(NULL);
}

static void bad_chains(void **state)
{
	(void)state;
	describe(0, HEADER, 16, VRING_DESC_F_NEXT, 0);
	must_fail("a chain in a circle");
	describe(0, HEADER, 16, VRING_DESC_F_NEXT, Q_SIZE);
	must_fail("a descriptor beyond the table");
	describe(0, MEM - 8, 16, 0, 0);
	must_fail("a buffer that leaves RAM");
	describe(0, ~0ULL - 7, 16, 0, 0);
	must_fail("a buffer that wraps around");
	describe(0, 0xfec00000, 16, 0, 0);
	must_fail("a buffer in a device");
	describe(0, HEADER, 16, VRING_DESC_F_INDIRECT, 0);
	must_fail("an indirect descriptor");
	describe(0, HEADER, 0, 0, 0);
	must_fail("an empty buffer");
	describe(0, STATUS, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	describe(1, HEADER, 16, 0, 0);
	must_fail("read after write");
	describe(0, HEADER, 16, 0, 0);
	must_fail("a request without a status");
	describe(0, HEADER, 15, VRING_DESC_F_NEXT, 1);
	describe(1, STATUS, 1, VRING_DESC_F_WRITE, 0);
	must_fail("a short header");
}

static void bad_avail(void **state)
{
	(void)state;
	((struct vring_avail *)ram(AVAIL))->ring[0] = Q_SIZE;
	avail_idx = 0;
	__atomic_store_n(&((struct vring_avail *)ram(AVAIL))->idx, ++avail_idx, __ATOMIC_RELEASE);
	kick();
	assert_false(answered());
	start(NULL);
	avail_idx = Q_SIZE + 1;
	__atomic_store_n(&((struct vring_avail *)ram(AVAIL))->idx, avail_idx, __ATOMIC_RELEASE);
	kick();
	assert_false(answered());
}

static void bad_queue(void **state)
{
	static const uint64_t bad[][3] = {
		{ DESC + 8, AVAIL, USED },   { DESC, AVAIL + 1, USED }, { DESC, AVAIL, USED + 2 },
		{ MEM, AVAIL, USED },        { DESC, MEM - 2, USED },   { DESC, AVAIL, MEM - 4 },
		{ ~0ULL - 15, AVAIL, USED },
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		negotiate(0, 1);
		set_queue(bad[i][0], bad[i][1], bad[i][2]);
		assert_true(status() & VIRTIO_CONFIG_S_NEEDS_RESET);
		assert_int_equal(mmio_read(&vm, bar + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
		set_status(status() | VIRTIO_CONFIG_S_DRIVER_OK);
		kick();
	}
	/* A queue size that isn't a power of two, too large or zero stays what it was. */
	negotiate(0, 1);
	common(VIRTIO_PCI_COMMON_Q_SIZE, 3, 2);
	common(VIRTIO_PCI_COMMON_Q_SIZE, 0, 2);
	common(VIRTIO_PCI_COMMON_Q_SIZE, 256, 2);
	assert_int_equal(mmio_read(&vm, bar + VIRTIO_PCI_COMMON_Q_SIZE, 2), VIRTQ_MAX_SIZE);
	common(VIRTIO_PCI_COMMON_Q_SELECT, 1, 2);
	assert_int_equal(mmio_read(&vm, bar + VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	common(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2); /* no such queue */
	common(VIRTIO_PCI_COMMON_Q_MSIX, 5, 2);
	common(VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	common(VIRTIO_PCI_COMMON_Q_MSIX, 5, 2);
	assert_int_equal(mmio_read(&vm, bar + VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
}

/* Any access at any place, and rubbish in the rings, under the sanitizers: nothing must break. */
static void random_driver(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		uint64_t val = (uint64_t)rand_r(&seed) << 33 ^ rand_r(&seed);
		unsigned int len = 1 << rand_r(&seed) % 4;

		switch (rand_r(&seed) % 8) {
		case 0:
			mmio_read(&vm, bar + rand_r(&seed) % PCI_BAR_SIZE, len);
			break;
		case 1:
			mmio_write(&vm, bar + rand_r(&seed) % PCI_BAR_SIZE, val, len);
			break;
		case 2:
			mmio_write(&vm, bar + rand_r(&seed) % 0x40, val % Q_SIZE, len);
			break;
		case 3:
			config_write(&vm, SLOT, rand_r(&seed), val, 1);
			config_write(&vm, SLOT, PCI_BASE_ADDRESS_0, bar, 4);
			config_write(&vm, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
			break;
		case 4:
			((uint16_t *)ram(DESC))[rand_r(&seed) % (8 * Q_SIZE)] = val % 16;
			break;
		case 5:
			((uint16_t *)ram(AVAIL))[rand_r(&seed) % (2 + Q_SIZE)] = val % Q_SIZE;
			break;
		case 6:
			describe(rand_r(&seed) % Q_SIZE, HEADER + val % 4096, val % 64,
				 val >> 40 & 3, val >> 48 & 7);
			kick();
			break;
		default:
			if (rand_r(&seed) % 16 == 0)
				start(NULL);
			kick();
		}
	}
	start(NULL);
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features),
		cmocka_unit_test_setup(read_and_write, start),
		cmocka_unit_test_setup(limits, start),
		cmocka_unit_test_setup(wrap_around, start),
		cmocka_unit_test(ioeventfd_follows_bar),
		cmocka_unit_test_setup(bad_chains, start),
		cmocka_unit_test_setup(bad_avail, start),
		cmocka_unit_test(bad_queue),
		cmocka_unit_test_setup(random_driver, start),
	};

	return cmocka_run_group_tests_name("vmm_virtio", tests, setup, NULL);
}
