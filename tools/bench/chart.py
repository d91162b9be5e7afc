# SPDX-License-Identifier: GPL-2.0-only
"""chart.py RESULTS.json CHART.svg: a bar for each case, apicvisor's figure as a part of in-tree KVM's.

Called by tools/bench/bench. The lines are the project's goal and its limit.
"""

import json
import sys

import matplotlib

matplotlib.use("svg")
# The same figures give the same file; text stays text.
matplotlib.rcParams.update({"svg.hashsalt": "apicvisor", "svg.fonttype": "none", "font.size": 8})
from matplotlib import pyplot  # noqa: E402 pylint: disable=wrong-import-position

GOAL, LIMIT = 0.5, 0.8
CUT = 1.5  # a longer bar is cut, its number says how long it is


def colour(ratio):
    """By the goal."""
    return "#2a7f4f" if ratio <= GOAL else "#c9a227" if ratio <= LIMIT else "#b5423a"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        result = json.load(file)
    rows = [row for row in result["rows"] if "ratio" in row][::-1]
    kernel = next(iter(result["facts"].values())).get("kernel", "?")
    figure, axes = pyplot.subplots(figsize=(8, 1 + 0.17 * len(rows)))
    ratios = [row["ratio"] for row in rows]
    axes.barh(range(len(rows)), [min(r, CUT) for r in ratios], color=[colour(r) for r in ratios])
    axes.set_yticks(range(len(rows)), [row["case"] for row in rows])
    for y, row in enumerate(rows):
        own, peer = row["apicvisor"]["median"], row["kvm-intel"]["median"]
        axes.text(min(row["ratio"], CUT) + 0.01, y, f"{row['ratio']:.2f}  ({own:.0f} : {peer:.0f})",
                  va="center", fontsize=6)
    for x in (GOAL, LIMIT, 1):
        axes.axvline(x, color="black", linewidth=0.6, linestyle="-" if x == 1 else ":")
    axes.set_xlim(0, CUT + 0.35)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("apicvisor : in-tree KVM (emulated ticks; shorter is better)")
    axes.set_title(f"apicvisor {result['version']}, Linux {kernel}, {result['date']}", fontsize=9)
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Date": None})


main()
