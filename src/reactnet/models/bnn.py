"""Binarized neural networks: training with weights and activations constrained to +1 or -1.

Paper: arXiv 1602.02830 (NeurIPS 2016, "Binarized neural networks"). Code by an author, with a ResNet:
github.com/itayhubara/BinaryNet.pytorch, models/resnet_binary.py, read for facts; none copied.

Parameters: bnn_resnet18 11,689,512 (11,157,504 binary).

A block is two convolutions of signs with weight signs, without any scale. The real stream is clipped to [-1, 1] (hard
tanh) after the batch norm that follows each addition; a sign's gradient is 1 within |x| <= 1.

Decided here, where the sources differ or keep silent:
- Stem and head are real. The author's code has them binary too, but the comparisons that print 42.2 % top-1 count
  1.20e8 FLOPs, which is a real stem and head (ours: 1.185e8). The 1x1 convolutions of the shortcuts are binary, as in
  the code: 1.70e9 BOPs.
- Between the two convolutions the hard tanh is left out: the sign that follows does not see it, and its gradient is
  the sign's. The batch norms around the author's last layer, and its log-softmax, are left out.
"""

from torch import Tensor, nn

from reactnet.models.layout import IMAGENET, Staged, stages
from reactnet.models.registry import register
from reactnet.nn import BinaryConv2d, Sign


class BinaryLayer(nn.Module):
    """Sign, then a binary convolution without scale.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.sign = Sign(gradient="identity")
        self.conv = BinaryConv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, scale=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.sign(x))
        return out


class Block(nn.Module):
    """Two binary 3x3 layers and a shortcut around both, then batch norm and hard tanh.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)), within [-1, 1].
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = BinaryLayer(in_channels, out_channels, 3, stride)
        self.norm = nn.BatchNorm2d(out_channels)
        self.second = BinaryLayer(out_channels, out_channels, 3)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                BinaryLayer(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)
            )
        self.norm_sum = nn.BatchNorm2d(out_channels)
        self.clip = nn.Hardtanh()

    def forward(self, x: Tensor) -> Tensor:
        out = self.second(self.norm(self.first(x))) + self.shortcut(x)
        clipped: Tensor = self.clip(self.norm_sum(out))
        return clipped


@register(image_size=IMAGENET, stride=32, paper="arXiv 1602.02830")
def bnn_resnet18(num_classes: int = 1000) -> Staged:
    """The binarized network of 2016, without scales, on the plan of ResNet-18."""
    stem = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, padding=3, bias=False),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.BatchNorm2d(64),
        nn.Hardtanh(),
    )
    return Staged(stem, stages(Block, (2, 2, 2, 2), 64), 512, num_classes)
