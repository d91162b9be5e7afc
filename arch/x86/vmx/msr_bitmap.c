// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which MSRs a guest has without exits. That follows from the APIC virtualization in force, the
 * exits that userspace has given up, and its filter; so vCPUs of a VM share the page of SDM
 * "MSR-Bitmap Address", as long as these are the same for them: most VMs have one or two.
 *
 * Processors read it while guests run, so a page never changes. A vCPU that needs another one looks
 * for it in the VM's list or makes it, all of it anew (invariant P1); its last user frees it.
 */
#include <linux/gfp.h>
#include <linux/slab.h>
#include "vmx.h"

/* What the contents follow from. */
struct msr_bitmap_key {
	u32 features; /* of X2APIC_FEATURES */
	u32 no_exits; /* KVM_X86_DISABLE_EXITS_CSTATE */
	u64 filter;   /* vm->arch.msr_filter_changes */
};

struct msr_bitmap {
	struct list_head node; /* in vm->arch.msr_bitmaps; under msr_bitmap_lock, as the next */
	u32 users;             /* vCPUs */
	struct msr_bitmap_key key;
	unsigned long *page;
};

#define X2APIC_FEATURES (APICV_X2APIC | APICV_REGISTER | APICV_DELIVERY)

/* --- contents --- */

/* Reads of low and high MSRs, then writes of low and high ones. */
static void intercept(unsigned long *page, u32 msr, bool read, bool write)
{
	unsigned int bit = (msr & 0x1fff) + (msr >= 0xc0000000 ? 0x2000 : 0);

	__assign_bit(bit, page, read);
	__assign_bit(bit + 0x4000, page, write);
}

void msr_bitmap_open(struct vm *vm, unsigned long *page, u32 msr, bool write)
{
	intercept(page, msr, !msr_allowed(vm, msr, false), !write || !msr_allowed(vm, msr, true));
}

static void fill(struct vm *vm, struct msr_bitmap *b)
{
	u32 msr;

	memset(b->page, 0xff, PAGE_SIZE);
	for (msr = MSR_X2APIC_FIRST; msr <= MSR_X2APIC_LAST; msr++)
		intercept(b->page, msr, apicv_intercepts(b->key.features, msr, false),
			  apicv_intercepts(b->key.features, msr, true));
	msr_bitmap_open(vm, b->page, MSR_FS_BASE, true);
	msr_bitmap_open(vm, b->page, MSR_GS_BASE, true);
	msr_bitmap_open(vm, b->page, MSR_KERNEL_GS_BASE, true);
	if (b->key.no_exits)
		idle_open_msrs(vm, b->page);
}

/* --- which one --- */

/*
 * The filter's number comes first: it is counted after the filter was published, so what is made of
 * this or a newer one never passes for an older one that allows more.
 */
static struct msr_bitmap_key wanted(struct vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = to_vmx(vcpu);

	return (struct msr_bitmap_key){
		.filter = smp_load_acquire(&vcpu->vm->arch.msr_filter_changes),
		.features = vmx->apicv & APICV_X2APIC ? vmx->apicv & X2APIC_FEATURES : 0,
		.no_exits = vmx->no_exits & KVM_X86_DISABLE_EXITS_CSTATE,
	};
}

static bool same(const struct msr_bitmap_key *a, const struct msr_bitmap_key *b)
{
	return a->features == b->features && a->no_exits == b->no_exits && a->filter == b->filter;
}

/* Without it no entry is possible, and nobody could be told: the allocations do not fail. */
static struct msr_bitmap *get_locked(struct vm *vm, const struct msr_bitmap_key *key)
{
	struct msr_bitmap *b;

	list_for_each_entry (b, &vm->arch.msr_bitmaps, node) {
		if (same(&b->key, key)) {
			b->users++;
			return b;
		}
	}
	b = kzalloc(sizeof(*b), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	b->page = (unsigned long *)__get_free_page(GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	b->key = *key;
	b->users = 1;
	fill(vm, b);
	list_add(&b->node, &vm->arch.msr_bitmaps);
	return b;
}

static void put_locked(struct msr_bitmap *b)
{
	if (--b->users)
		return;
	list_del(&b->node);
	free_page((unsigned long)b->page);
	kfree(b);
}

void backend_open_msrs(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct msr_bitmap *old = vmx->msr_bitmap;
	struct msr_bitmap_key key = wanted(vcpu);
	struct vm *vm = vcpu->vm;

	if (old && same(&old->key, &key))
		return;
	mutex_lock(&vm->arch.msr_bitmap_lock);
	vmx->msr_bitmap = get_locked(vm, &key);
	vmcs_write64(VMCS_CTRL_MSR_BITMAP, __pa(vmx->msr_bitmap->page));
	if (old)
		put_locked(old);
	mutex_unlock(&vm->arch.msr_bitmap_lock);
}

/* --- life --- */

void msr_bitmap_vm_init(struct vm *vm)
{
	mutex_init(&vm->arch.msr_bitmap_lock);
	INIT_LIST_HEAD(&vm->arch.msr_bitmaps);
}

void msr_bitmap_drop(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (!vmx->msr_bitmap)
		return;
	mutex_lock(&vcpu->vm->arch.msr_bitmap_lock);
	put_locked(vmx->msr_bitmap);
	mutex_unlock(&vcpu->vm->arch.msr_bitmap_lock);
	vmx->msr_bitmap = NULL;
}
