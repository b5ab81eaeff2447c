"""Paths that are no file, files of another kind, files that change while they are read: an error at once, or an answer.

Every reader of the package is tried: none may wait for a FIFO, read a device without end, or fail in its own words.
"""

import gzip
import io
import os
import pickle
import socket
import struct
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graph.test_file import DATA
from reactnet.errors import ReactnetError
from reactnet.graph import load
from reactnet.images import load_image
from reactnet.report.read import read_run
from reactnet.runtime import Session

SECONDS = 20.0  # far more than a refusal takes on a busy machine, far less than for ever


def open_session(path: Path) -> object:
    with Session(path) as session:
        return session.input_shape


def torch_reader(name: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        pytest.importorskip("torch")
        from reactnet.convert.read import read as read_foreign
        from reactnet.train import load_model, load_recipe

        return {"checkpoint": load_model, "recipe": load_recipe, "foreign checkpoint": read_foreign}[name](path)

    return read


READERS: dict[str, Callable[[Path], object]] = {
    "session": open_session,
    "graph": load,
    "image": lambda path: load_image(path, 3),
    "checkpoint": torch_reader("checkpoint"),
    "recipe": torch_reader("recipe"),
    "foreign checkpoint": torch_reader("foreign checkpoint"),
}


def no_file(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


PATHS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": no_file,
    "empty": Path.touch,
    "FIFO": os.mkfifo,
    "link to a FIFO": link_to_a_fifo,
    "link to itself": lambda path: path.symlink_to(path.name),
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "null device": lambda path: path.symlink_to("/dev/null"),
    "socket": a_socket,
    "below a file": lambda path: None,
}


def refused(read: Callable[[Path], object], path: Path) -> ReactnetError:
    """What the reader says; that it says it in time is part of it, so it runs on a thread that may be left behind."""
    found: list[BaseException | None] = []

    def work() -> None:
        try:
            read(path)
            found.append(None)
        except BaseException as error:  # whatever it is, it is looked at below
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert found, f"still reading after {SECONDS} s"
    if isinstance(found[0], pytest.skip.Exception):
        raise found[0]
    assert isinstance(found[0], ReactnetError), repr(found[0])
    return found[0]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", PATHS)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, reader: str, kind: str) -> None:
    path = tmp_path / "x.bin"
    PATHS[kind](path)
    if kind == "below a file":
        path.touch()
        path = path / "more"
    error = refused(READERS[reader], path)
    assert str(path) in error.problem
    assert error.hint


@pytest.mark.parametrize("kind", ["FIFO", "endless device", "folder"])
@pytest.mark.parametrize("file", ["recipe.toml", "run.json", "log.jsonl", "vitals.jsonl", "histograms/a.json"])
def test_a_run_folder_of_odd_files_is_reported_or_refused_at_once(tmp_path: Path, kind: str, file: str) -> None:
    (tmp_path / "histograms").mkdir()
    (tmp_path / "recipe.toml").write_text("[phases.a]\nepochs = 1\n")
    (tmp_path / file).unlink(missing_ok=True)
    PATHS[kind](tmp_path / file)
    refused(lambda path: read_run(path, "x"), tmp_path)


# Other kinds of file ------------------------------------------------------------------------------------------------


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model.rnet", DATA)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("model.rnet")
        entry.size = len(DATA)
        archive.addfile(entry, io.BytesIO(DATA))
    return out.getvalue()


def npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, a=np.zeros(3))
    return out.getvalue()


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (9, 9)).save(out, "PNG")
    return out.getvalue()


def foreign_safetensors() -> bytes:
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  '
    return struct.pack("<Q", len(header)) + header + bytes(4)


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "zip": zipped,
    "tar": tarred,
    "gzip": lambda: gzip.compress(DATA),
    "npz": npz,
    "pickle": lambda: pickle.dumps({"a": 1}),
    "PNG": png,
    "safetensors": foreign_safetensors,
    "a packed file in front of more": lambda: DATA + zipped(),
    "a packed file behind more": lambda: zipped() + DATA,
    "text": lambda: b"model = 1\x00\n",
    "HDF5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(100),
    "ELF": lambda: b"\x7fELF\x02\x01\x01" + bytes(100),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, reader: str, kind: str) -> None:
    if reader == "image" and kind == "PNG":
        pytest.skip("an image is an image")
    path = tmp_path / "x.bin"
    path.write_bytes(ARCHIVES[kind]())
    assert str(path) in refused(READERS[reader], path).problem


# Files that change ---------------------------------------------------------------------------------------------------


@contextmanager
def changing(path: Path, data: bytes, other: bytes) -> Iterator[None]:
    """Another thread writes over the file, cuts it and makes it longer, as fast as it can."""
    stop = threading.Event()

    def work() -> None:
        random = np.random.default_rng(0)
        with path.open("r+b") as file:
            while not stop.is_set():
                for content in (data, other, data[: int(random.integers(len(data)))], data + other):
                    file.seek(0)
                    file.write(content)
                    file.flush()
                    file.truncate(len(content))
        path.write_bytes(data)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("reader", ["session", "graph", "image"])
def test_a_file_that_changes_while_it_is_read_is_an_error_or_an_answer(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "x.bin"
    data = png() if reader == "image" else DATA
    path.write_bytes(data)
    refusals: list[ReactnetError] = []
    with changing(path, data, bytes(len(data) // 2)):
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            try:
                READERS[reader](path)
            except ReactnetError as error:
                refusals.append(error)
    assert refusals
    assert all(str(path) in error.problem for error in refusals)
    READERS[reader](path)
