/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ports by which a guest turns the machine off or resets it: ACPI PM1 registers, the reset
 * register 0xcf9, the reset command of the keyboard controller; and two ports that kernels only
 * write to (POST codes, delays). No power button, no keyboard: nothing here raises an interrupt.
 */
#include <string.h>

#include "vmm.h"

#define I8042_PORT        0x64
#define I8042_RESET_PULSE 0xfe

#define POST_PORT         0x80
#define DELAY_PORT        0xed

#define PM1_SCI_ENABLED   BIT(0)
#define PM1_SLEEP_TYPE(v) ((v) >> 10 & 7)
#define PM1_SLEEP_ENABLE  BIT(13)

#define RESET_CPU         BIT(2)

/* PM1 status never has a bit set; enable and control keep what was written. */
static struct {
	pthread_mutex_t lock;
	uint16_t pm1_enable, pm1_control;
} platform = { .lock = PTHREAD_MUTEX_INITIALIZER, .pm1_control = PM1_SCI_ENABLED };

static void reset(struct vm *vm, const char *how)
{
	msg("the guest reset itself (%s)", how);
	vm_end(vm, vm->opt->reset_status);
}

static void access_word(uint16_t *reg, uint64_t shift, void *data, unsigned int len, bool write)
{
	uint16_t mask = len == 1 ? 0xff << 8 * shift : 0xffff, val = 0;

	if (write) {
		memcpy(&val, data, len > 2 ? 2 : len);
		*reg = (*reg & ~mask) | (val << 8 * shift & mask);
	} else {
		val = *reg >> 8 * shift;
		memset(data, 0, len);
		memcpy(data, &val, len > 2 ? 2 : len);
	}
}

static void pm1_event(void *dev, uint64_t offset, void *data, unsigned int len, bool write)
{
	(void)dev;
	pthread_mutex_lock(&platform.lock);
	if (offset >= 2)
		access_word(&platform.pm1_enable, offset - 2, data, len, write);
	else if (!write)
		memset(data, 0, len);
	pthread_mutex_unlock(&platform.lock);
}

static void pm1_control(void *dev, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct vm *vm = dev;
	uint16_t val;

	pthread_mutex_lock(&platform.lock);
	access_word(&platform.pm1_control, offset, data, len, write);
	val = platform.pm1_control;
	/* SLP_EN is write-only; SCI_EN is ours, for there is no other mode. */
	platform.pm1_control = (val & ~PM1_SLEEP_ENABLE) | PM1_SCI_ENABLED;
	pthread_mutex_unlock(&platform.lock);
	if (write && (val & PM1_SLEEP_ENABLE) && PM1_SLEEP_TYPE(val) == S5_SLEEP_TYPE)
		vm_end(vm, STATUS_OK);
}

void platform_reset_port(struct vm *vm, uint8_t *val, bool write)
{
	if (!write)
		*val = 0;
	else if (*val & RESET_CPU)
		reset(vm, "port 0xcf9");
}

/* Reads as an idle controller, so that a kernel which wants a reset doesn't wait for it. */
static void i8042(void *dev, uint64_t offset, void *data, unsigned int len, bool write)
{
	(void)offset;
	if (!write)
		memset(data, 0, len);
	else if (*(uint8_t *)data == I8042_RESET_PULSE)
		reset(dev, "keyboard controller");
}

static void write_only(void *dev, uint64_t offset, void *data, unsigned int len, bool write)
{
	(void)dev;
	(void)offset;
	if (!write)
		memset(data, 0xff, len);
}

void platform_create(struct vm *vm)
{
	bus_add(&vm->pio, "ACPI PM1 event", PM1_EVENT_PORT, 4, pm1_event, vm);
	bus_add(&vm->pio, "ACPI PM1 control", PM1_CONTROL_PORT, 2, pm1_control, vm);
	bus_add(&vm->pio, "i8042", I8042_PORT, 1, i8042, vm);
	bus_add(&vm->pio, "POST and delay", POST_PORT, 1, write_only, vm);
	bus_add(&vm->pio, "delay", DELAY_PORT, 1, write_only, vm);
}
