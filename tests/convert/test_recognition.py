"""Keys and shapes alone tell the model; the published full-size networks are looked at without memory for weights."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convert.published import Form, MobileNet, ResNet, randomise
from reactnet.convert import LAYOUTS, official, openmmlab, recognise, recognition, torchvision
from reactnet.convert.conversion import load
from reactnet.convert.rules import apply
from reactnet.errors import ReactnetError
from reactnet.models import create_model
from reactnet.models.registry import model_info

# Published facts: channels, and the positions of the convolutions in the two libraries.
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
OPENMMLAB = {
    11: (0, 2, 4, 5, 7, 8, 10, 11),
    13: (0, 1, 3, 4, 6, 7, 9, 10, 12, 13),
    16: (0, 1, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16),
    19: (0, 1, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19),
}
TORCHVISION = {
    "vgg11": (0, 3, 6, 8, 11, 13, 16, 18),
    "vgg11_bn": (0, 4, 8, 11, 15, 18, 22, 25),
    "vgg13": (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
    "vgg13_bn": (0, 3, 7, 10, 14, 17, 21, 24, 28, 31),
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg16_bn": (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
    "vgg19_bn": (0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49),
}
# The published parameter counts, in millions, of configs/vgg/README.md.
PARAMETERS = {
    "vgg11": 132.86, "vgg13": 133.05, "vgg16": 138.36, "vgg19": 143.67,
    "vgg11_bn": 132.87, "vgg13_bn": 133.05, "vgg16_bn": 138.37, "vgg19_bn": 143.68,
}  # fmt: skip


def depth_of(name: str) -> int:
    return int(name.removeprefix("vgg").removesuffix("_bn"))


def vgg_state(
    name: str, layout: str, *, hidden: int = 4096, classes: int = 1000, device: str = "meta"
) -> dict[str, Tensor]:
    """A published VGG's state dict, key by key from the tables above."""
    depth = depth_of(name)
    widths = [width for width, count in zip((64, 128, 256, 512, 512), STAGES[depth], strict=True) for _ in range(count)]
    state: dict[str, Tensor] = {}
    before = 3
    for number, after in enumerate(widths):
        if layout == "openmmlab":
            conv = f"backbone.features.{OPENMMLAB[depth][number]}.conv"
            norm = f"backbone.features.{OPENMMLAB[depth][number]}.bn"
        else:
            position = TORCHVISION[name][number]
            conv, norm = f"features.{position}", f"features.{position + 1}"
        state[f"{conv}.weight"] = torch.empty(after, before, 3, 3, device=device)
        state[f"{conv}.bias"] = torch.empty(after, device=device)
        if name.endswith("_bn"):
            for part in ("weight", "bias", "running_mean", "running_var"):
                state[f"{norm}.{part}"] = torch.empty(after, device=device)
            state[f"{norm}.num_batches_tracked"] = torch.empty((), dtype=torch.int64, device=device)
        before = after
    for number, (inputs, outputs) in {0: (25088, hidden), 3: (hidden, hidden), 6: (hidden, classes)}.items():
        head = f"{'backbone.' if layout == 'openmmlab' else ''}classifier.{number}"
        state[f"{head}.weight"] = torch.empty(outputs, inputs, device=device)
        state[f"{head}.bias"] = torch.empty(outputs, device=device)
    return state


@pytest.mark.parametrize("layout", ["openmmlab", "torchvision"])
@pytest.mark.parametrize("name", TORCHVISION)
def test_each_vgg_is_recognised_and_every_convolution_is_where_it_was(name: str, layout: str) -> None:
    state = vgg_state(name, layout)
    real = sum(tensor.numel() for key, tensor in state.items() if "running" not in key and "num_batches" not in key)
    assert round(real / 1e6, 2) == PARAMETERS[name]
    found = recognise(state)
    assert (found.name, found.num_classes) == (name, 1000)
    source = {rule.ours: rule.theirs for rule in found.rules}
    places = zip(TORCHVISION[name], OPENMMLAB[depth_of(name)], strict=True)
    for ours, theirs in places:  # our VGG has torchvision's positions
        pair = (f"backbone.features.{theirs}.conv", f"backbone.features.{theirs}.bn")
        conv, norm = pair if layout == "openmmlab" else (f"features.{ours}", f"features.{ours + 1}")
        assert source[f"features.{ours}.weight"] == (f"{conv}.weight",)
        assert source[f"features.{ours}.bias"] == (f"{conv}.bias",)
        if name.endswith("_bn"):
            assert source[f"features.{ours + 1}.running_var"] == (f"{norm}.running_var",)
    assert {key for keys in source.values() for key in keys} == state.keys()


def published_vgg(state: dict[str, Tensor], x: Tensor, positions: Sequence[int], stages: Sequence[int]) -> Tensor:
    """OpenMMLab's VGG, said by its data flow: convolution, norm, ReLU; a pool a stage; three linear layers."""
    left = iter(positions)
    for count in stages:
        for _ in range(count):
            at = f"backbone.features.{next(left)}"
            x = F.conv2d(x, state[f"{at}.conv.weight"], state[f"{at}.conv.bias"], padding=1)
            norm = [state[f"{at}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
            x = F.relu(F.batch_norm(x, *norm))
        x = F.max_pool2d(x, 2, 2)
    x = x.flatten(1)
    for number in (0, 3, 6):
        head = f"backbone.classifier.{number}"
        x = F.linear(x, state[f"{head}.weight"], state[f"{head}.bias"])
        x = x if number == 6 else F.relu(x)
    return x


@pytest.mark.parametrize("layout", ["openmmlab", "torchvision"])
def test_a_vgg_computes_what_it_did(layout: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    published = vgg_state("vgg11_bn", "openmmlab", hidden=8, classes=3, device="cpu")
    for key, tensor in published.items():
        if key.endswith("num_batches_tracked"):
            tensor.fill_(3)
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        else:
            fan_in = tensor[0].numel() if tensor.ndim > 1 else 4
            tensor.normal_(0, (2 / fan_in) ** 0.5)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = published_vgg(published, x, OPENMMLAB[11], STAGES[11])
    with torch.device("meta"):
        model = create_model("vgg11_bn", hidden=8, num_classes=3)
    names = vgg_state("vgg11_bn", layout, hidden=8, classes=3)  # the same order in either layout
    state = dict(zip(names, published.values(), strict=True))
    rules = (openmmlab.VGG if layout == "openmmlab" else torchvision.VGG).rules(model, state.keys())
    with torch.no_grad():
        found = load(model, apply(rules, state))(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def on_meta_mobilenet(form: Form) -> dict[str, Tensor]:
    widths = [32] + [64] + [128] * 2 + [256] * 2 + [512] * 6 + [1024] * 2
    strides = [2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    with torch.device("meta"):
        return MobileNet(widths, strides, 1000, form).state_dict()


@pytest.mark.parametrize("form", [Form(), Form("weights", flat=True)])
def test_the_published_reactnet_a_is_recognised(form: Form) -> None:
    state = on_meta_mobilenet(form)
    binary = f"feature.13.binary_pw.{form.name}"
    assert tuple(state[binary].shape) == ((1024 * 1024, 1) if form.flat else (1024, 1024, 1, 1))
    found = recognise(state)
    assert (found.name, found.num_classes) == ("reactnet_a", 1000)
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    assert sum(value.numel() for key, value in state.items() if not key.endswith(buffers)) == 29_343_592


@pytest.mark.parametrize(
    ("depths", "form", "name"),
    [
        ((4, 4, 4, 4), Form(), "reactnet18"),
        ((4, 4, 4, 4), Form("weights", flat=True), "reactnet18"),
        ((6, 8, 12, 6), Form(), "reactnet34"),
        ((2, 2, 2, 2), None, "resnet18"),
        ((3, 4, 6, 3), None, "resnet34"),
    ],
)
def test_the_published_resnets_are_told_by_their_depth(depths: tuple[int, ...], form: Form | None, name: str) -> None:
    with torch.device("meta"):
        state = ResNet(depths, 64, 12, form).state_dict()
    found = recognise(state)
    assert (found.name, found.num_classes) == (name, 12)
    assert found.model.state_dict().keys() == {rule.ours for rule in found.rules}


def test_a_narrow_net_of_any_width_follows_the_same_rules() -> None:
    from reactnet.models.reactnet import ReActNet

    torch.manual_seed(0)
    widths, strides = (4, 8, 8, 16), (2, 1, 2, 2)
    published = MobileNet(widths, strides, 3, Form("weights", flat=True))
    randomise(published)
    ours = ReActNet(widths, strides, 3)
    state = published.state_dict()
    load(ours, apply(official.MOBILENET.rules(ours, state.keys()), state))
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), published.eval()(x), rtol=1e-4, atol=1e-4)


def test_the_model_may_be_named_and_is_then_held_to() -> None:
    with torch.device("meta"):
        state = ResNet((2, 2, 2, 2), 64, 12, None).state_dict()
    assert recognise(state, model="resnet18").name == "resnet18"
    with pytest.raises(ReactnetError, match=r"not a resnet34 \(torchvision, ResNet\): \d+ missing: "):
        recognise(state, model="resnet34")
    with pytest.raises(ReactnetError, match=r"in which there is no 'vgg16'") as caught:
        recognise(state, model="vgg16")
    assert caught.value.hint == "choose one of resnet18, resnet34"


def test_the_nearest_model_is_named_where_none_fits() -> None:
    with torch.device("meta"):
        state = ResNet((3, 4, 6, 3), 64, 12, None).state_dict()
    del state["layer4.2.bn2.bias"]
    with pytest.raises(ReactnetError, match=r"not a resnet34, which is nearest .*: 1 missing: layer4\.2\.bn2\.bias"):
        recognise(state)


def test_two_models_that_fit_must_be_told_apart_by_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        state = ResNet((2, 2, 2, 2), 64, 12, None).state_dict()
    twin = replace(torchvision.RESNET, models=("resnet18", "twin"))
    monkeypatch.setattr(recognition, "LAYOUTS", (twin,))
    monkeypatch.setattr(recognition, "model_info", lambda name: model_info("resnet18"))
    monkeypatch.setattr(
        recognition, "create_model", lambda name, num_classes: create_model("resnet18", num_classes=num_classes)
    )
    with pytest.raises(ReactnetError, match="it fits 2 models: resnet18, twin") as caught:
        recognise(state)
    assert caught.value.hint == "say which: --model resnet18"
    assert recognise(state, model="twin").name == "twin"


def test_an_unknown_layout_lists_the_known_ones() -> None:
    with pytest.raises(ReactnetError, match=r"2 keys of no layout known here: encoder\.0\.weight, ") as caught:
        recognise({"encoder.0.weight": torch.zeros(1), "encoder.0.bias": torch.zeros(1)})
    for layout in LAYOUTS:
        assert layout.name in caught.value.hint


@pytest.mark.parametrize("classes", [0, 65_537])
def test_an_absurd_number_of_classes_is_a_misshapen_head(classes: int) -> None:
    with torch.device("meta"):
        state = ResNet((2, 2, 2, 2), 64, 12, None).state_dict()
        state["fc.weight"] = torch.empty(classes, 512)
    with pytest.raises(ReactnetError, match=rf"fc\.weight \({classes}, 512\), not \(1000, 512\)"):
        recognise(state)


def test_recognition_leaves_the_random_generator_alone() -> None:
    with torch.device("meta"):
        state = ResNet((2, 2, 2, 2), 64, 12, None).state_dict()
    before = torch.random.get_rng_state()
    recognise(state)
    assert torch.equal(torch.random.get_rng_state(), before)
