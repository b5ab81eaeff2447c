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
        self.size = size
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

    def relu(self, x: str) -> str:
        return self.builder.add("relu", x)

    def real_conv(self, x: str) -> str:
        return self.builder.add("conv_f32", x, weight=self.numbers(C, 3, 3, C), bias=self.numbers(C), padding=1)

    def pool(self, x: str, op: str = "avg_pool", *, kernel: tuple[int, int] = (2, 2), ceil: bool = True) -> str:
        if self.size == (1, 1):
            kernel = (1, 1)
        return self.builder.add(op, x, kernel=kernel, stride=kernel, ceil_mode=ceil)

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


def stages_of_every_op_end_in_a_sign(net: Net) -> Graph:
    y = net.relu(net.conv(net.x))
    y = net.builder.add("clip", net.affine(net.affine(y)), bounds=np.array([-1, 2], np.float32))
    y = net.builder.add("abs", net.builder.add("hard_sigmoid", net.add(net.x, y)))
    return net.finish(net.conv(net.builder.add("mul", (net.builder.add("sigmoid", y), net.x))))


def a_real_convolution_with_stages_and_a_reader_of_its_end(net: Net) -> Graph:
    y = net.prelu(net.relu(net.real_conv(net.x)))
    return net.finish(net.conv(y), y)


def a_real_convolution_is_added_to_its_own_input(net: Net) -> Graph:
    """The sum may not take its input's place: neighbours in other rows still need it."""
    return net.finish(net.relu(net.add(net.real_conv(net.x), net.x)))


def a_pixel_scales_a_map(net: Net) -> Graph:
    pixel = net.builder.add("sigmoid", net.relu(net.builder.add("global_avg_pool", net.x)))
    return net.finish(net.conv(net.relu(net.builder.add("mul", (net.affine(net.conv(net.x)), pixel)))))


def a_chain_ends_as_the_pixel_of_a_sum(net: Net) -> Graph:
    pixel = net.relu(net.builder.add("global_avg_pool", net.x))
    return net.finish(net.relu(net.add(net.x, pixel)))


def a_pool_and_a_sign_are_the_only_readers(net: Net) -> Graph:
    y = net.prelu(net.add(net.affine(net.conv(net.x)), net.x))
    return net.finish(net.conv(y), net.pool(y), net.x)


def pools_behind_stages_and_a_third_reader(net: Net) -> Graph:
    y = net.affine(net.relu(net.conv(net.x)))
    return net.finish(net.pool(y, "max_pool"), net.conv(y), y, net.pool(net.affine(net.x)))


def pools_that_leave_rows_out_or_end_early(net: Net) -> Graph:
    ends = [net.pool(net.conv(net.x), kernel=(3, 2), ceil=ceil) for ceil in (False, True)]
    return net.finish(*ends, net.pool(net.relu(net.conv(net.x)), "max_pool", kernel=(3, 2), ceil=True))


def overlapping_pools(net: Net) -> Graph:
    y = net.relu(net.conv(net.x))
    y = net.builder.add("max_pool", y, kernel=3, stride=2, padding=1, ceil_mode=False)
    return net.finish(net.conv(net.relu(y)))


def overlapping_pools_of_many_sizes(net: Net) -> Graph:
    """Windows larger than the few rows that are at hand, padded ones, gaps between them, and one after another."""
    x = net.real_conv(net.x)
    for kernel, stride, padding in ((3, 1, 1), (5, 1, 2), (2, 1, 1), (1, 1, 0)):
        x = net.builder.add("max_pool", net.affine(x), kernel=kernel, stride=stride, padding=padding)
    ends = [
        net.builder.add(op, y, kernel=kernel, stride=stride, padding=kernel // 2, ceil_mode=ceil)
        for op, y in (("max_pool", net.conv(x)), ("avg_pool", net.prelu(x)))
        for kernel, stride, ceil in ((3, 2, False), (3, 2, True), (9, 4, False), (2, 3, False))
    ]
    return net.finish(*ends)


def an_overlapping_pool_and_another_reader(net: Net) -> Graph:
    y = net.relu(net.real_conv(net.x))
    return net.finish(net.builder.add("max_pool", y, kernel=3, stride=2, padding=1), net.conv(y))


def moved_channels_with_stages(net: Net) -> Graph:
    both = net.builder.add("concat", (net.x, net.relu(net.x)))
    part = net.builder.add("slice", both, begin=7, end=7 + C)
    return net.finish(net.conv(net.add(part, net.x)), both)


def part(net: Net, x: str, begin: int, end: int) -> str:
    return net.builder.add("slice", x, begin=begin, end=end)


def channels_that_grow_in_place(net: Net) -> Graph:
    """The last channels are improved, the others stay: what MeliusNet does."""
    wide = net.builder.add("concat", (net.x, net.relu(net.x)))
    better = net.add(part(net, wide, C, 2 * C), net.conv(net.relu(part(net, wide, 3, 3 + C))))
    return net.finish(net.builder.add("concat", (part(net, wide, 0, C), better)))


def grown_channels_whose_source_is_read_again(net: Net) -> Graph:
    wide = net.builder.add("concat", (net.x, net.relu(net.x)))
    grown = net.builder.add("concat", (part(net, wide, 0, C), net.affine(net.x)))
    return net.finish(grown, wide)


def a_concat_of_two_parts_of_one_value(net: Net) -> Graph:
    """The parts change places, so the sum of both may not lie on their source."""
    wide = net.builder.add("concat", (net.x, net.relu(net.x)))
    same = net.builder.add("concat", (part(net, wide, 0, C), part(net, wide, 1, 1 + C)))
    other = net.builder.add("concat", (part(net, same, C, 2 * C), part(net, same, 0, C)))
    return net.finish(net.relu(other), net.builder.add("concat", (part(net, net.affine(net.x), 0, 9), net.x)))


def grown_channels_with_stages(net: Net) -> Graph:
    wide = net.builder.add("concat", (net.x, net.relu(net.x)))
    grown = net.builder.add("concat", (part(net, wide, 0, C), net.affine(net.x)))
    return net.finish(net.pool(net.relu(grown)))


CASES: tuple[Callable[[Net], Graph], ...] = (
    stages_of_every_op_end_in_a_sign,
    a_real_convolution_with_stages_and_a_reader_of_its_end,
    a_real_convolution_is_added_to_its_own_input,
    a_pixel_scales_a_map,
    a_chain_ends_as_the_pixel_of_a_sum,
    a_pool_and_a_sign_are_the_only_readers,
    pools_behind_stages_and_a_third_reader,
    pools_that_leave_rows_out_or_end_early,
    overlapping_pools,
    overlapping_pools_of_many_sizes,
    an_overlapping_pool_and_another_reader,
    moved_channels_with_stages,
    channels_that_grow_in_place,
    grown_channels_whose_source_is_read_again,
    a_concat_of_two_parts_of_one_value,
    grown_channels_with_stages,
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


# The last size has rows of 31 KB, so that a step takes them a few at a time.
@pytest.mark.parametrize("size", [SIZE, (1, 1), (5, 7), (11, 120)], ids=str)
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


@pytest.mark.parametrize("size", [(24, 56), (24, 112), (23, 28), (22, 30)], ids=str)  # 12x28, 12x56, 12x14; odd rows
@pytest.mark.parametrize("outputs", [7, 40])
def test_an_integer_stem_and_its_maxima_give_the_references_bits(size: tuple[int, int], outputs: int) -> None:
    rng = np.random.default_rng(3)
    builder = GraphBuilder("stem", (*size, 3))
    x = builder.add(
        "conv_u8",
        builder.input,
        weight=rng.integers(-127, 128, (outputs, 7, 7, 3)).astype(np.int8),
        offset=rng.integers(-30000, 30000, (outputs, 7, 7)).astype(np.int32),
        scale=(rng.normal(size=outputs) / 1000).astype(np.float32),
        bias=rng.normal(size=outputs).astype(np.float32),
        stride=2,
        padding=3,
    )
    pooled = builder.add("max_pool", x, kernel=3, stride=2, padding=1)
    kept = builder.add("slice", pooled, begin=0, end=outputs - 1)
    graph = builder.build(builder.add("global_avg_pool", kept))
    images = random_images(graph, 2, seed=1)
    wanted = run_reference(graph, images).tobytes()
    for isa, threads in product(system()["isas"], (1, 2, 5)):
        with Session.from_bytes(dumps(graph), threads, isa=isa) as session:
            assert session.run(images).tobytes() == wanted


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


def all_steps(graph: Graph) -> list[list[str]]:
    ops = {node.name: node.op for node in graph.nodes}
    with Session.from_bytes(dumps(graph)) as session:
        return [[ops[name] for name in step["nodes"]] for step in session.plan["steps"]]


def test_a_normalize_goes_with_the_convolution_that_reads_it() -> None:
    assert all_steps(a_real_convolution_is_added_to_its_own_input(Net()))[0] == ["normalize", "conv_f32"]


def test_stages_a_sign_and_a_pool_go_with_what_makes_their_rows() -> None:
    assert ["bconv2d", "affine", "add", "prelu", "sign", "avg_pool"] in all_steps(
        a_pool_and_a_sign_are_the_only_readers(Net())
    )
    steps = all_steps(pools_behind_stages_and_a_third_reader(Net()))
    assert ["bconv2d", "relu", "affine", "sign", "max_pool"] in steps
    assert ["affine", "avg_pool"] in steps


def test_a_pool_whose_windows_overlap_goes_with_what_it_alone_reads() -> None:
    assert ["bconv2d", "relu", "max_pool"] in all_steps(overlapping_pools(Net()))
    assert ["max_pool"] in all_steps(an_overlapping_pool_and_another_reader(Net()))


def test_a_concat_takes_the_slices_that_it_alone_reads() -> None:
    steps = all_steps(channels_that_grow_in_place(Net()))
    assert ["slice", "concat"] in steps
    assert sum("slice" in ops for ops in steps) == 3


def test_float_images_take_the_place_of_a_fused_normalize() -> None:
    graph = a_real_convolution_with_stages_and_a_reader_of_its_end(Net((5, 7)))
    images = random_images(graph, 3, seed=2)
    table = graph.constants[graph.nodes[0].constants["table"]]
    normalized = table[images, np.arange(3)]
    for threads in (1, 2):
        with Session.from_bytes(dumps(graph), threads) as session:
            found = session.run(normalized)
            assert found.tobytes() == session.run(images).tobytes()


def test_the_arena_of_many_units_is_that_of_one() -> None:
    """The stream is added in place, so depth costs no memory."""
    with Session.from_bytes(dumps(shortcuts_pass_through_many_units(Net()))) as session:
        stream = SIZE[0] * SIZE[1] * C * 4
        bits = SIZE[0] * SIZE[1] * 2 * 8
        assert session.plan["arena_bytes"] <= 2 * stream + 2 * bits + 8 * 64
