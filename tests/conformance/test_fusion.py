"""The native plan where chains of nodes meet, branch and end early: whatever it fuses, the bits are the reference's."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from conformance.graphs import random_images
from reactnet.graph import Graph, GraphBuilder, dumps, pack_bits, run_reference
from reactnet.runtime import Session, system

C = 65
SIZE = (4, 3)


class Net:
    """A builder with short names for what binary networks are made of."""

    def __init__(self, size: tuple[int, int] = SIZE) -> None:
        self.rng = np.random.default_rng(7)
        self.builder = GraphBuilder("fusion", (*size, 3))
        image = self.builder.add("normalize", self.builder.input, table=self.numbers(256, 3))
        self.x = self.builder.add("conv_f32", image, weight=self.numbers(C, 1, 1, 3))

    def numbers(self, *shape: int) -> np.ndarray:
        return self.rng.normal(size=shape).astype(np.float32)

    def sign(self, x: str) -> str:
        return self.builder.add("sign", x, shift=self.numbers(C))

    def conv(self, x: str, *, outputs: int = C) -> str:
        weight = pack_bits(self.numbers(outputs, 3, 3, C))
        return self.builder.add("bconv2d", self.sign(x), weight=weight, padding=1)

    def affine(self, x: str, *, channels: int = C) -> str:
        return self.builder.add("affine", x, scale=self.numbers(channels), shift=self.numbers(channels))

    def shift(self, x: str) -> str:
        return self.builder.add("affine", x, scale=np.ones(C, np.float32), shift=self.numbers(C))

    def prelu(self, x: str) -> str:
        return self.builder.add("prelu", x, slope=self.numbers(C))

    def add(self, x: str, y: str) -> str:
        return self.builder.add("add", (x, y))

    def finish(self, *values: str) -> Graph:
        pooled = [self.builder.add("global_avg_pool", value) for value in values]
        return self.builder.build(self.builder.add("concat", tuple(pooled)) if len(pooled) > 1 else pooled[0])


def two_chains_meet_in_an_add(net: Net) -> Graph:
    return net.finish(net.prelu(net.add(net.affine(net.conv(net.x)), net.affine(net.conv(net.x)))))


def both_inputs_of_the_add_are_the_chain(net: Net) -> Graph:
    y = net.affine(net.conv(net.x))
    return net.finish(net.add(y, y))


def the_shortcut_comes_first_in_the_add(net: Net) -> Graph:
    return net.finish(net.add(net.x, net.affine(net.conv(net.x))))


def the_shortcut_is_made_after_the_convolution(net: Net) -> Graph:
    y = net.conv(net.x)
    return net.finish(net.prelu(net.add(y, net.builder.add("sigmoid", net.x))))


def the_shortcut_is_read_again_later(net: Net) -> Graph:
    y = net.add(net.affine(net.conv(net.x)), net.x)
    return net.finish(net.add(y, net.builder.add("relu", net.x)))


def the_end_has_two_signs_and_a_real_reader(net: Net) -> Graph:
    y = net.prelu(net.affine(net.conv(net.x)))
    return net.finish(net.conv(y), net.builder.add("abs", y), net.conv(y))


def a_real_reader_stands_before_the_sign(net: Net) -> Graph:
    y = net.affine(net.conv(net.x))
    pooled = net.builder.add("relu", y)
    return net.finish(pooled, net.conv(y))


def a_value_within_the_chain_has_another_reader(net: Net) -> Graph:
    y = net.affine(net.conv(net.x))
    z = net.shift(net.prelu(net.add(y, net.x)))
    return net.finish(y, z)


def a_shared_repeat(net: Net) -> Graph:
    twice = net.builder.add("repeat", net.x, times=2)
    y = net.affine(net.conv(net.x, outputs=2 * C), channels=2 * C)
    return net.finish(net.builder.add("add", (y, twice)), twice)


def two_adds_of_one_repeat(net: Net) -> Graph:
    twice = net.builder.add("repeat", net.x, times=2)
    ends = [net.builder.add("add", (net.conv(net.x, outputs=2 * C), twice)) for _ in range(2)]
    return net.finish(*ends)


def a_repeat_of_its_own(net: Net) -> Graph:
    y = net.affine(net.conv(net.x, outputs=3 * C), channels=3 * C)
    y = net.builder.add("add", (net.builder.add("repeat", net.x, times=3), y))
    return net.finish(net.builder.add("prelu", y, slope=net.numbers(3 * C)))


def stages_are_left_out(net: Net) -> Graph:
    ends = [net.conv(net.conv(net.x)), net.prelu(net.conv(net.x)), net.add(net.conv(net.x), net.x)]
    return net.finish(*ends, net.shift(net.conv(net.x)), net.conv(net.shift(net.prelu(net.conv(net.x)))))


def stages_come_in_another_order(net: Net) -> Graph:
    y = net.affine(net.shift(net.conv(net.x)))
    z = net.add(net.prelu(net.conv(net.x)), net.x)
    return net.finish(y, z, net.affine(net.affine(net.prelu(net.affine(net.conv(net.x))))))


def the_shortcut_is_a_pixel(net: Net) -> Graph:
    pixel = net.builder.add("global_avg_pool", net.x)
    return net.finish(net.prelu(net.add(net.affine(net.conv(net.x)), pixel)))


def shortcuts_pass_through_many_units(net: Net) -> Graph:
    x = net.x
    for _ in range(4):
        x = net.shift(net.prelu(net.add(net.affine(net.conv(x)), x)))
    return net.finish(x)


CASES: tuple[Callable[[Net], Graph], ...] = (
    two_chains_meet_in_an_add,
    both_inputs_of_the_add_are_the_chain,
    the_shortcut_comes_first_in_the_add,
    the_shortcut_is_made_after_the_convolution,
    the_shortcut_is_read_again_later,
    the_end_has_two_signs_and_a_real_reader,
    a_real_reader_stands_before_the_sign,
    a_value_within_the_chain_has_another_reader,
    a_shared_repeat,
    two_adds_of_one_repeat,
    a_repeat_of_its_own,
    stages_are_left_out,
    stages_come_in_another_order,
    the_shortcut_is_a_pixel,
    shortcuts_pass_through_many_units,
)


@pytest.mark.parametrize("size", [SIZE, (1, 1)], ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_fused_plan_gives_the_references_bits(case: Callable[[Net], Graph], size: tuple[int, int]) -> None:
    graph = case(Net(size))
    images = random_images(graph, 3, seed=0)
    wanted = run_reference(graph, images)
    for isa, threads in product(system()["isas"], (1, 2)):
        with Session.from_bytes(dumps(graph), threads, isa=isa) as session:
            assert session.run(images).tobytes() == wanted.tobytes()
            covered = [name for step in session.plan["steps"] for name in step["nodes"]]
            assert sorted(covered) == sorted(node.name for node in graph.nodes)


def fused_ops(graph: Graph) -> list[list[str]]:
    ops = {node.name: node.op for node in graph.nodes}
    with Session.from_bytes(dumps(graph)) as session:
        return [[ops[name] for name in step["nodes"]] for step in session.plan["steps"] if step["op"] == "bconv2d"]


def test_a_repeat_that_feeds_one_add_is_fused_and_a_shared_one_is_not() -> None:
    assert "repeat" in fused_ops(a_repeat_of_its_own(Net()))[0]
    for case in (a_shared_repeat, two_adds_of_one_repeat):
        assert not any("repeat" in ops for ops in fused_ops(case(Net())))


def test_a_value_that_others_read_ends_the_chain() -> None:
    assert fused_ops(a_value_within_the_chain_has_another_reader(Net())) == [["bconv2d", "affine"]]


def test_one_sign_of_two_is_fused() -> None:
    assert fused_ops(the_end_has_two_signs_and_a_real_reader(Net()))[0] == ["bconv2d", "affine", "prelu", "sign"]


def test_the_arena_of_many_units_is_that_of_one() -> None:
    """The stream is added in place, so depth costs no memory."""
    with Session.from_bytes(dumps(shortcuts_pass_through_many_units(Net()))) as session:
        stream = SIZE[0] * SIZE[1] * C * 4
        bits = SIZE[0] * SIZE[1] * 2 * 8
        assert session.plan["arena_bytes"] <= 2 * stream + 2 * bits + 8 * 64
