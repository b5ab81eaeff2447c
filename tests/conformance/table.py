"""Every op on every ISA of this machine against the NumPy reference, as a table: pass, or the first difference.

    python tests/conformance/table.py [--library PATH] [--json]

Exit code 1 if anything differs. `--library` tries another build of the native library than the installed one.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.graphs import CASES, random_graph, random_images
from reactnet.graph import OPS, Graph, dumps, run_reference, run_values
from reactnet.runtime import Session, _native, system

NETWORKS = 30


def differing_node(graph: Graph, isa: str) -> str | None:
    """The op of the first node whose value differs, "plan" if only the fused logits do, or None."""
    from conformance.test_native import flat

    images = random_images(graph, 3, seed=1)
    wanted = run_reference(graph, images)
    values = run_values(graph, images[:1])
    with Session.from_bytes(dumps(graph), 2, isa=isa) as session:
        found = session.values(images[0])
        for node in graph.nodes:
            if not same(found[node.name], flat(values[node.name], node.op)):
                return node.op
        return None if same(session.run(images), wanted) else "plan"


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Equal to the bit; any NaN equals any NaN."""
    if found.dtype != np.float32:
        return np.array_equal(found, wanted)
    numbers = ~(np.isnan(found) & np.isnan(wanted))
    return np.array_equal(found.view(np.uint32)[numbers], wanted.view(np.uint32)[numbers])


def graphs() -> dict[str, Graph]:
    """Every case, and networks that hold every op."""
    networks = {f"network {seed}": random_graph(seed) for seed in range(max(NETWORKS, len(OPS)))}
    return {name: make() for name, make in CASES.items()} | networks


def results() -> tuple[dict[str, dict[str, int]], dict[str, dict[str, str]]]:
    """By ISA and op: how many graphs held the op and passed, and the first graph in which it differs."""
    passed: dict[str, dict[str, int]] = {}
    failed: dict[str, dict[str, str]] = {}
    for isa in system()["isas"]:
        passed[isa], failed[isa] = defaultdict(int), {}
        for name, graph in graphs().items():
            op = differing_node(graph, isa)
            if op is not None:
                failed[isa].setdefault(op, name)
                continue
            for held in {node.op for node in graph.nodes} | {"plan"}:
                passed[isa][held] += 1
    return passed, failed


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.library is not None:
        loaded = _native.load([options.library])
        _native.library = lambda: loaded  # type: ignore[assignment]
    with np.errstate(all="ignore"):
        passed, failed = results()
    if options.json:
        print(json.dumps({"passed": passed, "failed": failed}))
    else:
        isas = list(passed)
        print("".join(f"{word:<22}" for word in ["op", *isas]))
        for op in [*OPS, "plan"]:
            cells = [f"differs: {failed[isa][op]}" if op in failed[isa] else f"{passed[isa][op]} pass" for isa in isas]
            print("".join(f"{word:<22}" for word in [op, *cells]))
    return 1 if any(failed.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
