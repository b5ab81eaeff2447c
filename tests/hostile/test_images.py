"""Image files against hypothesis, and bombs through `predict`: pixels or an error, in bounded memory and time."""

import io
import json
import resource
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reactnet.errors import ReactnetError
from reactnet.graph import GraphBuilder, save
from reactnet.images import MAX_PIXELS, load_image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(mode: str, shape: tuple[int, ...]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).convert(mode)


RGB = noise("RGB", (9, 7, 3))
EXIF = Image.Exif()
EXIF[0x0112] = 6
IMAGES: dict[str, bytes] = {
    "png": encoded(RGB, "PNG", exif=EXIF),
    "png palette": encoded(RGB.convert("P"), "PNG", transparency=3),
    "png alpha": encoded(noise("RGBA", (9, 7, 4)), "PNG"),
    "png 1 bit": encoded(RGB.convert("1"), "PNG"),
    "png 16 bit": encoded(Image.fromarray(np.arange(63, dtype=np.uint16).reshape(9, 7) * 999), "PNG"),
    "jpeg": encoded(RGB, "JPEG", exif=EXIF),
    "jpeg progressive": encoded(RGB, "JPEG", progressive=True),
    "jpeg cmyk": encoded(RGB.convert("CMYK"), "JPEG"),
    "webp": encoded(RGB, "WEBP"),
    "webp lossless": encoded(noise("RGBA", (9, 7, 4)), "WEBP", lossless=True),
    "webp moving": encoded(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(90)]),
    "bmp": encoded(RGB, "BMP"),
    "bmp palette": encoded(RGB.convert("P"), "BMP"),
    "gif": encoded(RGB.convert("P"), "GIF"),
    "tiff": encoded(RGB, "TIFF"),
    "ico": encoded(RGB, "ICO"),
}
NOT_TAKEN = ("gif", "tiff", "ico")  # formats that the decoder is not offered


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += 12 + length


def decode(path: Path, data: bytes, channels: int = 3) -> bool:
    """Whether the decoder makes pixels of it; an error must name the file and the cure."""
    path.write_bytes(data)
    try:
        pixels = load_image(path, channels)
    except ReactnetError as error:
        problem, hint = error.problem, error.hint
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == channels
        assert pixels.flags.c_contiguous
        return True
    assert problem.startswith(f"{path}: ")
    assert hint
    return False


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images") / "x.png"


@pytest.mark.parametrize("name", IMAGES)
def test_every_seed_is_decoded_or_of_a_format_that_is_not_taken(path: Path, name: str) -> None:
    for channels in (1, 3):
        assert decode(path, IMAGES[name], channels) == (name not in NOT_TAKEN)


@pytest.mark.parametrize("name", IMAGES)
def test_every_truncation_of_an_image_is_pixels_or_an_error(path: Path, name: str) -> None:
    for size in range(0, len(IMAGES[name]), 1 + len(IMAGES[name]) // 100):
        decode(path, IMAGES[name][:size])


EDITS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 3), st.binary(max_size=5)), min_size=1, max_size=4)


@given(name=st.sampled_from(sorted(IMAGES)), edits=EDITS, channels=st.sampled_from([1, 3]))
def test_images_of_odd_bytes_are_pixels_or_an_error(
    path: Path, name: str, edits: list[tuple[int, int, bytes]], channels: int
) -> None:
    data = IMAGES[name]
    for place, gone, more in edits:
        place %= len(data)
        data = data[:place] + more + data[place + gone :]
    decode(path, data, channels)


@given(
    name=st.sampled_from([name for name in sorted(IMAGES) if name.startswith("png")]),
    which=st.integers(0, 9),
    place=st.integers(0, 400),
    more=st.binary(min_size=1, max_size=4),
    extra=st.sampled_from(
        [b"", b"tRNS", b"PLTE", b"eXIf", b"acTL", b"fcTL", b"iCCP", b"zTXt", b"gAMA", b"IDAT", b"IEND"]
    ),
)
def test_pngs_of_odd_chunks_with_right_checksums_are_pixels_or_an_error(
    path: Path, name: str, which: int, place: int, more: bytes, extra: bytes
) -> None:
    """A checksum keeps most mutants from the code behind it: here each chunk gets the right one."""
    found = list(chunks(IMAGES[name]))
    kind, data = found[which % len(found)]
    place %= len(data) + 1
    found[which % len(found)] = kind, data[:place] + more + data[place + len(more) :]
    if extra:
        found.insert(1 + which % len(found), (extra, more * place))
    decode(path, SIGNATURE + b"".join(chunk(*item) for item in found))


# Bombs ---------------------------------------------------------------------------------------------------------------


def zeros(size: int) -> bytes:
    """So many zeros, compressed, without having them in memory."""
    packer = zlib.compressobj(9)
    block = bytes(2**20)
    return b"".join(packer.compress(block) for _ in range(size // 2**20)) + packer.flush()


def png_of(width: int, height: int, data: bytes, *before: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(before) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bombs() -> dict[str, bytes]:
    much = zeros(2**28)
    small = zlib.compress(bytes(4 * 10))
    wide = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0)
    rle = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 70, 0, 0, 62, 40, 30_000, 30_000, 1, 8, 1, 8, 0, 0, 2, 0)
    return {
        "a hundred million pixels.png": png_of(30_000, 30_000, much),
        "more data than pixels.png": png_of(3, 3, much),
        "text that unfolds.png": png_of(3, 3, small, chunk(b"zTXt", b"Comment\0\0" + much)),
        "profile that unfolds.png": png_of(3, 3, small, chunk(b"iCCP", b"icc\0\0" + much)),
        "international text.png": png_of(3, 3, small, chunk(b"iTXt", b"Comment\0\1\0\0\0" + much)),
        "many texts.png": png_of(3, 3, small, *[chunk(b"zTXt", b"C\0\0" + zeros(2**20))] * 200),
        "wide.bmp": wide + bytes(16),
        "runs.bmp": rle + bytes(8) + b"\xff\x01" * 4,
        "16 bit.png": SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 65_535, 65_535, 16, 6, 0, 0, 0))
        + chunk(b"IDAT", much),
        "zip.png": b"PK\x03\x04" + bytes(26) + much,
        "sides.jpg": IMAGES["jpeg"].replace(b"\x00\x09\x00\x07\x03", b"\xff\xff\xff\xff\x03"),
        "archive.webp": IMAGES["webp"][:26] + b"\xff\x3f\xff\x3f" + IMAGES["webp"][30:],
    }


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    builder = GraphBuilder("bombs", (4, 4, 3))
    x = builder.add("normalize", builder.input, table=np.zeros((256, 3), np.float32))
    path = tmp_path_factory.mktemp("model") / "x.rnet"
    save(builder.build(builder.add("global_avg_pool", x)), path)
    return path


MEMORY = 1200 * 2**20  # bytes at most; the largest image that is taken has 192 MiB as RGB, a few times over on the way
SECONDS = 60.0

PROGRAM = """
import json, resource, sys
from reactnet.cli.main import main
code = main(sys.argv[1:])
print(json.dumps({"code": code, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def test_bombs_through_predict_are_skipped_in_bounded_memory_and_time(tmp_path: Path, packed: Path) -> None:
    made = bombs()
    assert MAX_PIXELS < 30_000**2
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
        assert len(data) < 2**20, name
    (tmp_path / "good.png").write_bytes(IMAGES["png"])
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "predict", packed, tmp_path, "--on-bad-image", "skip", "--json"],
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 * MEMORY, 4 * MEMORY)),
    )
    answer, _, told = done.stdout.strip().rpartition("\n")
    found, told = json.loads(answer), json.loads(told)
    assert told["code"] == 0
    assert told["peak"] < MEMORY
    assert time.monotonic() - begin < SECONDS
    answered = {Path(entry["path"]).name for entry in found["predictions"]}
    assert "good.png" in answered
    assert len(found["skipped"]) + len(answered) == len(made) + 1
    assert answered <= {"good.png", "more data than pixels.png", "many texts.png"}  # small images, whatever is beside
