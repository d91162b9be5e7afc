/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lab's use of the emulator's instrumentation interface: count instructions by address between
 * two marks. A mark is an instruction that does nothing, so a guest can set one without an exit: XCHG
 * BX,BX begins, XCHG CX,CX ends. Built into the emulator that `lab run --profile` starts.
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
