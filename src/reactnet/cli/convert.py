"""`reactnet convert`: someone else's checkpoint to one of ours."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from reactnet.cli.screen import Json, print_json, say
from reactnet.files import read_text


def convert(
    file: Annotated[
        Path, Parameter(help="A checkpoint of the ReActNet authors, torchvision or OpenMMLab: .pth, .tar.")
    ],
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"), help="The checkpoint to write, .safetensors.")],
    model: Annotated[
        str | None, Parameter(help="The model in it, by our name; else told by its keys and shapes.")
    ] = None,
    phase: Annotated[
        Literal["one", "two"] | None,
        Parameter(help="Whether its weights are still real (one) or latent (two), where the file does not tell."),
    ] = None,
    class_names: Annotated[
        Path | None, Parameter(help="A text file with the name of a class on each line, in the order of the outputs.")
    ] = None,
    json: Json = False,
) -> None:
    """Convert a published checkpoint, every key accounted for, and say what was found; no code in it is run."""
    from reactnet.convert import convert as convert_file

    names = () if class_names is None else _lines(class_names)
    found = convert_file(file, output, model=model, phase=phase, class_names=names)
    if json:
        print_json({**found.to_dict(), "output": str(output)})
    else:
        say(f"{found}\n{'written':<11} {output}")


def _lines(path: Path) -> list[str]:
    return read_text(path, hint="give a text file with one class a line").splitlines()
