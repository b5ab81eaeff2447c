"""One update: pieces sum to the whole, clipping, frozen signs, the average, autocast whose signs are signs."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reactnet.models import create_model
from reactnet.nn import BinaryConv2d, RSign, Sign, convolution
from reactnet.nn.binarize import signs_of
from reactnet.train.feed import Batch
from reactnet.train.finite import NotFiniteError
from reactnet.train.optimizer import latent_weights, make_optimizer
from reactnet.train.recipe import Computing, parse_recipe
from reactnet.train.step import Average, Step
from train.small_run import CLASSES, TEXT

CPU = torch.device("cpu")
STEPS = 2  # an epoch, of which the phase has 2
T, S = "phases.teacher.", "phases.student."
# Sums of the same float32 numbers in another order.
REORDERED = {"rtol": 1e-4, "atol": 1e-6}


def model(*, binarize: tuple[str, ...] = ("activations", "weights"), without_norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    made = create_model("reactnet_digits", binarize=binarize, num_classes=CLASSES)
    if without_norm:
        for path, module in list(made.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                made.set_submodule(path, nn.Identity())
    return made


def step(network: nn.Module, *, computing: Computing | None = None, phase: str = "teacher", **changes: Any) -> Step:
    recipe = parse_recipe(TEXT, source="small.toml", overrides={f"phases.{phase}.{k}": v for k, v in changes.items()})
    chosen = recipe.phases[phase]
    average = None if chosen.ema_decay is None else Average(network, chosen.ema_decay)
    return Step(
        network,
        chosen,
        Computing() if computing is None else computing,
        make_optimizer(network, chosen),
        [],
        CPU,
        STEPS,
        average,
    )


def batch(count: int = 12, *, mix: float | None = None) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    labels = torch.arange(count) % CLASSES
    return Batch(images, labels, None if mix is None else labels.flip(0), mix)


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("pieces", [2, 3, 5, 12])  # 12 images: 5 pieces are of 3, 3, 2, 2, 2
@pytest.mark.parametrize("mix", [None, 0.3])
def test_pieces_of_a_batch_have_the_gradient_of_the_whole(pieces: int, mix: float | None) -> None:
    whole, cut = model(without_norm=True), model(without_norm=True)
    one = step(whole).run(batch(mix=mix), 0, seed=5)
    other = step(cut, accumulate=pieces).run(batch(mix=mix), 0, seed=5)
    for name, expected in gradients(whole).items():
        torch.testing.assert_close(gradients(cut)[name], expected, **REORDERED)
    assert other.loss == pytest.approx(one.loss, rel=1e-5)
    assert (other.correct, other.images) == (one.correct, one.images)


def test_pieces_measure_batch_norm_on_themselves() -> None:
    # The documented exception: statistics of a piece are not those of the whole batch.
    whole, cut = model(), model()
    step(whole).run(batch(), 0, seed=5)
    step(cut, accumulate=3).run(batch(), 0, seed=5)
    counts = [m.num_batches_tracked.item() for m in cut.modules() if isinstance(m, nn.BatchNorm2d)]
    assert set(counts) == {3}
    assert any(not torch.equal(a, b) for a, b in zip(whole.buffers(), cut.buffers(), strict=True))


def test_the_gradient_is_clipped_to_the_norm() -> None:
    free, clipped = model(), model()
    step(free).run(batch(), 0, seed=5)
    step(clipped, clip_grad_norm=1e-3).run(batch(), 0, seed=5)
    before, after = gradients(free), gradients(clipped)
    norm = torch.sqrt(sum((g**2).sum() for g in before.values()))
    assert norm > 1e-3
    for name, gradient in after.items():
        torch.testing.assert_close(gradient, before[name] * (1e-3 / norm), rtol=1e-3, atol=1e-9)


def test_signs_and_scales_stand_still_for_the_last_share_of_the_steps_and_all_else_moves() -> None:
    network = model()
    update = step(network, phase="teacher", freeze_signs=0.5, weight_decay=0.1)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    latent = set(latent_weights(network))
    update.run(batch(), 1, seed=5)
    assert all(not torch.equal(p, before[name]) for name, p in network.named_parameters() if name in latent)
    then = {name: p.detach().clone() for name, p in network.named_parameters()}
    for number in (2, 3):
        update.run(batch(), number, seed=5)
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, then[name]) == (name in latent), name


def test_latent_weights_are_kept_within_the_clip() -> None:
    network = model()
    step(network, clip_latent=0.01).run(batch(), 0, seed=5)
    latent = latent_weights(network)
    assert latent
    assert all(weight.abs().max() <= 0.01 for weight in latent.values())
    assert network.get_parameter("head.weight").abs().max() > 0.01


def test_latent_weights_have_their_own_rate_on_the_same_schedule() -> None:
    network = model()
    update = step(network, schedule="step", milestones=[1], factor=0.5, binary_learning_rate=0.1, warmup_epochs=1)
    for number, share in ((0, 0.5), (1, 1.0), (2, 0.5)):
        update.run(batch(), number, seed=5)
        rates = {id(p): group["lr"] for group in update.optimizer.param_groups for p in group["params"]}
        for name, parameter in network.named_parameters():
            base = 0.1 if name in latent_weights(network) else 0.002
            assert rates[id(parameter)] == pytest.approx(base * share)


def test_the_average_follows_its_formula_and_its_visit_leaves_no_trace() -> None:
    network = model()
    update = step(network, ema_decay=0.5)
    average = update.average
    assert average is not None
    expected = {name: p.detach().clone() for name, p in network.named_parameters()}
    for number in range(4):
        update.run(batch(), number, seed=number)
        d = min(0.5, (1 + number) / (10 + number))
        expected = {n: d * expected[n] + (1 - d) * p.detach() for n, p in network.named_parameters()}
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with average.installed(network):
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-5, atol=1e-7)
        network.train()
        network(batch().images)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@contextlib.contextmanager
def watched(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tensor]]:
    """Every output of a sign, of activations and of weights, while the context lasts."""
    seen: list[Tensor] = []
    handles = [
        m.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
        for m in network.modules()
        if isinstance(m, RSign | Sign)
    ]

    def signs(weight: Tensor) -> Tensor:
        out = signs_of(weight)
        seen.append(out.detach())
        return out

    monkeypatch.setattr(convolution, "signs_of", signs)
    yield seen
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("sign", ["rsign", "sign"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_sign_has_no_third_value_under_autocast(
    sign: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = create_model("reactnet_digits", sign=sign).train()
    with watched(network, monkeypatch) as seen, torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        network(torch.randn(2, 1, 8, 8))
        network(torch.zeros(2, 1, 8, 8))  # exact zeros count as +1
    binary = sum(isinstance(m, BinaryConv2d) for m in network.modules())
    assert len(seen) >= 2 * binary > 0
    for output in seen:
        assert bool((output.abs() == 1).all())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_and_leaves_weights_in_float32(precision: Any) -> None:
    network = model()
    update = step(network, computing=Computing(precision))
    assert (update.scaler is not None) == (precision == "float16")
    first = update.run(batch(), 0, seed=5).loss
    for number in range(1, 4):
        last = update.run(batch(), number, seed=5).loss
    assert last < first
    assert all(p.dtype == torch.float32 for p in network.parameters())


def test_compiled_and_channels_last_steps_change_nothing_that_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: compiled.append(module) or module)
    plain, other = model(), model()
    step(plain).run(batch(), 0, seed=5)
    step(other, computing=Computing(channels_last=True, compile=True)).run(batch(), 0, seed=5)
    assert compiled == [other]
    assert list(plain.state_dict()) == list(other.state_dict())
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value, rtol=1e-2, atol=5e-3)  # Adam divides small numbers


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # torch's own, as it compiles
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_a_compiled_step_has_the_gradients_of_a_plain_one_up_to_rounding() -> None:
    """In the real-valued twin: a last bit before a sign would be a whole step behind it."""
    plain, other = model(binarize=()), model(binarize=())
    ours = step(plain).run(batch(), 0, seed=5)
    theirs = step(other, computing=Computing(compile=True)).run(batch(), 0, seed=5)
    assert theirs.loss == pytest.approx(ours.loss, rel=1e-5)
    for name, gradient in gradients(plain).items():
        torch.testing.assert_close(gradients(other)[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("layer", "value"), [("blocks.1.spatial.norm", float("nan")), ("stem.0", float("inf"))])
def test_the_layer_where_a_nan_began_is_named(layer: str, value: float) -> None:
    network = model()
    network.get_submodule(layer).register_forward_hook(lambda module, inputs, output: output * value)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(NotFiniteError) as caught:
        step(network).run(batch(), 0, seed=5)
    assert repr(layer) in caught.value.where
    for key, parameter in network.named_parameters():
        assert torch.equal(parameter, before[key])  # nothing was updated


def test_a_weight_that_was_broken_before_is_named_as_such() -> None:
    network = model()
    with torch.no_grad():
        network.get_parameter("head.bias")[1] = float("nan")
    with pytest.raises(NotFiniteError, match=r"an earlier update: 'head\.bias'"):
        step(network).run(batch(), 0, seed=5)


def test_images_that_are_not_finite_are_named() -> None:
    images = batch().images
    images[3, 0, 2, 2] = float("inf")
    with pytest.raises(NotFiniteError, match="began in the images"):
        step(model()).run(Batch(images, batch().labels), 0, seed=5)
