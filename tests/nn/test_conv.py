"""BinaryConv2d: exact integer sums, the scale behind them, and the two schools of latent gradient."""

import numpy as np
import pytest
import torch

from reactnet.errors import ReactnetError
from reactnet.nn import BinaryConv2d, approx_sign


def _signs(*shape):
    return approx_sign(torch.randn(*shape))


def _int64_conv(x, w, *, stride, padding, padding_value, groups):
    """The same convolution in NumPy integers, tap by tap."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=padding_value)
    out_channels, per_group, kh, kw = w.shape
    height, width = (x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1
    out = np.zeros((x.shape[0], out_channels, height, width), dtype=np.int64)
    for o in range(out_channels):
        first = o // (out_channels // groups) * per_group
        for c in range(per_group):
            for i in range(kh):
                for j in range(kw):
                    taps = x[:, first + c, i : i + stride * height : stride, j : j + stride * width : stride]
                    out[:, o] += taps * w[o, c, i, j]
    return out


@pytest.mark.parametrize("padding_value", [-1, 0, 1])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (63, 1), (64, 2), (65, 5)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_sums_are_exact_integers(kernel, channels, groups, stride, padding_value):
    geometry = {"stride": stride, "padding": kernel // 2}
    torch.manual_seed(channels + stride)
    layer = BinaryConv2d(channels, 10, kernel, **geometry, padding_value=padding_value, groups=groups, scale=False)
    x = _signs(2, channels, 5, 7)

    sums = layer(x)

    w = np.where(layer.weight.detach().numpy() >= 0, 1, -1)
    expected = _int64_conv(x.numpy().astype(np.int64), w, **geometry, padding_value=padding_value, groups=groups)
    np.testing.assert_array_equal(sums.detach().numpy(), expected)


def test_scale_is_the_mean_magnitude_of_each_output_channel():
    layer = BinaryConv2d(6, 4, 3, padding=1)
    plain = BinaryConv2d(6, 4, 3, padding=1, scale=False)
    plain.load_state_dict(layer.state_dict())
    x = _signs(2, 6, 5, 5)

    scale = torch.stack([channel.abs().mean() for channel in layer.weight.detach()])

    torch.testing.assert_close(layer(x), plain(x) * scale.view(1, 4, 1, 1))


@pytest.mark.parametrize("scaled_gradient", [False, True])
def test_scale_multiplies_the_latent_gradient_only_in_the_scaled_school(scaled_gradient):
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 4, 3, padding=1, scaled_gradient=scaled_gradient)
    with torch.no_grad():
        layer.weight.mul_(8)  # some |w| past 1, where no gradient passes
    x, upstream = _signs(2, 3, 5, 5), torch.randn(2, 4, 5, 5)

    (grad,) = torch.autograd.grad(layer(x), layer.weight, upstream)

    w = layer.weight.detach()
    real = torch.nn.grad.conv2d_weight(x, w.shape, upstream, padding=1)
    passes = w.abs() <= 1
    assert 0 < passes.sum() < passes.numel()
    scale = w.abs().mean(dim=(1, 2, 3), keepdim=True) if scaled_gradient else 1
    torch.testing.assert_close(grad, real * scale * passes)


@pytest.mark.parametrize("scaled_gradient", [False, True])
def test_input_gradient_carries_the_scale_in_either_school(scaled_gradient):
    layer = BinaryConv2d(3, 4, 3, padding=1, scaled_gradient=scaled_gradient)
    x = _signs(2, 3, 5, 5).requires_grad_()
    upstream = torch.randn(2, 4, 5, 5)

    (grad,) = torch.autograd.grad(layer(x), x, upstream)

    w = layer.weight.detach()
    binary = torch.where(w >= 0, 1.0, -1.0) * w.abs().mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(grad, torch.nn.grad.conv2d_input(x.shape, binary, upstream, padding=1))


def test_a_channel_of_zero_weights_gives_zeros_and_no_nan():
    layer = BinaryConv2d(2, 2, 1)
    with torch.no_grad():
        layer.weight[0] = 0

    out = layer(_signs(1, 2, 3, 3))
    out.sum().backward()

    assert (out[:, 0] == 0).all()
    assert (layer.weight.grad[0] == 0).all()
    assert layer.weight.grad.isfinite().all()


def test_without_binarize_it_is_a_plain_convolution():
    layer = BinaryConv2d(4, 6, 3, stride=2, padding=1, groups=2, binarize=False)
    plain = torch.nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 7, 7)

    assert torch.equal(layer(x), plain(x))


def test_first_weights_pass_gradients_and_have_both_signs():
    weight = BinaryConv2d(16, 16, 3).weight.detach()

    assert weight.abs().max() <= 1 / (16 * 9) ** 0.5
    assert 0.4 < (weight >= 0).float().mean() < 0.6


def test_weights_are_one_bit_under_autocast():
    layer = BinaryConv2d(8, 4, 1, scale=False)
    x = _signs(1, 8, 2, 2)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)

    assert torch.equal(out.float(), layer(x))  # 8 taps: sums that bf16 still holds exactly


def test_state_dict_holds_the_latent_weight_alone():
    assert {key: tuple(value.shape) for key, value in BinaryConv2d(6, 4, (3, 1), groups=2).state_dict().items()} == {
        "weight": (4, 3, 3, 1)
    }


def test_bad_arguments_are_refused():
    with pytest.raises(ReactnetError, match=r"padding_value is 0\.5"):
        BinaryConv2d(4, 4, 3, padding_value=0.5)
    with pytest.raises(ReactnetError, match="3 groups do not divide 4 input"):
        BinaryConv2d(4, 6, 3, groups=3)


@pytest.mark.parametrize("scale", [False, True])
def test_window_says_which_latent_weights_learn(scale):
    conv = BinaryConv2d(1, 4, 1, scale=scale, window=1.25)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([-1.3, -1.2, 1.2, 1.3]).view(4, 1, 1, 1))

    conv(torch.ones(1, 1, 1, 1)).sum().backward()

    torch.testing.assert_close(conv.weight.grad.flatten(), torch.tensor([0.0, 1, 1, 0]))
