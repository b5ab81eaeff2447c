"""Mutants of small files with the right hash: refused by both readers, or run to the same bits by both."""

import numpy as np
import pytest

from graph.test_file import DATA, rehash
from native.binding import OK, Model
from reactnet.errors import ReactnetError
from reactnet.graph import Graph, GraphBuilder, check, dumps, loads, pack_bits, run_reference
from reactnet.runtime import Session

MOST_ELEMENTS = 4096  # of a value: a mutated stride or padding may ask for much, which is no fault, but takes time
MOST_PIXELS = 256


def graph_of(ends: str) -> Graph:
    """A stem, a binary convolution with what is fused behind it, a head; of reals or of integers."""
    random = np.random.default_rng(5)
    builder = GraphBuilder("m", (3, 3, 1), ends=ends)
    ones = np.ones(2, np.float32)
    if ends == "integer":
        weight, offset = random.integers(-9, 9, (2, 2, 2, 1)).astype(np.int8), np.ones((2, 2, 2), np.int32)
        x = builder.add("conv_u8", "image", weight=weight, offset=offset, scale=ones, bias=ones)
    else:
        table = np.linspace(-1, 1, 256, dtype=np.float32)[:, None]
        x = builder.add("normalize", "image", table=table)
        x = builder.add("conv_f32", x, weight=random.normal(size=(2, 2, 2, 1)).astype(np.float32))
    y = builder.add("sign", x, shift=-ones)
    y = builder.add("bconv2d", y, weight=pack_bits(random.choice([-1, 1], (2, 3, 3, 2))), padding=1)
    y = builder.add("affine", y, scale=ones / 2, shift=ones)
    y = builder.add("prelu", builder.add("add", (y, x)), slope=ones / 4)
    if ends == "integer":
        weight = random.integers(-9, 9, (3, 8)).astype(np.int8)
        scale, bias = np.ones(3, np.float32), np.zeros(3, np.float32)
        return builder.build(
            builder.add("linear_i8", builder.add("quantize", y), weight=weight, scale=scale, bias=bias)
        )
    y = builder.add("avg_pool", y, kernel=2, stride=1, padding=0, ceil_mode=True)
    return builder.build(builder.add("linear_f32", y, weight=random.normal(size=(3, 2)).astype(np.float32)))


FILES = {"tiny": DATA, "float": dumps(graph_of("float")), "integer": dumps(graph_of("integer"))}


def same_answer(data: bytes) -> bool:
    """Whether the file is read. Both readers must say so, and both give the bits of each other's logits."""
    try:
        graph = loads(data)
    except ReactnetError:
        graph = None
    with Model(data) as model:
        assert (model.status == OK) == (graph is not None), model.words
    if graph is None:
        return False
    sizes = [np.prod(value.shape) for value in check(graph).values()]
    if max(sizes) <= MOST_ELEMENTS and np.prod(graph.input_shape) <= MOST_PIXELS:
        images = np.random.default_rng(1).integers(0, 256, (2, *graph.input_shape), dtype=np.uint8)
        with np.errstate(all="ignore"):
            wanted = run_reference(graph, images)
        with Session.from_bytes(data) as session:
            assert session.run(images).tobytes() == wanted.tobytes()
    return True


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits_give_an_error_or_the_same_answer(name: str) -> None:
    data = FILES[name]
    random = np.random.default_rng(2)
    read = 0
    for place in range(8, len(data), 2):
        mutant = bytearray(data)
        mutant[place] ^= 1 << int(random.integers(0, 8))
        read += same_answer(rehash(bytes(mutant)))
    assert 0 < read < len(data)


@pytest.mark.parametrize("name", FILES)
def test_digits_and_letters_that_change_give_an_error_or_the_same_answer(name: str) -> None:
    """In the header only, where a digit is a stride, a padding, a shape, and a letter a name."""
    data = FILES[name]
    header = int.from_bytes(data[:8], "little") + 8
    random = np.random.default_rng(3)
    read = 0
    for place in range(8, header):
        if chr(data[place]).isalnum():
            for byte in random.choice([*b"0123", data[int(random.integers(8, header))]], 2, replace=False):
                read += same_answer(rehash(data[:place] + bytes([byte]) + data[place + 1 :]))
    assert read > 0
