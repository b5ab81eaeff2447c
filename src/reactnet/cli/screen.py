"""What every verb puts on the terminal alike: tables, JSON, sizes, names of classes."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", help="Print one JSON object instead of text.")]


def plain(text: str) -> str:
    """`text` with every character that is not printable written out, line breaks but for: `\\x1b`, `\\u202e`.

    Names of classes, files and keys come from whoever wrote them, and a terminal obeys what it is sent.
    """
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def say(text: object) -> None:
    """Print a text, plain."""
    print(plain(str(text)))


def print_json(data: Any) -> None:
    """One JSON object, for programs. A number that is not finite would not be JSON: that is a bug of ours."""
    print(json.dumps(data, indent=2, allow_nan=False))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> None:
    """Aligned columns: the first `left` to the left, the others to the right."""
    cells = [[_cell(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        line = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(line).rstrip())


def print_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    """One `label  value` a line, the values under each other."""
    width = max(len(_cell(label)) for label, _ in pairs)
    for label, value in pairs:
        print(f"{_cell(label).ljust(width)}  {_cell(value)}".rstrip())


def _cell(value: object) -> str:
    """One cell's text, plain and on one line."""
    return plain(str(value)).replace("\n", "\\n")


def percent(fraction: float | None) -> str:
    """A fraction in percent, as accuracies are given; a dash for none."""
    return "-" if fraction is None else f"{100 * fraction:.2f} %"


def size(count: int) -> str:
    """Bytes, for people: 512 B, 21.3 KiB, 4.7 MiB."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.2f} MiB"


def side(lengths: Sequence[int]) -> str:
    """A shape, as people write it: 224x224x3."""
    return "x".join(str(length) for length in lengths)


def on_terminal() -> bool:
    """Whether stderr, where progress goes, is looked at by someone."""
    return sys.stderr.isatty()
