// SPDX-License-Identifier: GPL-2.0-only
/*
 * HLT, MWAIT and PAUSE: with exits and without (KVM_CAP_X86_DISABLE_EXITS), what wakes a halted
 * vCPU, halt polling, loops of PAUSE. Everything is told by counters, nothing by time. Sources: SDM
 * "Other Causes of VM Exits", "Changes to Instruction Behavior in VMX Non-Root Operation", KVM's
 * API document and its page on halt polling.
 */
#include "lib.h"
#include "stats.h"

#define VECTOR      0x51
#define ROUNDS      100
#define REMOTE_READ (3u << 8)
#define SECOND      "1000000000"

static volatile uint64_t halting, woken, nmis;

static uint64_t vcpu_counter(struct vcpu *v, const char *name)
{
	struct sample now = take_sample(v);

	return counter(&now, name);
}

static void set_module_parameter(const char *name, const char *value)
{
	char path[128];
	int r;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	r = write_file(path, value);
	if (r)
		fail_msg("%s: %s", path, strerror(-r));
}

/* --- guests --- */

static void on_irq(struct guest_frame *f)
{
	(void)f;
	woken++;
	xapic_write(APIC_EOI, 0);
}

static void on_nmi(struct guest_frame *f)
{
	(void)f;
	nmis++;
}

static struct vm *vm_without(uint64_t exits)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS, .args = { exits } };
	struct vm *vm = vm_create_irqchip();
	int works = dev_capability(KVM_CAP_X86_DISABLE_EXITS);

	if ((works & exits) != exits)
		skip_because("this machine can't do without these exits: %#x of %#lx", works,
			     (unsigned long)exits);
	if (exits)
		must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	return vm;
}

static struct vcpu *add_vcpu(struct vm *vm, void (*fn)(uint64_t), uint64_t arg)
{
	struct vcpu *v = vcpu_create(vm, vm->nr_vcpus);

	vcpu_long_mode(v, fn, arg);
	return v;
}

/* Each interrupt finds the vCPU in HLT, or in the shadow of STI just before it. */
static void sleeper_payload(uint64_t rounds)
{
	guest_xapic_enable();
	guest_handler[VECTOR] = on_irq;
	cli();
	for (uint64_t i = 1; i <= rounds; i++) {
		halting = i;
		sti_hlt();
		cli();
		guest_assert_eq(woken, i); /* nothing else has woken it */
	}
}

static void waker_payload(uint64_t rounds)
{
	guest_xapic_enable();
	for (uint64_t i = 1; i <= rounds; i++) {
		while (halting != i)
			cpu_relax();
		/* most rounds find it halted, sleeping or polling by then; no test needs each to */
		for (uint64_t end = rdtsc() + 20000; rdtsc() < end;)
			cpu_relax();
		xapic_write(APIC_ICR_HI, 1u << 24);
		xapic_write(APIC_ICR_LO, VECTOR);
		while (woken != i)
			cpu_relax();
	}
}

/* Each has a CPU of its own: polling is for those that nobody else wants. */
static void run_vcpus(struct vcpu *waker, struct vcpu *sleeper)
{
	vcpu_start(sleeper);
	pin_thread(sleeper->thread, sysconf(_SC_NPROCESSORS_ONLN) > 1);
	vcpu_start(waker);
	pin_thread(waker->thread, 0);
	vcpu_join(waker);
	vcpu_join(sleeper);
}

/* The sleeper is vCPU 1. */
static struct vcpu *run_pair(struct vm *vm)
{
	struct vcpu *waker = add_vcpu(vm, waker_payload, ROUNDS);
	struct vcpu *sleeper = add_vcpu(vm, sleeper_payload, ROUNDS);

	run_vcpus(waker, sleeper);
	return sleeper;
}

/* --- HLT --- */

static void hlt_exits(void **state)
{
	struct vcpu *sleeper;

	(void)state;
	need_apicvisor();
	sleeper = run_pair(vm_without(0));
	assert_int_equal(vcpu_counter(sleeper, "exit.hlt"), ROUNDS);
}

static void hlt_without_exits(void **state)
{
	struct vcpu *sleeper;

	(void)state;
	need_apicvisor();
	sleeper = run_pair(vm_without(KVM_X86_DISABLE_EXITS_HLT));
	assert_int_equal(vcpu_counter(sleeper, "exit.hlt"), 0);
	/* it was made runnable before it started, and never slept since */
	assert_int_equal(vcpu_counter(sleeper, "halts"), 0);
	/* with posted interrupts the processor wakes it, takes the interrupt and completes it */
	if (have.virtual_interrupts) /* but where an exit, for a page's first use, interrupted it */
		assert_in_range(vcpu_counter(sleeper, "irq_injected"), 0, ROUNDS / 10);
	if (have.posted_interrupts) {
		assert_int_equal(vcpu_counter(sleeper, "exit.virtualized_eoi"), 0);
		assert_int_equal(vcpu_counter(sleeper, "irq_windows"), 0);
	}
}

/* Those of vCPUs to come: one that is there goes on as it was created. */
static void a_vcpu_keeps_its_exits(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS,
				      .args = { KVM_X86_DISABLE_EXITS_HLT } };
	struct vm *vm = vm_without(0);
	struct vcpu *waker = add_vcpu(vm, waker_payload, ROUNDS), *sleeper;

	(void)state;
	need_apicvisor();
	sleeper = add_vcpu(vm, sleeper_payload, ROUNDS);
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	run_vcpus(waker, sleeper);
	assert_int_equal(vcpu_counter(sleeper, "exit.hlt"), ROUNDS);
}

/* The same on the peer: that it works is seen by the guest. */
static void hlt_without_exits_wakes(void **state)
{
	(void)state;
	run_pair(vm_without(KVM_X86_DISABLE_EXITS_HLT));
}

/* With IF = 0 an interrupt waits, and an NMI wakes. */
static void deaf_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	guest_handler[VECTOR] = on_irq;
	guest_handler[2] = on_nmi;
	cli();
	guest_sync(1);
	hlt();
	guest_assert(nmis >= 1);
	guest_assert_eq(woken, 0);
	sti();
	asm volatile("nop");
	guest_assert_eq(woken, 1);
	guest_sync(2);
}

static void deaf_halt_waits_for_nmi(void **state)
{
	struct vm *vm = vm_without(KVM_X86_DISABLE_EXITS_HLT);
	struct vcpu *v = add_vcpu(vm, deaf_payload, 0);
	struct kvm_msi irq = { .address_lo = 0xfee00000, .data = VECTOR };
	struct kvm_msi nmi = { .address_lo = 0xfee00000, .data = 4 << 8 };

	(void)state;
	expect_sync(v, 1);
	assert_int_equal(must(ioctl(vm->fd, KVM_SIGNAL_MSI, &irq)), 1);
	vcpu_start(v);
	/* one may come just before HLT, and then wakes nobody */
	while (v->synced != 2 && !v->error[0] && !v->finished && !test_timed_out) {
		must(ioctl(vm->fd, KVM_SIGNAL_MSI, &nmi));
		sched_yield();
	}
	vcpu_join(v);
}

static struct kvm_mp_state mp_state(struct vcpu *v)
{
	struct kvm_mp_state s;

	must(ioctl(v->fd, KVM_GET_MP_STATE, &s));
	return s;
}

/* Stop the vCPU in its HLT: it says on its way there that it goes. */
static void stop_in_halt(struct vcpu *v)
{
	const uint8_t *code = v->vm->mem;

	for (;;) {
		vcpu_start(v);
		while (!in_guest(v->vm, halting) && !v->error[0] && !test_timed_out)
			sched_yield();
		vcpu_stop(v);
		if (code[vcpu_regs(v).rip - 1] == 0xf4) /* behind HLT */
			return;
	}
}

static void one_halt_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	guest_handler[VECTOR] = on_irq;
	cli();
	halting = 1;
	sti_hlt();
	cli();
	guest_sync(woken);
}

/* What userspace sees, and can save, is a halted vCPU, exits or not; it goes on being halted. */
static void halt_is_saved(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VECTOR };
	struct vm *vm = vm_without(KVM_X86_DISABLE_EXITS_HLT);
	struct vcpu *v = add_vcpu(vm, one_halt_payload, 0);
	struct kvm_mp_state s;

	(void)state;
	stop_in_halt(v);
	if (on_apicvisor()) /* the peer says "runnable" and keeps the rest to itself */
		assert_int_equal(mp_state(v).mp_state, KVM_MP_STATE_HALTED);
	s = mp_state(v);
	must(ioctl(v->fd, KVM_SET_MP_STATE, &s));
	vcpu_start(v);
	assert_int_equal(must(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi)), 1);
	vcpu_wait_sync(v, 1);
	vcpu_join(v);
}

/* An exception that userspace injects ends HLT; in that state an entry would refuse it. */
static void catch_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	guest_handler[6] = on_nmi;
	cli();
	halting = 1;
	hlt();
	guest_assert_eq(nmis, 1);
}

static void injected_exception_ends_halt(void **state)
{
	struct vcpu *v = add_vcpu(vm_without(KVM_X86_DISABLE_EXITS_HLT), catch_payload, 0);
	struct kvm_vcpu_events ev;

	(void)state;
	stop_in_halt(v);
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &ev));
	ev.exception.injected = 1;
	ev.exception.nr = 6;
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &ev));
	expect_done(v);
}

/* INIT finds a CPU in HLT, SIPI starts it over. */
static void init_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	while (!halting)
		cpu_relax();
	xapic_write(APIC_ICR_HI, 1u << 24);
	xapic_write(APIC_ICR_LO, 0x4500);
	xapic_write(APIC_ICR_HI, 1u << 24);
	xapic_write(APIC_ICR_LO, 0x4600 | GUEST_BLOB >> 12);
	while (!woken)
		cpu_relax();
}

static void init_ends_halt(void **state)
{
	/* mov ax, 1; mov [0x8000 + GUEST_BLOB's offset 0x800], ax by CS; then halt for good */
	static const uint8_t code[] = { 0x2e, 0xc7, 0x06, 0x00, 0x08, 0x01, 0x00, 0xfa, 0xf4 };
	struct vm *vm = vm_without(KVM_X86_DISABLE_EXITS_HLT);
	struct vcpu *bsp = add_vcpu(vm, init_payload, 0);
	struct vcpu *ap = add_vcpu(vm, catch_payload, 0);
	volatile uint8_t *started = vm->mem + GUEST_BLOB + 0x800;

	(void)state;
	memcpy(vm->mem + GUEST_BLOB, code, sizeof(code));
	vcpu_start(ap);
	vcpu_start(bsp);
	while (!*started && !ap->error[0] && !bsp->error[0] && !test_timed_out)
		sched_yield();
	in_guest(vm, woken) = 1;
	vcpu_join(bsp);
	vcpu_stop(ap);
}

/* A remote read, which only wakes: the HLT that lasts, and the one that was still to come. */
static void read_twice_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	cli();
	xapic_write(APIC_ICR_HI, 0);
	xapic_write(APIC_ICR_LO, REMOTE_READ);
	hlt();
	halting = 1;
	hlt();
	guest_sync(1);
}

static void remote_read_ends_halt(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = REMOTE_READ };
	struct vm *vm = vm_without(KVM_X86_DISABLE_EXITS_HLT);
	struct vcpu *v = add_vcpu(vm, read_twice_payload, 0);

	(void)state;
	need_apicvisor(); /* the peer lets it sleep on */
	stop_in_halt(v);
	vcpu_start(v);
	assert_int_equal(must(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi)), 1);
	vcpu_wait_sync(v, 1);
	vcpu_join(v);
}

/* The same while it is in the guest, with no end of KVM_RUN in between. */
static void remote_read_ends_running_halt(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = REMOTE_READ };
	struct vm *vm = vm_without(KVM_X86_DISABLE_EXITS_HLT);
	struct vcpu *v = add_vcpu(vm, read_twice_payload, 0);

	(void)state;
	need_apicvisor();
	vcpu_start(v);
	while (!in_guest(vm, halting) && !v->error[0] && !test_timed_out)
		sched_yield();
	/* it may come before the HLT: then it is kept for that */
	assert_int_equal(must(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi)), 1);
	vcpu_wait_sync(v, 1);
	vcpu_join(v);
	assert_in_range(vcpu_counter(v, "exit.hlt"), 1, 2);
}

static void lone_hlt_payload(uint64_t arg)
{
	(void)arg;
	hlt();
}

/* It comes while userspace has the vCPU, and may save it: what it finds is awake. */
static void remote_read_is_saved(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = REMOTE_READ };
	struct kvm_mp_state halted = { .mp_state = KVM_MP_STATE_HALTED };
	struct vm *vm = vm_without(0);
	struct vcpu *v = add_vcpu(vm, lone_hlt_payload, 0);

	(void)state;
	need_apicvisor(); /* as above */
	must(ioctl(v->fd, KVM_SET_MP_STATE, &halted));
	assert_int_equal(mp_state(v).mp_state, KVM_MP_STATE_HALTED);
	assert_int_equal(must(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi)), 1);
	assert_int_equal(mp_state(v).mp_state, KVM_MP_STATE_RUNNABLE);
}

/* Without an in-kernel LAPIC userspace halts its vCPUs itself, whatever it has asked for. */
static void hlt_stays_with_userspace(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS,
				      .args = { KVM_X86_DISABLE_EXITS_HLT } };
	struct vm *vm = vm_create();
	struct vcpu *v;

	(void)state;
	need_apicvisor();
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	v = add_vcpu(vm, lone_hlt_payload, 0);
	expect_exit(v, KVM_EXIT_HLT);
	expect_done(v);
}

/* --- MWAIT, C-states --- */

static void monitor(void)
{
	asm volatile("monitor" : : "a"(&woken), "c"(0), "d"(0));
}

static void mwait(void)
{
	asm volatile("mwait" : : "a"(0), "c"(0));
}

static void mwait_payload(uint64_t works)
{
	uint32_t error;

	if (!works) {
		guest_assert_eq(guest_catch(monitor, &error), -1);
		guest_assert_eq(guest_catch(mwait, &error), -1);
		return;
	}
	monitor();
	woken++; /* armed and triggered: MWAIT does not wait */
	mwait();
}

static void mwait_exits(void **state)
{
	struct vcpu *v;

	(void)state;
	need_apicvisor(); /* counters */
	v = add_vcpu(vm_without(0), mwait_payload, 0);
	expect_done(v);
	assert_int_equal(vcpu_counter(v, "exit.monitor"), 1);
	assert_int_equal(vcpu_counter(v, "exit.mwait"), 1);
}

static void mwait_without_exits(void **state)
{
	struct vcpu *v = add_vcpu(vm_without(KVM_X86_DISABLE_EXITS_MWAIT), mwait_payload, 1);

	(void)state;
	expect_done(v);
	if (!on_apicvisor())
		return;
	assert_int_equal(vcpu_counter(v, "exit.monitor"), 0);
	assert_int_equal(vcpu_counter(v, "exit.mwait"), 0);
}

static const uint32_t cstate_msrs[] = { 0x3fc, 0x3fd, 0x3fe, 0x660 };
static volatile uint32_t cstate_msr;

static void read_cstate(void)
{
	rdmsr(cstate_msr);
}

static void write_cstate(void)
{
	wrmsr(cstate_msr, 0);
}

/* Reports how many could be read. None is the guest's to write. */
static void cstate_payload(uint64_t arg)
{
	uint64_t found = 0;
	uint32_t error;

	(void)arg;
	for (unsigned int i = 0; i < ARRAY_SIZE(cstate_msrs); i++) {
		cstate_msr = cstate_msrs[i];
		found += guest_catch(read_cstate, &error) < 0;
		guest_assert_eq(guest_catch(write_cstate, &error), 13);
	}
	guest_sync_values(1, found, 0, 0, 0);
}

static void cstates_without_exits(void **state)
{
	struct vcpu *v = add_vcpu(vm_without(KVM_X86_DISABLE_EXITS_CSTATE), cstate_payload, 0);
	uint64_t found;

	(void)state;
	need_apicvisor();
	found = expect_sync(v, 1)->value[1];
	assert_in_range(found, 1, ARRAY_SIZE(cstate_msrs));
	assert_int_equal(vcpu_counter(v, "exit.rdmsr"), ARRAY_SIZE(cstate_msrs) - found);
}

static void cstates_are_the_hosts(void **state)
{
	struct vcpu *v = add_vcpu(vm_without(0), cstate_payload, 0);

	(void)state;
	assert_int_equal(expect_sync(v, 1)->value[1], 0);
}

/* --- PAUSE --- */

static void pause_payload(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		cpu_relax();
}

static uint64_t pause_exits(uint64_t disabled, uint64_t n)
{
	struct vcpu *v = add_vcpu(vm_without(disabled), pause_payload, n);
	uint64_t exits;

	expect_done(v);
	exits = vcpu_counter(v, "exit.pause");
	vm_free(v->vm);
	return exits;
}

static void pause_loops_exit(void **state)
{
	char gap[16], window[16], now[16], parameters[64];

	(void)state;
	need_apicvisor();
	module_parameter("ple_gap", gap, sizeof(gap));
	module_parameter("ple_window", window, sizeof(window));
	if (!strcmp(gap, "0")) { /* the processor can't: sysfs says so */
		assert_string_equal(window, "0");
		assert_int_equal(pause_exits(0, 20000), 0);
		return;
	}
	/* Nobody is there to be yielded to: the window doubles. */
	assert_in_range(pause_exits(0, 20000), 1, 20);
	assert_int_equal(pause_exits(0, 10), 0); /* a few are no loop */
	assert_int_equal(pause_exits(KVM_X86_DISABLE_EXITS_PAUSE, 20000), 0);
	reload_module("ple_gap=0");
	assert_int_equal(pause_exits(0, 20000), 0);
	/* the window shows 0 then: it has to be given again */
	snprintf(parameters, sizeof(parameters), "ple_gap=%s ple_window=%s", gap, window);
	reload_module(parameters);
	module_parameter("ple_window", now, sizeof(now));
	assert_string_equal(now, window);
}

static volatile uint64_t turn;

static void wait_for_turn(uint64_t me)
{
	for (int i = 0; i < ROUNDS; i++) {
		while (turn != me)
			cpu_relax();
		turn = !me;
	}
}

/* Two vCPUs share a CPU, and each spins until the other has run. */
static void a_spinner_yields_to_whom_it_waits_for(void **state)
{
	struct vm *vm = vm_create_irqchip();
	uint64_t yielded;
	char gap[16];

	(void)state;
	need_apicvisor();
	module_parameter("ple_gap", gap, sizeof(gap));
	if (!strcmp(gap, "0"))
		skip_because("the processor has no PAUSE-loop exiting");
	pin_thread(pthread_self(), 0); /* threads inherit it */
	for (unsigned int i = 0; i < 2; i++) {
		vcpu_long_mode(vcpu_create(vm, i), wait_for_turn, i);
		vcpu_start(vm->vcpu[i]);
	}
	vcpu_join(vm->vcpu[0]);
	vcpu_join(vm->vcpu[1]);
	yielded = vcpu_counter(vm->vcpu[0], "directed_yield_successful") +
		  vcpu_counter(vm->vcpu[1], "directed_yield_successful");
	print_message("# %lu of %d hand-overs by directed yield\n", (unsigned long)yielded,
		      2 * ROUNDS);
	assert_true(yielded >= ROUNDS);
	vm_free(vm);
}

/* --- halt polling --- */

#define NR_POLL_PARAMETERS 2
static const char *const poll_parameters[NR_POLL_PARAMETERS] = { "halt_poll_ns",
								 "halt_poll_ns_grow_start" };

static int save_parameters(void **state)
{
	static char saved[NR_POLL_PARAMETERS][16];

	if (on_apicvisor())
		for (int i = 0; i < NR_POLL_PARAMETERS; i++)
			module_parameter(poll_parameters[i], saved[i], sizeof(saved[i]));
	*state = saved;
	return stats_setup(state);
}

static int restore_parameters(void **state)
{
	char(*saved)[16] = *state;

	if (on_apicvisor())
		for (int i = 0; i < NR_POLL_PARAMETERS; i++)
			set_module_parameter(poll_parameters[i], saved[i]);
	return test_teardown(state);
}

/* As soon as it has slept once, and not for a second, it polls so long. */
static struct vcpu *run_polling(const char *ns, int64_t vm_ns)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HALT_POLL, .args = { vm_ns } };
	struct vm *vm;

	need_apicvisor();
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip_because("one CPU: nobody polls while somebody else wants it");
	set_module_parameter("halt_poll_ns", ns);
	set_module_parameter("halt_poll_ns_grow_start", SECOND);
	vm = vm_without(0);
	if (vm_ns >= 0)
		must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	return run_pair(vm);
}

static void assert_polls(struct vcpu *v)
{
	uint64_t attempted = vcpu_counter(v, "halt_attempted_poll");
	uint64_t successful = vcpu_counter(v, "halt_successful_poll");

	assert_true(successful > 0);
	assert_true(attempted >= successful);
	assert_true(vcpu_counter(v, "halt_poll_success_ns") > 0);
	assert_true(vcpu_counter(v, "halts") >= attempted);
	assert_int_equal(vcpu_counter(v, "exit.hlt"), ROUNDS);
}

static void assert_never_polls(struct vcpu *v)
{
	assert_true(vcpu_counter(v, "halts") > 0);
	assert_int_equal(vcpu_counter(v, "halt_attempted_poll"), 0);
	assert_int_equal(vcpu_counter(v, "halt_successful_poll"), 0);
	assert_int_equal(vcpu_counter(v, "halt_poll_success_ns"), 0);
	assert_int_equal(vcpu_counter(v, "halt_poll_fail_ns"), 0);
}

static void polling_succeeds(void **state)
{
	(void)state;
	assert_polls(run_polling(SECOND, -1));
}

static void polling_is_off(void **state)
{
	(void)state;
	assert_never_polls(run_polling("0", -1));
}

static void a_vm_polls_alone(void **state)
{
	(void)state;
	assert_polls(run_polling("0", 1000000000));
}

static void a_vm_does_not_poll(void **state)
{
	(void)state;
	assert_never_polls(run_polling(SECOND, 0));
}

/* A vCPU that polls for four seconds and more leaves at once for a signal. */
static void signal_ends_polling(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HALT_POLL, .args = { UINT32_MAX } };
	struct vm *vm;
	struct vcpu *v;

	(void)state;
	need_apicvisor();
	set_module_parameter("halt_poll_ns_grow_start", "4000000000");
	vm = vm_without(0);
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	v = run_pair(vm);
	assert_true(vcpu_counter(v, "halt_successful_poll") > 0);
	in_guest(vm, halting) = 0;
	in_guest(vm, woken) = 0;
	vcpu_long_mode(v, one_halt_payload, 0);
	stop_in_halt(v);
	assert_true(vcpu_counter(v, "halt_poll_fail_ns") < 4000000000u);
}

#define TEST_POLL(f) cmocka_unit_test_setup_teardown(f, save_parameters, restore_parameters)

static const struct CMUnitTest tests[] = {
	STATS_TEST(hlt_exits),
	STATS_TEST(hlt_without_exits),
	STATS_TEST(hlt_without_exits_wakes),
	STATS_TEST(a_vcpu_keeps_its_exits),
	STATS_TEST(deaf_halt_waits_for_nmi),
	STATS_TEST(halt_is_saved),
	STATS_TEST(injected_exception_ends_halt),
	STATS_TEST(init_ends_halt),
	STATS_TEST(remote_read_ends_halt),
	STATS_TEST(remote_read_is_saved),
	STATS_TEST(remote_read_ends_running_halt),
	STATS_TEST(hlt_stays_with_userspace),
	STATS_TEST(mwait_exits),
	STATS_TEST(mwait_without_exits),
	STATS_TEST(cstates_without_exits),
	STATS_TEST(cstates_are_the_hosts),
	STATS_TEST(pause_loops_exit),
	STATS_TEST(a_spinner_yields_to_whom_it_waits_for),
	TEST_POLL(polling_succeeds),
	TEST_POLL(polling_is_off),
	TEST_POLL(a_vm_polls_alone),
	TEST_POLL(a_vm_does_not_poll),
	TEST_POLL(signal_ends_polling),
};

TEST_MAIN("guest_halt", tests)
