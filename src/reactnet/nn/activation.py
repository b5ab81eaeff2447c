"""The two activations of ReActNet: a sign and a PReLU that learn where they bend."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reactnet.nn.binarize import approx_sign


class RSign(nn.Module):
    """Binarize to exactly -1 or +1 at a learned per-channel threshold.

    Computes `approx_sign(x + shift)`; a zero counts as +1, so every output fits in one bit. The paper writes the
    threshold as alpha, sign(x - alpha): `shift` is -alpha, so that deployment adds, as training does.

    With `binarize` False (the real-valued twin) the sign is the identity: x + shift. Not in the state dict.

    Shape: (N, C, H, W) -> (N, C, H, W). `shift` is (C,), 0 at first.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.binarize = True

    def forward(self, x: Tensor) -> Tensor:
        shifted = x + self.shift.view(1, -1, 1, 1)
        return approx_sign(shifted) if self.binarize else shifted

    def extra_repr(self) -> str:
        return f"{self.shift.numel()}, binarize={self.binarize}"


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
