/* SPDX-License-Identifier: GPL-2.0-only */
/* What the device node shares with the VM file descriptor. */
#ifndef APICVISOR_DEV_H
#define APICVISOR_DEV_H

struct vm;

/* KVM_CHECK_EXTENSION: the value of capability @cap, 0 = absent. @vm NULL: on the device. */
long check_extension(struct vm *vm, unsigned long cap);

#endif
