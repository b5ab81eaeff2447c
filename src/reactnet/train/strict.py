"""Reading a table of plain values against a declaration: strict on keys, types and choices, a cure in each error."""

import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Literal

from reactnet.errors import ReactnetError

Table = dict[str, Any]

_UNIONS = (types.UnionType, typing.Union)  # `Literal[...] | None` is the second
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a string", dict: "a table"}


@dataclass(frozen=True)
class At:
    """Where in which file: what every error about a value begins with."""

    source: str
    tables: tuple[str, ...]

    def into(self, table: str) -> "At":
        """The place one table further in."""
        return At(self.source, (*self.tables, table))

    def error(self, problem: str, hint: str) -> ReactnetError:
        """An error at this place, to be raised: `FILE: [TABLE]: PROBLEM`."""
        table = f" [{'.'.join(self.tables)}]:" if self.tables else ""
        return ReactnetError(f"{self.source}:{table} {problem}", hint=hint)

    def need(self, right: bool, key: str, value: object, hint: str) -> None:
        """Raise, with the value found, unless `right`."""
        if not right:
            raise self.error(f"{key} is {value!r}", hint)


def suggest(word: str, choices: Iterable[str]) -> str:
    """A hint: the choice that is spelt most like `word`, or all of them."""
    listed = list(choices)
    close = difflib.get_close_matches(word, listed, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(map(repr, listed))}"


def read_table(
    table: Table, at: At, declared: type | Mapping[str, Any], *, optional: Iterable[str] = ()
) -> dict[str, Any]:
    """Every value of `table`, checked and converted by the types that a dataclass, or a mapping, declares.

    A key may be left out if the dataclass has a default for it, or if `optional` names it.

    Lists become tuples and whole numbers become floats where a float is declared. Raises ReactnetError for an unknown
    or missing key and for a value of the wrong type.
    """
    if isinstance(declared, type):
        kinds = typing.get_type_hints(declared)
        optional = {item.name for item in fields(declared) if item.default is not MISSING}
    else:
        kinds = dict(declared)
    for key in table:
        if key not in kinds:
            raise at.error(f"unknown key {key!r}", suggest(key, kinds))
    for key in kinds:
        if key not in table and key not in optional:
            raise at.error(f"missing key {key!r}", f"give {key} = {describe(kinds[key])}")
    return {key: _value(value, kinds[key], key, at) for key, value in table.items()}


def describe(kind: Any) -> str:
    """What a value of this type looks like, in words."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(repr(choice) for choice in inner)
    if origin in _UNIONS:
        return " or ".join(describe(choice) for choice in inner if choice is not types.NoneType)
    if origin is tuple:
        what = describe(inner[0]).removeprefix("a ")
        return f"a list of {len(inner)} {what}s" if inner[1] is not Ellipsis else f"a list, of {describe(inner[0])}"
    if is_dataclass(kind):
        return "a table"
    return _NAMES[kind]


def _value(value: object, kind: Any, key: str, at: At) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in _UNIONS:
        return _value(value, _choose(value, kind), key, at)
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise at.error(f"{key} is {value!r}", f"give {describe(kind)}")
        assert isinstance(kind, type)
        return kind(**read_table(value, at.into(key), kind))
    if origin is tuple:
        if not isinstance(value, list) or (inner[1] is not Ellipsis and len(value) != len(inner)):
            raise at.error(f"{key} is {value!r}", f"give {describe(kind)}")
        return tuple(_value(item, inner[0], key, at) for item in value)
    if origin is Literal:
        if value not in inner or not isinstance(value, str):
            raise at.error(f"{key} is {value!r}", suggest(str(value), inner))
        return value
    if kind is float and isinstance(value, int) and type(value) is int:
        at.need(abs(value) < 2**63, key, "a number past 64 bits", "give a number of ordinary size")
        value = float(value)
    if type(value) is not kind:
        raise at.error(f"{key} is {value!r}", f"give {describe(kind)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise at.error(f"{key} is {value}", "give a finite number")
    return value


def _choose(value: object, union: Any) -> Any:
    """The member of a union that `value` is meant for: a tuple for a list, another for anything else, never None."""
    kinds = [kind for kind in typing.get_args(union) if kind is not types.NoneType]
    fitting = [kind for kind in kinds if (typing.get_origin(kind) is tuple) == isinstance(value, list)]
    return (fitting if fitting else kinds)[0]
