"""Several processes on the CPU: what they compute is what one computes, and they end together, well or not."""

import json
import signal
import time
from fractions import Fraction

import pytest
import torch

from reactnet.errors import ReactnetError
from reactnet.train.device import open_device
from reactnet.train.meeting import PATIENCE, started
from reactnet.train.parallel import ALONE, World, check_pieces
from train import processes
from train.processes import run, start
from train.test_run import checkpoints, histograms, log

# Sums of a batch in another order, in float64, over four steps: rounding alone.
ROUNDING = 1e-11
# A failure is known to all at once: far above the pauses of a slow machine, far below the patience of a collective.
AT_ONCE = 20.0


@pytest.mark.parametrize(
    ("norms", "gradient", "pieces", "count"),
    [(False, "quadratic", 2, 2), (True, "quadratic_rms", 1, 2), (True, "identity", 1, 3)],
)
def test_processes_have_the_gradients_and_weights_of_one_on_the_joined_batch(norms, gradient, pieces, count, tmp_path):
    for size in (1, count):
        run(processes.steps, tmp_path, count=size, norms=norms, joined=True, gradient=gradient, pieces=pieces)

    one = torch.load(tmp_path / "1.0.pt")
    assert len(one) > 4 * 8
    for rank in range(count):
        several = torch.load(tmp_path / f"{count}.{rank}.pt")
        assert one.keys() == several.keys()
        for name, value in one.items():
            torch.testing.assert_close(several[name], value, rtol=ROUNDING, atol=ROUNDING, msg=f"{rank} {name}")


def test_norms_that_are_not_joined_measure_each_piece_by_itself(tmp_path):
    """Else the test above would say nothing of them."""
    for size in (1, 2):
        run(processes.steps, tmp_path, count=size, norms=True, joined=False, gradient="quadratic", pieces=1)
    one, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("1.0", "2.0", "2.1"))
    assert not torch.allclose(one["0 loss"], first["0 loss"])
    assert not torch.allclose(first["buffer 1.running_mean"], second["buffer 1.running_mean"])
    torch.testing.assert_close(first["weight 3.weight"], second["weight 3.weight"], rtol=0, atol=0)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("images", [17, 4, 2])  # a last round in which some have no batch; fewer images than processes
def test_each_image_is_measured_once_and_the_share_is_exact(images, count, tmp_path):
    run(processes.counted, tmp_path, count=count, images=images)
    found = [json.loads((tmp_path / f"{count}.{rank}.json").read_text()) for rank in range(count)]

    assert sorted(name for one in found for name in one["seen"]) == list(range(images))
    wrong = -(-images // 3)
    assert {one["top1"] for one in found} == {float(Fraction(images - wrong, images))}


def test_two_processes_train_as_one_folder_says_and_only_the_first_writes(tmp_path):
    first, second = run(processes.train, tmp_path / "run", count=2, overrides={"phases.student.batch_size": 7})
    assert [line.startswith("step") for line in first.lines()] == [True] * 12
    assert second.lines() == []  # it would have named each file that it opens for writing
    lines = log(tmp_path / "run")
    assert [line["step"] for line in lines] == [2, 4, 4, 8]
    # 24 training and 16 test images: every share is a whole number of them.
    for line in lines:
        assert line["train_top1"] * 24 == pytest.approx(round(line["train_top1"] * 24), abs=1e-9)
        assert line["test_top1"] * 16 == round(line["test_top1"] * 16)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["processes"] == 2


def test_a_stop_of_one_stops_all_at_the_same_step_and_killed_or_stopped_they_resume_to_the_same_bytes(tmp_path):
    options = {"overrides": {"phases.student.sync_batch_norm": True}, "save_every": 1}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(processes.train, whole, count=2, **options)

    first, second = start(processes.train, stopped, count=2, pause=0.05, **options)
    first.wait_for(3)
    second.send(signal.SIGTERM)
    assert [first.end()[0], second.end()[0]] == [130, 130]
    first, second = start(processes.train, stopped, count=2, pause=0.05, **options)
    first.wait_for(3)
    first.send(signal.SIGKILL)
    assert first.end()[0] == -signal.SIGKILL
    assert second.end()[0] == 2
    run(processes.train, stopped, count=2, **options)
    assert log(stopped) == log(whole)
    assert log(stopped, "vitals.jsonl") == log(whole, "vitals.jsonl")
    assert checkpoints(stopped) == checkpoints(whole)
    assert histograms(stopped) == histograms(whole)


@pytest.mark.parametrize(
    ("fail", "rank", "problem"),
    [
        ("forward", 1, "RuntimeError: the accelerator has burnt"),
        ("forward", 0, "RuntimeError: the accelerator has burnt"),
        ("nan", 1, "the loss is nan: it began in the images"),
        ("data", 1, "image 7.png: cannot be decoded"),
        ("data", 0, "image 7.png: cannot be decoded"),
        ("measure", 2, "image 8.png: cannot be decoded"),
    ],
)
def test_a_failure_of_one_process_ends_all_at_once_with_what_it_says(fail, rank, problem, tmp_path):
    options = {"fail": fail, "fail_rank": rank, "fail_step": 1, "overrides": {"phases.teacher.sync_batch_norm": True}}
    running = start(processes.train, tmp_path / "run", count=3, **options)
    begin = time.monotonic()
    ended = [one.end() for one in running]
    assert time.monotonic() - begin < AT_ONCE < PATIENCE.total_seconds() / 10
    for who, (status, errors) in enumerate(ended):
        assert status == (1 if fail == "forward" and who == rank else 2), errors
        assert problem in errors


def test_a_full_disk_of_the_first_ends_all_with_what_it_says(tmp_path):
    options = {"save_every": 1, "limit_after": 3, "limit": 1000}
    for one in start(processes.train, tmp_path / "run", count=2, **options):
        status, errors = one.end()
        assert status == 2
        assert "last.safetensors: cannot be written: File too large" in errors
        assert "the last good checkpoint is" in errors


def test_a_process_that_is_killed_ends_the_others_with_a_message(tmp_path):
    first, second = start(processes.train, tmp_path / "run", count=2, pause=0.05)
    first.wait_for(1)
    second.send(signal.SIGKILL)
    assert second.end()[0] == -signal.SIGKILL
    status, errors = first.end()
    assert status == 2
    assert "another process of the run has ended" in errors


def test_processes_with_another_recipe_are_refused_by_all(tmp_path):
    changed = {"1": {"phases.teacher.learning_rate": 0.5}}
    for one in start(processes.train, tmp_path / "run", count=2, overrides_of=changed):
        status, errors = one.end()
        assert status == 2
        assert "process 1 of 2 has another recipe than process 0: 'learning_rate = 0.5', not" in errors
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_recipe_is_refused_by_all(tmp_path):
    run(processes.train, tmp_path / "run", overrides={"seed": 4})
    for one in start(processes.train, tmp_path / "run", count=2):
        status, errors = one.end()
        assert status == 2
        assert "holds a run of another recipe: seed was 4, is 3" in errors


def test_devices_that_are_not_there_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ReactnetError, match="GPU 1 is not there: this machine has 1"):
        open_device("cuda", World(1, 2, 1))
    with pytest.raises(ReactnetError, match="one GPU for 2 processes"):
        open_device("cuda:0", World(1, 2, 1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ReactnetError, match="has no CUDA"):
        open_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(ReactnetError, match="'mps': not for 2 processes"):
        open_device("mps", World(1, 2, 1))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ReactnetError, match="has no MPS"):
        open_device("mps")
    with pytest.raises(ReactnetError, match="'abacus'"):
        open_device("abacus")


def test_a_batch_too_small_for_the_processes_is_refused():
    check_pieces(24, 12, World(0, 2))
    with pytest.raises(ReactnetError, match="too few in a step for 3 processes"):
        check_pieces(24, 12, World(0, 3))


def test_half_an_environment_is_an_error(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert started() == ALONE
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ReactnetError, match="RANK and LOCAL_RANK"):
        started()
