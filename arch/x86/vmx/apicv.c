// SPDX-License-Identifier: GPL-2.0-only
/*
 * APIC virtualization: the processor works on the LAPIC's own register page, so hardly anything has
 * to be moved when a feature comes into force or leaves it. What is in force follows from apicv.h.
 *
 * Everything is done in the vCPU's own thread: backend_update_apicv() when a reason has changed,
 * backend_sync_apic() on each entry. Senders never ask (posted.h). Which exits remain, and what
 * they mean, stands in exit.c; notification and wake-up stand in posted_intr.c.
 */
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/seq_file.h>
#include <asm/irq_vectors.h>
#include <arch.h>
#include "vmx.h"

/* --- what there is --- */

/* Named as the SDM's controls; each shows what is in use. */
static bool param[APICV_FEATURES] = { true, true, true, true, true, true };
module_param_named(tpr_shadow, param[0], bool, 0444);
MODULE_PARM_DESC(tpr_shadow, "CR8 and TPR accesses without exits (default: if available)");
module_param_named(apic_access, param[1], bool, 0444);
MODULE_PARM_DESC(apic_access, "virtualize APIC accesses: the xAPIC page (default: if available)");
module_param_named(x2apic_mode, param[2], bool, 0444);
MODULE_PARM_DESC(x2apic_mode, "virtualize x2APIC mode (default: if available)");
module_param_named(apic_register, param[3], bool, 0444);
MODULE_PARM_DESC(apic_register, "APIC-register virtualization (default: if available)");
module_param_named(virtual_interrupts, param[4], bool, 0444);
MODULE_PARM_DESC(virtual_interrupts, "virtual-interrupt delivery (default: if available)");
module_param_named(posted_interrupts, param[5], bool, 0444);
MODULE_PARM_DESC(posted_interrupts, "process posted interrupts (default: if available)");

static bool enable_apicv = true;
module_param(enable_apicv, bool, 0444);
MODULE_PARM_DESC(enable_apicv, "register virtualization, virtual and posted interrupts together");

static const char *const feature_names[APICV_FEATURES] = {
	"tpr_shadow",    "apic_access",        "x2apic_mode",
	"apic_register", "virtual_interrupts", "posted_interrupts",
};

/* What the processor has, by the control words that caps.c was allowed to take. */
static u32 __init hardware_features(void)
{
	u32 f = 0;

	if (vmx_caps.proc & PROC_TPR_SHADOW)
		f |= APICV_TPR_SHADOW;
	if (vmx_caps.proc2 & PROC2_APIC_ACCESS)
		f |= APICV_ACCESS;
	if (vmx_caps.proc2 & PROC2_X2APIC)
		f |= APICV_X2APIC;
	if (vmx_caps.proc2 & PROC2_APIC_REGISTER)
		f |= APICV_REGISTER;
	if (vmx_caps.proc2 & PROC2_VIRT_INTR)
		f |= APICV_DELIVERY;
	if ((vmx_caps.pin & PIN_POSTED_INTR) && pi_available())
		f |= APICV_POSTED;
	return apicv_consistent(f);
}

void __init apicv_caps_init(void)
{
	u32 wanted = 0, f;
	unsigned int i;

	for (i = 0; i < APICV_FEATURES; i++)
		wanted |= param[i] ? BIT(i) : 0;
	if (!enable_apicv)
		wanted &= ~(u32)(APICV_REGISTER | APICV_DELIVERY | APICV_POSTED);
	f = hardware_features();
	if (!(f & APICV_DELIVERY))
		vmx_caps.apicv_off = APICV_OFF_HARDWARE;
	else if (!(apicv_consistent(f & wanted) & APICV_DELIVERY))
		vmx_caps.apicv_off = APICV_OFF_PARAM;
	f = apicv_consistent(f & wanted);
	vmx_caps.apicv = f;
	for (i = 0; i < APICV_FEATURES; i++)
		param[i] = f & BIT(i);
	enable_apicv = f & APICV_DELIVERY;

	/* From here on these are switched by apply(), for each vCPU. */
	vmx_caps.pin &= ~PIN_POSTED_INTR;
	vmx_caps.proc &= ~PROC_TPR_SHADOW;
	vmx_caps.proc2 &=
		~(PROC2_APIC_ACCESS | PROC2_X2APIC | PROC2_APIC_REGISTER | PROC2_VIRT_INTR);
}

/* --- what is in force --- */

static enum apicv_mode current_mode(const struct vlapic *apic)
{
	if (!vlapic_hw_enabled(apic))
		return APICV_MODE_DISABLED;
	if (vlapic_x2apic(apic))
		return APICV_MODE_X2APIC;
	return vlapic_base_gpa(apic) == LAPIC_DEFAULT_BASE ? APICV_MODE_XAPIC
							   : APICV_MODE_RELOCATED;
}

static u32 reasons_off(struct vcpu *vcpu)
{
	u32 off = vmx_caps.apicv_off;

	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return off | APICV_OFF_NO_LAPIC;
	if (!vlapic_hw_enabled(&vcpu->arch.apic))
		off |= APICV_OFF_DISABLED;
	if (debug_blocks_interrupts(vcpu))
		off |= APICV_OFF_BLOCKED;
	if (READ_ONCE(vcpu->vm->arch.apicv_off_user))
		off |= APICV_OFF_USER;
	if (vcpu->arch.vapic.gpa)
		off |= APICV_OFF_VAPIC;
	return off;
}

static void apply(struct vcpu *vcpu, u32 f)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 proc2 = vmx->proc2;

	vmx_set_pin(vmx, PIN_POSTED_INTR, f & APICV_POSTED);
	vmx_set_proc(vmx, PROC_TPR_SHADOW, f & APICV_TPR_SHADOW);
	vmx_set_proc(vmx, PROC_CR8_LOAD_EXIT | PROC_CR8_STORE_EXIT, !(f & APICV_TPR_SHADOW));
	proc2 &= ~(PROC2_APIC_ACCESS | PROC2_X2APIC | PROC2_APIC_REGISTER | PROC2_VIRT_INTR);
	proc2 |= (f & APICV_ACCESS ? PROC2_APIC_ACCESS : 0) | (f & APICV_X2APIC ? PROC2_X2APIC : 0);
	proc2 |= (f & APICV_REGISTER ? PROC2_APIC_REGISTER : 0) |
		 (f & APICV_DELIVERY ? PROC2_VIRT_INTR : 0);
	vmcs_write32(VMCS_CTRL_PROC2, proc2);
	vmx->proc2 = proc2;
	if (vmx_caps.apicv & APICV_TPR_SHADOW)
		vmcs_write32(VMCS_CTRL_TPR_THRESHOLD, 0);
	vmx->tpr_threshold = 0;
	vmx->apicv = f;
	backend_open_msrs(vcpu);
}

/*
 * The page that an xAPIC access must hit to be virtualized is the VM's: it is mapped as long as no
 * vCPU needs it away. Its contents are never used, and it never moves.
 */
static void settle_access_page(struct vcpu *vcpu, bool tolerates)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vm_arch *arch = &vcpu->vm->arch;
	bool map;

	if (!arch->apic_access_page)
		return;
	mutex_lock(&arch->apic_access_lock);
	if (vmx->needs_no_page == tolerates)
		arch->no_page_vcpus += tolerates ? -1 : 1;
	vmx->needs_no_page = !tolerates;
	map = !arch->no_page_vcpus;
	if (map != arch->apic_access_mapped)
		ept_map_apic_access(vcpu->vm, map);
	WRITE_ONCE(arch->apic_access_mapped, map);
	mutex_unlock(&arch->apic_access_lock);
}

void backend_update_apicv(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vlapic *apic = &vcpu->arch.apic;
	enum apicv_mode mode;
	u32 off, features;

	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return;
	mode = current_mode(apic);
	off = reasons_off(vcpu);
	features = apicv_select(vmx_caps.apicv, mode, off);
	/* Away with the page before this vCPU comes to run without virtualizing its accesses. */
	settle_access_page(vcpu, apicv_tolerates_page(mode));
	WRITE_ONCE(vmx->apicv_off, off);
	if (features == vmx->apicv)
		return;
	if (features & ~vmx->apicv & APICV_DELIVERY)
		apic->stale |= VLAPIC_STALE_IRR | VLAPIC_STALE_ISR | VLAPIC_STALE_EOIS;
	if (vmx->apicv & ~features & APICV_DELIVERY)
		vlapic_see_all_eois(apic);
	apply(vcpu, features);
	vcpu->stats.apicv_changes++;
	vcpu_set_request(vcpu, REQ_EVENT); /* windows, TPR threshold */
}

bool backend_virtualizes_tpr(void)
{
	return (vmx_caps.apicv & (APICV_TPR_SHADOW | APICV_ACCESS)) ==
	       (APICV_TPR_SHADOW | APICV_ACCESS);
}

bool backend_delivers_interrupts(struct vcpu *vcpu)
{
	return to_vmx(vcpu)->apicv & APICV_DELIVERY;
}

/* --- each entry --- */

/* What software has done to the LAPIC since the last entry. */
static void hand_over(struct vmx_vcpu *vmx, struct vlapic *apic)
{
	int irr = vlapic_highest_irr(apic); /* the last fold: nothing gets stale below */
	u16 old, status;
	u32 map[8], i;

	if (apic->stale & VLAPIC_STALE_EOIS) {
		vlapic_eoi_exits(apic, map);
		for (i = 0; i < 4; i++)
			vmcs_write64(VMCS_CTRL_EOI_EXIT0 + 2 * i,
				     map[2 * i] | (u64)map[2 * i + 1] << 32);
	}
	old = vmcs_read16(VMCS_GUEST_INTR_STATUS);
	status = FIELD_PREP(INTR_STATUS_RVI, max(irr, 0)) | (old & INTR_STATUS_SVI);
	if (apic->stale & VLAPIC_STALE_ISR)
		status = FIELD_PREP(INTR_STATUS_RVI, max(irr, 0)) |
			 FIELD_PREP(INTR_STATUS_SVI, max(vlapic_highest_isr(apic), 0));
	if (status != old)
		vmcs_write16(VMCS_GUEST_INTR_STATUS, status);
	apic->stale = 0;
}

/* Something has changed, or software delivers. */
static noinline bool sync_apic(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vlapic *apic = &vcpu->arch.apic;

	if (vmx->apicv & APICV_DELIVERY) {
		hand_over(vmx, apic);
		return true;
	}
	if (vlapic_has_requests(apic))
		return false;
	/*
	 * Whatever has looked at the LAPIC since may have folded a vector that the TPR blocks. And
	 * a threshold above the TPR, which userspace may have lowered, would fail the entry.
	 */
	if ((apic->stale & VLAPIC_STALE_IRR) ||
	    unlikely(vmx->tpr_threshold > vlapic_reg(apic, LAPIC_TPR) >> 4))
		backend_update_tpr_threshold(vcpu);
	return true;
}

bool backend_sync_apic(struct vcpu *vcpu)
{
	const struct vlapic *apic = &vcpu->arch.apic;

	if ((to_vmx(vcpu)->apicv & APICV_DELIVERY) && !vlapic_has_requests(apic) && !apic->stale)
		return true;
	return sync_apic(vcpu);
}

/*
 * Exit when the guest lowers its TPR far enough for the highest pending vector (invariant L11).
 * One that waits for the end of another interrupt needs no exit: there is one at that EOI.
 */
void backend_update_tpr_threshold(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vlapic *apic = &vcpu->arch.apic;
	u32 tpr = (vlapic_reg(apic, LAPIC_TPR) & LAPIC_PRIO_CLASS) >> 4;
	u32 threshold = 0;
	int irr;

	if ((vmx->apicv & (APICV_TPR_SHADOW | APICV_DELIVERY)) != APICV_TPR_SHADOW)
		return;
	/* No fold here: it could take what backend_sync_apic() is to see. */
	irr = vlapic_highest_folded(apic);
	apic->stale &= ~(u32)VLAPIC_STALE_IRR;
	if (irr >= 0 && (u32)irr >> 4 <= tpr)
		threshold = (u32)irr >> 4;
	if (threshold == vmx->tpr_threshold)
		return;
	vmcs_write32(VMCS_CTRL_TPR_THRESHOLD, threshold);
	vmx->tpr_threshold = threshold;
}

/* --- life --- */

int apicv_vm_init(struct vm *vm)
{
	mutex_init(&vm->arch.apic_access_lock);
	if (!(vmx_caps.apicv & APICV_ACCESS))
		return 0;
	vm->arch.apic_access_page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return vm->arch.apic_access_page ? 0 : -ENOMEM;
}

void apicv_vm_destroy(struct vm *vm)
{
	if (vm->arch.apic_access_page)
		__free_page(vm->arch.apic_access_page);
}

void apicv_vcpu_init(struct vcpu *vcpu)
{
	struct vlapic *apic = &vcpu->arch.apic;
	u32 i;

	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return;
	if (vmx_caps.apicv & APICV_TPR_SHADOW)
		vmcs_write64(VMCS_CTRL_VAPIC_ADDR, __pa(apic->regs));
	if (vmx_caps.apicv & APICV_ACCESS)
		vmcs_write64(VMCS_CTRL_APIC_ACCESS, page_to_phys(vcpu->vm->arch.apic_access_page));
	if (vmx_caps.apicv & APICV_DELIVERY) {
		vmcs_write16(VMCS_GUEST_INTR_STATUS, 0);
		for (i = 0; i < 4; i++)
			vmcs_write64(VMCS_CTRL_EOI_EXIT0 + 2 * i, 0);
	}
	if (vmx_caps.apicv & APICV_POSTED) {
		vmcs_write64(VMCS_CTRL_PI_DESC, __pa(apic->posted));
		vmcs_write16(VMCS_CTRL_POSTED_VECTOR, POSTED_INTR_VECTOR);
	}
	vcpu_set_request(vcpu, REQ_APICV);
}

/* --- "why is APICv off?" --- */

void backend_show_apicv(struct seq_file *m, struct vcpu *vcpu)
{
	static const char *const reasons[APICV_REASONS] = {
		"the processor has none",    "module parameter",
		"the LAPIC is in userspace", "the guest has disabled its LAPIC",
		"KVM_GUESTDBG_BLOCKIRQ",     "debugfs",
		"KVM_SET_VAPIC_ADDR",
	};
	const struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 on = READ_ONCE(vmx->apicv), off = READ_ONCE(vmx->apicv_off);
	unsigned int i;

	seq_puts(m, "APICv     ");
	for (i = 0; i < APICV_FEATURES; i++)
		if (on & BIT(i))
			seq_printf(m, " %s", feature_names[i]);
	seq_puts(m, on ? "\n" : " off\n");
	for (i = 0; i < APICV_REASONS; i++)
		if (off & BIT(i))
			seq_printf(m, "APICv off: %s\n", reasons[i]);
}
