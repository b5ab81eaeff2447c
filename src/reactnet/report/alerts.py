"""What in a run deserves a look, in words. Each threshold is a constant with its reason."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reactnet.report.read import Run, Span, number, numbers, table

# Below this share of flips in an epoch a layer stands still: of a 64-channel 3x3 layer, 7 of 36,864 weights.
STUCK = 2e-4
# A layer may rest once the learning rate has fallen to this share of the phase's highest; before, resting is too early.
AWAKE = 0.1
# At that rest, more flips than this in an epoch mean that the signs have not settled: the last epoch decides by chance.
RESTLESS = 0.05
# A quarter of the channels constant: the layer is paid for in full and works at three quarters.
DEAD = 0.25
# At 5 % of either sign a channel carries 0.29 of a bit on average (the entropy of a 5:95 coin), less than a third.
LOPSIDED = 0.05
# The gradient passes in one of ten places: the layers before this one learn from a tenth of what they do.
NARROW = 0.1
# Half of the latent weights get no gradient any more: they will keep their signs whatever the data say.
BEYOND = 0.5
# A threshold that moved, on average, by more than one standard deviation of its input has left the bulk of it.
FAR = 1.0
# Points of top-1 below the phase's best that are more than the noise of a set of some hundred images.
FELL = 0.03
# Layers named for one kind of alert; the others are counted.
NAMED = 6


@dataclass(frozen=True)
class Alert:
    """`where` is a layer or phase, `text` what is wrong with it and what that means."""

    level: Literal["warning", "note"]
    where: str
    text: str


def find_alerts(run: Run) -> list[Alert]:
    """All alerts of a run: of its course, then of its layers, at the last epoch that was measured."""
    found = list(_course(run))
    if run.vitals:
        epoch = max(run.vitals)
        record, span = run.vitals[epoch], run.span_of(epoch)
        found += _few([*_still(run, span)], "stand still")
        found += _few([*_restless(run, record, span, epoch)], "still flip")
        found += _few([*_dead(record)], "have dead channels")
        found += _few([*_lopsided(record)], "are lopsided")
        found += _few([*_narrow(record)], "pass little gradient")
        found += _few([*_beyond(record)], "have latent weights beyond the window")
        found += _few([*_drifted(record)], "have drifted")
    return found


def percent(share: float) -> str:
    """A share in percent, small ones with the digits that tell them from 0."""
    if share == 0 or share >= 0.0995:
        return f"{100 * share:.0f} %" if share in (0, 1) else f"{100 * share:.1f} %"
    return f"{100 * share:.2g} %" if share >= 1e-6 else "under 0.0001 %"


def _course(run: Run) -> Iterator[Alert]:
    for span in run.spans:
        told = {epoch: run.value(epoch, "top1") for epoch in run.lines if run.span_of(epoch) is span}
        known = {epoch: value for epoch, value in told.items() if value is not None}
        if not known:
            continue
        last, best = max(known), max(known, key=lambda epoch: known[epoch])
        if known[best] - known[last] > FELL:
            lost = 100 * (known[best] - known[last])
            yield Alert(
                "warning",
                span.name,
                f"top-1 is {lost:.1f} points below this phase's best ({percent(known[best])}, epoch "
                f"{best - span.first + 1})",
            )


def _still(run: Run, span: Span) -> Iterator[Alert]:
    """By the latest epoch at which the learning rate was still high; a phase's first has only begun to move."""
    rates = {
        epoch: run.value(epoch, "learning_rate")
        for epoch in run.lines
        if epoch in run.vitals and run.span_of(epoch) is span
    }
    known = {epoch: rate for epoch, rate in rates.items() if rate is not None}
    awake = [e for e, rate in known.items() if rate >= AWAKE * max(known.values()) and e > span.first]
    if not awake:
        return
    epoch = max(awake)
    for layer, entry in _layers(run.vitals[epoch], "weights"):
        flips = number(entry.get("flips"))
        if flips is not None and flips < STUCK:
            yield Alert(
                "warning",
                layer,
                f"{percent(flips)} flips, stuck (phase {span.name}, epoch {epoch - span.first + 1}, while the "
                "learning rate was still high)",
            )


def _restless(run: Run, record: Mapping[str, Any], span: Span, epoch: int) -> Iterator[Alert]:
    if epoch != span.first + span.epochs - 1:
        return
    for layer, entry in _layers(record, "weights"):
        flips = number(entry.get("flips"))
        if flips is not None and flips > RESTLESS:
            yield Alert(
                "warning", layer, f"{percent(flips)} flips in the last epoch of {span.name}: its signs have not settled"
            )


def _dead(record: Mapping[str, Any]) -> Iterator[Alert]:
    for layer, entry in _layers(record, "signs"):
        dead, channels = number(entry.get("dead")), number(entry.get("channels"))
        if dead is not None and channels is not None and channels > 0 and dead >= DEAD * channels:
            yield Alert("warning", layer, f"{dead:.0f} of {channels:.0f} channels dead")


def _lopsided(record: Mapping[str, Any]) -> Iterator[Alert]:
    for layer, entry in _layers(record, "signs"):
        plus = number(entry.get("plus"))
        if plus is not None and not LOPSIDED <= plus <= 1 - LOPSIDED:
            yield Alert("warning", layer, f"{percent(plus)} of the activations are +1: nearly constant")


def _narrow(record: Mapping[str, Any]) -> Iterator[Alert]:
    for layer, entry in _layers(record, "signs"):
        window = number(entry.get("window"))
        if window is not None and window < NARROW:
            yield Alert("warning", layer, f"the gradient passes in {percent(window)} of its places")


def _beyond(record: Mapping[str, Any]) -> Iterator[Alert]:
    for layer, entry in _layers(record, "weights"):
        outside = number(entry.get("outside"))
        if outside is not None and outside > BEYOND:
            yield Alert("warning", layer, f"{percent(outside)} of the latent weights are beyond the gradient's window")


def _drifted(record: Mapping[str, Any]) -> Iterator[Alert]:
    for layer, entry in _layers(record, "signs"):
        drift, spread = numbers(entry.get("drift"), 2), number(entry.get("spread"))
        if drift is not None and spread is not None and drift[0] > FAR * spread:
            yield Alert(
                "warning",
                layer,
                f"shift drift: its thresholds moved by {drift[0]:.2g} on average, more than the spread of what they "
                f"divide ({spread:.2g})",
            )


def _layers(record: Mapping[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for layer, entry in table(record.get(kind)).items():
        fields = table(entry)
        if fields.get("binary") is True:
            yield layer, fields


def _few(alerts: list[Alert], what: str) -> list[Alert]:
    rest = len(alerts) - NAMED
    return alerts if rest <= 1 else [*alerts[:NAMED], Alert("warning", f"{rest} more layers", f"{what} likewise")]
