// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_LAPIC and KVM_SET_LAPIC: the register page as an image, in the layout of the xAPIC page.
 *
 * The image comes from userspace and is hostile: each register takes only bits that it could have
 * got by guest writes, and what follows from other state (ID, version, PPR, x2APIC LDR) is computed
 * anew. Source: KVM API document, "KVM_GET_LAPIC", "KVM_CAP_X2APIC_API".
 */
#include <irqchip/vlapic.h>

static u32 image_word(const struct kvm_lapic_state *image, u32 offset)
{
	u32 word;

	memcpy(&word, image->regs + offset, sizeof(word));
	return word;
}

static void set_image_word(struct kvm_lapic_state *image, u32 offset, u32 word)
{
	memcpy(image->regs + offset, &word, sizeof(word));
}

void vlapic_get_state(struct vlapic *apic, bool x2apic_format, u64 now_ns,
		      struct kvm_lapic_state *image)
{
	u32 offset, count;

	static_assert(sizeof(image->regs) == LAPIC_NR_REGS * 16,
		      "the image is the used part of the page");

	vlapic_fold(apic);
	vlapic_update_ppr(apic);
	for (offset = 0; offset < sizeof(image->regs); offset += 4)
		set_image_word(image, offset, vlapic_reg(apic, offset));

	/* Write-only, but a processor that runs the LAPIC leaves what was written in the page. */
	set_image_word(image, LAPIC_EOI, 0);
	set_image_word(image, LAPIC_SELF_IPI, 0);
	set_image_word(image, LAPIC_ESR_LATCH, READ_ONCE(apic->esr_latch));
	count = vlapic_timer_count(apic, now_ns);
	set_image_word(image, LAPIC_TMCCT, count);
	set_image_word(image, LAPIC_TIMER_STOPPED, !vlapic_timer_running(apic));
	if (vlapic_x2apic(apic) && !x2apic_format)
		set_image_word(image, LAPIC_ID, FIELD_PREP(LAPIC_ID_XAPIC, apic->id & 0xff));
}

/* What register @offset may hold of @word; false: the register is not restored from the image. */
static bool sanitize(const struct vlapic *apic, u32 offset, u32 *word)
{
	switch (offset) {
	case LAPIC_ICR_LO:
		*word &= ~LAPIC_ICR_BUSY; /* QUIRK(icr_readback) */
		return true;
	case LAPIC_ICR_HI: /* holds 32 bits in x2APIC mode, which may be switched on later */
		return true;
	case LAPIC_DFR:
		*word |= ~LAPIC_DFR_MODEL;
		return true;
	case LAPIC_ESR:
		*word &= LAPIC_ESR_ALL;
		return true;
	case LAPIC_ISR0:
	case LAPIC_TMR0:
		*word &= 0xffff0000u; /* vectors 0 .. 15 don't exist */
		return true;
	case LAPIC_IRR0:
		/* They don't here, but read back as set; no PPR lets class 0 through. */
		return true;
	case LAPIC_LVT_CMCI:
		if (!apic->has_cmci)
			return false;
		break;
	case LAPIC_SVR:
		if (!apic->has_directed_eoi)
			*word &= ~LAPIC_SVR_NO_BROADCAST;
		break;
	case LAPIC_LDR: /* in ->xapic_ldr */
		return false;
	default:
		break;
	}
	if (offset > LAPIC_ISR0 && offset <= LAPIC_IRR7)
		return true;
	*word &= lapic_reg_table[offset >> 4].writable;
	return lapic_reg_table[offset >> 4].writable != 0 && offset != LAPIC_SELF_IPI;
}

int vlapic_set_state(struct vlapic *apic, bool x2apic_format, u64 now_ns,
		     const struct kvm_lapic_state *image)
{
	u32 offset, word;

	/* Without the format, 8 bits can't say enough to contradict; the ID is read-only anyway. */
	if (vlapic_x2apic(apic) && x2apic_format && image_word(image, LAPIC_ID) != apic->id)
		return -EINVAL;

	/* No timer callback may look at half-written timer registers. */
	vlapic_timer_pause(apic);
	for (offset = 0; offset < sizeof(image->regs); offset += 0x10) {
		word = image_word(image, offset);
		if (sanitize(apic, offset, &word))
			vlapic_set_reg(apic, offset, word);
	}
	WRITE_ONCE(apic->esr_latch, image_word(image, LAPIC_ESR_LATCH) & LAPIC_ESR_ALL);
	apic->xapic_ldr = image_word(image, LAPIC_LDR) & LAPIC_LDR_XAPIC;
	vlapic_update_id(apic);
	vlapic_resync(apic);
	vlapic_timer_restore(apic, image_word(image, LAPIC_TMCCT),
			     image_word(image, LAPIC_TIMER_STOPPED) & 1, now_ns);
	return 0;
}
