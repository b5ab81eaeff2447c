"""Deep residual learning for image recognition: the real-valued networks, teachers and twins of the binary ones.

Paper: arXiv 1512.03385 (CVPR 2016). Layer for layer the networks of torchvision.models.resnet, whose weights can be
converted; no code copied.

Parameters: resnet18 11,689,512, resnet34 21,797,672 (both torchvision's), resnet18_cifar 11,173,962, resnet20_cifar
272,474.

Decided here: resnet20_cifar widens its shortcuts by a 1x1 convolution and batch norm (the paper's option B). The
paper's option A, zeros for the channels that are missing, has 2,752 parameters less; both are its 0.27 M. Its
options make it for smaller budgets: `width` of the first stage, `blocks` of each stage, `stem_stride`.
"""

from torch import Tensor, nn

from reactnet.models.layout import IMAGENET, SMALL, Staged, imagenet_stem, small_stem, stages
from reactnet.models.registry import register

PAPER = "arXiv 1512.03385"


class Block(nn.Module):
    """Two real 3x3 convolutions with batch norm and ReLU, and a shortcut around both.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.act2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.act1(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out)) + self.shortcut(x)
        activated: Tensor = self.act2(out)
        return activated


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def resnet18(num_classes: int = 1000) -> Staged:
    """ResNet-18, real-valued."""
    return Staged(imagenet_stem(nn.ReLU()), stages(Block, (2, 2, 2, 2), 64), 512, num_classes)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def resnet34(num_classes: int = 1000) -> Staged:
    """ResNet-34, real-valued: the teacher of the published ReActNet."""
    return Staged(imagenet_stem(nn.ReLU()), stages(Block, (3, 4, 6, 3), 64), 512, num_classes)


@register(image_size=SMALL, stride=8, paper=f"{PAPER}, with a stem for small images")
def resnet18_cifar(num_classes: int = 10, *, width: int = 64, stem_stride: int = 1) -> Staged:
    """ResNet-18 for 32x32 images, real-valued: 3x3 stem at stride 1, no pooling."""
    stem = small_stem(width, nn.ReLU(), stride=stem_stride)
    return Staged(stem, stages(Block, (2, 2, 2, 2), width), 8 * width, num_classes)


@register(image_size=SMALL, stride=4, paper=PAPER)
def resnet20_cifar(num_classes: int = 10, *, width: int = 16, blocks: int = 3, stem_stride: int = 1) -> Staged:
    """ResNet-20 for 32x32 images, real-valued: 16, 32 and 64 channels."""
    stem = small_stem(width, nn.ReLU(), stride=stem_stride)
    return Staged(stem, stages(Block, (blocks, blocks, blocks), width), 4 * width, num_classes)
