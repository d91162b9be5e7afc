// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PC's old devices by their ports, from inside a guest: the PIC pair's modes with real
 * interrupt acknowledges (poll, spurious, auto-EOI, rotation, special mask, cascade) and the PIT's
 * counters as drivers read them. test_irqchip.c has the ordinary use. Sources: the data sheets of
 * the 8259A and the 8254.
 */
#include "kvmtest.h"

static volatile uint64_t count[256], order[16], nr_order, spurious, in_service;

static void eoi(struct guest_frame *f)
{
	if (f->vector >= 0x28)
		outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

static void note(struct guest_frame *f)
{
	count[f->vector]++;
	if (nr_order < ARRAY_SIZE(order))
		order[nr_order++] = f->vector;
}

static void on_irq(struct guest_frame *f)
{
	note(f);
	eoi(f);
}

static void no_eoi(struct guest_frame *f)
{
	note(f);
}

static void handle_all(guest_handler_fn fn)
{
	for (uint32_t v = 0x20; v < 0x30; v++)
		guest_handler[v] = fn;
}

static void open_for_a_moment(void)
{
	sti();
	for (int i = 0; i < 4; i++)
		cpu_relax();
	cli();
}

static uint8_t isr(uint16_t port)
{
	outb(port, 0x0b);
	return inb(port);
}

static uint8_t irr(uint16_t port)
{
	outb(port, 0x0a);
	return inb(port);
}

/* The host raises (or lowers) line @n & 0xff at sync 1000 + @n, and 256 + n lowers. */
#define LOWER 0x100

static void raise_line(uint64_t n)
{
	guest_sync(1000 + n);
}

static void lower_line(uint64_t n)
{
	guest_sync(1000 + LOWER + n);
}

/* Serve the guest's wishes until it is done. */
static void run_with_lines(void (*payload)(uint64_t), bool pit)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vm *vm = vm_create_irqchip();
	struct guest_report *r;
	struct vcpu *v;

	if (pit)
		must(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
	v = vcpu_create(vm, 0);
	vcpu_long_mode(v, payload, 0);
	while ((r = vcpu_run_to_report(v))->kind == REPORT_SYNC)
		vm_irq_line(vm, (r->value[0] - 1000) & 0xff, !((r->value[0] - 1000) & LOWER));
	assert_int_equal(r->kind, REPORT_DONE);
}

/* --- PIC --- */

/* Poll: the read is the acknowledge, and no interrupt comes for it. */
static void poll_payload(uint64_t arg)
{
	(void)arg;
	handle_all(on_irq);
	guest_pic_init(0);
	outb(0x20, 0x0c);
	guest_assert_eq(inb(0x20) & 0x80, 0); /* nothing there */
	raise_line(4);
	raise_line(6);
	outb(0x20, 0x0c);
	guest_assert_eq(inb(0x20), 0x84);
	guest_assert_eq(isr(0x20), 0x10);
	open_for_a_moment();
	guest_assert_eq(count[0x24] + count[0x26], 0); /* 6 waits behind 4, which is in service */
	outb(0x20, 0x20);
	outb(0x20, 0x0c);
	guest_assert_eq(inb(0x20), 0x86);
	outb(0x20, 0x20);
	open_for_a_moment();
	guest_assert_eq(count[0x24] + count[0x26], 0);
	guest_assert_eq(isr(0x20) | irr(0x20), 0);
}

static void pic_poll(void **state)
{
	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's poll answers without bit 7");
	run_with_lines(poll_payload, false);
}

/* Level-triggered, and gone before IF is set: there is no interrupt, or it is the spurious one. */
static void on_irq_7(struct guest_frame *f)
{
	(void)f;
	spurious++;
	in_service |= isr(0x20);
}

static void withdrawn_payload(uint64_t arg)
{
	(void)arg;
	handle_all(on_irq);
	guest_handler[0x27] = on_irq_7;
	guest_pic_init(0);
	outb(0x4d0, 0x10); /* ELCR: line 4 is level-triggered */
	for (int i = 0; i < 20; i++) {
		raise_line(4);
		lower_line(4);
		open_for_a_moment();
	}
	guest_assert_eq(count[0x24], 0);
	guest_assert_eq(in_service, 0); /* a spurious one is in no ISR */
	raise_line(4);
	guest_handler[0x24] = no_eoi;
	open_for_a_moment();
	guest_assert_eq(count[0x24], 1);
	lower_line(4);
	outb(0x20, 0x20);
	open_for_a_moment();
	guest_assert_eq(count[0x24], 1);
}

static void pic_withdrawn_request(void **state)
{
	(void)state;
	run_with_lines(withdrawn_payload, false);
}

/* Auto-EOI: service ends with the acknowledge, so the same line interrupts again without EOI. */
static void auto_eoi_payload(uint64_t arg)
{
	(void)arg;
	handle_all(no_eoi);
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, 0x03); /* ICW4: auto-EOI */
	outb(0x21, 0);
	for (int i = 1; i <= 3; i++) {
		raise_line(5);
		open_for_a_moment();
		guest_assert_eq(count[0x25], i);
		guest_assert_eq(isr(0x20), 0);
		lower_line(5);
	}
}

static void pic_auto_eoi(void **state)
{
	(void)state;
	run_with_lines(auto_eoi_payload, false);
}

/* Fixed priorities, then rotated ones: what was served last comes last. */
static void rotation_payload(uint64_t arg)
{
	(void)arg;
	handle_all(on_irq);
	guest_pic_init(0);
	raise_line(6);
	raise_line(3);
	raise_line(12); /* by the cascade, input 2 */
	open_for_a_moment();
	guest_assert_eq(nr_order, 3);
	guest_assert_eq(order[0], 0x2c);
	guest_assert_eq(order[1], 0x23);
	guest_assert_eq(order[2], 0x26);
	lower_line(6);
	lower_line(3);
	lower_line(12);

	nr_order = 0;
	outb(0x20, 0xc0 | 3); /* input 3 is the lowest: 4 first, 3 last */
	raise_line(3);
	raise_line(6);
	raise_line(4);
	open_for_a_moment();
	guest_assert_eq(nr_order, 3);
	guest_assert_eq(order[0], 0x24);
	guest_assert_eq(order[1], 0x26);
	guest_assert_eq(order[2], 0x23);
}

static void pic_rotation(void **state)
{
	(void)state;
	run_with_lines(rotation_payload, false);
}

/* Special mask mode: a handler that masks its own input lets lower ones through. */
static void special_mask_payload(uint64_t arg)
{
	(void)arg;
	handle_all(no_eoi);
	guest_pic_init(0);
	raise_line(3);
	open_for_a_moment(); /* 3 is in service from here on */
	guest_assert_eq(count[0x23], 1);
	raise_line(6);
	open_for_a_moment();
	guest_assert_eq(count[0x26], 0);
	outb(0x21, 0x08);
	outb(0x20, 0x68); /* OCW3: set special mask mode */
	open_for_a_moment();
	guest_assert_eq(count[0x26], 1);
	guest_assert_eq(isr(0x20), 0x48);
	outb(0x20, 0x66); /* specific EOIs: the non-specific one skips what is masked */
	outb(0x20, 0x63);
	guest_assert_eq(isr(0x20), 0);
	outb(0x20, 0x48);
}

static void pic_special_mask(void **state)
{
	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's special mask mode keeps lower inputs out");
	run_with_lines(special_mask_payload, false);
}

/* --- PIT --- */

static uint16_t read_count(uint8_t channel)
{
	uint16_t low = inb(0x40 + channel);

	return (uint16_t)(inb(0x40 + channel) << 8 | low);
}

static void load(uint8_t channel, uint8_t mode, uint16_t n)
{
	outb(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	outb(0x40 + channel, (uint8_t)n);
	outb(0x40 + channel, (uint8_t)(n >> 8));
}

/* A latched count stands still while the counter runs on. */
static void latch_payload(uint64_t arg)
{
	uint16_t latched, later;

	(void)arg;
	load(0, 2, 0);
	outb(0x43, 0x00); /* latch channel 0 */
	for (uint64_t end = rdtsc() + 2000000; rdtsc() < end;)
		cpu_relax();
	latched = read_count(0);
	outb(0x43, 0x00);
	later = read_count(0);
	guest_assert(latched > 0xff00 || latched == 0); /* of the moment of the latch */
	guest_assert(later < latched || latched == 0);
}

static void pit_latch(void **state)
{
	(void)state;
	run_with_lines(latch_payload, true);
}

/* Read-back: status and count of several channels by one command, status first. */
static void read_back_payload(uint64_t arg)
{
	(void)arg;
	load(0, 2, 50000);
	outb(0x43, 0xb6); /* channel 2, square wave, no count yet */
	outb(0x43, 0xca); /* status and count of channels 0 and 2 */
	guest_assert_eq(inb(0x40) & 0x7f, 0x34);
	guest_assert(read_count(0) <= 50000);
	guest_assert_eq(inb(0x42) & 0x7f, 0x76); /* with the null count */
	outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1));
	outb(0x42, 0x34);
	outb(0x42, 0x12);
	outb(0x43, 0xe8); /* status of channel 2 alone */
	guest_assert_eq(inb(0x42) & 0x7f, 0x36);
}

static void pit_read_back(void **state)
{
	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's status has no null count");
	run_with_lines(read_back_payload, true);
}

/* The gate of channel 2 stops the count and lets it go on. */
static void gate_payload(uint64_t arg)
{
	uint16_t held;

	(void)arg;
	outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1));
	load(2, 0, 0xf000);
	outb(0x61, (uint8_t)(inb(0x61) & ~3u));
	outb(0x43, 0x80);
	held = read_count(2);
	for (uint64_t end = rdtsc() + 1000000; rdtsc() < end;)
		cpu_relax();
	outb(0x43, 0x80);
	guest_assert_eq(read_count(2), held);
	guest_assert_eq(inb(0x61) & 0x20, 0);
	outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1));
	do { /* it moves again */
		outb(0x43, 0x80);
	} while (read_count(2) == held);
}

static void pit_gate(void **state)
{
	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's gate does not hold the count");
	run_with_lines(gate_payload, true);
}

/* A square wave shows at port 0x61: it has both levels, again and again. */
static void square_wave_payload(uint64_t arg)
{
	uint8_t now;

	(void)arg;
	outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1));
	load(2, 3, 2000);
	now = inb(0x61) & 0x20;
	for (int changes = 0; changes < 6; changes++) {
		while ((inb(0x61) & 0x20) == now)
			cpu_relax();
		now ^= 0x20;
	}
}

static void pit_square_wave(void **state)
{
	(void)state;
	run_with_lines(square_wave_payload, true);
}

/* One interrupt of a one-shot mode, and no second. */
static void one_shot_payload(uint64_t arg)
{
	(void)arg;
	handle_all(on_irq);
	guest_pic_init(0xfffe);
	load(0, 0, 3000);
	while (!count[0x20]) {
		sti_hlt();
		cli();
	}
	for (uint64_t end = rdtsc() + 10000000; rdtsc() < end;)
		open_for_a_moment();
	guest_assert_eq(count[0x20], 1);
	load(0, 0, 3000); /* and again when it is loaded again */
	while (count[0x20] < 2) {
		sti_hlt();
		cli();
	}
}

static void pit_one_shot(void **state)
{
	(void)state;
	run_with_lines(one_shot_payload, true);
}

static const struct CMUnitTest tests[] = {
	TEST(pic_poll),         TEST(pic_withdrawn_request),
	TEST(pic_auto_eoi),     TEST(pic_rotation),
	TEST(pic_special_mask), TEST(pit_latch),
	TEST(pit_read_back),    TEST(pit_gate),
	TEST(pit_square_wave),  TEST(pit_one_shot),
};

TEST_MAIN("guest_legacy", tests)
