/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The GSI routing table: which chip pins and MSIs a global system interrupt leads to.
 *
 * A table is built once from the rows of KVM_SET_GSI_ROUTING and never changes afterwards; a new
 * one replaces it (irqchip_set_routing()). So look-ups need no lock, only env_read_lock() for the
 * table's life. Pure data: nothing here delivers anything.
 * Source: KVM API document, "KVM_SET_GSI_ROUTING" and "KVM_CAP_X2APIC_API".
 */
#ifndef IRQCHIP_ROUTE_H
#define IRQCHIP_ROUTE_H

#include <irqchip/ioapic_regs.h>
#include <irqchip/irqchip.h>

enum irq_route_type {
	IRQ_ROUTE_PIN = KVM_IRQ_ROUTING_IRQCHIP,
	IRQ_ROUTE_MSI = KVM_IRQ_ROUTING_MSI,
};

struct irq_route {
	u32 gsi;
	u8 type; /* enum irq_route_type */
	union {
		struct {
			u32 chip; /* KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE or _IOAPIC */
			u32 pin;  /* of that chip: 0 .. 7 or 0 .. 23 */
		};
		struct irq_msg msi;
	};
};

/* As many rows as KVM takes; a GSI has at most one row per chip. */
#define ROUTE_MAX_ROWS 4096
#define ROUTE_NO_GSI   0xffff

struct irq_routing {
	u16 first[IRQCHIP_MAX_GSI + 1]; /* rows of GSI g: first[g] .. first[g + 1] - 1 */
	u16 gsi_of_pin[KVM_NR_IRQCHIPS][IOAPIC_NR_PINS]; /* the way back; ROUTE_NO_GSI */
	struct irq_route rows[];
};

/* route_build() flags; a bool x2apic_format converts to the first. */
#define ROUTE_X2APIC_FORMAT BIT(0) /* address_hi holds destination bits 31:8 */
#define ROUTE_NO_PINS       BIT(1) /* split irqchip: chip pins live in userspace */

/* Bytes that a table of @n rows takes. */
size_t route_size(u32 n);

/*
 * Fill @mem (@size bytes, at least route_size(@n)) from the ABI's rows. -EINVAL: too many rows,
 * @size too small, unknown type, any flag, GSI, chip or pin out of range, a GSI with two rows of
 * one chip or with an MSI beside another row, reserved address bits (with x2APIC format the low
 * byte of address_hi; without it address_hi is ignored, as the ABI has it), pins of a split chip.
 * @mem is undefined after an error.
 */
int route_build(struct irq_routing *mem, size_t size, const struct kvm_irq_routing_entry *entries,
		u32 n, u32 flags);

/*
 * The table that a VM has after KVM_CREATE_IRQCHIP: GSI i -> IOAPIC pin i for all pins, and PIC
 * pin i for the first 16. There is no IRQ 0 -> pin 2 override in it: VMMs whose firmware tables
 * declare one (kvmtool, QEMU, ours) route GSI 0 to pin 2 themselves.
 * Writes at most @max rows to @entries; returns the number that the table has.
 */
u32 route_default(struct kvm_irq_routing_entry *entries, u32 max);

/* The rows of @gsi, their number in *@n: NULL and 0 if there are none, or no table. */
static inline const struct irq_route *route_lookup(const struct irq_routing *table, u32 gsi, u32 *n)
{
	*n = 0;
	if (!table || gsi >= IRQCHIP_MAX_GSI)
		return NULL;
	*n = table->first[gsi + 1] - table->first[gsi];
	return *n ? &table->rows[table->first[gsi]] : NULL;
}

/* The GSI that leads to @pin of @chip, for acknowledgements; -1: none. The lowest if several do. */
int route_pin_gsi(const struct irq_routing *table, u32 chip, u32 pin);

#endif
