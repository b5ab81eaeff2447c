"""Every rule of the format has a graph that breaks it, and an error that says what was found."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from conformance.graphs import CASES, one_op_graph, random_graph, random_images
from reactnet.errors import ReactnetError
from reactnet.graph import (
    OPS,
    Graph,
    GraphBuilder,
    Node,
    Preprocessing,
    Quantized,
    Value,
    accepts_f32,
    check,
    run_values,
)


def net() -> Graph:
    """normalize, stem, sign, bconv2d (65 channels), head: one of each kind of rule."""
    return one_op_graph("bconv2d", channels=65, padding=1)


def at(graph: Graph, op: str) -> int:
    return next(index for index, node in enumerate(graph.nodes) if node.op == op)


def with_node(graph: Graph, op: str, /, **changes: object) -> Graph:
    index = at(graph, op)
    return replace(
        graph, nodes=(*graph.nodes[:index], replace(graph.nodes[index], **changes), *graph.nodes[index + 1 :])
    )


def with_attribute(graph: Graph, op: str, **changes: object) -> Graph:
    return with_node(graph, op, attributes={**graph.nodes[at(graph, op)].attributes, **changes})


def with_constant(graph: Graph, op: str, role: str, change: Callable[[np.ndarray], np.ndarray]) -> Graph:
    name = graph.nodes[at(graph, op)].constants[role]
    return replace(graph, constants={**graph.constants, name: change(graph.constants[name].copy())})


def put(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Write `value` into the last place."""

    def change(array: np.ndarray) -> np.ndarray:
        array.flat[-1] = value
        return array

    return change


def stem() -> Graph:
    return one_op_graph("conv_u8", kernel=3, narrow=True)


def pre(**changes: object) -> Graph:
    return replace(net(), preprocessing=replace(net().preprocessing, **changes))


BROKEN: dict[str, tuple[Callable[[], Graph], str]] = {
    "model name": (lambda: replace(net(), model="a b"), "'a b'"),
    "input name": (lambda: replace(net(), input_name=""), "input name"),
    "newline after a name": (lambda: replace(net(), model="a\n"), "model name"),
    "long name": (lambda: replace(net(), model="a" * 257), "model name"),
    "ends": (lambda: replace(net(), ends="half"), "'half'"),
    "five channels": (lambda: replace(net(), input_shape=(5, 7, 5)), "[5, 7, 5]"),
    "no height": (lambda: replace(net(), input_shape=(0, 7, 3)), "[0, 7, 3]"),
    "huge height": (lambda: replace(net(), input_shape=(65537, 7, 3)), "65537"),
    "huge image": (lambda: replace(net(), input_shape=(65536, 65536, 3)), "elements"),
    "node name": (lambda: with_node(net(), "sign", name="ü"), "'ü'"),
    "name twice": (lambda: with_node(net(), "sign", name="normalize_0"), "taken"),
    "name of the input": (lambda: with_node(net(), "sign", name="image"), "taken"),
    "unknown op": (lambda: with_node(net(), "sign", op="signum"), "signum"),
    "later input": (lambda: with_node(net(), "conv_f32", inputs=("linear_f32_4",)), "'linear_f32_4'"),
    "own input": (lambda: with_node(net(), "conv_f32", inputs=("conv_f32_1",)), "'conv_f32_1'"),
    "two inputs": (lambda: with_node(net(), "sign", inputs=("conv_f32_1", "conv_f32_1")), "2 inputs"),
    "no inputs": (lambda: with_node(net(), "sign", inputs=()), "0 inputs"),
    "wrong kind": (lambda: with_node(net(), "bconv2d", inputs=("conv_f32_1",)), "kind f32"),
    "image as f32": (lambda: with_node(net(), "conv_f32", inputs=("image",)), "kind u8"),
    "unknown attribute": (lambda: with_attribute(net(), "bconv2d", dilation=1), "'dilation'"),
    "missing attribute": (lambda: with_node(net(), "conv_f32", attributes={}), "'stride'"),
    "attribute form": (lambda: with_attribute(net(), "conv_f32", stride=1), "'stride' is 1"),
    "three numbers": (lambda: with_attribute(net(), "conv_f32", stride=(1, 1, 1)), "[1, 1, 1]"),
    "stride 0": (lambda: with_attribute(net(), "conv_f32", stride=(0, 1)), "[0, 1]"),
    "boolean stride": (lambda: with_attribute(net(), "conv_f32", stride=(True, 1)), "stride"),
    "real attribute": (lambda: with_attribute(net(), "conv_f32", groups=1.0), "1.0"),
    "boolean groups": (lambda: with_attribute(net(), "conv_f32", groups=True), "True"),
    "huge groups": (lambda: with_attribute(net(), "conv_f32", groups=65537), "65537"),
    "groups that do not divide": (lambda: with_attribute(net(), "bconv2d", groups=2), "2 groups"),
    "padding of a kernel": (lambda: with_attribute(net(), "bconv2d", padding=(3, 0)), "[3, 0]"),
    "padding value 2": (lambda: with_attribute(net(), "bconv2d", padding_value=2), "'padding_value' is 2"),
    "integer ceil_mode": (lambda: with_attribute(one_op_graph("max_pool"), "max_pool", ceil_mode=1), "ceil_mode"),
    "padding above half": (lambda: with_attribute(one_op_graph("max_pool"), "max_pool", padding=(2, 1)), "half"),
    "kernel above the map": (lambda: with_attribute(one_op_graph("max_pool"), "max_pool", kernel=(6, 3)), "5x7"),
    "slice past the end": (lambda: with_attribute(one_op_graph("slice"), "slice", end=6), "1 to 6"),
    "empty slice": (lambda: with_attribute(one_op_graph("slice"), "slice", end=1), "1 to 1"),
    "too many channels": (lambda: with_attribute(one_op_graph("repeat"), "repeat", times=65536), "limits"),
    "unknown constant": (lambda: with_node(net(), "sign", constants={"bias": "sign_2.shift"}), "'bias'"),
    "missing constant": (lambda: with_node(net(), "sign", constants={}), "'shift' is missing"),
    "no such tensor": (lambda: with_node(net(), "sign", constants={"shift": "nothing"}), "'nothing'"),
    "constant's dtype": (lambda: with_constant(net(), "sign", "shift", lambda a: a.astype(np.float16)), "F16"),
    "constant's shape": (lambda: with_constant(net(), "sign", "shift", lambda a: a[1:]), "[64]"),
    "constant's rank": (lambda: with_constant(net(), "conv_f32", "weight", lambda a: a[..., 0]), "rank 3"),
    "float64": (lambda: with_constant(net(), "sign", "shift", lambda a: a.astype(np.float64)), "float64"),
    "big-endian": (lambda: with_constant(net(), "sign", "shift", lambda a: a.astype(">f4")), ">f4"),
    "scalar": (lambda: with_constant(net(), "sign", "shift", lambda a: a[0].reshape(())), "shape []"),
    "empty": (lambda: with_constant(net(), "sign", "shift", lambda a: a[:0]), "shape [0]"),
    "NaN": (lambda: with_constant(net(), "sign", "shift", put(np.nan)), "NaN"),
    "infinity": (lambda: with_constant(net(), "conv_f32", "weight", put(np.inf)), "infinity"),
    "tail bits": (lambda: with_constant(net(), "bconv2d", "weight", put(2)), "past channel 65"),
    "bounds": (lambda: with_constant(one_op_graph("clip"), "clip", "bounds", put(-9)), "-9.0"),
    "table": (lambda: with_constant(net(), "normalize", "table", lambda a: a[:255]), "[255, 3]"),
    "sum past int32": (lambda: with_constant(stem(), "conv_u8", "offset", put(2**31 - 1)), "int32"),
    "tensor name": (lambda: replace(net(), constants={**net().constants, "a b": np.zeros(1, np.int8)}), "'a b'"),
    "unused tensor": (lambda: replace(net(), constants={**net().constants, "x": np.zeros(1, np.int8)}), "'x'"),
    "unused value": (lambda: replace(net(), nodes=(*net().nodes, Node("loose", "abs", ("conv_f32_1",)))), "'loose'"),
    "output is no value": (lambda: replace(net(), output="nothing"), "'nothing'"),
    "output is the image": (lambda: replace(net(), output="image"), "u8"),
    "output is a map": (lambda: replace(net(), nodes=net().nodes[:2], output="conv_f32_1"), "[5, 7, 65]"),
    "maps that do not add": (
        lambda: replace(net(), nodes=(*net().nodes, Node("sum", "add", ("conv_f32_1", "bconv2d_3")))),
        "[5, 7, 65]",
    ),
    "maps that do not join": (
        lambda: replace(net(), nodes=(*net().nodes, Node("join", "concat", ("conv_f32_1", "linear_f32_4")))),
        "do not join",
    ),
    "65 inputs": (
        lambda: replace(net(), nodes=(*net().nodes, Node("join", "concat", ("linear_f32_4",) * 65))),
        "65 inputs",
    ),
    "class names": (lambda: replace(net(), class_names=("a", "b")), "2 class names for 7"),
    "class name twice": (lambda: replace(net(), class_names=tuple("aabcdef")), "'a' stands twice"),
    "empty class name": (lambda: replace(net(), class_names=("", *"bcdefg")), "''"),
    "long class name": (lambda: replace(net(), class_names=("\u00fc" * 513, *"bcdefg")), "class name"),
    "surrogate": (lambda: replace(net(), class_names=("\ud800", *"bcdefg")), "class name"),
    "crop": (lambda: pre(crop=(5, 6)), "[5, 6]"),
    "resize below the crop": (lambda: pre(resize=6), "6"),
    "resize pair below": (lambda: pre(resize=(5, 6)), "(5, 6)"),
    "huge resize": (lambda: pre(resize=65537), "65537"),
    "mean": (lambda: pre(mean=(0.5,)), "1 numbers"),
    "std": (lambda: pre(std=(0.5, 0.5, float("nan"))), "nan"),
    "provenance": (lambda: replace(net(), provenance={"seed": 0}), "provenance"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_broken_rule_is_refused_with_the_value(rule):
    make, words = BROKEN[rule]
    graph = make()
    with pytest.raises(ReactnetError) as caught:
        check(graph)
    assert words in caught.value.problem
    assert caught.value.hint


def test_errors_of_a_node_name_it():
    with pytest.raises(ReactnetError, match=r"node 'bconv2d_3' \(bconv2d\): "):
        check(BROKEN["tail bits"][0]())


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_have_the_shapes_the_reference_gives(seed):

    graph = random_graph(seed)
    values = check(graph)
    kinds = {"f32": np.dtype(np.float32), "bits": np.dtype(np.int8)}
    assert values[graph.input_name] == Value("u8", graph.input_shape)
    for name, array in run_values(graph, random_images(graph, 2, seed)).items():
        if isinstance(array, Quantized):
            assert values[name].kind == "i8"
            array = array.values
        else:
            assert array.dtype == kinds[values[name].kind]
        assert array.shape == (2, *values[name].shape)


def test_the_first_random_graphs_and_the_cases_cover_every_op():
    assert {node.op for seed in range(len(OPS)) for node in random_graph(seed).nodes} == set(OPS)
    assert {node.op for make in CASES.values() for node in make().nodes} == set(OPS)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", range(1, 10))
def test_pool_sizes_are_those_of_torch(size, stride, ceil_mode, padding):
    torch = pytest.importorskip("torch")
    try:
        wanted = torch.nn.functional.max_pool2d(
            torch.zeros(1, 1, size, size), 3, stride, padding, ceil_mode=ceil_mode
        ).shape[2]
    except RuntimeError:
        wanted = 0
    builder = GraphBuilder("pool", (size, size, 1))
    x = builder.add("normalize", builder.input, table=np.zeros((256, 1), np.float32))
    x = builder.add("max_pool", x, kernel=3, stride=stride, padding=padding, ceil_mode=ceil_mode)
    y = builder.add("global_avg_pool", x)
    if wanted:
        assert check(builder.build(y))[x].shape == (wanted, wanted, 1)
    else:
        with pytest.raises(ReactnetError, match="does not fit"):
            builder.build(y)


def test_float_images_are_taken_only_behind_one_normalize():
    graph = one_op_graph("relu")
    assert accepts_f32(graph)
    assert not accepts_f32(replace(graph, ends="integer"))
    assert not accepts_f32(one_op_graph("conv_u8"))
    builder = GraphBuilder("two", (1, 1, 1))
    table = np.zeros((256, 1), np.float32)
    pair = [builder.add("normalize", builder.input, table=table) for _ in range(2)]
    assert not accepts_f32(builder.build(builder.add("add", pair)))


def test_builder_refuses_what_no_op_takes():
    builder = GraphBuilder("tiny", (1, 1, 1))
    with pytest.raises(ReactnetError, match="did you mean 'normalize'"):
        builder.add("normalise", builder.input)
    with pytest.raises(ReactnetError, match="unknown parameter 'tabel'"):
        builder.add("normalize", builder.input, tabel=np.zeros((256, 1), np.float32))
    with pytest.raises(ReactnetError, match="'kernel' is missing"):
        builder.add("max_pool", builder.input)


def test_builder_shares_a_tensor_by_name():
    builder = GraphBuilder("shared", (1, 1, 1))
    x = builder.add("normalize", builder.input, table=np.zeros((256, 1), np.float32))
    x = builder.add("prelu", x, name="one", slope=np.ones(1, np.float32))
    graph = builder.build(builder.add("prelu", x, slope="one.slope"))
    assert sorted(graph.constants) == ["normalize_0.table", "one.slope"]
    assert graph.preprocessing == Preprocessing((1, 1), (1, 1), (0.0,), (1.0,))
