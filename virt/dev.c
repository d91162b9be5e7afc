// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module and its device node: parameters, system ioctls, and the table of capabilities that
 * virt/ itself implements. Access to the node is root's (mode 0600) until the system's device
 * manager says otherwise, as it is for /dev/kvm; a node called "kvm" gets what the system's rules
 * give that name.
 */
#undef pr_fmt
#define pr_fmt(fmt) "apicvisor: " fmt

#include <linux/cpumask.h>
#include <linux/ctype.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <arch.h>
#include <dev.h>

static char *devname = "apicvisor";
module_param(devname, charp, 0444);
MODULE_PARM_DESC(devname,
		 "Name of the node in /dev: letters, digits, '-', '_' (default apicvisor)");

#define DEVNAME_MAX     31
#define VCPU_MMAP_PAGES 3 /* kvm_run, PIO data, coalesced ring */

/* --- capabilities --- */

static long cap_nr_vcpus(void)
{
	return min_t(long, num_online_cpus(), VM_MAX_VCPUS);
}

/* Everything else is the architecture's: arch_check_extension(). Advertising is a promise. */
static const struct capability {
	u32 cap;
	long value;
	long (*fn)(void); /* instead of ->value */
} capabilities[] = {
	/* clang-format off */
	/* memory */
	{ KVM_CAP_USER_MEMORY, 1 },		     /* KVM_SET_USER_MEMORY_REGION */
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },  /* size 0 deletes a slot */
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },    /* a new slot may fill a deleted one's place */
	{ KVM_CAP_READONLY_MEM, 1 },		     /* writes become MMIO exits */
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,	     /* KVM_CLEAR_DIRTY_LOG */
	  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	{ KVM_CAP_DIRTY_LOG_RING, DIRTY_RING_MAX_BYTES }, /* a ring for each vCPU */
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, DIRTY_RING_MAX_BYTES }, /* the same */
	{ KVM_CAP_SYNC_MMU, 1 },		     /* guest memory follows the host's */
	{ KVM_CAP_NR_MEMSLOTS, VM_MAX_MEMSLOTS },    /* slot numbers 0 .. value - 1 */
#ifdef KVM_CAP_USER_MEMORY2
	{ KVM_CAP_USER_MEMORY2, 1 },		     /* KVM_SET_USER_MEMORY_REGION2 */
#endif
#ifdef KVM_CAP_PRE_FAULT_MEMORY
	{ KVM_CAP_PRE_FAULT_MEMORY, 1 },	     /* translated before the first access */
#endif
	/* events */
	{ KVM_CAP_IOEVENTFD, 1 },		     /* guest write -> eventfd */
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },	     /* length 0: any, for PIO ... */
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },	     /* ... and for MMIO */
	{ KVM_CAP_IRQFD, 1 },			     /* eventfd -> GSI */
	{ KVM_CAP_IRQFD_RESAMPLE, 1 },		     /* level-triggered irqfd */
	{ KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET }, /* the ring's page */
	{ KVM_CAP_COALESCED_PIO, 1 },		     /* zones on the PIO bus */
	/* vCPUs and exits */
	{ KVM_CAP_NR_VCPUS, .fn = cap_nr_vcpus },    /* recommended maximum */
	{ KVM_CAP_MAX_VCPUS, VM_MAX_VCPUS },	     /* per VM */
	{ KVM_CAP_MAX_VCPU_ID, VM_MAX_VCPU_ID },     /* IDs 0 .. value - 1 */
	{ KVM_CAP_HALT_POLL, 1 },		     /* a VM's own halt_poll_ns */
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },		     /* kvm_run.immediate_exit */
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },	     /* kvm_run.internal.data is filled in */
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },	     /* this ioctl on a VM */
	{ KVM_CAP_BINARY_STATS_FD, 1 },		     /* KVM_GET_STATS_FD, VM and vCPU */
	/* clang-format on */
};

long check_extension(struct vm *vm, unsigned long cap)
{
	const struct capability *c;

	if (cap > U32_MAX)
		return 0;
	for (c = capabilities; c < capabilities + ARRAY_SIZE(capabilities); c++)
		if (c->cap == cap)
			return c->fn ? c->fn() : c->value;
	return arch_check_extension(vm, cap);
}

/* --- the node --- */

static long dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case KVM_GET_API_VERSION:
		return arg ? -EINVAL : KVM_API_VERSION;
	case KVM_CREATE_VM:
		return vm_create_fd(arg);
	case KVM_CHECK_EXTENSION:
		return check_extension(NULL, arg);
	case KVM_GET_VCPU_MMAP_SIZE:
		return arg ? -EINVAL : VCPU_MMAP_PAGES * PAGE_SIZE;
	default:
		return arch_dev_ioctl(cmd, (void __user *)arg);
	}
}

static const struct file_operations dev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.fops = &dev_fops,
	.mode = 0600,
};

static bool devname_valid(const char *name)
{
	size_t len = strlen(name), i;

	for (i = 0; i < len; i++)
		if (!isalnum(name[i]) && name[i] != '-' && name[i] != '_')
			return false;
	return len && len <= DEVNAME_MAX;
}

static int dev_register(void)
{
	int r;

	misc.name = devname;
	/*
	 * "kvm" has a reserved number, under which the node may exist already, made at boot for
	 * in-tree KVM to be loaded on first use. It also keeps us from a second "kvm".
	 */
	if (!strcmp(devname, "kvm"))
		misc.minor = KVM_MINOR;
	r = misc_register(&misc);
	if (r == -EBUSY && misc.minor == KVM_MINOR)
		pr_err("/dev/kvm belongs to in-tree KVM; unload it or choose another devname\n");
	else if (r)
		pr_err("can't create /dev/%s (error %d)\n", devname, r);
	return r;
}

static int __init apicvisor_init(void)
{
	int r;

	if (!devname_valid(devname)) {
		pr_err("devname: 1 to %d letters, digits, '-' or '_'\n", DEVNAME_MAX);
		return -EINVAL;
	}
	r = vcpu_module_init();
	if (r)
		return r;
	r = irqfd_module_init();
	if (r)
		goto fail_irqfd;
	r = stats_module_init();
	if (r)
		goto fail_stats;
	r = arch_init();
	if (r)
		goto fail_arch;
	r = dev_register(); /* last: from here on VMs can be created */
	if (r)
		goto fail_dev;
	return 0;

fail_dev:
	arch_exit();
fail_arch:
	stats_module_exit();
fail_stats:
	irqfd_module_exit();
fail_irqfd:
	vcpu_module_exit();
	return r;
}

/* Open descriptors hold the module, so no VM lives here. */
static void __exit apicvisor_exit(void)
{
	misc_deregister(&misc);
	arch_exit();
	stats_module_exit();
	irqfd_module_exit();
	vcpu_module_exit();
}

module_init(apicvisor_init);
module_exit(apicvisor_exit);

MODULE_DESCRIPTION("Hypervisor for Intel VMX with APIC virtualization, speaking the KVM ABI");
MODULE_LICENSE("GPL");
