// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's rules by real instructions: every x2APIC MSR with every bit, the state machine
 * of IA32_APIC_BASE, accesses of the xAPIC page that no driver makes, TPR and CR8 and PPR, nesting,
 * software disable, ESR. test_apic.c has what drivers do. Source: SDM "Advanced Programmable
 * Interrupt Controller (APIC)"; the expectations are written from there, not from the core's table.
 */
#include "kvmtest.h"

#define GP         13
#define LVT_STATUS (1UL << 12)
#define LVT_REMOTE (1UL << 14)

static volatile uint32_t msr_nr;
static volatile uint64_t msr_value;

static void do_rdmsr(void)
{
	msr_value = rdmsr(msr_nr);
}

static void do_wrmsr(void)
{
	wrmsr(msr_nr, msr_value);
}

static bool read_faults(uint32_t msr)
{
	msr_nr = msr;
	return guest_catch(do_rdmsr, NULL) == GP;
}

static bool write_faults(uint32_t msr, uint64_t value)
{
	msr_nr = msr;
	msr_value = value;
	return guest_catch(do_wrmsr, NULL) == GP;
}

/* --- x2APIC: SDM "x2APIC Register Address Space", "x2APIC Register Availability" (L10) --- */

/* May be read; may be written, with these bits; bits on which processors differ. */
struct x2apic_rule {
	uint8_t first, last;
	bool readable, writable;
	uint64_t bits, unsaid;
};

#define LVT_BITS    (0xffUL | 1UL << 16)
#define LVT_DM_BITS (LVT_BITS | 7UL << 8)
#define LINT_BITS   (LVT_DM_BITS | 1UL << 13 | 1UL << 15)
#define ICR_BITS    (0xfffUL | 3UL << 14 | 3UL << 18 | 0xffffffffUL << 32)

static const struct x2apic_rule x2apic_rules[] = {
	{ 0x02, 0x03, true, false },                                    /* ID, version */
	{ 0x08, 0x08, true, true, 0xff },                               /* TPR */
	{ 0x0a, 0x0a, true, false },                                    /* PPR */
	{ 0x0b, 0x0b, false, true, 0 },                                 /* EOI */
	{ 0x0d, 0x0d, true, false },                                    /* LDR */
	{ 0x0f, 0x0f, true, true, 0x1ff, 1UL << 9 | 1UL << 12 },        /* SVR */
	{ 0x10, 0x27, true, false },                                    /* ISR, TMR, IRR */
	{ 0x28, 0x28, true, true, 0 },                                  /* ESR */
	{ 0x30, 0x30, true, true, ICR_BITS, 1UL << 12 },                /* ICR */
	{ 0x32, 0x32, true, true, LVT_BITS | 3UL << 17, LVT_STATUS },   /* timer */
	{ 0x33, 0x34, true, true, LVT_DM_BITS, LVT_STATUS },            /* thermal, PMI */
	{ 0x35, 0x36, true, true, LINT_BITS, LVT_STATUS | LVT_REMOTE }, /* LINT0, LINT1 */
	{ 0x37, 0x37, true, true, LVT_BITS, LVT_STATUS },               /* error */
	{ 0x38, 0x38, true, true, 0xffffffff },                         /* initial count */
	{ 0x39, 0x39, true, false },                                    /* current count */
	{ 0x3e, 0x3e, true, true, 0xb },                                /* divide */
	{ 0x3f, 0x3f, false, true, 0xff },                              /* self IPI */
};

static struct x2apic_rule rule_of(uint32_t nr)
{
	static const struct x2apic_rule none;

	for (uint32_t i = 0; i < ARRAY_SIZE(x2apic_rules); i++)
		if (nr >= x2apic_rules[i].first && nr <= x2apic_rules[i].last)
			return x2apic_rules[i];
	return none;
}

static void expect_write(uint32_t nr, uint64_t value, bool faults)
{
	if (write_faults(MSR_X2APIC + nr, value) != faults)
		guest_sync_values(99, nr, value, faults, 0);
}

/* Writes that a rule allows have effects that this test does not want: messages and time. */
static bool is_harmless(uint32_t nr)
{
	return nr != 0x30 && nr != 0x38;
}

static void x2apic_matrix_payload(uint64_t cmci)
{
	guest_x2apic_enable();
	for (uint32_t nr = 0; nr < 0x100; nr++) {
		struct x2apic_rule rule = rule_of(nr);

		if (nr == 0x2f && cmci)
			rule = (struct x2apic_rule){ .readable = true,
						     .writable = true,
						     .bits = LVT_DM_BITS,
						     .unsaid = LVT_STATUS };
		if (read_faults(MSR_X2APIC + nr) != !rule.readable)
			guest_sync_values(98, nr, rule.readable, 0, 0);
		if (!rule.writable || is_harmless(nr))
			expect_write(nr, 0, !rule.writable);
		for (uint32_t bit = 0; bit < 64; bit++) {
			uint64_t value = 1UL << bit;
			bool allowed = rule.writable && (rule.bits & value);

			if (!(rule.unsaid & value) && (!allowed || is_harmless(nr)))
				expect_write(nr, value, !allowed);
		}
		if (nr >= 0x32 && nr <= 0x37)
			x2apic_write(nr << 4, APIC_LVT_MASKED);
	}
	x2apic_write(APIC_SVR, 0x1ff);
	guest_assert_eq(x2apic_read(APIC_SVR), 0x1ff); /* it still works */
}

static void L10_x2apic_matrix(void **state)
{
	struct guest_report *r;
	struct vcpu *v;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer lets some reserved bits pass");
	v = guest_new_irqchip(x2apic_matrix_payload, 0);
	/* CMCI is there if the version register says so, and that is userspace's choice. */
	r = vcpu_run_to_report(v);
	if (r->kind == REPORT_SYNC)
		fail_msg("%s of MSR 0x8%02lx, value %#lx: %s expected",
			 r->value[0] == 98 ? "read" : "write", (unsigned long)r->value[1],
			 (unsigned long)r->value[2], r->value[3] ? "#GP" : "no fault");
	assert_int_equal(r->kind, REPORT_DONE);
}

/* Outside x2APIC mode there is none of these MSRs. */
static void no_msrs_in_xapic_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	for (uint32_t nr = 0; nr < 0x100; nr++) {
		guest_assert(read_faults(MSR_X2APIC + nr));
		guest_assert(write_faults(MSR_X2APIC + nr, 0));
	}
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(uint64_t)APIC_BASE_ENABLE);
	for (uint32_t nr = 0; nr < 0x100; nr++)
		guest_assert(read_faults(MSR_X2APIC + nr));
}

static void L10_no_x2apic_msrs_outside_the_mode(void **state)
{
	(void)state;
	expect_done(guest_new_irqchip(no_msrs_in_xapic_payload, 0));
}

/* --- IA32_APIC_BASE: SDM "x2APIC State Transitions" --- */

#define DISABLED 0
#define INVALID  APIC_BASE_X2APIC
#define XAPIC    APIC_BASE_ENABLE
#define X2APIC   (APIC_BASE_ENABLE | APIC_BASE_X2APIC)

static uint64_t base_with(uint32_t mode)
{
	return (rdmsr(MSR_APIC_BASE) & ~(uint64_t)X2APIC) | mode;
}

static void go_to(uint32_t mode)
{
	wrmsr(MSR_APIC_BASE, base_with(DISABLED)); /* legal from everywhere */
	if (mode != DISABLED)
		wrmsr(MSR_APIC_BASE, base_with(XAPIC));
	if (mode == X2APIC)
		wrmsr(MSR_APIC_BASE, base_with(X2APIC));
}

static void transitions_payload(uint64_t strict)
{
	static const uint32_t modes[] = { DISABLED, XAPIC, X2APIC };
	static const uint32_t to[] = { DISABLED, XAPIC, X2APIC, INVALID };
	static const bool faults[3][4] = {
		{ false, false, true, true }, /* from disabled: not to x2APIC at once */
		{ false, false, false, true },
		{ false, true, false, true }, /* from x2APIC: not back to xAPIC */
	};

	for (uint32_t i = 0; i < 3; i++) {
		for (uint32_t j = 0; j < 4; j++) {
			go_to(modes[i]);
			guest_assert_eq(write_faults(MSR_APIC_BASE, base_with(to[j])),
					faults[i][j]);
			guest_assert_eq(rdmsr(MSR_APIC_BASE) & X2APIC,
					faults[i][j] ? modes[i] : to[j]);
		}
	}
	go_to(XAPIC);
	for (uint32_t bit = 0; bit < 64; bit++) {
		bool reserved = bit < 8 || bit == 9 || bit >= 52;

		if (reserved && (strict || bit >= 52))
			guest_assert(
				write_faults(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1UL << bit));
	}
}

static void base_transitions(void **state)
{
	(void)state;
	expect_done(guest_new_irqchip(transitions_payload, on_apicvisor()));
}

/* Disabled and enabled again, the LAPIC is as after reset; CPUID tells of the bit. */
static void reenabled_payload(uint64_t arg)
{
	uint32_t r[4];

	(void)arg;
	guest_x2apic_enable();
	x2apic_write(APIC_TPR, 0x40);
	x2apic_write(APIC_LVT_TIMER, 0x51);
	guest_cpuid(1, 0, r);
	guest_assert_eq(r[3] >> 9 & 1, 1);
	go_to(DISABLED);
	guest_cpuid(1, 0, r);
	guest_assert_eq(r[3] >> 9 & 1, 0);
	wrmsr(MSR_APIC_BASE, base_with(XAPIC));
	guest_cpuid(1, 0, r);
	guest_assert_eq(r[3] >> 9 & 1, 1);
	guest_assert_eq(xapic_read(APIC_SVR), 0xff);
	guest_assert_eq(xapic_read(APIC_TPR), 0);
	guest_assert_eq(read_cr(8), 0);
	guest_assert_eq(xapic_read(APIC_LVT_TIMER), APIC_LVT_MASKED);
	guest_assert_eq(xapic_read(APIC_ID), 0);
	guest_assert_eq(xapic_read(APIC_LDR), 0);
	guest_assert_eq(xapic_read(APIC_DFR), 0xffffffff);
}

static void reenabled_is_reset(void **state)
{
	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's LAPIC keeps its registers while it is disabled");
	expect_done(guest_new_irqchip(reenabled_payload, 0));
}

/* Without the LAPIC the page is an address like any other: userspace's. */
static void disabled_page_payload(uint64_t arg)
{
	(void)arg;
	go_to(DISABLED);
	guest_assert_eq(xapic_read(APIC_ID), 0x12345678);
	go_to(X2APIC);
	guest_assert_eq(xapic_read(APIC_ID), 0x23456789);
}

static void the_page_is_there_in_xapic_mode_only(void **state)
{
	struct vcpu *v = guest_new_irqchip(disabled_page_payload, 0);

	(void)state;
	if (!on_apicvisor()) /* KVM_X86_QUIRK_LAPIC_MMIO_HOLE, as long as nobody disables it */
		skip_because("the peer has something at that address in every mode");
	*(uint32_t *)expect_mmio(v, false, XAPIC_BASE + APIC_ID, 4) = 0x12345678;
	*(uint32_t *)expect_mmio(v, false, XAPIC_BASE + APIC_ID, 4) = 0x23456789;
	expect_done(v);
}

/* The page moves with the base: SDM "Relocating the Local APIC Registers". */
#define NEW_BASE 0xd0100000UL

static void relocation_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	wrmsr(MSR_APIC_BASE, NEW_BASE | 0x100 | XAPIC);
	mmio_write32(NEW_BASE + APIC_TPR, 0x50);
	guest_assert_eq(read_cr(8), 5);
	guest_assert_eq(mmio_read32(NEW_BASE + APIC_VERSION) & 0xff, 0x14);
	guest_assert_eq(xapic_read(APIC_VERSION), 0x87654321); /* the old place is userspace's */
	wrmsr(MSR_APIC_BASE, XAPIC_BASE | 0x100 | XAPIC);
	guest_assert_eq(xapic_read(APIC_TPR), 0x50);
}

static void the_page_moves_with_the_base(void **state)
{
	struct vcpu *v = guest_new_irqchip(relocation_payload, 0);

	(void)state;
	*(uint32_t *)expect_mmio(v, false, XAPIC_BASE + APIC_VERSION, 4) = 0x87654321;
	expect_done(v);
}

/* --- the xAPIC page: SDM "The Local APIC Block Diagram", register accesses --- */

#define at(type, offset) (*(volatile type *)(XAPIC_BASE + (offset)))

/* Registers are 32 bits at multiples of 16; other widths and places do no harm. */
static void odd_accesses_payload(uint64_t strict)
{
	guest_xapic_enable();
	xapic_write(APIC_TPR, 0xa5);
	guest_assert_eq(at(uint8_t, APIC_TPR), 0xa5);
	guest_assert_eq(at(uint16_t, APIC_TPR), 0xa5);
	guest_assert_eq(at(uint8_t, APIC_SVR + 1), 1);
	guest_assert_eq(at(uint8_t, APIC_VERSION), 0x14);
	for (uint32_t gap = 4; gap < 16; gap += 4)
		guest_assert_eq(mmio_read32(XAPIC_BASE + APIC_TPR + gap), 0);
	/* A narrow write of the low bytes: a processor that virtualizes the page takes it. */
	at(uint8_t, APIC_TPR) = 0x11;
	guest_assert(xapic_read(APIC_TPR) == 0x11 || xapic_read(APIC_TPR) == 0xa5);
	at(uint16_t, APIC_TPR) = 0x22;
	guest_assert(xapic_read(APIC_TPR) == 0x22 || xapic_read(APIC_TPR) == 0xa5);
	xapic_write(APIC_TPR, 0xa5);
	/* Wide and misplaced ones change nothing. */
	mmio_write32(XAPIC_BASE + APIC_TPR + 4, 0x33);
	if (strict) {
		mmio_write32(XAPIC_BASE + APIC_TPR - 2, 0x440044);
		at(uint64_t, APIC_TPR) = 0x55;
		(void)at(uint64_t, APIC_TPR);
		(void)at(uint32_t, APIC_TPR + 2);
		(void)at(uint32_t, 0xffc + 1); /* half of it behind the page */
	}
	guest_assert_eq(xapic_read(APIC_TPR), 0xa5);
	/* Read-only registers stay as they are. */
	xapic_write(APIC_VERSION, 0);
	xapic_write(APIC_PPR, 0);
	xapic_write(APIC_IRR, ~0u);
	xapic_write(APIC_ISR, ~0u);
	guest_assert_eq(xapic_read(APIC_VERSION) & 0xff, 0x14);
	guest_assert_eq(xapic_read(APIC_PPR), 0xa5);
	guest_assert_eq(xapic_read(APIC_IRR) | xapic_read(APIC_ISR), 0);
	/* An end of nothing. */
	xapic_write(APIC_EOI, 0);
	guest_assert_eq(xapic_read(APIC_PPR), 0xa5);
	xapic_write(APIC_TPR, 0);
}

static void odd_accesses_of_the_page(void **state)
{
	struct vcpu *v = guest_new_irqchip(odd_accesses_payload, on_apicvisor());

	(void)state;
	if (on_apicvisor()) /* the byte behind the page */
		*(uint8_t *)expect_mmio(v, false, XAPIC_BASE + PAGE_SIZE, 1) = 0;
	expect_done(v);
}

/* SDM "Error Handling": where there is no register, the access is an error in ESR. */
static void holes_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	for (uint32_t reg = 0; reg < 0x1000; reg += 0x10) {
		bool hole = reg < 0x20 || (reg >= 0x40 && reg < 0x80) ||
			    (reg >= 0x290 && reg <= 0x2e0) || (reg >= 0x3a0 && reg <= 0x3d0) ||
			    reg >= 0x3f0;

		xapic_write(APIC_ESR, 0);
		xapic_write(APIC_ESR, 0);
		xapic_read(reg);
		xapic_write(APIC_ESR, 0);
		if (reg != 0x2f0) /* CMCI: userspace's choice */
			guest_assert_eq(xapic_read(APIC_ESR), hole ? 0x80 : 0);
	}
}

static void holes_of_the_page_are_errors(void **state)
{
	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's ESR is never set by an access");
	expect_done(guest_new_irqchip(holes_payload, 0));
}

/* --- both modes --- */

static volatile uint64_t x2;
static volatile uint64_t count[256];

static uint32_t get(uint32_t reg)
{
	return x2 ? (uint32_t)x2apic_read(reg) : xapic_read(reg);
}

static void put(uint32_t reg, uint32_t value)
{
	if (x2)
		x2apic_write(reg, value);
	else
		xapic_write(reg, value);
}

static void enable(uint64_t x2apic)
{
	x2 = x2apic;
	if (x2apic)
		guest_x2apic_enable();
	else
		guest_xapic_enable();
}

static void self_ipi(uint32_t vector)
{
	put(APIC_ICR_LO, 1u << 18 | vector);
}

static bool bit_of(uint32_t bank, uint32_t vector)
{
	return get(bank + vector / 32 * 0x10) >> vector % 32 & 1;
}

static void on_irq(struct guest_frame *f)
{
	count[f->vector]++;
	put(APIC_EOI, 0);
}

static void both_modes(void (*payload)(uint64_t))
{
	for (uint64_t mode = 0; mode < 2; mode++) {
		struct vcpu *v = guest_new_irqchip(payload, mode);

		expect_done(v);
		vm_free(v->vm);
	}
}

/* SDM "Task Priority", "Interaction of Task Priorities between CR8 and APIC", for every value. */
static void tpr_cr8_payload(uint64_t mode)
{
	enable(mode);
	for (uint32_t tpr = 0; tpr < 0x100; tpr++) {
		put(APIC_TPR, tpr);
		guest_assert_eq(get(APIC_TPR), tpr);
		guest_assert_eq(read_cr(8), tpr >> 4);
		guest_assert_eq(get(APIC_PPR), tpr); /* nothing in service */
	}
	for (uint64_t cr8 = 0; cr8 < 16; cr8++) {
		put(APIC_TPR, 0x5a);
		write_cr(8, cr8);
		guest_assert_eq(get(APIC_TPR), cr8 << 4); /* and the sub-class is 0 */
		guest_assert_eq(get(APIC_PPR), cr8 << 4);
	}
	put(APIC_TPR, 0);
}

static void tpr_and_cr8_are_one(void **state)
{
	(void)state;
	both_modes(tpr_cr8_payload);
}

/* A request with IF = 0 is deliverable exactly if its class is above PPR's (L7, L11). */
static volatile uint64_t ppr_inside;

static void on_gate(struct guest_frame *f)
{
	ppr_inside = get(APIC_PPR);
	on_irq(f);
}

static void gate_payload(uint64_t mode)
{
	enable(mode);
	for (uint32_t vector = 0x31; vector < 0x100; vector += 0x10)
		guest_handler[vector] = on_gate;
	for (uint32_t class = 3; class < 16; class ++) {
		uint32_t vector = class << 4 | 1;

		for (uint32_t tpr = 0; tpr < 16; tpr++) {
			count[vector] = 0;
			write_cr(8, tpr);
			self_ipi(vector);
			sti();
			cpu_relax();
			cli();
			guest_assert_eq(count[vector], class > tpr);
			guest_assert_eq(bit_of(APIC_IRR, vector), class <= tpr);
			if (class > tpr)
				guest_assert_eq(ppr_inside, class << 4);
			write_cr(8, 0); /* let it in, if it waits */
			sti();
			cpu_relax();
			cli();
			guest_assert_eq(count[vector], 1);
		}
	}
}

static void L11_priority_gate(void **state)
{
	(void)state;
	both_modes(gate_payload);
}

/* Handlers inside handlers, ten deep; EOIs end them in the reverse order. */
#define DEEPEST 0xf2
static volatile uint64_t depth, deepest;

static void on_nested(struct guest_frame *f)
{
	uint32_t vector = (uint32_t)f->vector;

	depth++;
	if (depth > deepest)
		deepest = depth;
	guest_assert(bit_of(APIC_ISR, vector));
	guest_assert(!bit_of(APIC_IRR, vector));
	guest_assert_eq(get(APIC_PPR), vector & 0xf0);
	if (vector < DEEPEST) {
		self_ipi(vector + 1);    /* the same class: waits for our EOI */
		self_ipi(vector + 0x10); /* the next one: comes now */
		sti();
		cpu_relax();
		cli();
		guest_assert_eq(count[vector + 0x10], 1);
		guest_assert_eq(count[vector + 1], 0);
	}
	guest_assert_eq(get(APIC_PPR), vector & 0xf0); /* inner EOIs brought it back */
	count[vector]++;
	depth--;
	put(APIC_EOI, 0);
	guest_assert(!bit_of(APIC_ISR, vector));
}

static void nested_payload(uint64_t mode)
{
	enable(mode);
	for (uint32_t vector = 0x62; vector <= DEEPEST; vector += 0x10) {
		guest_handler[vector] = on_nested;
		guest_handler[vector + 1] = on_irq;
	}
	self_ipi(0x62);
	sti();
	for (uint32_t i = 0; i < 1000 && !count[0x63]; i++)
		cpu_relax();
	guest_assert_eq(deepest, 10);
	for (uint32_t vector = 0x62; vector < DEEPEST; vector += 0x10)
		guest_assert_eq(count[vector + 1], 1);
	for (uint32_t word = 0; word < 8; word++)
		guest_assert_eq(get(APIC_ISR + 0x10 * word) | get(APIC_IRR + 0x10 * word), 0);
	guest_assert_eq(get(APIC_PPR), 0);
}

static void nesting_ten_deep(void **state)
{
	(void)state;
	both_modes(nested_payload);
}

/*
 * SDM "Spurious Interrupt": a request that is masked before it is delivered. Here acknowledge and
 * delivery are one step, so none may come, and nothing of it may get lost either.
 */
static void spurious_payload(uint64_t mode)
{
	enable(mode);
	guest_handler[0xff] = on_irq; /* the spurious vector: SVR is 0x1ff */
	guest_handler[0x41] = on_irq;
	for (int i = 0; i < 50; i++) {
		self_ipi(0x41);
		put(APIC_TPR, 0x40 + (uint32_t)i % 16);
		sti();
		cpu_relax();
		cli();
		guest_assert_eq(count[0x41], i);
		write_cr(8, 0);
		sti();
		cpu_relax();
		cli();
		guest_assert_eq(count[0x41], i + 1);
	}
	guest_assert_eq(count[0xff], 0);
	self_ipi(0xff); /* as a vector it is one like others */
	sti();
	cpu_relax();
	guest_assert_eq(count[0xff], 1);
	guest_assert(!bit_of(APIC_ISR, 0xff));
}

static void withdrawn_requests_are_not_spurious(void **state)
{
	(void)state;
	both_modes(spurious_payload);
}

/* SDM "Local APIC State After It Has Been Software Disabled". */
static void disabled_payload(uint64_t mode)
{
	static const uint32_t lvt[] = { 0x320, 0x330, 0x340, 0x350, 0x360, 0x370 };

	enable(mode);
	guest_handler[0x41] = on_irq;
	guest_handler[0x51] = on_irq;
	for (uint32_t i = 0; i < ARRAY_SIZE(lvt); i++)
		put(lvt[i], APIC_LVT_MASKED | (0x81 + i));
	put(APIC_LVT_ERROR, 0x51);
	self_ipi(0x41); /* kept while it is disabled */
	put(APIC_SVR, 0xff);
	for (uint32_t i = 0; i < ARRAY_SIZE(lvt); i++) {
		guest_assert(get(lvt[i]) & APIC_LVT_MASKED);
		put(lvt[i], 0x81 + i);
		guest_assert(get(lvt[i]) & APIC_LVT_MASKED); /* and stays so */
	}
	guest_assert(bit_of(APIC_IRR, 0x41));
	guest_sync(1); /* the host sends an MSI, which nobody takes */
	guest_assert(!bit_of(APIC_IRR, 0x51));
	put(APIC_SVR, 0x1ff);
	for (uint32_t i = 0; i < ARRAY_SIZE(lvt); i++)
		guest_assert(get(lvt[i]) & APIC_LVT_MASKED);
	sti();
	cpu_relax();
	guest_assert_eq(count[0x41], 1);
	guest_assert_eq(count[0x51], 0);
}

static void software_disable(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x51 };

	(void)state;
	for (uint64_t mode = 0; mode < 2; mode++) {
		struct vcpu *v = guest_new_irqchip(disabled_payload, mode);

		expect_sync(v, 1);
		assert_int_equal(must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi)), 0);
		expect_done(v);
		vm_free(v->vm);
	}
}

/* SDM "Error Handling": a write makes the errors so far visible, and the LVT entry reports them. */
static void esr_payload(uint64_t mode)
{
	enable(mode);
	guest_handler[0x61] = on_irq;
	put(APIC_LVT_ERROR, 0x61);
	put(APIC_ESR, 0);
	guest_assert_eq(get(APIC_ESR), 0);
	self_ipi(7);
	guest_assert_eq(get(APIC_ESR), 0); /* not before the write */
	put(APIC_ESR, 0);
	guest_assert_eq(get(APIC_ESR), 0x20);
	guest_assert_eq(get(APIC_ESR), 0x20); /* reading takes nothing away */
	sti();
	cpu_relax();
	cli();
	guest_assert_eq(count[0x61], 1);
	put(APIC_ESR, 0);
	guest_assert_eq(get(APIC_ESR), 0);
	put(APIC_LVT_ERROR, APIC_LVT_MASKED | 0x61);
	self_ipi(7);
	sti();
	cpu_relax();
	guest_assert_eq(count[0x61], 1);
	put(APIC_ESR, 0);
	guest_assert_eq(get(APIC_ESR), 0x20);
}

static void esr_by_write(void **state)
{
	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's ESR is never set");
	both_modes(esr_payload);
}

static const struct CMUnitTest tests[] = {
	TEST(L10_x2apic_matrix),
	TEST(L10_no_x2apic_msrs_outside_the_mode),
	TEST(base_transitions),
	TEST(reenabled_is_reset),
	TEST(the_page_is_there_in_xapic_mode_only),
	TEST(the_page_moves_with_the_base),
	TEST(odd_accesses_of_the_page),
	TEST(holes_of_the_page_are_errors),
	TEST(tpr_and_cr8_are_one),
	TEST(L11_priority_gate),
	TEST(nesting_ten_deep),
	TEST(withdrawn_requests_are_not_spurious),
	TEST(software_disable),
	TEST(esr_by_write),
};

TEST_MAIN("guest_lapic", tests)
