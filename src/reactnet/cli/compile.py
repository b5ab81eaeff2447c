"""`reactnet compile`: a trained model to a packed file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reactnet.cli.eval import card
from reactnet.errors import ReactnetError

if TYPE_CHECKING:
    from torch import nn

    from reactnet.compiler import Report


def compile_(
    model: Annotated[Path, Parameter(help="A run folder or a checkpoint.")],
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"), help="The packed file to write, .rnet.")],
    ends: Annotated[
        Literal["float", "integer"], Parameter(help="Arithmetic of the first and last layer: float32, or integers.")
    ] = "float",
) -> None:
    """Compile a trained model to a packed one-bit file, and report what became of each layer."""
    from reactnet.train import load_model

    if output.is_dir():
        raise ReactnetError(f"{output}: a folder", hint=f"name the file to write: {output / 'model.rnet'}")
    print(compile_model(load_model(model), output, ends=ends))


def compile_model(model: "nn.Module", output: Path, *, ends: Literal["float", "integer"] = "float") -> "Report":
    """Compile a model that carries its card, with all that the card says; the compiler's report."""
    from reactnet.compiler import compile as compile_to_file
    from reactnet.graph import Preprocessing

    about = card(model)
    return compile_to_file(
        model,
        output,
        image_size=about.image_size[:2],
        preprocessing=Preprocessing(about.resize, about.crop, about.mean, about.std),
        class_names=about.class_names,
        ends=ends,
        provenance=about.provenance,
    )
