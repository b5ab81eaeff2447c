"""BNext: join the high accuracy club on ImageNet with a binary neural network ticket.

Paper: arXiv 2211.12933 (TMLR 2023, "Towards optimization-friendly binary neural network"). Code by the authors:
github.com/hpi-xnor/BNext, src/bnext.py, read for facts; none copied.

Parameters: bnext_t 30,853,276 (28,253,184 binary).

ReActNet-A's plan with another unit: RSign, binary convolution without scale, batch norm, PReLU, then a gate that sees
both what went in and what came out, then batch norm and shortcut. In every other block the 3x3 unit's shortcut is first
bent by a PReLU and then both multiplied with and added to the output. Widening is two 1x1 units side by side.

Decided here, where the code allows it or keeps silent:
- The gate averages each channel of a blend of input and output. Averaging is linear, so each is averaged first and the
  blend is made of two numbers a channel: the same function, up to rounding and to odd maps, for much less work.
- Layers that the code makes but never uses (a PReLU in the stem and in each plain unit) are left out.
- Signs have a straight-through gradient within 1.5, weights too. The published training moves the weights from
  clamp(w / T) to their signs as T falls; that is a matter of training and stands not in the model.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reactnet.models.layout import IMAGENET, Staged
from reactnet.models.registry import register
from reactnet.nn import BinaryConv2d, Blend, RSign

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
WINDOW = 1.5
REDUCTION = 8


class Gate(nn.Module):
    """One number between 0 and 1 for each channel, found from the averages of what went in and what came out.

    Shape: two of (N, C, H, W), of any size -> (N, C, 1, 1).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool_in = nn.AdaptiveAvgPool2d(1)
        self.pool_out = nn.AdaptiveAvgPool2d(1)
        self.blend = Blend(channels)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels // REDUCTION, 1),
            nn.ReLU(),
            nn.Conv2d(channels // REDUCTION, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        gate: Tensor = self.layers(self.blend(self.pool_in(x), self.pool_out(out)))
        return gate


class Unit(nn.Module):
    """RSign, binary convolution, batch norm, PReLU, gate, batch norm, shortcut.

    With `attention`, the shortcut goes through a PReLU and multiplies the gated output before it is added.

    Shape: (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, channels: int, kernel_size: int, stride: int = 1, *, attention: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.attention = attention
        self.sign = RSign(channels, window=WINDOW, gradient="identity")
        self.conv = BinaryConv2d(
            channels, channels, kernel_size, stride, padding=kernel_size // 2, scale=False, window=WINDOW
        )
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.PReLU(channels)
        self.gate = Gate(channels)
        self.shortcut = nn.PReLU(channels) if attention else nn.Identity()
        self.norm_gated = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        if self.stride > 1:
            shortcut = F.avg_pool2d(shortcut, self.stride, ceil_mode=True)
        out = self.act(self.norm(self.conv(self.sign(x))))
        out = out * self.gate(x, out)
        if self.attention:
            out = out * shortcut
        added: Tensor = self.norm_gated(out) + shortcut
        return added


class Block(nn.Module):
    """A 3x3 unit, which strides, then one 1x1 unit, or two side by side where the block doubles its channels.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)); out is in or 2 in.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, attention: bool) -> None:
        super().__init__()
        self.spatial = Unit(in_channels, 3, stride, attention=attention)
        self.pointwise = nn.ModuleList(Unit(in_channels, 1) for _ in range(out_channels // in_channels))

    def forward(self, x: Tensor) -> Tensor:
        x = self.spatial(x)
        branches = [unit(x) for unit in self.pointwise]
        return torch.cat(branches, dim=1) if len(branches) > 1 else branches[0]


@register(image_size=IMAGENET, stride=32, paper="arXiv 2211.12933")
def bnext_t(num_classes: int = 1000) -> Staged:
    """BNext-T: gated units on the plan of ReActNet-A; 72.4 % top-1 published, at its cost."""
    stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, STRIDES[0], padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]))
    blocks = nn.Sequential()
    for index, ((before, after), stride) in enumerate(zip(itertools.pairwise(WIDTHS), STRIDES[1:], strict=True)):
        blocks.append(Block(before, after, stride, attention=index % 2 == 1))
    blocks.append(nn.PReLU(WIDTHS[-1]))
    return Staged(stem, blocks, WIDTHS[-1], num_classes)
