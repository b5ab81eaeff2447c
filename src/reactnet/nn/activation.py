"""The activations of binary networks: signs, plain and with a learned threshold, and a PReLU that is moved about."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reactnet.nn.binarize import approx_sign, weight_sign

Gradient = Literal["quadratic", "identity"]
"""What stands in for the derivative of a sign: that of `approx_sign`, or 1 where |x| <= window ("straight through")."""


class Sign(nn.Module):
    """Binarize to exactly -1 or +1 at zero, without a parameter.

    Computes +1 where x >= 0, else -1. The gradient is `approx_sign`'s for `gradient="quadratic"` and 1 inside the
    window for "identity"; both are 0 outside |x| <= window.

    With `binarize` False (the real-valued twin) it is the identity. Not in the state dict.

    Shape: any, kept.
    """

    def __init__(self, *, window: float = 1.0, gradient: Gradient = "quadratic") -> None:
        super().__init__()
        self.window = window
        self.gradient = gradient
        self.binarize = True

    def forward(self, x: Tensor) -> Tensor:
        return _sign(x, self.window, self.gradient) if self.binarize else x

    def extra_repr(self) -> str:
        return f"window={self.window:g}, gradient={self.gradient}, binarize={self.binarize}"


class RSign(nn.Module):
    """Binarize to exactly -1 or +1 at a learned per-channel threshold.

    Computes `approx_sign(x + shift)`; a zero counts as +1, so every output fits in one bit. The paper writes the
    threshold as alpha, sign(x - alpha): `shift` is -alpha, so that deployment adds, as training does.

    With `binarize` False (the real-valued twin) the sign is the identity: x + shift. Not in the state dict.

    Shape: (N, C, H, W) -> (N, C, H, W). `shift` is (C,), 0 at first. `window` and `gradient`: see `Sign`.
    """

    def __init__(self, channels: int, *, window: float = 1.0, gradient: Gradient = "quadratic") -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.window = window
        self.gradient = gradient
        self.binarize = True

    def forward(self, x: Tensor) -> Tensor:
        shifted = x + self.shift.view(1, -1, 1, 1)
        return _sign(shifted, self.window, self.gradient) if self.binarize else shifted

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
        return F.prelu(x + self.shift_in.view(1, -1, 1, 1), self.slope) + self.shift_out.view(1, -1, 1, 1)

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


def _sign(x: Tensor, window: float, gradient: Gradient) -> Tensor:
    # weight_sign's gradient is the straight-through one: what it is called with here is no weight.
    return approx_sign(x, window=window) if gradient == "quadratic" else weight_sign(x, window=window)
