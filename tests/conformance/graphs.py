"""Valid graphs for the tests of every backend: one op at chosen sizes, and random networks.

`CASES` maps a readable name to a function that makes a graph at a size where kernels go wrong: 1, 63, 64, 65 channels,
1x1 maps and maps smaller than the kernel, strides, the three paddings, groups, special values.
`random_graph(seed)` makes a network; seeds 0 to len(OPS) - 1 hold every op of the format at least once.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from reactnet.graph import OPS, Graph, GraphBuilder, check, pack_bits

Pair = int | tuple[int, int]
Rng = np.random.Generator
SPATIAL = ("avg_pool", "max_pool")
SPECIAL = np.array([0.0, -0.0, 1e-40, -1e-40, 1.0, -1.0, 3e38, -3e38, 1e-20, 88.0, -88.0, 0.5], np.float32)


def random_images(graph: Graph, count: int, seed: int) -> np.ndarray:
    """uint8 (count, H, W, C): noise, with an all-zero and an all-255 image among them."""
    images = np.random.default_rng(seed).integers(0, 256, (count, *graph.input_shape), dtype=np.uint8)
    if count > 2:
        images[1], images[2] = 0, 255
    return images


def floats(rng: Rng, *shape: int) -> np.ndarray:
    """Normal float32 numbers."""
    return rng.normal(size=shape).astype(np.float32)


def add_op(
    builder: GraphBuilder,
    op: str,
    x: str,
    channels: int,
    rng: Rng,
    *,
    out_channels: int = 5,
    kernel: Pair = 3,
    stride: Pair = 1,
    padding: Pair = 0,
    padding_value: int = 0,
    groups: int = 1,
    ceil_mode: bool = False,
    narrow: bool = False,
    spread: bool = False,
    elements: int = 0,
) -> str:
    """Append `op` with random constants on `x`, f32 of `channels` channels (for normalize and conv_u8 the image).

    A quantized or binary op brings its own quantize or sign. `narrow` picks the smaller dtype and leaves the bias out;
    `spread` makes the second operand of add and mul (1, 1, C); `elements` is H W C, for the linear ops.
    """
    kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
    o, deep = out_channels, channels // groups

    def integers(limit: int, *shape: int) -> np.ndarray:
        return rng.integers(-limit, limit + 1, shape)

    def scaled() -> tuple[np.ndarray, np.ndarray]:
        return floats(rng, o) / 1000, floats(rng, o)

    match op:
        case "normalize":
            return builder.add(op, x, table=floats(rng, 256, channels))
        case "conv_f32":
            weight = floats(rng, o, kh, kw, deep).astype(np.float16 if narrow else np.float32)
            bias = {} if narrow else {"bias": floats(rng, o)}
            return builder.add(op, x, weight=weight, stride=stride, padding=padding, groups=groups, **bias)
        case "conv_u8":
            weight = integers(127 if narrow else 32767, o, kh, kw, channels).astype(np.int8 if narrow else np.int16)
            offset = integers(30000, o, kh, kw).astype(np.int32)
            scale, bias = scaled()
            return builder.add(
                op, x, weight=weight, offset=offset, scale=scale, bias=bias, stride=stride, padding=padding
            )
        case "conv_i8":
            weight, (scale, bias) = integers(127, o, kh, kw, deep).astype(np.int8), scaled()
            quantized = builder.add("quantize", x)
            return builder.add(
                op, quantized, weight=weight, scale=scale, bias=bias, stride=stride, padding=padding, groups=groups
            )
        case "linear_f32":
            weight = floats(rng, o, elements).astype(np.float16 if narrow else np.float32)
            return builder.add(op, x, weight=weight, **({} if narrow else {"bias": floats(rng, o)}))
        case "linear_i8" | "quantize":
            weight, (scale, bias) = integers(127, o, elements).astype(np.int8), scaled()
            return builder.add("linear_i8", builder.add("quantize", x), weight=weight, scale=scale, bias=bias)
        case "bconv2d" | "sign":
            bits = builder.add("sign", x, shift=floats(rng, channels))
            weight = pack_bits(floats(rng, o, kh, kw, deep))
            return builder.add(
                "bconv2d",
                bits,
                weight=weight,
                stride=stride,
                padding=padding,
                padding_value=padding_value,
                groups=groups,
            )
        case "affine":
            return builder.add(op, x, scale=floats(rng, channels), shift=floats(rng, channels))
        case "prelu":
            return builder.add(op, x, slope=floats(rng, channels))
        case "clip":
            return builder.add(op, x, bounds=np.sort(floats(rng, 2)))
        case "add" | "mul":
            other = builder.add("global_avg_pool", x) if spread else builder.add("sigmoid", x)
            return builder.add(op, (x, other))
        case "concat":
            return builder.add(op, (x, builder.add("abs", x), x))
        case "slice":
            begin = channels // 3
            return builder.add(op, x, begin=begin, end=max(begin + 1, channels - 1))
        case "repeat":
            return builder.add(op, x, times=1 + channels % 3)
        case "avg_pool" | "max_pool":
            return builder.add(op, x, kernel=(kh, kw), stride=stride, padding=padding, ceil_mode=ceil_mode)
        case "adaptive_avg_pool":
            return builder.add(op, x, size=(kh, kw))
        case _:
            return builder.add(op, x)


class _Shapes:
    """Asks the checker for the shape of a value of an unfinished graph."""

    def __init__(self, builder: GraphBuilder) -> None:
        self.builder = builder

    def __getitem__(self, name: str) -> tuple[int, int, int]:
        builder = self.builder
        probe = GraphBuilder(builder.model, builder.input_shape, ends=builder.ends)
        probe.nodes, probe.constants = list(builder.nodes), dict(builder.constants)
        probe._taken = {builder.input, *(node.name for node in builder.nodes)}
        used = {value for node in probe.nodes for value in node.inputs}
        loose = [node.name for node in probe.nodes if node.name not in used and node.name != name]
        assert not loose, loose
        output = probe.add("global_avg_pool", name)
        return check(probe.build(output))[name].shape


def finish(builder: GraphBuilder, x: str, rng: Rng, *, special: bool = False, provenance: str = "") -> Graph:
    """Bring `x` to logits. A 1x1 map is the logits as it is; a larger one goes through a linear layer, or where it may
    hold infinities, which a sum would spread, through a max pool."""
    height, width, channels = _Shapes(builder)[x]
    if (height, width) != (1, 1):
        if special:
            x = builder.add("max_pool", x, kernel=(height, width))
        else:
            x = builder.add("linear_f32", x, weight=floats(rng, 7, height * width * channels), bias=floats(rng, 7))
    return builder.build(x, provenance={"made_by": provenance} if provenance else None)


def one_op_graph(
    op: str,
    *,
    channels: int = 5,
    out_channels: int = 5,
    size: tuple[int, int] = (5, 7),
    kernel: Pair = 3,
    stride: Pair = 1,
    padding: Pair = 0,
    padding_value: int = 0,
    groups: int = 1,
    ceil_mode: bool = False,
    narrow: bool = False,
    spread: bool = False,
    special: bool = False,
    seed: int = 0,
) -> Graph:
    """An image of `size` brought to `channels` f32 channels, then `op`, then logits.

    Ops on the image itself (normalize, conv_u8) read `min(channels, 4)` channels. With `special` the op meets NaN,
    infinities, -0.0 and denormals. `quantize` and `sign` come with the op that reads them.
    """
    rng = np.random.default_rng([seed, channels, out_channels, *size])
    image_channels = min(channels, 4) if op in ("normalize", "conv_u8") else 3
    builder = GraphBuilder(f"one_{op}", (*size, image_channels))
    x = builder.input
    if op not in ("normalize", "conv_u8"):
        x = _source(builder, channels, rng, special=special)
    else:
        channels = image_channels
    x = add_op(
        builder,
        op,
        x,
        channels,
        rng,
        out_channels=out_channels,
        kernel=kernel,
        stride=stride,
        padding=padding,
        padding_value=padding_value,
        groups=groups,
        ceil_mode=ceil_mode,
        narrow=narrow,
        spread=spread,
        elements=size[0] * size[1] * channels,
    )
    return finish(builder, x, rng, special=special)


def _source(builder: GraphBuilder, channels: int, rng: Rng, *, special: bool) -> str:
    """f32 with `channels` channels, from the image."""
    if not special:
        x = builder.add("normalize", builder.input, table=floats(rng, 256, 3))
        return builder.add("conv_f32", x, weight=floats(rng, channels, 1, 1, 3), bias=floats(rng, channels))
    # Table entries reach the op as they are; 3e38 x 3 is inf, inf x 0 is NaN: by the pixel, then by the channel.
    x = _wide(builder, rng.choice(SPECIAL, (256, 3)), channels)
    threes = rng.choice(np.array([1, 3, -3], np.float32), channels)
    x = builder.add("affine", x, scale=threes, shift=np.full(channels, -0.0, np.float32))
    x = builder.add("mul", (x, _wide(builder, rng.choice(np.array([0, 1, 1], np.float32), (256, 3)), channels)))
    ones = rng.choice(np.array([1, 1, 1, 0], np.float32), channels)
    return builder.add("affine", x, scale=ones, shift=np.full(channels, -0.0, np.float32))


def _wide(builder: GraphBuilder, table: np.ndarray, channels: int) -> str:
    """The image through a table of 3 channels, repeated to `channels`."""
    x = builder.add("repeat", builder.add("normalize", builder.input, table=table), times=-(-channels // 3))
    return builder.add("slice", x, begin=0, end=channels)


def random_graph(seed: int) -> Graph:
    """A network of 5 to 12 random ops at random odd sizes; op number seed % len(OPS) is among them."""
    rng = np.random.default_rng(seed)
    forced = sorted(OPS)[seed % len(OPS)]
    size = tuple(int(side) for side in rng.integers(1, 12, 2))
    image_channels = int(rng.integers(1, 5))
    integer = forced == "conv_u8" or (forced != "normalize" and rng.random() < 0.3)
    builder = GraphBuilder(f"random_{seed}", (*size, image_channels), ends="integer" if integer else "float")
    shapes = _Shapes(builder)
    if integer:
        x = _random_op(builder, "conv_u8", builder.input, (*size, image_channels), rng)
    else:
        x = builder.add("normalize", builder.input, table=floats(rng, 256, image_channels))
    starts = ("normalize", "conv_u8")
    ops = [str(op) for op in rng.choice([op for op in sorted(OPS) if op not in starts], rng.integers(4, 11))]
    if forced not in starts:
        ops.insert(int(rng.integers(0, 2)), forced)
    for op in ops:
        shape = shapes[x]
        if op != forced and (op in ("linear_f32", "linear_i8", "quantize") or "pool" in op) and rng.random() < 0.6:
            op = "bconv2d"  # keeps the map large for what follows
        if rng.random() < 0.15 and op != forced:
            x = _unit(builder, x, shape, rng)
        else:
            x = _random_op(builder, op, x, shape, rng)
    return finish(builder, x, rng, provenance=f"random_graph({seed})")


def _random_op(builder: GraphBuilder, op: str, x: str, shape: tuple[int, int, int], rng: Rng) -> str:
    height, width, channels = shape
    kernel = tuple(int(side) for side in rng.integers(1, 4, 2))
    pool = op in SPATIAL
    padding = tuple(int(rng.integers(0, side // 2 + 1 if pool else side)) for side in kernel)
    # A window must fit: shrink it where the padded map is smaller.
    if height + 2 * padding[0] < kernel[0] or width + 2 * padding[1] < kernel[1]:
        kernel, padding = (1, 1), (0, 0)
    groups = int(rng.choice([g for g in (1, 2, 3, 4, channels) if channels % g == 0]))
    out = int(rng.choice([1, 2, 3, 8, 17, 63, 64, 65])) if groups == 1 else groups * int(rng.integers(1, 3))
    if channels > 200 and op in ("concat", "repeat"):
        op = "slice"
    return add_op(
        builder,
        op,
        x,
        channels,
        rng,
        out_channels=out,
        kernel=kernel,
        stride=tuple(int(step) for step in rng.integers(1, 3, 2)),
        padding=padding,
        padding_value=int(rng.integers(-1, 2)),
        groups=groups,
        ceil_mode=bool(rng.integers(0, 2)),
        narrow=bool(rng.integers(0, 2)),
        spread=bool(rng.integers(0, 2)),
        elements=height * width * channels,
    )


def _unit(builder: GraphBuilder, x: str, shape: tuple[int, int, int], rng: Rng) -> str:
    """The chain that backends fuse: sign, bconv2d, affine, add, prelu, affine of unit scale, then another sign."""
    channels = shape[2]

    def binary(source: str) -> str:
        bits = builder.add("sign", source, shift=floats(rng, channels))
        weight = pack_bits(floats(rng, channels, 3, 3, channels))
        return builder.add("bconv2d", bits, weight=weight, padding=1, padding_value=int(rng.integers(-1, 2)))

    y = builder.add("affine", binary(x), scale=floats(rng, channels), shift=floats(rng, channels))
    y = builder.add("prelu", builder.add("add", (y, x)), slope=floats(rng, channels))
    y = builder.add("affine", y, scale=np.ones(channels, np.float32), shift=floats(rng, channels))
    z = builder.add("affine", binary(y), scale=floats(rng, channels), shift=floats(rng, channels))
    return builder.add("add", (z, y))


def unit_graph(channels: int, *, size: tuple[int, int] = (5, 7), seed: int = 0) -> Graph:
    """A ReActNet unit as the compiler leaves it, with its neighbours."""
    rng = np.random.default_rng([seed, channels])
    builder = GraphBuilder("unit", (*size, 3))
    x = _source(builder, channels, rng, special=False)
    return finish(builder, _unit(builder, x, (*size, channels), rng), rng)


def _cases() -> dict[str, Callable[[], Graph]]:
    cases: dict[str, Callable[[], Graph]] = {}

    def add(label: str, make: Callable[[], Graph]) -> None:
        assert label not in cases
        cases[label] = make

    for channels in (1, 63, 64, 65, 128, 200):
        for value in (-1, 0, 1):
            make = partial(one_op_graph, "bconv2d", channels=channels, padding=1, padding_value=value)
            add(f"bconv2d-c{channels}-pad{value:+d}", partial(make, out_channels=channels))
            add(f"bconv2d-c{channels}-pad{value:+d}-s2-small", partial(make, out_channels=7, stride=2, size=(1, 2)))
        add(f"bconv2d-c{channels}-1x1", partial(one_op_graph, "bconv2d", channels=channels, kernel=1, out_channels=66))
        add(f"unit-c{channels}", partial(unit_graph, channels))
    for value in (-1, 0, 1):  # 9,216 bits a row of weights
        make = partial(one_op_graph, "bconv2d", channels=1024, out_channels=9, size=(2, 3), padding=1)
        add(f"bconv2d-c1024-pad{value:+d}", partial(make, padding_value=value))
    for channels, groups in ((6, 3), (128, 2), (130, 2), (5, 5)):
        for op in ("bconv2d", "conv_f32", "conv_i8"):
            make = partial(one_op_graph, op, channels=channels, groups=groups, out_channels=2 * groups, padding=1)
            add(f"{op}-c{channels}-g{groups}", make)
    for op in ("conv_f32", "conv_u8", "conv_i8", "bconv2d"):
        for narrow in (False, True):
            wide = partial(one_op_graph, op, narrow=narrow, kernel=(5, 4), padding=(4, 3))
            add(f"{op}-kernel-above-map-{narrow}", partial(wide, size=(2, 1)))
            add(f"{op}-uneven-stride-{narrow}", partial(wide, size=(9, 11), stride=(3, 2), padding=(1, 0)))
        add(f"{op}-step-above-kernel", partial(one_op_graph, op, kernel=2, stride=5, size=(11, 13)))
    for op in SPATIAL:
        for ceil_mode in (False, True):
            for stride, padding in ((1, 0), (2, 1), (3, 1), (2, 0)):
                make = partial(one_op_graph, op, size=(6, 8), stride=stride, padding=padding, ceil_mode=ceil_mode)
                add(f"{op}-s{stride}-p{padding}-{ceil_mode}", make)
        add(f"{op}-special-odd", partial(one_op_graph, op, size=(9, 7), padding=1, stride=2, special=True, channels=7))
        add(f"{op}-ceil-1x1", partial(one_op_graph, op, size=(1, 1), kernel=2, stride=2, ceil_mode=True))
        add(f"{op}-special", partial(one_op_graph, op, size=(4, 4), kernel=2, stride=2, special=True, channels=17))
    for size in ((1, 1), (7, 5), (3, 13)):
        for bins in ((1, 1), (3, 2), (5, 9)):
            make = partial(one_op_graph, "adaptive_avg_pool", size=size, kernel=bins)
            add(f"adaptive-{size[0]}x{size[1]}-{bins[0]}x{bins[1]}", make)
    for op in sorted(OPS):
        if op in SPATIAL or op in ("conv_u8", "normalize"):
            continue
        kernel = 1  # so that every op fits a 1x1 map
        add(f"{op}-1x1-map", partial(one_op_graph, op, size=(1, 1), kernel=kernel, channels=65))
        add(f"{op}-one-channel", partial(one_op_graph, op, channels=1, kernel=kernel, narrow=True))
        add(f"{op}-odd", partial(one_op_graph, op, size=(3, 11), kernel=kernel, channels=33, spread=True))
        add(f"{op}-special-values", partial(one_op_graph, op, size=(1, 1), kernel=kernel, channels=96, special=True))
    for channels in (1, 2, 3, 4):
        add(f"normalize-c{channels}", partial(one_op_graph, "normalize", channels=channels))
        add(f"conv_u8-c{channels}", partial(one_op_graph, "conv_u8", channels=channels, padding=1, stride=2))
    return cases


CASES = _cases()
