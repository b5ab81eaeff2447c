"""MNIST and Fashion-MNIST: the published idx files, plain or gzipped, as downloaded or where torchvision puts them."""

import gzip
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from reactnet.data.datasets import ImageSet, Split, with_statistics
from reactnet.errors import ReactnetError

Name = Literal["mnist", "fashion_mnist"]

MAX_BYTES = 2**30
CLASSES: dict[Name, tuple[str, ...]] = {
    "mnist": tuple(str(digit) for digit in range(10)),
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
}
_INSIDE: dict[Name, str] = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
_PARTS = ("train", "t10k")
_UNSIGNED_BYTES = 8


def find_idx(root: Path, name: Name) -> Path | None:
    """The folder of the files: `root` itself, or `MNIST/raw` or `FashionMNIST/raw` in it, as torchvision has it."""
    for folder in (root / _INSIDE[name] / "raw", root / "raw", root):
        if _there(folder / "train-images-idx3-ubyte") is not None or _there(folder / "t10k-images-idx3-ubyte"):
            return folder
    return None


def load_idx(root: Path, name: Name) -> Split:
    """The training and test images, grey (28x28 as published).

    Raises ReactnetError for a file that is missing or is not a whole idx file, and for labels that do not fit.
    """
    folder = find_idx(root, name)
    if folder is None:
        raise ReactnetError(f"{root}: holds no {name}", hint="give the folder that holds train-images-idx3-ubyte")
    return with_statistics(*(_part(folder, part, CLASSES[name]) for part in _PARTS))


def read_idx(path: Path, rank: int) -> npt.NDArray[np.uint8]:
    """An idx file of bytes, plain or (`.gz`) gzipped: an array of `rank` dimensions.

    Raises ReactnetError for anything that is not exactly that: the header must account for every byte.
    """
    again = "fetch the file again"
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * rank)
            magic, shape = header[:4], np.frombuffer(header[4:], dtype=">u4").tolist() if len(header) % 4 == 0 else []
            if magic != bytes((0, 0, _UNSIGNED_BYTES, rank)) or len(shape) != rank:
                raise ReactnetError(f"{path}: no idx file of bytes in {rank} dimensions", hint=again)
            expected = int(np.prod([int(side) for side in shape], dtype=object))
            if not 0 < expected <= MAX_BYTES:
                raise ReactnetError(f"{path}: its header says {'x'.join(map(str, shape))} bytes", hint=again)
            data = file.read(expected + 1)  # one more: a file that goes on is refused, a gzip bomb read no further
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None)
        raise ReactnetError(f"{path}: {error if reason is None else reason}", hint=again) from error
    if len(data) != expected:
        found = f"more than {expected}" if len(data) > expected else str(len(data))
        raise ReactnetError(f"{path}: {found} bytes of data, not {expected}", hint=again)
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _there(path: Path) -> Path | None:
    """The file, or the same gzipped."""
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None


def _part(folder: Path, part: str, class_names: tuple[str, ...]) -> ImageSet:
    paths = []
    for file in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"):
        path = _there(folder / file)
        if path is None:
            raise ReactnetError(f"{folder / file}: no such file, nor {file}.gz", hint="fetch all four files")
        paths.append(path)
    images, labels = read_idx(paths[0], 3), read_idx(paths[1], 1)
    if len(images) != len(labels):
        raise ReactnetError(f"{paths[1]}: {len(labels)} labels for {len(images)} images", hint="fetch both files again")
    if labels.max() >= len(class_names):
        raise ReactnetError(
            f"{paths[1]}: a label is {labels.max()}, above {len(class_names) - 1}", hint="fetch the file again"
        )
    return ImageSet(images[..., None], labels.astype(np.int64), class_names)
