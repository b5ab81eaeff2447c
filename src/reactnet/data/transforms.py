"""Augmentation and normalisation of whole batches of uint8 images.

Every random number is a function of (seed, epoch, sample index) and of nothing else: no generator is advanced. So the
order of the samples, the batches they fall in, the number of workers and a resume in mid-run change nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
Indices = npt.ArrayLike

# One stream a kind of draw: a new augmentation does not disturb the others. Those of other files count from a hundred.
_SHIFT_Y, _SHIFT_X, _FLIP, _CROP_Y, _CROP_X = 0, 1, 2, 3, 4


def draw(bound: int, *, seed: int, epoch: int, indices: Indices, stream: int) -> npt.NDArray[np.int64]:
    """One integer in [0, bound) for each sample index, uniform, by hashing (seed, epoch, stream, index).

    The hash chains splitmix64 (Steele, Lea, Flood 2014) over the four numbers. `bound` is at most 2^32: the upper 32
    bits of the hash are scaled to it, which favours no value by more than bound / 2^32.

    Shape: `indices` (N,) -> (N,). Seed and epoch are taken modulo 2^64.
    """
    assert 1 <= bound <= 2**32
    state = np.zeros(1, dtype=np.uint64)
    for word in (seed, epoch, stream):
        state = _mix(state ^ np.array([word % 2**64], dtype=np.uint64))
    high = _mix(state ^ np.asarray(indices, dtype=np.int64).astype(np.uint64)) >> np.uint64(32)
    return ((high * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)


def uniform(*, seed: int, epoch: int, indices: Indices, stream: int) -> npt.NDArray[np.float64]:
    """One number in [0, 1) for each sample index, a multiple of 2^-32; see `draw`."""
    found: npt.NDArray[np.float64] = draw(2**32, seed=seed, epoch=epoch, indices=indices, stream=stream) / 2**32
    return found


def normal(*, seed: int, epoch: int, indices: Indices, stream: int) -> npt.NDArray[np.float64]:
    """One number of the standard normal distribution for each sample index, by Box and Muller.

    Takes the streams `stream` and `stream + 1`.
    """
    first = uniform(seed=seed, epoch=epoch, indices=indices, stream=stream)
    second = uniform(seed=seed, epoch=epoch, indices=indices, stream=stream + 1)
    found: npt.NDArray[np.float64] = np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * np.pi * second)
    return found


def random_shift(
    images: Pixels, pad: int, *, seed: int, epoch: int, indices: Indices, fill: Literal["zero", "reflect"] = "zero"
) -> Pixels:
    """Pad each image by `pad` pixels on every side and crop it back at a random place.

    The border is zero, or with "reflect" the image mirrored at its edge, which is not repeated.

    `indices` are the images' positions in the data set, not in the batch.

    Shape: (N, H, W, C) -> (N, H, W, C), a new array.
    """
    n, height, width, _ = images.shape
    places = 2 * pad + 1
    top = draw(places, seed=seed, epoch=epoch, indices=indices, stream=_SHIFT_Y)
    left = draw(places, seed=seed, epoch=epoch, indices=indices, stream=_SHIFT_X)
    border = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    padded = np.pad(images, border) if fill == "zero" else np.pad(images, border, mode="reflect")
    shifted = np.empty_like(images)
    for i in range(n):  # a copy of rows each: several times faster than one gather of every pixel
        shifted[i] = padded[i, top[i] : top[i] + height, left[i] : left[i] + width]
    return shifted


def random_crop(images: Pixels, side: int, *, seed: int, epoch: int, indices: Indices) -> Pixels:
    """The square of `side` pixels at a random place of each image.

    Shape: (N, H, W, C) -> (N, side, side, C), a new array; H and W are at least `side`.
    """
    n, height, width, channels = images.shape
    assert side <= min(height, width)
    top = draw(height - side + 1, seed=seed, epoch=epoch, indices=indices, stream=_CROP_Y)
    left = draw(width - side + 1, seed=seed, epoch=epoch, indices=indices, stream=_CROP_X)
    cropped = np.empty((n, side, side, channels), dtype=images.dtype)
    for i in range(n):
        cropped[i] = images[i, top[i] : top[i] + side, left[i] : left[i] + side]
    return cropped


def random_flip(images: Pixels, *, seed: int, epoch: int, indices: Indices) -> Pixels:
    """Mirror each image left to right with probability one half.

    Shape: (N, H, W, C) -> (N, H, W, C), a new array.
    """
    flip = draw(2, seed=seed, epoch=epoch, indices=indices, stream=_FLIP).astype(bool)
    flipped = images.copy()
    flipped[flip] = images[flip][:, :, ::-1]
    return flipped


def normalize_table(mean: Sequence[float], std: Sequence[float]) -> npt.NDArray[np.float32]:
    """The normalised value of every pixel value: (v / 255 - mean) / std in float64, rounded once to float32.

    Shape: (C,), (C,) -> (256, C).
    """
    values = np.arange(256, dtype=np.float64)[:, None] / 255
    return ((values - np.asarray(mean, dtype=np.float64)) / np.asarray(std, dtype=np.float64)).astype(np.float32)


def normalize(images: Pixels, mean: Sequence[float], std: Sequence[float]) -> "torch.Tensor":
    """Look each pixel up in `normalize_table`, so that training sees the very numbers that deployment does.

    Shape: uint8 (N, H, W, C) -> float32 (N, C, H, W).
    """
    import torch  # here only: packed files are evaluated where torch is not installed

    table = normalize_table(mean, std)
    found = np.empty((len(images), images.shape[3], *images.shape[1:3]), dtype=np.float32)
    for channel in range(images.shape[3]):
        found[:, channel] = np.ascontiguousarray(table[:, channel])[images[..., channel]]
    return torch.from_numpy(found)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One splitmix64 step: a bijection of 64-bit words. Products wrap, as NumPy arrays of uint64 do."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
