/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Does doing something over and over leave the kernel with less memory? Cycles are run in batches;
 * the first is to warm up, and a leak shows in each of the others while noise does not.
 */
#ifndef SELFTESTS_LEAK_H
#define SELFTESTS_LEAK_H

#include <stdbool.h>

#define LEAK_BATCHES 5

/* Bytes: pages that are not free, live slab objects, per-CPU memory. */
struct leak_memory {
	long pages, slab, percpu;
};

/* What is in use now, after all that can be given back was. */
struct leak_memory leak_memory_now(void);
/* What a batch of @n cycles costs: the second-smallest of the batches' figures. */
struct leak_memory leak_growth(void (*cycle)(unsigned int), unsigned int n);
/* Half a page or more per cycle. */
bool leak_of_pages(struct leak_memory m, unsigned int n);
/* Half a KiB of objects or more per cycle; @n of 40 and more keeps the noise below that. */
bool leak_of_objects(struct leak_memory m, unsigned int n);
/* Run LEAK_BATCHES * @n cycles; the test fails if there is a leak. */
void leak_must_not_show(void (*cycle)(unsigned int), unsigned int n);

#endif
