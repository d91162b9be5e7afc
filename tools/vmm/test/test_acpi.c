/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ACPI tables: walked the way a kernel does, from the RSDP, checking every sum and pointer.
 * With APICVISOR_DUMP=DIR in the environment they are only written there, for iasl.
 */
#include "fake_kvm.h"

static uint8_t ram[ACPI_SIZE];

static uint64_t get(const uint8_t *p, size_t len)
{
	uint64_t val = 0;

	memcpy(&val, p, len);
	return val;
}

static void assert_sum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += p[i];
	assert_int_equal(sum, 0);
}

/* A guest address inside the tables as a host pointer. */
static const uint8_t *at(uint64_t gpa)
{
	assert_in_range(gpa, ACPI_BASE, ACPI_BASE + ACPI_SIZE - 36);
	return ram + (gpa - ACPI_BASE);
}

static const uint8_t *table(uint64_t gpa, const char *signature)
{
	const uint8_t *t = at(gpa);

	assert_memory_equal(t, signature, 4);
	assert_in_range(get(t + 4, 4), 36, ACPI_SIZE - (gpa - ACPI_BASE));
	assert_sum(t, get(t + 4, 4));
	return t;
}

static const uint8_t *xsdt_entry(unsigned int i, const char *signature)
{
	const uint8_t *xsdt;

	assert_memory_equal(ram, "RSD PTR ", 8);
	assert_sum(ram, 20);
	assert_sum(ram, 36);
	xsdt = table(get(ram + 24, 8), "XSDT");
	assert_in_range(i, 0, (get(xsdt + 4, 4) - 36) / 8 - 1);
	return table(get(xsdt + 36 + 8 * i, 8), signature);
}

static void fadt(void **state)
{
	const uint8_t *f, *facs;

	(void)state;
	acpi_build(ram, sizeof(ram), ACPI_BASE, 1);
	f = xsdt_entry(0, "FACP");
	assert_int_equal(get(f + 4, 4), 276);
	assert_int_equal(get(f + 56, 4), PM1_EVENT_PORT);
	assert_int_equal(get(f + 64, 4), PM1_CONTROL_PORT);
	assert_int_equal(get(f + 120, 8), RESET_PORT);
	assert_int_equal(f[128], RESET_VALUE);
	assert_true(get(f + 112, 4) & 1 << 10);            /* there is a reset register */
	assert_false(get(f + 112, 4) & 1 << 20);           /* not "hardware reduced" */
	assert_int_equal(get(f + 40, 4), get(f + 140, 8)); /* both name the DSDT */
	table(get(f + 140, 8), "DSDT");
	facs = at(get(f + 36, 4));
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal((facs - ram) % 64, 0);
}

struct madt_count {
	unsigned int lapics, ioapics, overrides, nmis;
};

static struct madt_count count_madt(unsigned int ncpus)
{
	struct madt_count n = { 0 };
	const uint8_t *madt, *e, *end;

	memset(ram, 0, sizeof(ram));
	assert_in_range(acpi_build(ram, sizeof(ram), ACPI_BASE, ncpus), 1, sizeof(ram));
	madt = xsdt_entry(1, "APIC");
	end = madt + get(madt + 4, 4);
	for (e = madt + 44; e < end; e += e[1]) {
		assert_true(e[1] >= 2 && e + e[1] <= end);
		switch (e[0]) {
		case 0:
			assert_int_equal(e[3], n.lapics++); /* APIC IDs from 0 on */
			assert_int_equal(get(e + 4, 4), 1);
			break;
		case 1:
			assert_int_equal(get(e + 4, 4), IOAPIC_BASE);
			n.ioapics++;
			break;
		case 2:
			if (e[3] == 0)
				assert_int_equal(get(e + 4, 4), 2); /* the PIT is on pin 2 */
			n.overrides++;
			break;
		case 4:
			n.nmis++;
			break;
		default:
			fail_msg("MADT entry of type %u", e[0]);
		}
	}
	return n;
}

static void madt(void **state)
{
	static const unsigned int ncpus[] = { 1, 2, 254 };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(ncpus); i++) {
		struct madt_count n = count_madt(ncpus[i]);

		assert_int_equal(n.lapics, ncpus[i]);
		assert_int_equal(n.ioapics, 1);
		assert_int_equal(n.overrides, 2);
		assert_int_equal(n.nmis, 1);
	}
}

static void build_small(void *arg)
{
	(void)arg;
	acpi_build(ram, 512, ACPI_BASE, 254);
}

static void too_small(void **state)
{
	(void)state;
	assert_int_equal(status_of(build_small, NULL), STATUS_ERROR);
}

static void dump_table(const char *dir, const char *name, const uint8_t *t)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.aml", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(t, 1, get(t + 4, 4), f), get(t + 4, 4));
	assert_int_equal(fclose(f), 0);
}

static int dump(const char *dir)
{
	const uint8_t *f;

	acpi_build(ram, sizeof(ram), ACPI_BASE, 4);
	f = xsdt_entry(0, "FACP");
	dump_table(dir, "facp", f);
	dump_table(dir, "apic", xsdt_entry(1, "APIC"));
	dump_table(dir, "dsdt", table(get(f + 140, 8), "DSDT"));
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fadt),
		cmocka_unit_test(madt),
		cmocka_unit_test(too_small),
	};

	if (getenv("APICVISOR_DUMP"))
		return dump(getenv("APICVISOR_DUMP"));
	return cmocka_run_group_tests_name("vmm_acpi", tests, NULL, NULL);
}
