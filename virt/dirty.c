// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log: one bit per frame of a slot, set on the first write after the last
 * KVM_GET_DIRTY_LOG. Writes by the guest are seen by write-protecting its pages; writes on its
 * behalf (vm_write_guest()) mark the page themselves. No dirty ring, no KVM_CLEAR_DIRTY_LOG.
 */
#include <linux/bitmap.h>
#include <linux/compat.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <arch.h>

/* Word groups handled before the lock is offered to others: 64 words = 16 MiB of guest memory. */
#define DIRTY_BATCH 64

/* The log is in the first half; the second half is where GET_DIRTY_LOG collects what it took. */
int dirty_bitmap_alloc(struct memslot *slot)
{
	size_t words = BITS_TO_LONGS(slot->npages);

	slot->dirty_bitmap = kvcalloc(2 * words, sizeof(long), GFP_KERNEL_ACCOUNT);
	return slot->dirty_bitmap ? 0 : -ENOMEM;
}

void dirty_bitmap_free(struct memslot *slot)
{
	kvfree(slot->dirty_bitmap);
	slot->dirty_bitmap = NULL;
}

void dirty_mark(const struct memslot *slot, gfn_t gfn)
{
	if (slot->dirty_bitmap)
		set_bit(gfn - slot->base_gfn, slot->dirty_bitmap);
}

/* Write-protect the frames whose bits are set in word number @word, run of bits by run of bits. */
static bool dirty_protect_word_locked(struct vm *vm, const struct memslot *slot, size_t word,
				      unsigned long bits)
{
	gfn_t base = slot->base_gfn + word * BITS_PER_LONG;
	unsigned int start, end;
	bool flush = false;

	for_each_set_bitrange(start, end, &bits, BITS_PER_LONG) flush |=
		arch_mmu_write_protect_locked(vm, base + start, base + end);
	return flush;
}

/*
 * Move the log to @taken. A bit is cleared before its page is protected, so a write in between is
 * at worst reported now (its contents are there when we return: the flush comes first) or twice.
 */
static void dirty_take(struct vm *vm, const struct memslot *slot, unsigned long *taken)
{
	size_t words = BITS_TO_LONGS(slot->npages), i;
	bool flush = false;

	spin_lock(&vm->mmu_lock);
	for (i = 0; i < words; i++) {
		taken[i] = 0;
		if (READ_ONCE(slot->dirty_bitmap[i])) {
			taken[i] = xchg(&slot->dirty_bitmap[i], 0);
			flush |= dirty_protect_word_locked(vm, slot, i, taken[i]);
		}
		if (i % DIRTY_BATCH == DIRTY_BATCH - 1 &&
		    (need_resched() || spin_needbreak(&vm->mmu_lock))) {
			if (flush)
				vm_flush_tlb(vm);
			flush = false;
			cond_resched_lock(&vm->mmu_lock);
		}
	}
	if (flush)
		vm_flush_tlb(vm);
	spin_unlock(&vm->mmu_lock);
}

/* The caller didn't get the log: put it back. */
static void dirty_untake(const struct memslot *slot, const unsigned long *taken)
{
	unsigned long bit;

	for_each_set_bit (bit, taken, slot->npages)
		set_bit(bit, slot->dirty_bitmap);
}

static int dirty_get_log_locked(struct vm *vm, u32 id, void __user *to)
{
	const struct memslot *slot = memslot_by_id(vm_slots(vm), id);
	unsigned long *taken;
	size_t words;

	if (!slot || !slot->dirty_bitmap)
		return -ENOENT;
	words = BITS_TO_LONGS(slot->npages);
	taken = slot->dirty_bitmap + words;
	dirty_take(vm, slot, taken);
	if (copy_to_user(to, taken, words * sizeof(long))) {
		dirty_untake(slot, taken);
		return -EFAULT;
	}
	return 0;
}

int dirty_get_log(struct vm *vm, struct kvm_dirty_log *log)
{
	void __user *to = log->dirty_bitmap;
	int r;

	/* A 32-bit caller's pointer fills half of the field; the rest is padding. */
	if (in_compat_syscall())
		to = compat_ptr((compat_uptr_t)log->padding2);
	if (log->slot >= VM_MAX_MEMSLOTS)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = dirty_get_log_locked(vm, log->slot, to);
	mutex_unlock(&vm->slots_lock);
	return r;
}
