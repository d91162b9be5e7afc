// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_SET_USER_MEMORY_REGION and KVM_GET_DIRTY_LOG as calls: what they refuse, and that a refused
 * call changes nothing. What the guest sees of its memory is in guest/test_memory.c.
 */
#include "kvmtest.h"

#define SLOT_SIZE (4 * PAGE_SIZE)

struct slot_case {
	const char *what;
	uint32_t slot, flags;
	uint64_t gpa, size, hva_offset;
	int error;
};

static struct vm *vm_with_slot(void **host)
{
	struct vm *vm = vm_create_bare();

	*host = map_anon(16 * SLOT_SIZE);
	vm_set_slot(vm, 1, 0, 0x100000, SLOT_SIZE, *host);
	return vm;
}

static void bad_arguments(void **state)
{
	static const struct slot_case cases[] = {
		{ "size not of pages", 2, 0, 0x200000, SLOT_SIZE + 1, 0, EINVAL },
		{ "address not of pages", 2, 0, 0x200001, SLOT_SIZE, 0, EINVAL },
		{ "host address not of pages", 2, 0, 0x200000, SLOT_SIZE, 1, EINVAL },
		{ "end overflows", 2, 0, 0xfffffffffffff000UL, SLOT_SIZE, 0, EINVAL },
		{ "all sizes", 2, 0, 0, 0xfffffffffffff000UL, 0, EINVAL },
		{ "more pages than a slot has", 2, 0, 0, 1UL << 44, 0, EINVAL },
		{ "unknown flag", 2, 1u << 31, 0x200000, SLOT_SIZE, 0, EINVAL },
		{ "slot number", 0xffff, 0, 0x200000, SLOT_SIZE, 0, EINVAL },
		{ "address space", 0x7fff0000, 0, 0x200000, SLOT_SIZE, 0, EINVAL },
		{ "same place", 2, 0, 0x100000, SLOT_SIZE, 0, EEXIST },
		{ "overlap in front", 2, 0, 0x100000 - PAGE_SIZE, SLOT_SIZE, 0, EEXIST },
		{ "overlap behind", 2, 0, 0x100000 + 3 * PAGE_SIZE, SLOT_SIZE, 0, EEXIST },
		{ "covers it", 2, 0, 0, 0x400000, 0, EEXIST },
		{ "inside it", 2, 0, 0x101000, PAGE_SIZE, 0, EEXIST },
		{ "delete what is not there", 3, 0, 0x300000, 0, 0, EINVAL },
		{ "a slot's size is fixed", 1, 0, 0x100000, 2 * SLOT_SIZE, 0, EINVAL },
		{ "a slot's host address is fixed", 1, 0, 0x100000, SLOT_SIZE, PAGE_SIZE, EINVAL },
	};
	void *host;
	struct vm *vm = vm_with_slot(&host);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct slot_case *c = &cases[i];
		int ret = vm_try_slot(vm, c->slot, c->flags, c->gpa, c->size,
				      (uint8_t *)host + c->hva_offset);

		if (ret != -c->error)
			fail_msg("%s: %s, wanted %s", c->what, strerror(-ret), strerror(c->error));
	}
	/* nothing has changed: neighbours still fit exactly */
	vm_set_slot(vm, 2, 0, 0x100000 - SLOT_SIZE, SLOT_SIZE, (uint8_t *)host + SLOT_SIZE);
	vm_set_slot(vm, 3, 0, 0x100000 + SLOT_SIZE, SLOT_SIZE, (uint8_t *)host + 2 * SLOT_SIZE);
}

static void bad_pointers(void **state)
{
	uint8_t *p = map_with_hole(2, 1);
	struct vm *vm = vm_create_bare();

	(void)state;
	must_fail(EFAULT, ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, NULL));
	must_fail(EFAULT, ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, p + PAGE_SIZE - 8));
	must_fail(EFAULT, ioctl(vm->fd, KVM_GET_DIRTY_LOG, NULL));
	must_fail(EFAULT, ioctl(vm->fd, KVM_GET_DIRTY_LOG, p + PAGE_SIZE - 8));
	munmap(p, PAGE_SIZE);
}

static void kernel_addresses_are_refused(void **state)
{
	struct vm *vm = vm_create_bare();

	(void)state;
	assert_int_equal(vm_try_slot(vm, 1, 0, 0, SLOT_SIZE, (void *)0xffff888000000000UL),
			 -EINVAL);
	assert_int_equal(vm_try_slot(vm, 1, 0, 0, SLOT_SIZE, (void *)0x7ffffffff000UL), -EINVAL);
	assert_int_equal(vm_try_slot(vm, 1, 0, 0, SLOT_SIZE, (void *)0xfffffffffffff000UL),
			 -EINVAL);
}

static void move_and_delete(void **state)
{
	void *host;
	struct vm *vm = vm_with_slot(&host);

	(void)state;
	vm_set_slot(vm, 1, 0, 0x700000, SLOT_SIZE, host); /* move */
	vm_set_slot(vm, 2, 0, 0x100000, SLOT_SIZE,
		    (uint8_t *)host + SLOT_SIZE); /* old place free */
	assert_int_equal(vm_try_slot(vm, 1, 0, 0x100000, SLOT_SIZE, host), -EEXIST);
	vm_set_slot(vm, 1, 0, 0, 0, NULL); /* delete: only the number counts */
	assert_int_equal(vm_try_slot(vm, 1, 0, 0, 0, NULL), -EINVAL);
	vm_set_slot(vm, 3, 0, 0x700000, SLOT_SIZE, host);
}

static void moving_over_itself(void **state)
{
	void *host;
	struct vm *vm = vm_with_slot(&host);

	(void)state;
	vm_set_slot(vm, 1, 0, 0x101000, SLOT_SIZE, host); /* its own old place is no obstacle */
	vm_set_slot(vm, 1, 0, 0x101000, SLOT_SIZE, host); /* no change is no error */
}

static void many_slots(void **state)
{
	int n = dev_capability(KVM_CAP_NR_MEMSLOTS);
	struct vm *vm = vm_create_bare();
	uint8_t *host = map_anon(512 * PAGE_SIZE);

	(void)state;
	if (n > 500)
		n = 500;
	/* odd ones first, so that insertion happens in the middle */
	for (int pass = 1; pass >= 0; pass--) {
		for (int i = pass; i < n; i += 2)
			vm_set_slot(vm, (uint32_t)i, 0, (uint64_t)i * 2 * PAGE_SIZE, PAGE_SIZE,
				    host + (uint64_t)i * PAGE_SIZE);
	}
	for (int i = n - 1; i >= 0; i -= 3)
		vm_set_slot(vm, (uint32_t)i, 0, 0, 0, NULL);
	munmap(host, 512 * PAGE_SIZE);
}

static void highest_slot_number(void **state)
{
	int n = dev_capability(KVM_CAP_NR_MEMSLOTS);
	struct vm *vm = vm_create_bare();
	void *host = map_anon(PAGE_SIZE);

	(void)state;
	vm_set_slot(vm, (uint32_t)n - 1, 0, 0, PAGE_SIZE, host);
	assert_true(vm_try_slot(vm, 0xfffe, 0, 0x100000, PAGE_SIZE, host) == -EINVAL);
}

/* Memory that is not there is found out by the guest's access, not by this call. */
static void unmapped_host_memory_is_accepted(void **state)
{
	uint8_t *host = map_with_hole(4, 4);
	struct vm *vm = vm_create_bare();

	(void)state;
	vm_set_slot(vm, 1, 0, 0, SLOT_SIZE, host);
}

static void readonly_only_if_promised(void **state)
{
	void *host;
	struct vm *vm = vm_with_slot(&host);
	int promised = dev_capability(KVM_CAP_READONLY_MEM);
	int ret = vm_try_slot(vm, 2, KVM_MEM_READONLY, 0x400000, SLOT_SIZE,
			      (uint8_t *)host + SLOT_SIZE);

	(void)state;
	assert_int_equal(ret, promised ? 0 : -EINVAL);
	if (promised) /* read-only does not become writable */
		assert_int_equal(vm_try_slot(vm, 2, 0, 0x400000, SLOT_SIZE,
					     (uint8_t *)host + SLOT_SIZE),
				 -EINVAL);
}

/* --- dirty log --- */

static int get_log(struct vm *vm, uint32_t slot, void *bitmap)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	return ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) ? -errno : 0;
}

static void dirty_log_calls(void **state)
{
	uint64_t bitmap[2] = { ~0UL, 0x5555 };
	void *host;
	struct vm *vm = vm_with_slot(&host);

	(void)state;
	assert_int_equal(get_log(vm, 1, bitmap), -ENOENT); /* not logging */
	assert_int_equal(get_log(vm, 9, bitmap), -ENOENT); /* no such slot */
	assert_int_equal(get_log(vm, 0xffff, bitmap), -EINVAL);
	vm_set_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, 0x100000, SLOT_SIZE, host);
	assert_int_equal(get_log(vm, 1, bitmap), 0);
	assert_int_equal(bitmap[0], 0);
	assert_int_equal(bitmap[1], 0x5555); /* one word for four pages: no more is written */
	vm_set_slot(vm, 1, 0, 0x100000, SLOT_SIZE, host);
	assert_int_equal(get_log(vm, 1, bitmap), -ENOENT);
}

static void dirty_log_bad_bitmap(void **state)
{
	uint8_t *hole = map_with_hole(2, 1);
	void *host = map_anon(1024 * PAGE_SIZE);
	struct vm *vm = vm_create_bare();

	(void)state;
	vm_set_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, 0, 1024 * PAGE_SIZE, host);
	assert_int_equal(get_log(vm, 1, NULL), -EFAULT);
	assert_int_equal(get_log(vm, 1, hole + PAGE_SIZE - 8), -EFAULT); /* half mapped */
	assert_int_equal(get_log(vm, 1, hole), 0);
	munmap(hole, PAGE_SIZE);
	munmap(host, 1024 * PAGE_SIZE);
}

static const struct CMUnitTest tests[] = {
	TEST(bad_arguments),
	TEST(bad_pointers),
	TEST(kernel_addresses_are_refused),
	TEST(move_and_delete),
	TEST(moving_over_itself),
	TEST(many_slots),
	TEST(highest_slot_number),
	TEST(unmapped_host_memory_is_accepted),
	TEST(readonly_only_if_promised),
	TEST(dirty_log_calls),
	TEST(dirty_log_bad_bitmap),
};

TEST_MAIN("abi_memslot", tests)
