"""Our binary convolution against OpenVINO's, on eleven layer shapes: one pinned core, in turns.

    python benchmarks/bconv_against_openvino.py [--rounds 40] [--out FILE.json]

Both give float sums of +-1 products with zero padding, and are compared for equality before they are timed. Timed is
the convolution alone, by each runtime's own clock around the node: the mean of RUNS consecutive runs after one that
warms up, and of that the least over all rounds, which is what an undisturbed core takes. Neither tells a node's CPU
time. OpenVINO's clock is a running average in whole microseconds, so that a fresh model is made each round.

Needs the extra `bench`.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from machine import describe
from openvino import opset1

from reactnet.bench.timing import pinned
from reactnet.graph import GraphBuilder, pack_bits, save
from reactnet.runtime import Session, popcount_peak

RUNS = 3  # few, or a busy machine interrupts every row of them
SETTINGS = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}


@dataclass(frozen=True)
class Shape:
    """A convolution with as many outputs as inputs and stride 1."""

    kernel: int
    channels: int
    side: int

    @property
    def name(self) -> str:
        return f"{self.kernel}x{self.kernel} {self.channels} @{self.side}"

    @property
    def macs(self) -> int:
        """The paper's count: padded taps included."""
        return (self.kernel * self.channels * self.side) ** 2


SHAPES = [
    *(Shape(3, *wide) for wide in [(64, 56), (128, 28), (256, 14), (512, 7), (512, 14), (1024, 7)]),
    *(Shape(1, *wide) for wide in [(64, 112), (128, 56), (256, 28), (512, 14), (1024, 7)]),
]


class Ours:
    """A packed file with one binary convolution."""

    def __init__(self, shape: Shape, weight: np.ndarray, folder: Path) -> None:
        net = GraphBuilder("layer", (shape.side, shape.side, 1))
        x = net.add("normalize", net.input, table=np.arange(-128, 128, dtype=np.float32)[:, None])
        spread = np.random.default_rng(1).normal(size=(shape.channels, 1, 1, 1)).astype(np.float32)
        x = net.add("conv_f32", x, weight=spread, bias=0.5 * spread[::-1].ravel(), name="wide")
        x = net.add("sign", x, shift=np.zeros(shape.channels, np.float32))
        y = net.add("bconv2d", x, weight=pack_bits(weight), padding=shape.kernel // 2, name="conv")
        save(net.build(net.add("global_avg_pool", y)), folder / "layer.rnet")
        self.session = Session(folder / "layer.rnet", 1)
        self._step = next(i for i, step in enumerate(self.session.plan["steps"]) if step["nodes"][0] == "conv")

    @property
    def kernel(self) -> str:
        return str(self.session.plan["steps"][self._step]["kernel"])

    def seconds(self, image: np.ndarray) -> float:
        """Of the convolution alone."""
        return float(self.session.step_times(image[None], 1 + RUNS)[1:, self._step].mean())


class OpenVino:
    """OpenVINO's BinaryConvolution. Activations are levels 0 and 1: with -1 and +1 it silently answers wrongly."""

    def __init__(self, shape: Shape, weight: np.ndarray) -> None:
        x = opset1.parameter([1, shape.channels, shape.side, shape.side], np.float32, name="x")
        zero, one = np.float32(0), np.float32(1)
        bits = opset1.fake_quantize(x, zero, zero, zero, one, 2)
        filters = np.ascontiguousarray(weight.transpose(0, 3, 1, 2))
        self._packed = np.packbits(filters.reshape(-1), bitorder="little")  # kept: the constant does not copy it
        constant = openvino.op.Constant(openvino.Tensor(self._packed, openvino.Shape(filters.shape), openvino.Type.u1))
        pad = [shape.kernel // 2] * 2
        y = opset1.binary_convolution(bits, constant, [1, 1], pad, pad, [1, 1], "xnor-popcount", 0.0)
        self._model = openvino.Model([y], [x])
        self._core = openvino.Core()
        self.kernel = ""

    def sums(self, real: np.ndarray) -> np.ndarray:
        """What it answers, channels last."""
        request = self._request()
        return np.array(request.infer({0: real})[0][0].transpose(1, 2, 0))  # a copy: the request owns the memory

    def _request(self) -> Any:
        """Of a model compiled anew, whose clocks have not begun."""
        return self._core.compile_model(self._model, "CPU", SETTINGS).create_infer_request()

    def seconds(self, image: np.ndarray) -> float:
        """Of the convolution alone."""
        request = self._request()
        request.infer({0: image})
        first = self._average(request)
        for _ in range(RUNS):
            request.infer()
        return ((1 + RUNS) * self._average(request) - first) / RUNS

    def _average(self, request: Any) -> float:
        (node,) = (node for node in request.profiling_info if node.node_type == "BinaryConvolution")
        self.kernel = node.exec_type
        return float(node.real_time.total_seconds())


def compare(shape: Shape, rounds: int, folder: Path) -> dict[str, Any]:
    """One row: both runtimes on one shape, in turns."""
    random = np.random.default_rng(0)
    weight = random.integers(0, 2, (shape.channels, shape.kernel, shape.kernel, shape.channels)).astype(bool)
    image = random.integers(0, 256, (shape.side, shape.side, 1), dtype=np.uint8)
    ours, theirs = Ours(shape, weight, folder), OpenVino(shape, weight)
    values = ours.session.values(image)
    map_shape = (shape.side, shape.side, shape.channels)
    real = np.ascontiguousarray(values["wide"].reshape(map_shape).transpose(2, 0, 1)[None])
    if not np.array_equal(values["conv"].reshape(map_shape), theirs.sums(real)):
        sys.exit(f"{shape.name}: the two runtimes differ")
    alone = np.array([(ours.seconds(image), theirs.seconds(real)) for _ in range(rounds)]).min(axis=0)
    return {
        "shape": shape.name,
        "macs": shape.macs,
        "ours_us": 1e6 * alone[0],
        "openvino_us": 1e6 * alone[1],
        "ours_gmacs": shape.macs / alone[0] * 1e-9,
        "openvino_gmacs": shape.macs / alone[1] * 1e-9,
        "times_faster": alone[1] / alone[0],
        "ours_kernel": ours.kernel,
        "openvino_kernel": theirs.kernel,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Our binary convolution against OpenVINO's.")
    parser.add_argument("--rounds", type=int, default=40, help="fresh OpenVINO models a shape")
    parser.add_argument("--out", type=Path, help="write what was measured, with the machine, here")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, pinned(1):
        for shape in SHAPES:
            rows.append(row := compare(shape, options.rounds, Path(folder)))
            print(
                f"{row['shape']:14} ours {row['ours_us']:7.1f} us {row['ours_gmacs']:5.0f} GMAC/s   openvino "
                f"{row['openvino_us']:7.1f} us {row['openvino_gmacs']:5.0f} GMAC/s   "
                f"{row['times_faster']:.2f} times as fast",
                flush=True,
            )
        peak = max(popcount_peak(0.1) for _ in range(5))
    print(f"popcount peak {peak:.0f} GMAC/s; OpenVINO {openvino.__version__}, {rows[0]['openvino_kernel']}")
    if options.out is not None:
        found = {**describe(), "openvino": openvino.__version__, "popcount_peak_gmacs": peak, "rows": rows}
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
