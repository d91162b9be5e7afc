// SPDX-License-Identifier: GPL-2.0-only
/*
 * The serial port takes a byte every few microseconds, whatever its baud rate: it is the kernel's
 * console.
 */
#include "probe.h"

#define COM1           0x3f8
#define LINE_CONTROL   (COM1 + 3)
#define LINE_STATUS    (COM1 + 5)
#define DLAB           0x80
#define EIGHT_BITS     0x03
#define EMPTY          0x40

#define BYTES          100
#define TICKS_PER_BYTE 1000 /* ten microseconds; 115200 baud take 87 */

int main(void)
{
	uint64_t begin;

	outb(LINE_CONTROL, DLAB);
	outb(COM1, 1);
	outb(COM1 + 1, 0);
	outb(LINE_CONTROL, EIGHT_BITS);
	begin = rdtsc();
	for (unsigned int i = 0; i < BYTES; i++) {
		outb(COM1, '.');
		while (!(inb(LINE_STATUS) & EMPTY))
			;
	}
	if (rdtsc() - begin > BYTES * TICKS_PER_BYTE)
		fail("ticks taken", rdtsc() - begin);
	pass();
}
