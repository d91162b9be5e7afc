// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC as a guest sees it: registers, timer modes, IPIs to itself and to other vCPUs,
 * INIT and SIPI, priorities by TPR, CR8 and in-service vectors. Sources: SDM "Advanced
 * Programmable Interrupt Controller (APIC)" and "Extended XAPIC (x2APIC)".
 */
#include "kvmtest.h"

#define VECTOR_A 0x41
#define VECTOR_B 0x52
#define VECTOR_C 0x63

static volatile uint64_t count[256], order[16], nr_order;
static volatile uint64_t use_x2apic;

static uint32_t apic_read(uint32_t reg)
{
	return use_x2apic ? (uint32_t)x2apic_read(reg) : xapic_read(reg);
}

static void apic_write(uint32_t reg, uint32_t v)
{
	if (use_x2apic)
		x2apic_write(reg, v);
	else
		xapic_write(reg, v);
}

static void apic_enable(uint64_t x2apic)
{
	use_x2apic = x2apic;
	if (x2apic)
		guest_x2apic_enable();
	else
		guest_xapic_enable();
}

static void send_ipi(uint32_t destination, uint32_t low)
{
	if (use_x2apic) {
		x2apic_write(APIC_ICR_LO, (uint64_t)destination << 32 | low);
		return;
	}
	xapic_write(APIC_ICR_HI, destination << 24);
	xapic_write(APIC_ICR_LO, low);
}

static void on_irq(struct guest_frame *f)
{
	count[f->vector]++;
	if (nr_order < 16)
		order[nr_order++] = f->vector;
	apic_write(APIC_EOI, 0);
}

static void irq_setup(uint64_t x2apic)
{
	apic_enable(x2apic);
	guest_handler[VECTOR_A] = on_irq;
	guest_handler[VECTOR_B] = on_irq;
	guest_handler[VECTOR_C] = on_irq;
}

static void both_modes(void (*payload)(uint64_t))
{
	for (uint64_t x2apic = 0; x2apic < 2; x2apic++) {
		struct vcpu *v = guest_new_irqchip(payload, x2apic);

		expect_done(v);
		vm_free(v->vm);
	}
}

/* --- registers --- */

static void registers_payload(uint64_t x2apic)
{
	apic_enable(x2apic);
	guest_assert_eq(apic_read(APIC_ID), 0);
	guest_assert_eq(apic_read(APIC_VERSION) & 0xff, 0x14);
	guest_assert_eq(apic_read(APIC_SVR), 0x1ff);
	apic_write(APIC_TPR, 0x35);
	guest_assert_eq(apic_read(APIC_TPR), 0x35);
	guest_assert_eq(read_cr(8), 3);
	guest_assert_eq(apic_read(APIC_PPR), 0x35);
	write_cr(8, 7);
	guest_assert_eq(apic_read(APIC_TPR), 0x70);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR_A);
	guest_assert_eq(apic_read(APIC_LVT_TIMER), APIC_LVT_MASKED | VECTOR_A);
	apic_write(APIC_TDCR, 0xb);
	guest_assert_eq(apic_read(APIC_TDCR), 0xb);
	if (!x2apic) { /* writable there, absent here */
		apic_write(APIC_LDR, 0x01000000);
		guest_assert_eq(apic_read(APIC_LDR), 0x01000000);
		guest_assert_eq(apic_read(APIC_DFR), 0xffffffff);
	}
}

static void registers_read_back(void **state)
{
	(void)state;
	both_modes(registers_payload);
}

static void write_ldr(void)
{
	wrmsr(MSR_X2APIC + (APIC_LDR >> 4), 1);
}

static void write_dfr(void)
{
	wrmsr(MSR_X2APIC + (APIC_DFR >> 4), 1);
}

static void write_reserved_svr(void)
{
	wrmsr(MSR_X2APIC + (APIC_SVR >> 4), 1UL << 32);
}

static void write_bad_eoi(void)
{
	wrmsr(MSR_X2APIC + (APIC_EOI >> 4), 1);
}

static void read_eoi(void)
{
	rdmsr(MSR_X2APIC + (APIC_EOI >> 4));
}

static void leave_x2apic_to_xapic(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(uint64_t)APIC_BASE_X2APIC);
}

/* @strict: not the peer, which lets some of these pass, with APICv more than without. */
static void x2apic_faults_payload(uint64_t strict)
{
	uint32_t error = 99;

	guest_x2apic_enable();
	guest_assert_eq(guest_catch(write_ldr, &error), 13); /* the LDR is read-only here */
	guest_assert_eq(error, 0);
	guest_assert_eq(guest_catch(write_dfr, NULL), 13);
	guest_assert_eq(guest_catch(write_reserved_svr, NULL), 13);
	if (strict) {
		guest_assert_eq(guest_catch(write_bad_eoi, NULL), 13);
		guest_assert_eq(guest_catch(read_eoi, NULL), 13);
	}
	guest_assert_eq(guest_catch(leave_x2apic_to_xapic, NULL), 13);
	guest_assert_eq(x2apic_read(APIC_ID), 0);
	guest_assert_eq(x2apic_read(APIC_LDR), 1);
}

static void x2apic_faults(void **state)
{
	(void)state;
	expect_done(guest_new_irqchip(x2apic_faults_payload, on_apicvisor()));
}

/* --- KVM_CAP_X2APIC_API: whole x2APIC IDs in KVM_GET_LAPIC and in MSIs --- */

static void x2apic_id_payload(uint64_t arg)
{
	(void)arg;
	guest_x2apic_enable();
	guest_handler[VECTOR_A] = on_irq;
	use_x2apic = 1;
	guest_sync_values(1, x2apic_read(APIC_ID), x2apic_read(APIC_LDR), 0, 0);
	sti();
	cpu_relax();
	guest_sync_values(2, count[VECTOR_A], 0, 0, 0);
}

static void x2apic_ids(uint64_t flags)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API, .args = { flags } };
	struct kvm_msi msi = { .address_lo = 0xfee03000, .data = VECTOR_A };
	struct vm *vm = vm_create_irqchip();
	struct kvm_lapic_state lapic;
	struct guest_report *r;
	struct vcpu *v;

	if (flags)
		must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	v = vcpu_create(vm, 3);
	vcpu_long_mode(v, x2apic_id_payload, 0);
	r = expect_sync(v, 1);
	assert_int_equal(r->value[1], 3);
	assert_int_equal(r->value[2], 8);
	must(ioctl(v->fd, KVM_GET_LAPIC, &lapic));
	assert_int_equal(*(uint32_t *)&lapic.regs[APIC_ID], flags ? 3 : 3u << 24);
	must(ioctl(v->fd, KVM_SET_LAPIC, &lapic)); /* what was read can be written */
	assert_int_equal(must(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi)), 1);
	assert_int_equal(expect_sync(v, 2)->value[1], 1);
	vm_free(vm);
}

static void x2apic_api(void **state)
{
	struct kvm_enable_cap bad = { .cap = KVM_CAP_X2APIC_API, .args = { 1u << 31 } };

	(void)state;
	if (!dev_capability(KVM_CAP_X2APIC_API))
		skip_because("KVM_CAP_X2APIC_API is not offered");
	must_fail(EINVAL, ioctl(vm_create_irqchip()->fd, KVM_ENABLE_CAP, &bad));
	x2apic_ids(0);
	x2apic_ids(KVM_X2APIC_API_USE_32BIT_IDS);
	x2apic_ids(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
}

/* --- timer --- */

static void wait_for(uint64_t vector, uint64_t n)
{
	while (count[vector] < n)
		cpu_relax();
}

static void one_shot_payload(uint64_t x2apic)
{
	irq_setup(x2apic);
	sti();
	apic_write(APIC_TDCR, 0xb); /* divide by 1 */
	apic_write(APIC_LVT_TIMER, VECTOR_A);
	apic_write(APIC_TMICT, 1000000);
	guest_assert(apic_read(APIC_TMCCT) <= 1000000);
	wait_for(VECTOR_A, 1);
	guest_assert_eq(apic_read(APIC_TMCCT), 0);
	for (uint64_t end = rdtsc() + 1000000; rdtsc() < end;)
		cpu_relax();
	guest_assert_eq(count[VECTOR_A], 1); /* once */
	apic_write(APIC_TMICT, 500000);      /* and again, into HLT */
	cli();
	while (count[VECTOR_A] < 2) {
		sti_hlt();
		cli();
	}
}

static void timer_one_shot(void **state)
{
	(void)state;
	both_modes(one_shot_payload);
}

static void periodic_payload(uint64_t x2apic)
{
	uint64_t n;

	irq_setup(x2apic);
	sti();
	apic_write(APIC_TDCR, 0); /* divide by 2 */
	apic_write(APIC_LVT_TIMER, APIC_TIMER_PERIODIC | VECTOR_B);
	apic_write(APIC_TMICT, 500000);
	wait_for(VECTOR_B, 5);
	apic_write(APIC_TMICT, 0); /* stops it */
	n = count[VECTOR_B];
	for (uint64_t end = rdtsc() + 3000000; rdtsc() < end;)
		cpu_relax();
	guest_assert(count[VECTOR_B] <= n + 1);
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | APIC_TIMER_PERIODIC | VECTOR_B);
}

static void timer_periodic(void **state)
{
	(void)state;
	both_modes(periodic_payload);
}

static void deadline_payload(uint64_t x2apic)
{
	irq_setup(x2apic);
	sti();
	apic_write(APIC_LVT_TIMER, APIC_TIMER_DEADLINE | VECTOR_C);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000000);
	guest_assert(rdmsr(MSR_TSC_DEADLINE) != 0);
	wait_for(VECTOR_C, 1);
	guest_assert_eq(rdmsr(MSR_TSC_DEADLINE), 0); /* disarmed by firing */
	wrmsr(MSR_TSC_DEADLINE, 1);                  /* long past: at once */
	wait_for(VECTOR_C, 2);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 500000);
	wrmsr(MSR_TSC_DEADLINE, 0); /* cancelled */
	for (uint64_t end = rdtsc() + 2000000; rdtsc() < end;)
		cpu_relax();
	guest_assert_eq(count[VECTOR_C], 2);
}

/* With the interrupt comes the end of the deadline, whoever delivers it; no HLT, no other exit. */
static volatile uint64_t still_armed;

static void on_deadline(struct guest_frame *f)
{
	still_armed |= rdmsr(MSR_TSC_DEADLINE);
	count[f->vector]++;
	apic_write(APIC_EOI, 0);
}

static void deadline_ends_payload(uint64_t x2apic)
{
	irq_setup(x2apic);
	guest_handler[VECTOR_C] = on_deadline;
	still_armed = 0;
	sti();
	apic_write(APIC_LVT_TIMER, APIC_TIMER_DEADLINE | VECTOR_C);
	for (uint64_t n = 1; n <= 100; n++) {
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + 20000 + 777 * n);
		wait_for(VECTOR_C, n);
	}
	guest_assert_eq(still_armed, 0);
}

static void timer_tsc_deadline(void **state)
{
	(void)state;
	for (uint64_t x2apic = 0; x2apic < 2; x2apic++) {
		struct vcpu *v = guest_new_irqchip(deadline_payload, x2apic);

		expect_done(v);
		vm_free(v->vm);
	}
}

static void deadline_ends_with_its_interrupt(void **state)
{
	(void)state;
	for (uint64_t x2apic = 0; x2apic < 2; x2apic++) {
		struct vcpu *v = guest_new_irqchip(deadline_ends_payload, x2apic);

		expect_done(v);
		vm_free(v->vm);
	}
}

/*
 * Any order of writes, tiny and zero periods included: reads never fault, nothing runs away (L1,
 * T1).
 */
static void timer_orders_payload(uint64_t x2apic)
{
	static const uint32_t mode[] = { 0, APIC_TIMER_PERIODIC, APIC_TIMER_DEADLINE, 3u << 17 };

	irq_setup(x2apic);
	for (uint32_t i = 0; i < 64; i++) {
		apic_write(APIC_TDCR, i & 0xb);
		apic_write(APIC_TMICT, i % 3);
		if (mode[i & 3] != 3u << 17)
			apic_write(APIC_LVT_TIMER, mode[i & 3] | VECTOR_A);
		apic_read(APIC_TMCCT);
		apic_write(APIC_TMICT, i * 0x4000001);
		apic_read(APIC_TMCCT);
	}
	apic_write(APIC_TMICT, 0);
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
	guest_assert_eq(apic_read(APIC_TMCCT), 0);
}

static void timer_any_order(void **state)
{
	(void)state;
	both_modes(timer_orders_payload);
}

/* --- IPIs --- */

static void self_ipi_payload(uint64_t x2apic)
{
	irq_setup(x2apic);
	send_ipi(0, 1u << 18 | VECTOR_A); /* self, by shorthand; still masked by IF */
	guest_assert_eq(apic_read(APIC_IRR + (VECTOR_A / 32) * 0x10) >> (VECTOR_A % 32) & 1, 1);
	guest_assert_eq(count[VECTOR_A], 0);
	sti();
	cpu_relax();
	guest_assert_eq(count[VECTOR_A], 1);
	send_ipi(0, VECTOR_B); /* by physical destination */
	cpu_relax();
	guest_assert_eq(count[VECTOR_B], 1);
	if (x2apic) {
		x2apic_write(APIC_SELF_IPI, VECTOR_C);
		cpu_relax();
		guest_assert_eq(count[VECTOR_C], 1);
	}
}

static void ipi_to_self(void **state)
{
	(void)state;
	both_modes(self_ipi_payload);
}

/* The higher class first; the same or a lower one waits for the EOI. */
static volatile uint64_t nested_in_b;

static void on_b_sends_more(struct guest_frame *f)
{
	(void)f;
	send_ipi(0, 1u << 18 | VECTOR_A); /* lower: waits */
	send_ipi(0, 1u << 18 | VECTOR_C); /* higher: nests as soon as IF allows */
	sti();
	cpu_relax();
	nested_in_b = count[VECTOR_A] << 8 | count[VECTOR_C];
	guest_assert_eq(apic_read(APIC_PPR), VECTOR_B & 0xf0);
	guest_assert_eq(apic_read(APIC_ISR + (VECTOR_B / 32) * 0x10) >> (VECTOR_B % 32) & 1, 1);
	cli();
	count[VECTOR_B]++;
	order[nr_order++] = VECTOR_B;
	apic_write(APIC_EOI, 0);
}

static void priority_payload(uint64_t x2apic)
{
	irq_setup(x2apic);
	send_ipi(0, 1u << 18 | VECTOR_A);
	send_ipi(0, 1u << 18 | VECTOR_C);
	send_ipi(0, 1u << 18 | VECTOR_B);
	sti();
	cpu_relax();
	cli();
	guest_assert_eq(nr_order, 3);
	guest_assert_eq(order[0], VECTOR_C);
	guest_assert_eq(order[1], VECTOR_B);
	guest_assert_eq(order[2], VECTOR_A);
	nr_order = 0;
	count[VECTOR_A] = count[VECTOR_C] = 0;
	guest_handler[VECTOR_B] = on_b_sends_more;
	send_ipi(0, 1u << 18 | VECTOR_B);
	sti();
	cpu_relax();
	cpu_relax();
	guest_assert_eq(nested_in_b, 1);     /* C came in, A did not */
	guest_assert_eq(count[VECTOR_A], 1); /* A came after the EOI */
	guest_assert_eq(order[0], VECTOR_C);
	guest_assert_eq(order[1], VECTOR_B);
	guest_assert_eq(order[2], VECTOR_A);
}

static void priorities_and_nesting(void **state)
{
	(void)state;
	both_modes(priority_payload);
}

static void tpr_payload(uint64_t x2apic)
{
	irq_setup(x2apic);
	sti();
	apic_write(APIC_TPR, 0x50);
	send_ipi(0, 1u << 18 | VECTOR_B); /* 0x52: same class, held */
	send_ipi(0, 1u << 18 | VECTOR_C); /* 0x63: passes */
	cpu_relax();
	guest_assert_eq(count[VECTOR_B], 0);
	guest_assert_eq(count[VECTOR_C], 1);
	write_cr(8, 4); /* lowers the threshold: B comes now */
	cpu_relax();
	guest_assert_eq(count[VECTOR_B], 1);
	write_cr(8, 15); /* nothing passes */
	send_ipi(0, 1u << 18 | VECTOR_C);
	cpu_relax();
	guest_assert_eq(count[VECTOR_C], 1);
	apic_write(APIC_TPR, 0);
	cpu_relax();
	guest_assert_eq(count[VECTOR_C], 2);
}

static void tpr_masks(void **state)
{
	(void)state;
	both_modes(tpr_payload);
}

/* A vector below 16 is an error, not an interrupt (L7). */
static void illegal_vector_payload(uint64_t x2apic)
{
	irq_setup(x2apic);
	apic_write(APIC_ESR, 0);
	send_ipi(0, 1u << 18 | 5);
	cpu_relax();
	apic_write(APIC_ESR, 0);
	guest_sync_values(1, apic_read(APIC_ESR), apic_read(APIC_IRR), 0, 0);
}

static void illegal_vectors(void **state)
{
	(void)state;
	for (uint64_t x2apic = 0; x2apic < 2; x2apic++) {
		struct vcpu *v = guest_new_irqchip(illegal_vector_payload, x2apic);
		struct guest_report *r = expect_sync(v, 1);

		if (on_apicvisor()) { /* the peer accepts it as any other */
			assert_int_equal(r->value[1] & 0xff, 0x20); /* send illegal vector */
			assert_int_equal(r->value[2], 0);           /* IRR 0-31 */
		}
		vm_free(v->vm);
	}
}

/* --- two vCPUs --- */

#define ROUNDS 100

static volatile uint64_t ping, pong, ap_ready;

static void on_ping(struct guest_frame *f)
{
	(void)f;
	ping++;
	apic_write(APIC_EOI, 0);
	send_ipi(0, VECTOR_B);
}

static void on_pong(struct guest_frame *f)
{
	(void)f;
	pong++;
	apic_write(APIC_EOI, 0);
}

/* The AP sleeps in HLT between pings. */
static void pong_payload(uint64_t x2apic)
{
	guest_handler[VECTOR_A] = on_ping;
	apic_enable(x2apic);
	ap_ready = 1;
	while (ping < ROUNDS) {
		cli();
		if (ping >= ROUNDS)
			break;
		sti_hlt();
	}
}

static void ping_payload(uint64_t x2apic)
{
	guest_handler[VECTOR_B] = on_pong;
	apic_enable(x2apic);
	while (!ap_ready)
		cpu_relax();
	for (uint64_t i = 0; i < ROUNDS; i++) {
		cli();
		send_ipi(1, VECTOR_A);
		while (pong <= i) {
			sti_hlt();
			cli();
		}
	}
}

static void ping_pong(uint64_t x2apic)
{
	struct vm *vm = vm_create_irqchip();

	vcpu_long_mode(vcpu_create(vm, 0), ping_payload, x2apic);
	vcpu_long_mode(vcpu_create(vm, 1), pong_payload, x2apic);
	in_guest(vm, use_x2apic) = x2apic;
	vcpu_start(vm->vcpu[1]);
	vcpu_start(vm->vcpu[0]);
	vcpu_join(vm->vcpu[0]);
	vcpu_join(vm->vcpu[1]);
	assert_int_equal(in_guest(vm, ping), ROUNDS);
	assert_int_equal(in_guest(vm, pong), ROUNDS);
	vm_free(vm);
}

static void ipi_between_vcpus(void **state)
{
	(void)state;
	ping_pong(0);
	ping_pong(1);
}

/* All but self: each of three other vCPUs gets it, the sender does not. */
static volatile uint64_t received[4];

static void on_broadcast(struct guest_frame *f)
{
	(void)f;
	received[apic_read(APIC_ID) >> (use_x2apic ? 0 : 24)]++;
	apic_write(APIC_EOI, 0);
}

static void listener_payload(uint64_t id)
{
	guest_handler[VECTOR_C] = on_broadcast;
	apic_enable(use_x2apic);
	sti();
	__atomic_fetch_add(&ap_ready, 1, __ATOMIC_SEQ_CST);
	while (!received[id])
		cpu_relax();
}

static void broadcast_payload(uint64_t x2apic)
{
	guest_handler[VECTOR_C] = on_broadcast;
	apic_enable(x2apic);
	sti();
	while (ap_ready < 3)
		cpu_relax();
	send_ipi(0, 3u << 18 | VECTOR_C);
	while (received[1] + received[2] + received[3] < 3)
		cpu_relax();
	guest_assert_eq(received[0], 0);
}

static void ipi_to_all_but_self(void **state)
{
	(void)state;
	for (uint64_t x2apic = 0; x2apic < 2; x2apic++) {
		struct vm *vm = vm_create_irqchip();

		in_guest(vm, use_x2apic) = x2apic;
		vcpu_long_mode(vcpu_create(vm, 0), broadcast_payload, x2apic);
		for (unsigned int i = 1; i < 4; i++)
			vcpu_long_mode(vcpu_create(vm, i), listener_payload, i);
		for (int i = 0; i < 4; i++)
			vcpu_start(vm->vcpu[i]);
		for (int i = 0; i < 4; i++)
			vcpu_join(vm->vcpu[i]);
		vm_free(vm);
	}
}

/* --- INIT and SIPI --- */

extern const char ap_start[], ap_start_end[];
asm(".pushsection .rodata\n"
    ".code16\n"
    "ap_start:\n"
    "	mov %cs, %ax\n"
    "	mov %ax, %ds\n"
    "	incl 0x100\n"
    "1:	hlt\n"
    "	jmp 1b\n"
    "ap_start_end:\n"
    ".code64\n"
    ".popsection");

static void start_ap_payload(uint64_t x2apic)
{
	volatile uint32_t *started = (uint32_t *)(GUEST_BLOB + 0x100);

	apic_enable(x2apic);
	send_ipi(1, 0x4500);                    /* INIT */
	send_ipi(1, 0x4600 | GUEST_BLOB >> 12); /* SIPI */
	send_ipi(1, 0x4600 | GUEST_BLOB >> 12); /* the second does nothing */
	while (*started != 1)
		cpu_relax();
	send_ipi(1, 0x4500); /* once more: INIT takes it back out of HLT */
	send_ipi(1, 0x4600 | GUEST_BLOB >> 12);
	while (*started != 2)
		cpu_relax();
	guest_assert_eq(*started, 2);
}

static void init_sipi_starts_an_ap(void **state)
{
	(void)state;
	for (uint64_t x2apic = 0; x2apic < 2; x2apic++) {
		struct vm *vm = vm_create_irqchip();

		vcpu_long_mode(vcpu_create(vm, 0), start_ap_payload, x2apic);
		vcpu_create(vm, 1);
		memcpy(vm->mem + GUEST_BLOB, ap_start, (size_t)(ap_start_end - ap_start));
		vcpu_start(vm->vcpu[1]); /* waits for the SIPI inside KVM_RUN */
		vcpu_start(vm->vcpu[0]);
		vcpu_join(vm->vcpu[0]);
		vcpu_stop(vm->vcpu[1]);
		vm_free(vm);
	}
}

static const struct CMUnitTest tests[] = {
	TEST(registers_read_back),
	TEST(x2apic_faults),
	TEST(x2apic_api),
	TEST(timer_one_shot),
	TEST(timer_periodic),
	TEST(timer_tsc_deadline),
	TEST(deadline_ends_with_its_interrupt),
	TEST(timer_any_order),
	TEST(ipi_to_self),
	TEST(priorities_and_nesting),
	TEST(tpr_masks),
	TEST(illegal_vectors),
	TEST(ipi_between_vcpus),
	TEST(ipi_to_all_but_self),
	TEST(init_sipi_starts_an_ap),
};

TEST_MAIN("guest_apic", tests)
