// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupt messages: from what software wrote (MSI, ICR) to struct irq_msg, and from struct
 * irq_msg to the LAPICs it names. Nothing here has state of its own. Redirection entries become
 * messages in vioapic.c, where their layout is known.
 */
#include <irqchip/msg.h>
#include <irqchip/vlapic.h>

int msg_from_msi(u64 address, u32 data, bool x2apic_format, struct irq_msg *msg)
{
	u32 high = x2apic_format ? FIELD_GET(MSI_ADDR_HI_DEST, address) : 0;

	if (x2apic_format && (address & MSI_ADDR_HI_ZERO))
		return -EINVAL;
	*msg = (struct irq_msg){
		.dest = high << 8 | FIELD_GET(MSI_ADDR_DEST, (u32)address),
		.vector = FIELD_GET(MSI_DATA_VECTOR, data),
		.delivery = FIELD_GET(MSI_DATA_DELIVERY, data),
		.logical = address & MSI_ADDR_LOGICAL,
		.level = data & MSI_DATA_LEVEL,
		/* QUIRK(msi_asserts): bit 14 is not looked at. test_msg: msi_decode */
		.assert = true,
		.redir_hint = address & MSI_ADDR_REDIR,
		.x2apic_dest = high != 0,
		.plain = msg_msi_is_plain(address, data),
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
 * device or an xAPIC mean everyone in xAPIC mode. QUIRK(x2apic_broadcast): LAPICs in x2APIC mode
 * hear a device's, as with KVM, unless userspace disables that; never an ICR's. test_msg:
 * x2apic_broadcast_quirk
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
	 * QUIRK(high_ids_in_xapic): IDs above 255 can be addressed even in xAPIC mode, where the ID
	 * register can't show them: the BSP must be able to start such a vCPU, which comes out of
	 * reset in xAPIC mode. test_msg: high_ids_can_be_started_in_xapic_mode
	 */
	return msg->dest == apic->id;
}

/* --- enumeration --- */

void msg_targets_begin(struct msg_targets *it, struct irqchip *chip, const struct irq_msg *msg)
{
	u32 cluster = msg->dest >> 16;

	*it = (struct msg_targets){ .chip = chip, .msg = msg, .phase = MSG_SCAN };
	if (msg->dest == MSG_BROADCAST_32 || (msg->dest == MSG_BROADCAST_8 && !msg->x2apic_dest))
		return;
	if (msg_names_id(msg)) {
		it->phase = MSG_BY_ID;
	} else if (msg->logical && cluster < IRQCHIP_MAX_ID / 16) {
		it->phase = MSG_CLUSTER;
		it->bits = msg->dest & 0xffff;
	}
}

/* --- the map of xAPIC logical IDs --- */

static void claim(u16 *slot, u32 index, bool alone)
{
	*slot = *slot || !alone ? IRQCHIP_MAP_ASK : (u16)(index + 1);
}

static void add_to_map(struct irq_xapic_map *map, const struct vlapic *apic)
{
	u32 id = FIELD_GET(LAPIC_LDR_XAPIC, vlapic_reg(apic, LAPIC_LDR));
	u32 dfr = vlapic_reg(apic, LAPIC_DFR);
	u32 bits = dfr == LAPIC_DFR_FLAT ? id : id & 0xf;
	u16 *slots = dfr == LAPIC_DFR_FLAT ? map->flat : map->cluster[id >> 4];
	bool alone = hweight32(bits) == 1;

	if (dfr != LAPIC_DFR_FLAT && dfr != LAPIC_DFR_CLUSTER)
		return; /* matches nothing */
	for (; bits; bits &= bits - 1)
		claim(&slots[__ffs(bits)], apic->index, alone);
}

/*
 * Each update reads all logical IDs under the lock, after its own LAPIC's change: so the last one
 * sees all changes. A slot that stays the same is rewritten with the same value, which a sender
 * does not notice; one that changes races with the guest's own change of the ID.
 */
void msg_update_map(struct irqchip *chip, const struct vlapic *apic)
{
	u32 *word = &chip->in_xapic_mode[apic->index / 32];
	u32 bit = 1u << apic->index % 32;
	struct irq_xapic_map map = { 0 };
	const struct vlapic *other;
	unsigned long flags;
	u32 i, j;

	irq_lock(&chip->map_lock, flags);
	WRITE_ONCE(*word,
		   vlapic_hw_enabled(apic) && !vlapic_x2apic(apic) ? *word | bit : *word & ~bit);
	irqchip_for_each_lapic (chip, i, other)
		if (vlapic_hw_enabled(other) && !vlapic_x2apic(other))
			add_to_map(&map, other);
	for (i = 0; i < ARRAY_SIZE(map.flat); i++)
		WRITE_ONCE(chip->xapic_map.flat[i], map.flat[i]);
	for (i = 0; i < ARRAY_SIZE(map.cluster); i++)
		for (j = 0; j < ARRAY_SIZE(map.cluster[0]); j++)
			WRITE_ONCE(chip->xapic_map.cluster[i][j], map.cluster[i][j]);
	irq_unlock(&chip->map_lock, flags);
}

static const u16 *cluster_slots(const struct msg_targets *it)
{
	return it->chip->xapic_map.cluster[it->msg->dest >> 4 & 0xf];
}

static bool must_ask(const u16 *slots, u32 bits)
{
	for (; bits; bits &= bits - 1)
		if (READ_ONCE(slots[__ffs(bits)]) == IRQCHIP_MAP_ASK)
			return true;
	return false;
}

/* LAPICs in xAPIC mode, for an 8-bit logical destination: it may name flat IDs and a cluster's. */
static void begin_xapic(struct msg_targets *it)
{
	u32 dest = it->msg->dest;

	it->phase = MSG_FLAT;
	it->bits = dest;
	if (must_ask(it->chip->xapic_map.flat, dest) || must_ask(cluster_slots(it), dest & 0xf)) {
		it->phase = MSG_XAPIC;
		it->bits = 0;
	}
}

static struct vlapic *next_in_slots(struct msg_targets *it, const u16 *slots)
{
	while (it->bits) {
		u16 index = READ_ONCE(slots[__ffs(it->bits)]);

		it->bits &= it->bits - 1;
		if (index && index != IRQCHIP_MAP_ASK)
			return smp_load_acquire(&it->chip->lapic[index - 1]);
	}
	return NULL;
}

/* --- the next candidate --- */

/* Members of the x2APIC cluster; NULL at its end. */
static struct vlapic *next_in_cluster(struct msg_targets *it)
{
	u32 first = (it->msg->dest >> 16) * 16;

	while (it->bits) {
		u32 bit = __ffs(it->bits);
		struct vlapic *apic = msg_lapic_by_id(it->chip, first + bit);

		it->bits &= it->bits - 1;
		if (apic && vlapic_x2apic(apic)) /* those in xAPIC mode have their turn later */
			return apic;
	}
	return NULL;
}

static struct vlapic *next_in_xapic_mode(struct msg_targets *it)
{
	u32 words = (smp_load_acquire(&it->chip->nr_lapics) + 31) / 32;
	u32 index;

	while (!it->bits && it->next < words)
		it->bits = READ_ONCE(it->chip->in_xapic_mode[it->next++]);
	if (!it->bits)
		return NULL;
	index = (it->next - 1) * 32 + __ffs(it->bits);
	it->bits &= it->bits - 1;
	return smp_load_acquire(&it->chip->lapic[index]);
}

static struct vlapic *next_of_all(struct msg_targets *it)
{
	struct vlapic *apic = NULL;

	while (!apic && it->next < smp_load_acquire(&it->chip->nr_lapics))
		apic = smp_load_acquire(&it->chip->lapic[it->next++]);
	return apic;
}

/* The next LAPIC that could be meant, NULL: none. */
static struct vlapic *next_candidate(struct msg_targets *it)
{
	struct vlapic *apic = NULL;

	switch (it->phase) {
	case MSG_BY_ID:
		it->phase = MSG_DONE;
		return msg_lapic_by_id(it->chip, it->msg->dest);
	case MSG_CLUSTER:
		apic = next_in_cluster(it);
		if (apic)
			return apic;
		if (it->msg->dest > 0xff) {
			it->phase = MSG_DONE;
			return NULL;
		}
		begin_xapic(it);
		return next_candidate(it);
	case MSG_FLAT:
		apic = next_in_slots(it, it->chip->xapic_map.flat);
		if (apic)
			return apic;
		it->phase = MSG_XCLUSTER;
		it->bits = it->msg->dest & 0xf;
		fallthrough;
	case MSG_XCLUSTER:
		return next_in_slots(it, cluster_slots(it));
	case MSG_XAPIC:
		return next_in_xapic_mode(it);
	case MSG_SCAN:
		return next_of_all(it);
	default:
		return NULL;
	}
}

struct vlapic *msg_targets_next(struct msg_targets *it)
{
	struct vlapic *apic;

	do {
		apic = next_candidate(it);
	} while (apic && !msg_matches(it->msg, apic, !it->chip->no_x2apic_bcast));
	return apic;
}

/* --- lowest priority --- */

static struct vlapic *next_enabled(struct msg_targets *it)
{
	struct vlapic *apic;

	do {
		apic = msg_targets_next(it);
	} while (apic && !vlapic_sw_enabled(apic));
	return apic;
}

static struct vlapic *msg_arbitrate_by_hash(struct irqchip *chip, const struct irq_msg *msg)
{
	struct vlapic *apic, *last = NULL;
	struct msg_targets it;
	u32 candidates = 0, nth;

	msg_targets_begin(&it, chip, msg);
	while (next_enabled(&it))
		candidates++;
	if (!candidates)
		return NULL;

	nth = msg->vector % candidates;
	msg_targets_begin(&it, chip, msg);
	while ((apic = next_enabled(&it))) {
		last = apic;
		if (nth-- == 0)
			break;
	}
	return last; /* even if the set of candidates shrank between the two passes */
}

struct vlapic *msg_arbitrate(struct irqchip *chip, const struct irq_msg *msg)
{
	struct vlapic *apic, *best = NULL;
	struct msg_targets it;

	if (chip->vector_hashing)
		return msg_arbitrate_by_hash(chip, msg);

	msg_targets_begin(&it, chip, msg);
	while ((apic = next_enabled(&it))) {
		/* The difference is signed, so that the order survives a counter's wrap. */
		if (!best || (s32)(READ_ONCE(apic->arb_prio) - READ_ONCE(best->arb_prio)) < 0)
			best = apic;
	}
	if (best)
		WRITE_ONCE(best->arb_prio, READ_ONCE(best->arb_prio) + 1);
	return best;
}
