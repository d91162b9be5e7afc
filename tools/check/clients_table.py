# SPDX-License-Identifier: GPL-2.0-only
"""The table of Documentation/clients.rst: what each case of tools/check/clients did when it last ran.

A row has, for the module and for in-tree KVM, the verdict, the case's virtual seconds and the date;
"-" stands for what was not run.  Read and written as lines; only whoever calls it knows the cases.
"""

import datetime
import pathlib
import re

TABLE = pathlib.Path(__file__).resolve().parents[2] / "Documentation/clients.rst"
MODULES = ("apicvisor", "kvm-intel")
NOT_RUN = ("-", "-", "-")
LAYOUT = "{:48} {:9} {:>4} {:10}  {:7} {:>4} {}"
BORDER = LAYOUT.format("=" * 48, "=" * 9, "=" * 4, "=" * 10, "=" * 7, "=" * 4, "=" * 10)
HEAD = LAYOUT.format("case", "apicvisor", "s", "date", "in-tree", "s", "date")


def read():
    """{case: {module: (verdict, seconds, date)}}"""
    rows = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        row = re.match(r"``(\S+)``" + r"\s+(\S+)" * 6 + "$", line)
        if row:
            name, *cells = row.groups()
            rows[name] = dict(zip(MODULES, (tuple(cells[:3]), tuple(cells[3:]))))
    return rows


def record(cases, module, results):
    """Enter {case: (verdict, seconds)} of a run of today; `cases` are all there are, in order."""
    rows, today = read(), datetime.date.today().isoformat()
    for name, (verdict, seconds) in results.items():
        rows.setdefault(name, {})[module] = (verdict, seconds, today)
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    start, end = (i for i, line in enumerate(lines) if line == BORDER and lines[i - 1] != HEAD)
    body = [LAYOUT.format(f"``{name}``", *(cell for m in MODULES
                                           for cell in rows.get(name, {}).get(m, NOT_RUN)))
            for name in cases]
    lines[start:end] = [BORDER, HEAD, BORDER, *body]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
