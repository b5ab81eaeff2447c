"""Python's pickles of plain values, without trust: no code of the file's choosing runs, nothing is imported for it.

A pickle is a program. This reads only the words of it that CIFAR's files consist of, and gives dictionaries, lists,
tuples, strings, bytes, whole numbers and NumPy arrays of bytes. Any other word, or name, is refused.
"""

import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from reactnet.errors import ReactnetError
from reactnet.files import read_existing

MAX_BYTES = 2**30

_MARK = object()
# The three names that an array is made of; they stand for themselves and are never looked up.
_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE = "reconstruct", "ndarray", "dtype", "encode"
_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DTYPE,
    ("_codecs", "encode"): _ENCODE,  # how Python 3 writes bytes for Python 2
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = {"BININT", "BININT1", "BININT2", "INT", "LONG1", "LONG"}
_BYTES = {"BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
_TEXT = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"}
_FRAMES = {"PROTO", "FRAME"}


class _Name:
    def __init__(self, what: str) -> None:
        self.what = what


class _Array:
    """An array or a dtype in the making."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.value: np.ndarray[Any, Any] | None = None


class _RefusedError(Exception):
    pass


def read_plain_pickle(path: Path) -> dict[bytes | str, Any]:
    """The dictionary that a pickle file holds. Raises ReactnetError for anything else, hostile or broken."""
    data = read_existing(path, most=MAX_BYTES, hint="unpack the whole data set into its folder")
    hint = "fetch and unpack the data again: a pickle may hold a program, and this one is not only data"
    try:
        found = _Machine().run(data)
    except _RefusedError as error:
        raise ReactnetError(f"{path}: {error}", hint=hint) from error
    except (ValueError, IndexError, KeyError, TypeError, UnicodeError, OverflowError, RecursionError) as error:
        raise ReactnetError(f"{path}: not a whole pickle: {error}", hint=hint) from error
    if not isinstance(found, dict):
        raise ReactnetError(f"{path}: holds {type(found).__name__}, not a dictionary", hint=hint)
    return {key: _finished(value, path, hint) for key, value in found.items()}


def _finished(value: Any, path: Path, hint: str) -> Any:
    found = value.value if isinstance(value, _Array) else value
    if found is None or isinstance(found, _Name) or found is _MARK:
        raise ReactnetError(f"{path}: an array without an end", hint=hint)
    return found


class _Machine:
    """The stack and the memo of a pickle's program."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                found = self.stack.pop()
                if self.stack:
                    raise _RefusedError("values are left over at its end")
                return found
            self._do(opcode.name, argument)
        raise _RefusedError("no end")

    def _do(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _FRAMES:
            return
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _NUMBERS or name in _TEXT:
            stack.append(argument)
        elif name in _BYTES:
            stack.append(argument if isinstance(argument, bytes) else argument.encode("latin-1"))
        elif name.startswith(("BINPUT", "LONG_BINPUT", "PUT")):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        else:
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "MARK"):
            stack.append({"EMPTY_DICT": {}, "EMPTY_LIST": [], "EMPTY_TUPLE": (), "MARK": _MARK}[name])
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[len(stack) - count :] = [tuple(stack[len(stack) - count :])]
        elif name in ("APPEND", "APPENDS"):
            items = self._since_mark() if name == "APPENDS" else [stack.pop()]
            _of(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            target = _of(stack[-1], dict)
            for key, value in zip(items[::2], items[1::2], strict=True):
                if not isinstance(key, bytes | str):
                    raise _RefusedError(f"a key is {type(key).__name__}")
                target[key] = value
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            module, what = argument.split(" ", 1) if name == "GLOBAL" else (stack.pop(-2), stack.pop())
            # A tuple of tuples of one tuple is short in a file and endless to hash or to print: never do either.
            if (_of(module, str), _of(what, str)) not in _NAMES:
                raise _RefusedError(f"asks for {module}.{what}")
            stack.append(_Name(_NAMES[module, what]))
        elif name == "REDUCE":
            arguments = _of(stack.pop(), tuple)
            stack.append(_call(_of(stack.pop(), _Name).what, arguments))
        elif name == "BUILD":
            state = _of(stack.pop(), tuple)
            _set_state(_of(stack[-1], _Array), state)
        else:
            raise _RefusedError(f"word {name} of a pickle is not of plain data")

    def _since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise _RefusedError("no mark")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items


def _of(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise _RefusedError(f"{type(value).__name__} stands where {kind.__name__.strip('_')} belongs")
    return value


def _call(what: str, arguments: tuple[Any, ...]) -> Any:
    if what == _RECONSTRUCT and isinstance(arguments[0], _Name) and arguments[0].what == _NDARRAY:
        return _Array(_NDARRAY)
    if what == _DTYPE and arguments[0] in ("u1", b"u1"):
        return _Array(_DTYPE)
    if what == _ENCODE and len(arguments) == 2 and arguments[1] in ("latin1", b"latin1"):
        return _of(arguments[0], str).encode("latin-1")
    raise _RefusedError(f"calls {what} with {len(arguments)} arguments of its own")


def _set_state(array: _Array, state: tuple[Any, ...]) -> None:
    if array.what == _DTYPE:
        return  # byte order and the like: bytes have none
    _, shape, dtype, fortran, data = state
    if not (isinstance(dtype, _Array) and dtype.what == _DTYPE) or fortran or array.value is not None:
        raise _RefusedError("an array that is not plain bytes")
    if not all(type(side) is int and side >= 0 for side in _of(shape, tuple)) or len(shape) > 4:
        raise _RefusedError("an array whose shape is not up to four whole numbers")
    array.value = np.frombuffer(_of(data, bytes), dtype=np.uint8).reshape(shape)
