# SPDX-License-Identifier: GPL-2.0-only
"""The Bochs emulator, built from Debian's source with the project's patches, and its firmware.

A build is known by the hash of all that goes into it: the source version, the patches, the
configuration and the compiler.  BOCHS= names another binary, which must carry the patches too.
"""

import os
import pathlib
import shutil
import subprocess

from labkit import apt, host, paths
from labkit.say import LabError, progress

SUITE = "trixie"                # has Bochs 3.0; the snapshot after it miscomputes in early boot
FIRMWARE_SUITE = "bookworm"
PATCHES = paths.LAB / "patches"
PROFILE = paths.LAB / "profile"     # our hooks for Bochs's instrumentation, and a clock for them

CONFIGURE = [
    "--enable-smp", "--enable-cpu-level=6", "--enable-x86-64", "--enable-vmx=2",
    "--enable-avx", "--enable-evex", "--enable-pci", "--enable-memtype",
    "--enable-protection-keys", "--enable-a20-pin", "--enable-all-optimizations",
    "--with-nogui", "--disable-plugins", "--disable-docbook",
    "--disable-show-ips",       # its signal handler logs: a deadlock when the log is in use
    "CFLAGS=-O2 -g0", "CXXFLAGS=-O2 -g0",
]


def emulator(patched=True, profile=False):
    """The path of the Bochs binary, built if need be.

    patched=False gives Debian's source as it is: what the probes are shown to fail on.
    profile=True gives the one that counts instructions, which is slower.
    """
    other = os.environ.get("BOCHS")
    if other and patched and not profile:
        if not os.access(other, os.X_OK):
            raise LabError(f"BOCHS={other}: not an executable file")
        return pathlib.Path(other)
    patches = sorted(PATCHES.glob("*.patch")) if patched else []
    version = _pinned_version()
    compiler = subprocess.run(["g++", "--version"], stdout=subprocess.PIPE, text=True,
                              check=True).stdout.splitlines()[0]
    hooks = sorted(PROFILE.iterdir()) if profile else []
    name = paths.digest(version, compiler, "\n".join(CONFIGURE), *patches, *hooks)
    final = paths.cache("bochs", name)
    if not final.exists():
        with paths.lock(f"bochs-{name}"):
            if not final.exists():
                with paths.build_dir(final) as scratch:
                    _build(version, patches, hooks, scratch, final.with_suffix(".log"))
    return final / "bochs"


def firmware():
    """The paths of the BIOS and the VGA BIOS."""
    final = paths.cache("firmware")
    if not final.exists():
        with paths.lock("firmware"):
            if not final.exists():
                with paths.build_dir(final) as scratch:
                    apt.Suite(FIRMWARE_SUITE).extract(["bochsbios", "vgabios"], scratch)
    return final / "usr/share/bochs/BIOS-bochs-latest", final / "usr/share/vgabios/vgabios.bin"


def _pinned_version():
    record = paths.cache("bochs", "version")
    with paths.lock("bochs-version"):
        if not record.exists():
            record.write_text(apt.Suite(SUITE).source_version("bochs"), encoding="ascii")
        return record.read_text()


def _instrument(tree, hooks):
    """Put our hooks where Bochs builds its instrumentation; returns the option that says so."""
    directory = tree / "instrument" / PROFILE.name
    directory.mkdir()
    shutil.copy(tree / "instrument/stubs/Makefile.in", directory)
    for hook in hooks:
        shutil.copy(hook, directory)
    return [f"--enable-instrumentation=instrument/{PROFILE.name}"]


def _build(version, patches, hooks, scratch, log):
    kind = f"{len(patches)} patches of ours" if patches else "no patch of ours"
    if hooks:
        kind += ", counting instructions"
    progress(f"building Bochs {version} with {kind}: about a minute on two processors")
    tree = apt.Suite(SUITE).source("bochs", scratch)
    for patch in [*patches, *(hook for hook in hooks if hook.suffix == ".patch")]:
        apt.apply_patch(tree, patch)
    log.unlink(missing_ok=True)
    options = CONFIGURE + (_instrument(tree, hooks) if hooks else [])
    host.run(["./configure", *options], log=log, cwd=tree)
    jobs = min(os.cpu_count() or 1, 4)
    host.run(["make", f"-j{jobs}", "bochs"], log=log, cwd=tree)
    host.run(["strip", tree / "bochs"])
    (tree / "bochs").rename(scratch / "bochs")
    (tree / "COPYING").rename(scratch / "COPYING")
    for leftover in scratch.iterdir():
        if leftover.is_dir():
            shutil.rmtree(leftover)
        elif leftover.name not in ("bochs", "COPYING"):
            leftover.unlink()
