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
MODULES = ("arms", "gpu", "ladder", "ladder_page", "neighbours", "neighbours_page", "results_file")
MEAN = STD = (0.5, 0.5, 0.5)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return {name: importlib.import_module(name) for name in MODULES}


def _feed(side: int) -> Feed:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, side, side, 3), dtype=np.uint8)
    some = ImageSet(images, np.arange(6, dtype=np.int64), CLASSES)
    return Feed(DataConfig("cifar10", "test"), some, np.arange(6, dtype=np.int64), some, MEAN, STD)


def _save_teacher(name: str, folder: Path, side: int = 8) -> None:
    """A run folder of a network with fresh weights, as a recipe names its teacher."""
    model = create_model(name, binarize=())
    model.reactnet = ModelCard(  # type: ignore[assignment]
        name, 10, (), (side, side, 3), MEAN, STD, (side, side), (side, side), CLASSES, {"seed": "0"}
    )
    recipe = (ROOT / "recipes" / "resnet18_cifar10.toml").read_text()
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe)
    save_model(model, folder / "checkpoints" / "real.safetensors")


@pytest.mark.parametrize("stage", ["teacher", "best"])
def test_every_recipe_of_a_gpu_stage_takes_a_step(
    scripts: dict[str, ModuleType], stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = scripts["gpu"].commands(stage, Path("data"), Path("runs"), "cpu", 0, 9)
    words = command[command.index("train") + 1 :]
    assert words[1:8:2] == ["--data", "--out", "--device", "--workers"]
    recipe = load_recipe(ROOT / words[0], read_overrides(words[9:]))
    monkeypatch.chdir(tmp_path)
    _save_teacher("resnet18_cifar", tmp_path / "runs" / "resnet18_cifar10")
    assert recipe.computing.precision == "bfloat16"
    _take_a_step(recipe)


@pytest.mark.parametrize("stage", ["ladder", "neighbours"])
def test_a_stage_of_many_runs_is_a_script_with_its_own_minutes(scripts: dict[str, ModuleType], stage: str) -> None:
    (command,) = scripts["gpu"].commands(stage, Path("data"), Path("runs"), "cuda", 3, 9)
    assert Path(command[1]) == ROOT / "experiments" / f"{stage}.py"
    assert command[command.index("--minutes") + 1] == "9"
    assert command[command.index("--out") + 1] == str(Path("runs") / stage)


@pytest.mark.parametrize("budget", ["cpu", "gpu"])
def test_neighbours_have_one_budget_and_take_a_step(
    scripts: dict[str, ModuleType], budget: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripts["neighbours"]
    names = (*script.BINARY, script.REAL)
    recipes = {name: script.recipe(script.BUDGETS[budget], name) for name in names}
    monkeypatch.chdir(tmp_path)
    teacher = {"cpu": "resnet8_cifar10_cpu", "gpu": "resnet18_cifar10"}[budget]
    _save_teacher("resnet18_cifar", tmp_path / "runs" / teacher, side=16)

    assert {sum(phase.epochs for phase in one.phases.values()) for one in recipes.values()} == {
        sum(script.BUDGETS[budget].epochs)
    }
    binary = [recipes[name] for name in script.BINARY]
    assert all(one.phases == binary[0].phases for one in binary), "only the network differs"
    for name, one in recipes.items():
        assert (one.model, one.data.validation_images) == (name, 5000)
        if budget == "cpu":
            _take_a_step(one, side=16)  # the least that five strides leave a pixel of


def test_a_result_replaces_that_of_its_name(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    file = scripts["results_file"]
    path = tmp_path / "deep" / "results.json"
    assert file.read(path) == []
    for value, name in ((1, "a"), (2, "b"), (3, "a")):
        file.keep(path, {"model": name, "value": value}, ("model",))
    assert file.read(path) == [{"model": "b", "value": 2}, {"model": "a", "value": 3}]
    assert file.find(path, model="b") == {"model": "b", "value": 2}
    assert file.find(path, model="c") is None
    assert [one.name for one in path.parent.iterdir()] == ["results.json"]


def test_the_neighbours_page_has_a_row_and_a_mark_a_network(scripts: dict[str, ModuleType]) -> None:
    page = scripts["neighbours_page"]
    line = {"test_top1": 0.5, "ops": 1_500_000, "bytes": 120_000, "ms_min": 0.25}
    lines = [{"model": "reactnet18_cifar", **line}, {"model": "resnet18_cifar", **line, "test_top1": 0.625}]
    text = page.table(lines)
    assert "| ReActNet-18 | 50.00 % | 1.50 | 120 | 0.250 |" in text
    assert text.index("ResNet-18, real") < text.index("ReActNet-18"), "the best first"
    assert page.plot(lines).count("<circle") == 3 * 2


def _take_a_step(recipe: Recipe, side: int = 8) -> None:
    """One update of the last phase, in the recipe's precision, without the minutes that torch.compile takes."""
    plain = Recipe(**{**recipe.__dict__, "computing": type(recipe.computing)(recipe.computing.precision, True)})
    last = list(plain.phases)[-1]
    fresh = Recipe(**{**plain.__dict__, "phases": {last: _alone(plain.phases[last])}})
    feed = _feed(side)
    loop, _ = make_loop(fresh, 0, feed, torch.device("cpu"), Path, resumed=False)
    loop.model.train()
    before = {name: value.clone() for name, value in loop.model.named_parameters()}
    phase = loop.phase
    batch = next(feed.batches(seed=0, epoch=0, batch_size=phase.batch_size, augment=phase.augment))
    outcome = loop.update.run(batch, number=0, seed=0)

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
