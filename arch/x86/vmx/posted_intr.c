// SPDX-License-Identifier: GPL-2.0-only
/*
 * Posted interrupts, the host's half: which CPU a vCPU's descriptor names, the notification that
 * makes the processor (or, without that feature, the vCPU's thread) look at it, and the wakeup
 * vector for vCPUs that sleep. SDM "Posted-Interrupt Processing"; VT-d specification, "Interrupt-
 * Posting Hardware Operation", for SN and for devices as senders.
 *
 * Software senders wake a sleeper themselves, and need neither SN nor the wakeup vector. Devices
 * read the descriptor alone, so with one assigned (vm->arch.posting_devices) it says at any time:
 *
 *   vCPU                         NV            NDST           SN
 *   ----                         --            ----           --
 *   on a CPU                     notification  that CPU       0
 *   preempted                    notification  its last CPU   1
 *   asleep (pre_block ..         wakeup        the CPU whose  0
 *     post_block)                                list it is on
 *
 * A vCPU is on the wakeup list of exactly one CPU if and only if NV is the wakeup vector (invariant
 * P4). ->pi_lock of that CPU protects the list and, for its members, this bond.
 *
 * The two vectors are the kernel's own, made for its KVM. A kernel that does not let modules set
 * the wakeup handler is found at build time (tools/kbuild/probe.sh): software senders are served
 * all the same, by the reschedule IPI, and no device may post.
 */
#include <linux/cpu.h>
#include <linux/irq.h>
#include <linux/moduleparam.h>
#include <asm/apic.h>
#include <asm/irq.h>
#include <asm/irq_remapping.h>
#include <asm/irq_vectors.h>
#include <compat_x86.h>
#include "vmx.h"

/* --- the descriptor's control words --- */

/* NDST: the ID in bits 31:0 in x2APIC mode, in bits 15:8 else. */
static u32 ndst_of(int cpu)
{
	u32 id = per_cpu(x86_cpu_to_apicid, cpu);

	return x2apic_enabled() ? id : FIELD_PREP(0xff00u, id);
}

struct pi_control {
	u32 nv; /* vector */
	u32 ndst;
	bool sn;
};

/* Change all but ON, which senders may set at any moment. Full barrier. */
static void set_control(struct posted_desc *d, const struct pi_control *want)
{
	u64 old = READ_ONCE(d->control_ndst), new;

	do {
		new = (old & POSTED_ON) | FIELD_PREP(POSTED_NV, want->nv) |
		      (want->sn ? POSTED_SN : 0) | (u64)want->ndst << 32;
		if (new == old) {
			smp_mb();
			return;
		}
	} while (!try_cmpxchg64(&d->control_ndst, &old, new));
}

static bool pir_is_empty(const struct posted_desc *d)
{
	u32 i, bits = 0;

	for (i = 0; i < ARRAY_SIZE(d->pir); i++)
		bits |= READ_ONCE(d->pir[i]);
	return !bits;
}

/* --- notification --- */

#ifdef HAVE_POSTED_VECTORS

bool pi_available(void)
{
	return true;
}

/*
 * Preemption off. In a guest the processor takes it as an order to look at PIR, if it does that at
 * all; otherwise the guest exits; outside, the kernel's handler only counts it.
 */
static void send_vector(int cpu, u32 vector)
{
	compat_send_ipi(cpu, vector);
}

#else

bool pi_available(void)
{
	return false;
}

static void send_vector(int cpu, u32 vector)
{
	smp_send_reschedule(cpu);
}

#endif

/*
 * The sender has set ON, with a full barrier; the vCPU sets ->mode, full barrier, looks at ON: (A)
 * and (B) of vcpu.h. VCPU_EXITING: an IPI is on its way, and ON is looked at before the next entry.
 */
void backend_notify(struct vcpu *vcpu)
{
	int cpu;

	preempt_disable();
	if (READ_ONCE(vcpu->mode) == VCPU_IN_GUEST) {
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu != smp_processor_id() && cpu_online(cpu))
			send_vector(cpu, POSTED_INTR_VECTOR);
	} else {
		vcpu_wake(vcpu);
	}
	preempt_enable();
}

/* --- devices: on a CPU, preempted, asleep --- */

struct pi_cpu {
	raw_spinlock_t lock; /* hardirq-safe; ->sleepers, and ->pi_cpu and NV of its members */
	struct list_head sleepers; /* struct vmx_vcpu.pi_node */
};
static DEFINE_PER_CPU(struct pi_cpu, pi_cpus);

static bool has_posting_devices(const struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->vm->arch.posting_devices);
}

/* The vCPU's thread. If not, the descriptor is its own again: pairs with leave_list_locked(). */
static bool on_wakeup_list(const struct vcpu *vcpu)
{
	return smp_load_acquire(&vcpu->arch.vmx->pi_cpu) >= 0;
}

/*
 * Preemption off, on @cpu. While SN was set a device has left PIR bits without ON, and will not
 * notify for them any more (invariant P2): ON is ours to set, even if the last device has gone
 * meanwhile; senders of the same vectors would count on it. The barrier between clearing SN and
 * looking at PIR is set_control()'s; the device's is the atomicity of its own update.
 */
void pi_load(struct vcpu *vcpu, int cpu)
{
	struct posted_desc *d = vcpu->arch.apic.posted;

	if (vcpu->vm->irqchip_mode == IRQCHIP_NONE || on_wakeup_list(vcpu))
		return; /* on a list: the wakeup vector stays until post_block */
	if (!has_posting_devices(vcpu) && !(READ_ONCE(d->control) & POSTED_SN))
		return;
	set_control(d, &(struct pi_control){ .nv = POSTED_INTR_VECTOR, .ndst = ndst_of(cpu) });
	if (!pir_is_empty(d))
		env_or_u32(&d->control, POSTED_ON);
}

void backend_posting_begins(struct vcpu *vcpu)
{
	pi_load(vcpu, smp_processor_id());
}

/* A preempted vCPU runs again in any case, and looks at PIR then: nobody need be told. */
void pi_put(struct vcpu *vcpu)
{
	struct posted_desc *d = vcpu->arch.apic.posted;

	if (has_posting_devices(vcpu) && vcpu->preempted && !on_wakeup_list(vcpu))
		set_control(d, &(struct pi_control){ .nv = POSTED_INTR_VECTOR,
						     .ndst = ndst_of(smp_processor_id()),
						     .sn = true });
}

/*
 * About to sleep. What a device posts from here on comes with the wakeup vector; what it has posted
 * before has set ON, which the sleeper's condition sees after set_control()'s barrier.
 */
void backend_pre_block(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct pi_cpu *c;
	unsigned long flags;

	if (!has_posting_devices(vcpu))
		return;
	local_irq_save(flags);
	c = this_cpu_ptr(&pi_cpus);
	raw_spin_lock(&c->lock);
	list_add_tail(&vmx->pi_node, &c->sleepers);
	WRITE_ONCE(vmx->pi_cpu, smp_processor_id());
	set_control(vcpu->arch.apic.posted,
		    &(struct pi_control){ .nv = POSTED_INTR_WAKEUP_VECTOR,
					  .ndst = ndst_of(smp_processor_id()) });
	raw_spin_unlock(&c->lock);
	local_irq_restore(flags);
}

/* ->lock held; @vmx is on this CPU's list, or this is its thread. */
static void leave_list_locked(struct vmx_vcpu *vmx)
{
	list_del_init(&vmx->pi_node);
	set_control(vmx->vcpu->arch.apic.posted,
		    &(struct pi_control){ .nv = POSTED_INTR_VECTOR,
					  .ndst = ndst_of(smp_processor_id()) });
	/* Last: from here on its thread changes the descriptor without the lock. */
	smp_store_release(&vmx->pi_cpu, -1);
}

void backend_post_block(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int cpu = READ_ONCE(vmx->pi_cpu);
	unsigned long flags;
	struct pi_cpu *c;

	/* No device has had to do with this sleep; and SN is clear since the thread is back. */
	if (cpu < 0 && !has_posting_devices(vcpu))
		return;
	if (cpu >= 0) {
		c = per_cpu_ptr(&pi_cpus, cpu);
		raw_spin_lock_irqsave(&c->lock, flags);
		if (vmx->pi_cpu == cpu)
			leave_list_locked(vmx);
		raw_spin_unlock_irqrestore(&c->lock, flags);
	}
	/* If that CPU has gone offline, and has taken us from its list, NDST still names it. */
	preempt_disable();
	pi_load(vcpu, smp_processor_id());
	preempt_enable();
}

/* A sleeper that devices could not wake: the first device came, or its CPU went, while it slept. */
bool backend_block_again(struct vcpu *vcpu)
{
	return has_posting_devices(vcpu) && !on_wakeup_list(vcpu);
}

/* The wakeup vector: some sleeper of this CPU was posted to. Hardirq. */
static void __maybe_unused wake_sleepers(void)
{
	struct pi_cpu *c = this_cpu_ptr(&pi_cpus);
	struct vmx_vcpu *vmx;

	raw_spin_lock(&c->lock);
	list_for_each_entry (vmx, &c->sleepers, pi_node)
		if (posted_pending(vmx->vcpu->arch.apic.posted))
			vcpu_wake(vmx->vcpu);
	raw_spin_unlock(&c->lock);
}

/* No task runs here any more, so nobody joins the list; its members go to sleep again elsewhere. */
void pi_cpu_offline(void)
{
	struct pi_cpu *c = this_cpu_ptr(&pi_cpus);
	struct vmx_vcpu *vmx, *next;
	unsigned long flags;

	raw_spin_lock_irqsave(&c->lock, flags);
	list_for_each_entry_safe (vmx, next, &c->sleepers, pi_node) {
		leave_list_locked(vmx);
		vcpu_wake(vmx->vcpu);
	}
	raw_spin_unlock_irqrestore(&c->lock, flags);
}

/* --- devices: come and go --- */

/* The first one makes every vCPU set up its descriptor: on its next entry, or in its sleep. */
void backend_device_added(struct vm *vm)
{
	struct vcpu *vcpu;
	u32 i;

	lockdep_assert_held(&vm->bypass_lock);
	WRITE_ONCE(vm->arch.posting_devices, vm->arch.posting_devices + 1);
	vm_for_each_vcpu (vm, i, vcpu) {
		vcpu_set_request(vcpu, REQ_POSTING);
		vcpu_kick(vcpu);
	}
}

void backend_device_removed(struct vm *vm)
{
	lockdep_assert_held(&vm->bypass_lock);
	WRITE_ONCE(vm->arch.posting_devices, vm->arch.posting_devices - 1);
}

#ifdef HAVE_IRQ_BYPASS

bool backend_can_post(void)
{
	return pi_available() && (vmx_caps.apicv & APICV_POSTED);
}

/*
 * What stands in the interrupt-remapping table is the IOMMU driver's; it also waits until the IOMMU
 * has forgotten the old entry, so that afterwards nobody writes to the old descriptor.
 */
int backend_post_irq(struct vcpu *vcpu, int irq, u8 vector)
{
	struct vcpu_data target = { .vector = vector };

	if (!vcpu)
		return irq_set_vcpu_affinity(irq, NULL);
	target.pi_desc_addr = __pa(vcpu->arch.apic.posted);
	return irq_set_vcpu_affinity(irq, &target);
}

#else

bool backend_can_post(void)
{
	return false;
}

int backend_post_irq(struct vcpu *vcpu, int irq, u8 vector)
{
	return -EOPNOTSUPP;
}

#endif

/* --- life --- */

/* Until its first load nobody need notify it. */
void pi_vcpu_init(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	INIT_LIST_HEAD(&vmx->pi_node);
	vmx->pi_cpu = -1;
	if (vcpu->vm->irqchip_mode != IRQCHIP_NONE)
		set_control(vcpu->arch.apic.posted,
			    &(struct pi_control){ .nv = POSTED_INTR_VECTOR, .sn = true });
}

/* Which way a device's interrupt finds a sleeper; in sysfs beside the features. */
static int get_wakeup(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n",
			  pi_available() ? "vector"
					 : "none: this kernel has no vector for modules");
}

static const struct kernel_param_ops wakeup_ops = { .get = get_wakeup };
module_param_cb(posted_wakeup, &wakeup_ops, NULL, 0444);
MODULE_PARM_DESC(posted_wakeup, "how posted interrupts of devices wake a vCPU (read-only)");

void __init pi_module_init(void)
{
	int cpu;

	for_each_possible_cpu (cpu) {
		struct pi_cpu *c = per_cpu_ptr(&pi_cpus, cpu);

		raw_spin_lock_init(&c->lock);
		INIT_LIST_HEAD(&c->sleepers);
	}
#ifdef HAVE_POSTED_VECTORS
	kvm_set_posted_intr_wakeup_handler(wake_sleepers);
#endif
}

/* Waits until no CPU is in the handler any more. */
void pi_module_exit(void)
{
#ifdef HAVE_POSTED_VECTORS
	kvm_set_posted_intr_wakeup_handler(NULL);
#endif
}
