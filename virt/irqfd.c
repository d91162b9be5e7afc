// SPDX-License-Identifier: GPL-2.0-only
/*
 * irqfd: a signal on an eventfd raises a GSI, without a thread in between. With a resample eventfd
 * the GSI is level-triggered: it stays up until the guest acknowledges it; then the line goes down
 * and the resample eventfd asks the device whether it still wants it up.
 *
 * Life of an irqfd. Assign and deassign are serialized by vm->irq_lock. The irqfd is active while
 * it is on vm->irqfds; whoever takes it off (deassign, the eventfd's last close, the VM's end)
 * queues its shutdown work, so that happens once. The work detaches it from the eventfd's wait
 * queue, after which no callback runs, and frees it. The callback runs with the eventfd's lock held
 * and interrupts off; it looks the GSI's route up afresh each time, so there is no copy of a route
 * that a change of the routing table could race with.
 */
#include <linux/file.h>
#include <linux/kernel.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <irqchip/route.h>
#include <arch.h>
#include <bypass.h>
#include <compat.h>

/* All level irqfds of one GSI: they share the line, and are asked together. */
struct resampler {
	u32 gsi;
	struct list_head irqfds; /* written under irqfd_lock, read under RCU */
	struct list_head node;   /* vm->resamplers, likewise */
};

struct irqfd {
	struct vm *vm;
	u32 gsi;
	struct eventfd_ctx *eventfd;
	struct list_head node; /* vm->irqfds; empty: shutting down. Under irqfd_lock */
	wait_queue_entry_t wait;
	struct work_struct shutdown;
	struct bypass bypass; /* a device may do without us */
	atomic64_t signals;   /* for debugfs */

	struct eventfd_ctx *resamplefd; /* NULL: edge-triggered */
	struct resampler *resampler;
	struct list_head resampler_node;
};

struct irqfd_poll {
	poll_table table;
	struct irqfd *irqfd;
};

static struct workqueue_struct *shutdown_wq;

static void irqfd_raise(struct irqfd *irqfd)
{
	atomic64_inc(&irqfd->signals);
	if (irqfd->resampler)
		arch_set_gsi(irqfd->vm, irqfd->gsi, IRQ_SOURCE_RESAMPLE, true);
	else
		arch_pulse_gsi(irqfd->vm, irqfd->gsi);
}

/* --- resampling --- */

/*
 * Lower @gsi, then ask every device behind it. A device that raised the line between the guest's
 * acknowledge and our lowering it is asked as well, so its interrupt is not lost.
 */
static void resample_gsi(struct vm *vm, u32 gsi)
{
	struct resampler *r;
	struct irqfd *irqfd;

	arch_set_gsi(vm, gsi, IRQ_SOURCE_RESAMPLE, false);
	rcu_read_lock();
	list_for_each_entry_rcu (r, &vm->resamplers, node) {
		if (r->gsi != gsi)
			continue;
		list_for_each_entry_rcu (irqfd, &r->irqfds, resampler_node)
			compat_eventfd_signal(irqfd->resamplefd);
	}
	rcu_read_unlock();
}

/* Does @gsi lead to @pin of @chip (several may)? Under rcu_read_lock(). */
static bool gsi_has_pin(struct vm *vm, u32 gsi, u32 chip, u32 pin)
{
	const struct irq_routing *table = smp_load_acquire(&vm->chip.routing);
	const struct irq_route *row;
	u32 n;

	for (row = route_lookup(table, gsi, &n); n; row++, n--)
		if (row->type == IRQ_ROUTE_PIN && row->chip == chip && row->pin == pin)
			return true;
	return false;
}

void irqfd_acked(struct vm *vm, u32 chip, u32 pin)
{
	struct resampler *r;

	rcu_read_lock();
	list_for_each_entry_rcu (r, &vm->resamplers, node)
		if (gsi_has_pin(vm, r->gsi, chip, pin))
			resample_gsi(vm, r->gsi);
	rcu_read_unlock();
}

/* A line raised by the old route may never be acknowledged: have the devices raise it again. */
void irqfd_routing_changed_locked(struct vm *vm)
{
	struct resampler *r;

	lockdep_assert_held(&vm->irq_lock);
	bypass_routing_changed(vm);
	rcu_read_lock();
	list_for_each_entry_rcu (r, &vm->resamplers, node)
		resample_gsi(vm, r->gsi);
	rcu_read_unlock();
}

static struct resampler *resampler_find_locked(struct vm *vm, u32 gsi)
{
	struct resampler *r;

	list_for_each_entry (r, &vm->resamplers, node)
		if (r->gsi == gsi)
			return r;
	return NULL;
}

static int resampler_attach(struct irqfd *irqfd)
{
	struct vm *vm = irqfd->vm;
	struct resampler *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	struct resampler *r;

	if (!fresh)
		return -ENOMEM;
	fresh->gsi = irqfd->gsi;
	INIT_LIST_HEAD(&fresh->irqfds);

	spin_lock_irq(&vm->irqfd_lock);
	r = resampler_find_locked(vm, irqfd->gsi);
	if (!r) {
		r = fresh;
		fresh = NULL;
		list_add_rcu(&r->node, &vm->resamplers);
	}
	list_add_rcu(&irqfd->resampler_node, &r->irqfds);
	irqfd->resampler = r;
	spin_unlock_irq(&vm->irqfd_lock);
	kfree(fresh);
	/* For good: an acknowledge that nobody waits for any more costs one look-up. */
	arch_watch_gsi(vm, irqfd->gsi);
	return 0;
}

static void resampler_detach(struct irqfd *irqfd)
{
	struct vm *vm = irqfd->vm;
	struct resampler *r = irqfd->resampler;
	bool last;

	spin_lock_irq(&vm->irqfd_lock);
	list_del_rcu(&irqfd->resampler_node);
	last = list_empty(&r->irqfds);
	if (last)
		list_del_rcu(&r->node);
	spin_unlock_irq(&vm->irqfd_lock);

	synchronize_rcu(); /* readers of both lists: neither of the two is signalled any more */
	/* What this device had raised must not stay up; the others of the GSI raise theirs again. */
	resample_gsi(vm, irqfd->gsi);
	if (last)
		kfree(r);
}

/* --- the irqfd itself --- */

/* No callback has run or will run any more when the wait-queue entry is off. May sleep. */
static void irqfd_free(struct irqfd *irqfd)
{
	if (irqfd->resampler)
		resampler_detach(irqfd);
	if (irqfd->resamplefd)
		eventfd_ctx_put(irqfd->resamplefd);
	eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

static void irqfd_shutdown(struct work_struct *work)
{
	struct irqfd *irqfd = container_of(work, struct irqfd, shutdown);
	u64 count;

	bypass_withdraw(&irqfd->bypass);
	eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	irqfd_free(irqfd);
}

static void irqfd_deactivate_locked(struct irqfd *irqfd)
{
	lockdep_assert_held(&irqfd->vm->irqfd_lock);
	if (list_empty(&irqfd->node))
		return; /* somebody was faster */
	list_del_init(&irqfd->node);
	queue_work(shutdown_wq, &irqfd->shutdown);
}

/* The eventfd was signalled or closed. Its lock is held, interrupts are off. */
static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	u64 count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		irqfd_raise(irqfd);
	}
	if (events & EPOLLHUP) {
		unsigned long flags;

		spin_lock_irqsave(&irqfd->vm->irqfd_lock, flags);
		irqfd_deactivate_locked(irqfd);
		spin_unlock_irqrestore(&irqfd->vm->irqfd_lock, flags);
	}
	return 0;
}

static void irqfd_queue(struct file *file, wait_queue_head_t *wqh, poll_table *table)
{
	struct irqfd_poll *poll = container_of(table, struct irqfd_poll, table);

	add_wait_queue(wqh, &poll->irqfd->wait);
}

static struct irqfd *irqfd_alloc(struct vm *vm, const struct kvm_irqfd *args, struct file *file)
{
	struct irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	struct eventfd_ctx *resamplefd = NULL;
	void *err;

	if (!irqfd)
		return ERR_PTR(-ENOMEM);
	irqfd->vm = vm;
	irqfd->gsi = args->gsi;
	INIT_LIST_HEAD(&irqfd->node);
	INIT_WORK(&irqfd->shutdown, irqfd_shutdown);
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wakeup);
	irqfd->eventfd = eventfd_ctx_fileget(file);
	if (IS_ERR(irqfd->eventfd)) {
		err = irqfd->eventfd;
		goto fail;
	}
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		resamplefd = eventfd_ctx_fdget(args->resamplefd);
		if (IS_ERR(resamplefd)) {
			err = resamplefd;
			goto fail_eventfd;
		}
	}
	irqfd->resamplefd = resamplefd;
	return irqfd;

fail_eventfd:
	eventfd_ctx_put(irqfd->eventfd);
fail:
	kfree(irqfd);
	return err;
}

/* Put it on vm->irqfds, unless its eventfd raises another GSI already. */
static int irqfd_activate(struct irqfd *irqfd)
{
	struct vm *vm = irqfd->vm;
	struct irqfd *other;
	int r = 0;

	spin_lock_irq(&vm->irqfd_lock);
	list_for_each_entry (other, &vm->irqfds, node)
		if (other->eventfd == irqfd->eventfd)
			r = -EBUSY;
	if (!r)
		list_add_tail(&irqfd->node, &vm->irqfds);
	spin_unlock_irq(&vm->irqfd_lock);
	return r;
}

static int irqfd_assign_locked(struct vm *vm, const struct kvm_irqfd *args, struct file *file)
{
	struct irqfd *irqfd = irqfd_alloc(vm, args, file);
	struct irqfd_poll poll;
	int r;

	if (IS_ERR(irqfd))
		return PTR_ERR(irqfd);
	r = irqfd->resamplefd ? resampler_attach(irqfd) : 0;
	if (!r)
		r = irqfd_activate(irqfd);
	if (r) {
		irqfd_free(irqfd);
		return r;
	}

	/*
	 * From here on others may shut it down, but none does before we are done: deassign waits
	 * for irq_lock, the VM is in use, and the caller's reference to @file keeps EPOLLHUP away.
	 */
	init_poll_funcptr(&poll.table, irqfd_queue);
	poll.irqfd = irqfd;
	if (vfs_poll(file, &poll.table) & EPOLLIN)
		irqfd_raise(irqfd); /* signalled before we listened */
	if (!irqfd->resampler)
		bypass_offer(&irqfd->bypass, vm, irqfd->gsi, irqfd->eventfd);
	return 0;
}

static int irqfd_assign(struct vm *vm, const struct kvm_irqfd *args)
{
	enum irqchip_mode mode = READ_ONCE(vm->irqchip_mode);
	struct file *file;
	int r;

	if (mode == IRQCHIP_NONE)
		return -EINVAL;
	/* The acknowledge of a level interrupt is only seen by an IOAPIC or PIC of our own. */
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE && mode != IRQCHIP_KERNEL)
		return -EINVAL;
	file = fget(args->fd);
	if (!file)
		return -EBADF;
	mutex_lock(&vm->irq_lock);
	r = irqfd_assign_locked(vm, args, file);
	mutex_unlock(&vm->irq_lock);
	fput(file);
	return r;
}

/* No match is no error. On return the eventfd raises the GSI no more. */
static int irqfd_deassign(struct vm *vm, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(args->fd);
	struct irqfd *irqfd, *next;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	mutex_lock(&vm->irq_lock);
	spin_lock_irq(&vm->irqfd_lock);
	list_for_each_entry_safe (irqfd, next, &vm->irqfds, node)
		if (irqfd->eventfd == eventfd && irqfd->gsi == args->gsi)
			irqfd_deactivate_locked(irqfd);
	spin_unlock_irq(&vm->irqfd_lock);
	mutex_unlock(&vm->irq_lock);
	eventfd_ctx_put(eventfd);
	flush_workqueue(shutdown_wq);
	return 0;
}

/*
 * KVM_IRQFD. -EINVAL: flags, GSI, no in-kernel irqchip (resample: no in-kernel IOAPIC), not an
 * eventfd; -EBADF; -EBUSY: the eventfd is in use by an irqfd of this VM; -ENOMEM.
 */
int irqfd_ioctl(struct vm *vm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (args->gsi >= IRQCHIP_MAX_GSI)
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfd_deassign(vm, args);
	return irqfd_assign(vm, args);
}

void irqfd_init(struct vm *vm)
{
	spin_lock_init(&vm->irqfd_lock);
	INIT_LIST_HEAD(&vm->irqfds);
	INIT_LIST_HEAD(&vm->resamplers);
	bypass_init(vm);
}

/* The VM goes: shut all down, and wait for it. Interrupts can still be delivered until then. */
void irqfd_release(struct vm *vm)
{
	struct irqfd *irqfd, *next;

	spin_lock_irq(&vm->irqfd_lock);
	list_for_each_entry_safe (irqfd, next, &vm->irqfds, node)
		irqfd_deactivate_locked(irqfd);
	spin_unlock_irq(&vm->irqfd_lock);
	/* Also those that an EPOLLHUP took off the list. */
	flush_workqueue(shutdown_wq);
	bypass_release(vm);
}

void irqfd_show(struct seq_file *m, struct vm *vm)
{
	struct irqfd *irqfd;

	spin_lock_irq(&vm->irqfd_lock);
	list_for_each_entry (irqfd, &vm->irqfds, node)
		seq_printf(m, "gsi %u %s signals %lld\n", irqfd->gsi,
			   irqfd->resampler ? "level" : "edge", atomic64_read(&irqfd->signals));
	spin_unlock_irq(&vm->irqfd_lock);
}

int irqfd_module_init(void)
{
	shutdown_wq = alloc_workqueue("apicvisor-irqfd", 0, 0);
	return shutdown_wq ? 0 : -ENOMEM;
}

void irqfd_module_exit(void)
{
	destroy_workqueue(shutdown_wq);
}
