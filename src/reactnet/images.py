"""The one decoder of image files, so that training, evaluation and prediction see the same pixels."""

import io
import os
import stat
import threading
import warnings
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from reactnet.errors import ReactnetError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
FORMATS = ("BMP", "JPEG", "PNG", "WEBP")

MAX_SIDE = 65_536
MAX_PIXELS = 2**26  # 8,192 x 8,192: 192 MiB as RGB; a photograph has a tenth of it
MAX_BYTES = 2**30

_ORIENTATION = 0x0112  # EXIF tag
_CONVERT = "convert it to PNG, JPEG, WebP or BMP and try again"

_opening = threading.Lock()  # warnings.catch_warnings changes the whole process


def load_image(path: str | Path, channels: int) -> npt.NDArray[np.uint8]:
    """Decode an image file to pixels of 8 bits, upright: uint8 (H, W, channels), `channels` 1 (grey) or 3 (RGB).

    EXIF orientation is applied, samples of 16 bits become rint(x / 257), then transparency is composited on white, then
    colour becomes grey by ITU-R 601. Of an animation the first frame counts. Raises ReactnetError, which names the
    path, for anything that is not a whole image of a sane size.
    """
    if channels not in (1, 3):
        raise ReactnetError(
            f"{path}: cannot decode an image file to {channels} channels",
            hint="only models of 1 (grey) or 3 (RGB) channels take image files; give an array to Session.run",
        )
    with _open_regular(path) as file:
        return _decode_file(path, file, channels)


def decode_image(data: bytes, channels: int, *, name: str) -> npt.NDArray[np.uint8]:
    """Decode the bytes of an image file as `load_image` does; `name` is what errors call it."""
    return _decode_file(name, io.BytesIO(data), channels)


def list_images(folder: str | Path) -> list[Path]:
    """The image files below `folder`, sorted, recognised by suffix; hidden files and folders are left out.

    Links to folders inside are not followed. No image is no error here: an empty list. Raises ReactnetError for a
    folder that is missing or cannot be read.
    """

    def unreadable(error: OSError) -> None:
        raise ReactnetError(
            f"{error.filename}: {error.strerror}", hint="give a folder that exists and that you may read"
        ) from error

    found: list[Path] = []
    for root, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    return sorted(found)


def _decode_file(path: str | Path, file: IO[bytes], channels: int) -> npt.NDArray[np.uint8]:
    image = _open_image(path, file)
    try:
        pixels = _decode(image, file, channels)
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to
        raise ReactnetError(f"{path}: corrupt image: {_reason(error)}", hint="replace the file") from error
    return np.ascontiguousarray(_upright(pixels, orientation))


def _open_regular(path: str | Path) -> IO[bytes]:
    """Open `path` for reading if it is a regular file; never waits, as opening a named pipe would."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ReactnetError(
            f"{path}: {error.strerror}", hint="give an image file that exists and that you may read"
        ) from error
    except ValueError as error:
        raise ReactnetError(f"{str(path)!r}: {error}", hint="give the path of an image file") from error
    status = os.fstat(descriptor)
    problem = None
    if stat.S_ISDIR(status.st_mode):
        problem = f"{path}: a folder, not an image file", "give a file in it"
    elif not stat.S_ISREG(status.st_mode):
        problem = f"{path}: not a regular file", "save the image to a file first"
    elif status.st_size == 0:
        problem = f"{path}: an empty file (0 bytes)", "replace the file"
    elif status.st_size > MAX_BYTES:
        problem = f"{path}: {status.st_size} bytes, more than {MAX_BYTES}", _CONVERT
    if problem is not None:
        os.close(descriptor)
        raise ReactnetError(problem[0], hint=problem[1])
    return os.fdopen(descriptor, "rb")


def _open_image(path: str | Path, file: IO[bytes]) -> ImageFile.ImageFile:
    """Read the header only, and judge the size before a pixel is decoded."""
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(file, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ReactnetError(
            f"{path}: too large: {_reason(error)}", hint=f"give an image of at most {MAX_PIXELS} pixels"
        ) from error
    except UnidentifiedImageError as error:
        raise ReactnetError(f"{path}: not an image, or one of an unknown format", hint=_CONVERT) from error
    except Exception as error:  # as above: a broken header can raise anything
        raise ReactnetError(f"{path}: corrupt image: {_reason(error)}", hint="replace the file") from error
    width, height = image.size
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ReactnetError(
            f"{path}: {width}x{height} pixels is too large",
            hint=f"give an image of at most {MAX_PIXELS} pixels, {MAX_SIDE} a side",
        )
    return image


def _decode(stored: ImageFile.ImageFile, file: IO[bytes], channels: int) -> npt.NDArray[np.uint8]:
    """The pixels as stored: (H, W, channels)."""
    if stored.mode.startswith("I"):
        return np.repeat(_grey16(stored)[..., None], channels, axis=2)
    layout = stored.tile[0].args if stored.tile else None
    image: Image.Image = stored
    if isinstance(layout, str) and layout in ("LA;16B", "RGB;16B", "RGBA;16B"):
        image = Image.fromarray(_colour16(stored, file, layout))
    mode = "L" if channels == 1 else "RGB"
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        image = Image.fromarray(_on_white(np.asarray(image.convert("RGBA"))))
    elif image.mode == "P":
        image = image.convert("RGB")
    pixels = np.asarray(image.convert(mode))
    return pixels.reshape(*pixels.shape[:2], channels)


def _grey16(image: Image.Image) -> npt.NDArray[np.uint8]:
    """16-bit grey to 8 bit by rounding x / 257; a transparent value, where a PNG names one, is white."""
    values = np.asarray(image).astype(np.int64)
    grey = _to_8_bits(values)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return grey


def _colour16(image: ImageFile.ImageFile, file: IO[bytes], layout: str) -> npt.NDArray[np.uint8]:
    """A PNG of 16 bits a sample as (H, W, 3 or 4) of 8 bits, each rounded.

    Pillow keeps only the upper byte of a sample. Decoding the same data as if its byte order were the other one gives
    the lower bytes; grey with alpha, two samples of two bytes, passes as one pixel of four.
    """
    if layout == "LA;16B":
        parts = np.asarray(_as_laid_out(image, "RGBA")).astype(np.int64)
        values = (256 * parts[..., ::2] + parts[..., 1::2])[..., [0, 0, 0, 1]]
    else:
        again = Image.open(file, formats=FORMATS)  # its size has been judged
        lower = np.asarray(_as_laid_out(again, layout.replace("16B", "16L")))
        values = 256 * np.asarray(image).astype(np.int64) + lower
    pixels = _to_8_bits(values)
    transparent = image.info.get("transparency")
    if isinstance(transparent, tuple):
        pixels[(values[..., :3] == transparent).all(axis=2), :3] = 255
    return pixels


def _as_laid_out(image: ImageFile.ImageFile, layout: str) -> ImageFile.ImageFile:
    image.tile = [tile._replace(args=layout) for tile in image.tile]
    return image


def _to_8_bits(values: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """rint(x / 257) of samples of 16 bits; a tie cannot be, since 257 is odd."""
    return ((np.clip(values, 0, 65_535) + 128) // 257).astype(np.uint8)


def _on_white(rgba: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Composite (H, W, 4) on white: rint((c * a + 255 * (255 - a)) / 255), which has no ties and fits 16 bits."""
    colour = rgba[..., :3].astype(np.uint16)
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _upright(pixels: npt.NDArray[np.uint8], orientation: object) -> npt.NDArray[np.uint8]:
    """Undo what EXIF orientation 2 to 8 says was done to the picture; any other value changes nothing."""
    turned = pixels.transpose(1, 0, 2) if orientation in (5, 6, 7, 8) else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return turned


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if text else type(error).__name__
