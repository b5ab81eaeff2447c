"""RSign and RPReLU compute their formulas, under the names that checkpoints hold."""

import pytest
import torch

from reactnet.nn import RPReLU, RSign


def _randomize(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_rsign_outputs_are_one_bit(dtype, autocast):
    layer = RSign(3)
    x = torch.randn(2, 3, 5, 5).to(dtype)
    x[0, :, 0, 0] = torch.tensor([0.0, -0.0, float("nan")])

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = layer(x)

    assert set(out.flatten().tolist()) == {-1.0, 1.0}
    assert out[0, :, 0, 0].tolist() == [1, 1, -1]


def test_rsign_compares_with_minus_its_shift():
    layer = RSign(2)
    with torch.no_grad():
        layer.shift.copy_(torch.tensor([0.5, -0.5]))

    out = layer(torch.tensor([-0.51, -0.5, 0.49, 0.5]).view(4, 1, 1, 1).expand(4, 2, 1, 1))

    assert out[:, 0].flatten().tolist() == [-1, 1, 1, 1]
    assert out[:, 1].flatten().tolist() == [-1, -1, -1, 1]


def test_rsign_without_binarize_is_the_shift_alone():
    layer = RSign(3)
    _randomize(layer)
    layer.binarize = False
    x = torch.randn(2, 3, 4, 4)

    assert torch.equal(layer(x), x + layer.shift.view(1, 3, 1, 1))


def test_rsign_shift_gathers_the_gradient_of_its_channel():
    layer = RSign(2)
    x = torch.tensor([[[[0.25, 2.0]], [[-0.5, 0.5]]]])

    layer(x).sum().backward()

    assert layer.shift.grad.tolist() == [1.5, 2.0]  # 2 - 2|x| inside, 0 outside


def test_rprelu_is_a_prelu_moved_along_both_axes():
    layer = RPReLU(4)
    _randomize(layer)
    x = torch.randn(3, 4, 5, 5)

    moved = x + layer.shift_in.view(1, 4, 1, 1)
    expected = torch.where(moved >= 0, moved, layer.slope.view(1, 4, 1, 1) * moved) + layer.shift_out.view(1, 4, 1, 1)

    torch.testing.assert_close(layer(x), expected)


def test_rprelu_starts_as_a_plain_prelu():
    x = torch.randn(2, 3, 4, 4)

    torch.testing.assert_close(RPReLU(3)(x), torch.nn.PReLU(3, init=0.25)(x))


def test_state_dict_keys_and_shapes_are_the_format():
    assert {key: tuple(value.shape) for key, value in RSign(7).state_dict().items()} == {"shift": (7,)}
    assert {key: tuple(value.shape) for key, value in RPReLU(7).state_dict().items()} == {
        "shift_in": (7,),
        "slope": (7,),
        "shift_out": (7,),
    }
