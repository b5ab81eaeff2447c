"""The phase switch: which of a model's signs are signs, and which are still the identity."""

from collections.abc import Sequence

from torch import nn

from reactnet.errors import ReactnetError
from reactnet.nn.activation import RSign, Sign
from reactnet.nn.conv import BinaryConv2d

PARTS = ("activations", "weights")
"""What can be binary: () is the real-valued twin, ("activations",) phase one, both phase two."""


def set_binarize(model: nn.Module, parts: Sequence[str]) -> None:
    """Make exactly `parts` of every layer in `model` binary, and the rest real-valued; parameters stay as they are.

    Raises ReactnetError for a word that is not in `PARTS`.
    """
    check_parts(parts)
    for module in model.modules():
        if isinstance(module, RSign | Sign):
            module.binarize = "activations" in parts
        elif isinstance(module, BinaryConv2d):
            module.binarize = "weights" in parts


def binarized(model: nn.Module) -> tuple[str, ...]:
    """The parts of `model` that are binary now, in the order of `PARTS`.

    Raises ReactnetError if the layers of one part disagree. A model without such layers has no binary part.
    """
    layers: dict[str, list[tuple[str, bool]]] = {part: [] for part in PARTS}
    for path, module in model.named_modules():
        if isinstance(module, RSign | Sign):
            layers["activations"].append((path, module.binarize))
        elif isinstance(module, BinaryConv2d):
            layers["weights"].append((path, module.binarize))
    for part, states in layers.items():
        odd = [path for path, state in states if state != states[0][1]]
        if odd:
            raise ReactnetError(
                f"binarized: {part}: {odd[0]!r} is {'real' if states[0][1] else 'binary'}, "
                f"{states[0][0]!r} is {'binary' if states[0][1] else 'real'}",
                hint="call set_binarize(model, parts) to switch every layer alike",
            )
    return tuple(part for part, states in layers.items() if states and states[0][1])


def check_parts(parts: Sequence[str]) -> None:
    """Raise ReactnetError unless `parts` is a sequence of distinct words of `PARTS`."""
    listed = [parts] if isinstance(parts, str) else list(parts)
    wrong = [part for part in listed if part not in PARTS]
    if wrong or isinstance(parts, str) or len(set(listed)) != len(listed):
        raise ReactnetError(
            f"binarize: {wrong[0]!r} is no part of a network" if wrong else f"binarize: {parts!r}",
            hint='give (), ("activations",), ("weights",) or ("activations", "weights")',
        )
