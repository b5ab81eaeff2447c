"""XNOR-Net: ImageNet classification using binary convolutional neural networks.

Paper: arXiv 1603.05279 (ECCV 2016). Code by the authors (AlexNet only): github.com/allenai/XNOR-Net, models/
alexnetxnor.lua and newLayers/BinActiveZ.lua, read for facts; none copied.

Parameters: xnornet18 11,689,640 (10,985,472 binary), xnornet18_cifar 11,174,090 (10,985,472).

A binary layer is batch norm, sign, convolution, in this order, its output scaled by mean|weight|; the sign's gradient
is 1 within |x| <= 1. The first convolution, the last layer and the 1x1 convolutions of the shortcuts are real.

Decided here, where the sources differ or keep silent:
- The scale map K of the inputs is left out, as in the authors' code: they report that it gives less than 1 %.
- ResNet-18 was never released. A block is two binary layers and one shortcut, the paper's "type B"; where the shape
  changes it is an average pool, a real 1x1 and a batch norm. Only real ones fit the 1.41e8 FLOPs that are printed for
  it (ours: 1.378e8). Batch norm and ReLU before the head, as in the authors' AlexNet.
- With its signs turned off the network is linear between stem and head: the twin is no network to train for itself.
"""

from torch import Tensor, nn

from reactnet.models.layout import IMAGENET, SMALL, Staged, imagenet_stem, pooled_shortcut, small_stem, stages
from reactnet.models.registry import register
from reactnet.nn import BinaryConv2d, Sign

PAPER = "arXiv 1603.05279"


class Layer(nn.Module):
    """Batch norm, sign, binary 3x3.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.sign = Sign(gradient="identity")
        self.conv = BinaryConv2d(in_channels, out_channels, 3, stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.sign(self.norm(x)))
        return out


class Block(nn.Module):
    """Two binary layers and a shortcut around both.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = Layer(in_channels, out_channels, stride)
        self.second = Layer(out_channels, out_channels)
        self.shortcut = pooled_shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return out


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def xnornet18(num_classes: int = 1000) -> Staged:
    """XNOR-Net on the plan of ResNet-18."""
    return Staged(imagenet_stem(nn.ReLU()), _stages(64), 512, num_classes)


@register(image_size=SMALL, stride=8, paper=f"{PAPER}, with a stem for small images")
def xnornet18_cifar(num_classes: int = 10, *, width: int = 64, stem_stride: int = 1) -> Staged:
    """XNOR-Net on the plan of ResNet-18 for 32x32 images: 3x3 stem at stride 1, no pooling."""
    return Staged(small_stem(width, nn.ReLU(), stride=stem_stride), _stages(width), 8 * width, num_classes)


def _stages(width: int) -> nn.Sequential:
    return stages(Block, (2, 2, 2, 2), width).extend([nn.BatchNorm2d(8 * width), nn.ReLU()])
