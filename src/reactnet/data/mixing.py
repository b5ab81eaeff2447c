"""Mixup and CutMix: what mixes the images of a batch, decided once for the whole batch.

An image's partner is its neighbour in the batch, whose order is random already. So a process that has a piece of the
batch needs one or two images besides its own, and any number of processes mix the same pairs.
"""

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from reactnet.data.config import Augmentation
from reactnet.data.transforms import draw

if TYPE_CHECKING:
    from torch import Tensor

_STREAM = 500


@dataclass(frozen=True)
class Mixing:
    """`share` of each image is its own. With a `box`, (top, left, bottom, right), the partner shows inside it."""

    share: float
    box: tuple[int, int, int, int] | None


def mixing_of(
    augment: Augmentation, size: tuple[int, int], *, seed: int, epoch: int, step: int, progress: float
) -> Mixing | None:
    """How the batch of a step is mixed, or None. Where both ways are on, either is taken with probability one half.

    Mixup (Zhang et al. 2018): a share of Beta(a, a). CutMix (Yun et al. 2019): a box of one minus such a share of the
    area around a pixel drawn uniformly; what of it lies inside the image decides the share.
    """
    if progress >= augment.until or not (augment.mixup or augment.cutmix):
        return None
    words = [int(draw(2**32, seed=seed, epoch=epoch, indices=[step], stream=_STREAM + k)[0]) for k in range(2)]
    generator = random.Random(words[0] << 32 | words[1])
    cut = augment.mixup == 0 or (augment.cutmix > 0 and generator.random() < 0.5)
    concentration = augment.cutmix if cut else augment.mixup
    share = generator.betavariate(concentration, concentration)
    if not cut:
        return Mixing(share, None)
    height, width = size
    half = 0.5 * math.sqrt(1 - share)
    y, x = int(generator.random() * height), int(generator.random() * width)
    top, bottom = max(0, y - int(half * height)), min(height, y + int(half * height))
    left, right = max(0, x - int(half * width)), min(width, x + int(half * width))
    return Mixing(1 - (bottom - top) * (right - left) / (height * width), (top, left, bottom, right))


def partners(count: int) -> npt.NDArray[np.int64]:
    """The partner of each place in a batch: pairs of neighbours; a last odd one takes the one before it."""
    places = np.arange(count, dtype=np.int64)
    other = places ^ 1
    if count % 2:
        other[-1] = max(0, count - 2)
    return other


def mix(images: "Tensor", others: "Tensor", mixing: Mixing) -> "Tensor":
    """Each image mixed with its partner. Shape: (N, C, H, W), (N, C, H, W) -> (N, C, H, W), a new tensor."""
    if mixing.box is None:
        return images * mixing.share + others * (1 - mixing.share)
    top, left, bottom, right = mixing.box
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return mixed
