"""The closed op set of format 1 as data: kinds, constants, attributes, and a shape rule for each op.

A shape rule takes the input shapes, the attributes and the shapes of the constants, and returns the output's (H, W, C)
with the shape that each constant must have. It raises ReactnetError without naming the node; the checker adds that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from reactnet.errors import ReactnetError
from reactnet.graph.graph import Attribute, Shape
from reactnet.graph.tensor import words

DIMENSION = 65_536  # the limit of a height, a width, a number of channels, a stride, a kernel
MAX_INPUTS = 64

Shapes = Mapping[str, tuple[int, ...]]
Rule = Callable[[Sequence[Shape], Mapping[str, Attribute], Shapes], tuple[Shape, dict[str, tuple[int, ...]]]]


@dataclass(frozen=True)
class Constant:
    """A tensor that an op takes."""

    role: str
    dtypes: tuple[str, ...]
    required: bool = True


@dataclass(frozen=True)
class AttributeSpec:
    """An attribute: `form` is int, pair or bool; `default` is what the builder fills in, never the reader."""

    name: str
    form: str
    low: int = 0
    high: int = DIMENSION
    default: Attribute | None = None


@dataclass(frozen=True)
class Op:
    """`inputs` are the kinds of the inputs; a variadic op takes 1 to 64 of the one kind listed."""

    name: str
    inputs: tuple[str, ...]
    output: str
    rule: Rule
    constants: tuple[Constant, ...] = ()
    attributes: tuple[AttributeSpec, ...] = ()
    variadic: bool = False


def pair(attributes: Mapping[str, Attribute], name: str) -> tuple[int, int]:
    """A [vertical, horizontal] attribute."""
    value = attributes[name]
    assert isinstance(value, tuple)
    return value[0], value[1]


def number(attributes: Mapping[str, Attribute], name: str) -> int:
    """An integer attribute."""
    value = attributes[name]
    assert isinstance(value, int)
    return value


def _fault(problem: str, hint: str) -> ReactnetError:
    return ReactnetError(problem, hint=hint)


def _ranked(shapes: Shapes, role: str, rank: int) -> tuple[int, ...]:
    shape = shapes[role]
    if len(shape) != rank:
        raise _fault(f"constant '{role}' has shape {list(shape)}, rank {len(shape)}", f"give it rank {rank}")
    return shape


def window_outputs(size: int, kernel: int, stride: int, padding: int, *, ceil_mode: bool = False) -> int:
    """How many windows fit along one side of `size`; below 1 where none does."""
    span = size + 2 * padding - kernel
    if not ceil_mode:
        return span // stride + 1
    count = -(-span // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


def _window_shape(
    shape: Shape,
    kernel: tuple[int, int],
    attributes: Mapping[str, Attribute],
    channels: int,
    *,
    ceil_mode: bool = False,
) -> Shape:
    stride, padding = pair(attributes, "stride"), pair(attributes, "padding")
    for side in range(2):
        if padding[side] >= kernel[side]:
            raise _fault(
                f"padding {list(padding)} is not less than the kernel {list(kernel)}", "use a padding below the kernel"
            )
    height, width = (
        window_outputs(shape[side], kernel[side], stride[side], padding[side], ceil_mode=ceil_mode) for side in range(2)
    )
    if height < 1 or width < 1:
        raise _fault(
            f"kernel {list(kernel)} with padding {list(padding)} does not fit the {shape[0]}x{shape[1]} map",
            "use a smaller kernel, more padding or a larger image",
        )
    return height, width, channels


def _conv(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes, *, packed: bool = False
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    (shape,) = inputs
    channels = shape[2]
    groups = number(attributes, "groups") if "groups" in attributes else 1
    out, kh, kw, _ = _ranked(shapes, "weight", 4)
    if channels % groups or out % groups:
        raise _fault(
            f"{channels} input and {out} output channels do not split into {groups} groups",
            "use a number of groups that divides both",
        )
    for side in (kh, kw):
        if side > DIMENSION:
            raise _fault(f"kernel [{kh}, {kw}] is above the limit of {DIMENSION}", "use a smaller kernel")
    per_group = channels // groups
    expected: dict[str, tuple[int, ...]] = {
        "weight": (out, kh, kw, words(per_group) if packed else per_group),
        "bias": (out,),
        "scale": (out,),
        "offset": (out, kh, kw),
    }
    return _window_shape(shape, (kh, kw), attributes, out), expected


def _bconv2d(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    result, expected = _conv(inputs, attributes, shapes, packed=True)
    _, kh, kw, _ = expected["weight"]
    row = kh * kw * (inputs[0][2] // number(attributes, "groups"))
    if row > 2**24:
        raise _fault(
            f"a sum has {row} terms, above 2^24, where f32 stops being exact", "use a smaller kernel or groups"
        )
    return result, expected


def _linear(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    out, _ = _ranked(shapes, "weight", 2)
    return (1, 1, out), {"weight": (out, prod(inputs[0])), "bias": (out,), "scale": (out,)}


def _same(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    channels = (inputs[0][2],)
    return inputs[0], {"shift": channels, "scale": channels, "slope": channels}


def _normalize(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    return inputs[0], {"table": (256, inputs[0][2])}


def _clip(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    return inputs[0], {"bounds": (2,)}


def _binary(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    first, second = inputs
    if second not in (first, (1, 1, first[2])):
        raise _fault(
            f"shapes {list(first)} and {list(second)} do not combine",
            f"give the second input the shape {list(first)} or [1, 1, {first[2]}]",
        )
    return first, {}


def _concat(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    height, width, _ = inputs[0]
    for shape in inputs:
        if shape[:2] != (height, width):
            raise _fault(f"maps of {height}x{width} and {shape[0]}x{shape[1]} do not join", "use maps of one size")
    return (height, width, sum(shape[2] for shape in inputs)), {}


def _slice(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    height, width, channels = inputs[0]
    begin, end = number(attributes, "begin"), number(attributes, "end")
    if not begin < end <= channels:
        raise _fault(f"channels {begin} to {end} are not within 0 to {channels}", "use 0 <= begin < end <= channels")
    return (height, width, end - begin), {}


def _repeat(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    height, width, channels = inputs[0]
    return (height, width, channels * number(attributes, "times")), {}


def _pool(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    kernel, padding = pair(attributes, "kernel"), pair(attributes, "padding")
    if any(2 * padding[side] > kernel[side] for side in range(2)):
        raise _fault(f"padding {list(padding)} is above half the kernel {list(kernel)}", "use at most half the kernel")
    ceil_mode = bool(attributes["ceil_mode"])
    return _window_shape(inputs[0], kernel, attributes, inputs[0][2], ceil_mode=ceil_mode), {}


def _adaptive(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    return (*pair(attributes, "size"), inputs[0][2]), {}


def _global(
    inputs: Sequence[Shape], attributes: Mapping[str, Attribute], shapes: Shapes
) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    return (1, 1, inputs[0][2]), {}


_F32 = ("F32",)
_STRIDE = AttributeSpec("stride", "pair", 1, default=(1, 1))
_PADDING = AttributeSpec("padding", "pair", 0, DIMENSION - 1, default=(0, 0))
_GROUPS = AttributeSpec("groups", "int", 1, default=1)
_REAL_WEIGHT = (Constant("weight", ("F32", "F16")), Constant("bias", _F32, required=False))
_SCALED = (Constant("scale", _F32), Constant("bias", _F32))
_POOL = (AttributeSpec("kernel", "pair", 1), _STRIDE, _PADDING, AttributeSpec("ceil_mode", "bool", default=False))

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("normalize", ("u8",), "f32", _normalize, (Constant("table", _F32),)),
        Op("conv_f32", ("f32",), "f32", _conv, _REAL_WEIGHT, (_STRIDE, _PADDING, _GROUPS)),
        Op(
            "conv_u8",
            ("u8",),
            "f32",
            _conv,
            (Constant("weight", ("I8", "I16")), Constant("offset", ("I32",)), *_SCALED),
            (_STRIDE, _PADDING),
        ),
        Op("quantize", ("f32",), "i8", _same),
        Op("conv_i8", ("i8",), "f32", _conv, (Constant("weight", ("I8",)), *_SCALED), (_STRIDE, _PADDING, _GROUPS)),
        Op("linear_f32", ("f32",), "f32", _linear, _REAL_WEIGHT),
        Op("linear_i8", ("i8",), "f32", _linear, (Constant("weight", ("I8",)), *_SCALED)),
        Op("sign", ("f32",), "bits", _same, (Constant("shift", _F32),)),
        Op(
            "bconv2d",
            ("bits",),
            "f32",
            _bconv2d,
            (Constant("weight", ("U64",)),),
            (_STRIDE, _PADDING, AttributeSpec("padding_value", "int", -1, 1, default=0), _GROUPS),
        ),
        Op("affine", ("f32",), "f32", _same, (Constant("scale", _F32), Constant("shift", _F32))),
        Op("add", ("f32", "f32"), "f32", _binary),
        Op("mul", ("f32", "f32"), "f32", _binary),
        Op("prelu", ("f32",), "f32", _same, (Constant("slope", _F32),)),
        Op("relu", ("f32",), "f32", _same),
        Op("sigmoid", ("f32",), "f32", _same),
        Op("hard_sigmoid", ("f32",), "f32", _same),
        Op("abs", ("f32",), "f32", _same),
        Op("clip", ("f32",), "f32", _clip, (Constant("bounds", _F32),)),
        Op("concat", ("f32",), "f32", _concat, variadic=True),
        Op("slice", ("f32",), "f32", _slice, (), (AttributeSpec("begin", "int"), AttributeSpec("end", "int"))),
        Op("repeat", ("f32",), "f32", _repeat, (), (AttributeSpec("times", "int", 1),)),
        Op("avg_pool", ("f32",), "f32", _pool, (), _POOL),
        Op("max_pool", ("f32",), "f32", _pool, (), _POOL),
        Op("adaptive_avg_pool", ("f32",), "f32", _adaptive, (), (AttributeSpec("size", "pair", 1),)),
        Op("global_avg_pool", ("f32",), "f32", _global),
    )
}
