# SPDX-License-Identifier: GPL-2.0-only
"""Values of fields for a human: which vectors a bank holds, what a redirection entry says."""

DELIVERY = ["fixed", "lowest", "SMI", "remote-read", "NMI", "INIT", "startup", "ExtINT"]
REGISTERS = {
    0x20: "ID", 0x30: "version", 0x80: "TPR", 0x90: "APR", 0xa0: "PPR", 0xc0: "RRD", 0xd0: "LDR",
    0xe0: "DFR", 0xf0: "SVR", 0x280: "ESR", 0x2f0: "LVT CMCI", 0x300: "ICR low", 0x310: "ICR high",
    0x320: "LVT timer", 0x330: "LVT thermal", 0x340: "LVT perf", 0x350: "LVT LINT0",
    0x360: "LVT LINT1", 0x370: "LVT error", 0x380: "TMICT", 0x390: "TMCCT", 0x3e0: "TDCR",
}
BANKS = {0x100: "ISR", 0x180: "TMR", 0x200: "IRR"}


def bank(offset, value):
    first = (offset & 0x70) * 2
    return "{" + " ".join(f"{first + i:02x}" for i in range(32) if value >> i & 1) + "}"


def entry(value):
    words = [f"vector {value & 0xff:02x}", DELIVERY[value >> 8 & 7],
             "logical" if value >> 11 & 1 else "physical", f"to {value >> 56:02x}",
             "level" if value >> 15 & 1 else "edge"]
    words += [word for bit, word in ((12, "pending"), (13, "low-active"), (14, "remote-irr"),
                                     (16, "masked")) if value >> bit & 1]
    return ", ".join(words)


def describe(field, value):
    if not isinstance(value, int):
        return str(value)
    chip, _, name = field.partition(".")
    text = f"{value:x}"
    if chip.startswith("cpu") and len(name) == 3:
        offset = int(name, 16)
        if offset & ~0x7f in BANKS and offset < 0x280:
            return f"{text} {BANKS[offset & ~0x7f]} {bank(offset, value)}"
        return f"{text} {REGISTERS.get(offset, 'reserved')}"
    if name.startswith("rte"):
        return f"{text} ({entry(value)})"
    return text
