"""What weights a phase begins with: handed over, started from a file, with a new head; never a deployed network's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from reactnet.data.config import DataConfig
from reactnet.errors import ReactnetError
from reactnet.models import create_model
from reactnet.train import Recipe, load_model, save_model, train
from reactnet.train.checkpoint import read_checkpoint
from reactnet.train.events import Event, StepEnd
from reactnet.train.feed import Feed
from reactnet.train.hand_over import RELEASED_INIT, hand_over, rescale_latent
from reactnet.train.optimizer import latent_weights
from train.small_run import CLASSES, small_feed

Make = Callable[..., Recipe]
S, T = "phases.student.", "phases.teacher."


class BeforeFirstStep(Exception):  # noqa: N818  # a signal of these tests
    """Ends a run as its second phase begins."""


def fresh(seed: int, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return create_model("reactnet_digits", num_classes=CLASSES, **options)


def test_hand_over_between_phases_keeps_every_latent_weight(make_recipe: Make, tmp_path: Path) -> None:
    """The defect of the released scripts: they lost all of them, and a network of +1 weights went on to be trained.

    In accuracy: the logged reproduction of ReActNet-A has 47.4 % on ImageNet after the first epoch of phase two. A
    phase two that begins near chance has lost its weights.
    """
    # A learning rate too small to change a float32 weight: what phase two ends with is what it began with.
    still = {S + "learning_rate": 1e-30, S + "epochs": 1}
    folder = train(make_recipe(still), tmp_path / "run")
    before, after = (load_model(folder, phase=name) for name in ("teacher", "student"))
    latent = latent_weights(after)
    assert latent
    for name, weight in latent.items():
        assert torch.equal(weight, before.get_parameter(name))


def test_all_but_binary_weights_restarts_them_as_the_released_scripts_do_and_carries_all_else() -> None:
    before, model = fresh(1).state_dict(), fresh(2)
    handed = hand_over(model, before, "all_but_binary_weights")
    after = model.state_dict()
    assert set(handed.restarted) == set(latent_weights(model))
    assert sorted(handed.carried + handed.restarted) == sorted(after)
    for key in handed.restarted:
        assert bool((after[key] >= 0).all())  # every sign is +1
        assert 0.9 * RELEASED_INIT < float(after[key].max()) <= RELEASED_INIT
    assert all(torch.equal(after[key], before[key]) for key in handed.carried)


@pytest.mark.parametrize("carry", ["all", "nothing"])
def test_hand_over_accounts_for_every_key_and_carries_what_it_says(carry: str) -> None:
    before, model, untouched = fresh(1).state_dict(), fresh(2), fresh(2).state_dict()
    handed = hand_over(model, before, carry)
    after = model.state_dict()
    assert sorted(handed.carried + handed.restarted) == sorted(after)
    assert all(torch.equal(after[key], before[key]) for key in handed.carried)
    assert all(torch.equal(after[key], untouched[key]) for key in handed.restarted)


def test_rescaling_sets_the_mean_of_every_binary_layer_and_keeps_every_sign() -> None:
    before, model = fresh(1).state_dict(), fresh(2)
    hand_over(model, before, "all", rescale=0.05)
    for name, weight in latent_weights(model).items():
        assert float(weight.detach().abs().mean()) == pytest.approx(0.05, rel=1e-5)
        assert torch.equal(weight.detach() >= 0, before[name] >= 0)
    assert torch.equal(model.state_dict()["head.weight"], before["head.weight"])


def test_rescaling_keeps_a_negative_sign_that_would_round_to_zero() -> None:
    weight = torch.tensor([1e30, -1e-40, -0.0, 0.0, -1e30])
    signs = weight >= 0
    rescale_latent("w", weight, 1e-9)
    assert torch.equal(weight >= 0, signs)


def test_rescaling_a_layer_of_zeros_is_an_error() -> None:
    with pytest.raises(ReactnetError, match="all zero"):
        rescale_latent("w", torch.zeros(3), 0.05)


def deployed(folder: Path, *, mark: bool = False, signs: bool = True) -> Path:
    """A run's weights as they are deployed: signs only; or latent weights that are marked so."""
    model = load_model(folder)
    if signs:
        with torch.no_grad():
            for weight in latent_weights(model).values():
                weight.copy_(torch.where(weight >= 0, 1.0, -1.0))
    if mark:
        provenance = {**model.reactnet.provenance, "weights": "deployment weights, not a starting point"}
        model.reactnet = replace(model.reactnet, provenance=provenance)
    path = folder.parent / f"deployed_{mark}_{signs}.safetensors"
    save_model(model, path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from reactnet.train.recipe import parse_recipe
    from train.small_run import TEXT

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reactnet.train.run.open_feed", small_feed)
        return train(parse_recipe(TEXT, source="small.toml"), tmp_path_factory.mktemp("runs") / "start")


def starting(path: Path, carry: str = "all") -> dict[str, Any]:
    return {T + "start_from": str(path), T + "carry": carry, T + "binarize": ["activations", "weights"]}


@pytest.mark.parametrize(
    ("mark", "signs", "problem"), [(False, True, "all latent weights of"), (True, False, "marked")]
)
def test_training_from_deployment_weights_is_refused_with_a_cure(
    trained: Path, make_recipe: Make, tmp_path: Path, mark: bool, signs: bool, problem: str
) -> None:
    path = deployed(trained, mark=mark, signs=signs)
    for carry in ("all", "all_but_head"):
        with pytest.raises(ReactnetError, match=problem) as caught:
            train(make_recipe(starting(path, carry)), tmp_path / carry)
        assert str(path) in caught.value.problem
        assert "latent weights" in caught.value.hint


def test_a_run_starts_from_a_run_folder_with_every_weight_of_it(
    trained: Path, make_recipe: Make, tmp_path: Path
) -> None:
    changes = {**starting(trained), T + "learning_rate": 1e-30, T + "weight_decay": 0.0, T + "epochs": 1}
    folder = train(make_recipe(changes), tmp_path / "run")
    begun, source = load_model(folder, phase="teacher"), load_model(trained)
    for name, parameter in source.named_parameters():
        assert torch.equal(begun.get_parameter(name), parameter)


def other_classes(config: DataConfig, root: Path | None, **options: object) -> Feed:
    feed = small_feed(config, root)
    names = tuple(f"kind {i}" for i in range(CLASSES + 2))
    return replace(feed, train=replace(feed.train, class_names=names))


def test_other_classes_get_a_new_head_which_is_said_aloud_and_every_other_weight(
    trained: Path,
    make_recipe: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("reactnet.train.run.open_feed", other_classes)
    with pytest.raises(ReactnetError, match="knows 4 classes, the data has 6") as caught:
        train(make_recipe(starting(trained)), tmp_path / "kept")
    assert "all_but_head" in caught.value.hint
    changes = starting(trained, "all_but_head") | {T + "learning_rate": 1e-30, T + "weight_decay": 0.0, T + "epochs": 1}
    folder = train(make_recipe(changes), tmp_path / "new")
    assert "the head is made anew, for 6 classes: head.bias, head.weight" in caplog.text
    begun, source = load_model(folder, phase="teacher"), load_model(trained)
    assert begun.get_parameter("head.weight").shape[0] == 6
    for name, parameter in source.named_parameters():
        if not name.startswith("head."):
            assert torch.equal(begun.get_parameter(name), parameter)


def test_a_start_of_another_model_is_refused(trained: Path, make_recipe: Make, tmp_path: Path) -> None:
    changes = {**starting(trained), "model_options.duplicate": False}
    with pytest.raises(ReactnetError, match=r"holds reactnet_digits, the recipe trains reactnet_digits \(duplicate"):
        train(make_recipe(changes), tmp_path / "run")


def test_a_resumed_run_needs_its_start_no_more(trained: Path, make_recipe: Make, tmp_path: Path) -> None:
    source = tmp_path / "start.safetensors"
    save_model(load_model(trained), source)
    whole = train(make_recipe(starting(source)), tmp_path / "whole")

    def stop(event: Event) -> None:
        if isinstance(event, StepEnd) and event.epoch == 1:
            raise BeforeFirstStep

    with pytest.raises(BeforeFirstStep):
        train(make_recipe(starting(source)), tmp_path / "run", progress=stop)
    source.unlink()
    train(make_recipe(starting(source)), tmp_path / "run")
    for name in ("teacher", "student"):
        ours, theirs = (
            read_checkpoint(f / "checkpoints" / f"{name}.safetensors")[0] for f in (tmp_path / "run", whole)
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_model_with_options_comes_back_as_it_was_made(make_recipe: Make, tmp_path: Path) -> None:
    options = {"model_options.sign": "sign", "model_options.activation": "prelu", "model_options.duplicate": False}
    folder = train(make_recipe(options), tmp_path / "run")
    loaded = load_model(folder)
    assert loaded.reactnet.options == {"sign": "sign", "activation": "prelu", "duplicate": False}
    expected = create_model("reactnet_digits", num_classes=CLASSES, sign="sign", activation="prelu", duplicate=False)
    assert list(loaded.state_dict()) == list(expected.state_dict())
