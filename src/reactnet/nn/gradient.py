"""The choice of straight-through estimator for a whole model, and the statistics that one of them keeps."""

from collections.abc import Mapping

from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.nn.activation import GRADIENTS, RSign, Sign
from reactnet.nn.binarize import positive
from reactnet.nn.conv import BinaryConv2d


def set_gradient(
    model: nn.Module,
    *,
    activation: str | None = None,
    activation_window: float | None = None,
    weight_window: float | None = None,
) -> None:
    """Give every sign of `model` this gradient and window, and every binary convolution this window of its weights.

    What is None stays as the model has it. Not in the state dict; forward results do not depend on it. See
    `reactnet.nn.Gradient` for the words, and `BinaryConv2d.window`.

    Raises ReactnetError for an unknown word, a window that is not above 0, and a model without the layers concerned.
    """
    if activation is not None and activation not in GRADIENTS:
        raise ReactnetError(
            f"set_gradient: unknown activation gradient {activation!r}", hint=f"choose from {', '.join(GRADIENTS)}"
        )
    for window in (activation_window, weight_window):
        if window is not None:
            positive("set_gradient", window)
    signs = [module for module in model.modules() if isinstance(module, RSign | Sign)]
    convolutions = [module for module in model.modules() if isinstance(module, BinaryConv2d)]
    if (activation is not None or activation_window is not None) and not signs:
        raise ReactnetError("set_gradient: the model has no sign of activations", hint="leave the gradient out")
    if weight_window is not None and not convolutions:
        raise ReactnetError("set_gradient: the model has no binary convolution", hint="leave weight_window out")
    chosen = next((known for known in GRADIENTS if known == activation), None)
    for sign in signs:
        sign.gradient = sign.gradient if chosen is None else chosen
        sign.window = sign.window if activation_window is None else activation_window
    for convolution in convolutions:
        convolution.window = convolution.window if weight_window is None else weight_window


def gradient_state(model: nn.Module) -> dict[str, Tensor]:
    """What gradients depend on besides the state dict, by name: to resume a training exactly, save this as well.

    One running mean square for each sign whose gradient is "quadratic_rms"; empty where there is none.
    """
    return {f"{path}.mean_square" if path else "mean_square": sign.mean_square for path, sign in _measuring(model)}


def load_gradient_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put back what `gradient_state` gave. Raises ReactnetError unless the names are those of `model`, all of them."""
    own = gradient_state(model)
    odd = [*(name for name in state if name not in own), *(name for name in own if name not in state)]
    if odd:
        raise ReactnetError(
            f"gradient state: {odd[0]!r} is {'unknown to the model' if odd[0] in state else 'missing'}",
            hint="call set_gradient as before first; the state is that of another model or choice of gradient",
        )
    for name, tensor in own.items():
        tensor.copy_(state[name])


def _measuring(model: nn.Module) -> list[tuple[str, RSign | Sign]]:
    return [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, RSign | Sign) and module.gradient == "quadratic_rms"
    ]
