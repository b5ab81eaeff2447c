"""The graph as JSON text and back (docs/format.md, section 2). Values are checked by `check`, forms here."""

import json
from typing import Any

from reactnet.errors import ReactnetError
from reactnet.graph.check import MAX_NODES, is_decimal
from reactnet.graph.graph import Attribute, Graph, Node, Preprocessing, Shape
from reactnet.graph.strict_json import expect_integer, expect_list, expect_object, expect_text, fault, parse

FORMAT = 1
_KEYS = ("class_names", "ends", "format", "input", "model", "nodes", "output", "preprocessing", "provenance")


def canonical(value: Any) -> str:
    """The one JSON text that the writer makes of a value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def encode(graph: Graph) -> str:
    """The graph, without its tensors, as canonical JSON text."""
    preprocessing = graph.preprocessing
    resize = preprocessing.resize
    return canonical(
        {
            "class_names": list(graph.class_names),
            "ends": graph.ends,
            "format": FORMAT,
            "input": {"name": graph.input_name, "shape": list(graph.input_shape)},
            "model": graph.model,
            "nodes": [
                {
                    "attributes": dict(node.attributes),
                    "constants": dict(node.constants),
                    "inputs": list(node.inputs),
                    "name": node.name,
                    "op": node.op,
                }
                for node in graph.nodes
            ],
            "output": graph.output,
            "preprocessing": {
                "crop": list(preprocessing.crop),
                "mean": [repr(float(value)) for value in preprocessing.mean],
                "resize": resize if isinstance(resize, int) else list(resize),
                "std": [repr(float(value)) for value in preprocessing.std],
            },
            "provenance": dict(graph.provenance),
        }
    )


def decode(text: str, constants: dict[str, Any]) -> Graph:
    """The graph that the text describes, with these tensors; its form is checked, its meaning not yet."""
    top = expect_object(parse(text, "graph"), None, "graph")
    if "format" in top:
        version = expect_integer(top["format"], "graph: format")
        if version != FORMAT:
            raise ReactnetError(
                f"format version {version} is not readable; this release reads version {FORMAT}",
                hint="install a newer release of reactnet",
            )
    top = expect_object(top, _KEYS, "graph")
    entry = expect_object(top["input"], ("name", "shape"), "graph: input")
    nodes = expect_list(top["nodes"], "graph: nodes")
    if len(nodes) > MAX_NODES:
        raise fault(f"{len(nodes)} nodes, above the limit of {MAX_NODES}")
    provenance = expect_object(top["provenance"], None, "graph: provenance")
    return Graph(
        model=expect_text(top["model"], "graph: model"),
        input_name=expect_text(entry["name"], "graph: input name"),
        input_shape=_shape(entry["shape"]),
        nodes=tuple(_node(node, f"graph: node {index}") for index, node in enumerate(nodes)),
        constants=constants,
        output=expect_text(top["output"], "graph: output"),
        preprocessing=_preprocessing(top["preprocessing"]),
        class_names=_texts(top["class_names"], "graph: class_names"),
        ends=expect_text(top["ends"], "graph: ends"),
        provenance={
            expect_text(key, "graph: provenance"): expect_text(value, "graph: provenance")
            for key, value in provenance.items()
        },
    )


def _texts(value: Any, where: str) -> tuple[str, ...]:
    return tuple(expect_text(item, where) for item in expect_list(value, where))


def _integers(value: Any, where: str) -> tuple[int, ...]:
    return tuple(expect_integer(item, where) for item in expect_list(value, where))


def _pair(value: Any, where: str) -> tuple[int, int]:
    numbers = _integers(value, where)
    if len(numbers) != 2:
        raise fault(f"{where}: {len(numbers)} numbers, not 2")
    return numbers[0], numbers[1]


def _shape(value: Any) -> Shape:
    numbers = _integers(value, "graph: input shape")
    if len(numbers) != 3:
        raise fault(f"graph: input shape: {len(numbers)} numbers, not 3")
    return numbers[0], numbers[1], numbers[2]


def _node(value: Any, where: str) -> Node:
    entry = expect_object(value, ("attributes", "constants", "inputs", "name", "op"), where)
    attributes = expect_object(entry["attributes"], None, f"{where}: attributes")
    constants = expect_object(entry["constants"], None, f"{where}: constants")
    return Node(
        name=expect_text(entry["name"], f"{where}: name"),
        op=expect_text(entry["op"], f"{where}: op"),
        inputs=_texts(entry["inputs"], f"{where}: inputs"),
        attributes={key: _attribute(item, f"{where}: attribute {key[:80]!r}") for key, item in attributes.items()},
        constants={key: expect_text(item, f"{where}: constants") for key, item in constants.items()},
    )


def _attribute(value: Any, where: str) -> Attribute:
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return _integers(value, where)
    return expect_integer(value, where)


def _preprocessing(value: Any) -> Preprocessing:
    entry = expect_object(value, ("crop", "mean", "resize", "std"), "graph: preprocessing")
    resize = entry["resize"]
    where = "graph: preprocessing: resize"
    return Preprocessing(
        resize=_pair(resize, where) if isinstance(resize, list) else expect_integer(resize, where),
        crop=_pair(entry["crop"], "graph: preprocessing: crop"),
        mean=_decimals(entry["mean"], "graph: preprocessing: mean"),
        std=_decimals(entry["std"], "graph: preprocessing: std"),
    )


def _decimals(value: Any, where: str) -> tuple[float, ...]:
    texts = _texts(value, where)
    for text in texts:
        if not is_decimal(text):
            raise fault(f"{where}: {text[:80]!r} is not a decimal number")
    return tuple(float(text) for text in texts)
