"""Batches depend on seed, epoch and sample index alone, and each image comes once an epoch."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reactnet.data.config import Augmentation
from reactnet.errors import ReactnetError
from reactnet.train.feed import Batch, Feed, open_feed
from reactnet.train.recipe import parse_recipe
from train.small_run import TEXT, images

RECIPE = parse_recipe(TEXT, source="small.toml")
CONFIG, AUGMENT = RECIPE.data, RECIPE.phases["student"].augment
COUNT = 23  # no multiple of a batch


def feed() -> Feed:
    """Every label is its image's index, so that a batch says which images are in it."""
    numbered = images(0, COUNT)
    numbered = replace(numbered, labels=np.arange(COUNT), class_names=tuple(map(str, range(COUNT))))
    return Feed(CONFIG, numbered, np.arange(COUNT), images(1, 10), (0.4,), (0.3,))


def epoch(number: int, *, seed: int = 0, batch_size: int = 5, start: int = 0) -> list[Batch]:
    return list(feed().batches(seed=seed, epoch=number, batch_size=batch_size, augment=AUGMENT, start=start))


def order(batches: list[Batch]) -> list[int]:
    return torch.cat([batch.labels for batch in batches]).tolist()


@pytest.mark.parametrize("batch_size", [1, 5, 11, 22, 23, 100])
def test_each_image_comes_once_and_batches_are_equal_to_within_one(batch_size: int) -> None:
    batches = epoch(0, batch_size=batch_size)
    sizes = [len(batch.labels) for batch in batches]
    assert sorted(order(batches)) == list(range(COUNT))
    assert len(sizes) == feed().steps_per_epoch(batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_order_differs_between_epochs_and_seeds_and_not_between_calls() -> None:
    assert order(epoch(0)) == order(epoch(0))
    assert order(epoch(0)) != order(epoch(1))
    assert order(epoch(0)) != order(epoch(0, seed=1))


def test_an_image_is_augmented_alike_whatever_batch_it_falls_in() -> None:
    one, other = epoch(3, batch_size=4), epoch(3, batch_size=9)
    assert order(one) == order(other)
    assert torch.equal(torch.cat([b.images for b in one]), torch.cat([b.images for b in other]))
    again = epoch(4, batch_size=4)
    before = dict(zip(order(one), torch.cat([b.images for b in one]), strict=True))
    after = dict(zip(order(again), torch.cat([b.images for b in again]), strict=True))
    assert any(not torch.equal(before[i], after[i]) for i in before)


@pytest.mark.parametrize(("probability", "least", "most"), [(0.0, 0, 0), (0.5, 60, 120), (1.0, 140, 180)])
def test_so_many_images_are_shifted_as_the_probability_says(probability: float, least: int, most: int) -> None:
    # Of 180 images, 8 in 9 of those chosen land elsewhere than where they were.
    many = images(2, 180)
    augment = replace(AUGMENT, random_flip=False, random_shift_probability=probability)
    numbered = replace(many, labels=np.arange(180), class_names=tuple(map(str, range(180))))
    feed = Feed(CONFIG, numbered, np.arange(180), many, (0.0,), (1.0,))
    batches = list(feed.batches(seed=0, epoch=0, batch_size=50, augment=augment))
    found = torch.cat([batch.images for batch in batches])[np.argsort(order(batches))]
    plain = torch.cat([batch.images for batch in feed.evaluation_batches(50)])
    assert least <= int((found != plain).any(dim=3).any(dim=2).sum()) <= most


@pytest.mark.parametrize("start", range(6))
def test_an_epoch_begun_at_a_step_goes_on_as_the_whole_one_does(start: int) -> None:
    for found, expected in zip(epoch(2, start=start), epoch(2)[start:], strict=True):
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.labels, expected.labels)


def test_images_to_measure_on_come_once_in_order_and_plain() -> None:
    batches = list(feed().evaluation_batches(4))
    assert [len(batch.labels) for batch in batches] == [4, 4, 2]
    plain = (torch.from_numpy(images(1, 10).images).permute(0, 3, 1, 2) / 255 - 0.4) / 0.3
    torch.testing.assert_close(torch.cat([batch.images for batch in batches]), plain)


def test_validation_takes_its_images_from_the_training_part_and_trains_on_the_rest() -> None:
    pytest.importorskip("sklearn")
    test, validation = (open_feed(replace(CONFIG, evaluate_on=part), None) for part in ("test", "validation"))
    assert (len(test.members), len(test.evaluation)) == (1437, 360)
    assert (len(validation.members), len(validation.evaluation)) == (1437 - 287, 287)
    held_out = np.setdiff1d(np.arange(1437), validation.members)
    np.testing.assert_array_equal(validation.train.images[held_out], validation.evaluation.images)
    np.testing.assert_array_equal(validation.train.labels[held_out], validation.evaluation.labels)


def test_a_folder_that_would_be_ignored_and_one_that_is_missing_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match="not from"):
        open_feed(CONFIG, tmp_path)
    with pytest.raises(ReactnetError, match="cifar10 needs a folder"):
        open_feed(replace(CONFIG, name="cifar10"), None)


def test_validation_holds_out_as_many_images_as_asked_and_trains_on_the_others() -> None:
    pytest.importorskip("sklearn")
    config = replace(CONFIG, name="digits", evaluate_on="validation", validation_images=100)
    held = open_feed(config, None)
    assert len(held.evaluation) == 100
    assert len(held.members) == len(held.train) - 100
    with pytest.raises(ReactnetError, match="validation_images is 1437 of 1437"):
        open_feed(replace(config, validation_images=1437), None)


def test_every_key_of_an_augmentation_changes_the_batches() -> None:
    """What a phase asks for is done: none of it is left out in silence, also for images in memory."""
    plain = Augmentation(random_shift=2, random_shift_probability=0.5, lighting=9.0, mixup=0.4)
    changed: dict[str, object] = {
        "random_resized_crop": (0.3, 0.9),
        "random_shift": 0,
        "random_shift_probability": 1.0,
        "random_shift_fill": "reflect",
        "random_crop": 4,
        "random_flip": True,
        "rand_augment": (2, 15),
        "color_jitter": (0.4, 0.4, 0.4),
        "lighting": 0.0,
        "lighting_as_released": True,
        "cutout": 4,
        "mixup": 0.0,
        "cutmix": 1.0,
        "until": 0.0,
    }
    assert set(changed) == {item.name for item in fields(Augmentation)}

    def seen(augment: Augmentation) -> torch.Tensor:
        return torch.cat([b.images for b in feed().batches(seed=0, epoch=0, batch_size=5, augment=augment)])

    before = seen(plain)
    for key, value in changed.items():
        assert not torch.equal(before, seen(replace(plain, **{key: value}))), key  # type: ignore[arg-type]
