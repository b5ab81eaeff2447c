"""A packed file, open and ready to run, from as many threads as you like."""

import ctypes
import functools
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from reactnet.errors import ReactnetError
from reactnet.runtime import _native
from reactnet.zoo import locate

Pixels = npt.NDArray[np.uint8]
MAX_THREADS = 1024

# The dtype of a node's value, by its op; all others are float32 (docs/format.md, "Values").
_VALUE_DTYPES: dict[str, npt.DTypeLike] = {"sign": np.uint64, "quantize": np.uint8}


class Session:
    """A packed file, validated, planned and repacked for this machine.

    `path` may also be the name of a model that ships, where no file has that name: `reactnet zoo` lists them.
    `threads` counts the calling thread; None takes REACTNET_THREADS, else 1. `isa` is a ceiling ("scalar", "avx2");
    None takes REACTNET_ISA, else the best there is. Neither changes a result. `run` may be called from many threads at
    once: each call borrows a context of its own, and contexts are kept for the next call.

    Raises ReactnetError for a file that is missing, foreign, damaged, or needs what this machine lacks.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None, *, isa: str | None = None) -> None:
        if b"\0" in os.fsencode(path):
            raise ReactnetError(f"{os.fspath(path)!r}: a path with a zero byte", hint="give the path of a packed file")
        name = os.fsencode(locate(path))
        self._open(Path(path).name, threads, isa, "reactnet_model_open", name)

    @classmethod
    def from_bytes(cls, data: bytes, threads: int | None = None, *, isa: str | None = None) -> Self:
        """Open the bytes of a packed file; they are copied."""
        session = cls.__new__(cls)
        session._open("packed bytes", threads, isa, "reactnet_model_open_memory", data, len(data))
        return session

    def _open(self, name: str, threads: int | None, isa: str | None, function: str, *source: Any) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[_Context] = []
        self._running = 0
        self._closed = True  # until there is something to close
        if threads is not None and not 1 <= threads <= MAX_THREADS:
            raise ReactnetError(f"Session: threads is {threads}", hint=f"give 1 to {MAX_THREADS} threads")
        self._library = _native.library()
        self._model = ctypes.c_void_p()
        options = _native.Options(0 if threads is None else threads, None if isa is None else isa.encode())
        error = _native.Error()
        call = getattr(self._library, function)
        _native.check(call(*source, ctypes.byref(options), ctypes.byref(self._model), ctypes.byref(error)), error)
        self._closed = False
        self._info = _native.Info()
        _native.check(
            self._library.reactnet_model_info(self._model, ctypes.byref(self._info), ctypes.byref(error)), error
        )
        self._shape = (int(self._info.height), int(self._info.width), int(self._info.channels))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the uint8 image that the network takes."""
        return self._shape

    @property
    def num_classes(self) -> int:
        """The length of a row of logits."""
        return int(self._info.classes)

    @property
    def accepts_float(self) -> bool:
        """Whether `run` also takes normalised float32 images."""
        return bool(self._info.accepts_f32)

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each logit, or none at all."""
        return tuple(self.metadata["class_names"])

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """The graph of the file, as docs/format.md section 2 describes it."""
        self._check_open()
        parsed: dict[str, Any] = json.loads(self._library.reactnet_model_metadata(self._model))
        return parsed

    @functools.cached_property
    def plan(self) -> dict[str, Any]:
        """What runs: `isa`, `threads`, `arena_bytes`, and `steps`, each with its `nodes` and its `kernel`."""
        self._check_open()
        parsed: dict[str, Any] = json.loads(self._library.reactnet_model_plan(self._model))
        return parsed

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the file, of the weights as repacked, and of one context's arena."""
        return {
            "file_bytes": int(self._info.file_bytes),
            "weight_bytes": int(self._info.weight_bytes),
            "arena_bytes": int(self._info.arena_bytes),
        }

    def run(self, images: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The logits of each image, which depend on no other image of the batch.

        Images are uint8; a file that `accepts_float` also takes float32 after normalisation.

        Shape: (N, H, W, C) -> (N, classes).
        """
        array = self._checked(np.asarray(images))
        logits = np.empty((len(array), self._info.classes), dtype=np.float32)
        if len(array) == 0:
            self._check_open()
            return logits
        with self._context() as context:
            function = self._library.reactnet_run_u8 if array.dtype == np.uint8 else self._library.reactnet_run_f32
            context.call(function, _address(array), len(array), _address(logits))
        return logits

    def preprocess(self, image: Pixels) -> Pixels:
        """Resize and centre-crop a decoded image to the network's input, as the file says.

        Shape: uint8 (any height, any width, C) -> (H, W, C).
        """
        self._check_open()
        channels = self._shape[2]
        pixels = _pixels(image, "Session.preprocess")
        if pixels.shape[2] != channels:
            raise ReactnetError(
                f"Session.preprocess: an image of shape {pixels.shape}, the network takes {channels} channels",
                hint=f"decode it to {channels} channels: reactnet.images.load_image(path, {channels})",
            )
        out = np.empty(self._shape, dtype=np.uint8)
        error = _native.Error()
        status = self._library.reactnet_preprocess(
            self._model, _address(pixels), *pixels.shape[:2], _address(out), ctypes.byref(error)
        )
        _native.check(status, error)
        return out

    def values(self, image: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
        """Every node's value for one image (H, W, C), computed unfused: slow, for comparing.

        By node, flat, as the runtime holds it: float32 (H * W * C); for `sign` uint64 (H * W * words); for `quantize`
        uint8, H * W * C int8 elements and then the bytes of the float32 scale.
        """
        array = self._checked(np.asarray(image)[None])
        logits = np.empty((1, self._info.classes), dtype=np.float32)
        with self._borrowed(), _Context.lent(self._library, self._model, _native.KEEP_VALUES) as context:
            function = self._library.reactnet_run_u8 if array.dtype == np.uint8 else self._library.reactnet_run_f32
            context.call(function, _address(array), 1, _address(logits))
            return {node["name"]: context.value(node["name"], node["op"]) for node in self.metadata["nodes"]}

    def step_times(self, images: npt.NDArray[np.uint8], repeats: int = 1) -> npt.NDArray[np.float64]:
        """Wall seconds of each step of the plan, in each of `repeats` runs of the batch, in a context of their own.

        Shape: (N, H, W, C) -> (repeats, steps).
        """
        array = self._checked(np.asarray(images))
        logits = np.empty((len(array), self._info.classes), dtype=np.float32)
        seconds = np.empty((repeats, int(self._info.steps)), dtype=np.float64)
        if len(array) == 0:
            raise ReactnetError("Session.step_times: no images", hint="give at least one")
        with self._borrowed(), _Context.lent(self._library, self._model, _native.TIME_STEPS) as context:
            function = self._library.reactnet_run_u8 if array.dtype == np.uint8 else self._library.reactnet_run_f32
            for row in seconds:
                context.call(function, _address(array), len(array), _address(logits))
                context.step_times(row)
        return seconds

    def close(self) -> None:
        """Free the model; runs that are under way in other threads end first. Calling it twice is allowed."""
        with self._lock:
            self._closed = True
            self._free_if_unused()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_model"):
            self.close()

    def __repr__(self) -> str:
        return f"Session({self._name!r}, input_shape={self._shape}, classes={self.num_classes})"

    @contextmanager
    def _context(self) -> Iterator["_Context"]:
        with self._lock:
            self._check_open()
            self._running += 1
            context = self._idle.pop() if self._idle else None
        try:
            if context is None:
                context = _Context(self._library, self._model, 0)
            yield context
        finally:
            with self._lock:
                self._running -= 1
                if context is not None:
                    self._idle.append(context)
                if self._closed:
                    self._free_if_unused()

    @contextmanager
    def _borrowed(self) -> Iterator[None]:
        """The model is not freed inside, whoever closes the session."""
        with self._lock:
            self._check_open()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if self._closed:
                    self._free_if_unused()

    def _free_if_unused(self) -> None:
        """Under the lock: free what nobody runs; the last run to end frees the model."""
        while self._idle:
            self._idle.pop().free()
        if self._running == 0 and self._model:
            self._library.reactnet_model_free(self._model)
            self._model = ctypes.c_void_p()

    def _check_open(self) -> None:
        if self._closed:
            raise ReactnetError(f"Session: {self._name} is closed", hint="open a new Session")

    def _checked(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`images` as a contiguous array that the native side can read, or ReactnetError."""
        if images.dtype != np.uint8 and not (images.dtype == np.float32 and self.accepts_float):
            taken = "uint8, or float32 after normalisation" if self.accepts_float else "uint8"
            raise ReactnetError(
                f"Session.run: images of dtype {images.dtype}, expected {taken}",
                hint="give pixels of 0 to 255: images.astype(numpy.uint8)",
            )
        if images.ndim != 4 or images.shape[1:] != self._shape:
            expected = ", ".join(str(side) for side in self._shape)
            raise ReactnetError(
                f"Session.run: images of shape {images.shape}, expected (N, {expected})",
                hint=self._shape_hint(images.shape),
            )
        return np.ascontiguousarray(images)

    def _shape_hint(self, shape: tuple[int, ...]) -> str:
        height, width, channels = self._shape
        if shape == self._shape:
            return "give a batch, of one image if need be: images[None]"
        if len(shape) == 4 and shape[1:] == (channels, height, width):
            return "channels come last: images.transpose(0, 2, 3, 1)"
        return "bring each image to the input size with Session.preprocess, then numpy.stack them"


class _Context:
    """A native context: an arena, in which one run at a time takes place."""

    def __init__(self, library: ctypes.CDLL, model: ctypes.c_void_p, flags: int) -> None:
        self._library = library
        self._handle = ctypes.c_void_p()
        self._error = _native.Error()
        self._error_pointer = ctypes.byref(self._error)  # made once: a run of a small network takes microseconds
        status = library.reactnet_context_create(model, flags, ctypes.byref(self._handle), self._error_pointer)
        _native.check(status, self._error)

    def call(self, function: Any, images: int, count: int, logits: int) -> None:
        status = function(self._handle, images, count, logits, self._error_pointer)
        if status != _native.OK:
            _native.check(status, self._error)

    def value(self, node: str, op: str) -> npt.NDArray[Any]:
        size = ctypes.c_size_t()
        get = self._library.reactnet_context_value
        _native.check(get(self._handle, node.encode(), None, ctypes.byref(size), self._error_pointer), self._error)
        out = np.empty(size.value, dtype=np.uint8)
        status = get(self._handle, node.encode(), _address(out), ctypes.byref(size), self._error_pointer)
        _native.check(status, self._error)
        return out.view(_VALUE_DTYPES.get(op, np.float32))

    def step_times(self, out: npt.NDArray[np.float64]) -> None:
        """Fill `out`, one number a step, with the seconds of the last run."""
        count = ctypes.c_size_t(len(out))
        get = self._library.reactnet_context_step_times
        _native.check(get(self._handle, _address(out), ctypes.byref(count), self._error_pointer), self._error)

    @classmethod
    @contextmanager
    def lent(cls, library: ctypes.CDLL, model: ctypes.c_void_p, flags: int) -> Iterator["_Context"]:
        """A context of its own kind, freed at the end."""
        context = cls(library, model, flags)
        try:
            yield context
        finally:
            context.free()

    def free(self) -> None:
        self._library.reactnet_context_free(self._handle)


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Antialiased bilinear resize, equal to Pillow's to the bit.

    Shape: uint8 (any height, any width, C), C 1 to 4 -> (height, width, C).
    """
    pixels = _pixels(image, "resize")
    channels = pixels.shape[2]
    if not (1 <= channels <= 4 and 1 <= height <= 65_536 and 1 <= width <= 65_536):
        raise ReactnetError(
            f"resize: {channels} channels to {height}x{width}", hint="give 1 to 4 channels and sides of 1 to 65536"
        )
    out = np.empty((height, width, channels), dtype=np.uint8)
    error = _native.Error()
    status = _native.library().reactnet_resize(
        _address(pixels), *pixels.shape, height, width, _address(out), ctypes.byref(error)
    )
    _native.check(status, error)
    return out


def _pixels(image: Pixels, where: str) -> Pixels:
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.size == 0:
        raise ReactnetError(
            f"{where}: an image of dtype {array.dtype} and shape {array.shape}",
            hint="give uint8 pixels of shape (height, width, channels)",
        )
    return np.ascontiguousarray(array)


def _address(array: npt.NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]  # a third of the time of array.ctypes.data
    return address
