"""Every recipe that ships runs: one step of each of its phases, on made-up images of its model's size."""

from pathlib import Path

import numpy as np
import pytest

from reactnet.data import ImageSet
from reactnet.data.config import DataConfig
from reactnet.models import model_info
from reactnet.nn import binarized
from reactnet.train import load_model, load_recipe, run, train
from reactnet.train.feed import Feed

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


def test_the_recipe_of_the_demo_is_there() -> None:
    assert "reactnet_digits" in [path.stem for path in RECIPES]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_runs_one_step_of_each_phase(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = model_info(load_recipe(path).model)
    generator = np.random.default_rng(0)
    labels = np.arange(4, dtype=np.int64)
    pixels = generator.integers(0, 256, size=(4, *info.image_size), dtype=np.uint8)
    images = ImageSet(pixels, labels, tuple(str(i) for i in range(info.num_classes)))
    channels = info.image_size[2]

    def feed(config: DataConfig, root: Path | None, **options: object) -> Feed:
        return Feed(config, images, np.arange(4), images, (0.5,) * channels, (0.25,) * channels)

    monkeypatch.setattr(run, "open_feed", feed)
    recipe = load_recipe(path, {f"phases.{name}.epochs": 1 for name in load_recipe(path).phases})
    folder = train(recipe, tmp_path / "run")

    assert len((folder / "log.jsonl").read_text().splitlines()) == len(recipe.phases)
    for name, phase in recipe.phases.items():
        assert binarized(load_model(folder, phase=name)) == phase.binarize
