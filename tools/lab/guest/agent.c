// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lab's first process inside the machine, once init has mounted and loaded what was asked for.
 * It runs one command and sends its output, byte for byte, to the host through I/O port 0xe9: a
 * write there has left the machine when the instruction ends, so nothing can be lost at power-off.
 * Each piece is a frame, "LB", a type, a 16-bit length and the bytes; labkit/channel.py is the
 * other end.  Called only by guest/init.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT_OUT       0xe9
#define STATUS_NO_EXEC 127
#define STATUS_SIGNAL  128

enum frame {
	FRAME_HELLO = 'h', /* the command is about to start */
	FRAME_OUT = 'o',
	FRAME_ERR = 'e',
	FRAME_STATUS = 's',  /* one byte: the command's exit status */
	FRAME_REFUSED = 'f', /* text: the machine could not be made ready */
};

static void send_frame(enum frame type, const void *data, uint16_t len)
{
	const unsigned char head[] = { 'L', 'B', type, len & 0xff, len >> 8 };
	const unsigned char *bytes = data;

	for (size_t i = 0; i < sizeof(head); i++)
		outb(head[i], PORT_OUT);
	outsb(PORT_OUT, bytes, len);
}

/* Power off by way of the kernel, so that what its drivers do at shutdown is part of the run. */
static void power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void refuse(const char *text)
{
	send_frame(FRAME_REFUSED, text, strlen(text));
	power_off();
}

/* Move what is there to the host. Returns false at end of file. */
static bool forward(int fd, enum frame type)
{
	char data[32768];
	ssize_t len = read(fd, data, sizeof(data));

	if (len < 0)
		return errno == EAGAIN || errno == EINTR;
	if (len > 0)
		send_frame(type, data, len);
	return len > 0;
}

/* The command: NUL-separated words in a file, so that nothing need be quoted. */
static char **read_words(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t nr = 0;
	char **words;
	char *text;

	if (fd < 0 || fstat(fd, &st) || st.st_size < 1)
		return NULL;
	text = calloc(1, st.st_size + 1);
	if (!text || read(fd, text, st.st_size) != st.st_size)
		return NULL;
	close(fd);
	words = calloc(st.st_size + 1, sizeof(*words));
	if (!words)
		return NULL;
	for (char *word = text; word < text + st.st_size; word += strlen(word) + 1)
		words[nr++] = word;
	return words;
}

static pid_t start(char **words, const char *terminal, int out, int err)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	setsid();
	if (terminal) {
		out = open(terminal, O_RDWR);
		if (out < 0)
			_exit(STATUS_NO_EXEC);
		ioctl(out, TIOCSCTTY, 0);
		err = out;
	}
	dup2(terminal ? out : open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	closefrom(3);
	execvp(words[0], words);
	fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
	_exit(STATUS_NO_EXEC);
}

/* Reap everything that ends; true when the command itself has, with its status. */
static bool reap(pid_t command, unsigned char *status)
{
	bool ended = false;
	int state;
	pid_t pid;

	while ((pid = waitpid(-1, &state, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		ended = true;
		*status = WIFEXITED(state) ? WEXITSTATUS(state) : STATUS_SIGNAL + WTERMSIG(state);
	}
	return ended;
}

static int child_pipe[2];

static void on_child(int sig)
{
	(void)sig;
	if (write(child_pipe[1], "", 1) < 0)
		return; /* full: a wake-up is pending already */
}

/*
 * Forward both streams until the command ends, then whatever it had written by then. A daemon
 * it left behind may hold the pipes open: that is no reason to wait.
 */
static unsigned char serve(pid_t command, int out, int err)
{
	struct pollfd fds[] = {
		{ .fd = out, .events = POLLIN },
		{ .fd = err, .events = POLLIN },
		{ .fd = child_pipe[0], .events = POLLIN },
	};
	unsigned char status = 0;
	bool ended = false;
	char drop[64];
	int ready;

	for (;;) {
		ready = poll(fds, 3, ended ? 0 : -1);
		if (ready < 0 && errno != EINTR)
			refuse("agent: poll failed");
		if (ready <= 0 && ended)
			return status;
		if (ready < 0)
			continue;
		if (fds[0].revents && !forward(out, FRAME_OUT))
			fds[0].fd = -1;
		if (fds[1].revents && !forward(err, FRAME_ERR))
			fds[1].fd = -1;
		if (fds[2].revents) {
			while (read(child_pipe[0], drop, sizeof(drop)) > 0)
				;
			ended = reap(command, &status) || ended;
		}
		if (ended)
			fds[2].fd = -1;
	}
}

/* agent refuse TEXT | agent run FILE | agent shell FILE TERMINAL */
int main(int argc, char **argv)
{
	const char *terminal = argc > 3 ? argv[3] : NULL;
	int out[2], err[2];
	unsigned char status;
	char **words;
	pid_t pid;

	if (iopl(3) || argc < 3) {
		fprintf(stderr, "agent: only init may call this\n");
		return 1;
	}
	if (!strcmp(argv[1], "refuse"))
		refuse(argv[2]);
	words = read_words(argv[2]);
	if (!words)
		refuse("agent: no command");
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) ||
	    pipe2(child_pipe, O_CLOEXEC | O_NONBLOCK))
		refuse("agent: no pipe");
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	signal(SIGCHLD, on_child);

	send_frame(FRAME_HELLO, "", 0);
	iopl(0);
	pid = start(words, terminal, out[1], err[1]);
	if (pid < 0)
		refuse("agent: no process");
	if (iopl(3))
		return 1;
	close(out[1]);
	close(err[1]);
	status = serve(pid, out[0], err[0]);
	send_frame(FRAME_STATUS, &status, 1);
	power_off();
}
