"""Data sets: sizes, splits and statistics; what is wrong with a folder is said with its name."""

import logging
import sys

import numpy as np
import pytest
from PIL import Image

from reactnet.data import load_digits_split, load_image_folder
from reactnet.errors import ReactnetError

CLASSES = ("cat", "dog", "emu")


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return load_digits_split()


def _write_image(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((5, 4, 3), value, dtype=np.uint8)).save(path)


def test_digits_are_split_once_and_for_all(digits):
    again = load_digits_split()

    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert digits.train.images.shape == (1437, 8, 8, 1)
    assert np.bincount(digits.test.labels).tolist() == [36] * 10
    assert digits.train.class_names == tuple("0123456789")
    np.testing.assert_array_equal(again.test.images, digits.test.images)
    assert digits.test.labels[:12].tolist() != sorted(digits.test.labels[:12].tolist())


def test_digits_parts_are_the_whole_source(digits):
    from sklearn.datasets import load_digits

    source = load_digits()
    both = np.concatenate([digits.train.images, digits.test.images]).reshape(1797, 64)
    levels = np.array([round(v * 255 / 16) for v in range(17)], dtype=np.uint8)

    expected = levels[source.data.astype(int)]
    np.testing.assert_array_equal(both[np.lexsort(both.T)], expected[np.lexsort(expected.T)])
    label_of = {row.tobytes(): label for row, label in zip(expected, source.target, strict=True)}
    assert [label_of[row.tobytes()] for row in digits.test.images.reshape(360, 64)] == digits.test.labels.tolist()


def test_statistics_are_those_of_the_training_part(digits):
    pixels = digits.train.images / 255

    np.testing.assert_allclose(digits.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(digits.std, pixels.std(axis=(0, 1, 2)), rtol=1e-12)


def test_missing_scikit_learn_is_an_error_with_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)

    with pytest.raises(ReactnetError, match="scikit-learn") as error:
        load_digits_split()
    assert error.value.hint.startswith("pip install")


def test_folders_are_matched_to_classes_by_name(tmp_path, caplog):
    for name in ("emu", "cat"):
        _write_image(tmp_path / name / "1.png", value=CLASSES.index(name))
    _write_image(tmp_path / "emu" / "2.png", value=2)
    (tmp_path / ".cache").mkdir()

    with caplog.at_level(logging.WARNING):
        found = load_image_folder(tmp_path, CLASSES)

    assert [path.parent.name for path in found.paths] == ["cat", "emu", "emu"]
    assert found.labels.tolist() == [0, 2, 2]
    assert [int(found.load(i, 3)[0, 0, 0]) for i in range(3)] == [0, 2, 2]
    assert found.load(0, 3).shape == (5, 4, 3)
    assert "no images of 1 of 3 classes: dog" in caplog.text


def test_an_unknown_folder_is_an_error_with_a_suggestion(tmp_path):
    _write_image(tmp_path / "cats" / "1.png")

    with pytest.raises(ReactnetError, match="folder 'cats' is none of the 3 classes") as error:
        load_image_folder(tmp_path, CLASSES)
    assert error.value.hint == "did you mean 'cat'?"

    (tmp_path / "cats").rename(tmp_path / "zebra")
    with pytest.raises(ReactnetError) as error:
        load_image_folder(tmp_path, CLASSES)
    assert error.value.hint.endswith("cat, dog, emu")


def test_folders_without_images_are_an_error(tmp_path):
    with pytest.raises(ReactnetError, match="no images in class folders"):
        load_image_folder(tmp_path, CLASSES)
    (tmp_path / "cat").mkdir()
    _write_image(tmp_path / "1.png")  # beside the class folders, not in one
    with pytest.raises(ReactnetError, match="no images in class folders"):
        load_image_folder(tmp_path, CLASSES)
    with pytest.raises(ReactnetError, match="no such folder"):
        load_image_folder(tmp_path / "cat" / "none", CLASSES)


def test_a_corrupt_image_is_reported_with_its_path(tmp_path):
    _write_image(tmp_path / "cat" / "1.png")
    path = tmp_path / "cat" / "1.png"
    path.write_bytes(path.read_bytes()[:40])

    found = load_image_folder(tmp_path, CLASSES)

    with pytest.raises(ReactnetError, match=r"cat/1\.png"):
        found.load(0, 3)
