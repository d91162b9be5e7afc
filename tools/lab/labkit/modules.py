# SPDX-License-Identifier: GPL-2.0-only
"""Kernel modules to load in the machine: ours, and the kernel's own with what they depend on."""

import lzma
import os
import pathlib
import re
import subprocess
import tempfile

from labkit import host, paths
from labkit.say import LabError

OURS = "apicvisor"
SIGNATURE_MARK = b"~Module signature appended~\n"
SIGNATURE_INFO = 12             # bytes before the mark; the last four are the signature's length


def _kernels_own(kernel, name):
    """(file name, bytes) of a module of the kernel's package."""
    pattern = re.sub("[-_]", "[-_]", name) + ".ko*"
    found = sorted(kernel.modules.rglob(pattern))
    if not found:
        raise LabError(f"kernel {kernel.release} has no module {name}")
    data = found[0].read_bytes()
    if found[0].suffix == ".xz":
        data = lzma.decompress(data)
    return name.replace("-", "_") + ".ko", unsigned(data)


def unsigned(data):
    """The module without its signature: checking it would take seconds in the emulator."""
    if not data.endswith(SIGNATURE_MARK):
        return data
    end = len(data) - len(SIGNATURE_MARK)
    return data[:end - SIGNATURE_INFO - int.from_bytes(data[end - 4:end], "big")]


def _depends(data):
    """The names in a module's own list of what it needs."""
    found = re.search(rb"\0depends=([^\0]*)\0", data)
    return [name for name in found.group(1).decode().split(",") if name] if found else []


def build_ours(kernel, name=f"{OURS}.ko"):
    """Build our module for a kernel with the project's own Makefile; returns its path.

    name is the path below build/RELEASE: apicvisor.ko, or a module that tests load.
    """
    module = paths.REPO / "build" / kernel.release / name
    target = "module" if module.stem == OURS else "test-modules"
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")}
    if (paths.REPO / "Makefile").exists():
        kernel.kdir     # fetched before make asks for it
        host.run(["make", "-s", "-C", paths.REPO, target, f"KERNEL={kernel.name}"],
                 env=environment)
    if not module.exists():
        raise LabError(f"{module} is not there: make {target} KERNEL={kernel.name}")
    return module


def stripped(path):
    """The bytes of a module of ours as a distribution has them: without debugging information.

    Also without names for the padding before functions (kernels from 6.2). They double the symbols,
    and for each traceable function a kernel goes through all of these when it loads a module.
    """
    with tempfile.NamedTemporaryFile(suffix=".ko") as file:
        host.run(["strip", "--strip-debug", "--wildcard", "--strip-symbol=__pfx_*",
                  "-o", file.name, path])
        return pathlib.Path(file.name).read_bytes()


def collect(kernel, wanted, build=True):
    """[(file name, bytes)] in the order of loading, for --module.

    wanted is "none", "apicvisor", the name of one of the kernel's modules or the path of a .ko.
    """
    if wanted == "none":
        return []
    if wanted == OURS:
        path = build_ours(kernel) if build else paths.REPO / "build" / kernel.release / "apicvisor.ko"
        first = (path.name, stripped(path))
    elif wanted.endswith(".ko"):
        with open(wanted, "rb") as file:
            first = (os.path.basename(wanted), file.read())
    else:
        first = _kernels_own(kernel, wanted)
    ordered, todo = [first], _depends(first[1])
    while todo:
        module = _kernels_own(kernel, todo.pop(0))
        ordered = [m for m in ordered if m[0] != module[0]]
        ordered.insert(0, module)
        todo += _depends(module[1])
    return ordered


def loaded_here(name):
    """True if a module is loaded in the running system."""
    listing = subprocess.run(["lsmod"], stdout=subprocess.PIPE, text=True, check=False).stdout
    return any(line.split()[0] == name.replace("-", "_") for line in listing.splitlines())
