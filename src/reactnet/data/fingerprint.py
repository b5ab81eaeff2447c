"""A cheap hash of a data set: what must not have changed when a run goes on."""

import hashlib
from pathlib import Path

import numpy as np

from reactnet.data.datasets import ImageFolder, ImageSet
from reactnet.data.layout import Images

SAMPLES = 64  # files whose bytes are hashed too, evenly spread
SAMPLE_BYTES = 2**16


def fingerprint(*parts: Images) -> str:
    """SHA-256, in hex, of class names, labels, and the images: every byte of those in memory.

    Of image files the names in their folder, the sizes, and the beginnings of a few: an exchanged, added or removed
    file is seen, and a changed pixel in a file of the same size mostly not. Of shards their index and beginnings.
    """
    digest = hashlib.sha256()
    for images in parts:
        digest.update(repr((type(images).__name__, len(images), images.class_names)).encode())
        digest.update(images.labels.astype("<i8").tobytes())
        if isinstance(images, ImageSet):
            digest.update(repr(images.images.shape).encode())
            digest.update(np.ascontiguousarray(images.images).data)
        elif isinstance(images, ImageFolder):
            for path in images.paths:
                digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode(errors="replace"))
            _sample(digest, images.paths)
        else:
            for array in (images.shard_of, images.offsets, images.sizes):
                digest.update(array.astype("<i8").tobytes())
            digest.update("\n".join([*(path.name for path in images.shards), *images.keys]).encode(errors="replace"))
            _sample(digest, images.shards)
    return digest.hexdigest()


def _sample(digest: "hashlib._Hash", paths: tuple[Path, ...]) -> None:
    for i in np.unique(np.linspace(0, len(paths) - 1, SAMPLES).astype(int)):
        with paths[i].open("rb") as file:
            digest.update(file.read(SAMPLE_BYTES))
