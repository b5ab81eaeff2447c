"""Reference arithmetic, part one: convolutions and linear layers on whole maps, (N, H, W, C).

Weights are (O, kh, kw, I / G). Group g of the outputs reads group g of the channels.
"""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from reactnet.graph.graph import Attribute
from reactnet.graph.ops import number, pair, window_outputs
from reactnet.graph.reference_map import F32, Array, Quantized, tap_span

_Region = tuple[slice, slice]


def _taps(
    x: Array, weight: Array, attributes: Mapping[str, Attribute]
) -> tuple[tuple[int, int], Iterator[tuple[int, int, _Region, _Region]]]:
    """The output's size, and in order each tap that is ever inside: kh, kw, the outputs where it is, what it reads."""
    stride, padding = pair(attributes, "stride"), pair(attributes, "padding")
    kernel = weight.shape[1], weight.shape[2]
    size = tuple(window_outputs(x.shape[1 + s], kernel[s], stride[s], padding[s]) for s in range(2))

    def walk() -> Iterator[tuple[int, int, _Region, _Region]]:
        for kh in range(kernel[0]):
            out_h, in_h = tap_span(x.shape[1], size[0], kh, stride[0], padding[0])
            for kw in range(kernel[1]):
                out_w, in_w = tap_span(x.shape[2], size[1], kw, stride[1], padding[1])
                if out_h.start < out_h.stop and out_w.start < out_w.stop:
                    yield kh, kw, (out_h, out_w), (in_h, in_w)

    return (size[0], size[1]), walk()


def conv_f32(x: Array, weight: Array, bias: Array | None, attributes: Mapping[str, Attribute]) -> Array:
    """acc = acc + x * w over kh, kw, channel of the group; then + bias."""
    groups = number(attributes, "groups")
    outputs, _, _, depth = weight.shape
    size, taps = _taps(x, weight, attributes)
    grouped = x.reshape(*x.shape[:3], groups, depth)
    weights = weight.reshape(groups, outputs // groups, *weight.shape[1:])
    acc = np.zeros((len(x), *size, groups, outputs // groups), F32)
    for kh, kw, (out_h, out_w), (in_h, in_w) in taps:
        for channel in range(depth):
            product = grouped[:, in_h, in_w, :, channel, None] * weights[:, :, kh, kw, channel]
            acc[:, out_h, out_w] += product
    acc = acc.reshape(len(x), *size, outputs)
    return acc if bias is None else acc + bias


def linear_f32(x: Array, weight: Array, bias: Array | None) -> Array:
    """acc = acc + x * w over h, w, channel; then + bias. Output (N, 1, 1, O)."""
    flat = x.reshape(len(x), weight.shape[1])
    columns = np.ascontiguousarray(weight.T)
    acc = np.zeros((len(x), len(weight)), F32)
    for index in range(flat.shape[1]):
        acc += flat[:, index, None] * columns[index]
    acc = acc if bias is None else acc + bias
    return acc[:, None, None, :]


def _integer_conv(
    x: Array, weight: Array, attributes: Mapping[str, Attribute], offset: Array | None, dtype: type[np.floating[Any]]
) -> Array:
    """Sums over the inside taps of w * x - offset, held in `dtype`.

    The caller picks one in which every partial sum is exact, so a matrix product may add in any order.
    """
    groups = number(attributes, "groups") if "groups" in attributes else 1
    outputs, _, _, depth = weight.shape
    size, taps = _taps(x, weight, attributes)
    # (G, N, H, W, depth) by (G, depth, O / G)
    grouped = np.moveaxis(x.reshape(*x.shape[:3], groups, depth), 3, 0).astype(dtype)
    weights = weight.reshape(groups, outputs // groups, *weight.shape[1:]).astype(dtype)
    acc = np.zeros((groups, len(x), *size, outputs // groups), dtype)
    for kh, kw, (out_h, out_w), (in_h, in_w) in taps:
        taken = grouped[:, :, in_h, in_w]
        flat = taken.reshape(groups, prod(taken.shape[1:4]), depth) @ np.swapaxes(weights[:, :, kh, kw], 1, 2)
        acc[:, :, out_h, out_w] += flat.reshape(*taken.shape[:4], outputs // groups)
        if offset is not None:
            acc[:, :, out_h, out_w] -= offset[:, kh, kw]
    return np.moveaxis(acc, 0, 3).reshape(len(x), *size, outputs)


def conv_u8(x: Array, constants: Mapping[str, Array], attributes: Mapping[str, Attribute]) -> Array:
    """The integer stem: f32(acc) * scale + bias."""
    acc = _integer_conv(x, constants["weight"], attributes, constants["offset"], np.float64)
    return acc.astype(F32) * constants["scale"] + constants["bias"]


def conv_i8(x: Quantized, weight: Array, scale: Array, bias: Array, attributes: Mapping[str, Attribute]) -> Array:
    """((f32(acc) * s) * scale) + bias, s the image's scale."""
    acc = _integer_conv(x.values, weight, attributes, None, np.float64).astype(F32)
    return (acc * x.scales[:, None, None, None]) * scale + bias


def linear_i8(x: Quantized, weight: Array, scale: Array, bias: Array) -> Array:
    """As conv_i8 over the whole map. Output (N, 1, 1, O)."""
    flat = x.values.reshape(len(x.values), weight.shape[1]).astype(np.float64)
    acc = (flat @ weight.astype(np.float64).T).astype(F32)
    return ((acc * x.scales[:, None]) * scale + bias)[:, None, None, :]


def bconv2d(x: Array, weight: Array, attributes: Mapping[str, Attribute]) -> Array:
    """f32(sum of w * x), x int8 and w float32 of -1 and +1; outside taps count as the padding value."""
    padding = pair(attributes, "padding")
    value = number(attributes, "padding_value")
    padded = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)), constant_values=np.int8(value))
    inside = {**attributes, "padding": (0, 0)}
    return _integer_conv(padded, weight, inside, None, F32)  # at most 2^24: exact
