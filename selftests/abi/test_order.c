// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls in orders that no proper client uses: running what was never set up, using what was closed,
 * one vCPU from two threads, a VMM killed while its guest runs. Nothing may crash or leak, and the
 * next VM must work. (Memory and slab are counted in test_lifecycle.c.)
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include "kvmtest.h"

static void hello_payload(uint64_t arg)
{
	guest_sync(arg);
}

static void a_new_vm_works(void)
{
	struct vcpu *v = guest_new_irqchip(hello_payload, 42);

	expect_sync(v, 42);
	expect_done(v);
	vm_free(v->vm);
}

static void spin_payload(uint64_t arg)
{
	volatile uint64_t *word = (uint64_t *)arg;

	for (;;)
		++*word;
}

static void exits_payload(uint64_t arg)
{
	for (;;)
		outb((uint16_t)arg, 1);
}

/* --- not set up --- */

/* The reset vector lies in no slot: the first fetch can't be done. */
static void run_without_memory(void **state)
{
	struct vm *vm = vm_create_bare();
	struct vcpu *v = vcpu_create_bare(vm, 0);
	int ret;

	(void)state;
	must(ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000));
	for (int i = 0; i < 3; i++) {
		ret = vcpu_run_raw(v);
		if (ret == -ENOSPC && !on_apicvisor())
			break; /* the peer has no page tables to offer without slots */
		assert_int_equal(ret, 0);
		if (v->run->exit_reason != KVM_EXIT_INTERNAL_ERROR &&
		    v->run->exit_reason != KVM_EXIT_SHUTDOWN)
			fail_msg("exit %s", exit_name(v->run->exit_reason));
	}
	a_new_vm_works();
}

static void run_without_cpuid(void **state)
{
	static const uint8_t code[] = { 0xb0, 0x42, 0xe6, 0x80, 0xf4 }; /* mov al; out 0x80; hlt */
	struct vcpu *v = vcpu_create_bare(vm_create(), 0);

	(void)state;
	vcpu_real_mode(v, 0x1000, code, sizeof(code));
	assert_int_equal(*(uint8_t *)expect_pio(v, KVM_EXIT_IO_OUT, 0x80, 1, 1), 0x42);
	expect_exit(v, KVM_EXIT_HLT);
}

static void run_takes_no_argument(void **state)
{
	struct vcpu *v = guest_new(hello_payload, 1);

	(void)state;
	must_fail(EINVAL, ioctl(v->fd, KVM_RUN, 1));
	must_fail(EINVAL, ioctl(v->fd, KVM_RUN, -1));
	expect_sync(v, 1);
}

/* The second vCPU of a VM is never run; the first gets no answer, but nothing else happens. */
static void vcpu_that_never_runs(void **state)
{
	struct vcpu *v = guest_new_irqchip(hello_payload, 1);
	struct kvm_msi msi = { .address_lo = 0xfee01000, .data = 0x41 };

	(void)state;
	vcpu_create_bare(v->vm, 1);
	must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi));
	expect_sync(v, 1);
}

/* Every register image full of ones: refused or run into an exit, never a crash. */
static void run_after_hostile_state(void **state)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_vcpu_events events;

	(void)state;
	memset(&regs, 0xff, sizeof(regs));
	memset(&sregs, 0xff, sizeof(sregs));
	memset(&events, 0xff, sizeof(events));
	if (ioctl(v->fd, KVM_SET_REGS, &regs))
		assert_int_equal(errno, EINVAL);
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_SREGS, &sregs));
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events));
	v->run->immediate_exit = 1;
	assert_int_equal(vcpu_run_raw(v), -EINTR);
	a_new_vm_works();
}

/* --- closed --- */

static void vcpu_outlives_the_vm_fd(void **state)
{
	struct vcpu *v = guest_new_irqchip(hello_payload, 7);

	(void)state;
	close(v->vm->fd);
	v->vm->fd = -1;
	expect_sync(v, 7);
	expect_done(v);
}

static void mapping_outlives_the_vcpu_fd(void **state)
{
	struct vcpu *v = guest_new(hello_payload, 7);

	(void)state;
	expect_sync(v, 7);
	close(v->fd);
	close(v->vm->fd);
	v->fd = v->vm->fd = -1;
	v->run->request_interrupt_window = 1; /* the page is still there */
	assert_int_equal(v->run->exit_reason, KVM_EXIT_IO);
}

static void duplicate_descriptor_works(void **state)
{
	struct vcpu *v = guest_new(hello_payload, 7);
	int fd = dup(v->fd);

	(void)state;
	close(v->fd);
	v->fd = fd;
	expect_sync(v, 7);
}

static void *close_later(void *arg)
{
	struct vcpu *v = arg;

	usleep(20000);
	close(v->vm->fd);
	close(v->fd);
	usleep(20000);
	v->run->immediate_exit = 1;
	pthread_kill(v->thread, SIGUSR1);
	return NULL;
}

static void descriptors_closed_while_running(void **state)
{
	struct vcpu *v = guest_new(spin_payload, GUEST_FREE);
	pthread_t closer;
	int ret;

	(void)state;
	v->thread = pthread_self();
	assert_int_equal(pthread_create(&closer, NULL, close_later, v), 0);
	ret = vcpu_run_raw(v);
	pthread_join(closer, NULL);
	assert_int_equal(ret, -EINTR);
	v->fd = v->vm->fd = -1;
	a_new_vm_works();
}

/* --- two threads, one vCPU --- */

static volatile bool stop_rivals;

static void *rival(void *arg)
{
	struct vcpu *v = arg;

	while (!stop_rivals) {
		int ret = vcpu_run_raw(v);

		if (ret && ret != -EINTR)
			return (void *)(intptr_t)ret;
	}
	return NULL;
}

static void one_vcpu_from_two_threads(void **state)
{
	struct vcpu *v = guest_new(spin_payload, GUEST_FREE);
	volatile uint64_t *word = (uint64_t *)(v->vm->mem + GUEST_FREE);
	pthread_t thread[2];
	uint64_t before = 0;
	void *ret;

	(void)state;
	stop_rivals = false;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, rival, v), 0);
	for (int round = 0; round < 20; round++) {
		usleep(5000);
		pthread_kill(thread[round & 1], SIGUSR1);
	}
	before = *word;
	assert_true(before > 0);
	stop_rivals = true;
	v->run->immediate_exit = 1;
	for (int i = 0; i < 2; i++) {
		/* whoever waits for the vCPU gets it when the other leaves */
		pthread_kill(thread[0], SIGUSR1);
		pthread_kill(thread[1], SIGUSR1);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(thread[i], &ret);
		assert_int_equal((intptr_t)ret, 0);
	}
	a_new_vm_works();
}

/* A register ioctl of another thread waits until the vCPU has left KVM_RUN: it sees a whole state. */
static void *read_registers(void *arg)
{
	struct vcpu *v = arg;
	struct kvm_regs regs = { 0 };

	if (ioctl(v->fd, KVM_GET_REGS, &regs))
		return (void *)-1L;
	return (void *)(uintptr_t)regs.rip;
}

static void registers_read_from_another_thread(void **state)
{
	struct vcpu *v = guest_new(spin_payload, GUEST_FREE);
	pthread_t reader;
	void *rip;

	(void)state;
	vcpu_start(v);
	while (!*(volatile uint64_t *)(v->vm->mem + GUEST_FREE))
		sched_yield();
	assert_int_equal(pthread_create(&reader, NULL, read_registers, v), 0);
	usleep(20000);
	vcpu_stop(v);
	pthread_join(reader, &rip);
	assert_in_range((uintptr_t)rip, (uintptr_t)spin_payload, (uintptr_t)spin_payload + 64);
}

/* vCPUs are created while others run. */
static void create_vcpu_under_load(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_create(vm, 0);

	(void)state;
	vcpu_long_mode(v, spin_payload, GUEST_FREE);
	vcpu_start(v);
	for (unsigned int i = 1; i < MAX_VCPUS; i++) {
		vcpu_create(vm, i);
		usleep(2000);
	}
	vcpu_stop(v);
}

/*
 * Work that the kernel queues for the thread (the scheduler does every 100 ms on newer kernels) is
 * no signal: KVM_RUN comes back for the guest's exits alone, wherever in the call it was queued.
 */
static void no_interruption_without_a_signal(void **state)
{
	struct vcpu *v = guest_new(exits_payload, 0x80);
	struct timespec now, end;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += 5;
	do {
		expect_pio(v, KVM_EXIT_IO_OUT, 0x80, 1, 1);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec);
}

/* --- killed --- */

enum victim { SPINNING, HALTED, WAITING_FOR_SIPI, EXITING };

struct victim_args {
	enum victim kind;
	int pipe;
};

static void halt_payload(uint64_t arg)
{
	(void)arg;
	for (;;)
		hlt();
}

static int be_killed(void *arg)
{
	static void (*const payload[])(uint64_t) = { spin_payload, halt_payload, halt_payload,
						     exits_payload };
	const struct victim_args *a = arg;
	struct vcpu *v =
		guest_new_irqchip(payload[a->kind], a->kind == EXITING ? 0x80 : GUEST_FREE);
	struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd(0, 0), .gsi = 5 };

	must(ioctl(v->vm->fd, KVM_IRQFD, &irqfd));
	if (a->kind == WAITING_FOR_SIPI)
		v = vcpu_create(v->vm, 1);
	alarm(0);
	if (write(a->pipe, "x", 1) != 1)
		return 1;
	for (;;)
		vcpu_run_raw(v);
}

static void killed(enum victim kind)
{
	for (int i = 0; i < 3; i++) {
		struct victim_args args = { .kind = kind };
		int fd[2];
		pid_t pid;
		char c;

		assert_return_code(pipe(fd), errno);
		args.pipe = fd[1];
		pid = spawn(be_killed, &args);
		assert_int_equal(read(fd[0], &c, 1), 1);
		usleep(5000 * (unsigned int)(i + 1)); /* into the guest: some moment or other */
		kill(pid, SIGKILL);
		assert_int_equal(reap(pid), -SIGKILL);
		close(fd[0]);
		close(fd[1]);
		a_new_vm_works();
	}
}

static void killed_in_guest_mode(void **state)
{
	(void)state;
	killed(SPINNING);
}

static void killed_in_hlt(void **state)
{
	(void)state;
	killed(HALTED);
}

static void killed_while_waiting_for_sipi(void **state)
{
	(void)state;
	killed(WAITING_FOR_SIPI);
}

static void killed_between_exits(void **state)
{
	(void)state;
	killed(EXITING);
}

static const struct CMUnitTest tests[] = {
	TEST(run_without_memory),
	TEST(run_without_cpuid),
	TEST(run_takes_no_argument),
	TEST(vcpu_that_never_runs),
	TEST(run_after_hostile_state),
	TEST(vcpu_outlives_the_vm_fd),
	TEST(mapping_outlives_the_vcpu_fd),
	TEST(duplicate_descriptor_works),
	TEST(descriptors_closed_while_running),
	TEST(one_vcpu_from_two_threads),
	TEST(registers_read_from_another_thread),
	TEST(create_vcpu_under_load),
	TEST(no_interruption_without_a_signal),
	TEST(killed_in_guest_mode),
	TEST(killed_in_hlt),
	TEST(killed_while_waiting_for_sipi),
	TEST(killed_between_exits),
};

TEST_MAIN("abi_order", tests)
