"""The binary convolution: real latent weights in training, only their signs in the output."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.nn.binarize import positive
from reactnet.nn.convolution import Geometry, binary_convolution
from reactnet.nn.one_bit import is_one_bit, note_one_bit


class BinaryConv2d(nn.Module):
    """Convolve with the signs of the latent weight, then scale each output channel by the mean of |weight|.

    Computes `conv(x, weight_sign(weight)) * mean|weight|`, the mean over one output channel and detached. The scale
    comes after the sum, so where x is -1 or +1 the sums are exact integers in float32 (not in half precision: bf16
    misses integers past 256). `scale=False` leaves it out, for networks whose batch norm does the scaling.

    The scale never multiplies the latent gradient, as in the published code; `scaled_gradient=True` is the other
    school, in which it does. A channel whose latent weights are all 0 has scale 0: it outputs 0 and learns nothing.

    `window`: latent weights further than this from 0 get no gradient.
    `padding_value`: 0, or -1 or +1, which keeps the padded input one bit wide.
    `binarize` False (phase one, and the twin): a plain convolution with `weight`, no scale. Not in the state dict.

    Memory: of the signs of an `RSign` or `Sign` a byte each is kept for backward, of any other input all of it; the
    signs of the weight are computed again.

    Shape: (N, in, H, W) -> (N, out, H', W'); `weight` is (out, in / groups, kh, kw). Its first values are those of
    `nn.Conv2d`, uniform within 1 / sqrt(fan_in): phase one trains it as a real weight, and |w| <= 1 passes gradients.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        *,
        padding_value: float = 0.0,
        groups: int = 1,
        scale: bool = True,
        scaled_gradient: bool = False,
        window: float = 1.0,
        binarize: bool = True,
    ) -> None:
        super().__init__()
        _check(in_channels, out_channels, groups, padding_value)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.padding = _pair(padding)
        self.padding_value = float(padding_value)
        self.groups = groups
        self.scale = scale
        self.scaled_gradient = scaled_gradient
        self.window = window
        self.binarize = binarize
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the latent weight anew, as `nn.Conv2d` does."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        if not self.binarize:
            return self._convolve(x, self.weight)
        positive("BinaryConv2d", self.window)
        scale = self.weight.detach().abs().mean(dim=(1, 2, 3), keepdim=True) if self.scale else None
        padded, padding = self._pad(x)
        geometry = Geometry(self.stride, padding, self.groups, self.window, self.scaled_gradient)
        return binary_convolution(padded, self.weight, scale, geometry)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        x, padding = self._pad(x)
        return F.conv2d(x, weight, stride=self.stride, padding=padding, groups=self.groups)

    def _pad(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The input, and the zero padding that is left to the convolution."""
        if self.padding_value == 0 or self.padding == (0, 0):
            return x, self.padding
        vertical, horizontal = self.padding
        padded = F.pad(x, (horizontal, horizontal, vertical, vertical), value=self.padding_value)
        return (note_one_bit(padded) if is_one_bit(x) else padded), (0, 0)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}, padding_value={self.padding_value:g}, groups={self.groups}"
        return text + f", scale={self.scale}, scaled_gradient={self.scaled_gradient}, binarize={self.binarize}"


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _check(in_channels: int, out_channels: int, groups: int, padding_value: float) -> None:
    if padding_value not in (-1, 0, 1):
        raise ReactnetError(f"BinaryConv2d: padding_value is {padding_value}", hint="give 0, -1 or +1")
    if groups < 1 or in_channels % groups != 0 or out_channels % groups != 0:
        raise ReactnetError(
            f"BinaryConv2d: {groups} groups do not divide {in_channels} input and {out_channels} output channels",
            hint="choose a number of groups that divides both",
        )
