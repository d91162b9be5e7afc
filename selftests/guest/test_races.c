// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory and eventfds that change while vCPUs use them: slots deleted, moved and logged under
 * running guests, pages that the host takes away, irqfds assigned and closed while they are
 * signalled and routed elsewhere. Each test states what must hold after a call has returned,
 * whatever the others were doing.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include "kvmtest.h"

#define WINDOW      0x20000000UL /* guest-physical, slot 1 */
#define PAGES       96
#define WINDOW_SIZE (PAGES * PAGE_SIZE)
#define NR_TOUCHERS 2
#define LOG_SLOT    1

/* --- a fault that sleeps --- */

static void write_for_ever(uint64_t gpa)
{
	for (;;)
		++*(volatile uint32_t *)gpa;
}

/* A descriptor that tells of, and holds up, the first touch of each page of the area. */
static int userfault_new(void *area, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)area, .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		skip_because("userfaultfd: %s", strerror(errno));
	must(ioctl(fd, UFFDIO_API, &api));
	must(ioctl(fd, UFFDIO_REGISTER, &reg));
	return fd;
}

static void userfault_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;

	assert_int_equal(poll(&p, 1, -1), 1);
	assert_int_equal(read(fd, &msg, sizeof(msg)), sizeof(msg));
	assert_int_equal(msg.event, UFFD_EVENT_PAGEFAULT);
}

static void userfault_give(int fd, void *page)
{
	static const uint8_t zeros[PAGE_SIZE];
	struct uffdio_copy copy = {
		.dst = (uintptr_t)page,
		.src = (uintptr_t)zeros,
		.len = PAGE_SIZE,
	};

	must(ioctl(fd, UFFDIO_COPY, &copy));
}

static void *run_once(void *arg)
{
	return (void *)(intptr_t)vcpu_run_raw(arg);
}

struct deletion {
	struct vm *vm;
	volatile pid_t tid;
	volatile bool done;
	int ret;
};

static void *delete_slot(void *arg)
{
	struct deletion *d = arg;

	d->tid = (pid_t)syscall(SYS_gettid);
	d->ret = vm_try_slot(d->vm, LOG_SLOT, 0, WINDOW, 0, NULL);
	d->done = true;
	return NULL;
}

/* The state letter of a thread, as in ps. */
static char thread_state(pid_t tid)
{
	char path[64], line[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (!fgets(line, sizeof(line), f))
		line[0] = 0;
	fclose(f);
	return strrchr(line, ')') ? strrchr(line, ')')[2] : 0;
}

/*
 * A vCPU sleeps in the fault on a page, having found the slot; the slot is deleted; the page comes.
 * The deletion may have dropped all translations by then: none by the old slot may be left when it
 * returns, and the guest's writes become MMIO.
 */
static void slot_deleted_while_a_fault_sleeps(void **state)
{
	struct vcpu *v = guest_new(write_for_ever, WINDOW);
	struct deletion deletion = { .vm = v->vm };
	uint8_t *page = map_anon(PAGE_SIZE);
	pthread_t runner, deleter;
	void *ret;
	int uffd;

	(void)state;
	uffd = userfault_new(page, PAGE_SIZE);
	vm_set_slot(v->vm, LOG_SLOT, 0, WINDOW, PAGE_SIZE, page);
	assert_int_equal(pthread_create(&runner, NULL, run_once, v), 0);
	userfault_wait(uffd);
	assert_int_equal(pthread_create(&deleter, NULL, delete_slot, &deletion), 0);
	/*
	 * It waits, uninterruptibly, for those who use the old slots: so the new ones are out. (The
	 * peer may be done already: its vCPU does not sleep as a user of the slots.)
	 */
	while (!deletion.tid || (thread_state(deletion.tid) != 'D' && !deletion.done))
		sched_yield();
	userfault_give(uffd, page);
	pthread_join(deleter, NULL);
	pthread_join(runner, &ret);
	close(uffd);

	assert_int_equal(deletion.ret, 0);
	assert_int_equal((intptr_t)ret, 0);
	assert_int_equal(v->run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(v->run->mmio.phys_addr, WINDOW);
}

/* --- slots and pages that change under load --- */

static volatile uint64_t passes[NR_TOUCHERS]; /* the guest's copy counts */

/* Touch every page of the window, each vCPU its own word, for ever. */
static void touch_window(uint64_t id)
{
	for (;;) {
		for (uint64_t i = 0; i < PAGES; i++)
			++*(volatile uint32_t *)(WINDOW + i * PAGE_SIZE + id * 4);
		passes[id]++;
	}
}

/* Where no slot is, the guest's accesses end here: reads give 0, writes go nowhere. */
static void *toucher_thread(void *arg)
{
	struct vcpu *v = arg;

	while (!v->stop) {
		int ret = vcpu_run_raw(v);

		if (ret == -EINTR)
			continue;
		if (ret || v->run->exit_reason != KVM_EXIT_MMIO) {
			snprintf(v->error, sizeof(v->error), "vCPU %u: %s", v->id,
				 ret ? strerror(-ret) : exit_name(v->run->exit_reason));
			break;
		}
		memset(v->run->mmio.data, 0, sizeof(v->run->mmio.data));
	}
	return NULL;
}

static struct vm *touchers_start(uint8_t *window)
{
	struct vm *vm = vm_create();

	vm_set_slot(vm, LOG_SLOT, KVM_MEM_LOG_DIRTY_PAGES, WINDOW, WINDOW_SIZE, window);
	for (unsigned int i = 0; i < NR_TOUCHERS; i++) {
		struct vcpu *v = vcpu_create(vm, i);

		vcpu_long_mode(v, touch_window, i);
		assert_int_equal(pthread_create(&v->thread, NULL, toucher_thread, v), 0);
		v->threaded = true;
	}
	return vm;
}

static void touchers_stop(struct vm *vm)
{
	for (int i = 0; i < NR_TOUCHERS; i++)
		vcpu_stop(vm->vcpu[i]);
}

/* Wait until each vCPU has touched every page at least once from now on. */
static void wait_pass(struct vm *vm)
{
	for (int i = 0; i < NR_TOUCHERS; i++) {
		volatile uint64_t *count = &in_guest(vm, passes[i]);
		uint64_t goal = *count + 2;

		while (*count < goal) {
			if (vm->vcpu[i]->error[0])
				vcpu_stop(vm->vcpu[i]); /* fails with the reason */
			sched_yield();
		}
	}
}

static void look(const uint8_t *window, uint64_t words[PAGES])
{
	for (int i = 0; i < PAGES; i++)
		memcpy(&words[i], window + i * PAGE_SIZE, sizeof(words[i]));
}

static void expect_quiet(struct vm *vm, const uint8_t *window, const char *when)
{
	uint64_t before[PAGES], after[PAGES];

	look(window, before);
	wait_pass(vm);
	look(window, after);
	for (int i = 0; i < PAGES; i++)
		if (before[i] != after[i])
			fail_msg("page %d was written %s", i, when);
}

static void expect_written(struct vm *vm, const uint8_t *window)
{
	uint64_t before[PAGES], after[PAGES];

	look(window, before);
	wait_pass(vm);
	look(window, after);
	for (int i = 0; i < PAGES; i++)
		if (before[i] == after[i])
			fail_msg("page %d is not written any more", i);
}

/* Rounds of a stress test. */
static unsigned long rounds(void)
{
	return env_number("APV_LONG", 0) ? 500 : 12;
}

static void deleted_and_moved_slots_are_left_alone(void **state)
{
	uint8_t *window = map_anon(WINDOW_SIZE);
	struct vm *vm = touchers_start(window);

	(void)state;
	for (unsigned long i = 0; i < rounds(); i++) {
		uint32_t flags = i % 2 ? KVM_MEM_LOG_DIRTY_PAGES : 0;

		expect_written(vm, window);
		vm_set_slot(vm, LOG_SLOT, 0, WINDOW, 0, NULL);
		expect_quiet(vm, window, "after its slot was deleted");
		vm_set_slot(vm, LOG_SLOT, flags, WINDOW, WINDOW_SIZE, window);
		expect_written(vm, window);
		vm_set_slot(vm, LOG_SLOT, flags, 2 * WINDOW, WINDOW_SIZE, window);
		expect_quiet(vm, window, "after its slot was moved away");
		vm_set_slot(vm, LOG_SLOT, flags, WINDOW, WINDOW_SIZE, window);
	}
	touchers_stop(vm);
}

/* Between two looks at memory, each preceded by a fetch of the log: what changed is in the second. */
static void every_write_is_logged(void **state)
{
	uint8_t *window = map_anon(WINDOW_SIZE);
	struct vm *vm = touchers_start(window);
	uint64_t bitmap[(PAGES + 63) / 64], before[PAGES], after[PAGES];
	struct kvm_dirty_log log = { .slot = LOG_SLOT, .dirty_bitmap = bitmap };

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer logs a page after another vCPU may have written to it");
	for (unsigned long i = 0; i < rounds() * 4; i++) {
		must(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log));
		look(window, before);
		if (i % 4)
			sched_yield();
		else
			wait_pass(vm);
		look(window, after);
		must(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log));
		for (int k = 0; k < PAGES; k++)
			if (before[k] != after[k] && !(bitmap[k / 64] >> (k % 64) & 1))
				fail_msg("page %d changed, but is not in the log", k);
	}
	touchers_stop(vm);
}

/* What the host frees goes to others at once: the guest must not write there. */
static void pages_the_host_takes_are_left_alone(void **state)
{
	uint8_t *window = map_anon(WINDOW_SIZE);
	struct vm *vm = touchers_start(window);

	(void)state;
	for (unsigned long i = 0; i < rounds(); i++) {
		uint8_t *other;

		wait_pass(vm);
		assert_int_equal(madvise(window, WINDOW_SIZE, MADV_DONTNEED), 0);
		other = map_anon(WINDOW_SIZE);
		memset(other, 0x5a, WINDOW_SIZE);
		expect_written(vm, window);
		for (size_t k = 0; k < WINDOW_SIZE; k++)
			if (other[k] != 0x5a)
				fail_msg("byte %zu of a page that is not the guest's was written",
					 k);
		munmap(other, WINDOW_SIZE);
	}
	touchers_stop(vm);
}

struct fork_check {
	const uint8_t *window;
	int ready[2], go[2];
};

/* The child's memory is that of the moment of the fork; tell, wait, and compare. */
static int child_compares(void *arg)
{
	struct fork_check *c = arg;
	uint64_t before[PAGES], after[PAGES];
	char byte = 0;

	look(c->window, before);
	if (write(c->ready[1], &byte, 1) != 1 || read(c->go[0], &byte, 1) != 1)
		return 2;
	look(c->window, after);
	return memcmp(before, after, sizeof(before)) ? 1 : 0;
}

static void a_fork_takes_the_writable_pages_away(void **state)
{
	uint8_t *window = map_anon(WINDOW_SIZE);
	struct vm *vm = touchers_start(window);
	struct fork_check c = { .window = window };
	char byte = 0;

	(void)state;
	assert_int_equal(pipe(c.ready), 0);
	assert_int_equal(pipe(c.go), 0);
	for (unsigned long i = 0; i < rounds() / 4; i++) {
		pid_t pid;

		wait_pass(vm);
		pid = spawn(child_compares, &c);
		assert_int_equal(read(c.ready[0], &byte, 1), 1);
		expect_written(vm, window);
		assert_int_equal(write(c.go[1], &byte, 1), 1);
		assert_int_equal(reap(pid), 0);
	}
	touchers_stop(vm);
	for (int i = 0; i < 2; i++) {
		close(c.ready[i]);
		close(c.go[i]);
	}
}

/* --- irqfds against routing and close (I10) --- */

struct router {
	struct vm *vm;
	volatile bool stop;
	char error[128];
};

static int irqfd(struct vm *vm, int fd, uint32_t gsi, uint32_t flags)
{
	struct kvm_irqfd args = { .fd = (uint32_t)fd, .gsi = gsi, .flags = flags };

	return ioctl(vm->fd, KVM_IRQFD, &args);
}

static bool signal_eventfd(int fd)
{
	uint64_t one = 1;

	return write(fd, &one, sizeof(one)) == sizeof(one);
}

/* Does the eventfd hold a count, that is: did nobody take it? */
static bool has_count(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

/* GSI 0 .. 7 now to pins, now to MSIs. */
static int set_routes(struct vm *vm, bool msi)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[8];
	} table = { .head.nr = 8 };

	for (uint32_t i = 0; i < 8; i++) {
		struct kvm_irq_routing_entry *e = &table.entry[i];

		e->gsi = i;
		if (msi) {
			e->type = KVM_IRQ_ROUTING_MSI;
			e->u.msi.address_lo = 0xfee00000;
			e->u.msi.data = 0x40 + i;
		} else {
			e->type = KVM_IRQ_ROUTING_IRQCHIP;
			e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
			e->u.irqchip.pin = i;
		}
	}
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, &table);
}

/* Change the routes, and close eventfds that are still assigned. */
static void *router_thread(void *arg)
{
	struct router *r = arg;

	for (unsigned int i = 0; !r->stop; i++) {
		int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		bool ok = set_routes(r->vm, i % 2) == 0 && irqfd(r->vm, fd, i % 8, 0) == 0 &&
			  signal_eventfd(fd);

		if (!ok)
			snprintf(r->error, sizeof(r->error), "round %u: %s", i, strerror(errno));
		close(fd);
		if (!ok)
			break;
	}
	return NULL;
}

static void irqfds_against_routing_and_close(void **state)
{
	struct router router = { .vm = vm_create_irqchip() };
	struct vm *vm = router.vm;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_t thread;

	(void)state;
	vcpu_create(vm, 0);
	assert_int_equal(pthread_create(&thread, NULL, router_thread, &router), 0);
	for (unsigned long i = 0; i < rounds() * 8; i++) {
		must(irqfd(vm, fd, i % 8, 0));
		assert_true(signal_eventfd(fd));
		assert_false(has_count(fd)); /* it became an interrupt */
		must(irqfd(vm, fd, i % 8, KVM_IRQFD_FLAG_DEASSIGN));
		assert_true(signal_eventfd(fd));
		assert_true(has_count(fd)); /* nobody listens any more */
	}
	router.stop = true;
	pthread_join(thread, NULL);
	close(fd);
	if (router.error[0])
		fail_msg("%s", router.error);
}

static const struct CMUnitTest tests[] = {
	TEST(slot_deleted_while_a_fault_sleeps),
	TEST(deleted_and_moved_slots_are_left_alone),
	TEST(every_write_is_logged),
	TEST(pages_the_host_takes_are_left_alone),
	TEST(a_fork_takes_the_writable_pages_away),
	TEST(irqfds_against_routing_and_close),
};

TEST_MAIN("guest_races", tests)
