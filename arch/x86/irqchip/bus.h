/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between irqchip.c and irqchip_access.c only: the effects of a device call, to be carried out
 * after it, with no device lock held. Contexts are those of the callers in irqchip.h.
 */
#ifndef IRQCHIP_BUS_H
#define IRQCHIP_BUS_H

#include <irqchip/irqchip.h>
#include <irqchip/msg.h>
#include <irqchip/vioapic.h>
#include <irqchip/vlapic.h>
#include <irqchip/vpic.h>
#include <irqchip/vpit.h>

static inline u64 bus_now(struct irqchip *chip)
{
	return chip->host->now_ns(chip->ctx);
}

/* NULL for an index without LAPIC: callers treat that as an empty socket (invariant L5). */
static inline struct vlapic *bus_lapic(struct irqchip *chip, u32 vcpu)
{
	return vcpu < IRQCHIP_MAX_VCPUS ? smp_load_acquire(&chip->lapic[vcpu]) : NULL;
}

static inline void bus_notify(struct irqchip *chip, const struct vlapic *apic, enum irq_notify how)
{
	if (how != NOTIFY_NONE)
		chip->host->notify(chip->ctx, apic->index, how);
}

/*
 * What most messages are, without a list of targets and a message in between: fixed, an edge that
 * nobody waits to see completed, for the LAPIC of ID @dest. 1 accepted, 0 coalesced; -1: there is
 * more to it, nothing has been done, and irqchip_deliver() must. test_messages: direct_*
 */
static inline int bus_send_edge(struct irqchip *chip, u32 dest, u8 vector, enum irq_path path)
{
	struct vlapic_accepted result;
	struct vlapic *to;

	/* Vectors that are errors; the destination that in xAPIC mode is everybody. */
	if (vector < LAPIC_FIRST_VECTOR || dest == MSG_BROADCAST_8)
		return -1;
	to = msg_lapic_by_id(chip, dest);
	if (!to || !vlapic_sw_enabled(to))
		return -1;
	result = vlapic_accept_edge(to, vector, path);
	bus_notify(chip, to, result.how);
	return result.fresh;
}

/* Any MSI, by the way that all messages take. @from_pin: by a route that is reserved for a pin. */
int bus_deliver_msi(struct irqchip *chip, const struct irq_msg *msg, bool from_pin);

/* What messages name @apic by has changed. */
void bus_update_map(struct irqchip *chip, const struct vlapic *apic);
void bus_lapic_effect(struct irqchip *chip, struct vlapic *apic, const struct vlapic_effect *fx);
void bus_pic_effect(struct irqchip *chip, const struct vpic_effect *fx);
void bus_ioapic_effect(struct irqchip *chip, const struct vioapic_effect *fx);

/* Make the host's timer follow the device's deadline, whoever else is doing the same. */
void bus_arm_lapic_timer(struct irqchip *chip, struct vlapic *apic);
void bus_arm_pit_timer(struct irqchip *chip);

#endif
