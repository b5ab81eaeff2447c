"""CIFAR from all four published layouts gives the same images; a pickle that is more than data is refused."""

import pickle
import pickletools
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reactnet.data import cifar, layout_of
from reactnet.data.plain_pickle import read_plain_pickle
from reactnet.errors import ReactnetError

IMAGES = 4  # a file
NAMES: list[Any] = ["cifar10", "cifar100"]


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        name: tuple(replace(layout, train_images=IMAGES, test_images=IMAGES) for layout in layouts)
        for name, layouts in cifar.LAYOUTS.items()
    }
    monkeypatch.setattr(cifar, "LAYOUTS", small)


def python_2_pickle(labels_key: bytes, labels: list[int], pixels: np.ndarray) -> bytes:
    """A file as Toronto published them: protocol 2, written word for word as Python 2 and its NumPy did."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    dtype = b"cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"K" + bytes([len(pixels)]) + b"M" + struct.pack("<H", pixels.shape[1]) + b"\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
    array += b"(K\x01" + shape + dtype + b"\x89" + text(pixels.tobytes()) + b"tb"
    numbers = b"]q\x08(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    body = text(b"batch_label") + text(b"training batch 1 of 5") + text(labels_key) + numbers + text(b"data") + array
    return b"\x80\x02}q\x01(" + body + b"u."


def write(folder: Path, layout: cifar.Layout, seed: int = 0) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Write every file of a layout; the same pixels and labels for the same seed, whatever the layout."""
    (folder / layout.folder).mkdir(parents=True)
    rng = np.random.default_rng(seed)
    written = {}
    for file in (*layout.train, *layout.test):
        pixels = rng.integers(0, 256, size=(IMAGES, cifar.PIXELS), dtype=np.uint8)
        labels = rng.integers(0, len(layout.class_names), size=IMAGES)
        if isinstance(layout.labels, bytes):
            data = python_2_pickle(layout.labels, labels.tolist(), pixels)
        else:
            coarse = [rng.integers(0, 20, size=(IMAGES, 1)) for _ in range(layout.labels - 1)]
            rng = np.random.default_rng(seed + len(written) + 1)
            data = np.concatenate([*coarse, labels[:, None], pixels], axis=1).astype(np.uint8).tobytes()
        rng = np.random.default_rng(seed + len(written) + 1)
        (folder / layout.folder / file).write_bytes(data)
        written[file.removesuffix(".bin")] = pixels, labels.tolist()
    return written


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", [0, 1], ids=["binary", "pickles"])
def test_records_become_images_and_the_layout_is_recognised(tmp_path: Path, name: Any, which: int) -> None:
    layout = cifar.LAYOUTS[name][which]
    written = write(tmp_path, layout)
    split = cifar.load_cifar(tmp_path, name)

    assert layout_of(tmp_path) == layout_of(tmp_path / layout.folder) == name
    assert len(split.train) == IMAGES * len(layout.train)
    assert len(split.test) == IMAGES
    assert split.train.class_names == layout.class_names
    pixels, labels = written[layout.train[-1].removesuffix(".bin")]
    assert split.train.labels[-IMAGES:].tolist() == labels
    for row, column, channel in [(0, 0, 0), (3, 17, 1), (31, 30, 2)]:
        assert split.train.images[-1, row, column, channel] == pixels[-1, 1024 * channel + 32 * row + column]
    np.testing.assert_allclose(split.std, (split.train.images / 255).std(axis=(0, 1, 2)), rtol=1e-12)
    again = cifar.load_cifar(tmp_path / layout.folder, name)
    np.testing.assert_array_equal(again.test.images, split.test.images)


@pytest.mark.parametrize("name", NAMES)
def test_both_layouts_of_the_same_images_are_equal(tmp_path: Path, name: Any) -> None:
    splits = []
    for layout in cifar.LAYOUTS[name]:
        root = tmp_path / f"with {layout.folder}"
        write(root, layout)
        splits.append(cifar.load_cifar(root, name))
    np.testing.assert_array_equal(splits[0].train.images, splits[1].train.images)
    np.testing.assert_array_equal(splits[0].train.labels, splits[1].train.labels)


def test_class_names_of_cifar100_are_a_hundred_in_order() -> None:
    assert len(cifar.CLASSES_100) == 100
    assert list(cifar.CLASSES_100) == sorted(set(cifar.CLASSES_100))


def test_damaged_binary_files_are_named(tmp_path: Path) -> None:
    write(tmp_path, cifar.LAYOUTS["cifar10"][0])
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    whole = path.read_bytes()
    for content, problem in ((whole[:-1], "12291 bytes, not 12292"), (b"\x0a" + whole[1:], "a label is 10")):
        path.write_bytes(content)
        with pytest.raises(ReactnetError, match=rf"data_batch_3\.bin: {problem}"):
            cifar.load_cifar(tmp_path, "cifar10")
    path.unlink()
    with pytest.raises(ReactnetError, match=r"data_batch_3\.bin: No such file"):
        cifar.load_cifar(tmp_path, "cifar10")


def test_a_pickle_with_other_images_or_labels_than_it_should_hold_is_named(tmp_path: Path) -> None:
    layout = cifar.LAYOUTS["cifar10"][1]
    write(tmp_path, layout)
    path = tmp_path / layout.folder / "data_batch_1"
    pixels = np.zeros((IMAGES, cifar.PIXELS), np.uint8)
    for data, problem in (
        (python_2_pickle(b"labels", [0] * (IMAGES - 1), pixels), "its labels are no list of 4"),
        (python_2_pickle(b"labels", [0, 1, 10, 2], pixels), "a label is 10"),
        (python_2_pickle(b"label", [0] * IMAGES, pixels), "its labels are no list"),
        (python_2_pickle(b"labels", [0] * IMAGES, pixels[:, 1:]), r"its images are \(4, 3071\)"),
        (pickle.dumps({b"data": b"", b"labels": []}), "its images are bytes"),
    ):
        path.write_bytes(data)
        with pytest.raises(ReactnetError, match=rf"data_batch_1: {problem}"):
            cifar.load_cifar(tmp_path, "cifar10")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_as_pickle_reads_them(tmp_path: Path, protocol: int) -> None:
    value = {"a": [1, -2, 300, 70_000, 2**40, True], b"b": ("x", (), (1, 2, 3, 4)), "c": {"d": b"\xff"}}
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    (tmp_path / "p").write_bytes(pickle.dumps({**value, "array": array}, protocol))
    found = read_plain_pickle(tmp_path / "p")
    np.testing.assert_array_equal(found.pop("array"), array)
    assert found == value


class _Runs:
    """Pickled, it makes a file by calling a function: what a hostile file does to a plain `pickle.load`."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


HOSTILE = {
    "os.system": b"\x80\x02}U\x01acos\nsystem\nU\x04true\x85Rs.",
    "eval": b"c__builtin__\neval\n(S'1'\ntR.",
    "an instance": b"(i__main__\nX\n.",
    "an object": b"\x80\x02}U\x01ac__builtin__\nobject\n)\x81s.",
    "an extension": b"\x80\x02}U\x01a\x82\x01s.",
    "a persistent id": b"\x80\x02}U\x01aU\x01bQs.",
    "a dtype of objects": b"\x80\x02}U\x01acnumpy\ndtype\nU\x01O\x85Rs.",
    "another codec": b"\x80\x02}U\x01ac_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86Rs.",
    "state for a dictionary": b"\x80\x02}U\x01a}(K\x01tbs.",
    "no dictionary": b"\x80\x02]q\x01.",
    "a name alone": b"\x80\x02}U\x01acnumpy\nndarray\ns.",
    "an unknown place in the memo": b"\x80\x02j\xff\xff\xff\x7f.",
    "no mark": b"\x80\x02]e.",
    "nothing on the stack": b"\x80\x02.",
    "no end": b"\x80\x02}",
    "no bytes": b"",
    "a length beyond the file": b"\x80\x02T\xff\xff\xff\x7fabc.",
    "an array larger than its bytes": b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    b"K\x00\x85U\x01b\x87R(K\x01J\xff\xff\xff\x7f\x85cnumpy\ndtype\nU\x02u1\x85R\x89U\x01xtbs.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "data_batch_1").write_bytes(HOSTILE[name])
    with pytest.raises(ReactnetError, match="data_batch_1: "):
        read_plain_pickle(tmp_path / "data_batch_1")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_that_a_pickle_asks_for_is_done(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    data = pickle.dumps({"data": _Runs(mark)}, protocol)
    pickle.loads(data)
    assert mark.exists()  # so this pickle does bite
    mark.unlink()
    (tmp_path / "p").write_bytes(data)
    with pytest.raises(ReactnetError):
        read_plain_pickle(tmp_path / "p")
    assert not mark.exists()


def test_every_cut_of_a_pickle_is_an_error(tmp_path: Path) -> None:
    whole = pickletools.optimize(pickle.dumps({"a": [1, 2], "b": np.zeros(3, np.uint8)}, 2))
    for end in range(len(whole)):
        (tmp_path / "p").write_bytes(whole[:end])
        with pytest.raises(ReactnetError):
            read_plain_pickle(tmp_path / "p")
