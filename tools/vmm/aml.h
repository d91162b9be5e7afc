/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A writer for the few AML objects that acpi.c needs. Every function appends to a blob; what
 * doesn't fit is dropped and remembered in ->overflow. Containers are opened and closed:
 *
 *	size_t dev = aml_open_device(b, "PCI0");
 *	aml_name_eisaid(b, "_HID", "PNP0A03");
 *	aml_close(b, dev);
 *
 * Source: the ACPI specification's chapters "ACPI Machine Language" and "Resource Data Types".
 */
#ifndef AML_H
#define AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob {
	uint8_t *data;
	size_t len, max;
	bool overflow;
};

void blob_put(struct blob *b, const void *data, size_t len);
/* Appends val as len little-endian bytes, at most 8. */
void blob_int(struct blob *b, uint64_t val, size_t len);
/* Appends zero bytes until the length is a multiple of align. */
void blob_align(struct blob *b, size_t align);

/* Names are relative, of 4 characters; aml_open_scope() also takes "\\" + 4. */
size_t aml_open_scope(struct blob *b, const char *path);
size_t aml_open_device(struct blob *b, const char *name);
/* Name(name, Package(n) { ... }) and Name(name, ResourceTemplate() { ... }) */
size_t aml_open_package(struct blob *b, const char *name, uint8_t n);
size_t aml_open_resources(struct blob *b, const char *name);
/* Closes whatever the matching open returned. At most 4095 bytes may stand in between. */
void aml_close(struct blob *b, size_t open);
void aml_close_resources(struct blob *b, size_t open);

void aml_byte(struct blob *b, uint8_t val);
void aml_name_byte(struct blob *b, const char *name, uint8_t val);
void aml_name_eisaid(struct blob *b, const char *name, const char *id);

/* Resource descriptors. Ranges are [first, last]. */
void aml_io(struct blob *b, uint16_t port, uint8_t len);
void aml_irq(struct blob *b, unsigned int irq);
void aml_bus_window(struct blob *b, uint16_t first, uint16_t last);
void aml_io_window(struct blob *b, uint16_t first, uint16_t last);
void aml_mem_window(struct blob *b, uint32_t first, uint32_t last);

#endif
