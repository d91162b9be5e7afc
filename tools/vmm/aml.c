/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The AML writer; see aml.h. Package lengths are always written in their two-byte form, so that
 * closing a container is a patch in place. Pure functions of their blob.
 */
#include <stdlib.h>
#include <string.h>

#include "aml.h"

enum {
	AML_NAME = 0x08,
	AML_BYTE = 0x0a,
	AML_WORD = 0x0b,
	AML_DWORD = 0x0c,
	AML_SCOPE = 0x10,
	AML_BUFFER = 0x11,
	AML_PACKAGE = 0x12,
	AML_EXT = 0x5b,
	AML_EXT_DEVICE = 0x82,
};

enum { WINDOW_MEM = 0, WINDOW_IO = 1, WINDOW_BUS = 2 };

#define PKG_LENGTH_SIZE 2
#define WINDOW_FIXED    0x0c /* both ends are fixed; the device is a producer */
#define WINDOW_IO_ALL   0x03 /* ISA and non-ISA ports */
#define WINDOW_MEM_RW   0x01

void blob_put(struct blob *b, const void *data, size_t len)
{
	if (len > b->max - b->len) {
		b->overflow = true;
		return;
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void blob_int(struct blob *b, uint64_t val, size_t len)
{
	for (size_t i = 0; i < len; i++)
		blob_put(b, &(uint8_t){ val >> 8 * i }, 1);
}

void blob_align(struct blob *b, size_t align)
{
	while (b->len % align && !b->overflow)
		blob_int(b, 0, 1);
}

static size_t open_length(struct blob *b)
{
	size_t at = b->len;

	blob_int(b, 0, PKG_LENGTH_SIZE);
	return at;
}

void aml_close(struct blob *b, size_t open)
{
	size_t len = b->len - open; /* counts the length field itself */

	if (b->overflow || len > 0xfff) {
		b->overflow = true;
		return;
	}
	b->data[open] = 1 << 6 | (len & 0xf);
	b->data[open + 1] = len >> 4;
}

static void open_name(struct blob *b, const char *name)
{
	blob_int(b, AML_NAME, 1);
	blob_put(b, name, 4);
}

size_t aml_open_scope(struct blob *b, const char *path)
{
	size_t at;

	blob_int(b, AML_SCOPE, 1);
	at = open_length(b);
	blob_put(b, path, strlen(path));
	return at;
}

size_t aml_open_device(struct blob *b, const char *name)
{
	size_t at;

	blob_int(b, AML_EXT, 1);
	blob_int(b, AML_EXT_DEVICE, 1);
	at = open_length(b);
	blob_put(b, name, 4);
	return at;
}

size_t aml_open_package(struct blob *b, const char *name, uint8_t n)
{
	size_t at;

	open_name(b, name);
	blob_int(b, AML_PACKAGE, 1);
	at = open_length(b);
	blob_int(b, n, 1);
	return at;
}

size_t aml_open_resources(struct blob *b, const char *name)
{
	size_t at;

	open_name(b, name);
	blob_int(b, AML_BUFFER, 1);
	at = open_length(b);
	blob_int(b, AML_WORD, 1);
	blob_int(b, 0, 2); /* the buffer's size, filled in at the close */
	return at;
}

void aml_close_resources(struct blob *b, size_t open)
{
	size_t start = open + PKG_LENGTH_SIZE + 3, len;

	blob_int(b, 0x0079, 2); /* end tag; checksum 0 is "not used" */
	aml_close(b, open);
	if (b->overflow)
		return;
	len = b->len - start;
	b->data[start - 2] = len;
	b->data[start - 1] = len >> 8;
}

void aml_byte(struct blob *b, uint8_t val)
{
	blob_int(b, AML_BYTE, 1);
	blob_int(b, val, 1);
}

void aml_name_byte(struct blob *b, const char *name, uint8_t val)
{
	open_name(b, name);
	aml_byte(b, val);
}

/* Three letters of 5 bits each, then four hexadecimal digits; the whole is big-endian. */
void aml_name_eisaid(struct blob *b, const char *name, const char *id)
{
	uint32_t val = (id[0] - '@') << 26 | (id[1] - '@') << 21 | (id[2] - '@') << 16;

	val |= strtoul(id + 3, NULL, 16);
	open_name(b, name);
	blob_int(b, AML_DWORD, 1);
	blob_int(b, __builtin_bswap32(val), 4);
}

void aml_io(struct blob *b, uint16_t port, uint8_t len)
{
	blob_int(b, 0x47, 1);
	blob_int(b, 1, 1); /* decodes 16 bits */
	blob_int(b, port, 2);
	blob_int(b, port, 2);
	blob_int(b, 1, 1); /* alignment */
	blob_int(b, len, 1);
}

void aml_irq(struct blob *b, unsigned int irq)
{
	blob_int(b, 0x22, 1); /* edge-triggered, active high */
	blob_int(b, 1U << irq, 2);
}

/* An address space descriptor; size is that of each of its five numbers. */
static void window(struct blob *b, uint8_t tag, uint8_t type, uint8_t flags, size_t size,
		   uint32_t first, uint32_t last)
{
	blob_int(b, tag, 1);
	blob_int(b, 3 + 5 * size, 2);
	blob_int(b, type, 1);
	blob_int(b, WINDOW_FIXED, 1);
	blob_int(b, flags, 1);
	blob_int(b, 0, size); /* granularity */
	blob_int(b, first, size);
	blob_int(b, last, size);
	blob_int(b, 0, size); /* translation */
	blob_int(b, last - first + 1ULL, size);
}

void aml_bus_window(struct blob *b, uint16_t first, uint16_t last)
{
	window(b, 0x88, WINDOW_BUS, 0, 2, first, last);
}

void aml_io_window(struct blob *b, uint16_t first, uint16_t last)
{
	window(b, 0x88, WINDOW_IO, WINDOW_IO_ALL, 2, first, last);
}

void aml_mem_window(struct blob *b, uint32_t first, uint32_t last)
{
	window(b, 0x87, WINDOW_MEM, WINDOW_MEM_RW, 4, first, last);
}
