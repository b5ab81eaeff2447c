"""Learning rates as functions of the step: nothing is stored, so a resumed run needs nothing restored."""

import math


def learning_rate_at(schedule: str, base: float, *, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The learning rate of `step`, counted from 0 at the beginning of the phase.

    `linear_step`: base * (1 - step / steps): down at each step, and the last step still learns.
    `linear_epoch_released`: base * (1 - (epoch + 1) / epochs), epochs from 0: the staircase of ReActNet's released
        scripts, which stepped their scheduler before the epoch, so the whole last epoch has rate 0 and moves only the
        batch-norm statistics.
    `cosine`: base * (1 + cos(pi * step / steps)) / 2.   `constant`: base.
    """
    steps = steps_per_epoch * epochs
    assert 0 <= step < steps
    match schedule:
        case "linear_step":
            return base * (1 - step / steps)
        case "linear_epoch_released":
            return base * (1 - (step // steps_per_epoch + 1) / epochs)
        case "cosine":
            return base * (1 + math.cos(math.pi * step / steps)) / 2
        case _:
            assert schedule == "constant"
            return base
