// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfd: a guest write to an address (and, on request, of one value) signals an eventfd instead
 * of returning to userspace. Virtio notifications are made of this.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <vcpu.h>
#include <compat.h>

#define IOEVENTFD_FLAGS \
	(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN)

struct ioeventfd {
	struct iodev dev;
	struct list_head node; /* vm->ioeventfds */
	struct eventfd_ctx *eventfd;
	enum iobus_id bus;
	u64 addr;
	u32 len;    /* 0: any */
	bool match; /* only writes of ->value */
	u64 value;
};

static bool ioeventfd_matches(const struct ioeventfd *p, const void *data, int len)
{
	u64 value = 0;

	memcpy(&value, data, min_t(size_t, len, sizeof(value)));
	return value == p->value;
}

static int ioeventfd_write(struct iodev *dev, struct vcpu *vcpu, u64 addr, int len,
			   const void *data)
{
	struct ioeventfd *p = container_of(dev, struct ioeventfd, dev);

	if (addr != p->addr || (p->len && len != p->len))
		return -EOPNOTSUPP;
	if (p->match && !ioeventfd_matches(p, data, len))
		return -EOPNOTSUPP;
	compat_eventfd_signal(p->eventfd);
	return 0;
}

static void ioeventfd_destroy(struct iodev *dev)
{
	struct ioeventfd *p = container_of(dev, struct ioeventfd, dev);

	list_del(&p->node);
	eventfd_ctx_put(p->eventfd);
	kfree(p);
}

static const struct iodev_ops ioeventfd_ops = {
	.write = ioeventfd_write,
	.destroy = ioeventfd_destroy,
};

/* Would one write signal both? */
static bool ioeventfd_clash(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (a->bus != b->bus || a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len && (!a->match || !b->match || a->value == b->value);
}

static bool ioeventfd_same(const struct ioeventfd *a, const struct ioeventfd *b)
{
	return a->eventfd == b->eventfd && a->bus == b->bus && a->addr == b->addr &&
	       a->len == b->len && a->match == b->match && (!a->match || a->value == b->value);
}

static int ioeventfd_check(const struct kvm_ioeventfd *args)
{
	if (args->flags & ~IOEVENTFD_FLAGS)
		return -EINVAL;
	switch (args->len) {
	case 0:
		if (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)
			return -EINVAL;
		break;
	case 1:
	case 2:
	case 4:
	case 8:
		break;
	default:
		return -EINVAL;
	}
	if (args->addr + args->len < args->addr)
		return -EINVAL;
	return 0;
}

/* Takes over @p on success. */
static int ioeventfd_assign_locked(struct vm *vm, struct ioeventfd *p)
{
	struct ioeventfd *other;
	int r;

	list_for_each_entry (other, &vm->ioeventfds, node)
		if (ioeventfd_clash(other, p))
			return -EEXIST;
	r = iobus_register_locked(vm, p->bus, p->addr, p->len, &p->dev);
	if (!r)
		list_add_tail(&p->node, &vm->ioeventfds);
	return r;
}

static int ioeventfd_deassign_locked(struct vm *vm, const struct ioeventfd *key)
{
	struct ioeventfd *p;

	list_for_each_entry (p, &vm->ioeventfds, node)
		if (ioeventfd_same(p, key))
			return iobus_unregister_locked(vm, p->bus, &p->dev);
	return -ENOENT;
}

/*
 * KVM_IOEVENTFD. -EINVAL: flags, length, overflow, datamatch without a length; -EBADF / -EINVAL:
 * not an eventfd; -EEXIST: a write would match an older one too; -ENOENT; -ENOSPC; -ENOMEM.
 */
int ioeventfd_ioctl(struct vm *vm, const struct kvm_ioeventfd *args)
{
	bool deassign = args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	struct ioeventfd *p;
	int r = ioeventfd_check(args);

	if (r)
		return r;
	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	p->dev.ops = &ioeventfd_ops;
	p->bus = args->flags & KVM_IOEVENTFD_FLAG_PIO ? IOBUS_PIO : IOBUS_MMIO;
	p->addr = args->addr;
	p->len = args->len;
	p->match = args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH;
	p->value = args->datamatch;
	p->eventfd = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(p->eventfd)) {
		r = PTR_ERR(p->eventfd);
		kfree(p);
		return r;
	}

	mutex_lock(&vm->slots_lock);
	r = deassign ? ioeventfd_deassign_locked(vm, p) : ioeventfd_assign_locked(vm, p);
	mutex_unlock(&vm->slots_lock);

	if (deassign || r) { /* p was only the key, or nobody wanted it */
		eventfd_ctx_put(p->eventfd);
		kfree(p);
	}
	return r;
}
