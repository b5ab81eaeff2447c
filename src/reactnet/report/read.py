"""Run folders, as a report reads them: only text files, and those as they come, for a run may be going on.

What is broken in a log (a line that is being written, a value of the wrong kind) is left out and said aloud in
`Run.notes`; only what is no run folder at all is an error.
"""

import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactnet.errors import ReactnetError
from reactnet.files import MAX_TEXT, read_regular

MAX_BYTES = 2**30  # of a log: a long run writes a few MiB

_HINT = "give what `reactnet train` wrote"


@dataclass(frozen=True)
class Span:
    """A phase: its epochs are `first` to `first + epochs - 1` of the run, as the recipe plans them."""

    name: str
    first: int
    epochs: int
    binarize: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """A run, and its lines by epoch of the whole run. `measured` is the part of the data top-1 is measured on."""

    name: str
    path: Path
    info: Mapping[str, Any]
    recipe: Mapping[str, Any]
    recipe_text: str
    spans: tuple[Span, ...]
    lines: Mapping[int, Mapping[str, Any]]
    vitals: Mapping[int, Mapping[str, Any]]
    histograms: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]

    @property
    def measured(self) -> str:
        """ "test" or "validation"."""
        return "validation" if table(self.recipe.get("data")).get("evaluate_on") == "validation" else "test"

    @property
    def planned(self) -> int:
        """Epochs of all phases."""
        return sum(span.epochs for span in self.spans)

    def span_of(self, epoch: int) -> Span:
        """The phase of an epoch of the run."""
        return next(span for span in self.spans if span.first <= epoch < span.first + span.epochs)

    def value(self, epoch: int, key: str) -> float | None:
        """A number of the log; `top1` is that of the measured part."""
        return number(self.lines[epoch].get(f"{self.measured}_top1" if key == "top1" else key))


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read each folder. Raises ReactnetError if one is no run folder, or none of them has finished an epoch."""
    if not folders:
        raise ReactnetError("report: no run given", hint="give one or several run folders: reactnet report runs/digits")
    names = _names(folders)
    runs = [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]
    if not any(run.lines for run in runs):
        raise ReactnetError(
            f"{folders[0]}: no epoch is finished yet" if len(runs) == 1 else "report: no epoch is finished in any run",
            hint="wait for the first line of its log.jsonl",
        )
    return runs


def read_run(folder: Path, name: str) -> Run:
    """Read one run folder; `name` is what the report calls it."""
    recipe_file = folder / "recipe.toml"
    try:
        text = read_regular(recipe_file, most=MAX_TEXT, hint=_HINT).decode("utf-8")
        recipe = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ReactnetError(f"{folder}: no run folder: it has no recipe.toml", hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise ReactnetError(f"{recipe_file}: {error}", hint=_HINT) from error
    notes: list[str] = []
    spans = _spans(recipe)
    return Run(
        name=name,
        path=folder,
        info=_object(folder / "run.json", notes),
        recipe=recipe,
        recipe_text=text,
        spans=spans,
        lines=_by_epoch(folder / "log.jsonl", spans, notes),
        vitals=_by_epoch(folder / "vitals.jsonl", spans, notes),
        histograms=_histograms(folder / "histograms", spans, notes),
        notes=tuple(notes),
    )


def number(value: object) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def numbers(value: object, length: int) -> list[float] | None:
    """A list of so many finite numbers, or None for anything else."""
    if not isinstance(value, list) or len(value) != length:
        return None
    found = [number(item) for item in value]
    return None if None in found else [item for item in found if item is not None]


def table(value: object) -> dict[str, Any]:
    """A table with strings for keys, empty for anything else."""
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or as much of it as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        twice = next(str(folder) for folder, one in zip(folders, parts, strict=True) if parts.count(one) > 1)
        raise ReactnetError(f"{twice}: given twice", hint="give each run once")
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-count:]) for one in parts]
        if len(set(names)) == len(names):
            break
    return names


def _spans(recipe: Mapping[str, Any]) -> tuple[Span, ...]:
    spans: list[Span] = []
    first = 0
    for name, phase in table(recipe.get("phases")).items():
        planned = table(phase).get("epochs")
        epochs = planned if isinstance(planned, int) and planned > 0 else 0
        binarize = table(phase).get("binarize")
        parts = tuple(map(str, binarize)) if isinstance(binarize, list) else ()
        spans.append(Span(name, first, epochs, parts))
        first += epochs
    return tuple(spans)


def _by_epoch(file: Path, spans: tuple[Span, ...], notes: list[str]) -> dict[int, dict[str, Any]]:
    try:
        data = read_regular(file, most=MAX_BYTES, hint=_HINT)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    whole, _, torn = data.rpartition(b"\n")
    if torn:
        notes.append(f"{file.name}: the last line is not whole: it is being written, or the run was cut off there")
    firsts = {span.name: span for span in spans}
    found: dict[int, dict[str, Any]] = {}
    wrong = 0
    for line in whole.splitlines():
        record = _parse(line)
        span, epoch = firsts.get(str(record.get("phase"))), record.get("epoch")
        if span is None or isinstance(epoch, bool) or not isinstance(epoch, int) or not 0 <= epoch < span.epochs:
            wrong += 1
            continue
        found[span.first + epoch] = record
    if wrong:
        notes.append(f"{file.name}: {wrong} lines are left out: no record of an epoch of this recipe")
    return dict(sorted(found.items()))


def _histograms(folder: Path, spans: tuple[Span, ...], notes: list[str]) -> dict[str, dict[str, Any]]:
    found = {span.name: _object(folder / f"{span.name}.json", notes) for span in spans if "/" not in span.name}
    return {name: item for name, item in found.items() if item}


def _object(file: Path, notes: list[str]) -> dict[str, Any]:
    try:
        found = _parse(read_regular(file, most=MAX_BYTES, hint=_HINT))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if not found:
        notes.append(f"{file.name}: left out: not a JSON object")
    return found


def _parse(text: bytes) -> dict[str, Any]:
    refuse: Callable[[str], None] = lambda word: None  # noqa: E731  # NaN and Infinity are no JSON: no value
    try:
        return table(json.loads(text.decode("utf-8"), parse_constant=refuse))
    except (ValueError, RecursionError):
        return {}
