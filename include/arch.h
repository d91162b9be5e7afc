/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What virt/ knows of the architecture: arch/x86/ implements these. Everything runs in process
 * context and may sleep unless said otherwise. ioctl handlers copy their arguments themselves and
 * return -ENOTTY for a command that is not theirs.
 */
#ifndef APICVISOR_ARCH_H
#define APICVISOR_ARCH_H

#include <vcpu.h>

/* Module life: check the CPU, enable VMX everywhere, hook hotplug. Says why in one line. */
int arch_init(void);
void arch_exit(void);

/* System fd: value of capability @cap (@vm NULL on the system fd); 0 = absent. */
long arch_check_extension(struct vm *vm, u32 cap);
long arch_dev_ioctl(unsigned int cmd, void __user *arg);

int arch_vm_init(struct vm *vm);
/* Before vCPUs, memory and buses go (stop the timers, which reach all of them), and after. */
void arch_vm_pre_destroy(struct vm *vm);
void arch_vm_destroy(struct vm *vm);
long arch_vm_ioctl(struct vm *vm, unsigned int cmd, void __user *arg);

/* KVM_SIGNAL_MSI: > 0 delivered, 0 not, -EINVAL, -EFAULT. KVM_IRQ_LINE and @status' _STATUS. */
long arch_signal_msi(struct vm *vm, void __user *arg);
long arch_irq_line(struct vm *vm, void __user *arg, bool status);

/* @vcpu has index and ID; called under vm->lock before it is published. */
int arch_vcpu_init(struct vcpu *vcpu);
void arch_vcpu_destroy(struct vcpu *vcpu);
/* vcpu->lock held, and the vCPU is loaded. */
long arch_vcpu_ioctl(struct vcpu *vcpu, unsigned int cmd, void __user *arg);
/*
 * Commands that must not wait for vcpu->lock (a vCPU in KVM_RUN holds it): KVM_INTERRUPT.
 * -ENOIOCTLCMD: take the lock and use arch_vcpu_ioctl().
 */
long arch_vcpu_async_ioctl(struct vcpu *vcpu, unsigned int cmd, void __user *arg);

/* Preemption off. */
void arch_vcpu_load(struct vcpu *vcpu, int cpu);
void arch_vcpu_put(struct vcpu *vcpu);

/* KVM_RUN: begin (complete the last exit; 1 = go on, 0 = back to userspace, < 0 errno) and end. */
int arch_vcpu_run_begin(struct vcpu *vcpu);
void arch_vcpu_run_end(struct vcpu *vcpu);

/* Enter the guest once and handle the exit: 1 = go on, 0 = exit to userspace, < 0 errno. */
int arch_vcpu_enter(struct vcpu *vcpu);

/*
 * Not halted, or an event is pending that ends HLT: which is over then. Or there is something that
 * arch_vcpu_enter() must see to. The vCPU's thread, loaded; interrupts may be off.
 */
bool arch_vcpu_runnable(struct vcpu *vcpu);
/* Not runnable, because of HLT: an interrupt may end that. Otherwise it waits for SIPI. */
bool arch_vcpu_halted(struct vcpu *vcpu);
/* Around the time that it waits, not runnable: nobody enters the guest. The vCPU's thread. */
void arch_vcpu_block_begin(struct vcpu *vcpu);
void arch_vcpu_block_end(struct vcpu *vcpu);

/* GSI input for irqfd; any context. */
int arch_set_gsi(struct vm *vm, u32 gsi, u32 source, bool level);
int arch_pulse_gsi(struct vm *vm, u32 gsi);
/* irqfd_acked() is wanted for @gsi however the guest sets its pin up. vm->irq_lock held. */
void arch_watch_gsi(struct vm *vm, u32 gsi);

/*
 * Interrupts of devices that go past their irqfd: virt/bypass.c. All but the first under
 * vm->bypass_lock. Post and target: in the sense of posted interrupts, or what is like them.
 */
bool arch_can_post(void);
/* The one vCPU and vector that @gsi leads to, as a number; -1: none such, or software must look. */
int arch_post_target(struct vm *vm, u32 gsi);
/*
 * Let the host's interrupt @irq go to @target; -1: to its handler, as it was at first. 0, or the
 * errno of irq_set_vcpu_affinity(); then it is as before.
 */
int arch_post_irq(struct vm *vm, int irq, int target);
/* Around the time in which a device posts. They nest. */
void arch_posting_begins(struct vm *vm);
void arch_posting_ended(struct vm *vm);

/*
 * Second-level tables, under vm->mmu_lock, over guest frames [start, end). Each returns whether
 * translations were removed or restricted, so that the caller must vm_flush_tlb() before it
 * relies on it (after dropping the lock where the caller may sleep; the IPI wait itself is safe
 * under the lock).
 */
bool arch_mmu_zap_locked(struct vm *vm, gfn_t start, gfn_t end);
bool arch_mmu_write_protect_locked(struct vm *vm, gfn_t start, gfn_t end);
bool arch_mmu_age_locked(struct vm *vm, gfn_t start, gfn_t end, bool clear);

/* Names for virt/stats.c; NULL for a number that is not in use. */
const char *arch_exit_reason_name(unsigned int reason);
/* One page for a reader who looks for a lost interrupt; does not stop the vCPU. */
struct seq_file;
void arch_show_vcpu(struct seq_file *m, struct vcpu *vcpu);
/* Files of the architecture's own in vm->debugfs. */
void arch_add_vm_debugfs(struct vm *vm);
/*
 * Add vCPU @vcpu's interrupts by path to @counts[IRQ_PATH_NR]. Returns how many more there were
 * whose vector was requested already: the guest sees such two as one.
 */
u64 arch_count_interrupts(struct vcpu *vcpu, u64 *counts);

#endif
