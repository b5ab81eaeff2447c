"""From a decoded image of any size to the square that a model sees: at random for training, from the centre to measure.

Resizing is Pillow's, bilinear and antialiased: that of the runtime, which equals it to the bit (docs/format.md).
"""

import math

import numpy as np
from PIL import Image

from reactnet.data.transforms import Pixels, draw, uniform

_AREA, _RATIO, _TOP, _LEFT = range(4)  # streams from `_FIRST` on, four an attempt
_FIRST = 200
ATTEMPTS = 10
LEAST_RATIO, LARGEST_RATIO = 3 / 4, 4 / 3

Box = tuple[int, int, int, int]  # top, left, height, width


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Antialiased bilinear resize. Shape: (any height, any width, C), C 1 or 3 -> (height, width, C)."""
    if image.shape[:2] == (height, width):
        return image
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    resized = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    return resized.reshape(height, width, image.shape[2])


def centre_crop(image: Pixels, *, shorter: int, side: int) -> Pixels:
    """Resize so that the shorter edge is `shorter`, and cut a square of `side` from the centre.

    Shape: (any height, any width, C) -> (side, side, C).
    """
    height, width = image.shape[:2]
    short = min(height, width)
    size = shorter * height // short, shorter * width // short
    top, left = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return resize(image, *size)[top : top + side, left : left + side]


def random_resized_crop(
    image: Pixels, scale: tuple[float, float], *, size: tuple[int, int], seed: int, epoch: int, index: int
) -> Pixels:
    """Cut a piece at random and resize it to `size`: see `random_box`. Shape: (H, W, C) -> (*size, C)."""
    height, width = image.shape[:2]
    top, left, tall, wide = random_box(height, width, scale, seed=seed, epoch=epoch, index=index)
    return resize(np.ascontiguousarray(image[top : top + tall, left : left + wide]), *size)


def random_box(height: int, width: int, scale: tuple[float, float], *, seed: int, epoch: int, index: int) -> Box:
    """A box whose share of the area is uniform in `scale` and the logarithm of whose ratio is in log 3/4 to log 4/3.

    Ten attempts to find one that fits into the image, then the largest from the centre within those ratios: the
    definition of torchvision's RandomResizedCrop.
    """
    for attempt in range(ATTEMPTS):
        first = _FIRST + 4 * attempt
        share = _number(seed, epoch, index, first + _AREA)
        area = height * width * (scale[0] + share * (scale[1] - scale[0]))
        low, high = math.log(LEAST_RATIO), math.log(LARGEST_RATIO)
        ratio = math.exp(low + _number(seed, epoch, index, first + _RATIO) * (high - low))
        wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < tall <= height:
            top = _place(height - tall + 1, seed, epoch, index, first + _TOP)
            return top, _place(width - wide + 1, seed, epoch, index, first + _LEFT), tall, wide
    if width / height < LEAST_RATIO:
        tall, wide = max(1, round(width / LEAST_RATIO)), width
    elif width / height > LARGEST_RATIO:
        tall, wide = height, max(1, round(height * LARGEST_RATIO))
    else:
        tall, wide = height, width
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def _number(seed: int, epoch: int, index: int, stream: int) -> float:
    return float(uniform(seed=seed, epoch=epoch, indices=[index], stream=stream)[0])


def _place(bound: int, seed: int, epoch: int, index: int, stream: int) -> int:
    return int(draw(bound, seed=seed, epoch=epoch, indices=[index], stream=stream)[0])
