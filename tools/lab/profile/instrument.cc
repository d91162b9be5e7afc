// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the instructions that each emulated CPU executes, by address. A program in the machine
 * begins and ends the count by writing 1 and 0 to PROFILE_PORT, which no device has; what was counted
 * in between is appended to the file named by LAB_PROFILE, a line each:
 *
 *     host ADDRESS COUNT        outside VMX non-root operation
 *     guest 0 COUNT             inside, all addresses together
 *     end 0 COUNT               after the lines of one measurement: the sum
 *
 * CPUs are emulated in turn by one thread, so there is nothing to lock.
 */
#include <cstdio>
#include <cstdlib>
#include <unordered_map>
#include "bochs.h"
#include "cpu/cpu.h"

static const unsigned PROFILE_PORT = 0x5a0;

static bool counting;
static std::unordered_map<bx_address, unsigned long long> host;
static unsigned long long guest;

void profile_instruction(unsigned cpu)
{
	if (!counting)
		return;
	if (BX_CPU(cpu)->in_vmx_guest)
		guest++;
	else
		host[BX_CPU(cpu)->get_instruction_pointer()]++;
}

static void report()
{
	const char *name = getenv("LAB_PROFILE");
	FILE *file = name ? fopen(name, "a") : NULL;
	unsigned long long sum = guest;

	if (!file) {
		fprintf(stderr, "profile: LAB_PROFILE names no file that can be written\n");
		return;
	}
	for (const auto &entry : host) {
		fprintf(file, "host %llx %llu\n", (unsigned long long)entry.first, entry.second);
		sum += entry.second;
	}
	fprintf(file, "guest 0 %llu\nend 0 %llu\n", guest, sum);
	fclose(file);
}

void profile_port(unsigned port, unsigned value)
{
	if (port != PROFILE_PORT)
		return;
	if (counting && !value)
		report();
	host.clear();
	guest = 0;
	counting = value;
}
