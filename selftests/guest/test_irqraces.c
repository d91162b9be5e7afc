// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interrupt controllers from several threads at once: LAPIC modes that change under messages,
 * line sources that disagree, ports that every vCPU writes, resamplers that raise what was just
 * acknowledged, wake-ups out of HLT. What must hold is stated for the moment when all are quiet
 * again, and no race is needed for a test to pass. test_races.c has memory and irqfds.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include "lib.h"

#define VECTOR     0x51
#define OTHER      0x62
#define PIN        5
#define LEVEL      (1u << 15)
#define MASKED     (1u << 16)
#define REMOTE_IRR (1u << 14)

static volatile uint64_t count[256];
static volatile uint64_t progress, stop_guest, ready;

static unsigned long rounds(unsigned long n)
{
	return env_number("APV_LONG", 0) ? 20 * n : n;
}

static void on_irq(struct guest_frame *f)
{
	count[f->vector]++;
	xapic_write(APIC_EOI, 0);
}

static bool gave_up(const struct vcpu *v)
{
	return v->error[0] || v->finished || test_timed_out;
}

/* --- a host thread that repeats something until it is told to stop --- */

struct hammer {
	struct vm *vm;
	int (*once)(struct hammer *h, unsigned int i); /* 0 or errno */
	int fd;
	volatile bool stop;
	volatile unsigned long done;
	int error;
	pthread_t thread;
};

static void *hammer_thread(void *arg)
{
	struct hammer *h = arg;

	for (unsigned int i = 0; !h->stop && !h->error; i++) {
		h->error = h->once(h, i);
		h->done++;
	}
	return NULL;
}

static void hammer_start(struct hammer *h, struct vm *vm,
			 int (*once)(struct hammer *, unsigned int))
{
	h->vm = vm;
	h->once = once;
	assert_int_equal(pthread_create(&h->thread, NULL, hammer_thread, h), 0);
}

/* It has been at it at least @n times. */
static void hammer_stop(struct hammer *h, unsigned long n)
{
	while (h->done < n && !h->error && !test_timed_out)
		sched_yield();
	h->stop = true;
	pthread_join(h->thread, NULL);
	if (h->error)
		fail_msg("round %lu: %s", h->done, strerror(h->error));
}

/* --- L4: modes toggle, vCPUs appear, messages fly --- */

#define MODES_IPIS 400

static volatile uint64_t heard[3];

static void on_name(struct guest_frame *f)
{
	(void)f;
	heard[xapic_read(APIC_ID) >> 24]++;
	xapic_write(APIC_EOI, 0);
}

/* Through all modes, and sometimes an interrupt in between. */
static void toggling_payload(uint64_t id)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) & ~(uint64_t)(APIC_BASE_ENABLE | APIC_BASE_X2APIC);

	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (!stop_guest) {
		wrmsr(MSR_APIC_BASE, base);
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
		xapic_write(APIC_SVR, 0x1ff);
		xapic_write(APIC_LDR, 0x0f000000);
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
		progress++;
	}
	wrmsr(MSR_APIC_BASE, base);
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	xapic_write(APIC_SVR, 0x1ff);
	guest_handler[VECTOR] = on_name;
	guest_handler[OTHER] = on_irq;
	__atomic_fetch_sub(&ready, 1, __ATOMIC_SEQ_CST);
	sti();
	while (!heard[id])
		cpu_relax();
}

static void sending_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	guest_handler[OTHER] = on_irq;
	while (ready < 2)
		cpu_relax();
	for (uint32_t i = 0; i < MODES_IPIS || progress < 20; i++) {
		xapic_write(APIC_ICR_HI, (i % 9) << 24);               /* IDs that come and go */
		xapic_write(APIC_ICR_LO, (i % 2 ? 0x800 : 0) | OTHER); /* physical, logical */
		xapic_write(APIC_ICR_HI, 0xffu << 24);
		xapic_write(APIC_ICR_LO, (i % 4 == 3 ? 0x900 : 0) | OTHER); /* broadcast, lowest */
		xapic_write(APIC_ICR_LO, 3u << 18 | OTHER);
	}
	stop_guest = 1;
	while (ready)
		cpu_relax();
	/* Now all are in xAPIC mode, and each hears its name. */
	for (uint32_t id = 1; id <= 2; id++) {
		xapic_write(APIC_ICR_HI, id << 24);
		xapic_write(APIC_ICR_LO, VECTOR);
		while (!heard[id])
			cpu_relax();
	}
}

static int send_msi_anywhere(struct hammer *h, unsigned int i)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 | (i % 9) << 12 | (i & 12), .data = OTHER };

	if (ioctl(h->vm->fd, KVM_SIGNAL_MSI, &msi) >= 0)
		return 0;
	/* For the peer "nobody took it" is -1, which is an errno, too. */
	return errno == EPERM && !on_apicvisor() ? 0 : errno;
}

static void L4_modes_toggle_under_messages(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct hammer msis = { 0 };

	(void)state;
	vcpu_long_mode(vcpu_create(vm, 0), sending_payload, 0);
	for (unsigned int id = 1; id <= 2; id++)
		vcpu_long_mode(vcpu_create(vm, id), toggling_payload, id);
	hammer_start(&msis, vm, send_msi_anywhere);
	for (int i = 0; i < 3; i++)
		vcpu_start(vm->vcpu[i]);
	for (unsigned int id = 3; id <= 7; id++) /* the map grows meanwhile */
		close(must(ioctl(vm->fd, KVM_CREATE_VCPU, id)));
	for (int i = 0; i < 3; i++)
		vcpu_join(vm->vcpu[i]);
	hammer_stop(&msis, 100);
}

/* --- level lines --- */

/* Ends only if the guest gets to run between the interrupts. */
static void level_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[VECTOR] = on_irq;
	guest_pic_init(0xffff);
	guest_xapic_enable();
	xapic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
	guest_ioapic_pin(PIN, LEVEL | VECTOR, 0);
	sti();
	ready = 1;
	while (!stop_guest) {
		progress++;
		cpu_relax();
	}
	guest_sync(2);
	for (int i = 0; i < 100; i++) /* what is on its way arrives */
		ioapic_read(0x10 + 2 * PIN);
	guest_assert(!(ioapic_read(0x10 + 2 * PIN) & REMOTE_IRR));
	guest_sync_values(3, count[VECTOR], 0, 0, 0);
	for (int i = 0; i < 100; i++)
		ioapic_read(0x10 + 2 * PIN);
	guest_sync_values(4, count[VECTOR], 0, 0, 0);
}

static void wait_for(struct vcpu *v, volatile uint64_t *counter, uint64_t aim)
{
	while (*counter < aim && !gave_up(v))
		sched_yield();
	if (*counter < aim)
		vcpu_stop(v); /* says why */
}

/* @n more from now on: of something that goes on by itself. */
static void wait_until(struct vcpu *v, volatile uint64_t *counter, uint64_t n)
{
	wait_for(v, counter, *counter + n);
}

static struct vcpu *level_guest(void)
{
	struct vcpu *v = guest_new_irqchip(level_payload, 0);

	vcpu_start(v);
	wait_for(v, &in_guest(v->vm, ready), 1);
	return v;
}

/* All sources are low: interrupts end, and nothing is left in flight. */
static void expect_quiet(struct vcpu *v)
{
	in_guest(v->vm, stop_guest) = 1;
	vcpu_join(v);
}

/* I6: the line never falls, the guest gets on with its work all the same. */
static void I6_stuck_line(void **state)
{
	struct vcpu *v = level_guest();

	(void)state;
	vm_irq_line(v->vm, PIN, 1);
	wait_until(v, &in_guest(v->vm, count[VECTOR]), rounds(10000));
	wait_until(v, &in_guest(v->vm, progress), 3); /* interrupted work, and still it goes on */
	vm_irq_line(v->vm, PIN, 0);
	expect_quiet(v);
}

static int toggle_user_line(struct hammer *h, unsigned int i)
{
	struct kvm_irq_level line = { .irq = PIN, .level = i % 2 };

	return ioctl(h->vm->fd, KVM_IRQ_LINE, &line) ? errno : 0;
}

static bool signal_eventfd(int fd)
{
	uint64_t one = 1;

	return write(fd, &one, sizeof(one)) == sizeof(one);
}

static int raise_by_irqfd(struct hammer *h, unsigned int i)
{
	(void)i;
	return signal_eventfd(h->fd) ? 0 : errno;
}

static struct kvm_irqfd resample_irqfd(struct vm *vm, int fd, int resamplefd)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)fd,
		.resamplefd = (uint32_t)resamplefd,
		.gsi = PIN,
		.flags = KVM_IRQFD_FLAG_RESAMPLE,
	};

	must(ioctl(vm->fd, KVM_IRQFD, &irqfd));
	return irqfd;
}

static void deassign(struct vm *vm, struct kvm_irqfd irqfd)
{
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	must(ioctl(vm->fd, KVM_IRQFD, &irqfd));
}

/*
 * I8: two sources of one line, each at its own pace, against a guest that ends the interrupts.
 * While one holds the line the interrupts keep coming, whatever the other does.
 */
static void I8_sources_of_a_line(void **state)
{
	struct vcpu *v = level_guest();
	struct vm *vm = v->vm;
	struct hammer toggler = { 0 }, device = { .fd = eventfd(0, EFD_NONBLOCK) };
	int resamplefd = eventfd(0, EFD_NONBLOCK);
	struct kvm_irqfd irqfd = resample_irqfd(vm, device.fd, resamplefd);

	(void)state;
	hammer_start(&toggler, vm, toggle_user_line);
	hammer_start(&device, vm, raise_by_irqfd);
	wait_until(v, &in_guest(vm, count[VECTOR]), rounds(200));
	hammer_stop(&toggler, rounds(500));
	vm_irq_line(vm, PIN, 1); /* held by userspace; the other goes on raising and lowering */
	wait_until(v, &in_guest(vm, count[VECTOR]), rounds(200));
	hammer_stop(&device, rounds(500));
	wait_until(v, &in_guest(vm, count[VECTOR]), 50); /* one source alone */
	vm_irq_line(vm, PIN, 0);
	deassign(vm, irqfd);
	expect_quiet(v);
	close(device.fd);
	close(resamplefd);
}

/*
 * I3: the resample eventfd is the irqfd's own, so each acknowledgement raises the line that it has
 * just lowered. That is an endless loop of the guest's making, one turn for each EOI, and no more.
 */
static void I3_resampler_raises_its_own_line(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct kvm_irqfd irqfd;
	struct vcpu *v;

	(void)state;
	if (!on_apicvisor())
		skip_because("the peer's guest gets no time in between");
	v = level_guest();
	irqfd = resample_irqfd(v->vm, fd, fd);
	assert_true(signal_eventfd(fd));
	wait_until(v, &in_guest(v->vm, count[VECTOR]), rounds(2000));
	wait_until(v, &in_guest(v->vm, progress), 3);
	deassign(v->vm, irqfd);
	expect_quiet(v);
	close(fd);
}

/* I10: level irqfds come and go while routes change and their eventfds are signalled. */
static int reroute(struct hammer *h, unsigned int i)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} r = {
		.head.nr = 1,
		.entry = { .gsi = PIN, .type = KVM_IRQ_ROUTING_IRQCHIP },
	};

	if (i % 3 == 1) {
		r.entry.type = KVM_IRQ_ROUTING_MSI;
		r.entry.u.msi.address_lo = 0xfee00000;
		r.entry.u.msi.data = OTHER;
	} else {
		r.entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		r.entry.u.irqchip.pin = PIN;
	}
	r.head.nr = i % 3 != 2; /* or no route at all */
	return ioctl(h->vm->fd, KVM_SET_GSI_ROUTING, &r) ? errno : 0;
}

/*
 * A device that raises its line until it is served. The acknowledgement may be that of an earlier
 * interrupt, which takes the line down all the same: then it raises it again.
 */
static void device_is_served(struct vcpu *v, int fd, int resamplefd)
{
	volatile uint64_t *served = &in_guest(v->vm, count[VECTOR]);
	uint64_t acks, aim = *served + 1;

	(void)!read(resamplefd, &acks, sizeof(acks)); /* forget earlier ones */
	do {
		assert_true(signal_eventfd(fd));
		while (read(resamplefd, &acks, sizeof(acks)) < 0 && !gave_up(v))
			sched_yield();
	} while (*served < aim && !gave_up(v));
	wait_for(v, served, aim);
}

static void I10_resamplers_against_routing(void **state)
{
	struct vcpu *v;
	struct hammer router = { 0 }, device = { .fd = eventfd(0, EFD_NONBLOCK) };
	int resamplefd = eventfd(0, EFD_NONBLOCK);
	struct vm *vm;

	(void)state;
	v = guest_new_irqchip(level_payload, 0);
	vm = v->vm;
	in_guest(vm, guest_handler[OTHER]) = on_irq;
	vcpu_start(v);
	wait_for(v, &in_guest(vm, ready), 1);
	hammer_start(&router, vm, reroute);
	hammer_start(&device, vm, raise_by_irqfd);
	for (unsigned long i = 0; i < rounds(50); i++) {
		struct kvm_irqfd irqfd = resample_irqfd(vm, device.fd, resamplefd);
		int passing = eventfd(0, EFD_NONBLOCK);
		struct kvm_irqfd closed = resample_irqfd(vm, passing, resamplefd);

		assert_true(signal_eventfd(passing));
		close(passing); /* the last close of an assigned eventfd */
		(void)closed;
		deassign(vm, irqfd);
	}
	hammer_stop(&device, 10);
	hammer_stop(&router, 10);
	/* Quiet again: the table is what was set last, and a fresh irqfd works on it. */
	assert_int_equal(reroute(&router, 0), 0);
	{
		struct kvm_irqfd irqfd = resample_irqfd(vm, device.fd, resamplefd);

		device_is_served(v, device.fd, resamplefd);
		deassign(vm, irqfd);
	}
	expect_quiet(v);
	close(device.fd);
	close(resamplefd);
}

/* --- T3: every vCPU at the ports, userspace at the state --- */

static volatile uint64_t port_rounds;

static void ports_payload(uint64_t seed)
{
	static const uint16_t ports[] = { 0x40, 0x41, 0x42, 0x43,  0x61, 0x20,
					  0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };

	while (!stop_guest) {
		uint16_t port;

		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		port = ports[(seed >> 33) % ARRAY_SIZE(ports)];
		if (seed >> 63)
			outb(port, (uint8_t)(seed >> 40));
		else
			(void)inb(port);
		__atomic_fetch_add(&port_rounds, 1, __ATOMIC_RELAXED);
	}
}

static void on_tick(struct guest_frame *f)
{
	count[f->vector]++;
	outb(0x20, 0x20);
}

/* Afterwards the devices can be programmed as ever. */
static void ticks_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[0x20] = on_tick;
	outb(0x4d0, 0);
	outb(0x4d1, 0);
	guest_pic_init(0xfffe);
	outb(0x43, 0x34);
	outb(0x40, 2000 & 0xff);
	outb(0x40, 2000 >> 8);
	while (count[0x20] < 5) {
		sti_hlt();
		cli();
	}
	outb(0x43, 0x30);
}

static int save_and_restore(struct hammer *h, unsigned int i)
{
	struct kvm_irqchip chip = { .chip_id = i % 2 };
	struct kvm_pit_state2 pit;

	if (ioctl(h->vm->fd, KVM_GET_PIT2, &pit) || ioctl(h->vm->fd, KVM_SET_PIT2, &pit) ||
	    ioctl(h->vm->fd, KVM_GET_IRQCHIP, &chip) || ioctl(h->vm->fd, KVM_SET_IRQCHIP, &chip))
		return errno;
	return 0;
}

static void T3_ports_from_everywhere(void **state)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vm *vm = vm_create_irqchip();
	struct hammer state_of = { 0 };

	(void)state;
	must(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
	for (unsigned int id = 0; id < 3; id++)
		vcpu_long_mode(vcpu_create(vm, id), ports_payload, 0x1234567 * (id + 1));
	hammer_start(&state_of, vm, save_and_restore);
	for (int i = 0; i < 3; i++)
		vcpu_start(vm->vcpu[i]);
	wait_until(vm->vcpu[0], &in_guest(vm, port_rounds), rounds(5000));
	in_guest(vm, stop_guest) = 1;
	for (int i = 0; i < 3; i++)
		vcpu_join(vm->vcpu[i]);
	hammer_stop(&state_of, 50);
	vcpu_long_mode(vm->vcpu[0], ticks_payload, 0);
	expect_done(vm->vcpu[0]);
}

/* --- L12: each wake-up arrives --- */

static void on_pic_irq(struct guest_frame *f)
{
	count[f->vector]++;
	outb(0x20, 0x20);
}

/* Asleep whenever there is nothing to do; two ways wake it, at any moment of falling asleep. */
static void sleeper_payload(uint64_t arg)
{
	(void)arg;
	guest_handler[0x24] = on_pic_irq;
	guest_handler[VECTOR] = on_irq;
	guest_pic_init(0);
	guest_xapic_enable();
	xapic_write(APIC_LVT_LINT0, APIC_MODE_EXTINT);
	ready = 1;
	while (!stop_guest) {
		sti_hlt();
		cli();
	}
}

static bool arrives(struct vcpu *v, uint32_t vector, uint64_t n)
{
	while (in_guest(v->vm, count[vector]) < n)
		if (gave_up(v))
			return false;
		else
			sched_yield();
	return true;
}

static int next_msi(struct hammer *h, unsigned int i)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VECTOR };
	int r = ioctl(h->vm->fd, KVM_SIGNAL_MSI, &msi);

	if (r != 1) /* the last one was taken: this one can't be coalesced */
		return r < 0 ? errno : ENOMSG;
	return arrives(h->vm->vcpu[0], VECTOR, i + 1) ? 0 : ESHUTDOWN;
}

/* Each is sent when the one before was handled: a lost one is waited for in vain. */
static void L12_no_wakeup_is_lost(void **state)
{
	struct vcpu *v = guest_new_irqchip(sleeper_payload, 0);
	struct hammer msis = { 0 };

	(void)state;
	vcpu_start(v);
	wait_for(v, &in_guest(v->vm, ready), 1);
	hammer_start(&msis, v->vm, next_msi);
	for (uint64_t i = 1; i <= rounds(300); i++) {
		vm_irq_line(v->vm, 4, 1);
		vm_irq_line(v->vm, 4, 0);
		if (!arrives(v, 0x24, i))
			break;
	}
	hammer_stop(&msis, rounds(300));
	in_guest(v->vm, stop_guest) = 1;
	vm_irq_line(v->vm, 4, 1); /* a last time, out of HLT */
	vcpu_join(v);
}

/* --- L11: requests behind a raised TPR, which comes down without an exit --- */

#define BEHIND_TPR 1500

static volatile uint64_t behind_sent;

/* Takes a vector above its TPR, which makes software look at the LAPIC, while others come below. */
static void tpr_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	guest_handler[VECTOR] = on_irq;
	guest_handler[0x81] = on_irq;
	sti();
	ready = 1;
	for (uint64_t i = 1; i <= BEHIND_TPR; i++) {
		write_cr(8, 7);
		progress = i; /* the sender sends one now */
		while (behind_sent < i)
			xapic_write(APIC_ICR_LO, 1u << 18 | 0x81);
		write_cr(8, 0);
		while (count[VECTOR] < i)
			cpu_relax();
	}
}

static void behind_tpr_payload(uint64_t arg)
{
	(void)arg;
	guest_xapic_enable();
	xapic_write(APIC_ICR_HI, 0);
	for (uint64_t i = 1; i <= BEHIND_TPR; i++) {
		while (progress < i)
			cpu_relax();
		for (uint32_t n = (uint32_t)i * 2654435761u >> 20; n; n--)
			cpu_relax(); /* at any moment of the receiver's round */
		behind_sent = i;     /* first: no other interrupt shall make up for a lost one */
		xapic_write(APIC_ICR_LO, VECTOR);
	}
}

static void L11_no_request_is_stranded_behind_the_tpr(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *receiver = vcpu_create(vm, 0), *sender = vcpu_create(vm, 1);

	(void)state;
	must(ioctl(sender->fd, KVM_SET_MP_STATE, &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE }));
	vcpu_long_mode(receiver, tpr_payload, 0);
	vcpu_long_mode(sender, behind_tpr_payload, 0);
	vcpu_start(receiver);
	vcpu_start(sender);
	vcpu_join(sender);
	vcpu_join(receiver);
	assert_int_equal(in_guest(vm, count[VECTOR]), BEHIND_TPR);
}

static const struct CMUnitTest tests[] = {
	TEST(L4_modes_toggle_under_messages), TEST(I6_stuck_line),
	TEST(I8_sources_of_a_line),           TEST(I3_resampler_raises_its_own_line),
	TEST(I10_resamplers_against_routing), TEST(T3_ports_from_everywhere),
	TEST(L12_no_wakeup_is_lost),          TEST(L11_no_request_is_stranded_behind_the_tpr),
};

TEST_MAIN("guest_irqraces", tests)
