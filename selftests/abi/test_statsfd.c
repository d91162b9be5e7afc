// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_STATS_FD: the file describes itself, its values follow what the guest does, and it
 * outlives the descriptors it came from.
 */
#include "kvmtest.h"

struct stats {
	int fd;
	struct kvm_stats_header header;
	char id[64];
	char *desc;
};

static const struct kvm_stats_desc *descriptor(const struct stats *s, uint32_t i)
{
	return (void *)(s->desc + i * (sizeof(struct kvm_stats_desc) + s->header.name_size));
}

static struct stats open_stats(int fd)
{
	struct stats s = { .fd = must(ioctl(fd, KVM_GET_STATS_FD, NULL)) };
	size_t size;

	assert_int_equal(read(s.fd, &s.header, sizeof(s.header)), sizeof(s.header));
	assert_int_equal(s.header.flags, 0);
	assert_in_range(s.header.name_size, 8, sizeof(s.id));
	assert_in_range(s.header.num_desc, 1, 1000);
	assert_int_equal(pread(s.fd, s.id, s.header.name_size, s.header.id_offset),
			 s.header.name_size);
	size = s.header.num_desc * (sizeof(struct kvm_stats_desc) + s.header.name_size);
	s.desc = malloc(size);
	assert_int_equal(pread(s.fd, s.desc, size, s.header.desc_offset), size);
	return s;
}

static void close_stats(struct stats *s)
{
	close(s->fd);
	free(s->desc);
}

static uint64_t value_at(const struct stats *s, uint32_t i)
{
	uint64_t value;

	assert_int_equal(pread(s->fd, &value, sizeof(value),
			       s->header.data_offset + descriptor(s, i)->offset),
			 sizeof(value));
	return value;
}

static uint64_t value_of(const struct stats *s, const char *name)
{
	for (uint32_t i = 0; i < s->header.num_desc; i++)
		if (!strcmp((const char *)(descriptor(s, i) + 1), name))
			return value_at(s, i);
	fail_msg("no counter %s", name);
	return 0;
}

/* Offsets, sizes, names and units fit together; nothing can be read beyond the end. */
static void check_layout(const struct stats *s)
{
	uint64_t end = s->header.data_offset + s->header.num_desc * sizeof(uint64_t);
	char byte;

	assert_true(s->header.id_offset >= sizeof(s->header));
	assert_true(s->header.desc_offset >= s->header.id_offset + s->header.name_size);
	assert_true(s->header.data_offset >= s->header.desc_offset);
	for (uint32_t i = 0; i < s->header.num_desc; i++) {
		const struct kvm_stats_desc *d = descriptor(s, i);
		const char *name = (const char *)(d + 1);

		assert_in_range(strnlen(name, s->header.name_size), 1, s->header.name_size - 1);
		assert_int_equal(d->size, 1);
		assert_int_equal(d->bucket_size, 0);
		assert_int_equal(d->offset, i * sizeof(uint64_t));
		if ((d->flags & KVM_STATS_UNIT_MASK) == KVM_STATS_UNIT_SECONDS)
			assert_int_equal(d->exponent, -9);
		else
			assert_int_equal(d->exponent, 0);
		for (uint32_t j = 0; j < i; j++)
			assert_string_not_equal(name, (const char *)(descriptor(s, j) + 1));
	}
	assert_int_equal(pread(s->fd, &byte, 1, end - 1), 1);
	assert_int_equal(pread(s->fd, &byte, 1, end), 0);
	assert_int_equal(pread(s->fd, &byte, 1, 1L << 40), 0);
}

static void files_describe_themselves(void **state)
{
	struct vm *vm = vm_create();
	struct vcpu *v = vcpu_create(vm, 3);
	struct stats s = open_stats(vm->fd);
	char id[64];

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's files have other counters in another order");
	check_layout(&s);
	snprintf(id, sizeof(id), "kvm-%d", getpid());
	assert_string_equal(s.id, id);
	close_stats(&s);
	s = open_stats(v->fd);
	check_layout(&s);
	snprintf(id, sizeof(id), "kvm-%d/vcpu-3", getpid());
	assert_string_equal(s.id, id);
	must_fail(EBADF, write(s.fd, id, 1));
	must_fail(EFAULT, pread(s.fd, map_with_hole(1, 1), 8, 0));
	close_stats(&s);
}

static void six_ports(uint64_t arg)
{
	(void)arg;
	for (int i = 0; i < 6; i++)
		outb(0x510, i);
	mmio_write32(GUEST_MMIO, 1);
	guest_sync(1);
}

static void values_follow_the_guest(void **state)
{
	struct vcpu *v = guest_new(six_ports, 0);
	struct stats mine = open_stats(v->fd), vm = open_stats(v->vm->fd);
	uint64_t exits = value_of(&mine, "exits"), mmio = value_of(&mine, "mmio_exits");

	(void)state;
	for (int i = 0; i < 6; i++)
		expect_pio(v, KVM_EXIT_IO_OUT, 0x510, 1, 1);
	assert_in_range(value_of(&mine, "exits") - exits, 6, 1000000);
	assert_int_equal(value_of(&mine, "mmio_exits"), mmio);
	expect_mmio(v, true, GUEST_MMIO, 4);
	assert_int_equal(value_of(&mine, "mmio_exits"), mmio + 1);
	if (on_apicvisor()) {
		assert_int_equal(value_of(&mine, "io_user_exits"), 6);
		assert_int_equal(value_of(&mine, "exit_io"), 6);
		assert_int_equal(value_of(&vm, "io_user_exits"), 6);
		assert_int_equal(value_of(&vm, "vcpus"), 1);
	}
	close_stats(&mine);
	close_stats(&vm);
}

static void spin(uint64_t arg)
{
	(void)arg;
	guest_sync(1);
	for (;;)
		cpu_relax();
}

/* Nobody waits for a vCPU in KVM_RUN. */
static void a_running_vcpu_is_not_stopped(void **state)
{
	struct vcpu *v = guest_new(spin, 0);
	struct stats s;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer waits for the vCPU's lock");
	vcpu_start(v);
	vcpu_wait_sync(v, 1);
	s = open_stats(v->fd);
	assert_true(value_of(&s, "exits") > 0);
	close_stats(&s);
	vcpu_stop(v);
}

static void files_outlive_the_vm(void **state)
{
	struct vm *vm = vm_create();
	struct vcpu *v = vcpu_create(vm, 0);
	struct stats of_vm = open_stats(vm->fd), of_vcpu = open_stats(v->fd);

	(void)state;
	vm_free(vm);
	assert_int_equal(value_of(&of_vm, "exits"), 0);
	assert_int_equal(value_of(&of_vcpu, "exits"), 0);
	close_stats(&of_vm);
	close_stats(&of_vcpu);
}

static const struct CMUnitTest tests[] = {
	TEST(files_describe_themselves),
	TEST(values_follow_the_guest),
	TEST(a_running_vcpu_is_not_stopped),
	TEST(files_outlive_the_vm),
};

TEST_MAIN("abi_statsfd", tests)
