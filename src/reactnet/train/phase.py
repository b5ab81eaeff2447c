"""One phase of a recipe: its keys, and what may not be.

The keys without a default are required. An option that is absent is off: the plain published method.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from reactnet.data.config import PLAIN, Augmentation, Fault
from reactnet.nn import PARTS
from reactnet.train.strict import At, suggest

NO_TEACHER = "none"
PHASE_TEACHER = "phase:"
TEACHERS = (PHASE_TEACHER, "file:", "torchvision/", "timm/")

Role = Literal[
    "convolutions", "binary_convolutions", "linear", "biases", "norms", "shifts", "slopes", "ratios", "as_released"
]


@dataclass(frozen=True)
class Phase:
    """One `[phases.NAME]` table: a leg of training.

    `binarize` lists what is binary. `carry` says which weights come from the phase before, or from `start_from`.
    `teacher` is "none", one of "phase:NAME" (an earlier phase), "file:PATH" (a run folder or a checkpoint of ours),
    "torchvision/NAME" and "timm/NAME", or a list of those with `teacher_weights`. `weight_decay_on` lists the roles
    that decay (see `optimizer.py`). `betas` belongs to Adam, `momentum` and `nesterov` to SGD, `milestones` (epochs)
    and `factor` to the schedule "step". docs/recipes.md says what each option does.
    """

    binarize: tuple[str, ...]
    carry: Literal["all", "all_but_binary_weights", "all_but_head", "nothing"]
    teacher: str | tuple[str, ...]
    loss: Literal["cross_entropy", "distributional"]
    epochs: int
    batch_size: int
    optimizer: Literal["adam", "sgd"]
    learning_rate: float
    schedule: Literal["linear_step", "linear_epoch_released", "cosine", "constant", "step"]
    weight_decay: float
    weight_decay_on: tuple[Role, ...]
    betas: tuple[float, float] | None = None
    momentum: float | None = None
    nesterov: bool = False
    start_from: str | None = None
    teacher_weights: tuple[float, ...] | None = None
    temperature: float | None = None
    label_weight: float | None = None
    label_smoothing: float | None = None
    milestones: tuple[int, ...] | None = None
    factor: float | None = None
    warmup_epochs: int | None = None
    binary_learning_rate: float | None = None
    clip_grad_norm: float | None = None
    accumulate: int | None = None
    sync_batch_norm: bool = False
    ema_decay: float | None = None
    activation_gradient: Literal["quadratic", "identity", "quadratic_rms"] | None = None
    activation_window: float | None = None
    weight_window: float | None = None
    clip_latent: float | None = None
    rescale_latent: float | None = None
    freeze_signs: float | None = None
    recalibrate: int | None = None
    augment: Augmentation = PLAIN

    @property
    def teachers(self) -> tuple[str, ...]:
        """Each teacher, as the recipe names it; none where `teacher` is "none"."""
        if isinstance(self.teacher, tuple):
            return self.teacher
        return () if self.teacher == NO_TEACHER else (self.teacher,)

    @property
    def micro_batches(self) -> int:
        """Into how many pieces a batch is cut, each with a forward and a backward pass of its own."""
        return 1 if self.accumulate is None else self.accumulate

    def faults(self) -> Iterator[Fault]:
        """What cannot be in any recipe: each key that is out of range or out of place."""
        yield from _range_faults(self)
        yield from _place_faults(self)
        yield from _schedule_faults(self)


def check_phase(name: str, phases: Mapping[str, Phase], at: At) -> None:
    """Raise ReactnetError, at this place of the file, for a phase that cannot be trained after the ones before it."""
    phase = phases[name]
    earlier = [other for other in phases if other != name]
    if re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) is None:
        raise at.error("a phase's name is a file's name too", "use letters, digits and '_' only")
    if not set(phase.binarize) <= set(PARTS):
        wrong = next(value for value in phase.binarize if value not in PARTS)
        raise at.error(f"binarize: {wrong!r} is no part of a network", suggest(wrong, PARTS))
    for key, values in (("binarize", phase.binarize), ("weight_decay_on", phase.weight_decay_on)):
        at.need(len(set(values)) == len(values), key, list(values), "name each only once")
    for key, value, cure in phase.faults():
        raise at.error(f"missing key {key!r}" if value is None else f"{key} is {value!r}", cure)
    for key, value, cure in phase.augment.faults():
        raise at.into("augment").error(f"{key} is {value!r}", cure)
    _check_optimizer(phase, at)
    _check_teachers(phase, earlier, at)
    _check_start(phase, earlier, at)


# key, whether 0 is allowed, the largest value allowed, what to give
_RANGES: tuple[tuple[str, bool, float | None, str], ...] = (
    ("epochs", False, None, "give a whole number of at least 1"),
    ("batch_size", False, None, "give a whole number of at least 1"),
    ("learning_rate", False, None, "give a number above 0"),
    ("weight_decay", True, None, "give 0 or a number above 0"),
    ("temperature", False, 1000.0, "give a number above 0, such as 4.0"),
    ("label_weight", False, 1.0, "give the share of the labels, above 0 and up to 1; leave it out for none"),
    ("label_smoothing", False, 0.999, "give a number above 0 and below 1; leave it out for none"),
    ("factor", False, None, "give a number above 0, such as 0.1"),
    ("binary_learning_rate", False, None, "give a number above 0"),
    ("clip_grad_norm", False, None, "give a norm above 0"),
    ("ema_decay", False, 0.999999, "give a number above 0 and below 1, such as 0.999"),
    ("activation_window", False, None, "give a number above 0"),
    ("weight_window", False, None, "give a number above 0"),
    ("clip_latent", False, None, "give a number above 0, such as 1.0"),
    ("rescale_latent", False, None, "give the mean |w| to scale to, above 0, such as 0.05"),
    ("freeze_signs", False, 1.0, "give the share of the steps, above 0 and up to 1"),
    ("recalibrate", False, None, "give a number of training images, at least 1"),
    ("accumulate", False, None, "give a whole number of micro-batches, at least 1"),
    ("warmup_epochs", False, None, "give a whole number of epochs, at least 1; leave it out for none"),
)


def _range_faults(phase: Phase) -> Iterator[Fault]:
    for key, zero, most, cure in _RANGES:
        value = getattr(phase, key)
        if value is None:
            continue
        if value < 0 or (value == 0 and not zero) or (most is not None and value > most):
            yield key, value, cure


def _place_faults(phase: Phase) -> Iterator[Fault]:
    if phase.accumulate is not None and phase.accumulate > phase.batch_size:
        yield "accumulate", phase.accumulate, f"a batch of {phase.batch_size} images has no more pieces than images"
    if phase.loss != "distributional":
        for key in ("temperature", "label_weight"):
            if getattr(phase, key) is not None:
                yield key, getattr(phase, key), f"{key} goes with loss = 'distributional'"
    elif phase.label_smoothing is not None and phase.label_weight is None:
        yield "label_smoothing", phase.label_smoothing, "labels enter this loss with label_weight only: give it too"
    if phase.rescale_latent is not None and phase.carry in ("nothing", "all_but_binary_weights"):
        yield "rescale_latent", phase.rescale_latent, f"with carry = {phase.carry!r} no latent weight is handed over"
    if phase.nesterov and (phase.optimizer != "sgd" or not phase.momentum):
        yield "nesterov", True, "it goes with optimizer = 'sgd' and a momentum above 0"


def _schedule_faults(phase: Phase) -> Iterator[Fault]:
    for key in ("milestones", "factor"):
        value = getattr(phase, key)
        if (value is None) == (phase.schedule == "step"):
            yield key, value, "milestones and factor go with schedule = 'step', and it needs both"
    marks = phase.milestones
    if marks is not None and not (marks and list(marks) == sorted(set(marks)) and 0 < marks[0] <= marks[-1]):
        yield "milestones", list(marks), "give epochs of at least 1, each later than the one before"
    if phase.warmup_epochs is not None and phase.warmup_epochs > phase.epochs:
        yield "warmup_epochs", phase.warmup_epochs, f"the phase has {phase.epochs} epochs"


def _check_optimizer(phase: Phase, at: At) -> None:
    for key, owner in (("betas", "adam"), ("momentum", "sgd")):
        given = getattr(phase, key) is not None
        if given != (phase.optimizer == owner):
            what = f"missing key {key!r}" if not given else f"key {key!r} with optimizer = {phase.optimizer!r}"
            raise at.error(
                what, f"give 'betas' with optimizer = 'adam', 'momentum' with 'sgd'; {key!r} is of {owner!r}"
            )
    if phase.betas is not None:
        right = all(0 <= beta < 1 for beta in phase.betas)
        at.need(right, "betas", list(phase.betas), "give two numbers from 0 to below 1")
    if phase.momentum is not None:
        at.need(0 <= phase.momentum < 1, "momentum", phase.momentum, "give a number from 0 to below 1")


def _check_teachers(phase: Phase, earlier: list[str], at: At) -> None:
    if phase.loss == "distributional" and not phase.teachers:
        raise at.error("loss is 'distributional', but teacher is 'none'", "give teacher = 'phase:NAME'")
    if phase.loss != "distributional" and phase.teachers:
        raise at.error(f"loss is {phase.loss!r}, which asks no teacher", "give loss = 'distributional'")
    for teacher in phase.teachers:
        _check_teacher(teacher, earlier, at)
    weights, several = phase.teacher_weights, isinstance(phase.teacher, tuple)
    if several and weights is None:
        raise at.error("missing key 'teacher_weights'", "give each teacher its share, such as [0.5, 0.5]")
    if weights is not None:
        right = several and len(weights) == len(phase.teachers) and all(weight > 0 for weight in weights)
        right = right and abs(sum(weights) - 1) < 1e-6
        cure = "give a list of teachers and a share above 0 for each; shares sum to 1"
        at.need(right, "teacher_weights", list(weights), cure)


def _check_teacher(teacher: str, earlier: list[str], at: At) -> None:
    start = next((start for start in TEACHERS if teacher.startswith(start)), None)
    if start is None or teacher == start:
        raise at.error(
            f"teacher is {teacher!r}",
            "give 'none', 'phase:NAME' for an earlier phase, 'file:PATH', 'torchvision/NAME' or 'timm/NAME'",
        )
    name = teacher.removeprefix(start)
    if start == PHASE_TEACHER and name not in earlier:
        hint = suggest(name, earlier) if earlier else "this is the first phase: give teacher = 'none', or a file"
        raise at.error(f"teacher is {teacher!r}, but no earlier phase is called {name!r}", hint)


def _check_start(phase: Phase, earlier: list[str], at: At) -> None:
    if phase.start_from is not None:
        at.need(
            not earlier, "start_from", phase.start_from, "it is for the first phase; later ones have the one before"
        )
        at.need(phase.start_from != "", "start_from", "", "give a run folder or a checkpoint")
        right = phase.carry in ("all", "all_but_head")
        at.need(right, "carry", phase.carry, "with start_from, carry 'all', or 'all_but_head' for other classes")
    elif not earlier and phase.carry != "nothing":
        raise at.error(
            f"carry is {phase.carry!r}, but no phase comes before", "give carry = 'nothing', or start_from = 'PATH'"
        )
    elif phase.carry == "all_but_head":
        raise at.error("carry is 'all_but_head' without start_from", "phases of one run have the same classes: 'all'")
