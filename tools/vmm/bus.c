/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two flat tables, of I/O ports and of guest-physical addresses, and the look-up in them.
 * The tables don't change once vCPUs run, so no lock is needed; a device locks for itself.
 */
#include <string.h>

#include "vmm.h"

void bus_add(struct bus *bus, const char *name, uint64_t start, uint64_t len, bus_fn fn, void *dev)
{
	for (unsigned int i = 0; i < bus->n; i++) {
		struct bus_range *r = &bus->range[i];

		if (start < r->start + r->len && r->start < start + len)
			die("%s and %s claim the same addresses", name, r->name);
	}
	if (bus->n == ARRAY_SIZE(bus->range))
		die("too many devices on a bus");
	bus->range[bus->n++] = (struct bus_range){ start, len, name, fn, dev, 0 };
}

bool bus_access(struct bus *bus, uint64_t addr, void *data, unsigned int len, bool write)
{
	for (unsigned int i = 0; i < bus->n; i++) {
		struct bus_range *r = &bus->range[i];

		/* An access that starts inside and ends outside belongs to nobody. */
		if (addr >= r->start && addr - r->start < r->len) {
			if (len > r->len - (addr - r->start))
				break;
			__atomic_fetch_add(&r->accesses, 1, __ATOMIC_RELAXED);
			r->fn(r->dev, addr - r->start, data, len, write);
			return true;
		}
	}
	__atomic_fetch_add(&bus->unclaimed, 1, __ATOMIC_RELAXED);
	if (!write)
		memset(data, 0xff, len);
	return false;
}
