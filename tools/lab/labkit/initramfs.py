# SPDX-License-Identifier: GPL-2.0-only
"""What the machine's file system holds: busybox, init and the agent, modules, tools, --add files.

Everything is in one uncompressed archive made anew for each run; nothing in it outlives the run.
"""

import pathlib
import subprocess

from labkit import apt, cpio, elf, host, paths, programs
from labkit.say import LabError

BUSYBOX_SUITE = "bookworm"
TOOLS = paths.REPO / "build/bin"
DIRECTORIES = ("dev", "etc", "lab/bin", "mnt", "proc", "root", "run", "sbin", "sys", "tmp",
               "usr/bin", "usr/sbin", "var/log")


def _busybox():
    """(path, names of its commands)"""
    final = paths.cache("busybox")
    if not final.exists():
        with paths.lock("busybox"):
            if not final.exists():
                with paths.build_dir(final) as scratch:
                    apt.Suite(BUSYBOX_SUITE).extract(["busybox-static"], scratch)
                    binary = next(p for p in (scratch / "bin/busybox", scratch / "usr/bin/busybox")
                                  if p.exists())
                    names = subprocess.run([binary, "--list"], stdout=subprocess.PIPE, check=True)
                    (scratch / "busybox").write_bytes(binary.read_bytes())
                    (scratch / "names").write_bytes(names.stdout)
    return final / "busybox", (final / "names").read_text().split()


def _agent():
    """The agent, compiled once."""
    source = paths.LAB / "guest/agent.c"
    final = paths.cache("agent", paths.digest(source))
    if not final.exists():
        with paths.lock("agent"):
            if not final.exists():
                with paths.build_dir(final) as scratch:
                    host.run(["gcc", "-O2", "-Wall", "-Wextra", "-static",
                              "-o", scratch / "agent", source])
    return final / "agent"


def prepare():
    """Fetch and build what every run needs."""
    return _busybox(), _agent()


def _add_program(archive, source, inside, root="/"):
    archive.file(inside, source.read_bytes(), source.stat().st_mode & 0o777 | 0o400)
    if elf.is_elf(source):
        for library, where in elf.libraries(source, root):
            archive.file(where, library.read_bytes(), 0o755)


def add_path(archive, argument):
    """--add HOSTPATH[:GUESTPATH].  A program brings its libraries; a directory all it holds."""
    source, _, inside = argument.partition(":")
    source = pathlib.Path(source)
    if not source.exists():
        raise LabError(f"--add {argument}: {source} is not there")
    source = source.resolve()
    name = pathlib.Path(argument.partition(":")[0]).name or source.name
    if inside and not inside.startswith("/"):
        raise LabError(f"--add {argument}: the path in the machine must be absolute")
    if not inside:
        inside = f"/lab/bin/{name}"
    elif inside.endswith("/"):
        inside += name
    if not source.is_dir():
        _add_program(archive, source, inside)
        return
    archive.copy(source, inside)
    for file in sorted(source.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.stat().st_mode & 0o100 \
                and elf.is_elf(file):
            for library, where in elf.libraries(file):
                archive.file(where, library.read_bytes(), 0o755)


def build(modules, parameters, command, added, asked=(), terminal=None):
    """The archive's bytes.

    modules: [(name, bytes)] in the order of loading; parameters go to the last of them.
    command: the words to run.  asked: Debian's programs (programs.PROGRAMS) to have on the PATH
    besides those that the command names.  terminal: the name of the tty it is to run on, for a session.
    """
    archive = cpio.Archive()
    for directory in DIRECTORIES:
        archive.directory(directory)
    archive.directory("tmp", 0o1777)
    archive.char_device("dev/console", 5, 1)
    archive.char_device("dev/null", 1, 3, 0o666)
    # Added files come first: the user may replace anything but what the lab itself runs.
    archive.file("init", (paths.LAB / "guest/init").read_bytes(), 0o755)
    archive.file("lab/bin/agent", _agent().read_bytes(), 0o755)
    for argument in added:
        add_path(archive, argument)
    if TOOLS.is_dir():
        for tool in sorted(TOOLS.iterdir()):
            if tool.is_file():
                _add_program(archive, tool, f"/lab/bin/{tool.name}")

    for name in sorted(programs.wanted(command) | set(asked)):
        programs.add(archive, name)
    busybox, names = _busybox()
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    for name in names:
        archive.link(f"bin/{name}", "busybox")
    archive.link("usr/bin/env", "/bin/busybox")
    archive.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n"
                               b"nobody:x:65534:65534:nobody:/:/bin/sh\n")
    archive.file("etc/group", b"root:x:0:\ntty:x:5:\nkvm:x:104:\nnogroup:x:65534:\n")

    lines = [f"/lab/modules.d/{name}" for name, _ in modules]
    if lines:
        lines[-1] += "".join(" " + parameter for parameter in parameters)
    for name, data in modules:
        archive.file(f"lab/modules.d/{name}", data)
    archive.file("lab/modules", "".join(line + "\n" for line in lines).encode())
    archive.file("lab/command", b"".join(word.encode() + b"\0" for word in command))
    if terminal:
        archive.file("lab/shell", terminal.encode())
    return bytes(archive)
