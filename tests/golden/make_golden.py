"""The golden files of format 1: what a reader of today must still read, to the bit, in ten years.

`format1/<name>.rnet` and `format1/<name>.json` (two images by `golden_images`, and their logits as f32 bits in hex)
were written once. They are NEVER regenerated: a change that does not reproduce them is a change of the format, or a
bug. A new file may be added; run this script to write the ones that do not exist yet.

    PYTHONPATH=src python tests/golden/make_golden.py
"""

import json
from math import prod
from pathlib import Path

import numpy as np

from reactnet.graph import Graph, GraphBuilder, Preprocessing, pack_bits, run_reference, save

FOLDER = Path(__file__).parent / "format1"


def integers(seed: int, *shape: int) -> np.ndarray:
    """int64 from -32768 to 32767 by a fixed recipe: NumPy's generators may change, this may not."""
    state = np.arange(1, prod(shape) + 1, dtype=np.uint64) * np.uint64(6364136223846793005) + np.uint64(seed)
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xFF51AFD7ED558CCD)
    state ^= state >> np.uint64(29)
    return ((state >> np.uint64(40)) & np.uint64(0xFFFF)).astype(np.int64).reshape(shape) - 32768


def reals(seed: int, *shape: int) -> np.ndarray:
    """float32 from -1 up to 1, each exact."""
    return (integers(seed, *shape) / 32768).astype(np.float32)


def golden_images(graph: Graph) -> np.ndarray:
    """Two images for the graph."""
    return (integers(99, 2, *graph.input_shape) & 255).astype(np.uint8)


def real_ops() -> Graph:
    """normalize, conv_f32 (grouped, f16), activations, joins, pools, linear_f32 with and without bias."""
    builder = GraphBuilder("golden_real", (9, 7, 3))
    x = builder.add("normalize", builder.input, name="normalize", table=reals(1, 256, 3))
    x = builder.add("conv_f32", x, weight=reals(2, 8, 3, 3, 3), bias=reals(3, 8), padding=1)
    x = builder.add("prelu", x, slope=reals(4, 8))
    y = builder.add("conv_f32", x, weight=reals(5, 8, 3, 2, 2).astype(np.float16), groups=4, stride=(2, 1), padding=1)
    y = builder.add("relu", y)
    y = builder.add("avg_pool", y, kernel=2, stride=2, ceil_mode=True)
    x = builder.add("max_pool", x, kernel=3, stride=(3, 2), padding=1, ceil_mode=True)
    x = builder.add(
        "concat", (builder.add("abs", x), builder.add("clip", x, bounds=np.array([-0.5, 0.75], np.float32)))
    )
    y = builder.add("adaptive_avg_pool", builder.add("repeat", y, times=2), size=(3, 4))
    x = builder.add("adaptive_avg_pool", x, size=(3, 4))
    x = builder.add("add", (x, builder.add("sigmoid", y)))
    gate = builder.add("hard_sigmoid", builder.add("global_avg_pool", x))
    x = builder.add("slice", builder.add("mul", (x, gate)), begin=3, end=14)
    x = builder.add("linear_f32", x, weight=reals(6, 6, 132).astype(np.float16))
    x = builder.add("linear_f32", x, name="head", weight=reals(7, 4, 6), bias=reals(8, 4))
    preprocessing = Preprocessing(10, (9, 7), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    names = ("cat", "d\u00f6g", '"\\/\n', "\U0001f989")
    return builder.build(x, class_names=names, preprocessing=preprocessing, provenance={"seed": "0", "note": "\u2265"})


def binary_ops() -> Graph:
    """sign, bconv2d at word edges with the three paddings and groups, affine, and the unit that backends fuse."""
    builder = GraphBuilder("golden_binary", (7, 5, 1))
    x = builder.add("normalize", builder.input, name="normalize", table=reals(1, 256, 1))
    x = builder.add("conv_f32", x, weight=reals(2, 65, 1, 1, 1), bias=reals(3, 65))
    weight: np.ndarray | str = pack_bits(reals(5, 65, 3, 1, 65))
    for index, value in enumerate((0, -1, 1)):
        seed = 10 * index
        bits = builder.add("sign", x, shift=reals(seed + 4, 65))
        y = builder.add("bconv2d", bits, name=f"b{index}", weight=weight, padding=(1, 0), padding_value=value)
        weight = "b0.weight"  # the three share one tensor
        y = builder.add("affine", y, scale=reals(seed + 6, 65) / 64, shift=reals(seed + 7, 65))
        y = builder.add("prelu", builder.add("add", (y, x)), slope=reals(seed + 8, 65))
        x = builder.add("affine", y, scale=np.ones(65, np.float32), shift=reals(seed + 9, 65))
    x = builder.add("slice", x, begin=1, end=65)
    bits = builder.add("sign", x, shift=np.zeros(64, np.float32))
    x = builder.add("bconv2d", bits, weight=pack_bits(reals(40, 12, 5, 4, 16)), groups=4, stride=2, padding=(3, 2))
    x = builder.add("global_avg_pool", x)
    return builder.build(builder.add("linear_f32", x, name="head", weight=reals(41, 5, 12), bias=reals(42, 5)))


def integer_ops() -> Graph:
    """conv_u8 with both weight types, quantize, conv_i8 (grouped), linear_i8."""
    builder = GraphBuilder("golden_integer", (8, 6, 3), ends="integer")
    parts = []
    for seed, dtype, limit in ((1, np.int8, 127), (5, np.int16, 32767)):
        parts.append(
            builder.add(
                "conv_u8",
                builder.input,
                weight=(integers(seed, 6, 3, 3, 3) % (limit + 1)).astype(dtype),
                offset=integers(seed + 1, 6, 3, 3).astype(np.int32),
                scale=reals(seed + 2, 6) / 65536,
                bias=reals(seed + 3, 6),
                stride=2,
                padding=1,
            )
        )
    x = builder.add("quantize", builder.add("concat", parts))
    weight = (integers(10, 8, 3, 3, 6) >> 8).astype(np.int8)
    x = builder.add("conv_i8", x, weight=weight, scale=reals(11, 8) / 128, bias=reals(12, 8), padding=1, groups=2)
    x = builder.add("quantize", x)
    weight = (integers(13, 5, 96) >> 8).astype(np.int8)
    return builder.build(
        builder.add("linear_i8", x, name="head", weight=weight, scale=reals(14, 5) / 128, bias=reals(15, 5))
    )


GRAPHS = {"real": real_ops, "binary": binary_ops, "integer": integer_ops}


def logits_hex(logits: np.ndarray) -> list[list[str]]:
    """The bits of f32 logits, eight hex digits each."""
    return [[f"{int(word):08x}" for word in row] for row in logits.view(np.uint32)]


def main() -> None:
    """Write the golden files that do not exist; touch none that does."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in GRAPHS.items():
        packed, expected = FOLDER / f"{name}.rnet", FOLDER / f"{name}.json"
        if packed.exists() or expected.exists():
            continue
        graph = make()
        save(graph, packed)
        images = golden_images(graph)
        record = {"images": images.tolist(), "logits": logits_hex(run_reference(graph, images))}
        expected.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
