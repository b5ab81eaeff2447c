"""`reactnet train`: a recipe to a run folder."""

import difflib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reactnet.cli.progress import TrainingBars
from reactnet.errors import ReactnetError

if TYPE_CHECKING:
    from reactnet.train import Recipe

TOP_KEYS = ("model", "seed", "threads")  # of a recipe; all others stand in a table


def train(
    recipe: Annotated[str, Parameter(help="A recipe, .toml, or the name of a model: then --data settles the recipe.")],
    /,
    *overrides: Annotated[
        str,
        Parameter(
            name="OVERRIDES",
            allow_leading_hyphen=True,
            help="Other values for keys of the recipe, such as --phases.binary-weights.epochs 1.",
        ),
    ],
    out: Annotated[
        Path | None, Parameter(help="The run folder; an interrupted run in it goes on. Else runs/NAME.")
    ] = None,
    data: Annotated[
        Path | None, Parameter(help="The folder of the images: class folders, CIFAR, MNIST or tar shards.")
    ] = None,
    teacher: Annotated[
        str | None, Parameter(help="Without a recipe: torchvision/NAME, file:PATH or none, not the model's own twin.")
    ] = None,
    device: Annotated[str, Parameter(help="Where to compute: cpu, cuda, cuda:1, mps.")] = "cpu",
    workers: Annotated[
        int | None, Parameter(help="Threads that decode and augment images ahead; their number changes no result.")
    ] = None,
    on_bad_image: Annotated[
        Literal["stop", "skip"], Parameter(help="What to do with an image that cannot be read; skip counts them.")
    ] = "stop",
    save_every: Annotated[
        int | None, Parameter(help="Save the state every so many steps. Without it, every five minutes.")
    ] = None,
) -> None:
    """Train a model, phase by phase, as a recipe says; or any model on any folder of images."""
    from reactnet.train import train as train_recipe
    from reactnet.train.meeting import started

    if out is None:
        out = Path("runs") / Path(recipe).stem
    loaded = open_recipe(recipe, out, data, read_overrides(overrides), teacher=teacher, device=device)
    train_here = partial(
        train_recipe,
        loaded,
        out,
        device=device,
        data_root=data,
        workers=workers,
        on_bad_image=on_bad_image,
        save_every=save_every,
    )
    if not started().main:
        train_here()
        return
    with TrainingBars() as bars:
        folder = train_here(progress=bars)
    print(folder)


def open_recipe(
    name: str, out: Path, data: Path | None, overrides: dict[str, object], *, teacher: str | None, device: str
) -> "Recipe":
    """The recipe in the file `name`; or for a model of that name the one in the run folder, else the default one.

    Raises ReactnetError if it is neither a file nor a model.
    """
    from reactnet.models import list_models
    from reactnet.train import default_recipe, load_recipe

    if name.endswith(".toml") or Path(name).is_file():
        if teacher is not None:
            raise ReactnetError(
                f"reactnet train: --teacher {teacher} beside the recipe {name}",
                hint="name the teacher in the recipe's phases",
            )
        return load_recipe(name, overrides)
    if name not in list_models():
        close = difflib.get_close_matches(name, list_models(), n=1)
        hint = (
            f"did you mean {close[0]!r}?" if close else "give a recipe, .toml, or a name that `reactnet models` lists"
        )
        raise ReactnetError(f"reactnet train: {name!r} is no recipe and no model", hint=hint)
    there = out / "recipe.toml"
    if there.is_file() and load_recipe(there).model == name and teacher is None:
        return load_recipe(there, overrides)  # a run that goes on does not ask how many processors there are now
    made = default_recipe(name, data, teacher=teacher, device=device, overrides=overrides)
    print(f"no recipe given: {name}'s default one is used and written to {there}, to copy and edit", file=sys.stderr)
    return made


def read_overrides(tokens: Sequence[str]) -> dict[str, object]:
    """`--phases.binary-weights.epochs 1` or `--seed=1` as {"phases.binary_weights.epochs": 1, "seed": 1}."""
    from reactnet.train import parse_value

    found: dict[str, object] = {}
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if not token.startswith("--"):
            raise ReactnetError(
                f"reactnet train: unexpected argument {token!r}",
                hint="give a key of the recipe as --TABLE.KEY VALUE, and the folder to write as --out DIR",
            )
        key, given, text = token[2:].partition("=")
        if "." not in key and key not in TOP_KEYS:
            options = [*TOP_KEYS, "out", "data", "device", "teacher", "workers", "on-bad-image", "save-every"]
            close = difflib.get_close_matches(key, options, n=1)
            hint = f"did you mean --{close[0]}?" if close else "give a key of the recipe as --TABLE.KEY VALUE"
            raise ReactnetError(f"reactnet train: unknown option --{key}", hint=hint)
        if not given:
            if not rest:
                raise ReactnetError(f"reactnet train: {token} has no value", hint=f"give one: {token} VALUE")
            text = rest.pop(0)
        found[key.replace("-", "_")] = parse_value(text)
    return found
