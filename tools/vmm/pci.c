/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Type 1 configuration space (ports 0xcf8 and 0xcfc) of bus 0, and the PCI memory window. BARs
 * are assigned here, as firmware would, and may be moved by the guest.
 *
 * Source: PCI Local Bus Specification 3.0, "Configuration Space".
 */
#include <stdlib.h>
#include <string.h>
#include <linux/pci_regs.h>

#include "pci.h"

#define CONFIG_ADDRESS 0xcf8 /* and CONFIG_DATA at + 4 */
#define ADDRESS_ENABLE BIT(31)

#define BRIDGE_VENDOR  0x1b36
#define BRIDGE_DEVICE  0x0008
#define CLASS_BRIDGE   0x06000000

static struct {
	pthread_mutex_t lock;
	uint32_t address;
	struct pci_dev *dev[PCI_MAX_DEVS];
	unsigned int n;
} pci = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void put16(uint8_t *p, uint16_t val)
{
	memcpy(p, &val, sizeof(val));
}

static void put32(uint8_t *p, uint32_t val)
{
	memcpy(p, &val, sizeof(val));
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t val;

	memcpy(&val, p, sizeof(val));
	return val;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t val;

	memcpy(&val, p, sizeof(val));
	return val;
}

/* Follows a write to configuration space: BAR 0 and the MSI-X control word have effects. */
static void config_written_locked(struct pci_dev *dev)
{
	uint32_t bar = get32(dev->config + PCI_BASE_ADDRESS_0);

	if (!(get16(dev->config + PCI_COMMAND) & PCI_COMMAND_MEMORY))
		bar = 0;
	if (bar < PCI_MMIO_BASE || bar > PCI_MMIO_END - PCI_BAR_SIZE)
		bar = 0; /* outside of the window, or being sized */
	if (bar != dev->bar) {
		dev->bar = bar;
		dev->bar_moved(dev);
	}
	if (dev->msix_cap) {
		uint16_t flags = get16(dev->config + dev->msix_cap + PCI_MSIX_FLAGS);

		msix_control(&dev->msix, flags & PCI_MSIX_FLAGS_ENABLE,
			     flags & PCI_MSIX_FLAGS_MASKALL);
	}
}

static void config_access_locked(uint32_t offset, uint8_t *data, unsigned int len, bool write)
{
	unsigned int slot = pci.address >> 11 & 0x1f;
	uint32_t reg = (pci.address & 0xfc) + offset;
	struct pci_dev *dev = slot < pci.n ? pci.dev[slot] : NULL;

	/* Bus 0, function 0 of what was added; an access may not cross the dword. */
	if (!(pci.address & ADDRESS_ENABLE) || (pci.address >> 16 & 0xff) ||
	    (pci.address >> 8 & 7) || offset + len > 4)
		dev = NULL;
	if (!dev) {
		if (!write)
			memset(data, 0xff, len);
		return;
	}
	if (!write) {
		memcpy(data, dev->config + reg, len);
		return;
	}
	for (unsigned int i = 0; i < len; i++) {
		uint8_t mask = dev->writable[reg + i];

		dev->config[reg + i] = (dev->config[reg + i] & ~mask) | (data[i] & mask);
	}
	if (dev->bar_moved)
		config_written_locked(dev);
}

static void config_ports(void *dev, uint64_t offset, void *data, unsigned int len, bool write)
{
	/* The reset register lies within the address register; the width tells them apart. */
	if (CONFIG_ADDRESS + offset == RESET_PORT && len == 1) {
		platform_reset_port(dev, data, write);
		return;
	}
	pthread_mutex_lock(&pci.lock);
	if (offset >= 4) {
		config_access_locked(offset - 4, data, len, write);
	} else if (offset == 0 && len == 4) {
		if (write)
			memcpy(&pci.address, data, len);
		else
			memcpy(data, &pci.address, len);
	} else if (!write) {
		memset(data, 0xff, len);
	}
	pthread_mutex_unlock(&pci.lock);
}

static void mmio_window(void *unused, uint64_t offset, void *data, unsigned int len, bool write)
{
	uint64_t addr = PCI_MMIO_BASE + offset;
	struct pci_dev *dev = NULL;
	uint32_t reg = 0;

	(void)unused;
	pthread_mutex_lock(&pci.lock);
	for (unsigned int i = 0; i < pci.n && !dev; i++) {
		if (!pci.dev[i]->bar || addr < pci.dev[i]->bar)
			continue;
		reg = addr - pci.dev[i]->bar;
		if (reg < PCI_BAR_SIZE && len <= PCI_BAR_SIZE - reg)
			dev = pci.dev[i];
	}
	pthread_mutex_unlock(&pci.lock);
	if (!dev) {
		if (!write)
			memset(data, 0xff, len);
	} else if (reg >= BAR_MSIX_TABLE) {
		msix_access(&dev->msix, reg - BAR_MSIX_TABLE, data, len, write);
	} else {
		dev->bar_access(dev, reg, data, len, write);
	}
}

uint8_t *pci_add_cap(struct pci_dev *dev, const void *cap, size_t len)
{
	uint8_t at = dev->cap_end;

	if (at + len > sizeof(dev->config))
		die("no room for a PCI capability");
	memcpy(dev->config + at, cap, len);
	dev->config[at + PCI_CAP_LIST_NEXT] = 0;
	if (dev->last_cap)
		dev->config[dev->last_cap + PCI_CAP_LIST_NEXT] = at;
	else
		dev->config[PCI_CAPABILITY_LIST] = at;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	dev->last_cap = at;
	dev->cap_end = (at + len + 3) & ~3;
	return dev->config + at;
}

static void add_msix_cap(struct pci_dev *dev, unsigned int vectors)
{
	uint8_t cap[PCI_CAP_MSIX_SIZEOF] = { PCI_CAP_ID_MSIX };

	/* The low three bits of the two offsets name the BAR: 0. */
	put16(cap + PCI_MSIX_FLAGS, vectors - 1);
	put32(cap + PCI_MSIX_TABLE, BAR_MSIX_TABLE);
	put32(cap + PCI_MSIX_PBA, BAR_MSIX_PBA);
	dev->msix_cap = pci_add_cap(dev, cap, sizeof(cap)) - dev->config;
	put16(dev->writable + dev->msix_cap + PCI_MSIX_FLAGS,
	      PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
}

void pci_add(struct vm *vm, struct pci_dev *dev, uint16_t vendor, uint16_t device,
	     uint32_t class_rev, unsigned int vectors)
{
	if (pci.n == PCI_MAX_DEVS)
		die("too many PCI devices");
	put16(dev->config + PCI_VENDOR_ID, vendor);
	put16(dev->config + PCI_DEVICE_ID, device);
	put32(dev->config + PCI_CLASS_REVISION, class_rev);
	put16(dev->config + PCI_SUBSYSTEM_VENDOR_ID, vendor);
	put16(dev->config + PCI_SUBSYSTEM_ID, device);
	dev->cap_end = PCI_STD_HEADER_SIZEOF;
	if (vectors) {
		put16(dev->writable + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		/* Writing ones to a BAR and reading it back tells its size. */
		put32(dev->writable + PCI_BASE_ADDRESS_0, ~(PCI_BAR_SIZE - 1));
		put32(dev->config + PCI_BASE_ADDRESS_0, PCI_MMIO_BASE + pci.n * PCI_BAR_SIZE);
		msix_init(&dev->msix, vm, vectors);
		add_msix_cap(dev, vectors);
	}
	pci.dev[pci.n++] = dev;
}

void pci_create(struct vm *vm)
{
	struct pci_dev *bridge = xcalloc(1, sizeof(*bridge));

	/* Without a host bridge at 00:00.0 kernels take type 1 accesses for not working. */
	pci_add(vm, bridge, BRIDGE_VENDOR, BRIDGE_DEVICE, CLASS_BRIDGE, 0);
	bus_add(&vm->pio, "PCI configuration", CONFIG_ADDRESS, 8, config_ports, vm);
	bus_add(&vm->mmio, "PCI devices", PCI_MMIO_BASE, PCI_MMIO_END - PCI_MMIO_BASE, mmio_window,
		NULL);
}
