"""Training, as it happens: live bars on a terminal, one line a phase elsewhere."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from reactnet.cli.screen import on_terminal, percent

if TYPE_CHECKING:
    from rich.progress import TaskID

    from reactnet.train.events import Event, PhaseBegin, PhaseEnd, StepEnd


class TrainingBars:
    """Draws the events of `reactnet.train.train` on stderr. Use as a context manager; call it with each event."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._live = on_terminal()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[status]}"),
            console=Console(stderr=True),
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._steps: dict[str, int] = {}

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
            case events.PhaseEnd():
                self._end(event)
            case events.RunEnd(trained=False):
                self._say(f"{event.out}: trained already; remove it to train again")
            case _:
                pass

    def _begin(self, event: "PhaseBegin") -> None:
        self._steps[event.phase] = event.steps_per_epoch
        self._tasks[event.phase] = self._bars.add_task(
            event.phase,
            total=event.epochs * event.steps_per_epoch,
            completed=event.epoch * event.steps_per_epoch + event.step,
            status="",
        )

    def _step(self, event: "StepEnd") -> None:
        self._bars.update(
            self._tasks[event.phase],
            completed=event.epoch * self._steps[event.phase] + event.step,
            status=f"epoch {event.epoch + 1}, loss {event.loss:.3f}",
        )

    def _end(self, event: "PhaseEnd") -> None:
        if event.phase in self._tasks:
            self._bars.update(self._tasks[event.phase], status=f"top-1 {percent(event.top1)}")
        if not self._live:
            self._say(f"{event.phase}: top-1 {percent(event.top1)}")

    def _say(self, text: str) -> None:
        if self._live:
            self._bars.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)
