// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs send one another interrupts at random: to themselves, by physical and logical IDs, to all,
 * to the one of lowest priority, and NMIs; while they spin, halt, mask interrupts or are out in
 * userspace. Meanwhile the host moves their threads, takes their CPUs, sends signals, switches CPUs
 * and APIC virtualization off and on. Each interrupt is accounted for: none is lost, none comes
 * twice (invariants P3, P5). A race need not happen for a test to pass; the seed is printed.
 */
#include "disturb.h"
#include "lib.h"
#include "stats.h"

#define SENDERS     MAX_VCPUS
#define STUCK_NS    2000000000UL /* of the host's time: then an interrupt counts as lost */
#define SLOW_NS     1000000UL /* less than the period of a host's tick, much more than it takes */
#define BROADCAST   0xff
#define ICR_LOGICAL (1u << 11)
#define ICR_LOWEST  (1u << 8)
#define ICR_NMI     (4u << 8)
#define ICR_ALL     (2u << 18)
#define ICR_OTHERS  (3u << 18)

/*
 * A request that is pending already swallows a second one, rightly. So each sender has vectors of
 * its own, "lanes", and sends on a lane again when its target has handled the one before.
 */
enum lane { LANE_0, LANE_1, LANE_2, LANE_LOWEST, LANE_STOP, LANES };

struct box {
	volatile uint64_t sent;    /* written by the sender, before it sends */
	volatile uint64_t handled; /* by the target */
};

enum form { SELF, PHYSICAL, LOGICAL, SEVERAL, ALL, OTHERS, EVERYBODY, LOWEST, NMI, STOP, FORMS };
static const char *const form_names[FORMS] = { "self",   "physical", "logical", "several", "all",
					       "others", "0xff",     "lowest",  "NMI",     "stop" };

static struct box boxes[SENDERS][LANES][MAX_VCPUS]; /* LANE_LOWEST: target 0 stands for any */
static struct box nmis[MAX_VCPUS];
static volatile uint64_t nmi_lane[MAX_VCPUS]; /* one sender at a time */
static volatile uint64_t nr_vcpus, first_seed;
static volatile int64_t budget;
static volatile uint64_t started, finished, awake, stopped;
static volatile uint64_t form_count[MAX_VCPUS][FORMS], halts[MAX_VCPUS];
/* Waits without exits: how rare (0: never rare), how many, how many of them took SLOW_NS or more. */
static volatile uint64_t wait_rarely, slow_ticks, waits[MAX_VCPUS], slow_waits[MAX_VCPUS];

/* --- vectors: neighbours in the numbering lie in different priority classes --- */

#define CLASSES      13
#define FIRST_VECTOR 0x30

static uint32_t vector_of(uint32_t sender, enum lane lane)
{
	uint32_t i = sender * LANES + lane;

	return FIRST_VECTOR + i % CLASSES * 16 + i / CLASSES;
}

static struct box *box_of(uint32_t vector, uint32_t target)
{
	uint32_t i = (vector - FIRST_VECTOR) / 16 + (vector - FIRST_VECTOR) % 16 * CLASSES;
	enum lane lane = i % LANES;

	return &boxes[i / LANES][lane][lane == LANE_LOWEST ? 0 : target];
}

static bool is_idle(const struct box *b)
{
	return b->sent == b->handled;
}

/* --- guest: receiving --- */

/* Each vCPU has its own stack. */
static uint32_t whoami(const void *on_stack)
{
	return ((uintptr_t)on_stack - GUEST_STACKS) / GUEST_STACK_SIZE;
}

/* Not PAUSE: a loop of that exits, and whoever exits finds out what it was not told. */
static void spin(void)
{
	asm volatile("nop" ::: "memory");
}

static void pause_for(uint64_t n)
{
	while (n--)
		spin();
}

/* The sender may send again before EOI or after it; sometimes others nest. */
static void on_ipi(struct guest_frame *f)
{
	struct box *b = box_of((uint32_t)f->vector, whoami(f));
	uint64_t n = b->handled;

	guest_assert_eq(n + 1, b->sent); /* more: one came that nobody has sent */
	if (n & 1)
		apic_write(APIC_EOI, 0);
	__atomic_fetch_add(&b->handled, 1, __ATOMIC_SEQ_CST);
	if (n & 1)
		return;
	if (n & 2) {
		sti();
		pause_for(n & 15);
		cli();
	}
	apic_write(APIC_EOI, 0);
}

extern const char stress_hlt[];

/* An NMI between STI and HLT lets the interrupt in that HLT was to wait for: so don't wait. */
static void on_nmi(struct guest_frame *f)
{
	uint32_t me = whoami(f);
	struct box *b = &nmis[me];

	guest_assert_eq(b->handled + 1, b->sent);
	b->handled++;
	__atomic_store_n(&nmi_lane[me], 0, __ATOMIC_SEQ_CST);
	if (f->rip == (uintptr_t)stress_hlt)
		f->rip++;
}

/* --- guest: sending --- */

static void send(uint32_t dest, uint32_t low)
{
	if (mode == X2APIC) {
		x2apic_write(APIC_ICR_LO, (uint64_t)dest << 32 | low);
	} else {
		xapic_write(APIC_ICR_HI, dest << 24);
		xapic_write(APIC_ICR_LO, low);
	}
}

static void send_fixed(enum form form, uint32_t targets, uint32_t vector)
{
	switch (form) {
	case SELF:
		apic_send_self(vector);
		break;
	case PHYSICAL:
		send((uint32_t)__builtin_ctz(targets), vector);
		break;
	case ALL:
		send(0, ICR_ALL | vector);
		break;
	case OTHERS:
	case STOP:
		send(0, ICR_OTHERS | vector);
		break;
	case EVERYBODY:
		send(mode == X2APIC ? UINT32_MAX : BROADCAST, vector);
		break;
	case LOWEST:
		send(targets, ICR_LOGICAL | ICR_LOWEST | vector);
		break;
	default:
		send(targets, ICR_LOGICAL | vector);
	}
}

/* Whom it is for: one bit for each. */
static uint32_t choose_targets(enum form form, uint32_t me, uint64_t r)
{
	uint32_t all = (1u << nr_vcpus) - 1;

	switch (form) {
	case SELF:
		return 1u << me;
	case ALL:
	case EVERYBODY:
		return all;
	case OTHERS:
	case STOP:
		return all & ~(1u << me);
	case SEVERAL:
	case LOWEST:
		return (r % all) + 1;
	default:
		return 1u << r % nr_vcpus;
	}
}

/* Returns how many interrupts that makes; 0: a target has not handled the last one yet. */
static uint32_t post(uint32_t me, enum form form, enum lane lane, uint32_t targets)
{
	struct box(*to)[MAX_VCPUS] = &boxes[me][lane];
	uint32_t reached = form == LOWEST ? 1 : targets;

	for (uint32_t t = 0; t < nr_vcpus; t++)
		if ((reached >> t & 1) && !is_idle(&(*to)[t]))
			return 0;
	for (uint32_t t = 0; t < nr_vcpus; t++)
		if (reached >> t & 1)
			(*to)[t].sent++;
	send_fixed(form, targets, vector_of(me, lane));
	return (uint32_t)__builtin_popcount(reached);
}

static bool in_flight_to(uint32_t target)
{
	for (uint32_t s = 0; s < nr_vcpus; s++)
		for (uint32_t l = 0; l < LANES; l++)
			if (l != LANE_LOWEST && !is_idle(&boxes[s][l][target]))
				return true;
	return false;
}

/* An NMI gets a vCPU's attention in other ways: it must not help a request that was not noticed. */
static uint32_t post_nmi(uint32_t target)
{
	if (in_flight_to(target) || __atomic_exchange_n(&nmi_lane[target], 1, __ATOMIC_SEQ_CST))
		return 0;
	nmis[target].sent++;
	send(target, ICR_NMI);
	return 1;
}

static void send_something(uint32_t me, uint64_t r)
{
	enum form form = r % STOP;
	enum lane lane = form == LOWEST ? LANE_LOWEST : r / 16 % LANE_LOWEST;
	uint32_t targets = choose_targets(form, me, r / 64);
	uint32_t n;

	n = form == NMI ? post_nmi((uint32_t)__builtin_ctz(targets))
			: post(me, form, lane, targets);
	form_count[me][form] += n;
	if (!n || __atomic_sub_fetch(&budget, n, __ATOMIC_SEQ_CST) > 0)
		return;
	/* Whoever sleeps must learn of the end: the first to notice it tells them. */
	if (!__atomic_exchange_n(&stopped, 1, __ATOMIC_SEQ_CST))
		form_count[me][STOP] += post(me, STOP, LANE_STOP, choose_targets(STOP, me, 0));
}

/* --- guest: states to be found in --- */

/* One stays up, or all would wait for each other. */
static bool others_are_awake(void)
{
	uint64_t n = awake;

	while (n > 1)
		if (__atomic_compare_exchange_n(&awake, &n, n - 1, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			return true;
	return false;
}

static __attribute__((noinline, noclone)) void sti_hlt_here(void)
{
	asm volatile("sti\n"
		     ".globl stress_hlt\n"
		     "stress_hlt: hlt\n"
		     :
		     :
		     : "memory");
}

/*
 * Something is on its way here, or somebody is awake who will send something sooner or later; both
 * are looked at with interrupts off, so it can't arrive in between.
 */
static void halt(uint32_t me)
{
	cli();
	if (!stopped) {
		if (in_flight_to(me)) {
			halts[me]++;
			sti_hlt_here();
		} else if (others_are_awake()) {
			halts[me]++;
			sti_hlt_here();
			__atomic_fetch_add(&awake, 1, __ATOMIC_SEQ_CST);
		}
	}
	sti();
}

/*
 * Enters the guest, and stays there without any exit of its own that would make somebody look for
 * requests. A request that was not noticed waits for the host's next tick then.
 */
static void wait_for_mine(uint32_t me, uint64_t r)
{
	uint32_t leaf[4];
	uint64_t start;

	guest_cpuid(0, 0, leaf);
	pause_for(r % 64);
	start = rdtsc();
	while (in_flight_to(me))
		spin();
	waits[me]++;
	slow_waits[me] += rdtsc() - start > slow_ticks;
}

/* Likewise, while the others handle what it has sent. */
static void wait_for_others(uint32_t me)
{
	for (uint32_t l = 0; l < LANES; l++)
		for (uint32_t t = 0; t < nr_vcpus; t++)
			while (!is_idle(&boxes[me][l][t]))
				spin();
}

static void raise_tpr(uint64_t r)
{
	apic_write(APIC_TPR, (r & 15) << 4);
	pause_for(r / 16 % 32);
	apic_write(APIC_TPR, 0);
}

static void do_something(uint32_t me, uint64_t r)
{
	uint64_t more = r / 16;

	switch (r % 16) {
	case 0:
	case 1:
	case 2:
		halt(me);
		break;
	case 3:
		pause_for(more % 128);
		break;
	case 4:
		raise_tpr(more);
		break;
	case 5:
		cli();
		pause_for(more % 64);
		send_something(me, more);
		sti();
		break;
	case 6:
		if (!(more % 8))
			guest_sync(1); /* to userspace and back */
		break;
	case 7:
		if (!(more & wait_rarely))
			wait_for_mine(me, more / 64);
		break;
	case 8:
		if (!(more & wait_rarely))
			wait_for_others(me);
		break;
	default:
		send_something(me, more);
	}
}

static void guest_stress(uint64_t me)
{
	uint64_t seed = first_seed * 0x9e3779b97f4a7c15UL + (me + 1) * 0xbf58476d1ce4e5b9UL;

	apic_enable();
	if (mode == XAPIC)
		xapic_write(APIC_LDR, 1u << (24 + me));
	__atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
	while (started < nr_vcpus)
		spin();
	sti();
	while (!stopped)
		do_something((uint32_t)me, next_random(&seed));
	__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
	while (finished < nr_vcpus || in_flight_to((uint32_t)me) || nmi_lane[me])
		spin();
	for (uint32_t s = 0; s < nr_vcpus; s++)
		while (!is_idle(&boxes[s][LANE_LOWEST][0]))
			spin();
	cli();
	for (uint32_t i = 0; i < 8; i++) {
		guest_assert_eq(apic_read(APIC_IRR + 16 * i), 0);
		guest_assert_eq(apic_read(APIC_ISR + 16 * i), 0);
	}
}

/* --- the host --- */

/* Beside what disturb.h has: */
#define HLT_IN_GUEST (1u << 16)
#define OWN_CPUS     (1u << 17)

struct stress {
	struct vm *vm;
	unsigned int what;
	uint64_t seed; /* an odd one: halted vCPUs are not polled for */
	struct disturbances disturbances;
};

struct watched {
	uint64_t sent, since;
};

static struct watched watched[SENDERS + 1][LANES][MAX_VCPUS]; /* last: NMIs, lane 0 */

/* Has the box waited for the same interrupt for too long? */
static bool is_stuck(const struct box *b, struct watched *w, uint64_t now)
{
	if (is_idle(b) || w->sent != b->sent) {
		w->sent = b->sent;
		w->since = now;
	}
	return now - w->since > STUCK_NS;
}

/* Who waits for whom? */
static bool find_stuck(struct vm *vm, char *text, size_t size)
{
	uint64_t now = now_ns();

	for (uint32_t t = 0; t < MAX_VCPUS; t++) {
		const struct box *b = &in_guest(vm, nmis)[t];

		if (is_stuck(b, &watched[SENDERS][0][t], now)) {
			snprintf(text, size, "vCPU %u has not got its NMI %lu", t,
				 (unsigned long)b->sent);
			return true;
		}
		for (uint32_t s = 0; s < SENDERS; s++)
			for (uint32_t l = 0; l < LANES; l++) {
				b = &in_guest(vm, boxes)[s][l][t];
				if (!is_stuck(b, &watched[s][l][t], now))
					continue;
				snprintf(text, size,
					 "vCPU %u waits for vCPU %u%s to handle vector %#x: "
					 "sent %lu, handled %lu",
					 s, t, l == LANE_LOWEST ? " or another" : "",
					 vector_of(s, l), (unsigned long)b->sent,
					 (unsigned long)b->handled);
				return true;
			}
	}
	return false;
}

static void show_states(struct vm *vm)
{
	char page[8192];

	for (int i = 0; i < vm->nr_vcpus && on_apicvisor(); i++) {
		print_message("# vCPU %d:\n", i);
		read_debugfs(vm->vcpu[i], "state", page, sizeof(page));
		for (char *line = strtok(page, "\n"); line; line = strtok(NULL, "\n"))
			print_message("#   %s\n", line);
	}
}

struct totals {
	uint64_t sent, handled, halts, waits, slow_waits, form[FORMS];
};

static struct totals add_up(struct vm *vm)
{
	struct totals all = { 0 };

	for (uint32_t t = 0; t < MAX_VCPUS; t++) {
		all.sent += in_guest(vm, nmis)[t].sent;
		all.handled += in_guest(vm, nmis)[t].handled;
		all.halts += in_guest(vm, halts)[t];
		all.waits += in_guest(vm, waits)[t];
		all.slow_waits += in_guest(vm, slow_waits)[t];
		for (uint32_t s = 0; s < SENDERS; s++)
			for (uint32_t l = 0; l < LANES; l++) {
				all.sent += in_guest(vm, boxes)[s][l][t].sent;
				all.handled += in_guest(vm, boxes)[s][l][t].handled;
			}
		for (uint32_t f = 0; f < FORMS; f++)
			all.form[f] += in_guest(vm, form_count)[t][f];
	}
	return all;
}

static bool all_finished(struct vm *vm)
{
	for (int i = 0; i < vm->nr_vcpus; i++)
		if (!vm->vcpu[i]->finished)
			return false;
	return true;
}

static struct vcpu *find_failed(struct vm *vm)
{
	for (int i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpu[i]->error[0])
			return vm->vcpu[i];
	return NULL;
}

/* Until all have finished, or one has failed, or (said in @text) an interrupt is lost. */
static void watch(struct stress *s, char *text, size_t size)
{
	uint64_t handled = 0, since = now_ns();

	memset(watched, 0, sizeof(watched));
	while (!all_finished(s->vm) && !find_failed(s->vm) && !test_timed_out) {
		uint64_t now = add_up(s->vm).handled;

		if (now != handled)
			since = now_ns();
		handled = now;
		if (find_stuck(s->vm, text, size))
			return;
		if (now_ns() - since > STUCK_NS) {
			snprintf(text, size, "nobody waits for an interrupt, and nobody sends any");
			return;
		}
		nap(50000);
	}
}

/* --- one run --- */

static struct vm *create_vm(const struct stress *s, enum apic_mode m, uint64_t n, uint64_t count)
{
	struct kvm_enable_cap no_polling = { .cap = KVM_CAP_HALT_POLL };
	struct kvm_enable_cap no_exits = { .cap = KVM_CAP_X86_DISABLE_EXITS,
					   .args = { KVM_X86_DISABLE_EXITS_HLT } };
	struct vm *vm = vm_create_irqchip();

	if (s->seed & 1)
		must(ioctl(vm->fd, KVM_ENABLE_CAP, &no_polling));
	if (s->what & HLT_IN_GUEST)
		must(ioctl(vm->fd, KVM_ENABLE_CAP, &no_exits));
	in_guest(vm, mode) = m;
	in_guest(vm, nr_vcpus) = in_guest(vm, awake) = n;
	in_guest(vm, first_seed) = s->seed;
	in_guest(vm, budget) = (int64_t)count;
	in_guest(vm, guest_handler[2]) = on_nmi;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t l = 0; l < LANES; l++)
			in_guest(vm, guest_handler[vector_of(i, l)]) = on_ipi;
	for (uint32_t i = 0; i < n; i++)
		vcpu_long_mode(vcpu_create(vm, i), guest_stress, i);
	/* Where CPUs are shared somebody may have to wait for his turn. */
	in_guest(vm, wait_rarely) = s->what & OWN_CPUS ? 0 : 15;
	in_guest(vm, slow_ticks) =
		(uint64_t)must(ioctl(vm->vcpu[0]->fd, KVM_GET_TSC_KHZ)) * SLOW_NS / 1000000;
	return vm;
}

/* The line of that name has no vector. */
static bool shows_none(const char *page, const char *name)
{
	const char *line = strstr(page, name);

	return line && !memchr(line + 1, 'x', strcspn(line + 1, "\n")); /* 0x.. */
}

static void nothing_is_left(struct vm *vm)
{
	char page[8192];

	for (int i = 0; i < vm->nr_vcpus && on_apicvisor(); i++) {
		read_debugfs(vm->vcpu[i], "state", page, sizeof(page));
		assert_true(shows_none(page, "\nPIR"));
		assert_true(shows_none(page, "\nIRR"));
		assert_true(shows_none(page, "\nISR"));
	}
}

static void report(const struct stress *s, enum apic_mode m, const struct totals *all, uint64_t ns)
{
	char text[400];
	size_t n = 0;

	for (uint32_t f = 0; f < FORMS; f++)
		n += snprintf(text + n, sizeof(text) - n, ", %s %lu", form_names[f],
			      (unsigned long)all->form[f]);
	print_message("# stress: %s, %d vCPUs, seed %lu: %lu sent, %lu handled, %lu ms, "
		      "%lu halts, %lu of %lu waits slow%s\n",
		      m == X2APIC ? "x2APIC" : "xAPIC", s->vm->nr_vcpus, (unsigned long)s->seed,
		      (unsigned long)all->sent, (unsigned long)all->handled,
		      (unsigned long)(ns / 1000000), (unsigned long)all->halts,
		      (unsigned long)all->slow_waits, (unsigned long)all->waits, text);
	for (unsigned int i = 0; i < s->disturbances.n; i++)
		print_message("#   %s %lu times\n", s->disturbances.each[i].name,
			      s->disturbances.each[i].done);
}

static void run(unsigned int what, enum apic_mode m, uint64_t n, uint64_t count, uint64_t seed)
{
	struct stress s = { .what = what, .seed = seed };
	char lost[200] = "";
	struct totals all;
	uint64_t start;
	int e;

	s.vm = create_vm(&s, m, n, count);
	start = now_ns();
	for (uint32_t i = 0; i < n; i++) {
		vcpu_start(s.vm->vcpu[i]);
		if (what & OWN_CPUS)
			assert_int_equal(vcpu_pin(s.vm->vcpu[i], 1u << i), 0);
	}
	disturb_start(&s.disturbances, s.vm, what, seed);
	watch(&s, lost, sizeof(lost));
	e = disturb_stop(&s.disturbances);
	all = add_up(s.vm);
	report(&s, m, &all, now_ns() - start);
	if (lost[0]) {
		print_message("# %s\n", lost);
		show_states(s.vm);
		fail_msg("lost: %s", lost);
	}
	if (find_failed(s.vm))
		vcpu_join(find_failed(s.vm)); /* says why; the others may wait for it for ever */
	for (uint32_t i = 0; i < n; i++)
		vcpu_join(s.vm->vcpu[i]);
	if (e)
		fail_msg("a disturbance failed: %s", strerror(e));
	assert_int_equal(all.sent, all.handled);
	/* The host has things to do, too; but not often. */
	if ((what & OWN_CPUS) && all.slow_waits > 2 + all.waits / 1000)
		fail_msg("noticed late: %lu of %lu", (unsigned long)all.slow_waits,
			 (unsigned long)all.waits);
	assert_true(all.handled >= count);
	nothing_is_left(s.vm);
	vm_free(s.vm);
}

/* Both modes, $APV_STRESS interrupts together. */
static void stress(unsigned int what)
{
	uint64_t count = env_number("APV_STRESS", env_number("APV_LONG", 0) ? 20000 : 3000);
	uint64_t seed = env_number("APV_SEED", 1), n = env_number("APV_VCPUS", 4);

	assert_in_range(n, 2, MAX_VCPUS);
	if ((what & (OWN_CPUS | DISTURB_HOTPLUG)) && nr_cpus() < 2)
		skip_because("one CPU");
	if (what & OWN_CPUS)
		n = nr_cpus() < n ? nr_cpus() : n;
	if (what & DISTURB_APICV)
		need_apicvisor();
	if ((what & HLT_IN_GUEST) &&
	    !(dev_capability(KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_HLT))
		skip_because("HLT always exits");
	alarm((unsigned int)(TEST_SECONDS + count / 100));
	run(what, XAPIC, n, count / 2, seed);
	run(what, X2APIC, n, count - count / 2, seed + 1);
}

static void P5_on_cpus_of_their_own(void **state)
{
	(void)state;
	stress(OWN_CPUS);
}

static void P5_moved_and_preempted(void **state)
{
	(void)state;
	stress(DISTURB_MOVE | DISTURB_LOAD);
}

static void P5_halting_without_exits(void **state)
{
	(void)state;
	stress(DISTURB_MOVE | DISTURB_LOAD | HLT_IN_GUEST);
}

static void P5_signalled(void **state)
{
	(void)state;
	stress(DISTURB_MOVE | DISTURB_SIGNAL);
}

static void P5_cpus_come_and_go(void **state)
{
	(void)state;
	stress(DISTURB_MOVE | DISTURB_HOTPLUG);
}

static void P3_apicv_comes_and_goes(void **state)
{
	(void)state;
	stress(DISTURB_MOVE | DISTURB_APICV);
}

static const struct CMUnitTest tests[] = {
	STATS_TEST(P5_on_cpus_of_their_own),  STATS_TEST(P5_moved_and_preempted),
	STATS_TEST(P5_halting_without_exits), STATS_TEST(P5_signalled),
	STATS_TEST(P5_cpus_come_and_go),      STATS_TEST(P3_apicv_comes_and_goes),
};

TEST_MAIN("guest_stress", tests)
