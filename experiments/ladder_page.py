"""The tables of docs/ablation.md and its plot, docs/ablation.svg, from a results file.

    python experiments/ladder_page.py [experiments/results/ladder_cpu.json]

What stands between the two marks of the page is replaced; the reading around it is written by hand.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arms import ARMS, LADDER, SCHEDULES, SIZES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "ablation.md"
PLOT = ROOT / "docs" / "ablation.svg"
BEGIN, END = "<!-- made by experiments/ladder_page.py -->", "<!-- end -->"
PAPER = {"baseline": 61.1, "loss": 62.5, "prelu": 65.5, "rsign": 66.1, "rprelu": 67.4, "all": 69.4}

Runs = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Write the page's tables and the plot."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "experiments" / "results" / "ladder_cpu.json"
    runs: Runs = {}
    for line in json.loads(source.read_text()):
        runs.setdefault(line["arm"], []).append(line)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + "\n" + tables(runs) + END + after)
    PLOT.write_text(plot(runs))


def tables(runs: Runs) -> str:
    """The ladder, the schedules and the sizes, in Markdown."""
    text = "\n| network and loss | seeds | top-1, mean | spread | against the loss alone | the paper's |\n"
    text += "|---|---|---|---|---|---|\n"
    for arm in LADDER:
        text += _row(runs, arm, "loss", _paper(arm))
    text += "\n| training | seeds | top-1, mean | spread | against two phases, all carried |\n|---|---|---|---|---|\n"
    for arm in SCHEDULES:
        text += _row(runs, arm, "all")
    if any(arm in runs for arm in SIZES if arm != "all"):
        text += "\n| size | seeds | top-1, mean | spread | packed bytes |\n|---|---|---|---|---|\n"
        for arm in SIZES:
            if arm in runs:
                title = "16 channels, 8 layers" if arm == "all" else ARMS[arm].title
                text += f"| {title} | {_numbers(runs[arm])} | {runs[arm][0]['bytes']:,} |\n"
    return text + "\n"


def _row(runs: Runs, arm: str, against: str, *more: str) -> str:
    if arm not in runs:
        return ""
    change = f"{mean(runs[arm]) - mean(runs[against]):+.2f}" if against in runs and arm != against else ""
    return f"| {' | '.join([ARMS[arm].title, _numbers(runs[arm]), change, *more])} |\n"


def _paper(arm: str) -> str:
    return f"{PAPER[arm]:.1f} ({PAPER[arm] - PAPER['loss']:+.1f})" if arm in PAPER else ""


def _numbers(lines: Sequence[dict[str, Any]]) -> str:
    top1 = [100 * line["test_top1"] for line in lines]
    spread = f"{min(top1):.2f} to {max(top1):.2f}" if len(top1) > 1 else ""
    return f"{len(lines)} | {mean(lines):.2f} % | {spread}"


def mean(lines: Sequence[dict[str, Any]]) -> float:
    """The mean top-1 in percent."""
    return statistics.mean(100 * line["test_top1"] for line in lines)


def plot(runs: Runs) -> str:
    """A dot a seed and a bar at the mean, an arm a row: SVG."""
    arms = [arm for arm in dict.fromkeys([*LADDER, *SCHEDULES]) if arm in runs]
    values = [100 * line["test_top1"] for arm in arms for line in runs[arm]]
    low, high = int(min(values)) - 1, int(max(values)) + 2
    left, wide, row = 300, 420, 26

    def x(value: float) -> float:
        return left + wide * (value - low) / (high - low)

    bottom = 20 + row * len(arms)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 30}" height="{bottom + 40}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{left + wide + 30}" height="{bottom + 40}" fill="#fff"/>',
    ]
    for tick in range(low, high + 1, max(1, (high - low) // 6)):
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="10" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle" fill="#555">{tick} %</text>')
    for place, arm in enumerate(arms):
        y = 24 + row * place
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{ARMS[arm].title}</text>')
        centre = x(mean(runs[arm]))
        parts.append(
            f'<line x1="{centre:.1f}" x2="{centre:.1f}" y1="{y - 9}" y2="{y + 9}" stroke="#c33" stroke-width="3"/>'
        )
        for line in runs[arm]:
            parts.append(
                f'<circle cx="{x(100 * line["test_top1"]):.1f}" cy="{y}" r="4" fill="#258" fill-opacity="0.7"/>'
            )
    parts.append(f'<text x="{left}" y="{bottom + 36}" fill="#555">top-1 of the packed file, 10,000 test images</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
