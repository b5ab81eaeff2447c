"""The phase switch reaches every layer, refuses unknown words and leaves no trace in the state dict."""

import pytest
import torch
from torch import nn

from reactnet.errors import ReactnetError
from reactnet.nn import BinaryConv2d, RPReLU, RSign, binarized, set_binarize


def _network():
    return nn.Sequential(RSign(2), BinaryConv2d(2, 3, 1), nn.Sequential(RPReLU(3), RSign(3), BinaryConv2d(3, 2, 1)))


@pytest.mark.parametrize("parts", [(), ("activations",), ("weights",), ("activations", "weights")])
def test_binarized_tells_what_set_binarize_set(parts):
    network = _network()

    set_binarize(network, parts)

    assert binarized(network) == parts
    assert [network[0].binarize, network[2][1].binarize] == ["activations" in parts] * 2
    assert [network[1].binarize, network[2][2].binarize] == ["weights" in parts] * 2


def test_the_choice_is_not_in_the_state_dict():
    binary, real = _network(), _network()
    set_binarize(real, ())

    real.load_state_dict(binary.state_dict())

    assert binarized(real) == ()
    assert all(isinstance(value, torch.Tensor) for value in binary.state_dict().values())


@pytest.mark.parametrize("parts", [("activation",), "weights", ("weights", "weights")])
def test_unknown_or_repeated_words_are_refused(parts):
    network = _network()

    with pytest.raises(ReactnetError, match="binarize"):
        set_binarize(network, parts)
    assert binarized(network) == ("activations", "weights")


def test_layers_that_disagree_are_named():
    network = _network()
    network[2][1].binarize = False

    with pytest.raises(ReactnetError, match=r"'2\.1' is real, '0' is binary"):
        binarized(network)


def test_a_network_without_binary_layers_has_no_binary_part():
    assert binarized(nn.Linear(2, 2)) == ()
