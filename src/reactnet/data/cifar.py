"""CIFAR-10 and CIFAR-100, from the official binary files or from the pickles that torchvision downloads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reactnet.data.datasets import ImageSet, Split, with_statistics
from reactnet.data.plain_pickle import read_plain_pickle
from reactnet.errors import ReactnetError

Name = Literal["cifar10", "cifar100"]

PIXELS = 3 * 32 * 32
CLASSES_10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# fmt: off
CLASSES_100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)
# fmt: on


@dataclass(frozen=True)
class Layout:
    """A published layout: its folder, the files of each part with the images in each, and how a record begins.

    `labels` is the number of label bytes before the pixels of a record, of which the last counts, or the key of the
    labels in a pickle.
    """

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    train_images: int
    test_images: int
    labels: int | bytes
    class_names: tuple[str, ...]


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
LAYOUTS: dict[Name, tuple[Layout, Layout]] = {
    "cifar10": (
        Layout(
            "cifar-10-batches-bin",
            tuple(f"{name}.bin" for name in _BATCHES),
            ("test_batch.bin",),
            10_000,
            10_000,
            1,
            CLASSES_10,
        ),
        Layout("cifar-10-batches-py", _BATCHES, ("test_batch",), 10_000, 10_000, b"labels", CLASSES_10),
    ),
    "cifar100": (
        Layout("cifar-100-binary", ("train.bin",), ("test.bin",), 50_000, 10_000, 2, CLASSES_100),
        Layout("cifar-100-python", ("train",), ("test",), 50_000, 10_000, b"fine_labels", CLASSES_100),
    ),
}


def find_cifar(root: Path, name: Name) -> tuple[Path, Layout] | None:
    """Where below `root`, or at `root` itself, a layout of CIFAR is; the binary one first."""
    for layout in LAYOUTS[name]:
        if root.name == layout.folder and root.is_dir():
            return root, layout
        if (root / layout.folder).is_dir():
            return root / layout.folder, layout
    return None


def load_cifar(root: Path, name: Name) -> Split:
    """The training and test images, RGB 32x32, of CIFAR-10 or of CIFAR-100 with its fine labels.

    Raises ReactnetError for a file that is missing, has another number of images, or holds a label out of range.
    """
    found = find_cifar(root, name)
    if found is None:
        folders = " or ".join(layout.folder for layout in LAYOUTS[name])
        raise ReactnetError(f"{root}: holds no {name}", hint=f"give the folder that holds {folders}")
    folder, layout = found
    parts = []
    for files, images in ((layout.train, layout.train_images), (layout.test, layout.test_images)):
        read = [_file(folder / file, layout, images) for file in files]
        pixels = np.concatenate([pixels for pixels, _ in read]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = np.concatenate([labels for _, labels in read])
        parts.append(ImageSet(np.ascontiguousarray(pixels), labels, layout.class_names))
    return with_statistics(*parts)


def _file(path: Path, layout: Layout, images: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The pixels (images, PIXELS) and labels of one file."""
    again = f"fetch and unpack {path.parent.name} again"
    if isinstance(layout.labels, int):
        pixels, labels = _records(path, layout.labels, images, again)
    else:
        pixels, labels = _pickled(path, layout.labels, images, again)
    if labels.min() < 0 or labels.max() >= len(layout.class_names):
        wrong = labels.max() if labels.min() >= 0 else labels.min()
        raise ReactnetError(f"{path}: a label is {wrong}, not 0 to {len(layout.class_names) - 1}", hint=again)
    return pixels, labels


def _records(
    path: Path, label_bytes: int, images: int, again: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise ReactnetError(
            f"{path}: {error.strerror}", hint=f"unpack the whole data set into {path.parent}"
        ) from error
    expected = images * (label_bytes + PIXELS)
    if data.size != expected:
        raise ReactnetError(f"{path}: {data.size} bytes, not {expected}", hint=again)
    records = data.reshape(images, -1)
    return records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64)


def _pickled(path: Path, key: bytes, images: int, again: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    table: dict[bytes, Any] = {
        name.encode() if isinstance(name, str) else name: value for name, value in read_plain_pickle(path).items()
    }
    pixels, labels = table.get(b"data"), table.get(key)
    if not isinstance(pixels, np.ndarray) or pixels.shape != (images, PIXELS):
        shape = pixels.shape if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise ReactnetError(f"{path}: its images are {shape}, not {(images, PIXELS)}", hint=again)
    if not isinstance(labels, list) or len(labels) != images or not all(type(label) is int for label in labels):
        raise ReactnetError(f"{path}: its labels are no list of {images} numbers", hint=again)
    if not all(0 <= label < 256 for label in labels):
        raise ReactnetError(f"{path}: a label is out of range", hint=again)
    return pixels, np.asarray(labels, dtype=np.int64)
