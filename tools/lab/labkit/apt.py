# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages by apt's own client, from a private configuration.

One Suite is one Debian release with its own index in the cache: the system's sources, lists and
installed packages are neither used nor touched, and no root is needed.  The mirror is the one the
machine itself uses; apt verifies everything it fetches with the Debian archive keyring.
"""

import os
import pathlib
import re
import subprocess
import time

from labkit import host, paths
from labkit.say import LabError, progress

KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg",
            "/usr/share/keyrings/debian-archive-keyring.pgp")
INDEX_AGE = 7 * 86400       # seconds after which an index is fetched again before it is used


def pick_mirrors(listing):
    """(Debian mirror, its security mirror), each or None, of lines "URI RELEASE ORIGIN"."""
    mains, securities = [], []
    for line in listing.splitlines():
        uri, release, *origin = line.split()
        # The origin is known once the index has been fetched; before, the path must do.
        known = bool(origin) and not origin[0].startswith("$")
        if origin != ["Debian"] and (known or "debian" not in uri.rstrip("/").rsplit("/", 1)[-1]):
            continue
        if re.fullmatch(r"[a-z]+-security", release):
            securities.append(uri)
        elif re.fullmatch(r"[a-z]+(-updates|-backports)?", release) and "security" not in uri:
            mains.append(uri)
    return next(iter(mains), None), next(iter(securities), None)


def _mirrors():
    """The machine's Debian mirror and, if it has one, its security mirror."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(ORIGIN)",
         "Identifier: Packages"],
        stdout=subprocess.PIPE, text=True, check=False).stdout
    main, security = pick_mirrors(listing)
    main = os.environ.get("APICVISOR_MIRROR") or main
    if not main:
        raise LabError("apt knows no Debian mirror here: set APICVISOR_MIRROR to one")
    return main, security


class Suite:
    """The packages of one Debian release ("bookworm", "trixie", "bookworm-backports")."""

    def __init__(self, name):
        self.name = name
        self.root = paths.cache("apt", name)
        self.config = self.root / "apt.conf"
        self._fields = {}

    def refresh(self, force=False):
        """Fetch the index if there is none, it is old, or `force`."""
        with paths.lock(f"apt-{self.name}"):
            stamp = self.root / "fetched"
            if not force and stamp.exists() and time.time() - stamp.stat().st_mtime < INDEX_AGE:
                return
            self._configure()
            progress(f"fetching the package index of {self.name}")
            host.run(self._apt("apt-get", "update", "-o", "APT::Update::Error-Mode=any"))
            stamp.touch()

    def _configure(self):
        keyring = next((k for k in KEYRINGS if os.path.exists(k)), None)
        if not keyring:
            raise LabError("packages are missing: apt-get install debian-archive-keyring")
        for part in ("state/lists/partial", "cache/archives/partial", "parts"):
            (self.root / part).mkdir(parents=True, exist_ok=True)
        main, security = _mirrors()
        signed = f"[signed-by={keyring} arch=amd64]"
        lines = [f"{kind} {signed} {main} {self.name} main" for kind in ("deb", "deb-src")]
        if security and "-" not in self.name:
            lines.append(f"deb {signed} {security} {self.name}-security main")
        (self.root / "sources.list").write_text("\n".join(lines) + "\n", encoding="ascii")
        # The user's own apt.conf stays in force (a proxy may be set there), his hooks do not.
        self.config.write_text(f"""\
#clear APT::Update;
#clear APT::Default-Release;
Dir::Etc::sourcelist "{self.root}/sources.list";
Dir::Etc::sourceparts "{self.root}/parts";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{self.root}/parts";
Dir::State "{self.root}/state";
Dir::State::status "/dev/null";
Dir::Cache "{self.root}/cache";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
""", encoding="ascii")

    def _apt(self, *command):
        return [command[0], "-c", str(self.config), "-q", *command[1:]]

    def fields(self, *packages):
        """{package: its control fields, as a dictionary}, of the newest version of each."""
        self.refresh()
        unknown = [p for p in packages if p not in self._fields]
        if unknown:
            records = subprocess.run(
                self._apt("apt-cache", "show", "--no-all-versions", *unknown),
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
            for record in records.split("\n\n"):
                fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", record, re.MULTILINE))
                if "Package" in fields:
                    self._fields.setdefault(fields["Package"], fields)
        for package in packages:
            if package not in self._fields:
                raise LabError(f"{self.name} has no package {package}: is its index complete?")
        return {package: self._fields[package] for package in packages}

    def depends(self, package, prefixes):
        """Dependencies of a package (first alternatives) whose names start with one of these."""
        names = []
        for clause in self.fields(package)[package].get("Depends", "").split(","):
            name = clause.split("|")[0].split("(")[0].strip().split(":")[0]
            if name.startswith(tuple(prefixes)):
                names.append(name)
        return names

    def closure(self, packages):
        """These packages and all they depend on, as apt would install them on an empty system."""
        self.refresh()
        said = host.run(self._apt("apt-get", "install", "--simulate", *packages))
        return re.findall(r"^Inst (\S+)", said, re.MULTILINE)

    def download(self, packages):
        """Fetch binary packages; returns their .deb files."""
        self.refresh()
        debs = paths.cache("debs", self.name)
        debs.mkdir(exist_ok=True)
        files = []
        with paths.lock("debs"):
            wanted = []
            for package, fields in self.fields(*packages).items():
                name = f"{package}_{fields['Version'].replace(':', '%3a')}_"
                found = list(debs.glob(name + "*.deb"))
                if found and found[0].stat().st_size == int(fields["Size"]):
                    files.append(found[0])
                else:
                    wanted.append((package, name, int(fields["Size"])))
            if wanted:
                total = sum(size for _, _, size in wanted) / 1e6
                names = wanted[0][0] if len(wanted) == 1 else f"{len(wanted)} packages"
                progress(f"fetching {names} ({total:.1f} MB) from {self.name}")
                host.run(self._apt("apt-get", "download", *(p for p, _, _ in wanted)), cwd=debs)
                files += [next(debs.glob(name + "*.deb")) for _, name, _ in wanted]
        return files

    def extract(self, packages, into):
        """Fetch binary packages and unpack their files below the directory `into`."""
        for deb in self.download(packages):
            host.run(["dpkg-deb", "-x", deb, into])

    def source(self, package, into):
        """Fetch a source package and unpack it, Debian's patches applied; returns the tree.

        The two archives are fetched one by one: apt verifies each by the signed index, so that
        the .dsc, which some mirrors' caches do not carry, is not needed.
        """
        self.refresh()
        for part in ("--tar-only", "--diff-only"):
            host.run(self._apt("apt-get", "source", "--download-only", part, package), cwd=into)
        tree = into / "source"
        tree.mkdir()
        orig = next(into.glob(f"{package}_*.orig.tar.*"))
        debian = next(into.glob(f"{package}_*.debian.tar.*"))
        host.run(["tar", "-xf", orig, "-C", tree, "--strip-components=1"])
        host.run(["tar", "-xf", debian, "-C", tree])
        series = tree / "debian/patches/series"
        if series.exists():
            for line in series.read_text().splitlines():
                name = line.split("#")[0].strip()
                if name:
                    apply_patch(tree, tree / "debian/patches" / name.split()[0])
        return tree

    def source_version(self, package):
        """The version of the newest source package of that name."""
        self.refresh()
        record = subprocess.run(self._apt("apt-cache", "showsrc", "--only-source", package),
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                check=False).stdout
        versions = re.findall(r"^Version: (\S+)$", record, re.MULTILINE)
        if not versions:
            raise LabError(f"{self.name} has no source package {package}")
        return versions[0]


def apply_patch(tree, patch):
    """Apply one patch file to a source tree; LabError if it does not fit exactly."""
    host.run(["patch", "-s", "-N", "-p1", "-F0", "-i", pathlib.Path(patch), "-d", tree])
