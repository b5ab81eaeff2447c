"""ReActNet: towards precise binary neural network with generalized activation functions.

Paper: arXiv 2003.03488 (ECCV 2020). Code by the authors: github.com/liuzechun/ReActNet, read for facts; none copied.

Parameters: reactnet_a 29,343,592 (28,253,184 binary), reactnet_b 28,818,824 (27,554,816), reactnet_c 29,342,600
(27,554,816), reactnet18 11,704,424 (10,985,472), reactnet34 21,827,432 (21,086,208), reactnet18_cifar 11,188,874
(10,985,472), reactnet20_cifar 275,114 (267,264), reactnet_digits 89,866 (86,016).

MobileNetV1's plan, with each depthwise 3x3 made a dense binary one; every convolution but the stem is binary, and has a
shortcut of its own.

The rungs of the paper's ablation are options; each is trained with or without a teacher by its recipe:
| rung | options |
|---|---|
| baseline without the duplicated widening | sign="sign", activation="none", duplicate=False |
| baseline of the paper | sign="sign", activation="none" |
| + PReLU | sign="sign", activation="prelu" |
| + RSign | activation="none" |
| + RPReLU | sign="sign" |
| ReActNet | (none) |
| its real-valued twin | `create_model(..., binarize=())` |

Decided here, where the sources differ or keep silent:
- Widening: the code concatenates two 1x1 branches that read one RSign and feed one RPReLU; the same thing is one 1x1
  convolution with twice the outputs and a shortcut repeated twice. The state dict therefore has one of each.
- Without the duplicated widening (`duplicate=False`) a widening 1x1 has no shortcut, since none fits its shape. No
  source that could be opened shows this rung's wiring; BOPs and FLOPs are those of ReActNet-A.
- The baseline's activation: with "none" the sign is the only nonlinearity, as in Bi-Real Net, on which it is built.
- Odd maps: the shortcut pools with `ceil_mode`, so that it agrees with a padded 3x3 at stride 2 for every size.
- ReActNet-B and -C: no source has their wiring. In each widening block the 1x1 becomes a real one, with 4 groups in
  B and 1 in C, fed the real activation; the repeated shortcut stays. This meets the paper's counts of BOPs and FLOPs.
- ReActNet-18 and -34 have Bi-Real Net's layout; their downsampling shortcut is an average pool and a real 1x1.
- For 32x32 images, reactnet18_cifar and reactnet20_cifar have a 3x3 stem at stride 1 without pooling; the latter is 16,
  32 and 64 channels wide, six units each. Its options make it for smaller budgets: `width` of the first stage, `units`
  of each stage, `stem_stride`, of which 2 quarters the cost of everything behind the stem.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.models.layout import IMAGENET, SMALL, Staged, imagenet_stem, pooled_shortcut, scaled, small_stem, stages
from reactnet.models.registry import register
from reactnet.nn import BinaryConv2d, RPReLU, RSign, Sign

PAPER = "arXiv 2003.03488"

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)

SignKind = Literal["rsign", "sign"]
ActivationKind = Literal["rprelu", "prelu", "none"]


@dataclass(frozen=True)
class Rung:
    """A step of the paper's ablation: which sign, which activation, and whether widening duplicates its shortcut."""

    sign: SignKind = "rsign"
    activation: ActivationKind = "rprelu"
    duplicate: bool = True

    def make_sign(self, channels: int) -> nn.Module:
        """The sign of a unit with so many input channels."""
        return RSign(channels) if self.sign == "rsign" else Sign()

    def make_activation(self, channels: int) -> nn.Module:
        """The activation of a unit with so many output channels."""
        if self.activation == "none":
            return nn.Identity()
        return RPReLU(channels) if self.activation == "rprelu" else nn.PReLU(channels)


REACTNET = Rung()


class Unit(nn.Module):
    """RSign, binary convolution, batch norm, shortcut, RPReLU.

    The shortcut is average-pooled where the unit strides and repeated where it widens (left out, if the rung does not
    duplicate).

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)); out is a multiple of in.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, *, rung: Rung = REACTNET
    ) -> None:
        super().__init__()
        self.stride = stride
        self.repeat = _times(in_channels, out_channels)
        self.has_shortcut = self.repeat == 1 or rung.duplicate
        self.sign = rung.make_sign(in_channels)
        self.conv = BinaryConv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = rung.make_activation(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.conv(self.sign(x)))
        if self.has_shortcut:
            shortcut = F.avg_pool2d(x, self.stride, ceil_mode=True) if self.stride > 1 else x
            out = out + (shortcut.repeat(1, self.repeat, 1, 1) if self.repeat > 1 else shortcut)
        activated: Tensor = self.act(out)
        return activated


class RealUnit(nn.Module):
    """Real 1x1 convolution of the real activation, batch norm, repeated shortcut, RPReLU: what B and C widen with.

    Shape: (N, in, H, W) -> (N, out, H, W); out is a multiple of in.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int, *, rung: Rung = REACTNET) -> None:
        super().__init__()
        self.repeat = _times(in_channels, out_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = rung.make_activation(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)) + x.repeat(1, self.repeat, 1, 1))
        return out


class Block(nn.Module):
    """A 3x3 unit, which strides, then a 1x1 unit, which widens.

    With `real_groups`, a widening 1x1 unit is a `RealUnit` with so many groups.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        real_groups: int | None = None,
        rung: Rung = REACTNET,
    ) -> None:
        super().__init__()
        self.spatial = Unit(in_channels, in_channels, 3, stride, rung=rung)
        self.pointwise: Unit | RealUnit
        if real_groups is not None and out_channels > in_channels:
            self.pointwise = RealUnit(in_channels, out_channels, real_groups, rung=rung)
        else:
            self.pointwise = Unit(in_channels, out_channels, 1, rung=rung)

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
        rung: Rung = REACTNET,
    ) -> None:
        super().__init__()
        if len(widths) != len(strides) or len(widths) == 0:
            raise ReactnetError(
                f"ReActNet: {len(widths)} widths and {len(strides)} strides",
                hint="one of each a block, stem first",
            )
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 3, strides[0], padding=1, bias=False), nn.BatchNorm2d(widths[0])
        )
        blocks = zip(itertools.pairwise(widths), strides[1:], strict=True)
        self.blocks = nn.Sequential(
            *(Block(before, after, stride, real_groups=real_groups, rung=rung) for (before, after), stride in blocks)
        )
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

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, *, rung: Rung = REACTNET) -> None:
        super().__init__()
        self.sign = rung.make_sign(in_channels)
        self.conv = BinaryConv2d(in_channels, out_channels, 3, stride, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.shortcut = pooled_shortcut(in_channels, out_channels, stride)
        self.act = rung.make_activation(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(self.sign(x))) + self.shortcut(x))
        return out


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def reactnet_a(
    num_classes: int = 1000,
    *,
    sign: SignKind = "rsign",
    activation: ActivationKind = "rprelu",
    duplicate: bool = True,
    scale: bool = True,
) -> ReActNet:
    """ReActNet-A, the paper's main model, for 224x224 images."""
    return scaled(ReActNet(WIDTHS, STRIDES, num_classes, rung=Rung(sign, activation, duplicate)), scale)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def reactnet_b(
    num_classes: int = 1000, *, sign: SignKind = "rsign", activation: ActivationKind = "rprelu", scale: bool = True
) -> ReActNet:
    """ReActNet-B: ReActNet-A with a real 1x1 of 4 groups where it widens."""
    return scaled(ReActNet(WIDTHS, STRIDES, num_classes, real_groups=4, rung=Rung(sign, activation)), scale)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def reactnet_c(
    num_classes: int = 1000, *, sign: SignKind = "rsign", activation: ActivationKind = "rprelu", scale: bool = True
) -> ReActNet:
    """ReActNet-C: ReActNet-A with a full real 1x1 where it widens."""
    return scaled(ReActNet(WIDTHS, STRIDES, num_classes, real_groups=1, rung=Rung(sign, activation)), scale)


@register(image_size=IMAGENET, stride=32, paper=f"{PAPER}; github.com/liuzechun/ReActNet, folder resnet")
def reactnet18(
    num_classes: int = 1000, *, sign: SignKind = "rsign", activation: ActivationKind = "rprelu", scale: bool = True
) -> Staged:
    """ReActNet-18, ReActNet's activations on the plan of Bi-Real Net 18, for 224x224 images."""
    units = stages(partial(ResidualUnit, rung=Rung(sign, activation)), (4, 4, 4, 4), 64)
    return scaled(Staged(imagenet_stem(), units, 512, num_classes), scale)


@register(image_size=IMAGENET, stride=32, paper=f"{PAPER}; github.com/liuzechun/ReActNet, folder resnet")
def reactnet34(
    num_classes: int = 1000, *, sign: SignKind = "rsign", activation: ActivationKind = "rprelu", scale: bool = True
) -> Staged:
    """ReActNet-34, ReActNet's activations on the plan of Bi-Real Net 34; the authors trained none."""
    units = stages(partial(ResidualUnit, rung=Rung(sign, activation)), (6, 8, 12, 6), 64)
    return scaled(Staged(imagenet_stem(), units, 512, num_classes), scale)


@register(image_size=SMALL, stride=8, paper=f"{PAPER}, with a stem for small images")
def reactnet18_cifar(
    num_classes: int = 10,
    *,
    sign: SignKind = "rsign",
    activation: ActivationKind = "rprelu",
    width: int = 64,
    stem_stride: int = 1,
    scale: bool = True,
) -> Staged:
    """ReActNet-18 for 32x32 images: 3x3 stem at stride 1, no pooling."""
    units = stages(partial(ResidualUnit, rung=Rung(sign, activation)), (4, 4, 4, 4), width)
    return scaled(Staged(small_stem(width, stride=stem_stride), units, 8 * width, num_classes), scale)


@register(image_size=SMALL, stride=4, paper=f"{PAPER}, in the widths of ResNet-20 (arXiv 1512.03385)")
def reactnet20_cifar(
    num_classes: int = 10,
    *,
    sign: SignKind = "rsign",
    activation: ActivationKind = "rprelu",
    width: int = 16,
    units: int = 6,
    stem_stride: int = 1,
    scale: bool = True,
) -> Staged:
    """ReActNet-20 for 32x32 images: 16, 32 and 64 channels."""
    made = stages(partial(ResidualUnit, rung=Rung(sign, activation)), (units, units, units), width)
    return scaled(Staged(small_stem(width, stride=stem_stride), made, 4 * width, num_classes), scale)


@register(image_size=(8, 8, 1), stride=2, paper=f"{PAPER}, in a width plan of our own")
def reactnet_digits(
    num_classes: int = 10,
    *,
    sign: SignKind = "rsign",
    activation: ActivationKind = "rprelu",
    duplicate: bool = True,
    scale: bool = True,
) -> ReActNet:
    """A small ReActNet for grey 8x8 images, as in scikit-learn's handwritten digits."""
    rung = Rung(sign, activation, duplicate)
    return scaled(ReActNet((64, 64, 128), (1, 2, 1), num_classes, in_channels=1, rung=rung), scale)


def _times(in_channels: int, out_channels: int) -> int:
    if out_channels % in_channels != 0:
        raise ReactnetError(
            f"ReActNet: a unit goes from {in_channels} to {out_channels} channels",
            hint="its shortcut is repeated, so each width must be a multiple of the width before",
        )
    return out_channels // in_channels
