"""A small network with one op of each kind of value: float, bits."""

from pathlib import Path

import numpy as np
import pytest

from reactnet.graph import Graph, GraphBuilder, Preprocessing, save


def small_graph(*, ends: str = "float") -> Graph:
    """6x5 RGB to 3 logits: a stem, a sign, a binary convolution, a pool, a head."""
    random = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    builder = GraphBuilder("small", (6, 5, 3), ends=ends)
    if ends == "float":
        x = builder.add("normalize", builder.input, name="normalize", table=numbers(256, 3))
        x = builder.add("conv_f32", x, name="stem", weight=numbers(70, 3, 3, 3), padding=1)
    else:
        weight = random.integers(-127, 128, (70, 3, 3, 3)).astype(np.int8)
        offset = random.integers(-1000, 1000, (70, 3, 3)).astype(np.int32)
        scale, bias = numbers(70) / 1e4, numbers(70)
        x = builder.add(
            "conv_u8", builder.input, name="stem", weight=weight, offset=offset, scale=scale, bias=bias, padding=1
        )
    bits = builder.add("sign", x, name="sign", shift=numbers(70))
    words = random.integers(0, 2**64, (64, 3, 3, 2), dtype=np.uint64)
    words[..., 1] &= np.uint64(2**6 - 1)
    y = builder.add("bconv2d", bits, name="binary", weight=words, padding=1, stride=2)
    y = builder.add("affine", y, name="norm", scale=numbers(64), shift=numbers(64))
    y = builder.add("global_avg_pool", y, name="pool")
    y = builder.add("linear_f32", y, name="head", weight=numbers(3, 64), bias=numbers(3))
    preprocessing = Preprocessing(8, (6, 5), (0.5,) * 3, (0.25,) * 3)
    return builder.build(y, class_names=("cat", "dog", "owl"), preprocessing=preprocessing, provenance={"seed": "0"})


@pytest.fixture(scope="session")
def graph() -> Graph:
    return small_graph()


@pytest.fixture(scope="session")
def integer_graph() -> Graph:
    return small_graph(ends="integer")


@pytest.fixture(scope="session")
def packed(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "small.rnet"
    save(graph, path)
    return path


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (7, 6, 5, 3), dtype=np.uint8)
