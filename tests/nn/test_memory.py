"""What a training step keeps: a byte for a binary input, no copy of a weight, one tensor for a sign and an RPReLU."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reactnet.nn import BinaryConv2d, RPReLU, RSign, Sign
from reactnet.nn.one_bit import is_one_bit, note_one_bit


def kept(module, *inputs):
    """(dtype, shape) of what the forward keeps besides parameters and inputs, each storage once."""
    known = {tensor.data_ptr() for tensor in [*module.parameters(), *inputs]}
    saved = {}

    def note(tensor):
        if tensor.data_ptr() not in known:
            saved[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = module(*inputs)
    del out
    return [(tensor.dtype, tuple(tensor.shape)) for tensor in saved.values()]


def test_a_sign_keeps_its_input_alone():
    x = torch.randn(2, 3, 4, 4, requires_grad=True)

    assert kept(RSign(3), x) == []
    assert kept(Sign(), x) == []


def test_rprelu_keeps_one_tensor():
    assert kept(RPReLU(3), torch.randn(2, 3, 4, 4)) == [(torch.float32, (2, 3, 4, 4))]


@pytest.mark.parametrize("padding_value", [0, 1])
def test_a_binary_convolution_keeps_a_byte_for_a_sign_and_no_weight(padding_value):
    layers = nn.Sequential(Sign(), BinaryConv2d(3, 4, 3, padding=1, padding_value=padding_value))
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    side = 4 + 2 * padding_value

    assert sorted(kept(layers, x), key=str) == [(torch.float32, (4, 1, 1, 1)), (torch.int8, (2, 3, side, side))]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("padding_value", [-1, 0, 1])
@pytest.mark.parametrize("scaled_gradient", [False, True])
def test_gradients_from_a_byte_are_those_from_floats(padding_value, groups, scaled_gradient):
    torch.manual_seed(0)
    layer = BinaryConv2d(
        4, 6, 3, 2, padding=1, padding_value=padding_value, groups=groups, scaled_gradient=scaled_gradient
    )
    x = torch.randn(2, 4, 7, 5)
    upstream = torch.randn(2, 6, 4, 3)
    found = []
    for note in (False, True):
        signs = torch.where(x >= 0, 1.0, -1.0).requires_grad_()
        out = layer(note_one_bit(signs) if note else signs)
        found.append(torch.autograd.grad(out, [signs, layer.weight], upstream))

    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_note_is_void_once_the_tensor_changes():
    signs = RSign(3)(torch.randn(1, 3, 2, 2))
    assert is_one_bit(signs)
    assert not is_one_bit(signs + 0)
    with torch.no_grad():
        signs.mul_(2)
    assert not is_one_bit(signs)


def test_rprelu_gradients_are_autograds():
    torch.manual_seed(0)
    layer = RPReLU(5).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(3, 5, 4, 2, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(3, 5, 4, 2, dtype=torch.float64)
    inputs = [x, layer.shift_in, layer.slope, layer.shift_out]
    wide = [parameter.view(1, 5, 1, 1) for parameter in layer.parameters()]
    plain = F.prelu(x + wide[0], layer.slope) + wide[2]

    torch.testing.assert_close(
        torch.autograd.grad(layer(x), inputs, upstream), torch.autograd.grad(plain, inputs, upstream)
    )
