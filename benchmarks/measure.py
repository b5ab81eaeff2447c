"""Measure what README.md and docs/bench.md show, and keep it: one JSON file a case in benchmarks/results.

    python benchmarks/measure.py NAME [--seconds 4] [--only CASE,...] [--program build/native/reactnet-run]

NAME is the machine's, as its files begin. Networks have fresh weights: these are times, and say nothing of accuracy.
Each case is a `reactnet bench --json` of its own process. Needs the extras `train` and `bench`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from machine import ROOT, describe

import reactnet
from reactnet.models import create_model

RESULTS = ROOT / "benchmarks" / "results"
RIVALS = ["--against", "onnxruntime,openvino,torch"]

# By case: the network, its ends, and what else `bench` is given. Rivals stand beside the files that they are held to.
CASES: dict[str, tuple[str, str, Sequence[str]]] = {
    "reactnet_a_integer": ("reactnet_a", "integer", RIVALS),
    "reactnet18_integer": ("reactnet18", "integer", RIVALS),
    "reactnet_a_float": ("reactnet_a", "float", ()),
    "reactnet18_float": ("reactnet18", "float", ()),
    "reactnet_a_integer_2_threads": ("reactnet_a", "integer", ["--threads", "2"]),
    "reactnet_a_integer_batch_8": ("reactnet_a", "integer", ["--batch", "8"]),
}
LESSER_ISA = "reactnet_a_integer_avx2"  # on a machine that has better


def packed(model: str, ends: str, folder: Path) -> Path:
    """The file of a network with fresh weights."""
    file = folder / f"{model}_{ends}.rnet"
    if not file.exists():
        torch.manual_seed(0)
        reactnet.compile(create_model(model).eval(), file, image_size=(224, 224, 3), ends=ends)
    return file


def bench(file: Path, options: Sequence[str], isa: str | None = None) -> dict[str, Any]:
    """What `reactnet bench` reports, from a process of its own."""
    command = [sys.executable, "-m", "reactnet.cli.main", "bench", str(file), *options, "--json"]
    environment = {**os.environ, **({} if isa is None else {"REACTNET_ISA": isa})}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def program(binary: Path, file: Path) -> dict[str, Any]:
    """What the C++ program says of itself: no Python in it."""
    done = subprocess.run([binary, "--bench", "--json", file], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def line(case: str, report: dict[str, Any]) -> str:
    """One case, for the terminal."""
    floor = report["binary_macs"] / report["popcount_peak_gmacs"] / report["threads"] * 1e-6
    return (
        f"{case:30} {report['ms_min']:7.2f} ms minimum {report['cpu_ms']:7.2f} ms CPU, {report['ms_min'] / floor:.2f} "
        f"times the floor of {floor:.2f} ms; load {report['load_ms']:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the cases of docs/bench.md.")
    parser.add_argument("name", help="the machine, as the result files begin")
    parser.add_argument("--seconds", default="4", help="for each contender")
    parser.add_argument("--only", default="", help=f"cases, with commas between: {', '.join(CASES)}")
    parser.add_argument("--program", type=Path, help="reactnet-run, for its time and memory")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else list(CASES)
    RESULTS.mkdir(exist_ok=True)

    def keep(case: str, report: dict[str, Any], before: dict[str, Any]) -> None:
        (RESULTS / f"{options.name}_{case}.json").write_text(json.dumps({**before, "report": report}, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        for case in wanted:
            model, ends, extra = CASES[case]
            before = describe()
            report = bench(packed(model, ends, Path(folder)), [*extra, "--seconds", options.seconds])
            keep(case, report, before)
            print(line(case, report), flush=True)
            if case == "reactnet_a_integer" and report["isa"] == "avx512":
                report = bench(packed(model, ends, Path(folder)), ["--seconds", options.seconds], isa="avx2")
                keep(LESSER_ISA, report, before)
                print(line(LESSER_ISA, report), flush=True)
        if options.program is not None:
            before = describe()
            keep("program", program(options.program, packed("reactnet_a", "integer", Path(folder))), before)


if __name__ == "__main__":
    main()
