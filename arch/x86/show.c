// SPDX-License-Identifier: GPL-2.0-only
/*
 * debugfs: what a vCPU waits for, on one page. The first place to look for a lost interrupt:
 * pending and in-service vectors, the priority, the timer, and the vCPU's state and requests. And a
 * switch beside it: is it APIC virtualization's fault?
 *
 * Reads without stopping the vCPU, so a line may be a few instructions older than the next one.
 */
#include <linux/debugfs.h>
#include <linux/ktime.h>
#include <linux/seq_file.h>
#include <arch.h>
#include <backend.h>

static const char *mp_state_name(u32 state)
{
	switch (state) {
	case KVM_MP_STATE_RUNNABLE:
		return "runnable";
	case KVM_MP_STATE_UNINITIALIZED:
		return "uninitialized";
	case KVM_MP_STATE_INIT_RECEIVED:
		return "init-received";
	case KVM_MP_STATE_HALTED:
		return "halted";
	default:
		return "?";
	}
}

static void show_vectors(struct seq_file *m, const char *name, const struct vlapic *apic, u32 bank)
{
	int vector;

	seq_printf(m, "%-10s", name);
	for (vector = 0; vector < 256; vector++)
		if (vlapic_reg(apic, bank + (vector / 32) * 0x10) & BIT(vector % 32))
			seq_printf(m, " %#x", vector);
	seq_puts(m, "\n");
}

static void show_posted(struct seq_file *m, const struct posted_desc *d)
{
	u32 control = READ_ONCE(d->control);
	int vector;

	seq_printf(m, "PIR       ");
	for (vector = 0; vector < 256; vector++)
		if (READ_ONCE(d->pir[vector / 32]) & BIT(vector % 32))
			seq_printf(m, " %#x", vector);
	seq_printf(m, "%s%s\n", control & POSTED_ON ? " ON" : "", control & POSTED_SN ? " SN" : "");
}

static void show_timer(struct seq_file *m, struct vcpu *vcpu)
{
	const struct vlapic_timer *t = &vcpu->arch.apic.timer;
	u64 now = ktime_get_ns(), deadline = READ_ONCE(t->deadline_ns);

	seq_printf(m, "timer      lvt %#x", vlapic_reg(&vcpu->arch.apic, LAPIC_LVT_TIMER));
	if (deadline)
		seq_printf(m, ", expires in %lld ns, %s", (s64)(deadline - now),
			   READ_ONCE(vcpu->arch.timer_by_entry)     ? "kept by VM entries"
			   : hrtimer_active(&vcpu->arch.apic_timer) ? "host timer armed"
								    : "host timer not armed");
	seq_puts(m, "\n");
}

void arch_show_vcpu(struct seq_file *m, struct vcpu *vcpu)
{
	const struct vlapic *apic = &vcpu->arch.apic;

	seq_printf(m, "state      %s\n", mp_state_name(READ_ONCE(vcpu->arch.mp_state)));
	seq_printf(m, "mode       %d on CPU %d\n", READ_ONCE(vcpu->mode), READ_ONCE(vcpu->cpu));
	seq_printf(m, "requests   %#lx\n", READ_ONCE(vcpu->requests));
	seq_printf(m, "last RIP   %#llx\n", READ_ONCE(vcpu->arch.regs[REG_RIP]));
	seq_printf(m, "NMIs       %d pending\n", atomic_read(&vcpu->arch.ev.nmi_pending));
	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE)
		return;
	seq_printf(m, "APIC       ID %u, base %#llx, SVR %#x, TPR %#x, PPR %#x\n", apic->id,
		   apic->base_msr, vlapic_reg(apic, LAPIC_SVR), vlapic_reg(apic, LAPIC_TPR),
		   vlapic_reg(apic, LAPIC_PPR));
	seq_printf(m, "latched   %s%s\n", apic->pending & VLAPIC_PENDING_INIT ? " INIT" : "",
		   apic->pending & VLAPIC_PENDING_SIPI ? " SIPI" : "");
	backend_show_apicv(m, vcpu);
	show_posted(m, apic->posted);
	show_vectors(m, "IRR", apic, LAPIC_IRR);
	show_vectors(m, "ISR", apic, LAPIC_ISR);
	show_timer(m, vcpu);
}

/* --- PID-N/apicv: 1 as the hardware and the parameters allow, 0 off; for the whole VM --- */

static int apicv_get(void *data, u64 *value)
{
	struct vm *vm = data;

	*value = !READ_ONCE(vm->arch.apicv_off_user);
	return 0;
}

/* Every vCPU follows before it enters the guest again. */
static int apicv_set(void *data, u64 value)
{
	struct vm *vm = data;
	struct vcpu *vcpu;
	u32 i;

	if (value > 1)
		return -EINVAL;
	WRITE_ONCE(vm->arch.apicv_off_user, !value);
	vm_for_each_vcpu (vm, i, vcpu) {
		vcpu_set_request(vcpu, REQ_APICV);
		vcpu_kick(vcpu);
	}
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(apicv_fops, apicv_get, apicv_set, "%llu\n");

void arch_add_vm_debugfs(struct vm *vm)
{
	debugfs_create_file("apicv", 0644, vm->debugfs, vm, &apicv_fops);
}
