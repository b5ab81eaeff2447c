"""Training, as it happens: live bars on a terminal; elsewhere a line a phase, and one now and then in between."""

import sys
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from reactnet.cli.screen import on_terminal, percent

if TYPE_CHECKING:
    from rich.progress import TaskID

    from reactnet.train.events import EpochEnd, Event, PhaseBegin, PhaseEnd, StepEnd

RATE_OVER = 5.0  # seconds over which images a second are counted: long enough to read, short enough to be of now
LINE_EVERY = 30.0  # seconds between two lines where no one looks at a bar: a log file of some hundred lines a run


class TrainingBars:
    """Draws the events of `reactnet.train.train` on stderr. Use as a context manager; call it with each event."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._live = on_terminal()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[status]}", markup=False),
            console=Console(stderr=True),
            disable=not self._live,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, PhaseBegin] = {}
        self._top1 = ""  # of the last epoch that was measured, in words
        self._rate = Rate()
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, event: "Event") -> None:
        from reactnet.train import events

        match event:
            case events.RunBegin(resumed=str(where)):
                self._say(f"resumed: {where}")
            case events.PhaseBegin():
                self._begin(event)
            case events.StepEnd():
                self._step(event)
            case events.EpochEnd():
                self._epoch(event)
            case events.PhaseEnd():
                self._end(event)
            case events.RunEnd(trained=False):
                self._say(f"{event.out}: trained already; remove it to train again")
            case _:
                pass

    def _begin(self, event: "PhaseBegin") -> None:
        self._begun[event.phase] = event
        self._top1 = ""
        self._rate.pause()
        self._tasks[event.phase] = self._bars.add_task(
            f"{event.phase} {min(event.epoch + 1, event.epochs)}/{event.epochs}",
            total=event.epochs * event.steps_per_epoch,
            completed=event.epoch * event.steps_per_epoch + event.step,
            status="",
        )

    def _step(self, event: "StepEnd") -> None:
        begun = self._begun[event.phase]
        rate = self._rate.add(event.images)
        speed = f"  {rate:,.0f} images/s" if rate is not None else ""
        self._bars.update(
            self._tasks[event.phase],
            description=f"{event.phase} {event.epoch + 1}/{begun.epochs}",
            completed=event.epoch * begun.steps_per_epoch + event.step,
            status=f"loss {event.loss:.3f}{self._top1}  lr {event.learning_rate:.2g}{speed}",
        )

    def _epoch(self, event: "EpochEnd") -> None:
        record = event.record
        top1 = next((value for key, value in record.items() if key in ("test_top1", "validation_top1")), None)
        self._top1 = f"  top-1 {percent(top1)}" if isinstance(top1, float) else ""
        self._rate.pause()  # measuring is no training
        if not self._live and time.monotonic() - self._last_line >= LINE_EVERY:
            self._say(
                f"{event.phase}: epoch {event.epoch + 1} of {self._begun[event.phase].epochs}"
                f"  loss {record['loss']:.3f}{self._top1}  lr {record['learning_rate']:.2g}  "
                f"{record['rate']:,.0f} images/s"
            )

    def _end(self, event: "PhaseEnd") -> None:
        if event.phase in self._tasks:
            self._bars.update(self._tasks[event.phase], status=f"top-1 {percent(event.top1)}")
        if not self._live:
            self._say(f"{event.phase}: top-1 {percent(event.top1)}")

    def _say(self, text: str) -> None:
        self._last_line = time.monotonic()
        if self._live:
            self._bars.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)


class Rate:
    """Images a second over the last `RATE_OVER` seconds of training."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def pause(self) -> None:
        """Something else than steps follows: the time until the next step does not count."""
        self._seen.clear()

    def add(self, images: int) -> float | None:
        """After a step of so many images; None until a second step makes a distance."""
        now = time.monotonic()
        self._seen.append((now, images))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_OVER:
            self._seen.popleft()
        begin = self._seen[0][0]
        if len(self._seen) < 2 or now <= begin:
            return None
        return sum(count for _, count in list(self._seen)[1:]) / (now - begin)
