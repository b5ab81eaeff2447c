"""Resizing in native code against Pillow: every byte equal, up and down, along either axis, at every awkward size.

Pillow 13 takes the vertical pass first where it shrinks the image much more than the horizontal one would; with 8 bits
between the passes that is visible. The sizes below meet both orders.
"""

import numpy as np
import pytest
from PIL import Image

from reactnet.errors import ReactnetError
from reactnet.runtime import resize

SIDES = (1, 2, 3, 7, 16, 31, 100, 257)


def pillow(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return resized.reshape(height, width, pixels.shape[2])


def noise(height: int, width: int, channels: int, *, extreme: bool) -> np.ndarray:
    pixels = np.random.default_rng([height, width]).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return np.where(pixels < 128, 0, 255).astype(np.uint8) if extreme else pixels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("height", SIDES)
@pytest.mark.parametrize("width", SIDES)
def test_resize_equals_pillow(height: int, width: int, channels: int) -> None:
    random = np.random.default_rng([height, width, channels])
    pixels = noise(height, width, channels, extreme=(height + width) % 2 == 0)
    targets = [(height, 20), (20, width), (height, width), (1, 1), *random.integers(1, 300, (6, 2)).tolist()]
    for out_height, out_width in targets:
        wanted = pillow(pixels, out_height, out_width)
        np.testing.assert_array_equal(resize(pixels, out_height, out_width), wanted, f"to {out_height}x{out_width}")


def test_the_order_of_the_passes_is_pillows() -> None:
    """At the border: the vertical pass comes first where it drops more than twice the rows than the other columns."""
    for out_height in (97, 98, 99, 100, 101):
        pixels = noise(200, 100, 1, extreme=False)
        np.testing.assert_array_equal(resize(pixels, out_height, 50), pillow(pixels, out_height, 50))


def test_each_channel_is_resized_by_itself() -> None:
    pixels = noise(31, 17, 4, extreme=False)
    for channel in range(4):
        alone = resize(pixels[..., channel : channel + 1], 9, 40)
        np.testing.assert_array_equal(resize(pixels, 9, 40)[..., channel : channel + 1], alone)


def test_a_flat_image_stays_flat() -> None:
    for value in (0, 1, 127, 255):
        assert np.all(resize(np.full((50, 70, 3), value, np.uint8), 33, 200) == value)


def test_absurd_sizes_are_refused() -> None:
    with pytest.raises(ReactnetError, match="65536x65536"):
        resize(np.zeros((1, 1, 1), np.uint8), 65_536, 65_536)
