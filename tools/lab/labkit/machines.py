# SPDX-License-Identifier: GPL-2.0-only
"""Which machine a run uses: the one asked for, or the best that works here."""

from labkit import machine_bochs, machine_host, machine_qemu
from labkit.say import LabError, progress

MACHINES = {machine.NAME: machine for machine in (machine_bochs, machine_qemu, machine_host)}


def choose(name, spec):
    """The machine for --machine; None stands for the best.

    The running system is never the default: a bug of the module would take it down.  Neither is
    QEMU when something is asked for that only the emulator has.
    """
    if name:
        reason = MACHINES[name].why_not()
        if reason:
            raise LabError(f"--machine {name}: {reason}")
        return MACHINES[name]
    if not spec.model and not spec.profile and not machine_qemu.why_not():
        machine = machine_qemu
    else:
        machine = machine_bochs
    progress(f"machine: {machine.TITLE}")
    return machine
