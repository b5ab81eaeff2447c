"""Bi-Real Net: enhancing the performance of 1-bit CNNs with improved representational capability and training.

Paper: arXiv 1808.00278 (ECCV 2018; longer: IJCV 2020). Code by the authors: github.com/liuzechun/Bi-Real-net, folder
pytorch_implementation, read for facts; none copied.

Parameters: birealnet18 11,689,512 (10,985,472 binary), birealnet34 21,797,672 (21,086,208), birealnet152
60,192,808 (55,214,080), birealnet18_cifar 11,173,962 (10,985,472). The first three are those of the real ResNets.

A unit is sign, binary 3x3, batch norm and a shortcut of its own: there is no other activation. The real-valued twin is
therefore linear between its stem and its head, and no network to train for its own sake.

Decided here, where the sources differ or keep silent:
- birealnet152: the authors released code for 50 layers only (folder BiReal_50). From there: each convolution of a
  bottleneck has a shortcut, that of the first 1x1 coming from the 3x3 of the block before. There, three more real 1x1
  carry that shortcut into the next stage, and the first convolution is real: together 0.9e8 FLOPs, which the paper's
  count for 152 layers (10.7e9 BOPs, 4.48e8 FLOPs) has no room for. Here that shortcut is left out where its shape
  does not fit, all bottleneck convolutions are binary and the first 1x1 strides: 10.80e9 BOPs and 4.80e8 FLOPs.
- The magnitude-aware weight gradient of the first paper is left out, as in the authors' PyTorch code.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from reactnet.models.layout import IMAGENET, SMALL, Staged, imagenet_stem, pooled_shortcut, scaled, small_stem, stages
from reactnet.models.registry import register
from reactnet.nn import BinaryConv2d, Sign

PAPER = "arXiv 1808.00278"


class Unit(nn.Module):
    """Sign, binary 3x3, batch norm, shortcut.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.sign = Sign()
        self.conv = BinaryConv2d(in_channels, out_channels, 3, stride, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.shortcut = pooled_shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(self.sign(x))) + self.shortcut(x)
        return out


class BottleneckUnit(nn.Module):
    """Sign, binary convolution, batch norm: one third of a bottleneck, without its shortcut.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.sign = Sign()
        self.conv = BinaryConv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(self.sign(x)))
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 units on two streams: the wide one, as in a ResNet, and the narrow one between the 3x3 units.

    `narrow` is the narrow stream of the block before, None where its shape does not fit.

    Shape: (N, in, H, W) -> (N, out / 4, H', W') and (N, out, H', W') with H' = ceil(H / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        narrow = out_channels // 4
        self.reduce = BottleneckUnit(in_channels, narrow, 1, stride)
        self.spatial = BottleneckUnit(narrow, narrow, 3)
        self.expand = BottleneckUnit(narrow, out_channels, 1)
        self.shortcut = pooled_shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor, narrow: Tensor | None = None) -> tuple[Tensor, Tensor]:
        reduced = self.reduce(x)
        if narrow is not None:
            reduced = reduced + narrow
        spatial = self.spatial(reduced) + reduced
        return spatial, self.expand(spatial) + self.shortcut(x)


class BottleneckStage(nn.Module):
    """Bottlenecks in a row; the first may stride and widen.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, depth: int) -> None:
        super().__init__()
        self.first = Bottleneck(in_channels, out_channels, stride)
        self.others = nn.ModuleList(Bottleneck(out_channels, out_channels) for _ in range(depth - 1))

    def forward(self, x: Tensor) -> Tensor:
        narrow, x = self.first(x)
        for block in self.others:
            narrow, x = block(x, narrow)
        return x


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def birealnet18(num_classes: int = 1000, *, scale: bool = True) -> Staged:
    """Bi-Real Net 18: a ResNet-18 in which every binary 3x3 has a shortcut of its own."""
    return scaled(Staged(imagenet_stem(), stages(Unit, (4, 4, 4, 4), 64), 512, num_classes), scale)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def birealnet34(num_classes: int = 1000, *, scale: bool = True) -> Staged:
    """Bi-Real Net 34, on the plan of ResNet-34."""
    return scaled(Staged(imagenet_stem(), stages(Unit, (6, 8, 12, 6), 64), 512, num_classes), scale)


@register(image_size=IMAGENET, stride=32, paper=f"{PAPER}, in its longer form (IJCV 2020)")
def birealnet152(num_classes: int = 1000, *, scale: bool = True) -> Staged:
    """Bi-Real Net 152: binary bottlenecks on the plan of ResNet-152."""
    return scaled(Staged(imagenet_stem(), _bottleneck_stages((3, 8, 36, 3)), 2048, num_classes), scale)


@register(image_size=SMALL, stride=8, paper=f"{PAPER}, with a stem for small images")
def birealnet18_cifar(num_classes: int = 10, *, width: int = 64, stem_stride: int = 1, scale: bool = True) -> Staged:
    """Bi-Real Net 18 for 32x32 images: 3x3 stem at stride 1, no pooling."""
    stem, made = small_stem(width, stride=stem_stride), stages(Unit, (4, 4, 4, 4), width)
    return scaled(Staged(stem, made, 8 * width, num_classes), scale)


def _bottleneck_stages(depths: Sequence[int]) -> nn.Sequential:
    made = nn.Sequential()
    before = 64
    for stage, depth in enumerate(depths):
        after = 256 * 2**stage
        made.append(BottleneckStage(before, after, 1 if stage == 0 else 2, depth))
        before = after
    return made
