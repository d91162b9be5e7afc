// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM can be saved between any two instructions and goes on in another one as if nothing had
 * happened. A payload runs once as a whole; then it is stepped, and at instruction boundaries all
 * its state goes into a fresh VM, by set calls in a shuffled order, which runs on to the end. Trace
 * and final state must be those of the whole run. And invariant T2: no order of set calls loses a
 * timer. By default some boundaries are tried, from a seed; with APV_LONG=1 all of them.
 */
#include "snapshot.h"

#define STIMULUS_PORT 0x90 /* doubleword: what the host shall do to the VM */
#define ANSWER_PORT   0x91
#define DO_LINE       0x000 /* | gsi | level << 8 */
#define DO_NMI        0x10000
#define DO_MSI        0x20000 /* | vector */
#define LINE_HIGH     0x100

/* --- the guest's part: a trace of what it sees --- */

#define TRACE_MAX     200

static volatile uint64_t trace[TRACE_MAX];
static volatile uint64_t trace_len;
static volatile uint64_t x2apic;
static volatile uint64_t last_tsc;
static volatile uint64_t nmi_depth, levels, ticks, ticks_wanted;

static void note(uint64_t what)
{
	uint64_t now = rdtsc();

	guest_assert(trace_len < TRACE_MAX);
	guest_assert(now >= last_tsc);
	last_tsc = now;
	trace[trace_len++] = what;
}

static uint32_t apic_read(uint32_t reg)
{
	return x2apic ? (uint32_t)x2apic_read(reg) : xapic_read(reg);
}

static void apic_write(uint32_t reg, uint32_t value)
{
	if (x2apic)
		x2apic_write(reg, value);
	else
		xapic_write(reg, value);
}

static void send_ipi(uint32_t dest, uint32_t low)
{
	if (x2apic) {
		x2apic_write(APIC_ICR_LO, (uint64_t)dest << 32 | low);
	} else {
		xapic_write(APIC_ICR_HI, dest << 24);
		xapic_write(APIC_ICR_LO, low);
	}
}

#define ICR_SELF   0x40000u
#define ICR_ASSERT 0x4000u
#define ICR_NMI    0x400u
#define ICR_INIT   0x500u
#define ICR_SIPI   0x600u

/* Which interrupt, and what the APIC says about it while it is in service. */
static void on_irq(struct guest_frame *f)
{
	uint32_t reg = (uint32_t)(f->vector >> 5) * 0x10, bit = 1u << (f->vector & 31);

	note(0x1000 | f->vector);
	note(apic_read(APIC_PPR) << 8 | !!(apic_read(APIC_ISR + reg) & bit) << 1 |
	     !!(apic_read(APIC_IRR + reg) & bit));
	apic_write(APIC_EOI, 0);
}

/*
 * A timer goes on while the payload is stepped or saved: as many ticks as are wanted are noted, and
 * each ends with IF clear, so that HLT gets exactly one.
 */
static bool tick_wanted(struct guest_frame *f)
{
	f->rflags &= ~0x200UL;
	if (ticks >= ticks_wanted)
		return false;
	ticks++;
	return true;
}

static void wait_for_ticks(unsigned int n)
{
	ticks = 0;
	ticks_wanted = n;
	while (ticks < n)
		sti_hlt();
}

static void on_apic_tick(struct guest_frame *f)
{
	if (tick_wanted(f))
		note(0x1000 | f->vector);
	apic_write(APIC_EOI, 0);
}

/* A second NMI while the first is handled, and interrupts let in: they are not NMIs. */
static void on_nmi(struct guest_frame *f)
{
	(void)f;
	note(0x2000 | nmi_depth);
	if (!nmi_depth++)
		send_ipi(0, ICR_SELF | ICR_ASSERT | ICR_NMI);
	note(0x2100 | nmi_depth);
}

static void guest_apic_on(uint64_t mode)
{
	x2apic = mode;
	if (mode)
		guest_x2apic_enable();
	else
		guest_xapic_enable();
}

/* Lower interrupts wait for higher ones, for TPR, for EOI, for IF, for shadows. */
static void on_nested(struct guest_frame *f)
{
	note(0x3000 | f->vector);
	send_ipi(0, ICR_SELF | ICR_ASSERT | 0x71); /* higher: comes at once */
	send_ipi(0, ICR_SELF | ICR_ASSERT | 0x51); /* lower: after EOI and IRET */
	sti();
	note(0x3100 | apic_read(APIC_PPR));
	cli();
	apic_write(APIC_EOI, 0);
	note(0x3200 | apic_read(APIC_PPR));
}

static void priorities(void)
{
	sti();
	send_ipi(0, ICR_SELF | ICR_ASSERT | 0x61);
	asm volatile("nop");
	apic_write(APIC_TPR, 0x50);
	send_ipi(0, ICR_SELF | ICR_ASSERT | 0x51);
	note(apic_read(APIC_PPR));
	write_cr(8, 4);
	note(read_cr(8));
	write_cr(8, 0);
	cli();
	send_ipi(0, ICR_SELF | ICR_ASSERT | 0x51);
	send_ipi(0, ICR_SELF | ICR_ASSERT | 0x71);
	note(apic_read(APIC_IRR + 0x20) | apic_read(APIC_IRR + 0x30));
	asm volatile("sti; nop; cli"); /* both; the higher first */
	send_ipi(0, ICR_SELF | ICR_ASSERT | 0x51);
	asm volatile("mov %%ss, %%eax; sti; mov %%eax, %%ss; nop; cli" : : : "rax");
	apic_write(APIC_ESR, 0);
	send_ipi(0, ICR_SELF | ICR_ASSERT | 3); /* illegal vector: ESR, and the error interrupt */
	note(apic_read(APIC_ESR));
	apic_write(APIC_ESR, 0);
	note(apic_read(APIC_ESR));
}

static void lapic_timers(void)
{
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVT_TIMER, 0x81);
	apic_write(APIC_TMICT, 300000);
	wait_for_ticks(1);
	note(apic_read(APIC_TMCCT));
	apic_write(APIC_LVT_TIMER, 0x82 | APIC_TIMER_DEADLINE);
	asm volatile("mfence");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 300000);
	wait_for_ticks(1);
	note(rdmsr(MSR_TSC_DEADLINE));
	wrmsr(MSR_TSC_DEADLINE, 1); /* the past: at once */
	wait_for_ticks(1);
	apic_write(APIC_LVT_TIMER, 0x83 | APIC_TIMER_PERIODIC);
	apic_write(APIC_TMICT, 200000);
	wait_for_ticks(3);
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
	apic_write(APIC_TMICT, 0);
	asm volatile("sti; nop; cli"); /* a surplus tick */
}

static void other_state(void)
{
	uint64_t xmm;
	uint32_t r[4];

	guest_cpuid(1, 0, r);
	asm volatile("movq %0, %%xmm5; movq %0, %%mm2" : : "r"(0x123456789abcdef0UL));
	if (r[2] & 1u << 28) { /* AVX, here with its upper halves' state only on */
		asm volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
		asm volatile("xgetbv" : "=a"(r[0]), "=d"(r[3]) : "c"(0));
		note(r[0]);
	}
	write_dr(0, 0x1234);
	wrmsr(0xc0000102, 0x7f0000002000UL); /* KERNEL_GS_BASE */
	wrmsr(0xc0000082, 0x600000);         /* LSTAR */
	write_cr(2, 0x5000);
	note(r[2] & 1u << 21); /* x2APIC */
	asm volatile("movq %%xmm5, %0" : "=r"(xmm));
	note(xmm);
	asm volatile("movq %%mm2, %0; emms" : "=r"(xmm));
	note(xmm);
	note(read_dr(0));
	note(read_dr(7));
	note(rdmsr(0xc0000102));
	note(rdmsr(0xc0000082));
	note(read_cr(2));
	note(inb(ANSWER_PORT));
	note(mmio_read32(GUEST_MMIO));
}

/* What depends on the time leaves no traces in registers. */
static void forget(void)
{
	asm volatile("xor %%eax, %%eax; xor %%ecx, %%ecx; xor %%edx, %%edx; xor %%esi, %%esi;"
		     "xor %%edi, %%edi; xor %%r8d, %%r8d; xor %%r9d, %%r9d; xor %%r10d, %%r10d;"
		     "xor %%r11d, %%r11d"
		     :
		     :
		     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
}

static void lapic_payload(uint64_t mode)
{
	for (unsigned int v = 0x50; v < 0x90; v++)
		guest_handler[v] = on_irq;
	for (unsigned int v = 0x81; v < 0x84; v++)
		guest_handler[v] = on_apic_tick;
	guest_handler[0x61] = on_nested;
	guest_handler[2] = on_nmi;
	guest_apic_on(mode);
	apic_write(APIC_LVT_ERROR, 0x85);
	priorities();
	asm volatile("sti; nop; cli"); /* the error interrupt */
	send_ipi(0, ICR_SELF | ICR_ASSERT | ICR_NMI);
	note(0x4000 | nmi_depth);
	outl(STIMULUS_PORT, DO_NMI);
	note(0x4001 | nmi_depth);
	outl(STIMULUS_PORT, DO_MSI | 0x55);
	asm volatile("sti; nop; cli");
	lapic_timers();
	other_state();
	forget();
}

/* --- IOAPIC, PIC, PIT --- */

static void on_level(struct guest_frame *f)
{
	note(0x5000 | f->vector);
	note(ioapic_read(0x10 + 2 * 11) & 0x1ffff); /* remote IRR */
	/* The line is still high at the first EOI, and the interrupt comes again. */
	if (levels++ & 1)
		outl(STIMULUS_PORT, DO_LINE | 11);
	apic_write(APIC_EOI, 0);
}

static void on_pic(struct guest_frame *f)
{
	uint16_t port = f->vector < 0x28 ? 0x20 : 0xa0;

	note(0x6000 | f->vector);
	outb(port, 0x0b); /* ISR */
	note(inb(port));
	if (f->vector == 0x2a && levels++ & 1)
		outl(STIMULUS_PORT, DO_LINE | 10);
	if (port == 0xa0)
		outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

static void on_pit_tick(struct guest_frame *f)
{
	if (tick_wanted(f))
		note(0x6000 | f->vector);
	outb(0x20, 0x20);
}

/* The line was low again before the acknowledge: nothing is in service. */
static void on_spurious(struct guest_frame *f)
{
	(void)f;
}

static void ioapic_lines(void)
{
	guest_ioapic_pin(10, 0x50, 0);            /* edge */
	guest_ioapic_pin(11, 0x51 | 1u << 15, 0); /* level */
	outl(STIMULUS_PORT, DO_LINE | LINE_HIGH | 10);
	outl(STIMULUS_PORT, DO_LINE | 10);
	outl(STIMULUS_PORT, DO_LINE | LINE_HIGH | 11);
	note(ioapic_read(0x10 + 2 * 11) & 0x1ffff);
	note(apic_read(APIC_IRR + 0x20));
	asm volatile("sti; nop; nop; cli");
	/* masked while an edge comes; unmasked while the level is high */
	guest_ioapic_pin(10, 0x50 | 1u << 16, 0);
	guest_ioapic_pin(11, 0x51 | 1u << 16 | 1u << 15, 0);
	outl(STIMULUS_PORT, DO_LINE | LINE_HIGH | 10);
	outl(STIMULUS_PORT, DO_LINE | LINE_HIGH | 11);
	sti();
	guest_ioapic_pin(11, 0x51 | 1u << 15, 0);
	asm volatile("nop; cli");
	outl(STIMULUS_PORT, DO_LINE | 10);
	note(apic_read(APIC_IRR + 0x20));
	note(ioapic_read(0x10 + 2 * 11) & 0x1ffff);
}

static void pic_lines(void)
{
	apic_write(APIC_LVT_LINT0, APIC_MODE_EXTINT);
	guest_pic_init(0xffff & ~(1 << 3 | 1 << 2 | 1 << 10));
	outb(0x4d1, 1 << 2); /* ELCR: IRQ 10 is level */
	guest_ioapic_pin(10, 1u << 16, 0);
	outl(STIMULUS_PORT, DO_LINE | LINE_HIGH | 3);
	outl(STIMULUS_PORT, DO_LINE | LINE_HIGH | 10);
	outb(0x20, 0x0a); /* IRR */
	note(inb(0x20) & ~1u);
	asm volatile("sti; nop; nop; cli");
	outl(STIMULUS_PORT, DO_LINE | 3);
	asm volatile("sti; nop; nop; cli");
	note(inb(0x21) << 8 | inb(0xa1));
	/* half an initialization: ICW1 to ICW3 */
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, 0x01);
	outb(0x21, 0xfe);
}

static void pit_counts(void)
{
	outb(0x43, 0x30); /* channel 0, mode 0, low then high byte: one IRQ 0 by the PIC */
	outb(0x40, 0x00);
	outb(0x40, 0x04);
	wait_for_ticks(1);
	outb(0x43, 0xe2); /* read back: status of channel 0 */
	note(inb(0x40));
	outb(0x43, 0xb6); /* channel 2, mode 3 */
	outb(0x42, 0x34);
	outb(0x42, 0x12);
	outb(0x43, 0xe8);
	note(inb(0x42) & 0x7f); /* but for OUT, which follows the time */
	outb(0x61, 3);
	note(inb(0x61) & 3);
	outb(0x43, 0x34); /* channel 0, mode 2 */
	outb(0x40, 0x00);
	outb(0x40, 0x40);
	wait_for_ticks(2);
	outb(0x43, 0x30); /* waits for a count: OUT is low */
	do {              /* surplus ticks, and those that the PIT makes up for */
		asm volatile("sti; nop; cli");
		outb(0x20, 0x0a);
	} while (inb(0x20) & 1);
	outb(0x21, 0xff);
}

static void lines_payload(uint64_t mode)
{
	for (unsigned int v = 0x20; v < 0x30; v++)
		guest_handler[v] = on_pic;
	guest_handler[0x20] = on_pit_tick;
	guest_handler[0x27] = on_spurious;
	guest_handler[0x50] = on_irq;
	guest_handler[0x51] = on_level;
	guest_apic_on(mode);
	guest_pic_init(0xffff);
	ioapic_lines();
	pic_lines();
	pit_counts();
	forget();
}

/* --- a timer that waits --- */

enum timer_kind { DEADLINE, EXPIRED_DEADLINE, ONESHOT, PERIODIC };

/* TSC ticks that do not pass while the host steps up to the HLT, however slow it is. */
#define FAR_AWAY 1000000000000

static void timer_payload(uint64_t kind)
{
	guest_handler[0x81] = on_apic_tick;
	guest_apic_on(1);
	if (kind == DEADLINE || kind == EXPIRED_DEADLINE) {
		apic_write(APIC_LVT_TIMER, 0x81 | APIC_TIMER_DEADLINE);
		asm volatile("mfence");
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + FAR_AWAY);
	} else {
		apic_write(APIC_TDCR, 0xb);
		apic_write(APIC_LVT_TIMER, 0x81 | (kind == PERIODIC ? APIC_TIMER_PERIODIC : 0));
		apic_write(APIC_TMICT, 10000000);
	}
	wait_for_ticks(kind == PERIODIC ? 2 : 1);
}

/* --- the host's part: orders --- */

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16) % n;
}

static void start_random(void)
{
	random_state = env_number("APV_SEED", 20);
	print_message("# APV_SEED=%lu\n", (unsigned long)random_state);
	random_state = random_state * 0x9e3779b97f4a7c15UL | 1;
}

static void shuffle(enum call order[NR_CALLS])
{
	for (unsigned int i = 0; i < NR_CALLS; i++)
		order[i] = i;
	for (unsigned int i = NR_CALLS - 1; i; i--) {
		uint32_t j = random_below(i + 1);
		enum call t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
}

static void print_order(const enum call order[NR_CALLS])
{
	print_message("# order:");
	for (unsigned int i = 0; i < NR_CALLS; i++)
		print_message(" %s", call_name[order[i]]);
	print_message("\n");
}

static bool same_trace(struct vm *a, struct vm *b)
{
	for (unsigned int i = 0; i < TRACE_MAX; i++) {
		uint64_t x = in_guest(a, trace)[i], y = in_guest(b, trace)[i];

		if (x != y) {
			print_message("# trace[%u] is %#lx, wanted %#lx\n", i, x, y);
			return false;
		}
	}
	return in_guest(a, trace_len) == in_guest(b, trace_len);
}

/* --- running --- */

static void serve_stimulus(struct vcpu *v, uint32_t what)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = what & 0xff };

	if (what & DO_NMI)
		must(ioctl(v->fd, KVM_NMI));
	else if (what & DO_MSI)
		must(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi));
	else
		vm_irq_line(v->vm, what & 0xff, !!(what & LINE_HIGH));
}

/* KVM_RUN until a step is done or the guest reports; true: it has come to its end. */
static bool run_on(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	int ret;

	for (;;) {
		void *data = (uint8_t *)run + run->io.data_offset;

		ret = vcpu_run_raw(v);
		if (ret)
			fail_msg("KVM_RUN: %s at rip %#llx", strerror(-ret), vcpu_regs(v).rip);
		data = (uint8_t *)run + run->io.data_offset;
		if (run->exit_reason == KVM_EXIT_DEBUG)
			return false;
		if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write)
			memset(run->mmio.data, 0x3c, sizeof(run->mmio.data));
		else if (run->exit_reason != KVM_EXIT_IO)
			fail_msg("exit %s", exit_name(run->exit_reason));
		else if (run->io.port == ANSWER_PORT)
			*(uint8_t *)data = 0x5a;
		else if (run->io.port == STIMULUS_PORT)
			serve_stimulus(v, *(uint32_t *)data);
		else if (v->report->kind == REPORT_DONE)
			return true;
		else
			fail_msg("guest report %lu: %#lx line %lu, %#lx %#lx", v->report->kind,
				 v->report->value[0], v->report->value[1], v->report->value[3],
				 v->report->value[4]);
	}
}

static void set_step(struct vcpu *v, bool on)
{
	struct kvm_guest_debug d = { 0 };

	if (on)
		d.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
	must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
}

/* One payload: its whole run, and the state it ended in. */
struct subject {
	void (*payload)(uint64_t);
	uint64_t arg;
	struct vm *reference;
	struct saved_vm end;
};

static struct saved_vm saved, again;

static void check_end(struct subject *s, struct vm *vm, const char *who)
{
	save_vm(vm, &again);
	if (!same_trace(vm, s->reference) || !same_vm(&again, &s->end))
		fail_msg("%s ended differently", who);
}

/* A fresh VM gets the state, shows the same state, and runs to the same end. */
static void continue_elsewhere(struct subject *s, struct vm *source, unsigned int step)
{
	struct vm *vm = empty_machine(source->nr_vcpus);
	uint64_t rip = vcpu_regs(source->vcpu[0]).rip;
	enum call order[NR_CALLS];

	shuffle(order);
	copy_memory(vm, source);
	for (unsigned int i = 0; i < NR_CALLS; i++)
		restore_call(vm, &saved, order[i]);
	save_vm(vm, &again);
	if (!same_registers(&again.vcpu[0], &saved.vcpu[0]) ||
	    again.vcpu[0].tsc.entry[0].data < saved.vcpu[0].tsc.entry[0].data ||
	    again.clock.clock < saved.clock.clock) {
		print_order(order);
		fail_msg("saved at step %u, rip %#lx: restored differently", step, rip);
	}
	if (!run_on(vm->vcpu[0]))
		fail_msg("a step where none was asked for");
	save_vm(vm, &again);
	if (!same_trace(vm, s->reference) || !same_vm(&again, &s->end)) {
		print_order(order);
		fail_msg("saved at step %u, rip %#lx: ended differently", step, rip);
	}
	vm_free(vm);
}

static void run_reference(struct subject *s)
{
	s->reference = empty_machine(1);
	vcpu_long_mode(s->reference->vcpu[0], s->payload, s->arg);
	run_on(s->reference->vcpu[0]);
	assert_true(in_guest(s->reference, trace_len) > 10);
	save_vm(s->reference, &s->end);
}

static void saved_anywhere(void (*payload)(uint64_t), uint64_t arg)
{
	struct subject s = { .payload = payload, .arg = arg };
	unsigned int step, saves = 0, stride = 1;
	struct vm *vm;

	if (!dev_capability(KVM_CAP_SET_GUEST_DEBUG) || !on_apicvisor())
		skip_because("single steps of the peer are not exact: see test_debug.c");
	start_random();
	run_reference(&s);
	if (env_number("APV_LONG", 0))
		alarm(3600);
	else
		stride = 50;
	vm = empty_machine(1);
	vcpu_long_mode(vm->vcpu[0], payload, arg);
	set_step(vm->vcpu[0], true);
	for (step = 0; !run_on(vm->vcpu[0]); step++) {
		/* At each, as looking at the state must not change it; this one folds requests. */
		must(ioctl(vm->vcpu[0]->fd, KVM_GET_LAPIC, &saved.vcpu[0].lapic));
		if (random_below(stride))
			continue;
		save_vm(vm, &saved);
		continue_elsewhere(&s, vm, step);
		saves++;
	}
	print_message("# %u steps, %u saves, %lu notes\n", step, saves,
		      (unsigned long)in_guest(vm, trace_len));
	set_step(vm->vcpu[0], false);
	check_end(&s, vm, "the stepped VM"); /* neither steps nor saves have changed it */
}

static void lapic_xapic(void **state)
{
	(void)state;
	saved_anywhere(lapic_payload, 0);
}

static void lapic_x2apic(void **state)
{
	(void)state;
	saved_anywhere(lapic_payload, 1);
}

static void lines_xapic(void **state)
{
	(void)state;
	saved_anywhere(lines_payload, 0);
}

static void lines_x2apic(void **state)
{
	(void)state;
	saved_anywhere(lines_payload, 1);
}

/* --- no order loses a timer --- */

static const enum call timer_calls[] = { SET_SREGS, SET_LAPIC, SET_TSC, SET_DEADLINE, SET_MP };
#define NR_TIMER_CALLS ARRAY_SIZE(timer_calls)

/* The calls that have nothing to do with it, then those five in @order. */
static void timer_survives(struct vm *source, struct saved_vm *state,
			   const enum call order[NR_TIMER_CALLS])
{
	static const enum call others[] = { SET_XCRS, SET_XSAVE,  SET_MSRS,     SET_CHIP,
					    SET_REGS, SET_EVENTS, SET_CHIP + 1, SET_CHIP + 2 };
	struct vm *vm = empty_machine(1);
	int ret;

	copy_memory(vm, source);
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++)
		restore_call(vm, state, others[i]);
	for (unsigned int i = 0; i < NR_TIMER_CALLS; i++)
		restore_call(vm, state, order[i]);
	ret = vcpu_run_raw(vm->vcpu[0]);
	if (ret || vm->vcpu[0]->report->kind != REPORT_DONE) {
		print_message("# order:");
		for (unsigned int i = 0; i < NR_TIMER_CALLS; i++)
			print_message(" %s", call_name[order[i]]);
		fail_msg("the timer is lost: KVM_RUN %s, exit %s", strerror(-ret),
			 exit_name(vm->vcpu[0]->run->exit_reason));
	}
	vm_free(vm);
}

/* The @n-th permutation. */
static void nth_order(unsigned int n, enum call order[NR_TIMER_CALLS])
{
	memcpy(order, timer_calls, sizeof(timer_calls));
	for (unsigned int left = NR_TIMER_CALLS; left > 1; left--) {
		unsigned int i = NR_TIMER_CALLS - left, j = i + n % left;
		enum call t = order[i];

		order[i] = order[j];
		order[j] = t;
		n /= left;
	}
}

static void every_order(enum timer_kind kind, unsigned int stride)
{
	struct vm *source = empty_machine(1);
	struct vcpu *v = source->vcpu[0];
	enum call order[NR_TIMER_CALLS];
	struct kvm_mp_state mp;

	if (!on_apicvisor())
		skip_because("the peer loses timers, and its steps are not exact");
	if (env_number("APV_LONG", 0)) {
		alarm(600);
		stride = 1;
	}
	vcpu_long_mode(v, timer_payload, kind);
	set_step(v, true);
	do {
		assert_false(run_on(v));
		must(ioctl(v->fd, KVM_GET_MP_STATE, &mp));
	} while (mp.mp_state != KVM_MP_STATE_HALTED);
	save_vm(source, &saved);
	if (kind == DEADLINE || kind == EXPIRED_DEADLINE) {
		__u64 *deadline = &saved.vcpu[0].deadline.entry[0].data;
		__u64 *tsc = &saved.vcpu[0].tsc.entry[0].data;

		assert_true(*deadline > *tsc && *deadline <= *tsc + FAR_AWAY);
		*deadline = *tsc + 1000000; /* it was armed; nobody wants to wait that long */
		if (kind == EXPIRED_DEADLINE)
			*tsc += FAR_AWAY;
	}
	for (unsigned int n = 0; n < 120; n += stride) {
		nth_order(n, order);
		timer_survives(source, &saved, order);
	}
}

static void deadline_survives_any_order(void **state)
{
	(void)state;
	every_order(DEADLINE, 1);
}

static void expired_deadline_survives_any_order(void **state)
{
	(void)state;
	every_order(EXPIRED_DEADLINE, 1);
}

static void one_shot_survives_any_order(void **state)
{
	(void)state;
	every_order(ONESHOT, 5);
}

static void periodic_survives_any_order(void **state)
{
	(void)state;
	every_order(PERIODIC, 5);
}

static const struct CMUnitTest tests[] = {
	TEST(lapic_xapic),
	TEST(lapic_x2apic),
	TEST(lines_xapic),
	TEST(lines_x2apic),
	TEST(deadline_survives_any_order),
	TEST(expired_deadline_survives_any_order),
	TEST(one_shot_survives_any_order),
	TEST(periodic_survives_any_order),
};

TEST_MAIN("guest_save", tests)
