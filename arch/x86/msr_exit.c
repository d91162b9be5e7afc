// SPDX-License-Identifier: GPL-2.0-only
/*
 * RDMSR and WRMSR as instructions of the guest, and userspace's part in them: a filter that keeps
 * MSRs from the guest (KVM_X86_SET_MSR_FILTER), and exits for those that would raise #GP
 * (KVM_CAP_X86_USER_SPACE_MSR). Neither concerns KVM_GET/SET_MSRS.
 *
 * The filter is replaced as a whole under vm->lock and read under vm->srcu. MSRs that the guest
 * touches without an exit follow it by REQ_MSR_FILTER. x2APIC's are never filtered: the ABI says
 * so, and the processor may have virtualized them already.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/trapnr.h>
#include <arch.h>
#include <backend.h>

#define X2APIC_FIRST 0x800
#define X2APIC_COUNT 0x100

struct msr_range {
	u32 base, count;
	u32 accesses;           /* KVM_MSR_FILTER_READ, KVM_MSR_FILTER_WRITE */
	unsigned long *allowed; /* a bit per MSR */
};

struct msr_filter {
	bool deny; /* what no range says anything about */
	u32 n;
	struct msr_range range[KVM_MSR_FILTER_MAX_RANGES];
};

/* --- the filter --- */

static bool filter_allows(const struct msr_filter *filter, u32 msr, u32 access)
{
	const struct msr_range *r;

	for (r = filter->range; r < filter->range + filter->n; r++)
		if (msr >= r->base && msr - r->base < r->count && (r->accesses & access))
			return test_bit(msr - r->base, r->allowed);
	return !filter->deny;
}

bool msr_allowed(struct vm *vm, u32 msr, bool write)
{
	const struct msr_filter *filter =
		srcu_dereference_check(vm->arch.msr_filter, &vm->srcu, lockdep_is_held(&vm->lock));

	return !filter || msr - X2APIC_FIRST < X2APIC_COUNT ||
	       filter_allows(filter, msr, write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ);
}

static void free_filter(struct msr_filter *filter)
{
	u32 i;

	for (i = 0; filter && i < filter->n; i++)
		bitmap_free(filter->range[i].allowed);
	kfree(filter);
}

void msr_filter_destroy(struct vm *vm)
{
	free_filter(rcu_dereference_protected(vm->arch.msr_filter, true));
}

static int take_range(struct msr_filter *filter, const struct kvm_msr_filter_range *from)
{
	const u32 known = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
	struct msr_range *r = &filter->range[filter->n];
	size_t bytes = DIV_ROUND_UP((u64)from->nmsrs, BITS_PER_BYTE);

	if (!from->nmsrs)
		return 0; /* not in use */
	if (!from->flags || (from->flags & ~known) || bytes > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	r->allowed = bitmap_zalloc(from->nmsrs, GFP_KERNEL_ACCOUNT);
	if (!r->allowed)
		return -ENOMEM;
	filter->n++; /* from here on free_filter() frees it */
	r->base = from->base;
	r->count = from->nmsrs;
	r->accesses = from->flags;
	return copy_from_user(r->allowed, (void __user *)from->bitmap, bytes) ? -EFAULT : 0;
}

/* NULL: no range is in use, which is no filter at all; it can't deny everything then. */
static struct msr_filter *make_filter(const struct kvm_msr_filter *from)
{
	struct msr_filter *filter;
	unsigned int i;
	int r = 0;

	if (from->flags & ~(u32)KVM_MSR_FILTER_DEFAULT_DENY)
		return ERR_PTR(-EINVAL);
	filter = kzalloc(sizeof(*filter), GFP_KERNEL_ACCOUNT);
	if (!filter)
		return ERR_PTR(-ENOMEM);
	filter->deny = from->flags & KVM_MSR_FILTER_DEFAULT_DENY;
	for (i = 0; i < ARRAY_SIZE(from->ranges) && !r; i++)
		r = take_range(filter, &from->ranges[i]);
	if (!r && !filter->n && filter->deny)
		r = -EINVAL;
	if (!r && filter->n)
		return filter;
	free_filter(filter);
	return ERR_PTR(r); /* NULL for 0 */
}

long msr_ioctl_set_filter(struct vm *vm, void __user *arg)
{
	struct kvm_msr_filter from;
	struct msr_filter *filter;

	if (copy_from_user(&from, arg, sizeof(from)))
		return -EFAULT;
	filter = make_filter(&from);
	if (IS_ERR(filter))
		return PTR_ERR(filter);
	mutex_lock(&vm->lock); /* a vCPU being created reads the filter under it as well */
	filter = rcu_replace_pointer(vm->arch.msr_filter, filter, lockdep_is_held(&vm->lock));
	synchronize_srcu_expedited(&vm->srcu);
	/* Behind the filter itself: pairs with the acquire in msr_bitmap.c. */
	smp_store_release(&vm->arch.msr_filter_changes, vm->arch.msr_filter_changes + 1);
	/* No guest runs on with the old rights when this returns. */
	vm_request_all_and_wait(vm, REQ_MSR_FILTER);
	mutex_unlock(&vm->lock);
	free_filter(filter);
	return 0;
}

/* --- exits to userspace --- */

/* The instruction was to be finished by userspace, which has moved the vCPU elsewhere since. */
static bool moved(struct vcpu *vcpu)
{
	return vcpu_reg(vcpu, REG_RIP) != vcpu->arch.msr_exit_rip;
}

static int finish(struct vcpu *vcpu, bool failed)
{
	if (failed)
		event_queue_exception_error(vcpu, X86_TRAP_GP, 0);
	else
		backend_skip_insn(vcpu);
	return 1;
}

static void set_edx_eax(struct vcpu *vcpu, u64 value)
{
	vcpu->arch.regs[REG_RAX] = (u32)value;
	vcpu->arch.regs[REG_RDX] = value >> 32;
}

static int complete_rdmsr(struct vcpu *vcpu)
{
	bool failed = READ_ONCE(vcpu->run->msr.error);

	if (moved(vcpu))
		return 1;
	if (!failed)
		set_edx_eax(vcpu, READ_ONCE(vcpu->run->msr.data));
	return finish(vcpu, failed);
}

static int complete_wrmsr(struct vcpu *vcpu)
{
	return moved(vcpu) ? 1 : finish(vcpu, READ_ONCE(vcpu->run->msr.error));
}

/* The access failed for @reason, a KVM_MSR_EXIT_REASON_*: #GP, if userspace doesn't want it. */
static int refuse(struct vcpu *vcpu, u32 reason, u32 msr, bool write)
{
	struct kvm_run *run = vcpu->run;

	if (!(READ_ONCE(vcpu->vm->arch.user_msr_reasons) & reason))
		return finish(vcpu, true);
	memset(&run->msr, 0, sizeof(run->msr));
	run->msr.reason = reason;
	run->msr.index = msr;
	vcpu->arch.msr_exit_rip = vcpu_reg(vcpu, REG_RIP);
	if (write) {
		run->exit_reason = KVM_EXIT_X86_WRMSR;
		run->msr.data = vcpu_edx_eax(vcpu);
		vcpu->arch.complete = complete_wrmsr;
	} else {
		run->exit_reason = KVM_EXIT_X86_RDMSR;
		vcpu->arch.complete = complete_rdmsr;
	}
	return 0;
}

static u32 reason_of(int failure)
{
	return failure == MSR_UNKNOWN ? KVM_MSR_EXIT_REASON_UNKNOWN : KVM_MSR_EXIT_REASON_INVAL;
}

int msr_insn_read(struct vcpu *vcpu)
{
	u32 msr = vcpu->arch.regs[REG_RCX];
	u64 value;
	int r;

	if (!msr_allowed(vcpu->vm, msr, false))
		return refuse(vcpu, KVM_MSR_EXIT_REASON_FILTER, msr, false);
	r = msr_get(vcpu, msr, &value, false);
	if (r)
		return refuse(vcpu, reason_of(r), msr, false);
	set_edx_eax(vcpu, value);
	return finish(vcpu, false);
}

int msr_insn_write(struct vcpu *vcpu)
{
	u32 msr = vcpu->arch.regs[REG_RCX];
	int r;

	if (!msr_allowed(vcpu->vm, msr, true))
		return refuse(vcpu, KVM_MSR_EXIT_REASON_FILTER, msr, true);
	r = msr_set(vcpu, msr, vcpu_edx_eax(vcpu), false);
	return r ? refuse(vcpu, reason_of(r), msr, true) : finish(vcpu, false);
}

/* --- at once: no filter to ask, and failures are #GP --- */

static bool concerns_userspace(struct vcpu *vcpu)
{
	const struct vm_arch *vm = &vcpu->vm->arch;

	return rcu_access_pointer(vm->msr_filter) || READ_ONCE(vm->user_msr_reasons);
}

int msr_insn_read_at_once(struct vcpu *vcpu)
{
	u64 value;
	int r;

	if (concerns_userspace(vcpu))
		return 0;
	r = msr_get(vcpu, vcpu->arch.regs[REG_RCX], &value, false);
	if (!r)
		set_edx_eax(vcpu, value);
	return finish(vcpu, r);
}

int msr_insn_write_at_once(struct vcpu *vcpu)
{
	int r;

	if (concerns_userspace(vcpu))
		return 0;
	r = msr_set_at_once(vcpu, vcpu->arch.regs[REG_RCX], vcpu_edx_eax(vcpu));
	return r == MSR_LATER ? 0 : finish(vcpu, r);
}
