"""The native runtime against the reference: every node's value and the logits, equal to the bit, on every ISA."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.graphs import CASES, random_graph, random_images
from golden.make_golden import FOLDER, logits_hex
from reactnet.graph import OPS, Graph, Quantized, dumps, pack_bits, run_reference, run_values
from reactnet.runtime import Session, system

ISAS = system()["isas"]
THREADS = (1, 3)  # 3 does not divide most maps, and is more than some have rows
SEEDS = range(40)


def assert_same_bits(found: np.ndarray, wanted: np.ndarray, where: str) -> None:
    """Equal to the bit, -0.0 apart from 0.0; any NaN equals any NaN."""
    assert found.dtype == wanted.dtype, where
    assert found.shape == wanted.shape, where
    if found.dtype == np.float32:
        numbers = ~(np.isnan(found) & np.isnan(wanted))
        found, wanted = found.view(np.uint32)[numbers], wanted.view(np.uint32)[numbers]
    np.testing.assert_array_equal(found, wanted, err_msg=where)


def flat(value: Any, op: str) -> np.ndarray:
    """One image's reference value, as the native side lays it out."""
    if isinstance(value, Quantized):
        return np.frombuffer(value.values[0].tobytes() + value.scales[:1].tobytes(), dtype=np.uint8)
    first = np.ascontiguousarray(value[0])
    return pack_bits(first > 0).ravel() if op == "sign" else first.ravel()


def assert_runs_like_the_reference(graph: Graph, isa: str) -> None:
    images = random_images(graph, 3, seed=1)
    wanted = run_reference(graph, images)
    values = run_values(graph, images[:1])
    data = dumps(graph)
    for threads in THREADS:
        with Session.from_bytes(data, threads, isa=isa) as session:
            assert_same_bits(session.run(images), wanted, f"logits, {threads} threads")
            for index, image in enumerate(images):
                assert_same_bits(session.run(image[None])[0], wanted[index], f"image {index} alone")
            found = session.values(images[0])
        for node in graph.nodes:
            assert_same_bits(found[node.name], flat(values[node.name], node.op), f"{node.name}, {threads} threads")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES)
def test_every_op_equals_the_reference(case: str, isa: str) -> None:
    assert_runs_like_the_reference(CASES[case](), isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_network_equals_the_reference(seed: int, isa: str) -> None:
    assert_runs_like_the_reference(random_graph(seed), isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.rnet")), ids=lambda path: path.stem)
def test_a_golden_file_gives_its_logits(path: Path, isa: str) -> None:
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    with Session(path, isa=isa) as session:
        assert logits_hex(session.run(np.array(record["images"], np.uint8))) == record["logits"]


def test_the_random_networks_hold_every_op() -> None:
    assert {node.op for seed in SEEDS for node in random_graph(seed).nodes} == set(OPS)


@cache
def unit() -> tuple[Graph, dict[str, Any]]:
    graph = CASES["unit-c65"]()
    with Session.from_bytes(dumps(graph)) as session:
        return graph, session.plan


def test_a_unit_is_two_steps() -> None:
    graph, plan = unit()
    fused = [[op_of(graph, name) for name in step["nodes"]] for step in plan["steps"] if step["op"] == "bconv2d"]
    assert fused[0] == ["bconv2d", "affine", "add", "prelu", "affine", "sign"]
    assert fused[1][:3] == ["bconv2d", "affine", "add"]


def test_a_plan_covers_every_node_once() -> None:
    for graph in (unit()[0], *(random_graph(seed) for seed in range(10))):
        with Session.from_bytes(dumps(graph)) as session:
            covered = [name for step in session.plan["steps"] for name in step["nodes"]]
        assert sorted(covered) == sorted(node.name for node in graph.nodes)


def test_a_plan_names_kernels_of_this_build_below_the_ceiling() -> None:
    known = {kernel["name"]: kernel["isa"] for kernel in system()["kernels"]}
    order = system()["compiled"]
    for isa in ISAS:
        with Session.from_bytes(dumps(unit()[0]), isa=isa) as session:
            assert session.plan["isa"] == isa
            for step in session.plan["steps"]:
                assert order.index(known[step["kernel"]]) <= order.index(isa)


def test_values_share_memory() -> None:
    graph, plan = unit()
    largest = 5 * 7 * 65 * 4
    assert plan["arena_bytes"] < largest * 5 < largest * len(graph.nodes)


def test_the_metadata_is_the_graph_of_the_file() -> None:
    graph, _ = unit()
    with Session.from_bytes(dumps(graph)) as session:
        header = dumps(graph)[8:]
        text = json.loads(header[: int.from_bytes(dumps(graph)[:8], "little")])["__metadata__"]["reactnet"]
        assert session.metadata == json.loads(text)


def op_of(graph: Graph, name: str) -> str:
    return next(node.op for node in graph.nodes if node.name == name)
