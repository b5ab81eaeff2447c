"""Accuracy: counted right, classes matched by name, bad images counted, the same for a model and a packed file."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from reactnet.data import ImageFolder, ImageSet, load_image_folder, normalize_table
from reactnet.errors import ReactnetError
from reactnet.evaluate import SKIPPED, Predictor, evaluate, match_classes, model_predictor, open_dataset, preprocess

CLASSES = tuple("abcdefg")


def images_of(labels: list[int], channels: int = 1) -> ImageSet:
    """Images whose first pixel is their position, so that a predictor can look its answer up."""
    images = np.zeros((len(labels), 2, 2, channels), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    return ImageSet(images, np.array(labels, dtype=np.int64), CLASSES)


def looked_up(table: np.ndarray, batches: list[int] | None = None) -> Predictor:
    def run(images: np.ndarray) -> np.ndarray:
        if batches is not None:
            batches.append(len(images))
        return table[images[:, 0, 0, 0]].astype(np.float32)

    return Predictor(run, lambda image: image, channels=1)


def test_top1_and_top5_count_the_rank_of_the_label() -> None:
    # Every image ranks the classes in their order: label k has rank k.
    table = np.array([[7.0, 6, 5, 4, 3, 2, 1]] * 7)
    result = evaluate(looked_up(table), images_of([0, 1, 2, 3, 4, 5, 6]))
    assert result.top1 == pytest.approx(1 / 7)
    assert result.top5 == pytest.approx(5 / 7)
    assert (result.images, result.skipped) == (7, 0)


def test_of_equal_logits_the_first_class_is_the_answer() -> None:
    result = evaluate(looked_up(np.zeros((2, 7))), images_of([0, 1]))
    assert result.answers.tolist() == [0, 0]
    assert (result.top1, result.top5) == (0.5, 1.0)


def test_a_nan_is_never_the_answer() -> None:
    table = np.full((1, 7), np.nan)
    table[0, 3] = -1e30
    assert evaluate(looked_up(table), images_of([3])).top1 == 1.0


def test_confusion_and_per_class_follow_from_the_answers() -> None:
    table = np.eye(7)[[0, 1, 1, 2, 0]]
    result = evaluate(looked_up(table), images_of([0, 0, 1, 2, 2]))
    expected = np.zeros((7, 7), dtype=int)
    expected[0, 0] = expected[0, 1] = expected[1, 1] = expected[2, 2] = expected[2, 0] = 1
    np.testing.assert_array_equal(result.confusion, expected)
    assert result.per_class == {"a": 0.5, "b": 1.0, "c": 0.5, "d": None, "e": None, "f": None, "g": None}


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 64])
def test_batch_size_changes_no_answer(batch_size: int) -> None:
    table = np.random.default_rng(0).normal(size=(5, 7))
    batches: list[int] = []
    progress: list[tuple[int, int]] = []
    result = evaluate(
        looked_up(table, batches),
        images_of([0, 1, 2, 3, 4]),
        batch_size=batch_size,
        progress=lambda done, total: progress.append((done, total)),
    )
    assert result.answers.tolist() == table.argmax(axis=1).tolist()
    assert sum(batches) == 5
    assert max(batches) <= batch_size
    assert progress[-1] == (5, 5)


def folder_with_a_bad_image(root: Path) -> ImageFolder:
    for name in ("a", "b"):
        (root / name).mkdir()
        Image.fromarray(np.zeros((2, 2), dtype=np.uint8)).save(root / name / "0.png")
    (root / "a" / "1.png").write_bytes(b"no image")
    return load_image_folder(root, ("a", "b"))


def test_bad_image_stops_and_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match=r"1\.png"):
        evaluate(looked_up(np.eye(2)), folder_with_a_bad_image(tmp_path))


def test_bad_image_can_be_skipped_and_is_counted(tmp_path: Path) -> None:
    result = evaluate(looked_up(np.eye(2)), folder_with_a_bad_image(tmp_path), on_bad_image="skip")
    assert (result.images, result.skipped, result.top1) == (2, 1, 0.5)
    assert result.answers.tolist() == [0, SKIPPED, 0]


def test_only_bad_images_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"no image")
    with pytest.raises(ReactnetError, match="none of 1 images"):
        evaluate(looked_up(np.eye(1)), load_image_folder(tmp_path, ("a",)), on_bad_image="skip")


def test_wrong_channel_count_is_an_error() -> None:
    with pytest.raises(ReactnetError, match="3 channels"):
        evaluate(looked_up(np.eye(7)), images_of([0], channels=3))


def test_another_number_of_classes_is_an_error() -> None:
    with pytest.raises(ReactnetError, match="7 classes, the model has 3"):
        evaluate(looked_up(np.eye(3)), images_of([0]))


def test_classes_are_matched_by_name_not_by_position() -> None:
    matched = match_classes(images_of([0, 6]), CLASSES[::-1], where="images")
    assert matched.labels.tolist() == [6, 0]
    assert matched.class_names == CLASSES[::-1]


def test_unknown_class_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ReactnetError, match="class 'a' is none of the model's 1") as caught:
        match_classes(images_of([0]), ("aa",), where="images")
    assert "did you mean 'aa'" in caught.value.hint


def test_validation_subfolder_is_found(tmp_path: Path) -> None:
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a").mkdir(parents=True)
    Image.fromarray(np.zeros((2, 2), dtype=np.uint8)).save(tmp_path / "val" / "a" / "0.png")
    dataset = open_dataset(tmp_path, ("a", "b"))
    assert isinstance(dataset, ImageFolder)
    assert [path.name for path in dataset.paths] == ["0.png"]


def test_model_sees_the_normalisation_table_and_stays_in_its_mode() -> None:
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert not self.training
            assert not torch.is_autocast_enabled("cpu")
            seen.append(x)
            return x.flatten(1)

    model = Spy().train()
    about = SimpleNamespace(resize=(2, 2), crop=(2, 2), mean=(0.3,), std=(0.376,))
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model_predictor(model, about).run(images)
    expected = normalize_table(about.mean, about.std)[images[..., 0], 0]
    np.testing.assert_array_equal(seen[0][:, 0].numpy(), expected)
    assert logits.dtype == np.float32
    assert model.training


@pytest.mark.parametrize(
    ("height", "width", "resize", "crop"),
    [(30, 41, 20, (16, 17)), (9, 9, (9, 9), (9, 9)), (50, 20, (31, 29), (28, 28))],
)
def test_preprocess_is_pillows_resize_and_a_centre_crop(
    height: int, width: int, resize: int | tuple[int, int], crop: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    short = min(height, width)
    size = resize if isinstance(resize, tuple) else (resize * height // short, resize * width // short)
    resized = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    top, left = round((size[0] - crop[0]) / 2), round((size[1] - crop[1]) / 2)
    expected = resized[top : top + crop[0], left : left + crop[1]]
    about = SimpleNamespace(resize=resize, crop=crop, mean=(0.0,) * 3, std=(1.0,) * 3)
    np.testing.assert_array_equal(preprocess(image, about), expected)
