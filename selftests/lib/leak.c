// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's memory before and after: see leak.h. What /proc/meminfo says would be too late and
 * too coarse: pages wait in lists of each CPU, objects in half-empty slabs.
 */
#include <dirent.h>
#include <limits.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include "kvmtest.h"
#include "leak.h"

#define BATCHES (LEAK_BATCHES - 1) /* the first is to warm up */

/*
 * What was unmapped from the kernel's vmalloc area keeps its addresses, and KASAN's shadow of them,
 * until there is enough of it. The end of a BPF program, code that must not stay reachable, makes
 * the kernel let go of all.
 */
static void purge_vmalloc(void)
{
	struct sock_filter ret = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog prog = { .len = 1, .filter = &ret };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	assert_return_code(fd, errno);
	assert_return_code(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)),
			   errno);
	close(fd);
}

/* The counters of each CPU are folded in, and what slabs hold in reserve is given back. */
static void settle(void)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir;

	sync();
	purge_vmalloc();
	usleep(100000); /* deferred frees (RCU, SRCU, workqueues) are no leaks */
	write_file("/proc/sys/vm/drop_caches", "3");
	usleep(100000);
	write_file("/proc/sys/vm/stat_refresh", "1");
	dir = opendir("/sys/kernel/slab");
	assert_non_null(dir);
	while ((d = readdir(dir))) {
		if (d->d_type == DT_LNK) /* an alias */
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", d->d_name);
		write_file(path, "1");
	}
	closedir(dir);
}

/* Free pages in the zones and in the lists of each CPU: /proc/zoneinfo. */
static long free_pages(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	long sum = 0, n;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " nr_free_pages %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			sum += n;
	}
	fclose(f);
	return sum;
}

/* Bytes in live objects: /proc/slabinfo. */
static long slab_bytes(void)
{
	FILE *f = fopen("/proc/slabinfo", "re");
	long sum = 0, active, total, size;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %ld %ld %ld", &active, &total, &size) == 3)
			sum += active * size;
	}
	fclose(f);
	return sum;
}

struct leak_memory leak_memory_now(void)
{
	settle();
	return (struct leak_memory){
		.pages = -free_pages() * (long)PAGE_SIZE,
		.slab = slab_bytes(),
		.percpu = meminfo_kb("Percpu") * 1024,
	};
}

static void sort(long *v, int n)
{
	for (int i = 1; i < n; i++) {
		for (int j = i; j > 0 && v[j - 1] > v[j]; j--) {
			long t = v[j];

			v[j] = v[j - 1];
			v[j - 1] = t;
		}
	}
}

struct leak_memory leak_growth(void (*cycle)(unsigned int), unsigned int n)
{
	long pages[BATCHES], slab[BATCHES], percpu[BATCHES];
	struct leak_memory before, after;

	for (unsigned int i = 0; i < n; i++)
		cycle(i);
	before = leak_memory_now();
	for (int batch = 0; batch < BATCHES; batch++) {
		for (unsigned int i = 0; i < n; i++)
			cycle(i);
		after = leak_memory_now();
		pages[batch] = after.pages - before.pages;
		slab[batch] = after.slab - before.slab;
		percpu[batch] = after.percpu - before.percpu;
		print_message("# %u cycles: pages %+ld, slab %+ld, per-CPU %+ld bytes\n", n,
			      pages[batch], slab[batch], percpu[batch]);
		before = after;
	}
	sort(pages, BATCHES);
	sort(slab, BATCHES);
	sort(percpu, BATCHES);
	return (struct leak_memory){ pages[1], slab[1], percpu[1] };
}

bool leak_of_pages(struct leak_memory m, unsigned int n)
{
	return m.pages > 2048 * (long)n;
}

bool leak_of_objects(struct leak_memory m, unsigned int n)
{
	return m.slab > 512 * (long)n || m.percpu > 512 * (long)n;
}

void leak_must_not_show(void (*cycle)(unsigned int), unsigned int n)
{
	struct leak_memory m = leak_growth(cycle, n);

	if (leak_of_pages(m, n) || leak_of_objects(m, n))
		fail_msg("%u cycles cost pages %+ld, slab %+ld, per-CPU %+ld bytes", n, m.pages,
			 m.slab, m.percpu);
}
