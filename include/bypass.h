/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * irqbypass: a device's interrupt that goes to a vCPU without software in between. An irqfd is the
 * consumer, the driver that signals its eventfd (VFIO) the producer, and the eventfd the token by
 * which the kernel's irqbypass manager finds that they belong together. Whether there is a way past
 * software is the architecture's business: arch.h. Left out: irqfds that resample, whose interrupts
 * software has to end anyway.
 */
#ifndef APICVISOR_BYPASS_H
#define APICVISOR_BYPASS_H

#include <linux/eventfd.h>
#include <linux/list.h>
#include <vm.h>

#ifdef HAVE_IRQ_BYPASS
#include <linux/irqbypass.h>

/* Of one irqfd. Under vm->bypass_lock, but for what bypass_offer() sets for good. */
struct bypass {
	struct irq_bypass_consumer consumer; /* ->token NULL: not offered */
	struct vm *vm;
	u32 gsi;
	struct irq_bypass_producer *producer; /* NULL: none */
	struct list_head node;                /* with a producer: in vm->bypasses */
	int target;                           /* arch_post_target() in force; -1: by the irqfd */
};

void bypass_init(struct vm *vm);
/* No irqfd is left. Sleeps. */
void bypass_release(struct vm *vm);

/*
 * From now on a producer with the token @eventfd may have @gsi's interrupts bypass the irqfd. @b is
 * zeroed. That it does not come to that is no error. Sleeps; takes vm->bypass_lock.
 */
void bypass_offer(struct bypass *b, struct vm *vm, u32 gsi, struct eventfd_ctx *eventfd);
/* On return the device's interrupt comes by its host handler, for good. As above. */
void bypass_withdraw(struct bypass *b);

/* The routing table was replaced. Sleeps; takes vm->bypass_lock. */
void bypass_routing_changed(struct vm *vm);
/* So was what a message's destination means: the same, a bit later. Any context. */
void bypass_targets_moved(struct vm *vm);

#else /* the kernel has no irqbypass, or one that we don't know */

struct bypass {
};

static inline void bypass_init(struct vm *vm)
{
}

static inline void bypass_release(struct vm *vm)
{
}

static inline void bypass_offer(struct bypass *b, struct vm *vm, u32 gsi,
				struct eventfd_ctx *eventfd)
{
}

static inline void bypass_withdraw(struct bypass *b)
{
}

static inline void bypass_routing_changed(struct vm *vm)
{
}

static inline void bypass_targets_moved(struct vm *vm)
{
}

#endif

#endif
