# SPDX-License-Identifier: GPL-2.0-only
"""What the lab tells its user: progress on stderr, and errors that are one line.

LabError is for everything the user can act on (a missing package, a refused machine); it is
never caught half-way, the entry point prints it.  Whatever else is raised is a bug of the lab.
"""

import sys
import time

_start = time.monotonic()
_quiet = False


class LabError(Exception):
    """A failure the user can act on.  str() is the one line that says what to do."""


def set_quiet(quiet):
    """With quiet, progress is not shown (warnings and errors still are)."""
    global _quiet
    _quiet = quiet


def progress(text):
    """One line per step of set-up that takes longer than a moment."""
    if not _quiet:
        print(f"lab: [{time.monotonic() - _start:5.1f}s] {text}", file=sys.stderr, flush=True)


def warn(text):
    """Something the user should know but need not act on."""
    print(f"lab: {text}", file=sys.stderr, flush=True)
