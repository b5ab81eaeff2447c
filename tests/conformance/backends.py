"""Ways to run a packed file: this process's library, a runner of another architecture or build, the web module in node.

Each answers with bytes: the logits of all images, and where it can every node's value for the first image.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reactnet.graph import Graph, dumps, run_reference, run_values
from reactnet.runtime import Session

RUN_MJS = Path(__file__).parents[1] / "web" / "run.mjs"


@dataclass(frozen=True)
class Answer:
    """Logits as float32 bytes, image after image; values by node, or None where the backend keeps none."""

    logits: bytes
    values: dict[str, bytes] | None


@dataclass(frozen=True)
class Job:
    """A graph and uint8 images (N, H, W, C) for it, its input as it is: nothing is resized."""

    graph: Graph
    images: np.ndarray

    @cached_property
    def logits(self) -> np.ndarray:
        """The reference's."""
        return run_reference(self.graph, self.images)

    @cached_property
    def values(self) -> dict[str, Any]:
        """The reference's, by node, of the first image."""
        return run_values(self.graph, self.images[:1])


@dataclass(frozen=True)
class InProcess:
    """The library that Python has loaded, up to one ISA."""

    isa: str

    def answers(self, jobs: list[Job]) -> Iterator[Answer]:
        for job in jobs:
            with Session.from_bytes(dumps(job.graph), 2, isa=self.isa) as session:
                values = {name: value.tobytes() for name, value in session.values(job.images[0]).items()}
                yield Answer(session.run(job.images).tobytes(), values)


@dataclass(frozen=True)
class Runner:
    """native/tests/conform.cc, started by `command`, which may begin with an emulator."""

    command: tuple[str, ...]
    isa: str

    @staticmethod
    def isas(command: tuple[str, ...]) -> list[str]:
        """The ISAs that the runner's machine has."""
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        return list(json.loads(said)["isas"])

    def answers(self, jobs: list[Job]) -> Iterator[Answer]:
        with tempfile.TemporaryDirectory() as folder:
            lines = [_job_line(Path(folder, str(index)), job) for index, job in enumerate(jobs)]
            command = [*self.command, self.isa]
            text = "".join(line + "\n" for line in lines)
            done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        for job, line in zip(jobs, done.stdout.splitlines(), strict=True):
            logits, *values = map(bytes.fromhex, line.split("\t"))
            yield Answer(logits, dict(zip([node.name for node in job.graph.nodes], values, strict=True)))


def _job_line(stem: Path, job: Job) -> str:
    file, images = stem.with_suffix(".rnet"), stem.with_suffix(".raw")
    file.write_bytes(dumps(job.graph))
    images.write_bytes(job.images.tobytes())
    return "\t".join([str(file), str(images), str(len(job.images)), *(node.name for node in job.graph.nodes)])


@dataclass(frozen=True)
class Node:
    """The WebAssembly module in node: logits only, an image a run."""

    module: Path

    def answers(self, jobs: list[Job]) -> Iterator[Answer]:
        lines = []
        with tempfile.TemporaryDirectory() as folder:
            for index, job in enumerate(jobs):
                file = Path(folder, f"{index}.rnet")
                file.write_bytes(dumps(job.graph))
                for number, image in enumerate(job.images):
                    pixels = Path(folder, f"{index}.{number}.raw")
                    pixels.write_bytes(image.tobytes())
                    lines.append(json.dumps({"file": str(file), "pixels": str(pixels)}) + "\n")
            command = ["node", str(RUN_MJS), str(self.module)]
            done = subprocess.run(
                command, input="".join(lines), capture_output=True, text=True, timeout=600, check=False
            )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        found = iter([bytes.fromhex(json.loads(line).get("logits", "")) for line in done.stdout.splitlines()])
        for job in jobs:
            yield Answer(b"".join(next(found) for _ in job.images), None)


Backend = InProcess | Runner | Node
