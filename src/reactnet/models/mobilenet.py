"""MobileNets: efficient convolutional neural networks for mobile vision applications; real-valued.

Paper: arXiv 1704.04861. The plan that ReActNet-A makes binary: see `reactnet.py`.

Parameters: mobilenet_v1 4,231,976, mobilenet_v1_050 1,331,592.

Decided here: ReLU after every batch norm, as in the paper; the TensorFlow release clips at 6. Width 0.5 halves every
channel count, the stem's 32 too.
"""

import itertools

from torch import nn

from reactnet.models.layout import IMAGENET, Staged
from reactnet.models.registry import register

PAPER = "arXiv 1704.04861"

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


def block(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """A depthwise 3x3, which strides, then a 1x1, which widens; batch norm and ReLU after each."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def mobilenet_v1(num_classes: int = 1000) -> Staged:
    """MobileNetV1, real-valued: the plan of ReActNet-A."""
    return _mobilenet(1, num_classes)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def mobilenet_v1_050(num_classes: int = 1000) -> Staged:
    """MobileNetV1 at half its width, real-valued: what ReActNet-A beats at less cost."""
    return _mobilenet(2, num_classes)


def _mobilenet(divisor: int, num_classes: int) -> Staged:
    widths = [width // divisor for width in WIDTHS]
    stem = nn.Sequential(
        nn.Conv2d(3, widths[0], 3, STRIDES[0], padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
    )
    pairs = zip(itertools.pairwise(widths), STRIDES[1:], strict=True)
    blocks = nn.Sequential(*(block(before, after, stride) for (before, after), stride in pairs))
    return Staged(stem, blocks, widths[-1], num_classes)
