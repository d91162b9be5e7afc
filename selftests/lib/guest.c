// SPDX-License-Identifier: GPL-2.0-only
/*
 * Code that runs inside the guest: reports to the host, dispatch of exceptions and interrupts,
 * set-up of the interrupt controllers. Nothing here may call libc.
 */
#include <stddef.h>
#include "guest.h"

guest_handler_fn guest_handler[256];
uint64_t guest_catch_rsp;
extern const char guest_catch_landing[];

/* The report lies at the bottom of this vCPU's stack, whose size is a power of two. */
static struct guest_report *my_report(void)
{
	uint64_t rsp;

	asm volatile("mov %%rsp, %0" : "=r"(rsp));
	return (struct guest_report *)(rsp & ~(uint64_t)(GUEST_STACK_SIZE - 1));
}

void guest_report(uint64_t kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	struct guest_report *r = my_report();

	r->kind = kind;
	r->value[0] = a;
	r->value[1] = b;
	r->value[2] = c;
	r->value[3] = d;
	r->value[4] = e;
	outl(REPORT_PORT, (uint32_t)kind);
}

void guest_exit(void)
{
	for (;;)
		guest_report(REPORT_DONE, 0, 0, 0, 0, 0);
}

void guest_dispatch(struct guest_frame *f)
{
	if (guest_catch_rsp && f->vector < 32 && f->vector != 2) {
		f->rip = (uint64_t)guest_catch_landing;
		f->rax = f->vector;
		f->rdx = f->error;
		return;
	}
	if (guest_handler[f->vector]) {
		guest_handler[f->vector](f);
		return;
	}
	for (;;)
		guest_report(REPORT_EXCEPTION, f->vector, f->error, f->rip, read_cr(2), f->rsp);
}

void guest_xapic_enable(void)
{
	wrmsr(MSR_APIC_BASE,
	      (rdmsr(MSR_APIC_BASE) & ~(uint64_t)APIC_BASE_X2APIC) | APIC_BASE_ENABLE);
	xapic_write(APIC_SVR, 0x1ff);
	xapic_write(APIC_TPR, 0);
}

void guest_x2apic_enable(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	x2apic_write(APIC_SVR, 0x1ff);
	x2apic_write(APIC_TPR, 0);
}

void guest_pic_init(uint16_t mask)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, 0x20);
	outb(0xa1, 0x28);
	outb(0x21, 0x04);
	outb(0xa1, 0x02);
	outb(0x21, 0x01);
	outb(0xa1, 0x01);
	outb(0x21, (uint8_t)mask);
	outb(0xa1, (uint8_t)(mask >> 8));
}

void guest_ioapic_pin(uint32_t pin, uint32_t low, uint32_t high)
{
	ioapic_write(0x10 + 2 * pin + 1, high);
	ioapic_write(0x10 + 2 * pin, low);
}
