"""Random networks in which shifts part, meet, widen and join: folding keeps the meaning of every value."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.comparing import images
from reactnet.compiler.fold import fold
from reactnet.compiler.network import Network
from reactnet.graph import Graph, Preprocessing, check, pack_bits, run_values

SIZE = (5, 4, 3)
ROUNDING = 2e-5
"""As a part of the largest value of the whole network: a shift may come from a value much larger than its own."""


class Drawing:
    """Draws nodes one by one; every value has the map's height and width but behind the last pool."""

    def __init__(self, data: st.DataObject, seed: int) -> None:
        self.data, self.random = data, np.random.default_rng(seed)
        self.net = Network("random", SIZE)
        table = self.random.normal(size=(256, 3))
        self.net.add("normalize", "image", "normalize", origin="normalize", constants={"table": table})
        self.names = ["normalize"]

    def numbers(self, *shape: int) -> np.ndarray:
        return self.random.normal(size=shape)

    def add(self, op: str, *inputs: str, attributes: dict | None = None, **constants: np.ndarray) -> str:
        name = f"{op}{len(self.net.nodes)}"
        self.net.add(op, inputs, name, origin=name, attributes=attributes, constants=constants)
        self.names.append(name)
        return name

    def step(self) -> None:
        kinds = ("shift", "shift", "affine", "unit", "conv", "padded", "relu", "pool", "add", "add", "join", "repeat")
        kind = self.data.draw(st.sampled_from(kinds))
        source = self.data.draw(st.sampled_from(self.names[-5:]))
        channels = self.net.channels(source)
        if kind == "shift":
            self.add("affine", source, scale=np.ones(channels), shift=self.numbers(channels))
        elif kind == "affine":
            self.add("affine", source, scale=self.numbers(channels), shift=self.numbers(channels))
        elif kind == "unit":
            sign = self.add("sign", source, shift=self.numbers(channels))
            self.names.remove(sign)
            attributes = {"padding": (1, 1), "padding_value": 0, "groups": 1}
            bits = pack_bits(self.numbers(channels, 3, 3, channels))
            total = self.add("bconv2d", sign, attributes=attributes, weight=bits)
            self.add("affine", total, scale=self.numbers(channels), shift=self.numbers(channels))
        elif kind in ("conv", "padded"):
            side, padding = (1, (0, 0)) if kind == "conv" else (3, (1, 1))
            constants = {"weight": self.numbers(3, side, side, channels)}
            if self.data.draw(st.booleans()):
                constants["bias"] = self.numbers(3)
            self.add("conv_f32", source, attributes={"padding": padding, "groups": 1}, **constants)
        elif kind == "relu":
            self.add("relu", source)
        elif kind == "pool":
            op = self.data.draw(st.sampled_from(["avg_pool", "max_pool"]))
            self.add(op, source, attributes={"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "ceil_mode": False})
        elif kind == "add":
            same = [name for name in self.names[-6:] if self.net.channels(name) == channels]
            self.add("add", source, self.data.draw(st.sampled_from(same)))
        elif kind == "join" and channels < 12:
            joined = self.add("concat", source, self.data.draw(st.sampled_from(self.names[-5:])))
            self.add("slice", joined, attributes={"begin": 1, "end": self.net.channels(joined)})
        elif kind == "repeat" and channels < 6:
            self.add("repeat", source, attributes={"times": 2})

    def finish(self) -> Network:
        """Join all that nothing reads, and classify."""
        consumers = self.net.consumers()
        ends = [node.name for node in self.net.nodes if not consumers[node.name]]
        joined = self.add("concat", *ends) if len(ends) > 1 else ends[0]
        pooled = self.add("global_avg_pool", joined)
        self.net.output = self.add("linear_f32", pooled, weight=self.numbers(4, self.net.channels(pooled)))
        return self.net


def graph_of(network: Network) -> Graph:
    return network.to_graph(preprocessing=Preprocessing(SIZE[:2], SIZE[:2], (0.0,) * 3, (1.0,) * 3))


def assert_folding_keeps_meanings(network: Network) -> Network:
    folded = fold(network)
    old, new = graph_of(network), graph_of(folded)
    check(new)
    pixels = images(SIZE, count=2)
    expected, found = run_values(old, pixels), run_values(new, pixels)
    largest = max(float(np.abs(value).max()) for value in expected.values())
    assert network.output in folded.meaning
    for name, where in folded.meaning.items():
        got = found[where.node] + where.offset
        if expected[name].dtype == np.int8:  # signs: equal but for ties, which random numbers do not have
            np.testing.assert_array_equal(got, expected[name], err_msg=name)
        else:
            np.testing.assert_allclose(got, expected[name], rtol=0, atol=ROUNDING * largest, err_msg=name)
    assert not np.any(folded.meaning[network.output].offset)
    assert fold(folded).nodes == folded.nodes, "folding twice changes nothing"
    return folded


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), seed=st.integers(0, 2**16), steps=st.integers(3, 14))
def test_folding_a_random_network_keeps_the_meaning_of_every_value(data: st.DataObject, seed: int, steps: int) -> None:
    drawing = Drawing(data, seed)
    for _ in range(steps):
        drawing.step()
    assert_folding_keeps_meanings(drawing.finish())


@pytest.fixture
def hand() -> Drawing:
    """To draw by hand, where nothing is left to chance but the numbers."""
    return Drawing(None, seed=5)  # type: ignore[arg-type]


def moved(hand: Drawing) -> str:
    return hand.add("affine", "normalize", scale=np.ones(3), shift=np.array([0.5, -2.0, 3.0]))


def test_a_shift_given_to_a_layer_from_two_sides_arrives_whole(hand: Drawing) -> None:
    """x goes through a pool and, later in order, through a layer without a bias; both meet in a sum.

    The sum hands the pool's shift to the layer, which then takes up its own.
    """
    x = moved(hand)
    attributes = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "ceil_mode": False}
    pool = hand.add("avg_pool", x, attributes=attributes)
    conv = hand.add("conv_f32", x, attributes={"padding": (0, 0), "groups": 1}, weight=hand.numbers(3, 1, 1, 3))
    hand.add("add", pool, conv)
    folded = assert_folding_keeps_meanings(hand.finish())
    assert "affine" not in [node.op for node in folded.nodes]


@pytest.mark.parametrize("op", ["add", "concat"])
def test_a_value_read_twice_by_one_node_carries_its_shift_twice(hand: Drawing, op: str) -> None:
    x = moved(hand)
    hand.add(op, x, x)
    folded = assert_folding_keeps_meanings(hand.finish())
    assert "affine" not in [node.op for node in folded.nodes]


def test_a_shift_through_a_join_moves_only_its_own_channels(hand: Drawing) -> None:
    x = moved(hand)
    joined = hand.add("concat", "normalize", x)
    network = hand.finish()
    folded = assert_folding_keeps_meanings(network)
    assert "affine" not in [node.op for node in folded.nodes]
    np.testing.assert_array_equal(folded.meaning[joined].offset, [0, 0, 0, 0.5, -2.0, 3.0])


def test_paths_that_part_and_meet_many_times_fold_in_one_pass(hand: Drawing) -> None:
    """Each diamond doubles the paths: walking them one by one would take 2^40 steps."""
    x = moved(hand)
    for _ in range(40):
        a = hand.add("slice", hand.add("concat", x, x), attributes={"begin": 0, "end": 3})
        b = hand.add("max_pool", x, attributes={"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0),
                                                "ceil_mode": False})  # fmt: skip
        total = hand.add("add", a, b)
        x = hand.add("avg_pool", total, attributes={"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0),
                                                    "ceil_mode": False})  # fmt: skip
    folded = fold(hand.finish())
    assert "affine" not in [node.op for node in folded.nodes]


def test_a_shift_beside_a_gate_of_one_pixel_stays_right(hand: Drawing) -> None:
    x = moved(hand)
    gate = hand.add("global_avg_pool", x)
    gate = hand.add("affine", gate, scale=hand.numbers(3), shift=hand.numbers(3))
    hand.add("add", x, gate)
    assert_folding_keeps_meanings(hand.finish())
