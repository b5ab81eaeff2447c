"""Images with labels: in memory, or as files in a tree of class folders; and the handwritten digits."""

import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reactnet.data.transforms import draw
from reactnet.errors import ReactnetError

_log = logging.getLogger(__name__)

DIGITS_TEST_PER_CLASS = 36
DIGITS_SPLIT_SEED = 0


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size, all in memory: `images` uint8 (N, H, W, C), `labels` int64 (N,), a name for each label."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8
        assert self.images.ndim == 4
        assert self.labels.dtype == np.int64
        assert self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Split:
    """A training and a test part, with the training part's per-channel mean and std in units where white is 1."""

    train: ImageSet
    test: ImageSet
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Image files of any size, decoded when asked for: `labels[i]` is the class of `paths[i]`."""

    paths: tuple[Path, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """What errors call an image."""
        return str(self.paths[index])

    def load(self, index: int, channels: int) -> npt.NDArray[np.uint8]:
        """Decode image `index` to (H, W, channels). Raises ReactnetError, with the path, if it is corrupt."""
        from reactnet.images import load_image

        return load_image(self.paths[index], channels)


def load_digits_split() -> Split:
    """Scikit-learn's 1,797 handwritten digits, grey 8x8, as 1,437 training and 360 test images.

    Values 0 to 16 become round(v * 255 / 16). The test part is 36 images of each digit, chosen by a fixed hash, so it
    depends on no library's generator. Both parts keep the order of the source.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ReactnetError(
            "digits: scikit-learn, which holds these images, is not installed", hint="pip install 'reactnet[demo]'"
        ) from error
    source = load_digits()
    images = np.rint(source.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = source.target.astype(np.int64)
    order = draw(2**32, seed=DIGITS_SPLIT_SEED, epoch=0, indices=np.arange(len(labels)), stream=0)
    in_test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        in_test[members[np.argsort(order[members], kind="stable")[:DIGITS_TEST_PER_CLASS]]] = True
    names = tuple(str(digit) for digit in range(10))
    return with_statistics(
        ImageSet(images[~in_test], labels[~in_test], names), ImageSet(images[in_test], labels[in_test], names)
    )


def load_image_folder(root: Path, class_names: Sequence[str]) -> ImageFolder:
    """The images under `root`, one folder a class, matched to `class_names` by name; nothing is decoded yet.

    A class without a folder, or with an empty one, is logged as a warning. Raises ReactnetError for a folder that is
    no class, and if there is no image at all.
    """
    from reactnet.images import list_images

    if not root.is_dir():
        raise ReactnetError(f"{root}: no such folder", hint="give a folder that holds one folder of images a class")
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise ReactnetError(f"{root}: {error.strerror}", hint="give a folder that you may read") from error
    unknown = [folder.name for folder in folders if folder.name not in class_names]
    if unknown:
        raise ReactnetError(
            f"{root}: folder {unknown[0]!r} is none of the {len(class_names)} classes",
            hint=_class_hint(unknown[0], class_names),
        )
    label_of = {name: label for label, name in enumerate(class_names)}
    paths: list[Path] = []
    labels: list[int] = []
    for folder in folders:
        found = list_images(folder)
        paths += found
        labels += [label_of[folder.name]] * len(found)
    if not paths:
        raise ReactnetError(
            f"{root}: no images in class folders",
            hint=f"put images into one folder a class, such as {root / class_names[0]}",
        )
    missing = [name for label, name in enumerate(class_names) if label not in set(labels)]
    if missing:
        _log.warning("%s: no images of %d of %d classes: %s", root, len(missing), len(class_names), ", ".join(missing))
    return ImageFolder(tuple(paths), np.asarray(labels, dtype=np.int64), tuple(class_names))


def _class_hint(name: str, class_names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, class_names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(class_names[:10]) + (", ..." if len(class_names) > 10 else "")
    return f"name each folder as the model names its class: {shown}"


def with_statistics(train: ImageSet, test: ImageSet) -> Split:
    """The two parts of a set in memory, with the mean and deviation of each channel of the training part."""
    # From counts of the 256 values: exact, and without a float64 copy of every pixel.
    values = np.arange(256) / 255
    counts = [np.bincount(train.images[..., c].ravel(), minlength=256) for c in range(train.images.shape[-1])]
    means = [float(np.average(values, weights=count)) for count in counts]
    variances = [np.average((values - mean) ** 2, weights=count) for mean, count in zip(means, counts, strict=True)]
    return Split(train, test, tuple(means), tuple(float(np.sqrt(variance)) for variance in variances))
