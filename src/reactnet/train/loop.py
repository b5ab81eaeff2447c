"""One phase: its steps and epochs, and its state as tensors and numbers at any step."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn, optim

from reactnet.errors import ReactnetError
from reactnet.train.determinism import seed_for
from reactnet.train.distill import cross_entropy, distributional_loss
from reactnet.train.events import StepEnd
from reactnet.train.feed import Batch, Feed
from reactnet.train.recipe import Phase
from reactnet.train.schedule import learning_rate_at
from reactnet.train.stop import Interrupted, Stop

EVALUATION_BATCH = 256


@dataclass
class Position:
    """Where a phase is: `epoch` and the `step` in it that come next, and this epoch's sums so far."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    images: int = 0
    top1: float = 0.0  # of the last epoch that was measured

    def next_epoch(self, top1: float) -> None:
        """Move to the beginning of the next epoch."""
        self.epoch, self.step, self.loss_sum, self.correct, self.images = self.epoch + 1, 0, 0.0, 0, 0
        self.top1 = top1


@dataclass(eq=False)
class Loop:
    """A phase in training. `first_epoch` counts the epochs of the phases before it."""

    name: str
    phase: Phase
    seed: int
    first_epoch: int
    model: nn.Module
    teacher: nn.Module | None
    optimizer: optim.Optimizer
    feed: Feed
    device: torch.device
    position: Position = field(default_factory=Position)

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

        Raises Interrupted between two steps if a stop is requested, ReactnetError if the loss is not finite; the
        position and all tensors are then those of the last whole step.
        """
        self.model.train()
        batches = self.feed.batches(
            seed=self.seed,
            epoch=self.first_epoch + self.position.epoch,
            batch_size=self.phase.batch_size,
            augment=self.phase.augment,
            start=self.position.step,
            progress=self.position.epoch / self.phase.epochs,
        )
        for batch in batches:
            if stop.requested:
                raise Interrupted(f"stopped in phase {self.name}, epoch {self.position.epoch}")
            on_step(self._step(batch, last_good))

    def evaluate(self, stop: Stop) -> float:
        """Top-1 on the feed's evaluation images, as a fraction. Raises Interrupted as `train_epoch` does."""
        self.model.eval()
        correct = 0
        with torch.no_grad():
            for batch in self.feed.evaluation_batches(EVALUATION_BATCH):
                if stop.requested:
                    raise Interrupted(f"stopped in phase {self.name}, after epoch {self.position.epoch}")
                answers = self.model(batch.images.to(self.device)).argmax(dim=1)
                correct += int((answers == batch.labels.to(self.device)).sum())
        return correct / len(self.feed.evaluation)

    def learning_rate(self, step: int) -> float:
        """The rate of a step of the current epoch."""
        done = self.position.epoch * self.steps_per_epoch
        return learning_rate_at(
            self.phase.schedule,
            self.phase.learning_rate,
            step=done + step,
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.phase.epochs,
        )

    def _step(self, batch: Batch, last_good: Callable[[], str]) -> StepEnd:
        at = self.position
        # What a layer draws (dropout) depends on the position too, so that a resumed run draws the same.
        torch.manual_seed(seed_for("step", self.seed, self.first_epoch + at.epoch, at.step))
        images, labels = batch.images.to(self.device), batch.labels.to(self.device)
        rate = self.learning_rate(at.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        logits = self.model(images)
        loss = self._loss(logits, images, labels)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ReactnetError(
                f"phase {self.name}: the loss is {value} at epoch {at.epoch}, step {at.step}",
                hint=f"lower learning_rate ({rate:.3g} at this step); the last good checkpoint is {last_good()}",
            )
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        at.step += 1
        at.images += len(labels)
        at.loss_sum += value * len(labels)
        at.correct += int((logits.argmax(dim=1) == labels).sum())
        return StepEnd(self.name, at.epoch, at.step, len(labels), at.loss_sum / at.images, at.correct / at.images, rate)

    def _loss(self, logits: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        if self.teacher is None:
            return cross_entropy(logits, labels)
        with torch.no_grad():
            told = self.teacher(images)
        return distributional_loss(logits, told)

    def record(self, top1: float, seconds: float, images: int) -> dict[str, str | int | float]:
        """The line of the log for the epoch that has just been trained. `time` and `rate` alone differ between runs."""
        at = self.position
        return {
            "phase": self.name,
            "epoch": at.epoch,
            "step": (at.epoch + 1) * self.steps_per_epoch,
            "learning_rate": self.learning_rate(self.steps_per_epoch - 1),
            "loss": at.loss_sum / at.images,
            "train_top1": at.correct / at.images,
            f"{self.feed.config.evaluate_on}_top1": top1,
            "time": round(seconds, 3),
            "rate": round(images / seconds, 1) if seconds > 0 else 0.0,
        }

    # the state, to be saved and restored

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Every tensor and number that the rest of the phase depends on."""
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{key}.{name}"] = value
        return tensors, {"phase": self.name, "position": asdict(self.position)}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from a saved state, exactly. Every tensor must find its place."""
        model = {key.removeprefix("model."): t for key, t in tensors.items() if key.startswith("model.")}
        self.model.load_state_dict(model, strict=True)
        parameters = dict(self.model.named_parameters())
        for key, tensor in tensors.items():
            if key.startswith("optimizer."):
                _, slot, name = key.split(".", 2)
                parameter = parameters[name]
                # Adam counts its steps in a tensor that stays on the CPU; all others live with their parameter.
                home = tensor.device if tensor.dim() == 0 else parameter.device
                self.optimizer.state[parameter][slot] = tensor.to(home)
        self.position = Position(**state["position"])


def timed_epoch(
    loop: Loop, stop: Stop, on_step: Callable[[StepEnd], None], last_good: Callable[[], str]
) -> dict[str, str | int | float]:
    """Train to the end of the epoch, measure, and return the log's line; the position moves to the next epoch."""
    begin, seen = time.perf_counter(), loop.position.images
    loop.train_epoch(stop, on_step, last_good)
    seconds, images = time.perf_counter() - begin, loop.position.images - seen
    top1 = loop.evaluate(stop)
    record = loop.record(top1, seconds, images)
    loop.position.next_epoch(top1)
    return record
