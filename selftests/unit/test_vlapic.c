// SPDX-License-Identifier: GPL-2.0-only
/*
 * One LAPIC as its guest and its host see it: registers in both modes, the mode switches,
 * priorities, acceptance, errors and latches. Expected rights and masks are
 * written out here by hand from the SDM, not taken from the core's table.
 */
#include "harness.h"

/* --- power-on and modes --- */

static void power_on_state(void **state)
{
	struct machine *m = machine_new_ids(2, 5);
	u32 cpu, offset;

	(void)state;
	for (cpu = 0; cpu < 2; cpu++) {
		assert_int_equal(m->apic[cpu].base_msr, 0xfee00800 | (cpu ? 0 : LAPIC_BASE_BSP));
		assert_int_equal(rd(m, cpu, LAPIC_ID), (5 + cpu) << 24);
		assert_int_equal(rd(m, cpu, LAPIC_VERSION), 0x00050014);
		assert_int_equal(rd(m, cpu, LAPIC_SVR), 0xff);
		assert_int_equal(rd(m, cpu, LAPIC_DFR), 0xffffffff);
		assert_int_equal(rd(m, cpu, LAPIC_LVT_LINT0), cpu ? 0x10000 : 0x700);
		for (offset = LAPIC_LVT_TIMER; offset <= LAPIC_LVT_ERROR; offset += 0x10) {
			if (offset != LAPIC_LVT_LINT0)
				assert_int_equal(rd(m, cpu, offset), 0x10000);
		}
		for (offset = LAPIC_ISR0; offset <= LAPIC_ESR; offset += 0x10)
			assert_int_equal(rd(m, cpu, offset), 0);
		assert_int_equal(rd(m, cpu, LAPIC_TPR), 0);
		assert_int_equal(rd(m, cpu, LAPIC_TMICT), 0);
		assert_int_equal(rd(m, cpu, LAPIC_TDCR), 0);
		assert_true(vlapic_hw_enabled(&m->apic[cpu]));
		assert_false(vlapic_sw_enabled(&m->apic[cpu]));
		assert_false(vlapic_x2apic(&m->apic[cpu]));
	}
	machine_free(m);
}

/* SDM "x2APIC State Transitions": every pair of modes, for the guest and for the host. */
static void apic_base_state_machine(void **state)
{
	static const u64 mode[] = { 0, LAPIC_BASE_ENABLE, LAPIC_BASE_MODE, LAPIC_BASE_X2APIC };
	static const bool legal[3][4] = {
		/* to: off, xAPIC, x2APIC, invalid */
		{ true, true, false, false }, /* from off */
		{ true, true, true, false },  /* from xAPIC */
		{ true, false, true, false }, /* from x2APIC */
	};
	u32 from, to;

	(void)state;
	for (from = 0; from < 3; from++) {
		for (to = 0; to < 4; to++) {
			struct machine *m = machine_new(1);
			u64 value = LAPIC_DEFAULT_BASE | LAPIC_BASE_BSP | mode[to];

			irqchip_msr_write(&m->chip, 0, MSR_LAPIC_BASE,
					  LAPIC_DEFAULT_BASE | LAPIC_BASE_BSP | mode[from], true);
			assert_int_equal(wrmsr_faults(m, 0, MSR_LAPIC_BASE, value),
					 !legal[from][to]);
			if (legal[from][to])
				assert_int_equal(rdmsr(m, 0, MSR_LAPIC_BASE), value);
			assert_int_equal(irqchip_msr_write(&m->chip, 0, MSR_LAPIC_BASE, value,
							   true),
					 to == 3);
			machine_free(m);
		}
	}
}

static void apic_base_reserved_bits(void **state)
{
	struct machine *m = machine_new(1);
	u64 base = m->apic[0].base_msr;
	u32 bit;

	(void)state;
	m->apic[0].maxphyaddr = 36;
	for (bit = 0; bit < 64; bit++) {
		bool reserved = bit < 8 || bit == 9 || bit >= 36;

		assert_int_equal(wrmsr_faults(m, 0, MSR_LAPIC_BASE, base | 1ULL << bit), reserved);
		if (bit == 10) /* that was a switch to x2APIC mode: go back by way of "off" */
			wrmsr(m, 0, MSR_LAPIC_BASE, LAPIC_DEFAULT_BASE);
		wrmsr(m, 0, MSR_LAPIC_BASE, base);
	}
	m->apic[0].has_x2apic = false;
	assert_int_equal(wrmsr_faults(m, 0, MSR_LAPIC_BASE, base | LAPIC_BASE_X2APIC), 1);
	wrmsr(m, 0, MSR_LAPIC_BASE, 0x123456000 | LAPIC_BASE_ENABLE);
	assert_int_equal(vlapic_base_gpa(&m->apic[0]), 0x123456000);
	machine_free(m);
}

/* Invariant L10: ID and LDR are right after each switch. */
static void L10_id_and_ldr_follow_the_mode(void **state)
{
	struct machine *m = machine_new_ids(1, 0x123);

	(void)state;
	wr(m, 0, LAPIC_LDR, 0x42000000);
	assert_int_equal(rd(m, 0, LAPIC_ID), 0x23000000);
	go_x2apic(m, 0);
	assert_int_equal(rdmsr(m, 0, x2(LAPIC_ID)), 0x123);
	assert_int_equal(rdmsr(m, 0, x2(LAPIC_LDR)), 0x12 << 16 | 1 << 3);
	/* Off: reset, but the ID stays. */
	wrmsr(m, 0, MSR_LAPIC_BASE, LAPIC_DEFAULT_BASE | LAPIC_BASE_BSP);
	wrmsr(m, 0, MSR_LAPIC_BASE, LAPIC_DEFAULT_BASE | LAPIC_BASE_BSP | LAPIC_BASE_ENABLE);
	assert_int_equal(rd(m, 0, LAPIC_ID), 0x23000000);
	assert_int_equal(rd(m, 0, LAPIC_LDR), 0);
	machine_free(m);
}

static void disabling_resets_for_the_guest_only(void **state)
{
	struct machine *m = enabled_machine();
	u64 base = m->apic[0].base_msr;

	(void)state;
	wr(m, 0, LAPIC_TPR, 0x50);
	accept(m, 0, 0x80, false);
	irqchip_msr_write(&m->chip, 0, MSR_LAPIC_BASE, base & ~LAPIC_BASE_ENABLE, true);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_int_equal(accept(m, 0, 0x81, false), -1);
	irqchip_msr_write(&m->chip, 0, MSR_LAPIC_BASE, base, true);
	assert_int_equal(rd(m, 0, LAPIC_TPR), 0x50);
	assert_int_equal(irqchip_peek(&m->chip, 0), 0x80);

	wrmsr(m, 0, MSR_LAPIC_BASE, base & ~LAPIC_BASE_ENABLE);
	wrmsr(m, 0, MSR_LAPIC_BASE, base);
	assert_int_equal(rd(m, 0, LAPIC_TPR), 0);
	assert_int_equal(rd(m, 0, LAPIC_SVR), 0xff);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	machine_free(m);
}

/* --- register rights --- */

struct row {
	u32 offset;
	const char *x2; /* "r", "w", "rw" or "" in x2APIC mode */
	const char *x;  /* in xAPIC mode; NULL: no such register, ESR */
	u64 x2_mask;    /* what WRMSR takes without #GP */
	u32 x_mask;     /* what the page keeps */
	u32 x_ones;     /* what always reads as 1 */
};

static const struct row rows[] = {
	{ 0x020, "r", "r", 0, 0, 0 },
	{ 0x030, "r", "r", 0, 0, 0 },
	{ 0x080, "rw", "rw", 0xff, 0xff, 0 },
	{ 0x090, "", "r", 0, 0, 0 },
	{ 0x0a0, "r", "r", 0, 0, 0 },
	{ 0x0b0, "w", "w", 0, 0, 0 },
	{ 0x0c0, "", "r", 0, 0, 0 },
	{ 0x0d0, "r", "rw", 0, 0xff000000, 0 },
	{ 0x0e0, "", "rw", 0, 0xf0000000, 0x0fffffff },
	{ 0x0f0, "rw", "rw", 0x3ff, 0x3ff, 0 },
	{ 0x280, "rw", "w", 0, 0, 0 },
	{ 0x300, "rw", "rw", 0xffffffff000cdfff, 0xffffefff, 0 },
	{ 0x310, "", "rw", 0, 0xff000000, 0 },
	{ 0x320, "rw", "rw", 0x710ff, 0x700ff, 0 },
	{ 0x330, "rw", "rw", 0x117ff, 0x107ff, 0 },
	{ 0x340, "rw", "rw", 0x117ff, 0x107ff, 0 },
	{ 0x350, "rw", "rw", 0x1f7ff, 0x1a7ff, 0 },
	{ 0x360, "rw", "rw", 0x1f7ff, 0x1a7ff, 0 },
	{ 0x370, "rw", "rw", 0x110ff, 0x100ff, 0 },
	{ 0x380, "rw", "rw", 0xffffffff, 0xffffffff, 0 },
	{ 0x390, "r", "r", 0, 0, 0 },
	{ 0x3e0, "rw", "rw", 0xb, 0xb, 0 },
	{ 0x3f0, "w", NULL, 0xff, 0, 0 },
};

static struct row row_of(u32 offset)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].offset == offset)
			return rows[i];
	}
	if (offset >= 0x100 && offset < 0x280)
		return (struct row){ offset, "r", "r", 0, 0, 0 };
	return (struct row){ offset, "", NULL, 0, 0, 0 };
}

/* Invariant L10: the #GP matrix over all 256 MSRs and all 64 bits. */
static void L10_x2apic_gp_matrix(void **state)
{
	u32 msr, bit;

	(void)state;
	for (msr = 0x800; msr < 0x900; msr++) {
		struct machine *m = machine_new(1);
		struct row row = row_of((msr - 0x800) << 4);
		bool writable = strchr(row.x2, 'w');

		assert_int_equal(rdmsr_faults(m, 0, msr), 1); /* not in xAPIC mode */
		assert_int_equal(wrmsr_faults(m, 0, msr, 0), 1);
		go_x2apic(m, 0);
		sw_enable(m, 0);
		assert_int_equal(rdmsr_faults(m, 0, msr), !strchr(row.x2, 'r'));
		assert_int_equal(wrmsr_faults(m, 0, msr, 0), !writable);
		for (bit = 0; bit < 64; bit++) {
			bool ok = writable && (row.x2_mask >> bit & 1);

			if (wrmsr_faults(m, 0, msr, 1ULL << bit) != !ok)
				fail_msg("MSR %#x bit %u", msr, bit);
		}
		machine_free(m);
	}
}

static void xapic_rights_and_masks(void **state)
{
	u32 offset;

	(void)state;
	for (offset = 0; offset < 0x1000; offset += 0x10) {
		struct machine *m = enabled_machine();
		struct row row = row_of(offset);
		u32 before = rd(m, 0, offset), after;

		wr(m, 0, offset, 0xffffffff);
		after = rd(m, 0, offset);
		if (row.x && !strcmp(row.x, "rw")) {
			if (after != (row.x_mask | row.x_ones))
				fail_msg("offset %#x: %#x", offset, after);
		} else if (offset != LAPIC_ESR) {
			assert_int_equal(after, offset == LAPIC_EOI ? 0 : before);
		}
		/* ESR bit 7 for each access to a place without register, and only for those. */
		wr(m, 0, LAPIC_ESR, 0);
		assert_int_equal(!!(rd(m, 0, LAPIC_ESR) & 0x80), !row.x);
		machine_free(m);
	}
}

/* Invariant L10: an APIC-write exit comes after the instruction: nothing can be refused. */
static void L10_trap_like_writes_never_fail(void **state)
{
	struct machine *m = enabled_machine();
	struct vlapic_effect fx = { 0 };
	u32 offset, i;

	(void)state;
	for (i = 0; i < 2; i++) {
		for (offset = 0; offset < 0x1000; offset += 0x10) {
			u32 id = vlapic_reg(&m->apic[0], LAPIC_ID);

			vlapic_write(&m->apic[0], offset, 0xffffffff, m->now, &fx);
			vlapic_write(&m->apic[0], offset, 0, m->now, &fx);
			assert_int_equal(vlapic_reg(&m->apic[0], LAPIC_ID), id);
			assert_int_equal(vlapic_reg(&m->apic[0], LAPIC_VERSION), 0x00050014);
		}
		if (!i)
			go_x2apic(m, 0);
	}
	assert_int_equal(vlapic_reg(&m->apic[0], LAPIC_IRR0) & 0xffff, 0);
	machine_free(m);
}

static void odd_mmio_accesses(void **state)
{
	struct machine *m = enabled_machine();
	u64 data;

	(void)state;
	wr(m, 0, LAPIC_TMICT, 0x12345678);
	data = 0;
	irqchip_lapic_read(&m->chip, 0, LAPIC_TMICT + 1, 1, &data);
	assert_int_equal(data, 0x56);
	data = 0;
	irqchip_lapic_read(&m->chip, 0, LAPIC_TMICT + 2, 2, &data);
	assert_int_equal(data, 0x1234);
	data = ~0ULL;
	irqchip_lapic_read(&m->chip, 0, LAPIC_TMICT + 2, 4, &data);
	assert_int_equal((u32)data, 0);
	irqchip_lapic_read(&m->chip, 0, LAPIC_TMICT, 8, &data);
	assert_int_equal(data, 0);
	irqchip_lapic_read(&m->chip, 0, LAPIC_ESR_LATCH, 4, &data);
	assert_int_equal((u32)data, 0);
	/* Writes of another width or place: ignored. */
	data = 0x11;
	irqchip_lapic_write(&m->chip, 0, LAPIC_TPR, 1, &data);
	irqchip_lapic_write(&m->chip, 0, LAPIC_TPR + 4, 4, &data);
	irqchip_lapic_write(&m->chip, 0, LAPIC_TPR, 8, &data);
	assert_int_equal(rd(m, 0, LAPIC_TPR), 0);
	/* Invariant L2: the end of the page. */
	irqchip_lapic_read(&m->chip, 0, 0xfff, 1, &data);
	irqchip_lapic_read(&m->chip, 0, 0xffc, 8, &data);
	irqchip_lapic_write(&m->chip, 0, 0xfff, 8, &data);
	machine_free(m);
}

/* --- software disable, features --- */

static void software_disable_masks_the_lvt(void **state)
{
	struct machine *m = enabled_machine();
	u32 offset;

	(void)state;
	vlapic_set_features(&m->apic[0], false, true);
	for (offset = LAPIC_LVT_TIMER; offset <= LAPIC_LVT_ERROR; offset += 0x10)
		wr(m, 0, offset, 0x40);
	wr(m, 0, LAPIC_LVT_CMCI, 0x40);
	accept(m, 0, 0x80, false);

	wr(m, 0, LAPIC_SVR, 0xff);
	for (offset = LAPIC_LVT_TIMER; offset <= LAPIC_LVT_ERROR; offset += 0x10) {
		assert_int_equal(rd(m, 0, offset), 0x10040);
		wr(m, 0, offset, 0x41); /* the mask can't be cleared now */
		assert_int_equal(rd(m, 0, offset), 0x10041);
	}
	assert_int_equal(rd(m, 0, LAPIC_LVT_CMCI), 0x10040);
	/* Pending interrupts are held; new ones are not taken. */
	assert_int_equal(accept(m, 0, 0x90, false), -1);
	assert_int_equal(irqchip_peek(&m->chip, 0), 0x80);

	sw_enable(m, 0);
	assert_int_equal(rd(m, 0, LAPIC_LVT_TIMER),
			 0x10041); /* masks stay until software clears them */
	assert_int_equal(accept(m, 0, 0x90, false), 1);
	machine_free(m);
}

static void optional_registers(void **state)
{
	struct machine *m = enabled_machine();

	(void)state;
	wr(m, 0, LAPIC_LVT_CMCI, 0x40);
	assert_int_equal(rd(m, 0, LAPIC_LVT_CMCI), 0);
	wr(m, 0, LAPIC_SVR, 0x11ff);
	assert_int_equal(rd(m, 0, LAPIC_SVR), 0x1ff);

	vlapic_set_features(&m->apic[0], true, true);
	assert_int_equal(rd(m, 0, LAPIC_VERSION), 0x01060014);
	wr(m, 0, LAPIC_LVT_CMCI, 0x40);
	assert_int_equal(rd(m, 0, LAPIC_LVT_CMCI), 0x40);
	wr(m, 0, LAPIC_SVR, 0x11ff);
	assert_int_equal(rd(m, 0, LAPIC_SVR), 0x11ff);
	go_x2apic(m, 0);
	wrmsr(m, 0, x2(LAPIC_LVT_CMCI), 0x10041);
	wrmsr(m, 0, x2(LAPIC_SVR), 0x11ff);
	machine_free(m);
}

/* --- priorities --- */

/* Invariant L7: PPR is computed from TPR and ISR, whatever the page says. All TPRs, all vectors. */
static void L7_ppr_is_computed_never_trusted(void **state)
{
	struct machine *m = enabled_machine();
	u32 tpr, v;

	(void)state;
	for (v = 15; v < 256; v++) { /* 15 stands for nothing in service */
		if (v > 15) {
			accept(m, 0, (u8)v, false);
			assert_int_equal(irqchip_ack(&m->chip, 0), v);
		}
		for (tpr = 0; tpr < 256; tpr++) {
			u32 isr = v > 15 ? v & 0xf0 : 0;
			u32 ppr = (tpr & 0xf0) >= isr ? tpr : isr;

			wr(m, 0, LAPIC_TPR, tpr);
			assert_int_equal(rd(m, 0, LAPIC_PPR), ppr);
			vlapic_set_reg(&m->apic[0], LAPIC_PPR, 0xff);
			assert_int_equal(rd(m, 0, LAPIC_PPR), ppr);
			vlapic_set_reg(&m->apic[0], LAPIC_PPR, 0);
		}
		wr(m, 0, LAPIC_TPR, 0);
		wr_eoi(m, 0);
	}
	machine_free(m);
}

static void tpr_gates_by_class(void **state)
{
	struct machine *m = enabled_machine();
	u32 v, tpr;

	(void)state;
	for (v = 16; v < 256; v++) {
		accept(m, 0, (u8)v, false);
		for (tpr = 0; tpr < 256; tpr += 5) {
			wr(m, 0, LAPIC_TPR, tpr);
			assert_int_equal(irqchip_peek(&m->chip, 0),
					 v >> 4 > tpr >> 4 ? (int)v : -1);
		}
		wr(m, 0, LAPIC_TPR, 0);
		assert_int_equal(irqchip_ack(&m->chip, 0), v >= 16 ? (int)v : -1);
		wr_eoi(m, 0);
	}
	machine_free(m);
}

static void cr8_is_the_tpr_class(void **state)
{
	struct machine *m = enabled_machine();

	(void)state;
	irqchip_set_cr8(&m->chip, 0, 9);
	assert_int_equal(rd(m, 0, LAPIC_TPR), 0x90);
	wr(m, 0, LAPIC_TPR, 0x37);
	assert_int_equal(irqchip_get_cr8(&m->chip, 0), 3);
	/* Lowering it tells the vCPU that something can be taken; raising it doesn't. */
	irqchip_set_cr8(&m->chip, 0, 15);
	accept(m, 0, 0x80, false);
	m->notified[0] = 0;
	irqchip_set_cr8(&m->chip, 0, 8);
	assert_int_equal(m->notified[0], 0);
	irqchip_set_cr8(&m->chip, 0, 7);
	assert_int_equal(m->notified[0], 1);
	machine_free(m);
}

static void nesting_and_eoi_order(void **state)
{
	static const u8 nest[] = { 0x31, 0x45, 0x62, 0xa0, 0xf3 };
	struct machine *m = enabled_machine();
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_int_equal(accept(m, 0, nest[i], false), 1);
		assert_int_equal(irqchip_ack(&m->chip, 0), nest[i]);
		assert_true(has(m, 0, LAPIC_ISR, nest[i]));
		assert_false(has(m, 0, LAPIC_IRR, nest[i]));
		/* The same class has to wait, and so does the same vector, which can pend again. */
		assert_int_equal(accept(m, 0, nest[i], false), 1);
		assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	}
	for (i = 4; i >= 0; i--) {
		assert_int_equal(vlapic_highest_isr(&m->apic[0]), nest[i]);
		wr_eoi(m, 0);
		assert_false(has(m, 0, LAPIC_ISR, nest[i]));
		assert_int_equal(irqchip_ack(&m->chip, 0), nest[i]);
		wr_eoi(m, 0);
	}
	wr_eoi(m, 0); /* nothing in service: nothing happens */
	assert_int_equal(vlapic_highest_isr(&m->apic[0]), -1);
	assert_int_equal(rd(m, 0, LAPIC_PPR), 0);
	machine_free(m);
}

static void tmr_follows_the_last_accepted(void **state)
{
	struct machine *m = enabled_machine();

	(void)state;
	accept(m, 0, 0x40, true);
	assert_true(has(m, 0, LAPIC_TMR, 0x40));
	accept(m, 0, 0x40, false);
	assert_false(has(m, 0, LAPIC_TMR, 0x40));
	accept(m, 0, 0x40, true);
	irqchip_ack(&m->chip, 0);
	assert_true(has(m, 0, LAPIC_TMR, 0x40));
	machine_free(m);
}

static void coalescing_is_counted(void **state)
{
	struct machine *m = enabled_machine();

	(void)state;
	assert_int_equal(accept(m, 0, 0x40, false), 1);
	assert_int_equal(accept(m, 0, 0x40, false), 0);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x40);
	assert_int_equal(accept(m, 0, 0x40, false), 1);
	assert_int_equal(env_counter_get(&m->apic[0].delivered[IRQ_PATH_MSI]), 2);
	assert_int_equal(env_counter_get(&m->apic[0].coalesced), 1);
	machine_free(m);
}

/* --- errors --- */

static u32 read_esr(struct machine *m)
{
	wr(m, 0, LAPIC_ESR, 0);
	return rd(m, 0, LAPIC_ESR);
}

/* Invariant L7: vectors 0 .. 15 are refused with the ESR's bit, on each way in. */
static void L7_low_vectors_are_refused(void **state)
{
	struct machine *m = enabled_machine();
	u32 v;

	(void)state;
	for (v = 0; v < 16; v++) {
		assert_int_equal(accept(m, 0, (u8)v, false), -1);
		assert_int_equal(read_esr(m), LAPIC_ESR_RECEIVE_ILLEGAL);
		ipi(m, 0, 0, v);
		assert_int_equal(read_esr(m), LAPIC_ESR_SEND_ILLEGAL);
		ipi(m, 0, 0, IRQ_DM_LOWEST << 8 | v);
		assert_int_equal(read_esr(m), LAPIC_ESR_SEND_ILLEGAL);
		ipi(m, 0, 0, IRQ_DM_NMI << 8 | v); /* has no vector */
		assert_int_equal(read_esr(m), 0);
	}
	go_x2apic(m, 0);
	wrmsr(m, 0, x2(LAPIC_SELF_IPI), 15);
	wrmsr(m, 0, x2(LAPIC_ESR), 0);
	assert_int_equal(rdmsr(m, 0, x2(LAPIC_ESR)), LAPIC_ESR_SEND_ILLEGAL);
	assert_int_equal(vlapic_reg(&m->apic[0], LAPIC_IRR0), 0);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	machine_free(m);
}

static void esr_latches_on_write(void **state)
{
	struct machine *m = enabled_machine();

	(void)state;
	rd(m, 0, 0x000); /* no such register */
	accept(m, 0, 3, false);
	assert_int_equal(rd(m, 0, LAPIC_ESR), 0); /* not yet written */
	assert_int_equal(read_esr(m), LAPIC_ESR_ILLEGAL_REG | LAPIC_ESR_RECEIVE_ILLEGAL);
	assert_int_equal(rd(m, 0, LAPIC_ESR), LAPIC_ESR_ILLEGAL_REG | LAPIC_ESR_RECEIVE_ILLEGAL);
	assert_int_equal(read_esr(m), 0);
	machine_free(m);
}

static void error_interrupt(void **state)
{
	struct machine *m = enabled_machine();

	(void)state;
	wr(m, 0, LAPIC_LVT_ERROR, 0xfe);
	rd(m, 0, 0x000);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0xfe);
	wr_eoi(m, 0);
	assert_int_equal(env_counter_get(&m->apic[0].delivered[IRQ_PATH_LVT]), 1);
	/* An illegal vector in the error entry itself ends there. */
	wr(m, 0, LAPIC_LVT_ERROR, 0x0e);
	rd(m, 0, 0x000);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	assert_int_equal(read_esr(m), LAPIC_ESR_ILLEGAL_REG | LAPIC_ESR_RECEIVE_ILLEGAL);
	machine_free(m);
}

/* --- ICR --- */

/* QUIRK(icr_readback): what was written reads back, reserved bits included, except BUSY. */
static void icr_reads_back(void **state)
{
	static const u64 values[] = { 0,
				      0x40040,
				      0x00000fff000c4fe0,
				      0xa5a5a5a5a5a5a4a5,
				      0x5a5a5a5a5a5a585a,
				      0xfffffffffffff8ff,
				      0x1000 };
	struct machine *m = enabled_machine();
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(values); i++) {
		wr(m, 0, LAPIC_ICR_HI, values[i] >> 32);
		wr(m, 0, LAPIC_ICR_LO, (u32)values[i]);
		assert_int_equal(rd(m, 0, LAPIC_ICR_LO), (u32)values[i] & ~0x1000u);
		assert_int_equal(rd(m, 0, LAPIC_ICR_HI), values[i] >> 32 & 0xff000000);
	}
	go_x2apic(m, 0);
	wrmsr(m, 0, x2(LAPIC_ICR_LO), 0x12345678000c51e0);
	assert_int_equal(rdmsr(m, 0, x2(LAPIC_ICR_LO)), 0x12345678000c41e0);
	machine_free(m);
}

static void self_ipi_register(void **state)
{
	struct machine *m = enabled_machine();

	(void)state;
	go_x2apic(m, 0);
	wrmsr(m, 0, x2(LAPIC_SELF_IPI), 0x77);
	assert_int_equal(irqchip_ack(&m->chip, 0), 0x77);
	assert_int_equal(env_counter_get(&m->apic[0].delivered[IRQ_PATH_IPI]), 1);
	machine_free(m);
}

/* --- latched events, ExtINT --- */

static int event(struct machine *m, u8 delivery, u8 vector, bool asserted)
{
	struct irq_msg msg = { .delivery = delivery, .vector = vector, .assert = asserted };
	enum irq_notify how;
	int r = vlapic_accept(&m->apic[0], &msg, &how);

	assert_int_equal(how, r > 0 ? NOTIFY_KICK : NOTIFY_NONE);
	return r;
}

/* Invariant L9: INIT and SIPI are latched, INIT first, whatever else the target does meanwhile. */
static void L9_init_and_sipi_latch(void **state)
{
	struct machine *m = machine_new(1); /* software-disabled: events get through all the same */
	u8 page = 0;

	(void)state;
	assert_false(vlapic_has_events(&m->apic[0]));
	assert_int_equal(event(m, IRQ_DM_INIT, 0, true), 1);
	assert_int_equal(event(m, IRQ_DM_STARTUP, 0x12, true), 1);
	assert_int_equal(event(m, IRQ_DM_STARTUP, 0x34, true), 1);
	assert_true(vlapic_has_events(&m->apic[0]));
	assert_true(vlapic_take_init(&m->apic[0]));
	assert_false(vlapic_take_init(&m->apic[0]));
	vlapic_reset(&m->apic[0],
		     true); /* INIT in the target's context keeps the SIPI that followed */
	assert_true(vlapic_take_sipi(&m->apic[0], &page));
	assert_int_equal(page, 0x34);
	assert_false(vlapic_take_sipi(&m->apic[0], &page));
	assert_false(vlapic_has_events(&m->apic[0]));

	/* A SIPI from before the INIT dies with it. */
	event(m, IRQ_DM_STARTUP, 0x56, true);
	event(m, IRQ_DM_INIT, 0, true);
	assert_true(vlapic_take_init(&m->apic[0]));
	assert_false(vlapic_take_sipi(&m->apic[0], &page));
	/* De-assertion: nothing. */
	assert_int_equal(event(m, IRQ_DM_INIT, 0, false), -1);
	assert_false(vlapic_has_events(&m->apic[0]));
	machine_free(m);
}

/* QUIRK(remote_read_wakes): latched until the vCPU has left HLT, or was reset. */
static void remote_read_wakes(void **state)
{
	struct machine *m = machine_new(2);

	(void)state;
	assert_false(vlapic_wake_requested(&m->apic[1]));
	ipi(m, 0, 1, IRQ_DM_REMOTE_READ << 8 | 0x30);
	assert_true(vlapic_wake_requested(&m->apic[1]));
	assert_int_equal(m->notified[1], 1);
	assert_int_equal(irqchip_peek(&m->chip, 1), -1); /* no interrupt */
	assert_int_equal(rd(m, 0, LAPIC_RRD), 0);
	assert_int_equal(rd(m, 0, LAPIC_ICR_LO), IRQ_DM_REMOTE_READ << 8 | 0x30);
	vlapic_take_wake(&m->apic[1]);
	assert_false(vlapic_wake_requested(&m->apic[1]));
	ipi(m, 0, 1, IRQ_DM_REMOTE_READ << 8);
	vlapic_reset(&m->apic[1], true);
	assert_false(vlapic_wake_requested(&m->apic[1]));
	machine_free(m);
}

static void init_keeps_base_and_id(void **state)
{
	struct machine *m = machine_new_ids(1, 7);

	(void)state;
	wrmsr(m, 0, MSR_LAPIC_BASE, 0xfed00000 | LAPIC_BASE_ENABLE);
	go_x2apic(m, 0);
	sw_enable(m, 0);
	accept(m, 0, 0x80, false);
	vlapic_reset(&m->apic[0], true);
	assert_int_equal(m->apic[0].base_msr, 0xfed00000 | LAPIC_BASE_MODE);
	assert_int_equal(rdmsr(m, 0, x2(LAPIC_ID)), 7);
	assert_int_equal(rdmsr(m, 0, x2(LAPIC_LDR)), 0x80);
	assert_int_equal(rdmsr(m, 0, x2(LAPIC_SVR)), 0xff);
	assert_int_equal(irqchip_peek(&m->chip, 0), -1);
	vlapic_reset(&m->apic[0], false);
	assert_int_equal(m->apic[0].base_msr, LAPIC_DEFAULT_BASE | LAPIC_BASE_ENABLE);
	machine_free(m);
}

static void extint_acceptance(void **state)
{
	struct machine *m = machine_new(2);

	(void)state;
	assert_true(vlapic_accepts_extint(&m->apic[0]));  /* BSP, as firmware leaves it */
	assert_false(vlapic_accepts_extint(&m->apic[1])); /* masked */
	sw_enable(m, 0);
	wr(m, 0, LAPIC_LVT_LINT0, 0x10700);
	assert_false(vlapic_accepts_extint(&m->apic[0]));
	wr(m, 0, LAPIC_LVT_LINT0, 0x00030);
	assert_false(vlapic_accepts_extint(&m->apic[0]));
	wr(m, 0, LAPIC_LVT_LINT0, 0x00700);
	assert_true(vlapic_accepts_extint(&m->apic[0]));
	wrmsr(m, 1, MSR_LAPIC_BASE, LAPIC_DEFAULT_BASE);
	assert_true(vlapic_accepts_extint(&m->apic[1])); /* INTR goes straight to the processor */
	machine_free(m);
}

/* SDM "Local APIC State After It Has Been Software Disabled": all LVT entries are masked. */
static void disabling_twice_masks_lint0(void **state)
{
	struct machine *m = machine_new(1);

	(void)state;
	assert_int_equal(rd(m, 0, LAPIC_LVT_LINT0), 0x700);
	wr(m, 0, LAPIC_SVR, 0xff);
	assert_int_equal(rd(m, 0, LAPIC_LVT_LINT0), 0x10700);
	machine_free(m);
}

/* SDM "State Changes From xAPIC Mode to x2APIC Mode": not preserved, so nothing stale is read. */
static void icr_high_ends_with_xapic_mode(void **state)
{
	struct machine *m = enabled_machine();

	(void)state;
	wr(m, 0, LAPIC_ICR_HI, 0x7f000000);
	go_x2apic(m, 0);
	assert_int_equal(rdmsr(m, 0, x2(LAPIC_ICR_LO)), 0);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_on_state),
		cmocka_unit_test(apic_base_state_machine),
		cmocka_unit_test(apic_base_reserved_bits),
		cmocka_unit_test(L10_id_and_ldr_follow_the_mode),
		cmocka_unit_test(disabling_resets_for_the_guest_only),
		cmocka_unit_test(L10_x2apic_gp_matrix),
		cmocka_unit_test(xapic_rights_and_masks),
		cmocka_unit_test(L10_trap_like_writes_never_fail),
		cmocka_unit_test(odd_mmio_accesses),
		cmocka_unit_test(software_disable_masks_the_lvt),
		cmocka_unit_test(optional_registers),
		cmocka_unit_test(L7_ppr_is_computed_never_trusted),
		cmocka_unit_test(tpr_gates_by_class),
		cmocka_unit_test(cr8_is_the_tpr_class),
		cmocka_unit_test(nesting_and_eoi_order),
		cmocka_unit_test(tmr_follows_the_last_accepted),
		cmocka_unit_test(coalescing_is_counted),
		cmocka_unit_test(L7_low_vectors_are_refused),
		cmocka_unit_test(esr_latches_on_write),
		cmocka_unit_test(error_interrupt),
		cmocka_unit_test(icr_reads_back),
		cmocka_unit_test(self_ipi_register),
		cmocka_unit_test(L9_init_and_sipi_latch),
		cmocka_unit_test(remote_read_wakes),
		cmocka_unit_test(init_keeps_base_and_id),
		cmocka_unit_test(extint_acceptance),
		cmocka_unit_test(disabling_twice_masks_lint0),
		cmocka_unit_test(icr_high_ends_with_xapic_mode),
	};

	return cmocka_run_group_tests_name("vlapic", tests, NULL, NULL);
}
