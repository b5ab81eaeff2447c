"""Line charts as SVG text. Colours come from the page's style sheet by class, so that they suit light and dark."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from reactnet.report.read import Span

# A narrow canvas, scaled up on wide screens: its letters stay readable on a phone.
WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 18, 24
COLOURS = 8  # of runs; the next eight come dashed, and so on
LOG_FROM = 30  # a curve whose largest value is so many times its smallest is drawn by powers of ten
LETTER = 5.4  # width of a letter of the small labels


@dataclass(frozen=True)
class Line:
    """`points` by epoch; `style` is its class, such as "run0"."""

    name: str
    points: Mapping[int, float]
    style: str


@dataclass(frozen=True)
class Chart:
    """`words` says what is drawn, to those who cannot see it; `shown` writes a value."""

    words: str
    lines: Sequence[Line]
    epochs: int
    shown: Callable[[float], str]
    spans: Sequence[Span] = ()
    zero: bool = True  # the axis begins at 0
    may_log: bool = False
    attributes: str = field(default="")


def run_style(index: int) -> str:
    """The class of a run's lines."""
    return f"run{index % COLOURS} dash{index // COLOURS % 3}"


def draw(chart: Chart) -> str:
    """The SVG; its data for the page's script stand in `data-chart`, escaped JSON, and it is whole without a script."""
    values = [value for line in chart.lines for value in line.points.values()]
    if not values:
        return '<p class="nothing">Nothing measured yet.</p>'
    log = chart.may_log and min(values) > 0 and max(values) > LOG_FROM * min(values)
    ticks = log_ticks(min(values), max(values)) if log else ticks_of(min(values), max(values), chart.zero)
    low, high = ticks[0], ticks[-1]

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - 1) / max(1, chart.epochs - 1)

    def y(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.words)}" {chart.attributes}>',
        *_grid(chart, ticks, x, y),
        *(part for line in chart.lines for part in _path(line, x, y)),
        f'<line class="cursor" x1="0" x2="0" y1="{TOP}" y2="{HEIGHT - BOTTOM}" hidden="hidden"/>',
        "</svg>",
    ]
    return "".join(parts)


def data(chart: Chart) -> dict[str, Any]:
    """What the page's script shows beside the pointer."""
    return {
        "epochs": chart.epochs,
        "left": LEFT / WIDTH,
        "right": (WIDTH - RIGHT) / WIDTH,
        "width": WIDTH,
        "lines": [
            {"name": line.name, "style": line.style, "shown": {e + 1: chart.shown(v) for e, v in line.points.items()}}
            for line in chart.lines
        ],
    }


def ticks_of(low: float, high: float, zero: bool) -> list[float]:
    """Three to six round numbers that enclose the values."""
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-12 * max(abs(high), abs(low)):
        low, high = low - (abs(low) * 0.5 if low else 0.5), high + (abs(high) * 0.5 if high else 0.5)
        if zero and low < 0 <= high and high > 0:
            low = 0.0
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten that enclose the values, every second or third one where there are many."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    every = max(1, -(-(last - first) // 5))
    first -= -(last - first) % every
    return [10.0**power for power in range(first, last + 1, every)]


def _grid(chart: Chart, ticks: Sequence[float], x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    parts = []
    for tick in ticks:
        at = y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        label = escape(chart.shown(tick).replace(".0 %", " %"))
        parts.append(f'<text class="tick" x="{LEFT - 5}" y="{at + 3:.1f}" text-anchor="end">{label}</text>')
    for epoch in _epoch_ticks(chart.epochs):
        parts.append(
            f'<text class="tick" x="{x(epoch):.1f}" y="{HEIGHT - BOTTOM + 13}" text-anchor="middle">{epoch}</text>'
        )
    for span in chart.spans:
        begin, end = x(span.first + 1), x(span.first + span.epochs + 1)
        if span.first:
            half = (x(2) - x(1)) / 2  # a border lies between two epochs
            parts.append(
                f'<line class="border" x1="{begin - half:.1f}" x2="{begin - half:.1f}" y1="{TOP}" '
                f'y2="{HEIGHT - BOTTOM}"/>'
            )
        room = int((min(end, WIDTH) - begin) / LETTER) - 2
        if room >= 3:
            name = span.name if len(span.name) <= room else span.name[: room - 1] + "…"
            parts.append(f'<text class="phase" x="{begin:.1f}" y="{TOP - 7}">{escape(name)}</text>')
    return parts


def _epoch_ticks(epochs: int) -> list[int]:
    if epochs == 1:
        return [1]
    found = [int(tick) for tick in ticks_of(1, epochs, zero=False) if 1 <= tick <= epochs and tick == int(tick)]
    return [1, *(tick for tick in found if tick > 1 + epochs / 12)]


def _path(line: Line, x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    """A stroke through neighbouring epochs, interrupted where some are missing; a point that stands alone is a dot."""
    pieces: list[list[int]] = []
    for epoch in sorted(line.points):
        if pieces and epoch == pieces[-1][-1] + 1:
            pieces[-1].append(epoch)
        else:
            pieces.append([epoch])
    style, name = line.style, escape(line.name)
    parts = []
    strokes = []
    for piece in pieces:
        places = [f"{x(epoch + 1):.1f} {y(line.points[epoch]):.1f}" for epoch in piece]
        if len(places) == 1:
            cx, cy = places[0].split()
            parts.append(f'<circle class="line {style}" data-line="{name}" cx="{cx}" cy="{cy}" r="2.5"/>')
        else:
            strokes.append("M" + "L".join(places))
    if strokes:
        parts.append(f'<path class="line {style}" data-line="{name}" d="{"".join(strokes)}"/>')
    return parts
