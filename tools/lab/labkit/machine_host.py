# SPDX-License-Identifier: GPL-2.0-only
"""The running system as the machine: real VMX, real latency, and a real crash if there is a bug.

It loads the module into the running kernel, runs the command with the tools on its PATH and unloads
the module.  Never chosen by default.  Only what needs no boot applies: --kernel, --cpus and --mem
are the system's own.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from labkit import host, modules, paths, verdict
from labkit.say import LabError, warn

NAME = "host"
TITLE = "real (this system)"
STATUS_TIMEOUT, STATUS_MACHINE = 124, 125


def why_not():
    """Why this machine can't be used here, or None."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    if not re.search(r"^flags\s*:.*\bvmx\b", cpuinfo, re.MULTILINE):
        return "this CPU has no VMX (or the firmware has locked it off)"
    if os.geteuid() != 0:
        return "only root can load a module"
    if not shutil.which("insmod"):
        return "insmod is missing: apt-get install kmod"
    return None


def _refuse_other_user(name):
    if name == modules.OURS and modules.loaded_here("kvm_intel"):
        raise LabError("--machine host: kvm_intel uses VMX already: rmmod kvm_intel first")
    if modules.loaded_here(name):
        raise LabError(f"--machine host: {name} is loaded already: rmmod {name} first")


@contextlib.contextmanager
def _loaded(spec):
    """The module, loaded for the length of the block."""
    if spec.module == "none":
        yield
        return
    name = pathlib.Path(spec.module).stem.replace("-", "_")
    _refuse_other_user(name)
    if spec.module == modules.OURS:
        release = os.uname().release
        kdir = pathlib.Path("/lib/modules", release, "build")
        if not kdir.exists():
            raise LabError(f"--machine host: apt-get install linux-headers-{release}")
        host.run(["make", "-s", "-C", paths.REPO, "module", f"KDIR={kdir}"])
        load = ["insmod", paths.REPO / "build" / release / "apicvisor.ko"]
    elif spec.module.endswith(".ko"):
        load = ["insmod", spec.module]
    else:
        load = ["modprobe", spec.module]
    host.run([*load, *spec.parameters])
    try:
        yield
    finally:
        host.run(["rmmod", name])


def _kernel_messages(fd):
    """Everything in the kernel's log since the last call."""
    lines = []
    while True:
        try:
            lines.append(os.read(fd, 8192).decode("utf-8", "replace").split(";", 1)[-1])
        except BlockingIOError:
            return [line for text in lines for line in text.splitlines()]
        except BrokenPipeError:
            continue            # the log has overtaken us; what is left is still read


def run(spec):
    """Run the command; returns the exit status for our own process."""
    if spec.profile:
        raise LabError("--profile: only the emulator counts instructions (--machine bochs)")
    if any(":" in argument for argument in spec.added):
        raise LabError("--machine host: --add takes no path in the machine here")
    kernel = verdict.KernelLog()
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(log, 0, os.SEEK_END)
    with tempfile.TemporaryDirectory(prefix="apicvisor-") as added, _loaded(spec):
        for argument in spec.added:
            source = pathlib.Path(argument).resolve()
            pathlib.Path(added, source.name).symlink_to(source)
        path = f"{added}:{paths.REPO / 'build/bin'}:{os.environ.get('PATH', '')}"
        try:
            status = subprocess.run(spec.command, env={**os.environ, "PATH": path},
                                    stdin=subprocess.DEVNULL, timeout=spec.timeout,
                                    check=False).returncode
        except subprocess.TimeoutExpired:
            warn(f"time-out after {spec.timeout:g} s")
            status = STATUS_TIMEOUT
        except OSError as error:
            warn(f"{spec.command[0]}: {error.strerror}")
            status = 127
    for line in _kernel_messages(log):
        kernel.line(line)
    os.close(log)
    sys.stdout.flush()
    failure = verdict.first_failure(kernel.failures, spec.tolerated)
    if failure:
        warn(f"the machine failed: {failure[0]}: {failure[1]} (log: dmesg)")
        return STATUS_MACHINE
    return status if status >= 0 else 128 - status
