/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The x86 state of a vCPU and of a VM, whichever hardware runs it. Nothing of VMX stands here:
 * struct vmx_vcpu and struct ept belong to arch/x86/vmx/ and are opaque pointers.
 */
#ifndef APICVISOR_X86_H
#define APICVISOR_X86_H

#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <asm/fpu/api.h>
#include <irqchip/irqchip.h>
#include <irqchip/vioapic.h>
#include <irqchip/vlapic.h>
#include <irqchip/vpic.h>
#include <irqchip/vpit.h>
#include <tsc_scale.h>

struct vcpu;
struct vm;
struct vmx_vcpu;
struct ept;
struct msr_filter;

#define ARCH_EXIT_REASONS 80  /* SDM appendix "Basic Exit Reasons" ends below */
#define X86_MAX_CPUID     256 /* entries KVM_SET_CPUID2 accepts */
#define X86_MTRR_VAR      8   /* variable-range pairs */
#define X86_MCE_BANKS     32  /* KVM_CAP_MCE */
#define X86_MIN_MMU_PAGES 64  /* KVM_SET_NR_MMU_PAGES accepts */

/* Ways in which guests of KVM differ from a processor, that are ours as well and can be disabled. */
#define X86_QUIRKS        (KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)

/* General-purpose registers in instruction-encoding order, then what the VMCS holds. */
enum vcpu_reg {
	REG_RAX,
	REG_RCX,
	REG_RDX,
	REG_RBX,
	REG_RSP,
	REG_RBP,
	REG_RSI,
	REG_RDI,
	REG_R8,
	REG_R9,
	REG_R10,
	REG_R11,
	REG_R12,
	REG_R13,
	REG_R14,
	REG_R15,
	REG_RIP,
	REG_RFLAGS,
	REG_CR0,
	REG_CR3,
	REG_CR4,
	NR_VCPU_REGS,
};

/* Segment registers in KVM_GET_SREGS terms. */
enum vcpu_seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_TR, SEG_LDTR, NR_VCPU_SEGS };

/* SDM "Interruption Types". */
enum event_type {
	EVENT_EXT_INTR = 0,
	EVENT_NMI = 2,
	EVENT_HW_EXCEPTION = 3,
	EVENT_SOFT_INTR = 4,
	EVENT_PRIV_SOFT_EXC = 5,
	EVENT_SOFT_EXC = 6,
};

/* An event to be injected at the next entry, or one whose delivery an exit interrupted. */
struct x86_event {
	u8 vector;
	u8 type; /* enum event_type */
	bool has_error;
	u32 error;
	u32 insn_len; /* of the instruction, for the software types */
};

/*
 * Events on their way into the guest. "Pending" has not started; "injected" is in the VMCS or was
 * interrupted on delivery and must be injected first, unchanged (it has had its side effects).
 * Only the vCPU's thread touches this, except ->nmi_pending and ->user_irq_*.
 */
struct x86_events {
	struct {
		bool pending, injected, has_error;
		u8 vector;
		u8 type;
		u32 error;
		u32 insn_len;
	} exception;
	struct {
		bool injected, soft;
		u8 vector;
		u32 insn_len;
	} interrupt;
	atomic_t nmi_pending; /* 0 .. 2 not yet injected */
	bool nmi_injected;
	/* KVM_INTERRUPT without an in-kernel PIC: the vector first, then the flag with release */
	bool user_irq_pending;
	u8 user_irq_vector;
};

/* What SYSCALL and SYSRET use. */
struct x86_syscall_msrs {
	u64 star, lstar, cstar, fmask;
};

/* MSRs that are only memory to us: guest state without hardware behind it while exits happen. */
struct x86_msrs {
	struct x86_syscall_msrs syscall;
	u64 kernel_gs_base, tsc_aux;
	u64 pat, misc_enable, tsc_adjust, feature_control, smi_count, microcode;
	u64 mtrr_def_type, mtrr_fixed[11], mtrr_base[X86_MTRR_VAR], mtrr_mask[X86_MTRR_VAR];
	u64 mcg_cap, mcg_status, mcg_ctl, mce_bank[X86_MCE_BANKS][4], mci_ctl2[X86_MCE_BANKS];
	u64 misc_features, platform_info, hwcr, power_ctl;
	u64 kvm_system_time, kvm_wall_clock, kvm_steal_time;
};

/* A port access that userspace must finish (KVM_EXIT_IO); the data is in vcpu->pio_data. */
struct x86_pio {
	u32 count; /* elements of INS in this round */
	u8 size;   /* 1, 2, 4 */
	u64 rip;   /* behind IN: if userspace has moved the vCPU, the value is lost */
};

/* A debugger's wishes: arch/x86/debug.c. The vCPU's thread. */
struct x86_debug {
	u32 control;    /* KVM_GUESTDBG_*; 0: nobody debugs */
	u64 dr[4], dr7; /* its breakpoints, with KVM_GUESTDBG_USE_HW_BP */
	u64 due;        /* DR6 bits to report before the next instruction */
};

/* What the guest has been told of the time that its vCPU waits for a CPU: arch/x86/pv.c. */
struct x86_steal {
	u64 waited_ns;       /* by the thread below, when it was last looked at */
	pid_t thread;        /* 0: none yet */
	bool told_preempted; /* the guest's memory says so now */
};

/* A TPR in guest memory, and reports of accesses to the real one: arch/x86/vapic.c. */
struct x86_vapic {
	u64 gpa;        /* of the doubleword; 0: none */
	int tpr;        /* in it at the last entry; -1: nothing was */
	bool reporting; /* KVM_TPR_ACCESS_REPORTING */
	bool accessed;  /* to be reported: */
	bool write;
	u64 rip;
};

struct vcpu_arch {
	u64 regs[NR_VCPU_REGS]; /* valid where avail; RSP, RIP, RFLAGS are written back if dirty */
	u32 regs_avail, regs_dirty; /* BIT(enum vcpu_reg) */
	u64 cr2, cr8, efer, xcr0;
	u32 pkru;            /* guest PKRU; the kernel keeps the host's in the register */
	u64 dr[4], dr6, dr7; /* the guest's, even while a debugger's are in the processor */
	struct x86_debug debug;

	struct vlapic apic; /* in use when vm->irqchip_mode != IRQCHIP_NONE */
	u32 *apic_page;     /* its register page */
	u64 apic_base;      /* IA32_APIC_BASE without an in-kernel APIC */
	struct hrtimer apic_timer;
	bool timer_moved;       /* the LAPIC timer's deadline; set by any context */
	bool timer_by_entry;    /* VM entries look at it, not ->apic_timer; the vCPU's thread */
	struct x86_vapic vapic; /* the vCPU's thread */
	DECLARE_BITMAP(eoi_exits, 256); /* split irqchip: EOIs to report. The vCPU's thread */

	u32 mp_state; /* KVM_MP_STATE_*; the vCPU's thread, or others under vcpu->lock */
	struct x86_events ev;
	struct x86_msrs msr;

	struct kvm_cpuid_entry2 *cpuid;
	u32 nr_cpuid;
	u64 guest_supported_xcr0;
	u8 maxphyaddr; /* from CPUID 0x80000008; 36 without it */
	bool gbpages;  /* from CPUID: 1-GByte pages */

	struct tsc_map tsc; /* the guest's out of the host's; the vCPU's thread */
	u32 tsc_khz;        /* as userspace has said; apic.tsc_khz: as it is */
	struct x86_steal steal;
	bool was_stopped; /* by its host, which its clock page is to say */

	struct fpu_guest fpu; /* the kernel's container of guest XSAVE state */
	bool fpu_loaded;

	struct x86_pio pio;
	struct x86_mmio *mmio;              /* arch/x86/io.c */
	struct fetch_memos *fetch_memos;    /* arch/x86/fetch.c; NULL: none yet */
	u64 msr_exit_rip;                   /* of the RDMSR or WRMSR that userspace must finish */
	int (*complete)(struct vcpu *vcpu); /* finish the exit at the next KVM_RUN; 1, 0, errno */

	struct vmx_vcpu *vmx;
};

/*
 * The VM's clock: @ns when the host's TSC was @tsc, and from there on by the TSC of a guest with
 * that @ratio to the host's: kvmclock.c.
 */
struct vm_clock {
	u64 tsc, ns;
	u64 ratio;
	struct tsc_clock rate;
};

struct vm_arch {
	struct ept *ept;
	/* APIC virtualization: arch/x86/vmx/apicv.c */
	struct mutex apic_access_lock;   /* the next two fields; taken with nothing but vm->srcu */
	u32 no_page_vcpus;               /* vCPUs that would access the page itself */
	bool apic_access_mapped;         /* read by vCPUs without the lock */
	struct page *apic_access_page;   /* NULL: not virtualized */
	bool apicv_off_user;             /* debugfs: switched off for the VM */
	u32 posting_devices;             /* under vm->bypass_lock; read by any context */
	u64 tss_addr, identity_map_addr; /* recorded; unrestricted guest needs neither */
	bool identity_map_set;
	struct vioapic ioapic;
	struct vpic pic;
	struct vpit pit;
	struct hrtimer pit_timer;
	struct hrtimer ioapic_timer; /* ends the hold of a line that storms */
	u32 boot_cpu_id;
	u32 disabled_exits;      /* KVM_X86_DISABLE_EXITS_* of new vCPUs; under vm->lock */
	u32 nr_mmu_pages;        /* KVM_SET_NR_MMU_PAGES */
	u64 disabled_quirks;     /* KVM_X86_QUIRK_* that userspace doesn't want */
	bool no_platform_info;   /* KVM_CAP_MSR_PLATFORM_INFO is off */
	bool exception_payload;  /* KVM_CAP_EXCEPTION_PAYLOAD is on */
	bool triple_fault_event; /* KVM_CAP_X86_TRIPLE_FAULT_EVENT is on */
	u32 max_vcpu_ids;        /* KVM_CAP_MAX_VCPU_ID as enabled, 0: not */
	u32 user_msr_reasons;    /* KVM_MSR_EXIT_REASON_* that exit instead of #GP */
	/* NULL: none; written under vm->lock, read under srcu. */
	struct msr_filter __rcu *msr_filter;
	u64 msr_filter_changes; /* so often: counted after each, under vm->lock */
	struct mutex msr_bitmap_lock;
	struct list_head msr_bitmaps; /* arch/x86/vmx/msr_bitmap.c */
	spinlock_t tsc_lock;
	struct tsc_map tsc;    /* of vCPUs whose TSCs run together; under tsc_lock */
	bool tsc_was_set;      /* by userspace; under tsc_lock */
	struct vm_clock clock; /* under tsc_lock */
	u32 default_tsc_khz;
};

/* --- registers: the vCPU's thread, loaded --- */

void backend_cache_reg(struct vcpu *vcpu, enum vcpu_reg reg);

#define vcpu_reg(vcpu, r)                                \
	({                                               \
		if (!((vcpu)->arch.regs_avail & BIT(r))) \
			backend_cache_reg(vcpu, r);      \
		(vcpu)->arch.regs[r];                    \
	})

#define vcpu_set_reg(vcpu, r, value)               \
	do {                                       \
		(vcpu)->arch.regs[r] = (value);    \
		(vcpu)->arch.regs_avail |= BIT(r); \
		(vcpu)->arch.regs_dirty |= BIT(r); \
	} while (0)

/* The operand of WRMSR and XSETBV. */
#define vcpu_edx_eax(vcpu) ((u32)(vcpu)->arch.regs[REG_RAX] | (vcpu)->arch.regs[REG_RDX] << 32)

/* --- arch/x86/events.c --- */

/* Raise an exception in the guest (merging to #DF or triple fault as the SDM's table says). */
void event_queue_exception(struct vcpu *vcpu, u8 vector);
void event_queue_exception_error(struct vcpu *vcpu, u8 vector, u32 error);
void event_queue_page_fault(struct vcpu *vcpu, u64 address, u32 error);
/* #DB for the reasons @bits: B0..B3, BD, BS of DR6. */
void event_queue_debug(struct vcpu *vcpu, u64 bits);
/* What #DB does to DR7 and DEBUGCTL when it is delivered without having been queued here. */
void event_enter_debug_handler(struct vcpu *vcpu);
/* An exit interrupted the delivery of @ev: it comes first at the next entry. */
void event_requeue(struct vcpu *vcpu, const struct x86_event *ev);
/* Before entry: choose and inject by priority, open windows. 1 = go on, 0/errno = stop. */
int event_inject(struct vcpu *vcpu);
/* After an exit: events that were in the VMCS have been delivered unless requeued. */
void event_clear_injected(struct vcpu *vcpu);
/* An interrupt or NMI that could be taken now (ends HLT). */
bool event_wakes(struct vcpu *vcpu);
/* Could userspace inject an ExtINT by KVM_INTERRUPT now? */
bool event_ready_for_user_irq(struct vcpu *vcpu);
/* Is that what it wants to hear (KVM_EXIT_IRQ_WINDOW_OPEN)? */
bool event_user_window(struct vcpu *vcpu);
/* The vector of KVM_INTERRUPT that waits, -1: none. @take: it is going to be injected. */
int event_user_irq(struct vcpu *vcpu, bool take);
/* Latch an NMI; any context. */
void event_nmi(struct vcpu *vcpu);
/* The interrupt that must be delivered before any other, -1: none. */
int event_interrupt(struct vcpu *vcpu);
void event_set_interrupt(struct vcpu *vcpu, int vector, bool soft);
void event_get(struct vcpu *vcpu, struct kvm_vcpu_events *e);
int event_set(struct vcpu *vcpu, const struct kvm_vcpu_events *e);

/* --- arch/x86/debug.c --- */

/* SDM "Debug Registers": bits that a write can set, bits that read as 1 whatever is written. */
#define DR6_ONES     0xffff0ff0ull
#define DR6_WRITABLE 0xe00full
#define DR6_BD       BIT_ULL(13)
#define DR7_GD       BIT_ULL(13)
#define DR7_ONES     0x400ull
#define DR7_WRITABLE 0xffff2bffull

/* Bits of KVM_SET_GUEST_DEBUG's control that this host can do. */
u32 debug_control_bits(void);
/* -EINVAL: unknown control bits; -EBUSY: to inject while an exception waits. */
int debug_set(struct vcpu *vcpu, const struct kvm_guest_debug *dbg);
bool debug_stepping(const struct vcpu *vcpu);
bool debug_blocks_interrupts(const struct vcpu *vcpu);
bool debug_owns_breakpoints(const struct vcpu *vcpu);
/* Breakpoints as the processor has to have them: the debugger's or the guest's. */
u64 debug_active_dr7(const struct vcpu *vcpu);
const u64 *debug_active_dr(const struct vcpu *vcpu);
/* The guest's DR7 changes; the processor's only if it is the guest's. */
void debug_set_guest_dr7(struct vcpu *vcpu, u64 value);
/* Debug conditions @bits (of DR6) are met: for the debugger, or #DB for the guest. */
void debug_trap(struct vcpu *vcpu, u64 bits);
/* An instruction, or the delivery of an event, is done. */
void debug_insn_done(struct vcpu *vcpu);
/* The guest touches a debug register: true if the debugger (DR7.GD) stops it. */
bool debug_dr_access(struct vcpu *vcpu);
/* Something to report? Then report it; as backend_handle_exit(). */
#define debug_due(vcpu) ((vcpu)->arch.debug.due != 0)
int debug_report(struct vcpu *vcpu);
/* INT3 with KVM_GUESTDBG_USE_SW_BP; RIP is at it. As backend_handle_exit(). */
int debug_breakpoint_insn(struct vcpu *vcpu);

/* --- arch/x86/vapic.c: vm->srcu held --- */

/* The guest accesses the TPR in the LAPIC's page; RIP is at the instruction. */
void vapic_tpr_accessed(struct vcpu *vcpu, bool write);
/* Is there such an access to tell of? 1 = no, 0 = to userspace. */
int vapic_report(struct vcpu *vcpu);
/* KVM_TPR_ACCESS_REPORTING. -EINVAL: flags. */
long vapic_ioctl_reporting(struct vcpu *vcpu, void __user *arg);
/* KVM_SET_VAPIC_ADDR; 0: none. -EINVAL: no slot is there, or it is read-only. */
long vapic_ioctl_addr(struct vcpu *vcpu, void __user *arg);
/* INIT: no such page any more. */
void vapic_reset(struct vcpu *vcpu);
/* Is there such a page? Then exchange the TPR with it. May sleep. */
#define vapic_in_memory(vcpu) ((vcpu)->arch.vapic.gpa != 0)
void vapic_before_entry(struct vcpu *vcpu);
void vapic_after_exit(struct vcpu *vcpu);

/* --- arch/x86/io.c --- */

/* An access of the instruction at RIP, as an exit tells of it. */
struct data_access {
	u64 gpa, la;
	bool write;
};

/* RIP is already behind the instruction. */
int io_port(struct vcpu *vcpu, u16 port, u8 size, bool in);
int io_port_string(struct vcpu *vcpu, u16 port, u8 size, bool in);
/* An access to memory that no slot backs. Decodes the instruction at RIP. @a NULL: not known. */
int io_mmio(struct vcpu *vcpu, const struct data_access *a);
/*
 * Interrupts off, without vm->srcu: if a device in the kernel takes the access, and for io_mmio()
 * the instruction at RIP is a move that has been here before, it is done. Else false.
 */
bool io_in_at_once(struct vcpu *vcpu, u16 port, u8 size);
bool io_out_at_once(struct vcpu *vcpu, u16 port, u8 size);
bool io_mmio_at_once(struct vcpu *vcpu, const struct data_access *a);
/* KVM_EXIT_INTERNAL_ERROR, suberror EMULATION, with @len instruction bytes (0: unknown). */
int io_emulation_failed(struct vcpu *vcpu, const u8 *bytes, u32 len);
void io_vcpu_destroy(struct vcpu *vcpu);

/* --- arch/x86/regs.c, msr.c, mce.c, fpu.c --- */

/* What this host and backend allow any guest. Set at module load, read-only afterwards. */
struct x86_host {
	u64 cr4, efer;         /* bits that may be set */
	u64 xcr0;              /* components that the kernel saves and we switch */
	u64 own_xcr0, own_xss; /* what the host itself runs with; 0: it has no such register */
};
extern struct x86_host x86_host;
void regs_host_init(const struct kvm_cpuid_entry2 *supported, u32 n);

void regs_get(struct vcpu *vcpu, struct kvm_regs *r);
void regs_set(struct vcpu *vcpu, const struct kvm_regs *r);
void sregs_get(struct vcpu *vcpu, struct kvm_sregs *s);
/* -EINVAL: a combination the processor would refuse. */
int sregs_set(struct vcpu *vcpu, const struct kvm_sregs *s);
void debugregs_get(struct vcpu *vcpu, struct kvm_debugregs *d);
int debugregs_set(struct vcpu *vcpu, const struct kvm_debugregs *d);
/* Guest writes with the architecture's checks. 0, or 1 for #GP. */
int regs_set_cr0(struct vcpu *vcpu, u64 value);
int regs_set_cr3(struct vcpu *vcpu, u64 value);
int regs_set_cr4(struct vcpu *vcpu, u64 value);
int regs_set_efer(struct vcpu *vcpu, u64 value, bool host_initiated);
int regs_set_xcr(struct vcpu *vcpu, u32 index, u64 value);
/* CR8, wherever the TPR lives. Set: 1 for #GP (above 15). */
u64 regs_get_cr8(struct vcpu *vcpu);
int regs_set_cr8(struct vcpu *vcpu, u64 value);
/* Bits of a guest-physical address from MAXPHYADDR up. */
u64 vcpu_reserved_gpa_bits(const struct vcpu *vcpu);
bool vcpu_la_canonical(struct vcpu *vcpu, u64 la);
/*
 * Processor state after power-on (or INIT): SDM "IA-32 and Intel 64 Processor States Following ..."
 */
void regs_reset(struct vcpu *vcpu, bool init_event);

/*
 * KVM_GET/SET_MSRS and the guest. 0, or what is #GP for the guest: MSR_UNKNOWN (no such MSR), or 1
 * (reserved bits, not for this guest).
 */
#define MSR_UNKNOWN 2
int msr_get(struct vcpu *vcpu, u32 msr, u64 *value, bool host_initiated);
int msr_set(struct vcpu *vcpu, u32 msr, u64 value, bool host_initiated);
/*
 * The guest's write with interrupts off, where msr_get() serves as well. MSR_LATER: msr_set() has
 * to be called with interrupts on, and nothing has been done.
 */
#define MSR_LATER (-1)
int msr_set_at_once(struct vcpu *vcpu, u32 msr, u64 value);
long msr_ioctl_index_list(void __user *arg, bool features);
long msr_ioctl_system_get(void __user *arg);
long msr_ioctl_get(struct vcpu *vcpu, void __user *arg);
long msr_ioctl_set(struct vcpu *vcpu, void __user *arg);
void msr_reset(struct vcpu *vcpu, bool init_event);
/* --- arch/x86/msr_exit.c --- */
/* The instructions RDMSR and WRMSR, at RIP; as backend_handle_exit(). */
int msr_insn_read(struct vcpu *vcpu);
int msr_insn_write(struct vcpu *vcpu);
/* The same if it takes no more than this vCPU: 1, or 0: nothing was done. Interrupts off. */
int msr_insn_read_at_once(struct vcpu *vcpu);
int msr_insn_write_at_once(struct vcpu *vcpu);
/* Does userspace's filter let the guest? Under vm->srcu or vm->lock. */
bool msr_allowed(struct vm *vm, u32 msr, bool write);
/* KVM_X86_SET_MSR_FILTER: -EINVAL, -EFAULT, -ENOMEM. Sleeps; takes vm->lock. */
long msr_ioctl_set_filter(struct vm *vm, void __user *arg);
void msr_filter_destroy(struct vm *vm);

/* IA32_APIC_BASE in every irqchip mode. Set: 1 for #GP. */
u64 vcpu_apic_base(struct vcpu *vcpu);
int vcpu_set_apic_base(struct vcpu *vcpu, u64 value, bool host_initiated);

/* Is the guest subject to @quirk, a bit of X86_QUIRKS? */
bool vcpu_has_quirk(const struct vcpu *vcpu, u64 quirk);

/* Handlers of the MSR table: 0, or 1 for #GP. */
int vmce_set_ctl(struct vcpu *vcpu, u32 msr, u64 value, bool host_initiated);
int vmce_get_bank(struct vcpu *vcpu, u32 msr, u64 *value, bool host_initiated);
int vmce_set_bank(struct vcpu *vcpu, u32 msr, u64 value, bool host_initiated);
int vmce_get_ctl2(struct vcpu *vcpu, u32 msr, u64 *value, bool host_initiated);
int vmce_set_ctl2(struct vcpu *vcpu, u32 msr, u64 value, bool host_initiated);
/* KVM_X86_SETUP_MCE, KVM_X86_SET_MCE: -EINVAL for what IA32_MCG_CAP cannot hold. */
#define X86_MCG_CAP (BIT_ULL(8) | BIT_ULL(10) | BIT_ULL(24)) /* MCG_CTL_P, CMCI_P, SER_P */
int vmce_setup(struct vcpu *vcpu, u64 cap);
int vmce_inject(struct vcpu *vcpu, const struct kvm_x86_mce *mce);

void fpu_host_init(void);
int fpu_vcpu_init(struct vcpu *vcpu);
void fpu_vcpu_destroy(struct vcpu *vcpu);
/* Swap user and guest FPU state around KVM_RUN (process context, preemption on). */
void fpu_load_guest(struct vcpu *vcpu);
void fpu_put_guest(struct vcpu *vcpu);
/* Interrupts off, just before entry: registers really hold the guest's state. */
void fpu_before_entry(struct vcpu *vcpu);
int fpu_get(struct vcpu *vcpu, struct kvm_fpu *f);
int fpu_set(struct vcpu *vcpu, const struct kvm_fpu *f);
int xsave_get(struct vcpu *vcpu, struct kvm_xsave *x);
int xsave_set(struct vcpu *vcpu, const struct kvm_xsave *x);

/* --- arch/x86/x86.c, enter.c --- */

void vcpu_reset(struct vcpu *vcpu, bool init_event);
/* What has come in, INIT and SIPI among it, takes effect on mp_state. The vCPU's thread, loaded. */
void vcpu_settle_mp_state(struct vcpu *vcpu);

/* --- arch/x86/sync.c: at both ends of KVM_RUN --- */

/* What userspace has changed in kvm_run.s.regs. -EINVAL: unknown sets, or values refused. */
int sync_take(struct vcpu *vcpu);
/* What userspace wants to see there. */
void sync_give(struct vcpu *vcpu);

/* --- arch/x86/cpuid_ioctl.c, clock.c --- */

/* At module load, after backend_setup(): what this host offers, from CPUID and the backend. */
int cpuid_host_init(void);
void cpuid_host_exit(void);
long cpuid_ioctl_supported(void __user *arg);
long cpuid_ioctl_get(struct vcpu *vcpu, void __user *arg);
long cpuid_ioctl_set(struct vcpu *vcpu, void __user *arg);
/* The instruction CPUID, as the guest sees it at this moment: RAX to RDX in and out. */
void vcpu_cpuid(struct vcpu *vcpu);
/* CR4, XCR0 or the APIC's enable bit changed. */
void vcpu_update_cpuid(struct vcpu *vcpu);
/* @reg: enum cpuid_reg. @bit: 0 .. 31. False before KVM_SET_CPUID2. */
bool vcpu_has_cpuid(struct vcpu *vcpu, u32 leaf, u32 sub, unsigned int reg, u32 bit);

/* The vCPU's thread. */
u64 vcpu_guest_tsc(struct vcpu *vcpu);
/* Userspace sets the TSC: vCPUs that get about the same value run together (see clock.c). */
void vcpu_set_guest_tsc(struct vcpu *vcpu, u64 value);
/* The guest moves its TSC by @delta. */
void vcpu_adjust_tsc_offset(struct vcpu *vcpu, u64 delta);
void clock_vm_init(struct vm *vm);
void clock_vcpu_init(struct vcpu *vcpu);
long clock_vm_ioctl(struct vm *vm, unsigned int cmd, void __user *arg);
long clock_vcpu_ioctl(struct vcpu *vcpu, unsigned int cmd, void __user *arg);

/* --- arch/x86/kvmclock.c --- */

void kvmclock_vm_init(struct vm *vm);
/* The clock goes on by TSCs of @khz, which have that @ratio to the host's. tsc_lock held. */
void kvmclock_set_rate_locked(struct vm *vm, u64 ratio, u32 khz);
/* Is there a clock for guests on this host? */
bool kvmclock_usable(void);
/* What KVM_GET/SET_CLOCK know. */
#define KVMCLOCK_FLAGS (KVM_CLOCK_REALTIME | KVM_CLOCK_TSC_STABLE | KVM_CLOCK_HOST_TSC)
/* The clock, or a vCPU's TSC, was set: the vCPUs' pages are stale. Any context. */
void kvmclock_changed(struct vm *vm);
/* REQ_CLOCK: write the vCPU's page. Its thread, srcu held; sleeps. */
void kvmclock_update(struct vcpu *vcpu);
/* WRMSR and KVM_SET_MSRS, as above. 0. */
int kvmclock_set_system_time(struct vcpu *vcpu, u64 value);
int kvmclock_set_wall_clock(struct vcpu *vcpu, u64 value);
/* KVM_GET_CLOCK, KVM_SET_CLOCK: -EFAULT; -EINVAL: an unknown flag. */
long kvmclock_vm_ioctl(struct vm *vm, unsigned int cmd, void __user *arg);
/* KVM_KVMCLOCK_CTRL: -EINVAL: the guest has no clock. */
long kvmclock_tell_stopped(struct vcpu *vcpu);

/* --- arch/x86/pv.c --- */

/* BIT(KVM_FEATURE_*) that guests can have on this host. */
u32 pv_features(void);
bool pv_has_steal_time(void);
/* Does the guest's CPUID have KVM_FEATURE_@feature? */
bool vcpu_has_pv(struct vcpu *vcpu, u32 feature);
/* WRMSR and KVM_SET_MSRS, as above. 0. */
int pv_set_steal_time(struct vcpu *vcpu, u64 value);
/* REQ_STEAL: write the guest's structure. srcu held; sleeps. */
void pv_update_steal_time(struct vcpu *vcpu);
/* The vCPU's thread has got a CPU. Preemption off. */
void pv_load(struct vcpu *vcpu);
/* It loses its CPU, though it could run. Called by the scheduler: must not sleep. */
void pv_preempted(struct vcpu *vcpu);
/* INIT: nothing is written to guest memory any more. */
void pv_reset(struct vcpu *vcpu);

/* --- arch/x86/irqchip_ioctl.c, irqchip_host.c --- */

extern const struct irqchip_host irqchip_host_ops;
/* Prepare the timers, and stop them for good: nothing else of the VM (vCPU) may be at work then. */
void irqchip_host_vcpu_init(struct vcpu *vcpu);
void irqchip_host_vcpu_stop(struct vcpu *vcpu);
/* From now on an hrtimer looks at the LAPIC timer's deadline, not VM entries. The vCPU's thread. */
void irqchip_host_keep_timer(struct vcpu *vcpu);
void irqchip_host_vm_init(struct vm *vm);
void irqchip_host_vm_stop(struct vm *vm);
/* Free what KVM_CREATE_IRQCHIP and KVM_SET_GSI_ROUTING have made. */
void irqchip_vm_destroy(struct vm *vm);
/* KVM_CAP_SPLIT_IRQCHIP, vm->lock held. -EINVAL: more pins than GSIs; -EEXIST: too late; -ENOMEM. */
long irqchip_enable_split(struct vm *vm, u64 pins);
long irqchip_vm_ioctl(struct vm *vm, unsigned int cmd, void __user *arg);
long irqchip_vcpu_ioctl(struct vcpu *vcpu, unsigned int cmd, void __user *arg);

#endif
