"""Vitals and histograms: the numbers are those of their definitions, and looking changes nothing."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reactnet.models import create_model
from reactnet.nn import BinaryConv2d, RPReLU, RSign
from reactnet.train.histograms import BALANCE_BINS, BINS, activation_histograms
from reactnet.train.vitals import QUANTILES, Vitals


def unit(channels: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(RSign(channels), BinaryConv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), RPReLU(6))


def images(count: int = 8, channels: int = 4) -> Tensor:
    return torch.randn(count, channels, 5, 5, generator=torch.Generator().manual_seed(1))


def layer(record: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = record[kind][name]
    return found


def test_flips_are_the_share_of_weights_whose_sign_changed_since_the_last_measurement() -> None:
    model = unit()
    vitals = Vitals(model, images())
    assert layer(vitals.measure(), "weights", "1")["flips"] == 0.0
    weight = model[1].weight
    with torch.no_grad():
        weight.view(-1)[:27] *= -1  # of 6 * 4 * 9 = 216: no weight is exactly 0
    assert layer(vitals.measure(), "weights", "1")["flips"] == pytest.approx(27 / 216, rel=1e-5)
    assert layer(vitals.measure(), "weights", "1")["flips"] == 0.0


def test_a_weight_of_zero_counts_as_plus_one() -> None:
    model = unit()
    with torch.no_grad():
        model[1].weight.fill_(0.5)
    vitals = Vitals(model, images())
    with torch.no_grad():
        model[1].weight.zero_()
    assert layer(vitals.measure(), "weights", "1")["flips"] == 0.0


def test_latent_weights_are_described_by_quantiles_and_by_the_share_beyond_the_window() -> None:
    model = unit()
    size = torch.arange(1, 217) / 100.0  # 0.01 to 2.16, and the window ends at 1
    with torch.no_grad():
        model[1].weight.copy_((size * torch.tensor([1.0, -1.0]).repeat(108)).view(6, 4, 3, 3))
    found = layer(Vitals(model, images()).measure(), "weights", "1")
    assert found["quantiles"] == pytest.approx([size[round(q * 215)].item() for q in QUANTILES], rel=1e-5)
    assert found["outside"] == pytest.approx(116 / 216, rel=1e-5)


def test_plus_dead_and_window_are_those_of_x_plus_shift() -> None:
    model = unit()
    x = images()
    with torch.no_grad():
        model[0].shift.copy_(torch.tensor([0.0, 100.0, -100.0, 0.3]))
    found = layer(Vitals(model, x).measure(), "signs", "0")
    shifted = x + model[0].shift.detach().view(1, -1, 1, 1)
    assert (found["dead"], found["channels"]) == (2, 4)
    assert found["plus"] == pytest.approx((shifted >= 0).float().mean().item(), rel=1e-5)
    assert found["window"] == pytest.approx((shifted.abs() < 1).float().mean().item(), rel=1e-5)
    assert found["spread"] == pytest.approx(x.std(correction=0).item(), rel=1e-5)


def test_a_window_that_follows_the_activations_is_measured_where_it_is() -> None:
    model = unit()
    x = 10 * images()
    model[0].gradient = "quadratic_rms"
    model.train()(x)  # sets the running mean square
    found = layer(Vitals(model, x).measure(), "signs", "0")
    width = x.square().mean().sqrt()
    assert found["window"] == pytest.approx((x.abs() < width).float().mean().item(), rel=1e-5)
    assert found["window"] > 0.6


def test_a_channel_with_one_change_is_alive() -> None:
    model = unit()
    x = torch.ones(8, 4, 5, 5)
    x[3, 1, 2, 2] = -1
    assert layer(Vitals(model, x).measure(), "signs", "0")["dead"] == 3


def test_drift_is_counted_from_the_beginning_of_the_phase() -> None:
    model = unit()
    with torch.no_grad():
        model[0].shift.fill_(5.0)
    vitals = Vitals(model, images())
    with torch.no_grad():
        model[0].shift += torch.tensor([0.0, 0.5, -1.5, 0.0])
        model[3].slope += 0.25
    record = vitals.measure()
    assert layer(record, "signs", "0")["drift"] == [0.5, 1.5]
    assert layer(record, "rprelus", "3") == {"shift_in": [0.0, 0.0], "slope": [0.25, 0.25], "shift_out": [0.0, 0.0]}


def test_state_is_a_bit_a_weight_and_carries_flips_and_drift_through_a_stop() -> None:
    model = unit(channels=3)  # 162 weights: no multiple of 8
    before = Vitals(model, images(channels=3))
    saved = before.tensors()
    assert saved["vitals.signs.1"].numel() == 21
    with torch.no_grad():
        model[1].weight.view(-1)[:9] *= -1
        model[0].shift += 1
    after = Vitals(model, images(channels=3))
    after.restore(saved)
    ours, theirs = after.measure(), before.measure()
    assert ours.pop("time") >= 0
    assert theirs.pop("time") >= 0
    assert ours == theirs
    assert layer(ours, "weights", "1")["flips"] == pytest.approx(9 / 162, rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_looking_changes_nothing(training: bool) -> None:
    model = create_model("reactnet_digits").train(training)
    model.stem[1].eval()  # a frozen batch norm stays frozen
    x = torch.rand(4, 1, 8, 8)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    Vitals(model, x).measure()
    activation_histograms(model, x)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_a_value_that_is_not_finite_is_null_and_the_record_stays_json() -> None:
    model = unit()
    with torch.no_grad():
        model[1].weight[0, 0, 0, 0] = float("nan")
    x = images()
    x[0, 0, 0, 0] = float("inf")
    record = Vitals(model, x).measure()
    assert layer(record, "signs", "0")["spread"] is None
    json.dumps(record, allow_nan=False)
    json.dumps(activation_histograms(model, x), allow_nan=False)


@pytest.mark.parametrize("binarize", [(), ("activations",), ("activations", "weights")])
def test_each_layer_says_whether_it_is_binary(binarize: tuple[str, ...]) -> None:
    record = Vitals(create_model("reactnet_digits", binarize=binarize), torch.rand(4, 1, 8, 8)).measure()
    assert {seen["binary"] for seen in record["weights"].values()} == {"weights" in binarize}
    assert {seen["binary"] for seen in record["signs"].values()} == {"activations" in binarize}
    assert len(record["rprelus"]) == len(record["signs"]) == len(record["weights"]) > 0


def test_histograms_hold_every_value_once_and_before_and_after_share_their_bins() -> None:
    model = unit()
    with torch.no_grad():
        model[0].shift.copy_(torch.tensor([0.0, 100.0, -100.0, 0.3]))
        model[3].shift_out += 0.5
    found = activation_histograms(model, images())
    sign, act = found["signs"]["0"], found["rprelus"]["3"]
    for shares in (sign["before"], sign["after"], act["before"], act["after"]):
        assert len(shares) == BINS
        assert sum(shares) == pytest.approx(1, abs=BINS * 1e-6)  # each is rounded to six digits
    assert len(sign["balance"]) == BALANCE_BINS
    assert (sign["balance"][0], sign["balance"][-1]) == (0.25, 0.25)  # one channel always -1, one always +1


def test_an_rprelu_is_seen_before_and_after_it_acts() -> None:
    model = nn.Sequential(RPReLU(4))
    with torch.no_grad():
        model[0].slope.zero_()
        model[0].shift_out.fill_(1.0)
    found = activation_histograms(model, images())["rprelus"]["0"]
    low, high = found["range"]
    below = int((0 - low) / (high - low) * BINS)
    assert sum(found["before"][:below]) > 0.4
    assert sum(found["after"][:below]) == 0.0


def test_a_histogram_counts_what_lies_in_each_bin() -> None:
    model = nn.Sequential(RSign(1))
    x = (torch.arange(-240, 240) / 240).view(-1, 1, 1, 1)
    found = activation_histograms(model.append(nn.PReLU()), x)["signs"]["0"]
    low, high = found["range"]
    assert (low, high) == pytest.approx((-1, 1), abs=0.02)
    assert found["before"][BINS // 2] == pytest.approx(10 / 480, abs=2 / 480)
    assert found["before"] == found["after"]
    assert found["plus"] == 0.5


class WithoutFloat64(torch.Tensor):
    """A tensor as on an Apple GPU: nothing is float64 there, and no k-th value is found, before it is on the CPU."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name == "cpu":
            return args[0].as_subclass(torch.Tensor)
        assert name not in ("double", "kthvalue", "bincount"), name
        found = super().__torch_function__(func, types, args, {} if kwargs is None else kwargs)
        assert not isinstance(found, torch.Tensor) or found.dtype != torch.float64, name
        return found


def test_vitals_and_histograms_need_no_float64_on_the_device() -> None:
    model, x = unit(), images()
    there = x.as_subclass(WithoutFloat64)
    with pytest.raises(AssertionError, match="double"):
        there.double()
    assert activation_histograms(model, there) == activation_histograms(model, x)
    here, elsewhere = ({**Vitals(model, given).measure(), "time": 0} for given in (x, there))
    assert here == elsewhere
