"""Straight-through estimators: the derivative of a curve each, chosen for a whole model, resumed exactly."""

import pytest
import torch
from torch import nn

from reactnet.errors import ReactnetError
from reactnet.nn import BinaryConv2d, RPReLU, RSign, Sign, gradient_state, load_gradient_state, set_gradient

GRID = torch.linspace(-3, 3, 601, dtype=torch.float64)


def curve(u: torch.Tensor, window: float, gradient: str) -> torch.Tensor:
    """The curve through the step, whose derivative by autograd is what the layer must pass."""
    u = (u / window).clamp(-1, 1)
    return window * u if gradient == "identity" else 2 * u - u.sign() * u**2


@pytest.mark.parametrize("gradient", ["quadratic", "identity"])
@pytest.mark.parametrize("window", [1.0, 0.5, 1.3])
@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_gradient_is_the_derivative_of_the_curve(gradient, window, shift):
    layer = RSign(1, window=window, gradient=gradient).double()
    nn.init.constant_(layer.shift, shift)
    upstream = torch.linspace(1, 2, len(GRID), dtype=torch.float64).view(1, 1, 1, -1)
    x, twin = (GRID.clone().view(1, 1, 1, -1).requires_grad_() for _ in range(2))

    layer(x).backward(upstream)
    curve(twin + shift, window, gradient).backward(upstream)

    # On the very edge of the window the curve has two derivatives.
    inside = ((GRID + shift).abs() - window).abs() > 1e-9
    torch.testing.assert_close(x.grad.flatten()[inside], twin.grad.flatten()[inside])
    torch.testing.assert_close(layer.shift.grad, x.grad.sum().view(1))


@pytest.mark.parametrize("layer", [Sign(gradient="quadratic_rms", window=1.5), RSign(3, gradient="quadratic_rms")])
def test_rms_gradient_is_quadratic_in_units_of_the_layers_rms(layer):
    torch.manual_seed(0)
    x = (7 * torch.randn(4, 3, 5, 5)).requires_grad_()
    if isinstance(layer, RSign):
        nn.init.normal_(layer.shift)
    u = x.detach() + (layer.shift.detach().view(1, 3, 1, 1) if isinstance(layer, RSign) else 0)

    layer(x).sum().backward()

    width = layer.window * u.square().mean().sqrt()
    torch.testing.assert_close(x.grad, torch.where(u.abs() < width, 2 / width * (1 - u.abs() / width), 0))


def test_rms_is_set_by_the_first_batch_and_follows_slowly():
    layer = Sign(gradient="quadratic_rms")

    layer(torch.full((1, 1, 2, 2), 3.0))
    assert layer.mean_square.item() == 9
    layer(torch.full((1, 1, 2, 2), 1.0))
    assert layer.mean_square.item() == pytest.approx(9 - 0.01 * 8)


def test_rms_stands_still_in_evaluation_and_where_nothing_is_learnt():
    layer = Sign(gradient="quadratic_rms")
    layer.eval()(torch.ones(1, 1, 2, 2))
    with torch.no_grad():
        layer.train()(torch.ones(1, 1, 2, 2))

    assert layer.mean_square.item() == 0
    x = torch.tensor([[0.5]], requires_grad=True)
    layer.eval()(x).sum().backward()
    assert x.grad.item() == 1  # before the first batch the rms counts as 1


def small():
    torch.manual_seed(1)
    layers = [BinaryConv2d(2, 4, 3, padding=1), RPReLU(4), RSign(4), BinaryConv2d(4, 2, 1)]
    model = nn.Sequential(RSign(2), *layers)
    set_gradient(model, activation="quadratic_rms", activation_window=1.25)
    return model


def steps(model, numbers):
    for number in numbers:
        x = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(number))
        model.zero_grad()
        model(x).square().mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad


def test_rms_survives_a_resume_exactly_and_without_it_gradients_differ():
    whole, stopped = small(), small()
    steps(whole, range(6))
    steps(stopped, range(3))
    resumed, forgetful = small(), small()
    for model in (resumed, forgetful):
        model.load_state_dict(stopped.state_dict())
    load_gradient_state(resumed, gradient_state(stopped))
    for model in (resumed, forgetful):
        steps(model, range(3, 6))

    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(whole.parameters(), forgetful.parameters(), strict=True))
    assert gradient_state(whole) == gradient_state(resumed)


def test_gradient_state_names_every_measuring_sign_and_is_not_in_the_state_dict():
    model = small()

    assert set(gradient_state(model)) == {"0.mean_square", "3.mean_square"}
    assert not any("mean_square" in key for key in model.state_dict())
    assert gradient_state(nn.Sequential(RSign(2))) == {}


def test_a_gradient_state_of_another_model_is_refused():
    model = small()

    with pytest.raises(ReactnetError, match=r"'3\.mean_square' is missing"):
        load_gradient_state(model, {"0.mean_square": torch.ones(())})
    with pytest.raises(ReactnetError, match=r"'5\.mean_square' is unknown"):
        load_gradient_state(model, {**gradient_state(model), "5.mean_square": torch.ones(())})


def test_set_gradient_reaches_every_layer_and_leaves_what_is_not_given():
    model = nn.Sequential(RSign(2), BinaryConv2d(2, 3, 1), nn.Sequential(Sign(window=1.3), BinaryConv2d(3, 2, 1)))

    set_gradient(model, activation="identity")
    assert [(m.gradient, m.window) for m in (model[0], model[2][0])] == [("identity", 1.0), ("identity", 1.3)]
    set_gradient(model, activation_window=2.0, weight_window=0.5)
    assert [(m.gradient, m.window) for m in (model[0], model[2][0])] == [("identity", 2.0), ("identity", 2.0)]
    assert [model[1].window, model[2][1].window] == [0.5, 0.5]


@pytest.mark.parametrize("gradient", ["quadratic", "identity", "quadratic_rms"])
def test_no_choice_of_gradient_changes_the_forward(gradient):
    torch.manual_seed(2)
    model, plain = (nn.Sequential(RSign(3), BinaryConv2d(3, 5, 3), RPReLU(5)) for _ in range(2))
    plain.load_state_dict(model.state_dict())
    set_gradient(model, activation=gradient, activation_window=0.7, weight_window=0.01)
    x = torch.randn(2, 3, 6, 6)

    assert torch.equal(model(x), plain(x))


def test_mistakes_are_refused():
    with pytest.raises(ReactnetError, match="unknown activation gradient 'cubic'"):
        set_gradient(nn.Sequential(RSign(2)), activation="cubic")
    with pytest.raises(ReactnetError, match="window is -1"):
        set_gradient(nn.Sequential(RSign(2)), activation_window=-1.0)
    with pytest.raises(ReactnetError, match="no sign of activations"):
        set_gradient(nn.Linear(2, 2), activation="identity")
    with pytest.raises(ReactnetError, match="no binary convolution"):
        set_gradient(nn.Sequential(RSign(2)), weight_window=1.0)
    with pytest.raises(ReactnetError, match="unknown gradient 'cubic'"):
        Sign(gradient="cubic")(torch.ones(1, 1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("gradient", ["quadratic", "identity", "quadratic_rms"])
def test_a_training_step_under_autocast_makes_no_third_sign(dtype, gradient):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), RSign(8), BinaryConv2d(8, 4, 3, padding=1), RPReLU(4), Sign())
    set_gradient(model, activation=gradient)
    seen = []
    for index in (1, 4):
        model[index].register_forward_hook(lambda module, inputs, out: seen.append((inputs[0], module, out)))
    with torch.autocast("cpu", dtype=dtype):
        out = model(torch.randn(2, 3, 6, 6))
    out.float().sum().backward()

    for x, module, signs in seen:
        assert set(signs.unique().tolist()) == {-1.0, 1.0}
        u = x.float() + (module.shift.view(1, -1, 1, 1) if isinstance(module, RSign) else 0)
        assert torch.equal(signs.float(), torch.where(u >= 0, 1.0, -1.0))
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
