"""What the authors of ReActNet published: the MobileNet and the ResNet family, and AdamBNN's release of the former.

Sources, read for facts: github.com/liuzechun/ReActNet (folders mobilenet and resnet) and github.com/liuzechun/AdamBNN.
AdamBNN's two steps have the keys and shapes of the MobileNet family's first step: there is no layout of its own.

Both networks are ours, layer for layer, under other names:
- A `move` is a bias of shape (1, C, 1, 1) that is added: before the sign our `shift`, before and behind the PReLU our
  `shift_in` and `shift_out`. No sign changes.
- The two 1x1 branches of a widening block read one sign and are concatenated: they are one convolution of ours.
- The binary weight is `weight` or, in older files, `weights`; either may be 4-D or (N, 1), row-major over 4-D.
"""

import math
from collections.abc import Set

from torch import nn

from reactnet.convert.rules import Layout, Rule, Rules, Shape


def _mobilenet_rules(model: nn.Module, keys: Set[str]) -> tuple[Rule, ...]:
    rules = Rules(model)
    rules.take_layer("stem.0", "feature.0.conv1", bias=False)
    rules.take_norm("stem.1", "feature.0.bn1")
    for index, (_, block) in enumerate(model.get_submodule("blocks").named_children()):
        ours, theirs = f"blocks.{index}", f"feature.{index + 1}"
        _shift(rules, f"{ours}.spatial.sign.shift", f"{theirs}.move11")
        _binary(rules, keys, f"{ours}.spatial.conv", f"{theirs}.binary_3x3")
        rules.take_norm(f"{ours}.spatial.norm", f"{theirs}.bn1")
        _activation(rules, f"{ours}.spatial.act", f"{theirs}.move12", f"{theirs}.prelu1", f"{theirs}.move13")
        _shift(rules, f"{ours}.pointwise.sign.shift", f"{theirs}.move21")
        out_channels, in_channels = block.get_parameter("pointwise.conv.weight").shape[:2]
        if out_channels == in_channels:
            _binary(rules, keys, f"{ours}.pointwise.conv", f"{theirs}.binary_pw")
            rules.take_norm(f"{ours}.pointwise.norm", f"{theirs}.bn2")
        else:
            branches = (f"{theirs}.binary_pw_down1", f"{theirs}.binary_pw_down2")
            _binary(rules, keys, f"{ours}.pointwise.conv", *branches)
            rules.take_norm(f"{ours}.pointwise.norm", f"{theirs}.bn2_1", f"{theirs}.bn2_2")
        _activation(rules, f"{ours}.pointwise.act", f"{theirs}.move22", f"{theirs}.prelu2", f"{theirs}.move23")
    rules.take_layer("head", "fc")
    return rules.done()


def _resnet_rules(model: nn.Module, keys: Set[str]) -> tuple[Rule, ...]:
    rules = Rules(model)
    rules.take_layer("stem.0", "conv1", bias=False)
    rules.take_norm("stem.1", "bn1")
    for stage, (_, units) in enumerate(model.get_submodule("stages").named_children()):
        for index, (_, unit) in enumerate(units.named_children()):
            ours, theirs = f"stages.{stage}.{index}", f"layer{stage + 1}.{index}"
            _shift(rules, f"{ours}.sign.shift", f"{theirs}.move0")
            _binary(rules, keys, f"{ours}.conv", f"{theirs}.binary_conv")
            rules.take_norm(f"{ours}.norm", f"{theirs}.bn1")
            _activation(rules, f"{ours}.act", f"{theirs}.move1", f"{theirs}.prelu", f"{theirs}.move2")
            if not isinstance(unit.get_submodule("shortcut"), nn.Identity):
                rules.take_layer(f"{ours}.shortcut.1", f"{theirs}.downsample.1", bias=False)
                rules.take_norm(f"{ours}.shortcut.2", f"{theirs}.downsample.2")
    rules.take_layer("head", "fc")
    return rules.done()


def _shift(rules: Rules, ours: str, theirs: str) -> None:
    rules.take_reshaped(ours, f"{theirs}.bias", lambda shape: (1, *shape, 1, 1))


def _activation(rules: Rules, ours: str, move_in: str, prelu: str, move_out: str) -> None:
    _shift(rules, f"{ours}.shift_in", move_in)
    rules.take(f"{ours}.slope", f"{prelu}.weight")
    _shift(rules, f"{ours}.shift_out", move_out)


def _binary(rules: Rules, keys: Set[str], ours: str, *theirs: str) -> None:
    def flat(shape: Shape) -> Shape:
        return (math.prod(shape), 1)

    names = [f"{conv}.weights" if f"{conv}.weights" in keys else f"{conv}.weight" for conv in theirs]
    rules.take(f"{ours}.weight", *names, also=flat)


MOBILENET = Layout(
    name="official ReActNet or AdamBNN, MobileNet family",
    models=("reactnet_a",),
    mark=r"feature\.\d+\.(move11\.bias|binary_3x3\.weights?)",
    head="fc.weight",
    rules=_mobilenet_rules,
)
RESNET = Layout(
    name="official ReActNet, ResNet family",
    models=("reactnet18", "reactnet34"),
    mark=r"layer\d+\.\d+\.(move0\.bias|binary_conv\.weights?)",
    head="fc.weight",
    rules=_resnet_rules,
)
