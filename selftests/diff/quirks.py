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

    def reads(self, *offsets):
        """Is this the value that the guest read from one of these LAPIC registers?"""
        if self.field != "value" or self.verb not in ("mr", "rdmsr"):
            return False
        where = self.args[1] - 0xfee00000 if self.verb == "mr" else (self.args[1] - 0x800) << 4
        return where in offsets

    @staticmethod
    def number(text):
        return int(text, 16)


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
    """The image's IRR: lines that wait to be sent; there every pin that is high and was not sent."""
    if d.field != "ioapic.irr" or d.core & ~d.peer:
        return False
    waiting = 0x8000  # level, not masked, and fixed or lowest priority: these must agree
    return all(d.step.state[f"ioapic.rte{pin}"] & 0x18600 != waiting
               for pin in range(24) if (d.core ^ d.peer) >> pin & 1)


@quirk
def lowered_line(d):
    """What KVM_IRQ_LINE_STATUS says of a line that goes down means nothing to anybody."""
    return d.field == "ret" and d.verb == "line" and d.args[1] == 0


@quirk
def coalesced_in_irr(d):
    """A vector that is in IRR already is coalesced here; there only the IOAPIC's lines coalesce."""
    return d.field == "ret" and d.verb in ("line", "msi") and int(d.core) == 0 < int(d.peer)


@quirk
def masked_and_high(d):
    """A masked pin raised again while high: masked here, coalesced there."""
    return d.field == "ret" and d.verb == "line" and (d.core, d.peer) == ("-1", "0")


@quirk
def lapic_page_in_x2apic(d):
    """In x2APIC mode there is no page: the access goes on; there it finds a page of RAM."""
    return (d.field == "value" and d.verb == "mr" and d.args[1] >> 12 == 0xfee00 and
            d.before[f"cpu{d.args[0]}.apic_base"] & 0xc00 == 0xc00)


@quirk
def pit_null_count(d):
    """The NULL COUNT bit of the read-back status: always 0 there."""
    if d.field == "value" and d.verb == "in" and 0x40 <= d.args[1] <= 0x42:
        return d.number(d.core) & ~0x40 == d.number(d.peer)
    return d.field.endswith(".status") and d.core & ~0x40 == d.peer


@quirk
def rte_reserved(d):
    """Reserved bits 55:17 of a redirection entry: 0 here, kept there."""
    return ".rte" in d.field and d.core == d.peer & ~0x00fffffffffe0000


@quirk
def lvt_read_only(d):
    """Delivery status and remote IRR of an LVT: read-only here, kept there."""
    lvts = (0x320, 0x330, 0x340, 0x350, 0x360, 0x370)
    if d.reads(*lvts):
        return d.number(d.core) == d.number(d.peer) & ~0x5000
    return d.lapic(*lvts) and d.core == d.peer & ~0x5000


@quirk
def no_esr(d):
    """ESR: no error is ever recorded there."""
    return (d.lapic(0x280) and d.peer == 0) or (d.reads(0x280) and d.number(d.peer) == 0)


@quirk
def x2apic_reserved_read(d):
    """RDMSR of a reserved MSR of the x2APIC range: #GP here; there the virtual-APIC page's word."""
    return (d.field in ("fault", "value") and d.verb == "rdmsr" and
            0x800 <= d.args[1] < 0x900 and d.step.result["fault"] == "13" and
            d.theirs.result["fault"] == "-1")


@quirk
def msi_to_nobody(d):
    """KVM_SIGNAL_MSI that no LAPIC takes: 0, as documented; there -1, which ioctl() makes EPERM."""
    return d.field == "ret" and d.verb == "msi" and (d.core, d.peer) == ("0", "-1")


@quirk
def tmict_after_deadline(d):
    """TMICT when the timer's mode changes from or to TSC-deadline: kept here, 0 there."""
    return (d.lapic(0x380) and d.peer == 0) or (d.reads(0x380) and d.number(d.peer) == 0)


@quirk
def cascade_withdrawn(d):
    """The slave has nothing to ask any more: its request at the master goes; there it stays."""
    return d.field == "pic0.irr" and d.core == d.peer & ~4


def explain(names, a_before, a, b_before, b, difference):
    """The name of the quirk that explains a difference, or None."""
    if PEER not in names:
        return None
    d = Difference(*difference, a, b, a_before.state, b_before.state)
    return next((q.__name__ for q in QUIRKS if q(d)), None)


def applying(names):
    return [q.__name__ for q in QUIRKS] if PEER in names else []
