"""The conformance table: one command, every ISA and op; it fails where a library differs."""

import numpy as np

from conformance import table
from conformance.graphs import CASES
from reactnet.graph import OPS
from reactnet.runtime import system


def test_graphs_of_the_table_hold_every_op() -> None:
    held = {node.op for graph in table.graphs().values() for node in graph.nodes}
    assert held == set(OPS)


def test_a_difference_is_found_and_named(monkeypatch) -> None:
    graph = CASES["relu-special-values"]()
    isa = system()["isas"][0]
    with np.errstate(all="ignore"):
        assert table.differing_node(graph, isa) is None
        real = table.run_values

        def broken(graph, images):
            values = real(graph, images)
            return {name: value + 1 if name.startswith("relu") else value for name, value in values.items()}

        monkeypatch.setattr(table, "run_values", broken)
        assert table.differing_node(graph, isa) == "relu"
