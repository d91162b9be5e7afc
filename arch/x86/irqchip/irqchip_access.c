// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ways into the interrupt controllers that have an address: MSIs, LAPIC page and MSRs, ports,
 * the IOAPIC's window, save and restore. Each finds its device, makes the access, and hands the
 * effects to the bus (irqchip.c).
 */
#include <irqchip/msg.h>

#include "bus.h"

/* --- MSIs --- */

static noinline int send_other_msi(struct irqchip *chip, u64 address, u32 data)
{
	struct irq_msg msg;
	int r = msg_from_msi(address, data, chip->x2apic_format, &msg);

	return r ? r : max(bus_deliver_msi(chip, &msg, false), 0);
}

int irqchip_msi(struct irqchip *chip, u64 address, u32 data)
{
	int r = -1;

	if (likely(msg_msi_is_plain(address, data)))
		r = bus_send_edge(chip, FIELD_GET(MSI_ADDR_DEST, (u32)address),
				  FIELD_GET(MSI_DATA_VECTOR, data), IRQ_PATH_MSI);
	return likely(r >= 0) ? r : send_other_msi(chip, address, data);
}

/* --- the LAPIC --- */

/* The time if the LAPIC register at @offset cares about it. */
static u64 register_now(struct irqchip *chip, u32 offset)
{
	u32 i = offset >> 4;

	return i < LAPIC_NR_REGS && (lapic_reg_table[i].access & LAPIC_CLOCK) ? bus_now(chip) : 0;
}

/*
 * The IPI as bus_send_edge() takes it. Does what vlapic_write() and irqchip_deliver() would do
 * (test_messages: direct_ipis), also without an effect. False: it is another one, and nothing has
 * been done.
 */
static bool send_directly(struct irqchip *chip, struct vlapic *from, u32 lo, u32 hi)
{
	const u32 plain = LAPIC_ICR_VECTOR | LAPIC_ICR_BUSY | LAPIC_ICR_ASSERT | LAPIC_ICR_LEVEL;
	u32 dest = vlapic_x2apic(from) ? hi : FIELD_GET(LAPIC_ICR_DEST, hi);
	u8 vector = FIELD_GET(LAPIC_ICR_VECTOR, lo);

	if ((lo & ~plain) || bus_send_edge(chip, dest, vector, IRQ_PATH_IPI) < 0)
		return false;
	/* The sender's own: nobody reads them before this vCPU goes on. */
	vlapic_set_reg(from, LAPIC_ICR_LO, lo & ~LAPIC_ICR_BUSY);
	vlapic_set_reg(from, LAPIC_ICR_HI, hi);
	return true;
}

void irqchip_lapic_read(struct irqchip *chip, u32 vcpu, u32 offset, u32 len, void *data)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);
	struct vlapic_effect fx = { 0 };

	if (!apic) {
		memset(data, 0, len);
		return;
	}
	vlapic_mmio_read(apic, offset, len, data, register_now(chip, offset), &fx);
	bus_lapic_effect(chip, apic, &fx);
}

void irqchip_lapic_write(struct irqchip *chip, u32 vcpu, u32 offset, u32 len, const void *data)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);
	struct vlapic_effect fx = { 0 };

	if (!apic)
		return;
	vlapic_mmio_write(apic, offset, len, data, register_now(chip, offset), &fx);
	bus_lapic_effect(chip, apic, &fx);
}

void irqchip_hw_wrote(struct irqchip *chip, u32 vcpu, u32 offset)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);
	struct vlapic_effect fx = { 0 };

	if (!apic)
		return;
	if (offset == LAPIC_ICR_LO && send_directly(chip, apic, vlapic_reg(apic, LAPIC_ICR_LO),
						    vlapic_reg(apic, LAPIC_ICR_HI)))
		return;
	vlapic_hw_wrote(apic, offset, register_now(chip, offset), &fx);
	bus_lapic_effect(chip, apic, &fx);
}

void irqchip_hw_eoi(struct irqchip *chip, u32 vcpu, u8 vector)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);
	struct vlapic_effect fx = { 0 };

	if (!apic)
		return;
	vlapic_hw_eoi(apic, vector, &fx);
	bus_lapic_effect(chip, apic, &fx);
}

static void write_tsc_deadline(struct irqchip *chip, struct vlapic *apic, u64 value,
			       bool host_initiated)
{
	u64 now, tsc;

	if (host_initiated) {
		vlapic_timer_restore_tsc(apic, value);
		bus_notify(chip, apic, NOTIFY_KICK); /* it takes effect when the vCPU looks */
	} else {
		tsc = chip->host->guest_tsc(chip->ctx, apic->index, &now);
		if (vlapic_timer_write_tsc(apic, value, now, tsc))
			bus_notify(chip, apic, vlapic_timer_interrupt(apic));
	}
	bus_arm_lapic_timer(chip, apic);
}

int irqchip_msr_read(struct irqchip *chip, u32 vcpu, u32 msr, u64 *value)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);
	struct vlapic_effect fx = { 0 };
	int r = 0;

	if (!apic)
		return 1;
	if (msr == MSR_LAPIC_BASE)
		*value = apic->base_msr;
	else if (msr == MSR_LAPIC_TSC_DEADLINE)
		*value = vlapic_timer_tsc_deadline(apic);
	else if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
		r = vlapic_msr_read(apic, msr, value, register_now(chip, x2apic_offset(msr)), &fx);
	else
		r = 1;
	bus_lapic_effect(chip, apic, &fx);
	return r;
}

static int write_msr(struct irqchip *chip, struct vlapic *apic, u32 msr, u64 value,
		     bool host_initiated)
{
	struct vlapic_effect fx = { 0 };
	int r = 0;

	if (msr == MSR_LAPIC_BASE)
		r = vlapic_set_base(apic, value, host_initiated, &fx);
	else if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
		r = vlapic_msr_write(apic, msr, value, register_now(chip, x2apic_offset(msr)), &fx);
	else
		r = 1;
	bus_lapic_effect(chip, apic, &fx);
	return r;
}

int irqchip_msr_write(struct irqchip *chip, u32 vcpu, u32 msr, u64 value, bool host_initiated)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);

	if (!apic)
		return 1;
	if (msr == MSR_X2APIC_ICR && vlapic_x2apic(apic) &&
	    send_directly(chip, apic, (u32)value, (u32)(value >> 32)))
		return 0;
	if (msr != MSR_LAPIC_TSC_DEADLINE)
		return write_msr(chip, apic, msr, value, host_initiated);
	write_tsc_deadline(chip, apic, value, host_initiated);
	return 0;
}

void irqchip_tsc_moved(struct irqchip *chip, u32 vcpu)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);

	if (!apic)
		return;
	vlapic_timer_tsc_moved(apic);
	if (!(READ_ONCE(apic->look) & VLAPIC_LOOK_TIMER))
		return;
	bus_arm_lapic_timer(chip, apic);
	bus_notify(chip, apic, NOTIFY_KICK);
}

u64 irqchip_get_cr8(struct irqchip *chip, u32 vcpu)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);

	return apic ? (vlapic_reg(apic, LAPIC_TPR) & LAPIC_PRIO_CLASS) >> 4 : 0;
}

void irqchip_set_cr8(struct irqchip *chip, u32 vcpu, u64 cr8)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);
	struct vlapic_effect fx = { 0 };

	if (!apic)
		return;
	vlapic_write(apic, LAPIC_TPR, (u32)(cr8 & 0xf) << 4, 0, &fx);
	bus_lapic_effect(chip, apic, &fx);
}

/* --- devices behind ports and addresses --- */

static bool owns_port(struct irqchip *chip, u16 port)
{
	return (chip->pic && vpic_owns_port(port)) ||
	       (chip->pit && vpit_owns_port(chip->pit, port));
}

static u8 read_port(struct irqchip *chip, u16 port)
{
	struct vpic_effect fx = { 0 };
	u8 value;

	if (!owns_port(chip, port))
		return 0xff; /* the tail of a wide access hangs in the air */
	if (!vpic_owns_port(port))
		return vpit_pio_read(chip->pit, port, bus_now(chip));
	value = vpic_pio_read(chip->pic, port, &fx);
	bus_pic_effect(chip, &fx);
	return value;
}

static void write_port(struct irqchip *chip, u16 port, u8 value)
{
	struct vpic_effect fx = { 0 };

	if (!owns_port(chip, port))
		return;
	if (vpic_owns_port(port)) {
		vpic_pio_write(chip->pic, port, value, &fx);
		bus_pic_effect(chip, &fx);
	} else if (vpit_pio_write(chip->pit, port, value, bus_now(chip))) {
		bus_arm_pit_timer(chip);
	}
}

/* Not inlined: most accesses are to ports of others, and shall lose no time here. */
static noinline bool read_ports(struct irqchip *chip, u16 port, u32 len, u8 *bytes)
{
	u32 i;

	for (i = 0; i < len; i++)
		bytes[i] = read_port(chip, (u16)(port + i));
	return true;
}

static noinline bool write_ports(struct irqchip *chip, u16 port, u32 len, const u8 *bytes)
{
	u32 i;

	for (i = 0; i < len; i++)
		write_port(chip, (u16)(port + i), bytes[i]);
	return true;
}

bool irqchip_pio_read(struct irqchip *chip, u16 port, u32 len, void *data)
{
	return owns_port(chip, port) && read_ports(chip, port, len, data);
}

bool irqchip_pio_write(struct irqchip *chip, u16 port, u32 len, const void *data)
{
	return owns_port(chip, port) && write_ports(chip, port, len, data);
}

static bool in_ioapic(struct irqchip *chip, u64 gpa)
{
	return chip->ioapic && gpa - READ_ONCE(chip->ioapic->base) < IOAPIC_WINDOW_SIZE;
}

bool irqchip_owns_address(struct irqchip *chip, u64 gpa)
{
	return in_ioapic(chip, gpa);
}

bool irqchip_mmio_read(struct irqchip *chip, u64 gpa, u32 len, void *data)
{
	if (!in_ioapic(chip, gpa))
		return false;
	vioapic_mmio_read(chip->ioapic, (u32)(gpa - chip->ioapic->base), len, data);
	return true;
}

bool irqchip_mmio_write(struct irqchip *chip, u64 gpa, u32 len, const void *data)
{
	struct vioapic_effect fx = { 0 };

	if (!in_ioapic(chip, gpa))
		return false;
	vioapic_mmio_write(chip->ioapic, (u32)(gpa - chip->ioapic->base), len, data, &fx);
	bus_ioapic_effect(chip, &fx);
	return true;
}

/* --- save and restore --- */

int irqchip_get_state(struct irqchip *chip, struct kvm_irqchip *image)
{
	memset(&image->chip, 0, sizeof(image->chip));
	image->pad = 0;
	switch (image->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		if (!chip->pic)
			return -ENXIO;
		vpic_get_state(chip->pic, image->chip_id, &image->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		if (!chip->ioapic)
			return -ENXIO;
		vioapic_get_state(chip->ioapic, &image->chip.ioapic);
		return 0;
	default:
		return -EINVAL;
	}
}

int irqchip_set_state(struct irqchip *chip, const struct kvm_irqchip *image)
{
	struct vioapic_effect ioapic_fx = { 0 };
	struct vpic_effect pic_fx = { 0 };
	int r;

	switch (image->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		if (!chip->pic)
			return -ENXIO;
		r = vpic_set_state(chip->pic, image->chip_id, &image->chip.pic, &pic_fx);
		bus_pic_effect(chip, &pic_fx);
		return r;
	case KVM_IRQCHIP_IOAPIC:
		if (!chip->ioapic)
			return -ENXIO;
		vioapic_set_state(chip->ioapic, &image->chip.ioapic, &ioapic_fx);
		bus_ioapic_effect(chip, &ioapic_fx);
		return 0;
	default:
		return -EINVAL;
	}
}

int irqchip_get_pit(struct irqchip *chip, struct kvm_pit_state2 *image)
{
	if (!chip->pit)
		return -ENXIO;
	memset(image, 0, sizeof(*image));
	vpit_get_state(chip->pit, image);
	return 0;
}

int irqchip_set_pit(struct irqchip *chip, const struct kvm_pit_state2 *image)
{
	int r;

	if (!chip->pit)
		return -ENXIO;
	r = vpit_set_state(chip->pit, image, bus_now(chip));
	bus_arm_pit_timer(chip);
	return r;
}

int irqchip_get_lapic(struct irqchip *chip, u32 vcpu, struct kvm_lapic_state *image)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);
	u64 now = bus_now(chip);

	if (!apic)
		return -ENXIO;
	/* An expiry goes into IRR before IRR goes into the image. */
	bus_notify(chip, apic, vlapic_timer_poll(apic, now));
	/* What was posted goes into the image and so into IRR: the vCPU won't find it posted. */
	if (vlapic_has_requests(apic))
		bus_notify(chip, apic, NOTIFY_KICK);
	vlapic_get_state(apic, chip->x2apic_format, now, image);
	return 0;
}

int irqchip_set_lapic(struct irqchip *chip, u32 vcpu, const struct kvm_lapic_state *image)
{
	struct vlapic *apic = bus_lapic(chip, vcpu);
	u64 now = bus_now(chip);
	int r;

	if (!apic)
		return -ENXIO;
	r = vlapic_set_state(apic, chip->x2apic_format, now, image);
	if (r)
		return r;
	bus_update_map(chip, apic);
	bus_notify(chip, apic, vlapic_timer_poll(apic, now));
	bus_arm_lapic_timer(chip, apic);
	bus_notify(chip, apic,
		   NOTIFY_KICK); /* interrupts, and a TSC deadline that waits for a look */
	return 0;
}
