# SPDX-License-Identifier: GPL-2.0-only
"""QEMU inside the machine, as a VMM for the module under test: `qemu-7.2` and `qemu-10.0` on the
PATH, and `qemu-system-x86_64`, which is the newer.

They come from Debian releases that need not be the host's, so each lives apart with its own loader
and libraries.  In the machine only if the command asks for it: tens of megabytes each.
"""

import pathlib

from labkit import apt, elf, paths
from labkit.say import progress

PROGRAM = "qemu-system-x86_64"
SUITES = {"7.2": "bookworm", "10.0": "trixie"}  # the release that has the version
NEWEST = "10.0"
FIRMWARE = ("bios-256k.bin", "bios.bin", "bios-microvm.bin", "kvmvapic.bin", "linuxboot.bin",
            "linuxboot_dma.bin", "multiboot.bin", "multiboot_dma.bin", "pvh.bin",
            "vgabios-stdvga.bin", "efi-virtio.rom")
WRAPPER = """\
#!/bin/sh
exec {home}/lib/ld-linux-x86-64.so.2 --library-path {home}/lib {home}/{program} \\
	-L {home}/share "$@"
"""


def wanted(command):
    """The versions that the words of the command name, as a set."""
    text = " ".join(command)
    versions = {version for version in SUITES if f"qemu-{version}" in text}
    return versions | ({NEWEST} if PROGRAM in text else set())


def _tree(version):
    """The unpacked packages."""
    final = paths.cache(f"qemu-{version}")
    if not final.exists():
        with paths.lock(f"qemu-{version}"):
            if not final.exists():
                suite = apt.Suite(SUITES[version])
                packages = suite.closure(["qemu-system-x86"])
                progress(f"QEMU {version} for the machine: {len(packages)} packages")
                with paths.build_dir(final) as scratch:
                    suite.extract(packages, scratch)
    return final


def add(archive, version):
    """Put it into an initramfs."""
    tree = _tree(version)
    home = f"/opt/qemu-{version}"
    program = tree / "usr/bin" / PROGRAM
    archive.file(f"{home}/{PROGRAM}", program.read_bytes(), 0o755)
    for library, inside in elf.libraries(program, tree):
        archive.file(f"{home}/lib/{pathlib.Path(inside).name}", library.read_bytes(), 0o755)
    for name in FIRMWARE:
        found = next((p for p in (tree / "usr/share/qemu" / name, tree / "usr/share/seabios" / name)
                      if p.exists()), None)
        if found:
            archive.file(f"{home}/share/{name}", _follow(found, tree).read_bytes())
    wrapper = WRAPPER.format(home=home, program=PROGRAM).encode()
    archive.file(f"lab/bin/qemu-{version}", wrapper, 0o755)
    if version == NEWEST:
        archive.file(f"lab/bin/{PROGRAM}", wrapper, 0o755)


def _follow(path, root):
    """The file a link leads to, with absolute targets taken from `root`."""
    while path.is_symlink():
        target = path.readlink()
        path = root / str(target).lstrip("/") if target.is_absolute() else path.parent / target
    return path
