"""Folding: the affines of a network merge, and its shifts travel to where they cost nothing.

Batch norm, weight scale and learned shifts are all affines a channel, and most of them can be had for free:

* two affines in a row are one; an affine behind a real convolution or linear layer goes into its weights;
* a shift behind an addition is hoisted: (a * A + B) + shortcut + s = (a * A + (B + s)) + shortcut;
* a shift on the stream sinks, through pools, repeats, joins and additions, until a sign, an affine, or a layer that
  pads nothing takes it up. It sinks only if every reader can take it.

A ReActNet unit is then sign, bconv2d, affine, add, prelu: four numbers a channel. All of it is float64, rounded once
when the network becomes a Graph. The numerics of the file are those of the folded network; `Network.meaning` remembers
which value was which.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reactnet.compiler.network import Network, number
from reactnet.graph import Node, distinct

Real = NDArray[np.float64]

_TAKES_BIAS = ("conv_f32", "linear_f32")
_COMMUTES = ("avg_pool", "max_pool", "adaptive_avg_pool", "global_avg_pool")  # pool(x + t) = pool(x) + t


class _StuckError(Exception):
    """A shift met a reader that cannot take it."""


def fold(network: Network) -> Network:
    """The folded network; `network` itself stays as it is. Rewrites run until none applies: each takes a node away."""
    folded = network.copy()
    while any(rewrite(folded) for rewrite in REWRITES):
        pass
    return folded


def drop_identities(net: Network) -> bool:
    """Take out affines that change nothing: unit scale, no shift."""
    for node in net.nodes:
        if _is_shift(net, node) and not np.any(net.constant(node, "shift")):
            net.redirect(node.name, node.inputs[0], np.zeros(1))
            net.remove(node)
            return True
    return False


def merge_affines(net: Network) -> bool:
    """Two affines in a row, of which the second alone reads the first, become one: the second."""
    producers, consumers = net.by_name(), net.consumers()
    for second in net.nodes:
        first = producers.get(second.inputs[0])
        if second.op != "affine" or first is None or first.op != "affine" or not _only(net, consumers, first):
            continue
        scale = net.constant(second, "scale")
        net.put(second, "shift", net.constant(first, "shift") * scale + net.constant(second, "shift"))
        net.put(second, "scale", net.constant(first, "scale") * scale)
        net.forget(first.name)
        net.remove(first)
        return True
    return False


def fold_into_weights(net: Network) -> bool:
    """An affine that alone reads a real convolution or linear layer goes into its weight and bias."""
    producers, consumers = net.by_name(), net.consumers()
    for node in net.nodes:
        layer = producers.get(node.inputs[0])
        if node.op != "affine" or layer is None or layer.op not in _TAKES_BIAS or not _only(net, consumers, layer):
            continue
        scale, shift = net.constant(node, "scale"), net.constant(node, "shift")
        weight = net.constant(layer, "weight")
        net.forget(layer.name)
        net.redirect(node.name, layer.name, np.zeros(1))
        scaled = distinct(weight) * scale.reshape(-1, *[1] * (weight.ndim - 1))
        net.put(layer, "weight", np.broadcast_to(scaled, weight.shape))
        _put_bias(net, layer.name, _bias(net, layer) * scale + shift)
        net.remove(node)
        return True
    return False


def hoist_shifts(net: Network) -> bool:
    """A shift goes up, through additions and pools that it alone reads, into an affine or a layer with a bias."""
    for node in net.nodes:
        if _is_shift(net, node) and _hoist(net, node.inputs[0], net.constant(node, "shift")):
            net.redirect(node.name, node.inputs[0], np.zeros(1))
            net.remove(node)
            return True
    return False


def sink_shifts(net: Network) -> bool:
    """A shift goes down into whatever reads it, if every reader can take it."""
    for node in net.nodes:
        if not _is_shift(net, node):
            continue
        amount = net.constant(node, "shift")
        trial = net.copy()
        try:
            less = _sink(trial, node.name, amount)
        except _StuckError:
            continue
        net.nodes, net.constants, net.meaning = trial.nodes, trial.constants, trial.meaning
        for name, missing in less.items():
            net.redirect(name, name, missing)
        net.redirect(node.name, node.inputs[0], np.zeros(1))
        net.remove(node)
        return True
    return False


REWRITES: tuple[Callable[[Network], bool], ...] = (
    drop_identities,
    merge_affines,
    fold_into_weights,
    hoist_shifts,
    sink_shifts,
)


def _is_shift(net: Network, node: Node) -> bool:
    return node.op == "affine" and bool(np.all(net.constant(node, "scale") == 1))


def _only(net: Network, consumers: dict[str, list[Node]], node: Node) -> bool:
    """Whether one node reads it, once, and the outside does not."""
    readers = consumers[node.name]
    return len(readers) == 1 and readers[0].inputs.count(node.name) == 1 and net.output != node.name


def _bias(net: Network, layer: Node) -> Real:
    if "bias" in layer.constants:
        return net.constant(layer, "bias")
    return np.zeros(len(net.constant(layer, "weight")))


def _put_bias(net: Network, layer: str, bias: Real) -> None:
    net.put(net.by_name()[layer], "bias", bias)


def _hoist(net: Network, name: str, amount: Real) -> bool:
    """Add `amount` to the value of `name` by changing a constant above it. False, and nothing changed, if none can."""
    node = net.by_name().get(name)
    if node is None or not _only(net, net.consumers(), node):
        return False
    if node.op == "affine":
        net.put(node, "shift", net.constant(node, "shift") + amount)
    elif node.op in _TAKES_BIAS:
        _put_bias(net, name, _bias(net, node) + amount)
    elif node.op not in ("add", *_COMMUTES) or not any(_hoist(net, source, amount) for source in node.inputs):
        return False
    net.redirect(name, name, -amount)
    return True


def _sink(net: Network, start: str, amount: Real) -> dict[str, Real]:
    """Change what comes behind `start` so that its readers may read a value that is less by `amount`.

    Returns by how much each value on the way is less now, `start` itself among them. Raises _StuckError, with the
    network half changed, where a reader cannot take it. One pass in order: paths that part and meet again add up.
    """
    less = {start: amount}
    for at in range(len(net.nodes)):
        reader = net.nodes[at]  # not taken before: hoisting may have put another node in its place
        if less.keys().isdisjoint(reader.inputs):
            continue
        if reader.op == "sign":
            net.put(reader, "shift", net.constant(reader, "shift") + less[reader.inputs[0]])
        elif reader.op == "affine":
            missing = net.constant(reader, "scale") * less[reader.inputs[0]]
            net.put(reader, "shift", net.constant(reader, "shift") + missing)
        elif reader.op in _TAKES_BIAS and reader.attributes.get("padding", (0, 0)) == (0, 0):
            missing = _through_weights(net, reader, less[reader.inputs[0]])
            _put_bias(net, reader.name, _bias(net, reader) + missing)
        elif reader.op != "add" or not _give_sibling(net, reader, less):
            less[reader.name] = _passed_on(net, reader, less)
    if net.output in less:
        raise _StuckError
    return less


def _give_sibling(net: Network, add: Node, less: dict[str, Real]) -> bool:
    """Let what is added to the shifted value carry the shift."""
    first, second = add.inputs
    if first in less and second in less:
        return False
    shifted, sibling = (first, second) if first in less else (second, first)
    return _hoist(net, sibling, less[shifted])


def _passed_on(net: Network, reader: Node, less: dict[str, Real]) -> Real:
    """By how much the reader's value is less when its inputs are."""
    parts = [less[name] if name in less else np.zeros(net.channels(name)) for name in reader.inputs]
    first = parts[0]
    if reader.op == "add":
        return first + parts[1]
    if reader.op in _COMMUTES:
        return first
    if reader.op == "repeat":
        repeated: Real = np.tile(first, number(reader, "times"))
        return repeated
    if reader.op == "slice":
        return first[number(reader, "begin") : number(reader, "end")]
    if reader.op == "concat":
        return np.concatenate(parts)
    raise _StuckError


def _through_weights(net: Network, layer: Node, amount: Real) -> Real:
    weight = net.constant(layer, "weight")
    if layer.op == "linear_f32":
        columns: Real = weight.reshape(len(weight), -1, len(amount)).sum(axis=1)
        return columns @ amount
    groups = number(layer, "groups")
    sums = weight.sum(axis=(1, 2)).reshape(groups, len(weight) // groups, -1)  # (groups, outputs, inputs) of a group
    out: Real = np.einsum("goi,gi->go", sums, amount.reshape(groups, -1)).reshape(-1)
    return out
