"""Other runtimes on other networks, ready to be timed. Each is imported only when asked for."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reactnet.bench.footprint import peak_rss_of
from reactnet.bench.networks import NETWORKS, Task, write_float, write_int8
from reactnet.bench.torch_network import TorchNetwork, export
from reactnet.errors import ReactnetError

# What each needs, and the extra that brings it.
_NEEDS = {
    "onnxruntime": (("onnx", "onnxruntime"), "bench"),
    "openvino": (("onnx", "onnxruntime", "openvino"), "bench"),
    "torch": (("onnx", "torch"), "bench,train"),
}

# The least program that loads and runs a network, for its memory: the file, threads, then the batch's shape.
_PROGRAMS = {
    "onnxruntime": """
import sys
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
entry = session.get_inputs()[0]
session.run(None, {entry.name: np.zeros(entry.shape, np.float32)})
""",
    "openvino": """
import sys
import numpy as np
import openvino
compiled = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_NUM_THREADS": int(sys.argv[2])})
compiled(np.zeros(list(compiled.input(0).shape), np.float32))
""",
    "torch": """
import sys
import torch
from reactnet.bench.torch_network import TorchNetwork
torch.set_num_threads(int(sys.argv[2]))
TorchNetwork(sys.argv[1])(torch.zeros(*map(int, sys.argv[3:])))
""",
}

Images = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Peer:
    """One network in one runtime; `run` runs one batch."""

    runtime: str
    model: str
    precision: str
    file: Path
    run: Callable[[], object]
    arguments: tuple[str, ...]  # of the program that its memory is measured with

    @property
    def name(self) -> str:
        """Unique among peers."""
        return f"{self.runtime} {self.model} {self.precision}"

    def about(self) -> dict[str, Any]:
        """What `--json` says of it beside the times. Its memory is measured here, in a fresh process."""
        return {
            "name": self.name,
            "runtime": self.runtime,
            "version": metadata.version(self.runtime),
            "model": self.model,
            "precision": self.precision,
            "file_bytes": self.file.stat().st_size,
            "peak_rss_bytes": peak_rss_of(_PROGRAMS[self.runtime], str(self.file), *self.arguments),
        }


def make_peers(
    runtimes: Sequence[str], threads: int, task: Task, stack: ExitStack, models: Sequence[str] | None = None
) -> list[Peer]:
    """Build the networks in a temporary folder that lives as long as `stack`, and open them in each runtime.

    All NETWORKS, or those that `models` names.

    Raises ReactnetError where a runtime is unknown, or a package is missing.
    """
    for runtime in runtimes:
        _need(runtime)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reactnet-bench-")))
    images = task.images(seed=0)
    peers: list[Peer] = []
    for model in NETWORKS if models is None else models:
        files = {precision: folder / f"{model}_{precision}.onnx" for precision in ("float", "int8")}
        write_float(model, task, files["float"])
        if set(runtimes) != {"torch"}:
            write_int8(files["float"], task, files["int8"])
        for runtime in runtimes:
            if runtime == "torch":
                peers.append(_torch_peer(model, threads, images, files["float"], stack))
                continue
            opened = _open_onnxruntime if runtime == "onnxruntime" else _open_openvino
            for precision, file in files.items():
                run = opened(file, threads, images)
                peers.append(Peer(runtime, model, precision, file, run, (str(threads), *map(str, task.shape))))
    return peers


def _need(runtime: str) -> None:
    if runtime not in _NEEDS:
        raise ReactnetError(f"reactnet bench: no runtime {runtime!r}", hint=f"choose from: {', '.join(_NEEDS)}")
    packages, extra = _NEEDS[runtime]
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ReactnetError(
            f"reactnet bench: {runtime} needs {' and '.join(missing)}, not installed here",
            hint=f"pip install 'reactnet[{extra}]'",
        )


def _open_onnxruntime(file: Path, threads: int, images: Images) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images}
    return lambda: session.run(None, feed)


def _open_openvino(file: Path, threads: int, images: Images) -> Callable[[], object]:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(file, "CPU", settings | {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(images))

    def run() -> object:
        return request.infer()

    return run


def _torch_peer(model: str, threads: int, images: Images, source: Path, stack: ExitStack) -> Peer:
    """Float and eager: its 8-bit path has been deprecated, and no longer installs with it."""
    import torch

    stack.callback(torch.set_num_threads, torch.get_num_threads())
    torch.set_num_threads(threads)
    file = source.with_suffix(".pt")
    export(source, file)
    network = TorchNetwork(file)
    pixels = torch.from_numpy(images)
    arguments = (str(threads), *(str(side) for side in images.shape))
    return Peer("torch", model, "float", file, lambda: network(pixels), arguments)
