"""`reactnet predict`: what a packed file sees in images."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from reactnet.cli.screen import Json, percent, plain, print_json, say
from reactnet.errors import ReactnetError

if TYPE_CHECKING:
    from reactnet.runtime import Session


def predict(
    first: Annotated[
        Path,
        Parameter(
            name="FILE", help="A packed file, .rnet, or the name of one that ships; left out, the zoo's default."
        ),
    ],
    /,
    *more: Annotated[Path, Parameter(name="IMAGE_OR_FOLDER", help="Images, or folders of images.")],
    top: Annotated[int, Parameter(help="How many classes to name for each image.")] = 5,
    threads: Annotated[int | None, Parameter(help="Threads to run on; REACTNET_THREADS, else 1.")] = None,
    on_bad_image: Annotated[
        Literal["stop", "skip"], Parameter(help="What to do about an image that cannot be decoded.")
    ] = "stop",
    json: Json = False,
) -> None:
    """Name the likeliest classes of images, with probabilities.

    Without a packed file a small one that comes with the package answers, and says so: see `reactnet zoo`.
    """
    from reactnet.runtime import Session

    file, images = _model_and_images(first, more)

    if top < 1:
        raise ReactnetError(f"reactnet predict: --top is {top}", hint="give at least 1")
    if not images:
        raise ReactnetError("reactnet predict: no image given", hint="reactnet predict FILE IMAGE_OR_FOLDER...")
    with Session(file, threads) as session:
        predictions, skipped = [], []
        for path in image_paths(images):
            try:
                found = {"path": str(path), "classes": answer(session, path, top)}
            except ReactnetError as error:
                if on_bad_image == "stop":
                    raise
                skipped.append({"path": str(path), "problem": error.problem})
                continue
            predictions.append(found)
        if json:
            print_json({"model": str(file), "predictions": predictions, "skipped": skipped})
        else:
            _print(predictions, skipped)


def _model_and_images(first: Path, more: Sequence[Path]) -> tuple[Path, Sequence[Path]]:
    """The packed file and the images: the first word is an image or a folder of them where it looks like one."""
    from reactnet.images import SUFFIXES
    from reactnet.zoo import DEFAULT, read_card

    if first.suffix.lower() not in SUFFIXES and not first.is_dir():
        return first, more
    card = read_card(DEFAULT)
    print(
        f"note: no packed file named: {card.name} answers, which ships with reactnet "
        f"({percent(card.top1)} on {card.data}; it knows those {card.classes} classes only)",
        file=sys.stderr,
    )
    return Path(DEFAULT), (first, *more)


def image_paths(given: Sequence[Path]) -> list[Path]:
    """Every image that was meant: files as they are, folders with all that is in them."""
    from reactnet.images import SUFFIXES, list_images

    paths: list[Path] = []
    for path in given:
        if not path.is_dir():
            paths.append(path)
            continue
        found = list_images(path)
        if not found:
            raise ReactnetError(f"{path}: no images in this folder", hint=f"put images in it: {', '.join(SUFFIXES)}")
        paths += found
    return paths


def answer(session: "Session", path: Path, top: int) -> list[dict[str, Any]]:
    """The `top` classes of one image, likeliest first: index, label, probability, logit.

    The logit has the bits that docs/format.md promises; the probability is for people.
    """
    import numpy as np

    from reactnet.images import load_image

    pixels = load_image(path, session.input_shape[2])
    logits = session.run(session.preprocess(pixels)[None])[0].astype(np.float64)  # exact
    if not np.isfinite(logits).all():
        raise ReactnetError(
            f"{path}: the network answers with numbers that are not finite",
            hint="train it again: its weights are broken",
        )
    weights = np.exp(logits - logits.max())
    probabilities = weights / weights.sum()
    names = session.class_names
    return [
        {
            "index": int(k),
            "label": names[k] if names else str(k),
            "probability": float(probabilities[k]),
            "logit": float(logits[k]),
        }
        for k in np.argsort(-logits, kind="stable")[:top]
    ]


def _print(predictions: Sequence[dict[str, Any]], skipped: Sequence[dict[str, Any]]) -> None:
    for found in predictions:
        say(found["path"])
        width = max(len(plain(entry["label"])) for entry in found["classes"])
        for entry in found["classes"]:
            say(f"  {plain(entry['label']).ljust(width)}  {percent(entry['probability']).rjust(8)}")
    for entry in skipped:
        say(f"skipped {entry['problem']}")
