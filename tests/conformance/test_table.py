"""The conformance table: one command, every ISA and op; it fails where a backend differs."""

from dataclasses import replace

import numpy as np

from conformance import table
from conformance.backends import InProcess, Job
from conformance.graphs import CASES, random_images
from reactnet.graph import OPS
from reactnet.runtime import system


def test_graphs_of_the_table_hold_every_op() -> None:
    held = {node.op for graph in table.graphs().values() for node in graph.nodes}
    assert held == set(OPS)


def test_a_difference_is_found_and_named() -> None:
    graph = CASES["relu-special-values"]()
    job = Job(graph, random_images(graph, 3, seed=1))
    with np.errstate(all="ignore"):
        [answer] = InProcess(system()["isas"][0]).answers([job])
        assert table.differing_op(job, answer) is None
        assert answer.values is not None
        name = next(node.name for node in graph.nodes if node.op == "relu")
        value = answer.values[name]
        broken = answer.values | {name: bytes([value[0] ^ 1]) + value[1:]}
        assert table.differing_op(job, replace(answer, values=broken)) == "relu"
        last = answer.logits[:-4] + bytes([answer.logits[-4] ^ 1]) + answer.logits[-3:]
        assert table.differing_op(job, replace(answer, logits=last)) == "plan"
        assert table.differing_op(job, replace(answer, logits=b"", values=None)) == "plan"
