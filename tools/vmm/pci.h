/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One PCI bus with a host bridge and endpoints: type 1 configuration space, one 32-bit memory
 * BAR per endpoint, MSI-X and nothing older. Leaves out INTx, power management and hot plug.
 *
 * Locks: pci.c has one for configuration space and BARs; it is held when bar_moved() is called
 * and not held in bar_access(). struct msix has its own, the innermost.
 */
#ifndef PCI_H
#define PCI_H

#include "vmm.h"

#define PCI_MAX_DEVS     8
#define MSIX_MAX_VECTORS 8
#define PCI_BAR_SIZE     0x4000U /* of every BAR; the MSI-X table and PBA lie in its last page */
#define BAR_MSIX_TABLE   0x3000U
#define BAR_MSIX_PBA     0x3800U

struct msix {
	pthread_mutex_t lock;
	struct vm *vm;
	unsigned int n;
	bool enabled, masked; /* the two bits of the capability's control word */
	struct msix_vector {
		uint32_t addr_lo, addr_hi, data, control; /* the table entry */
		unsigned int gsi;
		int fd; /* irqfd */
		bool pending;
	} vector[MSIX_MAX_VECTORS];
};

/* Set-up. */
void msix_init(struct msix *msix, struct vm *vm, unsigned int n);
/* Raises a vector, or marks it pending while it is masked. Bad numbers are ignored. */
void msix_fire(struct msix *msix, unsigned int vector);
void msix_control(struct msix *msix, bool enabled, bool masked);
/* The page at BAR_MSIX_TABLE; offset is relative to it. */
void msix_access(struct msix *msix, uint32_t offset, void *data, unsigned int len, bool write);

struct pci_dev {
	uint8_t config[256], writable[256]; /* the second: a mask of the first */
	uint8_t cap_end, last_cap, msix_cap;
	uint32_t bar; /* where BAR 0 is decoded now; 0 if it isn't */
	struct msix msix;
	/* The BAR outside of the MSI-X page. */
	void (*bar_access)(struct pci_dev *dev, uint32_t offset, void *data, unsigned int len,
			   bool write);
	/* BAR 0 is decoded at dev->bar from now on, or no longer if that is 0. */
	void (*bar_moved)(struct pci_dev *dev);
};

void pci_create(struct vm *vm); /* set-up */
/* Set-up: adds an endpoint, whose callbacks are set. Returns with dev->config filled in. */
void pci_add(struct vm *vm, struct pci_dev *dev, uint16_t vendor, uint16_t device,
	     uint32_t class_rev, unsigned int vectors);
/* Set-up: appends a capability of len bytes, which starts with its ID; links it. */
uint8_t *pci_add_cap(struct pci_dev *dev, const void *cap, size_t len);

#endif
