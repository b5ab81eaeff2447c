"""The forward of a model as a graph of calls, each of which knows the shape of its result.

Tracing and shapes run on a twin without data, so that a large model costs no memory and no time.
"""

import copy
from typing import Any

import torch
from torch import fx, nn

from reactnet.compiler.layers import LAYERS
from reactnet.errors import ReactnetError
from reactnet.graph.graph import Shape

SHAPE = "reactnet_shape"
"""Where a node's `meta` keeps the shape of its result; for a result of several tensors, a list of shapes."""


class _Tracer(fx.Tracer):
    """Traces down to the layers of the table."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LAYERS or super().is_leaf_module(m, module_qualified_name)


class _Shapes(fx.Interpreter):
    """Runs the traced forward and notes shapes. (torch's own ShapeProp prints a traceback when a layer refuses.)"""

    extra_traceback = False

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        several = isinstance(result, tuple | list)
        n.meta[SHAPE] = [_shape(part) for part in result] if several else _shape(result)
        return result


def trace(model: nn.Module, image_size: Shape) -> fx.GraphModule:
    """The traced forward of a twin of `model` whose tensors hold no data, for one image of (H, W, C), in eval mode.

    Raises ReactnetError for a forward that cannot be traced, and for an image size that does not go through it.
    """
    weightless: dict[int, Any] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        empty = torch.empty_like(tensor, device="meta")
        weightless[id(tensor)] = nn.Parameter(empty, False) if isinstance(tensor, nn.Parameter) else empty
    twin = copy.deepcopy(model, weightless).eval()
    try:
        traced = fx.GraphModule(twin, _Tracer().trace(twin))
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise ReactnetError(
            f"{type(model).__name__}: torch.fx cannot trace its forward: {_first_line(error)}",
            hint="a forward may not choose by the values of tensors; write the choice into __init__",
        ) from error
    traced.graph.eliminate_dead_code()  # what nothing reads has no place in a file
    if sum(node.op == "placeholder" for node in traced.graph.nodes) != 1:
        raise ReactnetError(f"{type(model).__name__}: its forward takes other than one input", hint="one image in")
    height, width, channels = image_size
    try:
        with torch.no_grad():
            _Shapes(traced).run(torch.empty(1, channels, height, width, device="meta"))
    except Exception as error:  # whatever a layer raises: it is the model's word on this image size
        raise ReactnetError(
            f"{type(model).__name__}: image size {height}x{width}x{channels} does not go through it: "
            f"{_first_line(error)}",
            hint="give the image size the model was made for",
        ) from error
    return traced


def _shape(result: Any) -> tuple[int, ...] | None:
    return tuple(result.shape) if isinstance(result, torch.Tensor) else None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
