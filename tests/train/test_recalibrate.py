"""Batch-norm statistics measured anew, and that what is measured and saved is what the options say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from reactnet.models import create_model
from reactnet.train import Recipe, load_model, train
from reactnet.train.events import Event, PhaseEnd
from reactnet.train.feed import Batch
from reactnet.train.recalibrate import recalibrate
from reactnet.train.recipe import parse_recipe
from train.small_run import TEXT, small_feed

Make = Callable[..., Recipe]
S = "phases.student."


def batches(count: int = 3) -> list[Batch]:
    generator = torch.Generator().manual_seed(3)
    return [
        Batch(torch.randn(8, 1, 8, 8, generator=generator), torch.zeros(8, dtype=torch.int64)) for _ in range(count)
    ]


def test_statistics_are_the_mean_over_the_batches_and_nothing_else_changes() -> None:
    torch.manual_seed(0)
    model = create_model("reactnet_digits")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    seen: list[torch.Tensor] = []
    stem = model.get_submodule("stem.0")
    handle = stem.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    recalibrate(model, batches(), torch.device("cpu"))
    handle.remove()
    norm = model.get_submodule("stem.1")
    assert isinstance(norm, nn.BatchNorm2d)
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0))
    assert norm.momentum == 0.1
    assert not any(module.training for module in model.modules())
    for key, value in model.state_dict().items():
        if not key.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert torch.equal(value, before[key])


def test_measuring_twice_gives_the_same_bits() -> None:
    torch.manual_seed(0)
    model = create_model("reactnet_digits")
    recalibrate(model, batches(), torch.device("cpu"))
    once = {key: value.clone() for key, value in model.state_dict().items()}
    recalibrate(model, batches(), torch.device("cpu"))
    assert all(torch.equal(value, once[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("options", [{S + "recalibrate": 10}, {S + "ema_decay": 0.9}])
def test_the_weights_saved_are_those_measured_with_statistics_of_plain_training_images(
    make_recipe: Make, tmp_path: Path, options: dict[str, Any]
) -> None:
    ends: list[PhaseEnd] = []

    def note(event: Event) -> None:
        if isinstance(event, PhaseEnd):
            ends.append(event)

    model = load_model(train(make_recipe(options), tmp_path / "run", progress=note))
    feed = small_feed(parse_recipe(TEXT, source="small.toml").data, None)
    with torch.no_grad():
        right = sum(int((model(b.images).argmax(1) == b.labels).sum()) for b in feed.evaluation_batches(64))
    assert ends[-1].top1 == right / len(feed.evaluation)
    saved = {key: value.clone() for key, value in model.state_dict().items()}
    recalibrate(
        model, feed.calibration_batches(10 if S + "recalibrate" in options else 10_000, 256), torch.device("cpu")
    )
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, saved[key])


def test_calibration_images_are_training_images_without_augmentation() -> None:
    feed = small_feed(parse_recipe(TEXT, source="small.toml").data, None)
    taken = torch.cat([batch.images for batch in feed.calibration_batches(10, 4)])
    plain = torch.cat([batch.images for batch in feed.batches(seed=0, epoch=0, batch_size=24)])
    assert len(taken) == 10
    assert all(any(torch.equal(image, other) for other in plain) for image in taken)
    assert len(torch.cat([batch.images for batch in feed.calibration_batches(1000, 4)])) == 24
