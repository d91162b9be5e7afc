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
    """A LAPIC that has the vector in IRR is not counted here; there each that takes it is."""
    return d.field == "ret" and d.verb in ("line", "msi") and 0 <= int(d.core) < int(d.peer)


@quirk
def raised_again(d):
    """Raising a line that is not sent: "masked" or "coalesced" is said in other cases there."""
    return (d.field == "ret" and d.verb == "line" and d.args[1] != 0 and
            {d.core, d.peer} == {"0", "-1"})


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
def tmict_and_deadline(d):
    """TMICT in TSC-deadline mode: ignores writes here; a mode change clears it there."""
    cpu = d.field.split(".")[0] if d.lapic(0x380) else f"cpu{d.args[0]}" if d.reads(0x380) else None
    return cpu is not None and (d.number(str(d.peer)) == 0 or
                                d.step.state[f"{cpu}.320"] & 0x60000 == 0x40000)


@quirk
def ioapic_reserved_index(d):
    """The window on a register that is not there: 0 here, all ones there."""
    return (d.field == "value" and d.verb == "mr" and d.args[1] == 0xfec00010 and
            not 0x10 <= d.before["ioapic.ioregsel"] < 0x40 and d.number(d.core) == 0)


@quirk
def pit_control_read(d):
    """Port 0x43 can't be read: 0 here, what an earlier access left behind there."""
    return d.field == "value" and d.verb == "in" and d.args[1] == 0x43 and d.number(d.core) == 0


@quirk
def poll_of_nothing(d):
    """A poll that finds no request: 0 here, 7 there; bit 7 is what counts, and clear in both."""
    return (d.field == "value" and d.verb == "in" and d.args[1] in (0x20, 0x21, 0xa0, 0xa1) and
            d.before[f"pic{d.args[1] >> 7}.poll"] == 1 and (d.core, d.peer) == ("0", "7"))


@quirk
def nmi_count(d):
    """Two NMIs latched: "pending" is their number here; there it is 1 before 6.12."""
    return d.field.endswith(".nmi_pending") and (d.core, d.peer) == (2, 1)


def explain(names, a_before, a, b_before, b, difference):
    """The name of the quirk that explains a difference, or None."""
    if PEER not in names:
        return None
    d = Difference(*difference, a, b, a_before.state, b_before.state)
    return next((q.__name__ for q in QUIRKS if q(d)), None)


def applying(names):
    return [q.__name__ for q in QUIRKS] if PEER in names else []
