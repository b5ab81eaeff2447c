"""The limits of docs/format.md are those of both readers: in their sources, and at the edge, one value either way."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from graph.test_file import DATA, edited, pack, parts, tiny
from native.binding import Model
from native.test_file import assert_readers_agree
from reactnet.graph import Graph, GraphBuilder, check, dumps, file, graph_json, ops, strict_json
from reactnet.graph.check import (
    MAX_CLASS_NAMES,
    MAX_NODES,
    MAX_SUM,
    MAX_TENSOR_BYTES,
    MAX_TENSOR_DIMENSION,
    MAX_TENSORS,
    MAX_VALUE_ELEMENTS,
)

ROOT = Path(__file__).parents[2]
FORMAT = (ROOT / "docs/format.md").read_text("utf-8")
GIB, MIB = 2**30, 2**20


def numbers(text: str) -> list[int]:
    """The numbers of a sentence: `2^31 - 1`, `65,536`, `16 MiB`; names of types and of characters are none."""
    found = []
    for match in re.finditer(
        r"(?<![\w.\-])(\d[\d,]*)(?:\^(\d+))?( GiB| MiB)?( - 1)?(?!\w)", re.sub("`[^`]*`", "", text)
    ):
        base, power, unit, less = match.groups()
        value = int(base.rstrip(",").replace(",", ""))
        value = value ** int(power) if power else value
        found.append(value * {None: 1, " GiB": GIB, " MiB": MIB}[unit] - (1 if less else 0))
    return found


def table() -> dict[str, list[int]]:
    """The rows of the table `Limits`: what is limited, and the numbers of its second column."""
    section = FORMAT.partition("### Limits\n")[2].partition("\n#")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:3] for line in section.splitlines() if line.startswith("|")]
    return {what.strip(): numbers(limit) for what, limit in rows[2:]}


# What the Python reader's own constants say, in the order of the numbers in the row.
PYTHON: dict[str, list[int]] = {
    "file": [file.MAX_FILE],
    "header": [file.MAX_HEADER],
    "nodes": [MAX_NODES],
    "tensors": [MAX_TENSORS],
    "rank of a tensor": [1, 4, 1, MAX_TENSOR_DIMENSION, MAX_TENSOR_BYTES],
    "height, width, channels of a value": [1, ops.DIMENSION, MAX_VALUE_ELEMENTS],
    "attributes: stride, kernel": [1, ops.DIMENSION, 0, ops.DIMENSION - 1, 1, ops.DIMENSION],
    "inputs of a node": [1, ops.MAX_INPUTS],
    "names of values and tensors": [1, 256],
    "class names": [MAX_CLASS_NAMES, 1, 1024],
    "binary sums": [2**24],
    "integer sums": [MAX_SUM],
}

# Where the native reader keeps each: file, and the text before the number.
NATIVE: dict[str, tuple[str, str, int]] = {
    "file": ("file.h", "kMaxFileBytes = ", file.MAX_FILE),
    "header": ("file.cc", "kMaxHeader = ", file.MAX_HEADER),
    "tensors": ("file.cc", "kMaxTensors = ", MAX_TENSORS),
    "a tensor's dimension": ("file.cc", "kMaxDimension = ", MAX_TENSOR_DIMENSION),
    "nodes": ("graph.cc", "kMaxNodes = ", MAX_NODES),
    "a side": ("ops.h", "kMaxSide = ", ops.DIMENSION),
    "inputs": ("ops.h", "kMaxInputs = ", ops.MAX_INPUTS),
    "elements": ("check.cc", "kMaxElements = ", MAX_VALUE_ELEMENTS),
    "sums": ("check.cc", "kMaxSum = ", MAX_SUM),
    "depth": ("json.cc", "kMaxDepth = ", strict_json.MAX_DEPTH),
}


@pytest.mark.parametrize("what", [*table()])
def test_each_row_of_the_table_is_what_the_python_reader_holds_to(what: str) -> None:
    assert table()[what] == PYTHON[what]


def test_every_row_is_looked_at() -> None:
    assert table().keys() == PYTHON.keys()
    assert graph_json.MAX_NODES == MAX_NODES
    depth = re.search(r"nesting deeper\s+than (\d+)", FORMAT)
    assert depth is not None
    assert int(depth[1]) == strict_json.MAX_DEPTH


@pytest.mark.parametrize("what", NATIVE)
def test_the_native_readers_number_is_the_same(what: str) -> None:
    name, before, wanted = NATIVE[what]
    source = (ROOT / "native/src" / name).read_text("utf-8")
    found = re.search(re.escape(before) + r"([^;]+);", source)
    assert found is not None, f"{name}: no '{before}'"
    written = re.sub(r"std::\w+\{(\w+)\}", r"\1", found[1])
    value = 1
    for factor, part in enumerate(written.split("<<")):
        value = int(part, 0) if factor == 0 else value << int(part, 0)
    assert value == wanted


# At the edge -------------------------------------------------------------------------------------------------------


def renamed(length: int) -> bytes:
    return edited(lambda h, g: g.update(model="m" * length))


def classes(text: str) -> bytes:
    return edited(lambda h, g: g.update(class_names=["no", text]))


def nested(depth: int) -> bytes:
    """The text of the graph, as deep as that: a list of lists in place of a number, which is wrong at any depth."""
    return edited(lambda h, g: g.update(model=json.loads("[" * (depth - 1) + "]" * (depth - 1))))


def padded(length: int) -> bytes:
    header, _, body = parts()
    raw = json.dumps(header, separators=(",", ":")).encode()
    return pack(raw + b" " * (length - len(raw)), body)


def one_bconv(taps: int) -> Graph:
    builder = GraphBuilder("edge", (1, taps, 4))
    x = builder.add("normalize", builder.input, table=np.zeros((256, 4), np.float32))
    x = builder.add("repeat", x, times=16_384)
    x = builder.add("sign", x, shift=np.zeros(65_536, np.float32))
    weight = np.zeros((1, 1, taps, 1024), np.uint64)
    return builder.build(builder.add("bconv2d", x, weight=weight))


def integer_sum(last: int) -> Graph:
    """133,144 weights of 127 and one more: times 127, 2^31 - 1 is reached with 32 or 33."""
    weight = np.full((1, 133_145), 127, np.int8)
    weight[0, -1] = last
    builder = GraphBuilder("edge", (155, 859, 1))
    x = builder.add("normalize", builder.input, table=np.zeros((256, 1), np.float32))
    x = builder.add("quantize", x)
    ones = np.ones(1, np.float32)
    return builder.build(builder.add("linear_i8", x, weight=weight, scale=ones, bias=ones))


def offset_sum(rest: int) -> Graph:
    """One weight of 1, times 255, and its offset: together 2^31 - 1 at 2^31 - 256."""
    builder = GraphBuilder("edge", (1, 1, 1))
    weight, ones = np.ones((1, 1, 1, 1), np.int8), np.ones(1, np.float32)
    offset = np.full((1, 1, 1), rest, np.int32)
    return builder.build(builder.add("conv_u8", builder.input, weight=weight, offset=offset, scale=ones, bias=ones))


def unchecked(make: Callable[[], Graph]) -> bytes:
    """The bytes of a graph that the writer would refuse."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reactnet.graph.builder.check", lambda graph: {})
        patch.setattr("reactnet.graph.file.check", lambda graph: {})
        return dumps(make())


EDGES: dict[str, tuple[Callable[[int], bytes], int, int]] = {
    "header": (padded, file.MAX_HEADER, file.MAX_HEADER + 8),
    "name": (renamed, 256, 257),
    "name of nothing": (renamed, 1, 0),
    "class name": (lambda length: classes("x" * length), 1024, 1025),
    "class name in UTF-8": (lambda length: classes("\u00e9" * (length // 2)), 1024, 1026),
    "class name of nothing": (lambda length: classes("x" * length), 1, 0),
    "inputs": (lambda count: unchecked(lambda: joined(count)), 64, 65),
    "stride": (
        lambda side: edited(lambda h, g: g["nodes"][2]["attributes"].update(stride=[side, side])),
        65_536,
        65_537,
    ),
    "input side": (lambda side: edited(lambda h, g: sized(g, side)), 65_536, 65_537),
    "binary sum": (lambda taps: unchecked(lambda: one_bconv(taps)), 256, 257),
    "integer sum": (lambda last: unchecked(lambda: integer_sum(last)), 32, 33),
    "integer sum and its offset": (lambda rest: unchecked(lambda: offset_sum(rest)), 2**31 - 256, 2**31 - 255),
}


def joined(count: int) -> Graph:
    builder = GraphBuilder("edge", (1, 1, 1))
    x = builder.add("normalize", builder.input, table=np.zeros((256, 1), np.float32))
    return builder.build(builder.add("concat", [x] * count))


def sized(graph: dict, side: int) -> None:
    """The input's width, and with it the crop's; a node in the middle makes one pixel of it again."""
    graph["input"]["shape"] = [1, side, 1]
    graph["preprocessing"].update(crop=[1, side], resize=[1, side])
    pool = {"attributes": {}, "constants": {}, "inputs": ["b"], "name": "g", "op": "global_avg_pool"}
    graph["nodes"].append(pool)
    graph["output"] = "g"


@pytest.mark.parametrize("what", EDGES)
def test_the_largest_is_read_and_one_more_is_refused(what: str) -> None:
    make, last, past = EDGES[what]
    assert assert_readers_agree(make(last))
    assert not assert_readers_agree(make(past))


def test_depth_of_8_is_json_and_9_is_not() -> None:
    assert strict_json.parse("[" * 8 + "]" * 8, "x") == [[[[[[[[]]]]]]]]
    for depth in (8, 9):
        assert not assert_readers_agree(nested(depth))
        with Model(nested(depth)) as model:  # refused at any depth, so the words tell why
            assert ("deeper than 8" in model.words) == (depth == 9), model.words


def test_a_file_of_1_gib_and_a_byte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "x.rnet").open("wb") as stream:
        stream.truncate(file.MAX_FILE + 1)
    with pytest.raises(Exception, match="1073741825"):
        file.load(tmp_path / "x.rnet")


def test_the_file_that_edges_are_made_of_is_good() -> None:
    check(tiny())
    assert assert_readers_agree(DATA)
