// SPDX-License-Identifier: GPL-2.0-only
/*
 * The frame of a test program: TAP by cmocka, a time limit per test, one test by name, and small
 * helpers that look at the host (/proc, child processes, mappings with holes).
 * It knows of VMs only that they must be freed after a test and kicked when time is up: vm.c.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "lib.h"

volatile sig_atomic_t test_timed_out;

/* First: make everybody leave the guest, so that the test fails by itself. Then: give up. */
static void on_alarm(int sig)
{
	static const char hung[] = "Bail out! the test hung and could not be stopped\n";

	(void)sig;
	if (test_timed_out) {
		if (write(STDOUT_FILENO, hung, sizeof(hung) - 1) < 0)
			_exit(125);
		_exit(124);
	}
	test_timed_out = 1;
	vm_kick_all();
	alarm(5);
}

static void on_kick(int sig)
{
	(void)sig; /* only to interrupt a system call */
}

void test_setup_alarm(void)
{
	struct sigaction alarm_action = { .sa_handler = on_alarm };
	struct sigaction kick_action = { .sa_handler = on_kick };

	sigaction(SIGALRM, &alarm_action, NULL);
	sigaction(SIGUSR1, &kick_action, NULL);
	test_timed_out = 0;
	alarm((unsigned int)env_number("APV_TEST_SECONDS", TEST_SECONDS));
}

int test_setup(void **state)
{
	(void)state;
	test_setup_alarm();
	return 0;
}

int test_teardown(void **state)
{
	(void)state;
	vm_free_all();
	alarm(0);
	return 0;
}

int test_main(const char *name, const struct CMUnitTest *tests, size_t n, int argc, char **argv)
{
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 0);
	if (argc > 1 && !strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < n; i++)
			printf("%s\n", tests[i].name);
		return 0;
	}
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	fd = open(dev_path(), O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		printf("Bail out! %s: %s\n", dev_path(), strerror(errno));
		return 1;
	}
	close(fd);
	return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}

unsigned long env_number(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);

	return s && *s ? strtoul(s, NULL, 0) : otherwise;
}

bool on_apicvisor(void)
{
	struct stat st;

	return stat("/sys/module/apicvisor", &st) == 0 && stat("/sys/module/kvm_intel", &st) != 0;
}

pid_t spawn(int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		fail_msg("fork: %s", strerror(errno));
	if (pid == 0) {
		signal(SIGALRM, SIG_DFL);
		alarm(TEST_SECONDS);
		_exit(fn(arg));
	}
	return pid;
}

int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid) {
		if (errno != EINTR || test_timed_out)
			fail_msg("waitpid: %s", strerror(errno));
	}
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

long meminfo_kb(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "re");
	size_t len = strlen(name);
	char line[128];
	long kb = -1;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, len) && line[len] == ':')
			kb = strtol(line + len + 1, NULL, 10);
	}
	fclose(f);
	return kb;
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

void pin_thread(pthread_t thread, int cpu)
{
	cpu_set_t set;
	int e;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	e = pthread_setaffinity_np(thread, sizeof(set), &set);
	if (e)
		fail_msg("CPU %d: %s", cpu, strerror(e));
}

void need_two_cpus(void)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip_because("two CPUs are needed");
}

int load_module(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, parameters, 0))
		ret = -errno;
	close(fd);
	return ret;
}

int unload_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

/* The header mkswap writes: version, last page, and a mark at the page's end. */
static bool make_swap(const char *device, uint32_t pages)
{
	uint32_t header[PAGE_SIZE / 4] = { 0 };
	int fd = open(device, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	header[256] = 1;
	header[257] = pages - 1;
	memcpy((char *)header + PAGE_SIZE - 10, "SWAPSPACE2", 10);
	ok = write(fd, header, PAGE_SIZE) == (ssize_t)PAGE_SIZE && fsync(fd) == 0;
	close(fd);
	return ok && swapon(device, 0) == 0;
}

bool swap_ready(void)
{
	int ret;

	if (meminfo_kb("SwapTotal") > 0)
		return true;
	ret = load_module(KMODULES "brd.ko", "rd_nr=1 rd_size=16384");
	if (ret && ret != -EEXIST)
		return false;
	return make_swap("/dev/ram0", 16384 / 4);
}

void *map_anon(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		fail_msg("mmap of %zu bytes: %s", size, strerror(errno));
	return p;
}

uint8_t *map_with_hole(size_t n, size_t unmapped)
{
	uint8_t *p = map_anon(n * PAGE_SIZE);

	if (unmapped && munmap(p + (n - unmapped) * PAGE_SIZE, unmapped * PAGE_SIZE))
		fail_msg("munmap: %s", strerror(errno));
	return p;
}
