// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log: one bit per frame of a slot, set on the first write after the last
 * KVM_GET_DIRTY_LOG. Writes by the guest are seen by write-protecting its pages; writes on its
 * behalf (vm_write_guest()) mark the page themselves. Userspace may take over the clearing, and so
 * the moment of protection (KVM_CLEAR_DIRTY_LOG). With rings, dirty_ring.c, there are no bitmaps.
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
int dirty_bitmap_alloc(struct memslot *slot, bool set)
{
	size_t words = BITS_TO_LONGS(slot->npages);

	slot->dirty_bitmap = kvcalloc(2 * words, sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!slot->dirty_bitmap)
		return -ENOMEM;
	if (set)
		bitmap_set(slot->dirty_bitmap, 0, slot->npages);
	return 0;
}

void dirty_bitmap_free(struct memslot *slot)
{
	kvfree(slot->dirty_bitmap);
	slot->dirty_bitmap = NULL;
}

void dirty_mark(const struct memslot *slot, gfn_t gfn)
{
	u64 offset = gfn - slot->base_gfn;
	struct vcpu *vcpu;

	if (slot->dirty_bitmap) {
		set_bit(offset, slot->dirty_bitmap);
	} else if (memslot_logs(slot)) {
		preempt_disable();
		vcpu = vcpu_running();
		if (!WARN_ON_ONCE(!vcpu))
			dirty_ring_push(&vcpu->dirty_ring, slot->id, offset);
		preempt_enable();
	}
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

static atomic_long_t *dirty_word(const struct memslot *slot, size_t word)
{
	return (atomic_long_t *)&slot->dirty_bitmap[word];
}

/*
 * Of the log's @words from word @first on, clear the bits that are set in @taken, and leave those
 * there that have been set. A bit is cleared before its page is protected, so a write in between is
 * at worst reported now (its contents are there when we return: the flush comes first) or twice.
 */
static void dirty_take(struct vm *vm, const struct memslot *slot, size_t first, size_t words,
		       unsigned long *taken)
{
	bool flush = false;
	size_t i;

	spin_lock(&vm->mmu_lock);
	for (i = 0; i < words; i++) {
		taken[i] &= READ_ONCE(slot->dirty_bitmap[first + i]);
		if (taken[i]) {
			taken[i] &= atomic_long_fetch_andnot(taken[i], dirty_word(slot, first + i));
			flush |= dirty_protect_word_locked(vm, slot, first + i, taken[i]);
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

/* 0 with the slot and where it has room for a copy of its log; -ENXIO, -ENOENT. */
static int dirty_find_locked(struct vm *vm, u32 id, const struct memslot **slot,
			     unsigned long **copy)
{
	if (vm->dirty_ring_size)
		return -ENXIO;
	*slot = memslot_by_id(vm_slots(vm), id);
	if (!*slot || !(*slot)->dirty_bitmap)
		return -ENOENT;
	*copy = (*slot)->dirty_bitmap + BITS_TO_LONGS((*slot)->npages);
	return 0;
}

static int dirty_get_log_locked(struct vm *vm, u32 id, void __user *to)
{
	const struct memslot *slot;
	unsigned long *taken;
	size_t words;
	int r = dirty_find_locked(vm, id, &slot, &taken);

	if (r)
		return r;
	words = BITS_TO_LONGS(slot->npages);
	if (vm->manual_dirty) /* it stays until KVM_CLEAR_DIRTY_LOG */
		return copy_to_user(to, slot->dirty_bitmap, words * sizeof(long)) ? -EFAULT : 0;
	memset(taken, 0xff, words * sizeof(long));
	dirty_take(vm, slot, 0, words, taken);
	if (copy_to_user(to, taken, words * sizeof(long))) {
		dirty_untake(slot, taken);
		return -EFAULT;
	}
	return 0;
}

/* A 32-bit caller's pointer fills half of the field; the rest is padding. */
static void __user *bitmap_pointer(void __user *native, u64 field)
{
	return in_compat_syscall() ? compat_ptr((compat_uptr_t)field) : native;
}

int dirty_get_log(struct vm *vm, struct kvm_dirty_log *log)
{
	int r;

	if (log->slot >= VM_MAX_MEMSLOTS)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = dirty_get_log_locked(vm, log->slot, bitmap_pointer(log->dirty_bitmap, log->padding2));
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* Whole words, but for the slot's last one. */
static bool clear_range_valid(const struct memslot *slot, u64 first, u64 n)
{
	return !(first % BITS_PER_LONG) && first <= slot->npages && n <= slot->npages - first &&
	       (!(n % BITS_PER_LONG) || first + n == slot->npages);
}

static int dirty_clear_log_locked(struct vm *vm, const struct kvm_clear_dirty_log *log,
				  const void __user *from)
{
	const struct memslot *slot;
	unsigned long *taken;
	size_t words;
	int r = dirty_find_locked(vm, log->slot, &slot, &taken);

	if (r)
		return r;
	if (!clear_range_valid(slot, log->first_page, log->num_pages))
		return -EINVAL;
	words = BITS_TO_LONGS(log->num_pages);
	if (copy_from_user(taken, from, DIV_ROUND_UP(log->num_pages, BITS_PER_BYTE)))
		return -EFAULT;
	dirty_take(vm, slot, log->first_page / BITS_PER_LONG, words, taken);
	return 0;
}

int dirty_clear_log(struct vm *vm, const struct kvm_clear_dirty_log *log)
{
	int r;

	if (log->slot >= VM_MAX_MEMSLOTS)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = dirty_clear_log_locked(vm, log, bitmap_pointer(log->dirty_bitmap, log->padding2));
	mutex_unlock(&vm->slots_lock);
	return r;
}

int dirty_set_manual(struct vm *vm, u64 flags)
{
	const u64 known = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;

	if ((flags & ~known) || flags == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	vm->manual_dirty = flags;
	mutex_unlock(&vm->slots_lock);
	return 0;
}
