/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hooks for Bochs's instrumentation: `lab run --profile` counts the ticks between two marks, by
 * address. A mark is an instruction that does nothing, so a guest sets one without an exit:
 * "xchg %bx, %bx" begins, "xchg %cx, %cx" ends. All other hooks stay empty.
 */
#ifndef LAB_INSTRUMENT_H
#define LAB_INSTRUMENT_H

/* All calls that are not of interest expand to nothing in the emulator's own header. */
#undef BX_INSTRUMENTATION
#define BX_INSTRUMENTATION 0
#include "instrument/stubs/instrument.h"

#include "cpu/decoder/ia_opcodes.h"

class bxInstruction_c;

extern bool lab_counting; /* between the marks */
void lab_instruction(unsigned cpu, bxInstruction_c *i);
/* So many pass now, in which the processors of this set worked; 0: all are halted. */
void lab_time(unsigned cpus, Bit32u ticks);
void lab_init(void);

#undef BX_INSTR_INIT_ENV
#define BX_INSTR_INIT_ENV() lab_init()

#undef BX_INSTR_BEFORE_EXECUTION
#define BX_INSTR_BEFORE_EXECUTION(cpu_id, i)                               \
	do {                                                               \
		if (lab_counting || (i)->getIaOpcode() == BX_IA_XCHG_EwGw) \
			lab_instruction(cpu_id, i);                        \
	} while (0)

#endif
