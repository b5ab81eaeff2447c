"""Runs on image files: skipped images are counted in log and card, resume is exact, other images are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.files import png, write_folders
from reactnet.errors import ReactnetError
from reactnet.train import Interrupted, Recipe, load_model, train
from reactnet.train.feed import Feed
from reactnet.train.recipe import parse_recipe
from train.test_run import KilledError as Killed
from train.test_run import at_step, checkpoints, kill, log, terminate

TEXT = """
model = "reactnet20_cifar"
seed = 3
threads = 1
[data]
name = "image_folder"
evaluate_on = "test"
image_size = 16
evaluate_resize = 18
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
[phases.binary]
binarize = ["activations", "weights"]
carry = "nothing"
teacher = "none"
loss = "cross_entropy"
epochs = 2
batch_size = 8
optimizer = "adam"
betas = [0.9, 0.999]
learning_rate = 0.002
schedule = "linear_step"
weight_decay = 0.0
weight_decay_on = []
[phases.binary.augment]
random_resized_crop = [0.3, 1.0]
random_flip = true
rand_augment = [1, 9]
mixup = 0.2
cutmix = 1.0
until = 0.9
"""
BAD = (4, 7, 101)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_folders(tmp_path / "images" / "train", 20)
    write_folders(tmp_path / "images" / "val", 6, first=100)
    for number in BAD:
        path = next((tmp_path / "images").rglob(f"{number:03}.png"))
        path.write_bytes(png(number)[:100])
    return tmp_path / "images"


def recipe() -> Recipe:
    return parse_recipe(TEXT, source="files.toml")


def skipping(out: Path, images: Path, **options: Any) -> Path:
    return train(recipe(), out, data_root=images, on_bad_image="skip", **options)


def test_an_unreadable_image_stops_the_run_with_its_path_and_skip_counts_it(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match=r"/(004|007|101)\.png: corrupt") as caught:
        train(recipe(), tmp_path / "run", data_root=images)
    assert "--on-bad-image skip" in caught.value.hint
    folder = skipping(tmp_path / "run", images)
    assert [(line["skipped"], line["test_skipped"]) for line in log(folder)] == [(2, 1), (2, 1)]
    said = "2 of 20 training images, 1 of 6 test images"
    assert load_model(folder).reactnet.provenance["skipped_images"] == said
    assert json.loads((folder / "run.json").read_text())["skipped_images"] == said


def test_resumed_in_mid_epoch_and_with_other_workers_a_run_ends_with_the_same_bits(
    images: Path, tmp_path: Path
) -> None:
    whole = skipping(tmp_path / "whole", images)
    with pytest.raises(Interrupted):
        skipping(tmp_path / "stopped", images, progress=at_step(2, terminate), workers=2)
    resumed = skipping(tmp_path / "stopped", images, workers=1)
    assert checkpoints(whole) == checkpoints(resumed)
    assert log(whole) == log(resumed)


def test_each_epoch_knows_its_share_of_the_phase(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `until` ends cutout and mixing by it; another phase begins anew.
    shares, batches = [], Feed.batches

    def noted(self: Feed, **options: Any) -> Any:
        shares.append(options["progress"])
        return batches(self, **options)

    monkeypatch.setattr(Feed, "batches", noted)
    text = TEXT + TEXT[TEXT.index("[phases") :].replace("phases.binary", "phases.again").replace(
        "epochs = 2", "epochs = 4"
    )
    train(parse_recipe(text, source="two.toml"), tmp_path / "run", data_root=images, on_bad_image="skip")
    assert shares == [0, 0.5, 0, 0.25, 0.5, 0.75]


def test_a_run_is_not_resumed_on_other_images(images: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        skipping(tmp_path / "run", images, progress=at_step(4, kill))
    hash_before = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["hash"]
    (images / "train" / "cat" / "new.png").write_bytes(png(3))
    with pytest.raises(ReactnetError, match="began with other images: train_images 20 before, 21 now") as caught:
        skipping(tmp_path / "run", images)
    assert f"hash {hash_before[:12]} before, " in caught.value.problem
    (images / "train" / "cat" / "new.png").unlink()
    folder = skipping(tmp_path / "run", images)
    assert load_model(folder).reactnet.provenance["data"] == f"image_folder, 20 training images, sha256 {hash_before}"
