"""Several processes that train one model: who is who, and what they compute together.

Each process takes its piece of every batch, so a recipe's `batch_size` is what all of them see in one step, and no
learning rate is scaled. Gradients are summed, each weighted by its piece's share of the batch: up to rounding they are
those of one process on the whole batch. Sums are made in fixed buckets after the backward pass, not while it runs as in
torch's DistributedDataParallel, whose buckets change after its first step: a resumed run then sums in the same order,
and ends with the same bits. The price is that the network waits for the backward pass.

How processes meet, and how all learn that one has failed, is in `meeting.py`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from reactnet.errors import ReactnetError

BUCKET_BYTES = 25 * 2**20

T = TypeVar("T")


class LostError(Exception):
    """Another process did not do its part: it has ended, or nothing has been heard of it for too long."""


@dataclass(frozen=True)
class World:
    """The processes of a run, and which of them this is. One process is a world of its own, in which all is free.

    What is done together raises LostError where another process does not take part.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this process writes the files and talks."""
        return self.rank == 0

    @property
    def shard(self) -> tuple[int, int]:
        """(rank, size), as feeds take it."""
        return self.rank, self.size

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes, in float64: exact for counts. On the CPU, whatever the device."""
        if self.size == 1:
            return list(values)
        return [float(value) for value in sum_together(torch.tensor(values, dtype=torch.float64))]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.size == 1 else self.sum([float(flag)])[0] > 0

    def first(self, value: T | None) -> T | None:
        """The value of the first process that has one; every process gets it."""
        return next((found for found in self._all(value) if found is not None), None)

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.size > 1:
            self.sum([0.0])

    def main_first(self, act: Callable[[], T]) -> T | None:
        """What `act` gives in the first process, while the others wait, and None in those."""
        result = act() if self.main else None
        self.wait()
        return result

    def check_same(self, things: Mapping[str, str]) -> None:
        """Raise ReactnetError, in every process, if any of these texts is not the same in all of them."""
        everyones = self._all(dict(things))
        for name, here in everyones[0].items():
            for rank, theirs in enumerate(everyones):
                if theirs[name] != here:
                    raise ReactnetError(
                        f"process {rank} of {self.size} has another {name} than process 0: "
                        f"{_where_they_part(theirs[name], here)}",
                        hint="all processes need the same command, code and data, and one run folder on a shared disk",
                    )

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes."""
        if self.size == 1:
            return
        for bucket in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
            flat = sum_together(torch.cat([gradient.reshape(-1) for gradient in bucket]))
            begin = 0
            for gradient in bucket:
                gradient.copy_(flat[begin : begin + gradient.numel()].view_as(gradient))
                begin += gradient.numel()

    @torch.no_grad()
    def share(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite these tensors with those of the first process."""
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.detach().contiguous()
            with _together():
                dist.broadcast(sent, src=0)
            tensor.copy_(sent)

    def _all(self, value: T) -> list[T]:
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        with _together():
            dist.all_gather_object(values, value)
        return values


ALONE = World()


def sum_together(tensor: Tensor) -> Tensor:
    """Replace a contiguous tensor by its sum over all processes, and return it. Raises LostError as `World` does."""
    with _together():
        dist.all_reduce(tensor)
    return tensor


def check_pieces(images: int, steps: int, world: World) -> None:
    """Raise ReactnetError if the smallest of the batches that `images` are cut into leaves a process without one."""
    if images // steps < world.size:
        raise ReactnetError(
            f"{images} images in {steps} steps an epoch: too few in a step for {world.size} processes",
            hint="raise batch_size, or start fewer processes",
        )


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # of torch, whatever the backend
        # Of "[file:line] What happened. What this may mean." the middle.
        raise LostError(re.sub(r"^\[[^\]]*\] ", "", first_line(error)).partition(". ")[0]) from error


def _where_they_part(theirs: str, here: str) -> str:
    pairs = list(zip([*theirs.splitlines(), ""], [*here.splitlines(), ""], strict=False))
    line, other = next(((a, b) for a, b in pairs if a != b), pairs[-1])
    return f"{line!r}, not {other!r}"


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of gradients of one dtype, of at most BUCKET_BYTES unless one alone is larger."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        more = gradient.numel() * gradient.element_size()
        if bucket and (size + more > BUCKET_BYTES or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += more
    if bucket:
        yield bucket
