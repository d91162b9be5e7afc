/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * COM1, a 16550A UART, as Linux' and other drivers use it: FIFOs, loopback, the three interrupts
 * for data, empty transmitter and overrun. Speed and parity are stored and mean nothing; the
 * transmitter is always empty. Its lock covers everything; it is taken from vCPU threads and
 * from the main thread.
 *
 * Source: the 16550D data sheet.
 */
#include <string.h>
#include <linux/serial_reg.h>

#include "vmm.h"

#define FIFO_SIZE 64 /* more than a 16550A has: drivers read until it is empty */
#define OUT_SIZE  256

static struct serial {
	struct vm *vm;
	pthread_mutex_t lock;
	uint8_t ier, lcr, mcr, fcr, scr, dll, dlm;
	uint8_t lsr;       /* the error bits only */
	bool thre_pending; /* an empty-transmitter interrupt was not acknowledged yet */
	bool line;         /* what the IRQ line was last set to */
	uint8_t rx[FIFO_SIZE];
	unsigned int rx_head, rx_len;
	uint8_t out[OUT_SIZE];
	size_t out_len;
} com1 = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The highest-priority interrupt that is pending and enabled. */
static uint8_t pending_locked(struct serial *s)
{
	if ((s->ier & UART_IER_RLSI) && (s->lsr & UART_LSR_OE))
		return UART_IIR_RLSI;
	if ((s->ier & UART_IER_RDI) && s->rx_len)
		return UART_IIR_RDI;
	if ((s->ier & UART_IER_THRI) && s->thre_pending)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void update_irq_locked(struct serial *s)
{
	/* On a PC, OUT2 gates the interrupt line; in loopback it is cut off. */
	bool line = pending_locked(s) != UART_IIR_NO_INT && (s->mcr & UART_MCR_OUT2) &&
		    !(s->mcr & UART_MCR_LOOP);

	if (line != s->line)
		vm_irq_line(s->vm, COM1_GSI, line);
	s->line = line;
}

/*
 * Output is gathered into lines, because a write per byte is slow. What doesn't end with a
 * newline (a prompt) goes out when the driver has nothing more to send: it then writes IER.
 */
static void flush_locked(struct serial *s)
{
	console_write(s->out, s->out_len);
	s->out_len = 0;
}

static void receive_locked(struct serial *s, uint8_t byte)
{
	if (s->rx_len == FIFO_SIZE) {
		s->lsr |= UART_LSR_OE;
		return;
	}
	s->rx[(s->rx_head + s->rx_len++) % FIFO_SIZE] = byte;
}

/* Takes n bytes out of the FIFO. Whoever found it full waits to be told. */
static void remove_locked(struct serial *s, unsigned int n)
{
	bool was_full = s->rx_len == FIFO_SIZE;

	s->rx_head = (s->rx_head + n) % FIFO_SIZE;
	s->rx_len -= n;
	if (was_full && n)
		console_wake();
}

static void transmit_locked(struct serial *s, uint8_t byte)
{
	s->thre_pending = true;
	if (s->mcr & UART_MCR_LOOP) {
		receive_locked(s, byte);
		return;
	}
	s->out[s->out_len++] = byte;
	if (byte == '\n' || s->out_len == OUT_SIZE)
		flush_locked(s);
}

static void write_locked(struct serial *s, unsigned int reg, uint8_t val)
{
	bool dlab = s->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_TX:
		if (dlab)
			s->dll = val;
		else
			transmit_locked(s, val);
		break;
	case UART_IER:
		if (dlab) {
			s->dlm = val;
			break;
		}
		flush_locked(s);
		if ((val & UART_IER_THRI) && !(s->ier & UART_IER_THRI))
			s->thre_pending = true;
		s->ier = val & 0xf;
		break;
	case UART_FCR:
		s->fcr = val;
		if (val & UART_FCR_CLEAR_RCVR)
			remove_locked(s, s->rx_len);
		break;
	case UART_LCR:
		s->lcr = val;
		break;
	case UART_MCR:
		s->mcr = val & 0x1f;
		console_wake(); /* RTS may have been raised */
		break;
	case UART_SCR:
		s->scr = val;
		break;
	}
}

static uint8_t read_iir_locked(struct serial *s)
{
	uint8_t iir = pending_locked(s);

	if (iir == UART_IIR_THRI)
		s->thre_pending = false; /* reading it is the acknowledgement */
	return iir | (s->fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0);
}

static uint8_t read_rx_locked(struct serial *s)
{
	uint8_t byte;

	if (!s->rx_len)
		return 0;
	byte = s->rx[s->rx_head];
	remove_locked(s, 1);
	return byte;
}

static uint8_t read_lsr_locked(struct serial *s)
{
	uint8_t lsr = s->lsr | UART_LSR_TEMT | UART_LSR_THRE;

	s->lsr = 0;
	return s->rx_len ? lsr | UART_LSR_DR : lsr;
}

static uint8_t read_msr(struct serial *s)
{
	uint8_t msr = 0;

	if (!(s->mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	if (s->mcr & UART_MCR_DTR)
		msr |= UART_MSR_DSR;
	if (s->mcr & UART_MCR_RTS)
		msr |= UART_MSR_CTS;
	if (s->mcr & UART_MCR_OUT1)
		msr |= UART_MSR_RI;
	if (s->mcr & UART_MCR_OUT2)
		msr |= UART_MSR_DCD;
	return msr;
}

static uint8_t read_locked(struct serial *s, unsigned int reg)
{
	bool dlab = s->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RX:
		return dlab ? s->dll : read_rx_locked(s);
	case UART_IER:
		return dlab ? s->dlm : s->ier;
	case UART_IIR:
		return read_iir_locked(s);
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return read_lsr_locked(s);
	case UART_MSR:
		return read_msr(s);
	default:
		return s->scr;
	}
}

static void serial_access(void *dev, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct serial *s = dev;
	uint8_t *byte = data;

	pthread_mutex_lock(&s->lock);
	/* A wider access covers the registers that follow, as on a bus of bytes. */
	for (unsigned int i = 0; i < len; i++) {
		if (write)
			write_locked(s, offset + i, byte[i]);
		else
			byte[i] = read_locked(s, offset + i);
	}
	update_irq_locked(s);
	pthread_mutex_unlock(&s->lock);
}

/*
 * Input waits for RTS, as over a cable with hardware flow control: before a driver raises it, input
 * would be lost, for drivers start by clearing the FIFO.
 */
static size_t serial_space(void *dev)
{
	struct serial *s = dev;
	size_t space;

	pthread_mutex_lock(&s->lock);
	space = (s->mcr & (UART_MCR_RTS | UART_MCR_LOOP)) == UART_MCR_RTS ? FIFO_SIZE - s->rx_len
									  : 0;
	pthread_mutex_unlock(&s->lock);
	return space;
}

static void serial_input(void *dev, const uint8_t *buf, size_t len)
{
	struct serial *s = dev;

	pthread_mutex_lock(&s->lock);
	while (len--)
		receive_locked(s, *buf++);
	update_irq_locked(s);
	pthread_mutex_unlock(&s->lock);
}

void serial_flush(void)
{
	pthread_mutex_lock(&com1.lock);
	flush_locked(&com1);
	pthread_mutex_unlock(&com1.lock);
}

void serial_create(struct vm *vm)
{
	com1.vm = vm;
	bus_add(&vm->pio, "COM1", COM1_PORT, 8, serial_access, &com1);
	console_attach(&(struct console_sink){ serial_space, serial_input, &com1 });
}
