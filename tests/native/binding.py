"""The C API with its statuses, which the Session hides behind one exception."""

import ctypes
from pathlib import Path

import numpy as np

from reactnet.runtime import _native

OK, IO, FORMAT, VERSION, HASH, UNSUPPORTED, ARGUMENT, MEMORY, BUSY = range(9)


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def link_flags(folder: Path) -> list[str]:
    """What links a program with the library that Python uses; `folder` gets the names by which it is looked for.

    A library built by hand calls itself libreactnet.so.1, the one that pip builds does not.
    """
    for name in ("libreactnet.so", "libreactnet.so.1"):
        (folder / name).symlink_to(_native.library()._name)
    return [str(folder / "libreactnet.so"), f"-Wl,-rpath,{folder}", "-pthread"]


class Model:
    """An open model, or the status and the words of why not."""

    def __init__(self, data: bytes | None = None, *, path: str = "", threads: int = 0, isa: str | None = None) -> None:
        self.library = _native.library()
        self.error = _native.Error()
        self.handle = ctypes.c_void_p()
        options = _native.Options(threads, None if isa is None else isa.encode())
        rest = ctypes.byref(options), ctypes.byref(self.handle), ctypes.byref(self.error)
        if data is None:
            self.status = self.library.reactnet_model_open(path.encode(), *rest)
        else:
            self.status = self.library.reactnet_model_open_memory(data, len(data), *rest)

    @property
    def words(self) -> str:
        return f"{self.error.message.decode()} | {self.error.hint.decode()}"

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.library.reactnet_model_free(self.handle)

    def context(self, flags: int = 0) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        status = self.library.reactnet_context_create(self.handle, flags, ctypes.byref(made), ctypes.byref(self.error))
        assert status == OK, self.words
        return made

    def run(self, context: ctypes.c_void_p, images: np.ndarray, classes: int) -> tuple[int, np.ndarray]:
        logits = np.full((len(images), classes), 7, np.float32)
        function = self.library.reactnet_run_u8 if images.dtype == np.uint8 else self.library.reactnet_run_f32
        images = np.ascontiguousarray(images)
        error = ctypes.byref(self.error)
        return function(context, address(images), len(images), address(logits), error), logits
