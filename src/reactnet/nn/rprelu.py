"""RPReLU as one function, which keeps one tensor for its backward."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from reactnet.nn.binarize import along_channels


def rprelu(x: Tensor, shift_in: Tensor, slope: Tensor, shift_out: Tensor) -> Tensor:
    """prelu(x + shift_in, slope) + shift_out, with a value of each a channel.

    Shape: (N, C, ...), three of (C,) -> (N, C, ...), in the dtype of x + shift_in. Memory: x + shift_in is saved.
    """
    out: Tensor = _RPReLU.apply(x, shift_in, slope, shift_out)  # type: ignore[no-untyped-call]
    return out


class _RPReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shift_in: Tensor, slope: Tensor, shift_out: Tensor) -> Tensor:
        moved = x + along_channels(shift_in, x)
        ctx.save_for_backward(moved, slope)
        ctx.dtypes = x.dtype, shift_in.dtype, shift_out.dtype
        out = torch.prelu(moved, slope.to(moved.dtype))
        shift_out = along_channels(shift_out, x)
        # Autocast on a GPU gives the PReLU in half precision, and the sum in the wider dtype.
        return out.add_(shift_out) if out.dtype == shift_out.dtype else out + shift_out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        moved, slope = ctx.saved_tensors
        (grad,), (x_dtype, in_dtype, out_dtype) = grads, ctx.dtypes
        positive = torch.ops.aten.threshold_backward(grad, moved, 0.0)  # grad where moved > 0, else 0
        negative = grad - positive  # the other part, exactly
        # One of the two terms is 0 everywhere, so this rounds as slope * grad does.
        inner = torch.addcmul(positive, negative, along_channels(slope.to(grad.dtype), grad))
        over = [0, *range(2, grad.dim())]
        return (
            inner.to(x_dtype),
            inner.sum(over).to(in_dtype),
            negative.mul_(moved).sum(over).to(slope.dtype),
            grad.sum(over).to(out_dtype),
        )
