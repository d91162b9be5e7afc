# SPDX-License-Identifier: GPL-2.0-only
"""The probes: one bare program for each of the project's patches to the emulator.

Each shows the property its patch is for, so it passes on the patched emulator and fails on Debian's
source as it is (`lab probe --unpatched` builds that one to prove it).  Some show what the module
relies on and what needed no patch.  TAP on stdout.
"""

import dataclasses
import fnmatch
import re
import subprocess

from labkit import bootimage, host, machine_bochs, paths
from labkit.say import LabError

SOURCES = paths.LAB / "probes"
SHARED = ("start.S", "start.c", "vmx.c", "probe.h", "vmx.h", "probe.ld")
FLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-ffreestanding", "-nostdlib", "-static",
         "-fno-pie", "-no-pie", "-fno-stack-protector", "-fno-builtin", "-mno-red-zone",
         "-mgeneral-regs-only", "-fcf-protection=none", "-Wl,--build-id=none", "-Wl,-z,norelro"]
TIME_LIMIT = 30             # seconds; all of them take a fraction of a second


@dataclasses.dataclass
class Probe:
    """A probe and the machine it wants."""

    name: str
    cpus: int = 1
    model: str = None
    mem: int = machine_bochs.MIN_MEM
    quantum: int = 16
    real_time: bool = False
    profile: str = None
    patched: bool = True    # there is a patch, without which it fails


PROBES = (
    Probe("descriptor"),
    Probe("interrupt-mask"),
    Probe("smp-commit", cpus=2),
    Probe("halt-wakes"),
    Probe("ram-image"),
    Probe("serial-speed"),
    Probe("idle-time", cpus=2),
    Probe("entry-interrupt-mask"),
    Probe("virtual-vectoring"),
    Probe("empty-notification"),
    Probe("halt-exits"),
    Probe("compacted-mxcsr"),
    Probe("preemption-timer", cpus=2, patched=False),
)


def _program(probe):
    """The probe's flat image, compiled once."""
    parts = [SOURCES / name for name in (*SHARED, probe.name + ".c")]
    final = paths.cache("probes", f"{probe.name}-{paths.digest(*parts, ' '.join(FLAGS))}")
    if not final.exists():
        with paths.lock("probes"):
            if not final.exists():
                with paths.build_dir(final) as scratch:
                    sources = [p for p in parts if p.suffix in (".c", ".S")]
                    host.run(["gcc", *FLAGS, "-T", SOURCES / "probe.ld",
                              "-o", scratch / "probe.elf", *sources])
                    host.run(["objcopy", "-O", "binary",
                              "--set-section-flags", ".bss=alloc,load,contents",
                              scratch / "probe.elf", scratch / "probe.bin"])
    return (final / "probe.bin").read_bytes()


def _run(probe, patched):
    """Run one probe; returns (passed, what it said)."""
    run = paths.new_run_dir()
    try:
        images = bootimage.program(run, _program(probe))
        process = machine_bochs.start(run, probe, images, patched=patched)
        try:
            said, _ = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            said += f"\nPROBE: fail: not over after {TIME_LIMIT} s".encode()
        text = said.decode("latin-1")
        complaint = re.search(r"^(?:PROBE|LAB-BOOT): (.*)", text, re.MULTILINE)
        if not complaint:
            return False, f"it said nothing (log: {run / machine_bochs.EMULATOR_LOG})"
        return complaint.group(1) == "pass", complaint.group(1)
    finally:
        paths.run_is_over(run)


def run_all(patterns, patched):
    """Run the probes that match; returns the exit status.

    With patched=False each that has a patch is expected to fail: one that passes there proves
    nothing.
    """
    probes = [p for p in PROBES if (patched or p.patched) and
              (not patterns or any(fnmatch.fnmatch(p.name, pattern) for pattern in patterns))]
    if not probes:
        raise LabError(f"no probe is called {' or '.join(patterns)}")
    print("TAP version 14")
    print(f"1..{len(probes)}", flush=True)
    bad = 0
    for number, probe in enumerate(probes, start=1):
        passed, said = _run(probe, patched)
        good = passed == patched
        bad += not good
        where = "" if patched else " fails on the unpatched emulator"
        print(f"{'ok' if good else 'not ok'} {number} - {probe.name}{where}")
        if not passed:
            print(f"# {said}")
        print(end="", flush=True)
    print(f"# totals: pass:{len(probes) - bad} fail:{bad} skip:0")
    return 1 if bad else 0
