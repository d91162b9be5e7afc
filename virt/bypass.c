// SPDX-License-Identifier: GPL-2.0-only
/*
 * The consumer's side of irqbypass: when a device's interrupt may go past its irqfd, and when not.
 * Asked anew whenever a producer comes, the routing table is replaced, or the vCPUs' LAPICs change
 * what a destination means. Without a producer, or where the answer is no, the interrupt takes
 * the long way: the device's handler in the host signals the eventfd, and irqfd.c does the rest.
 *
 * The manager calls add_producer() and del_producer() with its own mutex held, possibly from
 * bypass_offer() and bypass_withdraw(); so vm->bypass_lock is taken inside of that one and of
 * vm->irq_lock, and nothing of ours is taken inside of it.
 */
#ifdef HAVE_IRQ_BYPASS
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include <arch.h>
#include <bypass.h>

/*
 * Let the producer's interrupt go to @target (-1: to its handler). A host that can't, for want of
 * interrupt remapping, leaves it with the handler.
 */
static void retarget_locked(struct bypass *b, int target)
{
	bool posted = b->target >= 0;
	int r;

	lockdep_assert_held(&b->vm->bypass_lock);
	if (target == b->target)
		return;
	if (!posted)
		arch_posting_begins(b->vm); /* the vCPUs are ready for it first */
	r = arch_post_irq(b->vm, b->producer->irq, target);
	if (r && target >= 0) {
		target = -1;
		r = posted ? arch_post_irq(b->vm, b->producer->irq, target) : 0;
	}
	if (r)
		pr_err_ratelimited("apicvisor: interrupt %d can't be taken back from a guest: %d\n",
				   b->producer->irq, r);
	b->target = target;
	if (target < 0)
		arch_posting_ended(b->vm);
}

static int add_producer(struct irq_bypass_consumer *consumer, struct irq_bypass_producer *producer)
{
	struct bypass *b = container_of(consumer, struct bypass, consumer);
	struct vm *vm = b->vm;

	mutex_lock(&vm->bypass_lock);
	b->producer = producer;
	list_add_tail(&b->node, &vm->bypasses);
	smp_mb(); /* on the list before the LAPICs are looked at: bypass_targets_moved() */
	retarget_locked(b, arch_post_target(vm, b->gsi));
	mutex_unlock(&vm->bypass_lock);
	return 0;
}

static void del_producer(struct irq_bypass_consumer *consumer, struct irq_bypass_producer *producer)
{
	struct bypass *b = container_of(consumer, struct bypass, consumer);
	struct vm *vm = b->vm;

	mutex_lock(&vm->bypass_lock);
	retarget_locked(b, -1);
	list_del(&b->node);
	b->producer = NULL;
	mutex_unlock(&vm->bypass_lock);
}

void bypass_offer(struct bypass *b, struct vm *vm, u32 gsi, struct eventfd_ctx *eventfd)
{
	if (!arch_can_post())
		return;
	b->vm = vm;
	b->gsi = gsi;
	b->target = -1;
	b->consumer.token = eventfd;
	b->consumer.add_producer = add_producer;
	b->consumer.del_producer = del_producer;
	/* -EBUSY: an irqfd of another VM has the same eventfd. */
	if (irq_bypass_register_consumer(&b->consumer))
		b->consumer.token = NULL;
}

void bypass_withdraw(struct bypass *b)
{
	if (b->consumer.token)
		irq_bypass_unregister_consumer(&b->consumer);
}

/* Whoever changes what arch_post_target() depends on comes here afterwards: the last one is right. */
void bypass_routing_changed(struct vm *vm)
{
	struct bypass *b;

	mutex_lock(&vm->bypass_lock);
	list_for_each_entry (b, &vm->bypasses, node)
		retarget_locked(b, arch_post_target(vm, b->gsi));
	mutex_unlock(&vm->bypass_lock);
}

static void targets_moved(struct work_struct *work)
{
	bypass_routing_changed(container_of(work, struct vm, bypass_work));
}

/* An interrupt may still go where it would have gone, had it come a bit earlier. */
void bypass_targets_moved(struct vm *vm)
{
	smp_mb(); /* the change before the look at the list: pairs with add_producer() */
	if (!list_empty_careful(&vm->bypasses))
		schedule_work(&vm->bypass_work);
}

void bypass_init(struct vm *vm)
{
	mutex_init(&vm->bypass_lock);
	INIT_LIST_HEAD(&vm->bypasses);
	INIT_WORK(&vm->bypass_work, targets_moved);
}

void bypass_release(struct vm *vm)
{
	cancel_work_sync(&vm->bypass_work);
}
#endif
