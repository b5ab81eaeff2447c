"""The device of a process, tried out before anything depends on it."""

import torch

from reactnet.errors import ReactnetError
from reactnet.train.parallel import ALONE, World, first_line


def open_device(name: str, world: World = ALONE) -> torch.device:
    """The device of that name for this process; with several, `cuda` is one GPU for each on its machine.

    Raises ReactnetError for a device that is not there, or cannot be had by several processes.
    """
    device = parse_device(name)
    if device.type == "cuda":
        device = _cuda(name, device, world)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ReactnetError(f"device {name!r}: this machine, or this torch, has no MPS", hint="give --device cpu")
    if device.type not in ("cpu", "cuda") and world.size > 1:
        raise ReactnetError(f"device {name!r}: not for {world.size} processes", hint="start one, or use cpu or cuda")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ReactnetError(f"device {name!r}: {first_line(error)}", hint="give --device cpu") from error
    return device


def parse_device(name: str) -> torch.device:
    """What that name means, whether or not it is there. Raises ReactnetError if it means nothing."""
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ReactnetError(f"device {name!r}: unknown", hint="give --device cpu, cuda or mps") from error


def _cuda(name: str, device: torch.device, world: World) -> torch.device:
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if there == 0:
        raise ReactnetError(f"device {name!r}: this machine, or this torch, has no CUDA", hint="give --device cpu")
    if world.size > 1 and device.index is not None:
        raise ReactnetError(f"device {name!r}: one GPU for {world.size} processes", hint="give --device cuda")
    index = world.local_rank if device.index is None else device.index
    if index >= there:
        raise ReactnetError(
            f"device {name!r}: GPU {index} is not there: this machine has {there}",
            hint="start no more processes on a machine than it has GPUs",
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device
