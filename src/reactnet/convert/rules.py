"""Where each tensor of ours comes from in a foreign state dict, and whether the two fit to the last key and shape."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reactnet.errors import ReactnetError

Shape = tuple[int, ...]
State = Mapping[str, Tensor]

COUNTER = "num_batches_tracked"
_NORM = ("weight", "bias", "running_mean", "running_var", COUNTER)
_SHOWN = 4  # so many keys of each kind are listed in an error


@dataclass(frozen=True)
class Rule:
    """Our tensor `ours` is their tensors `theirs`, joined along the output channels.

    Each of `theirs` has one of `shapes`; `piece` is the shape that it takes in ours.
    """

    ours: str
    theirs: tuple[str, ...]
    piece: Shape
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Layout:
    """One way in which a network has been published.

    `models` are our names of what comes in this layout, `mark` a pattern that only its keys match, `head` the key whose
    first dimension is the number of classes, and `rules` what maps one of our models to a file with so many keys.
    """

    name: str
    models: tuple[str, ...]
    mark: str
    head: str
    rules: Callable[[nn.Module, Set[str]], tuple[Rule, ...]]


class Rules:
    """The rules for one model, put together a layer at a time; each of the model's tensors must get exactly one."""

    def __init__(self, model: nn.Module) -> None:
        self._shapes: dict[str, Shape] = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
        self._rules: dict[str, Rule] = {}

    def take(self, ours: str, *theirs: str, also: Callable[[Shape], Shape] | None = None) -> None:
        """`theirs` joined are `ours`; each may also have the shape that `also` makes of its usual one."""
        shape = self._shapes[ours]
        piece = (shape[0] // len(theirs), *shape[1:]) if shape else ()
        shapes = (piece,) if also is None else (piece, also(piece))
        self._add(Rule(ours, theirs, piece, shapes))

    def take_reshaped(self, ours: str, theirs: str, shape: Callable[[Shape], Shape]) -> None:
        """`theirs` is `ours` in another shape: that alone is right."""
        piece = self._shapes[ours]
        self._add(Rule(ours, (theirs,), piece, (shape(piece),)))

    def take_layer(self, ours: str, theirs: str, *, bias: bool = True) -> None:
        """A convolution or a linear layer."""
        for part in ("weight", "bias") if bias else ("weight",):
            self.take(f"{ours}.{part}", f"{theirs}.{part}")

    def take_norm(self, ours: str, *theirs: str) -> None:
        """A batch norm, or several side by side."""
        for part in _NORM:
            self.take(f"{ours}.{part}", *(f"{norm}.{part}" for norm in theirs))

    def done(self) -> tuple[Rule, ...]:
        """All rules, in the order of the model's tensors."""
        assert self._rules.keys() == self._shapes.keys(), self._shapes.keys() ^ self._rules.keys()
        return tuple(self._rules[key] for key in self._shapes)

    def _add(self, rule: Rule) -> None:
        assert rule.ours not in self._rules, rule.ours
        self._rules[rule.ours] = rule


@dataclass(frozen=True)
class Misfit:
    """What keeps a state dict from being a model's: nothing, if it is empty."""

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.missing) + len(self.extra) + len(self.misshapen)

    def __str__(self) -> str:
        kinds = (("missing", self.missing), ("extra", self.extra), ("misshapen", self.misshapen))
        return "; ".join(f"{len(found)} {kind}: {_listed(found)}" for kind, found in kinds if found)


def compare(rules: tuple[Rule, ...], state: State) -> Misfit:
    """Hold a state dict to the rules. Only names, shapes and dtypes are looked at.

    Files from before torch 0.4.1 have no counters of batches: where none at all is there, none is missing.
    """
    wanted = {key: rule for rule in rules for key in rule.theirs}
    if without_counters(state):
        wanted = {key: rule for key, rule in wanted.items() if not key.endswith(COUNTER)}
    return Misfit(
        missing=tuple(key for key in wanted if key not in state),
        extra=tuple(key for key in state if key not in wanted),
        misshapen=tuple(_misshapen(wanted, state)),
    )


def without_counters(state: State) -> bool:
    """Whether the state dict is from before batch norm counted its batches."""
    return not any(key.endswith(COUNTER) for key in state)


def apply(rules: tuple[Rule, ...], state: State) -> dict[str, Tensor]:
    """Our state dict out of theirs, in float32. `compare` must have found no misfit.

    Raises ReactnetError for values that are not finite, and for those that float32 cannot hold.
    """
    made: dict[str, Tensor] = {}
    broken: list[str] = []
    for rule in rules:
        if rule.ours.endswith(COUNTER):
            # Norms side by side have counted the same batches, so the first speaks for all.
            first = state.get(rule.theirs[0])
            made[rule.ours] = torch.tensor(0) if first is None else first.detach().long()
            continue
        pieces = [state[key].detach().reshape(rule.piece).float() for key in rule.theirs]
        broken += [key for key, piece in zip(rule.theirs, pieces, strict=True) if not bool(torch.isfinite(piece).all())]
        made[rule.ours] = torch.cat(pieces).contiguous() if len(pieces) > 1 else pieces[0].contiguous()
    if broken:
        raise ReactnetError(
            f"{len(broken)} tensors hold values that are not finite: {_listed(tuple(broken))}",
            hint="the training that wrote this file diverged: use another checkpoint",
        )
    return made


def _misshapen(wanted: Mapping[str, Rule], state: State) -> Iterator[str]:
    for key, rule in wanted.items():
        if key not in state:
            continue
        tensor = state[key]
        if tuple(tensor.shape) not in rule.shapes:
            shapes = " or ".join(str(shape) for shape in rule.shapes)
            yield f"{key} {tuple(tensor.shape)}, not {shapes}"
        elif tensor.is_floating_point() == key.endswith(COUNTER) or tensor.is_complex():
            yield f"{key} of {str(tensor.dtype).removeprefix('torch.')}"


def _listed(keys: tuple[str, ...]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
