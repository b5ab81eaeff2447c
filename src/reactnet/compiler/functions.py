"""What each function and tensor method in a model's forward becomes: the second table, beside that of the layers."""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from reactnet.compiler.layers import Call, Notes, pool_attributes, unsupported
from reactnet.compiler.network import Network

Function = Callable[[Network, Call, tuple[Any, ...], dict[str, Any], Notes], str]
"""Gets the call and what else the function was called with: the positional arguments behind the tensors, keywords."""


def _add(net: Network, call: Call, rest: tuple[Any, ...], keywords: dict[str, Any], notes: Notes) -> str:
    return _two(net, call, rest, keywords, "add")


def _mul(net: Network, call: Call, rest: tuple[Any, ...], keywords: dict[str, Any], notes: Notes) -> str:
    return _two(net, call, rest, keywords, "mul")


def _two(net: Network, call: Call, rest: tuple[Any, ...], keywords: dict[str, Any], op: str) -> str:
    if rest or keywords or len(call.inputs) != 2:
        raise unsupported(
            call.path, f"{op} with a number or an option", f"{op} takes two tensors; a constant is a layer's"
        )
    first, second = call.inputs
    if call.shape != call.out_shape:  # torch broadcasts either side; the packed op its second
        first, second = second, first
    return net.add(op, (first, second), call.path, origin=call.path)


def _avg_pool(net: Network, call: Call, rest: tuple[Any, ...], keywords: dict[str, Any], notes: Notes) -> str:
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    given = dict(zip(names, rest, strict=False)) | keywords
    if given.get("divisor_override") is not None:
        raise unsupported(call.path, "avg_pool2d with divisor_override", "leave divisor_override out")
    attributes = pool_attributes(
        call.path,
        given["kernel_size"],
        given.get("stride"),
        given.get("padding", 0),
        given.get("ceil_mode", False),
        counts_padding=given.get("count_include_pad", True),
    )
    return net.add("avg_pool", call.inputs[0], call.path, origin=call.path, attributes=attributes)


def _repeat(net: Network, call: Call, rest: tuple[Any, ...], keywords: dict[str, Any], notes: Notes) -> str:
    counts = tuple(rest[0]) if len(rest) == 1 and isinstance(rest[0], tuple | list) else tuple(rest)
    if len(counts) != 4 or counts[0] != 1 or counts[2:] != (1, 1):
        raise unsupported(call.path, f"repeat{counts}", "only channels repeat: x.repeat(1, n, 1, 1)")
    if counts[1] == 1:
        return call.inputs[0]
    return net.add("repeat", call.inputs[0], call.path, origin=call.path, attributes={"times": counts[1]})


def _cat(net: Network, call: Call, rest: tuple[Any, ...], keywords: dict[str, Any], notes: Notes) -> str:
    dim = keywords.get("dim", rest[0] if rest else 0)
    if dim not in (1, -3):
        raise unsupported(call.path, f"cat along dimension {dim}", "only channels join: torch.cat(tensors, dim=1)")
    return net.add("concat", call.inputs, call.path, origin=call.path)


def _getitem(net: Network, call: Call, rest: tuple[Any, ...], keywords: dict[str, Any], notes: Notes) -> str:
    (index,) = rest
    everything = slice(None)
    if not isinstance(index, tuple) or not all(isinstance(part, slice) for part in index) or len(index) < 2:
        raise unsupported(call.path, f"indexing with {index!r}", "only channels are cut: x[:, a:b]")
    if any(part != everything for part in (index[0], *index[2:])) or index[1].step not in (None, 1):
        raise unsupported(call.path, f"indexing with {index!r}", "only channels are cut: x[:, a:b]")
    begin, end, _ = index[1].indices(call.shape[2])
    return net.add("slice", call.inputs[0], call.path, origin=call.path, attributes={"begin": begin, "end": end})


def _mean(net: Network, call: Call, rest: tuple[Any, ...], keywords: dict[str, Any], notes: Notes) -> str:
    dims = keywords.get("dim", rest[0] if rest else None)
    if not isinstance(dims, tuple | list) or sorted(dim % 4 for dim in dims) != [2, 3]:
        raise unsupported(call.path, f"mean over {dims}", "only whole maps are averaged: x.mean((2, 3))")
    return net.add("global_avg_pool", call.inputs[0], call.path, origin=call.path)


def _plain(op: str) -> Function:
    def rule(net: Network, call: Call, rest: tuple[Any, ...], keywords: dict[str, Any], notes: Notes) -> str:
        return net.add(op, call.inputs[0], call.path, origin=call.path)

    return rule


def _nothing(net: Network, call: Call, rest: tuple[Any, ...], keywords: dict[str, Any], notes: Notes) -> str:
    return call.inputs[0]


FUNCTIONS: dict[Any, Function] = {
    operator.add: _add,
    torch.add: _add,
    operator.mul: _mul,
    torch.mul: _mul,
    operator.getitem: _getitem,
    torch.cat: _cat,
    torch.abs: _plain("abs"),
    torch.relu: _plain("relu"),
    torch.sigmoid: _plain("sigmoid"),
    torch.mean: _mean,
    F.relu: _plain("relu"),
    F.hardsigmoid: _plain("hard_sigmoid"),
    F.avg_pool2d: _avg_pool,
    "add": _add,
    "mul": _mul,
    "abs": _plain("abs"),
    "relu": _plain("relu"),
    "sigmoid": _plain("sigmoid"),
    "mean": _mean,
    "repeat": _repeat,
    "contiguous": _nothing,
}
"""By the function itself, or by the name of a tensor's method. `flatten` is `lower.py`'s own: it moves no data."""
