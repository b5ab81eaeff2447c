"""`reactnet train`: a recipe to a run folder."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from reactnet.cli.progress import TrainingBars
from reactnet.errors import ReactnetError

TOP_KEYS = ("model", "seed", "threads")  # of a recipe; all others stand in a table


def train(
    recipe: Annotated[Path, Parameter(help="A recipe, .toml.")],
    /,
    *overrides: Annotated[
        str,
        Parameter(
            name="OVERRIDES",
            allow_leading_hyphen=True,
            help="Other values for keys of the recipe, such as --phases.binary-weights.epochs 1.",
        ),
    ],
    out: Annotated[Path, Parameter(help="The run folder; an interrupted run in it goes on.")],
    data: Annotated[Path | None, Parameter(help="The folder of the images, for recipes that need one.")] = None,
    device: Annotated[str, Parameter(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
    workers: Annotated[
        int, Parameter(help="Threads that decode and augment images ahead. Their number changes no result.")
    ] = 0,
    on_bad_image: Annotated[
        Literal["stop", "skip"], Parameter(help="What to do with an image that cannot be read; skip counts them.")
    ] = "stop",
) -> None:
    """Train a model, phase by phase, as a recipe says."""
    from reactnet.train import load_recipe
    from reactnet.train import train as train_recipe

    loaded = load_recipe(recipe, read_overrides(overrides))
    with TrainingBars() as bars:
        folder = train_recipe(
            loaded,
            out,
            progress=bars,
            device=device,
            data_root=data,
            workers=workers,
            on_bad_image=on_bad_image,
        )
    print(folder)


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
            close = difflib.get_close_matches(key, [*TOP_KEYS, "out", "data", "device", "workers", "on-bad-image"], n=1)
            hint = f"did you mean --{close[0]}?" if close else "give a key of the recipe as --TABLE.KEY VALUE"
            raise ReactnetError(f"reactnet train: unknown option --{key}", hint=hint)
        if not given:
            if not rest:
                raise ReactnetError(f"reactnet train: {token} has no value", hint=f"give one: {token} VALUE")
            text = rest.pop(0)
        found[key.replace("-", "_")] = parse_value(text)
    return found
