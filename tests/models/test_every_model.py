"""What holds for every registered model: it trains, traces into ops that can be packed, and says what it is.

Models are made once each; where no number is looked at they are made on the meta device, which costs nothing.
"""

import functools
import inspect
import operator
import typing

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from reactnet.errors import ReactnetError
from reactnet.models import check_image_size, create_model, list_models, model_info, registry
from reactnet.nn import BinaryConv2d, Blend, RPReLU, RSign, Sign, binarized, set_binarize

# What docs/format.md has an op for; Dropout and Identity lower to nothing.
LAYERS = (
    BinaryConv2d, Blend, RPReLU, RSign, Sign,
    nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.BatchNorm2d, nn.Conv2d, nn.Dropout, nn.Hardtanh, nn.Identity, nn.Linear,
    nn.MaxPool2d, nn.PReLU, nn.ReLU, nn.Sigmoid,
)  # fmt: skip
FUNCTIONS = {operator.add, operator.mul, operator.getitem, torch.cat, F.avg_pool2d, torch._C._nn.avg_pool2d}
METHODS = {"flatten", "repeat"}

SMALL_HEADS = {name: {"hidden": 8} for name in list_models("vgg1*")}


class _LayerTracer(fx.Tracer):
    def is_leaf_module(self, module, path):
        return isinstance(module, LAYERS)


@pytest.fixture(scope="module", params=list_models())
def made(request):
    """The name of each model in turn, and the model with 7 classes; a VGG's head is narrow, to be quick."""
    torch.manual_seed(0)
    return request.param, create_model(request.param, num_classes=7, **SMALL_HEADS.get(request.param, {}))


@functools.cache
def _meta(name, **options):
    with torch.device("meta"):
        return create_model(name, **options)


def _images(name, side, count):
    return torch.randn(count, model_info(name).image_size[2], side, side)


def test_every_parameter_gets_a_finite_gradient(made):
    name, model = made

    logits = model.train()(_images(name, model_info(name).stride, 4))  # four, as batch norm flattens what is two
    logits.logsumexp(1).sum().backward()

    assert logits.shape == (4, 7)
    assert logits.isfinite().all()
    learned = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert [key for key, parameter in learned.items() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in learned.values())
    binary = [module for module in model.modules() if isinstance(module, BinaryConv2d)]
    assert all(module.weight.grad.abs().max() > 0 for module in binary)
    model.zero_grad()


def test_tracing_changes_nothing(made):
    name, model = made
    model.eval()
    traced = fx.GraphModule(model, _LayerTracer().trace(model))
    x = _images(name, model_info(name).stride, 1)

    with torch.no_grad():
        assert torch.equal(traced(x), model(x))


def test_what_is_binary_changes_the_output_and_can_be_changed_back(made):
    name, model = made
    for module in model.eval().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()  # those of one step would drown what is looked at here
    x = _images(name, model_info(name).stride, 1)
    outputs = {}
    for parts in [(), ("activations",), ("activations", "weights")]:
        set_binarize(model, parts)
        assert binarized(model) == (parts if _is_binary(model) else ())
        with torch.no_grad():
            outputs[parts] = model(x)

    real, one, two = outputs.values()
    assert torch.equal(real, one) == torch.equal(one, two) == (not _is_binary(model))


def _is_binary(model):
    return any(isinstance(module, BinaryConv2d) for module in model.modules())


@pytest.mark.parametrize("name", list_models())
def test_every_node_has_an_op_in_the_packed_file(name):
    model = _meta(name)
    graph = _LayerTracer().trace(model)

    called = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    modules = [node.target for node in called if node.op == "call_module"]
    assert {node.op for node in called} <= {"call_module", "call_function", "call_method"}
    assert {type(model.get_submodule(path)) for path in modules} <= set(LAYERS)
    assert {node.target for node in called if node.op == "call_function"} <= FUNCTIONS
    assert {node.target for node in called if node.op == "call_method"} <= METHODS
    assert len(modules) == len(set(modules)), "a layer that runs twice has two statistics in one batch norm"
    assert not any(getattr(module, "inplace", False) for module in model.modules())


@pytest.mark.parametrize("name", list_models())
def test_twin_has_the_same_state_dict_keys(name):
    default, twin = _meta(name).state_dict(), _meta(name, binarize=()).state_dict()

    assert {key: value.shape for key, value in default.items()} == {key: value.shape for key, value in twin.items()}


@pytest.mark.parametrize("name", list_models())
def test_signs_stand_before_binary_convolutions_alone(name):
    """Each binary convolution reads a sign and each sign is read by binary convolutions: both are packed as bits."""
    model = _meta(name)
    for node in _LayerTracer().trace(model).nodes:
        kind = type(model.get_submodule(node.target)) if node.op == "call_module" else None
        if kind is BinaryConv2d:
            assert isinstance(model.get_submodule(node.args[0].target), Sign | RSign)
        if kind in (Sign, RSign):
            assert all(isinstance(model.get_submodule(user.target), BinaryConv2d) for user in node.users)


@pytest.mark.parametrize("name", list_models())
def test_the_smallest_image_leaves_one_pixel_and_all_sizes_above_run(name):
    info = model_info(name)
    model = _meta(name).eval()
    seen = []
    hook = model.pool.register_forward_hook(lambda module, inputs, output: seen.append(tuple(inputs[0].shape[2:])))

    with torch.no_grad():
        for side in (info.stride, 2 * info.stride - 1):
            assert model(_images(name, side, 1).to("meta")).shape == (1, info.num_classes)

    hook.remove()
    assert seen[0] == (1, 1)
    with pytest.raises(ReactnetError, match=f"{name}: image size .* too small"):
        check_image_size(name, (info.stride - 1, info.stride))
    check_image_size(name, (info.stride, info.stride, info.image_size[2]))


@pytest.mark.parametrize("name", list_models())
def test_a_model_says_what_it_is(name):
    info = model_info(name)
    header = inspect.getmodule(registry._MAKERS[name]).__doc__
    parameters = sum(parameter.numel() for parameter in _meta(name).parameters())

    assert info.summary.endswith(".")
    assert "arXiv" in info.paper
    assert name in header
    assert f"{parameters:,}" in header


@pytest.mark.parametrize("name", list_models())
def test_every_value_of_every_option_makes_a_model(name):
    info = model_info(name)
    types = typing.get_type_hints(registry._MAKERS[name])
    for option, default in info.options.items():
        values = (
            typing.get_args(types[option]) or {bool: (False, True), int: (default, max(1, default // 2))}[types[option]]
        )
        assert default in values
        for value in values:
            _meta(name, **{option: value})
        with pytest.raises(ReactnetError, match=f"option '{option}'"):
            create_model(name, **{option: 0.5})


@pytest.mark.parametrize("name", list_models())
def test_the_head_alone_depends_on_the_number_of_classes(name):
    few, many = _meta(name, num_classes=3).state_dict(), _meta(name, num_classes=5).state_dict()

    differ = {key for key in few if few[key].shape != many[key].shape}
    assert {key.split(".")[0] for key in differ} == {"head"}
    assert {few[key].shape[0] for key in differ} == {3}
