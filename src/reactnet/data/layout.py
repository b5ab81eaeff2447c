"""Which data set a folder holds, and opening it: the same for training, `eval` and `verify`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from reactnet.data import cifar, idx
from reactnet.data.config import DataConfig
from reactnet.data.datasets import ImageFolder, ImageSet, Split, load_digits_split, load_image_folder
from reactnet.data.shards import TEST_PARTS, ShardSet, find_shards, load_shards, shard_classes
from reactnet.errors import ReactnetError

Images = ImageSet | ImageFolder | ShardSet

_IN_MEMORY: dict[str, Callable[[Path], Split]] = {
    "cifar10": lambda root: cifar.load_cifar(root, "cifar10"),
    "cifar100": lambda root: cifar.load_cifar(root, "cifar100"),
    "mnist": lambda root: idx.load_idx(root, "mnist"),
    "fashion_mnist": lambda root: idx.load_idx(root, "fashion_mnist"),
}
_NEEDS = {
    "cifar10": "cifar-10-batches-bin or cifar-10-batches-py",
    "cifar100": "cifar-100-binary or cifar-100-python",
    "mnist": "train-images-idx3-ubyte and the other three files, or MNIST/raw",
    "fashion_mnist": "train-images-idx3-ubyte and the other three files, or FashionMNIST/raw",
    "image_folder": "one folder of images a class, in subfolders train and val",
    "webdataset": "tar files in subfolders train and val, or a pattern such as train-{0000..0099}.tar",
}


@dataclass(frozen=True, eq=False)
class Parts:
    """The images to train on and those to measure on, if there are any, with the mean and std of each channel."""

    train: Images
    test: Images | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


def layout_of(source: Path, class_names: Sequence[str] = ()) -> str:
    """The name of the data set at `source`, as a recipe has it; a tree of class folders where it is no other.

    MNIST and Fashion-MNIST have files of the same names: Fashion-MNIST is it in a folder that says so, or for a model
    of its classes.
    """
    for name in get_args(cifar.Name):
        if cifar.find_cifar(source, name) is not None:
            return str(name)
    fashion = idx.find_idx(source, "fashion_mnist")
    if fashion is not None:
        said = any("fashion" in part.lower() for part in fashion.resolve().parts[-2:]) or set(
            idx.CLASSES["fashion_mnist"]
        ) <= set(class_names)
        return "fashion_mnist" if said or idx.find_idx(source, "mnist") is None else "mnist"
    if idx.find_idx(source, "mnist") is not None:
        return "mnist"
    return "webdataset" if any(find_shards(source)) else "image_folder"


def open_split(config: DataConfig, root: Path | None) -> Parts:
    """The training and test part of a recipe's data set. Raises ReactnetError if `root` does not hold it."""
    name = config.name
    if name == "digits":
        if root is not None:
            raise ReactnetError(f"data: the digits come with scikit-learn, not from {root}", hint="leave --data out")
        return _parts(load_digits_split())
    if root is None:
        raise ReactnetError(f"data: {name} needs a folder", hint=f"give --data FOLDER that holds {_NEEDS[name]}")
    if name in _IN_MEMORY:
        return _parts(_IN_MEMORY[name](root))
    assert config.mean is not None
    assert config.std is not None
    if name == "image_folder":
        return Parts(*_folders(root), config.mean, config.std)
    train, test = find_shards(root)
    if not train:
        raise ReactnetError(f"{root}: holds no shards to train on", hint=f"give --data FOLDER with {_NEEDS[name]}")
    classes = shard_classes(root)
    shards = load_shards(train, classes)
    return Parts(shards, load_shards(test, shards.class_names) if test else None, config.mean, config.std)


def open_test(source: Path, class_names: Sequence[str]) -> Images:
    """The images that judge a model, whatever the layout of `source`; labels are those of the data set.

    Class folders are matched to `class_names` by name; so are shards without a `classes.txt`, by number.
    """
    name = layout_of(source, class_names)
    if name in _IN_MEMORY:
        return _IN_MEMORY[name](source).test
    if name == "webdataset":
        train, test = find_shards(source)
        classes = shard_classes(source)
        return load_shards(test if test else train, classes if classes is not None else class_names or None)
    if not class_names:
        raise ReactnetError(
            f"{source}: the model has no class names, so no folder can be matched to a class",
            hint="compile it again with class_names",
        )
    parts = [source / part for part in TEST_PARTS if part not in class_names and (source / part).is_dir()]
    return load_image_folder(parts[0] if parts else source, class_names)


def take(images: Images, indices: npt.NDArray[np.int64]) -> Images:
    """The set of only those images."""
    labels = images.labels[indices]
    if isinstance(images, ImageSet):
        return replace(images, images=images.images[indices], labels=labels)
    if isinstance(images, ImageFolder):
        return replace(images, paths=tuple(images.paths[i] for i in indices), labels=labels)
    return replace(
        images,
        shard_of=images.shard_of[indices],
        offsets=images.offsets[indices],
        sizes=images.sizes[indices],
        keys=tuple(images.keys[i] for i in indices),
        labels=labels,
    )


def class_folders(root: Path) -> tuple[Path, Path | None]:
    """The folder of class folders to train on, and the one to measure on if there is one.

    `train` beside `val`, `test` or `validation` and nothing else are parts; any other tree has class folders at once.
    """
    if not root.is_dir():
        raise ReactnetError(f"{root}: no such folder", hint=f"give --data FOLDER that holds {_NEEDS['image_folder']}")
    inside = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    if "train" in inside and inside <= {"train", *TEST_PARTS}:
        parts = [root / part for part in TEST_PARTS if part in inside]
        return root / "train", parts[0] if parts else None
    return root, None


def _folders(root: Path) -> tuple[ImageFolder, ImageFolder | None]:
    train, test = class_folders(root)
    names = sorted(path.name for path in train.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise ReactnetError(f"{train}: no class folders", hint="put the images into one folder a class")
    return load_image_folder(train, names), None if test is None else load_image_folder(test, names)


def _parts(split: Split) -> Parts:
    return Parts(split.train, split.test, split.mean, split.std)
