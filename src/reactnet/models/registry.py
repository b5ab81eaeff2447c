"""The one registry: model names, what is known of each, and how one is made.

A model is a function from `num_classes` and keyword-only options to a module. Its signature is the whole truth about
its options: the default number of classes, the option names, their types and defaults are read from there.
"""

import difflib
import fnmatch
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from reactnet.errors import ReactnetError
from reactnet.nn import PARTS, set_binarize
from reactnet.nn.phase import check_parts

Option = str | int | float | bool
Maker = Callable[..., nn.Module]

MAX_WIDTH = 65_536  # of a layer, as docs/format.md limits the channels of a value


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model before it is made.

    `image_size` is the default (H, W, C); `stride` the total stride, below which no image side may fall; `options`
    maps each option's name to its default.
    """

    name: str
    image_size: tuple[int, int, int]
    num_classes: int
    stride: int
    summary: str
    paper: str
    options: Mapping[str, Option] = field(default_factory=dict)


_MAKERS: dict[str, Maker] = {}
_INFOS: dict[str, ModelInfo] = {}


def register(*, image_size: tuple[int, int, int], stride: int, paper: str) -> Callable[[Maker], Maker]:
    """Register the decorated function under its own name; the first line of its docstring is the summary."""

    def add(make: Maker) -> Maker:
        name = make.__name__
        assert name not in _MAKERS, f"model {name} is registered twice"
        assert make.__doc__ is not None, f"model {name} has no docstring"
        parameters = dict(inspect.signature(make).parameters)
        num_classes = parameters.pop("num_classes").default
        options = {option: parameter.default for option, parameter in parameters.items()}
        _MAKERS[name] = make
        _INFOS[name] = ModelInfo(
            name, image_size, num_classes, stride, make.__doc__.strip().splitlines()[0], paper, options
        )
        return make

    return add


def create_model(
    name: str,
    *,
    binarize: Sequence[str] = ("activations", "weights"),
    num_classes: int | None = None,
    pretrained: bool = False,
    **options: Option,
) -> nn.Module:
    """Make the model called `name`, with fresh weights from torch's global generator.

    `binarize=()` is the real-valued twin, `("activations",)` phase one, both words (default) phase two: the same
    parameters under the same names. `options` are the model's own, as `model_info(name).options` lists them; each is
    checked by name and type against the model's signature before it is handed on.

    `pretrained` gives the weights of a packed file that ships (`reactnet zoo` lists them): `name` is then that model's
    name or its network's. Binary weights are exactly -1 and +1, and `model.reactnet` says so: good for answering and
    compiling, no start for training.

    Raises ReactnetError for an unknown name, part or option, for a value that the option does not take, and where no
    such weights ship.
    """
    check_parts(binarize)
    if pretrained:
        if set(binarize) != set(PARTS):
            raise ReactnetError(
                f"create_model: {name}: pretrained weights with binarize={tuple(binarize)!r}",
                hint="a packed file has binary activations and weights: leave binarize out",
            )
        from reactnet.zoo.pretrained import pretrained as shipped  # reads packed files, which nothing else here does

        return shipped(name, num_classes=num_classes, options=options)
    info = model_info(name)
    types = typing.get_type_hints(_MAKERS[name])
    for option, value in options.items():
        _check_option(info, option, value, types.get(option))
    classes = info.num_classes if num_classes is None else num_classes
    if classes < 1:
        raise ReactnetError(f"create_model: {name}: num_classes is {classes}", hint="give at least 1 class")
    model = _MAKERS[name](num_classes=classes, **options)
    set_binarize(model, binarize)
    return model


def list_models(pattern: str | None = None) -> list[str]:
    """The names of all models, sorted; with `pattern`, those that match it in the shell's way: `reactnet*`."""
    return sorted(name for name in _INFOS if pattern is None or fnmatch.fnmatchcase(name, pattern))


def model_info(name: str) -> ModelInfo:
    """What is known of the model called `name`. Raises ReactnetError if there is none."""
    if name not in _INFOS:
        raise ReactnetError(f"create_model: unknown model {name!r}", hint=_did_you_mean(name, list_models()))
    return _INFOS[name]


def check_image_size(name: str, image_size: Sequence[int]) -> None:
    """Raise ReactnetError unless the model called `name` takes images of `image_size`, (H, W) or (H, W, C).

    A side shorter than the total stride would leave the last map less than one whole pixel to look at.
    """
    info = model_info(name)
    size = "x".join(str(side) for side in image_size)
    if len(image_size) not in (2, 3):
        raise ReactnetError(f"{name}: image size {size} has {len(image_size)} numbers", hint="give H, W or H, W, C")
    if min(image_size[:2]) < info.stride:
        raise ReactnetError(
            f"{name}: image size {size} is too small: the model strides by {info.stride} in all",
            hint=f"give images of at least {info.stride}x{info.stride} pixels, or choose a model for small images",
        )
    if len(image_size) == 3 and image_size[2] != info.image_size[2]:
        raise ReactnetError(
            f"{name}: image size {size} has {image_size[2]} channels, the model takes {info.image_size[2]}",
            hint="convert the images to grey or RGB, or choose another model",
        )


def _check_option(info: ModelInfo, option: str, value: Option, kind: object) -> None:
    where = f"create_model: {info.name}"
    if option not in info.options:
        hint = _did_you_mean(option, info.options) if info.options else f"{info.name} has no options: give none"
        raise ReactnetError(f"{where}: unknown option {option!r}", hint=hint)
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            listed = ", ".join(repr(choice) for choice in choices)
            raise ReactnetError(f"{where}: option {option!r} is {value!r}", hint=f"choose one of {listed}")
    elif isinstance(kind, type) and type(value) is not kind:
        found = type(value).__name__
        raise ReactnetError(
            f"{where}: option {option!r} is {value!r}, a {found}", hint=f"give a value of type {kind.__name__}"
        )
    elif kind is int and not 1 <= int(value) <= MAX_WIDTH:
        raise ReactnetError(f"{where}: option {option!r} is {value!r}", hint=f"give 1 to {MAX_WIDTH}")


def _did_you_mean(word: str, choices: Sequence[str] | Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(choices)}"
