"""Whole runs: what the folder holds, the same bits each time, and exact resume from wherever a run was stopped."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from reactnet.errors import ReactnetError
from reactnet.train import Interrupted, Recipe, load_model, load_recipe, run, train
from reactnet.train.checkpoint import read_checkpoint, write_checkpoint
from reactnet.train.events import EpochEnd, Event, PhaseBegin, PhaseEnd, RunBegin, RunEnd, StepEnd
from reactnet.train.folder import RunFolder
from reactnet.train.recipe import parse_recipe
from reactnet.train.step import Step
from train.small_run import COMMIT, TEXT, small_feed

Make = Callable[..., Recipe]


class KilledError(Exception):
    """Stands for SIGKILL: nothing of ours catches it, so nothing is saved."""


def log(folder: Path, name: str = "log.jsonl") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("time", "rate")} for line in lines]


def checkpoints(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "checkpoints").iterdir())}


def histograms(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "histograms").iterdir())}


def at_step(number: int, act: Callable[[], None]) -> Callable[[Event], None]:
    """A progress callback that acts after the step of that number, counted over the whole call."""
    seen = iter(range(1, 10_000))

    def progress(event: Event) -> None:
        if isinstance(event, StepEnd) and next(seen) == number:
            act()

    return progress


def kill() -> None:
    raise KilledError


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped; for reading only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "open_feed", small_feed)
        patch.setattr(run, "_commit", lambda: COMMIT)
        return train(parse_recipe(TEXT, source="small.toml"), tmp_path_factory.mktemp("runs") / "whole")


def test_the_run_folder_says_what_was_run(whole: Path, make_recipe: Make) -> None:
    assert load_recipe(whole / "recipe.toml") == make_recipe()
    info = json.loads((whole / "run.json").read_text())
    assert (info["model"], info["seed"], info["finished"]) == ("reactnet_digits", 3, True)
    assert info["class_names"] == ["class 0", "class 1", "class 2", "class 3"]
    assert info["preprocessing"] == {"resize": [8, 8], "crop": [8, 8], "mean": [0.4], "std": [0.3]}
    assert info["commit"] == COMMIT
    assert info["versions"]["torch"] == torch.__version__
    assert info["hand_over"]["teacher"]["carried"] == []
    assert info["hand_over"]["student"]["restarted"] == []
    assert set(info["hand_over"]["student"]["carried"]) == set(load_model(whole).state_dict())
    assert [path.name for path in (whole / "checkpoints").iterdir() if path.suffix != ".safetensors"] == []
    files = {".lock", "checkpoints", "histograms", "log.jsonl", "recipe.toml", "run.json", "vitals.jsonl"}
    assert {path.name for path in whole.iterdir()} - {"tensorboard"} == files  # the last where it is installed


def test_the_log_has_one_line_an_epoch(whole: Path) -> None:
    lines = log(whole)
    assert [(line["phase"], line["epoch"], line["step"]) for line in lines] == [
        ("teacher", 0, 2),
        ("teacher", 1, 4),
        ("student", 0, 2),
        ("student", 1, 4),
    ]
    assert all(
        set(line) == {"phase", "epoch", "step", "learning_rate", "loss", "train_top1", "test_top1"} for line in lines
    )


def test_the_commit_of_a_run_is_that_of_the_sources() -> None:
    here = Path(__file__).parent
    head = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    commit = run._commit()
    if commit is None:
        pytest.skip("the package under test is no git checkout")
    assert commit.removesuffix("-dirty") == head.stdout.strip()


def test_training_learns(make_recipe: Make, tmp_path: Path) -> None:
    longer = {"phases.teacher.epochs": 10, "phases.student.epochs": 20, "phases.student.learning_rate": 0.1}
    folder = train(make_recipe({**longer, "phases.teacher.augment.random_shift": 0}), tmp_path / "run")
    lines = log(folder)
    assert lines[9]["loss"] < 0.5 * lines[0]["loss"]
    assert lines[9]["test_top1"] > 0.5  # a guess is right in 0.25
    assert lines[29]["loss"] < lines[10]["loss"]
    assert lines[29]["test_top1"] > 0.5


def test_two_runs_give_the_same_bytes_whatever_is_set(whole: Path, make_recipe: Make, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.manual_seed(99)
    torch.set_num_threads(3)
    try:
        again = train(make_recipe(), tmp_path / "again")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert not torch.are_deterministic_algorithms_enabled()
    assert checkpoints(again) == checkpoints(whole)
    assert log(again) == log(whole)


def test_a_run_leaves_the_callers_generator_alone(make_recipe: Make, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(train(make_recipe(), tmp_path / "run"))
    assert torch.equal(torch.rand(3), expected)


def test_another_seed_gives_other_weights(whole: Path, make_recipe: Make, tmp_path: Path) -> None:
    assert checkpoints(train(make_recipe({"seed": 4}), tmp_path / "other")) != checkpoints(whole)


@pytest.mark.parametrize(
    ("end", "step"),
    [
        (kill, 1),
        (kill, 3),
        (kill, 4),
        (kill, 6),
        (kill, 8),
        (terminate, 2),
        (terminate, 3),
        (terminate, 5),
        (terminate, 8),
    ],
)
def test_a_run_stopped_at_any_step_and_resumed_ends_with_the_same_bytes(
    whole: Path, make_recipe: Make, tmp_path: Path, end: Callable[[], None], step: int
) -> None:
    folder = tmp_path / "stopped"
    with pytest.raises(KilledError if end is kill else Interrupted):
        train(make_recipe(), folder, progress=at_step(step, end))
    train(make_recipe(), folder)
    assert checkpoints(folder) == checkpoints(whole)
    assert log(folder) == log(whole)
    assert log(folder, "vitals.jsonl") == log(whole, "vitals.jsonl")
    assert histograms(folder) == histograms(whole)


def test_a_run_stopped_many_times_ends_with_the_same_bytes(whole: Path, make_recipe: Make, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    for _ in range(7):
        with pytest.raises(Interrupted):
            train(make_recipe(), folder, progress=at_step(1, terminate))
    train(make_recipe(), folder)
    assert checkpoints(folder) == checkpoints(whole)
    assert log(folder) == log(whole)
    assert log(folder, "vitals.jsonl") == log(whole, "vitals.jsonl")
    assert histograms(folder) == histograms(whole)


def test_signals_are_handled_as_before_after_a_run(whole: Path, make_recipe: Make, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        train(make_recipe(), tmp_path / "stopped", progress=at_step(1, terminate))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_torn_state_is_named_and_the_one_before_is_used(
    whole: Path, make_recipe: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "stopped"
    with pytest.raises(KilledError):
        train(make_recipe(), folder, progress=at_step(7, kill))
    last = folder / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    train(make_recipe(), folder)
    assert f"{last}: corrupt" in caplog.text
    assert checkpoints(folder) == checkpoints(whole)
    assert log(folder) == log(whole)


def test_the_state_of_an_earlier_version_is_an_error(make_recipe: Make, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    with pytest.raises(Interrupted):
        train(make_recipe(), folder, progress=at_step(1, terminate))
    tensors, metadata = read_checkpoint(folder / "last.safetensors")
    state = json.loads(metadata["state"])
    del state["log_sizes"]
    write_checkpoint(folder / "last.safetensors", tensors, {**metadata, "state": json.dumps(state)})
    with pytest.raises(ReactnetError, match="saved by an earlier version"):
        train(make_recipe(), folder)


def test_a_finished_run_is_left_as_it_is_and_says_so(whole: Path, make_recipe: Make) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.*") if path.name != ".lock"}
    events: list[Event] = []
    assert train(make_recipe(), whole, progress=events.append) == whole
    assert events == [RunEnd(whole, trained=False)]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_recipe_in_the_same_folder_is_refused_with_the_difference(whole: Path, make_recipe: Make) -> None:
    before = checkpoints(whole)
    with pytest.raises(
        ReactnetError,
        match=r"phases\.student\.epochs was 2, is 3; "
        r"phases\.student\.schedule was 'cosine', is 'constant'",
    ):
        train(make_recipe({"phases.student.epochs": 3, "phases.student.schedule": "constant"}), whole)
    assert checkpoints(whole) == before


def test_a_folder_of_something_else_is_refused(make_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ReactnetError, match="not empty, and no run folder"):
        train(make_recipe(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_processes_cannot_train_in_one_folder(make_recipe: Make, tmp_path: Path) -> None:
    def again() -> None:
        train(make_recipe(), tmp_path / "run")

    with pytest.raises(ReactnetError, match="another process trains in it"):
        train(make_recipe(), tmp_path / "run", progress=at_step(1, again))


def test_progress_sees_phases_steps_and_epochs_in_order(make_recipe: Make, tmp_path: Path) -> None:
    events: list[Event] = []
    folder = train(make_recipe(), tmp_path / "run", progress=events.append)
    phase = [PhaseBegin, StepEnd, StepEnd, EpochEnd, StepEnd, StepEnd, EpochEnd, PhaseEnd]
    assert [type(event) for event in events] == [RunBegin, *phase, *phase, RunEnd]
    ends = [event for event in events if isinstance(event, PhaseEnd)]
    assert [end.top1 for end in ends] == [line["test_top1"] for line in log(folder)[1::2]]
    steps = [event for event in events if isinstance(event, StepEnd)]
    assert [step.images for step in steps] == [12] * 8
    assert steps[0].learning_rate == 0.002


@pytest.mark.parametrize("step", [1, 3])
def test_a_loss_that_is_not_finite_names_phase_step_and_last_good_checkpoint(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    folder = tmp_path / "run"
    broken: list[bool] = []
    monkeypatch.setattr(
        "reactnet.train.distill.cross_entropy",
        lambda logits, labels, smoothing: (
            torch.nn.functional.cross_entropy(logits, labels) * (float("nan") if broken else 1)
        ),
    )
    breaks = at_step(step, lambda: broken.append(True))
    with pytest.raises(ReactnetError, match=r"phase teacher, .* the loss is nan: it began in the loss") as caught:
        train(make_recipe(), folder, progress=breaks)
    epoch, number = divmod(step, 2)
    assert f"epoch {epoch}, step {number}" in caught.value.problem
    last = folder / "last.safetensors"
    assert last.exists() == (epoch > 0)
    assert (str(last) if epoch > 0 else "none") in caught.value.hint


@pytest.mark.parametrize("stopped", [False, True])
def test_weights_that_an_update_spoiled_are_not_saved_as_the_last_good_ones(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    folder, update = tmp_path / "run", Step._update

    def spoiling(self: Step, number: int) -> None:
        if number == 2:  # of four an epoch; its loss was finite
            next(self.model.parameters()).grad.fill_(float("inf"))
        update(self, number)

    monkeypatch.setattr(Step, "_update", spoiling)
    recipe = make_recipe({"phases.teacher.batch_size": 6})
    then = at_step(1, terminate) if stopped else None
    for save_every, progress in ((1, None), (1000 if stopped else 1, then)):  # the second call resumes the first
        with pytest.raises(ReactnetError, match=r"epoch 0, step 2: 'stem\.0\.weight' of the model is not") as caught:
            train(recipe, folder, save_every=save_every, progress=progress)
        assert str(folder / "last.safetensors") in caught.value.hint
        tensors, metadata = read_checkpoint(folder / "last.safetensors")
        assert json.loads(metadata["state"])["position"]["step"] == 2
        assert all(bool(value.isfinite().all()) for value in tensors.values() if value.is_floating_point())
    monkeypatch.setattr(Step, "_update", update)
    train(recipe, folder)
    assert RunFolder(folder).info()["finished"]


def test_a_phase_loads_only_once_it_is_finished(make_recipe: Make, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(KilledError):
        train(make_recipe(), folder, progress=at_step(5, kill))
    with pytest.raises(ReactnetError, match="not finished phase 'student'") as caught:
        load_model(folder)
    assert "'teacher'" in caught.value.hint
    assert load_model(folder, phase="teacher").reactnet.provenance["phase"] == "teacher"


def test_the_teacher_is_frozen_and_the_model_hands_over_from_its_file(whole: Path) -> None:
    teacher, student = load_model(whole, phase="teacher"), load_model(whole)
    assert teacher.reactnet.binarize == ()
    assert student.reactnet.binarize == ("activations", "weights")
    assert RunFolder(whole).checkpoint("teacher").is_file()


def test_an_unknown_device_is_an_error(make_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match="device 'abacus'"):
        train(make_recipe(), tmp_path / "run", device="abacus")
    assert not (tmp_path / "run").exists()


def test_a_phase_trains_on_squares_of_the_images_and_is_measured_on_whole_ones(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    forward = Step.run

    def watched(self: Step, batch: Any, *given: Any) -> Any:
        seen.append(tuple(batch.images.shape[2:]))
        return forward(self, batch, *given)

    monkeypatch.setattr(Step, "run", watched)
    crop = {"phases.student.augment.random_crop": 5, "phases.student.recalibrate": 8}
    folder = train(make_recipe(crop), tmp_path / "run")
    assert seen == [(8, 8)] * 4 + [(5, 5)] * 4
    assert load_model(folder).reactnet.image_size == (8, 8, 1)


def test_squares_that_the_images_or_the_model_are_too_small_for_are_refused(make_recipe: Make, tmp_path: Path) -> None:
    for side, problem in ((9, "phase student: random_crop is 9, the images are 8x8"), (1, "1x1x1 is too small")):
        with pytest.raises(ReactnetError, match=problem) as caught:
            train(make_recipe({"phases.student.augment.random_crop": side}), tmp_path / "run")
        assert caught.value.hint
    assert not (tmp_path / "run").exists()
