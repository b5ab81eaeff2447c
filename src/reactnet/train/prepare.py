"""What a phase needs before its first step: a model with what it takes over, its teachers, its way to update."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from reactnet.models import create_model
from reactnet.nn import set_gradient
from reactnet.train.checkpoint import read_checkpoint
from reactnet.train.determinism import seed_for
from reactnet.train.ema import Average
from reactnet.train.feed import Feed
from reactnet.train.hand_over import HandOver, hand_over
from reactnet.train.joined_norm import join_statistics
from reactnet.train.loop import Loop
from reactnet.train.optimizer import make_optimizer
from reactnet.train.parallel import ALONE, World, check_pieces
from reactnet.train.recipe import Recipe
from reactnet.train.start import head_keys, read_start
from reactnet.train.step import Step
from reactnet.train.teachers import load_teachers

_log = logging.getLogger(__name__)


def make_loop(
    recipe: Recipe,
    index: int,
    feed: Feed,
    device: torch.device,
    checkpoint: Callable[[str], Path],
    *,
    resumed: bool,
    world: World = ALONE,
) -> tuple[Loop, HandOver | None]:
    """Phase `index` of a recipe, at its beginning; `checkpoint` says where an earlier phase's weights are.

    Where it is to be `resumed`, the weights come from the saved state: nothing is handed over.
    """
    name = tuple(recipe.phases)[index]
    phase, computing = recipe.phases[name], recipe.computing
    check_pieces(len(feed.members), feed.steps_per_epoch(phase.batch_size), world)
    model, handed = _make_model(recipe, index, feed, checkpoint, resumed=resumed)
    model.to(device)
    # Machines may draw other numbers from one seed.
    world.share([*model.parameters(), *model.buffers()])
    if computing.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    teachers = [
        teacher.to(device, channels_last=computing.channels_last) for teacher in load_teachers(phase, feed, checkpoint)
    ]
    optimizer = make_optimizer(model, phase)
    join_statistics(model, world, norms=phase.sync_batch_norm)
    update = Step(
        model=model,
        phase=phase,
        computing=computing,
        optimizer=optimizer,
        teachers=teachers,
        device=device,
        steps_per_epoch=feed.steps_per_epoch(phase.batch_size),
        average=None if phase.ema_decay is None else Average(model, phase.ema_decay),
        world=world,
    )
    first_epoch = sum(earlier.epochs for earlier in list(recipe.phases.values())[:index])
    return Loop(name, phase, recipe.seed, first_epoch, update, feed, device), handed


def _make_model(
    recipe: Recipe, index: int, feed: Feed, checkpoint: Callable[[str], Path], *, resumed: bool
) -> tuple[nn.Module, HandOver | None]:
    names = tuple(recipe.phases)
    phase, classes = recipe.phases[names[index]], len(feed.class_names)
    torch.manual_seed(seed_for("weights", recipe.seed, index))
    model = create_model(
        recipe.model, binarize=phase.binarize, num_classes=classes, pretrained=False, **recipe.model_options
    )
    set_gradient(
        model,
        activation=phase.activation_gradient,
        activation_window=phase.activation_window,
        weight_window=phase.weight_window,
    )
    if resumed:
        return model, None
    before: Mapping[str, Tensor] | None = None
    source = "hand-over"
    if phase.start_from is not None:
        before, source = read_start(phase, recipe, feed.class_names), f"start_from: {phase.start_from}"
    elif phase.carry != "nothing":
        before = read_checkpoint(checkpoint(names[index - 1]))[0]
    head = head_keys(recipe, classes) if phase.carry == "all_but_head" else set()
    handed = hand_over(model, before, phase.carry, head=head, rescale=phase.rescale_latent, source=source)
    if head:
        _log.warning("the head is made anew, for %d classes: %s", classes, ", ".join(sorted(head)))
    return model, handed
