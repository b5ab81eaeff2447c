"""Integer ends: real layers of a folded network become sums of integers, and what stays real takes half the bytes.

* A convolution of the pixels becomes `conv_u8`: it reads bytes, and the preprocessing's mean and std go into its
  weights and offsets. Of the pixels nothing is rounded.
* Any other real convolution, and every linear layer, becomes `quantize` and `conv_i8` or `linear_i8`: its input is
  rounded to 8 bits by the largest magnitude in each image, so no calibration data are needed. Layers that read one
  value share its `quantize`.
* Convolutions of fewer than `MIN_CHANNELS` channels a group (depthwise ones) stay float: they have few weights and
  fewer sums to win, and rounding hurts them most. Their weights are stored as float16 where that is near.

Weights are rounded symmetrically, by a scale for each output: w ~ q * scale with |q| at most 127 (or 32,767). The
levels of an output are fewer where its sum could otherwise leave int32.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactnet.compiler.network import Array, Network, number
from reactnet.errors import ReactnetError
from reactnet.graph import Node, Preprocessing, distinct
from reactnet.graph.check import MAX_I8, MAX_SUM, MAX_U8

Real = NDArray[np.float64]

STEM_BITS = (8, 16)
MIN_CHANNELS = 8
"""Channels of a group from which on a convolution is worth quantizing."""

HALF_STEP = 2.0**-11
"""float16 is near where no weight moves by more than this part of its output's largest: what rounding costs anyway."""

_LEVELS = {8: 127, 16: 32_767}
_DTYPES = {8: np.int8, 16: np.int16}
_MARGIN = 1e-6  # of the levels: float32 rounds a scale by 6e-8, and sums in float64 round too


def integer_ends(folded: Network, preprocessing: Preprocessing, *, stem_bits: int = 8) -> Network:
    """The network with integer ends; `folded` itself stays as it is.

    Raises ReactnetError for a layer that has more products in a sum than integers can hold.
    """
    net = folded.copy()
    _stem(net, preprocessing, stem_bits)
    for node in list(net.nodes):
        if node.op == "linear_f32" or (node.op == "conv_f32" and _wide(net, node)):
            _quantized(net, node)
        elif node.op == "conv_f32":
            net.put(node, "weight", _half(net.constant(node, "weight")))
    return net


def _wide(net: Network, node: Node) -> bool:
    return int(net.constant(node, "weight").shape[3]) >= MIN_CHANNELS


def _stem(net: Network, preprocessing: Preprocessing, bits: int) -> None:
    """Let the convolutions that read normalised pixels read the pixels; `normalize` goes if nothing else reads it."""
    tables = [node for node in net.nodes if node.op == "normalize"]
    for table in tables:
        left = False
        for node in net.consumers()[table.name]:
            if node.op == "conv_f32" and number(node, "groups") == 1:
                _conv_u8(net, node, table.inputs[0], preprocessing, bits)
            else:
                left = True
        if not left and net.output != table.name:
            net.forget(table.name)
            net.nodes.remove(table)
            for tensor in table.constants.values():
                del net.constants[tensor]


def _conv_u8(net: Network, node: Node, image: str, preprocessing: Preprocessing, bits: int) -> None:
    """y = sum over inside taps of w * (x / 255 - mean) / std + bias, w / (255 std) rounded: see docs/format.md."""
    mean, std = np.asarray(preprocessing.mean, np.float64), np.asarray(preprocessing.std, np.float64)
    weight = net.constant(node, "weight")
    less = MAX_U8 * mean  # what a pixel has to be less by
    # Of an output's sum a weight's part is |w| * 255, and |w| * |less| in the offset, which is rounded once a tap.
    reach = _Reach(weight.shape, MAX_U8 + np.abs(less), weight.shape[1] * weight.shape[2] / 2)
    q, scale = _rounded(distinct(weight) / (MAX_U8 * std), reach, bits, net.origin[node.name])
    offset = np.rint((q * less).sum(axis=3)).astype(np.int32)
    constants = {"weight": np.broadcast_to(q, weight.shape), "offset": np.broadcast_to(offset, weight.shape[:3])}
    _become(net, node, "conv_u8", image, constants, scale)


def _quantized(net: Network, node: Node) -> None:
    weight = net.constant(node, "weight")
    reach = _Reach(weight.shape, np.array([MAX_I8], np.float64), 0.0)
    q, scale = _rounded(distinct(weight), reach, 8, net.origin[node.name])
    op = "linear_i8" if node.op == "linear_f32" else "conv_i8"
    _become(net, node, op, _quantize(net, node), {"weight": np.broadcast_to(q, weight.shape)}, scale)


@dataclass(frozen=True, eq=False)
class _Reach:
    """How far the sum of one output can go, given its weights.

    `shape` is that of all weights; one of 1 in channel c moves a sum by at most `most[c]`; `extra` comes on top.
    """

    shape: tuple[int, ...]
    most: Real
    extra: float

    def levels(self, row: Real, where: str) -> float:
        """How many levels the weights of one output may have: |q| <= levels * |w| / max|w| + 1/2 keeps to int32.

        `row` may have length 1 along axes that repeat.
        """
        products = prod(self.shape[1:])
        largest = row.max()
        room = MAX_SUM - products * float(self.most.mean()) / 2 - self.extra
        reach = products * float((row * self.most).mean()) / largest if largest > 0 else 1.0
        levels = np.floor(room / reach * (1 - _MARGIN))
        if levels < 1:
            raise ReactnetError(
                f"{where}: a sum of {products} products leaves int32 at any scale", hint="compile with ends='float'"
            )
        return float(levels)


def _rounded(weight: Real, reach: _Reach, bits: int, where: str) -> tuple[NDArray[np.signedinteger[Any]], Real]:
    """Integers q and a scale for each output, weight ~ q * scale, such that no sum can leave int32.

    One output at a time: the weights of a large linear layer are a gigabyte in float64.
    """
    q = np.zeros(weight.shape, _DTYPES[bits])
    scale = np.zeros(len(weight))
    for output, row in enumerate(weight):
        magnitude = np.abs(row)
        levels = min(_LEVELS[bits], reach.levels(magnitude, where))
        with np.errstate(over="ignore", under="ignore"):  # infinite: `to_graph` refuses it, naming the layer
            scale[output] = np.float32(magnitude.max() / levels)
        if scale[output] > 0:  # else the weights are 0, or vanish in float32
            q[output] = np.clip(np.rint(row / scale[output]), -levels, levels)
    return q, scale


def _become(net: Network, node: Node, op: str, source: str, constants: dict[str, Array], scale: Real) -> None:
    """Put the integer layer in the real one's place, under its name."""
    outputs = len(constants["weight"])
    bias = net.constant(node, "bias") if "bias" in node.constants else np.zeros(outputs)
    attributes = {key: value for key, value in node.attributes.items() if op != "conv_u8" or key != "groups"}
    constants = {**constants, "scale": np.broadcast_to(scale, (outputs,)), "bias": bias}
    for tensor in node.constants.values():
        del net.constants[tensor]
    roles = {role: f"{node.name}.{role}" for role in constants}
    net.constants.update({roles[role]: value for role, value in constants.items()})
    net.replace(node, op=op, inputs=(source,), attributes=attributes, constants=roles)


def _quantize(net: Network, reader: Node) -> str:
    """The 8-bit form of what `reader` reads: one node for all that read it, before the first."""
    (source,) = reader.inputs
    for node in net.nodes:
        if node.op == "quantize" and node.inputs == (source,):
            return node.name
    name = f"{source}.quantize"
    taken = net.by_name()
    while name in taken:
        name += "_"
    at = next(i for i, node in enumerate(net.nodes) if node.name == reader.name)
    net.add("quantize", source, name, origin=net.origin[reader.name])
    net.nodes.insert(at, net.nodes.pop())
    return name


def _half(weight: Array) -> Array:
    """The weights as float16 where that is near, else as they are."""
    values = distinct(weight)
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    axes = tuple(range(1, values.ndim))
    moved = np.abs(half.astype(np.float64) - values).max(axis=axes)
    near = bool(np.all(moved <= HALF_STEP * np.abs(values).max(axis=axes)))
    return np.broadcast_to(half, weight.shape) if near else weight
