"""The run folder: what a run leaves behind, and what the next command finds there.

recipe.toml                     the resolved recipe
run.json                        seed, commit, versions, data, preprocessing, class names, hand-overs, finished or not
log.jsonl                       one line an epoch
vitals.jsonl                    one line an epoch: a layer's flips, dead channels and so on (see vitals.py)
histograms/PHASE.json           activations before and after each sign and RPReLU, at the end of each phase
checkpoints/PHASE.safetensors   the weights at the end of each phase
last.safetensors                the state to resume from, and previous.safetensors, the one before; gone when finished
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from reactnet.errors import ReactnetError
from reactnet.files import MAX_TEXT, read_regular, read_text
from reactnet.train.card import CHECKPOINTS, RECIPE
from reactnet.train.checkpoint import KIND, read_checkpoint, write_atomically, write_checkpoint
from reactnet.train.recipe import Recipe, dump_recipe, read_toml, recipe_table

_log = logging.getLogger(__name__)

STATE = "state"
LOG, VITALS = "log.jsonl", "vitals.jsonl"
HISTOGRAMS = "histograms"
TENSORBOARD = "tensorboard"

_ANEW = "begin anew in an empty folder"


class RunFolder:
    """A run folder that this process alone writes to. Make one with `open_run_folder`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def checkpoint(self, phase: str) -> Path:
        """Where the weights at the end of a phase are."""
        return self.path / CHECKPOINTS / f"{phase}.safetensors"

    # run.json

    def info(self) -> dict[str, Any]:
        """What `run.json` says; empty before it is written."""
        try:
            data = read_regular(self.path / "run.json", most=MAX_TEXT, hint=_ANEW)
            found = json.loads(data.decode("utf-8"))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise ReactnetError(f"{self.path / 'run.json'}: {error}", hint=_ANEW) from error
        if not isinstance(found, dict):
            raise ReactnetError(f"{self.path / 'run.json'}: not a JSON object", hint=_ANEW)
        return found

    def update_info(self, **changes: Any) -> None:
        """Set top-level keys of `run.json`."""
        text = json.dumps({**self.info(), **changes}, indent=2, ensure_ascii=False) + "\n"
        self.write("run.json", text)

    def write(self, name: str, text: str) -> None:
        """Write a text file of the folder, whole or not at all."""
        write_atomically(self.path / name, iter([text.encode()]))

    # log.jsonl and vitals.jsonl

    def log_sizes(self) -> dict[str, int]:
        """Bytes in each log so far."""
        files = {name: self.path / name for name in (LOG, VITALS)}
        return {name: file.stat().st_size if file.exists() else 0 for name, file in files.items()}

    def append_log(self, record: Mapping[str, Any], name: str = LOG) -> None:
        """Add one line and flush it to the disk."""
        try:
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, allow_nan=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self.full(self.path / name, error.strerror) from error

    def cut_logs(self, sizes: Mapping[str, int]) -> None:
        """Drop what was logged after the state that the run resumes from. A log without a size is emptied."""
        for name, there in self.log_sizes().items():
            log, size = self.path / name, sizes.get(name, 0)
            if there < size:
                raise ReactnetError(f"{log}: shorter than when the run was saved", hint="begin anew in an empty folder")
            if log.exists():
                os.truncate(log, size)

    def write_histograms(self, phase: str, found: Mapping[str, Any]) -> None:
        """Write what `histograms.py` found at the end of a phase."""
        path = self.path / HISTOGRAMS / f"{phase}.json"
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, iter([(json.dumps({"phase": phase, **found}, allow_nan=False) + "\n").encode()]))
        except OSError as error:
            raise self.full(path, error.strerror) from error
        except ReactnetError as error:
            raise self.full(path, error.problem.rpartition(": ")[2]) from error

    # the state

    def save_state(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write the state to resume from; the last one becomes the previous one."""
        last, following = self.path / "last.safetensors", self.path / "next.safetensors"
        try:
            write_checkpoint(following, tensors, {KIND: STATE, STATE: json.dumps(state, sort_keys=True)})
            if last.exists():
                last.replace(self.path / "previous.safetensors")
            following.replace(last)
        except ReactnetError as error:
            raise self.full(last, error.problem.rpartition(": ")[2]) from error

    def load_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last state that is whole, or None if none was saved yet. A torn one is named in a warning.

        Raises ReactnetError if there are states and none is whole.
        """
        torn = []
        for name in ("next", "last", "previous"):
            file = self.path / f"{name}.safetensors"
            if not file.exists():
                continue
            try:
                tensors, metadata = read_checkpoint(file)
            except ReactnetError as error:
                torn.append(error.problem)
                continue
            for problem in torn:
                _log.warning("%s; the state before it is used", problem)
            state = _state(file, metadata)
            if "log_sizes" not in state:
                raise ReactnetError(
                    f"{file}: saved by an earlier version of reactnet, which measured no vitals",
                    hint="finish the run with that version, or begin anew in an empty folder",
                )
            return tensors, state
        if torn:
            raise ReactnetError(
                f"{self.path}: no state of the run is whole: {'; '.join(torn)}",
                hint="restore one from a backup, or begin anew in an empty folder",
            )
        return None

    def remove_states(self) -> None:
        """A finished run has nothing to resume."""
        for name in ("next", "last", "previous"):
            (self.path / f"{name}.safetensors").unlink(missing_ok=True)

    def last_good(self) -> str:
        """The newest file that holds trained weights, in words, for an error."""
        files = [self.path / "last.safetensors", *sorted((self.path / CHECKPOINTS).glob("*.safetensors"))]
        there = [file for file in files if file.exists()]
        return str(max(there, key=lambda file: file.stat().st_mtime_ns)) if there else "none: it was not saved yet"

    def full(self, path: Path, reason: str | None) -> ReactnetError:
        """The error for a write that failed in mid-run."""
        return ReactnetError(
            f"{path}: cannot be written: {reason}",
            hint=f"free some space and give the same command; the last good checkpoint is {self.last_good()}",
        )


def _state(file: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        state = json.loads(metadata[STATE])
        if isinstance(state, dict):
            return state
    except (KeyError, ValueError, RecursionError):
        pass
    raise ReactnetError(f"{file}: holds no state of a run", hint=_ANEW)


def _check_own(path: Path) -> None:
    """Raise if something in a run folder leads out of it, or would block: what is written there, is written there.

    A folder may come from a stranger. A link in it, to a file of the user's, would be cut or written to.
    """
    folders = (CHECKPOINTS, HISTOGRAMS)
    texts = (".lock", RECIPE, "run.json", LOG, VITALS)
    states = tuple(f"{name}.safetensors" for name in ("next", "last", "previous"))
    for name in (*folders, TENSORBOARD, *texts, *states):
        item = path / name
        right = item.is_dir() if name in (*folders, TENSORBOARD) else item.is_file()
        if item.is_symlink() or (item.exists() and not right):
            raise ReactnetError(
                f"{item}: a link, or neither a file nor a folder of its own",
                hint="a run folder holds its files itself; give a new folder with --out, or remove that",
            )


@contextmanager
def open_run_folder(path: Path, recipe: Recipe) -> Iterator[RunFolder]:
    """Make a run folder for `recipe`, or open the one there, and hold it for this process alone.

    Raises ReactnetError if the folder holds another recipe, with the differences, or other files than a run's, or
    another process trains in it.
    """
    if path.exists() and not path.is_dir():
        raise ReactnetError(f"{path}: not a folder", hint="give a new folder with --out")
    _check_own(path)
    file = path / RECIPE
    if file.exists():
        _same_recipe(file, recipe)
    elif path.exists() and any(item.name not in (".lock", CHECKPOINTS) for item in path.iterdir()):
        raise ReactnetError(f"{path}: not empty, and no run folder", hint="give a new folder with --out")
    try:
        (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("w")
    except OSError as error:
        raise ReactnetError(f"{path}: cannot be written: {error.strerror}", hint="give another --out") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ReactnetError(f"{path}: another process trains in it", hint="wait, or give another --out") from error
        folder = RunFolder(path)
        for left in path.rglob("*.tmp"):  # by a process that was killed as it wrote
            left.unlink(missing_ok=True)
        if not file.exists():
            folder.write(RECIPE, dump_recipe(recipe))
        yield folder


def _same_recipe(file: Path, recipe: Recipe) -> None:
    there = _flat(read_toml(read_text(file, hint="give a new folder with --out"), str(file)))
    ours = _flat(recipe_table(recipe))
    differing = [key for key in [*there, *(key for key in ours if key not in there)] if there.get(key) != ours.get(key)]
    if differing:
        shown = "; ".join(f"{key} was {there.get(key)!r}, is {ours.get(key)!r}" for key in differing[:4])
        more = f"; and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise ReactnetError(
            f"{file.parent}: holds a run of another recipe: {shown}{more}", hint="give a new folder with --out"
        )
    if list(there) != list(ours):  # the same keys in another order: phases run in the order of the file
        raise ReactnetError(
            f"{file.parent}: holds a run of another recipe: its phases stand in another order",
            hint="give a new folder with --out",
        )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
