// SPDX-License-Identifier: GPL-2.0-only
/*
 * APIC virtualization comes and goes with a LAPIC's mode, with a debugger, with other vCPUs' modes:
 * the guest must notice nothing (invariants P1 and L8). Whatever features are in force here;
 * tools/check/matrix runs this with each set of them. Costs stand in test_apicv.c. Source: SDM
 * "APIC Virtualization and Virtual Interrupts".
 */
#include "stats.h"

#define VECTOR   0x41
#define NEW_BASE 0xd0100000UL

static volatile uint64_t count[256];

static void on_irq(struct guest_frame *f)
{
	count[f->vector]++;
	apic_write(APIC_EOI, 0);
}

/* --- P1: transitions and toggles --- */

#define NR_MSRS 0x100
#define CYCLES  4

static volatile uint32_t tried_msr;
static volatile uint64_t readable;

static void read_tried(void)
{
	rdmsr(tried_msr);
}

static void write_tried(void)
{
	wrmsr(tried_msr, 0);
}

/* How many of the x2APIC MSRs don't fault. */
static uint64_t try_msrs(void (*access)(void))
{
	uint64_t n = 0;
	uint32_t error;

	for (tried_msr = MSR_X2APIC; tried_msr < MSR_X2APIC + NR_MSRS; tried_msr++)
		n += guest_catch(access, &error) < 0;
	return n;
}

static void go_to(uint64_t bits)
{
	wrmsr(MSR_APIC_BASE,
	      (rdmsr(MSR_APIC_BASE) & ~(uint64_t)(APIC_BASE_ENABLE | APIC_BASE_X2APIC)) | bits);
}

/* What is tried between two odd and even reports, the host counts. */
static void transitions(uint64_t id)
{
	try_msrs(read_tried); /* memory of the fault handler, so that it costs nothing later */
	for (int i = 0; i < CYCLES; i++) {
		go_to(APIC_BASE_ENABLE);
		guest_assert_eq(xapic_read(APIC_ID) >> 24, id);
		guest_sync(1);
		guest_assert_eq(try_msrs(read_tried) + try_msrs(write_tried), 0);
		guest_sync(2);
		go_to(APIC_BASE_ENABLE | APIC_BASE_X2APIC);
		guest_assert_eq(x2apic_read(APIC_ID), id);
		x2apic_write(APIC_TPR, 0x30);
		if (!readable)
			readable = try_msrs(read_tried);
		guest_sync(3);
		guest_assert_eq(try_msrs(read_tried), readable);
		guest_sync(4);
		guest_assert_eq(x2apic_read(APIC_ID), id);
		guest_assert_eq(read_cr(8), 3);
		go_to(0);
		guest_sync(5);
		guest_assert_eq(try_msrs(read_tried) + try_msrs(write_tried), 0);
		guest_sync(6);
	}
}

static void block_interrupts(struct vcpu *v, bool block)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE |
						    (block ? KVM_GUESTDBG_BLOCKIRQ : 0) };

	must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug));
}

static void expect_tries(struct vcpu *v, uint64_t report, uint64_t reads, uint64_t writes)
{
	struct sample before = take_sample(v), after;

	expect_sync(v, report);
	after = take_sample(v);
	expect_exits(&before, &after,
		     COST({ "exit.rdmsr", reads }, { "exit.wrmsr", writes }, { "exit.io", 1 }), 3);
}

/* In x2APIC mode: ICR and TMCCT always exit; PPR and IRR if no delivery keeps them up to date. */
static uint64_t open_reads(struct vcpu *v, bool blocked)
{
	if (!have.x2apic_mode)
		return 0;
	if (!have.apic_register || blocked)
		return 1; /* the TPR */
	return in_guest(v->vm, readable) - 2 - (have.virtual_interrupts ? 0 : 9);
}

/*
 * The vCPU has another ID than any CPU of the host. An MSR that is open in the wrong mode would be
 * the host's; where the host's LAPIC is in xAPIC mode that faults as well, so exits are counted,
 * too.
 */
static void P1_no_msr_of_the_host_in_any_mode(void **state)
{
	(void)state;
	need_apicvisor();
	for (int toggles = 0; toggles < 2; toggles++) {
		struct vcpu *v = vcpu_create(vm_create_irqchip(), 5);

		vcpu_long_mode(v, transitions, 5);
		for (int i = 0; i < CYCLES; i++) {
			bool blocked = toggles && (i & 1);

			expect_sync(v, 1);
			expect_tries(v, 2, NR_MSRS, NR_MSRS);
			expect_sync(v, 3);
			if (toggles)
				block_interrupts(v, blocked);
			expect_tries(v, 4, NR_MSRS - open_reads(v, blocked), 0);
			expect_sync(v, 5);
			if (toggles)
				block_interrupts(v, !blocked);
			expect_tries(v, 6, NR_MSRS, NR_MSRS);
		}
		expect_done(v);
		vm_free(v->vm);
	}
}

/* --- several modes in one VM --- */

static volatile uint64_t base_of[3];

#define AT_HOME   (XAPIC_BASE | APIC_BASE_ENABLE)
#define MOVED     (NEW_BASE | APIC_BASE_ENABLE)
#define BY_MSR    (XAPIC_BASE | APIC_BASE_ENABLE | APIC_BASE_X2APIC)
#define ALL_BACK  2 /* the row before which the page was away */
#define USERSPACE 0x5a5a0000u

/* One of three vCPUs; its registers stay its own whatever the others do. */
static void in_own_mode(uint64_t id)
{
	for (uint64_t i = 0;; i++) {
		uint64_t base = base_of[id], at = base & ~0xfffUL;

		wrmsr(MSR_APIC_BASE, base | (id ? 0 : 0x100));
		if (base & APIC_BASE_X2APIC) {
			guest_assert_eq(x2apic_read(APIC_ID), id);
			guest_assert_eq(x2apic_read(APIC_VERSION) & 0xff, 0x14);
			x2apic_write(APIC_TPR, 0x10 * id + i);
			guest_assert_eq(x2apic_read(APIC_TPR), 0x10 * id + i);
		} else {
			guest_assert_eq(mmio_read32(at + APIC_ID) >> 24, id);
			guest_assert_eq(mmio_read32(at + APIC_VERSION) & 0xff, 0x14);
			mmio_write32(at + APIC_TPR, 0x10 * id + i);
			guest_assert_eq(mmio_read32(at + APIC_TPR), 0x10 * id + i);
		}
		guest_assert_eq(read_cr(8), id);
		if (base != AT_HOME) /* nobody's there, and above all not the APIC-access page */
			guest_assert_eq(xapic_read(APIC_ID), USERSPACE + id);
		guest_sync(id);
	}
}

static void run_in_own_mode(struct vcpu *v, uint64_t base)
{
	if (base != AT_HOME)
		*(uint32_t *)expect_mmio(v, false, XAPIC_BASE + APIC_ID, 4) = USERSPACE + v->id;
	expect_sync(v, v->id);
}

static void mixed_modes(void **state)
{
	static const uint64_t rows[][3] = {
		{ AT_HOME, AT_HOME, AT_HOME }, { AT_HOME, MOVED, AT_HOME },
		{ AT_HOME, AT_HOME, AT_HOME }, { AT_HOME, BY_MSR, AT_HOME },
		{ AT_HOME, BY_MSR, MOVED },    { MOVED, BY_MSR, AT_HOME },
	};
	const struct exits turn_at_home[] = {
		{ "exit.io", 1 },
		{ "exit.wrmsr", 1 },
		{ "exit.cr_access", have.tpr_shadow ? 0 : 1 },
		{ exit_of(XAPIC, false), reads_are_free(XAPIC) ? 0 : 2 },
		{ exit_of(XAPIC, false), tpr_is_free(XAPIC) ? 0 : 2 },
	};
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v[3];

	(void)state;
	need_apicvisor();
	for (unsigned int i = 0; i < 3; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_long_mode(v[i], in_own_mode, i);
	}
	for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
		struct sample before, after;

		memcpy((void *)in_guest(vm, base_of), rows[row], sizeof(rows[row]));
		for (int turn = 0; turn < 2; turn++) {
			before = take_sample(v[0]);
			for (unsigned int i = 0; i < 3; i++)
				run_in_own_mode(v[i], rows[row][i]);
		}
		after = take_sample(v[0]);
		if (row == ALL_BACK) /* the second turn costs what it costs a VM in one mode */
			expect_exits(&before, &after, turn_at_home, ARRAY_SIZE(turn_at_home));
	}
}

/* --- a LAPIC that is off --- */

static void on_pic(struct guest_frame *f)
{
	count[f->vector]++;
	outb(0x20, 0x20);
}

static void off_and_on(uint64_t arg)
{
	(void)arg;
	guest_handler[0x24] = on_pic;
	guest_handler[VECTOR] = on_irq;
	guest_pic_init(0xffef);
	go_to(0);
	sti();
	guest_sync(1); /* the host raises line 4: straight to the processor */
	while (!count[0x24])
		cpu_relax();
	cli();
	guest_pic_init(0xffff);
	go_to(APIC_BASE_ENABLE); /* there is no direct way to x2APIC mode */
	apic_enable();
	sti();
	apic_send_self(VECTOR);
	guest_assert_eq(count[VECTOR], 1);
	guest_sync(2);
}

static bool shows(struct vcpu *v, const char *what)
{
	char text[4096];

	read_debugfs(v, "state", text, sizeof(text));
	return strstr(text, what);
}

static void disabled_lapic(void **state)
{
	(void)state;
	need_apicvisor();
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		struct vcpu *v = guest_new_irqchip(off_and_on, 0);

		in_guest(v->vm, mode) = m;
		expect_sync(v, 1);
		assert_true(shows(v, "APICv off: the guest has disabled"));
		assert_false(shows(v, " virtual_interrupts"));
		vm_irq_line(v->vm, 4, 1);
		vm_irq_line(v->vm, 4, 0);
		expect_sync(v, 2);
		assert_false(shows(v, "the guest has disabled"));
		assert_int_equal(shows(v, " virtual_interrupts"), have.virtual_interrupts);
		assert_int_equal(shows(v, " apic_register"), have.apic_register);
		assert_int_equal(shows(v, " posted_interrupts"), have.posted_interrupts);
		assert_int_equal(shows(v, " x2apic_mode"), m == X2APIC && have.x2apic_mode);
		assert_int_equal(shows(v, " apic_access"), m == XAPIC && have.apic_access);
		expect_done(v);
		vm_free(v->vm);
	}
}

/* --- L8: the state goes out and in with vectors in service --- */

#define NESTED    3
#define IN_MIDDLE 0x45 /* arrives while 0x52 and above are in service */

static volatile uint64_t depth, order[16], nr_order;

static void note(uint64_t what)
{
	order[nr_order++ % ARRAY_SIZE(order)] = what;
}

/* Vectors 0x32, 0x52, 0x72 interrupt one another as deep as asked; the innermost reports. */
static void on_nested(struct guest_frame *f)
{
	note(f->vector);
	if (f->vector == 0x32 + 0x20 * (depth - 1)) {
		if (depth > 1)
			apic_send_self(IN_MIDDLE);
		guest_sync(1);
	} else {
		apic_send_self((uint32_t)f->vector + 0x20);
		sti();
		cpu_relax();
		cpu_relax();
		note(0); /* the higher one has come and gone */
	}
	cli();
	apic_write(APIC_EOI, 0);
}

static void on_middle(struct guest_frame *f)
{
	note(f->vector);
	apic_write(APIC_EOI, 0);
}

static void nest(uint64_t arg)
{
	(void)arg;
	guest_handler[0x32] = on_nested;
	guest_handler[0x52] = on_nested;
	guest_handler[0x72] = on_nested;
	guest_handler[IN_MIDDLE] = on_middle;
	guest_pic_init(0xffff);
	apic_enable();
	sti();
	apic_send_self(0x32);
	guest_sync(2);
	guest_assert_eq(apic_read(APIC_PPR), 0);
}

static uint32_t *image_word(struct kvm_lapic_state *image, uint32_t bank, uint8_t vector)
{
	return (uint32_t *)(image->regs + bank + vector / 32 * 0x10);
}

static bool image_has(struct kvm_lapic_state *image, uint32_t bank, uint8_t vector)
{
	return *image_word(image, bank, vector) & 1u << vector % 32;
}

/* At the innermost report: what is in the image; goes back in, perhaps without the highest vector. */
static void replace_state(struct vcpu *v, uint64_t nested, bool drop)
{
	uint8_t top = (uint8_t)(0x32 + 0x20 * (nested - 1));
	struct kvm_lapic_state image;

	must(ioctl(v->fd, KVM_GET_LAPIC, &image));
	for (uint64_t i = 0; i < NESTED; i++) {
		uint8_t vector = (uint8_t)(0x32 + 0x20 * i);

		assert_int_equal(image_has(&image, APIC_ISR, vector), i < nested);
		assert_false(image_has(&image, APIC_IRR, vector));
	}
	assert_int_equal(image_has(&image, APIC_IRR, IN_MIDDLE), nested > 1);
	if (drop)
		*image_word(&image, APIC_ISR, top) &= ~(1u << top % 32);
	must(ioctl(v->fd, KVM_SET_LAPIC, &image));
}

static void expect_order(struct vcpu *v, uint64_t nested, bool drop)
{
	/* Without 0x72 its end is that of 0x52, and what waits in the middle comes earlier. */
	static const uint64_t wanted[2][NESTED][6] = {
		{ { 0x32 }, { 0x32, 0x52, IN_MIDDLE, 0 }, { 0x32, 0x52, 0x72, 0, IN_MIDDLE, 0 } },
		{ { 0x32 }, { 0x32, 0x52, IN_MIDDLE, 0 }, { 0x32, 0x52, 0x72, IN_MIDDLE, 0, 0 } },
	};

	assert_int_equal(in_guest(v->vm, nr_order), nested == 1 ? 1 : 2 * nested);
	assert_memory_equal((void *)in_guest(v->vm, order), wanted[drop][nested - 1],
			    sizeof(wanted[0][0]));
}

static void L8_state_with_vectors_in_service(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * 2 * NESTED; i++) {
		struct vcpu *v = guest_new_irqchip(nest, 0);
		uint64_t nested = 1 + i / 4;

		in_guest(v->vm, mode) = i & 1 ? X2APIC : XAPIC;
		in_guest(v->vm, depth) = nested;
		expect_sync(v, 1);
		replace_state(v, nested, i & 2);
		expect_sync(v, 2);
		expect_order(v, nested, i & 2);
		expect_done(v);
		vm_free(v->vm);
	}
}

static const struct CMUnitTest tests[] = {
	STATS_TEST(P1_no_msr_of_the_host_in_any_mode),
	STATS_TEST(mixed_modes),
	STATS_TEST(disabled_lapic),
	STATS_TEST(L8_state_with_vectors_in_service),
};

TEST_MAIN("guest_apicmode", tests)
