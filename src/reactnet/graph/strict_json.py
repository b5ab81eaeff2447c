"""JSON from a file nobody vouches for: no duplicate keys, no real numbers, bounded depth, valid Unicode."""

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from reactnet.errors import ReactnetError

MAX_DEPTH = 8
_HINT = "the file is damaged or was not written by reactnet; compile it again"
_MAX_DIGITS = 20  # more than any integer of the format; bounds the work of converting one

# A string (an unterminated one runs to the end, so that the scan stays linear), or a bracket.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def fault(problem: str) -> ReactnetError:
    """The error for a text that breaks the format."""
    return ReactnetError(problem, hint=_HINT)


def parse(text: str, where: str) -> Any:
    """The value of one JSON text: objects, lists, strings, booleans, null and plain integers."""
    _check_depth(text, where)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            seen: set[str] = set()
            for key, _ in items:
                if key in seen:
                    raise fault(f"{where}: key {key[:80]!r} stands twice")
                seen.add(key)
        return found

    def integer(digits: str) -> int:
        if len(digits) > _MAX_DIGITS:
            raise fault(f"{where}: a number of {len(digits)} digits")
        return int(digits)

    def refuse(number: str) -> NoReturn:
        raise fault(f"{where}: {number[:80]} is not a plain integer")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_int=integer, parse_float=refuse, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise fault(f"{where}: not JSON: {error}") from None


def _check_depth(text: str, where: str) -> None:
    depth = 0
    for match in _TOKEN.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise fault(f"{where}: nested deeper than {MAX_DEPTH}")
        elif first in "]}":
            depth -= 1


def expect_object(value: Any, keys: Sequence[str] | None, where: str) -> dict[str, Any]:
    """`value` as an object with exactly these keys, or any keys where `keys` is None."""
    if not isinstance(value, dict):
        raise fault(f"{where}: {_short(value)} is not an object")
    if keys is not None:
        for key in value:
            if key not in keys:
                raise fault(f"{where}: unknown key {key[:80]!r}")
        for key in keys:
            if key not in value:
                raise fault(f"{where}: key '{key}' is missing")
    return value


def expect_text(value: Any, where: str) -> str:
    """`value` as a string that UTF-8 can hold."""
    if not isinstance(value, str):
        raise fault(f"{where}: {_short(value)} is not a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise fault(f"{where}: half of a surrogate pair") from None
    return value


def expect_list(value: Any, where: str) -> list[Any]:
    """`value` as a list."""
    if not isinstance(value, list):
        raise fault(f"{where}: {_short(value)} is not a list")
    return value


def expect_integer(value: Any, where: str) -> int:
    """`value` as an integer; true and false are none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise fault(f"{where}: {_short(value)} is not an integer")
    return value


def _short(value: Any) -> str:
    return json.dumps(value)[:80]
