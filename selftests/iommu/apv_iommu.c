// SPDX-License-Identifier: GPL-2.0-only
/*
 * An IOMMU that posts interrupts, played in software for a machine that has none, and devices
 * behind it that have nothing but an interrupt. To apicvisor it looks like the real thing: an
 * irqbypass producer with an interrupt whose chip has irq_set_vcpu_affinity(). What it does when a
 * device raises its interrupt is what the VT-d specification has under "Interrupt-Posting Hardware
 * Operation". Left out: urgent interrupts (URG), more than one interrupt per device, and whatever
 * an IOMMU does with memory. For tests alone: whoever can open the node can raise interrupts.
 */
#include <linux/delay.h>
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqbypass.h>
#include <linux/irqdomain.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/irq_remapping.h>
#include <asm/irq_vectors.h>
#include <irqchip/posted.h>
#include <compat.h>
#include <compat_x86.h>
#include "apv_iommu.h"

#define MAX_DEVICES 16

struct device_state {
	struct mutex lock; /* ioctls: one at a time */
	u32 hwirq;
	int irq;
	struct eventfd_ctx *eventfd; /* attached; NULL: not */
	struct irq_bypass_producer producer;

	/* the interrupt-remapping table's entry, and what came of it */
	raw_spinlock_t entry_lock;
	struct posted_desc *target; /* NULL: remapped */
	u8 vector;
	struct iommu_counters counters;

	struct page *ring_page;
	u64 *ring; /* in there, or NULL */

	/* raising from a timer's interrupt */
	struct hrtimer timer;
	u32 left, interval_ns;
	struct completion done;
};

static struct irq_domain *domain;
static DECLARE_BITMAP(hwirqs, MAX_DEVICES);
static DEFINE_MUTEX(hwirqs_lock);

/* --- the hardware --- */

static int cpu_of_ndst(u32 ndst)
{
	u32 id = x2apic_enabled() ? ndst : FIELD_GET(0xff00u, ndst);
	int cpu;

	for_each_online_cpu (cpu)
		if (per_cpu(x86_cpu_to_apicid, cpu) == id)
			return cpu;
	return -1;
}

/* ->entry_lock held, interrupts off. */
static void notify(struct device_state *d, u32 vector, u32 ndst)
{
	int cpu = cpu_of_ndst(ndst);

	if (vector == POSTED_INTR_WAKEUP_VECTOR)
		d->counters.woke++;
	else
		d->counters.notified++;
	if (cpu < 0)
		d->counters.nobody++;
#ifdef HAVE_POSTED_VECTORS
	else
		compat_send_ipi(cpu, vector);
#endif
}

/*
 * The IOMMU does it in one access to the cache line; here it is two, and others may come in
 * between, as if they had been a bit earlier.
 */
static void post(struct device_state *d)
{
	struct posted_desc *pd = d->target;
	bool was = test_and_set_bit(d->vector, (unsigned long *)pd->pir);
	u64 old = READ_ONCE(pd->control_ndst);

	d->counters.posted++;
	do {
		if (old & POSTED_ON) {
			was ? d->counters.merged++ : d->counters.outstanding++;
			return;
		}
		if (old & POSTED_SN) {
			d->counters.suppressed++;
			return;
		}
	} while (!try_cmpxchg64(&pd->control_ndst, &old, old | POSTED_ON));
	notify(d, FIELD_GET(POSTED_NV, (u32)old), old >> 32);
}

/* Any context but NMIs. */
static void raise(struct device_state *d)
{
	unsigned long flags;
	bool remapped;

	raw_spin_lock_irqsave(&d->entry_lock, flags);
	if (d->ring)
		WRITE_ONCE(*d->ring, *d->ring + 1);
	d->counters.raised++;
	remapped = !d->target;
	if (remapped)
		d->counters.remapped++;
	else
		post(d);
	raw_spin_unlock_irqrestore(&d->entry_lock, flags);
	if (remapped)
		generic_handle_irq_safe(d->irq);
}

/* On return the old target is not written to any more. Interrupts off, the interrupt's lock held. */
static int set_vcpu_affinity(struct irq_data *data, void *info)
{
	struct device_state *d = irq_data_get_irq_chip_data(data);
	struct vcpu_data *to = info;
	unsigned long flags;

	if (to && (!IS_ALIGNED(to->pi_desc_addr, sizeof(struct posted_desc)) || to->vector > 0xff))
		return -EINVAL;
	raw_spin_lock_irqsave(&d->entry_lock, flags);
	d->target = to ? phys_to_virt(to->pi_desc_addr) : NULL;
	d->vector = to ? to->vector : 0;
	d->counters.retargeted++;
	raw_spin_unlock_irqrestore(&d->entry_lock, flags);
	return 0;
}

static struct irq_chip chip = {
	.name = "apv-iommu",
	.irq_set_vcpu_affinity = set_vcpu_affinity,
};

static int map_irq(struct irq_domain *dom, unsigned int irq, irq_hw_number_t hwirq)
{
	irq_set_chip_and_handler(irq, &chip, handle_simple_irq);
	return 0;
}

static const struct irq_domain_ops domain_ops = { .map = map_irq };

/* --- the driver --- */

static irqreturn_t handle_irq(int irq, void *arg)
{
	struct device_state *d = arg;
	struct eventfd_ctx *eventfd = READ_ONCE(d->eventfd);

	if (eventfd)
		compat_eventfd_signal(eventfd);
	return IRQ_HANDLED;
}

static int attach(struct device_state *d, int fd)
{
	struct eventfd_ctx *eventfd;
	int r;

	if (d->eventfd)
		return -EBUSY;
	eventfd = eventfd_ctx_fdget(fd);
	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	WRITE_ONCE(d->eventfd, eventfd);
	d->producer = (struct irq_bypass_producer){ .token = eventfd, .irq = d->irq };
	r = irq_bypass_register_producer(&d->producer);
	if (r) {
		WRITE_ONCE(d->eventfd, NULL);
		synchronize_irq(d->irq);
		eventfd_ctx_put(eventfd);
	}
	return r;
}

static int detach(struct device_state *d)
{
	struct eventfd_ctx *eventfd = d->eventfd;

	if (!eventfd)
		return -EINVAL;
	irq_bypass_unregister_producer(&d->producer);
	WRITE_ONCE(d->eventfd, NULL);
	synchronize_irq(d->irq); /* also of timers that call the handler on another CPU */
	eventfd_ctx_put(eventfd);
	return 0;
}

static void drop_ring(struct device_state *d)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&d->entry_lock, flags);
	d->ring = NULL;
	raw_spin_unlock_irqrestore(&d->entry_lock, flags);
	if (d->ring_page)
		unpin_user_page(d->ring_page);
	d->ring_page = NULL;
}

static int set_ring(struct device_state *d, unsigned long address)
{
	unsigned long flags;
	struct page *page;
	int r;

	if (!IS_ALIGNED(address, sizeof(u64)))
		return -EINVAL;
	drop_ring(d);
	r = pin_user_pages_fast(address, 1, FOLL_WRITE | FOLL_LONGTERM, &page);
	if (r != 1)
		return r < 0 ? r : -EFAULT;
	d->ring_page = page;
	raw_spin_lock_irqsave(&d->entry_lock, flags);
	d->ring = page_address(page) + offset_in_page(address);
	raw_spin_unlock_irqrestore(&d->entry_lock, flags);
	return 0;
}

/* --- raising --- */

static enum hrtimer_restart timer_fired(struct hrtimer *timer)
{
	struct device_state *d = container_of(timer, struct device_state, timer);

	raise(d);
	if (!--d->left) {
		complete(&d->done);
		return HRTIMER_NORESTART;
	}
	hrtimer_forward_now(timer, ns_to_ktime(max(d->interval_ns, 1u)));
	return HRTIMER_RESTART;
}

static int raise_by_timer(struct device_state *d, const struct iommu_raise *args)
{
	d->left = args->count;
	d->interval_ns = args->interval_ns;
	reinit_completion(&d->done);
	hrtimer_start(&d->timer, ns_to_ktime(args->interval_ns), HRTIMER_MODE_REL_PINNED_HARD);
	if (!wait_for_completion_killable(&d->done))
		return 0;
	hrtimer_cancel(&d->timer);
	return -EINTR;
}

static int raise_by_hand(struct device_state *d, const struct iommu_raise *args)
{
	u32 i;

	for (i = 0; i < args->count; i++) {
		if (i && args->interval_ns)
			ndelay(args->interval_ns);
		if (fatal_signal_pending(current))
			return -EINTR;
		raise(d);
		cond_resched();
	}
	return 0;
}

static int raise_many(struct device_state *d, const void __user *user)
{
	struct iommu_raise args;

	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;
	if (!args.count || args.count > IOMMU_MAX_COUNT || args.reserved ||
	    args.interval_ns > IOMMU_MAX_INTERVAL)
		return -EINVAL;
	if (args.context == IOMMU_HARDIRQ)
		return raise_by_timer(d, &args);
	if (args.context != IOMMU_THREAD || args.interval_ns > NSEC_PER_MSEC)
		return -EINVAL;
	return raise_by_hand(d, &args);
}

static int report(struct device_state *d, void __user *user)
{
	struct iommu_counters c;
	unsigned long flags;

	raw_spin_lock_irqsave(&d->entry_lock, flags);
	c = d->counters;
	c.posting = !!d->target;
	c.vector = d->vector;
	raw_spin_unlock_irqrestore(&d->entry_lock, flags);
	return copy_to_user(user, &c, sizeof(c)) ? -EFAULT : 0;
}

/* --- the node --- */

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct device_state *d = file->private_data;
	long r;

	/* Not under the lock: a test reads while another thread of its raises. */
	if (cmd == IOMMU_COUNTERS)
		return report(d, (void __user *)arg);
	if (mutex_lock_killable(&d->lock))
		return -EINTR;
	switch (cmd) {
	case IOMMU_ATTACH:
		r = attach(d, (int)arg);
		break;
	case IOMMU_DETACH:
		r = detach(d);
		break;
	case IOMMU_RING:
		r = set_ring(d, arg);
		break;
	case IOMMU_RAISE:
		r = raise_many(d, (const void __user *)arg);
		break;
	default:
		r = -ENOTTY;
	}
	mutex_unlock(&d->lock);
	return r;
}

static int take_hwirq(struct device_state *d)
{
	mutex_lock(&hwirqs_lock);
	d->hwirq = find_first_zero_bit(hwirqs, MAX_DEVICES);
	if (d->hwirq < MAX_DEVICES)
		set_bit(d->hwirq, hwirqs);
	mutex_unlock(&hwirqs_lock);
	return d->hwirq < MAX_DEVICES ? 0 : -ENOSPC;
}

static int connect_irq(struct device_state *d)
{
	int r;

	d->irq = irq_create_mapping(domain, d->hwirq);
	if (!d->irq)
		return -ENOMEM;
	irq_set_chip_data(d->irq, d);
	r = request_irq(d->irq, handle_irq, IRQF_NO_THREAD, "apv-iommu", d);
	if (r)
		irq_dispose_mapping(d->irq);
	return r;
}

static int device_open(struct inode *inode, struct file *file)
{
	struct device_state *d = kzalloc(sizeof(*d), GFP_KERNEL);
	int r;

	if (!d)
		return -ENOMEM;
	mutex_init(&d->lock);
	raw_spin_lock_init(&d->entry_lock);
	init_completion(&d->done);
	compat_hrtimer_setup(&d->timer, timer_fired, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	r = take_hwirq(d);
	if (r)
		goto fail;
	r = connect_irq(d);
	if (r)
		goto fail_hwirq;
	file->private_data = d; /* misc_open() has put itself there */
	return 0;

fail_hwirq:
	clear_bit(d->hwirq, hwirqs);
fail:
	kfree(d);
	return r;
}

static int device_release(struct inode *inode, struct file *file)
{
	struct device_state *d = file->private_data;

	if (d->eventfd)
		detach(d);
	drop_ring(d);
	free_irq(d->irq, d);
	irq_dispose_mapping(d->irq);
	clear_bit(d->hwirq, hwirqs);
	kfree(d);
	return 0;
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.open = device_open,
	.release = device_release,
	.unlocked_ioctl = device_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice node = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = APV_IOMMU_NODE,
	.mode = 0600,
	.fops = &device_fops,
};

static int __init iommu_init(void)
{
	struct fwnode_handle *fwnode = irq_domain_alloc_named_fwnode("apv-iommu");
	int r;

	if (!fwnode)
		return -ENOMEM;
	domain = irq_domain_create_linear(fwnode, MAX_DEVICES, &domain_ops, NULL);
	r = domain ? misc_register(&node) : -ENOMEM;
	if (!r)
		return 0;
	if (domain)
		irq_domain_remove(domain);
	irq_domain_free_fwnode(fwnode);
	return r;
}

static void __exit iommu_exit(void)
{
	struct fwnode_handle *fwnode = domain->fwnode;

	misc_deregister(&node);
	irq_domain_remove(domain);
	irq_domain_free_fwnode(fwnode);
}

module_init(iommu_init);
module_exit(iommu_exit);
MODULE_DESCRIPTION("An IOMMU that posts interrupts, for apicvisor's tests");
MODULE_LICENSE("GPL");
