"""What a graph costs, a layer at a time: binary and real operations and bytes.

Two conventions stand side by side.

The paper's: `bops` are the multiply-accumulates of binary convolutions, padded taps included; `flops` those of real
convolutions and linear layers; `ops` = flops + bops / 64. Nothing else counts.

The model zoos' (`flops_full`): a convolution is its MACs plus one addition an output where it has a bias; a linear
layer its MACs; an activation (relu, prelu, sigmoid, hard_sigmoid, clip, abs, sign, quantize) one operation an element;
a pool one an input element; an affine two an element, or one where every scale is 1 (a learned shift); a binary
convolution its MACs / 64. Additions, products, joins and normalisation of pixels count nothing.

Count the unfolded graph: folding merges the layers that `flops_full` tells apart.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from reactnet.graph.check import check
from reactnet.graph.graph import Graph, Node, Value
from reactnet.graph.tensor import WORD

_CONVS = ("conv_f32", "conv_u8", "conv_i8", "bconv2d")
_LINEARS = ("linear_f32", "linear_i8")
_ACTIVATIONS = ("relu", "prelu", "sigmoid", "hard_sigmoid", "clip", "abs", "sign", "quantize")
_POOLS = ("avg_pool", "max_pool", "adaptive_avg_pool", "global_avg_pool")


@dataclass(frozen=True)
class LayerCost:
    """One node. `flops_full` is whole but for binary convolutions; `weight_bytes` are its tensors' as in the file."""

    name: str
    op: str
    output_shape: tuple[int, int, int]
    binary: bool
    macs: int
    bops: int
    flops: int
    flops_full: float
    weight_bytes: int


@dataclass(frozen=True)
class Cost:
    """Totals over the layers, for one image."""

    layers: tuple[LayerCost, ...]
    bops: int
    flops: int
    ops: float
    flops_full: float
    weight_bytes: int


def cost(graph: Graph) -> Cost:
    """The cost of one image through the graph; a tensor shared by two nodes counts its bytes at the first."""
    values = check(graph)
    seen: set[str] = set()
    layers = []
    for node in graph.nodes:
        fresh = {name for name in node.constants.values() if name not in seen}
        seen |= fresh
        layers.append(_layer(graph, node, values, sum(graph.constants[name].nbytes for name in fresh)))
    bops, flops = sum(layer.bops for layer in layers), sum(layer.flops for layer in layers)
    return Cost(
        layers=tuple(layers),
        bops=bops,
        flops=flops,
        ops=flops + bops / WORD,
        flops_full=sum(layer.flops_full for layer in layers),
        weight_bytes=sum(layer.weight_bytes for layer in layers),
    )


def _layer(graph: Graph, node: Node, values: dict[str, Value], weight_bytes: int) -> LayerCost:
    shape = values[node.name].shape
    source = values[node.inputs[0]].shape
    binary = node.op == "bconv2d"
    macs = _macs(graph, node, source, shape)
    return LayerCost(
        name=node.name,
        op=node.op,
        output_shape=shape,
        binary=binary,
        macs=macs,
        bops=macs if binary else 0,
        flops=0 if binary else macs,
        flops_full=_full(graph, node, macs, prod(source), prod(shape)),
        weight_bytes=weight_bytes,
    )


def _macs(graph: Graph, node: Node, source: tuple[int, int, int], shape: tuple[int, int, int]) -> int:
    if node.op in _LINEARS:
        return prod(source) * shape[2]
    if node.op in _CONVS:
        weight = graph.constant(node, "weight")
        assert weight is not None
        groups = node.attributes.get("groups", 1)
        assert isinstance(groups, int)
        kernel_h, kernel_w = weight.shape[1:3]
        return prod(shape) * int(kernel_h) * int(kernel_w) * (source[2] // groups)
    return 0


def _full(graph: Graph, node: Node, macs: int, inputs: int, outputs: int) -> float:
    if node.op == "bconv2d":
        return macs / WORD
    if node.op in _CONVS:
        return macs + (outputs if "bias" in node.constants else 0)
    if node.op in _LINEARS:
        return macs
    if node.op in _ACTIVATIONS:
        return outputs
    if node.op in _POOLS:
        return inputs
    if node.op == "affine":
        scale = graph.constant(node, "scale")
        return outputs if np.all(scale == 1) else 2 * outputs
    return 0
