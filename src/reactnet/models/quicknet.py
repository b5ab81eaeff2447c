"""QuickNet: Larq Compute Engine: design, benchmark, and deploy state-of-the-art binarized neural networks.

Paper: arXiv 2011.09398 (MLSys 2021). Code by the authors: github.com/larq/zoo, larq_zoo/sota/quicknet.py at version
1.0 of the weights, read for facts; none copied.

Parameters: quicknet_small 12,655,672 (11,980,800 binary), quicknet 13,234,056 (12,533,760), quicknet_large 23,342,216
(22,634,496). The published 12,655,688, 13,234,088 and 23,342,248 count two a channel for the one batch norm that has
none.

A unit is sign, binary 3x3 padded with +1 (so that no kernel has to mask its border), ReLU, batch norm and a shortcut,
without weight scale. A transition is ReLU, a max pool of 2x2 at stride 1, a fixed blur of 3x3 at stride 2, a real 1x1
and a batch norm.

Decided here, where the frameworks differ:
- The stem's convolutions at stride 2 pad one pixel on each side; Keras pads the far sides alone. Maps have equal sizes.
- Batch norm has torch's epsilon and momentum everywhere (in the code, 1e-3 and 0.99 in stem, 1e-5 and 0.9 elsewhere).
- The blur is a depthwise convolution whose weight is fixed: it is in the state dict and takes no gradient.
- Options of quicknet for small images and budgets are ours: `stem_stride` 1 is what ResNets for 32x32 images have,
  `width` that of the first stage.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.models.layout import IMAGENET, Staged
from reactnet.models.registry import register
from reactnet.nn import BinaryConv2d, Sign

PAPER = "arXiv 2011.09398"

WINDOW = 1.25


class Unit(nn.Module):
    """Sign, binary 3x3 padded with +1, ReLU, batch norm, shortcut.

    Shape: (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sign = Sign(window=WINDOW, gradient="identity")
        self.conv = BinaryConv2d(channels, channels, 3, padding=1, padding_value=1, scale=False, window=WINDOW)
        self.act = nn.ReLU()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.act(self.conv(self.sign(x)))) + x
        return out


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def quicknet_small(num_classes: int = 1000) -> Staged:
    """QuickNet small: narrower in its first two stages."""
    return _quicknet((4, 4, 4, 4), (32, 64, 256, 512), num_classes)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def quicknet(num_classes: int = 1000, *, width: int = 64, stem_stride: Literal[1, 2, 4] = 4) -> Staged:
    """QuickNet: made to be fast on processors."""
    if width % 4 != 0:
        raise ReactnetError(
            f"quicknet: width {width} is no multiple of 4", hint="its stem starts with a quarter of the channels"
        )
    return _quicknet((4, 4, 4, 4), (width, 2 * width, 4 * width, 8 * width), num_classes, stem_stride)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def quicknet_large(num_classes: int = 1000) -> Staged:
    """QuickNet large: twice as deep."""
    return _quicknet((6, 8, 12, 6), (64, 128, 256, 512), num_classes)


def _quicknet(depths: Sequence[int], widths: Sequence[int], num_classes: int, stem_stride: int = 4) -> Staged:
    made = nn.Sequential()
    before = widths[0]
    for depth, width in zip(depths, widths, strict=True):
        if width != before:
            made.append(_transition(before, width))
        made.append(nn.Sequential(*(Unit(width) for _ in range(depth))))
        before = width
    made.append(nn.ReLU())
    return Staged(_stem(widths[0], stem_stride), made, before, num_classes)


def _stem(width: int, stride: int) -> nn.Sequential:
    quarter = width // 4
    first, second = {4: (2, 2), 2: (2, 1), 1: (1, 1)}[stride]
    return nn.Sequential(
        nn.Conv2d(3, quarter, 3, first, padding=1, bias=False),
        nn.BatchNorm2d(quarter),
        nn.ReLU(),
        nn.Conv2d(quarter, quarter, 3, second, padding=1, groups=quarter, bias=False),
        nn.BatchNorm2d(quarter, affine=False),
        nn.Conv2d(quarter, width, 1, bias=False),
        nn.BatchNorm2d(width),
    )


def _transition(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.MaxPool2d(2, stride=1),
        _blur(in_channels),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def _blur(channels: int) -> nn.Conv2d:
    """A depthwise 3x3 at stride 2 whose weight is the fixed binomial filter (1 2 1) x (1 2 1) / 16."""
    blur = nn.Conv2d(channels, channels, 3, 2, padding=1, groups=channels, bias=False).requires_grad_(False)
    binomial = torch.tensor([1.0, 2.0, 1.0])
    blur.weight.copy_(binomial.outer(binomial) / 16)
    return blur
