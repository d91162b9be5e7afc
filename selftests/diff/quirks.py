# SPDX-License-Identifier: GPL-2.0-only
"""Deliberate deviations from in-tree KVM. Documentation/quirks.rst says why."""


def explain(names, a_before, a, b_before, b, difference):
    field, x, y = difference
    if field.endswith(".2f0") and x == 0x10000 and y == 0:
        return "cmci_absent"
    return None
