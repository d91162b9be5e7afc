// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_STATS_FD: the counters of stats.c as a binary file that describes itself: a header, who
 * it is about, a descriptor for each counter, the values. Names are KVM's where they mean what
 * KVM's mean. A read makes the file anew, so what one read() returns is of one moment.
 *
 * The descriptor holds the VM. Any thread may ask, also while the vCPU runs.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <arch.h>
#include "stats.h"

#define NAME_SIZE 48 /* of the id and of each name */
#define DESC_SIZE (offsetof(struct kvm_stats_desc, name) + NAME_SIZE)
#define ID_OFF    sizeof(struct kvm_stats_header)
#define DESC_OFF  (ID_OFF + NAME_SIZE)

#define COUNT     (KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define NOW       (KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define TIME      (KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_SECONDS | KVM_STATS_BASE_POW10)

static const struct {
	const char *name;
	size_t offset; /* in struct counters */
	u32 flags;
	s16 exponent;
} named[] = {
	/* clang-format off */
	{ "exits", offsetof(struct counters, vcpu.exits), COUNT },
	{ "mmio_exits", offsetof(struct counters, vcpu.mmio_exits), COUNT },
	{ "signal_exits", offsetof(struct counters, vcpu.signal_exits), COUNT },
	{ "pf_taken", offsetof(struct counters, vcpu.ept_faults), COUNT },
	{ "tlb_flush", offsetof(struct counters, vcpu.tlb_flushes), COUNT },
	{ "nmi_injections", offsetof(struct counters, vcpu.nmi_injected), COUNT },
	{ "halt_wakeup", offsetof(struct counters, vcpu.wakeups), COUNT },
	{ "halt_attempted_poll", offsetof(struct counters, vcpu.halt_attempted_poll), COUNT },
	{ "halt_successful_poll", offsetof(struct counters, vcpu.halt_successful_poll), COUNT },
	{ "halt_poll_success_ns", offsetof(struct counters, vcpu.halt_poll_success_ns), TIME, -9 },
	{ "halt_poll_fail_ns", offsetof(struct counters, vcpu.halt_poll_fail_ns), TIME, -9 },
	/* our own */
	{ "vcpus", offsetof(struct counters, vcpus), NOW },
	{ "io_user_exits", offsetof(struct counters, vcpu.io_exits), COUNT },
	{ "irq_injected", offsetof(struct counters, vcpu.irq_injected), COUNT },
	{ "exceptions_injected", offsetof(struct counters, vcpu.exceptions_injected), COUNT },
	{ "irq_coalesced", offsetof(struct counters, irq_coalesced), COUNT },
	/* clang-format on */
};

#define MAX_STATS (ARRAY_SIZE(named) + ARCH_EXIT_REASONS + IRQ_PATH_NR)
#define MAX_FILE  (DESC_OFF + MAX_STATS * (DESC_SIZE + sizeof(u64)))

/* --- the file's contents --- */

struct image {
	struct counters counters;
	u64 value[MAX_STATS];
	u32 n; /* descriptors and values so far */
	char file[MAX_FILE];
};

static void add(struct image *im, const char *prefix, const char *name, u32 flags, s16 exponent,
		u64 value)
{
	struct kvm_stats_desc *desc = (void *)(im->file + DESC_OFF + im->n * DESC_SIZE);

	desc->flags = flags;
	desc->exponent = exponent;
	desc->size = 1;
	desc->offset = im->n * sizeof(u64);
	snprintf(desc->name, NAME_SIZE, "%s%s", prefix, name);
	im->value[im->n++] = value;
}

/* Returns the file's size. */
static size_t finish(struct image *im)
{
	const struct counters *c = &im->counters;
	struct kvm_stats_header *header = (void *)im->file;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(named); i++)
		add(im, "", named[i].name, named[i].flags, named[i].exponent,
		    *(const u64 *)((const char *)c + named[i].offset));
	for (i = 0; i < ARCH_EXIT_REASONS; i++)
		if (arch_exit_reason_name(i))
			add(im, "exit_", arch_exit_reason_name(i), COUNT, 0, c->vcpu.by_reason[i]);
	for (i = 0; i < IRQ_PATH_NR; i++)
		add(im, "irq_", stats_path_names[i], COUNT, 0, c->irq[i]);
	*header = (struct kvm_stats_header){
		.name_size = NAME_SIZE,
		.num_desc = im->n,
		.id_offset = ID_OFF,
		.desc_offset = DESC_OFF,
		.data_offset = DESC_OFF + im->n * DESC_SIZE,
	};
	memcpy(im->file + header->data_offset, im->value, im->n * sizeof(u64));
	return header->data_offset + im->n * sizeof(u64);
}

/* Of @vcpu, or of all of the VM's (NULL). */
static ssize_t stats_read(struct vm *vm, struct vcpu *vcpu, char __user *to, size_t size,
			  loff_t *pos)
{
	struct image *im = kvzalloc(sizeof(*im), GFP_KERNEL);
	char *id;
	ssize_t r;

	if (!im)
		return -ENOMEM;
	id = im->file + ID_OFF;
	if (vcpu) {
		snprintf(id, NAME_SIZE, "kvm-%d/vcpu-%u", vm->creator, vcpu->id);
		stats_sum_vcpu(&im->counters, vcpu);
	} else {
		snprintf(id, NAME_SIZE, "kvm-%d", vm->creator);
		stats_sum_vm(&im->counters, vm);
	}
	r = simple_read_from_buffer(to, size, pos, im->file, finish(im));
	kvfree(im);
	return r;
}

static ssize_t vm_stats_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	return stats_read(file->private_data, NULL, to, size, pos);
}

static ssize_t vcpu_stats_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	struct vcpu *vcpu = file->private_data;

	return stats_read(vcpu->vm, vcpu, to, size, pos);
}

/* --- the descriptor --- */

static int vm_stats_release(struct inode *inode, struct file *file)
{
	vm_put(file->private_data);
	return 0;
}

static int vcpu_stats_release(struct inode *inode, struct file *file)
{
	struct vcpu *vcpu = file->private_data;

	vm_put(vcpu->vm);
	return 0;
}

static const struct file_operations vm_stats_fops = {
	.owner = THIS_MODULE,
	.read = vm_stats_read,
	.release = vm_stats_release,
	.llseek = noop_llseek,
};

static const struct file_operations vcpu_stats_fops = {
	.owner = THIS_MODULE,
	.read = vcpu_stats_read,
	.release = vcpu_stats_release,
	.llseek = noop_llseek,
};

static int new_fd(struct vm *vm, const char *name, const struct file_operations *fops, void *what)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);
	struct file *file;

	if (fd < 0)
		return fd;
	file = anon_inode_getfile(name, fops, what, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	vm_get(vm);
	file->f_mode |= FMODE_PREAD;
	fd_install(fd, file);
	return fd;
}

int stats_vm_fd(struct vm *vm)
{
	return new_fd(vm, "apicvisor-vm-stats", &vm_stats_fops, vm);
}

int stats_vcpu_fd(struct vcpu *vcpu)
{
	return new_fd(vcpu->vm, "apicvisor-vcpu-stats", &vcpu_stats_fops, vcpu);
}
