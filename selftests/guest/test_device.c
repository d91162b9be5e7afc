// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of devices that bypass the host: irqbypass, with an IOMMU played by apv_iommu.ko,
 * which posts to a running, a preempted, a sleeping and a migrating vCPU (lib/device.h: how each is
 * accounted for). Where devices can't post (features off, the peer) the same interrupts take the
 * long way; only what is said of posting differs. What software posts is in test_apicv.c.
 */
#include "device.h"

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
	struct vm *vm = device_vm(m);
	struct vcpu *v = device_vcpu(vm, RUNS);
	struct device *d = device_new(vm);
	struct sample before, after;
	struct iommu_counters c;
	uint64_t host, exits, pins;

	ROUTES(vm, TO(0, DEVICE_VECTOR));
	device_vm_start(vm);
	pin_thread(v->thread, 1);
	wait_for_posting(d);
	raise_and_see(d); /* warm */
	raise_and_see(d);
	host = host_interrupts(1, NULL);
	pins = host_interrupts(1, "PIN");
	before = take_sample(v);
	for (int i = 0; i < 10; i++) {
		must(device_raise(d, POSTS / 10, 20000, context));
		wait_all_seen(d);
	}
	after = take_sample(v);
	host = host_interrupts(1, NULL) - host;
	pins = host_interrupts(1, "PIN") - pins;
	exits = grown(&before, &after, "exit.external_interrupt");
	c = device_counters(d);
	print_message("# %s: %lu interrupts taken of %d, %lu external-interrupt exits, %lu of the "
		      "host's own, %lu notifications that found no guest\n",
		      m == X2APIC ? "x2APIC" : "xAPIC",
		      (unsigned long)in_guest(vm, device_irqs[0][DEVICE_VECTOR]), POSTS,
		      (unsigned long)exits, (unsigned long)host, (unsigned long)pins);
	assert_posts(d, true);
	assert_adds_up(d);
	if (devices_post && eoi_is_free(m)) {
		assert_int_equal(c.remapped, 0);
		assert_int_equal(c.woke, 0);
		assert_true(c.notified > POSTS / 2);
		assert_true(in_guest(vm, device_irqs[0][DEVICE_VECTOR]) > POSTS / 2);
		expect_exits(&before, &after, NULL, 0);
		/* None but the host's own, in which a notification may find the CPU. */
		assert_true(exits <= host + pins);
		assert_true(pins <= POSTS / 20);
	}
	device_vm_stop(vm);
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
		must(device_raise(d, 20, 50000, IOMMU_HARDIRQ));
		wait_all_seen(d);
	} while ((devices_post ? device_counters(d).suppressed : device_counters(d).raised / 100) <
		 10);
	stop_it = true;
	pthread_join(rival, NULL);
	assert_adds_up(d);
	device_vm_stop(vm);
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
	for (int i = 0; i < 200 || (devices_post && device_counters(d).woke < 50); i++) {
		raise_and_see(d);
		must(device_raise(d, 1 + i % 3, (uint32_t)i * 1000, IOMMU_HARDIRQ));
		wait_all_seen(d);
	}
	assert_posts(d, true);
	assert_adds_up(d);
	device_vm_stop(d->vm);
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
	device_vm_stop(d->vm);
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
	vm = device_vm(XAPIC);
	v = device_vcpu(vm, RUNS);
	d = device_new(vm);
	ROUTES(vm, TO(0, DEVICE_VECTOR)); /* its LAPIC is disabled: nobody to post to */
	assert_posts(d, false);
	device_vm_start(vm);
	wait_for_posting(d);
	for (int i = 0; i < 20; i++) {
		vcpu_stop(v);
		must(device_raise(d, 5, 0, i % 2 ? IOMMU_THREAD : IOMMU_HARDIRQ));
		assert_true(in_guest(vm, device_seen[0]) < device_counters(d).raised);
		pin_thread(pthread_self(), i & 1);
		vcpu_start(v); /* stays there */
		pin_thread(pthread_self(), !(i & 1));
		wait_all_seen(d);
		before = misled();
		for (int j = 0; j < 10; j++)
			raise_and_see(d);
		lost += misled() - before;
	}
	if (devices_post && eoi_is_free(XAPIC))
		assert_true(lost <= 20);
	assert_adds_up(d);
	device_vm_stop(vm);
}

/* --- one that migrates --- */

static void *raise_for(struct device *d, uint32_t left)
{
	bool by_hand = false;

	for (; left && !test_timed_out; left -= 500, by_hand = !by_hand)
		if (device_raise(d, 500, 5000, by_hand ? IOMMU_THREAD : IOMMU_HARDIRQ))
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
	while (pthread_tryjoin_np(sender, &error) && !device_vm_ended(vm)) {
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
		      moves, device_counters(d).raised,
		      (unsigned long)in_guest(vm, device_irqs[0][DEVICE_VECTOR]),
		      device_counters(d).notified, device_counters(d).woke,
		      device_counters(d).suppressed);
	assert_true(moves > 20);
	assert_true(device_counters(d).raised > 10000);
	if (devices_post) {
		assert_int_equal(device_counters(d).remapped, 0);
		assert_true(device_counters(d).notified > 0 && device_counters(d).woke > 0);
	}
	assert_adds_up(d);
	device_vm_stop(vm);
}

/* --- routes, masks, LAPICs --- */

static void posting_follows_the_route(void **state)
{
	struct vm *vm;
	struct device *d, *busy;
	uint64_t before;

	(void)state;
	need_iommu();
	vm = device_vm(XAPIC);
	device_vcpu(vm, BOTH);
	device_vcpu(vm, HALTS);
	d = device_new(vm);
	busy = device_new(vm); /* another one of the VM, whose route stays */
	ROUTES(vm, TO(0, DEVICE_VECTOR), TO(0, DEVICE_SECOND));
	device_vm_start(vm);
	wait_for_posting(d);
	wait_for_posting(busy);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t vcpu = i & 1, vector = i & 2 ? DEVICE_OTHER : DEVICE_VECTOR;
		uint64_t taken = in_guest(vm, device_irqs[vcpu][vector]);

		ROUTES(vm, TO(vcpu, vector), TO(0, DEVICE_SECOND));
		must(device_raise(busy, 20, 1000, IOMMU_HARDIRQ));
		device_raise_one(d);
		wait_until(d, in_guest(vm, device_irqs[vcpu][vector]) > taken);
		wait_all_seen(d);
		assert_posts(d, true);
		assert_int_equal(device_counters(d).vector, devices_post ? vector : 0);
		device_routes(vm, 0, NULL); /* masked */
		assert_posts(d, false);
		assert_posts(busy, false);
		before = device_counters(d).remapped;
		device_raise_one(d);
		assert_int_equal(device_counters(d).remapped, before + 1);
	}
	ROUTES(vm, TO(1, DEVICE_VECTOR), TO(0, DEVICE_SECOND));
	raise_and_see(d);
	raise_and_see(busy);
	assert_adds_up(d);
	assert_adds_up(busy);
	device_vm_stop(vm);
}

/* Routes change under interrupts on their way; what is raised when they are settled is seen. */
static void *reroute(void *arg)
{
	struct device *d = arg;

	for (uint32_t i = 0; i < 300 && !test_timed_out; i++)
		if (i % 3 == 2)
			device_routes(d->vm, 0, NULL);
		else
			ROUTES(d->vm, TO(i & 1, i & 4 ? DEVICE_OTHER : DEVICE_VECTOR));
	return NULL;
}

static void routes_change_under_fire(void **state)
{
	struct vm *vm;
	struct device *d;
	pthread_t router;

	(void)state;
	need_iommu();
	vm = device_vm(XAPIC);
	device_vcpu(vm, HALTS);
	device_vcpu(vm, HALTS);
	d = device_new(vm);
	device_vm_start(vm);
	assert_int_equal(pthread_create(&router, NULL, reroute, d), 0);
	while (pthread_tryjoin_np(router, NULL))
		must(device_raise(d, 10, 5000, IOMMU_HARDIRQ));
	ROUTES(vm, TO(1, DEVICE_VECTOR));
	for (int i = 0; i < 50; i++)
		raise_and_see(d);
	assert_adds_up(d);
	device_vm_stop(vm);
}

/* What no device can do by itself goes on to be done by software. */
static void only_what_can_be_posted_is(void **state)
{
	static const struct {
		struct msi msi;
		bool can;
	} cases[] = {
		{ TO(1, DEVICE_VECTOR), true },
		{ { MSI_ADDRESS | MSI_LOGICAL | 2 << 12, DEVICE_VECTOR },
		  true }, /* by its logical ID */
		{ { MSI_ADDRESS | MSI_LOGICAL | 3 << 12, DEVICE_VECTOR }, false }, /* both */
		{ { MSI_ADDRESS | MSI_LOGICAL | 3 << 12, 1 << 8 | DEVICE_VECTOR },
		  false }, /* either */
		{ { MSI_ADDRESS | MSI_LOGICAL | 1 << 12, 1 << 8 | DEVICE_VECTOR }, true },
		{ { MSI_ADDRESS | 0xff << 12, DEVICE_VECTOR }, false }, /* broadcast */
		{ TO(7, DEVICE_VECTOR), false },                        /* nobody */
		{ TO(0, 15), false },                                   /* no vector */
		{ TO(0, 4 << 8), false },                               /* NMI */
		{ TO(0, 1 << 15 | 1 << 14 | DEVICE_VECTOR), false },    /* level */
		{ TO(0, DEVICE_VECTOR), true },
	};
	struct vm *vm;
	struct device *d;

	(void)state;
	need_iommu();
	vm = device_vm(XAPIC);
	in_guest(vm, wants_ldr) = 1;
	device_vcpu(vm, BOTH);
	device_vcpu(vm, BOTH);
	d = device_new(vm);
	device_vm_start(vm);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		device_routes(vm, 1, &cases[i].msi);
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
		       .entry = { .gsi = DEVICE_GSI,
				  .type = KVM_IRQ_ROUTING_IRQCHIP,
				  .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 5 } } }));
	assert_posts(d, false);
	device_vm_stop(vm);
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
		wait_until(d, !device_counters(d).posting);
		before = in_guest(vm, device_seen[0]);
		device_raise_one(d); /* and nobody hears it */
		in_guest(vm, apic_off) = 0;
		wait_until(d, !in_guest(vm, apic_is_off));
		assert_int_equal(in_guest(vm, device_seen[0]), before);
	}
	assert_adds_up(d);
	device_vm_stop(vm);
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
		must(device_raise(d, 50, 2000, i % 2 ? IOMMU_THREAD : IOMMU_HARDIRQ));
		assert_posts(d, true);
		must(ioctl(d->fd, IOMMU_DETACH));
		assert_posts(d, false);
		wait_all_seen(d); /* what was posted last, too */
		taken = in_guest(vm, device_irqs[0][DEVICE_VECTOR]);
		assert_int_equal(write(d->eventfd, &one, sizeof(one)), sizeof(one));
		wait_until(d, in_guest(vm, device_irqs[0][DEVICE_VECTOR]) > taken);
		must(ioctl(d->fd, IOMMU_ATTACH, d->eventfd));
		assert_posts(d, true);
		raise_and_see(d);
	}
	must_fail(EBUSY, ioctl(d->fd, IOMMU_ATTACH, d->eventfd));
	close(d->fd); /* while it posts */
	d->fd = -1;
	device_vm_stop(vm);
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
		must(device_raise(d, 50, 2000, i % 2 ? IOMMU_THREAD : IOMMU_HARDIRQ));
		must(device_irqfd(d, KVM_IRQFD_FLAG_DEASSIGN));
		assert_posts(d, false);
		wait_all_seen(d);
		must(device_raise(d, 3, 0, IOMMU_THREAD)); /* they stay in the eventfd */
		assert_int_equal(read(d->eventfd, &n, sizeof(n)), sizeof(n));
		assert_int_equal(n, 3);
		device_raise_one(d);
		must(device_irqfd(d, 0));
		assert_posts(d, true);
		wait_all_seen(d);
	}
	assert_adds_up(d);
	/* The last close ends the irqfd. */
	close(d->eventfd);
	d->eventfd = -1;
	wait_until(d, !device_counters(d).posting);
	device_raise_one(d); /* into the void */
	must(ioctl(d->fd, IOMMU_DETACH));
	device_vm_stop(vm);
}

static void *raise_until_told(void *arg)
{
	struct device *d = arg;

	while (d->vm)
		if (device_raise(d, 100, 2000, IOMMU_HARDIRQ))
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
		assert_int_equal(device_counters(d).posting, 0);
		d->vm = NULL;
		pthread_join(sender, &error);
		assert_null(error);
		must(device_raise(d, 2, 0, IOMMU_THREAD));
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
	vm = device_vm(X2APIC);
	device_vcpu(vm, BOTH);
	d[0] = device_new(vm);
	d[1] = device_new(vm);
	ROUTES(vm, TO(0, DEVICE_VECTOR), TO(0, DEVICE_SECOND));
	device_vm_start(vm);
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
	device_vm_stop(vm);
}

/* One eventfd for two VMs: a token has one consumer. Both get what comes by software. */
static void second_vm_of_an_eventfd(void **state)
{
	struct vm *vm[2];
	struct device *d;

	(void)state;
	need_iommu();
	for (int i = 0; i < 2; i++) {
		vm[i] = device_vm(XAPIC);
		device_vcpu(vm[i], BOTH);
	}
	d = device_new(vm[0]);
	for (int i = 0; i < 2; i++)
		ROUTES(vm[i], TO(0, DEVICE_VECTOR));
	d->vm = vm[1];
	must(device_irqfd(d, 0));
	d->vm = vm[0];
	device_vm_start(vm[0]);
	device_vm_start(vm[1]);
	wait_for_posting(d);
	raise_and_see(d);
	assert_posts(d, true);
	d->vm = vm[1];
	must(device_irqfd(d, KVM_IRQFD_FLAG_DEASSIGN)); /* changes nothing for the other */
	d->vm = vm[0];
	assert_posts(d, true);
	raise_and_see(d);
	device_vm_stop(vm[0]);
	device_vm_stop(vm[1]);
}

/* What a kernel that has no vectors for modules, or a processor without posting, is left with. */
static void without_posting_nothing_is_lost(void **state)
{
	struct vm *vm;
	struct device *d;

	(void)state;
	need_iommu();
	need_apicvisor();
	if (!devices_post)
		skip_because("all of these tests are without");
	devices_can_post_no_more();
	vm = device_vm(XAPIC);
	device_vcpu(vm, BOTH);
	d = device_new(vm);
	ROUTES(vm, TO(0, DEVICE_VECTOR));
	device_vm_start(vm);
	for (int i = 0; i < 50; i++) {
		must(device_raise(d, 10, 1000, i % 2 ? IOMMU_THREAD : IOMMU_HARDIRQ));
		wait_all_seen(d);
	}
	assert_adds_up(d);
	assert_int_equal(device_counters(d).retargeted, 0);
	device_vm_stop(vm);
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
