// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions between two marks, by processor and address: instrument.h. Of several intervals the
 * shortest is kept, in which the machine was disturbed least, and written to $LAB_PROFILE whenever
 * there is a shorter one: "total INSTRUCTIONS", then lines "CPU ADDRESS COUNT". Instructions of a
 * guest have the address 0: only what the host does is of interest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unordered_map>
#include "bochs.h"
#include "cpu/cpu.h"
#include "cpu/decoder/ia_opcodes.h"

bool lab_counting;

namespace
{
typedef std::unordered_map<Bit64u, Bit64u> Counts;

const unsigned MAX_CPUS = 8;
const unsigned BEGIN_REG = 3, END_REG = 1; /* BX, CX */
const char *path;
Counts counts[MAX_CPUS];
Bit64u total, shortest;

/* Returns what the instruction marks, or nothing. */
unsigned mark(bxInstruction_c *i)
{
	if (i->getIaOpcode() != BX_IA_XCHG_EwGw || !i->modC0() || i->dst() != i->src())
		return 0;
	return i->dst();
}

void begin()
{
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
		counts[cpu].clear();
	total = 0;
	lab_counting = true;
}

void end()
{
	FILE *file;

	lab_counting = false;
	if (shortest && total >= shortest)
		return;
	shortest = total;
	file = fopen(path, "w");
	if (!file) {
		perror(path);
		exit(1);
	}
	fprintf(file, "total %llu\n", (unsigned long long)total);
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
		for (Counts::const_iterator c = counts[cpu].begin(); c != counts[cpu].end(); ++c)
			fprintf(file, "%u %llx %llu\n", cpu, (unsigned long long)c->first,
				(unsigned long long)c->second);
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

	if (path && what == BEGIN_REG)
		begin();
	else if (lab_counting && what == END_REG)
		end();
	if (!lab_counting || cpu >= MAX_CPUS)
		return;
	total++;
	counts[cpu][BX_CPU(cpu)->in_vmx_guest ? 0 : BX_CPU(cpu)->prev_rip]++;
}
