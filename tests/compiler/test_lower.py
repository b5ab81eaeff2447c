"""Lowering keeps what a model computes, layer by layer, and refuses what it does not know by its path."""

import operator
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compiler.comparing import assert_close, images
from compiler.conftest import Randomized
from reactnet.compiler import lower
from reactnet.compiler.functions import FUNCTIONS
from reactnet.compiler.layers import LAYERS
from reactnet.compiler.lower import lower_network
from reactnet.errors import ReactnetError
from reactnet.graph import Preprocessing, cost, run_values
from reactnet.models import create_model
from reactnet.nn import BinaryConv2d, Blend, RPReLU, RSign, Sign, set_binarize, weight_sign

SHAPE = (5, 7, 3)  # odd, and not square: a layout that mixes height with width shows
CHANNELS = 6


class Around(nn.Module):
    """A stem, the forward under test, and a classifier."""

    def __init__(self, body: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.inside = nn.ModuleDict(layers)
        self.body = body
        size = body(self.inside, torch.zeros(1, CHANNELS, *SHAPE[:2])).flatten(1).shape[1]
        self.head = nn.Linear(size, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.inside, self.stem(x)).flatten(1))


def around(layer: nn.Module) -> Around:
    """A model with one layer under test, at `inside.layer`."""
    return Around(lambda m, x: m["layer"](x), layer=layer)


LAYER_CASES: list[tuple[type[nn.Module], Callable[[], Around]]] = [
    (RSign, lambda: Around(lambda m, x: m["c"](m["s"](x)), s=RSign(6), c=BinaryConv2d(6, 8, 3, padding=1))),
    (Sign, lambda: Around(lambda m, x: m["c"](m["s"](x)), s=Sign(), c=BinaryConv2d(6, 8, 1, scale=False))),
    (RPReLU, lambda: around(RPReLU(6))),
    (Blend, lambda: Around(lambda m, x: m["b"](x, m["r"](x)), b=Blend(6), r=nn.ReLU())),
    *(
        (BinaryConv2d, lambda o=o: Around(lambda m, x: m["c"](m["s"](x)), s=RSign(6), c=BinaryConv2d(6, 8, 3, **o)))
        for o in (
            {"stride": 2, "padding": 1},
            {"padding": 1, "padding_value": 1},
            {"padding": (0, 1), "padding_value": -1},
            {"padding": 1, "groups": 2},
        )
    ),
    (nn.Conv2d, lambda: around(nn.Conv2d(6, 8, (3, 2), stride=(1, 2), padding=(0, 1), groups=2))),
    (nn.Conv2d, lambda: around(nn.Conv2d(6, 6, 3, groups=6, bias=False))),
    (nn.Linear, lambda: Around(lambda m, x: m["b"](m["a"](x.flatten(1))), a=nn.Linear(210, 9), b=nn.Linear(9, 5))),
    (nn.BatchNorm2d, lambda: around(nn.BatchNorm2d(6))),
    (nn.BatchNorm2d, lambda: around(nn.BatchNorm2d(6, affine=False))),
    (nn.PReLU, lambda: around(nn.PReLU())),
    (nn.PReLU, lambda: around(nn.PReLU(6))),
    (nn.ReLU, lambda: around(nn.ReLU(inplace=True))),
    (nn.ReLU6, lambda: around(nn.ReLU6())),
    (nn.Hardtanh, lambda: around(nn.Hardtanh(-0.1, 0.2))),
    (nn.Sigmoid, lambda: around(nn.Sigmoid())),
    (nn.Hardsigmoid, lambda: around(nn.Hardsigmoid())),
    (nn.AvgPool2d, lambda: around(nn.AvgPool2d(2, ceil_mode=True))),
    (nn.AvgPool2d, lambda: around(nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False))),
    (nn.MaxPool2d, lambda: around(nn.MaxPool2d(3, stride=2, padding=1))),
    (nn.AdaptiveAvgPool2d, lambda: around(nn.AdaptiveAvgPool2d(1))),
    (nn.AdaptiveAvgPool2d, lambda: around(nn.AdaptiveAvgPool2d((2, 3)))),
    (nn.AdaptiveAvgPool2d, lambda: around(nn.AdaptiveAvgPool2d((None, 7)))),
    (nn.Dropout, lambda: around(nn.Dropout(0.5))),
    (nn.Identity, lambda: around(nn.Identity())),
]

FUNCTION_CASES: list[tuple[object, Callable[..., Tensor]]] = [
    (operator.add, lambda x: x + F.relu(x)),
    (operator.add, lambda x: x + x),
    (torch.add, lambda x: torch.add(x, F.relu(x))),
    ("add", lambda x: x.add(F.relu(x))),
    (operator.mul, lambda x: x * x.mean((2, 3), keepdim=True).sigmoid()),
    (operator.mul, lambda x: x.mean((2, 3), keepdim=True) * x),
    (torch.mul, lambda x: torch.mul(x, x)),
    ("mul", lambda x: x.mul(F.relu(x))),
    (operator.getitem, lambda x: x[:, 1:4] + x[:, -3:]),
    (operator.getitem, lambda x: x[:, ::1, :, :]),
    (operator.getitem, lambda x: x.chunk(2, dim=1)[1]),  # not of the table: chunk is cut where its parts are taken
    (torch.cat, lambda x: torch.cat([x, F.relu(x), x], dim=1)),
    (torch.cat, lambda x: torch.cat((x, x.abs()), 1)),
    (torch.abs, torch.abs),
    ("abs", lambda x: x.abs()),
    (torch.relu, torch.relu),
    (F.relu, lambda x: F.relu(x, inplace=True)),
    ("relu", lambda x: x.relu()),
    (torch.sigmoid, torch.sigmoid),
    ("sigmoid", lambda x: x.sigmoid()),
    (F.hardsigmoid, F.hardsigmoid),
    (torch.mean, lambda x: torch.mean(x, (2, 3))),
    ("mean", lambda x: x.mean(dim=(-1, -2))),
    (F.avg_pool2d, lambda x: F.avg_pool2d(x, 2, ceil_mode=True)),
    (F.avg_pool2d, lambda x: F.avg_pool2d(x, 3, 2, 1, False, False)),
    ("repeat", lambda x: x.repeat(1, 3, 1, 1)),
    ("repeat", lambda x: x.repeat((1, 1, 1, 1)).repeat([1, 2, 1, 1])),
    ("contiguous", lambda x: x.contiguous()),
]


@pytest.mark.parametrize("make", [make for _, make in LAYER_CASES], ids=[kind.__name__ for kind, _ in LAYER_CASES])
def test_reference_of_a_lowered_layer_computes_what_torch_does(
    make: Callable[[], Around], randomized: Randomized
) -> None:
    model = randomized(make())
    assert_close(model, lower(model, SHAPE))


@pytest.mark.parametrize("function", [function for _, function in FUNCTION_CASES])
def test_reference_of_a_lowered_function_computes_what_torch_does(
    function: Callable[..., Tensor], randomized: Randomized
) -> None:
    model = randomized(Around(lambda m, x: function(x)))
    assert_close(model, lower(model, SHAPE))


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m["relu"](m["drop"](x.flatten(1))),
        lambda m, x: (m["relu"](x.flatten(1)) * torch.flatten(x, 1)).abs(),
        lambda m, x: m["drop"](m["flat"](m["relu"](x))).flatten(1),
        lambda m, x: torch.cat([m["relu"](x), x], 1).mean((2, 3)).flatten(1)[:, 2:7],
    ],
    ids=["layers", "functions", "layer", "one pixel"],
)
def test_columns_behind_a_flatten_stay_in_order_whatever_comes_between(
    function: Callable[..., Tensor], randomized: Randomized
) -> None:
    model = randomized(Around(function, relu=nn.ReLU(), drop=nn.Dropout(), flat=nn.Flatten()))
    assert_close(model, lower(model, SHAPE))


def test_every_entry_of_both_tables_is_tested() -> None:
    assert {kind for kind, _ in LAYER_CASES} == set(LAYERS)
    assert {key for key, _ in FUNCTION_CASES} == set(FUNCTIONS)


@pytest.mark.parametrize("name", ["reactnet_digits", "resnet20_cifar"])
@pytest.mark.parametrize("binarize", [(), ("activations",), ("activations", "weights")])
def test_every_phase_of_a_model_lowers(name: str, binarize: tuple[str, ...], randomized: Randomized) -> None:
    model = randomized(create_model(name, binarize=binarize))
    assert_close(model, lower(model, (8, 8, 1) if "digits" in name else (8, 8, 3)))


@pytest.mark.parametrize("value", [-1, 1])
def test_a_real_phase_pads_with_the_value_of_the_binary_one(value: int, randomized: Randomized) -> None:
    conv = BinaryConv2d(6, 8, 3, padding=1, padding_value=value)
    for parts in ((), ("activations",)):
        model = randomized(Around(lambda m, x: m["c"](m["s"](x)), s=RSign(6), c=conv))
        set_binarize(model, parts)
        assert_close(model, lower(model, SHAPE))


def test_signs_may_be_read_as_real_numbers_too(randomized: Randomized) -> None:
    model = randomized(
        Around(lambda m, x: m["c"](m["s"](x)) + m["p"](m["s2"](x)), s=RSign(6), s2=Sign(), c=BinaryConv2d(6, 6, 1),
               p=nn.MaxPool2d(1))
    )  # fmt: skip
    assert_close(model, lower(model, SHAPE))


def test_sums_of_a_binary_convolution_are_the_integers_of_torch(randomized: Randomized) -> None:
    model = create_model("reactnet_digits").eval()
    randomized(model)
    values = run_values(lower(model, (8, 8, 1)), images((8, 8, 1)))
    path = "blocks.1.spatial.conv"
    signs = torch.from_numpy(values["blocks.1.spatial.sign"].astype(np.float32)).permute(0, 3, 1, 2)
    layer = model.get_submodule(path)
    sums = layer._convolve(signs, weight_sign(layer.weight)).detach().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(values[f"{path}.sum"], sums)


def test_nodes_are_named_by_module_paths_and_cover_every_layer() -> None:
    model = create_model("reactnet_digits")
    lowered = lower_network(model, (8, 8, 1)).network
    leaves = {path for path, module in model.named_modules() if type(module) in LAYERS and list(module.parameters())}
    assert leaves <= set(lowered.origin.values())
    assert all(node.name.startswith(lowered.origin[node.name]) for node in lowered.nodes)


def test_zeros_among_latent_weights_count_as_plus_one_and_are_reported(randomized: Randomized) -> None:
    model = randomized(Around(lambda m, x: m["c"](m["s"](x)), s=RSign(6), c=BinaryConv2d(6, 8, 1)))
    with torch.no_grad():
        model.inside["c"].weight[2, :4] = torch.tensor([0.0, -0.0, 0.0, 1.0]).view(4, 1, 1)
    lowered = lower_network(model, SHAPE)
    assert lowered.zeros == {"inside.c": 3}
    weight = lowered.network.constants["inside.c.sum.weight"]
    assert weight[2, 0, 0, 0] & 0b1111 == 0b1111
    assert_close(model, lower(model, SHAPE))


def test_pixels_are_normalised_in_float64_and_rounded_once() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    graph = lower(around(nn.Identity()), SHAPE, preprocessing=Preprocessing(9, SHAPE[:2], mean, std))
    expected = [[np.float32((x / 255 - m) / s) for m, s in zip(mean, std, strict=True)] for x in range(256)]
    np.testing.assert_array_equal(graph.constants["normalize.table"], expected)
    assert graph.preprocessing.resize == 9


def test_lowering_uses_running_statistics_and_leaves_the_model_as_it_was(randomized: Randomized) -> None:
    model = randomized(around(nn.BatchNorm2d(6)))
    evaluated = lower(model, SHAPE)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.train()
    trained = lower(model, SHAPE)
    assert model.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    for name, constant in evaluated.constants.items():
        np.testing.assert_array_equal(trained.constants[name], constant)


def test_what_nothing_reads_is_left_out(randomized: Randomized) -> None:
    model = randomized(Around(lambda m, x: (m["unused"](x), F.relu(x))[1], unused=nn.Sigmoid()))
    assert "sigmoid" not in {node.op for node in lower(model, SHAPE).nodes}


def test_reactnet_a_costs_what_the_paper_counts_without_running_it() -> None:
    model = create_model("reactnet_a")
    begin = time.perf_counter()
    total = cost(lower(model, (224, 224, 3)))
    assert time.perf_counter() - begin < 5
    assert f"{total.bops / 1e9:.3f}" == "4.817"
    assert f"{total.flops / 1e8:.3f}" == "0.119"
    assert f"{total.ops / 1e8:.3f}" == "0.871"


class Block(nn.Module):
    """Something a level down, so that paths have parts."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.GELU(), ["inside.layer", "GELU"]),
        (nn.LayerNorm(7), ["inside.layer", "LayerNorm"]),
        (nn.Sequential(nn.ReLU(), nn.Softsign()), ["inside.layer.1", "Softsign"]),
        (nn.Conv2d(6, 6, 3, dilation=2), ["inside.layer", "dilation"]),
        (nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect"), ["inside.layer", "reflect"]),
        (nn.AvgPool2d(3, padding=1), ["inside.layer", "padding"]),
        (nn.AvgPool2d(3, divisor_override=2), ["inside.layer", "divisor_override"]),
        (nn.MaxPool2d(2, dilation=2), ["inside.layer", "dilation"]),
        (nn.BatchNorm2d(6, track_running_stats=False), ["inside.layer", "running statistics"]),
        (BinaryConv2d(6, 6, 1), ["inside.layer", "stem", "not a sign"]),
        (nn.Sequential(RSign(6), nn.ReLU(), BinaryConv2d(6, 6, 1)), ["inside.layer.2", "not a sign"]),
        (Block(lambda x: x.cumsum(1)), ["inside.layer", "cumsum"]),
        (Block(lambda x: torch.tanh(x)), ["inside.layer", "tanh"]),
        (Block(lambda x: x + 1.0), ["inside.layer", "add", "number"]),
        (Block(lambda x: torch.add(x, x, alpha=2)), ["inside.layer", "add"]),
        (Block(lambda x: x.repeat(1, 1, 2, 1)), ["inside.layer", "repeat"]),
        (Block(lambda x: torch.cat([x, x], dim=2)), ["inside.layer", "dimension 2"]),
        (Block(lambda x: x[:, :, 1:]), ["inside.layer", "indexing"]),
        (Block(lambda x: x[:, ::2]), ["inside.layer", "indexing"]),
        (Block(lambda x: x.chunk(2, dim=2)[0]), ["inside.layer", "dimension 2"]),
        (Block(lambda x: torch.cat(x.chunk(2, dim=1), 1)), ["inside.layer", "parts of chunk"]),
        (Block(lambda x: x.flatten(1)[:, :3]), ["inside.layer", "flattened"]),
        (Block(lambda x: torch.cat([x.flatten(1), x.flatten(1)], 1)), ["inside.layer", "flattened"]),
        (Block(lambda x: x.flatten(1).chunk(2, 1)[0]), ["inside.layer", "flattened"]),
        (Block(lambda x: x.flatten(2)), ["inside.layer", "dimension 2"]),
        (Block(lambda x: x.mean((1, 2), keepdim=True)), ["inside.layer", "mean"]),
        (Block(lambda x: F.avg_pool2d(x, 3, padding=1)), ["inside.layer", "padding"]),
        (Block(lambda x: F.avg_pool2d(x, 3, divisor_override=2)), ["inside.layer", "divisor_override"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_has_no_op_is_an_error_that_names_its_path(layer: nn.Module, words: list[str]) -> None:
    with pytest.raises(ReactnetError) as caught:
        lower(around(layer), SHAPE)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert caught.value.hint


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x)).mean((2, 3))


class Parameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).mean((2, 3))


class Choosing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) if x.sum() > 0 else x.relu().mean((2, 3))


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x + y).mean((2, 3))


class TwoOutputs(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean((2, 3)), x


class FlatImages(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(0)


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (Twice(), "conv: the layer is called twice"),
        (Parameter(), "weight: a parameter"),
        (Choosing(), "Choosing"),
        (TwoInputs(), "other than one input"),
        (TwoOutputs(), "returns tuple"),
        (FlatImages(), "dimension 0"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_forward_that_is_no_graph_of_layers_is_an_error(model: nn.Module, word: str) -> None:
    with pytest.raises(ReactnetError, match=word):
        lower(model, SHAPE)


@pytest.mark.parametrize("size", [(5, 7, 4), (2, 2, 3), (5, 7), (0, 7, 3)])
def test_an_image_size_that_does_not_go_through_is_an_error(
    size: tuple[int, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ReactnetError) as caught:
        lower(around(nn.Conv2d(6, 6, 5)), size)
    assert "x".join(map(str, size)) in str(caught.value) or str(size) in str(caught.value)
    assert capfd.readouterr() == ("", "")  # one error line is the command line's to print: no traceback of torch's


@pytest.mark.parametrize(
    ("preprocessing", "word"),
    [
        (Preprocessing((5, 7), (5, 7), (0.0,) * 3, (1.0, 0.0, 1.0)), "std"),
        (Preprocessing((5, 7), (5, 7), (0.0,) * 3, (1.0, -1.0, 1.0)), "std"),
        (Preprocessing((5, 7), (5, 7), (float("nan"), 0.0, 0.0), (1.0,) * 3), "mean"),
        (Preprocessing((5, 7), (5, 7), (0.0,), (1.0,)), "1 means and 1 stds for images of 3 channels"),
        (Preprocessing((8, 8), (8, 8), (0.0,) * 3, (1.0,) * 3), "5x7, but preprocessing crops to"),
    ],
    ids=["zero", "negative", "nan", "channels", "crop"],
)
def test_preprocessing_that_makes_no_sense_is_refused(preprocessing: Preprocessing, word: str) -> None:
    with pytest.raises(ReactnetError, match=word):
        lower(around(nn.Identity()), SHAPE, preprocessing=preprocessing)


@pytest.mark.parametrize("name", ["running_var", "weight"])
def test_a_broken_norm_is_named_and_not_the_layer_it_would_fold_into(name: str, randomized: Randomized) -> None:
    model = randomized(Around(lambda m, x: m["norm"](m["conv"](x)), conv=nn.Conv2d(6, 6, 1), norm=nn.BatchNorm2d(6)))
    with torch.no_grad():
        getattr(model.inside["norm"], name)[2] = -3 if name == "running_var" else torch.inf
    with pytest.raises(ReactnetError, match=r"inside\.norm: scale holds (nan|inf)"):
        lower(model, SHAPE)


class Adding(nn.Module):
    """Its layer is called as torch.fx calls the function beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.add = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.add(x + x)


def test_a_layer_and_a_function_of_one_name_are_two_nodes(randomized: Randomized) -> None:
    model = randomized(around(nn.Identity()))
    model.stem = nn.Sequential(randomized(Adding()), nn.Conv2d(3, CHANNELS, 1))
    graph = lower(model, SHAPE)
    names = [node.name for node in graph.nodes]
    assert {"stem.0.add", "stem.0.add_"} <= set(names)
    assert_close(model, graph)


def test_a_layer_may_not_take_the_compilers_own_name() -> None:
    model = nn.Sequential()
    model.add_module("normalize", nn.Conv2d(3, 4, 1))
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    with pytest.raises(ReactnetError, match="normalize: the name is the compiler's own"):
        lower(model, SHAPE)


def test_a_forward_that_asks_for_lengths_is_an_error_not_a_traceback() -> None:
    with pytest.raises(ReactnetError, match="cannot trace"):
        lower(Around(lambda m, x: x * len(x) if isinstance(x, torch.fx.Proxy) else x), SHAPE)


def test_layers_that_share_a_parameter_each_keep_it(randomized: Randomized) -> None:
    one, two = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)
    model = randomized(Around(lambda m, x: m["two"](F.relu(m["one"](x))), one=one, two=two))
    two.weight = one.weight
    assert_close(model, lower(model, SHAPE))


def test_a_norm_of_negative_scale_before_a_sign_turns_it_round(randomized: Randomized) -> None:
    layers = nn.Sequential(nn.BatchNorm2d(6), Sign(), BinaryConv2d(6, 8, 3, padding=1))
    model = randomized(around(layers))
    with torch.no_grad():
        layers[0].weight.copy_(torch.tensor([-1.0, 1, -0.5, 0, 2, -2]))
    graph = lower(model, SHAPE)
    assert_close(model, graph)
    values = run_values(graph, images(SHAPE))
    assert np.all(values["inside.layer.1"][..., 0] == np.where(values["inside.layer.0"][..., 0] >= 0, 1, -1))


def test_a_linear_layer_along_the_width_of_a_map_is_refused() -> None:
    with pytest.raises(ReactnetError, match=r"inside\.layer: a linear layer along the width"):
        lower(around(nn.Linear(7, 7)), SHAPE)
