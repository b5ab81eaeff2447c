"""The two counting conventions, against figures computed by hand and by the model zoos."""

import numpy as np
import pytest

from reactnet.graph import Graph, GraphBuilder, cost, pack_bits

VGG = {"11": (1, 1, 2, 2, 2), "16": (2, 2, 3, 3, 3)}


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def vgg(depth: str, *, norm: bool) -> Graph:
    """VGG at 224 with the layers the counters see."""
    builder = GraphBuilder("vgg", (224, 224, 3))
    x = builder.add("normalize", builder.input, table=zeros(256, 3))
    channels = 3
    for repeats, width in zip(VGG[depth], (64, 128, 256, 512, 512), strict=True):
        for _ in range(repeats):
            x = builder.add("conv_f32", x, weight=zeros(width, 3, 3, channels), bias=zeros(width), padding=1)
            if norm:
                x = builder.add("affine", x, scale=zeros(width), shift=zeros(width))
            x = builder.add("relu", x)
            channels = width
        x = builder.add("max_pool", x, kernel=2, stride=2)
    for wide, out in ((25088, 4096), (4096, 4096), (4096, 1000)):
        weight = np.zeros((out, wide), np.float16)
        x = builder.add("linear_f32", x, weight=weight, bias=zeros(out))
        if out != 1000:
            x = builder.add("relu", x)
    return builder.build(x)


@pytest.mark.parametrize(
    ("depth", "norm", "published"), [("11", False, 7.63), ("16", False, 15.50), ("11", True, 7.64), ("16", True, 15.53)]
)
def test_full_count_of_vgg_is_the_published_one(depth, norm, published):
    # mmpretrain configs/vgg/README.md, Flops (G), two decimals.
    assert round(cost(vgg(depth, norm=norm)).flops_full / 1e9, 2) == published


def test_paper_count_of_vgg_is_its_multiplications():
    assert round(cost(vgg("11", norm=False)).flops / 1e9, 3) == 7.609


def test_every_op_counts_as_the_conventions_say():
    builder = GraphBuilder("one_of_each", (4, 6, 2))
    x = builder.add("normalize", builder.input, table=zeros(256, 2))
    x = builder.add("conv_f32", x, name="bare", weight=zeros(8, 3, 3, 2), padding=1)
    y = builder.add("conv_f32", x, name="grouped", weight=zeros(8, 1, 1, 4), bias=zeros(8), groups=2)
    s = builder.add("sign", y, name="sign", shift=zeros(8))
    y = builder.add("bconv2d", s, name="binary", weight=pack_bits(zeros(8, 3, 3, 4)), groups=2, padding=1)
    y = builder.add("affine", y, name="norm", scale=zeros(8), shift=zeros(8))
    y = builder.add("affine", y, name="shift", scale=zeros(8) + 1, shift=zeros(8))
    x = builder.add("add", (x, y), name="sum")
    x = builder.add("prelu", x, name="prelu", slope=zeros(8))
    x = builder.add("avg_pool", x, name="pool", kernel=2, stride=2)
    graph = builder.build(builder.add("linear_f32", x, name="head", weight=zeros(3, 48), bias=zeros(3)))
    found = {layer.name: layer for layer in cost(graph).layers}
    map_size = 4 * 6 * 8
    full = {name: layer.flops_full for name, layer in found.items()}
    assert full == {
        "normalize_0": 0,
        "bare": map_size * 18,
        "grouped": map_size * 4 + map_size,
        "sign": map_size,
        "binary": map_size * 36 / 64,
        "norm": 2 * map_size,
        "shift": map_size,
        "sum": 0,
        "prelu": map_size,
        "pool": map_size,
        "head": 48 * 3,
    }
    total = cost(graph)
    assert found["binary"].binary
    assert total.bops == found["binary"].bops == map_size * 36
    assert total.flops == map_size * 18 + map_size * 4 + 48 * 3
    assert total.ops == total.flops + total.bops / 64
    assert total.flops_full == sum(full.values())
    assert found["binary"].weight_bytes == 8 * 9 * 8
    assert total.weight_bytes == sum(array.nbytes for array in graph.constants.values())


def test_shared_tensor_counts_its_bytes_once():
    builder = GraphBuilder("shared", (1, 1, 1))
    x = builder.add("normalize", builder.input, table=zeros(256, 1))
    x = builder.add("prelu", x, name="one", slope=zeros(1))
    graph = builder.build(builder.add("prelu", x, slope="one.slope"))
    assert cost(graph).weight_bytes == 1024 + 4
