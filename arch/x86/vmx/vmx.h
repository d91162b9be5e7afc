/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared inside arch/x86/vmx/ only: the VMX half of a vCPU, what the processor offers, and what
 * the files of this folder call of each other. The rest of the module sees backend.h.
 */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include <linux/list.h>
#include <asm/msr.h>
#include <asm/trapnr.h>
#include <backend.h>
#include "apicv.h"
#include "preempt_timer.h"
#include "vmcs.h"

#undef pr_fmt
#define pr_fmt(fmt) "apicvisor: " fmt

/* Controls and features, resolved once from the capability MSRs: caps.c. Read-only afterwards. */
struct vmx_caps {
	u32 revision; /* first word of VMXON and VMCS regions */
	u32 pin, proc, proc2, exit, entry;
	u32 proc_allowed;                /* of VMCS_CTRL_PROC: what may be set now and then */
	u32 proc_fixed;                  /* ... and what may never be cleared */
	unsigned int preempt_timer_rate; /* counts when this bit of the TSC changes */
	u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	bool ept_ad, ept_2m, ept_1g;
	u32 apicv;            /* APICV_*: what may be used */
	u32 apicv_off;        /* APICV_OFF_*: if delivery may not */
	u32 disable_exits;    /* KVM_X86_DISABLE_EXITS_*: what works */
	bool flush_l1d, verw; /* what this host needs against L1TF and MDS at entry */
};
extern struct vmx_caps vmx_caps;

/* Fill vmx_caps. 0, or -ENODEV with one line that names the first missing feature. */
int vmx_caps_init(void);

/* Host MSRs that an entry replaces and vcpu_put() restores; the same for all threads of a CPU. */
struct vmx_host_msrs {
	struct x86_syscall_msrs syscall;
	u64 tsc_aux;
};

/* One physical CPU: host.c. */
struct vmx_cpu {
	struct page *vmxon;
	bool on;
	struct list_head loaded; /* struct vmx_vcpu whose VMCS is active here; interrupts off */
	struct vmx_vcpu *last;   /* ran here last, VMCS current: an IBPB is due when it changes */
	struct vmx_host_msrs host;
	unsigned long tr_base, gdt_base, idt_base, gs_base, sysenter_esp;
};
DECLARE_PER_CPU(struct vmx_cpu, vmx_cpu);

#define EPT_LEVELS 4

struct vmx_vcpu {
	struct vcpu *vcpu;
	struct vmcs *vmcs;
	u64 vmcs_pa;
	struct msr_bitmap *msr_bitmap; /* shared: msr_bitmap.c */
	u16 vpid;                      /* 0: no VPIDs */

	/* the VMCS on its CPU: vmcs.c */
	int cpu; /* where it is active, -1: clear */
	bool launched;
	struct list_head node; /* in vmx_cpu.loaded of ->cpu */

	/* host values that must be restored on put */
	bool host_saved;
	bool syscall_loaded; /* SYSCALL's MSRs are the guest's */
	u16 host_ds, host_es, host_fs, host_gs;
	u64 host_debugctl; /* with interrupts off, as the next one: backend_load_guest() */
	u32 host_pkru;
	u64 host_fs_base, host_kernel_gs;
	struct desc_ptr host_gdt;

	/* last values written, so that unchanged fields are not rewritten */
	unsigned long host_rsp, host_cr3, host_cr4;
	u32 pin;  /* VMCS_CTRL_PIN */
	u32 proc; /* VMCS_CTRL_PROC */
	u32 proc2;
	u32 entry;      /* VMCS_CTRL_ENTRY */
	u32 ple_window; /* VMCS_CTRL_PLE_WINDOW */
	u32 no_exits;   /* KVM_X86_DISABLE_EXITS_*, constant */

	/* APIC virtualization: apicv.c; written by the vCPU's thread */
	u32 apicv;          /* APICV_* in force */
	u32 apicv_off;      /* APICV_OFF_*: why delivery is not */
	u32 tpr_threshold;  /* VMCS_CTRL_TPR_THRESHOLD */
	bool needs_no_page; /* counted in vm->arch.no_page_vcpus */

	/* preempt_timer.c; the vCPU's thread */
	bool timer_usable;
	u64 timer_ns;              /* the LAPIC timer's deadline, by the clock of hrtimers */
	u64 timer_tsc;             /* the same by the host's TSC */
	u32 timer_lead;            /* the exit comes so many ticks earlier */
	bool timer_led;            /* it has come, and nobody has entered since */
	u64 timer_hold;            /* no entry before this TSC: its interrupt is there; 0: none */
	u64 timer_entered;         /* when an entry loaded ... */
	u32 timer_count;           /* ... this count */
	unsigned int timer_misses; /* exits at the wrong moment, in a row */

	/* ept.c; the vCPU's thread */
	u64 *spare[EPT_LEVELS - 1]; /* zeroed tables for the next fault */
	int nr_spare;

	/* posted_intr.c, where the locks are */
	struct list_head pi_node; /* in the sleepers of ->pi_cpu */
	int pi_cpu;               /* -1: on no list */

	/* the last exit */
	u32 exit_reason;
	u32 exit_intr_info;
	u32 idt_info;
	u32 entry_error; /* VM-instruction error when the entry itself failed */
	bool entry_failed;
};

static inline struct vmx_vcpu *to_vmx(struct vcpu *vcpu)
{
	return vcpu->arch.vmx;
}

/*
 * #MC is the host's. #DB and #AC must be seen: a guest can raise either without end during the
 * delivery of the other's handler, and the CPU would never leave guest mode.
 */
#define VMX_EXCEPTIONS (BIT(X86_TRAP_MC) | BIT(X86_TRAP_DB) | BIT(X86_TRAP_AC))

/* Bits of a control word, written to @field if they change; @word is what was last written. */
static inline void vmx_set_control(u32 *word, unsigned long field, u32 bits, bool on)
{
	u32 value = on ? *word | bits : *word & ~bits;

	if (value == *word)
		return;
	*word = value;
	vmcs_write32(field, value);
}

static inline void vmx_set_pin(struct vmx_vcpu *vmx, u32 bits, bool on)
{
	vmx_set_control(&vmx->pin, VMCS_CTRL_PIN, bits, on);
}

static inline void vmx_set_proc(struct vmx_vcpu *vmx, u32 bits, bool on)
{
	vmx_set_control(&vmx->proc, VMCS_CTRL_PROC, bits, on);
}

/* Nobody who has VMX hides behind paravirt_ops, which make these calls of calls. */
static __always_inline u64 vmx_read_msr(u32 msr)
{
	u32 low, high;

	native_rdmsr(msr, low, high);
	return low | (u64)high << 32;
}

static __always_inline void vmx_write_msr(u32 msr, u64 value)
{
	native_wrmsr(msr, (u32)value, (u32)(value >> 32));
}

/* --- vmcs.c --- */
/*
 * Preemption off, the vCPU loaded. Around a change of one of these MSRs, or of EFER.SCE: the host's
 * are put back, then the guest's are loaded if it can use them.
 */
void vmx_put_syscall_msrs(struct vcpu *vcpu);
void vmx_load_syscall_msrs(struct vcpu *vcpu);
void vmcs_clear_loaded_here(void);     /* interrupts off: VMCLEAR all that is active on this CPU */
void vmcs_clear(struct vmx_vcpu *vmx); /* from any CPU; sleeps not, waits for an IPI */

/* --- msr_bitmap.c --- */
void msr_bitmap_vm_init(struct vm *vm);
/* No exits for reads (and writes) of @msr, if userspace's filter allows it to the guest. */
void msr_bitmap_open(struct vm *vm, unsigned long *page, u32 msr, bool write);
/* The vCPU goes. */
void msr_bitmap_drop(struct vcpu *vcpu);

/* --- apicv.c --- */
void apicv_caps_init(void); /* after the control words are known: takes its own out of them */
int apicv_vm_init(struct vm *vm);
void apicv_vm_destroy(struct vm *vm);
void apicv_vcpu_init(struct vcpu *vcpu); /* VMCS current */

/* --- idle.c --- */
void idle_caps_init(void);              /* after the control words are known */
void idle_vcpu_init(struct vcpu *vcpu); /* VMCS current, controls and MSR bitmap initialized */
void idle_load(struct vmx_vcpu *vmx);   /* VMCS current */
void idle_open_msrs(struct vm *vm, unsigned long *bitmap); /* with DISABLE_EXITS_CSTATE */
int vmx_pause(struct vcpu *vcpu);                          /* the exit */

/* --- preempt_timer.c --- */
void preempt_timer_caps_init(void); /* after the control words are known: takes its own out */
void preempt_timer_vcpu_init(struct vcpu *vcpu);
void preempt_timer_load(struct vcpu *vcpu); /* the vCPU comes to this CPU, or back to it */
int preempt_timer_exit(struct vcpu *vcpu);
void preempt_timer_wait(struct vmx_vcpu *vmx); /* before an entry, if ->timer_hold */

/* --- tsc_scaling.c --- */
void tsc_caps_init(void); /* after the control words are known: takes its own out */

/* --- posted_intr.c --- */
bool pi_available(void); /* the kernel's vectors can be used */
void pi_module_init(void);
void pi_module_exit(void);
void pi_vcpu_init(struct vcpu *vcpu);
void pi_load(struct vcpu *vcpu, int cpu); /* preemption off */
void pi_put(struct vcpu *vcpu);           /* preemption off */
void pi_cpu_offline(void);                /* on that CPU, no task left */

/* --- ept.c --- */
/* Let accesses to the default LAPIC address hit the VM's APIC-access page, or nothing. */
void ept_map_apic_access(struct vm *vm, bool map);
struct ept *ept_create(void);
void ept_destroy(struct ept *ept);
u64 ept_pointer(const struct ept *ept);
void ept_free_spares(struct vmx_vcpu *vmx);
/* An access to @gpa violated the tables: QUAL_EPT_*. 1, 0 or errno as backend_handle_exit(). */
int ept_violation(struct vcpu *vcpu, gpa_t gpa, u64 qualification);

/* --- exit.c --- */
struct data_access;
/*
 * An access that memory can't serve, @a or (NULL) an unknown one: emulate it, or give up. As
 * backend_handle_exit().
 */
int vmx_mmio(struct vcpu *vcpu, const struct data_access *a);
/* After an EPT violation: the access, if it was the instruction's own to data. */
bool vmx_data_access(u64 qualification, struct data_access *a);

/* --- entry.S --- */
/*
 * Enter the guest with the registers in @regs (enum vcpu_reg order, RSP excepted) and come back at
 * the next VM exit. @host_rsp caches VMCS_HOST_RSP. False: the entry instruction itself failed.
 */
bool vmx_enter_guest(u64 *regs, bool launched, unsigned long *host_rsp);
void vmx_exit_point(void); /* VMCS_HOST_RIP */
/* Run the host's interrupt handler at @entry as if the interrupt had come here. IRQs off. */
void vmx_call_handler(unsigned long entry);

#endif
