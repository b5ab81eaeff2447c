"""The signs are one bit in every dtype, and their gradients are the documented formulas."""

import pytest
import torch

from reactnet.errors import ReactnetError
from reactnet.nn import approx_sign, weight_sign

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SIGNS = [approx_sign, weight_sign]
EDGES = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1.0, -1.0, 1e-7, -1e-7]
EDGE_SIGNS = [1, 1, -1, 1, -1, 1, -1, 1, -1]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sign", SIGNS)
def test_signs_are_one_bit_and_keep_the_dtype(sign, dtype):
    x = torch.cat([torch.tensor(EDGES), torch.linspace(-3, 3, 1001)]).to(dtype)

    out = sign(x)

    assert out.dtype == dtype
    assert set(out.tolist()) == {-1.0, 1.0}
    assert out.tolist() == [1.0 if value >= 0 else -1.0 for value in x.tolist()]


@pytest.mark.parametrize("sign", SIGNS)
def test_zero_of_either_sign_is_plus_one_and_nan_minus_one(sign):
    assert sign(torch.tensor(EDGES)).tolist() == EDGE_SIGNS


@pytest.mark.parametrize("autocast", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sign", SIGNS)
def test_autocast_changes_no_sign(sign, dtype, autocast):
    x = torch.tensor(EDGES, dtype=dtype)

    with torch.autocast("cpu", dtype=autocast):
        out = sign(x)

    assert out.dtype == dtype
    assert torch.equal(out, sign(x))


@pytest.mark.parametrize("window", [1.0, 0.5, 1.5])
def test_approx_sign_gradient_is_the_derivative_of_the_quadratic(window):
    x = torch.linspace(-2, 2, 401, dtype=torch.float64, requires_grad=True)
    upstream = torch.linspace(1, 3, 401, dtype=torch.float64)

    (grad,) = torch.autograd.grad(approx_sign(x, window=window), x, upstream)

    u = x.detach() / window
    tent = torch.where(u.abs() < 1, 2 / window * (1 - u.abs()), 0)
    torch.testing.assert_close(grad, upstream * tent)


@pytest.mark.parametrize("window", [1.0, 0.5, 1.5])
def test_approx_sign_gradient_has_the_area_of_the_step(window):
    x = torch.linspace(-2, 2, 4001, dtype=torch.float64, requires_grad=True)

    (grad,) = torch.autograd.grad(approx_sign(x, window=window).sum(), x)

    assert torch.trapezoid(grad, x.detach()).item() == pytest.approx(2, abs=1e-4)


@pytest.mark.parametrize("window", [1.0, 0.5])
def test_weight_sign_gradient_passes_up_to_the_window_and_no_further(window):
    w = torch.tensor([0.0, 0.3, -0.3, window, -window, window * 1.01, -window * 1.01], requires_grad=True)

    (grad,) = torch.autograd.grad(weight_sign(w, window=window), w, torch.full((7,), 3.0))

    assert grad.tolist() == [3, 3, 3, 3, 3, 0, 0]


def test_weight_sign_divides_its_gradient_and_survives_a_zero_divisor():
    w = torch.tensor([0.5, 0.0], requires_grad=True)

    (grad,) = torch.autograd.grad(weight_sign(w, gradient_divisor=torch.tensor([0.5, 0.0])), w, torch.ones(2))

    assert grad.tolist() == [2, 0]


@pytest.mark.parametrize("sign", SIGNS)
def test_no_gradient_comes_from_nan_or_infinity(sign):
    x = torch.tensor([float("nan"), float("inf"), -float("inf")], requires_grad=True)

    (grad,) = torch.autograd.grad(sign(x).sum(), x)

    assert grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sign", SIGNS)
def test_gradient_keeps_the_dtype(sign, dtype):
    x = torch.tensor([0.5, -0.25], dtype=dtype, requires_grad=True)

    sign(x).sum().backward()

    assert x.grad.dtype == dtype
    assert x.grad.tolist() == ([1.0, 1.5] if sign is approx_sign else [1.0, 1.0])


def test_approx_sign_saves_its_input_and_nothing_else():
    saved = []
    x = torch.randn(4, requires_grad=True)

    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        approx_sign(x)

    assert len(saved) == 1
    assert saved[0].data_ptr() == x.data_ptr()


@pytest.mark.parametrize("window", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("sign", SIGNS)
def test_a_window_that_is_not_positive_is_refused(sign, window):
    with pytest.raises(ReactnetError, match="window is"):
        sign(torch.zeros(1), window=window)
