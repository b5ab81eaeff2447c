"""`reactnet inspect`: what is in a packed file, and how this machine will run it."""

import json as json_module
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from reactnet.cli.screen import Json, print_json, print_pairs, print_table, side, size


def inspect(
    file: Annotated[Path, Parameter(help="A packed file, .rnet, or the name of one that ships.")],
    /,
    *,
    threads: Annotated[int | None, Parameter(help="Threads to plan for; REACTNET_THREADS, else 1.")] = None,
    json: Json = False,
) -> None:
    """Show a packed file: input, classes, preprocessing, sizes, provenance, and the plan with its kernels."""
    found = description(file, threads)
    if json:
        print_json(found)
    else:
        _print(found)


def description(file: Path, threads: int | None = None) -> dict[str, Any]:
    """Everything that `inspect` shows, for programs."""
    from reactnet.runtime import Session
    from reactnet.zoo import locate

    file = locate(file)
    with Session(file, threads) as session:
        graph = session.metadata
        return {
            "file": str(file),
            "model": graph["model"],
            "format": graph["format"],
            "ends": graph["ends"],
            "input_shape": list(session.input_shape),
            "accepts_float": session.accepts_float,
            "num_classes": session.num_classes,
            "class_names": list(session.class_names),
            "preprocessing": graph["preprocessing"],
            "provenance": graph["provenance"],
            "nodes": len(graph["nodes"]),
            **session.sizes,
            "bytes_by_dtype": _bytes_by_dtype(file),
            "plan": session.plan,
        }


def _bytes_by_dtype(file: Path) -> dict[str, int]:
    """Bytes of the tensors, largest first. The session has validated the header already."""
    with file.open("rb") as stream:
        header = json_module.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    counts: Counter[str] = Counter()
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            counts[entry["dtype"]] += end - begin
    return dict(counts.most_common())


def _print(found: dict[str, Any]) -> None:
    prepare = found["preprocessing"]
    resize = prepare["resize"]
    names = found["class_names"]
    listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "without names"
    kinds = ", ".join(f"{size(count)} {dtype}" for dtype, count in found["bytes_by_dtype"].items())
    print_pairs(
        [
            ("file", f"{found['file']}, format {found['format']}"),
            ("model", found["model"]),
            ("input", f"{side(found['input_shape'])} uint8" + (", or float32" if found["accepts_float"] else "")),
            ("classes", f"{found['num_classes']}: {listed}"),
            ("resize", f"shorter edge to {resize}" if isinstance(resize, int) else side(resize)),
            ("crop", side(prepare["crop"])),
            ("mean", ", ".join(prepare["mean"])),
            ("std", ", ".join(prepare["std"])),
            ("ends", found["ends"]),
            ("file size", f"{size(found['file_bytes'])}: {kinds}"),
            ("memory", f"{size(found['weight_bytes'])} of weights, {size(found['arena_bytes'])} a context"),
            ("runs on", f"{found['plan']['isa']}, {found['plan']['threads']} threads"),
            *[(name, _first_line(text)) for name, text in found["provenance"].items()],
        ]
    )
    print()
    rows = [(step["step"], step["kernel"], ", ".join(step["nodes"])) for step in found["plan"]["steps"]]
    print_table(("step", "kernel", "nodes"), rows, left=3)


def _first_line(text: str) -> str:
    lines = text.splitlines()
    return f"{lines[0]} ... ({len(lines)} lines)" if len(lines) > 1 else text
