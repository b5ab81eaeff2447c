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

_SHIFT_Y, _SHIFT_X, _FLIP = 0, 1, 2  # one stream a kind of draw: a new augmentation does not disturb the others


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


def random_shift(
    images: Pixels, pad: int, *, seed: int, epoch: int, indices: Indices, fill: Literal["zero", "reflect"] = "zero"
) -> Pixels:
    """Pad each image by `pad` pixels on every side, black or mirrored at the edge, and crop it back at a random place.

    `indices` are the images' positions in the data set, not in the batch.

    Shape: (N, H, W, C) -> (N, H, W, C), a new array.
    """
    n, height, width, _ = images.shape
    places = 2 * pad + 1
    top = draw(places, seed=seed, epoch=epoch, indices=indices, stream=_SHIFT_Y)
    left = draw(places, seed=seed, epoch=epoch, indices=indices, stream=_SHIFT_X)
    padded = np.pad(
        images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect" if fill == "reflect" else "constant"
    )
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    shifted: Pixels = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return shifted


def random_flip(images: Pixels, *, seed: int, epoch: int, indices: Indices) -> Pixels:
    """Mirror each image left to right with probability one half.

    Shape: (N, H, W, C) -> (N, H, W, C), a new array.
    """
    flip = draw(2, seed=seed, epoch=epoch, indices=indices, stream=_FLIP).astype(bool)
    return np.where(flip[:, None, None, None], images[:, :, ::-1], images)


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
    channels = images.transpose(0, 3, 1, 2)
    return torch.from_numpy(table[channels, np.arange(table.shape[1])[:, None, None]])


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One splitmix64 step: a bijection of 64-bit words. Products wrap, as NumPy arrays of uint64 do."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
