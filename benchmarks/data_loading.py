"""Images a second of loading alone, as a ratio to what a training step consumes, in one run.

    python benchmarks/data_loading.py --out benchmarks/results/data_loading.csv

Made-up images of the usual sizes are written to a temporary folder: JPEGs of 500x375 pixels in class folders and in tar
shards, and sets of CIFAR's and MNIST's size in memory. For each kind, augmentation and number of workers an epoch's
batches are read and thrown away; the best of several passes counts, as for the training steps (forward, cross-entropy,
backward, Adam) of `reactnet_a` and `reactnet18` at 224x224 and of their like for small images, all on one torch thread,
which are measured before, between and after.
A ratio of 10 means that loading takes a tenth of a step's time.
"""

import argparse
import csv
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from reactnet.data import Augmentation, DataConfig, ImageSet
from reactnet.models import create_model
from reactnet.train.feed import Feed, open_feed

FILES = DataConfig("image_folder", "validation", 8, 224, 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CROP = Augmentation(random_resized_crop=(0.08, 1.0), random_flip=True)
SHIFT = Augmentation(random_shift=4, random_shift_fill="reflect", random_flip=True)
EVERYTHING = {"rand_augment": (2, 9), "color_jitter": (0.4, 0.4, 0.4), "lighting": 0.1, "mixup": 0.2, "cutmix": 1.0}
STACKS = {
    "files": {"crop, flip": CROP, "crop, flip, lighting": replace(CROP, lighting=0.1)},
    "memory": {"shift, flip": SHIFT, "shift, flip, cutout": replace(SHIFT, cutout=8)},
}
STACKS["files"]["all"] = replace(CROP, cutout=56, **EVERYTHING)  # type: ignore[arg-type]
STACKS["memory"]["all"] = replace(SHIFT, cutout=8, **EVERYTHING)  # type: ignore[arg-type]
# Who consumes: images of files, of 32x32 and of 28x28.
CONSUMERS = {"files": ("reactnet_a", "reactnet18"), "memory": ("reactnet18_cifar", "reactnet20_cifar")}
WORKERS = (0, 2)


def jpeg(generator: np.random.Generator) -> bytes:
    """A picture of 500x375 pixels with the detail of a photograph: a JPEG of quality 90 and some hundred kilobytes."""
    coarse = Image.fromarray(generator.integers(0, 256, size=(47, 63, 3), dtype=np.uint8)).resize((500, 375))
    noisy = np.asarray(coarse).astype(np.int16) + generator.normal(0, 12, size=(375, 500, 1)).astype(np.int16)
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_files(root: Path, count: int) -> None:
    """The same pictures as class folders and as shards."""
    generator = np.random.default_rng(0)
    shards = [root / "shards" / f"train-{number:04}.tar" for number in range(4)]
    shards[0].parent.mkdir(parents=True)
    with ExitStack() as stack:
        opened = [stack.enter_context(tarfile.open(shard, "w")) for shard in shards]
        for number in range(count):
            data, label = jpeg(generator), number % 10
            path = root / "folders" / f"class {label}" / f"{number:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            for name, content in ((f"{number:05}.jpg", data), (f"{number:05}.cls", str(label).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                opened[number % 4].addfile(info, io.BytesIO(content))


def in_memory(size: tuple[int, int, int], count: int) -> Feed:
    """A set of made-up images of one size."""
    pixels = np.random.default_rng(0).integers(0, 256, size=(count, *size), dtype=np.uint8)
    images = ImageSet(pixels, np.arange(count) % 10, tuple(map(str, range(10))))
    statistics = (0.5,) * size[2], (0.25,) * size[2]
    return Feed(DataConfig("cifar10", "test"), images, np.arange(count), images, *statistics)


def best_rate(passes: int, images: int, once: Callable[[], object]) -> float:
    """Images a second of the best of several passes, after one that warms up."""
    once()
    best = float("inf")
    for _ in range(passes):
        begin = time.perf_counter()
        once()
        best = min(best, time.perf_counter() - begin)
    return images / best


def loading_rate(feed: Feed, augment: Augmentation, batch: int, passes: int) -> float:
    """Images a second of an epoch's batches, read and thrown away."""
    epoch = iter(range(1_000_000))

    def once() -> None:
        for _ in feed.batches(seed=0, epoch=next(epoch), batch_size=batch, augment=augment):
            pass

    return best_rate(passes, len(feed.members), once)


def training_rate(name: str, size: int, batch: int, passes: int) -> float:
    """Images a second that steps of a model consume."""
    torch.manual_seed(0)
    model = create_model(name).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images, labels = torch.randn(batch, 3, size, size), torch.arange(batch) % 10

    def once() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return best_rate(passes, batch, once)


def consumed(passes: int) -> dict[str, float]:
    """Images a second that each consumer takes."""
    rates = {name: training_rate(name, 224, 8, passes) for name in CONSUMERS["files"]}
    return rates | {name: training_rate(name, 32, 64, passes) for name in CONSUMERS["memory"]}


def measure(root: Path, count: int, passes: int) -> list[dict[str, str | int | float]]:
    """A row a kind of data set, augmentation and number of workers."""
    takes = [consumed(passes)]  # and again after each round: the machine may be busier now than then
    write_files(root, count)
    rows: list[dict[str, str | int | float]] = []
    for workers in WORKERS:
        feeds = {
            ("files", "image_folder"): open_feed(FILES, root / "folders", workers=workers),
            ("files", "webdataset"): open_feed(replace(FILES, name="webdataset"), root / "shards", workers=workers),
            ("memory", "cifar10, cifar100"): replace(in_memory((32, 32, 3), 40 * count), workers=workers),
            ("memory", "mnist, fashion_mnist"): replace(in_memory((28, 28, 1), 40 * count), workers=workers),
        }
        for (kind, data), feed in feeds.items():
            for stack, augment in STACKS[kind].items():
                few = kind == "memory" and stack == "all"  # a picture at a time through Pillow: slower by far
                shown = replace(feed, members=feed.members[:count]) if few else feed
                rate = loading_rate(shown, augment, 64 if kind == "files" else 128, passes)
                rows.append({"data": data, "augment": stack, "workers": workers, "images_per_s": round(rate, 1)})
                rows[-1] |= {f"model_{place}": name for place, name in enumerate(CONSUMERS[kind], start=1)}
        takes.append(consumed(passes))
    for row in rows:
        for place in (1, 2):
            rate = max(take[str(row[f"model_{place}"])] for take in takes)
            row |= {f"consumes_{place}": round(rate, 2), f"ratio_{place}": round(float(row["images_per_s"]) / rate, 1)}
    return rows


def main() -> None:
    """Measure, print and, with --out, write a CSV file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--machine", default=platform.machine())
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    git = subprocess.run(
        ["git", "describe", "--always", "--match=", "--dirty"], capture_output=True, text=True, check=True
    )
    about = {
        "date": date.today().isoformat(),
        "machine": options.machine,
        "commit": git.stdout.strip(),
        "command": " ".join(["python", *sys.argv]),
    }
    with tempfile.TemporaryDirectory() as folder:
        rows = [about | row for row in measure(Path(folder), options.images, options.passes)]
    for row in rows:
        what = f"{row['data']:22} {row['augment']:22} {row['workers']} workers"
        ratios = ", ".join(f"{row[f'ratio_{i}']} x {row[f'model_{i}']}" for i in (1, 2))
        print(f"{what} {row['images_per_s']:9} images/s: {ratios}")
    if options.out is not None:
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
