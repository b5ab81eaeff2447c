"""One phase: its steps and epochs, and its state as tensors and numbers at any step."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.train.determinism import seed_for
from reactnet.train.events import StepEnd
from reactnet.train.feed import Batch, Feed
from reactnet.train.finite import NotFiniteError, not_finite
from reactnet.train.parallel import World
from reactnet.train.phase import Phase
from reactnet.train.recalibrate import BATCH as CALIBRATION_BATCH
from reactnet.train.recalibrate import recalibrate
from reactnet.train.step import Step
from reactnet.train.stop import Interrupted, Stop

EVALUATION_BATCH = 256
AVERAGE_CALIBRATION = 10_000  # training images for the statistics of an average, where a phase names no number


@dataclass
class Position:
    """Where a phase is: `epoch` and the `step` in it that come next, and this epoch's sums so far.

    `skipped` counts training images that could not be read, `skipped_before` those of the last whole epoch, and
    `unmeasured` those of the last measurement.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    images: int = 0
    top1: float = 0.0  # of the last epoch that was measured
    skipped: int = 0
    skipped_before: int = 0
    unmeasured: int = 0

    def next_epoch(self, top1: float) -> None:
        """Move to the beginning of the next epoch."""
        self.epoch, self.step, self.loss_sum, self.correct, self.images = self.epoch + 1, 0, 0.0, 0, 0
        self.skipped_before, self.skipped = self.skipped, 0
        self.top1 = top1


@dataclass(eq=False)
class Loop:
    """A phase in training: `update` is how one batch changes the model. `first_epoch` counts the epochs before it."""

    name: str
    phase: Phase
    seed: int
    first_epoch: int
    update: Step
    feed: Feed
    device: torch.device
    position: Position = field(default_factory=Position)

    @property
    def model(self) -> nn.Module:
        """The model that holds the weights."""
        return self.update.model

    @property
    def world(self) -> World:
        """The processes that train together."""
        return self.update.world

    @property
    def steps_per_epoch(self) -> int:
        """Steps in each epoch."""
        return self.feed.steps_per_epoch(self.phase.batch_size)

    @property
    def done(self) -> bool:
        """Whether every epoch has been trained and measured."""
        return self.position.epoch == self.phase.epochs

    def train_epoch(self, stop: Stop, on_step: Callable[[StepEnd], None], last_good: Callable[[], str]) -> None:
        """Train from the position to the end of its epoch.

        Raises Interrupted between two steps if a stop is requested, ReactnetError if the loss is not finite, with the
        layer where that began; the position and all parameters are then those of the last whole step. And ReactnetError
        if the epoch leaves weights that are not finite: such a state is not to be saved.
        """
        self.model.train()
        batches = self.feed.batches(
            seed=self.seed,
            epoch=self.first_epoch + self.position.epoch,
            batch_size=self.phase.batch_size,
            augment=self.phase.augment,
            start=self.position.step,
            shard=self.world.shard,
            progress=self.position.epoch / self.phase.epochs,
        )
        for batch in batches:
            if self.world.any(stop.requested):
                raise Interrupted(f"stopped in phase {self.name}, epoch {self.position.epoch}")
            on_step(self._step(batch, last_good))
        self.world.share(self.model.buffers())
        self.check_finite(last_good)

    def check_finite(self, last_good: Callable[[], str]) -> None:
        """Raise ReactnetError if the last step left weights or statistics that are not finite.

        An update may spoil them after a loss that was finite, and the loss tells of it one step later only. Saved, they
        would be taken for the last good state, and a resume would go on from them.
        """
        broken = not_finite(self.model.state_dict().items())
        if broken:
            step = max(0, self.position.step - 1)
            raise self._not_finite(f"{broken[0]!r} of the model is not finite", step, last_good)

    def measure(self, stop: Stop) -> float:
        """Top-1 of the weights that would be saved now: after the last epoch, those that are saved.

        After the last epoch the average is installed and batch-norm statistics are measured anew, where the phase asks
        for it. Both depend on the state alone, so a run that is stopped here does the same again.
        """
        average = self.update.average
        last = self.position.epoch == self.phase.epochs - 1
        if last and average is not None:
            average.install(self.model)
        if last and (average is not None or self.phase.recalibrate is not None):
            self._recalibrate()
        if last or average is None:
            return self.evaluate(stop)
        with average.installed(self.model):
            self._recalibrate()
            return self.evaluate(stop)

    def evaluate(self, stop: Stop) -> float:
        """Top-1 on the feed's evaluation images, in float32, as a fraction. Raises Interrupted as `train_epoch`."""
        self.model.eval()
        rank, size = self.world.shard
        batches = self.feed.evaluation_batches(EVALUATION_BATCH, shard=(rank, size))
        correct = images = 0
        with torch.no_grad():
            # As many rounds in every process, also in those that have no batch in the last one.
            for _ in range(0, len(self.feed.evaluation), size * EVALUATION_BATCH):
                if self.world.any(stop.requested):
                    raise Interrupted(f"stopped in phase {self.name}, after epoch {self.position.epoch}")
                batch = next(batches, None)
                if batch is not None:
                    answers = self.model(batch.images.to(self.device)).argmax(dim=1)
                    correct += int((answers == batch.labels.to(self.device)).sum())
                    images += len(batch.labels)  # not all of them, where unreadable ones are skipped
        correct, images = map(int, self.world.sum([correct, images]))
        if images == 0:
            raise ReactnetError(
                f"data: none of {len(self.feed.evaluation)} images to measure on can be decoded",
                hint="replace those files",
            )
        self.position.unmeasured = len(self.feed.evaluation) - images
        return correct / images

    def learning_rate(self, step: int) -> float:
        """The rate of a step of the current epoch."""
        return self.update.rate(self.phase.learning_rate, self.position.epoch * self.steps_per_epoch + step)

    def _recalibrate(self) -> None:
        asked = self.phase.recalibrate
        count = AVERAGE_CALIBRATION if asked is None else asked
        recalibrate(self.model, self.feed.calibration_batches(count, CALIBRATION_BATCH), self.device)

    def _step(self, batch: Batch, last_good: Callable[[], str]) -> StepEnd:
        at = self.position
        rate = self.learning_rate(at.step)
        # What a layer draws (dropout) depends on the position too, so that a resumed run draws the same.
        seed = seed_for("step", self.seed, self.first_epoch + at.epoch, at.step)
        try:
            seen = self.update.run(batch, at.epoch * self.steps_per_epoch + at.step, seed)
        except NotFiniteError as error:
            raise self._not_finite(str(error), at.step, last_good) from error
        at.step += 1
        at.images += seen.images
        at.loss_sum += seen.loss * seen.images
        at.correct += seen.correct
        at.skipped += seen.skipped
        return StepEnd(self.name, at.epoch, at.step, seen.images, at.loss_sum / at.images, at.correct / at.images, rate)

    def _not_finite(self, problem: str, step: int, last_good: Callable[[], str]) -> ReactnetError:
        return ReactnetError(
            f"phase {self.name}, epoch {self.position.epoch}, step {step}: {problem}",
            hint=f"lower learning_rate ({self.learning_rate(step):.3g} at this step) or set clip_grad_norm; "
            f"the last good checkpoint is {last_good()}",
        )

    def record(self, top1: float, seconds: float, images: int) -> dict[str, str | int | float]:
        """The line of the log for the epoch that has just been trained. `time` and `rate` alone differ between runs."""
        at, part = self.position, self.feed.config.evaluate_on
        skipped = {"skipped": at.skipped, f"{part}_skipped": at.unmeasured} if self.feed.skips else {}
        return {
            "phase": self.name,
            "epoch": at.epoch,
            "step": (at.epoch + 1) * self.steps_per_epoch,
            "learning_rate": self.learning_rate(self.steps_per_epoch - 1),
            "loss": at.loss_sum / at.images,
            "train_top1": at.correct / at.images,
            f"{part}_top1": top1,
            **skipped,
            "time": round(seconds, 3),
            "rate": round(images / seconds, 1) if seconds > 0 else 0.0,
        }

    # the state, to be saved and restored

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Every tensor and number that the rest of the phase depends on."""
        tensors, numbers = self.update.state()
        tensors |= {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"buffer.{key}": value for key, value in self._unsaved_buffers().items()}
        return tensors, {"phase": self.name, "position": asdict(self.position), **numbers}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from a saved state, exactly. Every tensor must find its place."""
        model = {key.removeprefix("model."): t for key, t in tensors.items() if key.startswith("model.")}
        self.model.load_state_dict(model, strict=True)
        for key, buffer in self._unsaved_buffers().items():
            buffer.copy_(tensors[f"buffer.{key}"])
        self.update.restore(tensors, state)
        self.position = Position(**state["position"])

    def _unsaved_buffers(self) -> dict[str, Tensor]:
        """Buffers that are no part of a model on disk, such as a gradient's running window, and yet of its training."""
        saved = self.model.state_dict()
        return {key: buffer for key, buffer in self.model.named_buffers() if key not in saved}


def timed_epoch(
    loop: Loop, stop: Stop, on_step: Callable[[StepEnd], None], last_good: Callable[[], str]
) -> dict[str, str | int | float]:
    """Train to the end of the epoch, measure, and return the log's line; the position moves to the next epoch."""
    begin, seen = time.perf_counter(), loop.position.images
    loop.train_epoch(stop, on_step, last_good)
    seconds, images = time.perf_counter() - begin, loop.position.images - seen
    top1 = loop.measure(stop)
    record = loop.record(top1, seconds, images)
    loop.position.next_epoch(top1)
    return record
