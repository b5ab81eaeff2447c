"""Training binary neural networks with real-to-binary convolutions.

Paper: arXiv 2003.11535 (ICLR 2020). The authors released no code; facts from the re-implementation in
github.com/larq/zoo, larq_zoo/literature/real_to_bin_nets.py; none copied.

Parameters: real_to_binary18 11,986,856 (10,985,472 binary).

A unit is batch norm, sign, binary 3x3, gate, PReLU and a shortcut. The gate takes the place of a scale: as a
squeeze-and-excitation does, it averages each channel of what the convolution is fed (after the batch norm, before the
sign), goes through an eighth of the channels, and multiplies each output channel by a number between 0 and 1.

Decided here, where the sources differ or keep silent:
- The gates' two layers are 1x1 convolutions on a map of one pixel, the same sums as the linear layers they stand for,
  without bias, as in the re-implementation.
- PReLU slopes begin at torch's 0.25 (at 0 in the re-implementation).
- The paper prints 1.56e8 FLOPs; convolutions and linear layers, gates included, come to 1.381e8. What else it counts is
  not known.
"""

from torch import Tensor, nn

from reactnet.models.layout import IMAGENET, Staged, imagenet_stem, pooled_shortcut, stages
from reactnet.models.registry import register
from reactnet.nn import BinaryConv2d, Sign

REDUCTION = 8


class Unit(nn.Module):
    """Batch norm, sign, binary 3x3 scaled by a gate that sees its input, PReLU, shortcut.

    Shape: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.sign = Sign(gradient="identity")
        self.conv = BinaryConv2d(in_channels, out_channels, 3, stride, padding=1, scale=False)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(in_channels, in_channels // REDUCTION, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(in_channels // REDUCTION, out_channels, 1, bias=False),
            nn.Sigmoid(),
        )
        self.act = nn.PReLU(out_channels)
        self.shortcut = pooled_shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        out: Tensor = self.act(self.conv(self.sign(normed)) * self.gate(normed)) + self.shortcut(x)
        return out


@register(image_size=IMAGENET, stride=32, paper="arXiv 2003.11535")
def real_to_binary18(num_classes: int = 1000) -> Staged:
    """Real-to-Binary Net: ResNet-18 with channel gates that are computed from each image."""
    return Staged(imagenet_stem(nn.ReLU()), stages(Unit, (4, 4, 4, 4), 64), 512, num_classes)
