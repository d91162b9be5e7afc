// SPDX-License-Identifier: GPL-2.0-only
/*
 * The system ioctls of the node, one per test: what they return, and what they refuse. Nothing
 * here runs a guest. Source: the KVM API document.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include "kvmtest.h"

static void node_is_a_character_device(void **state)
{
	struct stat st;

	(void)state;
	assert_return_code(stat(dev_path(), &st), errno);
	assert_true(S_ISCHR(st.st_mode));
}

static void api_version_is_12(void **state)
{
	int fd = dev_open();

	(void)state;
	assert_int_equal(ioctl(fd, KVM_GET_API_VERSION, 0), 12);
	must_fail(EINVAL, ioctl(fd, KVM_GET_API_VERSION, 1));
	close(fd);
}

static void vcpu_mmap_size_is_three_pages(void **state)
{
	int fd = dev_open();

	(void)state;
	assert_int_equal(ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0), 3 * PAGE_SIZE);
	must_fail(EINVAL, ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 1));
	close(fd);
}

static void create_vm_refuses_unknown_types(void **state)
{
	static const unsigned long types[] = { 5, 0x100, 0x80000000UL, ~0UL };
	int fd = dev_open();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		must_fail(EINVAL, ioctl(fd, KVM_CREATE_VM, types[i]));
	close(fd);
}

static void node_cannot_be_read_written_or_mapped(void **state)
{
	int fd = dev_open();
	char c = 0;

	(void)state;
	assert_int_equal(read(fd, &c, 1), -1);
	assert_int_equal(write(fd, &c, 1), -1);
	assert_ptr_equal(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	close(fd);
}

/* VM and vCPU ioctls on the system fd are unknown there. */
static void other_floors_ioctls_are_unknown(void **state)
{
	int fd = dev_open();

	(void)state;
	assert_int_equal(ioctl(fd, KVM_CREATE_VCPU, 0), -1);
	assert_true(errno == ENOTTY || errno == EINVAL);
	assert_int_equal(ioctl(fd, KVM_RUN, 0), -1);
	assert_true(errno == ENOTTY || errno == EINVAL);
	close(fd);
}

/* The number of an ioctl with another size is another ioctl. */
static void wrong_sizes_are_unknown(void **state)
{
	static const unsigned long commands[] = {
		_IOWR(KVMIO, 0x02, char[3]),
		_IOWR(KVMIO, 0x05, char[1]),
		_IOW(KVMIO, 0x01, int),
		_IOWR(KVMIO, 0x0a, char[77]),
		_IO(KVMIO, 0x05),
	};
	int fd = dev_open();
	char buf[4096] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		assert_int_equal(ioctl(fd, commands[i], buf), -1);
		if (errno != ENOTTY && errno != EINVAL)
			fail_msg("command %#lx: %s", commands[i], strerror(errno));
	}
	close(fd);
}

/* --- KVM_CHECK_EXTENSION --- */

static void unknown_capabilities_are_zero(void **state)
{
	int fd = dev_open();

	(void)state;
	assert_int_equal(ioctl(fd, KVM_CHECK_EXTENSION, 0x7fffffff), 0);
	assert_int_equal(ioctl(fd, KVM_CHECK_EXTENSION, -1), 0);
	assert_int_equal(ioctl(fd, KVM_CHECK_EXTENSION, 100000), 0);
	close(fd);
}

/* What no client starts without, and its value where the value means something. */
static void capabilities_that_clients_require(void **state)
{
	static const struct {
		int cap, at_least;
	} required[] = {
		{ KVM_CAP_USER_MEMORY, 1 },
		{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
		{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
		{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
		{ KVM_CAP_IOEVENTFD, 1 },
		{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
		{ KVM_CAP_SET_TSS_ADDR, 1 },
		{ KVM_CAP_EXT_CPUID, 1 },
		{ KVM_CAP_MP_STATE, 1 },
		{ KVM_CAP_SIGNAL_MSI, 1 },
		{ KVM_CAP_IRQ_ROUTING, 24 },
		{ KVM_CAP_DEBUGREGS, 1 },
		{ KVM_CAP_XSAVE, 1 },
		{ KVM_CAP_XCRS, 1 },
		{ KVM_CAP_VCPU_EVENTS, 1 },
		{ KVM_CAP_MCE, 10 },
		{ KVM_CAP_ADJUST_CLOCK, 1 },
		{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
		{ KVM_CAP_IRQCHIP, 1 },
		{ KVM_CAP_IRQFD, 1 },
		{ KVM_CAP_PIT2, 1 },
		{ KVM_CAP_PIT_STATE2, 1 },
		{ KVM_CAP_COALESCED_MMIO, 1 },
		{ KVM_CAP_HLT, 1 },
		{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
		{ KVM_CAP_NR_MEMSLOTS, 32 },
		{ KVM_CAP_NR_VCPUS, 1 },
		{ KVM_CAP_MAX_VCPUS, 8 },
		{ KVM_CAP_MAX_VCPU_ID, 8 },
		{ KVM_CAP_IMMEDIATE_EXIT, 1 },
		{ KVM_CAP_USER_NMI, 1 },
		{ KVM_CAP_NOP_IO_DELAY, 1 },
		{ KVM_CAP_SYNC_MMU, 1 },
		{ KVM_CAP_GET_TSC_KHZ, 1 },
		{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	};
	int fd = dev_open();
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
		int v = ioctl(fd, KVM_CHECK_EXTENSION, required[i].cap);

		if (v < required[i].at_least) {
			print_message("# capability %d is %d, wanted %d or more\n", required[i].cap,
				      v, required[i].at_least);
			bad++;
		}
	}
	close(fd);
	assert_int_equal(bad, 0);
}

/* Advertising is a promise: these stay 0 until they work. */
static void capabilities_not_promised(void **state)
{
	static const int caps[] = {
		KVM_CAP_NESTED_STATE, KVM_CAP_X86_SMM, KVM_CAP_X86_NOTIFY_VMEXIT, KVM_CAP_HYPERV,
		KVM_CAP_HYPERV_SYNIC, KVM_CAP_XEN_HVM, KVM_CAP_MSI_DEVID,
	};
	int fd = dev_open();
	int bad = 0;

	(void)state;
	if (!on_apicvisor())
		skip_because("in-tree KVM does offer these");
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		int v = ioctl(fd, KVM_CHECK_EXTENSION, caps[i]);

		if (v) {
			print_message("# capability %d is %d, wanted 0\n", caps[i], v);
			bad++;
		}
	}
	close(fd);
	assert_int_equal(bad, 0);
}

/* Each promise and the suite that keeps it to the letter; whoever adds one adds it here. */
static void every_capability_is_tested_somewhere(void **state)
{
	static const struct {
		int cap;
		const char *suite;
	} known[] = {
		{ KVM_CAP_IRQCHIP, "guest_irqchip" },
		{ KVM_CAP_HLT, "guest_events" },
		{ KVM_CAP_USER_MEMORY, "guest_memory" },
		{ KVM_CAP_SET_TSS_ADDR, "abi_vm" },
		{ KVM_CAP_EXT_CPUID, "guest_state" },
		{ KVM_CAP_NR_VCPUS, "abi_vm" },
		{ KVM_CAP_NR_MEMSLOTS, "abi_memslot" },
		{ KVM_CAP_PIT, "abi_irq" },
		{ KVM_CAP_NOP_IO_DELAY, "nothing to test: there is no such delay" },
		{ KVM_CAP_MP_STATE, "abi_vcpu" },
		{ KVM_CAP_COALESCED_MMIO, "guest_io" },
		{ KVM_CAP_SYNC_MMU, "guest_memory" },
		{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "guest_memory" },
		{ KVM_CAP_USER_NMI, "guest_events" },
		{ KVM_CAP_REINJECT_CONTROL, "abi_irq" },
		{ KVM_CAP_IRQ_ROUTING, "abi_irq" },
		{ KVM_CAP_IRQ_INJECT_STATUS, "abi_irq" },
		{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, "guest_memory" },
		{ KVM_CAP_MCE, "guest_regs" },
		{ KVM_CAP_IRQFD, "guest_irqchip" },
		{ KVM_CAP_PIT2, "guest_irqchip" },
		{ KVM_CAP_SET_BOOT_CPU_ID, "abi_vm" },
		{ KVM_CAP_PIT_STATE2, "abi_irq" },
		{ KVM_CAP_IOEVENTFD, "guest_io" },
		{ KVM_CAP_SET_IDENTITY_MAP_ADDR, "abi_vm" },
		{ KVM_CAP_ADJUST_CLOCK, "guest_clock" },
		{ KVM_CAP_KVMCLOCK_CTRL, "guest_clock" },
		{ KVM_CAP_INTERNAL_ERROR_DATA, "guest_modes" },
		{ KVM_CAP_VCPU_EVENTS, "abi_vcpu" },
		{ KVM_CAP_DEBUGREGS, "guest_state" },
		{ KVM_CAP_SET_GUEST_DEBUG, "guest_debug" },
		{ KVM_CAP_SET_GUEST_DEBUG2, "guest_debug" },
		{ KVM_CAP_X86_ROBUST_SINGLESTEP, "guest_state" },
		{ KVM_CAP_XSAVE, "guest_state" },
		{ KVM_CAP_XCRS, "abi_vcpu" },
		{ KVM_CAP_GET_TSC_KHZ, "abi_vcpu" },
		{ KVM_CAP_TSC_CONTROL, "guest_tsc" },
		{ KVM_CAP_VM_TSC_CONTROL, "guest_tsc" },
		{ KVM_CAP_MAX_VCPUS, "abi_vm" },
		{ KVM_CAP_TSC_DEADLINE_TIMER, "guest_apic" },
		{ KVM_CAP_SIGNAL_MSI, "guest_irqchip" },
		{ KVM_CAP_READONLY_MEM, "guest_memory" },
		{ KVM_CAP_IRQFD_RESAMPLE, "guest_irqchip" },
		{ KVM_CAP_IOAPIC_POLARITY_IGNORED, "guest_irqchip" },
		{ KVM_CAP_ENABLE_CAP_VM, "abi_vm" },
		{ KVM_CAP_ENABLE_CAP, "abi_vcpu" },
		{ KVM_CAP_VCPU_ATTRIBUTES, "guest_clock" },
		{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, "guest_pv" },
		{ KVM_CAP_IOEVENTFD_NO_LENGTH, "guest_io" },
		{ KVM_CAP_CHECK_EXTENSION_VM, "abi_system" },
		{ KVM_CAP_IOEVENTFD_ANY_LENGTH, "guest_io" },
		{ KVM_CAP_MAX_VCPU_ID, "abi_vm" },
		{ KVM_CAP_X2APIC_API, "guest_apic" },
		{ KVM_CAP_X86_DISABLE_EXITS, "guest_halt" },
		{ KVM_CAP_HALT_POLL, "guest_halt" },
		{ KVM_CAP_IMMEDIATE_EXIT, "guest_modes" },
		{ KVM_CAP_GET_MSR_FEATURES, "abi_system" },
		{ KVM_CAP_COALESCED_PIO, "guest_io" },
		{ KVM_CAP_SPLIT_IRQCHIP, "guest_split" },
		{ KVM_CAP_VAPIC, "guest_tpr" },
		{ KVM_CAP_DISABLE_QUIRKS2, "guest_quirks" },
		{ KVM_CAP_MSR_PLATFORM_INFO, "guest_quirks" },
		{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, "guest_quirks" },
		{ KVM_CAP_EXCEPTION_PAYLOAD, "guest_quirks" },
		{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, "guest_quirks" },
		{ KVM_CAP_SYS_ATTRIBUTES, "guest_quirks" },
		{ KVM_CAP_XSAVE2, "guest_quirks" },
		{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, "abi_vm" },
		{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, "guest_dirty" },
		{ KVM_CAP_DIRTY_LOG_RING, "guest_dirty" },
		{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, "guest_dirty" },
		{ KVM_CAP_BINARY_STATS_FD, "abi_statsfd" },
		{ KVM_CAP_SYNC_REGS, "guest_runregs" },
		{ KVM_CAP_X86_USER_SPACE_MSR, "guest_msrexit" },
		{ KVM_CAP_X86_MSR_FILTER, "guest_msrexit" },
		{ 231 /* KVM_CAP_USER_MEMORY2 */, "abi_newer" },
		{ 236 /* KVM_CAP_PRE_FAULT_MEMORY */, "guest_memory" },
		{ 237 /* KVM_CAP_X86_APIC_BUS_CYCLES_NS */, "abi_newer" },
	};
	int fd = dev_open();
	int bad = 0;

	(void)state;
	if (!on_apicvisor())
		skip_because("in-tree KVM offers much more");
	for (int cap = 0; cap < 1024; cap++) {
		size_t i = 0;

		while (i < ARRAY_SIZE(known) && known[i].cap != cap)
			i++;
		if (ioctl(fd, KVM_CHECK_EXTENSION, cap) && i == ARRAY_SIZE(known)) {
			print_message("# capability %d is offered, and no test knows it\n", cap);
			bad++;
		}
	}
	close(fd);
	assert_int_equal(bad, 0);
}

static void coalesced_ring_is_on_page_2(void **state)
{
	(void)state;
	assert_int_equal(dev_capability(KVM_CAP_COALESCED_MMIO), 2);
}

static void vm_fd_agrees_with_the_system_fd(void **state)
{
	struct vm *vm = vm_create_bare();
	int fd = dev_open();

	(void)state;
	if (!ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM))
		skip_because("KVM_CAP_CHECK_EXTENSION_VM is not offered");
	for (int cap = 0; cap < 256; cap++) {
		int a = ioctl(fd, KVM_CHECK_EXTENSION, cap);
		int b = ioctl(vm->fd, KVM_CHECK_EXTENSION, cap);

		if (a != b)
			fail_msg("capability %d: %d on the system fd, %d on the VM's", cap, a, b);
	}
	close(fd);
}

/* --- CPUID --- */

static struct kvm_cpuid2 *cpuid_buffer(uint32_t nent)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	assert_non_null(c);
	c->nent = nent;
	return c;
}

static void supported_cpuid_e2big_until_it_fits(void **state)
{
	struct kvm_cpuid2 *c = cpuid_buffer(1);
	int fd = dev_open();
	uint32_t nent = 1;

	(void)state;
	must_fail(E2BIG, ioctl(fd, KVM_GET_SUPPORTED_CPUID, c));
	c->nent = 0;
	must_fail(E2BIG, ioctl(fd, KVM_GET_SUPPORTED_CPUID, c));
	for (;;) { /* QEMU's way: double until it fits */
		c->nent = nent;
		if (!ioctl(fd, KVM_GET_SUPPORTED_CPUID, c))
			break;
		assert_int_equal(errno, E2BIG);
		nent *= 2;
		assert_true(nent <= 256);
	}
	assert_in_range(c->nent, 10, 100);
	/* exactly enough works, one less does not */
	nent = c->nent;
	assert_int_equal(ioctl(fd, KVM_GET_SUPPORTED_CPUID, c), 0);
	assert_int_equal(c->nent, nent);
	c->nent = nent - 1;
	must_fail(E2BIG, ioctl(fd, KVM_GET_SUPPORTED_CPUID, c));
	assert_int_equal(c->nent, nent - 1);
	free(c);
	close(fd);
}

static void supported_cpuid_huge_count_is_bounded(void **state)
{
	struct kvm_cpuid2 *c = cpuid_buffer(0xffffffff);
	int fd = dev_open();

	(void)state;
	/* clamped or refused, never believed */
	if (ioctl(fd, KVM_GET_SUPPORTED_CPUID, c) == 0)
		assert_in_range(c->nent, 10, 256);
	else
		assert_true(errno == E2BIG || errno == ENOMEM || errno == EINVAL);
	free(c);
	close(fd);
}

static void supported_cpuid_bad_pointers(void **state)
{
	uint8_t *p = map_with_hole(2, 1);
	struct kvm_cpuid2 *edge = (void *)(p + PAGE_SIZE - sizeof(*edge) - 40);
	int fd = dev_open();

	(void)state;
	must_fail(EFAULT, ioctl(fd, KVM_GET_SUPPORTED_CPUID, NULL));
	must_fail(EFAULT, ioctl(fd, KVM_GET_SUPPORTED_CPUID, p + PAGE_SIZE));
	must_fail(EFAULT, ioctl(fd, KVM_GET_SUPPORTED_CPUID, p + PAGE_SIZE - 4));
	edge->nent = 100; /* the header is mapped, the entries end in the hole */
	must_fail(EFAULT, ioctl(fd, KVM_GET_SUPPORTED_CPUID, edge));
	must_fail(EFAULT, ioctl(fd, KVM_GET_SUPPORTED_CPUID, (void *)~0xfffUL));
	munmap(p, PAGE_SIZE);
	close(fd);
}

static const struct kvm_cpuid_entry2 *find_leaf(const struct kvm_cpuid2 *c, uint32_t leaf)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		if (c->entries[i].function == leaf)
			return &c->entries[i];
	}
	return NULL;
}

static void supported_cpuid_leaves(void **state)
{
	static const uint32_t leaves[] = { 0, 1, 6, 7, 0xd, 0x80000000, 0x80000001, 0x80000008 };
	struct kvm_cpuid2 *c = cpuid_buffer(100);
	int fd = dev_open();

	(void)state;
	assert_int_equal(ioctl(fd, KVM_GET_SUPPORTED_CPUID, c), 0);
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		if (!find_leaf(c, leaves[i]))
			fail_msg("leaf %#x is missing", leaves[i]);
	}
	assert_true(find_leaf(c, 1)->ecx & 1u << 21);          /* x2APIC */
	assert_true(find_leaf(c, 0x80000001)->edx & 1u << 29); /* long mode */
	if (on_apicvisor())
		assert_false(find_leaf(c, 1)->ecx & 1u << 5); /* VMX: not promised */
	free(c);
	close(fd);
}

/* Whether the host's kernel uses a feature: also one that the processor has may be off. */
static bool kernel_has(const char *flag)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	bool found = false;
	char line[4096];

	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "flags", 5))
			continue;
		for (char *word = strtok(line, " \t\n"); word && !found;
		     word = strtok(NULL, " \t\n"))
			found = !strcmp(word, flag);
		break;
	}
	fclose(f);
	return found;
}

/* Firmware may turn fast strings off, and the processor still claims what they are good for. */
static void supported_cpuid_fast_strings_are_the_hosts(void **state)
{
	struct kvm_cpuid2 *c = cpuid_buffer(100);
	int fd = dev_open();

	(void)state;
	assert_true(kernel_has("fpu"));
	assert_int_equal(ioctl(fd, KVM_GET_SUPPORTED_CPUID, c), 0);
	assert_int_equal(!!(find_leaf(c, 7)->ebx & 1u << 9), kernel_has("erms"));
	free(c);
	close(fd);
}

/* --- MSR lists --- */

struct msr_list {
	struct kvm_msr_list head;
	uint32_t index[1024];
};

static void msr_list_protocol(int fd, unsigned long command)
{
	struct msr_list *list = calloc(1, sizeof(*list));
	uint32_t n;

	assert_non_null(list);
	must_fail(E2BIG, ioctl(fd, command, list));
	n = list->head.nmsrs; /* written back, so that the caller can allocate */
	assert_in_range(n, 1, 1024);
	assert_int_equal(list->index[0], 0);
	if (n > 1) {
		list->head.nmsrs = n - 1;
		must_fail(E2BIG, ioctl(fd, command, list));
		assert_int_equal(list->head.nmsrs, n);
	}
	assert_int_equal(ioctl(fd, command, list), 0);
	assert_int_equal(list->head.nmsrs, n);
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t j = 0; j < i; j++) {
			if (list->index[i] == list->index[j])
				fail_msg("MSR %#x is listed twice", list->index[i]);
		}
	}
	list->head.nmsrs = 0xffffffff;
	assert_int_equal(ioctl(fd, command, list), 0);
	assert_int_equal(list->head.nmsrs, n);
	must_fail(EFAULT, ioctl(fd, command, NULL));
	free(list);
}

static void msr_index_list(void **state)
{
	int fd = dev_open();

	(void)state;
	msr_list_protocol(fd, KVM_GET_MSR_INDEX_LIST);
	close(fd);
}

static void msr_feature_list_and_values(void **state)
{
	struct msr_list *list = calloc(1, sizeof(*list));
	int fd = dev_open();

	(void)state;
	if (!ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_GET_MSR_FEATURES))
		skip_because("KVM_CAP_GET_MSR_FEATURES is not offered");
	list->head.nmsrs = 1024;
	assert_int_equal(ioctl(fd, KVM_GET_MSR_FEATURE_INDEX_LIST, list), 0);
	for (uint32_t i = 0; i < list->head.nmsrs; i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} m = { .head.nmsrs = 1, .entry.index = list->index[i] };

		if (ioctl(fd, KVM_GET_MSRS, &m) != 1)
			fail_msg("feature MSR %#x is listed but not readable", list->index[i]);
	}
	free(list);
	close(fd);
}

static void msr_list_half_mapped(void **state)
{
	uint8_t *p = map_with_hole(2, 1);
	struct kvm_msr_list *edge = (void *)(p + PAGE_SIZE - sizeof(*edge) - 8);
	int fd = dev_open();

	(void)state;
	edge->nmsrs = 1024;
	must_fail(EFAULT, ioctl(fd, KVM_GET_MSR_INDEX_LIST, edge));
	must_fail(EFAULT, ioctl(fd, KVM_GET_MSR_INDEX_LIST, p + PAGE_SIZE - 2));
	munmap(p, PAGE_SIZE);
	close(fd);
}

static void mce_cap_supported(void **state)
{
	uint64_t cap = 0;
	int fd = dev_open();

	(void)state;
	assert_int_equal(ioctl(fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap), 0);
	assert_true(cap & 1u << 8); /* MCG_CTL_P: QEMU insists */
	must_fail(EFAULT, ioctl(fd, KVM_X86_GET_MCE_CAP_SUPPORTED, NULL));
	close(fd);
}

static void many_descriptors(void **state)
{
	int fd[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		fd[i] = dev_open();
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

static const struct CMUnitTest tests[] = {
	TEST(node_is_a_character_device),
	TEST(api_version_is_12),
	TEST(vcpu_mmap_size_is_three_pages),
	TEST(create_vm_refuses_unknown_types),
	TEST(node_cannot_be_read_written_or_mapped),
	TEST(other_floors_ioctls_are_unknown),
	TEST(wrong_sizes_are_unknown),
	TEST(unknown_capabilities_are_zero),
	TEST(capabilities_that_clients_require),
	TEST(capabilities_not_promised),
	TEST(every_capability_is_tested_somewhere),
	TEST(coalesced_ring_is_on_page_2),
	TEST(vm_fd_agrees_with_the_system_fd),
	TEST(supported_cpuid_e2big_until_it_fits),
	TEST(supported_cpuid_huge_count_is_bounded),
	TEST(supported_cpuid_bad_pointers),
	TEST(supported_cpuid_leaves),
	TEST(supported_cpuid_fast_strings_are_the_hosts),
	TEST(msr_index_list),
	TEST(msr_feature_list_and_values),
	TEST(msr_list_half_mapped),
	TEST(mce_cap_supported),
	TEST(many_descriptors),
};

TEST_MAIN("abi_system", tests)
