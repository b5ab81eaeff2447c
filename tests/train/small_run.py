"""A run small enough for a test: a few made-up images, two phases with a teacher, two steps an epoch."""

from pathlib import Path

import numpy as np

from reactnet.data import ImageSet
from reactnet.data.config import DataConfig
from reactnet.train.feed import Feed

CLASSES = 4
COMMIT = "c0ffee"  # a fixed one: someone may commit while these tests run

TEXT = """
model = "reactnet_digits"
seed = 3
threads = 1
[data]
name = "digits"
evaluate_on = "test"
[phases.teacher]
binarize = []
carry = "nothing"
teacher = "none"
loss = "cross_entropy"
epochs = 2
batch_size = 12
optimizer = "adam"
betas = [0.9, 0.999]
learning_rate = 0.002
schedule = "linear_step"
weight_decay = 1e-4
weight_decay_on = ["convolutions"]
[phases.teacher.augment]
random_shift = 1
random_shift_probability = 0.5
random_flip = true
[phases.student]
binarize = ["activations", "weights"]
carry = "all"
teacher = "phase:teacher"
loss = "distributional"
epochs = 2
batch_size = 12
optimizer = "sgd"
momentum = 0.9
learning_rate = 0.01
schedule = "cosine"
weight_decay = 0.0
weight_decay_on = []
[phases.student.augment]
random_shift = 1
random_shift_probability = 0.5
random_flip = true
"""


def images(seed: int, count: int) -> ImageSet:
    generator = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % CLASSES
    # A class is a bright band of two rows: something to learn, also when mirrored.
    pixels = generator.integers(0, 120, size=(count, 8, 8, 1))
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label : 2 * label + 2] += 130
    return ImageSet(pixels.astype(np.uint8), labels, tuple(f"class {i}" for i in range(CLASSES)))


def small_feed(config: DataConfig, root: Path | None, **options: object) -> Feed:
    assert root is None
    return Feed(config, images(0, 24), np.arange(24), images(1, 16), (0.4,), (0.3,))
