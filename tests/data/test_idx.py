"""MNIST's files, plain and gzipped, in both places; a header that does not account for every byte is refused."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reactnet.data import layout_of
from reactnet.data.idx import CLASSES, load_idx, read_idx
from reactnet.errors import ReactnetError

RNG = np.random.default_rng(0)
PARTS = {
    "train": (RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8), (np.arange(20) % 10).astype(np.uint8)),
    "t10k": (RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8), np.array([9, 8, 7, 6, 5], np.uint8)),
}


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder: Path, *, zipped: bool) -> None:
    folder.mkdir(parents=True)
    for part, (images, labels) in PARTS.items():
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("name", "inside"), [("mnist", "MNIST/raw"), ("fashion_mnist", "FashionMNIST/raw")])
def test_images_and_labels_are_those_of_the_files(tmp_path: Path, name: Any, inside: str, zipped: bool) -> None:
    write(tmp_path / inside, zipped=zipped)
    for root in (tmp_path, tmp_path / inside):
        split = load_idx(root, name)
        np.testing.assert_array_equal(split.train.images[..., 0], PARTS["train"][0])
        assert split.test.labels.tolist() == PARTS["t10k"][1].tolist()
        assert split.train.class_names == CLASSES[name]
        assert layout_of(root) == name


def test_bare_files_are_clothes_for_a_model_of_clothes(tmp_path: Path) -> None:
    write(tmp_path / "data", zipped=False)
    assert layout_of(tmp_path / "data") == "mnist"
    assert layout_of(tmp_path / "data", CLASSES["fashion_mnist"]) == "fashion_mnist"


@pytest.mark.parametrize("zipped", [False, True])
def test_every_cut_and_every_addition_is_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / ("a.gz" if zipped else "a")
    whole = idx(np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
    files = [whole[:end] for end in range(len(whole))] + [whole + b"\0"]
    for content in files:
        path.write_bytes(gzip.compress(content) if zipped else content)
        with pytest.raises(ReactnetError, match=str(path)):
            read_idx(path, 3)
    path.write_bytes(gzip.compress(whole) if zipped else whole)
    assert read_idx(path, 3).shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\0\0\x08\x01" + struct.pack(">I", 3) + b"abc", "no idx file of bytes in 3"),
        (b"\0\0\x0d\x03" + struct.pack(">3I", 1, 1, 1) + b"a", "no idx file of bytes in 3"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1), "its header says"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 0, 28, 28), "its header says"),
    ],
)
def test_a_hostile_header_is_refused_before_anything_is_allocated(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ReactnetError, match=problem):
        read_idx(tmp_path / "a", 3)


def test_a_gzip_file_that_is_none_or_is_broken_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(idx(np.zeros((1, 2, 2), np.uint8)))
    for content in (b"plain", whole[:-9], whole[:12] + b"\xff\xff\xff" + whole[15:]):
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(ReactnetError, match=r"a\.gz: "):
            read_idx(tmp_path / "a.gz", 3)


def test_labels_that_do_not_fit_are_named(tmp_path: Path) -> None:
    write(tmp_path / "raw", zipped=False)
    labels = tmp_path / "raw" / "train-labels-idx1-ubyte"
    for array, problem in ((np.full(20, 10, np.uint8), "a label is 10"), (np.zeros(19, np.uint8), "19 labels for 20")):
        labels.write_bytes(idx(array))
        with pytest.raises(ReactnetError, match=problem):
            load_idx(tmp_path, "mnist")
    labels.unlink()
    with pytest.raises(ReactnetError, match=r"nor train-labels-idx1-ubyte\.gz"):
        load_idx(tmp_path, "mnist")
