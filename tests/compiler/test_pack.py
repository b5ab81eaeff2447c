"""Compiling writes a file that holds the folded network, and reports every byte of it."""

import errno
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from compiler.comparing import CLOSE, assert_close, images, torch_logits
from compiler.conftest import Randomized
from reactnet.compiler import compile as compile_model
from reactnet.compiler import compile_graph, packed_bytes
from reactnet.errors import ReactnetError
from reactnet.graph import Preprocessing, load, run_reference, run_values
from reactnet.models import create_model, list_models, model_info
from reactnet.nn import BinaryConv2d, set_binarize

DIGITS = (8, 8, 1)
CARD = SimpleNamespace(
    name="reactnet_digits",
    image_size=DIGITS,
    mean=(0.3,),
    std=(0.376,),
    resize=(8, 8),
    crop=(8, 8),
    class_names=tuple("abcdefghij"),
    provenance={"seed": "7"},
)


@pytest.fixture
def model(randomized: Randomized) -> nn.Module:
    return randomized(create_model("reactnet_digits"))


@pytest.fixture
def carded(model: nn.Module) -> nn.Module:
    model.reactnet = CARD
    return model


def test_the_reference_on_the_file_answers_as_the_model(model: nn.Module, tmp_path: Path) -> None:
    compile_model(model, tmp_path / "digits.rnet", image_size=DIGITS)
    assert_close(model, load(tmp_path / "digits.rnet"))


def test_the_file_carries_the_card(carded: nn.Module, tmp_path: Path) -> None:
    compile_model(carded, tmp_path / "digits.rnet")
    graph = load(tmp_path / "digits.rnet")
    assert (graph.model, graph.input_shape, graph.class_names) == (CARD.name, DIGITS, CARD.class_names)
    assert graph.preprocessing == Preprocessing((8, 8), (8, 8), (0.3,), (0.376,))
    assert graph.provenance == {"seed": "7"}
    pixels = images(DIGITS)
    with torch.no_grad():
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255 - 0.3) / 0.376
        expected = carded(x.float()).numpy()
    np.testing.assert_allclose(run_reference(graph, pixels), expected, rtol=0, atol=CLOSE * np.abs(expected).max())


def test_what_is_said_outweighs_the_card(carded: nn.Module, tmp_path: Path) -> None:
    names = tuple("0123456789")
    said = Preprocessing(10, (8, 8), (0.0,), (1.0,))
    compile_model(carded, tmp_path / "d.rnet", class_names=names, preprocessing=said, provenance={})
    graph = load(tmp_path / "d.rnet")
    assert (graph.class_names, graph.preprocessing, graph.provenance) == (names, said, {})


def test_compiling_twice_gives_the_same_bytes(carded: nn.Module, tmp_path: Path) -> None:
    for name in "ab":
        compile_model(carded, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_model_in_training_mode_compiles_as_it_evaluates(carded: nn.Module, tmp_path: Path) -> None:
    compile_model(carded, tmp_path / "a")
    compile_model(carded.train(), tmp_path / "b")
    assert carded.training
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_double_model_compiles_to_the_same_file(carded: nn.Module, tmp_path: Path) -> None:
    compile_model(carded, tmp_path / "a")
    compile_model(carded.double(), tmp_path / "b")
    a, b = load(tmp_path / "a"), load(tmp_path / "b")
    for name, constant in a.constants.items():  # mean |w| is the model's own: in float64 now
        np.testing.assert_allclose(b.constants[name].astype(float), constant.astype(float), rtol=1e-5, atol=1e-6)


def test_packed_bytes_are_the_size_of_the_file(carded: nn.Module, tmp_path: Path) -> None:
    report = compile_model(carded, tmp_path / "d.rnet")
    size = (tmp_path / "d.rnet").stat().st_size
    assert report.file_bytes == size == packed_bytes(compile_graph(carded).graph)


def test_the_report_accounts_for_every_byte(carded: nn.Module, tmp_path: Path) -> None:
    report = compile_model(carded, tmp_path / "d.rnet")
    state = [tensor for tensor in carded.state_dict().values() if tensor.is_floating_point()]
    assert sum(row.float_bytes for row in report.rows) == report.float_bytes == 4 * sum(t.numel() for t in state)
    assert sum(row.packed_bytes for row in report.rows) + report.header_bytes == report.file_bytes
    assert report.nodes < report.nodes_lowered


def test_the_report_says_what_is_binary_and_why_the_rest_is_not(carded: nn.Module, tmp_path: Path) -> None:
    rows = {row.layer: row for row in compile_model(carded, tmp_path / "d.rnet").rows}
    for path, module in carded.named_modules():
        if isinstance(module, BinaryConv2d):
            assert rows[path].binary is True
            words = module.out_channels * module.weight[0, 0].numel() * -(-module.in_channels // 64)
            assert rows[path].packed_bytes == 8 * words
        elif isinstance(module, nn.BatchNorm2d | nn.Conv2d | nn.Linear):
            assert not rows[path].binary
    assert (rows["stem.0"].binary, rows["head"].binary) == (False, False)
    assert "first layer" in rows["stem.0"].why
    assert "last layer" in rows["head"].why


@pytest.mark.parametrize("binarize", [(), ("activations",)])
def test_a_model_of_an_earlier_phase_compiles_and_the_report_says_so(
    carded: nn.Module, tmp_path: Path, binarize: tuple[str, ...]
) -> None:
    set_binarize(carded, binarize)
    report = compile_model(carded, tmp_path / "d.rnet", preprocessing=Preprocessing((8, 8), (8, 8), (0.0,), (1.0,)))
    layers = [row for row in report.rows if row.kind == "BinaryConv2d"]
    assert layers
    assert {(row.binary, row.why) for row in layers} == {(False, "real in this phase")}
    assert_close(carded, load(tmp_path / "d.rnet"))


def test_zeros_among_latent_weights_are_reported(carded: nn.Module, tmp_path: Path) -> None:
    with torch.no_grad():
        carded.get_submodule("blocks.0.spatial.conv").weight[0, :3] = 0
    report = compile_model(carded, tmp_path / "d.rnet")
    rows = {row.layer: row.zeros for row in report.rows if row.zeros}
    assert rows == {"blocks.0.spatial.conv": 27}
    assert "27 latent weights are exactly 0" in str(report)


@pytest.mark.parametrize("name", ["reactnet_digits", "real_to_binary18"])
def test_the_report_fits_a_terminal_and_json(name: str, tmp_path: Path) -> None:
    report = compile_model(
        create_model(name), tmp_path / "x", image_size=(64, 64) if name != "reactnet_digits" else DIGITS
    )
    table = str(report).splitlines()[: len(report.rows) + 1]
    assert max(map(len, table)) <= 100
    assert json.loads(json.dumps(report.to_dict()))["file_bytes"] == report.file_bytes


def test_an_image_size_without_channels_takes_those_of_the_first_convolution(model: nn.Module) -> None:
    assert compile_graph(model, image_size=(8, 8)).graph.input_shape == DIGITS


def test_a_constant_that_is_not_finite_is_an_error_naming_its_layer(carded: nn.Module, tmp_path: Path) -> None:
    with torch.no_grad():
        carded.get_submodule("blocks.1.pointwise.norm").bias[3] = torch.nan
    with pytest.raises(ReactnetError, match=r"blocks\.1\.pointwise"):
        compile_model(carded, tmp_path / "d.rnet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scale", [True, False])
def test_a_latent_weight_that_is_not_finite_is_an_error_naming_its_layer(
    carded: nn.Module, tmp_path: Path, scale: bool
) -> None:
    conv = carded.get_submodule("blocks.1.pointwise.conv")
    conv.scale = scale  # without a scale nothing but a sign, which any number has, would reach the file
    with torch.no_grad():
        conv.weight[0, 0] = torch.nan
    with pytest.raises(ReactnetError, match=r"blocks\.1\.pointwise"):
        compile_model(carded, tmp_path / "d.rnet")


def test_a_target_that_cannot_be_written_leaves_nothing(carded: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "d.rnet").mkdir()
    with pytest.raises(ReactnetError):
        compile_model(carded, tmp_path / "d.rnet")
    assert [path.name for path in tmp_path.iterdir()] == ["d.rnet"]


@pytest.mark.parametrize(
    ("options", "word"),
    [({"image_size": DIGITS, "ends": "half"}, "half"), ({}, "no image size")],
)
def test_what_cannot_be_compiled_is_refused(model: nn.Module, tmp_path: Path, options: dict, word: str) -> None:
    with pytest.raises(ReactnetError, match=word):
        compile_model(model, tmp_path / "d.rnet", **options)
    assert list(tmp_path.iterdir()) == []


def test_values_of_the_file_are_the_values_of_the_compiled_graph(carded: nn.Module, tmp_path: Path) -> None:
    compile_model(carded, tmp_path / "d.rnet")
    pixels = images(DIGITS)
    expected, found = run_values(compile_graph(carded).graph, pixels), run_values(load(tmp_path / "d.rnet"), pixels)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    assert np.abs(torch_logits(carded, pixels)).max() > 0


def test_a_full_disk_leaves_what_was_there(carded: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.rnet").write_bytes(b"the file of before")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReactnetError, match="No space left"):
        compile_model(carded, tmp_path / "d.rnet")
    assert [path.name for path in tmp_path.iterdir()] == ["d.rnet"]
    assert (tmp_path / "d.rnet").read_bytes() == b"the file of before"


@pytest.mark.parametrize("name", [*list_models("*_cifar"), "reactnet_digits"])
def test_every_small_model_compiles_to_what_it_computes(name: str, randomized: Randomized, tmp_path: Path) -> None:
    height, width, channels = model_info(name).image_size
    model = randomized(create_model(name))
    report = compile_model(model, tmp_path / "x.rnet", image_size=(height, width))
    graph = load(tmp_path / "x.rnet")
    assert graph.input_shape == (height, width, channels)
    assert sum(row.packed_bytes for row in report.rows) + report.header_bytes == report.file_bytes
    pixels = images(graph.input_shape, count=1)
    expected, found = torch_logits(model, pixels), run_reference(graph, pixels)
    if name.startswith(("resnet", "vgg")) and "small" not in name:  # without a sign nothing can flip on the way
        np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE * np.abs(expected).max())
    assert np.isfinite(found).all()
    assert found.shape == expected.shape


def test_a_layer_that_the_forward_never_calls_is_in_the_report(carded: nn.Module, tmp_path: Path) -> None:
    carded.auxiliary = nn.Linear(5, 3)
    report = compile_model(carded, tmp_path / "d.rnet")
    row = next(row for row in report.rows if row.layer == "auxiliary")
    assert (row.float_bytes, row.packed_bytes, row.why) == (4 * 18, 0, "never called: left out")
    floats = [tensor for tensor in carded.state_dict().values() if tensor.is_floating_point()]
    assert report.float_bytes == 4 * sum(tensor.numel() for tensor in floats)


def test_class_names_of_another_number_are_refused(carded: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match="class"):
        compile_model(carded, tmp_path / "d.rnet", class_names=("yes", "no"))
    assert list(tmp_path.iterdir()) == []


def test_reactnet_a_compiles_in_seconds_to_one_bit_a_binary_weight(tmp_path: Path) -> None:
    model = create_model("reactnet_a")
    begin = time.perf_counter()
    report = compile_model(model, tmp_path / "a.rnet", image_size=(224, 224))
    assert time.perf_counter() - begin < 10
    binary = [module.weight.numel() for module in model.modules() if isinstance(module, BinaryConv2d)]
    assert sum(binary) == 28_253_184
    assert sum(parameter.numel() for parameter in model.parameters()) == 29_343_592
    stem_words = 8 * (32 * 9 + 64)  # 32 channels fill half a word: the 3x3 and the 1x1 behind the stem pad theirs
    assert sum(row.packed_bytes for row in report.rows if row.binary) <= sum(binary) // 8 + 32 * stem_words
