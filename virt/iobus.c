// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PIO and MMIO buses: which of virt/'s devices (ioeventfds, coalesced zones) sits at an
 * address. They take writes; reads are userspace's. Each bus is a sorted array that is replaced as
 * a whole under slots_lock and read under vm->srcu. Ranges may overlap: devices are asked from the
 * highest start address down until one accepts.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <vcpu.h>

#define IOBUS_MAX_DEVS 1000

struct iobus_range {
	u64 addr;
	u64 len;   /* 0: accesses of any length at addr */
	u64 reach; /* the last address that this or an earlier range of the array covers */
	struct iodev *dev;
};

struct iobus {
	u32 n;
	struct iobus_range range[]; /* sorted by addr */
};

static struct iobus *iobus_alloc(u32 n)
{
	struct iobus *bus = kvzalloc(struct_size(bus, range, n), GFP_KERNEL_ACCOUNT);

	if (bus)
		bus->n = n;
	return bus;
}

int iobus_init(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vm->bus); i++) {
		struct iobus *bus = iobus_alloc(0);

		if (!bus) {
			iobus_destroy(vm);
			return -ENOMEM;
		}
		RCU_INIT_POINTER(vm->bus[i], bus);
	}
	return 0;
}

/* Nobody uses the VM any more, or it never came to be. Destroys the devices too. */
void iobus_destroy(struct vm *vm)
{
	unsigned int i;
	u32 k;

	for (i = 0; i < ARRAY_SIZE(vm->bus); i++) {
		struct iobus *bus = rcu_dereference_protected(vm->bus[i], true);

		if (!bus)
			continue;
		for (k = 0; k < bus->n; k++)
			bus->range[k].dev->ops->destroy(bus->range[k].dev);
		kvfree(bus);
		RCU_INIT_POINTER(vm->bus[i], NULL);
	}
}

static struct iobus *iobus_get_locked(struct vm *vm, enum iobus_id id)
{
	return rcu_dereference_protected(vm->bus[id], lockdep_is_held(&vm->slots_lock));
}

static u64 range_last(const struct iobus_range *r)
{
	return r->addr + (r->len ? r->len - 1 : 0);
}

/* Fill in ->reach, make @next the bus, wait for readers of the old array. */
static void iobus_publish_locked(struct vm *vm, enum iobus_id id, struct iobus *next)
{
	struct iobus *prev = iobus_get_locked(vm, id);
	u64 reach = 0;
	u32 i;

	for (i = 0; i < next->n; i++) {
		reach = max(reach, range_last(&next->range[i]));
		next->range[i].reach = reach;
	}
	rcu_assign_pointer(vm->bus[id], next);
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(prev);
}

int iobus_register_locked(struct vm *vm, enum iobus_id id, u64 addr, u64 len, struct iodev *dev)
{
	struct iobus *bus = iobus_get_locked(vm, id), *next;
	u32 at = 0;

	if (len && addr + len - 1 < addr)
		return -EINVAL;
	if (bus->n >= IOBUS_MAX_DEVS)
		return -ENOSPC;
	next = iobus_alloc(bus->n + 1);
	if (!next)
		return -ENOMEM;
	while (at < bus->n && bus->range[at].addr <= addr)
		at++;
	memcpy(next->range, bus->range, at * sizeof(*bus->range));
	next->range[at] = (struct iobus_range){ .addr = addr, .len = len, .dev = dev };
	memcpy(next->range + at + 1, bus->range + at, (bus->n - at) * sizeof(*bus->range));
	iobus_publish_locked(vm, id, next);
	return 0;
}

int iobus_unregister_locked(struct vm *vm, enum iobus_id id, struct iodev *dev)
{
	struct iobus *bus = iobus_get_locked(vm, id), *next;
	u32 at = 0;

	while (at < bus->n && bus->range[at].dev != dev)
		at++;
	if (at == bus->n)
		return -ENOENT;
	next = iobus_alloc(bus->n - 1);
	if (!next)
		return -ENOMEM;
	memcpy(next->range, bus->range, at * sizeof(*bus->range));
	memcpy(next->range + at, bus->range + at + 1, (bus->n - 1 - at) * sizeof(*bus->range));
	iobus_publish_locked(vm, id, next);
	dev->ops->destroy(dev);
	return 0;
}

/* Does the range contain the @len bytes at @addr? */
static bool range_takes(const struct iobus_range *r, u64 addr, int len)
{
	u64 last = addr + len - 1;

	if (!r->len)
		return addr == r->addr;
	return addr >= r->addr && last >= addr && last <= range_last(r);
}

/* How many ranges begin at or below @addr. */
static u32 iobus_below(const struct iobus *bus, u64 addr)
{
	u32 lo = 0, hi = bus->n;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (bus->range[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool iobus_reaches(struct vcpu *vcpu, enum iobus_id id, u64 addr)
{
	struct vm *vm = vcpu->vm;
	const struct iobus *bus = srcu_dereference(vm->bus[id], &vm->srcu);
	u32 below = iobus_below(bus, addr);

	return below && bus->range[below - 1].reach >= addr;
}

int iobus_write(struct vcpu *vcpu, enum iobus_id id, u64 addr, int len, const void *data)
{
	struct vm *vm = vcpu->vm;
	const struct iobus *bus = srcu_dereference(vm->bus[id], &vm->srcu);
	u32 i;

	for (i = iobus_below(bus, addr); i > 0 && bus->range[i - 1].reach >= addr; i--) {
		const struct iobus_range *r = &bus->range[i - 1];
		int ret;

		if (!range_takes(r, addr, len))
			continue;
		ret = r->dev->ops->write(r->dev, vcpu, addr, len, data);
		if (ret != -EOPNOTSUPP)
			return ret;
	}
	return -EOPNOTSUPP;
}
