"""What each class of layer becomes: a table from class to rule. The compiler's half of "a layer knows no deployment".

A rule appends nodes to the network for one call of one module and returns the name of the value. Layouts change here:
(O, I, kh, kw) weights become (O, kh, kw, I), and columns of a linear layer behind a flatten go from C H W to H W C.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reactnet.compiler.network import Network, check_finite
from reactnet.errors import ReactnetError
from reactnet.graph import pack_bits
from reactnet.graph.graph import Attribute, Shape
from reactnet.nn import BinaryConv2d, Blend, RPReLU, RSign, Sign

Real = NDArray[np.float64]


@dataclass(frozen=True)
class Call:
    """One call of a module: its path, the names of its inputs, and the (H, W, C) of its first input and its output.

    `flat_from` is the map's shape where the first input was flattened before.
    """

    path: str
    inputs: tuple[str, ...]
    shape: Shape
    out_shape: Shape
    flat_from: Shape | None = None


@dataclass
class Notes:
    """What lowering learns besides the nodes: paths of values that are signs, zeros among latent weights by layer."""

    zeros: dict[str, int] = field(default_factory=dict)
    bits: set[str] = field(default_factory=set)


Rule = Callable[[Network, Call, Any, Notes], str]


STAND_IN = 0.37
"""What every element of a tensor without data counts as: neither 0 nor 1, so that no layer looks like one that does
nothing, and folding makes of the network what it makes of a trained one."""


def real(tensor: Tensor) -> Real:
    """A parameter as float64; one on the meta device as `STAND_IN`, broadcast to its shape from a single number."""
    if tensor.is_meta:
        return np.broadcast_to(np.float64(STAND_IN), tuple(tensor.shape))
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy()


def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    """What torch lets stand for both sides."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def unsupported(path: str, what: str, hint: str) -> ReactnetError:
    """The error for a setting of a known layer that no op has."""
    return ReactnetError(f"{path}: {what}", hint=hint)


def shift(net: Network, call: Call, source: str, name: str, amount: Real) -> str:
    """Add a constant per channel: an affine with unit scale."""
    return net.add("affine", source, name, origin=call.path, constants={"scale": np.ones_like(amount), "shift": amount})


def _rsign(net: Network, call: Call, layer: RSign, notes: Notes) -> str:
    (source,) = call.inputs
    if not layer.binarize:
        return shift(net, call, source, call.path, real(layer.shift))
    notes.bits.add(call.path)
    return net.add("sign", source, call.path, origin=call.path, constants={"shift": real(layer.shift)})


def _sign(net: Network, call: Call, layer: Sign, notes: Notes) -> str:
    (source,) = call.inputs
    if not layer.binarize:
        return source
    notes.bits.add(call.path)
    return net.add("sign", source, call.path, origin=call.path, constants={"shift": np.zeros(call.shape[2])})


def _rprelu(net: Network, call: Call, layer: RPReLU, notes: Notes) -> str:
    x = shift(net, call, call.inputs[0], f"{call.path}.shift_in", real(layer.shift_in))
    x = net.add("prelu", x, f"{call.path}.prelu", origin=call.path, constants={"slope": real(layer.slope)})
    return shift(net, call, x, call.path, real(layer.shift_out))


def _blend(net: Network, call: Call, layer: Blend, notes: Notes) -> str:
    ratio = np.clip(real(layer.ratio), 0, 1)
    zero = np.zeros_like(ratio)
    a = net.add(
        "affine", call.inputs[0], f"{call.path}.first", origin=call.path, constants={"scale": ratio, "shift": zero}
    )
    b = net.add(
        "affine", call.inputs[1], f"{call.path}.second", origin=call.path, constants={"scale": 1 - ratio, "shift": zero}
    )
    return net.add("add", (a, b), call.path, origin=call.path)


def _binary_conv(net: Network, call: Call, layer: BinaryConv2d, notes: Notes) -> str:
    (source,) = call.inputs
    attributes: dict[str, Attribute] = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    if not layer.binarize:
        return _real_twin(net, call, layer, attributes)
    if source not in notes.bits:
        raise ReactnetError(
            f"{call.path}: BinaryConv2d reads '{source}', which is not a sign",
            hint="put an RSign or Sign right before it, or binarize activations too",
        )
    latent = real(layer.weight)
    check_finite(call.path, "weight", latent, latent)  # its sign would be packed without a word
    notes.zeros[call.path] = int((latent == 0).sum())
    bits = pack_bits(np.ascontiguousarray(latent.transpose(0, 2, 3, 1) >= 0))
    attributes["padding_value"] = int(layer.padding_value)
    name = f"{call.path}.sum" if layer.scale else call.path
    x = net.add("bconv2d", source, name, origin=call.path, attributes=attributes, constants={"weight": bits})
    if not layer.scale:
        return x
    # The scale is what the float32 layer multiplies by, so that torch and graph mean the same number.
    scale = real(layer.weight.detach().abs().mean(dim=(1, 2, 3)))
    return net.add("affine", x, call.path, origin=call.path, constants={"scale": scale, "shift": np.zeros_like(scale)})


def _real_twin(net: Network, call: Call, layer: BinaryConv2d, attributes: dict[str, Attribute]) -> str:
    """A binary convolution whose weights are still real. conv_f32 pads with zeros, so for another padding v:

    conv(x padded with v) = conv((x - v) padded with 0) + v * sum(w).
    """
    weight = real(layer.weight).transpose(0, 2, 3, 1)
    constants, (source,) = {"weight": weight}, call.inputs
    if layer.padding_value != 0 and layer.padding != (0, 0):
        source = shift(net, call, source, f"{call.path}.less", np.full(call.shape[2], -layer.padding_value))
        constants["bias"] = layer.padding_value * weight.sum(axis=(1, 2, 3))
    return net.add("conv_f32", source, call.path, origin=call.path, attributes=attributes, constants=constants)


def _conv(net: Network, call: Call, layer: nn.Conv2d, notes: Notes) -> str:
    if pair(layer.dilation) != (1, 1) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise unsupported(
            call.path,
            f"convolution with dilation {layer.dilation}, padding {layer.padding!r} of mode {layer.padding_mode!r}",
            "the packed file has dilation 1 and zero padding given as numbers",
        )
    attributes: dict[str, Attribute] = {
        "stride": pair(layer.stride),
        "padding": pair(layer.padding),
        "groups": layer.groups,
    }
    constants = {"weight": real(layer.weight).transpose(0, 2, 3, 1)}
    if layer.bias is not None:
        constants["bias"] = real(layer.bias)
    return net.add("conv_f32", call.inputs[0], call.path, origin=call.path, attributes=attributes, constants=constants)


def _linear(net: Network, call: Call, layer: nn.Linear, notes: Notes) -> str:
    if call.flat_from is None and call.shape[:2] != (1, 1):
        raise unsupported(call.path, f"a linear layer along the width of a map of {call.shape}", "flatten(1) the map")
    weight = real(layer.weight)
    if call.flat_from is not None:
        height, width, channels = call.flat_from
        weight = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(weight.shape)
    constants = {"weight": weight}
    if layer.bias is not None:
        constants["bias"] = real(layer.bias)
    return net.add("linear_f32", call.inputs[0], call.path, origin=call.path, constants=constants)


def _batch_norm(net: Network, call: Call, layer: nn.BatchNorm2d, notes: Notes) -> str:
    if layer.running_mean is None or layer.running_var is None:
        raise unsupported(call.path, "batch norm without running statistics", "keep track_running_stats=True")
    with np.errstate(invalid="ignore", divide="ignore"):  # a broken variance is refused with the constant that it makes
        scale = 1 / np.sqrt(real(layer.running_var) + layer.eps)
        amount = -real(layer.running_mean) * scale
        if layer.affine:
            weight, bias = real(layer.weight), real(layer.bias)
            scale, amount = scale * weight, amount * weight + bias
    return net.add("affine", call.inputs[0], call.path, origin=call.path, constants={"scale": scale, "shift": amount})


def _prelu(net: Network, call: Call, layer: nn.PReLU, notes: Notes) -> str:
    slope = np.broadcast_to(real(layer.weight), (call.shape[2],)).copy()
    return net.add("prelu", call.inputs[0], call.path, origin=call.path, constants={"slope": slope})


def _plain(op: str) -> Rule:
    def rule(net: Network, call: Call, layer: nn.Module, notes: Notes) -> str:
        return net.add(op, call.inputs[0], call.path, origin=call.path)

    return rule


def _clip(net: Network, call: Call, layer: nn.Hardtanh, notes: Notes) -> str:
    bounds = np.array([layer.min_val, layer.max_val], dtype=np.float64)
    return net.add("clip", call.inputs[0], call.path, origin=call.path, constants={"bounds": bounds})


def _nothing(net: Network, call: Call, layer: nn.Module, notes: Notes) -> str:
    return call.inputs[0]


def pool_attributes(
    path: str, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, *, counts_padding: bool = False
) -> dict[str, Any]:
    """The attributes of a pool; an average that counts its padding has no op."""
    stride = kernel if stride is None else stride
    if counts_padding and pair(padding) != (0, 0):
        raise unsupported(path, f"average pool that counts its padding {padding}", "give count_include_pad=False")
    return {"kernel": pair(kernel), "stride": pair(stride), "padding": pair(padding), "ceil_mode": bool(ceil_mode)}


def _avg_pool(net: Network, call: Call, layer: nn.AvgPool2d, notes: Notes) -> str:
    if layer.divisor_override is not None:
        raise unsupported(call.path, "average pool with divisor_override", "leave divisor_override out")
    attributes = pool_attributes(
        call.path,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.ceil_mode,
        counts_padding=layer.count_include_pad,
    )
    return net.add("avg_pool", call.inputs[0], call.path, origin=call.path, attributes=attributes)


def _max_pool(net: Network, call: Call, layer: nn.MaxPool2d, notes: Notes) -> str:
    if pair(layer.dilation) != (1, 1) or layer.return_indices:
        raise unsupported(call.path, "max pool with dilation or indices", "use a plain max pool")
    attributes = pool_attributes(call.path, layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
    return net.add("max_pool", call.inputs[0], call.path, origin=call.path, attributes=attributes)


def _adaptive(net: Network, call: Call, layer: nn.AdaptiveAvgPool2d, notes: Notes) -> str:
    height, width, _ = call.out_shape
    if (height, width) == (1, 1):
        return net.add("global_avg_pool", call.inputs[0], call.path, origin=call.path)
    if (height, width) == call.shape[:2]:
        return call.inputs[0]  # every bin holds one pixel: x / 1
    return net.add(
        "adaptive_avg_pool", call.inputs[0], call.path, origin=call.path, attributes={"size": (height, width)}
    )


LAYERS: dict[type[nn.Module], Rule] = {
    RSign: _rsign,
    Sign: _sign,
    RPReLU: _rprelu,
    Blend: _blend,
    BinaryConv2d: _binary_conv,
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.BatchNorm2d: _batch_norm,
    nn.PReLU: _prelu,
    nn.ReLU: _plain("relu"),
    nn.ReLU6: _clip,
    nn.Hardtanh: _clip,
    nn.Sigmoid: _plain("sigmoid"),
    nn.Hardsigmoid: _plain("hard_sigmoid"),
    nn.AvgPool2d: _avg_pool,
    nn.MaxPool2d: _max_pool,
    nn.AdaptiveAvgPool2d: _adaptive,
    nn.Dropout: _nothing,
    nn.Identity: _nothing,
}
