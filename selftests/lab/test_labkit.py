#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the lab's own parts that need no machine: TAP on stdout.

Each test_* function is one test; it fails by raising.
"""

import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/lab"))

from labkit import (apt, bootimage, channel, cpio, elf, machine_bochs,  # noqa: E402
                    machine_qemu, modules, paths, verdict)
from labkit.say import LabError  # noqa: E402


def same(got, expected):
    if got != expected:
        raise AssertionError(f"got {got!r}, expected {expected!r}")


def raises(error, function, *arguments):
    try:
        function(*arguments)
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")


def frame(kind, payload):
    return b"LB" + kind + len(payload).to_bytes(2, "little") + payload


def carried(pieces):
    """What a channel makes of these pieces."""
    frames = []
    link = channel.Channel(lambda kind, payload: frames.append((chr(kind), payload)))
    for piece in pieces:
        link.feed(piece)
    return frames, link.preamble


def test_channel_carries_any_bytes_in_any_pieces():
    payload = bytes(range(256)) * 3
    stream = b"BIOS\n" + frame(b"h", b"") + frame(b"o", payload) + frame(b"s", b"\7")
    expected = [("h", b""), ("o", payload), ("s", b"\7")]
    for size in (1, 2, 3, 7, 1000):
        pieces = [stream[i:i + size] for i in range(0, len(stream), size)]
        same(carried(pieces), (expected, b"BIOS\n"))


def test_channel_takes_frame_marks_inside_output():
    inner = frame(b"s", b"\0")
    same(carried([frame(b"h", b"") + frame(b"o", inner)])[0], [("h", b""), ("o", inner)])


def test_channel_refuses_foreign_bytes():
    raises(channel.BadFrame, carried, [frame(b"h", b"") + b"hello, world"])


def kernel_failures(*lines):
    log = verdict.KernelLog()
    for line in lines:
        log.line(line)
    return log.failures


def test_verdict_names_each_kernel_failure():
    cases = {
        "[    1.2] BUG: kernel NULL pointer dereference, address: 0000000000000000": "kernel oops",
        "[    1.2] kernel BUG at lib/x.c:1!": "kernel oops",
        "[    1.2] general protection fault, probably for non-canonical address": "kernel oops",
        "[    1.2] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [sh:96]": "lockup",
        "[    1.2] rcu: INFO: rcu_preempt self-detected stall on CPU": "rcu stall",
        "[    1.2] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:": "rcu stall",
        "[    1.2] INFO: task sh:96 blocked for more than 120 seconds.": "hung task",
        "[    1.2] BUG: scheduling while atomic: sh/96/0x00000002": "kernel BUG",
        "[    1.2] WARNING: CPU: 0 PID: 96 at lib/x.c:1 f+0x1/0x2": "kernel warning",
        "[    1.2] WARNING: possible circular locking dependency detected": "kernel warning",
        "[    1.2] Kernel panic - not syncing: Fatal exception": "kernel panic",
        "<4>[    1.2][  T96] BUG: Bad page state in process sh": "kernel BUG",
        # the checkers of the debug kernel
        "[    1.2] WARNING: inconsistent lock state": "lock fault",
        "[    1.2] WARNING: suspicious RCU usage": "lock fault",
        "[    1.2] WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected": "lock fault",
        "[    1.2] WARNING: lock held when returning to user space!": "lock fault",
        "[    1.2] INFO: trying to register non-static key.": "lock fault",
        "[    1.2] turning off the locking correctness validator.": "lock fault",
        "[    1.2] BUG: sleeping function called from invalid context at x.c:1": "kernel BUG",
        "[    1.2] [ BUG: Invalid wait context ]": "kernel BUG",
        "[    1.2] BUG: KASAN: use-after-free in f+0x1/0x2 [apicvisor]": "kernel BUG",
        "[    1.2] BUG kmalloc-64 (Not tainted): Poison overwritten": "memory fault",
        "[    1.2] kmemleak: 3 new suspected memory leaks (see /sys/kernel/x)": "memory leak",
        "[    1.2] kmemleak: Kernel memory leak detector disabled": "memory leak",
    }
    for line, kind in cases.items():
        same([k for k, _ in kernel_failures(line)], [kind])


def test_verdict_lets_harmless_lines_pass():
    same(kernel_failures(
        "[    1.2] traps: sh[96] general protection fault ip:1 sp:2 error:0 in sh[1+2]",
        "[    1.2] sh[96]: segfault at 0 ip 1 sp 2 error 4",
        "[    1.2] ima: No TPM chip found, activating TPM-bypass!",
        "[    1.2] kmemleak: Kernel memory leak detector initialized (mem pool available: 15700)",
        "[    1.2] WARNING: can't access registers at entry_SYSCALL_64+0x1/0x2",
        "[    1.2] random: 7 urandom warning(s) missed due to ratelimiting"), [])


def test_verdict_reports_the_cause_not_the_consequence():
    failures = kernel_failures(
        "[    1.1] WARNING: CPU: 0 PID: 96 at lib/x.c:1 f+0x1/0x2",
        "[    1.2] BUG: kernel NULL pointer dereference, address: 0000000000000000",
        "[    1.3] Kernel panic - not syncing: Fatal exception")
    same(verdict.first_failure(failures)[0], "kernel oops")
    same(verdict.first_failure(failures[:1])[0], "kernel warning")
    same(verdict.first_failure(failures[:1], ["warn"]), None)
    same(verdict.first_failure([]), None)


def test_tail_waits_for_whole_lines():
    with tempfile.TemporaryDirectory() as where:
        path = pathlib.Path(where, "log")
        tail = verdict.Tail(path)
        same(tail.lines(), [])
        path.write_bytes(b"one\r\ntw")
        same(tail.lines(), ["one"])
        path.write_bytes(b"one\r\ntwo\nthree")
        same(tail.lines(), ["two"])
        same(tail.lines(final=True), ["three"])


def test_emulator_log_tells_off_from_reset_from_failure():
    log = machine_bochs.Log()
    log.line("00000000000i[SYS   ] bx_pc_system_c::Reset(HARDWARE) called")
    same((log.resets, log.failures), (1, []))
    log.line("02793134398p[ACPI  ] >>PANIC<< ACPI control: soft power off")
    same((log.powered_off, log.failures), (True, []))
    log = machine_bochs.Log()
    for line, kind in (
            ("1e[CPU0  ] VMFAIL: VMCS EXEC CTRL: TPR threshold > TPR shadow", "failed VM entry"),
            ("1e[CPU0  ] VMENTER FAIL: VMCS guest CR0 invalid", "failed VM entry"),
            ("1p[CPU0  ] >>PANIC<< exception(): 3rd (13) exception with no resolution",
             "triple fault"),
            ("1p[MEM0  ] >>PANIC<< out of it", "emulator panic")):
        log.failures.clear()
        log.line(line)
        same([k for k, _ in log.failures], [kind])


def test_qemu_events_tell_off_from_reset_from_failure():
    for reason, off, kinds in (("guest-shutdown", True, []), ("guest-reset", False, ["reset"]),
                               ("guest-panic", False, ["shutdown"])):
        log = machine_qemu.Log()
        log.line('{"QMP": {"version": {}}}')
        log.line('{"event": "SHUTDOWN", "data": {"guest": true, "reason": "%s"}}' % reason)
        same((log.powered_off, [k for k, _ in log.failures]), (off, kinds))


def test_cpio_is_what_cpio_reads():
    archive = cpio.Archive()
    archive.file("a/b/first", b"one", 0o755)
    archive.file("/a/b/first", b"never", 0o644)
    archive.link("a/link", "b/first")
    archive.char_device("dev/null", 1, 3)
    done = subprocess.run(["cpio", "-itv", "--quiet"], input=bytes(archive), check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = done.stdout.decode().splitlines()
    same([line.split()[0] for line in lines],
         ["drwxr-xr-x", "drwxr-xr-x", "-rwxr-xr-x", "lrwxrwxrwx", "drwxr-xr-x", "crw-------"])
    same(sum("first" in line and "->" not in line for line in lines), 1)


def test_libraries_are_those_the_loader_finds():
    program = pathlib.Path("/bin/sh").resolve()
    said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True, text=True).stdout
    names = {os.path.basename(word) for word in said.split() if word.startswith("/")}
    same({pathlib.Path(inside).name for _, inside in elf.libraries(program)}, names)


def test_a_static_program_needs_no_library():
    same(elf.libraries(paths.cache("busybox", "busybox")), [])


def test_a_missing_library_is_named():
    with tempfile.TemporaryDirectory() as empty:
        raises(LabError, elf.libraries, pathlib.Path("/bin/sh").resolve(), empty)


def test_the_mirror_is_debians_not_another_repository():
    for listing, expected in (
            ("http://other/apt/ bookworm Other\nhttp://m/deb/ bookworm Debian\n"
             "http://m/sec/ bookworm-security Debian\n", ("http://m/deb/", "http://m/sec/")),
            ("http://other/apt/ trixie $(ORIGIN)\nhttp://m/debian/ trixie $(ORIGIN)\n",
             ("http://m/debian/", None)),
            ("http://other/debian/ bookworm Other\n", (None, None)),
            ("", (None, None))):
        same(apt.pick_mirrors(listing), expected)


def test_signature_is_cut_off():
    body = b"\x7fELF module"
    signature = b"S" * 40
    info = bytes(8) + struct.pack(">I", len(signature))
    signed = body + signature + info + modules.SIGNATURE_MARK
    same(modules.unsigned(signed), body)
    same(modules.unsigned(body), body)


def test_images_do_not_overlap():
    with tempfile.TemporaryDirectory() as where:
        images = bootimage.program(pathlib.Path(where), b"\xf4" * 5000)
        info = images[0][0].read_bytes()
        same(images[0][1] + len(info) <= bootimage.PROGRAM, True)
        same(info[:8], bootimage.MAGIC)
        same(images[1][0].read_bytes()[-8:], bootimage.SEAL)


def main():
    tests = [(name, function) for name, function in sorted(globals().items())
             if name.startswith("test_")]
    failed = 0
    print(f"1..{len(tests)}")
    for number, (name, function) in enumerate(tests, start=1):
        try:
            function()
            print(f"ok {number} - {name.removeprefix('test_')}")
        except Exception:       # a test fails by raising, whatever it raises
            failed += 1
            print(f"not ok {number} - {name.removeprefix('test_')}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
    print(f"# {len(tests) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
