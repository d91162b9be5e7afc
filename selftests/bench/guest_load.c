// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the benchmark's Linux guest does once it is up: two tasks on two CPUs that wake each other,
 * and reads of a disk past the cache. Prints "bench: NAME TICKS", the mean of one operation by the
 * guest's TSC. Static; in the guest's initrd. Usage: guest_load DISK
 */
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM_UP     20
#define ROUND_TRIPS 200
#define READS       200
#define READ_SIZE   4096
#define DISK_BLOCKS 256

static uint64_t now(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	must(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

static void say(const char *name, uint64_t ticks, unsigned int n)
{
	printf("bench: %s %lu\n", name, (unsigned long)(ticks / n));
	fflush(stdout);
}

static void pass(int from, int to)
{
	char byte;

	must(read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1, "pipe");
}

static void ping_pong(void)
{
	int there[2], back[2];
	uint64_t start = 0;
	pid_t child;

	must(!pipe(there) && !pipe(back), "pipe");
	child = fork();
	must(child >= 0, "fork");
	pin(!child);
	for (int i = 0; i < WARM_UP + ROUND_TRIPS; i++) {
		if (!child) {
			pass(there[0], back[1]);
			continue;
		}
		if (i == WARM_UP)
			start = now();
		must(write(there[1], "", 1) == 1, "pipe");
		must(read(back[0], &(char){ 0 }, 1) == 1, "pipe");
	}
	if (!child)
		exit(0);
	say("pingpong", now() - start, ROUND_TRIPS);
	waitpid(child, NULL, 0);
}

static void read_disk(const char *path)
{
	static char block[READ_SIZE] __attribute__((aligned(READ_SIZE)));
	int fd = open(path, O_RDONLY | O_DIRECT);
	uint64_t start = 0;

	must(fd >= 0, path);
	for (int i = 0; i < WARM_UP + READS; i++) {
		if (i == WARM_UP)
			start = now();
		must(pread(fd, block, READ_SIZE, i % DISK_BLOCKS * READ_SIZE) == READ_SIZE, path);
	}
	say("disk", now() - start, READS);
	close(fd);
}

int main(int argc, char **argv)
{
	must(argc == 2, "usage: guest_load DISK");
	ping_pong();
	read_disk(argv[1]);
	return 0;
}
