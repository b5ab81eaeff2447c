"""The two binarizers, one for activations and one for weights, each with the gradient that trains through it.

Both compute +1 where the input is >= 0 and -1 elsewhere: zero and -0.0 give +1, NaN gives -1. They compare and never
read the sign bit, so the outputs are exactly -1 and +1 in every dtype, and autocast has nothing to change.
"""

from typing import Any

import torch
from torch import Tensor

from reactnet.errors import ReactnetError


def approx_sign(x: Tensor, *, window: float = 1.0) -> Tensor:
    """Binarize activations; the gradient is that of a piecewise-quadratic curve through the step.

    Forward: +1 where x >= 0, else -1. Backward, with k = `window`: inside |x| < k the curve is

        F(x) = 2 (x/k) - sign(x) (x/k)^2,   so that   dF/dx = (2/k) (1 - |x|/k),

    and outside (or at NaN) the derivative is 0. F joins -1 at -k to +1 at +k with flat ends: whatever k is, the
    derivative's area is 2, the height of the step. With k = 1 it is 2 - 2|x|.

    Shape: any, kept, as is the dtype. Memory: `x` alone is saved for backward.
    Source: Bi-Real Net (ECCV 2018) for k = 1, which ReActNet (arXiv 2003.03488) took over.
    """
    out: Tensor = _ApproxSign.apply(x, _positive("approx_sign", window))  # type: ignore[no-untyped-call]
    return out


def weight_sign(w: Tensor, *, window: float = 1.0, gradient_divisor: Tensor | None = None) -> Tensor:
    """Binarize latent weights; the gradient passes where |w| <= `window` and is 0 elsewhere.

    `gradient_divisor`, broadcastable to `w`, divides the gradient that passes. `BinaryConv2d` hands in its scale, to
    take it out of a gradient that it has already been multiplied into; where the divisor is 0, the gradient is 0.

    Shape: any, kept, as is the dtype. Memory: nothing but the arguments themselves is saved for backward.
    """
    out: Tensor = _WeightSign.apply(w, _positive("weight_sign", window), gradient_divisor)  # type: ignore[no-untyped-call]
    return out


def _positive(where: str, window: float) -> float:
    if not window > 0:
        raise ReactnetError(
            f"{where}: window is {window}", hint="the window is where the gradient passes: give a number above 0"
        )
    return window


def _sign(x: Tensor) -> Tensor:
    # 2 * [x >= 0] - 1 is exact in every dtype; torch.where with two Python numbers would return the default dtype.
    return (x >= 0).to(x.dtype).mul_(2).sub_(1)


class _ApproxSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, window: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.window = window
        return _sign(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        distance = x.abs() / ctx.window
        # Selected, not multiplied by a mask: an infinite or NaN `x` must give 0, and inf * 0 would not.
        return torch.where(distance < 1, grads[0] * ((2 / ctx.window) * (1 - distance)), 0), None


class _WeightSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, window: float, gradient_divisor: Tensor | None) -> Tensor:
        ctx.save_for_backward(w, gradient_divisor)
        ctx.window = window
        return _sign(w)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        w, divisor = ctx.saved_tensors
        grad, passes = grads[0], w.abs() <= ctx.window
        if divisor is not None:
            grad, passes = grad / divisor, passes & (divisor != 0)
        return torch.where(passes, grad, 0), None, None
