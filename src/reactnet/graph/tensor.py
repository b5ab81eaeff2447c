"""Tensors as the file holds them: dtype names, and +-1 packed 64 channels to a word."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD = 64

DTYPES: dict[str, np.dtype[Any]] = {
    "U64": np.dtype("<u8"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
}


def dtype_name(array: NDArray[Any]) -> str | None:
    """The file's name for the array's dtype, or None if the format has no such dtype."""
    for name, dtype in DTYPES.items():
        if array.dtype == dtype:
            return name
    return None


def words(channels: int) -> int:
    """Words of 64 bits that hold one bit for each channel."""
    return -(-channels // WORD)


def pack_bits(positive: NDArray[Any]) -> NDArray[np.uint64]:
    """Pack booleans (True is +1) along the last axis; numbers are taken as +1 where they are >= 0.

    Shape: (..., C) -> (..., ceil(C / 64)). Channel c is bit c % 64 of word c / 64; tail bits are 0.
    """
    bits = positive if positive.dtype == np.bool_ else positive >= 0
    channels = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], words(channels) * WORD), dtype=np.bool_)
    padded[..., :channels] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view(DTYPES["U64"])


def unpack_bits(packed: NDArray[np.uint64], channels: int) -> NDArray[np.bool_]:
    """The inverse of `pack_bits`: (..., ceil(C / 64)) words -> (..., C) booleans."""
    octets = np.ascontiguousarray(packed).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little", count=channels).astype(np.bool_)


def tail_bits_clear(packed: NDArray[np.uint64], channels: int) -> bool:
    """Whether the bits past the last channel are 0 in every row of words."""
    used = channels % WORD
    return used == 0 or not np.any(packed[..., -1] >> np.uint64(used))


def distinct(array: NDArray[Any]) -> NDArray[Any]:
    """The array without what `np.broadcast_to` repeats: a view, of length 1 along each axis of stride 0.

    `np.broadcast_to(f(distinct(array)), array.shape)` is f of every element, at the cost of the elements in memory.
    """
    return array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)]
