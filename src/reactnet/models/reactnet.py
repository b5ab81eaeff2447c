"""ReActNet: towards precise binary neural network with generalized activation functions.

Paper: arXiv 2003.03488 (ECCV 2020). Code by the authors: github.com/liuzechun/ReActNet, read for facts; none copied.

ReActNet-A, as its parameters count: 29,343,592, of which 28,253,184 binary. MobileNetV1's plan, with each depthwise
3x3 made a dense binary one; every convolution but the stem is binary, and has a shortcut of its own.

Decided here, where the sources differ or keep silent:
- Widening: the code concatenates two 1x1 branches that read one RSign and feed one RPReLU; the same thing is one 1x1
  convolution with twice the outputs and a shortcut repeated twice. The state dict therefore has one of each.
- Odd maps: the shortcut pools with `ceil_mode`, so that it agrees with a padded 3x3 at stride 2 for every size.
- ReActNet-B and -C: no source has their wiring. In each widening block the 1x1 becomes a real one, with 4 groups in
  B and 1 in C, fed the real activation; the repeated shortcut stays. This meets the paper's counts of BOPs and FLOPs.
- ReActNet-18 and -34 have Bi-Real Net's layout; their downsampling shortcut is an average pool and a real 1x1.
"""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.models.registry import register
from reactnet.nn import BinaryConv2d, RPReLU, RSign

PAPER = "arXiv 2003.03488"
IMAGENET = (224, 224, 3)

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


class Unit(nn.Module):
    """RSign, binary convolution, batch norm, shortcut, RPReLU.

    The shortcut is average-pooled where the unit strides and repeated where it widens.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)); out is a multiple of in.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.repeat = _times(in_channels, out_channels)
        self.sign = RSign(in_channels)
        self.conv = BinaryConv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = RPReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.avg_pool2d(x, self.stride, ceil_mode=True) if self.stride > 1 else x
        shortcut = shortcut.repeat(1, self.repeat, 1, 1) if self.repeat > 1 else shortcut
        out: Tensor = self.act(self.norm(self.conv(self.sign(x))) + shortcut)
        return out


class RealUnit(nn.Module):
    """Real 1x1 convolution of the real activation, batch norm, repeated shortcut, RPReLU: what B and C widen with.

    Shape: (N, in, H, W) -> (N, out, H, W); out is a multiple of in.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.repeat = _times(in_channels, out_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = RPReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)) + x.repeat(1, self.repeat, 1, 1))
        return out


class Block(nn.Module):
    """A 3x3 unit, which strides, then a 1x1 unit, which widens.

    With `real_groups`, a widening 1x1 unit is a `RealUnit` with so many groups.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, real_groups: int | None = None) -> None:
        super().__init__()
        self.spatial = Unit(in_channels, in_channels, 3, stride)
        self.pointwise: Unit | RealUnit
        if real_groups is not None and out_channels > in_channels:
            self.pointwise = RealUnit(in_channels, out_channels, real_groups)
        else:
            self.pointwise = Unit(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.spatial(x))
        return out


class ReActNet(nn.Module):
    """Real stem, blocks, global average pool, real linear head: ReActNet in any width plan.

    `widths` and `strides` have one entry for the stem, then one a block. The stem is a 3x3 convolution and a batch
    norm without activation. With `real_groups`, widening is real (ReActNet-B and -C).

    Shape: (N, in_channels, H, W) -> (N, num_classes).
    """

    def __init__(
        self,
        widths: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
        *,
        in_channels: int = 3,
        real_groups: int | None = None,
    ) -> None:
        super().__init__()
        if len(widths) != len(strides) or len(widths) == 0:
            raise ReactnetError(
                f"ReActNet: {len(widths)} widths and {len(strides)} strides",
                hint="one of each a block, stem first",
            )
        self.stem = _stem(in_channels, widths[0], 3, strides[0])
        blocks = zip(itertools.pairwise(widths), strides[1:], strict=True)
        self.blocks = nn.Sequential(*(Block(before, after, stride, real_groups) for (before, after), stride in blocks))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(self.blocks(self.stem(x))).flatten(1))
        return out


class ResidualUnit(nn.Module):
    """RSign, binary 3x3, batch norm, shortcut, RPReLU, where the shortcut widens by a real 1x1 convolution.

    A unit that keeps its shape has the identity for a shortcut; one that does not, an average pool, a real 1x1 and a
    batch norm.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.sign = RSign(in_channels)
        self.conv = BinaryConv2d(in_channels, out_channels, 3, stride, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        self.act = RPReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(self.sign(x))) + self.shortcut(x))
        return out


class ReActResNet(nn.Module):
    """ReActNet on the plan of Bi-Real Net: a ResNet in which every binary 3x3 has a shortcut of its own.

    `depths` counts the units of the four stages, 64, 128, 256 and 512 channels wide. The stem is a real 7x7 at
    stride 2, a batch norm and a 3x3 max pool at stride 2, without activation.

    Shape: (N, 3, H, W) -> (N, num_classes).
    """

    def __init__(self, depths: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.stem = _stem(3, 64, 7, 2)
        self.stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        stages = []
        before = 64
        for stage, depth in enumerate(depths):
            width = 64 * 2**stage
            units = [ResidualUnit(before, width, stride=1 if stage == 0 else 2)]
            units += [ResidualUnit(width, width) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*units))
            before = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(self.stages(self.stem(x))).flatten(1))
        return out


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def reactnet_a(num_classes: int = 1000) -> ReActNet:
    """ReActNet-A, the paper's main model, for 224x224 images."""
    return ReActNet(WIDTHS, STRIDES, num_classes)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def reactnet_b(num_classes: int = 1000) -> ReActNet:
    """ReActNet-B: ReActNet-A with a real 1x1 of 4 groups where it widens."""
    return ReActNet(WIDTHS, STRIDES, num_classes, real_groups=4)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def reactnet_c(num_classes: int = 1000) -> ReActNet:
    """ReActNet-C: ReActNet-A with a full real 1x1 where it widens."""
    return ReActNet(WIDTHS, STRIDES, num_classes, real_groups=1)


@register(image_size=IMAGENET, stride=32, paper=f"{PAPER}; github.com/liuzechun/ReActNet, folder resnet")
def reactnet18(num_classes: int = 1000) -> ReActResNet:
    """ReActNet-18, ReActNet's activations on the plan of Bi-Real Net 18, for 224x224 images."""
    return ReActResNet((4, 4, 4, 4), num_classes)


@register(image_size=IMAGENET, stride=32, paper=f"{PAPER}; github.com/liuzechun/ReActNet, folder resnet")
def reactnet34(num_classes: int = 1000) -> ReActResNet:
    """ReActNet-34, ReActNet's activations on the plan of Bi-Real Net 34; the authors trained none."""
    return ReActResNet((6, 8, 12, 6), num_classes)


@register(image_size=(8, 8, 1), stride=2, paper=f"{PAPER}, in a width plan of our own")
def reactnet_digits(num_classes: int = 10) -> ReActNet:
    """A small ReActNet for grey 8x8 images, as in scikit-learn's handwritten digits."""
    return ReActNet((32, 64, 64, 128, 128), (1, 1, 1, 2, 1), num_classes, in_channels=1)


def _stem(in_channels: int, width: int, kernel_size: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, width, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))


def _times(in_channels: int, out_channels: int) -> int:
    if out_channels % in_channels != 0:
        raise ReactnetError(
            f"ReActNet: a unit goes from {in_channels} to {out_channels} channels",
            hint="its shortcut is repeated, so each width must be a multiple of the width before",
        )
    return out_channels // in_channels
