"""The WebAssembly module in node: the reference's bits on every op, one error for every bad file."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from conformance.graphs import CASES, random_graph, random_images
from reactnet.graph import OPS, Graph, dumps, run_reference

MOST_BYTES = 150_000
RUNNER = Path(__file__).parent / "run.mjs"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no node: apt-get install nodejs")


def run_node(wasm: Path, folder: Path, jobs: list[tuple[bytes, np.ndarray]]) -> list[dict[str, str]]:
    """Each file on each image, in a process of node."""
    lines = []
    for index, (data, pixels) in enumerate(jobs):
        file, image = folder / f"{index}.rnet", folder / f"{index}.raw"
        file.write_bytes(data)
        image.write_bytes(pixels.tobytes())
        height, width, _ = pixels.shape
        lines.append(json.dumps({"file": str(file), "pixels": str(image), "height": height, "width": width}))
    command = ["node", str(RUNNER), str(wasm)]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def bits(logits: np.ndarray) -> str:
    """Logits as the runner prints them."""
    return logits.astype("<f4").tobytes().hex()


def graphs() -> dict[str, Graph]:
    """Every case of the conformance suite, and networks that hold every op."""
    return {name: make() for name, make in CASES.items()} | {
        f"random {seed}": random_graph(seed) for seed in range(len(OPS))
    }


def test_module_is_small_and_every_op_gives_the_bits_of_the_reference(wasm: Path, tmp_path: Path) -> None:
    assert wasm.stat().st_size < MOST_BYTES
    made = graphs()
    images = {name: random_images(graph, 1, seed=0) for name, graph in made.items()}
    answers = run_node(wasm, tmp_path, [(dumps(graph), images[name][0]) for name, graph in made.items()])
    assert len(answers) == len(made)
    with np.errstate(all="ignore"):
        for (name, graph), answer in zip(made.items(), answers, strict=True):
            wanted = bits(run_reference(graph, images[name])[0])
            assert answer == {"logits": wanted, "timed": wanted, "again": wanted}, name


def test_files_that_are_not_whole_are_refused_with_the_native_readers_words(wasm: Path, tmp_path: Path) -> None:
    graph = random_graph(0)
    data = dumps(graph)
    pixels = random_images(graph, 1, seed=0)[0]
    cuts = range(0, len(data), max(1, len(data) // 150))
    flips = range(0, len(data), max(1, len(data) // 150))
    flipped = [data[:i] + bytes([data[i] ^ 1 << i % 8]) + data[i + 1 :] for i in flips]
    answers = run_node(wasm, tmp_path, [(bad, pixels) for bad in [data[:cut] for cut in cuts] + flipped])
    for answer in answers:
        assert answer["error"].startswith("packed bytes: "), answer
        assert answer["hint"]


def test_pixels_of_another_size_are_resized_as_the_native_library_does(wasm: Path, tmp_path: Path) -> None:
    from reactnet.runtime import Session

    graph = random_graph(1)
    path = tmp_path / "model.rnet"
    path.write_bytes(dumps(graph))
    height, width, channels = graph.input_shape
    shape = (3 * height + 5, 2 * width + 9, channels)
    pixels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    session = Session(path)
    wanted = bits(session.run(session.preprocess(pixels)[None])[0])
    assert run_node(wasm, tmp_path, [(dumps(graph), pixels)])[0]["logits"] == wanted
