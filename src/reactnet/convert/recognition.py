"""Which model a foreign state dict holds: the one whose keys and shapes are exactly these."""

import re
from dataclasses import dataclass

import torch
from torch import nn

from reactnet.convert import official, openmmlab, torchvision
from reactnet.convert.rules import Layout, Misfit, Rule, State, compare
from reactnet.errors import ReactnetError
from reactnet.models import create_model, model_info

LAYOUTS = (official.MOBILENET, official.RESNET, torchvision.RESNET, torchvision.VGG, openmmlab.VGG)
MAX_CLASSES = 65_536  # a dimension of the packed file


@dataclass(frozen=True)
class Recognised:
    """A layout, the model in it by our name, the model itself without memory for its weights, and its rules."""

    layout: Layout
    name: str
    num_classes: int
    model: nn.Module
    rules: tuple[Rule, ...]


def recognise(state: State, *, model: str | None = None) -> Recognised:
    """The one model whose keys and shapes are exactly those of `state`, a state dict without `module.`.

    Only names, shapes and dtypes are looked at. With `model`, it is held to that one alone.

    Raises ReactnetError if no known layout has such keys, if `model` does not come in it, or, listing the keys, if they
    are not those of the model that is nearest; and if two models fit.
    """
    layouts = [layout for layout in LAYOUTS if any(re.fullmatch(layout.mark, key) for key in state)]
    if not layouts:
        raise ReactnetError(
            f"{len(state)} keys of no layout known here: {', '.join(list(state)[:3])}, ...",
            hint=f"known are: {'; '.join(layout.name for layout in LAYOUTS)}",
        )
    choices = [(layout, name) for layout in layouts for name in layout.models if model in (None, name)]
    if not choices:
        known = [name for layout in layouts for name in layout.models]
        raise ReactnetError(
            f"the layout is {layouts[0].name}, in which there is no {model!r}", hint=f"choose one of {', '.join(known)}"
        )
    tried = [_try(layout, name, state) for layout, name in choices]
    fitting = [found for found, misfit in tried if not misfit]
    if len(fitting) > 1:
        names = ", ".join(found.name for found in fitting)
        raise ReactnetError(f"it fits {len(fitting)} models: {names}", hint=f"say which: --model {fitting[0].name}")
    if fitting:
        return fitting[0]
    nearest, misfit = min(tried, key=lambda pair: len(pair[1]))
    raise ReactnetError(
        f"not a {nearest.name}{'' if model else ', which is nearest'} ({nearest.layout.name}): {misfit}",
        hint="no weight is left out or made up: give the whole state dict of a known model",
    )


def _try(layout: Layout, name: str, state: State) -> tuple[Recognised, Misfit]:
    classes = model_info(name).num_classes
    head = state.get(layout.head)
    if head is not None and head.ndim == 2 and 1 <= head.shape[0] <= MAX_CLASSES:
        classes = head.shape[0]
    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # shapes alone: VGG-19 would be 575 MB
        model = create_model(name, num_classes=classes)
    rules = layout.rules(model, state.keys())
    return Recognised(layout, name, classes, model, rules), compare(rules, state)
