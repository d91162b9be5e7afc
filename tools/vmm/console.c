/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The terminal: guest output to stdout, stdin to the guest, raw mode while it runs. Ctrl-A x
 * stops the VMM, Ctrl-A r (or SIGUSR2) prints the registers, Ctrl-A Ctrl-A sends one Ctrl-A. An
 * stdin that ends, or isn't a terminal, is fine: the guest just gets no more input.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "vmm.h"

#define CTRL_A 0x01

static struct termios saved_termios;
static bool terminal;  /* stdin is one, and ours to change */
static bool input_end; /* no more input */
static int signal_fd, wake_fd;
static struct console_sink sink;

static void restore_terminal(void)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &saved_termios);
}

static void setup_terminal(void)
{
	struct termios raw;
	pid_t foreground;

	if (!isatty(STDIN_FILENO))
		return;
	/* In the background a read or a change of mode would stop the whole process. */
	foreground = tcgetpgrp(STDIN_FILENO);
	if (foreground >= 0 && foreground != getpgrp()) {
		input_end = true;
		return;
	}
	if (tcgetattr(STDIN_FILENO, &saved_termios) < 0)
		die("terminal: %s", strerror(errno));
	raw = saved_termios;
	cfmakeraw(&raw);
	raw.c_oflag = saved_termios.c_oflag; /* our own messages end with a bare newline */
	atexit(restore_terminal);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		die("terminal: %s", strerror(errno));
	terminal = true;
}

void console_setup(void)
{
	sigset_t set;

	/* Blocked before any thread exists, so that all inherit it; SIGUSR1 is the vCPU kick. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (signal_fd < 0 || wake_fd < 0)
		die("signalfd or eventfd: %s", strerror(errno));
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	setup_terminal();
}

void console_write(const void *buf, size_t len)
{
	static bool failed;

	while (len && !failed) {
		ssize_t n = write(STDOUT_FILENO, buf, len);

		if (n >= 0) {
			buf = (const uint8_t *)buf + n;
			len -= n;
		} else if (errno == EAGAIN) {
			poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, -1);
		} else if (errno != EINTR) {
			msg("stdout: %s; the guest's output is lost from here on", strerror(errno));
			failed = true;
		}
	}
}

void console_attach(const struct console_sink *s)
{
	sink = *s;
}

void console_wake(void)
{
	uint64_t one = 1;
	ssize_t n = write(wake_fd, &one, sizeof(one));

	(void)n; /* can only fail when the counter is full, and then the reader is awake */
}

/* Handles the escape key in place. Returns how many bytes are left for the guest. */
static size_t filter_escape(struct vm *vm, uint8_t *buf, size_t len)
{
	static bool escape;
	size_t out = 0;

	if (!terminal)
		return len;
	for (size_t i = 0; i < len; i++) {
		if (!escape && buf[i] == CTRL_A) {
			escape = true;
			continue;
		}
		if (escape && buf[i] == 'x')
			vm_end(vm, STATUS_USER);
		else if (escape && buf[i] == 'r')
			vcpus_dump(vm);
		else
			buf[out++] = buf[i];
		escape = false;
	}
	return out;
}

static void read_input(struct vm *vm, size_t space)
{
	uint8_t buf[256];
	ssize_t n = read(STDIN_FILENO, buf, space < sizeof(buf) ? space : sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		input_end = true;
		return;
	}
	n = filter_escape(vm, buf, n);
	if (n)
		sink.input(sink.dev, buf, n);
}

static void take_signal(struct vm *vm)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR2) {
		vcpus_dump(vm);
		return;
	}
	msg("stopped by signal %u", info.ssi_signo);
	vm_end(vm, STATUS_USER);
}

void console_loop(struct vm *vm)
{
	enum { END, SIGNAL, WAKE, INPUT };

	for (;;) {
		size_t space = sink.space && !input_end ? sink.space(sink.dev) : 0;
		struct pollfd fds[] = {
			[END] = { .fd = vm->end_fd, .events = POLLIN },
			[SIGNAL] = { .fd = signal_fd, .events = POLLIN },
			[WAKE] = { .fd = wake_fd, .events = POLLIN },
			/* A negative fd is skipped. */
			[INPUT] = { .fd = space ? STDIN_FILENO : -1, .events = POLLIN },
		};
		uint64_t count;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		if (fds[END].revents)
			return;
		if (fds[SIGNAL].revents)
			take_signal(vm);
		if (fds[WAKE].revents && read(wake_fd, &count, sizeof(count)) < 0)
			die("eventfd: %s", strerror(errno));
		if (fds[INPUT].revents)
			read_input(vm, space);
	}
}
