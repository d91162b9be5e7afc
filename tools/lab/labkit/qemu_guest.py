# SPDX-License-Identifier: GPL-2.0-only
"""QEMU inside the machine, as a VMM for the module under test.

It comes from a newer Debian release than the host's libraries may, so it lives apart with its own
loader and libraries; a wrapper on the PATH runs it.  In the machine only if the command asks for
it: it is tens of megabytes.
"""

import pathlib

from labkit import apt, elf, paths
from labkit.say import progress

SUITE = "trixie"
PROGRAM = "qemu-system-x86_64"
HOME = "/opt/qemu"
FIRMWARE = ("bios-256k.bin", "bios.bin", "bios-microvm.bin", "kvmvapic.bin", "linuxboot.bin",
            "linuxboot_dma.bin", "multiboot.bin", "multiboot_dma.bin", "pvh.bin",
            "vgabios-stdvga.bin", "efi-virtio.rom")
WRAPPER = f"""\
#!/bin/sh
exec {HOME}/lib/ld-linux-x86-64.so.2 --library-path {HOME}/lib {HOME}/{PROGRAM} \\
	-L {HOME}/share "$@"
"""


def wanted(command):
    """True if a word of the command names it."""
    return any(PROGRAM in word for word in command)


def _tree():
    """The unpacked packages."""
    final = paths.cache("qemu")
    if not final.exists():
        with paths.lock("qemu"):
            if not final.exists():
                suite = apt.Suite(SUITE)
                packages = suite.closure(["qemu-system-x86"])
                progress(f"QEMU for the machine: {len(packages)} packages")
                with paths.build_dir(final) as scratch:
                    suite.extract(packages, scratch)
    return final


def add(archive):
    """Put it into an initramfs."""
    tree = _tree()
    program = tree / "usr/bin" / PROGRAM
    archive.file(f"{HOME}/{PROGRAM}", program.read_bytes(), 0o755)
    for library, inside in elf.libraries(program, tree):
        archive.file(f"{HOME}/lib/{pathlib.Path(inside).name}", library.read_bytes(), 0o755)
    for name in FIRMWARE:
        found = next((p for p in (tree / "usr/share/qemu" / name, tree / "usr/share/seabios" / name)
                      if p.exists()), None)
        if found:
            archive.file(f"{HOME}/share/{name}", _follow(found, tree).read_bytes())
    archive.file(f"lab/bin/{PROGRAM}", WRAPPER.encode(), 0o755)


def _follow(path, root):
    """The file a link leads to, with absolute targets taken from `root`."""
    while path.is_symlink():
        target = path.readlink()
        path = root / str(target).lstrip("/") if target.is_absolute() else path.parent / target
    return path
