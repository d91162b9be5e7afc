// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ways to a dirty log beside KVM_GET_DIRTY_LOG's own clearing (guest_memory): userspace clears
 * (KVM_CLEAR_DIRTY_LOG), or each vCPU notes frames in a ring that it shares with userspace.
 */
#include "kvmtest.h"

#define SLOT     7
#define GPA      0x20000000ULL /* 512 MiB */
#define PAGES    200UL         /* three words of bits, and a part of one */
#define WORDS    4
#define MANUAL   KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE
#define SET      KVM_DIRTY_LOG_INITIALLY_SET
#define RING_OFF (KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE)

/* --- the guest: writes to pages as it is told --- */

static volatile uint64_t to_write[PAGES]; /* in the guest: page numbers */
static volatile uint64_t nr_to_write;

static void write_pages(uint64_t arg)
{
	(void)arg;
	for (;;) {
		for (uint64_t i = 0; i < nr_to_write; i++)
			*(volatile uint64_t *)(GPA + to_write[i] * PAGE_SIZE) += 1;
		guest_sync(1);
	}
}

static int try_cap(struct vm *vm, uint32_t number, uint64_t value)
{
	struct kvm_enable_cap cap = { .cap = number, .args[0] = value };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static void add_slot(struct vm *vm, uint32_t flags)
{
	vm_set_slot(vm, SLOT, flags, GPA, PAGES * PAGE_SIZE, map_anon(PAGES * PAGE_SIZE));
}

static void let_write(struct vcpu *v, const uint64_t *page, size_t n)
{
	for (size_t i = 0; i < n; i++)
		in_guest(v->vm, to_write)[i] = page[i];
	in_guest(v->vm, nr_to_write) = n;
	expect_sync(v, 1);
}
#define LET_WRITE(v, ...) \
	let_write(v, (const uint64_t[]){ __VA_ARGS__ }, sizeof((uint64_t[]){ __VA_ARGS__ }) / 8)

static void get_log(struct vm *vm, uint64_t *bits)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };

	memset(bits, 0xaa, WORDS * 8);
	must(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log));
}

static int try_clear(struct vm *vm, uint32_t slot, uint64_t first, uint32_t n, void *bits)
{
	struct kvm_clear_dirty_log log = {
		.slot = slot, .first_page = first, .num_pages = n, .dirty_bitmap = bits
	};

	return ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &log);
}

static void expect_log(struct vm *vm, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	const uint64_t want[WORDS] = { a, b, c, d };
	uint64_t bits[WORDS];

	get_log(vm, bits);
	for (int i = 0; i < WORDS; i++)
		if (bits[i] != want[i])
			fail_msg("word %d: %#lx, wanted %#lx", i, bits[i], want[i]);
}

static struct vcpu *new_writer(uint64_t manual)
{
	struct vm *vm = vm_create();
	struct vcpu *v;

	if (manual)
		must(try_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, manual));
	v = vcpu_create(vm, 0);
	vcpu_long_mode(v, write_pages, 0);
	return v;
}

/* --- KVM_CLEAR_DIRTY_LOG --- */

static void what_is_not_cleared_stays(void **state)
{
	struct vcpu *v = new_writer(MANUAL);
	uint64_t bits[WORDS] = { 1ull << 1, 0, 0, 0 };

	(void)state;
	assert_int_equal(dev_capability(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), MANUAL | SET);
	add_slot(v->vm, KVM_MEM_LOG_DIRTY_PAGES);
	expect_log(v->vm, 0, 0, 0, 0);
	LET_WRITE(v, 0, 1, 63, 64, 199);
	for (int i = 0; i < 2; i++) /* reading is no clearing */
		expect_log(v->vm, 1ull << 63 | 3, 1, 0, 1 << 7);
	must(try_clear(v->vm, SLOT, 0, 64, bits));
	expect_log(v->vm, 1ull << 63 | 1, 1, 0, 1 << 7);
	bits[0] = 1 << 7;
	must(try_clear(v->vm, SLOT, 192, 8, bits));
	expect_log(v->vm, 1ull << 63 | 1, 1, 0, 0);
	/* Both are seen again, and so is a page that nobody had written to. */
	LET_WRITE(v, 1, 199, 130);
	expect_log(v->vm, 1ull << 63 | 3, 1, 1 << 2, 1 << 7);
	/* Bits of clean pages, and all at once. */
	memset(bits, 0xff, sizeof(bits));
	must(try_clear(v->vm, SLOT, 0, PAGES, bits));
	expect_log(v->vm, 0, 0, 0, 0);
	LET_WRITE(v, 5);
	expect_log(v->vm, 1 << 5, 0, 0, 0);
}

static void all_is_dirty_at_first(void **state)
{
	struct vcpu *v = new_writer(MANUAL | SET);
	uint64_t bits[WORDS] = { ~0ull, 0, 0, 0 };

	(void)state;
	add_slot(v->vm, 0);
	LET_WRITE(v, 3, 70); /* these have translations, which are not protected now: */
	vm_set_slot(v->vm, SLOT, 0, GPA, 0, NULL);
	add_slot(v->vm, KVM_MEM_LOG_DIRTY_PAGES);
	expect_log(v->vm, ~0ull, ~0ull, ~0ull, 0xff);
	LET_WRITE(v, 3, 4, 70);
	must(try_clear(v->vm, SLOT, 0, 64, bits));
	expect_log(v->vm, 0, ~0ull, ~0ull, 0xff);
	LET_WRITE(v, 3, 70);
	expect_log(v->vm, 1 << 3, ~0ull, ~0ull, 0xff);
}

/* Logging begins for a slot that is in use: nothing is protected before it is cleared. */
static void set_bits_cover_pages_in_use(void **state)
{
	struct vcpu *v = new_writer(MANUAL | SET);
	uint64_t bits[WORDS] = { 1ull << 3, 0, 0, 0 };
	uint8_t *mem = map_anon(PAGES * PAGE_SIZE);

	(void)state;
	vm_set_slot(v->vm, SLOT, 0, GPA, PAGES * PAGE_SIZE, mem);
	LET_WRITE(v, 3, 4);
	vm_set_slot(v->vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES * PAGE_SIZE, mem);
	LET_WRITE(v, 3, 4);
	must(try_clear(v->vm, SLOT, 0, 64, bits));
	expect_log(v->vm, ~(1ull << 3), ~0ull, ~0ull, 0xff);
	LET_WRITE(v, 4);
	expect_log(v->vm, ~(1ull << 3), ~0ull, ~0ull, 0xff);
	LET_WRITE(v, 3);
	expect_log(v->vm, ~0ull, ~0ull, ~0ull, 0xff);
	assert_int_equal(*(uint64_t *)(mem + 3 * PAGE_SIZE), 3);
}

static void clear_refuses_nonsense(void **state)
{
	struct vcpu *v = new_writer(0);
	uint64_t bits[WORDS] = {};

	(void)state;
	must_fail(EINVAL, try_cap(v->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, SET));
	must_fail(EINVAL, try_cap(v->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 4));
	must(try_cap(v->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, MANUAL));
	must_fail(ENOENT, try_clear(v->vm, SLOT, 0, 64, bits));
	add_slot(v->vm, 0);
	must_fail(ENOENT, try_clear(v->vm, SLOT, 0, 64, bits));
	vm_set_slot(v->vm, SLOT, 0, GPA, 0, NULL);
	add_slot(v->vm, KVM_MEM_LOG_DIRTY_PAGES);
	must_fail(EINVAL, try_clear(v->vm, 1u << 30, 0, 64, bits));
	must_fail(EINVAL, try_clear(v->vm, SLOT, 1, 64, bits));
	must_fail(EINVAL, try_clear(v->vm, SLOT, 0, 63, bits));
	must_fail(EINVAL, try_clear(v->vm, SLOT, 0, PAGES + 1, bits));
	must_fail(EINVAL, try_clear(v->vm, SLOT, 192, 64, bits));
	must_fail(EINVAL, try_clear(v->vm, SLOT, ~63ull, 64, bits));
	must_fail(EINVAL, try_clear(v->vm, SLOT, 64, ~0u, bits));
	must_fail(EFAULT, try_clear(v->vm, SLOT, 0, 64, NULL));
	must(try_clear(v->vm, SLOT, 192, 8, bits));
	must_fail(EFAULT, ioctl(v->vm->fd, KVM_CLEAR_DIRTY_LOG, NULL));
}

/* --- the ring --- */

#define RING_PAGES   1
#define RING_ENTRIES (RING_PAGES * PAGE_SIZE / sizeof(struct kvm_dirty_gfn))

struct ring {
	struct vcpu *v;
	struct kvm_dirty_gfn *entry;
	uint32_t next;
};

static struct ring new_ring(void)
{
	struct vm *vm = vm_create();
	struct ring r = {};

	must(try_cap(vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, RING_PAGES * PAGE_SIZE));
	r.v = vcpu_create(vm, 0);
	vcpu_long_mode(r.v, write_pages, 0);
	r.entry = mmap(NULL, RING_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, r.v->fd,
		       RING_OFF);
	assert_ptr_not_equal(r.entry, MAP_FAILED);
	return r;
}

/* The next entry names page @offset; give it back. */
static void take_entry(struct ring *r, uint64_t offset)
{
	struct kvm_dirty_gfn *e = &r->entry[r->next++ % RING_ENTRIES];

	assert_int_equal(__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE), KVM_DIRTY_GFN_F_DIRTY);
	assert_int_equal(e->slot, SLOT);
	assert_int_equal(e->offset, offset);
	__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
}

static void expect_empty(struct ring *r)
{
	assert_int_equal(r->entry[r->next % RING_ENTRIES].flags, 0);
}

static void frames_are_noted_once_per_reset(void **state)
{
	struct ring r = new_ring();
	struct vm *vm = r.v->vm;

	(void)state;
	assert_int_equal(dev_capability(KVM_CAP_DIRTY_LOG_RING),
			 dev_capability(KVM_CAP_DIRTY_LOG_RING_ACQ_REL));
	add_slot(vm, KVM_MEM_LOG_DIRTY_PAGES);
	LET_WRITE(r.v, 5, 6, 5, 199);
	take_entry(&r, 5);
	take_entry(&r, 6);
	LET_WRITE(r.v, 5, 6, 199); /* not given back to the kernel yet */
	assert_int_equal(ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0), 2);
	take_entry(&r, 199);
	expect_empty(&r);
	LET_WRITE(r.v, 199, 6, 5); /* 199 is still writable */
	take_entry(&r, 6);
	take_entry(&r, 5);
	expect_empty(&r);
	assert_int_equal(ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0), 3);
	assert_int_equal(ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0), 0);
}

/* Many more pages than the ring has room for, without losing one. */
static void a_full_ring_exits(void **state)
{
	struct ring r = new_ring();
	uint64_t page[PAGES];
	size_t taken = 0, round, full = 0;
	bool done = false;

	(void)state;
	add_slot(r.v->vm, KVM_MEM_LOG_DIRTY_PAGES);
	for (size_t i = 0; i < PAGES; i++)
		page[i] = (i * 7) % PAGES;
	for (round = 0; round < 3; round++) {
		for (size_t i = 0; i < PAGES; i++)
			in_guest(r.v->vm, to_write)[i] = page[i];
		in_guest(r.v->vm, nr_to_write) = PAGES;
		for (done = false, taken = 0; !done;) {
			uint32_t reason = vcpu_run(r.v);

			done = reason == KVM_EXIT_IO;
			if (!done) {
				assert_int_equal(reason, KVM_EXIT_DIRTY_RING_FULL);
				full++;
				/* It stays full, and the vCPU outside. */
				expect_exit(r.v, KVM_EXIT_DIRTY_RING_FULL);
			}
			while (r.entry[r.next % RING_ENTRIES].flags == KVM_DIRTY_GFN_F_DIRTY) {
				/* The write that filled the ring comes, and is noted, again. */
				if (taken &&
				    r.entry[r.next % RING_ENTRIES].offset == page[taken - 1])
					taken--;
				take_entry(&r, page[taken++]);
			}
			must(ioctl(r.v->vm->fd, KVM_RESET_DIRTY_RINGS, 0));
		}
		assert_int_equal(taken, PAGES);
	}
	assert_true(full >= 2);
}

static void nothing_else_beside_the_ring(void **state)
{
	struct ring r = new_ring();
	struct vm *vm = r.v->vm;
	uint64_t bits[WORDS];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };

	(void)state;
	add_slot(vm, KVM_MEM_LOG_DIRTY_PAGES);
	must_fail(ENXIO, ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log));
	must_fail(ENXIO, try_clear(vm, SLOT, 0, 64, bits));
	must_fail(EINVAL, try_cap(vm, KVM_CAP_DIRTY_LOG_RING, PAGE_SIZE)); /* once */
	assert_ptr_equal(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE, r.v->fd, RING_OFF),
			 MAP_FAILED);
	assert_ptr_equal(mmap(NULL, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, r.v->fd,
			      RING_OFF),
			 MAP_FAILED);
}

static void ring_sizes(void **state)
{
	uint64_t max = dev_capability(KVM_CAP_DIRTY_LOG_RING);
	struct vm *vm = vm_create();

	(void)state;
	assert_true(max >= PAGE_SIZE);
	must_fail(EINVAL, ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0));
	must_fail(EINVAL, try_cap(vm, KVM_CAP_DIRTY_LOG_RING, 0));
	must_fail(EINVAL, try_cap(vm, KVM_CAP_DIRTY_LOG_RING, PAGE_SIZE / 2));
	must_fail(EINVAL, try_cap(vm, KVM_CAP_DIRTY_LOG_RING, PAGE_SIZE * 3));
	must_fail(E2BIG, try_cap(vm, KVM_CAP_DIRTY_LOG_RING, max * 2));
	if (on_apicvisor()) { /* the peer forgets the bitmap */
		add_slot(vm, KVM_MEM_LOG_DIRTY_PAGES);
		must_fail(EINVAL, try_cap(vm, KVM_CAP_DIRTY_LOG_RING, PAGE_SIZE));
		vm_set_slot(vm, SLOT, 0, GPA, 0, NULL);
	}
	vcpu_create(vm, 0);
	must_fail(EINVAL, try_cap(vm, KVM_CAP_DIRTY_LOG_RING, PAGE_SIZE)); /* after a vCPU */
	vm = vm_create();
	must(try_cap(vm, KVM_CAP_DIRTY_LOG_RING, max));
	for (int i = 0; i < 4; i++)
		vcpu_create(vm, i);
}

/* The ring is userspace's to write: what stands there is never believed. */
static void a_ring_full_of_lies(void **state)
{
	struct ring r = new_ring();
	uint32_t n = 12345;

	(void)state;
	add_slot(r.v->vm, KVM_MEM_LOG_DIRTY_PAGES);
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < RING_ENTRIES; i++) {
			n = n * 1664525 + 1013904223;
			r.entry[i].flags = n >> 29;
			r.entry[i].slot = n & 1 ? SLOT : n;
			r.entry[i].offset = n & 2 ? n % 400 : (uint64_t)n << 32 | n;
		}
		in_guest(r.v->vm, to_write)[0] = round % PAGES;
		in_guest(r.v->vm, nr_to_write) = 1;
		vcpu_run(r.v);
		if (round % 3 == 0)
			must(ioctl(r.v->vm->fd, KVM_RESET_DIRTY_RINGS, 0));
	}
	/* All is given back: it works again. */
	for (size_t i = 0; i < RING_ENTRIES; i++)
		r.entry[i].flags = KVM_DIRTY_GFN_F_RESET;
	must(ioctl(r.v->vm->fd, KVM_RESET_DIRTY_RINGS, 0));
	assert_int_equal(ioctl(r.v->vm->fd, KVM_RESET_DIRTY_RINGS, 0), 0);
	LET_WRITE(r.v, 1);
}

static const struct CMUnitTest tests[] = {
	TEST(what_is_not_cleared_stays),
	TEST(all_is_dirty_at_first),
	TEST(set_bits_cover_pages_in_use),
	TEST(clear_refuses_nonsense),
	TEST(frames_are_noted_once_per_reset),
	TEST(a_full_ring_exits),
	TEST(nothing_else_beside_the_ring),
	TEST(ring_sizes),
	TEST(a_ring_full_of_lies),
};

TEST_MAIN("guest_dirty", tests)
