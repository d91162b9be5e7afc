/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The terminal: a child runs the console on a pseudo-terminal, with a sink in the guest's place;
 * the test types on the other side.
 */
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "fake_kvm.h"

#define DEADLINE 10000 /* ms */

static struct options opt;
static struct vm vm;
static size_t room = 1000; /* what the sink takes; atomic */
static int taken[2];       /* a pipe with what it took, for guest_thread() */

/* The "guest" writes back what it got, each byte in hex, so that the terminal can't change it. */
static void sink_input(void *dev, const uint8_t *buf, size_t len)
{
	char hex[8];

	(void)dev;
	__atomic_sub_fetch(&room, len, __ATOMIC_SEQ_CST);
	if (taken[1]) {
		assert_int_equal(write(taken[1], buf, len), len);
		return;
	}
	while (len--) {
		int n = snprintf(hex, sizeof(hex), "<%02x>", *buf++);

		console_write(hex, n);
	}
}

static size_t sink_space(void *dev)
{
	(void)dev;
	return __atomic_load_n(&room, __ATOMIC_SEQ_CST);
}

static void run_console(void)
{
	fake_vm(&vm, &opt, 0, 32 * MiB);
	console_setup();
	console_attach(&(struct console_sink){ sink_space, sink_input, NULL });
	console_write("ready", 5);
	console_loop(&vm);
	exit(vm.status);
}

struct child {
	pid_t pid;
	int tty;
	char out[4096]; /* all that it printed */
	size_t len;
};

static struct child start_child(void)
{
	struct child c = { 0 };

	c.pid = forkpty(&c.tty, NULL, NULL, NULL);
	assert_true(c.pid >= 0);
	if (c.pid == 0)
		run_console();
	return c;
}

/* Reads until the text has come. */
static void expect(struct child *c, const char *text)
{
	while (!strstr(c->out, text)) {
		struct pollfd fd = { .fd = c->tty, .events = POLLIN };
		ssize_t n;

		if (poll(&fd, 1, DEADLINE) != 1)
			fail_msg("no '%s' in '%s'", text, c->out);
		n = read(c->tty, c->out + c->len, sizeof(c->out) - 1 - c->len);
		if (n <= 0)
			fail_msg("it ended without '%s' after '%s'", text, c->out);
		c->len += n;
	}
}

static void type(struct child *c, const char *keys)
{
	assert_int_equal(write(c->tty, keys, strlen(keys)), strlen(keys));
}

static int status_of_child(struct child *c)
{
	int status;

	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void keys(void **state)
{
	struct child c = start_child();

	(void)state;
	expect(&c, "ready");
	type(&c, "a\r\x03\x04");
	expect(&c, "<61><0d><03><04>"); /* raw: Enter, Ctrl-C and Ctrl-D are the guest's */
	type(&c, "\x01\x01z\x01y");
	expect(&c, "<01><7a><79>");
	type(&c, "\x01x");
	assert_int_equal(status_of_child(&c), STATUS_USER);
	close(c.tty);
}

static void terminal_restored(void **state)
{
	struct termios before, during, after;
	int master, slave;
	pid_t pid;
	char ready[5];

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	tcgetattr(slave, &before);
	pid = fork();
	if (pid == 0) {
		setsid();
		dup2(slave, STDIN_FILENO);
		dup2(slave, STDOUT_FILENO);
		run_console();
	}
	assert_int_equal(read(master, ready, sizeof(ready)), sizeof(ready));
	tcgetattr(slave, &during);
	assert_false(during.c_lflag & (ICANON | ECHO | ISIG));
	assert_int_equal(write(master, "\x01x", 2), 2);
	assert_int_equal(status_of_child(&(struct child){ .pid = pid }), STATUS_USER);
	tcgetattr(slave, &after);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_iflag, before.c_iflag);
	close(slave);
	close(master);
}

static void stopped_by_signal(void **state)
{
	struct child c = start_child();

	(void)state;
	expect(&c, "ready");
	kill(c.pid, SIGUSR2); /* asks for registers, and doesn't end it */
	type(&c, "a");
	expect(&c, "<61>");
	kill(c.pid, SIGTERM);
	assert_int_equal(status_of_child(&c), STATUS_USER);
	close(c.tty);
}

/* Plays a guest that takes four bytes, makes room, takes two more, and powers off. */
static void *guest_thread(void *arg)
{
	uint8_t byte;

	(void)arg;
	for (unsigned int n = 1; n <= 6; n++) {
		if (read(taken[0], &byte, 1) != 1 || byte != "abcdef"[n - 1])
			_exit(98);
		if (n == 4) {
			__atomic_store_n(&room, 2, __ATOMIC_SEQ_CST);
			console_wake();
		}
	}
	vm_end(&vm, 42);
	return NULL;
}

/* A pipe on stdin, whose end is no reason to end. */
static void read_pipe(void *arg)
{
	pthread_t thread;
	int in[2];

	(void)arg;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(write(in[1], "abcdef", 6), 6);
	close(in[1]);
	dup2(in[0], STDIN_FILENO);
	room = 4;
	fake_vm(&vm, &opt, 0, 32 * MiB);
	console_setup();
	console_attach(&(struct console_sink){ sink_space, sink_input, NULL });
	alarm(DEADLINE / 1000); /* should the loop not end */
	assert_int_equal(pipe(taken), 0);
	assert_int_equal(pthread_create(&thread, NULL, guest_thread, NULL), 0);
	console_loop(&vm);
	_exit(vm.status);
}

static void pipe_input(void **state)
{
	(void)state;
	assert_int_equal(status_of(read_pipe, NULL), 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(terminal_restored),
		cmocka_unit_test(stopped_by_signal),
		cmocka_unit_test(pipe_input),
	};

	return cmocka_run_group_tests_name("vmm_console", tests, NULL, NULL);
}
