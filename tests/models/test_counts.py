"""Parameters and multiply-accumulates are the published ones, counted by hooks that know nothing of the compiler."""

import functools

import pytest
import torch
from torch import nn

from reactnet.models import create_model, model_info
from reactnet.nn import BinaryConv2d

# Known to the last digit. ReActNet: from the authors' code; VGG and ResNet: torchvision; MobileNetV1: its common ports;
# MeliusNet-22: larq zoo; VGG with two digits: OpenMMLab's model zoo, in `VGG_MILLIONS` below.
PARAMETERS = {
    "reactnet_a": 29_343_592,
    "reactnet18": 11_704_424,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v1_050": 1_331_592,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet18_cifar": 11_173_962,
    "birealnet152": 60_192_808,
    "meliusnet22": 6_944_584,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
}

# The model-zoo page of OpenMMLab's VGG, to every printed digit.
VGG_MILLIONS = {
    "vgg11": 132.86, "vgg13": 133.05, "vgg16": 138.36, "vgg19": 143.67,
    "vgg11_bn": 132.87, "vgg13_bn": 133.05, "vgg16_bn": 138.37, "vgg19_bn": 143.68,
}  # fmt: skip

# BOPs in 1e9 and FLOPs in 1e8 by the paper's convention, to the digits given. Those with a comment are what Table 1 of
# arXiv 2003.03488 prints otherwise.
MACS = {
    "reactnet_a": (4.817, 0.119),
    "reactnet_b": (4.688, 0.440),
    "reactnet_c": (4.688, 1.403),
    "reactnet18": (1.676, 1.378),
    "birealnet18": (1.676, 1.378),  # prints 1.68, 1.39
    "birealnet34": (3.526, 1.378),  # prints 3.53, 1.39
    "birealnet152": (10.803, 4.797),  # prints 10.7, 4.48
    "real_to_binary18": (1.676, 1.381),  # prints 1.68, 1.56
    "meliusnet29": (5.470, 1.295),
    "meliusnet42": (9.693, 1.751),  # prints 9.69, 1.74
    "meliusnet59": (18.316, 2.471),  # prints 18.3, 2.45
    "bnn_resnet18": (1.696, 1.185),  # prints 1.70, 1.20
    "xnornet18": (1.676, 1.378),  # prints 1.70, 1.41
    "bnext_t": (4.817, 0.133),
    "mobilenet_v1": (0, 5.687),
    "mobilenet_v1_050": (0, 1.495),
    "resnet18": (0, 18.141),
    "resnet34": (0, 36.638),
    "vgg16": (0, 154.703),
}


@functools.cache
def _meta(name):
    with torch.device("meta"):
        return create_model(name)


def _macs(name):
    """Binary and real multiply-accumulates of one image of the model's own size, padded taps included."""
    model = _meta(name).eval()
    counts = {True: 0, False: 0}

    def add(module, inputs, output):
        counts[isinstance(module, BinaryConv2d)] += module.weight.numel() * output.shape[2:].numel()

    counted = [module for module in model.modules() if isinstance(module, BinaryConv2d | nn.Conv2d | nn.Linear)]
    hooks = [module.register_forward_hook(add) for module in counted]
    height, width, channels = model_info(name).image_size
    with torch.no_grad():
        model(torch.zeros(1, channels, height, width, device="meta"))
    for hook in hooks:
        hook.remove()
    return counts[True], counts[False]


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_published_ones(name):
    assert sum(parameter.numel() for parameter in _meta(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", VGG_MILLIONS)
def test_vgg_has_the_printed_millions(name):
    assert round(PARAMETERS[name] / 1e6, 2) == VGG_MILLIONS[name]


@pytest.mark.parametrize(
    ("name", "published"),
    [("quicknet_small", 12_655_688), ("quicknet", 13_234_088), ("quicknet_large", 23_342_248)],
)
def test_quicknet_has_the_published_parameters_with_two_a_channel_for_each_batch_norm(name, published):
    model = _meta(name)
    bare = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d) and not module.affine]

    total = sum(parameter.numel() for parameter in model.parameters())

    assert total + sum(2 * norm.num_features for norm in bare) == published


@pytest.mark.parametrize("name", ["reactnet20_cifar", "resnet20_cifar"])
def test_resnet20_has_a_quarter_of_a_million_parameters(name):
    assert sum(parameter.numel() for parameter in _meta(name).parameters()) / 1e6 == pytest.approx(0.27, abs=0.006)


@pytest.mark.parametrize("name", MACS)
def test_multiply_accumulates_by_the_papers_convention(name):
    binary, real = _macs(name)

    assert (round(binary / 1e9, 3), round(real / 1e8, 3)) == MACS[name]
