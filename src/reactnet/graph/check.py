"""Everything that format.md asks of a graph, checked from input to output. Each failure names what was found."""

import re
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactnet.errors import ReactnetError
from reactnet.graph.graph import Attribute, Graph, Node, Preprocessing, Shape, Value
from reactnet.graph.ops import DIMENSION, MAX_INPUTS, OPS, AttributeSpec, Op, number
from reactnet.graph.tensor import DTYPES, distinct, dtype_name, tail_bits_clear

MAX_NODES = 65_536
MAX_TENSORS = 65_536
MAX_CLASS_NAMES = 65_536
MAX_VALUE_ELEMENTS = 2**28
MAX_TENSOR_BYTES = 2**30
MAX_TENSOR_DIMENSION = 2**31 - 1
MAX_SUM = 2**31 - 1
ENDS = ("float", "integer")
MAX_U8, MAX_I8 = 255, 127  # the largest |x| of an image and of a quantized value

_NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,256}\Z")
_DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,2})?\Z")


def check(graph: Graph) -> dict[str, Value]:
    """The kind and shape of every value, the input's first, or ReactnetError at the first fault."""
    _check_frame(graph)
    _check_tensors(graph)
    values = {graph.input_name: Value("u8", graph.input_shape)}
    used_values: set[str] = set()
    used_tensors: set[str] = set()
    for node in graph.nodes:
        if not _is_name(node.name):
            raise _bad_name("node", node.name)
        if node.name in values:
            raise ReactnetError(f"node '{node.name}': the name is taken", hint="give each node its own name")
        try:
            values[node.name] = _check_node(graph, node, values)
        except ReactnetError as error:
            raise ReactnetError(f"node '{node.name}' ({node.op}): {error.problem}", hint=error.hint) from None
        used_values.update(node.inputs)
        used_tensors.update(node.constants.values())
    _check_output(graph, values)
    for name in values:
        if name != graph.output and name not in used_values:
            raise ReactnetError(f"value '{name}' is used by no node", hint="remove it or make it the output")
    for name in graph.constants:
        if name not in used_tensors:
            raise ReactnetError(f"tensor '{name}' is used by no node", hint="remove it")
    return values


def accepts_f32(graph: Graph) -> bool:
    """Whether images may come as f32 after normalisation: ends are float and the input feeds one `normalize` alone."""
    readers = [node for node in graph.nodes if graph.input_name in node.inputs]
    return graph.ends == "float" and len(readers) == 1 and readers[0].op == "normalize"


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.match(name) is not None


def _bad_name(what: str, name: object) -> ReactnetError:
    return ReactnetError(f"{what} name {str(name)[:80]!r} is not allowed", hint="use 1 to 256 of A-Z a-z 0-9 _ . - /")


def _check_frame(graph: Graph) -> None:
    for what, name in (("model", graph.model), ("input", graph.input_name)):
        if not _is_name(name):
            raise _bad_name(what, name)
    if graph.ends not in ENDS:
        raise ReactnetError(f"ends is {graph.ends!r}", hint="use 'float' or 'integer'")
    if len(graph.input_shape) != 3 or not 1 <= graph.input_shape[2] <= 4:
        raise ReactnetError(f"input shape is {list(graph.input_shape)}", hint="use [H, W, C] with C from 1 to 4")
    _check_value_shape("input", graph.input_shape)
    if len(graph.nodes) > MAX_NODES:
        raise ReactnetError(f"{len(graph.nodes)} nodes, above the limit of {MAX_NODES}", hint="use a smaller network")
    _check_preprocessing(graph.preprocessing, graph.input_shape)
    for key, text in graph.provenance.items():
        if not _is_text(key) or not _is_text(text):
            raise ReactnetError(f"provenance {key!r}: {text!r} is not text", hint="use strings of valid Unicode")


def _is_text(value: object) -> bool:
    """Whether it is a string that UTF-8 can hold (no lone surrogates)."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_value_shape(where: str, shape: Shape) -> None:
    if any(isinstance(side, bool) or not isinstance(side, int) or not 1 <= side <= DIMENSION for side in shape):
        raise ReactnetError(f"{where}: shape {list(shape)} is out of limits", hint=f"use sides from 1 to {DIMENSION}")
    if prod(shape) > MAX_VALUE_ELEMENTS:
        raise ReactnetError(f"{where}: shape {list(shape)} has {prod(shape)} elements", hint="use at most 2^28")


def _check_preprocessing(preprocessing: Preprocessing, shape: Shape) -> None:
    crop, resize = tuple(preprocessing.crop), preprocessing.resize
    if crop != shape[:2]:
        raise ReactnetError(f"preprocessing: crop is {list(crop)}", hint=f"use the input's size, {list(shape[:2])}")
    sides = (resize,) if isinstance(resize, int) else tuple(resize)
    if isinstance(resize, tuple) and len(resize) != 2:
        raise ReactnetError(f"preprocessing: resize is {list(resize)}", hint="use an integer or [h, w]")
    if any(isinstance(side, bool) or not isinstance(side, int) or not 1 <= side <= DIMENSION for side in sides):
        raise ReactnetError(f"preprocessing: resize is {resize}", hint=f"use integers from 1 to {DIMENSION}")
    if sides[0] < (max(crop) if isinstance(resize, int) else crop[0]) or sides[-1] < crop[1]:
        raise ReactnetError(f"preprocessing: resize {resize} is below the crop {list(crop)}", hint="resize to more")
    for what, numbers in (("mean", preprocessing.mean), ("std", preprocessing.std)):
        if len(numbers) != shape[2]:
            raise ReactnetError(f"preprocessing: {what} has {len(numbers)} numbers", hint=f"use {shape[2]}")
        for value in numbers:
            if not is_decimal(repr(float(value))):
                raise ReactnetError(f"preprocessing: {what} has {value!r}", hint="use a number of ordinary size")


def is_decimal(text: str) -> bool:
    """Whether the text is a number as the file writes mean and std."""
    return _DECIMAL.match(text) is not None


def _check_tensors(graph: Graph) -> None:
    if len(graph.constants) > MAX_TENSORS:
        raise ReactnetError(f"{len(graph.constants)} tensors, above the limit of {MAX_TENSORS}", hint="use fewer")
    for name, array in graph.constants.items():
        if not _is_name(name) or name == "__metadata__":
            raise _bad_name("tensor", name)
        if dtype_name(array) is None:
            raise ReactnetError(f"tensor '{name}': dtype {array.dtype}", hint=f"use one of {' '.join(DTYPES)}")
        if not 1 <= array.ndim <= 4 or not all(1 <= side <= MAX_TENSOR_DIMENSION for side in array.shape):
            raise ReactnetError(f"tensor '{name}': shape {list(array.shape)}", hint="use rank 1 to 4, no empty side")
        if array.nbytes > MAX_TENSOR_BYTES:
            raise ReactnetError(f"tensor '{name}': {array.nbytes} bytes", hint="use at most 1 GiB")
        if array.dtype.kind == "f" and not np.isfinite(distinct(array)).all():
            raise ReactnetError(f"tensor '{name}' holds a NaN or an infinity", hint="use finite numbers")


def _check_node(graph: Graph, node: Node, values: Mapping[str, Value]) -> Value:
    if node.op not in OPS:
        raise ReactnetError("the op is not one of format 1", hint=f"use one of: {', '.join(sorted(OPS))}")
    op = OPS[node.op]
    inputs = _check_inputs(node, op, values)
    _check_attributes(node, op)
    constants = _check_roles(graph, node, op)
    shapes = {role: tuple(array.shape) for role, array in constants.items()}
    shape, expected = op.rule([value.shape for value in inputs], node.attributes, shapes)
    for role, found in shapes.items():
        if found != expected[role]:
            raise ReactnetError(f"constant '{role}' has shape {list(found)}", hint=f"use {list(expected[role])}")
    _check_value_shape("output", shape)
    _check_numbers(node, inputs[0].shape[2], constants)
    return Value(op.output, shape)


def _check_inputs(node: Node, op: Op, values: Mapping[str, Value]) -> list[Value]:
    wanted = f"1 to {MAX_INPUTS}" if op.variadic else str(len(op.inputs))
    fits = 1 <= len(node.inputs) <= MAX_INPUTS if op.variadic else len(node.inputs) == len(op.inputs)
    if not fits:
        raise ReactnetError(f"{len(node.inputs)} inputs", hint=f"the op takes {wanted}")
    found = []
    for index, name in enumerate(node.inputs):
        if name not in values:
            raise ReactnetError(f"input '{str(name)[:80]}' is no earlier value", hint="put nodes after what they use")
        kind = op.inputs[0] if op.variadic else op.inputs[index]
        if values[name].kind != kind:
            raise ReactnetError(f"input '{name}' is of kind {values[name].kind}", hint=f"the op takes {kind}")
        found.append(values[name])
    return found


def _check_attributes(node: Node, op: Op) -> None:
    known = {attribute.name: attribute for attribute in op.attributes}
    for name in node.attributes:
        if name not in known:
            raise ReactnetError(f"unknown attribute '{name}'", hint=f"the op takes: {', '.join(known) or 'none'}")
    for name, spec in known.items():
        if name not in node.attributes:
            raise ReactnetError(f"attribute '{name}' is missing", hint=f"give it as {spec.form}")
        if not _attribute_fits(spec, node.attributes[name]):
            found: object = node.attributes[name]
            found = list(found) if isinstance(found, tuple) else found
            bounds = "true or false" if spec.form == "bool" else f"{spec.form} from {spec.low} to {spec.high}"
            raise ReactnetError(f"attribute '{name}' is {str(found)[:80]}", hint=f"use {bounds}")


def _attribute_fits(spec: AttributeSpec, value: Attribute) -> bool:
    if spec.form == "bool":
        return isinstance(value, bool)
    if spec.form == "pair":
        return isinstance(value, tuple) and len(value) == 2 and all(_whole(side, spec) for side in value)
    return _whole(value, spec)


def _whole(value: object, spec: AttributeSpec) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and spec.low <= value <= spec.high


def _check_roles(graph: Graph, node: Node, op: Op) -> dict[str, NDArray[Any]]:
    known = {constant.role: constant for constant in op.constants}
    for role in node.constants:
        if role not in known:
            raise ReactnetError(f"unknown constant '{role}'", hint=f"the op takes: {', '.join(known) or 'none'}")
    arrays = {}
    for role, constant in known.items():
        if role not in node.constants:
            if constant.required:
                raise ReactnetError(
                    f"constant '{role}' is missing", hint=f"give a {' or '.join(constant.dtypes)} tensor"
                )
            continue
        name = node.constants[role]
        if name not in graph.constants:
            raise ReactnetError(
                f"constant '{role}' names no tensor: '{str(name)[:80]}'", hint="name a tensor of the file"
            )
        array = graph.constants[name]
        if dtype_name(array) not in constant.dtypes:
            raise ReactnetError(
                f"constant '{role}' (tensor '{name}') is {dtype_name(array)}",
                hint=f"use {' or '.join(constant.dtypes)}",
            )
        arrays[role] = array
    return arrays


def _check_numbers(node: Node, channels: int, constants: Mapping[str, NDArray[Any]]) -> None:
    """Limits that need the constants' numbers: tail bits, bounds in order, sums that fit int32."""
    if node.op == "bconv2d":
        per_group = channels // number(node.attributes, "groups")
        if not tail_bits_clear(constants["weight"], per_group):
            raise ReactnetError(f"weight has bits set past channel {per_group}", hint="write tail bits as 0")
    if node.op == "clip" and constants["bounds"][0] > constants["bounds"][1]:
        low, high = (float(bound) for bound in constants["bounds"])
        raise ReactnetError(f"bounds are {low} and {high}", hint="use lo <= hi")
    if node.op in ("conv_u8", "conv_i8", "linear_i8"):
        limit = MAX_U8 if node.op == "conv_u8" else MAX_I8
        for output, weight in enumerate(constants["weight"]):
            most = int(np.abs(weight.astype(np.int64)).sum()) * limit
            if "offset" in constants:
                most += int(np.abs(constants["offset"][output].astype(np.int64)).sum())
            if most > MAX_SUM:
                raise ReactnetError(f"sum {output} may reach {most}, past int32", hint="use smaller integer weights")


def _check_output(graph: Graph, values: Mapping[str, Value]) -> None:
    if graph.output not in values:
        raise ReactnetError(f"output '{str(graph.output)[:80]}' is no value", hint="name a node")
    output = values[graph.output]
    if output.kind != "f32" or output.shape[:2] != (1, 1):
        raise ReactnetError(
            f"output '{graph.output}' is {output.kind} {list(output.shape)}", hint="use an f32 value of shape [1, 1, K]"
        )
    names, classes = graph.class_names, output.shape[2]
    if names and len(names) != classes:
        raise ReactnetError(f"{len(names)} class names for {classes} outputs", hint="name every class, or none")
    seen: set[str] = set()
    for name in names:
        if not _is_text(name) or not 1 <= len(name.encode()) <= 1024:
            raise ReactnetError(f"class name {str(name)[:80]!r} is not allowed", hint="use 1 to 1,024 bytes of UTF-8")
        if name in seen:
            raise ReactnetError(f"class name {name!r} stands twice", hint="give each class its own name")
        seen.add(name)
