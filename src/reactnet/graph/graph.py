"""A network as data: nodes of the closed op set, constants by name, preprocessing. See docs/format.md, section 2."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Attribute = int | tuple[int, ...]  # a boolean is an int here as in Python; the checker tells them apart
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Value:
    """What a name stands for, an image at a time: `kind` is u8, f32, bits or i8; `shape` is (H, W, C)."""

    kind: str
    shape: Shape


@dataclass(frozen=True)
class Node:
    """One op. It makes one value, named like the node; `constants` maps a role to a tensor's name."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded image becomes the input: `resize` the short edge to an int or both to (h, w), then centre-`crop`.

    `mean` and `std` describe pixels in [0, 1], one per channel; they inform, the arithmetic has them in its constants.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Graph:
    """A whole network. Two graphs are the same where `dumps` gives the same bytes."""

    model: str
    input_name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]
    output: str
    preprocessing: Preprocessing
    class_names: tuple[str, ...] = ()
    ends: str = "float"
    provenance: Mapping[str, str] = field(default_factory=dict)

    def constant(self, node: Node, role: str) -> NDArray[Any] | None:
        """The node's tensor in this role, or None where the node leaves an optional one out."""
        name = node.constants.get(role)
        return None if name is None else self.constants[name]
