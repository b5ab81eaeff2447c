"""What the residual networks share: a stem, stages of units, a global average pool and a linear head.

A paper's file says what a unit is; where units stand, how wide they are and where they stride is said here once.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor, nn

from reactnet.nn import BinaryConv2d

Model = TypeVar("Model", bound=nn.Module)

IMAGENET = (224, 224, 3)
SMALL = (32, 32, 3)

MakeUnit = Callable[[int, int, int], nn.Module]
"""(in_channels, out_channels, stride) -> a unit; it halves the map, rounding up, where its stride is 2."""


class Staged(nn.Module):
    """Stem, stages, global average pool, linear head.

    Shape: (N, 3, H, W) -> (N, num_classes). `stages` ends with maps of `width` channels.
    """

    def __init__(self, stem: nn.Module, stages: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.stages = stages
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(self.stages(self.stem(x))).flatten(1))
        return out


def scaled(model: Model, scale: bool) -> Model:
    """`model`, whose binary convolutions multiply by the mean |weight| of each output channel, or do not.

    A batch norm behind each makes both the same family of functions; what differs is how they train.
    """
    for module in model.modules():
        if isinstance(module, BinaryConv2d):
            module.scale = scale
    return model


def imagenet_stem(*activation: nn.Module) -> nn.Sequential:
    """A real 7x7 at stride 2 to 64 channels, batch norm, `activation`, 3x3 max pool at stride 2."""
    stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64))
    return stem.extend(activation).append(nn.MaxPool2d(3, stride=2, padding=1))


def small_stem(width: int, *activation: nn.Module, stride: int = 1) -> nn.Sequential:
    """A real 3x3 to `width` channels, batch norm, `activation`: for images of 32x32 pixels."""
    return nn.Sequential(nn.Conv2d(3, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width), *activation)


def stages(make_unit: MakeUnit, depths: Sequence[int], width: int) -> nn.Sequential:
    """One Sequential a stage, `depths[i]` units each; all but the first stage halve the map and double the width."""
    made = nn.Sequential()
    before = width
    for stage, depth in enumerate(depths):
        after = width * 2**stage
        units = [make_unit(before, after, 1 if stage == 0 else 2)]
        units += [make_unit(after, after, 1) for _ in range(depth - 1)]
        made.append(nn.Sequential(*units))
        before = after
    return made


def pooled_shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Identity where nothing changes, else an average pool, a real 1x1 convolution and a batch norm.

    Average-pooling before the 1x1 is Bi-Real Net's downsampling; `ceil_mode` makes it agree with a padded 3x3 at
    stride 2 for odd maps too.
    """
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.AvgPool2d(stride, ceil_mode=True),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    )
