// SPDX-License-Identifier: GPL-2.0-only
/*
 * arch/x86/vmx/apicv.h over its whole domain: every set of features that a processor may have or a
 * parameter may leave, every mode of a LAPIC, every set of reasons against delivery; and for each
 * outcome every x2APIC MSR (invariant P1), judged by what the LAPIC itself says about it.
 */
#include "harness.h"
#include "../../arch/x86/vmx/apicv.h"

#define ALL_FEATURES (BIT(APICV_FEATURES) - 1)
#define ALL_REASONS  (BIT(APICV_REASONS) - 1)
#define NR_MODES     (APICV_MODE_X2APIC + 1)

static bool has_all(u32 features, u32 wanted)
{
	return (features & wanted) == wanted;
}

static int ones(u32 set)
{
	return __builtin_popcount(set);
}

/* --- dependencies: SDM "Checks on VM-Execution Control Fields" --- */

/* Would the processor enter a guest with these controls? */
static bool enterable(u32 f)
{
	if (!(f & APICV_TPR_SHADOW) && (f & (APICV_X2APIC | APICV_REGISTER | APICV_DELIVERY)))
		return false;
	if ((f & APICV_POSTED) && !(f & APICV_DELIVERY))
		return false;
	return !has_all(f, APICV_X2APIC | APICV_ACCESS);
}

static void a_set_loses_what_lacks_its_base_and_no_more(void **state)
{
	u32 f, i, r;

	(void)state;
	for (f = 0; f <= ALL_FEATURES; f++) {
		r = apicv_consistent(f);
		assert_int_equal(r & ~f, 0);
		assert_true(enterable(r & ~(u32)APICV_ACCESS)); /* whose rival mode excludes */
		assert_int_equal(apicv_consistent(r), r);
		for (i = 0; i < APICV_FEATURES; i++)
			assert_false((f & ~r & BIT(i)) && enterable((r | BIT(i)) & ~APICV_ACCESS));
	}
	assert_int_equal(apicv_consistent(ALL_FEATURES), ALL_FEATURES);
	assert_int_equal(apicv_consistent(ALL_FEATURES & ~(u32)APICV_TPR_SHADOW), APICV_ACCESS);
}

static void every_selection_can_be_entered(void **state)
{
	u32 available, off, f;
	int mode;

	(void)state;
	for (available = 0; available <= ALL_FEATURES; available++)
		for (mode = 0; mode < NR_MODES; mode++)
			for (off = 0; off <= ALL_REASONS; off++) {
				f = apicv_select(available, mode, off);
				assert_int_equal(f & ~available, 0);
				assert_true(enterable(f));
			}
}

/* Each reason takes delivery away, and what it takes away does not depend on which it is. */
static void reasons_stop_delivery_and_leave_the_rest(void **state)
{
	const u32 stopped = APICV_REGISTER | APICV_DELIVERY | APICV_POSTED;
	u32 available, off, f;
	int mode;

	(void)state;
	for (available = 0; available <= ALL_FEATURES; available++)
		for (mode = 0; mode < NR_MODES; mode++)
			for (off = 1; off <= ALL_REASONS; off++) {
				f = apicv_select(available, mode, 0);
				if (off & ~(u32)APICV_OFF_ALWAYS)
					f &= ~stopped;
				assert_int_equal(apicv_select(available, mode, off), f);
			}
}

/* A processor, or a user, without delivery has register virtualization all the same. */
static void registers_do_without_delivery(void **state)
{
	const u32 some = APICV_TPR_SHADOW | APICV_ACCESS | APICV_X2APIC | APICV_REGISTER;

	(void)state;
	assert_int_equal(apicv_select(some, APICV_MODE_XAPIC, APICV_OFF_HARDWARE),
			 some & ~(u32)APICV_X2APIC);
	assert_int_equal(apicv_select(some, APICV_MODE_X2APIC, APICV_OFF_PARAM),
			 some & ~(u32)APICV_ACCESS);
}

static void modes_take_what_is_theirs(void **state)
{
	(void)state;
	assert_int_equal(apicv_select(ALL_FEATURES, APICV_MODE_XAPIC, 0),
			 ALL_FEATURES & ~(u32)APICV_X2APIC);
	assert_int_equal(apicv_select(ALL_FEATURES, APICV_MODE_X2APIC, 0),
			 ALL_FEATURES & ~(u32)APICV_ACCESS);
	assert_int_equal(apicv_select(ALL_FEATURES, APICV_MODE_RELOCATED, 0),
			 ALL_FEATURES & ~(u32)(APICV_ACCESS | APICV_X2APIC));
	assert_int_equal(apicv_select(ALL_FEATURES, APICV_MODE_DISABLED, APICV_OFF_DISABLED),
			 APICV_TPR_SHADOW);
}

/* Whoever does not virtualize accesses must not come upon the page; who does must find it. */
static void the_page_is_there_for_those_who_virtualize_it(void **state)
{
	u32 available;
	int mode;

	(void)state;
	for (available = 0; available <= ALL_FEATURES; available++)
		for (mode = 0; mode < NR_MODES; mode++)
			assert_int_equal(!!(apicv_select(available, mode, 0) & APICV_ACCESS),
					 (available & APICV_ACCESS) &&
						 apicv_tolerates_page((enum apicv_mode)mode));
}

/* --- the MSR bitmap --- */

/* A LAPIC in x2APIC mode that has something in every register, or at least behind it. */
static struct machine *x2apic_machine(bool every_option)
{
	struct machine *m = machine_new(1);
	struct vlapic *apic = &m->apic[0];
	u32 offset;

	vlapic_set_features(apic, every_option, every_option);
	go_x2apic(m, 0);
	sw_enable(m, 0);
	for (offset = LAPIC_ISR; offset < LAPIC_IRR; offset += 0x10) /* ISR and TMR */
		vlapic_set_reg(apic, offset, 0x10101010u + offset);
	vlapic_resync(apic);
	wrmsr(m, 0, x2(LAPIC_ICR_LO), 5ull << 32 | LAPIC_ICR_ASSERT | 0x41); /* to nobody */
	wrmsr(m, 0, x2(LAPIC_TPR), 0x20);
	wrmsr(m, 0, x2(LAPIC_LVT_TIMER), LAPIC_LVT_MASKED | 0x42);
	wrmsr(m, 0, x2(LAPIC_TMICT), 1000000);
	return m;
}

/* Taken from the page the value is the LAPIC's own, and there is no #GP that the guest misses. */
static void check_open_read(struct machine *m, u32 msr)
{
	u32 in_page = vlapic_reg(&m->apic[0], x2apic_offset(msr));
	u64 value;

	assert_int_equal(irqchip_msr_read(&m->chip, 0, msr, &value), 0);
	assert_int_equal(value, in_page);
}

static u32 nr_open(u32 features, bool write)
{
	u32 msr, n = 0;

	for (msr = MSR_X2APIC_FIRST; msr <= MSR_X2APIC_LAST; msr++)
		n += !apicv_intercepts(features, msr, write);
	return n;
}

static void P1_nothing_is_open_without_x2apic_virtualization(void **state)
{
	u32 available, off, f;
	int mode;

	(void)state;
	for (available = 0; available <= ALL_FEATURES; available++)
		for (mode = 0; mode < NR_MODES; mode++)
			for (off = 0; off <= ALL_REASONS; off++) {
				f = apicv_select(available, mode, off);
				if (mode == APICV_MODE_X2APIC && (f & APICV_X2APIC))
					continue;
				assert_int_equal(nr_open(f, false), 0);
				assert_int_equal(nr_open(f, true), 0);
			}
}

static void P1_open_reads_are_true(void **state)
{
	struct machine *m;
	u32 available, f, msr;
	int every_option;

	(void)state;
	for (every_option = 0; every_option < 2; every_option++) {
		m = x2apic_machine(every_option);
		for (available = 0; available <= ALL_FEATURES; available++) {
			f = apicv_select(available, APICV_MODE_X2APIC, 0);
			for (msr = MSR_X2APIC_FIRST; msr <= MSR_X2APIC_LAST; msr++) {
				if (apicv_intercepts(f, msr, false))
					continue;
				/* The processor virtualizes reads other than the TPR's only so. */
				assert_true(msr == x2(LAPIC_TPR) || (f & APICV_REGISTER));
				check_open_read(m, msr);
			}
		}
		machine_free(m);
	}
}

/* A request lies in PIR until somebody folds it, and PPR is computed: only delivery does both. */
static void P1_what_only_delivery_keeps_up_to_date_exits_without_it(void **state)
{
	const u32 f = APICV_TPR_SHADOW | APICV_X2APIC | APICV_REGISTER;
	u32 offset;

	(void)state;
	assert_true(apicv_intercepts(f, x2(LAPIC_PPR), false));
	assert_false(apicv_intercepts(f | APICV_DELIVERY, x2(LAPIC_PPR), false));
	for (offset = LAPIC_IRR0; offset <= LAPIC_IRR7; offset += 0x10) {
		assert_true(apicv_intercepts(f, x2(offset), false));
		assert_false(apicv_intercepts(f | APICV_DELIVERY, x2(offset), false));
	}
}

static void P1_open_writes_are_the_three_that_are_virtualized(void **state)
{
	u32 available, f, msr;

	(void)state;
	for (available = 0; available <= ALL_FEATURES; available++) {
		f = apicv_select(available, APICV_MODE_X2APIC, 0);
		if (!(f & APICV_X2APIC))
			continue;
		for (msr = MSR_X2APIC_FIRST; msr <= MSR_X2APIC_LAST; msr++) {
			bool open = msr == x2(LAPIC_TPR) ||
				    ((f & APICV_DELIVERY) &&
				     (msr == x2(LAPIC_EOI) || msr == x2(LAPIC_SELF_IPI)));

			assert_int_equal(apicv_intercepts(f, msr, true), !open);
		}
	}
}

/* The other direction: what all features together save. */
static void reads_of_plain_registers_are_open(void **state)
{
	static const u32 exits[] = { LAPIC_LVT_CMCI, LAPIC_ICR_LO, LAPIC_TMCCT };
	const u32 f = ALL_FEATURES & ~(u32)APICV_ACCESS;
	u32 i, readable = 0;

	(void)state;
	for (i = 0; i < LAPIC_NR_REGS; i++)
		readable += !!(lapic_reg_table[i].access & LAPIC_2R);
	assert_int_equal(nr_open(f, false), readable - ARRAY_SIZE(exits));
	for (i = 0; i < ARRAY_SIZE(exits); i++)
		assert_true(apicv_intercepts(f, x2(exits[i]), false));
	assert_int_equal(nr_open(f, true), 3);
	assert_int_equal(nr_open(APICV_TPR_SHADOW | APICV_X2APIC, false), 1);
	assert_int_equal(ones(f), APICV_FEATURES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_loses_what_lacks_its_base_and_no_more),
		cmocka_unit_test(every_selection_can_be_entered),
		cmocka_unit_test(reasons_stop_delivery_and_leave_the_rest),
		cmocka_unit_test(registers_do_without_delivery),
		cmocka_unit_test(modes_take_what_is_theirs),
		cmocka_unit_test(the_page_is_there_for_those_who_virtualize_it),
		cmocka_unit_test(P1_nothing_is_open_without_x2apic_virtualization),
		cmocka_unit_test(P1_open_reads_are_true),
		cmocka_unit_test(P1_what_only_delivery_keeps_up_to_date_exits_without_it),
		cmocka_unit_test(P1_open_writes_are_the_three_that_are_virtualized),
		cmocka_unit_test(reads_of_plain_registers_are_open),
	};

	return cmocka_run_group_tests_name("apicv", tests, NULL, NULL);
}
