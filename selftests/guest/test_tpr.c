// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TPR for VMMs that patch their guests: KVM_TPR_ACCESS_REPORTING tells which instruction uses
 * it, KVM_SET_VAPIC_ADDR has a copy in guest memory. What QEMU's kvmvapic option ROM does, by hand.
 * Accesses that the processor completes are not reported, so the LAPIC lies elsewhere here: there
 * they are decoded, with whatever features. The doubleword: TPR, class in service, 0, requested.
 */
#include "stats.h"

#define LOW       0x31
#define HIGH      0x61
#define ELSEWHERE 0xd1000000UL
#define WORD      (GUEST_FREE + 0x1ffe) /* crosses a page */

extern const char tpr_write[], tpr_read[], tpr_end[];

static void move_lapic(void)
{
	wrmsr(MSR_APIC_BASE, ELSEWHERE | APIC_BASE_ENABLE | (rdmsr(MSR_APIC_BASE) & 0x100));
}

/* --- reports --- */

static void access_payload(uint64_t arg)
{
	uint32_t value = 0;

	(void)arg;
	move_lapic();
	guest_sync(1);
	asm volatile("tpr_write: movl %2, %1\n"
		     "tpr_read:  movl %1, %0\n"
		     "tpr_end:"
		     : "=r"(value), "=m"(*(volatile uint32_t *)(ELSEWHERE + APIC_TPR))
		     : "r"(0x50)
		     : "memory");
	guest_assert_eq(value, 0x50);
	(void)mmio_read32(ELSEWHERE + APIC_LDR); /* not the TPR */
	guest_sync(2);
	mmio_write32(ELSEWHERE + APIC_TPR, 0x20);
	guest_assert_eq(mmio_read32(ELSEWHERE + APIC_TPR), 0x20);
	guest_assert_eq(read_cr(8), 2);
}

static void expect_access(struct vcpu *v, bool write, const char *insn, const char *next)
{
	expect_exit(v, KVM_EXIT_TPR_ACCESS);
	assert_int_equal(v->run->tpr_access.is_write, write);
	assert_int_equal(v->run->tpr_access.rip, (uintptr_t)insn);
	assert_int_equal(vcpu_regs(v).rip, (uintptr_t)next); /* it is done */
}

static void set_reporting(struct vcpu *v, uint32_t enabled)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = enabled };

	must(ioctl(v->fd, KVM_TPR_ACCESS_REPORTING, &ctl));
}

static void accesses_are_reported(void **state)
{
	struct vcpu *v = guest_new_irqchip(access_payload, 0);

	(void)state;
	set_reporting(v, 1);
	expect_sync(v, 1);
	expect_access(v, true, tpr_write, tpr_read);
	assert_int_equal(v->run->cr8, 5);
	expect_access(v, false, tpr_read, tpr_end);
	expect_sync(v, 2);
	set_reporting(v, 0);
	expect_done(v);
}

static void reporting_arguments(void **state)
{
	struct vcpu *v = guest_new_irqchip(access_payload, 0);
	struct kvm_tpr_access_ctl ctl = { .enabled = 1, .flags = 1 };

	(void)state;
	must_fail(EINVAL, ioctl(v->fd, KVM_TPR_ACCESS_REPORTING, &ctl));
	must_fail(EFAULT, ioctl(v->fd, KVM_TPR_ACCESS_REPORTING, NULL));
	expect_sync(v, 1);
	expect_sync(v, 2); /* it was not switched on */
}

/* Offered where the processor has nothing better. */
static void capability(void **state)
{
	(void)state;
	need_apicvisor();
	assert_int_equal(dev_capability(KVM_CAP_VAPIC), !(have.tpr_shadow && have.apic_access));
}

/* --- the copy in guest memory --- */

static int set_word(struct vcpu *v, uint64_t gpa)
{
	struct kvm_vapic_addr addr = { .vapic_addr = gpa };

	return ioctl(v->fd, KVM_SET_VAPIC_ADDR, &addr) ? -errno : 0;
}

static volatile uint64_t low, high;
static volatile uint32_t in_handler;

static uint32_t word(void)
{
	return *(volatile uint32_t *)WORD;
}

/* An exit that userspace does not see. */
static void leave_and_return(void)
{
	uint32_t r[4];

	guest_cpuid(0, 0, r);
}

static void on_low(struct guest_frame *f)
{
	(void)f;
	leave_and_return();
	in_handler = word();
	low++;
	xapic_write(APIC_EOI, 0);
}

static void on_high(struct guest_frame *f)
{
	(void)f;
	high++;
	xapic_write(APIC_EOI, 0);
}

static void word_payload(uint64_t own)
{
	volatile uint8_t *tpr = (volatile uint8_t *)WORD;

	guest_handler[LOW] = on_low;
	guest_handler[HIGH] = on_high;
	guest_xapic_enable();
	sti();
	guest_sync(1); /* userspace sets the address */
	guest_assert_eq(word(), 0);

	/* In memory only: the LAPIC has it after an exit. */
	*tpr = 0x40;
	leave_and_return();
	guest_assert_eq(xapic_read(APIC_TPR), 0x40);
	guest_assert_eq(read_cr(8), 4);
	xapic_write(APIC_ICR_LO, 1u << 18 | LOW);
	leave_and_return();
	guest_assert_eq(low, 0);
	guest_assert_eq(word(), LOW << 24 | 0x40);
	xapic_write(APIC_ICR_LO, 1u << 18 | HIGH);
	leave_and_return();
	guest_assert_eq(high, 1);

	*tpr = 0;
	leave_and_return(); /* what the patched code does, seeing byte 3 */
	cpu_relax();
	guest_assert_eq(low, 1);
	guest_assert_eq(in_handler, (LOW & 0xf0) << 8);
	guest_assert_eq(word(), 0);
	if (!own)
		return; /* the peer takes what is in memory, whatever else the guest has done */
	xapic_write(APIC_TPR, 0x75);
	leave_and_return();
	guest_assert_eq(xapic_read(APIC_TPR), 0x75);
	guest_assert_eq(word(), 0x75);
	write_cr(8, 3);
	leave_and_return();
	guest_assert_eq(word(), 0x30);
}

static void tpr_in_memory(void **state)
{
	struct vcpu *v = guest_new_irqchip(word_payload, on_apicvisor());

	(void)state;
	if (!on_apicvisor() && !dev_capability(KVM_CAP_VAPIC))
		skip_because("the peer virtualizes the TPR, and does not keep such a copy then");
	expect_sync(v, 1);
	assert_int_equal(set_word(v, WORD), 0);
	expect_done(v);
}

/* It takes effect in the midst of virtual-interrupt delivery, and so does its end. */
static void come_and_go_payload(uint64_t rounds)
{
	guest_handler[HIGH] = on_high;
	guest_xapic_enable();
	sti();
	for (uint64_t i = 1; i <= rounds; i++) {
		guest_sync(i);
		xapic_write(APIC_TPR, 0x70);
		xapic_write(APIC_ICR_LO, 1u << 18 | HIGH);
		leave_and_return();
		guest_assert_eq(high, i - 1);
		xapic_write(APIC_TPR, 0);
		leave_and_return();
		cpu_relax();
		guest_assert_eq(high, i);
	}
}

static void copy_comes_and_goes(void **state)
{
	const uint64_t rounds = 20;
	struct vcpu *v = guest_new_irqchip(come_and_go_payload, rounds);

	(void)state;
	need_apicvisor(); /* see word_payload */
	for (uint64_t i = 1; i <= rounds; i++) {
		expect_sync(v, i);
		assert_int_equal(set_word(v, i & 1 ? WORD : 0), 0);
	}
	expect_done(v);
}

/* --- addresses --- */

static void L2_addresses_that_are_refused(void **state)
{
	struct vcpu *v = guest_new_irqchip(access_payload, 0);
	const uint64_t ro = 0x40000000, bad[] = {
		GUEST_MMIO, VM_MEM - 3, VM_MEM, ro, ~0ull, ~0ull - 2, 1ull << 63,
	};

	(void)state;
	vm_set_slot(v->vm, 1, KVM_MEM_READONLY, ro, PAGE_SIZE, map_anon(PAGE_SIZE));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(set_word(v, bad[i]), -EINVAL);
	assert_int_equal(set_word(v, VM_MEM - 4), 0);
	assert_int_equal(set_word(v, 0), 0);
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_VAPIC_ADDR, NULL));
}

static void exits_payload(uint64_t rounds)
{
	guest_xapic_enable();
	for (uint64_t i = 1; i <= rounds; i++) {
		guest_sync(i);
		leave_and_return();
	}
}

/* The slot, or what is behind it, goes while the copy is in use: the guest does not notice. */
static void L2_memory_that_goes_away(void **state)
{
	const uint64_t gpa = 0x40000000;
	struct vcpu *v = guest_new_irqchip(exits_payload, 4);
	uint8_t *host = map_anon(2 * PAGE_SIZE);

	(void)state;
	vm_set_slot(v->vm, 1, 0, gpa, 2 * PAGE_SIZE, host);
	memset(host, 0, 2 * PAGE_SIZE);
	expect_sync(v, 1);
	assert_int_equal(set_word(v, gpa + PAGE_SIZE - 2), 0);
	expect_sync(v, 2);
	munmap(host + PAGE_SIZE, PAGE_SIZE);
	expect_sync(v, 3);
	vm_set_slot(v->vm, 1, 0, gpa, 0, host);
	expect_sync(v, 4);
	expect_done(v);
	munmap(host, PAGE_SIZE);
}

static const struct CMUnitTest tests[] = {
	STATS_TEST(accesses_are_reported),
	STATS_TEST(reporting_arguments),
	STATS_TEST(capability),
	STATS_TEST(tpr_in_memory),
	STATS_TEST(copy_comes_and_goes),
	STATS_TEST(L2_addresses_that_are_refused),
	STATS_TEST(L2_memory_that_goes_away),
};

TEST_MAIN("guest_tpr", tests)
