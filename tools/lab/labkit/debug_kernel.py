# SPDX-License-Identifier: GPL-2.0-only
"""The debug kernel: Debian's source of the default kernel with every checker we can use.

Lockdep, RCU and sleep checks, KASAN, kmemleak, object and list debugging; debug.config is the whole
of its configuration on top of "nothing".  It is built once, in the cache, and never by `lab setup`:
it takes five minutes and only `make check-debug` wants it.  A build is known by the hash of all that
goes into it: source version, configuration and compiler.
"""

import os
import pathlib
import shutil
import subprocess

from labkit import apt, host, kernels, paths
from labkit.say import LabError, progress

NAME = "debug"
SUITE = "bookworm"
SOURCE = "linux-source-6.1"
FRAGMENT = paths.LAB / "debug.config"

# what a kernel's build needs beyond host.COMMANDS and host.FILES
COMMANDS = {"flex": "flex", "bison": "bison", "bc": "bc"}
FILES = {"/usr/include/gelf.h": "libelf-dev"}

# what stays of the tree: enough to build modules against
KEPT = ("Makefile", "Kbuild", ".config", "Module.symvers", "System.map",
        "arch/x86", "include", "scripts", "tools/objtool")


def choose(name):
    """The kernel that --kernel NAME means: this one, or one of Debian's own."""
    if name == NAME:
        return DebugKernel()
    return kernels.Kernel(name)


class DebugKernel:
    """Has the interface of kernels.Kernel."""

    name = NAME
    flat = None             # it boots from the bzImage
    slowness = 10           # so that time-outs and the share of the clock's ticks stay as they are

    def __init__(self):
        self.suite = apt.Suite(SUITE)
        self._record = paths.cache("kernels", NAME + ".version")

    @property
    def root(self):
        """The directory of the build; builds it if need be."""
        compiler = subprocess.run(["gcc", "--version"], stdout=subprocess.PIPE, text=True,
                                  check=True).stdout.splitlines()[0]
        version = self._version()
        final = paths.cache("kernels", f"{NAME}-{paths.digest(version, compiler, FRAGMENT)}")
        if not final.exists():
            with paths.lock("kernel-debug"):
                if not final.exists():
                    with paths.build_dir(final) as scratch:
                        self._build(version, scratch, final.with_suffix(".log"))
        return final

    @property
    def release(self):
        """What uname -r says in it."""
        return (self.root / "release").read_text()

    @property
    def image(self):
        """The bzImage."""
        return self.root / "boot" / f"vmlinuz-{self.release}"

    @property
    def config(self):
        """Its configuration, as text."""
        return (self.kdir / ".config").read_text()

    @property
    def modules(self):
        """The directory of its own modules."""
        return self.root / "modules"

    @property
    def kdir(self):
        """The directory to give to kbuild as KDIR."""
        return self.root / "linux"

    def fetch(self):
        """Make everything of this kernel present."""
        return self.image, self.kdir

    def update(self):
        """Take the newest source the suite has."""
        self.suite.refresh(force=True)
        self._record.unlink(missing_ok=True)
        return self.fetch()

    def _version(self):
        with paths.lock("kernel-debug-version"):
            if not self._record.exists():
                version = self.suite.fields(SOURCE)[SOURCE]["Version"]
                self._record.write_text(version, encoding="ascii")
            return self._record.read_text()

    def _build(self, version, scratch, log):
        _require()
        self.suite.extract([SOURCE], scratch)
        progress(f"building the debug kernel from {SOURCE} {version}: about five minutes on two "
                 f"processors (log: {log})")
        log.unlink(missing_ok=True)
        tree = scratch / "linux"
        tree.mkdir()
        host.run(["tar", "-xf", scratch / f"usr/src/{SOURCE}.tar.xz", "-C", tree,
                  "--strip-components=1"])
        shutil.rmtree(scratch / "usr")
        environment = {k: v for k, v in os.environ.items()
                       if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")}
        host.run(["make", "allnoconfig"], log=log, cwd=tree,
                 env={**environment, "KCONFIG_ALLCONFIG": str(FRAGMENT)})
        _check_config((tree / ".config").read_text())
        jobs = min(os.cpu_count() or 1, 4)
        host.run(["nice", "-n", "19", "make", f"-j{jobs}", "bzImage", "modules"],
                 log=log, cwd=tree, env=environment)
        release = (tree / "include/config/kernel.release").read_text().strip()
        (scratch / "release").write_text(release, encoding="ascii")
        (scratch / "boot").mkdir()
        shutil.copy(tree / "arch/x86/boot/bzImage", scratch / "boot" / f"vmlinuz-{release}")
        (scratch / "modules").mkdir()
        for module in tree.rglob("*.ko"):
            shutil.copy(module, scratch / "modules")
        _prune(tree)


def _require():
    missing = {package for command, package in COMMANDS.items() if not shutil.which(command)}
    missing |= {package for file, package in FILES.items() if not os.path.exists(file)}
    if missing:
        raise LabError("the debug kernel needs packages that are missing: apt-get install "
                       "--no-install-recommends " + " ".join(sorted(missing)))


def _check_config(config):
    """Refuse a configuration that has lost a line of ours: a checker that is off finds nothing."""
    wanted = [line for line in FRAGMENT.read_text().splitlines()
              if line.startswith("CONFIG_") or line.endswith(" is not set")]
    has = set(config.splitlines())
    # What does not exist at all is "not set" too.
    lost = [line for line in wanted if line not in has
            and not (line.startswith("#") and line.split()[1] + "=" not in config)]
    if lost:
        raise LabError(f"{FRAGMENT.name}: this kernel's Kconfig does not accept "
                       + ", ".join(lost))


def _prune(tree):
    """Remove the sources and objects that no module's build reads: 2 GB of 2.2."""
    kept = {pathlib.PurePath(name) for name in KEPT}
    parents = {parent for name in kept for parent in name.parents}

    def visit(directory):
        for entry in directory.iterdir():
            inside = entry.relative_to(tree)
            if inside in kept:
                continue
            if inside in parents:
                visit(entry)
            elif entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    visit(tree)
    for pattern in ("*.o", "*.a", "bzImage", "vmlinux*"):
        for file in (tree / "arch/x86").rglob(pattern):
            if file.is_file() and not file.name.endswith(".S"):
                file.unlink()
