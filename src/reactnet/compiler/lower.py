"""From a PyTorch model to a network of packed ops: one node, or a few, for each layer, named by its path.

`trace.py` traces the forward; `layers.py` and `functions.py` say what each call becomes. Nothing falls through: what
they do not know is an error that names its path.
"""

import difflib
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from reactnet.compiler.functions import FUNCTIONS
from reactnet.compiler.layers import LAYERS, Call, Notes
from reactnet.compiler.network import Network
from reactnet.compiler.trace import SHAPE, trace
from reactnet.errors import ReactnetError
from reactnet.graph import Graph, Preprocessing, pack_bits
from reactnet.graph.graph import Shape

IMAGE = "image"
NORMALIZE = "normalize"
ANYWHERE: set[Any] = {
    *(nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.Dropout, nn.Identity),
    *(torch.relu, torch.sigmoid, torch.abs, F.relu, F.hardsigmoid, "relu", "sigmoid", "abs", "contiguous"),
    *(operator.add, torch.add, "add", operator.mul, torch.mul, "mul"),
}
"""Layers and functions that treat every element alike, and so may stand between a flatten and its linear layer."""


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


def lower(
    model: nn.Module,
    image_size: Sequence[int],
    *,
    name: str = "model",
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] = (),
) -> Graph:
    """The unfolded graph of `model`, as it computes in eval mode: what `count` counts and `verify` walks.

    `image_size` is (H, W, C). A model on the meta device has no weights to copy: its graph costs no memory and can be
    counted.

    Raises ReactnetError for a layer or function without an op, naming its path in the model, and for an image size that
    the model cannot take.
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
    _check_preprocessing(preprocessing, shape)
    traced = trace(model, shape)
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


def _check_preprocessing(preprocessing: Preprocessing, shape: Shape) -> None:
    if tuple(preprocessing.crop) != shape[:2]:
        raise ReactnetError(
            f"lower: image size {shape[0]}x{shape[1]}, but preprocessing crops to {tuple(preprocessing.crop)}",
            hint="give the preprocessing of this image size, or leave the image size out",
        )
    mean, std = preprocessing.mean, preprocessing.std
    if len(mean) != shape[2] or len(std) != shape[2]:
        raise ReactnetError(
            f"lower: {len(mean)} means and {len(std)} stds for images of {shape[2]} channels",
            hint="give one of each for every channel",
        )
    if not np.isfinite([*mean, *std]).all() or min(std) <= 0:
        raise ReactnetError(f"lower: mean {mean}, std {std}", hint="give finite numbers, and a std above 0")


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
        self.flat: dict[fx.Node, Shape] = {}  # values that were flattened, and the maps that they were
        self.preprocessing = preprocessing
        self.taken = {IMAGE, NORMALIZE}

    def visit(self, node: fx.Node) -> None:
        """Append what one node becomes."""
        if node.op == "placeholder":
            self.values[node] = self._normalize()
        elif node.op == "output":
            (result,) = node.args
            if not isinstance(result, fx.Node):
                raise ReactnetError(f"{self.model}: its forward returns {type(result).__name__}", hint="return logits")
            self.network.output = self._value(result, self.model)
        elif node.op == "call_module":
            self._layer(node, str(node.target))
        elif node.op == "get_attr":
            raise ReactnetError(
                f"{node.target}: a parameter used outside a layer",
                hint="let a layer hold it, one that docs/add_a_model.md lists",
            )
        else:
            self._function(node)

    def _layer(self, node: fx.Node, path: str) -> None:
        layer = self.modules[path]
        if isinstance(layer, nn.Flatten):
            self._flatten(node, path, layer.start_dim, layer.end_dim)
            return
        if type(layer) not in LAYERS:
            raise self._unknown(path, f"layer {type(layer).__name__}", [kind.__name__ for kind in LAYERS])
        if path in self.taken:
            raise self._taken_error(path)
        self.taken.add(path)
        call = self._call(node, path)
        if type(layer) is not nn.Linear:
            self._keep_flat(node, path, anywhere=type(layer) in ANYWHERE)
        self.values[node] = LAYERS[type(layer)](self.network, call, layer, self.notes)

    def _function(self, node: fx.Node) -> None:
        path = self._path(node)
        key = node.target
        name = key if isinstance(key, str) else getattr(key, "__name__", str(key))
        if name == "flatten":
            start, end = _argument(node, 1, "start_dim", 0), _argument(node, 2, "end_dim", -1)
            self._flatten(node, path, start, end)
        elif name == "chunk":
            self._check_chunk(node, path)
        elif key is operator.getitem and _is_chunk(node.args[0]):
            self._chunk(node, path)
        elif key not in FUNCTIONS:
            kind = "method" if node.op == "call_method" else "function"
            raise self._unknown(path, f"{kind} {name}", [str(getattr(k, "__name__", k)) for k in FUNCTIONS])
        else:
            call = self._call(node, self._fresh(path))
            self._keep_flat(node, path, anywhere=key in ANYWHERE)
            rest = tuple(argument for argument in node.args if not _holds_tensor(argument))
            keywords = {word: value for word, value in node.kwargs.items() if not _holds_tensor(value)}
            self.values[node] = FUNCTIONS[key](self.network, call, rest, keywords, self.notes)

    def _flatten(self, node: fx.Node, path: str, start: Any, end: Any) -> None:
        source = _inputs(node)[0]
        rank = len(source.meta[SHAPE])
        if start != 1 or end not in (-1, rank - 1):
            raise ReactnetError(
                f"{path}: flatten from dimension {start} to {end}",
                hint="write flatten(1): images stay apart, maps do not",
            )
        self.values[node] = self._value(source, path)
        self.flat[node] = self.flat.get(source, _hwc(source, path))

    def _keep_flat(self, node: fx.Node, path: str, *, anywhere: bool) -> None:
        """Behind a flatten torch counts C H W, the graph H W C: only what treats elements alike may come between."""
        maps = [self.flat.get(source, (1, 1, 0)) for source in _inputs(node)]
        flattened = [shape for shape in maps if shape[:2] != (1, 1)]
        if not flattened:
            return
        if not anywhere or set(maps) != {flattened[0]}:
            raise ReactnetError(
                f"{path}: reads a flattened map of {flattened[0]}",
                hint="flatten right before the linear layer, or pool the map to one pixel first",
            )
        self.flat[node] = flattened[0]

    def _check_chunk(self, node: fx.Node, path: str) -> None:
        dim = _argument(node, 2, "dim", 0)
        if dim != 1:
            raise ReactnetError(f"{path}: chunk along dimension {dim}", hint="only channels are cut: x.chunk(n, dim=1)")
        if self.flat.get(_inputs(node)[0], (1, 1))[:2] != (1, 1):
            raise ReactnetError(f"{path}: chunk of a flattened map", hint="cut before the flatten")

    def _chunk(self, node: fx.Node, path: str) -> None:
        chunk, index = node.args
        assert isinstance(chunk, fx.Node)
        assert isinstance(index, int)
        sizes = [shape[1] for shape in chunk.meta[SHAPE]]
        begin = sum(sizes[:index])
        attributes = {"begin": begin, "end": begin + sizes[index]}
        source, path = self._value(_inputs(chunk)[0], path), self._fresh(path)
        self.values[node] = self.network.add("slice", source, path, origin=path, attributes=attributes)

    def _call(self, node: fx.Node, path: str) -> Call:
        sources = _inputs(node)
        if not sources:
            raise ReactnetError(f"{path}: computes nothing of the image", hint="let a layer hold constants")
        inputs = tuple(self._value(source, path) for source in sources)
        return Call(path, inputs, _hwc(sources[0], path), _hwc(node, path), self.flat.get(sources[0]))

    def _value(self, node: fx.Node, path: str) -> str:
        """The name of a value that is read at `path`."""
        if node not in self.values:
            raise ReactnetError(f"{path}: reads the several parts of {node.name}", hint="take each part by its index")
        return self.values[node]

    def _fresh(self, path: str) -> str:
        """A name for what a function computes at `path`, which may be that of a module beside it."""
        while path in self.taken or path in self.modules:
            path += "_"
        self.taken.add(path)
        return path

    def _path(self, node: fx.Node) -> str:
        """The module whose forward calls the function, and fx's name of the call."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        inside = stack[-1][0] if stack else ""
        return f"{inside}.{node.name}" if inside else node.name

    @staticmethod
    def _taken_error(path: str) -> ReactnetError:
        if path in (IMAGE, NORMALIZE):
            return ReactnetError(f"{path}: the name is the compiler's own", hint="give the layer another name")
        return ReactnetError(f"{path}: the layer is called twice", hint="give each call a layer of its own")

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
        return self.network.add("normalize", IMAGE, NORMALIZE, origin=NORMALIZE, constants={"table": table})


def _inputs(node: fx.Node) -> list[fx.Node]:
    """The tensors that a call reads, in order, as often as it reads them (fx lists each once)."""
    found: list[fx.Node] = []
    fx.map_arg((node.args, node.kwargs), found.append)
    return found


def _argument(node: fx.Node, position: int, word: str, default: int) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(word, default)


def _is_chunk(node: Any) -> bool:
    return isinstance(node, fx.Node) and getattr(node.target, "__name__", node.target) == "chunk"


def _holds_tensor(argument: Any) -> bool:
    if isinstance(argument, tuple | list):
        return any(isinstance(part, fx.Node) for part in argument)
    return isinstance(argument, fx.Node)


def _hwc(node: fx.Node, path: str) -> Shape:
    """The shape of a value as (H, W, C)."""
    shape = node.meta[SHAPE]
    if isinstance(shape, tuple) and len(shape) == 2:
        return 1, 1, int(shape[1])
    if isinstance(shape, tuple) and len(shape) == 4:
        return int(shape[2]), int(shape[3]), int(shape[1])
    raise ReactnetError(f"{path}: a value of shape {shape}", hint="values are (N, C, H, W) or, flattened, (N, C)")
