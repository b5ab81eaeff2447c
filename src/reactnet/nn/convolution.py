"""The binary convolution as one function, which keeps neither the signs of its weight nor four bytes a binary input."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from reactnet.nn.binarize import latent_gradient, signs_of
from reactnet.nn.one_bit import is_one_bit


@dataclass(frozen=True)
class Geometry:
    """Where a binary convolution looks, and how its latent weight learns; see `BinaryConv2d`."""

    stride: tuple[int, int]
    padding: tuple[int, int]  # with zeros
    groups: int
    window: float
    scaled_gradient: bool


def binary_convolution(x: Tensor, weight: Tensor, scale: Tensor | None, geometry: Geometry) -> Tensor:
    """Convolve `x` with the signs of `weight` and multiply each output channel by its `scale`, which is not trained.

    Backward: the gradients of x and of the signs are those of the scaled convolution. That of the latent weight is the
    signs' where |weight| <= window, divided by the scale again unless `scaled_gradient`: y = scale * sum makes it
    multiply both gradients, which is right for x, but the published code leaves it out of the weight's.

    Shape: (N, in, H, W), (out, in / groups, kh, kw), (out, 1, 1, 1) -> (N, out, H', W').
    Memory: `x` is kept, as int8 if it is noted to be one-bit (see `one_bit`); of `weight`, only itself.
    """
    out: Tensor = _BinaryConvolution.apply(x, weight, scale, geometry, is_one_bit(x))  # type: ignore[no-untyped-call]
    return out


class _BinaryConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor | None, geometry: Geometry, one_bit: bool) -> Tensor:
        kept = x.to(torch.int8) if one_bit and ctx.needs_input_grad[1] else x
        ctx.save_for_backward(kept, weight, scale)
        signs = signs_of(weight)
        out = F.conv2d(x, signs, stride=geometry.stride, padding=geometry.padding, groups=geometry.groups)
        # Under autocast, `out` is in half precision, and so must its backward be.
        ctx.geometry, ctx.dtype, ctx.computed_in = geometry, x.dtype, out.dtype
        if scale is None:
            return out
        scale = scale.view(1, -1, 1, 1)
        # There the product is, as everywhere in torch, in the wider dtype.
        return out.mul_(scale) if out.dtype == scale.dtype else out * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        x, weight, scale = ctx.saved_tensors
        at: Geometry = ctx.geometry
        grad = grads[0] if scale is None else grads[0] * scale.view(1, -1, 1, 1)
        signs = signs_of(weight)
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        for_x, for_signs, _ = torch.ops.aten.convolution_backward(
            grad.to(ctx.computed_in), x.to(ctx.computed_in), signs.to(ctx.computed_in), None,
            at.stride, at.padding, (1, 1), False, (0, 0), at.groups, wanted,
        )  # fmt: skip
        for_weight = None
        if for_signs is not None:
            for_signs = for_signs.to(weight.dtype)
            if scale is not None and not at.scaled_gradient:
                for_signs.div_(scale.masked_fill(scale == 0, math.inf))  # in place: as large as the weight
            for_weight = latent_gradient(for_signs, weight, at.window, None)
        return (None if for_x is None else for_x.to(ctx.dtype)), for_weight, None, None, None
