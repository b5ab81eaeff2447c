"""Folding takes nodes away and keeps every value, but for shifts that it knows of."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compiler.comparing import CLOSE, images
from compiler.conftest import Randomized
from reactnet.compiler.fold import REWRITES, fold
from reactnet.compiler.lower import Lowered, lower_network
from reactnet.compiler.network import Network
from reactnet.graph import Graph, Node, Preprocessing, run_values
from reactnet.models import create_model
from reactnet.nn import BinaryConv2d, RPReLU, RSign

SHAPE = (9, 7, 3)


class Everything(nn.Module):
    """Every rewrite applies somewhere: shifts meet each op that they can and cannot pass."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), RPReLU(6))
        self.left = nn.Sequential(RSign(6), BinaryConv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.BatchNorm2d(6))
        self.act = RPReLU(6)
        self.right = nn.Sequential(RSign(12), BinaryConv2d(12, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12))
        self.down = nn.Conv2d(12, 12, 1, groups=3)
        self.act2 = RPReLU(12)
        self.padded = nn.Conv2d(12, 12, 3, padding=1)
        self.act3 = RPReLU(12)
        self.head = nn.Linear(18, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.act(self.left(x) + x).repeat(1, 2, 1, 1)
        x = self.right(x) + self.down(F.avg_pool2d(x, 2, ceil_mode=True))
        x = self.act2(x)
        x = self.act3(self.padded(x) + x)
        x = torch.cat([x[:, 3:9], x], dim=1)
        return self.head(x.mean((2, 3)).flatten(1))


class Pooled(nn.Module):
    """A shift that every reader can take, beyond a pool and two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.act = RPReLU(3)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.grid = nn.AdaptiveAvgPool2d((2, 2))
        self.one, self.two = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1, bias=False)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(x))
        return self.head(self.grid(F.relu(self.one(x)) + F.relu(self.two(x))).flatten(1))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "everything": Everything,
    "pooled": Pooled,
    "digits": lambda: create_model("reactnet_digits"),
    "phase one": lambda: create_model("reactnet_digits", binarize=("activations",)),
    "twin": lambda: create_model("reactnet_digits", binarize=()),
}


def lowered(name: str, randomized: Randomized, seed: int = 0) -> Lowered:
    model = randomized(MODELS[name](), seed)
    return lower_network(model, SHAPE if name in ("everything", "pooled") else (8, 8, 1))


def graph_of(network: Network) -> Graph:
    height, width, channels = network.input_shape
    return network.to_graph(
        preprocessing=Preprocessing((height, width), (height, width), (0.0,) * channels, (1.0,) * channels)
    )


def assert_same_values(before: Network, after: Network) -> None:
    """Every value of `before` that `after` still has a meaning for is there, and the output among them."""
    old, new = graph_of(before), graph_of(after)
    pixels = images(old.input_shape, count=2)
    expected, found = run_values(old, pixels), run_values(new, pixels)
    assert after.meaning[before.output].node == after.output
    assert not np.any(after.meaning[before.output].offset)
    for name, where in after.meaning.items():
        if name in expected:
            wanted, got = expected[name], found[where.node] + where.offset
            np.testing.assert_allclose(got, wanted, rtol=0, atol=CLOSE * max(1, np.abs(wanted).max()), err_msg=name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MODELS)
def test_folding_keeps_every_value_that_it_gives_a_meaning(name: str, seed: int, randomized: Randomized) -> None:
    network = lowered(name, randomized, seed).network
    folded = fold(network)
    assert len(folded.nodes) < len(network.nodes)
    assert_same_values(network, folded)


@pytest.mark.parametrize("rewrite", REWRITES, ids=lambda rewrite: rewrite.__name__)
def test_each_rewrite_alone_keeps_values_and_takes_nodes_away(
    rewrite: Callable[[Network], bool], randomized: Randomized
) -> None:
    network = lowered("everything", randomized).network
    network.constants["stem.2.shift_in.shift"] = np.zeros(6)  # something for drop_identities
    steps, done = network.copy(), 0
    while rewrite(steps):
        done += 1
        assert len(steps.nodes) == len(network.nodes) - done
        assert_same_values(network, steps)
    assert done > 0


def test_folding_leaves_the_network_before_as_it_was(randomized: Randomized) -> None:
    network = lowered("everything", randomized).network
    nodes, constants = list(network.nodes), {name: value.copy() for name, value in network.constants.items()}
    fold(network)
    assert network.nodes == nodes
    assert network.constants.keys() == constants.keys()
    for name, value in constants.items():
        np.testing.assert_array_equal(network.constants[name], value)


def test_folding_drops_constants_with_their_nodes(randomized: Randomized) -> None:
    folded = fold(lowered("everything", randomized).network)
    used = {tensor for node in folded.nodes for tensor in node.constants.values()}
    assert used == set(folded.constants)
    assert {node.name for node in folded.nodes} <= set(folded.origin)


def test_a_reactnet_unit_folds_to_sign_bconv2d_affine_add_prelu(randomized: Randomized) -> None:
    folded = fold(lowered("digits", randomized).network)
    ops = [node.op for node in folded.nodes if node.op not in ("avg_pool", "repeat")]
    unit = ["sign", "bconv2d", "affine", "add", "prelu"]
    assert ops == ["normalize", "conv_f32", *unit * 4, "global_avg_pool", "linear_f32"]


def test_only_the_shift_that_no_reader_may_take_stays(randomized: Randomized) -> None:
    folded = fold(lowered("everything", randomized).network)
    shifts = [node.name for node in folded.nodes if node.op == "affine" and np.all(folded.constant(node, "scale") == 1)]
    assert shifts == ["act2"]  # a convolution with padding reads it, and its border has no shift


def test_no_registered_family_keeps_a_shift_of_its_own() -> None:
    for name in ("reactnet_a", "reactnet_b", "reactnet18", "bnext_t"):
        folded = fold(lower_network(create_model(name), (64, 64, 3)).network)
        assert not [n.name for n in folded.nodes if n.op == "affine" and np.all(folded.constant(n, "scale") == 1)], name


def chain(*nodes: Node, output: str, **constants: np.ndarray) -> Network:
    """A network by hand on a 4x4 image of two channels."""
    network = Network("hand", (4, 4, 2), output="normalize")
    random = np.random.default_rng(1)
    network.add(
        "normalize", "image", "normalize", origin="normalize", constants={"table": random.normal(size=(256, 2))}
    )
    for node in nodes:
        arrays = {role: constants[name] for role, name in node.constants.items()}
        network.add(node.op, node.inputs, node.name, origin=node.name, attributes=node.attributes, constants=arrays)
    return replace(network, output=output)


ONES, SHIFT = np.ones(2), np.array([0.3, -0.7])
MOVE = Node("move", "affine", ("normalize",), {}, {"scale": "ones", "shift": "shift"})


@pytest.mark.parametrize(
    ("reader", "taken"),
    [
        (Node("r", "affine", ("move",), {}, {"scale": "slope", "shift": "slope"}), True),
        (Node("r", "relu", ("move",)), False),
        (Node("r", "prelu", ("move",), {}, {"slope": "slope"}), False),
        (Node("r", "mul", ("move", "normalize")), False),
        (Node("r", "conv_f32", ("move",), {"groups": 2, "padding": (0, 0)}, {"weight": "weight"}), True),
        (Node("r", "conv_f32", ("move",), {"groups": 2, "padding": (1, 0)}, {"weight": "weight"}), False),
    ],
    ids=["affine", "relu", "prelu", "mul", "conv", "padded conv"],
)
def test_a_shift_sinks_into_a_reader_only_where_that_is_right(reader: Node, taken: bool) -> None:
    weight = np.random.default_rng(2).normal(size=(4, 3, 3, 1))
    pool = Node("pool", "global_avg_pool", ("r",))
    network = chain(MOVE, reader, pool, output="pool", ones=ONES, shift=SHIFT, slope=np.array([0.5, 2]), weight=weight)
    folded = fold(network)
    assert ("move" in folded.by_name()) is not taken
    assert_same_values(network, folded)


def test_a_shift_stays_whole_where_one_of_two_readers_cannot_take_it() -> None:
    affine = Node("a", "affine", ("move",), {}, {"scale": "slope", "shift": "slope"})
    relu, total = Node("r", "relu", ("move",)), Node("s", "add", ("a", "r"))
    network = chain(MOVE, affine, relu, total, Node("pool", "global_avg_pool", ("s",)), output="pool", ones=ONES,
                    shift=SHIFT, slope=np.array([0.5, 2]))  # fmt: skip
    folded = fold(network)
    np.testing.assert_array_equal(folded.constants["a.shift"], [0.5, 2])
    assert "move" in folded.by_name()


def test_a_value_that_two_nodes_read_does_not_take_the_shift_of_one() -> None:
    base = Node("base", "affine", ("normalize",), {}, {"scale": "slope", "shift": "slope"})
    move = replace(MOVE, inputs=("base",))
    relus = Node("r", "relu", ("move",)), Node("t", "relu", ("base",))
    network = chain(base, move, *relus, Node("s", "add", ("r", "t")), Node("pool", "global_avg_pool", ("s",)),
                    output="pool", ones=ONES, shift=SHIFT, slope=np.array([0.5, 2]))  # fmt: skip
    folded = fold(network)
    assert len(folded.nodes) == len(network.nodes)
    assert_same_values(network, folded)


@pytest.mark.parametrize("op", ["add", "concat"])
def test_a_shift_that_one_node_reads_twice_counts_twice(op: str) -> None:
    double = Node("double", op, ("move", "move"))
    slope = np.array([0.5, 2] if op == "add" else [0.5, 2, 1, 3])
    end = Node("end", "affine", ("double",), {}, {"scale": "slope", "shift": "slope"})
    pool = Node("pool", "global_avg_pool", ("end",))
    network = chain(MOVE, double, end, pool, output="pool", ones=ONES, shift=SHIFT, slope=slope)
    folded = fold(network)
    assert "move" not in folded.by_name()
    assert_same_values(network, folded)


def test_a_shift_at_the_output_stays() -> None:
    network = chain(Node("pool", "global_avg_pool", ("normalize",)), replace(MOVE, inputs=("pool",)), output="move",
                    ones=ONES, shift=SHIFT)  # fmt: skip
    folded = fold(network)
    assert "move" in folded.by_name()
    assert_same_values(network, folded)


def test_merging_rounds_once() -> None:
    """(x * a + b) * c + d in float64 gives constants that three float32 roundings would miss."""
    random = np.random.default_rng(3)
    a, b, c, d = random.normal(size=(4, 2))
    first = Node("a", "affine", ("normalize",), {}, {"scale": "a", "shift": "b"})
    second = Node("c", "affine", ("a",), {}, {"scale": "c", "shift": "d"})
    network = chain(first, second, Node("pool", "global_avg_pool", ("c",)), output="pool", a=a, b=b, c=c, d=d)
    graph = graph_of(fold(network))
    np.testing.assert_array_equal(graph.constants["c.scale"], (a * c).astype(np.float32))
    np.testing.assert_array_equal(graph.constants["c.shift"], (b * c + d).astype(np.float32))
