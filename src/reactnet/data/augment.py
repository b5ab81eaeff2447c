"""All that a phase's table asks of single images, in its order, from pixels to what a model sees."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from reactnet.data.colour import color_jitter, rand_augment
from reactnet.data.config import Augmentation
from reactnet.data.transforms import (
    Indices,
    Pixels,
    draw,
    normal,
    normalize,
    random_crop,
    random_flip,
    random_shift,
    uniform,
)

if TYPE_CHECKING:
    import torch

_SHIFTED = 1002
_LIGHTING, _CUTOUT_Y, _CUTOUT_X = 400, 410, 411

# Principal components of ImageNet's colours where white is 1 (Krizhevsky et al. 2012): values, and a vector a column.
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def augmented(
    images: Pixels,
    augment: Augmentation,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    seed: int,
    epoch: int,
    indices: Indices,
    progress: float = 0.0,
) -> "torch.Tensor":
    """Augment images of one size and normalise them; `indices` are their positions in the data set.

    What a random size and place is for, `random_resized_crop`, has been done before: it takes images of any size.

    Shape: uint8 (N, H, W, C) -> float32 (N, C, H, W).
    """
    at = {"seed": seed, "epoch": epoch}
    if augment.random_shift:
        moved = random_shift(images, augment.random_shift, **at, indices=indices, fill=augment.random_shift_fill)
        chosen = uniform(**at, indices=indices, stream=_SHIFTED) < augment.random_shift_probability
        images = np.where(chosen[:, None, None, None], moved, images)
    if augment.random_crop:
        images = random_crop(images, augment.random_crop, **at, indices=indices)
    if augment.random_flip:
        images = random_flip(images, **at, indices=indices)
    if augment.rand_augment is not None:
        images = rand_augment(images, *augment.rand_augment, **at, indices=indices)
    if augment.color_jitter is not None:
        images = color_jitter(images, augment.color_jitter, **at, indices=indices)
    light = lighting(augment.lighting, **at, indices=indices)[:, : images.shape[3]] if augment.lighting else None
    if light is not None and augment.lighting_as_released:
        images, light = lighting_as_released(images, light), None
    found = normalize(images, mean, std)
    if light is not None:
        # Added after normalisation, where it is an offset a channel: no rounding, and nothing is clipped.
        found += found.new_tensor(light / np.asarray(std))[:, :, None, None]
    if augment.cutout and progress < augment.until:
        cut_out(found, augment.cutout, **at, indices=indices)
    return found


def lighting(deviation: float, *, seed: int, epoch: int, indices: Indices) -> npt.NDArray[np.float64]:
    """The colour that AlexNet's PCA noise adds to each image, where white is 1.

    The principal vectors, each times its value times a normal number of the given deviation. Shape: (N,) -> (N, 3).
    """
    amounts = [normal(seed=seed, epoch=epoch, indices=indices, stream=_LIGHTING + 2 * k) for k in range(3)]
    found: npt.NDArray[np.float64] = (deviation * np.stack(amounts, axis=1) * EIGENVALUES) @ EIGENVECTORS.T
    return found


def lighting_as_released(images: Pixels, light: npt.NDArray[np.float64]) -> Pixels:
    """What ReActNet's published code makes of it: added, as if white were 1, to pixels of which white is 255.

    Clipped to 0 to 255 and truncated to whole numbers, which leaves a pixel as it is or one darker.

    Shape: (N, H, W, C), (N, C) -> (N, H, W, C).
    """
    return np.clip(images + light[:, None, None, :], 0, 255).astype(np.uint8)


def cut_out(images: "torch.Tensor", side: int, *, seed: int, epoch: int, indices: Indices) -> None:
    """Blank, in place, a square around a pixel drawn for each image, cut off at the border (DeVries and Taylor 2017).

    Normalised images: the blank is 0, the data set's mean. Shape: (N, C, H, W).
    """
    height, width = images.shape[2:]
    rows = draw(height, seed=seed, epoch=epoch, indices=indices, stream=_CUTOUT_Y) - side // 2
    columns = draw(width, seed=seed, epoch=epoch, indices=indices, stream=_CUTOUT_X) - side // 2
    for image, top, left in zip(images, rows.tolist(), columns.tolist(), strict=True):
        image[:, max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0
