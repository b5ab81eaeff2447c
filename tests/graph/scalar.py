"""The arithmetic of docs/format.md a second time: plain loops over np.float32 scalars, one image, nothing shared.

Written from the page and not from `reference.py`, so that the two can disagree.
"""

import math

import numpy as np

from reactnet.graph import Graph

F = np.float32
Map = np.ndarray  # (H, W, C)


def run(graph: Graph, image: np.ndarray) -> dict[str, object]:
    """Every node's value for one uint8 image: a float32 or int8 map, or (int8 map, scale)."""
    values: dict[str, object] = {graph.input_name: image}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            constants = {
                role: graph.constants[name].astype(F)
                if graph.constants[name].dtype == np.float16
                else graph.constants[name]
                for role, name in node.constants.items()
            }
            inputs = [values[name] for name in node.inputs]
            values[node.name] = OPS[node.op](inputs, constants, dict(node.attributes))
    return values


def each(x: Map, make) -> Map:
    """A float32 map from a function of (h, w, c)."""
    out = np.empty(x.shape, F)
    for h, w, c in np.ndindex(*x.shape):
        out[h, w, c] = make(h, w, c)
    return out


def normalize(inputs, constants, attributes):
    return each(inputs[0], lambda h, w, c: constants["table"][inputs[0][h, w, c], c])


def conv_size(size: int, kernel: int, stride: int, padding: int) -> int:
    return math.floor((size + 2 * padding - kernel) / stride) + 1


def conv(x: Map, weight: np.ndarray, attributes, start, step, after=lambda acc, o: acc):
    """`step(acc, o, kh, kw, pixel of the group or None outside)` over the taps of each output, then `after(acc, o)`."""
    (sh, sw), (ph, pw) = attributes["stride"], attributes["padding"]
    groups = attributes.get("groups", 1)
    outputs, kernel_h, kernel_w = weight.shape[:3]
    deep = x.shape[2] // groups
    out = np.empty((conv_size(x.shape[0], kernel_h, sh, ph), conv_size(x.shape[1], kernel_w, sw, pw), outputs), F)
    for i, j, o in np.ndindex(*out.shape):
        group = o // (outputs // groups)
        acc = start
        for kh in range(kernel_h):
            for kw in range(kernel_w):
                h, w = i * sh + kh - ph, j * sw + kw - pw
                inside = 0 <= h < x.shape[0] and 0 <= w < x.shape[1]
                pixel = x[h, w, group * deep : (group + 1) * deep] if inside else None
                acc = step(acc, o, kh, kw, pixel)
        out[i, j, o] = after(acc, o)
    return out


def conv_f32(inputs, constants, attributes):
    weight = constants["weight"]

    def step(acc, o, kh, kw, pixel):
        if pixel is not None:
            for ci in range(len(pixel)):
                acc = F(acc + F(pixel[ci] * weight[o, kh, kw, ci]))
        return acc

    def after(acc, o):
        return F(acc + constants["bias"][o]) if "bias" in constants else acc

    return conv(inputs[0], weight, attributes, F(0), step, after)


def conv_u8(inputs, constants, attributes):
    weight = constants["weight"]

    def step(acc, o, kh, kw, pixel):
        if pixel is None:
            return acc
        total = sum(int(weight[o, kh, kw, c]) * int(pixel[c]) for c in range(len(pixel)))
        return acc + total - int(constants["offset"][o, kh, kw])

    def after(acc, o):
        return F(F(F(acc) * constants["scale"][o]) + constants["bias"][o])

    return conv(inputs[0], weight, attributes, 0, step, after)


def quantize(inputs, constants, attributes):
    x = inputs[0]
    m = F(0)
    for value in x.flat:
        a = F(abs(value))
        m = a if a > m else m
    q = np.zeros(x.shape, np.int8)
    if m == 0:
        return q, F(0)
    inverse = F(F(127) / m)
    for place in np.ndindex(*x.shape):
        t = F(x[place] * inverse)
        t = t if t > F(-127) else F(-127)
        t = t if t < F(127) else F(127)
        q[place] = round(float(t))  # Python rounds a half to even
    return q, F(m / F(127))


def dequantize(acc: int, scale, constants, o) -> np.float32:
    return F(F(F(F(acc) * scale) * constants["scale"][o]) + constants["bias"][o])


def conv_i8(inputs, constants, attributes):
    q, scale = inputs[0]
    weight = constants["weight"]

    def step(acc, o, kh, kw, pixel):
        if pixel is None:
            return acc
        return acc + sum(int(weight[o, kh, kw, c]) * int(pixel[c]) for c in range(len(pixel)))

    return conv(q, weight, attributes, 0, step, lambda acc, o: dequantize(acc, scale, constants, o))


def linear_f32(inputs, constants, attributes):
    x, weight = inputs[0].reshape(-1), constants["weight"]
    out = np.empty((1, 1, len(weight)), F)
    for o in range(len(weight)):
        acc = F(0)
        for i in range(len(x)):
            acc = F(acc + F(x[i] * weight[o, i]))
        out[0, 0, o] = F(acc + constants["bias"][o]) if "bias" in constants else acc
    return out


def linear_i8(inputs, constants, attributes):
    (q, scale), weight = inputs[0], constants["weight"]
    flat = q.reshape(-1)
    out = np.empty((1, 1, len(weight)), F)
    for o in range(len(weight)):
        acc = sum(int(weight[o, i]) * int(flat[i]) for i in range(len(flat)))
        out[0, 0, o] = dequantize(acc, scale, constants, o)
    return out


def sign(inputs, constants, attributes):
    out = np.empty(inputs[0].shape, np.int8)
    for place in np.ndindex(*out.shape):
        out[place] = 1 if F(inputs[0][place] + constants["shift"][place[2]]) >= 0 else -1
    return out


def bconv2d(inputs, constants, attributes):
    weight = constants["weight"]

    def bit(o, kh, kw, c):
        return 1 if (int(weight[o, kh, kw, c // 64]) >> (c % 64)) & 1 else -1

    deep = inputs[0].shape[2] // attributes["groups"]
    outside = [attributes["padding_value"]] * deep

    def step(acc, o, kh, kw, pixel):
        taken = outside if pixel is None else pixel
        return acc + sum(bit(o, kh, kw, c) * int(taken[c]) for c in range(deep))

    return conv(inputs[0], weight, attributes, 0, step)


def affine(inputs, constants, attributes):
    x, scale, shift = inputs[0], constants["scale"], constants["shift"]
    return each(x, lambda h, w, c: F(F(x[h, w, c] * scale[c]) + shift[c]))


def paired(inputs, combine):
    x, y = inputs
    wide = y.shape == x.shape
    return each(x, lambda h, w, c: combine(x[h, w, c], y[h, w, c] if wide else y[0, 0, c]))


def clip_one(x, low, high):
    t = low if x < low else x
    return high if high < t else t


def sigmoid_one(x):
    a = F(-abs(x))
    a = a if a > F(-87) else F(-87)
    n = F(round(float(F(a * F(1.44269504)))))
    r = F(a - F(n * F(0.693359375)))
    r = F(r - F(n * F(-2.12194440e-4)))
    p = F(1.9875691500e-4)
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = F(F(p * r) + F(c))
    e = F(F(F(F(p * r) * r) + r) + F(1))
    e = F(math.ldexp(float(e), int(n)))
    return F((e if x < 0 else F(1)) / F(F(1) + e))


def elementwise(make):
    """An op of one map; `make(x, constants, channel)`."""

    def op(inputs, constants, attributes):
        x = inputs[0]
        return each(x, lambda h, w, c: make(x[h, w, c], constants, c))

    return op


def concat(inputs, constants, attributes):
    height, width, _ = inputs[0].shape
    out = np.empty((height, width, sum(x.shape[2] for x in inputs)), F)
    for h in range(height):
        for w in range(width):
            out[h, w] = [value for x in inputs for value in x[h, w]]
    return out


def slice_(inputs, constants, attributes):
    x, begin = inputs[0], attributes["begin"]
    out = np.empty((*x.shape[:2], attributes["end"] - begin), F)
    for h, w, c in np.ndindex(*out.shape):
        out[h, w, c] = x[h, w, begin + c]
    return out


def repeat(inputs, constants, attributes):
    x = inputs[0]
    out = np.empty((*x.shape[:2], attributes["times"] * x.shape[2]), F)
    for h, w, c in np.ndindex(*out.shape):
        out[h, w, c] = x[h, w, c % x.shape[2]]
    return out


def pool_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    span = (size + 2 * padding - kernel) / stride
    if not ceil_mode:
        return math.floor(span) + 1
    count = math.ceil(span) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


def mean(values) -> np.float32:
    total = F(0)
    for value in values:
        total = F(total + value)
    return F(total / F(len(values)))


def most(values) -> np.float32:
    m = values[0]
    for value in values[1:]:
        m = value if value > m else m
    return m


def pool(reduce):
    def op(inputs, constants, attributes):
        x = inputs[0]
        (kh, kw), (sh, sw), (ph, pw) = attributes["kernel"], attributes["stride"], attributes["padding"]
        height = pool_size(x.shape[0], kh, sh, ph, attributes["ceil_mode"])
        width = pool_size(x.shape[1], kw, sw, pw, attributes["ceil_mode"])
        out = np.empty((height, width, x.shape[2]), F)
        for i, j, c in np.ndindex(*out.shape):
            rows = [h for h in range(i * sh - ph, i * sh - ph + kh) if 0 <= h < x.shape[0]]
            columns = [w for w in range(j * sw - pw, j * sw - pw + kw) if 0 <= w < x.shape[1]]
            out[i, j, c] = reduce([x[h, w, c] for h in rows for w in columns])
        return out

    return op


def adaptive(inputs, constants, attributes):
    x = inputs[0]
    height, width = attributes.get("size", (1, 1))
    out = np.empty((height, width, x.shape[2]), F)
    for i, j, c in np.ndindex(*out.shape):
        rows = range(math.floor(i * x.shape[0] / height), math.ceil((i + 1) * x.shape[0] / height))
        columns = range(math.floor(j * x.shape[1] / width), math.ceil((j + 1) * x.shape[1] / width))
        out[i, j, c] = mean([x[h, w, c] for h in rows for w in columns])
    return out


OPS = {
    "normalize": normalize,
    "conv_f32": conv_f32,
    "conv_u8": conv_u8,
    "quantize": quantize,
    "conv_i8": conv_i8,
    "linear_f32": linear_f32,
    "linear_i8": linear_i8,
    "sign": sign,
    "bconv2d": bconv2d,
    "affine": affine,
    "add": lambda inputs, constants, attributes: paired(inputs, lambda x, y: F(x + y)),
    "mul": lambda inputs, constants, attributes: paired(inputs, lambda x, y: F(x * y)),
    "prelu": elementwise(lambda x, constants, c: x if x >= 0 else F(constants["slope"][c] * x)),
    "relu": elementwise(lambda x, constants, c: F(0) if x < 0 else x),
    "abs": elementwise(lambda x, constants, c: F(math.copysign(x, 1.0))),
    "sigmoid": elementwise(lambda x, constants, c: sigmoid_one(x)),
    "hard_sigmoid": elementwise(lambda x, constants, c: clip_one(F(F(x * F(1 / 6)) + F(0.5)), F(0), F(1))),
    "clip": elementwise(lambda x, constants, c: clip_one(x, *constants["bounds"])),
    "concat": concat,
    "slice": slice_,
    "repeat": repeat,
    "avg_pool": pool(mean),
    "max_pool": pool(most),
    "adaptive_avg_pool": adaptive,
    "global_avg_pool": adaptive,
}
