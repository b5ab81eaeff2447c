"""A results file of an experiment: one line of JSON a run, replaced by name and written whole; what a run answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from reactnet import Session, compile, load_model  # noqa: A004
from reactnet.evaluate import evaluate, open_dataset, packed_predictor

Result = dict[str, Any]


def answers(folder: Path, data: Path, seconds: float) -> Result:
    """Pack one finished run into its folder, and let the packed file answer the test images, once."""
    packed = folder / "packed.rnet"
    report = compile(load_model(folder), packed)
    with Session(packed) as session:
        found = evaluate(packed_predictor(session), open_dataset(data, session.class_names))
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    run = json.loads((folder / "run.json").read_text())
    top1 = [line["validation_top1"] for line in log]
    return {
        "test_top1": found.top1, "test_images": found.images, "validation_top1": top1[-1], "epochs": top1,
        "bytes": report.file_bytes, "seconds": round(seconds, 1), "device": run["device"], "commit": run["commit"],
        "torch": torch.__version__,
    }  # fmt: skip


def read(results: Path) -> list[Result]:
    """The lines of the file, none if it is not there."""
    return json.loads(results.read_text()) if results.exists() else []


def find(results: Path, **named: object) -> Result | None:
    """The line with these values."""
    return next((line for line in read(results) if _is(line, named)), None)


def keep(results: Path, result: Result, keys: Sequence[str]) -> None:
    """Add a line, or replace that which has the same values under `keys`."""
    named = {key: result[key] for key in keys}
    lines = [line for line in read(results) if not _is(line, named)]
    text = "[\n" + ",\n".join(json.dumps(line) for line in [*lines, result]) + "\n]\n"
    results.parent.mkdir(parents=True, exist_ok=True)
    part = results.with_suffix(".part")
    part.write_text(text)
    part.replace(results)


def _is(line: Result, named: dict[str, object]) -> bool:
    return all(line[key] == value for key, value in named.items())
