"""What `reactnet count` says, through the compiler, of models whose weights are never made: the published figures.

`tests/models/test_counts.py` counts by hooks instead, and knows nothing of the compiler.
"""

import functools
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from reactnet.cli.count import costs
from reactnet.compiler import compile as compile_model
from reactnet.compiler import compile_graph, lower, packed_bytes
from reactnet.errors import ReactnetError
from reactnet.graph import GraphBuilder, cost, distinct, dumps, packed_size
from reactnet.models import create_model, list_models, model_info
from trained import trained

# The model-zoo page of OpenMMLab's VGG: parameters in 1e6, "Flops" in 1e9, to every printed digit.
VGG = {
    "vgg11": (132.86, 7.63), "vgg13": (133.05, 11.34), "vgg16": (138.36, 15.50), "vgg19": (143.67, 19.67),
    "vgg11_bn": (132.87, 7.64), "vgg13_bn": (133.05, 11.36), "vgg16_bn": (138.37, 15.53), "vgg19_bn": (143.68, 19.70),
}  # fmt: skip

# BOPs in 1e9, FLOPs and OPs in 1e8, to the digits given: conv and fc alone, by arithmetic from the published layers.
PAPER = {
    "reactnet_a": (4.817, 0.119, 0.871),
    "reactnet_b": (4.688, 0.440, 1.172),
    "reactnet_c": (4.688, 1.403, 2.136),
    "birealnet18": (1.676, 1.378, 1.640),
    "birealnet34": (3.526, 1.378, 1.929),
    "birealnet152": (10.803, 4.797, 6.485),
    "real_to_binary18": (1.676, 1.381, 1.643),
    "meliusnet29": (5.470, 1.295, 2.150),
    "meliusnet42": (9.693, 1.751, 3.265),
    "meliusnet59": (18.316, 2.471, 5.333),
    "bnn_resnet18": (1.696, 1.185, 1.450),
}


@functools.cache
def _costs(name: str) -> dict[str, Any]:
    return costs(name, None)


def _weightless(name: str) -> nn.Module:
    with torch.device("meta"):
        return create_model(name)


@pytest.mark.parametrize("name", VGG)
def test_vgg_costs_what_the_model_zoo_prints(name: str) -> None:
    found = _costs(name)
    assert (round(found["params"] / 1e6, 2), round(found["flops_full"] / 1e9, 2)) == VGG[name]
    assert (found["bops"], found["binary_params"]) == (0, 0)


@pytest.mark.parametrize("name", PAPER)
def test_convolutions_cost_what_the_papers_convention_gives(name: str) -> None:
    found = _costs(name)
    assert (
        tuple(round(found[key] / unit, 3) for key, unit in (("bops", 1e9), ("flops", 1e8), ("ops", 1e8)))
        == (PAPER[name])
    )


def test_reactnet_a_is_the_authors() -> None:
    found = _costs("reactnet_a")
    assert found["params"] == 29_343_592
    assert found["binary_params"] == 28_253_184
    # One bit a binary weight, but that the first block's 32 channels half fill their words; four bytes at most a real
    # parameter, since norms and shifts are merged; a table of pixels; the graph as text.
    bits = (28_253_184 + 32 * 32 * (9 + 1 + 1)) // 8
    assert bits < found["packed_bytes"] < bits + 4 * (found["real_params"] + 256 * 3) + 60_000


def test_batch_norm_costs_two_an_element_and_a_pool_one_an_input() -> None:
    """A counter that skips binary convolutions gives 28.14 M of ReActNet-A: stem, head, norms, PReLUs and pools."""
    layers = _costs("reactnet_a")["layers"]
    elements = {layer["name"]: int(torch.tensor(layer["output_shape"]).prod()) for layer in layers}
    norms = [layer for layer in layers if layer["op"] == "affine" and "norm" in layer["name"].split(".")[-1]]
    norms += [layer for layer in layers if layer["name"] == "stem.1"]
    assert all(layer["flops_full"] == 2 * elements[layer["name"]] for layer in norms)
    counted = {layer["name"] for layer in norms}
    counted |= {layer["name"] for layer in layers if layer["op"] in ("prelu", "avg_pool", "global_avg_pool")}
    counted |= {layer["name"] for layer in layers if layer["op"] in ("conv_f32", "linear_f32")}
    assert round(sum(layer["flops_full"] for layer in layers if layer["name"] in counted) / 1e6, 2) == 28.14


@pytest.mark.parametrize("name", list_models())
def test_totals_are_the_sums_of_the_layers(name: str) -> None:
    found = _costs(name)
    for key in ("bops", "flops", "flops_full"):
        assert found[key] == sum(layer[key] for layer in found["layers"])
    assert found["ops"] == found["flops"] + found["bops"] / 64
    assert found["params"] == found["binary_params"] + found["real_params"]
    assert (found["bops"] > 0) == (found["binary_params"] > 0)


def test_counting_touches_no_weights() -> None:
    tracemalloc.start()
    try:
        costs("vgg19_bn", None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6  # its weights alone are 575 MB


@pytest.mark.parametrize("name", ["reactnet_a", "reactnet_digits", "meliusnet22", "mobilenet_v1_050"])
def test_a_model_without_weights_counts_as_one_that_is_trained(name: str, tmp_path: Path) -> None:
    size = model_info(name).image_size
    model = trained(create_model(name))
    compile_model(model, tmp_path / "file", image_size=size)

    assert packed_bytes(compile_graph(_weightless(name), image_size=size).graph) == (tmp_path / "file").stat().st_size
    assert _costs(name)["packed_bytes"] == (tmp_path / "file").stat().st_size
    assert cost(lower(_weightless(name), size)) == cost(lower(model, size))


def test_a_model_without_weights_is_not_compiled(tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match="no weights: it is on the meta device"):
        compile_model(_weightless("reactnet_digits"), tmp_path / "file", image_size=(8, 8, 1))
    assert list(tmp_path.iterdir()) == []


def test_constants_that_repeat_one_number_make_the_bytes_of_written_out_ones() -> None:
    graphs = []
    for write_out in (False, True):
        builder = GraphBuilder("repeating", (1, 1, 1))
        table = torch.full((1, 1), 0.5).expand(256, 1).numpy()
        weight = torch.full((), 0.25).expand(3, 1).numpy()
        x = builder.add("normalize", builder.input, table=table.copy() if write_out else table)
        x = builder.add("linear_f32", x, weight=weight.copy() if write_out else weight)
        graphs.append(builder.build(x))
    repeating, written = graphs

    assert distinct(repeating.constants["linear_f32_1.weight"]).size == 1
    assert dumps(repeating) == dumps(written)
    assert packed_size(repeating) == len(dumps(written))


@pytest.mark.parametrize("name", list_models())
def test_an_image_size_that_a_model_cannot_take_is_a_clear_error(name: str) -> None:
    too_small = model_info(name).stride - 1
    with pytest.raises(ReactnetError, match=f"{name}: image size {too_small}x{too_small}x. is too small") as caught:
        costs(name, too_small)
    assert "give images of at least" in caught.value.hint


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [("hidden", 0, "hidden"), ("hidden", -4, "is -4"), ("hidden", 70_000, "is 70000"), ("hidden", "wide", "wide")],
)
def test_a_width_that_a_model_cannot_take_is_a_clear_error(option: str, value: Any, problem: str) -> None:
    with pytest.raises(ReactnetError, match=problem):
        create_model("vgg11", **{option: value})
