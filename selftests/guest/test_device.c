// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of devices that bypass the host: irqbypass, with an IOMMU played by apv_iommu.ko,
 * which posts to a running, a preempted, a sleeping and a migrating vCPU. A device here counts in
 * guest memory what it raises, before it raises it, and a handler notes what it finds there: when
 * the last one is seen every one is accounted for, and one that is lost is waited for in vain.
 * Where devices can't post (features off, the peer) the same interrupts take the long way; only
 * what is said of posting differs. What software posts is in test_apicv.c.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include "../iommu/apv_iommu.h"
#include "lib.h"
#include "stats.h"

#define GSI         40   /* of the first device; the next has the next */
#define VECTOR      0x51 /* of the first device */
#define OTHER       0x62 /* as well */
#define SECOND      0x73 /* of the others */
#define THIRD       0x84
#define MSI_ADDRESS 0xfee00000u
#define MSI_LOGICAL 4u
#define MAX_DEVICES 3
#define NODE        "/dev/" APV_IOMMU_NODE

enum life { RUNS, HALTS, BOTH };

/* --- the guest --- */

static volatile uint64_t count[8][256], ready, stop_guest, apic_off, apic_is_off, wants_ldr;
static volatile uint64_t ring[MAX_DEVICES], seen[MAX_DEVICES];

/* By the vector; @f lies on the vCPU's own stack. */
static int device_of(const struct guest_frame *f)
{
	return f->vector < SECOND ? 0 : f->vector < THIRD ? 1 : 2;
}

static int vcpu_of(const struct guest_frame *f)
{
	return (int)(((uintptr_t)f - GUEST_STACKS) / GUEST_STACK_SIZE);
}

/* vCPUs may take interrupts of one device in turn: what one has seen stays seen. */
static void note(int device)
{
	uint64_t now = ring[device], old = seen[device];

	while (old < now && !__atomic_compare_exchange_n(&seen[device], &old, now, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static void on_irq(struct guest_frame *f)
{
	note(device_of(f));
	count[vcpu_of(f)][f->vector]++;
	apic_write(APIC_EOI, 0);
}

static void wait_a_bit(enum life life)
{
	if (life != HALTS)
		for (int i = 0; i < 100; i++)
			asm volatile("nop"); /* loops of PAUSE exit */
	cli();
	if (life != RUNS && !stop_guest && !apic_off)
		sti_hlt();
	sti();
}

static void payload(uint64_t life)
{
	static const uint8_t vectors[] = { VECTOR, OTHER, SECOND, THIRD };

	for (unsigned int i = 0; i < ARRAY_SIZE(vectors); i++)
		guest_handler[vectors[i]] = on_irq;
	guest_pic_init(0xffff);
	apic_enable();
	if (wants_ldr) /* a bit for each vCPU */
		xapic_write(APIC_LDR, 1u << 24 << (xapic_read(APIC_ID) >> 24));
	sti();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (!stop_guest) {
		if (apic_off) {
			apic_write(APIC_SVR, 0xff);
			apic_is_off = 1;
			while (apic_off)
				cpu_relax();
			apic_write(APIC_SVR, 0x1ff);
			apic_is_off = 0;
		}
		wait_a_bit((enum life)life);
	}
}

/* --- the host --- */

struct device {
	int fd, eventfd;
	int nr;
	struct vm *vm;
};
static struct device devices[MAX_DEVICES];
static int nr_devices;
static bool posts;    /* devices can, here */
static bool reloaded; /* the module, so that they can't */

static struct iommu_counters counters(const struct device *d)
{
	struct iommu_counters c;

	must(ioctl(d->fd, IOMMU_COUNTERS, &c));
	return c;
}

static int set_irqfd(const struct device *d, uint32_t flags)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)d->eventfd,
		.gsi = (uint32_t)(GSI + d->nr),
		.flags = flags,
	};

	return ioctl(d->vm->fd, KVM_IRQFD, &irqfd);
}

/* The devices' GSIs are the whole table. */
struct msi {
	uint32_t address, data;
};

static void set_routes(struct vm *vm, int n, const struct msi msi[])
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[MAX_DEVICES];
	} r = { .head.nr = (uint32_t)n };

	for (int i = 0; i < n; i++) {
		r.entry[i].gsi = (uint32_t)(GSI + i);
		r.entry[i].type = KVM_IRQ_ROUTING_MSI;
		r.entry[i].u.msi.address_lo = msi[i].address;
		r.entry[i].u.msi.data = msi[i].data;
	}
	must(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r));
}

#define ROUTES(vm, ...)                                        \
	do {                                                   \
		const struct msi list_[] = { __VA_ARGS__ };    \
		set_routes(vm, (int)ARRAY_SIZE(list_), list_); \
	} while (0)
#define TO(id, vector)                           \
	{                                        \
		MSI_ADDRESS | (id) << 12, vector \
	}

static struct device *device_new(struct vm *vm)
{
	struct device *d = &devices[nr_devices];

	assert_true(nr_devices < MAX_DEVICES);
	d->nr = nr_devices;
	d->vm = vm;
	d->fd = must(open(NODE, O_RDWR | O_CLOEXEC));
	d->eventfd = must(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	nr_devices++;
	must(ioctl(d->fd, IOMMU_RING, &in_guest(vm, ring[d->nr])));
	must(set_irqfd(d, 0));
	must(ioctl(d->fd, IOMMU_ATTACH, d->eventfd));
	return d;
}

static int device_setup(void **state)
{
	int r;

	nr_devices = 0;
	if (access(NODE, F_OK) && !access(KMODULES "apv_iommu.ko", R_OK)) {
		r = load_module(KMODULES "irqbypass.ko", "");
		if (r && r != -EEXIST)
			fail_msg("irqbypass: %s", strerror(-r));
		r = load_module(KMODULES "apv_iommu.ko", "");
		if (r)
			fail_msg("apv_iommu: %s", strerror(-r));
	}
	r = stats_setup(state);
	posts = on_apicvisor() && have.posted_interrupts;
	return r;
}

static void release_devices(void)
{
	for (int i = 0; i < nr_devices; i++) {
		if (devices[i].eventfd >= 0)
			close(devices[i].eventfd);
		if (devices[i].fd >= 0)
			close(devices[i].fd);
	}
	nr_devices = 0;
}

static int device_teardown(void **state)
{
	int r;

	release_devices();
	r = test_teardown(state);
	if (reloaded)
		reload_module("posted_interrupts=1");
	reloaded = false;
	return r;
}

#define DEVICE_TEST(f) cmocka_unit_test_setup_teardown(f, device_setup, device_teardown)

static void need_iommu(void)
{
	if (access(NODE, F_OK))
		skip_because("apv_iommu.ko is not here");
}

static int raise_irqs(const struct device *d, uint32_t n, uint32_t interval_ns,
		      enum iommu_context context)
{
	struct iommu_raise args = { .count = n, .interval_ns = interval_ns, .context = context };

	return ioctl(d->fd, IOMMU_RAISE, &args);
}

static void raise_one(const struct device *d)
{
	must(raise_irqs(d, 1, 0, IOMMU_THREAD));
}

static bool gave_up(const struct vm *vm)
{
	for (int i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpu[i]->error[0] || vm->vcpu[i]->finished)
			return true;
	return test_timed_out;
}

static void fail_with_counters(const struct device *d, const char *what)
{
	struct iommu_counters c = counters(d);

	fail_msg("%s: raised %llu, seen %llu; remapped %llu, posted %llu: merged %llu, suppressed "
		 "%llu, outstanding %llu, notified %llu, woke %llu, nobody %llu; posting %u",
		 what, c.raised, (unsigned long long)in_guest(d->vm, seen[d->nr]), c.remapped,
		 c.posted, c.merged, c.suppressed, c.outstanding, c.notified, c.woke, c.nobody,
		 c.posting);
}

#define wait_until(d, condition)                                   \
	do {                                                       \
		while (!(condition)) {                             \
			if (gave_up((d)->vm))                      \
				fail_with_counters(d, #condition); \
			sched_yield();                             \
		}                                                  \
	} while (0)

/* Every interrupt that the device has raised is accounted for. */
static void wait_all_seen(const struct device *d)
{
	uint64_t raised = counters(d).raised;

	wait_until(d, in_guest(d->vm, seen[d->nr]) >= raised);
}

/* Where devices can: a route that was set before the vCPU had a LAPIC to speak of is looked at
 * again. */
static void wait_for_posting(const struct device *d)
{
	wait_until(d, counters(d).posting == posts);
}

static void raise_and_see(const struct device *d)
{
	raise_one(d);
	wait_all_seen(d);
}

static void assert_adds_up(const struct device *d)
{
	struct iommu_counters c = counters(d);

	assert_int_equal(c.raised, c.remapped + c.posted);
	assert_int_equal(c.posted, c.merged + c.suppressed + c.outstanding + c.notified + c.woke);
	assert_int_equal(c.nobody, 0);
	if (!posts)
		assert_int_equal(c.posted, 0);
}

static void assert_posts(const struct device *d, bool yes)
{
	assert_int_equal(counters(d).posting, yes && posts);
}

static struct vm *vm_new(enum apic_mode m)
{
	struct vm *vm = vm_create_irqchip();

	in_guest(vm, mode) = m;
	return vm;
}

static struct vcpu *add_vcpu(struct vm *vm, enum life life)
{
	struct vcpu *v = vcpu_create(vm, (unsigned int)vm->nr_vcpus);

	vcpu_long_mode(v, payload, life);
	return v;
}

static void start(struct vm *vm)
{
	for (int i = 0; i < vm->nr_vcpus; i++)
		vcpu_start(vm->vcpu[i]);
	while (in_guest(vm, ready) < (uint64_t)vm->nr_vcpus && !gave_up(vm))
		sched_yield();
}

static void stop(struct vm *vm)
{
	in_guest(vm, stop_guest) = 1;
	for (int i = 0; i < vm->nr_vcpus; i++) {
		struct kvm_msi msi = { .address_lo = MSI_ADDRESS | vm->vcpu[i]->id << 12,
				       .data = OTHER };

		must(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi)); /* out of HLT */
		vcpu_join(vm->vcpu[i]);
	}
}

/* One vCPU that lives like this, and a device that posts to it by now. */
static struct device *device_that_posts(enum life life)
{
	struct vm *vm = vm_new(XAPIC);
	struct device *d;

	add_vcpu(vm, life);
	d = device_new(vm);
	ROUTES(vm, TO(0, VECTOR));
	start(vm);
	wait_for_posting(d);
	return d;
}

/* --- a running vCPU --- */

/* Interrupts of the host that CPU @cpu has had: @name, or (NULL) all others but notifications. */
static uint64_t host_interrupts(int cpu, const char *name)
{
	char line[512];
	uint64_t sum = 0;
	FILE *f = fopen("/proc/interrupts", "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':'), *at, *end;
		bool pin;
		uint64_t n = 0;

		if (!colon)
			continue;
		at = colon + 1;
		pin = strstr(line, "PIN:") != NULL;
		for (int i = 0; i <= cpu; i++, at = end) {
			n = strtoull(at, &end, 10);
			if (end == at)
				n = 0;
		}
		if (pin == (name && !strcmp(name, "PIN")))
			sum += n;
	}
	fclose(f);
	return sum;
}

#define POSTS 1000

static void check_running(enum apic_mode m, enum iommu_context context)
{
	struct vm *vm = vm_new(m);
	struct vcpu *v = add_vcpu(vm, RUNS);
	struct device *d = device_new(vm);
	struct sample before, after;
	struct iommu_counters c;
	uint64_t host, exits, pins;

	ROUTES(vm, TO(0, VECTOR));
	start(vm);
	pin_thread(v->thread, 1);
	wait_for_posting(d);
	raise_and_see(d); /* warm */
	raise_and_see(d);
	host = host_interrupts(1, NULL);
	pins = host_interrupts(1, "PIN");
	before = take_sample(v);
	for (int i = 0; i < 10; i++) {
		must(raise_irqs(d, POSTS / 10, 20000, context));
		wait_all_seen(d);
	}
	after = take_sample(v);
	host = host_interrupts(1, NULL) - host;
	pins = host_interrupts(1, "PIN") - pins;
	exits = grown(&before, &after, "exit.external_interrupt");
	c = counters(d);
	print_message("# %s: %lu interrupts taken of %d, %lu external-interrupt exits, %lu of the "
		      "host's own, %lu notifications that found no guest\n",
		      m == X2APIC ? "x2APIC" : "xAPIC",
		      (unsigned long)in_guest(vm, count[0][VECTOR]), POSTS, (unsigned long)exits,
		      (unsigned long)host, (unsigned long)pins);
	assert_posts(d, true);
	assert_adds_up(d);
	if (posts && have.virtual_interrupts) {
		assert_int_equal(c.remapped, 0);
		assert_int_equal(c.woke, 0);
		assert_true(c.notified > POSTS / 2);
		assert_true(in_guest(vm, count[0][VECTOR]) > POSTS / 2);
		expect_exits(&before, &after, NULL, 0);
		/* None but the host's own, in which a notification may find the CPU. */
		assert_true(exits <= host + pins);
		assert_true(pins <= POSTS / 20);
	}
	stop(vm);
	vm_free(vm);
	release_devices();
}

static void posted_to_a_running_vcpu(void **state)
{
	(void)state;
	need_iommu();
	need_apicvisor();
	need_two_cpus();
	pin_thread(pthread_self(), 0);
	for (enum apic_mode m = XAPIC; m <= X2APIC; m++) {
		check_running(m, IOMMU_THREAD);
		check_running(m, IOMMU_HARDIRQ);
	}
}

/* --- a preempted one, one that sleeps, one that is not in KVM_RUN --- */

static void *spin(void *arg)
{
	volatile bool *stop_it = arg;

	while (!*stop_it && !test_timed_out)
		;
	return NULL;
}

/* Somebody else wants its CPU: it is preempted time and again. */
static void posted_to_a_preempted_vcpu(void **state)
{
	struct vm *vm;
	struct vcpu *v;
	struct device *d;
	volatile bool stop_it = false;
	pthread_t rival;

	(void)state;
	need_iommu();
	need_two_cpus();
	pin_thread(pthread_self(), 0);
	d = device_that_posts(RUNS);
	vm = d->vm;
	v = vm->vcpu[0];
	pin_thread(v->thread, 1);
	assert_int_equal(pthread_create(&rival, NULL, spin, (void *)&stop_it), 0);
	pin_thread(rival, 1);
	do {
		must(raise_irqs(d, 20, 50000, IOMMU_HARDIRQ));
		wait_all_seen(d);
	} while ((posts ? counters(d).suppressed : counters(d).raised / 100) < 10);
	stop_it = true;
	pthread_join(rival, NULL);
	assert_adds_up(d);
	stop(vm);
}

/* The same, with a vCPU that sleeps at once when it has nothing to do. */
static struct device *device_of_a_sleeper(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HALT_POLL, .args = { 0 } };
	struct device *d = device_that_posts(HALTS);

	must(ioctl(d->vm->fd, KVM_ENABLE_CAP, &cap));
	return d;
}

/* Each comes to a vCPU that has handled the one before and sleeps, or is about to. */
static void posted_to_a_sleeping_vcpu(void **state)
{
	struct device *d;

	(void)state;
	need_iommu();
	d = device_of_a_sleeper();
	for (int i = 0; i < 200 || (posts && counters(d).woke < 50); i++) {
		raise_and_see(d);
		must(raise_irqs(d, 1 + i % 3, (uint32_t)i * 1000, IOMMU_HARDIRQ));
		wait_all_seen(d);
	}
	assert_posts(d, true);
	assert_adds_up(d);
	stop(d->vm);
}

/* The CPU on which it fell asleep, and which the device would tell, goes offline. */
static void posted_to_a_sleeper_whose_cpu_is_gone(void **state)
{
	struct device *d;

	(void)state;
	need_iommu();
	need_two_cpus();
	if (access(CPU1_ONLINE, W_OK))
		skip_because("this machine's CPUs can't be switched off");
	d = device_of_a_sleeper();
	for (int i = 0; i < 10; i++) {
		pin_thread(d->vm->vcpu[0]->thread, 1);
		raise_and_see(d); /* there */
		assert_int_equal(write_file(CPU1_ONLINE, "0"), 0);
		raise_and_see(d);
		assert_int_equal(write_file(CPU1_ONLINE, "1"), 0);
	}
	assert_posts(d, true);
	assert_adds_up(d);
	stop(d->vm);
}

/* Notifications that found a CPU which was not in the guest. */
static uint64_t misled(void)
{
	return host_interrupts(0, "PIN") + host_interrupts(1, "PIN");
}

/*
 * Before the first KVM_RUN, and between two; and when it comes back somewhere else, as nobody has
 * preempted it there, the notifications come along.
 */
static void posted_to_a_vcpu_at_rest(void **state)
{
	struct vm *vm;
	struct vcpu *v;
	struct device *d;
	uint64_t before, lost = 0;

	(void)state;
	need_iommu();
	need_two_cpus();
	vm = vm_new(XAPIC);
	v = add_vcpu(vm, RUNS);
	d = device_new(vm);
	ROUTES(vm, TO(0, VECTOR)); /* its LAPIC is disabled: nobody to post to */
	assert_posts(d, false);
	start(vm);
	wait_for_posting(d);
	for (int i = 0; i < 20; i++) {
		vcpu_stop(v);
		must(raise_irqs(d, 5, 0, i % 2 ? IOMMU_THREAD : IOMMU_HARDIRQ));
		assert_true(in_guest(vm, seen[0]) < counters(d).raised);
		pin_thread(pthread_self(), i & 1);
		vcpu_start(v); /* stays there */
		pin_thread(pthread_self(), !(i & 1));
		wait_all_seen(d);
		before = misled();
		for (int j = 0; j < 10; j++)
			raise_and_see(d);
		lost += misled() - before;
	}
	if (posts && have.virtual_interrupts)
		assert_true(lost <= 20);
	assert_adds_up(d);
	stop(vm);
}

/* --- one that migrates --- */

static void *raise_for(struct device *d, uint32_t left)
{
	bool by_hand = false;

	for (; left && !test_timed_out; left -= 500, by_hand = !by_hand)
		if (raise_irqs(d, 500, 5000, by_hand ? IOMMU_THREAD : IOMMU_HARDIRQ))
			return (void *)(intptr_t)errno;
	return NULL;
}

static void *raise_for_a_while(void *d)
{
	return raise_for(d, 2000);
}

static void *raise_for_long(void *d)
{
	return raise_for(d, env_number("APV_LONG", 0) ? 1000000 : 12000);
}

/* It runs and it sleeps, here and there, and CPUs take turns as the sender, too. */
static void posted_to_a_migrating_vcpu(void **state)
{
	struct vm *vm;
	struct vcpu *v;
	struct device *d;
	pthread_t sender;
	unsigned long moves = 0;
	void *error;

	(void)state;
	need_iommu();
	need_two_cpus();
	d = device_that_posts(BOTH);
	vm = d->vm;
	v = vm->vcpu[0];
	raise_and_see(d);
	assert_int_equal(pthread_create(&sender, NULL, raise_for_long, d), 0);
	while (pthread_tryjoin_np(sender, &error) && !gave_up(vm)) {
		pin_thread(v->thread, (int)(moves & 1));
		if (moves % 8 == 0)
			pin_thread(sender, (int)(moves / 8 & 1));
		moves++;
		sched_yield();
	}
	assert_null(error);
	wait_all_seen(d);
	print_message("# %lu moves, %llu interrupts: %lu taken, %llu notified, %llu woke, %llu "
		      "suppressed\n",
		      moves, counters(d).raised, (unsigned long)in_guest(vm, count[0][VECTOR]),
		      counters(d).notified, counters(d).woke, counters(d).suppressed);
	assert_true(moves > 20);
	assert_true(counters(d).raised > 10000);
	if (posts) {
		assert_int_equal(counters(d).remapped, 0);
		assert_true(counters(d).notified > 0 && counters(d).woke > 0);
	}
	assert_adds_up(d);
	stop(vm);
}

/* --- routes, masks, LAPICs --- */

static void posting_follows_the_route(void **state)
{
	struct vm *vm;
	struct device *d, *busy;
	uint64_t before;

	(void)state;
	need_iommu();
	vm = vm_new(XAPIC);
	add_vcpu(vm, BOTH);
	add_vcpu(vm, HALTS);
	d = device_new(vm);
	busy = device_new(vm); /* another one of the VM, whose route stays */
	ROUTES(vm, TO(0, VECTOR), TO(0, SECOND));
	start(vm);
	wait_for_posting(d);
	wait_for_posting(busy);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t vcpu = i & 1, vector = i & 2 ? OTHER : VECTOR;
		uint64_t taken = in_guest(vm, count[vcpu][vector]);

		ROUTES(vm, TO(vcpu, vector), TO(0, SECOND));
		must(raise_irqs(busy, 20, 1000, IOMMU_HARDIRQ));
		raise_one(d);
		wait_until(d, in_guest(vm, count[vcpu][vector]) > taken);
		wait_all_seen(d);
		assert_posts(d, true);
		assert_int_equal(counters(d).vector, posts ? vector : 0);
		set_routes(vm, 0, NULL); /* masked */
		assert_posts(d, false);
		assert_posts(busy, false);
		before = counters(d).remapped;
		raise_one(d);
		assert_int_equal(counters(d).remapped, before + 1);
	}
	ROUTES(vm, TO(1, VECTOR), TO(0, SECOND));
	raise_and_see(d);
	raise_and_see(busy);
	assert_adds_up(d);
	assert_adds_up(busy);
	stop(vm);
}

/* Routes change under interrupts on their way; what is raised when they are settled is seen. */
static void *reroute(void *arg)
{
	struct device *d = arg;

	for (uint32_t i = 0; i < 300 && !test_timed_out; i++)
		if (i % 3 == 2)
			set_routes(d->vm, 0, NULL);
		else
			ROUTES(d->vm, TO(i & 1, i & 4 ? OTHER : VECTOR));
	return NULL;
}

static void routes_change_under_fire(void **state)
{
	struct vm *vm;
	struct device *d;
	pthread_t router;

	(void)state;
	need_iommu();
	vm = vm_new(XAPIC);
	add_vcpu(vm, HALTS);
	add_vcpu(vm, HALTS);
	d = device_new(vm);
	start(vm);
	assert_int_equal(pthread_create(&router, NULL, reroute, d), 0);
	while (pthread_tryjoin_np(router, NULL))
		must(raise_irqs(d, 10, 5000, IOMMU_HARDIRQ));
	ROUTES(vm, TO(1, VECTOR));
	for (int i = 0; i < 50; i++)
		raise_and_see(d);
	assert_adds_up(d);
	stop(vm);
}

/* What no device can do by itself goes on to be done by software. */
static void only_what_can_be_posted_is(void **state)
{
	static const struct {
		struct msi msi;
		bool can;
	} cases[] = {
		{ TO(1, VECTOR), true },
		{ { MSI_ADDRESS | MSI_LOGICAL | 2 << 12, VECTOR }, true },  /* by its logical ID */
		{ { MSI_ADDRESS | MSI_LOGICAL | 3 << 12, VECTOR }, false }, /* both */
		{ { MSI_ADDRESS | MSI_LOGICAL | 3 << 12, 1 << 8 | VECTOR }, false }, /* either */
		{ { MSI_ADDRESS | MSI_LOGICAL | 1 << 12, 1 << 8 | VECTOR }, true },
		{ { MSI_ADDRESS | 0xff << 12, VECTOR }, false }, /* broadcast */
		{ TO(7, VECTOR), false },                        /* nobody */
		{ TO(0, 15), false },                            /* no vector */
		{ TO(0, 4 << 8), false },                        /* NMI */
		{ TO(0, 1 << 15 | 1 << 14 | VECTOR), false },    /* level */
		{ TO(0, VECTOR), true },
	};
	struct vm *vm;
	struct device *d;

	(void)state;
	need_iommu();
	vm = vm_new(XAPIC);
	in_guest(vm, wants_ldr) = 1;
	add_vcpu(vm, BOTH);
	add_vcpu(vm, BOTH);
	d = device_new(vm);
	start(vm);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		set_routes(vm, 1, &cases[i].msi);
		assert_posts(d, cases[i].can);
		if (cases[i].can)
			raise_and_see(d);
	}
	/* a pin */
	must(ioctl(vm->fd, KVM_SET_GSI_ROUTING,
		   &(struct {
			   struct kvm_irq_routing head;
			   struct kvm_irq_routing_entry entry;
		   }){ .head.nr = 1,
		       .entry = { .gsi = GSI,
				  .type = KVM_IRQ_ROUTING_IRQCHIP,
				  .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 5 } } }));
	assert_posts(d, false);
	stop(vm);
}

/* In-tree KVM goes on posting to where the route led when it was set. */
static void posting_follows_the_lapic(void **state)
{
	struct vm *vm;
	struct device *d;
	uint64_t before;

	(void)state;
	need_iommu();
	need_apicvisor();
	d = device_that_posts(RUNS);
	vm = d->vm;
	for (int i = 0; i < 5; i++) {
		wait_for_posting(d);
		raise_and_see(d);
		in_guest(vm, apic_off) = 1;
		wait_until(d, in_guest(vm, apic_is_off));
		wait_until(d, !counters(d).posting);
		before = in_guest(vm, seen[0]);
		raise_one(d); /* and nobody hears it */
		in_guest(vm, apic_off) = 0;
		wait_until(d, !in_guest(vm, apic_is_off));
		assert_int_equal(in_guest(vm, seen[0]), before);
	}
	assert_adds_up(d);
	stop(vm);
}

/* --- the end of things --- */

static void producer_comes_and_goes(void **state)
{
	struct vm *vm;
	struct device *d;
	uint64_t one = 1, taken;

	(void)state;
	need_iommu();
	d = device_that_posts(BOTH);
	vm = d->vm;
	for (int i = 0; i < 20; i++) {
		must(raise_irqs(d, 50, 2000, i % 2 ? IOMMU_THREAD : IOMMU_HARDIRQ));
		assert_posts(d, true);
		must(ioctl(d->fd, IOMMU_DETACH));
		assert_posts(d, false);
		wait_all_seen(d); /* what was posted last, too */
		taken = in_guest(vm, count[0][VECTOR]);
		assert_int_equal(write(d->eventfd, &one, sizeof(one)), sizeof(one));
		wait_until(d, in_guest(vm, count[0][VECTOR]) > taken);
		must(ioctl(d->fd, IOMMU_ATTACH, d->eventfd));
		assert_posts(d, true);
		raise_and_see(d);
	}
	must_fail(EBUSY, ioctl(d->fd, IOMMU_ATTACH, d->eventfd));
	close(d->fd); /* while it posts */
	d->fd = -1;
	stop(vm);
}

static void irqfd_comes_and_goes(void **state)
{
	struct vm *vm;
	struct device *d;
	uint64_t n = 0;

	(void)state;
	need_iommu();
	d = device_that_posts(BOTH);
	vm = d->vm;
	for (int i = 0; i < 20; i++) {
		must(raise_irqs(d, 50, 2000, i % 2 ? IOMMU_THREAD : IOMMU_HARDIRQ));
		must(set_irqfd(d, KVM_IRQFD_FLAG_DEASSIGN));
		assert_posts(d, false);
		wait_all_seen(d);
		must(raise_irqs(d, 3, 0, IOMMU_THREAD)); /* they stay in the eventfd */
		assert_int_equal(read(d->eventfd, &n, sizeof(n)), sizeof(n));
		assert_int_equal(n, 3);
		raise_one(d);
		must(set_irqfd(d, 0));
		assert_posts(d, true);
		wait_all_seen(d);
	}
	assert_adds_up(d);
	/* The last close ends the irqfd. */
	close(d->eventfd);
	d->eventfd = -1;
	wait_until(d, !counters(d).posting);
	raise_one(d); /* into the void */
	must(ioctl(d->fd, IOMMU_DETACH));
	stop(vm);
}

static void *raise_until_told(void *arg)
{
	struct device *d = arg;

	while (d->vm)
		if (raise_irqs(d, 100, 2000, IOMMU_HARDIRQ))
			return (void *)(intptr_t)errno;
	return NULL;
}

/* The VM goes while its device goes on raising. Its memory is held by the device alone then. */
static void vm_ends_under_its_device(void **state)
{
	struct device *d;
	struct vm *vm;
	pthread_t sender;
	void *error;
	uint64_t n;

	(void)state;
	need_iommu();
	for (int i = 0; i < 5; i++) {
		d = device_that_posts(i % 2 ? HALTS : RUNS);
		vm = d->vm;
		raise_and_see(d);
		assert_int_equal(pthread_create(&sender, NULL, raise_until_told, d), 0);
		vcpu_stop(vm->vcpu[0]);
		vm_free(vm);
		assert_int_equal(counters(d).posting, 0);
		d->vm = NULL;
		pthread_join(sender, &error);
		assert_null(error);
		must(raise_irqs(d, 2, 0, IOMMU_THREAD));
		assert_int_equal(read(d->eventfd, &n, sizeof(n)), sizeof(n));
		assert_true(n >= 2);
		must(ioctl(d->fd, IOMMU_DETACH));
		must_fail(EINVAL, ioctl(d->fd, IOMMU_DETACH));
		release_devices();
	}
}

/* --- several --- */

static void two_devices(void **state)
{
	struct vm *vm;
	struct device *d[2];
	pthread_t sender[2];
	void *error;

	(void)state;
	need_iommu();
	vm = vm_new(X2APIC);
	add_vcpu(vm, BOTH);
	d[0] = device_new(vm);
	d[1] = device_new(vm);
	ROUTES(vm, TO(0, VECTOR), TO(0, SECOND));
	start(vm);
	wait_for_posting(d[0]);
	wait_for_posting(d[1]);
	for (int i = 0; i < 2; i++) /* both post before they do it at once */
		raise_and_see(d[i]);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&sender[i], NULL, raise_for_a_while, d[i]), 0);
	for (int i = 0; i < 2; i++) {
		pthread_join(sender[i], &error);
		assert_null(error);
		wait_all_seen(d[i]);
	}
	/* One goes, the other goes on. */
	must(ioctl(d[0]->fd, IOMMU_DETACH));
	assert_posts(d[1], true);
	for (int i = 0; i < 50; i++)
		raise_and_see(d[1]);
	assert_adds_up(d[0]);
	assert_adds_up(d[1]);
	stop(vm);
}

/* One eventfd for two VMs: a token has one consumer. Both get what comes by software. */
static void second_vm_of_an_eventfd(void **state)
{
	struct vm *vm[2];
	struct device *d;

	(void)state;
	need_iommu();
	for (int i = 0; i < 2; i++) {
		vm[i] = vm_new(XAPIC);
		add_vcpu(vm[i], BOTH);
	}
	d = device_new(vm[0]);
	for (int i = 0; i < 2; i++)
		ROUTES(vm[i], TO(0, VECTOR));
	d->vm = vm[1];
	must(set_irqfd(d, 0));
	d->vm = vm[0];
	start(vm[0]);
	start(vm[1]);
	wait_for_posting(d);
	raise_and_see(d);
	assert_posts(d, true);
	d->vm = vm[1];
	must(set_irqfd(d, KVM_IRQFD_FLAG_DEASSIGN)); /* changes nothing for the other */
	d->vm = vm[0];
	assert_posts(d, true);
	raise_and_see(d);
	stop(vm[0]);
	stop(vm[1]);
}

/* What a kernel that has no vectors for modules, or a processor without posting, is left with. */
static void without_posting_nothing_is_lost(void **state)
{
	struct vm *vm;
	struct device *d;

	(void)state;
	need_iommu();
	need_apicvisor();
	if (!posts)
		skip_because("all of these tests are without");
	reload_module("posted_interrupts=0");
	reloaded = true;
	posts = false;
	vm = vm_new(XAPIC);
	add_vcpu(vm, BOTH);
	d = device_new(vm);
	ROUTES(vm, TO(0, VECTOR));
	start(vm);
	for (int i = 0; i < 50; i++) {
		must(raise_irqs(d, 10, 1000, i % 2 ? IOMMU_THREAD : IOMMU_HARDIRQ));
		wait_all_seen(d);
	}
	assert_adds_up(d);
	assert_int_equal(counters(d).retargeted, 0);
	stop(vm);
}

static const struct CMUnitTest tests[] = {
	DEVICE_TEST(posted_to_a_running_vcpu),   DEVICE_TEST(posted_to_a_preempted_vcpu),
	DEVICE_TEST(posted_to_a_sleeping_vcpu),  DEVICE_TEST(posted_to_a_sleeper_whose_cpu_is_gone),
	DEVICE_TEST(posted_to_a_vcpu_at_rest),   DEVICE_TEST(posted_to_a_migrating_vcpu),
	DEVICE_TEST(posting_follows_the_route),  DEVICE_TEST(routes_change_under_fire),
	DEVICE_TEST(only_what_can_be_posted_is), DEVICE_TEST(posting_follows_the_lapic),
	DEVICE_TEST(producer_comes_and_goes),    DEVICE_TEST(irqfd_comes_and_goes),
	DEVICE_TEST(vm_ends_under_its_device),   DEVICE_TEST(two_devices),
	DEVICE_TEST(second_vm_of_an_eventfd),    DEVICE_TEST(without_posting_nothing_is_lost),
};

TEST_MAIN("guest_device", tests)
