"""WebDataset shards: tar files of `KEY.jpg` (or .png, ...) beside `KEY.cls`, the label as a number in text.

Each shard's headers are read once, into an index; an image is then read by its place. Nothing is ever unpacked, so a
member's name is no path, and links and devices are refused.
"""

import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reactnet.data.transforms import draw
from reactnet.errors import ReactnetError
from reactnet.files import read_text

MIXED = 4  # shards whose images are shuffled together
MAX_SHARDS = 100_000
MAX_IMAGE_BYTES = 2**28
MAX_CLASSES = 65_536  # as in docs/format.md
TEST_PARTS = ("val", "test", "validation")

_SHARD_ORDER, _IMAGE_ORDER = 600, 601
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True, eq=False)
class ShardSet:
    """Images in tar files: image i is `sizes[i]` bytes at `offsets[i]` of `shards[shard_of[i]]`, called `keys[i]`."""

    shards: tuple[Path, ...]
    shard_of: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    keys: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        """What errors call an image."""
        return f"{self.shards[self.shard_of[index]]}: {self.keys[index]}"

    def load(self, index: int, channels: int) -> npt.NDArray[np.uint8]:
        """Decode image `index` to (H, W, channels). Raises ReactnetError, with shard and key, if it is corrupt."""
        from reactnet.images import decode_image

        path = self.shards[self.shard_of[index]]
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                data = os.pread(descriptor, int(self.sizes[index]), int(self.offsets[index]))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ReactnetError(f"{path}: {error.strerror}", hint="keep the shards in place while training") from error
        return decode_image(data, channels, name=self.name(index))

    def shuffled(self, members: npt.NDArray[np.int64], *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """The order in which an epoch sees `members`.

        Shards are taken in an order drawn for the epoch; the images of `MIXED` shards that follow each other are
        shuffled together, so only those files are read at any time.
        """
        numbers = np.arange(len(self.shards))
        keys = draw(2**32, seed=seed, epoch=epoch, indices=numbers, stream=_SHARD_ORDER)
        places = np.empty(len(self.shards), dtype=np.int64)
        places[np.argsort(keys, kind="stable")] = numbers // MIXED
        order = draw(2**32, seed=seed, epoch=epoch, indices=members, stream=_IMAGE_ORDER)
        found: npt.NDArray[np.int64] = members[np.lexsort((order, places[self.shard_of[members]]))]
        return found


def is_pattern(source: str | Path) -> bool:
    """Whether it names shards with a range of numbers, as in shards-{0000..0099}.tar."""
    return _RANGE.search(str(source)) is not None


def expand_pattern(pattern: str | Path) -> list[Path]:
    """The paths that a pattern with ranges such as {0000..0099} stands for, in order."""
    pattern = str(pattern)
    found = _RANGE.search(pattern)
    if found is None:
        return [Path(pattern)]
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < MAX_SHARDS:
        raise ReactnetError(f"{pattern}: the range {found[0]} is empty or huge", hint="give it as {0000..0099}")
    width = len(found[1])
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [path for k in range(first, last + 1) for path in expand_pattern(f"{before}{k:0{width}}{after}")]


def find_shards(source: Path) -> tuple[list[Path], list[Path]]:
    """The shards to train on and those to measure on, either of which may be none.

    `source` is a pattern, all of which is to train on, or a folder with `train` and `val` as subfolders of tar files
    or as the beginning of their names. In a folder without such names all tar files are to train on.
    """
    if is_pattern(source):
        return expand_pattern(source), []
    if not source.is_dir():
        return ([source], []) if source.suffix == ".tar" and source.is_file() else ([], [])
    train = sorted(source.glob("train/*.tar")) or sorted(source.glob("train*.tar"))
    test: list[Path] = []
    for part in TEST_PARTS:
        test = test or sorted(source.glob(f"{part}/*.tar")) or sorted(source.glob(f"{part}[-_.0-9]*.tar"))
    if not train and not test:
        train = sorted(source.glob("*.tar"))
    return train, test


def shard_classes(source: Path) -> tuple[str, ...] | None:
    """The names in `classes.txt` beside the shards, a line a label in order, or None where there is no such file."""
    folder = source if source.is_dir() else source.parent
    for file in (folder / "classes.txt", folder.parent / "classes.txt"):
        if file.is_file():
            text = read_text(file, hint="give a text file with one class a line")
            names = tuple(line.strip() for line in text.splitlines() if line.strip())
            if len(set(names)) != len(names):
                raise ReactnetError(f"{file}: a class stands there twice", hint="give each class one line")
            return names
    return None


def load_shards(paths: Sequence[Path], class_names: Sequence[str] | None) -> ShardSet:
    """Read the index of each shard; without `class_names` a class is called by its number.

    Raises ReactnetError, naming shard and member, for a file that is no whole tar file, a sample without exactly one
    image and one label, and a label out of range.
    """
    numbers: list[int] = []
    keys: list[str] = []
    places: list[tuple[int, int, int]] = []  # offset, size, label
    for number, path in enumerate(paths):
        for key, place in _index(path).items():
            numbers.append(number)
            keys.append(key)
            places.append(place)
    if not places:
        raise ReactnetError("no images in the shards", hint="give tar files of KEY.jpg and KEY.cls")
    table = np.asarray(places, dtype=np.int64)
    labels = table[:, 2]
    if labels.max() >= MAX_CLASSES:  # each number up to it would get a name
        worst = int(np.argmax(labels))
        raise ReactnetError(
            f"{paths[numbers[worst]]}: {keys[worst]}: label {labels[worst]}, above {MAX_CLASSES - 1}",
            hint="write the shard again",
        )
    names = tuple(map(str, range(int(labels.max()) + 1))) if class_names is None else tuple(class_names)
    if labels.max() >= len(names):
        worst = int(np.argmax(labels))
        raise ReactnetError(
            f"{paths[numbers[worst]]}: {keys[worst]}: label {labels[worst]} of {len(names)} classes",
            hint="correct classes.txt, or the shard",
        )
    return ShardSet(tuple(paths), np.asarray(numbers), table[:, 0], table[:, 1], tuple(keys), labels, names)


def _index(path: Path) -> dict[str, tuple[int, int, int]]:
    """Key: offset and size of its image, and its label; in the order of the file."""
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    try:
        if not path.is_file() and path.exists():
            raise ReactnetError(f"{path}: not a regular file", hint="give tar files")
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - 1024))
            if size < 1024 or file.read().strip(b"\0"):
                raise ReactnetError(f"{path}: cut short: no end of a tar file", hint="fetch the shard again")
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                _take(tar, member, path, size, images, labels)
    except OSError as error:
        raise ReactnetError(f"{path}: {error.strerror}", hint="give shards that exist and that you may read") from error
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise ReactnetError(f"{path}: no whole tar file: {error}", hint="fetch the shard again") from error
    for key in images.keys() ^ labels.keys():
        what = "no label, a .cls file" if key in images else "a label and no image"
        raise ReactnetError(f"{path}: {key}: {what}", hint="write the shard again")
    return {key: (*place, labels[key]) for key, place in images.items()}


def _take(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    path: Path,
    size: int,
    images: dict[str, tuple[int, int]],
    labels: dict[str, int],
) -> None:
    from reactnet.images import SUFFIXES

    if member.isdir():
        return
    if not member.isreg() or member.issparse() or member.offset_data + member.size > size:
        raise ReactnetError(f"{path}: {member.name!r} is no regular file", hint="write the shard again")
    folder, _, name = member.name.rpartition("/")
    stem, _, suffix = name.partition(".")
    key, kind = f"{folder}/{stem}" if folder else stem, f".{suffix.lower()}"
    if (kind in SUFFIXES and key in images) or (kind == ".cls" and key in labels):
        raise ReactnetError(f"{path}: {key} stands there twice", hint="write the shard again")
    if kind in SUFFIXES:
        if member.size > MAX_IMAGE_BYTES:
            raise ReactnetError(f"{path}: {key}: an image of {member.size} bytes", hint="write the shard again")
        images[key] = member.offset_data, member.size
    elif kind == ".cls":
        opened = tar.extractfile(member)
        text = b"" if opened is None or member.size > 20 else opened.read().strip()
        if not re.fullmatch(rb"\d{1,9}", text):
            raise ReactnetError(f"{path}: {key}.cls is no label", hint="a label is a number in text, from 0")
        labels[key] = int(text)
