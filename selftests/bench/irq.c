// SPDX-License-Identifier: GPL-2.0-only
/*
 * IPIs, from the moment before the sending instruction to the first instruction of the handler and
 * to the end of its EOI, and what the sender spends. The guest's vCPU 0 sends; receivers have
 * threads of their own on CPU 1. All of them read one clock: their TSCs are checked to agree.
 */
#include <sys/eventfd.h>
#include "irq.h"

#define ICR_NMI      (4u << 8)
#define ICR_ASSERT   (1u << 14)
#define ICR_OTHERS   (3u << 18)
#define MAX_SKEW     100 /* of two TSCs, ticks */
#define PREEMPT_PORT 0x530
#define HOG_PRIORITY 1

volatile uint64_t receivers, halting, halts;
struct clock common_clock;

/* --- guest: what both sides need --- */

void set_gate(unsigned int vector, const char *handler)
{
	uint64_t *gate = (uint64_t *)GUEST_IDT + 2 * vector, to = (uintptr_t)handler;

	gate[0] = (to & 0xffff) | GUEST_CS << 16 | 0x8eUL << 40 | (to >> 16 & 0xffff) << 48;
	gate[1] = to >> 32;
}

void enable_interrupts(void)
{
	set_gate(VECTOR, mode == X2APIC ? bench_irq_x2apic : bench_irq_xapic);
	set_gate(2, bench_irq_nmi);
	apic_enable();
}

/* --- guest: receiver --- */

void receiver(uint64_t unused)
{
	(void)unused;
	enable_interrupts();
	asm volatile("lock incq %0" : "+m"(common_clock.ready));
	while (!common_clock.agreed) {
		if (common_clock.pong != common_clock.ping) {
			common_clock.tsc = rdtsc();
			common_clock.pong = common_clock.ping;
		}
	}
	sti();
	while (!halting)
		;
	for (;;) {
		cli();
		asm volatile("lock incq %0" : "+m"(halts));
		sti_hlt();
	}
}

void bystander(uint64_t unused)
{
	(void)unused;
	enable_interrupts();
	for (;;)
		hlt();
}

int64_t agree_on_clock(struct clock *c)
{
	uint64_t best = ~0UL;
	int64_t ahead = 0;

	for (int i = 0; i < 16; i++) {
		uint64_t start = rdtsc(), trip;

		c->ping++;
		while (c->pong != c->ping)
			;
		trip = rdtsc() - start;
		if (trip < best) {
			best = trip;
			ahead = (int64_t)(c->tsc - start - trip / 2);
		}
	}
	c->agreed = 1;
	return ahead;
}

/* --- guest: sender --- */

static void prepare_sender(void)
{
	guest_pic_init(0xffff);
	enable_interrupts();
	while (common_clock.ready != receivers)
		;
	if (receivers) {
		int64_t ahead = agree_on_clock(&common_clock);

		guest_assert(ahead < MAX_SKEW && ahead > -MAX_SKEW);
	}
	sti();
}

static void send_ipi(uint32_t apic_id, uint32_t what)
{
	if (mode == X2APIC) {
		x2apic_write(APIC_ICR_LO, (uint64_t)apic_id << 32 | ICR_ASSERT | what);
	} else {
		xapic_write(APIC_ICR_HI, apic_id << 24);
		xapic_write(APIC_ICR_LO, ICR_ASSERT | what);
	}
}

/* Every receiver sleeps: each has said so once more than it was interrupted. */
static void wait_until_halted(void)
{
	uint64_t start;

	while (halts != bench_count + receivers)
		;
	for (start = rdtsc(); rdtsc() - start < SETTLE_TICKS;)
		;
}

TIMED_SENDS(batch_self, 1, , apic_send_self(VECTOR))
TIMED_SENDS(batch_halted, 1, wait_until_halted(), send_ipi(1, VECTOR))
TIMED_SENDS(batch_running, 1, , send_ipi(1, VECTOR))
TIMED_SENDS(batch_nmi, 1, , send_ipi(1, ICR_NMI))
TIMED_SENDS(batch_broadcast, receivers, wait_until_halted(), send_ipi(0, ICR_OTHERS | VECTOR))

/* An interrupt that is there when HLT is: an exit that goes back at once, or sleeps. */
TIMED_SENDS(batch_hlt, 1, cli(), {
	apic_send_self(VECTOR);
	sti_hlt();
})

/* --- preemption: guest and the hog, a thread of the host --- */

static volatile uint64_t asked, hogging, sent_to_preempted;

static void preempt_receiver(void)
{
	asked++;
	outb(PREEMPT_PORT, 0);
	while (hogging != asked)
		;
}

TIMED_SENDS(batch_preempted, 1, preempt_receiver(), {
	send_ipi(1, VECTOR);
	sent_to_preempted = asked;
})

struct hog {
	struct vm *vm;
	int fd;
};

/* Takes CPU 1 from the receiver when the guest asks, until the interrupt is sent. */
static void *hog(void *arg)
{
	const struct hog *h = arg;
	uint64_t n;

	while (read(h->fd, &n, sizeof(n)) == sizeof(n) && n == 1) {
		in_guest(h->vm, hogging)++;
		while (in_guest(h->vm, sent_to_preempted) != in_guest(h->vm, hogging))
			;
	}
	return NULL;
}

/* --- host --- */

void start_on_cpu1(struct vcpu *v, void (*fn)(uint64_t), uint64_t arg)
{
	vcpu_long_mode(v, fn, arg);
	vcpu_start(v);
	pin_thread(v->thread, 1);
}

/* @n receivers beside vCPU 0, halted or not. */
static struct vcpu *new_sender(const struct bench_case *c, unsigned int n, bool halted)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *sender = vcpu_create(vm, 0);

	vcpu_long_mode(sender, loop, 0);
	set_loop(c, sender);
	in_guest(vm, receivers) = n;
	in_guest(vm, halting) = halted;
	for (unsigned int i = 1; i <= n; i++)
		start_on_cpu1(vcpu_create(vm, i), receiver, 0);
	return sender;
}

static void run_self(const struct bench_case *c)
{
	measure(c, new_sender(c, 0, false));
}

/* One receiver; c->arg vCPUs in all, or no others. */
static void run_one(const struct bench_case *c, bool halted)
{
	struct vcpu *sender = new_sender(c, 1, halted);

	for (unsigned int i = 2; i < c->arg; i++)
		start_on_cpu1(vcpu_create(sender->vm, i), bystander, 0);
	measure(c, sender);
}

static void run_running(const struct bench_case *c)
{
	run_one(c, false);
}

static void run_halted(const struct bench_case *c)
{
	run_one(c, true);
}

/* c->arg receivers. */
static void run_broadcast(const struct bench_case *c)
{
	measure(c, new_sender(c, c->arg, true));
}

static void run_preempted(const struct bench_case *c)
{
	struct sched_param priority = { .sched_priority = HOG_PRIORITY };
	struct vcpu *sender = new_sender(c, 1, false);
	struct hog h = { .vm = sender->vm, .fd = eventfd(0, EFD_CLOEXEC) };
	struct kvm_ioeventfd ask = {
		.addr = PREEMPT_PORT,
		.len = 1,
		.fd = h.fd,
		.flags = KVM_IOEVENTFD_FLAG_PIO,
	};
	uint64_t enough = 2;
	pthread_t thread;

	must(h.fd);
	must(ioctl(sender->vm->fd, KVM_IOEVENTFD, &ask));
	if (pthread_create(&thread, NULL, hog, &h))
		fail_msg("no thread");
	if (pthread_setschedparam(thread, SCHED_FIFO, &priority))
		fail_msg("no SCHED_FIFO");
	pin_thread(thread, 1);
	measure(c, sender);
	assert_int_equal(write(h.fd, &enough, sizeof(enough)), sizeof(enough));
	pthread_join(thread, NULL);
	close(h.fd);
}

#define IPI(NAME, MODE, RUN, BATCH, OPS, ARG)                                               \
	{                                                                                   \
		.name = "ipi." NAME, .run = RUN, .batch = BATCH, .mode = MODE,              \
		.prepare = prepare_sender, .ops = OPS, .marked = 1, .metric = SEND_METRICS, \
		.arg = ARG                                                                  \
	}
#define BOTH(NAME, RUN, BATCH, OPS, ARG)                 \
	IPI(NAME ".xapic", XAPIC, RUN, BATCH, OPS, ARG), \
		IPI(NAME ".x2apic", X2APIC, RUN, BATCH, OPS, ARG)

const struct bench_case ipi_cases[] = {
	BOTH("self", run_self, batch_self, 32, 0),
	BOTH("self_hlt", run_self, batch_hlt, 16, 0),
	BOTH("running", run_running, batch_running, 32, 0),
	BOTH("nmi", run_running, batch_nmi, 16, 0),
	BOTH("preempted", run_preempted, batch_preempted, 4, 0),
	BOTH("halted", run_halted, batch_halted, 8, 2),
	IPI("running.of4", X2APIC, run_running, batch_running, 32, 4),
	IPI("running.of8", X2APIC, run_running, batch_running, 32, 8),
	IPI("halted.of4", X2APIC, run_halted, batch_halted, 8, 4),
	IPI("halted.of8", X2APIC, run_halted, batch_halted, 8, 8),
	BOTH("broadcast2", run_broadcast, batch_broadcast, 4, 2),
	BOTH("broadcast4", run_broadcast, batch_broadcast, 4, 4),
	BOTH("broadcast7", run_broadcast, batch_broadcast, 4, 7),
	{},
};
