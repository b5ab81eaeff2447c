"""`reactnet eval`: accuracy of a model or of a packed file."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from reactnet.cli.screen import Json, on_terminal, percent, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from torch import nn

    from reactnet.evaluate import Evaluation, Predictor
    from reactnet.train.card import ModelCard


def eval_(
    model: Annotated[Path, Parameter(help="A packed file, the name of one that ships, a run folder or a checkpoint.")],
    /,
    *,
    data: Annotated[
        str, Parameter(help="A folder of class folders, or of CIFAR's, MNIST's or tar files; or 'digits'.")
    ],
    per_class: Annotated[bool, Parameter(help="Print the accuracy of each class.")] = False,
    confusion: Annotated[bool, Parameter(help="Print how often each class was answered for each.")] = False,
    threads: Annotated[int | None, Parameter(help="Threads of the runtime; REACTNET_THREADS, else 1.")] = None,
    on_bad_image: Annotated[
        Literal["stop", "skip"], Parameter(help="What to do about an image that cannot be decoded.")
    ] = "stop",
    json: Json = False,
) -> None:
    """Measure top-1 and top-5 accuracy, the same way for a PyTorch model and for a packed file."""
    from reactnet.evaluate import evaluate, open_dataset

    predictor, class_names, close = open_predictor(model, threads)
    try:
        dataset = open_dataset(data, class_names)
        result = evaluate(predictor, dataset, on_bad_image=on_bad_image, progress=progress_line("evaluating"))
    finally:
        close()
    if json:
        extra = {"confusion": result.confusion.tolist()} if confusion else {}
        print_json(
            {
                "model": str(model),
                "top1": result.top1,
                "top5": result.top5,
                "images": result.images,
                "skipped": result.skipped,
                "per_class": result.per_class,
                "seconds": result.seconds,
                **extra,
            }
        )
    else:
        _print(model, result, per_class=per_class, confusion=confusion)


def is_packed(path: Path) -> bool:
    """Whether `path` is to be read as a packed file: any file that is not a checkpoint in safetensors."""
    from reactnet.zoo import locate

    path = locate(path)
    return path.suffix == ".rnet" or (path.is_file() and path.suffix != ".safetensors")


def open_predictor(path: Path, threads: int | None) -> tuple["Predictor", tuple[str, ...], Callable[[], None]]:
    """What answers for `path`, its class names, and how to close it."""
    from reactnet.evaluate import model_predictor, packed_predictor

    if is_packed(path):
        from reactnet.runtime import Session

        session = Session(path, threads)
        return packed_predictor(session), session.class_names, session.close
    from reactnet.train import load_model

    model = load_model(path)
    return model_predictor(model), tuple(card(model).class_names), lambda: None


def card(model: "nn.Module") -> "ModelCard":
    """What `load_model` knows of the model; the attribute is not one that nn.Module declares."""
    found: Any = model.reactnet
    return cast("ModelCard", found)


def progress_line(what: str) -> Callable[[int, int], None] | None:
    """A counter that rewrites one line of the terminal; none where nobody looks."""
    if not on_terminal():
        return None

    def show(done: int, total: int) -> None:
        end = "\n" if done == total else ""
        print(f"\r{what}: {done} of {total} images", end=end, file=sys.stderr, flush=True)

    return show


def _print(model: Path, result: "Evaluation", *, per_class: bool, confusion: bool) -> None:
    print_pairs(
        [
            ("model", model),
            ("images", result.images),
            ("skipped", result.skipped),
            ("top-1", percent(result.top1)),
            ("top-5", percent(result.top5)),
            ("seconds", f"{result.seconds:.2f}"),
        ]
    )
    if per_class:
        print()
        counts = result.confusion.sum(axis=1)
        rows = [
            (name, count, percent(top1)) for (name, top1), count in zip(result.per_class.items(), counts, strict=True)
        ]
        print_table(("class", "images", "top-1"), rows)
    if confusion:
        print("\nrows: the class, columns: the answer")
        rows_of_counts = [(name, *row) for name, row in zip(result.class_names, result.confusion.tolist(), strict=True)]
        print_table(("", *result.class_names), rows_of_counts)
