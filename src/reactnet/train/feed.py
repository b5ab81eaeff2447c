"""What a phase is fed: batches in an order, with an augmentation, that depend on seed, epoch and sample index alone."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reactnet.data import ImageFolder, Images, ImageSet, ShardSet, augmented, fingerprint, normalize, open_split
from reactnet.data.config import PLAIN, Augmentation, DataConfig
from reactnet.data.crop import centre_crop, random_resized_crop
from reactnet.data.layout import take
from reactnet.data.mixing import mix, mixing_of, partners
from reactnet.data.transforms import Pixels, draw
from reactnet.data.workers import in_order, processors
from reactnet.errors import ReactnetError

_log = logging.getLogger(__name__)

Indices = npt.NDArray[np.int64]
OnBadImage = Literal["stop", "skip"]

# Streams of the hash of reactnet.data.transforms, far from those that augmentation counts up from 0.
_ORDER, _VALIDATION, _CALIBRATION = 1000, 1001, 1003
VALIDATION_SHARE = 5  # one image of so many
FILES_A_JOB, IMAGES_A_JOB = 16, 256  # how many a worker prepares at a time: image files, images in memory
MAX_WORKERS = 8
MAX_SUBSTITUTES = 1000  # unreadable images in a row


@dataclass(frozen=True)
class Batch:
    """Normalised images float32 (N, C, H, W) and labels int64 (N,).

    Of a mixed batch, image i shows `labels[i]` with the share `mix` and `other_labels[i]` with the rest:
    loss = mix * loss(labels) + (1 - mix) * loss(other_labels). `skipped` images of the set could not be read, and
    others stand in their places.
    """

    images: Tensor
    labels: Tensor
    other_labels: Tensor | None = None
    mix: float | None = None
    skipped: int = 0


@dataclass(frozen=True)
class _Prepared:
    """Images as a model sees them, their labels, and which of them stand in for one that could not be read."""

    images: Tensor
    labels: Tensor
    replaced: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Draws:
    """What the augmentation of an epoch depends on, besides the image."""

    augment: Augmentation
    seed: int
    epoch: int
    progress: float


@dataclass(frozen=True, eq=False)
class Feed:
    """The images of a run: those to train on (`members` of `train`), those to measure on, and how they are treated.

    Sets in memory are augmented many images at a time; image files are decoded, by `workers` threads that work ahead.
    """

    config: DataConfig
    train: Images
    members: Indices
    evaluation: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    workers: int = 0
    on_bad_image: OnBadImage = "stop"
    unreadable: set[str] = field(default_factory=set)  # names of the images that have been skipped so far

    @property
    def image_size(self) -> tuple[int, int, int]:
        """(H, W, C) of every image as the model sees it."""
        if isinstance(self.train, ImageSet):
            height, width, channels = self.train.images.shape[1:]
            return height, width, channels
        assert self.config.image_size is not None
        return self.config.image_size, self.config.image_size, len(self.mean)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return self.train.class_names

    @property
    def skips(self) -> bool:
        """Whether images that cannot be read are left out."""
        return self.on_bad_image == "skip"

    @property
    def skipped(self) -> int:
        """Image files that could not be decoded so far, each counted once."""
        return len(self.unreadable)

    def fingerprint(self) -> str:
        """A hash of both parts of the data set: see `reactnet.data.fingerprint`."""
        return fingerprint(self.train, self.evaluation)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Steps in which every image is seen once, with no batch above `batch_size`."""
        return -(-len(self.members) // batch_size)

    def batches(
        self,
        *,
        seed: int,
        epoch: int,
        batch_size: int,
        augment: Augmentation = PLAIN,
        start: int = 0,
        shard: tuple[int, int] = (0, 1),
        progress: float = 0.0,
    ) -> Iterator[Batch]:
        """The batches of one epoch from step `start` on.

        `epoch` counts over the whole run, so that phases differ in order and augmentation. An epoch is cut into
        batches equal to within one image: no rump whose few images would make a noisy step. `shard` = (rank, world)
        takes one process's piece of each batch, equal to within one image too. `progress` is the share of the phase's
        epochs that is done: it ends cutout and mixing.

        An image that cannot be read is an error, or with `on_bad_image = "skip"` counted and replaced by the next one
        of the set that can be, with its label; no other image is treated otherwise for it.
        """
        pieces = self._pieces(seed, epoch, self.steps_per_epoch(batch_size), shard)
        draws = _Draws(augment, seed, epoch, progress)
        size = self.image_size[:2]
        mixings = [
            mixing_of(augment, size, seed=seed, epoch=epoch, step=start + k, progress=progress)
            for k in range(len(pieces) - start)
        ]
        needed = [
            _with_partners(*piece) if mixing is not None else (piece[0][piece[1] : piece[2]], None)
            for piece, mixing in zip(pieces[start:], mixings, strict=True)
        ]
        loaded = self._load([indices for indices, _ in needed], draws)
        for part, (_, places), (_, low, high), mixing in zip(loaded, needed, pieces[start:], mixings, strict=True):
            count = high - low
            own, labels, skipped = part.images[:count], part.labels[:count], int(part.replaced[:count].sum())
            if mixing is None or places is None:
                yield Batch(own, labels, skipped=skipped)
            else:
                mixed = mix(own, part.images[places], mixing)
                yield Batch(mixed, labels, part.labels[places], mixing.share, skipped)

    def evaluation_batches(self, batch_size: int, shard: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """The images to measure on, once, in order, without augmentation; of `shard` = (rank, world) every world-th.

        Images that are skipped are missing from their batch, and a batch of none is left out: count `labels`.
        """
        rank, world = shard
        indices = np.arange(rank, len(self.evaluation), world, dtype=np.int64)
        parts = [indices[begin : begin + batch_size] for begin in range(0, len(indices), batch_size)]
        for part, found in zip(parts, self._load(parts, None), strict=True):
            if len(found.labels):
                yield Batch(found.images, found.labels, skipped=len(part) - len(found.labels))

    def sample(self, count: int) -> Tensor:
        """Up to `count` evaluation images, evenly spaced over the set, as the model sees them: float32 (N, C, H, W)."""
        indices = np.unique(np.linspace(0, len(self.evaluation) - 1, num=count).round().astype(np.int64))
        images = next(self._load([indices], None)).images
        if not len(images):
            raise ReactnetError(
                f"data: none of {len(indices)} images to measure on can be decoded", hint="replace those files"
            )
        return images

    def calibration_batches(self, count: int, batch_size: int) -> Iterator[Batch]:
        """The first `count` training images of a fixed shuffle, or all if there are fewer, without augmentation."""
        key = draw(2**32, seed=0, epoch=0, indices=self.members, stream=_CALIBRATION)
        chosen = np.sort(self.members[np.argsort(key, kind="stable")[:count]])
        parts = [chosen[begin : begin + batch_size] for begin in range(0, len(chosen), batch_size)]
        for found in self._load(parts, _Draws(PLAIN, 0, 0, 0.0)):
            yield Batch(found.images, found.labels)

    def _pieces(self, seed: int, epoch: int, steps: int, shard: tuple[int, int]) -> list[tuple[Indices, int, int]]:
        """Of each step a batch, and where this process's piece of it begins and ends."""
        rank, world = shard
        if isinstance(self.train, ShardSet):
            order = self.train.shuffled(self.members, seed=seed, epoch=epoch)
        else:
            key = draw(2**32, seed=seed, epoch=epoch, indices=self.members, stream=_ORDER)
            order = self.members[np.argsort(key, kind="stable")]
        pieces = []
        for batch in np.array_split(order, steps):
            sizes = [len(part) for part in np.array_split(batch, world)]
            pieces.append((batch, sum(sizes[:rank]), sum(sizes[: rank + 1])))
        return pieces

    def _load(self, parts: list[Indices], draws: _Draws | None) -> Iterator[_Prepared]:
        """The images of each part, prepared in jobs that workers share; `draws` None: the evaluation images."""
        in_memory = isinstance(self.train if draws is not None else self.evaluation, ImageSet)
        size = IMAGES_A_JOB if in_memory else FILES_A_JOB
        counts = [max(1, -(-len(part) // size)) for part in parts]
        jobs = (
            part[k * size : (k + 1) * size] for part, count in zip(parts, counts, strict=True) for k in range(count)
        )
        ahead = max(counts, default=0) + 2 * self.workers  # the next batch, while one is trained on
        done = in_order(partial(self._prepare, draws), jobs, workers=self.workers, ahead=ahead)
        try:
            for count in counts:
                ready = [next(done) for _ in range(count)]
                yield ready[0] if count == 1 else _joined(ready)
        finally:
            done.close()  # type: ignore[attr-defined]  # it is a generator: its workers end here

    def _prepare(self, draws: _Draws | None, indices: Indices) -> _Prepared:
        """One job: the images of `indices`."""
        source = self.evaluation if draws is None else self.train
        if isinstance(source, ImageSet):
            pixels, labels = source.images[indices], source.labels[indices]
            replaced = np.zeros(len(indices), dtype=bool)
        else:
            found = [self._decode(source, int(index), draws) for index in indices]
            kept = [(*item, at) for item, at in zip(found, indices, strict=True) if item is not None]
            pixels = np.zeros((len(kept), *self.image_size), dtype=np.uint8)
            for i, (image, _, _) in enumerate(kept):
                pixels[i] = image
            labels = np.array([source.labels[at] for _, at, _ in kept], dtype=np.int64)
            replaced = np.array([at != asked for _, at, asked in kept], dtype=bool)
        if draws is None:
            return _Prepared(normalize(pixels, self.mean, self.std), torch.from_numpy(labels), replaced)
        images = augmented(
            self._cropped(pixels, indices, draws) if isinstance(source, ImageSet) else pixels,
            draws.augment,
            self.mean,
            self.std,
            seed=draws.seed,
            epoch=draws.epoch,
            indices=indices,
            progress=draws.progress,
        )
        return _Prepared(images, torch.from_numpy(labels), replaced)

    def _cropped(self, pixels: Pixels, indices: Indices, draws: _Draws) -> Pixels:
        """Images in memory, each a piece of itself at its own size where the phase asks for `random_resized_crop`."""
        scale, at = draws.augment.random_resized_crop, {"seed": draws.seed, "epoch": draws.epoch}
        if scale is None:
            return pixels
        size = self.image_size[:2]
        crops = [
            random_resized_crop(p, scale, size=size, index=int(i), **at) for p, i in zip(pixels, indices, strict=True)
        ]
        return np.stack(crops)

    def _decode(self, source: ImageFolder | ShardSet, index: int, draws: _Draws | None) -> tuple[Pixels, int] | None:
        """One image file as a square, and where in the set it is.

        One that is unreadable is replaced by another, or None where images are measured on.
        """
        image, at = self._readable(source, index, train=draws is not None)
        if image is None:
            return None
        side, shorter = self.image_size[0], self.config.evaluate_resize
        assert shorter is not None
        if draws is None or draws.augment.random_resized_crop is None:
            return centre_crop(image, shorter=shorter, side=side), at
        # Drawn for the place in the set, not for the image that stands in it.
        scale, size = draws.augment.random_resized_crop, (side, side)
        return random_resized_crop(image, scale, size=size, seed=draws.seed, epoch=draws.epoch, index=index), at

    def _readable(self, source: ImageFolder | ShardSet, index: int, *, train: bool) -> tuple[Pixels | None, int]:
        """The image of `index`, decoded, or of the next of `members` that can be, and where in the set it is."""
        channels = self.image_size[2]
        place = int(np.searchsorted(self.members, index))  # of a training image; members are sorted
        for step in range(MAX_SUBSTITUTES if train else 1):
            # Never one that is held out to measure on.
            at = index if step == 0 else int(self.members[(place + step) % len(self.members)])
            try:
                return source.load(at, channels), at
            except ReactnetError as error:
                if self.on_bad_image == "stop":
                    raise ReactnetError(
                        error.problem, hint=f"{error.hint}, or leave such images out with --on-bad-image skip"
                    ) from error
                if source.name(at) not in self.unreadable:
                    self.unreadable.add(source.name(at))
                    _log.warning("skipped %s", error.problem)
        if not train:
            return None, index
        raise ReactnetError(
            f"{source.name(index)} and {MAX_SUBSTITUTES - 1} images after it cannot be decoded",
            hint="replace the data set: it is not one of images",
        )


def open_feed(
    config: DataConfig, root: Path | None, *, on_bad_image: OnBadImage = "stop", workers: int | None = None
) -> Feed:
    """Load the data set of a recipe; `root` is its folder, for those that do not come with a package.

    Without `workers`, there is a thread for each processor, up to eight, where images are decoded, and none else.

    Raises ReactnetError where a folder is needed and none is given, where one is given that would be ignored, and
    where there is nothing to measure on.
    """
    if workers is not None and workers < 0:
        raise ReactnetError(f"workers is {workers}", hint="give 0 or more threads")
    parts = open_split(config, root)
    if workers is None:
        workers = 0 if isinstance(parts.train, ImageSet) else min(processors(), MAX_WORKERS)
    everyone = np.arange(len(parts.train), dtype=np.int64)
    options = (parts.mean, parts.std, workers, on_bad_image)
    if config.evaluate_on == "test":
        if parts.test is None:
            raise ReactnetError(
                f"{root}: holds no images to measure on",
                hint="make subfolders train and val, or hold some out with --data.evaluate-on validation",
            )
        return Feed(config, parts.train, everyone, parts.test, *options)
    count = len(everyone) // VALIDATION_SHARE if config.validation_images is None else config.validation_images
    if not 1 <= count < len(everyone):
        raise ReactnetError(
            f"data: validation_images is {count} of {len(everyone)} training images",
            hint="hold out fewer, and at least one: set data.validation_images",
        )
    key = draw(2**32, seed=0, epoch=0, indices=everyone, stream=_VALIDATION)
    held_out = np.zeros(len(everyone), dtype=bool)
    held_out[np.argsort(key, kind="stable")[:count]] = True
    return Feed(config, parts.train, everyone[~held_out], take(parts.train, everyone[held_out]), *options)


def _joined(jobs: Sequence[_Prepared]) -> _Prepared:
    return _Prepared(
        torch.cat([job.images for job in jobs]),
        torch.cat([job.labels for job in jobs]),
        np.concatenate([job.replaced for job in jobs]),
    )


def _with_partners(batch: Indices, low: int, high: int) -> tuple[Indices, Indices]:
    """The images that a piece of a mixed batch needs, its own first, and where each one's partner is among them."""
    partner = partners(len(batch))[low:high]
    outside = np.unique(partner[(partner < low) | (partner >= high)])
    needed = np.concatenate([np.arange(low, high), outside])
    place_of = {place: at for at, place in enumerate(needed.tolist())}
    return batch[needed], np.array([place_of[place] for place in partner.tolist()], dtype=np.int64)
