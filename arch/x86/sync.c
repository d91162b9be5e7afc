// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_CAP_SYNC_REGS: registers travel with KVM_RUN in the shared page, so that a VMM that looks at
 * them after every exit needs no further calls. The same as KVM_GET_ and KVM_SET_ REGS, SREGS and
 * VCPU_EVENTS around it, by the functions behind those. The FPU is left out, as it is in the ABI.
 *
 * Other threads of the VMM can write the page at any time: what is taken from it is copied before
 * it is checked. Called by the vCPU's thread at both ends of KVM_RUN, with vm->srcu held.
 */
#include <linux/string.h>
#include <backend.h>
#include <vcpu.h>

static void take_regs(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	memcpy(&regs, &vcpu->run->s.regs.regs, sizeof(regs));
	regs_set(vcpu, &regs);
}

static int take_sregs(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;

	memcpy(&sregs, &vcpu->run->s.regs.sregs, sizeof(sregs));
	return sregs_set(vcpu, &sregs);
}

static int take_events(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	memcpy(&events, &vcpu->run->s.regs.events, sizeof(events));
	return event_set(vcpu, &events);
}

int sync_take(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 dirty = READ_ONCE(run->kvm_dirty_regs);

	if (likely(!(READ_ONCE(run->kvm_valid_regs) | dirty)))
		return 0;
	if ((READ_ONCE(run->kvm_valid_regs) | dirty) & ~(u64)KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	if (dirty & KVM_SYNC_X86_REGS) {
		take_regs(vcpu);
		run->kvm_dirty_regs &= ~(u64)KVM_SYNC_X86_REGS;
	}
	if (dirty & KVM_SYNC_X86_SREGS) {
		if (take_sregs(vcpu))
			return -EINVAL;
		run->kvm_dirty_regs &= ~(u64)KVM_SYNC_X86_SREGS;
	}
	if (dirty & KVM_SYNC_X86_EVENTS) {
		if (take_events(vcpu))
			return -EINVAL;
		run->kvm_dirty_regs &= ~(u64)KVM_SYNC_X86_EVENTS;
	}
	return 0;
}

void sync_give(struct vcpu *vcpu)
{
	struct kvm_sync_regs *to = &vcpu->run->s.regs;
	u64 wanted = READ_ONCE(vcpu->run->kvm_valid_regs);

	if (wanted & KVM_SYNC_X86_REGS)
		regs_get(vcpu, &to->regs);
	if (wanted & KVM_SYNC_X86_SREGS)
		sregs_get(vcpu, &to->sregs);
	if (wanted & KVM_SYNC_X86_EVENTS)
		event_get(vcpu, &to->events);
}
