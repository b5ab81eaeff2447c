"""The tables of a report: runs, last values, hand-overs, and what differs between recipes."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from reactnet.report.alerts import percent
from reactnet.report.charts import run_style
from reactnet.report.metrics import RPRELU
from reactnet.report.read import Run, number, numbers, table

NONE = "-"
LISTED = 300  # keys of a hand-over that are named; the others are counted


def run_table(runs: Sequence[Run]) -> str:
    """A row a run: what it is, how far it is, and top-1 at the end of each phase."""
    rows = []
    for index, run in enumerate(runs):
        seconds = [value for epoch in run.lines if (value := run.value(epoch, "time")) is not None]
        commit = run.info.get("commit")
        rows.append(
            f'<tr><th scope="row"><i class="swatch {run_style(index)}"></i>{escape(run.name)}</th>'
            f"<td>{escape(str(run.recipe.get('model', NONE)))}</td><td>{_state(run)}</td><td>{_phases(run)}</td>"
            f'<td class="number">{duration(sum(seconds)) if seconds else NONE}</td>'
            f'<td class="number">{escape(str(run.recipe.get("seed", NONE)))}</td>'
            f"<td>{escape(str(run.info.get('device', NONE)))}</td>"
            f"<td><code>{escape(str(commit)[:12]) if commit else NONE}</code></td></tr>"
        )
    heads = ["run", "model", "state", "top-1 at the end of each phase", "training time", "seed", "device", "commit"]
    return _table(heads, rows, {"training time", "seed"})


def duration(seconds: float) -> str:
    """48 s, 12 min, 3 h 20 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def last_values(run: Run) -> str:
    """All vitals of the last epoch, a table for each kind of layer."""
    if not run.vitals:
        return '<p class="nothing">Not measured.</p>'
    epoch = max(run.vitals)
    record, span = run.vitals[epoch], run.span_of(epoch)
    parts = [f"<p>Epoch {epoch - span.first + 1} of {escape(span.name)}.</p>"]
    for kind, title, columns in (
        ("weights", "Binary convolutions", _WEIGHTS),
        ("signs", "Signs", _SIGNS),
        ("rprelus", "RPReLUs: mean and largest distance from where the phase began", _RPRELUS),
    ):
        layers = table(record.get(kind))
        if not layers:
            continue
        rows = []
        for name, entry in layers.items():
            cells = "".join(f'<td class="number">{escape(show(table(entry)))}</td>' for show in columns.values())
            rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
        parts.append(f"<h4>{title}</h4>{_table(['layer', *columns], rows, set(columns))}")
    return "".join(parts)


def hand_over_tables(run: Run) -> str:
    """What each phase took over, and what it began anew."""
    rows = []
    for name, entry in table(run.info.get("hand_over")).items():
        fields = table(entry)
        carried, restarted = _strings(fields.get("carried")), _strings(fields.get("restarted"))
        rows.append(f'<tr><th scope="row">{escape(name)}</th><td>{_keys(carried)}</td><td>{_keys(restarted)}</td></tr>')
    if not rows:
        return '<p class="nothing">None noted.</p>'
    return _table(["phase", "carried over", "begun anew"], rows, set())


def differences_table(runs: Sequence[Run]) -> str:
    """Keys of the recipes, and of what ran them, whose values differ; then each recipe as it was resolved."""
    texts = "".join(
        f"<details><summary>The resolved recipe of {escape(run.name)}</summary><pre>{escape(run.recipe_text)}</pre>"
        "</details>"
        for run in runs
    )
    if len(runs) == 1:
        return texts
    flat = [_flat(run.recipe) | _flat(_circumstances(run)) for run in runs]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    rows = []
    for key in keys:
        values = [one.get(key) for one in flat]
        if any(value != values[0] for value in values):
            cells = "".join(f"<td>{escape(NONE if value is None else value)}</td>" for value in values)
            rows.append(f'<tr><th scope="row"><code>{escape(key)}</code></th>{cells}</tr>')
    if not rows:
        return f"<p>The recipes, versions and machines are the same.</p>{texts}"
    return _table(["key", *(run.name for run in runs)], rows, set()) + texts


def _state(run: Run) -> str:
    if run.info.get("finished") is True:
        return "finished"
    done = len(run.lines)
    return f"epoch {done} of {run.planned}: going on, or stopped" if done else "no epoch finished yet"


def _phases(run: Run) -> str:
    items = []
    for span in run.spans:
        known = [
            epoch
            for epoch in run.lines
            if span.first <= epoch < span.first + span.epochs and run.value(epoch, "top1") is not None
        ]
        if not known:
            continue
        epoch = max(known)
        top1 = run.value(epoch, "top1")
        assert top1 is not None
        so_far = "" if epoch == span.first + span.epochs - 1 else f" after {epoch - span.first + 1} of {span.epochs}"
        items.append(f"<li>{escape(span.name)} <b>{100 * top1:.2f} %</b>{so_far}</li>")
    return f'<ul class="plain">{"".join(items)}</ul>' if items else NONE


def _share(key: str) -> Callable[[Mapping[str, Any]], str]:
    def show(entry: Mapping[str, Any]) -> str:
        value = number(entry.get(key))
        return NONE if value is None else percent(value)

    return show


def _plain(key: str, at: int | None = None, length: int = 1) -> Callable[[Mapping[str, Any]], str]:
    """A number, or the one at a place of a list."""

    def show(entry: Mapping[str, Any]) -> str:
        found = [number(entry.get(key))] if at is None else numbers(entry.get(key), length)
        value = None if found is None else found[0 if at is None else at]
        return NONE if value is None else f"{value:.3g}"

    return show


def _dead(entry: Mapping[str, Any]) -> str:
    dead, channels = number(entry.get("dead")), number(entry.get("channels"))
    return NONE if dead is None or channels is None else f"{dead:.0f} of {channels:.0f}"


def _drift(key: str) -> Callable[[Mapping[str, Any]], str]:
    def show(entry: Mapping[str, Any]) -> str:
        found = numbers(entry.get(key), 2)
        return NONE if found is None else f"{found[0]:.3g}, {found[1]:.3g}"

    return show


_WEIGHTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "flips": _share("flips"),
    **{f"|w| {share} %": _plain("quantiles", at, 5) for at, share in enumerate((5, 25, 50, 75, 95))},
    "beyond the window": _share("outside"),
}
_SIGNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "+1": _share("plus"),
    "dead channels": _dead,
    "in the window": _share("window"),
    "spread of the input": _plain("spread"),
    "shift drift, mean": _plain("drift", 0, 2),
    "largest": _plain("drift", 1, 2),
}
_RPRELUS: dict[str, Callable[[Mapping[str, Any]], str]] = {key: _drift(key) for key in RPRELU}


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _keys(keys: Sequence[str]) -> str:
    if not keys:
        return "nothing"
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    named = ", ".join(f"<code>{escape(key)}</code>" for key in keys[:LISTED])
    return f"<details><summary>{len(keys)} tensors</summary>{named}{more}</details>"


def _circumstances(run: Run) -> dict[str, Any]:
    return {key: run.info[key] for key in ("commit", "device", "versions") if key in run.info}


def _flat(found: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in found.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def _table(heads: Sequence[str], rows: Sequence[str], right: set[str]) -> str:
    cells = "".join(f'<th scope="col"{" class=number" if head in right else ""}>{escape(head)}</th>' for head in heads)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        "</div>"
    )
