"""Opening a foreign checkpoint: a pickle of tensors, and not one step of code that the file brings along.

`torch.load(weights_only=True)` builds tensors and plain containers and nothing else. A file that asks for more is
refused: there is no other way in. Both of torch's formats are read, the zip and the older bare pickle; the published
files come in either.
"""

import hashlib
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reactnet.errors import ReactnetError

MAX_BYTES = 4 * 1024**3  # seven times the largest file that is known here, VGG-19

_PREFIX = "module."  # what nn.DataParallel puts before every key
_CODE = "the file holds code"
_CURE_CODE = (
    "nothing was run; where you trust its origin, load it yourself, save its 'state_dict' alone with torch.save, "
    "and convert that"
)
_CURE_COPY = "give a file that torch.save wrote, whole; fetch it again if it was downloaded"


@dataclass(frozen=True)
class Foreign:
    """A file's state dict without `module.`, and what else was found in it.

    `beside` is what stood in the file next to 'state_dict'; `sha256` is that of the file.
    """

    state: Mapping[str, Tensor]
    beside: Mapping[str, object]
    wrapped: bool
    prefixed: bool
    sha256: str


def read(path: Path) -> Foreign:
    """Open a file of torch.save that holds a state dict, bare or under the key 'state_dict'.

    Raises ReactnetError, naming the file, if it is missing, damaged, too large, compressed, or needs code.
    """
    _check_file(path)
    content = _load(path)
    beside: dict[str, object] = {}
    wrapped = isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping)
    if isinstance(content, Mapping) and wrapped:
        beside = {str(key): value for key, value in content.items() if key != "state_dict"}
        content = content["state_dict"]
    state = _state(content, path)
    prefixed = all(key.startswith(_PREFIX) for key in state)
    if prefixed:
        state = {key.removeprefix(_PREFIX): tensor for key, tensor in state.items()}
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Foreign(state, beside, wrapped, prefixed, sha256)


def _check_file(path: Path) -> None:
    """Refuse what would be read for long, or grow on the way: a file must not hold less than it unfolds to."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not a file" if path.exists() else "no such file"
        raise ReactnetError(f"{path}: {what}", hint="give a checkpoint: a file of torch.save, .pth or .pth.tar")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ReactnetError(f"{path}: {size} bytes, more than {MAX_BYTES}", hint="save its 'state_dict' alone")
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive, path, size)
            damaged = archive.testzip()  # torch.load compares no checksum
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ReactnetError(f"{path}: a damaged zip file: {error}", hint=_CURE_COPY) from error
    if damaged is not None:
        raise ReactnetError(f"{path}: a damaged zip file: the checksum of {damaged!r} is wrong", hint=_CURE_COPY)


def _check_entries(archive: zipfile.ZipFile, path: Path, size: int) -> None:
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ReactnetError(f"{path}: a compressed zip file, which torch.save does not write", hint=_CURE_COPY)
    unfolded = sum(entry.file_size for entry in entries)
    if unfolded > size:
        raise ReactnetError(f"{path}: {size} bytes that claim to hold {unfolded}", hint=_CURE_COPY)
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise ReactnetError(f"{path}: {_CODE}: it is a TorchScript archive", hint=_CURE_CODE)


def _load(path: Path) -> object:
    try:
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\w[\w.]*\w) ", str(error))
        if asked is not None:
            raise ReactnetError(f"{path}: {_CODE}: it asks for {asked[1]}", hint=_CURE_CODE) from error
        raise ReactnetError(f"{path}: not a file of torch.save, or a damaged one", hint=_CURE_COPY) from error
    except MemoryError as error:
        raise ReactnetError(f"{path}: claims more memory than there is", hint=_CURE_COPY) from error
    except OSError as error:
        raise ReactnetError(f"{path}: {error.strerror or error}", hint="give a file that can be read") from error
    except Exception as error:  # a damaged file fails in torch's readers in every way that there is
        if ".tar format" in str(error):
            raise ReactnetError(
                f"{path}: in torch's oldest format, a tar file, which cannot be opened without running code",
                hint=_CURE_CODE,
            ) from error
        raise ReactnetError(
            f"{path}: not a file of torch.save, or a damaged one ({type(error).__name__})", hint=_CURE_COPY
        ) from error
    return content


def _state(found: object, path: Path) -> dict[str, Tensor]:
    """`found` as a state dict of plain tensors that have values."""
    if not isinstance(found, Mapping) or not found:
        raise ReactnetError(
            f"{path}: holds {_kind(found)}, no state dict",
            hint="give a file that holds a state dict, or a dict with one under 'state_dict'",
        )
    state: dict[str, Tensor] = {}
    for key, value in found.items():
        if not isinstance(key, str) or type(value) not in (Tensor, nn.Parameter):
            raise ReactnetError(
                f"{path}: {str(key)[:80]!r} is {_kind(value)}, not a tensor", hint="save the state dict alone"
            )
        if value.numel() * value.element_size() > _held(value):
            raise ReactnetError(
                f"{path}: {key!r} claims {value.numel()} numbers and holds {_held(value)} bytes", hint=_CURE_COPY
            )
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise ReactnetError(
                f"{path}: {key!r} is a tensor on {value.device} in layout {value.layout}, {value.dtype}",
                hint="save plain dense tensors",
            )
        state[key] = value
    return state


def _held(value: Tensor) -> int:
    """Bytes behind a tensor: with a stride of 0 a short file would unfold without end."""
    if value.layout != torch.strided or value.device.type != "cpu":
        return value.numel() * value.element_size()  # refused on other grounds
    return value.untyped_storage().nbytes()


def _kind(value: object) -> str:
    name = type(value).__name__
    if isinstance(value, Mapping) and not value:
        return f"an empty {name}"
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
