"""TensorBoard gets every epoch once, where it is installed; where it is not, the run says so."""

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reactnet.train import Recipe, train
from reactnet.train import tensorboard as board
from reactnet.train.events import EpochEnd, Event

Make = Callable[..., Recipe]


class Writer:
    """Keeps what it is given, over all its instances, as a folder of event files does."""

    points: dict[str, dict[int, float]]
    closed: int

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder = folder
        for series in self.points.values():
            for step in [step for step in series if step >= purge_step]:
                del series[step]

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        assert step not in self.points.setdefault(tag, {}), f"{tag} written twice at {step}"
        self.points[tag][step] = value

    def flush(self) -> None:
        pass

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> type[Writer]:
    fake = type("FakeWriter", (Writer,), {"points": {}, "closed": 0})
    monkeypatch.setattr(board, "_WRITERS", ("no_such_package", "a_fake_board"))
    module = types.ModuleType("a_fake_board")
    module.SummaryWriter = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_fake_board", module)
    return fake


def test_every_epoch_is_one_point_counted_over_the_run(make_recipe: Make, tmp_path: Path, writer: type[Writer]) -> None:
    folder = train(make_recipe(), tmp_path / "run")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    vitals = [json.loads(line) for line in (folder / "vitals.jsonl").read_text().splitlines()]
    assert writer.points["curves/loss"] == dict(enumerate(line["loss"] for line in lines))
    assert writer.points["curves/test_top1"] == dict(enumerate(line["test_top1"] for line in lines))
    layer = "blocks.0.spatial.conv"
    assert writer.points[f"flips/{layer}"] == dict(enumerate(line["weights"][layer]["flips"] for line in vitals))
    assert "curves/epoch" not in writer.points
    assert writer.closed == 1
    assert json.loads((folder / "run.json").read_text())["tensorboard"] == "tensorboard/"


def test_a_stopped_run_has_no_point_twice(make_recipe: Make, tmp_path: Path, writer: type[Writer]) -> None:
    class KilledError(Exception):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, EpochEnd) and event.phase == "student":
            raise KilledError

    with pytest.raises(KilledError):
        train(make_recipe(), tmp_path / "run", progress=kill)
    last = tmp_path / "run" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-10])  # so the epoch that was written is trained again
    train(make_recipe(), tmp_path / "run")
    assert sorted(writer.points["curves/loss"]) == [0, 1, 2, 3]
    assert writer.closed == 2


def test_without_the_package_the_run_says_so(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "_WRITERS", ("no_such_package",))
    folder = train(make_recipe(), tmp_path / "run")
    assert json.loads((folder / "run.json").read_text())["tensorboard"] == board.NOT_WRITTEN
    assert not (folder / board.FOLDER).exists()


def test_an_absent_value_is_no_point() -> None:
    seen: dict[str, Any] = {"weights": {"a": {"flips": None, "quantiles": [0, 0, 0.5, 1, 1], "outside": 0.0}}}
    found = dict(board.scalars({"phase": "p", "epoch": 0, "loss": 1.5}, {**seen, "signs": {}, "rprelus": {}}))
    assert found == {"curves/loss": 1.5, "latent_median/a": 0.5, "outside_window/a": 0.0}


def test_the_real_writer_reads_back(make_recipe: Make, tmp_path: Path) -> None:
    if board.find_writer() is None:
        pytest.skip("no TensorBoard here (pip install tensorboard)")
    folder = train(make_recipe(), tmp_path / "run")
    assert list((folder / board.FOLDER).glob("events.*"))
