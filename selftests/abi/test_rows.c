// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables of Documentation/abi.rst, asked of the module itself: each command on each descriptor,
 * each capability. tools/check/docs compares them with the code and with the kernels' headers, so
 * nothing is missing from them. Arguments are bad on purpose: only what is known answers to them.
 */
#include "kvmtest.h"
#include "newer.h"

/* PowerPC's own, of which only the commands' numbers are seen here. */
struct kvm_allocate_rma {
	uint64_t rma_size;
};
struct kvm_create_spapr_tce {
	uint64_t liobn;
};
struct kvm_create_spapr_tce_64 {
	uint64_t liobn;
};

enum { DEVICE, VM, VCPU, FLOORS };

static const char *const floor_names[FLOORS] = { "device", "VM", "vCPU" };

struct ioctl_row {
	const char *name;
	unsigned long cmd;
	int floor;  /* FLOORS: on none */
	bool newer; /* also ENOTTY, where the kernel's headers lack it */
	int err;    /* what it always gives; 0: it is served */
};

struct cap_row {
	const char *name;
	int cap, value; /* -1: any but 0 */
	bool may_lack;
};

#define CAP(...)
#define ENABLE(...)
#define IOCTL(floor, cmd, err)       { #cmd, cmd, floor, false, err },
#define NEWER_IOCTL(floor, cmd, err) { #cmd, cmd, floor, true, err },
#define FOREIGN(cmd)                 { #cmd, cmd, FLOORS, false, ENOTTY },
static const struct ioctl_row ioctls[] = {
#include "abi_rows.h"
};
#undef CAP
#undef ENABLE
#undef IOCTL
#undef NEWER_IOCTL
#undef FOREIGN

#define IOCTL(...)
#define NEWER_IOCTL(...)
#define FOREIGN(...)
#define ENABLE(...)
#define CAP(cap, value, may_lack) { #cap, cap, value, may_lack },
static const struct cap_row caps[] = {
#include "abi_rows.h"
};
#undef ENABLE
#undef CAP

#define CAP(...)
#define ENABLE(floor, cap) { floor, cap },
static const struct enable_row {
	int floor;
	unsigned int cap;
} enabled[] = {
#include "abi_rows.h"
};

/* One fresh descriptor of each kind. */
static void open_floors(struct vm *vm, int fd[FLOORS])
{
	fd[DEVICE] = dev_open();
	fd[VM] = vm->fd;
	fd[VCPU] = vcpu_create_bare(vm, 0)->fd;
}

/* The errno of @cmd, or 0; a descriptor that it made is closed. */
static int errno_of(int fd, unsigned long cmd, void *arg)
{
	int r = ioctl(fd, cmd, arg);
	int err = r < 0 ? errno : 0;

	if (r > 2 && (cmd == KVM_CREATE_VM || cmd == KVM_CREATE_VCPU || cmd == KVM_GET_STATS_FD))
		close(r);
	return err;
}

/* What the tables say about @row's command on @floor: -1 where it is served. */
static int expected(const struct ioctl_row *row, int floor)
{
	for (size_t i = 0; i < ARRAY_SIZE(ioctls); i++)
		if (ioctls[i].cmd == row->cmd && ioctls[i].floor == floor)
			return ioctls[i].err ? ioctls[i].err : -1;
	return ENOTTY;
}

static void check_ioctls(struct vm *vm)
{
	static uint8_t zeroes[1 << 16];
	int fd[FLOORS], bad = 0;

	open_floors(vm, fd);
	for (size_t i = 0; i < ARRAY_SIZE(ioctls); i++) {
		for (int floor = DEVICE; floor < FLOORS; floor++) {
			int want = expected(&ioctls[i], floor);
			int got = errno_of(fd[floor], ioctls[i].cmd,
					   want == -1 ? (void *)8 : (void *)zeroes);

			if (want == -1 ? got != ENOTTY || ioctls[i].newer : got == want)
				continue;
			print_message("# %s on the %s: %s\n", ioctls[i].name, floor_names[floor],
				      got ? strerror(got) : "served");
			bad++;
		}
	}
	close(fd[DEVICE]);
	assert_int_equal(bad, 0);
}

static void need_apicvisor(void)
{
	if (!on_apicvisor())
		skip_because("the document is about another module");
}

static void ioctls_without_irqchip(void **state)
{
	(void)state;
	need_apicvisor();
	check_ioctls(vm_create_bare());
}

static void ioctls_with_irqchip(void **state)
{
	(void)state;
	need_apicvisor();
	check_ioctls(vm_create_irqchip());
}

static void ioctls_when_split(void **state)
{
	(void)state;
	need_apicvisor();
	check_ioctls(vm_create_split());
}

static void capabilities_read_as_documented(void **state)
{
	struct vm *vm = vm_create_bare();
	int bad = 0;

	(void)state;
	need_apicvisor();
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		const struct cap_row *row = &caps[i];
		int got = dev_capability(row->cap);
		bool right = row->value < 0 ? got != 0 : got == row->value;

		if ((right || (row->may_lack && !got)) &&
		    ioctl(vm->fd, KVM_CHECK_EXTENSION, row->cap) == got)
			continue;
		print_message("# %s: %d\n", row->name, got);
		bad++;
	}
	assert_int_equal(bad, 0);
}

/* What the document's table lacks can't be enabled; no capability can be, with a flag. */
static int enables_another(int floor, int fd, unsigned int number)
{
	struct kvm_enable_cap cap = { .cap = number };
	size_t i = 0;

	while (i < ARRAY_SIZE(enabled) && (enabled[i].floor != floor || enabled[i].cap != number))
		i++;
	cap.flags = i < ARRAY_SIZE(enabled);
	if (errno_of(fd, KVM_ENABLE_CAP, &cap) == EINVAL)
		return 0;
	print_message("# capability %u on the %s, flags %u\n", number, floor_names[floor],
		      cap.flags);
	return 1;
}

static void no_other_capability_is_enabled(void **state)
{
	struct vcpu *v = vcpu_create_bare(vm_create_bare(), 0);
	int bad = 0;

	(void)state;
	need_apicvisor();
	for (unsigned int c = 0; c < 1024; c++) {
		struct vm *vm = vm_create_bare();

		bad += enables_another(VM, vm->fd, c) + enables_another(VCPU, v->fd, c);
		vm_free(vm);
	}
	assert_int_equal(bad, 0);
}

static const struct CMUnitTest tests[] = {
	TEST(ioctls_without_irqchip),
	TEST(ioctls_with_irqchip),
	TEST(ioctls_when_split),
	TEST(capabilities_read_as_documented),
	TEST(no_other_capability_is_enabled),
};

TEST_MAIN("abi_rows", tests)
