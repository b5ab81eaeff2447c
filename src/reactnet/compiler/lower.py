"""From a PyTorch model to a network of packed ops: one node, or a few, for each layer, named by its path.

`torch.fx` traces the forward; `layers.py` and `functions.py` say what each call becomes. Nothing falls through: what
they do not know is an error that names its path.
"""

import copy
import difflib
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from reactnet.compiler.functions import FUNCTIONS
from reactnet.compiler.layers import LAYERS, Call, Notes
from reactnet.compiler.network import Network
from reactnet.errors import ReactnetError
from reactnet.graph import Graph, Preprocessing, pack_bits
from reactnet.graph.graph import Shape

NORMALIZE = "normalize"
ELEMENTWISE = {nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.Dropout, nn.Identity}
ELEMENTWISE_NAMES = {"relu", "sigmoid", "hardsigmoid", "abs", "add", "mul", "contiguous"}


@dataclass(frozen=True, eq=False)
class Lowered:
    """The network and its preprocessing; how many latent weights of each layer are exactly 0; the traced forward.

    `traced` computes what the model computes, with its weights; `values` maps its nodes to the network's.
    """

    network: Network
    preprocessing: Preprocessing
    zeros: dict[str, int]
    traced: fx.GraphModule
    values: dict[str, str]


class _Tracer(fx.Tracer):
    """Traces down to the layers of the table."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LAYERS or super().is_leaf_module(m, module_qualified_name)


def lower(
    model: nn.Module,
    image_size: Sequence[int],
    *,
    name: str = "model",
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] = (),
) -> Graph:
    """The unfolded graph of `model`, as it computes in eval mode: what `count` counts and `verify` walks.

    `image_size` is (H, W, C). Raises ReactnetError for a layer or function without an op, naming its path in the model,
    and for an image size that the model cannot take.
    """
    lowered = lower_network(model, image_size, name=name, preprocessing=preprocessing)
    return lowered.network.to_graph(preprocessing=lowered.preprocessing, class_names=class_names)


def lower_network(
    model: nn.Module, image_size: Sequence[int], *, name: str = "model", preprocessing: Preprocessing | None = None
) -> Lowered:
    """The same with constants still in float64, for folding."""
    shape = _shape(image_size)
    if preprocessing is None:
        preprocessing = Preprocessing(shape[:2], shape[:2], (0.0,) * shape[2], (1.0,) * shape[2])
    traced = _trace(model, shape)
    walk = _Walk(model, Network(name, shape), preprocessing)
    for node in traced.graph.nodes:
        walk.visit(node)
    _signs_as_reals(walk.network)
    values = {node.name: value for node, value in walk.values.items()}
    return Lowered(walk.network, preprocessing, walk.notes.zeros, fx.GraphModule(model, traced.graph), values)


def _shape(image_size: Sequence[int]) -> Shape:
    if len(image_size) != 3:
        raise ReactnetError(f"lower: image size {tuple(image_size)}", hint="give (H, W, C)")
    height, width, channels = (int(side) for side in image_size)
    return height, width, channels


def _trace(model: nn.Module, shape: Shape) -> fx.GraphModule:
    """The traced forward, each of whose nodes knows its shape, computed on tensors without data."""
    weightless: dict[int, Any] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        empty = torch.empty_like(tensor, device="meta")
        weightless[id(tensor)] = nn.Parameter(empty, False) if isinstance(tensor, nn.Parameter) else empty
    twin = copy.deepcopy(model, weightless).eval()
    try:
        traced = fx.GraphModule(twin, _Tracer().trace(twin))
    except (fx.proxy.TraceError, TypeError) as error:
        raise ReactnetError(
            f"{type(model).__name__}: torch.fx cannot trace its forward: {str(error).splitlines()[0]}",
            hint="a forward may not choose by the values of tensors; write the choice into __init__",
        ) from error
    traced.graph.eliminate_dead_code()  # what nothing reads has no place in a file
    if sum(node.op == "placeholder" for node in traced.graph.nodes) != 1:
        raise ReactnetError(f"{type(model).__name__}: its forward takes other than one input", hint="one image in")
    height, width, channels = shape
    try:
        with torch.no_grad():
            _Shapes(traced).run(torch.empty(1, channels, height, width, device="meta"))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ReactnetError(
            f"{type(model).__name__}: image size {height}x{width}x{channels} does not go through it: "
            f"{str(error).splitlines()[0]}",
            hint="give the image size the model was made for",
        ) from error
    return traced


class _Shapes(fx.Interpreter):
    """Notes the shape of every value, or of its parts, as `meta["shape"]`. torch's own ShapeProp prints tracebacks."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta["shape"] = [part.shape for part in result] if isinstance(result, tuple | list) else result.shape
        return result


def _signs_as_reals(net: Network) -> None:
    """Give signs that a real layer reads (phase one) as +-1 in float32: a 1x1 binary convolution a channel, all +1."""
    for at, sign in reversed(list(enumerate(net.nodes))):
        readers = [node for node in net.consumers()[sign.name] if node.op != "bconv2d"]
        if sign.op != "sign" or (not readers and net.output != sign.name):
            continue
        channels = len(net.constant(sign, "shift"))
        name = net.add(
            "bconv2d",
            sign.name,
            f"{sign.name}.real",
            origin=net.origin[sign.name],
            attributes={"groups": channels},
            constants={"weight": pack_bits(np.ones((channels, 1, 1, 1), dtype=bool))},
        )
        net.nodes.insert(at + 1, net.nodes.pop())
        for reader in readers:
            net.replace(reader, inputs=tuple(name if source == sign.name else source for source in reader.inputs))
        if net.output == sign.name:
            net.output = name


class _Walk:
    """Visits the traced nodes in order and appends their ops."""

    def __init__(self, model: nn.Module, network: Network, preprocessing: Preprocessing) -> None:
        self.network = network
        self.modules = dict(model.named_modules())
        self.model = type(model).__name__
        self.notes = Notes()
        self.values: dict[fx.Node, str] = {}
        self.flat: dict[fx.Node, Shape] = {}  # flattened values and the map that they were
        self.preprocessing = preprocessing
        self.taken: set[str] = set()

    def visit(self, node: fx.Node) -> None:
        """Append what one node becomes."""
        if node.op == "placeholder":
            self.values[node] = self._normalize()
        elif node.op == "output":
            (result,) = node.args
            if not isinstance(result, fx.Node):
                raise ReactnetError(f"{self.model}: its forward returns {type(result).__name__}", hint="return logits")
            self.network.output = self.values[result]
        elif node.op == "call_module":
            assert isinstance(node.target, str)
            self._layer(node, node.target)
        elif node.op in ("call_function", "call_method"):
            self._function(node)
        else:
            raise ReactnetError(
                f"{node.target}: a parameter used outside a layer",
                hint="give it a layer of its own: see docs/design.md",
            )

    def _layer(self, node: fx.Node, path: str) -> None:
        layer = self.modules[path]
        if isinstance(layer, nn.Flatten):
            self._flatten(node, path, layer.start_dim)
            return
        if type(layer) not in LAYERS:
            raise self._unknown(path, f"layer {type(layer).__name__}", [c.__name__ for c in LAYERS])
        call = self._call(node, path)
        self.values[node] = LAYERS[type(layer)](self.network, call, layer, self.notes)
        self._still_flat(node, call, type(layer) in ELEMENTWISE, ends=isinstance(layer, nn.Linear))

    def _function(self, node: fx.Node) -> None:
        path = self._path(node)
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        if name == "flatten":
            self._flatten(node, path, node.kwargs.get("start_dim", node.args[1] if len(node.args) > 1 else 0))
            return
        if name == "chunk":
            return  # its parts are cut where they are taken
        if node.target is operator.getitem and self._is_chunk(node.args[0]):
            self._chunk(node, path)
            return
        key = node.target
        if key not in FUNCTIONS:
            kind = "method" if node.op == "call_method" else "function"
            raise self._unknown(path, f"{kind} {name}", [str(getattr(k, "__name__", k)) for k in FUNCTIONS])
        call = self._call(node, path)
        rest = tuple(a for a in node.args[1:] if not _is_tensor(a))
        self.values[node] = FUNCTIONS[key](self.network, call, rest, dict(node.kwargs), self.notes)
        self._still_flat(node, call, name in ELEMENTWISE_NAMES, ends=False)

    def _flatten(self, node: fx.Node, path: str, start: Any) -> None:
        """Nothing moves: the map stays one, and the linear layer that reads it has its columns permuted."""
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if start != 1 or len(node.meta["shape"]) != 2:
            raise ReactnetError(f"{path}: flatten from dimension {start}", hint="write flatten(1): images stay apart")
        self.values[node] = self._value(source, path)
        shape = self.flat[source] if source in self.flat else _hwc(source)
        if shape[:2] != (1, 1):
            self.flat[node] = shape

    def _still_flat(self, node: fx.Node, call: Call, elementwise: bool, *, ends: bool) -> None:
        """Behind a flatten torch counts C H W, the graph H W C: only what looks at elements alone may come between."""
        if call.flat_from is None or ends:
            return
        if not elementwise:
            raise ReactnetError(
                f"{call.path}: works on a flattened map of {call.flat_from}", hint="do it before the flatten"
            )
        self.flat[node] = call.flat_from

    def _value(self, source: fx.Node, path: str) -> str:
        if source not in self.values:
            raise ReactnetError(f"{path}: reads the several parts of {source.name}", hint="take each part by its index")
        return self.values[source]

    @staticmethod
    def _is_chunk(node: Any) -> bool:
        return isinstance(node, fx.Node) and getattr(node.target, "__name__", node.target) == "chunk"

    def _chunk(self, node: fx.Node, path: str) -> None:
        chunk, index = node.args
        assert isinstance(chunk, fx.Node)
        assert isinstance(index, int)
        source = chunk.args[0]
        assert isinstance(source, fx.Node)
        if source in self.flat:
            raise ReactnetError(f"{path}: chunk of a flattened map", hint="cut before the flatten")
        sizes = [int(part[1]) for part in chunk.meta["shape"]]
        dim = chunk.kwargs.get("dim", chunk.args[2] if len(chunk.args) > 2 else 0)
        if dim != 1:
            raise ReactnetError(f"{path}: chunk along dimension {dim}", hint="only channels are cut: x.chunk(n, dim=1)")
        begin = sum(sizes[:index])
        attributes = {"begin": begin, "end": begin + sizes[index]}
        self.values[node] = self.network.add(
            "slice", self._value(source, path), path, origin=path, attributes=attributes
        )

    def _call(self, node: fx.Node, path: str) -> Call:
        sources: list[fx.Node] = []  # with repetitions: all_input_nodes lists x once for x + x
        fx.map_arg((node.args, node.kwargs), sources.append)
        values = tuple(self._value(source, path) for source in sources)
        for source in (*sources, node):
            if len(source.meta["shape"]) not in (2, 4):
                shape = tuple(source.meta["shape"])
                raise ReactnetError(f"{path}: a tensor of shape {shape}", hint="tensors are (N, C, H, W) or (N, C)")
        first = sources[0]
        return Call(
            self._fresh(path),
            values,
            _hwc(first),
            _hwc(node),
            self.flat.get(first),
        )

    def _fresh(self, path: str) -> str:
        if path in self.taken:
            raise ReactnetError(f"{path}: the layer is called twice", hint="give each call a layer of its own")
        self.taken.add(path)
        return path

    def _path(self, node: fx.Node) -> str:
        """The module whose forward calls the function, and fx's name of the call."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        inside = stack[-1][0] if stack else ""
        return f"{inside}.{node.name}" if inside else node.name

    def _unknown(self, path: str, what: str, known: list[str]) -> ReactnetError:
        close = difflib.get_close_matches(what.split()[-1], known, n=1)
        near = f"; did you mean {close[0]}?" if close else ""
        return ReactnetError(
            f"{path}: no packed op for the {what}",
            hint=f"write it with what docs/add_a_model.md lists, or add a rule to the compiler{near}",
        )

    def _normalize(self) -> str:
        mean = np.asarray(self.preprocessing.mean, dtype=np.float64)
        std = np.asarray(self.preprocessing.std, dtype=np.float64)
        table = (np.arange(256, dtype=np.float64)[:, None] / 255 - mean) / std
        return self.network.add("normalize", "image", NORMALIZE, origin=NORMALIZE, constants={"table": table})


def _is_tensor(argument: Any) -> bool:
    if isinstance(argument, tuple | list):
        return any(isinstance(part, fx.Node) for part in argument)
    return isinstance(argument, fx.Node)


def _hwc(node: fx.Node) -> Shape:
    shape = node.meta["shape"]
    if len(shape) == 2:
        return 1, 1, int(shape[1])
    _, channels, height, width = shape
    return int(height), int(width), int(channels)
