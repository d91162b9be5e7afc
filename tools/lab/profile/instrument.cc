// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ticks between two marks, by processor and address: instrument.h. An instruction takes one; a string
 * instruction takes one for each repetition, also where the emulator moves many elements at once.
 *
 * Of several intervals the shortest is kept, in which the machine was disturbed least, and written
 * to $LAB_PROFILE whenever there is a shorter one:
 *
 *   total TICKS                  of all processors, halted ones not counted
 *   ticks CPUS TICKS             what of the time passed while these worked; 0: while none did
 *   host|guest CPU ADDRESS TICKS
 */
#include <stdio.h>
#include <string.h>
#include <unordered_map>
#include "bochs.h"
#include "pc_system.h"
#include "cpu/cpu.h"
#include "cpu/decoder/ia_opcodes.h"

bool lab_counting;

namespace
{
typedef std::unordered_map<Bit64u, Bit64u> Counts;

const unsigned MAX_CPUS = 8;
const unsigned BEGIN_REG = 3, END_REG = 1; /* BX, CX */
const char *path;
Counts host[MAX_CPUS], guest[MAX_CPUS];
Bit64u together[1 << MAX_CPUS];
Bit64u shortest;

/* The instruction that each processor is in: where its ticks are counted, and since when. */
Bit64u *current[MAX_CPUS], since[MAX_CPUS];
unsigned latest; /* the processor whose turn it is */
Bit64u clock_seen, round_end;

/* Returns what the instruction marks, or nothing. */
unsigned mark(bxInstruction_c *i)
{
	if (i->getIaOpcode() != BX_IA_XCHG_EwGw || !i->modC0() || i->dst() != i->src())
		return 0;
	return i->dst();
}

/* The instruction ends with which this processor was busy. */
void settle(unsigned cpu)
{
	Bit64u now = BX_CPU(cpu)->get_icount();

	if (current[cpu])
		*current[cpu] += now - since[cpu];
	since[cpu] = now;
}

/* Time passes within a turn when elements of a string are moved at once, and only then. */
void settle_string(void)
{
	Bit64u now = bx_pc_system.time_ticks();

	if (current[latest])
		*current[latest] += now - clock_seen;
	clock_seen = now;
}

void begin()
{
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
		host[cpu].clear();
		guest[cpu].clear();
		current[cpu] = NULL;
	}
	memset(together, 0, sizeof(together));
	clock_seen = round_end = bx_pc_system.time_ticks();
	lab_counting = true;
}

Bit64u sum(const Counts &counts)
{
	Bit64u total = 0;

	for (Counts::const_iterator c = counts.begin(); c != counts.end(); ++c)
		total += c->second;
	return total;
}

void write(FILE *file, const char *who, unsigned cpu, const Counts &counts)
{
	for (Counts::const_iterator c = counts.begin(); c != counts.end(); ++c)
		fprintf(file, "%s %u %llx %llu\n", who, cpu, (unsigned long long)c->first,
			(unsigned long long)c->second);
}

void end()
{
	Bit64u total = 0;
	FILE *file;

	lab_counting = false;
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
		total += sum(host[cpu]) + sum(guest[cpu]);
	if (shortest && total >= shortest)
		return;
	shortest = total;
	file = fopen(path, "w");
	if (!file) {
		perror(path);
		exit(1);
	}
	fprintf(file, "total %llu\n", (unsigned long long)total);
	for (unsigned cpus = 0; cpus < 1 << MAX_CPUS; cpus++)
		if (together[cpus])
			fprintf(file, "ticks %x %llu\n", cpus, (unsigned long long)together[cpus]);
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
		write(file, "host", cpu, host[cpu]);
		write(file, "guest", cpu, guest[cpu]);
	}
	fclose(file);
}
} // namespace

void lab_init(void)
{
	path = getenv("LAB_PROFILE");
}

void lab_instruction(unsigned cpu, bxInstruction_c *i)
{
	unsigned what = mark(i);

	if (lab_counting && cpu < MAX_CPUS) {
		settle_string();
		settle(cpu);
	}
	if (path && what == BEGIN_REG)
		begin();
	else if (lab_counting && what == END_REG)
		end();
	if (!lab_counting || cpu >= MAX_CPUS)
		return;
	latest = cpu;
	since[cpu] = BX_CPU(cpu)->get_icount();
	current[cpu] = &(BX_CPU(cpu)->in_vmx_guest ? guest : host)[cpu][BX_CPU(cpu)->prev_rip];
}

void lab_time(unsigned cpus, Bit32u ticks)
{
	if (!lab_counting || cpus >= 1 << MAX_CPUS)
		return;
	settle_string();
	clock_seen += ticks; /* the caller lets them pass */
	together[cpus] += clock_seen - round_end;
	round_end = clock_seen;
}
