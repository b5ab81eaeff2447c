"""The straight-through estimators of a whole model, switched at once."""

from torch import nn

from reactnet.errors import ReactnetError
from reactnet.nn.activation import Gradient, RSign, Sign
from reactnet.nn.conv import BinaryConv2d


def set_gradient(
    model: nn.Module,
    *,
    activation: str | None = None,
    activation_window: float | None = None,
    weight_window: float | None = None,
) -> None:
    """Set the gradient of every sign, and the window of every latent weight; None leaves what the model has.

    None of it is in the state dict, and none changes what a model computes. Raises ReactnetError for a gradient that
    the layers do not know.
    """
    known: dict[str, Gradient] = {"quadratic": "quadratic", "identity": "identity"}
    if activation is not None and activation not in known:
        raise ReactnetError(f"set_gradient: activation is {activation!r}", hint=f"give one of {', '.join(known)}")
    for module in model.modules():
        if isinstance(module, RSign | Sign):
            if activation is not None:
                module.gradient = known[activation]
            if activation_window is not None:
                module.window = activation_window
        elif isinstance(module, BinaryConv2d) and weight_window is not None:
            module.window = weight_window
