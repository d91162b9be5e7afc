// SPDX-License-Identifier: GPL-2.0-only
/*
 * The LAPIC in the processor's hands: which ends of interrupt it has to report, and what it did to
 * the register page while the guest ran. Both work on the same page, so nothing else changes hands;
 * what the host has to tell the processor is in ->stale. Called by the owner, with the guest
 * stopped. Source: SDM "APIC Virtualization and Virtual Interrupts".
 */
#include <irqchip/vlapic.h>

/*
 * A sender sets ->eoi_wanted, then reads ->eoi_seen; we write ->eoi_seen, then read ->eoi_wanted.
 * Full barriers on both sides, so either the sender sees that the vector is not seen any more and
 * stages its request, or we see that it is wanted and keep it in the map.
 */
void vlapic_eoi_exits(struct vlapic *apic, u32 map[8])
{
	u32 word;

	for (word = 0; word < 8; word++) {
		map[word] = READ_ONCE(apic->eoi_wanted[word]);
		WRITE_ONCE(apic->eoi_seen[word], map[word]);
	}
	smp_mb();
	for (word = 0; word < 8; word++) {
		map[word] |= READ_ONCE(apic->eoi_wanted[word]);
		WRITE_ONCE(apic->eoi_seen[word], map[word]);
	}
	apic->stale &= ~(u32)VLAPIC_STALE_EOIS;
}

void vlapic_see_all_eois(struct vlapic *apic)
{
	u32 word;

	for (word = 0; word < 8; word++)
		WRITE_ONCE(apic->eoi_seen[word], ~0u);
}

void vlapic_hw_eoi(struct vlapic *apic, u8 vector, struct vlapic_effect *fx)
{
	/* An edge by now: the next one shall end without an exit. */
	if (!(READ_ONCE(apic->eoi_wanted[vector / 32]) & 1u << vector % 32))
		apic->stale |= VLAPIC_STALE_EOIS;
	vlapic_report_eoi(apic, vector, fx);
}

void vlapic_hw_wrote(struct vlapic *apic, u32 offset, u64 now_ns, struct vlapic_effect *fx)
{
	if (offset == LAPIC_ID)
		vlapic_update_id(apic); /* read-only, whatever the processor has stored */
	else
		vlapic_write(apic, offset, vlapic_reg(apic, offset), now_ns, fx);
}
