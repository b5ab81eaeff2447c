"""Every recipe that ships runs: one step of each of its phases, on made-up images, small ones where the model allows.

Teachers from files and from torchvision are stood in for by a small network; saving for resumption is left out.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from reactnet.data import ImageSet
from reactnet.data.config import DataConfig
from reactnet.models import create_model, model_info
from reactnet.nn import binarized
from reactnet.train import ModelCard, Recipe, load_model, load_recipe, prepare, run, save_model, train
from reactnet.train.feed import Feed
from reactnet.train.folder import RunFolder
from reactnet.train.phase import Phase
from reactnet.train.recipe import PLAIN_COMPUTING
from reactnet.train.teachers import Teacher, load_teachers

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
SMALL = 32  # the total stride of the ImageNet models: their last map is then one pixel
CLASSES = 4
# One of each kind; the rest takes its time and is marked slow.
LIGHT = {"reactnet_digits", "reactnet18_imagenet_as_released", "reactnet20_cifar10", "resnet20_cifar10"}
LIGHT |= {"vgg11_imagenet_8xb32", "vgg11_bn_imagenet_8xb32"}


def marked(path: Path) -> Any:
    return pytest.param(path, id=path.stem, marks=[] if path.stem in LIGHT else [pytest.mark.slow])


def small_feed(model: str) -> Callable[..., Feed]:
    height, width, channels = model_info(model).image_size
    generator = np.random.default_rng(0)
    shape = (CLASSES, min(height, SMALL), min(width, SMALL), channels)
    pixels = generator.integers(0, 256, size=shape, dtype=np.uint8)
    images = ImageSet(pixels, np.arange(CLASSES), tuple(str(i) for i in range(CLASSES)))

    def feed(config: DataConfig, root: Path | None, **options: object) -> Feed:
        return Feed(config, images, np.arange(CLASSES), images, (0.5,) * channels, (0.25,) * channels)

    return feed


def made_up_teachers(phase: Phase, feed: Feed, checkpoint: Callable[[str], Path]) -> list[Teacher]:
    """Earlier phases teach as they are; any other teacher is a small network in its place."""
    if all(name.startswith("phase:") for name in phase.teachers):
        return load_teachers(phase, feed, checkpoint)
    pair = (feed.mean, feed.std)
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(feed.image_size[2], CLASSES))
    return [Teacher(name, model, ours=pair, theirs=pair) for name in phase.teachers]


def dry(path: Path, tmp_path: Path) -> Recipe:
    """The recipe with one epoch a phase, in float32, uncompiled, VGG's hidden layers narrow."""
    whole = load_recipe(path)
    changes: dict[str, object] = {"threads": 1}
    if "hidden" in model_info(whole.model).options:
        changes["model_options.hidden"] = 8
    for name, phase in whole.phases.items():
        changes[f"phases.{name}.epochs"] = 1
        if phase.warmup_epochs is not None:
            changes[f"phases.{name}.warmup_epochs"] = 1
        if phase.start_from is not None:
            changes[f"phases.{name}.start_from"] = str(trained_before(whole, tmp_path, same=phase.carry == "all"))
    return replace(load_recipe(path, changes), computing=PLAIN_COMPUTING)


def trained_before(recipe: Recipe, folder: Path, *, same: bool) -> Path:
    """A checkpoint to start from, of the same classes or of others."""
    model, classes = recipe.model, CLASSES if same else CLASSES + 3
    made = create_model(model, num_classes=classes, pretrained=False, **recipe.model_options)
    names = tuple(str(i) if same else f"other {i}" for i in range(classes))
    size, mean = model_info(model).image_size, (0.5, 0.5, 0.5)
    made.reactnet = ModelCard(model, classes, binarized(made), size, mean, mean, 256, size[:2], names)
    made.reactnet = replace(made.reactnet, options=recipe.model_options)
    save_model(made, folder / "start.safetensors")
    return folder / "start.safetensors"


def test_the_recipe_of_the_demo_is_there() -> None:
    assert "reactnet_digits" in [path.stem for path in RECIPES]


@pytest.mark.parametrize("path", [marked(path) for path in RECIPES])
def test_a_recipe_runs_one_step_of_each_phase(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = dry(path, tmp_path)
    monkeypatch.setattr(run, "open_feed", small_feed(recipe.model))
    monkeypatch.setattr(prepare, "load_teachers", made_up_teachers)
    monkeypatch.setattr(RunFolder, "save_state", lambda self, tensors, state: None)
    folder = train(recipe, tmp_path / "run")

    assert len((folder / "log.jsonl").read_text().splitlines()) == len(recipe.phases)
    for name, phase in recipe.phases.items():
        model = load_model(folder, phase=name)
        assert binarized(model) == phase.binarize
        assert model.reactnet.options == recipe.model_options


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_opens_with_its_command_its_cost_and_its_result(path: Path) -> None:
    head = path.read_text("utf-8").partition("\nmodel = ")[0].splitlines()
    assert all(line.startswith("#") for line in head)
    assert any(f"reactnet train recipes/{path.name} " in line for line in head)
    assert any(line.startswith("# Cost: ") for line in head)
    result = next(line for line in head if line.startswith("# Result"))
    # What was not run here is labelled so, and numbers of others as published.
    # A result of ours says of how many images.
    ours = re.search(r"\d+\.\d+ % of (the|\d+) ", result) is not None
    assert path.stem == "reactnet_digits" or ours or "not yet run" in result
    assert "%" not in result or path.stem == "reactnet_digits" or ours or "Published" in result


def test_the_page_lists_every_recipe_and_no_other() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    listed = set(re.findall(r"\.\./recipes/(\w+)\.toml", page))
    assert listed == {path.stem for path in RECIPES}
