// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vCPU file descriptor: creation, the shared pages, ioctl dispatch, and the run loop with its
 * ways to be interrupted (requests, kicks, signals, preemption). What happens in the guest, and
 * what an exit means, is the architecture's business (include/arch.h).
 */
#include <linux/anon_inodes.h>
#include <linux/cpumask.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/task_work.h>
#include <linux/uaccess.h>
#include <trace/events/ipi.h> /* smp_send_reschedule() traces in newer kernels */
#include <arch.h>
#include <backend.h>
#include <compat.h>

static struct kmem_cache *vcpu_cache;
static struct cpumask __percpu *ipi_mask; /* scratch of vm_request_all_and_wait() */
static DEFINE_PER_CPU(struct vcpu *, loaded_vcpu);

/* --- load and put: whose state is on this CPU --- */

static void vcpu_sched_in(struct preempt_notifier *pn, int cpu)
{
	struct vcpu *vcpu = container_of(pn, struct vcpu, preempt_notifier);

	WRITE_ONCE(vcpu->preempted, false);
	__this_cpu_write(loaded_vcpu, vcpu);
	arch_vcpu_load(vcpu, cpu);
	WRITE_ONCE(vcpu->cpu, cpu);
}

static void vcpu_sched_out(struct preempt_notifier *pn, struct task_struct *next)
{
	struct vcpu *vcpu = container_of(pn, struct vcpu, preempt_notifier);

	WRITE_ONCE(vcpu->preempted, compat_current_preempted());
	arch_vcpu_put(vcpu);
	__this_cpu_write(loaded_vcpu, NULL);
}

static struct preempt_ops vcpu_preempt_ops = {
	.sched_in = vcpu_sched_in,
	.sched_out = vcpu_sched_out,
};

void vcpu_load(struct vcpu *vcpu)
{
	int cpu = get_cpu();

	__this_cpu_write(loaded_vcpu, vcpu);
	preempt_notifier_register(&vcpu->preempt_notifier);
	arch_vcpu_load(vcpu, cpu);
	WRITE_ONCE(vcpu->cpu, cpu);
	vcpu->loaded = true;
	put_cpu();
}

void vcpu_put(struct vcpu *vcpu)
{
	preempt_disable();
	vcpu->loaded = false;
	arch_vcpu_put(vcpu);
	preempt_notifier_unregister(&vcpu->preempt_notifier);
	__this_cpu_write(loaded_vcpu, NULL);
	preempt_enable();
}

struct vcpu *vcpu_running(void)
{
	return __this_cpu_read(loaded_vcpu);
}

/* --- getting a vCPU's attention --- */

void vcpu_wake(struct vcpu *vcpu)
{
	rcuwait_wake_up(&vcpu->wait); /* orders what we stored before its look at the sleeper */
}

void vcpu_kick(struct vcpu *vcpu)
{
	int cpu;

	vcpu_wake(vcpu);
	preempt_disable();
	/* (A), by the full barrier of a cmpxchg that succeeds, and for one that fails: */
	smp_mb();
	if (cmpxchg(&vcpu->mode, VCPU_IN_GUEST, VCPU_EXITING) == VCPU_IN_GUEST) {
		/* It can't leave this CPU before it has left the guest. */
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu != smp_processor_id() && cpu_online(cpu))
			smp_send_reschedule(cpu);
	}
	preempt_enable();
}

/* The IPI itself makes the vCPU leave the guest; that it ran means that it has left. */
static void left_guest(void *unused)
{
}

void vm_request_all_and_wait(struct vm *vm, enum vcpu_request req)
{
	struct cpumask *mask;
	struct vcpu *vcpu;
	u32 i;

	vm_for_each_vcpu (vm, i, vcpu)
		vcpu_set_request(vcpu, req);
	smp_mb(); /* (A) */

	preempt_disable();
	mask = this_cpu_ptr(ipi_mask);
	cpumask_clear(mask);
	vm_for_each_vcpu (vm, i, vcpu) {
		/*
		 * VCPU_EXITING: an IPI is on its way, but not there yet. If the vCPU moves on to
		 * another CPU after our look, it sees the request before it enters there.
		 */
		if (smp_load_acquire(&vcpu->mode) != VCPU_OUTSIDE)
			cpumask_set_cpu(READ_ONCE(vcpu->cpu), mask);
	}
	smp_call_function_many(mask, left_guest, NULL, true);
	preempt_enable();
}

/* --- the run loop --- */

/*
 * Task work (a deferred close, NUMA balancing, the scheduler's housekeeping every 100 ms) runs on
 * the way to userspace, where modules can't run it: see vcpu_do_task_work(). TIF_NOTIFY_RESUME
 * alone is no reason to leave: restartable sequences set it on each preemption, and it can wait for
 * the next exit to userspace.
 */
static bool vcpu_must_leave(struct vcpu *vcpu)
{
	return signal_pending(current) || task_work_pending(current) ||
	       compat_immediate_exit(vcpu->run);
}

bool vcpu_flagged_work(struct vcpu *vcpu)
{
	return need_resched() || vcpu_must_leave(vcpu);
}

static int vcpu_interrupted(struct vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	vcpu->stats.signal_exits++;
	return -EINTR;
}

/*
 * Let the kernel run the task's work on the way to userspace and call KVM_RUN again from there:
 * userspace must not see -EINTR without a signal. If a signal comes meanwhile and has a handler,
 * it is -EINTR after all. See also vcpu_run().
 */
static int vcpu_do_task_work(struct vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	return -ERESTARTNOHAND;
}

/* Must KVM_RUN end here? 1: no; else its result. */
static int vcpu_check_leave(struct vcpu *vcpu)
{
	if (signal_pending(current) || compat_immediate_exit(vcpu->run))
		return vcpu_interrupted(vcpu);
	return task_work_pending(current) ? vcpu_do_task_work(vcpu) : 1;
}

/* 0: exit to userspace with run->exit_reason set; < 0: errno. */
static int vcpu_run_loop(struct vcpu *vcpu) __must_hold(&vcpu->vm->srcu)
{
	int r;

	for (;;) {
		if (READ_ONCE(vcpu->vm->dead))
			return -EIO;
		if (unlikely(dirty_ring_full(&vcpu->dirty_ring))) {
			vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
			return 0;
		}
		r = 1;
		if (arch_vcpu_runnable(vcpu) || vcpu_block(vcpu))
			r = arch_vcpu_enter(vcpu);
		if (r > 0)
			r = vcpu_check_leave(vcpu);
		if (r <= 0)
			return r;
		if (need_resched()) {
			vcpu_srcu_unlock(vcpu);
			vcpu->at_boundary = true;
			cond_resched();
			vcpu->at_boundary = false;
			vcpu_srcu_lock(vcpu);
		}
	}
}

/*
 * Block the signals of KVM_SET_SIGNAL_MASK while in KVM_RUN. ->real_blocked makes signals that the
 * mask lets through, and whose action is to ignore them, stay pending: they shall interrupt us.
 */
static void vcpu_sigmask_begin(struct vcpu *vcpu)
{
	if (vcpu->sigmask_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigmask, &current->real_blocked);
}

static void vcpu_sigmask_end(struct vcpu *vcpu)
{
	if (!vcpu->sigmask_active)
		return;
	sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
	sigemptyset(&current->real_blocked);
}

/*
 * What has come before the guest was entered: 1 = nothing. Userspace may ask for an immediate exit
 * to have an I/O completed, and look at that exit's reason afterwards: it stays.
 */
static int vcpu_check_entry(struct vcpu *vcpu)
{
	if (compat_immediate_exit(vcpu->run)) {
		vcpu->stats.signal_exits++;
		return -EINTR;
	}
	return vcpu_check_leave(vcpu);
}

/* KVM_RUN. A pending I/O is completed even if userspace asks for an immediate exit. */
static int vcpu_run(struct vcpu *vcpu)
{
	int r;

	rcu_assign_pointer(vcpu->thread, current);
	vcpu_load(vcpu);
	vcpu_sigmask_begin(vcpu);
	vcpu_srcu_lock(vcpu);
	r = arch_vcpu_run_begin(vcpu);
	if (r > 0)
		r = vcpu_check_entry(vcpu);
	if (r > 0)
		r = vcpu_run_loop(vcpu);
	arch_vcpu_run_end(vcpu);
	vcpu_srcu_unlock(vcpu);
	vcpu_sigmask_end(vcpu);
	vcpu_put(vcpu);
	rcu_assign_pointer(vcpu->thread, NULL);
	/*
	 * System calls are restarted by the signal code: have it look. Finding no signal, it clears
	 * the flag; so would changing the signal mask, hence not earlier.
	 */
	if (r == -ERESTARTNOHAND)
		set_thread_flag(TIF_SIGPENDING);
	return r;
}

/* --- the file descriptor --- */

/* KVM_SET_SIGNAL_MASK; @arg NULL: none. -EINVAL: not a sigset_t's size. */
static int vcpu_set_sigmask(struct vcpu *vcpu, struct kvm_signal_mask __user *arg)
{
	struct kvm_signal_mask head;
	sigset_t set;

	if (!arg) {
		vcpu->sigmask_active = false;
		return 0;
	}
	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, arg->sigset, sizeof(set)))
		return -EFAULT;
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigmask = set;
	vcpu->sigmask_active = true;
	return 0;
}

static long vcpu_arch_ioctl(struct vcpu *vcpu, unsigned int cmd, void __user *arg)
{
	long r;

	vcpu_load(vcpu);
	vcpu_srcu_lock(vcpu);
	r = arch_vcpu_ioctl(vcpu, cmd, arg);
	vcpu_srcu_unlock(vcpu);
	vcpu_put(vcpu);
	return r;
}

/* Those that do not wait for a vCPU in KVM_RUN. -ENOIOCTLCMD: none of them. */
static long vcpu_unlocked_ioctl(struct vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	if (cmd == KVM_GET_STATS_FD)
		return stats_vcpu_fd(vcpu);
	return arch_vcpu_async_ioctl(vcpu, cmd, argp);
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vcpu *vcpu = file->private_data;
	void __user *argp = (void __user *)arg;
	long r;

	if (vcpu->vm->mm != current->mm || READ_ONCE(vcpu->vm->dead))
		return -EIO;
	if (cmd != KVM_RUN) {
		r = vcpu_unlocked_ioctl(vcpu, cmd, argp);
		if (r != -ENOIOCTLCMD)
			return r;
	}
	if (mutex_lock_killable(&vcpu->lock))
		return -EINTR;
	switch (cmd) {
	case KVM_RUN:
		r = arg ? -EINVAL : vcpu_run(vcpu);
		break;
	case KVM_SET_SIGNAL_MASK:
		r = vcpu_set_sigmask(vcpu, argp);
		break;
	default:
		r = vcpu_arch_ioctl(vcpu, cmd, argp);
	}
	mutex_unlock(&vcpu->lock);
	return r;
}

static vm_fault_t vcpu_fault(struct vm_fault *vmf)
{
	struct vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	switch (vmf->pgoff) {
	case 0:
		page = virt_to_page(vcpu->run);
		break;
	case KVM_PIO_PAGE_OFFSET:
		page = virt_to_page(vcpu->pio_data);
		break;
	case KVM_COALESCED_MMIO_PAGE_OFFSET:
		page = coalesced_ring_page(vcpu->vm);
		break;
	default:
		page = NULL;
		if (vmf->pgoff >= KVM_DIRTY_LOG_PAGE_OFFSET)
			page = dirty_ring_page(vcpu, vmf->pgoff - KVM_DIRTY_LOG_PAGE_OFFSET);
		if (!page)
			return VM_FAULT_SIGBUS;
	}
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = {
	.fault = vcpu_fault,
};

/* A private copy of the ring would show nothing, and there is nothing in it to execute. */
static bool maps_ring_badly(struct vcpu *vcpu, struct vm_area_struct *vma)
{
	pgoff_t first = KVM_DIRTY_LOG_PAGE_OFFSET;
	pgoff_t end = first + vcpu->dirty_ring.size * sizeof(struct kvm_dirty_gfn) / PAGE_SIZE;

	return vma->vm_pgoff < end && vma->vm_pgoff + vma_pages(vma) > first &&
	       (!(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC));
}

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (maps_ring_badly(file->private_data, vma))
		return -EINVAL;
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

/* The vCPU itself lives as long as its VM. NULL: it never came to be. */
static int vcpu_release(struct inode *inode, struct file *file)
{
	struct vcpu *vcpu = file->private_data;

	if (vcpu)
		vm_put(vcpu->vm);
	return 0;
}

/*
 * .owner keeps the module while the file, or a mapping of it, is there; so as long as the VM lives.
 */
static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

/* --- life --- */

static void vcpu_free(struct vcpu *vcpu)
{
	free_page((unsigned long)vcpu->run);
	free_page((unsigned long)vcpu->pio_data);
	dirty_ring_free(vcpu);
	kmem_cache_free(vcpu_cache, vcpu);
}

static struct vcpu *vcpu_alloc(struct vm *vm, u32 id)
{
	struct vcpu *vcpu = kmem_cache_zalloc(vcpu_cache, GFP_KERNEL_ACCOUNT);

	if (!vcpu)
		return NULL;
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->cpu = -1;
	mutex_init(&vcpu->lock);
	rcuwait_init(&vcpu->wait);
	preempt_notifier_init(&vcpu->preempt_notifier, &vcpu_preempt_ops);
	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vcpu->pio_data = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->run || !vcpu->pio_data) {
		vcpu_free(vcpu);
		return NULL;
	}
	return vcpu;
}

/* Give the vCPU its index and its architecture part, and make it visible. */
static int vcpu_publish(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct vcpu *other;
	u32 i;
	int r;

	lockdep_assert_held(&vm->lock);
	if (vm->nr_vcpus >= VM_MAX_VCPUS)
		return -EINVAL;
	vm_for_each_vcpu (vm, i, other)
		if (other->id == vcpu->id)
			return -EEXIST;
	r = dirty_ring_alloc(vcpu);
	if (r)
		return r;
	vcpu->index = vm->nr_vcpus;
	/* The irqchip can name it by index as soon as the architecture attaches its LAPIC. */
	vm->vcpu[vcpu->index] = vcpu;
	r = arch_vcpu_init(vcpu);
	if (r) {
		vm->vcpu[vcpu->index] = NULL;
		return r;
	}
	smp_store_release(&vm->nr_vcpus, vcpu->index + 1); /* pairs with vm_for_each_vcpu() */
	stats_add_vcpu(vcpu);
	return 0;
}

/* What can fail comes before vcpu_publish(): there is no way back from that. */
int vcpu_create_fd(struct vm *vm, unsigned long id)
{
	struct vcpu *vcpu;
	struct file *file;
	int fd, r;

	if (id >= VM_MAX_VCPU_ID)
		return -EINVAL;
	vcpu = vcpu_alloc(vm, id);
	if (!vcpu)
		return -ENOMEM;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		r = fd;
		goto fail;
	}
	file = anon_inode_getfile("apicvisor-vcpu", &vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		r = PTR_ERR(file);
		goto fail_fd;
	}
	mutex_lock(&vm->lock);
	r = vcpu_publish(vcpu);
	mutex_unlock(&vm->lock);
	if (r)
		goto fail_file;
	vm_get(vm);
	fd_install(fd, file);
	return fd;

fail_file:
	file->private_data = NULL;
	fput(file);
fail_fd:
	put_unused_fd(fd);
fail:
	vcpu_free(vcpu);
	return r;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	arch_vcpu_destroy(vcpu);
	vcpu_free(vcpu);
}

int vcpu_module_init(void)
{
	/* ioctl handlers copy between ->arch and userspace directly; nothing else may be. */
	vcpu_cache = kmem_cache_create_usercopy("apicvisor_vcpu", sizeof(struct vcpu),
						__alignof__(struct vcpu), SLAB_ACCOUNT,
						offsetof(struct vcpu, arch),
						sizeof_field(struct vcpu, arch), NULL);
	if (!vcpu_cache)
		return -ENOMEM;
	ipi_mask = alloc_percpu(struct cpumask);
	if (!ipi_mask) {
		kmem_cache_destroy(vcpu_cache);
		return -ENOMEM;
	}
	return 0;
}

void vcpu_module_exit(void)
{
	free_percpu(ipi_mask);
	kmem_cache_destroy(vcpu_cache);
}
