/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hooks for Bochs's instrumentation: `lab run --profile` counts instructions by their address. Of
 * the emulator's many hooks two are taken; the rest are the empty ones of its own stubs.
 */
#undef BX_INSTRUMENTATION
#define BX_INSTRUMENTATION 0
#include "instrument/stubs/instrument.h"
#undef BX_INSTRUMENTATION
#define BX_INSTRUMENTATION 1

class bxInstruction_c;

void profile_instruction(unsigned cpu);
void profile_port(unsigned port, unsigned value);

#undef BX_INSTR_BEFORE_EXECUTION
#define BX_INSTR_BEFORE_EXECUTION(cpu, i) profile_instruction(cpu)
#undef BX_INSTR_OUTP
#define BX_INSTR_OUTP(port, len, value) profile_port(port, value)
