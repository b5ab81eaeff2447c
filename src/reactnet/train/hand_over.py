"""From one phase to the next: which weights are carried, which begin anew, every key accounted for."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.nn import BinaryConv2d


@dataclass(frozen=True)
class HandOver:
    """State-dict keys by their fate. Together they are all keys of the model, each once, in its order."""

    carried: tuple[str, ...]
    restarted: tuple[str, ...]


def hand_over(model: nn.Module, state: Mapping[str, Tensor] | None, carry: str) -> HandOver:
    """Load into `model`, freshly made, what it takes over from `state`, the weights at the end of the phase before.

    `carry`: "all"; "all_but_binary_weights", which leaves the latent weight of each BinaryConv2d fresh; "nothing", for
    which `state` may be None. Raises ReactnetError if a carried key is missing, has another shape, or if `state` holds
    a key that the model has not: nothing is dropped in silence.
    """
    own = model.state_dict()
    if carry == "nothing":
        return HandOver((), tuple(own))
    assert state is not None
    unknown, missing = [key for key in state if key not in own], [key for key in own if key not in state]
    if unknown or missing:
        raise ReactnetError(
            f"hand-over: {(unknown + missing)[0]!r} is in the phase {'before' if unknown else 'after'} only "
            f"({len(unknown)} keys too many, {len(missing)} missing)",
            hint="both phases must train the same model; begin anew in an empty folder",
        )
    for key, value in state.items():
        if value.shape != own[key].shape:
            raise ReactnetError(
                f"hand-over: {key!r} is {tuple(value.shape)} before and {tuple(own[key].shape)} after",
                hint="both phases must train the same model; begin anew in an empty folder",
            )
    restarted = _binary_weights(model) if carry == "all_but_binary_weights" else set()
    model.load_state_dict({key: own[key] if key in restarted else state[key] for key in own}, strict=True)
    return HandOver(tuple(key for key in own if key not in restarted), tuple(key for key in own if key in restarted))


def _binary_weights(model: nn.Module) -> set[str]:
    return {f"{path}.weight" for path, module in model.named_modules() if isinstance(module, BinaryConv2d)}
