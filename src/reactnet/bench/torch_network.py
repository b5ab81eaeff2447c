"""One of the networks of `networks.py` in PyTorch, from the same ONNX file: eager, channels last."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def export(source: Path, path: Path) -> None:
    """What `TorchNetwork` reads, as a file of PyTorch's own: running it needs no ONNX."""
    import onnx
    import torch

    model = onnx.load(source)
    nodes = [(node.op_type, list(node.input), node.output[0], _attributes(node)) for node in model.graph.node]
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items() if array.ndim}
    numbers = {name: float(array) for name, array in arrays.items() if not array.ndim}
    torch.save({"nodes": nodes, "tensors": tensors, "numbers": numbers, "input": model.graph.input[0].name}, path)


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


class TorchNetwork:
    """The network that `export` wrote; call it with images (N, C, H, W)."""

    def __init__(self, path: Path | str) -> None:
        import torch

        found = torch.load(path, weights_only=True)
        self._input = found["input"]
        self._numbers: dict[str, float] = found["numbers"]
        self._tensors: dict[str, torch.Tensor] = {
            name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
            for name, tensor in found["tensors"].items()
        }
        self._steps = [(_OPS[op], inputs, output, attributes) for op, inputs, output, attributes in found["nodes"]]

    def __call__(self, images: "torch.Tensor") -> "torch.Tensor":
        import torch

        values: dict[str, Any] = {**self._tensors, **self._numbers}
        values[self._input] = images.contiguous(memory_format=torch.channels_last)
        output = self._input
        with torch.inference_mode():
            for call, inputs, output, attributes in self._steps:
                values[output] = call(*(values[name] for name in inputs), **attributes)
        result: torch.Tensor = values[output]
        return result


def _conv(x: Any, weight: Any, bias: Any, *, strides: list[int], pads: list[int], group: int, **_: Any) -> Any:
    import torch

    return torch.conv2d(x, weight, bias, strides, pads[:2], groups=group)


def _clip(x: Any, low: float, high: float) -> Any:
    return x.clamp_(low, high)


def _max_pool(x: Any, *, kernel_shape: list[int], strides: list[int], pads: list[int]) -> Any:
    import torch

    return torch.max_pool2d(x, kernel_shape, strides, pads[:2])


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    import torch

    return torch.addmm(bias, x, weight)


_OPS: dict[str, Callable[..., Any]] = {
    "Conv": _conv,
    "Relu": lambda x: x.relu_(),  # in place, as models are written: nothing else reads what it overwrites
    "Clip": _clip,
    "Add": lambda x, y: x + y,
    "MaxPool": _max_pool,
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "Flatten": lambda x: x.flatten(1),
    "Gemm": _linear,
}
