// SPDX-License-Identifier: GPL-2.0-only
/*
 * The GSI routing table: built once by a counting sort over the GSIs, then only read, so a look-up
 * is two array accesses. Leaves out delivery (irqchip.c) and the table's replacement.
 * Callers: the routing ioctl (build), irqchip.c (look-up).
 */
#include <irqchip/msg.h>
#include <irqchip/route.h>

#define PIC_PINS 8

size_t route_size(u32 n)
{
	return sizeof(struct irq_routing) + (size_t)n * sizeof(struct irq_route);
}

static int parse_pin(struct irq_route *row, const struct kvm_irq_routing_irqchip *pin)
{
	u32 pins;

	switch (pin->irqchip) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pins = PIC_PINS;
		break;
	case KVM_IRQCHIP_IOAPIC:
		pins = IOAPIC_NR_PINS;
		break;
	default:
		return -EINVAL;
	}
	if (pin->pin >= pins)
		return -EINVAL;
	row->chip = pin->irqchip;
	row->pin = pin->pin;
	return 0;
}

static int parse_msi(struct irq_route *row, const struct kvm_irq_routing_msi *msi, u32 flags)
{
	return msg_from_msi((u64)msi->address_hi << 32 | msi->address_lo, msi->data,
			    flags & ROUTE_X2APIC_FORMAT, &row->msi);
}

static int parse_row(struct irq_route *row, const struct kvm_irq_routing_entry *entry, u32 flags)
{
	if (entry->flags)
		return -EINVAL;
	row->gsi = entry->gsi;
	row->type = (u8)entry->type;
	switch (entry->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		return flags & ROUTE_NO_PINS ? -EINVAL : parse_pin(row, &entry->u.irqchip);
	case KVM_IRQ_ROUTING_MSI:
		return parse_msi(row, &entry->u.msi, flags);
	default:
		return -EINVAL;
	}
}

/* May @row join the @n rows that its GSI already has? Only as a pin of one more chip. */
static bool row_fits(const struct irq_route *rows, u32 n, const struct irq_route *row)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (rows[i].type != IRQ_ROUTE_PIN || row->type != IRQ_ROUTE_PIN ||
		    rows[i].chip == row->chip)
			return false;
	return true;
}

/* first[g] becomes the number of rows of all GSIs below g. Checks the range of each GSI. */
static int count_rows(struct irq_routing *mem, const struct kvm_irq_routing_entry *entries, u32 n)
{
	u32 i, gsi, sum = 0;

	memset(mem->first, 0, sizeof(mem->first));
	for (i = 0; i < n; i++) {
		if (entries[i].gsi >= IRQCHIP_MAX_GSI)
			return -EINVAL;
		mem->first[entries[i].gsi]++;
	}
	for (gsi = 0; gsi <= IRQCHIP_MAX_GSI; gsi++) {
		u32 here = mem->first[gsi];

		mem->first[gsi] = (u16)sum;
		sum += here;
	}
	return 0;
}

int route_build(struct irq_routing *mem, size_t size, const struct kvm_irq_routing_entry *entries,
		u32 n, u32 flags)
{
	u32 i;

	if (n > ROUTE_MAX_ROWS || size < route_size(n) || count_rows(mem, entries, n))
		return -EINVAL;

	memset(mem->gsi_of_pin, 0xff, sizeof(mem->gsi_of_pin));
	for (i = 0; i < n; i++)
		mem->rows[i].type = 0; /* free */

	for (i = 0; i < n; i++) {
		struct irq_route row = { 0 };
		struct irq_route *rows;
		u32 used = 0;

		if (parse_row(&row, &entries[i], flags))
			return -EINVAL;
		rows = &mem->rows[mem->first[row.gsi]];
		while (rows[used].type) /* ends: this entry was counted, so a place is free */
			used++;
		if (!row_fits(rows, used, &row))
			return -EINVAL;
		rows[used] = row;
		if (row.type == IRQ_ROUTE_PIN) {
			u16 *back = &mem->gsi_of_pin[row.chip][row.pin];

			*back = min_t(u16, *back, row.gsi);
		}
	}
	return 0;
}

u32 route_default(struct kvm_irq_routing_entry *entries, u32 max)
{
	u32 pin, n = 0;

	for (pin = 0; pin < IOAPIC_NR_PINS + 2 * PIC_PINS; pin++) {
		bool ioapic = pin < IOAPIC_NR_PINS;
		u32 gsi = ioapic ? pin : pin - IOAPIC_NR_PINS;
		struct kvm_irq_routing_entry entry = {
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
		};

		if (ioapic) {
			entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
			entry.u.irqchip.pin = gsi;
		} else {
			entry.u.irqchip.irqchip =
				gsi < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
			entry.u.irqchip.pin = gsi % PIC_PINS;
		}
		if (n < max)
			entries[n] = entry;
		n++;
	}
	return n;
}

int route_pin_gsi(const struct irq_routing *table, u32 chip, u32 pin)
{
	u16 gsi;

	if (!table || chip >= KVM_NR_IRQCHIPS || pin >= IOAPIC_NR_PINS)
		return -1;
	gsi = table->gsi_of_pin[chip][pin];
	return gsi == ROUTE_NO_GSI ? -1 : gsi;
}
