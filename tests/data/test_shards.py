"""Shards give the images that were put in, in an order that mixes; a tar file that is not plain is refused."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from data.files import CLASSES, pixels, png, write_shard, write_shards
from reactnet.data import layout_of
from reactnet.data.shards import MIXED, ShardSet, expand_pattern, find_shards, load_shards, shard_classes
from reactnet.errors import ReactnetError


def opened(root: Path) -> ShardSet:
    return load_shards(find_shards(root)[0], shard_classes(root))


def test_images_and_labels_are_those_that_were_put_in(tmp_path: Path) -> None:
    write_shards(tmp_path, 3, 4)
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    shards = opened(tmp_path)
    assert (len(shards), shards.class_names) == (12, CLASSES)
    for number in range(12):
        np.testing.assert_array_equal(shards.load(number, 3), pixels(number))
        assert shards.labels[number] == number % 3
        assert shards.name(number) == f"{tmp_path / f'train-{number // 4:04}.tar'}: {number:05}"
    assert layout_of(tmp_path) == "webdataset"


def test_classes_without_names_are_numbers(tmp_path: Path) -> None:
    write_shards(tmp_path, 1, 4)
    assert opened(tmp_path).class_names == ("0", "1", "2")


def test_a_pattern_is_every_number_of_its_range_with_leading_zeros() -> None:
    assert [str(path) for path in expand_pattern("a-{008..011}.tar")] == [f"a-{k:03}.tar" for k in range(8, 12)]
    assert len(expand_pattern("{0..1}/{00..02}.tar")) == 6
    for pattern in ("{3..2}.tar", "{0..999999999}.tar"):
        with pytest.raises(ReactnetError, match="empty or huge"):
            expand_pattern(pattern)


@pytest.mark.parametrize("names", [("train/a.tar", "val/b.tar"), ("train-0.tar", "test-0.tar"), ("x.tar", None)])
def test_parts_are_told_by_folder_or_by_name(tmp_path: Path, names: tuple[str, str | None]) -> None:
    for name in names:
        if name is not None:
            write_shard(tmp_path / name, [])
    train, test = find_shards(tmp_path)
    assert train == [tmp_path / names[0]]
    assert test == ([] if names[1] is None else [tmp_path / names[1]])


def test_every_image_comes_once_an_epoch_in_an_order_of_its_own(tmp_path: Path) -> None:
    write_shards(tmp_path, 9, 3)
    shards = opened(tmp_path)
    members = np.delete(np.arange(27), [4, 17])
    order = shards.shuffled(members, seed=0, epoch=1)
    assert sorted(order.tolist()) == members.tolist()
    assert order.tolist() == shards.shuffled(members, seed=0, epoch=1).tolist()
    assert order.tolist() != shards.shuffled(members, seed=0, epoch=2).tolist()
    assert order.tolist() != shards.shuffled(members, seed=1, epoch=1).tolist()


def test_few_files_are_read_at_a_time_and_their_images_are_mixed(tmp_path: Path) -> None:
    write_shards(tmp_path, 3 * MIXED, 2)
    shards = opened(tmp_path)
    order = shards.shard_of[shards.shuffled(np.arange(len(shards)), seed=3, epoch=0)]
    groups = order.reshape(3, 2 * MIXED)
    assert all(len(set(group)) == MIXED for group in groups)
    assert not all((np.diff(group) == 0)[::2].all() for group in groups)
    first = {tuple(sorted(set(groups[0])))}
    for epoch in range(1, 6):
        order = shards.shard_of[shards.shuffled(np.arange(len(shards)), seed=3, epoch=epoch)]
        first.add(tuple(sorted(set(order[: 2 * MIXED]))))
    assert len(first) > 1  # other shards meet in another epoch


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([("a.png", b"x")], "a: no label"),
        ([("a.cls", b"1")], "a: a label and no image"),
        ([("a.png", b"x"), ("a.jpg", b"x"), ("a.cls", b"1")], "a stands there twice"),
        ([("a.png", b"x"), ("a.cls", b"1"), ("a.cls", b"2")], "a stands there twice"),
        ([("a.png", b"x"), ("a.cls", b"one")], "a.cls is no label"),
        ([("a.png", b"x"), ("a.cls", b"-1")], "a.cls is no label"),
        ([("a.png", b"x"), ("a.cls", b"9" * 400)], "a.cls is no label"),
        ([("a.png", b"x"), ("a.cls", b"3")], "a: label 3 of 3 classes"),
        ([], "no images in the shards"),
    ],
)
def test_samples_that_are_not_whole_are_named(tmp_path: Path, members: list[tuple[str, bytes]], problem: str) -> None:
    write_shard(tmp_path / "train.tar", members)
    with pytest.raises(ReactnetError, match=problem):
        load_shards([tmp_path / "train.tar"], CLASSES)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(ReactnetError, match=r"'a\.png' is no regular file"):
        load_shards([tmp_path / "a.tar"], CLASSES)


def test_a_name_that_climbs_out_is_a_key_and_no_path(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", [("../../up.png", png(1)), ("../../up.cls", b"1")])
    shards = load_shards([tmp_path / "a.tar"], CLASSES)
    np.testing.assert_array_equal(shards.load(0, 3), pixels(1))
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tar"]


def test_a_shard_that_was_cut_is_refused_wherever_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_shard(path, [("a.png", png(0)), ("a.cls", b"0"), ("b.png", png(1)), ("b.cls", b"1")])
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0"))
    for size in [0, 1, 511, 512, 1000, 1024, 1500, end // 2, end]:
        path.write_bytes(whole[:size])
        with pytest.raises(ReactnetError, match=r"a\.tar: "):
            load_shards([path], CLASSES)
    path.write_bytes(b"no tar file" * 500)
    with pytest.raises(ReactnetError, match=r"a\.tar: "):
        load_shards([path], CLASSES)


def test_a_compressed_or_missing_shard_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    for name in ("a.tar", "b.tar"):
        with pytest.raises(ReactnetError, match=name):
            load_shards([tmp_path / name], CLASSES)


def test_an_image_that_is_corrupt_is_named_by_shard_and_key(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", [("k/x.png", png(1)[:60]), ("k/x.cls", b"1")])
    with pytest.raises(ReactnetError, match=r"a\.tar: k/x: "):
        load_shards([tmp_path / "a.tar"], CLASSES).load(0, 3)
