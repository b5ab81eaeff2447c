"""Any model on any folder of images, without a recipe: trained, measured and compiled from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reactnet.cli.main import main
from reactnet.graph import load
from reactnet.train import load_model, load_recipe

# Tiny: the default's hundreds of epochs are for real images.
SHORT = ["--phases.teacher.epochs", "5", "--phases.binary-activations.epochs", "2", "--phases.binary-weights.epochs=6"]


def write_pictures(folder: Path, count: int, seed: int) -> None:
    """Photographs of nothing: noise of any size, redder where it is warm and bluer where it is cold."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        for name, channel in (("warm", 0), ("cold", 2)):
            pixels = generator.integers(0, 160, size=(generator.integers(36, 60), generator.integers(36, 60), 3))
            pixels[..., channel] += 90
            path = folder / name / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root / "train", 24, 0)
    write_pictures(root / "val", 8, 1)
    return root


def test_a_folder_is_learnt_measured_and_compiled(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train = ["train", "reactnet20_cifar", "--data", str(pictures), "--out", str(run), "--threads", "1"]
    assert main([*train, *SHORT]) == 0
    assert f"written to {run / 'recipe.toml'}" in capsys.readouterr().err

    recipe = load_recipe(run / "recipe.toml")
    assert list(recipe.phases) == ["teacher", "binary_activations", "binary_weights"]
    assert (recipe.data.name, recipe.data.evaluate_on, recipe.data.image_size) == ("image_folder", "test", 32)
    assert load_model(run).reactnet.class_names == ("cold", "warm")

    assert main(["eval", str(run), "--data", str(pictures), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["images"] == 16
    assert measured["top1"] > 0.85
    packed = tmp_path / "mine.rnet"
    assert main(["compile", str(run), "-o", str(packed)]) == 0
    assert load(packed).class_names == ("cold", "warm")
    capsys.readouterr()
    assert main(["eval", str(packed), "--data", str(pictures), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == pytest.approx(measured["top1"], abs=1 / 16)

    # The same command again, and the recipe that was written, find the run finished.
    assert main([*train, *SHORT]) == 0
    assert main(["train", str(run / "recipe.toml"), "--data", str(pictures), "--out", str(run)]) == 0


def test_what_is_neither_a_recipe_nor_a_model_is_an_error(fails, tmp_path: Path) -> None:
    problem, hint = fails("train", "reactnet20_cifr", "--out", tmp_path / "run")
    assert "'reactnet20_cifr' is no recipe and no model" in problem
    assert "'reactnet20_cifar'" in hint
    problem, hint = fails("train", "reactnet_a", "--out", tmp_path / "run")
    assert "no folder of images" in problem
    assert "--data" in hint
    problem, _ = fails("train", "x.toml", "--teacher", "none", "--out", tmp_path / "run")
    assert "--teacher none" in problem
