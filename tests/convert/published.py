"""The published networks, said again in plain PyTorch under the published key names, in any width.

Written from their data flow, so that a converter is held to what the network computes and not to itself. Two things are
not as published: a sign is +1 at zero, and the scale of a binary convolution comes after its sum, so that both sides
round alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Form:
    """How a binary weight is kept: its name, (N, 1) or 4-D, and whether it is real yet (phase one)."""

    name: str = "weight"
    flat: bool = False
    real: bool = False


def sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


class Move(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class BinaryConv(nn.Module):
    def __init__(self, before: int, after: int, size: int, stride: int, form: Form) -> None:
        super().__init__()
        self.form, self.shape, self.stride = form, (after, before, size, size), stride
        count = after * before * size * size
        self.register_parameter(form.name, nn.Parameter(torch.zeros((count, 1) if form.flat else self.shape)))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.get_parameter(self.form.name).reshape(self.shape)
        padding = self.shape[2] // 2
        if self.form.real:
            return F.conv2d(x, weight, stride=self.stride, padding=padding)
        scale = weight.abs().mean(dim=(1, 2, 3)).reshape(1, -1, 1, 1)
        return F.conv2d(x, sign(weight), stride=self.stride, padding=padding) * scale


class MobileBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int, form: Form) -> None:
        super().__init__()
        self.stride, self.widens = stride, after != before
        self.move11 = Move(before)
        self.binary_3x3 = BinaryConv(before, before, 3, stride, form)
        self.bn1 = nn.BatchNorm2d(before)
        self.move12, self.prelu1, self.move13 = Move(before), nn.PReLU(before), Move(before)
        self.move21 = Move(before)
        if self.widens:
            self.binary_pw_down1 = BinaryConv(before, before, 1, 1, form)
            self.binary_pw_down2 = BinaryConv(before, before, 1, 1, form)
            self.bn2_1, self.bn2_2 = nn.BatchNorm2d(before), nn.BatchNorm2d(before)
        else:
            self.binary_pw = BinaryConv(before, before, 1, 1, form)
            self.bn2 = nn.BatchNorm2d(before)
        self.move22, self.prelu2, self.move23 = Move(after), nn.PReLU(after), Move(after)

    def forward(self, x: Tensor) -> Tensor:
        spatial = self.bn1(self.binary_3x3(sign(self.move11(x))))
        y = spatial + (F.avg_pool2d(x, 2, 2) if self.stride == 2 else x)
        y = self.move13(self.prelu1(self.move12(y)))
        u = sign(self.move21(y))
        if self.widens:
            left = self.bn2_1(self.binary_pw_down1(u)) + y
            right = self.bn2_2(self.binary_pw_down2(u)) + y
            z = torch.cat([left, right], dim=1)
        else:
            z = self.bn2(self.binary_pw(u)) + y
        moved: Tensor = self.move23(self.prelu2(self.move22(z)))
        return moved


class Stem(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn1(self.conv1(x))
        return out


class MobileNet(nn.Module):
    """The MobileNet family of the ReActNet authors, and AdamBNN's."""

    def __init__(
        self, widths: Sequence[int], strides: Sequence[int], classes: int, form: Form, *, in_channels: int = 3
    ) -> None:
        super().__init__()
        self.feature = nn.ModuleList([Stem(in_channels, widths[0], strides[0])])
        for (before, after), stride in zip(pairwise(widths), strides[1:], strict=True):
            self.feature.append(MobileBlock(before, after, stride, form))
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.feature:
            x = part(x)
        out: Tensor = self.fc(x.mean(dim=(2, 3)))
        return out


class ResidualBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int, form: Form) -> None:
        super().__init__()
        self.move0 = Move(before)
        self.binary_conv = BinaryConv(before, after, 3, stride, form)
        self.bn1 = nn.BatchNorm2d(after)
        self.move1, self.prelu, self.move2 = Move(after), nn.PReLU(after), Move(after)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(2, stride), nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.bn1(self.binary_conv(sign(self.move0(x)))) + shortcut
        moved: Tensor = self.move2(self.prelu(self.move1(out)))
        return moved


class RealBlock(nn.Module):
    """torchvision's BasicBlock."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


class ResNet(nn.Module):
    """A ResNet's plan: of ReActNet's blocks with `form`, else of torchvision's. `small`: 3x3 stem, no pool."""

    def __init__(
        self, depths: Sequence[int], width: int, classes: int, form: Form | None, *, small: bool = False
    ) -> None:
        super().__init__()
        self.small, self.relu = small, form is None
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False) if small else nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layers = len(depths)
        before = width
        for number, depth in enumerate(depths):
            after = width * 2**number
            blocks = nn.Sequential()
            for index in range(depth):
                stride = 2 if number > 0 and index == 0 else 1
                blocks.append(
                    RealBlock(before, after, stride) if form is None else ResidualBlock(before, after, stride, form)
                )
                before = after
            self.add_module(f"layer{number + 1}", blocks)
        self.fc = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x))
        x = F.relu(x) if self.relu else x
        x = x if self.small else F.max_pool2d(x, 3, 2, 1)
        for number in range(self.layers):
            x = self.get_submodule(f"layer{number + 1}")(x)
        out: Tensor = self.fc(x.mean(dim=(2, 3)))
        return out


def randomise(model: nn.Module, *, exact: bool = False) -> None:
    """Every tensor to values that a mix-up would show; with `exact`, binary weights to -1 and +1."""
    for key, tensor in model.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif key.endswith("num_batches_tracked"):
            tensor.fill_(7)
        else:
            tensor.normal_(0.1, 0.3)
    for module in model.modules():
        if isinstance(module, BinaryConv) and exact:
            weight = module.get_parameter(module.form.name)
            weight.data = sign(weight.data)
