"""Real processes, alone or several as torchrun starts them, each forked off a server that has loaded torch already."""

import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_SERVER = multiprocessing.get_context("forkserver")
# torch's optimizers load torch._dynamo as they are made: seconds.
_SERVER.set_forkserver_preload(["train.processes", "reactnet.train", "train.small_run", "torch._dynamo"])
LONG = 60.0  # seconds after which a test that waits is broken

Act = Callable[[Path, dict[str, Any]], None]


class Running:
    """A process, and what it has written so far."""

    def __init__(self, process: BaseProcess, out: Path, err: Path) -> None:
        self.process = process
        self.out = out
        self.err = err

    def lines(self) -> list[str]:
        """The whole lines on its stdout."""
        text = self.out.read_text() if self.out.exists() else ""
        return text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]

    def wait_for(self, count: int) -> None:
        """Until it has written so many lines, or has ended."""
        until = time.monotonic() + LONG
        while len(self.lines()) < count and self.process.is_alive():
            assert time.monotonic() < until
            time.sleep(0.002)

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        assert self.process.pid is not None
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def end(self) -> tuple[int, str]:
        """Its exit status and its stderr, once it has ended."""
        self.process.join(LONG)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still running after {LONG:g} s: {self.err.read_text()}")
        status = self.process.exitcode
        assert status is not None
        return status, self.err.read_text()


def start(act: Act, folder: Path, *, count: int = 1, **options: Any) -> list[Running]:
    """Start `count` processes of one world that do `act(folder, options)`; each knows its rank from the environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = []
    for rank in range(count):
        environment: dict[str, str] = {}
        if count > 1:
            environment = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        stem = folder.parent / f"{folder.name}.{time.monotonic_ns()}.{rank}"
        files = stem.with_suffix(".out"), stem.with_suffix(".err")
        process = _SERVER.Process(target=_child, args=(act, folder, options, environment, *files))
        process.start()
        found.append(Running(process, *files))
    return found


def run(act: Act, folder: Path, *, count: int = 1, **options: Any) -> list[Running]:
    """As `start`, and wait until all have ended well."""
    running = start(act, folder, count=count, **options)
    for one in running:
        status, errors = one.end()
        assert status == 0, errors
    return running


def _child(act: Act, folder: Path, options: dict[str, Any], environment: dict[str, str], out: Path, err: Path) -> None:
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.environ.update(environment)
    try:
        act(folder, options)
    except KeyboardInterrupt:
        sys.exit(130)


def train(folder: Path, options: dict[str, Any]) -> None:
    """A run of the small recipe; one line on stdout for each step.

    Options: `overrides` and `save_every` as `train` takes them; `pause`, seconds after each step; `limit` and
    `limit_after`, the bytes that a file may have from a step on; `die_at`, the change of the folder before which the
    process is killed; `die_after`, the same for events; for `fail` see `_break`. A process that is not the first names
    each change that it makes to the folder on stdout.
    """
    import resource

    from reactnet.errors import ReactnetError
    from reactnet.train import run as run_module
    from reactnet.train import train as train_recipe
    from reactnet.train.events import Event, StepEnd
    from reactnet.train.recipe import parse_recipe
    from train.small_run import COMMIT, TEXT, small_feed

    run_module.open_feed = small_feed  # type: ignore[assignment]
    run_module._commit = lambda: COMMIT
    _break(options)
    _watch(folder, options.get("die_at"))
    steps, events = iter(range(1, 10_000)), iter(range(1, 10_000))

    def progress(event: Event) -> None:
        if next(events) == options.get("die_after"):
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(event, StepEnd):
            number = next(steps)
            os.write(1, f"step {number}\n".encode())
            if number == options.get("limit_after"):
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (options["limit"], resource.RLIM_INFINITY))
            time.sleep(options.get("pause", 0))

    overrides = options.get("overrides", {}) | options.get("overrides_of", {}).get(os.environ.get("RANK"), {})
    recipe = parse_recipe(TEXT, source="small.toml", overrides=overrides)
    try:
        train_recipe(recipe, folder, progress=progress, save_every=options.get("save_every"))
    except ReactnetError as error:
        sys.stderr.write(f"error: {error.problem}\nhint: {error.hint}\n")
        sys.exit(2)


def _watch(folder: Path, die_at: int | None) -> None:
    """See each change of the folder before it is made: name it, or die."""
    numbers = iter(range(1, 10_000))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename", "os.truncate", "os.remove", "os.mkdir"):
            return
        if not str(arguments[0]).startswith(str(folder)):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        if os.environ.get("RANK", "0") != "0":
            os.write(1, f"{event} {arguments[0]}\n".encode())
        if next(numbers) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _break(options: dict[str, Any]) -> None:
    """Make process `fail_rank` fail: in `fail` = "forward", "nan" or "data" of `fail_step`, or as it "measure"s."""
    import torch

    from reactnet.errors import ReactnetError
    from reactnet.train import loop as loop_module
    from reactnet.train import step as step_module

    if options.get("fail_rank") != int(os.environ.get("RANK", "0")):
        return
    kind, calls = options["fail"], iter(range(10_000))
    forward_backward, batches = step_module.Step._forward_backward, loop_module.Feed.batches
    evaluate = loop_module.Feed.evaluation_batches

    def failing(self: Any, piece: Any, share: float, seed: int) -> Any:
        if next(calls) == options["fail_step"]:
            if kind == "forward":
                raise RuntimeError("the accelerator has burnt")
            if kind == "nan":
                piece.images.fill_(torch.nan)
        return forward_backward(self, piece, share, seed)

    def broken_batches(self: Any, **asked: Any) -> Any:
        for number, batch in enumerate(batches(self, **asked)):
            if kind == "data" and number == options["fail_step"]:
                raise ReactnetError("image 7.png: cannot be decoded", hint="replace it")
            yield batch

    def broken_evaluation(self: Any, *asked: Any, **more: Any) -> Any:
        if kind == "measure":
            raise ReactnetError("image 8.png: cannot be decoded", hint="replace it")
        return evaluate(self, *asked, **more)

    step_module.Step._forward_backward = failing  # type: ignore[method-assign]
    loop_module.Feed.batches = broken_batches  # type: ignore[method-assign]
    loop_module.Feed.evaluation_batches = broken_evaluation  # type: ignore[method-assign]


def steps(folder: Path, options: dict[str, Any]) -> None:
    """A few steps of a network in float64 on this process's piece of each batch; the first saves what came of it.

    Options: `norms`, whether there are batch norms, and whether they are `joined`; `gradient`, of activations; `pieces`
    that a batch is cut into.
    """
    import torch
    from torch import nn

    from reactnet.nn import BinaryConv2d, RPReLU, RSign, set_gradient
    from reactnet.train.feed import Batch
    from reactnet.train.joined_norm import join_statistics
    from reactnet.train.meeting import processes
    from reactnet.train.recipe import PLAIN_COMPUTING, parse_recipe
    from reactnet.train.step import Step
    from train.small_run import TEXT

    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), RSign(6), BinaryConv2d(6, 5, 3), RPReLU(5)]
    layers.insert(4, nn.BatchNorm2d(5, affine=False))
    if not options["norms"]:
        layers = [layer for layer in layers if not isinstance(layer, nn.BatchNorm2d)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(5 * 4 * 4, 4)).double()
    set_gradient(model, activation=options["gradient"])
    changes = {"phases.teacher.accumulate": options["pieces"], "phases.teacher.label_smoothing": 0.1}
    phase = parse_recipe(TEXT, source="small.toml", overrides=changes).phases["teacher"]
    optimizer = torch.optim.SGD([{"params": list(model.parameters()), "base": 0.1}], lr=0.1, momentum=0.9)
    with processes("cpu") as (world, device):
        join_statistics(model, world, norms=options["joined"])
        step = Step(model, phase, PLAIN_COMPUTING, optimizer, [], device, 10, world=world)
        found: dict[str, torch.Tensor] = {}
        for number, images in enumerate(torch.randn(4, 7, 3, 8, 8, dtype=torch.float64)):
            labels = (torch.arange(7) + number) % 4
            mine = torch.arange(7).tensor_split(world.size)[world.rank]
            outcome = step.run(Batch(images[mine], labels[mine]), number, seed=number)
            found[f"{number} loss"] = torch.tensor(outcome.loss, dtype=torch.float64)
            found[f"{number} counts"] = torch.tensor([outcome.correct, outcome.images])
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None
                found[f"{number} gradient {name}"] = parameter.grad.clone()
        found |= {f"weight {name}": parameter for name, parameter in model.state_dict().items()}
        found |= {f"buffer {name}": buffer for name, buffer in model.named_buffers()}
        torch.save(found, folder / f"{world.size}.{world.rank}.pt")


def counted(folder: Path, options: dict[str, Any]) -> None:
    """Evaluate a model that is right for some images only, on a made-up feed; write what it is said to be."""
    import numpy as np
    import torch
    from torch import nn

    from reactnet.data import ImageSet
    from reactnet.data.config import DataConfig
    from reactnet.train import loop as loop_module
    from reactnet.train.feed import Feed
    from reactnet.train.loop import Loop
    from reactnet.train.meeting import processes
    from reactnet.train.recipe import PLAIN_COMPUTING, parse_recipe
    from reactnet.train.step import Step
    from reactnet.train.stop import Stop
    from train.small_run import TEXT

    class FirstPixel(nn.Module):
        """Answers the class that the first pixel of an image names."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.extend((x[:, 0, 0, 1] * 255).round().int().tolist())
            return nn.functional.one_hot((x[:, 0, 0, 0] * 255).round().long(), 4)

    seen: list[int] = []
    count = options["images"]
    pixels = np.zeros((count, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 4
    # Every image names itself in its second pixel, and every third one names a wrong class in its first.
    pixels[:, 0, 0, 0], pixels[:, 0, 1, 0] = (labels + (np.arange(count) % 3 == 0)) % 4, np.arange(count)
    images = ImageSet(pixels, labels, tuple("abcd"))
    loop_module.EVALUATION_BATCH = 4
    phase = parse_recipe(TEXT, source="small.toml").phases["teacher"]
    with processes("cpu") as (world, device):
        model = FirstPixel()
        feed = Feed(DataConfig("digits", "test"), images, np.arange(count), images, (0.0,), (1.0,))
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))])
        update = Step(model, phase, PLAIN_COMPUTING, optimizer, [], device, 1, world=world)
        top1 = Loop("teacher", phase, 0, 0, update, feed, device).evaluate(Stop())
        (folder / f"{world.size}.{world.rank}.json").write_text(json.dumps({"top1": top1, "seen": seen}))
