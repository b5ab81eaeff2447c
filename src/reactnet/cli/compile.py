"""`reactnet compile`: a trained model to a packed file."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from reactnet.cli.screen import say
from reactnet.errors import ReactnetError


def compile_(
    model: Annotated[Path, Parameter(help="A run folder or a checkpoint.")],
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"), help="The packed file to write, .rnet.")],
    ends: Annotated[
        Literal["float", "integer"], Parameter(help="Arithmetic of the first and last layer: float32, or integers.")
    ] = "float",
    stem_bits: Annotated[
        Literal["8", "16"], Parameter(help="With integer ends: bits of a weight in the first layer.")
    ] = "8",
) -> None:
    """Compile a trained model to a packed one-bit file, and report what became of each layer."""
    from reactnet.compiler import compile as compile_model
    from reactnet.train import load_model

    if output.is_dir():
        raise ReactnetError(f"{output}: a folder", hint=f"name the file to write: {output / 'model.rnet'}")
    bits: Literal[8, 16] = 16 if stem_bits == "16" else 8
    say(compile_model(load_model(model), output, ends=ends, stem_bits=bits))
