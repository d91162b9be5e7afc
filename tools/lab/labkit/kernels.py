# SPDX-License-Identifier: GPL-2.0-only
"""Debian's cloud kernels: the image and modules to boot, the headers to build against.

Each kernel is found through its metapackage, so the release is whatever Debian ships when the
lab is set up; it then stays until `lab setup --update`.
"""

import json
import re
import shutil

from labkit import apt, bootimage, paths, vmlinux
from labkit.say import LabError, progress

# what --kernel takes -> the suite whose metapackages name it
KERNELS = {"6.1": "bookworm", "6.12": "bookworm-backports"}
DEFAULT = "6.1"

IMAGE = "linux-image-cloud-amd64"
HEADERS = "linux-headers-cloud-amd64"


class Kernel:
    """One kernel of the matrix, fetched when it is first asked for."""

    slowness = 1            # instructions it needs for the same work, the factor

    def __init__(self, name):
        if name not in KERNELS:
            raise LabError(f"--kernel {name}: the lab has {', '.join(KERNELS)}")
        self.name = name
        self.suite = apt.Suite(KERNELS[name])
        self._record = paths.cache("kernels", name + ".json")

    @property
    def release(self):
        """What uname -r says in it."""
        return self._pinned()["release"]

    @property
    def root(self):
        """The directory with the unpacked image and headers."""
        return paths.cache("kernels", self.release)

    @property
    def image(self):
        """The bzImage."""
        return self._part("image") / "boot" / f"vmlinuz-{self.release}"

    @property
    def flat(self):
        """The unpacked image as a bootimage.Flat, or None: then the bzImage has to do."""
        final = self._part("vmlinux")
        if not (final / "where").exists():
            return None
        return bootimage.Flat(final / "image", **json.loads((final / "where").read_text()))

    @property
    def config(self):
        """Its configuration, as text."""
        return (self._part("image") / "boot" / f"config-{self.release}").read_text()

    @property
    def modules(self):
        """The directory of its own modules."""
        return self._part("image") / "lib/modules" / self.release / "kernel"

    @property
    def kdir(self):
        """The directory to give to kbuild as KDIR."""
        return self._part("headers") / "usr/src" / f"linux-headers-{self.release}"

    def fetch(self):
        """Make everything of this kernel present."""
        return self.image, self.flat, self.kdir

    def update(self):
        """Take the newest release the suite has."""
        self.suite.refresh(force=True)
        self._record.unlink(missing_ok=True)
        return self.fetch()

    def _pinned(self):
        with paths.lock(f"kernel-{self.name}"):
            if not self._record.exists():
                package = self.suite.depends(IMAGE, ["linux-image-"])[0]
                pin = {"release": package.removeprefix("linux-image-"), "image": package}
                scratch = self._record.with_suffix(".new")
                scratch.write_text(json.dumps(pin), encoding="ascii")
                scratch.rename(self._record)
            return json.loads(self._record.read_text())

    def _part(self, part):
        pin = self._pinned()
        final = paths.cache("kernels", pin["release"], part)
        if final.exists():
            return final
        if part == "vmlinux":
            self._part("image")     # it is made from that one, under the same lock
        with paths.lock(f"kernel-{self.name}"):
            if not final.exists():
                progress(f"unpacking the {part} of kernel {self.name} ({pin['release']})")
                with paths.build_dir(final) as scratch:
                    if part == "image":
                        self.suite.extract([pin["image"]], scratch)
                    elif part == "vmlinux":
                        self._flatten(pin["release"], scratch)
                    else:
                        self._headers(pin["release"], scratch, final)
        return final

    def _flatten(self, release, scratch):
        image = paths.cache("kernels", release, "image") / "boot" / f"vmlinuz-{release}"
        unpacked = vmlinux.flatten(image, self._unpacker)
        if unpacked:
            data, address, entry = unpacked
            where = {"address": address, "entry": entry,
                     "seal": bootimage.seal(scratch / "image", data)}
            (scratch / "where").write_text(json.dumps(where), encoding="ascii")

    @staticmethod
    def _unpacker(name):
        """The path of zstd or lz4 from the cache; their libraries are apt's own."""
        final = paths.cache("unpackers", name)
        if not final.exists():
            with paths.build_dir(final) as scratch:
                apt.Suite(KERNELS[DEFAULT]).extract([name], scratch)
        return final / "usr/bin" / name

    def _headers(self, release, scratch, final):
        """Unpack the headers so that they work from `final` instead of from the root.

        They name each other by absolute path, in Makefiles and in symbolic links, and the compiler
        that the kernel was built with: the system's own has to do where there is no such version.
        """
        family = ("linux-headers-", "linux-kbuild-")
        packages, todo = [], [f"linux-headers-{release}"]
        while todo:
            package = todo.pop()
            packages.append(package)
            todo += [p for p in self.suite.depends(package, family) if p not in packages]
        self.suite.extract(packages, scratch)
        shutil.rmtree(scratch / "usr/share", ignore_errors=True)

        source = scratch / "usr/src"
        for makefile in source.glob("linux-headers-*/Makefile"):
            text = makefile.read_text()
            makefile.write_text(text.replace("/usr/src/", f"{final}/usr/src/"))
        for variables in source.glob("linux-headers-*/.kernelvariables"):
            text = variables.read_text()
            compiler = re.search(r"gcc-\d+", text)
            if compiler and not shutil.which(compiler.group()):
                text = text.replace(compiler.group(), "gcc")
            variables.write_text(text)
        for link in source.glob("linux-headers-*/*"):
            if link.is_symlink() and str(link.readlink()).startswith("/usr/"):
                target = f"{final}{link.readlink()}"
                link.unlink()
                link.symlink_to(target)
