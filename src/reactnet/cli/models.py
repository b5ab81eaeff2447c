"""`reactnet models`: the models that can be trained."""

from typing import Annotated

from cyclopts import Parameter

from reactnet.cli.screen import print_table, side
from reactnet.errors import ReactnetError


def models(pattern: Annotated[str | None, Parameter(help="Only names like this: 'reactnet*'.")] = None, /) -> None:
    """List the models by name, with input size and classes."""
    from reactnet.models import list_models, model_info

    infos = [model_info(name) for name in list_models(pattern)]
    if not infos:
        raise ReactnetError(
            f"reactnet models: no model is called {pattern!r}", hint="list all of them: reactnet models"
        )
    rows = [(info.name, side(info.image_size), info.num_classes, info.summary) for info in infos]
    width = max(len(str(row[2])) for row in rows)
    aligned = [
        (name, image, str(classes).rjust(max(width, len("classes"))), text) for name, image, classes, text in rows
    ]
    print_table(("model", "image", "classes", "what it is"), aligned, left=4)
