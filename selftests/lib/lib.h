/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of selftests/lib/ share with each other and tests need not see.
 */
#ifndef SELFTESTS_LIB_H
#define SELFTESTS_LIB_H

#include <signal.h>
#include "kvmtest.h"

/* Set by the alarm when the running test has used up its time. */
extern volatile sig_atomic_t test_timed_out;

/* Make every vCPU of every VM leave KVM_RUN and stay out. Async-signal-safe. */
void vm_kick_all(void);
/* Stop the threads, close and unmap everything. */
void vm_free_all(void);

#endif
