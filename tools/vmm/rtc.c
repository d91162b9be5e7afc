/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The clock of an MC146818: kernels read the date from it when they start, and wait long for one
 * that isn't there. The guest gets the host's UTC and can't set it. Leaves out alarms, interrupts
 * and memory, so the FADT tells drivers that there is no RTC.
 */
#include <string.h>
#include <time.h>

#include "vmm.h"

#define INDEX_PORT     0x70 /* and the data at 0x71 */

#define REG_A_32768_HZ 0x20 /* and no update in progress */
#define REG_B_24H      0x02 /* and BCD */
#define REG_D_VALID    0x80

static struct {
	pthread_mutex_t lock;
	uint8_t index;
} rtc = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint8_t bcd(int val)
{
	return val / 10 % 10 << 4 | val % 10;
}

static uint8_t read_register(uint8_t index)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	switch (index) {
	case 0x00:
		return bcd(tm.tm_sec);
	case 0x02:
		return bcd(tm.tm_min);
	case 0x04:
		return bcd(tm.tm_hour);
	case 0x06:
		return tm.tm_wday + 1;
	case 0x07:
		return bcd(tm.tm_mday);
	case 0x08:
		return bcd(tm.tm_mon + 1);
	case 0x09:
		return bcd(tm.tm_year % 100);
	case 0x0a:
		return REG_A_32768_HZ;
	case 0x0b:
		return REG_B_24H;
	case 0x0d:
		return REG_D_VALID;
	case RTC_CENTURY:
		return bcd((tm.tm_year + 1900) / 100);
	default:
		return 0;
	}
}

static void rtc_access(void *dev, uint64_t offset, void *data, unsigned int len, bool write)
{
	uint8_t *val = data;

	(void)dev;
	pthread_mutex_lock(&rtc.lock);
	if (!write)
		memset(data, 0xff, len);
	if (offset == 0 && write)
		rtc.index = *val & 0x7f; /* the top bit masks NMI, of which there are none */
	else if (offset == 1 && !write)
		*val = read_register(rtc.index);
	pthread_mutex_unlock(&rtc.lock);
}

void rtc_create(struct vm *vm)
{
	bus_add(&vm->pio, "RTC", INDEX_PORT, 2, rtc_access, NULL);
}
