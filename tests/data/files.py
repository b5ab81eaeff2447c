"""Small image files and shards, made up."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "emu")


def pixels(number: int) -> np.ndarray:
    """Image `number`, of a size of its own."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, size=(20 + number % 5, 24 - number % 3, 3), dtype=np.uint8)


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(number)).save(file, "PNG")
    return file.getvalue()


def write_folders(root: Path, count: int, *, first: int = 0) -> None:
    """`count` images, image i of class i % 3, in class folders."""
    for number in range(first, first + count):
        path = root / CLASSES[number % 3] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))


def write_shard(path: Path, members: list[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_shards(root: Path, shards: int, images: int, *, part: str = "train", first: int = 0) -> None:
    """Shards of `images` images each, numbered over all of them, with labels i % 3."""
    for shard in range(shards):
        members = []
        for k in range(images):
            number = first + shard * images + k
            members += [(f"{number:05}.png", png(number)), (f"{number:05}.cls", str(number % 3).encode())]
            members.append((f"{number:05}.json", b"{}"))  # ignored
        write_shard(root / f"{part}-{shard:04}.tar", members)
