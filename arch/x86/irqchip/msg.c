// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupt messages: from what software wrote (MSI, ICR) to struct irq_msg, and from struct irq_msg
 * to the LAPICs it names. Nothing here has state of its own. Redirection entries become messages
 * in vioapic.c, where their layout is known.
 */
#include <irqchip/msg.h>
#include <irqchip/vlapic.h>

/* SDM "Message Address Register Format" and "Message Data Register Format". */
#define MSI_ADDR_DEST     0x000ff000u
#define MSI_ADDR_REDIR    0x00000008u
#define MSI_ADDR_LOGICAL  0x00000004u
#define MSI_ADDR_HI_DEST  0xffffff0000000000ULL /* 31:8 of the destination */
#define MSI_ADDR_HI_ZERO  0x000000ff00000000ULL
#define MSI_DATA_VECTOR   0x000000ffu
#define MSI_DATA_DELIVERY 0x00000700u
#define MSI_DATA_ASSERT   0x00004000u
#define MSI_DATA_LEVEL    0x00008000u

int msg_from_msi(u64 address, u32 data, bool x2apic_format, struct irq_msg *msg)
{
	u32 high = FIELD_GET(MSI_ADDR_HI_DEST, address);

	if ((address & MSI_ADDR_HI_ZERO) || (high && !x2apic_format))
		return -EINVAL;
	*msg = (struct irq_msg){
		.dest = high << 8 | FIELD_GET(MSI_ADDR_DEST, (u32)address),
		.vector = FIELD_GET(MSI_DATA_VECTOR, data),
		.delivery = FIELD_GET(MSI_DATA_DELIVERY, data),
		.logical = address & MSI_ADDR_LOGICAL,
		.level = data & MSI_DATA_LEVEL,
		/* An edge message has no level; only a level-triggered one can be a de-assertion. */
		.assert = !(data & MSI_DATA_LEVEL) || (data & MSI_DATA_ASSERT),
		.redir_hint = address & MSI_ADDR_REDIR,
		.x2apic_dest = high != 0,
		.path = IRQ_PATH_MSI,
	};
	return 0;
}

void msg_from_icr(u32 lo, u32 hi, bool x2apic, struct irq_msg *msg)
{
	u8 delivery = FIELD_GET(LAPIC_ICR_DELIVERY, lo);

	/*
	 * SDM "Interrupt Command Register (ICR)", level and trigger mode: they mean something for
	 * the INIT level de-assert only; everything else goes out as an asserted edge.
	 */
	*msg = (struct irq_msg){
		.dest = x2apic ? hi : FIELD_GET(LAPIC_ICR_DEST, hi),
		.vector = FIELD_GET(LAPIC_ICR_VECTOR, lo),
		.delivery = delivery,
		.shorthand = FIELD_GET(LAPIC_ICR_SHORTHAND, lo),
		.logical = lo & LAPIC_ICR_LOGICAL,
		.level = false,
		.assert = delivery != IRQ_DM_INIT || !(lo & LAPIC_ICR_LEVEL) ||
			  (lo & LAPIC_ICR_ASSERT),
		.x2apic_dest = x2apic,
		.path = IRQ_PATH_IPI,
	};
}

/*
 * SDM "Broadcast/Self Delivery Mode": all ones, in either destination mode. 8 bits of ones from a
 * device or an xAPIC mean everyone in xAPIC mode; LAPICs in x2APIC mode hear it by KVM's quirk
 * only, and never from an ICR.
 */
static bool msg_is_broadcast(const struct irq_msg *msg, const struct vlapic *apic, bool bcast_quirk)
{
	if (msg->dest == MSG_BROADCAST_32)
		return true;
	if (msg->dest != MSG_BROADCAST_8 || msg->x2apic_dest)
		return false;
	return !vlapic_x2apic(apic) || (bcast_quirk && msg->path != IRQ_PATH_IPI);
}

/* SDM "Logical Destination Mode" and "Logical Destination Mode in x2APIC Mode". */
static bool msg_matches_logical(u32 dest, const struct vlapic *apic)
{
	u32 ldr = vlapic_reg(apic, LAPIC_LDR);
	u32 id;

	if (vlapic_x2apic(apic))
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);

	if (dest > 0xff)
		return false;
	id = FIELD_GET(LAPIC_LDR_XAPIC, ldr);
	switch (vlapic_reg(apic, LAPIC_DFR)) {
	case LAPIC_DFR_FLAT:
		return id & dest;
	case LAPIC_DFR_CLUSTER:
		return id >> 4 == dest >> 4 && (id & dest & 0xf);
	default: /* no such model */
		return false;
	}
}

bool msg_matches(const struct irq_msg *msg, const struct vlapic *apic, bool bcast_quirk)
{
	if (!vlapic_hw_enabled(apic))
		return false;
	if (msg_is_broadcast(msg, apic, bcast_quirk))
		return true;
	if (msg->logical)
		return msg_matches_logical(msg->dest, apic);
	/*
	 * IDs above 255 can be addressed even in xAPIC mode, where the ID register can't show them:
	 * the BSP must be able to start such a vCPU, which comes out of reset in xAPIC mode.
	 */
	return msg->dest == apic->id;
}

static bool msg_can_take(struct irqchip *chip, const struct irq_msg *msg, const struct vlapic *apic)
{
	return vlapic_sw_enabled(apic) && msg_matches(msg, apic, !chip->no_x2apic_bcast);
}

static struct vlapic *msg_arbitrate_by_hash(struct irqchip *chip, const struct irq_msg *msg)
{
	u32 i, candidates = 0, nth;
	struct vlapic *apic, *last = NULL;

	irqchip_for_each_lapic (chip, i, apic)
		candidates += msg_can_take(chip, msg, apic);
	if (!candidates)
		return NULL;

	nth = msg->vector % candidates;
	irqchip_for_each_lapic (chip, i, apic) {
		if (!msg_can_take(chip, msg, apic))
			continue;
		last = apic;
		if (nth-- == 0)
			break;
	}
	return last; /* even if the set of candidates shrank between the two passes */
}

struct vlapic *msg_arbitrate(struct irqchip *chip, const struct irq_msg *msg)
{
	struct vlapic *apic, *best = NULL;
	u32 i;

	if (chip->vector_hashing)
		return msg_arbitrate_by_hash(chip, msg);

	irqchip_for_each_lapic (chip, i, apic) {
		/* The difference is signed, so that the order survives a counter's wrap. */
		if (msg_can_take(chip, msg, apic) &&
		    (!best || (s32)(READ_ONCE(apic->arb_prio) - READ_ONCE(best->arb_prio)) < 0))
			best = apic;
	}
	if (best)
		WRITE_ONCE(best->arb_prio, best->arb_prio + 1);
	return best;
}
