/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupt messages: decoding them from what software wrote, and finding out whom they name.
 * Pure functions over immutable or atomically read state: any context, no locks.
 */
#ifndef IRQCHIP_MSG_H
#define IRQCHIP_MSG_H

#include <irqchip/irqchip.h>

#define MSG_BROADCAST_8   0xffu
#define MSG_BROADCAST_32  0xffffffffu

/* SDM "Message Address Register Format" and "Message Data Register Format". */
#define MSI_ADDR_DEST     0x000ff000u
#define MSI_ADDR_REDIR    0x00000008u
#define MSI_ADDR_LOGICAL  0x00000004u
#define MSI_ADDR_HI_DEST  0xffffff0000000000ULL /* 31:8 of the destination */
#define MSI_ADDR_HI_ZERO  0x000000ff00000000ULL
#define MSI_DATA_VECTOR   0x000000ffu
#define MSI_DATA_DELIVERY 0x00000700u
#define MSI_DATA_LEVEL    0x00008000u

/* Fixed, an edge, to an ID of 8 bits: a message that bus_send_edge() may take. */
static inline bool msg_msi_is_plain(u64 address, u32 data)
{
	return !(address & (0xffffffffULL << 32 | MSI_ADDR_REDIR | MSI_ADDR_LOGICAL)) &&
	       !(data & (MSI_DATA_DELIVERY | MSI_DATA_LEVEL));
}

/*
 * SDM "Message Address Register Format", "Message Data Register Format". Bits 63:40 of @address are
 * bits 31:8 of the destination if @x2apic_format (KVM_X2APIC_API_USE_32BIT_IDS), and bits 39:32
 * must be zero: -EINVAL otherwise. Without the format the high half is ignored.
 * Source: KVM API document, "KVM_SIGNAL_MSI", "KVM_CAP_X2APIC_API".
 */
int msg_from_msi(u64 address, u32 data, bool x2apic_format, struct irq_msg *msg);

/* SDM "Interrupt Command Register (ICR)". In xAPIC mode the destination is the top byte of @hi. */
void msg_from_icr(u32 lo, u32 hi, bool x2apic, struct irq_msg *msg);

/* Would @msg go to only one of several matching LAPICs? */
static inline bool msg_is_lowest(const struct irq_msg *msg)
{
	return msg->delivery == IRQ_DM_LOWEST || msg->redir_hint;
}

/* Does @msg, which has no shorthand, name one LAPIC by its ID, if there is such? */
static inline bool msg_names_id(const struct irq_msg *msg)
{
	return !msg->logical && msg->dest < IRQCHIP_MAX_ID &&
	       (msg->dest != MSG_BROADCAST_8 || msg->x2apic_dest);
}

/* The LAPIC of that ID in any mode, NULL: none. Any context. */
static inline struct vlapic *msg_lapic_by_id(struct irqchip *chip, u32 id)
{
	u16 index = id < IRQCHIP_MAX_ID ? smp_load_acquire(&chip->index_of_id[id]) : 0;

	return index ? smp_load_acquire(&chip->lapic[index - 1]) : NULL;
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
 * All LAPICs that @msg names, in any order: those and only those for which msg_matches(). One LAPIC
 * is found in constant time, and so is a cluster; only broadcasts, IDs from IRQCHIP_MAX_ID on and
 * logical IDs that several share ask every LAPIC. A LAPIC that changes its mode meanwhile may be
 *missed, as if the message had come earlier. Use: msg_targets_begin(&it, chip, msg); while ((apic =
 *msg_targets_next(&it)))
 */
struct msg_targets {
	struct irqchip *chip;
	const struct irq_msg *msg;
	enum {
		MSG_BY_ID,
		MSG_CLUSTER,
		MSG_FLAT,
		MSG_XCLUSTER,
		MSG_XAPIC,
		MSG_SCAN,
		MSG_DONE
	} phase;
	u32 bits; /* members not yet visited */
	u32 next; /* MSG_XAPIC: next word of ->in_xapic_mode; MSG_SCAN: next index */
};

void msg_targets_begin(struct msg_targets *it, struct irqchip *chip, const struct irq_msg *msg);
struct vlapic *msg_targets_next(struct msg_targets *it);

/*
 * LDR, DFR or mode of @apic has changed: find it by its new logical ID from now on. Any context.
 * Cost: linear in the number of LAPICs, since a slot that two have shared must find who is left.
 */
void msg_update_map(struct irqchip *chip, const struct vlapic *apic);

/*
 * The one LAPIC that takes a lowest-priority message: of those that match and are software-enabled,
 * the one that took the fewest so far, or with chip->vector_hashing the (vector mod n)th.
 * NULL: none.
 */
struct vlapic *msg_arbitrate(struct irqchip *chip, const struct irq_msg *msg);

#endif
