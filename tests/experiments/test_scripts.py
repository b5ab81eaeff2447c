"""The scripts of experiments/: their recipes parse and train, their arms differ in what they say, time ends a stage."""

import importlib
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

from reactnet.cli.train import read_overrides
from reactnet.data import ImageSet
from reactnet.data.config import DataConfig
from reactnet.models import create_model
from reactnet.train import ModelCard, load_recipe, save_model
from reactnet.train.feed import Feed
from reactnet.train.prepare import make_loop
from reactnet.train.recipe import Recipe, parse_recipe

ROOT = Path(__file__).parent.parent.parent
CLASSES = tuple("abcdefghij")
MEAN = STD = (0.5, 0.5, 0.5)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return {name: importlib.import_module(name) for name in ("arms", "gpu", "ladder", "ladder_page")}


def _feed() -> Feed:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)  # a sixteenth of the work
    some = ImageSet(images, np.arange(6, dtype=np.int64), CLASSES)
    return Feed(DataConfig("cifar10", "test"), some, np.arange(6, dtype=np.int64), some, MEAN, STD)


def _save_teacher(name: str, folder: Path) -> None:
    """A run folder of a network with fresh weights, as a recipe names its teacher."""
    model = create_model(name, binarize=())
    model.reactnet = ModelCard(  # type: ignore[assignment]
        name, 10, (), (8, 8, 3), MEAN, STD, (8, 8), (8, 8), CLASSES, {"seed": "0"}
    )
    recipe = (ROOT / "recipes" / "resnet18_cifar10.toml").read_text()
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe)
    save_model(model, folder / "checkpoints" / "real.safetensors")


@pytest.mark.parametrize("stage", ["teacher", "best", "neighbours"])
def test_every_recipe_of_a_gpu_stage_takes_a_step(
    scripts: dict[str, ModuleType], stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = scripts["gpu"].commands(stage, Path("data"), Path("runs"), "cpu", 0, 9)
    recipes = []
    for command in commands:
        words = command[command.index("train") + 1 :]
        assert words[1:8:2] == ["--data", "--out", "--device", "--workers"]
        recipes.append(load_recipe(ROOT / words[0], read_overrides(words[9:])))
    assert len({(recipe.model, *recipe.phases) for recipe in recipes}) == len(commands)
    monkeypatch.chdir(tmp_path)
    _save_teacher("resnet18_cifar", tmp_path / "runs" / "resnet18_cifar10")
    for recipe in recipes:
        _take_a_step(recipe)


def _take_a_step(recipe: Recipe) -> None:
    """One update of the last phase, in the recipe's precision, without the minutes that torch.compile takes."""
    plain = Recipe(**{**recipe.__dict__, "computing": type(recipe.computing)(recipe.computing.precision, True)})
    last = list(plain.phases)[-1]
    fresh = Recipe(**{**plain.__dict__, "phases": {last: _alone(plain.phases[last])}})
    feed = _feed()
    loop, _ = make_loop(fresh, 0, feed, torch.device("cpu"), Path, resumed=False)
    loop.model.train()
    before = {name: value.clone() for name, value in loop.model.named_parameters()}
    phase = loop.phase
    batch = next(feed.batches(seed=0, epoch=0, batch_size=phase.batch_size, augment=phase.augment))
    outcome = loop.update.run(batch, number=0, seed=0)

    assert recipe.computing.precision == "bfloat16"
    assert np.isfinite(outcome.loss)
    assert outcome.images == 6
    assert any(not torch.equal(before[name], value) for name, value in loop.model.named_parameters())


def _alone(phase: Any) -> Any:
    """A later phase as if it were the first, with nothing to take over."""
    return type(phase)(**{**phase.__dict__, "carry": "nothing", "rescale_latent": None, "warmup_epochs": None})


@pytest.mark.parametrize("budget", ["cpu", "gpu"])
def test_arms_are_recipes_and_differ_in_what_they_say(scripts: dict[str, ModuleType], budget: str) -> None:
    arms = scripts["arms"]

    def recipe(name: str) -> Recipe:
        table = arms.arm_recipe(arms.ARMS[name], 0, arms.BUDGETS[budget], "runs/teacher")
        return parse_recipe(tomli_w.dumps(table), source=name)

    parsed = {name: recipe(name) for name in arms.ARMS}
    parse_recipe(tomli_w.dumps(arms.teacher_recipe(arms.BUDGETS[budget])), source="teacher")
    assert len({repr(one) for one in parsed.values()}) == len(parsed), "no two arms are the same"
    assert {one.data.evaluate_on for one in parsed.values()} == {"validation"}
    total = {sum(phase.epochs for phase in one.phases.values()) for one in parsed.values()}
    assert len(total) == 1, "every arm has the same epochs"
    assert parsed["loss"].model_options == parsed["baseline"].model_options
    assert parsed["loss"].phases["binary_weights"].teacher == "file:runs/teacher"
    assert parsed["baseline"].phases["binary_weights"].teacher == "none"
    assert parsed["released"].phases["binary_weights"].carry == "all_but_binary_weights"
    assert list(parsed["one_phase"].phases) == ["binary_weights"]
    for name in ("prelu", "rsign", "rprelu"):
        assert parsed[name].phases == parsed["all"].phases, "only the network differs"


def test_a_command_is_stopped_when_its_time_is_over(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    mark = tmp_path / "saved"
    save = f"signal.signal({int(signal.SIGTERM)}, lambda *_: (pathlib.Path({str(mark)!r}).touch(), sys.exit(130)))"
    program = f"import pathlib, signal, sys, time; {save}; print('up', flush=True); time.sleep(60)"
    run = scripts["gpu"].run_until

    assert run([sys.executable, "-c", "import sys; sys.exit(7)"], time.monotonic() + 60) == 7
    assert run([sys.executable, "-c", program], time.monotonic() + 5) is None
    assert mark.exists(), "it was asked to save its state, not killed"
    assert run(["no such program"], time.monotonic() - 1) is None


def test_the_page_shows_means_and_spread(scripts: dict[str, ModuleType]) -> None:
    page = scripts["ladder_page"]
    runs = {
        arm: [{"arm": arm, "seed": k, "test_top1": value, "bytes": 1234} for k, value in enumerate(values)]
        for arm, values in {"loss": [0.5, 0.52], "all": [0.6, 0.64], "released": [0.55]}.items()
    }
    text = page.tables(runs)

    assert "| 2 | 62.00 % | 60.00 to 64.00 | +11.00 | 69.4 (+6.9) |" in text
    assert "| 1 | 55.00 % |  | -7.00 |" in text
    assert page.plot(runs).count("<circle") == 5
