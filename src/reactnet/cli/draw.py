"""Small images in a terminal, two pixels a character: the upper half block takes one colour for each half."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]

UPPER = "\u2580"
_WITHOUT_COLOUR = {(False, False): " ", (True, False): "\u2580", (False, True): "\u2584", (True, True): "\u2588"}


def side_by_side(images: Sequence["Pixels"], captions: Sequence[str], *, scale: int, colour: bool) -> list[str]:
    """The lines of one row of images (H, W, 1 or 3) of equal size, each with its caption below.

    Without `colour` a pixel is full or empty.
    """
    drawn = [_lines(image.repeat(scale, axis=0).repeat(scale, axis=1), colour) for image in images]
    width = images[0].shape[1] * scale
    rows = ["  ".join(parts) for parts in zip(*drawn, strict=True)]
    return [*rows, "  ".join(caption.center(width) for caption in captions).rstrip()]


def _lines(image: "Pixels", colour: bool) -> list[str]:
    import numpy as np

    if image.shape[0] % 2:
        image = np.concatenate([image, np.zeros_like(image[:1])])
    rgb = np.broadcast_to(image, (*image.shape[:2], 3))
    if not colour:
        bright = rgb.mean(axis=2) >= 128
        return [
            "".join(_WITHOUT_COLOUR[bool(a), bool(b)] for a, b in zip(*pair, strict=True)) for pair in _pairs(bright)
        ]
    lines = []
    for upper, lower in _pairs(rgb):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m{UPPER}"
            for a, b in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + "\x1b[0m")
    return lines


def _pairs(rows: "npt.NDArray[Any]") -> "list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]":
    return list(zip(rows[::2], rows[1::2], strict=True))
