"""A session gives the reference's bits, from any thread and memory layout, and refuses what it cannot run."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reactnet.errors import ReactnetError
from reactnet.graph import Graph, check, dumps, pack_bits, run_reference, run_values
from reactnet.runtime import Session, resize, system


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("threads", [None, 1, 2, 3])
@pytest.mark.parametrize("isa", [None, "scalar"])
def test_run_gives_the_references_bits(packed: Path, graph: Graph, images: np.ndarray, threads: int, isa: str) -> None:
    with Session(packed, threads, isa=isa) as session:
        assert same_bits(session.run(images), run_reference(graph, images))


def test_every_isa_of_this_machine_gives_the_same_bits(packed: Path, graph: Graph, images: np.ndarray) -> None:
    expected = run_reference(graph, images)
    for isa in system()["isas"]:
        with Session(packed, isa=isa) as session:
            assert session.plan["isa"] == isa
            assert same_bits(session.run(images), expected)


def test_bytes_run_as_the_file_does(graph: Graph, images: np.ndarray) -> None:
    with Session.from_bytes(dumps(graph)) as session:
        assert same_bits(session.run(images), run_reference(graph, images))


def test_a_batch_is_its_images_one_by_one(packed: Path, images: np.ndarray) -> None:
    with Session(packed) as session:
        single = np.concatenate([session.run(image[None]) for image in images])
        assert same_bits(session.run(images), single)


def test_no_images_give_no_logits(packed: Path, images: np.ndarray) -> None:
    with Session(packed) as session:
        assert session.run(images[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: np.asfortranarray(x),
        lambda x: np.concatenate([x, x], axis=3)[..., :3],
        lambda x: x[::-1][::-1],
        lambda x: np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1),
    ],
    ids=["fortran", "slice", "reversed twice", "channels first in memory"],
)
def test_memory_layout_changes_nothing(packed: Path, images: np.ndarray, view: object) -> None:
    with Session(packed) as session:
        assert same_bits(session.run(view(images)), session.run(images))


def test_normalised_float_images_give_the_logits_of_their_pixels(
    packed: Path, graph: Graph, images: np.ndarray
) -> None:
    table = graph.constants["normalize.table"]
    normalised = table[images, np.arange(3)]
    with Session(packed) as session:
        assert session.accepts_float
        assert same_bits(session.run(normalised), session.run(images))


def test_integer_file_refuses_float_images(integer_graph: Graph, images: np.ndarray) -> None:
    with Session.from_bytes(dumps(integer_graph)) as session:
        assert not session.accepts_float
        assert same_bits(session.run(images), run_reference(integer_graph, images))
        with pytest.raises(ReactnetError, match="dtype float32, expected uint8"):
            session.run(images.astype(np.float32))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_float_image_that_is_not_finite_is_refused(packed: Path, number: float) -> None:
    images = np.zeros((2, 6, 5, 3), dtype=np.float32)
    images[1, 5, 4, 2] = number
    with Session(packed) as session, pytest.raises(ReactnetError, match="finite"):
        session.run(images)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((6, 5, 3), "images[None]"),
        ((2, 3, 6, 5), "transpose"),
        ((2, 6, 5, 1), "preprocess"),
        ((2, 7, 5, 3), "preprocess"),
    ],
)
def test_wrong_shape_is_an_error_with_the_cure(packed: Path, shape: tuple[int, ...], hint: str) -> None:
    with Session(packed) as session, pytest.raises(ReactnetError) as caught:
        session.run(np.zeros(shape, dtype=np.uint8))
    assert f"shape {shape}, expected (N, 6, 5, 3)" in caught.value.problem
    assert hint in caught.value.hint


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.int8, np.bool_, ">f4"])
def test_wrong_dtype_is_an_error(packed: Path, dtype: object) -> None:
    with Session(packed) as session, pytest.raises(ReactnetError, match="dtype"):
        session.run(np.zeros((1, 6, 5, 3), dtype=dtype))


def test_many_threads_share_a_session(packed: Path, graph: Graph) -> None:
    batches = np.random.default_rng(2).integers(0, 256, (64, 3, 6, 5, 3), dtype=np.uint8)
    expected = [run_reference(graph, batch) for batch in batches]
    with Session(packed, 2) as session, ThreadPoolExecutor(8) as pool:
        for got, wanted in zip(pool.map(session.run, batches), expected, strict=True):
            assert same_bits(got, wanted)


def test_closing_while_others_run_is_safe(packed: Path) -> None:
    images = np.zeros((200, 6, 5, 3), dtype=np.uint8)
    session = Session(packed)
    refused = threading.Event()

    def work() -> None:
        try:
            while True:
                session.run(images)
        except ReactnetError:
            refused.set()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    session.close()
    for worker in workers:
        worker.join(timeout=20)
        assert not worker.is_alive()
    assert refused.is_set()


def test_closed_session_says_so(packed: Path, images: np.ndarray) -> None:
    session = Session(packed)
    session.close()
    session.close()
    for call in (lambda: session.run(images), lambda: session.preprocess(images[0]), lambda: session.values(images[0])):
        with pytest.raises(ReactnetError, match="closed"):
            call()


def test_session_survives_a_fork(packed: Path) -> None:
    code = (
        "import os, sys, numpy as np; from reactnet.runtime import Session;"
        f"s = Session({str(packed)!r}, 2); x = np.zeros((4, 6, 5, 3), np.uint8); a = s.run(x).tobytes()\n"
        "pid = os.fork()\n"
        "if pid == 0: os._exit(0 if s.run(x).tobytes() == a else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_values_are_the_references_values(packed: Path, graph: Graph, images: np.ndarray) -> None:
    expected = run_values(graph, images[:1])
    shapes = check(graph)
    with Session(packed) as session:
        found = session.values(images[0])
    assert list(found) == [node.name for node in graph.nodes]
    for node in graph.nodes:
        wanted = np.asarray(expected[node.name])[0]
        if node.op == "sign":
            wanted = pack_bits(wanted > 0)
        assert same_bits(found[node.name], wanted.ravel()), f"{node.name} {shapes[node.name]}"


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 5), (31, 17), (9, 200), (200, 9), (1, 1)])
def test_preprocess_is_pillows_resize_of_the_shorter_edge_and_a_centre_crop(
    packed: Path, height: int, width: int
) -> None:
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    short = min(height, width)
    size = 8 * height // short, 8 * width // short
    resized = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    top, left = round((size[0] - 6) / 2), round((size[1] - 5) / 2)
    with Session(packed) as session:
        np.testing.assert_array_equal(session.preprocess(image), resized[top : top + 6, left : left + 5])


def test_preprocess_refuses_another_channel_count(packed: Path) -> None:
    with Session(packed) as session, pytest.raises(ReactnetError, match="3 channels"):
        session.preprocess(np.zeros((8, 8, 1), dtype=np.uint8))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (7, 40), (64, 3), (33, 35)])
def test_resize_is_pillows(mode: str, size: tuple[int, int]) -> None:
    channels = len(mode) if mode != "L" else 1
    image = np.random.default_rng(4).integers(0, 256, (23, 29, channels), dtype=np.uint8)
    # Each channel by itself: Pillow multiplies RGBA by its alpha first.
    planes = [Image.fromarray(image[..., c]).resize(size[::-1], Image.Resampling.BILINEAR) for c in range(channels)]
    np.testing.assert_array_equal(resize(image, *size), np.stack([np.asarray(plane) for plane in planes], axis=-1))


def test_resize_refuses_an_empty_image() -> None:
    with pytest.raises(ReactnetError, match=r"shape \(0, 3, 3\)"):
        resize(np.zeros((0, 3, 3), dtype=np.uint8), 2, 2)


def test_metadata_and_plan_tell_of_the_file(packed: Path, graph: Graph) -> None:
    with Session(packed) as session:
        assert session.input_shape == (6, 5, 3)
        assert session.class_names == ("cat", "dog", "owl")
        assert session.num_classes == 3
        assert session.metadata["model"] == "small"
        assert session.sizes["file_bytes"] == packed.stat().st_size
        covered = [node for step in session.plan["steps"] for node in step["nodes"]]
        assert sorted(covered) == sorted(node.name for node in graph.nodes)


def bad_file(path: Path, packed: Path, kind: str) -> None:
    data = bytearray(packed.read_bytes())
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        data[-1] ^= 1 if kind == "one bit" else 0
        path.write_bytes({"empty": b"", "text": b"hello", "truncated": data[:-8]}.get(kind, bytes(data)))


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "empty", "text", "truncated", "one bit"])
def test_bad_file_is_an_error_that_names_it(tmp_path: Path, packed: Path, kind: str) -> None:
    path = tmp_path / "bad.rnet"
    bad_file(path, packed, kind)
    with pytest.raises(ReactnetError, match=r"bad\.rnet") as caught:
        Session(path)
    assert caught.value.hint


def test_path_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ReactnetError, match="zero byte"):
        Session("a\0b")


@pytest.mark.parametrize("threads", [0, -1, 10**9])
def test_senseless_thread_count_is_refused(packed: Path, threads: int) -> None:
    with pytest.raises(ReactnetError, match=f"threads is {threads}"):
        Session(packed, threads)


@pytest.mark.parametrize("isa", ["", "sse9", "neon"])
def test_isa_that_is_not_here_is_an_error(packed: Path, isa: str) -> None:
    if isa in system()["isas"]:
        pytest.skip(f"this machine has {isa}")
    with pytest.raises(ReactnetError):
        Session(packed, isa=isa)


def test_running_loads_neither_torch_nor_the_graph(packed: Path) -> None:
    code = (
        "import sys, numpy; from reactnet.runtime import Session;"
        f"Session({str(packed)!r}).run(numpy.zeros((1, 6, 5, 3), numpy.uint8));"
        "print([name for name in sys.modules if name.split('.')[0] == 'torch' or name.startswith('reactnet.graph')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
