"""The two binarizers, one for activations and one for weights, each with the gradient that trains through it.

Both compute +1 where the input is >= 0 and -1 elsewhere: zero and -0.0 give +1, NaN gives -1. They compare and never
read the sign bit, so the outputs are exactly -1 and +1 in every dtype, and autocast has nothing to change.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from reactnet.errors import ReactnetError

Curve = Literal["quadratic", "identity"]
"""What stands in for the derivative of a sign within the window; see `approx_sign` and `straight_sign`."""


def approx_sign(x: Tensor, *, window: float = 1.0) -> Tensor:
    """Binarize activations; the gradient is that of a piecewise-quadratic curve through the step.

    Forward: +1 where x >= 0, else -1. Backward, with k = `window`: inside |x| < k the curve is

        F(x) = 2 (x/k) - sign(x) (x/k)^2,   so that   dF/dx = (2/k) (1 - |x|/k),

    and outside (or at NaN) the derivative is 0. F joins -1 at -k to +1 at +k with flat ends: whatever k is, the
    derivative's area is 2, the height of the step. With k = 1 it is 2 - 2|x|.

    Shape: any, kept, as is the dtype. Memory: `x` alone is saved for backward.
    Source: Bi-Real Net (ECCV 2018) for k = 1, which ReActNet (arXiv 2003.03488) took over.
    """
    return shifted_sign(x, None, window=window)


def shifted_sign(
    x: Tensor, shift: Tensor | None, *, window: float | Tensor = 1.0, curve: Curve = "quadratic"
) -> Tensor:
    """The sign of x + shift, a shift a channel, with a curve's gradient for both; what `RSign` and `Sign` compute.

    `curve` "quadratic" is `approx_sign`'s; "identity" has derivative 1 where |x + shift| <= window and 0 elsewhere.
    `window` may be a tensor of one positive number, which gets no gradient.

    Shape: x (N, C, ...), shift (C,) or None -> as x, in the dtype of x + shift. Memory: `x` is saved, not the sum.
    """
    if not isinstance(window, Tensor):
        positive("approx_sign", window)
    out: Tensor = _ShiftedSign.apply(x, shift, window, curve)  # type: ignore[no-untyped-call]
    return out


def weight_sign(w: Tensor, *, window: float = 1.0, gradient_divisor: Tensor | None = None) -> Tensor:
    """Binarize latent weights; the gradient passes where |w| <= `window` and is 0 elsewhere.

    `gradient_divisor`, broadcastable to `w`, divides the gradient that passes. `BinaryConv2d` hands in its scale, to
    take it out of a gradient that it has already been multiplied into; where the divisor is 0, the gradient is 0.

    Shape: any, kept, as is the dtype. Memory: nothing but the arguments themselves is saved for backward.
    """
    out: Tensor = _WeightSign.apply(w, positive("weight_sign", window), gradient_divisor)  # type: ignore[no-untyped-call]
    return out


def positive(where: str, window: float) -> float:
    """`window`, or ReactnetError if it is not above 0."""
    if not window > 0:
        raise ReactnetError(
            f"{where}: window is {window}", hint="the window is where the gradient passes: give a number above 0"
        )
    return window


def to_signs_(x: Tensor) -> Tensor:
    """Overwrite `x` with its signs.

    In place and in floats, since torch compares into booleans, and selects by them, without vector instructions: ten
    times slower. [x >= 0] is 0 or 1, and the threshold turns 0 into -1: two passes over memory.
    """
    return torch.threshold_(x.ge_(0), 0.5, -1.0)


def signs_of(x: Tensor) -> Tensor:
    """The signs of `x`, detached: `to_signs_` of a copy, with the copy's pass saved."""
    x = x.detach()
    if torch.compiler.is_compiling():  # which makes one pass of anything, and wants it plain
        return to_signs_(x.clone())
    return torch.threshold_(torch.ge(x, 0, out=torch.empty_like(x)), 0.5, -1.0)


def latent_gradient(grad: Tensor, w: Tensor, window: float, divisor: Tensor | None) -> Tensor:
    """`weight_sign`'s gradient for the gradient `grad` of the signs. Shape: that of `w`."""
    if divisor is not None:
        grad = grad / divisor.masked_fill(divisor == 0, math.inf)
    if w.device.type == "cpu" and not torch.compiler.is_compiling():
        # To look whether all lie within, as they mostly do, is one pass that writes nothing; the mask takes three.
        low, high = torch.aminmax(w)
        if low >= -window and high <= window:  # not so where one is NaN
            return grad
    return _identity(grad, w, window)


def along_channels(values: Tensor, x: Tensor) -> Tensor:
    """A vector over the channels as a view that broadcasts against `x`."""
    return values.view(1, -1, *(1,) * (x.dim() - 2))


class _ShiftedSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: Tensor | None, window: float | Tensor, curve: Curve) -> Tensor:
        tensors = (x, shift, window) if isinstance(window, Tensor) else (x, shift)
        ctx.save_for_backward(*tensors)
        ctx.window = None if isinstance(window, Tensor) else window
        ctx.curve = curve
        return signs_of(x) if shift is None else to_signs_(x + along_channels(shift, x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x, shift, *rest = ctx.saved_tensors
        window: float | Tensor = rest[0] if rest else ctx.window
        moved = x if shift is None else x + along_channels(shift, x)
        grad = (_quadratic if ctx.curve == "quadratic" else _identity)(grads[0], moved, window)
        if shift is None or not ctx.needs_input_grad[1]:
            return grad.to(x.dtype), None, None, None
        return grad.to(x.dtype), grad.sum([0, *range(2, x.dim())]).to(shift.dtype), None, None


def _quadratic(grad: Tensor, x: Tensor, window: float | Tensor) -> Tensor:
    unit = isinstance(window, float | int) and window == 1
    # In place, and 2 - 2|x| in one step where that is the whole formula: the same bits as (2/k) (1 - |x|/k).
    tent = x.abs() if unit else (x / window).abs_()
    tent = tent.mul_(-2).add_(2) if unit else tent.neg_().add_(1).mul_(2 / window)
    # Infinity is far outside the window, and NaN counts as outside. (torch.where would take ten times as long.)
    return tent.nan_to_num_(nan=0.0, neginf=0.0).clamp_(min=0).mul_(grad)


def _identity(grad: Tensor, x: Tensor, window: float | Tensor) -> Tensor:
    # The mask in floats, as in to_signs_; at NaN the comparison is false.
    return x.abs().le_(window).mul_(grad)


class _WeightSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, window: float, gradient_divisor: Tensor | None) -> Tensor:
        ctx.save_for_backward(w, gradient_divisor)
        ctx.window = window
        return signs_of(w)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        w, divisor = ctx.saved_tensors
        return latent_gradient(grads[0], w, ctx.window, divisor), None, None
