"""The registry knows each model, and says what is wrong with a name, an option or an image size."""

from typing import Literal

import pytest
from torch import nn

from reactnet.errors import ReactnetError
from reactnet.models import check_image_size, create_model, list_models, model_info, register, registry

CONTRACT = """
reactnet_a reactnet_b reactnet_c reactnet18 reactnet34
birealnet18 birealnet34 birealnet152 xnornet18 bnn_resnet18 real_to_binary18
meliusnet22 meliusnet29 meliusnet42 meliusnet59 quicknet_small quicknet quicknet_large bnext_t
mobilenet_v1 mobilenet_v1_050 resnet18 resnet34
vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn
reactnet18_cifar reactnet20_cifar birealnet18_cifar xnornet18_cifar resnet18_cifar resnet20_cifar vgg_small_cifar
reactnet_digits
"""


@pytest.fixture
def sample(monkeypatch):
    """A model with options, registered for one test."""
    monkeypatch.setattr(registry, "_MAKERS", dict(registry._MAKERS))
    monkeypatch.setattr(registry, "_INFOS", dict(registry._INFOS))

    @register(image_size=(4, 4, 1), stride=1, paper="none")
    def sample(num_classes: int = 3, *, downsampling: Literal["real", "binary"] = "real", width: int = 2) -> nn.Module:
        """A sample.

        Not in this line.
        """
        return nn.Linear(width, num_classes, bias=downsampling == "real")

    return "sample"


def test_names_are_the_contract():
    assert list_models() == sorted(CONTRACT.split())
    assert list_models("reactnet_?") == ["reactnet_a", "reactnet_b", "reactnet_c"]
    assert list_models("nothing*") == []


def test_model_info_is_what_the_function_says(sample):
    info = model_info(sample)

    assert (info.name, info.image_size, info.num_classes, info.stride) == ("sample", (4, 4, 1), 3, 1)
    assert (info.summary, info.paper) == ("A sample.", "none")
    assert info.options == {"downsampling": "real", "width": 2}
    assert model_info("reactnet_a").image_size == (224, 224, 3)
    assert (model_info("reactnet_digits").image_size, model_info("reactnet_digits").num_classes) == ((8, 8, 1), 10)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ReactnetError, match="unknown model 'reactnet_aa'") as error:
        create_model("reactnet_aa")
    assert error.value.hint == "did you mean 'reactnet_a'?"


def test_options_reach_the_model(sample):
    model = create_model(sample, num_classes=5, downsampling="binary", width=7)

    assert (model.in_features, model.out_features, model.bias) == (7, 5, None)
    assert create_model(sample).bias is not None


@pytest.mark.parametrize(
    ("options", "problem", "hint"),
    [
        ({"downsamplin": "real"}, "unknown option 'downsamplin'", "did you mean 'downsampling'?"),
        ({"downsampling": "bin"}, "option 'downsampling' is 'bin'", "choose one of 'real', 'binary'"),
        ({"width": "7"}, "option 'width' is '7', a str", "give a value of type int"),
        ({"width": True}, "option 'width' is True, a bool", "give a value of type int"),
    ],
)
def test_wrong_options_are_refused(sample, options, problem, hint):
    with pytest.raises(ReactnetError) as error:
        create_model(sample, **options)
    assert error.value.problem.endswith(problem)
    assert error.value.hint == hint


def test_a_model_without_options_says_so():
    with pytest.raises(ReactnetError) as error:
        create_model("xnornet18", downsampling="real")
    assert error.value.hint == "xnornet18 has no options: give none"


def test_wrong_parts_and_class_counts_are_refused():
    with pytest.raises(ReactnetError, match="'activation' is no part"):
        create_model("reactnet_digits", binarize=("activation",))
    with pytest.raises(ReactnetError, match="num_classes is 0"):
        create_model("reactnet_digits", num_classes=0)


def test_image_sizes_that_do_not_fit_are_named():
    check_image_size("reactnet_a", (32, 33))
    check_image_size("reactnet_a", (224, 224, 3))
    with pytest.raises(ReactnetError, match="reactnet_a: image size 224x31 is too small"):
        check_image_size("reactnet_a", (224, 31))
    with pytest.raises(ReactnetError, match="64x64x1 has 1 channels, the model takes 3"):
        check_image_size("reactnet_a", (64, 64, 1))
    with pytest.raises(ReactnetError, match="has 1 numbers"):
        check_image_size("reactnet_a", (64,))
