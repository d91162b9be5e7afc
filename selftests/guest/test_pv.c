// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guests that know KVM are offered beside the clock, and that they get nothing else: steal
 * time and the "preempted" flag against what the scheduler says of the vCPU's thread. Sources: the
 * kernel's documents "KVM CPUID bits", "KVM-specific MSRs" and "Linux KVM Hypercall".
 */
#include <linux/kvm_para.h>
#include "lib.h"
#include "stats.h"

#define ENABLED   1u
#define SLOT      1
#define GPA       0x20000000UL /* of the structure; nobody else writes there */
#define STEAL     ((volatile struct kvm_steal_time *)GPA)
#define MS        1000000UL
#define ROUNDS    20
#define RING_SIZE 65536UL

/* --- the guest is held to its CPUID --- */

static volatile uint32_t this_msr;
static volatile uint64_t this_value;

static void read_msr(void)
{
	(void)rdmsr(this_msr);
}

static void write_msr(void)
{
	wrmsr(this_msr, this_value);
}

static int64_t vmcall(uint64_t nr, uint64_t a0, uint64_t a1)
{
	int64_t result;

	asm volatile("vmcall"
		     : "=a"(result)
		     : "a"(nr), "b"(a0), "c"(a1), "d"(0), "S"(0)
		     : "memory");
	return result;
}

static void nothing_works(uint64_t unused)
{
	static const uint32_t msrs[] = {
		MSR_KVM_WALL_CLOCK,      MSR_KVM_SYSTEM_TIME,       MSR_KVM_WALL_CLOCK_NEW,
		MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_ASYNC_PF_EN,       MSR_KVM_STEAL_TIME,
		MSR_KVM_PV_EOI_EN,       MSR_KVM_POLL_CONTROL,      MSR_KVM_ASYNC_PF_INT,
		MSR_KVM_ASYNC_PF_ACK,    MSR_KVM_MIGRATION_CONTROL,
	};
	uint32_t error;

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		this_msr = msrs[i];
		guest_assert_eq(guest_catch(read_msr, &error), 13);
		guest_assert_eq(guest_catch(write_msr, &error), 13);
	}
	guest_assert_eq(vmcall(KVM_HC_KICK_CPU, 0, 0), -KVM_ENOSYS);
	guest_assert_eq(vmcall(KVM_HC_SEND_IPI, 1, 0), -KVM_ENOSYS);
	guest_assert_eq(vmcall(KVM_HC_SCHED_YIELD, 0, 0), -KVM_ENOSYS);
	guest_assert_eq(vmcall(-1UL, 0, 0), -KVM_ENOSYS);
}

/* The features that the guest's CPUID shows from now on; returns those it showed before. */
static uint32_t set_features(struct vcpu *v, uint32_t eax)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[100];
	} list = { .head.nent = 100 };
	uint32_t before = 0;

	must(ioctl(v->fd, KVM_GET_CPUID2, &list));
	for (uint32_t i = 0; i < list.head.nent; i++)
		if (list.entry[i].function == KVM_CPUID_FEATURES) {
			before = list.entry[i].eax;
			list.entry[i].eax = eax;
		}
	must(ioctl(v->fd, KVM_SET_CPUID2, &list));
	return before;
}

static void a_guest_is_held_to_its_cpuid(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);

	(void)state;
	if (!on_apicvisor()) /* where it is always so */
		must(ioctl(v->fd, KVM_ENABLE_CAP, &cap));
	vcpu_long_mode(v, nothing_works, 0);
	set_features(v, 0);
	expect_done(v);
}

/* What userspace sets it may see again, but for one bit where HLT does not exit. */
static void unhalt_goes_with_hlt(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS,
				      .args = { KVM_X86_DISABLE_EXITS_HLT } };
	const uint32_t bits = 1 << KVM_FEATURE_PV_UNHALT | 1 << KVM_FEATURE_CLOCKSOURCE2;
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_create(vm, 0);

	(void)state;
	if (!(dev_capability(cap.cap) & KVM_X86_DISABLE_EXITS_HLT))
		skip_because("HLT always exits");
	set_features(v, bits);
	assert_int_equal(set_features(v, bits), bits);
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	set_features(v, bits);
	assert_int_equal(set_features(v, bits), 1 << KVM_FEATURE_CLOCKSOURCE2);
}

/* --- steal time --- */

static volatile struct kvm_steal_time *st; /* the host's view of the guest's */
static volatile bool spinning, enough;

static void need_feature(uint32_t feature)
{
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);
	uint32_t features = set_features(v, 0);

	vm_free(v->vm);
	if (!(features & 1u << feature))
		skip_because("KVM_FEATURE %u is not offered", feature);
}

static void check_steal(void)
{
	guest_assert_eq(STEAL->preempted, 0); /* it reads this, so it runs */
	guest_assert_eq(STEAL->flags, 0);
	guest_assert_eq(STEAL->version & 1, 0);
}

static void steal_reader(uint64_t value)
{
	wrmsr(MSR_KVM_STEAL_TIME, value);
	guest_assert_eq(rdmsr(MSR_KVM_STEAL_TIME), value);
	for (;;) {
		check_steal();
		guest_sync_values(1, STEAL->steal, STEAL->version, 0, 0);
	}
}

static void steal_spinner(uint64_t value)
{
	wrmsr(MSR_KVM_STEAL_TIME, value);
	for (spinning = true; !enough;)
		check_steal();
}

static struct vcpu *steal_vcpu(struct vm *vm, uint32_t slot_flags, void (*fn)(uint64_t))
{
	struct vcpu *v = vcpu_create(vm, 0);
	void *page = map_anon(PAGE_SIZE);

	vm_set_slot(v->vm, SLOT, slot_flags, GPA, PAGE_SIZE, page);
	st = page;
	vcpu_long_mode(v, fn, GPA | ENABLED);
	return v;
}

static struct vcpu *steal_guest(void (*fn)(uint64_t))
{
	need_feature(KVM_FEATURE_STEAL_TIME);
	return steal_vcpu(vm_create_irqchip(), 0, fn);
}

/* How long this thread has waited for a CPU, as the scheduler counts it. */
static uint64_t my_wait_ns(void)
{
	unsigned long ran, waited;
	FILE *f = fopen("/proc/thread-self/schedstat", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &ran, &waited), 2);
	fclose(f);
	return waited;
}

static volatile bool competitor_stop;

static void *compete(void *unused)
{
	(void)unused;
	while (!competitor_stop)
		;
	return NULL;
}

/* Lose CPU 0, which this thread runs on, to another one for a while. */
static void lose_time(uint64_t ns)
{
	uint64_t before = my_wait_ns();
	pthread_t thread;

	competitor_stop = false;
	assert_int_equal(pthread_create(&thread, NULL, compete, NULL), 0);
	pin_thread(thread, 0);
	while (my_wait_ns() - before < ns && !test_timed_out)
		sched_yield();
	competitor_stop = true;
	pthread_join(thread, NULL);
}

/* What the guest is told of a time is what the thread has waited in it. */
static void waiting_is_stolen_time(void **state)
{
	struct vcpu *v = steal_guest(steal_reader);
	struct guest_report before, *now;
	uint64_t outer, inner;

	(void)state;
	pin_thread(pthread_self(), 0);
	expect_sync(v, 1);
	for (int i = 0; i < 3; i++) {
		outer = my_wait_ns();
		before = *expect_sync(v, 1);
		inner = my_wait_ns();
		lose_time(20 * MS);
		inner = my_wait_ns() - inner;
		now = expect_sync(v, 1);
		assert_in_range(now->value[1] - before.value[1], inner, my_wait_ns() - outer);
		assert_true(now->value[2] > before.value[2]);
	}
}

/* The sum is in the VM's memory alone: a guest that was restored goes on with it. */
static void the_sum_moves_with_the_memory(void **state)
{
	struct vcpu *v = steal_guest(steal_reader);
	uint64_t before;

	(void)state;
	pin_thread(pthread_self(), 0);
	before = my_wait_ns(); /* what it waits for after this run counts for the next one */
	expect_sync(v, 1);
	assert_int_equal(vcpu_get_msr(v, MSR_KVM_STEAL_TIME), GPA | ENABLED);
	st->steal = 1UL << 40;
	st->version = 7; /* as it was saved, in the middle of a change */
	st->preempted = KVM_VCPU_PREEMPTED;
	assert_int_equal(vcpu_set_msr(v, MSR_KVM_STEAL_TIME, GPA | ENABLED), 1);
	assert_in_range(expect_sync(v, 1)->value[1], 1UL << 40,
			(1UL << 40) + my_wait_ns() - before);
}

/* A VMM may run a vCPU by another thread, whose own past is none of the guest's business. */
static void *run_elsewhere(void *arg)
{
	struct vcpu *v = arg;

	pin_thread(pthread_self(), 0);
	lose_time(20 * MS);
	return vcpu_run_raw(v) ? NULL : v;
}

static void another_threads_past_is_not_stolen(void **state)
{
	struct vcpu *v = steal_guest(steal_reader);
	uint64_t told;
	pthread_t thread;
	void *ran;

	(void)state;
	need_apicvisor(); /* the peer counts it in */
	told = expect_sync(v, 1)->value[1];
	assert_int_equal(pthread_create(&thread, NULL, run_elsewhere, v), 0);
	pthread_join(thread, &ran);
	assert_non_null(ran);
	assert_in_range(v->report->value[1] - told, 0, 10 * MS);
}

/* --- "preempted" --- */

static void wait_for_spinner(struct vcpu *v)
{
	while (!in_guest(v->vm, spinning) && !v->error[0] && !test_timed_out)
		usleep(1000);
}

/*
 * The vCPU is on our CPU: whenever we run it does not, though it could. Returns how often the guest
 * was told so in the meantime.
 */
static int look_while_it_waits(struct vcpu *v)
{
	int seen = 0;

	pin_thread(pthread_self(), 0);
	vcpu_start(v);
	pin_thread(v->thread, 0);
	wait_for_spinner(v);
	for (int i = 0; i < ROUNDS; i++) {
		usleep(2000);
		seen += st->preempted == KVM_VCPU_PREEMPTED;
	}
	in_guest(v->vm, enough) = true;
	vcpu_join(v); /* the guest itself has never seen it */
	return seen;
}

static void a_vcpu_that_waits_is_preempted(void **state)
{
	(void)state;
	/* not when it lost its CPU within an exit, as it may once in a while */
	assert_in_range(look_while_it_waits(steal_guest(steal_spinner)), ROUNDS / 2, ROUNDS);
	assert_true(st->steal > MS);
}

/* --- translations of a vCPU that does not run --- */

#define ELSEWHERE 0x200000UL /* VA leads to the one large page of GUEST_FREE or to the next */

static volatile uint64_t wanted; /* what the guest reads by VA */

static void va_reader(uint64_t value)
{
	wrmsr(MSR_KVM_STEAL_TIME, value);
	for (spinning = true; !enough;)
		if (*(volatile uint64_t *)GUEST_VA_RO != wanted) /* changed in between? */
			guest_assert_eq(*(volatile uint64_t *)GUEST_VA_RO, wanted);
}

/* We share its CPU and come first: as long as we run it does not. True: the guest has to flush. */
static bool move_va(struct vcpu *v)
{
	volatile uint64_t *pde = (void *)(v->vm->mem + GUEST_PD_ALIAS);
	uint8_t *preempted = (uint8_t *)&st->preempted;

	if (*preempted != KVM_VCPU_PREEMPTED) /* it lost its CPU within an exit */
		return false;
	*pde ^= ELSEWHERE;
	in_guest(v->vm, wanted) ^= 1;
	return __sync_bool_compare_and_swap(preempted, KVM_VCPU_PREEMPTED,
					    KVM_VCPU_PREEMPTED | KVM_VCPU_FLUSH_TLB);
}

static void a_preempted_vcpu_drops_translations_when_told(void **state)
{
	struct sched_param first = { .sched_priority = 1 }, normal = { 0 };
	struct sample before, after;
	struct vcpu *v;
	uint64_t asked = 0;

	(void)state;
	need_feature(KVM_FEATURE_PV_TLB_FLUSH);
	v = steal_vcpu(vm_create_irqchip(), 0, va_reader);
	*(uint64_t *)(v->vm->mem + GUEST_FREE + ELSEWHERE) = 1;
	pin_thread(pthread_self(), 0);
	vcpu_start(v);
	pin_thread(v->thread, 0);
	wait_for_spinner(v);
	if (on_apicvisor())
		before = take_sample(v);
	must(sched_setscheduler(0, SCHED_FIFO, &first));
	for (int i = 0; i < ROUNDS; i++) {
		usleep(2000);
		asked += move_va(v);
	}
	must(sched_setscheduler(0, SCHED_OTHER, &normal));
	usleep(10000); /* it runs once more */
	if (on_apicvisor())
		after = take_sample(v);
	in_guest(v->vm, enough) = true;
	vcpu_join(v);
	assert_in_range(asked, ROUNDS / 2, ROUNDS);
	if (on_apicvisor()) /* an emulator may forget translations anyhow */
		assert_true(grown(&before, &after, "tlb_flushes") >= asked);
}

/* --- guest memory --- */

static void written_memory_is_logged(void **state)
{
	struct vcpu *v;
	uint64_t bits = 0;
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = &bits };

	(void)state;
	need_feature(KVM_FEATURE_STEAL_TIME);
	pin_thread(pthread_self(), 0);
	v = steal_vcpu(vm_create_irqchip(), KVM_MEM_LOG_DIRTY_PAGES, steal_reader);
	for (int i = 0; i < 3; i++) {
		expect_sync(v, 1);
		must(ioctl(v->vm->fd, KVM_GET_DIRTY_LOG, &log));
		/* in between the guest only reads, and nothing happens; the peer writes anyhow */
		if (i != 1 || on_apicvisor())
			assert_int_equal(bits, i != 1);
		if (i == 1)
			lose_time(5 * MS);
	}
}

static void written_memory_is_in_the_ring(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { RING_SIZE } };
	struct vm *vm;
	struct vcpu *v;
	struct kvm_dirty_gfn *ring;

	(void)state;
	need_feature(KVM_FEATURE_STEAL_TIME);
	vm = vm_create_irqchip();
	must(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	v = steal_vcpu(vm, KVM_MEM_LOG_DIRTY_PAGES, steal_spinner);
	ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
		    KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE);
	assert_true(ring != MAP_FAILED);
	assert_in_range(look_while_it_waits(v), 1, ROUNDS);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(ring[i].flags, KVM_DIRTY_GFN_F_DIRTY);
		assert_int_equal(ring[i].slot, SLOT);
		assert_int_equal(ring[i].offset, 0);
	}
	munmap(ring, RING_SIZE);
}

static void hostile(uint64_t end)
{
	static const uint64_t odd[] = { -1UL & ~0x3eUL, 1UL << 46 | 1, 1UL << 63 | 1, GPA | 1 };
	uint32_t error;

	this_msr = MSR_KVM_STEAL_TIME;
	for (uint64_t bit = 2; bit < 0x40; bit <<= 1) {
		this_value = end | bit | ENABLED;
		guest_assert_eq(guest_catch(write_msr, &error), 13);
	}
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		wrmsr(MSR_KVM_STEAL_TIME, odd[i]);
		guest_assert_eq(rdmsr(MSR_KVM_STEAL_TIME), odd[i]);
		guest_sync(1);
	}
	wrmsr(MSR_KVM_STEAL_TIME, end | ENABLED); /* behind the last byte */
	guest_sync(1);
}

static void addresses_that_cannot_be_written_are_harmless(void **state)
{
	struct vcpu *v;

	(void)state;
	need_feature(KVM_FEATURE_STEAL_TIME);
	pin_thread(pthread_self(), 0);
	v = steal_vcpu(vm_create_irqchip(), KVM_MEM_READONLY, hostile);
	vcpu_long_mode(v, hostile, v->vm->mem_size);
	for (int i = 0; i < 5; i++) {
		expect_sync(v, 1);
		lose_time(MS);
	}
	expect_done(v);
	assert_int_equal(st->version, 0);
}

/* The page goes away under the scheduler's hands, where nobody can wait for another. */
static void the_page_may_go_at_any_time(void **state)
{
	struct vcpu *v = steal_guest(steal_spinner);

	(void)state;
	pin_thread(pthread_self(), 0);
	vcpu_start(v);
	pin_thread(v->thread, 0);
	wait_for_spinner(v);
	for (int i = 0; i < ROUNDS; i++) {
		must(madvise((void *)st, PAGE_SIZE, MADV_DONTNEED));
		usleep(2000);
	}
	in_guest(v->vm, enough) = true;
	vcpu_join(v);
}

/* An INIT starts software that knows of no page. */
static void an_init_ends_it(void **state)
{
	struct kvm_msi init = { .address_lo = 0xfee00000 | 1 << 12, .data = 5 << 8 };
	struct vm *vm = vm_create_irqchip();
	struct kvm_mp_state s;
	struct vcpu *v;

	(void)state;
	need_feature(KVM_FEATURE_STEAL_TIME);
	need_apicvisor(); /* the peer takes no INIT from a message */
	vcpu_create(vm, 0);
	v = vcpu_create(vm, 1);
	vcpu_set_msr(v, MSR_KVM_STEAL_TIME, GPA | ENABLED);
	vcpu_set_msr(v, MSR_KVM_SYSTEM_TIME_NEW, GPA | ENABLED);
	assert_int_equal(must(ioctl(vm->fd, KVM_SIGNAL_MSI, &init)), 1);
	must(ioctl(v->fd, KVM_GET_MP_STATE, &s)); /* which is when it takes effect */
	assert_int_equal(vcpu_get_msr(v, MSR_KVM_STEAL_TIME), 0);
	assert_int_equal(vcpu_get_msr(v, MSR_KVM_SYSTEM_TIME_NEW), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(a_guest_is_held_to_its_cpuid),
	TEST(unhalt_goes_with_hlt),
	TEST(waiting_is_stolen_time),
	TEST(the_sum_moves_with_the_memory),
	STATS_TEST(another_threads_past_is_not_stolen),
	TEST(a_vcpu_that_waits_is_preempted),
	STATS_TEST(a_preempted_vcpu_drops_translations_when_told),
	TEST(written_memory_is_logged),
	TEST(written_memory_is_in_the_ring),
	TEST(addresses_that_cannot_be_written_are_harmless),
	TEST(the_page_may_go_at_any_time),
	STATS_TEST(an_init_ends_it),
};

TEST_MAIN("guest_pv", tests)
