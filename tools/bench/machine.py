# SPDX-License-Identifier: GPL-2.0-only
"""One machine of the lab that runs cases of the benchmark, and what it says.  For bench, profile.

The machine is the emulator that counts instructions (`lab run --profile`), in which a tick is one
instruction, also where another CPU is halted.
"""

import json
import lzma
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lab"))

from labkit import bochs, kernels  # noqa: E402 pylint: disable=wrong-import-position

OWN, PEER = "apicvisor", "kvm-intel"
CPU_MODEL = "corei7_skylake_x"
HERE = ROOT / "tools/bench"
OUT = ROOT / "build/bench"
SECONDS = 2400      # real, for one machine; on two processors with nothing else to do it takes 150
GUEST = "guest"     # the cases that boot one have a machine of their own
GUEST_MODULES = ("virtio_pci", "virtio_blk")


def build(kernel):
    """Emulator, programs, module and the guest's initrd, as far as they are not built yet."""
    OUT.mkdir(parents=True, exist_ok=True)
    bochs.emulator(profile=True)
    image = kernels.Kernel(kernel).image
    modules = image.parent.parent / "lib/modules" / kernels.Kernel(kernel).release
    for command in ([ROOT / "tools/check/packages"], ["make", "-s", "-C", ROOT, "selftests"],
                    ["make", "-s", "-C", ROOT / "tools/vmm"],
                    ["make", "-s", "-C", ROOT, "module", f"KERNEL={kernel}"],
                    [ROOT / "tools/demo/mkinitrd", "-m", modules, "-p",
                     ROOT / "build/selftests-obj/bench/guest_load", OUT / "initrd.img",
                     *GUEST_MODULES]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode:
            sys.exit(f"bench: {command[0]} failed\n{done.stdout}")


def module_sizes(kernel):
    """{module: bytes of text, data and bss}; in-tree KVM is two files."""
    release = kernels.Kernel(kernel).release
    intree = kernels.Kernel(kernel).modules / "arch/x86/kvm"
    files = {OWN: [ROOT / f"build/{release}/apicvisor.ko"],
             PEER: sorted([*intree.glob("kvm.ko*"), *intree.glob("kvm-intel.ko*")])}
    return {module: sum(size_of(path) for path in paths) for module, paths in files.items()}


def size_of(path):
    """What `size` says of one module, which may be compressed."""
    with tempfile.NamedTemporaryFile(suffix=".ko") as plain:
        with (lzma.open if path.suffix == ".xz" else open)(path, "rb") as file:
            plain.write(file.read())
        plain.flush()
        said = subprocess.run(["size", plain.name], stdout=subprocess.PIPE, text=True, check=True)
    return int(said.stdout.splitlines()[1].split()[3])


def read_profile(path):
    """A profile: host and guest, {(CPU, address): ticks}; and ticks, {CPUs that worked: of the time}.

    Which CPUs is a bit mask. tools/lab/profile/instrument.cc describes the file.
    """
    found = {"host": {}, "guest": {}, "ticks": {}}
    for line in path.read_text(encoding="ascii").splitlines()[1:]:
        kind, *key, count = line.split()
        if kind == "ticks":
            found[kind][int(key[0], 16)] = int(count)
        else:
            found[kind][int(key[0]), int(key[1], 16)] = int(count)
    return found


def guest_files(kernel):
    """What a machine needs that boots a guest: the VMM, the lab's kernel, the demo's initrd."""
    return [ROOT / "build/bin/apicvisor-vmm", f"{kernels.Kernel(kernel).image}:/bench/vmlinuz",
            f"{OUT}/initrd.img:/bench/initrd.img"]


def patterns(names):
    """What the program takes: a name stands for all that begin with it, a figure for its case."""
    listed = subprocess.run([OUT / "cases", "--list"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout.split()
    result = []
    for name in names:
        if not set(name) & set("*?"):
            if not any(case.startswith(name) for case in listed):
                name = name.rpartition(".")[0] or name
            name += "*"
        result.append(name)
    return result


class Machine:
    """Runs the cases; then there are facts, cases, failed and text.

    kind: what the names of its files begin with, so that a profile leaves the benchmark's alone.
    """

    def __init__(self, module, kernel, cases, environment=(), options=(), kind=""):
        name = kind + module + (f"-{GUEST}" if GUEST in cases else "")
        self.log = OUT / f"{name}.log"
        self.profile = OUT / f"{name}.profile"
        added = [f"{OUT}/cases", f"{HERE}/inside"] + (guest_files(kernel) if GUEST in cases else [])
        self.profile.unlink(missing_ok=True)
        command = [ROOT / "tools/lab/lab", "run", "--quiet", "--kernel", kernel, "--cpu", CPU_MODEL,
                   "--machine", "bochs", "--module", module, "--profile", self.profile,
                   "--timeout", str(SECONDS), *options,
                   *(word for path in added for word in ("--add", path)),
                   "--", "env", *environment, "inside", module, *patterns(cases)]
        with open(self.log, "wb") as file:
            status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT,
                                    check=False).returncode
        self.text = self.log.read_text(encoding="utf-8", errors="replace")
        self.facts = dict(re.findall(r"^@fact (.*?): (.*)$", self.text, re.M))
        self.cases = {}
        for line in re.findall(r"^@bench (.*)$", self.text, re.M):
            case = json.loads(line)
            self.cases[case.pop("case")] = case
        self.failed = [f"{module}: {line}" for line in
                       re.findall(r"^(?:not ok \d+ - |lab: |Bail out! )(.*)$", self.text, re.M)]
        if status and not self.failed:
            self.failed = [f"{module}: the machine ended with status {status}"]
        if f"{GUEST}.boot" in self.cases and self.profile.exists():
            self._share()
        self.failed = [f"{line} (log: {self.log.relative_to(ROOT)})" for line in self.failed]

    def _share(self):
        """Of the boot, the ticks of the host and those of the guest, on all CPUs."""
        found = read_profile(self.profile)
        for name in "host", "guest":
            count = sum(found[name].values())
            self.cases[f"{GUEST}.boot_in_{name}"] = {"ops": 1, "batches": [count]}
