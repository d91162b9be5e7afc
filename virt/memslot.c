// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory slots: which guest frames are backed by which user addresses. The table of a VM is
 * replaced as a whole: readers hold vm->srcu, writers slots_lock.
 *
 * The order that makes a change safe while vCPUs run. Under mmu_lock, in one section: publish the
 * new table, advance invalidate_seq, drop (or write-protect) the translations of the slot, flush.
 * A fault in flight that found its slot in the old table fails notifier_retry_locked() when it
 * comes to install its translation, because it read invalidate_seq before the table. A notifier
 * looks at the table under mmu_lock, so it never misses a slot that has translations. After that,
 * synchronize_srcu() lets the last copies to and from guest memory by the old table finish, and
 * only then are the old table and its bitmap freed.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/futex.h>
#include <uapi/linux/futex.h>
#include <arch.h>

#define MEMSLOT_FLAGS (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)

int memslots_init(struct vm *vm)
{
	struct memslots *slots = kvzalloc(struct_size(slots, slot, 0), GFP_KERNEL_ACCOUNT);

	if (!slots)
		return -ENOMEM;
	RCU_INIT_POINTER(vm->slots, slots);
	return 0;
}

void memslots_destroy(struct vm *vm)
{
	struct memslots *slots = rcu_dereference_protected(vm->slots, true); /* the last user */
	u32 i;

	for (i = 0; i < slots->n; i++)
		dirty_bitmap_free(&slots->slot[i]);
	kvfree(slots);
}

const struct memslot *memslot_find(const struct memslots *slots, gfn_t gfn)
{
	u32 lo = 0, hi = slots->n;

	/* Slots before lo begin at or below gfn, slots from hi on above it. */
	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (slots->slot[mid].base_gfn <= gfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || gfn - slots->slot[lo - 1].base_gfn >= slots->slot[lo - 1].npages)
		return NULL;
	return &slots->slot[lo - 1];
}

const struct memslot *memslot_by_id(const struct memslots *slots, u32 id)
{
	u32 i;

	for (i = 0; i < slots->n; i++)
		if (slots->slot[i].id == id)
			return &slots->slot[i];
	return NULL;
}

/* Check what can be checked without looking at other slots, and convert to frames. */
static int memslot_parse(const struct kvm_userspace_memory_region *region, struct memslot *slot)
{
	u64 gpa = region->guest_phys_addr, size = region->memory_size;
	u64 hva = region->userspace_addr;

	if (region->flags & ~MEMSLOT_FLAGS)
		return -EINVAL;
	/* The upper half names an address space; there is one. */
	if (region->slot >= VM_MAX_MEMSLOTS)
		return -EINVAL;
	if (!PAGE_ALIGNED(gpa) || !PAGE_ALIGNED(size) || !PAGE_ALIGNED(hva))
		return -EINVAL;
	if ((size >> PAGE_SHIFT) > VM_MAX_SLOT_PAGES)
		return -EINVAL;
	if (gpa >= BIT_ULL(VM_GPA_BITS) || size > BIT_ULL(VM_GPA_BITS) - gpa)
		return -EINVAL;
	/*
	 * access_ok() alone lets addresses with metadata in the upper bits (LAM) pass, which the
	 * notifier, given plain addresses, would never match.
	 */
	if (hva > TASK_SIZE_MAX || size > TASK_SIZE_MAX - hva ||
	    !access_ok((void __user *)(unsigned long)hva, size))
		return -EINVAL;

	*slot = (struct memslot){
		.base_gfn = gpa >> PAGE_SHIFT,
		.npages = size >> PAGE_SHIFT,
		.userspace_addr = hva,
		.flags = region->flags,
		.id = region->slot,
	};
	return 0;
}

/* Does @new share a frame with a slot other than its own former self? */
static bool memslot_overlaps(const struct memslots *slots, const struct memslot *new)
{
	u32 i;

	for (i = 0; i < slots->n; i++) {
		const struct memslot *s = &slots->slot[i];

		if (s->id != new->id && s->base_gfn < new->base_gfn + new->npages &&new->base_gfn <
						s->base_gfn + s->npages)
			return true;
	}
	return false;
}

/* A copy of @slots without the slot numbered @id and with @new (if not NULL) in its place. */
static struct memslots *memslots_copy(const struct memslots *slots, u32 id,
				      const struct memslot *new)
{
	struct memslots *copy =
		kvzalloc(struct_size(copy, slot, (size_t)slots->n + 1), GFP_KERNEL_ACCOUNT);
	u32 i;

	if (!copy)
		return NULL;
	copy->generation = slots->generation + 1;
	for (i = 0; i < slots->n; i++) {
		const struct memslot *s = &slots->slot[i];

		if (s->id == id)
			continue;
		if (new &&new->base_gfn < s->base_gfn) {
			copy->slot[copy->n++] = *new;
			new = NULL;
		}
		copy->slot[copy->n++] = *s;
	}
	if (new)
		copy->slot[copy->n++] = *new;
	return copy;
}

/* A log whose bits are all set misses nothing until userspace clears some, which protects. */
static bool starts_all_dirty(const struct vm *vm)
{
	return !vm->dirty_ring_size && (vm->manual_dirty & KVM_DIRTY_LOG_INITIALLY_SET);
}

/*
 * Make @next the VM's table: the order at the top of this file. @old is the slot as it was (NULL:
 * new), @new as it will be (NULL: deleted). Frees the old table, not the bitmap. May sleep.
 */
static void memslots_publish_locked(struct vm *vm, struct memslots *next, const struct memslot *old,
				    const struct memslot *new)
{
	struct memslots *prev = vm_slots(vm);
	bool flush = false;

	spin_lock(&vm->mmu_lock);
	rcu_assign_pointer(vm->slots, next);
	vm->invalidate_seq++;
	if (old) {
		gfn_t start = old->base_gfn, end = start + old->npages;

		if (new &&new->base_gfn == start && memslot_logs(new))
			flush = !starts_all_dirty(vm) &&
				arch_mmu_write_protect_locked(vm, start, end);
		else /* deleted, moved; or logging ends, and large pages may come back */
			flush = arch_mmu_zap_locked(vm, start, end);
	}
	if (flush)
		vm_flush_tlb(vm);
	spin_unlock(&vm->mmu_lock);

	synchronize_srcu_expedited(&vm->srcu);
	kvfree(prev);
}

static int memslot_delete_locked(struct vm *vm, const struct memslot *slot)
{
	struct memslot old = *slot;
	struct memslots *next = memslots_copy(vm_slots(vm), old.id, NULL);

	if (!next)
		return -ENOMEM;
	memslots_publish_locked(vm, next, &old, NULL);
	dirty_bitmap_free(&old);
	return 0;
}

/* Create @new, or turn the slot of its number into it. Takes over @new->dirty_bitmap. */
static int memslot_replace_locked(struct vm *vm, const struct memslot *slot, struct memslot *new)
{
	struct memslots *slots = vm_slots(vm), *next;
	struct memslot old = {};

	if (slot)
		old = *slot;
	if (memslot_logs(new) && !vm->dirty_ring_size) {
		new->dirty_bitmap = old.dirty_bitmap; /* a moved slot keeps its log */
		if (!new->dirty_bitmap && dirty_bitmap_alloc(new, starts_all_dirty(vm)))
			return -ENOMEM;
	}
	next = memslots_copy(slots, new->id, new);
	if (!next) {
		if (new->dirty_bitmap != old.dirty_bitmap)
			dirty_bitmap_free(new);
		return -ENOMEM;
	}
	memslots_publish_locked(vm, next, slot ? &old : NULL, new);
	if (old.dirty_bitmap != new->dirty_bitmap)
		dirty_bitmap_free(&old);
	return 0;
}

static int memslot_set_locked(struct vm *vm, struct memslot *new)
{
	const struct memslots *slots = vm_slots(vm);
	const struct memslot *old = memslot_by_id(slots, new->id);

	if (!new->npages)
		return old ? memslot_delete_locked(vm, old) : -EINVAL;
	if (old) {
		if (old->npages != new->npages || old->userspace_addr != new->userspace_addr ||
		    (old->flags ^ new->flags) & KVM_MEM_READONLY)
			return -EINVAL;
		if (old->base_gfn == new->base_gfn && old->flags == new->flags)
			return 0;
	}
	if (memslot_overlaps(slots, new))
		return -EEXIST;
	return memslot_replace_locked(vm, old, new);
}

int memslot_set(struct vm *vm, const struct kvm_userspace_memory_region *region)
{
	struct memslot new;
	int r = memslot_parse(region, &new);

	if (r)
		return r;
	mutex_lock(&vm->slots_lock);
	r = memslot_set_locked(vm, &new);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* The user address of @gpa and how many of @len bytes lie in its page; NULL: no memory there. */
static void __user *guest_chunk(const struct memslot *slot, gpa_t gpa, size_t len, size_t *chunk)
{
	if (!slot)
		return NULL;
	*chunk = min_t(size_t, len, PAGE_SIZE - offset_in_page(gpa));
	return (void __user *)(memslot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa));
}

int vm_read_guest(struct vm *vm, gpa_t gpa, void *data, size_t len)
{
	const struct memslots *slots = vm_slots(vm);
	size_t chunk;

	for (; len; gpa += chunk, data += chunk, len -= chunk) {
		const struct memslot *slot = memslot_find(slots, gpa >> PAGE_SHIFT);
		void __user *from = guest_chunk(slot, gpa, len, &chunk);

		if (!from || copy_from_user(data, from, chunk))
			return -EFAULT;
	}
	return 0;
}

static int write_guest(struct vm *vm, gpa_t gpa, const void *data, size_t len, bool may_fault)
{
	const struct memslots *slots = vm_slots(vm);
	size_t chunk;

	for (; len; gpa += chunk, data += chunk, len -= chunk) {
		const struct memslot *slot = memslot_find(slots, gpa >> PAGE_SHIFT);
		void __user *to = guest_chunk(slot, gpa, len, &chunk);

		if (!to || slot->flags & KVM_MEM_READONLY)
			return -EFAULT;
		if (may_fault ? copy_to_user(to, data, chunk)
			      : copy_to_user_nofault(to, data, chunk))
			return -EFAULT;
		dirty_mark(slot, gpa >> PAGE_SHIFT);
	}
	return 0;
}

int vm_write_guest(struct vm *vm, gpa_t gpa, const void *data, size_t len)
{
	return write_guest(vm, gpa, data, len, true);
}

int vm_xchg_guest(struct vm *vm, gpa_t gpa, u32 *word)
{
	const struct memslot *slot = memslot_find(vm_slots(vm), gpa >> PAGE_SHIFT);
	size_t chunk;
	void __user *at = guest_chunk(slot, gpa, sizeof(*word), &chunk);
	int old;

	if (!at || slot->flags & KVM_MEM_READONLY ||
	    arch_futex_atomic_op_inuser(FUTEX_OP_SET, (int)*word, &old, at))
		return -EFAULT;
	dirty_mark(slot, gpa >> PAGE_SHIFT);
	*word = old;
	return 0;
}

int vm_write_guest_nofault(struct vm *vm, gpa_t gpa, const void *data, size_t len)
{
	return write_guest(vm, gpa, data, len, false);
}
