"""`reactnet verify`: does a packed file compute what the model computes?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reactnet.cli.screen import Json, print_json, say
from reactnet.errors import ReactnetError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from reactnet.train import ModelCard


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
    from reactnet.cli.eval import card
    from reactnet.train import load_model
    from reactnet.verify import verify as verify_file

    if images < 1:
        raise ReactnetError(f"reactnet verify: --images is {images}", hint="give at least 1")
    loaded = load_model(model)
    pixels = None if data is None else sample(data, card(loaded), images, seed)
    found = verify_file(loaded, file, images=pixels, count=images, seed=seed)
    if json:
        print_json({"model": str(model), "file": str(file), **found.to_dict()})
    else:
        say(found)
    return 0 if found.ok else 1


def sample(data: str, about: "ModelCard", count: int, seed: int) -> "npt.NDArray[np.uint8]":
    """`count` images of a data set, or all if it has fewer, chosen by `seed`, at the model's input size."""
    import numpy as np

    from reactnet.evaluate import image_at, open_dataset, preprocess

    dataset = open_dataset(data, about.class_names)
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:count]
    return np.stack([preprocess(image_at(dataset, int(i), about.image_size[2]), about) for i in sorted(chosen)])
