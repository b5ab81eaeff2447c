"""The native library through ctypes: native/include/reactnet.h, declared once, and nothing else."""

import ctypes
import functools
import json
import sys
import sysconfig
from ctypes import POINTER, c_char, c_char_p, c_double, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from reactnet.errors import ReactnetError

ABI_VERSION = 1
LIBRARY = "libreactnet.dylib" if sys.platform == "darwin" else "libreactnet.so"
BUILD = "build and install the native library: make install"

OK = 0
KEEP_VALUES = 1
TIME_STEPS = 2


class Error(ctypes.Structure):
    """reactnet_error: what went wrong and the cure, filled in by a call that fails."""

    _fields_ = (("size", c_uint32), ("status", c_uint32), ("message", c_char * 768), ("hint", c_char * 256))

    def __init__(self) -> None:
        super().__init__(size=ctypes.sizeof(Error))


class Options(ctypes.Structure):
    """reactnet_options: threads 0 and isa NULL leave the choice to the environment."""

    _fields_ = (("size", c_uint32), ("threads", c_uint32), ("isa", c_char_p))

    def __init__(self, threads: int, isa: bytes | None) -> None:
        super().__init__(size=ctypes.sizeof(Options), threads=threads, isa=isa)


class Info(ctypes.Structure):
    """reactnet_info: sizes of an open model."""

    _fields_ = (
        ("size", c_uint32),
        ("height", c_uint32),
        ("width", c_uint32),
        ("channels", c_uint32),
        ("classes", c_uint32),
        ("accepts_f32", c_uint32),
        ("threads", c_uint32),
        ("steps", c_uint32),
        ("arena_bytes", c_uint64),
        ("weight_bytes", c_uint64),
        ("file_bytes", c_uint64),
    )

    def __init__(self) -> None:
        super().__init__(size=ctypes.sizeof(Info))


# Arrays are passed as addresses: a void pointer takes the integer that NumPy gives, and a run needs no cast.
_ERROR = POINTER(Error)
_HANDLE = c_void_p
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "reactnet_abi_version": (c_uint32, ()),
    "reactnet_system": (c_char_p, ()),
    "reactnet_model_open": (c_int, (c_char_p, POINTER(Options), POINTER(_HANDLE), _ERROR)),
    "reactnet_model_open_memory": (c_int, (c_char_p, c_size_t, POINTER(Options), POINTER(_HANDLE), _ERROR)),
    "reactnet_model_free": (None, (_HANDLE,)),
    "reactnet_model_info": (c_int, (_HANDLE, POINTER(Info), _ERROR)),
    "reactnet_model_metadata": (c_char_p, (_HANDLE,)),
    "reactnet_model_plan": (c_char_p, (_HANDLE,)),
    "reactnet_context_create": (c_int, (_HANDLE, c_uint32, POINTER(_HANDLE), _ERROR)),
    "reactnet_context_free": (None, (_HANDLE,)),
    "reactnet_run_u8": (c_int, (_HANDLE, c_void_p, c_size_t, c_void_p, _ERROR)),
    "reactnet_run_f32": (c_int, (_HANDLE, c_void_p, c_size_t, c_void_p, _ERROR)),
    "reactnet_context_value": (c_int, (_HANDLE, c_char_p, c_void_p, POINTER(c_size_t), _ERROR)),
    "reactnet_context_step_times": (c_int, (_HANDLE, c_void_p, POINTER(c_size_t), _ERROR)),
    "reactnet_popcount_peak": (c_int, (c_double, POINTER(c_double), _ERROR)),
    "reactnet_preprocess": (c_int, (_HANDLE, c_void_p, c_uint32, c_uint32, c_void_p, _ERROR)),
    "reactnet_resize": (c_int, (c_void_p, c_uint32, c_uint32, c_uint32, c_uint32, c_uint32, c_void_p, _ERROR)),
}


def candidates() -> list[Path]:
    """Where the library may lie: beside this file in a wheel, in site-packages for an editable install."""
    here = Path(__file__).parent
    installed = Path(sysconfig.get_path("platlib"), "reactnet", "runtime")
    return [folder / LIBRARY for folder in dict.fromkeys((here, installed))]


@functools.cache
def library() -> ctypes.CDLL:
    """The library, loaded and its functions declared. Raises ReactnetError if it is missing or not this version's."""
    return load(candidates())


def library_path() -> Path:
    """The file that `library` loaded."""
    return Path(library()._name)


def load(paths: list[Path]) -> ctypes.CDLL:
    """Load the first of `paths` that exists, and declare its functions."""
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise ReactnetError(f"reactnet.runtime: {LIBRARY} is not in {paths[-1].parent}", hint=BUILD)
    try:
        loaded = ctypes.CDLL(str(path))
        version = _declare(loaded, "reactnet_abi_version")()
        if version != ABI_VERSION:
            raise ReactnetError(f"{path}: ABI version {version}, this package needs {ABI_VERSION}", hint=BUILD)
        for name in _SIGNATURES:
            _declare(loaded, name)
    except OSError as error:
        raise ReactnetError(f"{path}: cannot be loaded: {error}", hint=BUILD) from error
    except AttributeError as error:
        raise ReactnetError(f"{path}: not the library of this package: {error}", hint=BUILD) from error
    return loaded


def check(status: int, error: Error) -> None:
    """Raise the native side's message and hint if `status` says that a call failed."""
    if status != OK:
        raise ReactnetError(
            error.message.decode("utf-8", "replace"),
            hint=error.hint.decode("utf-8", "replace") or "see docs/format.md, section 5: what readers check",
        )


def system() -> dict[str, Any]:
    """What this build and this machine can do: version, isa, isas, compiled, kernels, and the library's path."""
    described: dict[str, Any] = json.loads(library().reactnet_system())
    return described | {"library": str(library_path()), "abi_version": ABI_VERSION}


def popcount_peak(seconds: float) -> float:
    """The best rate of plain popcounts on one thread of this CPU, whatever ISA is forced: 1e9 one-bit MACs a second.

    It works for about `seconds`. On a shared machine take the largest of several calls.
    """
    gmacs, error = c_double(), Error()
    check(library().reactnet_popcount_peak(seconds, ctypes.byref(gmacs), ctypes.byref(error)), error)
    return gmacs.value


def _declare(loaded: ctypes.CDLL, name: str) -> Any:
    function = getattr(loaded, name)
    function.restype, function.argtypes = _SIGNATURES[name]
    return function
