# SPDX-License-Identifier: GPL-2.0-only
"""One run of the machine, from the spec to the exit status.

Boots the machine chosen, carries the command's output to our own streams while it runs, watches
both logs, and says in one line what went wrong if the machine (not the command) failed.
"""

import dataclasses
import os
import re
import selectors
import signal
import sys
import time

from labkit import channel, initramfs, modules, paths, verdict
from labkit.say import LabError, warn

STATUS_TIMEOUT, STATUS_MACHINE = 124, 125

# A console that is complete, and a kernel that stops at the first thing that is wrong with it.
PARAMETERS = ("console=ttyS0 ignore_loglevel nokaslr oops=panic softlockup_panic=1 "
              "sysctl.kernel.panic_on_rcu_stall=1 sysctl.kernel.hung_task_panic=1 rdinit=/init "
              # self-tests of ciphers and the keys of module signatures: most of the boot time
              "cryptomgr.notests "
              "initcall_blacklist=load_system_certificate_list,jent_mod_init")
BOOT_COMPLAINT = re.compile(rb"LAB-BOOT: (.*)\n")
LOOK_EVERY = 0.25           # seconds between two looks at the logs
GRACE = 10                  # seconds from the power-off to the emulator's end
TERMINAL = "/dev/ttyS1"     # of a session that the user types into
POWER_OFF = 60              # seconds from the command's end to the power-off


@dataclasses.dataclass
class Spec:
    """What was asked for on the command line."""

    kernel: object
    command: list
    cpus: int = 2
    model: str = None
    mem: int = 1024
    module: str = modules.OURS
    parameters: list = dataclasses.field(default_factory=list)
    added: list = dataclasses.field(default_factory=list)
    kernel_parameters: list = dataclasses.field(default_factory=list)
    timeout: float = 300
    quantum: int = 16           # instructions that a halted CPU lets pass (bochs)
    real_time: bool = False     # virtual time does not outrun the real one (bochs)
    tolerated: list = dataclasses.field(default_factory=list)
    build: bool = True
    time: bool = False
    programs: tuple = ()        # of Debian's, beside those that the command names
    profile: str = None         # where to count instructions (bochs)


class Session:
    """A machine that runs one command."""

    def __init__(self, machine, spec):
        machine.check(spec)
        self.machine, self.spec = machine, spec
        self.status = None              # of the command, once it has ended
        self.refused = None             # why init gave up
        self.began = None               # when the command began
        self._kernel = verdict.KernelLog()
        self._emulator = machine.Log()
        self._broken = None             # the channel's own failure
        self._tails = ()

    def run(self, console=None):
        """Run it; returns the exit status for our own process.

        console: a Console, for a session that the user types into.
        """
        run = paths.new_run_dir()
        try:
            return self._run(run, console)
        finally:
            paths.run_is_over(run)

    def _run(self, run, console):
        spec = self.spec
        loaded = modules.collect(spec.kernel, spec.module, spec.build)
        archive = initramfs.build(loaded, spec.parameters, spec.command, spec.added,
                                  spec.programs, TERMINAL if console else None)
        parameters = " ".join([PARAMETERS, *spec.kernel_parameters])
        self.machine.prepare(spec)
        start = time.monotonic()
        process = self.machine.boot_linux(run, spec, spec.kernel, archive, parameters,
                                          console.name if console else None)
        self._tails = ((verdict.Tail(run / self.machine.KERNEL_LOG), self._kernel),
                       (verdict.Tail(run / self.machine.EMULATOR_LOG), self._emulator))
        try:
            timed_out = self._watch(process, console, start + spec.timeout)
        finally:
            _end(process)
        self._look(final=True)
        if spec.time and self.began:
            warn(f"{self.began - start:.1f} s to the command, "
                 f"{time.monotonic() - start:.1f} s in all (logs: {run})")
        return self._judge(run, process, timed_out)

    def _watch(self, process, console, deadline):
        """Carry what is to be carried until the machine is off or dead; True: time-out."""
        link = channel.Channel(self._frame)
        selector = selectors.DefaultSelector()
        os.set_blocking(process.stdout.fileno(), False)
        selector.register(process.stdout, selectors.EVENT_READ)
        if console:
            selector.register(console.master, selectors.EVENT_READ, console.printed)
        next_look = 0
        typing = False
        while True:
            if console and console.alive and not typing:
                typing = True
                selector.register(sys.stdin, selectors.EVENT_READ, console.typed)
            ready = selector.select(timeout=LOOK_EVERY)
            for key, _ in ready:
                if key.data and key.data() is False:
                    selector.unregister(key.fileobj)
            data = process.stdout.read(1 << 20)
            try:
                link.feed(data or b"")
            except channel.BadFrame as bad:
                self._broken = str(bad)
            complaint = BOOT_COMPLAINT.search(link.preamble)
            if complaint:
                self._broken = complaint.group(1).decode("latin-1")
            if self._broken or data == b"" or (data is None and process.poll() is not None):
                return False
            now = time.monotonic()
            if now < next_look:
                continue
            next_look = now + LOOK_EVERY
            self._look()
            if self._kernel.dead or self._emulator.resets > 1:
                return False
            if self._emulator.powered_off:
                deadline = min(deadline, now + GRACE)
            elif self.status is not None or self.refused is not None:
                deadline = min(deadline, now + POWER_OFF)
            if now > deadline:
                return True

    def _look(self, final=False):
        for tail, log in self._tails:
            for line in tail.lines(final):
                log.line(line)

    def _frame(self, kind, payload):
        if kind == channel.OUT:
            _write(sys.stdout, payload)
        elif kind == channel.ERR:
            _write(sys.stderr, payload)
        elif kind == channel.HELLO:
            self.began = time.monotonic()
        elif kind == channel.STATUS:
            self.status = payload[0]
        elif kind == channel.REFUSED:
            self.refused = payload.decode("utf-8", "replace")
        else:
            raise channel.BadFrame(f"the agent sent a frame of unknown kind {kind}")

    def _judge(self, run, process, timed_out):
        kernel_log = run / self.machine.KERNEL_LOG
        emulator_log = run / self.machine.EMULATOR_LOG
        failure = verdict.first_failure(self._kernel.failures + self._emulator.failures,
                                        self.spec.tolerated)
        if failure:
            log = emulator_log if failure in self._emulator.failures else kernel_log
            return _machine_failed(f"{failure[0]}: {failure[1]}", log)
        if self._broken:
            return _machine_failed(f"output channel: {self._broken}", kernel_log)
        if self.refused:
            return _machine_failed(f"{self.refused} (the kernel's last line: "
                                   f"{self._kernel.last})", kernel_log)
        if timed_out and self.status is None:
            warn(f"time-out after {self.spec.timeout:g} s; the kernel's last line: "
                 f"{self._kernel.last or 'none'} (log: {kernel_log})")
            return STATUS_TIMEOUT
        if self.status is None and self._emulator.powered_off:
            return _machine_failed("it was powered off before the command ended", kernel_log)
        if self.status is None:
            return _machine_failed(f"it ended (status {process.returncode}) before the command "
                                   "did", emulator_log)
        if not self._emulator.powered_off:
            return _machine_failed("it did not power off", kernel_log)
        return self.status


def _machine_failed(text, log):
    warn(f"the machine failed: {text} (log: {log})")
    return STATUS_MACHINE


def _write(stream, data):
    stream.buffer.write(data)
    stream.buffer.flush()


def _end(process):
    """No emulator outlives its run."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    process.stdout.close()


def require_command(words):
    """The command line after the options; refuses an empty one."""
    if words and words[0] == "--":
        words = words[1:]
    if not words:
        raise LabError("no command: lab run [options] -- COMMAND [ARG...]")
    return words
