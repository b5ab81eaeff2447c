"""Reference arithmetic, part two: quantization, activations and pools on whole maps, (N, H, W, C)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reactnet.graph.graph import Attribute
from reactnet.graph.ops import number, pair, window_outputs

Array = NDArray[Any]
F32 = np.float32


class Quantized(NamedTuple):
    """An i8 value: int8 (N, H, W, C), and one float32 scale an image, (N,)."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]


def quantize(x: Array) -> Quantized:
    """Each image to int8 by its own largest magnitude."""
    axes = (1, 2, 3)
    # fmax passes NaNs over, as the comparison a > m does.
    most = np.fmax.reduce(np.abs(x), axis=axes, initial=F32(0))
    inverse = np.divide(F32(127), most, out=np.zeros_like(most), where=most != 0)
    t: Array = x * inverse[:, None, None, None]
    t = np.where(t > F32(-127), t, F32(-127))
    t = np.where(t < F32(127), t, F32(127))
    values = np.where(most[:, None, None, None] == 0, F32(0), np.rint(t)).astype(np.int8)
    return Quantized(values, most / F32(127))


def normalize(x: Array, table: Array) -> Array:
    """table[x, c] for each pixel."""
    flat = x.reshape(-1, x.shape[3]).astype(np.intp)
    return np.take_along_axis(table, flat, axis=0).reshape(x.shape)


def activation(op: str, x: Array, constants: Mapping[str, Array]) -> Array:
    """The ops on one map, an element at a time. `sign` gives int8 of -1 and +1."""
    match op:
        case "sign":
            return np.where(x + constants["shift"] >= 0, np.int8(1), np.int8(-1))
        case "affine":
            return x * constants["scale"] + constants["shift"]
        case "prelu":
            return np.where(x >= 0, x, constants["slope"] * x)
        case "relu":
            return np.where(x < 0, F32(0), x)
        case "abs":
            return np.abs(x)
        case "clip":
            return _clip(x, constants["bounds"][0], constants["bounds"][1])
        case "sigmoid":
            return _sigmoid(x)
        case "hard_sigmoid":
            return _clip(x * F32(1 / 6) + F32(0.5), F32(0), F32(1))
        case _:
            raise AssertionError(op)


def rearrange(op: str, inputs: Sequence[Array], attributes: Mapping[str, Attribute]) -> Array:
    """The ops that combine or reorder maps."""
    first = inputs[0]
    match op:
        case "add":
            return first + inputs[1]
        case "mul":
            return first * inputs[1]
        case "concat":
            return np.concatenate(inputs, axis=3)
        case "slice":
            return first[..., number(attributes, "begin") : number(attributes, "end")]
        case "repeat":
            return np.tile(first, (1, 1, 1, number(attributes, "times")))
        case _:
            raise AssertionError(op)


def _clip(x: Array, low: np.float32, high: np.float32) -> Array:
    t = np.where(x < low, low, x)
    clipped: Array = np.where(high < t, high, t)
    return clipped


def _sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) by the polynomial of the format; at most 1e-7 from the truth."""
    a: Array = -np.abs(x)
    a = np.where(a > F32(-87), a, F32(-87))
    n = np.rint(a * F32(1.44269504))
    r: Array = a - n * F32(0.693359375)
    r = r - n * F32(-2.12194440e-4)
    p: Array = np.full_like(r, F32(1.9875691500e-4))
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + F32(c)
    power = ((n.astype(np.int32) + 127) << 23).view(np.float32)
    e: Array = (((p * r) * r + r) + F32(1)) * power
    y: Array = np.where(x < 0, e, F32(1)) / (F32(1) + e)
    return y


def tap_span(size: int, outputs: int, tap: int, stride: int, padding: int) -> tuple[slice, slice]:
    """The outputs whose tap `tap` falls inside one side of the image, and the pixels that it reads there."""
    shift = tap - padding
    begin = max(0, -(shift // stride))  # the least o with o * stride + shift >= 0
    end = min(outputs, (size - 1 - shift) // stride + 1)
    if end <= begin:
        return slice(0, 0), slice(0, 0)
    first = begin * stride + shift
    return slice(begin, end), slice(first, first + (end - begin - 1) * stride + 1, stride)


def _pool_geometry(x: Array, attributes: Mapping[str, Attribute]) -> tuple[list[list[tuple[slice, slice]]], list[int]]:
    kernel, stride, padding = (pair(attributes, name) for name in ("kernel", "stride", "padding"))
    spans, outputs = [], []
    for side in range(2):
        size = x.shape[1 + side]
        count = window_outputs(size, kernel[side], stride[side], padding[side], ceil_mode=bool(attributes["ceil_mode"]))
        outputs.append(count)
        spans.append([tap_span(size, count, tap, stride[side], padding[side]) for tap in range(kernel[side])])
    return spans, outputs


def avg_pool(x: Array, attributes: Mapping[str, Attribute]) -> Array:
    """Mean over the inside taps: summed in h, w order, divided once."""
    spans, (height, width) = _pool_geometry(x, attributes)
    total = np.zeros((len(x), height, width, x.shape[3]), F32)
    count = np.zeros((height, width, 1), F32)
    for out_h, in_h in spans[0]:
        for out_w, in_w in spans[1]:
            total[:, out_h, out_w] += x[:, in_h, in_w]
            count[out_h, out_w] += F32(1)
    return total / count


def max_pool(x: Array, attributes: Mapping[str, Attribute]) -> Array:
    """Largest inside tap by comparison, in h, w order."""
    spans, (height, width) = _pool_geometry(x, attributes)
    most = np.zeros((len(x), height, width, x.shape[3]), F32)
    begun = np.zeros((height, width, 1), np.bool_)
    for out_h, in_h in spans[0]:
        for out_w, in_w in spans[1]:
            tap, held = x[:, in_h, in_w], most[:, out_h, out_w]
            most[:, out_h, out_w] = np.where(begun[out_h, out_w], np.where(tap > held, tap, held), tap)
            begun[out_h, out_w] = True
    return most


def adaptive_avg_pool(x: Array, height: int, width: int) -> Array:
    """Mean over torch's bins; height = width = 1 is the global average."""
    out = np.empty((len(x), height, width, x.shape[3]), F32)
    for i in range(height):
        rows = range(i * x.shape[1] // height, -(-(i + 1) * x.shape[1] // height))
        for j in range(width):
            columns = range(j * x.shape[2] // width, -(-(j + 1) * x.shape[2] // width))
            total = np.zeros((len(x), x.shape[3]), F32)
            for h in rows:
                for w in columns:
                    total += x[:, h, w]
            out[:, i, j] = total / F32(len(rows) * len(columns))
    return out
