"""The right answer for every graph: slow, in NumPy, exact to the bit (docs/format.md, section 3).

Float sums run tap by tap over whole maps, so each output adds in the written order; only sums of integers, which are
exact in any order, go through a matrix product.
"""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactnet.errors import ReactnetError
from reactnet.graph.check import accepts_f32, check
from reactnet.graph.graph import Graph, Node
from reactnet.graph.ops import number, pair
from reactnet.graph.reference_conv import bconv2d, conv_f32, conv_i8, conv_u8, linear_f32, linear_i8
from reactnet.graph.reference_map import (
    Array,
    Quantized,
    activation,
    adaptive_avg_pool,
    avg_pool,
    max_pool,
    normalize,
    quantize,
    rearrange,
)
from reactnet.graph.tensor import unpack_bits

Result = Array | Quantized
_NAN = np.array(0x7FC00000, np.uint32).view(np.float32)


def run_reference(graph: Graph, images: NDArray[Any]) -> NDArray[np.float32]:
    """Logits of a batch of images.

    `images` is uint8 (N, H, W, C) or, where the graph takes them, float32 of the same shape after normalisation.

    Shape: (N, H, W, C) -> (N, classes).
    """
    values = _run(graph, images, keep=False)
    logits = values[graph.output]
    assert not isinstance(logits, Quantized)
    flat = logits.reshape(len(images), logits.shape[3]).astype(np.float32)
    return np.where(np.isnan(flat), _NAN, flat)


def run_values(graph: Graph, images: NDArray[Any]) -> dict[str, Result]:
    """The value of every node for the batch, in order; NaNs as they came.

    f32: float32 (N, H, W, C). bits: int8 (N, H, W, C) of -1 and +1. i8: `Quantized` (int8 values, a scale an image).
    """
    return _run(graph, images, keep=True)


def _run(graph: Graph, images: NDArray[Any], *, keep: bool) -> dict[str, Result]:
    check(graph)
    _check_images(graph, images)
    tiny = np.array([1e-38], np.float32)
    if np.multiply(tiny, np.float32(0.1))[0] == 0:
        raise ReactnetError(
            "this thread flushes tiny numbers to zero, which changes results",
            hint="undo torch.set_flush_denormal(True) or whatever else set it",
        )
    left = Counter(name for node in graph.nodes for name in node.inputs)
    values: dict[str, Result] = {graph.input_name: images}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            if node.op == "normalize" and images.dtype == np.float32:
                values[node.name] = images
            else:
                values[node.name] = run_node(graph, node, inputs)
            for name in node.inputs:
                left[name] -= 1
                if left[name] == 0 and not keep:
                    del values[name]
    values.pop(graph.input_name, None)
    return values


def _check_images(graph: Graph, images: NDArray[Any]) -> None:
    wanted = f"uint8 [N, {', '.join(str(side) for side in graph.input_shape)}]"
    if images.ndim != 4 or images.shape[1:] != tuple(graph.input_shape):
        raise ReactnetError(f"images have shape {list(images.shape)}", hint=f"give {wanted}")
    if images.dtype == np.uint8:
        return
    if images.dtype != np.float32:
        raise ReactnetError(f"images are {images.dtype}", hint=f"give {wanted}")
    if not accepts_f32(graph):
        raise ReactnetError("images are float32, but this graph's arithmetic starts at pixels", hint=f"give {wanted}")
    if not np.isfinite(images).all():
        raise ReactnetError("images hold a NaN or an infinity", hint="give finite numbers")


def run_node(graph: Graph, node: Node, inputs: list[Result]) -> Result:
    """One node's value from its inputs' values, for a batch. The graph is taken as checked."""
    constants = {role: graph.constants[name] for role, name in node.constants.items()}
    for role, array in constants.items():
        if array.dtype == np.float16:
            constants[role] = array.astype(np.float32)
    first, attributes = inputs[0], node.attributes
    if isinstance(first, Quantized):
        weight, scale, bias = constants["weight"], constants["scale"], constants["bias"]
        if node.op == "linear_i8":
            return linear_i8(first, weight, scale, bias)
        return conv_i8(first, weight, scale, bias, attributes)
    match node.op:
        case "normalize":
            return normalize(first, constants["table"])
        case "conv_f32":
            return conv_f32(first, constants["weight"], constants.get("bias"), attributes)
        case "conv_u8":
            return conv_u8(first, constants, attributes)
        case "linear_f32":
            return linear_f32(first, constants["weight"], constants.get("bias"))
        case "quantize":
            return quantize(first)
        case "bconv2d":
            positive = unpack_bits(constants["weight"], first.shape[3] // number(attributes, "groups"))
            return bconv2d(first, np.where(positive, np.float32(1), np.float32(-1)), attributes)
        case "avg_pool":
            return avg_pool(first, attributes)
        case "max_pool":
            return max_pool(first, attributes)
        case "adaptive_avg_pool":
            return adaptive_avg_pool(first, *pair(attributes, "size"))
        case "global_avg_pool":
            return adaptive_avg_pool(first, 1, 1)
        case "add" | "mul" | "concat" | "slice" | "repeat":
            return rearrange(node.op, [value for value in inputs if not isinstance(value, Quantized)], attributes)
        case _:
            return activation(node.op, first, constants)
