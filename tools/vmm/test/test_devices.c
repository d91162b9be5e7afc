/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Serial port, platform ports, RTC, PCI and MSI-X, driven through the buses as a guest does. All
 * tests share one VM, because the devices are one of a kind.
 */
#include <unistd.h>
#include <linux/pci_regs.h>
#include <linux/serial_reg.h>

#include "../pci.h"
#include "fake_kvm.h"

#define SLOT 1 /* of the test's PCI device; the host bridge is slot 0 */

static struct options opt = { .reset_status = 7 };
static struct vm vm;
static struct pci_dev dev;
static unsigned int bar_accesses, bar_moves;

static void bar_access(struct pci_dev *d, uint32_t offset, void *data, unsigned int len, bool write)
{
	assert_ptr_equal(d, &dev);
	assert_true(offset + len <= BAR_MSIX_TABLE);
	bar_accesses++;
	if (!write)
		memset(data, 0x5a, len);
}

static void bar_moved(struct pci_dev *d)
{
	assert_ptr_equal(d, &dev);
	bar_moves++;
}

static int setup(void **state)
{
	(void)state;
	fake_vm(&vm, &opt, 1, 32 * MiB);
	platform_create(&vm);
	rtc_create(&vm);
	serial_create(&vm);
	pci_create(&vm);
	dev.bar_access = bar_access;
	dev.bar_moved = bar_moved;
	pci_add(&vm, &dev, 0x1234, 0x5678, 0xff000000, 2);
	return 0;
}

/* --- buses --- */

static void unclaimed(void **state)
{
	(void)state;
	assert_int_equal(in(&vm, 0x2f8, 1), 0xff);
	assert_int_equal(in(&vm, 0x2f8, 4), 0xffffffff);
	out(&vm, 0x2f8, 0, 4);
	assert_int_equal(in(&vm, COM1_PORT + 6, 4), 0xffffffff); /* reaches past the device */
	assert_int_equal(mmio_read(&vm, 0xfed00000, 8), ~0ULL);
}

/* --- serial --- */

static void com(unsigned int reg, uint8_t val)
{
	out(&vm, COM1_PORT + reg, val, 1);
}

static uint8_t com_in(unsigned int reg)
{
	return in(&vm, COM1_PORT + reg, 1);
}

static void serial_loopback(void **state)
{
	(void)state;
	com(UART_LCR, UART_LCR_WLEN8);
	com(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	com(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(com_in(UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	assert_false(com_in(UART_LSR) & UART_LSR_DR);
	com(UART_TX, 0xa5);
	assert_true(com_in(UART_LSR) & UART_LSR_DR);
	assert_int_equal(com_in(UART_RX), 0xa5);
	assert_false(com_in(UART_LSR) & UART_LSR_DR);
	/* More than fits is an overrun, reported once, and the first bytes stay. */
	for (unsigned int i = 0; i < 65; i++)
		com(UART_TX, i);
	assert_true(com_in(UART_LSR) & UART_LSR_OE);
	assert_false(com_in(UART_LSR) & UART_LSR_OE);
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(com_in(UART_RX), i);
	assert_false(com_in(UART_LSR) & UART_LSR_DR);
	com(UART_MCR, 0);
}

static void serial_divisor(void **state)
{
	(void)state;
	com(UART_LCR, UART_LCR_DLAB);
	com(UART_DLL, 1);
	com(UART_DLM, 2);
	assert_int_equal(com_in(UART_DLL), 1);
	assert_int_equal(com_in(UART_DLM), 2);
	com(UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(com_in(UART_IER), 0); /* not the divisor */
}

/* Enabling the interrupt of an empty transmitter raises it; reading IIR takes it back. */
static void serial_interrupt(void **state)
{
	(void)state;
	com(UART_MCR, UART_MCR_OUT2);
	assert_false(kvm.line[COM1_GSI]);
	com(UART_IER, UART_IER_THRI);
	assert_true(kvm.line[COM1_GSI]);
	assert_int_equal(com_in(UART_IIR) & 0xf, UART_IIR_THRI);
	assert_false(kvm.line[COM1_GSI]);
	assert_int_equal(com_in(UART_IIR) & 0xf, UART_IIR_NO_INT);
	com(UART_TX, '\n');
	assert_true(kvm.line[COM1_GSI]);
	com(UART_MCR, 0); /* OUT2 is the gate */
	assert_false(kvm.line[COM1_GSI]);
	com(UART_IER, 0);
}

/* --- platform --- */

static void power_off(void *arg)
{
	(void)arg;
	out(&vm, PM1_CONTROL_PORT, S5_SLEEP_TYPE << 10 | 1 << 13, 2);
	_exit(vm.status + 100);
}

static void reset_by_cf9(void *arg)
{
	(void)arg;
	out(&vm, RESET_PORT, RESET_VALUE, 1);
	_exit(vm.status + 100);
}

static void reset_by_keyboard(void *arg)
{
	(void)arg;
	out(&vm, 0x64, 0xfe, 1);
	_exit(vm.status + 100);
}

static void platform(void **state)
{
	(void)state;
	assert_int_equal(in(&vm, PM1_CONTROL_PORT, 2), 1); /* ACPI mode */
	assert_int_equal(in(&vm, PM1_EVENT_PORT, 2), 0);
	out(&vm, PM1_EVENT_PORT + 2, 0x0120, 2);
	assert_int_equal(in(&vm, PM1_EVENT_PORT + 2, 2), 0x0120);
	assert_int_equal(in(&vm, PM1_EVENT_PORT + 3, 1), 0x01);
	out(&vm, PM1_CONTROL_PORT, 4 << 10 | 1 << 13, 2);   /* another sleep state */
	out(&vm, PM1_CONTROL_PORT, S5_SLEEP_TYPE << 10, 2); /* not enabled */
	out(&vm, RESET_PORT, 0x02, 1);
	out(&vm, 0x64, 0xae, 1);
	assert_int_equal(vm.status, -1); /* all that ended nothing */
	assert_int_equal(status_of(power_off, NULL), 100 + STATUS_OK);
	assert_int_equal(status_of(reset_by_cf9, NULL), 100 + 7);
	assert_int_equal(status_of(reset_by_keyboard, NULL), 100 + 7);
}

static uint8_t rtc(uint8_t reg)
{
	out(&vm, 0x70, reg, 1);
	return in(&vm, 0x71, 1);
}

static void wall_clock(void **state)
{
	(void)state;
	assert_false(rtc(0x0a) & 0x80); /* never updating */
	assert_true(rtc(0x0d) & 0x80);
	assert_in_range(rtc(RTC_CENTURY), 0x20, 0x29);
	assert_in_range(rtc(8), 0x01, 0x12);
	assert_in_range(rtc(7), 0x01, 0x31);
	assert_true((rtc(0) & 0xf) < 10 && rtc(0) <= 0x60);
}

/* --- PCI --- */

static void pci_config(void **state)
{
	uint32_t bar;

	(void)state;
	assert_int_equal(config_read(&vm, 0, PCI_CLASS_DEVICE, 2), 0x0600);
	assert_int_equal(config_read(&vm, SLOT, PCI_VENDOR_ID, 4), 0x56781234);
	assert_int_equal(config_read(&vm, SLOT + 1, PCI_VENDOR_ID, 4), 0xffffffff);
	config_write(&vm, SLOT, PCI_VENDOR_ID, 0, 4);
	assert_int_equal(config_read(&vm, SLOT, PCI_VENDOR_ID, 2), 0x1234);
	/* An access across the end of the data port, or with the address not enabled. */
	out(&vm, 0xcf8, 1U << 31 | SLOT << 11, 4);
	assert_int_equal(in(&vm, 0xcfe, 4), 0xffffffff);
	out(&vm, 0xcf8, SLOT << 11, 4);
	assert_int_equal(in(&vm, 0xcfc, 4), 0xffffffff);
	/* Sizing a BAR. */
	bar = config_read(&vm, SLOT, PCI_BASE_ADDRESS_0, 4);
	config_write(&vm, SLOT, PCI_BASE_ADDRESS_0, ~0U, 4);
	assert_int_equal(config_read(&vm, SLOT, PCI_BASE_ADDRESS_0, 4), ~(PCI_BAR_SIZE - 1));
	config_write(&vm, SLOT, PCI_BASE_ADDRESS_0, bar, 4);
	config_write(&vm, SLOT, PCI_BASE_ADDRESS_1, ~0U, 4);
	assert_int_equal(config_read(&vm, SLOT, PCI_BASE_ADDRESS_1, 4), 0); /* there is none */
}

static void pci_bar(void **state)
{
	uint32_t bar = config_read(&vm, SLOT, PCI_BASE_ADDRESS_0, 4);

	(void)state;
	assert_int_equal(mmio_read(&vm, bar, 4), 0xffffffff); /* not decoded yet */
	bar_moves = bar_accesses = 0;
	config_write(&vm, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(bar_moves, 1);
	assert_int_equal(mmio_read(&vm, bar, 4), 0x5a5a5a5a);
	config_write(&vm, SLOT, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
	assert_int_equal(mmio_read(&vm, bar, 4), 0xffffffff);
	assert_int_equal(mmio_read(&vm, 0xe0000000, 4), 0x5a5a5a5a);
	assert_int_equal(bar_moves, 2);
	/* Outside of the window, over the IOAPIC or in RAM: not decoded. */
	config_write(&vm, SLOT, PCI_BASE_ADDRESS_0, 0xfec00000, 4);
	assert_int_equal(dev.bar, 0);
	config_write(&vm, SLOT, PCI_BASE_ADDRESS_0, 0x1000000, 4);
	assert_int_equal(dev.bar, 0);
	config_write(&vm, SLOT, PCI_BASE_ADDRESS_0, PCI_MMIO_END - PCI_BAR_SIZE, 4);
	assert_int_equal(mmio_read(&vm, PCI_MMIO_END - 4, 4),
			 0); /* the last word of the PBA's page */
	assert_int_equal(mmio_read(&vm, PCI_MMIO_END - 4, 8), ~0ULL);
	config_write(&vm, SLOT, PCI_BASE_ADDRESS_0, bar, 4);
}

/* Walks the list as a kernel does. */
static uint8_t find_cap(uint8_t id)
{
	uint8_t at = config_read(&vm, SLOT, PCI_CAPABILITY_LIST, 1);

	assert_true(config_read(&vm, SLOT, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	while (at && config_read(&vm, SLOT, at, 1) != id)
		at = config_read(&vm, SLOT, at + 1, 1);
	return at;
}

static void msix(void **state)
{
	uint32_t table = config_read(&vm, SLOT, PCI_BASE_ADDRESS_0, 4) + BAR_MSIX_TABLE;
	uint32_t pba = table - BAR_MSIX_TABLE + BAR_MSIX_PBA;
	const struct kvm_irq_routing_entry *route;
	uint8_t cap = find_cap(PCI_CAP_ID_MSIX);
	struct msix_vector *v = &dev.msix.vector[1];

	(void)state;
	assert_true(cap);
	config_write(&vm, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(config_read(&vm, SLOT, cap + PCI_MSIX_FLAGS, 2), 1); /* two vectors */
	mmio_write(&vm, table + 16, 0xfee01000, 4);
	mmio_write(&vm, table + 24, 0x41, 4);
	assert_null(route_of(v->gsi)); /* not before it is enabled and unmasked */
	config_write(&vm, SLOT, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
	msix_fire(&dev.msix, 1);
	assert_false(signalled(v->fd));
	assert_int_equal(mmio_read(&vm, pba, 8), 1 << 1); /* pending, for it is masked */
	mmio_write(&vm, table + 28, 0, 4);
	assert_true(signalled(v->fd)); /* ... and comes when it is unmasked */
	assert_int_equal(mmio_read(&vm, pba, 4), 0);
	route = route_of(v->gsi);
	assert_non_null(route);
	assert_int_equal(route->u.msi.address_lo, 0xfee01000);
	assert_int_equal(route->u.msi.data, 0x41);
	msix_fire(&dev.msix, 1);
	assert_true(signalled(v->fd));
	/* The function's mask does the same. */
	config_write(&vm, SLOT, cap + PCI_MSIX_FLAGS,
		     PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	msix_fire(&dev.msix, 1);
	assert_false(signalled(v->fd));
	config_write(&vm, SLOT, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
	assert_true(signalled(v->fd));
	/* Not there, or disabled. */
	msix_fire(&dev.msix, 2);
	msix_fire(&dev.msix, 0xffff);
	config_write(&vm, SLOT, cap + PCI_MSIX_FLAGS, 0, 2);
	msix_fire(&dev.msix, 1);
	assert_false(signalled(v->fd));
}

/* A message that KVM refuses leaves the other routes in place. */
static void msix_refused(void **state)
{
	uint32_t table = config_read(&vm, SLOT, PCI_BASE_ADDRESS_0, 4) + BAR_MSIX_TABLE;
	uint8_t cap = find_cap(PCI_CAP_ID_MSIX);
	unsigned int routes = kvm.n_routes;

	(void)state;
	config_write(&vm, SLOT, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
	kvm.refuse_msi = true;
	mmio_write(&vm, table, 0x1234, 4);
	mmio_write(&vm, table + 12, 0, 4);
	kvm.refuse_msi = false;
	assert_int_equal(kvm.n_routes, routes);
	mmio_write(&vm, table, 0xfee00000, 4);
	assert_non_null(route_of(dev.msix.vector[0].gsi));
	assert_non_null(route_of(COM1_GSI));
}

static void msix_odd_access(void **state)
{
	uint32_t table = config_read(&vm, SLOT, PCI_BASE_ADDRESS_0, 4) + BAR_MSIX_TABLE;

	(void)state;
	assert_int_equal(mmio_read(&vm, table + 1, 4), 0);
	assert_int_equal(mmio_read(&vm, table, 2), 0);
	mmio_write(&vm, table + 8, 0x7777, 2);
	assert_int_equal(mmio_read(&vm, table, 8), 0xfee00000);
	mmio_write(&vm, table + 0x7f8, ~0ULL, 8);
	assert_int_equal(mmio_read(&vm, table + 0x7f8, 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unclaimed),
		cmocka_unit_test(serial_loopback),
		cmocka_unit_test(serial_divisor),
		cmocka_unit_test(serial_interrupt),
		cmocka_unit_test(platform),
		cmocka_unit_test(wall_clock),
		cmocka_unit_test(pci_config),
		cmocka_unit_test(pci_bar),
		cmocka_unit_test(msix),
		cmocka_unit_test(msix_refused),
		cmocka_unit_test(msix_odd_access),
	};

	return cmocka_run_group_tests_name("vmm_devices", tests, setup, NULL);
}
