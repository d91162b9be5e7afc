// SPDX-License-Identifier: GPL-2.0-only
/*
 * The frame of the benchmark: cases become tests of cmocka, so that one that fails is reported and
 * the others go on; batches are run and their figures printed. It knows no case.
 */
#include "bench.h"
#include "stats.h"

static const struct bench_case *const groups[] = { exit_cases,  ipi_cases,  irq_cases,
						   timer_cases, life_cases, guest_cases };

volatile uint64_t ops;
static void (*volatile batch)(uint64_t *ticks);
static void (*volatile prepare)(void);

unsigned int repeats(void)
{
	unsigned long n = env_number("BENCH_REPEATS", REPEATS);

	return n < 1 ? 1 : n > REPEATS ? REPEATS : (unsigned int)n;
}

/* --- figures --- */

static void print_exits(const struct exit_counts *exits)
{
	const char *comma = "";

	if (!exits)
		return;
	printf(", \"exits\": [");
	for (unsigned int i = 0; i < exits->n; i++) {
		printf("%s[%u, \"%s\", %lu]", comma, exits->of[i].vcpu, exits->of[i].reason,
		       (unsigned long)exits->of[i].count);
		comma = ", ";
	}
	printf("]");
}

void emit(const struct bench_case *c, const struct samples *s, const struct exit_counts *exits)
{
	assert_true(s->n && c->ops);
	for (unsigned int m = 0; m < MAX_METRICS && (m == 0 || c->metric[m]); m++) {
		printf("@bench {\"case\": \"%s%s%s\", \"ops\": %u, \"marked\": %u", c->name,
		       c->metric[m] ? "." : "", c->metric[m] ? c->metric[m] : "", c->ops,
		       c->marked ? c->marked : c->ops);
		if (c->unit)
			printf(", \"unit\": \"%s\"", c->unit);
		print_exits(exits);
		printf(", \"batches\": [");
		for (unsigned int i = 0; i < s->n; i++)
			printf("%s%lu", i ? ", " : "", (unsigned long)s->ticks[m][i]);
		printf("]}\n");
	}
}

/* --- batches --- */

/* To the report at the batch's end; accesses that userspace serves are done with at once. */
static struct guest_report *run_batch(struct vcpu *v)
{
	const struct kvm_run *run = v->run;

	do {
		if (vcpu_run_raw(v))
			fail_msg("KVM_RUN: %s", strerror(errno));
	} while (run->exit_reason == KVM_EXIT_MMIO ||
		 (run->exit_reason == KVM_EXIT_IO && run->io.port == BENCH_PORT));
	return vcpu_last_report(v);
}

/* The report's own exit is not the batch's. */
static void forget_report(struct exit_counts *exits, unsigned int vcpu)
{
	for (unsigned int i = 0; i < exits->n; i++)
		if (exits->of[i].vcpu == vcpu && !strcmp(exits->of[i].reason, "io"))
			exits->of[i].count--;
}

/* A figure of the other mode would look as good. */
static void check_mode(const struct bench_case *c, struct vcpu *v)
{
	struct kvm_sregs sregs;

	must(ioctl(v->fd, KVM_GET_SREGS, &sregs));
	assert_int_equal(sregs.apic_base & APIC_BASE_X2APIC ? X2APIC : XAPIC, c->mode);
}

void measure(const struct bench_case *c, struct vcpu *v)
{
	struct exit_counts exits;
	struct samples s = { .n = repeats() };

	run_batch(v);
	check_mode(c, v);
	count_begin(v->vm);
	run_batch(v);
	count_end(v->vm, &exits);
	forget_report(&exits, v->id);
	for (unsigned int i = 0; i < s.n; i++) {
		const struct guest_report *r = run_batch(v);

		for (unsigned int m = 0; m < MAX_METRICS; m++)
			s.ticks[m][i] = r->value[m + 1];
	}
	emit(c, &s, &exits);
}

void loop(uint64_t unused)
{
	uint64_t ticks[MAX_METRICS] = { 0 };

	(void)unused;
	if (prepare)
		prepare();
	for (;;) {
		batch(ticks);
		guest_sync_values(1, ticks[0], ticks[1], ticks[2], ticks[3]);
	}
}

void set_loop(const struct bench_case *c, struct vcpu *v)
{
	struct vm *vm = v->vm;

	in_guest(vm, ops) = c->ops;
	in_guest(vm, mode) = c->mode;
	in_guest(vm, batch) = c->batch;
	in_guest(vm, prepare) = c->prepare;
}

void run_loop(const struct bench_case *c)
{
	struct vcpu *v = guest_new_irqchip(loop, 0);

	set_loop(c, v);
	measure(c, v);
}

/* --- main --- */

static void run_case(void **state)
{
	const struct bench_case *c = *state;

	pin_thread(pthread_self(), 0);
	c->run(c);
}

/* cmocka hands the test's initial state over; stats_setup() does not look at it. */
int main(int argc, char **argv)
{
	static struct CMUnitTest tests[256];
	size_t n = 0;

	for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
		for (const struct bench_case *c = groups[g]; c->name; c++) {
			assert_true(n < ARRAY_SIZE(tests));
			tests[n++] = (struct CMUnitTest){
				.name = c->name,
				.test_func = run_case,
				.setup_func = stats_setup,
				.teardown_func = test_teardown,
				.initial_state = (void *)c,
			};
		}
	return test_main("bench", tests, n, argc, argv);
}
