// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory follows the host's: when the kernel unmaps, swaps out, merges or ages pages of the
 * creator's address space, the MMU notifier drops or ages the second-level translations of the
 * slots they stand behind. So no guest page needs to be pinned.
 *
 * A fault that looks up a page without the lock may lose the race against an invalidation; it
 * finds out by notifier_retry_locked() (include/vm.h) before it installs what it found.
 */
#include <linux/kernel.h>
#include <linux/sched/mm.h>
#include <arch.h>
#include <compat.h>

typedef bool (*range_fn)(struct vm *vm, gfn_t start, gfn_t end);

static inline struct vm *notifier_vm(struct mmu_notifier *mn)
{
	return container_of(mn, struct vm, notifier);
}

/*
 * Call @fn with the guest frames behind host range [@start, @end), slot by slot. A page counts if
 * a byte of it is in the range. The table can't change: its writer publishes under mmu_lock.
 */
static bool for_each_hva_range_locked(struct vm *vm, hva_t start, hva_t end, range_fn fn)
{
	const struct memslots *slots =
		rcu_dereference_protected(vm->slots, lockdep_is_held(&vm->mmu_lock));
	bool any = false;
	u32 i;

	for (i = 0; i < slots->n; i++) {
		const struct memslot *slot = &slots->slot[i];
		hva_t slot_end = slot->userspace_addr + (slot->npages << PAGE_SHIFT);
		hva_t from = max(start, slot->userspace_addr);
		hva_t to = min(end, slot_end);

		if (from >= to)
			continue;
		any |= fn(vm, slot->base_gfn + ((from - slot->userspace_addr) >> PAGE_SHIFT),
			  slot->base_gfn + ((to - 1 - slot->userspace_addr) >> PAGE_SHIFT) + 1);
	}
	return any;
}

/*
 * Zap and flush. The flush happens under the lock: a second invalidation of the same range that
 * finds nothing left to zap must be able to rely on the first one's flush being done.
 */
static void zap_hva_range_locked(struct vm *vm, hva_t start, hva_t end)
{
	if (for_each_hva_range_locked(vm, start, end, arch_mmu_zap_locked))
		vm_flush_tlb(vm);
}

static int notifier_invalidate_start(struct mmu_notifier *mn,
				     const struct mmu_notifier_range *range)
{
	struct vm *vm = notifier_vm(mn);

	spin_lock(&vm->mmu_lock);
	if (vm->invalidate_count++ == 0) {
		vm->invalidate_start = range->start;
		vm->invalidate_end = range->end;
	} else {
		vm->invalidate_start = min(vm->invalidate_start, range->start);
		vm->invalidate_end = max(vm->invalidate_end, range->end);
	}
	zap_hva_range_locked(vm, range->start, range->end);
	spin_unlock(&vm->mmu_lock);
	return 0;
}

static void notifier_invalidate_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct vm *vm = notifier_vm(mn);

	spin_lock(&vm->mmu_lock);
	/*
	 * A fault that looked its page up while we were at it read the old number, and sees the
	 * new one once the count no longer stops it.
	 */
	vm->invalidate_seq++;
	if (!WARN_ON_ONCE(vm->invalidate_count <= 0))
		vm->invalidate_count--;
	spin_unlock(&vm->mmu_lock);
}

bool notifier_retry_locked(struct vm *vm, unsigned long seq, hva_t hva)
{
	lockdep_assert_held(&vm->mmu_lock);
	if (vm->invalidate_count && hva >= vm->invalidate_start && hva < vm->invalidate_end)
		return true;
	return vm->invalidate_seq != seq;
}

static bool age_clear_locked(struct vm *vm, gfn_t start, gfn_t end)
{
	return arch_mmu_age_locked(vm, start, end, true);
}

static bool age_test_locked(struct vm *vm, gfn_t start, gfn_t end)
{
	return arch_mmu_age_locked(vm, start, end, false);
}

static compat_young_t notifier_clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm,
						 unsigned long start, unsigned long end)
{
	struct vm *vm = notifier_vm(mn);
	bool young;

	spin_lock(&vm->mmu_lock);
	young = for_each_hva_range_locked(vm, start, end, age_clear_locked);
	if (young)
		vm_flush_tlb(vm);
	spin_unlock(&vm->mmu_lock);
	return young;
}

/* Without a flush: a CPU that still caches the accessed bit makes the page look idle, no worse. */
static compat_young_t notifier_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
					   unsigned long start, unsigned long end)
{
	struct vm *vm = notifier_vm(mn);
	bool young;

	spin_lock(&vm->mmu_lock);
	young = for_each_hva_range_locked(vm, start, end, age_clear_locked);
	spin_unlock(&vm->mmu_lock);
	return young;
}

static compat_young_t notifier_test_young(struct mmu_notifier *mn, struct mm_struct *mm,
					  unsigned long address)
{
	struct vm *vm = notifier_vm(mn);
	bool young;

	spin_lock(&vm->mmu_lock);
	young = for_each_hva_range_locked(vm, address, address + 1, age_test_locked);
	spin_unlock(&vm->mmu_lock);
	return young;
}

/* The address space goes away while the VM may live on in somebody's fd: nothing is mapped then. */
static void notifier_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct vm *vm = notifier_vm(mn);

	spin_lock(&vm->mmu_lock);
	vm->invalidate_seq++;
	zap_hva_range_locked(vm, 0, ULONG_MAX);
	spin_unlock(&vm->mmu_lock);
}

static const struct mmu_notifier_ops notifier_ops = {
	.release = notifier_release,
	.invalidate_range_start = notifier_invalidate_start,
	.invalidate_range_end = notifier_invalidate_end,
	.clear_flush_young = notifier_clear_flush_young,
	.clear_young = notifier_clear_young,
	.test_young = notifier_test_young,
};

int notifier_init(struct vm *vm)
{
	vm->notifier.ops = &notifier_ops;
	return mmu_notifier_register(&vm->notifier, vm->mm);
}

/* Calls notifier_release() unless the address space did, and waits for callbacks under way. */
void notifier_destroy(struct vm *vm)
{
	mmu_notifier_unregister(&vm->notifier, vm->mm);
	WARN_ON_ONCE(vm->invalidate_count);
}
