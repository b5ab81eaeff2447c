"""The run as TensorBoard shows it, where a writer is installed: the curves and the vitals, one point an epoch."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reactnet.train.events import EpochEnd, Event, Progress
from reactnet.train.folder import TENSORBOARD

FOLDER = TENSORBOARD
_WRITERS = ("torch.utils.tensorboard", "tensorboardX")  # modules with a class SummaryWriter, the first installed wins
NOT_WRITTEN = "not written: neither tensorboard nor tensorboardX is installed"


def find_writer() -> Any:
    """The class SummaryWriter, or None where no package has it."""
    for module in _WRITERS:
        try:
            return importlib.import_module(module).SummaryWriter
        except ImportError:
            continue
    return None


@contextmanager
def tensorboard(writer: Any, out: Path, epochs: Mapping[str, int]) -> Iterator[Progress]:
    """A progress callback that writes into `out`/tensorboard with a class SummaryWriter, or does nothing for None.

    `epochs` is the number of epochs of each phase, in order: points are counted over the whole run. Those that a
    stopped run had written after its last saved state are purged when it goes on.
    """
    firsts = {name: sum(list(epochs.values())[:index]) for index, name in enumerate(epochs)}
    open_: list[Any] = []

    def write(event: Event) -> None:
        if writer is None or not isinstance(event, EpochEnd):
            return
        epoch = firsts[event.phase] + event.epoch
        if not open_:
            open_.append(writer(str(out / FOLDER), purge_step=epoch))
        for tag, value in scalars(event.record, event.vitals):
            open_[0].add_scalar(tag, value, epoch)
        open_[0].flush()

    try:
        yield write
    finally:
        for one in open_:
            one.close()


def scalars(record: Mapping[str, Any], vitals: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Tags and values of one epoch: `curves/loss`, `flips/LAYER`, `dead/LAYER` and so on."""
    for key, value in record.items():
        if key not in ("phase", "epoch", "step", "time") and isinstance(value, int | float):
            yield f"curves/{key}", float(value)
    found: dict[str, Any] = {}
    for name, seen in vitals["weights"].items():
        found |= {f"flips/{name}": seen["flips"], f"latent_median/{name}": seen["quantiles"][2]}
        found[f"outside_window/{name}"] = seen["outside"]
    for name, seen in vitals["signs"].items():
        found |= {f"{key}/{name}": seen[key] for key in ("plus", "window", "dead")}
        if "drift" in seen:
            found[f"shift_drift/{name}"] = seen["drift"][0]
    for name, parameters in vitals["rprelus"].items():
        found |= {f"rprelu_drift/{name}.{key}": drift[0] for key, drift in parameters.items()}
    yield from ((tag, float(value)) for tag, value in found.items() if value is not None)
