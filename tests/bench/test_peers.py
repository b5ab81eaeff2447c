"""The rivals: the networks they are, answers that agree, and one runtime after the other on the same images."""

from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reactnet.bench.networks import NETWORKS, Task, write_float
from reactnet.bench.peers import Peer, make_peers

needs_onnx = pytest.mark.skipif(
    find_spec("onnx") is None, reason="onnx is not installed: pip install 'reactnet[bench]'"
)
IMAGENET = Task(batch=1, height=224, width=224, channels=3, classes=1000)
SMALL = Task(batch=2, height=64, width=48, channels=3, classes=10)
# Different orders of summation, over at most 53 layers; measured 2e-6.
FLOAT_TOLERANCE = 1e-4
# Random weights, 8 bits throughout: the answers stay alike, no more. Measured 0.98 and above.
INT8_CORRELATION = 0.9


def installed(*packages: str) -> bool:
    return all(find_spec(package) is not None for package in packages)


def macs_and_weights(path: Path) -> tuple[int, int]:
    """Of one image's convolutions and linear layers; weights without biases."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim] for value in model.graph.value_info
    }
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    macs = count = 0
    for node in model.graph.node:
        if node.op_type in {"Conv", "Gemm"}:
            size = int(np.prod(weights[node.input[1]]))
            count += size
            macs += size * int(np.prod(shapes[node.output[0]][2:])) if node.op_type == "Conv" else size
    return macs, count


# The papers: 569, 300 and 1,814 million multiply-adds (ResNet-18 with its 1x1 shortcuts). Weights as torchvision counts
# them, without batch norm and biases.
@needs_onnx
@pytest.mark.parametrize(
    ("name", "macs", "weights"),
    [
        ("mobilenet_v1", 568_740_352, 4_209_088),
        ("mobilenet_v2", 300_774_272, 3_469_760),
        ("resnet18", 1_814_073_344, 11_678_912),
    ],
)
def test_networks_are_those_of_the_papers(tmp_path: Path, name: str, macs: int, weights: int) -> None:
    write_float(name, IMAGENET, tmp_path / "it.onnx")
    assert macs_and_weights(tmp_path / "it.onnx") == (macs, weights)


@needs_onnx
def test_weights_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_float("mobilenet_v2", SMALL, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def logits(peer: Peer) -> np.ndarray:
    """What a peer's run answers, whatever its runtime calls it."""
    found: Any = peer.run()
    if peer.runtime == "torch":
        return np.asarray(found)
    return np.asarray(found[0] if isinstance(found, list) else next(iter(found.values())))


RUNTIMES = {
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "onnxruntime", "openvino"),
    "torch": ("onnx", "torch"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_float_rivals_give_the_same_answers_and_int8_ones_alike(name: str) -> None:
    present = [runtime for runtime, needs in RUNTIMES.items() if installed(*needs)]
    if len(present) < 2:
        pytest.skip(f"of the runtimes only {present} is installed: pip install 'reactnet[bench,train]'")
    with ExitStack() as stack:
        peers = make_peers(present, 1, SMALL, stack, models=[name])
        answers = {peer.name: logits(peer) for peer in peers}
        sizes = {(peer.runtime, peer.precision): peer.file.stat().st_size for peer in peers}
    assert len(answers) == len(peers) == sum(1 if runtime == "torch" else 2 for runtime in present)
    wanted = next(answer for key, answer in answers.items() if key.endswith("float"))
    assert wanted.shape == (SMALL.batch, SMALL.classes)
    for key, answer in answers.items():
        if key.endswith("float"):
            np.testing.assert_allclose(answer, wanted, atol=FLOAT_TOLERANCE * np.ptp(wanted))
        else:
            assert np.corrcoef(answer.ravel(), wanted.ravel())[0, 1] > INT8_CORRELATION, key
    if "onnxruntime" in present:
        assert sizes["onnxruntime", "int8"] < 0.35 * sizes["onnxruntime", "float"]
