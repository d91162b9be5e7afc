# SPDX-License-Identifier: GPL-2.0-only
"""The machine the lab runs on: its commands, and which Debian package each comes from.

Set-up asks for everything it needs in one go, so that the user sees one apt-get line.
"""

import ctypes
import os
import shutil
import signal
import subprocess

from labkit.say import LabError, progress

# command -> Debian package
COMMANDS = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "gcc": "gcc",
    "g++": "g++",
    "make": "make",
    "patch": "patch",
    "xz": "xz-utils",
    "tar": "tar",
    "ld": "binutils",
}

# file -> Debian package, for what is no command
FILES = {
    "/usr/include/stdio.h": "libc6-dev",
    "/usr/include/linux/kvm.h": "linux-libc-dev",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}


def missing_packages():
    """The Debian packages that are needed and not there, sorted."""
    missing = {package for command, package in COMMANDS.items() if not shutil.which(command)}
    missing |= {package for path, package in FILES.items() if not os.path.exists(path)}
    return sorted(missing)


def require(install=False):
    """Raise LabError with the apt-get line if a package is missing; as root, install it."""
    missing = missing_packages()
    if not missing:
        return
    line = "apt-get install --no-install-recommends " + " ".join(missing)
    if install and os.geteuid() == 0:
        progress(line)
        run(["apt-get", "update"])
        run(["apt-get", "install", "-y", "--no-install-recommends", *missing],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        if not missing_packages():
            return
    raise LabError(f"packages are missing: {line}")


PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def start(command, **options):
    """Start a long-lived child that does not outlive us, however we end."""
    def die_with_parent():
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True,
                            preexec_fn=die_with_parent, **options)


def run(command, log=None, **options):
    """Run a command of set-up.  Its output goes to the file `log`, else is kept and returned.

    Raises LabError with the last line it printed if it fails.
    """
    if log:
        with open(log, "ab") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT,
                                  stdin=subprocess.DEVNULL, check=False, **options)
        said = log.read_text(errors="replace")
    else:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, check=False, text=True,
                              errors="replace", **options)
        said = done.stdout
    if done.returncode:
        last = (said.strip().splitlines() or ["no output"])[-1]
        where = f" (see {log})" if log else ""
        raise LabError(f"{' '.join(map(str, command))}: status {done.returncode}: {last}{where}")
    return said
