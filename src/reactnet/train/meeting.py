"""How the processes that `torchrun` started meet, and how all of them end with one error when one fails.

A process that fails writes what is wrong to a board that all can read, then closes its connections. The others,
wherever they wait for it, notice at once and read the board. One that is killed cannot write, and is noticed all the
same. Only a process that neither answers nor ends, such as one behind a network that is gone, is waited for: PATIENCE.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from reactnet.errors import ReactnetError
from reactnet.train.device import open_device, parse_device
from reactnet.train.parallel import ALONE, LostError, World, first_line
from reactnet.train.stop import Interrupted

PATIENCE = timedelta(minutes=10)  # one may compile, or write a state, while the others wait
_GOODBYE = 10.0  # seconds that the first process, which may hold the board, waits for the others to read it
_FAILURE, _GONE = "failure", "gone"


@contextmanager
def processes(device: str, *, patience: timedelta = PATIENCE) -> Iterator[tuple[World, torch.device]]:
    """The world that `torchrun` made, or this process alone; and the device of this process.

    With several processes, `cuda` is one GPU for each on its machine. Afterwards the world is no more. If one process
    leaves this context by an error, all do: the others with a ReactnetError that says the same.

    Raises ReactnetError for a device that is not there, or cannot be had by several processes.
    """
    world = started()
    if world.size == 1:
        yield world, open_device(device)
        return
    board = _meet(world, parse_device(device), patience)
    try:
        yield world, open_device(device, world)
    except Interrupted:  # all of them have agreed to stop
        raise
    except LostError as error:
        raise board.read(error) from error
    except BaseException as error:
        board.write(error)
        raise
    finally:
        board.close()


def started() -> World:
    """The world that torchrun's environment variables tell of, before anyone has met."""
    try:
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size <= 1:
            return ALONE
        return World(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", os.environ["RANK"])))
    except (KeyError, ValueError) as error:
        raise ReactnetError(
            "WORLD_SIZE is set in the environment, but RANK and LOCAL_RANK are no numbers beside it",
            hint="start several processes with torchrun, or unset WORLD_SIZE",
        ) from error


class _Board:
    """What a failed process leaves for the others to read. The first failure stays."""

    def __init__(self, world: World, store: Store) -> None:
        self.world = world
        self.store = store
        self.used = False
        self.broken = False

    def write(self, error: BaseException) -> None:
        """Say what has happened to this process."""
        self.broken = True
        text = {"rank": self.world.rank, "problem": f"{type(error).__name__}: {first_line(error)}"}
        text["hint"] = "its own message says more"
        if isinstance(error, ReactnetError):
            text |= {"problem": error.problem, "hint": error.hint}
        with suppress(RuntimeError):  # the board may have gone with another process
            self.store.compare_set(_FAILURE, "", json.dumps(text))
            self.used = True

    def read(self, error: LostError) -> ReactnetError:
        """The error for this process when another has let it down."""
        self.broken = True
        with suppress(RuntimeError):
            if self.store.check([_FAILURE]):
                self.used = True
                found = json.loads(self.store.get(_FAILURE))
                return ReactnetError(f"process {found['rank']}: {found['problem']}", hint=found["hint"])
        return ReactnetError(
            f"process {self.world.rank} of {self.world.size}: another process of the run has ended, or is not heard of "
            f"any more ({error})",
            hint="its own message says why, if it left one; start all of them again to go on from the last state",
        )

    def close(self) -> None:
        """End the world. The first process, which may hold the board, leaves last if there is something to read."""
        with suppress(RuntimeError):
            if self.broken and dist.get_backend() != "gloo" and dist.group.WORLD is not None:
                dist.group.WORLD.abort()  # what a GPU still waits for will not come
            dist.destroy_process_group()  # connections close with the last reference: keep none
        if not self.used:
            return
        with suppress(RuntimeError):
            gone, deadline = self.store.add(_GONE, 1), time.monotonic() + _GOODBYE
            while self.world.main and gone < self.world.size and time.monotonic() < deadline:
                time.sleep(0.01)
                gone = self.store.add(_GONE, 0)


def _meet(world: World, device: torch.device, patience: timedelta) -> _Board:
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        store, rank, size = next(rendezvous("env://", timeout=patience))
        # The same processes may have met before, for another run: nothing of that is to be read again.
        store = PrefixStore(f"meeting {(store.add('met', 1) - 1) // size}", store)
        dist.init_process_group(
            backend, store=PrefixStore("group", store), rank=rank, world_size=size, timeout=patience
        )
    except (RuntimeError, ValueError) as error:
        raise ReactnetError(
            f"process {world.rank} of {world.size}: cannot meet the others: {first_line(error)}",
            hint="start all processes with torchrun, on each machine with the same --rdzv-endpoint",
        ) from error
    return _Board(world, PrefixStore("board", store))
