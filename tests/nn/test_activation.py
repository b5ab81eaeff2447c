"""The activations compute their formulas, under the names that checkpoints hold."""

import pytest
import torch

from reactnet.nn import Blend, RPReLU, RSign, Sign, set_binarize


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


@pytest.mark.parametrize("layer", [Sign(window=2, gradient="identity"), RSign(1, window=2, gradient="identity")])
def test_identity_gradient_is_one_inside_the_window(layer):
    x = torch.tensor([-2.5, -2.0, -0.5, 0.0, 1.9, 2.1]).view(1, 1, 1, 6).requires_grad_()

    out = layer(x)
    out.backward(torch.full_like(out, 3))

    assert out.flatten().tolist() == [-1, -1, -1, 1, 1, 1]
    assert x.grad.flatten().tolist() == [0, 3, 3, 3, 3, 0]


@pytest.mark.parametrize("layer", [Sign(window=2), RSign(1, window=2)])
def test_quadratic_gradient_falls_to_zero_at_the_window(layer):
    x = torch.tensor([-3.0, -1.0, 0.0, 1.0, 2.0]).view(1, 1, 1, 5).requires_grad_()

    layer(x).sum().backward()

    torch.testing.assert_close(x.grad.flatten(), torch.tensor([0, 0.5, 1, 0.5, 0]))


def test_sign_is_switched_like_rsign_and_has_no_state():
    layer = Sign()
    x = torch.tensor([-0.5, -0.0, 0.25])

    assert layer(x).tolist() == [-1, 1, 1]
    set_binarize(layer, ())
    assert torch.equal(layer(x), x)
    assert list(layer.state_dict()) == []


def test_blend_mixes_by_channel_and_never_leaves_the_two():
    layer = Blend(3)
    a, b = torch.randn(2, 3, 1, 1), torch.randn(2, 3, 1, 1)

    torch.testing.assert_close(layer(a, b), (a + b) / 2)
    with torch.no_grad():
        layer.ratio.copy_(torch.tensor([1.5, -0.5, 0.25]))
    expected = torch.stack([a[:, 0], b[:, 1], 0.25 * a[:, 2] + 0.75 * b[:, 2]], dim=1)
    torch.testing.assert_close(layer(a, b), expected)
    assert list(layer.state_dict()) == ["ratio"]
