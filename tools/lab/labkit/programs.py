# SPDX-License-Identifier: GPL-2.0-only
"""Programs of Debian's inside the machine, unmodified: QEMU, a VMM for the module under test, as
`qemu-7.2` and `qemu-10.0` (and `qemu-system-x86_64`, which is the newer), and `gdb`, its debugger.

They come from Debian releases that need not be the host's, so each lives apart with its own loader
and libraries.  In the machine only if they are asked for: tens of megabytes each.
"""

import pathlib
import typing

from labkit import apt, elf, paths
from labkit.say import progress


class Program(typing.NamedTuple):
    """Where one comes from, and how it is started."""

    suite: str              # the release that has this version
    package: str
    path: str               # in the package
    options: str = ""       # that it needs here; {home} is where it lives
    data: tuple = ()        # files beside it: name, in any of its package's data directories


QEMU = "qemu-system-x86_64"
QEMU_NEWEST = "qemu-10.0"
FIRMWARE = ("bios-256k.bin", "bios.bin", "bios-microvm.bin", "kvmvapic.bin", "linuxboot.bin",
            "linuxboot_dma.bin", "multiboot.bin", "multiboot_dma.bin", "pvh.bin",
            "vgabios-stdvga.bin", "efi-virtio.rom")
DATA_DIRS = ("usr/share/qemu", "usr/share/seabios")
PROGRAMS = {
    **{name: Program(suite, "qemu-system-x86", f"usr/bin/{QEMU}", "-L {home}/share", FIRMWARE)
       for name, suite in (("qemu-7.2", "bookworm"), ("qemu-10.0", "trixie"))},
    "gdb": Program("bookworm", "gdb-minimal", "usr/bin/gdb"),
}
WRAPPER = """\
#!/bin/sh
exec {home}/lib/ld-linux-x86-64.so.2 --library-path {home}/lib {home}/{program} {options} "$@"
"""


def wanted(command):
    """The versions of QEMU that the words of the command name, as a set of our names."""
    text = " ".join(command)
    names = {name for name in PROGRAMS if name.startswith("qemu-") and name in text}
    return names | ({QEMU_NEWEST} if QEMU in text else set())


def _tree(name):
    """The unpacked packages."""
    final = paths.cache(name)
    if not final.exists():
        with paths.lock(name):
            if not final.exists():
                suite = apt.Suite(PROGRAMS[name].suite)
                packages = suite.closure([PROGRAMS[name].package])
                progress(f"{name} for the machine: {len(packages)} packages")
                with paths.build_dir(final) as scratch:
                    suite.extract(packages, scratch)
    return final


def add(archive, name):
    """Put it into an initramfs."""
    program, tree, home = PROGRAMS[name], _tree(name), f"/opt/{name}"
    path = tree / program.path
    archive.file(f"{home}/{path.name}", path.read_bytes(), 0o755)
    for library, inside in elf.libraries(path, tree):
        archive.file(f"{home}/lib/{pathlib.Path(inside).name}", library.read_bytes(), 0o755)
    for file in program.data:
        found = next((p for p in (tree / part / file for part in DATA_DIRS) if p.exists()), None)
        if found:
            archive.file(f"{home}/share/{file}", _follow(found, tree).read_bytes())
    wrapper = WRAPPER.format(home=home, program=path.name,
                             options=program.options.format(home=home)).encode()
    archive.file(f"lab/bin/{name}", wrapper, 0o755)
    if name == QEMU_NEWEST:
        archive.file(f"lab/bin/{QEMU}", wrapper, 0o755)


def _follow(path, root):
    """The file a link leads to, with absolute targets taken from `root`."""
    while path.is_symlink():
        target = path.readlink()
        path = root / str(target).lstrip("/") if target.is_absolute() else path.parent / target
    return path
