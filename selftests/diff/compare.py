#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""compare NAME=OUTPUT NAME=OUTPUT...: where runs of the same streams part from the first one.

The outputs are those of diff_core and diff_node. For each stream the first step is shown at which
the two differ in a way that no quirk explains: the operation, what led to it, and each field on
both sides. Deliberate deviations are the table in quirks.py. TAP on stdout, totals at the end.
"""
import sys

import quirks
from decode import describe

BEFORE = 8  # operations shown before the one that differs


class Step:
    """One line of output: the operation, what it gave back, and the whole state after it."""

    def __init__(self, line, state):
        head, result, fields = line.rstrip("\n").split("|")
        self.number, self.op = head.split(": ", 1)
        self.op = self.op.strip()
        self.result = dict(word.split("=", 1) for word in result.split())
        changed = {name: int(value, 16) for name, value in (w.split("=") for w in fields.split())}
        self.state = {**state, **changed}


def streams(path):
    """name -> list of steps."""
    found, steps, state = {}, None, {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.startswith("stream "):
                steps, state = [], {}
                found[line.split()[1]] = steps
            elif steps is not None and line.count("|") == 2:
                steps.append(Step(line, state))
                state = steps[-1].state
    return found


def without_time(before, step):
    """The result, less what follows the clock: PIT counts, OUT, the refresh bit of port 0x61."""
    result, words = dict(step.result), step.op.split()
    if words[0] != "in" or words[2] not in ("40", "41", "42", "61"):
        return result
    value = int(result["value"], 16)
    if words[2] == "61":
        value &= ~0x30
    elif before.state[f"pit{words[2][1]}.status_latched"]:
        value &= ~0x80
    else:
        value = 0
    result["value"] = f"{value:x}"
    return result


def differences(a_before, a, b_before, b):
    """(field, value of a, value of b) of two steps; results first."""
    a_result, b_result = without_time(a_before, a), without_time(b_before, b)
    for name in a_result:
        if a_result[name] != b_result[name]:
            yield name, a_result[name], b_result[name]
    for name in a.state:
        if a.state[name] != b.state.get(name):
            yield name, a.state[name], b.state.get(name)


def first_difference(a, b, names, masked):
    """The number of the first step that differs, and how; masked counts quirks met on the way."""
    for i, (x, y) in enumerate(zip(a, b)):
        left, before = [], max(0, i - 1)
        for difference in differences(a[before], x, b[before], y):
            quirk = quirks.explain(names, a[before], x, b[before], y, difference)
            if quirk:
                masked[quirk] = masked.get(quirk, 0) + 1
            else:
                left.append(difference)
        if left:
            return i, left
    if len(a) != len(b):
        return min(len(a), len(b)), [("steps run", str(len(a)), str(len(b)))]
    return None, []


def report(name, steps, at, left, names):
    print(f"# {name}, step {at}: {names[0]} | {names[1]}")
    for step in steps[max(0, at - BEFORE):at + 1]:
        print(f"#   {step.number}: {step.op}")
    for field, a, b in left:
        print(f"#       {field}: {describe(field, a)} | {describe(field, b)}")


def compare(reference, peer, masked):
    """TAP for one pair of (name, streams); returns how many streams there were, and failed."""
    names, a, b = (reference[0], peer[0]), reference[1], peer[1]
    if quirks.PEER in names:  # streams that the peer has not run, by their name
        a = {stream: steps for stream, steps in a.items() if not stream.startswith("own-")}
    everything, failed = sorted(a.keys() | b.keys()), 0
    for stream in everything:
        at, left = first_difference(a.get(stream, []), b.get(stream, []), names, masked)
        if left:
            failed += 1
            report(stream, a.get(stream, []), at, left, names)
        print(f"{'not ok' if left else 'ok'} - {names[0]} and {names[1]} agree on {stream}")
    return len(everything), failed


def main():
    runs = [argument.split("=", 1) for argument in sys.argv[1:]]
    if len(runs) < 2 or any(len(run) != 2 for run in runs):
        sys.exit(__doc__)
    runs = [(name, streams(path)) for name, path in runs]
    total, failed, masked = 0, 0, {}
    for peer in runs[1:]:
        n, bad = compare(runs[0], peer, masked)
        total, failed = total + n, failed + bad
    for quirk in quirks.applying([name for name, _ in runs]):
        print(f"# QUIRK({quirk}): " + (f"{masked[quirk]} times" if quirk in masked else
                                       "never met in this run; is it stale?"))
    print(f"# {total - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed or not total else 0)


if __name__ == "__main__":
    main()
