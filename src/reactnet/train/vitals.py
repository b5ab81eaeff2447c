"""The vitals of a binary network in training: which of its signs still move, and which have stopped meaning anything.

Loss and accuracy do not show why a binary network stalls. Measured here, a layer: how many binary weights changed sign
since the epoch before, how the activations are split into +1 and -1, which channels never change, how much of the
gradient passes, how large the latent weights are, how far the learned shifts have gone. Nothing of the training is
touched: the model is in eval mode meanwhile, and nothing is drawn.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reactnet.nn import BinaryConv2d, RPReLU, RSign, Sign

IMAGES = 64  # enough that a channel without a single change is dead, few enough to cost a small share of an epoch
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of |latent weight|
_SIGNS, _START = "vitals.signs.", "vitals.start."

Number = float | None
Layers = dict[str, dict[str, Any]]


class Vitals:
    """Watches one model through one phase, on a fixed set of images.

    Made at the beginning of the phase: flips are counted and shifts are followed from there on. `tensors` and `restore`
    carry both through a stop.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model = model
        self.images = images
        self._signs = {name: conv.weight.detach() >= 0 for name, conv in _convolutions(model)}
        self._start = {name: value.detach().clone() for name, value in _shifts(model)}

    def measure(self) -> dict[str, Any]:
        """What the log says of this moment; the signs of now become those that the next flips are counted from.

        `weights`, a BinaryConv2d: `binary`, `flips` (share of the weights whose sign changed since the last
        measurement), `quantiles` of |w| at `QUANTILES`, `outside` (share beyond the window: they get no gradient).
        `signs`, an RSign or Sign: `binary`, `plus` (share of +1), `channels`, `dead` (channels whose sign never
        changed), `window` (share whose gradient passes), `spread` (standard deviation of the input), and for an RSign
        `drift` (mean and largest |shift - start|). `rprelus`: the same of each parameter. A value that is not finite
        is None.
        """
        begin = time.perf_counter()
        record = {"weights": self._weights(), "signs": self._activations(), "rprelus": self._rprelus()}
        return {"images": len(self.images), **record, "time": round(time.perf_counter() - begin, 4)}

    def tensors(self) -> dict[str, Tensor]:
        """What `restore` needs: the last signs, a bit a weight, and where each shift began."""
        bits = {
            _SIGNS + name: torch.from_numpy(np.packbits(sign.cpu().numpy().reshape(-1)))
            for name, sign in self._signs.items()
        }
        return bits | {_START + name: value for name, value in self._start.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a saved state."""
        for name, sign in self._signs.items():
            bits = np.unpackbits(tensors[_SIGNS + name].numpy(), count=sign.numel())
            self._signs[name] = torch.from_numpy(bits.astype(bool)).reshape(sign.shape).to(sign.device)
        for name, value in self._start.items():
            self._start[name] = tensors[_START + name].to(value.device)

    def _weights(self) -> Layers:
        found: Layers = {}
        for name, conv in _convolutions(self.model):
            weight = conv.weight.detach()
            sign = weight >= 0
            size = weight.abs()
            found[name] = {
                "binary": conv.binarize,
                "flips": _number((sign != self._signs[name]).float().mean()),
                "quantiles": _quantiles(size),
                "outside": _number((size > conv.window).float().mean()),
            }
            self._signs[name] = sign
        return found

    def _activations(self) -> Layers:
        found: Layers = {}

        def look(name: str, module: RSign | Sign, x: Tensor) -> None:
            x = x.float()
            shifted = x + module.shift.detach().float().view(1, -1, 1, 1) if isinstance(module, RSign) else x
            plus = shifted >= 0
            rest = [dim for dim in range(x.dim()) if dim != 1]
            dead = (plus.sum(rest) % (plus.numel() // plus.shape[1])) == 0  # none of them, or all
            found[name] = {
                "binary": module.binarize,
                "plus": _number(plus.float().mean()),
                "channels": plus.shape[1],
                "dead": int(dead.sum()),
                "window": _number((shifted.abs() <= _window(module)).float().mean()),
                "spread": _number(x.std(correction=0)),
            }
            if isinstance(module, RSign):
                found[name]["drift"] = self._drift(f"{name}.shift", module.shift)

        with watched(self.model, (RSign, Sign), before=look), torch.no_grad():
            self.model(self.images)
        return found

    def _rprelus(self) -> Layers:
        return {
            name: {key: self._drift(f"{name}.{key}", value) for key, value in act.named_parameters(recurse=False)}
            for name, act in self.model.named_modules()
            if isinstance(act, RPReLU)
        }

    def _drift(self, name: str, now: Tensor) -> list[Number]:
        distance = (now.detach() - self._start[name]).abs()
        return [_number(distance.mean()), _number(distance.max())]


@contextmanager
def watched(
    model: nn.Module, kinds: tuple[type[nn.Module], ...], *, before: Any = None, after: Any = None
) -> Iterator[None]:
    """The model in eval mode and float32; `before(name, module, input)` and `after(name, module, output)` see each
    layer of `kinds` as it runs. Afterwards every module is in the mode that it was in."""
    training = {module: module.training for module in model.modules()}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, kinds):
            if before is not None:
                hooks.append(
                    module.register_forward_pre_hook(lambda m, args, name=name: before(name, m, args[0].detach()))
                )
            if after is not None:
                hooks.append(module.register_forward_hook(lambda m, args, out, name=name: after(name, m, out.detach())))
    device = next(model.parameters()).device
    try:
        model.eval()
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training.items():
            module.training = mode


def _convolutions(model: nn.Module) -> Iterator[tuple[str, BinaryConv2d]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, BinaryConv2d))


def _shifts(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, module in model.named_modules():
        if isinstance(module, RSign | RPReLU):
            for key, value in module.named_parameters(recurse=False):
                yield f"{name}.{key}", value


def _window(sign: RSign | Sign) -> float:
    """Where the gradient ends: with "quadratic_rms" the window is that many running root mean squares wide."""
    mean_square = float(sign.mean_square)
    return sign.window * math.sqrt(mean_square if sign.gradient == "quadratic_rms" and mean_square > 0 else 1)


def _quantiles(values: Tensor) -> list[Number]:
    """By nearest rank, which takes no sort: a large layer has millions of weights."""
    flat = values.reshape(-1).float().cpu().numpy()
    ranks = [round(share * (flat.size - 1)) for share in QUANTILES]
    ordered = np.partition(flat, ranks)
    return [_number(ordered[rank]) for rank in ranks]


def _number(value: Any) -> Number:
    """To six digits, so that a long log stays small."""
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None
