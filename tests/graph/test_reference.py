"""The reference against a second, scalar writing of the format's arithmetic, and the rules of a run."""

import numpy as np
import pytest

from conformance.graphs import CASES, one_op_graph, random_graph, random_images
from graph import scalar
from reactnet.errors import ReactnetError
from reactnet.graph import OPS, GraphBuilder, Quantized, pack_bits, run_reference, run_values, unpack_bits


def small(name: str) -> bool:
    """Whether the scalar loops can afford the case."""
    return not any(part in name for part in ("c200", "c63", "c65", "c128", "c130", "unit-c64", "s2-small"))


def assert_same_bits(found: np.ndarray, wanted: np.ndarray, where: str) -> None:
    """Equal to the bit, -0.0 apart from 0.0; a NaN equals a NaN."""
    assert found.dtype == wanted.dtype, where
    assert found.shape == wanted.shape, where
    np.testing.assert_array_equal(found, wanted, err_msg=where)
    if found.dtype == np.float32:
        numbers = ~np.isnan(wanted)
        np.testing.assert_array_equal(found.view(np.uint32)[numbers], wanted.view(np.uint32)[numbers], err_msg=where)


def assert_equals_scalar(graph, seed: int = 0, count: int = 1) -> None:
    images = random_images(graph, count, seed)
    found = run_values(graph, images)
    for index, image in enumerate(images):
        for name, wanted in scalar.run(graph, image).items():
            if name == graph.input_name:
                continue
            value = found[name]
            if isinstance(value, Quantized):
                assert_same_bits(value.values[index], wanted[0], name)
                assert_same_bits(value.scales[index : index + 1], np.array([wanted[1]], np.float32), name)
            else:
                assert_same_bits(np.ascontiguousarray(value[index]), wanted, name)


@pytest.mark.parametrize("case", [name for name in CASES if small(name)])
def test_every_op_equals_the_scalar_arithmetic(case):
    assert_equals_scalar(CASES[case]())


@pytest.mark.parametrize("channels", [63, 65])
@pytest.mark.parametrize("padding_value", [-1, 0, 1])
def test_bconv2d_equals_the_scalar_arithmetic_across_a_word(channels, padding_value):
    graph = one_op_graph(
        "bconv2d", channels=channels, out_channels=3, size=(3, 2), padding=1, padding_value=padding_value, stride=2
    )
    assert_equals_scalar(graph)


def test_scalar_arithmetic_covers_every_op():
    assert set(scalar.OPS) == set(OPS)


@pytest.mark.parametrize("seed", range(0, 25, 3))
def test_a_batch_equals_single_runs(seed):
    graph = random_graph(seed)
    images = random_images(graph, 4, seed)
    together = run_reference(graph, images)
    for index in range(len(images)):
        assert_same_bits(run_reference(graph, images[index : index + 1])[0], together[index], str(index))


def test_logits_equal_the_kept_value_of_the_output():
    graph = random_graph(7)
    images = random_images(graph, 3, 0)
    kept = run_values(graph, images)
    assert list(kept) == [node.name for node in graph.nodes]
    np.testing.assert_array_equal(kept[graph.output].reshape(3, -1), run_reference(graph, images))


def test_float_images_replace_the_normalized_ones():
    graph = one_op_graph("conv_f32")
    images = random_images(graph, 3, 0)
    normalized = run_values(graph, images)[graph.nodes[0].name]
    np.testing.assert_array_equal(run_reference(graph, normalized), run_reference(graph, images))


def test_nan_logits_have_one_bit_pattern():
    graph = one_op_graph("abs", size=(1, 1), channels=96, special=True)
    logits = run_reference(graph, random_images(graph, 64, 0))
    nans = logits.view(np.uint32)[np.isnan(logits)]
    assert len(nans) > 0
    assert set(nans.tolist()) == {0x7FC00000}


def test_sign_of_zeros_is_plus_and_of_nan_is_minus():
    builder = GraphBuilder("signs", (1, 1, 1))
    x = builder.add("normalize", builder.input, table=np.full((256, 1), -0.0, np.float32))
    big = builder.add("affine", x, scale=np.ones(1, np.float32), shift=np.full(1, 3e38, np.float32))
    infinite = builder.add("add", (big, big))
    minus = builder.add("affine", infinite, scale=np.full(1, -1, np.float32), shift=np.zeros(1, np.float32))
    nan = builder.add("add", (infinite, minus))
    signs = []
    for value in (x, nan):
        bits = builder.add("sign", value, shift=np.full(1, -0.0, np.float32))
        signs.append(builder.add("bconv2d", bits, weight=pack_bits(np.ones((1, 1, 1, 1)))))
    graph = builder.build(builder.add("concat", signs))
    assert run_reference(graph, np.zeros((1, 1, 1, 1), np.uint8)).tolist() == [[1.0, -1.0]]


def edges_of_sigmoid() -> np.ndarray:
    """Where rint(|x| * log2(e)) steps, one float to either side, and the far ends: 256 numbers."""
    steps = ((np.arange(42) * 3 + 0.5) / np.float64(np.float32(1.44269504))).astype(np.float32)
    near = np.concatenate([steps, np.nextafter(steps, np.float32(0)), np.nextafter(steps, np.float32(99))])
    ends = np.array([0.0, -0.0, 87.0, -87.0], np.float32)
    return np.concatenate([near, -near, ends])


def test_sigmoid_equals_the_scalar_arithmetic_where_the_exponent_steps():
    table = edges_of_sigmoid()
    assert len(table) == 256
    builder = GraphBuilder("sigmoid", (16, 16, 1))
    x = builder.add("sigmoid", builder.add("normalize", builder.input, table=table[:, None]))
    graph = builder.build(builder.add("global_avg_pool", x))
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert_same_bits(run_values(graph, image[None])[x][0], scalar.run(graph, image)[x], "sigmoid")


@pytest.mark.parametrize("op", ["max_pool", "avg_pool"])
def test_pools_meet_every_special_value(op):
    graph = CASES[f"{op}-special-odd"]()
    values = run_values(graph, random_images(graph, 4, 0))
    pool = next(node for node in graph.nodes if node.op == op)
    read = values[pool.inputs[0]]
    assert np.isnan(read).any()
    assert np.isinf(read).any()
    assert (np.signbit(read) & (read == 0)).any()
    assert_equals_scalar(graph, count=4)


def test_sigmoid_is_close_to_the_truth():
    builder = GraphBuilder("sigmoid", (16, 16, 1))
    table = np.linspace(-90, 90, 256, dtype=np.float32)[:, None]
    x = builder.add("sigmoid", builder.add("normalize", builder.input, table=table))
    graph = builder.build(builder.add("global_avg_pool", x))
    values = run_values(graph, np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1))[x].reshape(-1)
    # The polynomial's error, as docs/format.md's author measured it, with room for the float64 truth's rounding.
    np.testing.assert_allclose(values, 1 / (1 + np.exp(-table[:, 0].astype(np.float64))), atol=1.5e-7, rtol=0)


def test_largest_binary_sum_is_exact():
    channels = 1024
    builder = GraphBuilder("largest", (3, 3, 1))
    x = builder.add("normalize", builder.input, table=np.ones((256, 1), np.float32))
    bits = builder.add("sign", builder.add("repeat", x, times=channels), shift=np.zeros(channels, np.float32))
    graph = builder.build(builder.add("bconv2d", bits, weight=pack_bits(np.ones((1, 3, 3, channels)))))
    assert run_reference(graph, np.zeros((1, 3, 3, 1), np.uint8)).tolist() == [[9 * channels]]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 5, 7, 1), np.uint8), "[2, 5, 7, 1]"),
        (np.zeros((5, 7, 3), np.uint8), "[5, 7, 3]"),
        (np.zeros((1, 5, 7, 3), np.float64), "float64"),
        (np.zeros((1, 5, 7, 3), np.int8), "int8"),
        (np.full((1, 5, 7, 3), np.nan, np.float32), "NaN"),
        (np.full((1, 5, 7, 3), np.inf, np.float32), "infinity"),
    ],
)
def test_wrong_images_are_refused_with_what_was_found_and_wanted(images, words):
    with pytest.raises(ReactnetError) as caught:
        run_reference(one_op_graph("relu"), images)
    assert words in str(caught.value)
    assert caught.value.hint


def test_float_images_are_refused_where_the_arithmetic_starts_at_pixels():
    graph = one_op_graph("conv_u8")
    with pytest.raises(ReactnetError, match="float32"):
        run_reference(graph, np.zeros((1, *graph.input_shape), np.float32))


def test_flush_to_zero_is_detected():
    torch = pytest.importorskip("torch")
    graph = one_op_graph("relu")
    if not torch.set_flush_denormal(True):
        pytest.skip("this machine cannot flush denormals")
    try:
        with pytest.raises(ReactnetError, match="flush"):
            run_reference(graph, random_images(graph, 1, 0))
    finally:
        torch.set_flush_denormal(False)
    run_reference(graph, random_images(graph, 1, 0))


@pytest.mark.parametrize("channels", [1, 63, 64, 65, 130])
def test_packed_bits_stand_where_the_format_says(channels):
    positive = np.random.default_rng(channels).random((2, 3, channels)) < 0.5
    packed = pack_bits(positive)
    assert packed.shape == (2, 3, -(-channels // 64))
    for index in np.ndindex(2, 3):
        number = sum(int(word) << (64 * place) for place, word in enumerate(packed[index]))
        assert number == sum(1 << c for c in range(channels) if positive[index][c])
    np.testing.assert_array_equal(unpack_bits(packed, channels), positive)
