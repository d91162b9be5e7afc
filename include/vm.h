/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual machine: the object behind the VM file descriptor. No x86 and no VMX stands here
 * except the opaque struct vm_arch at the end.
 *
 * Lock order, outermost first:
 *   vm->lock -> vcpu->lock (never the reverse; KVM_RUN holds vcpu->lock alone)
 *   vcpu->lock -> vm->slots_lock -> vm->srcu (synchronize) -> vm->mmu_lock
 *   vm->irq_lock -> vm->irqfd_lock
 *   vm->irq_lock -> irqbypass's mutex -> vm->bypass_lock
 *   vm->mmu_lock and the core's device locks are leaves.
 * Documentation/locking.rst has the reasons.
 */
#ifndef APICVISOR_VM_H
#define APICVISOR_VM_H

#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/workqueue.h>
#include <irqchip/irqchip.h>
#include <x86.h>

#define VM_MAX_VCPUS      IRQCHIP_MAX_VCPUS
#define VM_MAX_VCPU_ID    4096 /* vCPU IDs 0 .. 4095 */
#define VM_MAX_MEMSLOTS   4096 /* slot numbers 0 .. 4095 */
#define VM_MAX_SLOT_PAGES ((1UL << 31) - 1)
#define VM_GPA_BITS       46 /* guest-physical addresses the second level maps at most */

typedef u64 gpa_t;
typedef u64 gfn_t;
typedef unsigned long hva_t;

struct vcpu;
struct iobus;
struct coalesced;

/* One guest memory slot. Immutable once published, except for the bits of the dirty bitmap. */
struct memslot {
	gfn_t base_gfn;
	unsigned long npages;
	hva_t userspace_addr;        /* of base_gfn */
	u32 flags;                   /* KVM_MEM_* */
	u32 id;                      /* the caller's slot number */
	unsigned long *dirty_bitmap; /* if it logs, without rings; shared by successive tables */
};

/* All slots of a VM, sorted by base_gfn, never overlapping. Replaced as a whole. */
struct memslots {
	u64 generation;
	u32 n;
	struct memslot slot[];
};

enum irqchip_mode {
	IRQCHIP_NONE,   /* no in-kernel APIC: userspace has it all */
	IRQCHIP_KERNEL, /* KVM_CREATE_IRQCHIP */
	IRQCHIP_SPLIT,  /* LAPIC here, IOAPIC and PIC in userspace */
};

struct vm {
	refcount_t users;     /* the VM fd and each vCPU fd hold one */
	struct mm_struct *mm; /* the creator's (mmgrab); ioctls from another mm get -EIO */
	pid_t creator;        /* process ID, for names only */
	bool dead;            /* set once on an unrecoverable error: ioctls get -EIO */

	struct mutex lock; /* vCPU creation, irqchip and PIT creation, capabilities, clock */

	/* guest memory: virt/memslot.c, virt/dirty.c, virt/notifier.c */
	struct mutex slots_lock; /* writers of ->slots (with mmu_lock too) and ->bus */
	struct srcu_struct srcu; /* readers of ->slots and ->bus; the notifier uses mmu_lock */
	struct memslots __rcu *slots;
	u32 dirty_ring_size; /* entries of each vCPU's ring, 0: bitmaps; not after the first vCPU */
	u32 manual_dirty;    /* KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, KVM_DIRTY_LOG_INITIALLY_SET */
	spinlock_t mmu_lock; /* second-level tables and the four fields below */
	struct mmu_notifier notifier;
	unsigned long invalidate_seq;           /* completed invalidations and changes of ->slots */
	long invalidate_count;                  /* invalidations in progress */
	hva_t invalidate_start, invalidate_end; /* their hull */

	/* devices on the PIO and MMIO buses: virt/iobus.c */
	struct iobus __rcu *bus[2];
	struct coalesced *coalesced;

	u64 halt_poll_ns;         /* KVM_CAP_HALT_POLL, or: */
#define HALT_POLL_DEFAULT U64_MAX /* as the module's parameter says */

	/* vCPUs: entries are only added, under ->lock, then published by the count */
	struct vcpu *vcpu[VM_MAX_VCPUS];
	u32 nr_vcpus;        /* smp_store_release / smp_load_acquire */
	u32 last_yielded_to; /* index in ->vcpu: virt/spin.c */

	/* interrupts */
	struct mutex irq_lock; /* routing updates */
	struct irqchip chip;
	enum irqchip_mode irqchip_mode; /* written once, under ->lock, before the first vCPU */
	spinlock_t irqfd_lock;          /* ->irqfds, ->resamplers; taken with interrupts off */
	struct list_head irqfds;
	struct list_head resamplers;
	struct list_head ioeventfds; /* under slots_lock */
	struct mutex bypass_lock;    /* ->bypasses, struct bypass, ->arch.posting_devices */
	struct list_head bypasses;   /* those with a producer: virt/bypass.c */
	struct work_struct bypass_work;

	struct list_head node; /* in the list of all VMs: virt/stats.c */
	struct dentry *debugfs;
	struct vm_arch arch;
};

#define vm_for_each_vcpu(vm, i, v) \
	for ((i) = 0; (i) < smp_load_acquire(&(vm)->nr_vcpus) && ((v) = (vm)->vcpu[i], 1); (i)++)

/* --- virt/vm.c --- */

/* Create a VM and its file descriptor. Returns the fd or an errno. Process context. */
int vm_create_fd(unsigned long type);
void vm_get(struct vm *vm);
void vm_put(struct vm *vm);

/* Mark the VM unusable after an internal error, and make each vCPU leave the guest. */
void vm_kill(struct vm *vm);

/* --- virt/memslot.c --- */

int memslots_init(struct vm *vm);
void memslots_destroy(struct vm *vm);

/*
 * KVM_SET_USER_MEMORY_REGION: create, move, delete or change the flags of one slot, while vCPUs
 * run. -EINVAL: misaligned, overflowing, unknown flags, a changed size or address; -EEXIST:
 * overlap; -ENOMEM. Sleeps; takes slots_lock.
 */
int memslot_set(struct vm *vm, const struct kvm_userspace_memory_region *region);

/* Current table; caller holds srcu or slots_lock. */
static inline struct memslots *vm_slots(struct vm *vm)
{
	return srcu_dereference_check(vm->slots, &vm->srcu, lockdep_is_held(&vm->slots_lock));
}

/* Must writes to its pages be noted, in its bitmap or in the writer's ring? */
static inline bool memslot_logs(const struct memslot *slot)
{
	return slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}

/* The slot that contains @gfn, or NULL. Caller holds srcu. */
const struct memslot *memslot_find(const struct memslots *slots, gfn_t gfn);
/* The slot with the caller's number @id, or NULL. Caller holds srcu or slots_lock. */
const struct memslot *memslot_by_id(const struct memslots *slots, u32 id);

static inline hva_t memslot_hva(const struct memslot *slot, gfn_t gfn)
{
	return slot->userspace_addr + ((gfn - slot->base_gfn) << PAGE_SHIFT);
}

/*
 * Copy from and to guest-physical memory; may cross pages and slots. May sleep (page faults);
 * caller holds srcu and runs in the VM's mm. -EFAULT: not (wholly) backed by memory, or
 * a write to a read-only slot. Writes mark pages dirty.
 */
int vm_read_guest(struct vm *vm, gpa_t gpa, void *data, size_t len);
int vm_write_guest(struct vm *vm, gpa_t gpa, const void *data, size_t len);
/* Exchange the word at @gpa, a multiple of 4, in one step for the guest's other vCPUs. The same. */
int vm_xchg_guest(struct vm *vm, gpa_t gpa, u32 *word);
/* vm_write_guest() where nothing may sleep: -EFAULT also if the page can't be written just now. */
int vm_write_guest_nofault(struct vm *vm, gpa_t gpa, const void *data, size_t len);

/* --- virt/notifier.c: guest memory follows the host's --- */

int notifier_init(struct vm *vm);
void notifier_destroy(struct vm *vm);

/*
 * A second-level fault runs in this order, or it may install a translation to a page or by a slot
 * that is gone:
 *   seq = notifier_seq(vm); look up the slot (under srcu); find the host page (may sleep);
 *   lock mmu_lock; if notifier_retry_locked(vm, seq, hva): unlock, let the page go, start over;
 *   dirty_mark() if writable; install; unlock.
 */
static inline unsigned long notifier_seq(struct vm *vm)
{
	unsigned long seq = READ_ONCE(vm->invalidate_seq);

	smp_rmb(); /* before the slot table and the host's page tables; pairs with mmu_lock */
	return seq;
}

/*
 * After looking up a host page without the lock, with @seq read before the look-up: must the
 * fault be retried because @hva was (or is being) invalidated, or the slots changed? Caller holds
 * mmu_lock.
 */
bool notifier_retry_locked(struct vm *vm, unsigned long seq, hva_t hva);

/* --- virt/dirty.c --- */

/* Note that @gfn is written to, if the slot logs. A vCPU's thread, loaded; takes no lock. */
void dirty_mark(const struct memslot *slot, gfn_t gfn);
/* The bitmap, all set if @set. -ENOMEM. */
int dirty_bitmap_alloc(struct memslot *slot, bool set);
void dirty_bitmap_free(struct memslot *slot);
/*
 * KVM_GET_DIRTY_LOG: copy out and, unless userspace does it itself by KVM_CLEAR_DIRTY_LOG, clear
 * and re-protect the pages. -ENOENT without a bitmap, -ENXIO with rings.
 */
int dirty_get_log(struct vm *vm, struct kvm_dirty_log *log);
int dirty_clear_log(struct vm *vm, const struct kvm_clear_dirty_log *log);
/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: who clears the log. -EINVAL. */
int dirty_set_manual(struct vm *vm, u64 flags);

/* --- virt/dirty_ring.c --- */

#define DIRTY_RING_MAX_BYTES 1048576 /* of one ring */

/* Frames that the vCPU has dirtied, for userspace to see. */
struct dirty_ring {
	struct kvm_dirty_gfn *entry; /* shared with userspace */
	u32 size;                    /* entries: a power of two; 0: no ring */
	u32 dirty_index;             /* the next to fill in: the vCPU's thread */
	u32 reset_index;             /* the next to become free: under slots_lock */
};

/* The vCPU's thread: must it wait for userspace before it enters the guest? */
bool dirty_ring_full(const struct dirty_ring *ring);
void dirty_ring_push(struct dirty_ring *ring, u32 slot, u64 offset);
/* KVM_CAP_DIRTY_LOG_RING: -EINVAL, -E2BIG. */
int dirty_ring_enable_locked(struct vm *vm, u64 bytes);
/* KVM_RESET_DIRTY_RINGS: how many entries are free again; -EINVAL without rings. Sleeps. */
int dirty_rings_reset(struct vm *vm);
int dirty_ring_alloc(struct vcpu *vcpu);
void dirty_ring_free(struct vcpu *vcpu);
/* The ring's @n-th page, or NULL. */
struct page *dirty_ring_page(struct vcpu *vcpu, pgoff_t n);

/* --- virt/iobus.c --- */

enum iobus_id { IOBUS_PIO = 0, IOBUS_MMIO = 1 };

struct iodev;
struct iodev_ops {
	/* 0: done. -EOPNOTSUPP: not mine after all (datamatch failed); try the next. */
	int (*write)(struct iodev *dev, struct vcpu *vcpu, u64 addr, int len, const void *data);
	void (*destroy)(struct iodev *dev); /* last reference gone, no reader left */
};

struct iodev {
	const struct iodev_ops *ops;
};

int iobus_init(struct vm *vm);
void iobus_destroy(struct vm *vm);
/* @len 0: matches accesses of any length at @addr (ioeventfd's wildcard). Under slots_lock. */
int iobus_register_locked(struct vm *vm, enum iobus_id bus, u64 addr, u64 len, struct iodev *dev);
int iobus_unregister_locked(struct vm *vm, enum iobus_id bus, struct iodev *dev);
/* Could a device be at @addr? Caller holds srcu. */
bool iobus_reaches(struct vcpu *vcpu, enum iobus_id bus, u64 addr);
/*
 * 0: some device took the write; -EOPNOTSUPP: none did. Caller holds srcu; nothing sleeps, and
 * interrupts may be off.
 */
int iobus_write(struct vcpu *vcpu, enum iobus_id bus, u64 addr, int len, const void *data);

/* KVM_(UN)REGISTER_COALESCED_MMIO: virt/coalesced.c */
int coalesced_init(struct vm *vm);
void coalesced_destroy(struct vm *vm);
struct page *coalesced_ring_page(struct vm *vm);
int coalesced_register(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone);
int coalesced_unregister(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone);

/* --- virt/irqfd.c, virt/ioeventfd.c --- */

int irqfd_module_init(void);
void irqfd_module_exit(void);
void irqfd_init(struct vm *vm);
int irqfd_ioctl(struct vm *vm, const struct kvm_irqfd *args);
void irqfd_release(struct vm *vm);
struct seq_file;
/* A line for each: its GSI, its kind, how often it was signalled; not so by a bypassing device. */
void irqfd_show(struct seq_file *m, struct vm *vm);
/* An acknowledge of chip @chip's pin @pin: de-assert and signal resamplers. Any context. */
void irqfd_acked(struct vm *vm, u32 chip, u32 pin);
/* The routing table was replaced (irq_lock held). */
void irqfd_routing_changed_locked(struct vm *vm);

int ioeventfd_ioctl(struct vm *vm, const struct kvm_ioeventfd *args);

#endif
