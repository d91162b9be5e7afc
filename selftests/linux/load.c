// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load that a Linux guest runs to see whether each interrupt arrives: wake-ups between CPUs,
 * timers, calls of other CPUs, a disk's completions. It counts what it asked for and compares that
 * with /proc/interrupts; what the guest handled altogether it prints, for the host to compare with
 * what the module accepted (Documentation/testing.rst has both sums). Static; first in the guest's
 * initrd. Leaves out: anything about time, except that all of it ends.
 *
 * Usage: load DISK. "load: ready" asks for a line on stdin; then come the counts, "load: counted",
 * and another line ends it. Exit status 0: all sums are right.
 */
#include <asm/kvm_para.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_CPUS    8
#define ROUND_TRIPS 100 /* per pair */
#define TIMER_WAITS 100 /* per CPU, of each kind */
#define CALLS       100 /* per CPU */
#define FLUSHES     50
#define READS       40 /* per CPU */
#define READ_SIZE   4096
#define DISK_BLOCKS 64
#define TIME_LIMIT  120 /* seconds, as the guest sees them */

static int ncpus;

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("load: failed: ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	exit(1);
}

static void must(bool ok, const char *what)
{
	if (!ok)
		die("%s: %s", what, strerror(errno));
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	must(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

static pthread_t start(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, run, arg);
	must(!errno, "pthread_create");
	return thread;
}

/* --- what the kernel has counted: /proc/interrupts --- */

enum row { ROW_LOC, ROW_RES, ROW_CAL, ROW_TLB, ROW_IWI, ROW_MSI, ROW_IOAPIC, ROW_DISK, NR_ROWS };

struct counts {
	long row[NR_ROWS][MAX_CPUS];
	int disk_irq; /* number of the disk's request interrupt; -1: there is none */
};

static void add_row(struct counts *c, enum row row, const char *numbers)
{
	char *end;

	for (int cpu = 0; cpu < ncpus; cpu++) {
		c->row[row][cpu] += strtol(numbers, &end, 10);
		numbers = end;
	}
}

static void add_line(struct counts *c, const char *line)
{
	static const char *const names[] = { [ROW_LOC] = "LOC:",
					     [ROW_RES] = "RES:",
					     [ROW_CAL] = "CAL:",
					     [ROW_TLB] = "TLB:",
					     [ROW_IWI] = "IWI:" };
	const char *numbers = strchr(line, ':');

	if (!numbers)
		return;
	numbers++;
	line += strspn(line, " ");
	for (enum row row = ROW_LOC; row <= ROW_IWI; row++)
		if (!strncmp(line, names[row], strlen(names[row])))
			add_row(c, row, numbers);
	if (strstr(numbers, "IO-APIC"))
		add_row(c, ROW_IOAPIC, numbers);
	if (!strstr(numbers, "PCI-MSI"))
		return;
	add_row(c, ROW_MSI, numbers);
	if (strstr(numbers, "virtio0-req")) {
		add_row(c, ROW_DISK, numbers);
		c->disk_irq = atoi(line);
	}
}

/* With all CPUs online: an offline one has no column. */
static struct counts count(void)
{
	struct counts c = { .disk_irq = -1 };
	char line[512];
	FILE *f = fopen("/proc/interrupts", "r");

	must(f, "/proc/interrupts");
	while (fgets(line, sizeof(line), f))
		add_line(&c, line);
	fclose(f);
	return c;
}

/* What was asked for must have come: @asked <= what @row counts since @before. */
static void at_least(const char *what, int cpu, long asked, const struct counts *before,
		     const struct counts *after, enum row row)
{
	long came = after->row[row][cpu] - before->row[row][cpu];

	printf("load: CPU %d: %s: %ld asked for, %ld interrupts\n", cpu, what, asked, came);
	if (asked > came)
		die("%ld interrupts are missing", asked - came);
}

/* --- wake-ups: a byte goes to and fro between threads on two CPUs --- */

struct player {
	int cpu, in, out;
	bool serves;
};

static void *play(void *arg)
{
	struct player *p = arg;
	uint8_t ball;

	pin(p->cpu);
	for (int i = 0; i < ROUND_TRIPS; i++) {
		ball = (uint8_t)i;
		if (p->serves)
			must(write(p->out, &ball, 1) == 1, "pipe");
		must(read(p->in, &ball, 1) == 1, "pipe");
		if (ball != (uint8_t)i)
			die("byte %d in a pipe has changed", i);
		if (!p->serves)
			must(write(p->out, &ball, 1) == 1, "pipe");
	}
	return NULL;
}

/* Every CPU plays with the one whose number differs in the bits of @distance. */
static void wake_each_other(int distance)
{
	struct player player[MAX_CPUS];
	pthread_t thread[MAX_CPUS];
	int there[2], back[2];

	for (int a = 0; a < ncpus; a++) {
		int b = a ^ distance;

		if (b < a)
			continue;
		must(!pipe(there) && !pipe(back), "pipe");
		player[a] = (struct player){ a, back[0], there[1], true };
		player[b] = (struct player){ b, there[0], back[1], false };
		thread[a] = start(play, &player[a]);
		thread[b] = start(play, &player[b]);
	}
	for (int i = 0; i < ncpus; i++) {
		pthread_join(thread[i], NULL);
		close(player[i].in);
		close(player[i].out);
	}
}

/* --- timers: each expiry that wakes a thread came with an interrupt of its own --- */

static void *wait_for_timerfd(void *arg)
{
	int cpu = (int)(intptr_t)arg;
	long period = (2 + cpu) * 1000000L + 1000 * cpu; /* nanoseconds */
	struct itimerspec when = { { 0, period }, { 0, period } };
	uint64_t expired;
	int fd;

	pin(cpu);
	fd = timerfd_create(CLOCK_MONOTONIC, 0);
	must(fd >= 0 && !timerfd_settime(fd, 0, &when, NULL), "timerfd");
	for (int i = 0; i < TIMER_WAITS; i++)
		must(read(fd, &expired, sizeof(expired)) == sizeof(expired), "timerfd");
	close(fd);
	return NULL;
}

static void *sleep_often(void *arg)
{
	int cpu = (int)(intptr_t)arg;

	pin(cpu);
	for (int i = 0; i < TIMER_WAITS; i++) {
		struct timespec span = { 0, 300000L * (1 + (i + cpu) % 9) };

		must(!nanosleep(&span, NULL), "nanosleep");
	}
	return NULL;
}

static void timers(void)
{
	pthread_t thread[2 * MAX_CPUS];
	struct counts before = count(), after;

	for (int cpu = 0; cpu < ncpus; cpu++) {
		thread[2 * cpu] = start(wait_for_timerfd, (void *)(intptr_t)cpu);
		thread[2 * cpu + 1] = start(sleep_often, (void *)(intptr_t)cpu);
	}
	for (int i = 0; i < 2 * ncpus; i++)
		pthread_join(thread[i], NULL);
	after = count();
	/* The two kinds may share an interrupt. */
	for (int cpu = 0; cpu < ncpus; cpu++)
		at_least("timer waits", cpu, TIMER_WAITS, &before, &after, ROW_LOC);
}

/* --- calls: a CPU that runs a thread of ours must interrupt it for a barrier or a flush --- */

struct spinner {
	int cpu;
	volatile bool runs, stop;
	long preempted;
};

static long preemptions(void)
{
	struct rusage usage;

	must(!getrusage(RUSAGE_THREAD, &usage), "getrusage");
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

/*
 * Above all others on its CPU. When it does not run after all, a call may find nobody to interrupt.
 */
static void *spin(void *arg)
{
	struct sched_param top = { .sched_priority = 99 };
	struct spinner *s = arg;
	long before;

	pin(s->cpu);
	must(!sched_setscheduler(0, SCHED_FIFO, &top), "SCHED_FIFO");
	before = preemptions();
	s->runs = true;
	while (!s->stop)
		__builtin_ia32_pause();
	s->preempted = preemptions() - before;
	return NULL;
}

static bool has_pv_tlb_flush(void)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid(KVM_CPUID_FEATURES, eax, ebx, ecx, edx);
	return eax & 1u << KVM_FEATURE_PV_TLB_FLUSH;
}

static void call(int cpu, char *page)
{
	/* Of a CPU that its host runs later they may be done then, without an interrupt. */
	long flushes = has_pv_tlb_flush() ? 0 : FLUSHES;
	struct spinner s = { .cpu = cpu };
	struct counts before, after;
	pthread_t thread;

	pin((cpu + 1) % ncpus);
	thread = start(spin, &s);
	while (!s.runs)
		sched_yield();
	before = count();
	for (int i = 0; i < CALLS; i++)
		must(!syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
			      MEMBARRIER_CMD_FLAG_CPU, cpu),
		     "membarrier");
	for (int i = 0; i < FLUSHES; i++) {
		*(volatile char *)page = 1;
		must(!madvise(page, READ_SIZE, MADV_DONTNEED), "madvise");
	}
	after = count();
	s.stop = true;
	pthread_join(thread, NULL);
	at_least("calls", cpu, CALLS + flushes - s.preempted, &before, &after, ROW_CAL);
	at_least("TLB flushes", cpu, flushes - s.preempted, &before, &after, ROW_TLB);
}

static void calls(void)
{
	int fd = open("/proc/sys/kernel/sched_rt_runtime_us", O_WRONLY);
	char *page =
		mmap(NULL, READ_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(fd >= 0 && write(fd, "-1", 2) == 2, "sched_rt_runtime_us");
	close(fd);
	must(page != MAP_FAILED, "mmap");
	must(!syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0),
	     "membarrier");
	for (int cpu = 0; cpu < ncpus; cpu++)
		call(cpu, page);
	munmap(page, READ_SIZE);
}

/* --- the disk: one request at a time, its interrupt on each CPU in turn --- */

/* The CPU that gets interrupt @irq. */
static int irq_cpu(int irq)
{
	char path[64];
	int cpu = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/irq/%d/effective_affinity_list", irq);
	f = fopen(path, "r");
	must(f && fscanf(f, "%d", &cpu) == 1, path);
	fclose(f);
	return cpu;
}

static void set_online(int cpu, bool online)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY);
	must(fd >= 0 && write(fd, online ? "1" : "0", 1) == 1, path);
	close(fd);
}

/*
 * The reader sits on the CPU that handles the interrupt, so the handler is over before the next
 * request is made: each request has an interrupt of its own.
 */
static void read_from(int cpu, int disk, void *buffer)
{
	pin(cpu);
	for (int i = 0; i < READS; i++)
		must(pread(disk, buffer, READ_SIZE, (off_t)(i % DISK_BLOCKS) * READ_SIZE) ==
			     READ_SIZE,
		     "disk");
}

/* The kernel chooses where such an interrupt goes; it moves when that CPU goes offline. */
static void reads(const char *path)
{
	struct counts before = count(), after;
	int disk = open(path, O_RDONLY | O_DIRECT);
	bool visited[MAX_CPUS] = { false };
	int cpu, moves = 0;
	void *buffer;

	must(disk >= 0, path);
	must(before.disk_irq >= 0, "the disk's interrupt");
	must(!posix_memalign(&buffer, READ_SIZE, READ_SIZE), "memory");
	for (;;) {
		cpu = irq_cpu(before.disk_irq);
		if (cpu < 0 || cpu >= ncpus || visited[cpu])
			die("the disk's interrupt is on CPU %d", cpu);
		visited[cpu] = true;
		read_from(cpu, disk, buffer);
		if (!cpu) /* which can't go offline */
			break;
		pin(0);
		set_online(cpu, false);
		moves++;
	}
	for (cpu = 1; cpu < ncpus; cpu++)
		if (visited[cpu])
			set_online(cpu, true);
	after = count();
	for (cpu = 0; cpu < ncpus; cpu++) {
		long asked = visited[cpu] ? READS : 0;

		at_least("reads", cpu, asked, &before, &after, ROW_DISK);
		if (after.row[ROW_DISK][cpu] - before.row[ROW_DISK][cpu] > asked)
			die("more interrupts than reads");
	}
	if (!moves)
		die("the disk's interrupt never was on another CPU than 0");
	free(buffer);
	close(disk);
}

/* --- what the guest has handled since it started --- */

static void print_row(const char *name, const struct counts *c, enum row a, enum row b)
{
	printf("guest %s", name);
	for (int cpu = 0; cpu < ncpus; cpu++)
		printf(" %ld", c->row[a][cpu] + (a == b ? 0 : c->row[b][cpu]));
	printf("\n");
}

static void wait_for_host(const char *what)
{
	char line[16];

	printf("load: %s\n", what);
	if (!fgets(line, sizeof(line), stdin))
		die("the host has not answered");
}

static void report(void)
{
	struct counts c;

	wait_for_host("ready");
	/* Whoever has run a thread since the host's answer has handled what it was sent before. */
	for (int cpu = 0; cpu < ncpus; cpu++)
		pin(cpu);
	c = count();
	print_row("timer", &c, ROW_LOC, ROW_LOC);
	print_row("ipi", &c, ROW_RES, ROW_CAL);
	print_row("self", &c, ROW_IWI, ROW_IWI);
	print_row("msi", &c, ROW_MSI, ROW_MSI);
	print_row("ioapic", &c, ROW_IOAPIC, ROW_IOAPIC);
	wait_for_host("counted");
}

int main(int argc, char **argv)
{
	if (argc != 2)
		die("usage: load DISK");
	setvbuf(stdout, NULL, _IOLBF, 0);
	ncpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (ncpus < 2 || ncpus > MAX_CPUS || ncpus & (ncpus - 1))
		die("%d CPUs: it takes 2, 4 or 8", ncpus);
	alarm(TIME_LIMIT);
	for (int distance = 1; distance < ncpus; distance++)
		wake_each_other(distance);
	printf("load: every wake-up has come\n");
	timers();
	calls();
	reads(argv[1]);
	report();
	printf("load: passed\n");
	return 0;
}
