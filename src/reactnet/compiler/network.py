"""A network on its way from modules to a packed graph: nodes in order, real constants still in float64.

Batch norm, scales and shifts are merged here and rounded once, by `to_graph`; a Graph would have rounded them before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactnet.errors import ReactnetError
from reactnet.graph import Graph, GraphBuilder, Node, Preprocessing, distinct
from reactnet.graph.graph import Attribute, Shape

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Meaning:
    """Where a value of the unfolded network is now: that of `node`, plus `offset` a channel."""

    node: str
    offset: Array


@dataclass(eq=False)
class Network:
    """What lowering makes and folding rewrites. `origin` maps a node to the path of the module that it comes from.

    `meaning` says where the values of the unfolded network are, so that `verify` can compare them after folding; a
    value that folding made away with is not in it.
    """

    model: str
    input_shape: Shape
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    output: str = ""
    meaning: dict[str, "Meaning"] = field(default_factory=dict)

    def add(
        self,
        op: str,
        inputs: str | Sequence[str],
        name: str,
        *,
        origin: str,
        attributes: Mapping[str, Attribute] | None = None,
        constants: Mapping[str, Array] | None = None,
    ) -> str:
        """Append a node; its constants are called `<name>.<role>`. Raises ReactnetError if one is not finite."""
        inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        arrays = {} if constants is None else constants
        for role, value in arrays.items():  # here, since folding would carry it into another layer
            check_finite(origin, role, value, value)
        roles = {role: f"{name}.{role}" for role in arrays}
        self.nodes.append(Node(name, op, inputs, {} if attributes is None else dict(attributes), roles))
        self.constants.update({roles[role]: value for role, value in arrays.items()})
        self.origin[name] = origin
        self.meaning[name] = Meaning(name, np.zeros(1))
        return name

    def consumers(self) -> dict[str, list[Node]]:
        """Who reads each value."""
        found: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        return found

    def by_name(self) -> dict[str, Node]:
        """Every node under its name."""
        return {node.name: node for node in self.nodes}

    def constant(self, node: Node, role: str) -> Array:
        """A constant of a node."""
        return self.constants[node.constants[role]]

    def copy(self) -> "Network":
        """A copy to try a rewrite on. Arrays are shared: rewrites replace them, never write into them."""
        return replace(
            self,
            nodes=list(self.nodes),
            constants=dict(self.constants),
            origin=dict(self.origin),
            meaning=dict(self.meaning),
        )

    def put(self, node: Node, role: str, value: Array) -> None:
        """Give a node a new constant in `role`."""
        if role not in node.constants:
            tensor = f"{node.name}.{role}"
            self.replace(node, constants={**node.constants, role: tensor})
        else:
            tensor = node.constants[role]
        self.constants[tensor] = value

    def replace(self, node: Node, **changes: Any) -> None:
        """Put a changed copy in a node's place."""
        at = next(i for i, other in enumerate(self.nodes) if other.name == node.name)
        self.nodes[at] = replace(node, **changes)

    def channels(self, name: str) -> int:
        """How many channels a value has. The image's own are those of the input shape."""
        node = self.by_name().get(name)
        if node is None:
            return self.input_shape[2]
        for role in ("weight", "shift", "slope"):
            if role in node.constants:
                return len(self.constant(node, role))
        if node.op == "slice":
            return number(node, "end") - number(node, "begin")
        if node.op == "repeat":
            return number(node, "times") * self.channels(node.inputs[0])
        return sum(self.channels(source) for source in (node.inputs if node.op == "concat" else node.inputs[:1]))

    def remove(self, node: Node) -> None:
        """Take a node with one input out, with its constants: its readers read its input."""
        (source,) = node.inputs
        self.nodes = [_reading(other, node.name, source) for other in self.nodes if other.name != node.name]
        for tensor in node.constants.values():
            del self.constants[tensor]
        if self.output == node.name:
            self.output = source

    def forget(self, name: str) -> None:
        """The value of `name` stands for nothing of the unfolded network any more."""
        self.meaning = {key: where for key, where in self.meaning.items() if where.node != name}

    def redirect(self, name: str, to: str, offset: Array) -> None:
        """What was found at `name` is found at `to`, with `offset` on top."""
        for key, where in self.meaning.items():
            if where.node == name:
                self.meaning[key] = Meaning(to, where.offset + offset)

    def to_graph(
        self,
        *,
        preprocessing: Preprocessing,
        class_names: Sequence[str] = (),
        provenance: Mapping[str, str] | None = None,
        ends: str = "float",
    ) -> Graph:
        """The checked graph, every real constant rounded to float32.

        Raises ReactnetError naming the node if a constant is not finite in float32.
        """
        builder = GraphBuilder(self.model, self.input_shape, ends=ends)
        for node in self.nodes:
            arrays = {role: self._rounded(node, role) for role in node.constants}
            builder.add(node.op, node.inputs, name=node.name, **node.attributes, **arrays)
        return builder.build(self.output, class_names=class_names, preprocessing=preprocessing, provenance=provenance)

    def _rounded(self, node: Node, role: str) -> Array:
        value = self.constant(node, role)
        if value.dtype != np.float64:
            return value
        with np.errstate(over="ignore"):
            rounded = distinct(value).astype(np.float32)
        check_finite(self.origin[node.name], role, distinct(value), rounded)
        return rounded if rounded.shape == value.shape else np.broadcast_to(rounded, value.shape)


def check_finite(where: str, role: str, value: Array, rounded: Array) -> None:
    """Raise ReactnetError, naming the layer, if `value` as rounded holds a NaN or an infinity."""
    if not np.isfinite(distinct(rounded)).all():
        raise ReactnetError(
            f"{where}: {role} holds {value[~np.isfinite(rounded)].flat[0]}",
            hint="the weights are not finite in float32: look at the training log for where that began",
        )


def number(node: Node, attribute: str) -> int:
    """An integer attribute of a node."""
    value = node.attributes[attribute]
    assert isinstance(value, int)
    return value


def _reading(node: Node, old: str, new: str) -> Node:
    if old not in node.inputs:
        return node
    return replace(node, inputs=tuple(new if name == old else name for name in node.inputs))
