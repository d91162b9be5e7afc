// SPDX-License-Identifier: GPL-2.0-only
/*
 * A long image that the emulator was told to load is contiguous in memory. The boot ROM has looked
 * at its end already; this looks at every page.
 */
#include "probe.h"

#define WORDS          (1u << 18) /* 2 MiB: many of the emulator's memory blocks */
#define WORDS_PER_PAGE (PAGE_SIZE / 8)

/* Numbered by page, at build time. */
#define PAGE(n)        [(n)*WORDS_PER_PAGE] = (n) + 1
#define PAGES_4(n)     PAGE(n), PAGE((n) + 1), PAGE((n) + 2), PAGE((n) + 3)
#define PAGES_16(n)    PAGES_4(n), PAGES_4((n) + 4), PAGES_4((n) + 8), PAGES_4((n) + 12)
#define PAGES_64(n)    PAGES_16(n), PAGES_16((n) + 16), PAGES_16((n) + 32), PAGES_16((n) + 48)
#define PAGES_256(n)   PAGES_64(n), PAGES_64((n) + 64), PAGES_64((n) + 128), PAGES_64((n) + 192)

static uint64_t image[WORDS] __page = { PAGES_256(0), PAGES_256(256) };

int main(void)
{
	for (unsigned int i = 0; i < WORDS / WORDS_PER_PAGE; i++)
		if (((volatile uint64_t *)image)[i * WORDS_PER_PAGE] != i + 1)
			fail("wrong page", i);
	pass();
}
