"""Integer ends: each rounded layer is within the bound of its roundings, and its sums cannot leave int32."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compiler.comparing import images
from compiler.conftest import Randomized
from reactnet.compiler import compile as compile_model
from reactnet.compiler import compile_graph, packed_bytes
from reactnet.compiler.fold import fold
from reactnet.compiler.integer import integer_ends
from reactnet.compiler.network import Network
from reactnet.errors import ReactnetError
from reactnet.graph import Graph, Preprocessing, check, run_reference, run_values
from reactnet.models import create_model

SIZE = (7, 6, 3)
ROUNDING = 1e-5  # of the largest value: float32 beside float64


def prepared(shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> Preprocessing:
    return Preprocessing(tuple(shape[:2]), tuple(shape[:2]), tuple(mean), tuple(std))  # type: ignore[arg-type]


def stem_network(weight: np.ndarray, bias: np.ndarray, shape: tuple[int, int, int], prepare: Preprocessing) -> Network:
    """One padded convolution of the image, pooled to logits."""
    net = Network("stem", shape)
    table = (np.arange(256)[:, None] / 255 - np.array(prepare.mean)) / np.array(prepare.std)
    net.add("normalize", "image", "normalize", origin="normalize", constants={"table": table})
    kernel = weight.shape[1:3]
    attributes = {"stride": (2, 1), "padding": (kernel[0] // 2, kernel[1] // 2), "groups": 1}
    net.add("conv_f32", "normalize", "stem", origin="stem", attributes=attributes,
            constants={"weight": weight, "bias": bias})  # fmt: skip
    net.output = net.add("global_avg_pool", "stem", "pool", origin="pool")
    return net


def inner_network(weight: np.ndarray, padding: int, groups: int = 1) -> Network:
    """A convolution of normalised pixels seen through a relu: no stem, so that it is quantized."""
    net = Network("inner", SIZE)
    random = np.random.default_rng(8)
    net.add("normalize", "image", "normalize", origin="normalize", constants={"table": random.normal(size=(256, 3))})
    net.add("relu", "normalize", "relu", origin="relu")
    channels = weight.shape[3] * groups
    net.add("repeat", "relu", "wide", origin="wide", attributes={"times": channels // 3})
    attributes = {"stride": (1, 1), "padding": (padding, padding), "groups": groups}
    net.add("conv_f32", "wide", "conv", origin="conv", attributes=attributes, constants={"weight": weight})
    net.output = net.add("global_avg_pool", "conv", "pool", origin="pool")
    return net


PLAIN = prepared(SIZE, (0.0,) * 3, (1.0,) * 3)


def to_graph(net: Network, prepare: Preprocessing, ends: str = "integer") -> Graph:
    return net.to_graph(preprocessing=prepare, ends=ends)


def inside_sum(magnitude: np.ndarray, net: Network, name: str) -> np.ndarray:
    """For each output pixel, the sum of `magnitude` (N, H, W, C) over the taps inside, in float64: (N, h, w)."""
    node = net.by_name()[name]
    weight = net.constant(node, "weight")
    ones = torch.ones(1, weight.shape[3], *weight.shape[1:3], dtype=torch.float64)
    x = torch.from_numpy(magnitude.astype(np.float64)).permute(0, 3, 1, 2)
    stride, padding = node.attributes["stride"], node.attributes["padding"]
    return torch.conv2d(x, ones, stride=stride, padding=padding)[:, 0].numpy()  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.sampled_from([8, 16]),
    side=st.sampled_from([1, 3, 5]),
    channels=st.integers(1, 4),
    spread=st.floats(1e-6, 1e6),
)
def test_a_stem_is_within_the_bound_of_its_roundings(
    seed: int, bits: int, side: int, channels: int, spread: float
) -> None:
    random = np.random.default_rng(seed)
    shape = (SIZE[0], SIZE[1], channels)
    prepare = prepared(shape, random.uniform(0, 1, channels), random.uniform(0.1, 2, channels))
    weight = random.normal(size=(9, side, side, channels)) * spread * 10 ** random.uniform(-3, 3, (9, 1, 1, 1))
    net = stem_network(weight, random.normal(size=9), shape, prepare)
    rounded = integer_ends(net, prepare, stem_bits=bits)
    pixels = images(shape, seed=seed)
    expected = run_values(to_graph(net, prepare, "float"), pixels)["stem"]
    found = run_values(to_graph(rounded, prepare), pixels)["stem"]

    less = 255 * np.array(prepare.mean)
    moved = inside_sum(np.abs(pixels - less) + 1 / channels, net, "stem")  # the offset: half a step a tap
    scale = rounded.constants["stem.scale"]
    bound = moved[..., None] * scale / 2 + ROUNDING * np.abs(expected).max(axis=(0, 1, 2))
    assert np.all(np.abs(found - expected) <= bound)
    assert rounded.constants["stem.weight"].dtype == (np.int8 if bits == 8 else np.int16)


def test_a_stem_of_16_bits_is_much_nearer_than_one_of_8() -> None:
    random = np.random.default_rng(0)
    prepare = prepared(SIZE, (0.5, 0.4, 0.6), (0.2, 0.25, 0.3))
    net = stem_network(random.normal(size=(16, 3, 3, 3)), np.zeros(16), SIZE, prepare)
    pixels = images(SIZE)
    exact = run_values(to_graph(net, prepare, "float"), pixels)["stem"]
    error = {
        bits: np.abs(
            run_values(to_graph(integer_ends(net, prepare, stem_bits=bits), prepare), pixels)["stem"] - exact
        ).max()
        for bits in (8, 16)
    }
    assert error[16] < error[8] / 100


@pytest.mark.parametrize("bits", [8, 16])
def test_padding_of_a_stem_is_zero_in_normalised_space(bits: int) -> None:
    """A pixel of 255 * mean is 0 once normalised, so an image of it gives the bias, at the borders too."""
    random = np.random.default_rng(1)
    prepare = prepared(SIZE, (0.2, 0.4, 0.6), (0.3, 0.3, 0.5))
    net = integer_ends(
        stem_network(random.normal(size=(5, 3, 3, 3)), random.normal(size=5), SIZE, prepare), prepare, stem_bits=bits
    )
    graph = to_graph(net, prepare)
    pixels = np.broadcast_to(np.array([51, 102, 153], np.uint8), (1, *SIZE))
    bias = graph.constants["stem.bias"]
    np.testing.assert_array_equal(run_values(graph, pixels)["stem"], np.broadcast_to(bias, (1, 4, 6, 5)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    side=st.sampled_from([1, 3]),
    channels=st.sampled_from([9, 15]),
    grouped=st.booleans(),
)
def test_a_quantized_convolution_is_within_the_bound_of_its_roundings(
    seed: int, side: int, channels: int, grouped: bool
) -> None:
    random = np.random.default_rng(seed)
    groups = 2 if grouped else 1
    weight = random.normal(size=(4 * groups, side, side, channels if groups == 1 else 12))
    net = inner_network(weight, side // 2, groups)
    rounded = integer_ends(net, PLAIN)
    pixels = images(SIZE, seed=seed)
    values = run_values(to_graph(net, PLAIN, "float"), pixels)
    found = run_values(to_graph(rounded, PLAIN), pixels)["conv"]

    step = np.abs(values["wide"]).max(axis=(1, 2, 3), keepdims=True) / 127  # of the image's values
    scale, largest = rounded.constants["conv.scale"], np.abs(weight).max(axis=(1, 2, 3))
    terms = np.prod(weight.shape[1:])
    # |wq - w'q'| <= |w| |q - q'| + |q'| |w - w'|, each rounded by half a step.
    bound = terms * (largest * step / 2 + 127 * step * scale / 2) + ROUNDING * np.abs(values["conv"]).max()
    assert np.all(np.abs(found - values["conv"]) <= bound)
    assert np.abs(found - values["conv"]).max() > 0
    assert [node.op for node in rounded.nodes].count("conv_i8") == 1


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    side=st.integers(1, 40),
    channels=st.integers(1, 4),
    bits=st.sampled_from([8, 16]),
    mean=st.floats(0, 4),
    sharpness=st.sampled_from([0, 1, 8]),
)
def test_no_sum_of_any_stem_can_leave_int32(
    seed: int, side: int, channels: int, bits: int, mean: float, sharpness: int
) -> None:
    """The checker sums |w| * 255 + |offset|: weights all of one size (sharpness 0) make the most of it."""
    random = np.random.default_rng(seed)
    shape = (40, 40, channels)
    prepare = prepared(shape, (mean,) * channels, (1.0,) * channels)
    weight = np.abs(random.normal(size=(2, side, side, channels))) ** sharpness
    net = stem_network(weight, np.zeros(2), shape, prepare)
    graph = to_graph(integer_ends(net, prepare, stem_bits=bits), prepare)
    check(graph)
    largest = int(np.abs(graph.constants["stem.weight"].astype(int)).max())
    assert largest == (127 if bits == 8 else 32767) or side > 7  # fewer levels only where they are needed


def test_a_stem_of_many_products_has_fewer_levels_and_still_answers() -> None:
    prepare = prepared((40, 40, 4), (0.5,) * 4, (1.0,) * 4)
    net = stem_network(np.ones((1, 39, 39, 4)), np.zeros(1), (40, 40, 4), prepare)
    graph = to_graph(integer_ends(net, prepare, stem_bits=16), prepare)
    assert 500 < graph.constants["stem.weight"].max() < 32767
    white = np.full((1, 40, 40, 4), 255, np.uint8)
    exact = run_reference(to_graph(net, prepare, "float"), white)
    np.testing.assert_allclose(run_reference(graph, white), exact, rtol=1e-3)


def test_a_sum_too_long_for_int32_is_an_error_naming_its_layer() -> None:
    side = 4096
    net = Network("long", (side, side, 3))
    net.add("normalize", "image", "normalize", origin="normalize", constants={"table": np.zeros((256, 3))})
    net.add("relu", "normalize", "relu", origin="relu")
    weight = np.broadcast_to(np.float64(1), (2, side * side * 3))  # one number in memory
    net.output = net.add("linear_f32", "relu", "head", origin="classifier.head", constants={"weight": weight})
    with pytest.raises(ReactnetError, match=r"classifier\.head: a sum of 50331648 products"):
        integer_ends(net, PLAIN)


@pytest.mark.parametrize("bits", [8, 16])
def test_an_output_of_zero_weights_gives_its_bias(bits: int) -> None:
    random = np.random.default_rng(2)
    weight = random.normal(size=(4, 3, 3, 3))
    weight[1] = 0
    weight[2] = 1e-60  # no float32 scale is so small
    net = stem_network(weight, np.array([1.0, 2.0, 3.0, 4.0]), SIZE, PLAIN)
    graph = to_graph(integer_ends(net, PLAIN, stem_bits=bits), PLAIN)
    values = run_values(graph, images(SIZE))["stem"]
    assert np.all(values[..., 1] == 2)
    assert np.all(values[..., 2] == 3)
    assert np.ptp(values[..., 0]) > 0


def test_weights_past_float32_are_refused_naming_the_layer() -> None:
    net = stem_network(np.full((1, 1, 1, 3), 1e300), np.zeros(1), SIZE, PLAIN)
    with pytest.raises(ReactnetError, match="stem: scale holds inf"):
        to_graph(integer_ends(net, PLAIN), PLAIN)


def test_layers_that_read_one_value_share_its_rounding(randomized: Randomized) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.a, self.b = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 1), nn.Conv2d(16, 8, 3, padding=1)
            self.relu, self.pool, self.head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.relu(self.stem(x))
            logits: torch.Tensor = self.head(self.pool(self.a(x) + self.b(x)).flatten(1))
            return logits

    graph = compile_graph(randomized(Two()), image_size=SIZE, ends="integer").graph
    ops = [node.op for node in graph.nodes]
    assert (ops.count("quantize"), ops.count("conv_i8"), ops.count("linear_i8")) == (2, 2, 1)
    assert ops[0] == "conv_u8"
    assert graph.ends == "integer"


def test_pixels_that_another_layer_reads_too_stay_normalised(randomized: Randomized) -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu, self.pool, self.head = (
                nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(3, 4)
            )  # fmt: skip

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.pool(self.conv(x) + self.relu(x)).flatten(1))
            return logits

    graph = compile_graph(randomized(Beside()), image_size=SIZE, ends="integer").graph
    assert {"normalize", "conv_u8"} <= {node.op for node in graph.nodes}


def test_depthwise_convolutions_stay_real_in_half_the_bytes(tmp_path, randomized: Randomized) -> None:
    model = randomized(create_model("mobilenet_v1_050"))
    report = compile_model(model, tmp_path / "m.rnet", image_size=(32, 32, 3), ends="integer")
    graph = compile_graph(model, image_size=(32, 32, 3), ends="integer").graph
    real = [node for node in graph.nodes if node.op == "conv_f32"]
    assert len(real) == 13
    assert all(node.attributes["groups"] == graph.constants[node.constants["weight"]].shape[0] for node in real)
    assert {graph.constants[node.constants["weight"]].dtype for node in real} == {np.dtype(np.float16)}
    why = {row.layer: row.why for row in report.rows}
    assert why["stem.0"] == "first layer: sees 8-bit pixels; integers: pixels x int8 weights"
    assert sum("stays float, float16 weights" in text for text in why.values()) == 13


def test_weights_far_from_any_half_stay_float32() -> None:
    random = np.random.default_rng(3)
    for weight, dtype in (
        (random.normal(size=(3, 3, 3, 1)), np.float16),
        (random.normal(size=(3, 3, 3, 1)) * 1e-7, np.float64),  # halves are 6e-8 apart here
        (random.normal(size=(3, 3, 3, 1)) * 1e6, np.float64),  # past the largest half
    ):
        net = integer_ends(inner_network(weight, 1, groups=3), PLAIN)
        kept = net.constants["conv.weight"]
        assert kept.dtype == dtype
        np.testing.assert_allclose(kept.astype(float), weight, rtol=0, atol=2.0**-11 * np.abs(weight).max())


def test_the_folded_network_is_left_as_it_was(randomized: Randomized) -> None:
    net = stem_network(np.ones((2, 3, 3, 3)), np.zeros(2), SIZE, PLAIN)
    nodes, constants = list(net.nodes), dict(net.constants)
    integer_ends(fold(net), PLAIN)
    integer_ends(net, PLAIN)
    assert net.nodes == nodes
    assert all(net.constants[name] is array for name, array in constants.items())
    assert net.constants.keys() == constants.keys()


def test_a_weight_that_is_no_number_is_refused_naming_its_layer(randomized: Randomized, tmp_path) -> None:
    model = randomized(create_model("resnet20_cifar"))
    with torch.no_grad():
        model.get_submodule("stages.1.0.conv1").weight[0, 0] = torch.nan
    with pytest.raises(ReactnetError, match=r"stages\.1\.0\.conv1"):
        compile_model(model, tmp_path / "r.rnet", image_size=(32, 32, 3), ends="integer")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "word"),
    [({"ends": "half"}, "half"), ({"ends": "integer", "stem_bits": 4}, "4"), ({"stem_bits": 16}, "ends are float")],
)
def test_options_that_say_nothing_are_refused(options: dict, word: str) -> None:
    with pytest.raises(ReactnetError, match=word):
        compile_graph(create_model("reactnet_digits"), image_size=(8, 8, 1), **options)


@pytest.mark.parametrize("name", ["reactnet_digits", "resnet20_cifar"])
def test_a_model_without_weights_gives_the_size_of_a_trained_one(name: str, randomized: Randomized, tmp_path) -> None:
    size = (8, 8, 1) if name == "reactnet_digits" else (32, 32, 3)
    with torch.device("meta"):
        shapes = create_model(name)
    report = compile_model(randomized(create_model(name)), tmp_path / "x.rnet", image_size=size, ends="integer")
    assert packed_bytes(compile_graph(shapes, image_size=size, ends="integer").graph) == report.file_bytes


def test_reactnet_a_with_integer_ends_is_below_4850_kilobytes(tmp_path) -> None:
    report = compile_model(create_model("reactnet_a"), tmp_path / "a.rnet", image_size=(224, 224), ends="integer")
    assert report.file_bytes <= 4_850_000
    assert sum(row.packed_bytes for row in report.rows) + report.header_bytes == report.file_bytes
