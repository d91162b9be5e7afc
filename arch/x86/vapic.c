// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TPR for guests that use it all the time, on processors that don't virtualize it: old Windows,
 * patched by the VMM. KVM_TPR_ACCESS_REPORTING tells the VMM which instructions do; it replaces them
 * by code that works on a doubleword in guest memory (KVM_SET_VAPIC_ADDR), which is brought up to
 * date here around each entry:
 *   byte 0  TPR, written by the guest, or by us when it has used the register itself
 *   byte 1  priority class of the highest vector in service
 *   byte 3  the highest vector requested: lowering the TPR below it needs an exit
 * Guest memory may go at any time: then there is nothing to exchange, and nothing else happens.
 */
#include <linux/uaccess.h>
#include <arch.h>
#include <backend.h>

/* --- KVM_EXIT_TPR_ACCESS --- */

/* QEMU reads the instruction at ->rip, which has been executed by then. */
void vapic_tpr_accessed(struct vcpu *vcpu, bool write)
{
	struct x86_vapic *vapic = &vcpu->arch.vapic;

	if (!vapic->reporting)
		return;
	vapic->accessed = true;
	vapic->write = write;
	vapic->rip = vcpu_reg(vcpu, REG_RIP);
}

int vapic_report(struct vcpu *vcpu)
{
	struct x86_vapic *vapic = &vcpu->arch.vapic;
	struct kvm_run *run = vcpu->run;

	if (likely(!vapic->accessed))
		return 1;
	vapic->accessed = false;
	run->exit_reason = KVM_EXIT_TPR_ACCESS;
	run->tpr_access.rip = vapic->rip;
	run->tpr_access.is_write = vapic->write;
	run->tpr_access.pad = 0;
	return 0;
}

long vapic_ioctl_reporting(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_tpr_access_ctl ctl;

	if (copy_from_user(&ctl, arg, sizeof(ctl)))
		return -EFAULT;
	if (ctl.flags)
		return -EINVAL;
	vcpu->arch.vapic.reporting = ctl.enabled;
	return 0;
}

/* --- the doubleword in guest memory --- */

static bool is_writable(struct vm *vm, gpa_t gpa)
{
	const struct memslot *slot = memslot_find(vm_slots(vm), gpa >> PAGE_SHIFT);

	return slot && !(slot->flags & KVM_MEM_READONLY);
}

long vapic_ioctl_addr(struct vcpu *vcpu, void __user *arg)
{
	struct x86_vapic *vapic = &vcpu->arch.vapic;
	struct kvm_vapic_addr addr;
	gpa_t gpa;

	if (copy_from_user(&addr, arg, sizeof(addr)))
		return -EFAULT;
	gpa = addr.vapic_addr;
	if (gpa && (gpa + sizeof(u32) < gpa || !is_writable(vcpu->vm, gpa) ||
		    !is_writable(vcpu->vm, gpa + sizeof(u32) - 1)))
		return -EINVAL;
	vapic->gpa = gpa;
	vapic->tpr = -1;
	vcpu_set_request(vcpu, REQ_APICV);
	return 0;
}

void vapic_reset(struct vcpu *vcpu)
{
	if (!vcpu->arch.vapic.gpa)
		return;
	vcpu->arch.vapic.gpa = 0;
	vcpu_set_request(vcpu, REQ_APICV);
}

static bool in_use(struct vcpu *vcpu)
{
	return vcpu->arch.vapic.gpa && vlapic_hw_enabled(&vcpu->arch.apic) &&
	       !vlapic_x2apic(&vcpu->arch.apic);
}

void vapic_before_entry(struct vcpu *vcpu)
{
	struct x86_vapic *vapic = &vcpu->arch.vapic;
	struct vlapic *apic = &vcpu->arch.apic;
	u32 tpr, isr, irr, word;

	vapic->tpr = -1;
	if (!in_use(vcpu))
		return;
	tpr = vlapic_reg(apic, LAPIC_TPR) & 0xff;
	isr = max(vlapic_highest_isr(apic), 0);
	/* No fold: what it took, backend_sync_apic() would not see. */
	irr = max(vlapic_highest_folded(apic), 0);
	word = tpr | (isr & LAPIC_PRIO_CLASS) << 8 | irr << 24;
	if (!vm_write_guest(vcpu->vm, vapic->gpa, &word, sizeof(word)))
		vapic->tpr = (int)tpr;
}

void vapic_after_exit(struct vcpu *vcpu)
{
	struct x86_vapic *vapic = &vcpu->arch.vapic;
	u32 now, tpr = 0;

	if (!in_use(vcpu) || vapic->tpr < 0)
		return;
	now = vlapic_reg(&vcpu->arch.apic, LAPIC_TPR) & 0xff;
	/* The guest has used the register: that counts, and goes to memory with the next entry. */
	if (now != (u32)vapic->tpr || vm_read_guest(vcpu->vm, vapic->gpa, &tpr, 1) || tpr == now)
		return;
	irqchip_lapic_write(&vcpu->vm->chip, vcpu->index, LAPIC_TPR, sizeof(tpr), &tpr);
	vcpu_set_request(vcpu, REQ_EVENT);
}
