/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSI-X: the vector table and pending bits of one PCI function. Each vector has a GSI whose
 * route follows the table entry, and an irqfd that raises it, so that an interrupt costs one
 * write to an eventfd from any thread.
 *
 * Source: PCI Local Bus Specification 3.0, "MSI-X Capability and Table Structure".
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <linux/pci_regs.h>

#include "pci.h"

void msix_init(struct msix *msix, struct vm *vm, unsigned int n)
{
	pthread_mutex_init(&msix->lock, NULL);
	msix->vm = vm;
	msix->n = n;
	for (unsigned int i = 0; i < n; i++) {
		struct msix_vector *v = &msix->vector[i];

		v->control = PCI_MSIX_ENTRY_CTRL_MASKBIT;
		v->fd = vm_msi_alloc(vm, &v->gsi);
	}
}

static bool blocked_locked(struct msix *msix, struct msix_vector *v)
{
	return msix->masked || (v->control & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static void signal_locked(struct msix *msix, struct msix_vector *v)
{
	uint64_t one = 1;

	v->pending = false;
	if (write(v->fd, &one, sizeof(one)) < 0) {
		msg("irqfd: %s", strerror(errno));
		vm_end(msix->vm, STATUS_ERROR);
	}
}

void msix_fire(struct msix *msix, unsigned int vector)
{
	pthread_mutex_lock(&msix->lock);
	if (vector < msix->n && msix->enabled) {
		struct msix_vector *v = &msix->vector[vector];

		if (blocked_locked(msix, v))
			v->pending = true;
		else
			signal_locked(msix, v);
	}
	pthread_mutex_unlock(&msix->lock);
}

static void deliver_pending_locked(struct msix *msix)
{
	for (unsigned int i = 0; i < msix->n; i++) {
		struct msix_vector *v = &msix->vector[i];

		if (msix->enabled && v->pending && !blocked_locked(msix, v))
			signal_locked(msix, v);
	}
}

/* The route may only change while the vector is masked or disabled, so no message gets lost. */
static void update_route_locked(struct msix *msix, struct msix_vector *v)
{
	uint64_t addr = (uint64_t)v->addr_hi << 32 | v->addr_lo;

	if (msix->enabled && !blocked_locked(msix, v))
		vm_msi_route(msix->vm, v->gsi, addr, v->data);
}

void msix_control(struct msix *msix, bool enabled, bool masked)
{
	pthread_mutex_lock(&msix->lock);
	if (enabled != msix->enabled || masked != msix->masked) {
		msix->enabled = enabled;
		msix->masked = masked;
		for (unsigned int i = 0; i < msix->n; i++) {
			msix->vector[i].pending &= enabled;
			update_route_locked(msix, &msix->vector[i]);
		}
		deliver_pending_locked(msix);
	}
	pthread_mutex_unlock(&msix->lock);
}

static uint32_t pba_locked(struct msix *msix)
{
	uint32_t bits = 0;

	for (unsigned int i = 0; i < msix->n; i++)
		bits |= (uint32_t)msix->vector[i].pending << i;
	return bits;
}

/* One aligned dword: a table entry's field, a word of the PBA, or nothing. */
static uint32_t *table_field(struct msix *msix, uint32_t offset)
{
	unsigned int i = offset / PCI_MSIX_ENTRY_SIZE;
	struct msix_vector *v = &msix->vector[i];

	if (i >= msix->n)
		return NULL;
	switch (offset % PCI_MSIX_ENTRY_SIZE) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		return &v->addr_lo;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		return &v->addr_hi;
	case PCI_MSIX_ENTRY_DATA:
		return &v->data;
	default:
		return &v->control;
	}
}

static void access_dword_locked(struct msix *msix, uint32_t offset, uint32_t *val, bool write)
{
	uint32_t *field = table_field(msix, offset);

	if (!write) {
		*val = field ? *field : 0;
		if (offset == BAR_MSIX_PBA - BAR_MSIX_TABLE)
			*val = pba_locked(msix);
	} else if (field) {
		*field = *val;
		update_route_locked(msix, &msix->vector[offset / PCI_MSIX_ENTRY_SIZE]);
		deliver_pending_locked(msix);
	}
}

void msix_access(struct msix *msix, uint32_t offset, void *data, unsigned int len, bool write)
{
	/* The specification allows aligned dwords and qwords only. */
	if ((len != 4 && len != 8) || offset % len) {
		if (!write)
			memset(data, 0, len);
		return;
	}
	pthread_mutex_lock(&msix->lock);
	for (unsigned int i = 0; i < len; i += 4) {
		uint32_t val;

		memcpy(&val, (uint8_t *)data + i, 4);
		access_dword_locked(msix, offset + i, &val, write);
		memcpy((uint8_t *)data + i, &val, 4);
	}
	pthread_mutex_unlock(&msix->lock);
}
