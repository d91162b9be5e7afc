# SPDX-License-Identifier: GPL-2.0-only
"""The lab machine in QEMU with nested VMX: needs a host kernel that offers VMX to KVM guests.

Much faster than the emulator and closer to hardware, but which features it has depends on the host.
QEMU's own reports (QMP) are written to a file: they tell a power-off from a reset.
"""

import fcntl
import json
import os
import pathlib
import shutil
import struct
import subprocess

from labkit import host
from labkit.say import LabError

NAME = "qemu"
TITLE = "virtual (QEMU, nested VMX)"
QEMU = "qemu-system-x86_64"
KVM_GET_API_VERSION = 0xae00
KVM_GET_SUPPORTED_CPUID = 0xc008ae05
CPUID_ENTRIES = 256
CPUID_ENTRY = struct.Struct("<10I")     # function, index, flags, eax, ebx, ecx, edx, padding
FEATURES, VMX = 1, 1 << 5               # leaf 1, ECX bit 5
MAX_CPUS = 64

KERNEL_LOG, EMULATOR_LOG = "kernel.log", "emulator.log"


def accelerator():
    """kvm; APICVISOR_QEMU_ACCEL=tcg tests the lab itself where there is no KVM (and no VMX)."""
    return os.environ.get("APICVISOR_QEMU_ACCEL", "kvm")


def _nested_vmx():
    """Why KVM here gives its guests no VMX, or None if it does."""
    try:
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    try:
        fcntl.ioctl(kvm, KVM_GET_API_VERSION, 0)
        table = bytearray(struct.pack("<II", CPUID_ENTRIES, 0).ljust(
            8 + CPUID_ENTRIES * CPUID_ENTRY.size, b"\0"))
        fcntl.ioctl(kvm, KVM_GET_SUPPORTED_CPUID, table)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    finally:
        os.close(kvm)
    count, = struct.unpack_from("<I", table)
    for i in range(count):
        function, _, _, _, _, ecx, *_ = CPUID_ENTRY.unpack_from(table, 8 + i * CPUID_ENTRY.size)
        if function == FEATURES and ecx & VMX:
            return None
    return "KVM here gives its guests no VMX (kvm_intel nested=1 on an Intel host is needed)"


def why_not():
    """Why this machine can't be used here, or None."""
    if accelerator() == "kvm":
        reason = _nested_vmx()
        if reason:
            return reason
    if not shutil.which(QEMU):
        return f"{QEMU} is missing: apt-get install qemu-system-x86"
    return None


def check(spec):
    """Refuse what this machine can't be."""
    if not 1 <= spec.cpus <= MAX_CPUS:
        raise LabError(f"--cpus {spec.cpus}: 1 to {MAX_CPUS}")
    if spec.mem < 256:
        raise LabError(f"--mem {spec.mem}: at least 256 MiB")
    if spec.profile:
        raise LabError("--profile: only the emulator counts instructions (--machine bochs)")


def prepare(_spec):
    """Fetch and build what it needs: nothing, QEMU is the host's."""


def boot_linux(run, spec, kernel, initramfs, parameters, terminal=None):
    """Start the machine; the process's stdout is the output channel.

    terminal: a tty to be the machine's second serial line.
    """
    (run / "initramfs.img").write_bytes(initramfs)
    (run / "qmp.in").write_text('{"execute": "qmp_capabilities"}\n', encoding="ascii")
    accel = accelerator()
    command = [
        QEMU, "-machine", "q35", "-accel", accel, "-no-user-config", "-nodefaults",
        "-cpu", spec.model or ("host" if accel == "kvm" else "max"),
        "-smp", str(spec.cpus), "-m", f"{spec.mem}M", "-display", "none", "-no-reboot",
        "-kernel", kernel.image, "-initrd", run / "initramfs.img", "-append", parameters,
        "-chardev", "stdio,id=channel,signal=off",
        "-device", "isa-debugcon,iobase=0xe9,chardev=channel",
        "-chardev", f"file,id=qmp,path={run / EMULATOR_LOG},input-path={run / 'qmp.in'}",
        "-mon", "chardev=qmp,mode=control",
        "-serial", f"file:{run / KERNEL_LOG}",
    ]
    if terminal:
        command += ["-serial", terminal]
    with open(run / "emulator.out", "wb") as said:
        return host.start(command, stdout=subprocess.PIPE, stderr=said, cwd=run)


class Log:
    """What QEMU's event log says about the machine's fate."""

    def __init__(self):
        self.resets = 0
        self.powered_off = False
        self.failures = []

    def line(self, line):
        """Take one line of the log: a JSON object."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        reason = event.get("data", {}).get("reason", "")
        if event.get("event") == "SHUTDOWN":
            if reason == "guest-shutdown":
                self.powered_off = True
            elif reason == "guest-reset":
                self.resets = 2         # as with an emulator that goes on: one at power-on
                self.failures.append(("reset", "the machine reset itself"))
            else:
                self.failures.append(("shutdown", reason))
        elif event.get("event") == "GUEST_PANICKED":
            self.failures.append(("kernel panic", "reported by the pvpanic device"))


def said(run):
    """The last line QEMU itself printed, for a start that failed."""
    lines = pathlib.Path(run, "emulator.out").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
