"""Image files and shards as a phase is fed with them: the same whatever works for it; unreadable images are counted."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.files import pixels, png, write_folders, write_shards
from reactnet.data import Augmentation, DataConfig, normalize
from reactnet.data.crop import centre_crop
from reactnet.data.mixing import mixing_of
from reactnet.data.workers import in_order
from reactnet.errors import ReactnetError
from reactnet.train.feed import FILES_A_JOB, Batch, Feed, open_feed

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
CONFIG = DataConfig("image_folder", "test", None, 16, 18, MEAN, STD)
SHARDS = replace(CONFIG, name="webdataset")
AUGMENT = Augmentation(random_resized_crop=(0.2, 1.0), random_flip=True, color_jitter=(0.4, 0.4, 0.4), lighting=0.1)
MIXED = replace(AUGMENT, mixup=0.4, cutmix=1.0, cutout=4)
COUNT = 45  # several jobs, no multiple of one


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    write_folders(root / "parts" / "train", COUNT)
    write_folders(root / "parts" / "val", 7, first=100)
    write_shards(root / "shards", 5, 9)
    write_shards(root / "shards", 1, 7, part="val", first=100)
    return root


def feed(root: Path, *, workers: int = 0, shards: bool = False) -> Feed:
    return open_feed(SHARDS if shards else CONFIG, root / ("shards" if shards else "parts"), workers=workers)


def epoch(feed: Feed, augment: Augmentation = AUGMENT, *, number: int = 1, **options: object) -> list[Batch]:
    return list(feed.batches(seed=5, epoch=number, batch_size=20, augment=augment, **options))


def equal(one: list[Batch], other: list[Batch]) -> bool:
    assert len(one) == len(other)
    return all(
        torch.equal(a.images, b.images)
        and torch.equal(a.labels, b.labels)
        and (a.other_labels is None) == (b.other_labels is None)
        and (a.other_labels is None or b.other_labels is None or torch.equal(a.other_labels, b.other_labels))
        and a.mix == b.mix
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("shards", [False, True], ids=["folders", "shards"])
@pytest.mark.parametrize("augment", [AUGMENT, MIXED], ids=["plain", "mixed"])
def test_the_number_of_workers_changes_nothing(root: Path, shards: bool, augment: Augmentation) -> None:
    alone = epoch(feed(root, shards=shards), augment)
    assert sum(len(batch.labels) for batch in alone) == COUNT
    for workers in (1, 2, 5):
        assert equal(epoch(feed(root, workers=workers, shards=shards), augment), alone)


@pytest.mark.parametrize("shards", [False, True], ids=["folders", "shards"])
@pytest.mark.parametrize("start", [1, 2])
def test_an_epoch_begun_at_a_step_goes_on_as_the_whole_one_does(root: Path, shards: bool, start: int) -> None:
    whole = epoch(feed(root, shards=shards), MIXED)
    assert equal(epoch(feed(root, shards=shards, workers=2), MIXED, start=start), whole[start:])


@pytest.mark.parametrize(("world", "shards"), [(2, False), (3, True), (4, False)])
@pytest.mark.parametrize("augment", [AUGMENT, MIXED], ids=["plain", "mixed"])
def test_the_pieces_of_several_processes_are_the_batches_of_one(
    root: Path, world: int, shards: bool, augment: Augmentation
) -> None:
    whole = epoch(feed(root, shards=shards), augment)
    pieces = [epoch(feed(root, shards=shards), augment, shard=(rank, world)) for rank in range(world)]
    joined = []
    for batches in zip(*pieces, strict=True):
        sizes = [len(batch.labels) for batch in batches]
        assert max(sizes) - min(sizes) <= 1
        others = [batch.other_labels for batch in batches if batch.other_labels is not None]
        other = torch.cat(others) if others else None
        images, labels = torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches])
        assert len({batch.mix for batch in batches}) == 1
        joined.append(Batch(images, labels, other, batches[0].mix))
    assert equal(joined, whole)


def test_images_to_measure_on_are_resized_and_cut_from_the_centre(root: Path) -> None:
    for shards in (False, True):
        opened = feed(root, shards=shards, workers=2)
        found = torch.cat([batch.images for batch in opened.evaluation_batches(3)])
        numbers = range(100, 107) if shards else sorted(range(100, 107), key=lambda n: n % 3)
        expected = np.stack([centre_crop(pixels(n), shorter=18, side=16) for n in numbers])
        assert torch.equal(found, normalize(expected, MEAN, STD))
        split = [list(opened.evaluation_batches(3, shard=(rank, 2))) for rank in range(2)]
        assert torch.equal(torch.cat([b.images for b in split[0]]), found[::2])
        assert torch.equal(torch.cat([b.images for b in split[1]]), found[1::2])
        assert torch.equal(opened.sample(2), found[[0, 6]])


def test_calibration_images_are_training_images_without_augmentation(root: Path) -> None:
    plain = {
        normalize(centre_crop(pixels(n), shorter=18, side=16)[None], MEAN, STD).numpy().tobytes() for n in range(COUNT)
    }
    batches = list(feed(root).calibration_batches(10, 4))
    assert [len(batch.labels) for batch in batches] == [4, 4, 2]
    assert {image.numpy().tobytes() for batch in batches for image in batch.images} < plain


def test_a_mixed_batch_is_the_plain_one_mixed_with_its_neighbours(root: Path) -> None:
    augment = replace(AUGMENT, mixup=0.4)
    plain, mixed = epoch(feed(root)), epoch(feed(root), augment)
    for step, (a, b) in enumerate(zip(plain, mixed, strict=True)):
        mixing = mixing_of(augment, (16, 16), seed=5, epoch=1, step=step, progress=0.0)
        assert mixing is not None
        assert b.mix == mixing.share
        assert b.other_labels is not None
        count = len(a.labels)
        partner = [(i ^ 1) if (i ^ 1) < count else i - 1 for i in range(count)]
        assert b.other_labels.tolist() == a.labels[partner].tolist()
        torch.testing.assert_close(b.images, mixing.share * a.images + (1 - mixing.share) * a.images[partner])


def test_mixing_and_cutout_end_with_until(root: Path) -> None:
    augment = replace(MIXED, until=0.9)
    assert not equal(epoch(feed(root), augment, progress=0.8), epoch(feed(root)))
    assert equal(epoch(feed(root), augment, progress=0.9), epoch(feed(root)))


def broken(tmp_path: Path, *numbers: int, content: bytes | None = None) -> Path:
    write_folders(tmp_path / "train", COUNT)
    write_folders(tmp_path / "val", 7, first=100)
    for number in numbers:
        path = next(tmp_path.rglob(f"{number:03}.png"))
        path.write_bytes(png(number)[:100] if content is None else content)
    return tmp_path


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_an_unreadable_image_stops_with_its_path(tmp_path: Path, content: bytes | None) -> None:
    root = broken(tmp_path, 4, content=content)
    for workers in (0, 2):
        with pytest.raises(ReactnetError, match=r"dog/004\.png: ") as caught:
            epoch(open_feed(CONFIG, root, workers=workers))
        assert "--on-bad-image skip" in caught.value.hint


@pytest.mark.parametrize("workers", [0, 3])
def test_a_skipped_image_is_counted_once_and_changes_no_other(tmp_path: Path, workers: int) -> None:
    before = [image for batch in epoch(open_feed(CONFIG, broken(tmp_path))) for image in batch.images]
    broken(tmp_path, 4, 7)
    found = open_feed(CONFIG, tmp_path, workers=workers, on_bad_image="skip")
    after = [image for batch in epoch(found) for image in batch.images]
    assert found.skipped == 2
    differing = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if not torch.equal(a, b)]
    assert len(differing) == 2
    for augment in (AUGMENT, MIXED):
        batches = epoch(found, augment, number=2)
        assert sum(batch.skipped for batch in batches) == 2  # each once an epoch, however often it is a partner
        pieces = [epoch(found, augment, number=2, shard=(rank, 2)) for rank in range(2)]
        assert [b.skipped for b in batches] == [a.skipped + b.skipped for a, b in zip(*pieces, strict=True)]
    assert found.skipped == 2


def test_a_substitute_comes_with_its_own_label_and_is_never_held_out(tmp_path: Path) -> None:
    root = broken(tmp_path)
    config = replace(CONFIG, evaluate_on="validation", validation_images=20)
    whole = open_feed(config, root)
    held_out = {path.name for path in whole.evaluation.paths}  # type: ignore[union-attr]
    chosen = [int(whole.train.paths[i].stem) for i in whole.members[:6]]  # type: ignore[union-attr]
    broken(tmp_path, *chosen)
    found = open_feed(config, root, on_bad_image="skip")
    seen: list[str] = []
    load = type(found.train).load

    def spied(self: object, index: int, channels: int) -> np.ndarray:
        seen.append(found.train.paths[index].name)  # type: ignore[union-attr]
        return load(self, index, channels)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(found.train), "load", spied)
        images = epoch(found)
    assert sum(len(batch.labels) for batch in images) == 25
    assert not held_out & set(seen)
    assert found.skipped == 6


def test_a_skipped_image_to_measure_on_is_left_out(tmp_path: Path) -> None:
    found = open_feed(CONFIG, broken(tmp_path, 101, 102), on_bad_image="skip")
    assert [(len(batch.labels), batch.skipped) for batch in found.evaluation_batches(4)] == [(3, 1), (2, 1)]
    assert sum(len(batch.labels) for batch in found.evaluation_batches(1)) == 5
    assert all(len(batch.labels) for batch in found.evaluation_batches(1))
    assert found.skipped == 2


def test_a_set_without_a_readable_image_is_an_error(tmp_path: Path) -> None:
    root = broken(tmp_path, *range(COUNT))
    with pytest.raises(ReactnetError, match="cannot be decoded"):
        epoch(open_feed(CONFIG, root, on_bad_image="skip"))


def test_validation_takes_as_many_images_as_asked_for(root: Path) -> None:
    for shards in (False, True):
        config = replace(SHARDS if shards else CONFIG, evaluate_on="validation", validation_images=8)
        found = open_feed(config, root / ("shards" if shards else "parts"))
        assert (len(found.members), len(found.evaluation)) == (COUNT - 8, 8)
        assert sorted(np.concatenate([found.train.labels[found.members], found.evaluation.labels])) == sorted(
            found.train.labels
        )
    with pytest.raises(ReactnetError, match="45 of 45"):
        open_feed(replace(CONFIG, evaluate_on="validation", validation_images=45), root / "parts")


def test_nothing_to_measure_on_is_an_error_with_the_cure(tmp_path: Path) -> None:
    write_folders(tmp_path, 6)
    with pytest.raises(ReactnetError, match="holds no images to measure on") as caught:
        open_feed(CONFIG, tmp_path)
    assert "validation" in caught.value.hint


def test_jobs_are_done_in_order_with_bounded_work_ahead() -> None:
    begun: list[int] = []
    gate = threading.Event()

    def job(number: int) -> int:
        gate.wait(5)
        begun.append(number)
        return number

    def jobs() -> object:
        for number in range(50):
            asked.append(number)
            yield number

    asked: list[int] = []
    found = in_order(job, jobs(), workers=3, ahead=7)  # type: ignore[arg-type]
    gate.set()
    for number in range(50):
        assert next(found) == number
        assert len(asked) <= number + 7
    assert next(found, None) is None


def test_workers_end_when_nobody_wants_more_and_when_a_job_fails(root: Path) -> None:
    def working() -> int:
        return sum(thread.name.startswith("reactnet-data") for thread in threading.enumerate())

    batches = feed(root, workers=3).batches(seed=0, epoch=0, batch_size=FILES_A_JOB, augment=AUGMENT)
    next(batches)
    assert working() > 0
    batches.close()  # type: ignore[attr-defined]
    assert working() == 0

    def fails(number: int) -> int:
        raise ReactnetError(f"job {number}", hint="none")

    with pytest.raises(ReactnetError, match="job 0"):
        list(in_order(fails, range(9), workers=2, ahead=4))
    assert working() == 0
