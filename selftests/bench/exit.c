// SPDX-License-Identifier: GPL-2.0-only
/*
 * Round trips: one instruction of the guest that exits, and back to the next instruction.
 */
#include <sys/eventfd.h>
#include "bench.h"

#define PIC_MASK_PORT   0x21
#define ELCR_PORT       0x4d0
#define NO_HYPERCALL    0x7fff
#define NOTIFY_PORT     0x520
#define NOTIFY_MMIO     (GUEST_MMIO + 0x10000)
#define FRESH_MEMORY    0x10000000UL

#define MSR_TSC_ADJUST  0x3b
#define MSR_MISC_ENABLE 0x1a0

BATCH(batch_nothing, asm volatile(""));

BATCH(batch_cpuid, {
	uint32_t r[4];

	guest_cpuid(0, 0, r);
});

BATCH(batch_vmcall, {
	uint64_t nr = NO_HYPERCALL;

	asm volatile("vmcall" : "+a"(nr) : : "memory");
});

BATCH(batch_pio_kernel_in, inb(PIC_MASK_PORT));
BATCH(batch_pio_kernel_out, outb(ELCR_PORT, 0));
BATCH(batch_pio_user_in, inb(BENCH_PORT));
BATCH(batch_pio_user_out, outb(BENCH_PORT, 0));

BATCH(batch_msr_read, rdmsr(MSR_MISC_ENABLE));
BATCH(batch_msr_write, wrmsr(MSR_TSC_ADJUST, 0));
BATCH(batch_cr8, write_cr(8, 0));
BATCH(batch_mmio_kernel_read, mmio_read32(IOAPIC_BASE));
BATCH(batch_mmio_kernel_write, mmio_write32(IOAPIC_BASE, 0));
BATCH(batch_mmio_user_read, mmio_read32(GUEST_MMIO));
BATCH(batch_mmio_user_write, mmio_write32(GUEST_MMIO, 0));
BATCH(batch_ioeventfd_pio, outb(NOTIFY_PORT, 0));
BATCH(batch_ioeventfd_mmio, mmio_write32(NOTIFY_MMIO, 0));

/* --- notifications: an eventfd that nobody waits for --- */

static void run_notify(const struct bench_case *c)
{
	struct vcpu *v = guest_new_irqchip(loop, 0);
	struct kvm_ioeventfd pio = {
		.addr = NOTIFY_PORT,
		.len = 1,
		.fd = eventfd(0, EFD_CLOEXEC),
		.flags = KVM_IOEVENTFD_FLAG_PIO,
	};
	struct kvm_ioeventfd mmio = { .addr = NOTIFY_MMIO, .len = 4, .fd = pio.fd };

	must(pio.fd);
	must(ioctl(v->vm->fd, KVM_IOEVENTFD, &pio));
	must(ioctl(v->vm->fd, KVM_IOEVENTFD, &mmio));
	close(pio.fd); /* the VM has it */
	set_loop(c, v);
	measure(c, v);
}

/* --- first touches of memory --- */

static volatile uint64_t next_page;

BATCH(batch_ept, {
	*(volatile uint8_t *)next_page = 1;
	next_page += PAGE_SIZE;
});

/* Each page is touched once. c->arg: the host has it already. */
static void run_fresh(const struct bench_case *c)
{
	struct vcpu *v = guest_new_irqchip(loop, 0);
	size_t size = (REPEATS + 2) * c->ops * PAGE_SIZE;
	uint8_t *fresh = map_anon(size + 2 * MiB);

	must(madvise(fresh, size + 2 * MiB, MADV_NOHUGEPAGE));
	if (c->arg)
		memset(fresh, 0, size);
	vm_set_slot(v->vm, 1, 0, FRESH_MEMORY, size, fresh);
	in_guest(v->vm, next_page) = FRESH_MEMORY;
	set_loop(c, v);
	measure(c, v);
	vm_free(v->vm);
	munmap(fresh, size + 2 * MiB);
}

#define CASE(NAME, RUN, BATCH, OPS, ARG)                                                 \
	{                                                                                \
		.name = "exit." NAME, .run = RUN, .batch = BATCH, .ops = OPS, .arg = ARG \
	}
#define ROUND_TRIP(NAME, OPS) CASE(#NAME, run_loop, batch_##NAME, OPS, 0)

const struct bench_case exit_cases[] = {
	ROUND_TRIP(nothing, 32),
	ROUND_TRIP(cpuid, 32),
	ROUND_TRIP(vmcall, 32),
	ROUND_TRIP(msr_read, 32),
	ROUND_TRIP(msr_write, 32),
	ROUND_TRIP(cr8, 32),
	ROUND_TRIP(pio_kernel_in, 32),
	ROUND_TRIP(pio_kernel_out, 32),
	ROUND_TRIP(pio_user_in, 16),
	ROUND_TRIP(pio_user_out, 16),
	ROUND_TRIP(mmio_kernel_read, 32),
	ROUND_TRIP(mmio_kernel_write, 32),
	ROUND_TRIP(mmio_user_read, 16),
	ROUND_TRIP(mmio_user_write, 16),
	CASE("ioeventfd_pio", run_notify, batch_ioeventfd_pio, 32, 0),
	CASE("ioeventfd_mmio", run_notify, batch_ioeventfd_mmio, 32, 0),
	CASE("ept_fresh", run_fresh, batch_ept, 16, 0),
	CASE("ept_mapped", run_fresh, batch_ept, 16, 1),
	{},
};
