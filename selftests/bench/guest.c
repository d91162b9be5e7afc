// SPDX-License-Identifier: GPL-2.0-only
/*
 * A whole guest: the reference VMM boots the lab's own Debian kernel with two vCPUs. Ticks from the
 * VMM's start to the guest's init, and what the guest itself has timed then (guest_load.c). The
 * boot is between two marks: the profile says how much of it the host was. The VMM may use every
 * CPU: two vCPUs on one would wait for each other's time slices, which is the scheduler's figure.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include "bench.h"

#define BOOTS     5
#define SECONDS   300 /* for one boot and all, emulated */
#define DISK      "/tmp/bench.disk"
#define DISK_SIZE (1024L * 1024)
#define WORDS \
	"console=ttyS0 quiet nokaslr mitigations=off tsc=reliable cryptomgr.notests demo=bench"

static const char *const figures[] = { "boot", "pingpong", "disk" };

static void make_disk(void)
{
	int fd = must(open(DISK, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));

	must(ftruncate(fd, DISK_SIZE));
	close(fd);
}

/* A case runs on CPU 0; its child need not. */
static void use_all_cpus(void)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	must(sched_setaffinity(0, sizeof(all), &all));
}

/* The guest's console; its VMM is *pid. */
static FILE *start_guest(pid_t *pid)
{
	int console[2];

	must(pipe(console));
	*pid = must(fork());
	if (!*pid) {
		int nothing = open("/dev/null", O_RDONLY);

		dup2(nothing, 0);
		dup2(console[1], 1);
		close(console[0]);
		close(console[1]);
		use_all_cpus();
		execlp("apicvisor-vmm", "apicvisor-vmm", "--dev", dev_path(), "--cpus", "2",
		       "--mem", "192", "--kernel", "/bench/vmlinuz", "--initrd",
		       "/bench/initrd.img", "--disk", DISK, "--cmdline", WORDS, NULL);
		_exit(127);
	}
	close(console[1]);
	return fdopen(console[0], "r");
}

/* One boot, into sample @i; which figures there were. */
static unsigned int boot(struct samples *s, unsigned int i)
{
	uint64_t start = batch_begin();
	unsigned int seen = 0;
	char line[512];
	pid_t pid;
	FILE *console = start_guest(&pid);

	assert_non_null(console);
	while (fgets(line, sizeof(line), console)) {
		unsigned long ticks;

		if (!strncmp(line, "demo: Linux", 11)) {
			s->ticks[0][i] = batch_end() - start;
			seen |= 1;
		}
		for (unsigned int f = 1; f < ARRAY_SIZE(figures); f++) {
			char pattern[32];

			snprintf(pattern, sizeof(pattern), "bench: %s %%lu", figures[f]);
			if (sscanf(line, pattern, &ticks) == 1) {
				s->ticks[f][i] = ticks;
				seen |= 1u << f;
			}
		}
	}
	fclose(console);
	assert_int_equal(reap(pid), 0);
	return seen;
}

static void run_linux(const struct bench_case *c)
{
	struct samples s = { .n = repeats() < BOOTS ? repeats() : BOOTS };

	if (access("/bench/vmlinuz", R_OK))
		skip_because("no guest in /bench");
	make_disk();
	for (unsigned int i = 0; i < s.n; i++) {
		alarm(SECONDS);
		assert_int_equal(boot(&s, i), (1u << ARRAY_SIZE(figures)) - 1);
	}
	emit(c, &s, NULL);
}

const struct bench_case guest_cases[] = {
	{
		.name = "guest",
		.run = run_linux,
		.ops = 1,
		.metric = { "boot", "pingpong", "disk" },
	},
	{},
};
