"""State dicts of torchvision's real-valued networks: ResNet-18 and -34, and the VGG family.

Source, read for facts: torchvision/models/resnet.py and vgg.py. Our networks have the same layers in the same order;
VGG's `features` have even the same indices.
"""

from collections.abc import Set

from torch import nn

from reactnet.convert.rules import Layout, Rule, Rules

VGGS = ("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")


def _resnet_rules(model: nn.Module, keys: Set[str]) -> tuple[Rule, ...]:
    rules = Rules(model)
    rules.take_layer("stem.0", "conv1", bias=False)
    rules.take_norm("stem.1", "bn1")
    for stage, (_, blocks) in enumerate(model.get_submodule("stages").named_children()):
        for index, (_, block) in enumerate(blocks.named_children()):
            ours, theirs = f"stages.{stage}.{index}", f"layer{stage + 1}.{index}"
            for number in (1, 2):
                rules.take_layer(f"{ours}.conv{number}", f"{theirs}.conv{number}", bias=False)
                rules.take_norm(f"{ours}.norm{number}", f"{theirs}.bn{number}")
            if not isinstance(block.get_submodule("shortcut"), nn.Identity):
                rules.take_layer(f"{ours}.shortcut.0", f"{theirs}.downsample.0", bias=False)
                rules.take_norm(f"{ours}.shortcut.1", f"{theirs}.downsample.1")
    rules.take_layer("head", "fc")
    return rules.done()


def _vgg_rules(model: nn.Module, keys: Set[str]) -> tuple[Rule, ...]:
    rules = Rules(model)
    for index, layer in model.get_submodule("features").named_children():
        if isinstance(layer, nn.Conv2d):
            rules.take_layer(f"features.{index}", f"features.{index}")
        elif isinstance(layer, nn.BatchNorm2d):
            rules.take_norm(f"features.{index}", f"features.{index}")
    for number in (0, 3, 6):
        rules.take_layer(f"head.{number}", f"classifier.{number}")
    return rules.done()


RESNET = Layout(
    name="torchvision, ResNet",
    models=("resnet18", "resnet34"),
    mark=r"layer\d+\.\d+\.conv1\.weight",
    head="fc.weight",
    rules=_resnet_rules,
)
VGG = Layout(
    name="torchvision, VGG",
    models=VGGS,
    mark=r"features\.\d+\.weight",
    head="classifier.6.weight",
    rules=_vgg_rules,
)
