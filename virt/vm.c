// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VM file descriptor: life of a VM, and its ioctls, each of which is carried out elsewhere. A
 * VM lives until its own descriptor and those of its vCPUs are closed, and each of them holds the
 * module by its file operations' owner.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <arch.h>
#include <dev.h>

/* --- life --- */

static int vm_init_parts(struct vm *vm)
{
	int r;

	r = init_srcu_struct(&vm->srcu);
	if (r)
		return r;
	r = memslots_init(vm);
	if (r)
		goto fail_slots;
	r = iobus_init(vm);
	if (r)
		goto fail_bus;
	r = coalesced_init(vm);
	if (r)
		goto fail_coalesced;
	r = arch_vm_init(vm);
	if (r)
		goto fail_arch;
	r = notifier_init(vm); /* last: its callbacks need the rest */
	if (r)
		goto fail_notifier;
	return 0;

fail_notifier:
	arch_vm_pre_destroy(vm);
	arch_vm_destroy(vm);
fail_arch:
	coalesced_destroy(vm);
fail_coalesced:
	iobus_destroy(vm);
fail_bus:
	memslots_destroy(vm);
fail_slots:
	cleanup_srcu_struct(&vm->srcu);
	return r;
}

static struct vm *vm_create(void)
{
	/* By the page: the next power of two is far off. */
	struct vm *vm = __vmalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	int r;

	if (!vm)
		return ERR_PTR(-ENOMEM);
	refcount_set(&vm->users, 1);
	vm->halt_poll_ns = HALT_POLL_DEFAULT;
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	mutex_init(&vm->irq_lock);
	spin_lock_init(&vm->mmu_lock);
	INIT_LIST_HEAD(&vm->ioeventfds);
	INIT_LIST_HEAD(&vm->node);
	irqfd_init(vm);
	vm->creator = task_pid_nr(current);
	vm->mm = current->mm;
	mmgrab(vm->mm);
	r = vm_init_parts(vm);
	if (r) {
		mmdrop(vm->mm);
		vfree(vm);
		return ERR_PTR(r);
	}
	preempt_notifier_inc();
	stats_add_vm(vm);
	return vm;
}

/*
 * From what acts on its own to what is acted upon: interrupt sources and timers, the host's MMU,
 * then the vCPUs they reach, then devices and memory.
 */
static void vm_destroy(struct vm *vm)
{
	struct vcpu *vcpu;
	u32 i;

	stats_remove_vm(vm);
	irqfd_release(vm);
	arch_vm_pre_destroy(vm);
	notifier_destroy(vm);
	vm_for_each_vcpu (vm, i, vcpu)
		vcpu_destroy(vcpu);
	iobus_destroy(vm);
	coalesced_destroy(vm);
	memslots_destroy(vm);
	arch_vm_destroy(vm);
	cleanup_srcu_struct(&vm->srcu);
	preempt_notifier_dec();
	mmdrop(vm->mm);
	vfree(vm);
}

void vm_get(struct vm *vm)
{
	refcount_inc(&vm->users);
}

void vm_put(struct vm *vm)
{
	if (refcount_dec_and_test(&vm->users))
		vm_destroy(vm);
}

void vm_kill(struct vm *vm)
{
	struct vcpu *vcpu;
	u32 i;

	WRITE_ONCE(vm->dead, true);
	vm_for_each_vcpu (vm, i, vcpu) {
		vcpu_set_request(vcpu, REQ_VM_DEAD);
		vcpu_kick(vcpu);
	}
}

/* --- ioctls: copy the argument, call who knows --- */

static int vm_set_memory_region(struct vm *vm, void __user *arg)
{
	struct kvm_userspace_memory_region region;

	if (copy_from_user(&region, arg, sizeof(region)))
		return -EFAULT;
	return memslot_set(vm, &region);
}

#ifdef KVM_SET_USER_MEMORY_REGION2
/* Without guest_memfd, whose flag memslot_set() refuses, only the common part counts. */
static int vm_set_memory_region2(struct vm *vm, void __user *arg)
{
	struct kvm_userspace_memory_region2 region;

	if (copy_from_user(&region, arg, sizeof(region)))
		return -EFAULT;
	return memslot_set(vm, &(struct kvm_userspace_memory_region){
				       .slot = region.slot,
				       .flags = region.flags,
				       .guest_phys_addr = region.guest_phys_addr,
				       .memory_size = region.memory_size,
				       .userspace_addr = region.userspace_addr,
			       });
}
#endif

static int vm_get_dirty_log(struct vm *vm, void __user *arg)
{
	struct kvm_dirty_log log;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	return dirty_get_log(vm, &log);
}

static int vm_clear_dirty_log(struct vm *vm, void __user *arg)
{
	struct kvm_clear_dirty_log log;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	return dirty_clear_log(vm, &log);
}

static int vm_coalesced(struct vm *vm, void __user *arg,
			int (*fn)(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone))
{
	struct kvm_coalesced_mmio_zone zone;

	if (copy_from_user(&zone, arg, sizeof(zone)))
		return -EFAULT;
	return fn(vm, &zone);
}

static int vm_irqfd(struct vm *vm, void __user *arg)
{
	struct kvm_irqfd args;

	if (copy_from_user(&args, arg, sizeof(args)))
		return -EFAULT;
	return irqfd_ioctl(vm, &args);
}

static int vm_ioeventfd(struct vm *vm, void __user *arg)
{
	struct kvm_ioeventfd args;

	if (copy_from_user(&args, arg, sizeof(args)))
		return -EFAULT;
	return ioeventfd_ioctl(vm, &args);
}

static long vm_set_up(struct vm *vm, unsigned int cmd, unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case KVM_CHECK_EXTENSION:
		return check_extension(vm, arg);
	case KVM_CREATE_VCPU:
		return vcpu_create_fd(vm, arg);
	case KVM_SET_USER_MEMORY_REGION:
		return vm_set_memory_region(vm, argp);
#ifdef KVM_SET_USER_MEMORY_REGION2
	case KVM_SET_USER_MEMORY_REGION2:
		return vm_set_memory_region2(vm, argp);
#endif
	case KVM_GET_DIRTY_LOG:
		return vm_get_dirty_log(vm, argp);
	case KVM_CLEAR_DIRTY_LOG:
		return vm_clear_dirty_log(vm, argp);
	case KVM_RESET_DIRTY_RINGS:
		return dirty_rings_reset(vm);
	case KVM_REGISTER_COALESCED_MMIO:
		return vm_coalesced(vm, argp, coalesced_register);
	case KVM_UNREGISTER_COALESCED_MMIO:
		return vm_coalesced(vm, argp, coalesced_unregister);
	case KVM_IRQFD:
		return vm_irqfd(vm, argp);
	case KVM_IOEVENTFD:
		return vm_ioeventfd(vm, argp);
	case KVM_GET_STATS_FD:
		return stats_vm_fd(vm);
	default:
		return arch_vm_ioctl(vm, cmd, argp);
	}
}

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vm *vm = file->private_data;
	void __user *argp = (void __user *)arg;

	/* Memory and buses are the creator's; a child that inherited the descriptor has others. */
	if (vm->mm != current->mm || READ_ONCE(vm->dead))
		return -EIO;
	switch (cmd) {
	/* What a VMM does all the time need not find its place among the rest. */
	case KVM_SIGNAL_MSI:
		return arch_signal_msi(vm, argp);
	case KVM_IRQ_LINE:
		return arch_irq_line(vm, argp, false);
	case KVM_IRQ_LINE_STATUS:
		return arch_irq_line(vm, argp, true);
	default:
		return vm_set_up(vm, cmd, arg);
	}
}

static int vm_release(struct inode *inode, struct file *file)
{
	vm_put(file->private_data);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

int vm_create_fd(unsigned long type)
{
	struct file *file;
	struct vm *vm;
	int fd;

	if (type)
		return -EINVAL;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	vm = vm_create();
	if (IS_ERR(vm)) {
		put_unused_fd(fd);
		return PTR_ERR(vm);
	}
	file = anon_inode_getfile("apicvisor-vm", &vm_fops, vm, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		vm_put(vm);
		return PTR_ERR(file);
	}
	fd_install(fd, file);
	return fd;
}
