"""The optional keys of a phase are read strictly: out of range or out of place is an error with a cure."""

from typing import Any

import pytest

from reactnet.errors import ReactnetError
from reactnet.train import dump_recipe
from reactnet.train.recipe import Computing, parse_recipe
from train.small_run import TEXT

T, S = "phases.teacher.", "phases.student."  # the teacher has Adam and cross-entropy, the student SGD and a teacher

WRONG: list[tuple[dict[str, Any], str]] = [
    ({S + "temperature": 0}, "temperature is 0.0"),
    ({T + "temperature": 4.0}, "temperature is 4.0"),
    ({S + "label_weight": 1.5}, "label_weight is 1.5"),
    ({T + "label_weight": 0.5}, "label_weight is 0.5"),
    ({S + "label_smoothing": 0.1}, "label_smoothing is 0.1"),
    ({T + "label_smoothing": 1.0}, "label_smoothing is 1.0"),
    ({T + "nesterov": True}, "nesterov is True"),
    ({S + "nesterov": True, S + "momentum": 0.0}, "nesterov is True"),
    ({S + "schedule": "step"}, "missing key 'milestones'"),
    ({S + "schedule": "step", S + "milestones": [1]}, "missing key 'factor'"),
    ({S + "schedule": "step", S + "milestones": [2, 1], S + "factor": 0.1}, r"milestones is \[2, 1\]"),
    ({S + "schedule": "step", S + "milestones": [], S + "factor": 0.1}, r"milestones is \[\]"),
    ({S + "factor": 0.1}, "factor is 0.1"),
    ({S + "warmup_epochs": 3}, "warmup_epochs is 3"),
    ({S + "warmup_epochs": 0}, "warmup_epochs is 0"),
    ({S + "binary_learning_rate": 0}, "binary_learning_rate is 0.0"),
    ({S + "clip_grad_norm": -1.0}, "clip_grad_norm is -1.0"),
    ({S + "accumulate": 13}, "accumulate is 13"),
    ({S + "accumulate": 0}, "accumulate is 0"),
    ({S + "ema_decay": 1.0}, "ema_decay is 1.0"),
    ({S + "activation_gradient": "cubic"}, "activation_gradient is 'cubic'"),
    ({S + "activation_window": 0}, "activation_window is 0.0"),
    ({S + "weight_window": 0}, "weight_window is 0.0"),
    ({S + "clip_latent": 0}, "clip_latent is 0.0"),
    ({S + "rescale_latent": 0}, "rescale_latent is 0.0"),
    ({T + "rescale_latent": 0.05}, "rescale_latent is 0.05"),
    ({S + "freeze_signs": 1.1}, "freeze_signs is 1.1"),
    ({S + "recalibrate": 0}, "recalibrate is 0"),
    ({S + "recalibrate": True}, "recalibrate is True"),
    ({S + "start_from": "x"}, "start_from is 'x'"),
    ({T + "start_from": "x"}, "carry is 'nothing'"),
    ({S + "carry": "all_but_head"}, "all_but_head' without start_from"),
    ({T + "carry": "all_but_head"}, "no phase comes before"),
    ({S + "teacher": "file:"}, "teacher is 'file:'"),
    ({S + "teacher": "keras/resnet"}, "teacher is 'keras/resnet'"),
    ({S + "teacher": ["phase:teacher"]}, "missing key 'teacher_weights'"),
    ({S + "teacher": ["phase:teacher", "file:x"], S + "teacher_weights": [1.0]}, r"teacher_weights is \[1.0\]"),
    ({S + "teacher": ["phase:teacher", "file:x"], S + "teacher_weights": [0.5, 0.6]}, "teacher_weights is"),
    ({S + "teacher_weights": [1.0]}, "teacher_weights is"),
    ({S + "augment.random_crop": -1}, r"\[phases.student.augment\]: random_crop is -1"),
    ({S + "augment.cutout": -1}, r"\[phases.student.augment\]: cutout is -1"),
    ({"computing.precision": "int8"}, r"\[computing\]: precision is 'int8'"),
    ({"computing.compiled": True}, "unknown key 'compiled'"),
    ({"model_options.duplicat": True}, "unknown key 'duplicat'"),
    ({"model_options.num_classes": 3}, "unknown key 'num_classes'"),
    ({"model_options.duplicate": "yes"}, "'duplicate' is 'yes'"),
    ({"model_options.sign": "tanh"}, "'sign' is 'tanh'"),
]


@pytest.mark.parametrize(("changes", "problem"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_option_is_refused_by_name_with_a_cure(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ReactnetError, match=problem) as caught:
        parse_recipe(TEXT, source="small.toml", overrides=changes)
    assert caught.value.problem.startswith("small.toml: ")
    assert caught.value.hint


def test_every_option_is_read_and_written_back() -> None:
    changes = {
        "model_options.sign": "rsign",
        "model_options.duplicate": False,
        "computing.precision": "float16",
        "computing.channels_last": True,
        S + "teacher": ["phase:teacher", "torchvision/resnet34"],
        S + "teacher_weights": [0.25, 0.75],
        S + "temperature": 4,
        S + "label_weight": 0.1,
        S + "label_smoothing": 0.1,
        S + "schedule": "step",
        S + "milestones": [1],
        S + "factor": 0.1,
        S + "warmup_epochs": 1,
        S + "nesterov": True,
        S + "binary_learning_rate": 1e-3,
        S + "clip_grad_norm": 5.0,
        S + "accumulate": 2,
        S + "sync_batch_norm": True,
        S + "ema_decay": 0.999,
        S + "activation_gradient": "quadratic_rms",
        S + "activation_window": 1.25,
        S + "weight_window": 1.0,
        S + "clip_latent": 1.0,
        S + "rescale_latent": 0.05,
        S + "freeze_signs": 0.03,
        S + "recalibrate": 5000,
    }
    recipe = parse_recipe(TEXT, source="small.toml", overrides=changes)
    assert recipe.computing == Computing("float16", True, False)
    assert recipe.model_options == {"sign": "rsign", "duplicate": False}
    phase = recipe.phases["student"]
    for key, value in changes.items():
        if key.startswith(S):
            found = getattr(phase, key.removeprefix(S))
            assert (list(found) if isinstance(found, tuple) else found) == value
    assert phase.teachers == ("phase:teacher", "torchvision/resnet34")
    assert parse_recipe(dump_recipe(recipe), source="dumped") == recipe


def test_an_option_that_is_absent_is_off_and_is_not_written() -> None:
    recipe = parse_recipe(TEXT, source="small.toml")
    written = dump_recipe(recipe)
    assert recipe.computing == Computing()
    assert "computing" not in written
    assert "ema_decay" not in written
    assert "accumulate" not in written
