"""What ships: the cards, and where the packed files are."""

import dataclasses
import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reactnet.errors import ReactnetError

HERE = Path(__file__).parent
DEFAULT = "reactnet18_cifar10"
"""What `reactnet predict` takes where no packed file is named."""


@dataclass(frozen=True)
class Card:
    """What must be known of a shipped model before it is used.

    `model` with `options` is the network, as `create_model` takes them. `top1` is the fraction of the `images` of
    `data` that the packed file answers rightly, measured once, at the end; `trained_on` says which images were seen.
    `ops` is the paper's OPs of one image. `bytes` and `sha256`, of the whole file, tell whether this is the file that
    was measured. `recipe` is the command, `commit` that of the sources that trained it.
    """

    name: str
    summary: str
    model: str
    options: Mapping[str, str | int | float | bool]
    ends: str
    classes: int
    recipe: str
    seed: int
    commit: str
    trained_on: str
    data: str
    top1: float
    images: int
    ops: float
    bytes: int
    sha256: str
    licence: str
    limits: str


def list_zoo() -> list[str]:
    """The names of the models that ship, the default first, then by name."""
    names = sorted(path.stem for path in HERE.glob("*.rnet"))
    return sorted(names, key=lambda name: name != DEFAULT)


def read_card(name: str) -> Card:
    """The card of a shipped model. Raises ReactnetError, with the names there are, for another name."""
    if name not in list_zoo():
        close = difflib.get_close_matches(name, list_zoo(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"what ships: {', '.join(list_zoo())}"
        raise ReactnetError(f"zoo: no model {name!r} ships with this version", hint=hint)
    table = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return Card(**{item.name: table[item.name] for item in dataclasses.fields(Card)})


def find(name: str) -> Path:
    """The packed file of a shipped model. Raises ReactnetError as `read_card` does."""
    return HERE / f"{read_card(name).name}.rnet"


def locate(name: str | os.PathLike[str]) -> Path:
    """The packed file that a user means: a path, if anything is there, else a shipped model's name, else the path."""
    path = Path(os.fsdecode(name))
    return find(str(path)) if str(path) in list_zoo() and not path.exists() else path
