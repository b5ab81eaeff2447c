"""The vitals: of each metric a chart with a line a layer, and a table of strips of colour over the epochs."""

from collections.abc import Mapping
from html import escape
from typing import Any

from reactnet.report.alerts import percent
from reactnet.report.charts import Chart, Line, data, draw
from reactnet.report.metrics import METRICS, Metric, Series, series
from reactnet.report.read import Run, Span

SHADES = 10  # of lines, by the depth of their layer
COLUMNS = 240  # a strip has no more cells: what falls into one is its last epoch


def vitals_section(run: Run, charts: dict[str, Any]) -> str:
    """Cards, one a metric. `charts` receives the data of each, for the page's script."""
    cards = [_card(run, metric, charts) for metric in METRICS]
    return '<div class="cards wide">' + "".join(cards) + "</div>"


def shown(metric: Metric, value: float) -> str:
    """A value of a metric, as the page writes it."""
    return percent(value) if metric.percent else f"{value:.3g}"


def _card(run: Run, metric: Metric, charts: dict[str, Any]) -> str:
    layers = series(run, metric)
    head = f"<h4>{metric.title}</h4><p>{metric.words}</p>"
    if not layers:
        return f'<section class="card">{head}<p class="nothing">Nothing measured yet.</p></section>'
    key = f"v{len(charts)}"
    lines = [Line(name, points, f"depth{_shade(at, len(layers))}") for at, (name, points) in enumerate(layers.items())]
    chart = Chart(
        f"{metric.title} of {run.name}, a line a layer; the table below has the values",
        lines,
        run.planned,
        lambda value: shown(metric, value),
        run.spans,
        may_log=metric.scale == "log",
        attributes=f'data-chart="{key}"',
    )
    charts[key] = data(chart)
    return f'<section class="card">{head}{draw(chart)}{_table(run, metric, layers)}{_key(metric, layers)}</section>'


def _shade(at: int, layers: int) -> int:
    return round(at * (SHADES - 1) / max(1, layers - 1))


def _table(run: Run, metric: Metric, layers: Mapping[str, Series]) -> str:
    largest = max(value for points in layers.values() for value in points.values())
    rows = []
    for name, points in layers.items():
        last = points[max(points)]
        label = escape(name)
        rows.append(
            f'<tr data-line="{label}"><th scope="row" title="{label}"><bdi>{label}</bdi></th>'
            f"<td>{_strip(metric, points, run.planned, largest, run.spans)}</td>"
            f'<td class="number">{escape(shown(metric, last))}</td></tr>'
        )
    return (
        '<div class="scroll" tabindex="0"><table class="strips"><thead><tr><th scope="col">layer</th>'
        f'<th scope="col">epochs 1 to {run.planned}</th><th scope="col" class="number">last</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _strip(metric: Metric, points: Series, epochs: int, largest: float, spans: tuple[Span, ...]) -> str:
    """One path for each colour; neighbouring cells of one colour are one rectangle."""
    columns = min(epochs, COLUMNS)
    cells: dict[int, int] = {}
    for epoch in sorted(points):
        cells[epoch * columns // epochs] = metric.level(points[epoch], largest)
    paths: dict[int, str] = {}
    begin = 0
    while begin < columns:
        level = cells.get(begin)
        end = begin + 1
        while end < columns and cells.get(end) == level:
            end += 1
        if level is not None:
            paths[level] = paths.get(level, "") + f"M{begin} 0h{end - begin}v1h{begin - end}z"
        begin = end
    colour = "d" if metric.scale == "centre" else "l"
    drawn = "".join(f'<path class="{colour}{level}" d="{path}"/>' for level, path in sorted(paths.items()))
    borders = "".join(
        f'<path class="cut" d="M{span.first * columns / epochs:g} 0v1"/>'
        for span in spans
        if span.first and span.epochs
    )
    return (
        f'<svg class="strip" viewBox="0 0 {columns} 1" preserveAspectRatio="none" aria-hidden="true">'
        f"{drawn}{borders}</svg>"
    )


def _key(metric: Metric, layers: Mapping[str, Series]) -> str:
    colour = "d" if metric.scale == "centre" else "l"
    if metric.scale == "log":
        low, high = metric.low, metric.high
    elif metric.scale == "auto":
        low, high = 0.0, max(value for points in layers.values() for value in points.values())
    else:
        low, high = 0.0, 1.0
    swatches = "".join(f'<path class="{colour}{level}" d="M{level} 0h1v1h-1z"/>' for level in range(9))
    svg = f'<svg class="strip" viewBox="0 0 9 1" preserveAspectRatio="none" aria-hidden="true">{swatches}</svg>'
    words = "by powers of ten" if metric.scale == "log" else "evenly"
    return (
        f'<p class="key"><span>{escape(shown(metric, low))}</span>{svg}<span>{escape(shown(metric, high))}</span> '
        f"{words}</p>"
    )
