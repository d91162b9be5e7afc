# SPDX-License-Identifier: GPL-2.0-only
"""One machine of the lab that runs cases of the benchmark, and what it says.  For bench and profile.

The machine is the emulator that counts instructions (`lab run --profile`), in which a tick is one
instruction, also where another CPU is halted.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lab"))

from labkit import bochs  # noqa: E402 pylint: disable=wrong-import-position

OWN, PEER = "apicvisor", "kvm-intel"
CPU_MODEL = "corei7_skylake_x"
HERE = ROOT / "tools/bench"
OUT = ROOT / "build/bench"
SECONDS = 900


def build(kernel):
    """The emulator, the program and the module, as far as they are not built yet."""
    OUT.mkdir(parents=True, exist_ok=True)
    bochs.emulator(profile=True)
    for command in ([ROOT / "tools/check/packages"], ["make", "-s", "-C", ROOT, "selftests"],
                    ["make", "-s", "-C", ROOT, "module", f"KERNEL={kernel}"]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode:
            sys.exit(f"bench: {command[0]} failed\n{done.stdout}")


def patterns(names):
    """What the program takes: a name stands for all that begin with it."""
    return [name if set(name) & set("*?") else f"{name}*" for name in names]


class Machine:
    """Runs the cases; then there are facts, cases, failed and text."""

    def __init__(self, module, kernel, cases, environment=()):
        self.module = module
        self.log = OUT / f"{module}.log"
        self.profile = OUT / f"{module}.profile"
        self.profile.unlink(missing_ok=True)
        command = [ROOT / "tools/lab/lab", "run", "--quiet", "--kernel", kernel, "--cpu", CPU_MODEL,
                   "--machine", "bochs", "--module", module, "--profile", self.profile,
                   "--timeout", str(SECONDS), "--add", f"{OUT}/cases", "--add", f"{HERE}/inside",
                   "--", "env", *environment, "inside", module, *patterns(cases)]
        with open(self.log, "wb") as file:
            status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT,
                                    check=False).returncode
        self.text = self.log.read_text(encoding="utf-8", errors="replace")
        self.facts = dict(re.findall(r"^@fact (.*?): (.*)$", self.text, re.M))
        self.cases = {}
        for line in re.findall(r"^@bench (.*)$", self.text, re.M):
            case = json.loads(line)
            self.cases[case.pop("case")] = case
        self.failed = [f"{module}: {line}" for line in
                       re.findall(r"^(?:not ok \d+ - |lab: |Bail out! )(.*)$", self.text, re.M)]
        if status and not self.failed:
            self.failed = [f"{module}: the machine ended with status {status}"]
        self.failed = [f"{line} (log: {self.log.relative_to(ROOT)})" for line in self.failed]
