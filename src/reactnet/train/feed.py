"""What a phase is fed: batches in an order, with an augmentation, that depend on seed, epoch and sample index alone."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reactnet.data import ImageSet, Split, load_cifar10, load_digits_split, normalize, random_flip, random_shift
from reactnet.data.config import PLAIN, Augmentation, DataConfig
from reactnet.data.transforms import draw
from reactnet.errors import ReactnetError

# Streams of the hash of reactnet.data.transforms, far from those that augmentation counts up from 0.
_ORDER, _VALIDATION, _SHIFTED, _CALIBRATION = 1000, 1001, 1002, 1003
VALIDATION_SHARE = 5  # one image of so many


@dataclass(frozen=True)
class Batch:
    """Normalised images float32 (N, C, H, W) and labels int64 (N,).

    Of a mixed batch, image i shows `labels[i]` with the share `mix` and `other_labels[i]` with the rest:
    loss = mix * loss(labels) + (1 - mix) * loss(other_labels).
    """

    images: Tensor
    labels: Tensor
    other_labels: Tensor | None = None
    mix: float | None = None


@dataclass(frozen=True, eq=False)
class Feed:
    """The images of a run: those to train on (`members` of `train`), those to measure on, and how they are treated.

    Small sets stay in memory and are augmented a batch at a time.
    """

    config: DataConfig
    train: ImageSet
    members: npt.NDArray[np.int64]
    evaluation: ImageSet
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def image_size(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return self.train.class_names

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
    ) -> Iterator[Batch]:
        """The batches of one epoch from step `start` on.

        `epoch` counts over the whole run, so that phases differ in order and augmentation. An epoch is cut into
        batches equal to within one image: no rump whose few images would make a noisy step.
        """
        key = draw(2**32, seed=seed, epoch=epoch, indices=self.members, stream=_ORDER)
        order = self.members[np.argsort(key, kind="stable")]
        steps = self.steps_per_epoch(batch_size)
        for indices in np.array_split(order, steps)[start:]:
            yield self._batch(indices, seed, epoch, augment)

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        """The images to measure on, once, in order, without augmentation."""
        for begin in range(0, len(self.evaluation), batch_size):
            part = slice(begin, begin + batch_size)
            images = normalize(self.evaluation.images[part], self.mean, self.std)
            yield Batch(images, torch.from_numpy(self.evaluation.labels[part]))

    def sample(self, count: int) -> Tensor:
        """Up to `count` evaluation images, evenly spaced over the set, as the model sees them: float32 (N, C, H, W)."""
        indices = np.unique(np.linspace(0, len(self.evaluation) - 1, num=count).round().astype(np.int64))
        return normalize(self.evaluation.images[indices], self.mean, self.std)

    def calibration_batches(self, count: int, batch_size: int) -> Iterator[Batch]:
        """The first `count` training images of a fixed shuffle, or all if there are fewer, without augmentation."""
        key = draw(2**32, seed=0, epoch=0, indices=self.members, stream=_CALIBRATION)
        chosen = np.sort(self.members[np.argsort(key, kind="stable")[:count]])
        for begin in range(0, len(chosen), batch_size):
            yield self._batch(chosen[begin : begin + batch_size], 0, 0, PLAIN)

    def _batch(self, indices: npt.NDArray[np.int64], seed: int, epoch: int, augment: Augmentation) -> Batch:
        images = self.train.images[indices]
        if augment.random_shift:
            moved = random_shift(
                images,
                augment.random_shift,
                seed=seed,
                epoch=epoch,
                indices=indices,
                fill=augment.random_shift_fill,
            )
            chance = draw(2**32, seed=seed, epoch=epoch, indices=indices, stream=_SHIFTED) / 2**32
            chosen = chance < augment.random_shift_probability
            images = np.where(chosen[:, None, None, None], moved, images)
        if augment.random_flip:
            images = random_flip(images, seed=seed, epoch=epoch, indices=indices)
        return Batch(normalize(images, self.mean, self.std), torch.from_numpy(self.train.labels[indices]))


_APPLIED = {"random_shift", "random_shift_probability", "random_shift_fill", "random_flip"}


def check_augmentation(augment: Augmentation, where: str) -> None:
    """Raise ReactnetError for a key that recipes know and no feed applies yet: none is left out in silence."""
    for item in fields(augment):
        value = getattr(augment, item.name)
        if item.name not in _APPLIED and value != item.default:
            raise ReactnetError(
                f"{where}: {item.name} is {value!r}, which is not applied yet",
                hint=f"leave it out; what is applied: {', '.join(sorted(_APPLIED))}",
            )


def open_feed(config: DataConfig, root: Path | None) -> Feed:
    """Load the data set of a recipe; `root` is its folder, for those that do not come with a package.

    Raises ReactnetError where a folder is needed and none is given, where one is given that would be ignored, and where
    more images are to be held out than there are.
    """
    split = _load(config.name, root)
    everyone = np.arange(len(split.train), dtype=np.int64)
    if config.evaluate_on == "test":
        return Feed(config, split.train, everyone, split.test, split.mean, split.std)
    key = draw(2**32, seed=0, epoch=0, indices=everyone, stream=_VALIDATION)
    asked = config.validation_images
    count = len(everyone) // VALIDATION_SHARE if asked is None else asked
    if count >= len(everyone):
        raise ReactnetError(
            f"data: validation_images is {count} of {len(everyone)} training images", hint="hold out fewer"
        )
    held_out = np.zeros(len(everyone), dtype=bool)
    held_out[np.argsort(key, kind="stable")[:count]] = True
    names = split.train.class_names
    validation = ImageSet(split.train.images[held_out], split.train.labels[held_out], names)
    return Feed(config, split.train, everyone[~held_out], validation, split.mean, split.std)


def _load(name: str, root: Path | None) -> Split:
    if name == "digits":
        if root is not None:
            raise ReactnetError(f"data: the digits come with scikit-learn, not from {root}", hint="leave --data out")
        return load_digits_split()
    if name != "cifar10":
        raise ReactnetError(f"data: {name} is not read yet", hint="use cifar10 or digits")
    if root is None:
        raise ReactnetError("data: cifar10 needs a folder", hint="give --data FOLDER that holds cifar-10-batches-bin")
    return load_cifar10(root)
