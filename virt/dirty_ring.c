// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty ring: instead of a bit per frame, each vCPU notes the frames it dirties in a ring that
 * userspace maps. An entry goes through its flags: DIRTY (the vCPU filled it in), RESET (userspace
 * has seen it), 0 (KVM_RESET_DIRTY_RINGS has write-protected the frame again, and the entry is
 * free). A vCPU whose ring is nearly full leaves KVM_RUN until some entries are free.
 *
 * Userspace can write every byte of the ring at any time: only ->dirty_index and ->reset_index are
 * believed, and what an entry names is looked up and bounded. Left out: a bitmap beside the ring
 * (KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), as nothing but vCPUs dirties memory here.
 */
#include <linux/kvm.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include <arch.h>

/* What a vCPU may still dirty once it has looked: an access, with what it drags along, or two. */
#define RESERVED 64
#define BATCH    64 /* entries under one hold of the lock */

static_assert(DIRTY_RING_MAX_BYTES == 65536 * sizeof(struct kvm_dirty_gfn));

/* --- the vCPU's side --- */

static struct kvm_dirty_gfn *entry_at(const struct dirty_ring *ring, u32 index)
{
	return &ring->entry[index & (ring->size - 1)];
}

/* The reset side only ever makes it smaller. */
static u32 in_use(const struct dirty_ring *ring)
{
	/* Pairs with the release in reset_one(): a free entry has been read. */
	return ring->dirty_index - smp_load_acquire(&ring->reset_index);
}

bool dirty_ring_full(const struct dirty_ring *ring)
{
	return ring->size && in_use(ring) >= ring->size - RESERVED;
}

void dirty_ring_push(struct dirty_ring *ring, u32 slot, u64 offset)
{
	struct kvm_dirty_gfn *entry = entry_at(ring, ring->dirty_index);

	if (WARN_ON_ONCE(in_use(ring) >= ring->size))
		return;
	entry->slot = slot;
	entry->offset = offset;
	smp_store_release(&entry->flags,
			  KVM_DIRTY_GFN_F_DIRTY); /* userspace reads the rest after */
	smp_store_release(&ring->dirty_index, ring->dirty_index + 1);
}

/* --- KVM_RESET_DIRTY_RINGS --- */

/* Write-protect frame @offset of the slot numbered @id, if there is such a one. */
static bool protect_locked(struct vm *vm, u32 id, u64 offset)
{
	const struct memslot *slot = memslot_by_id(vm_slots(vm), id);
	gfn_t gfn;

	if (!slot || !memslot_logs(slot) || offset >= slot->npages)
		return false;
	gfn = slot->base_gfn + offset;
	return arch_mmu_write_protect_locked(vm, gfn, gfn + 1);
}

/*
 * Free the entry that is next, if userspace has seen it. Returns whether it did. The frame's
 * protection is all that has to be flushed before userspace may rely on it.
 */
static bool reset_one(struct vm *vm, struct dirty_ring *ring, bool *flush)
{
	struct kvm_dirty_gfn *entry = entry_at(ring, ring->reset_index);
	u64 offset;
	u32 slot;

	if (ring->reset_index == smp_load_acquire(&ring->dirty_index) ||
	    !(smp_load_acquire(&entry->flags) & KVM_DIRTY_GFN_F_RESET))
		return false;
	slot = READ_ONCE(entry->slot);
	offset = READ_ONCE(entry->offset);
	WRITE_ONCE(entry->flags, 0);
	*flush |= protect_locked(vm, slot, offset);
	smp_store_release(&ring->reset_index, ring->reset_index + 1);
	return true;
}

/* At most a ring's worth: entries that come meanwhile wait for the next call. */
static u32 reset_ring(struct vm *vm, struct dirty_ring *ring)
{
	bool flush, more = true;
	u32 n = 0, i;

	while (more && n < ring->size) {
		flush = false;
		spin_lock(&vm->mmu_lock);
		for (i = 0; i < BATCH && more; i++) {
			more = reset_one(vm, ring, &flush);
			n += more;
		}
		if (flush)
			vm_flush_tlb(vm);
		spin_unlock(&vm->mmu_lock);
		cond_resched();
	}
	return n;
}

int dirty_rings_reset(struct vm *vm)
{
	struct vcpu *vcpu;
	int n = 0;
	u32 i;

	if (!READ_ONCE(vm->dirty_ring_size))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	vm_for_each_vcpu (vm, i, vcpu)
		n += reset_ring(vm, &vcpu->dirty_ring);
	mutex_unlock(&vm->slots_lock);
	return n;
}

/* --- life --- */

/* A slot that has a bitmap already would keep it. */
static bool any_slot_logs_locked(struct vm *vm)
{
	const struct memslots *slots = vm_slots(vm);
	u32 i;

	for (i = 0; i < slots->n; i++)
		if (memslot_logs(&slots->slot[i]))
			return true;
	return false;
}

int dirty_ring_enable_locked(struct vm *vm, u64 bytes)
{
	int r = 0;

	lockdep_assert_held(&vm->lock);
	if (bytes < PAGE_SIZE || !is_power_of_2(bytes))
		return -EINVAL;
	if (bytes > DIRTY_RING_MAX_BYTES)
		return -E2BIG;
	if (vm->dirty_ring_size || vm->nr_vcpus)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	if (any_slot_logs_locked(vm))
		r = -EINVAL;
	else
		WRITE_ONCE(vm->dirty_ring_size, bytes / sizeof(struct kvm_dirty_gfn));
	mutex_unlock(&vm->slots_lock);
	return r;
}

int dirty_ring_alloc(struct vcpu *vcpu)
{
	struct dirty_ring *ring = &vcpu->dirty_ring;
	u32 size = vcpu->vm->dirty_ring_size;

	if (!size)
		return 0;
	ring->entry = __vmalloc(size * sizeof(*ring->entry), GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!ring->entry)
		return -ENOMEM;
	ring->size = size;
	return 0;
}

void dirty_ring_free(struct vcpu *vcpu)
{
	vfree(vcpu->dirty_ring.entry);
}

struct page *dirty_ring_page(struct vcpu *vcpu, pgoff_t n)
{
	const struct dirty_ring *ring = &vcpu->dirty_ring;

	if (n >= ring->size * sizeof(*ring->entry) / PAGE_SIZE)
		return NULL;
	return vmalloc_to_page((void *)ring->entry + n * PAGE_SIZE);
}
