"""The networks that one would run instead, as ONNX with fixed random weights: times are wanted, not answers.

Batch norms are folded into biases, as every exporter for deployment does.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx

INPUT = "pixels"
CALIBRATION_IMAGES = 4
OPSET = 17
IR_VERSION = 10  # one that runtimes of the last years read


@dataclass(frozen=True)
class Task:
    """What every contender is given and asked for: images of one size in batches, and so many classes."""

    batch: int
    height: int
    width: int
    channels: int
    classes: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of a batch, as these networks take it: (N, C, H, W)."""
        return self.batch, self.channels, self.height, self.width

    def images(self, seed: int) -> npt.NDArray[np.float32]:
        """A batch of noise, normalised already."""
        return np.random.default_rng(seed).normal(size=self.shape).astype(np.float32)


class Builder:
    """Layers one after the other; each method takes and gives the name of a value."""

    def __init__(self, task: Task) -> None:
        self.channels, self._classes = task.channels, task.classes
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def conv(self, x: str, inputs: int, outputs: int, *, size: int = 1, stride: int = 1, groups: int = 1) -> str:
        """A convolution with a bias, padded by half its size."""
        fan_in = inputs // groups * size * size
        weight = self._random.normal(0, (2 / fan_in) ** 0.5, (outputs, inputs // groups, size, size))
        names = [self._tensor(weight), self._tensor(self._random.normal(0, 0.1, outputs))]
        window = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [size // 2] * 4}
        return self.node("Conv", x, *names, **window, group=groups)

    def relu(self, x: str) -> str:
        """The larger of x and 0."""
        return self.node("Relu", x)

    def relu6(self, x: str) -> str:
        """x, held between 0 and 6."""
        return self.node("Clip", x, self._tensor(np.array(0.0)), self._tensor(np.array(6.0)))

    def head(self, x: str, inputs: int) -> str:
        """Average over the map, then the classes."""
        flat = self.node("Flatten", self.node("GlobalAveragePool", x))
        weight = self._random.normal(0, inputs**-0.5, (inputs, self._classes))
        return self.node("Gemm", flat, self._tensor(weight), self._tensor(np.zeros(self._classes)))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """One node with one output, which it names."""
        from onnx import helper

        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def _tensor(self, values: npt.NDArray[np.float64]) -> str:
        from onnx import numpy_helper

        name = f"tensor_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name


def mobilenet_v1(build: Builder) -> str:
    """Howard et al. 2017: thirteen pairs of a depthwise and a pointwise convolution."""
    x = build.relu(build.conv(INPUT, build.channels, 32, size=3, stride=2))
    width = 32
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for outputs, stride in plan:
        x = build.relu(build.conv(x, width, width, size=3, stride=stride, groups=width))
        x = build.relu(build.conv(x, width, outputs))
        width = outputs
    return build.head(x, width)


def mobilenet_v2(build: Builder) -> str:
    """Sandler et al. 2018: inverted residuals with linear bottlenecks."""
    x = build.relu6(build.conv(INPUT, build.channels, 32, size=3, stride=2))
    width = 32
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, outputs, repeats, first_stride in plan:
        for index in range(repeats):
            stride = first_stride if index == 0 else 1
            wide = expansion * width
            y = build.relu6(build.conv(x, width, wide)) if expansion > 1 else x
            y = build.relu6(build.conv(y, wide, wide, size=3, stride=stride, groups=wide))
            y = build.conv(y, wide, outputs)
            x = build.node("Add", x, y) if stride == 1 and width == outputs else y
            width = outputs
    return build.head(build.relu6(build.conv(x, width, 1280)), 1280)


def resnet18(build: Builder) -> str:
    """He et al. 2015: eight basic blocks."""
    x = build.relu(build.conv(INPUT, build.channels, 64, size=7, stride=2))
    x = build.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 64
    for outputs, stride in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]:
        shortcut = x if stride == 1 else build.conv(x, width, outputs, stride=stride)
        y = build.relu(build.conv(x, width, outputs, size=3, stride=stride))
        x = build.relu(build.node("Add", build.conv(y, outputs, outputs, size=3), shortcut))
        width = outputs
    return build.head(x, width)


NETWORKS = {"mobilenet_v1": mobilenet_v1, "mobilenet_v2": mobilenet_v2, "resnet18": resnet18}


def write_float(name: str, task: Task, path: Path) -> None:
    """The network in float32, for images that are normalised already."""
    import onnx
    from onnx import TensorProto, helper

    build = Builder(task)
    output = NETWORKS[name](build)
    graph = helper.make_graph(
        build.nodes,
        name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, task.shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, (task.batch, task.classes))],
        build.tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_int8(source: Path, task: Task, path: Path) -> None:
    """The network of `source` with 8-bit activations (unsigned) and weights (signed, a scale a channel), statically.

    By ONNX Runtime's own quantiser, as its users do it; calibrated on random images.
    """
    import logging

    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class RandomImages(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = [task.images(seed) for seed in range(1, 1 + CALIBRATION_IMAGES)]

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            return {INPUT: self._images.pop()} if self._images else None

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it warns of pre-processing that these networks do not need
    try:
        quantize_static(
            source,
            path,
            RandomImages(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
    finally:
        root.setLevel(level)
