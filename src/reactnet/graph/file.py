"""The packed file: a Graph to bytes and back (docs/format.md, sections 1 and 5). The reader trusts nothing."""

import contextlib
import hashlib
import os
import re
import secrets
import stat
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactnet.errors import ReactnetError
from reactnet.graph.check import MAX_TENSOR_DIMENSION, MAX_TENSORS, check
from reactnet.graph.graph import Graph
from reactnet.graph.graph_json import canonical, decode, encode
from reactnet.graph.strict_json import expect_integer, expect_list, expect_object, expect_text, fault, parse
from reactnet.graph.tensor import DTYPES, dtype_name

MAX_FILE = 2**30
MAX_HEADER = 2**24
_METADATA = "__metadata__"
_NO_DIGITS = "0" * 64
_DIGITS = re.compile(r"[0-9a-f]{64}\Z")
_TENSOR_NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,256}\Z")


def dumps(graph: Graph) -> bytes:
    """The file's bytes: the same for the same graph, whatever the order its tensors came in."""
    order, text, _ = _header(graph)
    data = bytearray(len(text).to_bytes(8, "little") + text)
    for name in order:
        data += np.ascontiguousarray(graph.constants[name]).tobytes()
    # Quotes inside strings are escaped, so this text stands in the header once, as the key.
    digits = data.index(b'"sha256":"' + _NO_DIGITS.encode()) + len(b'"sha256":"')
    data[digits : digits + 64] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def packed_size(graph: Graph) -> int:
    """`len(dumps(graph))`, without making the bytes: constants may be broadcast from a single element."""
    return _header(graph)[2]


def _header(graph: Graph) -> tuple[list[str], bytes, int]:
    """The order of the tensors, the padded text of the header with no digits yet, and the size of the file."""
    check(graph)
    order = sorted(graph.constants, key=lambda name: (-graph.constants[name].dtype.itemsize, name))
    header: dict[str, Any] = {_METADATA: {"reactnet": encode(graph), "sha256": _NO_DIGITS}}
    end = 0
    for name in order:
        array = graph.constants[name]
        begin, end = end, end + array.nbytes
        header[name] = {"data_offsets": [begin, end], "dtype": dtype_name(array), "shape": list(array.shape)}
    text = canonical(header).encode("ascii")
    text += b" " * (-len(text) % 8)
    size = 8 + len(text) + end
    if len(text) > MAX_HEADER or size > MAX_FILE:
        raise ReactnetError(
            f"model '{graph.model}': a header of {len(text)} bytes in a file of {size} is above the format's limits",
            hint="a header may have 16 MiB and a file 1 GiB; use a smaller network or less provenance",
        )
    return order, text, size


def loads(data: bytes, source: str = "packed file") -> Graph:
    """The checked graph of a file's bytes, or ReactnetError that begins with `source`."""
    try:
        graph = _read(data)
        check(graph)
    except ReactnetError as error:
        raise ReactnetError(f"{source}: {error.problem}", hint=error.hint) from None
    return graph


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write the file whole or not at all: to a temporary name beside it, flushed to disk, then renamed.

    Raises ReactnetError if it cannot be written, or if `path` is a device, a FIFO or a folder, which a rename would
    replace.
    """
    data = dumps(graph)
    target = Path(path)
    if os.path.exists(target) and not os.path.isfile(target):  # noqa: PTH110, PTH113  # these take a NUL in the path
        raise ReactnetError(f"{target}: cannot be written: not a regular file", hint="name a file to write")
    temporary = target.parent / f".{target.name}.{secrets.token_hex(6)}.part"
    try:
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
            _sync_folder(target.parent)
        finally:
            with contextlib.suppress(OSError, ValueError):
                temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ReactnetError(
            f"{target}: cannot be written: {reason}", hint="check the folder, its permissions and the free space"
        ) from None


def load(path: str | os.PathLike[str]) -> Graph:
    """The checked graph of a file, which must be a regular one; errors begin with its name."""
    return loads(_read_regular(path), source=str(path))


def _sync_folder(folder: Path) -> None:
    """Make the rename last through a power cut, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _read_regular(path: str | os.PathLike[str]) -> bytes:
    try:
        # Without O_NONBLOCK the open of a FIFO would wait for a writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ReactnetError(f"{path}: cannot be opened: {reason}", hint="check the path and its permissions") from None
    try:
        with os.fdopen(handle, "rb", closefd=False) as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ReactnetError(f"{path}: not a regular file", hint="give a packed file (.rnet)")
            if status.st_size > MAX_FILE:
                raise ReactnetError(
                    f"{path}: {status.st_size} bytes, above the limit of 1 GiB", hint="give a packed file"
                )
            return stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ReactnetError(f"{path}: cannot be read: {error.strerror}", hint="give a packed file (.rnet)") from None
    finally:
        os.close(handle)


def _read(data: bytes) -> Graph:
    if not 8 < len(data) <= MAX_FILE:
        raise fault(f"{len(data)} bytes are no packed file")
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER or length > len(data) - 8 or length % 8:
        raise fault(f"a header of {length} bytes in a file of {len(data)}")
    raw = data[8 : 8 + length]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise fault(f"header: not UTF-8: {error.reason} at byte {error.start}") from None
    if not text.startswith("{") or not text.rstrip(" ").endswith("}"):
        raise fault("header: not one JSON object padded with spaces")
    header = expect_object(parse(text, "header"), None, "header")
    if _METADATA not in header:
        raise fault(f"header: key '{_METADATA}' is missing")
    metadata = expect_object(header.pop(_METADATA), ("reactnet", "sha256"), f"header: {_METADATA}")
    graph_text = expect_text(metadata["reactnet"], "header: reactnet")
    digits = expect_text(metadata["sha256"], "header: sha256")
    ranges = _ranges(header, len(data) - 8 - length)
    _check_hash(data, raw, digits)
    return decode(graph_text, {name: _tensor(data, 8 + length, entry) for name, entry in ranges.items()})


_Entry = tuple[int, str, tuple[int, ...]]  # begin, dtype, shape


def _ranges(header: dict[str, Any], size: int) -> dict[str, _Entry]:
    """Where each tensor lies: together they cover `size` bytes exactly."""
    if len(header) > MAX_TENSORS:
        raise fault(f"header: {len(header)} tensors, above the limit of {MAX_TENSORS}")
    entries: dict[str, _Entry] = {}
    spans = []
    for name, value in header.items():
        where = f"header: tensor '{name[:80]}'"
        if _TENSOR_NAME.match(name) is None:
            raise fault(f"header: tensor name {name[:80]!r} is not allowed")
        entry = expect_object(value, ("data_offsets", "dtype", "shape"), where)
        dtype = expect_text(entry["dtype"], f"{where}: dtype")
        if dtype not in DTYPES:
            raise fault(f"{where}: dtype {dtype[:80]!r} is not one of {' '.join(DTYPES)}")
        shape = tuple(
            expect_integer(side, f"{where}: shape") for side in expect_list(entry["shape"], f"{where}: shape")
        )
        if not 1 <= len(shape) <= 4 or not all(1 <= side <= MAX_TENSOR_DIMENSION for side in shape):
            raise fault(f"{where}: shape {list(shape)[:8]} is out of limits")
        offsets = expect_list(entry["data_offsets"], f"{where}: data_offsets")
        if len(offsets) != 2:
            raise fault(f"{where}: {len(offsets)} data_offsets, not 2")
        begin, end = (expect_integer(offset, f"{where}: data_offsets") for offset in offsets)
        wanted = prod(shape) * DTYPES[dtype].itemsize
        if not 0 <= begin <= end <= size or end - begin != wanted:
            raise fault(f"{where}: bytes {begin} to {end} of {size} cannot hold {dtype} {list(shape)}")
        entries[name] = (begin, dtype, shape)
        spans.append((begin, end, name))
    covered = 0
    for begin, end, name in sorted(spans):
        if begin != covered:
            raise fault(f"header: tensor '{name}' begins at byte {begin}, not at {covered}: an overlap or a hole")
        covered = end
    if covered != size:
        raise fault(f"{size - covered} bytes follow the last tensor")
    return entries


def _check_hash(data: bytes, raw: bytes, digits: str) -> None:
    if _DIGITS.match(digits) is None:
        raise fault(f"header: sha256 {digits[:80]!r} is not 64 lower-case hex digits")
    if raw.count(digits.encode()) != 1:
        raise fault("header: the sha256 digits must stand in the header once, as plain characters")
    place = 8 + raw.index(digits.encode())
    hasher = hashlib.sha256(data[:place])
    hasher.update(_NO_DIGITS.encode())
    hasher.update(memoryview(data)[place + 64 :])
    if hasher.hexdigest() != digits:
        raise ReactnetError(
            f"the bytes are not those that were written: sha256 is {hasher.hexdigest()[:12]}..., the file says "
            f"{digits[:12]}...",
            hint="the file is damaged; copy or compile it again",
        )


def _tensor(data: bytes, base: int, entry: _Entry) -> NDArray[Any]:
    begin, dtype, shape = entry
    array = np.frombuffer(data, dtype=DTYPES[dtype], count=prod(shape), offset=base + begin).reshape(shape)
    return array if array.flags.aligned else array.copy()
