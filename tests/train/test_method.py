"""The method: loss, schedules, weight decay by role, hand-over between phases."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from reactnet.errors import ReactnetError
from reactnet.models import create_model, list_models
from reactnet.nn import BinaryConv2d, approx_sign
from reactnet.train import cross_entropy, distributional_loss
from reactnet.train.distill import phase_loss
from reactnet.train.hand_over import hand_over
from reactnet.train.optimizer import decayed, make_optimizer, parameter_roles
from reactnet.train.phase import Phase
from reactnet.train.recipe import parse_recipe
from reactnet.train.schedule import learning_rate_at
from train.small_run import TEXT

# float64 throughout: what is left is the rounding of exp and log.
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def logits(seed: int, *, grad: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(5, 7, generator=generator, dtype=torch.float64).requires_grad_(grad)


def test_distributional_loss_is_the_papers_double_sum() -> None:
    student, teacher = logits(0), logits(1)
    expected = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(z) for z in s))
        total = sum(math.exp(z) for z in t)
        expected -= sum(math.exp(b) / total * (a - log_sum) for a, b in zip(s, t, strict=True)) / len(student)
    assert distributional_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_distributional_loss_has_the_gradient_of_the_difference_of_probabilities() -> None:
    student, teacher = logits(0, grad=True), logits(1)
    distributional_loss(student, teacher).backward()
    expected = (student.detach().softmax(1) - teacher.softmax(1)) / len(student)
    torch.testing.assert_close(student.grad, expected, **EXACT)


def test_distributional_loss_is_least_at_the_teacher_and_is_its_entropy_there() -> None:
    teacher = logits(1)
    entropy = -(teacher.softmax(1) * teacher.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(distributional_loss(teacher.clone(), teacher), entropy, **EXACT)
    assert distributional_loss(logits(0), teacher) > entropy


def test_distributional_loss_refuses_a_teacher_that_would_be_trained() -> None:
    with pytest.raises(AssertionError, match="no_grad"):
        distributional_loss(logits(0), logits(1, grad=True))


def test_temperature_divides_the_logits_and_its_square_stands_in_front() -> None:
    student, teacher = logits(0, grad=True), logits(1)
    cold = distributional_loss(student / 4, teacher / 4)
    warm = distributional_loss(student, teacher, temperature=4.0)
    torch.testing.assert_close(warm, 16 * cold, **EXACT)
    warm.backward()
    expected = 4 * ((student.detach() / 4).softmax(1) - (teacher / 4).softmax(1)) / len(student)
    torch.testing.assert_close(student.grad, expected, **EXACT)


LABELS, OTHERS = torch.tensor([0, 1, 2, 3, 6]), torch.tensor([5, 5, 0, 3, 1])


def student_phase(**changes: Any) -> Phase:
    return replace(parse_recipe(TEXT, source="small.toml").phases["student"], **changes)


def test_smoothed_labels_are_spread_over_all_classes() -> None:
    student = logits(0)
    target = torch.full((5, 7), 0.1 / 7, dtype=torch.float64)
    target[torch.arange(5), LABELS] += 0.9
    expected = -(target * student.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(cross_entropy(student, LABELS, smoothing=0.1), expected, **EXACT)


def test_a_mixed_batch_weighs_the_losses_to_its_two_labels() -> None:
    phase = parse_recipe(TEXT, source="small.toml").phases["teacher"]
    student = logits(0)
    expected = 0.3 * cross_entropy(student, LABELS) + 0.7 * cross_entropy(student, OTHERS)
    torch.testing.assert_close(phase_loss(phase, student, [], LABELS, OTHERS, 0.3), expected, **EXACT)


def test_teachers_and_labels_share_the_loss_by_their_weights() -> None:
    phase = student_phase(
        teacher=("phase:teacher", "file:x"),
        teacher_weights=(0.25, 0.75),
        temperature=4.0,
        label_weight=0.1,
        label_smoothing=0.2,
    )
    student, one, two = logits(0), logits(1), logits(2)
    taught = 0.25 * distributional_loss(student, one, temperature=4.0)
    taught = taught + 0.75 * distributional_loss(student, two, temperature=4.0)
    expected = 0.9 * taught + 0.1 * cross_entropy(student, LABELS, smoothing=0.2)
    torch.testing.assert_close(phase_loss(phase, student, [one, two], LABELS), expected, **EXACT)


def test_without_options_the_loss_is_the_distributional_one_and_labels_do_not_enter() -> None:
    student, teacher = logits(0), logits(1)
    for labels in (LABELS, OTHERS):
        assert torch.equal(
            phase_loss(student_phase(), student, [teacher], labels), distributional_loss(student, teacher)
        )


def test_logits_of_half_precision_are_taken_to_float32_before_the_loss() -> None:
    student, teacher = logits(0).to(torch.bfloat16), logits(1).to(torch.bfloat16)
    found = phase_loss(student_phase(), student, [teacher], LABELS)
    assert found.dtype == torch.float32
    assert torch.equal(found, distributional_loss(student.float(), teacher.float()))


@pytest.mark.parametrize(("value", "slope"), [(-1.5, 0), (-1, 0), (-0.25, 1.5), (0, 2), (0.5, 1), (0.75, 0.5), (1, 0)])
def test_the_gradient_of_an_activations_sign_is_the_papers(value: float, slope: float) -> None:
    x = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    approx_sign(x).backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(slope, abs=1e-12)


def test_the_scale_of_a_binary_layer_is_detached_and_no_factor_of_its_gradient() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 2, 3).double()
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    layer(x).sum().backward()
    # d sum / d sign(w) with the scale left out; that of the scale itself, mean sign / n a weight, is not in it.
    signs = torch.where(layer.weight >= 0, 1.0, -1.0).double().detach().requires_grad_()
    torch.nn.functional.conv2d(x, signs).sum().backward()
    torch.testing.assert_close(layer.weight.grad, signs.grad, **EXACT)


def test_a_step_schedule_falls_at_its_milestones_and_warm_up_climbs_under_the_schedule() -> None:
    def rate(step: int, **options: Any) -> float:
        return learning_rate_at("step", 1.0, step=step, steps_per_epoch=2, epochs=4, **options)

    marks: dict[str, Any] = {"milestones": (1, 3), "factor": 0.1}
    assert [rate(step, **marks) for step in range(8)] == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])
    warm = [rate(step, warmup_epochs=2, **marks) for step in range(8)]
    assert warm == pytest.approx([0.25, 0.5, 0.075, 0.1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("linear_step", [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ("linear_epoch_released", [2 / 3, 2 / 3, 1 / 3, 1 / 3, 0, 0]),
        ("cosine", [1, (1 + math.sqrt(3) / 2) / 2, 0.75, 0.5, 0.25, (1 - math.sqrt(3) / 2) / 2]),
        ("constant", [1, 1, 1, 1, 1, 1]),
    ],
)
def test_schedule_follows_its_formula_at_each_step(schedule: str, rates: list[float]) -> None:
    found = [learning_rate_at(schedule, 4.0, step=step, steps_per_epoch=2, epochs=3) for step in range(6)]
    assert found == pytest.approx([4 * rate for rate in rates], abs=1e-12)


def test_weight_decay_falls_on_the_roles_named_and_on_nothing_else() -> None:
    model = create_model("reactnet_digits")
    names = set(decayed(model, ["convolutions", "linear"]))
    assert {"stem.0.weight", "head.weight"} == names
    shifts = decayed(model, ["shifts"])
    assert shifts
    assert all("shift" in name for name in shifts)
    assert len(decayed(model, ["binary_convolutions"])) == sum(p.ndim == 4 for p in model.parameters()) - 1


def test_as_released_decays_what_the_released_scripts_choose() -> None:
    # They take parameters of four dimensions, and their shifts, which are ours but (1, C, 1, 1), have four.
    model = create_model("reactnet_digits")
    chosen = {name for name, p in model.named_parameters() if p.ndim == 4 or "shift" in name}
    assert set(decayed(model, ["as_released"])) == chosen


@pytest.mark.parametrize("name", list_models())
def test_every_parameter_of_every_model_has_a_role(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name)
    assert list(parameter_roles(model)) == [key for key, _ in model.named_parameters()]


def test_a_parameter_without_a_role_is_an_error_that_names_it() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Bilinear(2, 2, 2))
    with pytest.raises(ReactnetError, match=r"1\.weight: no role for 'weight' of Bilinear"):
        parameter_roles(model)


def test_the_optimizer_holds_each_parameter_once_with_the_decay_of_its_role() -> None:
    model = create_model("reactnet_digits")
    phase = parse_recipe(TEXT, source="small.toml").phases["teacher"]
    groups = make_optimizer(model, phase).param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 1e-4), (len(held) - 1, 0.0)]


def fresh(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return create_model("reactnet_digits")


def test_hand_over_restarts_exactly_the_latent_weights_or_nothing_or_all() -> None:
    before = fresh(1).state_dict()
    kept_all = hand_over(fresh(2), before, "all")
    assert kept_all.restarted == ()
    latent = set(decayed(fresh(2), ["binary_convolutions"]))
    assert set(hand_over(fresh(2), before, "all_but_binary_weights").restarted) == latent
    assert hand_over(fresh(2), None, "nothing").carried == ()


def test_hand_over_refuses_a_key_too_many_one_missing_and_another_shape() -> None:
    before = fresh(1).state_dict()
    with pytest.raises(ReactnetError, match="'extra' is in the phase before only"):
        hand_over(fresh(2), {**before, "extra": torch.zeros(1)}, "all")
    with pytest.raises(ReactnetError, match=r"'head\.bias' is in the phase after only"):
        hand_over(fresh(2), {key: value for key, value in before.items() if key != "head.bias"}, "all")
    with pytest.raises(ReactnetError, match=r"'head\.bias' is \(3,\) before and \(10,\) after"):
        hand_over(fresh(2), {**before, "head.bias": torch.zeros(3)}, "all")
