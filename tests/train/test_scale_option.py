"""`[model_options] scale`: whether binary layers multiply by mean |weight|, from the recipe to the packed file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reactnet.compiler import compile as compile_model
from reactnet.graph import load, run_reference
from reactnet.models import create_model
from reactnet.nn import BinaryConv2d
from reactnet.train import Recipe, load_model, train
from reactnet.verify import verify

Make = Callable[..., Recipe]


@pytest.mark.parametrize("scale", [True, False])
def test_the_choice_holds_from_the_recipe_through_compile_and_verify(scale: bool, make_recipe: Make, tmp_path: Path):
    folder = train(make_recipe({"model_options.scale": scale, "phases.student.epochs": 1}), tmp_path / "run")
    model = load_model(folder)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, BinaryConv2d)}
    assert {layer.scale for layer in layers.values()} == {scale}

    compile_model(model, tmp_path / "model.rnet")
    found = verify(model, tmp_path / "model.rnet", count=4)
    assert found.ok, str(found)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    before = run_reference(load(tmp_path / "model.rnet"), pixels)
    for layer in layers.values():
        layer.scale = not scale
    compile_model(model, tmp_path / "other.rnet")
    assert not np.array_equal(run_reference(load(tmp_path / "other.rnet"), pixels), before)


@pytest.mark.parametrize("name", ["reactnet_a", "reactnet18", "birealnet18", "birealnet152"])
def test_without_a_scale_a_binary_layer_gives_whole_numbers(name: str):
    with torch.device("meta"):
        model = create_model(name, scale=False)
    layers = [layer for layer in model.modules() if isinstance(layer, BinaryConv2d)]
    assert layers
    assert not any(layer.scale for layer in layers)
    layer = BinaryConv2d(16, 4, 3, padding=1, scale=False)
    out = layer(torch.ones(1, 16, 5, 5).bernoulli_(0.5).mul_(2).sub_(1))
    assert torch.equal(out, out.round())
