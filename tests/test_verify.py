"""Verify agrees with a model's own file, and names the layer of any other."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from reactnet.compiler import compile as compile_model
from reactnet.errors import ReactnetError
from reactnet.graph import Graph, load, save
from reactnet.models import create_model
from reactnet.nn import BinaryConv2d, RSign, Sign, set_binarize
from reactnet.runtime import Session
from reactnet.verify import TOLERANCE, LayerCheck, _count_flips, _difference, verify

SIZE = (8, 8, 1)
BINARY = "blocks.1.spatial.conv"
SIGN = "blocks.1.spatial.sign"


def make_model(seed: int = 0) -> nn.Module:
    """Digits with its card, every shift, slope and norm drawn at random."""
    torch.manual_seed(seed)
    model = create_model("reactnet_digits").eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.ndim == 1 and tensor.is_floating_point():
                tensor.uniform_(0.5, 2) if name.endswith("running_var") else tensor.normal_(0.1, 0.5)
    model.reactnet = SimpleNamespace(
        name="reactnet_digits", image_size=SIZE, mean=(0.3,), std=(0.376,), resize=(8, 8), crop=(8, 8),
        class_names=tuple("0123456789"), provenance={},
    )  # fmt: skip
    return model


@pytest.fixture
def model() -> nn.Module:
    return make_model()


@pytest.fixture
def file(model: nn.Module, tmp_path: Path) -> Path:
    compile_model(model, tmp_path / "digits.rnet")
    return tmp_path / "digits.rnet"


def change(file: Path, tensor: str, edit: Callable[[np.ndarray], None]) -> None:
    """Edit one constant of a file and write it again, with a hash that is right."""
    graph: Graph = load(file)
    constants = {name: array.copy() for name, array in graph.constants.items()}
    edit(constants[tensor])
    save(replace(graph, constants=constants), file)


def test_a_model_agrees_with_its_own_file(model: nn.Module, file: Path) -> None:
    found = verify(model, file, count=5)
    assert found.ok, str(found)
    assert (found.images, found.first, found.stored, found.runtime_differs) == (5, None, [], [])
    assert found.top1_agreement == 1
    assert all(check.difference < TOLERANCE / 10 for check in found.layers)


def test_every_layer_is_compared(model: nn.Module, file: Path) -> None:
    checked = {check.layer for check in verify(model, file, count=1).layers}
    leaves = {path for path, module in model.named_modules() if not list(module.children())}
    assert leaves - checked <= {path for path in leaves if "shortcut" in path}


@pytest.mark.parametrize("binarize", [(), ("activations",)])
def test_a_model_of_an_earlier_phase_agrees(model: nn.Module, tmp_path: Path, binarize: tuple[str, ...]) -> None:
    set_binarize(model, binarize)
    compile_model(model, tmp_path / "d.rnet")
    found = verify(model, tmp_path / "d.rnet", count=3)
    assert found.ok, str(found)


@pytest.mark.parametrize("name", ["bnext_t", "meliusnet22", "quicknet_small", "real_to_binary18", "resnet20_cifar"])
def test_every_kind_of_block_agrees(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = create_model(name).eval()
    compile_model(other, tmp_path / "x.rnet", image_size=(32, 32, 3))
    found = verify(other, tmp_path / "x.rnet", count=1)
    assert found.ok, str(found)


def test_one_flipped_weight_bit_is_found_in_its_layer(model: nn.Module, file: Path) -> None:
    def flip(words: np.ndarray) -> None:
        words[3, 1, 1, 0] ^= np.uint64(1 << 17)

    change(file, f"{BINARY}.sum.weight", flip)
    found = verify(model, file, count=2)
    assert not found.ok
    assert found.first == BINARY
    assert next(check for check in found.layers if check.layer == BINARY).unequal > 0
    assert found.stored == [f"{BINARY}.sum.weight: 1 bits differ"]
    assert BINARY in str(found)
    assert found.runtime_differs == []  # the file is sound, it is another network


def test_one_changed_shift_is_found_in_its_sign_with_the_signs_it_flipped(model: nn.Module, file: Path) -> None:
    def move(shift: np.ndarray) -> None:
        shift[5] -= 5  # all of this channel's signs are +1 in the model: they flip

    change(file, f"{SIGN}.shift", move)
    found = verify(model, file, count=4)
    check = next(check for check in found.layers if check.layer == SIGN)
    assert not found.ok
    assert found.first == SIGN
    assert (check.flipped, check.tied) == (4 * 4 * 4, 0)
    assert str(check.flipped) in str(found)


@pytest.mark.parametrize(
    ("tensor", "first"),
    [
        ("stem.0.weight", "stem.1"),
        ("blocks.0.spatial.act.prelu.slope", "blocks.0.spatial.act"),
        ("blocks.1.pointwise.norm.scale", "blocks.1.pointwise.norm"),
        ("head.weight", "head"),
    ],
)
def test_a_changed_real_constant_is_found_in_its_layer(model: nn.Module, file: Path, tensor: str, first: str) -> None:
    assert tensor in load(file).constants

    def double(array: np.ndarray) -> None:
        array *= 2

    change(file, tensor, double)
    found = verify(model, file, count=2)
    assert not found.ok
    assert found.first is not None
    assert found.first.startswith(first.rsplit(".", 1)[0])
    assert [text.split(":")[0] for text in found.stored] == [tensor]


def test_a_constant_that_no_image_reaches_is_found_all_the_same(model: nn.Module, file: Path) -> None:
    """Dark images never look the brightest pixel up."""

    def brighten(table: np.ndarray) -> None:
        table[255] += 1

    change(file, "normalize.table", brighten)
    found = verify(model, file, images=np.zeros((2, *SIZE), np.uint8))
    assert found.first is None
    assert not found.ok
    assert found.stored == ["normalize.table: 1 values differ"]
    assert found.first_difference == found.stored[0]


def test_a_file_of_other_preprocessing_is_another_network(model: nn.Module, file: Path) -> None:
    graph = load(file)
    save(replace(graph, preprocessing=replace(graph.preprocessing, mean=(0.5,))), file)
    found = verify(model, file, count=1)
    assert not found.ok
    assert "mean" in str(found.structure)


def test_a_file_of_another_model_says_where_it_is_another(model: nn.Module, tmp_path: Path) -> None:
    twin = make_model()
    set_binarize(twin, ())
    compile_model(twin, tmp_path / "twin.rnet")
    found = verify(model, tmp_path / "twin.rnet", count=1)
    assert not found.ok
    assert "blocks.0.spatial" in str(found.structure)
    assert "another network" in str(found)


def test_a_file_of_other_classes_is_no_traceback(model: nn.Module, tmp_path: Path) -> None:
    other = create_model("reactnet_digits", num_classes=3).eval()
    compile_model(other, tmp_path / "three.rnet", image_size=SIZE)
    other_card = load(tmp_path / "three.rnet")
    save(replace(other_card, preprocessing=replace(other_card.preprocessing, mean=(0.3,), std=(0.376,))),
         tmp_path / "three.rnet")  # fmt: skip
    found = verify(model, tmp_path / "three.rnet", count=1)
    assert not found.ok
    assert found.max_logit_difference is None
    assert "head" in str(found.structure)
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_runtime_that_computes_one_bit_otherwise_is_found(
    model: nn.Module, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session.values

    def wrong(self: Session, image: np.ndarray) -> dict[str, np.ndarray]:
        values = dict(real(self, image))
        value = values["blocks.0.pointwise.norm"].copy()
        value.view(np.uint32).reshape(-1)[7] ^= 1
        return {**values, "blocks.0.pointwise.norm": value}

    monkeypatch.setattr(Session, "values", wrong)
    found = verify(model, file, count=1)
    assert found.runtime_differs == ["blocks.0.pointwise.norm"]
    assert not found.ok
    assert "blocks.0.pointwise.norm" in str(found)


def test_fused_logits_that_differ_are_found(model: nn.Module, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Session.run
    monkeypatch.setattr(Session, "run", lambda self, x: np.nextafter(real(self, x), np.float32(np.inf)))
    assert verify(model, file, count=1).runtime_differs == ["head"]


@pytest.mark.parametrize("layer", [RSign(1), Sign()])
def test_a_flipped_sign_is_a_tie_only_near_its_threshold(layer: nn.Module) -> None:
    x = torch.tensor([1e-6, -1e-6, 0.1, 1.0]).view(1, 1, 2, 2)
    check = LayerCheck("sign", "Sign")
    _count_flips(check, layer(x), -layer(x), layer, x)
    assert (check.flipped, check.tied) == (4, 2)
    assert not check.ok


def test_the_same_seed_gives_the_same_images(model: nn.Module, file: Path) -> None:
    first, again = (verify(model, file, count=2, seed=3).to_dict() for _ in range(2))
    assert first == again
    assert verify(model, file, count=2, seed=4).to_dict() != first


def test_json_says_everything(model: nn.Module, file: Path) -> None:
    found = json.loads(json.dumps(verify(model, file, count=1).to_dict(), allow_nan=False))
    assert found["ok"] is True
    assert found.keys() == {
        "ok", "images", "first_difference", "stored_differs", "runtime_differs", "tied_signs", "flipped_signs",
        "top1_agreement", "changed_images", "max_logit_difference", "isa", "layers",
    }  # fmt: skip


def test_the_model_is_left_in_the_mode_it_was_in(model: nn.Module, file: Path) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert verify(model.train(), file, count=1).ok
    assert all(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_no_images_are_an_error(model: nn.Module, file: Path) -> None:
    with pytest.raises(ReactnetError, match="no images"):
        verify(model, file, images=np.zeros((0, *SIZE), np.uint8))


def test_a_file_for_other_images_is_an_error(model: nn.Module, tmp_path: Path) -> None:
    other = create_model("resnet20_cifar").eval()
    compile_model(other, tmp_path / "c.rnet", image_size=(8, 8, 3))
    with pytest.raises(ReactnetError, match="8x8x3"):
        verify(model, tmp_path / "c.rnet", count=1)


def test_classes_in_another_order_are_another_network(model: nn.Module, file: Path) -> None:
    graph = load(file)
    save(replace(graph, class_names=graph.class_names[::-1]), file)
    found = verify(model, file, count=1)
    assert not found.ok
    assert "classes 0, 1" in str(found.structure)


def test_rows_of_the_head_in_another_order_are_found_in_the_head(model: nn.Module, file: Path) -> None:
    def swap(weight: np.ndarray) -> None:
        weight[[0, 1]] = weight[[1, 0]]

    change(file, "head.weight", swap)
    assert verify(model, file, count=2).first == "head"


class Tied(nn.Module):
    """Adds 0.1 and then asks whether x + 0.1 - (0.1 + x) is below 0: where pixels are 51, float32 alone decides."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.BatchNorm2d(1)
        self.sign = RSign(1)
        self.conv = BinaryConv2d(1, 2, 1, scale=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        with torch.no_grad():
            self.scale.weight.fill_(0.7)
            self.scale.bias.fill_(0.1)
            self.scale.running_var.fill_(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(self.conv(self.sign(self.scale(x)))).flatten(1)


def test_signs_that_only_rounding_decides_are_ties_and_no_difference(tmp_path: Path) -> None:
    """The threshold is moved onto the values of a pixel: a hair to one side in the file, to the other in the model."""
    model = Tied().eval()
    pixels = np.full((1, 4, 4, 1), 51, np.uint8)
    pixels[0, 0] = 200
    with torch.no_grad():
        value = model.scale(torch.full((1, 1, 1, 1), 51 / 255)).item()
        model.sign.shift.fill_(-value * (1 + 2e-7))
    compile_model(model, tmp_path / "t.rnet", image_size=(4, 4, 1))
    change(tmp_path / "t.rnet", "sign.shift", lambda shift: shift.fill(-value * (1 - 2e-7)))
    found = verify(model, tmp_path / "t.rnet", images=pixels)
    check = next(check for check in found.layers if check.layer == "sign")
    assert (check.flipped, check.tied) == (12, 12)
    assert found.ok, str(found)
    assert found.tied == 12
    assert "12 tied signs flipped" in str(found)


def test_a_nan_on_one_side_alone_is_a_difference() -> None:
    numbers, broken = torch.tensor([1.0, 2.0]), torch.tensor([1.0, torch.nan])
    assert _difference(numbers, broken) == _difference(broken, numbers) == float("inf")
    assert _difference(broken, broken) == 0
    assert _difference(numbers, torch.tensor([1.0, 2.5])) == 0.25


def test_given_images_are_those_compared(model: nn.Module, file: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (6, *SIZE), dtype=np.uint8)
    given, drawn = verify(model, file, images=pixels), verify(model, file, count=6, seed=3)
    assert given.to_dict() == drawn.to_dict()
    assert given.images == 6


def test_layers_of_a_model_in_mixed_modes_keep_theirs(model: nn.Module, file: Path) -> None:
    model.train().stem.eval()  # a frozen stem
    before = {path: module.training for path, module in model.named_modules()}
    verify(model, file, count=1)
    assert {path: module.training for path, module in model.named_modules()} == before


def test_fewer_than_one_image_is_an_error(model: nn.Module, file: Path) -> None:
    with pytest.raises(ReactnetError, match="-1 images"):
        verify(model, file, count=-1)


def test_long_averages_have_a_tolerance_of_their_own() -> None:
    """Where every element is alike each addition rounds alike: 300 x 300 of them go past TOLERANCE by themselves."""
    ones = np.full(300 * 300, np.float32(0.1))
    total = np.cumsum(ones, dtype=np.float32)[-1]
    error = abs(total / np.float32(ones.size) - 0.1) / 0.1
    assert TOLERANCE < error < ones.size * 2.0**-24
