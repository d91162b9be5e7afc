# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own KVM selftests, built unmodified from Debian's source of one of the lab's kernels.

Built once, in the cache, when first asked for: half a minute, of which most is unpacking.  Of the
source only what the build reads is ever unpacked.  A build is known by the hash of all that goes
into it: source version, compiler and this file.  The directory holds the programs alone, under the
names the kernel gives them, without debugging information.
"""

import os
import pathlib
import shutil
import subprocess

from labkit import apt, elf, host, kernels, paths
from labkit.say import LabError, progress

TESTS = "tools/testing/selftests"

# what the build reads: the tests and their library, and what makes the kernel's user headers
NEEDED = (f"{TESTS}/kvm", f"{TESTS}/rseq", f"{TESTS}/*.h", f"{TESTS}/*.mk", "tools/include",
          "tools/arch/x86/include", "tools/lib", "tools/scripts", "tools/build", "lib/rbtree.c",
          "Makefile", "Kbuild", "scripts", "usr/Makefile", "usr/include", "include/uapi",
          "include/asm-generic", "arch/x86/Makefile*", "arch/x86/include", "arch/x86/entry/syscalls",
          "arch/x86/tools")


class KvmSelftests:
    """The selftests of one kernel of the matrix."""

    def __init__(self, kernel_name):
        self.name = kernel_name
        self.source = f"linux-source-{kernel_name}"
        self.suite = apt.Suite(kernels.KERNELS[kernel_name])
        self._record = paths.cache("kvm-selftests", kernel_name + ".version")

    @property
    def version(self):
        """The version of the source package; it stays until the cache is removed."""
        with paths.lock(f"kvm-selftests-{self.name}-version"):
            if not self._record.exists():
                self._record.write_text(self.suite.fields(self.source)[self.source]["Version"],
                                        encoding="ascii")
            return self._record.read_text()

    @property
    def directory(self):
        """The directory of the programs; builds them if need be."""
        compiler = subprocess.run(["gcc", "--version"], stdout=subprocess.PIPE, text=True,
                                  check=True).stdout.splitlines()[0]
        version = self.version
        key = paths.digest(version, compiler, pathlib.Path(__file__))
        final = paths.cache("kvm-selftests", f"{self.name}-{key}")
        if not final.exists():
            with paths.lock(f"kvm-selftests-{self.name}"):
                if not final.exists():
                    with paths.build_dir(final) as programs:
                        self._build(version, programs, final.with_name(final.name + ".log"))
        return final

    def _build(self, version, programs, log):
        progress(f"building the KVM selftests of {self.source} {version} (log: {log})")
        log.unlink(missing_ok=True)
        tree = programs / "linux"
        tree.mkdir()
        self._unpack(tree)
        environment = {k: v for k, v in os.environ.items()
                       if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")}
        jobs = f"-j{min(os.cpu_count() or 1, 4)}"
        host.run(["make", jobs, "headers", "ARCH=x86"], log=log, cwd=tree, env=environment)
        # Not all of Debian's release has to link (in 6.1's dirty_log_test a macro is missing):
        # whoever wants a program that is not there will say so.
        out = programs / "out"
        with open(log, "ab") as file:
            subprocess.run(["make", "-k", jobs, "-C", tree / TESTS / "kvm", f"OUTPUT={out}"],
                           stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                           check=False, env=environment)
        found = [p for p in out.rglob("*") if p.is_file() and p.stat().st_mode & 0o100
                 and elf.is_elf(p)]
        if not found:
            raise LabError(f"{self.source}: no selftest could be built (see {log})")
        for program in found:
            final = programs / program.relative_to(out)
            final.parent.mkdir(exist_ok=True)
            host.run(["strip", "-o", final, program])
        shutil.rmtree(out)
        shutil.rmtree(tree)

    def _unpack(self, tree):
        deb, = self.suite.download([self.source])
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb],
                              stdout=subprocess.PIPE) as package:
            inner = subprocess.Popen(["tar", "-xO", f"./usr/src/{self.source}.tar.xz"],
                                     stdin=package.stdout, stdout=subprocess.PIPE)
            patterns = [f"{self.source}/{name}" for name in NEEDED]
            with inner:
                subprocess.run(["tar", "-xJ", "-C", tree, "--strip-components=1", "--wildcards",
                                *patterns], stdin=inner.stdout, check=True)
