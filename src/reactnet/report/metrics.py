"""The vitals that a report shows, one definition each: where it stands in the log, and how it is drawn."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reactnet.report.read import Run, number, numbers, table

LEVELS = 9  # colours of a strip
RPRELU = ("shift_in", "slope", "shift_out")

Series = dict[int, float]  # epoch of the run -> value


@dataclass(frozen=True)
class Metric:
    """`kind` is the group of the record; `value` takes a layer's entry. `only_binary`: nothing to see while it is real.

    `scale`: "share" is drawn from 0 to 1, "log" from `low` to `high` by powers of ten, "centre" by the distance from
    one half, "auto" from 0 to the largest value there is.
    """

    key: str
    kind: Literal["weights", "signs", "rprelus"]
    title: str
    words: str
    value: Callable[[Mapping[str, Any]], float | None]
    scale: Literal["share", "log", "centre", "auto"]
    only_binary: bool
    percent: bool
    low: float = 0.0
    high: float = 1.0

    def level(self, value: float, largest: float) -> int:
        """The colour of a value, 0 to LEVELS - 1; `largest` of all that are shown with it."""
        if self.scale == "log":
            place = 0.0 if value <= self.low else math.log(value / self.low) / math.log(self.high / self.low)
        elif self.scale == "auto":
            place = value / largest if largest > 0 else 0.0
        else:
            place = value
        lowest = 1 if self.scale == "share" and value > 0 else 0  # one dead channel is not none
        return max(lowest, min(LEVELS - 1, math.floor(place * LEVELS)))


def _drift(entry: Mapping[str, Any]) -> float | None:
    found = numbers(entry.get("drift"), 2)
    return None if found is None else found[0]


def _median(entry: Mapping[str, Any]) -> float | None:
    found = numbers(entry.get("quantiles"), 5)
    return None if found is None else found[2]


def _dead(entry: Mapping[str, Any]) -> float | None:
    dead, channels = number(entry.get("dead")), number(entry.get("channels"))
    return None if dead is None or channels is None or channels <= 0 else dead / channels


def _rprelu(entry: Mapping[str, Any]) -> float | None:
    found = [numbers(entry.get(key), 2) for key in RPRELU]
    known = [pair[0] for pair in found if pair is not None]
    return max(known) if known else None


METRICS = (
    Metric(
        "flips",
        "weights",
        "Sign flips",
        "Share of a layer's binary weights whose sign changed since the epoch before. It should fall with the learning "
        "rate, not before it.",
        lambda entry: number(entry.get("flips")),
        "log",
        only_binary=True,
        percent=True,
        low=1e-5,
        high=0.3,
    ),
    Metric(
        "plus",
        "signs",
        "Share of +1",
        "Share of a sign's outputs that are +1. Half carries most information: a full bit.",
        lambda entry: number(entry.get("plus")),
        "centre",
        only_binary=True,
        percent=True,
    ),
    Metric(
        "dead",
        "signs",
        "Dead channels",
        "Share of a sign's channels that never changed over the measured images: a constant, not a feature.",
        _dead,
        "share",
        only_binary=True,
        percent=True,
    ),
    Metric(
        "window",
        "signs",
        "Inside the gradient window",
        "Share of a sign's inputs that pass any gradient on. Beyond the window a layer before it learns nothing.",
        lambda entry: number(entry.get("window")),
        "share",
        only_binary=True,
        percent=True,
    ),
    Metric(
        "median",
        "weights",
        "Latent weights",
        "Median |w| of the latent weights. The larger, the more updates a sign needs to flip.",
        _median,
        "auto",
        only_binary=False,
        percent=False,
    ),
    Metric(
        "drift",
        "signs",
        "Threshold drift",
        "Mean |shift - start| of each RSign since the phase began.",
        _drift,
        "auto",
        only_binary=False,
        percent=False,
    ),
    Metric(
        "rprelu",
        "rprelus",
        "RPReLU drift",
        "The same of each RPReLU: the largest of its two shifts' and its slope's means.",
        _rprelu,
        "auto",
        only_binary=False,
        percent=False,
    ),
)


def series(run: Run, metric: Metric) -> dict[str, Series]:
    """Layer -> values by epoch, in the model's order. Layers without a single value are left out."""
    found: dict[str, Series] = {}
    for epoch, record in run.vitals.items():
        for layer, entry in table(record.get(metric.kind)).items():
            fields = table(entry)
            if metric.only_binary and fields.get("binary") is not True:
                continue
            value = metric.value(fields)
            if value is not None:
                found.setdefault(layer, {})[epoch] = value
    return found
