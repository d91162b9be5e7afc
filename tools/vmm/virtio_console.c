/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * virtio-console: one port (hvc0 in Linux) on the VMM's terminal. A line costs one notification
 * instead of an exit per character, so it is the faster console; it takes the terminal's input
 * from the serial port, whose output still shows. Leaves out sizes and multiple ports.
 *
 * Source: Virtual I/O Device specification 1.1, "Console Device".
 */
#include <string.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>

#include "virtio.h"

#define CLASS_SERIAL 0x07800000
#define INPUT_SIZE   256

enum { RECEIVE, TRANSMIT, QUEUES };

static struct console {
	struct virtio_dev dev; /* first; its lock covers the rest */
	struct virtio_console_config config;
	bool spoken; /* the guest has written something */
	uint8_t input[INPUT_SIZE];
	size_t input_len;
} console;

static void transmit_locked(struct virtio_dev *dev)
{
	struct virtq *q = &dev->queue[TRANSMIT];
	struct virtq_chain chain;

	while (virtq_pop_locked(dev, q, &chain)) {
		for (unsigned int i = 0; i < chain.n_out; i++)
			console_write(chain.out[i].iov_base, chain.out[i].iov_len);
		virtq_push_locked(dev, q, chain.head, 0);
		if (!console.spoken)
			console_wake();
		console.spoken = true;
	}
}

static void receive_locked(struct console *c)
{
	struct virtq *q = &c->dev.queue[RECEIVE];
	bool was_full = c->input_len == INPUT_SIZE;
	struct virtq_chain chain;

	while (c->input_len && virtq_pop_locked(&c->dev, q, &chain)) {
		size_t done = 0;

		for (unsigned int i = 0; i < chain.n_in; i++) {
			size_t len = c->input_len - done;

			if (len > chain.in[i].iov_len)
				len = chain.in[i].iov_len;
			memcpy(chain.in[i].iov_base, c->input + done, len);
			done += len;
		}
		c->input_len -= done;
		memmove(c->input, c->input + done, c->input_len);
		virtq_push_locked(&c->dev, q, chain.head, done);
	}
	if (was_full && c->input_len < INPUT_SIZE)
		console_wake();
}

static void serve_locked(struct virtio_dev *dev, unsigned int queue)
{
	if (queue == TRANSMIT)
		transmit_locked(dev);
	else
		receive_locked((struct console *)dev);
}

/*
 * A driver throws away what comes before its port is open, and has no means to say when that is.
 * Input waits until the guest has written something: whoever reads a console writes first.
 */
static size_t input_space(void *dev)
{
	struct console *c = dev;
	size_t space;

	pthread_mutex_lock(&c->dev.lock);
	space = c->spoken ? INPUT_SIZE - c->input_len : 0;
	pthread_mutex_unlock(&c->dev.lock);
	return space;
}

static void input(void *dev, const uint8_t *buf, size_t len)
{
	struct console *c = dev;

	pthread_mutex_lock(&c->dev.lock);
	memcpy(c->input + c->input_len, buf, len);
	c->input_len += len;
	pthread_mutex_unlock(&c->dev.lock);
	virtio_kick(&c->dev, RECEIVE);
}

void virtio_console_create(struct vm *vm)
{
	console.dev.config = &console.config;
	console.dev.config_size = sizeof(console.config);
	console.dev.serve_locked = serve_locked;
	virtio_add(vm, &console.dev, VIRTIO_ID_CONSOLE, CLASS_SERIAL, QUEUES);
	console_attach(&(struct console_sink){ input_space, input, &console });
}
