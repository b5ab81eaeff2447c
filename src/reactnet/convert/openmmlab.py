"""OpenMMLab's VGG files (mmcls, now mmpretrain): `meta`, which is not read, and a state dict.

Source, read for facts: mmpretrain/models/backbones/vgg.py and the published files of configs/vgg. A convolution, its
batch norm and its ReLU are one module there, `features.I` with `.conv` and `.bn`; a max pool is one too. So I counts
convolutions and pools, the same with and without batch norm.
"""

from collections.abc import Set

from torch import nn

from reactnet.convert.rules import Layout, Rule, Rules
from reactnet.convert.torchvision import VGGS


def _vgg_rules(model: nn.Module, keys: Set[str]) -> tuple[Rule, ...]:
    rules = Rules(model)
    position = -1
    for index, layer in model.get_submodule("features").named_children():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            position += 1
        if isinstance(layer, nn.Conv2d):
            rules.take_layer(f"features.{index}", f"backbone.features.{position}.conv")
        elif isinstance(layer, nn.BatchNorm2d):
            rules.take_norm(f"features.{index}", f"backbone.features.{position}.bn")
    for number in (0, 3, 6):
        rules.take_layer(f"head.{number}", f"backbone.classifier.{number}")
    return rules.done()


VGG = Layout(
    name="OpenMMLab, VGG",
    models=VGGS,
    mark=r"backbone\.features\.\d+\.conv\.weight",
    head="backbone.classifier.6.weight",
    rules=_vgg_rules,
)
