/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupt messages: decoding them from what software wrote, and finding out whom they name.
 * Pure functions over immutable or atomically read state: any context, no locks.
 */
#ifndef IRQCHIP_MSG_H
#define IRQCHIP_MSG_H

#include <irqchip/irqchip.h>

#define MSG_BROADCAST_8  0xffu
#define MSG_BROADCAST_32 0xffffffffu

/*
 * SDM "Message Address Register Format", "Message Data Register Format". Bits 63:40 of @address are
 * bits 31:8 of the destination if @x2apic_format (KVM_X2APIC_API_USE_32BIT_IDS); bits 39:32 must be
 * zero, and without the format the whole high half. -EINVAL otherwise.
 */
int msg_from_msi(u64 address, u32 data, bool x2apic_format, struct irq_msg *msg);

/* SDM "Interrupt Command Register (ICR)". In xAPIC mode the destination is the top byte of @hi. */
void msg_from_icr(u32 lo, u32 hi, bool x2apic, struct irq_msg *msg);

/* Would @msg go to only one of several matching LAPICs? */
static inline bool msg_is_lowest(const struct irq_msg *msg)
{
	return msg->delivery == IRQ_DM_LOWEST || msg->redir_hint;
}

/* Logical ID in x2APIC mode: SDM "Deriving Logical x2APIC ID from the Local x2APIC ID". */
static inline u32 msg_x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 0xf);
}

/*
 * SDM "Determining IPI Destination": does @msg, which has no shorthand, name @apic? @bcast_quirk:
 * an 8-bit destination of 0xff from a device reaches LAPICs in x2APIC mode too, as KVM does unless
 * KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK. A LAPIC that is disabled in IA32_APIC_BASE hears nothing.
 */
bool msg_matches(const struct irq_msg *msg, const struct vlapic *apic, bool bcast_quirk);

/*
 * The one LAPIC that takes a lowest-priority message: of those that match and are software-enabled,
 * the one that took the fewest so far, or with chip->vector_hashing the (vector mod n)th.
 * NULL: none.
 */
struct vlapic *msg_arbitrate(struct irqchip *chip, const struct irq_msg *msg);

#endif
