"""Real processes, really killed: a run that lost its process ends with the bytes of one that never did."""

import random
import signal
from pathlib import Path

import pytest

from train import processes
from train.processes import run, start
from train.test_run import checkpoints, histograms, log

STEPS = 8
EVENTS = 18  # of the whole run: its beginning and end, two phases with theirs, two epochs each, two steps each
KILLS = 60  # more than any run here survives


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(processes.train, folder)
    return folder


def same_run(folder: Path, whole: Path) -> None:
    """The bytes of the weights, and logs that differ in time and rate alone; nothing is left over."""
    assert checkpoints(folder) == checkpoints(whole)
    assert histograms(folder) == histograms(whole)
    for name in ("log.jsonl", "vitals.jsonl"):
        assert log(folder, name) == log(whole, name)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in whole.iterdir())
    assert list(folder.rglob("*.tmp")) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_before_a_random_change_of_its_folder_again_and_again(seed: int, whole: Path, tmp_path: Path) -> None:
    folder, drawn = tmp_path / "run", random.Random(seed)
    killed = 0
    for _ in range(KILLS):
        (one,) = start(processes.train, folder, save_every=1, die_at=drawn.randrange(1, 30))
        status, errors = one.end()
        if status == 0:
            break
        assert status == -signal.SIGKILL, errors
        killed += 1
    assert killed > 2
    same_run(folder, whole)


@pytest.mark.parametrize("event", [1, 4, 7, 9, 10, 16, 17])  # 9 and 10: the hand-over from phase to phase
def test_killed_at_an_event(event: int, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (one,) = start(processes.train, folder, die_after=event)
    assert one.end()[0] == -signal.SIGKILL
    run(processes.train, folder)
    same_run(folder, whole)


def test_killed_at_random_moments(whole: Path, tmp_path: Path) -> None:
    folder, drawn = tmp_path / "run", random.Random(7)
    for _ in range(KILLS):
        (one,) = start(processes.train, folder, save_every=1)
        one.wait_for(drawn.randrange(1, 4))
        one.process.join(drawn.random() / 50)  # somewhere in a step or in the midst of saving
        one.send(signal.SIGKILL)
        if one.end()[0] == 0:
            break
    same_run(folder, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_saves_the_very_step_and_exits_130(whole: Path, tmp_path: Path, number: int) -> None:
    folder = tmp_path / "run"
    (one,) = start(processes.train, folder, pause=0.05)
    one.wait_for(3)
    one.send(number)
    assert one.end()[0] == 130
    done = len(one.lines())
    assert 3 <= done < STEPS
    (one,) = run(processes.train, folder)
    assert done + len(one.lines()) == STEPS
    same_run(folder, whole)


def test_a_full_disk_is_said_and_the_last_good_state_is_whole(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # After the third step no file may grow past 1000 bytes: the state of that step cannot be written.
    (one,) = start(processes.train, folder, save_every=1, limit_after=3, limit=1000)
    status, errors = one.end()
    assert status == 2
    assert "last.safetensors: cannot be written: File too large" in errors
    assert f"the last good checkpoint is {folder / 'last.safetensors'}" in errors
    assert list(folder.rglob("*.tmp")) == []
    (one,) = run(processes.train, folder)
    assert len(one.lines()) == STEPS - 2  # from the second step on
    same_run(folder, whole)


def test_a_torn_state_after_a_kill_is_named_and_the_one_before_is_used(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (one,) = start(processes.train, folder, save_every=1, pause=0.05)
    one.wait_for(4)
    one.send(signal.SIGKILL)
    assert one.end()[0] == -signal.SIGKILL
    last = folder / "last.safetensors"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    (one,) = run(processes.train, folder)
    errors = one.end()[1]
    assert f"{last}: corrupt" in errors
    assert "the state before it is used" in errors
    same_run(folder, whole)


def test_a_run_without_a_whole_state_is_not_begun_anew_in_silence(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (one,) = start(processes.train, folder, save_every=1, die_after=8)
    assert one.end()[0] == -signal.SIGKILL
    for name in ("last", "previous"):
        (folder / f"{name}.safetensors").write_bytes(b"torn")
    before = (folder / "log.jsonl").read_bytes()
    (one,) = start(processes.train, folder)
    status, errors = one.end()
    assert status == 2
    assert "no state of the run is whole" in errors
    assert (folder / "log.jsonl").read_bytes() == before != b""
