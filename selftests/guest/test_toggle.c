// SPDX-License-Identifier: GPL-2.0-only
/*
 * APIC virtualization comes and goes under a running guest, by the VM's switch in debugfs. Whatever
 * is pending or in service at that moment must not notice (invariant L8), in either mode; and the
 * reason it is off can be read. On the peer, and where the processor has nothing to switch, the
 * guests run all the same.
 */
#include <dirent.h>
#include <pthread.h>
#include "kvmtest.h"

#define LOWEST   0x31 /* vectors 0x31, 0x41, ... nest into one another */
#define DEPTH    10
#define ROUNDS   20
#define MESSAGES 2000

static volatile uint64_t x2apic;
static volatile uint64_t count[256], depth;

static void apic_write(uint32_t reg, uint32_t value)
{
	if (x2apic)
		x2apic_write(reg, value);
	else
		xapic_write(reg, value);
}

static void send(uint32_t dest, uint32_t low)
{
	if (x2apic) {
		x2apic_write(APIC_ICR_LO, (uint64_t)dest << 32 | low);
	} else {
		xapic_write(APIC_ICR_HI, dest << 24);
		xapic_write(APIC_ICR_LO, low);
	}
}

static void enable(void)
{
	if (x2apic)
		guest_x2apic_enable();
	else
		guest_xapic_enable();
}

/* --- the switch --- */

/* Path of the VM's file, or false: no such VM or no such switch. One VM at a time. */
static bool vm_file(char *path, size_t size, const char *name)
{
	static const char root[] = "/sys/kernel/debug/apicvisor";
	DIR *dir = opendir(root);
	struct dirent *entry;
	char prefix[16];
	bool found = false;

	if (!dir)
		return false;
	snprintf(prefix, sizeof(prefix), "%d-", getpid());
	while (!found && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, prefix, strlen(prefix))) {
			snprintf(path, size, "%s/%s/%s", root, entry->d_name, name);
			found = true;
		}
	closedir(dir);
	return found;
}

static void switch_apicv(bool on)
{
	char path[300];

	if (!on_apicvisor())
		return;
	assert_true(vm_file(path, sizeof(path), "apicv"));
	assert_int_equal(write_file(path, on ? "1\n" : "0\n"), 0);
}

/* --- vectors in service --- */

/* At each depth the host switches; then a higher vector nests, until there is none. */
static void on_nested(struct guest_frame *f)
{
	uint64_t mine = ++depth;

	guest_assert_eq(f->vector, LOWEST + 0x10 * (mine - 1));
	guest_sync(mine);
	if (mine < DEPTH) {
		send(0, 1u << 18 | (uint32_t)(f->vector + 0x10));
		sti();
		cpu_relax();
		cli();
		guest_assert_eq(count[f->vector + 0x10], count[f->vector] + 1);
	}
	guest_sync(2 * DEPTH - mine);
	count[f->vector]++;
	apic_write(APIC_EOI, 0);
}

static void nesting_payload(uint64_t mode)
{
	x2apic = mode;
	enable();
	for (uint32_t i = 0; i < DEPTH; i++)
		guest_handler[LOWEST + 0x10 * i] = on_nested;
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		depth = 0;
		send(0, 1u << 18 | LOWEST);
		sti();
		cpu_relax();
		cli();
		for (uint32_t i = 0; i < DEPTH; i++)
			guest_assert_eq(count[LOWEST + 0x10 * i], round);
	}
}

static void L8_every_eoi_lands(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (uint64_t mode = 0; mode < 2; mode++) {
		struct vcpu *v = guest_new_irqchip(nesting_payload, mode);

		for (int syncs = 0; syncs < ROUNDS * 2 * DEPTH; syncs++) {
			struct guest_report *r = vcpu_run_to_report(v);

			assert_int_equal(r->kind, REPORT_SYNC);
			seed = seed * 1103515245 + 12345;
			switch_apicv(seed >> 16 & 1);
		}
		expect_done(v);
		vm_free(v->vm);
	}
}

/* --- vectors on their way --- */

static volatile uint64_t sent, seen;

static void on_message(struct guest_frame *f)
{
	(void)f;
	seen++;
	apic_write(APIC_EOI, 0);
}

/* One at a time, or they would coalesce: each must come. */
static void talker_payload(uint64_t arg)
{
	(void)arg;
	enable();
	while (sent < MESSAGES) {
		sent++;
		send(1, 0x55);
		while (seen < sent)
			cpu_relax();
	}
}

static void listener_payload(uint64_t halts)
{
	enable();
	guest_handler[0x55] = on_message;
	guest_sync(1);
	while (seen < MESSAGES) {
		sti();
		if (halts)
			hlt();
		else
			cpu_relax();
		cli();
	}
}

static volatile bool stop_switching;

static void *keep_switching(void *arg)
{
	bool on = false;

	while (!stop_switching) {
		switch_apicv(on);
		on = !on;
		sched_yield();
	}
	return arg;
}

static void no_message_is_lost(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 4; i++) {
		struct vm *vm = vm_create_irqchip();
		struct vcpu *talker = vcpu_create(vm, 0), *listener = vcpu_create(vm, 1);
		pthread_t switcher;

		must(ioctl(listener->fd, KVM_SET_MP_STATE,
			   &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE }));
		in_guest(vm, x2apic) = i & 1;
		vcpu_long_mode(talker, talker_payload, 0);
		vcpu_long_mode(listener, listener_payload, i >> 1);
		vcpu_start(listener);
		vcpu_wait_sync(listener, 1);
		stop_switching = false;
		assert_int_equal(pthread_create(&switcher, NULL, keep_switching, NULL), 0);
		vcpu_start(talker);
		vcpu_join(talker);
		vcpu_join(listener);
		stop_switching = true;
		pthread_join(switcher, NULL);
		assert_int_equal(in_guest(vm, seen), MESSAGES);
		vm_free(vm);
	}
}

/* --- why is it off? --- */

static void nothing_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	guest_sync(1);
	guest_sync(2);
	guest_sync(3);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(uint64_t)APIC_BASE_ENABLE);
	guest_sync(4);
}

static bool state_says(const char *text)
{
	static char page[8192];
	char path[300];
	size_t n;
	FILE *f;

	assert_true(vm_file(path, sizeof(path), "vcpu0/state"));
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(page, 1, sizeof(page) - 1, f);
	page[n] = 0;
	fclose(f);
	return strstr(page, text);
}

static void the_reasons_are_readable(void **state)
{
	struct vcpu *v = guest_new_irqchip(nothing_payload, 0);
	struct kvm_guest_debug block = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ };

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer does not say");
	expect_sync(v, 1);
	assert_false(state_says("APICv off: debugfs"));
	switch_apicv(false);
	must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &block));
	expect_sync(v, 2);
	assert_true(state_says("APICv off: debugfs"));
	assert_true(state_says("APICv off: KVM_GUESTDBG_BLOCKIRQ"));
	assert_false(state_says("virtual_interrupts"));
	switch_apicv(true);
	block.control = 0;
	must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &block));
	expect_sync(v, 3);
	assert_false(state_says("APICv off: debugfs"));
	assert_false(state_says("BLOCKIRQ"));
	expect_sync(v, 4);
	assert_true(state_says("APICv off: the guest has disabled its LAPIC"));
	expect_done(v);
}

static const struct CMUnitTest tests[] = {
	TEST(L8_every_eoi_lands),
	TEST(no_message_is_lost),
	TEST(the_reasons_are_readable),
};

TEST_MAIN("guest_toggle", tests)
