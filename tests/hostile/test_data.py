"""Data sets of strangers against hypothesis: CIFAR pickles, idx files, tar shards. Images, or an error, and no code."""

import gzip
import io
import os
import pickle
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactnet.errors import ReactnetError

pytest.importorskip("torch")

from reactnet.data.idx import read_idx
from reactnet.data.plain_pickle import read_plain_pickle
from reactnet.data.shards import load_shards, shard_classes


def cifar() -> bytes:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 6)
    return pickle.dumps({"data": pixels, "labels": [3, 4], "filenames": ["a.png", "b.png"]}, protocol=2)


def idx() -> bytes:
    return bytes((0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3)) + bytes(range(6))


def shard() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (
            ("a.jpg", b"\xff\xd8"),
            ("a.cls", b"1"),
            ("d/\u00e9.png", b"x" * 600),
            ("d/\u00e9.cls", b"0"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


READERS: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "pickle": (cifar(), read_plain_pickle),
    "idx": (idx(), lambda path: read_idx(path, 2)),
    "idx.gz": (gzip.compress(idx()), lambda path: read_idx(path, 2)),
    "tar": (shard(), lambda path: load_shards([path], None)),
}


def refusal(kind: str, path: Path, data: bytes) -> ReactnetError | None:
    path = path.with_suffix(f".{kind}")
    path.write_bytes(data)
    try:
        READERS[kind][1](path)
    except ReactnetError as error:
        return error
    return None


@pytest.mark.parametrize("kind", READERS)
def test_the_seed_is_read(tmp_path: Path, kind: str) -> None:
    assert refusal(kind, tmp_path / "x", READERS[kind][0]) is None


@pytest.mark.parametrize("kind", READERS)
def test_every_truncation_is_refused(tmp_path: Path, kind: str) -> None:
    data = READERS[kind][0]
    for size in range(0, len(data) - (9000 if kind == "tar" else 0), 13 if kind == "tar" else 1):
        error = refusal(kind, tmp_path / "x", data[:size])
        assert error is not None, size
        assert error.problem.startswith(str(tmp_path))


EDITS = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=4)


@given(kind=st.sampled_from(sorted(READERS)), edits=EDITS)
def test_odd_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, edits: list[tuple[int, int, bytes]]
) -> None:
    data = READERS[kind][0]
    for place, gone, more in edits:
        place %= len(data)
        data = data[:place] + more + data[place + gone :]
    error = refusal(kind, tmp_path_factory.getbasetemp() / "odd", data)
    assert error is None or error.hint


WORDS = [b"(", b"]", b"}", b")", b"q\0", b"h\0", b"0", b"2", b"t", b"\x85", b"\x86", b"a", b"e", b"s", b"u", b"R", b"b"]
WORDS += [
    b"cnumpy\nndarray\n",
    b"cnumpy\ndtype\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"c_codecs\nencode\n",
    b".",
]
WORDS += [
    b"K\1",
    b"U\2u1",
    b"X\2\0\0\0u1",
    b"N",
    b"\x88",
    b"\x93",
    b"\x94",
    b"cos\nsystem\n",
    b"Q",
    b"L9999L\n",
    b"I01\n",
]


@given(words=st.lists(st.sampled_from(WORDS), max_size=30))
def test_any_program_of_a_pickles_words_is_data_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, words: list[bytes]
) -> None:
    error = refusal("pickle", tmp_path_factory.getbasetemp() / "words", b"\x80\x02" + b"".join(words) + b".")
    assert error is None or error.hint


@pytest.mark.parametrize("end", [b"R.", b"\x93.", b"b.", b"s."])
def test_a_tuple_of_tuples_of_one_tuple_is_neither_hashed_nor_printed(tmp_path: Path, end: bytes) -> None:
    """Sixty words that stand for 2^60 values: to hash or print them takes for ever."""
    doubled = b")" + b"2\x86" * 60
    program = b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n" + doubled + end
    if end == b"\x93.":
        program = b"\x80\x04" + doubled + b"X\1\0\0\0a" + end
    if end == b"b.":
        program = b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\ntR(K\1" + doubled + b"NNNt" + end
    if end == b"s.":
        program = b"\x80\x04}" + doubled + b"N" + end
    begin = time.monotonic()
    assert refusal("pickle", tmp_path / "x", program) is not None
    assert time.monotonic() - begin < 20


class Marker:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_code_in_a_data_sets_pickle_is_not_run(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps({"data": Marker(tmp_path / "trace")}, protocol=protocol)
    assert refusal("pickle", tmp_path / "x", data) is not None
    assert not (tmp_path / "trace").exists()


def test_a_label_of_a_billion_names_no_billion_classes(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in (("a.jpg", b"x"), ("a.cls", b"999999999")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    error = refusal("tar", tmp_path / "x", out.getvalue())
    assert error is not None
    assert "999999999" in error.problem


@pytest.mark.parametrize("kind", ["pickle", "tar"])
def test_a_fifo_among_the_data_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    os.mkfifo(path)
    with pytest.raises(ReactnetError, match="not a regular file"):
        READERS[kind][1](path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_what_is_no_file_in_a_shard_is_refused(tmp_path: Path, kind: bytes) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("../../a.jpg")
        entry.type, entry.linkname = kind, "/etc/passwd"
        tar.addfile(entry)
    error = refusal("tar", tmp_path / "x", out.getvalue())
    assert error is not None
    assert "no regular file" in error.problem


def test_names_of_classes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ReactnetError, match="UTF-8"):
        shard_classes(tmp_path)
