"""`reactnet verify`: does a packed file compute what the model computes?"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from reactnet.cli.screen import Json


def verify(
    model: Annotated[Path, Parameter(help="A run folder or a checkpoint.")],
    file: Annotated[Path, Parameter(help="The packed file made of it.")],
    /,
    *,
    data: Annotated[str | None, Parameter(help="Images to compare on, as for eval; else random pixels.")] = None,
    images: Annotated[int, Parameter(help="How many images to compare on.")] = 16,
    seed: Annotated[int, Parameter(help="Seed of the choice, or of the random pixels.")] = 0,
    json: Json = False,
) -> int:
    """Compare a model with its packed file, a layer at a time. Exit code 1 if they differ."""
    raise NotImplementedError
