"""reactnet-run: the bits of `reactnet predict` without Python, and one clear error for every mistake."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conformance.graphs import random_graph
from reactnet.cli.predict import answer
from reactnet.graph import Graph, GraphBuilder, Preprocessing, save
from reactnet.runtime import Session, system

NAMES = ("tabby cat", 'a "quoted" \\ name', "Käfer 🪲", "\x1b[31mred\x07", "plain")


def small_graph(channels: int) -> Graph:
    """A network of `channels` channels whose five logits depend on every pixel, for images of any size."""
    build = GraphBuilder("small", (8, 6, channels))
    random = np.random.default_rng(channels)
    value = build.add("normalize", build.input, table=random.normal(size=(256, channels)).astype(np.float32))
    value = build.add("conv_f32", value, weight=random.normal(size=(5, 8, 6, channels)).astype(np.float32) / 10)
    resize = Preprocessing(11, (8, 6), (0.5,) * channels, (0.25,) * channels)
    return build.build(value, class_names=NAMES, preprocessing=resize)


def write_pnm(path: Path, pixels: np.ndarray, comment: str = "") -> Path:
    height, width, channels = pixels.shape
    kind = {1: "P5", 3: "P6"}[channels]
    path.write_bytes(f"{kind}{comment}\n{width} {height}\n255\n".encode() + pixels.tobytes())
    return path


def run(program: Path, *words: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **(environment or {})}
    )


def from_json(program: Path, *words: object) -> dict:
    done = run(program, "--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=[1, 3])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.rnet"
    save(small_graph(request.param), path)
    return path


@pytest.mark.parametrize("size", [(8, 6), (11, 11), (40, 23), (9, 300)])
def test_a_picture_gets_the_bits_of_predict(program: Path, model: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = write_pnm(tmp_path / "a.ppm", pixels, comment=" # of a test\r# two lines")
    with Session(model) as session:
        expected = answer(session, tmp_path / "a.png", 4)  # for one channel: colour becomes grey as Pillow does it
    (found,) = from_json(program, model, picture, "--top", 4)["predictions"]
    assert found["path"] == str(picture)
    assert [(entry["index"], entry["label"]) for entry in found["classes"]] == [
        (entry["index"], entry["label"]) for entry in expected
    ]
    assert bits(found) == np.array([entry["logit"] for entry in expected], np.float32).tobytes()
    np.testing.assert_allclose(
        [entry["probability"] for entry in found["classes"]], [entry["probability"] for entry in expected], rtol=1e-12
    )


def bits(prediction: dict) -> bytes:
    return np.array([entry["logit"] for entry in prediction["classes"]], np.float64).astype(np.float32).tobytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_raw_pixels_grey_pictures_and_threads_change_nothing(
    program: Path, model: Path, tmp_path: Path, threads: int
) -> None:
    grey = np.random.default_rng(8).integers(0, 256, (20, 31, 1), dtype=np.uint8)
    picture = write_pnm(tmp_path / "grey.pgm", grey)
    with Session(model) as session:
        channels = session.input_shape[2]
        expected = np.sort(session.run(session.preprocess(grey.repeat(channels, axis=2))[None])[0])[::-1]
    raw = tmp_path / "raw"
    raw.write_bytes(grey.repeat(channels, axis=2).tobytes())
    for words in ([picture], [raw, "--size", "20x31"], ["--size=20x31", "--", raw]):
        (found,) = from_json(program, "--threads", threads, model, *words)["predictions"]
        assert bits(found) == np.ascontiguousarray(expected).tobytes()


def test_every_op_gives_the_bits_of_the_session(program: Path, tmp_path: Path) -> None:
    for seed in range(6):
        graph = random_graph(seed)
        save(graph, tmp_path / "random.rnet")
        pixels = np.random.default_rng(seed).integers(0, 256, graph.input_shape, dtype=np.uint8)
        (tmp_path / "raw").write_bytes(pixels.tobytes())
        with Session(tmp_path / "random.rnet") as session:
            logits = session.run(session.preprocess(pixels)[None])[0]
        if not np.isfinite(logits).all():
            continue
        size = f"{graph.input_shape[0]}x{graph.input_shape[1]}"
        found = from_json(program, tmp_path / "random.rnet", tmp_path / "raw", "--size", size, "--top", 65536)
        order = np.argsort(-logits.astype(np.float64), kind="stable")
        (prediction,) = found["predictions"]
        assert [entry["index"] for entry in prediction["classes"]] == order.tolist()
        assert bits(prediction) == np.ascontiguousarray(logits[order]).tobytes()


def test_text_names_classes_and_no_name_reaches_the_terminals_controls(
    program: Path, model: Path, tmp_path: Path
) -> None:
    picture = write_pnm(tmp_path / "a.ppm", np.zeros((8, 6, 3), np.uint8))
    done = run(program, model, picture, picture)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * 6
    assert lines[0].startswith(f"{picture}  (")
    shares = sum(float(line.split()[-2]) for line in lines[1:6])
    assert shares == pytest.approx(100, abs=0.1)
    assert {"?[31mred?", "Käfer 🪲"} <= {line[2:].rsplit("  ", 1)[0].strip() for line in lines[1:6]}
    assert "\x1b" not in done.stdout


def test_the_c_example_gives_the_best_class_and_the_bits_of_its_logit(example: Path, tmp_path: Path) -> None:
    save(small_graph(3), tmp_path / "small.rnet")
    pixels = np.random.default_rng(9).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    picture = write_pnm(tmp_path / "a.ppm", pixels)
    with Session(tmp_path / "small.rnet") as session:
        logits = session.run(session.preprocess(pixels)[None])[0]
    done = run(example, tmp_path / "small.rnet", picture)
    assert done.returncode == 0, done.stderr
    label, logit = done.stdout.strip().removeprefix("class ").split(", logit ")
    assert int(label) == int(np.argmax(logits))
    assert np.float32(logit) == logits.max()
    for words in ([], [tmp_path / "none.rnet", picture], [tmp_path / "small.rnet", tmp_path / "small.rnet"]):
        failed = run(example, *words)
        assert failed.returncode == 2
        assert failed.stderr.startswith("error: ")
        assert failed.stdout == ""


def test_model_machine_and_bench_are_described(program: Path, model: Path) -> None:
    with Session(model) as session:
        found = from_json(program, model)
        assert found["input"] == list(session.input_shape)
        assert found["classes"] == 5
        assert found["steps"] == len(session.plan["steps"])
        assert found["arena_bytes"] == session.sizes["arena_bytes"]
    assert found["file_bytes"] == model.stat().st_size
    assert str(model) in run(program, model).stdout
    bench = from_json(program, model, "--bench")
    assert 0 < bench["ms_min"] <= bench["ms_median"]
    assert bench["runs"] >= 5
    assert model.stat().st_size < bench["peak_rss_bytes"] < 40e6  # far below what Python alone takes with NumPy
    assert "peak memory" in run(program, model, "--bench").stdout
    here = json.loads(run(program, "--system").stdout)
    assert here["isas"] == system()["isas"]
    assert run(program, "--version").stdout == f"reactnet-run {here['version']}\n"
    assert "Usage: reactnet-run" in run(program, "--help").stdout


@pytest.mark.parametrize("isa", system()["isas"])
def test_the_instruction_set_is_that_of_the_environment(program: Path, model: Path, isa: str) -> None:
    done = run(program, model, "--json", environment={"REACTNET_ISA": isa})
    assert json.loads(done.stdout)["isa"] == isa


def refused(program: Path, *words: object) -> str:
    """What the two lines of an error say."""
    done = run(program, *words)
    assert done.returncode == 2, done.stdout
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint: ")
    return done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "no model given"),
        (["--frob"], "unknown option '--frob'"),
        (["--frob=1"], "unknown option '--frob'"),
        (["m", "--top"], "--top needs a value"),
        (["m", "--top", "0"], "--top is '0'"),
        (["m", "--top", "4294967297"], "--top is '4294967297'"),
        (["m", "--top=+3"], "--top is '+3'"),
        (["m", "--threads", "1025"], "--threads is '1025'"),
        (["m", "--size", "20"], "--size is '20'"),
        (["m", "--size", "20x"], "the width of --size is ''"),
        (["m", "--size", "0x5"], "the height of --size is '0'"),
        (["m", "--system"], "--system takes no model"),
        (["/none.rnet"], "/none.rnet: cannot be opened"),
        (["/"], "/: not a regular file"),
    ],
)
def test_usage_that_makes_no_sense_is_named(program: Path, words: list[str], problem: str) -> None:
    assert problem in refused(program, *words)


GOOD = b"P6\n2 2\n255\n" + bytes(12)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "neither a binary PPM"),
        (b"P3\n2 2\n255\n0 0 0", "neither a binary PPM"),
        (b"\x89PNG\r\n\x1a\n", "neither a binary PPM"),
        (GOOD[:-1], "11 bytes of pixels, its header promises 12"),
        (GOOD + b"\0", "13 bytes of pixels"),
        (b"P6", "no width"),
        (b"P6 # a comment without end", "no width"),
        (b"P6\n-2 2\n255\n", "no width"),
        (b"P6\n0 2\n255\n", "no width"),
        (b"P6\n2 99999\n255\n", "its height is more than 65536"),
        (b"P6\n2 " + b"9" * 300, "its height is more than 65536"),
        (b"P6\n65536 65536\n255\n", "65536x65536 pixels is too large"),
        (b"P6\n2 2\n65535\n" + bytes(24), "its maxval is 65535, not 255"),
        (b"P6\n2 2\n255", "its PNM header does not end"),
        (b"P6\n2 2\n255x" + bytes(12), "its PNM header does not end"),
    ],
)
def test_a_picture_that_is_not_whole_is_refused(
    program: Path, model: Path, tmp_path: Path, data: bytes, problem: str
) -> None:
    path = tmp_path / "bad.ppm"
    path.write_bytes(data)
    assert f"{path}: {problem}" in refused(program, model, path)


def test_what_is_no_file_of_pixels_is_refused_without_waiting(program: Path, model: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(program, model, tmp_path / "pipe")
    assert "not a regular file" in refused(program, model, tmp_path)
    assert "No such file" in refused(program, model, tmp_path / "none.ppm")
    (tmp_path / "raw").write_bytes(bytes(10))
    assert "10 bytes, 2x2x" in refused(program, model, tmp_path / "raw", "--size", "2x2")
    assert "too large" in refused(program, model, tmp_path / "raw", "--size", "65536x65536")


def test_a_file_name_with_a_line_break_does_not_make_a_third_line(program: Path, model: Path, tmp_path: Path) -> None:
    assert "a?b.ppm" in refused(program, model, tmp_path / "a\nb.ppm")


def test_channels_that_no_picture_has_need_raw_pixels(program: Path, tmp_path: Path) -> None:
    save(small_graph(2), tmp_path / "two.rnet")
    picture = write_pnm(tmp_path / "a.ppm", np.zeros((2, 2, 3), np.uint8))
    assert "2 channels" in refused(program, tmp_path / "two.rnet", picture)


def test_a_network_that_answers_nan_is_an_error_and_not_an_answer(program: Path, tmp_path: Path) -> None:
    build = GraphBuilder("nan", (2, 2, 1))
    huge = build.add("normalize", build.input, table=np.full((256, 1), 3e38, np.float32))
    weight = np.array([1, -1], np.float32).reshape(2, 1, 1, 1).repeat(2, axis=1).repeat(2, axis=2)
    value = build.add("conv_f32", build.add("add", [huge, huge]), weight=weight)
    save(build.build(value), tmp_path / "nan.rnet")
    picture = write_pnm(tmp_path / "a.pgm", np.zeros((2, 2, 1), np.uint8))
    assert "not finite" in refused(program, tmp_path / "nan.rnet", picture)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_an_error(program: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([str(program), "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_a_model_without_names_calls_classes_by_their_index(program: Path, tmp_path: Path) -> None:
    save(replace(small_graph(1), class_names=()), tmp_path / "bare.rnet")
    picture = write_pnm(tmp_path / "a.pgm", np.zeros((8, 6, 1), np.uint8))
    (found,) = from_json(program, tmp_path / "bare.rnet", picture)["predictions"]
    assert all(entry["label"] == str(entry["index"]) for entry in found["classes"])
