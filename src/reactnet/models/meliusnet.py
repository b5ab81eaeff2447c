"""MeliusNet: can binary neural networks achieve MobileNet-level accuracy?

Paper: arXiv 2001.05936. Code by the authors: github.com/hpi-xnor/bitorch, bitorch/models/meliusnet.py and densenet.py
(before: BMXNet-v2), read for facts; none copied.

Parameters: meliusnet22 6,944,584 (6,119,424 binary), meliusnet29 11,328,328 (10,321,920), meliusnet42 26,825,544
(24,956,928), meliusnet59 55,555,336 (52,641,792).

Two kinds of block take turns: a dense block adds 64 new channels to the map, an improvement block adds its output to
the 64 newest. Both are batch norm, sign, binary 3x3, without weight scale. The stem is three real 3x3, the last two
grouped; a transition is batch norm, max pool, ReLU and a real 1x1 that drops channels.

Decided here, where the sources differ or keep silent:
- Batch norm stands before the transition's max pool, as in the code; where its scale is positive the order is the same
  function.
- The stem's pool is a 3x3 at stride 2, as in the authors' code.
- A sign's gradient is 1 within |x| <= 1.3, the clipping threshold of the authors' training command.
- Options of meliusnet22 for small images and budgets are ours: `stem_stride` 1 is a stem at stride 1 without its pool,
  `width` what the stem gives and each block adds, in proportion to which transitions leave channels.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.models.layout import IMAGENET, Staged
from reactnet.models.registry import register
from reactnet.nn import BinaryConv2d, Sign

PAPER = "arXiv 2001.05936"

GROWTH = 64


class Layer(nn.Module):
    """Batch norm, sign, binary 3x3 to as many channels as a dense block adds.

    Shape: (N, C, H, W) -> (N, growth, H, W).
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.sign = Sign(window=1.3, gradient="identity")
        self.conv = BinaryConv2d(channels, growth, 3, padding=1, scale=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.sign(self.norm(x)))
        return out


class Block(nn.Module):
    """A dense block, which adds `growth` channels, then an improvement block, which adds to these.

    Shape: (N, C, H, W) -> (N, C + growth, H, W).
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.channels = channels
        self.dense = Layer(channels, growth)
        self.improvement = Layer(channels + growth, growth)

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.cat([x, self.dense(x)], dim=1)
        newest = wide[:, self.channels :] + self.improvement(wide)
        return torch.cat([wide[:, : self.channels], newest], dim=1)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def meliusnet22(num_classes: int = 1000, *, width: int = 64, stem_stride: Literal[1, 2, 4] = 4) -> Staged:
    """MeliusNet-22, the smallest: dense and improvement blocks in turn."""
    if width % 16 != 0:
        raise ReactnetError(
            f"meliusnet22: width {width} is no multiple of 16", hint="its stem works in groups: take 16, 32, 48..."
        )
    reduced = [channels * width // GROWTH for channels in (160, 224, 256)]
    return _meliusnet((4, 5, 4, 4), reduced, num_classes, width, stem_stride)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def meliusnet29(num_classes: int = 1000) -> Staged:
    """MeliusNet-29."""
    return _meliusnet((4, 6, 8, 6), (128, 192, 256), num_classes)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def meliusnet42(num_classes: int = 1000) -> Staged:
    """MeliusNet-42."""
    return _meliusnet((5, 8, 14, 10), (160, 256, 416), num_classes)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def meliusnet59(num_classes: int = 1000) -> Staged:
    """MeliusNet-59, the largest."""
    return _meliusnet((6, 12, 24, 12), (192, 320, 544), num_classes)


def _meliusnet(
    depths: Sequence[int], reduced: Sequence[int], num_classes: int, growth: int = GROWTH, stem_stride: int = 4
) -> Staged:
    """`depths` counts the blocks of each stage, `reduced` the channels that the transitions between stages leave."""
    made = nn.Sequential()
    channels = growth
    for stage, depth in enumerate(depths):
        made.append(nn.Sequential(*(Block(channels + growth * index, growth) for index in range(depth))))
        channels += growth * depth
        if stage < len(reduced):
            made.append(_transition(channels, reduced[stage]))
            channels = reduced[stage]
    made.extend([nn.BatchNorm2d(channels), nn.ReLU()])
    return Staged(_grouped_stem(growth, stem_stride), made, channels, num_classes)


def _transition(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.MaxPool2d(2, stride=2, ceil_mode=True),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
    )


def _grouped_stem(width: int, stride: int) -> nn.Sequential:
    """Three real 3x3 with batch norm and ReLU, to half of `width` channels twice, then to all, the last two grouped.

    A stride of 4 is the first convolution's and a max pool's, one of 2 the first convolution's alone.
    """
    half = width // 2
    stem = nn.Sequential()
    for before, after, step, groups in ((3, half, min(stride, 2), 1), (half, half, 1, 4), (half, width, 1, 8)):
        stem.append(nn.Conv2d(before, after, 3, step, padding=1, groups=groups, bias=False))
        stem.extend([nn.BatchNorm2d(after), nn.ReLU()])
    return stem.append(nn.MaxPool2d(3, stride=2, padding=1)) if stride == 4 else stem
