"""Learning rates as functions of the step: nothing is stored, so a resumed run needs nothing restored."""

import math
from bisect import bisect_right
from collections.abc import Sequence


def learning_rate_at(
    schedule: str,
    base: float,
    *,
    step: int,
    steps_per_epoch: int,
    epochs: int,
    warmup_epochs: int = 0,
    milestones: Sequence[int] = (),
    factor: float = 1.0,
) -> float:
    """The learning rate of `step`, counted from 0 at the beginning of the phase.

    `linear_step`: base * (1 - step / steps): down at each step, and the last step still learns.
    `linear_epoch_released`: base * (1 - (epoch + 1) / epochs), epochs from 0: the staircase of ReActNet's released
        scripts, which stepped their scheduler before the epoch, so the whole last epoch has rate 0 and moves only the
        batch-norm statistics.
    `cosine`: base * (1 + cos(pi * step / steps)) / 2.   `constant`: base.
    `step`: base * factor^(milestones reached); a milestone is the first epoch, from 0, with the lower rate.

    Warm-up multiplies the first warmup_epochs * steps_per_epoch steps by (step + 1) / that number: the schedule keeps
    its place under it.
    """
    steps, warmup = steps_per_epoch * epochs, steps_per_epoch * warmup_epochs
    assert 0 <= step < steps
    rate = _without_warmup(schedule, base, step, steps, step // steps_per_epoch, epochs, milestones, factor)
    return rate * (step + 1) / warmup if step < warmup else rate


def _without_warmup(
    schedule: str,
    base: float,
    step: int,
    steps: int,
    epoch: int,
    epochs: int,
    milestones: Sequence[int],
    factor: float,
) -> float:
    match schedule:
        case "linear_step":
            return base * (1 - step / steps)
        case "linear_epoch_released":
            return base * (1 - (epoch + 1) / epochs)
        case "cosine":
            return base * (1 + math.cos(math.pi * step / steps)) / 2
        case "step":
            return base * factor ** bisect_right(milestones, epoch)
        case _:
            assert schedule == "constant"
            return base
