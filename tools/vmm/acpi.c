/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ACPI tables of the machine: processors, IOAPIC and interrupt overrides (MADT), power and
 * reset registers (FADT, served by platform.c), and a DSDT with a PCI host bridge, COM1 and the
 * soft-off state. Leaves out the RTC, the i8042, VGA and a PM timer, and says so in the FADT.
 * A pure function of its arguments: tests call it without a VM.
 *
 * Source: the ACPI specification, "ACPI Software Programming Model".
 */
#include <string.h>

#include "aml.h"
#include "vmm.h"

#define OEM_ID       "APICVR"
#define OEM_TABLE_ID "APICVVMM"

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4 };

#define MADT_PCAT_COMPAT     BIT(0) /* there is a PIC pair as well */
#define MADT_LAPIC_ENABLED   BIT(0)
#define MADT_CONFORMING      0x0 /* polarity and trigger of the ISA bus */
#define MADT_HIGH_LEVEL      0xd
#define MADT_ALL_CPUS        0xff

#define FADT_SIZE            276
#define FADT_WBINVD          BIT(0)
#define FADT_C1              BIT(2)
#define FADT_NO_POWER_BUTTON BIT(4)
#define FADT_NO_SLEEP_BUTTON BIT(5)
#define FADT_NO_RTC_WAKE     BIT(6)
#define FADT_RESET_REG       BIT(10)
#define BOOT_LEGACY_DEVICES  BIT(0)
#define BOOT_NO_VGA          BIT(2)
#define BOOT_NO_ASPM         BIT(4)
#define BOOT_NO_RTC          BIT(5)
#define GAS_SYSTEM_IO        1

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 36, "ACPI table header");

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

static size_t open_table(struct blob *b, const char *signature, uint8_t revision)
{
	struct header h = { .revision = revision, .oem_revision = 1, .creator_revision = 1 };
	size_t at;

	memcpy(h.signature, signature, sizeof(h.signature));
	memcpy(h.oem_id, OEM_ID, sizeof(h.oem_id));
	memcpy(h.oem_table_id, OEM_TABLE_ID, sizeof(h.oem_table_id));
	memcpy(h.creator_id, "APIC", sizeof(h.creator_id));
	blob_align(b, 16);
	at = b->len;
	blob_put(b, &h, sizeof(h));
	return at;
}

static void close_table(struct blob *b, size_t at)
{
	struct header *h = (void *)(b->data + at);

	if (b->overflow)
		die("the ACPI tables don't fit"); /* can't happen: MAX_CPUS bounds them */
	h->length = b->len - at;
	h->checksum = checksum(b->data + at, h->length);
}

static void madt_lapic(struct blob *b, uint8_t id)
{
	blob_int(b, MADT_LAPIC, 1);
	blob_int(b, 8, 1);
	blob_int(b, id, 1); /* processor UID */
	blob_int(b, id, 1); /* APIC ID */
	blob_int(b, MADT_LAPIC_ENABLED, 4);
}

static void madt_override(struct blob *b, uint8_t isa_irq, uint32_t gsi, uint16_t flags)
{
	blob_int(b, MADT_OVERRIDE, 1);
	blob_int(b, 10, 1);
	blob_int(b, 0, 1); /* ISA */
	blob_int(b, isa_irq, 1);
	blob_int(b, gsi, 4);
	blob_int(b, flags, 2);
}

static size_t build_madt(struct blob *b, unsigned int ncpus)
{
	size_t at = open_table(b, "APIC", 5);

	blob_int(b, LAPIC_BASE, 4);
	blob_int(b, MADT_PCAT_COMPAT, 4);
	for (unsigned int id = 0; id < ncpus; id++)
		madt_lapic(b, id);
	blob_int(b, MADT_IOAPIC, 1);
	blob_int(b, 12, 1);
	blob_int(b, 0, 2); /* IOAPIC ID, reserved */
	blob_int(b, IOAPIC_BASE, 4);
	blob_int(b, 0, 4);                       /* first GSI */
	madt_override(b, 0, 2, MADT_CONFORMING); /* the PIT: see init_routes() in vm.c */
	madt_override(b, SCI_GSI, SCI_GSI, MADT_HIGH_LEVEL);
	blob_int(b, MADT_LAPIC_NMI, 1);
	blob_int(b, 6, 1);
	blob_int(b, MADT_ALL_CPUS, 1);
	blob_int(b, MADT_CONFORMING, 2);
	blob_int(b, 1, 1); /* LINT1 */
	close_table(b, at);
	return at;
}

static void dsdt_pci(struct blob *b)
{
	size_t dev = aml_open_device(b, "PCI0"), crs;

	aml_name_eisaid(b, "_HID", "PNP0A03");
	aml_name_byte(b, "_UID", 0);
	crs = aml_open_resources(b, "_CRS");
	aml_bus_window(b, 0, 0);
	aml_io(b, 0xcf8, 8);
	aml_io_window(b, 0, 0xcf7);
	aml_io_window(b, 0xd00, 0xffff);
	aml_mem_window(b, PCI_MMIO_BASE, PCI_MMIO_END - 1);
	aml_close_resources(b, crs);
	aml_close(b, dev);
}

static void dsdt_com1(struct blob *b)
{
	size_t dev = aml_open_device(b, "COM1"), crs;

	aml_name_eisaid(b, "_HID", "PNP0501");
	aml_name_byte(b, "_UID", 0);
	crs = aml_open_resources(b, "_CRS");
	aml_io(b, COM1_PORT, 8);
	aml_irq(b, COM1_GSI);
	aml_close_resources(b, crs);
	aml_close(b, dev);
}

static size_t build_dsdt(struct blob *b)
{
	size_t at = open_table(b, "DSDT", 2), obj;

	/* The values that the guest writes to PM1 control to turn the machine off. */
	obj = aml_open_package(b, "_S5_", 2);
	aml_byte(b, S5_SLEEP_TYPE);
	aml_byte(b, 0);
	aml_close(b, obj);
	obj = aml_open_scope(b, "\\_SB_");
	dsdt_pci(b);
	dsdt_com1(b);
	aml_close(b, obj);
	close_table(b, at);
	return at;
}

static size_t build_facs(struct blob *b)
{
	uint8_t facs[64] = "FACS";
	size_t at;

	blob_align(b, 64);
	at = b->len;
	facs[4] = sizeof(facs);
	facs[32] = 2; /* version */
	blob_put(b, facs, sizeof(facs));
	return at;
}

static void put(uint8_t *table, size_t offset, uint64_t val, size_t len)
{
	memcpy(table + offset, &val, len);
}

static void put_gas(uint8_t *table, size_t offset, uint64_t port, uint8_t bits)
{
	table[offset] = GAS_SYSTEM_IO;
	table[offset + 1] = bits;
	table[offset + 3] = bits / 8; /* access size: 1 byte or 2 */
	put(table, offset + 4, port, 8);
}

static size_t build_fadt(struct blob *b, uint64_t facs, uint64_t dsdt)
{
	size_t at = open_table(b, "FACP", 6);
	uint8_t f[FADT_SIZE] = { 0 };

	put(f, 36, facs, 4);
	put(f, 40, dsdt, 4);
	put(f, 46, SCI_GSI, 2);
	/* No SMI command port: the machine is in ACPI mode from the start. */
	put(f, 56, PM1_EVENT_PORT, 4);
	put(f, 64, PM1_CONTROL_PORT, 4);
	put(f, 88, 4, 1);      /* length of the PM1 event block */
	put(f, 89, 2, 1);      /* of the control block */
	put(f, 96, 0xffff, 2); /* no C2 */
	put(f, 98, 0xffff, 2); /* no C3 */
	f[108] = RTC_CENTURY;
	put(f, 109, BOOT_LEGACY_DEVICES | BOOT_NO_VGA | BOOT_NO_ASPM | BOOT_NO_RTC, 2);
	put(f, 112,
	    FADT_WBINVD | FADT_C1 | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON | FADT_NO_RTC_WAKE |
		    FADT_RESET_REG,
	    4);
	put_gas(f, 116, RESET_PORT, 8);
	put(f, 128, RESET_VALUE, 1);
	put(f, 131, 3, 1); /* minor version */
	put(f, 140, dsdt, 8);
	put_gas(f, 148, PM1_EVENT_PORT, 32);
	f[148 + 3] = 2; /* its registers are two of 16 bits */
	put_gas(f, 172, PM1_CONTROL_PORT, 16);
	blob_put(b, f + sizeof(struct header), sizeof(f) - sizeof(struct header));
	close_table(b, at);
	return at;
}

static void build_rsdp(uint8_t *rsdp, uint64_t xsdt)
{
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, OEM_ID, 6);
	rsdp[15] = 2; /* revision */
	put(rsdp, 20, 36, 4);
	put(rsdp, 24, xsdt, 8);
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, 36);
}

size_t acpi_build(uint8_t *ram, size_t size, uint64_t base, unsigned int ncpus)
{
	struct blob b = { .data = ram, .max = size };
	size_t facs, dsdt, fadt, madt, xsdt;

	blob_put(&b, (uint8_t[36]){ 0 }, 36); /* the RSDP comes first and is written last */
	facs = build_facs(&b);
	dsdt = build_dsdt(&b);
	fadt = build_fadt(&b, base + facs, base + dsdt);
	madt = build_madt(&b, ncpus);
	xsdt = open_table(&b, "XSDT", 1);
	blob_int(&b, base + fadt, 8);
	blob_int(&b, base + madt, 8);
	close_table(&b, xsdt);
	build_rsdp(ram, base + xsdt);
	return b.len;
}
