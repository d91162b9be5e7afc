/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual CPU: the object behind the vCPU file descriptor, its run loop, and the protocol by
 * which others get its attention.
 *
 * Requests. Whoever wants a vCPU to do something sets a bit in ->requests and then kicks:
 *
 *   requester                          vCPU, before entry (interrupts off)
 *   ---------                          -----------------------------------
 *   set_bit(req, ->requests)           ->mode = IN_GUEST
 *   smp_mb()            (A)            smp_mb()            (B)
 *   if (->mode == IN_GUEST) send IPI   if (->requests) leave again
 *
 * (A) pairs with (B): at least one side sees the other's store, so no request is slept over.
 */
#ifndef APICVISOR_VCPU_H
#define APICVISOR_VCPU_H

#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/srcu.h>
#include <linux/thread_info.h>
#include <compat.h>
#include <vm.h>

enum vcpu_mode {
	VCPU_OUTSIDE,  /* not between entry and exit */
	VCPU_IN_GUEST, /* an IPI makes it exit */
	VCPU_EXITING,  /* an IPI is already on its way */
};

enum vcpu_request {
	REQ_EVENT,        /* look at interrupts, NMIs, INIT/SIPI again before entry */
	REQ_TLB_FLUSH,    /* second-level tables changed: INVEPT before entry */
	REQ_GUEST_TLB,    /* the guest's own translations: INVVPID before entry */
	REQ_TRIPLE_FAULT, /* end with KVM_EXIT_SHUTDOWN */
	REQ_VM_DEAD,      /* end with -EIO */
	REQ_APICV,        /* see backend_update_apicv() */
	REQ_POSTING,      /* see backend_posting_begins() */
	REQ_CLOCK,        /* see kvmclock_update() */
	REQ_STEAL,        /* see pv_update_steal_time() */
	REQ_MSR_FILTER,   /* see backend_open_msrs() */
};

struct vcpu_stats {
	u64 entries;
	u64 exits;
	u64 io_exits, mmio_exits; /* to userspace */
	u64 signal_exits;         /* -EINTR */
	u64 halts, wakeups;
	u64 halt_attempted_poll, halt_successful_poll, halt_poll_success_ns, halt_poll_fail_ns;
	u64 irq_injected, nmi_injected, exceptions_injected, irq_windows;
	u64 directed_yield_attempted, directed_yield_successful; /* virt/spin.c */
	u64 ept_faults, tlb_flushes;
	u64 apicv_changes;                /* features came into force or left it */
	u64 by_reason[ARCH_EXIT_REASONS]; /* by basic exit reason */
};

struct vcpu {
	struct vm *vm;
	u32 index; /* in vm->vcpu[] */
	u32 id;    /* the caller's number = x2APIC ID */

	struct mutex lock;            /* one ioctl at a time; KVM_RUN holds it throughout */
	struct kvm_run *run;          /* page 0 of the mapping */
	void *pio_data;               /* page 1 (KVM_PIO_PAGE_OFFSET) */
	struct dirty_ring dirty_ring; /* from page KVM_DIRTY_LOG_PAGE_OFFSET on */

	unsigned long requests; /* BIT(enum vcpu_request): atomic bit operations */
	int mode;               /* enum vcpu_mode: cmpxchg */
	int cpu;          /* physical CPU we were last loaded on, -1: never; see vcpu_load() */
	bool loaded;      /* between vcpu_load() and vcpu_put() */
	bool preempted;   /* scheduled out while runnable */
	bool at_boundary; /* between two of the guest's instructions; the vCPU's thread */
	struct task_struct __rcu *thread; /* in KVM_RUN */
	struct preempt_notifier preempt_notifier;
	struct rcuwait wait; /* sleeps here in HLT and while UNINITIALIZED */
	u32 halt_poll_ns;    /* how long to poll before that: virt/halt.c */
	int srcu_idx;        /* of vm->srcu, while in KVM_RUN */

	sigset_t sigmask; /* KVM_SET_SIGNAL_MASK */
	bool sigmask_active;

	struct vcpu_stats stats; /* written by the vCPU's thread only */
	struct dentry *debugfs;
	struct vcpu_arch arch;
};

/* --- run loop: the vCPU's thread --- */

/*
 * vm->srcu is held by arch_vcpu_run_begin(), _run_end(), _enter(), _wakeup() and _ioctl(). Whoever
 * writes slots or buses waits for its readers, so arch_vcpu_enter() lets go of it while the guest
 * runs.
 */
static inline void vcpu_srcu_lock(struct vcpu *vcpu)
{
	vcpu->srcu_idx = srcu_read_lock(&vcpu->vm->srcu);
}

static inline void vcpu_srcu_unlock(struct vcpu *vcpu)
{
	srcu_read_unlock(&vcpu->vm->srcu, vcpu->srcu_idx);
}

/* For the next: one of the thread's flags is set; is it for one of its reasons? */
bool vcpu_flagged_work(struct vcpu *vcpu);

/*
 * Must the vCPU's thread leave the run loop or yield (signal, immediate_exit, task work,
 * scheduler)? Part of the last check before entry, with interrupts off.
 */
static inline bool vcpu_work_pending(struct vcpu *vcpu)
{
	const unsigned long flags =
		_TIF_NEED_RESCHED | _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL | _TIF_NOTIFY_RESUME;

	return compat_immediate_exit(vcpu->run) ||
	       (unlikely(read_thread_flags() & flags) && vcpu_flagged_work(vcpu));
}

/* --- virt/vcpu.c --- */

int vcpu_module_init(void);
void vcpu_module_exit(void);

/* KVM_CREATE_VCPU: -EINVAL (id, too many), -EEXIST, -ENOMEM. Takes vm->lock. Returns the fd. */
int vcpu_create_fd(struct vm *vm, unsigned long id);
void vcpu_destroy(struct vcpu *vcpu);

/*
 * Make the vCPU's state current on this CPU, and keep it so over preemption. Process context,
 * vcpu->lock held or the vCPU unknown to others. During arch_vcpu_load() vcpu->cpu still tells
 * where it was loaded before.
 */
void vcpu_load(struct vcpu *vcpu);
void vcpu_put(struct vcpu *vcpu);

/* The vCPU that is loaded on this CPU, or NULL. Preemption off. */
struct vcpu *vcpu_running(void);

static inline void vcpu_set_request(struct vcpu *vcpu, enum vcpu_request req)
{
	smp_wmb(); /* the work's data before its bit; pairs with vcpu_take_request() */
	set_bit(req, &vcpu->requests);
}

static inline bool vcpu_take_request(struct vcpu *vcpu, enum vcpu_request req)
{
	if (!test_bit(req, &vcpu->requests))
		return false;
	clear_bit(req, &vcpu->requests);
	smp_mb__after_atomic(); /* the bit before the work's data; pairs with vcpu_set_request() */
	return true;
}

/* Wake the vCPU if it sleeps, and make it leave the guest if it runs. Any context. */
void vcpu_kick(struct vcpu *vcpu);
/* Wake only. */
void vcpu_wake(struct vcpu *vcpu);
/*
 * Set @req on every vCPU, make those in the guest leave it, and wait until none is still in there
 * without having seen it. Interrupts on; may be called under vm->mmu_lock. Wakes no sleeper.
 */
void vm_request_all_and_wait(struct vm *vm, enum vcpu_request req);

/* Second-level translations of the VM changed: drop them everywhere before returning. */
static inline void vm_flush_tlb(struct vm *vm)
{
	vm_request_all_and_wait(vm, REQ_TLB_FLUSH);
}

/* --- virt/halt.c --- */

/* HLT, or waiting for SIPI. True: arch_vcpu_runnable(). False: look again, a signal may have come. */
bool vcpu_block(struct vcpu *vcpu) __must_hold(&vcpu->vm->srcu);

/* --- virt/spin.c --- */

/*
 * The vCPU waits for another one: let one run that has lost its CPU. False: there is none, or it
 * would not help. The vCPU's thread, in KVM_RUN; may sleep.
 */
bool vcpu_spins(struct vcpu *vcpu);

/* --- virt/stats.c --- */

int stats_module_init(void);
void stats_module_exit(void);
void stats_add_vm(struct vm *vm);
/* Fold the VM's counters into the totals since load. */
void stats_remove_vm(struct vm *vm);
void stats_add_vcpu(struct vcpu *vcpu);

/* --- virt/stats_fd.c: KVM_GET_STATS_FD; the descriptor, or an errno. Process context. --- */

int stats_vm_fd(struct vm *vm);
int stats_vcpu_fd(struct vcpu *vcpu);

#endif
