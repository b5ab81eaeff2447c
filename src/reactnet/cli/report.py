"""`reactnet report`: one or several runs on one page."""

import secrets
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from reactnet.cli.screen import say
from reactnet.errors import ReactnetError
from reactnet.report import Run, make_page, read_runs


def report(
    *runs: Annotated[Path, Parameter(help="Run folders, those of runs that are going on included.")],
    out: Annotated[Path, Parameter(help="The file to write.")] = Path("report.html"),
    measure: Annotated[
        bool, Parameter(help="Measure the histograms that a run lacks, from its checkpoints; needs PyTorch.")
    ] = False,
    data: Annotated[
        Path | None, Parameter(help="The folder of the images, for --measure where the recipe needs one.")
    ] = None,
) -> None:
    """Write one HTML file with the curves, vitals, alerts and histograms of runs side by side."""
    if data is not None and not measure:
        raise ReactnetError("reactnet report: --data is for --measure", hint="give --measure too, or leave --data out")
    if out.exists() and not out.is_file():
        raise ReactnetError(f"{out}: not a regular file", hint="give a file to write: --out report.html")
    found = read_runs(runs)
    if measure:
        found = [_with_histograms(run, data) for run in found]
    _write(out, make_page(found).encode("utf-8", "replace"))
    say(out)


def _write(out: Path, text: bytes) -> None:
    """Whole or not at all: someone may have the last report of a run open, and reload it."""
    temporary = out.with_name(f"{out.name}.{secrets.token_hex(6)}.tmp")  # a name that no link can wait under
    try:
        with temporary.open("xb") as file:
            file.write(text)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def _with_histograms(run: Run, data: Path | None) -> Run:
    """The run with the histograms of every phase whose checkpoint is there; the folder itself is left as it is."""
    import dataclasses

    from reactnet.train import load_model, load_recipe
    from reactnet.train.card import CHECKPOINTS
    from reactnet.train.feed import open_feed
    from reactnet.train.histograms import activation_histograms
    from reactnet.train.vitals import IMAGES

    recipe = load_recipe(run.path / "recipe.toml")
    lacking = [
        name
        for name in recipe.phases
        if name not in run.histograms and (run.path / CHECKPOINTS / f"{name}.safetensors").is_file()
    ]
    if not lacking:
        return run
    images = open_feed(recipe.data, data).sample(IMAGES)
    measured = {name: activation_histograms(load_model(run.path, phase=name), images) for name in lacking}
    return dataclasses.replace(run, histograms={**run.histograms, **measured})
