# SPDX-License-Identifier: GPL-2.0-only
"""Deviations from in-tree KVM that are meant, or are KVM's to mend: Documentation/quirks.rst.

Each is a function that gets a Difference and says whether the quirk explains it: this one field in
this one situation, never more. The function's name is the quirk's name.
"""
from dataclasses import dataclass

PEER = "kvm"  # the only implementation that the core may differ from


@dataclass
class Difference:
    """A field that differs after a step; "core" is ours, "peer" theirs."""
    field: str
    core: object
    peer: object
    step: object  # after the operation: .op, .result, .state (of the core)
    theirs: object
    before: dict  # the core's state before it
    their_before: dict

    @property
    def verb(self):
        return self.step.op.split()[0]

    @property
    def args(self):
        return [int(word, 16) for word in self.step.op.split()[1:]]

    def lapic(self, *offsets):
        """Is this one of these LAPIC registers?"""
        chip, _, name = self.field.partition(".")
        return chip.startswith("cpu") and name in [f"{offset:03x}" for offset in offsets]


QUIRKS = []


def quirk(explains):
    QUIRKS.append(explains)
    return explains


@quirk
def cmci_at_reset(d):
    """LVT CMCI without the feature: masked here like the other LVTs, 0 there."""
    return d.lapic(0x2f0) and d.core == 0x10000 and d.peer == 0


@quirk
def ioapic_irr_of_edges(d):
    """The image's IRR: lines that wait to be sent; there also masked and edge pins that are high."""
    if d.field != "ioapic.irr" or d.core & ~d.peer:
        return False
    return all(d.step.state[f"ioapic.rte{pin}"] & 0x18000 != 0x8000
               for pin in range(24) if (d.core ^ d.peer) >> pin & 1)


def explain(names, a_before, a, b_before, b, difference):
    """The name of the quirk that explains a difference, or None."""
    if PEER not in names:
        return None
    d = Difference(*difference, a, b, a_before.state, b_before.state)
    return next((q.__name__ for q in QUIRKS if q(d)), None)


def applying(names):
    return [q.__name__ for q in QUIRKS] if PEER in names else []
