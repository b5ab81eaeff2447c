"""Recipes: what a run trains, read from TOML without mercy.

A recipe is complete: a key is required, or it is an option that is off where it is absent, so that a page says all that
a run does; a misspelt key is an error and cannot silently leave an option off. docs/recipes.md describes every key.
"""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from reactnet.data.config import Augmentation, DataConfig
from reactnet.errors import ReactnetError
from reactnet.files import read_text
from reactnet.models import create_model, list_models, model_info
from reactnet.models.registry import Option
from reactnet.train.phase import Phase as Phase
from reactnet.train.phase import check_phase
from reactnet.train.strict import At, Table, read_table, suggest

MAX_DEPTH = 8  # of tables and lists in each other


@dataclass(frozen=True)
class Computing:
    """The optional `[computing]` table: how fast a step is, and what that costs in bits.

    `precision`: training steps under autocast, "float16" with a gradient scaler; measuring and recalibrating stay in
    float32. Signs are exactly -1 and +1 in each, but sums of them are rounded past 256 in bfloat16 and 2,048 in
    float16. `channels_last` is the memory layout, `compile` is torch.compile.
    """

    precision: Literal["bfloat16", "float16"] | None = None
    channels_last: bool = False
    compile: bool = False


PLAIN_COMPUTING = Computing()


@dataclass(frozen=True)
class Recipe:
    """A whole run. `phases` keeps the order of the file.

    `threads` is the number of CPU threads of one process: it is part of the recipe because the order in which a
    convolution sums its gradient depends on it, and so do the last bits of the weights.
    """

    model: str
    seed: int
    threads: int
    data: DataConfig
    phases: Mapping[str, Phase]
    model_options: Mapping[str, Option] = field(default_factory=dict)
    computing: Computing = PLAIN_COMPUTING
    source: str = field(default="recipe", compare=False)


def load_recipe(path: str | Path, overrides: Mapping[str, object] | None = None) -> Recipe:
    """Read a recipe file; `overrides` maps dotted keys to values: `{"phases.binary_weights.epochs": 1}`.

    Raises ReactnetError naming file, table, key and value for anything unknown, missing, of the wrong type or out of
    range; overrides are held to the same rules.
    """
    text = read_text(Path(path), hint="give the path of a recipe, a .toml file")
    return parse_recipe(text, source=str(path), overrides=overrides)


def parse_recipe(text: str, *, source: str, overrides: Mapping[str, object] | None = None) -> Recipe:
    """Read a recipe from its text; `source` is what errors call it. See `load_recipe`."""
    table = read_toml(text, source)
    for key, value in ({} if overrides is None else overrides).items():
        _override(table, key, value, source)
    return _read(table, source)


def read_toml(text: str, source: str) -> Table:
    """The table of a TOML text that may be anybody's. Raises ReactnetError for what is no TOML, or no plain one."""
    try:
        table: Table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: TOMLDecodeError, or a number of 5,000 digits
        raise ReactnetError(f"{source}: not TOML: {error}", hint="correct that line") from error
    level: list[object] = [table]
    for _ in range(MAX_DEPTH):
        if any(isinstance(item, int) and not -(2**63) <= item < 2**63 for item in level):
            raise ReactnetError(f"{source}: a whole number past 64 bits", hint="TOML's numbers have 64 bits")
        level = [item for outer in level if isinstance(outer, dict | list) for item in _inside(outer)]
        if not level:
            return table
    raise ReactnetError(f"{source}: nested deeper than {MAX_DEPTH}", hint="a recipe has tables in tables, no deeper")


def _inside(outer: dict[str, object] | list[object]) -> Iterable[object]:
    return outer.values() if isinstance(outer, dict) else outer


def parse_value(text: str) -> object:
    """The value of an override as typed at a terminal: TOML where it is TOML (`3`, `1e-3`, `["a"]`), else a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def recipe_table(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested tables of plain values, in the order of a file."""
    table: dict[str, Any] = {"model": recipe.model, "seed": recipe.seed, "threads": recipe.threads}
    if recipe.model_options:
        table["model_options"] = dict(recipe.model_options)
    if recipe.computing != PLAIN_COMPUTING:
        table["computing"] = _plain(recipe.computing)
    return table | {"data": _plain(recipe.data), "phases": {name: _plain(p) for name, p in recipe.phases.items()}}


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as TOML: reading it gives the same recipe."""
    import tomli_w

    return tomli_w.dumps(recipe_table(recipe))


def _plain(config: DataConfig | Phase | Augmentation | Computing) -> dict[str, Any]:
    """What is given, as plain values: a key that has its default, which is to be absent, is left out."""
    table: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if value != item.default:
            plain = _plain(value) if isinstance(value, Augmentation) else value
            table[item.name] = list(plain) if isinstance(plain, tuple) else plain
    return table


def _override(table: Table, key: str, value: object, source: str) -> None:
    *parents, leaf = key.split(".")
    at = At(source, ())
    for name in parents:
        if name in _OPTIONAL or (name == "augment" and at.tables[:1] == ("phases",)):
            table.setdefault(name, {})
        if not isinstance(table.get(name), dict):
            raise at.error(f"unknown table {name!r} in the override {key!r}", suggest(name, _tables(table)))
        table, at = table[name], at.into(name)
    if isinstance(table.get(leaf), dict):
        raise at.error(f"the override {key!r} names a table, not a key", f"name one of its keys, as in '{key}.KEY'")
    table[leaf] = value


def _tables(table: Table) -> list[str]:
    return [name for name, value in table.items() if isinstance(value, dict)]


_TOP = {
    "model": str,
    "seed": int,
    "threads": int,
    "model_options": dict,
    "computing": dict,
    "data": dict,
    "phases": dict,
}
_OPTIONAL = ("model_options", "computing")


def _read(table: Table, source: str) -> Recipe:
    at = At(source, ())
    top = read_table(table, at, _TOP, optional=_OPTIONAL)
    data = DataConfig(**read_table(top["data"], at.into("data"), DataConfig))
    phases: dict[str, Phase] = {}
    for name, phase in top["phases"].items():
        here = at.into("phases").into(name)
        if not isinstance(phase, dict):
            raise at.into("phases").error(f"{name} is {phase!r}, not a table", f"begin a table: [phases.{name}]")
        phases[name] = Phase(**read_table(phase, here, Phase))
        check_phase(name, phases, here)
    _check_top(top, data, at)
    options = _read_options(top["model"], top.get("model_options", {}), at.into("model_options"))
    computing = Computing(**read_table(top.get("computing", {}), at.into("computing"), Computing))
    return Recipe(top["model"], top["seed"], top["threads"], data, phases, options, computing, source)


def _read_options(model: str, options: Table, at: At) -> dict[str, Option]:
    """The model's own options; each is checked by making the model, without memory for its weights."""
    known = model_info(model).options
    for key, value in options.items():
        if key not in known:
            raise at.error(f"unknown key {key!r}", suggest(key, known) if known else f"{model} has no options")
        if isinstance(value, dict | list):
            raise at.error(f"{key} is {value!r}", "give a plain value")
    if options:
        try:
            with torch.device("meta"):
                create_model(model, **options)
        except ReactnetError as error:
            raise at.error(error.problem.removeprefix(f"create_model: {model}: "), error.hint) from error
    return options


def _check_top(top: Table, data: DataConfig, at: At) -> None:
    if top["model"] not in list_models():
        raise at.error(f"unknown model {top['model']!r}", suggest(top["model"], list_models()))
    at.need(0 <= top["seed"] < 2**63, "seed", top["seed"], "give a whole number of at least 0")
    at.need(1 <= top["threads"] <= 1024, "threads", top["threads"], "give a whole number of at least 1")
    at.need(bool(top["phases"]), "phases", top["phases"], "give at least one table [phases.NAME]")
    for key, value, cure in data.faults():
        raise at.into("data").error(f"{key} is {value!r}", cure)
