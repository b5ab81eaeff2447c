"""Golden bytes never change: read, run, written again, and built again, they are the same."""

import json
from pathlib import Path

import numpy as np
import pytest

from golden.make_golden import FOLDER, GRAPHS, golden_images, logits_hex
from graph import scalar
from reactnet.graph import OPS, dumps, load, run_reference

FILES = sorted(FOLDER.glob("*.rnet"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file_gives_its_logits_bit_for_bit(path: Path):
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    images = np.array(record["images"], np.uint8)
    assert logits_hex(run_reference(load(path), images)) == record["logits"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file_is_written_again_byte_for_byte(path: Path):
    assert dumps(load(path)) == path.read_bytes()


@pytest.mark.parametrize("name", GRAPHS)
def test_golden_graph_is_built_again_byte_for_byte(name: str):
    graph = GRAPHS[name]()
    assert dumps(graph) == (FOLDER / f"{name}.rnet").read_bytes()
    record = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert golden_images(graph).tolist() == record["images"]


def test_golden_logits_equal_the_scalar_arithmetic():
    graph = load(FOLDER / "integer.rnet")
    record = json.loads((FOLDER / "integer.json").read_text(encoding="utf-8"))
    image = np.array(record["images"][0], np.uint8)
    assert logits_hex(scalar.run(graph, image)[graph.output].reshape(1, -1)) == record["logits"][:1]


def test_golden_files_cover_every_op_and_are_small():
    assert {node.op for path in FILES for node in load(path).nodes} == set(OPS)
    assert all(path.stat().st_size < 20_000 for path in FILES)
