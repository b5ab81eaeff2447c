"""A whole run: the phases of a recipe in order, each handing over to the next, into a run folder."""

import importlib.metadata
import json
import logging
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reactnet import __version__
from reactnet.errors import ReactnetError
from reactnet.models import check_image_size
from reactnet.train.card import make_card, save_model
from reactnet.train.determinism import reproducible
from reactnet.train.events import EpochEnd, Event, PhaseBegin, PhaseEnd, Progress, RunBegin, RunEnd, StepEnd
from reactnet.train.feed import Feed, OnBadImage, open_feed
from reactnet.train.folder import VITALS, RunFolder, open_run_folder
from reactnet.train.follower import FollowerFolder
from reactnet.train.hand_over import HandOver
from reactnet.train.histograms import activation_histograms
from reactnet.train.loop import Loop, timed_epoch
from reactnet.train.meeting import processes
from reactnet.train.parallel import World
from reactnet.train.prepare import make_loop
from reactnet.train.recipe import Recipe, dump_recipe
from reactnet.train.stop import Interrupted, Stop, stop_on_signals
from reactnet.train.tensorboard import FOLDER, NOT_WRITTEN, find_writer, tensorboard
from reactnet.train.vitals import IMAGES as VITAL_IMAGES
from reactnet.train.vitals import Vitals

_log = logging.getLogger(__name__)

SAVE_SECONDS = 300.0  # between two states within an epoch
SHOWN = 12  # digits of a hash in an error

State = tuple[Mapping[str, Tensor], Mapping[str, Any]]


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    progress: Progress | None = None,
    device: str = "cpu",
    data_root: str | Path | None = None,
    workers: int | None = None,
    on_bad_image: OnBadImage = "stop",
    save_every: int | None = None,
) -> Path:
    """Train every phase of `recipe` into the run folder `out`, and return its path.

    A folder that holds the beginning of this very run is resumed, and ends with the same bits as a run that was never
    stopped; one that holds all of it is left as it is. `progress` is called with each event (see `events.py`).

    The state is saved after each epoch and, within one, every `save_every` steps, or every five minutes. Processes
    that torchrun started train together (see `parallel.py`); the first of them writes, and calls `progress`.

    `workers` threads decode and augment images ahead of the steps; their number changes no result, and None chooses it.
    An image that cannot be read stops the run, or with `on_bad_image = "skip"` another stands in for it, and it is
    counted.

    Raises ReactnetError for a folder that holds another recipe or a run on other images, a loss that is not finite, an
    image that cannot be read, or a full disk. On SIGTERM or Ctrl-C the state is saved and `Interrupted`, a
    KeyboardInterrupt, raised.
    """
    if save_every is not None and save_every < 1:
        raise ReactnetError(f"save_every is {save_every}", hint="give a number of steps above 0")
    out = Path(out)
    tell = (lambda event: None) if progress is None else progress
    root = None if data_root is None else Path(data_root)
    with processes(device) as (world, where):
        feed = open_feed(recipe.data, root, on_bad_image=on_bad_image, workers=workers)
        _check_image_sizes(recipe, feed)
        _check_same(world, recipe, feed)
        with (
            _folder(out, recipe, world) as folder,
            reproducible(recipe.threads, where),
            stop_on_signals(patient=world.size > 1) as stop,
            _told(tell, recipe, folder, world) as tell_all,
        ):
            trained = not world.any(folder.info().get("finished") is True)
            if trained:
                _Run(recipe, folder, feed, where, tell_all, stop, world, save_every).run()
            folder.remove_states()  # a finished run has nothing to resume, also one that was killed just then
        if world.main:
            tell(RunEnd(out, trained=trained))
    return out


def _check_image_sizes(recipe: Recipe, feed: Feed) -> None:
    """Raise ReactnetError unless the model takes the set's images, and the squares that phases keep of them."""
    height, width, channels = feed.image_size
    check_image_size(recipe.model, feed.image_size)
    for name, phase in recipe.phases.items():
        side = phase.augment.random_crop
        if side > min(height, width):
            raise ReactnetError(
                f"phase {name}: random_crop is {side}, the images are {height}x{width}",
                hint=f"give a side of at most {min(height, width)}",
            )
        if side:
            check_image_size(recipe.model, (side, side, channels))


def _check_same(world: World, recipe: Recipe, feed: Feed) -> None:
    """Processes may be on machines of which one has an older copy of something."""
    if world.size > 1:
        versions = "\n".join(f"{name} {version}" for name, version in _versions().items())
        world.check_same({"recipe": dump_recipe(recipe), "version": versions, "data set": feed.fingerprint()})


@contextmanager
def _folder(path: Path, recipe: Recipe, world: World) -> Iterator[RunFolder]:
    """The run folder, which the first process opens and holds, and the others look into once it is there."""
    with ExitStack() as stack:
        opened = world.main_first(lambda: stack.enter_context(open_run_folder(path, recipe)))
        yield FollowerFolder(path) if opened is None else opened


@contextmanager
def _told(tell: Progress, recipe: Recipe, folder: RunFolder, world: World) -> Iterator[Progress]:
    """Who hears of events: in the first process the caller and TensorBoard, where that is installed; else nobody."""
    if not world.main:
        yield lambda event: None
        return
    writer = find_writer()
    if folder.info().get("finished") is not True:
        folder.update_info(tensorboard=NOT_WRITTEN if writer is None else f"{FOLDER}/")
    with tensorboard(writer, folder.path, {name: phase.epochs for name, phase in recipe.phases.items()}) as write:

        def tell_both(event: Event) -> None:
            write(event)
            tell(event)

        yield tell_both


class _Run:
    """The state of one call of `train`."""

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        feed: Feed,
        device: torch.device,
        tell: Progress,
        stop: Stop,
        world: World,
        save_every: int | None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.feed = feed
        self.device = device
        self.tell = tell
        self.stop = stop
        self.world = world
        self.save_every = save_every
        self.saved_at = time.monotonic()
        self.names = tuple(recipe.phases)

    def run(self) -> None:
        """Every phase that is not finished yet."""
        saved = self.folder.load_state()
        at = "a new run" if saved is None else json.dumps(saved[1], sort_keys=True)
        self.world.check_same({"state in the run folder": at})  # and nobody writes before all have read
        if saved is None:
            # Nothing can be resumed: what a run that was stopped before its first epoch logged is not kept.
            self.folder.cut_logs({})
            self.folder.update_info(**self._info())
        else:
            self._check_state(saved[1])
            self.folder.cut_logs(saved[1]["log_sizes"])
            self._compare_versions()
            self._compare_data()
        self.tell(RunBegin(self.folder.path, self.recipe.model, self.names, _in_words(saved)))
        first = 0 if saved is None else self.names.index(saved[1]["phase"])
        for index in range(first, len(self.names)):
            self._run_phase(index, saved if index == first else None)
        self.folder.update_info(finished=True)
        self.world.wait()

    def _check_state(self, state: Mapping[str, Any]) -> None:
        sizes = state["log_sizes"]
        right = isinstance(sizes, dict) and all(type(size) is int and size >= 0 for size in sizes.values())
        if not right or state.get("phase") not in self.names:
            raise ReactnetError(
                f"{self.folder.path}: its saved state is of phase {str(state.get('phase'))[:80]!r}, logs {sizes!r:.80}",
                hint="begin anew in an empty folder",
            )
        info = self.folder.info()
        lacking = [key for key in ("data", "versions", "hand_over") if not isinstance(info.get(key), dict)]
        if lacking or "commit" not in info:
            raise ReactnetError(
                f"{self.folder.path}: its run.json says nothing of {', '.join([*lacking, 'commit'][:1])}",
                hint="begin anew in an empty folder",
            )

    def _compare_versions(self) -> None:
        info = self.folder.info()
        before = {"versions": info.get("versions"), "processes": info.get("processes", 1), "device": info.get("device")}
        now = {"versions": _versions(), "processes": self.world.size, "device": str(self.device)}
        if before != now and self.world.main:
            _log.warning("%s: began with %s, goes on with %s: bits may differ", self.folder.path, before, now)

    def _compare_data(self) -> None:
        before, now = self.folder.info()["data"], self._data_info()
        if before.get("hash", now["hash"]) != now["hash"]:  # a run begun by an earlier version has none
            changed = [
                f"{key} {str(before.get(key))[:SHOWN]} before, {str(now[key])[:SHOWN]} now"
                for key in now
                if before.get(key) != now[key]
            ]
            raise ReactnetError(
                f"{self.folder.path}: the run began with other images: {'; '.join(changed)}",
                hint="give --data with the images as they were, or begin anew with another --out",
            )

    def _run_phase(self, index: int, saved: State | None) -> None:
        loop, handed = make_loop(
            self.recipe,
            index,
            self.feed,
            self.device,
            self.folder.checkpoint,
            resumed=saved is not None,
            world=self.world,
        )
        if saved is not None:
            self._restore(saved, loop.restore)
        if handed is not None:
            self._note_hand_over(loop.name, handed)
        vitals = Vitals(loop.model, self.feed.sample(VITAL_IMAGES).to(self.device))
        if saved is not None:
            self._restore(saved, lambda tensors, _: vitals.restore(tensors))
        self.tell(self._phase_begin(loop, handed))

        def on_step(event: StepEnd) -> None:
            self.tell(event)
            if self._due(event.step):
                self._save(loop, vitals)

        try:
            while not loop.done:
                record = timed_epoch(loop, self.stop, on_step, self.folder.last_good)
                seen = {**{key: record[key] for key in ("phase", "epoch", "step")}, **vitals.measure()}
                self.folder.append_log(record)
                self.folder.append_log(seen, VITALS)
                self._save(loop, vitals)
                self.tell(EpochEnd(loop.name, loop.position.epoch - 1, record, seen))
        except Interrupted:
            self._save(loop, vitals)
            self.world.wait()  # if that failed, all are to know
            raise
        self.folder.write_histograms(loop.name, activation_histograms(loop.model, vitals.images))
        self._finish_phase(loop)

    def _restore(self, saved: State, restore: Callable[[Mapping[str, Tensor], Mapping[str, Any]], None]) -> None:
        """Give a saved state back; one that is not this run's, whoever made it, is an error."""
        try:
            restore(*saved)
        except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ReactnetError(
                f"{self.folder.path}: its saved state is not one of this recipe: {' '.join(str(error).split())}",
                hint="begin anew in an empty folder",
            ) from error

    def _note_hand_over(self, name: str, handed: HandOver) -> None:
        notes = self.folder.info().get("hand_over", {})
        notes[name] = {"carried": list(handed.carried), "restarted": list(handed.restarted)}
        self.folder.update_info(hand_over=notes)

    def _phase_begin(self, loop: Loop, handed: HandOver | None) -> Event:
        at = loop.position
        phase = loop.phase
        return PhaseBegin(loop.name, phase.binarize, phase.epochs, loop.steps_per_epoch, at.epoch, at.step, handed)

    def _due(self, step: int) -> bool:
        """Whether the state is to be saved after that step of an epoch."""
        if not self.world.main:
            return False
        if self.save_every is not None:
            return step % self.save_every == 0
        return time.monotonic() - self.saved_at >= SAVE_SECONDS

    def _save(self, loop: Loop, vitals: Vitals) -> None:
        loop.check_finite(self.folder.last_good)
        self.saved_at = time.monotonic()
        tensors, state = loop.state()
        self.folder.save_state({**tensors, **vitals.tensors()}, {**state, "log_sizes": self.folder.log_sizes()})

    def _finish_phase(self, loop: Loop) -> None:
        if self.world.main:
            self._write_weights(loop)
        self.world.wait()  # the next phase reads them

    def _write_weights(self, loop: Loop) -> None:
        info = self.folder.info()
        data = info["data"]
        provenance = {
            "phase": loop.name,
            "data": f"{data['name']}, {data['train_images']} training images, sha256 {data['hash']}",
            "top1": repr(loop.position.top1),
            "measured_on": self.recipe.data.evaluate_on,
            "seed": str(self.recipe.seed),
            "recipe": dump_recipe(self.recipe),
            "commit": str(info["commit"]),
            "versions": ", ".join(f"{name} {version}" for name, version in info["versions"].items()),
        }
        if self.feed.skips:
            provenance["skipped_images"] = self._skipped_in_words(loop)
            self.folder.update_info(skipped_images=provenance["skipped_images"])
            if loop.position.skipped_before or loop.position.unmeasured:
                _log.warning("phase %s: skipped as unreadable: %s", loop.name, provenance["skipped_images"])
        loop.model.reactnet = make_card(  # type: ignore[assignment]  # a plain attribute: see load_model
            self.recipe, loop.phase.binarize, self.feed, provenance
        )
        path = self.folder.checkpoint(loop.name)
        try:
            save_model(loop.model, path)
        except ReactnetError as error:
            raise self.folder.full(path, error.problem.rpartition(": ")[2]) from error
        self.tell(PhaseEnd(loop.name, loop.position.top1, path))

    def _skipped_in_words(self, loop: Loop) -> str:
        at, feed = loop.position, self.feed
        train = f"{at.skipped_before} of {len(feed.members)} training images"
        return f"{train}, {at.unmeasured} of {len(feed.evaluation)} {feed.config.evaluate_on} images"

    def _data_info(self) -> dict[str, str | int]:
        return {
            "name": self.recipe.data.name,
            "train_images": len(self.feed.members),
            f"{self.recipe.data.evaluate_on}_images": len(self.feed.evaluation),
            "hash": self.feed.fingerprint(),
        }

    def _info(self) -> dict[str, Any]:
        height, width, _ = self.feed.image_size
        shorter = self.recipe.data.evaluate_resize
        preprocessing = {
            "resize": [height, width] if shorter is None else shorter,
            "crop": [height, width],
            "mean": list(self.feed.mean),
            "std": list(self.feed.std),
        }
        return {
            "model": self.recipe.model,
            "seed": self.recipe.seed,
            "commit": _commit(),
            "versions": _versions(),
            "device": str(self.device),
            "threads": self.recipe.threads,
            "processes": self.world.size,
            "data": self._data_info(),
            "image_size": list(self.feed.image_size),
            "preprocessing": preprocessing,
            "class_names": list(self.feed.class_names),
            "hand_over": {},
            "finished": False,
        }


def _in_words(saved: State | None) -> str | None:
    if saved is None:
        return None
    at = saved[1]["position"]
    return f"phase {saved[1]['phase']}, epoch {at['epoch']}, step {at['step']}"


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "safetensors")}
    return {"reactnet": __version__, "python": platform.python_version(), **packages}


def _commit() -> str | None:
    """The commit of the sources, with "-dirty" if they were edited since; None where they are no git checkout."""
    here = Path(__file__).parent
    if shutil.which("git") is None:
        return None

    def git(*words: str) -> str | None:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie inside some other project's checkout: then its files are not tracked there.
    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return git("describe", "--always", "--abbrev=40", "--match=", "--dirty")
