/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's LAPIC in either mode by the same calls: by the page at its default address, or by
 * MSRs. Guest code; the host sets in_guest(vm, mode) first.
 */
#ifndef SELFTESTS_APICMODE_H
#define SELFTESTS_APICMODE_H

#include "guest.h"

#define APIC_ICR_SELF (1u << 18)

enum apic_mode { XAPIC, X2APIC };

/* One for each program, of however many files it is made. */
volatile uint64_t mode __attribute__((weak));

static inline uint32_t apic_read(uint32_t reg)
{
	return mode == X2APIC ? (uint32_t)x2apic_read(reg) : xapic_read(reg);
}

static inline void apic_write(uint32_t reg, uint32_t v)
{
	if (mode == X2APIC)
		x2apic_write(reg, v);
	else
		xapic_write(reg, v);
}

static inline void apic_enable(void)
{
	if (mode == X2APIC)
		guest_x2apic_enable();
	else
		guest_xapic_enable();
}

static inline void apic_send_self(uint32_t vector)
{
	if (mode == X2APIC)
		x2apic_write(APIC_SELF_IPI, vector);
	else
		xapic_write(APIC_ICR_LO, APIC_ICR_SELF | vector);
}

#endif
