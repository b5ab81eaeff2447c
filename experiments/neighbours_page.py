"""The table of docs/neighbours.md and its plot, docs/neighbours.svg, from a results file.

    python experiments/neighbours_page.py [experiments/results/neighbours_cpu.json]

What stands between the two marks of the page is replaced; the reading around it is written by hand.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "neighbours.md"
PLOT = ROOT / "docs" / "neighbours.svg"
BEGIN, END = "<!-- made by experiments/neighbours_page.py -->", "<!-- end -->"
TITLES = {
    "reactnet18_cifar": "ReActNet-18",
    "birealnet18_cifar": "Bi-Real-18",
    "xnornet18_cifar": "XNOR-Net-18",
    "quicknet": "QuickNet",
    "meliusnet22": "MeliusNet-22",
    "resnet18_cifar": "ResNet-18, real",
}
# What each panel of the plot shows below the accuracy: key of a line, title, unit in which it is shown.
COSTS = (("ops", "million OPs", 1e6), ("bytes", "packed kB", 1e3), ("ms_min", "ms an image", 1.0))

Lines = Sequence[dict[str, Any]]


def main() -> None:
    """Write the page's table and the plot."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "experiments" / "results" / "neighbours_cpu.json"
    lines = json.loads(source.read_text())
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + table(lines) + END + rest.partition(END)[2])
    PLOT.write_text(plot(lines))


def table(lines: Lines) -> str:
    """A row a network, the most accurate first."""
    text = "\n| network | top-1 | OPs, million | packed, kB | ms an image |\n|---|---|---|---|---|\n"
    for line in sorted(lines, key=lambda one: -one["test_top1"]):
        costs = f"{line['ops'] / 1e6:.2f} | {line['bytes'] / 1e3:.0f} | {line['ms_min']:.3f}"
        text += f"| {TITLES[line['model']]} | {100 * line['test_top1']:.2f} % | {costs} |\n"
    return text + "\n"


def plot(lines: Lines) -> str:
    """Three panels side by side, top-1 over each cost on a logarithmic scale: SVG."""
    wide, high, left, top = 250, 260, 50, 20
    values = [100 * line["test_top1"] for line in lines]
    low, up = math.floor(min(values)) - 1, math.ceil(max(values)) + 1
    total = left + len(COSTS) * (wide + 40) + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{top + high + 50}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{total}" height="{top + high + 50}" fill="#fff"/>',
    ]

    def y(value: float) -> float:
        return top + high * (up - value) / (up - low)

    for panel, (key, title, unit) in enumerate(COSTS):
        begin = left + panel * (wide + 40)
        costs = [math.log(line[key] / unit) for line in lines]
        first, span = min(costs) - 0.2, max(costs) - min(costs) + 0.4
        parts.append(f'<rect x="{begin}" y="{top}" width="{wide}" height="{high}" fill="none" stroke="#999"/>')
        middle = begin + wide / 2
        parts.append(f'<text x="{middle}" y="{top + high + 36}" text-anchor="middle">{title}</text>')
        for end in (min(costs), max(costs)):
            x = begin + wide * (end - first) / span
            text = f"{math.exp(end):.0f}" if end > math.log(100) else f"{math.exp(end):.3g}"
            parts.append(f'<text x="{x:.1f}" y="{top + high + 16}" text-anchor="middle" fill="#555">{text}</text>')
        for tick in range(low, up + 1, max(1, (up - low) // 5)):
            parts.append(
                f'<line x1="{begin}" x2="{begin + wide}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#ddd"/>'
            )
            if panel == 0:
                parts.append(
                    f'<text x="{begin - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="#555">{tick} %</text>'
                )
        for line, place in zip(lines, costs, strict=True):
            x, at = begin + wide * (place - first) / span, y(100 * line["test_top1"])
            fill = "#258" if line["model"] != "resnet18_cifar" else "#c33"
            parts.append(f'<circle cx="{x:.1f}" cy="{at:.1f}" r="4" fill="{fill}"/>')
            side, anchor = (7, "start") if x < middle else (-7, "end")  # names stay in the panel
            name = f'<text x="{x + side:.1f}" y="{at - 5:.1f}" font-size="10" text-anchor="{anchor}">'
            parts.append(f"{name}{TITLES[line['model']]}</text>")
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
