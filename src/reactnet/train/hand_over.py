"""From one phase to the next: which weights are carried, which begin anew, every key accounted for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.train.optimizer import latent_weights

RELEASED_INIT = 0.001


@dataclass(frozen=True)
class HandOver:
    """State-dict keys by their fate. Together they are all keys of the model, each once, in its order."""

    carried: tuple[str, ...]
    restarted: tuple[str, ...]


def hand_over(
    model: nn.Module,
    state: Mapping[str, Tensor] | None,
    carry: str,
    *,
    head: Collection[str] = (),
    rescale: float | None = None,
    source: str = "hand-over",
) -> HandOver:
    """Load into `model`, freshly made, what it takes over from `state`, the weights at the end of the phase before.

    `carry`: "all"; "all_but_head", which leaves the keys of `head` fresh; "all_but_binary_weights", which draws the
    latent weight of each BinaryConv2d uniformly from 0 to 0.001, every sign +1, as the released scripts of ReActNet-A
    in effect do; "nothing", for which `state` may be None. `rescale`: see `rescale_latent`.

    Raises ReactnetError if a carried key is missing, has another shape, or if `state` holds a key that the model has
    not: nothing is dropped in silence. And if the latent weights are a deployed network's.
    """
    own = model.state_dict()
    if carry == "nothing":
        return HandOver((), tuple(own))
    assert state is not None
    latent = latent_weights(model)
    restarted = {"all": set(), "all_but_head": set(head), "all_but_binary_weights": set(latent)}[carry]
    _check_keys(own, state, restarted, source)
    if carry != "all_but_binary_weights":
        refuse_deployment_weights({name: state[name] for name in latent}, source)
    model.load_state_dict({key: own[key] if key in restarted else state[key] for key in own}, strict=True)
    if carry == "all_but_binary_weights":
        for weight in latent.values():
            nn.init.uniform_(weight, 0.0, RELEASED_INIT)
    if rescale is not None:
        for name, weight in latent.items():
            rescale_latent(name, weight, rescale)
    return HandOver(tuple(key for key in own if key not in restarted), tuple(key for key in own if key in restarted))


def refuse_deployment_weights(latent: Mapping[str, Tensor], source: str) -> None:
    """Raise ReactnetError if every latent weight is exactly -1 or +1: such weights are no start for training.

    They are a deployed network's signs. How sure each sign is has been lost, and |w| = 1 is the edge of the window
    that lets gradients pass, so training them flips signs at random or not at all.
    """
    if latent and all(bool((weight.abs() == 1).all()) for weight in latent.values()):
        raise ReactnetError(
            f"{source}: holds deployment weights: all latent weights of {len(latent)} binary layers are -1 or +1",
            hint="train from a checkpoint with latent weights, such as that of the phase before; "
            "these are for eval and compile",
        )


@torch.no_grad()
def rescale_latent(name: str, weight: Tensor, mean: float) -> None:
    """Scale a layer's latent weight, in place, to this mean |w|; every sign stays as it is.

    What decides how fast signs flip is the rate over |w|, and phase one leaves |w| where its decay took it.
    """
    found = float(weight.abs().mean())
    if not found > 0:
        raise ReactnetError(
            f"hand-over: {name!r} is all zero and cannot be scaled to mean |w| = {mean:g}",
            hint="leave rescale_latent out",
        )
    negative = weight < 0
    weight.mul_(mean / found)
    # A tiny negative number may round to -0, whose sign counts as +1.
    weight.masked_fill_(negative & (weight == 0), -torch.finfo(weight.dtype).tiny)


def _check_keys(own: Mapping[str, Tensor], state: Mapping[str, Tensor], restarted: set[str], source: str) -> None:
    unknown, missing = [key for key in state if key not in own], [key for key in own if key not in state]
    if unknown or missing:
        raise ReactnetError(
            f"{source}: {(unknown + missing)[0]!r} is in the phase {'before' if unknown else 'after'} only "
            f"({len(unknown)} keys too many, {len(missing)} missing)",
            hint="both phases must train the same model; begin anew in an empty folder",
        )
    for key, value in state.items():
        if value.shape != own[key].shape and key not in restarted:
            raise ReactnetError(
                f"{source}: {key!r} is {tuple(value.shape)} before and {tuple(own[key].shape)} after",
                hint="both phases must train the same model; begin anew in an empty folder",
            )
