"""The page: its parts in order, with style sheet and script inside, so that the file needs nothing else."""

import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

from reactnet import __version__
from reactnet.report.alerts import Alert, find_alerts, percent
from reactnet.report.charts import Chart, Line, data, draw, run_style
from reactnet.report.histograms import histograms_section
from reactnet.report.read import Run, number, table
from reactnet.report.strips import vitals_section
from reactnet.report.tables import differences_table, hand_over_tables, last_values, run_table

# No request leaves the page, even if a log holds text that passes for a tag.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


def make_page(runs: Sequence[Run]) -> str:
    """The HTML of a report on `runs`. All text that stands in a log is escaped."""
    charts: dict[str, Any] = {}
    title = "Training report: " + ", ".join(run.name for run in runs)
    sections = [
        ("runs", "Runs", run_table(runs)),
        ("alerts", "What deserves a look", _alerts(runs)),
        ("curves", "Curves", _legend(runs) + _curves(runs, charts)),
        ("vitals", "Vitals, a layer", _each(runs, [_vitals(run, charts) for run in runs])),
        ("histograms", "Activations before and after RSign and RPReLU", _histograms(runs)),
        ("last", "Last values", _each(runs, [last_values(run) for run in runs])),
        ("hand-overs", "Hand-overs", _each(runs, [hand_over_tables(run) for run in runs])),
        ("recipes", "Recipes", differences_table(runs)),
    ]
    links = "".join(f'<a href="#{key}">{name}</a>' for key, name, _ in sections)
    body = "".join(f'<section id="{key}"><h2>{name}</h2>{html}</section>' for key, name, html in sections)
    # In a script element only "</" and "<!--" could end the text early: no "<" is left in it.
    packed = json.dumps(charts, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<style>{_asset('page.css')}</style></head><body><header><h1>Training report</h1>"
        f'<p class="lead">{_lead(runs)}</p><nav>{links}</nav></header><main>{body}</main>'
        f"<footer>Made by reactnet {escape(__version__)} from the logs of the runs; it needs no other file.</footer>"
        f'<div id="tip" role="status" hidden></div><script type="application/json" id="data">{packed}</script>'
        f"<script>{_asset('page.js')}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return resources.files("reactnet.report").joinpath(name).read_text("utf-8")


def _lead(runs: Sequence[Run]) -> str:
    """The one sentence that someone who reads no further should take along."""
    parts = []
    for run in runs:
        known = [epoch for epoch in run.lines if run.value(epoch, "top1") is not None]
        if not known:
            parts.append(f"<b>{escape(run.name)}</b> has not finished an epoch")
            continue
        epoch = max(known)
        top1 = run.value(epoch, "top1")
        assert top1 is not None
        state = "" if run.info.get("finished") is True else f", epoch {len(run.lines)} of {run.planned}"
        model = escape(str(run.recipe.get("model")))
        parts.append(f"<b>{escape(run.name)}</b> ({model}{state}): <b>{100 * top1:.2f} %</b> {run.measured} top-1")
    return "; ".join(parts) + "."


def _alerts(runs: Sequence[Run]) -> str:
    parts = []
    for index, run in enumerate(runs):
        found = [*find_alerts(run), *(Alert("note", run.name, note) for note in run.notes)]
        items = "".join(
            f'<li class="{alert.level}"><b><bdi>{escape(alert.where)}</bdi></b>: {escape(alert.text)}</li>'
            for alert in found
        )
        quiet = (
            "Nothing stands out: signs move while they should, channels live, gradients pass, thresholds stay in place."
            if run.vitals
            else "Nothing stands out in the curves; the vitals were not measured in this run."
        )
        listed = f'<ul class="alerts">{items}</ul>' if items else f'<p class="good">{quiet}</p>'
        head = f'<h3><i class="swatch {run_style(index)}"></i>{escape(run.name)}</h3>' if len(runs) > 1 else ""
        parts.append(head + listed)
    return "".join(parts)


def _legend(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return ""
    items = []
    for index, run in enumerate(runs):
        key = f'<svg viewBox="0 0 24 8" aria-hidden="true"><path class="line {run_style(index)}" d="M1 4H23"/></svg>'
        name = escape(run.name)
        items.append(f'<label><input type="checkbox" checked data-run="{name}">{key}{name}</label>')
    return f'<div class="legend" role="group" aria-label="Runs shown">{"".join(items)}</div>'


def _curves(runs: Sequence[Run], charts: dict[str, Any]) -> str:
    parts = sorted({run.measured for run in runs})
    curves = [
        ("top1", f"{' and '.join(parts).capitalize()} top-1", percent, False, False),
        ("train_top1", "Training top-1", percent, False, False),
        ("loss", "Training loss", lambda value: f"{value:.3g}", False, True),
        ("learning_rate", "Learning rate", lambda value: f"{value:.3g}", True, False),
        ("rate", "Images a second", lambda value: f"{value:,.0f}", True, False),
    ]
    same = len({run.spans for run in runs}) == 1
    epochs = max(run.planned for run in runs)
    cards = []
    for key, title, shown, zero, may_log in curves:
        lines = [
            Line(run.name, points, run_style(index))
            for index, run in enumerate(runs)
            if (points := {e: v for e in run.lines if (v := run.value(e, key)) is not None})
        ]
        name = f"c{len(charts)}"
        ends = "; ".join(f"{line.name} ends at {shown(line.points[max(line.points)])}" for line in lines)
        chart = Chart(
            f"{title} by epoch: {ends}",
            lines,
            epochs,
            shown,
            runs[0].spans if same else (),
            zero,
            may_log,
            f'data-chart="{name}"',
        )
        charts[name] = data(chart)
        cards.append(f'<section class="card"><h4>{title}</h4>{draw(chart)}</section>')
    note = "" if same else "<p>The runs have different phases; epochs are counted from the beginning of each run.</p>"
    return f'{note}<div class="cards">{"".join(cards)}</div>'


def _vitals(run: Run, charts: dict[str, Any]) -> str:
    if not run.vitals:
        return '<p class="nothing">No vitals.jsonl: this run was trained before they were measured.</p>'
    times = [time for record in run.vitals.values() if (time := number(record.get("time"))) is not None]
    last = run.vitals[max(run.vitals)]
    images = number(last.get("images"))
    cost = f" Measuring took {sum(times) / len(times):.2g} s an epoch." if times else ""
    of = f" on {images:.0f} fixed {run.measured} images" if images is not None else ""
    kinds = [key for key in ("weights", "signs") if table(last.get(key))]
    none = "" if kinds else " This model has no binary layer."
    return (
        f"<p>Measured after each epoch{of}.{cost}{none} Blank cells: the layer was still real-valued. "
        f"Lines go from light to dark with the depth of their layer.</p>{vitals_section(run, charts)}"
    )


def _histograms(runs: Sequence[Run]) -> str:
    words = (
        '<p>Shares of the activations of each layer, <i class="swatch before"></i>before and '
        '<i class="swatch after"></i>after, with 0 marked: there a sign divides -1 from +1. The bars below a sign are '
        "its channels by their own share of +1; what stands at an end never changes.</p>"
    )
    none = (
        '<p class="nothing">None yet: training writes them at the end of each phase. For a run of an earlier version, '
        "make this report with <code>--measure</code>.</p>"
    )
    return words + _each(runs, [histograms_section(run) or none for run in runs])


def _each(runs: Sequence[Run], parts: Sequence[str]) -> str:
    """One part a run: plain for a single run, else folded, the first one open."""
    if len(runs) == 1:
        return parts[0]
    return "".join(
        f'<details class="run"{"" if index else " open"}><summary><i class="swatch {run_style(index)}"></i>'
        f"{escape(run.name)}</summary>{part}</details>"
        for index, (run, part) in enumerate(zip(runs, parts, strict=True))
    )
