"""Every option's state survives a stop: a run killed or stopped in mid-phase ends with the bytes of a whole one."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reactnet.train import Interrupted, Recipe, train
from reactnet.train.checkpoint import read_checkpoint
from reactnet.train.events import Event, StepEnd

Make = Callable[..., Recipe]
S = "phases.student."

OPTIONS: dict[str, dict[str, Any]] = {
    "average": {S + "ema_decay": 0.9},
    "average_and_recalibration": {S + "ema_decay": 0.9, S + "recalibrate": 10},
    "pieces": {S + "accumulate": 3},
    "clipping": {S + "clip_grad_norm": 0.1, S + "clip_latent": 0.05},
    "hand_over": {S + "rescale_latent": 0.05, S + "freeze_signs": 0.5},
    "rates": {S + "binary_learning_rate": 0.003, S + "warmup_epochs": 1, S + "nesterov": True},
    "steps": {S + "schedule": "step", S + "milestones": [1], S + "factor": 0.1},
    "labels": {S + "label_weight": 0.3, S + "label_smoothing": 0.1, S + "temperature": 4.0},
    "gradient": {S + "activation_gradient": "quadratic_rms", S + "activation_window": 1.25, S + "weight_window": 0.5},
    "restarted": {S + "carry": "all_but_binary_weights"},
    "float16": {"computing.precision": "float16"},
    "bfloat16": {"computing.precision": "bfloat16", "computing.channels_last": True},
    "model": {"model_options.duplicate": False, "model_options.sign": "sign"},
}


class KilledError(Exception):
    """Stands for SIGKILL: nothing of ours catches it, so nothing is saved."""


def kill() -> None:
    raise KilledError


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def after(number: int, act: Callable[[], None]) -> Callable[[Event], None]:
    seen = iter(range(1, 1000))

    def progress(event: Event) -> None:
        if isinstance(event, StepEnd) and next(seen) == number:
            act()

    return progress


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "checkpoints").iterdir())}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_stopped_in_mid_phase_ends_with_the_same_bytes(make_recipe: Make, tmp_path: Path, name: str) -> None:
    recipe = make_recipe(OPTIONS[name])
    expected = weights(train(recipe, tmp_path / "whole"))
    # Four steps are the teacher's. Stopped in the student's first epoch, killed in its second.
    folder = tmp_path / "stopped"
    with pytest.raises(Interrupted):
        train(recipe, folder, progress=after(5, terminate))
    with pytest.raises(KilledError):
        train(recipe, folder, progress=after(2, kill))
    assert weights(train(recipe, folder)) == expected


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in ("bfloat16", "model")])
def test_each_of_these_options_changes_what_is_trained(make_recipe: Make, tmp_path: Path, name: str) -> None:
    """Else the test above would say nothing of it."""
    plain = weights(train(make_recipe(), tmp_path / "plain"))["student.safetensors"]
    with_option = weights(train(make_recipe(OPTIONS[name]), tmp_path / "option"))["student.safetensors"]
    assert with_option[-1000:] != plain[-1000:]  # the end of the file is weights, its beginning the recipe


def test_the_last_two_states_are_kept_and_are_whole(make_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(make_recipe(), tmp_path / "run", progress=after(7, kill))
    for name in ("last", "previous"):
        read_checkpoint(tmp_path / "run" / f"{name}.safetensors")
