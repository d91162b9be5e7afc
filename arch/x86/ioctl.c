// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls that only x86 has, on the device, a VM and a vCPU: copy, validate, call who knows.
 *
 * virt/ has checked that the caller is the VM's creator. A vCPU's ioctls run in its own context:
 * vcpu->lock held, its state loaded, vm->srcu read-locked. Left out, as no capability promises it:
 * SMM, nested state, SREGS2.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <arch.h>
#include <backend.h>

#define DEFAULT_IDENTITY_MAP 0xfffbc000ULL

/* --- device --- */

static long get_mce_cap(void __user *arg)
{
	u64 cap = X86_MCG_CAP;

	return copy_to_user(arg, &cap, sizeof(cap)) ? -EFAULT : 0;
}

/* What guests may have, for a VMM that must ask its own process for permission: AMX. */
static long dev_attribute(void __user *arg, bool get)
{
	struct kvm_device_attr attr;

	if (copy_from_user(&attr, arg, sizeof(attr)))
		return -EFAULT;
	if (attr.group || attr.attr != KVM_X86_XCOMP_GUEST_SUPP)
		return -ENXIO;
	return get ? put_user(x86_host.xcr0, (u64 __user *)(unsigned long)attr.addr) : 0;
}

long arch_dev_ioctl(unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case KVM_GET_SUPPORTED_CPUID:
		return cpuid_ioctl_supported(arg);
	case KVM_GET_MSR_INDEX_LIST:
		return msr_ioctl_index_list(arg, false);
	case KVM_GET_MSR_FEATURE_INDEX_LIST:
		return msr_ioctl_index_list(arg, true);
	case KVM_GET_MSRS:
		return msr_ioctl_system_get(arg);
	case KVM_X86_GET_MCE_CAP_SUPPORTED:
		return get_mce_cap(arg);
	case KVM_GET_DEVICE_ATTR:
		return dev_attribute(arg, true);
	case KVM_HAS_DEVICE_ATTR:
		return dev_attribute(arg, false);
	default:
		return -ENOTTY;
	}
}

/* --- VM --- */

/* Three pages below 4 GiB that real mode needs on processors without "unrestricted guest". */
static long set_tss_addr(struct vm *vm, unsigned long addr)
{
	if (addr > (u32)(-3 * PAGE_SIZE))
		return -EINVAL;
	WRITE_ONCE(vm->arch.tss_addr, addr);
	return 0;
}

/* A limit on shadow pages, of which there are none: remembered, and of no consequence. */
static long set_nr_mmu_pages(struct vm *vm, unsigned long n)
{
	if (n < X86_MIN_MMU_PAGES || n > INT_MAX)
		return -EINVAL;
	WRITE_ONCE(vm->arch.nr_mmu_pages, n);
	return 0;
}

static long set_identity_map_addr(struct vm *vm, void __user *arg)
{
	u64 addr;
	long r = -EINVAL;

	if (copy_from_user(&addr, arg, sizeof(addr)))
		return -EFAULT;
	mutex_lock(&vm->lock);
	if (!vm->nr_vcpus) {
		vm->arch.identity_map_addr = addr ? addr : DEFAULT_IDENTITY_MAP;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static long set_boot_cpu_id(struct vm *vm, unsigned long id)
{
	u32 limit;
	long r = 0;

	mutex_lock(&vm->lock);
	limit = vm->arch.max_vcpu_ids ? vm->arch.max_vcpu_ids : VM_MAX_VCPU_ID;
	if (vm->nr_vcpus)
		r = -EBUSY;
	else if (id >= limit)
		r = -EINVAL;
	else
		vm->arch.boot_cpu_id = id;
	mutex_unlock(&vm->lock);
	return r;
}

/*
 * KVM_CAP_MAX_VCPU_ID: IDs are below args[0] from now on. Can be set once. A boot CPU's ID that is
 * the limit is taken, since KVM takes it: that VM has no boot CPU.
 */
static long enable_max_vcpu_id(struct vm *vm, u64 limit)
{
	if (!limit || limit > VM_MAX_VCPU_ID || vm->arch.boot_cpu_id > limit || vm->nr_vcpus)
		return -EINVAL;
	if (vm->arch.max_vcpu_ids && vm->arch.max_vcpu_ids != limit)
		return -EINVAL;
	vm->arch.max_vcpu_ids = limit;
	return 0;
}

static long enable_x2apic_api(struct vm *vm, u64 flags)
{
	if (flags & ~(u64)(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK))
		return -EINVAL;
	if (flags & KVM_X2APIC_API_USE_32BIT_IDS)
		WRITE_ONCE(vm->chip.x2apic_format, true);
	if (flags & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		WRITE_ONCE(vm->chip.no_x2apic_bcast, true);
	return 0;
}

static long enable_halt_poll(struct vm *vm, u64 ns)
{
	if (ns > U32_MAX)
		return -EINVAL;
	WRITE_ONCE(vm->halt_poll_ns, ns);
	return 0;
}

/* Of vCPUs that come after it: those that are there keep theirs. */
static long enable_disable_exits(struct vm *vm, u64 exits)
{
	if (exits & ~(u64)backend_disable_exits())
		return -EINVAL;
	WRITE_ONCE(vm->arch.disabled_exits, vm->arch.disabled_exits | (u32)exits);
	return 0;
}

static long enable_user_msr(struct vm *vm, u64 reasons)
{
	const u64 known = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
			  KVM_MSR_EXIT_REASON_FILTER;

	if (reasons & ~known)
		return -EINVAL;
	WRITE_ONCE(vm->arch.user_msr_reasons, reasons);
	return 0;
}

static long disable_quirks(struct vm *vm, u64 quirks)
{
	if (quirks & ~(u64)X86_QUIRKS)
		return -EINVAL;
	WRITE_ONCE(vm->arch.disabled_quirks, quirks);
	return 0;
}

/* A capability that is a switch. */
static long enable_flag(bool *flag, u64 value)
{
	if (value > 1)
		return -EINVAL;
	WRITE_ONCE(*flag, value);
	return 0;
}

#ifdef KVM_CAP_X86_APIC_BUS_CYCLES_NS
static long enable_bus_cycle(struct vm *vm, u64 ns)
{
	if (!ns || ns > IRQCHIP_MAX_BUS_CYCLE_NS || vm->nr_vcpus)
		return -EINVAL;
	if (vm->irqchip_mode == IRQCHIP_NONE)
		return -ENXIO;
	vm->chip.bus_cycle_ns = ns;
	return 0;
}
#endif

static long enable_cap_locked(struct vm *vm, const struct kvm_enable_cap *cap)
{
	switch (cap->cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		return irqchip_enable_split(vm, cap->args[0]);
	case KVM_CAP_MAX_VCPU_ID:
		return enable_max_vcpu_id(vm, cap->args[0]);
	case KVM_CAP_X2APIC_API:
		return enable_x2apic_api(vm, cap->args[0]);
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return dirty_set_manual(vm, cap->args[0]);
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		return dirty_ring_enable_locked(vm, cap->args[0]);
	case KVM_CAP_HALT_POLL:
		return enable_halt_poll(vm, cap->args[0]);
	case KVM_CAP_X86_DISABLE_EXITS:
		return enable_disable_exits(vm, cap->args[0]);
	case KVM_CAP_DISABLE_QUIRKS2:
		return disable_quirks(vm, cap->args[0]);
	case KVM_CAP_MSR_PLATFORM_INFO:
		WRITE_ONCE(vm->arch.no_platform_info, !cap->args[0]);
		return 0;
	case KVM_CAP_EXCEPTION_PAYLOAD:
		return enable_flag(&vm->arch.exception_payload, cap->args[0]);
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
		return enable_flag(&vm->arch.triple_fault_event, cap->args[0]);
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE: /* as always */
		return cap->args[0] > 1 ? -EINVAL : 0;
	case KVM_CAP_X86_USER_SPACE_MSR:
		return enable_user_msr(vm, cap->args[0]);
#ifdef KVM_CAP_X86_APIC_BUS_CYCLES_NS
	case KVM_CAP_X86_APIC_BUS_CYCLES_NS:
		return enable_bus_cycle(vm, cap->args[0]);
#endif
	default:
		return -EINVAL;
	}
}

static long enable_cap(struct vm *vm, void __user *arg)
{
	struct kvm_enable_cap cap;
	long r;

	if (copy_from_user(&cap, arg, sizeof(cap)))
		return -EFAULT;
	if (cap.flags)
		return -EINVAL;
	mutex_lock(&vm->lock);
	r = enable_cap_locked(vm, &cap);
	mutex_unlock(&vm->lock);
	return r;
}

long arch_vm_ioctl(struct vm *vm, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case KVM_SET_TSS_ADDR:
		return set_tss_addr(vm, (unsigned long)arg);
	case KVM_SET_IDENTITY_MAP_ADDR:
		return set_identity_map_addr(vm, arg);
	case KVM_SET_NR_MMU_PAGES:
		return set_nr_mmu_pages(vm, (unsigned long)arg);
	case KVM_GET_NR_MMU_PAGES:
		return READ_ONCE(vm->arch.nr_mmu_pages);
	case KVM_SET_BOOT_CPU_ID:
		return set_boot_cpu_id(vm, (unsigned long)arg);
	case KVM_ENABLE_CAP:
		return enable_cap(vm, arg);
	case KVM_X86_SET_MSR_FILTER:
		return msr_ioctl_set_filter(vm, arg);
	case KVM_GET_CLOCK:
	case KVM_SET_CLOCK:
	case KVM_GET_TSC_KHZ:
	case KVM_SET_TSC_KHZ:
		return clock_vm_ioctl(vm, cmd, arg);
	default:
		return irqchip_vm_ioctl(vm, cmd, arg);
	}
}

/* --- vCPU: state --- */

static long vcpu_get_regs(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_regs regs;

	regs_get(vcpu, &regs);
	return copy_to_user(arg, &regs, sizeof(regs)) ? -EFAULT : 0;
}

static long vcpu_set_regs(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_regs regs;

	if (copy_from_user(&regs, arg, sizeof(regs)))
		return -EFAULT;
	regs_set(vcpu, &regs);
	return 0;
}

static long vcpu_get_sregs(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_sregs sregs;

	sregs_get(vcpu, &sregs);
	return copy_to_user(arg, &sregs, sizeof(sregs)) ? -EFAULT : 0;
}

static long vcpu_set_sregs(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_sregs sregs;

	if (copy_from_user(&sregs, arg, sizeof(sregs)))
		return -EFAULT;
	return sregs_set(vcpu, &sregs);
}

static long vcpu_get_fpu(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_fpu fpu;
	int r = fpu_get(vcpu, &fpu);

	if (r)
		return r;
	return copy_to_user(arg, &fpu, sizeof(fpu)) ? -EFAULT : 0;
}

static long vcpu_set_fpu(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_fpu fpu;

	if (copy_from_user(&fpu, arg, sizeof(fpu)))
		return -EFAULT;
	return fpu_set(vcpu, &fpu);
}

static long vcpu_get_xsave(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_xsave *xsave = kmalloc(sizeof(*xsave), GFP_KERNEL_ACCOUNT);
	long r;

	if (!xsave)
		return -ENOMEM;
	r = xsave_get(vcpu, xsave);
	if (!r && copy_to_user(arg, xsave, sizeof(*xsave)))
		r = -EFAULT;
	kfree(xsave);
	return r;
}

static long vcpu_set_xsave(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_xsave *xsave = memdup_user(arg, sizeof(*xsave));
	long r;

	if (IS_ERR(xsave))
		return PTR_ERR(xsave);
	r = xsave_set(vcpu, xsave);
	kfree(xsave);
	return r;
}

static long vcpu_get_xcrs(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1 };

	if (!x86_host.xcr0)
		return -EINVAL;
	xcrs.xcrs[0].value = vcpu->arch.xcr0;
	return copy_to_user(arg, &xcrs, sizeof(xcrs)) ? -EFAULT : 0;
}

static long vcpu_set_xcrs(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_xcrs xcrs;
	u32 i;

	if (!x86_host.xcr0)
		return -EINVAL;
	if (copy_from_user(&xcrs, arg, sizeof(xcrs)))
		return -EFAULT;
	if (xcrs.nr_xcrs > KVM_MAX_XCRS || xcrs.flags)
		return -EINVAL;
	for (i = 0; i < xcrs.nr_xcrs; i++)
		if (xcrs.xcrs[i].xcr == 0)
			return regs_set_xcr(vcpu, 0, xcrs.xcrs[i].value) ? -EINVAL : 0;
	return 0;
}

static long vcpu_get_debugregs(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_debugregs debug;

	debugregs_get(vcpu, &debug);
	return copy_to_user(arg, &debug, sizeof(debug)) ? -EFAULT : 0;
}

static long vcpu_set_debugregs(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_debugregs debug;

	if (copy_from_user(&debug, arg, sizeof(debug)))
		return -EFAULT;
	return debugregs_set(vcpu, &debug);
}

static long vcpu_set_guest_debug(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_guest_debug debug;

	if (copy_from_user(&debug, arg, sizeof(debug)))
		return -EFAULT;
	return debug_set(vcpu, &debug);
}

static long vcpu_get_events(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_vcpu_events events;

	event_get(vcpu, &events);
	return copy_to_user(arg, &events, sizeof(events)) ? -EFAULT : 0;
}

static long vcpu_set_events(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_vcpu_events events;

	if (copy_from_user(&events, arg, sizeof(events)))
		return -EFAULT;
	return event_set(vcpu, &events);
}

/* A latched INIT, SIPI or wake-up takes effect first: nothing else in the saved state has them. */
static long vcpu_get_mp_state(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_mp_state state = {};

	if (vcpu->vm->irqchip_mode != IRQCHIP_NONE &&
	    (vlapic_has_events(&vcpu->arch.apic) || vlapic_wake_requested(&vcpu->arch.apic)))
		vcpu_settle_mp_state(vcpu);
	state.mp_state = vcpu->arch.mp_state;
	return copy_to_user(arg, &state, sizeof(state)) ? -EFAULT : 0;
}

static long vcpu_set_mp_state(struct vcpu *vcpu, void __user *arg)
{
	bool in_kernel = vcpu->vm->irqchip_mode != IRQCHIP_NONE;
	struct kvm_mp_state state;

	if (copy_from_user(&state, arg, sizeof(state)))
		return -EFAULT;
	switch (state.mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
		/* Without a LAPIC here nothing would ever end these states. */
		if (!in_kernel)
			return -EINVAL;
		break;
	case KVM_MP_STATE_SIPI_RECEIVED:
		/* INIT received, and the SIPI of KVM_SET_VCPU_EVENTS' sipi_vector latched. */
		if (!in_kernel)
			return -EINVAL;
		env_or_u32(&vcpu->arch.apic.pending, VLAPIC_PENDING_SIPI);
		state.mp_state = KVM_MP_STATE_INIT_RECEIVED;
		break;
	default:
		return -EINVAL;
	}
	WRITE_ONCE(vcpu->arch.mp_state, state.mp_state);
	vcpu_set_request(vcpu, REQ_EVENT);
	return 0;
}

static long vcpu_setup_mce(struct vcpu *vcpu, void __user *arg)
{
	u64 cap;

	if (copy_from_user(&cap, arg, sizeof(cap)))
		return -EFAULT;
	return vmce_setup(vcpu, cap);
}

static long vcpu_set_mce(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_x86_mce mce;

	if (copy_from_user(&mce, arg, sizeof(mce)))
		return -EFAULT;
	return vmce_inject(vcpu, &mce);
}

static long vcpu_enable_cap(struct vcpu *vcpu, void __user *arg)
{
	struct kvm_enable_cap cap;

	if (copy_from_user(&cap, arg, sizeof(cap)))
		return -EFAULT;
	if (cap.flags)
		return -EINVAL;
	switch (cap.cap) {
	case KVM_CAP_ENFORCE_PV_FEATURE_CPUID: /* as always */
		return cap.args[0] > 1 ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

#ifdef KVM_PRE_FAULT_MEMORY
/*
 * KVM_PRE_FAULT_MEMORY: spare the guest the exits of its first accesses. What is done is cut off
 * the range, so that userspace comes again for the rest, which a signal or a hole has left.
 */
static long vcpu_pre_fault(struct vcpu *vcpu, struct kvm_pre_fault_memory __user *arg)
{
	struct kvm_pre_fault_memory range;
	u64 size, done;
	gpa_t next;
	long r = 0;

	if (copy_from_user(&range, arg, sizeof(range)))
		return -EFAULT;
	if (range.flags || !PAGE_ALIGNED(range.gpa) || !PAGE_ALIGNED(range.size) ||
	    range.gpa + range.size <= range.gpa)
		return -EINVAL;
	for (size = range.size; range.size; range.gpa += done, range.size -= done) {
		r = signal_pending(current) ? -EINTR : backend_map_page(vcpu, range.gpa, &next);
		if (r)
			break;
		done = min_t(u64, range.size, next - range.gpa);
		cond_resched();
	}
	if (copy_to_user(arg, &range, sizeof(range)))
		return -EFAULT;
	return range.size < size ? 0 : r;
}
#endif

long arch_vcpu_ioctl(struct vcpu *vcpu, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case KVM_GET_REGS:
		return vcpu_get_regs(vcpu, arg);
	case KVM_SET_REGS:
		return vcpu_set_regs(vcpu, arg);
	case KVM_GET_SREGS:
		return vcpu_get_sregs(vcpu, arg);
	case KVM_SET_SREGS:
		return vcpu_set_sregs(vcpu, arg);
	case KVM_GET_FPU:
		return vcpu_get_fpu(vcpu, arg);
	case KVM_SET_FPU:
		return vcpu_set_fpu(vcpu, arg);
	case KVM_GET_XSAVE:
	case KVM_GET_XSAVE2: /* KVM_CAP_XSAVE2 says that the size is the same */
		return vcpu_get_xsave(vcpu, arg);
	case KVM_SET_XSAVE:
		return vcpu_set_xsave(vcpu, arg);
	case KVM_GET_XCRS:
		return vcpu_get_xcrs(vcpu, arg);
	case KVM_SET_XCRS:
		return vcpu_set_xcrs(vcpu, arg);
	case KVM_GET_DEBUGREGS:
		return vcpu_get_debugregs(vcpu, arg);
	case KVM_SET_DEBUGREGS:
		return vcpu_set_debugregs(vcpu, arg);
	case KVM_GET_VCPU_EVENTS:
		return vcpu_get_events(vcpu, arg);
	case KVM_SET_VCPU_EVENTS:
		return vcpu_set_events(vcpu, arg);
	case KVM_GET_MP_STATE:
		return vcpu_get_mp_state(vcpu, arg);
	case KVM_SET_MP_STATE:
		return vcpu_set_mp_state(vcpu, arg);
	case KVM_GET_MSRS:
		return msr_ioctl_get(vcpu, arg);
	case KVM_SET_MSRS:
		return msr_ioctl_set(vcpu, arg);
	case KVM_GET_CPUID2:
		return cpuid_ioctl_get(vcpu, arg);
	case KVM_SET_CPUID2:
		return cpuid_ioctl_set(vcpu, arg);
	case KVM_NMI:
		event_nmi(vcpu);
		return 0;
	case KVM_X86_SETUP_MCE:
		return vcpu_setup_mce(vcpu, arg);
	case KVM_X86_SET_MCE:
		return vcpu_set_mce(vcpu, arg);
	case KVM_GET_TSC_KHZ:
	case KVM_SET_TSC_KHZ:
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		return clock_vcpu_ioctl(vcpu, cmd, arg);
	case KVM_ENABLE_CAP:
		return vcpu_enable_cap(vcpu, arg);
	case KVM_SET_GUEST_DEBUG:
		return vcpu_set_guest_debug(vcpu, arg);
	case KVM_TPR_ACCESS_REPORTING:
		return vapic_ioctl_reporting(vcpu, arg);
	case KVM_KVMCLOCK_CTRL:
		return kvmclock_tell_stopped(vcpu);
#ifdef KVM_PRE_FAULT_MEMORY
	case KVM_PRE_FAULT_MEMORY:
		return vcpu_pre_fault(vcpu, arg);
#endif
	default:
		return irqchip_vcpu_ioctl(vcpu, cmd, arg);
	}
}

/* --- vCPU: from any thread --- */

/*
 * KVM_INTERRUPT: the userspace 8259 answers INTA before it knows whether the vCPU can take the
 * vector, which waits here for the interrupt window. Two callers at once break that protocol; one
 * of the vectors is lost then, and nothing else.
 */
static long vcpu_interrupt(struct vcpu *vcpu, void __user *arg)
{
	struct x86_events *ev = &vcpu->arch.ev;
	struct kvm_interrupt irq;

	if (copy_from_user(&irq, arg, sizeof(irq)))
		return -EFAULT;
	if (irq.irq > 255)
		return -EINVAL;
	if (vcpu->vm->irqchip_mode == IRQCHIP_KERNEL)
		return -ENXIO;
	if (READ_ONCE(ev->user_irq_pending))
		return -EEXIST;
	WRITE_ONCE(ev->user_irq_vector, irq.irq);
	smp_store_release(&ev->user_irq_pending, true); /* pairs with event_user_irq() */
	vcpu_set_request(vcpu, REQ_EVENT);
	vcpu_kick(vcpu);
	return 0;
}

long arch_vcpu_async_ioctl(struct vcpu *vcpu, unsigned int cmd, void __user *arg)
{
	return cmd == KVM_INTERRUPT ? vcpu_interrupt(vcpu, arg) : -ENOIOCTLCMD;
}
