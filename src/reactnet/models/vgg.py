"""Very deep convolutional networks for large-scale image recognition: VGG, real-valued; and VGG-small, binary.

Paper: arXiv 1409.1556 (ICLR 2015); batch norm came later. Layer for layer the networks of torchvision.models.vgg and of
OpenMMLab's model zoo, whose weights can be converted; no code copied. VGG-small is the CIFAR network of the binary
literature (LQ-Nets, IR-Net, ReCU): facts from github.com/z-hXu/ReCU, models_cifar/vgg.py.

Parameters: vgg11 132,863,336, vgg13 133,047,848, vgg16 138,357,544, vgg19 143,667,240, vgg11_bn 132,868,840,
vgg13_bn 133,053,736, vgg16_bn 138,365,992, vgg19_bn 143,678,248, vgg_small_cifar 4,660,106 (4,571,136 binary).

Decided here:
- The option `hidden` is the width of the two hidden linear layers, in which most parameters are: 4096 is the paper's.
- An adaptive average pool to 7x7 stands before the head, as in torchvision; OpenMMLab has none. At 224x224 it does
  nothing. With it a network takes any image of at least 32x32, as its trained head sees 7x7 cells whatever the size.
- VGG-small pools to 4x4 in the same way, which does nothing at 32x32. Its binary convolutions have ReActNet's scale;
  a hard tanh stands before each sign, as in the code, and the sign's gradient is 1 within |x| <= 1.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from reactnet.models.layout import IMAGENET, SMALL
from reactnet.models.registry import register
from reactnet.nn import BinaryConv2d, Sign

PAPER = "arXiv 1409.1556"

DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """3x3 convolutions with a max pool after each stage, an adaptive average pool, a head on all that is left.

    Shape: (N, 3, H, W) -> (N, num_classes).
    """

    def __init__(self, features: nn.Sequential, cells: int, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(cells)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(self.features(x)).flatten(1))
        return out


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def vgg11(num_classes: int = 1000, *, hidden: int = 4096) -> VGG:
    """VGG-11, real-valued."""
    return _vgg(DEPTHS[11], num_classes, hidden)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def vgg13(num_classes: int = 1000, *, hidden: int = 4096) -> VGG:
    """VGG-13, real-valued."""
    return _vgg(DEPTHS[13], num_classes, hidden)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def vgg16(num_classes: int = 1000, *, hidden: int = 4096) -> VGG:
    """VGG-16, real-valued."""
    return _vgg(DEPTHS[16], num_classes, hidden)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def vgg19(num_classes: int = 1000, *, hidden: int = 4096) -> VGG:
    """VGG-19, real-valued."""
    return _vgg(DEPTHS[19], num_classes, hidden)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def vgg11_bn(num_classes: int = 1000, *, hidden: int = 4096) -> VGG:
    """VGG-11 with batch norm, real-valued."""
    return _vgg(DEPTHS[11], num_classes, hidden, norm=True)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def vgg13_bn(num_classes: int = 1000, *, hidden: int = 4096) -> VGG:
    """VGG-13 with batch norm, real-valued."""
    return _vgg(DEPTHS[13], num_classes, hidden, norm=True)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def vgg16_bn(num_classes: int = 1000, *, hidden: int = 4096) -> VGG:
    """VGG-16 with batch norm, real-valued."""
    return _vgg(DEPTHS[16], num_classes, hidden, norm=True)


@register(image_size=IMAGENET, stride=32, paper=PAPER)
def vgg19_bn(num_classes: int = 1000, *, hidden: int = 4096) -> VGG:
    """VGG-19 with batch norm, real-valued."""
    return _vgg(DEPTHS[19], num_classes, hidden, norm=True)


@register(image_size=SMALL, stride=8, paper="arXiv 1807.10029 (LQ-Nets), as in ReCU (arXiv 2103.12369)")
def vgg_small_cifar(num_classes: int = 10) -> VGG:
    """VGG-small for 32x32 images: one real convolution, five binary ones, a real linear layer."""
    features = nn.Sequential(nn.Conv2d(3, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128), nn.Hardtanh())
    before = 128
    for index, after in enumerate((128, 256, 256, 512, 512)):
        features.extend([Sign(gradient="identity"), BinaryConv2d(before, after, 3, padding=1)])
        if index % 2 == 0:
            features.append(nn.MaxPool2d(2, stride=2))
        features.extend([nn.BatchNorm2d(after), nn.Hardtanh()])
        before = after
    return VGG(features, 4, nn.Linear(512 * 4 * 4, num_classes))


def _vgg(depths: Sequence[int], num_classes: int, hidden: int, *, norm: bool = False) -> VGG:
    features = nn.Sequential()
    before = 3
    for width, depth in zip(WIDTHS, depths, strict=True):
        for _ in range(depth):
            features.append(nn.Conv2d(before, width, 3, padding=1))
            features.extend([nn.BatchNorm2d(width), nn.ReLU()] if norm else [nn.ReLU()])
            before = width
        features.append(nn.MaxPool2d(2, stride=2))
    head = nn.Sequential(
        nn.Linear(512 * 7 * 7, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, num_classes),
    )
    return VGG(features, 7, head)
