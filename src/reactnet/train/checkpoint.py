"""Tensors and strings in a file: safetensors, whole or not at all, with a hash, the same bytes for the same content.

The writer is our own, since the library's orders the metadata differently from run to run. The reader checks the hash
first and leaves the rest to the library. Nothing here reads or writes a pickle.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from reactnet.errors import ReactnetError
from reactnet.files import read_existing

KIND = "reactnet"  # the metadata key that says what a file of ours holds: "weights" or "state"
MAX_BYTES = 4 * 1024**3  # seven times the largest model of ours, VGG-19

_HASH = "sha256"
_NO_HASH = "0" * 64
_DIGITS = re.compile("[0-9a-f]{64}")
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch.save's zip, and bare pickles


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, under a temporary name first, so that `path` is always a whole file or the old one.

    `metadata` gains `sha256`: that of the whole file with these 64 digits replaced by 0.

    Raises ReactnetError if it cannot be written, a full disk included; what stood at `path` is then untouched.
    """
    assert _HASH not in metadata
    # Widest elements first, so that every tensor is aligned for its type.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header = _header({name: tensors[name] for name in order}, metadata)
    digest = hashlib.sha256(header)
    for piece in _pieces(tensors, order):
        digest.update(piece)
    mark = f'"{_HASH}":"'.encode()
    header = header.replace(mark + _NO_HASH.encode(), mark + digest.hexdigest().encode())

    def content() -> Iterator[bytes | memoryview]:
        yield header
        yield from _pieces(tensors, order)

    write_atomically(path, content())


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_checkpoint` wrote: tensors on the CPU, and the metadata without the hash.

    Raises ReactnetError, naming the file, if it is missing, no safetensors file of ours, or differs from its hash in a
    single bit. A pickle is refused unread: unpickling runs whatever code the file holds.
    """
    data = read_existing(path, most=MAX_BYTES, hint="give a run folder or a .safetensors file")
    if data.startswith(_PICKLES):
        raise ReactnetError(
            f"{path}: this is a pickle (a file of torch.save), which is not read: loading one can run any code",
            hint="convert it to safetensors where you trust its origin",
        )
    metadata = _metadata(data, path)
    if hashlib.sha256(_without_hash(data, metadata[_HASH])).hexdigest() != metadata.pop(_HASH):
        raise ReactnetError(f"{path}: corrupt: its bytes differ from its hash", hint="use another copy of the file")
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise ReactnetError(f"{path}: not a whole safetensors file: {error}", hint="use another copy") from error
    return tensors, metadata


def write_atomically(path: Path, pieces: Iterator[bytes | memoryview]) -> None:
    """Write the joined pieces to `path`: a temporary file beside it, flushed to the disk, then renamed over it.

    Raises ReactnetError if that fails; the temporary file is removed and what stood at `path` is untouched. A device, a
    FIFO or a folder at `path` is refused: a rename would replace it.
    """
    if path.exists() and not path.is_file():
        raise ReactnetError(f"{path}: not a regular file, and would be replaced", hint="name a file to write")
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}.tmp")  # a name that no link can wait under
    try:
        with temporary.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ReactnetError(
            f"{path}: cannot be written: {error.strerror}", hint="free some space, or write elsewhere; nothing changed"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _pieces(tensors: Mapping[str, Tensor], order: list[str]) -> Iterator[memoryview]:
    for name in order:
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().data


def _header(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    table: dict[str, object] = {"__metadata__": {**metadata, _HASH: _NO_HASH}}
    begin = 0
    for name, tensor in tensors.items():
        end = begin + tensor.numel() * tensor.element_size()
        table[name] = {"data_offsets": [begin, end], "dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape)}
        begin = end
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _metadata(data: bytes, path: Path) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    found: dict[str, object] = {}
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"))
        found = dict(header["__metadata__"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    metadata = {key: value for key, value in found.items() if isinstance(value, str)}
    if len(metadata) != len(found) or KIND not in metadata or _DIGITS.fullmatch(metadata.get(_HASH, "")) is None:
        raise ReactnetError(
            f"{path}: not a checkpoint of reactnet ({len(data)} bytes)",
            hint="give a run folder of `reactnet train`, or a file of its folder 'checkpoints'",
        )
    return metadata


def _without_hash(data: bytes, digits: str) -> bytes:
    # In any other string of the JSON the quotes are escaped, so the first match is the one.
    mark = f'"{_HASH}":"'.encode()
    return data.replace(mark + digits.encode(), mark + _NO_HASH.encode(), 1)
