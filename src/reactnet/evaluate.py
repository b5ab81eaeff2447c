"""Accuracy of a PyTorch model or of a packed file, by the same code, on the same pixels."""

import difflib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from reactnet.errors import ReactnetError

if TYPE_CHECKING:
    from torch import nn

    from reactnet.data import Images, ImageSet, ShardSet
    from reactnet.runtime import Session

_log = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
OnBadImage = Literal["stop", "skip"]

SKIPPED = -1


class Preprocessing(Protocol):
    """What a packed file and a training run both say of their input: graph.Preprocessing and train.ModelCard do."""

    @property
    def resize(self) -> int | Sequence[int]: ...
    @property
    def crop(self) -> Sequence[int]: ...
    @property
    def mean(self) -> Sequence[float]: ...
    @property
    def std(self) -> Sequence[float]: ...


@dataclass(frozen=True)
class Predictor:
    """Something that answers: `run` a batch of uint8 (N, H, W, C) to logits (N, K); `preprocess` one decoded image."""

    run: Callable[[Pixels], Logits]
    preprocess: Callable[[Pixels], Pixels]
    channels: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a predictor did.

    `top1` and `top5` are fractions of the `images` that were decoded. `answers` (N,) holds the class with the largest
    logit for each image of the data set, the first of equals, or SKIPPED. `confusion[t, a]` counts images of class t
    that were answered a. `seconds` is the whole time, decoding included.
    """

    top1: float
    top5: float
    images: int
    skipped: int
    answers: npt.NDArray[np.int64]
    confusion: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    seconds: float

    @property
    def per_class(self) -> dict[str, float | None]:
        """The top-1 of each class by name; None for a class of which there was no image."""
        totals = self.confusion.sum(axis=1)
        hits = np.diagonal(self.confusion)
        return {
            name: float(hit / total) if total else None
            for name, hit, total in zip(self.class_names, hits, totals, strict=True)
        }


def packed_predictor(session: "Session") -> Predictor:
    """The packed file's own answers, by the native runtime."""
    return Predictor(session.run, session.preprocess, session.input_shape[2])


def model_predictor(model: "nn.Module", preprocessing: Preprocessing | None = None) -> Predictor:
    """A PyTorch model's answers: evaluation mode, float32, autocast and TF32 off, pixels normalised by the same table.

    `preprocessing` is that of the card which `reactnet.train.load_model` leaves on the model, if not given. The model
    is left in the mode it was in.
    """
    card: Any = getattr(model, "reactnet", None)
    about: Preprocessing = card if preprocessing is None else preprocessing
    if about is None:
        raise ReactnetError(
            "evaluate: the model does not say how its images are prepared", hint="give preprocessing, or use load_model"
        )

    def run(images: Pixels) -> Logits:
        import torch

        from reactnet.data import normalize

        device = next(model.parameters()).device
        was_training = model.training
        model.eval()
        try:
            with (
                torch.inference_mode(),
                torch.autocast(device.type, enabled=False),
                torch.backends.cudnn.flags(allow_tf32=False),
            ):
                logits = model(normalize(images, about.mean, about.std).to(device))
        finally:
            model.train(was_training)
        found: Logits = logits.float().cpu().numpy()
        return found

    return Predictor(run, lambda image: preprocess(image, about), len(about.mean))


def preprocess(image: Pixels, preprocessing: Preprocessing) -> Pixels:
    """Resize and centre-crop a decoded image, as docs/format.md section 2 says; the resize is the runtime's.

    Shape: uint8 (any height, any width, C) -> (*crop, C).
    """
    from reactnet.runtime import resize

    height, width = image.shape[:2]
    target = preprocessing.resize
    if isinstance(target, int):
        short = min(height, width)
        size = target * height // short, target * width // short
    else:
        size = target[0], target[1]
    resized = resize(image, *size)
    crop_height, crop_width = preprocessing.crop
    top, left = round((size[0] - crop_height) / 2), round((size[1] - crop_width) / 2)
    return np.ascontiguousarray(resized[top : top + crop_height, left : left + crop_width])


def open_dataset(source: str | Path, class_names: Sequence[str]) -> "Images":
    """The images that judge a model whose classes are `class_names`.

    `source` is "digits", a folder that holds CIFAR-10, CIFAR-100, MNIST or Fashion-MNIST as published or as torchvision
    downloads them, WebDataset shards, or a tree of class folders, itself or in a subfolder `val` or `test`. Labels are
    matched to `class_names` by name. Raises ReactnetError if they do not match.
    """
    from reactnet.data import ImageFolder, load_digits_split, open_test

    if str(source) == "digits":
        return match_classes(load_digits_split().test, class_names, where="digits")
    root = Path(source)
    images = open_test(root, class_names)
    # A tree of class folders has been matched by name as it was read.
    return images if isinstance(images, ImageFolder) else match_classes(images, class_names, where=str(root))


def match_classes(dataset: "ImageSet | ShardSet", class_names: Sequence[str], *, where: str) -> "ImageSet | ShardSet":
    """`dataset` with its labels renumbered to `class_names`; a model without names must have its number of classes.

    Raises ReactnetError for a class of the images that the model does not have.
    """
    if not class_names:
        return dataset
    unknown = [name for name in dataset.class_names if name not in class_names]
    if unknown:
        close = difflib.get_close_matches(unknown[0], class_names, n=1)
        raise ReactnetError(
            f"{where}: class {unknown[0]!r} is none of the model's {len(class_names)} classes",
            hint=f"did you mean {close[0]!r}?" if close else "give images of the classes that the model was trained on",
        )
    number = np.array([class_names.index(name) for name in dataset.class_names], dtype=np.int64)
    return replace(dataset, labels=number[dataset.labels], class_names=tuple(class_names))


def image_at(dataset: "Images", index: int, channels: int) -> Pixels:
    """One image of a data set, decoded: uint8 (any height, any width, channels).

    Raises ReactnetError for a file that cannot be decoded, and for images in memory of another number of channels.
    """
    from reactnet.data import ImageSet

    if not isinstance(dataset, ImageSet):
        return dataset.load(index, channels)
    found = dataset.images.shape[3]
    if found != channels:
        raise ReactnetError(
            f"data: images of {found} channels, the model takes {channels}",
            hint="use images like those that the model was trained on",
        )
    image: Pixels = dataset.images[index]
    return image


def evaluate(
    predictor: Predictor,
    dataset: "Images",
    *,
    batch_size: int = 64,
    on_bad_image: OnBadImage = "stop",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Answer every image of `dataset` and count.

    An image that cannot be decoded is an error, or with `on_bad_image="skip"` logged and counted. `progress` is told
    how many images of how many are done.
    """
    start = time.perf_counter()
    total = len(dataset)
    answers = np.full(total, SKIPPED, dtype=np.int64)
    ranks = np.full(total, SKIPPED, dtype=np.int64)
    for indices, batch in _batches(predictor, dataset, batch_size, on_bad_image):
        order = _best_first(predictor.run(batch), len(dataset.class_names))
        answers[indices] = order[:, 0]
        ranks[indices] = np.argmax(order == dataset.labels[indices][:, None], axis=1)
        if progress is not None:
            progress(indices[-1] + 1, total)
    seen = answers != SKIPPED
    if not seen.any():
        raise ReactnetError(
            f"evaluate: none of {total} images could be decoded", hint="give images in PNG, JPEG, WebP or BMP"
        )
    classes = len(dataset.class_names)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (dataset.labels[seen], answers[seen]), 1)
    return Evaluation(
        top1=float(np.mean(ranks[seen] < 1)),
        top5=float(np.mean(ranks[seen] < 5)),
        images=int(seen.sum()),
        skipped=int(total - seen.sum()),
        answers=answers,
        confusion=confusion,
        class_names=tuple(dataset.class_names),
        seconds=time.perf_counter() - start,
    )


def _best_first(logits: Logits, classes: int) -> npt.NDArray[np.int64]:
    """Classes by falling logit; of equals the lower comes first, and a NaN comes last."""
    if logits.shape[1] != classes:
        raise ReactnetError(
            f"evaluate: the images have {classes} classes, the model has {logits.shape[1]}",
            hint="give images of the classes that the model was trained on",
        )
    return np.argsort(-logits, axis=1, kind="stable")


def _batches(
    predictor: Predictor, dataset: "Images", batch_size: int, on_bad_image: OnBadImage
) -> Iterator[tuple[list[int], Pixels]]:
    """Positions in `dataset` and their preprocessed images, `batch_size` at a time."""
    indices: list[int] = []
    images: list[Pixels] = []
    for index in range(len(dataset)):
        try:
            decoded = image_at(dataset, index, predictor.channels)
        except ReactnetError as error:
            if on_bad_image == "stop":
                raise
            _log.warning("skipped %s", error.problem)
            continue
        indices.append(index)
        images.append(predictor.preprocess(decoded))
        if len(indices) == batch_size:
            yield indices, np.stack(images)
            indices, images = [], []
    if indices:
        yield indices, np.stack(images)
