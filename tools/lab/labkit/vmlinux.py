# SPDX-License-Identifier: GPL-2.0-only
"""A kernel unpacked on the host, once, so that no boot has to do it in the emulator.

Unpacking takes the emulated CPU a second (lz4) to ten (zstd).  The result is a flat image of the
kernel's segments as they lie in physical memory, entered at its first 64-bit instruction.
"""

import gzip
import lzma
import shutil
import struct
import subprocess

from labkit.say import progress

# fields of the setup header ("The Linux/x86 Boot Protocol")
SETUP_SECTS = 0x1f1
PAYLOAD_OFFSET = 0x248
SIZE_TRAILER = 4                # the payload ends in the unpacked size

PT_LOAD = 1
MAX_SIZE = 112 << 20            # what lies between the kernel's and the initramfs's address

TOOLS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x02\x21\x4c\x18": "lz4"}


def flatten(bzimage, find_tool):
    """(flat image, its physical address, offset of the entry point), or None if it can't be done.

    find_tool(name) gives the path of zstd or lz4, or None.
    """
    packed = bzimage.read_bytes()
    start = (packed[SETUP_SECTS] + 1) * 512
    offset, length = struct.unpack_from("<II", packed, PAYLOAD_OFFSET)
    payload = packed[start + offset:start + offset + length - SIZE_TRAILER]
    elf = _unpack(payload, find_tool)
    if not elf or elf[:4] != b"\x7fELF":
        progress(f"{bzimage.name} stays packed: its boot takes longer")
        return None
    return _segments(elf)


def _unpack(payload, find_tool):
    if payload[:2] == b"\x1f\x8b":
        return gzip.decompress(payload)
    if payload[:6] == b"\xfd7zXZ\0":
        return lzma.decompress(payload)
    name = TOOLS.get(payload[:4])
    tool = name and (shutil.which(name) or find_tool(name))
    if not tool:
        return None
    done = subprocess.run([tool, "-dc", "-"], input=payload, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    return done.stdout if done.returncode == 0 else None


def _segments(elf):
    entry, headers = struct.unpack_from("<QQ", elf, 24)
    size, count = struct.unpack_from("<HH", elf, 54)
    loads = []
    for i in range(count):
        kind, _, at, _, physical, length = struct.unpack_from("<IIQQQQ", elf, headers + i * size)
        if kind == PT_LOAD and length:
            loads.append((physical, elf[at:at + length]))
    base = min(physical for physical, _ in loads)
    flat = bytearray(max(physical + len(data) for physical, data in loads) - base)
    if len(flat) > MAX_SIZE:
        return None
    for physical, data in loads:
        flat[physical - base:physical - base + len(data)] = data
    return bytes(flat), base, entry - base
