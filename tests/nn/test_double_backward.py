"""A sign's gradient is a stand-in without a meaningful derivative: asking for one is an error, never a zero."""

import pytest
import torch
from torch import Tensor, nn

from reactnet.nn import BinaryConv2d, RPReLU, RSign, Sign, approx_sign, weight_sign


@pytest.mark.parametrize(
    "layer",
    [RSign(3), Sign(), RPReLU(3), BinaryConv2d(3, 4, 3), BinaryConv2d(3, 4, 3, scale=False), approx_sign, weight_sign],
    ids=str,
)
def test_a_second_derivative_is_refused_in_words(layer):
    x = (torch.rand(2, 3, 4, 4) - 0.5).requires_grad_()
    out: Tensor = layer(x)
    (first,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice a function that was marked with @once_differentiable"):
        first.square().sum().backward()


def test_what_is_real_valued_can_be_differentiated_twice():
    layers = nn.Sequential(RSign(3), BinaryConv2d(3, 4, 3))
    for layer in layers:
        layer.binarize = False
    x = torch.rand(2, 3, 4, 4, requires_grad=True)
    (first,) = torch.autograd.grad(layers(x).square().sum(), x, create_graph=True)
    first.square().sum().backward()
    assert x.grad is not None
    assert bool(x.grad.any())
