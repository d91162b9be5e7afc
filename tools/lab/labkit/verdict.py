# SPDX-License-Identifier: GPL-2.0-only
"""Did the machine itself fail?  Reads the kernel's log as it grows and names what it finds.

A failure is (kind, detail); the first one found is the reason given.  `FATAL` kinds end the run:
nothing that the command prints after them means anything.
"""

import re

# kind -> pattern; the order matters where one line fits two
KERNEL_FAILURES = (
    ("kernel panic", re.compile(r"Kernel panic - not syncing: (.*)")),
    ("lockup", re.compile(r"(?:watchdog: )?(BUG: soft lockup.*|Watchdog detected hard LOCKUP.*)")),
    ("rcu stall", re.compile(r"rcu: (INFO: rcu.*detected.* stall.*)")),
    ("hung task", re.compile(r"INFO: (task .* blocked for more than .*)")),
    ("kernel oops", re.compile(
        r"(BUG: (?:unable to handle|kernel NULL pointer).*|kernel BUG at .*|"
        r"general protection fault.*|divide error: .*|invalid opcode: .*|stack segment: .*|"
        r"double fault: .*|Oops: .*|PANIC: .*)")),
    ("kernel BUG", re.compile(r"(BUG: .*)")),
    ("kernel warning", re.compile(r"(WARNING: (?:CPU: |possible ).*|UBSAN: .*|KCSAN: .*)")),
    ("kernel warning", re.compile(r"(INFO: possible .*|unchecked MSR access error: .*)")),
    # the checkers of the debug kernel, beyond what is a BUG or a warning above
    ("lock fault", re.compile(
        r"WARNING: ((?:inconsistent lock|suspicious RCU|bad unlock|held lock freed|lock held|"
        r"Nested lock|\S+-safe -> ).*)|(INFO: trying to register non-static key.*|"
        r"turning off the locking correctness validator.*)")),
    ("memory fault", re.compile(r"(BUG \S+ \(.*\): .*|FIX \S+: .*)")),
    ("memory leak", re.compile(r"kmemleak: (\d+ new suspected memory leaks.*|"
                               r"unreferenced object .*|.* disabled.*)")),
)
# A user program's fault ("traps: sh[5] general protection fault ip:...") is no kernel's.
USER_FAULT = re.compile(r"traps: \S+\[\d+\]|\S+\[\d+\]: segfault")
END_OF_PANIC = "---[ end Kernel panic"

WARNING, ENTRY = "kernel warning", "failed VM entry"
TOLERABLE = {"warn": WARNING, "entry": ENTRY}


class Tail:
    """The lines a file has gained since the last look; an unfinished line waits."""

    def __init__(self, path):
        self._path = path
        self._position = 0
        self._rest = b""

    def lines(self, final=False):
        """The new complete lines; with final, the unfinished last one too."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return []
        self._position += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if final and self._rest:
            whole.append(self._rest)
            self._rest = b""
        return [line.decode("utf-8", "replace").rstrip("\r") for line in whole]


class KernelLog:
    """What the kernel's log says about the machine's fate."""

    def __init__(self):
        self.failures = []
        self.dead = False           # it has panicked and said all it had to say
        self.last = ""

    def line(self, line):
        """Take one line of the log."""
        text = re.sub(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[[^]]*\])? ?", "", line).strip()
        if text:
            self.last = text
        if END_OF_PANIC in line:
            self.dead = True
        if USER_FAULT.search(text):
            return
        for kind, pattern in KERNEL_FAILURES:
            found = pattern.search(text)
            if found:
                self.failures.append((kind, next(filter(None, found.groups()))))
                return


def first_failure(failures, tolerated=()):
    """The failure to report, or None: the earliest of the worst class that is not tolerated.

    A warning followed by an oops is reported as the oops, a panic that an oops led to as the oops.
    """
    kinds = {TOLERABLE[name] for name in tolerated}
    failures = [f for f in failures if f[0] not in kinds]
    grave = [f for f in failures if f[0] not in (WARNING, ENTRY)]
    return (grave or failures or [None])[0]
