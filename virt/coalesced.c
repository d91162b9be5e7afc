// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coalesced MMIO and PIO: guest writes to registered zones are queued in a ring page that userspace
 * maps (page KVM_COALESCED_MMIO_PAGE_OFFSET of each vCPU), instead of an exit each. The kernel
 * writes entries and ->last, userspace consumes and writes ->first. Both indices lie in memory that
 * userspace can scribble on, so each is read once and checked before use.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <vcpu.h>

struct coalesced {
	/* One writer of the ring at a time; taken in a vCPU's thread, interrupts on or off. */
	spinlock_t lock;
	struct kvm_coalesced_mmio_ring *ring;
	struct list_head zones; /* under slots_lock */
};

struct coalesced_zone {
	struct iodev dev;
	struct list_head node;
	struct coalesced *owner;
	struct kvm_coalesced_mmio_zone range;
};

/* Queue one write. -EOPNOTSUPP if the ring is full (or its indices are nonsense): exit as usual. */
static int zone_write(struct iodev *dev, struct vcpu *vcpu, u64 addr, int len, const void *data)
{
	struct coalesced_zone *zone = container_of(dev, struct coalesced_zone, dev);
	struct kvm_coalesced_mmio_ring *ring = zone->owner->ring;
	struct kvm_coalesced_mmio *entry;
	u32 last, next;
	int r = -EOPNOTSUPP;

	if (len <= 0 || len > sizeof(entry->data))
		return r;
	spin_lock(&zone->owner->lock);
	last = READ_ONCE(ring->last);
	if (last >= KVM_COALESCED_MMIO_MAX)
		goto out;
	next = (last + 1) % KVM_COALESCED_MMIO_MAX;
	if (next == READ_ONCE(ring->first))
		goto out;

	entry = &ring->coalesced_mmio[last];
	entry->phys_addr = addr;
	entry->len = len;
	entry->pio = zone->range.pio;
	memcpy(entry->data, data, len);
	/* The entry before the index: pairs with userspace's read of ->last. */
	smp_store_release(&ring->last, next);
	r = 0;
out:
	spin_unlock(&zone->owner->lock);
	return r;
}

static void zone_destroy(struct iodev *dev)
{
	struct coalesced_zone *zone = container_of(dev, struct coalesced_zone, dev);

	list_del(&zone->node);
	kfree(zone);
}

static const struct iodev_ops zone_ops = {
	.write = zone_write,
	.destroy = zone_destroy,
};

int coalesced_init(struct vm *vm)
{
	struct coalesced *c = kzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);

	if (!c)
		return -ENOMEM;
	c->ring = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!c->ring) {
		kfree(c);
		return -ENOMEM;
	}
	spin_lock_init(&c->lock);
	INIT_LIST_HEAD(&c->zones);
	vm->coalesced = c;
	return 0;
}

/* After iobus_destroy(), which has freed the zones. */
void coalesced_destroy(struct vm *vm)
{
	free_page((unsigned long)vm->coalesced->ring);
	kfree(vm->coalesced);
	vm->coalesced = NULL;
}

struct page *coalesced_ring_page(struct vm *vm)
{
	return virt_to_page(vm->coalesced->ring);
}

static enum iobus_id zone_bus(const struct kvm_coalesced_mmio_zone *range)
{
	return range->pio ? IOBUS_PIO : IOBUS_MMIO;
}

/* -EINVAL: empty, wrapping around, or neither MMIO (0) nor PIO (1). -ENOSPC, -ENOMEM. */
int coalesced_register(struct vm *vm, const struct kvm_coalesced_mmio_zone *range)
{
	struct coalesced *c = vm->coalesced;
	struct coalesced_zone *zone;
	int r;

	if (range->pio > 1 || !range->size)
		return -EINVAL;
	zone = kzalloc(sizeof(*zone), GFP_KERNEL_ACCOUNT);
	if (!zone)
		return -ENOMEM;
	zone->dev.ops = &zone_ops;
	zone->owner = c;
	zone->range = *range;

	mutex_lock(&vm->slots_lock);
	r = iobus_register_locked(vm, zone_bus(range), range->addr, range->size, &zone->dev);
	if (r)
		kfree(zone);
	else
		list_add_tail(&zone->node, &c->zones);
	mutex_unlock(&vm->slots_lock);
	return r;
}

static bool zone_contains(const struct kvm_coalesced_mmio_zone *zone,
			  const struct kvm_coalesced_mmio_zone *range)
{
	return zone->pio == range->pio && range->addr >= zone->addr && range->size <= zone->size &&
	       range->addr - zone->addr <= zone->size - range->size;
}

/* Remove each zone that contains @range; none is no error. */
int coalesced_unregister(struct vm *vm, const struct kvm_coalesced_mmio_zone *range)
{
	struct coalesced *c = vm->coalesced;
	struct coalesced_zone *zone, *next;
	int r = 0;

	if (range->pio > 1)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	list_for_each_entry_safe (zone, next, &c->zones, node) {
		if (!zone_contains(&zone->range, range))
			continue;
		r = iobus_unregister_locked(vm, zone_bus(range), &zone->dev);
		if (r)
			break;
	}
	mutex_unlock(&vm->slots_lock);
	return r;
}
