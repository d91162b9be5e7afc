// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's own life: loaded and unloaded many times without a trace, not unloaded while a VM
 * lives, and kept apart from in-tree KVM. Needs the right to load modules and the module's file
 * (the lab has it); on in-tree KVM all of it is skipped.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include "kvmtest.h"
#include "leak.h"

#define NAME "apicvisor"

static const char *our_file(void)
{
	const char *path = getenv("APV_KO");

	return path && *path ? path : KMODULES NAME ".ko";
}

#define need_our_module()                                                              \
	do {                                                                           \
		if (!on_apicvisor())                                                   \
			skip_because("about apicvisor's module, which is not loaded"); \
		if (access(our_file(), R_OK))                                          \
			skip_because("%s is not here", our_file());                    \
	} while (0)

static void hello_payload(uint64_t arg)
{
	guest_sync(arg);
}

static void a_vm_works(void)
{
	struct vcpu *v = guest_new_irqchip(hello_payload, 42);

	expect_sync(v, 42);
	vm_free(v->vm);
}

static void must_unload(void)
{
	int ret = unload_module(NAME);

	if (ret)
		fail_msg("unload: %s", strerror(-ret));
}

static void must_load(void)
{
	int ret = load_module(our_file(), "");

	if (ret)
		fail_msg("load: %s", strerror(-ret));
}

static void load_cycle(unsigned int i)
{
	must_unload();
	must_load();
	if (i % 10 == 0)
		a_vm_works();
}

static void hundred_loads_leave_no_trace(void **state)
{
	(void)state;
	need_our_module();
	alarm(120);
	leak_must_not_show(load_cycle, 20);
}

static void refused(const char *why)
{
	int ret = unload_module(NAME);

	if (ret != -EWOULDBLOCK && ret != -EBUSY)
		fail_msg("unload while %s: %s", why, ret ? strerror(-ret) : "done");
}

static void not_unloaded_while_a_vm_lives(void **state)
{
	struct vm *vm;
	struct vcpu *v;
	int fd;

	(void)state;
	need_our_module();
	fd = dev_open();
	refused("the node is open");
	close(fd);
	vm = vm_create();
	refused("a VM's descriptor is open");
	v = vcpu_create(vm, 0);
	close(vm->fd);
	vm->fd = -1;
	refused("a vCPU's descriptor is open");
	vcpu_long_mode(v, hello_payload, 9);
	expect_sync(v, 9);
	close(v->fd);
	v->fd = -1;
	refused("a vCPU is mapped");
	vm_free(vm);
	must_unload();
	must_load();
	a_vm_works();
}

static void spin_payload(uint64_t arg)
{
	for (;;)
		++*(volatile uint64_t *)arg;
}

static int run_forever(void *arg)
{
	struct vcpu *v = guest_new(spin_payload, GUEST_FREE);

	alarm(0);
	if (write(*(int *)arg, "x", 1) != 1)
		return 1;
	for (;;)
		vcpu_run_raw(v);
}

static void not_unloaded_while_a_guest_runs(void **state)
{
	int fd[2];
	pid_t pid;
	char c;

	(void)state;
	need_our_module();
	assert_return_code(pipe(fd), errno);
	pid = spawn(run_forever, &fd[1]);
	assert_int_equal(read(fd[0], &c, 1), 1);
	for (int i = 0; i < 20; i++) {
		refused("a guest runs");
		usleep(2000);
	}
	kill(pid, SIGKILL);
	assert_int_equal(reap(pid), -SIGKILL);
	must_unload();
	must_load();
	a_vm_works();
	close(fd[0]);
	close(fd[1]);
}

static void loaded_twice(void **state)
{
	(void)state;
	need_our_module();
	assert_int_equal(load_module(our_file(), ""), -EEXIST);
	a_vm_works();
}

/* The node can have another name, so that clients with a fixed one find it. */
static void node_name_parameter(void **state)
{
	int ret;

	(void)state;
	need_our_module();
	must_unload();
	ret = load_module(our_file(), "devname=kvm");
	if (!ret) {
		setenv("APV_DEV", "/dev/kvm", 1);
		a_vm_works();
		unsetenv("APV_DEV");
		must_unload();
	}
	must_load();
	assert_int_equal(ret, 0);
	a_vm_works();
}

static void node_name_is_checked(void **state)
{
	static const char *const bad[] = { "devname=", "devname=a/b", "devname=..", "nosuch=1" };

	(void)state;
	need_our_module();
	must_unload();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int ret = load_module(our_file(), bad[i]);

		if (ret == 0)
			must_unload();
		/* unknown parameters are only warned about, by the kernel itself */
		if (ret != -EINVAL && !(ret == 0 && !strncmp(bad[i], "nosuch", 6))) {
			must_load();
			fail_msg("%s: %s", bad[i], strerror(-ret));
		}
	}
	must_load();
	a_vm_works();
}

/* --- beside in-tree KVM --- */

static bool load_peer(void)
{
	load_module(KMODULES "irqbypass.ko", "");
	load_module(KMODULES "kvm.ko", "");
	return load_module(KMODULES "kvm_intel.ko", "") == 0;
}

static void unload_peer(void)
{
	int ret = -EWOULDBLOCK;

	for (int i = 0; i < 50 && ret == -EWOULDBLOCK; i++) {
		ret = unload_module("kvm_intel");
		usleep(10000);
	}
	unload_module("kvm");
}

static int peer_vm(void)
{
	int dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = dev < 0 ? -1 : ioctl(dev, KVM_CREATE_VM, 0);

	close(dev);
	return vm;
}

/* In-tree KVM holds VMX on while it has a VM (6.1) or while loaded (6.12): no place for us. */
static void refuses_beside_a_running_peer(void **state)
{
	int vm, ret;

	(void)state;
	need_our_module();
	if (access(KMODULES "kvm_intel.ko", R_OK))
		skip_because("kvm_intel.ko is not here");
	must_unload();
	if (!load_peer()) {
		must_load();
		skip_because("kvm_intel does not load");
	}
	vm = peer_vm();
	ret = load_module(our_file(), "");
	if (ret == 0)
		unload_module(NAME);
	if (vm >= 0)
		close(vm);
	unload_peer();
	must_load();
	assert_true(vm >= 0);
	assert_int_equal(ret, -EBUSY);
	a_vm_works();
}

/*
 * The other way round: VMX is ours, and the peer must not break it. Kernels with one slot for the
 * "turn virtualization off before reboot" call warn when a second hypervisor wants it, and the lab
 * takes a warning for a failure: only on demand.
 */
static void survives_a_peer_that_tries(void **state)
{
	struct vcpu *v;
	int vm = -1;

	(void)state;
	need_our_module();
	if (!env_number("APV_ALLOW_WARN", 0))
		skip_because("kvm_intel's load makes the kernel warn; APV_ALLOW_WARN=1 runs it");
	if (access(KMODULES "kvm_intel.ko", R_OK))
		skip_because("kvm_intel.ko is not here");
	v = guest_new(hello_payload, 5);
	if (load_peer()) {
		vm = peer_vm();
		if (vm >= 0)
			close(vm);
		unload_peer();
	}
	assert_int_equal(vm, -1);
	expect_sync(v, 5);
	expect_done(v);
	vm_free(v->vm);
	a_vm_works();
}

static const struct CMUnitTest tests[] = {
	TEST(hundred_loads_leave_no_trace),
	TEST(not_unloaded_while_a_vm_lives),
	TEST(not_unloaded_while_a_guest_runs),
	TEST(loaded_twice),
	TEST(node_name_parameter),
	TEST(node_name_is_checked),
	TEST(refuses_beside_a_running_peer),
	TEST(survives_a_peer_that_tries),
};

TEST_MAIN("abi_module", tests)
