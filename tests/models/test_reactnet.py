"""ReActNet is wired as published, in all its rungs; twin and phases share their parameters."""

import pytest
import torch
from torch import nn

from reactnet.errors import ReactnetError
from reactnet.models import create_model, list_models
from reactnet.models.reactnet import Block, ReActNet, ResidualUnit, Rung, Unit
from reactnet.nn import BinaryConv2d, RPReLU, RSign, Sign, binarized, set_binarize


def _binary_parameters(model):
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, BinaryConv2d))


def _digits(count=2):
    return torch.randn(count, 1, 4, 4)


def test_b_and_c_differ_from_a_in_the_widening_units_alone():
    a, b, c = (create_model(f"reactnet_{letter}") for letter in "abc")

    widening = sum(32 * 64 * 4**i for i in (0, 1, 2, 3, 4))
    assert _binary_parameters(b) == _binary_parameters(c) == _binary_parameters(a) - widening
    real = [[m for m in model.blocks.modules() if isinstance(m, nn.Conv2d)] for model in (b, c)]
    assert [[conv.groups for conv in convs] for convs in real] == [[4] * 5, [1] * 5]
    assert sum(conv.weight.numel() for conv in real[1]) == widening
    assert sum(conv.weight.numel() for conv in real[0]) == widening // 4


@pytest.mark.parametrize("parts", [(), ("activations",), ("activations", "weights")])
def test_twin_and_phases_share_one_state_dict(parts):
    default = create_model("reactnet_digits")
    other = create_model("reactnet_digits", binarize=parts)

    other.load_state_dict(default.state_dict())

    assert binarized(other) == parts
    x = _digits()
    set_binarize(default, parts)
    assert torch.equal(default(x), other(x))


def test_phase_two_is_phase_one_with_scaled_signs_for_weights():
    torch.manual_seed(0)
    phase_one = create_model("reactnet_digits", binarize=("activations",))
    phase_two = create_model("reactnet_digits")
    phase_two.load_state_dict(phase_one.state_dict())
    with torch.no_grad():
        for module in phase_one.modules():
            if isinstance(module, BinaryConv2d):
                w = module.weight
                w.copy_(torch.where(w >= 0, 1.0, -1.0) * w.abs().mean(dim=(1, 2, 3), keepdim=True))
    unit_one, unit_two = phase_one.blocks[0], phase_two.blocks[0]
    x = torch.randn(2, unit_one.spatial.conv.in_channels, 8, 8)

    torch.testing.assert_close(
        unit_one.spatial.conv(unit_one.spatial.sign(x)), unit_two.spatial.conv(unit_two.spatial.sign(x))
    )


def test_the_twin_has_no_step_anywhere():
    """A sign would answer a small change with none or with a jump; the twin answers in proportion, in its activations
    and in its latent weights."""
    torch.manual_seed(0)
    twin = create_model("reactnet_digits", binarize=()).double().eval()
    x = _digits().double().requires_grad_()
    direction = torch.randn_like(x)

    (gradient,) = torch.autograd.grad(twin(x).sum(), x)

    with torch.no_grad():
        change = (twin(x + 1e-7 * direction) - twin(x - 1e-7 * direction)).sum() / 2e-7
    assert change.item() == pytest.approx((gradient * direction).sum().item(), rel=1e-4)


def _silent(unit):
    """Leave a unit its shortcut alone: a norm that outputs 0 and an activation that passes."""
    with torch.no_grad():
        unit.norm.weight.zero_()
        unit.act.slope.fill_(1)
    return unit.eval()


def test_widening_shortcut_is_the_repeat():
    x = torch.randn(2, 3, 5, 5)

    assert torch.equal(_silent(Unit(3, 6, 1))(x), torch.cat([x, x], dim=1))


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1), (1, 2)])
def test_striding_shortcut_averages_the_pixels_inside(size):
    x = torch.randn(1, 2, *size)

    out = _silent(Unit(2, 2, 3, stride=2))(x)

    height, width = size
    expected = torch.stack(
        [x[:, :, i : i + 2, j : j + 2].mean(dim=(2, 3)) for i in range(0, height, 2) for j in range(0, width, 2)], dim=2
    )
    torch.testing.assert_close(out.flatten(2), expected)


def test_a_block_strides_in_the_3x3_and_widens_in_the_1x1():
    block = Block(4, 8, stride=2)

    assert (block.spatial.conv.kernel_size, block.spatial.conv.stride) == ((3, 3), (2, 2))
    assert (block.pointwise.conv.kernel_size, block.pointwise.conv.stride) == ((1, 1), (1, 1))
    assert (block.spatial.conv.out_channels, block.pointwise.conv.out_channels) == (4, 8)
    assert block(torch.randn(2, 4, 6, 6)).shape == (2, 8, 3, 3)


def test_digits_model_has_a_striding_and_a_widening_unit():
    units = [module for module in create_model("reactnet_digits").modules() if isinstance(module, Unit)]

    assert any(unit.stride == 2 for unit in units)
    assert any(unit.repeat == 2 for unit in units)


def test_any_width_plan_works_where_the_shortcut_can_repeat():
    assert ReActNet((5, 5, 15), (2, 1, 2), 3, in_channels=2)(torch.randn(2, 2, 9, 9)).shape == (2, 3)
    with pytest.raises(ReactnetError, match="from 32 to 48 channels"):
        ReActNet((32, 48), (1, 1), 10)
    with pytest.raises(ReactnetError, match="2 widths and 1 strides"):
        ReActNet((32, 32), (1,), 10)


def test_state_dict_keys_are_the_format():
    keys = list(ReActNet((2, 4), (1, 1), 3).state_dict())

    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    unit = ["sign.shift", "conv.weight", *(f"norm.{key}" for key in norm)]
    unit += ["act.shift_in", "act.slope", "act.shift_out"]
    expected = ["stem.0.weight", *(f"stem.1.{key}" for key in norm)]
    expected += [f"blocks.0.spatial.{key}" for key in unit] + [f"blocks.0.pointwise.{key}" for key in unit]
    assert keys == [*expected, "head.weight", "head.bias"]


REACTNETS = list_models("reactnet*")


@pytest.mark.parametrize("name", REACTNETS)
def test_the_baseline_has_no_learned_shift_and_no_activation(name):
    with torch.device("meta"):
        model = create_model(name, sign="sign", activation="none")
        reactnet = create_model(name)

    kinds = [type(module) for module in model.modules()]
    assert RSign not in kinds
    assert RPReLU not in kinds
    assert nn.PReLU not in kinds
    assert kinds.count(Sign) == kinds.count(BinaryConv2d)
    learned = {key for key in reactnet.state_dict() if key.endswith((".shift", ".shift_in", ".slope", ".shift_out"))}
    assert set(reactnet.state_dict()) - learned == set(model.state_dict())


@pytest.mark.parametrize("name", REACTNETS)
def test_rungs_add_one_idea_each(name):
    """Plain PReLU has a slope a channel; RPReLU adds two shifts to it; RSign one."""

    def parameters(**options):
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in create_model(name, **options).parameters())

    with torch.device("meta"):
        units = [module for module in create_model(name).modules() if isinstance(module, Unit | ResidualUnit)]
        activations = [module for module in create_model(name).modules() if isinstance(module, RPReLU)]
    inputs = sum(unit.conv.in_channels for unit in units)
    outputs = sum(activation.slope.numel() for activation in activations)
    baseline = parameters(sign="sign", activation="none")
    assert parameters(sign="sign", activation="prelu") - baseline == outputs
    assert parameters(sign="sign") - baseline == 3 * outputs
    assert parameters(activation="none") - baseline == inputs


def test_without_duplication_a_widening_unit_has_no_shortcut():
    plain = Unit(3, 6, 1, rung=Rung(duplicate=False))
    x = torch.randn(2, 3, 5, 5)

    assert torch.equal(_silent(plain)(x), torch.zeros(2, 6, 5, 5))
    assert torch.equal(_silent(Unit(3, 3, 1, rung=Rung(duplicate=False)))(x), x)
    with torch.device("meta"):
        model, reactnet = create_model("reactnet_a", duplicate=False), create_model("reactnet_a")
    assert list(model.state_dict()) == list(reactnet.state_dict())
    assert sum(unit.has_shortcut for unit in model.modules() if isinstance(unit, Unit)) == 26 - 5
