"""Who teaches a phase: an earlier phase, a model of ours on disk, or one of torchvision or timm; never trained.

A teacher sees the student's own augmented crop. Where it was trained under another normalisation, its input is
re-normalised: x_t = x_s * (std_s / std_t) + (mean_s - mean_t) / std_t, which is the image normalised its way.
"""

import importlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.train.card import load_model
from reactnet.train.feed import Feed
from reactnet.train.parallel import first_line
from reactnet.train.phase import PHASE_TEACHER, Phase

_log = logging.getLogger(__name__)

FILE, TORCHVISION, TIMM = "file:", "torchvision/", "timm/"


class Teacher:
    """A frozen model in eval mode: images normalised for the student to logits, without a gradient.

    Shape: (N, C, H, W) -> (N, K). `name` is what the recipe calls it.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        *,
        ours: tuple[Sequence[float], Sequence[float]],
        theirs: tuple[Sequence[float], Sequence[float]],
    ) -> None:
        self.name = name
        self.model = model.eval().requires_grad_(False)
        self.scale: Tensor | None = None
        self.shift: Tensor | None = None
        if tuple(map(tuple, ours)) != tuple(map(tuple, theirs)):
            (mean, std), (their_mean, their_std) = (
                [torch.tensor(list(values), dtype=torch.float64).view(1, -1, 1, 1) for values in pair]
                for pair in (ours, theirs)
            )
            self.scale = (std / their_std).float()
            self.shift = ((mean - their_mean) / their_std).float()

    def to(self, device: torch.device, *, channels_last: bool = False) -> "Teacher":
        """Move it, and return it."""
        if channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        self.model.to(device)
        if self.scale is not None and self.shift is not None:
            self.scale, self.shift = self.scale.to(device), self.shift.to(device)
        return self

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        if self.scale is not None and self.shift is not None:
            images = images * self.scale + self.shift
        logits: Tensor = self.model(images)
        return logits


def load_teachers(phase: Phase, feed: Feed, checkpoint: Callable[[str], Path]) -> list[Teacher]:
    """The teachers of a phase; `checkpoint` says where an earlier phase's weights are.

    Raises ReactnetError if one cannot be had, knows another number of classes, or was trained at another image size.
    """
    return [_load(name, feed, checkpoint) for name in phase.teachers]


def _load(name: str, feed: Feed, checkpoint: Callable[[str], Path]) -> Teacher:
    with torch.random.fork_rng(devices=[]):  # weights drawn before the trained ones arrive must leave no trace
        if name.startswith(PHASE_TEACHER):
            teacher = _from_file(name, checkpoint(name.removeprefix(PHASE_TEACHER)), feed)
        elif name.startswith(FILE):
            teacher = _from_file(name, Path(name.removeprefix(FILE)).expanduser(), feed)
        elif name.startswith(TORCHVISION):
            teacher = _from_torchvision(name, feed)
        else:
            assert name.startswith(TIMM)
            teacher = _from_timm(name, feed)
    _check_classes(teacher, feed)
    return teacher


def _from_file(name: str, path: Path, feed: Feed) -> Teacher:
    model = load_model(path)
    card: Any = model.reactnet
    _check_size(name, tuple(card.image_size), feed)
    if card.class_names != feed.class_names:
        if sorted(card.class_names) == sorted(feed.class_names):
            raise ReactnetError(
                f"teacher {name!r}: its classes are those of the data in another order",
                hint="a teacher and its student must number their classes alike: give another teacher",
            )
        if len(card.class_names) == len(feed.class_names):
            _log.warning("teacher %r: its classes have other names than those of the data", name)
    return Teacher(name, model, ours=(feed.mean, feed.std), theirs=(card.mean, card.std))


def _from_torchvision(name: str, feed: Feed) -> Teacher:
    models = _import(name, "torchvision.models", "pip install 'reactnet[train]'")
    which, _, weights_name = name.removeprefix(TORCHVISION).partition("/")
    try:
        weights = models.get_model_weights(which)
        chosen = weights[weights_name] if weights_name else weights.DEFAULT
    except (KeyError, ValueError, AttributeError) as error:
        raise ReactnetError(
            f"teacher {name!r}: torchvision has no such model with weights: {error}",
            hint="give 'torchvision/NAME' or 'torchvision/NAME/WEIGHTS', such as 'torchvision/resnet34'",
        ) from error
    preset = chosen.transforms()
    if not hasattr(preset, "crop_size"):
        raise ReactnetError(
            f"teacher {name!r}: no classifier of images", hint="give one, such as 'torchvision/resnet34'"
        )
    side = int(preset.crop_size[0])
    _check_size(name, (side, side, len(preset.mean)), feed)  # before anything is fetched
    try:
        model = models.get_model(which, weights=chosen)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        raise _not_fetched(name, error) from error
    return Teacher(name, model, ours=(feed.mean, feed.std), theirs=(preset.mean, preset.std))


def _from_timm(name: str, feed: Feed) -> Teacher:
    timm = _import(name, "timm", "pip install timm")
    which = name.removeprefix(TIMM)
    # A name without a tag, such as resnet34, has timm's default weights; its list of names has tags only.
    if not timm.is_model_pretrained(which):
        raise ReactnetError(
            f"teacher {name!r}: timm has no such model with weights",
            hint="python -c 'import timm; print(timm.list_models(pretrained=True))' lists them",
        )
    try:
        model = timm.create_model(which, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise _not_fetched(name, error) from error
    settings = model.pretrained_cfg
    channels, height, width = settings["input_size"]
    _check_size(name, (height, width, channels), feed)
    return Teacher(name, model, ours=(feed.mean, feed.std), theirs=(settings["mean"], settings["std"]))


def _import(name: str, module: str, install: str) -> ModuleType:
    package = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ReactnetError(f"teacher {name!r}: {package} is not installed", hint=install) from error
    except Exception as error:  # torchvision beside a torch that it was not built for raises all kinds
        raise ReactnetError(
            f"teacher {name!r}: {package} cannot be imported: {first_line(error)}",
            hint=f"install the {package} that goes with torch {torch.__version__}",
        ) from error


def _not_fetched(name: str, error: Exception) -> ReactnetError:
    return ReactnetError(
        f"teacher {name!r}: its weights cannot be fetched: {first_line(error)}",
        hint="fetch them once where there is a network, or give a teacher of your own as 'file:PATH'",
    )


def _check_size(name: str, size: tuple[int, ...], feed: Feed) -> None:
    if size != feed.image_size:
        theirs, ours = ("x".join(map(str, sides)) for sides in (size, feed.image_size))
        raise ReactnetError(
            f"teacher {name!r}: was trained on {theirs} images, the data has {ours}",
            hint="give a teacher of the student's image size, or set image_size in [data] to the teacher's",
        )


@torch.no_grad()
def _check_classes(teacher: Teacher, feed: Feed) -> None:
    height, width, channels = feed.image_size
    answer = teacher.model(torch.zeros(1, channels, height, width))
    classes = len(feed.class_names)
    if not isinstance(answer, Tensor) or answer.shape != (1, classes):
        found = f"{answer.shape[-1]} classes" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
        raise ReactnetError(
            f"teacher {teacher.name!r}: gives {found}, the data has {classes}",
            hint="give a teacher trained on these classes: train one, or fine-tune one with carry = 'all_but_head'",
        )
