"""What a run tells whoever watches it. The library prints nothing: the command line draws these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactnet.train.hand_over import HandOver


@dataclass(frozen=True)
class RunBegin:
    """Before the first phase. `resumed` says from where, in words, or is None for a new run."""

    out: Path
    model: str
    phases: tuple[str, ...]
    resumed: str | None


@dataclass(frozen=True)
class PhaseBegin:
    """`epoch` and `step` are where it begins: above 0 in a resumed run. `hand_over` is None there."""

    phase: str
    binarize: tuple[str, ...]
    epochs: int
    steps_per_epoch: int
    epoch: int
    step: int
    hand_over: HandOver | None


@dataclass(frozen=True)
class StepEnd:
    """`step` counts within the epoch, from 1; `loss` and `train_top1` are means over the epoch so far."""

    phase: str
    epoch: int
    step: int
    images: int
    loss: float
    train_top1: float
    learning_rate: float


@dataclass(frozen=True)
class EpochEnd:
    """`record` is the line written to `log.jsonl`, `vitals` the one written to `vitals.jsonl`."""

    phase: str
    epoch: int
    record: Mapping[str, str | int | float]
    vitals: Mapping[str, Any]


@dataclass(frozen=True)
class PhaseEnd:
    """`top1` is that of the last epoch, `checkpoint` the file with its weights."""

    phase: str
    top1: float
    checkpoint: Path


@dataclass(frozen=True)
class RunEnd:
    """`trained` is False where the folder held the whole run already and nothing was done."""

    out: Path
    trained: bool


Event = RunBegin | PhaseBegin | StepEnd | EpochEnd | PhaseEnd | RunEnd
Progress = Callable[[Event], None]
