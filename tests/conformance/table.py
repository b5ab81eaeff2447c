"""Every op on every ISA against the NumPy reference, as a table: pass, or the first graph that differs.

    python tests/conformance/table.py [--library PATH] [--runner "MACHINE=COMMAND"]... [--wasm MODULE] [--json]

The library's ISAs are those of this machine; `--library` tries another build than the installed one. Each `--runner` is
a command that starts native/tests/conform.cc, of another machine under an emulator or with emulated instructions; its
ISAs become columns, unless the table has them of that machine. `--wasm` adds the web module, run in node.
`.ci/conformance` builds all of these and prints the whole table. Exit code 1 if anything differs.
"""

import argparse
import json
import platform
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.backends import Answer, Backend, InProcess, Job, Node, Runner
from conformance.graphs import CASES, random_graph, random_images
from reactnet.graph import OPS, Graph, load
from reactnet.runtime import _native, system

NETWORKS = 30
GOLDEN = Path(__file__).parents[1] / "golden" / "format1"


@dataclass
class Column:
    """What one backend did: by op how many graphs held it and passed, and the first graph in which it differs."""

    passed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    failed: dict[str, str] = field(default_factory=dict)

    def cell(self, op: str) -> str:
        if op in self.failed:
            return f"differs: {self.failed[op]}"
        return f"{self.passed[op]} pass" if self.passed[op] else "-"


def differing_op(job: Job, answer: Answer) -> str | None:
    """The op of the first node whose value differs, "plan" if only the fused logits do, or None."""
    from conformance.test_native import flat

    if answer.values is not None:
        for node in job.graph.nodes:
            if not same(answer.values[node.name], flat(job.values[node.name], node.op)):
                return node.op
    return None if same(answer.logits, job.logits) else "plan"


def same(found: bytes, wanted: np.ndarray) -> bool:
    """Equal to the bit; any NaN equals any NaN."""
    if wanted.dtype != np.float32:
        return found == wanted.tobytes()
    if len(found) != wanted.nbytes:
        return False
    bits = wanted.ravel().view(np.uint32)
    numbers = ~(np.isnan(np.frombuffer(found, np.float32)) & np.isnan(wanted.ravel()))
    return np.array_equal(np.frombuffer(found, np.uint32)[numbers], bits[numbers])


def graphs() -> dict[str, Graph]:
    """Every case, networks that hold every op, and the whole models of the golden files."""
    networks = {f"network {seed}": random_graph(seed) for seed in range(max(NETWORKS, len(OPS)))}
    golden = {path.stem: load(path) for path in sorted(GOLDEN.glob("*.rnet"))}
    return {name: make() for name, make in CASES.items()} | networks | golden


def column(backend: Backend, jobs: dict[str, Job]) -> Column:
    """Runs every job."""
    result = Column()
    for (name, job), answer in zip(jobs.items(), backend.answers(list(jobs.values())), strict=True):
        op = differing_op(job, answer)
        if op is not None:
            result.failed.setdefault(op, name)
            continue
        for held in {node.op for node in job.graph.nodes} | {"plan"}:
            result.passed[held] += 1
    return result


def backends(runners: Iterable[str], module: Path | None) -> dict[str, Backend]:
    """By the name of their column, machine and ISA."""
    found: dict[str, Backend] = {f"{platform.machine()} {isa}": InProcess(isa) for isa in system()["isas"]}
    for text in runners:
        machine, _, start = text.partition("=")
        command = tuple(shlex.split(start))
        for isa in Runner.isas(command):
            found.setdefault(f"{machine} {isa}", Runner(command, isa))
    if module is not None:
        found["wasm"] = Node(module)
    return found


def print_table(columns: dict[str, Column]) -> None:
    """Ops as rows."""
    rows = [["op", *columns]]
    rows += [[op, *(column.cell(op) for column in columns.values())] for op in [*OPS, "plan"]]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--runner", action="append", default=[])
    parser.add_argument("--wasm", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.library is not None:
        loaded = _native.load([options.library])
        _native.library = lambda: loaded  # type: ignore[assignment]
    with np.errstate(all="ignore"):
        jobs = {name: Job(graph, random_images(graph, 3, seed=1)) for name, graph in graphs().items()}
        columns = {name: column(backend, jobs) for name, backend in backends(options.runner, options.wasm).items()}
    if options.json:
        print(json.dumps({name: {"passed": each.passed, "failed": each.failed} for name, each in columns.items()}))
    else:
        print_table(columns)
    return 1 if any(each.failed for each in columns.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
