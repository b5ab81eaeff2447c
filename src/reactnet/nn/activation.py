"""The activations of binary networks: signs, plain and with a learned threshold, and a PReLU that is moved about."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.nn.binarize import positive, shifted_sign
from reactnet.nn.one_bit import note_one_bit
from reactnet.nn.rprelu import rprelu

Gradient = Literal["quadratic", "identity", "quadratic_rms"]
"""What stands in for the derivative of an activation's sign, with k = window and u what the sign is taken of:

quadratic       (2/k) (1 - |u|/k) where |u| < k: `approx_sign`'s
identity        1 where |u| <= k: "straight through"
quadratic_rms   as quadratic, but k = window * rms, and rms the running root mean square of u in this layer

All are 0 elsewhere. The third keeps the gradient where the activations are, however large the stream grows.
"""

GRADIENTS: tuple[Gradient, ...] = ("quadratic", "identity", "quadratic_rms")
MOMENTUM = 0.01  # the share of each batch in the running mean square


class _Binarizer(nn.Module):
    """What `Sign` and `RSign` share: the switch, and the gradient with what it needs to know.

    `mean_square` is a running statistic of training with "quadratic_rms", 0 before its first batch, which sets it. It
    is not in the state dict, since nothing but the gradient depends on it; `gradient_state` saves it. `join`, where it
    is set, makes the mean over all processes of one process's mean and the number of values in it.
    """

    mean_square: Tensor

    def __init__(self, window: float, gradient: Gradient) -> None:
        super().__init__()
        self.window = window
        self.gradient = gradient
        self.binarize = True
        self.join: Callable[[Tensor, int], Tensor] | None = None
        self.register_buffer("mean_square", torch.zeros(()), persistent=False)

    def _sign(self, x: Tensor, shift: Tensor | None) -> Tensor:
        positive(type(self).__name__, self.window)
        if self.gradient not in GRADIENTS:
            raise ReactnetError(
                f"{type(self).__name__}: unknown gradient {self.gradient!r}", hint=f"choose from {', '.join(GRADIENTS)}"
            )
        if self.gradient == "quadratic_rms":
            if self.training and torch.is_grad_enabled():
                self._measure(x, shift)
            return note_one_bit(shifted_sign(x, shift, window=self._reach()))
        return note_one_bit(shifted_sign(x, shift, window=self.window, curve=self.gradient))

    def _reach(self) -> Tensor:
        return torch.where(self.mean_square > 0, self.mean_square, 1).sqrt() * self.window

    @torch.no_grad()
    def _measure(self, x: Tensor, shift: Tensor | None) -> None:
        moved = x if shift is None else x + shift.view(1, -1, 1, 1)
        moved = moved.to(torch.promote_types(moved.dtype, torch.float32))
        now = moved.square().mean()
        if self.join is not None:
            now = self.join(now, moved.numel())
        before = self.mean_square
        self.mean_square.copy_(torch.where(before > 0, before + MOMENTUM * (now - before), now))


class Sign(_Binarizer):
    """Binarize to exactly -1 or +1 at zero, without a parameter.

    Computes +1 where x >= 0, else -1. `gradient` and its `window`: see `Gradient`.

    With `binarize` False (the real-valued twin) it is the identity. Not in the state dict.

    Shape: any, kept.
    """

    def __init__(self, *, window: float = 1.0, gradient: Gradient = "quadratic") -> None:
        super().__init__(window, gradient)

    def forward(self, x: Tensor) -> Tensor:
        return self._sign(x, None) if self.binarize else x

    def extra_repr(self) -> str:
        return f"window={self.window:g}, gradient={self.gradient}, binarize={self.binarize}"


class RSign(_Binarizer):
    """Binarize to exactly -1 or +1 at a learned per-channel threshold.

    Computes `approx_sign(x + shift)`; a zero counts as +1, so every output fits in one bit. The paper writes the
    threshold as alpha, sign(x - alpha): `shift` is -alpha, so that deployment adds, as training does.

    With `binarize` False (the real-valued twin) the sign is the identity: x + shift. Not in the state dict.

    Shape: (N, C, H, W) -> (N, C, H, W). `shift` is (C,), 0 at first. `gradient` and its `window`: see `Gradient`.
    """

    def __init__(self, channels: int, *, window: float = 1.0, gradient: Gradient = "quadratic") -> None:
        super().__init__(window, gradient)
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self._sign(x, self.shift) if self.binarize else x + self.shift.view(1, -1, 1, 1)

    def extra_repr(self) -> str:
        return f"{self.shift.numel()}, window={self.window:g}, gradient={self.gradient}, binarize={self.binarize}"


class RPReLU(nn.Module):
    """PReLU that is moved along both axes, each by a learned per-channel amount.

    Computes `prelu(x + shift_in, slope) + shift_out`. The paper writes x - gamma, slope beta and + zeta: `shift_in`
    is -gamma, `shift_out` is zeta.

    Shape: (N, C, H, W) -> (N, C, H, W). Each parameter is (C,); both shifts are 0 and `slope` is 0.25 at first.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift_in = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.shift_out = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return rprelu(x, self.shift_in, self.slope, self.shift_out)

    def extra_repr(self) -> str:
        return f"{self.slope.numel()}"


class Blend(nn.Module):
    """Mix two tensors by a learned ratio a channel: ratio * a + (1 - ratio) * b.

    The ratio is clipped to [0, 1] as it is used. Shape: two of (N, C, H, W) -> (N, C, H, W). `ratio` is (C,), 0.5 at
    first. Source: BNext (arXiv 2211.12933), whose gates look at input and output at once.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ratio = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        ratio = self.ratio.clamp(0, 1).view(1, -1, 1, 1)
        return ratio * a + (1 - ratio) * b

    def extra_repr(self) -> str:
        return f"{self.ratio.numel()}"
