// SPDX-License-Identifier: GPL-2.0-only
/*
 * Second-level page tables (EPT): guest-physical to host-physical, filled on demand from the
 * process's own page tables and emptied when those change (virt/notifier.c).
 *
 * vm->mmu_lock protects every entry. An entry holds no reference to its page: the MMU notifier
 * takes the entry away before the page can go. Tables are freed with the VM, or when one large
 * entry takes a table's place; so zapping only ever clears leaves.
 *
 * SDM: "The Extended Page Table Mechanism (EPT)".
 */
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/page-flags.h>
#include <linux/pgtable.h>
#include <arch.h>
#include <compat_x86.h>
#include "vmx.h"

#define EPT_READ            BIT_ULL(0)
#define EPT_WRITE           BIT_ULL(1)
#define EPT_EXEC            BIT_ULL(2)
#define EPT_RIGHTS          (EPT_READ | EPT_WRITE | EPT_EXEC)
#define EPT_WB              (6ULL << 3)
#define EPT_IPAT            BIT_ULL(6) /* write-back whatever the guest's PAT says: it is all host RAM */
#define EPT_LARGE           BIT_ULL(7)
#define EPT_ACCESSED        BIT_ULL(8)
#define EPT_DIRTY           BIT_ULL(9)
#define EPT_ADDR            GENMASK_ULL(51, 12)

#define EPT_ENTRIES         512

/* Level 1 maps 4 KiB, 2 maps 2 MiB, 3 maps 1 GiB. */
#define LEVEL_SHIFT(level)  (9 * ((level)-1))
#define LEVEL_FRAMES(level) (1ULL << LEVEL_SHIFT(level))

struct ept {
	u64 *root;
	u64 eptp;
	u64 tables; /* pages in use besides the root; under mmu_lock */
	/* The default LAPIC address leads to arch.apic_access_page; mmu_lock, for writing. */
	bool apic_access;
};

struct ept *ept_create(void)
{
	struct ept *ept = kzalloc(sizeof(*ept), GFP_KERNEL_ACCOUNT);

	if (!ept)
		return NULL;
	ept->root = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!ept->root) {
		kfree(ept);
		return NULL;
	}
	ept->eptp = __pa(ept->root) | EPTP_MEMTYPE_WB | EPTP_WALK_4;
	if (vmx_caps.ept_ad)
		ept->eptp |= EPTP_ACCESSED_DIRTY;
	return ept;
}

u64 ept_pointer(const struct ept *ept)
{
	return ept->eptp;
}

static bool is_table(u64 entry, int level)
{
	return level > 1 && (entry & EPT_RIGHTS) && !(entry & EPT_LARGE);
}

static u64 *table_of(u64 entry)
{
	return __va(entry & EPT_ADDR);
}

/* Depth is at most EPT_LEVELS, so the recursion is bounded. */
static void free_table(u64 *table, int level)
{
	int i;

	for (i = 0; i < EPT_ENTRIES; i++)
		if (is_table(table[i], level))
			free_table(table_of(table[i]), level - 1);
	free_page((unsigned long)table);
}

void ept_destroy(struct ept *ept)
{
	free_table(ept->root, EPT_LEVELS);
	kfree(ept);
}

static unsigned int index_at(gfn_t gfn, int level)
{
	return (gfn >> LEVEL_SHIFT(level)) & (EPT_ENTRIES - 1);
}

/* --- walking the leaves of a range --- */

/* Called for each present leaf that touches the range; returns whether it took something away. */
typedef bool (*leaf_fn)(u64 *entry, int level);

static bool for_each_leaf(u64 *table, int level, gfn_t base, gfn_t start, gfn_t end, leaf_fn fn)
{
	gfn_t step = LEVEL_FRAMES(level);
	bool changed = false;
	int i = start > base ? (start - base) >> LEVEL_SHIFT(level) : 0;

	for (; i < EPT_ENTRIES && base + i * step < end; i++) {
		u64 entry = table[i];

		if (is_table(entry, level))
			changed |= for_each_leaf(table_of(entry), level - 1, base + i * step, start,
						 end, fn);
		else if (entry & EPT_RIGHTS)
			changed |= fn(&table[i], level);
	}
	return changed;
}

static bool for_range(struct vm *vm, gfn_t start, gfn_t end, leaf_fn fn)
{
	lockdep_assert_held(&vm->mmu_lock);
	end = min_t(gfn_t, end, LEVEL_FRAMES(EPT_LEVELS + 1));
	return start < end && for_each_leaf(vm->arch.ept->root, EPT_LEVELS, 0, start, end, fn);
}

/* xchg: the processor may set A and D at any moment. */
static bool zap_leaf(u64 *entry, int level)
{
	return xchg(entry, 0) != 0;
}

/* A large page can't log single pages: it goes, and comes back as small ones. */
static bool protect_leaf(u64 *entry, int level)
{
	if (level > 1)
		return zap_leaf(entry, level);
	if (!(READ_ONCE(*entry) & EPT_WRITE))
		return false;
	clear_bit(ilog2(EPT_WRITE), (unsigned long *)entry);
	return true;
}

static bool clear_accessed(u64 *entry, int level)
{
	return test_and_clear_bit(ilog2(EPT_ACCESSED), (unsigned long *)entry);
}

static bool test_accessed(u64 *entry, int level)
{
	return READ_ONCE(*entry) & EPT_ACCESSED;
}

bool arch_mmu_zap_locked(struct vm *vm, gfn_t start, gfn_t end)
{
	return for_range(vm, start, end, zap_leaf);
}

bool arch_mmu_write_protect_locked(struct vm *vm, gfn_t start, gfn_t end)
{
	return for_range(vm, start, end, protect_leaf);
}

bool arch_mmu_age_locked(struct vm *vm, gfn_t start, gfn_t end, bool clear)
{
	/* Without A bits every mapped page counts as used; taking it away makes use visible. */
	if (!vmx_caps.ept_ad)
		return clear && for_range(vm, start, end, zap_leaf);
	return for_range(vm, start, end, clear ? clear_accessed : test_accessed);
}

/* --- the APIC-access page --- */

#define APIC_ACCESS_GFN (LAPIC_DEFAULT_BASE >> PAGE_SHIFT)

/* It goes before memory that userspace may have put there, as a LAPIC does. */
void ept_map_apic_access(struct vm *vm, bool map)
{
	struct ept *ept = vm->arch.ept;

	spin_lock(&vm->mmu_lock);
	WRITE_ONCE(ept->apic_access, map);
	vm->invalidate_seq++; /* faults that have looked before must look again */
	if (for_range(vm, APIC_ACCESS_GFN, APIC_ACCESS_GFN + 1, zap_leaf))
		vm_flush_tlb(vm);
	spin_unlock(&vm->mmu_lock);
}

/* --- faults --- */

/* What a fault is about, and what it found out before taking the lock. */
struct fault {
	struct vcpu *vcpu;
	const struct memslot *slot; /* NULL: the APIC-access page */
	gfn_t gfn;
	hva_t hva;
	bool write;
	struct page *page;
	bool writable;  /* the host maps it writable */
	bool installed; /* false at the end: the host's mapping or the slots changed */
	int level;      /* of the entry to install */
	u64 *retired;   /* a table that a large entry replaced; free after the flush */
};

/*
 * How large a page maps @hva in the host: the host's own tables, read with interrupts off so that
 * they can't be freed meanwhile (freeing waits for an IPI, or for RCU, from every CPU).
 */
static int host_level(hva_t hva)
{
	unsigned long flags;
	int level = 1;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(current->mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (compat_pud_leaf(pud)) {
		level = 3;
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (!pmd_none(pmd) && pmd_present(pmd) && compat_pmd_leaf(pmd))
		level = 2;
out:
	local_irq_restore(flags);
	return level;
}

/* May the entry at @level cover the whole region? The slot must hold it, aligned alike. */
static bool slot_allows(const struct memslot *slot, gfn_t gfn, int level)
{
	gfn_t frames = LEVEL_FRAMES(level), first = gfn & ~(frames - 1);

	return first >= slot->base_gfn && first + frames <= slot->base_gfn + slot->npages &&
	       !((memslot_hva(slot, first) >> PAGE_SHIFT) & (frames - 1));
}

/* Could a large page around @gfn hide the APIC-access page? */
static bool covers_apic_access(gfn_t gfn)
{
	return (gfn ^ APIC_ACCESS_GFN) < LEVEL_FRAMES(3);
}

static int choose_level(const struct fault *f)
{
	int level = host_level(f->hva);

	/* Logging needs single pages; a page that is read-only may be a part of a shared one. */
	if (memslot_logs(f->slot) || !f->writable)
		return 1;
	if (READ_ONCE(f->vcpu->vm->arch.ept->apic_access) && covers_apic_access(f->gfn))
		return 1;
	if (level == 3 && !vmx_caps.ept_1g)
		level = 2;
	if (level == 2 && !vmx_caps.ept_2m)
		level = 1;
	while (level > 1 && !slot_allows(f->slot, f->gfn, level))
		level--;
	return level;
}

/*
 * The process's own page fault, for a write. get_user_pages_fast() would come to it, too, but looks
 * through the tables twice more with all that it can be asked for. What came of it the next look
 * will tell, and an error as well.
 */
static void fault_in_process(hva_t hva)
{
	bool unlocked = false;

	mmap_read_lock(current->mm);
	(void)fixup_user_fault(current->mm, hva, FAULT_FLAG_WRITE, &unlocked);
	mmap_read_unlock(current->mm);
}

/* Look the page up in the process. May sleep. 0, or -EFAULT for what is not ordinary memory. */
static int find_page(struct fault *f)
{
	bool may_write = !(f->slot->flags & KVM_MEM_READONLY);

	if (may_write && get_user_page_fast_only(f->hva, FOLL_WRITE, &f->page)) {
		f->writable = true;
		return 0;
	}
	if (f->write) /* a read may be content with what is there */
		fault_in_process(f->hva);
	f->writable = f->write;
	return get_user_pages_fast(f->hva, 1, f->write ? FOLL_WRITE : 0, &f->page) == 1 ? 0
											: -EFAULT;
}

/*
 * Zeroed tables for the levels that may be missing, allocated before the lock is taken. Few faults
 * need one: what is left stays for the next.
 */
static int refill_spares(struct vmx_vcpu *vmx)
{
	while (vmx->nr_spare < ARRAY_SIZE(vmx->spare)) {
		u64 *table = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

		if (!table)
			return -ENOMEM;
		vmx->spare[vmx->nr_spare++] = table;
	}
	return 0;
}

void ept_free_spares(struct vmx_vcpu *vmx)
{
	while (vmx->nr_spare)
		free_page((unsigned long)vmx->spare[--vmx->nr_spare]);
}

static u64 leaf_value(const struct fault *f)
{
	u64 frame = PFN_PHYS(page_to_pfn(f->page)) & ~((LEVEL_FRAMES(f->level) << PAGE_SHIFT) - 1);
	u64 entry = frame | EPT_READ | EPT_EXEC | EPT_WB | EPT_IPAT | EPT_ACCESSED;

	if (f->level > 1)
		entry |= EPT_LARGE;
	/* A logged page becomes writable by the write that sets its dirty bit, not earlier. */
	if (f->writable && (f->write || !f->slot || !memslot_logs(f->slot)))
		entry |= EPT_WRITE | (f->write ? EPT_DIRTY : 0);
	return entry;
}

/* Install the leaf. Returns whether older translations must be flushed. mmu_lock held. */
static bool install_locked(struct fault *f, struct ept *ept)
{
	struct vmx_vcpu *vmx = to_vmx(f->vcpu);
	u64 *table = ept->root, *entry;
	u64 new = leaf_value(f), old;
	bool split = false;
	int level;

	for (level = EPT_LEVELS; level > f->level; level--) {
		entry = &table[index_at(f->gfn, level)];
		/* A large page where small ones are wanted now: it makes room. */
		if (!is_table(*entry, level)) {
			u64 *spare = vmx->spare[--vmx->nr_spare];

			ept->tables++;
			split |= *entry & EPT_RIGHTS;
			WRITE_ONCE(*entry, __pa(spare) | EPT_RIGHTS);
		}
		table = table_of(*entry);
	}
	entry = &table[index_at(f->gfn, f->level)];
	old = READ_ONCE(*entry);
	if (is_table(old, f->level))
		f->retired = table_of(old);
	/*
	 * Another vCPU may have written here since we looked. Its right to do so stays: it could be
	 * cached there, and the dirty log flushes only what it has taken away itself.
	 */
	else if (!((old ^ new) & EPT_ADDR))
		new |= old &(EPT_WRITE | EPT_DIRTY);
	WRITE_ONCE(*entry, new);
	/* More rights need no flush: the violation has dropped what was cached for the address. */
	return split || is_table(old, f->level) || ((old & EPT_RIGHTS) && ((old ^ new) & EPT_ADDR));
}

/* Install it, unless the host's mapping or the slots changed under us. */
static void map_page(struct fault *f, unsigned long seq)
{
	struct vm *vm = f->vcpu->vm;

	spin_lock(&vm->mmu_lock);
	if (notifier_retry_locked(vm, seq, f->hva)) {
		spin_unlock(&vm->mmu_lock);
		return;
	}
	if (f->write && f->slot)
		dirty_mark(f->slot, f->gfn);
	/* Under the lock: who finds nothing to zap where a large page was relies on the flush. */
	if (install_locked(f, vm->arch.ept))
		vm_flush_tlb(vm);
	f->installed = true;
	spin_unlock(&vm->mmu_lock);
	if (f->retired)
		free_table(f->retired, f->level - 1);
	f->retired = NULL;
}

/* Losing the race against the host or a slot change is fine: the guest faults again. */
static int handle_fault(struct fault *f, unsigned long seq)
{
	int r;

	r = refill_spares(to_vmx(f->vcpu));
	if (r)
		return r;
	r = find_page(f);
	if (r)
		return r;
	f->level = choose_level(f);
	map_page(f, seq);
	if (f->writable)
		SetPageDirty(f->page);
	mark_page_accessed(f->page);
	put_page(f->page);
	return 1;
}

/* All rights: whatever is tried there ends in an exit that says so, not in another violation. */
static int fault_in_apic_access(struct fault *f, unsigned long seq)
{
	int r = refill_spares(to_vmx(f->vcpu));

	if (r)
		return r;
	f->page = f->vcpu->vm->arch.apic_access_page;
	f->level = 1;
	f->writable = true;
	map_page(f, seq);
	return 1;
}

/* Map what is there. 1: done, unless something has changed meanwhile; 0: no slot allows it. */
static int resolve(struct fault *f)
{
	struct vm *vm = f->vcpu->vm;
	unsigned long seq = notifier_seq(vm); /* before the slot */

	if (f->gfn == APIC_ACCESS_GFN && READ_ONCE(vm->arch.ept->apic_access))
		return fault_in_apic_access(f, seq);
	f->slot = memslot_find(vm_slots(vm), f->gfn);
	if (!f->slot || (f->write && (f->slot->flags & KVM_MEM_READONLY)))
		return 0;
	f->hva = memslot_hva(f->slot, f->gfn);
	return handle_fault(f, seq);
}

int ept_violation(struct vcpu *vcpu, gpa_t gpa, u64 qualification)
{
	struct fault f = {
		.vcpu = vcpu,
		.gfn = gpa >> PAGE_SHIFT,
		.write = qualification & QUAL_EPT_WRITE,
	};
	struct data_access a;
	int r;

	vcpu->stats.ept_faults++;
	r = resolve(&f);
	if (r)
		return r;
	return vmx_mmio(vcpu, vmx_data_access(qualification, &a) ? &a : NULL);
}

int backend_map_page(struct vcpu *vcpu, gpa_t gpa, gpa_t *next)
{
	struct fault f = { .vcpu = vcpu, .gfn = gpa >> PAGE_SHIFT };
	int r = resolve(&f);

	if (r <= 0)
		return r ? r : -ENOENT;
	*next = f.installed ? ((f.gfn | (LEVEL_FRAMES(f.level) - 1)) + 1) << PAGE_SHIFT : gpa;
	return 0;
}
