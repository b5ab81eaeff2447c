"""Histograms of activations before and after RSign and RPReLU, as training left them at the end of each phase."""

from collections.abc import Mapping
from html import escape
from typing import Any

from reactnet.report.alerts import percent
from reactnet.report.read import Run, number, numbers, table

BINS, BALANCE_BINS = 48, 20  # as reactnet.train.histograms writes them
WIDTH, HEIGHT, BASE = 220, 92, 74


def histograms_section(run: Run) -> str:
    """Of each phase that is finished, the last one open. Empty where nothing was written."""
    parts = []
    known = [span for span in run.spans if span.name in run.histograms]
    for span in known:
        found = run.histograms[span.name]
        images = number(found.get("images"))
        of = f", {images:.0f} images" if images is not None else ""
        binary = " and ".join(span.binarize) if span.binarize else "nothing"
        opened = " open" if span is known[-1] else ""
        parts.append(
            f"<details{opened}><summary>End of {escape(span.name)} "
            f"<small>(binary: {escape(binary)}{of})</small></summary>"
            f"<h4>Before and after the shift of each sign</h4>{_signs(table(found.get('signs')))}"
            f"<h4>Before and after each RPReLU</h4>{_rprelus(table(found.get('rprelus')))}</details>"
        )
    return "".join(parts)


def _signs(layers: Mapping[str, Any]) -> str:
    cards = []
    for name, entry in layers.items():
        fields = table(entry)
        plus = number(fields.get("plus"))
        balance = numbers(fields.get("balance"), BALANCE_BINS)
        drawing = _pair(name, fields)
        if drawing is None or plus is None:
            continue
        text = f"{percent(plus)} +1"
        below = "" if balance is None else _balance(balance)
        cards.append(_figure(name, drawing, text, below))
    return f'<div class="cards small">{"".join(cards)}</div>' if cards else '<p class="nothing">None here.</p>'


def _rprelus(layers: Mapping[str, Any]) -> str:
    drawn = {name: _pair(name, table(entry)) for name, entry in layers.items()}
    cards = [_figure(name, drawing, "", "") for name, drawing in drawn.items() if drawing is not None]
    return f'<div class="cards small">{"".join(cards)}</div>' if cards else '<p class="nothing">None here.</p>'


def _figure(name: str, drawing: str, text: str, below: str) -> str:
    label = escape(name)
    said = f'<span class="number">{escape(text)}</span>' if text else ""
    return f'<figure><figcaption><bdi title="{label}">{label}</bdi>{said}</figcaption>{drawing}{below}</figure>'


def _pair(name: str, fields: Mapping[str, Any]) -> str | None:
    """Both distributions over one axis, with 0 marked: where a sign divides. None if the entry is not whole."""
    edges = numbers(fields.get("range"), 2)
    before, after = numbers(fields.get("before"), BINS), numbers(fields.get("after"), BINS)
    if edges is None or before is None or after is None or not edges[1] > edges[0]:
        return None
    top = max(*before, *after, 1e-9)
    zero = -edges[0] / (edges[1] - edges[0]) * WIDTH
    line = f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{BASE}"/>' if 0 <= zero <= WIDTH else ""
    marks = "".join(
        f'<text class="tick" x="{at:.1f}" y="{HEIGHT - 5}" text-anchor="{anchor}">{value}</text>'
        for at, anchor, value in _marks(edges, zero)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}: activations before and after, '
        f'from {edges[0]:.2g} to {edges[1]:.2g}"><path class="before" d="{_area(before, top)}"/>'
        f'<path class="after" d="{_area(after, top)}"/>{line}'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="{BASE}" y2="{BASE}"/>{marks}</svg>'
    )


def _marks(edges: list[float], zero: float) -> list[tuple[float, str, str]]:
    marks = [(0.0, "start", f"{edges[0]:.2g}"), (float(WIDTH), "end", f"{edges[1]:.2g}")]
    return [*marks, (zero, "middle", "0")] if 30 < zero < WIDTH - 30 else marks


def _area(shares: list[float], top: float) -> str:
    step = WIDTH / len(shares)
    heights = [BASE * (1 - share / top) for share in shares]
    points = "".join(f"L{index * step:.1f} {at:.1f}H{(index + 1) * step:.1f}" for index, at in enumerate(heights))
    return f"M0 {BASE}{points}V{BASE}z"


def _balance(shares: list[float]) -> str:
    """A channel's own share of +1, over all channels: what piles up at the ends is dead or nearly so."""
    top = max(*shares, 1e-9)
    bars = "".join(
        f"M{index + 0.08:.2f} {10:g}v{-9.5 * share / top:.2f}h.84V10z"
        for index, share in enumerate(shares)
        if share > 0
    )
    return (
        '<div class="balance"><span>all -1</span><svg viewBox="0 0 20 10" preserveAspectRatio="none" role="img" '
        f'aria-label="channels by their share of +1"><path class="after" d="{bars}"/></svg><span>all +1</span></div>'
    )
