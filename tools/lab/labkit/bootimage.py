# SPDX-License-Identifier: GPL-2.0-only
"""What lies in the emulated machine's memory when its boot ROM takes over from the BIOS.

The emulator puts files straight into memory, so there is no boot medium and no boot loader: this
module lays out a Linux kernel by the 64-bit boot protocol (or a bare 64-bit program, for the
probes), with its page tables and parameters.  boot/rom.S knows BOOT_INFO and its fields.
"""

import dataclasses
import pathlib
import struct

from labkit import host, paths
from labkit.say import LabError

ROM_ADDRESS = 0xd0000
BOOT_INFO = 0x100000            # this page, then what follows it here
PAGE_TABLES = BOOT_INFO + 0x1000
PARAMS = BOOT_INFO + 0x8000
COMMAND_LINE = BOOT_INFO + 0x9000
COMMAND_LINE_MAX = 2047         # of the kernel
PROGRAM = 0x200000              # a bare program
KERNEL = 0x1000000              # the address Debian's kernels prefer; packed ones go there
INITRAMFS = 0x8000000
FIRST_GIGABYTES = 4             # mapped one to one

SEAL = b"LAB-SEAL"              # after each image: shows that it is contiguous in memory
MAGIC = b"LAB-BOOT"

# the zero page ("Zero Page" and "The Linux/x86 Boot Protocol" of the kernel's documentation)
ZP_SETUP_HEADER = 0x1f1
ZP_SETUP_SECTS = 0x1f1
ZP_HEADER_END = 0x201           # offset of the byte that says how long the header is
ZP_MAGIC = 0x202
ZP_LOADER = 0x210
ZP_RAMDISK = 0x218
ZP_COMMAND_LINE = 0x228
ZP_XLOADFLAGS = 0x236
XLF_KERNEL_64 = 1
LOADER_UNDEFINED = 0xff
ENTRY_64 = 0x200                # of the 64-bit entry point from the start of the kernel


@dataclasses.dataclass
class Flat:
    """A sealed image ready to be put into memory."""

    path: pathlib.Path
    address: int            # physical
    entry: int              # offset of the 64-bit entry point
    seal: int               # offset of the seal


def rom():
    """The boot ROM, assembled once."""
    source = paths.LAB / "boot/rom.S"
    final = paths.cache("boot", paths.digest(source))
    if not final.exists():
        with paths.lock("boot-rom"):
            if not final.exists():
                with paths.build_dir(final) as scratch:
                    _assemble_rom(source, scratch)
    return final / "rom.bin"


def _assemble_rom(source, scratch):
    host.run(["gcc", "-c", "-o", scratch / "rom.o", source])
    host.run(["ld", f"-Ttext={ROM_ADDRESS:#x}", "-e", "rom", "--oformat", "binary",
              "-o", scratch / "rom.bin", scratch / "rom.o"])
    image = bytearray((scratch / "rom.bin").read_bytes())
    image[-1] = -sum(image) & 0xff
    (scratch / "rom.bin").write_bytes(image)


def seal(path, data):
    """Write one image, sealed; returns where its seal lies relative to its start."""
    pad = -len(data) % 8
    path.write_bytes(data + bytes(pad) + SEAL)
    return len(data) + pad


def linux(run, kernel, initramfs, command_line):
    """Lay out a Linux kernel below the directory `run`; returns [(file, address)]."""
    header = kernel.image.read_bytes()
    if header[ZP_MAGIC:ZP_MAGIC + 4] != b"HdrS":
        raise LabError(f"{kernel.image}: not a bzImage")
    if not struct.unpack_from("<H", header, ZP_XLOADFLAGS)[0] & XLF_KERNEL_64:
        raise LabError(f"{kernel.image}: has no 64-bit entry point")
    if len(command_line) > COMMAND_LINE_MAX:
        raise LabError("the kernel's command line is too long")
    flat = kernel.flat or _packed(run, header)

    params = bytearray(4096)
    header_end = ZP_MAGIC + header[ZP_HEADER_END]
    params[ZP_SETUP_HEADER:header_end] = header[ZP_SETUP_HEADER:header_end]
    params[ZP_LOADER] = LOADER_UNDEFINED
    struct.pack_into("<II", params, ZP_RAMDISK, INITRAMFS, len(initramfs))
    struct.pack_into("<I", params, ZP_COMMAND_LINE, COMMAND_LINE)

    seals = [flat.address + flat.seal,
             INITRAMFS + seal(run / "initramfs.img", initramfs)]
    info = _boot_info(flat.address + flat.entry, PARAMS, seals)
    _place(info, PARAMS, params)
    _place(info, COMMAND_LINE, command_line.encode() + b"\0")
    (run / "boot.img").write_bytes(info)
    return [(run / "boot.img", BOOT_INFO), (flat.path, flat.address),
            (run / "initramfs.img", INITRAMFS)]


def _packed(run, bzimage):
    """The kernel as it is shipped: it unpacks itself."""
    setup = (bzimage[ZP_SETUP_SECTS] + 1) * 512
    return Flat(run / "kernel.img", KERNEL, ENTRY_64, seal(run / "kernel.img", bzimage[setup:]))


def program(run, code):
    """Lay out a bare 64-bit program, entered at its first byte; returns [(file, address)]."""
    seals = [PROGRAM + seal(run / "program.img", code)]
    (run / "boot.img").write_bytes(_boot_info(PROGRAM, 0, seals))
    return [(run / "boot.img", BOOT_INFO), (run / "program.img", PROGRAM)]


def _place(info, address, data):
    start = address - BOOT_INFO
    if len(info) < start + len(data):
        info.extend(bytes(start + len(data) - len(info)))
    info[start:start + len(data)] = data


def _boot_info(entry, params, seals):
    info = bytearray()
    head = MAGIC + struct.pack("<4Q", PAGE_TABLES, entry, params, len(seals))
    for address in seals:
        head += struct.pack("<Q", address) + SEAL
    _place(info, BOOT_INFO, head)
    _place(info, PAGE_TABLES, _page_tables())
    return info


def _page_tables():
    """An identity map by 2 MiB pages: one PML4, one PDPT, one page directory per gigabyte."""
    present_writable, large = 3, 0x80
    pdpt = PAGE_TABLES + 0x1000
    directory = PAGE_TABLES + 0x2000
    tables = struct.pack("<Q", pdpt | present_writable).ljust(4096, b"\0")
    tables += b"".join(struct.pack("<Q", directory + 4096 * i | present_writable)
                       for i in range(FIRST_GIGABYTES)).ljust(4096, b"\0")
    tables += b"".join(struct.pack("<Q", i << 21 | present_writable | large)
                       for i in range(FIRST_GIGABYTES * 512))
    return tables
