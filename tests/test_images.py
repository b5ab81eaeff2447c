"""The decoder: every kind of image file becomes upright 8-bit pixels, every bad one an error with a cure."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from reactnet.errors import ReactnetError
from reactnet.images import MAX_PIXELS, list_images, load_image

Array = npt.NDArray[np.generic]


def pixels(*shape: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, array: Array, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def png16(colour_type: int, rows: npt.NDArray[np.uint16], extra: bytes = b"") -> bytes:
    """A PNG of 16 bits a sample, written by hand: Pillow writes only the grey ones."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = rows.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    data = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def chunk_trns(*values: int) -> bytes:
    data = struct.pack(f">{len(values)}H", *values)
    return struct.pack(">I", len(data)) + b"tRNS" + data + struct.pack(">I", zlib.crc32(b"tRNS" + data))


@pytest.mark.parametrize("suffix", ["png", "bmp"])
@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 1, 3), (3, 64, 3)])
def test_lossless_colour_comes_back_as_stored(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    array = pixels(*shape)
    got = load_image(save(tmp_path / f"image.{suffix}", array), 3)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, array)


def test_webp_lossless_comes_back_as_stored(tmp_path: Path) -> None:
    array = pixels(6, 9, 3)
    np.testing.assert_array_equal(load_image(save(tmp_path / "a.webp", array, lossless=True), 3), array)


def test_jpeg_is_close_to_what_was_stored(tmp_path: Path) -> None:
    array = np.full((16, 16, 3), (200, 100, 50), dtype=np.uint8)
    got = load_image(save(tmp_path / "a.jpg", array, quality=95), 3)
    assert np.abs(got.astype(int) - array).max() <= 3


def test_grey_as_colour_has_three_equal_channels(tmp_path: Path) -> None:
    array = pixels(5, 4)
    path = save(tmp_path / "a.png", array)
    np.testing.assert_array_equal(load_image(path, 3), np.repeat(array[..., None], 3, axis=2))
    np.testing.assert_array_equal(load_image(path, 1), array[..., None])


def test_colour_as_grey_is_pillows_luma(tmp_path: Path) -> None:
    array = pixels(5, 4, 3)
    expected = np.asarray(Image.fromarray(array).convert("L"))[..., None]
    np.testing.assert_array_equal(load_image(save(tmp_path / "a.png", array), 1), expected)


def test_black_and_white_is_0_and_255(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 1), [[[255], [0]]])


def test_palette_gives_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 3), [[[10, 20, 30], [40, 50, 60]]])


def test_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png", transparency=0)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 3), [[[255, 255, 255], [40, 50, 60]]])


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_composited_on_white(tmp_path: Path, channels: int) -> None:
    array = pixels(8, 8, channels)
    array[0, 0, -1], array[0, 1, -1] = 0, 255
    got = load_image(save(tmp_path / "a.png", array), 3)
    alpha = array[..., -1:].astype(np.float64) / 255
    expected = np.rint(array[..., :-1] * alpha + 255 * (1 - alpha))
    np.testing.assert_array_equal(got, np.broadcast_to(expected, got.shape))
    assert (got[0, 0] == 255).all()


def test_grey_of_16_bits_is_rounded_not_cut(tmp_path: Path) -> None:
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    (tmp_path / "a.png").write_bytes(png16(0, values))
    expected = np.rint(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 1)[..., 0], expected)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 3)[..., 2], expected)


def test_transparent_grey_of_16_bits_is_white(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png16(0, np.array([[300, 257]], dtype=np.uint16), chunk_trns(300)))
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 1), [[[255], [1]]])


@pytest.mark.parametrize(("colour_type", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_colour_and_alpha_of_16_bits_are_rounded_not_cut(tmp_path: Path, colour_type: int, samples: int) -> None:
    values = np.random.default_rng(0).integers(0, 65_536, (9, 7, samples)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png16(colour_type, values))
    rounded = np.rint(values / 257)
    if samples != 3:
        alpha = rounded[..., -1:] / 255
        rounded = np.rint(rounded[..., :-1] * alpha + 255 * (1 - alpha))
    got = load_image(tmp_path / "a.png", 3)
    np.testing.assert_array_equal(got, np.broadcast_to(rounded, got.shape))


def test_transparent_colour_of_16_bits_is_white(tmp_path: Path) -> None:
    values = np.array([[[300, 400, 500], [300, 400, 501]]], dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png16(2, values, chunk_trns(300, 400, 500)))
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 3), [[[255] * 3, [1, 2, 2]]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels(3, 5, 3))
    image.save(tmp_path / "a.png", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 3), np.asarray(upright))


def broken(path: Path, kind: str) -> Path:
    whole = io.BytesIO()
    Image.fromarray(pixels(32, 32, 3)).save(whole, "PNG")
    data = whole.getvalue()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        path.write_bytes(
            {"empty": b"", "text": b"not an image", "truncated": data[: len(data) // 2], "header": data[:20]}[kind]
        )
    return path


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("missing", "No such file"),
        ("folder", "a folder"),
        ("pipe", "not a regular file"),
        ("empty", "0 bytes"),
        ("text", "not an image"),
        ("truncated", "corrupt image"),
        ("header", "image"),
    ],
)
def test_bad_file_is_an_error_that_names_the_path(tmp_path: Path, kind: str, problem: str) -> None:
    path = broken(tmp_path / "bad.png", kind)
    with pytest.raises(ReactnetError) as caught:
        load_image(path, 3)
    assert caught.value.problem.startswith(f"{path}: ")
    assert problem in caught.value.problem
    assert caught.value.hint


@pytest.mark.parametrize("side", [8_193, 10_000, 40_000])  # ours to refuse; Pillow warns; Pillow raises
def test_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    idat = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + idat
    )
    with pytest.raises(ReactnetError, match="too large"):
        load_image(tmp_path / "bomb.png", 3)


def test_channels_other_than_1_or_3_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match="4 channels"):
        load_image(save(tmp_path / "a.png", pixels(2, 2, 3)), 4)


def test_list_is_sorted_recursive_and_by_suffix(tmp_path: Path) -> None:
    for name in ["b/2.png", "b/1.JPG", "a.webp", "b/notes.txt", ".hidden/3.png", "b/.4.png", "c/d/5.jpeg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = [str(path.relative_to(tmp_path)) for path in list_images(tmp_path)]
    assert names == ["a.webp", "b/1.JPG", "b/2.png", "c/d/5.jpeg"]


def test_list_of_an_empty_folder_is_empty_and_of_a_missing_one_an_error(tmp_path: Path) -> None:
    assert list_images(tmp_path) == []
    with pytest.raises(ReactnetError, match="No such file"):
        list_images(tmp_path / "missing")
