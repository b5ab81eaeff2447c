"""One update of a phase: forward, loss, backward, perhaps in pieces, then the optimizer and what follows it."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn, optim

from reactnet.train.distill import phase_loss
from reactnet.train.ema import Average
from reactnet.train.feed import Batch
from reactnet.train.finite import NotFiniteError, where_not_finite
from reactnet.train.joined_norm import apart
from reactnet.train.optimizer import latent_weights
from reactnet.train.parallel import ALONE, World
from reactnet.train.phase import Phase
from reactnet.train.recipe import Computing
from reactnet.train.schedule import learning_rate_at
from reactnet.train.teachers import Teacher

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Outcome:
    """What a step saw: the mean loss over its images, how many were answered rightly, and how many there were.

    `skipped` of them stand in for one that could not be read.
    """

    loss: float
    correct: int
    images: int
    skipped: int = 0


@dataclass(eq=False)
class Step:
    """How a phase updates its model.

    `model` holds the weights; `forward` is what is called in training, the model itself or a wrapping of it.
    `steps_per_epoch` places a step's number, counted over the phase, in the schedule.
    """

    model: nn.Module
    phase: Phase
    computing: Computing
    optimizer: optim.Optimizer
    teachers: Sequence[Teacher]
    device: torch.device
    steps_per_epoch: int
    average: Average | None = None
    world: World = ALONE
    forward: nn.Module = field(init=False)
    scaler: torch.amp.GradScaler | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.forward = self.model
        if self.computing.compile:
            self.forward = torch.compile(self.model, dynamic=False)  # type: ignore[assignment]  # a module comes back as one
        if self.computing.precision == "float16":
            self.scaler = torch.amp.GradScaler(self.device.type)
        self.latent = list(latent_weights(self.model).values())

    def rate(self, base: float, number: int) -> float:
        """The learning rate of the step of that number for a base rate."""
        phase = self.phase
        return learning_rate_at(
            phase.schedule,
            base,
            step=number,
            steps_per_epoch=self.steps_per_epoch,
            epochs=phase.epochs,
            warmup_epochs=0 if phase.warmup_epochs is None else phase.warmup_epochs,
            milestones=() if phase.milestones is None else phase.milestones,
            factor=1.0 if phase.factor is None else phase.factor,
        )

    def signs_stand_still(self, number: int) -> bool:
        """Whether the step of that number leaves latent weights, and with them signs and scales, as they are."""
        steps = self.steps_per_epoch * self.phase.epochs
        return self.phase.freeze_signs is not None and number >= steps - round(self.phase.freeze_signs * steps)

    def run(self, batch: Batch, number: int, seed: int) -> Outcome:
        """Update the model by one batch, as the step of that number; layers that draw do so from `seed`.

        A batch in pieces has the gradient of the whole one, up to rounding, but for batch norm, whose statistics are
        those of a piece. With several processes, `batch` is this one's piece of a batch, and the outcome is that of all
        of it. Raises NotFiniteError, in all of them and before anything is updated, if the loss is not finite.
        """
        seed += self.world.rank
        torch.manual_seed(seed)
        (images,) = self.world.sum([len(batch.labels)])
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(group["base"], number)
        self.optimizer.zero_grad()
        loss, correct = 0.0, 0
        for piece in self._pieces(batch):
            share = len(piece.labels) / images
            value, right = self._forward_backward(piece, share, seed)
            loss, correct = loss + value * share, correct + right
        self.world.sum_gradients(self.model.parameters())
        self._update(number)
        loss, right_of_all, skipped = self.world.sum([loss, correct, batch.skipped])
        return Outcome(loss, int(right_of_all), int(images), int(skipped))

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of a training step."""
        if self.computing.precision is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=PRECISIONS[self.computing.precision])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Every tensor and number of the update, besides the model's own, that the rest of the phase depends on."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{key}.{name}"] = value
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.tensors.items()}
        return tensors, {} if self.scaler is None else {"scaler": self.scaler.state_dict()}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from a saved state. Every tensor must find its place."""
        parameters = dict(self.model.named_parameters())
        for key, tensor in tensors.items():
            kind, _, rest = key.partition(".")
            if kind == "optimizer":
                slot, _, name = rest.partition(".")
                if tensor.shape != (() if slot == "step" else parameters[name].shape):
                    raise ValueError(f"{key!r} is {tuple(tensor.shape)}, its parameter {tuple(parameters[name].shape)}")
                # Adam counts its steps in a tensor that stays on the CPU; all others live with their parameter.
                home = tensor.device if slot == "step" else parameters[name].device
                self.optimizer.state[parameters[name]][slot] = tensor.to(home)
            elif kind == "average":
                assert self.average is not None
                self.average.tensors[rest].copy_(tensor)
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])

    def _pieces(self, batch: Batch) -> Iterator[Batch]:
        """The micro-batches of a batch on the device, equal to within one image."""
        count = min(self.phase.micro_batches, len(batch.labels))
        images, labels = batch.images.tensor_split(count), batch.labels.tensor_split(count)
        others = [None] * count if batch.other_labels is None else list(batch.other_labels.tensor_split(count))
        layout = torch.channels_last if self.computing.channels_last else torch.preserve_format
        for some, mine, other in zip(images, labels, others, strict=True):
            there = None if other is None else other.to(self.device)
            yield Batch(some.to(self.device, memory_format=layout), mine.to(self.device), there, batch.mix)

    def _forward_backward(self, piece: Batch, share: float, seed: int) -> tuple[float, int]:
        with self.autocast():
            logits = self.forward(piece.images)
            told = [teacher(piece.images) for teacher in self.teachers]
        loss = phase_loss(self.phase, logits, told, piece.labels, piece.other_labels, piece.mix)
        value = float(loss.detach())
        if self.world.any(not math.isfinite(value)):
            raise self._not_finite(value, piece.images, told, seed)
        if share != 1:
            loss = loss * share
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        loss.backward()  # type: ignore[no-untyped-call]
        return value, int((logits.argmax(dim=1) == piece.labels).sum())

    def _not_finite(self, value: float, images: Tensor, told: Sequence[Tensor], seed: int) -> NotFiniteError:
        """The error for a loss that is not finite in some process, the same in all of them.

        Each looks into its own piece. Where norms are joined, one process's NaN is soon everyone's: who knows where it
        began is believed.
        """
        bad = not math.isfinite(value)
        with apart(self.model):
            where = self._where(images, told, seed) if bad else None
        found = self.world.first(None if where is None else (value, where))
        if found is None:
            found = self.world.first((value, "it began in the loss: every layer's output is finite") if bad else None)
        assert found is not None
        return NotFiniteError(*found)

    def _where(self, images: Tensor, told: Sequence[Tensor], seed: int) -> str | None:
        for teacher, logits in zip(self.teachers, told, strict=True):
            if not bool(logits.isfinite().all()):
                return f"it began in the teacher {teacher.name!r}, whose logits are not finite"
        torch.manual_seed(seed)
        return where_not_finite(self.model, images, self.autocast)

    def _update(self, number: int) -> None:
        frozen = self.signs_stand_still(number)
        if frozen:
            for parameter in self.latent:
                parameter.grad = None  # the optimizer passes over it, decay and momentum included
        if self.phase.clip_grad_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.phase.clip_grad_norm)
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        if self.phase.clip_latent is not None and not frozen:
            with torch.no_grad():
                for parameter in self.latent:
                    parameter.clamp_(-self.phase.clip_latent, self.phase.clip_latent)
        if self.average is not None:
            self.average.update(self.model, number)
