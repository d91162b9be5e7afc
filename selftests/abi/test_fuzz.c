// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ioctls that nobody meant: every number of KVM's type in every encoding, and random sequences of
 * real ones with random arguments. The oracle is the kernel (no oops, no warning: the lab looks)
 * and that the next VM works. APV_SEED and APV_FUZZ choose seed and number of calls.
 */
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include "kvmtest.h"

#define BUFFER_SIZE 8192
#define ARENA_SIZE  (4 * MiB) /* the only host memory that guests of the fuzzer may get */

static uint64_t seed;

/* xorshift64*: the same sequence everywhere. */
static uint32_t rnd(uint32_t below)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)((seed * 0x2545f4914f6cdd1dUL) >> 32) % below;
}

static void hello_payload(uint64_t arg)
{
	guest_sync(arg);
}

static void a_new_vm_works(void)
{
	struct vcpu *v = guest_new_irqchip(hello_payload, 42);

	expect_sync(v, 42);
	vm_free(v->vm);
}

struct target {
	int dev, vm, vcpu;
	struct kvm_run *run;
	uint8_t *arena;
};

static void target_open(struct target *t, bool irqchip)
{
	t->dev = dev_open();
	t->vm = must(ioctl(t->dev, KVM_CREATE_VM, 0));
	if (irqchip)
		must(ioctl(t->vm, KVM_CREATE_IRQCHIP));
	t->vcpu = must(ioctl(t->vm, KVM_CREATE_VCPU, 0));
	t->run = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t->vcpu, 0);
	assert_ptr_not_equal(t->run, MAP_FAILED);
	t->run->immediate_exit = 1;
}

static void target_close(struct target *t)
{
	munmap(t->run, 3 * PAGE_SIZE);
	close(t->vcpu);
	close(t->vm);
	close(t->dev);
}

/* Some ioctls return a descriptor; it must not pile up. */
static void call(int fd, unsigned long command, void *arg)
{
	int ret = ioctl(fd, command, arg);

	if (ret > 2 && (command == KVM_CREATE_VM || _IOC_NR(command) == 0x41 ||
			_IOC_NR(command) == 0xce || _IOC_NR(command) == 0xd4))
		close(ret);
}

/* --- all numbers --- */

static void every_encoding(struct target *t, int fd, void *const *arg, size_t nr_args)
{
	static const unsigned int sizes[] = { 0, 1, 4, 8, 16, 24, 32, 64, 312, 1024, 4096, 16383 };

	for (unsigned int nr = 0; nr < 256; nr++) {
		for (unsigned int dir = 0; dir < 4; dir++) {
			for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
				unsigned long command = _IOC(dir, KVMIO, nr, sizes[s]);

				t->run->immediate_exit = 1;
				call(fd, command, arg[(nr + s + dir) % nr_args]);
			}
		}
	}
}

static void unknown_numbers(int irqchip)
{
	struct target t;
	uint8_t *hole = map_with_hole(2, 1);
	void *zeros = map_anon(BUFFER_SIZE), *ones = map_anon(BUFFER_SIZE);
	void *args[] = { NULL, zeros, (void *)-1L, hole + PAGE_SIZE - 4, ones };

	memset(ones, 0xff, BUFFER_SIZE);
	target_open(&t, irqchip);
	every_encoding(&t, t.dev, args, ARRAY_SIZE(args));
	every_encoding(&t, t.vm, args, ARRAY_SIZE(args));
	every_encoding(&t, t.vcpu, args, ARRAY_SIZE(args));
	target_close(&t);
	munmap(zeros, BUFFER_SIZE);
	munmap(ones, BUFFER_SIZE);
	munmap(hole, PAGE_SIZE);
	a_new_vm_works();
}

static void all_numbers_with_irqchip(void **state)
{
	(void)state;
	unknown_numbers(true);
}

static void all_numbers_without_irqchip(void **state)
{
	(void)state;
	unknown_numbers(false);
}

/* --- random sequences --- */

static const unsigned long dev_commands[] = {
	KVM_CHECK_EXTENSION,    KVM_GET_SUPPORTED_CPUID,
	KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST,
	KVM_GET_MSRS,           KVM_X86_GET_MCE_CAP_SUPPORTED,
};

static const unsigned long vm_commands[] = {
	KVM_CREATE_VCPU,
	KVM_SET_USER_MEMORY_REGION,
	KVM_GET_DIRTY_LOG,
	KVM_SET_TSS_ADDR,
	KVM_SET_IDENTITY_MAP_ADDR,
	KVM_CREATE_IRQCHIP,
	KVM_CREATE_PIT2,
	KVM_GET_PIT2,
	KVM_SET_PIT2,
	KVM_GET_IRQCHIP,
	KVM_SET_IRQCHIP,
	KVM_SET_GSI_ROUTING,
	KVM_IRQ_LINE,
	KVM_IRQ_LINE_STATUS,
	KVM_SIGNAL_MSI,
	KVM_IRQFD,
	KVM_IOEVENTFD,
	KVM_REGISTER_COALESCED_MMIO,
	KVM_UNREGISTER_COALESCED_MMIO,
	KVM_GET_CLOCK,
	KVM_SET_CLOCK,
	KVM_REINJECT_CONTROL,
	KVM_SET_BOOT_CPU_ID,
	KVM_ENABLE_CAP,
	KVM_CHECK_EXTENSION,
};

static const unsigned long vcpu_commands[] = {
	KVM_RUN,
	KVM_RUN,
	KVM_RUN,
	KVM_GET_REGS,
	KVM_SET_REGS,
	KVM_GET_SREGS,
	KVM_SET_SREGS,
	KVM_GET_MSRS,
	KVM_SET_MSRS,
	KVM_SET_CPUID2,
	KVM_GET_CPUID2,
	KVM_GET_FPU,
	KVM_SET_FPU,
	KVM_GET_LAPIC,
	KVM_SET_LAPIC,
	KVM_GET_XSAVE,
	KVM_SET_XSAVE,
	KVM_GET_XCRS,
	KVM_SET_XCRS,
	KVM_GET_DEBUGREGS,
	KVM_SET_DEBUGREGS,
	KVM_GET_VCPU_EVENTS,
	KVM_SET_VCPU_EVENTS,
	KVM_GET_MP_STATE,
	KVM_SET_MP_STATE,
	KVM_INTERRUPT,
	KVM_NMI,
	KVM_SET_VAPIC_ADDR,
	KVM_TPR_ACCESS_REPORTING,
	KVM_GET_TSC_KHZ,
	KVM_SET_TSC_KHZ,
	KVM_X86_SETUP_MCE,
	KVM_X86_SET_MCE,
	KVM_SET_SIGNAL_MASK,
	KVM_SET_GUEST_DEBUG,
	KVM_KVMCLOCK_CTRL,
	KVM_ENABLE_CAP,
	KVM_HAS_DEVICE_ATTR,
	KVM_GET_DEVICE_ATTR,
	KVM_SET_DEVICE_ATTR,
	KVM_TRANSLATE,
};

static uint64_t interesting(void)
{
	static const uint64_t values[] = {
		0,
		1,
		2,
		3,
		4,
		8,
		16,
		23,
		24,
		32,
		255,
		256,
		0x1000,
		0x1b,
		0x277,
		0x6e0,
		0x80b,
		0x830,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0xfec00000,
		0xfee00000,
		0xfee01000,
		0x100000000,
		0x7fffffffffffffff,
		0x8000000000000000,
		0xfffffffffffff000,
		0xffffffffffffffff,
	};

	return rnd(4) ? values[rnd(ARRAY_SIZE(values))] : (uint64_t)rnd(~0u) << 32 | rnd(~0u);
}

/* Mostly small changes to what is there (often a valid image just read), sometimes noise. */
static void mutate(uint8_t *buffer, size_t size)
{
	uint32_t n = rnd(6);

	if (!rnd(8))
		memset(buffer, 0, size);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t value = interesting();
		size_t width = 1u << rnd(4);
		size_t offset = (rnd(2) ? rnd(64) : rnd((uint32_t)size - 8)) & ~(width - 1);

		memcpy(buffer + offset, &value, width);
	}
}

/* Guests of the fuzzer write to the arena, never to this program. */
static void confine(struct target *t, unsigned long command, uint8_t *buffer)
{
	struct kvm_userspace_memory_region *region = (void *)buffer;

	if (command == KVM_SET_USER_MEMORY_REGION) {
		region->slot %= 8;
		region->memory_size %= ARENA_SIZE + 2 * PAGE_SIZE;
		region->userspace_addr = (uintptr_t)t->arena;
		if (rnd(8))
			region->memory_size &= ~(PAGE_SIZE - 1);
		if (rnd(8))
			region->guest_phys_addr &= 0xfffff000;
	} else if (command == KVM_GET_DIRTY_LOG) {
		((struct kvm_dirty_log *)buffer)->dirty_bitmap = t->arena;
	} else if (command == KVM_SET_SIGNAL_MASK) {
		memset(buffer + 4, 0, 128); /* or our own alarm would be blocked */
	} else if (command == KVM_IRQFD || command == KVM_IOEVENTFD) {
		if (rnd(4))
			*(uint32_t *)(buffer + (command == KVM_IRQFD ? 0 : 20)) =
				(uint32_t)t->dev + 3;
	}
}

static void arm(timer_t timer, long ns)
{
	struct itimerspec when = { .it_value.tv_nsec = ns };

	timer_settime(timer, 0, &when, NULL);
}

static void one_call(struct target *t, timer_t timer, uint8_t *buffer)
{
	uint32_t kind = rnd(10);
	unsigned long command;
	int fd;

	if (kind == 0) {
		fd = t->dev;
		command = dev_commands[rnd(ARRAY_SIZE(dev_commands))];
	} else if (kind < 5) {
		fd = t->vm;
		command = vm_commands[rnd(ARRAY_SIZE(vm_commands))];
	} else {
		fd = t->vcpu;
		command = vcpu_commands[rnd(ARRAY_SIZE(vcpu_commands))];
	}
	mutate(buffer, BUFFER_SIZE);
	confine(t, command, buffer);
	if (command == KVM_RUN) {
		t->run->immediate_exit = (uint8_t)!rnd(4);
		arm(timer, 1000 * 1000);
		call(fd, command, NULL);
		arm(timer, 0);
	} else if (_IOC_SIZE(command)) {
		call(fd, command, rnd(16) ? buffer : (void *)interesting());
	} else {
		call(fd, command, (void *)interesting());
	}
}

static int fuzz(void *arg)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	uint8_t *buffer = map_anon(BUFFER_SIZE);
	struct target t = { .arena = map_anon(ARENA_SIZE) };
	unsigned long calls = *(unsigned long *)arg;
	timer_t timer;

	alarm(0);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer))
		return 2;
	for (unsigned long i = 0; i < calls; i++) {
		if (i % 500 == 0) {
			int extra[3] = { eventfd(
				0, EFD_NONBLOCK) }; /* low numbers for irqfds to hit */

			if (i)
				target_close(&t);
			target_open(&t, rnd(3) != 0);
			close(extra[0]);
		}
		one_call(&t, timer, buffer);
	}
	target_close(&t);
	return 0;
}

/* In a process of its own: a wild argument may well kill the caller, which is its own business. */
static void random_calls(void **state)
{
	/* the peer locks up for many seconds somewhere behind 8000 of this seed's calls */
	unsigned long few = on_apicvisor() ? 30000 : 8000;
	unsigned long calls = env_number("APV_FUZZ", env_number("APV_LONG", 0) ? 1000000 : few);

	(void)state;
	seed = env_number("APV_SEED", 20240501);
	print_message("# seed %lu, %lu calls\n", (unsigned long)seed, calls);
	alarm(0);
	assert_int_equal(reap(spawn(fuzz, &calls)), 0);
	test_setup_alarm();
	a_new_vm_works();
}

static const struct CMUnitTest tests[] = {
	TEST(all_numbers_with_irqchip),
	TEST(all_numbers_without_irqchip),
	TEST(random_calls),
};

TEST_MAIN("abi_fuzz", tests)
