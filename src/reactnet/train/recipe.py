"""Recipes: what a run trains, read from TOML without mercy.

A recipe is complete: every key below is required, but for those that belong to the other optimizer. So a page says
all that a run does, and a misspelt key cannot silently leave a default in place.
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reactnet.data.config import PLAIN, Augmentation, DataConfig
from reactnet.errors import ReactnetError
from reactnet.models import list_models
from reactnet.nn import PARTS
from reactnet.train.strict import At, Table, read_table, suggest

NO_TEACHER = "none"
PHASE_TEACHER = "phase:"

Role = Literal[
    "convolutions", "binary_convolutions", "linear", "biases", "norms", "shifts", "slopes", "ratios", "as_released"
]


@dataclass(frozen=True)
class Phase:
    """One `[phases.NAME]` table: a leg of training.

    `binarize` lists what is binary. `carry` says which weights come from the phase before. `teacher` is "none" or
    "phase:NAME", an earlier phase. `weight_decay_on` lists the roles that decay (see `optimizer.py`). `betas` belongs
    to Adam, `momentum` to SGD.
    """

    binarize: tuple[str, ...]
    carry: Literal["all", "all_but_binary_weights", "nothing"]
    teacher: str
    loss: Literal["cross_entropy", "distributional"]
    epochs: int
    batch_size: int
    optimizer: Literal["adam", "sgd"]
    learning_rate: float
    schedule: Literal["linear_step", "linear_epoch_released", "cosine", "constant"]
    weight_decay: float
    weight_decay_on: tuple[Role, ...]
    betas: tuple[float, float] | None = None
    momentum: float | None = None
    augment: Augmentation = PLAIN

    @property
    def teacher_phase(self) -> str | None:
        """The name of the phase that teaches this one, or None."""
        return None if self.teacher == NO_TEACHER else self.teacher.removeprefix(PHASE_TEACHER)


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
    source: str = field(default="recipe", compare=False)


def load_recipe(path: str | Path, overrides: Mapping[str, object] | None = None) -> Recipe:
    """Read a recipe file; `overrides` maps dotted keys to values: `{"phases.binary_weights.epochs": 1}`.

    Raises ReactnetError naming file, table, key and value for anything unknown, missing, of the wrong type or out of
    range; overrides are held to the same rules.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ReactnetError(f"{path}: {error.strerror}", hint="give the path of a recipe, a .toml file") from error
    except UnicodeDecodeError as error:
        raise ReactnetError(f"{path}: not UTF-8 text", hint="give the path of a recipe, a .toml file") from error
    return parse_recipe(text, source=str(path), overrides=overrides)


def parse_recipe(text: str, *, source: str, overrides: Mapping[str, object] | None = None) -> Recipe:
    """Read a recipe from its text; `source` is what errors call it. See `load_recipe`."""
    try:
        table: Table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ReactnetError(f"{source}: not TOML: {error}", hint="correct that line") from error
    for key, value in ({} if overrides is None else overrides).items():
        _override(table, key, value, source)
    return _read(table, source)


def parse_value(text: str) -> object:
    """The value of an override as typed at a terminal: TOML where it is TOML (`3`, `1e-3`, `["a"]`), else a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def recipe_table(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested tables of plain values, in the order of a file."""
    table = {"model": recipe.model, "seed": recipe.seed, "threads": recipe.threads}
    return table | {"data": _plain(recipe.data), "phases": {name: _plain(p) for name, p in recipe.phases.items()}}


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as TOML: reading it gives the same recipe."""
    import tomli_w

    return tomli_w.dumps(recipe_table(recipe))


def _plain(config: DataConfig | Phase | Augmentation) -> dict[str, Any]:
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
        if not isinstance(table.get(name), dict):
            raise at.error(f"unknown table {name!r} in the override {key!r}", suggest(name, _tables(table)))
        table, at = table[name], at.into(name)
    if isinstance(table.get(leaf), dict):
        raise at.error(f"the override {key!r} names a table, not a key", f"name one of its keys, as in '{key}.KEY'")
    table[leaf] = value


def _tables(table: Table) -> list[str]:
    return [name for name, value in table.items() if isinstance(value, dict)]


def _read(table: Table, source: str) -> Recipe:
    at = At(source, ())
    top = read_table(table, at, {"model": str, "seed": int, "threads": int, "data": dict, "phases": dict})
    data = DataConfig(**read_table(top["data"], at.into("data"), DataConfig))
    phases: dict[str, Phase] = {}
    for name, phase in top["phases"].items():
        here = at.into("phases").into(name)
        if not isinstance(phase, dict):
            raise at.into("phases").error(f"{name} is {phase!r}, not a table", f"begin a table: [phases.{name}]")
        phases[name] = Phase(**read_table(phase, here, Phase))
        _check_phase(name, phases, here)
    _check_top(top, data, at)
    return Recipe(top["model"], top["seed"], top["threads"], data, phases, source)


def _check_top(top: Table, data: DataConfig, at: At) -> None:
    if top["model"] not in list_models():
        raise at.error(f"unknown model {top['model']!r}", suggest(top["model"], list_models()))
    at.need(0 <= top["seed"] < 2**63, "seed", top["seed"], "give a whole number of at least 0")
    at.need(1 <= top["threads"] <= 1024, "threads", top["threads"], "give a whole number of at least 1")
    at.need(bool(top["phases"]), "phases", top["phases"], "give at least one table [phases.NAME]")
    for key, value, cure in data.faults():
        raise at.into("data").error(f"{key} is {value!r}", cure)


def _check_phase(name: str, phases: Mapping[str, Phase], at: At) -> None:
    phase = phases[name]
    earlier = [other for other in phases if other != name]
    if re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) is None:
        raise at.error("a phase's name is a file's name too", "use letters, digits and '_' only")
    for key, values, choices in (("binarize", phase.binarize, PARTS), ("weight_decay_on", phase.weight_decay_on, None)):
        if choices is not None and not set(values) <= set(choices):
            wrong = next(value for value in values if value not in choices)
            raise at.error(f"{key}: {wrong!r} is no part of a network", suggest(wrong, choices))
        at.need(len(set(values)) == len(values), key, list(values), "name each only once")
    at.need(phase.epochs >= 1, "epochs", phase.epochs, "give a whole number of at least 1")
    at.need(phase.batch_size >= 1, "batch_size", phase.batch_size, "give a whole number of at least 1")
    at.need(phase.learning_rate > 0, "learning_rate", phase.learning_rate, "give a number above 0")
    at.need(phase.weight_decay >= 0, "weight_decay", phase.weight_decay, "give 0 or a number above 0")
    for key, value, cure in phase.augment.faults():
        raise at.into("augment").error(f"{key} is {value!r}", cure)
    _check_optimizer(phase, at)
    _check_teacher(phase, earlier, at)
    if not earlier and phase.carry != "nothing":
        raise at.error(f"carry is {phase.carry!r}, but no phase comes before", "the first phase has carry = 'nothing'")


def _check_optimizer(phase: Phase, at: At) -> None:
    for key, owner in (("betas", "adam"), ("momentum", "sgd")):
        given = getattr(phase, key) is not None
        if given != (phase.optimizer == owner):
            what = f"missing key {key!r}" if not given else f"key {key!r} with optimizer = {phase.optimizer!r}"
            raise at.error(
                what, f"give 'betas' with optimizer = 'adam', 'momentum' with 'sgd'; {key!r} is of {owner!r}"
            )
    if phase.betas is not None:
        right = all(0 <= beta < 1 for beta in phase.betas)
        at.need(right, "betas", list(phase.betas), "give two numbers from 0 to below 1")
    if phase.momentum is not None:
        at.need(0 <= phase.momentum < 1, "momentum", phase.momentum, "give a number from 0 to below 1")


def _check_teacher(phase: Phase, earlier: list[str], at: At) -> None:
    name = phase.teacher_phase
    if name is None:
        if phase.loss == "distributional":
            raise at.error("loss is 'distributional', but teacher is 'none'", "give teacher = 'phase:NAME'")
        return
    if not phase.teacher.startswith(PHASE_TEACHER):
        raise at.error(f"teacher is {phase.teacher!r}", "give 'none', or 'phase:NAME' for an earlier phase")
    if name not in earlier:
        hint = suggest(name, earlier) if earlier else "this is the first phase: give teacher = 'none'"
        raise at.error(f"teacher is {phase.teacher!r}, but no earlier phase is called {name!r}", hint)
    if phase.loss != "distributional":
        raise at.error(f"loss is {phase.loss!r}, which asks no teacher", "give loss = 'distributional'")
