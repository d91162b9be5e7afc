# SPDX-License-Identifier: GPL-2.0-only
"""Which shared libraries a program needs, read from its ELF file.

Reading instead of running the loader works for programs of another release (those the lab fetches)
and never executes what the user only asked to have copied.  x86-64 only.
"""

import os
import pathlib
import struct

from labkit.say import LabError

PT_DYNAMIC, PT_INTERP = 2, 3
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH, PT_LOAD = 1, 5, 15, 29, 1
LIBRARY_DIRS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib",
                "usr/lib", "usr/local/lib")


def is_elf(path):
    """True for a file that starts as ELF files do."""
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def _describe(path):
    """(interpreter or None, names needed, directories to search first)"""
    data = pathlib.Path(path).read_bytes()
    if data[4] != 2 or struct.unpack_from("<H", data, 18)[0] != 62:
        raise LabError(f"{path}: not a program for x86-64")
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    loads, interp, dynamic = [], None, b""
    for i in range(count):
        kind, _, at, address, _, length = struct.unpack_from("<IIQQQQ", data, offset + i * size)
        if kind == PT_LOAD:
            loads.append((address, at, length))
        elif kind == PT_INTERP:
            interp = data[at:at + length].rstrip(b"\0").decode()
        elif kind == PT_DYNAMIC:
            dynamic = data[at:at + length]
    entries = [struct.unpack_from("<QQ", dynamic, i) for i in range(0, len(dynamic), 16)]
    strings = next((value for tag, value in entries if tag == DT_STRTAB), 0)
    strings = next((at + strings - a for a, at, n in loads if a <= strings < a + n), strings)

    def string(position):
        start = strings + position
        return data[start:data.index(b"\0", start)].decode()

    needed = [string(value) for tag, value in entries if tag == DT_NEEDED]
    search = [string(value) for tag, value in entries if tag in (DT_RPATH, DT_RUNPATH)]
    origin = str(pathlib.Path(path).parent)
    return interp, needed, [d.replace("$ORIGIN", origin) for s in search for d in s.split(":")]


def _configured_dirs(root):
    """What the root's /etc/ld.so.conf.d adds."""
    dirs = []
    for conf in sorted(pathlib.Path(root, "etc/ld.so.conf.d").glob("*.conf")):
        dirs += [line.strip().lstrip("/") for line in conf.read_text().splitlines()
                 if line.startswith("/")]
    return dirs


def libraries(program, root="/"):
    """[(host path, path in the machine)] of the loader and all libraries of a program.

    root is the file system that the libraries come from.  LabError if one is not there.
    """
    found, todo = {}, [pathlib.Path(program)]
    standard = [os.path.join(root, d) for d in (*LIBRARY_DIRS, *_configured_dirs(root))]
    while todo:
        path = todo.pop()
        interp, needed, own = _describe(path)
        if interp and interp not in found:
            # a tree of unpacked packages has no link from /lib64 to /usr/lib64
            places = (pathlib.Path(root, part + interp) for part in (".", "./usr"))
            found[interp] = next((place for place in places if place.exists()), None)
            if not found[interp]:
                raise LabError(f"{program}: its loader {interp} is not there")
        for name in needed:
            if any(pathlib.PurePosixPath(inside).name == name for inside in found):
                continue
            library = next((d for d in (os.path.join(s, name) for s in (*own, *standard))
                            if os.path.exists(d)), None)
            if not library:
                raise LabError(f"{program}: its library {name} is not there")
            inside = "/" + os.path.relpath(library, root)
            found[inside] = pathlib.Path(library)
            todo.append(found[inside])
    return [(path, inside) for inside, path in found.items()]
