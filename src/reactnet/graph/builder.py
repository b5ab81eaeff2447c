"""A graph by hand, from NumPy arrays: what the compiler, the tests and a reader's first script use."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactnet.errors import ReactnetError
from reactnet.graph.check import check
from reactnet.graph.graph import Attribute, Graph, Node, Preprocessing, Shape
from reactnet.graph.ops import OPS, Op


class GraphBuilder:
    """Collects nodes in order; `build` checks the whole and returns the Graph.

    >>> builder = GraphBuilder("tiny", (8, 8, 1))
    >>> x = builder.add("normalize", builder.input, table=np.zeros((256, 1), np.float32))
    >>> x = builder.add("global_avg_pool", x)
    >>> graph = builder.build(x)
    """

    def __init__(self, model: str, input_shape: Shape, *, input_name: str = "image", ends: str = "float") -> None:
        self.model = model
        self.input = input_name
        self.input_shape = input_shape
        self.ends = ends
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._taken = {input_name}

    def add(
        self,
        op: str,
        inputs: str | Sequence[str],
        *,
        name: str | None = None,
        **parameters: Attribute | NDArray[Any] | str,
    ) -> str:
        """Append a node and return its name (`<op>_<number>` where none is given).

        `parameters` are the op's constants (arrays, or the name of a tensor already there, to share it) and its
        attributes; a single integer stands for both sides of a pair, and stride, padding, groups, padding_value and
        ceil_mode have their usual defaults. An optional constant may be left out.
        """
        if op not in OPS:
            close = get_close_matches(op, OPS, n=1)
            raise ReactnetError(
                f"op '{op}' is not one of format 1",
                hint=f"did you mean '{close[0]}'?" if close else f"use one of: {', '.join(sorted(OPS))}",
            )
        name = self._fresh(op) if name is None else name
        if name in self._taken:
            raise ReactnetError(f"node '{name}': the name is taken", hint="give each node its own name")
        spec = OPS[op]
        roles = [constant.role for constant in spec.constants]
        known = roles + [attribute.name for attribute in spec.attributes]
        for parameter in parameters:
            if parameter not in known:
                raise ReactnetError(
                    f"node '{name}' ({op}): unknown parameter '{parameter}'",
                    hint=f"the op takes: {', '.join(known)}" if known else "the op takes none",
                )
        constants = {}
        for role in roles:
            if role in parameters:
                constants[role] = self._constant(f"{name}.{role}", parameters[role])
        attributes = _attributes(name, spec, parameters)
        inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        self.nodes.append(Node(name, op, inputs, attributes, constants))
        self._taken.add(name)
        return name

    def build(
        self,
        output: str,
        *,
        class_names: Sequence[str] = (),
        preprocessing: Preprocessing | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> Graph:
        """The checked graph. Without `preprocessing` an image is resized to the input size, mean 0 and std 1."""
        height, width, channels = self.input_shape
        if preprocessing is None:
            preprocessing = Preprocessing((height, width), (height, width), (0.0,) * channels, (1.0,) * channels)
        graph = Graph(
            model=self.model,
            input_name=self.input,
            input_shape=self.input_shape,
            nodes=tuple(self.nodes),
            constants=dict(self.constants),
            output=output,
            preprocessing=preprocessing,
            class_names=tuple(class_names),
            ends=self.ends,
            provenance={} if provenance is None else dict(provenance),
        )
        check(graph)
        return graph

    def _fresh(self, op: str) -> str:
        number = len(self.nodes)
        while f"{op}_{number}" in self._taken:
            number += 1
        return f"{op}_{number}"

    def _constant(self, tensor: str, value: Attribute | NDArray[Any] | str) -> str:
        if isinstance(value, str):
            return value
        # An array of repetitions stays one: weights that stand for a shape alone take no memory.
        array = np.asarray(value)
        self.constants[tensor] = array if 0 in array.strides else np.ascontiguousarray(array)
        return tensor


def _attributes(name: str, spec: Op, parameters: Mapping[str, Attribute | NDArray[Any] | str]) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {}
    for attribute in spec.attributes:
        value = parameters.get(attribute.name, attribute.default)
        if value is None:
            raise ReactnetError(
                f"node '{name}' ({spec.name}): attribute '{attribute.name}' is missing",
                hint=f"give it as {attribute.form}",
            )
        if attribute.form == "pair" and isinstance(value, int):
            value = (value, value)
        if not isinstance(value, int | tuple):
            raise ReactnetError(
                f"node '{name}' ({spec.name}): attribute '{attribute.name}' is {value!r}",
                hint=f"give a {attribute.form}",
            )
        attributes[attribute.name] = value
    return attributes
