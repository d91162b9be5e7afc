// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's memory is the host process's memory: whatever the host does to it - discards, swaps,
 * remaps, merges, copies on write, splits and joins huge pages - the guest sees what the process
 * would see. And memory slots: moved, deleted and re-added under a running guest; read-only; with
 * the dirty log, which must name exactly the pages written.
 */
#include <sys/wait.h>
#include "kvmtest.h"
#include "newer.h"
#include "stats.h"

#define TEST_PAGES 64
#define SLOT_GPA   0x10000000UL /* 256 MiB: a slot of its own */
#define HUGE_PAGE  (2 * MiB)

/*
 * One command per report: the guest does it and reports again. So one payload serves all tests.
 * The command lies in the guest's copy of these variables.
 */
enum { CMD_READ = 1, CMD_WRITE, CMD_CHECK, CMD_FILL, CMD_END };

static volatile uint64_t cmd, cmd_gpa, cmd_value, cmd_pages, cmd_stride;

static void memory_payload(uint64_t arg)
{
	uint64_t result = 0;

	(void)arg;
	for (;;) {
		guest_sync_values(1, result, 0, 0, 0);
		result = 0;
		switch (cmd) {
		case CMD_READ:
			result = *(volatile uint64_t *)cmd_gpa;
			break;
		case CMD_WRITE:
			*(volatile uint64_t *)cmd_gpa = cmd_value;
			break;
		case CMD_FILL: /* page i gets value + i */
			for (uint64_t i = 0; i < cmd_pages; i++)
				*(volatile uint64_t *)(cmd_gpa + i * cmd_stride) = cmd_value + i;
			break;
		case CMD_CHECK: /* how many are not value + i */
			for (uint64_t i = 0; i < cmd_pages; i++)
				result += *(volatile uint64_t *)(cmd_gpa + i * cmd_stride) !=
					  cmd_value + i;
			break;
		default:
			return;
		}
	}
}

struct memory_test {
	struct vm *vm;
	struct vcpu *v;
	uint8_t *host; /* of the slot at SLOT_GPA, aligned to 2 MiB */
	size_t size;
};

static void start(struct memory_test *t, size_t size, uint32_t flags)
{
	uint8_t *p = map_anon(size + HUGE_PAGE);

	t->v = guest_new(memory_payload, 0);
	t->vm = t->v->vm;
	t->size = size;
	t->host = (uint8_t *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	vm_set_slot(t->vm, 1, flags, SLOT_GPA, size, t->host);
	expect_sync(t->v, 1);
}

static uint64_t command(struct memory_test *t, uint64_t what, uint64_t gpa, uint64_t value,
			uint64_t pages)
{
	in_guest(t->vm, cmd) = what;
	in_guest(t->vm, cmd_gpa) = gpa;
	in_guest(t->vm, cmd_value) = value;
	in_guest(t->vm, cmd_pages) = pages;
	in_guest(t->vm, cmd_stride) = PAGE_SIZE;
	return expect_sync(t->v, 1)->value[1];
}

static uint64_t *host_word(struct memory_test *t, uint64_t page)
{
	return (uint64_t *)(t->host + page * PAGE_SIZE);
}

static void guest_fill(struct memory_test *t, uint64_t value)
{
	command(t, CMD_FILL, SLOT_GPA, value, TEST_PAGES);
}

static void guest_must_see(struct memory_test *t, uint64_t value)
{
	uint64_t bad = command(t, CMD_CHECK, SLOT_GPA, value, TEST_PAGES);

	if (bad)
		fail_msg("the guest sees %lu of %d pages wrong", (unsigned long)bad, TEST_PAGES);
}

static void host_must_see(struct memory_test *t, uint64_t value)
{
	for (uint64_t i = 0; i < TEST_PAGES; i++) {
		if (*host_word(t, i) != value + i)
			fail_msg("the host sees %#lx in page %lu", (unsigned long)*host_word(t, i),
				 (unsigned long)i);
	}
}

static void host_fill(struct memory_test *t, uint64_t value)
{
	for (uint64_t i = 0; i < TEST_PAGES; i++)
		*host_word(t, i) = value + i;
}

/* --- one memory --- */

static void host_and_guest_share_memory(void **state)
{
	struct memory_test t;

	(void)state;
	start(&t, MiB, 0);
	host_fill(&t, 0x1000);
	guest_must_see(&t, 0x1000);
	guest_fill(&t, 0x2000);
	host_must_see(&t, 0x2000);
}

static void zeros_appear_after_dontneed(void **state)
{
	struct memory_test t;

	(void)state;
	start(&t, MiB, 0);
	guest_fill(&t, 0x3000);
	assert_return_code(madvise(t.host, t.size, MADV_DONTNEED), errno);
	for (uint64_t i = 0; i < TEST_PAGES; i++)
		assert_int_equal(command(&t, CMD_READ, SLOT_GPA + i * PAGE_SIZE, 0, 0), 0);
	guest_fill(&t, 0x4000);
	host_must_see(&t, 0x4000);
}

static void pages_come_back_from_swap(void **state)
{
	struct memory_test t;
	unsigned char in_core[TEST_PAGES];
	int out = 0;

	(void)state;
	if (!swap_ready())
		skip_because("no swap, and no RAM disk to swap on");
	start(&t, MiB, 0);
	for (int round = 0; round < 3; round++) {
		guest_fill(&t, 0x5000 + (uint64_t)round * 0x100);
		if (madvise(t.host, t.size, MADV_PAGEOUT))
			skip_because("MADV_PAGEOUT: %s", strerror(errno));
		assert_return_code(mincore(t.host, sizeof(in_core) * PAGE_SIZE, in_core), errno);
		for (int i = 0; i < TEST_PAGES; i++)
			out += !(in_core[i] & 1);
		guest_must_see(&t, 0x5000 + (uint64_t)round * 0x100);
	}
	assert_true(out > 0); /* something was paged out at all */
}

/* Each page holds what the guest wrote last, however often it went to swap meanwhile. */
static volatile uint64_t stop_counting, counted;

static void count_payload(uint64_t gpa)
{
	uint64_t round = 0;

	for (; !stop_counting; round++) {
		for (uint64_t i = 0; i < TEST_PAGES; i++) {
			volatile uint64_t *word = (uint64_t *)(gpa + i * PAGE_SIZE);

			guest_assert_eq(*word, round ? round + i : 0);
			*word = round + 1 + i;
		}
		counted = round + 1;
	}
	guest_sync(round);
}

static void pages_are_swapped_under_load(void **state)
{
	unsigned long rounds = env_number("APV_LONG", 0) ? 2000 : 30, out = 0;
	unsigned char in_core[TEST_PAGES];
	struct vcpu *v;
	uint8_t *host;

	(void)state;
	if (!swap_ready())
		skip_because("no swap, and no RAM disk to swap on");
	v = guest_new(count_payload, SLOT_GPA);
	host = map_anon(MiB);
	vm_set_slot(v->vm, 1, 0, SLOT_GPA, MiB, host);
	vcpu_start(v);
	while (in_guest(v->vm, counted) < rounds && !v->stop) { /* ->stop: time is up */
		if (madvise(host, MiB, MADV_PAGEOUT))
			fail_msg("MADV_PAGEOUT: %s", strerror(errno));
		assert_return_code(mincore(host, TEST_PAGES * PAGE_SIZE, in_core), errno);
		for (int i = 0; i < TEST_PAGES; i++)
			out += !(in_core[i] & 1);
		usleep(1000);
	}
	in_guest(v->vm, stop_counting) = 1;
	vcpu_join(v);
	for (uint64_t i = 0; i < TEST_PAGES; i++)
		assert_int_equal(*(uint64_t *)(host + i * PAGE_SIZE), v->synced + i);
	assert_true(out > 0);
	vm_free(v->vm);
	munmap(host, MiB);
}

static void memory_is_mapped_anew(void **state)
{
	struct memory_test t;
	uint8_t *fresh;

	(void)state;
	start(&t, MiB, 0);
	guest_fill(&t, 0x6000);
	/* other pages under the same address */
	fresh = mmap(t.host, t.size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	assert_ptr_equal(fresh, t.host);
	host_fill(&t, 0x7000);
	guest_must_see(&t, 0x7000);
	/* pages moved in from elsewhere */
	fresh = map_anon(t.size);
	for (uint64_t i = 0; i < TEST_PAGES; i++)
		*(uint64_t *)(fresh + i * PAGE_SIZE) = 0x8000 + i;
	assert_ptr_equal(mremap(fresh, t.size, t.size, MREMAP_MAYMOVE | MREMAP_FIXED, t.host),
			 t.host);
	guest_must_see(&t, 0x8000);
	guest_fill(&t, 0x9000);
	host_must_see(&t, 0x9000);
}

/* The page under the slot is gone: the guest's access is an error of KVM_RUN, not of the kernel. */
static void unmapped_under_the_slot(void **state)
{
	struct memory_test t;

	(void)state;
	start(&t, MiB, 0);
	guest_fill(&t, 0xa000);
	assert_return_code(munmap(t.host, t.size), errno);
	in_guest(t.vm, cmd) = CMD_READ;
	in_guest(t.vm, cmd_gpa) = SLOT_GPA;
	assert_int_equal(vcpu_run_raw(t.v), -EFAULT);
	/* with memory there again the same guest goes on */
	assert_ptr_equal(mmap(t.host, t.size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 t.host);
	*host_word(&t, 0) = 0xb000;
	assert_int_equal(expect_sync(t.v, 1)->value[1], 0xb000);
}

/* Write-protected by the process: reads work, a write is refused. */
static void protected_under_the_slot(void **state)
{
	struct memory_test t;

	(void)state;
	start(&t, MiB, 0);
	guest_fill(&t, 0xc000);
	assert_return_code(mprotect(t.host, t.size, PROT_READ), errno);
	guest_must_see(&t, 0xc000);
	in_guest(t.vm, cmd) = CMD_WRITE;
	in_guest(t.vm, cmd_value) = 0xbad;
	assert_int_equal(vcpu_run_raw(t.v), -EFAULT);
	assert_int_equal(*host_word(&t, 0), 0xc000);
	assert_return_code(mprotect(t.host, t.size, PROT_READ | PROT_WRITE), errno);
	expect_sync(t.v, 1);
	assert_int_equal(*host_word(&t, 0), 0xbad);
}

static int child_looks(void *arg)
{
	struct memory_test *t = arg;

	usleep(50000); /* time for the parent's guest to write */
	for (uint64_t i = 0; i < TEST_PAGES; i++) {
		if (*host_word(t, i) != 0xd000 + i)
			return 1; /* the guest wrote into the child's copy */
	}
	return 0;
}

/* After fork() the guest's next write must break the sharing. */
static void copy_on_write_after_fork(void **state)
{
	struct memory_test t;
	pid_t child;

	(void)state;
	start(&t, MiB, 0);
	guest_fill(&t, 0xd000);
	child = spawn(child_looks, &t);
	guest_must_see(&t, 0xd000);
	guest_fill(&t, 0xe000);
	assert_int_equal(reap(child), 0);
	host_must_see(&t, 0xe000);
}

static void merged_pages_are_split_by_a_write(void **state)
{
	struct memory_test t;

	(void)state;
	if (write_file("/sys/kernel/mm/ksm/run", "1"))
		skip_because("this kernel has no KSM");
	write_file("/sys/kernel/mm/ksm/pages_to_scan", "2000");
	write_file("/sys/kernel/mm/ksm/sleep_millisecs", "10");
	start(&t, MiB, 0);
	assert_return_code(madvise(t.host, t.size, MADV_MERGEABLE), errno);
	for (uint64_t i = 0; i < TEST_PAGES; i++)
		command(&t, CMD_WRITE, SLOT_GPA + i * PAGE_SIZE, 0x5a5a, 0); /* all alike */
	usleep(300000);
	guest_fill(&t, 0xf000); /* each must become its own page again */
	host_must_see(&t, 0xf000);
	guest_must_see(&t, 0xf000);
	write_file("/sys/kernel/mm/ksm/run", "2");
}

/* --- huge pages --- */

/* Every page of 4 MiB, so that both a huge mapping and its parts are used. */
static void with_page_size(int advice)
{
	struct memory_test t;

	start(&t, 2 * HUGE_PAGE, 0);
	madvise(t.host, t.size, advice);
	command(&t, CMD_FILL, SLOT_GPA, 0x10000, 1024);
	assert_int_equal(command(&t, CMD_CHECK, SLOT_GPA, 0x10000, 1024), 0);
	for (uint64_t i = 0; i < 1024; i++)
		assert_int_equal(*host_word(&t, i), 0x10000 + i);
	/* one small page in the middle goes: its neighbours stay */
	assert_return_code(madvise(t.host + 77 * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED), errno);
	assert_int_equal(command(&t, CMD_READ, SLOT_GPA + 77 * PAGE_SIZE, 0, 0), 0);
	assert_int_equal(command(&t, CMD_CHECK, SLOT_GPA, 0x10000, 1024), 1);
	command(&t, CMD_FILL, SLOT_GPA, 0x20000, 1024);
	assert_int_equal(command(&t, CMD_CHECK, SLOT_GPA, 0x20000, 1024), 0);
	for (uint64_t i = 0; i < 1024; i++)
		assert_int_equal(*host_word(&t, i), 0x20000 + i);
	vm_free(t.vm);
}

static void huge_pages(void **state)
{
	(void)state;
	if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK))
		skip_because("this kernel has no transparent huge pages");
	with_page_size(MADV_HUGEPAGE);
}

static void small_pages(void **state)
{
	(void)state;
	with_page_size(MADV_NOHUGEPAGE);
}

/* Guest address and host address differ modulo 2 MiB: no huge mapping is right here. */
static void misaligned_huge_pages(void **state)
{
	struct memory_test t;

	(void)state;
	start(&t, 2 * HUGE_PAGE, 0);
	madvise(t.host, t.size, MADV_HUGEPAGE);
	vm_set_slot(t.vm, 1, 0, 0, 0, NULL);
	vm_set_slot(t.vm, 1, 0, SLOT_GPA + 3 * PAGE_SIZE, t.size, t.host);
	for (uint64_t i = 0; i < 1024; i++)
		*host_word(&t, i) = 0x30000 + i;
	assert_int_equal(command(&t, CMD_CHECK, SLOT_GPA + 3 * PAGE_SIZE, 0x30000, 1024), 0);
	command(&t, CMD_FILL, SLOT_GPA + 3 * PAGE_SIZE, 0x40000, 1024);
	for (uint64_t i = 0; i < 1024; i++)
		assert_int_equal(*host_word(&t, i), 0x40000 + i);
}

/* A slot that ends inside a 2 MiB page of the host: what lies behind it is not the guest's. */
static void slot_ends_inside_a_huge_page(void **state)
{
	struct memory_test t;

	(void)state;
	start(&t, 2 * HUGE_PAGE, 0);
	madvise(t.host, t.size, MADV_HUGEPAGE);
	memset(t.host, 0, t.size);
	vm_set_slot(t.vm, 1, 0, 0, 0, NULL);
	vm_set_slot(t.vm, 1, 0, SLOT_GPA, HUGE_PAGE / 2, t.host);
	command(&t, CMD_FILL, SLOT_GPA, 0x50000, 256);
	in_guest(t.vm, cmd) = CMD_WRITE;
	in_guest(t.vm, cmd_gpa) = SLOT_GPA + HUGE_PAGE / 2;
	expect_mmio(t.v, true, SLOT_GPA + HUGE_PAGE / 2, 8);
	expect_sync(t.v, 1);
	assert_int_equal(*host_word(&t, 256), 0);
}

/* --- slots --- */

static void deleted_slot_is_mmio(void **state)
{
	struct memory_test t;

	(void)state;
	start(&t, MiB, 0);
	guest_fill(&t, 0x60000);
	vm_set_slot(t.vm, 1, 0, 0, 0, NULL);
	in_guest(t.vm, cmd) = CMD_READ;
	in_guest(t.vm, cmd_gpa) = SLOT_GPA + 8;
	*(uint64_t *)expect_mmio(t.v, false, SLOT_GPA + 8, 8) = 0x1234567;
	assert_int_equal(expect_sync(t.v, 1)->value[1], 0x1234567);
	vm_set_slot(t.vm, 1, 0, SLOT_GPA, t.size, t.host);
	guest_must_see(&t, 0x60000); /* the memory was the process's all the time */
}

static void moved_slot(void **state)
{
	struct memory_test t;

	(void)state;
	start(&t, MiB, 0);
	guest_fill(&t, 0x70000);
	vm_set_slot(t.vm, 1, 0, SLOT_GPA + 16 * MiB, t.size, t.host);
	assert_int_equal(command(&t, CMD_CHECK, SLOT_GPA + 16 * MiB, 0x70000, TEST_PAGES), 0);
	in_guest(t.vm, cmd) = CMD_WRITE;
	in_guest(t.vm, cmd_gpa) = SLOT_GPA;
	expect_mmio(t.v, true, SLOT_GPA, 8);
	expect_sync(t.v, 1);
	assert_int_equal(*host_word(&t, 0), 0x70000);
}

static void readonly_slot(void **state)
{
	struct memory_test t;

	(void)state;
	if (!dev_capability(KVM_CAP_READONLY_MEM))
		skip_because("KVM_CAP_READONLY_MEM is not offered");
	start(&t, MiB, KVM_MEM_READONLY);
	host_fill(&t, 0x80000);
	guest_must_see(&t, 0x80000);
	in_guest(t.vm, cmd) = CMD_WRITE;
	in_guest(t.vm, cmd_gpa) = SLOT_GPA + PAGE_SIZE;
	in_guest(t.vm, cmd_value) = 0xbad;
	assert_int_equal(*(uint64_t *)expect_mmio(t.v, true, SLOT_GPA + PAGE_SIZE, 8), 0xbad);
	expect_sync(t.v, 1);
	host_must_see(&t, 0x80000);
}

/* --- dirty log --- */

static void get_log(struct memory_test *t, uint64_t *bitmap)
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	memset(bitmap, 0xff, t->size / PAGE_SIZE / 8);
	must(ioctl(t->vm->fd, KVM_GET_DIRTY_LOG, &log));
}

static void log_must_be(struct memory_test *t, const uint64_t *pages, size_t n)
{
	uint64_t bitmap[16], wanted[16] = { 0 };

	assert_true(t->size / PAGE_SIZE <= 1024);
	for (size_t i = 0; i < n; i++)
		wanted[pages[i] / 64] |= 1UL << (pages[i] % 64);
	get_log(t, bitmap);
	for (size_t i = 0; i < t->size / PAGE_SIZE / 64; i++) {
		if (bitmap[i] != wanted[i])
			fail_msg("dirty log word %zu: %#lx, wanted %#lx", i,
				 (unsigned long)bitmap[i], (unsigned long)wanted[i]);
	}
}

static void write_pages(struct memory_test *t, const uint64_t *pages, size_t n)
{
	for (size_t i = 0; i < n; i++)
		command(t, CMD_WRITE, SLOT_GPA + pages[i] * PAGE_SIZE, i, 0);
}

/* Huge pages and small, touched before logging began: the log names exactly what was written. */
static void dirty_log_is_exact(void **state)
{
	static const uint64_t a[] = { 0, 1, 63, 64, 65, 200, 511, 512, 1023 };
	static const uint64_t b[] = { 1, 300, 512 };
	struct memory_test t;

	(void)state;
	start(&t, 2 * HUGE_PAGE, 0);
	madvise(t.host, t.size, MADV_HUGEPAGE);
	command(&t, CMD_FILL, SLOT_GPA, 0x90000, 1024);
	vm_set_slot(t.vm, 1, KVM_MEM_LOG_DIRTY_PAGES, SLOT_GPA, t.size, t.host);
	log_must_be(&t, NULL, 0);
	assert_int_equal(command(&t, CMD_CHECK, SLOT_GPA, 0x90000, 1024), 0);
	log_must_be(&t, NULL, 0); /* reads do not dirty */
	write_pages(&t, a, ARRAY_SIZE(a));
	log_must_be(&t, a, ARRAY_SIZE(a));
	log_must_be(&t, NULL, 0); /* fetched is cleared */
	write_pages(&t, b, ARRAY_SIZE(b));
	write_pages(&t, b, ARRAY_SIZE(b)); /* twice is once */
	log_must_be(&t, b, ARRAY_SIZE(b));
	command(&t, CMD_FILL, SLOT_GPA, 0, 1024);
	vm_set_slot(t.vm, 1, 0, SLOT_GPA, t.size, t.host); /* logging off */
	command(&t, CMD_FILL, SLOT_GPA, 0, 1024);
	vm_set_slot(t.vm, 1, KVM_MEM_LOG_DIRTY_PAGES, SLOT_GPA, t.size, t.host);
	log_must_be(&t, NULL, 0); /* a new log starts empty */
}

/* Writes that the hypervisor does for the guest count too: INS into memory. */
static void ins_payload(uint64_t arg)
{
	uint64_t rcx = 4, rdi = arg;

	guest_sync(1);
	asm volatile("rep insb" : "+c"(rcx), "+D"(rdi) : "d"(0x5f0) : "memory");
	guest_sync(2);
}

static void dirty_log_sees_string_input(void **state)
{
	static const uint64_t pages[] = { 4, 5 };
	struct memory_test t = { .size = MiB };

	(void)state;
	t.v = guest_new(ins_payload, SLOT_GPA + 5 * PAGE_SIZE - 2);
	t.vm = t.v->vm;
	t.host = map_anon(MiB);
	vm_set_slot(t.vm, 1, KVM_MEM_LOG_DIRTY_PAGES, SLOT_GPA, MiB, t.host);
	expect_sync(t.v, 1);
	log_must_be(&t, NULL, 0);
	while (vcpu_run(t.v) == KVM_EXIT_IO && t.v->run->io.direction == KVM_EXIT_IO_IN)
		memset((uint8_t *)t.v->run + t.v->run->io.data_offset, 0x77, t.v->run->io.count);
	assert_int_equal(t.v->report->value[0], 2);
	assert_memory_equal(t.host + 5 * PAGE_SIZE - 2, "\x77\x77\x77\x77", 4);
	log_must_be(&t, pages, ARRAY_SIZE(pages));
}

/* --- before the guest asks --- */

/* Returns the bytes left when the ioctl fails, with its errno, or succeeds with nothing left. */
static uint64_t pre_fault(struct vcpu *v, uint64_t gpa, uint64_t size, int *err)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size };
	int r;

	do {
		r = ioctl(v->fd, KVM_PRE_FAULT_MEMORY, &range);
		*err = r ? errno : 0;
	} while (r ? *err == EINTR : range.size);
	assert_int_equal(range.gpa + range.size, gpa + size);
	return range.size;
}

static void need_pre_fault(void)
{
	if (!dev_capability(KVM_CAP_PRE_FAULT_MEMORY))
		skip_because("this kernel's ABI has no KVM_PRE_FAULT_MEMORY");
}

static void no_exits_for_what_was_pre_faulted(void **state)
{
	struct memory_test t;
	struct sample before, after;
	int err;

	(void)state;
	need_pre_fault();
	need_apicvisor(); /* its counters */
	start(&t, MiB, 0);
	host_fill(&t, 0x5000);
	command(&t, CMD_READ, SLOT_GPA + TEST_PAGES * PAGE_SIZE, 0, 0); /* warms up */
	assert_int_equal(pre_fault(t.v, SLOT_GPA, TEST_PAGES * PAGE_SIZE, &err), 0);
	before = take_sample(t.v);
	guest_must_see(&t, 0x5000);
	guest_fill(&t, 0x6000);
	after = take_sample(t.v);
	assert_int_equal(grown(&before, &after, "ept_faults"), 0);
	host_must_see(&t, 0x6000);
	/* Reading ahead writes nothing. */
	vm_set_slot(t.vm, 1, KVM_MEM_LOG_DIRTY_PAGES, SLOT_GPA, t.size, t.host);
	assert_int_equal(pre_fault(t.v, SLOT_GPA, t.size, &err), 0);
	log_must_be(&t, NULL, 0);
}

static void pre_faulting_ends_where_memory_does(void **state)
{
	struct kvm_pre_fault_memory range = { .gpa = SLOT_GPA, .size = PAGE_SIZE, .flags = 1 };
	struct memory_test t;
	int err;

	(void)state;
	need_pre_fault();
	start(&t, MiB, 0);
	must_fail(EINVAL, ioctl(t.v->fd, KVM_PRE_FAULT_MEMORY, &range));
	range.flags = 0;
	range.size = PAGE_SIZE / 2;
	must_fail(EINVAL, ioctl(t.v->fd, KVM_PRE_FAULT_MEMORY, &range));
	range.size = -SLOT_GPA; /* to the very end, and around it */
	must_fail(EINVAL, ioctl(t.v->fd, KVM_PRE_FAULT_MEMORY, &range));
	must_fail(EFAULT, ioctl(t.v->fd, KVM_PRE_FAULT_MEMORY, NULL));
	assert_int_equal(pre_fault(t.v, SLOT_GPA, MiB + PAGE_SIZE, &err), PAGE_SIZE);
	assert_int_equal(err, ENOENT);
	assert_return_code(munmap(t.host + MiB - PAGE_SIZE, PAGE_SIZE), errno);
	assert_int_equal(pre_fault(t.v, SLOT_GPA, MiB, &err), PAGE_SIZE);
	assert_int_equal(err, EFAULT);
}

static const struct CMUnitTest tests[] = {
	TEST(host_and_guest_share_memory),
	TEST(zeros_appear_after_dontneed),
	TEST(pages_come_back_from_swap),
	TEST(pages_are_swapped_under_load),
	TEST(memory_is_mapped_anew),
	TEST(unmapped_under_the_slot),
	TEST(protected_under_the_slot),
	TEST(copy_on_write_after_fork),
	TEST(merged_pages_are_split_by_a_write),
	TEST(huge_pages),
	TEST(small_pages),
	TEST(misaligned_huge_pages),
	TEST(slot_ends_inside_a_huge_page),
	TEST(deleted_slot_is_mmio),
	TEST(moved_slot),
	TEST(readonly_slot),
	TEST(dirty_log_is_exact),
	TEST(dirty_log_sees_string_input),
	STATS_TEST(no_exits_for_what_was_pre_faulted),
	TEST(pre_faulting_ends_where_memory_does),
};

TEST_MAIN("guest_memory", tests)
