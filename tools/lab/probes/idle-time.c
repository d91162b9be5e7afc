// SPDX-License-Identifier: GPL-2.0-only
/*
 * Idle time passes at once: with all processors halted, the emulator goes on to the next event.
 * The probe's time limit (probes.py) is the judge: this asks for a long wait. Needs two processors.
 */
#include "probe.h"

#define VECTOR        0x40
#define DIVIDE_BY_128 0xa
#define TICKS         (4000ul * 100000000) /* more than an hour of virtual time */

static volatile bool fired;

static void __attribute__((naked)) handler(void)
{
	__asm__ volatile("movb $1, fired(%rip)\n\t"
			 "iretq");
}

int main(void)
{
	uint64_t begin = rdtsc();

	set_handler(VECTOR, handler);
	lapic_enable();
	lapic_timer(VECTOR, TICKS / 128, DIVIDE_BY_128);
	while (!fired)
		__asm__ volatile("sti; hlt; cli" ::: "memory");
	if (rdtsc() - begin < TICKS)
		fail("the timer came early, ticks", rdtsc() - begin);
	pass();
}
