# SPDX-License-Identifier: GPL-2.0-only
"""Many programs in few machines of the lab, and their results as TAP.

The programs are run one after the other by a script inside, which gets its list as /batch/list and
prints a line "@begin NAME" before and "@end NAME STATUS" after what each of them prints.  One that
takes the machine down is a "crash", one that outlasts it is "hung"; the rest goes on in a fresh one.
"""

import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAB = ROOT / "tools/lab/lab"
TIMED_OUT = 124  # the lab's exit status
MARK = re.compile(r"@(begin|end) (\S+)(?: (\d+))?\n")


def _machine(options, script, lines, seconds, log):
    """One machine for these lines of the list; returns (what came out, the lab's exit status)."""
    with tempfile.NamedTemporaryFile("w", prefix="batch-") as plan:
        plan.write("".join(line + "\n" for line in lines))
        plan.flush()
        start = log.stat().st_size if log.exists() else 0
        with open(log, "ab") as file:
            done = subprocess.run([LAB, "run", *options, "--timeout", str(seconds),
                                   "--add", f"{plan.name}:/batch/list", "--add", script,
                                   "--", script.name],
                                  stdout=file, stderr=subprocess.STDOUT, check=False)
    return log.read_bytes()[start:].decode(errors="replace"), done.returncode


def run(options, script, lines, seconds, log):
    """Run all programs, in as many machines as it takes.

    options: of `lab run`.  script: the path of the one that runs inside.  lines: {name: its line in
    the list}.  seconds: real time for one machine.  log: where all output goes.
    Returns {name: (exit status, or "crash", or "hung"; what it printed)}; "(machine)" is in it if a
    machine failed although each program had ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    results, todo = {}, list(lines)
    while todo:
        said, status = _machine(options, script, [lines[name] for name in todo], seconds, log)
        begun, since = None, 0
        for mark in MARK.finditer(said):
            kind, name, code = mark.groups()
            if kind == "begin":
                begun, since = name, mark.end()
            elif name == begun:
                results[name] = (int(code), said[since:mark.start()])
                begun = None
        if begun:
            results[begun] = ("hung" if status == TIMED_OUT else "crash", said[since:])
        elif status:
            # All have ended, and yet: the log names what the kernel or the emulator said.
            results["(machine)"] = ("crash", said[-2000:])
        left = [name for name in todo if name not in results]
        if left == todo:
            print(said[-2000:])
            results.update({name: ("crash", said) for name in left})
            break
        todo = left
    return results


class Tap:
    """Counts and prints."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def _line(self, start, text):
        print(f"{start} {self.passed + self.failed + self.skipped} - {text}", flush=True)

    def ok(self, text):
        """A test that passed."""
        self.passed += 1
        self._line("ok", text)

    def not_ok(self, text):
        """One that failed; the text says why."""
        self.failed += 1
        self._line("not ok", text)

    def skip(self, text, why):
        """One that can't be run."""
        self.skipped += 1
        self._line("ok", f"{text} # SKIP {why}")

    def end(self):
        """The totals; returns the exit status."""
        print(f"1..{self.passed + self.failed + self.skipped}")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed or not self.passed else 0
