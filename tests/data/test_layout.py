"""A folder is told by what is in it; a changed data set is seen by its hash."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.files import CLASSES, png, write_folders, write_shards
from reactnet.data import DataConfig, Images, fingerprint, layout_of, open_split, open_test
from reactnet.data.layout import class_folders, take
from reactnet.errors import ReactnetError
from reactnet.evaluate import open_dataset

CONFIG = DataConfig("image_folder", "test", None, 16, 18, (0.5,) * 3, (0.25,) * 3)


def test_folders_have_the_parts_that_stand_in_them(tmp_path: Path) -> None:
    write_folders(tmp_path / "parts" / "train", 9)
    write_folders(tmp_path / "parts" / "val", 3, first=9)
    write_folders(tmp_path / "plain", 6)
    parts, plain = (open_split(CONFIG, tmp_path / name) for name in ("parts", "plain"))
    assert (len(parts.train), len(parts.test or ())) == (9, 3)
    assert parts.train.class_names == CLASSES
    assert (len(plain.train), plain.test) == (6, None)
    assert parts.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert layout_of(tmp_path / "parts") == layout_of(tmp_path / "plain") == "image_folder"
    assert len(open_test(tmp_path / "parts", CLASSES)) == 3


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    for name in ("train", "bus"):
        (tmp_path / name).mkdir()
    assert class_folders(tmp_path) == (tmp_path, None)


def test_a_class_to_measure_on_that_is_not_trained_is_an_error_and_a_missing_one_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folders(tmp_path / "train", 9)
    write_folders(tmp_path / "val", 2)
    with caplog.at_level(logging.WARNING):
        open_split(CONFIG, tmp_path)
    assert "no images of 1 of 3 classes: emu" in caplog.text
    (tmp_path / "val" / "eel").mkdir()
    with pytest.raises(ReactnetError, match="'eel' is none of the 3 classes"):
        open_split(CONFIG, tmp_path)


def test_shards_judge_a_model_by_number_or_by_name(tmp_path: Path) -> None:
    write_shards(tmp_path, 1, 6, part="train")
    write_shards(tmp_path, 1, 3, part="val", first=6)
    by_number = open_dataset(tmp_path, ("x", "y", "z"))
    assert (len(by_number), by_number.class_names) == (3, ("x", "y", "z"))
    (tmp_path / "classes.txt").write_text("emu\ncat\ndog\n")
    by_name = open_dataset(tmp_path / "val-{0000..0000}.tar", ("cat", "dog", "emu"))
    assert by_name.labels.tolist() == [(label - 1) % 3 for label in by_number.labels]


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist", "image_folder", "webdataset"])
def test_a_folder_of_another_kind_or_none_is_an_error_that_says_what_is_needed(tmp_path: Path, name: str) -> None:
    files = name in ("image_folder", "webdataset")
    config = replace(CONFIG if files else DataConfig("cifar10", "test"), name=name)
    for root, problem in ((None, f"{name} needs a folder"), (tmp_path, str(tmp_path))):
        with pytest.raises(ReactnetError, match=problem) as caught:
            open_split(config, root)
        assert caught.value.hint


def sets(root: Path) -> list[Images]:
    write_folders(root / "folders", 6)
    write_shards(root / "shards", 2, 3)
    shards = replace(CONFIG, name="webdataset")
    return [open_split(CONFIG, root / "folders").train, open_split(shards, root / "shards").train]


def test_a_part_of_a_set_has_those_images_and_their_labels(tmp_path: Path) -> None:
    for images in sets(tmp_path):
        chosen = np.array([4, 1])
        part = take(images, chosen)
        assert len(part) == 2
        for place, index in enumerate(chosen):
            assert part.labels[place] == images.labels[index]
            np.testing.assert_array_equal(part.load(place, 3), images.load(index, 3))


def test_the_hash_sees_an_exchanged_an_added_and_a_renamed_file(tmp_path: Path) -> None:
    def found() -> str:
        return fingerprint(open_split(CONFIG, tmp_path).train)

    write_folders(tmp_path, 9)
    seen = {found()}
    assert found() in seen
    path = tmp_path / "cat" / "003.png"
    path.write_bytes(png(500))
    seen.add(found())
    path.rename(tmp_path / "cat" / "004.png")
    seen.add(found())
    (tmp_path / "dog" / "new.png").write_bytes(png(3))
    seen.add(found())
    (tmp_path / "dog" / "new.png").rename(tmp_path / "emu" / "new.png")
    seen.add(found())
    assert len(seen) == 5


def test_the_hash_depends_on_what_is_in_the_folder_and_not_on_where_it_is(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_folders(tmp_path / name, 6)
        write_shards(tmp_path / f"{name} shards", 2, 3)
    assert fingerprint(*[open_split(CONFIG, tmp_path / "a").train]) == fingerprint(
        *[open_split(CONFIG, tmp_path / "b").train]
    )
    config = replace(CONFIG, name="webdataset")
    hashes = {fingerprint(open_split(config, tmp_path / f"{name} shards").train) for name in ("a", "b")}
    write_shards(tmp_path / "b shards", 2, 3, first=1)
    assert len(hashes) == 1
    assert fingerprint(open_split(config, tmp_path / "b shards").train) not in hashes
