# SPDX-License-Identifier: GPL-2.0-only
"""The lab machine in the Bochs emulator: works everywhere, needs no VMX and no privilege.

It writes Bochs's configuration, starts it and reads its log for what only the emulator knows:
the reason of a failed VM entry, a triple fault, and whether the machine was powered off or reset.
"""

import os
import pathlib
import re
import subprocess

from labkit import bochs, bootimage, host, paths
from labkit.say import LabError

NAME = "bochs"
TITLE = "emulated (Bochs)"
IPS = 100_000_000           # instructions in a second of virtual time: the machine's "frequency"
DEFAULT_MODEL = "corei7_skylake_x"
MODELS = {
    "corei7_skylake_x": "everything, posted interrupts included",
    "corei7_haswell_4770": "virtual-interrupt delivery and register virtualization, "
                           "no posted interrupts",
    "broadwell_ult": "as corei7_haswell_4770",
    "corei7_sandy_bridge_2600k": "TPR shadow and APIC-access page only, no x2APIC",
}
BROKEN_MODELS = {
    "corei7_icelake_u": "Linux hangs in early boot on it",
    "tigerlake": "Linux hangs in early boot on it",
    "arrow_lake": "Linux hangs in early boot on it",
    "sapphire_rapids": "Linux takes a #GP at XSETBV on it",
}
MAX_CPUS = 8
MIN_MEM, MAX_MEM = 256, 2048        # MiB; Bochs keeps no more than 2 GiB in the host's memory

KERNEL_LOG, EMULATOR_LOG = "kernel.log", "emulator.log"

COMMAND_LINE = "tsc=reliable mitigations=off idle=halt"
HZ = 250                    # ticks in a second, of all kernels here


def why_not():
    """Why this machine can't be used here: None, it always can."""
    return None


def check(spec):
    """Refuse what this machine can't be."""
    if spec.model in BROKEN_MODELS:
        raise LabError(f"--cpu {spec.model}: {BROKEN_MODELS[spec.model]}")
    if spec.model and spec.model not in MODELS:
        raise LabError(f"--cpu {spec.model}: known models are {', '.join(MODELS)}")
    if not 1 <= spec.cpus <= MAX_CPUS:
        raise LabError(f"--cpus {spec.cpus}: 1 to {MAX_CPUS}")
    if not MIN_MEM <= spec.mem <= MAX_MEM:
        raise LabError(f"--mem {spec.mem}: {MIN_MEM} to {MAX_MEM} MiB")


def prepare(spec):
    """Fetch and build what it needs: that is no part of a run's time."""
    bochs.firmware()
    bochs.emulator(profile=bool(spec.profile))
    bootimage.rom()


def _configuration(run, spec, images, terminal, ips):
    bios, vga = bochs.firmware()
    lines = [
        f"cpu: model={spec.model or DEFAULT_MODEL}, count={spec.cpus}, ips={ips}, "
        f"quantum={spec.quantum}, reset_on_triple_fault=0, msrs={paths.LAB / 'boot/msrs'}",
        f"memory: guest={spec.mem}, host={spec.mem}",
        f"romimage: file={bios}, options=fastboot",
        f"vgaromimage: file={vga}",
        f"optromimage1: file={bootimage.rom()}, address={bootimage.ROM_ADDRESS:#x}",
        "vga: extension=vbe, update_freq=1",
        "clock: sync=none, time0=utc",
        "pci: enabled=1, chipset=i440fx",
        "ata0: enabled=0",
        "ata1: enabled=0",
        "boot: floppy",
        "floppy_bootsig_check: disabled=0",
        "mouse: enabled=0",
        "port_e9_hack: enabled=1, all_rings=1",
        f"com1: enabled=1, mode=file, dev={run / KERNEL_LOG}",
        f"log: {run / EMULATOR_LOG}",
        "logprefix: %t%e%d ",
        "panic: action=fatal",
        "error: action=report",
        "info: action=report",
        "debug: action=ignore",
    ]
    for number, (file, address) in enumerate(images, start=1):
        lines.append(f"optramimage{number}: file={file}, address={address:#x}")
    if terminal:
        lines.append(f"com2: enabled=1, mode=term, dev={terminal}")
    return "\n".join(lines) + "\n"


def start(run, spec, images, terminal=None, patched=True, ips=IPS):
    """Start the machine; the process's stdout is the output channel.

    images: [(file, address)] from bootimage.  terminal: a tty to be the machine's second serial
    line.
    """
    (run / "bochsrc").write_text(_configuration(run, spec, images, terminal, ips), encoding="utf-8")
    environment = dict(os.environ)
    if spec.real_time:
        environment["LAB_IDLE_IN_REAL_TIME"] = "1"
    if spec.profile:
        environment["LAB_PROFILE"] = str(pathlib.Path(spec.profile).resolve())
    emulator = bochs.emulator(patched, bool(spec.profile))
    with open(run / "emulator.out", "wb") as said:
        return host.start([emulator, "-q", "-f", run / "bochsrc"],
                          stdout=subprocess.PIPE, stderr=said, cwd=run, env=environment)


def boot_linux(run, spec, kernel, initramfs, parameters, terminal=None):
    """Start the machine with a Linux kernel."""
    # Virtual time is counted in instructions.  The kernel is told so, since CPUID claims 3.5 GHz;
    # one that needs more instructions for the same work gets more of them in a second.
    ips = IPS * kernel.slowness
    # What was asked for comes last, and wins.
    parameters = f"{COMMAND_LINE} tsc_early_khz={ips // 1000} lpj={ips // HZ} {parameters}"
    images = bootimage.linux(run, kernel, initramfs, parameters)
    return start(run, spec, images, terminal, ips=ips)


class Log:
    """What the emulator's log says about the machine's fate."""

    FAILED_ENTRY = re.compile(r"(?:VMFAIL: VMCS|VMENTER FAIL|VMFAIL: VMENTRY).*")
    PANIC = re.compile(r">>PANIC<< (.*)")
    TRIPLE_FAULT = re.compile(r"triple fault|3rd \(\d+\) exception with no resolution")

    def __init__(self):
        self.resets = 0
        self.powered_off = False
        self.failures = []

    def line(self, line):
        """Take one line of the log."""
        if "ACPI control: soft power off" in line:
            self.powered_off = True
        elif "bx_pc_system_c::Reset(" in line:
            self.resets += 1
            if self.resets > 1:     # the first is the power-on
                self.failures.append(("reset", "the machine reset itself"))
        elif self.TRIPLE_FAULT.search(line):
            self.failures.append(("triple fault", line.split("]", 1)[-1].strip()))
        elif found := self.PANIC.search(line):
            if not self.powered_off:
                self.failures.append(("emulator panic", found.group(1)))
        elif found := self.FAILED_ENTRY.search(line):
            self.failures.append(("failed VM entry", found.group(0)))
