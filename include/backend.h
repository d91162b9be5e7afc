/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The boundary to the hardware: what arch/x86/ asks of arch/x86/vmx/. One backend is chosen when
 * the module is linked, so a call costs a direct call (no table of pointers, no retpoline), and a
 * test can link a double. Everything about a vCPU runs in its own thread with its state loaded,
 * unless said otherwise.
 */
#ifndef APICVISOR_BACKEND_H
#define APICVISOR_BACKEND_H

#include <linux/kvm.h>
#include <vcpu.h>

/* --- life --- */

/*
 * Check the processor, turn VMX on everywhere and follow CPU hotplug, suspend and reboot.
 * -ENODEV: no VMX or a feature is missing; -EPERM: locked off by firmware; -EBUSY: another user.
 * Prints one line that says why and what to do.
 */
int backend_setup(void);
void backend_teardown(void);

int backend_vm_init(struct vm *vm);
void backend_vm_destroy(struct vm *vm);
int backend_vcpu_init(struct vcpu *vcpu);
void backend_vcpu_destroy(struct vcpu *vcpu);
/* Hardware state as after power-on or INIT, before regs_reset() sets the registers. */
void backend_vcpu_reset(struct vcpu *vcpu);

/* What the hardware allows the guest to have: limits for CPUID. */
struct cpuid_limits;
void backend_cpuid_limits(struct cpuid_limits *limits);
/* KVM_X86_DISABLE_EXITS_*: instructions that a guest can have without exits. */
u32 backend_disable_exits(void);
/* CPUID was set: allow or trap RDTSCP, INVPCID, ... accordingly. */
void backend_cpuid_changed(struct vcpu *vcpu);

/* --- running: preemption off --- */

void backend_load(struct vcpu *vcpu, int cpu);
void backend_put(struct vcpu *vcpu);
/*
 * Interrupts off, ->mode is IN_GUEST: the last look at what is posted. With virtual-interrupt
 * delivery it goes into the guest by itself; without, false: there is something to inject first.
 */
bool backend_sync_apic(struct vcpu *vcpu);
/*
 * A timer that makes a running guest exit: can it be used for the LAPIC's? Then, interrupts off and
 * ->mode IN_GUEST, load it for that deadline; what has come due by now gets to the LAPIC instead.
 */
bool backend_has_timer(struct vcpu *vcpu);
void backend_set_timer(struct vcpu *vcpu);
/*
 * Interrupts off: what an entry does not switch is the guest's, and the host's again. Between the
 * two come one or more entries, and nothing that uses XSAVE, PKRU or breakpoints, or schedules.
 */
void backend_load_guest(struct vcpu *vcpu);
void backend_load_host(struct vcpu *vcpu);
/*
 * Interrupts off. Returns with the exit's reason noted. Is in guest context (guest_context.h) for
 * the entry alone.
 */
void backend_enter(struct vcpu *vcpu);
/* Did the guest leave for the host's interrupt alone, in the middle of nothing? */
bool backend_exit_was_interrupt(struct vcpu *vcpu);
/*
 * Interrupts off, before backend_load_host(), without vm->srcu. An exit that needs nothing but this
 * vCPU and its LAPIC is handled; what remains to be done stands in ->requests or is debug_due().
 * False: nothing has been done.
 */
bool backend_handle_at_once(struct vcpu *vcpu);
/*
 * Interrupts off, after backend_load_host(): the exit was an interrupt, an NMI or a machine check
 * of the host, which its handler gets now.
 */
void backend_host_event(struct vcpu *vcpu);
/* Interrupts on, vm->srcu held. 1 = enter again, 0 = to userspace (run->exit_reason set), errno. */
int backend_handle_exit(struct vcpu *vcpu);
/*
 * Translate the page at @gpa for reading, before the guest asks; may sleep, vm->srcu held. @next is
 * where the page ends in guest-physical memory, or @gpa if the memory changed under us: try again.
 * -ENOENT: no memory there; -EFAULT: none in the process.
 */
int backend_map_page(struct vcpu *vcpu, gpa_t gpa, gpa_t *next);
/* Drop second-level translations; drop the guest's own translations. Preemption off. */
void backend_flush_ept(struct vcpu *vcpu);
void backend_flush_guest(struct vcpu *vcpu);

/* --- the LAPIC in hardware, where there is one: with an in-kernel irqchip only --- */

/* The LAPIC's mode, or a reason against virtualizing it, has changed. May sleep. REQ_APICV. */
void backend_update_apicv(struct vcpu *vcpu);
/* Are accesses to the TPR virtualized, in CR8 and in the xAPIC page? Constant. */
bool backend_virtualizes_tpr(void);
/* Does the processor deliver what is in IRR? Then nobody need inject it. The vCPU's thread. */
bool backend_delivers_interrupts(struct vcpu *vcpu);
/* Otherwise: exit when the guest's TPR drops far enough for what waits in IRR. */
void backend_update_tpr_threshold(struct vcpu *vcpu);
/* An interrupt was posted to @vcpu, and nobody has been told yet. Any context. */
void backend_notify(struct vcpu *vcpu);
/*
 * Around the vCPU's sleep, preemption on: devices that post reach a sleeper, too. In between,
 * backend_block_again() tells that it must wake up to sleep anew.
 */
void backend_pre_block(struct vcpu *vcpu);
void backend_post_block(struct vcpu *vcpu);
bool backend_block_again(struct vcpu *vcpu);
/* Can devices post to vCPUs here? */
bool backend_can_post(void);
/* One more device may post to vCPUs of @vm; one less does. Under vm->bypass_lock. */
void backend_device_added(struct vm *vm);
void backend_device_removed(struct vm *vm);
/*
 * Let the device's interrupt @irq post @vector to @vcpu, which lives until it is taken back by
 * NULL: then its handler in the host gets it. 0 or the errno of irq_set_vcpu_affinity().
 */
int backend_post_irq(struct vcpu *vcpu, int irq, u8 vector);
/* REQ_POSTING: the first device that posts was assigned to the VM. Preemption off. */
void backend_posting_begins(struct vcpu *vcpu);
struct seq_file;
/* Which features are in force, and why virtual-interrupt delivery is not. Any context. */
void backend_show_apicv(struct seq_file *m, struct vcpu *vcpu);

/* --- state --- */

/* backend_cache_reg(): see x86.h. The other: RIP, RFLAGS and control registers, all in one go. */
void backend_cache_mode(struct vcpu *vcpu);
void backend_set_cr0(struct vcpu *vcpu, u64 value);
void backend_set_cr3(struct vcpu *vcpu, u64 value);
void backend_set_cr4(struct vcpu *vcpu, u64 value);
void backend_set_efer(struct vcpu *vcpu, u64 value);
/* PAE paging: load the four PDPTEs that CR3 points at (already checked) into the processor. */
void backend_set_pdptrs(struct vcpu *vcpu, const u64 pdptr[4]);
void backend_set_dr7(struct vcpu *vcpu, u64 value);

void backend_get_segment(struct vcpu *vcpu, struct kvm_segment *s, enum vcpu_seg seg);
void backend_set_segment(struct vcpu *vcpu, const struct kvm_segment *s, enum vcpu_seg seg);
u64 backend_segment_base(struct vcpu *vcpu, enum vcpu_seg seg);
u32 backend_segment_limit(struct vcpu *vcpu, enum vcpu_seg seg);
/* SDM: "Segment access rights", in the format of a VMCS. */
u32 backend_segment_rights(struct vcpu *vcpu, enum vcpu_seg seg);
int backend_cpl(struct vcpu *vcpu);
void backend_get_idt(struct vcpu *vcpu, struct kvm_dtable *t);
void backend_set_idt(struct vcpu *vcpu, const struct kvm_dtable *t);
void backend_get_gdt(struct vcpu *vcpu, struct kvm_dtable *t);
void backend_set_gdt(struct vcpu *vcpu, const struct kvm_dtable *t);

/*
 * MSRs the VMCS or the processor holds: FS_BASE, GS_BASE, KERNEL_GS_BASE, SYSENTER_*, PAT, STAR,
 * LSTAR, CSTAR, FMASK, TSC_AUX, DEBUGCTL. 0, or 1 if it is not one of these.
 */
int backend_get_msr(struct vcpu *vcpu, u32 msr, u64 *value);
int backend_set_msr(struct vcpu *vcpu, u32 msr, u64 value);
/*
 * Let the guest have the MSRs that need no exit, as far as msr_allowed(). Sleeps; under vm->srcu,
 * or under vm->lock.
 */
void backend_open_msrs(struct vcpu *vcpu);
/* Can a guest's TSC have another rate than the host's? Constant. Then, or with TSC_RATIO_ONE: */
bool backend_scales_tsc(void);
void backend_set_tsc(struct vcpu *vcpu, const struct tsc_map *map);

/* --- events --- */

#define BLOCK_STI   BIT(0)
#define BLOCK_MOVSS BIT(1)
#define BLOCK_NMI   BIT(2)
u32 backend_blocking(struct vcpu *vcpu);
void backend_set_blocking(struct vcpu *vcpu, u32 mask, u32 bits);
/* At most one per entry. */
void backend_inject(struct vcpu *vcpu, const struct x86_event *ev);
/* Take back what backend_inject() put in, if the entry did not happen. */
void backend_cancel_injection(struct vcpu *vcpu);
#define WINDOW_IRQ BIT(0)
#define WINDOW_NMI BIT(1)
/* Exit as soon as the guest could take an interrupt / NMI; the set of windows wanted. */
void backend_set_windows(struct vcpu *vcpu, u32 windows);
/* Can the processor stop after each instruction? */
bool backend_can_step(void);
/* Stop after each instruction; come out at INT3. For debug.c. */
void backend_set_debug(struct vcpu *vcpu, bool step, bool breakpoint_insns);
/* CS.base + RIP. */
u64 backend_linear_rip(struct vcpu *vcpu);
/* Does the guest wait in HLT, which did not exit? It does so no longer then. */
bool backend_take_halt(struct vcpu *vcpu);
/* Make its next HLT exit even if it may have HLT; until called with false. */
void backend_see_halt(struct vcpu *vcpu, bool wanted);
/* Let it wait there again, if it may have HLT and its state allows that. */
bool backend_give_halt(struct vcpu *vcpu);
/* An instruction has been carried out: the shadow of STI / MOV SS ends, debug traps become due. */
void backend_end_insn(struct vcpu *vcpu);
/* The instruction that exited is done: RIP past it, and backend_end_insn(). */
void backend_skip_insn(struct vcpu *vcpu);
/* Shadow, RFLAGS.TF or DEBUGCTL may have been set from outside: make them fit for an entry. */
void backend_settle_shadow(struct vcpu *vcpu);

#endif
