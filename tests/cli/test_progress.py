"""What is shown while training: the numbers that a person waits for, and few lines where nobody does."""

import io
from pathlib import Path

import pytest

from reactnet.cli import progress
from reactnet.cli.progress import LINE_EVERY, Rate, TrainingBars
from reactnet.train.events import EpochEnd, PhaseBegin, PhaseEnd, RunBegin, RunEnd, StepEnd

RECORD = {"phase": "student", "epoch": 0, "loss": 0.25, "learning_rate": 0.005, "test_top1": 0.925, "rate": 1234.5}
BEGIN = PhaseBegin("student", ("activations",), 3, 2, 0, 0, None)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress.time, "monotonic", made)
    return made


def test_the_rate_is_that_of_the_last_seconds_and_not_of_pauses(clock: Clock) -> None:
    rate = Rate()
    assert rate.add(10) is None
    clock.now += 2
    assert rate.add(10) == 5.0
    rate.pause()
    clock.now += 1000
    assert rate.add(10) is None
    for _ in range(50):
        clock.now += 1
        latest = rate.add(30)
    assert latest == 30.0


def test_a_terminal_shows_epoch_loss_top1_rate_and_speed(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with TrainingBars() as bars:
        bars(RunBegin(Path("run"), "m", ("student",), None))
        bars(BEGIN)
        bars(StepEnd("student", 0, 1, 64, 0.5, 0.4, 0.01))
        bars(EpochEnd("student", 0, RECORD, {}))
        bars(StepEnd("student", 1, 1, 64, 0.5, 0.4, 0.005))
        clock.now += 2
        bars(StepEnd("student", 1, 2, 64, 0.375, 0.4, 0.005))
        (task,) = bars._bars.tasks
        assert task.description == "student 2/3"
        assert (task.completed, task.total) == (4, 6)
        assert task.fields["status"] == "loss 0.375  top-1 92.50 %  lr 0.005  32 images/s"
        bars._bars.refresh()
        text = screen.getvalue()
        bars(PhaseEnd("student", 0.95, Path("x")))
    for words in ("student 2/3", "4/6", "loss 0.375", "92.50 %", "32 images/s"):
        assert words in text


def test_elsewhere_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "on_terminal", lambda: False)
    with TrainingBars() as bars:
        bars(RunBegin(Path("run"), "m", ("student",), "phase student, epoch 0, step 0"))
        bars(BEGIN)
        for epoch in range(3):
            bars(StepEnd("student", epoch, 1, 64, 0.5, 0.4, 0.01))
            clock.now += LINE_EVERY * 0.6
            bars(EpochEnd("student", epoch, {**RECORD, "epoch": epoch}, {}))
        bars(PhaseEnd("student", 0.95, Path("x")))
        bars(RunEnd(Path("run"), trained=True))
    assert capsys.readouterr().err.splitlines() == [
        "resumed: phase student, epoch 0, step 0",
        "student: epoch 2 of 3  loss 0.250  top-1 92.50 %  lr 0.005  1,234 images/s",
        "student: top-1 95.00 %",
    ]
