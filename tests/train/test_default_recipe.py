"""The recipe that a folder of images gets: whole, for what is in the folder, and the same when it is read again."""

import logging
from pathlib import Path

import numpy as np
import pytest

from data.files import write_folders, write_shards
from data.test_idx import idx
from reactnet.errors import ReactnetError
from reactnet.train import default_recipe, dump_recipe
from reactnet.train.recipe import parse_recipe


def write_mnist(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(np.zeros((count, 28, 28), np.uint8)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((np.arange(count) % 10).astype(np.uint8)))


@pytest.mark.parametrize("parts", [True, False])
def test_a_folder_of_images_without_a_part_to_measure_on_holds_some_out(tmp_path: Path, parts: bool) -> None:
    write_folders(tmp_path / "train" if parts else tmp_path, 9)
    if parts:
        write_folders(tmp_path / "val", 3)
    recipe = default_recipe("reactnet_a", tmp_path)
    assert recipe.data.evaluate_on == ("test" if parts else "validation")
    assert (recipe.data.name, recipe.data.image_size, recipe.data.evaluate_resize) == ("image_folder", 224, 256)
    assert all(phase.augment.random_resized_crop == (0.25, 1.0) for phase in recipe.phases.values())
    assert parse_recipe(dump_recipe(recipe), source="again") == recipe


def test_shards_and_published_files_are_recognised(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", 1, 6)
    write_mnist(tmp_path / "MNIST" / "raw", 600)
    assert default_recipe("reactnet18", tmp_path / "shards").data.name == "webdataset"
    mnist = default_recipe("reactnet_digits", tmp_path)
    assert (mnist.data.name, mnist.data.image_size) == ("mnist", None)
    assert mnist.phases["binary_weights"].batch_size == 32  # of 600 images; 16 of fewer than 500
    assert not mnist.phases["binary_weights"].augment.random_flip


def test_the_digits_need_no_folder_and_other_models_do() -> None:
    pytest.importorskip("sklearn")
    assert default_recipe("reactnet_digits", None).data.name == "digits"
    with pytest.raises(ReactnetError, match="no folder of images"):
        default_recipe("reactnet_a", None)


def test_a_teacher_that_is_asked_for_takes_the_place_of_the_twin(tmp_path: Path) -> None:
    write_folders(tmp_path, 9)
    taught = default_recipe("reactnet18", tmp_path, teacher="torchvision/resnet34")
    assert list(taught.phases) == ["binary_activations", "binary_weights"]
    assert {phase.teacher for phase in taught.phases.values()} == {"torchvision/resnet34"}
    alone = default_recipe("reactnet18", tmp_path, teacher="none")
    assert {phase.loss for phase in alone.phases.values()} == {"cross_entropy"}
    with pytest.raises(ReactnetError, match="teacher is 'resnet34'"):
        default_recipe("reactnet18", tmp_path, teacher="resnet34")


def test_a_real_valued_model_has_one_phase_and_a_model_for_larger_images_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_mnist(tmp_path / "raw", 20)
    assert [phase.binarize for phase in default_recipe("resnet20_cifar", tmp_path).phases.values()] == [()]
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        default_recipe("resnet18", tmp_path)
    assert "made for images of 224x224, not 28x28" in caplog.text


def test_overrides_reach_the_default_recipe(tmp_path: Path) -> None:
    write_folders(tmp_path, 9)
    recipe = default_recipe("reactnet18", tmp_path, overrides={"phases.teacher.epochs": 7}, device="cuda:1")
    assert recipe.phases["teacher"].epochs == 7
    assert recipe.computing.precision == "bfloat16"
    with pytest.raises(ReactnetError, match="the default recipe of reactnet18"):
        default_recipe("reactnet18", tmp_path, overrides={"phases.teacher.epoch": 7})
